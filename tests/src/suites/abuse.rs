//! Random bytes and broken requests from many connections; afterwards all is as before.
//!
//! The numbers are seeded: a failure repeats.

use super::{Case, settle};
use crate::client::Client;
use crate::ensure;
use crate::failure::{During, Outcome, show};
use crate::pattern::Random;
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "random_bytes",
        needs: Features::ROUTES,
        run: |target| abuse(target, 1, random_bytes),
    },
    Case {
        name: "mutated_requests",
        needs: Features::ROUTES,
        run: |target| abuse(target, 2, mutated),
    },
    Case {
        name: "requests_cut_and_glued",
        needs: Features::ROUTES,
        run: |target| abuse(target, 3, glued),
    },
    Case {
        name: "greetings_of_other_protocols",
        needs: Features::ROUTES,
        run: other_protocols,
    },
];

/// Connections open at the same time, and how often each place is used again.
const CONNECTIONS: usize = 200;
const ROUNDS: usize = 5;

const SEEDS: &[&str] = &[
    "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /echo/word HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
    "HEAD /hello HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\nT: v\r\n\r\n",
    "PUT /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "GET /plain.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-4,-5\r\nIf-Range: \"x\"\r\n\r\n",
    "GET /dir/%2e%2e/plain.txt?q=%00 HTTP/1.0\r\nIf-None-Match: \"a\", W/\"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5, *;q=0\r\n\r\n",
    "GET /deferred/5/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /stream/10000 HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /led/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
];

fn random_bytes(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(3000);
    (0..length).map(|_| random.bits() as u8).collect()
}

fn mutated(random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(SEEDS).as_bytes().to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] = random.bits() as u8,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *random.pick(b"\0\r\n\t :;,=%/\"0aZ\x7f\xff")),
            3 => bytes[at] ^= 1 << random.below(8),
            4 => bytes.truncate(at + 1),
            _ => {
                let piece = bytes[at..(at + 1 + random.below(20)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}

fn glued(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..2 + random.below(6) {
        let seed = random.pick(SEEDS).as_bytes();
        let (from, to) = (random.below(seed.len()), random.below(seed.len()));
        bytes.extend_from_slice(if random.below(2) == 0 {
            seed
        } else {
            &seed[from.min(to)..]
        });
    }
    bytes
}

/// Sends what `make` makes over many connections, each ended in some way; then looks for traces.
fn abuse(target: &Target, seed: u64, make: fn(&mut Random) -> Vec<u8>) -> Outcome {
    settle(target)?;
    let mut random = Random::new(seed);
    for _ in 0..target.load(ROUNDS) {
        let mut clients: Vec<(Client, Vec<u8>)> = Vec::new();
        for _ in 0..target.clients(CONNECTIONS, 1) {
            clients.push((target.connect()?, make(&mut random)));
        }
        // In pieces, in turns over all connections.
        while !clients.is_empty() {
            let at = random.below(clients.len());
            let (client, bytes) = &mut clients[at];
            let piece = (1 + random.below(500)).min(bytes.len());
            let sent = client.send_some(&bytes[..piece]);
            bytes.drain(..piece);
            if bytes.is_empty() || sent < piece {
                let (client, _) = clients.swap_remove(at);
                end(client, &mut random)?;
            }
        }
        target.is_alive()?;
    }
    no_traces(target)
}

fn end(mut client: Client, random: &mut Random) -> Outcome {
    match random.below(4) {
        0 => client.reset(),
        1 => {
            // Gone already, perhaps; then there is nothing to end.
            let _ = client.half_close();
            Ok(())
        }
        2 => {
            client.set_patience(Duration::from_millis(2));
            let _ = client.raw(10_000);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// All connections of the clients that are gone are closed, and all their memory is given back.
fn no_traces(target: &Target) -> Outcome {
    target.is_alive()?;
    if !target.features.contains(Features::COUNTERS) {
        return Ok(());
    }
    // The asking connection itself is open, and holds a buffer.
    let patience = Duration::from_secs(8) + target.delay();
    let deadline = Instant::now() + patience;
    loop {
        let now = target.counters()?;
        let value = |name: &str| now.get(name).copied().unwrap_or(0);
        let (open, leases) = (
            value("connections_open"),
            value("leases_taken").wrapping_sub(value("leases_returned")),
        );
        if open <= 1 && leases <= 1 {
            ensure!(
                value("close_failures") == 0,
                "{} sockets could not be closed",
                value("close_failures")
            );
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{patience:?} later {open} connections are open and {leases} buffers are taken"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn other_protocols(target: &Target) -> Outcome {
    let greetings: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"EHLO mail.example\r\n",
        b"GET /hello\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"<policy-file-request/>\x00",
    ];
    for greeting in greetings {
        let mut client = target.connect()?;
        client.send(greeting)?;
        // Some greetings are the beginning of a head for all the server can see.
        client.half_close()?;
        let first = client.raw(5).during(show(greeting))?;
        ensure!(
            first.is_empty() || first == b"HTTP/",
            "{} was answered with {}",
            show(greeting),
            show(&first)
        );
        client.drain().during(show(greeting))?;
    }
    // The preface of HTTP/2 is a well-formed head of a version that is not ours.
    let mut client = target.connect()?;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    let reply = client.reply(Asked::Get)?;
    ensure!(
        [400, 505].contains(&reply.status()),
        "HTTP/2 was answered with {}",
        reply.status()
    );
    client.expect_fin()?;
    no_traces(target)
}
