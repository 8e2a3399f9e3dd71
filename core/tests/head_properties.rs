//! Properties of the parsers of heads and chunked bodies, on generated input.
//!
//! The checks themselves are the fuzz targets': any split gives the same result, nothing panics,
//! what is complete reads as it was sent. Here they meet input that is close to valid.

#[path = "../../tests/fuzz/src/lib.rs"]
#[expect(dead_code, reason = "only two of the targets are used here")]
mod targets;

use capuchin_core::http::chunked::{ChunkStep, ChunkedDecoder};
use capuchin_core::http::head::{Field, Head, HeadParser, Progress};
use proptest::collection::vec;
use proptest::prelude::*;

/// What heads are made of, and what breaks them.
const HEAD_PIECES: [&str; 48] = [
    "GET ",
    "POST ",
    "OPTIONS ",
    "CONNECT ",
    "B ",
    "/",
    "/a?b",
    "*",
    "http://a",
    "a:80",
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/1.7",
    " HTTP/2.0",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    " ",
    "\t",
    "#",
    "\0",
    "\u{7f}",
    "\u{e4}",
    "Host: ",
    "host:",
    "Content-Length: ",
    "Transfer-Encoding: ",
    "chunked",
    "gzip",
    ", ",
    "Connection: ",
    "close",
    "keep-alive",
    "Expect: ",
    "100-continue",
    "X-A: ",
    ":",
    "5",
    "18446744073709551616",
    "[::1]",
    "%41",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ";",
    "\"",
    "\\",
    "Cookie: ",
];

/// What chunked bodies are made of, and what breaks them.
const CHUNK_PIECES: [&str; 24] = [
    "0",
    "1",
    "5",
    "a",
    "F",
    "fffffffffffffff",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    " ",
    "\t",
    ";",
    "=",
    "\"",
    "\\",
    "x",
    "hello",
    "X: y",
    ":",
    "\0",
    "\u{e4}",
];

/// What a browser sends: lines that are looked at in one go.
const BROWSER: &str = "GET /a/page.html HTTP/1.1\r\nHost: device.example.org:8080\r\nConnection: keep-alive\r\n\
    Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\nX-Requested-By: somebody\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\
    Accept: text/html,*/*;q=0.8\r\nte: trailers\r\nSec-CH-UA-Platform: \"Linux\"\r\n\
    If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\nAccept-Encoding: gzip, br\r\n\
    Content-Length: 0\r\nExpect: 100-continue\r\n\r\n";

/// A browser's head with a few faults: pieces of it in other places, and bytes that are none of its.
fn faulty_browser() -> impl Strategy<Value = Vec<u8>> {
    let index = any::<prop::sample::Index>;
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(&b" \t\r\n:./%?#,;\x7f"[..])
    ];
    let fault = (0..4, index(), index(), 0..24_usize, byte);
    vec(fault, 0..4).prop_map(|faults| {
        let mut head = BROWSER.as_bytes().to_vec();
        for (kind, at, from, length, byte) in faults {
            let at = at.index(head.len());
            let from = from.index(head.len());
            let piece = head[from..head.len().min(from + length)].to_vec();
            let end = head.len().min(at + length);
            match kind {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                2 => drop(head.splice(at..end, [])),
                _ => drop(head.splice(at..at, piece)),
            }
            if head.is_empty() {
                break;
            }
        }
        head
    })
}

fn joined(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    vec(proptest::sample::select(pieces), 0..30).prop_map(|parts| parts.concat().into_bytes())
}

/// A valid head in parts: method, target, lines.
fn valid_head() -> impl Strategy<Value = (String, String, Vec<(String, String)>)> {
    let line = (
        "x[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,40}",
        "([!-~]([ -~\t]{0,60}[!-~])?)?",
    );
    let target = "/[!-\"$-~\u{e9}]{0,60}";
    ("[A-Z]{1,12}", target, vec(line, 0..20))
        .prop_filter("its targets have another form", |(method, ..)| {
            method != "CONNECT"
        })
}

/// Any way to cut `length` bytes, as ascending ends.
fn cuts(length: usize, at: &[prop::sample::Index]) -> Vec<usize> {
    let mut ends: Vec<usize> = at.iter().map(|index| index.index(length + 1)).collect();
    ends.push(length);
    ends.sort_unstable();
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged_alike_in_any_split(data in vec(any::<u8>(), 0..200)) {
        targets::head(&data);
        targets::chunked(&data);
    }

    #[test]
    fn almost_valid_heads_are_judged_alike_in_any_split(data in joined(&HEAD_PIECES)) {
        targets::head(&data);
        // The same after a valid beginning, for most rules are about field lines.
        targets::head(&[b"POST / HTTP/1.1\r\nHost: a\r\n", &data[..]].concat());
    }

    #[test]
    fn browsers_heads_with_faults_are_judged_alike_in_any_split(data in faulty_browser()) {
        targets::head(&data);
    }

    #[test]
    fn almost_valid_chunks_are_judged_alike_in_any_split(data in joined(&CHUNK_PIECES)) {
        targets::chunked(&data);
        targets::chunked(&[b"1\r\nx\r\n0\r\n", &data[..]].concat());
    }

    #[test]
    fn valid_heads_read_as_they_were_made(
        (method, target, lines) in valid_head(),
        at in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n").into_bytes();
        for (name, value) in &lines {
            bytes.extend_from_slice(format!("{name}: {value}\t \r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 22]);
        let mut last = Ok(Progress::Incomplete);
        for end in cuts(bytes.len(), &at) {
            last = parser.advance(&bytes[..end], &mut fields);
        }
        prop_assert_eq!(last, Ok(Progress::Complete { length: bytes.len() }));
        let head = Head::new(&parser, &bytes, &fields);
        prop_assert_eq!(head.method_token(), method.as_bytes());
        prop_assert_eq!(head.target(), target.as_bytes());
        let read: Vec<_> = head.fields().skip(1).collect();
        let made: Vec<_> = lines.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        prop_assert_eq!(read, made);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (&target[..], None),
        };
        prop_assert_eq!(head.path(), path.as_bytes());
        prop_assert_eq!(head.query(), query);
    }

    #[test]
    fn valid_chunked_bodies_give_back_their_data(
        chunks in vec(vec(any::<u8>(), 1..60), 0..12),
        extension in "(;[a-z]{1,5}(=([a-z]{1,5}|\"[ !#-\\[\\]-~]{0,9}\"))?){0,3}",
        trailer in "([a-z]{1,9}:[ -~]{0,20}\r\n){0,3}",
        at in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("0{extension}\r\n{trailer}\r\n").as_bytes());
        let mut decoder = ChunkedDecoder::default();
        let (mut body, mut begin, mut ended) = (Vec::new(), 0, false);
        for cut in cuts(bytes.len(), &at) {
            while begin < cut {
                let input = &bytes[begin..cut];
                begin += match decoder.advance(input).expect("a valid body") {
                    ChunkStep::Data { start, end } => {
                        body.extend_from_slice(&input[start..end]);
                        end
                    }
                    ChunkStep::Incomplete { consumed } => consumed,
                    ChunkStep::End { consumed } => {
                        ended = true;
                        consumed
                    }
                };
            }
        }
        prop_assert!(ended);
        prop_assert_eq!(begin, bytes.len());
        prop_assert_eq!(body, chunks.concat());
    }
}
