//! What a connection needs of the network: accept, receive, send, close.
//!
//! Every call is non-blocking. An implementation retries calls that a signal interrupted and turns
//! the system's error numbers into [`Error`]; it keeps no state per connection that the engine
//! would have to know of.

use core::fmt;

/// A socket's name: a file descriptor, or an index in a network stack of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket(pub i32);

/// Why a call on a socket did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not now; wait for readiness.
    WouldBlock,
    /// The peer is gone (reset, broken pipe, aborted before it was accepted).
    Disconnected,
    /// The process or the system has no more descriptors, sockets or buffers.
    Exhausted,
    /// A file ended before the bytes that were promised.
    Truncated,
    /// The socket cannot do this, now or later; the `errno` says why.
    Unusable(i32),
    /// The system refused with this `errno`.
    System(i32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("not ready"),
            Self::Disconnected => f.write_str("the peer closed the connection"),
            Self::Exhausted => f.write_str(
                "out of file descriptors or sockets; raise the limit or lower the number of connections",
            ),
            Self::Truncated => f.write_str("the file became shorter while it was sent"),
            Self::Unusable(code) => write!(f, "the socket is of no more use (error {code})"),
            Self::System(code) => write!(f, "the system refused (error {code})"),
        }
    }
}

impl core::error::Error for Error {}

/// What follows the bytes of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing that is known.
    Nothing,
    /// More, at once: a short packet may wait for it.
    More,
    /// The end: as soon as all of these bytes are taken, the socket is closed, and nothing is asked of
    /// it before. A transport may end the sending direction with the last byte, so that one packet carries
    /// both.
    End,
}

/// The sockets under the engine.
pub trait Transport {
    /// Something that [`Transport::send_file`] can send from: a descriptor.
    type File: Copy;

    /// Takes the next connection that waits at `listener`; it is non-blocking, close-on-exec and
    /// sends without delay (`TCP_NODELAY`).
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when none waits, [`Error::Exhausted`] when there is no descriptor for
    /// it (it keeps waiting in the backlog), [`Error::Disconnected`] when it went away meanwhile,
    /// [`Error::Unusable`] when none can ever come: whoever owns the listener closes it then.
    fn accept(&mut self, listener: Socket) -> Result<Socket, Error>;

    /// Receives into `buffer`, which is not empty; `Ok(0)` is end of stream.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] or what broke the connection.
    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error>;

    /// As [`Transport::receive`], but the bytes stay where they are, to be received.
    ///
    /// # Errors
    /// Those of [`Transport::receive`]; [`Error::Unusable`] where a transport cannot do this.
    /// Requests then wait for a buffer of their own when buffers are short.
    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        let _ = (socket, buffer);
        Err(Error::Unusable(0))
    }

    /// Sends `parts` in order by one call where the system can; tells how many bytes it took.
    /// `then` says what follows, which is a hint only.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when it took none, or what broke the connection. Never raises SIGPIPE.
    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error>;

    /// Sends up to `length` bytes of `file` from `offset`; tells how many the socket took.
    ///
    /// A peer that is gone is an error, not a SIGPIPE. Systems' own calls for this cannot promise it
    /// (sendfile(2) takes no `MSG_NOSIGNAL`): a transport that uses one says so, and whoever starts
    /// the server has the process ignore the signal.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when it took none, [`Error::Truncated`] when the file ends at or
    /// before `offset`, or what broke the connection.
    fn send_file(
        &mut self,
        socket: Socket,
        file: Self::File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error>;

    /// Ends the sending direction: the peer reads end of stream after all that was sent.
    ///
    /// # Errors
    /// [`Error::Disconnected`] when there is nobody left to tell.
    fn shutdown(&mut self, socket: Socket) -> Result<(), Error>;

    /// Has the following [`Transport::close`] reset the connection: what was not sent is thrown away,
    /// and the peer meets an error where end of stream would say that all is well. For connections
    /// that break off. Without it, where a system has no such thing, they end like others.
    fn abort(&mut self, socket: Socket) {
        let _ = socket;
    }

    /// Gives the socket back. It is gone afterwards even when an error is reported.
    ///
    /// # Errors
    /// What the system reported; counted, for a descriptor that does not close is a leak.
    fn close(&mut self, socket: Socket) -> Result<(), Error>;
}

/// The time, as the engine needs it.
pub trait Clock {
    /// Milliseconds since some fixed moment; never goes back.
    fn monotonic(&mut self) -> u64;

    /// Seconds since 1970-01-01 00:00:00 UTC, for `Date` and comparisons with it.
    fn unix_time(&mut self) -> u64;
}
