//! QEMU's human monitor over its socket: a line goes in, text comes back up to the next prompt.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the monitor prints when it is ready for a line.
const PROMPT: &[u8] = b"(qemu) ";

/// Bytes of a reply; more is a fault. The echo of a long line alone is tens of thousands.
const REPLY_LIMIT: usize = 4 << 20;

/// A conversation with the monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
}

impl Monitor {
    /// Connects and waits for the first prompt, which comes when the machine runs.
    pub(crate) fn open(socket: &Path, limit: Duration) -> io::Result<Self> {
        let mut monitor = Self {
            stream: UnixStream::connect(socket)?,
        };
        monitor.read_to_prompt(Instant::now() + limit)?;
        Ok(monitor)
    }

    /// Says a line, and returns what is answered. After an error the conversation is of no more
    /// use: its rest may come at any time.
    pub(crate) fn ask(&mut self, command: &str, limit: Duration) -> io::Result<String> {
        self.say(command, limit)?;
        let bytes = self.read_to_prompt(Instant::now() + limit)?;
        Ok(reply_text(&bytes))
    }

    /// Says a line, and does not wait for an answer.
    pub(crate) fn say(&mut self, command: &str, limit: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(limit))?;
        self.stream.write_all(format!("{command}\n").as_bytes())
    }

    /// The bytes before the prompt.
    fn read_to_prompt(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
            if bytes.ends_with(PROMPT) {
                bytes.truncate(bytes.len() - PROMPT.len());
                return Ok(bytes);
            }
            if bytes.len() > REPLY_LIMIT {
                return Err(io::Error::other("its reply does not end"));
            }
        }
    }
}

/// The reply without the echo of the line, which comes first and is full of cursor movements.
fn reply_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let reply = text.split_once('\n').map_or("", |(_echo, reply)| reply);
    reply.trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_is_no_part_of_the_reply() {
        let echo = b"i\x1b[K\x1b[Din\x1b[K\x1b[D\x1b[Dinfo\x1b[K\r\nVM status: running\r\n";
        assert_eq!(reply_text(echo), "VM status: running");
        assert_eq!(reply_text(b"s\x1b[K\r\n"), "");
        assert_eq!(reply_text(b"s\r\na\r\n\r\nb\r\n"), "a\n\nb");
    }
}
