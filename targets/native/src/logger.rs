//! Log lines on standard error: time, level, text.
//!
//! A thread of its own writes them, and nobody waits for it but [`flush`]: standard error may be a
//! pipe that nobody reads, and a line that a client causes must not stop a worker. What does not
//! fit the queue, or cannot be written, is lost, which is said once lines are taken again.

use capuchin::line_writer::{LineQueue, LineWriter, line_queue};
use capuchin_core::http::date::HttpDate;
use capuchin_core::throttle::Throttle;
use capuchin_core::transport::Clock;
use capuchin_posix::{PosixClock, standard_error, start_thread};
use log::{LevelFilter, Log, Metadata, Record};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that may wait to be written.
const QUEUE: usize = 256;

/// Bytes of them.
const QUEUE_BYTES: usize = 1 << 20;

/// How long the end of the process waits for the lines before it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the thread that writes to `out`.
fn start_queue(out: impl Write + Send + 'static) -> io::Result<LineQueue> {
    let (queue, mut lines) = line_queue(QUEUE, QUEUE_BYTES);
    lines.set_output(Some(Box::new(out)));
    start_thread("log", Box::new(move || write_all(lines)))?;
    Ok(queue)
}

fn put(queue: &LineQueue, line: Vec<u8>) {
    if queue.put(line).is_err() {
        queue.lose(1);
    }
}

fn write_all(mut lines: LineWriter) {
    let mut said = 0;
    while let Ok(line) = lines.next(None) {
        // Where it cannot be written there is no other place to say so.
        let result = lines.write(&line);
        let lost = lines.lost();
        if result.is_ok() && lost > said {
            let text = format!(
                "{} lines of this log were lost: nobody took them",
                lost - said
            );
            if lines.write(&line_of(log::Level::Warn, &text)).is_ok() {
                said = lost;
            }
        }
        lines.done(&line);
    }
}

/// One line, whatever is in the text: a control character in it must not begin another one.
fn line_of(level: log::Level, text: &dyn std::fmt::Display) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut line = format!("{} {level:5} ", HttpDate(now));
    for character in text.to_string().chars() {
        if character.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\x{:02x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line.into_bytes()
}

struct Stderr;

static STDERR: OnceLock<LineQueue> = OnceLock::new();

/// Panics by the lines of code that they come from.
static PANICS: Mutex<Throttle<32>> = Mutex::new(Throttle::new());

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata())
            && let Some(queue) = STDERR.get()
        {
            put(queue, line_of(record.level(), record.args()));
        }
    }

    fn flush(&self) {
        flush();
    }
}

/// Logs what is at least as important as `level`, panics included.
pub(crate) fn start(level: LevelFilter) -> io::Result<()> {
    // Both fail only if it was done before, which the command does once.
    let _ = STDERR.set(start_queue(standard_error()?)?);
    let _ = log::set_logger(&Stderr);
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        // A handler that panics over a request does so whenever a client repeats it.
        let place = panic.location().map_or(0, |place| place.line() as usize);
        let admitted = PANICS
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
            .admit(place, PosixClock.monotonic());
        if let Some(more) = admitted {
            log::error!("{}{more}", panic.to_string().replace('\n', " "));
        }
    }));
    Ok(())
}

/// Waits for the lines so far to be written, but not for long; `false` when nobody takes them.
pub(crate) fn flush() -> bool {
    STDERR.get().is_none_or(|queue| queue.flush(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::thread;
    use std::time::Instant;

    /// The losses that a log tells of, summed.
    fn losses(text: &str) -> u64 {
        let lost = text.lines().filter_map(|line| {
            let (before, _) = line.split_once(" lines of this log were lost")?;
            before.rsplit(' ').next()?.parse::<u64>().ok()
        });
        lost.sum()
    }

    #[test]
    fn pipe_that_nobody_reads_stalls_nobody_and_losses_are_said_later() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = start_queue(writer).unwrap();
        let begin = Instant::now();
        for n in 0..10_000 {
            // As long as that, the queue alone fills the pipe, however late the writer begins.
            put(&queue, format!("{n} {}\n", "x".repeat(1_000)).into());
        }
        assert!(begin.elapsed() < Duration::from_secs(2));
        assert!(!queue.flush(PATIENCE), "nobody reads");
        let reading = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        while !queue.flush(PATIENCE) {}
        put(&queue, "last\n".into());
        assert!(queue.flush(PATIENCE));
        drop(queue);
        let text = reading.join().unwrap();
        assert!(text.starts_with("0 xx"), "{}", &text[..200]);
        let written = text.matches(" xx").count() as u64;
        assert_eq!(written + losses(&text), 10_000);
        assert!(text.ends_with("last\n"));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_said_later() {
        use std::sync::mpsc::{Receiver, channel};

        /// Refuses all until it is told to take lines, and hands on what it takes.
        struct Disk(Receiver<()>, std::sync::mpsc::Sender<Vec<u8>>);

        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let _ = self.1.send(bytes.into());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (is_full, full) = channel();
        let (written, lines) = channel();
        let queue = start_queue(Disk(full, written)).unwrap();
        for _ in 0..7 {
            put(&queue, "lost\n".into());
            assert!(queue.flush(PATIENCE));
        }
        assert_eq!(queue.lost(), 7);
        drop(is_full);
        put(&queue, "taken\n".into());
        assert!(queue.flush(PATIENCE));
        drop(queue);
        let text = String::from_utf8(lines.iter().flatten().collect()).unwrap();
        assert!(text.starts_with("taken\n"), "{text}");
        assert_eq!(losses(&text), 7, "{text}");
    }

    #[test]
    fn text_with_control_characters_is_one_line() {
        for byte in 0..=0xff_u8 {
            let character = char::from(byte);
            let line = line_of(log::Level::Warn, &format!("a{character}b"));
            let line = String::from_utf8(line).unwrap();
            let expected = match character.is_control() {
                true => format!(" a\\x{byte:02x}b\n"),
                false => format!(" a{character}b\n"),
            };
            assert!(line.ends_with(&expected), "{line:?}");
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        }
    }
}
