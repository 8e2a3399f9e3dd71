//! The test double: message queues and clock ticks as the RTEMS Classic API Guide describes them,
//! for systems that are no RTEMS. It exists for tests, which so run without an SDK.
//!
//! A timeout of *n* ticks ends at the *n*th tick from now, and the first may come at once: whoever
//! forgets that waits too short here, too. An identifier goes to the next object that is made, as
//! soon as its own is gone. Each thread is a system of its own in that, with so many objects as
//! [`MAXIMUM_MESSAGE_QUEUES`] and [`MAXIMUM_TASKS`] say: tests that run at the same time do not meet.

use super::{MessageQueueConfig, NO_TIMEOUT, NO_WAIT};
use crate::queue::{HEADER_WORDS, StatusCode};
use core::cell::Cell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::vec::Vec;

/// `CONFIGURE_MICROSECONDS_PER_TICK`, its default.
const TICK: Duration = Duration::from_millis(10);

/// `CONFIGURE_MAXIMUM_MESSAGE_QUEUES` and `CONFIGURE_MAXIMUM_TASKS`.
pub(crate) const MAXIMUM_MESSAGE_QUEUES: u32 = 4;
pub(crate) const MAXIMUM_TASKS: u32 = 32;

/// Bits of an identifier for the object's place in its system's table.
const PLACE_BITS: u32 = 8;

/// The lowest identifier of this thread's that none of `objects` has; `None` when there are `maximum`.
fn free_id<T>(objects: &HashMap<u32, T>, maximum: u32) -> Option<u32> {
    static SYSTEMS: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static SYSTEM: u32 = SYSTEMS.fetch_add(1, Ordering::Relaxed);
    }
    let system = SYSTEM.with(|system| *system) << PLACE_BITS;
    (1..=maximum)
        .map(|place| system | place)
        .find(|id| !objects.contains_key(id))
}

struct Queue {
    limit: usize,
    message_size: usize,
    storage: usize,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    pending: VecDeque<Vec<u8>>,
    deleted: bool,
}

static QUEUES: LazyLock<Mutex<HashMap<u32, Arc<Queue>>>> = LazyLock::new(Mutex::default);
static BOOT: LazyLock<Instant> = LazyLock::new(Instant::now);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Queues that there are.
pub(crate) fn queues() -> usize {
    lock(&QUEUES).len()
}

fn queue(id: u32) -> Option<Arc<Queue>> {
    lock(&QUEUES).get(&id).cloned()
}

/// Entries that lie in a queue.
#[cfg(test)]
pub(crate) fn pending(id: u32) -> usize {
    queue(id).map_or(0, |queue| lock(&queue.state).pending.len())
}

