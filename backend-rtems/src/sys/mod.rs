//! The directives of the Classic API that the backend calls, and their test double.
//!
//! Names, arguments, limits and status codes are those of the RTEMS Classic API Guide (chapters
//! "Message Manager", "Clock Manager", "Task Manager"); the declarations are checked against an
//! installed SDK's headers by `targets/rtems/check`.

use core::ffi::c_void;

cfg_if::cfg_if! {
    if #[cfg(target_os = "rtems")] {
        mod rtems;
        pub(crate) use rtems::*;
    } else {
        mod double;
        pub(crate) use double::*;
    }
}

#[cfg(feature = "conformance")]
pub mod conformance;

/// `RTEMS_WAIT`.
pub(crate) const WAIT: u32 = 0;
/// `RTEMS_NO_WAIT`.
pub const NO_WAIT: u32 = 1;
/// `RTEMS_NO_TIMEOUT`.
pub(crate) const NO_TIMEOUT: u32 = 0;
/// `RTEMS_PRIORITY`, an attribute of a queue: who is most urgent is served first, not who waits longest.
pub const PRIORITY: u32 = 4;

/// `rtems_message_queue_config`.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the Classic API Guide says what each is")]
pub struct MessageQueueConfig {
    pub name: u32,
    pub maximum_pending_messages: u32,
    pub maximum_message_size: usize,
    pub storage_area: *mut c_void,
    pub storage_size: usize,
    pub storage_free: Option<unsafe extern "C" fn(*mut c_void)>,
    pub attributes: u32,
}
