//! Sockets of the stack where there are few: who waits, who is refused, and which are taken back.

#[path = "conformance/machine.rs"]
mod machine;
#[path = "conformance/wire.rs"]
mod wire;

use capuchin_core::transport::{Error, Socket, Transport};
use capuchin_stack::{Memory, Net, NetError, StackTransport};
use machine::{Machine, SERVER};
use smoltcp::wire::Ipv4Cidr;
use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};
use wire::Card;

const PORT: u16 = 80;

/// Sockets of the server.
const SOCKETS: usize = 6;

/// A client asks again after a second, and after two more.
const PATIENCE: Duration = Duration::from_secs(8);

struct Server {
    net: RefCell<Net<Card>>,
    begin: Instant,
}

impl Server {
    /// A server with few sockets, and its clients.
    fn start() -> (Self, Machine) {
        let (card, other) = wire::cards();
        let memory: &'static mut _ = Box::leak(Box::new(Memory::<SOCKETS, 512, 512>::new()));
        let address = Ipv4Cidr::new(SERVER, 24);
        let server = Self {
            net: RefCell::new(Net::new(
                memory,
                card,
                [2, 0, 0, 0, 0, 9],
                address,
                None,
                1,
                0,
            )),
            begin: Instant::now(),
        };
        (server, Machine::start(other))
    }

    fn listen(&self, port: u16, backlog: usize) -> Result<Socket, NetError> {
        self.net.borrow_mut().listen(port, backlog)
    }

    fn transport(&self) -> StackTransport<'_, Card> {
        StackTransport::new(&self.net)
    }

    /// Works until `done`, for so long at the most; whether it was.
    fn until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            let now = self.begin.elapsed().as_millis() as u64;
            self.net.borrow_mut().poll(now);
            if done() {
                return true;
            }
            thread::sleep(Duration::from_micros(200));
        }
        false
    }

    /// The next connection.
    fn accept(&self, listener: Socket) -> Socket {
        let mut accepted = None;
        let came = self.until(PATIENCE, || {
            accepted = self.transport().accept(listener).ok();
            accepted.is_some()
        });
        assert!(came, "a connection comes");
        accepted.unwrap_or(Socket(-1))
    }
}

#[test]
fn port_without_listener_refuses_at_once() {
    let (server, clients) = Server::start();
    server.listen(PORT, 1).unwrap();
    let client = clients.connect(PORT + 1).unwrap();
    let is_over = || {
        clients.with(|transport| transport.receive(client, &mut [0])) == Err(Error::Disconnected)
    };
    // A client's stack that waits for an answer has no end to tell of.
    assert!(server.until(PATIENCE, is_over));
    assert!(!clients.is_connected(client));
}

#[test]
fn newcomer_for_whom_no_socket_waits_is_not_refused_and_has_its_turn() {
    let (server, clients) = Server::start();
    let listener = server.listen(PORT, 2).unwrap();
    let waiting: Vec<_> = (0..3).map(|_| clients.connect(PORT).unwrap()).collect();
    let connected = || {
        waiting
            .iter()
            .filter(|&&client| clients.is_connected(client))
            .count()
    };
    assert!(server.until(PATIENCE, || connected() == 2));
    // Nobody takes them: the third hears nothing, neither yes nor no.
    assert!(!server.until(Duration::from_millis(300), || connected() == 3));
    for _ in 0..3 {
        server.accept(listener);
    }
    assert!(server.until(PATIENCE, || connected() == 3));
}

#[test]
fn sockets_whose_clients_keep_them_open_are_taken_back() {
    let (server, clients) = Server::start();
    let listener = server.listen(PORT, 1).unwrap();
    for _ in 0..3 * SOCKETS {
        let client = clients.connect(PORT).unwrap();
        let socket = server.accept(listener);
        assert_eq!(server.transport().close(socket), Ok(()));
        // The client hears the end, and does not end its side.
        let has_end = || clients.with(|transport| transport.receive(client, &mut [0])) == Ok(0);
        assert!(server.until(PATIENCE, has_end));
    }
}

#[test]
fn connections_that_are_in_use_are_not_taken_back() {
    let (server, clients) = Server::start();
    let listener = server.listen(PORT, 1).unwrap();
    let sockets: Vec<_> = (0..SOCKETS)
        .map(|_| {
            clients.connect(PORT).unwrap();
            server.accept(listener)
        })
        .collect();
    let late = clients.connect(PORT).unwrap();
    assert!(!server.until(Duration::from_millis(300), || clients.is_connected(late)));
    assert_eq!(server.net.borrow().connections(), SOCKETS);
    server.transport().close(sockets[0]).unwrap();
    assert!(server.until(PATIENCE, || clients.is_connected(late)));
}

#[test]
fn listeners_are_refused_with_the_reason_and_their_places_used_again() {
    let (server, _) = Server::start();
    assert_eq!(server.listen(0, 1), Err(NetError::Port));
    assert_eq!(server.listen(PORT, 0), Err(NetError::Sockets));
    assert_eq!(server.listen(PORT, SOCKETS + 1), Err(NetError::Sockets));
    let first = server.listen(PORT, 1).unwrap();
    assert_eq!(server.listen(PORT, 1), Err(NetError::Port));
    server.listen(PORT + 1, 1).unwrap();
    assert_eq!(server.listen(PORT + 2, 1), Err(NetError::Listeners));
    server.transport().close(first).unwrap();
    assert_eq!(server.transport().accept(first), Err(Error::System(9)));
    assert_eq!(server.listen(PORT, 1), Ok(first));
}
