//! What a server does with requests: the side that an application writes.
//!
//! The engine calls a [`Service`] from the worker's own thread or task, one call at a time; a call
//! must not block. [`crate::route::Routed`] is the service that most applications use: a table of
//! routes over shared application state, and a site for all other paths.

use crate::event::Ticket;
use crate::http::framing::Framing;
use crate::http::head::{Head, HeadError};
use crate::http::method::Method;
use crate::http::path;
use crate::http::status::Status;
use crate::http::write::Writer;
use crate::reply::{Draft, Next, Opening};
use crate::site::{Content, ContentId};
use core::ops::Range;

/// A request whose head is complete.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    head: Head<'r>,
    path: &'r [u8],
}

impl<'r> Request<'r> {
    /// A request of this head, its path decoded and normalised.
    #[must_use]
    pub fn new(head: Head<'r>, path: &'r [u8]) -> Self {
        Self { head, path }
    }

    /// The head as it came.
    #[must_use]
    pub fn head(&self) -> &Head<'r> {
        &self.head
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.head.method()
    }

    /// The path: percent-decoded, without dot segments and empty segments, beginning with `/`
    /// (or `*` for a server-wide OPTIONS). It may hold any byte but NUL, also such as are no UTF-8;
    /// [`crate::http::path::is_portable`] tells whether one is a control byte or a backslash.
    #[must_use]
    pub fn path(&self) -> &'r [u8] {
        self.path
    }

    /// The query, as it came, without the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'r [u8]> {
        self.head.query()
    }

    /// The value of the query's first parameter of this name, decoded into `out`; `None` when there is
    /// none. See [`path::query_value`].
    #[must_use]
    pub fn query_value<'o>(
        &self,
        name: &str,
        out: &'o mut [u8],
    ) -> Option<Result<&'o [u8], path::QueryError>> {
        path::query_value(self.query()?, name.as_bytes(), out)
    }

    /// The length of the body as announced: 0 without a body, `None` for one in chunks, whose length
    /// nobody has told.
    #[must_use]
    pub fn body_length(&self) -> Option<u64> {
        match self.head.framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }

    /// The first field of this name, whatever its case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'r [u8]> {
        self.head.field(name)
    }
}

/// What the engine keeps for a request between the calls that concern it.
#[derive(Debug)]
pub struct Exchange<'x> {
    /// For the handler: zero when the request begins, kept until it is over.
    pub state: &'x mut [u64; 2],
    /// For the service: which route answers; zero when the request begins.
    pub(crate) route: &'x mut u16,
    /// Names this request, to complete a deferred reply.
    pub ticket: Ticket,
    /// Milliseconds of the worker's monotonic clock.
    pub now: u64,
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix_time: u64,
}

/// What a streaming handler reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More will follow: ask again when there is room.
    More,
    /// Nothing now: ask again when the exchange's ticket is completed.
    Wait,
    /// That was the last piece.
    Done,
    /// The content cannot be finished: the connection ends so that the client sees that it is
    /// incomplete, by a reset where nothing else would tell it.
    Failed,
}

/// What a handler says to a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProgress {
    /// It has used or copied the piece.
    Taken,
    /// It cannot take the piece yet, and has taken nothing of it. The connection receives no more until
    /// the exchange's ticket is completed; then the handler is given the same bytes again, perhaps with
    /// more behind them. 503 when it takes longer than [`crate::limits::Limits::handler_ms`].
    Wait,
}

/// Why a handler takes no more of a body: the error response that ends the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400 to 599; any other status becomes 500.
    pub status: Status,
    /// For the client, behind the status; may be empty.
    pub reason: &'static str,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, reason: "" }
    }
}

/// A limit that a client's request went beyond, and that the developer or operator may have set too low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exceeded {
    /// [`crate::limits::Limits::head_bytes`]: the client got 414 or 431.
    Head,
    /// The number of field lines that a buffer's table holds: the client got 431.
    Fields,
    /// [`crate::limits::Limits::collect_bytes`]: the client got 413.
    CollectedBody,
}

impl Exceeded {
    /// The limit that a head was refused by, if it was one.
    pub(crate) fn by(error: HeadError) -> Option<Self> {
        match error {
            HeadError::TooLarge | HeadError::RequestLineTooLong => Some(Self::Head),
            HeadError::TooManyFields => Some(Self::Fields),
            _ => None,
        }
    }
}

