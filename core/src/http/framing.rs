//! What tells where a request ends: Content-Length and Transfer-Encoding (RFC 9112 section 6).
//!
//! Stricter than the RFC must be, wherever it leaves a choice, because every doubt here is a way
//! to smuggle a request: a repeated or listed Content-Length is refused even when its values
//! agree, and the only accepted Transfer-Encoding is exactly one `chunked`.

use super::error::HeadError;
use super::fields::elements;
use super::scan;

/// How the body that follows a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: neither field was there.
    None,
    /// So many bytes, possibly none.
    Length(u64),
    /// Chunks; see [`ChunkedDecoder`](super::chunked::ChunkedDecoder).
    Chunked,
}

/// The value of Content-Length: decimal digits and nothing else.
///
/// # Errors
/// [`HeadError::ContentLengthInvalid`] for a sign, a list, white space or nothing;
/// [`HeadError::ContentLengthOverflow`] for more than 64 bits.
pub(super) fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    scan::looked_at(value.len());
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::ContentLengthInvalid);
    }
    value
        .iter()
        .try_fold(0_u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(HeadError::ContentLengthOverflow)
}

/// What the Transfer-Encoding lines so far say, all lines together being one list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Codings {
    /// `chunked` was named; nothing may follow it.
    pub chunked: bool,
    /// Some other coding was named.
    pub unknown: bool,
}

impl Codings {
    /// Takes in one more line's value.
    ///
    /// # Errors
    /// [`HeadError::CodingInvalid`] for an empty or malformed element and for anything after
    /// `chunked`.
    pub(super) fn add(mut self, value: &[u8]) -> Result<Self, HeadError> {
        for element in elements(value) {
            let name = element
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or(element);
            if self.chunked || !scan::is_token(scan::trim_end(name)) {
                return Err(HeadError::CodingInvalid);
            }
            if element.eq_ignore_ascii_case(b"chunked") {
                self.chunked = true;
            } else if scan::trim_end(name).eq_ignore_ascii_case(b"chunked") {
                // RFC 9112 section 7.1: parameters of chunked are an error.
                return Err(HeadError::CodingInvalid);
            } else {
                self.unknown = true;
            }
        }
        Ok(self)
    }

    /// The verdict once all lines are known.
    ///
    /// # Errors
    /// [`HeadError::CodingInvalid`] when `chunked` is not last (RFC 9112 section 6.3: a MUST),
    /// [`HeadError::CodingUnknown`] when something else comes before it (section 6.1).
    pub(super) fn finish(self) -> Result<(), HeadError> {
        match self {
            Self { chunked: false, .. } => Err(HeadError::CodingInvalid),
            Self { unknown: true, .. } => Err(HeadError::CodingUnknown),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_plain_digits() {
        let cases: &[(&str, Result<u64, HeadError>)] = &[
            ("0", Ok(0)),
            ("42", Ok(42)),
            ("007", Ok(7)),
            ("18446744073709551615", Ok(u64::MAX)),
            (
                "18446744073709551616",
                Err(HeadError::ContentLengthOverflow),
            ),
            (
                "99999999999999999999999",
                Err(HeadError::ContentLengthOverflow),
            ),
            ("", Err(HeadError::ContentLengthInvalid)),
            ("+5", Err(HeadError::ContentLengthInvalid)),
            ("-5", Err(HeadError::ContentLengthInvalid)),
            ("5,5", Err(HeadError::ContentLengthInvalid)),
            ("5, 6", Err(HeadError::ContentLengthInvalid)),
            ("5 5", Err(HeadError::ContentLengthInvalid)),
            ("0x10", Err(HeadError::ContentLengthInvalid)),
            ("1e3", Err(HeadError::ContentLengthInvalid)),
            ("5\u{0}", Err(HeadError::ContentLengthInvalid)),
            ("\u{665}", Err(HeadError::ContentLengthInvalid)),
        ];
        for (value, expected) in cases {
            assert_eq!(content_length(value.as_bytes()), *expected, "{value:?}");
        }
    }

    #[test]
    fn only_one_plain_final_chunked_is_accepted() {
        use HeadError::{CodingInvalid, CodingUnknown};
        let cases: &[(&[&str], Result<(), HeadError>)] = &[
            (&["chunked"], Ok(())),
            (&["Chunked"], Ok(())),
            (&["gzip, chunked"], Err(CodingUnknown)),
            (&["gzip", "chunked"], Err(CodingUnknown)),
            (&["gzip;q=1 , chunked"], Err(CodingUnknown)),
            (&["xchunked,chunked"], Err(CodingUnknown)),
            (&["gzip"], Err(CodingInvalid)),
            (&["identity"], Err(CodingInvalid)),
            (&["chunked, gzip"], Err(CodingInvalid)),
            (&["chunked", "gzip"], Err(CodingInvalid)),
            (&["chunked, chunked"], Err(CodingInvalid)),
            (&["chunked", "chunked"], Err(CodingInvalid)),
            (&["chunked;a=b"], Err(CodingInvalid)),
            (&["chunked ;a=b"], Err(CodingInvalid)),
            (&["chunked,"], Err(CodingInvalid)),
            (&[",chunked"], Err(CodingInvalid)),
            (&[""], Err(CodingInvalid)),
            (&["\"chunked\""], Err(CodingInvalid)),
            (&["\u{b}chunked"], Err(CodingInvalid)),
            (&["foo;a=\"x, chunked\""], Err(CodingInvalid)),
        ];
        for (lines, expected) in cases {
            let verdict = lines
                .iter()
                .try_fold(Codings::default(), |codings, line| {
                    codings.add(line.as_bytes())
                })
                .and_then(Codings::finish);
            assert_eq!(verdict, *expected, "{lines:?}");
        }
    }
}
