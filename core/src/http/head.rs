//! Request heads: the request line and the field lines (RFC 9112 sections 2, 3 and 5).
//!
//! [`HeadParser`] takes the bytes as they come, resumes exactly where it stopped and writes what
//! it finds into a table of [`Field`]s that the caller owns; [`Head`] reads that table. The parser
//! is small enough to live in a connection slot, and nothing here holds a reference between calls,
//! so the caller may move the bytes.
//!
//! ```
//! use capuchin_core::http::head::{Field, Head, HeadParser, Progress};
//!
//! let bytes = b"GET /a?b HTTP/1.1\r\nHost: example.org\r\n\r\n";
//! let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 64]);
//! assert_eq!(parser.advance(&bytes[..9], &mut fields), Ok(Progress::Incomplete));
//! assert_eq!(parser.advance(bytes, &mut fields), Ok(Progress::Complete { length: bytes.len() }));
//! let head = Head::new(&parser, bytes, &fields);
//! assert_eq!((head.path(), head.host()), (&b"/a"[..], &b"example.org"[..]));
//! ```
//!
//! # Promises
//!
//! - Any split of the same bytes gives the same result, and the work is proportional to their number:
//!   each byte is scanned once, and once more where its line came in pieces or is not a plain one (Host:
//!   twice more). The few values that the parser itself must understand (Host, what frames the body,
//!   Connection, Expect) and names are read again when they are complete.
//! - When a head is complete, every rule that frames the message has been checked: what
//!   [`Head::framing`] says cannot be doubted any more.
//! - No input panics, and no input of any length needs more memory than the caller's table.
//!
//! # What is refused although RFC 9112 leaves a choice
//!
//! A lone LF as line end; more than [`EMPTY_LINE_LIMIT`] empty lines before a request; methods over
//! [`METHOD_LIMIT`] and field names over [`NAME_LIMIT`] bytes; Content-Length that is repeated or a
//! list, even of equal values; empty elements in Transfer-Encoding; Transfer-Encoding in HTTP/1.0;
//! folded lines; every expectation but `100-continue`, in HTTP/1.0, too; an empty Host in a request
//! for a path; an authority with user information, an IPvFuture address, an IPv6 zone identifier, a
//! `%` or a comma, or a port above 65535 or of more than five digits; CONNECT to port 0.
//!
//! Targets of `https` get 421: this server's connections are not secured. Whoever puts TLS in front
//! of it forwards the origin-form. A method that nobody knows gets 501 with a path, but 400 with
//! `*`, which goes with OPTIONS only.
//!
//! # What is taken although no URI has it
//!
//! Targets with bytes from 0x80, with `"<>\^{|}` and the backtick, and with a fragment, which belongs to
//! neither path nor query: no framing depends on them. Control bytes and spaces are refused.

pub use super::error::HeadError;
pub use super::fields::{Field, Name, Values};
pub use super::framing::Framing;
pub use super::method::Method;
pub use super::view::{Head, Version};

/// Empty lines that are skipped before a request line (RFC 9112 section 2.2: at least one).
pub const EMPTY_LINE_LIMIT: usize = 4;

/// Bytes of the longest method that is taken; the longest one registered with IANA has 17.
pub const METHOD_LIMIT: usize = 32;

/// Bytes of the longest field name that is taken: what a table entry can hold.
pub const NAME_LIMIT: usize = u8::MAX as usize;

/// Bytes of the longest head that is taken: what a table entry's offsets can reach.
pub const HEAD_LIMIT: usize = u16::MAX as usize;

/// Field lines that are taken at the most: what the parser can count.
pub const LINE_LIMIT: usize = u8::MAX as usize - 1;

/// How far a parser has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Incomplete,
    /// The head is complete and valid; make a [`Head`].
    Complete {
        /// Bytes of the head, with leading empty lines and the empty line at its end. What comes
        /// after is the body or the next request.
        length: usize,
    },
}

/// Parses one request head, in as many steps as it arrives in. A new one is made for each request.
///
/// | stage | stopped at | goes on to |
/// |---|---|---|
/// | `Start`, `StartLf` | before the request line, in an empty line | `Method` |
/// | `Method`, `Target`, `Version`, `RequestLf` | in the request line | `LineStart` |
/// | `LineStart` | first byte of a line | `Name`, or `EndLf` at a CR |
/// | `Name`, `Lead`, `Value`, `ValueLf` | in a field line | `LineStart` |
/// | `EndLf` | before the last LF | `Done` |
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadParser {
    /// Which known names were met; see [`Name::bit`].
    pub(super) seen: u32,
    /// Bytes scanned so far.
    pub(super) position: u16,
    /// Where the method, target, version, name or value that is being scanned began.
    pub(super) mark: u16,
    /// What the lines so far mean: the constants of [`flag`].
    pub(super) flags: u16,
    /// Entries of the table that are complete, the request line's included.
    pub(super) count: u8,
    pub(super) stage: Stage,
}

