//! Pipelined load: 16 requests by one send, 16 replies awaited, on 16 connections.

use crate::{LOAD_CORE, load};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const DEPTH: usize = 16;
const CONNECTIONS: usize = 16;

/// Then all connections are made anew: lighttpd closes one after 65,535 requests.
const BATCHES_PER_CONNECTION: usize = 4_000;

/// Requests answered, seconds, errors.
pub fn run(address: SocketAddr, path: &str, seconds: u64) -> Result<(u64, f64, u64), String> {
    let path = path.to_owned();
    // A thread of its own, so that the affinity is its own, too.
    let thread = thread::spawn(move || {
        load::pin_self(LOAD_CORE);
        drive(address, &path, seconds).map_err(|error| format!("pipelined load: {error}"))
    });
    thread
        .join()
        .map_err(|_| "the load generator panicked".to_string())?
}

fn drive(address: SocketAddr, path: &str, seconds: u64) -> std::io::Result<(u64, f64, u64)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").repeat(DEPTH);
    let mut streams = connect(address)?;
    let length = reply_length(&mut streams[0], path)?;
    let batch = length * DEPTH;
    let mut buffer = vec![0u8; batch];
    let (mut requests, mut errors) = (0, 0);
    let mut batches = 0;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    while Instant::now() < end {
        batches += 1;
        if batches % BATCHES_PER_CONNECTION == 0 {
            streams = connect(address)?;
        }
        // All are asked before any is read, so that the server always has work.
        for stream in &mut streams {
            stream.write_all(request.as_bytes())?;
        }
        for stream in &mut streams {
            stream.read_exact(&mut buffer)?;
            let right = buffer
                .chunks(length)
                .filter(|reply| reply.starts_with(b"HTTP/1.1 200"))
                .count();
            requests += right as u64;
            errors += (DEPTH - right) as u64;
        }
    }
    Ok((requests, begin.elapsed().as_secs_f64(), errors))
}

fn connect(address: SocketAddr) -> std::io::Result<Vec<TcpStream>> {
    let one = |_| {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(stream)
    };
    (0..CONNECTIONS).map(one).collect()
}

/// Bytes of one reply, head included; all replies to the same request have the same.
fn reply_length(stream: &mut TcpStream, path: &str) -> std::io::Result<usize> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes())?;
    let mut reply = Vec::new();
    let mut piece = [0u8; 4_096];
    loop {
        let count = stream.read(&mut piece)?;
        reply.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&reply);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            let whole = head.len() + 4 + length.unwrap_or(0);
            if reply.len() >= whole {
                return Ok(whole);
            }
        }
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
