//! TCP/IP for images that have none: `smoltcp` behind the traits that the engine knows.
//!
//! A [`Net`] is one network interface with its sockets, in memory of fixed size ([`Memory`]). One
//! worker owns it and reaches it in two ways: a [`StackTransport`] receives and sends, a
//! [`StackChannel`] waits. Nobody else touches it: other tasks and the card's interrupt post to the
//! message queue that the channel waits on, and the stack runs in the worker's own loop, so that its
//! deadlines and the server's share one wait.
//!
//! # What it promises
//!
//! - Addresses are answered for (ARP, ICMP echo) whenever the worker waits.
//! - Bytes that a transport took leave at the next wait; a reply and its end in one packet where they
//!   fit.
//! - A listener has up to a backlog of sockets that wait for a connection. A newcomer for whom none is left
//!   is not refused but hears nothing, and tries again. Sockets of connections that were closed here
//!   are taken back when they are needed as soon as their client has all of it, the end included.
//! - A client that does not end its side of a closed connection is cut off after [`ORPHAN_MS`].
//!
//! # What it must not do
//!
//! It allocates nothing, and it knows neither cards nor interrupts: a card is a `smoltcp` device, and its
//! interrupt handler knocks ([`capuchin_rtems::Knocker`]).
#![no_std]
#![forbid(unsafe_code)]

mod channel;
mod gate;
mod memory;
mod net;
mod places;
mod transport;

pub use channel::{Card, StackChannel};
pub use memory::{Memory, Place, Room, Storage};
pub use net::{Address, Net};
pub use places::{LISTENERS, NetError, ORPHAN_MS};
pub use transport::{NoFile, Reader, StackTransport};
