//! RTEMS: the directives themselves.

use super::MessageQueueConfig;
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
