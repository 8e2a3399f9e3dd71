//! The transport that goes with the channel: sockets as everywhere, and the channel is told what
//! each attempt has shown.

use crate::cell::{Cell, Direction};
use crate::feed::Closing;
use crate::memory::post_cell;
use capuchin_core::transport::{Error, Socket, Then, Transport};

/// Wraps the transport of the system, `T`.
///
/// A receive that fills less than the buffer has taken all the bytes there were. Whether it has also
/// met what else was heard of, it cannot say: bytes and the end of a stream that come together are
/// two changes. One change alone it has met.
#[derive(Clone, Copy, Debug)]
pub struct RtemsTransport<T> {
    inner: T,
    cells: &'static [Cell],
}

impl<T: Transport> RtemsTransport<T> {
    /// The transport for the channel whose memory has these `cells`.
    #[must_use]
    pub fn new(inner: T, cells: &'static [Cell]) -> Self {
        Self { inner, cells }
    }

    /// Makes an attempt and tells the cell; `drained` says of a success that it took all there was.
    fn attempt<R>(
        &mut self,
        socket: Socket,
        direction: Direction,
        call: impl FnOnce(&mut T) -> Result<R, Error>,
        drained: impl FnOnce(&R) -> bool,
    ) -> Result<R, Error> {
        let cell = cell_of(self.cells, socket);
        let changes = cell.map_or(0, |cell| cell.try_out(direction));
        let result = call(&mut self.inner);
        if let Some(cell) = cell {
            let shown = match &result {
                Ok(done) if drained(done) => Shown::Drained,
                Ok(_) => Shown::More,
                Err(Error::WouldBlock) => Shown::Nothing,
                Err(_) => Shown::Failure,
            };
            tell(cell, direction, changes, shown);
        }
        result
    }
}

/// What an attempt has shown.
#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    /// A success that took all there was.
    Drained,
    More,
    Failure,
}

/// Puts back what is left of the `changes` that were taken before an attempt.
fn tell(cell: &Cell, direction: Direction, changes: u32, shown: Shown) {
    let left = match shown {
        Shown::Nothing => 0,
        Shown::Drained => changes.min(2).saturating_sub(1),
        Shown::More => changes.max(1),
        Shown::Failure => 1,
    };
    if left > 0 && cell.put_back(direction, left) {
        post_cell(cell);
    }
}

