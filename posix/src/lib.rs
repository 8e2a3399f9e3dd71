//! BSD sockets and files through `libc`: the system calls that the backends share.
//!
//! Promises: no allocation of its own (the C library allocates to read a directory and to look up a
//! user), no panics on what the system answers, every descriptor close-on-exec.
//! Where systems differ, `sys` has one file for each and chooses in one place. This room may not
//! know of HTTP.
#![no_std]

#[cfg(any(test, feature = "lab"))]
extern crate std;

mod clock;
mod directory;
mod entries;
mod errno;
#[cfg(feature = "lab")]
pub mod lab;
mod process;
mod socket;
mod sys;

pub use clock::PosixClock;
pub use directory::{File, FileStatus, Kind, Links, OpenError, Root};
pub use entries::Entries;
pub use errno::errno;
pub use process::{UserError, become_user, ignore_broken_pipes, raise_descriptor_limit};
pub use socket::{ListenError, ListenOptions, PosixTransport, listen, local_address, peer_address};
