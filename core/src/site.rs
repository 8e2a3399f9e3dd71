//! Static content: where representations come from, and the reply that each request for one gets.
//!
//! A [`Site`] finds a [`Representation`] for a path and keeps what it refers to alive until it is
//! told to let go. [`respond`] turns one into a reply: preconditions, ranges, redirects. Neither
//! touches a socket.

use crate::http::byteranges::{self, ByteRanges};
use crate::http::conditional::{Conditions, EntityTag, Validators, Verdict, evaluate};
use crate::http::date::HttpDate;
use crate::http::encoding::{Coding, Codings};
use crate::http::fields::Name;
use crate::http::method::Method;
use crate::http::range::{self, ContentRange, Parts, Selection};
use crate::http::status::Status;
use crate::http::write::Writer;
use crate::reply::{Draft, Next, Opening};
use crate::service::Request;
use core::marker::PhantomData;
use core::ops::Range;

/// Names content that a [`Site`] holds open for one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentId(pub u32);

/// Where the bytes of held content are.
#[derive(Clone, Copy, Debug)]
pub enum Content<'s, F> {
    /// In memory: the first of the bytes asked for, as many of them as are at hand, at least one.
    Bytes(&'s [u8]),
    /// In a file, to be sent by [`crate::transport::Transport::send_file`].
    File(F),
    /// Changed or gone since the reply began: what was promised can no longer be sent, and the
    /// connection ends so that the client sees an incomplete reply, never a mixed one.
    Gone,
}

/// What a path names, as far as a reply's head needs to know (RFC 9110 section 3.2).
#[derive(Clone, Copy, Debug)]
pub struct Representation<'s> {
    /// Bytes of content.
    pub length: u64,
    /// `Content-Type`.
    pub media_type: &'s str,
    /// The entity tag, if it has one.
    pub tag: Option<&'s EntityTag>,
    /// The last modification, if it is known. One in the future is replaced by the time of the response
    /// (RFC 9110 section 8.8.2.1), and `ready` is not used then.
    pub modified: Option<HttpDate>,
    /// `Last-Modified` ready to send, when `modified` is known.
    pub modified_text: Option<&'s [u8; 29]>,
    /// How the stored bytes are coded.
    pub coding: Coding,
    /// Whether the choice depended on `Accept-Encoding`, so that `Vary` has to say so.
    pub varies: bool,
    /// `Cache-Control`, if the site gives one.
    pub cache_control: Option<&'s str>,
    /// The fields of the 200 reply that has all of the content, as [`Representation::write_fields`]
    /// writes them: a site that keeps them ready spares the work for each request.
    pub ready: Option<&'s [u8]>,
    /// All of the content, exactly `length` bytes, where it lies in memory: what is short is copied
    /// behind its head and released at once, without a call of [`Site::content`].
    pub content: Option<&'s [u8]>,
}

impl Representation<'_> {
    /// Writes the fields that describe the whole content, `Content-Length` included.
    pub fn write_fields(&self, out: &mut Writer<'_>) {
        let mut field = |name: &str, value: &[u8]| {
            out.put(name.as_bytes());
            out.put(b": ");
            out.put(value);
            out.put(b"\r\n");
        };
        field("Content-Type", self.media_type.as_bytes());
        if let Some(name) = self.coding.name() {
            field("Content-Encoding", name.as_bytes());
        }
        self.validators(&mut field);
        field("Accept-Ranges", b"bytes");
        out.put(b"Content-Length: ");
        out.put_decimal_line(self.length);
    }

    /// The same, modified at `now`, whose text is `text`: what is sent for a modification in the future
    /// (RFC 9110 section 8.8.2.1). Otherwise a client would ask whether anything changed since a moment
    /// that has yet to come, and be told no.
    fn dated<'a>(&'a self, now: HttpDate, text: &'a [u8; HttpDate::LENGTH]) -> Representation<'a> {
        Representation {
            modified: Some(now),
            modified_text: Some(text),
            ready: None,
            ..*self
        }
    }

    /// The fields that 200 and 304 share (RFC 9110 section 15.4.5).
    fn validators(&self, field: &mut dyn FnMut(&str, &[u8])) {
        if let Some(tag) = self.tag {
            field("ETag", tag.as_bytes());
        }
        if let Some(text) = self.modified_text {
            field("Last-Modified", text);
        }
        if self.varies {
            field("Vary", b"Accept-Encoding");
        }
        if let Some(directives) = self.cache_control {
            field("Cache-Control", directives.as_bytes());
        }
    }
}

