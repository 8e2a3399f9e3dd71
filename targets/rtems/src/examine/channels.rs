//! The suite of event channels: a lab of sockets that talk to each other in the image.

use super::Verdict;
use crate::console::say;
use crate::way::{Channel, TransportOfTwo, channel, transport_of_two};
use capuchin_core::conformance::{Aide, Lab, run};
use capuchin_core::transport::{Clock, Error, Socket, Then, Transport};
use capuchin_posix::{ListenOptions, PosixTransport, listen, local_address};
use capuchin_rtems::task::{self, Task};
use capuchin_rtems::{Memory, Room, TickClock};
use core::ffi::c_int;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};

/// `CONFIGURE_MAXIMUM_FILE_DESCRIPTORS` of the image.
const DESCRIPTORS: usize = if cfg!(feature = "libbsd") { 320 } else { 256 };
const MESSAGES: usize = 1_024;
const PAIRS: usize = 70;
/// Small, so that a socket is soon full; but libbsd's loopback has segments of 16 KB, and its TCP
/// rests for seconds over a window that is smaller than two of them.
const SOCKET_BUFFER_BYTES: c_int = if cfg!(feature = "libbsd") {
    64 << 10
} else {
    4 << 10
};
/// Tasks of a storm.
const HELPERS: usize = 8;
const HELPER_STACK_BYTES: usize = 16 << 10;

static FIRST: Memory<DESCRIPTORS, MESSAGES> = Memory::new();
static SECOND: Memory<DESCRIPTORS, MESSAGES> = Memory::new();

struct ImageLab {
    rooms: [Room; 2],
    transport: TransportOfTwo,
    clock: TickClock,
    open: heapless::Vec<Socket, DESCRIPTORS>,
}

fn set<T>(socket: Socket, name: c_int, value: &T) {
    // SAFETY: the value lives through the call and has the length that is passed.
    unsafe {
        libc::setsockopt(
            socket.0,
            libc::SOL_SOCKET,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
}

impl ImageLab {
    fn own(&mut self, socket: Socket) -> Option<Socket> {
        self.open.push(socket).ok()?;
        Some(socket)
    }
}

impl Lab for ImageLab {
    type Channel = Channel;
    const PAIRS: usize = PAIRS;
    const LONG_QUEUE: usize = MESSAGES;
    const IMPATIENCE: u32 = 50;

    fn channel(&mut self, messages: usize) -> Option<Channel> {
        self.rooms
            .iter()
            .find_map(|&room| channel(room, messages).ok())
    }

    fn pair(&mut self) -> Option<(Socket, Socket)> {
        let listener = self.listener()?;
        set(listener, libc::SO_SNDBUF, &SOCKET_BUFFER_BYTES);
        set(listener, libc::SO_RCVBUF, &SOCKET_BUFFER_BYTES);
        let client = self.connect(listener)?;
        let accepted = (0..1_000).find_map(|_| {
            let accepted = self.accept(listener).ok();
            if accepted.is_none() {
                task::wake_after(1);
            }
            accepted
        })?;
        self.close(listener);
        Some((accepted, client))
    }

    fn listener(&mut self) -> Option<Socket> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = listen(address, &ListenOptions::default()).ok()?;
        self.own(socket)
    }

    fn connect(&mut self, listener: Socket) -> Option<Socket> {
        let socket = capuchin_posix::connect(local_address(listener)?).ok()?;
        set(socket, libc::SO_SNDBUF, &SOCKET_BUFFER_BYTES);
        set(socket, libc::SO_RCVBUF, &SOCKET_BUFFER_BYTES);
        self.own(socket)
    }

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        let socket = self.transport.accept(listener)?;
        self.own(socket).ok_or(Error::Exhausted)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.transport.receive(socket, buffer)
    }

    fn send(&mut self, socket: Socket, bytes: &[u8]) -> Result<usize, Error> {
        self.transport.send(socket, &[bytes], Then::Nothing)
    }

    fn half_close(&mut self, socket: Socket) {
        if self.transport.shutdown(socket).is_err() {
            say(format_args!("a socket cannot be half closed"));
        }
    }

    fn close(&mut self, socket: Socket) {
        if let Some(at) = self.open.iter().position(|&open| open == socket) {
            self.open.swap_remove(at);
        }
        if let Err(error) = self.transport.close(socket) {
            say(format_args!("a socket does not close: {error}"));
        }
    }

    fn reset(&mut self, socket: Socket) {
        self.transport.abort(socket);
        self.close(socket);
    }

    fn now(&mut self) -> u64 {
        self.clock.monotonic()
    }

    fn together(
        &mut self,
        count: usize,
        work: &(dyn Fn(usize, &dyn Aide) + Sync),
        meanwhile: &mut dyn FnMut(&mut Self),
    ) {
        let running = AtomicU32::new(0);
        let jobs: [Job<'_>; HELPERS] = core::array::from_fn(|number| Job {
            work,
            number,
            running: &running,
        });
        for job in jobs.iter().take(count) {
            running.fetch_add(1, Ordering::SeqCst);
            let helper = Task {
                name: *b"CPH ",
                priority: None,
                stack_bytes: HELPER_STACK_BYTES,
            };
            // SAFETY: the task takes a job, which lives until none runs any more.
            if let Err(code) = unsafe { helper.start(help, &raw const *job as usize) } {
                say(format_args!("a task cannot be had: {code:?}"));
                running.fetch_sub(1, Ordering::SeqCst);
            }
        }
        meanwhile(self);
        while running.load(Ordering::SeqCst) > 0 {
            task::wake_after(1);
        }
    }

    fn tidy(&mut self) {
        while let Some(socket) = self.open.last().copied() {
            self.close(socket);
        }
    }
}

