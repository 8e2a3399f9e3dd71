//! FreeBSD.

use super::PARTS;
use crate::errno::retry;
use core::ffi::c_int;

pub(crate) use libc::__error as errno_location;
/// Spreads connections over the listeners that share an address (setsockopt(2)).
pub(crate) const REUSEPORT: Option<c_int> = Some(libc::SO_REUSEPORT_LB);
/// A negative value means the system's maximum (listen(2)).
const BACKLOG_MAXIMUM: c_int = -1;

/// Asks for the longest backlog.
pub(crate) const BACKLOG: c_int = BACKLOG_MAXIMUM;
/// Set on each accepted socket: inheritance is not promised.
pub(crate) const NODELAY_IS_INHERITED: bool = false;
/// The one error of accept(2) that is the new connection's, not the listener's.
pub(crate) const ACCEPT_PASSES_ON: &[c_int] = &[libc::ECONNABORTED];
/// Flags of a send: a broken pipe is an error number, not a signal.
pub(crate) const SEND_FLAGS: c_int = libc::MSG_NOSIGNAL;
/// There is no opening only to look at: this is for directories on the way to a file.
pub(crate) const O_LOOK: c_int = libc::O_RDONLY | libc::O_NONBLOCK;
pub(crate) const LOOKING_OPENS_NOTHING: bool = false;

/// What a socket is born with: a child that is started at the same moment gets none.
const BIRTH_FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Accepts a connection, non-blocking and close-on-exec.
pub(crate) fn accept(listener: c_int) -> isize {
    // SAFETY: no address is asked for, so both pointers may be null.
    let socket = unsafe {
        libc::accept4(
            listener,
            core::ptr::null_mut(),
            core::ptr::null_mut(),
            BIRTH_FLAGS,
        )
    };
    socket as isize
}

/// Makes a stream socket, non-blocking and close-on-exec.
pub(crate) fn stream_socket(family: c_int) -> isize {
    // SAFETY: no memory is passed.
    unsafe { libc::socket(family, libc::SOCK_STREAM | BIRTH_FLAGS, 0) as isize }
}

/// Receives into `buffer`; the error is an `errno`.
pub(crate) fn receive(socket: c_int, buffer: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: the buffer is valid for writing as many bytes as are passed.
    retry(|| unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) as isize })
}

/// Sends; a broken pipe is an error number, not a signal. There is no hint that more will follow.
pub(crate) fn send(socket: c_int, bytes: &[u8], _more: bool) -> Result<usize, i32> {
    // SAFETY: the bytes are valid for reading as many as are passed.
    retry(|| unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), SEND_FLAGS) as isize })
}

/// Sends parts by one call; of more than [`PARTS`] the first. As [`send`] otherwise.
pub(crate) fn gather(socket: c_int, parts: &[&[u8]], _more: bool) -> Result<usize, i32> {
    let mut vector = [const {
        libc::iovec {
            iov_base: core::ptr::null_mut(),
            iov_len: 0,
        }
    }; PARTS];
    for (entry, part) in vector.iter_mut().zip(parts) {
        *entry = libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        };
    }
    // SAFETY: zeros are a valid `msghdr`; the vector and the parts it points to live through the
    // call, and sending writes to none of them.
    retry(|| unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = vector.as_mut_ptr();
        message.msg_iovlen = parts.len().min(PARTS) as _;
        libc::sendmsg(socket, &raw const message, SEND_FLAGS) as isize
    })
}

/// The system's own call differs too much to be the same.
pub(crate) use super::send_file_by_copying as send_file;

/// Options of a listener that are an improvement where they exist.
pub(crate) fn listener_extras(
    _fast_open: bool,
    _defer_seconds: u16,
) -> [Option<(c_int, c_int, c_int)>; 2] {
    [None, None]
}

/// Not known here: the directories on the way are opened one by one.
pub(crate) fn open_beneath(
    _: c_int,
    _: &core::ffi::CStr,
    _: c_int,
    _: bool,
) -> Option<Result<c_int, i32>> {
    None
}

/// Not needed: nothing is opened only to look at.
pub(crate) fn reopen(_: c_int, _: c_int) -> Option<Result<c_int, i32>> {
    None
}

pub(crate) const COARSE_MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC;
pub(crate) const COARSE_REALTIME: libc::clockid_t = libc::CLOCK_REALTIME;
