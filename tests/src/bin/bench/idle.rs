//! Memory: at the start, and for each of 8,000 keep-alive connections that wait.

use crate::goals;
use crate::peers::{Kind, Place};
use crate::server::Server;
use crate::table::{Spread, Table};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

const CONNECTIONS: usize = 8_000;

/// What the first connections cost once (caches, first touches) is not what each costs.
const WARM: usize = 64;

/// The kernel maps as much of a program around what it touches as lies together in its cache, so that
/// no two starts are alike.
const STARTS: usize = 9;

/// For a server to finish what it does after a reply.
const SETTLE: Duration = Duration::from_millis(300);

pub fn run(place: &Place, kinds: &[Kind]) -> Result<(), String> {
    let mut table = Table::new(&[
        "server",
        "private at start, KB (range)",
        "after 64 connections, KB",
        "with 8,000 more, KB",
        "bytes for each",
        "of them alive",
    ]);
    let mut ours = None;
    for kind in kinds {
        match measure(*kind, place) {
            Ok(memory) => {
                table.row(&[
                    kind.name().into(),
                    memory.start.show(0),
                    (memory.warm / 1_024).to_string(),
                    (memory.full / 1_024).to_string(),
                    format!("{:.0}", memory.each()),
                    memory.alive.to_string(),
                ]);
                if *kind == Kind::Capuchin {
                    ours = Some(memory);
                }
            }
            Err(message) => println!("NOT RUN: {message}"),
        }
    }
    println!(
        "\n### idle: memory of keep-alive connections that wait, each after one request\n\n{table}"
    );
    if let Some(memory) = ours {
        goals::idle(
            memory.each(),
            memory.alive == CONNECTIONS,
            memory.start.middle as u64,
        );
    }
    Ok(())
}

/// Private bytes of a server.
struct Memory {
    /// In KB, of several starts.
    start: Spread,
    warm: u64,
    full: u64,
    /// Connections that answered once more after the measurement: closed ones would cost nothing.
    alive: usize,
}

impl Memory {
    fn each(&self) -> f64 {
        self.full.saturating_sub(self.warm) as f64 / CONNECTIONS as f64
    }
}

fn measure(kind: Kind, place: &Place) -> Result<Memory, String> {
    let failed = |error: io::Error| format!("{}: idle connections: {error}", kind.name());
    let mut starts = Vec::with_capacity(STARTS);
    let server = loop {
        let server = Server::start(kind, place, 4_096, false)?;
        thread::sleep(SETTLE);
        starts.push(server.private_bytes() as f64 / 1_024.0);
        if starts.len() == STARTS {
            break server;
        }
    };
    let start = Spread::of(starts);
    let warm_clients = open(server.address, WARM).map_err(failed)?;
    thread::sleep(SETTLE);
    let warm = server.private_bytes();
    let mut clients = open(server.address, CONNECTIONS).map_err(failed)?;
    thread::sleep(SETTLE);
    let full = server.private_bytes();
    let alive = clients
        .iter_mut()
        .filter_map(|client| ask(client).ok())
        .count();
    drop((warm_clients, clients));
    Ok(Memory {
        start,
        warm,
        full,
        alive,
    })
}

/// Opens connections and has each answered once.
fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        ask(&mut client)?;
        clients.push(client);
    }
    Ok(clients)
}

/// One request, its reply read to the last byte.
fn ask(client: &mut TcpStream) -> io::Result<()> {
    client.write_all(b"GET /4096.bin HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let (mut buffer, mut filled) = ([0u8; 8_192], 0);
    loop {
        let count = client.read(&mut buffer[filled..])?;
        filled += count;
        let head = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n");
        match head {
            Some(head) if filled >= head + 4 + 4_096 => break,
            _ if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
    if buffer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
