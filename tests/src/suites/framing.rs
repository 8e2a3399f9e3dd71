//! What frames a message: every rule of RFC 9112 that a smuggled request could hide behind.
//!
//! Each refusal is checked on one connection with a valid request behind the bad one: the error
//! reply has to come first, and the end of the connection has to come next, not a second reply.

use super::Case;
use crate::client::Reply;
use crate::ensure;
use crate::failure::{During, Outcome, show};
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "accepted_heads",
        needs: Features::ROUTES,
        run: accepted_heads,
    },
    Case {
        name: "refused_request_lines",
        needs: Features::ROUTES,
        run: |target| refused(target, REQUEST_LINES),
    },
    Case {
        name: "refused_field_lines",
        needs: Features::ROUTES,
        run: |target| refused(target, FIELD_LINES),
    },
    Case {
        name: "refused_hosts",
        needs: Features::ROUTES,
        run: |target| refused(target, HOSTS),
    },
    Case {
        name: "refused_lengths",
        needs: Features::ROUTES,
        run: |target| refused(target, LENGTHS),
    },
    Case {
        name: "refused_codings",
        needs: Features::ROUTES,
        run: |target| refused(target, CODINGS),
    },
    Case {
        name: "every_control_byte_in_a_value_is_refused",
        needs: Features::ROUTES,
        run: control_bytes_in_values,
    },
    Case {
        name: "every_byte_that_no_token_has_is_refused_in_a_name",
        needs: Features::ROUTES,
        run: bytes_in_names,
    },
    Case {
        name: "head_byte_by_byte",
        needs: Features::ROUTES,
        run: byte_by_byte,
    },
    Case {
        name: "body_of_exactly_the_length_then_next_request",
        needs: Features::ROUTES,
        run: exact_body,
    },
    Case {
        name: "partial_head_then_fin",
        needs: Features::ROUTES,
        run: partial_head_then_fin,
    },
];

const H: &str = "Host: test\r\n";

/// What follows a request that must end the connection; its reply would give a mistake away.
const SMUGGLED: &str = "GET /echo/smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

/// Sends `request` and something to smuggle behind it; tells the only reply there may be.
pub fn refuse(target: &Target, request: &[u8]) -> Outcome<Reply> {
    let mut client = target.connect()?;
    client.send([request, SMUGGLED.as_bytes()].concat())?;
    let reply = client.reply(Asked::Get)?;
    ensure!(
        reply.head.close,
        "the error reply ({}) leaves the connection open",
        reply.status()
    );
    client.expect_fin()?;
    Ok(reply)
}

fn refused(target: &Target, table: &[(&str, &[u16])]) -> Outcome {
    for (request, statuses) in table {
        let what = show(request.as_bytes());
        let reply = refuse(target, request.as_bytes()).during(&what)?;
        ensure!(
            statuses.contains(&reply.status()),
            "{what}: expected {statuses:?}, got {}",
            reply.status()
        );
    }
    target.is_alive()
}

const REQUEST_LINES: &[(&str, &[u16])] = &[
    ("GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (" GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET\t/hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello  HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1 \r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello\r\nHost: a\r\n\r\n", &[400]),
    ("GET\r\nHost: a\r\n\r\n", &[400]),
    ("GET /he llo HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\rHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\r\nHost: a\r\n\r\n", &[400]),
    ("G\u{0}T /hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 501]),
    ("GE(T /hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 501]),
    ("GET /hel\u{0}lo HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hel\u{7f}lo HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET #part HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET http:///hello HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (
        "GET http://user@a/hello HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
    ),
    // This connection is not secured, whoever says so.
    ("GET https://a/hello HTTP/1.1\r\nHost: a\r\n\r\n", &[421]),
    ("CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("BREW * HTTP/1.1\r\nHost: a\r\n\r\n", &[400, 501]),
    ("GET /hello http/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/11.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.10\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTPS/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", &[505]),
    ("GET /hello HTTP/3.1\r\nHost: a\r\n\r\n", &[505]),
    // A major version of 0 was never one that has a head; 400 and 505 both tell.
    ("GET /hello HTTP/0.9\r\nHost: a\r\n\r\n", &[400, 505]),
    (
        "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET ( HTTP/1.1\r\n\r\n",
        &[400],
    ),
];

const FIELD_LINES: &[(&str, &[u16])] = &[
    ("GET /hello HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", &[400]),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n",
        &[400],
    ),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nA: b\r\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\n\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\n\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\n\rX", &[400]),
    ("GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", &[400]),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n",
        &[400],
    ),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n",
        &[400],
    ),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
        &[400],
    ),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc\r\n\r\n",
        &[400],
    ),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nA:\r\n chunked\r\n\r\n",
        &[400],
    ),
    ("GET /hello HTTP/1.1\r\n Host: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\n \r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n", &[400]),
];

const HOSTS: &[(&str, &[u16])] = &[
    ("GET /hello HTTP/1.1\r\nHost: a,b\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: %2e%2e\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
    ("GET http://a/hello HTTP/1.1\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a:x\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a:65536\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: [::1\r\n\r\n", &[400]),
    ("GET /hello HTTP/1.1\r\nHost: a%zz\r\n\r\n", &[400]),
];

const LENGTHS: &[(&str, &[u16])] = &[
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\ncontent-length: 5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5,\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5 \u{b}\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1 5\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
        &[400, 413],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\nhello",
        &[400, 413],
    ),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        &[400],
    ),
];

