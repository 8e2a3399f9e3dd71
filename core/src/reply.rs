//! Writing a reply: what a handler is given, and what it gives back.
//!
//! A [`Reply`] writes its head straight into the connection's buffer. Framing (`Content-Length`,
//! `Transfer-Encoding`, `Connection`, `Date`) is the engine's business and cannot be set by a
//! handler, so a reply is always framed right. A value with a line end in it is refused (the
//! client gets 500 and the log a line), so that no request can smuggle fields into a reply.

use crate::http::byteranges::ByteRanges;
use crate::http::date::HttpDate;
use crate::http::head::Version;
use crate::http::path;
use crate::http::range::ContentRange;
use crate::http::scan;
use crate::http::status::Status;
use crate::http::write::{LINE_END, Writer};
use crate::site::{ContentId, Representation};
use core::ops::Range;

/// What the engine knows about an exchange when its reply is written.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'b> {
    /// The client's version: what it can understand.
    pub version: Version,
    /// The request was HEAD: no content is sent, its length is told all the same.
    pub head_only: bool,
    /// The connection ends after this reply.
    pub close: bool,
    /// Bytes of a site's content that are copied behind the head at most, if there is room for them;
    /// what is longer is sent from where it lies.
    pub copied: usize,
    /// The first lines, ready to send.
    pub opening: &'b Opening,
}

/// The first two lines of most replies: the status line of a 200 and the `Date` field.
pub type Opening = [u8; OPENING.len()];

const OPENING: &[u8; 54] = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

/// Where in an [`Opening`] the field begins, which is the same for all replies, and its value.
const DATE_LINE: usize = b"HTTP/1.1 200 OK\r\n".len();
const DATE: usize = DATE_LINE + b"Date: ".len();

/// The opening of replies at a moment.
#[must_use]
pub fn opening(date: HttpDate) -> Opening {
    let mut opening = *OPENING;
    opening[DATE..DATE + HttpDate::LENGTH].copy_from_slice(&date.format());
    opening
}

/// What the engine does after a handler returned; made by [`Reply`] and [`Head`].
#[must_use = "the engine acts on this; return it from the handler"]
#[derive(Debug)]
pub struct Next(pub(crate) Step);

impl Next {
    /// The handler failed: the client gets 500 and the connection ends; `reason` goes to the log.
    pub fn failed(reason: &'static str) -> Self {
        Self(Step::Failed(reason))
    }

    /// Whether the response could not be written, as when it did not fit.
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self.0, Step::Failed(_))
    }
}

/// The content of [`Next`].
#[derive(Debug)]
pub(crate) enum Step {
    /// A reply is written: see [`Made`].
    Reply,
    /// The reply comes later, by ticket.
    Defer,
    /// Hand over the request's body in pieces, then ask again.
    Receive,
    /// Hand over the request's body in one piece.
    Collect,
    /// The reply could not be written; the reason is for the log.
    Failed(&'static str),
}

/// A reply of which the head is written, and how it goes on. It lies with the engine while the
/// reply is written: results of this size would be copied at each of the calls in between.
#[derive(Debug)]
pub(crate) struct Made {
    pub status: Status,
    /// Bytes written; 0 when there is no reply.
    pub written: usize,
    pub close: bool,
    pub content: Source,
    /// The content, where the reply has all of it and no fields but its own: [`crate::site::Site::prepared`] may have
    /// such a reply in one piece.
    #[cfg(not(target_os = "rtems"))]
    pub whole: Option<ContentId>,
}

impl Made {
    pub const NOTHING: Self = Self {
        status: Status::OK,
        written: 0,
        close: false,
        content: Source::Written(0),
        #[cfg(not(target_os = "rtems"))]
        whole: None,
    };
}

#[cfg(not(target_os = "rtems"))]
impl Made {
    /// Bytes of the whole reply.
    pub fn bytes(&self) -> usize {
        match self.content {
            Source::Written(_) => self.written,
            ref content => self.written + content.length() as usize,
        }
    }
}

/// Where a reply's content comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Written behind the head already: this many bytes.
    Written(u64),
    Static(&'static [u8]),
    Content(ContentId, Range<u64>),
    /// Several ranges of a site's content. Behind the bytes written, of which the last `lead` are
    /// the first part's header, lies the plan of the others (see [`crate::http::byteranges`]).
    Parts {
        id: ContentId,
        first: Range<u64>,
        lead: u16,
    },
    /// From the handler, piece by piece; `length` counts for [`StreamFraming::Length`] only.
    Stream {
        framing: StreamFraming,
        length: u64,
    },
}

#[cfg(not(target_os = "rtems"))]
impl Source {
    /// Bytes of the content.
    #[inline(always)]
    pub fn length(&self) -> u64 {
        match self {
            Self::Written(length) | Self::Stream { length, .. } => *length,
            Self::Static(bytes) => bytes.len() as u64,
            Self::Content(_, range) => range.end - range.start,
            // Of the first part: what follows is known only to the plan.
            Self::Parts { first, .. } => first.end - first.start,
        }
    }
}

/// How the end of streamed content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamFraming {
    Chunked,
    Length,
    UntilClose,
    /// HEAD: none is sent.
    Nothing,
}