const _: () = assert!(size_of::<HeadParser>() <= 12);

/// Bits of [`HeadParser::flags`].
pub(super) mod flag {
    /// HTTP/1.1 or a later minor version; without it HTTP/1.0.
    pub const HTTP11: u16 = 1 << 0;
    /// `Connection: close`.
    pub const CLOSE: u16 = 1 << 1;
    /// `Connection: keep-alive`.
    pub const KEEP_ALIVE: u16 = 1 << 2;
    /// `Expect: 100-continue`.
    pub const CONTINUE: u16 = 1 << 3;
    /// `Transfer-Encoding` named `chunked`.
    pub const CHUNKED: u16 = 1 << 4;
    /// `Transfer-Encoding` named something else.
    pub const UNKNOWN_CODING: u16 = 1 << 5;
    /// `Host` is empty.
    pub const EMPTY_HOST: u16 = 1 << 6;
    /// The target's form, none of these being origin-form.
    pub const ABSOLUTE: u16 = 1 << 7;
    /// `*`
    pub const ASTERISK: u16 = 1 << 8;
    /// `host:port`
    pub const AUTHORITY: u16 = 1 << 9;
    /// The target is a path that can be used as it was sent; others may be, too.
    pub const PLAIN_PATH: u16 = 1 << 10;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    #[default]
    Start,
    StartLf,
    Method,
    Target,
    Version,
    RequestLf,
    LineStart,
    Name,
    Lead,
    Value,
    ValueLf,
    EndLf,
    Done,
}

/// Ends a step for want of bytes, remembering where.
macro_rules! pause {
    ($parser:ident, $stage:expr, $position:expr, $mark:expr) => {{
        $parser.stage = $stage;
        // Both are at most HEAD_LIMIT.
        $parser.position = $position as u16;
        $parser.mark = $mark as u16;
        return Ok(Progress::Incomplete);
    }};
}

pub(super) use pause;

impl HeadParser {
    /// A parser that has seen nothing.
    pub const NEW: Self = Self {
        seen: 0,
        position: 0,
        mark: 0,
        flags: 0,
        count: 0,
        stage: Stage::Start,
    };

    /// Bytes of the head so far; once it is complete, its length.
    #[must_use]
    #[inline]
    pub fn length(&self) -> usize {
        usize::from(self.position)
    }

    /// Parses on. `bytes` is everything received since the head's first byte: it grows between
    /// calls and may have moved. `fields` is the same table in each call; what earlier calls wrote
    /// must still be there. A table of `n` entries takes `n - 1` field lines, at most 254.
    ///
    /// Called again after completion or an error, it says the same again.
    ///
    /// # Errors
    /// What is wrong with the head; the connection has to be closed after the reply.
    #[inline]
    pub fn advance(&mut self, bytes: &[u8], fields: &mut [Field]) -> Result<Progress, HeadError> {
        // After an error the state is that before it, and the error repeats.
        let before = *self;
        let result = self.go_on(bytes.get(..HEAD_LIMIT).unwrap_or(bytes), fields);
        if result.is_err() {
            *self = before;
        }
        result
    }

    #[inline(always)]
    fn go_on(&mut self, bytes: &[u8], fields: &mut [Field]) -> Result<Progress, HeadError> {
        let mut progress = Progress::Incomplete;
        let lines = fields.len().min(LINE_LIMIT + 1);
        let fields = &mut fields[..lines];
        if self.stage < Stage::LineStart && !self.plain_request_line(bytes, fields) {
            self.request_line(bytes, fields)?;
        }
        if self.stage >= Stage::LineStart {
            progress = self.field_lines(bytes, fields)?;
        }
        if progress == Progress::Incomplete && bytes.len() == HEAD_LIMIT {
            return Err(self.full());
        }
        Ok(progress)
    }

    /// Whether any byte of a request was consumed; leading empty lines do not count.
    #[must_use]
    #[inline]
    pub fn started(&self) -> bool {
        self.stage > Stage::StartLf
    }

    /// Whether the request line is still incomplete.
    #[must_use]
    #[inline]
    pub fn in_request_line(&self) -> bool {
        self.stage < Stage::LineStart
    }

