//! One acceptor for several workers: it accepts, and hands each socket to the worker with the
//! fewest connections, by message.
//!
//! For systems where listeners cannot share an address, and for loads of few, long connections,
//! which the system's spreading over listeners may put all on one worker. It keeps no connection:
//! a socket that no worker has room to be told of waits here, and the others in the backlog.

use crate::event::{
    self, Deadline, Event, EventChannel, EventList, Interest, Message, Notifier, Token,
};
use crate::server::LISTENERS;
use crate::stats::{Counter, Stats};
use crate::transport::{Error, Socket, Transport};

/// Connections accepted from one listener before the next is looked at.
const ACCEPTS_PER_TURN: u32 = 64;

/// How long to rest when no worker's queue has room, or the system no descriptor, in milliseconds.
const PAUSE_MS: u32 = 10;

/// Accepts for workers. `N` is their notifiers' kind.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use capuchin_core::acceptor::Acceptor;
/// use capuchin_core::event::{Deadline, Event, EventChannel, EventList, Message, Notifier};
/// use capuchin_core::stats::Stats;
/// use capuchin_epoll::EpollChannel;
/// use capuchin_posix::{ListenOptions, PosixTransport, listen, local_address};
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
/// let mut acceptor = Acceptor::new(own, PosixTransport, &notifiers, &stats, &mut handed);
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
pub struct Acceptor<'m, C, T, N> {
    channel: C,
    transport: T,
    workers: &'m [N],
    /// The workers' counters, in the same order.
    stats: &'m [&'m Stats],
    /// Sockets handed to each worker so far.
    handed: &'m mut [usize],
    listeners: heapless::Vec<Socket, LISTENERS>,
    /// Accepted, but every worker's queue was full.
    pending: Option<Socket>,
    paused: bool,
    /// That no more can be accepted was said once.
    exhausted: bool,
    events: EventList,
}

impl<'m, C, T, N> Acceptor<'m, C, T, N>
where
    C: EventChannel,
    T: Transport,
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
            workers,
            stats,
            handed,
            listeners: heapless::Vec::new(),
            pending: None,
            paused: false,
            exhausted: false,
            events: EventList::new(),
        }
    }

    /// Accepts from `socket`, a non-blocking listening socket that the acceptor owns from now on.
    ///
    /// # Errors
    /// What the channel answers; [`event::Error::NoRoom`] beyond [`LISTENERS`].
    pub fn listen(&mut self, socket: Socket) -> Result<(), event::Error> {
        let index = self.listeners.len();
        if self.listeners.is_full() {
            return Err(event::Error::NoRoom);
        }
        self.channel.add(socket, token_of(index), Interest::READ)?;
        self.listeners
            .push(socket)
            .map_err(|_| event::Error::NoRoom)
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
        for socket in self
            .pending
            .take()
            .into_iter()
            .chain(core::mem::take(&mut self.listeners))
        {
            // Never watched, or the channel ends with the acceptor: nothing to tell.
            let _ = self.channel.remove(socket);
            if self.transport.close(socket).is_err() {
                log::warn!("a listener did not close");
            }
        }
        result
    }

    /// One turn; `false` when it was told to stop.
    fn turn(&mut self) -> Result<bool, event::Error> {
        let until = if self.paused {
            Deadline::After(PAUSE_MS)
        } else {
            Deadline::Never
        };
        self.channel.wait(&mut self.events, until)?;
        if self.paused {
            self.resume()?;
        }
        for at in 0..self.events.as_slice().len() {
            match self.events.as_slice()[at] {
                Event::Message(Message::Drain | Message::Stop) => return Ok(false),
                Event::Message(_) => {}
                Event::Ready { token, .. } => {
                    if let Some(&listener) = self.listeners.get(token.index as usize) {
                        self.accept(listener)?;
                    }
                }
            }
        }
        Ok(true)
    }

    fn accept(&mut self, listener: Socket) -> Result<(), event::Error> {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.paused {
                return Ok(());
            }
            match self.transport.accept(listener) {
                Ok(socket) => self.hand_over(socket)?,
                Err(Error::WouldBlock) => return Ok(()),
                Err(Error::Disconnected) => {}
                Err(error) => {
                    if !core::mem::replace(&mut self.exhausted, true) {
                        log::error!("cannot accept a connection, new ones wait: {error}");
                    }
                    return self.pause();
                }
            }
        }
        Ok(())
    }

    /// To the least loaded worker that has room for a message.
    fn hand_over(&mut self, socket: Socket) -> Result<(), event::Error> {
        // What was handed over and has not ended is the worker's load, messages under way included.
        let load = |worker: usize| {
            // Signed: a worker that listens as well closes more than it was handed.
            self.handed[worker].wrapping_sub(self.stats[worker].value(Counter::Closed)) as isize
        };
        let least = (0..self.workers.len())
            .min_by_key(|&worker| load(worker))
            .unwrap_or(0);
        // The least loaded one first, then whoever takes it.
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
        self.paused = true;
        self.watch(Interest::NONE)
    }

    fn resume(&mut self) -> Result<(), event::Error> {
        self.paused = false;
        if let Some(socket) = self.pending.take() {
            self.hand_over(socket)?;
        }
        if self.paused {
            Ok(())
        } else {
            self.watch(Interest::READ)
        }
    }

    fn watch(&mut self, interest: Interest) -> Result<(), event::Error> {
        for (index, &listener) in self.listeners.iter().enumerate() {
            self.channel
                .set_interest(listener, token_of(index), interest)?;
        }
        Ok(())
    }
}

fn token_of(index: usize) -> Token {
    Token {
        index: index as u32,
        generation: 0,
    }
}
