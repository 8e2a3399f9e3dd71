//! More clients than the image has connections for, some of whom never finish what they begin: those who
//! have a connection keep it, and the others are let in when it is over.

use crate::bench::{self, Bench};
use crate::frames::{agrees_with_a_stranger, forged_syn};
use capuchin_tests::client::Client;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::pattern::Random;
use capuchin_tests::reply::Asked;
use capuchin_tests::standalone::{CONNECTIONS, PATIENCE, hello, state};
use capuchin_tests::suites::get;
use capuchin_tests::{ensure, fail};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are open at a time in a flood: six times as many as there may be.
const CROWD: usize = 200;

/// Between two of them: the queue that QEMU's network accepts from has one place, and what does not fit it
/// comes again after a second.
const GAP: Duration = Duration::from_millis(3);

/// How long they hold them.
const HOLD: Duration = Duration::from_secs(2);

/// For a reply in the midst of it.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// When a new client is served after a flood: a request for a connection that nobody took is repeated
/// after 6 seconds by QEMU's network, and by then those that were never finished have been given up.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Requests for connections that are forged: so many at once, so often, with this pause.
const AT_ONCE: usize = 20;
const TIMES: usize = 300;
const PAUSE: Duration = Duration::from_millis(10);

/// Six times as many connections as there may be, each with a request: the longest idle have to go.
pub fn connections(image: &Path) -> Outcome {
    bench::with(image, |bench| {
        let before = figures(bench)?;
        beside_an_old_client(bench, || crowd(bench, true))?;
        came_and_went(bench, &before)
    })
}

/// As many that say nothing. Who has said something makes way for them, who is told that there is no room
/// may come again, and so on; when they are gone all is well.
pub fn silent(image: &Path) -> Outcome {
    bench::with(image, |bench| {
        let before = figures(bench)?;
        crowd(bench, false)?;
        came_and_went(bench, &before)
    })
}

/// Opens many connections and holds them. What becomes of each is its own affair, but a reply is a right
/// one or says that there is no room.
fn crowd(bench: &Bench, have_requests: bool) -> Outcome {
    let mut clients = Vec::new();
    for _ in 0..CROWD {
        thread::sleep(GAP);
        let Ok(mut client) = bench.connect(BUSY_PATIENCE) else {
            continue;
        };
        if have_requests {
            // Its connection may have been closed already.
            client.send_some(get("/hello").as_bytes());
        }
        clients.push(client);
    }
    thread::sleep(HOLD);
    for client in &mut clients {
        if have_requests && let Ok(reply) = client.reply(Asked::Get) {
            ensure!(matches!(reply.status(), 200 | 503), "{}", reply.status());
        }
    }
    Ok(())
}

/// After a crowd: a new client is served, and it was a crowd.
fn came_and_went(bench: &Bench, before: &Figures) -> Outcome {
    bench.answers_within(AFTERWARDS).during("after the flood")?;
    let after = figures(bench)?;
    let more = |name: &str| after[name] - before[name];
    let came = more("connections_accepted");
    let turned_away = more("connections_evicted") + more("connections_refused");
    println!("standalone: of {came} connections {turned_away} were turned away");
    ensure!(
        came > CONNECTIONS as u64 && turned_away > 0,
        "of {came} connections {turned_away} were turned away: nothing was full"
    );
    Ok(())
}

/// Thousands of requests for connections, from addresses that nobody has: none is ever made.
pub fn forged(image: &Path) -> Outcome {
    bench::with(image, |bench| {
        let agreed = Arc::new(AtomicU64::new(0));
        let count = agreed.clone();
        bench.line.from_guest.watch(move |frame| {
            let is_one = agrees_with_a_stranger(frame);
            count.fetch_add(u64::from(is_one), SeqCst);
            // Nobody has that address, nor says so.
            !is_one
        });
        let mut random = Random::new(bench.seed);
        beside_an_old_client(bench, || {
            for _ in 0..TIMES {
                for _ in 0..AT_ONCE {
                    bench.line.to_guest.put(forged_syn(&mut random));
                }
                thread::sleep(PAUSE);
            }
            Ok(())
        })?;
        bench.answers_within(AFTERWARDS).during("after the flood")?;
        let agreed = agreed.load(SeqCst);
        ensure!(agreed > 0, "the image has heard of no forged request");
        Ok(())
    })
}

/// Does `work` while a client that was there before asks on and on: it is answered every time.
fn beside_an_old_client(bench: &Bench, work: impl FnOnce() -> Outcome) -> Outcome {
    let mut old = bench.connect(BUSY_PATIENCE)?;
    hello(&mut old)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| asks_on(&mut old, &is_over));
        let outcome = work();
        is_over.store(true, SeqCst);
        let Ok(asked) = asking.join() else {
            fail!("the client that was there before the flood panicked")
        };
        let asked = asked.during("the client that was there before the flood")?;
        ensure!(asked > 0, "nobody asked anything meanwhile");
        println!("standalone: {asked} requests were answered during the flood");
        outcome
    })
}

fn asks_on(client: &mut Client, is_over: &AtomicBool) -> Outcome<u64> {
    let mut asked = 0;
    while !is_over.load(SeqCst) {
        let begin = Instant::now();
        hello(client).during(format!("request {asked}, after {:?}", begin.elapsed()))?;
        asked += 1;
    }
    Ok(asked)
}

type Figures = HashMap<String, u64>;

fn figures(bench: &Bench) -> Outcome<Figures> {
    state(&mut bench.connect(PATIENCE)?)
}
