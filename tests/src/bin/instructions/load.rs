//! The clients: they send while the server is stopped, so that each turn of it finds as much as any other.

use crate::Running;
use crate::scenarios::Scenario;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// At least so many requests; how many there were, and the connections: were they closed before the server is told to
/// end, nobody knew how many of them it had noticed.
pub fn load(
    server: &Running,
    address: SocketAddr,
    scenario: &Scenario,
    requests: usize,
) -> std::io::Result<(usize, Vec<TcpStream>)> {
    let connect = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    // In parts that the system keeps for a server that is stopped, and each of them to its end: it is known then
    // in how many turns they are accepted. Each asks once: the system may keep one that has not to itself.
    let mut waiting = Vec::new();
    while waiting.len() < scenario.connections - scenario.busy {
        let begin = waiting.len();
        let part = (scenario.connections - scenario.busy - begin).min(64);
        server.stop();
        for _ in 0..part {
            let mut stream = connect()?;
            stream.write_all(scenario.batch(0, 0).as_bytes())?;
            waiting.push(stream);
        }
        server.go_on();
        for stream in &mut waiting[begin..] {
            first_reply(stream)?;
        }
    }
    let clients = (0..scenario.busy).map(|_| connect());
    let mut clients = clients.collect::<std::io::Result<Vec<_>>>()?;
    let together = clients.len() > 1;
    // All replies with a file are as long as the first.
    let (mut done, mut lengths) = (0, vec![None; scenario.files]);
    let (mut memory, mut turn) = (Vec::new(), 0);
    while done < requests {
        if together {
            server.stop();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(scenario.batch(number, turn).as_bytes())?;
        }
        if together {
            server.go_on();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let length = &mut lengths[scenario.file(number, turn)];
            for _ in 0..scenario.pipelined {
                match *length {
                    None => *length = Some(first_reply(client)?),
                    Some(length) => {
                        memory.resize(length, 0);
                        client.read_exact(&mut memory)?;
                    }
                }
                done += 1;
            }
            if scenario.closes {
                *client = connect()?;
            }
        }
        turn += 1;
    }
    waiting.extend(clients);
    Ok((done, waiting))
}

/// Reads a reply with a length; its bytes.
fn first_reply(client: &mut TcpStream) -> std::io::Result<usize> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.ok_or_else(|| std::io::Error::other(text.clone()))?;
    client.read_exact(&mut vec![0; length])?;
    Ok(head.len() + length)
}
