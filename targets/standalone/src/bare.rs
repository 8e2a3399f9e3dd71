//! smoltcp's own loop on the same card with the fixture's buffers: what a download by Capuchin is compared
//! with. It answers whatever comes with a megabyte, and waits for the card's interrupt or smoltcp's next
//! deadline in between; with `--spin` on the command line it asks the card all the time.
//!
//! Only with the feature `bare`; never part of a server.

use crate::console::{self, say};
use crate::executive::clock;
use crate::interrupts;
use crate::panic::stop;
use crate::place::{ADDRESS, GATEWAY, PORT, PREFIX_LENGTH};
use capuchin_pc::card::{self, Card, Frames};
use capuchin_rtems::{Mail, Memory as QueueMemory, Patience, ticks_of};
use capuchin_stack::Card as _;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Cidr};

/// As the fixture's.
const RECEIVE_BYTES: usize = 2_048;
const SEND_BYTES: usize = 4_096;

/// One may wait while another ends.
const SOCKETS: usize = 2;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\nConnection: close\r\n\r\n";
const CONTENT_BYTES: usize = 1 << 20;

/// On the command line: do not wait.
const SPIN: &[u8] = b"--spin";

static QUEUE: QueueMemory<1, 1> = QueueMemory::new();
static mut FRAMES: Frames = Frames::new();
static mut RECEIVE: [[u8; RECEIVE_BYTES]; SOCKETS] = [[0; RECEIVE_BYTES]; SOCKETS];
static mut SEND: [[u8; SEND_BYTES]; SOCKETS] = [[0; SEND_BYTES]; SOCKETS];

/// The first task.
pub fn main(command_line: &[u8]) {
    console::start();
    say(format_args!(
        "this is no RTEMS: smoltcp on an executive of its own"
    ));
    clock::start();
    interrupts::start();
    // SAFETY: this is called once, and nobody else looks at these.
    let (frames, receive, send) = unsafe {
        (
            &mut *(&raw mut FRAMES),
            &mut *(&raw mut RECEIVE),
            &mut *(&raw mut SEND),
        )
    };
    let mut card = Card::find(frames).unwrap_or_else(|why| {
        say(format_args!("{why}"));
        stop();
    });
    let spin = command_line
        .split(u8::is_ascii_whitespace)
        .any(|word| word == SPIN);
    let mut mail = Mail::new(QUEUE.room(), 1).unwrap_or_else(|_| stop());
    if !spin {
        interrupts::handle(card.line(), card::interrupted);
        interrupts::unmask(card.line());
        card.knock_with(mail.knocker());
    }
    let mut config = Config::new(EthernetAddress(card.address()).into());
    config.random_seed = clock::seed();
    let mut interface = Interface::new(config, &mut card, now());
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(ADDRESS, PREFIX_LENGTH)));
    });
    let _ = interface.routes_mut().add_default_ipv4_route(GATEWAY);
    let mut storage = [SocketStorage::EMPTY; SOCKETS];
    let mut sockets = SocketSet::new(&mut storage[..]);
    let mut servers: [Server; SOCKETS] = core::array::from_fn(|_| Server::NEW);
    for ((server, receive), send) in servers.iter_mut().zip(receive).zip(send) {
        let mut socket = Socket::new(
            SocketBuffer::new(&mut receive[..]),
            SocketBuffer::new(&mut send[..]),
        );
        socket.set_nagle_enabled(false);
        server.handle = Some(sockets.add(socket));
    }
    say(format_args!(
        "serving on port 80 of {ADDRESS}, an address of the machine's own network"
    ));
    loop {
        interface.poll(now(), &mut card, &mut sockets);
        for server in &mut servers {
            if let Some(handle) = server.handle {
                server.work(sockets.get_mut(handle));
            }
        }
        let delay = interface.poll_delay(now(), &sockets);
        let delay = delay.map(|delay| delay.total_millis() as u32);
        if !spin && delay != Some(0) {
            let _ = mail.receive(delay.map_or(Patience::Endless, |delay| {
                Patience::Ticks(ticks_of(delay))
            }));
        }
    }
}

fn now() -> Instant {
    Instant::from_millis(clock::ticks() as i64 * 1_000 / i64::from(interrupts::TICKS_PER_SECOND))
}

/// A socket and what it has sent.
struct Server {
    handle: Option<SocketHandle>,
    sent: usize,
}

impl Server {
    const NEW: Self = Self {
        handle: None,
        sent: 0,
    };

    fn work(&mut self, socket: &mut Socket<'_>) {
        if matches!(socket.state(), State::Closed | State::TimeWait) {
            socket.abort();
            let _ = socket.listen(PORT);
            self.sent = 0;
        }
        if self.sent == 0 && !socket.can_recv() {
            return;
        }
        let _ = socket.recv(|bytes| (bytes.len(), ()));
        while socket.can_send() && self.sent < HEAD.len() + CONTENT_BYTES {
            let sent = self.sent;
            let taken = match HEAD.get(sent..).filter(|head| !head.is_empty()) {
                Some(head) => socket.send_slice(head),
                None => socket.send(|room| {
                    let left = HEAD.len() + CONTENT_BYTES - sent;
                    let length = room.len().min(left);
                    room[..length].fill(b'.');
                    (length, length)
                }),
            };
            self.sent += taken.unwrap_or(0);
        }
        if self.sent == HEAD.len() + CONTENT_BYTES {
            socket.close();
        }
    }
}
