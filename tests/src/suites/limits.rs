//! Every limit: at it the request is served, one past it it is refused, and the server goes on.

use super::{Case, get, upload_receipt, with_body, with_chunks};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "head_at_and_past_its_limit",
        needs: Features::ROUTES.and(Features::HEAD_LIMIT),
        run: head_bytes,
    },
    Case {
        name: "head_at_its_limit_behind_another_request",
        needs: Features::ROUTES.and(Features::HEAD_LIMIT),
        run: head_behind_another,
    },
    Case {
        name: "request_line_at_and_past_its_limit",
        needs: Features::ROUTES.and(Features::HEAD_LIMIT),
        run: request_line,
    },
    Case {
        name: "field_lines_at_and_past_their_limit",
        needs: Features::ROUTES.and(Features::FIELD_LIMIT),
        run: field_lines,
    },
    Case {
        name: "endless_head_is_refused_early",
        needs: Features::ROUTES.and(Features::HEAD_LIMIT),
        run: endless_head,
    },
    Case {
        name: "endless_chunk_extensions_are_refused",
        needs: Features::ROUTES,
        run: endless_extensions,
    },
    Case {
        name: "endless_trailers_are_refused",
        needs: Features::ROUTES,
        run: endless_trailers,
    },
    Case {
        name: "collected_body_at_its_limit_and_too_large",
        needs: Features::ROUTES,
        run: collected,
    },
    Case {
        name: "collected_body_limit_does_not_depend_on_the_head",
        needs: Features::ROUTES.and(Features::HEAD_LIMIT),
        run: collected_behind_heads,
    },
    Case {
        name: "body_at_and_past_its_limit",
        needs: Features::UPLOAD.and(Features::BODY_LIMIT),
        run: body_bytes,
    },
    Case {
        name: "unread_body_at_and_past_the_drain_limit",
        needs: Features::ROUTES.and(Features::DRAIN_LIMIT),
        run: drain_bytes,
    },
    Case {
        name: "requests_per_connection_at_and_past",
        needs: Features::ROUTES.and(Features::REQUEST_LIMIT),
        run: requests,
    },
];

/// A request whose head has exactly `length` bytes.
fn head_of(length: usize, path: &str) -> String {
    let start = format!("GET {path} HTTP/1.1\r\nHost: a\r\n");
    // Several lines, so that no limit on one line is hit.
    let mut filler = String::new();
    let mut left = length - start.len() - 2;
    while left > 0 {
        let line = if left > 1200 { 1000 } else { left };
        filler += &format!("X: {}\r\n", "v".repeat(line - 5));
        left -= line;
    }
    start + &filler + "\r\n"
}

fn refused_with(target: &Target, request: &[u8], statuses: &[u16]) -> Outcome {
    let mut client = target.connect()?;
    client.send_some(request);
    let reply = client.reply(Asked::Get)?;
    ensure!(
        statuses.contains(&reply.status()),
        "expected {statuses:?}, got {}",
        reply.status()
    );
    ensure!(
        reply.head.close,
        "{} without Connection: close",
        reply.status()
    );
    client.expect_fin()?;
    target.is_alive()
}

fn head_bytes(target: &Target) -> Outcome {
    let limit = target.limit("head_bytes")?;
    for length in [limit - 1, limit] {
        let request = head_of(length, "/hello");
        ensure!(
            request.len() == length,
            "the case made {} bytes of {length}",
            request.len()
        );
        for size in [length, 1000] {
            let mut client = target.connect()?;
            client.send_pieces(&request, size, Duration::from_millis(1))?;
            client
                .reply(Asked::Get)?
                .expect_body(200, b"hello\n")
                .during(format!("{length} bytes"))?;
        }
    }
    refused_with(target, head_of(limit + 1, "/hello").as_bytes(), &[431]).during("one past")?;
    refused_with(target, head_of(limit * 4, "/hello").as_bytes(), &[431]).during("four times")
}

