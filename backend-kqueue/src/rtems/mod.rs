//! The channel of RTEMS with libbsd.
//!
//! Messages lie where they lie for the channel that waits in a message queue ([`capuchin_rtems::Mail`]),
//! so they come from interrupt handlers as well; a [`bell`] tells of them. What a socket is watched for is
//! written down in its cell, for two reasons: an event of this processor has no room for a token, and
//! libbsd may forget a socket, which then has to be watched anew (see `feed/libbsd.rs` of the backend for
//! message queues).
//!
//! # Time
//!
//! kevent(2) is never given a timeout to wait for. libbsd would wait until a time by the counter, in clock
//! ticks: where ticks are lost, as in QEMU on a busy machine, it returns the later, the longer the system
//! has run. The bell rings instead, by RTEMS's ticks.

mod bell;
mod transport;

use crate::filters;
use crate::sys::Kqueue;
use bell::{Bell, Ring};
use capuchin_core::event::{
    Deadline, Error, Event, EventChannel, EventList, Full, Interest, Message, Notifier, Token,
};
use capuchin_core::transport::Socket;
use capuchin_posix::kqueue::Kevent;
use capuchin_rtems::cell::Cell;
use capuchin_rtems::task::Turns;
use capuchin_rtems::{
    FeedError, LOOKS_PER_SECOND, Mail, Room, RtemsNotifier, StartError, Watching, endangered,
    is_reached, number, ticks, ticks_of, try_closing,
};
use core::time::Duration;
pub use transport::KqueueTransport;

/// Ready descriptors that one wait reports at the most: as many as libbsd hands over at a time
/// (`KQ_NEVENTS`). They lie on the stack while it runs, of which tasks have little.
const DESCRIPTORS_PER_WAIT: usize = 8;

/// Messages that one wait reports at the most. Their places are kept for them, and the others for
/// sockets, so that neither can starve the other.
const MESSAGES_PER_WAIT: usize = EventList::CAPACITY - DESCRIPTORS_PER_WAIT;

/// What comes back with events is not needed: a socket's cell tells.
const UNMARKED: filters::Mark = 0;

/// Waits with kqueue; the contract is that of [`EventChannel`]. The transport that goes with it is a
/// [`KqueueTransport`].
#[derive(Debug)]
pub struct KqueueChannel {
    /// These three in this order: nobody sends any more once the mailbox is gone, nor tells of losses
    /// once nothing is watched; then the bell may go.
    mail: Mail,
    _watching: Option<Watching>,
    bell: Bell,
    queue: Kqueue,
    cells: &'static [Cell],
    /// Messages were left in the queue by the last wait.
    backlog: bool,
    turns: Turns,
    /// When the channel looks after its sockets, in ticks.
    look_at: u32,
    /// libbsd's highest number of a socket that was watched.
    highest: u32,
}

impl KqueueChannel {
    /// A channel in `room`, whose queue takes `messages` messages.
    ///
    /// # Errors
    /// [`StartError`]; among them that this libbsd does not close what kqueue has watched.
    pub fn new(room: Room, messages: usize) -> Result<Self, StartError> {
        let cells = room.cells();
        let mail = Mail::new(room, messages)?;
        let queue = Kqueue::new().map_err(|errno| StartError::Feed(FeedError::Kqueue(errno)))?;
        let bell = Bell::new(queue.number()).map_err(StartError::Feed)?;
        let watching = Watching::begin(cells, lost, bell.ring().0);
        let channel = Self {
            mail,
            _watching: watching,
            bell,
            queue,
            cells,
            backlog: false,
            turns: Turns::new(),
            look_at: ticks(),
            highest: 0,
        };
        try_closing(|socket| {
            filters::add(&channel.queue, socket, UNMARKED, Interest::READ).map_err(feed_error)?;
            // Somebody else's close may have had it forgotten.
            let _ = filters::remove(&channel.queue, socket);
            Ok(())
        })
        .map_err(StartError::Feed)?;
        Ok(channel)
    }

    /// The descriptor that wakes it: for tests that have somebody's close hit it.
    #[doc(hidden)]
    #[must_use]
    pub fn bell(&self) -> i32 {
        self.bell.descriptor()
    }

