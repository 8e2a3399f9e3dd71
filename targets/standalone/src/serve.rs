//! From power-on to a server that runs: what every image does, whatever its application.
//!
//! An application is a module `app` with [`sizes`], a function that is called once all that has to
//! run does, and that ends in [`run`] with its limits and its service. Memory is here, and static.

use crate::app::{self, sizes::*};
use crate::console::{self, say};
use crate::executive::clock;
use crate::interrupts;
use crate::panic::stop;
use crate::place::{ADDRESS, GATEWAY, PORT, PREFIX_LENGTH};
use capuchin_core::Slot;
use capuchin_core::http::fields::Field;
use capuchin_core::limits::Limits;
use capuchin_core::pool::Leases;
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::service::Service;
use capuchin_core::stats::Stats;
use capuchin_pc::card::{self, Card, Frames};
use capuchin_rtems::{Mail, Memory as QueueMemory, RtemsNotifier, TickClock};
use capuchin_stack::{Address, Memory, Net, NoFile, StackChannel, StackTransport};
use core::cell::RefCell;
use smoltcp::wire::Ipv4Cidr;

/// As many as may come at once: one that is not heard asks again after seconds only.
const BACKLOG: usize = 16;

const SLOTS: usize = CONNECTIONS + REFUSALS as usize;

/// The worker's counters.
pub static STATS: Stats = Stats::new();

static QUEUE: QueueMemory<1, MESSAGES> = QueueMemory::new();
static mut STACK: Memory<SOCKETS, RECEIVE_BYTES, SEND_BYTES> = Memory::new();
static mut FRAMES: Frames = Frames::new();
static mut SLOTS_MEMORY: heapless::Vec<Slot, SLOTS> = heapless::Vec::new();
static mut BYTES: [u8; LEASES * LEASE_BYTES] = [0; LEASES * LEASE_BYTES];
static mut FIELDS: [Field; LEASES * ROWS] = [Field::EMPTY; LEASES * ROWS];
static mut SCRATCH: [u8; HEAD_BYTES] = [0; HEAD_BYTES];

/// The first task. `command_line` is the loader's.
pub fn main(command_line: &[u8]) {
    console::start();
    say(format_args!(
        "this is no RTEMS: Capuchin on an executive of its own"
    ));
    clock::start();
    interrupts::start();
    #[cfg(feature = "conformance")]
    crate::examine::examine();
    if let Err(why) = app::serve(command_line) {
        say(format_args!("{why}"));
        stop();
    }
    say(format_args!("stopped"));
}

/// The address that QEMU's user network expects of its first guest.
pub const STATIC: Address =
    Address::Static(Ipv4Cidr::new(ADDRESS, PREFIX_LENGTH), Some(GATEWAY));

fn say_address(address: Option<Ipv4Cidr>) {
    match address {
        Some(address) => say(format_args!(
            "serving on port 80 of {}, an address of the machine's own network",
            address.address()
        )),
        None => say(format_args!("no address yet")),
    }
}

/// The limits that the memory sets; all others are the engine's.
pub fn limits() -> Limits {
    let mut limits = Limits::DEFAULT;
    limits.connections = CONNECTIONS as u32;
    limits.head_bytes = HEAD_BYTES as u16;
    limits.collect_bytes = COLLECT_BYTES as u16;
    limits
}

/// Serves until it is told to stop, with `leases` buffers. `make` makes the service once, and is told how
/// other tasks reach the worker.
pub fn run<S: Service<File = NoFile>>(
    address: Address,
    limits: Limits,
    leases: usize,
    make: impl FnOnce(RtemsNotifier) -> Result<S, &'static str>,
) -> Result<(), &'static str> {
    // SAFETY: this is called once, and nobody else looks at these.
    let (stack, frames, slots, bytes, fields, scratch) = unsafe {
        (
            &mut *(&raw mut STACK),
            &mut *(&raw mut FRAMES),
            &mut *(&raw mut SLOTS_MEMORY),
            &mut *(&raw mut BYTES),
            &mut *(&raw mut FIELDS),
            &mut *(&raw mut SCRATCH),
        )
    };
    let card = Card::find(frames).map_err(|why| {
        say(format_args!("{why}"));
        "there is no network"
    })?;
    let line = card.line();
    interrupts::handle(line, card::interrupted);
    interrupts::unmask(line);
    let hardware = card.address();
    let net = RefCell::new(Net::new(
        stack.room(),
        card,
        hardware,
        address,
        clock::seed(),
        0,
    ));
    let listener = net
        .borrow_mut()
        .listen(PORT, BACKLOG)
        .map_err(|_| "no listener")?;
    let mail = Mail::new(QUEUE.room(), MESSAGES).map_err(|_| "no message queue")?;
    let service = make(mail.notifier())?;
    let channel = StackChannel::new(&net, mail).map_err(|_| "no cell for the card")?;
    let bytes = &mut bytes[..leases * LEASE_BYTES];
    let mut worker = Worker::new(Parts {
        index: 0,
        channel,
        transport: StackTransport::new(&net),
        clock: TickClock::new(),
        service,
        slots,
        leases: Leases::new(bytes, fields, LEASE_BYTES, ROWS),
        scratch,
        stats: &STATS,
        limits,
    });
    worker
        .listen(listener)
        .map_err(|_| "the listener cannot be watched")?;
    net.borrow_mut().tell_address(say_address);
    worker.run().map_err(|_| "the event channel broke")
}
