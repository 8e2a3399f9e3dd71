//! The event channel of RTEMS: one Classic API message queue for each worker.
//!
//! `rtems_message_queue_receive` is the only thing in which a worker waits for clients, tasks and time.
//! Sockets make themselves heard by callbacks of the legacy stack or by a relay task over libbsd's
//! kqueue, other tasks and interrupt handlers by messages, and all of it is entries of the one queue.
//!
//! A network stack may make its caller wait for other reasons, of which this room can know nothing:
//! the legacy one, when it has no mbuf left, has each call that needs one (send, accept, setsockopt)
//! sleep until there is, on non-blocking sockets, too. It has to have enough of them.
//!
//! # Why nothing is lost
//!
//! The queue has a place for each descriptor and a place for each message. A descriptor's cell has
//! at most one entry in it, and a message travels in a letter, which has one as well: the queue
//! cannot overflow, and the code asserts that it does not. A sending end may outlive its channel:
//! whoever posts a message goes through a gate, which a channel closes before it goes, so that
//! nothing is posted to a queue that is gone, or to the one that got its identifier.
//!
//! # Turns
//!
//! RTEMS runs the most urgent task that can run, and among equals the one that runs until it waits. A
//! relay is one level more urgent than its worker, so that it is heard while the worker is busy; and
//! a worker that has found something to do so many times in a row yields, so that tasks as urgent as
//! itself have a turn.
//!
//! # Edges to levels
//!
//! What wakes is an edge: something changed. A cell counts these; [`RtemsTransport`] takes the
//! count before it tries a socket, and the channel reports a socket for as long as its count is not
//! zero. So a keep-alive request costs one receive on the queue, one on the socket, and one send.
//!
//! On other systems than RTEMS the directives and the feed are test doubles; the logic is the same.
#![no_std]

#[cfg(any(test, not(target_os = "rtems")))]
#[macro_use]
extern crate std;

pub mod cell;
mod channel;
mod clock;
mod feed;
mod gate;
mod mail;
mod memory;
#[cfg(loom)]
pub mod model;
mod queue;
mod sys;
pub mod task;
mod transport;

/// What the backend passes to the directives, for whoever provides them in place of RTEMS.
pub mod directives {
    pub use crate::queue::HEADER_WORDS;
    #[cfg(feature = "conformance")]
    pub use crate::sys::conformance::{Lab, Routine, run};
    pub use crate::sys::{MessageQueueConfig, NO_WAIT, PRIORITY};
    pub use crate::task::{CURRENT_PRIORITY, SELF};
}

pub use channel::{KEPT_FOR_MESSAGES, RtemsChannel, StartError};
pub use clock::{TickClock, is_reached, ticks, ticks_of, ticks_per_second};
pub use feed::FeedError;
#[cfg(all(target_os = "rtems", feature = "libbsd"))]
pub use feed::{Closing, LOOKS_PER_SECOND, Watching, endangered, number, try_closing};
pub use mail::{Delivery, Knocker, Mail, RtemsNotifier};
pub use memory::{Control, Letter, Memory, Room};
pub use queue::{Patience, StatusCode};
pub use transport::RtemsTransport;

/// Queues of the test double that there are: for tests that look whether one was left behind.
#[cfg(not(target_os = "rtems"))]
#[doc(hidden)]
#[must_use]
pub fn queues() -> usize {
    sys::queues()
}
