//! What the bench says: printed at once, and kept, so that it can be written to a file with plots.

use crate::plots::{self, Plot};
use crate::table::Table;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Other work that takes more than this part of a core spoils the figures.
const DISTURBED: f64 = 0.06;

/// Where the results go besides standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The Markdown text.
    pub text: Option<PathBuf>,
    /// A directory for a plot of each scenario.
    pub plots: Option<PathBuf>,
    /// The text shows the plots, which lie beside it.
    pub embedded: bool,
}

#[derive(Default)]
pub struct Report {
    parts: RefCell<Vec<Part>>,
}

/// A part of the Markdown text.
enum Part {
    /// A scenario's name and title.
    Heading(String, String),
    Text(String),
    Goal(bool, String),
    Plot(Plot),
}

impl Report {
    /// Begins a scenario.
    pub fn heading(&self, name: &str, title: &str) {
        println!("{}", heading(name, title));
        self.push(Part::Heading(name.into(), title.into()));
    }

    pub fn table(&self, table: &Table) {
        self.put(format!("\n{table}"));
    }

    /// A line that stands alone.
    pub fn line(&self, text: &str) {
        self.put(format!("- {text}"));
    }

    /// What a reader must know to trust a table.
    pub fn note(&self, text: &str) {
        self.line(&format!("note: {text}"));
    }

    /// The most of a core that something else took while each server was measured.
    pub fn disturbed<'a>(&self, parts: impl Iterator<Item = (&'a str, f64)>) {
        let much = parts.filter(|(_, part)| *part > DISTURBED);
        let named: Vec<String> = much
            .map(|(server, part)| format!("{server} {:.0} %", part * 100.0))
            .collect();
        if !named.is_empty() {
            self.note(&format!(
                "DISTURBED: beside server and load, something else took up to so much of a core: {}",
                named.join(", ")
            ));
        }
    }

    pub fn not_run(&self, why: &str) {
        self.line(&format!("NOT RUN: {why}"));
    }

    /// A missed one fails nothing: timings are not tests.
    pub fn goal(&self, reached: bool, what: &str) {
        println!("- {}: {what}", verdict(reached));
        self.push(Part::Goal(reached, what.into()));
    }

    pub fn plot(&self, plot: Plot) {
        self.push(Part::Plot(plot));
    }

    /// Text as it is.
    pub fn put(&self, text: String) {
        println!("{text}");
        self.push(Part::Text(text));
    }

    fn push(&self, part: Part) {
        self.parts.borrow_mut().push(part);
    }

    /// Writes what was said, if that was asked for.
    pub fn write(&self, targets: &Targets) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        let parts = self.parts.borrow();
        if let Some(directory) = &targets.plots {
            fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
            for part in parts.iter() {
                if let Part::Plot(plot) = part {
                    plots::draw(plot, directory)?;
                }
            }
        }
        if let Some(file) = &targets.text {
            fs::write(file, text(&parts, targets.embedded)).map_err(|error| failed(file, error))?;
        }
        Ok(())
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "PASS" } else { "MISS" }
}

fn heading(name: &str, title: &str) -> String {
    format!("\n### {name}: {title}")
}

/// What was said; with plots, also every goal at the beginning.
fn text(parts: &[Part], embedded: bool) -> String {
    let mut text = String::from("# Bench\n\n");
    let is_heading = |part: &Part| matches!(part, Part::Heading(..));
    let first = parts.iter().position(is_heading).unwrap_or(parts.len());
    let (before, scenarios) = parts.split_at(first);
    before
        .iter()
        .for_each(|part| add(part, embedded, &mut text));
    if embedded {
        text += &goals(parts);
    }
    scenarios
        .iter()
        .for_each(|part| add(part, embedded, &mut text));
    text
}

fn add(part: &Part, embedded: bool, text: &mut String) {
    // Writing to a string does not fail.
    let _ = match part {
        Part::Heading(name, title) => writeln!(text, "{}", heading(name, title)),
        Part::Text(said) => writeln!(text, "{said}"),
        Part::Goal(reached, what) => writeln!(text, "- {}: {what}", verdict(*reached)),
        Part::Plot(plot) if embedded => {
            writeln!(text, "\n![{}]({})", plot.title, plot.file_name())
        }
        Part::Plot(_) => Ok(()),
    };
}

fn goals(parts: &[Part]) -> String {
    let (mut text, mut scenario) = (String::from("\n### goals\n\n"), "");
    for part in parts {
        match part {
            Part::Heading(name, _) => scenario = name,
            Part::Goal(reached, what) => {
                text += &format!("- {}: {scenario}: {what}\n", verdict(*reached));
            }
            Part::Text(_) | Part::Plot(_) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots::Figure;

    #[test]
    fn plots_are_shown_where_they_lie_beside_the_text() {
        let report = Report::default();
        report.heading("keepalive", "4 KB");
        report.goal(true, "fast");
        report.plot(Plot {
            name: "keepalive".into(),
            title: "requests/s".into(),
            figure: Figure::Bars(Vec::new()),
        });
        let parts = report.parts.borrow();
        let said = "\n### keepalive: 4 KB\n- PASS: fast\n";
        assert_eq!(text(&parts, false), format!("# Bench\n\n{said}"));
        let goals = "\n### goals\n\n- PASS: keepalive: fast\n";
        let shown = format!("# Bench\n\n{goals}{said}\n![requests/s](keepalive.svg)\n");
        assert_eq!(text(&parts, true), shown);
    }
}
