//! Whole connections: bytes and events in, responses out.
//!
//! The input decides what several clients of one server with few buffers send, in which pieces, when they read, end
//! their side or reset the connection, which faults the network has, when events come and when time passes. Each
//! client must get the responses that each of its requests gets alone on a new server, byte for byte except `Date`.
//! Where a connection ends early, because its client resets it, a deadline passes or the server is stopped, they are
//! a beginning of these, or say why. At any time the server comes to rest, and at the end it has given everything
//! back and its counters are right.

mod alone;
mod input;
mod network;
mod requests;
mod server;
mod service;
#[path = "../../../../core/tests/sim/mod.rs"]
mod sim;

use alone::{COUNTED, Expected, VALUE, comparable};
use capuchin_core::event::{Message, Ticket};
use capuchin_core::limits::Limits;
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::Socket;
use input::Input;
use network::Network;
use server::{Server, Setup, serve};
use std::rc::Rc;

/// Connections of one input.
const CLIENTS: usize = 8;

/// Steps of one input: more of them show nothing new and take longer.
const STEPS: usize = 400;

/// Time after which a listener or a writer is tried again that the system had no memory for.
const PAUSE_MS: u64 = 300;

/// Time after which every deadline of [`setup`] has passed, and a drain is over.
const LONG_MS: u64 = 20_000;

struct Client {
    socket: Socket,
    /// What it is about to send.
    outgoing: Vec<u8>,
    sent: Vec<u8>,
    is_finished: bool,
    is_reset: bool,
}

/// What is expected besides responses.
#[derive(Default)]
struct Course {
    clients: Vec<Client>,
    /// Tickets that were completed.
    completed: Vec<Ticket>,
    /// Completions of requests that are over.
    stale: usize,
    is_drained: bool,
}

/// One input.
pub fn connection(data: &[u8]) {
    let input = Rc::new(Input::new(data));
    let setup = setup(&input);
    let network = Network::new(Some(input.clone()));
    serve(&setup, &network, |server| {
        let mut course = Course::default();
        for _ in 0..STEPS {
            let Some(what) = input.next() else { break };
            course.step(what, &input, server);
            assert!(server.stats.open() <= CLIENTS);
        }
        network.end_faults();
        course.end(&setup, server);
    });
}

fn setup(input: &Input) -> Setup {
    let mut limits = Limits::DEFAULT;
    limits.connections = input.of(&[32, 32, 32, 3]);
    limits.head_bytes = 1_024;
    limits.collect_bytes = 900;
    limits.drain_bytes = 4_000;
    limits.body_bytes = input.of(&[u64::MAX, 5_000]);
    limits.requests_per_connection = input.of(&[u32::MAX, u32::MAX, 3, 1]);
    limits.turn_requests = input.of(&[64, 1, 2, 64]);
    limits.turn_bytes = input.of(&[1 << 20, 64, 500, 5_000]);
    limits.idle_ms = 5_000;
    limits.write_ms = 3_000;
    limits.head_ms = 4_000;
    limits.first_byte_ms = 6_000;
    limits.handler_ms = 7_000;
    limits.body_ms = 4_500;
    Setup {
        buffers: input.of(&[1, 2, 3, 8]),
        buffer_bytes: limits.request_bytes() + input.of(&[1_024, 2_048]),
        observes: input.below(4) == 3,
        limits,
    }
}

