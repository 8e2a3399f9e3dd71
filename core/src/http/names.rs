//! The field names that the server itself reads, recognised by a perfect hash made at compile time.
//!
//! To add a name, add it to [`Name`] and to `NAMES`; the build fails if their orders differ.

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
pub(super) const UNKNOWN: u8 = u8::MAX;

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

    /// The inverse of `name as u8`.
    #[inline(always)]
    pub(super) fn from_number(number: u8) -> Option<Self> {
        NAMES.get(usize::from(number)).map(|&(name, _)| name)
    }

    /// The known name that `bytes` spells in any case.
    #[must_use]
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
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
    // In an image the words would be large code.
    if cfg!(target_os = "rtems") {
        return equal_bytes(bytes, lower);
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
    equal_bytes(bytes, lower)
}

/// The same a byte at a time, for equal lengths.
fn equal_bytes(bytes: &[u8], lower: &[u8]) -> bool {
    let same = |(&byte, &lower)| byte == lower || lower != b'-' && byte | 0x20 == lower;
    bytes.iter().zip(lower).all(same)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

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
                    assert_eq!(equal_bytes(&other, lower), same, "{name:?} {at} {byte:#x}");
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
}
