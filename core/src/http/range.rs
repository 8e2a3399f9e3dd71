//! Ranges of bytes: what `Range` asks for, and what `Content-Range` answers (RFC 9110 section 14).
//!
//! A server may ignore `Range` (section 14.2): whatever is not understood is answered by the whole
//! representation. So are sets of ranges that cost more than they save: those that ask for more
//! bytes than there are, which overlap for no good reason, and those of more than [`PARTS_LIMIT`]
//! parts. Ranges that overlap or adjoin become one part.
//!
//! This module looks at the field only; whether `Range` counts at all (GET, `If-Range`) is decided
//! by [`crate::http::conditional`] and its caller.

use core::cmp::Ordering;
use core::fmt;
use core::ops::Range;

/// Parts of the largest response with several ranges.
pub const PARTS_LIMIT: usize = 16;

/// Which bytes of a representation a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no allocator to put it elsewhere, and it is never stored"
)]
pub enum Selection {
    /// All of them, with 200: the field is malformed, has another unit, or asks for too much; or
    /// there is nothing to choose from.
    Whole,
    /// From `start` up to but not including `end`, with 206. `start < end <= length`.
    Part {
        /// The first byte, counted from 0.
        start: u64,
        /// One behind the last byte.
        end: u64,
    },
    /// Several ranges, with 206 as `multipart/byteranges` (section 14.6).
    Parts(Parts),
    /// None: every range lies beyond the end, or is empty; 416 with [`ContentRange::Unsatisfied`].
    Unsatisfiable,
}

/// At least two ranges of a representation, in the order in which they were asked for. None of them
/// is empty, and no two overlap or adjoin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Zeros behind the first `count`.
    ranges: [(u64, u64); PARTS_LIMIT],
    count: usize,
}

impl Parts {
    const NONE: Self = Self {
        ranges: [(0, 0); PARTS_LIMIT],
        count: 0,
    };

    /// The ranges, each up to but not including its end.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let ranges = self.ranges.iter().take(self.count);
        ranges.map(|&(start, end)| start..end)
    }

    /// Takes a range in; `false` when there are too many of them.
    ///
    /// One that touches others is put together with them, where the first of those was. Two that
    /// did not touch before do not touch the sum either, unless it takes them in.
    fn add(&mut self, start: u64, end: u64) -> bool {
        let (mut sum, mut kept, mut place) = ((start, end), 0, None);
        for at in 0..self.count {
            let range = self.ranges[at];
            if range.0 <= end && start <= range.1 {
                sum = (sum.0.min(range.0), sum.1.max(range.1));
                if place.is_none() {
                    place = Some(kept);
                    kept += 1;
                }
            } else {
                self.ranges[kept] = range;
                kept += 1;
            }
        }
        let place = place.unwrap_or(kept);
        if place == PARTS_LIMIT {
            return false;
        }
        self.ranges[place] = sum;
        self.count = kept.max(place + 1);
        self.ranges[self.count..].fill((0, 0));
        true
    }
}

