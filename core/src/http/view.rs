//! A parsed head, as the rest of the server reads it.
//!
//! A [`Head`] is made where it is needed, from the parser, the bytes and the table, and costs
//! nothing to make or copy. It decides nothing: all checks were made while parsing.

use super::fields::{Field, Name, Values};
use super::framing::{Framing, content_length};
use super::head::{HeadParser, flag};
use super::method::Method;
use super::scan;
use super::target::Absolute;

/// The protocol version that a request is processed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, or a later minor version (RFC 9112 section 2.3)
    Http11,
}

/// A complete and valid request head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'b> {
    bytes: &'b [u8],
    /// The request line's entry.
    line: Field,
    fields: &'b [Field],
    seen: u32,
    flags: u16,
}

impl<'b> Head<'b> {
    /// The head that `parser` completed, with the same `bytes` (at least up to the head's length)
    /// and table that it was given. With others, or before completion, the contents are
    /// meaningless, but nothing panics.
    #[must_use]
    #[inline]
    pub fn new(parser: &HeadParser, bytes: &'b [u8], fields: &'b [Field]) -> Self {
        let fields = fields.get(..usize::from(parser.count)).unwrap_or(fields);
        let (line, fields) = fields
            .split_first()
            .map_or((Field::EMPTY, fields), |(&line, fields)| (line, fields));
        Self {
            bytes,
            line,
            fields,
            seen: parser.seen,
            flags: parser.flags,
        }
    }

    /// The method.
    #[must_use]
    #[inline]
    pub fn method(&self) -> Method {
        Method::from_number(self.line.number())
    }

    /// The method's spelling, which for [`Method::Other`] is all there is.
    #[must_use]
    pub fn method_token(&self) -> &'b [u8] {
        self.line.name(self.bytes)
    }

    /// The version that the request is processed as.
    #[must_use]
    #[inline]
    pub fn version(&self) -> Version {
        if self.has(flag::HTTP11) {
            Version::Http11
        } else {
            Version::Http10
        }
    }

    /// The request target as it was sent: not empty, without spaces and control bytes. It may have
    /// bytes that no URI holds, such as UTF-8 that was not encoded, and a fragment.
    #[must_use]
    #[inline]
    pub fn target(&self) -> &'b [u8] {
        self.line.value(self.bytes)
    }

    /// The path, where it is one that can be used as it was sent; others may be, too.
    #[inline(always)]
    pub(crate) fn plain_path(&self) -> Option<&'b [u8]> {
        self.has(flag::PLAIN_PATH).then(|| self.target())
    }

    /// The path as it was sent, neither decoded nor normalised: it begins with `/`, or is `*` for
    /// `OPTIONS *`, or is empty for CONNECT, whose target is an authority.
    #[must_use]
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub fn path(&self) -> &'b [u8] {
        if self.has(flag::AUTHORITY) {
            return b"";
        }
        let (path, query) = split_query(self.path_and_query());
        match path {
            // RFC 9112 section 3.2.4 and RFC 9110 section 4.2.3.
            b"" if self.method() == Method::Options && query.is_none() => b"*",
            b"" => b"/",
            path => path,
        }
    }

    /// What follows the first `?` up to a `#`, as it was sent; `None` without a `?`.
    #[must_use]
    #[inline]
    pub fn query(&self) -> Option<&'b [u8]> {
        split_query(self.path_and_query()).1
    }

    /// The authority that the request is for, `host` or `host:port` as it was sent: that of an
    /// absolute-form target or CONNECT, else the value of Host. Empty when there is none, which
    /// only HTTP/1.0 and `OPTIONS *` allow.
    #[must_use]
    pub fn host(&self) -> &'b [u8] {
        if self.has(flag::AUTHORITY) {
            return self.target();
        }
        if self.has(flag::ABSOLUTE) {
            // RFC 9112 section 3.2.2: Host is ignored then.
            return Absolute::split(self.target()).map_or(b"", |parts| parts.authority);
        }
        self.value(Name::Host).unwrap_or_default()
    }

    /// The value of the first line of a known field, without white space around it.
    #[must_use]
    #[inline]
    pub fn value(&self, name: Name) -> Option<&'b [u8]> {
        if self.seen & name.bit() == 0 {
            return None;
        }
        let number = name as u8;
        let field = self.fields.iter().find(|field| field.number() == number)?;
        Some(field.value(self.bytes))
    }

    /// Whether any of these known fields is there.
    #[inline(always)]
    pub(crate) fn has_any(&self, names: &[Name]) -> bool {
        let bits = names.iter().fold(0, |bits, name| bits | name.bit());
        // A rare name may share its bit with others.
        self.seen & bits != 0 && names.iter().any(|&name| self.value(name).is_some())
    }

    /// The value of a known field that came exactly once: what to ask for where a second line would
    /// make the field malformed (RFC 9110 section 5.3), so that no choice has to be made between two.
    #[must_use]
    pub fn single(&self, name: Name) -> Option<&'b [u8]> {
        let mut values = self.values(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The values of all lines of a known field, in order.
    #[must_use]
    pub fn values(&self, name: Name) -> Values<'b> {
        let met = self.seen & name.bit() != 0;
        Values::new(self.bytes, if met { self.fields } else { &[] }, name)
    }

    /// The value of the first line of the field `name`, in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        if let Some(known) = Name::recognise(name.as_bytes()) {
            return self.value(known);
        }
        self.fields()
            .find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Names, as they were sent, and values of all lines, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone + use<'b> {
        let bytes = self.bytes;
        self.fields
            .iter()
            .map(move |field| (field.name(bytes), field.value(bytes)))
    }

    /// How the body is framed; beyond doubt, for the parser checked it.
    #[must_use]
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub fn framing(&self) -> Framing {
        if self.has(flag::CHUNKED) {
            return Framing::Chunked;
        }
        if self.seen & Name::ContentLength.bit() == 0 {
            return Framing::None;
        }
        self.value(Name::ContentLength)
            .and_then(|value| content_length(value).ok())
            .map_or(Framing::None, Framing::Length)
    }

    /// Whether the client allows another request on this connection (RFC 9112 section 9.3):
    /// HTTP/1.1 without `close`, or HTTP/1.0 with `keep-alive` and without `close`. An HTTP/1.0
    /// client has to be told with `Connection: keep-alive` in the reply.
    #[must_use]
    #[inline]
    pub fn keep_alive(&self) -> bool {
        !self.has(flag::CLOSE) && (self.has(flag::HTTP11) || self.has(flag::KEEP_ALIVE))
    }

    /// Whether the client waits for `100 Continue` before it sends the body. An HTTP/1.0 client
    /// never does, whatever it says (RFC 9110 section 10.1.1).
    #[must_use]
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.has(flag::CONTINUE) && self.has(flag::HTTP11)
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The target without scheme and authority.
    #[inline]
    fn path_and_query(&self) -> &'b [u8] {
        if self.has(flag::ABSOLUTE | flag::AUTHORITY) {
            return Absolute::split(self.target()).map_or(b"", |parts| parts.rest);
        }
        self.target()
    }
}

/// Path and query; a fragment, which a client ought not to send, belongs to neither.
#[inline]
fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, rest) = target.split_at(scan::path_end(target));
    let query = match rest {
        [b'?', query @ ..] => Some(&query[..fragment_begin(query)]),
        _ => None,
    };
    (path, query)
}

fn fragment_begin(query: &[u8]) -> usize {
    scan::looked_at(query.len());
    memchr::memchr(b'#', query).unwrap_or(query.len())
}
