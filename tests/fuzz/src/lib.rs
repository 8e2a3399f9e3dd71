//! The bodies of the fuzz targets: one function per parser and one for whole connections, which panic when a promise is
//! broken.
//!
//! They are plain functions, so that `core/tests/fuzz_seeds.rs` replays the seeds with the stable
//! toolchain and the property tests feed them generated input. Run one with
//! `cargo +nightly fuzz run head seeds/head` in this folder (a corpus folder of one's own first,
//! if new finds should not land among the seeds); the stable toolchain does it, too, without the sanitizer:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none head`.
//!
//! Inputs are what the parser reads, as it would arrive, so that seeds are readable files; how an
//! input is split is derived from its bytes. The input of `connection` is a list of decisions instead, in which every
//! byte means something.

pub mod connection;

use capuchin_core::http::chunked::{ChunkError, ChunkStep, ChunkedDecoder};
use capuchin_core::http::conditional::{self, Conditions, EntityTag, Validators, Verdict};
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::{self, Coding, Codings};
use capuchin_core::http::head::{
    Field, Framing, HEAD_LIMIT, Head, HeadError, HeadParser, Name, Progress,
};
use capuchin_core::http::path::{self, PathError, QueryError};
use capuchin_core::http::range::{self, Selection};

/// Entries of the table that heads are parsed into.
const FIELDS: usize = 24;

/// Cuts that depend on the input and nothing else.
struct Cuts(u64);

impl Cuts {
    fn of(data: &[u8]) -> Self {
        // FNV-1a; the offset basis also keeps the state from being zero.
        Self(data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The next piece's length, 1 to `limit`.
    fn next(&mut self, limit: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + (self.0 >> 33) as usize % limit
    }
}

/// A request head: any split gives the same result, and a complete one reads as a parser that
/// knows nothing but line ends and colons would read it.
pub fn head(data: &[u8]) {
    let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; FIELDS]);
    let whole = parser.advance(data, &mut fields);
    let mut cuts = Cuts::of(data);
    for longest in [1, 3, 40] {
        let mut cut = || cuts.next(longest);
        let split = head_in_pieces(data, &mut cut);
        assert_eq!(split.0, whole, "in pieces of up to {longest}");
        if whole.is_ok() {
            assert!(split.1 == fields, "in pieces of up to {longest}");
        }
    }
    head_into_tables_in_use(data, whole, &fields);
    match whole {
        Ok(Progress::Complete { length }) => {
            let bytes = data.get(..length).expect("the head lies within the input");
            let head = Head::new(&parser, bytes, &fields);
            complete_head(bytes, &head);
        }
        Ok(Progress::Incomplete) => {
            assert!(data.len() < HEAD_LIMIT);
            // What has come so far may end a line early or late, but no complete head lies in it.
            assert!(!parser.started() || !data.ends_with(b"\r\n\r\n"));
        }
        Err(error) => {
            assert!([400, 414, 417, 421, 431, 501, 505].contains(&error.status()));
            assert_eq!(parser.advance(data, &mut fields), Err(error), "asked again");
        }
    }
}

/// It does not matter what was left in the table: by the same head, with its entries elsewhere, or by one whose lines
/// come in another order.
fn head_into_tables_in_use(
    data: &[u8],
    whole: Result<Progress, HeadError>,
    fields: &[Field; FIELDS],
) {
    let mut lines: Vec<&[u8]> = data.split_inclusive(|&byte| byte == b'\n').collect();
    if let [_, others @ .., _] = &mut lines[..] {
        others.reverse();
    }
    let mut other = [Field::EMPTY; FIELDS];
    let _ = HeadParser::default().advance(&lines.concat(), &mut other);
    let mut rotated = *fields;
    rotated.rotate_right(1);
    for mut left in [*fields, rotated, other] {
        let mut parser = HeadParser::default();
        assert_eq!(parser.advance(data, &mut left), whole, "a table in use");
        if let Ok(Progress::Complete { length }) = whole {
            let bytes = data.get(..length).expect("the head lies within the input");
            let head = Head::new(&parser, bytes, &left);
            complete_head(bytes, &head);
            let entries = 1 + head.fields().count();
            assert!(left[..entries] == fields[..entries], "a table in use");
        }
    }
}

