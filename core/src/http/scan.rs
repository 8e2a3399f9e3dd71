//! Finding the end of things: the only loops that go over a head's bytes.
//!
//! Each function starts where the caller says, stops at the first byte that cannot continue the
//! thing, and returns that byte's index, or `bytes.len()` when there is none yet. A caller that
//! resumes from the returned index therefore never scans a byte twice; the unit tests of the head parser
//! count this through [`looked_at`].
//!
//! Sixteen bytes are tested at a time where the target has vector registers. No function here reads
//! beyond the slice.

use super::lanes::{Answers, BY_LANES, Lanes};

/// The byte may stand in a token (RFC 9110 section 5.6.2).
pub(super) const TOKEN: u8 = 1;
/// The byte may stand in a field value: HTAB, SP, visible ASCII or obs-text (RFC 9110 section 5.5).
pub(super) const VALUE: u8 = 2;
/// The byte may stand in a registered name: unreserved or sub-delims (RFC 3986 section 3.2.2), but
/// for the comma, which joins the values of repeated fields.
pub(super) const HOST: u8 = 4;
/// The byte may stand in a quoted string without a backslash (RFC 9110 section 5.6.4).
pub(super) const QUOTED: u8 = 8;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let byte = n as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric || one_of(byte, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            class |= VALUE;
            if byte != b'"' && byte != b'\\' {
                class |= QUOTED;
            }
        }
        if alphanumeric || one_of(byte, b"-._~!$&'()*+;=") {
            class |= HOST;
        }
        table[n] = class;
        n += 1;
    }
    table
}

const fn one_of(byte: u8, set: &[u8]) -> bool {
    let mut n = 0;
    while n < set.len() {
        if set[n] == byte {
            return true;
        }
        n += 1;
    }
    false
}

/// Whether `byte` belongs to `class`, one of the constants above.
#[inline(always)]
pub(super) const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// Whether `bytes` is a token: not empty, and token bytes only.
#[inline]
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    looked_at(bytes.len());
    !bytes.is_empty() && bytes.iter().all(|&byte| is(byte, TOKEN))
}

/// The end of a method, or of a port: the first byte that is no token byte.
#[inline]
pub(super) fn token_end(bytes: &[u8], from: usize) -> usize {
    class_end(bytes, from, TOKEN)
}

/// The end of a registered name: the first byte that is not of [`HOST`].
#[inline]
pub(super) fn host_end(bytes: &[u8], from: usize) -> usize {
    if !BY_LANES {
        return class_end(bytes, from, HOST);
    }
    let mut at = from;
    loop {
        at = plain_host_end(bytes, at);
        match bytes.get(at) {
            // The others are rare; they go one at a time.
            Some(&byte) if is(byte, HOST) => {
                looked_at(1);
                at += 1;
            }
            _ => return at,
        }
    }
}

/// The first byte that is no letter, digit, hyphen or dot.
#[inline(always)]
pub(super) fn plain_host_end(bytes: &[u8], from: usize) -> usize {
    scan(
        bytes,
        from,
        |lanes| {
            let letters = lanes.with_case_bit().within(b'a', b'z');
            !(letters | lanes.within(b'0', b'9') | lanes.within(b'-', b'.'))
        },
        |byte| !is(byte, HOST),
    )
}

/// The end of a path: the first `?` or `#`.
#[inline]
pub(super) fn path_end(bytes: &[u8]) -> usize {
    scan(
        bytes,
        0,
        |lanes| lanes.are(b'?') | lanes.are(b'#'),
        |byte| byte == b'?' || byte == b'#',
    )
}

/// The first byte outside `class`; for what is short or has too many exceptions for lanes.
#[inline(always)]
fn class_end(bytes: &[u8], from: usize, class: u8) -> usize {
    let mut end = from;
    while let Some(&byte) = bytes.get(end) {
        if !is(byte, class) {
            break;
        }
        end += 1;
    }
    looked_at(end - from);
    end
}

/// The end of a field name: the first colon, white space, control byte or byte outside ASCII.
/// Whether what came before is a token is for the caller to check.
#[inline(always)]
pub(super) fn name_end(bytes: &[u8], from: usize) -> usize {
    scan(
        bytes,
        from,
        |lanes| !lanes.within(0x21, 0x7f) | lanes.are(b':'),
        |byte| byte == b':' || byte <= b' ' || byte >= 0x80,
    )
}

/// The end of a request target: the first space or control byte.
#[inline(always)]
pub(super) fn target_end(bytes: &[u8], from: usize) -> usize {
    scan(
        bytes,
        from,
        |lanes| lanes.within(0, b' ') | lanes.are(0x7f),
        |byte| byte <= b' ' || byte == 0x7f,
    )
}