impl Course {
    fn step(&mut self, what: u8, input: &Input, server: &mut Server<'_>) {
        let net = &server.network.net;
        if self.clients.is_empty() || (what % 32 < 2 && self.clients.len() < CLIENTS) {
            self.connect(input, server);
            return;
        }
        let count = self.clients.len();
        match what % 32 {
            0..=12 => {
                let at = input.below(count);
                let request = requests::request(input, at);
                let client = &mut self.clients[at];
                client.outgoing.extend(request);
                if what & 64 != 0 {
                    client.push(usize::MAX, server);
                }
            }
            13..=17 => {
                let length = input.of(&[1, 2, 5, 20, 50, 300, 1_000, usize::MAX]);
                self.clients[input.below(count)].push(length, server);
            }
            18 => {
                let bytes = input.take(1 + usize::from(what >> 5));
                self.clients[input.below(count)].outgoing.extend(bytes);
            }
            19 => {
                let outgoing = &mut self.clients[input.below(count)].outgoing;
                let at = input.below(256);
                let byte = input.of(b"\r\n :;/%0\0Gx1\xff");
                if let Some(place) = outgoing.get_mut(at) {
                    *place = byte;
                }
            }
            20..=22 => {
                let client = &self.clients[input.below(count)];
                let length = input.of(&[usize::MAX, 1, 100, 1_000]);
                let mut world = net.world();
                let pipe = world.pipes.get_mut(&client.socket.0).expect("connected");
                pipe.read = pipe.read.saturating_add(length).min(pipe.to_client.len());
            }
            23 => {
                let client = &mut self.clients[input.below(count)];
                if !client.is_reset && input.below(4) == 0 {
                    client.is_finished = true;
                    net.finish(client.socket);
                }
            }
            24 if input.below(8) == 0 => {
                let client = &mut self.clients[input.below(count)];
                client.is_reset = true;
                server.network.reset(client.socket);
            }
            24 => server.post(Message::Application(1)),
            25 | 30 => {
                // Of handlers, and of requests for content that is not at hand.
                let of = [&server.app.tickets, &*server.app.waiting];
                let tickets = &mut *of[usize::from(what % 32 == 30)].lock().unwrap();
                if !tickets.is_empty() {
                    let ticket = tickets.remove(input.below(tickets.len()));
                    self.completed.push(ticket);
                    let value = VALUE;
                    server.post(Message::Complete { ticket, value });
                }
            }
            26 | 29 => {
                let age = input.below(3);
                if let Some(&ticket) = self.completed.iter().rev().nth(age) {
                    self.stale += 1;
                    let value = VALUE + 1;
                    server.post(Message::Complete { ticket, value });
                }
            }
            27 if what & 192 == 192 => server.pass(input.of(&[100, 500, 1_000, 3_000])),
            28 if what == 28 && input.below(16) == 0 => {
                self.is_drained = true;
                server.post(Message::Drain);
            }
            _ => (0..=what >> 6).for_each(|_| server.turn()),
        }
    }

    fn connect(&mut self, input: &Input, server: &Server<'_>) {
        let net = &server.network.net;
        let socket = net.connect(input.of(&[1 << 20, 1, 300, 1_000, 4_000]));
        // Some come from an acceptor.
        if input.below(4) == 0 && server.is_running {
            net.world().backlog.pop_back();
            server.post(Message::Adopt(socket));
        }
        self.clients.push(Client {
            socket,
            outgoing: Vec::new(),
            sent: Vec::new(),
            is_finished: false,
            is_reset: false,
        });
    }

    /// Everything that was sent is answered and taken; then the clients end their side.
    fn end(&mut self, setup: &Setup, server: &mut Server<'_>) {
        rest(server);
        if self.is_undisturbed(server.stats) {
            let taken = server.stats.value(Counter::LeasesTaken);
            let returned = server.stats.value(Counter::LeasesReturned);
            let expected = self.expected(setup);
            // A request that is not whole may keep a buffer, for which others wait.
            if expected.iter().all(|expected| !expected.is_partial) {
                self.compare(&expected, server);
                assert_eq!(
                    taken,
                    returned,
                    "a connection between two requests keeps a buffer; sent: {:?}",
                    self.clients
                        .iter()
                        .map(|client| shortened(&client.sent))
                        .collect::<Vec<_>>()
                );
            }
        }
        for client in &mut self.clients {
            client.is_finished = true;
            server.network.net.finish(client.socket);
        }
        rest(server);
        if !self.is_undisturbed(server.stats) {
            server.pass(LONG_MS);
        }
        assert_eq!(server.stats.open(), 0, "a connection has no end");
        self.compare(&self.expected(setup), server);
    }

    fn expected(&self, setup: &Setup) -> Vec<Expected> {
        let of = |client: &Client| Expected::of(setup, &client.sent, client.is_finished);
        self.clients.iter().map(of).collect()
    }

