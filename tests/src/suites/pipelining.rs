//! Several requests in one go: answered all, in order, and not one after the last.

use super::{Case, get, upload_receipt, with_body, with_chunks};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern::{self, Random};
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "two_to_a_hundred_requests",
        needs: Features::ROUTES,
        run: two_to_a_hundred,
    },
    Case {
        name: "with_bodies_of_both_framings",
        needs: Features::ROUTES,
        run: with_bodies,
    },
    Case {
        name: "invalid_one_in_the_middle",
        needs: Features::ROUTES,
        run: invalid_in_the_middle,
    },
    Case {
        name: "closing_one_in_the_middle",
        needs: Features::ROUTES,
        run: closing_in_the_middle,
    },
    Case {
        name: "handler_that_closes_in_the_middle",
        needs: Features::ROUTES,
        run: handler_closes,
    },
    Case {
        name: "head_requests_between_others",
        needs: Features::ROUTES,
        run: heads_between,
    },
    Case {
        name: "split_at_every_byte",
        needs: Features::ROUTES,
        run: split_everywhere,
    },
    Case {
        name: "random_splits",
        needs: Features::ROUTES,
        run: random_splits,
    },
    Case {
        name: "behind_an_upload",
        needs: Features::UPLOAD.and(Features::ROUTES),
        run: behind_an_upload,
    },
    Case {
        name: "behind_long_streams",
        needs: Features::STREAM.and(Features::ROUTES),
        run: behind_streams,
    },
    Case {
        name: "files_and_errors",
        needs: Features::SITE,
        run: files_and_errors,
    },
    Case {
        name: "more_requests_than_buffers_hold",
        needs: Features::ROUTES,
        run: more_than_buffers,
    },
];

fn two_to_a_hundred(target: &Target) -> Outcome {
    for count in (2..20).chain([32, 50, 64, 65, 99, 100]) {
        let mut client = target.connect()?;
        for round in 0..2 {
            client.send(
                (0..count)
                    .map(|n| get(&format!("/echo/r{round}n{n}")))
                    .collect::<String>(),
            )?;
            for n in 0..count {
                let reply = client.reply(Asked::Get).during(format!("{n} of {count}"))?;
                reply.expect_body(200, format!("r{round}n{n}\n").as_bytes())?;
            }
        }
        client.expect_silence(Duration::from_millis(1))?;
    }
    Ok(())
}

fn with_bodies(target: &Target) -> Outcome {
    for count in [2, 10, 100] {
        let mut client = target.connect()?;
        let body = |n: usize| format!("body {n} {}", "x".repeat(n * 7 % 300)).into_bytes();
        let mut bytes = Vec::new();
        for n in 0..count {
            bytes.extend(match n % 3 {
                0 => with_body("POST", "/echo", &body(n)),
                1 => with_chunks("POST", "/echo", &body(n), 1 + n % 50),
                _ => with_body("PUT", "/led/1", &body(n)),
            });
        }
        client.send(bytes)?;
        for n in 0..count {
            let reply = client.reply(Asked::Get).during(format!("{n} of {count}"))?;
            if n % 3 == 2 {
                reply.expect_body(204, b"")?
            } else {
                reply.expect_body(200, &body(n))?
            };
        }
    }
    Ok(())
}

fn invalid_in_the_middle(target: &Target) -> Outcome {
    for before in [0, 1, 15, 99] {
        let mut client = target.connect()?;
        let valid: String = (0..before).map(|n| get(&format!("/echo/n{n}"))).collect();
        client.send(
            valid + "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n" + &get("/echo/never").repeat(20),
        )?;
        for n in 0..before {
            client
                .reply(Asked::Get)?
                .expect_body(200, format!("n{n}\n").as_bytes())?;
        }
        let reply = client.reply(Asked::Get)?.expect(400)?;
        ensure!(reply.head.close, "400 without Connection: close");
        client.expect_fin()?;
    }
    Ok(())
}

fn closing_in_the_middle(target: &Target) -> Outcome {
    for before in [0, 1, 49] {
        let mut client = target.connect()?;
        let closing = "GET /echo/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        client.send(get("/hello").repeat(before) + closing + &get("/echo/never").repeat(50))?;
        for _ in 0..before {
            client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
        }
        client.reply(Asked::Get)?.expect_body(200, b"last\n")?;
        client.expect_fin()?;
    }
    Ok(())
}

fn handler_closes(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/hello") + &get("/close") + &get("/echo/never"))?;
    client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
    let reply = client.reply(Asked::Get)?.expect_body(200, b"closing\n")?;
    ensure!(
        reply.head.close,
        "the handler closed, the reply does not say so"
    );
    client.expect_fin()
}

