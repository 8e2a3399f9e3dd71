//! Rates as a table, as notes and as plots.

use super::{Load, Rates};
use crate::machine;
use crate::peers::{Kind, Manner};
use crate::plots::{Bar, Figure, Plot};
use crate::quota::Quota;
use crate::scenarios::Scenario;
use crate::table::{Spread, Summary, Table, errors_text};
use crate::{Bench, report::Report};

/// From so many bytes a reply, bytes per second say more than requests per second.
const LARGE: usize = 100_000;

pub fn all(
    scenario: &Scenario,
    what: &Rates,
    bench: &Bench,
    quota: Option<&Quota>,
    results: &[(Kind, Summary)],
) {
    let report = &bench.report;
    report.table(&table(what, bench, results));
    if what.manner == Manner::Leave {
        report.note(&machine::ports());
    }
    if let Some(quota) = quota {
        report.note(&format!(
            "each server had {:.0} % of its core, so that the load is not the limit",
            quota.share * 100.0
        ));
    } else if what.quota {
        report.note("no CPU controller here: servers were not held to a part of their core");
    }
    if what.large {
        report.note(
            "capuchin copies by default, so that no reply is of two versions of a file; nginx copies by its own \
             default, too, and is configured here, as by Debian, with `sendfile on` where its name says nothing; \
             lighttpd sends by sendfile(2), hyper has the file in memory",
        );
        report.note(
            "over loopback the system does part of the sender's work in the receiver's time, and the other way round, by \
             who comes first: the CPU time of server and load together tells what a reply costs",
        );
    }
    notes(report, results);
    plots(scenario, what, report, results);
}

fn table(what: &Rates, bench: &Bench, results: &[(Kind, Summary)]) -> Table {
    let floor = find(results, Kind::Floor);
    let mut columns = vec!["server", "requests/s (range)", "of floor"];
    let (large, memory) = (
        what.bytes >= LARGE,
        results.iter().any(|(_, summary)| summary.memory.is_some()),
    );
    if large {
        columns.push("MB/s");
    }
    columns.extend([
        "user µs (range)",
        "of floor",
        "system µs",
        "user+system µs (range)",
        "of floor",
    ]);
    if what.large {
        columns.push("with the load's (range)");
    }
    columns.extend(["share busy", "errors"]);
    if memory {
        columns.extend([
            "Private_Dirty KB",
            "all private KB",
            "rate of its keepalive",
        ]);
    }
    let mut table = Table::new(&columns);
    for (kind, summary) in results {
        let of = |value: fn(&Summary) -> f64| {
            let ratio = floor.map(|floor| value(summary) / value(floor));
            // A user time too short for the kernel's tick is 0.
            let ratio = ratio.filter(|ratio| ratio.is_finite());
            ratio.map_or("—".into(), |ratio| format!("{ratio:.2}"))
        };
        let mut row = vec![
            kind.name().into(),
            summary.rate.show(0),
            of(|summary| summary.rate.middle),
        ];
        if large {
            row.push(format!("{:.0}", megabytes(what, summary).middle));
        }
        row.extend([
            summary.user.show(3),
            of(|summary| summary.user.middle),
            format!("{:.2}", summary.cpu.middle - summary.user.middle),
            summary.cpu.show(2),
            of(|summary| summary.cpu.middle),
        ]);
        if what.large {
            row.push(summary.both.show(0));
        }
        row.extend([
            format!("{:.0} %", summary.busy.middle * 100.0),
            errors_text(&summary.errors),
        ]);
        if memory {
            let show =
                |spread: Option<Spread>| spread.map_or("—".into(), |spread| spread.show(0));
            let alone = bench.keepalive.borrow();
            let alone = alone.iter().find(|(known, _)| known == kind);
            row.extend([
                show(summary.memory.map(|(dirty, _)| dirty)),
                show(summary.memory.map(|(_, private)| private)),
                alone.map_or("—".into(), |(_, rate)| {
                    format!("{:.2}", summary.rate.middle / rate)
                }),
            ]);
        }
        table.row(&row);
    }
    table
}

fn find(results: &[(Kind, Summary)], wanted: Kind) -> Option<&Summary> {
    let found = results.iter().find(|(kind, _)| *kind == wanted);
    found.map(|(_, summary)| summary)
}

fn megabytes(what: &Rates, summary: &Summary) -> Spread {
    summary.rate.times(what.bytes as f64 / 1e6)
}

/// What a reader must know to trust the table.
fn notes(report: &Report, results: &[(Kind, Summary)]) {
    let idle: Vec<&str> = results
        .iter()
        .filter(|(_, summary)| summary.is_load_s())
        .map(|(kind, _)| kind.name())
        .collect();
    if !idle.is_empty() {
        report.note(&format!(
            "the load (or what else ran), not the server, was the limit for {}: compare the CPU time",
            idle.join(", ")
        ));
    }
    report.disturbed(
        results
            .iter()
            .map(|(kind, summary)| (kind.name(), summary.disturbed.most)),
    );
}

/// Rate and CPU time, and memory where it was looked at.
fn plots(scenario: &Scenario, what: &Rates, report: &Report, results: &[(Kind, Summary)]) {
    let bars = |decimals: usize, value: &dyn Fn(&Summary) -> Option<Spread>| {
        let bar = |(kind, summary): &(Kind, Summary)| {
            Some(Bar {
                name: kind.name().into(),
                value: value(summary)?,
                decimals,
            })
        };
        Figure::Bars(results.iter().filter_map(bar).collect())
    };
    let plot = |name: String, unit: &str, figure| {
        report.plot(Plot {
            name,
            title: format!("{}: {unit}", scenario.title),
            figure,
        });
    };
    if what.bytes >= LARGE {
        let figure = bars(0, &|summary| Some(megabytes(what, summary)));
        plot(scenario.name.into(), "MB/s", figure);
    } else if what.load != Load::Pipelined {
        let figure = bars(0, &|summary| Some(summary.rate));
        plot(scenario.name.into(), "requests/s", figure);
    }
    let figure = bars(2, &|summary| Some(summary.cpu));
    let unit = "user+system µs per request";
    plot(format!("{}-cpu", scenario.name), unit, figure);
    if results.iter().any(|(_, summary)| summary.memory.is_some()) {
        let figure = bars(0, &|summary| summary.memory.map(|(dirty, _)| dirty));
        plot(
            format!("{}-memory", scenario.name),
            "Private_Dirty KB",
            figure,
        );
    }
}
