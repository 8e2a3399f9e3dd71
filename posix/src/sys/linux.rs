//! Linux.

use super::PARTS;
use crate::at_hand::{Known, Storage};
use crate::errno::{errno, retry};
use crate::file::{Kind, Links};
use capuchin_core::transport::Then;
use core::ffi::c_int;
use libc::off_t;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, IoSlice};
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

pub(crate) use libc::__errno_location as errno_location;

/// Flags of a send: a broken pipe is an error number, not a signal.
pub(crate) const SEND_FLAGS: c_int = libc::MSG_NOSIGNAL;

/// Asks for the longest backlog: the kernel cuts it to `net.core.somaxconn` (listen(2)).
pub(crate) const BACKLOG: c_int = c_int::MAX;

/// Spreads connections over the listeners that share an address (socket(7)).
pub(crate) const REUSEPORT: Option<c_int> = Some(libc::SO_REUSEPORT);

/// Sockets inherit `TCP_NODELAY` from the listener that they were accepted from.
pub(crate) const NODELAY_IS_INHERITED: bool = true;

/// Errors that accept(2) hands on from the network: they are the new connection's, not the listener's.
/// Of its list EOPNOTSUPP is left out: it is what a socket says that cannot be accepted from at all.
pub(crate) const ACCEPT_PASSES_ON: &[c_int] = &[
    libc::ECONNABORTED,
    libc::EPROTO,
    libc::ENETDOWN,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    libc::ENONET,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
];

/// Opens only to look at, where the system knows that (open(2)).
pub(crate) const O_LOOK: c_int = libc::O_PATH;

/// There is no flag to stay in a directory: openat2(2) would.
pub(crate) const O_BENEATH: c_int = 0;

/// What [`open_beneath`] fails with at a link that leaves the directory, even if the path comes back (openat2(2)).
pub(crate) const LEAVES_ROOT: c_int = libc::EXDEV;

/// A file that is opened with [`O_LOOK`] notices nothing, whatever it is.
pub(crate) const LOOKING_OPENS_NOTHING: bool = true;

