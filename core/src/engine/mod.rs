//! Moves one connection on: bytes in, requests to the service, replies out.
//!
//! A [`Desk`] is what a worker works with besides its slots: transport, service, leases, time. It
//! advances one slot as far as the bytes, the socket and the fairness bound let it and says what
//! the connection waits for next. It never waits itself and knows no other connection.

mod bodies;
mod changed;
mod ending;
mod input;
mod later;
mod output;
mod replies;
mod requests;
#[cfg(not(target_os = "rtems"))]
mod straight;
mod waiting;

use crate::connection::{Body, Flags, Slot, State, Tail};
use crate::event::{Ticket, Token};
use crate::http::chunked::ChunkStep;
use crate::http::head::{Head, HeadError, HeadParser, Progress as Parsed, Version};
use crate::http::method::Method;
use crate::http::path;
use crate::http::status::Status;
use crate::http::write::Writer;
use crate::limits::Limits;
use crate::pool::{LeaseId, Leases};
use crate::reply::{Draft, Made, Next, Opening, Source, Step, StreamFraming, Terms};
use crate::service::{BodyProgress, Exceeded, Exchange, Outcome, Progress, Request, Service};
use crate::site::Content;
use crate::stats::{Counter, Stats};
use crate::throttle::Throttle;
use crate::transport::{Error, Then, Transport};
use core::fmt::Display;

/// What a connection waits for after it was moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Bytes from the client.
    Read,
    /// Room in the socket.
    Write,
    /// A ticket to be completed.
    Ticket,
    /// Its next turn: it could go on, but others come first.
    Turn,
    /// A free lease.
    Lease,
    /// Nothing: it is over, and all that was to be sent has been.
    Close,
    /// Nothing: it broke off.
    Abort,
}

/// What one connection may still do in this turn. Each request, each byte received and each byte handed to a send is
/// taken from it, and what a service says that its work cost. A send counts whole even where the socket takes less:
/// the bytes were read for it. Bytes that are copied into the connection's buffer count when they leave it: no more
/// than it holds can be copied before.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    requests: u32,
    bytes: usize,
    /// Whether a receive is worth trying.
    readable: bool,
    /// The first send of a connection that waited for room was refused.
    pub false_alarm: bool,
}

impl Budget {
    /// Bytes that are left.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether the next request has to wait for another turn, of `requests` in one. The first is answered even where
    /// receiving it took all bytes.
    fn is_spent(&self, requests: u32) -> bool {
        self.requests == 0 || self.bytes == 0 && self.requests != requests
    }
}

/// Bytes that a connection may move even in a turn whose bytes are spent: short responses do not wait behind
/// long ones. In a queue each connection counts as so many bytes at least, for its requests.
pub(crate) const SMALL_SHARE: usize = 32 << 10;

/// Bytes of content that are asked for when a socket that was full has room again: mostly less than for a whole
/// share, and what it does not take was read for nothing.
const FIRST_PIECE: usize = 64 << 10;

/// How sending went.
enum Flushed {
    All,
    /// The turn's share is used up; the socket would take more.
    Share,
    Blocked,
    /// The content changed before any of the response was sent.
    Changed,
    /// The content is not at hand yet.
    Pending,
    Broken,
}

impl Flushed {
    fn want(&self) -> Want {
        match self {
            Self::All | Self::Share => Want::Turn,
            Self::Blocked => Want::Write,
            Self::Changed | Self::Pending | Self::Broken => Want::Abort,
        }
    }
}

/// One step: go on, or wait.
type Flow = Option<Want>;
const GO_ON: Flow = None;

/// The interim reply of RFC 9110 section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes around a streamed chunk: four digits of its size and a line end before, a line end after.
const CHUNK_BEFORE: usize = 6;
const CHUNK_AFTER: usize = 2;
/// The chunk that ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Kinds of log lines that are told apart: the routes that lines are about, and a few others.
const LINE_KINDS: usize = 8;

/// The kind of lines about sockets that an event channel does not take; those about a route have its
/// number.
pub(crate) const SOCKET_LINE: usize = LINE_KINDS - 1;

/// Content up to this length is copied behind its head rather than sent from where it lies, so
/// that pipelined replies leave by one send.
const COPY_LIMIT: usize = 8_192;
/// The same where no other request waits for the reply to leave: about what one packet carries.
const COPY_ALONE: usize = 1_460;

/// What a handler gets besides the request, of a slot whose other members may be borrowed.
macro_rules! exchange {
    ($desk:ident, $slot:ident, $token:ident) => {
        Exchange {
            state: &mut $slot.user,
            route: &mut $slot.route,
            ticket: Ticket {
                connection: $token,
                sequence: $slot.sequence,
                worker: $desk.worker,
            },
            now: $desk.now,
            unix_time: $desk.unix_time,
        }
    };
}
use exchange;

