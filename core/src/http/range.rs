//! Ranges of bytes: what `Range` asks for, and what `Content-Range` answers (RFC 9110 section 14).
//!
//! A range is asked for, never owed: whatever is not understood is answered by the whole
//! representation. So are several ranges in one request: section 14.2 lets a server ignore
//! `Range`, and the whole contains each part, while the first part alone would be a wrong answer.
//!
//! This module looks at the field only; whether `Range` counts at all (GET, `If-Range`) is decided
//! by [`crate::http::conditional`] and its caller.

use core::cmp::Ordering;
use core::fmt;

/// Which bytes of a representation a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them, with 200: the field is malformed, has another unit, or asks for several ranges.
    Whole,
    /// From `start` up to but not including `end`, with 206. `start < end <= length`.
    Part {
        /// The first byte, counted from 0.
        start: u64,
        /// One behind the last byte.
        end: u64,
    },
    /// None: every range lies beyond the end, or is empty; 416 with [`ContentRange::Unsatisfied`].
    Unsatisfiable,
}

/// Evaluates a `Range` field for a representation of `length` bytes.
///
/// The last position is clamped to the length, however huge it is; a suffix longer than the
/// representation is all of it. The last bytes of an empty representation are satisfiable by
/// section 14.1.2 but no `Content-Range` can say so: the answer is [`Selection::Whole`].
///
/// ```
/// use capuchin_core::http::range::{Selection, evaluate};
///
/// assert_eq!(evaluate(b"bytes=0-9", 100), Selection::Part { start: 0, end: 10 });
/// assert_eq!(evaluate(b"bytes=-10", 100), Selection::Part { start: 90, end: 100 });
/// assert_eq!(evaluate(b"bytes=100-", 100), Selection::Unsatisfiable);
/// assert_eq!(evaluate(b"bytes=0-9,20-29", 100), Selection::Whole);
/// ```
#[must_use]
pub fn evaluate(field: &[u8], length: u64) -> Selection {
    const UNIT: &[u8] = b"bytes=";
    let Some((unit, set)) = field.split_at_checked(UNIT.len()) else {
        return Selection::Whole;
    };
    // Units are case-insensitive (section 14.1); no space may follow the equals sign.
    if !unit.eq_ignore_ascii_case(UNIT) || set.first().is_some_and(u8::is_ascii_whitespace) {
        return Selection::Whole;
    }
    let mut asked = 0u32;
    let mut satisfiable = false;
    let mut selection = Selection::Whole;
    for element in set.split(|&byte| byte == b',') {
        let element = trim(element);
        if element.is_empty() {
            continue; // section 5.6.1.2: empty elements of a list are skipped
        }
        let Some(spec) = Spec::parse(element) else {
            return Selection::Whole;
        };
        asked = asked.saturating_add(1);
        selection = spec.select(length);
        satisfiable |= selection != Selection::Unsatisfiable;
    }
    match asked {
        0 => Selection::Whole,
        1 => selection,
        _ if satisfiable => Selection::Whole,
        // None of several ranges overlaps the content: 416, as for a single one (section 14.2).
        _ => Selection::Unsatisfiable,
    }
}

/// One `range-spec`. Numbers too large for 64 bits are kept as the largest.
enum Spec {
    From { first: u64 },
    Between { first: u64, last: u64 },
    Last { count: u64 },
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Last {
                count: number(last)?,
            }),
            (false, true) => Some(Self::From {
                first: number(first)?,
            }),
            (false, false) => {
                let (from, to) = (number(first)?, number(last)?);
                // A last position before the first makes the range invalid (section 14.1.1).
                (compare(first, last) != Ordering::Greater).then_some(Self::Between {
                    first: from,
                    last: to,
                })
            }
        }
    }

    fn select(&self, length: u64) -> Selection {
        let (start, end) = match *self {
            Self::Last { count: 0 } => return Selection::Unsatisfiable,
            Self::Last { .. } if length == 0 => return Selection::Whole,
            Self::Last { count } => (length.saturating_sub(count), length),
            Self::From { first } => (first, length),
            Self::Between { first, last } => (first, last.saturating_add(1).min(length)),
        };
        if start < length {
            Selection::Part { start, end }
        } else {
            Selection::Unsatisfiable
        }
    }
}

/// A decimal number of at least one digit; what does not fit becomes `u64::MAX`.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => Some(
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0')),
        ),
        _ => None,
    })
}