fn heads_between(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let head = get("/hello").replacen("GET", "HEAD", 1);
    client.send((head + &get("/hello")).repeat(20))?;
    for _ in 0..20 {
        let reply = client.reply(Asked::Head)?.expect_body(200, b"")?;
        ensure!(
            reply.field("Content-Length") == Some("6"),
            "HEAD tells {:?}",
            reply.field("Content-Length")
        );
        client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
    }
    Ok(())
}

fn split_everywhere(target: &Target) -> Outcome {
    let mut bytes = with_chunks("POST", "/echo", b"first", 2);
    bytes.extend_from_slice(&with_body("POST", "/echo", b"second"));
    bytes.extend_from_slice(get("/echo/third").as_bytes());
    let mut client = target.connect()?;
    for cut in 1..bytes.len() {
        client.send(&bytes[..cut])?;
        // A moment, so that most of the cuts reach the server as two reads.
        std::thread::sleep(Duration::from_micros(300));
        client.send(&bytes[cut..])?;
        for expected in [&b"first"[..], b"second", b"third\n"] {
            client
                .reply(Asked::Get)
                .and_then(|reply| reply.expect_body(200, expected))
                .during(format!("cut at {cut}"))?;
        }
    }
    Ok(())
}

fn random_splits(target: &Target) -> Outcome {
    let mut random = Random::new(11);
    let mut client = target.connect()?;
    for round in 0..50 {
        let words: Vec<_> = (0..30).map(|n| format!("w{round}x{n}")).collect();
        let bytes: String = words
            .iter()
            .map(|word| get(&format!("/echo/{word}")))
            .collect();
        let mut rest = bytes.as_bytes();
        while !rest.is_empty() {
            let piece = (1 + random.below(200)).min(rest.len());
            client.send(&rest[..piece])?;
            rest = &rest[piece..];
        }
        for word in &words {
            client
                .reply(Asked::Get)?
                .expect_body(200, format!("{word}\n").as_bytes())?;
        }
    }
    Ok(())
}

fn behind_an_upload(target: &Target) -> Outcome {
    let body = pattern::bytes(300_000, 5);
    for request in [
        with_body("PUT", "/upload", &body),
        with_chunks("POST", "/upload", &body, 5000),
    ] {
        let mut client = target.connect()?;
        let mut bytes = get("/echo/before").into_bytes();
        bytes.extend_from_slice(&request);
        bytes.extend_from_slice(get("/echo/after").as_bytes());
        client.send(bytes)?;
        client.reply(Asked::Get)?.expect_body(200, b"before\n")?;
        client
            .reply(Asked::Get)?
            .expect_body(200, upload_receipt(&body).as_bytes())?;
        client.reply(Asked::Get)?.expect_body(200, b"after\n")?;
    }
    Ok(())
}

fn behind_streams(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let sizes = [0, 1, 100_000, 3_000_000, 8192];
    client.send(
        sizes
            .map(|size| get(&format!("/stream/{size}/9")) + &get("/hello"))
            .concat(),
    )?;
    for size in sizes {
        client
            .reply(Asked::Get)?
            .expect_body(200, &pattern::bytes(size, 9))?;
        client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
    }
    Ok(())
}

fn files_and_errors(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let range = "GET /plain.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-4\r\n\r\n";
    let one =
        get("/pattern.bin") + &get("/missing") + range + &get("/empty.txt") + &get("/plain.txt");
    client.send(one.repeat(10))?;
    for _ in 0..10 {
        client
            .reply(Asked::Get)?
            .expect_body(200, &pattern::bytes(70_000, 7))?;
        client.reply(Asked::Get)?.expect(404)?;
        client.reply(Asked::Get)?.expect_body(206, b"01234")?;
        client.reply(Asked::Get)?.expect_body(200, b"")?;
        client
            .reply(Asked::Get)?
            .expect_body(200, crate::site_fixture::PLAIN)?;
    }
    Ok(())
}

/// Requests are sent without reading until the server stops taking them; then all replies are
/// read. None is lost, whatever had to wait where.
fn more_than_buffers(target: &Target) -> Outcome {
    const COUNT: usize = 40_000;
    let mut client = target.connect()?;
    client.set_patience(Duration::from_secs(30));
    let mut sender = client.sender()?;
    let writer = std::thread::spawn(move || {
        use std::io::Write as _;
        let bytes: String = (0..COUNT).map(|n| get(&format!("/echo/n{n}"))).collect();
        sender.write_all(bytes.as_bytes())
    });
    std::thread::sleep(Duration::from_millis(200));
    for n in 0..COUNT {
        client
            .reply(Asked::Get)
            .during(format!("reply {n}"))?
            .expect_body(200, format!("n{n}\n").as_bytes())?;
    }
    writer
        .join()
        .map_err(|_| crate::failure::Failure::new("the sender panicked"))??;
    Ok(())
}