fn head_behind_another(target: &Target) -> Outcome {
    let limit = target.limit("head_bytes")?;
    let mut client = target.connect()?;
    client.send(get("/echo/first") + &head_of(limit, "/echo/second") + &get("/echo/third"))?;
    for word in ["first", "second", "third"] {
        client
            .reply(Asked::Get)?
            .expect_body(200, format!("{word}\n").as_bytes())
            .during(word)?;
    }
    client.send(get("/echo/first") + &head_of(limit + 1, "/echo/second"))?;
    client.reply(Asked::Get)?.expect_body(200, b"first\n")?;
    client.reply(Asked::Get)?.expect(431)?;
    client.expect_fin()
}

/// The request line shares the head's limit: the longest that fits comes with the shortest head.
fn request_line(target: &Target) -> Outcome {
    let limit = target.limit("head_bytes")?;
    let around = "GET /hello? HTTP/1.1\r\nHost: a\r\n\r\n".len();
    let line = |query: usize| {
        format!(
            "GET /hello?{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "q".repeat(query)
        )
    };
    target
        .connect()?
        .exchange(Asked::Get, line(limit - around))?
        .expect_body(200, b"hello\n")
        .during("at the limit")?;
    // The line fits, the head does not.
    refused_with(target, line(limit - around + 1).as_bytes(), &[431, 414]).during("one past")?;
    refused_with(target, line(limit + 1).as_bytes(), &[414]).during("the line itself too long")?;
    let behind = format!("\r\n{}", line(limit + 1));
    refused_with(target, behind.as_bytes(), &[414]).during("the same behind an empty line")?;
    let method = "M".repeat(limit + 1) + " / HTTP/1.1\r\n\r\n";
    refused_with(target, method.as_bytes(), &[400, 414, 501]).during("endless method")
}

