//! Several ranges in one response: the `multipart/byteranges` media type (RFC 9110 section 14.6).
//!
//! The content is the parts' bytes, each behind a header of its own, and a closing delimiter. Only
//! the headers have to be written: [`ByteRanges::write_plan`] puts what they are made of into the
//! connection's buffer, and [`write_next`] reads it there whenever a part is sent. Nothing else is
//! kept of the request or the representation.

use super::range::Parts;
use super::write::Writer;
use core::ops::Range;

/// Characters of a boundary: 96 bits in hexadecimal, so that content has it by no chance.
pub(crate) const BOUNDARY: usize = 24;

/// What begins a delimiter.
const DASHES: &[u8] = b"\r\n--";

/// What ends the closing delimiter.
const CLOSE: &[u8] = b"--\r\n";

/// Bytes before the ranges of a plan: the number of them, and the lengths of the two texts.
const PLAN_LEAD: usize = 5;

/// Bytes of a range in a plan.
const PLAN_RANGE: usize = 16;

/// The content of a response with several ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteRanges<'r> {
    pub parts: &'r Parts,
    /// The representation's own `Content-Type` and `Content-Encoding`.
    pub media_type: &'r str,
    pub coding: Option<&'r str>,
    /// Bytes of the representation.
    pub length: u64,
    pub boundary: [u8; BOUNDARY],
}

impl ByteRanges<'_> {
    /// Bytes of the content; `None` when they are too many to count.
    pub fn content_length(&self) -> Option<u64> {
        let around = (self.prefix_length() + self.suffix_length()) as u64;
        let mut total = (DASHES.len() + BOUNDARY + CLOSE.len()) as u64;
        for part in self.parts.iter() {
            let numbers = digits(part.start) + 1 + digits(part.end - 1);
            total = total
                .checked_add(around + numbers)?
                .checked_add(part.end - part.start)?;
        }
        // The first delimiter has no line end before it.
        Some(total - LINE_END)
    }

    /// Bytes that a part's header, or the closing delimiter, takes at the most.
    pub fn header_limit(&self) -> usize {
        const NUMBERS: usize = 20 + 1 + 20;
        self.prefix_length() + NUMBERS + self.suffix_length()
    }

    /// Writes the first part's header and tells which bytes follow it.
    pub fn write_first(&self, out: &mut Writer<'_>) -> Range<u64> {
        let first = self.parts.iter().next().unwrap_or_default();
        self.write_prefix(&DASHES[LINE_END as usize..], out);
        write_numbers(&first, out);
        self.write_suffix(out);
        first
    }

    /// Writes what [`write_next`] needs for the other parts.
    pub fn write_plan(&self, out: &mut Writer<'_>) {
        let count = self.parts.iter().count().saturating_sub(1) as u8;
        out.put(&[count]);
        // A text that is longer does not fit any buffer.
        out.put(&(self.prefix_length() as u16).to_le_bytes());
        out.put(&(self.suffix_length() as u16).to_le_bytes());
        for part in self.parts.iter().skip(1) {
            out.put(&part.start.to_le_bytes());
            out.put(&part.end.to_le_bytes());
        }
        self.write_prefix(DASHES, out);
        self.write_suffix(out);
    }

    fn prefix_length(&self) -> usize {
        let coding = self
            .coding
            .map_or(0, |coding| CONTENT_ENCODING.len() + coding.len());
        DASHES.len()
            + BOUNDARY
            + CONTENT_TYPE.len()
            + self.media_type.len()
            + coding
            + CONTENT_RANGE.len()
    }

    fn suffix_length(&self) -> usize {
        1 + digits(self.length) as usize + HEADER_END.len()
    }

    fn write_prefix(&self, dashes: &[u8], out: &mut Writer<'_>) {
        out.put(dashes);
        out.put(&self.boundary);
        out.put(CONTENT_TYPE);
        out.put(self.media_type.as_bytes());
        if let Some(coding) = self.coding {
            // The coding is the representation's; the multipart content around it has none.
            out.put(CONTENT_ENCODING);
            out.put(coding.as_bytes());
        }
        out.put(CONTENT_RANGE);
    }

    fn write_suffix(&self, out: &mut Writer<'_>) {
        out.put(b"/");
        out.put_decimal(self.length);
        out.put(HEADER_END);
    }
}

const LINE_END: u64 = 2;
const CONTENT_TYPE: &[u8] = b"\r\nContent-Type: ";
const CONTENT_ENCODING: &[u8] = b"\r\nContent-Encoding: ";
const CONTENT_RANGE: &[u8] = b"\r\nContent-Range: bytes ";
const HEADER_END: &[u8] = b"\r\n\r\n";

/// Bytes of the plan that `bytes` begin with.
pub(crate) fn plan_length(bytes: &[u8]) -> usize {
    let (count, prefix, suffix) = lead(bytes);
    (PLAN_LEAD + count * PLAN_RANGE + prefix + suffix).min(bytes.len())
}