/// The end of a field value: the first control byte but HTAB.
#[inline]
pub(super) fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'\r') | None => return at,
            // Tabs and obs-text are rare; they go one at a time.
            Some(&byte) if is(byte, VALUE) => {
                looked_at(1);
                at += 1;
            }
            _ => return at,
        }
    }
}

/// The first byte that is not printable ASCII.
#[inline(always)]
pub(super) fn plain_end(bytes: &[u8], from: usize) -> usize {
    scan(
        bytes,
        from,
        |lanes| !lanes.within(b' ', 0x7e),
        |byte| !(b' '..0x7f).contains(&byte),
    )
}

/// The first byte for which `stops` holds; `marks` says the same of sixteen bytes at once, or marks a
/// few more, which the caller looks at then.
#[inline(always)]
fn scan(
    bytes: &[u8],
    from: usize,
    marks: impl Fn(Lanes) -> Answers,
    stops: impl Fn(u8) -> bool,
) -> usize {
    let Some(rest) = bytes.get(from..) else {
        return from;
    };
    let marked = |chunk: &[u8; Lanes::COUNT]| marks(Lanes::of(chunk)).bits();
    let end = 'found: {
        if BY_LANES {
            let (chunks, tail) = rest.as_chunks();
            let mut at = from;
            for chunk in chunks {
                let found = marked(chunk);
                if found != 0 {
                    break 'found at + found.trailing_zeros() as usize;
                }
                at += Lanes::COUNT;
            }
            // The last bytes once more with as many before them as it takes.
            if let Some(last) = bytes.last_chunk() {
                let found = marked(last) >> (Lanes::COUNT - tail.len());
                break 'found match found {
                    0 => bytes.len(),
                    _ => at + found.trailing_zeros() as usize,
                };
            }
        }
        let short = rest.iter().position(|&byte| stops(byte));
        short.map_or(bytes.len(), |short| from + short)
    };
    looked_at(end - from);
    end
}

/// `bytes` without white space at its end.
#[inline]
pub(super) fn trim_end(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [shorter @ .., b' ' | b'\t'] = rest {
        looked_at(1);
        rest = shorter;
    }
    rest
}

/// `bytes` without white space at either end.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = trim_end(bytes);
    while let [b' ' | b'\t', shorter @ ..] = rest {
        looked_at(1);
        rest = shorter;
    }
    rest
}

/// Counts bytes for the tests of linear work; nothing at all in other builds.
#[inline(always)]
pub(super) fn looked_at(bytes: usize) {
    #[cfg(test)]
    counter::add(bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// How many bytes this thread has looked at.
#[cfg(test)]
pub(super) mod counter {
    use core::cell::Cell;

    std::thread_local!(static LOOKED_AT: Cell<usize> = const { Cell::new(0) });

    pub(super) fn add(bytes: usize) {
        LOOKED_AT.set(LOOKED_AT.get() + bytes);
    }

    /// The count since the last call.
    pub(in crate::http) fn take() -> usize {
        LOOKED_AT.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What a scan must find, said one byte at a time.
    fn slow(bytes: &[u8], from: usize, stops: fn(u8) -> bool) -> usize {
        (from..bytes.len())
            .find(|&at| stops(bytes[at]))
            .unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_at_every_place_is_judged_alike_by_lanes_and_bytes() {
        type Case = (fn(&[u8], usize) -> usize, fn(u8) -> bool);
        let cases: [Case; 6] = [
            (
                |bytes, from| from + path_end(&bytes[from..]),
                |byte| byte == b'?' || byte == b'#',
            ),
            (host_end, |byte| !is(byte, HOST)),
            (token_end, |byte| !is(byte, TOKEN)),
            (name_end, |byte| {
                byte == b':' || !(0x21..0x80).contains(&byte)
            }),
            (target_end, |byte| byte <= b' ' || byte == 0x7f),
            (value_end, |byte| !is(byte, VALUE)),
        ];
        for (fast, stops) in cases {
            for byte in 0..=255 {
                for place in 0..40 {
                    for filler in [b'a', b'~', b'!'] {
                        let mut bytes: Vec<u8> = std::vec![filler; 40];
                        bytes[place] = byte;
                        // A second special byte behind the first must not move the first.
                        if let Some(next) = bytes.get_mut(place + 1) {
                            *next = b'\r';
                        }
                        for from in [0, 1, 3, 39, 40] {
                            assert_eq!(
                                fast(&bytes, from),
                                slow(&bytes, from, stops),
                                "byte {byte:#x} at {place} from {from}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn start_beyond_the_end_finds_nothing() {
        assert_eq!(value_end(b"", 0), 0);
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"\t a b "), b"a b");
        assert!(!is_token(b""));
    }
}