/// The cell of a socket.
pub(crate) fn cell_of(cells: &'static [Cell], socket: Socket) -> Option<&'static Cell> {
    cells.get(usize::try_from(socket.0).ok()?)
}

impl<T: Transport> Transport for RtemsTransport<T> {
    type File = T::File;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        let accept = |inner: &mut T| inner.accept(listener);
        self.attempt(listener, Direction::Receive, accept, |_| false)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        let room = buffer.len();
        let receive = |inner: &mut T| inner.receive(socket, buffer);
        // The end of a stream stays: it is readable for ever.
        let drained = |&count: &usize| count > 0 && count < room;
        self.attempt(socket, Direction::Receive, receive, drained)
    }

    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        let peek = |inner: &mut T| inner.peek(socket, buffer);
        // What was looked at is still there.
        self.attempt(socket, Direction::Receive, peek, |_| false)
    }

    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        let send = |inner: &mut T| inner.send(socket, parts, then);
        self.attempt(socket, Direction::Send, send, |_| false)
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: Self::File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        let send = |inner: &mut T| inner.send_file(socket, file, offset, length);
        self.attempt(socket, Direction::Send, send, |_| false)
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        self.inner.shutdown(socket)
    }

    fn abort(&mut self, socket: Socket) {
        self.inner.abort(socket);
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        let closing = Closing::begin(socket);
        let result = self.inner.close(socket);
        closing.end();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::event::{Interest, Token};
    use std::boxed::Box;
    use std::vec::Vec;

    /// A stream of which so many bytes have arrived, and perhaps the end.
    #[derive(Default)]
    struct Stream {
        bytes: usize,
        ended: bool,
    }

    impl Transport for Stream {
        type File = ();
        fn accept(&mut self, _: Socket) -> Result<Socket, Error> {
            Err(Error::WouldBlock)
        }
        fn receive(&mut self, _: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
            let count = self.bytes.min(buffer.len());
            self.bytes -= count;
            match count {
                0 if self.ended => Ok(0),
                0 => Err(Error::WouldBlock),
                some => Ok(some),
            }
        }
        fn send(&mut self, _: Socket, _: &[&[u8]], _: Then) -> Result<usize, Error> {
            Err(Error::WouldBlock)
        }
        fn send_file(&mut self, _: Socket, _: (), _: u64, _: u64) -> Result<usize, Error> {
            Err(Error::WouldBlock)
        }
        fn shutdown(&mut self, _: Socket) -> Result<(), Error> {
            Ok(())
        }
        fn close(&mut self, _: Socket) -> Result<(), Error> {
            Ok(())
        }
    }

    const SOCKET: Socket = Socket(0);

    /// A watched cell whose beginning has been looked into.
    fn watched(stream: Stream) -> (RtemsTransport<Stream>, &'static Cell) {
        let cells: &'static [Cell] = Box::leak(Box::new([Cell::new()]));
        let token = Token {
            index: 1,
            generation: 1,
        };
        // The cell is in the worker's list: nothing is posted.
        assert!(cells[0].notice());
        cells[0].begin((0, 0), token, Interest::READ);
        let _ = cells[0].try_out(Direction::Receive);
        (RtemsTransport::new(stream, cells), &cells[0])
    }

    fn is_readable(cell: &Cell) -> bool {
        let readable = cell.look().is_some_and(|look| look.is_readable());
        assert!(cell.notice());
        readable
    }

    /// What arrives between two receives: bytes, and whether the end comes with them.
    fn all_is_met(arrivals: &[(usize, bool)], buffer: usize) {
        let (mut transport, cell) = watched(Stream::default());
        let mut buffer = std::vec![0; buffer];
        let (mut sent, mut received, mut ended) = (0, 0, false);
        let mut arrivals = arrivals.iter();
        loop {
            let arrival = arrivals.next();
            if let Some(&(bytes, end)) = arrival {
                sent += bytes;
                transport.inner.bytes += bytes;
                transport.inner.ended |= end;
                for _ in 0..usize::from(bytes > 0) + usize::from(end) {
                    assert!(!cell.heard(Direction::Receive), "the cell is noticed");
                }
            }
            if is_readable(cell) {
                match transport.receive(SOCKET, &mut buffer) {
                    Ok(0) => ended = true,
                    Ok(count) => received += count,
                    Err(_) => {}
                }
                if ended {
                    break;
                }
            } else if arrival.is_none() {
                break;
            }
        }
        assert_eq!((received, ended), (sent, transport.inner.ended));
    }

    #[test]
    fn end_behind_more_bytes_than_a_buffer_holds_is_met() {
        all_is_met(&[(14, true)], 4);
        all_is_met(&[(12, true)], 4);
        all_is_met(&[(3, true)], 4);
        all_is_met(&[(0, true)], 4);
        all_is_met(&[(4, false), (4, false), (3, true)], 4);
    }

    #[test]
    fn whatever_arrives_between_receives_is_met() {
        let mut seed = 7u64;
        let mut random = move |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..20_000 {
            let count = random(6) as usize;
            let mut arrivals: Vec<(usize, bool)> =
                (0..count).map(|_| (random(10) as usize, false)).collect();
            arrivals.push((random(10) as usize, random(2) == 1));
            all_is_met(&arrivals, 1 + random(6) as usize);
        }
    }

    #[test]
    fn one_request_takes_one_receive() {
        let (mut transport, cell) = watched(Stream {
            bytes: 3,
            ended: false,
        });
        assert!(!cell.heard(Direction::Receive));
        assert!(is_readable(cell));
        assert_eq!(transport.receive(SOCKET, &mut [0; 10]), Ok(3));
        assert!(
            !is_readable(cell),
            "nothing is left, and nobody has to find out"
        );
    }
}
