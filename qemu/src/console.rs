//! What a guest prints: the last of it in memory, line by line, all of it in a file when asked for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of lines that are kept; older ones are forgotten.
const KEPT_BYTES: usize = 1 << 20;

/// Bytes from which an unfinished line is taken as a line, so that a guest without line ends
/// cannot make memory grow.
const LINE_LIMIT: usize = 8 << 10;

/// A guest's console. Clones are the same console.
#[derive(Clone, Debug, Default)]
pub struct Console {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    text: Mutex<Text>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    lines: VecDeque<String>,
    /// The number of the first line that is kept: lines are counted from power-on.
    first: u64,
    bytes: usize,
    unfinished: Vec<u8>,
    ended: bool,
    /// Lines that were looked at by [`Console::find`].
    searched: u64,
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Line(String),
    NotYet,
    /// Nothing more will come.
    Never,
}

impl Console {
    /// The last `count` lines that are kept, the unfinished one included.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let unfinished = (!text.unfinished.is_empty()).then(|| clean(&text.unfinished));
        let lines = text.lines.iter().cloned().chain(unfinished);
        let all: Vec<_> = lines.collect();
        all[all.len().saturating_sub(count)..].to_vec()
    }

    /// The lines from number `from` (the first since power-on is 0) that are kept, and the number
    /// to go on with. Waits up to `patience` for the first of them.
    #[must_use]
    pub fn lines_from(&self, from: u64, patience: Duration) -> (Vec<String>, u64) {
        let nothing_new = |text: &mut Text| text.next() <= from && !text.ended;
        let text = self.text();
        let text = match self
            .shared
            .changed
            .wait_timeout_while(text, patience, nothing_new)
        {
            Ok((text, _)) => text,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let known = usize::try_from(from.saturating_sub(text.first)).unwrap_or(usize::MAX);
        let lines = text.lines.iter().skip(known).cloned().collect();
        (lines, text.next().max(from))
    }

    /// Whether the guest's end of it is closed: QEMU has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.text().ended
    }

    /// The first line with `pattern` behind those that earlier searches have been through. Waits
    /// for it up to `patience`.
    pub(crate) fn find(&self, pattern: &str, patience: Duration) -> Found {
        let deadline = Instant::now() + patience;
        let mut text = self.text();
        loop {
            let known = usize::try_from(text.searched.saturating_sub(text.first)).unwrap_or(0);
            let hit = (known..text.lines.len()).find(|&at| text.lines[at].contains(pattern));
            if let Some(at) = hit {
                text.searched = text.first + at as u64 + 1;
                return Found::Line(text.lines[at].clone());
            }
            text.searched = text.next();
            if text.ended {
                return Found::Never;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Found::NotYet;
            }
            text = match self.shared.changed.wait_timeout(text, left) {
                Ok((text, _)) => text,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Reads `input` to its end, and then says that nothing more will come. What is read goes to
    /// standard output at once where it is `live`.
    pub(crate) fn collect(&self, mut input: impl Read, mut file: Option<File>, mut live: bool) {
        let mut buffer = [0; 4 << 10];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    if live {
                        // Whoever looked on has gone: the console goes on.
                        let mut out = io::stdout().lock();
                        live = out.write_all(&buffer[..count]).is_ok() && out.flush().is_ok();
                    }
                    if let Some(open) = &mut file
                        && let Err(error) = open.write_all(&buffer[..count])
                    {
                        self.take(format!("\n[its file cannot be written: {error}]\n").as_bytes());
                        file = None;
                    }
                    self.take(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let mut text = self.text();
        if !text.unfinished.is_empty() {
            text.finish_line();
        }
        text.ended = true;
        self.shared.changed.notify_all();
    }

    fn take(&self, bytes: &[u8]) {
        let mut text = self.text();
        for &byte in bytes {
            if byte == b'\n' {
                text.finish_line();
                continue;
            }
            text.unfinished.push(byte);
            if text.unfinished.len() >= LINE_LIMIT {
                text.finish_line();
            }
        }
        self.shared.changed.notify_all();
    }

    fn text(&self) -> MutexGuard<'_, Text> {
        self.shared
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Text {
    /// The number of the next line.
    fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn finish_line(&mut self) {
        let line = clean(&std::mem::take(&mut self.unfinished));
        self.bytes += weight(&line);
        self.lines.push_back(line);
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= weight(&oldest);
            self.first += 1;
        }
    }
}

/// What a line counts for: an empty one is not for nothing either.
fn weight(line: &str) -> usize {
    line.len() + size_of::<String>()
}

/// RTEMS ends lines with CR LF, and some drivers with CR CR LF.
fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\r')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    #[test]
    fn lines_are_cut_wherever_the_reads_end() {
        let console = Console::default();
        console.take(b"one\r\ntw");
        assert_eq!(console.tail(9), ["one", "tw"]);
        console.take(b"o\r\r\n\nfour");
        assert_eq!(console.tail(9), ["one", "two", "", "four"]);
        assert_eq!(console.tail(2), ["", "four"]);
        let (lines, next) = console.lines_from(1, NO_WAIT);
        assert_eq!((lines, next), (vec!["two".to_owned(), String::new()], 3));
    }

    #[test]
    fn search_goes_on_behind_the_last_hit_and_ends_with_the_console() {
        let console = Console::default();
        console.take(b"link up\nother\nlink up again\nunfinished link up");
        let hit = |text: &str| Found::Line(text.to_owned());
        assert_eq!(console.find("link up", NO_WAIT), hit("link up"));
        assert_eq!(console.find("link up", NO_WAIT), hit("link up again"));
        assert_eq!(console.find("link up", NO_WAIT), Found::NotYet);
        console.collect(&b" here"[..], None, false);
        assert_eq!(
            console.find("link up", NO_WAIT),
            hit("unfinished link up here")
        );
        assert_eq!(console.find("link up", NO_WAIT), Found::Never);
        assert!(console.has_ended());
    }

    #[test]
    fn line_that_arrives_during_the_wait_is_found() {
        let console = Console::default();
        let guest = console.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            guest.take(b"noise\nready\n");
        });
        let found = console.find("ready", Duration::from_secs(20));
        assert_eq!(found, Found::Line("ready".to_owned()));
        thread.join().unwrap();
    }

    #[test]
    fn memory_stays_bounded_with_and_without_line_ends() {
        let console = Console::default();
        for number in 0..KEPT_BYTES / 4 {
            console.take(format!("{number}\n").as_bytes());
        }
        assert!(console.text().bytes <= KEPT_BYTES);
        assert_eq!(console.tail(1), [(KEPT_BYTES / 4 - 1).to_string()]);
        let (lines, next) = console.lines_from(0, NO_WAIT);
        assert_eq!(next, KEPT_BYTES as u64 / 4);
        assert!(lines.len() < KEPT_BYTES / 4, "the oldest were forgotten");
        console.take(&vec![b'x'; 3 * KEPT_BYTES]);
        let text = console.text();
        assert!(text.bytes <= KEPT_BYTES && text.unfinished.len() < LINE_LIMIT);
    }
}
