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

/// What the first connections cost once (caches, first touches, also of what many at a time need) is not what each
/// costs.
const WARM: usize = 1_000;

/// The kernel maps as much of a program around what it touches as lies together in its cache, so that
/// no two starts are alike.
const STARTS: usize = 9;

/// Servers that are filled with connections. The least counts: whatever else a process writes meanwhile only adds to it,
/// and memory is counted in pages.
const CROWDS: usize = 5;

/// After so long a server looks whether its files are as they were.
const LOOK_AGAIN: Duration = Duration::from_millis(1_100);

/// For a server to finish what it does after a reply.
const SETTLE: Duration = Duration::from_millis(300);

pub fn run(bench: &Bench) -> Result<(), String> {
    let mut table = Table::new(&[
        "server",
        "Private_Dirty at start, KB (range)",
        "all private at start, KB (range)",
        "all private beside a second instance, KB (range)",
        "Rss at start, KB (range)",
        "Private_Dirty after 1,000 connections, KB (range)",
        "with 8,000 more, KB (range)",
        "bytes for each, the least (range)",
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
            found.warm.show(0),
            found.full.show(0),
            found.each.show(1),
            found.alive.to_string(),
        ]);
        let bar = |value| Bar {
            name: kind.name().into(),
            value,
            decimals: 0,
        };
        starts.push(bar(found.dirty));
        each.push(bar(found.each));
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
        goals::idle(
            bench,
            found.each.middle,
            all_alive,
            found.dirty,
            found.private,
        );
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
    /// `Private_Dirty` with connections, in KB: which pages of the program's file are there is another matter.
    warm: Spread,
    full: Spread,
    /// Bytes for each connection; in the middle stands the least.
    each: Spread,
    /// Connections that answered once more after the measurement.
    alive: usize,
}

fn measure(kind: Kind, place: &Place) -> Result<Found, String> {
    let failed = |error: io::Error| format!("{}: idle connections: {error}", kind.name());
    let start = || {
        let server = Server::start(kind, place, Setup::file(4_096))?;
        thread::sleep(SETTLE);
        Ok::<_, String>(server)
    };
    let (mut alone, mut in_company) = (Vec::with_capacity(STARTS), Vec::with_capacity(STARTS));
    while alone.len() < STARTS {
        let server = start()?;
        alone.push(server.memory());
        let second = start()?;
        in_company.push(server.memory());
        drop(second);
    }
    let kilobytes = |of: &[Memory], part: fn(&Memory) -> u64| {
        Spread::of(of.iter().map(|m| part(m) as f64 / 1_024.0).collect())
    };
    let (mut warm, mut full, mut alive) = (Vec::new(), Vec::new(), CONNECTIONS);
    for _ in 0..CROWDS {
        let server = start()?;
        let mut first = Crowd::open(server.address, WARM).map_err(failed)?;
        thread::sleep(LOOK_AGAIN);
        first.alive();
        thread::sleep(SETTLE);
        warm.push(server.memory());
        let mut crowd = Crowd::open(server.address, CONNECTIONS).map_err(failed)?;
        thread::sleep(SETTLE);
        full.push(server.memory());
        alive = alive.min(crowd.alive());
    }
    let each = warm.iter().zip(&full);
    let each = each.map(|(warm, full)| full.dirty.saturating_sub(warm.dirty) as f64);
    let each = Spread::least_of(each.map(|bytes| bytes / CONNECTIONS as f64).collect());
    Ok(Found {
        dirty: kilobytes(&alone, |memory| memory.dirty),
        private: kilobytes(&alone, |memory| memory.private),
        resident: kilobytes(&alone, |memory| memory.resident),
        in_company: kilobytes(&in_company, |memory| memory.private),
        warm: kilobytes(&warm, |memory| memory.dirty),
        full: kilobytes(&full, |memory| memory.dirty),
        each,
        alive,
    })
}