    fn watched(&self, socket: Socket) -> Result<&'static Cell, Error> {
        cell_of(self.cells, socket)
            .filter(|cell| cell.is_watched())
            .ok_or(Error::Registration)
    }

    /// Has sockets watched anew that closes have hit, or may have hit. Of one that is watched that has no
    /// effect.
    fn look_after_sockets(&mut self) {
        let now = ticks();
        let is_time = is_reached(now, self.look_at);
        if is_time {
            self.look_at = now.wrapping_add(ticks_of(1_000 / LOOKS_PER_SECOND));
        }
        if !self.bell.take_loss() && !is_time {
            return;
        }
        let endangered = endangered(self.highest);
        for (index, cell) in (0u32..).zip(self.cells) {
            let was_hit = cell.take_lost() || (is_time && index < endangered);
            if was_hit
                && let Some(interest) = cell.interest()
                && filters::add(&self.queue, Socket(index as i32), UNMARKED, interest).is_err()
            {
                // No memory, perhaps: the next wait tries again.
                cell.stay_lost();
                self.bell.ring().loss();
            }
        }
    }

    /// What is there, after at most `timeout`: moves it to `events`; whether the bell has rung.
    fn collect(
        &mut self,
        events: &mut EventList,
        timeout: Option<Duration>,
    ) -> Result<bool, Error> {
        let mut ready = [Kevent::new(0, 0, 0); DESCRIPTORS_PER_WAIT];
        let count = match self.queue.kevent(&[], &mut ready, timeout) {
            Ok(count) => count,
            Err(libc::EINTR) => 0,
            Err(errno) => return Err(Error::System(errno)),
        };
        // The bell may have been forgotten since it rang, or its turn be far away.
        let mut rung = self.bell.is_pending();
        for event in &ready[..count] {
            let socket = Socket(event.ident as i32);
            if socket.0 == self.bell.descriptor() {
                rung = true;
                continue;
            }
            let watched = cell_of(self.cells, socket).filter(|cell| cell.is_watched());
            if let Some(cell) = watched {
                let readiness = filters::readiness(&self.queue, event);
                let token = cell.token();
                let taken = events.push(Event::Ready { token, readiness });
                debug_assert!(taken, "there are as many places");
            } else {
                // What is watched without anybody's wish would be told for ever.
                let _ = filters::remove(&self.queue, socket);
            }
        }
        Ok(rung)
    }

    fn take_messages(&mut self, events: &mut EventList) -> Result<(), Error> {
        let mail = &mut self.mail;
        let left = self.bell.receive(|| {
            for _ in 0..MESSAGES_PER_WAIT {
                match mail.take() {
                    Ok(Some(message)) => {
                        let taken = events.push(Event::Message(message));
                        debug_assert!(taken, "room was kept");
                    }
                    Ok(None) => return Ok(false),
                    Err(code) => return Err(Error::System(code.0 as i32)),
                }
            }
            Ok(true)
        });
        self.backlog = left?;
        Ok(())
    }
}

/// The cell of a socket.
fn cell_of(cells: &'static [Cell], socket: Socket) -> Option<&'static Cell> {
    cells.get(usize::try_from(socket.0).ok()?)
}

/// Somebody's close has hit a watched socket of the channel with this ring.
fn lost(cell: &'static Cell, ring: usize) {
    // Nobody looks for entries: the flag is enough.
    let _ = cell.lose();
    Ring(ring).loss();
}

fn feed_error(error: Error) -> FeedError {
    match error {
        Error::System(errno) => FeedError::Kqueue(errno),
        _ => FeedError::Kqueue(libc::ENOMEM),
    }
}

impl EventChannel for KqueueChannel {
    type Notifier = KqueueNotifier;

    fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
        let cell = cell_of(self.cells, socket).ok_or(Error::NoRoom)?;
        if cell.is_watched() {
            return Err(Error::Registration);
        }
        cell.begin((0, 0), token, interest);
        self.highest = self.highest.max(number(socket));
        filters::add(&self.queue, socket, UNMARKED, interest).inspect_err(|_| cell.end())
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), Error> {
        let cell = self.watched(socket)?;
        cell.change(token, interest);
        match filters::change(&self.queue, socket, UNMARKED, interest) {
            // A close has hit it.
            Err(Error::Registration) => filters::add(&self.queue, socket, UNMARKED, interest),
            other => other,
        }
    }

    fn remove(&mut self, socket: Socket) -> Result<(), Error> {
        self.watched(socket)?.end();
        match filters::remove(&self.queue, socket) {
            Err(Error::Registration) => Ok(()),
            other => other,
        }
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
        events.clear();
        self.turns.begin();
        let deadline = match until {
            Deadline::Now | Deadline::After(0) => Some(ticks()),
            Deadline::After(milliseconds) => Some(ticks().wrapping_add(ticks_of(milliseconds))),
            Deadline::Never => None,
        };
        let mut slept = false;
        loop {
            self.look_after_sockets();
            let is_over = deadline.is_some_and(|deadline| is_reached(ticks(), deadline));
            let is_called = self.backlog || self.bell.is_pending();
            let timeout = (is_over || is_called).then_some(Duration::ZERO);
            if timeout.is_none() {
                let soonest = match deadline {
                    Some(deadline) if is_reached(self.look_at, deadline) => deadline,
                    _ => self.look_at,
                };
                self.bell.ring_at(soonest);
                slept = true;
            }
            let rung = self.collect(events, timeout)?;
            if rung || self.backlog {
                self.take_messages(events)?;
            }
            if !events.as_slice().is_empty() {
                return Ok(());
            }
            if is_over {
                if slept {
                    self.turns.slept();
                }
                return Ok(());
            }
        }
    }

    fn notifier(&self) -> KqueueNotifier {
        KqueueNotifier {
            mail: self.mail.notifier(),
            ring: self.bell.ring(),
        }
    }
}

impl Drop for KqueueChannel {
    fn drop(&mut self) {
        for (index, cell) in (0..).zip(self.cells) {
            if cell.is_watched() {
                let _ = self.remove(Socket(index));
            }
        }
    }
}

/// Sends messages to a worker on RTEMS, from any task and from interrupt handlers. After its channel is gone
/// every message is [`Full`], also when another channel has its memory.
#[derive(Clone, Copy, Debug)]
pub struct KqueueNotifier {
    mail: RtemsNotifier,
    ring: Ring,
}

impl Notifier for KqueueNotifier {
    fn send(&self, message: Message) -> Result<(), Full> {
        self.mail.send_and(message, || self.ring.message())
    }
}
