//! The test double: message queues and clock ticks as the RTEMS Classic API Guide describes them,
//! for systems that are no RTEMS. It exists for tests, which so run without an SDK.
//!
//! A timeout of *n* ticks ends at the *n*th tick from now, and the first may come at once: whoever
//! forgets that waits too short here, too.

use super::{MessageQueueConfig, NO_TIMEOUT, NO_WAIT};
use crate::queue::StatusCode;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// `CONFIGURE_MICROSECONDS_PER_TICK`, its default.
const TICK: Duration = Duration::from_millis(10);

/// Words of `CORE_message_queue_Buffer` without message priorities.
const HEADER_WORDS: usize = 3;

struct Queue {
    limit: usize,
    message_size: usize,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    pending: VecDeque<Vec<u8>>,
    deleted: bool,
}

#[derive(Default)]
struct Objects {
    queues: HashMap<u32, Arc<Queue>>,
    last: u32,
}

static OBJECTS: LazyLock<Mutex<Objects>> = LazyLock::new(Mutex::default);
static BOOT: LazyLock<Instant> = LazyLock::new(Instant::now);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Queues that there are.
pub(crate) fn queues() -> usize {
    lock(&OBJECTS).queues.len()
}

fn queue(id: u32) -> Option<Arc<Queue>> {
    lock(&OBJECTS).queues.get(&id).cloned()
}

pub(crate) unsafe fn rtems_message_queue_construct(
    config: *const MessageQueueConfig,
    id: *mut u32,
) -> u32 {
    if config.is_null() || id.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    // SAFETY: the caller passes a configuration that lives through the call.
    let config = unsafe { &*config };
    if config.maximum_pending_messages == 0 {
        return StatusCode::INVALID_NUMBER.0;
    }
    if config.maximum_message_size == 0 {
        return StatusCode::INVALID_SIZE.0;
    }
    let word = size_of::<usize>();
    let stride = HEADER_WORDS * word + config.maximum_message_size.next_multiple_of(word);
    let limit = config.maximum_pending_messages as usize;
    if config.storage_size != limit * stride {
        return StatusCode::UNSATISFIED.0;
    }
    // The storage is the kernel's from here on: what is written to it by mistake shows.
    // SAFETY: the caller hands over the storage of that size for as long as the queue lives.
    unsafe {
        config
            .storage_area
            .cast::<u8>()
            .write_bytes(0xa5, config.storage_size)
    };
    let mut objects = lock(&OBJECTS);
    objects.last += 1;
    let new = objects.last;
    let queue = Queue {
        limit,
        message_size: config.maximum_message_size,
        state: Mutex::default(),
        arrived: Condvar::new(),
    };
    objects.queues.insert(new, Arc::new(queue));
    // SAFETY: the caller passes room for an identifier.
    unsafe { *id = new };
    StatusCode::SUCCESSFUL.0
}

pub(crate) unsafe fn rtems_message_queue_delete(id: u32) -> u32 {
    match lock(&OBJECTS).queues.remove(&id) {
        Some(queue) => {
            lock(&queue.state).deleted = true;
            queue.arrived.notify_all();
            StatusCode::SUCCESSFUL.0
        }
        None => StatusCode::INVALID_ID.0,
    }
}

pub(crate) unsafe fn rtems_message_queue_send(id: u32, buffer: *const c_void, size: usize) -> u32 {
    if buffer.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    let Some(queue) = queue(id) else {
        return StatusCode::INVALID_ID.0;
    };
    if size > queue.message_size {
        return StatusCode::INVALID_SIZE.0;
    }
    let mut copy = vec![0u8; size];
    // SAFETY: the caller passes `size` bytes. Padding among them is copied, never looked at.
    unsafe { core::ptr::copy_nonoverlapping(buffer.cast(), copy.as_mut_ptr(), size) };
    let mut state = lock(&queue.state);
    if state.pending.len() == queue.limit {
        return StatusCode::TOO_MANY.0;
    }
    state.pending.push_back(copy);
    drop(state);
    queue.arrived.notify_one();
    StatusCode::SUCCESSFUL.0
}

