//! RTEMS: the directives themselves.

use super::MessageQueueConfig;
use crate::queue::StatusCode;
use core::ffi::c_void;

unsafe extern "C" {
    pub(crate) fn rtems_message_queue_construct(
        config: *const MessageQueueConfig,
        id: *mut u32,
    ) -> u32;
    pub(crate) fn rtems_message_queue_delete(id: u32) -> u32;
    pub(crate) fn rtems_message_queue_send(id: u32, buffer: *const c_void, size: usize) -> u32;
    pub(crate) fn rtems_message_queue_receive(
        id: u32,
        buffer: *mut c_void,
        size: *mut usize,
        options: u32,
        timeout: u32,
    ) -> u32;
    pub(crate) safe fn rtems_clock_get_ticks_per_second() -> u32;
    #[link_name = "rtems_clock_get_ticks_since_boot"]
    pub(crate) safe fn ticks_since_boot() -> u32;
}

/// `RTEMS_SELF`.
const SELF: u32 = 0;
/// `RTEMS_CURRENT_PRIORITY`.
const CURRENT_PRIORITY: u32 = 0;

unsafe extern "C" {
    fn rtems_task_create(
        name: u32,
        initial_priority: u32,
        stack_size: usize,
        initial_modes: u32,
        attribute_set: u32,
        id: *mut u32,
    ) -> u32;
    fn rtems_task_start(id: u32, entry_point: unsafe extern "C" fn(usize), argument: usize) -> u32;
    safe fn rtems_task_delete(id: u32) -> u32;
    fn rtems_task_set_priority(id: u32, new: u32, old: *mut u32) -> u32;
    safe fn rtems_task_wake_after(ticks: u32) -> u32;
    safe fn rtems_task_exit() -> !;
}

/// Starts a task with the priority of this one and default modes and attributes: without
/// floating-point context, which this code does not use.
pub(crate) fn start_task(
    name: u32,
    stack_bytes: usize,
    entry: unsafe extern "C" fn(usize),
    argument: usize,
) -> Result<(), StatusCode> {
    let (mut priority, mut id) = (0, 0);
    // SAFETY: the priority lives through the call.
    let code = unsafe { rtems_task_set_priority(SELF, CURRENT_PRIORITY, &raw mut priority) };
    StatusCode::check(code)?;
    // SAFETY: the identifier lives through the call.
    let code = unsafe { rtems_task_create(name, priority, stack_bytes, 0, 0, &raw mut id) };
    StatusCode::check(code)?;
    // SAFETY: the entry takes the argument that the caller chose for it.
    let started = StatusCode::check(unsafe { rtems_task_start(id, entry, argument) });
    if started.is_err() {
        rtems_task_delete(id);
    }
    started
}

pub(crate) fn wake_after(ticks: u32) {
    rtems_task_wake_after(ticks);
}

pub(crate) fn exit_task() -> ! {
    rtems_task_exit()
}
