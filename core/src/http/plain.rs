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

    /// Takes field lines from `position` on, up to one that is not plain; where that begins.
    ///
    /// What stood in an entry in the head before is likelier than any other name, and quickly compared: clients repeat
    /// themselves. From the first line on in which it is another, names are looked up.
    ///
    /// # Errors
    /// What is wrong with a value.
    #[inline(always)]
    pub(super) fn plain_lines(
        &mut self,
        bytes: &[u8],
        position: usize,
        fields: &mut [Field],
    ) -> Result<usize, HeadError> {
        let mut is_other = false;
        let end = self.lines(
            bytes,
            position,
            fields,
            |usual, rest, lanes| match names::length_of(usual, rest, lanes) {
                Some(length) => Some((usual, length)),
                None if usual == UNKNOWN => other_name(bytes, rest, lanes),
                None => {
                    is_other = !rest.starts_with(LINE_END);
                    None
                }
            },
        )?;
        if is_other {
            self.other_lines(bytes, end, fields)
        } else {
            Ok(end)
        }
    }

    #[inline(never)]
    fn other_lines(
        &mut self,
        bytes: &[u8],
        position: usize,
        fields: &mut [Field],
    ) -> Result<usize, HeadError> {
        self.lines(bytes, position, fields, |_, rest, lanes| {
            name_of_line(bytes, rest, lanes)
        })
    }

    /// Takes plain lines; `name` gives the number and the length of a line's name from the number that its entry has,
    /// the line, and the line's first bytes.
    #[inline(always)]
    fn lines(
        &mut self,
        bytes: &[u8],
        position: usize,
        fields: &mut [Field],
        mut name: impl FnMut(u8, &[u8], Lanes) -> Option<(u8, usize)>,
    ) -> Result<usize, HeadError> {
        let mut rest = bytes.get(position..).unwrap_or_default();
        let entries = fields.get_mut(usize::from(self.count)..);
        let mut seen = 0;
        for entry in entries.unwrap_or_default() {
            let begin = bytes.len() - rest.len();
            let Some(line) = plain_line(rest, |lanes| name(entry.number(), rest, lanes)) else {
                break;
            };
            let start = begin + line.name + SEPARATOR.len();
            *entry = Field::numbered(begin as u16, line.name as u8, line.number)
                .with_value(start as u16, line.value.len() as u16);
            self.count += 1;
            if let Some(name) = names::interpreted(line.number) {
                match name {
                    Name::Host if !self.met(Name::Host) && line.is_plain_host() => {}
                    Name::Connection if line.value == b"keep-alive" => {
                        self.flags |= flag::KEEP_ALIVE;
                    }
                    _ => self.interpret(name, line.value)?,
                }
                self.seen |= name.bit();
            }
            seen |= names::bit(line.number);
            rest = line.rest;
        }
        self.seen |= seen;
        Ok(bytes.len() - rest.len())
    }
}

/// A field line that is plain.
struct Line<'b> {
    /// The name's number, and its length.
    number: u8,
    name: usize,
    value: &'b [u8],
    /// The value and all that follows.
    text: &'b [u8],
    /// What follows the line.
    rest: &'b [u8],
}

impl Line<'_> {
    /// Whether the value is a name of letters, digits, hyphens and dots, with a port of up to four digits or without.
    #[inline(always)]
    fn is_plain_host(&self) -> bool {
        // The end of the value ends the name, too.
        match self
            .value
            .split_at_checked(scan::plain_host_end(self.text, 0))
        {
            Some((_, [])) => true,
            Some(([_, ..], [b':', port @ ..])) => {
                scan::looked_at(port.len());
                (1..5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
            }
            _ => false,
        }
    }
}

/// The line that `rest` begins with, given the number and the length of its name.
#[inline(always)]
fn plain_line(rest: &[u8], name: impl FnOnce(Lanes) -> Option<(u8, usize)>) -> Option<Line<'_>> {
    let (number, name) = name(Lanes::of(rest.first_chunk()?))?;
    scan::looked_at(name);
    let (separator, text) = rest.get(name..)?.split_first_chunk()?;
    if *separator != SEPARATOR {
        return None;
    }
    let (value, after) = text.split_at_checked(scan::plain_end(text, 0))?;
    let (end, rest) = after.split_first_chunk()?;
    if end != LINE_END || matches!(value, [] | [b' ', ..] | [.., b' ']) {
        return None;
    }
    scan::looked_at(SEPARATOR.len() + LINE_END.len());
    Some(Line {
        number,
        name,
        value,
        text,
        rest,
    })
}

/// The number and the length of the name that the line at the begin of `rest`, which is the end of `bytes`, begins
/// with; `lanes` are its first bytes.
#[inline(always)]
fn name_of_line(bytes: &[u8], rest: &[u8], lanes: Lanes) -> Option<(u8, usize)> {
    let length = match lanes.are(b':').bits() {
        0 => long_name_length(rest),
        colons => colons.trailing_zeros() as usize,
    };
    let number = names::number_in(bytes, rest, lanes, length);
    let is_name = number != UNKNOWN || check_name(rest.get(..length)?).is_ok();
    is_name.then_some((number, length))
}

/// The same, for the rare one.
#[inline(never)]
fn other_name(bytes: &[u8], rest: &[u8], lanes: Lanes) -> Option<(u8, usize)> {
    name_of_line(bytes, rest, lanes)
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

/// The length of a name of sixteen bytes or more, that has less than thirty-two; else that of something else.
fn long_name_length(rest: &[u8]) -> usize {
    let chunk = rest.get(Lanes::COUNT..).and_then(<[u8]>::first_chunk);
    let colons = chunk.map_or(0, |chunk| Lanes::of(chunk).are(b':').bits());
    Lanes::COUNT + colons.trailing_zeros() as usize % Lanes::COUNT
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