/// What a [`crate::service::Service`] writes its reply to.
#[derive(Debug)]
pub struct Draft<'b> {
    buffer: &'b mut [u8],
    terms: Terms<'b>,
    made: &'b mut Made,
}

impl<'b> Draft<'b> {
    /// `made` is [`Made::NOTHING`].
    pub(crate) fn new(buffer: &'b mut [u8], terms: Terms<'b>, made: &'b mut Made) -> Self {
        Self {
            buffer,
            terms,
            made,
        }
    }

    /// The reply, from its beginning: head and, unless it is static, streamed or from a site, content
    /// have to fit the connection's buffer.
    pub fn reply(&mut self) -> Reply<'_> {
        Reply {
            out: Writer::new(self.buffer),
            terms: &self.terms,
            close: self.terms.close,
            made: self.made,
        }
    }

    /// 200 with all of a site's content, whose fields the site keeps ready, where nothing asks for more than
    /// those: what nearly all replies of a site are, by copying. `None` leaves it to [`Reply::status`] and
    /// [`Head::whole`], which come to the same.
    #[inline(always)]
    pub(crate) fn whole(
        &mut self,
        id: ContentId,
        representation: &Representation<'_>,
    ) -> Option<Next> {
        let ready = representation.ready?;
        let terms = &self.terms;
        let is_bare = terms.version == Version::Http11 && !terms.close && !terms.head_only;
        let fields = self.buffer.split_first_chunk_mut::<{ OPENING.len() }>();
        let (opening, rest) = fields.filter(|_| is_bare)?;
        let end = ready.len() + LINE_END.len();
        let copied = terms.copied.min(rest.len().checked_sub(end)?);
        *opening = *terms.opening;
        rest[..ready.len()].copy_from_slice(ready);
        rest[ready.len()..end].copy_from_slice(LINE_END);
        let mut written = OPENING.len() + end;
        let content = match representation.content {
            Some(content) if content.len() <= copied => {
                rest[end..end + content.len()].copy_from_slice(content);
                written += content.len();
                Source::Written(content.len() as u64)
            }
            _ => Source::Content(id, 0..representation.length),
        };
        *self.made = Made {
            status: Status::OK,
            written,
            close: false,
            content,
            #[cfg(not(target_os = "rtems"))]
            whole: Some(id),
        };
        Some(Next(Step::Reply))
    }

    /// Whether the reply goes on with content of a site, which has to stay held for it.
    pub(crate) fn holds_content(&self) -> bool {
        matches!(
            self.made.content,
            Source::Content(..) | Source::Parts { .. }
        )
    }
}

