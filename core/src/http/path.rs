//! Paths and queries of request targets: percent-decoding, and paths without detours.
//!
//! # What it promises
//!
//! A path that [`normalise`] returns begins with `/` and holds no `.` or `..` segment, no empty
//! segment and no NUL; it names nothing above the root, and it is never longer than what came in.
//! Nothing is decoded twice. All other bytes are kept as they are, control bytes, backslashes and
//! those above 127 included: a path is bytes, not text, and each of them is an ordinary byte of a
//! POSIX file name.
//!
//! # What it must not do
//!
//! It knows of no file system: symbolic links, case and which bytes a name may hold are decided by
//! the code that opens files. On RTEMS a backslash separates directories, so a content source that opens
//! files there has to refuse it; see [`is_portable`].
//!
//! # Encoded slashes
//!
//! `%2F` counts as a slash, as it does in nginx, Apache (with `AllowEncodedSlashes`) and lighttpd:
//! no file name can hold one. A reader that leaves it encoded, such as a proxy with access rules,
//! sees one segment where this function sees two, so `.` and `..` beside it would lead the two to
//! different places. A path that has both an encoded slash and a dot segment is refused.

use super::write::Writer;
use core::fmt;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with a slash.
    NotAbsolute,
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// A NUL, which no file name holds.
    Nul,
    /// `%2F` and a dot segment; the module's documentation says why.
    EncodedSlash,
    /// `..` would leave the root.
    AboveRoot,
    /// The scratch memory is too small for the decoded path.
    TooLong,
}

impl PathError {
    /// The status code of the reply: 414 for [`PathError::TooLong`], otherwise 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLong => 414,
            _ => 400,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::BadEscape => "the path has a % that is not followed by two hexadecimal digits",
            Self::Nul => "the path has a NUL byte, which no name can hold",
            Self::EncodedSlash => "the path has an encoded slash (%2F) and a '.' or '..' segment",
            Self::AboveRoot => "the path leaves the root through '..'",
            Self::TooLong => "the path is longer than the memory it is decoded into",
        })
    }
}

impl core::error::Error for PathError {}

/// Decodes and normalises `raw`, the path of a request-target without its query.
///
/// A path that needs no change is returned as it is, and `scratch` is not touched. Otherwise the
/// result is written to `scratch`; as many bytes as `raw` has are always enough. `.` and `..` are
/// resolved as in RFC 3986 section 5.2.4, encoded or not, with the slash at the end kept. Only then
/// do slashes in a row count as one: between two slashes there is a segment, and it is what `..`
/// removes. Whoever stands between client and server and goes by the RFC sees the same path.
///
/// ```
/// use capuchin_core::http::path::{PathError, normalise};
///
/// let mut scratch = [0; 64];
/// assert_eq!(normalise(b"/a/b.html", &mut scratch), Ok(&b"/a/b.html"[..]));
/// assert_eq!(normalise(b"/a//./b%20c/x/%2e%2E", &mut scratch), Ok(&b"/a/b c/"[..]));
/// assert_eq!(normalise(b"/a//../b", &mut scratch), Ok(&b"/a/b"[..]));
/// assert_eq!(normalise(b"/../etc/passwd", &mut scratch), Err(PathError::AboveRoot));
/// ```
///
/// # Errors
/// [`PathError`] for what is malformed or leaves the root; [`PathError::TooLong`] when `scratch`
/// is needed and too small.
#[inline]
pub fn normalise<'b>(raw: &'b [u8], scratch: &'b mut [u8]) -> Result<&'b [u8], PathError> {
    if is_plain(raw) {
        return Ok(raw);
    }
    normalise_slowly(raw, scratch)
}

