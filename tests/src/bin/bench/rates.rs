//! The scenarios that measure requests per second and CPU time for each request.

use crate::crowd::Crowd;
use crate::load::{self, Count, Wrk};
use crate::peers::{Kind, Manner, Place, Setup};
use crate::quota::{self, Quota};
use crate::readers::Readers;
use crate::scenarios::Scenario;
use crate::server::Server;
use crate::table::{Sample, Summary};
use crate::usage::Memory;
use crate::{Bench, ab, goals, machine, pipeline, rounds, usage};
use std::time::Duration;
use std::{io, thread};

mod show;

/// Bytes of a file so long that there are a few hundred replies in a run, and 16 are cut off at its end.
const CUT_OFF: usize = 1_000_000;

/// What is asked for, and how.
#[derive(Clone, Copy)]
pub struct Rates {
    /// Of the file.
    pub bytes: usize,
    pub load: Load,
    pub manner: Manner,
    pub beside: Beside,
    /// Each server is held to part of its core, so that the load is not the limit.
    pub quota: bool,
    /// Servers that cannot do it.
    pub without: &'static [Kind],
    /// The file is not kept in memory: what sends it by sendfile(2) and what copies it run beside each other.
    pub large: bool,
    /// Goals depend on small differences: twice as many rounds, each twice as long.
    pub thorough: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Wrk {
        connections: usize,
        close: bool,
    },
    /// wrk with 64 connections that ask for 16 files in turn; with `fresh`, by a head that did not come before.
    InTurn {
        fresh: bool,
    },
    /// HTTP/1.0, 64 connections; with `keep`, they live on.
    Ab {
        keep: bool,
    },
    Pipelined,
}

/// What goes on beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    Nothing,
    /// So many connections that wait.
    Idle(usize),
    /// So many readers of a large file who take their time.
    Slow(usize),
}

impl Rates {
    /// How many times what other scenarios take, in rounds and in seconds.
    fn effort(&self) -> u8 {
        if self.thorough { 2 } else { 1 }
    }

    fn drive(&self, server: &Server, place: &Place, seconds: u64) -> Result<Count, String> {
        let path = format!("/{}.bin", self.bytes);
        let how = |connections, close| Wrk {
            connections,
            close,
            threads: 1,
        };
        match self.load {
            Load::Wrk { connections, close } => {
                load::wrk(server.address, &path, seconds, how(connections, close))
            }
            Load::InTurn { fresh } => {
                let (script, how) = (place.in_turn(fresh), how(64, false));
                load::wrk_by(Some(&script), server.address, &path, seconds, how)
            }
            Load::Ab { keep } => ab::run(server.address, &path, seconds, keep),
            Load::Pipelined => pipeline::run(server.address, &path, seconds),
        }
    }

    /// How many requests were answered, by what came of them where those matter that the end of a run cuts off.
    fn requests(&self, count: &Count) -> f64 {
        match count.bytes {
            Some(bytes) if self.bytes >= CUT_OFF => bytes as f64 / self.bytes as f64,
            _ => count.requests as f64,
        }
    }
}

pub fn run(scenario: &Scenario, what: &Rates, bench: &Bench) -> Result<(), String> {
    match what.load {
        Load::Wrk { .. } | Load::InTurn { .. } => drop(machine::need("wrk")?),
        Load::Ab { .. } => drop(machine::need("ab")?),
        Load::Pipelined => {}
    }
    let quota = what.quota.then(|| Quota::make(quota::SHARE)).flatten();
    let mut kinds = bench.kinds.clone();
    if what.large {
        let is_there = |kind: &Kind| bench.kinds.contains(&kind.usual());
        kinds = Kind::LARGE.into_iter().filter(is_there).collect();
    }
    kinds.retain(|kind| !what.without.contains(kind));
    let mut entrants: Vec<Entrant> = kinds.into_iter().map(Entrant::new).collect();
    let rounds = bench.rounds * usize::from(what.effort());
    rounds::in_turn(&bench.report, rounds, &mut entrants, |entrant| {
        entrant.round(what, bench, quota.as_ref())
    });
    for entrant in &mut entrants {
        // Ended before the group that it is in.
        entrant.running = None;
    }
    entrants.retain(|entrant| !entrant.samples.is_empty());
    let results: Vec<(Kind, Summary)> = entrants
        .iter()
        .map(|entrant| (entrant.kind, Summary::of(&entrant.samples)))
        .collect();
    show::all(scenario, what, bench, quota.as_ref(), &results);
    if scenario.name == "keepalive" {
        let rates = results.iter().map(|(kind, s)| (*kind, s.rate.middle));
        bench.keepalive.replace(rates.collect());
    }
    goals::rates(bench, scenario.name, &results);
    Ok(())
}