/// What a reply to the present request has to keep to; borrows the opening alone.
macro_rules! terms {
    ($desk:ident, $slot:ident) => {
        terms_of(
            $slot,
            &$desk.opening,
            $desk.draining || leaves_unread($slot, &$desk.limits),
        )
    };
}
use terms;

pub(crate) struct Desk<'m, T, S> {
    pub transport: T,
    pub service: S,
    pub leases: Leases<'m>,
    /// For decoded paths, for bytes that are thrown away, and for error replies without a lease.
    pub scratch: &'m mut [u8],
    pub stats: &'m Stats,
    pub limits: Limits,
    pub worker: u32,
    pub now: u64,
    pub unix_time: u64,
    pub opening: Opening,
    /// [`Limits::request_bytes`].
    pub request_bytes: usize,
    /// The server is being stopped: no connection is kept alive.
    pub draining: bool,
    /// Leases to keep are for others that have waited longer.
    pub leases_promised: bool,
    /// For lines that clients can cause.
    pub throttle: Throttle<LINE_KINDS>,
    /// Bytes that all connections together may still move before new events are looked at.
    pub turn_left: usize,
    /// Bytes that the next connection may move.
    pub share: usize,
    /// Replies to repeated heads leave as much room to the next as others do.
    #[cfg(feature = "fault")]
    pub keeps_room: bool,
}

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// A connection's share of a turn. `readable` says whether its socket may have bytes.
    #[inline(always)]
    pub fn budget(&self, readable: bool) -> Budget {
        Budget {
            requests: self.limits.turn_requests,
            bytes: self.share,
            readable,
            false_alarm: false,
        }
    }

    /// Connections begin to share a turn's bytes anew.
    pub fn begin_share(&mut self) {
        self.turn_left = self.limits.turn_bytes as usize;
        self.share = self.turn_left;
    }

    /// Subtracts what a connection has used of its budget, beyond the small share that each may use, from the common
    /// budget of the turn.
    #[inline(always)]
    pub fn settle(&mut self, budget: &Budget, before: usize) {
        let used = before - budget.bytes;
        if used > SMALL_SHARE {
            self.use_up(used - SMALL_SHARE);
        }
    }

    /// Takes bytes from what all connections may use.
    #[inline(never)]
    pub fn use_up(&mut self, bytes: usize) {
        self.turn_left = self.turn_left.saturating_sub(bytes);
        self.share = (self.limits.turn_bytes as usize).min(self.turn_left.max(SMALL_SHARE));
    }

    /// Moves the connection on.
    pub fn advance(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Want {
        loop {
            let flow = match slot.state {
                State::Fresh | State::Idle | State::Head => self.head(slot, token, budget),
                State::Receiving | State::Collecting | State::Discarding => {
                    self.body(slot, token, budget)
                }
                State::Sending => self.send_tail(slot, token, budget),
                State::Streaming => self.stream(slot, token, budget),
                State::Waiting | State::Paused | State::Holding => self.wait(slot, budget),
                State::Finding if S::WAITS => self.wait(slot, budget),
                State::Asking if S::WAITS => self.ask_waiting(slot, token, budget),
                State::Loading if S::WAITS => Some(Want::Ticket),
                State::Resuming => self.resume(slot, token, budget),
                State::Closing => self.close(slot, budget),
                State::Lingering => self.linger(slot, budget),
                State::Free | State::Finding | State::Asking | State::Loading => Some(Want::Abort),
            };
            if let Some(want) = flow {
                return want;
            }
        }
    }
}

pub(super) fn terms_of<'d>(slot: &Slot, opening: &'d Opening, close: bool) -> Terms<'d> {
    Terms {
        version: if slot.flags.has(Flags::HTTP10) {
            Version::Http10
        } else {
            Version::Http11
        },
        head_only: slot.flags.has(Flags::HEAD_ONLY),
        close: close || slot.flags.has(Flags::CLOSE),
        copied: copy_limit(slot),
        opening,
    }
}

/// Bytes of content that are copied behind their head at most.
pub(super) fn copy_limit(slot: &Slot) -> usize {
    if slot.start == slot.end {
        COPY_ALONE
    } else {
        COPY_LIMIT
    }
}

/// Whether a reply given now leaves a body behind that would take too long to read only to throw it
/// away, or that may never come. The client is told to close then.
pub(super) fn leaves_unread(slot: &Slot, limits: &Limits) -> bool {
    match slot.body {
        Body::Done => false,
        Body::Length(length) => slot.flags.has(Flags::EXPECTS) || length > limits.drain_bytes,
        Body::Chunked(_) => slot.flags.has(Flags::EXPECTS),
    }
}
