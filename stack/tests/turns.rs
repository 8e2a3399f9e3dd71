//! Who sends where the card has little room.

#[path = "conformance/machine.rs"]
#[allow(dead_code, reason = "of the other machine only the address is needed")]
mod machine;
#[path = "conformance/stranger.rs"]
mod stranger;
#[path = "conformance/wire.rs"]
mod wire;

use capuchin_core::transport::{Then, Transport};
use capuchin_stack::{Address, Memory, Net, StackTransport};
use machine::SERVER;
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, Ipv4Cidr, Ipv4Packet, TcpControl, TcpPacket, TcpSeqNumber};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use stranger::{PORT, SERVER_CARD, arp, segment, syn};
use wire::Card;

/// Clients, all of which take what they get at once.
const CLIENTS: [u16; 4] = [1_001, 1_002, 1_003, 1_004];

/// Bytes that a socket may have on their way; the stranger takes as many in a segment.
const SEND_BYTES: usize = 512;

/// A card that takes so many frames more.
struct Narrow {
    card: Card,
    room: Rc<Cell<usize>>,
}

impl Device for Narrow {
    type RxToken<'a> = <Card as Device>::RxToken<'a>;
    type TxToken<'a> = <Card as Device>::TxToken<'a>;

    fn receive(&mut self, at: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.card.receive(at)
    }

    fn transmit(&mut self, at: Instant) -> Option<Self::TxToken<'_>> {
        self.room.set(self.room.get().checked_sub(1)?);
        self.card.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.card.capabilities()
    }
}

/// What came from the server: to which port, how many bytes, and what comes next of it.
fn segments(stranger: &Card) -> Vec<(u16, usize, TcpSeqNumber)> {
    let mut found = Vec::new();
    while let Some(bytes) = stranger.take() {
        let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
        let Ok(packet) = Ipv4Packet::new_checked(frame.payload()) else {
            continue;
        };
        let segment = TcpPacket::new_checked(packet.payload()).unwrap();
        let next = segment.seq_number() + segment.segment_len();
        found.push((segment.dst_port(), segment.payload().len(), next));
    }
    found
}

#[test]
fn card_with_room_for_one_frame_has_all_sockets_send_alike() {
    let (card, stranger) = wire::cards();
    let room = Rc::new(Cell::new(usize::MAX));
    let narrow = Narrow {
        card,
        room: room.clone(),
    };
    let memory: &'static mut _ = Box::leak(Box::new(Memory::<6, 512, SEND_BYTES>::new()));
    let address = Ipv4Cidr::new(SERVER, 24);
    let net = RefCell::new(Net::new(
        memory.room(),
        narrow,
        SERVER_CARD.0,
        Address::Static(address, None),
        1,
        0,
    ));
    let listener = net.borrow_mut().listen(PORT, CLIENTS.len()).unwrap();
    stranger.put(arp());
    net.borrow_mut().poll(0);
    segments(&stranger);
    for port in CLIENTS {
        stranger.put(syn(port));
    }
    net.borrow_mut().poll(1);
    let acknowledge = |came: &[(u16, usize, TcpSeqNumber)]| {
        for &(port, _, next) in came {
            stranger.put(segment(port, TcpControl::None, 1_001, Some(next)));
        }
    };
    acknowledge(&segments(&stranger));
    net.borrow_mut().poll(2);
    let mut transport = StackTransport::new(&net);
    let sockets = CLIENTS.map(|_| transport.accept(listener).unwrap());

    let mut sent: HashMap<u16, usize> = HashMap::new();
    for now in 3..403 {
        for socket in sockets {
            // As much as there is room for.
            let _ = transport.send(socket, &[&[b'x'; SEND_BYTES]], Then::More);
        }
        room.set(1);
        net.borrow_mut().poll(now);
        let came = segments(&stranger);
        for &(port, length, _) in &came {
            *sent.entry(port).or_default() += length;
        }
        acknowledge(&came);
    }
    let least = CLIENTS.map(|port| sent.get(&port).copied().unwrap_or(0));
    let (least, most) = (least.into_iter().min(), least.into_iter().max());
    assert!(
        least.unwrap_or(0) * 2 > most.unwrap_or(0),
        "some may send more than twice as much as others: {sent:?}"
    );
}
