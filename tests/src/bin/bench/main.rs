//! The bench: Capuchin beside the floor and the peers that are installed, in one run.
//!
//! `bench [SCENARIO…] [--seconds N] [--rounds N] [--only SERVER]`. Each server runs with one worker
//! on core 0, the load generator on core 1. Servers take turns (A B C A B C), medians and ranges are
//! printed as Markdown tables. A goal that is missed is said, and fails nothing: timings are not
//! tests. Build everything first: `cargo build --release --workspace`.

mod idle;
mod load;
mod peers;
mod pipeline;
mod table;

use peers::{Kind, Place, Server};
use std::process::ExitCode;
use table::{Summary, Table};

const SCENARIOS: [&str; 5] = ["keepalive", "connections", "pipelined", "httperf", "idle"];

/// Core of the servers, core of the load.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

struct Options {
    scenarios: Vec<String>,
    seconds: u64,
    rounds: usize,
    only: Option<String>,
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("bench: {message}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Options, String> {
    let mut options = Options {
        scenarios: Vec::new(),
        seconds: 4,
        rounds: 3,
        only: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if SCENARIOS.contains(&&*word) {
            options.scenarios.push(word);
            continue;
        }
        let value = words.next().ok_or_else(|| {
            format!(
                "'{word}' is no scenario ({}) and no option",
                SCENARIOS.join(", ")
            )
        })?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{word}: '{value}' is no number"))
        };
        match &*word {
            "--seconds" => options.seconds = number()?,
            "--rounds" => options.rounds = number()? as usize,
            "--only" => options.only = Some(value),
            _ => {
                return Err(format!(
                    "there is no option {word}: --seconds N, --rounds N, --only SERVER"
                ));
            }
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = SCENARIOS.map(String::from).to_vec();
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    load::raise_descriptor_limit();
    let place = Place::make().map_err(|error| format!("no place for files: {error}"))?;
    let mut kinds = vec![Kind::Floor, Kind::Capuchin, Kind::Nginx, Kind::Lighttpd];
    kinds.retain(|kind| {
        options
            .only
            .as_deref()
            .is_none_or(|only| only == kind.name())
    });
    for kind in &kinds {
        if !kind.is_installed() {
            println!("NOT RUN: {}: {}", kind.name(), kind.how_to_get());
        }
    }
    kinds.retain(Kind::is_installed);
    println!("machine: {}, {}", load::processor(), load::kernel());
    println!(
        "command: bench {}",
        std::env::args().skip(1).collect::<Vec<_>>().join(" ")
    );
    for scenario in &options.scenarios {
        match &**scenario {
            "keepalive" => rate(
                options,
                &place,
                &kinds,
                "keepalive",
                "4 KB file, 64 connections, keep-alive",
                Load::KeepAlive,
            )?,
            "connections" => rate(
                options,
                &place,
                &kinds,
                "connections",
                "4 KB file, a connection for each request",
                Load::Close,
            )?,
            "pipelined" => rate(
                options,
                &place,
                &kinds,
                "pipelined",
                "128-byte file, 16 requests deep, 16 connections",
                Load::Pipelined,
            )?,
            "idle" => idle::run(&place, &kinds)?,
            _ => httperf(&place, &kinds)?,
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Load {
    KeepAlive,
    Close,
    Pipelined,
}

/// What one run of one server gave.
#[derive(Clone, Copy, Default)]
struct Sample {
    rate: f64,
    user_us: f64,
    system_us: f64,
    errors: u64,
}

fn rate(
    options: &Options,
    place: &Place,
    kinds: &[Kind],
    name: &str,
    title: &str,
    load: Load,
) -> Result<(), String> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); kinds.len()];
    for _ in 0..options.rounds {
        for (kind, samples) in kinds.iter().zip(&mut samples) {
            let bytes = if load == Load::Pipelined { 128 } else { 4_096 };
            let server = Server::start(*kind, place, bytes, load == Load::Close)?;
            let path = format!("{bytes}.bin");
            let before = server.cpu();
            let (requests, seconds, errors) = match load {
                Load::Pipelined => {
                    // A server that breaks off has nothing to show, but others have.
                    pipeline::run(server.address, &format!("/{path}"), options.seconds)
                        .unwrap_or_else(|message| {
                            println!("{}: {message}", kind.name());
                            (0, 1.0, 1)
                        })
                }
                _ => load::wrk(&server.url(&path), options.seconds, load == Load::Close)?,
            };
            let after = server.cpu();
            let per_request = |ticks: f64| ticks * 1e6 / requests.max(1) as f64;
            samples.push(Sample {
                rate: requests as f64 / seconds,
                user_us: per_request(after.user - before.user),
                system_us: per_request(after.system - before.system),
                errors,
            });
        }
    }
    let summaries: Vec<Summary> = samples.iter().map(|samples| Summary::of(samples)).collect();
    let floor = kinds
        .iter()
        .position(|kind| *kind == Kind::Floor)
        .map(|at| summaries[at]);
    let mut table = Table::new(&[
        "server",
        "requests/s (range)",
        "of floor",
        "user µs",
        "of floor",
        "user+system µs",
        "of floor",
        "errors",
    ]);
    for (kind, summary) in kinds.iter().zip(&summaries) {
        let of = |value: f64, floor: Option<f64>| {
            floor.map_or_else(|| "—".into(), |floor| format!("{:.2}", value / floor))
        };
        table.row(&[
            kind.name().into(),
            format!(
                "{:.0} ({:.0}–{:.0})",
                summary.rate.median, summary.rate.least, summary.rate.most
            ),
            of(summary.rate.median, floor.map(|floor| floor.rate.median)),
            format!("{:.2}", summary.user.median),
            of(summary.user.median, floor.map(|floor| floor.user.median)),
            format!("{:.2}", summary.cpu.median),
            of(summary.cpu.median, floor.map(|floor| floor.cpu.median)),
            summary.errors.to_string(),
        ]);
    }
    println!("\n### {name}: {title}\n\n{table}");
    goals(name, kinds, &summaries);
    Ok(())
}

/// The goals that the project set itself, as far as this scenario shows them.
fn goals(name: &str, kinds: &[Kind], summaries: &[Summary]) {
    let find = |wanted: Kind| {
        kinds
            .iter()
            .position(|kind| *kind == wanted)
            .map(|at| summaries[at])
    };
    let Some(ours) = find(Kind::Capuchin) else {
        return;
    };
    for (kind, peer) in kinds.iter().zip(summaries) {
        if matches!(kind, Kind::Nginx | Kind::Lighttpd) && name != "pipelined" {
            goal(
                &format!(
                    "{:.2} times {}",
                    ours.rate.median / peer.rate.median,
                    kind.name()
                ),
                ours.rate.median >= peer.rate.median,
            );
        }
    }
    let Some(floor) = find(Kind::Floor) else {
        return;
    };
    match name {
        "keepalive" => {
            let ratio = ours.rate.median / floor.rate.median;
            goal(
                &format!("{ratio:.2} of floor's requests/s, wanted 0.90"),
                ratio >= 0.90,
            );
            let ratio = ours.user.median / floor.user.median;
            goal(
                &format!("user time {ratio:.2} times floor's, wanted at most 2.5"),
                ratio <= 2.5,
            );
        }
        "pipelined" => {
            let ratio = ours.cpu.median / floor.cpu.median;
            goal(
                &format!("CPU time {ratio:.2} times floor's, wanted at most 1.5"),
                ratio <= 1.5,
            );
        }
        _ => {}
    }
}

fn goal(what: &str, reached: bool) {
    println!("{}: {what}", if reached { "PASS" } else { "MISS" });
}

fn httperf(place: &Place, kinds: &[Kind]) -> Result<(), String> {
    if !load::has("httperf") {
        println!("\nNOT RUN: httperf: apt-get install httperf");
        return Ok(());
    }
    let mut table = Table::new(&["server", "replies", "errors"]);
    let mut ours = None;
    for kind in kinds {
        // The floor is no target here: it keeps nothing for a client that is late.
        if *kind == Kind::Floor {
            continue;
        }
        load::wait_for_ports();
        let server = Server::start(*kind, place, 4_096, true)?;
        let result = load::httperf(server.address, "/4096.bin")?;
        let cell = |value: Option<u64>| {
            value.map_or("httperf did not end".into(), |value| value.to_string())
        };
        table.row(&[
            kind.name().into(),
            cell(result.map(|(replies, _)| replies)),
            cell(result.map(|(_, errors)| errors)),
        ]);
        if *kind == Kind::Capuchin {
            ours = result.map(|(_, errors)| errors);
        }
    }
    println!("\n### httperf: 30,000 connections at 3,000/s, 4 KB reply, 1 s timeout\n\n{table}");
    if let Some(errors) = ours {
        goal(&format!("{errors} errors, wanted 0"), errors == 0);
    }
    Ok(())
}
