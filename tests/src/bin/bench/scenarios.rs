//! What is measured: a scenario is a name, a title, and how it is run.

use crate::peers::{Kind, Manner};
use crate::rates::{Beside, Load, Rates};
use crate::{Bench, calls, httperf, idle, latency, pipeline, rates, upload, workers};

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// For `--help`.
    pub help: &'static str,
    /// For the table.
    pub title: &'static str,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    Rates(Rates),
    Other(fn(&Bench) -> Result<(), String>),
}

impl Scenario {
    pub fn run(&self, bench: &Bench) -> Result<(), String> {
        match &self.way {
            Way::Rates(what) => rates::run(self, what, bench),
            Way::Other(run) => run(bench),
        }
    }
}

/// Most of them: 64 connections of wrk, one after the other's reply.
const USUAL: Rates = Rates {
    bytes: 4_096,
    load: Load::Wrk {
        connections: 64,
        close: false,
    },
    manner: Manner::Stay,
    beside: Beside::Nothing,
    quota: true,
    without: &[],
    large: false,
    thorough: false,
};

pub const SCENARIOS: [Scenario; 18] = [
    Scenario {
        name: "keepalive",
        help: "4 KB file, 64 connections (wrk); half a core for a server, if that can be had; twice the effort",
        title: "4 KB file, 64 connections, keep-alive",
        way: Way::Rates(Rates {
            thorough: true,
            ..USUAL
        }),
    },
    Scenario {
        name: "keepalive-paths",
        help: "as keepalive, 16 files of 4 KB in turn",
        title: "16 files of 4 KB in turn, 64 connections, keep-alive",
        way: Way::Rates(Rates {
            load: Load::InTurn { fresh: false },
            ..USUAL
        }),
    },
    Scenario {
        name: "keepalive-fresh",
        help: "as before, with a field in each head that no other has: none comes twice",
        title: "16 files of 4 KB in turn, no head twice, 64 connections, keep-alive",
        way: Way::Rates(Rates {
            load: Load::InTurn { fresh: true },
            ..USUAL
        }),
    },
    Scenario {
        name: "connections",
        help: "4 KB file, a connection for each request (wrk); half a core for a server, too",
        title: "4 KB file, a connection for each request, 64 at a time",
        way: Way::Rates(Rates {
            load: Load::Wrk {
                connections: 64,
                close: true,
            },
            manner: Manner::Leave,
            ..USUAL
        }),
    },
    Scenario {
        name: "pipelined",
        help: "128-byte file, 16 requests deep",
        title: "128-byte file, 16 requests deep, 32 connections",
        way: Way::Rates(Rates {
            bytes: pipeline::BODY,
            load: Load::Pipelined,
            manner: Manner::Together,
            // They are compared by CPU time, which does not need it.
            quota: false,
            ..USUAL
        }),
    },
    Scenario {
        name: "latency",
        help: "4 KB file at 70 % of what a server can do, 64 connections; percentiles",
        title: "4 KB file at a constant rate, 64 connections",
        way: Way::Other(latency::run),
    },
    Scenario {
        name: "syscalls",
        help: "system calls of each request, under strace",
        title: "system calls, 4 KB file, 64 connections, keep-alive",
        way: Way::Other(calls::run),
    },
    Scenario {
        name: "file100k",
        help: "100 KB file, 64 connections (wrk); capuchin and nginx copy it, or use sendfile(2)",
        title: "100 KB file, 64 connections, keep-alive",
        way: Way::Rates(Rates {
            bytes: 100_000,
            large: true,
            ..USUAL
        }),
    },
    Scenario {
        name: "file10m",
        help: "10 MB file, 16 connections (wrk); as before; twice the effort",
        title: "10 MB file, 16 connections, keep-alive",
        way: Way::Rates(Rates {
            bytes: 10_000_000,
            large: true,
            thorough: true,
            load: Load::Wrk {
                connections: 16,
                close: false,
            },
            // It sends a reply by one call.
            without: &[Kind::Floor],
            ..USUAL
        }),
    },
    Scenario {
        name: "busy-idle",
        help: "as keepalive, beside 9,936 connections that wait: 10,000 in all; memory, too",
        title: "4 KB file, 64 busy connections beside 9,936 that wait",
        way: Way::Rates(Rates {
            beside: Beside::Idle(10_000 - 64),
            ..USUAL
        }),
    },
    Scenario {
        name: "http10",
        help: "4 KB file by HTTP/1.0, a connection for each request (ab)",
        title: "4 KB file by HTTP/1.0, a connection for each request, 64 at a time",
        way: Way::Rates(Rates {
            load: Load::Ab { keep: false },
            manner: Manner::Leave,
            ..USUAL
        }),
    },
    Scenario {
        name: "http10-keep",
        help: "4 KB file by HTTP/1.0 with Connection: Keep-Alive, 64 connections (ab)",
        title: "4 KB file by HTTP/1.0, 64 connections, keep-alive",
        way: Way::Rates(Rates {
            load: Load::Ab { keep: true },
            manner: Manner::StayTold,
            ..USUAL
        }),
    },
    Scenario {
        name: "slow",
        help: "as keepalive, beside 500 readers of a 10 MB file who take 20 KB/s each; memory, too",
        title: "4 KB file, 64 busy connections beside 500 that take 10 MB at 20 KB/s each",
        way: Way::Rates(Rates {
            beside: Beside::Slow(500),
            // It sends a reply by one call.
            without: &[Kind::Floor],
            ..USUAL
        }),
    },
    Scenario {
        name: "upload",
        help: "100 MB by POST on one connection",
        title: "100 MB by POST on one connection, read and thrown away",
        way: Way::Other(upload::run),
    },
    Scenario {
        name: "workers",
        help: "capuchin with one worker and with two, each with a quarter of a core (wrk)",
        title: "4 KB file, 64 connections, keep-alive; one worker and two",
        way: Way::Other(workers::run),
    },
    Scenario {
        name: "httperf",
        help: "30,000 connections at 3,000/s, 1 s timeout (httperf)",
        title: "30,000 connections at 3,000/s, 4 KB reply, 1 s timeout",
        way: Way::Other(httperf::run),
    },
    Scenario {
        name: "httperf-steps",
        help: "3,000 connections/s, 6,000 and so on, each 3 s, up to the first error",
        title: "connections each with one request, more and more a second, 1 s timeout",
        way: Way::Other(httperf::steps::run),
    },
    Scenario {
        name: "idle",
        help: "memory at start and of 8,000 keep-alive connections that wait",
        title: "memory of keep-alive connections that wait, each after one request",
        way: Way::Other(idle::run),
    },
];