/// Compares decimal numbers of any length.
fn compare(left: &[u8], right: &[u8]) -> Ordering {
    fn significant(digits: &[u8]) -> &[u8] {
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        &digits[zeros..]
    }
    let (left, right) = (significant(left), significant(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Without the optional white space of lists: spaces and tabs.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The value of a `Content-Range` field (RFC 9110 section 14.4), written by `Display`.
///
/// ```
/// use capuchin_core::http::range::ContentRange;
///
/// let part = ContentRange::Part { start: 0, end: 10, length: 100 };
/// assert_eq!(part.to_string(), "bytes 0-9/100");
/// assert_eq!(ContentRange::Unsatisfied { length: 100 }.to_string(), "bytes */100");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// Of a 206: these bytes, as in [`Selection::Part`], out of `length`.
    Part {
        /// The first byte, counted from 0.
        start: u64,
        /// One behind the last byte; greater than `start`, for an empty part cannot be told.
        end: u64,
        /// Bytes of the whole representation.
        length: u64,
    },
    /// Of a 416: how long the representation really is.
    Unsatisfied {
        /// Bytes of the whole representation.
        length: u64,
    },
}

impl ContentRange {
    /// Bytes that a value takes at the most: three numbers of 20 digits with `bytes `, `-`, `/`.
    pub const LENGTH_LIMIT: usize = 6 + 20 + 1 + 20 + 1 + 20;
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Part { start, end, length } => {
                let last = end.saturating_sub(1);
                write!(f, "bytes {start}-{last}/{length}")
            }
            Self::Unsatisfied { length } => write!(f, "bytes */{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Selection::{Unsatisfiable, Whole};
    use std::string::ToString as _;

    const fn part(start: u64, end: u64) -> Selection {
        Selection::Part { start, end }
    }

    const HUGE: &str = "99999999999999999999999999";

    fn check(table: &[(&str, u64, Selection)]) {
        for (field, length, expected) in table {
            let field = field.replace("HUGE", HUGE);
            assert_eq!(
                evaluate(field.as_bytes(), *length),
                *expected,
                "{field} of {length}"
            );
        }
    }

    #[test]
    fn single_ranges_are_clamped_to_the_length() {
        check(&[
            ("bytes=0-0", 100, part(0, 1)),
            ("bytes=0-9", 100, part(0, 10)),
            ("BYTES=0-9", 100, part(0, 10)),
            ("bytes=007-0009", 100, part(7, 10)),
            ("bytes=10-", 100, part(10, 100)),
            ("bytes=0-", 100, part(0, 100)),
            ("bytes=99-", 100, part(99, 100)),
            ("bytes=99-99", 100, part(99, 100)),
            ("bytes=90-100", 100, part(90, 100)),
            ("bytes=90-99999", 100, part(90, 100)),
            ("bytes=-1", 100, part(99, 100)),
            ("bytes=-100", 100, part(0, 100)),
            ("bytes=-101", 100, part(0, 100)),
            ("bytes=0-9,", 100, part(0, 10)),
            ("bytes=, ,0-9 ,\t", 100, part(0, 10)),
        ]);
    }

    #[test]
    fn numbers_beyond_64_bits_are_no_trap() {
        check(&[
            ("bytes=0-18446744073709551615", 100, part(0, 100)),
            ("bytes=0-18446744073709551616", 100, part(0, 100)),
            ("bytes=5-HUGE", 100, part(5, 100)),
            ("bytes=-HUGE", 100, part(0, 100)),
            ("bytes=HUGE-", 100, Unsatisfiable),
            ("bytes=HUGE-HUGE", 100, Unsatisfiable),
            ("bytes=HUGE-", u64::MAX, Unsatisfiable),
            ("bytes=0-18446744073709551614", u64::MAX, part(0, u64::MAX)),
            ("bytes=-HUGE", u64::MAX, part(0, u64::MAX)),
            // Backwards even though both are cut to the same number.
            ("bytes=HUGE-18446744073709551616", 100, Whole),
            ("bytes=HUGE-9", 100, Whole),
        ]);
    }

    #[test]
    fn ranges_beyond_the_end_are_unsatisfiable() {
        check(&[
            ("bytes=100-", 100, Unsatisfiable),
            ("bytes=100-200", 100, Unsatisfiable),
            ("bytes=-0", 100, Unsatisfiable),
            ("bytes=-000", 100, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=0-0", 0, Unsatisfiable),
            ("bytes=-0", 0, Unsatisfiable),
            ("bytes=-1", 0, Whole),
        ]);
    }

    #[test]
    fn several_ranges_are_answered_by_the_whole_or_not_at_all() {
        check(&[
            ("bytes=0-9,20-29", 100, Whole),
            ("bytes=0-9, -1", 100, Whole),
            ("bytes=0-9,200-", 100, Whole),
            ("bytes=200-,0-9", 100, Whole),
            ("bytes=100-,200-300", 100, Unsatisfiable),
            ("bytes=100-, -0", 100, Unsatisfiable),
            ("bytes=100-,junk", 100, Whole),
        ]);
    }

    #[test]
    fn what_is_not_understood_is_answered_by_the_whole() {
        check(&[
            ("", 100, Whole),
            ("bytes", 100, Whole),
            ("bytes=", 100, Whole),
            ("bytes=,", 100, Whole),
            ("bytes=-", 100, Whole),
            ("bytes=0", 100, Whole),
            ("bytes=9-0", 100, Whole),
            ("bytes=0--9", 100, Whole),
            ("bytes=--9", 100, Whole),
            ("bytes=+0-9", 100, Whole),
            ("bytes=0-9x", 100, Whole),
            ("bytes=0x0-9", 100, Whole),
            ("bytes=0 - 9", 100, Whole),
            ("bytes= 0-9", 100, Whole),
            ("bytes =0-9", 100, Whole),
            ("bytes:0-9", 100, Whole),
            ("lines=0-9", 100, Whole),
            ("kilobytes=0-9", 100, Whole),
            ("bytes=\u{661}-9", 100, Whole),
        ]);
    }

    #[test]
    fn longest_content_range_fits_its_limit() {
        let longest = ContentRange::Part {
            start: u64::MAX - 1,
            end: u64::MAX,
            length: u64::MAX,
        };
        assert_eq!(
            longest.to_string(),
            "bytes 18446744073709551614-18446744073709551614/18446744073709551615"
        );
        assert_eq!(longest.to_string().len(), ContentRange::LENGTH_LIMIT);
        assert_eq!(
            ContentRange::Unsatisfied { length: 0 }.to_string(),
            "bytes */0"
        );
    }
}