fn field_lines(target: &Target) -> Outcome {
    let limit = target.limit("fields")?;
    // Host is one of them.
    let head = |count: usize| {
        format!(
            "GET /hello HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    target
        .connect()?
        .exchange(Asked::Get, head(limit))?
        .expect_body(200, b"hello\n")
        .during("at the limit")?;
    refused_with(target, head(limit + 1).as_bytes(), &[431]).during("one past")
}

fn endless_head(target: &Target) -> Outcome {
    let limit = target.limit("head_bytes")?;
    let mut client = target.connect()?;
    client.send("GET /hello HTTP/1.1\r\nHost: a\r\nX: ")?;
    client.send_some(&vec![b'v'; limit * 8]);
    client.reply(Asked::Get)?.expect(431)?;
    client.expect_fin()
}

fn endless_extensions(target: &Target) -> Outcome {
    let mut bytes =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=".to_vec();
    bytes.resize(bytes.len() + 200_000, b'x');
    refused_with(target, &bytes, &[400, 413, 431])
}

fn endless_trailers(target: &Target) -> Outcome {
    let mut bytes =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".to_vec();
    bytes.extend_from_slice("T: value\r\n".repeat(20_000).as_bytes());
    refused_with(target, &bytes, &[400, 413, 431])
}

fn collected(target: &Target) -> Outcome {
    let limit = target.limit("collect_bytes")?;
    for length in [0, 1, limit - 1, limit] {
        let body = pattern::bytes(length, 1);
        let mut client = target.connect()?;
        client
            .exchange(Asked::Get, with_body("POST", "/echo", &body))?
            .expect_body(200, &body)?;
        client
            .exchange(Asked::Get, with_chunks("POST", "/echo", &body, 1000))?
            .expect_body(200, &body)?;
    }
    // Between what is taken for sure and what no buffer holds the server is free.
    let body = pattern::bytes(1 << 18, 1);
    for request in [
        with_body("POST", "/echo", &body),
        with_chunks("POST", "/echo", &body, 1000),
    ] {
        let mut client = target.connect()?;
        client.send_some(&request);
        let reply = client.reply(Asked::Get)?.expect(413)?;
        if reply.head.close {
            client.expect_fin()?
        } else {
            drop(client.exchange(Asked::Get, get("/hello"))?.expect(200)?)
        }
    }
    Ok(())
}

/// 767 bytes have the heads of a browser, and more with a cookie.
fn collected_behind_heads(target: &Target) -> Outcome {
    let limit = target.limit("collect_bytes")?;
    for head in [0, 767, 1024, target.limit("head_bytes")?] {
        for length in [limit, limit + 1] {
            let body = pattern::bytes(length, 1);
            for mut request in [
                with_body("POST", "/echo", &body),
                with_chunks("POST", "/echo", &body, 500),
            ] {
                let line = request.iter().position(|&byte| byte == b'\n').unwrap_or(0) + 1;
                let end = request.windows(4).position(|end| end == b"\r\n\r\n");
                let wanted = head.saturating_sub(end.unwrap_or(0) + 4 + "X: \r\n".len());
                let field = format!("X: {}\r\n", "v".repeat(wanted));
                request.splice(line..line, field.bytes());
                let mut client = target.connect()?;
                client.send_some(&request);
                let reply = client.reply(Asked::Get)?;
                let what = format!("a head of {head} bytes, a body of {length}");
                if length == limit {
                    reply.expect_body(200, &body).during(what)?;
                } else {
                    reply.expect(413).during(what)?;
                }
            }
        }
    }
    Ok(())
}

fn body_bytes(target: &Target) -> Outcome {
    let limit = target.limit("body_bytes")?;
    let body = pattern::bytes(limit, 2);
    let receipt = upload_receipt(&body);
    for request in [
        with_body("PUT", "/upload", &body),
        with_chunks("PUT", "/upload", &body, 60_000),
    ] {
        target
            .connect()?
            .exchange(Asked::Get, request)?
            .expect_body(200, receipt.as_bytes())
            .during("at the limit")?;
    }
    let body = pattern::bytes(limit + 1, 2);
    for request in [
        with_body("PUT", "/upload", &body),
        with_chunks("PUT", "/upload", &body, 60_000),
    ] {
        refused_with(target, &request, &[413]).during("one past")?;
    }
    // The length alone is enough to refuse: the client need not send anything.
    let announced = format!(
        "PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        u64::MAX
    );
    refused_with(target, announced.as_bytes(), &[413])
}

fn drain_bytes(target: &Target) -> Outcome {
    let limit = target.limit("drain_bytes")?;
    let mut client = target.connect()?;
    let mut bytes = with_body("PUT", "/led/1", &vec![b'x'; limit]);
    bytes.extend_from_slice(get("/echo/next").as_bytes());
    client.send(bytes)?;
    client
        .reply(Asked::Get)?
        .expect_body(204, b"")
        .during("at the limit")?;
    client
        .reply(Asked::Get)?
        .expect_body(200, b"next\n")
        .during("after a body at the limit")?;
    drop(client);

    let mut client = target.connect()?;
    client.send_some(&with_body("PUT", "/led/1", &vec![b'x'; limit + 1]));
    let reply = client.reply(Asked::Get)?.expect_body(204, b"")?;
    ensure!(
        reply.head.close,
        "an unread body past the drain limit leaves the connection open"
    );
    client.expect_fin()?;

    // Chunks tell no length beforehand: the reply may promise nothing, but the end has to be gentle.
    let mut client = target.connect()?;
    client.send_some(&with_chunks("PUT", "/led/1", &vec![b'x'; limit * 3], 1000));
    client.reply(Asked::Get)?.expect_body(204, b"")?;
    client
        .expect_fin()
        .during("unread chunks past the drain limit")
}

fn requests(target: &Target) -> Outcome {
    let limit = target.limit("requests_per_connection")?;
    let mut client = target.connect()?;
    for n in 1..=limit {
        client.send(get("/hello"))?;
        let reply = client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
        ensure!(
            reply.head.close == (n == limit),
            "request {n} of {limit}: close is {}",
            reply.head.close
        );
    }
    client.expect_fin()?;
    let mut client = target.connect()?;
    client.send(get("/hello").repeat(limit + 1))?;
    for _ in 0..limit {
        client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
    }
    client.expect_fin()
}