pub(crate) unsafe fn rtems_message_queue_construct(
    config: *const MessageQueueConfig,
    id: *mut u32,
) -> u32 {
    if config.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    // SAFETY: the caller passes a configuration that lives through the call.
    let config = unsafe { &*config };
    if config.name == 0 {
        return StatusCode::INVALID_NAME.0;
    }
    if id.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    if config.maximum_pending_messages == 0 {
        return StatusCode::INVALID_NUMBER.0;
    }
    if config.maximum_message_size == 0 {
        return StatusCode::INVALID_SIZE.0;
    }
    let word = size_of::<usize>();
    let limit = config.maximum_pending_messages as usize;
    let place = config.maximum_message_size.checked_next_multiple_of(word);
    let Some(place) = place.and_then(|bytes| bytes.checked_add(HEADER_WORDS * word)) else {
        return StatusCode::INVALID_SIZE.0;
    };
    let Some(size) = place.checked_mul(limit) else {
        return StatusCode::INVALID_NUMBER.0;
    };
    let mut queues = lock(&QUEUES);
    let Some(new) = free_id(&queues, MAXIMUM_MESSAGE_QUEUES) else {
        return StatusCode::TOO_MANY.0;
    };
    if config.storage_size != size || config.storage_area.is_null() {
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
    let queue = Queue {
        limit,
        message_size: config.maximum_message_size,
        storage: config.storage_area as usize,
        free: config.storage_free,
        state: Mutex::default(),
        arrived: Condvar::new(),
    };
    queues.insert(new, Arc::new(queue));
    // SAFETY: the caller passes room for an identifier.
    unsafe { *id = new };
    StatusCode::SUCCESSFUL.0
}

pub(crate) unsafe fn rtems_message_queue_delete(id: u32) -> u32 {
    let Some(queue) = lock(&QUEUES).remove(&id) else {
        return StatusCode::INVALID_ID.0;
    };
    lock(&queue.state).deleted = true;
    queue.arrived.notify_all();
    if let Some(free) = queue.free {
        // SAFETY: the storage is what was handed over with it.
        unsafe { free(queue.storage as *mut c_void) };
    }
    StatusCode::SUCCESSFUL.0
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

/// Tasks: the stack's size of those that were not started yet.
static TASKS: LazyLock<Mutex<HashMap<u32, Option<usize>>>> = LazyLock::new(Mutex::default);

thread_local! {
    /// Which task this thread is; 0: none that was started here.
    static SELF: Cell<u32> = const { Cell::new(0) };
    /// How often this thread let others go first.
    static YIELDS: Cell<u32> = const { Cell::new(0) };
}

/// How often this thread let others go first.
#[cfg(test)]
pub(crate) fn yields() -> u32 {
    YIELDS.get()
}

/// `CONFIGURE_MAXIMUM_PRIORITY`, its default.
const LEAST_URGENT: u32 = 255;

/// Threads need more than tasks, and RTEMS, too, makes small stacks larger (`CONFIGURE_MINIMUM_TASK_STACK_SIZE`).
const SMALLEST_STACK: usize = 512 * 1_024;

pub(crate) unsafe fn rtems_task_create(
    name: u32,
    initial_priority: u32,
    stack_size: usize,
    _initial_modes: u32,
    _attribute_set: u32,
    id: *mut u32,
) -> u32 {
    if id.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    if name == 0 {
        return StatusCode::INVALID_NAME.0;
    }
    if initial_priority == 0 || initial_priority > LEAST_URGENT {
        return StatusCode::INVALID_PRIORITY.0;
    }
    let mut tasks = lock(&TASKS);
    let Some(new) = free_id(&tasks, MAXIMUM_TASKS) else {
        return StatusCode::TOO_MANY.0;
    };
    tasks.insert(new, Some(stack_size.max(SMALLEST_STACK)));
    // SAFETY: the caller passes room for an identifier.
    unsafe { *id = new };
    StatusCode::SUCCESSFUL.0
}

pub(crate) unsafe fn rtems_task_start(
    id: u32,
    entry_point: unsafe extern "C" fn(usize),
    argument: usize,
) -> u32 {
    let mut tasks = lock(&TASKS);
    let Some(stack) = tasks.get_mut(&id).map(Option::take) else {
        return StatusCode::INVALID_ID.0;
    };
    let Some(stack) = stack else {
        return StatusCode::INCORRECT_STATE.0;
    };
    let run = move || {
        SELF.set(id);
        // SAFETY: the caller's word is that the entry may be called so on a task of its own.
        unsafe { entry_point(argument) };
        lock(&TASKS).remove(&id);
    };
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

/// Only of a task that was not started: a thread cannot be ended from outside.
pub(crate) fn rtems_task_delete(id: u32) -> u32 {
    match lock(&TASKS).remove(&id) {
        Some(_) => StatusCode::SUCCESSFUL.0,
        None => StatusCode::INVALID_ID.0,
    }
}

/// Asked only for the priority of the task that calls: threads have none.
pub(crate) unsafe fn rtems_task_set_priority(_id: u32, _new: u32, old: *mut u32) -> u32 {
    if old.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    // SAFETY: the caller passes room for a priority.
    unsafe { *old = 100 };
    StatusCode::SUCCESSFUL.0
}

pub(crate) fn rtems_task_wake_after(ticks: u32) -> u32 {
    if ticks == 0 {
        YIELDS.set(YIELDS.get() + 1);
        std::thread::yield_now();
    } else {
        std::thread::sleep(TICK * ticks);
    }
    StatusCode::SUCCESSFUL.0
}

/// A thread ends where its function does; a task must not return.
pub(crate) fn rtems_task_exit() -> ! {
    lock(&TASKS).remove(&SELF.get());
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

    fn construct() -> u32 {
        let area = vec![0usize; HEADER_WORDS + 1].leak();
        let config = MessageQueueConfig {
            name: 1,
            maximum_pending_messages: 1,
            maximum_message_size: size_of::<usize>(),
            storage_area: area.as_mut_ptr().cast(),
            storage_size: size_of_val(area),
            storage_free: None,
            attributes: 0,
        };
        let mut id = 0;
        // SAFETY: both live through the call, and the area is leaked.
        let code = unsafe { rtems_message_queue_construct(&raw const config, &raw mut id) };
        assert_eq!(code, StatusCode::SUCCESSFUL.0);
        id
    }

    /// What the directives promise is for the conformance suite; this is how RTEMS is.
    #[test]
    fn identifier_goes_to_the_next_queue() {
        let id = construct();
        let other = construct();
        // SAFETY: no memory is passed.
        let code = unsafe { rtems_message_queue_delete(id) };
        assert_eq!(code, StatusCode::SUCCESSFUL.0);
        assert_eq!(construct(), id);
        assert_ne!(id, other);
    }
}
