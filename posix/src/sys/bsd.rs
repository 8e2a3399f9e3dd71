//! FreeBSD, written for 13.1 and later. Its manual pages are meant unless another source is named.

use super::sendfile_outcome::{Outcome, outcome};
use super::{PARTS, send_flags};
use crate::at_hand::{Known, Storage};
use crate::errno::{errno, retry, set_errno};
use crate::file::Links;
use capuchin_core::transport::Then;
use core::ffi::{CStr, c_int};

pub(crate) use libc::__error as errno_location;
/// Spreads connections over the listeners that share an address (setsockopt(2)).
pub(crate) const REUSEPORT: Option<c_int> = Some(libc::SO_REUSEPORT_LB);
/// A negative value means the system's maximum (listen(2)).
const BACKLOG_MAXIMUM: c_int = -1;

/// Asks for the longest backlog.
pub(crate) const BACKLOG: c_int = BACKLOG_MAXIMUM;
/// Sockets inherit `TCP_NODELAY` from the listener that they were accepted from: `syncache_socket()`
/// of `tcp_syncache.c` copies the flag, and has since there is such a cache.
pub(crate) const NODELAY_IS_INHERITED: bool = true;
/// The one error of accept(2) that is the new connection's, not the listener's.
pub(crate) const ACCEPT_PASSES_ON: &[c_int] = &[libc::ECONNABORTED];
/// Flags of a send: a broken pipe is an error number, not a signal.
pub(crate) const SEND_FLAGS: c_int = libc::MSG_NOSIGNAL;
/// Data completes connection (send(2)).
pub(crate) const MSG_EOF: c_int = libc::MSG_EOF;
/// Opens only to look at (open(2)). 13.0, which does not know that, opens for reading: it must not wait.
pub(crate) const O_LOOK: c_int = libc::O_PATH | libc::O_NONBLOCK;
/// A file that is opened with [`O_LOOK`] notices nothing, whatever it is.
pub(crate) const LOOKING_OPENS_NOTHING: bool = true;

/// What [`open_beneath`] fails with at a link that leaves the directory, even if the path comes back (open(2)).
pub(crate) const LEAVES_ROOT: c_int = libc::ENOTCAPABLE;

/// Refuses names that lead out of the directory (open(2)).
pub(crate) const O_BENEATH: c_int = libc::O_RESOLVE_BENEATH;

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

/// Sends; a broken pipe is an error number, not a signal. With the last byte the sending direction ends
/// where nothing else follows (`MSG_EOF`, send(2)): one packet carries both.
pub(crate) fn send(socket: c_int, bytes: &[u8], then: Then) -> Result<usize, i32> {
    let flags = send_flags(then, 1);
    // SAFETY: the bytes are valid for reading as many as are passed.
    retry(|| unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) as isize })
}

/// Sends parts by one call; of more than [`PARTS`] the first. As [`send`] otherwise.
pub(crate) fn gather(socket: c_int, parts: &[&[u8]], then: Then) -> Result<usize, i32> {
    let flags = send_flags(then, parts.len());
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
        libc::sendmsg(socket, &raw const message, flags) as isize
    })
}

/// Sends from a file without copying: how many bytes the socket took, 0 at the file's end.
///
/// No flag is set. `SF_NODISKIO` would answer EBUSY for a page that somebody else is at, and there is
/// nothing better to do than to wait for it, as reading the file would; reads from the disk go on after
/// the call either way. `SF_NOCACHE` drops what the next client asks for, `SF_SYNC` waits for the
/// client, and the system's own choice of what to read ahead is better than a guess.
pub(crate) fn send_file(socket: c_int, file: c_int, offset: u64, length: usize) -> isize {
    let Ok(position) = libc::off_t::try_from(offset) else {
        return 0;
    };
    if length == 0 {
        return 0; // it would stand for all of the file
    }
    let mut sent: libc::off_t = 0;
    // SAFETY: `sent` is valid for writing, and there is neither header nor trailer.
    let result = unsafe {
        libc::sendfile(
            file,
            socket,
            position,
            length,
            core::ptr::null_mut(),
            &raw mut sent,
            0,
        )
    };
    match outcome(if result < 0 { errno() } else { 0 }, sent) {
        Outcome::Sent(count) => count as isize,
        Outcome::Copy => super::send_file_by_copying(socket, file, offset, length),
        Outcome::Failed(error) => {
            set_errno(error);
            -1
        }
    }
}

