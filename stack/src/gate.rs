//! Keeps a connection request from a port whose listener has no socket for it: the stack would refuse it,
//! where a client that hears nothing tries again.

use core::cell::Cell;
use smoltcp::phy::{Device, DeviceCapabilities, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};

/// A card, seen through the gate.
pub(crate) struct Gate<'g, D> {
    pub device: &'g mut D,
    /// Ports that are kept from requests.
    pub full: &'g [u16],
    /// Set when a request came.
    pub request: &'g Cell<bool>,
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

/// A frame that comes through the gate, or does not.
pub(crate) struct Checked<'g, T> {
    token: T,
    full: &'g [u16],
    request: &'g Cell<bool>,
}

impl<T: RxToken> RxToken for Checked<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let Self {
            token,
            full,
            request,
        } = self;
        token.consume(|frame| match requested_port(frame) {
            Some(port) => {
                request.set(true);
                // A frame of no bytes is no frame to the stack.
                take(if full.contains(&port) { &[] } else { frame })
            }
            None => take(frame),
        })
    }
}

/// The port that a frame asks for a connection to (RFC 9293 section 3.5: SYN alone); `None` for all else.
fn requested_port(frame: &[u8]) -> Option<u16> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    if packet.next_header() != IpProtocol::Tcp {
        return None;
    }
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    (segment.syn() && !segment.ack()).then(|| segment.dst_port())
}
