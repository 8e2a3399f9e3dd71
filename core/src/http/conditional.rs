//! Conditional requests: entity tags and preconditions (RFC 9110 sections 8.8 and 13).
//!
//! [`evaluate`] is the whole of section 13.2.2: what the condition fields of a request say about
//! the representation that would be sent now, in this order:
//!
//! | step | field present | true | false |
//! |---|---|---|---|
//! | 1 | `If-Match` | go to 3 | 412 |
//! | 2 | `If-Unmodified-Since`, no `If-Match` | go to 3 | 412 |
//! | 3 | `If-None-Match` | go to 5 | 304 for GET and HEAD, else 412 |
//! | 4 | `If-Modified-Since`, no `If-None-Match`, GET or HEAD | go to 5 | 304 |
//! | 5 | `If-Range` | `Range` counts | `Range` is ignored |
//!
//! Dates that are malformed, or that nothing can be compared with, make their field count as
//! absent (sections 13.1.3 and 13.1.4); those before 1970 are earlier than any modification. A
//! malformed list of tags is read up to where it breaks: it can match with what comes before. If
//! nothing did, a reader gets a full reply and a writer 412, whichever of the two fields is broken:
//! no change goes through that its sender may have wanted to prevent. `*` is a list of its own; with
//! anything beside it, on its line or on another, it is malformed.
//!
//! This module must not decide what *is* conditional: a caller asks only when the reply without
//! conditions would be 2xx (section 13.2.1).

use crate::http::date::{HttpDate, Moment};
use core::fmt::{self, Write as _};

/// An entity tag in fixed memory, ready to send as `ETag`.
///
/// ```
/// use capuchin_core::http::conditional::EntityTag;
///
/// const BAKED: EntityTag = EntityTag::new(b"v1.2", false).unwrap();
/// assert_eq!(BAKED.as_bytes(), b"\"v1.2\"");
///
/// let file = EntityTag::of_file(4096, 1_700_000_000_000_000_000, 77);
/// assert!(!file.is_weak());
/// assert_ne!(file, BAKED);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntityTag {
    /// `"opaque"` or `W/"opaque"`; zeros behind.
    bytes: [u8; Self::CAPACITY],
    length: u8,
}

/// Begins a weak tag; capital letter only (RFC 9110 section 8.8.3).
const WEAK: &[u8] = b"W/";

impl EntityTag {
    /// Bytes of the longest tag, quotes and `W/` included.
    pub const CAPACITY: usize = 40;

    /// Bytes of opaque content that always fit: beside two quotes and `W/`.
    pub const OPAQUE_LIMIT: usize = Self::CAPACITY - 4;

    /// A tag with these bytes between its quotes. `None` when there are more than
    /// [`EntityTag::OPAQUE_LIMIT`], or one that may not stand there: a quote, a space or a control
    /// byte (RFC 9110 section 8.8.3).
    ///
    /// A tag is *weak* when representations that share it may differ in bytes.
    #[must_use]
    pub const fn new(opaque: &[u8], weak: bool) -> Option<Self> {
        if opaque.len() > Self::OPAQUE_LIMIT {
            return None;
        }
        let mut tag = Self::opened(weak);
        let mut n = 0;
        while n < opaque.len() {
            if !is_tag_byte(opaque[n]) {
                return None;
            }
            tag = tag.with(opaque[n]);
            n += 1;
        }
        Some(tag.with(b'"'))
    }

    /// The strong tag of a file: its length in bytes, its time of modification in nanoseconds since
    /// 1970, and its inode number, so that replacing a file changes the tag even within one tick of
    /// the clock. The three numbers are written out, not hashed: two states never share a tag.
    #[must_use]
    pub const fn of_file(length: u64, modified_nanoseconds: u64, inode: u64) -> Self {
        const { assert!(3 * DIGITS_OF_U64 + 2 <= Self::OPAQUE_LIMIT) };
        Self::opened(false)
            .with_number(modified_nanoseconds)
            .with(b'.')
            .with_number(length)
            .with(b'.')
            .with_number(inode)
            .with(b'"')
    }

