//! A stack's fixed memory: sockets and their buffers.

use heapless::Vec;

pub use crate::places::Place;
/// Where a socket lies.
pub type Storage = smoltcp::iface::SocketStorage<'static>;

/// Memory for so many sockets, each with buffers for `RECEIVE` bytes to be read and `SEND` bytes on
/// their way.
///
/// A connection takes a socket, and so does each that a listener keeps waiting for one: there are as many
/// as connections, backlog, and some for connections that are closed but not gone.
pub struct Memory<const SOCKETS: usize, const RECEIVE: usize, const SEND: usize> {
    /// Both are filled when a stack is made: nothing of this has to lie in an image's file.
    storage: Vec<Storage, SOCKETS>,
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

    /// All of it.
    pub fn room(&'static mut self) -> Room {
        for _ in 0..SOCKETS {
            // There is room for so many.
            let _ = self.storage.push(Storage::EMPTY);
            let _ = self.places.push(Place::FREE);
        }
        Room {
            storage: &mut self.storage,
            places: &mut self.places,
            receive: self.receive.as_flattened_mut(),
            send: self.send.as_flattened_mut(),
        }
    }
}

/// A memory without its size in the type: for each socket where it lies, its place ([`Place::FREE`]), and an
/// equal share of the bytes that are received and sent.
#[expect(missing_debug_implementations, reason = "it is bytes")]
pub struct Room {
    /// As many as there are sockets.
    pub storage: &'static mut [Storage],
    /// As many.
    pub places: &'static mut [Place],
    /// What is received and not read yet.
    pub receive: &'static mut [u8],
    /// What is to be sent, and what its client has not told to have.
    pub send: &'static mut [u8],
}
