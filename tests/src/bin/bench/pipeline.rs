//! Pipelined load: 16 requests by one send and 16 replies awaited, on 32 connections in turn. Every
//! reply is looked at: status, length and body.

use crate::load::Count;
use crate::machine;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const DEPTH: usize = 16;

/// All of them have requests out while one is read, so that the server always has work.
const CONNECTIONS: usize = 32;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of the file that is asked for, all of them `x`.
pub const BODY: usize = 128;

pub fn run(address: SocketAddr, path: &str, seconds: u64) -> Result<Count, String> {
    let requests = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").repeat(DEPTH);
    machine::on_load_core("pipelined load", move || {
        drive(address, requests.as_bytes(), seconds)
    })
}

fn drive(address: SocketAddr, requests: &[u8], seconds: u64) -> io::Result<Count> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(address)?);
    }
    let (mut right, mut wrong, mut unanswered) = (0u64, 0u64, 0u64);
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    while Instant::now() < end {
        for client in &mut clients {
            client.stream.write_all(requests)?;
        }
        for client in &mut clients {
            let batch = client.replies()?;
            right += batch.right as u64;
            wrong += batch.wrong as u64;
            let answered = batch.right + batch.wrong;
            if batch.closing {
                // A server may end a connection after so many requests; the rest is asked again.
                *client = Client::connect(address)?;
            } else {
                unanswered += (DEPTH - answered) as u64;
                if answered < DEPTH {
                    *client = Client::connect(address)?;
                }
            }
        }
    }
    let mut errors = vec![
        ("wrong reply".into(), wrong),
        ("unanswered".into(), unanswered),
    ];
    errors.retain(|(_, number)| *number > 0);
    Ok(Count {
        requests: right,
        seconds: begin.elapsed().as_secs_f64(),
        bytes: None,
        errors,
    })
}

/// What came back for one send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Batch {
    right: usize,
    wrong: usize,
    /// The last of these replies says that the connection ends with it.
    closing: bool,
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of one reply, once one was seen.
    length: usize,
}

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: vec![0; DEPTH * (BODY + 1_024)],
            length: 0,
        })
    }

    /// Reads until `DEPTH` replies, a closing one, or the end of the stream.
    fn replies(&mut self) -> io::Result<Batch> {
        let mut filled = 0;
        loop {
            let count = match self.stream.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                result => result?,
            };
            filled += count;
            let input = &self.buffer[..filled];
            // Replies to the same request have the same length: no need to search for their ends.
            if self.length > 0 && filled < self.length * DEPTH && count > 0 {
                continue;
            }
            if filled == self.length * DEPTH && input.chunks(self.length).all(is_right) {
                return Ok(Batch {
                    right: DEPTH,
                    ..Batch::default()
                });
            }
            let (batch, length) = parse(input);
            let whole = batch.right + batch.wrong >= DEPTH;
            if whole || batch.closing || count == 0 {
                self.length = if whole && !batch.closing { length } else { 0 };
                return Ok(batch);
            }
        }
    }
}

/// Whether these bytes are one reply as it should be, and nothing else.
fn is_right(reply: &[u8]) -> bool {
    reply.starts_with(b"HTTP/1.1 200")
        && reply
            .split_at_checked(reply.len().saturating_sub(BODY))
            .is_some_and(|(head, body)| head.ends_with(b"\r\n\r\n") && body == [b'x'; BODY])
}

/// Counts whole replies at the start of `input`; tells the length of the last, too.
fn parse(input: &[u8]) -> (Batch, usize) {
    let (mut batch, mut at, mut length) = (Batch::default(), 0, 0);
    while !batch.closing && batch.right + batch.wrong < DEPTH {
        let rest = &input[at..];
        let Some(head) = memchr::memmem::find(rest, b"\r\n\r\n") else {
            break;
        };
        let text = String::from_utf8_lossy(&rest[..head]).to_ascii_lowercase();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let body = field("content-length").and_then(|value| value.parse::<usize>().ok());
        let whole = head + 4 + body.unwrap_or(0);
        if rest.len() < whole {
            break;
        }
        if is_right(&rest[..whole]) {
            batch.right += 1;
        } else {
            batch.wrong += 1;
        }
        batch.closing = field("connection") == Some("close");
        length = whole;
        at += whole;
    }
    (batch, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: &str, more: &str) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {BODY}\r\n{more}\r\n");
        [head.as_bytes(), &[b'x'; BODY]].concat()
    }

    #[test]
    fn whole_replies_are_counted_and_a_cut_one_is_not() {
        let one = reply("200 OK", "");
        let mut input = one.repeat(3);
        input.pop();
        let (batch, length) = parse(&input);
        assert_eq!((batch.right, batch.wrong, batch.closing), (2, 0, false));
        assert_eq!(length, one.len());
    }

    #[test]
    fn wrong_status_and_wrong_body_are_errors() {
        let mut spoiled = reply("200 OK", "");
        *spoiled.last_mut().expect("a body") = b'y';
        let input = [reply("404 Not Found", ""), spoiled, reply("200 OK", "")].concat();
        let (batch, _) = parse(&input);
        assert_eq!((batch.right, batch.wrong), (1, 2));
    }

    #[test]
    fn closing_reply_is_the_last_that_counts() {
        let input = [
            reply("200 OK", ""),
            reply("200 OK", "Connection: close\r\n"),
            reply("200 OK", ""),
        ]
        .concat();
        let (batch, _) = parse(&input);
        assert_eq!((batch.right, batch.closing), (2, true));
    }
}
