//! Ends of connections: half-closed clients get their replies, and replies arrive before FIN, not
//! instead of a reset.

use super::{Case, get, with_body};
use crate::client::End;
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "half_closed_client_gets_its_reply",
        needs: Features::ROUTES,
        run: half_closed,
    },
    Case {
        name: "half_closed_client_gets_all_pipelined_replies",
        needs: Features::ROUTES,
        run: half_closed_pipeline,
    },
    Case {
        name: "half_closed_client_gets_a_deferred_reply",
        needs: Features::DEFERRED,
        run: half_closed_deferred,
    },
    Case {
        name: "half_closed_client_gets_a_long_stream",
        needs: Features::STREAM,
        run: half_closed_stream,
    },
    Case {
        name: "half_closed_client_gets_a_file",
        needs: Features::SITE,
        run: half_closed_file,
    },
    Case {
        name: "half_closed_upload_is_complete",
        needs: Features::UPLOAD,
        run: half_closed_upload,
    },
    Case {
        name: "body_cut_by_fin_is_not_complete",
        needs: Features::ROUTES,
        run: cut_body,
    },
    Case {
        name: "upload_cut_by_fin_is_not_complete",
        needs: Features::UPLOAD,
        run: cut_upload,
    },
    Case {
        name: "refusal_arrives_with_an_unread_upload",
        needs: Features::ROUTES,
        run: refusal_with_upload,
    },
    Case {
        name: "refusal_arrives_with_garbage_behind",
        needs: Features::ROUTES,
        run: refusal_with_garbage,
    },
    Case {
        name: "refusal_arrives_at_a_client_that_reads_late",
        needs: Features::ROUTES,
        run: refusal_read_late,
    },
    Case {
        name: "last_reply_arrives_with_more_requests_behind",
        needs: Features::ROUTES,
        run: last_with_more,
    },
    Case {
        name: "last_long_reply_arrives_with_more_behind",
        needs: Features::STREAM,
        run: long_last_with_more,
    },
    Case {
        name: "client_that_goes_away_costs_nobody_else",
        needs: Features::ROUTES,
        run: goes_away,
    },
    Case {
        name: "connect_and_close_at_once",
        needs: Features::ROUTES,
        run: connect_and_close,
    },
];

fn half_closed(target: &Target) -> Outcome {
    for request in [
        get("/hello"),
        get("/hello").replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1),
    ] {
        let mut client = target.connect()?;
        client.send(request)?;
        client.half_close()?;
        client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
        client.expect_fin()?;
    }
    // FIN some time after the request, and some time after the reply.
    let mut client = target.connect()?;
    client.exchange(Asked::Get, get("/hello"))?.expect(200)?;
    client.half_close()?;
    let start = Instant::now();
    client.expect_fin()?;
    ensure!(
        start.elapsed() < Duration::from_secs(10) + target.delay(),
        "an idle connection ended {:?} after its client",
        start.elapsed()
    );
    Ok(())
}

fn half_closed_pipeline(target: &Target) -> Outcome {
    for count in [2, 10, 100] {
        let mut client = target.connect()?;
        client.send(
            (0..count)
                .map(|n| get(&format!("/echo/n{n}")))
                .collect::<String>(),
        )?;
        client.half_close()?;
        for n in 0..count {
            client
                .reply(Asked::Get)?
                .expect_body(200, format!("n{n}\n").as_bytes())?;
        }
        client.expect_fin()?;
    }
    Ok(())
}

fn half_closed_deferred(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/deferred/200/word") + &get("/deferred/10/second"))?;
    client.half_close()?;
    client.reply(Asked::Get)?.expect_body(200, b"word\n")?;
    client.reply(Asked::Get)?.expect_body(200, b"second\n")?;
    client.expect_fin()
}

fn half_closed_stream(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/stream/5000000/8"))?;
    client.half_close()?;
    client
        .reply(Asked::Get)?
        .expect_body(200, &pattern::bytes(5_000_000, 8))?;
    client.expect_fin()
}

fn half_closed_file(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/pattern.bin").repeat(20))?;
    client.half_close()?;
    for _ in 0..20 {
        client
            .reply(Asked::Get)?
            .expect_body(200, &pattern::bytes(70_000, 7))?;
    }
    client.expect_fin()
}