/// Writes what comes before the part with this number, counted from 0, of those behind the first,
/// and tells which bytes follow it; `None` behind the last part, where it is the closing delimiter.
pub(crate) fn write_next(plan: &[u8], number: u8, out: &mut Writer<'_>) -> Option<Range<u64>> {
    let (count, prefix_length, _) = lead(plan);
    let rest = plan.get(PLAN_LEAD..).unwrap_or_default();
    let (ranges, texts) = rest
        .split_at_checked(count * PLAN_RANGE)
        .unwrap_or_default();
    let (prefix, suffix) = texts.split_at_checked(prefix_length).unwrap_or_default();
    let range = ranges
        .as_chunks::<PLAN_RANGE>()
        .0
        .get(usize::from(number))
        .map(|bytes| word(&bytes[..8])..word(&bytes[8..]));
    match &range {
        Some(range) => {
            out.put(prefix);
            write_numbers(range, out);
            out.put(suffix);
        }
        None => {
            out.put(prefix.get(..DASHES.len() + BOUNDARY).unwrap_or_default());
            out.put(CLOSE);
        }
    }
    range
}

/// The number of ranges, and the lengths of the texts before and after the numbers.
fn lead(plan: &[u8]) -> (usize, usize, usize) {
    match *plan {
        [count, a, b, c, d, ..] => (
            usize::from(count),
            usize::from(u16::from_le_bytes([a, b])),
            usize::from(u16::from_le_bytes([c, d])),
        ),
        _ => (0, 0, 0),
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// The first and the last byte of a range, as `Content-Range` tells them.
fn write_numbers(range: &Range<u64>, out: &mut Writer<'_>) {
    out.put_decimal(range.start);
    out.put(b"-");
    out.put_decimal(range.end.saturating_sub(1));
}

/// Decimal digits of a number.
fn digits(number: u64) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::range::{Selection, evaluate};
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    /// The whole content for `field`, as it is sent piece by piece.
    fn content(field: &str, bytes: &[u8], coding: Option<&str>) -> (u64, String) {
        let Selection::Parts(parts) = evaluate(field.as_bytes(), bytes.len() as u64) else {
            panic!("{field} is one range");
        };
        let layout = ByteRanges {
            parts: &parts,
            media_type: "text/plain",
            coding,
            length: bytes.len() as u64,
            boundary: *b"0123456789abcdef01234567",
        };
        let mut memory = vec![0; 4_096];
        let mut out = Writer::new(&mut memory);
        let first = layout.write_first(&mut out);
        let mut content = out.written().to_vec();
        let slice = |range: Range<u64>| &bytes[range.start as usize..range.end as usize];
        content.extend(slice(first));
        let mut plan = Writer::new(&mut memory);
        layout.write_plan(&mut plan);
        assert!(!plan.is_overflown());
        let length = plan.len();
        assert_eq!(plan_length(&memory), length);
        let plan: Vec<u8> = memory[..length].to_vec();
        for number in 0.. {
            let mut header = vec![0; layout.header_limit()];
            let mut out = Writer::new(&mut header);
            let next = write_next(&plan, number, &mut out);
            assert!(!out.is_overflown(), "a header is longer than its limit");
            content.extend(out.written());
            match next {
                Some(range) => content.extend(slice(range)),
                None => break,
            }
        }
        let told = layout.content_length().unwrap();
        assert_eq!(told, content.len() as u64, "{field}");
        (told, String::from_utf8(content).unwrap())
    }

    #[test]
    fn parts_come_with_their_headers_in_the_order_asked_for() {
        let (_, content) = content("bytes=6-8,0-2", b"0123456789ab", None);
        assert_eq!(
            content,
            "--0123456789abcdef01234567\r\nContent-Type: text/plain\r\n\
             Content-Range: bytes 6-8/12\r\n\r\n678\
             \r\n--0123456789abcdef01234567\r\nContent-Type: text/plain\r\n\
             Content-Range: bytes 0-2/12\r\n\r\n012\
             \r\n--0123456789abcdef01234567--\r\n"
        );
    }

    #[test]
    fn coding_is_told_for_each_part() {
        let (_, content) = content("bytes=0-0,-1", b"0123456789", Some("gzip"));
        assert_eq!(content.matches("\r\nContent-Encoding: gzip\r\n").count(), 2);
    }

    #[test]
    fn length_is_right_whatever_the_digits() {
        let bytes = vec![b'x'; 12_345];
        for field in [
            "bytes=0-0,2-2",
            "bytes=9-9,99-100,999-1000,9999-10000",
            "bytes=-1,0-0",
            "bytes=100-199,300-399,0-50,12344-",
        ] {
            content(field, &bytes, None);
        }
        let most: Vec<String> = (0..16)
            .map(|n| std::format!("{}-{}", 40 * n, 40 * n + 7))
            .collect();
        content(&std::format!("bytes={}", most.join(",")), &bytes, None);
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_are_written_with() {
        for (number, expected) in [(0, 1), (9, 1), (10, 2), (99, 2), (100, 3), (u64::MAX, 20)] {
            assert_eq!(digits(number), expected, "{number}");
        }
    }
}
