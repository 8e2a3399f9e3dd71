//! The transport that goes with the channel: sockets as everywhere, and the channel is told what
//! each attempt has shown.

use crate::cell::{Cell, Direction};
use crate::memory::post_cell;
use capuchin_core::transport::{Error, Socket, Transport};

/// Wraps the transport of the system, `T`.
///
/// A receive that fills less than the buffer has taken all there was, unless something else was
/// heard with it: bytes and the end of a stream that arrive together are two changes, and then
/// another receive is worth it.
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
        let Some(cell) = cell_of(self.cells, socket) else {
            return call(&mut self.inner);
        };
        let changes = cell.try_out(direction);
        let result = call(&mut self.inner);
        let spent = match &result {
            Ok(done) => drained(done) && changes == 1,
            Err(error) => *error == Error::WouldBlock,
        };
        if !spent && cell.worth_another(direction) {
            post_cell(cell);
        }
        result
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

    fn send(&mut self, socket: Socket, parts: &[&[u8]], more: bool) -> Result<usize, Error> {
        let send = |inner: &mut T| inner.send(socket, parts, more);
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
        if let Some(cell) = cell_of(self.cells, socket) {
            cell.end_sending();
        }
        self.inner.shutdown(socket)
    }

    fn abort(&mut self, socket: Socket) {
        self.inner.abort(socket);
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        self.inner.close(socket)
    }
}
