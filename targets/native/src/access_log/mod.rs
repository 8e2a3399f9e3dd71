//! The access log: one line for each request, in the Common or Combined Log Format.
//!
//! Workers gather lines in memory and hand them over once a turn; one thread writes them. The queue
//! between them is bounded and nobody waits for it: while it is full a worker gathers on, within a
//! bound. When the destination is too slow for that, lines are lost and counted, and the loss is
//! said in the server's own log. A named pipe is such a destination until somebody reads from it,
//! and again after that reader went away.

mod destination;
mod lines;
mod writer;

pub(crate) use destination::Reach;
pub use lines::Lines;

use crate::line_writer::{LineQueue, LineWriter, line_queue};
use capuchin_posix::{pause, start_thread};
use destination::{Place, may_make_files_beside};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use writer::Writer;

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `host - - [time] "request" status bytes`
    Common,
    /// The same with `"referer" "user-agent"`.
    Combined,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Appended to this file, which is made when it is missing.
    File(PathBuf),
}

/// Batches that may wait to be written, of all workers together.
const QUEUE: usize = 64;

/// Bytes that may wait to be written, of all workers together. A single longer batch may, too.
const QUEUE_BYTES: usize = 4 << 20;

/// How long to wait, at the end, for a destination that does not take what is left.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);

/// How often losses are said at the most.
const LOSS_PAUSE: Duration = Duration::from_secs(1);

/// What the writer and the workers share.
#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    end: AtomicBool,
    ended: AtomicBool,
    /// Standard output is a pipe that nobody reads any more, which was said. It does not come back.
    is_unread: AtomicBool,
    /// How many of the lost lines were said, and when.
    said: Mutex<(u64, Option<Instant>)>,
    /// What workers had gathered when they ended, to be written after the queue.
    left: Mutex<Vec<Vec<u8>>>,
    /// Empty buffers on their way back to the workers.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    /// Says how many of the lines `lost` so far were not told of, not too often. Any thread may: the
    /// writer may be stuck.
    fn say_losses(&self, lost: u64, at_end: bool) {
        if lost == 0 || self.is_unread.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut said) = self.said.try_lock() else {
            return; // another one is at it
        };
        let (before, at) = *said;
        if lost != before && (at_end || at.is_none_or(|at| at.elapsed() >= LOSS_PAUSE)) {
            log::warn!(
                "{} lines of the access log were lost: its destination does not take them",
                lost - before
            );
            *said = (lost, Some(Instant::now()));
        }
    }
}

/// The log's writer.
///
/// ```
/// use capuchin::Server;
/// use capuchin::access_log::{AccessLog, Destination, Format};
/// use std::io::{Read, Write};
/// use std::sync::Arc;
///
/// let path = std::env::temp_dir().join(format!("access-{}.log", std::process::id()));
/// let log = Arc::new(AccessLog::start(Destination::File(path.clone()), Format::Common)?);
/// let running = Server::new(())
///     .listen("127.0.0.1:0".parse().unwrap())
///     .access_log(Arc::clone(&log))
///     .start()?;
/// let mut client = std::net::TcpStream::connect(running.addresses()[0])?;
/// client.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
/// client.read_to_string(&mut String::new())?;
/// running.stop();
/// running.join();
/// log.finish();
/// let line = std::fs::read_to_string(&path)?;
/// assert!(line.contains("] \"GET /nothing HTTP/1.1\" 404 "), "{line}");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    destination: Destination,
    queue: LineQueue,
    shared: Arc<Shared>,
    /// For the writer, until it is started.
    lines: Mutex<Option<LineWriter>>,
    /// Since it is.
    reach: OnceLock<Reach>,
}

impl AccessLog {
    /// Opens the destination and starts the thread that writes to it. Does not wait for the reader
    /// of a named pipe.
    ///
    /// # Errors
    /// When the file cannot be opened, or no thread be started.
    pub fn start(destination: Destination, format: Format) -> io::Result<Self> {
        let log = Self::later(destination, format);
        log.open(Reach::Path)?;
        Ok(log)
    }

    /// As [`AccessLog::start`], but opened when the server that it is given to starts: as the user
    /// that the server becomes ([`crate::Server::user`]), who will have to open it again, and in a
    /// way that its sandbox ([`crate::Server::sandbox`]) leaves.
    #[must_use]
    pub fn later(destination: Destination, format: Format) -> Self {
        let (queue, lines) = line_queue(QUEUE, QUEUE_BYTES);
        Self {
            format,
            destination,
            queue,
            shared: Arc::new(Shared::default()),
            lines: Mutex::new(Some(lines)),
            reach: OnceLock::new(),
        }
    }

    /// Opens the destination and starts the writer, once. How it will be found again: as `reach` says,
    /// unless it was open before.
    pub(crate) fn open(&self, reach: Reach) -> io::Result<Reach> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = self.reach.get() {
            return Ok(*before);
        }
        let place = Place::of(&self.destination, reach)?;
        let output = place.open()?;
        if let Some(mut lines) = lines.take() {
            lines.set_output(output);
            let writer = Writer {
                place,
                lines,
                shared: Arc::clone(&self.shared),
            };
            start_thread("access log", Box::new(move || writer.run()))?;
        }
        Ok(*self.reach.get_or_init(|| reach))
    }

    /// Whether [`AccessLog::open`] would succeed; makes no file.
    pub(crate) fn check(&self, reach: Reach) -> io::Result<()> {
        let Destination::File(path) = &self.destination else {
            return Ok(());
        };
        match Place::of(&self.destination, reach)?.append(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => may_make_files_beside(path),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Why the file could not be made again after it was renamed, if it is one.
    pub(crate) fn obstacle(&self) -> Option<(&Path, io::Error)> {
        match &self.destination {
            Destination::File(path) if path.is_file() => may_make_files_beside(path)
                .err()
                .map(|error| (&**path, error)),
            _ => None,
        }
    }

    /// Where lines go.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The gathering end for one worker.
    #[must_use]
    pub fn lines(&self) -> Lines {
        Lines::new(self.format, self.queue.clone(), Arc::clone(&self.shared))
    }

    /// Has the file opened again by its name, after it was renamed. Returns at once.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::SeqCst);
    }

    /// Lines lost so far because the destination was too slow, or did not take them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue.lost()
    }

    /// Waits until all is written that was handed over, but no longer than a second.
    pub fn finish(&self) {
        let lines = self.lines.lock().map(|lines| lines.is_some());
        if lines.unwrap_or(false) {
            return; // it never began
        }
        self.shared.end.store(true, Ordering::SeqCst);
        let begin = Instant::now();
        while !self.shared.ended.load(Ordering::SeqCst) {
            if begin.elapsed() > FINISH_PATIENCE {
                log::warn!("the access log was left unfinished: its destination takes nothing");
                return;
            }
            pause(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests;
