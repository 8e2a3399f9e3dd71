//! The worker: one thread or task that waits for events and moves its connections on.
//!
//! A worker blocks only in [`EventChannel::wait`]. Each *turn* it handles the events of one wait and the
//! connections that have just come, then connections that have something left to do, then the deadlines that
//! have passed. A connection that uses up its share of a turn goes to the end of the queue. A turn moves a bounded
//! number of bytes before it ends and the next one looks at new events: a request waits for the work of one turn,
//! however many long responses are under way.

mod arrivals;
mod ending;
mod events;
mod eviction;
mod queue;

use crate::connection::{Flags, NO_SLOT, Slot, State, Watch};
use crate::engine::{Budget, Desk, SMALL_SHARE, SOCKET_LINE, Want};
use crate::event::{
    self, Deadline, Event, EventChannel, EventList, Interest, Message, Readiness, Ticket, Token,
};
use crate::http::date::HttpDate;
use crate::http::status::Status;
use crate::limits::{Limits, RESPONSE_MINIMUM};
use crate::pool::{Arena, Leases};
use crate::reply::opening;
use crate::service::Service;
use crate::stats::{Counter, Stats};
use crate::throttle::Throttle;
use crate::timer::Wheel;
use crate::transport::{Clock, Error, Socket, Transport};
use core::fmt;
use queue::Queue;

/// Listening sockets that one worker may have.
pub const LISTENERS: usize = 8;

/// Slots beyond [`Limits::connections`] in which clients are told 503 and seen off. An arena of
/// slots should have room for so many more.
pub const REFUSALS: u32 = 16;

/// Bytes of scratch memory at least: an error response is made there when a connection has no buffer.
const SCRATCH_MINIMUM: usize = 512;

/// How long a listener rests after the system had no descriptor for a connection.
const EXHAUSTED_PAUSE_MS: u64 = 100;

/// How long a connection is left alone after its socket was twice reported to have room and took nothing, and how
/// many slots are searched for such connections when the time is over.
const WRITER_PAUSE_MS: u64 = 50;
const SLOTS_RESUMED: u32 = 256;

/// Deadlines that are handled in one turn: connections whose deadlines pass together are closed over several turns.
const EXPIRED_PER_TURN: usize = 64;

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
    /// As long as the longest head, or longer, and 512 bytes at least: for paths, refusals and bytes that are thrown away.
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
/// limits.collect_bytes = 256;
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
    /// Accepted in this turn, and not looked at yet.
    newcomers: Queue,
    run_queue: Queue,
    /// The last turn left some of the run queue to the next.
    is_behind: bool,
    lease_queue: Queue,
    /// Whether a slot may hold a paused writer, and whether one may lie before `resume_hand`.
    has_paused_writers: bool,
    has_paused_before: bool,
    /// The slot at which looking for paused writers goes on, and when.
    resume_hand: u32,
    resume_at: u64,
    wheel: Wheel,
    /// Each keeps its place, which its token names, until it is closed.
    listeners: [Option<Listener>; LISTENERS],
    events: EventList,
    /// Where the search for a connection without progress goes on.
    hand: u32,
    drain_until: Option<u64>,
    stopped: bool,
    /// No connection goes the straight way.
    #[cfg(feature = "fault")]
    is_general: bool,
}

struct Listener {
    socket: Socket,
    /// Rests until then.
    paused_until: Option<u64>,
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
    /// When the limits do not go with the memory: a lease holds a head, a collected body and a response
    /// ([`Limits::request_bytes`]), and scratch is as long as a head.
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
            limits.request_bytes() + RESPONSE_MINIMUM <= leases.size(),
            "a buffer must hold head_bytes, collect_bytes and a response"
        );
        assert!(
            scratch.len() >= usize::from(limits.head_bytes).max(SCRATCH_MINIMUM),
            "scratch memory must be as long as a head"
        );
        assert!(
            limits.turn_requests > 0 && limits.turn_bytes > 0 && limits.turn_accepts > 0,
            "a turn must allow some work"
        );
        let (now, unix_time) = (clock.monotonic(), clock.unix_time());
        let opening = opening(HttpDate(unix_time));
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
            opening,
            request_bytes: limits.request_bytes(),
            draining: false,
            leases_promised: false,
            throttle: Throttle::new(),
            turn_left: 0,
            share: 0,
            #[cfg(feature = "fault")]
            keeps_room: false,
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
            newcomers: Queue::EMPTY,
            run_queue: Queue::EMPTY,
            is_behind: false,
            lease_queue: Queue::EMPTY,
            has_paused_writers: false,
            has_paused_before: false,
            resume_hand: 0,
            resume_at: 0,
            wheel: Wheel::new(now),
            listeners: [const { None }; LISTENERS],
            events: EventList::new(),
            hand: 0,
            drain_until: None,
            stopped: false,
            #[cfg(feature = "fault")]
            is_general: false,
        }
    }

    /// Has no connection take the short cut that most requests can take: for tests that compare the two ways, which
    /// have to come to the same.
    #[cfg(feature = "fault")]
    pub fn go_the_general_way(&mut self) {
        self.is_general = true;
    }

    /// Has replies to repeated heads sent in the same pieces as others: for the same tests.
    #[cfg(feature = "fault")]
    pub fn keep_room(&mut self) {
        self.desk.keeps_room = true;
    }

    /// Accepts connections from `socket`, a non-blocking listening socket that the worker owns
    /// from now on. It is closed when the worker stops, and before that if it fails for good.
    ///
    /// # Errors
    /// What the channel answers; [`event::Error::NoRoom`] beyond [`LISTENERS`]. The socket is closed
    /// then.
    pub fn listen(&mut self, socket: Socket) -> Result<(), event::Error> {
        let place = self.listeners.iter().position(Option::is_none);
        let added = place.ok_or(event::Error::NoRoom).and_then(|index| {
            self.channel
                .add(socket, listener_token(index), Interest::READ)?;
            Ok(index)
        });
        match added {
            Ok(index) => {
                self.listeners[index] = Some(Listener {
                    socket,
                    paused_until: None,
                });
            }
            Err(_) => self.close_socket(socket),
        }
        added.map(drop)
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
        self.desk.begin_share();
        // What is queued from here on has had its share of this turn.
        let queued = self.run_queue.length;
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
        self.run_newcomers();
        self.run_queued(queued);
        self.expire();
        self.serve_lease_waiters();
        self.resume_listeners();
        self.resume_writers();
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

    #[cfg_attr(target_os = "rtems", inline(never))]
    fn tell_time(&mut self) {
        self.desk.now = self.clock.monotonic();
        let unix_time = self.clock.unix_time();
        if unix_time != self.desk.unix_time {
            self.desk.unix_time = unix_time;
            self.desk.opening = opening(HttpDate(unix_time));
        }
    }

    /// The earliest of the caller's deadline and the worker's own.
    #[cfg_attr(target_os = "rtems", inline(never))]
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
        if self.lease_queue.first != NO_SLOT {
            // Somebody may have been without progress for long enough by then.
            consider(eviction::RETRY_MS);
        }
        if let Deadline::After(caller) = until {
            consider(caller);
        }
        if self.has_paused_writers {
            consider(left(self.resume_at));
        }
        for listener in &self.listeners {
            if let Some(Listener {
                paused_until: Some(until),
                ..
            }) = listener
            {
                consider(left(*until));
            }
        }
        self.drain_until
            .map(left)
            .into_iter()
            .for_each(&mut consider);
        after.map_or(Deadline::Never, Deadline::After)
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
