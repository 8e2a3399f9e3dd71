//! Why a request head is refused, and which status code says so.

use core::fmt;

/// What is wrong with a request head. Whoever meets one answers with [`HeadError::status`] and
/// closes the connection: where the next request begins is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadError {
    /// More than [`EMPTY_LINE_LIMIT`](super::head::EMPTY_LINE_LIMIT) empty lines came first.
    EmptyLines,
    /// A CR without its LF (RFC 9112 section 2.2).
    BareCr,
    /// An LF without its CR. RFC 9112 section 2.2 allows to accept it; we refuse, because two
    /// parsers on one way that disagree about line ends disagree about where a request begins.
    BareLf,
    /// The method is no token, or no single space follows it.
    Method,
    /// The method is longer than [`METHOD_LIMIT`](super::head::METHOD_LIMIT) bytes.
    MethodTooLong,
    /// The request target is empty or has a control byte.
    Target,
    /// The target's form does not go with the method (RFC 9112 section 3.2), or an absolute
    /// target is not an `http` one with a valid authority. `*` with a method that we do not know is
    /// among these: 400, where a path gets 501.
    TargetForm,
    /// The target is an `https` one: what it names must not be served over a connection that is not
    /// secured (RFC 9110 section 7.4). TLS in front of this server forwards origin-form.
    Misdirected,
    /// The request line does not end with one space, `HTTP/`, digit, dot, digit and a line end.
    Version,
    /// A well-formed version that is not HTTP/1.
    VersionUnsupported,
    /// White space before the first field line (RFC 9112 section 2.2).
    LeadingSpace,
    /// A field line continued on the next one (RFC 9112 section 5.2).
    ObsFold,
    /// A field line without a colon.
    NoColon,
    /// A field line that begins with its colon.
    EmptyName,
    /// White space in a field name or between it and the colon (RFC 9112 section 5.1).
    SpaceInName,
    /// Another byte in a field name that no token has.
    NameByte,
    /// A field name longer than [`NAME_LIMIT`](super::head::NAME_LIMIT) bytes.
    NameTooLong,
    /// A control byte in a field value (RFC 9110 section 5.5).
    ValueByte,
    /// More field lines than the caller's table has room for.
    TooManyFields,
    /// The request line does not fit into the memory for a head.
    RequestLineTooLong,
    /// The field lines do not fit into the memory for a head.
    TooLarge,
    /// An HTTP/1.1 request without `Host` (RFC 9112 section 3.2).
    HostMissing,
    /// A second `Host`.
    HostRepeated,
    /// `Host` is not a name or address with an optional port, or is empty where one is needed.
    HostInvalid,
    /// `Content-Length` is not a plain decimal number.
    ContentLengthInvalid,
    /// `Content-Length` does not fit into 64 bits.
    ContentLengthOverflow,
    /// A second `Content-Length`, even an equal one (RFC 9112 section 6.3 allows to refuse).
    ContentLengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`: the mark of a smuggled request.
    LengthAndCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 request (RFC 9112 section 6.1).
    CodingInHttp10,
    /// `Transfer-Encoding` is malformed, or `chunked` is repeated, has parameters or is not last.
    CodingInvalid,
    /// A transfer coding before `chunked` that we do not know.
    CodingUnknown,
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1).
    Expectation,
}

impl HeadError {
    /// The status code of the reply: 400, 414, 417, 421, 431, 501 or 505.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            Self::Misdirected => 421,
            Self::NameTooLong | Self::TooManyFields | Self::TooLarge => 431,
            Self::MethodTooLong | Self::CodingUnknown => 501,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyLines => "too many empty lines before the request",
            Self::BareCr => "a carriage return without a line feed",
            Self::BareLf => "a line feed without a carriage return",
            Self::Method => "the method is malformed",
            Self::MethodTooLong => "the method is longer than any we know",
            Self::Target => "the request target is empty or has a control byte",
            Self::TargetForm => "the request target does not go with the method",
            Self::Misdirected => "an https target on a connection that is not secured",
            Self::Version => "the request line does not end with an HTTP version",
            Self::VersionUnsupported => "the HTTP version is not 1.0 or 1.1",
            Self::LeadingSpace => "white space before the first field line",
            Self::ObsFold => "a folded field line",
            Self::NoColon => "a field line without a colon",
            Self::EmptyName => "a field line without a name",
            Self::SpaceInName => "white space before the colon of a field line",
            Self::NameByte => "a forbidden byte in a field name",
            Self::NameTooLong => "a field name is too long",
            Self::ValueByte => "a control byte in a field value",
            Self::TooManyFields => "the request has too many header fields",
            Self::RequestLineTooLong => "the request line is too long",
            Self::TooLarge => "the request's head is too long",
            Self::HostMissing => "the Host field is missing",
            Self::HostRepeated => "more than one Host field",
            Self::HostInvalid => "the Host field is malformed",
            Self::ContentLengthInvalid => "Content-Length is not a number",
            Self::ContentLengthOverflow => "Content-Length is too large for any computer",
            Self::ContentLengthRepeated => "more than one Content-Length",
            Self::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            Self::CodingInHttp10 => "Transfer-Encoding in an HTTP/1.0 request",
            Self::CodingInvalid => "Transfer-Encoding does not end with one plain chunked",
            Self::CodingUnknown => "a transfer coding that we do not know",
            Self::Expectation => "an expectation other than 100-continue",
        })
    }
}

impl core::error::Error for HeadError {}