/// Options of a listener that are an improvement where they exist.
///
/// sendfile(2) takes no `MSG_NOSIGNAL`, so sockets must not signal a broken pipe by themselves. Accepted
/// ones inherit that: `SO_NOSIGPIPE` is among what `solisten_clone()` of `uipc_socket.c` copies, and
/// before there was such a list it copied all.
pub(crate) fn listener_extras(
    fast_open: bool,
    _defer_seconds: u16,
) -> [Option<(c_int, c_int, c_int)>; 2] {
    [
        Some((libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1)),
        fast_open.then_some((libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 1)),
    ]
}

/// Keeps connections back until their first data (accf_data(9)), set once the socket listens: level,
/// name, value. It is a module of the kernel's, and ENOENT where that is not loaded. There is no time
/// limit: who sends nothing stays in the kernel's queue, and the oldest goes first when that is full.
pub(crate) fn accept_filter(defer_seconds: u16) -> Option<(c_int, c_int, AcceptFilter)> {
    const DATA_READY: &[u8] = b"dataready";
    let mut filter = [0; size_of::<AcceptFilter>()];
    filter[..DATA_READY.len()].copy_from_slice(DATA_READY);
    (defer_seconds > 0).then_some((libc::SOL_SOCKET, libc::SO_ACCEPTFILTER, filter))
}

/// `struct accept_filter_arg` of `sys/socket.h`: a name, and 240 bytes that this one does not use.
pub(crate) type AcceptFilter = [u8; size_of::<libc::accept_filter_arg>()];

/// Opens `path` below `directory` without leaving it, in one call, links followed. `None` where no link
/// is to be followed: there is no flag for that, and the directories on the way are opened one by one.
///
/// The flag is known from 13.0 on. A kernel that does not know it ignores it: `Root::open` looks for that.
pub(crate) fn open_beneath(
    directory: c_int,
    path: &CStr,
    flags: c_int,
    follow: bool,
) -> Option<Result<c_int, i32>> {
    let flags = flags | libc::O_RESOLVE_BENEATH;
    // SAFETY: `path` ends with NUL.
    let call = || unsafe { libc::openat(directory, path.as_ptr(), flags) as isize };
    follow.then(|| retry(call).map(|descriptor| descriptor as c_int))
}

/// Opens what `descriptor` names, which was opened with [`O_LOOK`]: this very file, whatever has
/// become of its name. `None` where the system cannot (13.0).
pub(crate) fn reopen(descriptor: c_int, flags: c_int) -> Option<Result<c_int, i32>> {
    let flags = flags | libc::O_EMPTY_PATH;
    // SAFETY: the path, which is empty, ends with NUL.
    match retry(|| unsafe { libc::openat(descriptor, c"".as_ptr(), flags) } as isize) {
        Err(libc::ENOENT | libc::ENOTDIR) => None,
        result => Some(result.map(|opened| opened as c_int)),
    }
}

/// There is no call that finds only what is in memory.
pub(crate) fn open_at_hand(_: c_int, _: &CStr, _: c_int, _: Option<Links>) -> Result<c_int, i32> {
    Err(libc::ENOSYS)
}

/// As [`open_at_hand`].
pub(crate) fn known(_: c_int) -> Result<Known, i32> {
    Err(libc::ENOSYS)
}

/// As [`open_at_hand`].
pub(crate) fn read_at_hand(_: c_int, _: &mut [u8], _: u64) -> Result<usize, i32> {
    Err(libc::ENOSYS)
}

/// Every file may have to be waited for.
pub(crate) fn storage(_: c_int) -> Storage {
    Storage::Remote
}

