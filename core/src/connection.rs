//! One connection's state: what a slot keeps, and what its phases are.
//!
//! A slot is small because most connections wait: buffers are leased ([`crate::pool`]), and what
//! a phase needs lies in fields that several phases share. How the state moves on is in
//! [`crate::engine`]; when, in [`crate::server`].
//!
//! ```text
//!            ┌──────────────────────────────┐
//!  Fresh ──▶ Head ──▶ [handler] ──▶ reply ──┴▶ Idle ──▶ Head …
//!                        │  ▲  │      │
//!      Receiving ◀───────┤  │  │      ├──▶ Sending   (static, site)
//!       ⇅ Holding        │  │  │      │
//!      Collecting ◀──────┤  │  │      ├──▶ Streaming ⇄ Paused
//!      Waiting ◀─────────┘  │  │      ├──▶ Discarding (unread body), then Idle
//!          └─ ticket ─▶ Resuming      └──▶ Closing ──▶ Lingering ──▶ closed
//! ```

use crate::http::chunked::{ChunkError, ChunkStep, ChunkedDecoder};
use crate::http::framing::Framing;
use crate::http::head::HeadParser;
use crate::pool::LeaseId;
use crate::reply::StreamFraming;
use crate::site::ContentId;
use crate::timer::{Timed, TimerLink};
use crate::transport::Socket;

/// Where a connection is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In no use.
    Free,
    /// Accepted; nothing has arrived.
    Fresh,
    /// Between two requests.
    Idle,
    /// A head has begun.
    Head,
    /// The handler takes the body piece by piece; the head stays in the lease.
    Receiving,
    /// The handler does not take the next piece of the body before its ticket is completed: nothing
    /// more is received.
    Holding,
    /// The body is gathered in the lease.
    Collecting,
    /// The handler deferred its reply.
    Waiting,
    /// The deferred reply was completed; a lease is needed to write it.
    Resuming,
    /// A reply's content comes from a site or from static memory.
    Sending,
    /// The handler supplies content.
    Streaming,
    /// The handler supplies content, but has none at the moment.
    Paused,
    /// The reply is done; the rest of the request's body is read and thrown away.
    Discarding,
    /// The last reply is on its way.
    Closing,
    /// The last reply is out and the sending side ended; what the client still sends is read.
    Lingering,
}

/// Content that follows what lies in the lease.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail {
    None,
    Static(&'static [u8]),
    Site {
        id: ContentId,
        at: u64,
        end: u64,
        /// Where in the lease the plan of the parts is that follow this one (see
        /// [`crate::http::byteranges`]); 0 when none do.
        plan: u16,
        /// Which of those is next.
        part: u8,
    },
    Stream {
        framing: StreamFraming,
        remaining: u64,
    },
}

/// A request's body, as far as it has not been read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    Done,
    Length(u64),
    Chunked(ChunkedDecoder),
}

impl Body {
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Looks at `input` and tells what of it is the body's; becomes `Done` with the end.
    pub fn advance(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        let step = match self {
            Self::Done => ChunkStep::End { consumed: 0 },
            Self::Length(remaining) => {
                let taken = input
                    .len()
                    .min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                *remaining -= taken as u64;
                match (*remaining, taken) {
                    (0, 0) => ChunkStep::End { consumed: 0 },
                    (_, 0) => ChunkStep::Incomplete { consumed: 0 },
                    _ => ChunkStep::Data {
                        start: 0,
                        end: taken,
                    },
                }
            }
            Self::Chunked(decoder) => decoder.advance(input)?,
        };
        if matches!(step, ChunkStep::End { .. }) {
            *self = Self::Done;
        }
        Ok(step)
    }
}

/// No slot, in a list of slots.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What the channel has been told about the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Unknown,
    Nothing,
    Read,
    Write,
}

/// Yes-or-no facts about a connection and its request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags(u16);

impl Flags {
    /// The connection ends after the reply.
    pub const CLOSE: u16 = 1;
    /// The client speaks HTTP/1.0.
    pub const HTTP10: u16 = 1 << 1;
    /// The request is HEAD.
    pub const HEAD_ONLY: u16 = 1 << 2;
    /// The client waits for 100 (Continue).
    pub const EXPECTS: u16 = 1 << 3;
    /// The client has ended its sending side.
    pub const EOF: u16 = 1 << 4;
    /// The client may have sent more than was read: linger before closing.
    pub const LINGER: u16 = 1 << 5;
    /// Something happened that starts the phase's deadline anew.
    pub const REARM: u16 = 1 << 6;
    /// In the run queue or the queue for leases.
    pub const QUEUED: u16 = 1 << 7;
    /// Waits for a lease (a kind of `QUEUED`).
    pub const WANTS_LEASE: u16 = 1 << 8;
    /// Closed while `QUEUED`: free once it leaves the queue.
    pub const DEAD: u16 = 1 << 9;
    /// The service was told of this request and not yet of its end.
    pub const OBSERVED: u16 = 1 << 10;
    /// Part of a reply's head is in the lease or sent: no error reply can be given any more.
    pub const REPLIED: u16 = 1 << 11;
    /// Came when all places were taken.
    pub const REFUSED: u16 = 1 << 12;
    /// The service was asked again, because what it had found changed before any of it was sent.
    pub const ASKED_AGAIN: u16 = 1 << 13;

