//! The worker: one thread or task that waits for events and moves its connections on.
//!
//! A worker blocks only in [`EventChannel::wait`]. Each *turn* it handles the events of one wait,
//! then the connections that have something left to do, then the deadlines that have passed. A
//! connection that uses up its share of a turn goes to the end of the queue.

use crate::connection::{Flags, NO_SLOT, Slot, State, Watch};
use crate::engine::{Desk, Want};
use crate::event::{
    self, Deadline, Event, EventChannel, EventList, Interest, Message, Readiness, Ticket, Token,
};
use crate::http::date::HttpDate;
use crate::http::status::Status;
use crate::limits::Limits;
use crate::pool::{Arena, Leases};
use crate::reply::date_line;
use crate::service::Service;
use crate::stats::{Counter, Stats};
use crate::timer::Wheel;
use crate::transport::{Clock, Error, Socket, Transport};

/// Listening sockets that one worker may have.
pub const LISTENERS: usize = 8;

/// Slots beyond [`Limits::connections`] in which clients are told 503 and seen off. An arena of
/// slots should have room for so many more.
pub const REFUSALS: u32 = 16;

/// How long a listener rests after the system had no descriptor for a connection.
const EXHAUSTED_PAUSE_MS: u64 = 100;

/// Slots that are looked at to find the longest idle connection; with no more slots than this the
/// answer is exact.
const EVICTION_SAMPLE: u32 = 64;

/// In a token's index: listeners count down from here.
const FIRST_LISTENER: u32 = u32::MAX - 1;

/// All that a worker is made of. Memory is the caller's.
pub struct Parts<'m, C, T, K, S, A> {
    /// The worker's number: the one in its tickets.
    pub index: u32,
    /// Where it waits.
    pub channel: C,
    /// Its sockets.
    pub transport: T,
    /// Its clock.
    pub clock: K,
    /// The application.
    pub service: S,
    /// Room for [`Limits::connections`] and [`REFUSALS`] slots.
    pub slots: A,
    /// Buffers.
    pub leases: Leases<'m>,
    /// As long as a lease, or longer: for paths, refusals and bytes that are thrown away.
    pub scratch: &'m mut [u8],
    /// Its counters.
    pub stats: &'m Stats,
    /// Its limits.
    pub limits: Limits,
}

/// A worker. [`Worker::run`] is its life; [`Worker::turn`] is one turn of it, for those who have a
/// loop of their own.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use capuchin_core::Slot;
/// use capuchin_core::event::{Message, Notifier};
/// use capuchin_core::http::{fields::Field, method::Method};
/// use capuchin_core::limits::Limits;
/// use capuchin_core::pool::Leases;
/// use capuchin_core::reply::{Next, Reply};
/// use capuchin_core::route::{Context, Route, Routed};
/// use capuchin_core::server::{Parts, REFUSALS, Worker};
/// use capuchin_core::service::Request;
/// use capuchin_core::site::NoSite;
/// use capuchin_core::stats::{Counter, Stats};
/// use capuchin_epoll::EpollChannel;
/// use capuchin_posix::{ListenOptions, PosixClock, PosixTransport, listen, local_address};
/// use std::io::{Read, Write};
///
/// fn hello(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
///     reply.text("hello")
/// }
/// const ROUTES: &[Route<'static, ()>] = &[Route::new(Method::Get, "/", &hello)];
///
/// // Everything is sized here, and nothing grows later.
/// const CONNECTIONS: usize = 8;
/// let mut slots: heapless::Vec<Slot, { CONNECTIONS + REFUSALS as usize }> = heapless::Vec::new();
/// let (mut bytes, mut fields) = ([0; 4 * 2_048], [Field::EMPTY; 4 * 33]);
/// let mut scratch = [0; 2_048];
/// let stats = Stats::new();
/// let mut limits = Limits::DEFAULT;
/// limits.connections = CONNECTIONS as u32;
/// limits.head_bytes = 1_024;
///
/// let mut worker = Worker::new(Parts {
///     index: 0,
///     channel: EpollChannel::new(16).unwrap(),
///     transport: PosixTransport,
///     clock: PosixClock,
///     service: Routed::new(ROUTES, &(), NoSite::default()),
///     slots: &mut slots,
///     leases: Leases::new(&mut bytes, &mut fields, 2_048, 33),
///     scratch: &mut scratch,
///     stats: &stats,
///     limits,
/// });
/// let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
/// let address = local_address(listener).unwrap();
/// worker.listen(listener).unwrap();
///
/// let notifier = worker.notifier();
/// let client = std::thread::spawn(move || {
///     let mut stream = std::net::TcpStream::connect(address).unwrap();
///     stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
///     let mut reply = String::new();
///     stream.read_to_string(&mut reply).unwrap();
///     notifier.send(Message::Stop).unwrap();
///     reply
/// });
/// worker.run().unwrap();
/// let reply = client.join().unwrap();
/// assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\nhello"));
/// assert_eq!(stats.value(Counter::Requests), 1);
/// # }
/// ```
pub struct Worker<'m, C, T, K, S, A> {
    channel: C,
    clock: K,
    desk: Desk<'m, T, S>,
    slots: A,
    free: u32,
    /// Freed in this turn: reusable when its batch of events is over.
    freed: u32,
    open: u32,
    /// Of these, being told 503: they do not count towards the limit.
    refused: u32,
    run_queue: Queue,
    lease_queue: Queue,
    wheel: Wheel,
    listeners: heapless::Vec<Listener, LISTENERS>,
    events: EventList,
    /// Where the search for the longest idle connection goes on.
    hand: u32,
    drain_until: Option<u64>,
    stopped: bool,
}

