//! Notifier storms: eight threads wake the workers as fast as they can, while clients are served.

use super::{Case, get};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::reply::Asked;
use crate::target::{Features, Target, numbers};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "every_message_counts_once_during_load",
        needs: Features::STORM.and(Features::ROUTES),
        run: storm,
    },
    Case {
        name: "single_messages_wake_an_idle_worker",
        needs: Features::STORM,
        run: single,
    },
];

/// Threads that `/storm` starts.
const THREADS: u64 = 8;

fn state(target: &Target) -> Outcome<HashMap<String, u64>> {
    let state = numbers(&target.get("/storm")?.expect(200)?.text())?;
    for name in ["sent", "seen", "disorder", "running"] {
        ensure!(state.contains_key(name), "GET /storm does not tell {name}");
    }
    Ok(state)
}

fn start(target: &Target, each: u64) -> Outcome {
    target
        .get(&format!("/storm/{each}"))?
        .expect_body(202, b"started\n")
        .map(drop)
}

/// Waits until no thread sends any more, then a moment for what is under way.
fn settled(target: &Target, sent: u64) -> Outcome<HashMap<String, u64>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = state(target)?;
        if now["running"] == 0 && now["sent"] == sent && now["seen"] >= sent {
            return Ok(now);
        }
        ensure!(
            Instant::now() < deadline,
            "after 30 s: {now:?}, expected {sent} sent and seen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn storm(target: &Target) -> Outcome {
    let each = target.load(50_000) as u64;
    let before = state(target)?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            super::concurrency::in_threads(8, |n| {
                let mut client = target.connect()?;
                let mut round = 0;
                while !done.load(Ordering::Relaxed) || round < 20 {
                    let begin = Instant::now();
                    client.send(get(&format!("/echo/c{n}r{round}")))?;
                    client
                        .reply(Asked::Get)?
                        .expect_body(200, format!("c{n}r{round}\n").as_bytes())?;
                    target.rest(begin.elapsed());
                    round += 1;
                }
                Ok(())
            })
        });
        let outcome =
            start(target, each).and_then(|()| settled(target, before["sent"] + THREADS * each));
        done.store(true, Ordering::Relaxed);
        load.join()
            .map_err(|_| crate::failure::Failure::new("the load panicked"))?
            .during("clients during the storm")?;
        let after = outcome?;
        let seen = after["seen"] - before["seen"];
        ensure!(
            seen == THREADS * each,
            "{} messages were sent, {seen} seen",
            THREADS * each
        );
        // A message delivered twice would come late.
        std::thread::sleep(Duration::from_millis(100));
        let last = state(target)?;
        ensure!(
            last["seen"] == after["seen"],
            "messages were delivered twice: {last:?}"
        );
        ensure!(
            last["disorder"] == 0,
            "{} messages arrived out of their sender's order",
            last["disorder"]
        );
        Ok(())
    })
}

/// A lost wake-up would leave the last message lying until something else happens.
fn single(target: &Target) -> Outcome {
    for round in 0..30 {
        let before = state(target)?;
        start(target, 1)?;
        std::thread::sleep(Duration::from_millis(15));
        settled(target, before["sent"] + THREADS).during(format!("round {round}"))?;
    }
    Ok(())
}
