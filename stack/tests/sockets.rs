//! Sockets of the stack where there are few: who waits, who is refused, and which are taken back.

#[path = "conformance/machine.rs"]
mod machine;
#[path = "conformance/stranger.rs"]
mod stranger;
#[path = "conformance/wire.rs"]
mod wire;

use capuchin_core::transport::{Error, Socket, Then, Transport};
use capuchin_stack::{Address, Memory, Net, NetError, Reader, StackTransport};
use machine::{Machine, SERVER};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Cidr, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket,
    TcpSeqNumber,
};
use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};
use stranger::{PORT, SERVER_CARD, STRANGER, arp, frame, segment, syn};
use wire::Card;

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
                memory.room(),
                card,
                [2, 0, 0, 0, 0, 9],
                Address::Static(address, None),
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

/// What the server says to the stranger: the ports that were answered, with the sequence numbers.
fn answers(card: &Card) -> Vec<(u16, TcpSeqNumber)> {
    let mut answers = Vec::new();
    while let Some(bytes) = card.take() {
        let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
        if frame.ethertype() == EthernetProtocol::Ipv4 {
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            let segment = TcpPacket::new_checked(packet.payload()).unwrap();
            assert!(segment.syn() && segment.ack(), "{segment}");
            answers.push((segment.dst_port(), segment.seq_number()));
        }
    }
    answers
}

/// A server whose time is told by the test, and the stranger's card.
fn server_and_stranger(backlog: usize) -> (Net<Card>, Card) {
    let (card, other) = wire::cards();
    let memory: &'static mut _ = Box::leak(Box::new(Memory::<SOCKETS, 512, 512>::new()));
    let address = Ipv4Cidr::new(SERVER, 24);
    let mut net = Net::new(
        memory.room(),
        card,
        SERVER_CARD.0,
        Address::Static(address, None),
        1,
        0,
    );
    net.listen(PORT, backlog).unwrap();
    other.put(arp());
    net.poll(0);
    while other.take().is_some() {}
    (net, other)
}

#[test]
fn look_that_leaves_frames_behind_is_followed_by_another_at_once() {
    let (mut net, stranger) = server_and_stranger(1);
    for _ in 0..200 {
        stranger.put(arp());
    }
    let mut looks = 0;
    loop {
        net.poll(1);
        looks += 1;
        if net.delay(1) != Some(0) {
            break;
        }
    }
    let answers = std::iter::from_fn(|| stranger.take()).count();
    assert_eq!(answers, 200);
    assert!(looks > 1, "one look takes in a limited number");
    assert_eq!(net.delay(1), None, "nothing is left to do");
}

#[test]
fn connections_that_are_never_made_are_given_up() {
    let (mut net, stranger) = server_and_stranger(2);
    for port in [1_001, 1_002, 1_003] {
        stranger.put(syn(port));
    }
    net.poll(1);
    let ports =
        |answers: Vec<(u16, _)>| -> Vec<_> { answers.iter().map(|&(port, _)| port).collect() };
    assert_eq!(ports(answers(&stranger)), [1_001, 1_002]);
    assert!(net.delay(1).is_some_and(|delay| delay <= 5_000));
    // After five seconds both are given up, and there is room for another.
    for now in (500..=5_500).step_by(500) {
        net.poll(now);
    }
    answers(&stranger);
    stranger.put(syn(1_004));
    net.poll(5_600);
    assert_eq!(ports(answers(&stranger)), [1_004]);
}

#[test]
fn request_that_comes_again_has_no_second_answer_from_another_socket() {
    let (mut net, stranger) = server_and_stranger(3);
    stranger.put(syn(1_001));
    net.poll(1);
    stranger.put(syn(1_002));
    net.poll(3_000);
    let first = *answers(&stranger).last().unwrap();
    assert_eq!(first.0, 1_002);
    // The socket before that one is given up, and waits again.
    net.poll(5_100);
    net.poll(5_200);
    answers(&stranger);
    stranger.put(syn(1_002));
    net.poll(5_300);
    let mut again = Vec::new();
    for now in (5_300..=7_900).step_by(100) {
        net.poll(now);
        again.extend(answers(&stranger));
    }
    // The answer is repeated when its time comes.
    assert!(
        !again.is_empty() && again.iter().all(|answer| *answer == first),
        "{again:?}"
    );
}

#[test]
fn connection_whose_client_is_gone_is_given_up_and_costs_no_time() {
    let (net, _, socket, _) = connected();
    let mut transport = StackTransport::new(&net);
    // The stack has forgotten where the client is by now, and nobody tells it.
    let mut now = 200_000;
    net.borrow_mut().poll(now);
    transport.close(socket).unwrap();
    let (mut net, mut looks, begin) = (net.borrow_mut(), 0, now);
    while net.connections() > 0 {
        now += net.delay(now).unwrap_or(1_000_000);
        net.poll(now);
        looks += 1;
        assert!(looks < 500, "{looks} looks in {} ms", now - begin);
    }
    assert!(
        (15_000..=17_000).contains(&(now - begin)),
        "{} ms",
        now - begin
    );
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

/// Files in memory.
struct Texts;

impl Reader for Texts {
    type File = &'static [u8];

    fn read_at(file: Self::File, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let rest = file.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

#[test]
fn file_is_sent_in_pieces_and_told_when_it_is_too_short() {
    let text: Vec<u8> = (0..5_000_u32).map(|at| (at % 251) as u8).collect();
    let text: &'static [u8] = Vec::leak(text);
    let (server, clients) = Server::start();
    let listener = server.listen(PORT, 1).unwrap();
    let client = clients.connect(PORT).unwrap();
    let socket = server.accept(listener);
    let mut transport = StackTransport::<_, Texts>::with_files(&server.net);
    let (mut sent, mut received, mut waits) = (0, Vec::new(), 0);
    let all = server.until(PATIENCE, || {
        if sent < text.len() {
            let left = (text.len() - sent) as u64;
            match transport.send_file(socket, text, sent as u64, left) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error, Error::WouldBlock);
                    waits += 1;
                }
            }
        }
        let mut piece = [0; 300];
        if let Ok(count) = clients.with(|transport| transport.receive(client, &mut piece)) {
            received.extend_from_slice(&piece[..count]);
        }
        received.len() == text.len()
    });
    assert!(all && received == text, "{} of {sent}", received.len());
    assert!(waits > 0, "it is longer than what there is room for");
    let end = transport.send_file(socket, text, text.len() as u64, 10);
    assert_eq!(end, Err(Error::Truncated));
    assert_eq!(transport.send_file(socket, text, 0, 0), Ok(0));
}

