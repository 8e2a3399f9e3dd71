//! The connections of the paced load, and the epoll that watches them.

use crate::framing::Framing;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Bytes that one read takes.
const BUFFER: usize = 16 << 10;

/// Events that are taken at once.
const EVENTS: usize = 64;

pub struct Client {
    stream: TcpStream,
    framing: Framing,
    buffer: Box<[u8]>,
    /// When the request that is out was due.
    due: Option<u64>,
    ending: bool,
}

impl Client {
    pub fn connect(address: SocketAddr, epoll: &Epoll, number: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll.watch(&stream, number)?;
        Ok(Self {
            stream,
            framing: Framing::default(),
            buffer: vec![0; BUFFER].into(),
            due: None,
            ending: false,
        })
    }

    /// Whether a request is out.
    pub fn is_busy(&self) -> bool {
        self.due.is_some()
    }

    /// Whether the server ends the connection after the reply that has come.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// Sends a request that was due then.
    pub fn send(&mut self, request: &[u8], due: u64) -> io::Result<()> {
        self.due = Some(due);
        match self.stream.write(request) {
            Ok(count) if count == request.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            // Ended meanwhile: found by the next read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Takes what has come; when the reply is whole, when its request was due.
    pub fn receive(&mut self) -> io::Result<Option<u64>> {
        loop {
            let count = match self.stream.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            let bytes = &self.buffer[..count];
            if count == 0 || self.due.is_none() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let whole = self.framing.feed(bytes)?;
            self.ending |= says_close(bytes);
            if whole {
                return Ok(self.due.take());
            }
            if count < self.buffer.len() {
                return Ok(None);
            }
        }
    }
}

/// Whether a reply's head that begins here ends the connection.
fn says_close(bytes: &[u8]) -> bool {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(0, |end| end + 2);
    let name = b"connection: close\r\n";
    bytes[..head]
        .split_inclusive(|byte| *byte == b'\n')
        .any(|line| line.eq_ignore_ascii_case(name))
}

pub struct Epoll {
    descriptor: OwnedFd,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was opened just now, and nobody else has it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { descriptor })
    }

    fn watch(&self, stream: &TcpStream, number: usize) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: number as u64,
        };
        let (own, other) = (self.descriptor.as_raw_fd(), stream.as_raw_fd());
        // SAFETY: the event lives through the call.
        match unsafe { libc::epoll_ctl(own, libc::EPOLL_CTL_ADD, other, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The numbers of those that can be read, without waiting for any.
    pub fn ready(&self, numbers: &mut Vec<usize>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let own = self.descriptor.as_raw_fd();
        // SAFETY: the array has room for as many events as are asked for.
        let count = unsafe { libc::epoll_wait(own, events.as_mut_ptr(), EVENTS as i32, 0) };
        numbers.clear();
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            };
        }
        let events = &events[..count as usize];
        numbers.extend(events.iter().map(|event| event.u64 as usize));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_replies_are_known_by_their_head() {
        for (reply, expected) in [
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", true),
            (
                "HTTP/1.1 200 OK\r\nconnection: Close\r\nA: b\r\n\r\nabc",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n\r\nconnection: close\r\n",
                false,
            ),
            ("part of a body", false),
        ] {
            assert_eq!(says_close(reply.as_bytes()), expected, "{reply}");
        }
    }
}
