//! The machine at the other end of the wire: clients, on a stack that a thread of its own works for.

use crate::wire::Card;
use capuchin_core::transport::Socket;
use capuchin_stack::{Address, Memory, Net, StackTransport};
use smoltcp::wire::{Ipv4Address, Ipv4Cidr};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Sockets of each machine: more than twice what a case has open, for many are closed and not gone.
const SOCKETS: usize = 200;
/// Small, so that a test fills them soon.
const BYTES: usize = 4_096;

/// The server's address and its clients'.
pub const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const CLIENT: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);

/// A stack at this address.
pub fn net(card: Card, address: Ipv4Address, now: u64) -> Net<Card> {
    let memory: &'static mut _ = Box::leak(Box::new(Memory::<SOCKETS, BYTES, BYTES>::new()));
    let hardware = [2, 0, 0, 0, 0, address.octets()[3]];
    Net::new(
        memory.room(),
        card,
        hardware,
        Address::Static(Ipv4Cidr::new(address, 24), None),
        1,
        now,
    )
}

struct Inner {
    net: Mutex<RefCell<Net<Card>>>,
    /// Something came, or something is to be sent.
    rung: Mutex<bool>,
    ring: Condvar,
    begin: Instant,
    port: AtomicU16,
}

/// The machine; its thread ends with the process.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

impl Machine {
    pub fn start(card: Card) -> Self {
        let inner = Arc::new(Inner {
            net: Mutex::new(RefCell::new(net(card, CLIENT, 0))),
            rung: Mutex::new(false),
            ring: Condvar::new(),
            begin: Instant::now(),
            port: AtomicU16::new(40_000),
        });
        let machine = Self(inner);
        let bell = machine.clone();
        let interrupt = move || bell.ring();
        machine.net().borrow_mut().device().on_interrupt(interrupt);
        let worker = machine.clone();
        thread::spawn(move || worker.work());
        machine
    }

    fn net(&self) -> MutexGuard<'_, RefCell<Net<Card>>> {
        self.0.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.0.begin.elapsed().as_millis() as u64
    }

    fn ring(&self) {
        *self.0.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.ring.notify_one();
    }

    fn work(&self) {
        loop {
            let delay = {
                let net = self.net();
                let mut net = net.borrow_mut();
                net.poll(self.now());
                net.delay(self.now()).unwrap_or(1_000)
            };
            let rung = self.0.rung.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                self.0
                    .ring
                    .wait_timeout_while(rung, Duration::from_millis(delay), |rung| !*rung);
            *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
    }

    /// Does something with the clients' sockets.
    pub fn with<T>(&self, act: impl FnOnce(&mut StackTransport<'_, Card>) -> T) -> T {
        let net = self.net();
        let result = act(&mut StackTransport::new(&net));
        // What was sent is on the wire when this returns.
        net.borrow_mut().poll(self.now());
        drop(net);
        self.ring();
        result
    }

    /// A client that is being connected to a port of the server.
    pub fn connect(&self, port: u16) -> Option<Socket> {
        let from = self.0.port.fetch_add(1, Ordering::Relaxed);
        let socket = self.net().borrow_mut().connect((SERVER, port), from);
        self.ring();
        socket
    }

    pub fn is_connected(&self, client: Socket) -> bool {
        self.net().borrow_mut().is_connected(client)
    }
}
