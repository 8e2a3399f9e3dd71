//! More connections than the server takes: the longest idle makes room, else the newcomer waits.

use super::{Case, get, settle};
use crate::client::Client;
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "connections_at_the_limit_are_all_served",
        needs: Features::ROUTES.and(Features::CONNECTION_LIMIT),
        run: connections_at,
    },
    Case {
        name: "newcomer_evicts_the_longest_idle",
        needs: Features::ROUTES.and(Features::CONNECTION_LIMIT),
        run: eviction,
    },
    Case {
        name: "newcomer_gets_503_when_none_is_idle",
        needs: Features::DEFERRED.and(Features::CONNECTION_LIMIT),
        run: refused_newcomer,
    },
    Case {
        name: "newcomer_takes_the_place_of_a_stalled_head",
        needs: Features::ROUTES.and(Features::CONNECTION_LIMIT),
        run: stalled_heads,
    },
    Case {
        name: "recovers_after_overload",
        needs: Features::ROUTES.and(Features::CONNECTION_LIMIT),
        run: recovery,
    },
];

fn crowd(target: &Target, size: usize) -> Outcome<Vec<Client>> {
    let mut clients = Vec::new();
    for n in 0..size {
        let mut client = target.connect()?;
        client
            .exchange(Asked::Get, get("/hello"))?
            .expect(200)
            .during(format!("connection {n} of {size}"))?;
        clients.push(client);
        // So that there is one that has been idle longest.
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(clients)
}

fn connections_at(target: &Target) -> Outcome {
    settle(target)?;
    let mut clients = crowd(target, target.limit("connections")?)?;
    for client in &mut clients {
        client
            .exchange(Asked::Get, get("/hello"))?
            .expect_body(200, b"hello\n")?;
    }
    Ok(())
}

fn eviction(target: &Target) -> Outcome {
    settle(target)?;
    let limit = target.limit("connections")?;
    let mut clients = crowd(target, limit)?;
    // The first is used again: now the second is the one that has been idle longest.
    clients[0]
        .exchange(Asked::Get, get("/hello"))?
        .expect(200)?;
    std::thread::sleep(Duration::from_millis(200));
    let mut newcomer = target.connect()?;
    newcomer
        .exchange(Asked::Get, get("/echo/new"))?
        .expect_body(200, b"new\n")
        .during("the newcomer")?;
    clients[1].expect_fin().during("the longest idle")?;
    for (n, client) in clients.iter_mut().enumerate().filter(|(n, _)| *n != 1) {
        let reply = client.exchange(Asked::Get, get("/hello"));
        reply
            .and_then(|reply| reply.expect(200))
            .during(format!("connection {n}, which was not the longest idle"))?;
    }
    Ok(())
}

/// While every connection waits for its reply, a newcomer is told to come back.
fn refused_newcomer(target: &Target) -> Outcome {
    settle(target)?;
    let limit = target.limit("connections")?;
    let mut clients = (0..limit)
        .map(|_| target.connect())
        .collect::<Outcome<Vec<_>>>()?;
    for client in &mut clients {
        client.send(get("/deferred/1200/kept"))?;
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut newcomer = target.connect()?;
    newcomer.send_some(get("/hello").as_bytes());
    let reply = newcomer
        .reply(Asked::Get)
        .during("the newcomer")?
        .expect(503)?;
    ensure!(
        reply.head.close,
        "503 for a newcomer leaves the connection open"
    );
    let again = reply.field("Retry-After").unwrap_or_default();
    ensure!(
        again.parse::<u32>().is_ok(),
        "503 has Retry-After {again:?}"
    );
    newcomer.expect_fin()?;
    for client in &mut clients {
        client
            .reply(Asked::Get)?
            .expect_body(200, b"kept\n")
            .during("a connection that was there before")?;
    }
    Ok(())
}

/// Heads that do not go on hold every place; newcomers are served once these have stalled for long enough.
fn stalled_heads(target: &Target) -> Outcome {
    settle(target)?;
    let limit = target.limit("connections")?;
    let stalled = (0..limit)
        .map(|_| {
            let mut client = target.connect()?;
            client.send("G")?;
            Ok(client)
        })
        .collect::<Outcome<Vec<_>>>()?;
    // Long before the deadline of a head, 10 s.
    let deadline = Instant::now() + Duration::from_secs(6) + target.delay();
    let served = || -> Outcome {
        let mut newcomer = target.connect()?;
        newcomer.send_some(get("/echo/new").as_bytes());
        newcomer
            .reply(Asked::Get)?
            .expect_body(200, b"new\n")
            .map(drop)
    };
    while let Err(why) = served() {
        ensure!(
            Instant::now() < deadline,
            "no newcomer was served while heads stalled: {why}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(stalled);
    Ok(())
}

fn recovery(target: &Target) -> Outcome {
    settle(target)?;
    let limit = target.limit("connections")?;
    // Nobody says anything: these are fresh, not idle; some may be refused, none may stay for ever.
    let silent: Vec<_> = (0..limit * 4)
        .filter_map(|_| target.connect().ok())
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    drop(silent);
    let deadline = Instant::now() + Duration::from_secs(3) + target.delay();
    loop {
        match target.is_alive() {
            Ok(()) => break,
            Err(why) => ensure!(
                Instant::now() < deadline,
                "no recovery in time after an overload: {why}"
            ),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    settle(target)?;
    crowd(target, limit).map(drop)
}