    /// The strong tag of content that is at hand: its length and a 64-bit hash of it (FNV-1a over
    /// words of eight bytes). It tells versions apart, but is no proof against somebody who makes
    /// two contents with one hash on purpose; whoever can write the content need not.
    #[must_use]
    pub const fn of_content(content: &[u8]) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut at = 0;
        while at < content.len() {
            let mut word = 0u64;
            let mut n = 0;
            while n < 8 && at < content.len() {
                word = word << 8 | content[at] as u64;
                at += 1;
                n += 1;
            }
            hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
            // The product spreads upwards only.
            hash ^= hash >> 32;
        }
        Self::of_file(content.len() as u64, hash, 0)
    }

    /// The tag as field value: quoted, with `W/` before it when it is weak.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether the tag is weak.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.bytes[0] == WEAK[0]
    }

    /// Strong comparison (RFC 9110 section 8.8.3.2): the same bytes, and neither is weak.
    #[must_use]
    pub fn matches_strongly(&self, other: &Self) -> bool {
        self.as_tag().matches(other.as_tag(), Comparison::Strong)
    }

    /// Weak comparison (RFC 9110 section 8.8.3.2): the same bytes, weak or not.
    #[must_use]
    pub fn matches_weakly(&self, other: &Self) -> bool {
        self.as_tag().matches(other.as_tag(), Comparison::Weak)
    }

    fn as_tag(&self) -> Tag<'_> {
        let quoted = self.as_bytes();
        let begin = if self.is_weak() { WEAK.len() } else { 0 };
        Tag {
            weak: self.is_weak(),
            quoted: &quoted[begin..],
        }
    }

    const fn opened(weak: bool) -> Self {
        let empty = Self {
            bytes: [0; Self::CAPACITY],
            length: 0,
        };
        if weak {
            empty.with(WEAK[0]).with(WEAK[1]).with(b'"')
        } else {
            empty.with(b'"')
        }
    }

    const fn with(mut self, byte: u8) -> Self {
        self.bytes[self.length as usize] = byte;
        self.length += 1;
        self
    }

    /// Writes a number in the digits of base64 for URLs, the least significant first.
    const fn with_number(mut self, mut number: u64) -> Self {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        loop {
            self = self.with(DIGITS[(number % 64) as usize]);
            number /= 64;
            if number == 0 {
                return self;
            }
        }
    }
}

/// Digits of the largest `u64` to base 64.
const DIGITS_OF_U64: usize = 11;

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bytes that are no UTF-8 are allowed, but cannot be printed.
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({self})")
    }
}

/// What tells one state of a representation from another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'t> {
    /// The entity tag, if it has one.
    pub tag: Option<&'t EntityTag>,
    /// The time of the last modification, if it is known.
    pub modified: Option<HttpDate>,
}

/// The condition fields of a request: the lines of those that are lists, the value of the others.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a, I: Iterator<Item = &'a [u8]>> {
    /// The lines of `If-Match`.
    pub if_match: I,
    /// The lines of `If-None-Match`.
    pub if_none_match: I,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<&'a [u8]>,
    /// `If-Range`.
    pub if_range: Option<&'a [u8]>,
}

/// What follows from the conditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do what the method says.
    Proceed {
        /// Whether a `Range` field counts; if not, the whole representation is the answer.
        range_applies: bool,
    },
    /// 304: the client has what it would get.
    NotModified,
    /// 412: the state is not the one that the client took for granted.
    PreconditionFailed,
}

