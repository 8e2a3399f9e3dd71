//! Lets connections in one after another, where the listener that they meet has little room.
//!
//! QEMU's user network accepts for its guest, from a queue of one. Linux drops what does not fit that
//! queue and tries again later: after 0.2 seconds, 0.4, and at last 26, all of which looks like a
//! server that does not answer. A network without QEMU has no such place.

use crate::client::Client;
use crate::failure::Outcome;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the system shows its sockets (Linux).
const SOCKETS: &str = "/proc/net/tcp";

/// The state of a socket that listens, there.
const LISTENS: &str = "0A";

/// QEMU accepts within a millisecond when it gets the processor. Longer, and it will not soon.
const ACCEPT_LIMIT: Duration = Duration::from_secs(2);

/// Between two looks, and for one connection where the system shows nothing.
const PAUSE: Duration = Duration::from_millis(2);

/// One comes in at a time.
#[derive(Debug, Default)]
pub(crate) struct Door(Mutex<()>);

impl Door {
    /// Connects when nobody else does, and returns when fewer than `backlog` connections wait to be
    /// accepted at `address`, so that there is room for the next.
    pub(crate) fn enter(
        &self,
        address: SocketAddr,
        backlog: u64,
        connect: impl FnOnce() -> Outcome<Client>,
    ) -> Outcome<Client> {
        let _one = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let client = connect()?;
        let begin = Instant::now();
        loop {
            match waiting(address) {
                Some(count) if count >= backlog && begin.elapsed() < ACCEPT_LIMIT => {
                    std::thread::sleep(PAUSE);
                }
                Some(_) => break,
                None => {
                    std::thread::sleep(PAUSE);
                    break;
                }
            }
        }
        Ok(client)
    }
}

/// Connections that the system has established for `address` and that nobody has accepted yet.
fn waiting(address: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    waiting_in(&std::fs::read_to_string(SOCKETS).ok()?, address)
}

/// The same, in a text of `sl local_address rem_address st tx_queue:rx_queue ...`: for a socket that
/// listens, `rx_queue` is the number of connections in its queue. An address is the bytes of a
/// number as this machine stores it.
fn waiting_in(sockets: &str, address: SocketAddrV4) -> Option<u64> {
    let ip = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{ip:08X}:{:04X}", address.port());
    sockets.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        if words.next() != Some(&local) || words.nth(1) != Some(LISTENS) {
            return None;
        }
        let (_, received) = words.next()?.split_once(':')?;
        u64::from_str_radix(received, 16).ok()
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_are_counted_until_they_are_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(waiting(address), Some(0));
        let _clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        assert_eq!(waiting(address), Some(3));
        let _accepted = listener.accept().unwrap();
        assert_eq!(waiting(address), Some(2));
    }

    #[test]
    fn next_comes_in_when_the_one_before_was_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::default();
        std::thread::scope(|scope| {
            let late = Duration::from_millis(100);
            scope.spawn(move || {
                std::thread::sleep(late);
                listener.accept().unwrap()
            });
            let begin = Instant::now();
            door.enter(address, 1, || Client::connect(address)).unwrap();
            assert!(begin.elapsed() >= late);
        });
    }
}
