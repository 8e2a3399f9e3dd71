//! The event channel of FreeBSD, and of RTEMS with libbsd: kqueue for sockets, a socketpair to be woken
//! by others.
//!
//! # Why a socketpair
//!
//! A pipe would do on FreeBSD, but RTEMS has pipes of its own, which libbsd's kqueue refuses with
//! EINVAL; and `EVFILT_USER` differs between the BSDs. What can be watched everywhere is a socket.
//!
//! # What is asked of the kernel
//!
//! Each socket has two filters, level-triggered; the kernel is the only one that knows
//! which sockets these are. A connection costs three calls in its life besides the waits: whether it is
//! watched, to watch it, and to watch it no more; one more each time that its interest changes.
//!
//! On Linux, for tests, the calls are a double's: what the manual pages kqueue(2) and kevent(2) of FreeBSD
//! say, over epoll.
#![cfg_attr(target_os = "rtems", no_std)]

mod filters;
mod sys;

cfg_if::cfg_if! {
    if #[cfg(target_os = "rtems")] {
        mod rtems;
        pub use rtems::{KqueueChannel, KqueueNotifier, KqueueTransport};
    } else {
        mod channel;
        pub use channel::{KqueueChannel, KqueueNotifier};
    }
}
