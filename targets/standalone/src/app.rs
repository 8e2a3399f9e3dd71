//! The application: a page and what it shows.

use crate::console::{self, say};
use crate::executive::clock;
use crate::interrupts;
use crate::panic::stop;
use capuchin_core::Slot;
use capuchin_core::http::fields::Field;
use capuchin_core::http::method::Method;
use capuchin_core::http::status::Status;
use capuchin_core::limits::Limits;
use capuchin_core::pool::Leases;
use capuchin_core::reply::{Next, Reply};
use capuchin_core::route::{Context, Route, Routed};
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::service::Request;
use capuchin_core::stats::Stats;
use capuchin_core::table::{Entry, Table};
use capuchin_pc::card::{self, Card, Frames};
use capuchin_rtems::{Mail, Memory as QueueMemory, TickClock};
use capuchin_stack::{Address, Memory, Net, StackChannel, StackTransport};
use core::cell::RefCell;
use smoltcp::wire::{Ipv4Address, Ipv4Cidr};

/// Where QEMU's user network has its guest, and the way out of it.
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const PORT: u16 = 80;

const CONNECTIONS: usize = 32;
/// As many as may come at once: one that is not heard asks again after seconds only.
const BACKLOG: usize = 16;
/// Some more than connections: of each that was closed a socket is kept until its client knows.
const SOCKETS: usize = CONNECTIONS + 8;
const RECEIVE_BYTES: usize = 1_024;
const SEND_BYTES: usize = 1_460;
const LEASES: usize = 4;
const LEASE_BYTES: usize = 2_048;
const ROWS: usize = 32;
const MESSAGES: usize = 8;
const SLOTS: usize = CONNECTIONS + REFUSALS as usize;

static QUEUE: QueueMemory<1, MESSAGES> = QueueMemory::new();
static STATS: Stats = Stats::new();
static mut STACK: Memory<SOCKETS, RECEIVE_BYTES, SEND_BYTES> = Memory::new();
static mut FRAMES: Frames = Frames::new();
static mut SLOTS_MEMORY: heapless::Vec<Slot, SLOTS> = heapless::Vec::new();
static mut BYTES: [u8; LEASES * LEASE_BYTES] = [0; LEASES * LEASE_BYTES];
static mut FIELDS: [Field; LEASES * ROWS] = [Field::EMPTY; LEASES * ROWS];
static mut SCRATCH: [u8; LEASE_BYTES / 2] = [0; LEASE_BYTES / 2];

const PAGES: &[Entry] = &[Entry::new("/", "text/html", include_bytes!("../page.html"))];

fn hello(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("hello, world\n")
}

fn state(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply
        .status(Status::OK)
        .field("Content-Type", b"text/plain")
        .field("Cache-Control", b"no-store")
        .body_with(|out| {
            writeln!(out, "uptime_ms {}", clock::uptime_ms())?;
            writeln!(out, "memory_bytes {}", memory_bytes())?;
            STATS.snapshot().write_text(out)
        })
}

unsafe extern "C" {
    /// The end of the image in memory; see `link.ld`.
    static image_end: u8;
}

/// Bytes of code, data and all else that the image has in memory: it takes no more.
fn memory_bytes() -> usize {
    &raw const image_end as usize - IMAGE_BEGIN
}

/// Where the image lies; see `link.ld`.
const IMAGE_BEGIN: usize = 1 << 20;

static ROUTES: [Route<'static, ()>; 2] = [
    Route::new(Method::Get, "/hello", &hello),
    Route::new(Method::Get, "/state", &state),
];

/// On the command line: panic at once, so that a test sees what that looks like.
const PANIC: &[u8] = b"--panic";

/// The first task. `command_line` is the loader's.
pub fn main(command_line: &[u8]) {
    console::start();
    say(format_args!(
        "this is no RTEMS: Capuchin on an executive of its own"
    ));
    assert!(
        !command_line
            .split(u8::is_ascii_whitespace)
            .any(|word| word == PANIC),
        "the command line asks for it"
    );
    clock::start();
    interrupts::start();
    #[cfg(feature = "conformance")]
    crate::examine::examine();
    if let Err(why) = serve() {
        say(format_args!("{why}"));
        stop();
    }
    say(format_args!("stopped"));
}

fn serve() -> Result<(), &'static str> {
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
        Address::Static(Ipv4Cidr::new(ADDRESS, 24), Some(GATEWAY)),
        clock::seed(),
        0,
    ));
    let listener = net
        .borrow_mut()
        .listen(PORT, BACKLOG)
        .map_err(|_| "no listener")?;
    let mail = Mail::new(QUEUE.room(), MESSAGES).map_err(|_| "no message queue")?;
    let channel = StackChannel::new(&net, mail);
    let knocker = channel.knocker().ok_or("no cell for the card")?;
    net.borrow_mut().device().knock_with(knocker);
    let mut limits = Limits::DEFAULT;
    limits.connections = CONNECTIONS as u32;
    limits.head_bytes = (LEASE_BYTES / 2) as u16;
    let mut worker = Worker::new(Parts {
        index: 0,
        channel,
        transport: StackTransport::new(&net),
        clock: TickClock::new(),
        service: Routed::new(&ROUTES, &(), Table::new(PAGES)),
        slots,
        leases: Leases::new(bytes, fields, LEASE_BYTES, ROWS),
        scratch,
        stats: &STATS,
        limits,
    });
    worker
        .listen(listener)
        .map_err(|_| "the listener cannot be watched")?;
    say(format_args!("serving at http://{ADDRESS}/"));
    worker.run().map_err(|_| "the event channel broke")
}
