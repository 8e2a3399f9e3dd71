//! The access log: one line for each request, in the Common or Combined Log Format.
//!
//! Workers gather lines in memory and hand them over once a turn; one thread writes them. The queue
//! between them is bounded and nobody waits for it: while it is full a worker gathers on, within a
//! bound. When the destination is too slow for that, lines are lost and counted, and the loss is
//! said in the server's own log. A named pipe is such a destination until somebody reads from it,
//! and again after that reader went away.

use crate::line_writer::{LineQueue, LineWriter, line_queue};
use crate::listing::civil;
use capuchin_core::http::fields::Name;
use capuchin_core::http::head::{Head, Version};
use capuchin_core::service::Outcome;
use capuchin_posix::queue::Nothing;
use capuchin_posix::{Folder, pause, standard_output, start_thread};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

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

/// Bytes that a worker gathers while the queue is full; what comes then is lost.
const BACKLOG_BYTES: usize = 1 << 20;

/// How soon a worker without requests tries again to hand over what it gathered, in milliseconds.
const RETRY_MS: u32 = 20;

/// Bytes of a batch from which it is handed over in the middle of a turn.
const BATCH_BYTES: usize = 32 << 10;

/// Bytes of one text from a client; what is longer is cut.
const TEXT_LIMIT: usize = 2_048;

/// How long to wait, at the end, for a destination that does not take what is left.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);

/// How often the writer looks whether it is to reopen or to end, and whether a pipe has a reader.
const TICK: Duration = Duration::from_millis(200);

/// Bytes of an empty buffer that is kept for the next batch.
const SPARE_BYTES: usize = 2 * BATCH_BYTES;

/// How often losses are said at the most.
const LOSS_PAUSE: Duration = Duration::from_secs(1);

