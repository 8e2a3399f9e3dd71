//! How long replies take at a constant rate: each server at 70 % of what it can do itself, then all
//! at 70 % of what the slowest can do.

use crate::paced::{self, Outcome};
use crate::peers::{Kind, Setup};
use crate::plots::{Figure, Line, PERCENTILES, Plot};
use crate::server::Server;
use crate::table::{Spread, Table};
use crate::{Bench, goals, rounds};
use std::time::Duration;

/// Of a capacity.
const PART: f64 = 0.7;

/// A capacity is measured for no longer.
const CAPACITY_SECONDS: u64 = 2;

/// Microseconds that the generator may be late, by the 99th percentile, before that is told.
const LATE: f64 = 30.0;

/// What one run gave, in microseconds.
struct Run {
    rate: f64,
    percentiles: Vec<f64>,
    most: f64,
    lateness: f64,
    lost: u64,
    disturbed: f64,
}

impl Run {
    fn of(outcome: &Outcome, disturbed: f64) -> Self {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |(_, percent): &(&str, f64)| micros(outcome.times.value_at_percentile(*percent));
        Self {
            rate: outcome.requests as f64 / outcome.seconds,
            percentiles: PERCENTILES.iter().map(at).collect(),
            most: micros(outcome.times.max()),
            lateness: micros(outcome.lateness.value_at_percentile(99.0)),
            lost: outcome.lost,
            disturbed,
        }
    }
}

/// The runs of one server.
struct Results {
    kind: Kind,
    capacities: Vec<f64>,
    runs: Vec<Run>,
}

impl Results {
    fn capacity(&self) -> Spread {
        Spread::of(self.capacities.clone())
    }

    fn spread(&self, value: impl Fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(value).collect())
    }

    fn percentile(&self, name: &str) -> Spread {
        let at = PERCENTILES.iter().position(|(known, _)| *known == name);
        self.spread(|run| run.percentiles[at.unwrap_or(0)])
    }
}

pub fn run(bench: &Bench) -> Result<(), String> {
    let mut all: Vec<Results> = bench
        .kinds
        .iter()
        .map(|kind| Results {
            kind: *kind,
            capacities: Vec::new(),
            runs: Vec::new(),
        })
        .collect();
    let turns = |all: &mut [Results], rate| {
        rounds::in_turn(&bench.report, bench.rounds, all, |results| {
            round(bench, results, rate)
                .map_err(|message| format!("{}: {message}", results.kind.name()))
        });
    };
    turns(&mut all, None);
    all.retain(|results| !results.runs.is_empty());
    if all.is_empty() {
        return Err("no server could be asked at a constant rate".into());
    }
    let title = "each at 70 % of its own capacity";
    show(bench, &all, title, "latency");
    let capacities = all.iter().map(|results| results.capacity().middle);
    let slowest = capacities.fold(f64::INFINITY, f64::min);
    let p99 = |wanted: Kind| {
        let found = all.iter().find(|results| results.kind == wanted)?;
        Some(found.percentile("p99").middle)
    };
    if let (Some(ours), Some(floor)) = (p99(Kind::Capuchin), p99(Kind::Floor)) {
        goals::latency(bench, ours / floor);
    }
    let rate = (slowest * PART).floor();
    all.iter_mut().for_each(|results| results.runs.clear());
    turns(&mut all, Some(rate));
    all.retain(|results| !results.runs.is_empty());
    if all.is_empty() {
        return Err("no server could be asked at the common rate".into());
    }
    let title = format!("all at {rate:.0}/s, 70 % of the slowest's capacity");
    show(bench, &all, &title, "latency-common");
    Ok(())
}

/// Without a rate it is the server's own.
fn round(bench: &Bench, results: &mut Results, rate: Option<f64>) -> Result<(), String> {
    let server = Server::start(results.kind, &bench.place, Setup::file(4_096))?;
    let ask = |rate, seconds| {
        let length = Duration::from_secs(seconds);
        paced::run(server.address, "/4096.bin", rate, length)
    };
    let rate = match rate {
        Some(rate) => rate,
        None => {
            let found = ask(None, bench.seconds.min(CAPACITY_SECONDS))?;
            if found.requests == 0 {
                return Err("no reply".into());
            }
            let capacity = found.requests as f64 / found.seconds;
            results.capacities.push(capacity);
            capacity * PART
        }
    };
    let watch = server.watch();
    let outcome = ask(Some(rate), bench.seconds)?;
    results.runs.push(Run::of(&outcome, watch.end().disturbed));
    Ok(())
}

fn show(bench: &Bench, all: &[Results], title: &str, name: &str) {
    let floor = all.iter().find(|results| results.kind == Kind::Floor);
    let floor = floor.map(|floor| floor.percentile("p99").middle);
    bench.report.put(format!("\n{title}; times in µs (range):"));
    let mut table = Table::new(&[
        "server",
        "capacity, requests/s",
        "asked/s",
        "p50",
        "p99",
        "of floor",
        "p99.9",
        "max",
        "lost",
    ]);
    for results in all {
        let p99 = results.percentile("p99");
        table.row(&[
            results.kind.name().into(),
            results.capacity().show(0),
            format!("{:.0}", results.spread(|run| run.rate).middle),
            results.percentile("p50").show(0),
            p99.show(0),
            floor.map_or("—".into(), |floor| format!("{:.2}", p99.middle / floor)),
            results.percentile("p99.9").show(0),
            results.spread(|run| run.most).show(0),
            results
                .runs
                .iter()
                .map(|run| run.lost)
                .sum::<u64>()
                .to_string(),
        ]);
    }
    bench.report.table(&table);
    for results in all {
        let late = results.spread(|run| run.lateness);
        if late.middle > LATE {
            bench.report.note(&format!(
                "the generator itself was late by {} µs (p99) with {}",
                late.show(0),
                results.kind.name()
            ));
        }
    }
    bench.report.disturbed(all.iter().map(|results| {
        let disturbed = results.spread(|run| run.disturbed).most;
        (results.kind.name(), disturbed)
    }));
    let line = |results: &Results| Line {
        name: results.kind.name().into(),
        values: PERCENTILES
            .iter()
            .map(|(name, _)| results.percentile(name).middle)
            .collect(),
    };
    bench.report.plot(Plot {
        name: name.into(),
        title: format!("time of a reply, 4 KB file, {title}"),
        figure: Figure::Percentiles(all.iter().map(line).collect()),
    });
}
