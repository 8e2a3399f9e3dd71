//! The thread that writes the access log.

use super::destination::Place;
use super::lines::BATCH_BYTES;
use super::{QUEUE, Shared};
use crate::line_writer::LineWriter;
use capuchin_posix::queue::Nothing;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often the writer looks whether it is to reopen or to end, and whether a pipe has a reader.
const TICK: Duration = Duration::from_millis(200);

/// Bytes of an empty buffer that is kept for the next batch.
const SPARE_BYTES: usize = 2 * BATCH_BYTES;

/// The thread's side.
pub(super) struct Writer {
    pub place: Place,
    /// Without an output while that is a pipe without reader.
    pub lines: LineWriter,
    pub shared: Arc<Shared>,
}

impl Writer {
    pub fn run(mut self) {
        let (mut write_failed, mut open_failed) = (false, false);
        loop {
            let ending = self.shared.end.load(Ordering::SeqCst);
            // Nothing is queued once the end was announced.
            let wait = if ending { Duration::ZERO } else { TICK };
            let received = self.lines.next(Some(wait));
            let asked = self.shared.reopen.swap(false, Ordering::SeqCst);
            let is_unread = self.shared.is_unread.load(Ordering::SeqCst);
            if !is_unread && (asked || !self.lines.has_output()) {
                self.reopen(asked, &mut open_failed);
            }
            let over = match received {
                Ok(batch) => {
                    self.write(&batch, &mut write_failed);
                    self.lines.done(&batch);
                    self.keep_buffer(batch);
                    false
                }
                Err(Nothing::Yet) => ending,
                Err(Nothing::Left) => true,
            };
            if over {
                let left = self
                    .shared
                    .left
                    .lock()
                    .map(|mut left| std::mem::take(&mut *left));
                for batch in left.unwrap_or_default() {
                    self.write(&batch, &mut write_failed);
                }
            }
            self.shared.say_losses(self.lines.lost(), over);
            if over {
                break;
            }
        }
        self.shared.ended.store(true, Ordering::SeqCst);
    }

    /// Opens the destination again: because it is `asked` for, or because a pipe has no reader,
    /// which is tried again and again and so complained about once.
    fn reopen(&mut self, asked: bool, failed: &mut bool) {
        match self.place.open() {
            Ok(output) => {
                self.lines.set_output(output);
                *failed = false;
            }
            Err(error) if asked || !*failed => {
                let consequence = match self.lines.has_output() {
                    true => "the old file is kept",
                    false => "lines are lost until it can",
                };
                log::error!("the access log cannot be opened again, {consequence}: {error}");
                *failed = true;
            }
            Err(_) => {}
        }
    }

    fn write(&mut self, batch: &[u8], failed: &mut bool) {
        let is_stdout = matches!(self.place, Place::Stdout);
        let shared = &self.shared;
        // Before the lines count as lost: a worker would report them, and one report is enough.
        let result = self.lines.write_or(batch, &mut |error| {
            if is_stdout && error.kind() == io::ErrorKind::BrokenPipe {
                shared.is_unread.store(true, Ordering::SeqCst);
                log::warn!("nobody reads the access log on standard output any more: it ends");
            }
        });
        if let Err(error) = &result {
            if error.kind() == io::ErrorKind::BrokenPipe {
                // The reader of a named pipe went away; the next may come.
                self.lines.set_output(None);
            } else if !*failed && self.lines.has_output() {
                log::error!("the access log cannot be written: {error}");
            }
        }
        *failed = result.is_err();
    }

    /// Keeps an empty buffer for the workers, if it is not too large.
    fn keep_buffer(&self, mut batch: Vec<u8>) {
        batch.clear();
        if batch.capacity() <= SPARE_BYTES
            && let Ok(mut spare) = self.shared.spare.try_lock()
            && spare.len() < QUEUE
        {
            spare.push(batch);
        }
    }
}
