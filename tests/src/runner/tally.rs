//! Counts outcomes by backend and suite, and hands them to whoever prints the table.
//!
//! `tests/run` names a file in `CAPUCHIN_TEST_TABLE`. Each runner adds its lines there, their words
//! separated by tabs:
//!
//! ```text
//! TABLE  backend  suite  passed  failed  ignored
//! WHY    backend  suite  times   reason
//! ```

use libtest_mimic::{Completion, Failed};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The variable that names the file.
const FILE: &str = "CAPUCHIN_TEST_TABLE";

/// Outcomes so far.
#[derive(Debug, Default)]
pub struct Tally {
    rows: Mutex<BTreeMap<(&'static str, &'static str), Row>>,
}

#[derive(Debug, Default)]
struct Row {
    passed: u64,
    failed: u64,
    /// By their reasons.
    ignored: BTreeMap<String, u64>,
}

impl Tally {
    /// Runs a trial and counts what it comes to, a panic as a failure.
    ///
    /// # Errors
    /// As the trial.
    pub fn count(
        &self,
        backend: &'static str,
        suite: &'static str,
        run: impl FnOnce() -> Result<Completion, Failed>,
    ) -> Result<Completion, Failed> {
        struct Unless<'t>(&'t Tally, (&'static str, &'static str), bool);
        impl Drop for Unless<'_> {
            fn drop(&mut self) {
                if !self.2 {
                    self.0.rows().entry(self.1).or_default().failed += 1;
                }
            }
        }
        let mut panicked = Unless(self, (backend, suite), false);
        let outcome = run();
        panicked.2 = true;
        let mut rows = self.rows();
        let row = rows.entry((backend, suite)).or_default();
        match &outcome {
            Ok(Completion::Completed) => row.passed += 1,
            Ok(Completion::Ignored { reason }) => {
                let reason = reason.clone().unwrap_or_default();
                *row.ignored.entry(reason).or_default() += 1;
            }
            Err(_) => row.failed += 1,
        }
        drop(rows);
        outcome
    }

    /// Counts cases that one trial stands for.
    pub fn add(&self, backend: &'static str, suite: &'static str, passed: u64, failed: u64) {
        let mut rows = self.rows();
        let row = rows.entry((backend, suite)).or_default();
        row.passed += passed;
        row.failed += failed;
    }

    /// Adds the lines to the table's file, where one is wanted.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self) -> io::Result<()> {
        let Some(path) = std::env::var_os(FILE) else {
            return Ok(());
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(self.lines().as_bytes())
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for ((backend, suite), row) in self.rows().iter() {
            let ignored: u64 = row.ignored.values().sum();
            let (passed, failed) = (row.passed, row.failed);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "TABLE\t{backend}\t{suite}\t{passed}\t{failed}\t{ignored}"
            );
            for (reason, times) in &row.ignored {
                let reason = reason.replace(['\n', '\t'], " ");
                let _ = writeln!(text, "WHY\t{backend}\t{suite}\t{times}\t{reason}");
            }
        }
        text
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn every_way_to_end_is_counted_once() {
        let tally = Tally::default();
        let run = |outcome: Result<Completion, Failed>| {
            let _ = tally.count("epoll", "framing", || outcome);
        };
        run(Ok(Completion::Completed));
        run(Err("wrong".into()));
        run(Ok(Completion::ignored_with("no\nsite")));
        run(Ok(Completion::ignored_with("no\nsite")));
        let panics = || tally.count("epoll", "framing", || panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        tally.add("epoll", "conformance", 5, 1);
        assert_eq!(
            tally.lines(),
            "TABLE\tepoll\tconformance\t5\t1\t0\n\
             TABLE\tepoll\tframing\t1\t2\t2\n\
             WHY\tepoll\tframing\t2\tno site\n"
        );
    }
}
