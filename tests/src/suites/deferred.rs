//! Replies that another thread completes.

use super::{Case, get};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern::Random;
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "completed_after_its_time",
        needs: Features::DEFERRED,
        run: after_its_time,
    },
    Case {
        name: "any_order_over_connections",
        needs: Features::DEFERRED,
        run: any_order,
    },
    Case {
        name: "in_order_within_a_connection",
        needs: Features::DEFERRED.and(Features::ROUTES),
        run: in_order,
    },
    Case {
        name: "at_once",
        needs: Features::DEFERRED,
        run: at_once,
    },
    Case {
        name: "200_at_the_same_time",
        needs: Features::DEFERRED,
        run: many,
    },
    Case {
        name: "others_are_served_meanwhile",
        needs: Features::DEFERRED.and(Features::ROUTES),
        run: others,
    },
    Case {
        name: "client_gone_meanwhile",
        needs: Features::DEFERRED.and(Features::ROUTES),
        run: gone,
    },
    Case {
        name: "late_reply_never_reaches_another_client",
        needs: Features::DEFERRED.and(Features::ROUTES),
        run: reused,
    },
    Case {
        name: "head_request",
        needs: Features::DEFERRED,
        run: head,
    },
    Case {
        name: "with_connection_close",
        needs: Features::DEFERRED,
        run: close,
    },
    Case {
        name: "unread_body_of_a_deferred_request",
        needs: Features::DEFERRED.and(Features::ROUTES),
        run: with_body,
    },
];

fn after_its_time(target: &Target) -> Outcome {
    let start = Instant::now();
    target
        .get("/deferred/300/word")?
        .expect_body(200, b"word\n")?;
    let taken = start.elapsed();
    ensure!(
        (290..2500).contains(&taken.as_millis()),
        "a reply deferred by 300 ms took {taken:?}"
    );
    Ok(())
}

/// Long enough for anything else to be done before, on a machine with much to do.
const LONGEST_MS: u64 = 6_000;

fn any_order(target: &Target) -> Outcome {
    let mut waiting = Vec::new();
    for delay in [LONGEST_MS, 200, 400] {
        let mut client = target.connect()?;
        client.send(get(&format!("/deferred/{delay}/d{delay}")))?;
        waiting.push((delay, client));
    }
    waiting.sort_by_key(|(delay, _)| *delay);
    let start = Instant::now();
    for (delay, mut client) in waiting {
        client
            .reply(Asked::Get)?
            .expect_body(200, format!("d{delay}\n").as_bytes())?;
        // The shortest must not have waited for the longest, which came first.
        ensure!(
            delay == LONGEST_MS || start.elapsed() < Duration::from_millis(LONGEST_MS - 100),
            "{delay} ms took {:?}",
            start.elapsed()
        );
    }
    Ok(())
}

fn in_order(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(
        get("/deferred/200/a")
            + &get("/deferred/1/b")
            + &get("/hello")
            + &get("/deferred/50/c")
            + &get("/echo/d"),
    )?;
    for expected in ["a\n", "b\n", "hello\n", "c\n", "d\n"] {
        client
            .reply(Asked::Get)?
            .expect_body(200, expected.as_bytes())?;
    }
    client.expect_silence(Duration::from_millis(50))
}

/// Completed before the handler has even returned, or nearly.
fn at_once(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for n in 0..300 {
        client.send(get(&format!("/deferred/0/n{n}")))?;
        client
            .reply(Asked::Get)?
            .expect_body(200, format!("n{n}\n").as_bytes())?;
    }
    client.send(
        (0..100)
            .map(|n| get(&format!("/deferred/0/n{n}")))
            .collect::<String>(),
    )?;
    for n in 0..100 {
        client
            .reply(Asked::Get)?
            .expect_body(200, format!("n{n}\n").as_bytes())?;
    }
    Ok(())
}

fn many(target: &Target) -> Outcome {
    let mut random = Random::new(5);
    let mut clients = Vec::new();
    for n in 0..target.share(200) {
        let mut client = target.connect()?;
        client.send(get(&format!("/deferred/{}/n{n}", 50 + random.below(200))))?;
        clients.push(client);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client
            .reply(Asked::Get)
            .during(format!("client {n}"))?
            .expect_body(200, format!("n{n}\n").as_bytes())?;
    }
    Ok(())
}

fn others(target: &Target) -> Outcome {
    let mut waiting = (0..target.share(20))
        .map(|_| target.connect())
        .collect::<Outcome<Vec<_>>>()?;
    for client in &mut waiting {
        client.send(get(&format!("/deferred/{LONGEST_MS}/slow")))?;
    }
    let (start, wanted, mut served) = (Instant::now(), target.load(50), 0);
    while served < wanted {
        target.get("/hello")?.expect(200)?;
        if start.elapsed() > Duration::from_millis(LONGEST_MS - 100) {
            break;
        }
        served += 1;
    }
    // A server that waited would have served none; one with much to do besides serves a part.
    ensure!(
        served * 5 >= wanted,
        "beside deferred replies {served} of {wanted} came in time"
    );
    for client in &mut waiting {
        client.reply(Asked::Get)?.expect_body(200, b"slow\n")?;
    }
    Ok(())
}

fn gone(target: &Target) -> Outcome {
    for n in 0..target.share(40) {
        let mut client = target.connect()?;
        client.send(get("/deferred/100/gone"))?;
        std::thread::sleep(Duration::from_millis(2));
        if n % 2 == 0 {
            client.reset()?
        } else {
            drop(client)
        }
    }
    std::thread::sleep(Duration::from_millis(250));
    target.is_alive()
}

/// The slot of a client that left is used again before its reply is completed.
fn reused(target: &Target) -> Outcome {
    for round in 0..20 {
        let mut first = target.connect()?;
        first.send(get("/deferred/60/stale"))?;
        std::thread::sleep(Duration::from_millis(10));
        first.reset()?;
        let mut others = (0..8)
            .map(|_| target.connect())
            .collect::<Outcome<Vec<_>>>()?;
        for (n, client) in others.iter_mut().enumerate() {
            client.send(get(&format!("/deferred/90/fresh{n}")))?;
        }
        for (n, client) in others.iter_mut().enumerate() {
            let reply = client.reply(Asked::Get)?;
            reply
                .expect_body(200, format!("fresh{n}\n").as_bytes())
                .during(format!("round {round}"))?;
        }
    }
    Ok(())
}

fn head(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let reply = client
        .exchange(
            Asked::Head,
            get("/deferred/20/word").replacen("GET", "HEAD", 1),
        )?
        .expect_body(200, b"")?;
    ensure!(
        reply.field("Content-Length") == Some("5"),
        "HEAD tells {:?}",
        reply.field("Content-Length")
    );
    client
        .exchange(Asked::Get, get("/deferred/1/next"))?
        .expect_body(200, b"next\n")?;
    Ok(())
}

fn close(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(
        "GET /deferred/50/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned()
            + &get("/echo/never"),
    )?;
    let reply = client.reply(Asked::Get)?.expect_body(200, b"last\n")?;
    ensure!(reply.head.close, "close was not told back");
    client.expect_fin()
}

fn with_body(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let mut bytes = super::with_body("GET", "/deferred/50/word", b"a body that no handler reads");
    bytes.extend_from_slice(get("/echo/next").as_bytes());
    client.send(bytes)?;
    client.reply(Asked::Get)?.expect_body(200, b"word\n")?;
    client.reply(Asked::Get)?.expect_body(200, b"next\n")?;
    Ok(())
}
