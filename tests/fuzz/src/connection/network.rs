//! The network in memory of the engine's tests, with faults that the input chooses.

use super::input::Input;
use super::sim::{LISTENER, Net, SimFile};
use capuchin_core::event::{
    self, Deadline, Event, EventChannel, EventList, Interest, Readiness, Token,
};
use capuchin_core::transport::{Error, Socket, Then, Transport};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Channel and transport of a server under test. Faults stay within the contracts of both: only connections that the
/// client resets break.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) net: Net,
    state: Rc<RefCell<State>>,
}

struct State {
    /// Where faults come from; `None` for no faults.
    input: Option<Rc<Input>>,
    /// Calls until the next fault.
    gap: u8,
    /// Connections that the client has reset.
    reset: BTreeSet<i32>,
    watched: BTreeMap<i32, Token>,
    /// Tokens that were ever watched.
    tokens: Vec<Token>,
    /// Bytes that the server has received.
    received: usize,
}

impl State {
    /// The fault of this call, if it has one: a number below 16.
    fn fault(&mut self) -> Option<usize> {
        let input = self.input.as_ref()?;
        if self.gap > 0 {
            self.gap -= 1;
            return None;
        }
        let byte = input.next_back()?;
        self.gap = byte & 15;
        Some(usize::from(byte >> 4))
    }
}

impl Network {
    pub(super) fn new(input: Option<Rc<Input>>) -> Self {
        Self {
            net: Net::new(),
            state: Rc::new(RefCell::new(State {
                input,
                gap: 0,
                reset: BTreeSet::new(),
                watched: BTreeMap::new(),
                tokens: Vec::new(),
                received: 0,
            })),
        }
    }

    /// From now on every call does what it can.
    pub(super) fn end_faults(&self) {
        self.state.borrow_mut().input = None;
    }

    /// The client resets the connection: what it sent and the server has not received is lost.
    pub(super) fn reset(&self, socket: Socket) {
        self.state.borrow_mut().reset.insert(socket.0);
        let mut world = self.net.world();
        let pipe = world.pipes.get_mut(&socket.0).expect("connected");
        pipe.to_server.clear();
    }

    pub(super) fn received(&self) -> usize {
        self.state.borrow().received
    }

    fn check(&self, socket: Socket) -> Result<(), Error> {
        match self.state.borrow().reset.contains(&socket.0) {
            true => Err(Error::Disconnected),
            false => Ok(()),
        }
    }

    fn fault(&self) -> Option<usize> {
        self.state.borrow_mut().fault()
    }
}

/// How many of `length` bytes a call with this fault moves: at least one.
fn short(fault: usize, length: usize) -> usize {
    [1, 2, 3, 10, 60, 300, length / 2][fault % 7].clamp(1, length.max(1))
}

impl Transport for Network {
    type File = SimFile;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        match self.fault() {
            Some(0..=3) => Err(Error::Exhausted),
            Some(4..=9) => Err(Error::WouldBlock),
            _ => self.net.accept(listener),
        }
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.check(socket)?;
        let length = match self.fault() {
            Some(0..=3) => return Err(Error::WouldBlock),
            Some(fault) => short(fault, buffer.len()),
            None => buffer.len(),
        };
        let count = self.net.receive(socket, &mut buffer[..length])?;
        self.state.borrow_mut().received += count;
        Ok(count)
    }

    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        self.check(socket)?;
        let whole = parts.concat();
        let length = match self.fault() {
            Some(0..=3) => return Err(Error::WouldBlock),
            Some(fault) => short(fault, whole.len()),
            None => whole.len(),
        };
        let then = match length == whole.len() {
            true => then,
            false => Then::Nothing,
        };
        Transport::send(&mut self.net, socket, &[&whole[..length]], then)
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: SimFile,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        self.check(socket)?;
        let length = match self.fault() {
            Some(0..=3) => return Err(Error::WouldBlock),
            Some(fault) => short(fault, length as usize) as u64,
            None => length,
        };
        self.net.send_file(socket, file, offset, length)
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        self.check(socket)?;
        self.net.shutdown(socket)
    }

    fn abort(&mut self, socket: Socket) {
        Transport::abort(&mut self.net, socket);
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        self.net.close(socket)?;
        match self.fault() {
            Some(0) => Err(Error::System(5)),
            _ => Ok(()),
        }
    }
}

impl EventChannel for Network {
    type Notifier = Net;

    fn add(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), event::Error> {
        if socket != LISTENER {
            let mut state = self.state.borrow_mut();
            state.watched.insert(socket.0, token);
            state.tokens.push(token);
        }
        self.net.add(socket, token, interest)
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), event::Error> {
        self.net.set_interest(socket, token, interest)
    }

    fn remove(&mut self, socket: Socket) -> Result<(), event::Error> {
        self.state.borrow_mut().watched.remove(&socket.0);
        self.net.remove(socket)
    }

    /// Events may come late, twice, in another order, or for nothing, also for connections that are gone.
    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), event::Error> {
        let mut all = EventList::new();
        self.net.wait(&mut all, until)?;
        let state = &mut *self.state.borrow_mut();
        let mut list = Vec::new();
        for &event in all.as_slice() {
            match (event, state.fault()) {
                // A message is never lost, doubled or overtaken by another.
                (Event::Message(_), _) => list.push(event),
                (_, Some(0..=5)) => {}
                (_, Some(6..=8)) => list.extend([event, event]),
                (_, Some(9..=11)) => list.insert(0, event),
                _ => list.push(event),
            }
        }
        if let Some(fault) = state.fault()
            && let Some(&token) = state.tokens.get(fault)
        {
            let readiness = [Readiness::READABLE, Readiness::WRITABLE][fault % 2];
            list.push(Event::Ready { token, readiness });
        }
        for (socket, &token) in &state.watched {
            if state.reset.contains(socket) {
                let readiness = Readiness::FAILED.and(Readiness::READABLE);
                list.push(Event::Ready { token, readiness });
            }
        }
        events.clear();
        for event in list {
            let fits = events.push(event);
            assert!(
                fits || matches!(event, Event::Ready { .. }),
                "a lost message"
            );
        }
        Ok(())
    }

    fn notifier(&self) -> Net {
        self.net.notifier()
    }
}
