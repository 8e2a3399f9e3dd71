//! The way in which workers wait: a message queue, or with the feature `kqueue` libbsd's kqueue.

use capuchin_posix::PosixTransport;
use capuchin_rtems::Room;

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "rtems", feature = "kqueue"))] {
        pub use capuchin_kqueue::{KqueueChannel as Channel, KqueueNotifier as Notifier};
        /// Sockets, closed with care for others.
        pub type Transport = capuchin_kqueue::KqueueTransport<PosixTransport>;

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
    } else {
        pub use capuchin_rtems::{RtemsChannel as Channel, RtemsNotifier as Notifier};
        /// Sockets, of which each attempt is told to the channel.
        pub type Transport = capuchin_rtems::RtemsTransport<PosixTransport>;

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
    }
}