struct Listener {
    socket: Socket,
    /// Rests until then.
    paused_until: Option<u64>,
}

/// Slots in order, linked by [`Slot::next`].
struct Queue {
    first: u32,
    last: u32,
    length: u32,
}

impl Queue {
    const EMPTY: Self = Self {
        first: NO_SLOT,
        last: NO_SLOT,
        length: 0,
    };

    fn push(&mut self, slots: &mut [Slot], index: u32) {
        slots[index as usize].next = NO_SLOT;
        match self.last {
            NO_SLOT => self.first = index,
            last => slots[last as usize].next = index,
        }
        self.last = index;
        self.length += 1;
    }

    fn pop(&mut self, slots: &mut [Slot]) -> Option<u32> {
        let index = self.first;
        if index == NO_SLOT {
            return None;
        }
        self.first = slots[index as usize].next;
        if self.first == NO_SLOT {
            self.last = NO_SLOT;
        }
        self.length -= 1;
        Some(index)
    }
}

impl<'m, C, T, K, S, A> Worker<'m, C, T, K, S, A>
where
    C: EventChannel,
    T: Transport,
    K: Clock,
    S: Service<File = T::File>,
    A: Arena<Slot>,
{
    /// A worker of these parts, without a listener yet.
    ///
    /// # Panics
    /// When the limits do not go with the memory: a head must fit half of a lease, and
    /// scratch must be as long as a lease.
    #[must_use]
    pub fn new(parts: Parts<'m, C, T, K, S, A>) -> Self {
        let Parts {
            index,
            channel,
            transport,
            mut clock,
            service,
            slots,
            leases,
            scratch,
            stats,
            limits,
        } = parts;
        assert!(
            usize::from(limits.head_bytes) <= leases.size() / 2,
            "a head must fit half of a lease"
        );
        assert!(
            scratch.len() >= leases.size(),
            "scratch memory must be as long as a lease"
        );
        assert!(
            limits.turn_requests > 0 && limits.turn_bytes > 0 && limits.turn_accepts > 0,
            "a turn must allow some work"
        );
        let (now, unix_time) = (clock.monotonic(), clock.unix_time());
        let date = date_line(HttpDate(unix_time));
        let desk = Desk {
            transport,
            service,
            leases,
            scratch,
            stats,
            limits,
            worker: index,
            now,
            unix_time,
            date,
            draining: false,
            leases_promised: false,
        };
        Self {
            channel,
            clock,
            desk,
            slots,
            free: NO_SLOT,
            freed: NO_SLOT,
            open: 0,
            refused: 0,
            run_queue: Queue::EMPTY,
            lease_queue: Queue::EMPTY,
            wheel: Wheel::new(now),
            listeners: heapless::Vec::new(),
            events: EventList::new(),
            hand: 0,
            drain_until: None,
            stopped: false,
        }
    }

    /// Accepts connections from `socket`, a non-blocking listening socket that the worker owns
    /// from now on.
    ///
    /// # Errors
    /// What the channel answers; [`event::Error::NoRoom`] beyond [`LISTENERS`].
    pub fn listen(&mut self, socket: Socket) -> Result<(), event::Error> {
        let index = self.listeners.len();
        if self.listeners.is_full() {
            return Err(event::Error::NoRoom);
        }
        self.channel
            .add(socket, listener_token(index), Interest::READ)?;
        self.listeners
            .push(Listener {
                socket,
                paused_until: None,
            })
            .map_err(|_| event::Error::NoRoom)
    }

    /// The sending end of the worker's messages.
    pub fn notifier(&self) -> C::Notifier {
        self.channel.notifier()
    }

    /// The application.
    pub fn service(&mut self) -> &mut S {
        &mut self.desk.service
    }

    /// Works until [`Message::Stop`], or until [`Message::Drain`] has been carried out.
    ///
    /// # Errors
    /// When the channel is broken; all connections are closed then.
    pub fn run(&mut self) -> Result<(), event::Error> {
        loop {
            match self.turn(Deadline::Never) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.stop();
                    return Err(error);
                }
            }
        }
    }

    /// One turn: waits until something happens, a deadline of the worker's own, or `until`; then
    /// handles it. `false` when the worker has stopped.
    ///
    /// # Errors
    /// When the channel is broken.
    pub fn turn(&mut self, until: Deadline) -> Result<bool, event::Error> {
        if self.stopped {
            return Ok(false);
        }
        let until = self.earliest(until);
        self.channel.wait(&mut self.events, until)?;
        self.tell_time();
        self.desk.stats.count(Counter::Turns);
        for at in 0..self.events.as_slice().len() {
            match self.events.as_slice()[at] {
                Event::Ready { token, readiness } => self.ready(token, readiness),
                Event::Message(message) => self.message(message),
            }
        }
        if self.stopped {
            self.stop();
            return Ok(false);
        }
        self.run_queued();
        self.expire();
        self.serve_lease_waiters();
        self.resume_listeners();
        self.recycle();
        self.desk.service.turn_ended();
        if self
            .drain_until
            .is_some_and(|until| self.open == 0 || self.desk.now >= until)
        {
            self.stop();
            return Ok(false);
        }
        Ok(true)
    }

    fn tell_time(&mut self) {
        self.desk.now = self.clock.monotonic();
        let unix_time = self.clock.unix_time();
        if unix_time != self.desk.unix_time {
            self.desk.unix_time = unix_time;
            self.desk.date = date_line(HttpDate(unix_time));
        }
    }

    /// The earliest of the caller's deadline and the worker's own.
    fn earliest(&self, until: Deadline) -> Deadline {
        if self.run_queue.first != NO_SLOT || until == Deadline::Now {
            return Deadline::Now;
        }
        let left = |moment: u64| {
            moment
                .saturating_sub(self.desk.now)
                .min(u64::from(u32::MAX)) as u32
        };
        let mut after = self.wheel.next(self.desk.now);
        let mut consider = |candidate: u32| {
            after = Some(after.map_or(candidate, |after: u32| after.min(candidate)))
        };
        if let Deadline::After(caller) = until {
            consider(caller);
        }
        self.listeners
            .iter()
            .filter_map(|listener| listener.paused_until)
            .map(left)
            .for_each(&mut consider);
        self.drain_until
            .map(left)
            .into_iter()
            .for_each(&mut consider);
        after.map_or(Deadline::Never, Deadline::After)
    }

    // ---- events ----

    fn ready(&mut self, token: Token, readiness: Readiness) {
        self.desk.stats.count(Counter::EventsReady);
        if let Some(listener) = listener_index(token) {
            return self.accept(listener);
        }
        let Some(slot) = self.slots.as_mut_slice().get_mut(token.index as usize) else {
            return self.desk.stats.count(Counter::EventsStale);
        };
        if slot.generation != token.generation
            || slot.state == State::Free
            || slot.flags.has(Flags::DEAD)
        {
            return self.desk.stats.count(Counter::EventsStale);
        }
        if slot.flags.has(Flags::QUEUED) {
            // Its turn comes. Only an error cannot wait: it would be reported over and over.
            if readiness.contains(Readiness::FAILED) {
                self.close(token.index);
            }
            return;
        }
        if readiness.contains(Readiness::FAILED) && matches!(slot.watch, Watch::Nothing) {
            self.desk.stats.count(Counter::Reset);
            return self.close(token.index);
        }
        // With an interest on, the receive or send that follows meets the error itself.
        self.advance(token.index, true);
    }

    fn message(&mut self, message: Message) {
        self.desk.stats.count(Counter::Messages);
        match message {
            Message::Adopt(socket) => {
                if self.free == NO_SLOT && self.is_at_end() {
                    // A message cannot be left lying. Events of this batch that are for a freed slot
                    // carry its old generation.
                    self.recycle();
                }
                self.adopt(socket);
            }
            Message::Complete { ticket, value } => self.complete(ticket, value),
            Message::Application(value) => self.desk.service.message(value),
            Message::Drain => self.drain(),
            Message::Stop => self.stopped = true,
        }
    }

    fn complete(&mut self, ticket: Ticket, value: u64) {
        let token = ticket.connection;
        let slot = self.slots.as_mut_slice().get_mut(token.index as usize);
        let slot =
            slot.filter(|slot| slot.generation == token.generation && slot.state != State::Free);
        let queued = slot
            .as_ref()
            .is_some_and(|slot| slot.flags.has(Flags::QUEUED));
        if !slot.is_some_and(|slot| self.desk.complete(slot, ticket, value)) {
            self.desk.stats.count(Counter::StaleTickets);
        } else if !queued {
            self.advance(token.index, false);
        }
    }

    /// Moves a connection on and sees to what it waits for next.
    fn advance(&mut self, index: u32, readable: bool) {
        // Who comes later waits behind those that wait already.
        self.desk.leases_promised = self.lease_queue.length > 0;
        self.go_on(index, readable);
    }

    fn go_on(&mut self, index: u32, readable: bool) {
        let slots = self.slots.as_mut_slice();
        let slot = &mut slots[index as usize];
        let token = Token {
            index,
            generation: slot.generation,
        };
        let want = self.desk.advance(slot, token, readable);
        let watch = match want {
            Want::Read => Watch::Read,
            Want::Write => Watch::Write,
            Want::Ticket => Watch::Nothing,
            Want::Turn => {
                slot.flags.set(Flags::QUEUED);
                self.run_queue.push(slots, index);
                return self.set_deadline(index);
            }
            Want::Lease => {
                slot.flags.set(Flags::QUEUED | Flags::WANTS_LEASE);
                self.lease_queue.push(slots, index);
                Watch::Nothing
            }
            Want::Close | Want::Abort => return self.close(index),
        };
        self.watch(index, watch);
        self.set_deadline(index);
    }

    /// Tells the channel what a connection waits for, if that is news.
    fn watch(&mut self, index: u32, watch: Watch) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        if slot.watch == watch || slot.state == State::Free {
            return;
        }
        let token = Token {
            index,
            generation: slot.generation,
        };
        let interest = match watch {
            Watch::Read => Interest::READ,
            Watch::Write => Interest::WRITE,
            Watch::Nothing | Watch::Unknown => Interest::NONE,
        };
        let result = match slot.watch {
            Watch::Unknown => self.channel.add(slot.socket, token, interest),
            _ => self.channel.set_interest(slot.socket, token, interest),
        };
        match result {
            Ok(()) => {
                if slot.watch == Watch::Write || watch == Watch::Write {
                    slot.flags.set(Flags::REARM);
                }
                slot.watch = watch;
            }
            Err(error) => {
                log::warn!("a connection was closed because it cannot be watched: {error}");
                self.close(index);
            }
        }
    }

    /// Starts the deadline of the connection's phase, if the phase is new or has seen progress.
    fn set_deadline(&mut self, index: u32) {
        let slots = self.slots.as_mut_slice();
        let slot = &mut slots[index as usize];
        if slot.state == State::Free || slot.flags.has(Flags::DEAD) || !slot.flags.has(Flags::REARM)
        {
            return;
        }
        slot.flags.clear(Flags::REARM);
        let limits = &self.desk.limits;
        let after = match phase_of(slot) {
            Phase::FirstByte => limits.first_byte_ms,
            Phase::Head => limits.head_ms,
            Phase::Body => limits.body_ms,
            Phase::Handler => limits.handler_ms,
            Phase::Write => limits.write_ms,
            Phase::Idle => limits.idle_ms,
            Phase::Linger => limits.linger_ms,
        };
        self.wheel.set(slots, index, self.desk.now, after);
    }

    // ---- deadlines ----

    fn expire(&mut self) {
        while let Some(index) = self.wheel.expired(self.slots.as_mut_slice(), self.desk.now) {
            self.timed_out(index);
        }
    }

    fn timed_out(&mut self, index: u32) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        if slot.state == State::Free || slot.flags.has(Flags::DEAD) {
            return;
        }
        self.desk.stats.count(Counter::TimedOut);
        let token = Token {
            index,
            generation: slot.generation,
        };
        let status = match phase_of(slot) {
            // Not the client's fault: it was this server that had no buffer.
            Phase::FirstByte | Phase::Idle | Phase::Body if slot.flags.has(Flags::WANTS_LEASE) => {
                Status::SERVICE_UNAVAILABLE
            }
            Phase::Head if slot.parser.started() => Status::REQUEST_TIMEOUT,
            Phase::Body if slot.state != State::Discarding => Status::REQUEST_TIMEOUT,
            Phase::Handler if slot.state != State::Paused => Status::SERVICE_UNAVAILABLE,
            phase => {
                match phase {
                    // It takes nothing: what it has not taken must not be kept for it.
                    Phase::Write => self.desk.transport.abort(slot.socket),
                    Phase::Handler => self.desk.break_off(slot),
                    _ => {}
                }
                return self.close(index);
            }
        };
        self.desk.abandon(slot, token);
        self.desk.refuse(slot, token, status, &"");
        if slot.flags.has(Flags::WANTS_LEASE) {
            // Its reply went out without a lease. Its place in the queue may be far from the front:
            // the deadline ends it before.
            let _ = self.desk.transport.shutdown(slot.socket);
            slot.enter(State::Lingering);
            self.set_deadline(index);
        } else if !slot.flags.has(Flags::QUEUED) {
            self.advance(index, false);
        }
    }

    // ---- queues ----

    fn run_queued(&mut self) {
        for _ in 0..self.run_queue.length {
            let Some(index) = self.run_queue.pop(self.slots.as_mut_slice()) else {
                return;
            };
            self.desk.leases_promised = self.lease_queue.length > 0;
            self.leave_queue(index);
        }
    }

    fn serve_lease_waiters(&mut self) {
        for _ in 0..self.lease_queue.length {
            if !self.desk.leases.has_free() {
                return;
            }
            let Some(index) = self.lease_queue.pop(self.slots.as_mut_slice()) else {
                return;
            };
            self.desk.leases_promised = false;
            self.leave_queue(index);
        }
    }

    fn leave_queue(&mut self, index: u32) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        slot.flags.clear(Flags::QUEUED | Flags::WANTS_LEASE);
        if slot.flags.has(Flags::DEAD) {
            self.release_slot(index);
        } else {
            self.go_on(index, true);
        }
    }

    // ---- connections come and go ----

    fn accept(&mut self, listener: usize) {
        for _ in 0..self.desk.limits.turn_accepts {
            let Some(socket) = self.listeners.get(listener).map(|listener| listener.socket) else {
                return;
            };
            if self.free == NO_SLOT && self.freed != NO_SLOT && self.is_at_end() {
                // Slots were freed in this turn and can be used in the next: the backlog keeps the
                // connection until then.
                return;
            }
            match self.desk.transport.accept(socket) {
                Ok(accepted) => self.adopt(accepted),
                Err(Error::WouldBlock) => return,
                Err(Error::Disconnected) => {}
                Err(error) => return self.pause_listener(listener, error),
            }
        }
    }

    /// Out of descriptors: a listener that stays readable would spin.
    fn pause_listener(&mut self, listener: usize, error: Error) {
        self.desk.stats.count(Counter::AcceptFailed);
        if self.desk.stats.value(Counter::AcceptFailed) == 1 {
            log::error!("cannot accept a connection, new ones wait: {error}");
        }
        if let Some(paused) = self.listeners.get_mut(listener) {
            paused.paused_until = Some(self.desk.now + EXHAUSTED_PAUSE_MS);
            let result =
                self.channel
                    .set_interest(paused.socket, listener_token(listener), Interest::NONE);
            if let Err(error) = result {
                log::error!("a listener cannot be paused: {error}");
            }
        }
    }

    fn resume_listeners(&mut self) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if listener
                .paused_until
                .is_some_and(|until| until <= self.desk.now)
            {
                listener.paused_until = None;
                if let Err(error) = self.channel.set_interest(
                    listener.socket,
                    listener_token(index),
                    Interest::READ,
                ) {
                    log::error!("a listener cannot be resumed: {error}");
                }
            }
        }
    }

    /// Takes an accepted socket into service.
    fn adopt(&mut self, socket: Socket) {
        let full = |worker: &Self| worker.open - worker.refused >= worker.desk.limits.connections;
        if full(self) {
            self.evict_longest_idle();
        }
        let full = full(self) || self.lease_queue.length >= self.desk.limits.waiting;
        let Some(index) = self.take_slot() else {
            // Not even a place to say so.
            self.desk.stats.count(Counter::Accepted);
            self.desk.stats.count(Counter::Refused);
            self.desk.stats.count(Counter::Closed);
            return self.close_socket(socket);
        };
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        slot.begin(socket);
        let token = Token {
            index,
            generation: slot.generation,
        };
        self.open += 1;
        self.desk.stats.count(Counter::Accepted);
        self.desk.service.connected(index, socket);
        if full || self.desk.draining {
            self.desk.stats.count(Counter::Refused);
            self.refused += 1;
            slot.flags.set(Flags::REFUSED);
            self.desk.fail(
                slot,
                token,
                Status::SERVICE_UNAVAILABLE,
                &"too many connections; try again in a moment",
            );
        }
        // Most clients have sent their request by the time that the others have been accepted: it
        // is worth a look in this turn, before waiting.
        let slots = self.slots.as_mut_slice();
        slots[index as usize].flags.set(Flags::QUEUED);
        self.run_queue.push(slots, index);
    }

    fn take_slot(&mut self) -> Option<u32> {
        if self.free != NO_SLOT {
            let index = self.free;
            self.free = self.slots.as_slice()[index as usize].next;
            return Some(index);
        }
        let index = self.slots.as_slice().len() as u32;
        (!self.is_at_end() && self.slots.push(Slot::FREE).is_ok()).then_some(index)
    }

    /// Whether there are as many slots as there ever will be.
    fn is_at_end(&self) -> bool {
        let limit = self.desk.limits.connections.saturating_add(REFUSALS);
        self.slots.as_slice().len() >= limit as usize
    }

    /// Closes the connection that has been idle for longest, out of a sample.
    fn evict_longest_idle(&mut self) {
        let slots = self.slots.as_slice();
        let count = slots.len() as u32;
        let now = self.desk.now as u32;
        let mut victim = None;
        for step in 0..count.min(EVICTION_SAMPLE) {
            let index = (self.hand + step) % count;
            let slot = &slots[index as usize];
            if slot.state == State::Idle && slot.lease.is_none() && !slot.flags.has(Flags::QUEUED) {
                // The earlier its deadline, the longer it has been idle.
                let left = slot.timer.deadline().wrapping_sub(now) as i32;
                if victim.is_none_or(|(_, least)| left < least) {
                    victim = Some((index, left));
                }
            }
        }
        self.hand = (self.hand + EVICTION_SAMPLE) % count.max(1);
        if let Some((index, _)) = victim {
            self.desk.stats.count(Counter::Evicted);
            self.close(index);
        }
    }

    /// Ends a connection, whatever its state.
    fn close(&mut self, index: u32) {
        self.wheel.clear(self.slots.as_mut_slice(), index);
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        if slot.state == State::Free || slot.flags.has(Flags::DEAD) {
            return;
        }
        let token = Token {
            index,
            generation: slot.generation,
        };
        self.desk.clear(slot, token);
        let socket = slot.socket;
        let watched = slot.watch != Watch::Unknown;
        let (queued, refused) = (
            slot.flags.has(Flags::QUEUED),
            slot.flags.has(Flags::REFUSED),
        );
        slot.generation = slot.generation.wrapping_add(1);
        slot.watch = Watch::Unknown;
        if watched && let Err(error) = self.channel.remove(socket) {
            log::warn!("a connection's socket cannot be unwatched: {error}");
        }
        self.close_socket(socket);
        self.open -= 1;
        self.refused -= u32::from(refused);
        self.desk.stats.count(Counter::Closed);
        self.desk.service.closed(index);
        if queued {
            self.slots.as_mut_slice()[index as usize]
                .flags
                .set(Flags::DEAD);
        } else {
            self.release_slot(index);
        }
    }

    fn close_socket(&mut self, socket: Socket) {
        if let Err(error) = self.desk.transport.close(socket) {
            self.desk.stats.count(Counter::CloseFailed);
            if self.desk.stats.value(Counter::CloseFailed) == 1 {
                log::error!("a socket did not close, descriptors may run out: {error}");
            }
        }
    }

    fn release_slot(&mut self, index: u32) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        *slot = Slot {
            generation: slot.generation,
            next: self.freed,
            ..Slot::FREE
        };
        self.freed = index;
    }

    /// Makes the slots freed in this turn usable again.
    fn recycle(&mut self) {
        while self.freed != NO_SLOT {
            let index = self.freed;
            let slot = &mut self.slots.as_mut_slice()[index as usize];
            self.freed = slot.next;
            slot.next = self.free;
            self.free = index;
        }
    }

    // ---- the end ----

    /// No new connections; those without a request are closed, the others finish.
    fn drain(&mut self) {
        if self.drain_until.is_some() {
            return;
        }
        for listener in 0..self.listeners.len() {
            self.accept(listener);
        }
        self.close_listeners();
        self.desk.draining = true;
        self.drain_until = Some(self.desk.now + u64::from(self.desk.limits.drain_ms));
        for index in 0..self.slots.as_slice().len() as u32 {
            let slot = &self.slots.as_slice()[index as usize];
            if matches!(slot.state, State::Idle | State::Fresh) && !slot.flags.has(Flags::QUEUED) {
                // A request may have come that no event has told of yet; if not, it is closed.
                self.advance(index, true);
            }
        }
    }

    fn close_listeners(&mut self) {
        while let Some(listener) = self.listeners.pop() {
            if let Err(error) = self.channel.remove(listener.socket) {
                log::warn!("a listener cannot be unwatched: {error}");
            }
            self.close_socket(listener.socket);
        }
    }

    /// Connections that an acceptor handed over and that nobody will serve.
    fn close_undelivered(&mut self) {
        while self.channel.wait(&mut self.events, Deadline::Now).is_ok() {
            let mut more = false;
            for at in 0..self.events.as_slice().len() {
                if let Event::Message(message) = self.events.as_slice()[at] {
                    more = true;
                    if let Message::Adopt(socket) = message {
                        self.close_socket(socket);
                    }
                }
            }
            if !more {
                return;
            }
        }
    }

    /// Closes everything.
    fn stop(&mut self) {
        self.stopped = true;
        self.close_listeners();
        self.close_undelivered();
        for index in 0..self.slots.as_slice().len() as u32 {
            self.close(index);
        }
        self.desk.service.turn_ended();
    }
}

/// Which deadline is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    FirstByte,
    Head,
    Body,
    Handler,
    Write,
    Idle,
    Linger,
}

fn phase_of(slot: &Slot) -> Phase {
    match slot.state {
        _ if slot.watch == Watch::Write => Phase::Write,
        State::Free | State::Fresh => Phase::FirstByte,
        State::Idle => Phase::Idle,
        State::Head => Phase::Head,
        State::Receiving | State::Collecting | State::Discarding => Phase::Body,
        State::Waiting | State::Resuming | State::Paused => Phase::Handler,
        State::Lingering => Phase::Linger,
        State::Sending | State::Streaming | State::Closing => Phase::Write,
    }
}

fn listener_token(index: usize) -> Token {
    Token {
        index: FIRST_LISTENER - index as u32,
        generation: 0,
    }
}

fn listener_index(token: Token) -> Option<usize> {
    let index = FIRST_LISTENER.checked_sub(token.index)? as usize;
    (index < LISTENERS).then_some(index)
}
