//! The field names that the server itself reads, recognised by a perfect hash made at compile time.
//!
//! To add a name, add it to [`Name`] and to `NAMES`; the build fails if their orders differ.

use super::lanes::Lanes;
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
    UserAgent,
    Referer,
    Accept,
    AcceptLanguage,
    Origin,
    CacheControl,
    Pragma,
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
    Authorization,
    Upgrade,
    Cookie,
    ContentEncoding,
    XForwardedFor,
    Date,
    Te,
    Trailer,
    Via,
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
    (Name::UserAgent, "user-agent"),
    (Name::Referer, "referer"),
    (Name::Accept, "accept"),
    (Name::AcceptLanguage, "accept-language"),
    (Name::Origin, "origin"),
    (Name::CacheControl, "cache-control"),
    (Name::Pragma, "pragma"),
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
    (Name::Authorization, "authorization"),
    (Name::Upgrade, "upgrade"),
    (Name::Cookie, "cookie"),
    (Name::ContentEncoding, "content-encoding"),
    (Name::XForwardedFor, "x-forwarded-for"),
    (Name::Date, "date"),
    (Name::Te, "te"),
    (Name::Trailer, "trailer"),
    (Name::Via, "via"),
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
pub(super) const UNKNOWN: u8 = NAMES.len() as u8;

/// The names with numbers from 32 on share their bits with the first ones, which the engine does not ask for.
const _: () = assert!(UNKNOWN as usize % 32 < Name::Host as usize);
const _: () = assert!(UNKNOWN as usize % 32 < Name::Cookie as usize);

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
        let number = SLOTS[slot(key(last_bytes(bytes), bytes.len()), MULTIPLIER)];
        let &(name, spelling) = NAMES.get(usize::from(number))?;
        equal_without_case(bytes, spelling.as_bytes()).then_some(name)
    }

    /// The name's bit in a set of 32. Those that the engine asks for share theirs with no other name.
    #[inline(always)]
    pub(super) const fn bit(self) -> u32 {
        bit(self as u8)
    }
}

/// [`Name::bit`] by number, that of [`UNKNOWN`], too.
#[inline(always)]
pub(super) const fn bit(number: u8) -> u32 {
    1 << (number % 32)
}

/// The name of this number, if it is one whose value means something for the head as a whole.
#[inline(always)]
pub(super) fn interpreted(number: u8) -> Option<Name> {
    let range = Name::Host as u8..=Name::Expect as u8;
    range
        .contains(&number)
        .then(|| NAMES[usize::from(number)].0)
}

/// The length of the known name of this number, if `line`, where `lanes` are from, begins with it and a colon.
#[inline(always)]
pub(super) fn length_of(number: u8, line: &[u8], lanes: Lanes) -> Option<usize> {
    let spelling = SPELLINGS.get(usize::from(number))?;
    if !spelling.begin.is(lanes) {
        return None;
    }
    let length = usize::from(LENGTHS[usize::from(number)]);
    let end = || line.get(..=length)?.last_chunk();
    let is_whole = length < Lanes::COUNT || spelling.end.is(Lanes::of(end()?));
    is_whole.then_some(length)
}

/// The number of the known name of this length that `line`, where `lanes` are from, begins with, or [`UNKNOWN`].
/// `bytes` end with `line`; before it is the end of another.
#[inline(always)]
pub(super) fn number_in(bytes: &[u8], line: &[u8], lanes: Lanes, length: usize) -> u8 {
    let colon = bytes.len() - line.len() + length;
    let Some(&last) = bytes.get(..colon).and_then(<[u8]>::last_chunk) else {
        return UNKNOWN;
    };
    let number = SLOTS[slot(key(last, length), MULTIPLIER)];
    match length_of(number, line, lanes) {
        Some(known) if known == length => number,
        _ => UNKNOWN,
    }
}

/// Slots of the perfect hash over the known names: a power of two, more than twice as many.
const SLOT_COUNT: usize = 128;

/// Bits of a hash that do not belong to the slot.
const SLOT_SHIFT: u32 = u32::BITS - SLOT_COUNT.ilog2();

/// Which known name may stand at a slot, by number.
const SLOTS: [u8; SLOT_COUNT] = slots(MULTIPLIER);

/// The first number of a pseudo-random sequence that gives each name a slot of its own.
const MULTIPLIER: u32 = multiplier();

/// What tells the known names apart: the last four bytes and the length.
#[inline(always)]
const fn key(last: [u8; 4], length: usize) -> u32 {
    // The case bit is set in all four; in names, that loses nothing but case.
    (u32::from_le_bytes(last) | 0x2020_2020).wrapping_add((length as u32) << 8)
}

