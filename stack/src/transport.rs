//! Sockets of the stack, as the engine uses them.

use crate::net::Net;
use capuchin_core::transport::{Error, Socket, Then, Transport};
use core::cell::RefCell;
use smoltcp::phy::Device;
use smoltcp::socket::tcp::RecvError;

/// Receives and sends through a [`Net`]; what it takes leaves when the worker waits next.
#[derive(Debug)]
pub struct StackTransport<'n, D> {
    net: &'n RefCell<Net<D>>,
}

impl<'n, D> StackTransport<'n, D> {
    /// The transport of the worker that has `net`.
    #[must_use]
    pub fn new(net: &'n RefCell<Net<D>>) -> Self {
        Self { net }
    }
}

/// An image without a network stack of its own sends no files: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFile {}

impl<D: Device> Transport for StackTransport<'_, D> {
    type File = NoFile;

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
        _socket: Socket,
        file: NoFile,
        _offset: u64,
        _length: u64,
    ) -> Result<usize, Error> {
        match file {}
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
