//! What the command line asks for.

use crate::peers::Kind;
use crate::report::Targets;
use crate::scenarios::SCENARIOS;
use std::path::PathBuf;

const HELP: &str = "\
Measures capuchin, the floor, nginx, lighttpd and hyper side by side.

Usage: cargo build --release --workspace
       cargo build --release --manifest-path tests/peers/hyper/Cargo.toml --target-dir target
       cargo run --release -p capuchin-tests --bin bench -- [SCENARIO…] [OPTIONS]

Scenarios (default: all)
";

const REST: &str = "  \
  serve           starts the servers, prints their process numbers and waits for a line: to profile

Options
  --seconds N    of each run [4]; with twice the effort, twice as many
  --rounds N     runs of each server in each scenario [5]; with twice the effort, twice as many
  --only NAMES   servers, with commas: floor,capuchin,nginx,lighttpd,hyper [all that are there]
  --with WORD    one more argument for capuchin, may be repeated: --with --accept --with one
  --write FILE   writes what is printed to FILE, too
  --plots DIR    writes a plot of each scenario to DIR, as SVG
  --docs DIR     both: DIR/README.md with the plots beside it
  --help         print this
";

/// Options that need a value.
const VALUED: [&str; 7] = [
    "--seconds",
    "--rounds",
    "--only",
    "--with",
    "--write",
    "--plots",
    "--docs",
];

#[derive(Debug)]
pub struct Options {
    pub scenarios: Vec<String>,
    pub seconds: u64,
    pub rounds: usize,
    pub kinds: Vec<Kind>,
    pub capuchin_arguments: Vec<String>,
    pub targets: Targets,
}

pub fn help() -> String {
    let scenarios: String = SCENARIOS
        .iter()
        .map(|scenario| format!("  {:<15} {}\n", scenario.name, scenario.help))
        .collect();
    format!("{HELP}{scenarios}{REST}")
}

pub fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        scenarios: Vec::new(),
        seconds: 4,
        rounds: 5,
        kinds: Kind::ALL.to_vec(),
        capuchin_arguments: Vec::new(),
        targets: Targets::default(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if SCENARIOS.iter().any(|scenario| scenario.name == word) || word == "serve" {
            options.scenarios.push(word.clone());
            continue;
        }
        if !VALUED.contains(&&**word) {
            return Err(format!("'{word}' is no scenario and no option; see --help"));
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value; see --help"))?;
        let number = || match value.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{word}: '{value}' is no number from 1")),
        };
        let targets = &mut options.targets;
        match &**word {
            "--seconds" => options.seconds = number()?.into(),
            "--rounds" => options.rounds = number()? as usize,
            "--only" => options.kinds = value.split(',').map(kind).collect::<Result<_, _>>()?,
            "--write" => targets.text = Some(value.into()),
            "--plots" => targets.plots = Some(value.into()),
            "--docs" => {
                let directory = PathBuf::from(value);
                *targets = Targets {
                    text: Some(directory.join("README.md")),
                    plots: Some(directory),
                    embedded: true,
                };
            }
            _ => options.capuchin_arguments.push(value.clone()),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = SCENARIOS.map(|scenario| scenario.name.into()).to_vec();
    }
    Ok(options)
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| format!("--only: there is no server '{name}'; see --help"))
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
        assert_eq!(options.scenarios.len(), SCENARIOS.len());
        assert_eq!(options.kinds, Kind::ALL);
        assert_eq!(options.targets, Targets::default());
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
    fn docs_are_a_text_with_plots_beside_it() {
        let targets = options("--docs tests/bench").expect("good words").targets;
        assert_eq!(targets.text, Some("tests/bench/README.md".into()));
        assert_eq!(targets.plots, Some("tests/bench".into()));
        assert!(targets.embedded);
    }

    #[test]
    fn help_names_every_scenario() {
        for scenario in &SCENARIOS {
            assert!(help().contains(&format!("\n  {} ", scenario.name)));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for line in [
            "keepalives",
            "--rounds 0",
            "--seconds",
            "--only apache",
            "--only fixture",
            "--only",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