/// The last four bytes of a name; of a shorter one with the end of the line before it.
#[inline(always)]
const fn last_bytes(name: &[u8]) -> [u8; 4] {
    match *name {
        [.., a, b, c, d] => [a, b, c, d],
        [b, c, d] => [b'\n', b, c, d],
        [c, d] => [b'\r', b'\n', c, d],
        [d] => [0, b'\r', b'\n', d],
        [] => [0; 4],
    }
}

#[inline(always)]
const fn slot(key: u32, multiplier: u32) -> usize {
    (key.wrapping_mul(multiplier) >> SLOT_SHIFT) as usize
}

/// The slot of the known name with this number.
const fn slot_of_known(number: usize, multiplier: u32) -> usize {
    let name = NAMES[number].1.as_bytes();
    slot(key(last_bytes(name), name.len()), multiplier)
}

const fn multiplier() -> u32 {
    // Constants of a linear congruential generator; any would do. Some hundreds of tries.
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

/// How a known name and the colon after it are spelled, as registers of sixteen bytes are compared: the first bytes,
/// sixteen at the most, and the last sixteen where there are more.
struct Spelling {
    begin: Pattern,
    end: Pattern,
}

/// Bytes to compare with when some bits were set in those that are compared: the case bits of letters, and
/// all of what is behind the name.
struct Pattern {
    set: [u8; Lanes::COUNT],
    equal: [u8; Lanes::COUNT],
}

impl Pattern {
    #[inline(always)]
    fn is(&self, lanes: Lanes) -> bool {
        (lanes | Lanes::of(&self.set)).equal(Lanes::of(&self.equal))
    }

    const fn of(name: &[u8], from: usize) -> Self {
        let (mut set, mut equal) = ([0xff; Lanes::COUNT], [0xff; Lanes::COUNT]);
        let mut n = 0;
        while n < Lanes::COUNT && from + n <= name.len() {
            let byte = if from + n < name.len() {
                name[from + n]
            } else {
                b':'
            };
            set[n] = case_bit(byte);
            equal[n] = byte;
            n += 1;
        }
        Self { set, equal }
    }
}

/// The bit in which a letter's capital differs; none for a hyphen or a colon, which without it would be a control
/// character.
const fn case_bit(lower: u8) -> u8 {
    (lower & 0x40) >> 1
}

/// What [`length_of`] compares: there is nothing between the first and the last sixteen bytes.
const _: () = {
    let mut n = 0;
    while n < NAMES.len() {
        let length = NAMES[n].1.len();
        assert!(
            length >= 2 && length < 2 * Lanes::COUNT,
            "a name is too short or too long"
        );
        n += 1;
    }
};

/// By number.
static SPELLINGS: [Spelling; NAMES.len()] = {
    let mut spellings = [const {
        Spelling {
            begin: Pattern::of(b"", 0),
            end: Pattern::of(b"", 0),
        }
    }; NAMES.len()];
    let mut n = 0;
    while n < NAMES.len() {
        let name = NAMES[n].1.as_bytes();
        spellings[n] = Spelling {
            begin: Pattern::of(name, 0),
            end: Pattern::of(name, (name.len() + 1).saturating_sub(Lanes::COUNT)),
        };
        n += 1;
    }
    spellings
};

/// The lengths of names, by number.
static LENGTHS: [u8; NAMES.len()] = {
    let mut lengths = [0; NAMES.len()];
    let mut n = 0;
    while n < NAMES.len() {
        lengths[n] = NAMES[n].1.len() as u8;
        n += 1;
    }
    lengths
};

/// Whether `bytes` is `lower`, a name of lower-case letters and hyphens, but for case.
fn equal_without_case(bytes: &[u8], lower: &[u8]) -> bool {
    let same = |(&byte, &lower)| byte | case_bit(lower) == lower;
    bytes.len() == lower.len() && bytes.iter().zip(lower).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What a name is recognised as where it stands in a head.
    fn in_a_line(name: &[u8]) -> Option<Name> {
        let bytes = [b"x\r\n", name, b": and what follows"].concat();
        let lanes = Lanes::of(bytes[3..].first_chunk().expect("enough bytes"));
        Name::from_number(number_in(&bytes, &bytes[3..], lanes, name.len()))
    }

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for name in Name::all() {
            let lower = name.as_str().as_bytes();
            assert_eq!(Name::recognise(lower), Some(name));
            assert_eq!(Name::recognise(&lower.to_ascii_uppercase()), Some(name));
            assert_eq!(in_a_line(&lower.to_ascii_uppercase()), Some(name));
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
                    assert_eq!(
                        equal_without_case(&other, lower),
                        same,
                        "{name:?} {at} {byte:#x}"
                    );
                    assert_eq!(
                        in_a_line(&other),
                        Name::recognise(&other),
                        "{name:?} {at} {byte:#x}"
                    );
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
