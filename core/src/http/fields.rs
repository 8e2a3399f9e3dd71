//! Field lines: the names that the server itself reads, and the table of what a head contains.
//!
//! A [`Field`] is eight bytes: where a line's name and value lie in the head, and which known name
//! it is. Names are recognised once, while the head is parsed; later look-ups compare one byte.

use super::scan;

/// A field name that the server, or most applications, read. Names compare without case
/// (RFC 9110 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each is the field that it spells; see Name::as_str"
)]
pub enum Name {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    IfRange,
    Range,
    AcceptEncoding,
    ContentType,
    UserAgent,
    Referer,
    Authorization,
    Upgrade,
    Accept,
    AcceptLanguage,
    Cookie,
    CacheControl,
    Origin,
    ContentEncoding,
    XForwardedFor,
    Date,
    Te,
    Trailer,
    Via,
    Pragma,
    Priority,
    UpgradeInsecureRequests,
    SecFetchSite,
    SecFetchMode,
    SecFetchUser,
    SecFetchDest,
    SecChUa,
    SecChUaMobile,
    SecChUaPlatform,
}

/// Every known name with its spelling in lower case, in the order of their numbers.
const NAMES: [(Name, &str); 38] = [
    (Name::Host, "host"),
    (Name::ContentLength, "content-length"),
    (Name::TransferEncoding, "transfer-encoding"),
    (Name::Connection, "connection"),
    (Name::Expect, "expect"),
    (Name::IfMatch, "if-match"),
    (Name::IfNoneMatch, "if-none-match"),
    (Name::IfModifiedSince, "if-modified-since"),
    (Name::IfUnmodifiedSince, "if-unmodified-since"),
    (Name::IfRange, "if-range"),
    (Name::Range, "range"),
    (Name::AcceptEncoding, "accept-encoding"),
    (Name::ContentType, "content-type"),
    (Name::UserAgent, "user-agent"),
    (Name::Referer, "referer"),
    (Name::Authorization, "authorization"),
    (Name::Upgrade, "upgrade"),
    (Name::Accept, "accept"),
    (Name::AcceptLanguage, "accept-language"),
    (Name::Cookie, "cookie"),
    (Name::CacheControl, "cache-control"),
    (Name::Origin, "origin"),
    (Name::ContentEncoding, "content-encoding"),
    (Name::XForwardedFor, "x-forwarded-for"),
    (Name::Date, "date"),
    (Name::Te, "te"),
    (Name::Trailer, "trailer"),
    (Name::Via, "via"),
    (Name::Pragma, "pragma"),
    (Name::Priority, "priority"),
    (Name::UpgradeInsecureRequests, "upgrade-insecure-requests"),
    (Name::SecFetchSite, "sec-fetch-site"),
    (Name::SecFetchMode, "sec-fetch-mode"),
    (Name::SecFetchUser, "sec-fetch-user"),
    (Name::SecFetchDest, "sec-fetch-dest"),
    (Name::SecChUa, "sec-ch-ua"),
    (Name::SecChUaMobile, "sec-ch-ua-mobile"),
    (Name::SecChUaPlatform, "sec-ch-ua-platform"),
];

/// Stands for a name that is not known, in tables of bytes.
const UNKNOWN: u8 = u8::MAX;

impl Name {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Every known name.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|&(name, _)| name)
    }

    /// The known name that `bytes` spells in any case.
    #[must_use]
    #[inline]
    pub fn recognise(bytes: &[u8]) -> Option<Self> {
        scan::looked_at(bytes.len());
        let number = SLOTS[slot(key(bytes)?, MULTIPLIER)];
        let &(name, spelling) = NAMES.get(usize::from(number))?;
        equal_without_case(bytes, spelling.as_bytes()).then_some(name)
    }

    /// The name's bit in a set of 32: the rarely asked ones share the last.
    #[inline(always)]
    pub(super) const fn bit(self) -> u32 {
        SEEN_BITS[self as usize]
    }
}

const SEEN_BITS: [u32; NAMES.len()] = {
    let mut bits = [1 << 31; NAMES.len()];
    let mut n = 0;
    while n < 31 {
        bits[n] = 1 << n;
        n += 1;
    }
    bits
};

/// Slots of the perfect hash over the known names: a power of two, more than twice as many.
const SLOT_COUNT: usize = 128;

/// Bits of a hash that do not belong to the slot.
const SLOT_SHIFT: u32 = u32::BITS - SLOT_COUNT.ilog2();