/// What a [`Site`] answers for a path.
#[derive(Clone, Copy, Debug)]
pub enum Found<'s> {
    /// Content, held open until [`Site::release`].
    Content(ContentId, Representation<'s>),
    /// A directory was named without its slash: the client is sent to the path with one.
    Directory,
}

/// Why a [`Site`] has no content for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteError {
    /// Nothing there: 404.
    NotFound,
    /// There, but not to be served: 403.
    Forbidden,
    /// Out of descriptors or memory for the moment: 503 with `Retry-After`.
    Busy,
    /// The storage failed: 500.
    Failed,
}

impl SiteError {
    /// The status that tells a client.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::NotFound => Status::NOT_FOUND,
            Self::Forbidden => Status::FORBIDDEN,
            Self::Busy => Status::SERVICE_UNAVAILABLE,
            Self::Failed => Status::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A source of static content.
pub trait Site {
    /// What [`Content::File`] names.
    type File: Copy;

    /// Finds what `path` names: decoded, normalised, beginning with `/`, possibly with bytes that
    /// are no UTF-8, control bytes but NUL, and backslashes: a site for which those are no ordinary
    /// bytes of a name does not find them (see [`crate::http::path::is_portable`]). `accepts` are the codings the client takes, best first by the site's choice;
    /// `now` is in milliseconds of the worker's monotonic clock.
    ///
    /// # Errors
    /// [`SiteError`], each with its status.
    fn find(&mut self, path: &[u8], accepts: Accepts<'_>, now: u64)
    -> Result<Found<'_>, SiteError>;

    /// The bytes at `range`, which is not empty, of content that [`Site::find`] gave and that was
    /// not yet released.
    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, Self::File>;

    /// The content is not needed any more, be it sent or not; called once for each that was found.
    fn release(&mut self, id: ContentId);

    /// The whole 200 reply to a GET of HTTP/1.1 for all of `id`'s content, with `opening` and the ready fields of its
    /// [`Representation`], where a site keeps it in one piece: it is sent as it lies. `id` was found in this turn of
    /// the worker, but may be released.
    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        let _ = (id, opening);
        None
    }

    /// The content that was remembered for exactly this head, if [`Site::find`] would find the same now, if it was not
    /// modified after `unix_time` (in seconds), and if [`Site::prepared`] has it. `place` belongs to the connection and
    /// is only a hint: it may hold what the site last wrote there, or any other value.
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

    /// A request with this head, and nothing else, was answered by all of `id`'s content: should the same bytes come
    /// again, they need not be read again. Heads with `Authorization` or `Cookie` are not handed over.
    fn remember(&mut self, head: &[u8], id: ContentId) {
        let _ = (head, id);
    }
}

/// What of a request but its path decides what it gets: the `Accept-Encoding`, evaluated only when a
/// site has something to choose from, and the query.
#[derive(Clone, Copy, Debug)]
pub struct Accepts<'r> {
    request: Option<&'r Request<'r>>,
}

impl<'r> Accepts<'r> {
    /// What `request` accepts.
    #[must_use]
    pub fn of(request: &'r Request<'r>) -> Self {
        Self {
            request: Some(request),
        }
    }

    /// Accepts what comes as it is.
    #[must_use]
    pub fn identity() -> Self {
        Self { request: None }
    }

    /// The request's query, as it came, without the `?`: for content that is made for the request, such
    /// as a sorted list. Files do not depend on it.
    #[must_use]
    pub fn query(&self) -> Option<&'r [u8]> {
        self.request?.query()
    }

    /// The best of the `available` codings, if any is acceptable (RFC 9110 section 12.5.3).
    #[must_use]
    pub fn choose(&self, available: Codings) -> Option<Coding> {
        match self.request {
            Some(request) => crate::http::encoding::choose(
                request.head().values(Name::AcceptEncoding),
                available,
            ),
            None => Some(Coding::Identity).filter(|&coding| available.contains(coding)),
        }
    }
}

/// A site without content: every path is 404. `F` is the transport's kind of file.
#[derive(Clone, Copy, Debug)]
pub struct NoSite<F>(PhantomData<F>);

impl<F> Default for NoSite<F> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<F: Copy> Site for NoSite<F> {
    type File = F;

    fn find(&mut self, _: &[u8], _: Accepts<'_>, _: u64) -> Result<Found<'_>, SiteError> {
        Err(SiteError::NotFound)
    }

    fn content(&mut self, _: ContentId, _: Range<u64>) -> Content<'_, F> {
        Content::Gone
    }

    fn release(&mut self, _: ContentId) {}
}