fn head_in_pieces(
    data: &[u8],
    cut: &mut dyn FnMut() -> usize,
) -> (Result<Progress, HeadError>, [Field; FIELDS]) {
    let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; FIELDS]);
    let mut end = 0;
    loop {
        end = (end + cut()).min(data.len());
        // A copy: the parser must not depend on where the bytes lie.
        let copy = data[..end].to_vec();
        let outcome = parser.advance(copy.as_slice(), &mut fields);
        if outcome != Ok(Progress::Incomplete) || end == data.len() {
            return (outcome, fields);
        }
    }
}

fn complete_head(bytes: &[u8], head: &Head<'_>) {
    let text = bytes
        .strip_suffix(b"\r\n\r\n")
        .expect("an empty line ends it");
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r') && !line.contains(&0));
        line
    });
    assert_eq!(
        text.iter().filter(|&&byte| byte == b'\n').count(),
        text.windows(2).filter(|pair| pair == b"\r\n").count(),
        "no lone LF"
    );
    let line = lines
        .by_ref()
        .find(|line| !line.is_empty())
        .expect("a request line");
    let parts: Vec<_> = line.split(|&byte| byte == b' ').collect();
    assert_eq!(parts[..2], [head.method_token(), head.target()]);
    assert_eq!(parts.len(), 3);
    assert!(parts[2].starts_with(b"HTTP/1."));

    let mut expected = lines.clone().map(|line| {
        let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
        (&line[..colon], line[colon + 1..].trim_ascii())
    });
    for (name, value) in head.fields() {
        assert_eq!(expected.next(), Some((name, value)));
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        assert!(
            head.field(core::str::from_utf8(name).expect("a token"))
                .is_some()
        );
    }
    assert_eq!(expected.next(), None);

    let count = |name: &str| {
        head.fields()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .count()
    };
    for name in Name::all() {
        assert_eq!(head.values(name).count(), count(name.as_str()));
        assert_eq!(head.value(name), head.values(name).next());
        assert_eq!(head.value(name), head.field(name.as_str()));
    }
    assert!(count("host") <= 1 && count("content-length") <= 1);
    assert!(count("host") == 1 || parts[2] == b"HTTP/1.0");
    match head.framing() {
        Framing::None => assert_eq!(count("content-length") + count("transfer-encoding"), 0),
        Framing::Length(length) => {
            assert_eq!(count("transfer-encoding"), 0);
            let value = head.field("content-length").expect("the field");
            let digits = core::str::from_utf8(value).expect("digits");
            assert_eq!(digits.parse(), Ok(length));
        }
        Framing::Chunked => {
            assert_eq!(
                (count("transfer-encoding"), count("content-length")),
                (1, 0)
            );
            let value = head.field("transfer-encoding").expect("the field");
            assert!(value.eq_ignore_ascii_case(b"chunked"));
        }
    }
    let path = head.path();
    assert!(path.is_empty() || path[0] == b'/' || path == b"*");
    assert!(!path.contains(&b'?') && !path.contains(&b'#'));
    assert!(!head.query().is_some_and(|query| query.contains(&b'#')));
    let no_target = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    assert!(!head.target().is_empty() && !head.target().iter().any(no_target));
    let _ = (head.host(), head.keep_alive(), head.expects_continue());
}

/// What a chunked body decodes to: data, consumed bytes, and how it ended.
type Body = (Vec<u8>, usize, Result<bool, ChunkError>);