/// Which known name may stand at a slot, by number.
const SLOTS: [u8; SLOT_COUNT] = slots(MULTIPLIER);

/// The first number of a pseudo-random sequence that gives each name a slot of its own.
const MULTIPLIER: u32 = multiplier();

/// What tells the known names apart: length, first, third last and last byte.
#[inline(always)]
const fn key(name: &[u8]) -> Option<u32> {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return None;
    };
    // The case bit is set in all three; in names, that loses nothing but case.
    Some(u32::from_le_bytes([
        first | 0x20,
        last | 0x20,
        name[name.len().saturating_sub(3)] | 0x20,
        name.len() as u8,
    ]))
}

#[inline(always)]
const fn slot(key: u32, multiplier: u32) -> usize {
    (key.wrapping_mul(multiplier) >> SLOT_SHIFT) as usize
}

/// The slot of the known name with this number.
const fn slot_of_known(number: usize, multiplier: u32) -> usize {
    match key(NAMES[number].1.as_bytes()) {
        Some(key) => slot(key, multiplier),
        None => panic!("a known name is not empty"),
    }
}

const fn multiplier() -> u32 {
    // Constants of a linear congruential generator; any would do. About twenty tries.
    let mut candidate = 0x9e37_79b1_u32;
    loop {
        let mut taken = 0_u128;
        let mut n = 0;
        while n < NAMES.len() {
            let bit = 1 << slot_of_known(n, candidate);
            if taken & bit != 0 {
                break;
            }
            taken |= bit;
            n += 1;
        }
        if n == NAMES.len() {
            return candidate;
        }
        candidate = candidate
            .wrapping_mul(0x0019_660d)
            .wrapping_add(0x3c6e_f35e);
    }
}

const fn slots(multiplier: u32) -> [u8; SLOT_COUNT] {
    let mut slots = [UNKNOWN; SLOT_COUNT];
    let mut n = 0;
    while n < NAMES.len() {
        assert!(NAMES[n].0 as usize == n, "NAMES is in the order of Name");
        slots[slot_of_known(n, multiplier)] = n as u8;
        n += 1;
    }
    slots
}

/// Whether `bytes` is `lower`, a name of lower-case letters and hyphens, but for case.
#[inline(always)]
fn equal_without_case(bytes: &[u8], lower: &[u8]) -> bool {
    if bytes.len() != lower.len() {
        return false;
    }
    // Words from both ends overlap in the middle, so that no length needs a loop over bytes.
    if let (Some(a), Some(b), Some(c), Some(d)) = (
        bytes.first_chunk::<8>(),
        lower.first_chunk::<8>(),
        bytes.last_chunk::<8>(),
        lower.last_chunk::<8>(),
    ) {
        return equal_words(a, b)
            && equal_words(c, d)
            && (bytes.len() <= 16 || equal_inner_words(bytes, lower));
    }
    if let (Some(a), Some(b), Some(c), Some(d)) = (
        bytes.first_chunk::<4>(),
        lower.first_chunk::<4>(),
        bytes.last_chunk::<4>(),
        lower.last_chunk::<4>(),
    ) {
        return equal_words(&both(a, c), &both(b, d));
    }
    bytes.eq_ignore_ascii_case(lower)
}

/// The same for the words of long names that are neither the first nor the last.
fn equal_inner_words(bytes: &[u8], lower: &[u8]) -> bool {
    let (words, _) = bytes.as_chunks::<8>();
    let (lower_words, _) = lower.as_chunks::<8>();
    words
        .iter()
        .zip(lower_words)
        .skip(1)
        .all(|(a, b)| equal_words(a, b))
}

#[inline(always)]
fn both(a: &[u8; 4], b: &[u8; 4]) -> [u8; 8] {
    (u64::from(u32::from_ne_bytes(*a)) << 32 | u64::from(u32::from_ne_bytes(*b))).to_ne_bytes()
}

/// Compares eight bytes, ignoring the case bit where `lower` has a letter and only there: a hyphen
/// without that bit would be a carriage return.
#[inline(always)]
fn equal_words(bytes: &[u8; 8], lower: &[u8; 8]) -> bool {
    let lower = u64::from_ne_bytes(*lower);
    let case = (lower & 0x4040_4040_4040_4040) >> 1;
    u64::from_ne_bytes(*bytes) | case == lower
}

