//! RTEMS, with the legacy stack or libbsd: a BSD stack below newlib.
//!
//! What the `libc` crate does not declare for RTEMS is declared here; all of it is checked against an
//! installed SDK's headers by `targets/rtems/check`.

use super::{PARTS, send_flags};
use crate::errno::{errno, retry, set_errno};
use capuchin_core::transport::Then;
use core::ffi::{c_char, c_int, c_void};

pub(crate) use libc::__errno as errno_location;
/// Neither stack spreads connections over listeners.
pub(crate) const REUSEPORT: Option<c_int> = None;
/// Asks for the longest backlog; both stacks lower it to their own maximum.
pub(crate) const BACKLOG: c_int = 128;
/// Set on each accepted socket: inheritance is not promised.
pub(crate) const NODELAY_IS_INHERITED: bool = false;
/// The one error of accept(2) that is the new connection's, not the listener's.
pub(crate) const ACCEPT_PASSES_ON: &[c_int] = &[libc::ECONNABORTED];
/// There are no signals to suppress, and the legacy stack knows no such flag.
pub(crate) const SEND_FLAGS: c_int = 0;
/// No terminal takes a process over: there is one process.
pub(crate) const O_NOCTTY: c_int = 0;

/// `struct msghdr` of `sys/socket.h`.
#[repr(C)]
struct MessageHeader {
    name: *mut c_void,
    name_length: libc::socklen_t,
    parts: *mut Part,
    part_count: c_int,
    control: *mut c_void,
    control_length: libc::socklen_t,
    flags: c_int,
}

/// `struct iovec` of `sys/uio.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Part {
    base: *mut c_void,
    length: usize,
}

/// `struct stat` of `sys/stat.h`. The `libc` crate has users and groups of 32 bits in it, where there
/// are 16, and so has everything from the size on in another place.
#[repr(C)]
#[allow(dead_code, reason = "all of them make the layout")]
pub(crate) struct Status {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: libc::mode_t,
    links: u16,
    user: u16,
    group: u16,
    special_device: u64,
    pub st_size: i64,
    accessed: libc::timespec,
    modified: libc::timespec,
    changed: libc::timespec,
    block_size: i32,
    blocks: i32,
}

unsafe extern "C" {
    fn sendmsg(socket: c_int, message: *const MessageHeader, flags: c_int) -> isize;
    pub(crate) fn fstat(file: c_int, status: *mut Status) -> c_int;
    pub(crate) fn stat(path: *const c_char, status: *mut Status) -> c_int;
    pub(crate) fn lstat(path: *const c_char, status: *mut Status) -> c_int;
}

/// Accepts a connection, non-blocking.
pub(crate) fn accept(listener: c_int) -> isize {
    // SAFETY: no address is asked for, so both pointers may be null.
    non_blocking(unsafe { libc::accept(listener, core::ptr::null_mut(), core::ptr::null_mut()) })
}

/// Makes a stream socket, non-blocking.
pub(crate) fn stream_socket(family: c_int) -> isize {
    // SAFETY: no memory is passed.
    non_blocking(unsafe { libc::socket(family, libc::SOCK_STREAM, 0) })
}

/// Makes a pair of connected stream sockets, non-blocking. The legacy stack has none.
#[cfg(not(feature = "legacy"))]
pub(crate) fn socket_pair(ends: &mut [c_int; 2]) -> c_int {
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) } < 0 {
        return -1;
    }
    for at in 0..2 {
        if non_blocking(ends[at]) < 0 {
            let error = errno();
            // SAFETY: the other socket is this function's own; that one has closed its own.
            unsafe { libc::close(ends[1 - at]) };
            set_errno(error);
            return -1;
        }
    }
    0
}

/// A socket that cannot be made non-blocking would stop its worker: it is closed, and `errno` tells
/// why. There is nothing to be closed on exec here.
fn non_blocking(socket: c_int) -> isize {
    if socket < 0 {
        return -1;
    }
    let mut on: c_int = 1;
    // SAFETY: the request takes a pointer to an `int`, which lives through the call.
    if unsafe { libc::ioctl(socket, libc::FIONBIO as _, &raw mut on) } < 0 {
        let error = errno();
        // SAFETY: the socket is this function's own.
        unsafe { libc::close(socket) };
        set_errno(error);
        return -1;
    }
    socket as isize
}

/// Receives into `buffer`; the error is an `errno`.
pub(crate) fn receive(socket: c_int, buffer: &mut [u8]) -> Result<usize, i32> {
    receive_with(socket, buffer, 0)
}

/// As [`receive`], but the bytes stay to be received.
pub(crate) fn peek(socket: c_int, buffer: &mut [u8]) -> Result<usize, i32> {
    receive_with(socket, buffer, libc::MSG_PEEK)
}

fn receive_with(socket: c_int, buffer: &mut [u8], flags: c_int) -> Result<usize, i32> {
    // SAFETY: the buffer is valid for writing as many bytes as are passed.
    retry(|| unsafe {
        libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), flags) as isize
    })
}

/// Data completes connection: `MSG_EOF` of `sys/socket.h`, of both stacks.
pub(crate) const MSG_EOF: c_int = 0x100;

