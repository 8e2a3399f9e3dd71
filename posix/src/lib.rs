//! BSD sockets and files through `libc`: the system calls that the backends share.
//!
//! Promises: no allocation of its own (but for [`mailbox`], [`queue`], [`start_thread`] and [`processors`], where there
//! is a standard library; and the C library allocates to read a directory and to look up a user), no panics on what the
//! system answers, every descriptor close-on-exec. Where systems differ, `sys` has one file for each and chooses in one
//! place. This room may not know of HTTP.
#![no_std]

#[cfg(not(target_os = "rtems"))]
extern crate std;

#[cfg(feature = "assumptions")]
pub mod assume;
mod clock;
#[cfg(not(all(target_os = "rtems", feature = "legacy")))]
mod descriptor;
mod errno;
mod file;
#[cfg(not(all(target_os = "rtems", feature = "legacy")))]
pub mod kqueue;
#[cfg(feature = "lab")]
pub mod lab;
mod socket;
mod sys;

#[cfg(any(test, target_os = "rtems"))]
mod paths;

cfg_if::cfg_if! {
    if #[cfg(target_os = "rtems")] {
        pub use paths::Root;
    } else {
        mod directory;
        mod entries;
        pub mod mailbox;
        mod process;
        mod processors;
        pub mod queue;
        mod refusal;
        mod sandbox;
        mod signals;
        mod stream;
        mod thread;
        mod walk;
        pub use descriptor::pipe;
        pub use directory::{Lookup, Root};
        pub use entries::Entries;
        pub use process::{UserError, become_user, ignore_write_signals, raise_descriptor_limit};
        pub use processors::processors;
        pub use refusal::{Reason, Refusal};
        pub use sandbox::{Folder, HAS_SANDBOX, enter_sandbox, pause};
        pub use signals::Signals;
        pub use stream::{open_missing_streams, standard_error, standard_output};
        pub use thread::start_thread;
    }
}

pub use clock::PosixClock;
#[cfg(not(all(target_os = "rtems", feature = "legacy")))]
pub use descriptor::{Descriptor, socket_pair, write_byte};
pub use errno::errno;
pub use file::{File, FileStatus, Kind, Links, OpenError};
pub use socket::{
    AddressText, ListenError, ListenOptions, PosixTransport, connect, listen, local_address,
    parse_ip, peer_address,
};
