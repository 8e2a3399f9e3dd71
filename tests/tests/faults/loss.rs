//! Frames get lost, come twice, in another order, or damaged: every reply is right all the same.

use crate::bench::{self, Bench};
use crate::frames::is_tcp;
use crate::line::{Faults, Harm};
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::pattern::Random;
use capuchin_tests::reply::Asked;
use capuchin_tests::standalone::{ANSWER_LIMIT, HELLO, PAGE};
use capuchin_tests::suites::concurrency::in_threads;
use capuchin_tests::suites::get;
use capuchin_tests::{ensure, fail};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const CLIENTS: usize = 6;

/// Requests of each, one after another.
const REQUESTS: usize = 15;

/// Pages that each asks for at once: 40 times the bytes that the image has for a connection's replies.
const PAGES: usize = 20;

/// For one reply. QEMU's network repeats a lost request for a connection after 6 seconds, then after 24
/// and 48, and anything else after one second, two, four and so on; so does the image.
const PATIENCE: Duration = Duration::from_secs(75);

/// For a reply of which one frame was lost: the image repeats it after a second (RFC 6298 section 2.4).
const ONE_LOST: Duration = Duration::from_secs(3);

/// Frames of the image in a visit: more than there are.
const MANY: usize = 20;

/// Fewer frames than this that met with anything prove nothing.
const LEAST_HARM: u64 = 10;

/// Whichever frame of the image's is lost in a visit, it comes again in a second.
pub fn one(image: &Path) -> Outcome {
    bench::with(image, |bench| {
        for lost in 0..MANY {
            let is_lost = Arc::new(AtomicBool::new(false));
            let (mut count, told) = (0, is_lost.clone());
            bench.line.from_guest.watch(move |frame| {
                count += usize::from(is_tcp(frame));
                let is_it = is_tcp(frame) && count == lost + 1;
                told.fetch_or(is_it, SeqCst);
                !is_it
            });
            let begin = Instant::now();
            visit(bench).during(format!("a visit whose frame {lost} was lost"))?;
            let after = begin.elapsed();
            ensure!(
                after < ONE_LOST,
                "a visit whose frame {lost} was lost took {after:?}"
            );
            if !is_lost.load(SeqCst) {
                ensure!(lost >= 4, "a visit had {lost} frames only");
                return Ok(());
            }
        }
        fail!("a visit had more than {MANY} frames")
    })
}

/// A connection for a page.
fn visit(bench: &Bench) -> Outcome {
    let mut client = bench.connect(ANSWER_LIMIT)?;
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    client.reply(Asked::Get)?.expect_body(200, PAGE)?;
    client.expect_fin()
}

/// The wire is lossy.
pub fn lost(image: &Path) -> Outcome {
    let faults = Faults {
        lost: 30,
        ..Faults::NONE
    };
    under(image, faults, |harm| harm.lost)
}

/// Frames overtake each other and come twice.
pub fn reordered_and_doubled(image: &Path) -> Outcome {
    let faults = Faults {
        doubled: 150,
        held: 250,
        ..Faults::NONE
    };
    under(image, faults, |harm| harm.doubled.min(harm.held))
}

/// Before every packet comes one that is damaged. If it were taken, the right one would come too late.
pub fn damaged(image: &Path) -> Outcome {
    let faults = Faults {
        damaged: 1_000,
        ..Faults::NONE
    };
    under(image, faults, |harm| harm.damaged)
}

fn under(image: &Path, faults: Faults, harm: fn(Harm) -> u64) -> Outcome {
    bench::with(image, |bench| {
        bench.line.set(faults);
        in_threads(CLIENTS, |n| client(bench, n))?;
        bench.line.set(Faults::NONE);
        let harm = harm(bench.line.harm());
        ensure!(
            harm >= LEAST_HARM,
            "only {harm} frames met with a fault: this proves nothing"
        );
        bench.answers_at_once().during("when the faults are over")
    })
}

/// Short and long replies, then many at once.
fn client(bench: &Bench, n: usize) -> Outcome {
    let mut random = Random::new(bench.seed.wrapping_add(100 + n as u64));
    let mut client = bench.connect(PATIENCE)?;
    for round in 0..REQUESTS {
        let (path, body) = *random.pick(&[("/hello", HELLO), ("/", PAGE)]);
        let reply = client.exchange(Asked::Get, get(path));
        let reply = reply.during(format!("request {round}, {path}"))?;
        reply.expect_body(200, body)?;
    }
    client.send(get("/").repeat(PAGES))?;
    for page in 0..PAGES {
        let reply = client.reply(Asked::Get).during(format!("page {page}"))?;
        reply.expect_body(200, PAGE)?;
    }
    Ok(())
}