/// Whether `raw` is a path without a query that can be used as it is, told by looking at each byte
/// and the one before it. Refuses a few that could be used as well, such as `/.well-known`: those
/// take the slow way.
#[cfg_attr(not(target_os = "rtems"), inline)]
pub(super) fn is_plain(raw: &[u8]) -> bool {
    let [b'/', rest @ ..] = raw else {
        return false;
    };
    // One table look-up per byte and one branch: paths are short, and most of them are plain.
    let mut seen = 0;
    let mut before = CLASS[b'/' as usize];
    for &byte in rest {
        let class = CLASS[byte as usize];
        if class & QUERY != 0 {
            return false;
        }
        // AFTER_SLASH is one place left of SLASH: it stays only where a slash came before.
        seen |= class & (SUSPECT | (before & SLASH) << 1);
        before = class;
    }
    seen & (SUSPECT | AFTER_SLASH) == 0
}

/// A slash.
const SLASH: u8 = 1;
/// Begins a segment that may have to go: a dot, or another slash.
const AFTER_SLASH: u8 = SLASH << 1;
/// Has to be decoded, or looked at more closely: no plain path has a control byte or a backslash.
const SUSPECT: u8 = 4;
/// Ends a path in a request target.
const QUERY: u8 = 8;

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'/' => SLASH | AFTER_SLASH,
            b'.' => AFTER_SLASH,
            b'?' | b'#' => QUERY,
            b'%' | b'\\' | 0..=31 | 127 => SUSPECT,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[cold]
fn normalise_slowly<'b>(raw: &'b [u8], scratch: &'b mut [u8]) -> Result<&'b [u8], PathError> {
    let [b'/', rest @ ..] = raw else {
        return Err(PathError::NotAbsolute);
    };
    if is_normal(rest) {
        return Ok(raw);
    }
    let mut out = Segments::new(scratch)?;
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        at += 1;
        match byte {
            b'/' => out.end_segment()?,
            b'%' => {
                let byte = escaped(&rest[at..]).ok_or(PathError::BadEscape)?;
                at += ESCAPE_DIGITS;
                if byte == b'/' {
                    out.has_encoded_slash = true;
                    out.end_segment()?;
                } else {
                    out.put(byte)?;
                }
            }
            _ => out.put(byte)?,
        }
    }
    out.finish()
}

/// Whether nothing in a path (behind its first slash) has to be decoded, refused or removed.
fn is_normal(rest: &[u8]) -> bool {
    let suspect = rest.iter().any(|&byte| matches!(byte, b'%' | 0));
    let mut segments = rest.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, b"." | b"..") || (segment.is_empty() && !last) {
            return false;
        }
    }
    !suspect
}

/// A path that grows by bytes and loses segments; empty ones are kept until the end.
struct Segments<'b> {
    memory: &'b mut [u8],
    length: usize,
    /// Where the segment begins that is being written; the byte before it is a slash.
    begin: usize,
    has_encoded_slash: bool,
    has_dot_segment: bool,
}

impl<'b> Segments<'b> {
    fn new(memory: &'b mut [u8]) -> Result<Self, PathError> {
        *memory.first_mut().ok_or(PathError::TooLong)? = b'/';
        Ok(Self {
            memory,
            length: 1,
            begin: 1,
            has_encoded_slash: false,
            has_dot_segment: false,
        })
    }

    fn put(&mut self, byte: u8) -> Result<(), PathError> {
        if byte == 0 {
            return Err(PathError::Nul);
        }
        self.append(byte)
    }

    fn append(&mut self, byte: u8) -> Result<(), PathError> {
        *self.memory.get_mut(self.length).ok_or(PathError::TooLong)? = byte;
        self.length += 1;
        Ok(())
    }

    /// A slash came: keeps the segment before it, or does what its dots say.
    fn end_segment(&mut self) -> Result<(), PathError> {
        if !self.resolve_dots()? {
            self.append(b'/')?;
            self.begin = self.length;
        }
        Ok(())
    }

    /// Removes the current segment if it is `.`, and the one before it as well if it is `..`; tells
    /// whether it was one of them.
    fn resolve_dots(&mut self) -> Result<bool, PathError> {
        match &self.memory[self.begin..self.length] {
            b"." => self.length = self.begin,
            b".." => {
                // The slash before the current segment ends the one that has to go.
                let parents = &self.memory[..self.begin - 1];
                let slash = parents.iter().rposition(|&byte| byte == b'/');
                self.begin = slash.ok_or(PathError::AboveRoot)? + 1;
                self.length = self.begin;
            }
            _ => return Ok(false),
        }
        self.has_dot_segment = true;
        Ok(true)
    }