/// Evaluates `conditions` for the `current` representation, `None` when there is none (a PUT that
/// would create it). `now` is in seconds since 1970.
///
/// `Range` is defined for GET only (RFC 9110 section 14.2): with other methods than GET and HEAD
/// it never applies, and for HEAD the caller leaves it out.
///
/// # `If-Range` with a date
///
/// Section 13.1.5 wants an exact match, and a date that is a strong validator as section 8.8.2.2
/// has it: the representation must not have changed twice within the second it tells. A server can
/// know that only of a second that is over, so the date does not count while `now` is not at least
/// one second later than the last modification. A client keeps its half of the rule when it sends
/// such dates only if the reply's `Date` was a second later as well, and only without an entity
/// tag. Without a doubt-free date the whole representation is sent, which is never wrong.
///
/// ```
/// use capuchin_core::http::conditional::{Conditions, EntityTag, Validators, Verdict, evaluate};
///
/// let tag = EntityTag::new(b"v2", false).unwrap();
/// let current = Validators { tag: Some(&tag), modified: None };
/// let no_lines: &[&[u8]] = &[];
/// let cached: &[&[u8]] = &[b"\"v1\", \"v2\""];
/// let conditions = Conditions {
///     if_match: no_lines.iter().copied(),
///     if_none_match: cached.iter().copied(),
///     if_modified_since: None,
///     if_unmodified_since: None,
///     if_range: None,
/// };
/// assert_eq!(evaluate(conditions, true, Some(&current), 0), Verdict::NotModified);
/// ```
#[inline]
pub fn evaluate<'a, I: Iterator<Item = &'a [u8]>>(
    conditions: Conditions<'a, I>,
    method_is_get_or_head: bool,
    current: Option<&Validators<'_>>,
    now: u64,
) -> Verdict {
    let tag = current.and_then(|current| current.tag);
    let modified = current.and_then(|current| current.modified);
    let exists = current.is_some();

    let as_expected = match lines_match(conditions.if_match, exists, tag, Comparison::Strong) {
        Listed::Matches => true,
        Listed::Differs | Listed::Malformed => false,
        Listed::Nothing => conditions
            .if_unmodified_since
            .is_none_or(|date| !matches!(was_modified_since(date, modified, now), Some(true))),
    };
    if !as_expected {
        return Verdict::PreconditionFailed;
    }

    let is_known = match lines_match(conditions.if_none_match, exists, tag, Comparison::Weak) {
        Listed::Matches => true,
        Listed::Differs => false,
        Listed::Malformed => !method_is_get_or_head,
        Listed::Nothing => conditions.if_modified_since.is_some_and(|date| {
            method_is_get_or_head && matches!(was_modified_since(date, modified, now), Some(false))
        }),
    };
    if is_known {
        return if method_is_get_or_head {
            Verdict::NotModified
        } else {
            Verdict::PreconditionFailed
        };
    }

    let range_applies = method_is_get_or_head
        && conditions
            .if_range
            .is_none_or(|field| range_is_of_current(field, tag, modified, now));
    Verdict::Proceed { range_applies }
}

/// What a list of tags says about the current representation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// There is no list.
    Nothing,
    Matches,
    Differs,
    /// Broken before anything matched.
    Malformed,
}

/// A list of tags over several lines, or `*`.
#[inline]
fn lines_match<'a>(
    mut lines: impl Iterator<Item = &'a [u8]>,
    exists: bool,
    current: Option<&EntityTag>,
    comparison: Comparison,
) -> Listed {
    let Some(mut line) = lines.next() else {
        return Listed::Nothing;
    };
    if line.trim_ascii() == b"*" {
        return match lines.next() {
            Some(_) => Listed::Malformed,
            None if exists => Listed::Matches,
            None => Listed::Differs,
        };
    }
    loop {
        let listed = line_matches(line, current, comparison);
        if listed != Listed::Differs {
            return listed;
        }
        match lines.next() {
            Some(next) => line = next,
            None => return Listed::Differs,
        }
    }
}