/// A reply of which nothing is written yet.
///
/// ```
/// use capuchin_core::http::status::Status;
/// use capuchin_core::reply::{Next, Reply};
///
/// fn created(reply: Reply<'_>) -> Next {
///     reply.status(Status::CREATED).field("Location", b"/things/7").body(b"it is at /things/7\n")
/// }
/// # let _ = created;
/// ```
#[derive(Debug)]
pub struct Reply<'b> {
    out: Writer<'b>,
    terms: &'b Terms<'b>,
    close: bool,
    made: &'b mut Made,
}

impl<'b> Reply<'b> {
    /// Ends the connection after this reply; said before [`Reply::defer`] or a body is asked for,
    /// after the reply that comes then.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        // Where no head is written this is all that remains of it.
        self.made.close = true;
        self
    }

    /// Bytes that head and written content may take together.
    #[must_use]
    pub fn room(&self) -> usize {
        self.out.room()
    }

    /// Begins the reply. Interim statuses (1xx) are the engine's: one of them turns the reply into a
    /// 500 and a line in the log, for the client would go on to wait for the reply.
    #[must_use]
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub fn status(self, status: Status) -> Head<'b> {
        let Self {
            mut out,
            terms,
            close,
            made,
        } = self;
        if status == Status::OK {
            out.put(terms.opening);
        } else {
            match status.line() {
                Some(line) => out.put(line.as_bytes()),
                None => {
                    out.put(b"HTTP/1.1 ");
                    out.put_decimal(u64::from(status.code()));
                    out.put(b" \r\n");
                }
            }
            out.put(&terms.opening[DATE_LINE..]);
        }
        Head {
            out,
            terms,
            close,
            made,
            status,
            fault: (status.code() < 200).then_some(INTERIM),
        }
    }

    /// 200 with a short text.
    pub fn text(self, text: &str) -> Next {
        self.status(Status::OK).plain_text().body(text.as_bytes())
    }

    /// 200 with JSON.
    pub fn json(self, json: &[u8]) -> Next {
        self.status(Status::OK)
            .trusted("Content-Type", b"application/json")
            .body(json)
    }

    /// An error reply whose short text names the status and `why` (may be empty).
    pub fn error(self, status: Status, why: &str) -> Next {
        self.status(status).explained(why)
    }

    /// An error reply of the server's own; 503 tells when to try again.
    pub(crate) fn refused(self, status: Status, why: &dyn core::fmt::Display) -> Next {
        let head = self.status(status);
        let head = if status == Status::SERVICE_UNAVAILABLE {
            head.trusted("Retry-After", RETRY_AFTER)
        } else {
            head
        };
        head.explained_by(why)
    }

    /// The reply comes later: keep the [`crate::event::Ticket`] of the exchange, and complete it
    /// from any thread with [`crate::event::Message::Complete`]; then
    /// [`crate::service::Service::resume`] writes the reply. 503 when it takes longer than
    /// [`crate::limits::Limits::handler_ms`].
    pub fn defer(self) -> Next {
        Next(Step::Defer)
    }

    /// Hands over the body piece by piece as it arrives, however long it is. The connection keeps a buffer
    /// until its body has ended, for the request's head stays at hand. Only to begin with: after
    /// [`Reply::defer`] or a body it is answered with 500. A handler that has to prepare something before it
    /// takes the first piece answers [`crate::service::BodyProgress::Wait`] to it.
    pub fn receive_body(self) -> Next {
        Next(Step::Receive)
    }

    /// Hands over the body in one piece once all of it is there; the client gets 413 when it is longer than
    /// [`crate::limits::Limits::collect_bytes`]. Only to begin with, as
    /// [`Reply::receive_body`].
    pub fn collect_body(self) -> Next {
        Next(Step::Collect)
    }
}

/// A reply whose head is being written.
#[derive(Debug)]
pub struct Head<'b> {
    out: Writer<'b>,
    terms: &'b Terms<'b>,
    close: bool,
    made: &'b mut Made,
    status: Status,
    fault: Option<&'static str>,
}