    fn finish(mut self) -> Result<&'b [u8], PathError> {
        self.resolve_dots()?;
        if self.has_encoded_slash && self.has_dot_segment {
            return Err(PathError::EncodedSlash);
        }
        self.drop_empty_segments();
        Ok(&self.memory[..self.length])
    }

    /// Makes one slash of several in a row.
    fn drop_empty_segments(&mut self) {
        let mut kept = 1;
        for at in 1..self.length {
            let byte = self.memory[at];
            if byte != b'/' || self.memory[kept - 1] != b'/' {
                self.memory[kept] = byte;
                kept += 1;
            }
        }
        self.length = kept;
    }
}

/// Writes a decoded path so that [`normalise`] and every other reader gives it back: each byte but
/// `/` and those that a segment may hold (`pchar` of RFC 3986 section 3.3) is percent-encoded.
///
/// ```
/// use capuchin_core::http::path::encode;
/// use capuchin_core::http::write::Writer;
///
/// let mut memory = [0; 64];
/// let mut out = Writer::new(&mut memory);
/// encode("/a b/100%/é?".as_bytes(), &mut out);
/// assert_eq!(out.written(), b"/a%20b/100%25/%C3%A9%3F");
/// ```
pub fn encode(path: &[u8], out: &mut Writer<'_>) {
    for &byte in path {
        if is_path_byte(byte) {
            out.put(&[byte]);
        } else {
            escape(byte, out);
        }
    }
}

/// Writes `raw`, a part of a request target as it was sent, so that it may stand in a URI reference
/// (RFC 3986): escapes are kept as they are, and each byte that no path or query holds is
/// percent-encoded, a `%` that begins no escape included.
///
/// ```
/// use capuchin_core::http::path::encode_raw;
/// use capuchin_core::http::write::Writer;
///
/// let mut memory = [0; 64];
/// let mut out = Writer::new(&mut memory);
/// encode_raw(b"a=%20b&c=\"<>&d=100%", &mut out);
/// assert_eq!(out.written(), b"a=%20b&c=%22%3C%3E&d=100%25");
/// ```
pub fn encode_raw(raw: &[u8], out: &mut Writer<'_>) {
    for (at, &byte) in raw.iter().enumerate() {
        let is_escape = byte == b'%' && escaped(&raw[at + 1..]).is_some();
        if is_path_byte(byte) || byte == b'?' || is_escape {
            out.put(&[byte]);
        } else {
            escape(byte, out);
        }
    }
}

/// Whether a path holds it as it is: `pchar` of RFC 3986 section 3.3, or a slash.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte)
}

fn escape(byte: u8, out: &mut Writer<'_>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |number: u8| DIGITS[usize::from(number & 15)];
    out.put(&[b'%', digit(byte >> 4), digit(byte)]);
}

/// Whether all bytes of a decoded path, or of a part of one, mean the same to every file system and
/// every log: none is a control byte, and none a backslash, which RTEMS and FAT file systems take
/// for a slash.
///
/// ```
/// use capuchin_core::http::path::is_portable;
///
/// assert!(is_portable("/a b/grüße.txt".as_bytes()));
/// assert!(!is_portable(b"/..\\secret") && !is_portable(b"/a\nb"));
/// ```
#[must_use]
pub fn is_portable(path: &[u8]) -> bool {
    !path
        .iter()
        .any(|&byte| byte.is_ascii_control() || byte == b'\\')
}

/// Hexadecimal digits behind a `%`.
const ESCAPE_DIGITS: usize = 2;

/// The byte that the two hexadecimal digits at the start of `text` stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low, ..] = *text else {
        return None;
    };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Why a value of a query could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// The caller's memory is too small for the decoded bytes.
    TooLong,
}

impl QueryError {
    /// The status code of the reply: 414 for [`QueryError::TooLong`], otherwise 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLong => 414,
            Self::BadEscape => 400,
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadEscape => "the query has a % that is not followed by two hexadecimal digits",
            Self::TooLong => "a value of the query is longer than the memory it is decoded into",
        })
    }
}