const CODINGS: &[(&str, &[u16])] = &[
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        &[501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        &[400, 501],
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    // RFC 9112 section 6.1: Transfer-Encoding in an HTTP/1.0 request is faulty framing.
    (
        "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        &[400, 501],
    ),
];

/// Each is answered with this status, and the connection serves another request after it.
fn accepted_heads(target: &Target) -> Outcome {
    let table: &[(&str, u16)] = &[
        ("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /hello?a=b&c=/../x HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /hello? HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET http://a/hello HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (
            "GET HTTP://other.example:80/hello?x HTTP/1.1\r\nHost: a\r\n\r\n",
            200,
        ),
        ("GET /hello HTTP/1.1\r\nhOsT:a\r\n\r\n", 200),
        ("GET /hello HTTP/1.1\r\nHost: \t a \t \r\n\r\n", 200),
        ("GET /hello HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),
        (
            "GET /hello HTTP/1.1\r\nHost: a.example.\r\nX: \u{e4}\u{f6} obs-text\r\n\r\n",
            200,
        ),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nEmpty:\r\nTab: a\tb\r\n\r\n",
            200,
        ),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~9: x\r\n\r\n",
            200,
        ),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nConnection: y\r\n\r\n",
            200,
        ),
        // RFC 9112 section 2.3: a later minor version is processed as 1.1.
        ("GET /hello HTTP/1.9\r\nHost: a\r\n\r\n", 200),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            200,
        ),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            200,
        ),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            200,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            200,
        ),
        ("POST /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000000000005\r\n\r\nhello",
            200,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
            200,
        ),
        ("GET /nothing/here HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ];
    for (request, status) in table {
        let mut client = target.connect()?;
        let what = show(request.as_bytes());
        let reply = client
            .exchange(Asked::Get, request)
            .and_then(|reply| reply.expect(*status))
            .during(&what)?;
        ensure!(
            !reply.head.close,
            "{what}: the connection was closed without need"
        );
        client
            .exchange(Asked::Get, super::get("/hello"))
            .and_then(|reply| reply.expect(200))
            .during(&what)?;
    }
    Ok(())
}

fn control_bytes_in_values(target: &Target) -> Outcome {
    for byte in (0u8..=0x1f).chain([0x7f]).filter(|&byte| byte != b'\t') {
        let mut request = format!("GET /hello HTTP/1.1\r\n{H}X: a").into_bytes();
        request.push(byte);
        request.extend_from_slice(b"b\r\n\r\n");
        let reply = refuse(target, &request).during(format!("byte {byte:#04x}"))?;
        ensure!(
            reply.status() == 400,
            "byte {byte:#04x} in a value was answered with {}",
            reply.status()
        );
    }
    Ok(())
}

fn bytes_in_names(target: &Target) -> Outcome {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for byte in (0u8..=255).filter(|&byte| !token(byte) && byte != b':') {
        let mut request = format!("GET /hello HTTP/1.1\r\n{H}X").into_bytes();
        request.push(byte);
        request.extend_from_slice(b"Y: b\r\n\r\n");
        let reply = refuse(target, &request).during(format!("byte {byte:#04x}"))?;
        ensure!(
            reply.status() == 400,
            "byte {byte:#04x} in a name was answered with {}",
            reply.status()
        );
    }
    Ok(())
}

fn byte_by_byte(target: &Target) -> Outcome {
    let filler: String = (0..20)
        .map(|n| format!("X-Filler-{n}: {}\r\n", "v".repeat(60)))
        .collect();
    let mut client = target.connect()?;
    for word in ["one", "two"] {
        let request = format!("GET /echo/{word} HTTP/1.1\r\n{H}{filler}\r\n");
        client.send_pieces(request, 1, Duration::ZERO)?;
        client
            .reply(Asked::Get)?
            .expect_body(200, format!("{word}\n").as_bytes())?;
    }
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world";
    client.send_pieces(request, 1, Duration::from_millis(1))?;
    client.reply(Asked::Get)?.expect_body(200, b"hello world")?;
    Ok(())
}

fn exact_body(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    // The body looks like a request; only its length says that it is none.
    let body = super::get("/echo/wrong");
    let mut bytes = super::with_body("POST", "/echo", body.as_bytes());
    bytes.extend_from_slice(super::get("/echo/right").as_bytes());
    client.send(bytes)?;
    client
        .reply(Asked::Get)?
        .expect_body(200, body.as_bytes())?;
    client.reply(Asked::Get)?.expect_body(200, b"right\n")?;
    client.expect_silence(Duration::from_millis(100))
}

/// RFC 9112 leaves it open whether a head that FIN cuts off is answered: 400, or a silent close.
fn partial_head_then_fin(target: &Target) -> Outcome {
    for cut in [
        "",
        "G",
        "GET /hello",
        "GET /hello HTTP/1.1\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\n",
        "\r\n",
    ] {
        let mut client = target.connect()?;
        client.send(cut)?;
        client.half_close()?;
        if let Ok(bytes) = client.raw(1)
            && !bytes.is_empty()
        {
            let mut again = target.connect()?;
            again.send(cut)?;
            again.half_close()?;
            again
                .reply(Asked::Get)?
                .expect(400)
                .during(show(cut.as_bytes()))?;
            again.expect_fin()?;
        } else {
            client.expect_fin().during(show(cut.as_bytes()))?;
        }
    }
    Ok(())
}
