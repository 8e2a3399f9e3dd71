//! Where a reply ends: a head, and as many bytes as its Content-Length says.

use std::io::{self, Read};
use std::net::TcpStream;

/// A head longer than this is none.
const HEAD: usize = 16 << 10;

/// How much of a reply has come.
#[derive(Debug, Default)]
pub struct Framing {
    /// What came of a head that is not whole yet.
    head: Vec<u8>,
    /// Bytes of the body that are to come, once the head is whole.
    missing: Option<usize>,
}

impl Framing {
    /// Takes what came; `true` when the reply ended with it.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let missing = match self.missing {
            Some(missing) => missing
                .checked_sub(bytes.len())
                .ok_or_else(|| wrong("more than the reply"))?,
            None if self.head.is_empty() => match body_missing(bytes)? {
                Some(missing) => missing,
                None => {
                    self.head.extend_from_slice(bytes);
                    return Ok(false);
                }
            },
            None => {
                self.head.extend_from_slice(bytes);
                match body_missing(&self.head)? {
                    Some(missing) => missing,
                    None => return Ok(false),
                }
            }
        };
        if missing > 0 {
            self.missing = Some(missing);
            return Ok(false);
        }
        self.missing = None;
        self.head.clear();
        Ok(true)
    }
}

/// Reads one reply to its last byte.
pub fn read_reply(stream: &mut TcpStream) -> io::Result<()> {
    let (mut buffer, mut framing) = ([0u8; 8_192], Framing::default());
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if framing.feed(&buffer[..count])? {
            return Ok(());
        }
    }
}

/// How much is missing of a reply of which this came; `None` while its head is not whole.
fn body_missing(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return match bytes.len() {
            0..HEAD => Ok(None),
            _ => Err(wrong("a head without end")),
        };
    };
    let (head, body) = bytes.split_at(end + 4);
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(wrong("another status than 200"));
    }
    let name = b"content-length:";
    let length = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name))
        .and_then(|line| std::str::from_utf8(&line[name.len()..]).ok())
        .and_then(|value| value.trim().parse::<usize>().ok())
        .ok_or_else(|| wrong("no Content-Length"))?;
    let missing = length.checked_sub(body.len());
    missing
        .map(Some)
        .ok_or_else(|| wrong("more than the reply"))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 5\r\n\r\nabcde";

    #[test]
    fn reply_ends_with_its_last_byte_in_whatever_pieces_it_comes() {
        let mut framing = Framing::default();
        for first in 0..=REPLY.len() {
            for second in first..=REPLY.len() {
                let pieces = [&REPLY[..first], &REPLY[first..second], &REPLY[second..]];
                let mut seen = 0;
                for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                    seen += piece.len();
                    let ended = framing.feed(piece).expect("a reply");
                    assert_eq!(ended, seen == REPLY.len(), "{first} {second}");
                }
            }
        }
    }

    #[test]
    fn empty_body_ends_with_the_head() {
        let mut framing = Framing::default();
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert!(framing.feed(reply).expect("a reply"));
        assert!(framing.feed(REPLY).expect("the next"));
    }

    #[test]
    fn wrong_replies_are_errors() {
        for reply in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        ] {
            assert!(
                Framing::default().feed(reply.as_bytes()).is_err(),
                "{reply}"
            );
        }
        assert!(Framing::default().feed(&[b'x'; HEAD]).is_err());
    }
}
