//! Owned descriptors, and the pairs of them that one thread wakes another by.

use crate::errno::errno;
use crate::sys;
use core::ffi::c_int;

/// A descriptor that is closed with its owner.
#[derive(Debug)]
pub struct Descriptor(c_int);

impl Descriptor {
    /// The descriptor `number`.
    ///
    /// # Safety
    /// It is open, and nobody else closes it or uses it after its owner is gone.
    #[must_use]
    pub unsafe fn own(number: c_int) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> c_int {
        self.0
    }

    /// Its number, which is somebody else's to close from now on.
    #[must_use]
    pub fn leave(self) -> c_int {
        let number = self.0;
        core::mem::forget(self);
        number
    }

    /// Closes it, and tells whether that went well (close(2)).
    ///
    /// # Errors
    /// The `errno`.
    pub fn close(self) -> Result<(), i32> {
        // SAFETY: the descriptor was owned, and is used no more.
        if unsafe { libc::close(self.leave()) } < 0 {
            return Err(errno());
        }
        Ok(())
    }

    /// Reads until nothing is left; for a non-blocking pipe or socket.
    pub fn read_empty(&self) {
        let mut bytes = [0u8; 64];
        loop {
            // SAFETY: the buffer is valid for writing as many bytes as are passed.
            let count = unsafe { libc::read(self.0, bytes.as_mut_ptr().cast(), bytes.len()) };
            let interrupted = count < 0 && errno() == libc::EINTR;
            if !interrupted && count < bytes.len() as isize {
                return;
            }
        }
    }

    /// Puts one byte in. A pipe or a socket that is full wakes as well as one byte does.
    pub fn write_byte(&self) {
        write_byte(self.0);
    }
}

/// As [`Descriptor::write_byte`], for who knows the number only; one that is not open is no error.
pub fn write_byte(number: c_int) {
    loop {
        // SAFETY: one byte is valid for reading.
        let result = unsafe { libc::write(number, [1u8].as_ptr().cast(), 1) };
        if result >= 0 || errno() != libc::EINTR {
            return;
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is owned and used no more.
        unsafe { libc::close(self.0) };
    }
}

/// A pair of connected stream sockets, non-blocking and, where there is such a thing, close-on-exec
/// (socketpair(2)).
///
/// # Errors
/// The `errno`; on RTEMS ENOSYS or EAFNOSUPPORT where the network stack has no local sockets.
pub fn socket_pair() -> Result<(Descriptor, Descriptor), i32> {
    let mut ends = [0; 2];
    if sys::socket_pair(&mut ends) < 0 {
        return Err(errno());
    }
    Ok((Descriptor(ends[0]), Descriptor(ends[1])))
}

/// A non-blocking, close-on-exec pipe: its reading and its writing end (pipe(2)).
///
/// # Errors
/// The `errno`.
#[cfg(not(target_os = "rtems"))]
pub fn pipe() -> Result<(Descriptor, Descriptor), i32> {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
        return Err(errno());
    }
    Ok((Descriptor(ends[0]), Descriptor(ends[1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_close_on_exec_and_never_block() {
        for (first, second) in [pipe().unwrap(), socket_pair().unwrap()] {
            for end in [&first, &second] {
                // SAFETY: no memory is passed.
                let (descriptor, status) = unsafe {
                    (
                        libc::fcntl(end.number(), libc::F_GETFD),
                        libc::fcntl(end.number(), libc::F_GETFL),
                    )
                };
                assert!(descriptor & libc::FD_CLOEXEC != 0);
                assert!(status & libc::O_NONBLOCK != 0);
            }
            // More than it holds, and then all of it.
            for _ in 0..300_000 {
                second.write_byte();
            }
            first.read_empty();
            let mut byte = 0u8;
            // SAFETY: there is room for one byte.
            let left = unsafe { libc::read(first.number(), (&raw mut byte).cast(), 1) };
            assert_eq!((left, errno()), (-1, libc::EAGAIN));
        }
    }
}
