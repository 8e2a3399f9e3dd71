//! `Expect: 100-continue` (RFC 9110 section 10.1.1).

use super::{Case, get, upload_receipt};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "client_that_waits_gets_100",
        needs: Features::ROUTES,
        run: waits,
    },
    Case {
        name: "upload_that_waits_gets_100",
        needs: Features::UPLOAD,
        run: upload_waits,
    },
    Case {
        name: "no_100_when_the_body_came_along",
        needs: Features::ROUTES,
        run: body_came_along,
    },
    Case {
        name: "no_100_without_a_body",
        needs: Features::ROUTES,
        run: no_body,
    },
    Case {
        name: "no_100_for_http10",
        needs: Features::ROUTES,
        run: http10,
    },
    Case {
        name: "no_100_before_a_refusal",
        needs: Features::ROUTES,
        run: refusal,
    },
    Case {
        name: "body_that_nobody_reads",
        needs: Features::ROUTES,
        run: unread,
    },
    Case {
        name: "other_expectations_get_417",
        needs: Features::ROUTES,
        run: other,
    },
    Case {
        name: "100_comes_behind_earlier_replies",
        needs: Features::ROUTES,
        run: pipelined,
    },
];

fn head(method: &str, path: &str, framing: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n")
}

/// Reads the interim reply; nothing else may come before the body is sent.
fn expect_100(target: &Target, client: &mut crate::client::Client) -> Outcome {
    let head = client.head(Asked::Get, Instant::now() + target.patience())?;
    ensure!(head.status == 100, "expected 100, got {}", head.status);
    client.expect_silence(Duration::from_millis(50))
}

fn waits(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for (framing, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        client.send(head("POST", "/echo", framing))?;
        expect_100(target, &mut client).during(framing)?;
        client.send(body)?;
        let reply = client.reply(Asked::Get)?.expect_body(200, b"hello")?;
        ensure!(reply.interim.is_empty(), "a second 100");
    }
    client.send(head("POST", "/echo", "Content-Length: 5").replacen(
        "100-continue",
        "100-Continue",
        1,
    ))?;
    expect_100(target, &mut client).during("in another case")?;
    client.send("hello")?;
    client.reply(Asked::Get)?.expect_body(200, b"hello")?;
    Ok(())
}

fn upload_waits(target: &Target) -> Outcome {
    let body = pattern::bytes(2_000_000, 1);
    let mut client = target.connect()?;
    client.send(head("PUT", "/upload", "Content-Length: 2000000"))?;
    expect_100(target, &mut client)?;
    client.send(&body)?;
    client
        .reply(Asked::Get)?
        .expect_body(200, upload_receipt(&body).as_bytes())?;
    client.exchange(Asked::Get, get("/upload"))?.expect(405)?;
    Ok(())
}

fn body_came_along(target: &Target) -> Outcome {
    for body in ["hello", "h"] {
        let mut client = target.connect()?;
        client.send(head("POST", "/echo", "Content-Length: 5") + body)?;
        if body.len() < 5 {
            std::thread::sleep(Duration::from_millis(50));
            client.send(&"hello"[body.len()..])?;
        }
        let reply = client.reply(Asked::Get)?.expect_body(200, b"hello")?;
        ensure!(
            reply.interim.is_empty() || body.len() < 5,
            "100 although the body was there"
        );
    }
    Ok(())
}

fn no_body(target: &Target) -> Outcome {
    for framing in ["Content-Length: 0", "X: y"] {
        let reply = target
            .connect()?
            .exchange(Asked::Get, head("POST", "/echo", framing))?
            .expect_body(200, b"")?;
        ensure!(reply.interim.is_empty(), "100 although no body follows");
    }
    let reply = target
        .connect()?
        .exchange(Asked::Get, head("GET", "/hello", "X: y"))?
        .expect_body(200, b"hello\n")?;
    ensure!(reply.interim.is_empty(), "100 for a GET");
    Ok(())
}

fn http10(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send("POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")?;
    client.expect_silence(Duration::from_millis(100))?;
    client.send("hello")?;
    client.reply(Asked::Get10)?.expect_body(200, b"hello")?;
    Ok(())
}

/// The server answers at once, without having asked for the body. What the client does then is
/// its choice: it may send the body or not, so the connection has to close, or to cope with both.
fn refusal(target: &Target) -> Outcome {
    for (method, path, status) in [("POST", "/hello", 405), ("POST", "/missing", 404)] {
        let mut client = target.connect()?;
        client.send(head(method, path, "Content-Length: 5"))?;
        let reply = client.reply(Asked::Get).during(path)?;
        let missing_or_refused =
            reply.status() == status || (status == 404 && reply.status() == 405);
        ensure!(
            missing_or_refused,
            "{path}: expected {status}, got {}",
            reply.status()
        );
        ensure!(reply.interim.is_empty(), "100 before {status}");
        if reply.head.close {
            client.half_close()?;
            client.expect_fin()?;
        } else {
            client.send("hello")?;
            client
                .exchange(Asked::Get, get("/hello"))?
                .expect_body(200, b"hello\n")?;
        }
    }
    Ok(())
}

fn unread(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(head("PUT", "/led/1", "Content-Length: 5"))?;
    let reply = client.reply(Asked::Get)?.expect_body(204, b"")?;
    if reply.head.close {
        client.half_close()?;
        return client.expect_fin();
    }
    client.send("hello")?;
    client
        .exchange(Asked::Get, get("/hello"))?
        .expect_body(200, b"hello\n")?;
    Ok(())
}

fn other(target: &Target) -> Outcome {
    for value in [
        "200-ok",
        "100-continue, other",
        "nonsense",
        "100-continue=x",
    ] {
        let mut client = target.connect()?;
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\n"
        ))?;
        let reply = client.reply(Asked::Get)?.expect(417).during(value)?;
        ensure!(reply.interim.is_empty(), "100 before 417");
    }
    Ok(())
}

fn pipelined(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/echo/first") + &head("POST", "/echo", "Content-Length: 5"))?;
    let reply = client.reply(Asked::Get)?.expect_body(200, b"first\n")?;
    ensure!(
        reply.interim.is_empty(),
        "100 before the reply to the request in front"
    );
    expect_100(target, &mut client)?;
    client.send("hello".to_owned() + &get("/echo/last"))?;
    client.reply(Asked::Get)?.expect_body(200, b"hello")?;
    client.reply(Asked::Get)?.expect_body(200, b"last\n")?;
    Ok(())
}
