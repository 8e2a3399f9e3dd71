//! Makes tests of the cases: one for each case and server, counted for the table at the end.
//!
//! Servers come from a [`Source`], which may start one only when the first case wants it. What a
//! server lacks, and servers that cannot be had here, are reported as ignored with the reason.

pub mod berth;
mod guest;
mod native;
mod tally;

pub use guest::Guest;
pub use native::{Configuration, ONE_ACCEPTOR, ONE_WORKER, Plan, TWO_WORKERS, conclude, run};
pub use tally::Tally;

use crate::failure::{Failure, Outcome};
use crate::suites::{self, Case, Setting, Suite};
use crate::target::{Features, Target};
use libtest_mimic::{Completion, Failed, Trial};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why there is no server.
#[derive(Clone, Debug)]
pub enum Absent {
    /// Something is not installed here: cases are ignored.
    Missing(String),
    /// It should be there and is not: cases fail.
    Failed(Failure),
}

impl From<Failure> for Absent {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A server for the cases of one setting.
pub trait Source: Send + Sync {
    /// The server, started now if it has to be.
    ///
    /// # Errors
    /// When there is none.
    fn target(&self) -> Result<Arc<Target>, Absent>;

    /// For the case that has the server to itself.
    fn turn(&self) -> &Turn;

    /// What is known of the server and may explain a failure.
    fn words(&self) -> String {
        String::new()
    }

    /// A case is over; called once for each trial that was made.
    fn done(&self) {}
}

/// Held by the case that has a server to itself.
#[derive(Debug, Default)]
pub struct Turn(Mutex<()>);

impl Turn {
    /// Waits for it. A case that panicked has given it back.
    pub fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that is there and stays.
#[derive(Debug)]
pub struct Standing {
    target: Arc<Target>,
    turn: Turn,
}

impl Standing {
    /// This server.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target: Arc::new(target),
            turn: Turn::default(),
        }
    }
}

impl Source for Standing {
    fn target(&self) -> Result<Arc<Target>, Absent> {
        Ok(self.target.clone())
    }

    fn turn(&self) -> &Turn {
        &self.turn
    }
}

/// A trial that takes longer is told with its time, the wait for its turn included.
const SLOW: Duration = Duration::from_secs(20);

/// A case that is not for a kind of server: the full name, or its beginning, and the reason.
pub type Skip = (&'static str, &'static str);

/// What all trials of a kind of server have in common.
#[derive(Clone, Debug)]
pub struct Kind {
    /// In front of the trials' names, in brackets.
    pub name: String,
    /// The table's column.
    pub backend: &'static str,
    /// Cases to ignore.
    pub skips: &'static [Skip],
    /// Counts outcomes.
    pub tally: Arc<Tally>,
}

/// One trial for each case that `wanted` lets through.
pub fn trials(
    kind: &Kind,
    settings: &[Setting],
    source: impl Fn(Setting) -> Arc<dyn Source>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    // Setting by setting, so that a server that is started when it is wanted can end soon.
    for &setting in settings {
        for suite in suites::ALL.iter().filter(|suite| suite.setting == setting) {
            for case in suite.cases {
                trials.push(trial(kind, suite, *case, source(setting)));
            }
        }
    }
    trials
}

fn trial(kind: &Kind, suite: &'static Suite, case: Case, source: Arc<dyn Source>) -> Trial {
    let name = format!("{}::{}", suite.name, case.name);
    let skips = kind.skips;
    let exclusive = suite.setting.is_exclusive();
    let full_name = name.clone();
    counted(kind, suite.name, name, move || {
        let _done = Done(&*source);
        let _turn = exclusive.then(|| source.turn().take());
        // A server that is missing is the reason for all of its cases, also for those that it would skip.
        let target = match source.target() {
            Ok(target) => target,
            Err(Absent::Missing(what)) => return Ok(Completion::ignored_with(what)),
            Err(Absent::Failed(why)) => return Err(why.to_string().into()),
        };
        if let Some((_, why)) = skips.iter().find(|(skip, _)| full_name.starts_with(skip)) {
            return Ok(Completion::ignored_with(why));
        }
        let missing = target.features.missing(case.needs);
        if missing != Features::NONE {
            let why = format!("the server lacks: {missing}");
            return Ok(Completion::ignored_with(why));
        }
        match (case.run)(&target) {
            Ok(()) => Ok(Completion::Completed),
            Err(failure) => Err(format!("{failure}{}", source.words()).into()),
        }
    })
}

/// Tells the source however the case ends.
struct Done<'s>(&'s dyn Source);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done();
    }
}

/// A trial whose outcome is counted for `suite`.
pub fn counted(
    kind: &Kind,
    suite: &'static str,
    name: String,
    run: impl FnOnce() -> Result<Completion, Failed> + Send + 'static,
) -> Trial {
    let (tally, backend) = (kind.tally.clone(), kind.backend);
    let full_name = format!("{} {name}", kind.name);
    let run = move || {
        let begin = Instant::now();
        let outcome = tally.count(backend, suite, run);
        if begin.elapsed() > SLOW {
            eprintln!("{full_name} took {:.0} s", begin.elapsed().as_secs_f64());
        }
        outcome
    };
    Trial::ignorable_test(name, run).with_kind(&kind.name)
}

/// An outcome as a trial has it.
///
/// # Errors
/// When it is one.
pub fn completed(outcome: Outcome) -> Result<Completion, Failed> {
    match outcome {
        Ok(()) => Ok(Completion::Completed),
        Err(failure) => Err(failure.to_string().into()),
    }
}
