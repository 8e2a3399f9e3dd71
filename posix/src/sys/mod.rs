//! What differs between systems, one file for each.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use capuchin_core::transport::Then;
use core::ffi::c_int;

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "linux", target_os = "android"))] {
        mod linux;
        pub(crate) use linux::*;
    } else if #[cfg(target_os = "rtems")] {
        mod rtems;
        pub(crate) use rtems::*;
    } else {
        mod bsd;
        pub(crate) use bsd::*;
    }
}

#[cfg(any(test, target_os = "freebsd"))]
mod sendfile_outcome;

/// What a listener's connections wait for is an option of its own on FreeBSD only.
#[cfg(not(target_os = "freebsd"))]
pub(crate) fn accept_filter(_: u16) -> Option<(c_int, c_int, c_int)> {
    None
}

/// Whether the system's network stack has IPv6.
pub(crate) const IPV6: bool = !cfg!(all(target_os = "rtems", feature = "legacy"));

/// Makes a pair of connected stream sockets, non-blocking and close-on-exec (socketpair(2)).
#[cfg(not(target_os = "rtems"))]
pub(crate) fn socket_pair(ends: &mut [c_int; 2]) -> c_int {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: there is room for two descriptors.
    unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }
}

/// What a terminal that is opened must not do: take the process over.
#[cfg(not(target_os = "rtems"))]
pub(crate) const O_NOCTTY: c_int = libc::O_NOCTTY;

/// What the system tells of a file.
#[cfg(not(target_os = "rtems"))]
pub(crate) use libc::{fstat, stat as Status};

/// The last modification of a file: seconds, and nanoseconds.
#[cfg(not(target_os = "rtems"))]
#[allow(clippy::unnecessary_cast, reason = "other systems have other widths")]
pub(crate) fn modified(status: &Status) -> (i64, i64) {
    (status.st_mtime as i64, status.st_mtime_nsec as i64)
}

/// The last change of a file, its name and permissions included: seconds, and nanoseconds.
#[cfg(not(target_os = "rtems"))]
#[allow(clippy::unnecessary_cast, reason = "other systems have other widths")]
pub(crate) fn changed(status: &Status) -> (i64, i64) {
    (status.st_ctime as i64, status.st_ctime_nsec as i64)
}

/// Elsewhere only the tests of `paths` ask by name.
#[cfg(all(test, not(target_os = "rtems")))]
pub(crate) use libc::{lstat, stat};

/// Parts that one gathered send takes; more are sent by the next.
pub(crate) const PARTS: usize = 4;

/// The flags of a send of so many parts on a BSD stack: where the end follows, and all parts are taken, the
/// last byte ends the sending direction. There is no hint that more will follow.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_flags(then: Then, parts: usize) -> c_int {
    match then {
        Then::End if parts <= PARTS => SEND_FLAGS | MSG_EOF,
        _ => SEND_FLAGS,
    }
}

/// Bytes that [`send_file_by_copying`] takes from a file at a time.
#[cfg(not(target_os = "rtems"))]
const COPY_BYTES: usize = 4_096;
/// It lies on the stack, of which tasks have little.
#[cfg(target_os = "rtems")]
const COPY_BYTES: usize = 1_024;

/// Sends from a file by way of memory: how many bytes the socket took, 0 at the file's end. By itself, so
/// that its buffer does not lie on the stack while other things are sent.
#[inline(never)]
pub(crate) fn send_file_by_copying(
    socket: c_int,
    file: c_int,
    offset: u64,
    length: usize,
) -> isize {
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return 0;
    };
    let mut buffer = [0u8; COPY_BYTES];
    let length = length.min(buffer.len());
    // SAFETY: the buffer is valid for `length` bytes in both calls: no more are read than that.
    unsafe {
        let count = libc::pread(file, buffer.as_mut_ptr().cast(), length, offset);
        if count <= 0 {
            return count as isize;
        }
        libc::send(socket, buffer.as_ptr().cast(), count as usize, SEND_FLAGS) as isize
    }
}