/// Seconds after which a client that was told 503 may try again.
const RETRY_AFTER: &[u8] = b"1";

/// For the log.
const INTERIM: &str = "a handler gave an interim status (1xx) as its reply";
const TOO_LARGE: &str =
    "a reply is larger than the connection's buffer; stream it or use static content";

/// Fields that the engine writes itself.
const RESERVED: [&str; 5] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "date",
    "trailer",
];

impl<'b> Head<'b> {
    /// Adds a field. `Content-Length`, `Transfer-Encoding`, `Connection`, `Date` and `Trailer` are
    /// the engine's; naming one, a name that is no token, or a value with control bytes turns the
    /// reply into a 500 and a line in the log.
    #[must_use]
    #[inline]
    pub fn field(mut self, name: &str, value: &[u8]) -> Self {
        self.add(name, &[value]);
        self
    }

    /// As [`Head::field`], with a value made of `parts`.
    #[must_use]
    #[inline]
    pub fn field_of(mut self, name: &str, parts: &[&[u8]]) -> Self {
        self.add(name, parts);
        self
    }

    /// Not by value, as the public calls are: a head is too large to be handed to and fro.
    fn add(&mut self, name: &str, parts: &[&[u8]]) {
        let clean = |part: &&[u8]| {
            part.iter()
                .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        };
        if !scan::is_token(name.as_bytes()) {
            self.fault = Some("a field name in the reply is not a token");
        } else if RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
        {
            self.fault =
                Some("a handler set a field that frames the reply; the engine writes those");
        } else if !parts.iter().all(clean) {
            self.fault = Some("a field value in the reply has control bytes");
        } else {
            self.out.put(name.as_bytes());
            self.out.put(b": ");
            for part in parts {
                self.out.put(part);
            }
            self.out.put(b"\r\n");
        }
    }

    /// `Content-Type: text/plain; charset=utf-8`, without the checks that [`Head::field`] makes.
    #[must_use]
    pub fn plain_text(mut self) -> Self {
        self.out.put(b"Content-Type: text/plain; charset=utf-8\r\n");
        self
    }

    /// Adds a field whose name and value are known to be clean.
    #[inline]
    pub(crate) fn trusted(mut self, name: &str, value: &[u8]) -> Self {
        self.put_trusted(name, value);
        self
    }

    /// As [`Head::trusted`].
    pub(crate) fn put_trusted(&mut self, name: &str, value: &[u8]) {
        self.out.put(name.as_bytes());
        self.out.put(b": ");
        self.out.put(value);
        self.out.put(b"\r\n");
    }

    /// `Location` of a redirect to the directory that the request's path names without its slash;
    /// path and query are as they were sent.
    ///
    /// It is a relative reference (RFC 3986 section 4.2) that begins with the path's last segment, so
    /// the part of the client's path that a proxy stripped stays, and it cannot name another host.
    pub(crate) fn location_of_directory(mut self, path: &[u8], query: Option<&[u8]>) -> Self {
        let begin = path.iter().rposition(|&byte| byte == b'/');
        let segment = &path[begin.map_or(0, |slash| slash + 1)..];
        self.out.put(b"Location: ");
        // What comes before a colon would be a scheme, and an empty segment the root.
        if segment.is_empty() || segment.contains(&b':') {
            self.out.put(b"./");
        }
        path::encode_raw(segment, &mut self.out);
        self.out.put(b"/");
        if let Some(query) = query {
            self.out.put(b"?");
            path::encode_raw(query, &mut self.out);
        }
        self.out.put(b"\r\n");
        self
    }

    /// `Content-Range` of a 206 or 416.
    #[must_use]
    pub(crate) fn content_range(mut self, range: ContentRange) -> Self {
        use core::fmt::Write as _;
        // What does not fit is noted by the writer.
        let _ = write!(self.out, "Content-Range: {range}\r\n");
        self
    }

