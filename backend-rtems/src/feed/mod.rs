//! How the queue hears of sockets: one file for each network stack, chosen in one place.
//!
//! A feed only tells that something changed, in whatever context it runs; [`crate::cell`] does the
//! rest. It promises a change is told after it happened, each at least once, two that happen
//! together as two, and that after `unwatch` nothing more is told of the socket. (With several
//! processors the relay may tell late; the cell is nobody's then, and the relay ends before the queue
//! does.)

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "rtems", feature = "libbsd"))] {
        mod libbsd;
        mod relay;
        pub use libbsd::{
            Closing, FeedError, LOOKS_PER_SECOND, Watching, endangered, number, try_closing,
        };
        pub(crate) use relay::{Feed, Static};
    } else if #[cfg(target_os = "rtems")] {
        mod legacy;
        mod plain;
        pub(crate) use legacy::Feed;
        pub use legacy::FeedError;
        pub(crate) use plain::{Closing, Static};
    } else if #[cfg(target_os = "linux")] {
        mod double;
        mod plain;
        pub(crate) use double::Feed;
        pub use double::FeedError;
        pub(crate) use plain::{Closing, Static};
    } else {
        compile_error!("this backend is for RTEMS; its tests run on Linux");
    }
}

use crate::cell::{Cell, Direction};
use crate::memory::post_cell;
use core::ffi::c_int;

/// What a socket says when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// There are bytes, connections, or the end of them.
    pub readable: bool,
    /// There is room. Only where it was asked for.
    pub writable: bool,
    /// The connection has an error, or both directions of it are gone.
    pub failed: bool,
}

/// A feed heard that something changed.
pub(crate) fn tell(cell: &Cell, direction: Direction) {
    if cell.heard(direction) {
        post_cell(cell);
    }
}

/// A feed may hear of a socket no more.
#[cfg_attr(not(all(target_os = "rtems", feature = "libbsd")), allow(dead_code))]
pub(crate) fn lose(cell: &Cell) {
    if cell.lose() {
        post_cell(cell);
    }
}

/// What poll(2) says of a socket without waiting.
#[cfg(not(all(target_os = "rtems", not(feature = "libbsd"))))]
fn poll(socket: c_int, events: core::ffi::c_short) -> core::ffi::c_short {
    let mut asked = libc::pollfd {
        fd: socket,
        events,
        revents: 0,
    };
    // SAFETY: one structure is passed, which lives through the call.
    unsafe { libc::poll(&raw mut asked, 1, 0) };
    asked.revents
}

/// What a receive that takes nothing finds on a BSD stack, where it leaves an error in its place.
#[cfg(target_os = "rtems")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peek {
    Nothing,
    /// Bytes, or the end of them.
    Something,
    /// An error that the connection met.
    Failure,
    /// A listener.
    NoConnection,
}

#[cfg(target_os = "rtems")]
fn peek(socket: c_int) -> Peek {
    let mut byte = 0u8;
    // SAFETY: there is room for one byte.
    let count = unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_PEEK) };
    if count >= 0 {
        return Peek::Something;
    }
    match capuchin_posix::errno() {
        libc::EAGAIN | libc::EINTR => Peek::Nothing,
        libc::ENOTCONN | libc::EINVAL => Peek::NoConnection,
        _ => Peek::Failure,
    }
}
