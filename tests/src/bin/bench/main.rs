//! The bench: Capuchin beside the floor and the peers that are installed, in one run.
//!
//! Each server runs with one worker on one core, the load generator on another. Servers take turns;
//! medians (of user time, which the kernel samples coarsely, means) and ranges are printed as
//! Markdown tables, then which goals were reached. It builds
//! nothing: `capuchin` and `floor` are taken from where it is itself. It never judges by its exit
//! status: timings are not tests.

mod goals;
mod httperf;
mod idle;
mod load;
mod machine;
mod peers;
mod pipeline;
mod quota;
mod rates;
mod server;
mod table;
mod usage;

use capuchin_tests::process;
use peers::{Kind, Place};
use rates::Load;
use server::Server;
use std::process::ExitCode;

const HELP: &str = "\
Measures capuchin, the floor, nginx and lighttpd side by side.

Usage: cargo build --release --workspace
       cargo run --release -p capuchin-tests --bin bench -- [SCENARIO…] [OPTIONS]

Scenarios (default: all)
  keepalive      4 KB file, 64 connections (wrk); servers have half a core, if that can be had
  connections    4 KB file, a connection for each request (wrk); as before
  pipelined      128-byte file, 16 requests deep
  httperf        30,000 connections at 3,000/s, 1 s timeout (httperf)
  idle           memory of 8,000 keep-alive connections that wait
  serve          starts the servers, prints their process numbers and waits for a line: to profile

Options
  --seconds N    of each run of keepalive, connections, pipelined [4]
  --rounds N     runs of each server in each of these [5]
  --only NAMES   servers, with commas: floor,capuchin,nginx,lighttpd [all that are there]
  --with WORD    one more argument for capuchin, may be repeated: --with --accept --with one
  --help         print this
";

const SCENARIOS: [&str; 5] = ["keepalive", "connections", "pipelined", "httperf", "idle"];

struct Options {
    scenarios: Vec<String>,
    seconds: u64,
    rounds: usize,
    kinds: Vec<Kind>,
    capuchin_arguments: Vec<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match parse(&words) {
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

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        scenarios: Vec::new(),
        seconds: 4,
        rounds: 5,
        kinds: Kind::ALL.to_vec(),
        capuchin_arguments: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if SCENARIOS.contains(&&**word) || word == "serve" {
            options.scenarios.push(word.clone());
            continue;
        }
        if !["--seconds", "--rounds", "--only", "--with"].contains(&&**word) {
            return Err(format!("'{word}' is no scenario and no option; see --help"));
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value; see --help"))?;
        let number = || match value.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{word}: '{value}' is no number from 1")),
        };
        match &**word {
            "--seconds" => options.seconds = number()?.into(),
            "--rounds" => options.rounds = number()? as usize,
            "--only" => options.kinds = value.split(',').map(kind).collect::<Result<_, _>>()?,
            _ => options.capuchin_arguments.push(value.clone()),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = SCENARIOS.map(String::from).to_vec();
    }
    Ok(options)
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| format!("--only: there is no server '{name}'; see --help"))
}

fn run(options: Options, words: &[String]) -> Result<(), String> {
    let cores = machine::cores();
    let descriptors = process::raise_descriptor_limit();
    let (present, absent): (Vec<Kind>, Vec<Kind>) =
        options.kinds.iter().partition(|kind| kind.is_installed());
    for kind in absent {
        println!("NOT RUN: {}: {}", kind.name(), kind.how_to_get());
    }
    if present.is_empty() {
        return Err("none of the servers is there".into());
    }
    println!("{}", machine::describe());
    println!(
        "command: cargo run --release -p capuchin-tests --bin bench -- {}",
        words.join(" ")
    );
    if cores.server == cores.load {
        println!("note: one core only: servers and load share it, and the ratios mean little");
    }
    let place = Place::make(descriptors, options.capuchin_arguments)
        .map_err(|error| format!("no place for files: {error}"))?;
    for scenario in &options.scenarios {
        let rates = |load| rates::run(load, &place, &present, options.seconds, options.rounds);
        match &**scenario {
            "keepalive" => rates(Load::KeepAlive)?,
            "connections" => rates(Load::Connections)?,
            "pipelined" => rates(Load::Pipelined)?,
            "idle" => idle::run(&place, &present)?,
            "httperf" => httperf::run(&place, &present)?,
            _ => serve(&place, &present)?,
        }
    }
    Ok(())
}

/// Keeps servers running for a profiler, until a line or the end of standard input.
fn serve(place: &Place, kinds: &[Kind]) -> Result<(), String> {
    let mut servers = Vec::new();
    for kind in kinds {
        let server = Server::start(*kind, place, 4_096, false)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        parse(
            &line
                .split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn without_words_everything_is_measured() {
        let options = options("").expect("defaults");
        assert_eq!(options.scenarios, SCENARIOS);
        assert_eq!(options.kinds, Kind::ALL);
    }

    #[test]
    fn words_choose_scenarios_servers_and_arguments() {
        let options = options("idle --only capuchin,floor --rounds 9 --with --accept --with one")
            .expect("good words");
        assert_eq!(options.scenarios, ["idle"]);
        assert_eq!(options.kinds, [Kind::Capuchin, Kind::Floor]);
        assert_eq!(options.rounds, 9);
        assert_eq!(options.capuchin_arguments, ["--accept", "one"]);
    }

    #[test]
    fn mistakes_are_told() {
        for line in [
            "keepalives",
            "--rounds 0",
            "--seconds",
            "--only apache",
            "--only",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
