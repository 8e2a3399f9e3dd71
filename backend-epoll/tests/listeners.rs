//! A listener that fails is closed, without a spin, and the others go on.

use capuchin_core::Slot;
use capuchin_core::acceptor::Acceptor;
use capuchin_core::event::{
    Deadline, Error as ChannelError, Event, EventChannel, EventList, Interest, Message, Notifier,
    Token,
};
use capuchin_core::http::fields::Field;
use capuchin_core::limits::Limits;
use capuchin_core::pool::{Arena, Leases};
use capuchin_core::route::Routed;
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::site::NoSite;
use capuchin_core::stats::Stats;
use capuchin_core::transport::{Error, Socket, Then, Transport};
use capuchin_epoll::{EpollChannel, EpollNotifier};
use capuchin_posix::{File, ListenOptions, PosixClock, PosixTransport, listen, local_address};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Long enough for a spin to show.
const WHILE: Duration = Duration::from_millis(100);

/// Waits within [`WHILE`] that are no spin.
const FEW: u32 = 20;

/// What the server under test did.
#[derive(Clone, Default)]
struct Record {
    waits: Arc<AtomicU32>,
    closed: Arc<Mutex<Vec<Socket>>>,
}

impl Record {
    fn closed(&self, socket: Socket) -> bool {
        self.closed.lock().expect("no panics").contains(&socket)
    }

    /// Waits until `socket` was closed, then looks whether the server is at rest.
    fn expect_closed_and_quiet(&self, socket: Socket) {
        for _ in 0..1_000 {
            if self.closed(socket) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(self.closed(socket), "the listener that failed");
        let before = self.waits.load(Relaxed);
        std::thread::sleep(WHILE);
        let waits = self.waits.load(Relaxed) - before;
        assert!(waits <= FEW, "{waits} waits");
    }
}

struct Recorded<T>(T, Record);

impl EventChannel for Recorded<EpollChannel> {
    type Notifier = EpollNotifier;

    fn add(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), ChannelError> {
        self.0.add(socket, token, interest)
    }
    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), ChannelError> {
        self.0.set_interest(socket, token, interest)
    }
    fn remove(&mut self, socket: Socket) -> Result<(), ChannelError> {
        self.0.remove(socket)
    }
    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), ChannelError> {
        self.1.waits.fetch_add(1, Relaxed);
        self.0.wait(events, until)
    }
    fn notifier(&self) -> EpollNotifier {
        self.0.notifier()
    }
}

impl Transport for Recorded<PosixTransport> {
    type File = File;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        self.0.accept(listener)
    }
    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.receive(socket, buffer)
    }
    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        self.0.send(socket, parts, then)
    }
    fn send_file(
        &mut self,
        socket: Socket,
        file: File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        self.0.send_file(socket, file, offset, length)
    }
    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        self.0.shutdown(socket)
    }
    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        self.1.closed.lock().expect("no panics").push(socket);
        self.0.close(socket)
    }
}

fn listener() -> (Socket, SocketAddr) {
    let address = "127.0.0.1:0".parse().expect("an address");
    let socket = listen(address, &ListenOptions::default()).expect("a free port");
    (socket, local_address(socket).expect("bound"))
}

/// What happens to a listener when somebody else has its descriptor and shuts it down.
fn fail(listener: Socket) {
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::shutdown(listener.0, libc::SHUT_RDWR) }, 0);
}

#[test]
fn acceptor_closes_a_listener_that_failed_and_accepts_from_the_others() {
    let record = Record::default();
    let ((broken, _), (whole, address)) = (listener(), listener());
    let mut worker = EpollChannel::new(16).expect("descriptors");
    let own = Recorded(EpollChannel::new(4).expect("descriptors"), record.clone());
    let (workers, stop) = ([worker.notifier()], own.notifier());
    let transport = Recorded(PosixTransport, record.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let stats = Stats::new();
            let (stats, mut handed) = ([&stats], [0]);
            let mut acceptor =
                Acceptor::new(own, transport, PosixClock, &workers, &stats, &mut handed);
            acceptor.listen(broken).expect("room");
            acceptor.listen(whole).expect("room");
            acceptor.run().expect("the channel works");
        });
        fail(broken);
        record.expect_closed_and_quiet(broken);
        let client = TcpStream::connect(address).expect("the other listens");
        let mut events = EventList::new();
        worker
            .wait(&mut events, Deadline::After(10_000))
            .expect("the channel works");
        let [Event::Message(Message::Adopt(socket))] = *events.as_slice() else {
            panic!("{events:?}");
        };
        PosixTransport.close(socket).expect("open");
        drop(client);
        stop.send(Message::Stop).expect("room");
    });
    assert!(record.closed(whole));
}

struct Slots(Vec<Slot>);

impl Arena<Slot> for Slots {
    fn as_slice(&self) -> &[Slot] {
        &self.0
    }
    fn as_mut_slice(&mut self) -> &mut [Slot] {
        &mut self.0
    }
    fn push(&mut self, slot: Slot) -> Result<(), Slot> {
        self.0.push(slot);
        Ok(())
    }
}

#[test]
fn worker_closes_a_listener_that_failed_and_serves_the_others() {
    let record = Record::default();
    let ((broken, _), (whole, address)) = (listener(), listener());
    let channel = Recorded(EpollChannel::new(4).expect("descriptors"), record.clone());
    let stop = channel.notifier();
    let transport = Recorded(PosixTransport, record.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut limits = Limits::DEFAULT;
            limits.connections = 8;
            limits.head_bytes = 1_024;
            limits.collect_bytes = 256;
            let (mut bytes, mut fields) = ([0; 4 * 2_048], [Field::EMPTY; 4 * 33]);
            let mut scratch = [0; 2_048];
            let stats = Stats::new();
            let mut worker = Worker::new(Parts {
                index: 0,
                channel,
                transport,
                clock: PosixClock,
                service: Routed::new(&[], &(), NoSite::default()),
                slots: Slots(Vec::with_capacity(8 + REFUSALS as usize)),
                leases: Leases::new(&mut bytes, &mut fields, 2_048, 33),
                scratch: &mut scratch,
                stats: &stats,
                limits,
            });
            worker.listen(broken).expect("room");
            worker.listen(whole).expect("room");
            worker.run().expect("the channel works");
        });
        fail(broken);
        record.expect_closed_and_quiet(broken);
        let mut client = TcpStream::connect(address).expect("the other listens");
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut reply = String::new();
        client.read_to_string(&mut reply).expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 404 "), "{reply}");
        stop.send(Message::Stop).expect("room");
    });
    assert!(record.closed(whole));
}
