//! Requests that the input chooses, for the routes and the site of the engine's tests.

use super::input::Input;

/// Lengths around those at which responses are sent another way.
const LENGTHS: &[usize] = &[
    0, 1, 10, 100, 1_000, 1_459, 1_460, 1_461, 3_000, 9_000, 20_000,
];

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "PUT", "FOO", "CONNECT",
];

const VERSIONS: &[&str] = &[
    "1.1", "1.1", "1.1", "1.1", "1.1", "1.1", "1.0", "1.2", "2.0",
];

const FIELDS: &[&str] = &[
    "",
    "",
    "",
    "",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Range: bytes=3-70\r\n",
    "Range: bytes=900000-\r\n",
    "Range: bytes=0-1,50-60,-1\r\n",
    "If-Modified-Since: Sun, 06 Nov 1999 08:49:38 GMT\r\n",
    "If-Match: \"a\"\r\n",
    "Cookie: a=b\r\n",
    "Authorization: Basic YTpi\r\n",
    "Host: b\r\n",
    "X : y\r\n",
    "X: y\r\n z\r\n",
];

const CHUNKED_ENDS: &[&str] = &[
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "00;x\r\n\r\n",
    "g\r\n",
    "ffffffffffffffffff\r\n",
    "",
];

/// The next request of client number `client`. Whole, as it is made; what comes of it is not always valid.
pub(super) fn request(input: &Input, client: usize) -> Vec<u8> {
    let length = input.of(LENGTHS);
    match input.below(20) {
        0..=3 => format!("GET /echo/c{client}-{length} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        4..=6 => {
            let one = format!("GET /ready/{length} HTTP/1.1\r\nHost: a\r\n\r\n");
            one.repeat(1 + input.below(5)).into_bytes()
        }
        7..=9 => with_body(input, client, length),
        10 => padded(input),
        12 => {
            let one = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
            one.repeat(1 + input.below(3)).into_bytes()
        }
        11 => input
            .of(&[
                "\r\n",
                "\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
                "GARBAGE\r\n\r\n",
                "GET /hello HTTP/1.1\r\n\r\n",
                "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /hello HTTP/1.1\nHost: a\n\n",
                "POST /last/defer HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET http://a/hello HTTP/1.1\r\nHost: a\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /hello HTTP/1.0\r\n\r\n",
            ])
            .into(),
        _ => format!(
            "{} {} HTTP/{}\r\nHost: a\r\n{}\r\n",
            input.of(METHODS),
            path(input, client, length),
            input.of(VERSIONS),
            input.of(FIELDS),
        )
        .into_bytes(),
    }
}

fn path(input: &Input, client: usize, length: usize) -> String {
    match input.below(19) {
        0 => format!("/echo/c{client}-{length}"),
        1 => format!("/memory/{length}"),
        2 => format!("/pieces/{length}"),
        3 => format!("/file/{length}"),
        4 => format!("/ready/{length}"),
        5 | 6 => format!("/stream/{length}"),
        7 | 8 => "/later".into(),
        9 => input
            .of(&["/status/204", "/status/304", "/status/404", "/status/500"])
            .into(),
        10 => "/either".into(),
        11 => "/busy".into(),
        12 => input
            .of(&["/broken", "/excess", "/changing/1", "/finding/1"])
            .into(),
        16 => format!("/loading/{length}"),
        17 => format!("/costly/{length}"),
        13 => "/goodbye".into(),
        14 => "/x/../hello?q".into(),
        15 => "/large".into(),
        _ => "/hello".into(),
    }
}

/// A head that is just short enough for the limit of 1,024 bytes, or just too long, or has many fields.
fn padded(input: &Input) -> Vec<u8> {
    let mut head = b"GET /hello HTTP/1.1\r\nHost: a\r\n".to_vec();
    match input.below(3) {
        0 => head.extend(b"X: y\r\n".repeat(input.of(&[29, 30, 31, 32, 33]))),
        1 => {
            head.extend(b"X: ");
            head.resize(1_020 + input.of(&[0, 1, 2, 3, 4, 5, 500]) - 4, b'x');
            head.extend(b"\r\n");
        }
        _ => {
            head = b"GET /".to_vec();
            head.resize(1_020 + input.of(&[0, 1, 2, 3, 4, 5, 500]) - 24, b'x');
            head.extend(b" HTTP/1.1\r\nHost: a\r\n");
        }
    }
    head.extend(b"\r\n");
    head
}

fn with_body(input: &Input, client: usize, length: usize) -> Vec<u8> {
    let path = input.of(&[
        "/upload",
        "/upload",
        "/echo",
        "/echo",
        "/nowhere",
        "/later",
        "/last/collect",
        "/last/receive",
        "/hello",
        "/memory/100",
    ]);
    let fields = input.of(FIELDS);
    let mut body = vec![b'a' + client as u8; length];
    match input.below(8) {
        // What the route's handler refuses, and what looks like the next request.
        0 => body.push(input.of(b"!12")),
        1 => body.extend(b"GET /goodbye HTTP/1.1\r\nHost: a\r\n\r\n"),
        // About as much as is read to be thrown away.
        2 => body.resize(3_940 + input.below(64), b'a'),
        _ => {}
    }
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}");
    let mut all = head.into_bytes();
    match input.below(8) {
        0..=3 => {
            all.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            all.extend(body);
        }
        4..=6 => {
            all.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            let size = input.of(&[1_000, 1, 7, 300]).max(body.len() / 100);
            for chunk in body.chunks(size) {
                all.extend(format!("{:x}\r\n", chunk.len()).bytes());
                all.extend(chunk);
                all.extend(b"\r\n");
            }
            all.extend(input.of(CHUNKED_ENDS).bytes());
        }
        _ => {
            let fields = input.of(&[
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
                "Content-Length: 18446744073709551615\r\n\r\n",
                "Content-Length: 5, 5\r\n\r\n",
                "Transfer-Encoding: gzip, chunked\r\n\r\n",
                "Transfer-Encoding: chunked, chunked\r\n\r\n",
                "Content-Length: +5\r\n\r\n",
                "Content-Length: 100000\r\n\r\n",
            ]);
            all.extend(fields.bytes());
            all.extend(body);
        }
    }
    all
}
