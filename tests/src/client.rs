//! A blocking client that sends anything and forgives nothing.
//!
//! It writes raw bytes in whatever pieces a case wants and reads replies with [`crate::reply`].
//! Every wait ends: each read and write has a timeout, and a reply has one as a whole. It tells an
//! orderly end of the connection (FIN) from a reset, because a reset can destroy a reply that is
//! still on its way.

use crate::failure::{Failure, Outcome, show};
use crate::reply::{self, Asked, Framing, Head};
use crate::{ensure, fail};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

mod content;

/// How long a client waits for anything unless a case says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes asked of the socket at once.
const PIECE: usize = 256 * 1024;

/// A complete reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status line and fields.
    pub head: Head,
    /// The content, decoded from its chunks.
    pub body: Vec<u8>,
    /// Statuses of the interim replies before it.
    pub interim: Vec<u16>,
}

impl Reply {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of a field that is there once.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The content as text, for failures and `name value` lines.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks the status.
    ///
    /// # Errors
    /// A failure that shows the reply.
    pub fn expect(self, status: u16) -> Outcome<Self> {
        ensure!(
            self.status() == status,
            "expected {status}, got {} with {}",
            self.status(),
            show(&self.body)
        );
        Ok(self)
    }

    /// Checks status and content.
    ///
    /// # Errors
    /// A failure that shows the reply.
    pub fn expect_body(self, status: u16, body: &[u8]) -> Outcome<Self> {
        let reply = self.expect(status)?;
        ensure!(
            reply.body == body,
            "expected the content {}, got {}",
            show(body),
            show(&reply.body)
        );
        Ok(reply)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order: everything the server sent was received.
    Fin,
    /// By a reset.
    Reset,
}

/// One connection to a server under test.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were taken.
    taken: usize,
    end: Option<End>,
    patience: Duration,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not accept in time.
    pub fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| Failure::new(format!("cannot connect to {address}: {error}")))?;
        Self::over(stream)
    }

    /// Connects with a receive buffer of about `bytes`, so that the server soon has to wait.
    ///
    /// # Errors
    /// When the server does not accept in time.
    pub fn connect_narrow(address: SocketAddr, bytes: usize) -> Outcome<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_recv_buffer_size(bytes)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
            end: None,
            patience: PATIENCE,
        })
    }

    /// Waits this long, not [`PATIENCE`], for each reply, and while the server takes nothing.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        // Refused only for a time of zero, which this is not. For sending, less is never wanted.
        let _ = self.stream.set_write_timeout(Some(patience.max(PATIENCE)));
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the server does not take them in time or is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Outcome {
        let bytes = bytes.as_ref();
        self.stream
            .write_all(bytes)
            .map_err(|error| Failure::new(format!("sending {} failed: {error}", show(bytes))))
    }

    /// Sends as much of `bytes` as the server takes; tells how much. A server that has closed is
    /// no failure here.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => sent += count,
            }
        }
        sent
    }

    /// Sends `bytes` in pieces of `size`, each its own packet, with a `pause` after each.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_pieces(
        &mut self,
        bytes: impl AsRef<[u8]>,
        size: usize,
        pause: Duration,
    ) -> Outcome {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece)?;
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        Ok(())
    }

    /// Ends the sending direction.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn half_close(&mut self) -> Outcome {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// Ends the connection with a reset.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn reset(self) -> Outcome {
        Ok(socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?)
    }

    /// Another handle on the sending side, to send while this client reads.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn sender(&self) -> Outcome<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    /// Reads the next reply.
    ///
    /// # Errors
    /// When it is malformed, cut short, late, or followed by bytes although the server closes.
    pub fn reply(&mut self, asked: Asked) -> Outcome<Reply> {
        let mut body = Vec::new();
        let (head, interim) = self.reply_to(asked, &mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Reply {
            head,
            body,
            interim,
        })
    }

    /// As [`Client::reply`], handing the content to `sink` piece by piece. Tells the head, and the
    /// statuses of the interim replies before it.
    ///
    /// # Errors
    /// As [`Client::reply`], and what `sink` says.
    pub fn reply_to(
        &mut self,
        asked: Asked,
        sink: &mut dyn FnMut(&[u8]) -> Outcome,
    ) -> Outcome<(Head, Vec<u16>)> {
        let deadline = Instant::now() + self.patience;
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head(asked, deadline)?;
            if head.status >= 200 {
                break head;
            }
            ensure!(interim.len() < 8, "interim replies without end");
            interim.push(head.status);
        };
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => self.exactly(length, deadline, sink)?,
            Framing::Chunked => self.chunks(deadline, sink)?,
            Framing::UntilClose => self.until_close(deadline, sink)?,
        }
        if head.close && !self.unread().is_empty() {
            fail!(
                "bytes after a closing reply ({}): {}",
                head.status,
                show(self.unread())
            );
        }
        Ok((head, interim))
    }

    /// Reads the head of the next reply, interim or final, and none of its content.
    ///
    /// # Errors
    /// When it is malformed, cut short or late.
    pub fn head(&mut self, asked: Asked, deadline: Instant) -> Outcome<Head> {
        loop {
            if !self.unread().is_empty() {
                let parsed = reply::head(self.unread(), asked)
                    .map_err(|why| Failure::new(format!("{why}: {}", show(self.unread()))))?;
                if let Some((head, length)) = parsed {
                    self.taken += length;
                    return Ok(head);
                }
            }
            self.need(deadline, "a reply's head")?;
        }
    }

    /// Takes up to `limit` bytes of whatever was or is received, unparsed; empty at the end.
    ///
    /// # Errors
    /// When nothing comes in time.
    pub fn raw(&mut self, limit: usize) -> Outcome<Vec<u8>> {
        if self.unread().is_empty() {
            self.fill(Instant::now() + self.patience)?;
        }
        let piece = self.unread()[..self.unread().len().min(limit)].to_vec();
        self.taken += piece.len();
        Ok(piece)
    }

    /// Waits for bytes, and tells whether any came before the connection ended.
    pub fn receives(&mut self) -> bool {
        if self.unread().is_empty() {
            // How it ended makes no difference.
            let _ = self.fill(Instant::now() + self.patience);
        }
        !self.unread().is_empty()
    }

    /// Waits for the end of the connection, and tells which.
    ///
    /// # Errors
    /// When bytes arrive before it, or it is late.
    pub fn end(&mut self) -> Outcome<End> {
        let deadline = Instant::now() + self.patience;
        loop {
            ensure!(
                self.unread().is_empty(),
                "stray bytes instead of the end: {}",
                show(self.unread())
            );
            if let Some(end) = self.end {
                return Ok(end);
            }
            self.fill(deadline).map_err(|error| {
                Failure::new(format!("waiting for the connection to end: {error}"))
            })?;
        }
    }

    /// Waits for an orderly end.
    ///
    /// # Errors
    /// When bytes arrive, the connection is reset, or the end is late.
    pub fn expect_fin(&mut self) -> Outcome {
        ensure!(
            self.end()? == End::Fin,
            "the connection was reset, not closed in order"
        );
        Ok(())
    }

    /// Reads and drops everything up to the end; tells which, and how many bytes there were.
    ///
    /// # Errors
    /// When the end does not come in time.
    pub fn drain(&mut self) -> Outcome<(End, u64)> {
        let deadline = Instant::now() + self.patience;
        let mut count = 0;
        loop {
            count += self.unread().len() as u64;
            self.taken = self.buffer.len();
            if let Some(end) = self.end {
                return Ok((end, count));
            }
            self.fill(deadline)?;
        }
    }

    /// Checks that nothing arrives for `time` and that the connection stays open.
    ///
    /// # Errors
    /// When bytes or an end arrive.
    pub fn expect_silence(&mut self, time: Duration) -> Outcome {
        let deadline = Instant::now() + time;
        while self.unread().is_empty() && self.end.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.read_within(left)?;
        }
        match self.end {
            Some(end) => fail!("the connection ended ({end:?}) when it was to stay open"),
            None => fail!("stray bytes: {}", show(self.unread())),
        }
    }

    /// Sends a request, reads its reply, and sees that nothing else comes: the end after a closing
    /// reply, no byte after another.
    ///
    /// # Errors
    /// When any of this fails.
    pub fn exchange(&mut self, asked: Asked, request: impl AsRef<[u8]>) -> Outcome<Reply> {
        self.send(request)?;
        let reply = self.reply(asked)?;
        if reply.head.close {
            self.expect_fin()?;
        } else {
            self.expect_silence(Duration::from_millis(1))?;
        }
        Ok(reply)
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// Receives more, of which there has to be some.
    fn need(&mut self, deadline: Instant, what: &str) -> Outcome {
        let before = self.unread().len();
        if self.end.is_none() {
            self.fill(deadline)
                .map_err(|error| Failure::new(format!("waiting for {what}: {error}")))?;
        }
        if self.unread().len() == before {
            let how = if self.end == Some(End::Reset) {
                "a reset"
            } else {
                "FIN"
            };
            fail!("{how} instead of {what}, after {}", show(self.unread()));
        }
        Ok(())
    }

    /// Receives once; the end is noted, not reported.
    fn fill(&mut self, deadline: Instant) -> Outcome {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(
            !left.is_zero() && self.read_within(left)?,
            "nothing within {:?}",
            self.patience
        );
        Ok(())
    }

    /// Receives once, waiting for `time` at the most; `false` when nothing came.
    fn read_within(&mut self, time: Duration) -> Outcome<bool> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.stream
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
        let before = self.buffer.len();
        self.buffer.resize(before + PIECE, 0);
        let outcome = self.stream.read(&mut self.buffer[before..]);
        self.buffer
            .truncate(before + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => self.end = Some(End::Fin),
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(false),
                ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted => {
                    self.end = Some(End::Reset);
                }
                _ => return Err(error.into()),
            },
        }
        Ok(true)
    }
}
