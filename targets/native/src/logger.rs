//! Log lines on standard error: time, level, text.
//!
//! A thread of its own writes them, and nobody waits for it but [`flush`]: standard error may be a
//! pipe that nobody reads, and a line that a client causes must not stop a worker. What does not
//! fit the queue is lost, which is said once lines are taken again.

use capuchin_core::http::date::HttpDate;
use capuchin_posix::queue::{Receiver, Sender, queue};
use capuchin_posix::{standard_error, start_thread};
use log::{LevelFilter, Log, Metadata, Record};
use std::io;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lines that may wait to be written.
const QUEUE: usize = 256;

/// How long the end of the process waits for the lines before it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What loggers and the writer share.
#[derive(Default)]
struct Counts {
    /// Lines in the queue or being written.
    waiting: AtomicU64,
    lost: AtomicU64,
}

/// The end of the queue that anybody may write to.
struct Queue {
    /// Bytes, as the access log's: one kind of queue is enough code.
    sender: Sender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl Queue {
    /// Starts the thread that writes to `out`.
    fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = queue(QUEUE);
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        start_thread("log", Box::new(move || write_all(receiver, &shared, out)))?;
        Ok(Self { sender, counts })
    }

    fn put(&self, line: Vec<u8>) {
        self.counts.waiting.fetch_add(1, Ordering::SeqCst);
        if self.sender.send(line).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::SeqCst);
            self.counts.lost.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until everything is written; `false` when that takes too long.
    fn flush(&self) -> bool {
        let begin = Instant::now();
        while self.counts.waiting.load(Ordering::SeqCst) > 0 {
            if begin.elapsed() > PATIENCE {
                return false;
            }
            capuchin_posix::pause(Duration::from_millis(1));
        }
        true
    }
}

fn write_all(mut lines: Receiver<Vec<u8>>, counts: &Counts, mut out: impl Write) {
    while let Ok(line) = lines.wait(None) {
        // Standard error may be closed; there is no other place to say so.
        let _ = out.write_all(&line);
        let lost = counts.lost.swap(0, Ordering::SeqCst);
        if lost > 0 {
            let text = format!("{lost} lines of this log were lost: nobody took them");
            let _ = out.write_all(&line_of(log::Level::Warn, &text));
        }
        counts.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

fn line_of(level: log::Level, text: &dyn std::fmt::Display) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    format!("{} {level:5} {text}\n", HttpDate(now)).into_bytes()
}

struct Stderr;

static STDERR: OnceLock<Queue> = OnceLock::new();

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata())
            && let Some(queue) = STDERR.get()
        {
            queue.put(line_of(record.level(), record.args()));
        }
    }

    fn flush(&self) {
        flush();
    }
}

/// Logs what is at least as important as `level`, panics included.
pub(crate) fn start(level: LevelFilter) -> io::Result<()> {
    // Both fail only if it was done before, which the command does once.
    let _ = STDERR.set(Queue::start(standard_error()?)?);
    let _ = log::set_logger(&Stderr);
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        log::error!("{}", panic.to_string().replace('\n', " "));
    }));
    Ok(())
}

/// Waits for the lines so far to be written, but not for long; `false` when nobody takes them.
pub(crate) fn flush() -> bool {
    STDERR.get().is_none_or(Queue::flush)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::thread;

    #[test]
    fn pipe_that_nobody_reads_stalls_nobody_and_losses_are_said_later() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = Queue::start(writer).unwrap();
        let begin = Instant::now();
        for n in 0..10_000 {
            // As long as that, the queue alone fills the pipe, however late the writer begins.
            queue.put(format!("{n} {}\n", "x".repeat(1_000)).into());
        }
        assert!(begin.elapsed() < Duration::from_secs(2));
        assert!(!queue.flush(), "nobody reads");
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        while !queue.flush() {}
        queue.put("last\n".into());
        assert!(queue.flush());
        drop(queue);
        let text = reading.join().unwrap();
        assert!(text.starts_with("0 xx"), "{}", &text[..200]);
        let written = text.matches(" xx").count() as u64;
        let lost = text.lines().filter_map(|line| {
            let (before, _) = line.split_once(" lines of this log were lost")?;
            before.rsplit(' ').next()?.parse::<u64>().ok()
        });
        assert_eq!(written + lost.sum::<u64>(), 10_000);
        assert!(text.ends_with("last\n"));
    }
}
