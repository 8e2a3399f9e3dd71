//! One acceptor for several workers: it accepts, and hands each socket to the worker with the
//! fewest connections, by message.
//!
//! For systems where listeners cannot share an address, and for loads of few, long connections,
//! which the system's spreading over listeners may put all on one worker. It keeps no connection:
//! a socket that no worker has room to be told of waits here, and the others in the backlog.
//!
//! It owns its listeners and closes them: at the end of its run, when it is dropped, and when one of
//! them fails for good; then it goes on with the others.

use crate::event::{
    self, Deadline, Event, EventChannel, EventList, Interest, Message, Notifier, Readiness, Token,
};
use crate::server::LISTENERS;
use crate::stats::{Counter, Stats};
use crate::transport::{Clock, Error, Socket, Transport};
use core::fmt;

/// Connections accepted from one listener before the next is looked at.
const ACCEPTS_PER_TURN: u32 = 64;

/// How long to rest when no worker's queue has room, or the system no descriptor, in milliseconds.
const PAUSE_MS: u64 = 10;

/// Accepts for workers. `N` is their notifiers' kind.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use capuchin_core::acceptor::Acceptor;
/// use capuchin_core::event::{Deadline, Event, EventChannel, EventList, Message, Notifier};
/// use capuchin_core::stats::Stats;
/// use capuchin_epoll::EpollChannel;
/// use capuchin_posix::{ListenOptions, PosixClock, PosixTransport, listen, local_address};
///
/// // Two workers; here only their channels and counters.
/// let mut channels = [EpollChannel::new(16).unwrap(), EpollChannel::new(16).unwrap()];
/// let notifiers = [channels[0].notifier(), channels[1].notifier()];
/// let (first, second) = (Stats::new(), Stats::new());
/// let stats = [&first, &second];
/// let mut handed = [0; 2];
///
/// let own = EpollChannel::new(4).unwrap();
/// let stop = own.notifier();
/// let mut acceptor =
///     Acceptor::new(own, PosixTransport, PosixClock, &notifiers, &stats, &mut handed);
/// let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
/// let address = local_address(listener).unwrap();
/// acceptor.listen(listener).unwrap();
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| acceptor.run());
///     // Each connection goes to the worker with fewer of them: one to each.
///     let _clients = [address; 2].map(|address| std::net::TcpStream::connect(address).unwrap());
///     for channel in &mut channels {
///         let mut events = EventList::new();
///         channel.wait(&mut events, Deadline::Never).unwrap();
///         assert!(matches!(events.as_slice(), [Event::Message(Message::Adopt(_socket))]));
///     }
///     stop.send(Message::Stop).unwrap();
/// });
/// # }
/// ```
pub struct Acceptor<'m, C: EventChannel, T: Transport, K, N> {
    channel: C,
    transport: T,
    clock: K,
    workers: &'m [N],
    /// The workers' counters, in the same order.
    stats: &'m [&'m Stats],
    /// Sockets handed to each worker so far.
    handed: &'m mut [usize],
    /// Each keeps its place, which its token names, until it is closed.
    listeners: [Option<Socket>; LISTENERS],
    /// Accepted, but every worker's queue was full.
    pending: Option<Socket>,
    /// Rests until then.
    paused_until: Option<u64>,
    /// That no more can be accepted was said once.
    exhausted: bool,
    events: EventList,
}