fn line_matches(line: &[u8], current: Option<&EntityTag>, comparison: Comparison) -> Listed {
    let mut rest = line;
    loop {
        // Commas and white space between tags; empty elements are allowed (section 5.6.1.2).
        while let [b' ' | b'\t' | b',', behind @ ..] = rest {
            rest = behind;
        }
        if rest.is_empty() {
            return Listed::Differs;
        }
        let Some((tag, behind)) = Tag::parse(rest) else {
            return Listed::Malformed;
        };
        // Only a comma ends an element: `"a" "b"` and `"a"b` are no lists.
        let behind = behind.trim_ascii_start();
        if !matches!(behind.first(), None | Some(b',')) {
            return Listed::Malformed;
        }
        if current.is_some_and(|current| current.as_tag().matches(tag, comparison)) {
            return Listed::Matches;
        }
        rest = behind;
    }
}

/// Whether the representation changed after the date in `field`; `None` when the date is malformed
/// or the time of modification unknown.
fn was_modified_since(field: &[u8], modified: Option<HttpDate>, now: u64) -> Option<bool> {
    Some(Moment::At(modified?) > Moment::parse(field, now)?)
}

/// Whether the validator in an `If-Range` field is that of the current representation.
fn range_is_of_current(
    field: &[u8],
    current: Option<&EntityTag>,
    modified: Option<HttpDate>,
    now: u64,
) -> bool {
    if let Some((tag, rest)) = Tag::parse(field) {
        return rest.is_empty()
            && current.is_some_and(|current| current.as_tag().matches(tag, Comparison::Strong));
    }
    modified
        .is_some_and(|modified| now > modified.0 && HttpDate::parse(field, now) == Some(modified))
}

/// How tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

/// An entity tag as it stands in a field.
#[derive(Clone, Copy)]
struct Tag<'a> {
    weak: bool,
    /// With its quotes.
    quoted: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Reads the tag at the start of `text`; also gives what is behind it.
    fn parse(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, text) = match text.strip_prefix(WEAK) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let opaque = text.strip_prefix(b"\"")?;
        let length = memchr::memchr(b'"', opaque)?;
        if !opaque[..length].iter().all(|&byte| is_tag_byte(byte)) {
            return None;
        }
        let (quoted, rest) = text.split_at(length + 2);
        Some((Self { weak, quoted }, rest))
    }

    fn matches(self, other: Tag<'_>, comparison: Comparison) -> bool {
        let weak_is_welcome = matches!(comparison, Comparison::Weak);
        (weak_is_welcome || !(self.weak || other.weak)) && self.quoted == other.quoted
    }
}