/// What a helper does.
struct Job<'j> {
    work: &'j (dyn Fn(usize, &dyn Aide) + Sync),
    number: usize,
    running: &'j AtomicU32,
}

unsafe extern "C" fn help(argument: usize) {
    // SAFETY: `together` passed a job that lives until it hears that this task is done with it.
    let job = unsafe { &*(argument as *const Job<'_>) };
    (job.work)(job.number, &Helper);
    job.running.fetch_sub(1, Ordering::SeqCst);
    task::exit()
}

struct Helper;

impl Aide for Helper {
    fn nap(&self, milliseconds: u32) {
        let mut clock = TickClock::new();
        let begin = clock.monotonic();
        loop {
            task::wake_after(u32::from(milliseconds > 0));
            if clock.monotonic() - begin >= u64::from(milliseconds) {
                return;
            }
        }
    }

    fn poke(&self, socket: Socket) {
        let _ = PosixTransport.send(socket, &[b"p"], Then::Nothing);
    }

    /// RTEMS has no signals that interrupt directives.
    fn interrupt(&self) -> bool {
        false
    }
}

/// Runs it; what it is built on comes first.
pub(super) fn examine(verdict: &mut Verdict) {
    let rooms = [FIRST.room(), SECOND.room()];
    let mut lab = ImageLab {
        rooms,
        transport: transport_of_two(rooms),
        clock: TickClock::new(),
        open: heapless::Vec::new(),
    };
    #[cfg(all(target_os = "rtems", feature = "kqueue"))]
    facts(&mut lab, verdict);
    lab.tidy();
    run(&mut lab, &mut |name, outcome| verdict.tell(name, outcome));
}

/// What the way to wait is built on.
#[cfg(all(target_os = "rtems", feature = "kqueue"))]
fn facts(lab: &mut ImageLab, verdict: &mut Verdict) {
    use crate::facts;

    verdict.tell(
        "facts::kqueue_refuses_a_pipe_and_takes_a_socketpair",
        facts::kqueue_refuses_a_pipe_and_takes_a_socketpair(),
    );
    verdict.tell(
        "facts::bell_that_a_close_has_hit_is_heard",
        facts::bell_that_a_close_has_hit_is_heard(lab),
    );
    verdict.tell(
        "facts::bell_that_a_close_hits_while_it_rings_is_heard",
        facts::bell_that_a_close_hits_while_it_rings_is_heard(lab),
    );
    let heard = match lab.pair() {
        Some(pair) => facts::socket_that_a_close_has_hit_is_heard(lab, pair),
        None => Err(facts::missing("the lab makes sockets")),
    };
    verdict.tell("facts::socket_that_a_close_has_hit_is_heard", heard);
    verdict.tell(
        "facts::message_wakes_a_channel_that_comes_after_an_unread_one",
        facts::message_wakes_a_channel_that_comes_after_an_unread_one(lab),
    );
    let closing = match (lab.channel(1), lab.pair()) {
        (Some(mut channel), Some(pair)) => {
            lab.open.retain(|&open| open != pair.0);
            facts::watched_socket_closes_and_its_peer_hears_of_it(
                &mut channel,
                &mut lab.transport,
                pair,
            )
        }
        _ => Err(facts::missing("the lab makes a channel and sockets")),
    };
    verdict.tell(
        "facts::watched_socket_closes_and_its_peer_hears_of_it",
        closing,
    );
    lab.tidy();
}
