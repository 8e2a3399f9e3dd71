//! The standard streams: open, and as files without the buffer, the lock and the handling of lines that the standard
//! library puts before them, which are 10 KB of code.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

/// Opens nothing (`/dev/null`) for each standard stream that the process was started without. What is
/// opened next would get its number, and be written to as if it were the stream.
pub fn open_missing_streams() {
    loop {
        // SAFETY: the path ends with NUL.
        let opened = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        if opened > libc::STDERR_FILENO {
            // SAFETY: it was opened above, and is known to nobody else.
            unsafe { libc::close(opened) };
        }
        if !(0..libc::STDERR_FILENO).contains(&opened) {
            return;
        }
    }
}

/// Standard output; what is written to it is written at once.
///
/// # Errors
/// When there is none, or no descriptor for it.
pub fn standard_output() -> io::Result<File> {
    duplicate(libc::STDOUT_FILENO)
}

/// Standard error.
///
/// # Errors
/// As [`standard_output`].
pub fn standard_error() -> io::Result<File> {
    duplicate(libc::STDERR_FILENO)
}

fn duplicate(stream: i32) -> io::Result<File> {
    // SAFETY: whoever writes to a standard stream has left it open; of one that was closed before, the call says so.
    let stream = unsafe { BorrowedFd::borrow_raw(stream) };
    stream.try_clone_to_owned().map(File::from)
}
