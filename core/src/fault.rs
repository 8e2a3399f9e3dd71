//! Faults on purpose: wrappers that make a transport and a channel as awkward as their contracts
//! allow, for tests of everything above them. Seeded, so that a failure can be run again.
//!
//! [`FaultyTransport`] cuts receives and sends short, answers `WouldBlock` where the call would
//! have gone well, and breaks connections. [`FaultyChannel`] reports events in another order, late,
//! twice, or for nothing. What these do to a server must not be seen by a client, but for the
//! connections that are broken.

use crate::event::{self, Deadline, Event, EventChannel, EventList, Interest, Readiness, Token};
use crate::transport::{Error, Socket, Then, Transport};

/// A small generator of numbers for choosing faults (xorshift64*, Vigna 2016): the same seed gives
/// the same faults.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed; 0 is taken as 1.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        mixed as usize % limit.max(1)
    }

    /// True in so many of a thousand throws.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille as usize
    }
}

/// How often each fault happens, in calls of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A receive or send moves fewer bytes than it could.
    pub short: u32,
    /// A call answers `WouldBlock` although it could have done something.
    pub would_block: u32,
    /// A receive or send finds the connection broken.
    pub reset: u32,
    /// An accept finds no descriptor.
    pub exhausted: u32,
    /// An event is reported for a socket that is not ready.
    pub spurious: u32,
    /// An event is kept back; as channels are level-triggered, the next wait reports it.
    pub late: u32,
}

/// A transport with faults.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use capuchin_core::fault::{Faults, FaultyTransport};
/// use capuchin_core::transport::{Error, Socket, Transport};
/// use capuchin_posix::PosixTransport;
/// use std::os::fd::AsRawFd;
///
/// let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
/// std::io::Write::write_all(&mut here, &[b'x'; 100]).unwrap();
/// // Half of the calls would block though they need not, the others move less than they could.
/// let faults = Faults { would_block: 500, short: 1_000, ..Faults::default() };
/// let mut transport = FaultyTransport::new(PosixTransport, faults, 7);
/// let (mut received, mut blocked, mut calls) = (0, 0, 0);
/// while received < 100 {
///     calls += 1;
///     match transport.receive(Socket(there.as_raw_fd()), &mut [0; 100]) {
///         Ok(count) => received += count,
///         Err(Error::WouldBlock) => blocked += 1,
///         Err(error) => panic!("{error:?}"),
///     }
/// }
/// assert!(blocked > 0 && calls - blocked > 1);
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyTransport<T> {
    inner: T,
    faults: Faults,
    dice: Dice,
}

impl<T> FaultyTransport<T> {
    /// Puts faults before `inner`.
    #[must_use]
    pub fn new(inner: T, faults: Faults, seed: u64) -> Self {
        Self {
            inner,
            faults,
            dice: Dice::new(seed),
        }
    }

    /// The transport without its faults.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    fn fault(&mut self) -> Result<(), Error> {
        if self.dice.chance(self.faults.would_block) {
            return Err(Error::WouldBlock);
        }
        if self.dice.chance(self.faults.reset) {
            return Err(Error::Disconnected);
        }
        Ok(())
    }

    /// How many of `length` bytes the next call moves; at least one.
    fn share(&mut self, length: usize) -> usize {
        if self.dice.chance(self.faults.short) {
            1 + self.dice.below(length)
        } else {
            length
        }
    }
}

/// Parts that one short send passes on.
const PARTS: usize = 4;

impl<T: Transport> Transport for FaultyTransport<T> {
    type File = T::File;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        if self.dice.chance(self.faults.exhausted) {
            return Err(Error::Exhausted);
        }
        if self.dice.chance(self.faults.would_block) {
            return Err(Error::WouldBlock);
        }
        self.inner.accept(listener)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.fault()?;
        let share = self.share(buffer.len());
        self.inner.receive(socket, &mut buffer[..share])
    }

    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.fault()?;
        let share = self.share(buffer.len());
        self.inner.peek(socket, &mut buffer[..share])
    }

    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        self.fault()?;
        let whole: usize = parts.iter().map(|part| part.len()).sum();
        if whole == 0 || parts.len() > PARTS {
            return self.inner.send(socket, parts, then);
        }
        let mut left = self.share(whole);
        let mut cut: [&[u8]; PARTS] = [&[]; PARTS];
        for (place, part) in cut.iter_mut().zip(parts) {
            *place = &part[..part.len().min(left)];
            left -= place.len();
        }
        self.inner.send(socket, &cut[..parts.len()], Then::More)
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: Self::File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        self.fault()?;
        let share = self.share(usize::try_from(length).unwrap_or(usize::MAX));
        self.inner.send_file(socket, file, offset, share as u64)
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        self.inner.shutdown(socket)
    }

    fn abort(&mut self, socket: Socket) {
        self.inner.abort(socket);
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        self.inner.close(socket)
    }
}

/// Tokens that a faulty channel remembers, to report one of them for nothing.
const REMEMBERED: usize = 16;

/// A channel with faults. Messages are never touched: they are promised exactly once, in order.
#[derive(Debug)]
pub struct FaultyChannel<C> {
    inner: C,
    faults: Faults,
    dice: Dice,
    seen: [Option<Token>; REMEMBERED],
    arrived: EventList,
}

impl<C> FaultyChannel<C> {
    /// Puts faults before `inner`.
    #[must_use]
    pub fn new(inner: C, faults: Faults, seed: u64) -> Self {
        Self {
            inner,
            faults,
            dice: Dice::new(seed),
            seen: [None; REMEMBERED],
            arrived: EventList::new(),
        }
    }
}

impl<C: EventChannel> EventChannel for FaultyChannel<C> {
    type Notifier = C::Notifier;

    fn add(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), event::Error> {
        self.inner.add(socket, token, interest)
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), event::Error> {
        self.inner.set_interest(socket, token, interest)
    }

    fn remove(&mut self, socket: Socket) -> Result<(), event::Error> {
        self.inner.remove(socket)
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), event::Error> {
        self.inner.wait(&mut self.arrived, until)?;
        events.clear();
        let arrived = self.arrived.as_slice();
        // Sockets from a place chosen at random, messages where they were.
        let begin = self.dice.below(arrived.len());
        for step in 0..arrived.len() {
            let event = arrived[(begin + step) % arrived.len()];
            if let Event::Ready { token, .. } = event {
                self.seen[self.dice.below(REMEMBERED)] = Some(token);
                if !self.dice.chance(self.faults.late) {
                    let _ = events.push(event);
                }
            }
        }
        for event in arrived
            .iter()
            .filter(|event| matches!(event, Event::Message(_)))
        {
            let _ = events.push(*event);
        }
        if self.dice.chance(self.faults.spurious)
            && let Some(token) = self.seen[self.dice.below(REMEMBERED)]
        {
            let _ = events.push(Event::Ready {
                token,
                readiness: Readiness::READABLE.and(Readiness::WRITABLE),
            });
        }
        Ok(())
    }

    fn notifier(&self) -> C::Notifier {
        self.inner.notifier()
    }
}
