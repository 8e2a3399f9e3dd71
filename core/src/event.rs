//! Event channels: wait for sockets, be woken by other threads.
//!
//! A worker blocks in one place only, [`EventChannel::wait`]. What wakes it is either a socket
//! that became ready or a [`Message`] that another thread or task sent through a [`Notifier`].
//!
//! # What every channel promises
//!
//! 1. Readiness is a hint: an event may be spurious. Only *readable* and *writable* are promised;
//!    end of stream arrives as readable.
//! 2. Level-triggered: while a socket is readable and read interest is on, the next `wait` reports
//!    it again. A channel built on edges re-arms to keep this promise.
//! 3. Errors and hang-ups arrive without being asked for, with [`Readiness::FAILED`] set, also while
//!    bytes lie unread. A hang-up is the end of both directions; a half-closed peer is none.
//! 4. A [`Token`] comes back exactly as it was given, generation included.
//! 5. `remove` comes before the socket is closed; the channel's own descriptors are close-on-exec.
//! 6. Messages are bounded, multi-producer, in order per sender. [`Full`] is reported to the
//!    sender and never blocks it. A message sent before `wait` wakes that `wait`; none is lost and
//!    none is delivered twice. The wake primitive only wakes: a full pipe is no error.
//! 7. `wait` rounds a deadline up, clamps it, returns early on a signal without error, and returns
//!    at once when something is pending.
//! 8. The channel is made when the worker starts, never lazily from another thread.
//! 9. At most [`EventList::CAPACITY`] events are reported by one `wait`; what did not fit is
//!    reported by the next, and messages cannot starve sockets nor sockets messages. Where tasks
//!    share a processor by waiting, `wait` now and then lets equals go first, however much is ready.
//!
//! # What the caller owes
//!
//! An event is acted on with calls that may answer `WouldBlock`. A socket reported as `FAILED` is
//! removed and closed. An event for a token whose generation is gone is dropped.

use crate::transport::Socket;
use core::fmt;

/// Names a watched socket in the events that come back: an index and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// What the caller uses to find its connection; the channel gives it no meaning.
    pub index: u32,
    /// Counts the lives of that index, so that a late event for a former life can be told apart.
    pub generation: u32,
}

impl Token {
    /// The token as one number, for kernels that keep 64 bits of user data.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`Token::to_bits`].
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

/// What a socket is watched for. Errors are reported whatever the interest, even [`Interest::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Neither; the socket stays registered.
    NONE,
    /// Bytes to receive, a connection to accept, or end of stream.
    READ,
    /// Room to send.
    WRITE,
    /// Both.
    BOTH,
}

impl Interest {
    /// Whether readable events are wanted.
    #[must_use]
    pub const fn wants_read(self) -> bool {
        matches!(self, Self::READ | Self::BOTH)
    }

    /// Whether writable events are wanted.
    #[must_use]
    pub const fn wants_write(self) -> bool {
        matches!(self, Self::WRITE | Self::BOTH)
    }
}

/// What a socket was found ready for: a set of [`Readiness::READABLE`], [`Readiness::WRITABLE`]
/// and [`Readiness::FAILED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A receive or accept is worth trying.
    pub const READABLE: Self = Self(1);
    /// A send is worth trying.
    pub const WRITABLE: Self = Self(2);
    /// The socket has an error or both its directions are gone.
    pub const FAILED: Self = Self(4);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the members of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every member of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A deferred reply's claim check: which request, on which connection, of which worker.
///
/// Plain data: it may be copied to any thread, kept in a C structure, or lost. A ticket whose
/// request is gone completes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The connection.
    pub connection: Token,
    /// Which request of the connection's life.
    pub sequence: u32,
    /// Which worker serves the connection: the notifier to complete it through.
    pub worker: u32,
}

/// What another thread or task tells a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Serve this accepted, non-blocking socket; the worker owns it from now on.
    Adopt(Socket),
    /// The deferred reply of this ticket can be written; `value` is handed to the handler.
    Complete {
        /// Which request.
        ticket: Ticket,
        /// Whatever the completing side wants to tell: an index, a pointer-sized handle, a result.
        value: u64,
    },
    /// For the application; the engine passes it on to the service.
    Application(u64),
    /// Accept no more; finish the requests in flight, then stop.
    Drain,
    /// Stop now.
    Stop,
}

