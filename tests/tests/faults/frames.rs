//! Frames that no stack of this machine makes.

use capuchin_tests::pattern::Random;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

/// The image's address (`ADDRESS` in `app.rs`), and that of QEMU's network.
pub const GUEST: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
pub const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const PORT: u16 = 80;

/// QEMU's own for the first card and for its user network.
const GUEST_CARD: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const GATEWAY_CARD: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// Addresses that are nobody's (RFC 5737: TEST-NET-3); who has them is behind the gateway.
const NOBODY: [u8; 3] = [203, 0, 113];

/// Where what is in a frame begins.
pub const IPV4_HEAD: usize = 14;
pub const TCP_HEAD: usize = IPV4_HEAD + 20;
const SHORTEST_TCP: usize = TCP_HEAD + 20;

fn frame(ethertype: EthernetProtocol, length: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let repr = EthernetRepr {
        src_addr: GATEWAY_CARD,
        dst_addr: GUEST_CARD,
        ethertype,
    };
    let mut bytes = vec![0; repr.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    repr.emit(&mut frame);
    emit(frame.payload_mut());
    bytes
}

/// Asks who has the image's address.
pub fn arp() -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: GATEWAY_CARD,
        source_protocol_addr: GATEWAY,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: GUEST,
    };
    frame(EthernetProtocol::Arp, repr.buffer_len(), |bytes| {
        repr.emit(&mut ArpPacket::new_unchecked(bytes));
    })
}

/// A segment to the server.
pub fn segment(
    from: (Ipv4Address, u16),
    control: TcpControl,
    number: u32,
    payload: &[u8],
) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from.1,
        dst_port: PORT,
        control,
        seq_number: TcpSeqNumber(number as i32),
        ack_number: (control != TcpControl::Syn).then_some(TcpSeqNumber(1)),
        window_len: 8_760,
        window_scale: None,
        max_seg_size: (control == TcpControl::Syn).then_some(1_460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let packet = Ipv4Repr {
        src_addr: from.0,
        dst_addr: GUEST,
        next_header: IpProtocol::Tcp,
        payload_len: segment.buffer_len(),
        hop_limit: 64,
    };
    let (sum, head) = (Default::default(), packet.buffer_len());
    let length = head + segment.buffer_len();
    frame(EthernetProtocol::Ipv4, length, |bytes| {
        packet.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &sum);
        let mut place = TcpPacket::new_unchecked(&mut bytes[head..]);
        segment.emit(&mut place, &from.0.into(), &GUEST.into(), &sum);
    })
}

/// Somebody whom nobody knows asks for a connection.
pub fn forged_syn(random: &mut Random) -> Vec<u8> {
    let from = stranger(random);
    segment(from, TcpControl::Syn, random.bits() as u32, &[])
}

pub fn stranger(random: &mut Random) -> (Ipv4Address, u16) {
    let [a, b, c] = NOBODY;
    let address = Ipv4Address::new(a, b, c, 1 + random.below(254) as u8);
    (address, 1_024 + random.below(60_000) as u16)
}

/// Whether this is a segment.
pub fn is_tcp(bytes: &[u8]) -> bool {
    bytes.len() >= SHORTEST_TCP && bytes[12..IPV4_HEAD] == [8, 0] && bytes[23] == 6
}

/// Whether the image agrees to a connection with a stranger here.
pub fn agrees_with_a_stranger(bytes: &[u8]) -> bool {
    is_tcp(bytes) && bytes[30..33] == NOBODY && bytes[TCP_HEAD + 13] & 0x12 == 0x12
}

/// Makes the sums of an IPv4 packet with a TCP segment right for what is in it now, as far as its length
/// allows: so that a wrong field is looked at, not only a wrong sum.
pub fn repair(bytes: &mut [u8]) {
    if bytes.len() < SHORTEST_TCP {
        return;
    }
    let head = usize::from(bytes[IPV4_HEAD] & 0xf) * 4;
    let said = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let end = bytes.len().min(IPV4_HEAD + said);
    let begin = IPV4_HEAD + head;
    if begin + 18 > end {
        return;
    }
    put_sum(&mut bytes[IPV4_HEAD..begin], 10, 0);
    let length = (end - begin) as u32;
    // The pseudo head: both addresses, the protocol, the length (RFC 9293 section 3.1).
    let pseudo = sum(&bytes[26..34]) + u32::from(bytes[23]) + length;
    put_sum(&mut bytes[begin..end], 16, pseudo);
}

fn put_sum(bytes: &mut [u8], at: usize, first: u32) {
    if bytes.len() < at + 2 {
        return;
    }
    bytes[at..at + 2].fill(0);
    let mut sum = first + sum(bytes);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// Of 16-bit words; an odd byte at the end is a word's first.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&byte| u32::from(byte)))
        .sum()
}
