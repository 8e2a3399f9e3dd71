//! The goals that the project set itself, each said to be reached or missed. A missed one fails
//! nothing: timings are not tests.

use crate::Bench;
use crate::peers::Kind;
use crate::table::{Spread, Summary, error_of_ratio, errors_text};

/// Keep-alive requests per second, of each other's.
const KEEP_ALIVE: [(Kind, f64); 3] = [
    (Kind::Floor, 0.97),
    (Kind::Lighttpd, 1.20),
    (Kind::Nginx, 1.50),
];

/// The same with paths in turn, and with heads of which none comes twice; the floor does not look at them.
const KEEP_ALIVE_PATHS: [(Kind, f64); 2] = [(Kind::Lighttpd, 1.20), (Kind::Nginx, 1.50)];

/// User time of a keep-alive request, in floor's.
const USER_OF_FLOOR: f64 = 1.5;

/// The 99th percentile at 70 % of the own capacity, in floor's.
const P99_OF_FLOOR: f64 = 1.2;

/// System calls of a keep-alive request.
const CALLS: f64 = 2.05;

/// Two workers' rate and CPU time of a request, in one's.
const TWO_RATE: f64 = 1.8;
const TWO_CPU: f64 = 1.1;

/// Capuchin and nginx that send a large file in the same way: at least the rate for at most the CPU time.
const ALIKE: [(Kind, Kind); 2] = [
    (Kind::Capuchin, Kind::NginxCopies),
    (Kind::Sendfile, Kind::Nginx),
];

/// By so much two that are equal may differ here, or 1.00 would be reached by tossing a coin. A fixed part:
/// the rounds' range would allow the more the worse they were measured.
const TOLERANCE: f64 = 0.02;

/// User and system time of a pipelined request, in floor's.
const PIPELINED_OF_FLOOR: f64 = 1.2;

/// Private bytes of an idle connection.
const IDLE_BYTES: f64 = 128.0;

/// Private kilobytes at start.
const START_KILOBYTES: f64 = 350.0;

/// Private kilobytes with 10,000 connections of which 64 are busy.
const FULL_KILOBYTES: f64 = 2_500.0;

/// For the scenarios that measure rates.
pub fn rates(bench: &Bench, scenario: &str, results: &[(Kind, Summary)]) {
    let say = |reached: bool, what: String| bench.report.goal(reached, &what);
    let find = |wanted: Kind| {
        results
            .iter()
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, summary)| summary)
    };
    let Some(ours) = find(Kind::Capuchin) else {
        return;
    };
    say(
        ours.errors.is_empty(),
        format!("errors: {}, wanted 0", errors_text(&ours.errors)),
    );
    let versus = |value: fn(&Summary) -> f64, kind: Kind| {
        let ratio = find(kind).map(|other| value(ours) / value(other));
        ratio.filter(|ratio| ratio.is_finite())
    };
    let at_least = |kind: Kind, wanted: f64| {
        if let Some(ratio) = versus(|summary| summary.rate.middle, kind) {
            let name = kind.name();
            let what = format!("{ratio:.2} of {name}'s rate, wanted at least {wanted:.2}");
            say(ratio >= wanted, what);
        }
    };
    let at_most = |what: &str, value: fn(&Summary) -> f64, kind: Kind, wanted: f64| {
        if let Some(ratio) = versus(value, kind) {
            let name = kind.name();
            let what = format!("{what} {ratio:.2} times {name}'s, wanted at most {wanted:.2}");
            say(ratio <= wanted, what);
        }
    };
    match scenario {
        "keepalive" => {
            KEEP_ALIVE
                .into_iter()
                .for_each(|(kind, wanted)| at_least(kind, wanted));
            at_most("user time", |s| s.user.middle, Kind::Floor, USER_OF_FLOOR);
            let error = find(Kind::Floor).map(|floor| error_of_ratio(&ours.users, &floor.users));
            if let Some(error) = error.filter(|error| error.is_finite()) {
                bench.report.note(&format!(
                    "the kernel's tick samples user time: standard error of that ratio {error:.2}, by how the rounds \
                     differ"
                ));
            }
        }
        "keepalive-paths" | "keepalive-fresh" => KEEP_ALIVE_PATHS
            .into_iter()
            .for_each(|(kind, wanted)| at_least(kind, wanted)),
        "connections" => [Kind::Nginx, Kind::Lighttpd, Kind::Hyper]
            .into_iter()
            .for_each(|kind| at_least(kind, 1.0)),
        "pipelined" => at_most(
            "CPU time",
            |summary| summary.cpu.middle,
            Kind::Floor,
            PIPELINED_OF_FLOOR,
        ),
        "file10m" => {
            for (ours, theirs) in ALIKE {
                if let (Some(a), Some(b)) = (find(ours), find(theirs)) {
                    alike(bench, [ours.name(), theirs.name()], [a, b]);
                }
            }
        }
        "busy-idle" => {
            if let Some((dirty, private)) = ours.memory {
                let when = "with all connections open";
                memory(bench, when, dirty, private, FULL_KILOBYTES);
            }
        }
        _ => {}
    }
}