/// A chunked body: any split gives the same data, the same end or the same error.
/// The input as data, sent in chunks of any size, comes out again.
pub fn chunked(data: &[u8]) {
    let whole = chunked_in_pieces(data, &mut || usize::MAX);
    let mut cuts = Cuts::of(data);
    for longest in [1, 3, 40] {
        let split = chunked_in_pieces(data, &mut || cuts.next(longest));
        assert_eq!(split.2, whole.2, "in pieces of up to {longest}");
        if whole.2.is_ok() {
            assert_eq!(split, whole, "in pieces of up to {longest}");
        } else {
            // What came before the error may have been handed out in other pieces only.
            assert_eq!(split.0, whole.0);
        }
    }
    if let Err(error) = whole.2 {
        assert!([400, 413, 431].contains(&error.status()));
    }

    let mut encoded = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(cuts.next(rest.len()));
        encoded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
        rest = after;
    }
    encoded.extend_from_slice(b"0\r\n\r\n");
    let length = encoded.len();
    encoded.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let decoded = chunked_in_pieces(&encoded, &mut || cuts.next(50));
    assert_eq!(decoded, (data.to_vec(), length, Ok(true)));
}

fn chunked_in_pieces(data: &[u8], cut: &mut dyn FnMut() -> usize) -> Body {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut at) = (Vec::new(), 0);
    let mut end = 0;
    while at < data.len() {
        if at == end {
            end = end.saturating_add(cut()).min(data.len());
        }
        let input = &data[at..end];
        match decoder.advance(input) {
            Ok(ChunkStep::Data { start, end }) => {
                assert!(start < end);
                body.extend_from_slice(&input[start..end]);
                at += end;
            }
            Ok(ChunkStep::Incomplete { consumed }) => {
                assert_eq!(consumed, input.len());
                at += consumed;
            }
            Ok(ChunkStep::End { consumed }) => return (body, at + consumed, Ok(true)),
            Err(error) => {
                assert_eq!(decoder.advance(input), Err(error), "asked again");
                return (body, at, Err(error));
            }
        }
    }
    (body, at, Ok(false))
}

/// A date: what is read is written so that it reads the same.
pub fn date(data: &[u8]) {
    const NOW: u64 = 1_700_000_000;
    if let Some(date) = HttpDate::parse(data, NOW) {
        // A leap second at the end of the year 9999 is the one moment beyond what can be written.
        if date <= HttpDate::MAX {
            assert_eq!(HttpDate::parse(&date.format(), 0), Some(date));
        }
    }
    if let Some(bytes) = data.first_chunk::<8>() {
        let date = HttpDate(u64::from_le_bytes(*bytes));
        let again = HttpDate::parse(&date.format(), NOW);
        assert_eq!(again, Some(date.min(HttpDate::MAX)));
    }
}

/// A path or, for what has no slash in front, a query.
pub fn path(data: &[u8]) {
    let mut scratch = vec![0xaa; data.len()];
    match path::normalise(data, &mut scratch) {
        Ok(path) => normal_path(data, path),
        Err(PathError::TooLong) => assert!(data.is_empty(), "as many bytes are always enough"),
        Err(PathError::NotAbsolute) => assert_ne!(data.first(), Some(&b'/')),
        Err(error) => assert_eq!(error.status(), 400),
    }
    let mut out = vec![0; data.len()];
    for (name, value) in path::query_pairs(data) {
        assert!(!name.contains(&b'&') && !name.contains(&b'=') && !value.contains(&b'&'));
        for raw in [name, value] {
            match path::query_decode(raw, &mut out) {
                Ok(decoded) => assert!(decoded.len() <= raw.len()),
                Err(error) => assert_eq!(error, QueryError::BadEscape),
            }
        }
    }
    let _ = path::query_value(data, b"a", &mut out);
}

fn normal_path(raw: &[u8], path: &[u8]) {
    assert!(path.len() <= raw.len());
    assert!(!path.contains(&0));
    let inner = path.strip_prefix(b"/").expect("a slash in front");
    let mut segments = inner.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        assert!(segment != b"." && segment != b"..");
        assert!(
            !segment.is_empty() || segments.peek().is_none(),
            "no empty segment"
        );
    }
    if !path.contains(&b'%') {
        let mut scratch = vec![0; path.len()];
        assert_eq!(
            path::normalise(path, &mut scratch),
            Ok(path),
            "normal already"
        );
    }
}