    /// Ends the reply with these bytes as content.
    pub fn body(mut self, content: &[u8]) -> Next {
        self.end_head(content.len() as u64);
        if self.carries_content() {
            self.out.put(content);
        }
        let sent = if self.carries_content() {
            content.len() as u64
        } else {
            0
        };
        self.finish(Source::Written(sent))
    }

    /// Ends the reply with content that `write` formats; what does not fit makes it a 500.
    pub fn body_with(
        self,
        write: impl FnOnce(&mut dyn core::fmt::Write) -> core::fmt::Result,
    ) -> Next {
        let mut overflown = false;
        let next = self.body_in_place(|room| {
            let mut body = Writer::new(room);
            let result = write(&mut body);
            overflown = body.is_overflown();
            result.ok().filter(|()| !overflown).map(|()| body.len())
        });
        if overflown {
            return Next(Step::Failed(TOO_LARGE));
        }
        next
    }

    /// Ends the reply with content that `write` puts into the room there is, and tells the length of;
    /// `None`, or more than there was room for, makes it a 500.
    pub fn body_in_place(mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Next {
        if self.status.is_bodiless() {
            return self.empty();
        }
        // The head ends with a length that is known only afterwards: the content is written behind
        // the longest end that there can be, and moved up to the one that there is.
        const LONGEST_END: usize = "Content-Length: 65535\r\nConnection: keep-alive\r\n\r\n".len();
        let spare = self.out.spare();
        let from = LONGEST_END.min(spare.len());
        let room = &mut spare[from..];
        let length = match write(room) {
            Some(length) if length <= room.len() => length,
            _ => return Next(Step::Failed("a handler could not format its reply")),
        };
        let begin = self.out.len() + from;
        self.end_head(length as u64);
        let sent = if self.carries_content() { length } else { 0 };
        self.out.take_over(begin, sent);
        self.finish(Source::Written(sent as u64))
    }

    /// Ends the reply with content that lives as long as the program: of any length, never copied.
    pub fn body_static(mut self, content: &'static [u8]) -> Next {
        self.end_head(content.len() as u64);
        let source = if self.carries_content() {
            Source::Static(content)
        } else {
            Source::Written(0)
        };
        self.finish(source)
    }

    /// Ends the reply without content.
    pub fn empty(mut self) -> Next {
        self.end_head(0);
        self.finish(Source::Written(0))
    }

    /// Ends the reply with a short plain text: the status and, if not empty, `why`.
    pub fn explained(self, why: &str) -> Next {
        self.explained_by(&why)
    }

    /// As [`Head::explained`], for reasons that have to be formatted.
    pub(crate) fn explained_by(self, why: &dyn core::fmt::Display) -> Next {
        use core::fmt::Write as _;
        let status = self.status;
        self.plain_text().body_in_place(|room| {
            let mut text = Writer::new(room);
            let mut written = write!(text, "{status}\n{why}");
            // No empty line where there is no reason.
            if !text.written().ends_with(b"\n") {
                written = written.and_then(|()| text.write_str("\n"));
            }
            if written.is_err() {
                text = Writer::new(room);
                text.put(status.reason().as_bytes());
            }
            Some(text.len()).filter(|_| !text.is_overflown())
        })
    }

    /// Ends the head; [`crate::service::Service::stream`] supplies the content while the socket
    /// drains. Chunked for HTTP/1.1; for HTTP/1.0 the end of the connection ends the content.
    pub fn stream(mut self) -> Next {
        let framing = if !self.carries_content() {
            StreamFraming::Nothing
        } else if self.terms.version == Version::Http10 {
            StreamFraming::UntilClose
        } else {
            StreamFraming::Chunked
        };
        if self.terms.version == Version::Http10 {
            self.close = true;
        } else if !self.status.is_bodiless() {
            self.out.put(b"Transfer-Encoding: chunked\r\n");
        }
        self.end_fields();
        self.finish(Source::Stream { framing, length: 0 })
    }

    /// As [`Head::stream`], with a length told beforehand: exactly so many bytes have to follow.
    pub fn stream_of(mut self, length: u64) -> Next {
        self.end_head(length);
        let framing = if self.carries_content() {
            StreamFraming::Length
        } else {
            StreamFraming::Nothing
        };
        self.finish(Source::Stream { framing, length })
    }

    /// Ends the reply with all of a site's content.
    #[inline]
    pub(crate) fn whole(mut self, id: ContentId, representation: &Representation<'_>) -> Next {
        match representation.ready {
            Some(ready) => self.out.put(ready),
            None => representation.write_fields(&mut self.out),
        }
        self.end_fields();
        self.site_content(id, 0..representation.length, representation.content)
    }

    /// Ends the reply with a part of a site's content.
    pub(crate) fn part(mut self, id: ContentId, range: Range<u64>, content: Option<&[u8]>) -> Next {
        self.end_head(range.end - range.start);
        self.site_content(id, range, content)
    }

    /// Ends the response with several parts of a site's content, if what they take fits the buffer.
    #[inline(never)]
    pub(crate) fn parts(mut self, id: ContentId, ranges: &ByteRanges<'_>) -> Next {
        let Some(length) = ranges.content_length() else {
            return Next(Step::Failed(TOO_LARGE));
        };
        self.end_head(length);
        let head = self.out.len();
        let first = ranges.write_first(&mut self.out);
        let written = self.out.len();
        ranges.write_plan(&mut self.out);
        // Headers are written behind the plan, one at a time.
        if self.out.room() < ranges.header_limit() {
            return Next(Step::Failed(TOO_LARGE));
        }
        let lead = (written - head) as u16;
        self.finish_at(written, Source::Parts { id, first, lead })
    }

    /// What a site has at `range`, by its number unless it is short and lies in memory.
    #[inline]
    fn site_content(mut self, id: ContentId, range: Range<u64>, content: Option<&[u8]>) -> Next {
        let copied = self.terms.copied.min(self.out.room());
        let part = content.and_then(|bytes| bytes.get(range.start as usize..range.end as usize));
        match part.filter(|part| part.len() <= copied && self.carries_content()) {
            Some(part) => {
                self.out.put(part);
                self.finish(Source::Written(part.len() as u64))
            }
            None => self.finish(Source::Content(id, range)),
        }
    }

    fn carries_content(&self) -> bool {
        !self.terms.head_only && !self.status.is_bodiless()
    }

    fn end_head(&mut self, length: u64) {
        // No Content-Length in 1xx and 204 (RFC 9110 section 8.6); in a 304 it would describe the
        // representation, which is not at hand here.
        if !self.status.is_bodiless() {
            self.out.put(b"Content-Length: ");
            self.out.put_decimal_line(length);
        }
        self.end_fields();
    }

    /// `Connection` comes last: how content is framed may decide it.
    #[inline]
    fn end_fields(&mut self) {
        match (self.close, self.terms.version) {
            (true, _) => self.out.put(b"Connection: close\r\n\r\n"),
            (false, Version::Http10) => self.out.put(b"Connection: keep-alive\r\n\r\n"),
            // The usual case without a call to copy two bytes.
            (false, Version::Http11) => self.out.put(b"\r\n"),
        }
    }

    #[inline]
    fn finish(self, content: Source) -> Next {
        let written = self.out.len();
        self.finish_at(written, content)
    }

    #[inline]
    fn finish_at(self, written: usize, content: Source) -> Next {
        if let Some(fault) = self.fault {
            return Next(Step::Failed(fault));
        }
        if self.out.is_overflown() {
            return Next(Step::Failed(TOO_LARGE));
        }
        *self.made = Made {
            status: self.status,
            written,
            close: self.close,
            content,
            #[cfg(not(target_os = "rtems"))]
            whole: None,
        };
        Next(Step::Reply)
    }
}