/// Where one line's name and value lie in a head; the first entry of a table is the request line,
/// with the method as name and the target as value. Offsets count from the head's first byte.
///
/// Packed from low to high: name start (16 bits), name length (8), known name or method (8),
/// value start (16), value length (16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field(u64);

impl Field {
    /// An entry with nothing in it, to fill tables with.
    pub const EMPTY: Self = Self(0);

    #[inline(always)]
    pub(super) fn named(start: u16, length: u8, known: Option<Name>) -> Self {
        Self::numbered(start, length, known.map_or(UNKNOWN, |name| name as u8))
    }

    #[inline(always)]
    pub(super) fn numbered(start: u16, length: u8, number: u8) -> Self {
        Self(u64::from(start) | u64::from(length) << 16 | u64::from(number) << 24)
    }

    /// The entry with its value; whatever value it had is replaced.
    #[inline(always)]
    pub(super) fn with_value(self, start: u16, length: u16) -> Self {
        Self(self.0 & 0xffff_ffff | u64::from(start) << 32 | u64::from(length) << 48)
    }

    #[inline(always)]
    pub(super) fn number(self) -> u8 {
        (self.0 >> 24) as u8
    }

    #[inline(always)]
    pub(super) fn known(self) -> Option<Name> {
        NAMES.get(usize::from(self.number())).map(|&(name, _)| name)
    }

    /// The name's bytes, given the head's; empty when `head` is not the head it was made for.
    #[inline]
    pub(super) fn name(self, head: &[u8]) -> &[u8] {
        let start = usize::from(self.0 as u16);
        let length = usize::from((self.0 >> 16) as u8);
        head.get(start..start + length).unwrap_or_default()
    }

    /// The value's bytes, likewise.
    #[inline]
    pub(super) fn value(self, head: &[u8]) -> &[u8] {
        let start = usize::from((self.0 >> 32) as u16);
        let length = usize::from((self.0 >> 48) as u16);
        head.get(start..start + length).unwrap_or_default()
    }
}

/// The values of all lines of one known name, in order; made by
/// [`Head::values`](super::head::Head::values).
#[derive(Clone, Debug)]
pub struct Values<'b> {
    head: &'b [u8],
    fields: core::slice::Iter<'b, Field>,
    name: Name,
}

impl<'b> Values<'b> {
    pub(super) fn new(head: &'b [u8], fields: &'b [Field], name: Name) -> Self {
        Self {
            head,
            fields: fields.iter(),
            name,
        }
    }
}

impl<'b> Iterator for Values<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.name as u8;
        let field = self.fields.find(|field| field.number() == number)?;
        Some(field.value(self.head))
    }
}

/// The elements of a comma-separated list without the white space around them; empty ones
/// included, quotes not heeded.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::looked_at(value.len());
    value.split(|&byte| byte == b',').map(scan::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const _: () = assert!(size_of::<Field>() == 8);

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for name in Name::all() {
            let lower = name.as_str().as_bytes();
            assert_eq!(Name::recognise(lower), Some(name));
            assert_eq!(Name::recognise(&lower.to_ascii_uppercase()), Some(name));
        }
    }

    #[test]
    fn names_that_differ_in_one_byte_are_not_recognised() {
        for name in Name::all() {
            let lower = name.as_str().as_bytes();
            for at in 0..lower.len() {
                for byte in 0..=255_u8 {
                    let mut other: Vec<u8> = lower.to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(lower);
                    let known = Name::recognise(&other);
                    assert_eq!(known == Some(name), same, "{name:?} {at} {byte:#x}");
                    assert!(same || known.is_none_or(|k| k.as_str().as_bytes() == other));
                }
            }
            assert_eq!(Name::recognise(&lower[1..]), None);
        }
        assert_eq!(Name::recognise(b""), None);
        assert_eq!(Name::recognise(&[b'a'; 300]), None);
    }

    #[test]
    fn packed_entry_gives_back_what_was_put_in() {
        let head: Vec<u8> = (0..=u16::MAX).map(|n| n as u8).collect();
        let field = Field::named(65_000, 255, Some(Name::Range)).with_value(1, 65_000);
        assert_eq!(field.name(&head), &head[65_000..65_255]);
        assert_eq!(field.value(&head), &head[1..65_001]);
        assert_eq!(field.known(), Some(Name::Range));
        assert_eq!(Field::named(0, 1, None).known(), None);
        assert_eq!(field.value(b"short"), b"");
    }
}
