//! Keeps the standard library's reader of debugging information out of the command.
//!
//! A program's panic handler can print a backtrace, with names and lines of source: 217 KB of code, which
//! this command never runs, for it logs panics by a hook of its own ([`crate::logger::start`]). All of
//! that code hangs on the function that [`_Unwind_Backtrace`] calls for each frame. One that calls it
//! for none, and that link-time optimisation sees, leaves it without a caller. Panics unwind as before.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK` of the unwinder's interface: there are no more frames.
const END_OF_STACK: c_int = 5;

/// In place of the unwinder's function of this name.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each_frame: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

#[cfg(test)]
mod tests {
    #[test]
    fn panic_is_caught() {
        let caught = std::panic::catch_unwind(|| std::panic::panic_any(7));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&7));
    }

    #[test]
    fn backtrace_has_no_frames() {
        let trace = std::backtrace::Backtrace::force_capture();
        assert!(!trace.to_string().contains("backtrace_has_no_frames"));
    }
}
