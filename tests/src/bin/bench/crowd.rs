//! Keep-alive connections that were answered once and wait.

use crate::framing;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Crowd {
    clients: Vec<TcpStream>,
}

impl Crowd {
    /// Opens connections and has each answered once.
    pub fn open(address: SocketAddr, count: usize) -> io::Result<Self> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = TcpStream::connect(address)?;
            client.set_read_timeout(Some(PATIENCE))?;
            ask(&mut client)?;
            clients.push(client);
        }
        Ok(Self { clients })
    }

    /// How many answer once more: closed ones would cost nothing.
    pub fn alive(&mut self) -> usize {
        let clients = self.clients.iter_mut();
        clients.filter_map(|client| ask(client).ok()).count()
    }
}

/// One request, its reply read to the last byte.
fn ask(client: &mut TcpStream) -> io::Result<()> {
    client.write_all(b"GET /4096.bin HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    framing::read_reply(client)
}
