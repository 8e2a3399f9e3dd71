//! Slow clients in each phase: cut off when their time is over, not before, and never in the way
//! of others. The server under test has short timeouts and tells them.

use super::{Case, get};
use crate::client::Client;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::Asked;
use crate::target::{Features, Target};
use crate::{ensure, fail};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "silent_newcomer_is_closed_silently",
        needs: NEEDS,
        run: first_byte,
    },
    Case {
        name: "head_that_stalls_gets_408",
        needs: NEEDS,
        run: head_stalls,
    },
    Case {
        name: "head_that_drips_gets_408_in_time",
        needs: NEEDS,
        run: head_drips,
    },
    Case {
        name: "slow_head_within_its_time_is_served",
        needs: NEEDS,
        run: head_slow_but_in_time,
    },
    Case {
        name: "collected_body_that_stalls_gets_408",
        needs: NEEDS,
        run: collected_stalls,
    },
    Case {
        name: "streamed_body_that_stalls_gets_408",
        needs: NEEDS.and(Features::UPLOAD),
        run: upload_stalls,
    },
    Case {
        name: "unread_body_that_stalls_ends",
        needs: NEEDS,
        run: unread_stalls,
    },
    Case {
        name: "body_that_moves_is_not_cut_off",
        needs: NEEDS.and(Features::UPLOAD),
        run: upload_moves,
    },
    Case {
        name: "handler_that_takes_too_long_gets_503",
        needs: NEEDS.and(Features::DEFERRED),
        run: handler_late,
    },
    Case {
        name: "client_that_does_not_read_is_cut_off",
        needs: NEEDS.and(Features::STREAM),
        run: does_not_read,
    },
    Case {
        name: "client_that_does_not_read_a_file_is_cut_off",
        needs: NEEDS.and(Features::LIVE),
        run: does_not_read_file,
    },
    Case {
        name: "client_that_reads_slowly_gets_all",
        needs: NEEDS.and(Features::STREAM),
        run: reads_slowly,
    },
    Case {
        name: "idle_connection_is_closed_silently",
        needs: NEEDS,
        run: idle,
    },
    Case {
        name: "idle_time_counts_from_the_last_reply",
        needs: NEEDS,
        run: idle_counts_anew,
    },
    Case {
        name: "second_head_that_stalls_gets_408",
        needs: NEEDS,
        run: second_head_stalls,
    },
    Case {
        name: "empty_lines_do_not_keep_alive",
        needs: NEEDS,
        run: empty_lines,
    },
    Case {
        name: "sender_without_end_is_cut_off_while_lingering",
        needs: NEEDS,
        run: linger_is_bounded,
    },
    Case {
        name: "slow_clients_do_not_delay_others",
        needs: NEEDS.and(Features::STREAM),
        run: others_are_served,
    },
];

const NEEDS: Features = Features::ROUTES.and(Features::TIMEOUTS);

/// By how much a deadline may be late: the resolution of the timer, and a machine that is busy otherwise. Exact
/// deadlines are tested in `core`, where time is simulated.
const SLACK: Duration = Duration::from_secs(10);

/// What a deadline may seem early by: its clock starts when the server, not the client, acts.
const EARLY: Duration = Duration::from_millis(30);

fn in_time(what: &str, taken: Duration, timeout: Duration) -> Outcome {
    ensure!(
        taken + EARLY >= timeout,
        "{what} came after {taken:?}, before the timeout of {timeout:?}"
    );
    ensure!(
        taken <= timeout + SLACK,
        "{what} came after {taken:?}, the timeout is {timeout:?}"
    );
    Ok(())
}

/// Waits for a 408 and the end of the connection.
fn expect_408(client: &mut Client, since: Instant, timeout: Duration) -> Outcome {
    client.reply(Asked::Get)?.expect(408)?;
    in_time("408", since.elapsed(), timeout)?;
    client.expect_fin()
}

fn first_byte(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let start = Instant::now();
    client.expect_fin()?;
    in_time("the end", start.elapsed(), target.timeout("first_byte")?)
}

fn head_stalls(target: &Target) -> Outcome {
    for part in [
        "G",
        "GET /hello HTTP/1.1\r",
        "GET /hello HTTP/1.1\r\nHost: a\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        let mut client = target.connect()?;
        client.send(part)?;
        expect_408(&mut client, Instant::now(), target.timeout("head")?).during(part)?;
    }
    Ok(())
}

