//! Chunked request bodies (RFC 9112 section 7.1): decoded to the byte, or refused.

use super::Case;
use super::framing::refuse;
use crate::ensure;
use crate::failure::{During, Outcome, show};
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "accepted_chunked_bodies",
        needs: Features::ROUTES,
        run: accepted_chunks,
    },
    Case {
        name: "refused_chunked_bodies",
        needs: Features::ROUTES,
        run: refused_chunks,
    },
    Case {
        name: "refused_chunks_in_a_streamed_body",
        needs: Features::UPLOAD,
        run: refused_chunks_streamed,
    },
];

const CHUNKED: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn accepted_chunks(target: &Target) -> Outcome {
    let table: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("00000005\r\nhello\r\n000\r\n\r\n", "hello"),
        ("5;name\r\nhello\r\n0;last=1\r\n\r\n", "hello"),
        (
            "5;name=value;other=\"quoted; \\\" text\"\r\nhello\r\n0\r\n\r\n",
            "hello",
        ),
        (
            "5\r\nhello\r\n0\r\nTrailer-One: a\r\nTwo: b\r\n\r\n",
            "hello",
        ),
        (
            "5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: b\r\nConnection: close\r\n\r\n",
            "hello",
        ),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("7\r\n0\r\n\r\nab\r\n0\r\n\r\n", "0\r\n\r\nab"),
    ];
    for (body, decoded) in table {
        let mut client = target.connect()?;
        let what = show(body.as_bytes());
        for size in [usize::MAX, 1] {
            // The same connection: what one body leaves behind would be the next request.
            client.send_pieces(format!("{CHUNKED}{body}"), size.min(4096), Duration::ZERO)?;
            let reply = client.reply(Asked::Get).during(&what)?;
            reply.expect_body(200, decoded.as_bytes()).during(&what)?;
        }
        client
            .exchange(Asked::Get, super::get("/echo/next"))
            .and_then(|reply| reply.expect_body(200, b"next\n"))
            .during(&what)?;
    }
    Ok(())
}

/// Bodies whose chunks are malformed. A request with such a body must not be answered as if it
/// were complete, and nothing behind it may be taken for a request.
const BAD_CHUNKS: &[&str] = &[
    "\r\nhello\r\n0\r\n\r\n",
    "g\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "4\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\r\n folded\r\n\r\n",
    "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    "5\r\nhello\r\n0\r\nA: b\n\r\n",
    "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "10000000000000000\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "5;a=\"\u{1}\"\r\nhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5 hello\r\nhello\r\n0\r\n\r\n",
];

fn refused_chunks(target: &Target) -> Outcome {
    for body in BAD_CHUNKS {
        let what = show(body.as_bytes());
        let reply = refuse(target, format!("{CHUNKED}{body}").as_bytes()).during(&what)?;
        ensure!(
            [400, 413].contains(&reply.status()),
            "{what} was answered with {}",
            reply.status()
        );
    }
    Ok(())
}

fn refused_chunks_streamed(target: &Target) -> Outcome {
    for body in BAD_CHUNKS {
        let what = show(body.as_bytes());
        let request = format!("{}{body}", CHUNKED.replace("/echo", "/upload"));
        let reply = refuse(target, request.as_bytes()).during(&what)?;
        ensure!(
            [400, 413].contains(&reply.status()),
            "{what} was answered with {}",
            reply.status()
        );
    }
    Ok(())
}