/// A server in the race.
struct Entrant {
    kind: Kind,
    running: Option<Server>,
    samples: Vec<Sample>,
}

impl Entrant {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            running: None,
            samples: Vec::new(),
        }
    }

    fn round(&mut self, what: &Rates, bench: &Bench, quota: Option<&Quota>) -> Result<(), String> {
        let named = |message: String| format!("{}: {message}", self.kind.name());
        let setup = Setup {
            bytes: what.bytes,
            manner: what.manner,
            workers: 1,
        };
        let server = match self.running.take() {
            Some(server) => server,
            None => Server::start(self.kind, &bench.place, setup)?,
        };
        let mut others = Others::start(what.beside, &server)
            .map_err(|error| named(format!("connections beside the load: {error}")))?;
        let share = match quota {
            Some(quota) if quota.hold(&server.processes()) => quota.share,
            Some(_) => return Err(named("it cannot be held to its share".into())),
            None => 1.0,
        };
        let seconds = bench.seconds * u64::from(what.effort());
        let (watch, load) = (server.watch(), usage::own());
        let (count, memory) = thread::scope(|scope| {
            let memory = (what.beside != Beside::Nothing)
                .then(|| scope.spawn(|| memory_amid(&server, seconds)));
            let count = what.drive(&server, &bench.place, seconds);
            (count, memory.and_then(|memory| memory.join().ok()))
        });
        let mut count = count.map_err(named)?;
        let (used, load) = (watch.end(), usage::own() - load);
        count.errors.extend(others.errors());
        let requests = what.requests(&count);
        let each = |seconds: f64| seconds * 1e6 / requests.max(1.0);
        self.samples.push(Sample {
            rate: requests / count.seconds,
            user: each(used.cpu.user),
            cpu: each(used.cpu.total()),
            both: each(used.cpu.total() + load),
            busy: used.cpu.total() / used.seconds / share,
            disturbed: used.disturbed,
            errors: count.errors,
            memory,
        });
        // Each connection leaves a port in TIME_WAIT. With the same server port in every round they
        // stay below the kernel's limit, beyond which closing would become cheaper.
        if what.manner == Manner::Leave {
            self.running = Some(server);
        }
        Ok(())
    }
}

/// Memory of a server in the middle of a run.
fn memory_amid(server: &Server, seconds: u64) -> Memory {
    thread::sleep(Duration::from_secs(seconds) / 2);
    server.memory()
}

/// Connections beside the load, while this lives.
enum Others {
    None,
    Idle(Crowd, usize),
    Slow(Readers),
}

impl Others {
    fn start(beside: Beside, server: &Server) -> io::Result<Self> {
        Ok(match beside {
            Beside::Nothing => Self::None,
            Beside::Idle(count) => Self::Idle(Crowd::open(server.address, count)?, count),
            Beside::Slow(count) => Self::Slow(Readers::start(server, count)?),
        })
    }

    /// What went wrong with them.
    fn errors(&mut self) -> Option<(String, u64)> {
        let (what, number) = match self {
            Self::None => return None,
            Self::Idle(crowd, count) => ("idle closed", (*count - crowd.alive()) as u64),
            Self::Slow(readers) => ("slow cut off", readers.end()),
        };
        (number > 0).then(|| (what.into(), number))
    }
}
