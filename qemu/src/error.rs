//! What can go wrong with a machine, in words that a person can act on.

use crate::describe;
use crate::sdk::Missing;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why there is no machine, or not what was waited for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Something is not installed.
    Missing(Missing),
    /// The image cannot be read.
    Image(PathBuf, io::Error),
    /// The console's file cannot be made.
    ConsoleFile(PathBuf, io::Error),
    /// This port was asked for and is in use.
    PortTaken(u16),
    /// QEMU does not start with what it was given: its own words.
    Refused(String),
    /// This system does not do what is needed.
    System(&'static str, io::Error),
    /// The monitor does not answer, or the line cannot be said to it.
    Monitor(String),
    /// What was waited for did not come in time.
    TooLate(Box<Report>),
    /// QEMU ended before it came.
    Ended(Box<Report>),
    /// [`crate::Spec::interrupt`] was set.
    Interrupted,
}

/// What is known of a machine that disappointed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was waited for.
    pub awaited: String,
    /// How long.
    pub waited: Duration,
    /// How QEMU ended, if it did.
    pub status: Option<ExitStatus>,
    /// What QEMU itself said.
    pub qemu: String,
    /// The console's last lines.
    pub console: Vec<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(f),
            Self::Image(path, error) => {
                write!(f, "the image {} cannot be read: {error}", path.display())
            }
            Self::ConsoleFile(path, error) => write!(
                f,
                "the console's file {} cannot be written: {error}",
                path.display()
            ),
            Self::PortTaken(port) => write!(
                f,
                "127.0.0.1:{port} is in use: choose another port, or 0 for any that is free"
            ),
            Self::Refused(words) => write!(f, "QEMU does not start: {words}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
            Self::Monitor(what) => write!(f, "QEMU's monitor: {what}"),
            Self::TooLate(report) | Self::Ended(report) => report.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no {} within {:.1} s",
            self.awaited,
            self.waited.as_secs_f64()
        )?;
        match self.status {
            Some(status) => write!(f, ": QEMU ended with {}", describe(status))?,
            None => f.write_str(": QEMU runs on")?,
        }
        if !self.qemu.is_empty() {
            write!(f, "; it said: {}", self.qemu)?;
        }
        if self.console.is_empty() {
            return f.write_str("; nothing was printed on the console");
        }
        f.write_str("; the last lines on the console:")?;
        for line in &self.console {
            write!(f, "\n  | {line}")?;
        }
        Ok(())
    }
}
