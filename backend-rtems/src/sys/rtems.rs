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

unsafe extern "C" {
    pub(crate) fn rtems_task_create(
        name: u32,
        initial_priority: u32,
        stack_size: usize,
        initial_modes: u32,
        attribute_set: u32,
        id: *mut u32,
    ) -> u32;
    pub(crate) fn rtems_task_start(
        id: u32,
        entry_point: unsafe extern "C" fn(usize),
        argument: usize,
    ) -> u32;
    pub(crate) safe fn rtems_task_self() -> u32;
    pub(crate) safe fn rtems_task_delete(id: u32) -> u32;
    pub(crate) fn rtems_task_set_priority(id: u32, new: u32, old: *mut u32) -> u32;
    pub(crate) safe fn rtems_task_wake_after(ticks: u32) -> u32;
    pub(crate) safe fn rtems_task_exit() -> !;
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    layout "rtems_message_queue_config" = MessageQueueConfig {
        name, maximum_pending_messages, maximum_message_size, storage_area, storage_size,
        storage_free, attributes,
    }
    value "RTEMS_WAIT" = super::WAIT;
    value "RTEMS_NO_WAIT" = super::NO_WAIT;
    value "RTEMS_NO_TIMEOUT" = super::NO_TIMEOUT;
    value "RTEMS_SELF" = crate::task::SELF;
    value "RTEMS_CURRENT_PRIORITY" = crate::task::CURRENT_PRIORITY;
    value "RTEMS_DEFAULT_MODES" = 0;
    value "RTEMS_DEFAULT_ATTRIBUTES" = 0;
    value "RTEMS_FIFO" = 0;
    value "RTEMS_PRIORITY" = super::PRIORITY;
    value "sizeof(rtems_id)" = size_of::<u32>();
    value "sizeof(rtems_name)" = size_of::<u32>();
    value "sizeof(rtems_option)" = size_of::<u32>();
    value "sizeof(rtems_interval)" = size_of::<u32>();
    value "sizeof(rtems_status_code)" = size_of::<u32>();
    value "sizeof(rtems_task_priority)" = size_of::<u32>();
    value "sizeof(rtems_mode)" = size_of::<u32>();
    value "sizeof(rtems_attribute)" = size_of::<u32>();
    value "sizeof(rtems_task_argument)" = size_of::<usize>();
}
