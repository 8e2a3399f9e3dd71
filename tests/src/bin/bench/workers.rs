//! Two workers beside one: each has a quarter of a core, on any core, so that the load is not the
//! limit.

use crate::load::{self, Wrk};
use crate::peers::{Kind, Setup};
use crate::plots::{Bar, Figure, Plot};
use crate::quota::Quota;
use crate::server::Server;
use crate::table::{Spread, Table, errors_text};
use crate::{Bench, goals, machine, rounds};

/// Cores that a worker has.
const SHARE: f64 = 0.25;

const LOAD: Wrk = Wrk {
    connections: 64,
    close: false,
    threads: 2,
};

/// The runs with so many workers.
struct Results {
    workers: usize,
    quota: Quota,
    rates: Vec<f64>,
    /// Microseconds of user and system time for each request.
    cpus: Vec<f64>,
    errors: Vec<(String, u64)>,
    disturbed: f64,
}

pub fn run(bench: &Bench) -> Result<(), String> {
    machine::need("wrk")?;
    if !bench.kinds.contains(&Kind::Capuchin) {
        return Err("capuchin is what is compared with itself".into());
    }
    if machine::cores().server == machine::cores().load {
        return Err("there is one core only".into());
    }
    let mut both = Vec::new();
    for workers in [1, 2] {
        let quota = Quota::make_for_cores(SHARE * workers as f64);
        both.push(Results {
            workers,
            quota: quota.ok_or("no CPU controller here")?,
            rates: Vec::new(),
            cpus: Vec::new(),
            errors: Vec::new(),
            disturbed: 0.0,
        });
    }
    rounds::in_turn(&bench.report, bench.rounds, &mut both, |results| {
        round(bench, results)
    });
    if both.iter().any(|results| results.rates.is_empty()) {
        return Err("there is nothing to compare".into());
    }
    show(bench, &both);
    Ok(())
}

fn round(bench: &Bench, results: &mut Results) -> Result<(), String> {
    let setup = Setup {
        workers: results.workers,
        ..Setup::file(4_096)
    };
    let server = Server::start(Kind::Capuchin, &bench.place, setup)?;
    if !results.quota.hold(&server.processes()) {
        return Err("capuchin cannot be held to its share".into());
    }
    let watch = server.watch();
    let count = load::wrk(server.address, "/4096.bin", bench.seconds, LOAD)?;
    let used = watch.end();
    results.rates.push(count.requests as f64 / count.seconds);
    results
        .cpus
        .push(used.cpu.total() * 1e6 / count.requests.max(1) as f64);
    results.errors.extend(count.errors);
    results.disturbed = results.disturbed.max(used.disturbed);
    Ok(())
}

fn show(bench: &Bench, both: &[Results]) {
    let mut table = Table::new(&[
        "capuchin",
        "requests/s (range)",
        "of one",
        "user+system µs (range)",
        "of one",
        "errors",
    ]);
    let spread = |values: &[f64]| Spread::of(values.to_vec());
    let ratio = |values: fn(&Results) -> &[f64], results: &Results| {
        spread(values(results)).middle / spread(values(&both[0])).middle
    };
    let mut bars = Vec::new();
    for results in both {
        let name = match results.workers {
            1 => "one worker".to_owned(),
            _ => "two workers".to_owned(),
        };
        let rate = spread(&results.rates);
        table.row(&[
            name.clone(),
            rate.show(0),
            format!("{:.2}", ratio(|results| &results.rates, results)),
            spread(&results.cpus).show(2),
            format!("{:.2}", ratio(|results| &results.cpus, results)),
            errors_text(&results.errors),
        ]);
        bars.push(Bar {
            name,
            value: rate,
            decimals: 0,
        });
    }
    bench.report.table(&table);
    let disturbed = [("one worker", &both[0]), ("two workers", &both[1])];
    let disturbed = disturbed.map(|(name, results)| (name, results.disturbed));
    bench.report.disturbed(disturbed.into_iter());
    bench.report.plot(Plot {
        name: "workers".into(),
        title: "4 KB file, 64 connections, a quarter of a core per worker: requests/s".into(),
        figure: Figure::Bars(bars),
    });
    let two = &both[1];
    goals::workers(
        bench,
        ratio(|results| &results.rates, two),
        ratio(|results| &results.cpus, two),
    );
}