/// Answers `request` from `site`: GET and HEAD with 200, 206, 301, 304, 412 or 416, OPTIONS with
/// 204, other methods with 405, and any with what a [`SiteError`] says (403, 404, 500 or 503).
///
/// Preconditions are evaluated in the order of RFC 9110 section 13.2.2. One range is answered by
/// 206, several by 206 with `multipart/byteranges`, or by the whole representation where
/// [`range`] says so or the parts' headers do not fit the buffer. Fields that may
/// come once only do not count when they come twice. `now` is in milliseconds of the monotonic
/// clock, `unix_time` in seconds.
#[cfg_attr(target_os = "rtems", inline(never))]
pub fn respond<S: Site>(
    site: &mut S,
    request: &Request<'_>,
    draft: &mut Draft<'_>,
    now: u64,
    unix_time: u64,
) -> Next {
    if !matches!(request.method(), Method::Get | Method::Head) {
        // Whether the path exists decides between 404 and 405, as it does for GET.
        return match site.find(request.path(), Accepts::identity(), now) {
            Ok(found) => {
                if let Found::Content(id, _) = found {
                    site.release(id);
                }
                let options = request.method() == Method::Options;
                let status = if options {
                    Status::NO_CONTENT
                } else {
                    Status::METHOD_NOT_ALLOWED
                };
                let head = draft
                    .reply()
                    .status(status)
                    .trusted("Allow", b"GET, HEAD, OPTIONS");
                if options {
                    head.empty()
                } else {
                    head.explained("the content at this path can only be read")
                }
            }
            Err(error) => draft.reply().refused(error.status(), &""),
        };
    }
    // Looked at where it is: copies of it would cost more than the rest of this function.
    let found = site.find(request.path(), Accepts::of(request), now);
    let (next, id) = match &found {
        Ok(Found::Content(id, representation)) => {
            let next = match representation.modified {
                Some(modified) if modified.0 > unix_time => {
                    let now = HttpDate(unix_time);
                    let text = now.format();
                    let dated = representation.dated(now, &text);
                    represent(*id, &dated, request, draft, unix_time)
                }
                _ => represent(*id, representation, request, draft, unix_time),
            };
            (next, *id)
        }
        Ok(Found::Directory) => return redirect_to_slash(request, draft),
        Err(error) => return draft.reply().refused(error.status(), &""),
    };
    if !draft.holds_content() {
        site.release(id);
    }
    next
}

/// The reply for one representation.
#[cfg_attr(not(target_os = "rtems"), inline(always))]
fn represent(
    id: ContentId,
    representation: &Representation<'_>,
    request: &Request<'_>,
    draft: &mut Draft<'_>,
    unix_time: u64,
) -> Next {
    if has_conditions(request) {
        return represent_on_conditions(id, representation, request, draft, unix_time);
    }
    // In an image this would be code that says nothing new.
    if cfg!(not(target_os = "rtems"))
        && let Some(next) = draft.whole(id, representation)
    {
        return next;
    }
    draft.reply().status(Status::OK).whole(id, representation)
}

/// The same for a request with preconditions or a range.
#[inline(never)]
fn represent_on_conditions(
    id: ContentId,
    representation: &Representation<'_>,
    request: &Request<'_>,
    draft: &mut Draft<'_>,
    unix_time: u64,
) -> Next {
    let head = request.head();
    let mut range = None;
    // A date that is later than now was told by another clock, or by this one before it was set back: it
    // says nothing about a modification of this second, which one in the future counts as.
    let is_recent = representation
        .modified
        .is_some_and(|modified| modified.0 >= unix_time);
    let counts = |date: &&[u8]| {
        !is_recent || HttpDate::parse(date, unix_time).is_none_or(|date| date.0 <= unix_time)
    };
    let conditions = Conditions {
        if_match: head.values(Name::IfMatch),
        if_none_match: head.values(Name::IfNoneMatch),
        if_modified_since: head.single(Name::IfModifiedSince).filter(counts),
        if_unmodified_since: head.single(Name::IfUnmodifiedSince),
        // There, but twice: an empty one, which nothing matches, so that all is sent.
        if_range: head
            .value(Name::IfRange)
            .map(|_| head.single(Name::IfRange).unwrap_or_default()),
    };
    let validators = Validators {
        tag: representation.tag,
        modified: representation.modified,
    };
    match evaluate(conditions, true, Some(&validators), unix_time) {
        Verdict::NotModified => {
            let head = draft.reply().status(Status::NOT_MODIFIED);
            return validators_of(head, representation).empty();
        }
        Verdict::PreconditionFailed => {
            return draft.reply().error(Status::PRECONDITION_FAILED, "");
        }
        Verdict::Proceed { range_applies } => {
            // Range is defined for GET only (RFC 9110 section 14.2).
            if range_applies && request.method() == Method::Get {
                range = head.single(Name::Range);
            }
        }
    }
    let selection = range.map_or(Selection::Whole, |field| {
        range::evaluate(field, representation.length)
    });
    match selection {
        Selection::Whole => draft.reply().status(Status::OK).whole(id, representation),
        Selection::Part { start, end } => {
            let length = representation.length;
            let head = draft
                .reply()
                .status(Status::PARTIAL_CONTENT)
                .content_range(ContentRange::Part { start, end, length });
            describe(head, representation).part(id, start..end, representation.content)
        }
        Selection::Parts(parts) => respond_with_parts(id, representation, &parts, draft, unix_time),
        Selection::Unsatisfiable => {
            let length = representation.length;
            let head = draft
                .reply()
                .status(Status::RANGE_NOT_SATISFIABLE)
                .content_range(ContentRange::Unsatisfied { length });
            head.explained("the range lies beyond the end")
        }
    }
}

