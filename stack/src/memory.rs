//! A stack's fixed memory: sockets and their buffers.

use crate::net::Place;
use heapless::Vec;
use smoltcp::iface::SocketStorage;

/// Memory for so many sockets, each with buffers for `RECEIVE` bytes to be read and `SEND` bytes on
/// their way.
///
/// A connection takes a socket, and so does each that a listener keeps waiting for one: there are as many
/// as connections, backlog, and some for connections that are closed but not gone.
pub struct Memory<const SOCKETS: usize, const RECEIVE: usize, const SEND: usize> {
    /// Both are filled when a stack is made: nothing of this has to lie in an image's file.
    storage: Vec<SocketStorage<'static>, SOCKETS>,
    places: Vec<Place, SOCKETS>,
    receive: [[u8; RECEIVE]; SOCKETS],
    send: [[u8; SEND]; SOCKETS],
}

impl<const SOCKETS: usize, const RECEIVE: usize, const SEND: usize> Default
    for Memory<SOCKETS, RECEIVE, SEND>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const SOCKETS: usize, const RECEIVE: usize, const SEND: usize> Memory<SOCKETS, RECEIVE, SEND> {
    /// Memory for a static.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            storage: Vec::new(),
            places: Vec::new(),
            receive: [[0; RECEIVE]; SOCKETS],
            send: [[0; SEND]; SOCKETS],
        }
    }

    /// The parts of it.
    pub(crate) fn parts(&'static mut self) -> Parts<impl Iterator<Item = Buffers>> {
        for _ in 0..SOCKETS {
            // There is room for so many.
            let _ = self.storage.push(SocketStorage::EMPTY);
            let _ = self.places.push(Place::FREE);
        }
        let receive = self.receive.iter_mut().map(|buffer| &mut buffer[..]);
        let send = self.send.iter_mut().map(|buffer| &mut buffer[..]);
        Parts {
            storage: &mut self.storage,
            places: &mut self.places,
            buffers: receive.zip(send),
        }
    }
}

/// A memory's parts, without its size in the type.
pub(crate) struct Parts<I> {
    pub storage: &'static mut [SocketStorage<'static>],
    pub places: &'static mut [Place],
    pub buffers: I,
}

/// A socket's buffers: what was received, and what is to be sent.
pub(crate) type Buffers = (&'static mut [u8], &'static mut [u8]);
