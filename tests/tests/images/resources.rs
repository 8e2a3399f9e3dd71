//! What an image uses after many requests is what it used before.

use crate::build::Images;
use crate::own_trial;
use capuchin_qemu::Stack;
use capuchin_tests::ensure;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::reply::Asked;
use capuchin_tests::runner::{Kind, berth};
use capuchin_tests::suites::concurrency::in_threads;
use capuchin_tests::suites::{self, Setting, get};
use capuchin_tests::target::{Target, numbers};
use libtest_mimic::Trial;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests over connections that stay, and over one connection each.
const KEPT_REQUESTS: usize = 100_000;
const KEPT_CONNECTIONS: usize = 8;
const SINGLE_REQUESTS: usize = 400;
const FIRST_REQUESTS: usize = 1_000;

/// What must not grow, and by how much it may seem to. libbsd's driver fills its ring of mbufs up in
/// batches, so their number goes up and down by one; a leak in a thousand requests would show as 100. The
/// library's own stack has no mbufs.
const fn counted(stack: Stack) -> &'static [(&'static str, u64)] {
    match stack {
        Stack::Legacy => &[("heap_used", 0), ("descriptors_used", 0), ("mbufs_used", 0)],
        Stack::Libbsd => &[
            ("heap_used", 0),
            ("descriptors_used", 0),
            ("mbufs_used", 32),
        ],
        Stack::Own => &[("heap_used", 0), ("descriptors_used", 0)],
    }
}

/// Connections after which every descriptor was a socket's once: RTEMS hands out the one that was
/// closed longest ago, and libbsd's kqueue has a table that grows up to the highest it has seen.
const fn first_connections(stack: Stack) -> usize {
    match stack {
        Stack::Legacy | Stack::Own => SINGLE_REQUESTS,
        // `FIXTURE_DESCRIPTORS` in fixture.h, and some.
        Stack::Libbsd => 4_400,
    }
}

/// Bytes of a worker's stack that the deepest call may have reached: half of what
/// `CAPUCHIN_CONFIG_DEFAULT` gives it.
const STACK_LIMIT: u64 = 4096;

/// How long the stack keeps a connection that the server closed.
const fn time_wait(stack: Stack) -> Duration {
    match stack {
        Stack::Legacy => Duration::from_secs(60),
        // `SEGMENT_LIFETIME_MS` in network_libbsd.c, twice.
        Stack::Libbsd => Duration::from_secs(2),
        // smoltcp's.
        Stack::Own => Duration::from_secs(10),
    }
}

/// After all of them are gone libbsd allocates once more: 124 bytes that never become more.
const fn extra_rounds(stack: Stack) -> u32 {
    match stack {
        Stack::Legacy | Stack::Own => 0,
        Stack::Libbsd => 1,
    }
}

/// The stacks look at their timers a few times a second.
const TIME_WAIT_SLACK: Duration = Duration::from_secs(5);

/// Suites that go through most of the server's code, so that all stacks and pools have grown.
const WARM_UP: &[&str] = &[
    "routes",
    "framing",
    "chunks",
    "streaming",
    "deferred",
    "conditional",
    "ranges",
    "paths",
];

pub fn trial(kind: &Kind, images: &Arc<Images>) -> Trial {
    own_trial(
        kind,
        images,
        "resources",
        "are_what_they_were_after_100_000_requests",
        run,
    )
}

fn run(images: &Images) -> Outcome {
    let (machine, _) = images.boot_fixture(&berth::options(Setting::Plain))?;
    let target = berth::discover(&machine)?;
    warm_up(&target);
    load(&target, FIRST_REQUESTS, first_connections(images.stack))?;
    let settle = || {
        std::thread::sleep(time_wait(images.stack) + TIME_WAIT_SLACK);
        used(&target)
    };
    let mut before = settle()?;
    for _ in 0..extra_rounds(images.stack) {
        load(&target, FIRST_REQUESTS, SINGLE_REQUESTS)?;
        before = settle()?;
    }
    let counted = counted(images.stack);
    for (name, _) in counted {
        ensure!(before.contains_key(*name), "the image does not tell {name}");
    }

    load(&target, KEPT_REQUESTS, SINGLE_REQUESTS)?;
    let deadline = Instant::now() + time_wait(images.stack) + TIME_WAIT_SLACK;
    let after = loop {
        let after = used(&target)?;
        let as_before = |&(name, slack): &(&str, u64)| after[name] <= before[name] + slack;
        if counted.iter().all(as_before) || Instant::now() >= deadline {
            break after;
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    for &(name, slack) in counted {
        ensure!(
            after[name] <= before[name] + slack,
            "{name} was {} and is {}; all before: {before:?}, all after: {after:?}",
            before[name],
            after[name]
        );
    }
    let stack = after.get("stack_used").copied().unwrap_or(u64::MAX);
    println!(
        "rtems-{}: after {KEPT_REQUESTS} requests {after:?}, before {before:?}",
        images.name
    );
    ensure!(
        stack <= STACK_LIMIT,
        "a worker's stack has used {stack} bytes, the limit is {STACK_LIMIT}"
    );
    Ok(())
}

/// What fails here fails in a trial of its own.
fn warm_up(target: &Target) {
    for suite in suites::ALL
        .iter()
        .filter(|suite| WARM_UP.contains(&suite.name))
    {
        for case in suite.cases {
            if target.features.contains(case.needs) {
                let _ = (case.run)(target);
            }
        }
    }
}

fn load(target: &Target, kept: usize, single: usize) -> Outcome {
    in_threads(KEPT_CONNECTIONS, |n| {
        let mut client = target.connect()?;
        for round in 0..kept / KEPT_CONNECTIONS {
            client.send(get("/hello"))?;
            let reply = client.reply(Asked::Get);
            reply
                .and_then(|reply| reply.expect_body(200, b"hello\n"))
                .during(format!("request {round}"))?;
        }
        // The server ends each of these, and keeps what is left of it for a while.
        for _ in 0..single / KEPT_CONNECTIONS {
            let reply = target.ask("GET", &format!("/echo/n{n}"), "Connection: close\r\n")?;
            reply.expect_body(200, format!("n{n}\n").as_bytes())?;
        }
        Ok(())
    })
    .during("the load")
}

/// What the image uses now.
fn used(target: &Target) -> Outcome<HashMap<String, u64>> {
    numbers(&target.get("/resources")?.expect(200)?.text())
}