impl<'m, C, T, K, N> Acceptor<'m, C, T, K, N>
where
    C: EventChannel,
    T: Transport,
    K: Clock,
    N: Notifier,
{
    /// An acceptor for these workers; `handed` is memory for one number each, all zero.
    ///
    /// # Panics
    /// When the three do not have the same length, or there is no worker.
    #[must_use]
    pub fn new(
        channel: C,
        transport: T,
        clock: K,
        workers: &'m [N],
        stats: &'m [&'m Stats],
        handed: &'m mut [usize],
    ) -> Self {
        assert!(!workers.is_empty(), "an acceptor needs a worker");
        assert!(
            workers.len() == stats.len() && workers.len() == handed.len(),
            "one of each for every worker"
        );
        Self {
            channel,
            transport,
            clock,
            workers,
            stats,
            handed,
            listeners: [None; LISTENERS],
            pending: None,
            paused_until: None,
            exhausted: false,
            events: EventList::new(),
        }
    }

    /// Accepts from `socket`, a non-blocking listening socket that the acceptor owns from now on.
    ///
    /// # Errors
    /// What the channel answers; [`event::Error::NoRoom`] beyond [`LISTENERS`]. The socket is closed
    /// then.
    pub fn listen(&mut self, socket: Socket) -> Result<(), event::Error> {
        let place = self.listeners.iter().position(Option::is_none);
        let added = place.ok_or(event::Error::NoRoom).and_then(|index| {
            self.channel.add(socket, token_of(index), Interest::READ)?;
            Ok(index)
        });
        match added {
            Ok(index) => self.listeners[index] = Some(socket),
            Err(_) => self.close(socket),
        }
        added.map(drop)
    }

    /// The sending end of the acceptor's messages: it understands [`Message::Drain`] and
    /// [`Message::Stop`].
    pub fn notifier(&self) -> C::Notifier {
        self.channel.notifier()
    }

    /// Accepts until told to stop; then the listeners are closed.
    ///
    /// # Errors
    /// When the channel is broken.
    pub fn run(&mut self) -> Result<(), event::Error> {
        let result = loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.close_all();
        result
    }

    /// One turn; `false` when it was told to stop.
    fn turn(&mut self) -> Result<bool, event::Error> {
        let until = match self.paused_until {
            Some(moment) => {
                let left = moment.saturating_sub(self.clock.monotonic());
                Deadline::After(left.min(u64::from(u32::MAX)) as u32)
            }
            None => Deadline::Never,
        };
        self.channel.wait(&mut self.events, until)?;
        // By the clock: any event ends a wait, and one that comes again and again must not turn the
        // rest into a spin.
        if let Some(moment) = self.paused_until
            && self.clock.monotonic() >= moment
        {
            self.resume()?;
        }
        for at in 0..self.events.as_slice().len() {
            match self.events.as_slice()[at] {
                Event::Message(Message::Drain | Message::Stop) => return Ok(false),
                Event::Message(_) => {}
                Event::Ready { token, readiness } => {
                    let index = token.index as usize;
                    self.accept(index)?;
                    if readiness.contains(Readiness::FAILED) {
                        self.give_up(index, &"the system reports that it failed");
                    }
                }
            }
        }
        Ok(true)
    }

    fn accept(&mut self, index: usize) -> Result<(), event::Error> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(&Some(listener)) = self.listeners.get(index) else {
                return Ok(());
            };
            if self.paused_until.is_some() {
                return Ok(());
            }
            match self.transport.accept(listener) {
                Ok(socket) => self.hand_over(socket)?,
                Err(Error::WouldBlock) => return Ok(()),
                Err(Error::Disconnected) => {}
                Err(error @ Error::Unusable(_)) => self.give_up(index, &error),
                Err(error) => {
                    if !core::mem::replace(&mut self.exhausted, true) {
                        report!(Error, "cannot accept a connection, new ones wait: {error}");
                    }
                    return self.pause();
                }
            }
        }
        Ok(())
    }

    /// Closes a listener that would be reported for ever and never give a connection again.
    fn give_up(&mut self, index: usize, why: &dyn fmt::Display) {
        if let Some(socket) = self.listeners.get_mut(index).and_then(Option::take) {
            report!(
                Error,
                "a listener was closed, the others go on; restart to have it back: {why}"
            );
            if let Err(error) = self.channel.remove(socket) {
                report!(Warn, "a listener cannot be unwatched: {error}");
            }
            self.close(socket);
        }
    }

    /// To the least loaded worker; if its queue is full, to the next by number that has room.
    fn hand_over(&mut self, socket: Socket) -> Result<(), event::Error> {
        // What was handed over and has not ended is the worker's load, messages under way included.
        let load = |worker: usize| {
            // Signed: a worker that listens as well closes more than it was handed.
            self.handed[worker].wrapping_sub(self.stats[worker].value(Counter::Closed)) as isize
        };
        let least = (0..self.workers.len())
            .min_by_key(|&worker| load(worker))
            .unwrap_or(0);
        for step in 0..self.workers.len() {
            let worker = (least + step) % self.workers.len();
            if self.workers[worker].send(Message::Adopt(socket)).is_ok() {
                self.handed[worker] = self.handed[worker].wrapping_add(1);
                return Ok(());
            }
        }
        self.pending = Some(socket);
        self.pause()
    }

    fn pause(&mut self) -> Result<(), event::Error> {
        self.paused_until = Some(self.clock.monotonic() + PAUSE_MS);
        self.watch(Interest::NONE)
    }

    fn resume(&mut self) -> Result<(), event::Error> {
        self.paused_until = None;
        if let Some(socket) = self.pending.take() {
            self.hand_over(socket)?;
        }
        if self.paused_until.is_some() {
            Ok(())
        } else {
            self.watch(Interest::READ)
        }
    }

    fn watch(&mut self, interest: Interest) -> Result<(), event::Error> {
        for (index, listener) in self.listeners.iter().enumerate() {
            if let &Some(socket) = listener {
                self.channel
                    .set_interest(socket, token_of(index), interest)?;
            }
        }
        Ok(())
    }
}

impl<C: EventChannel, T: Transport, K, N> Acceptor<'_, C, T, K, N> {
    fn close_all(&mut self) {
        if let Some(socket) = self.pending.take() {
            self.close(socket);
        }
        for socket in core::mem::take(&mut self.listeners).into_iter().flatten() {
            // The channel ends with the acceptor, or is broken: nothing to tell.
            let _ = self.channel.remove(socket);
            self.close(socket);
        }
    }

    fn close(&mut self, socket: Socket) {
        if let Err(error) = self.transport.close(socket) {
            report!(Warn, "a socket did not close: {error}");
        }
    }
}

impl<C: EventChannel, T: Transport, K, N> Drop for Acceptor<'_, C, T, K, N> {
    fn drop(&mut self) {
        self.close_all();
    }
}

fn token_of(index: usize) -> Token {
    Token {
        index: index as u32,
        generation: 0,
    }
}
