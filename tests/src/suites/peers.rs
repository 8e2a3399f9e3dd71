//! The mistakes of other servers that a client can see, each a case.

use super::{Case, get, with_body, with_chunks};
use crate::client::End;
use crate::failure::{During, Outcome};
use crate::reply::Asked;
use crate::target::{Features, Target};
use crate::{ensure, fail};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "end_of_connection_arrives_after_close",
        needs: Features::ROUTES,
        run: end_arrives,
    },
    Case {
        name: "chunked_body_is_not_the_next_request",
        needs: Features::ROUTES,
        run: chunked_body_is_consumed,
    },
    Case {
        name: "unread_chunked_body_is_not_the_next_request",
        needs: Features::ROUTES,
        run: unread_chunked_body,
    },
    Case {
        name: "post_does_not_swallow_the_next_request",
        needs: Features::ROUTES,
        run: post_then_get,
    },
    Case {
        name: "nothing_is_processed_after_connection_close",
        needs: Features::ROUTES,
        run: nothing_after_close,
    },
    Case {
        name: "error_replies_have_the_length_they_tell",
        needs: Features::ROUTES,
        run: error_lengths,
    },
    Case {
        name: "head_errors_have_the_same_fields_without_content",
        needs: Features::ROUTES,
        run: head_errors,
    },
    Case {
        name: "nul_does_not_cut_the_path",
        needs: Features::ROUTES,
        run: nul_in_path,
    },
    Case {
        name: "nul_does_not_cut_a_file_name",
        needs: Features::SITE,
        run: nul_in_file_name,
    },
    Case {
        name: "range_past_the_end_is_clamped",
        needs: Features::SITE,
        run: clamped_range,
    },
    Case {
        name: "unsatisfiable_range_tells_the_length",
        needs: Features::SITE,
        run: unsatisfiable,
    },
    Case {
        name: "directory_without_slash_is_redirected",
        needs: Features::SITE,
        run: directory_redirect,
    },
    Case {
        name: "different_paths_never_share_a_file",
        needs: Features::LIVE,
        run: many_files,
    },
    Case {
        name: "thousands_of_requests_on_one_connection",
        needs: Features::ROUTES,
        run: long_keep_alive,
    },
    Case {
        name: "thousand_connections_one_after_another",
        needs: Features::ROUTES,
        run: many_connections,
    },
    Case {
        name: "unparsable_length_is_not_zero",
        needs: Features::ROUTES,
        run: unparsable_length,
    },
    Case {
        name: "long_head_byte_by_byte_is_not_quadratic",
        needs: Features::ROUTES,
        run: long_head_in_bytes,
    },
];

fn end_arrives(target: &Target) -> Outcome {
    for _ in 0..20 {
        let mut client = target.connect()?;
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let reply = client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
        ensure!(
            reply.head.close,
            "Connection: close was asked for and not told back"
        );
        let start = Instant::now();
        client.expect_fin()?;
        ensure!(
            start.elapsed() < Duration::from_secs(10) + target.delay(),
            "FIN came {:?} after the reply",
            start.elapsed()
        );
    }
    Ok(())
}

fn chunked_body_is_consumed(target: &Target) -> Outcome {
    let body = get("/echo/wrong");
    for size in [1, 7, 4096] {
        let mut client = target.connect()?;
        let mut bytes = with_chunks("POST", "/echo", body.as_bytes(), size);
        bytes.extend_from_slice(get("/echo/right").as_bytes());
        client.send(bytes)?;
        client
            .reply(Asked::Get)?
            .expect_body(200, body.as_bytes())?;
        client.reply(Asked::Get)?.expect_body(200, b"right\n")?;
        client.expect_silence(Duration::from_millis(50))?;
    }
    Ok(())
}

/// The handler of `PUT /led/1` reads no body: the server has to get rid of it.
fn unread_chunked_body(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let mut bytes = with_chunks("PUT", "/led/1", get("/echo/wrong").as_bytes(), 10);
    bytes.extend_from_slice(get("/echo/right").as_bytes());
    client.send(bytes)?;
    client.reply(Asked::Get)?.expect_body(204, b"")?;
    client.reply(Asked::Get)?.expect_body(200, b"right\n")?;
    client.expect_silence(Duration::from_millis(50))
}

