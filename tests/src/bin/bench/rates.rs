//! The scenarios that measure requests per second and CPU time for each: keep-alive, a connection
//! for each request, pipelined.

use crate::load::{self, Count};
use crate::peers::{Kind, Place};
use crate::quota::{self, Quota};
use crate::server::Server;
use crate::table::{Sample, Summary, Table, errors_text};
use crate::{goals, machine, pipeline};
use std::time::Instant;

/// A server that had its core for less than this part of the run was not at its limit.
const SATURATED: f64 = 0.95;

/// More than this part of a run spent waiting for the core, and other work spoils the figures.
const DISTURBED: f64 = 0.02;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    KeepAlive,
    Connections,
    Pipelined,
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keepalive",
            Self::Connections => "connections",
            Self::Pipelined => "pipelined",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::KeepAlive => "4 KB file, 64 connections, keep-alive",
            Self::Connections => "4 KB file, a connection for each request, 64 at a time",
            Self::Pipelined => "128-byte file, 16 requests deep, 32 connections",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::KeepAlive | Self::Connections => 4_096,
            Self::Pipelined => pipeline::BODY,
        }
    }

    fn drive(self, server: &Server, seconds: u64) -> Result<Count, String> {
        let path = format!("/{}.bin", self.bytes());
        match self {
            Self::KeepAlive => load::wrk(server.address, &path, seconds, false),
            Self::Connections => load::wrk(server.address, &path, seconds, true),
            Self::Pipelined => pipeline::run(server.address, &path, seconds),
        }
    }
}

/// Servers take turns, A B C A B C, so that a change of the machine's mood meets all of them.
pub fn run(
    load: Load,
    place: &Place,
    kinds: &[Kind],
    seconds: u64,
    rounds: usize,
) -> Result<(), String> {
    if load != Load::Pipelined && machine::program("wrk").is_none() {
        println!("\nNOT RUN: {}: {}", load.name(), machine::TOOLS);
        return Ok(());
    }
    // Pipelined requests are compared by CPU time, which does not need it.
    let quota = match load {
        Load::Pipelined => None,
        _ => Quota::make(),
    };
    let mut entrants: Vec<Entrant> = kinds.iter().copied().map(Entrant::new).collect();
    for _ in 0..rounds {
        for entrant in &mut entrants {
            if let Err(message) = entrant.round(load, place, seconds, quota.as_ref()) {
                println!("NOT RUN: {message}");
                entrant.failed = true;
            }
        }
    }
    for entrant in &mut entrants {
        // Ended before the group that it is in.
        entrant.running = None;
    }
    entrants.retain(|entrant| !entrant.samples.is_empty());
    let results: Vec<(Kind, Summary)> = entrants
        .iter()
        .map(|entrant| (entrant.kind, Summary::of(&entrant.samples)))
        .collect();
    println!(
        "\n### {}: {}\n\n{}",
        load.name(),
        load.title(),
        table(&results)
    );
    if load == Load::Connections {
        println!("note: {}", machine::ports());
    }
    if quota.is_some() {
        println!(
            "note: each server had {:.0} % of its core, so that the load is not the limit",
            quota::SHARE * 100.0
        );
    }
    notes(&results);
    goals::rates(load.name(), &results);
    Ok(())
}

/// A server in the race.
struct Entrant {
    kind: Kind,
    running: Option<Server>,
    samples: Vec<Sample>,
    failed: bool,
}

impl Entrant {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            running: None,
            samples: Vec::new(),
            failed: false,
        }
    }

    fn round(
        &mut self,
        load: Load,
        place: &Place,
        seconds: u64,
        quota: Option<&Quota>,
    ) -> Result<(), String> {
        if self.failed {
            return Ok(());
        }
        let server = match self.running.take() {
            Some(server) => server,
            None => Server::start(self.kind, place, load.bytes(), load == Load::Connections)?,
        };
        let share = match quota {
            Some(quota) if quota.hold(&server.processes()) => quota::SHARE,
            Some(_) => return Err(format!("{} cannot be held to its share", self.kind.name())),
            None => 1.0,
        };
        let (before, begin) = (server.cpu(), Instant::now());
        let count = load
            .drive(&server, seconds)
            .map_err(|message| format!("{}: {message}", self.kind.name()))?;
        let (used, whole) = (server.cpu() - before, begin.elapsed().as_secs_f64());
        let each = |seconds: f64| seconds * 1e6 / count.requests.max(1) as f64;
        self.samples.push(Sample {
            rate: count.requests as f64 / count.seconds,
            user: each(used.user),
            cpu: each(used.total()),
            busy: used.total() / whole / share,
            // Waiting for the next share is no disturbance.
            disturbed: if quota.is_some() {
                0.0
            } else {
                used.waited / whole
            },
            errors: count.errors,
        });
        // Each connection leaves a port in TIME_WAIT. With the same server port in every round they
        // stay below the kernel's limit, beyond which closing would become cheaper.
        if load == Load::Connections {
            self.running = Some(server);
        }
        Ok(())
    }
}

fn table(results: &[(Kind, Summary)]) -> Table {
    let floor = results
        .iter()
        .find(|(kind, _)| *kind == Kind::Floor)
        .map(|(_, summary)| summary);
    let mut table = Table::new(&[
        "server",
        "requests/s (range)",
        "of floor",
        "user µs (range)",
        "of floor",
        "user+system µs (range)",
        "of floor",
        "share busy",
        "errors",
    ]);
    for (kind, summary) in results {
        let of = |value: fn(&Summary) -> f64| {
            floor.map_or_else(
                || "—".into(),
                |floor| format!("{:.2}", value(summary) / value(floor)),
            )
        };
        table.row(&[
            kind.name().into(),
            summary.rate.show(0),
            of(|summary| summary.rate.middle),
            summary.user.show(3),
            of(|summary| summary.user.middle),
            summary.cpu.show(2),
            of(|summary| summary.cpu.middle),
            format!("{:.0} %", summary.busy.middle * 100.0),
            errors_text(&summary.errors),
        ]);
    }
    table
}

/// What a reader must know to trust the table.
fn notes(results: &[(Kind, Summary)]) {
    let idle: Vec<&str> = results
        .iter()
        .filter(|(_, summary)| summary.busy.middle < SATURATED)
        .map(|(kind, _)| kind.name())
        .collect();
    if !idle.is_empty() {
        println!(
            "note: the load, not the server, was the limit for {}: compare the CPU time",
            idle.join(", ")
        );
    }
    for (kind, summary) in results {
        if summary.disturbed.most > DISTURBED {
            println!(
                "note: DISTURBED: {} waited up to {:.0} % of a run for its core; something else ran",
                kind.name(),
                summary.disturbed.most * 100.0
            );
        }
    }
}