/// What the writer and the workers share.
#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    end: AtomicBool,
    ended: AtomicBool,
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
        if lost == 0 {
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
        Lines {
            format: self.format,
            queue: self.queue.clone(),
            shared: Arc::clone(&self.shared),
            batch: Vec::new(),
            connections: Vec::new(),
            stamp: (u64::MAX, String::new()),
        }
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

/// The thread's side.
struct Writer {
    place: Place,
    /// Without an output while that is a pipe without reader.
    lines: LineWriter,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self) {
        let (mut write_failed, mut open_failed) = (false, false);
        loop {
            let ending = self.shared.end.load(Ordering::SeqCst);
            // After the end is told nothing new comes: what is queued is all there is.
            let wait = if ending { Duration::ZERO } else { TICK };
            let received = self.lines.next(Some(wait));
            let asked = self.shared.reopen.swap(false, Ordering::SeqCst);
            if asked || !self.lines.has_output() {
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
        let result = self.lines.write(batch);
        if let Err(error) = &result {
            if error.kind() == io::ErrorKind::BrokenPipe && !matches!(self.place, Place::Stdout) {
                // The pipe's reader went away; the next may come.
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

/// How a file is found again when it is to be reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By its path.
    Path,
    /// By its name in the directory that is opened now: for a process that gives up paths.
    Directory,
}

/// A destination as the writer opens it.
enum Place {
    Stdout,
    Path(PathBuf),
    Directory(Folder, CString),
}

impl Place {
    fn of(destination: &Destination, reach: Reach) -> io::Result<Self> {
        match (destination, reach) {
            (Destination::Stdout, _) => Ok(Self::Stdout),
            (Destination::File(path), Reach::Path) => Ok(Self::Path(path.clone())),
            (Destination::File(path), Reach::Directory) => {
                let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
                let folder = Folder::open(&directory_of(path)?);
                Ok(Self::Directory(
                    folder.map_err(io::Error::from_raw_os_error)?,
                    CString::new(name.as_bytes())?,
                ))
            }
        }
    }

    /// `None` for a named pipe that nobody reads yet.
    fn open(&self) -> io::Result<Option<Box<dyn Write + Send>>> {
        let file = match self.append(true) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
            Err(error) => return Err(error),
        };
        if matches!(self, Self::Stdout) {
            return Ok(Some(Box::new(file)));
        }
        // The writer itself may wait: it is there so that nobody else has to.
        // SAFETY: the descriptor is open, and no memory is passed.
        let result = unsafe {
            let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Some(Box::new(file)))
    }

    /// Opens the file to add to it. Without O_NONBLOCK the opening of a pipe would wait for its reader.
    fn append(&self, create: bool) -> io::Result<File> {
        match self {
            Self::Stdout => standard_output(),
            Self::Path(path) => OpenOptions::new()
                .append(true)
                .create(create)
                .mode(LOG_MODE)
                .custom_flags(libc::O_NONBLOCK)
                .open(path),
            Self::Directory(folder, name) => folder
                .append(name, create.then_some(LOG_MODE))
                .map_err(io::Error::from_raw_os_error),
        }
    }
}

/// Permissions of a log that is made: the owner's, and its group may read.
const LOG_MODE: u32 = 0o640;

/// Whether this process may make files in the directory of `path` (access(2)).
fn may_make_files_beside(path: &Path) -> io::Result<()> {
    let directory = directory_of(path)?;
    // SAFETY: the name ends with NUL.
    match unsafe { libc::access(directory.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn directory_of(path: &Path) -> io::Result<CString> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    Ok(CString::new(directory.as_os_str().as_bytes())?)
}

/// Gathers the lines of one worker. Nothing here waits or makes a system call but to hand a batch
/// over.
#[derive(Debug)]
pub struct Lines {
    format: Format,
    queue: LineQueue,
    shared: Arc<Shared>,
    batch: Vec<u8>,
    connections: Vec<Option<Box<Connection>>>,
    /// The last second that was written out, and its text.
    stamp: (u64, String),
}

#[derive(Debug, Default)]
struct Connection {
    peer: Option<SocketAddr>,
    /// From the time to the request, ready to write.
    begun: Vec<u8>,
    /// Referer and user agent, ready to write.
    sender: Vec<u8>,
}

impl Lines {
    /// A connection begins.
    pub fn connected(&mut self, index: u32, peer: Option<SocketAddr>) {
        let index = index as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index] = Some(Box::new(Connection {
            peer,
            ..Connection::default()
        }));
    }

    /// A connection is over.
    pub fn closed(&mut self, index: u32) {
        if let Some(place) = self.connections.get_mut(index as usize) {
            *place = None;
        }
    }

    /// A request begins; `None` when what came is none.
    pub fn observe(&mut self, index: u32, request: Option<&Head<'_>>, unix_time: u64) {
        if self.stamp.0 != unix_time {
            self.stamp = (unix_time, stamp(unix_time));
        }
        let Some(Some(connection)) = self.connections.get_mut(index as usize) else {
            return;
        };
        connection.begun.clear();
        connection.sender.clear();
        let begun = &mut connection.begun;
        begun.extend_from_slice(self.stamp.1.as_bytes());
        begun.extend_from_slice(b" \"");
        match request {
            Some(head) => {
                escape(head.method_token(), begun);
                begun.push(b' ');
                escape(head.target(), begun);
                begun.extend_from_slice(match head.version() {
                    Version::Http10 => b" HTTP/1.0\"",
                    Version::Http11 => b" HTTP/1.1\"",
                });
            }
            None => begun.extend_from_slice(b"-\""),
        }
        if self.format == Format::Combined {
            for name in [Name::Referer, Name::UserAgent] {
                let sender = &mut connection.sender;
                sender.extend_from_slice(b" \"");
                escape(
                    request.and_then(|head| head.value(name)).unwrap_or(b"-"),
                    sender,
                );
                sender.push(b'"');
            }
        }
    }

    /// A request is over: its line is complete.
    pub fn finished(&mut self, index: u32, outcome: Outcome) {
        let Some(Some(connection)) = self.connections.get_mut(index as usize) else {
            return;
        };
        let batch = &mut self.batch;
        let begin = batch.len();
        // Writing to a vector cannot fail.
        let _ = match connection.peer {
            Some(peer) => write!(batch, "{}", peer.ip()),
            None => write!(batch, "-"),
        };
        batch.extend_from_slice(b" - - ");
        batch.extend_from_slice(&connection.begun);
        let _ = match outcome.status {
            Some(status) => write!(batch, " {} ", status.code()),
            None => write!(batch, " - "),
        };
        let _ = if outcome.content == 0 {
            write!(batch, "-")
        } else {
            write!(batch, "{}", outcome.content)
        };
        batch.extend_from_slice(&connection.sender);
        batch.push(b'\n');
        if begin > 0 && batch.len() > BACKLOG_BYTES {
            batch.truncate(begin);
            self.queue.lose(1);
        }
        // An idle connection keeps no large buffers.
        if connection.begun.capacity() > 512 {
            connection.begun = Vec::new();
        }
        if connection.sender.capacity() > 512 {
            connection.sender = Vec::new();
        }
        if self.batch.len() >= BATCH_BYTES {
            self.hand_over();
        }
    }

    /// A turn of the worker is over.
    pub fn turn_ended(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
        self.shared.say_losses(self.queue.lost(), false);
    }

    /// In how many milliseconds [`Lines::turn_ended`] wants to be called again, if lines are left.
    #[must_use]
    pub fn retry_in(&self) -> Option<u32> {
        (!self.batch.is_empty()).then_some(RETRY_MS)
    }

    /// Queues the batch; it stays here as long as the queue is full.
    fn hand_over(&mut self) {
        self.batch = match self.queue.put(std::mem::take(&mut self.batch)) {
            Err(batch) => batch,
            Ok(()) => {
                let spare = self.shared.spare.try_lock();
                let spare = spare.ok().and_then(|mut spare| spare.pop());
                spare.unwrap_or_default()
            }
        };
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.batch.is_empty()
            && let Ok(mut left) = self.shared.left.lock()
        {
            left.push(std::mem::take(&mut self.batch));
        }
    }
}

/// `[20/Nov/2026:22:17:05 +0000]`
fn stamp(unix_time: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (date, time) = civil(unix_time);
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.wrapping_sub(1)));
    format!(
        "[{}/{}/{}:{time} +0000]",
        day.unwrap_or("-"),
        month.unwrap_or(&"-"),
        year.unwrap_or("-")
    )
}

/// Text from a client, cut and escaped so that it can neither end its field nor its line.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in &text[..text.len().min(TEXT_LIMIT)] {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::http::head::{Field, HeadParser};
    use capuchin_core::http::status::Status;
    use std::{fs, thread};

    fn outcome(status: Status, content: u64) -> Outcome {
        Outcome {
            status: Some(status),
            content,
            complete: true,
        }
    }

    fn request(lines: &mut Lines, index: u32, head: &[u8], outcome: Outcome) {
        let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 16]);
        parser.advance(head, &mut fields).unwrap();
        lines.observe(
            index,
            Some(&Head::new(&parser, head, &fields)),
            1_795_213_025,
        );
        lines.finished(index, outcome);
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("capuchin-log-{}-{name}", std::process::id()))
    }

    fn logged(name: &str, format: Format, act: impl FnOnce(&mut Lines)) -> String {
        let path = path(name);
        let _ = fs::remove_file(&path);
        let log = AccessLog::start(Destination::File(path.clone()), format).unwrap();
        let mut lines = log.lines();
        lines.connected(0, Some("192.0.2.7:99".parse().unwrap()));
        act(&mut lines);
        lines.turn_ended();
        drop(lines);
        log.finish();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        text
    }

    #[test]
    fn lines_have_the_formats_that_tools_read() {
        let head = b"GET /a?b HTTP/1.1\r\nHost: h\r\nReferer: http://r/\r\nUser-Agent: agent \"x\"\r\n\r\n";
        let text = logged("common", Format::Common, |lines| {
            request(lines, 0, head, outcome(Status::OK, 2_326))
        });
        assert_eq!(
            text,
            "192.0.2.7 - - [20/Nov/2026:22:17:05 +0000] \"GET /a?b HTTP/1.1\" 200 2326\n"
        );
        let text = logged("combined", Format::Combined, |lines| {
            request(lines, 0, head, outcome(Status::NOT_MODIFIED, 0))
        });
        assert_eq!(
            text,
            "192.0.2.7 - - [20/Nov/2026:22:17:05 +0000] \"GET /a?b HTTP/1.1\" 304 - \"http://r/\" \"agent \\\"x\\\"\"\n"
        );
    }

    #[test]
    fn what_is_no_request_and_what_got_no_reply_is_a_dash() {
        let text = logged("dash", Format::Combined, |lines| {
            lines.observe(0, None, 0);
            lines.finished(
                0,
                Outcome {
                    status: None,
                    content: 0,
                    complete: false,
                },
            );
        });
        assert_eq!(
            text,
            "192.0.2.7 - - [01/Jan/1970:00:00:00 +0000] \"-\" - - \"-\" \"-\"\n"
        );
    }

    #[test]
    fn every_byte_of_a_client_text_is_printable_or_escaped() {
        for byte in 0..=255_u8 {
            let mut out = Vec::new();
            escape(&[b'a', byte, b'b'], &mut out);
            let expected = match byte {
                b'"' => "a\\\"b".into(),
                b'\\' => "a\\\\b".into(),
                b' '..=b'~' => format!("a{}b", char::from(byte)),
                _ => format!("a\\x{byte:02x}b"),
            };
            assert_eq!(String::from_utf8(out), Ok(expected));
        }
    }

    #[test]
    fn client_texts_are_cut_at_their_limit() {
        let mut out = Vec::new();
        escape(&[b'x'; TEXT_LIMIT], &mut out);
        assert_eq!(out.len(), TEXT_LIMIT);
        let mut out = Vec::new();
        escape(&[b'x'; 10_000], &mut out);
        assert_eq!(out.len(), TEXT_LIMIT);
    }

    #[test]
    fn destination_that_takes_nothing_stalls_nobody() {
        // Goes as a whole: the writer, which lives on for a while, would make the file anew.
        let folder = path("stalled");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let path = folder.join("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        // Open for both, so that opening it waits for nobody; never read.
        let holder = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        assert!(holder.as_raw_fd() >= 0);
        let log = AccessLog::start(Destination::File(path.clone()), Format::Common).unwrap();
        let mut lines = log.lines();
        lines.connected(0, None);
        let begin = Instant::now();
        let head = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(1_000));
        for _ in 0..10_000 {
            request(&mut lines, 0, head.as_bytes(), outcome(Status::OK, 1));
            lines.turn_ended();
        }
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
        assert!(log.lost() > 5_000, "{}", log.lost());
        let begin = Instant::now();
        log.finish();
        assert!(
            begin.elapsed() < 2 * FINISH_PATIENCE,
            "{:?}",
            begin.elapsed()
        );
        drop(holder);
        for _ in 0..100 {
            if fs::remove_dir_all(&folder).is_ok() {
                break;
            }
        }
    }

    #[test]
    fn turns_of_one_line_lose_nothing_to_a_destination_that_keeps_up() {
        // Far more turns than the queue has places, faster than the writer takes them one by one.
        let mut wanted = String::new();
        let text = logged("one-by-one", Format::Common, |lines| {
            for n in 0..5_000 {
                let head = format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n");
                request(lines, 0, head.as_bytes(), outcome(Status::OK, 1));
                lines.turn_ended();
                wanted += &format!(
                    "192.0.2.7 - - [20/Nov/2026:22:17:05 +0000] \"GET /{n} HTTP/1.1\" 200 1\n"
                );
            }
        });
        assert!(text == wanted, "{} lines", text.lines().count());
    }

    #[test]
    fn pipe_without_reader_is_written_once_it_has_one_and_again_after_it_lost_it() {
        let path = path("late");
        let _ = fs::remove_file(&path);
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let begin = Instant::now();
        let log = AccessLog::start(Destination::File(path.clone()), Format::Common).unwrap();
        assert!(
            begin.elapsed() < Duration::from_secs(1),
            "nobody is waited for"
        );
        let mut lines = log.lines();
        lines.connected(0, None);
        let mut write_one = || {
            let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
            request(&mut lines, 0, head, outcome(Status::OK, 1));
            lines.turn_ended();
            thread::sleep(Duration::from_millis(20));
        };
        write_one();
        for _ in 0..2 {
            let before = log.lost();
            while log.lost() == before {
                write_one();
            }
            // Opening it to read waits for the writer, which tries again and again.
            let mut reader = File::open(&path).unwrap();
            let mut text = [0; 256];
            let count = loop {
                write_one();
                match io::Read::read(&mut reader, &mut text).unwrap() {
                    0 => continue,
                    count => break count,
                }
            };
            let text = String::from_utf8_lossy(&text[..count]);
            assert!(
                text.starts_with("- - - [") && text.contains("\"GET / HTTP/1.1\" 200 1\n"),
                "{text}"
            );
        }
        log.finish();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn check_looks_as_a_start_would_and_makes_nothing() {
        let (path, directory) = (path("checked"), path("checked.d"));
        let _ = fs::remove_file(&path);
        fs::create_dir_all(&directory).unwrap();
        let check = |path: &Path, reach| {
            AccessLog::later(Destination::File(path.into()), Format::Common).check(reach)
        };
        for reach in [Reach::Path, Reach::Directory] {
            check(&path, reach).unwrap();
            assert!(!path.exists());
            fs::write(&path, "").unwrap();
            check(&path, reach).unwrap();
            fs::remove_file(&path).unwrap();
            assert!(check(&directory, reach).is_err());
            let nowhere = check(&directory.join("none/log"), reach).unwrap_err();
            assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
        }
        fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn log_is_found_again_as_it_was_opened_first() {
        let path = path("first");
        let started = AccessLog::start(Destination::File(path.clone()), Format::Common).unwrap();
        assert_eq!(started.open(Reach::Directory).unwrap(), Reach::Path);
        let later = AccessLog::later(Destination::File(path.clone()), Format::Common);
        for reach in [Reach::Directory, Reach::Path] {
            assert_eq!(later.open(reach).unwrap(), Reach::Directory);
        }
        started.finish();
        later.finish();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn reopening_goes_on_in_a_new_file_and_loses_nothing() {
        for reach in [Reach::Path, Reach::Directory] {
            reopen(reach);
        }
    }

    fn reopen(reach: Reach) {
        let (path, old) = (path("rotated"), path("rotated.1"));
        for file in [&path, &old] {
            let _ = fs::remove_file(file);
        }
        let log = AccessLog::later(Destination::File(path.clone()), Format::Common);
        log.open(reach).unwrap();
        let mut lines = log.lines();
        lines.connected(0, None);
        let write = |lines: &mut Lines, from: usize| {
            for n in from..from + 100 {
                request(
                    lines,
                    0,
                    format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(),
                    outcome(Status::OK, 1),
                );
            }
            lines.turn_ended();
        };
        write(&mut lines, 0);
        while fs::read_to_string(&path).unwrap().lines().count() < 100 {
            thread::sleep(Duration::from_millis(5));
        }
        fs::rename(&path, &old).unwrap();
        log.reopen();
        write(&mut lines, 100);
        log.finish();
        let all = fs::read_to_string(&old).unwrap() + &fs::read_to_string(&path).unwrap();
        let numbers: Vec<usize> = all
            .lines()
            .map(|line| {
                line.split(" \"GET /")
                    .nth(1)
                    .unwrap()
                    .split(' ')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        assert!(!fs::read_to_string(&path).unwrap().is_empty());
        for file in [&path, &old] {
            fs::remove_file(file).unwrap();
        }
    }
}