fn post_then_get(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let mut bytes = with_body("POST", "/echo", b"first");
    bytes.extend_from_slice(&with_body("PUT", "/led/7", b"unread"));
    bytes.extend_from_slice(get("/echo/second").as_bytes());
    bytes.extend_from_slice(&with_body("POST", "/echo", b"third"));
    client.send(bytes)?;
    client.reply(Asked::Get)?.expect_body(200, b"first")?;
    client.reply(Asked::Get)?.expect_body(204, b"")?;
    client.reply(Asked::Get)?.expect_body(200, b"second\n")?;
    client.reply(Asked::Get)?.expect_body(200, b"third")?;
    Ok(())
}

fn nothing_after_close(target: &Target) -> Outcome {
    for closing in [
        "Connection: close",
        "connection: x, CLOSE",
        "Connection: keep-alive, close",
    ] {
        let mut client = target.connect()?;
        let last = format!("GET /echo/last HTTP/1.1\r\nHost: a\r\n{closing}\r\n\r\n");
        client.send(get("/echo/first") + &last + &get("/echo/never") + &get("/echo/never"))?;
        client.reply(Asked::Get)?.expect_body(200, b"first\n")?;
        let reply = client.reply(Asked::Get)?.expect_body(200, b"last\n")?;
        ensure!(reply.head.close, "{closing} was not told back");
        client.expect_fin().during(closing)?;
    }
    Ok(())
}

