//! Bounded queues between threads: any number of senders, none of which waits for room, and one receiver. A lock is
//! held for as long as it takes to move an item.
//!
//! The standard library's channel does the same and more, in three ways that it chooses between when it
//! runs: each kind of item that is sent through one makes 10 KB of code, this one hardly one.
//!
//! For systems with a standard library.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Why an item was not taken; it is given back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// As many wait as may.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// None came in time.
    Yet,
    /// The last sender is gone, and so are its items: none will come.
    Left,
}

/// A queue in which up to `capacity` items wait, at least one.
#[must_use]
pub fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: VecDeque::with_capacity(capacity),
            capacity: capacity.max(1),
            senders: 1,
            open: true,
            waiting: false,
        }),
        changed: Condvar::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// A sending end.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// An item came, or the last sender went.
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    senders: usize,
    /// There is a receiver.
    open: bool,
    /// It sleeps: to wake one that does not would be a system call for nothing.
    waiting: bool,
}

impl<T> Shared<T> {
    /// Nobody panics with it locked, so it is whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Puts an item at the end, at once or not at all.
    ///
    /// # Errors
    /// [`Refused`], with the item.
    pub fn send(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.0.lock();
        if !state.open {
            return Err(Refused::Closed(item));
        }
        if state.items.len() >= state.capacity {
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        let is_awaited = state.waiting;
        drop(state);
        if is_awaited {
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let is_awaited = state.waiting && state.senders == 0;
        drop(state);
        if is_awaited {
            self.0.changed.notify_one();
        }
    }
}

impl<T> Receiver<T> {
    /// The first item, if there is one.
    #[must_use]
    pub fn take(&mut self) -> Option<T> {
        self.0.lock().items.pop_front()
    }

    /// The first item, once there is one, but no later than after `patience`, if that is given.
    ///
    /// # Errors
    /// [`Nothing`], when there is none.
    pub fn wait(&mut self, patience: Option<Duration>) -> Result<T, Nothing> {
        // A time that no clock will show is none.
        let end = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut state = self.0.lock();
        loop {
            state.waiting = false;
            if let Some(item) = state.items.pop_front() {
                return Ok(item);
            }
            if state.senders == 0 {
                return Err(Nothing::Left);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Nothing::Yet);
            }
            state.waiting = true;
            let changed = &self.0.changed;
            state = match left {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let woken = changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open = false;
        let rest = core::mem::take(&mut state.items);
        drop(state);
        drop(rest); // it may hold what locks, too
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn full_queue_gives_the_item_back_and_goes_on_in_order() {
        let (sender, mut receiver) = queue(2);
        assert_eq!((sender.send(1), sender.send(2)), (Ok(()), Ok(())));
        assert_eq!(sender.send(3), Err(Refused::Full(3)));
        assert_eq!(receiver.take(), Some(1));
        assert_eq!(sender.send(3), Ok(()));
        assert_eq!([receiver.take(), receiver.take()], [Some(2), Some(3)]);
        assert_eq!(receiver.take(), None);
    }

    #[test]
    fn what_waits_is_received_after_its_senders_are_gone() {
        let (sender, mut receiver) = queue(2);
        let other = sender.clone();
        assert_eq!(other.send(1), Ok(()));
        drop((sender, other));
        assert_eq!(receiver.wait(None), Ok(1));
        assert_eq!(receiver.wait(None), Err(Nothing::Left));
    }

    #[test]
    fn nobody_sends_to_a_receiver_that_is_gone() {
        let (sender, receiver) = queue(1);
        let item = Arc::new(());
        assert_eq!(sender.send(Arc::clone(&item)), Ok(()));
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1, "it goes with the receiver");
        assert!(matches!(sender.send(item), Err(Refused::Closed(_))));
    }

    #[test]
    fn who_waits_is_woken_by_an_item_by_the_last_sender_and_by_time() {
        let (sender, mut receiver) = queue(1);
        assert_eq!(
            receiver.wait(Some(Duration::from_millis(5))),
            Err(Nothing::Yet)
        );
        let waiting = thread::spawn(move || {
            let first = receiver.wait(None);
            (first, receiver.wait(Some(Duration::MAX)))
        });
        thread::sleep(Duration::from_millis(5));
        assert_eq!(sender.send(1), Ok(()));
        thread::sleep(Duration::from_millis(5));
        drop(sender);
        assert_eq!(waiting.join().unwrap(), (Ok(1), Err(Nothing::Left)));
    }
}
