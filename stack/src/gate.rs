//! Keeps connection requests away that the stack would answer wrongly: for a port whose listener has no
//! socket left it would refuse them, where a client that hears nothing tries again; and one that comes
//! again it would give to another socket, which then gets all that is the first one's. And notes what a
//! card had no room for.

use crate::places::Place;
use core::cell::Cell;
use smoltcp::phy::{Device, DeviceCapabilities, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpEndpoint, IpProtocol, Ipv4Packet, TcpPacket,
};

/// A card, seen through the gate.
pub(crate) struct Gate<'g, D> {
    pub device: &'g mut D,
    /// Ports that are kept from requests.
    pub full: &'g [u16],
    /// The sockets: whose clients are known.
    pub places: &'g [Place],
    /// What came.
    pub request: &'g Cell<Request>,
}

/// Whether a frame asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// It did not.
    None,
    /// It did; it may have been kept away.
    Came,
    /// It did, and was kept away for the sake of this socket, which can be given up for it: it will come
    /// again.
    Anew(usize),
}

impl<D: Device> Device for Gate<'_, D> {
    type RxToken<'a>
        = Checked<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, at: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (token, answer) = self.device.receive(at)?;
        let checked = Checked {
            token,
            full: self.full,
            places: self.places,
            request: self.request,
        };
        Some((checked, answer))
    }

    fn transmit(&mut self, at: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A card, seen by what leaves: notes whether it took no more, and whether it took anything.
pub(crate) struct Exit<'e, D> {
    pub device: &'e mut D,
    pub is_shut: bool,
    pub took: bool,
}

impl<D: Device> Device for Exit<'_, D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, at: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.device.receive(at)
    }

    fn transmit(&mut self, at: Instant) -> Option<Self::TxToken<'_>> {
        let leave = self.device.transmit(at);
        self.is_shut |= leave.is_none();
        self.took |= leave.is_some();
        leave
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A frame that comes through the gate, or does not.
pub(crate) struct Checked<'g, T> {
    token: T,
    full: &'g [u16],
    places: &'g [Place],
    request: &'g Cell<Request>,
}

impl<T: RxToken> RxToken for Checked<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let Self {
            token,
            full,
            places,
            request,
        } = self;
        token.consume(|frame| {
            let Some((client, port)) = requested(frame) else {
                return take(frame);
            };
            let own = places
                .iter()
                .position(|place| place.peer == Some((client, port)));
            request.set(match own {
                Some(index) if places[index].is_over => Request::Anew(index),
                _ => Request::Came,
            });
            // A frame of no bytes is no frame to the stack. What a client with a connection did not get is
            // sent to it again anyway.
            let is_kept_away = own.is_some() || full.contains(&port);
            take(if is_kept_away { &[] } else { frame })
        })
    }
}

/// Who asks for a connection, and to which port (RFC 9293 section 3.5: SYN alone); `None` for all other
/// frames.
fn requested(frame: &[u8]) -> Option<(IpEndpoint, u16)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    if packet.next_header() != IpProtocol::Tcp {
        return None;
    }
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    let client = IpEndpoint::new(packet.src_addr().into(), segment.src_port());
    (segment.syn() && !segment.ack()).then(|| (client, segment.dst_port()))
}
