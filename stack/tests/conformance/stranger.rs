//! A machine that sends what it likes.
#![allow(dead_code, reason = "not each program that uses this needs all of it")]

use crate::machine::SERVER;
use smoltcp::wire::{
    ArpOperation, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

/// Where the server listens.
pub const PORT: u16 = 80;

/// The stranger's address, and its card's and the server's.
pub const STRANGER: Ipv4Address = Ipv4Address::new(10, 0, 0, 7);
pub const STRANGER_CARD: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 7]);
pub const SERVER_CARD: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);

pub fn frame(ethertype: EthernetProtocol, length: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let repr = EthernetRepr {
        src_addr: STRANGER_CARD,
        dst_addr: SERVER_CARD,
        ethertype,
    };
    let mut bytes = vec![0; repr.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    repr.emit(&mut frame);
    emit(frame.payload_mut());
    bytes
}

/// Asks for the server's card, from which that learns the stranger's.
pub fn arp() -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: STRANGER_CARD,
        source_protocol_addr: STRANGER,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: SERVER,
    };
    frame(EthernetProtocol::Arp, repr.buffer_len(), |bytes| {
        repr.emit(&mut smoltcp::wire::ArpPacket::new_unchecked(bytes));
    })
}

/// Asks for a connection.
pub fn syn(from: u16) -> Vec<u8> {
    segment(from, TcpControl::Syn, 1_000, None)
}

pub fn segment(from: u16, control: TcpControl, number: i32, ack: Option<TcpSeqNumber>) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from,
        dst_port: PORT,
        control,
        seq_number: TcpSeqNumber(number),
        ack_number: ack,
        window_len: 1_000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let packet = Ipv4Repr {
        src_addr: STRANGER,
        dst_addr: SERVER,
        next_header: IpProtocol::Tcp,
        payload_len: segment.buffer_len(),
        hop_limit: 64,
    };
    let (sum, head) = (Default::default(), packet.buffer_len());
    frame(
        EthernetProtocol::Ipv4,
        head + segment.buffer_len(),
        |bytes| {
            packet.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &sum);
            let mut place = TcpPacket::new_unchecked(&mut bytes[head..]);
            segment.emit(&mut place, &STRANGER.into(), &SERVER.into(), &sum);
        },
    )
}