/// 206 with several parts, or 200 with all where the buffer is too small for what goes with them.
fn respond_with_parts(
    id: ContentId,
    representation: &Representation<'_>,
    parts: &Parts,
    draft: &mut Draft<'_>,
    unix_time: u64,
) -> Next {
    let boundary = boundary(representation, parts, unix_time);
    let ranges = ByteRanges {
        parts,
        media_type: representation.media_type,
        coding: representation.coding.name(),
        length: representation.length,
        boundary,
    };
    let mut media_type = *b"multipart/byteranges; boundary=________________________";
    let begin = media_type.len() - boundary.len();
    media_type[begin..].copy_from_slice(&boundary);
    let head = draft
        .reply()
        .status(Status::PARTIAL_CONTENT)
        .trusted("Content-Type", &media_type);
    let next = validators_of(head, representation)
        .trusted("Accept-Ranges", b"bytes")
        .parts(id, &ranges);
    if next.is_failed() {
        return draft.reply().status(Status::OK).whole(id, representation);
    }
    next
}

/// A boundary that the content has by no chance: it depends on the second, on the representation
/// and on the ranges, and differs in half of its bits where one bit of those does.
fn boundary(
    representation: &Representation<'_>,
    parts: &Parts,
    unix_time: u64,
) -> [u8; byteranges::BOUNDARY] {
    // The output function of SplitMix64.
    let mixed = |mut word: u64| {
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let tag = representation.tag.map_or(&b""[..], EntityTag::as_bytes);
    let mut state = unix_time ^ representation.length.rotate_left(32);
    for word in tag
        .iter()
        .map(|&byte| u64::from(byte))
        .chain(parts.iter().flat_map(|part| [part.start, part.end]))
    {
        state = mixed(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word);
    }
    let words = [state, mixed(state ^ 1)];
    core::array::from_fn(|at| {
        let digit = words[at / 16] >> (at % 16 * 4) & 15;
        b"0123456789abcdef"[digit as usize]
    })
}

/// Whether any field is there that could make the reply another than 200.
#[cfg_attr(target_os = "rtems", inline(never))]
fn has_conditions(request: &Request<'_>) -> bool {
    request.head().has_any(&[
        Name::IfMatch,
        Name::IfNoneMatch,
        Name::IfModifiedSince,
        Name::IfUnmodifiedSince,
        Name::IfRange,
        Name::Range,
    ])
}

/// The fields that describe content which is sent.
#[cfg_attr(target_os = "rtems", inline(never))]
fn describe<'b>(
    head: crate::reply::Head<'b>,
    representation: &Representation<'_>,
) -> crate::reply::Head<'b> {
    let mut head = head.trusted("Content-Type", representation.media_type.as_bytes());
    if let Some(name) = representation.coding.name() {
        head = head.trusted("Content-Encoding", name.as_bytes());
    }
    validators_of(head, representation).trusted("Accept-Ranges", b"bytes")
}

/// The fields that 200 and 304 share.
fn validators_of<'b>(
    mut head: crate::reply::Head<'b>,
    representation: &Representation<'_>,
) -> crate::reply::Head<'b> {
    representation.validators(&mut |name, value| head.put_trusted(name, value));
    head
}

/// 301 to the same path with a slash, the query kept; 414 where the buffer is too small to say it
/// again.
fn redirect_to_slash(request: &Request<'_>, draft: &mut Draft<'_>) -> Next {
    let next = draft
        .reply()
        .status(Status::MOVED_PERMANENTLY)
        .location_of_directory(request.head().path(), request.query())
        .explained("the directory is at the path with a slash");
    if next.is_failed() {
        return draft.reply().error(
            Status::URI_TOO_LONG,
            "the directory is at the path with a slash; with it the URI is too long",
        );
    }
    next
}

#[cfg(test)]
mod tests;
