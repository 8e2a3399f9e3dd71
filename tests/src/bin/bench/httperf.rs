//! The event-queue pioneers' benchmark: httperf, 30,000 connections at 3,000 a second, one request
//! each, a second of patience. What counts is errors.

pub mod steps;

use crate::peers::{Kind, Setup};
use crate::server::Server;
use crate::table::{Table, errors_text};
use crate::{Bench, goals, machine};
use capuchin_tests::process;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// What httperf may take longer than its load does. It waits for ever when it finds no free port.
const GRACE: Duration = Duration::from_secs(10);

pub fn run(bench: &Bench) -> Result<(), String> {
    machine::need("httperf")?;
    let mut table = Table::new(&["server", "connections", "replies", "errors"]);
    let mut ours = None;
    for kind in &bench.kinds {
        let server = match Server::start(*kind, &bench.place, Setup::file(4_096)) {
            Ok(server) => server,
            Err(message) => {
                bench.report.not_run(&message);
                continue;
            }
        };
        let result = match drive(server.address, 3_000, 10) {
            Ok(result) => result,
            Err(message) => {
                table.row(&[kind.name().into(), "—".into(), "—".into(), message]);
                continue;
            }
        };
        table.row(&[
            kind.name().into(),
            result.connections.to_string(),
            result.replies.to_string(),
            errors_text(&result.errors),
        ]);
        if *kind == Kind::Capuchin {
            ours = Some(result);
        }
    }
    bench.report.table(&table);
    if bench.kinds.contains(&Kind::Capuchin) {
        let ours = ours.as_ref();
        goals::httperf(bench, ours.map(|ours| (ours.replies, &*ours.errors)));
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Outcome {
    connections: u64,
    replies: u64,
    seconds: f64,
    errors: Vec<(String, u64)>,
}

/// Runs httperf with so many connections a second. Why it did not come to its end is one line.
fn drive(address: SocketAddr, rate: u64, seconds: u64) -> Result<Outcome, String> {
    let program = machine::need("httperf")?;
    let limit = Duration::from_secs(seconds) + GRACE;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = Command::new(program);
    // Not `--hog`: with it httperf binds ports itself, finds those of its last 30,000 connections in
    // TIME_WAIT, and turns in a circle. The system finds free ones for each server.
    command
        .args(["--server", &host, "--port", &port, "--uri", "/4096.bin"])
        .args(["--num-conns", &(rate * seconds).to_string()])
        .args(["--rate", &rate.to_string()])
        .args(["--timeout", "1"]);
    machine::confine(&mut command, Some(machine::cores().load));
    let (_, text) = process::run_within(command, limit).map_err(|error| error.to_string())?;
    parse(&text).ok_or_else(|| format!("httperf said: {}", text.trim().replace('\n', " / ")))
}

fn parse(text: &str) -> Option<Outcome> {
    // "Total: connections 3000 requests 3000 replies 3000 test-duration 3.000 s"
    let total: Vec<&str> = text
        .lines()
        .find(|line| line.starts_with("Total:"))?
        .split_whitespace()
        .collect();
    let after = |name: &str| {
        let at = total.iter().position(|word| *word == name)?;
        total.get(at + 1).copied()
    };
    let mut outcome = Outcome {
        connections: after("connections")?.parse().ok()?,
        replies: after("replies")?.parse().ok()?,
        seconds: after("test-duration")?.parse().ok()?,
        errors: Vec::new(),
    };
    // "Errors: total 0 client-timo 0 …" and "Errors: fd-unavail 0 …"
    let mut seen = false;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("Errors: ") else {
            continue;
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        for pair in words.chunks_exact(2) {
            let number = pair[1].parse().ok()?;
            seen |= pair[0] == "total";
            if pair[0] != "total" && number > 0 {
                outcome.errors.push((pair[0].into(), number));
            }
        }
    }
    // "Reply status: 1xx=0 2xx=3000 3xx=0 4xx=0 5xx=0": another status is no answer.
    let good: u64 = text
        .lines()
        .find(|line| line.starts_with("Reply status:"))?
        .split_whitespace()
        .find_map(|word| word.strip_prefix("2xx="))?
        .parse()
        .ok()?;
    if good < outcome.replies {
        outcome
            .errors
            .push(("status".into(), outcome.replies - good));
    }
    seen.then_some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn httperf_s_errors_are_read_by_kind() {
        let text = "httperf --hog\n\
            Total: connections 29990 requests 29980 replies 29970 test-duration 10.0 s\n\
            Reply status: 1xx=0 2xx=29969 3xx=0 4xx=0 5xx=1\n\
            Errors: total 30 client-timo 20 socket-timo 0 connrefused 0 connreset 0\n\
            Errors: fd-unavail 10 addrunavail 0 ftab-full 0 other 0\n";
        let expected = Outcome {
            connections: 29_990,
            replies: 29_970,
            seconds: 10.0,
            errors: vec![
                ("client-timo".into(), 20),
                ("fd-unavail".into(), 10),
                ("status".into(), 1),
            ],
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("httperf: no such host\n"), None);
    }
}
