//! Many clients at once, each of whose replies names its request: nothing may mix.

use super::{Case, get, settle, upload_receipt, with_body, with_chunks};
use crate::client::Client;
use crate::failure::{During, Failure, Outcome};
use crate::pattern::{self, Random};
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "64_clients_with_mixed_requests",
        needs: Features::ROUTES,
        run: |target| crowd(target, 64, 40),
    },
    Case {
        name: "300_clients_with_few_requests_each",
        needs: Features::ROUTES,
        run: |target| crowd(target, 300, 4),
    },
    Case {
        name: "more_large_bodies_at_once_than_buffers",
        needs: Features::ROUTES,
        run: waiting_bodies,
    },
];

/// Runs `work` in `count` threads and collects their failures.
pub fn in_threads(count: usize, work: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                (
                    n,
                    scope.spawn({
                        let work = &work;
                        move || work(n)
                    }),
                )
            })
            .collect();
        let mut outcome = Ok(());
        for (n, thread) in threads {
            let ended = thread
                .join()
                .map_err(|_| Failure::new("panicked"))
                .and_then(|result| result);
            outcome = outcome.and(ended.during(format!("client {n}")));
        }
        outcome
    })
}

fn crowd(target: &Target, clients: usize, rounds: usize) -> Outcome {
    settle(target)?;
    // Each makes a new connection before it leaves the old one, and the server may be slow to see it go.
    in_threads(target.clients(clients, 3), |n| {
        let mut random = Random::new(1000 + n as u64);
        let mut client = target.connect()?;
        client.set_patience(Duration::from_secs(30) + target.delay());
        for round in 0..target.load(rounds) {
            if random.below(10) == 0 {
                client = target.connect()?;
                client.set_patience(Duration::from_secs(30) + target.delay());
            }
            request(target, &mut client, &mut random, n, round).during(format!("round {round}"))?;
        }
        Ok(())
    })?;
    target.is_alive()
}

/// One request of a random kind, its reply checked to be this client's.
fn request(
    target: &Target,
    client: &mut Client,
    random: &mut Random,
    n: usize,
    round: usize,
) -> Outcome {
    let word = format!("client{n}round{round}");
    let has = |feature| target.features.contains(feature);
    let collects = target.limit("collect_bytes").unwrap_or(1024).min(4096);
    let body = {
        let length = word.len() + random.below(collects - word.len());
        let mut body = word.clone().into_bytes();
        body.resize(length, b'a' + (n % 26) as u8);
        body
    };
    let seed = (n * 7 + round) as u64 % pattern::PERIOD;
    let size = *random.pick(&[0, 1, 500, 8192, 30_000, 200_000, target.load(1_500_000)]);
    match random.below(9) {
        0 => drop(
            client
                .exchange(Asked::Get, with_body("POST", "/echo", &body))?
                .expect_body(200, &body)?,
        ),
        1 => drop(
            client
                .exchange(Asked::Get, with_chunks("POST", "/echo", &body, 99))?
                .expect_body(200, &body)?,
        ),
        2 if has(Features::STREAM) => {
            let path = format!("/stream/{size}/{seed}");
            client
                .exchange(Asked::Get, get(&path))?
                .expect_body(200, &pattern::bytes(size, seed))?;
        }
        3 if has(Features::STREAM) => {
            let path = format!("/sized/{size}/{seed}");
            client
                .exchange(Asked::Get, get(&path))?
                .expect_body(200, &pattern::bytes(size, seed))?;
        }
        4 if has(Features::UPLOAD) => {
            let body = pattern::bytes(size, seed);
            let reply = client.exchange(Asked::Get, with_body("PUT", "/upload", &body))?;
            reply.expect_body(200, upload_receipt(&body).as_bytes())?;
        }
        5 if has(Features::DEFERRED) => {
            let path = format!("/deferred/{}/{word}", random.below(30));
            client
                .exchange(Asked::Get, get(&path))?
                .expect_body(200, format!("{word}\n").as_bytes())?;
        }
        6 if has(Features::SITE) => {
            let (from, to) = (random.below(30_000), 30_000 + random.below(40_000));
            let fields =
                format!("GET /pattern.bin HTTP/1.1\r\nHost: a\r\nRange: bytes={from}-{to}\r\n\r\n");
            let mut expected = vec![0; to + 1 - from];
            pattern::fill(&mut expected, from as u64, crate::site_fixture::PATTERN.1);
            client
                .exchange(Asked::Get, fields)?
                .expect_body(206, &expected)?;
        }
        _ => {
            let count = 1 + random.below(20);
            client.send(
                (0..count)
                    .map(|k| get(&format!("/echo/{word}k{k}")))
                    .collect::<String>(),
            )?;
            for k in 0..count {
                client
                    .reply(Asked::Get)?
                    .expect_body(200, format!("{word}k{k}\n").as_bytes())?;
            }
        }
    }
    Ok(())
}

/// Bodies half sent, so that each holds a buffer or waits for one; then all end. Those that hold one
/// have to end first, or the others would wait for ever; where there are enough, any order will do.
fn waiting_bodies(target: &Target) -> Outcome {
    let most = target.clients(200, 1);
    half_sent_bodies(target, most, |clients| clients)?;
    // The last buffer is not kept by a connection, but serves requests that are answered at once.
    let kept = target
        .limit("buffers")
        .map_or(usize::MAX, |buffers| buffers.saturating_sub(1).max(1));
    half_sent_bodies(target, most.min(kept), |mut clients| {
        clients.reverse();
        clients
    })
    .during("the last first")
}

fn half_sent_bodies(
    target: &Target,
    count: usize,
    order: impl Fn(Vec<(Client, u64)>) -> Vec<(Client, u64)>,
) -> Outcome {
    const HELD_BACK: usize = 10;
    // The shortest time without progress after which a server may give a buffer to others: a quarter of the default.
    const STALL: Duration = Duration::from_millis(500);
    settle(target)?;
    let length = target.limit("collect_bytes").unwrap_or(1024).min(4096);
    let request = |n| with_body("POST", "/echo", &pattern::bytes(length, n));
    let begin = Instant::now();
    let mut clients = Vec::new();
    for n in 0..count as u64 {
        let request = request(n);
        let mut client = target.connect()?;
        client.send(&request[..request.len() - HELD_BACK])?;
        clients.push((client, n));
    }
    for (client, n) in &mut order(clients) {
        let request = request(*n);
        let is_late = begin.elapsed() >= STALL;
        let sent = client.send(&request[request.len() - HELD_BACK..]);
        let reply = sent.and_then(|()| client.reply(Asked::Get));
        // On a slow machine a body may have made no progress for so long that its buffer went to those that wait.
        if is_late && reply.as_ref().map_or(true, |reply| reply.status() == 503) {
            continue;
        }
        reply?
            .expect_body(200, &pattern::bytes(length, *n))
            .during(format!("body {n}"))?;
    }
    Ok(())
}