fn half_closed_upload(target: &Target) -> Outcome {
    let body = pattern::bytes(1_000_000, 1);
    let mut client = target.connect()?;
    client.send(with_body("PUT", "/upload", &body))?;
    client.half_close()?;
    client
        .reply(Asked::Get)?
        .expect_body(200, super::upload_receipt(&body).as_bytes())?;
    client.expect_fin()
}

/// RFC 9112 section 8: the server may answer 400 or only close; it must not take the body as whole.
fn cut(target: &Target, path: &str) -> Outcome {
    for body in [
        "Content-Length: 10\r\n\r\nhello",
        "Content-Length: 10\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut client = target.connect()?;
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}"))?;
        client.half_close()?;
        let first = client.raw(1)?;
        if !first.is_empty() {
            let mut client = target.connect()?;
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{body}"))?;
            client.half_close()?;
            client.reply(Asked::Get)?.expect(400).during(body)?;
            client.end()?;
        }
    }
    target.is_alive()
}

fn cut_body(target: &Target) -> Outcome {
    cut(target, "/echo")
}

fn cut_upload(target: &Target) -> Outcome {
    cut(target, "/upload")
}

/// 405 for a large body: all of it is sent before the reply is read.
fn refusal_with_upload(target: &Target) -> Outcome {
    let body = pattern::bytes(4 << 20, 0);
    for round in 0..3 {
        let mut client = target.connect()?;
        client.send_some(&with_body("POST", "/led/1", &body));
        client
            .reply(Asked::Get)
            .during(format!("round {round}"))?
            .expect(405)?;
        client.half_close()?;
        ensure!(client.end()? == End::Fin, "the connection was reset");
    }
    target.is_alive()
}

fn refusal_with_garbage(target: &Target) -> Outcome {
    let mut bytes = b"GET /hello HTTP/1.1\r\nHost : a\r\n\r\n".to_vec();
    bytes.resize(1 << 20, b'g');
    for _ in 0..3 {
        let mut client = target.connect()?;
        client.send_some(&bytes);
        client.reply(Asked::Get)?.expect(400)?;
        client.expect_fin()?;
    }
    Ok(())
}

/// A reset that overtakes the reply would destroy it before this client looks.
fn refusal_read_late(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send("GET /hello HTTP/1.1\r\nHost : a\r\n\r\n")?;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(20));
        client.send("more that the server must not answer with a reset\r\n")?;
    }
    client.reply(Asked::Get)?.expect(400)?;
    client.expect_fin()
}

const LAST: &str = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn last_with_more(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send_some((LAST.to_owned() + &get("/echo/never").repeat(5000)).as_bytes());
    client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
    client.expect_fin()
}

fn long_last_with_more(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let last = LAST.replacen("/hello", "/stream/3000000/4", 1);
    client.send_some((last + &get("/echo/never").repeat(5000)).as_bytes());
    client
        .reply(Asked::Get)?
        .expect_body(200, &pattern::bytes(3_000_000, 4))?;
    client.expect_fin()
}

fn goes_away(target: &Target) -> Outcome {
    let long = if target.features.contains(Features::STREAM) {
        "/stream/50000000"
    } else {
        "/hello"
    };
    for n in 0..target.share(60) {
        let mut client = target.connect()?;
        match n % 6 {
            0 => client.send("GET /hel")?,
            1 => client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")?,
            2 => {
                client.send(get(long))?;
                client.raw(10_000)?;
            }
            3 => client.send(get(long))?,
            4 => client.send(get("/hello").repeat(100))?,
            _ => {
                client.exchange(Asked::Get, get("/hello"))?.expect(200)?;
            }
        }
        if n % 2 == 0 {
            client.reset()?
        } else {
            drop(client)
        }
    }
    target.is_alive()
}

fn connect_and_close(target: &Target) -> Outcome {
    for n in 0..target.load(200) {
        let client = target.connect()?;
        if n % 2 == 0 {
            client.reset()?
        } else {
            drop(client)
        }
    }
    target.is_alive()
}
