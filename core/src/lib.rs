//! Capuchin's engine: HTTP/1.1 and the server loop, without I/O and without an allocator.
//!
//! Everything here works in memory that the caller hands over at the start; nothing here makes a
//! system call, allocates, or contains `unsafe`. Sockets are reached through
//! [`transport::Transport`], waiting through [`event::EventChannel`].
#![cfg_attr(target_os = "rtems", feature(optimize_attribute))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// A line in the log. In an image by way of one place, for what goes with a line is as large as it.
macro_rules! report {
    ($level:ident, $($line:tt)+) => {
        if cfg!(target_os = "rtems") {
            $crate::report(log::Level::$level, format_args!($($line)+));
        } else {
            log::log!(log::Level::$level, $($line)+);
        }
    };
}

#[cold]
#[inline(never)]
fn report(level: log::Level, line: core::fmt::Arguments<'_>) {
    log::log!(level, "{line}");
}

pub mod acceptor;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod engine;
pub mod event;
#[cfg(feature = "fault")]
pub mod fault;
pub mod http;
pub mod limits;
pub mod pool;
pub mod reply;
pub mod route;
pub mod server;
pub mod service;
pub mod site;
pub mod stats;
pub mod table;
pub mod throttle;
pub mod timer;
pub mod transport;
pub mod wake;

pub use connection::Slot;