#[test]
fn address_is_announced_once() {
    let (card, stranger) = wire::cards();
    let memory: &'static mut _ = Box::leak(Box::new(Memory::<SOCKETS, 512, 512>::new()));
    let address = Address::Static(Ipv4Cidr::new(SERVER, 24), None);
    let mut net = Net::new(memory.room(), card, SERVER_CARD.0, address, 1, 0);
    for now in 0..5 {
        net.poll(now);
    }
    let announced: Vec<_> = std::iter::from_fn(|| stranger.take())
        .filter_map(|frame| {
            let frame = EthernetFrame::new_checked(&frame).unwrap();
            assert_eq!(frame.dst_addr(), EthernetAddress::BROADCAST);
            let packet = ArpPacket::new_checked(frame.payload()).unwrap();
            ArpRepr::parse(&packet).ok()
        })
        .collect();
    let expected = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: SERVER_CARD,
        source_protocol_addr: SERVER,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: SERVER,
    };
    assert_eq!(announced, [expected]);
}

#[test]
fn ping_is_answered() {
    let (mut net, stranger) = server_and_stranger(1);
    let echo = Icmpv4Repr::EchoRequest {
        ident: 7,
        seq_no: 1,
        data: &[b'x'; 56],
    };
    let packet = Ipv4Repr {
        src_addr: STRANGER,
        dst_addr: SERVER,
        next_header: IpProtocol::Icmp,
        payload_len: echo.buffer_len(),
        hop_limit: 64,
    };
    let (sum, head) = (Default::default(), packet.buffer_len());
    let length = head + echo.buffer_len();
    stranger.put(frame(EthernetProtocol::Ipv4, length, |bytes| {
        packet.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &sum);
        echo.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[head..]), &sum);
    }));
    net.poll(1);
    let answer = stranger.take().expect("an answer");
    let answer = EthernetFrame::new_checked(&answer).unwrap();
    let answer = Ipv4Packet::new_checked(answer.payload()).unwrap();
    assert_eq!(answer.dst_addr(), STRANGER);
    let answer = Icmpv4Packet::new_checked(answer.payload()).unwrap();
    let expected = Icmpv4Repr::EchoReply {
        ident: 7,
        seq_no: 1,
        data: &[b'x'; 56],
    };
    assert_eq!(Icmpv4Repr::parse(&answer, &sum), Ok(expected));
}

/// A server with a connection of the stranger's; its socket, and the number that comes next.
fn connected() -> (RefCell<Net<Card>>, Card, Socket, TcpSeqNumber) {
    let (net, stranger) = server_and_stranger(1);
    let net = RefCell::new(net);
    stranger.put(syn(1_001));
    net.borrow_mut().poll(1);
    let (_, number) = answers(&stranger)[0];
    stranger.put(segment(1_001, TcpControl::None, 1_001, Some(number + 1)));
    net.borrow_mut().poll(2);
    let listener = Socket(SOCKETS as i32);
    let socket = StackTransport::new(&net).accept(listener).unwrap();
    (net, stranger, socket, number + 1)
}

#[test]
fn client_that_took_all_late_has_time_to_end_its_side() {
    let (net, stranger, socket, number) = connected();
    let mut transport = StackTransport::new(&net);
    let sent = transport.send(socket, &[&[b'x'; 100]], Then::Nothing);
    assert_eq!(sent, Ok(100));
    transport.close(socket).unwrap();
    for now in (3..11_000).step_by(250) {
        net.borrow_mut().poll(now);
        assert!(!net.borrow().is_settled(), "at {now}");
    }
    let ack = segment(1_001, TcpControl::None, 1_001, Some(number + 101));
    stranger.put(ack);
    net.borrow_mut().poll(11_001);
    assert!(net.borrow().is_settled());
    while stranger.take().is_some() {}
    net.borrow_mut().poll(20_000);
    assert!(stranger.take().is_none(), "it is left alone");
    net.borrow_mut().poll(21_002);
    net.borrow_mut().poll(21_003);
    assert!(stranger.take().is_some(), "it is cut off");
}

#[test]
fn time_that_goes_back_is_no_time() {
    let (net, _stranger, socket, _) = connected();
    net.borrow_mut().poll(1_000_000);
    StackTransport::new(&net).close(socket).unwrap();
    // Another channel's clock has begun anew; deadlines hold by it.
    for now in (5..20_000).step_by(100) {
        net.borrow_mut().poll(now);
    }
    assert_eq!(net.borrow().connections(), 0);
}
