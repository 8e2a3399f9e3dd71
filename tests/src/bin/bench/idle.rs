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
        "Private_Dirty at start, KB (range)",
        "all private at start, KB (range)",
        "all private beside a second instance, KB (range)",
        "Rss at start, KB (range)",
        "all private after 64 connections, KB",
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
            found.dirty.show(0),
            found.private.show(0),
            found.in_company.show(0),
            found.resident.show(0),
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
        starts.push(bar(found.dirty));
        each.push(bar(Spread::of(vec![found.each()])));
        if *kind == Kind::Capuchin {
            ours = Some(found);
        }
    }
    bench.report.table(&table);
    for (name, title, bars) in [
        (
            "start-memory",
            "memory at start that the kernel cannot take back (Private_Dirty): KB",
            starts,
        ),
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
    bench.report.note(
        "of a server of several processes (nginx has two) what they share with each other is private to none, and \
         more than once in Rss",
    );
    if let Some(found) = ours {
        bench.report.note(&format!(
            "Private_Dirty (proc(5)) decides: the other private pages are clean ones of the program's file. They are \
             the page cache's, which drops them when memory is short, and private only while no other process runs \
             the program: beside a second instance {:.0} KB of the first are private",
            found.in_company.middle
        ));
        let all_alive = found.alive == CONNECTIONS;
        goals::idle(bench, found.each(), all_alive, found.dirty, found.private);
    }
    Ok(())
}

/// Memory of a server.
struct Found {
    /// In KB, of several starts.
    dirty: Spread,
    private: Spread,
    resident: Spread,
    /// What is private while a second instance runs.
    in_company: Spread,
    /// Private bytes.
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
    let start = || {
        let server = Server::start(kind, place, Setup::file(4_096))?;
        thread::sleep(SETTLE);
        Ok::<_, String>(server)
    };
    let (mut alone, mut in_company) = (Vec::with_capacity(STARTS), Vec::with_capacity(STARTS));
    let server = loop {
        let server = start()?;
        alone.push(server.memory());
        let second = start()?;
        in_company.push(server.memory());
        drop(second);
        if alone.len() == STARTS {
            break server;
        }
    };
    let kilobytes = |of: &[Memory], part: fn(&Memory) -> u64| {
        Spread::of(of.iter().map(|m| part(m) as f64 / 1_024.0).collect())
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
        dirty: kilobytes(&alone, |memory| memory.dirty),
        private: kilobytes(&alone, |memory| memory.private),
        resident: kilobytes(&alone, |memory| memory.resident),
        in_company: kilobytes(&in_company, |memory| memory.private),
        warm,
        full,
        alive,
    })
}
