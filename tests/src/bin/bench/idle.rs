//! Memory: at the start, and for each of 8,000 keep-alive connections that wait.

use crate::goal;
use crate::peers::{Kind, Place, Server};
use crate::table::Table;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECTIONS: usize = 8_000;

pub fn run(place: &Place, kinds: &[Kind]) -> Result<(), String> {
    let mut table = Table::new(&[
        "server",
        "private at start, KB",
        "with 8,000 idle, KB",
        "bytes for each",
    ]);
    let mut ours = None;
    for kind in kinds {
        let server = Server::start(*kind, place, 4_096, false)?;
        let start = server.private_bytes();
        // What the first connections cost once (caches, first touches) is not what each costs.
        let warm = open(server.address, 64).map_err(|error| error.to_string())?;
        let before = server.private_bytes();
        let clients = open(server.address, CONNECTIONS)
            .map_err(|error| format!("{}: {error}", kind.name()))?;
        let after = server.private_bytes();
        drop((warm, clients));
        let each = after.saturating_sub(before) as f64 / CONNECTIONS as f64;
        table.row(&[
            kind.name().into(),
            (start / 1_024).to_string(),
            (after / 1_024).to_string(),
            format!("{each:.0}"),
        ]);
        if *kind == Kind::Capuchin {
            ours = Some((start, each));
        }
    }
    println!(
        "\n### idle: memory of keep-alive connections that wait, each after one request\n\n{table}"
    );
    if let Some((start, each)) = ours {
        goal(
            &format!("{each:.0} bytes for each idle connection, wanted at most 256"),
            each <= 256.0,
        );
        goal(
            &format!("{} KB at start, wanted at most 1,024", start / 1_024),
            start <= 1 << 20,
        );
    }
    Ok(())
}

/// Opens connections and has each answered once.
fn open(address: SocketAddr, count: usize) -> std::io::Result<Vec<TcpStream>> {
    let mut clients = Vec::with_capacity(count);
    let mut buffer = [0u8; 8_192];
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /128.bin HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        if stream.read(&mut buffer)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        clients.push(stream);
    }
    Ok(clients)
}