/// A Range field: the first line is the representation's length, the rest the value.
pub fn range(data: &[u8]) {
    let (length, field) = first_line(data);
    let length = number(length).unwrap_or(1000);
    for length in [length, 0, 1, u64::MAX] {
        match range::evaluate(field, length) {
            Selection::Part { start, end } => {
                assert!(start < end && end <= length);
                let single = format!("bytes={start}-{}", end - 1);
                let again = range::evaluate(single.as_bytes(), length);
                assert_eq!(again, Selection::Part { start, end });
            }
            Selection::Parts(parts) => {
                let ranges: Vec<_> = parts.iter().collect();
                assert!((2..=range::PARTS_LIMIT).contains(&ranges.len()));
                for (at, part) in ranges.iter().enumerate() {
                    assert!(part.start < part.end && part.end <= length);
                    let apart = |other: &std::ops::Range<u64>| {
                        part.end < other.start || other.end < part.start
                    };
                    assert!(ranges[..at].iter().all(apart));
                }
                let text: Vec<_> = ranges
                    .iter()
                    .map(|part| format!("{}-{}", part.start, part.end - 1))
                    .collect();
                let again = range::evaluate(format!("bytes={}", text.join(",")).as_bytes(), length);
                assert_eq!(again, Selection::Parts(parts));
            }
            Selection::Whole | Selection::Unsatisfiable => {}
        }
    }
}

/// Conditions, one per line, each with a letter in front: `m` If-Match, `n` If-None-Match,
/// `s` If-Modified-Since, `u` If-Unmodified-Since, `r` If-Range, `t` the current tag's content,
/// `w` the same of a weak one, `d` the date of the last modification.
pub fn conditional(data: &[u8]) {
    const NOW: u64 = 1_700_000_000;
    let (mut if_match, mut if_none_match) = (Vec::new(), Vec::new());
    let mut conditions = (None, None, None);
    let (mut tag, mut modified) = (None, None);
    for line in data.split(|&byte| byte == b'\n') {
        let Some((kind, value)) = line.split_first() else {
            continue;
        };
        match kind {
            b'm' => if_match.push(value),
            b'n' => if_none_match.push(value),
            b's' => conditions.0 = Some(value),
            b'u' => conditions.1 = Some(value),
            b'r' => conditions.2 = Some(value),
            b't' | b'w' => tag = EntityTag::new(value, *kind == b'w'),
            b'd' => modified = HttpDate::parse(value, NOW),
            _ => {}
        }
    }
    let current = Validators {
        tag: tag.as_ref(),
        modified,
    };
    for current in [None, Some(&current)] {
        for safe in [true, false] {
            let verdict = conditional::evaluate(
                Conditions {
                    if_match: if_match.iter().copied(),
                    if_none_match: if_none_match.iter().copied(),
                    if_modified_since: conditions.0,
                    if_unmodified_since: conditions.1,
                    if_range: conditions.2,
                },
                safe,
                current,
                NOW,
            );
            let refusable =
                !if_match.is_empty() || !if_none_match.is_empty() || conditions.1.is_some();
            let cached = !if_none_match.is_empty() || conditions.0.is_some();
            match verdict {
                Verdict::NotModified => assert!(safe && cached && current.is_some()),
                Verdict::PreconditionFailed => assert!(refusable),
                Verdict::Proceed { .. } if current.is_none() => assert!(if_match.is_empty()),
                Verdict::Proceed { .. } => {}
            }
        }
    }
}

/// The lines of Accept-Encoding.
pub fn encoding(data: &[u8]) {
    let lines = || data.split(|&byte| byte == b'\n');
    for set in 0..8 {
        let available = [Coding::Identity, Coding::Gzip, Coding::Br]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| set & 1 << bit != 0)
            .fold(Codings::NONE, |codings, (_, coding)| codings.with(coding));
        match encoding::choose(lines(), available) {
            Some(coding) => assert!(available.contains(coding)),
            // Identity is acceptable unless something was said against it by its name or by `*`.
            None => assert!(
                !available.contains(Coding::Identity)
                    || data.contains(&b'*')
                    || data
                        .to_ascii_lowercase()
                        .windows(8)
                        .any(|part| part == b"identity")
            ),
        }
    }
}

fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&[], data),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}