/// Evaluates a `Range` field for a representation of `length` bytes.
///
/// The last position is clamped to the length, however huge it is; a suffix longer than the
/// representation is all of it. No `Content-Range` can name bytes of an empty representation; a client
/// that asks for its first or last ones gets all there are: [`Selection::Whole`].
///
/// ```
/// use capuchin_core::http::range::{Selection, evaluate};
///
/// assert_eq!(evaluate(b"bytes=0-9", 100), Selection::Part { start: 0, end: 10 });
/// assert_eq!(evaluate(b"bytes=-10", 100), Selection::Part { start: 90, end: 100 });
/// assert_eq!(evaluate(b"bytes=100-", 100), Selection::Unsatisfiable);
/// assert_eq!(evaluate(b"bytes=0-9,10-29", 100), Selection::Part { start: 0, end: 30 });
/// let Selection::Parts(parts) = evaluate(b"bytes=20-29,0-9", 100) else { panic!("two ranges") };
/// assert!(parts.iter().eq([20..30, 0..10]));
/// assert_eq!(evaluate(b"bytes=0-,0-", 100), Selection::Whole);
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
    let (mut is_asked, mut is_all) = (false, false);
    let (mut total, mut parts) = (0u64, Parts::NONE);
    for element in set.split(|&byte| byte == b',') {
        let element = trim(element);
        if element.is_empty() {
            continue; // section 5.6.1.2: empty elements of a list are skipped
        }
        let Some(spec) = Spec::parse(element) else {
            return Selection::Whole;
        };
        is_asked = true;
        is_all |= length == 0 && spec.first() == 0;
        if let Some((start, end)) = spec.select(length) {
            match total.checked_add(end - start) {
                Some(sum) if sum <= length && parts.add(start, end) => total = sum,
                _ => return Selection::Whole,
            }
        }
    }
    match parts.ranges[..parts.count] {
        [] if is_asked && !is_all => Selection::Unsatisfiable,
        [] => Selection::Whole,
        [(start, end)] => Selection::Part { start, end },
        _ => Selection::Parts(parts),
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

    /// The first byte of an empty representation that it would stand for.
    fn first(&self) -> u64 {
        match *self {
            Self::Last { .. } => 0,
            Self::From { first } | Self::Between { first, .. } => first,
        }
    }

    /// The bytes that it stands for, up to but not including the second number, if there are any.
    fn select(&self, length: u64) -> Option<(u64, u64)> {
        let (start, end) = match *self {
            Self::Last { count } => (length.saturating_sub(count), length),
            Self::From { first } => (first, length),
            Self::Between { first, last } => (first, last.saturating_add(1).min(length)),
        };
        (start < end).then_some((start, end))
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
    use std::format;
    use std::string::{String, ToString as _};
    use std::vec::Vec;

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
            ("bytes=100-,200-300", 100, Unsatisfiable),
            ("bytes=100-, -0", 100, Unsatisfiable),
        ]);
    }

    #[test]
    fn ranges_of_nothing_are_all_of_it() {
        check(&[
            ("bytes=0-", 0, Whole),
            ("bytes=0-0", 0, Whole),
            ("bytes=-0", 0, Whole),
            ("bytes=-1", 0, Whole),
            ("bytes=5-", 0, Unsatisfiable),
            ("bytes=5-9,7-", 0, Unsatisfiable),
            ("bytes=5-,0-", 0, Whole),
            ("bytes=0-,-1", 0, Whole),
        ]);
    }

    fn parts(field: &str, length: u64) -> Vec<(u64, u64)> {
        match evaluate(field.as_bytes(), length) {
            Selection::Parts(parts) => parts.iter().map(|part| (part.start, part.end)).collect(),
            other => panic!("{field} is {other:?}"),
        }
    }

    #[test]
    fn several_ranges_are_parts_in_the_order_asked_for() {
        for (field, expected) in [
            ("bytes=0-9,20-29", &[(0, 10), (20, 30)][..]),
            ("bytes=20-29, 0-9", &[(20, 30), (0, 10)]),
            ("bytes=0-9, -1", &[(0, 10), (99, 100)]),
            ("bytes=-1,0-0,50-", &[(50, 100), (0, 1)]),
            ("bytes=0-9,200-,20-29", &[(0, 10), (20, 30)]),
            // Put together where they touch, where the first of them stood.
            ("bytes=0-9,30-39,5-19", &[(0, 20), (30, 40)]),
            ("bytes=30-39,0-9,10-19", &[(30, 40), (0, 20)]),
            ("bytes=40-49,0-9,80-89,10-39", &[(0, 50), (80, 90)]),
            ("bytes=0-9,20-29,60-69,0-9", &[(0, 10), (20, 30), (60, 70)]),
        ] {
            assert_eq!(parts(field, 100), expected, "{field}");
        }
    }

    #[test]
    fn ranges_that_become_one_are_a_single_part() {
        check(&[
            ("bytes=0-9,10-19", 100, part(0, 20)),
            ("bytes=10-19,0-9", 100, part(0, 20)),
            ("bytes=0-9,5-14", 100, part(0, 15)),
            ("bytes=0-9,0-9", 100, part(0, 10)),
            ("bytes=0-9,20-29,10-19", 100, part(0, 30)),
            ("bytes=0-9,200-", 100, part(0, 10)),
            ("bytes=200-,0-9", 100, part(0, 10)),
            ("bytes=-0,0-9", 100, part(0, 10)),
            ("bytes=0-49,50-99", 100, part(0, 100)),
        ]);
    }

    #[test]
    fn sets_that_cost_more_than_they_save_are_answered_by_the_whole() {
        check(&[
            ("bytes=0-,0-,0-", 100, Whole),
            ("bytes=0-60,40-99", 100, Whole),
            ("bytes=0-,-1", 100, Whole),
            ("bytes=100-,junk", 100, Whole),
            ("bytes=0-9,20-29,junk", 100, Whole),
            ("bytes=0-HUGE,0-HUGE", u64::MAX, Whole),
        ]);
    }

    #[test]
    fn parts_at_their_limit_and_one_past_it() {
        let field = |count: u64| {
            let ranges: Vec<String> = (0..count)
                .map(|n| format!("{}-{}", 3 * n, 3 * n + 1))
                .collect();
            format!("bytes={}", ranges.join(","))
        };
        let limit = PARTS_LIMIT as u64;
        assert_eq!(parts(&field(limit), 1_000).len(), PARTS_LIMIT);
        assert_eq!(evaluate(field(limit + 1).as_bytes(), 1_000), Whole);
        // One that joins two of sixteen makes room for another.
        let joined = format!("{},2-2,500-", field(limit));
        assert_eq!(parts(&joined, 1_000).len(), PARTS_LIMIT);
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
