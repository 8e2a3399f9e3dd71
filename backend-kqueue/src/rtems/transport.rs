//! The transport that goes with the channel: sockets as everywhere, and closing one is told to whoever
//! may be hit by it.

use capuchin_core::transport::{Error, Socket, Then, Transport};
use capuchin_rtems::Closing;

/// Wraps the transport of the system, `T`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KqueueTransport<T>(T);

impl<T: Transport> KqueueTransport<T> {
    /// A transport for any channel.
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self(inner)
    }
}

impl<T: Transport> Transport for KqueueTransport<T> {
    type File = T::File;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        self.0.accept(listener)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.receive(socket, buffer)
    }

    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.peek(socket, buffer)
    }

    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        self.0.send(socket, parts, then)
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: Self::File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        self.0.send_file(socket, file, offset, length)
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        self.0.shutdown(socket)
    }

    fn abort(&mut self, socket: Socket) {
        self.0.abort(socket);
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        let closing = Closing::begin(socket);
        let result = self.0.close(socket);
        closing.end();
        result
    }
}