    /// Whether nothing happened that may end a connection of which the client did nothing wrong.
    fn is_undisturbed(&self, stats: &Stats) -> bool {
        let ended = |counter: &Counter| {
            matches!(counter, Counter::TimedOut | Counter::Refused)
                || counter.name().starts_with("connections_evicted")
        };
        let mut counters = Counter::ALL.iter().filter(|counter| ended(counter));
        !self.is_drained && counters.all(|&counter| stats.value(counter) == 0)
    }

    fn compare(&self, expected: &[Expected], server: &Server<'_>) {
        let (net, stats) = (&server.network.net, server.stats);
        let is_undisturbed = self.is_undisturbed(stats);
        for (number, (client, expected)) in self.clients.iter().zip(expected).enumerate() {
            let got = comparable(&net.received(client.socket));
            // A response whose end only a reset can tell, if something is missing, may take earlier ones with it.
            let was_reset = expected.responses.iter().any(|alone| alone.was_reset);
            if !is_undisturbed || client.is_reset || was_reset {
                assert!(
                    expected.allows(&got),
                    "client {number} got what is no beginning of the right responses\n{}",
                    difference(client, expected, &got)
                );
                continue;
            }
            assert!(
                got == expected.bytes(),
                "client {number} did not get what its requests get alone\n{}",
                difference(client, expected, &got)
            );
            let has_ended = net.ended(client.socket);
            assert_eq!(
                has_ended,
                expected.ended,
                "the end of the connection of client {number}\n{}",
                difference(client, expected, &got)
            );
            assert!(
                !net.was_reset(client.socket) || expected.unused > 0,
                "client {number} may lose responses to a reset\n{}",
                difference(client, expected, &got)
            );
        }
        if is_undisturbed && self.clients.iter().all(|client| !client.is_reset) {
            for (at, counter) in COUNTED.into_iter().enumerate() {
                let alone = expected.iter().flat_map(|expected| &expected.responses);
                let sum: usize = alone.map(|alone| alone.counted[at]).sum();
                assert_eq!(stats.value(counter), sum, "{}", counter.name());
            }
            assert_eq!(stats.value(Counter::StaleTickets), self.stale);
            assert_eq!(stats.value(Counter::Reset), 0);
        }
    }
}

impl Client {
    /// Sends what is about to be sent, up to `length` bytes.
    fn push(&mut self, length: usize, server: &Server<'_>) {
        if self.is_finished || self.is_reset {
            return;
        }
        let length = length.min(self.outgoing.len());
        let bytes: Vec<u8> = self.outgoing.drain(..length).collect();
        server.network.net.send(self.socket, &bytes);
        self.sent.extend(bytes);
    }
}

/// All that can be done now is done. Sockets that were of no use when they were tried last are tried again after a
/// pause, which is shorter than any deadline.
fn rest(server: &mut Server<'_>) {
    server.settle(VALUE);
    server.pass(PAUSE_MS);
    server.settle(VALUE);
}

/// Where what a client got begins to differ.
fn difference(client: &Client, expected: &Expected, got: &[u8]) -> String {
    let right = expected.bytes();
    let pairs = got.iter().zip(&right);
    let at = pairs.take_while(|(a, b)| a == b).count();
    let part = |bytes: &[u8]| {
        let end = bytes.len().min(at + 200);
        String::from_utf8_lossy(&bytes[at.saturating_sub(300)..end]).into_owned()
    };
    format!(
        "at byte {at}\ngot {} bytes: {:?}\nexpected {} bytes: {:?}\nexpected end: {}, partial: {}\nsent: {:?}",
        got.len(),
        part(got),
        right.len(),
        part(&right),
        expected.ended,
        expected.is_partial,
        shortened(&client.sent)
    )
}

/// Text of `bytes` in which a byte that is repeated often is shown once.
fn shortened(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|a, b| a == b).map(|run| match run {
        [byte, ..] if run.len() > 8 => format!("{}*{}", char::from(*byte), run.len()),
        _ => String::from_utf8_lossy(run).into_owned(),
    });
    runs.collect()
}
