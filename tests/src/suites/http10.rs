//! HTTP/1.0 clients: one request by default, keep-alive when asked for, never a coding they lack.

use super::Case;
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::{Asked, Framing};
use crate::target::{Features, Target};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "closes_by_default",
        needs: Features::ROUTES,
        run: closes,
    },
    Case {
        name: "host_is_not_needed",
        needs: Features::ROUTES,
        run: no_host,
    },
    Case {
        name: "keep_alive_when_asked_for",
        needs: Features::ROUTES,
        run: keep_alive,
    },
    Case {
        name: "close_beats_keep_alive",
        needs: Features::ROUTES,
        run: close_beats,
    },
    Case {
        name: "nothing_after_the_closing_one",
        needs: Features::ROUTES,
        run: nothing_after,
    },
    Case {
        name: "stream_ends_with_the_connection",
        needs: Features::STREAM,
        run: stream,
    },
    Case {
        name: "sized_stream_keeps_alive",
        needs: Features::STREAM,
        run: sized,
    },
    Case {
        name: "head",
        needs: Features::ROUTES,
        run: head,
    },
    Case {
        name: "body_with_length",
        needs: Features::ROUTES,
        run: body,
    },
    Case {
        name: "files",
        needs: Features::SITE,
        run: files,
    },
    Case {
        name: "errors",
        needs: Features::ROUTES,
        run: errors,
    },
];

const KEEP: &str = "Connection: keep-alive\r\n";

fn closes(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let reply = client
        .exchange(Asked::Get10, "GET /hello HTTP/1.0\r\nHost: a\r\n\r\n")?
        .expect_body(200, b"hello\n")?;
    ensure!(
        reply.head.close,
        "an HTTP/1.0 connection stays open unasked"
    );
    Ok(())
}

fn no_host(target: &Target) -> Outcome {
    target
        .connect()?
        .exchange(Asked::Get10, "GET /hello HTTP/1.0\r\n\r\n")?
        .expect_body(200, b"hello\n")?;
    Ok(())
}

fn keep_alive(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for value in ["keep-alive", "Keep-Alive", "x, KEEP-ALIVE"] {
        let request = format!("GET /hello HTTP/1.0\r\nConnection: {value}\r\n\r\n");
        let reply = client
            .exchange(Asked::Get10, request)?
            .expect_body(200, b"hello\n")?;
        ensure!(!reply.head.close, "{value} was asked for and not told back");
    }
    client
        .exchange(Asked::Get10, "GET /hello HTTP/1.0\r\n\r\n")?
        .expect_body(200, b"hello\n")?;
    Ok(())
}

fn close_beats(target: &Target) -> Outcome {
    let request = "GET /hello HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n";
    let reply = target.connect()?.exchange(Asked::Get10, request)?;
    ensure!(reply.head.close, "close was asked for");
    Ok(())
}

fn nothing_after(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send("GET /echo/one HTTP/1.0\r\n\r\n".repeat(3))?;
    client.reply(Asked::Get10)?.expect_body(200, b"one\n")?;
    client.expect_fin()
}

fn stream(target: &Target) -> Outcome {
    for keep in ["", KEEP] {
        for length in [0, 100, 2_000_000] {
            let mut client = target.connect()?;
            client.send(format!("GET /stream/{length}/2 HTTP/1.0\r\n{keep}\r\n"))?;
            let reply = client
                .reply(Asked::Get10)?
                .expect_body(200, &pattern::bytes(length, 2))?;
            ensure!(
                reply.head.framing == Framing::UntilClose,
                "framed as {:?}",
                reply.head.framing
            );
            client.expect_fin()?;
        }
    }
    Ok(())
}

fn sized(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for _ in 0..2 {
        let reply = client.exchange(
            Asked::Get10,
            format!("GET /sized/300000/2 HTTP/1.0\r\n{KEEP}\r\n"),
        )?;
        let reply = reply.expect_body(200, &pattern::bytes(300_000, 2))?;
        ensure!(!reply.head.close, "a reply with a length closes");
    }
    Ok(())
}

fn head(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let reply = client
        .exchange(Asked::Head10, format!("HEAD /hello HTTP/1.0\r\n{KEEP}\r\n"))?
        .expect_body(200, b"")?;
    ensure!(
        reply.field("Content-Length") == Some("6"),
        "HEAD tells {:?}",
        reply.field("Content-Length")
    );
    client
        .exchange(Asked::Get10, "GET /hello HTTP/1.0\r\n\r\n")?
        .expect_body(200, b"hello\n")?;
    Ok(())
}

fn body(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for _ in 0..2 {
        let request = format!("POST /echo HTTP/1.0\r\n{KEEP}Content-Length: 5\r\n\r\nhello");
        client
            .exchange(Asked::Get10, request)?
            .expect_body(200, b"hello")?;
    }
    Ok(())
}

fn files(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for (path, status) in [
        ("/plain.txt", 200),
        ("/", 200),
        ("/dir", 301),
        ("/missing", 404),
    ] {
        client
            .exchange(Asked::Get10, format!("GET {path} HTTP/1.0\r\n{KEEP}\r\n"))?
            .expect(status)
            .during(path)?;
    }
    Ok(())
}

fn errors(target: &Target) -> Outcome {
    for (request, status) in [
        ("GET /missing HTTP/1.0\r\n\r\n", 404),
        ("DELETE /hello HTTP/1.0\r\n\r\n", 405),
        ("GET /hello HTTP/1.0\r\nA : b\r\n\r\n", 400),
        ("GET /hello HTTP/1.0\r\nA\r\n\r\n", 400),
    ] {
        target
            .connect()?
            .exchange(Asked::Get10, request)?
            .expect(status)
            .during(request)?;
    }
    Ok(())
}
