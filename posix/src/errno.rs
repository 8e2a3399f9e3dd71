//! The number of the last error.

/// `errno` of this thread (errno(3)).
#[must_use]
pub fn errno() -> i32 {
    // SAFETY: the location is this thread's own and valid as long as the thread lives.
    unsafe { *crate::sys::errno_location() }
}

/// For calls that tell an error by `errno` alone, and for those that must not hide an earlier one.
pub(crate) fn set_errno(number: i32) {
    // SAFETY: as in [`errno`].
    unsafe { *crate::sys::errno_location() = number };
}

/// Repeats a call that a signal interrupted; `Err` is the number of any other error.
pub(crate) fn retry(mut call: impl FnMut() -> isize) -> Result<usize, i32> {
    loop {
        if let Ok(result) = usize::try_from(call()) {
            return Ok(result);
        }
        match errno() {
            libc::EINTR => {}
            error => return Err(error),
        }
    }
}