pub(crate) unsafe fn rtems_message_queue_receive(
    id: u32,
    buffer: *mut c_void,
    size: *mut usize,
    options: u32,
    timeout: u32,
) -> u32 {
    if buffer.is_null() || size.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    let Some(queue) = queue(id) else {
        return StatusCode::INVALID_ID.0;
    };
    let end = (timeout != NO_TIMEOUT).then(|| moment(ticks().saturating_add(u64::from(timeout))));
    let mut state = lock(&queue.state);
    let message = loop {
        if state.deleted {
            return StatusCode::OBJECT_WAS_DELETED.0;
        }
        if let Some(message) = state.pending.pop_front() {
            break message;
        }
        if options & NO_WAIT != 0 {
            return StatusCode::UNSATISFIED.0;
        }
        state = match end {
            None => queue
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(end) => {
                let Some(left) = end.checked_duration_since(Instant::now()) else {
                    return StatusCode::TIMEOUT.0;
                };
                queue
                    .arrived
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
    };
    // SAFETY: the caller passes room for a message of the queue's largest size, and for its size.
    unsafe {
        core::ptr::copy_nonoverlapping(message.as_ptr(), buffer.cast(), message.len());
        *size = message.len();
    }
    StatusCode::SUCCESSFUL.0
}

/// A task that was created and not yet started: its stack's size.
static TASKS: LazyLock<Mutex<HashMap<u32, usize>>> = LazyLock::new(Mutex::default);

/// `CONFIGURE_MAXIMUM_PRIORITY`, its default.
const LEAST_URGENT: u32 = 255;

/// Threads need more than tasks, and RTEMS, too, makes small stacks larger (`CONFIGURE_MINIMUM_TASK_STACK_SIZE`).
const SMALLEST_STACK: usize = 512 * 1_024;

pub(crate) unsafe fn rtems_task_create(
    _name: u32,
    initial_priority: u32,
    stack_size: usize,
    _initial_modes: u32,
    _attribute_set: u32,
    id: *mut u32,
) -> u32 {
    if id.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    if initial_priority == 0 || initial_priority > LEAST_URGENT {
        return StatusCode::INVALID_PRIORITY.0;
    }
    let mut objects = lock(&OBJECTS);
    objects.last += 1;
    lock(&TASKS).insert(objects.last, stack_size.max(SMALLEST_STACK));
    // SAFETY: the caller passes room for an identifier.
    unsafe { *id = objects.last };
    StatusCode::SUCCESSFUL.0
}

pub(crate) unsafe fn rtems_task_start(
    id: u32,
    entry_point: unsafe extern "C" fn(usize),
    argument: usize,
) -> u32 {
    let Some(stack) = lock(&TASKS).remove(&id) else {
        return StatusCode::INVALID_ID.0;
    };
    // SAFETY: the caller's word is that the entry may be called so on a task of its own.
    let run = move || unsafe { entry_point(argument) };
    match std::thread::Builder::new().stack_size(stack).spawn(run) {
        Ok(_) => StatusCode::SUCCESSFUL.0,
        Err(_) => StatusCode::TOO_MANY.0,
    }
}

/// A number for each thread that asks.
pub(crate) fn rtems_task_self() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    std::thread_local! {
        static NUMBER: u32 = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    }
    NUMBER.with(|number| *number)
}

pub(crate) fn rtems_task_delete(id: u32) -> u32 {
    match lock(&TASKS).remove(&id) {
        Some(_) => StatusCode::SUCCESSFUL.0,
        None => StatusCode::INVALID_ID.0,
    }
}

/// Asked only for the priority of the task that calls: threads have none.
pub(crate) unsafe fn rtems_task_set_priority(_id: u32, _new: u32, old: *mut u32) -> u32 {
    // SAFETY: the caller passes room for a priority.
    unsafe { *old = 100 };
    StatusCode::SUCCESSFUL.0
}

pub(crate) fn rtems_task_wake_after(ticks: u32) -> u32 {
    std::thread::sleep(TICK * ticks);
    StatusCode::SUCCESSFUL.0
}

/// A thread ends where its function does; a task must not return.
pub(crate) fn rtems_task_exit() -> ! {
    loop {
        std::thread::park();
    }
}

/// Ticks since boot, as many as there will ever be.
fn ticks() -> u64 {
    (BOOT.elapsed().as_nanos() / TICK.as_nanos()) as u64
}

fn moment(tick: u64) -> Instant {
    *BOOT + Duration::from_nanos(TICK.as_nanos() as u64 * tick)
}

pub(crate) fn rtems_clock_get_ticks_per_second() -> u32 {
    (1_000_000_000 / TICK.as_nanos()) as u32
}

pub(crate) fn ticks_since_boot() -> u32 {
    ticks() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: usize = size_of::<usize>();

    fn construct(limit: u32, message_size: usize) -> Result<u32, StatusCode> {
        let size = limit as usize * (HEADER_WORDS * WORD + message_size);
        let area = vec![0u8; size].leak();
        let config = MessageQueueConfig {
            name: 1,
            maximum_pending_messages: limit,
            maximum_message_size: message_size,
            storage_area: area.as_mut_ptr().cast(),
            storage_size: size,
            storage_free: None,
            attributes: 0,
        };
        let mut id = 0;
        // SAFETY: both live through the call, and the area is leaked.
        let code = unsafe { rtems_message_queue_construct(&raw const config, &raw mut id) };
        StatusCode::check(code).map(|()| id)
    }

    fn send(id: u32, bytes: &[u8]) -> StatusCode {
        // SAFETY: the bytes live through the call.
        StatusCode(unsafe { rtems_message_queue_send(id, bytes.as_ptr().cast(), bytes.len()) })
    }

    fn delete(id: u32) -> StatusCode {
        // SAFETY: no memory is passed.
        StatusCode(unsafe { rtems_message_queue_delete(id) })
    }

    fn receive(id: u32, options: u32, timeout: u32) -> Result<Vec<u8>, StatusCode> {
        let (mut buffer, mut size) = ([0u8; 64], 0);
        // SAFETY: both live through the call, and no queue here has larger messages.
        let code = unsafe {
            rtems_message_queue_receive(
                id,
                buffer.as_mut_ptr().cast(),
                &raw mut size,
                options,
                timeout,
            )
        };
        StatusCode::check(code).map(|()| buffer[..size].to_vec())
    }

    #[test]
    fn status_codes_are_those_of_the_guide() {
        assert_eq!(construct(0, 8), Err(StatusCode::INVALID_NUMBER));
        assert_eq!(construct(1, 0), Err(StatusCode::INVALID_SIZE));
        let id = construct(2, 8).unwrap();
        assert_eq!(send(id, &[0; 9]), StatusCode::INVALID_SIZE);
        assert_eq!(send(id, b"one"), StatusCode::SUCCESSFUL);
        assert_eq!(send(id, b"two"), StatusCode::SUCCESSFUL);
        assert_eq!(send(id, b"three"), StatusCode::TOO_MANY);
        assert_eq!(receive(id, NO_WAIT, 0).unwrap(), b"one");
        assert_eq!(receive(id, 0, NO_TIMEOUT).unwrap(), b"two");
        assert_eq!(receive(id, NO_WAIT, 0), Err(StatusCode::UNSATISFIED));
        assert_eq!(receive(id, 0, 1), Err(StatusCode::TIMEOUT));
        assert_eq!(delete(id), StatusCode::SUCCESSFUL);
        assert_eq!(delete(id), StatusCode::INVALID_ID);
        assert_eq!(send(id, b"four"), StatusCode::INVALID_ID);
        assert_eq!(receive(id, NO_WAIT, 0), Err(StatusCode::INVALID_ID));
    }

    #[test]
    fn timeout_of_ticks_ends_on_a_tick_and_may_be_short_of_one() {
        let id = construct(1, 8).unwrap();
        for count in 1..5 {
            let begin = ticks();
            assert_eq!(receive(id, 0, count), Err(StatusCode::TIMEOUT));
            assert!(ticks() >= begin + u64::from(count));
        }
    }

    #[test]
    fn deleting_a_queue_ends_the_wait_for_it() {
        let id = construct(1, 8).unwrap();
        let waiter = std::thread::spawn(move || receive(id, 0, NO_TIMEOUT));
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(delete(id), StatusCode::SUCCESSFUL);
        assert_eq!(waiter.join().unwrap(), Err(StatusCode::OBJECT_WAS_DELETED));
    }
}
