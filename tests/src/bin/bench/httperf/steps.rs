//! httperf at 3,000 connections a second, then 6,000, and so on up to the first error.

use super::{Outcome, drive};
use crate::peers::{Kind, Setup};
use crate::plots::{Bar, Figure, Plot};
use crate::server::Server;
use crate::table::{Spread, Table, errors_text};
use crate::{Bench, machine};

/// Connections a second more in each step, and in the last.
const STEP: u64 = 3_000;
const LAST: u64 = 30_000;

/// Of a step.
const SECONDS: u64 = 3;

/// A step is tried so often while the load is what fails: a moment's hiccup is enough for that.
const TRIES: usize = 3;

/// httperf that opened less than this part of the connections it should have is at its limit.
const ON_TIME: f64 = 0.97;

/// Errors that httperf makes without the server.
const OWN: [&str; 3] = ["fd-unavail", "addrunavail", "ftab-full"];

pub fn run(bench: &Bench) -> Result<(), String> {
    machine::need("httperf")?;
    let mut table = Table::new(&[
        "server",
        "highest rate without an error, connections/s",
        "what ended it",
    ]);
    let mut bars = Vec::new();
    for kind in &bench.kinds {
        match climb(*kind, bench) {
            Ok((rate, end)) => {
                table.row(&[kind.name().into(), rate.to_string(), end]);
                bars.push(Bar {
                    name: kind.name().into(),
                    value: Spread::of(vec![rate as f64]),
                    decimals: 0,
                });
            }
            Err(message) => bench.report.not_run(&message),
        }
    }
    bench.report.table(&table);
    bench.report.plot(Plot {
        name: "httperf-steps".into(),
        title: "httperf: highest rate without an error, connections/s".into(),
        figure: Figure::Bars(bars),
    });
    Ok(())
}

/// The highest rate without an error, and what came then.
fn climb(kind: Kind, bench: &Bench) -> Result<(u64, String), String> {
    let server = Server::start(kind, &bench.place, Setup::file(4_096))?;
    let mut good = 0;
    while good < LAST {
        let rate = good + STEP;
        if let Some(end) = step(&server, rate) {
            return Ok((good, end));
        }
        good = rate;
    }
    Ok((good, "nothing: the last step".into()))
}

/// Why this step is the last, if it is.
fn step(server: &Server, rate: u64) -> Option<String> {
    let mut why = String::new();
    for _ in 0..TRIES {
        let outcome = match drive(server.address, rate, SECONDS) {
            Ok(outcome) => outcome,
            Err(message) => return Some(format!("at {rate}/s: {message}")),
        };
        match verdict(&outcome, rate) {
            Verdict::Good => return None,
            Verdict::Server(errors) => return Some(errors),
            Verdict::Load(limit) => why = limit,
        }
    }
    Some(why)
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Good,
    Server(String),
    Load(String),
}

fn verdict(outcome: &Outcome, rate: u64) -> Verdict {
    let opened = outcome.connections as f64 / outcome.seconds;
    let own = |(kind, _): &(String, u64)| OWN.contains(&kind.as_str());
    let errors = errors_text(&outcome.errors);
    if opened < rate as f64 * ON_TIME || outcome.errors.iter().any(own) {
        return Verdict::Load(format!(
            "the load: {opened:.0}/s of {rate}/s, errors: {errors}"
        ));
    }
    if outcome.errors.is_empty() {
        Verdict::Good
    } else {
        Verdict::Server(format!("errors at {rate}/s: {errors}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_and_server_are_told_apart() {
        let outcome = |connections, errors: &[(&str, u64)]| Outcome {
            connections,
            replies: connections,
            seconds: 3.0,
            errors: errors.iter().map(|(k, n)| ((*k).into(), *n)).collect(),
        };
        assert_eq!(verdict(&outcome(9_000, &[]), 3_000), Verdict::Good);
        let server = verdict(&outcome(9_000, &[("client-timo", 2)]), 3_000);
        let why = "errors at 3000/s: 2 (client-timo 2)";
        assert_eq!(server, Verdict::Server(why.into()));
        for load in [outcome(8_000, &[]), outcome(9_000, &[("fd-unavail", 1)])] {
            assert!(matches!(verdict(&load, 3_000), Verdict::Load(_)));
        }
    }
}