/// For two that should be equal: `ours` at least as fast, for at most the CPU time.
fn alike(bench: &Bench, [our_name, their_name]: [&str; 2], [ours, theirs]: [&Summary; 2]) {
    let percent = TOLERANCE * 100.0;
    let rate = Spread::of_ratios(&ours.rates, &theirs.rates);
    let what = format!("{our_name}: rate {} of that of {their_name}", rate.show(2));
    if ours.is_load_s() && theirs.is_load_s() {
        let why = "the load was the limit for both, so that CPU time decides";
        bench.report.note(&format!("{what}: {why}"));
    } else {
        bench.report.goal(
            rate.middle >= 1.0 - TOLERANCE,
            &format!("{what}, wanted at least 1.00 less {percent} % for the measurement"),
        );
    }
    let alone = Spread::of_ratios(&ours.cpus, &theirs.cpus);
    let cpu = Spread::of_ratios(&ours.boths, &theirs.boths);
    bench.report.goal(
        cpu.middle <= 1.0 + TOLERANCE,
        &format!(
            "{our_name}: CPU time of server and load {} of that with {their_name} (of the servers alone {}), wanted at \
             most 1.00 and {percent} % for the measurement",
            cpu.show(2),
            alone.show(2)
        ),
    );
}

/// For the 99th percentile of a reply's time, each server at its own rate.
pub fn latency(bench: &Bench, of_floor: f64) {
    bench.report.goal(
        of_floor <= P99_OF_FLOOR,
        &format!("p99 {of_floor:.2} times floor's, wanted at most {P99_OF_FLOOR:.2}"),
    );
}

/// For system calls.
pub fn calls(bench: &Bench, each: f64) {
    bench.report.goal(
        each <= CALLS,
        &format!("{each:.3} system calls per request, wanted at most {CALLS}"),
    );
}

/// For two workers beside one.
pub fn workers(bench: &Bench, rate: f64, cpu: f64) {
    bench.report.goal(
        rate >= TWO_RATE,
        &format!("two workers {rate:.2} of one's rate, wanted at least {TWO_RATE:.2}"),
    );
    bench.report.goal(
        cpu <= TWO_CPU,
        &format!("CPU time {cpu:.2} times one's, wanted at most {TWO_CPU:.2}"),
    );
}

/// For the memory of idle connections.
pub fn idle(bench: &Bench, bytes_each: f64, all_alive: bool, dirty: Spread, private: Spread) {
    let but = if all_alive {
        ""
    } else {
        ", but some were closed"
    };
    bench.report.goal(
        bytes_each <= IDLE_BYTES && all_alive,
        &format!(
            "{bytes_each:.1} bytes for each idle connection{but}, wanted at most {IDLE_BYTES}"
        ),
    );
    memory(bench, "at start", dirty, private, START_KILOBYTES);
}

/// What the process costs is what decides; the stricter reading is judged beside it.
fn memory(bench: &Bench, when: &str, dirty: Spread, private: Spread, wanted: f64) {
    for (name, value) in [
        ("Private_Dirty", dirty),
        ("private, if clean pages of its file count,", private),
    ] {
        let value = value.middle;
        let what = format!("{value:.0} KB {name} {when}, wanted at most {wanted:.0}");
        bench.report.goal(value <= wanted, &what);
    }
}

/// For httperf: replies and errors, if it came to its end.
pub fn httperf(bench: &Bench, outcome: Option<(u64, &[(String, u64)])>) {
    match outcome {
        Some((replies, errors)) => bench.report.goal(
            errors.is_empty() && replies > 0,
            &format!("errors: {}, wanted 0", errors_text(errors)),
        ),
        None => bench.report.goal(false, "httperf did not come to its end"),
    }
}
