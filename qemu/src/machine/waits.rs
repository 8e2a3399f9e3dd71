//! What a machine can be waited for: a line, an answer, its end. Every wait has a limit and ends
//! early when QEMU does, or when it is interrupted.

use super::{END_LIMIT, FINE_TICK, Machine, TICK};
use crate::answer::Knocks;
use crate::console::Found;
use crate::ear::Ear;
use crate::error::{Error, Report};
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// A guest of which nothing is heard for so long after power-on is asked nevertheless. It is long:
/// every guest that can be reached says who has its address.
const SILENCE: Duration = Duration::from_secs(30);

/// The same for a guest that has been up for longer, and answers calls at once if it ever does.
const BRIEF_SILENCE: Duration = Duration::from_millis(500);

/// How long QEMU may keep connections that the guest was not ready for: it tries them again after
/// 6 seconds.
const STRANGERS_LIMIT: Duration = Duration::from_secs(7);

/// Lines of the console in an error.
const REPORT_LINES: usize = 40;

impl Machine {
    /// Waits for a line on the console with `pattern` in it, and returns it. Each call goes on
    /// behind the line of the one before. A line counts when it is complete, or the last one.
    ///
    /// # Errors
    /// When it does not come within `limit`, or QEMU ends before.
    pub fn wait_for_line(&mut self, pattern: &str, limit: Duration) -> Result<String, Error> {
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            let found = self.console.find(pattern, left.min(TICK));
            let awaited = || format!("line with {pattern:?}");
            match found {
                Found::Line(line) => return Ok(line),
                // The console ends a moment before the process does.
                Found::Never => {
                    let _ = self.wait_for_exit(END_LIMIT);
                    return Err(self.ended(awaited(), begin.elapsed()));
                }
                Found::NotYet if left.is_zero() => return Err(self.too_late(awaited(), limit)),
                Found::NotYet => self.pause(Duration::ZERO)?,
            }
        }
    }

    /// Waits until the server at [`Machine::address`] answers a request with any HTTP status, and
    /// returns the time from power-on to that answer. Returns up to 7 seconds later when QEMU
    /// still keeps requests that came before the guest was ready for them.
    ///
    /// # Errors
    /// When no answer comes within `limit`, or QEMU ends before.
    pub fn wait_until_it_answers(&mut self, limit: Duration) -> Result<Duration, Error> {
        let begin = Instant::now();
        let mut ear = self.open_ear();
        let mut heard = ear.is_none();
        let first = if heard {
            begin
        } else {
            (self.power_on + SILENCE).max(begin + BRIEF_SILENCE)
        };
        let mut knocks = Knocks::new(self.address(), first);
        let answered = loop {
            if knocks.turn() {
                break Ok(self.power_on.elapsed());
            }
            if !heard && ear.as_mut().is_some_and(Ear::has_heard) {
                heard = true;
                knocks.hurry();
            }
            let awaited = || {
                let why = match &knocks.last_failure {
                    Some(failure) => format!(" (last try: {failure})"),
                    None => String::new(),
                };
                format!("answer from http://{}/{why}", self.address())
            };
            if self.status.is_some() {
                break Err(self.ended(awaited(), begin.elapsed()));
            }
            if begin.elapsed() >= limit {
                break Err(self.too_late(awaited(), limit));
            }
            if let Err(interrupted) = self.pause(FINE_TICK) {
                break Err(interrupted);
            }
            self.exit_status();
        };
        drop(knocks);
        if self.status.is_none() {
            // From now on packets take the short way again.
            if let Some(ear) = &ear {
                self.close_ear(ear);
            }
            if answered.is_ok() {
                self.wait_for_strangers()?;
            }
        }
        answered
    }

    /// None when this QEMU cannot do that: knocking still works then, less exactly.
    fn open_ear(&mut self) -> Option<Ear> {
        let ear = Ear::new(self.place.path()).ok()?;
        for command in ear.openings() {
            if !self.monitor(&command).is_ok_and(|reply| reply.is_empty()) {
                self.close_ear(&ear);
                return None;
            }
        }
        Some(ear)
    }

    fn close_ear(&mut self, ear: &Ear) {
        for command in ear.closings() {
            // What is said about it, or that QEMU is gone, does not matter.
            let _ = self.monitor(&command);
        }
    }

    /// Waits until the guest has met, or QEMU has given up, every connection that waits for it.
    fn wait_for_strangers(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        while begin.elapsed() < STRANGERS_LIMIT {
            match self.monitor("info usernet") {
                Ok(connections) if connections.contains("[SYN_SENT]") => self.pause(TICK * 5)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Waits until QEMU ends by itself, or because the image does: see [`crate::written_status`].
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Result<ExitStatus, Error> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if begin.elapsed() >= limit {
                return Err(self.too_late("end of QEMU", limit));
            }
            self.pause(TICK / 4)?;
        }
    }

    pub(super) fn pause(&self, time: Duration) -> Result<(), Error> {
        thread::sleep(time);
        match self.interrupt {
            Some(flag) if flag.load(Ordering::SeqCst) => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }

    pub(super) fn too_late(&self, awaited: impl Into<String>, waited: Duration) -> Error {
        Error::TooLate(self.report(awaited.into(), waited))
    }

    fn ended(&self, awaited: impl Into<String>, waited: Duration) -> Error {
        Error::Ended(self.report(awaited.into(), waited))
    }

    fn report(&self, awaited: String, waited: Duration) -> Box<Report> {
        Box::new(Report {
            awaited,
            waited,
            status: self.status,
            qemu: self.qemu_words(),
            console: self.console.tail(REPORT_LINES),
        })
    }
}