/// Sends. With the last byte the sending direction ends where nothing else follows: one packet carries
/// both.
pub(crate) fn send(socket: c_int, bytes: &[u8], then: Then) -> Result<usize, i32> {
    let flags = send_flags(then, 1);
    // SAFETY: the bytes are valid for reading as many as are passed.
    retry(|| unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) as isize })
}

/// Sends parts by one call; of more than [`PARTS`] the first. As [`send`] otherwise.
pub(crate) fn gather(socket: c_int, parts: &[&[u8]], then: Then) -> Result<usize, i32> {
    let flags = send_flags(then, parts.len());
    let nothing = Part {
        base: core::ptr::null_mut(),
        length: 0,
    };
    let mut vector = [nothing; PARTS];
    for (entry, part) in vector.iter_mut().zip(parts) {
        *entry = Part {
            base: part.as_ptr().cast_mut().cast(),
            length: part.len(),
        };
    }
    let message = MessageHeader {
        name: core::ptr::null_mut(),
        name_length: 0,
        parts: vector.as_mut_ptr(),
        part_count: parts.len().min(PARTS) as c_int,
        control: core::ptr::null_mut(),
        control_length: 0,
        flags: 0,
    };
    // SAFETY: the vector and the parts it points to live through the call, and sending writes to none
    // of them.
    retry(|| unsafe { sendmsg(socket, &raw const message, flags) })
}

/// There is no call for it.
pub(crate) use super::send_file_by_copying as send_file;

/// Options of a listener that are an improvement where they exist.
pub(crate) fn listener_extras(
    _fast_open: bool,
    _defer_seconds: u16,
) -> [Option<(c_int, c_int, c_int)>; 2] {
    [None, None]
}

/// The last modification of a file: seconds, and nanoseconds.
pub(crate) fn modified(status: &Status) -> (i64, i64) {
    (
        i64::from(status.modified.tv_sec),
        i64::from(status.modified.tv_nsec),
    )
}

/// The last change of a file, its name and permissions included: seconds, and nanoseconds.
pub(crate) fn changed(status: &Status) -> (i64, i64) {
    (
        i64::from(status.changed.tv_sec),
        i64::from(status.changed.tv_nsec),
    )
}

pub(crate) const COARSE_MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC;
pub(crate) const COARSE_REALTIME: libc::clockid_t = libc::CLOCK_REALTIME;

#[cfg(feature = "assumptions")]
crate::assume! {
    layout "struct msghdr" = MessageHeader {
        msg_name: name, msg_namelen: name_length, msg_iov: parts, msg_iovlen: part_count,
        msg_control: control, msg_controllen: control_length, msg_flags: flags,
    }
    layout "struct iovec" = Part { iov_base: base, iov_len: length }
    layout "struct sockaddr" = libc::sockaddr { sa_len, sa_family }
    layout "struct sockaddr_storage" = libc::sockaddr_storage { ss_len, ss_family }
    layout "struct sockaddr_in" = libc::sockaddr_in { sin_len, sin_family, sin_port, sin_addr }
    layout "struct sockaddr_in6" = libc::sockaddr_in6 {
        sin6_len, sin6_family, sin6_port, sin6_flowinfo, sin6_addr, sin6_scope_id,
    }
    layout "struct linger" = libc::linger { l_onoff, l_linger }
    layout "struct timespec" = libc::timespec { tv_sec, tv_nsec }
    layout "struct stat" = Status {
        st_dev: st_dev, st_ino: st_ino, st_mode: st_mode, st_nlink: links, st_uid: user,
        st_gid: group, st_rdev: special_device, st_size: st_size, st_atim: accessed,
        st_mtim: modified, st_ctim: changed, st_blksize: block_size, st_blocks: blocks,
    }
    value "sizeof(int)" = size_of::<c_int>();
    value "sizeof(size_t)" = size_of::<usize>();
    value "sizeof(ssize_t)" = size_of::<isize>();
    value "sizeof(off_t)" = size_of::<libc::off_t>();
    value "sizeof(socklen_t)" = size_of::<libc::socklen_t>();
    value "sizeof(clockid_t)" = size_of::<libc::clockid_t>();
    value "MSG_EOF" = MSG_EOF;
    names libc {
        AF_INET, AF_INET6, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, SO_LINGER, SO_SNDBUF, SO_RCVBUF,
        IPPROTO_TCP, IPPROTO_IPV6, TCP_NODELAY, IPV6_V6ONLY, SHUT_WR, FIONBIO
    }
    names libc { O_RDONLY, O_NONBLOCK, O_CLOEXEC, S_IFMT, S_IFREG, S_IFDIR, S_IFLNK }
    names libc { CLOCK_REALTIME, CLOCK_MONOTONIC }
    names libc {
        EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EBADF, ECONNABORTED, ECONNRESET,
        EHOSTUNREACH, EINTR, EINVAL, ELOOP, EMFILE, EMLINK, ENAMETOOLONG, ENETDOWN, ENETUNREACH,
        ENFILE, ENOBUFS, ENOENT, ENOMEM, ENOTCONN, ENOTDIR, ENOTSOCK, ENXIO, EOPNOTSUPP, EPERM,
        EPIPE, EPROTO, ETIMEDOUT, EXDEV
    }
    // They are one here: only one of them is asked for.
    value "EWOULDBLOCK" = libc::EAGAIN;
    // The longest path that is opened is no longer than RTEMS takes.
    value "PATH_MAX" = crate::paths::PATH_CAPACITY - 1;
}