impl core::error::Error for QueryError {}

/// The value of the first pair in `query` whose decoded name is `name`, decoded into `out`; `None`
/// when there is none. A pair with a malformed name is passed over.
///
/// ```
/// use capuchin_core::http::path::query_value;
///
/// let mut memory = [0; 32];
/// let value = query_value(b"x=1&full+name=J%c3%b6rg+M.", b"full name", &mut memory);
/// assert_eq!(value, Some(Ok("Jörg M.".as_bytes())));
/// ```
pub fn query_value<'o>(
    query: &[u8],
    name: &[u8],
    out: &'o mut [u8],
) -> Option<Result<&'o [u8], QueryError>> {
    let (_, value) =
        query_pairs(query).find(|(raw, _)| Decoded(raw).eq(name.iter().copied().map(Ok)))?;
    Some(query_decode(value, out))
}

/// The `name=value` pairs of a query in the form that HTML forms send, in order and still
/// encoded. A pair without `=` has an empty value; empty pairs are skipped.
///
/// ```
/// use capuchin_core::http::path::query_pairs;
///
/// let mut pairs = query_pairs(b"on&level=3");
/// assert_eq!(pairs.next(), Some((&b"on"[..], &b""[..])));
/// assert_eq!(pairs.next(), Some((&b"level"[..], &b"3"[..])));
/// assert_eq!(pairs.next(), None);
/// ```
pub fn query_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        })
}

/// Decodes a name or value of a query into `out`: `%41` is `A`, `+` is a space. Any byte may come
/// out, NUL and slashes included: it is data. As many bytes as `raw` has are always enough.
///
/// # Errors
/// [`QueryError`] for a malformed escape or when `out` is too small.
pub fn query_decode<'o>(raw: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], QueryError> {
    let mut length = 0;
    for byte in Decoded(raw) {
        *out.get_mut(length).ok_or(QueryError::TooLong)? = byte?;
        length += 1;
    }
    Ok(&out[..length])
}

/// The bytes that an encoded part of a query stands for; ends after the first error.
struct Decoded<'q>(&'q [u8]);

