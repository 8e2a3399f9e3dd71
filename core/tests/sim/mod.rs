//! A network in memory with a clock of its own: servers under test see no other.
#![allow(dead_code)] // each test file uses its part

use capuchin_core::event::{
    Deadline, Error as ChannelError, Event, EventChannel, EventList, Full, Interest, Message,
    Notifier, Readiness, Token,
};
use capuchin_core::transport::{Clock, Error, Socket, Then, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

pub mod rig;

pub const LISTENER: Socket = Socket(3);

/// One connection, seen from the middle.
#[derive(Default)]
pub struct Pipe {
    /// Sent by the client, not yet received by the server.
    pub to_server: VecDeque<u8>,
    pub client_done: bool,
    /// Sent by the server; the client reads it when it likes.
    pub to_client: Vec<u8>,
    /// What the client has taken off `to_client`.
    pub read: usize,
    /// The server ended its sending side.
    pub server_done: bool,
    /// The server has sent its last byte and said so.
    pub announced: bool,
    /// The server closed the socket.
    pub closed: bool,
    /// ... while bytes of the client's were unread: the client sees a reset.
    pub reset: bool,
    /// The client has reset the connection.
    pub lost: bool,
    /// Bytes that fit between the server and the client.
    pub window: usize,
    watch: Option<(Token, Interest)>,
}

#[derive(Default)]
pub struct World {
    pub now: u64,
    pub backlog: VecDeque<Socket>,
    pub pipes: BTreeMap<i32, Pipe>,
    pub messages: VecDeque<Message>,
    listener: Option<(Token, Interest)>,
    next: i32,
    /// Calls of receive and send.
    pub receives: usize,
    pub sends: usize,
    pub largest_read: usize,
}

#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<World>>);

impl Net {
    pub fn new() -> Self {
        let net = Self::default();
        net.world().now = 1_000;
        net.world().next = 10;
        net
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0
            .lock()
            .expect("no test panics while it holds the world")
    }

    pub fn connect(&self, window: usize) -> Socket {
        let mut world = self.world();
        let socket = Socket(world.next);
        world.next += 1;
        world.pipes.insert(
            socket.0,
            Pipe {
                window,
                ..Pipe::default()
            },
        );
        world.backlog.push_back(socket);
        socket
    }

    pub fn send(&self, socket: Socket, bytes: &[u8]) {
        self.world()
            .pipes
            .get_mut(&socket.0)
            .expect("connected")
            .to_server
            .extend(bytes);
    }

    pub fn finish(&self, socket: Socket) {
        self.world()
            .pipes
            .get_mut(&socket.0)
            .expect("connected")
            .client_done = true;
    }

    /// Takes all that has arrived.
    pub fn read(&self, socket: Socket) -> Vec<u8> {
        let mut world = self.world();
        let pipe = world.pipes.get_mut(&socket.0).expect("connected");
        let bytes = pipe.to_client[pipe.read..].to_vec();
        pipe.read = pipe.to_client.len();
        bytes
    }

    /// All that ever arrived.
    pub fn received(&self, socket: Socket) -> Vec<u8> {
        self.world().pipes[&socket.0].to_client.clone()
    }

    pub fn ended(&self, socket: Socket) -> bool {
        let world = self.world();
        world.pipes[&socket.0].server_done || world.pipes[&socket.0].closed
    }

    pub fn was_reset(&self, socket: Socket) -> bool {
        self.world().pipes[&socket.0].reset
    }
}

/// Files are names of patterns: file `n` has at offset `o` the byte `(o + n) % 251`.
#[derive(Clone, Copy, Debug)]
pub struct SimFile(pub u8, pub u64);

impl Transport for Net {
    type File = SimFile;

    fn accept(&mut self, _: Socket) -> Result<Socket, Error> {
        self.world().backlog.pop_front().ok_or(Error::WouldBlock)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        assert!(!buffer.is_empty());
        let mut world = self.world();
        world.receives += 1;
        let pipe = world.pipes.get_mut(&socket.0).expect("open");
        assert!(!pipe.closed, "receive on a closed socket");
        assert!(!pipe.announced, "this was to be the end");
        if pipe.to_server.is_empty() {
            return if pipe.client_done {
                Ok(0)
            } else {
                Err(Error::WouldBlock)
            };
        }
        let count = pipe.to_server.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.to_server.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        let world = self.world();
        let pipe = &world.pipes[&socket.0];
        assert!(!pipe.closed && !pipe.announced, "peek on a closed socket");
        if pipe.to_server.is_empty() {
            return if pipe.client_done {
                Ok(0)
            } else {
                Err(Error::WouldBlock)
            };
        }
        for (place, &byte) in buffer.iter_mut().zip(&pipe.to_server) {
            *place = byte;
        }
        Ok(pipe.to_server.len().min(buffer.len()))
    }

    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        let mut world = self.world();
        world.sends += 1;
        let pipe = world.pipes.get_mut(&socket.0).expect("open");
        assert!(!pipe.closed && !pipe.server_done, "send on a closed socket");
        assert!(!pipe.announced, "this was to be the end");
        let whole: Vec<u8> = parts.concat();
        let room = pipe.window - (pipe.to_client.len() - pipe.read);
        if room == 0 {
            return Err(Error::WouldBlock);
        }
        let count = whole.len().min(room);
        pipe.to_client.extend_from_slice(&whole[..count]);
        pipe.announced = then == Then::End && count == whole.len();
        Ok(count)
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: SimFile,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        if offset >= file.1 {
            return Err(Error::Truncated);
        }
        let bytes: Vec<u8> = (offset..(offset + length).min(file.1))
            .take(100_000)
            .map(|at| ((at + u64::from(file.0)) % 251) as u8)
            .collect();
        self.send(socket, &[&bytes], Then::Nothing)
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        let mut world = self.world();
        let pipe = world.pipes.get_mut(&socket.0).expect("open");
        assert!(!pipe.announced, "this was to be the end");
        pipe.server_done = true;
        Ok(())
    }

    fn abort(&mut self, socket: Socket) {
        let mut world = self.world();
        world.pipes.get_mut(&socket.0).expect("open").reset = true;
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        let mut world = self.world();
        if socket == LISTENER {
            return Ok(());
        }
        let pipe = world.pipes.get_mut(&socket.0).expect("open");
        assert!(pipe.watch.is_none(), "remove comes before close");
        assert!(!std::mem::replace(&mut pipe.closed, true), "closed twice");
        pipe.reset |= !pipe.to_server.is_empty();
        Ok(())
    }
}

