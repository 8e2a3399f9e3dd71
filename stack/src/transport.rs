//! Sockets of the stack, as the engine uses them.

use crate::net::Net;
use capuchin_core::transport::{Error, Socket, Then, Transport};
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use smoltcp::phy::Device;
use smoltcp::socket::tcp::RecvError;

/// Reads from files, for a transport that sends them.
pub trait Reader {
    /// An open file.
    type File: Copy;

    /// Reads from `offset` on; fewer bytes than there is room for only at the file's end.
    ///
    /// # Errors
    /// [`Error::System`].
    fn read_at(file: Self::File, buffer: &mut [u8], offset: u64) -> Result<usize, Error>;
}

/// There are no files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFile {}

impl Reader for NoFile {
    type File = Self;

    fn read_at(file: Self, _: &mut [u8], _: u64) -> Result<usize, Error> {
        match file {}
    }
}

/// Receives and sends through a [`Net`]; what it takes leaves when the worker waits next. `R` reads the files
/// that it sends.
pub struct StackTransport<'n, D, R = NoFile> {
    net: &'n RefCell<Net<D>>,
    reader: PhantomData<R>,
}

impl<D, R> fmt::Debug for StackTransport<'_, D, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackTransport").finish_non_exhaustive()
    }
}

impl<'n, D> StackTransport<'n, D> {
    /// The transport of the worker that has `net`.
    #[must_use]
    pub fn new(net: &'n RefCell<Net<D>>) -> Self {
        Self::with_files(net)
    }
}

impl<'n, D, R: Reader> StackTransport<'n, D, R> {
    /// As [`StackTransport::new`]; it sends files.
    #[must_use]
    pub fn with_files(net: &'n RefCell<Net<D>>) -> Self {
        Self {
            net,
            reader: PhantomData,
        }
    }
}

impl<D: Device, R: Reader> Transport for StackTransport<'_, D, R> {
    type File = R::File;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        self.net.borrow_mut().accept(listener)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut net = self.net.borrow_mut();
        match net.connection(socket)?.recv_slice(buffer) {
            Ok(0) => Err(Error::WouldBlock),
            Ok(count) => Ok(count),
            Err(RecvError::Finished) => Ok(0),
            Err(RecvError::InvalidState) => Err(Error::Disconnected),
        }
    }

    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut net = self.net.borrow_mut();
        match net.connection(socket)?.peek_slice(buffer) {
            Ok(0) => Err(Error::WouldBlock),
            Ok(count) => Ok(count),
            Err(RecvError::Finished) => Ok(0),
            Err(RecvError::InvalidState) => Err(Error::Disconnected),
        }
    }

    fn send(&mut self, socket: Socket, parts: &[&[u8]], _then: Then) -> Result<usize, Error> {
        let mut net = self.net.borrow_mut();
        let socket = net.connection(socket)?;
        let mut sent = 0;
        for part in parts {
            let taken = socket.send_slice(part).map_err(|_| Error::Disconnected)?;
            sent += taken;
            if taken < part.len() {
                break;
            }
        }
        if sent == 0 && parts.iter().any(|part| !part.is_empty()) {
            return Err(Error::WouldBlock);
        }
        Ok(sent)
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: R::File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        let mut net = self.net.borrow_mut();
        let socket = net.connection(socket)?;
        // Straight to where it is sent from: what is in a piece there is read in a piece.
        let read = |room: &mut [u8]| {
            let length =
                usize::try_from(length).map_or(room.len(), |length| length.min(room.len()));
            let read = R::read_at(file, &mut room[..length], offset);
            (*read.as_ref().unwrap_or(&0), (length, read))
        };
        match socket.send(read).map_err(|_| Error::Disconnected)? {
            (0, _) if length > 0 => Err(Error::WouldBlock),
            (1.., Ok(0)) => Err(Error::Truncated),
            (_, read) => read,
        }
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        let mut net = self.net.borrow_mut();
        let socket = net.connection(socket)?;
        if !socket.may_send() {
            return Err(Error::Disconnected);
        }
        socket.close();
        Ok(())
    }

    fn abort(&mut self, socket: Socket) {
        if let Ok(socket) = self.net.borrow_mut().connection(socket) {
            socket.abort();
        }
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        self.net.borrow_mut().close(socket)
    }
}
