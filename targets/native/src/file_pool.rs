//! Threads that wait for storage, so that workers do not: they open and read files that are not in memory, and
//! make listings.
//!
//! Their number and the length of their queue are bounded. A thread is started when there is work and none is idle, and
//! ends when there has been no work for [`IDLE`]: a server whose files are in memory has none. A call that hangs, as on
//! a network file system whose server is gone, costs a thread until it returns. When all threads hang, requests
//! for what is not in memory are answered with 503, at once where the queue is full, else when a handler's time is over.

use crate::throttle;
use capuchin_posix::start_thread;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a thread waits for more to do before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Something to do that may wait for storage.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The threads of one server, shared by its workers.
#[derive(Clone)]
pub(crate) struct FilePool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is a job.
    changed: Condvar,
    threads: usize,
    queue: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl fmt::Debug for FilePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilePool").finish_non_exhaustive()
    }
}

impl FilePool {
    /// Up to `threads` threads, at least one, for which up to `queue` jobs wait.
    pub fn new(threads: usize, queue: usize) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            threads: threads.max(1),
            queue,
        }))
    }

    /// Has a job done; `false` when the queue is full, or no thread can be started.
    pub fn start(&self, job: Job) -> bool {
        let state = self.0.lock();
        if state.jobs.len() >= self.0.queue && state.idle <= state.jobs.len() {
            return false;
        }
        self.push(state, job)
    }

    /// As [`FilePool::start`], for a job that a response under way depends on: however many wait. There is one for each
    /// connection at the most, so that their number is bounded by that of connections.
    pub fn go_on(&self, job: Job) -> bool {
        self.push(self.0.lock(), job)
    }

    fn push(&self, mut state: MutexGuard<'_, State>, job: Job) -> bool {
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.0.changed.notify_one();
            return true;
        }
        if state.threads == self.0.threads {
            return true;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.0);
        if let Err(error) = start_thread("files", Box::new(move || shared.work())) {
            let mut state = self.0.lock();
            state.threads -= 1;
            if state.threads > 0 {
                return true; // another does it
            }
            state.jobs.pop_back();
            drop(state);
            let kind = error.raw_os_error().unwrap_or(0).unsigned_abs() as usize;
            if let Some(more) = throttle::admit(kind) {
                log::warn!(
                    "no thread can be started to read files ({error}): raise the limit (ulimit -u){more}"
                );
            }
            return false;
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Dropping the job tells those that wait for it; the panic is in the log.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                    std::mem::forget(payload);
                }
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .changed
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A job that tells when it has begun, and ends when it is told to.
    fn held(begun: &mpsc::Sender<()>) -> (Job, mpsc::Sender<()>) {
        let (end, ends) = mpsc::channel();
        let begun = begun.clone();
        let job = Box::new(move || {
            begun.send(()).unwrap();
            let _ = ends.recv();
        });
        (job, end)
    }

    #[test]
    fn threads_and_queue_have_their_limits_and_responses_under_way_go_on() {
        let pool = FilePool::new(2, 3);
        assert_eq!(pool.0.lock().threads, 0, "none without work");
        let (begun, begins) = mpsc::channel();
        let mut ends = Vec::new();
        for number in 0..5 {
            let (job, end) = held(&begun);
            assert!(pool.start(job), "{number}");
            ends.push(end);
            if number < 2 {
                begins.recv().unwrap();
            }
        }
        assert!(!pool.start(Box::new(|| {})), "one past the limit");
        let (job, end) = held(&begun);
        assert!(pool.go_on(job));
        assert_eq!(pool.0.lock().threads, 2);
        assert!(begins.try_recv().is_err(), "two at a time");
        drop((ends, end));
        (0..4).for_each(|_| begins.recv().unwrap());
    }

    #[test]
    fn job_that_panics_takes_no_thread_with_it() {
        let pool = FilePool::new(1, 10);
        assert!(pool.start(Box::new(|| std::panic::resume_unwind(Box::new(
            "on purpose"
        )))));
        let (begun, begins) = mpsc::channel();
        assert!(pool.start(Box::new(move || begun.send(()).unwrap())));
        begins.recv().unwrap();
        assert_eq!(pool.0.lock().threads, 1);
    }
}
