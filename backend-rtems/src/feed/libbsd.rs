//! What both ways to wait on libbsd have in common: its number of a socket, and why there is no waiting.

use crate::queue::StatusCode;
use capuchin_core::transport::Socket;
use core::ffi::c_void;
use core::fmt;

/// Why there is no feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedError {
    /// The kernel gives no kqueue, or takes no socket into it (an `errno`).
    Kqueue(i32),
    /// There is no pair of local sockets (an `errno`).
    Socketpair(i32),
    /// There is no timer, or no interrupt server to ring for interrupt handlers.
    Bell(StatusCode),
    /// The relay task could not be started.
    Relay(StatusCode),
    /// A socket that was watched could not be closed (an `errno`).
    Close(i32),
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kqueue(errno) => write!(
                f,
                "kqueue cannot be had (errno {errno}): initialise libbsd first, and raise CONFIGURE_MAXIMUM_FILE_DESCRIPTORS if that is 24 (EMFILE) or 23 (ENFILE)"
            ),
            Self::Socketpair(errno) => write!(
                f,
                "socketpair() fails (errno {errno}): raise CONFIGURE_MAXIMUM_FILE_DESCRIPTORS if that is 24 (EMFILE) or 23 (ENFILE), else build libbsd with local sockets"
            ),
            Self::Bell(StatusCode(code)) => write!(
                f,
                "no timer or no interrupt server (status code {code}): raise CONFIGURE_MAXIMUM_TIMERS by one for each worker, of which there are at most 15, and initialise libbsd first"
            ),
            Self::Relay(StatusCode(code)) => write!(
                f,
                "the relay task cannot be had (status code {code}): raise CONFIGURE_MAXIMUM_TASKS by one for each worker"
            ),
            Self::Close(errno) => write!(
                f,
                "this libbsd keeps sockets open that kqueue has watched (errno {errno}): use its branch 6-freebsd-14"
            ),
        }
    }
}

/// `rtems_libio_t` of RTEMS's `rtems/libio.h`: an entry of the table of descriptors.
#[repr(C)]
struct Libio {
    flags: u32,
    offset: i64,
    pathinfo: [usize; 6],
    /// libbsd's own number.
    data0: u32,
    data1: *mut c_void,
}

unsafe extern "C" {
    /// As many as there can be: `CONFIGURE_MAXIMUM_FILE_DESCRIPTORS`.
    static rtems_libio_number_iops: u32;
    static rtems_libio_iops: [Libio; 0];
}

/// libbsd's number of an open socket, under which a close throws away what kqueues watch; 0 of what cannot
/// be one.
#[must_use]
pub fn number(socket: Socket) -> u32 {
    let Ok(index) = u32::try_from(socket.0) else {
        return 0;
    };
    // SAFETY: the number is a constant, and the table has so many entries, which are there from the start.
    unsafe {
        if index >= rtems_libio_number_iops {
            return 0;
        }
        let first = (&raw const rtems_libio_iops).cast::<Libio>();
        (*first.add(index as usize)).data0
    }
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    layout "rtems_libio_t" = Libio { flags, offset, pathinfo, data0, data1 }
}
