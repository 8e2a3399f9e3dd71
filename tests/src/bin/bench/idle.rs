//! Memory: at the start, and for each of 8,000 keep-alive connections that wait.

use crate::crowd::Crowd;
use crate::peers::{Kind, Place, Setup};
use crate::plots::{Bar, Figure, Plot};
use crate::server::Server;
use crate::table::{Spread, Table};
use crate::usage::Memory;
use crate::{Bench, goals};
use std::io;
use std::thread;
use std::time::Duration;

const CONNECTIONS: usize = 8_000;

/// What the first connections cost once (caches, first touches) is not what each costs.
const WARM: usize = 64;

/// The kernel maps as much of a program around what it touches as lies together in its cache, so that
/// no two starts are alike.
const STARTS: usize = 9;

/// For a server to finish what it does after a reply.
const SETTLE: Duration = Duration::from_millis(300);

pub fn run(bench: &Bench) -> Result<(), String> {
    let mut table = Table::new(&[
        "server",
        "private at start, KB (range)",
        "of it anonymous, KB (range)",
        "after 64 connections, KB",
        "with 8,000 more, KB",
        "bytes for each",
        "of them alive",
    ]);
    let (mut ours, mut starts, mut each) = (None, Vec::new(), Vec::new());
    for kind in &bench.kinds {
        let found = match measure(*kind, &bench.place) {
            Ok(found) => found,
            Err(message) => {
                bench.report.not_run(&message);
                continue;
            }
        };
        table.row(&[
            kind.name().into(),
            found.private.show(0),
            found.anonymous.show(0),
            (found.warm / 1_024).to_string(),
            (found.full / 1_024).to_string(),
            format!("{:.0}", found.each()),
            found.alive.to_string(),
        ]);
        let bar = |value| Bar {
            name: kind.name().into(),
            value,
            decimals: 0,
        };
        starts.push(bar(found.private));
        each.push(bar(Spread::of(vec![found.each()])));
        if *kind == Kind::Capuchin {
            ours = Some(found);
        }
    }
    bench.report.table(&table);
    for (name, title, bars) in [
        ("start-memory", "private memory at start: KB", starts),
        (
            "idle",
            "private memory of an idle keep-alive connection: bytes",
            each,
        ),
    ] {
        bench.report.plot(Plot {
            name: name.into(),
            title: title.into(),
            figure: Figure::Bars(bars),
        });
    }
    if let Some(found) = ours {
        let all_alive = found.alive == CONNECTIONS;
        goals::idle(
            bench,
            found.each(),
            all_alive,
            found.private,
            found.anonymous,
        );
    }
    Ok(())
}

/// Private bytes of a server.
struct Found {
    /// In KB, of several starts.
    private: Spread,
    anonymous: Spread,
    warm: u64,
    full: u64,
    /// Connections that answered once more after the measurement.
    alive: usize,
}

impl Found {
    fn each(&self) -> f64 {
        self.full.saturating_sub(self.warm) as f64 / CONNECTIONS as f64
    }
}

fn measure(kind: Kind, place: &Place) -> Result<Found, String> {
    let failed = |error: io::Error| format!("{}: idle connections: {error}", kind.name());
    let mut starts: Vec<Memory> = Vec::with_capacity(STARTS);
    let server = loop {
        let server = Server::start(kind, place, Setup::file(4_096))?;
        thread::sleep(SETTLE);
        starts.push(server.memory());
        if starts.len() == STARTS {
            break server;
        }
    };
    let kilobytes = |part: fn(&Memory) -> u64| {
        Spread::of(starts.iter().map(|m| part(m) as f64 / 1_024.0).collect())
    };
    let warm_crowd = Crowd::open(server.address, WARM).map_err(failed)?;
    thread::sleep(SETTLE);
    let warm = server.memory().private;
    let mut crowd = Crowd::open(server.address, CONNECTIONS).map_err(failed)?;
    thread::sleep(SETTLE);
    let full = server.memory().private;
    let alive = crowd.alive();
    drop((warm_crowd, crowd));
    Ok(Found {
        private: kilobytes(|memory| memory.private),
        anonymous: kilobytes(|memory| memory.anonymous),
        warm,
        full,
        alive,
    })
}