impl Iterator for Decoded<'_> {
    type Item = Result<u8, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match byte {
            b'+' => Ok(b' '),
            b'%' => match escaped(rest) {
                Some(byte) => {
                    self.0 = &rest[ESCAPE_DIGITS..];
                    Ok(byte)
                }
                None => {
                    self.0 = &[];
                    Err(QueryError::BadEscape)
                }
            },
            _ => Ok(byte),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString as _};
    use std::vec;
    use std::vec::Vec;

    fn normalised(raw: &[u8]) -> Result<Vec<u8>, PathError> {
        normalise(raw, &mut vec![0; raw.len()]).map(<[u8]>::to_vec)
    }

    #[test]
    fn path_that_needs_no_change_is_not_copied() {
        let table: [&[u8]; 17] = [
            b"/",
            b"/index.html",
            b"/a/b/c/",
            b"/a.b/c..d/e...",
            b"/.well-known/acme-challenge/x",
            b"/..a/.b/...",
            b"/a../b.",
            b"/.../",
            b"/a b",
            b"/caf\xc3\xa9",
            b"/\xff\xfe",
            b"/a;b=c,d:e@f!$&'()*+~_-",
            b"/?#",
            // Ordinary bytes of a POSIX file name.
            b"/\\evil.example",
            b"/a\\..\\b",
            b"/a\x7f",
            b"/a\tb\n\x1b[2J",
        ];
        for raw in table {
            // No scratch memory: a copy could not succeed.
            let result = normalise(raw, &mut []).map(<[u8]>::as_ptr);
            assert_eq!(result, Ok(raw.as_ptr()), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn detours_are_removed_and_escapes_decoded() {
        let table: [(&[u8], &[u8]); 53] = [
            (b"//", b"/"),
            (b"///", b"/"),
            (b"//a", b"/a"),
            (b"/a//b", b"/a/b"),
            (b"/a///b//", b"/a/b/"),
            (b"/.", b"/"),
            (b"/./", b"/"),
            (b"/./a", b"/a"),
            (b"/a/.", b"/a/"),
            (b"/a/./b", b"/a/b"),
            (b"/a/./", b"/a/"),
            (b"/a/..", b"/"),
            (b"/a/../", b"/"),
            (b"/a/b/..", b"/a/"),
            (b"/a/b/../", b"/a/"),
            (b"/a/b/../c", b"/a/c"),
            (b"/a/b/../../c", b"/c"),
            // An empty segment is one that `..` removes (RFC 3986 section 5.2.4).
            (b"/a//../b", b"/a/b"),
            (b"/a/.//../b", b"/a/b"),
            (b"/a//../../b", b"/b"),
            (b"/a//..//../b", b"/a/b"),
            (b"/a//b/../../c", b"/a/c"),
            (b"/a//..", b"/a/"),
            (b"//../a", b"/a"),
            (b"//..", b"/"),
            (b"//%2e%2e//a//", b"/a/"),
            (b"///../../a", b"/a"),
            (b"/a/b/c/./../../g", b"/a/g"),
            (b"/%2e", b"/"),
            (b"/a/%2E%2e/b", b"/b"),
            (b"/a/.%2e/b", b"/b"),
            (b"/a/%2e./b", b"/b"),
            (b"/%41%62", b"/Ab"),
            (b"/a%20b", b"/a b"),
            (b"/%C3%A9", b"/\xc3\xa9"),
            (b"/%ff", b"/\xff"),
            (b"/%25", b"/%"),
            (b"/%252e%252e/a", b"/%2e%2e/a"),
            (b"/%3Fa%23", b"/?a#"),
            (b"/%2e%2e%2e/x", b"/.../x"),
            (b"/.a/..b/../c", b"/.a/c"),
            (b"/a%2Fb", b"/a/b"),
            (b"/a%2f", b"/a/"),
            (b"/a%2F%2f/b", b"/a/b"),
            (b"/a/%2Fb", b"/a/b"),
            (b"/..a%2F.b", b"/..a/.b"),
            (b"/%252F", b"/%2F"),
            (b"/%0d%0aX:y", b"/\r\nX:y"),
            (b"/%1F%7f", b"/\x1f\x7f"),
            (b"/a%5c..%5Cb", b"/a\\..\\b"),
            (b"/..%5cx", b"/..\\x"),
            (b"/%2e\\", b"/.\\"),
            (b"/x/../a\\b", b"/a\\b"),
        ];
        for (raw, expected) in table {
            assert_eq!(
                normalised(raw).as_deref(),
                Ok(expected),
                "{}",
                raw.escape_ascii()
            );
        }
    }

    #[test]
    fn malformed_and_escaping_paths_are_refused() {
        use PathError::{AboveRoot, BadEscape, EncodedSlash, NotAbsolute, Nul};
        let table: [(&[u8], PathError); 33] = [
            (b"", NotAbsolute),
            (b"a", NotAbsolute),
            (b"*", NotAbsolute),
            (b"../a", NotAbsolute),
            (b"%2Fa", NotAbsolute),
            (b"/%", BadEscape),
            (b"/%4", BadEscape),
            (b"/a%", BadEscape),
            (b"/%4/", BadEscape),
            (b"/%g1", BadEscape),
            (b"/%1g", BadEscape),
            (b"/%%41", BadEscape),
            (b"/% 1", BadEscape),
            (b"/%+1", BadEscape),
            (b"/%u0041", BadEscape),
            (b"/%00", Nul),
            (b"/a.html%00.png", Nul),
            (b"/a\0b", Nul),
            // Decoded or not, these would be two different paths.
            (b"/..%2f..%2fetc", AboveRoot),
            (b"/a/..%2Fb", EncodedSlash),
            (b"/a%2F../b", EncodedSlash),
            (b"/x/a%2Fb/../c", EncodedSlash),
            (b"/x/../a%2Fb", EncodedSlash),
            (b"/a%2F./b", EncodedSlash),
            (b"/a%2F.", EncodedSlash),
            (b"/%2e%2Fa", EncodedSlash),
            (b"/..", AboveRoot),
            (b"/../", AboveRoot),
            (b"/../a", AboveRoot),
            (b"/a/../..", AboveRoot),
            (b"/a/../../b/", AboveRoot),
            (b"/%2e%2e/", AboveRoot),
            (b"//../../a", AboveRoot),
        ];
        for (raw, error) in table {
            assert_eq!(normalised(raw), Err(error), "{}", raw.escape_ascii());
            assert_eq!(error.status(), 400);
        }
    }

    #[test]
    fn small_scratch_is_uri_too_long() {
        let mut scratch = [0; 4];
        assert_eq!(normalise(b"/%61bc", &mut scratch), Ok(&b"/abc"[..]));
        assert_eq!(normalise(b"/%61bcd", &mut scratch), Err(PathError::TooLong));
        assert_eq!(normalise(b"//", &mut []), Err(PathError::TooLong));
        assert_eq!(PathError::TooLong.status(), 414);
    }

    #[test]
    fn climbing_costs_no_more_than_descending() {
        // 2,000 segments down and up again: quadratic work would show as minutes under Miri and
        // a wrong result shows at once.
        let raw = ["/a".repeat(2000), "/..".repeat(2000)].concat();
        assert_eq!(normalised(raw.as_bytes()).as_deref(), Ok(&b"/"[..]));
        let raw = [raw, String::from("/..")].concat();
        assert_eq!(normalised(raw.as_bytes()), Err(PathError::AboveRoot));
    }

    #[test]
    fn pairs_come_in_order_and_still_encoded() {
        let pairs: Vec<_> = query_pairs(b"&a=1&&b&=c&d=e=f&a=%31&").collect();
        let expected: [(&[u8], &[u8]); 6] = [
            (b"a", b"1"),
            (b"b", b""),
            (b"", b"c"),
            (b"d", b"e=f"),
            (b"a", b"%31"),
            (b"", b""),
        ];
        assert_eq!(pairs, expected[..5]);
        assert_eq!(query_pairs(b"").count(), 0);
        assert_eq!(query_pairs(b"=").collect::<Vec<_>>(), expected[5..]);
    }

    #[test]
    fn values_are_found_by_decoded_name() {
        type Answer = Option<Result<&'static [u8], QueryError>>;
        let table: [(&[u8], &[u8], Answer); 13] = [
            (b"a=1", b"a", Some(Ok(b"1"))),
            (b"a=1", b"b", None),
            (b"", b"", None),
            (b"a=1&a=2", b"a", Some(Ok(b"1"))),
            (b"aa=1&a=2", b"a", Some(Ok(b"2"))),
            (b"%61=1", b"a", Some(Ok(b"1"))),
            (b"a+b=c+d", b"a b", Some(Ok(b"c d"))),
            (b"a=%2B%26%3d", b"a", Some(Ok(b"+&="))),
            (b"a=%00", b"a", Some(Ok(b"\0"))),
            (b"a", b"a", Some(Ok(b""))),
            (b"a%=1&a=2", b"a", Some(Ok(b"2"))),
            (b"a=%", b"a", Some(Err(QueryError::BadEscape))),
            (b"a=%4", b"a", Some(Err(QueryError::BadEscape))),
        ];
        for (query, name, expected) in table {
            let mut memory = [0; 8];
            assert_eq!(
                query_value(query, name, &mut memory),
                expected,
                "{}",
                query.escape_ascii()
            );
        }
    }

    #[test]
    fn value_larger_than_the_memory_is_refused() {
        let mut memory = [0; 2];
        assert_eq!(query_decode(b"%61b", &mut memory), Ok(&b"ab"[..]));
        assert_eq!(query_decode(b"abc", &mut memory), Err(QueryError::TooLong));
        assert_eq!(QueryError::TooLong.status(), 414);
        assert_eq!(QueryError::BadEscape.status(), 400);
    }

    #[test]
    fn errors_are_sentences() {
        assert!(PathError::AboveRoot.to_string().contains("root"));
        assert!(QueryError::BadEscape.to_string().contains('%'));
    }
}
