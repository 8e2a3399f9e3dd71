//! The bench: Capuchin beside the floor and the peers that are installed, in one run.
//!
//! Each server runs with one worker on one core, the load generator on another. Servers take turns;
//! medians (of user time, which the kernel samples coarsely, means) and ranges are printed as
//! Markdown tables, then which goals were reached. It builds nothing: `capuchin`, `floor` and
//! `hyper-peer` are taken from where it is itself. It never judges by its exit status: timings are
//! not tests.

mod ab;
mod calls;
mod crowd;
mod framing;
mod goals;
mod httperf;
mod idle;
mod latency;
mod load;
mod machine;
mod options;
mod paced;
mod peers;
mod pipeline;
mod plots;
mod quota;
mod rates;
mod readers;
mod report;
mod rounds;
mod scenarios;
mod server;
mod table;
mod upload;
mod usage;
mod workers;

use capuchin_tests::process;
use options::Options;
use peers::{Kind, Place, Setup};
use report::Report;
use scenarios::SCENARIOS;
use server::Server;
use std::cell::RefCell;
use std::process::ExitCode;

/// What every scenario is given.
pub struct Bench {
    place: Place,
    /// The servers that are there.
    kinds: Vec<Kind>,
    seconds: u64,
    rounds: usize,
    report: Report,
    /// Requests per second of `keepalive`, to compare later scenarios with.
    keepalive: RefCell<Vec<(Kind, f64)>>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{}", options::help());
        return ExitCode::SUCCESS;
    }
    let options = match options::parse(&words) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("bench: {message}");
            return ExitCode::from(2);
        }
    };
    match run(options, &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options, words: &[String]) -> Result<(), String> {
    let cores = machine::cores();
    let descriptors = process::raise_descriptor_limit();
    let (kinds, absent): (Vec<Kind>, Vec<Kind>) =
        options.kinds.iter().partition(|kind| kind.is_installed());
    let report = Report::default();
    for kind in absent {
        report.not_run(&format!("{}: {}", kind.name(), kind.how_to_get()));
    }
    if kinds.is_empty() {
        return Err("none of the servers is there".into());
    }
    report.line(&machine::describe());
    report.line(&format!(
        "command: `cargo run --release -p capuchin-tests --bin bench -- {}`",
        words.join(" ")
    ));
    if cores.server == cores.load {
        report.note("one core only: servers and load share it, and the ratios mean little");
    }
    let place = Place::make(descriptors, options.capuchin_arguments)
        .map_err(|error| format!("no place for files: {error}"))?;
    let bench = Bench {
        place,
        kinds,
        seconds: options.seconds,
        rounds: options.rounds,
        report,
        keepalive: RefCell::default(),
    };
    for name in &options.scenarios {
        match SCENARIOS.iter().find(|scenario| scenario.name == name) {
            // What one scenario lacks is no reason to leave out the others.
            Some(scenario) => {
                bench.report.heading(scenario.name, scenario.title);
                if let Err(message) = scenario.run(&bench) {
                    bench.report.not_run(&message);
                }
            }
            None => serve(&bench)?,
        }
    }
    bench.report.write(&options.targets)
}

/// Keeps servers running for a profiler, until a line or the end of standard input.
fn serve(bench: &Bench) -> Result<(), String> {
    let mut servers = Vec::new();
    for kind in &bench.kinds {
        let server = Server::start(*kind, &bench.place, Setup::file(4_096))?;
        println!(
            "{}: process {}, http://{}/4096.bin",
            kind.name(),
            server.pid(),
            server.address
        );
        servers.push(server);
    }
    println!(
        "core {} is for the load; Enter ends them",
        machine::cores().load
    );
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map(drop)
        .map_err(|error| format!("standard input: {error}"))
}