    /// The error to answer with when the head does not fit into the caller's memory: 414 in the
    /// request line (RFC 9112 section 3), else 431.
    #[must_use]
    pub fn full(&self) -> HeadError {
        if self.in_request_line() {
            HeadError::RequestLineTooLong
        } else {
            HeadError::TooLarge
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scan::counter;
    use std::vec::Vec;

    const BROWSER: &[u8] = b"\r\nPOST http://example.org:8080/a/b?c=d HTTP/1.1\r\n\
        Host: example.org:8080\r\nConnection: keep-alive, x\r\nContent-Length: 00012\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n\
        Accept:   text/html,application/xhtml+xml \t \r\nX-Unknown-Name: caf\xc3\xa9\t1\r\n\
        Expect: 100-continue\r\nAccept-Encoding: gzip, deflate, br\r\nIf-None-Match: \"x\"\r\n\r\n";

    /// Feeds `bytes` up to each of `ends`; how many bytes were looked at, at the most: the table is empty, or has
    /// what the same head left there.
    fn cost(bytes: &[u8], ends: impl Iterator<Item = usize> + Clone) -> usize {
        let mut fields = [Field::EMPTY; 32];
        let empty = cost_with(&mut fields, bytes, ends.clone());
        cost_with(&mut fields, bytes, ends).max(empty)
    }

    fn cost_with(fields: &mut [Field], bytes: &[u8], ends: impl Iterator<Item = usize>) -> usize {
        let mut parser = HeadParser::default();
        counter::take();
        let mut last = Ok(Progress::Incomplete);
        for end in ends {
            assert_eq!(last, Ok(Progress::Incomplete));
            last = parser.advance(&bytes[..end], fields);
        }
        assert_eq!(
            last,
            Ok(Progress::Complete {
                length: bytes.len()
            })
        );
        counter::take()
    }

    #[test]
    fn head_in_pieces_costs_no_more_looks_than_one_more_for_each_byte() {
        let length = BROWSER.len();
        let whole = cost(BROWSER, [length].into_iter());
        // Every byte is scanned; names and the values that matter are read again, once or twice.
        assert!(whole >= length, "{whole} of {length}");
        assert!(whole <= 2 * length, "{whole} of {length}");
        // Of a Host line that comes in pieces name and value are read again.
        let again = "Host".len() + "example.org:8080".len();
        let by_byte = cost(BROWSER, 1..=length);
        assert!(by_byte <= whole + again, "{by_byte}, {whole} whole");
        for step in [2, 3, 7, 8, 9, 16, 64] {
            let mut ends: Vec<usize> = (step..length).step_by(step).collect();
            ends.push(length);
            let cost = cost(BROWSER, ends.into_iter());
            // The first part of a line may have been looked at in vain.
            assert!(
                cost <= whole + again + length,
                "{cost} in steps of {step}, {whole} whole"
            );
        }
    }

    #[test]
    fn looks_grow_linearly_with_the_head() {
        let head = |n: usize| {
            let mut bytes = b"GET / HTTP/1.0\r\nX: ".to_vec();
            bytes.resize(n - 4, b'x');
            bytes.extend_from_slice(b"\r\n\r\n");
            let length = bytes.len();
            cost(&bytes, 1..=length)
        };
        assert_eq!(head(8_000) - head(4_000), 4_000);
    }

    #[test]
    fn looks_grow_linearly_with_heads_that_come_whole() {
        let whole = |line: &dyn Fn(usize) -> Vec<u8>, n: usize| {
            let bytes = [b"GET / HTTP/1.0\r\n", &line(n)[..], b"\r\n"].concat();
            cost(&bytes, [bytes.len()].into_iter())
        };
        let long = |around: [&'static [u8]; 2]| {
            move |n| [around[0], &std::vec![b'a'; n], around[1], b"\r\n"].concat()
        };
        // Plain: once. Looked at in one go and found not to be plain: twice; Host three times.
        for (around, times) in [
            ([&b"X: "[..], &b""[..]], 1),
            ([b"X: ", b" "], 2),
            ([b"X: ", b"\xe9"], 2),
            ([b"Host: ", b" "], 3),
        ] {
            let line = long(around);
            let more = whole(&line, 8_000) - whole(&line, 4_000);
            assert_eq!(more, times * 4_000, "{}", around[0].escape_ascii());
        }
        // Lines, each of which is left to the general way.
        let lines = |n: usize| b"a:\x80\r\n".repeat(n);
        let more = whole(&lines, 30) - whole(&lines, 15);
        assert!(more <= 15 * 3 * b"a:\x80\r\n".len(), "{more}");
    }
}
