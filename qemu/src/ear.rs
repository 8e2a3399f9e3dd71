//! Finding out when a guest's network is up, without a connection that would be left over.
//!
//! QEMU writes what the guest sends to a file. Many guests announce their address; the others are
//! called: for a datagram to a port where nobody listens QEMU asks who has the guest's address,
//! and the guest says so as soon as it can.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The pause between two calls. QEMU keeps each for a second, and hands on all at once then.
const CALL_GAP: Duration = Duration::from_millis(100);

/// The guest's port that is called: "discard".
const GUEST_PORT: u16 = 9;

/// The file in the directory of the machine.
const FILE: &str = "heard";

/// Listens to a guest.
pub(crate) struct Ear {
    file: PathBuf,
    seen: u64,
    socket: UdpSocket,
    called: SocketAddr,
    next_call: Instant,
}

impl Ear {
    /// For the machine with this directory.
    pub(crate) fn new(place: &Path) -> io::Result<Self> {
        // A port that is free: of a socket that is closed at the end of this statement.
        let called = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self {
            file: place.join(FILE),
            seen: 0,
            socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            called,
            next_call: Instant::now(),
        })
    }

    /// What QEMU's monitor is to be told first. Each is answered with nothing when it works.
    pub(crate) fn openings(&self) -> [String; 2] {
        let called = self.called;
        [
            format!("object_add filter-dump,id=ear0,netdev=net0,queue=rx,maxlen=64,file={FILE}"),
            format!("hostfwd_add net0 udp:{called}-:{GUEST_PORT}"),
        ]
    }

    /// What it is to be told in the end.
    pub(crate) fn closings(&self) -> [String; 2] {
        let called = self.called;
        [
            "object_del ear0".to_owned(),
            format!("hostfwd_remove net0 udp:{called}"),
        ]
    }

    /// Calls when it is time, and tells whether the guest has used an address of its own by now.
    pub(crate) fn has_heard(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.next_call {
            self.next_call = now + CALL_GAP;
            // A datagram that is lost is followed by another.
            let _ = self.socket.send_to(b"?", self.called);
        }
        let length = self.file.metadata().map_or(0, |file| file.len());
        if length == self.seen {
            return false;
        }
        self.seen = length;
        std::fs::read(&self.file).is_ok_and(|bytes| packets(&bytes).any(has_own_address))
    }
}

/// The packets of a capture file in this machine's byte order; a cut one at its end is left out.
fn packets(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const FILE_HEAD: usize = 24;
    const PACKET_HEAD: usize = 16;
    let mut rest = bytes.get(FILE_HEAD..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = rest.get(8..12)?.try_into().map(u32::from_ne_bytes).ok()?;
        let end = PACKET_HEAD.checked_add(usize::try_from(length).ok()?)?;
        let packet = rest.get(PACKET_HEAD..end)?;
        rest = &rest[end..];
        Some(packet)
    })
}

/// Whether an Ethernet frame names an IPv4 address as its sender's. Requests for an address
/// (DHCP) and questions whether one is in use (ARP probes) do not.
fn has_own_address(frame: &[u8]) -> bool {
    let address = match frame.get(12..14) {
        Some([0x08, 0x06]) => frame.get(28..32),
        Some([0x08, 0x00]) => frame.get(26..30),
        _ => None,
    };
    address.is_some_and(|address| address != [0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_is_heard_with_its_first_address_of_its_own() {
        let frame = |kind: [u8; 2], at: usize, address: [u8; 4]| {
            let mut frame = vec![0; 60];
            frame[12..14].copy_from_slice(&kind);
            frame[at..at + 4].copy_from_slice(&address);
            frame
        };
        let capture = |frames: &[Vec<u8>]| {
            let mut bytes = vec![0; 24];
            for frame in frames {
                for number in [0, 0, 60, 60] {
                    bytes.extend_from_slice(&u32::to_ne_bytes(number));
                }
                bytes.extend_from_slice(frame);
            }
            bytes
        };
        let guest = [10, 0, 2, 15];
        let dhcp = frame([8, 0], 26, [0; 4]);
        let probe = frame([8, 6], 38, guest);
        let announcement = frame([8, 6], 28, guest);
        let other_protocol = frame([0x86, 0xdd], 28, guest);

        let place = crate::place::Place::new().unwrap();
        let file = place.path().join(FILE);
        let mut ear = Ear::new(place.path()).unwrap();
        assert!(!ear.has_heard(), "no file yet");
        let mut frames = vec![dhcp, probe, other_protocol];
        std::fs::write(&file, capture(&frames)).unwrap();
        assert!(!ear.has_heard());
        frames.push(announcement);
        let whole = capture(&frames);
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(!ear.has_heard(), "the last packet is not all there yet");
        std::fs::write(&file, &whole).unwrap();
        assert!(ear.has_heard());
        let datagram = capture(&[frame([8, 0], 26, guest)]);
        assert!(packets(&datagram).any(has_own_address));
    }

    #[test]
    fn guest_that_keeps_silent_is_called_again_and_again() {
        let place = crate::place::Place::new().unwrap();
        let mut ear = Ear::new(place.path()).unwrap();
        let guest = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        guest
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        ear.called = guest.local_addr().unwrap();
        for _ in 0..2 {
            assert!(!ear.has_heard());
            assert_eq!(guest.recv(&mut [0; 8]).unwrap(), 1);
            std::thread::sleep(CALL_GAP);
        }
        assert!(ear.openings()[1].contains(&ear.called.to_string()));
    }
}