    pub fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
    pub fn set(&mut self, flag: u16) {
        self.0 |= flag;
    }
    pub fn clear(&mut self, flag: u16) {
        self.0 &= !flag;
    }
    pub fn put(&mut self, flag: u16, on: bool) {
        if on { self.set(flag) } else { self.clear(flag) }
    }
}

/// One connection. Positions (`head` to `out_end`) count from the start of the lease:
///
/// ```text
///  0 ▸ head ▸ (collected body ▸) start ▸ end        out ▸ out_end
///      └ this request ┘           └ unread input ┘  └ unsent output ┘
/// ```
#[derive(Debug)]
pub struct Slot {
    pub(crate) timer: TimerLink,
    pub(crate) socket: Socket,
    pub(crate) generation: u32,
    /// Requests answered so far.
    pub(crate) sequence: u32,
    /// Next in the free list or in a queue.
    pub(crate) next: u32,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) head: u16,
    pub(crate) start: u16,
    pub(crate) end: u16,
    pub(crate) out: u16,
    pub(crate) out_end: u16,
    /// End of the collected body, which begins where the head ends; where the head ends while a body is
    /// handed over in pieces. Of a response that is being sent, where it begins.
    pub(crate) collected: u16,
    /// Which route answers; between requests, a site's hint (see [`crate::site::Site::recall`]).
    pub(crate) route: u16,
    /// Status of the reply under way, for the log.
    pub(crate) status: u16,
    pub(crate) flags: Flags,
    pub(crate) state: State,
    pub(crate) watch: Watch,
    pub(crate) parser: HeadParser,
    pub(crate) body: Body,
    pub(crate) tail: Tail,
    /// For the handler.
    pub(crate) user: [u64; 2],
    /// Bytes of the body read, then of content sent; between, the value of a completed ticket.
    pub(crate) count: u64,
}

// The figure of design.md section 4, on 64-bit systems; smaller where words are.
const _: () = assert!(size_of::<Slot>() <= 128, "a connection slot has grown");

impl Slot {
    /// A slot in no use.
    pub const FREE: Self = Self {
        timer: TimerLink::UNARMED,
        socket: Socket(-1),
        generation: 0,
        sequence: 0,
        next: NO_SLOT,
        lease: None,
        head: 0,
        start: 0,
        end: 0,
        out: 0,
        out_end: 0,
        collected: 0,
        route: 0,
        status: 0,
        flags: Flags(0),
        state: State::Free,
        watch: Watch::Unknown,
        parser: HeadParser::NEW,
        body: Body::Done,
        tail: Tail::None,
        user: [0; 2],
        count: 0,
    };

    /// Takes the slot into use for `socket`; its generation stays.
    pub(crate) fn begin(&mut self, socket: Socket) {
        let generation = self.generation;
        *self = Self {
            socket,
            generation,
            state: State::Fresh,
            flags: Flags(Flags::REARM),
            ..Self::FREE
        };
    }

    /// Moves to another state; its deadline, if it has one of its own, starts now.
    pub(crate) fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.flags.set(Flags::REARM);
        }
    }

    pub(crate) fn has_output(&self) -> bool {
        self.out != self.out_end
    }

    /// Whether the request's head stays in the lease: handlers of bodies look at it.
    pub(crate) fn keeps_head(&self) -> bool {
        matches!(
            self.state,
            State::Collecting | State::Receiving | State::Holding
        )
    }

    /// Where the bytes begin that have to stay in the lease.
    pub(crate) fn base(&self) -> u16 {
        if self.keeps_head() {
            self.head
        } else {
            self.start
        }
    }

    /// Whether the lease holds nothing that is needed.
    pub(crate) fn is_hollow(&self) -> bool {
        self.base() == self.end
            && !self.has_output()
            && !matches!(self.tail, Tail::Site { plan: 1.., .. })
    }

    /// The connection ends after the reply. Where that is not the client's own wish, more requests may
    /// be on their way, and closing over them would reset the connection: it is closed gently.
    pub(crate) fn close_after_reply(&mut self) {
        if !self.flags.has(Flags::CLOSE) {
            self.flags.set(Flags::CLOSE | Flags::LINGER);
        }
    }

    /// Whether a connection that ends need not linger: the client has sent nothing that was not read, or
    /// will send nothing more.
    pub(crate) fn closes_at_once(&self) -> bool {
        let unread = self.start != self.end || self.flags.has(Flags::LINGER);
        !unread || self.flags.has(Flags::EOF)
    }

    /// Whether no complete head has come since the last request.
    pub(crate) fn is_before_request(&self) -> bool {
        matches!(self.state, State::Fresh | State::Idle | State::Head)
    }

    /// Whether a handler has begun and its end has to be told should the request break off.
    pub(crate) fn is_in_handler(&self) -> bool {
        use State::{Collecting, Holding, Paused, Receiving, Resuming, Streaming, Waiting};
        matches!(
            self.state,
            Receiving | Holding | Collecting | Waiting | Resuming | Streaming | Paused
        )
    }
}

impl Timed for Slot {
    fn timer(&self) -> &TimerLink {
        &self.timer
    }
    fn timer_mut(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}
