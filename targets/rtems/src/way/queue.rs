//! A message queue, and the system's sockets.

use capuchin_posix::PosixTransport;
use capuchin_rtems::{Room, StartError};
pub use capuchin_rtems::{RtemsChannel as Channel, RtemsNotifier as Notifier};

/// Sockets, of which each attempt is told to the channel.
pub type Transport = capuchin_rtems::RtemsTransport<PosixTransport>;

/// A channel in `room`.
pub fn channel(room: Room, messages: usize) -> Result<Channel, StartError> {
    Channel::new(room, messages)
}

/// The transport that goes with a channel in `room`.
pub fn transport(room: Room) -> Transport {
    Transport::new(PosixTransport, room.cells())
}

/// A transport that goes with two channels: both are told of each attempt.
#[cfg(feature = "conformance")]
pub type TransportOfTwo = capuchin_rtems::RtemsTransport<Transport>;

/// The transport that goes with channels in two rooms.
#[cfg(feature = "conformance")]
pub fn transport_of_two([first, second]: [Room; 2]) -> TransportOfTwo {
    TransportOfTwo::new(transport(first), second.cells())
}