/// How an exchange ended, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status sent; `None` when the connection was lost before any.
    pub status: Option<Status>,
    /// Bytes of its content that were sent, or are next to be.
    pub content: u64,
    /// Whether the reply was made to its end. What lies in the connection's buffer or with the
    /// system may still not arrive.
    pub complete: bool,
}

/// The application behind a worker.
pub trait Service {
    /// What the transport can send files from.
    type File: Copy;

    /// A connection was taken into service. `index` names it in [`Service::request`] and
    /// [`Service::finished`] until [`Service::closed`].
    fn connected(&mut self, index: u32, socket: crate::transport::Socket) {
        let _ = (index, socket);
    }

    /// The connection is closed; its index will be used again.
    fn closed(&mut self, index: u32) {
        let _ = index;
    }

    /// A request's head is complete. Its body, if any, follows only if the reply asks for it.
    fn request(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next;

    /// A piece of the body, never empty, after [`crate::reply::Reply::receive_body`].
    ///
    /// # Errors
    /// The error response that ends the request; the rest of the body is not read.
    fn body(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal>;

    /// The body has been received to its end, after [`crate::reply::Reply::receive_body`].
    fn received(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next;

    /// The whole body is there, after [`crate::reply::Reply::collect_body`].
    fn collected(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        body: &[u8],
        draft: &mut Draft<'_>,
    ) -> Next;

    /// A deferred reply was completed with `value`.
    fn resume(&mut self, exchange: &mut Exchange<'_>, value: u64, draft: &mut Draft<'_>) -> Next;

    /// Room for more of a streamed reply: write as much as is at hand and fits.
    fn stream(&mut self, exchange: &mut Exchange<'_>, out: &mut Writer<'_>) -> Progress;

    /// A request that the handler had begun (it deferred, receives or streams) ends without it:
    /// the client is gone, a deadline passed, its body is broken or too long, or nobody wants the
    /// content (HEAD). Called once; state that the exchange refers to can be freed.
    fn abandoned(&mut self, exchange: &mut Exchange<'_>);

    /// A request was refused because it went beyond a limit. Any client can bring this about as often as
    /// it likes: what is said to a log has to be bounded.
    fn exceeded(&mut self, limit: Exceeded) {
        let _ = limit;
    }

    /// What the log calls the route with this number of an [`Exchange`]; nothing where the
    /// service has no names.
    fn route_name(&self, route: u16) -> &str {
        let _ = route;
        ""
    }

    /// [`crate::event::Message::Application`] arrived.
    fn message(&mut self, value: u64);

    /// The bytes at `range`, which is not empty, of content that a reply holds.
    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, Self::File>;

    /// A reply needs the content no more.
    fn release(&mut self, id: ContentId);

    /// As [`crate::site::Site::prepared`]. In a pipeline, requests that repeat the one before them byte for byte, and
    /// got such a reply, are answered by this alone, without [`Service::request`]: a service that looks at requests
    /// before a site does, and not only at their heads, must not pass this on, nor [`Service::recall`].
    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        let _ = (id, opening);
        None
    }

    /// As [`crate::site::Site::recall`]: a service that answers so is not asked by [`Service::request`].
    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        let _ = (head, place, now, unix_time);
        None
    }

    /// As [`crate::site::Site::remember`].
    fn remember(&mut self, head: &[u8], id: ContentId) {
        let _ = (head, id);
    }

    /// Asked before [`Service::observe`]: whether requests are to be reported.
    fn observes(&self) -> bool {
        false
    }

    /// The head of the request on connection `index`, for an access log; `None` when the bytes
    /// received are no request. [`Service::finished`] follows.
    fn observe(&mut self, index: u32, request: Option<&Head<'_>>, unix_time: u64) {
        let _ = (index, request, unix_time);
    }

    /// The exchange on connection `index` is over.
    fn finished(&mut self, index: u32, outcome: Outcome) {
        let _ = (index, outcome);
    }

    /// The end of one turn of the worker: the moment to pass on what was gathered.
    fn turn_ended(&mut self) {}
}
