//! A server in memory.

use super::network::Network;
use super::service::Checked;
use super::sim::LISTENER;
use super::sim::rig::{App, ROUTES, SimSite};
use capuchin_core::Slot;
use capuchin_core::event::{Deadline, Message};
use capuchin_core::http::fields::Field;
use capuchin_core::limits::Limits;
use capuchin_core::pool::Leases;
use capuchin_core::route::Routed;
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::Socket;

/// Entries of each buffer's table: one for the request line, the others for fields.
pub(super) const ROWS: usize = 32;

/// Turns after which a server that still does something never comes to rest. What one input makes takes far fewer.
const TURNS: usize = 200_000;

/// Turns without any progress after which none is expected.
const QUIET_TURNS: usize = 4;

/// What the input decides about a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) buffers: usize,
    pub(super) buffer_bytes: usize,
    pub(super) observes: bool,
    pub(super) limits: Limits,
}

/// A running server.
pub(super) struct Server<'s> {
    turn: &'s mut dyn FnMut() -> bool,
    pub(super) network: &'s Network,
    pub(super) app: &'s App,
    pub(super) stats: &'s Stats,
    pub(super) is_running: bool,
}

impl Server<'_> {
    pub(super) fn turn(&mut self) {
        if self.is_running {
            self.is_running = (self.turn)();
        }
    }

    pub(super) fn post(&self, message: Message) {
        self.network.net.world().messages.push_back(message);
    }

    /// Lets time pass as it would: the worker is woken in between.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds.div_ceil(100) {
            self.network.net.world().now += 100;
            self.turn();
            self.turn();
        }
    }

    /// Goes on until nothing happens any more. Clients take everything, and deferred responses are completed with
    /// `value`.
    pub(super) fn settle(&mut self, value: u64) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            let before = progress(self.stats);
            for pipe in self.network.net.world().pipes.values_mut() {
                pipe.read = pipe.to_client.len();
                pipe.window = 1 << 20;
            }
            let mut tickets = std::mem::take(&mut *self.app.tickets.lock().unwrap());
            tickets.append(&mut self.app.waiting.lock().unwrap());
            for ticket in tickets {
                self.post(Message::Complete { ticket, value });
            }
            self.turn();
            quiet = match before == progress(self.stats) {
                true => quiet + 1,
                false => 0,
            };
            if quiet == QUIET_TURNS || !self.is_running {
                return;
            }
        }
        let before = progress(self.stats);
        self.turn();
        let (after, counters) = (progress(self.stats), counters());
        let pairs = counters.zip(before.iter().zip(&after));
        let changed = pairs.filter(|(_, (before, after))| before != after);
        let names: Vec<&str> = changed.map(|(counter, _)| counter.name()).collect();
        panic!("the server does not come to rest: {names:?} go on");
    }
}

fn progress(stats: &Stats) -> Vec<usize> {
    counters().map(|counter| stats.value(counter)).collect()
}

/// All counters that change when something happens. Events that lead to nothing change them, too: a server that is
/// woken for nothing again and again is not at rest.
fn counters() -> impl Iterator<Item = Counter> {
    let all = Counter::ALL.iter().copied();
    all.filter(|&counter| counter != Counter::Turns)
}

/// Runs `test` on a new server, stops the server, and checks that it has given everything back.
pub(super) fn serve(setup: &Setup, network: &Network, test: impl FnOnce(&mut Server<'_>)) {
    let (app, stats) = (App::default(), Stats::new());
    let mut slots: heapless::Vec<Slot, { 64 + REFUSALS as usize }> = heapless::Vec::new();
    // Nothing that is left in a buffer may be taken for something that was received.
    let mut bytes = vec![0xa5; setup.buffers * setup.buffer_bytes];
    let mut fields = vec![Field::default(); setup.buffers * ROWS];
    let mut scratch = vec![0; setup.buffer_bytes];
    let mut worker = Worker::new(Parts {
        index: 0,
        channel: network.clone(),
        transport: network.clone(),
        clock: network.net.clone(),
        service: Checked::new(Routed::new(ROUTES, &app, SimSite::of(&app)), setup.observes),
        slots: &mut slots,
        leases: Leases::new(&mut bytes, &mut fields, setup.buffer_bytes, ROWS),
        scratch: &mut scratch,
        stats: &stats,
        limits: setup.limits,
    });
    worker.listen(LISTENER).expect("room for one listener");
    let mut turn = || worker.turn(Deadline::Now).expect("the channel works");
    let mut server = Server {
        turn: &mut turn,
        network,
        app: &app,
        stats: &stats,
        is_running: true,
    };
    test(&mut server);
    server.post(Message::Stop);
    server.turn();
    server.turn();
    assert!(!server.is_running, "stopped");

    assert_eq!(stats.open(), 0, "every connection was closed");
    assert_eq!(
        stats.value(Counter::LeasesTaken),
        stats.value(Counter::LeasesReturned),
        "every buffer came back"
    );
    let site = worker.service().inner.site();
    assert!(site.holds_nothing(), "all content was released");
    drop(worker);
    let world = network.net.world();
    for (&socket, pipe) in &world.pipes {
        // What was never accepted is not the server's.
        let is_waiting = world.backlog.contains(&Socket(socket));
        assert!(pipe.closed || is_waiting, "every socket was closed");
    }
    let sent: usize = world.pipes.values().map(|pipe| pipe.to_client.len()).sum();
    assert_eq!(stats.value(Counter::BytesSent), sent);
    assert_eq!(stats.value(Counter::BytesReceived), network.received());
}