/// The day's time at a moment of the monotonic clock.
pub fn unix_time(now: u64) -> u64 {
    784_111_777 + now / 1_000
}

impl Clock for Net {
    fn monotonic(&mut self) -> u64 {
        self.world().now
    }
    fn unix_time(&mut self) -> u64 {
        unix_time(self.world().now)
    }
}

impl Notifier for Net {
    fn send(&self, message: Message) -> Result<(), Full> {
        self.world().messages.push_back(message);
        Ok(())
    }
}

impl EventChannel for Net {
    type Notifier = Self;

    fn add(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), ChannelError> {
        let mut world = self.world();
        let place = match socket {
            LISTENER => &mut world.listener,
            socket => &mut world.pipes.get_mut(&socket.0).expect("open").watch,
        };
        if place.replace((token, interest)).is_some() {
            Err(ChannelError::Registration)
        } else {
            Ok(())
        }
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), ChannelError> {
        let mut world = self.world();
        let place = match socket {
            LISTENER => &mut world.listener,
            socket => &mut world.pipes.get_mut(&socket.0).expect("open").watch,
        };
        if place.replace((token, interest)).is_none() {
            Err(ChannelError::Registration)
        } else {
            Ok(())
        }
    }

    fn remove(&mut self, socket: Socket) -> Result<(), ChannelError> {
        let mut world = self.world();
        let place = match socket {
            LISTENER => &mut world.listener,
            socket => &mut world.pipes.get_mut(&socket.0).expect("open").watch,
        };
        if place.take().is_none() {
            Err(ChannelError::Registration)
        } else {
            Ok(())
        }
    }

    /// Never sleeps: time passes only where a test lets it.
    fn wait(&mut self, events: &mut EventList, _: Deadline) -> Result<(), ChannelError> {
        events.clear();
        let mut world = self.world();
        while events.room() > 0 {
            let Some(message) = world.messages.pop_front() else {
                break;
            };
            let _ = events.push(Event::Message(message));
        }
        if let Some((token, interest)) = world.listener
            && interest.wants_read()
            && !world.backlog.is_empty()
        {
            let _ = events.push(Event::Ready {
                token,
                readiness: Readiness::READABLE,
            });
        }
        for pipe in world.pipes.values() {
            let Some((token, interest)) = pipe.watch else {
                continue;
            };
            let mut readiness = if pipe.lost {
                Readiness::FAILED
            } else {
                Readiness::NONE
            };
            if interest.wants_read() && (!pipe.to_server.is_empty() || pipe.client_done) {
                readiness = readiness.and(Readiness::READABLE);
            }
            if interest.wants_write() && pipe.to_client.len() - pipe.read < pipe.window {
                readiness = readiness.and(Readiness::WRITABLE);
            }
            if readiness != Readiness::NONE {
                let _ = events.push(Event::Ready { token, readiness });
            }
        }
        Ok(())
    }

    fn notifier(&self) -> Self {
        self.clone()
    }
}

/// Reports every connection that waits for room as ready for it, whether it is or not.
pub struct AlwaysReady(pub Net, pub Readiness);

impl EventChannel for AlwaysReady {
    type Notifier = Net;

    fn add(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), ChannelError> {
        self.0.add(socket, token, interest)
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), ChannelError> {
        self.0.set_interest(socket, token, interest)
    }

    fn remove(&mut self, socket: Socket) -> Result<(), ChannelError> {
        self.0.remove(socket)
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), ChannelError> {
        self.0.wait(events, until)?;
        for pipe in self.0.world().pipes.values() {
            if let Some((token, interest)) = pipe.watch
                && interest.wants_write()
            {
                let _ = events.push(Event::Ready {
                    token,
                    readiness: self.1,
                });
            }
        }
        Ok(())
    }

    fn notifier(&self) -> Net {
        self.0.clone()
    }
}