/// One thing that `wait` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A socket is worth a try.
    Ready {
        /// As given to [`EventChannel::add`].
        token: Token,
        /// What for.
        readiness: Readiness,
    },
    /// A message, each delivered once.
    Message(Message),
}

/// The events of one `wait`, in fixed memory.
#[derive(Debug, Default)]
pub struct EventList {
    items: heapless::Vec<Event, { EventList::CAPACITY }>,
}

impl EventList {
    /// Events that one `wait` reports at the most. Fewer in an image, which has fewer sockets and less
    /// memory.
    pub const CAPACITY: usize = if cfg!(target_os = "rtems") { 32 } else { 64 };

    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: heapless::Vec::new(),
        }
    }

    /// Empties the list.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Adds an event; `false` when the list is full and the event was not taken.
    #[must_use]
    pub fn push(&mut self, event: Event) -> bool {
        self.items.push(event).is_ok()
    }

    /// How many more events fit.
    #[must_use]
    pub fn room(&self) -> usize {
        Self::CAPACITY - self.items.len()
    }

    /// The events in the order they were reported.
    #[must_use]
    pub fn as_slice(&self) -> &[Event] {
        &self.items
    }
}

/// When a `wait` gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Look, do not block.
    Now,
    /// After this many milliseconds, rounded up to what the system can do, never down.
    After(u32),
    /// Only when something happens.
    Never,
}

/// Why a channel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The channel's fixed memory, or the kernel's, holds no more sockets.
    NoRoom,
    /// The socket is not watched (or, for `add`, is watched already).
    Registration,
    /// The system refused with this `errno` or status code.
    System(i32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("the event channel holds no more sockets; raise its limit"),
            Self::Registration => f.write_str("the socket's registration is not as expected"),
            Self::System(code) => {
                write!(f, "the system refused to watch the socket (error {code})")
            }
        }
    }
}

impl core::error::Error for Error {}

/// The worker's message queue is full; try again later or drop the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker's message queue is full; try again, or make the queue longer")
    }
}

impl core::error::Error for Full {}

/// Where a worker waits. The module's documentation lists the promises.
pub trait EventChannel {
    /// The sending end, for other threads or tasks.
    type Notifier: Notifier;

    /// Starts watching `socket`.
    ///
    /// # Errors
    /// [`Error::NoRoom`] when no more sockets can be watched, [`Error::Registration`] when this
    /// one already is.
    fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error>;

    /// Changes what a watched `socket` is watched for.
    ///
    /// # Errors
    /// [`Error::Registration`] when it is not watched.
    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), Error>;

    /// Stops watching `socket`; called before it is closed.
    ///
    /// # Errors
    /// [`Error::Registration`] when it is not watched.
    fn remove(&mut self, socket: Socket) -> Result<(), Error>;

    /// Clears `events`, then fills it with what happened; blocks until something did or `until`.
    ///
    /// # Errors
    /// Only when the channel itself is broken; a signal or an empty result is no error.
    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error>;

    /// A sending end.
    fn notifier(&self) -> Self::Notifier;
}

/// Sends messages to one worker from any thread or task; never blocks.
pub trait Notifier: Clone + Send {
    /// Queues `message` and wakes the worker.
    ///
    /// # Errors
    /// [`Full`] when the queue has no room; the message was not taken.
    fn send(&self, message: Message) -> Result<(), Full>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_survives_the_trip_through_64_bits() {
        for token in [
            Token {
                index: 0,
                generation: 0,
            },
            Token {
                index: u32::MAX,
                generation: 1,
            },
            Token {
                index: 7,
                generation: u32::MAX,
            },
        ] {
            assert_eq!(Token::from_bits(token.to_bits()), token);
        }
    }

    #[test]
    fn full_list_refuses_instead_of_dropping() {
        let mut list = EventList::new();
        for n in 0..EventList::CAPACITY as u64 {
            assert!(list.push(Event::Message(Message::Application(n))));
        }
        assert!(!list.push(Event::Message(Message::Stop)));
        assert_eq!(list.room(), 0);
    }
}