/// The time of a head runs from its first byte, however many follow.
fn head_drips(target: &Target) -> Outcome {
    let timeout = target.timeout("head")?;
    let mut client = target.connect()?;
    let start = Instant::now();
    client.send("GET /hello HTTP/1.1\r\nX: ")?;
    let mut sender = client.sender()?;
    let dripper = std::thread::spawn(move || {
        use std::io::Write as _;
        // Ends when the server has closed, or too late for it.
        while start.elapsed() < timeout * 3 + SLACK && sender.write_all(b"v").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let outcome = client.reply(Asked::Get).and_then(|reply| reply.expect(408));
    let taken = start.elapsed();
    let _ = dripper.join();
    outcome?;
    in_time("408", taken, timeout)
}

fn head_slow_but_in_time(target: &Target) -> Outcome {
    let timeout = target.timeout("head")?;
    let mut client = target.connect()?;
    let request = get("/hello");
    let pause = timeout / 2 / request.len() as u32;
    client.send_pieces(&request, 1, pause)?;
    client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
    Ok(())
}

fn collected_stalls(target: &Target) -> Outcome {
    let timeout = target.timeout("body")?;
    for body in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let mut client = target.connect()?;
        client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\n{body}"))?;
        expect_408(&mut client, Instant::now(), timeout).during(body)?;
    }
    Ok(())
}

fn upload_stalls(target: &Target) -> Outcome {
    let timeout = target.timeout("body")?;
    for body in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let mut client = target.connect()?;
        client.send(format!("PUT /upload HTTP/1.1\r\nHost: a\r\n{body}"))?;
        expect_408(&mut client, Instant::now(), timeout).during(body)?;
    }
    Ok(())
}

/// The reply is there already; no second one may follow.
fn unread_stalls(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send("PUT /led/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")?;
    client.reply(Asked::Get)?.expect_body(204, b"")?;
    let start = Instant::now();
    client.end()?;
    let longest = target
        .timeout("body")?
        .max(target.timeout("linger")?)
        .max(target.timeout("idle")?);
    ensure!(
        start.elapsed() <= longest + SLACK,
        "an unread body kept the connection for {:?}",
        start.elapsed()
    );
    Ok(())
}

fn upload_moves(target: &Target) -> Outcome {
    let timeout = target.timeout("body")?;
    let mut client = target.connect()?;
    let body = pattern::bytes(12, 0);
    client.send("PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")?;
    client.send_pieces(&body, 1, timeout / 4)?;
    client
        .reply(Asked::Get)?
        .expect_body(200, super::upload_receipt(&body).as_bytes())?;
    Ok(())
}

fn handler_late(target: &Target) -> Outcome {
    let timeout = target.timeout("handler")?;
    // Late by any clock: a guest that is not given enough of the processor loses ticks, in which the
    // server counts, while its application sleeps by the time of day.
    let late = timeout * 2 + Duration::from_millis(700);
    let mut client = target.connect()?;
    let start = Instant::now();
    client.send(get(&format!("/deferred/{}/late", late.as_millis())))?;
    let reply = client.reply(Asked::Get)?.expect(503)?;
    in_time("503", start.elapsed(), timeout)?;
    if reply.head.close {
        client.expect_fin()?;
    } else {
        // The late completion must not answer the next request.
        let next = late.saturating_sub(start.elapsed()) + Duration::from_millis(50);
        let next = next.min(target.timeout("idle")? / 2);
        std::thread::sleep(next);
        client
            .exchange(Asked::Get, get("/echo/next"))?
            .expect_body(200, b"next\n")?;
    }
    std::thread::sleep(late.saturating_sub(start.elapsed()) + Duration::from_millis(100));
    target.is_alive()
}

fn cut_off(target: &Target, path: &str, length: u64) -> Outcome {
    let timeout = target.timeout("write")?;
    let mut client = target.connect_narrow(4096)?;
    client.send(get(path))?;
    // The system's buffers grow by themselves once or twice, which looks like a client that reads.
    let pause = timeout * 3 + SLACK;
    std::thread::sleep(pause);
    let (_, count) = client
        .drain()
        .during("a client that did not read is still waited for")?;
    ensure!(
        count < length,
        "all {length} bytes arrived although nobody read for {pause:?}"
    );
    target.is_alive()
}

fn does_not_read(target: &Target) -> Outcome {
    cut_off(target, "/stream/64000000", 64_000_000)
}

fn does_not_read_file(target: &Target) -> Outcome {
    cut_off(target, "/big.bin", crate::site_fixture::BIG.0)
}