/// The strict client finds a wrong length: a second request on the connection would fail.
fn error_lengths(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for (request, status) in [
        (get("/not/there"), 404),
        ("DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        (get("/echo/b%21d"), 400),
        (get("/stream/many"), 400),
    ] {
        if request.contains("/stream") && !target.features.contains(Features::STREAM) {
            continue;
        }
        let reply = client
            .exchange(Asked::Get, &request)?
            .expect(status)
            .during(&request)?;
        ensure!(!reply.body.is_empty(), "{status} has no text for a person");
        if reply.head.close {
            client = target.connect()?;
        }
    }
    client
        .exchange(Asked::Get, get("/hello"))?
        .expect_body(200, b"hello\n")?;
    Ok(())
}

fn head_errors(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for path in ["/not/there", "/hello", "/echo/b%21d"] {
        let plain = client.exchange(Asked::Get, get(path))?;
        let head = client.exchange(Asked::Head, get(path).replacen("GET", "HEAD", 1))?;
        ensure!(
            head.status() == plain.status(),
            "{path}: HEAD {}, GET {}",
            head.status(),
            plain.status()
        );
        for name in ["Content-Length", "Content-Type", "Allow"] {
            ensure!(
                head.field(name) == plain.field(name),
                "{path}: {name} is {:?} for HEAD and {:?} for GET",
                head.field(name),
                plain.field(name)
            );
        }
    }
    Ok(())
}

fn nul_in_path(target: &Target) -> Outcome {
    for path in ["/hello%00", "/hello%00.txt", "/%00", "/echo/a%00b"] {
        target.get(path)?.expect(400).during(path)?;
    }
    Ok(())
}

fn nul_in_file_name(target: &Target) -> Outcome {
    for path in [
        "/plain.txt%00",
        "/plain.txt%00.html",
        "/%00plain.txt",
        "/dir%00/",
    ] {
        target.get(path)?.expect(400).during(path)?;
    }
    Ok(())
}

fn clamped_range(target: &Target) -> Outcome {
    let reply = target
        .ask("GET", "/plain.txt", "Range: bytes=30-99\r\n")?
        .expect_body(206, b"uvwxyz")?;
    let range = reply.field("Content-Range");
    ensure!(
        range == Some("bytes 30-35/36"),
        "Content-Range is {range:?}"
    );
    Ok(())
}

fn unsatisfiable(target: &Target) -> Outcome {
    let reply = target
        .ask("GET", "/plain.txt", "Range: bytes=36-\r\n")?
        .expect(416)?;
    let range = reply.field("Content-Range");
    ensure!(range == Some("bytes */36"), "Content-Range is {range:?}");
    Ok(())
}

fn directory_redirect(target: &Target) -> Outcome {
    let reply = target.get("/dir?a=b&c")?.expect(301)?;
    let location = reply.field("Location").unwrap_or_default();
    ensure!(location.ends_with("dir/?a=b&c"), "Location is {location:?}");
    Ok(())
}

/// More files than a small cache holds, asked for in turns: each has to be itself every time.
fn many_files(target: &Target) -> Outcome {
    const FILES: usize = 3000;
    let Some(site) = &target.site else {
        fail!("no site directory")
    };
    let folder = crate::site_fixture::live_folder(site, "many")?;
    for n in 0..FILES {
        std::fs::write(folder.path.join(format!("{n}.txt")), format!("file {n}\n"))?;
    }
    let mut client = target.connect()?;
    for round in 0..2 {
        for n in (0..FILES).map(|n| n * 7 % FILES) {
            let reply = client.exchange(Asked::Get, get(&format!("{}/{n}.txt", folder.url)))?;
            reply
                .expect_body(200, format!("file {n}\n").as_bytes())
                .during(format!("round {round}"))?;
        }
    }
    Ok(())
}

fn long_keep_alive(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for n in 0..5000 {
        client.send(get(&format!("/echo/n{n}")))?;
        let reply = client.reply(Asked::Get).during(format!("request {n}"))?;
        reply
            .expect_body(200, format!("n{n}\n").as_bytes())
            .during(format!("request {n}"))?;
    }
    Ok(())
}

fn many_connections(target: &Target) -> Outcome {
    for n in 0..1000 {
        let mut client = target.connect()?;
        client.send(format!(
            "GET /echo/n{n} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))?;
        client
            .reply(Asked::Get)?
            .expect_body(200, format!("n{n}\n").as_bytes())?;
        ensure!(
            client.end()? == End::Fin,
            "connection {n} ended with a reset"
        );
    }
    Ok(())
}

fn unparsable_length(target: &Target) -> Outcome {
    for value in ["abc", "", "5x", "1e1", "\u{a0}5"] {
        let mut client = target.connect()?;
        client.send(
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n")
                + &get("/hello"),
        )?;
        client.reply(Asked::Get)?.expect(400).during(value)?;
        client.expect_fin().during(value)?;
    }
    Ok(())
}

/// Work that grows with the square of the head would take 32 times as long for 7 KiB (or what the
/// server takes) as for a fifth of it twice over; the bound is generous, for the exact count is the
/// parser's own test.
fn long_head_in_bytes(target: &Target) -> Outcome {
    let head = |fields: usize| {
        let filler: String = (0..fields)
            .map(|n| format!("X-{n:03}: {}\r\n", "v".repeat(290)))
            .collect();
        format!("GET /hello HTTP/1.1\r\nHost: a\r\n{filler}\r\n")
    };
    let time = |fields: usize| -> Outcome<f64> {
        let bytes = head(fields);
        let mut client = target.connect()?;
        let start = Instant::now();
        client.send_pieces(&bytes, 1, Duration::ZERO)?;
        client.reply(Asked::Get)?.expect(200)?;
        Ok(start.elapsed().as_secs_f64() / bytes.len() as f64)
    };
    // A field line of the filler has 299 bytes.
    let most = target.limit("head_bytes").unwrap_or(8192) / 299;
    let fields = most.saturating_sub(1).clamp(5, 23);
    let (short, long) = (time(fields / 5)?, time(fields)?);
    // Over a network that really is one, a long head's small pieces now and then wait for an
    // acknowledgement that is delayed by a fifth of a second.
    let pauses = target.delay().min(Duration::from_secs(2)).as_secs_f64();
    let pauses = pauses / head(fields).len() as f64;
    ensure!(
        long < 20.0 * short + 20e-6 + pauses,
        "a byte of a long head costs {long:.2e} s, of a short one {short:.2e} s"
    );
    Ok(())
}