/// Accepts a connection, non-blocking and close-on-exec.
pub(crate) fn accept(listener: c_int) -> isize {
    // SAFETY: no address is asked for, so both pointers may be null.
    let socket = unsafe {
        libc::accept4(
            listener,
            core::ptr::null_mut(),
            core::ptr::null_mut(),
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    socket as isize
}

/// Makes a call until no signal cuts it short. A function would have to be given a closure, and that is
/// called where code is made to be small.
macro_rules! uninterrupted {
    ($call:expr) => {
        loop {
            match $call {
                Err(Errno::INTR) => {}
                result => break result.map_err(Errno::raw_os_error),
            }
        }
    };
}

/// Receives into `buffer`; the error is an `errno`.
///
/// By `rustix`, which makes the system call in place. recv(2) of the C library is a cancellation
/// point: in a process with threads glibc marks each call as such before and after, and each return
/// from the functions around a system call is one that the processor has forgotten the target of;
/// together a third of what a small request costs outside the kernel.
#[inline(always)]
pub(crate) fn receive(socket: c_int, buffer: &mut [u8]) -> Result<usize, i32> {
    let socket = borrow(socket)?;
    uninterrupted!(recv(socket, &mut *buffer, RecvFlags::empty())).map(|(count, _)| count)
}

/// As [`receive`], but the bytes stay to be received.
pub(crate) fn peek(socket: c_int, buffer: &mut [u8]) -> Result<usize, i32> {
    let socket = borrow(socket)?;
    uninterrupted!(recv(socket, &mut *buffer, RecvFlags::PEEK)).map(|(count, _)| count)
}

/// Sends; a broken pipe is an error number, not a signal. A short packet may wait for
/// what follows at once. As [`receive`] otherwise.
#[inline(always)]
pub(crate) fn send(socket: c_int, bytes: &[u8], then: Then) -> Result<usize, i32> {
    let socket = borrow(socket)?;
    let flags = send_flags(then);
    uninterrupted!(net::send(socket, bytes, flags))
}

/// Sends parts by one call; of more than [`PARTS`] the first. As [`send`] otherwise.
#[inline(always)]
pub(crate) fn gather(socket: c_int, parts: &[&[u8]], then: Then) -> Result<usize, i32> {
    let socket = borrow(socket)?;
    let part = |at: usize| IoSlice::new(parts.get(at).copied().unwrap_or_default());
    let slices: [_; PARTS] = [part(0), part(1), part(2), part(3)];
    let slices = &slices[..parts.len().min(PARTS)];
    let flags = send_flags(then);
    uninterrupted!(sendmsg(
        socket,
        slices,
        &mut SendAncillaryBuffer::default(),
        flags
    ))
}

/// The number as `rustix` takes it; a negative one is no descriptor and must not be made one.
#[inline(always)]
fn borrow<'a>(socket: c_int) -> Result<BorrowedFd<'a>, i32> {
    if socket < 0 {
        return Err(libc::EBADF);
    }
    // SAFETY: the number is not negative, and the borrow does not outlive the one call that it is
    // for. Whoever passes the number owns the socket behind it; of one that is not open the system
    // says so (EBADF).
    Ok(unsafe { BorrowedFd::borrow_raw(socket) })
}

fn send_flags(then: Then) -> SendFlags {
    if then != Then::Nothing {
        SendFlags::NOSIGNAL | SendFlags::MORE
    } else {
        SendFlags::NOSIGNAL
    }
}

/// Makes a stream socket, non-blocking and close-on-exec.
pub(crate) fn stream_socket(family: c_int) -> isize {
    // SAFETY: no memory is passed.
    let socket = unsafe {
        libc::socket(
            family,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    };
    socket as isize
}

/// Sends from a file; how many bytes the socket took, 0 at the file's end (sendfile(2)).
pub(crate) fn send_file(socket: c_int, file: c_int, offset: u64, length: usize) -> isize {
    let Ok(mut position) = off_t::try_from(offset) else {
        return 0;
    };
    // SAFETY: `position` lives through the call.
    let sent = unsafe { libc::sendfile(socket, file, &raw mut position, length) };
    match if sent < 0 { errno() } else { 0 } {
        // Not every file system hands its files on like this.
        libc::EINVAL | libc::ENOSYS => super::send_file_by_copying(socket, file, offset, length),
        _ => sent,
    }
}

/// Longest queue of TCP Fast Open requests that are not yet complete connections (tcp(7)).
const FAST_OPEN_QUEUE: c_int = 256;

/// Options of a listener that are an improvement where they exist: level, name, value.
pub(crate) fn listener_extras(
    fast_open: bool,
    defer_seconds: u16,
) -> [Option<(c_int, c_int, c_int)>; 2] {
    [
        fast_open.then_some((libc::IPPROTO_TCP, libc::TCP_FASTOPEN, FAST_OPEN_QUEUE)),
        (defer_seconds > 0).then_some((
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            c_int::from(defer_seconds),
        )),
    ]
}

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const RESOLVE_NO_MAGICLINKS: u64 = 0x02; // linux/openat2.h
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;

/// Opens `path` below `directory` without leaving it, in one call. `None` when this kernel cannot
/// (before 5.6, or a seccomp filter that does not know the call).
pub(crate) fn open_beneath(
    directory: c_int,
    path: &core::ffi::CStr,
    flags: c_int,
    follow: bool,
) -> Option<Result<c_int, i32>> {
    let links = if follow { 0 } else { RESOLVE_NO_SYMLINKS };
    let how = OpenHow {
        flags: flags as u64,
        mode: 0,
        resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | links,
    };
    let call = || open_how(directory, path, &how);
    let mut result = call();
    for _ in 1..RACE_ATTEMPTS {
        if result != Err(libc::EAGAIN) {
            break;
        }
        result = call();
    }
    match result {
        Ok(descriptor) => Some(Ok(descriptor as c_int)),
        Err(libc::ENOSYS | libc::EPERM) => None,
        Err(error) => Some(Err(error)),
    }
}

/// openat2(2); repeated when a signal interrupts it.
fn open_how(directory: c_int, path: &core::ffi::CStr, how: &OpenHow) -> Result<usize, i32> {
    retry(|| {
        // SAFETY: `path` ends with NUL, `how` has the size that is passed with it.
        let result: libc::c_long = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                directory,
                path.as_ptr(),
                core::ptr::from_ref(how),
                size_of::<OpenHow>(),
            )
        };
        result as isize
    })
}

/// Opens `path` if the way to it is in memory; else EAGAIN. With `links` it stays below `directory`, unless all links
/// are followed. ENOSYS where the kernel does not know this (before 5.12).
pub(crate) fn open_at_hand(
    directory: c_int,
    path: &core::ffi::CStr,
    flags: c_int,
    links: Option<Links>,
) -> Result<c_int, i32> {
    const RESOLVE_CACHED: u64 = 0x20;
    let how = OpenHow {
        flags: flags as u64,
        mode: 0,
        resolve: RESOLVE_CACHED
            | match links {
                None | Some(Links::All) => 0,
                Some(Links::Beneath) => RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
                Some(Links::None) => RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
            },
    };
    match open_how(directory, path, &how) {
        // A filter of system calls answers EPERM; EINVAL says that the flag is not known.
        Err(libc::EINVAL | libc::EPERM) => Err(libc::ENOSYS),
        result => result.map(|descriptor| descriptor as c_int),
    }
}

/// What is in memory about an open file; the file system is not asked (`AT_STATX_DONT_SYNC`).
pub(crate) fn known(file: c_int) -> Result<Known, i32> {
    // SAFETY: zeros are a valid `statx`.
    let mut status: libc::statx = unsafe { core::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    let mask = libc::STATX_TYPE | libc::STATX_INO;
    // SAFETY: the path, which is empty, ends with NUL; `status` is valid for writing.
    retry(|| unsafe { libc::statx(file, c"".as_ptr(), flags, mask, &raw mut status) as isize })?;
    Ok(Known {
        kind: Kind::of(u32::from(status.stx_mode)),
        device: libc::makedev(status.stx_dev_major, status.stx_dev_minor),
        inode: status.stx_ino,
    })
}

/// Reads what is in memory by one call; EAGAIN where the first byte is not, ENOSYS where that cannot be known.
pub(crate) fn read_at_hand(file: c_int, buffer: &mut [u8], offset: u64) -> Result<usize, i32> {
    let part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let at = off_t::try_from(offset).map_err(|_| libc::EINVAL)?;
    // SAFETY: the buffer is valid for writing as many bytes as are passed.
    match retry(|| unsafe { libc::preadv2(file, &raw const part, 1, at, libc::RWF_NOWAIT) }) {
        Err(libc::EOPNOTSUPP) => Err(libc::ENOSYS),
        result => result,
    }
}

/// What reading a file may wait for (statfs(2)). Only file systems that are known to be local are taken to be on a
/// disk of this computer.
pub(crate) fn storage(file: c_int) -> Storage {
    const RAMFS: i64 = 0x8584_58f6; // linux/magic.h
    const F2FS: i64 = 0xf2f5_2010;
    // The root of containers: its layers are on a disk as a rule.
    const OVERLAYFS: i64 = 0x794c_7630;
    const ZFS: i64 = 0x2fc1_2fc1;
    // SAFETY: zeros are a valid `statfs`.
    let mut status: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: `status` is valid for writing.
    let result = retry(|| unsafe { libc::fstatfs(file, &raw mut status) } as isize);
    #[allow(clippy::unnecessary_cast, reason = "other systems have other widths")]
    match result.map(|_| status.f_type as i64) {
        Ok(kind) if kind == libc::TMPFS_MAGIC as i64 || kind == RAMFS => Storage::Memory,
        Ok(kind)
            if kind == libc::EXT4_SUPER_MAGIC as i64
                || kind == libc::XFS_SUPER_MAGIC as i64
                || kind == libc::BTRFS_SUPER_MAGIC as i64
                || [F2FS, OVERLAYFS, ZFS].contains(&kind) =>
        {
            Storage::Disk
        }
        _ => Storage::Remote,
    }
}

/// How often openat2 is tried. It gives up at a `..` in a link if anything anywhere was renamed
/// meanwhile, for then it cannot tell whether the way led out of the root; it says EAGAIN, and so
/// does a file with a lease on it, which another try does not help.
const RACE_ATTEMPTS: u32 = 100;

/// Opens what `descriptor` names, which was opened with [`O_LOOK`]: this very file, whatever has
/// become of its name (proc(5), `/proc/self/fd`). `None` where there is no `/proc`.
pub(crate) fn reopen(descriptor: c_int, flags: c_int) -> Option<Result<c_int, i32>> {
    const FOLDER: &[u8] = b"/proc/self/fd/";
    const DIGITS: usize = 10; // of the largest descriptor
    let mut path = [0; FOLDER.len() + DIGITS + 1];
    path[..FOLDER.len()].copy_from_slice(FOLDER);
    let mut end = FOLDER.len() + descriptor.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = descriptor.unsigned_abs();
    while end > FOLDER.len() {
        end -= 1;
        path[end] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // SAFETY: the path ends with NUL: there is room for every digit and one byte more.
    match retry(|| unsafe { libc::open(path.as_ptr().cast(), flags) } as isize) {
        Err(libc::ENOENT) => None,
        result => Some(result.map(|opened| opened as c_int)),
    }
}

pub(crate) const COARSE_MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
pub(crate) const COARSE_REALTIME: libc::clockid_t = libc::CLOCK_REALTIME_COARSE;
