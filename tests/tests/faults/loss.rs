//! Frames get lost, come twice, in another order, or damaged: every reply is right all the same.

use crate::bench::{self, Bench};
use crate::line::{Faults, Harm};
use capuchin_tests::ensure;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::pattern::Random;
use capuchin_tests::reply::Asked;
use capuchin_tests::standalone::{HELLO, PAGE};
use capuchin_tests::suites::concurrency::in_threads;
use capuchin_tests::suites::get;
use std::path::Path;
use std::time::Duration;

const CLIENTS: usize = 6;

/// Requests of each, one after another.
const REQUESTS: usize = 15;

/// Pages that each asks for at once: 50 times the bytes that the image has for a connection's replies.
const PAGES: usize = 30;

/// For one reply. QEMU's network repeats a lost request for a connection after 6 seconds, then after 24
/// and 48, and anything else after one second, two, four and so on; so does the image.
const PATIENCE: Duration = Duration::from_secs(75);

/// Fewer frames than this that met with anything prove nothing.
const LEAST_HARM: u64 = 10;

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

/// A damaged packet is as good as a lost one, not as good as a right one.
pub fn damaged(image: &Path) -> Outcome {
    let faults = Faults {
        damaged: 30,
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
