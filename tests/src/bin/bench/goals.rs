//! The goals that the project set itself, each said to be reached or missed. A missed one fails
//! nothing: timings are not tests.

use crate::peers::Kind;
use crate::table::{Summary, errors_text};

/// Keep-alive requests per second, of floor's.
const KEEP_ALIVE_OF_FLOOR: f64 = 0.90;

/// User time of a keep-alive request, in floor's.
const USER_OF_FLOOR: f64 = 2.5;

/// User and system time of a pipelined request, in floor's.
const PIPELINED_OF_FLOOR: f64 = 1.5;

/// Private bytes of an idle connection.
const IDLE_BYTES: f64 = 256.0;

/// Private kilobytes at start.
const START_KILOBYTES: u64 = 1_024;

/// For the scenarios that measure rates.
pub fn rates(scenario: &str, results: &[(Kind, Summary)]) {
    let find = |wanted: Kind| {
        results
            .iter()
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, summary)| summary)
    };
    let Some(ours) = find(Kind::Capuchin) else {
        return;
    };
    if !ours.errors.is_empty() {
        say(false, &format!("errors: {}", errors_text(&ours.errors)));
    }
    for (kind, peer) in results.iter().filter(|(kind, _)| kind.is_peer()) {
        let ratio = ours.rate.middle / peer.rate.middle;
        let what = format!("{ratio:.2} of {}'s rate", kind.name());
        match scenario {
            "keepalive" => say(ratio > 1.0, &format!("{what}, wanted more than 1")),
            "connections" => say(ratio >= 1.0, &format!("{what}, wanted at least 1")),
            _ => {}
        }
    }
    let Some(floor) = find(Kind::Floor) else {
        return;
    };
    let rate = ours.rate.middle / floor.rate.middle;
    let user = ours.user.middle / floor.user.middle;
    let cpu = ours.cpu.middle / floor.cpu.middle;
    match scenario {
        "keepalive" => {
            say(
                rate >= KEEP_ALIVE_OF_FLOOR,
                &format!(
                    "{rate:.2} of floor's requests/s, wanted at least {KEEP_ALIVE_OF_FLOOR:.2}"
                ),
            );
            say(
                user <= USER_OF_FLOOR,
                &format!("user time {user:.2} times floor's, wanted at most {USER_OF_FLOOR}"),
            );
        }
        "pipelined" => say(
            cpu <= PIPELINED_OF_FLOOR,
            &format!("CPU time {cpu:.2} times floor's, wanted at most {PIPELINED_OF_FLOOR}"),
        ),
        _ => {}
    }
}

/// For the memory of idle connections.
pub fn idle(bytes_each: f64, all_alive: bool, start_kilobytes: u64) {
    say(
        bytes_each <= IDLE_BYTES && all_alive,
        &format!(
            "{bytes_each:.0} bytes for each idle connection{}, wanted at most {IDLE_BYTES}",
            if all_alive {
                ""
            } else {
                ", but some were closed"
            }
        ),
    );
    say(
        start_kilobytes <= START_KILOBYTES,
        &format!("{start_kilobytes} KB at start, wanted at most {START_KILOBYTES}"),
    );
}

/// For httperf: replies and errors, if it came to its end.
pub fn httperf(outcome: Option<(u64, Vec<(String, u64)>)>) {
    match outcome {
        Some((replies, errors)) => say(
            errors.is_empty() && replies > 0,
            &format!("errors: {}, wanted 0", errors_text(&errors)),
        ),
        None => say(false, "httperf did not come to its end"),
    }
}

fn say(reached: bool, what: &str) {
    println!("{}: {what}", if reached { "PASS" } else { "MISS" });
}
