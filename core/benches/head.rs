//! What a request head costs: our parser beside `httparse` with the same strict rules on top.
//!
//! `cargo bench -p capuchin-core --bench head` prints nanoseconds per head, the median of many
//! rounds. Instructions are counted by running one case under a tool that counts them, twice:
//!
//! ```text
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null BENCH --count own browser 1000
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null BENCH --count own browser 2000
//! ```
//!
//! The difference between the two totals is a thousand heads' worth.

use capuchin_core::http::head::{Field, Head, HeadParser, Progress};
use std::hint::black_box;
use std::time::Instant;

/// What wrk sends.
const WRK: &[u8] = b"GET /file HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a browser sends for a page: 12 field lines.
const BROWSER: &[u8] = b"GET /articles/2024/index.html?page=2 HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Referer: https://www.example.org/articles/2024/\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    If-Modified-Since: Tue, 05 Nov 2024 10:00:00 GMT\r\n\
    If-None-Match: \"5f3-62a1b2c3d4e5f\"\r\n\r\n";

/// Rounds that the median is taken of.
const ROUNDS: usize = 41;

/// Heads per round.
const HEADS: usize = 5_000;

/// A head, and the size of the pieces it arrives in.
struct Case {
    name: &'static str,
    bytes: &'static [u8],
    step: usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "wrk",
        bytes: WRK,
        step: usize::MAX,
    },
    Case {
        name: "browser",
        bytes: BROWSER,
        step: usize::MAX,
    },
    Case {
        name: "browser-1",
        bytes: BROWSER,
        step: 1,
    },
    Case {
        name: "browser-64",
        bytes: BROWSER,
        step: 64,
    },
];

/// A parser under test: one head in steps; the number that keeps the work from being left out.
type Parser = fn(&[u8], usize) -> usize;

const PARSERS: [(&str, Parser); 3] = [
    ("own", own),
    ("httparse+rules", peer::parse),
    ("httparse alone", peer::parse_alone),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        return count(&arguments[at + 1..]);
    }
    print!("{:<14}{:>7}", "ns per head", "bytes");
    for (name, _) in PARSERS {
        print!("{name:>18}");
    }
    println!();
    for case in CASES {
        print!("{:<14}{:>7}", case.name, case.bytes.len());
        for (_, parser) in PARSERS {
            print!("{:>18.1}", median(parser, &case));
        }
        println!();
    }
}

