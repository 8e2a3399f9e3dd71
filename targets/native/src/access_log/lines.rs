//! The lines of one worker, from the events of its connections.

use super::{Format, Shared};
use crate::line_writer::LineQueue;
use crate::listing::civil;
use capuchin_core::http::fields::Name;
use capuchin_core::http::head::{Head, Version};
use capuchin_core::service::Outcome;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes that a worker gathers while the queue is full; what comes then is lost.
const BACKLOG_BYTES: usize = 1 << 20;

/// How soon a worker without requests tries again to hand over what it gathered, in milliseconds.
const RETRY_MS: u32 = 20;

/// Bytes of a batch from which it is handed over in the middle of a turn.
pub(super) const BATCH_BYTES: usize = 32 << 10;

/// Bytes of one text from a client; what is longer is cut.
pub(super) const TEXT_LIMIT: usize = 2_048;

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
    pub(super) fn new(format: Format, queue: LineQueue, shared: Arc<Shared>) -> Self {
        Self {
            format,
            queue,
            shared,
            batch: Vec::new(),
            connections: Vec::new(),
            stamp: (u64::MAX, String::new()),
        }
    }

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
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
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
