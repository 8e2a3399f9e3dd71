//! libbsd's kqueue, and its sockets.

pub use capuchin_kqueue::{KqueueChannel as Channel, KqueueNotifier as Notifier};
use capuchin_posix::PosixTransport;
use capuchin_rtems::{Room, StartError};

/// Sockets, closed with care for others.
pub type Transport = capuchin_kqueue::KqueueTransport<PosixTransport>;

/// A channel in `room`.
pub fn channel(room: Room, messages: usize) -> Result<Channel, StartError> {
    Channel::new(room, messages)
}

/// The transport that goes with a channel in `room`.
pub fn transport(_room: Room) -> Transport {
    Transport::new(PosixTransport)
}

/// A transport that goes with two channels.
#[cfg(feature = "conformance")]
pub type TransportOfTwo = Transport;

/// The transport that goes with channels in two rooms.
#[cfg(feature = "conformance")]
pub fn transport_of_two([room, _]: [Room; 2]) -> TransportOfTwo {
    transport(room)
}