/// Times for which the kernel does not ask the timer (clock_gettime(2)). Where the C library needs no
/// kernel to tell the time, it reads the timer for these, too: that is no system call.
pub(crate) const COARSE_MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC_FAST;
pub(crate) const COARSE_REALTIME: libc::clockid_t = libc::CLOCK_REALTIME_FAST;

#[cfg(feature = "assumptions")]
crate::assume! {
    layout "struct accept_filter_arg" = libc::accept_filter_arg { af_name }
    layout "struct msghdr" = libc::msghdr {
        msg_name, msg_namelen, msg_iov, msg_iovlen, msg_control, msg_controllen, msg_flags,
    }
    layout "struct iovec" = libc::iovec { iov_base, iov_len }
    layout "struct sockaddr_storage" = libc::sockaddr_storage { ss_len, ss_family }
    layout "struct sockaddr_in" = libc::sockaddr_in { sin_len, sin_family, sin_port, sin_addr }
    layout "struct sockaddr_in6" = libc::sockaddr_in6 {
        sin6_len, sin6_family, sin6_port, sin6_flowinfo, sin6_addr, sin6_scope_id,
    }
    layout "struct linger" = libc::linger { l_onoff, l_linger }
    layout "struct timespec" = libc::timespec { tv_sec, tv_nsec }
    layout "struct stat" = libc::stat {
        st_dev, st_ino, st_mode, st_uid, st_gid, st_size, st_mtime, st_ctime,
    }
    layout "struct dirent" = libc::dirent { d_type, d_name }
    layout "struct passwd" = libc::passwd { pw_name, pw_uid, pw_gid }
    layout "struct rlimit" = libc::rlimit { rlim_cur, rlim_max }
    value "sizeof(off_t)" = size_of::<libc::off_t>();
    value "sizeof(socklen_t)" = size_of::<libc::socklen_t>();
    value "sizeof(clockid_t)" = size_of::<libc::clockid_t>();
    names libc {
        AF_INET, AF_INET6, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC, SOL_SOCKET, SO_REUSEADDR,
        SO_REUSEPORT_LB, SO_LINGER, SO_NOSIGPIPE, SO_ACCEPTFILTER, IPPROTO_TCP, IPPROTO_IPV6,
        TCP_NODELAY, TCP_FASTOPEN, IPV6_V6ONLY, MSG_EOF, MSG_NOSIGNAL, SHUT_WR, FIONBIO,
    }
    names libc {
        O_RDONLY, O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW,
        O_NOCTTY, O_PATH, O_EMPTY_PATH, O_RESOLVE_BENEATH, AT_SYMLINK_NOFOLLOW, S_IFMT, S_IFREG,
        S_IFDIR, S_IFLNK, DT_REG, DT_DIR, DT_LNK, DT_UNKNOWN, F_SETFD, FD_CLOEXEC,
    }
    value "sizeof(cap_rights_t)" = size_of::<libc::cap_rights_t>();
    value "CAP_RIGHTS_VERSION" = libc::CAP_RIGHTS_VERSION;
    names libc {
        CAP_LOOKUP, CAP_FSTAT, CAP_FCNTL, CAP_READ, CAP_SEEK, CAP_FSTATFS, CAP_WRITE, CAP_CREATE,
    }
    names libc { CLOCK_REALTIME, CLOCK_REALTIME_FAST, CLOCK_MONOTONIC, CLOCK_MONOTONIC_FAST }
    names libc {
        EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EBADF, EBUSY, ECAPMODE,
        ECONNABORTED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, EINTR, EINVAL, ELOOP, EMFILE, EMLINK,
        ENAMETOOLONG, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS, ENOENT, ENOMEM, ENOSYS, ENOTCAPABLE,
        ENOTCONN, ENOTDIR, ENOTSOCK, ENXIO, EOPNOTSUPP, EPERM, EPIPE, EPROTO, ETIMEDOUT, EXDEV,
    }
    // They are one here: only one of them is asked for.
    value "EWOULDBLOCK" = libc::EAGAIN;
}
