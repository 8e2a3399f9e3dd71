//! A panic is a mistake in this code: it prints where, and ends the system.

use core::panic::PanicInfo;

/// `RTEMS_FATAL_SOURCE_APPLICATION`.
const SOURCE_APPLICATION: u32 = 4;
/// The error code that goes with it: "CAPU".
const CODE: u32 = u32::from_be_bytes(*b"CAPU");

unsafe extern "C" {
    /// What `rtems_fatal()`, an inline function, calls.
    #[link_name = "_Terminate"]
    safe fn rtems_fatal(source: u32, code: u32) -> !;
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crate::console::say(format_args!("{info}"));
    rtems_fatal(SOURCE_APPLICATION, CODE)
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    value "RTEMS_FATAL_SOURCE_APPLICATION" = SOURCE_APPLICATION;
    value "sizeof(rtems_fatal_source)" = size_of::<u32>();
    value "sizeof(rtems_fatal_code)" = size_of::<u32>();
}