/// `etagc` of RFC 9110 section 8.8.3: visible bytes but the quote, and bytes above 127.
const fn is_tag_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{NotModified, PreconditionFailed};
    use std::string::ToString as _;

    const WHOLE: Verdict = Verdict::Proceed {
        range_applies: false,
    };
    const PROCEED: Verdict = Verdict::Proceed {
        range_applies: true,
    };

    /// `"v2"`, last modified 1994-11-06 08:49:37; now it is 2026.
    const STRONG: EntityTag = EntityTag::new(b"v2", false).unwrap();
    const WEAKLY: EntityTag = EntityTag::new(b"v2", true).unwrap();
    const MODIFIED: HttpDate = HttpDate(784_111_777);
    const NOW: u64 = 1_767_225_600;

    const ANCIENT: &str = "Wed, 31 Dec 1969 23:59:59 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    /// Evaluates a request written as field lines.
    fn verdict(
        fields: &[(&str, &str)],
        get_or_head: bool,
        current: Option<&Validators<'_>>,
        now: u64,
    ) -> Verdict {
        let lines = |wanted: &'static str| {
            fields
                .iter()
                .filter(move |(name, _)| *name == wanted)
                .map(|(_, value)| value.as_bytes())
        };
        for (name, _) in fields {
            assert!(["IM", "INM", "IMS", "IUS", "IR"].contains(name), "{name}");
        }
        let conditions = Conditions {
            if_match: std::vec::Vec::from_iter(lines("IM")).into_iter(),
            if_none_match: std::vec::Vec::from_iter(lines("INM")).into_iter(),
            if_modified_since: lines("IMS").next(),
            if_unmodified_since: lines("IUS").next(),
            if_range: lines("IR").next(),
        };
        evaluate(conditions, get_or_head, current, now)
    }

    /// Field lines, the verdict for GET, the verdict for PUT.
    type Row<'a> = (&'a [(&'a str, &'a str)], Verdict, Verdict);

    fn check(tag: Option<&EntityTag>, table: &[Row<'_>]) {
        let current = Validators {
            tag,
            modified: Some(MODIFIED),
        };
        for (fields, for_get, for_put) in table {
            let got = (
                verdict(fields, true, Some(&current), NOW),
                verdict(fields, false, Some(&current), NOW),
            );
            assert_eq!(got, (*for_get, *for_put), "{fields:?}");
        }
    }

    #[test]
    fn without_conditions_everything_proceeds() {
        check(Some(&STRONG), &[(&[], PROCEED, WHOLE)]);
        check(None, &[(&[], PROCEED, WHOLE)]);
        assert_eq!(verdict(&[], true, None, NOW), PROCEED);
    }

    #[test]
    fn step_1_if_match_compares_strongly() {
        let failed = (PreconditionFailed, PreconditionFailed);
        let passed = (PROCEED, WHOLE);
        for (list, (get, put)) in [
            ("\"v2\"", passed),
            ("\"v1\", \"v2\"", passed),
            ("*", passed),
            (" * ", passed),
            ("\"v1\"", failed),
            ("W/\"v2\"", failed),
            ("\"V2\"", failed),
            ("\"\"", failed),
            ("", failed),
            ("v2", failed),
        ] {
            check(Some(&STRONG), &[(&[("IM", list)], get, put)]);
        }
        check(
            Some(&WEAKLY),
            &[
                (&[("IM", "\"v2\"")], failed.0, failed.1),
                (&[("IM", "W/\"v2\"")], failed.0, failed.1),
                (&[("IM", "*")], passed.0, passed.1),
            ],
        );
        check(
            None,
            &[
                (&[("IM", "\"v2\"")], failed.0, failed.1),
                (&[("IM", "*")], passed.0, passed.1),
            ],
        );
    }

    #[test]
    fn step_2_if_unmodified_since_counts_only_without_if_match() {
        let failed = (PreconditionFailed, PreconditionFailed);
        let passed = (PROCEED, WHOLE);
        check(
            Some(&STRONG),
            &[
                (&[("IUS", BEFORE)], failed.0, failed.1),
                (&[("IUS", SAME)], passed.0, passed.1),
                (&[("IUS", AFTER)], passed.0, passed.1),
                (&[("IUS", "yesterday")], passed.0, passed.1),
                (&[("IUS", ANCIENT)], failed.0, failed.1),
                (&[("IUS", "")], passed.0, passed.1),
                (&[("IM", "\"v2\""), ("IUS", BEFORE)], passed.0, passed.1),
                (&[("IM", "\"v1\""), ("IUS", AFTER)], failed.0, failed.1),
            ],
        );
    }

    #[test]
    fn step_3_if_none_match_compares_weakly() {
        let known = (NotModified, PreconditionFailed);
        let passed = (PROCEED, WHOLE);
        for tag in [&STRONG, &WEAKLY] {
            for (list, (get, put)) in [
                ("\"v2\"", known),
                ("W/\"v2\"", known),
                ("\"v1\",\"v2\"", known),
                ("*", known),
                ("\"v1\"", passed),
                ("", passed),
                // Broken: a reader gets the whole, a writer must not write.
                ("\"v2", (PROCEED, PreconditionFailed)),
                ("v2", (PROCEED, PreconditionFailed)),
                ("w/\"v2\"", (PROCEED, PreconditionFailed)),
                ("\"v1\", v2", (PROCEED, PreconditionFailed)),
                ("*, \"v1\"", (PROCEED, PreconditionFailed)),
                ("\"v1\", *", (PROCEED, PreconditionFailed)),
                ("\"v2\", oops", known),
            ] {
                check(Some(tag), &[(&[("INM", list)], get, put)]);
            }
        }
        check(
            None,
            &[
                (&[("INM", "*")], known.0, known.1),
                (&[("INM", "\"v2\"")], passed.0, passed.1),
            ],
        );
    }

    #[test]
    fn step_4_if_modified_since_counts_only_for_get_and_without_if_none_match() {
        check(
            Some(&STRONG),
            &[
                (&[("IMS", BEFORE)], PROCEED, WHOLE),
                (&[("IMS", SAME)], NotModified, WHOLE),
                (&[("IMS", AFTER)], NotModified, WHOLE),
                (
                    &[("IMS", "Sunday, 06-Nov-94 08:49:37 GMT")],
                    NotModified,
                    WHOLE,
                ),
                (&[("IMS", "Sun Nov  6 08:49:37 1994")], NotModified, WHOLE),
                (&[("IMS", "784111777")], PROCEED, WHOLE),
                (&[("IMS", ANCIENT)], PROCEED, WHOLE),
                (&[("IMS", "")], PROCEED, WHOLE),
                (&[("INM", "\"v1\""), ("IMS", AFTER)], PROCEED, WHOLE),
                (&[("INM", ""), ("IMS", AFTER)], PROCEED, WHOLE),
                (
                    &[("INM", "\"v2\""), ("IMS", BEFORE)],
                    NotModified,
                    PreconditionFailed,
                ),
            ],
        );
    }

    #[test]
    fn step_5_if_range_decides_whether_range_counts() {
        check(
            Some(&STRONG),
            &[
                (&[("IR", "\"v2\"")], PROCEED, WHOLE),
                (&[("IR", "\"v1\"")], WHOLE, WHOLE),
                (&[("IR", "W/\"v2\"")], WHOLE, WHOLE),
                (&[("IR", "\"v2\", \"v1\"")], WHOLE, WHOLE),
                (&[("IR", "*")], WHOLE, WHOLE),
                (&[("IR", "v2")], WHOLE, WHOLE),
                (&[("IR", "")], WHOLE, WHOLE),
                (&[("IR", SAME)], PROCEED, WHOLE),
                (&[("IR", BEFORE)], WHOLE, WHOLE),
                (&[("IR", ANCIENT)], WHOLE, WHOLE),
                (&[("IR", AFTER)], WHOLE, WHOLE),
            ],
        );
        check(
            Some(&WEAKLY),
            &[
                (&[("IR", "\"v2\"")], WHOLE, WHOLE),
                (&[("IR", "W/\"v2\"")], WHOLE, WHOLE),
            ],
        );
    }

    #[test]
    fn date_in_if_range_counts_only_when_its_second_is_over() {
        let current = Validators {
            tag: None,
            modified: Some(MODIFIED),
        };
        let table = [
            (MODIFIED.0 - 1, WHOLE),
            (MODIFIED.0, WHOLE),
            (MODIFIED.0 + 1, PROCEED),
        ];
        for (now, expected) in table {
            assert_eq!(
                verdict(&[("IR", SAME)], true, Some(&current), now),
                expected,
                "{now}"
            );
        }
    }

    #[test]
    fn date_before_1970_is_earlier_than_a_modification_at_its_begin() {
        let current = Validators {
            tag: None,
            modified: Some(HttpDate(0)),
        };
        let epoch = "Thu, 01 Jan 1970 00:00:00 GMT";
        for (name, value, expected) in [
            ("IUS", ANCIENT, PreconditionFailed),
            ("IUS", epoch, PROCEED),
            ("IMS", ANCIENT, PROCEED),
            ("IMS", epoch, NotModified),
            ("IR", ANCIENT, WHOLE),
            ("IR", epoch, PROCEED),
        ] {
            let got = verdict(&[(name, value)], true, Some(&current), NOW);
            assert_eq!(got, expected, "{name} {value}");
        }
    }

    #[test]
    fn earlier_steps_go_before_later_ones() {
        check(
            Some(&STRONG),
            &[
                (
                    &[("IM", "\"v1\""), ("INM", "\"v2\"")],
                    PreconditionFailed,
                    PreconditionFailed,
                ),
                (
                    &[("IM", "\"v2\""), ("INM", "\"v2\"")],
                    NotModified,
                    PreconditionFailed,
                ),
                (
                    &[("IUS", BEFORE), ("INM", "\"v2\"")],
                    PreconditionFailed,
                    PreconditionFailed,
                ),
                (
                    &[("IUS", BEFORE), ("IMS", AFTER)],
                    PreconditionFailed,
                    PreconditionFailed,
                ),
                (&[("IUS", AFTER), ("IMS", AFTER)], NotModified, WHOLE),
                (
                    &[("INM", "\"v2\""), ("IR", "\"v1\"")],
                    NotModified,
                    PreconditionFailed,
                ),
                (&[("IMS", AFTER), ("IR", "\"v1\"")], NotModified, WHOLE),
                (&[("INM", "\"v1\""), ("IR", "\"v2\"")], PROCEED, WHOLE),
                (&[("INM", "\"v1\""), ("IR", "\"v1\"")], WHOLE, WHOLE),
            ],
        );
    }

    #[test]
    fn nothing_matches_a_representation_that_is_not_there() {
        let table: [(&[(&str, &str)], Verdict); 7] = [
            (&[("IM", "*")], PreconditionFailed),
            (&[("IM", "\"v2\"")], PreconditionFailed),
            (&[("INM", "*")], WHOLE),
            (&[("INM", "\"v2\"")], WHOLE),
            (&[("INM", "v2")], PreconditionFailed),
            (&[("IUS", BEFORE)], WHOLE),
            (&[("IMS", AFTER)], WHOLE),
        ];
        for (fields, expected) in table {
            assert_eq!(verdict(fields, false, None, NOW), expected, "{fields:?}");
        }
    }

    #[test]
    fn dates_are_nothing_without_a_time_of_modification() {
        let current = Validators {
            tag: Some(&STRONG),
            modified: None,
        };
        for (name, expected) in [("IMS", PROCEED), ("IUS", PROCEED), ("IR", WHOLE)] {
            assert_eq!(
                verdict(&[(name, SAME)], true, Some(&current), NOW),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn lists_are_read_over_lines_and_quotes() {
        let comma = EntityTag::new(b"a,b", false).unwrap();
        let current = Validators {
            tag: Some(&comma),
            modified: None,
        };
        let table: [(&[&str], bool); 23] = [
            (&["\"a,b\""], true),
            (&["\"a\", \"b\""], false),
            (&["\"x\",\"a,b\",\"y\""], true),
            (&["\"x\"\t ,\t \"a,b\" "], true),
            (&[",, ,\"x\",,\"a,b\",,"], true),
            (&["\"x\"", "\"y\"", "W/\"a,b\""], true),
            (&["\"x\"", "", "\"a,b\""], true),
            // `*` is no element of a list.
            (&["*"], true),
            (&["\"x\"", "*"], false),
            (&["*", "\"x\""], false),
            (&["*", "*"], false),
            // Broken lists match with what comes before the break only.
            (&["\"a,b\", oops"], true),
            (&["oops, \"a,b\""], false),
            (&["oops", "\"a,b\""], false),
            (&["\"x\" \"a,b\""], false),
            (&["\"a,b\" \"x\""], false),
            (&["\"a,b\"x"], false),
            (&["\"x\",*"], false),
            (&["*,\"a,b\""], false),
            (&["\"a,b"], false),
            (&["a,b\""], false),
            (&["W/ \"a,b\""], false),
            (&["\"x y\", \"a,b\""], false),
        ];
        for (lines, known) in table {
            let fields: std::vec::Vec<_> = lines.iter().map(|line| ("INM", *line)).collect();
            let expected = if known { NotModified } else { PROCEED };
            assert_eq!(
                verdict(&fields, true, Some(&current), NOW),
                expected,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn tags_are_compared_as_in_the_table_of_section_8_8_3_2() {
        let tag = |opaque: &[u8], weak| EntityTag::new(opaque, weak).unwrap();
        let table = [
            (tag(b"1", true), tag(b"1", true), false, true),
            (tag(b"1", true), tag(b"2", true), false, false),
            (tag(b"1", true), tag(b"1", false), false, true),
            (tag(b"1", false), tag(b"1", false), true, true),
            (tag(b"W/1", false), tag(b"1", true), false, false),
        ];
        for (left, right, strongly, weakly) in table {
            assert_eq!(left.matches_strongly(&right), strongly, "{left} {right}");
            assert_eq!(right.matches_strongly(&left), strongly, "{left} {right}");
            assert_eq!(left.matches_weakly(&right), weakly, "{left} {right}");
            assert_eq!(right.matches_weakly(&left), weakly, "{left} {right}");
        }
    }

    #[test]
    fn only_what_the_grammar_allows_becomes_a_tag() {
        let longest = [b'x'; EntityTag::OPAQUE_LIMIT];
        let too_long = [b'x'; EntityTag::OPAQUE_LIMIT + 1];
        let weak = EntityTag::new(&longest, true).unwrap();
        assert_eq!(weak.as_bytes().len(), EntityTag::CAPACITY);
        assert!(EntityTag::new(&too_long, false).is_none());
        for byte in 0..=255u8 {
            let allowed = byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80;
            assert_eq!(EntityTag::new(&[byte], false).is_some(), allowed, "{byte}");
        }
        assert_eq!(EntityTag::new(b"", false).unwrap().as_bytes(), b"\"\"");
        assert_eq!(EntityTag::new(b"a", true).unwrap().as_bytes(), b"W/\"a\"");
    }

    #[test]
    fn files_that_differ_in_anything_have_different_tags() {
        let states = [
            (0, 0, 0),
            (1, 0, 0),
            (0, 1, 0),
            (0, 0, 1),
            (64, 0, 0),
            (0, 64, 0),
            (0, 0, 64),
            (u64::MAX, u64::MAX, u64::MAX),
            (u64::MAX - 1, u64::MAX, u64::MAX),
            (u64::MAX, u64::MAX - 1, u64::MAX),
            (u64::MAX, u64::MAX, u64::MAX - 1),
        ];
        let tags = states.map(|(length, time, inode)| EntityTag::of_file(length, time, inode));
        for (n, tag) in tags.iter().enumerate() {
            assert!(!tag.is_weak());
            assert!(tag.matches_strongly(tag));
            // What is sent can be read back.
            let (read, rest) = Tag::parse(tag.as_bytes()).unwrap();
            assert!(rest.is_empty() && read.matches(tag.as_tag(), Comparison::Strong));
            for other in &tags[..n] {
                assert!(!tag.matches_weakly(other), "{tag} {other}");
            }
        }
        assert_eq!(EntityTag::of_file(65, 1, 0).to_string(), "\"B.BB.A\"");
        let tag = EntityTag::new("\u{e9}".as_bytes(), true).unwrap();
        assert_eq!(tag.to_string(), "W/\"\u{e9}\"");
        let tag = EntityTag::new(b"a\xffb", false).unwrap();
        assert_eq!(tag.to_string(), "\"a\u{fffd}b\"");
    }
}
