//! The number of the last error.

/// `errno` of this thread (errno(3)).
#[must_use]
pub fn errno() -> i32 {
    // SAFETY: the location is this thread's own and valid as long as the thread lives.
    unsafe { *crate::sys::errno_location() }
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
