//! Requests until an HTTP server answers the first time.
//!
//! QEMU accepts connections to a forwarded port whether or not the guest can be reached yet, and
//! keeps those that it could not hand on: it tries them again seconds later, even when the client
//! is long gone. Who knocks all the time learns late that the guest is up, and leaves it with a
//! crowd of strangers. So [`crate::ear`] listens first: once the guest's network is up, each knock
//! is either refused at once (nobody listens on the port yet) or answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The pause after a knock that was refused: how exact the moment of the first answer is.
const GAP: Duration = Duration::from_millis(10);

/// How long a knock waits alone: packets can be lost, so another is tried beside it then.
const PATIENCE: Duration = Duration::from_secs(2);

/// Knocks that wait at the same time; the oldest gives way.
const MOST: usize = 8;

/// How long a connection may take that QEMU accepts itself.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// How long to read the rest of the first reply, so that the server sees an orderly end.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// Bytes of it.
const REST_BYTES: u64 = 1 << 20;

/// Bytes within which a status line is over.
const STATUS_LINE_BYTES: usize = 1 << 10;

/// Knocks at an address until somebody answers in HTTP.
pub(crate) struct Knocks {
    address: SocketAddr,
    waiting: Vec<Knock>,
    next: Instant,
    /// What became of the last one that failed.
    pub(crate) last_failure: Option<String>,
}

struct Knock {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Knocks {
    /// Begins at `first`.
    pub(crate) fn new(address: SocketAddr, first: Instant) -> Self {
        Self {
            address,
            waiting: Vec::new(),
            next: first,
            last_failure: None,
        }
    }

    /// The next knock is due at once.
    pub(crate) fn hurry(&mut self) {
        self.next = Instant::now();
    }

    /// Does what is due without waiting for the server; true when it has answered.
    pub(crate) fn turn(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PATIENCE;
            match knock(self.address) {
                Ok(knock) => {
                    if self.waiting.len() >= MOST {
                        self.waiting.remove(0);
                    }
                    self.waiting.push(knock);
                }
                Err(error) => self.failed(error.to_string()),
            }
        }
        let mut at = 0;
        while at < self.waiting.len() {
            match self.waiting[at].read() {
                Ok(true) => {
                    self.waiting.swap_remove(at).finish();
                    return true;
                }
                Ok(false) => at += 1,
                Err(error) => {
                    self.waiting.remove(at);
                    self.failed(error.to_string());
                }
            }
        }
        false
    }

    fn failed(&mut self, why: String) {
        self.last_failure = Some(why);
        self.next = self.next.min(Instant::now() + GAP);
    }
}

fn knock(address: SocketAddr) -> io::Result<Knock> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    // Short enough for any socket buffer.
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(Knock {
        stream,
        received: Vec::new(),
    })
}

impl Knock {
    /// Takes what has come; true when that is a status line.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    return Err(io::Error::other(
                        "the connection ended before a status line",
                    ));
                }
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let begun = &self.received[..self.received.len().min(7)];
            if !b"HTTP/1.".starts_with(begun) || self.received.len() > STATUS_LINE_BYTES {
                return Err(io::Error::other("what was answered is not HTTP"));
            }
            if self.received.contains(&b'\n') {
                return Ok(true);
            }
        }
    }

    /// Reads the rest of the reply, which nobody needs.
    fn finish(self) {
        let ready = self.stream.set_nonblocking(false).is_ok()
            && self.stream.set_read_timeout(Some(REST_LIMIT)).is_ok();
        if ready {
            // A server that does not end the connection has answered nevertheless.
            let _ = io::copy(&mut self.stream.take(REST_BYTES), &mut io::sink());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Turns until there is an answer, or 20 seconds are over.
    fn answered(knocks: &mut Knocks) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            if knocks.turn() {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    #[test]
    fn refusals_ends_and_other_protocols_are_no_answers_but_an_error_status_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let replies = ["", "SSH-2.0-x\r\n", "HTTP/1.1 503 Busy\r\n\r\n"];
        let server = thread::spawn(move || {
            let heads = replies.map(|reply| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 14];
                stream.read_exact(&mut head).unwrap();
                stream.write_all(reply.as_bytes()).unwrap();
                head
            });
            assert!(heads.iter().all(|head| head == b"GET / HTTP/1.1"));
        });
        let mut knocks = Knocks::new(address, Instant::now());
        assert!(answered(&mut knocks));
        assert!(knocks.last_failure.is_some());
        server.join().unwrap();
        assert!(!knocks.turn() && !knocks.turn(), "nobody listens any more");
    }

    #[test]
    fn silence_brings_a_second_knock_and_the_first_may_still_be_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut knocks = Knocks::new(listener.local_addr().unwrap(), Instant::now());
        assert!(!knocks.turn());
        knocks.hurry();
        assert!(!knocks.turn());
        assert_eq!(knocks.waiting.len(), 2);
        assert!(!knocks.turn());
        assert_eq!(knocks.waiting.len(), 2, "no third one within the patience");
        let (mut first, _) = listener.accept().unwrap();
        first.write_all(b"HTTP/1.0 200 OK\r\n").unwrap();
        drop(first);
        assert!(answered(&mut knocks));
    }
}
