//! Lines as nearly all are: all there, without a fault in their form and without anything rare. They are
//! looked at sixteen bytes at a time and in one go.
//!
//! Whatever is not so is left to the general way ([`HeadParser::request_line`],
//! [`HeadParser::field_lines`]), which comes to the same for these lines, too.

use super::error::HeadError;
use super::field_lines::check_name;
use super::fields::{Field, Name};
use super::head::{HeadParser, Stage, flag};
use super::lanes::{BY_LANES, Lanes};
use super::method::Method;
use super::names::{self, UNKNOWN};
use super::scan;
use super::write::LINE_END;

/// What such a request line begins with, up to the path's slash, and what follows the path.
const BEGIN: &[u8; 5] = b"GET /";
const END: &[u8; 11] = b" HTTP/1.1\r\n";

/// What nearly always stands between a name and its value.
const SEPARATOR: [u8; 2] = *b": ";

impl HeadParser {
    /// Takes a request line for a path that can be used as it was sent; tells whether it did.
    #[inline(always)]
    pub(super) fn plain_request_line(&mut self, bytes: &[u8], fields: &mut [Field]) -> bool {
        if !BY_LANES || self.position > 0 || !bytes.starts_with(BEGIN) {
            return false;
        }
        let path = BEGIN.len() - 1;
        let (Some(end), Some(entry)) = (plain_path_end(bytes, path), fields.first_mut()) else {
            return false;
        };
        let next = end + END.len();
        if bytes.get(end..next) != Some(&END[..]) {
            return false;
        }
        scan::looked_at(next);
        *entry = Field::numbered(0, path as u8 - 1, Method::Get as u8)
            .with_value(path as u16, (end - path) as u16);
        self.flags = flag::HTTP11 | flag::PLAIN_PATH;
        self.count = 1;
        self.position = next as u16;
        self.mark = self.position;
        self.stage = Stage::LineStart;
        true
    }

    /// Takes a field line; its end.
    ///
    /// # Errors
    /// What is wrong with its value.
    #[inline(always)]
    pub(super) fn plain_line(
        &mut self,
        bytes: &[u8],
        begin: usize,
        fields: &mut [Field],
    ) -> Result<Option<usize>, HeadError> {
        let Some(chunk) = bytes.get(begin..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let lanes = Lanes::of(chunk);
        let colon = match lanes.are(b':').bits() {
            0 => long_name_end(bytes, begin + Lanes::COUNT),
            colons => begin + colons.trailing_zeros() as usize,
        };
        scan::looked_at(colon - begin);
        let start = colon + SEPARATOR.len();
        let Some(&[b':', b' ', first]) = bytes.get(colon..=start) else {
            return Ok(None);
        };
        let number = names::number_in(bytes, lanes, begin, colon);
        if number == UNKNOWN
            && bytes
                .get(begin..colon)
                .is_none_or(|name| check_name(name).is_err())
        {
            return Ok(None);
        }
        let end = scan::plain_end(bytes, start);
        let next = end + LINE_END.len();
        let Some(&[last, b'\r', b'\n']) = bytes.get(end - 1..next) else {
            return Ok(None);
        };
        // Of an empty value the last byte is the space before it.
        if first == b' ' || last == b' ' {
            return Ok(None);
        }
        let Some(entry) = fields.get_mut(usize::from(self.count)) else {
            return Ok(None);
        };
        self.count += 1;
        *entry = Field::numbered(begin as u16, (colon - begin) as u8, number)
            .with_value(start as u16, (end - start) as u16);
        scan::looked_at(SEPARATOR.len() + LINE_END.len());
        if let Some(name) = names::interpreted(number) {
            let value = bytes.get(start..end).unwrap_or_default();
            match name {
                Name::Host if !self.met(Name::Host) && is_plain_host(bytes, start, end) => {}
                Name::Connection if value == b"keep-alive" => self.flags |= flag::KEEP_ALIVE,
                _ => self.interpret(name, value)?,
            }
        }
        self.seen |= names::bit(number);
        Ok(Some(next))
    }
}

/// The end of a path from `begin` on that can be used as it was sent: there is no query, nothing that has to be
/// decoded, and no segment that is empty or begins with a dot.
#[inline(always)]
fn plain_path_end(bytes: &[u8], begin: usize) -> Option<usize> {
    let (mut at, mut before) = (begin, 0);
    loop {
        let lanes = Lanes::of(bytes.get(at..)?.first_chunk()?);
        let slashes = lanes.are(b'/').bits();
        let suspect = lanes.are(b'%') | lanes.are(b'\\') | lanes.are(b'?') | lanes.are(b'#');
        let begins = (slashes | lanes.are(b'.').bits()) & (slashes << 1 | before);
        let stops = (suspect | !lanes.within(b'!', b'~')).bits() | begins;
        if stops != 0 {
            let place = stops.trailing_zeros() as usize;
            return (bytes.get(at + place) == Some(&b' ')).then_some(at + place);
        }
        before = slashes >> (Lanes::COUNT - 1);
        at += Lanes::COUNT;
    }
}

/// The colon of a name of sixteen bytes or more, that has less than thirty-two; else the place of some
/// other byte.
fn long_name_end(bytes: &[u8], from: usize) -> usize {
    let chunk = bytes.get(from..).and_then(<[u8]>::first_chunk);
    let colons = chunk.map_or(0, |chunk| Lanes::of(chunk).are(b':').bits());
    from + colons.trailing_zeros() as usize % Lanes::COUNT
}

/// Whether from `start` to `end`, which is the end of its line, there is a name of letters, digits, hyphens
/// and dots, with a port of up to four digits or without.
#[inline(always)]
fn is_plain_host(bytes: &[u8], start: usize, end: usize) -> bool {
    let name = scan::plain_host_end(bytes, start);
    match bytes.get(name..end) {
        Some([]) => true,
        Some([b':', port @ ..]) => {
            scan::looked_at(port.len());
            name > start && (1..5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::path::is_plain;
    use std::vec;

    #[test]
    fn path_is_plain_in_a_head_where_it_is_so_alone() {
        for before in [0, 3, 40] {
            for length in 1..40 {
                for at in 0..length {
                    for pair in [
                        b"/.", b"//", b"./", b"..", b"?a", b"%4", b"a\\", b"ab", b"/a", b"a.",
                    ] {
                        let mut path = vec![b'a'; length];
                        let end = length.min(at + 2);
                        path[at..end].copy_from_slice(&pair[..end - at]);
                        path[0] = b'/';
                        let mut head = vec![b'/'; before];
                        head.extend_from_slice(&path);
                        head.extend_from_slice(b" /../and what follows");
                        assert_eq!(
                            plain_path_end(&head, before),
                            is_plain(&path).then_some(before + length),
                            "{} with {before} before it",
                            path.escape_ascii()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn path_ends_with_a_space_and_nothing_else() {
        for byte in 0..=255 {
            let mut head = *b"/abc_and what follows";
            head[4] = byte;
            let visible = (b'!'..=b'~').contains(&byte) && !b"#%?\\".contains(&byte);
            let expected = match byte {
                b' ' => Some(4),
                _ => visible.then_some(8),
            };
            assert_eq!(plain_path_end(&head, 0), expected, "{byte:#x}");
        }
        assert_eq!(plain_path_end(b"/abc", 0), None);
    }
}
