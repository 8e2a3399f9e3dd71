//! Log lines on standard error: time, level, text.

use capuchin_core::http::date::HttpDate;
use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        // Standard error may be closed; there is no other place to say so.
        let _ = writeln!(
            std::io::stderr().lock(),
            "{} {:5} {}",
            HttpDate(now),
            record.level(),
            record.args()
        );
    }

    fn flush(&self) {}
}

/// Logs what is at least as important as `level`.
pub(crate) fn start(level: LevelFilter) {
    // Fails only if a logger was set before, which the command does once.
    let _ = log::set_logger(&Stderr);
    log::set_max_level(level);
}