/// A client that takes its time, but takes something all the time, is not cut off.
fn reads_slowly(target: &Target) -> Outcome {
    let length: usize = 24 << 20;
    let mut client = target.connect()?;
    client.set_patience(Duration::from_secs(30));
    client.send(get(&format!("/stream/{length}/5")))?;
    let (mut at, mut paused) = (0u64, 0u64);
    client.reply_to(Asked::Get, &mut |piece| {
        let wrong = pattern::first_difference(piece, at, 5);
        ensure!(wrong.is_none(), "the content differs at {wrong:?}");
        at += piece.len() as u64;
        while paused < at >> 20 {
            std::thread::sleep(Duration::from_millis(100));
            paused += 1;
        }
        Ok(())
    })?;
    ensure!(at == length as u64, "{at} of {length} bytes");
    Ok(())
}

fn idle(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/hello"))?;
    client.reply(Asked::Get)?.expect(200)?;
    let start = Instant::now();
    client.expect_fin()?;
    in_time("the end", start.elapsed(), target.timeout("idle")?)
}

fn idle_counts_anew(target: &Target) -> Outcome {
    let timeout = target.timeout("idle")?;
    let mut client = target.connect()?;
    for n in 0..4 {
        client
            .exchange(Asked::Get, get("/hello"))?
            .expect(200)
            .during(format!("request {n}"))?;
        std::thread::sleep(timeout / 2);
    }
    client.exchange(Asked::Get, get("/hello"))?.expect(200)?;
    let start = Instant::now();
    client.expect_fin()?;
    in_time("the end", start.elapsed(), timeout)
}

fn second_head_stalls(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/hello") + "GET /hel")?;
    client.reply(Asked::Get)?.expect(200)?;
    expect_408(&mut client, Instant::now(), target.timeout("head")?)
}

/// Empty lines before a request are skipped; they are no way to hold a connection for ever.
fn empty_lines(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    let start = Instant::now();
    let longest =
        target.timeout("first_byte")? + target.timeout("head")? + target.timeout("idle")? + SLACK;
    loop {
        if client.send_some(b"\r\n") == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
        ensure!(
            start.elapsed() < longest,
            "empty lines kept a connection open for {longest:?}"
        );
    }
}

/// After an error reply the server reads on for a while, so that the reply arrives; not for ever.
fn linger_is_bounded(target: &Target) -> Outcome {
    let longest = target.timeout("linger")? + SLACK;
    let mut client = target.connect()?;
    client.send("GET /hello HTTP/1.1\r\nHost : a\r\n\r\n")?;
    client.reply(Asked::Get)?.expect(400)?;
    client.expect_fin()?;
    let start = Instant::now();
    loop {
        // Sending works until the server has closed its side wholly; then the system refuses.
        if client.send_some(&[b'x'; 1000]) < 1000 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
        ensure!(
            start.elapsed() < longest,
            "the server still lingers after {longest:?}"
        );
    }
}

/// A client that has sent a whole request and, in the same packet, the beginning of another. That its first request
/// was answered shows that the server has both, so that the deadline of the second one's phase is running. A
/// connection whose first byte came too late, as on a busy machine, is closed before: another one is made then.
fn stalled(target: &Target, beginning: &str) -> Outcome<Client> {
    const ATTEMPTS: usize = 10;
    for _ in 0..ATTEMPTS {
        let mut client = target.connect_narrow(4096)?;
        client.send_some(format!("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n{beginning}").as_bytes());
        if !client.receives() {
            continue;
        }
        client.reply(Asked::Get)?.expect(200)?;
        return Ok(client);
    }
    fail!("{ATTEMPTS} connections were closed before their first request was read")
}

fn others_are_served(target: &Target) -> Outcome {
    let mut slow = Vec::new();
    for n in 0..48 {
        slow.push(match n % 3 {
            0 => stalled(target, "GET /hello HTT")?,
            1 => stalled(
                target,
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
            )?,
            _ => {
                let mut client = target.connect_narrow(4096)?;
                client.send_some(b"GET /stream/64000000 HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            }
        });
    }
    let mut worst = Duration::ZERO;
    for _ in 0..100 {
        let start = Instant::now();
        target.get("/hello")?.expect(200)?;
        worst = worst.max(start.elapsed());
    }
    ensure!(
        worst < SLACK + target.delay(),
        "48 slow clients made another wait {worst:?}"
    );
    // Those that stopped within a request are let go of when their time is over.
    for mut client in slow
        .into_iter()
        .enumerate()
        .filter(|(n, _)| n % 3 < 2)
        .map(|(_, client)| client)
    {
        client.reply(Asked::Get)?.expect(408)?;
        client.expect_fin()?;
    }
    Ok(())
}