fn median(parser: Parser, case: &Case) -> f64 {
    let heads = if case.step == 1 { HEADS / 50 } else { HEADS };
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..heads {
                black_box(parser(black_box(case.bytes), case.step));
            }
            start.elapsed().as_nanos() as f64 / heads as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Runs one parser on one case so many times, for tools that count instructions.
fn count(arguments: &[String]) {
    let [parser, case, times, ..] = arguments else {
        panic!("--count PARSER CASE TIMES");
    };
    let (_, parser) = PARSERS
        .iter()
        .find(|(name, _)| name == parser)
        .expect("a parser");
    let case = CASES
        .iter()
        .find(|entry| entry.name == case)
        .expect("a case");
    for _ in 0..times.parse().expect("a number") {
        black_box(parser(black_box(case.bytes), case.step));
    }
}

/// The lengths that `bytes` has while it arrives.
fn arrivals(length: usize, step: usize) -> impl Iterator<Item = usize> {
    let mut end = 0;
    core::iter::from_fn(move || {
        let done = end == length;
        end = length.min(end.saturating_add(step));
        (!done).then_some(end)
    })
}

fn own(bytes: &[u8], step: usize) -> usize {
    let mut parser = HeadParser::default();
    // In the server the table lies in the lease and is not cleared.
    let mut fields = [Field::EMPTY; 32];
    for end in arrivals(bytes.len(), step) {
        if let Progress::Complete { length } = parser
            .advance(&bytes[..end], &mut fields)
            .expect("a valid head")
        {
            let head = Head::new(&parser, bytes, &fields);
            return length + head.path().len() + usize::from(head.keep_alive());
        }
    }
    panic!("an incomplete head")
}

/// `httparse`, then what design and RFC ask for beyond it.
mod peer {
    use core::mem::MaybeUninit;

    /// Offsets of one line, packed like ours, for a server cannot keep references.
    type Entry = u64;

    #[derive(Default)]
    struct Found {
        entries: usize,
        host: bool,
        length: Option<u64>,
        chunked: bool,
        close: bool,
        keep_alive: bool,
    }

    pub fn parse_alone(bytes: &[u8], step: usize) -> usize {
        for end in super::arrivals(bytes.len(), step) {
            let mut lines = [MaybeUninit::uninit(); 32];
            let mut request = httparse::Request::new(&mut []);
            if let httparse::Status::Complete(length) = request
                .parse_with_uninit_headers(&bytes[..end], &mut lines)
                .expect("a valid head")
            {
                return length + request.headers.len() + request.path.map_or(0, str::len);
            }
        }
        panic!("an incomplete head")
    }

    pub fn parse(bytes: &[u8], step: usize) -> usize {
        for end in super::arrivals(bytes.len(), step) {
            let bytes = &bytes[..end];
            let mut lines = [MaybeUninit::uninit(); 32];
            let mut request = httparse::Request::new(&mut []);
            let httparse::Status::Complete(length) = request
                .parse_with_uninit_headers(bytes, &mut lines)
                .expect("a valid head")
            else {
                continue;
            };
            let mut entries = [0; 32];
            let found = check(&bytes[..length], &request, &mut entries).expect("a valid head");
            let path = request.path.unwrap_or_default();
            let query = path.find('?').unwrap_or(path.len());
            let keep = !found.close && (request.version == Some(1) || found.keep_alive);
            let framed = found.length.is_some() || found.chunked;
            std::hint::black_box((&entries[..found.entries], framed));
            return length + query + usize::from(keep);
        }
        panic!("an incomplete head")
    }

    /// The rules that `httparse` leaves to its caller.
    fn check(
        bytes: &[u8],
        request: &httparse::Request<'_, '_>,
        entries: &mut [Entry; 32],
    ) -> Option<Found> {
        // httparse takes a lone LF as line end.
        if memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r') {
            return None;
        }
        // And it takes bytes beyond ASCII and a fragment in targets.
        let target = request.path?.as_bytes();
        if target
            .iter()
            .any(|&byte| !(0x21..0x7f).contains(&byte) || byte == b'#')
        {
            return None;
        }
        let method = match request.method? {
            "GET" => 0_u64,
            "HEAD" => 1,
            "POST" => 2,
            "PUT" => 3,
            "DELETE" => 4,
            "OPTIONS" => 5,
            _ => return None,
        };
        if target.first() != Some(&b'/') && !(method == 5 && target == b"*") {
            return None;
        }
        let base = bytes.as_ptr().addr();
        let offset = |part: &[u8]| (part.as_ptr().addr() - base) as u64;
        let mut found = Found::default();
        for line in request.headers.iter() {
            let (name, value) = (line.name.as_bytes(), line.value);
            let known = known(name);
            let entry = entries.get_mut(found.entries)?;
            *entry = offset(name)
                | (name.len() as u64) << 16
                | known << 24
                | offset(value) << 32
                | (value.len() as u64) << 48;
            found.entries += 1;
            match known {
                1 if found.host || !is_authority(value) => return None,
                1 => found.host = true,
                2 if found.length.is_some() || found.chunked => return None,
                2 => found.length = Some(decimal(value)?),
                3 if found.chunked || !value.eq_ignore_ascii_case(b"chunked") => return None,
                3 if request.version != Some(1) || found.length.is_some() => return None,
                3 => found.chunked = true,
                4 => {
                    for option in value.split(|&byte| byte == b',') {
                        let option = option.trim_ascii();
                        found.close |= option.eq_ignore_ascii_case(b"close");
                        found.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                5 if !value.eq_ignore_ascii_case(b"100-continue") => return None,
                _ => {}
            }
        }
        (found.host || request.version == Some(0)).then_some(found)
    }

    /// The number of a name that the server reads; 0 for others.
    fn known(name: &[u8]) -> u64 {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => 1,
            14 if is(b"content-length") => 2,
            17 if is(b"transfer-encoding") => 3,
            10 if is(b"connection") => 4,
            6 if is(b"expect") => 5,
            5 if is(b"range") => 6,
            8 if is(b"if-match") => 7,
            8 if is(b"if-range") => 8,
            13 if is(b"if-none-match") => 9,
            17 if is(b"if-modified-since") => 10,
            19 if is(b"if-unmodified-since") => 11,
            15 if is(b"accept-encoding") => 12,
            12 if is(b"content-type") => 13,
            10 if is(b"user-agent") => 14,
            7 if is(b"referer") => 15,
            13 if is(b"authorization") => 16,
            7 if is(b"upgrade") => 17,
            _ => 0,
        }
    }

    fn is_authority(value: &[u8]) -> bool {
        let end = value
            .iter()
            .position(|&byte| byte == b':')
            .unwrap_or(value.len());
        let (host, port) = value.split_at(end);
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
        !host.is_empty() && host.iter().all(name) && port.iter().skip(1).all(u8::is_ascii_digit)
    }

    fn decimal(value: &[u8]) -> Option<u64> {
        if value.is_empty() {
            return None;
        }
        value.iter().try_fold(0_u64, |sum, byte| {
            let digit = byte
                .is_ascii_digit()
                .then_some(u64::from(byte.wrapping_sub(b'0')))?;
            sum.checked_mul(10)?.checked_add(digit)
        })
    }
}
