//! Clients see the same bytes whatever a transport and a channel do within their contracts.

mod sim;

use capuchin_core::event::Message;
use capuchin_core::fault::{Dice, Faults, FaultyChannel, FaultyTransport};
use capuchin_core::transport::Socket;
use sim::Net;
use sim::rig::{Setup, run};

/// What one client sends, in pieces of random length.
fn script(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + dice.below(8) {
        let length = dice.below(1_200);
        let request: Vec<u8> = match dice.below(8) {
            0 => b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            1 => format!("GET /echo/w{length} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
            2 => format!("GET /stream/{} HTTP/1.1\r\nHost: a\r\n\r\n", length * 20).into_bytes(),
            3 => format!("GET /file/{} HTTP/1.1\r\nHost: a\r\n\r\n", length * 20).into_bytes(),
            4 => format!(
                "GET /{}/{} HTTP/1.1\r\nHost: a\r\nRange: bytes={}\r\n\r\n",
                ["memory", "pieces", "file"][dice.below(3)],
                length * 20,
                ["3-", "600-9000,0-9,-5,300-301"][dice.below(2)],
            )
            .into_bytes(),
            5 => {
                let mut request =
                    format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
                        .into_bytes();
                request.extend((0..length).map(|_| b'u'));
                request
            }
            6 => {
                let mut request =
                    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        .to_vec();
                for _ in 0..dice.below(5) {
                    let chunk = 1 + dice.below(60);
                    request.extend(format!("{chunk:x}\r\n").into_bytes());
                    request.extend((0..chunk).map(|_| b'c'));
                    request.extend(b"\r\n");
                }
                request.extend(b"0\r\n\r\n");
                request
            }
            _ => format!(
                "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
                "d".repeat(length)
            )
            .into_bytes(),
        };
        bytes.extend(request);
    }
    match dice.below(4) {
        0 => bytes.extend(
            b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /hello HTTP/1.1\r\n",
        ),
        1 => bytes.extend(b"GARBAGE\r\n\r\n"),
        2 => bytes.extend(b"GET /hello HTTP/1.0\r\n\r\n"),
        _ => {}
    }
    bytes
}

/// Plays the scripts of `seed`'s clients under `faults`; tells what each client received.
fn play(seed: u64, faults: Faults) -> Vec<Vec<u8>> {
    let net = Net::new();
    let mut dice = Dice::new(seed);
    let scripts: Vec<Vec<u8>> = (0..1 + dice.below(12)).map(|_| script(&mut dice)).collect();
    let setup = Setup {
        leases: 1 + dice.below(6),
        ..Setup::default()
    };
    let channel = FaultyChannel::new(net.clone(), faults, seed ^ 1);
    let transport = FaultyTransport::new(net.clone(), faults, seed ^ 2);
    let mut received = Vec::new();
    run(&setup, &net, channel, transport, |turn, _, stats| {
        let clients: Vec<Socket> = scripts
            .iter()
            .map(|_| net.connect(200 + dice.below(4_000)))
            .collect();
        let mut left: Vec<&[u8]> = scripts.iter().map(Vec::as_slice).collect();
        let mut quiet = 0;
        while quiet < 400 {
            let mut moved = false;
            for (&client, left) in clients.iter().zip(&mut left) {
                if net.world().pipes[&client.0].closed {
                    *left = &[];
                }
                let (piece, rest) = left.split_at(left.len().min(1 + dice.below(300)));
                net.send(client, piece);
                *left = rest;
                if left.is_empty() {
                    net.finish(client);
                }
                moved |= !piece.is_empty() | !net.read(client).is_empty();
            }
            turn();
            // Time passes, but no deadline: what a fault delays must not end a connection.
            quiet = if moved { 0 } else { quiet + 1 };
        }
        assert_eq!(
            stats.open(),
            0,
            "seed {seed}: every client finished, so every connection ended"
        );
        received = clients
            .iter()
            .map(|&client| without_chunk_sizes(&net.received(client)))
            .collect();
        net.world().messages.push_back(Message::Drain);
        (0..5).for_each(|_| turn());
    });
    received
}

/// Replies without the sizes of their chunks: where a stream is cut into chunks depends on how
/// much room there was. The end of a cut one is left out.
fn without_chunk_sizes(mut bytes: &[u8]) -> Vec<u8> {
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|part| part == what);
    let mut plain = Vec::new();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let (head, mut rest) = bytes.split_at(end + 4);
        plain.extend(head);
        let head = std::str::from_utf8(head).expect("a reply where one is due");
        assert!(head.starts_with("HTTP/1.1 "), "{head:?}");
        if head.contains("Transfer-Encoding: chunked") {
            loop {
                let Some(line) = find(rest, b"\r\n") else {
                    return plain;
                };
                let size = std::str::from_utf8(&rest[..line]).expect("digits");
                let size = usize::from_str_radix(size, 16).expect("a chunk's size");
                rest = &rest[line + 2..];
                plain.extend(&rest[..size.min(rest.len())]);
                if rest.len() < size + 2 {
                    return plain;
                }
                assert_eq!(&rest[size..size + 2], b"\r\n");
                rest = &rest[size + 2..];
                if size == 0 {
                    plain.extend(b"(end)");
                    break;
                }
            }
        } else if let Some((_, length)) = head.split_once("Content-Length: ") {
            let length: usize = length
                .split("\r\n")
                .next()
                .unwrap_or_default()
                .parse()
                .expect("a length");
            let (content, after) = rest.split_at(length.min(rest.len()));
            plain.extend(content);
            rest = after;
        }
        bytes = rest;
    }
    plain.extend(bytes);
    plain
}

#[test]
fn faults_below_are_invisible_above() {
    for seed in 1..=300 {
        let calm = play(seed, Faults::default());
        let rough = Faults {
            short: 500,
            would_block: 300,
            spurious: 500,
            late: 300,
            ..Faults::default()
        };
        assert_eq!(play(seed, rough), calm, "seed {seed}");
    }
}

#[test]
fn same_seed_gives_the_same_run() {
    let faults = Faults {
        short: 500,
        would_block: 300,
        reset: 20,
        exhausted: 50,
        spurious: 500,
        late: 300,
    };
    for seed in [3, 77, 1_234] {
        assert_eq!(play(seed, faults), play(seed, faults));
    }
}

/// With resets, what clients get may be cut short, but nothing else may change.
#[test]
fn broken_connections_cost_nobody_else_anything() {
    for seed in 1..=300 {
        let calm = play(seed, Faults::default());
        let faults = Faults {
            short: 300,
            would_block: 200,
            reset: 15,
            spurious: 300,
            late: 200,
            ..Faults::default()
        };
        for (cut, whole) in play(seed, faults).iter().zip(&calm) {
            let common = cut.iter().zip(whole).take_while(|(a, b)| a == b).count();
            let rest = &cut[common..];
            assert!(
                rest.is_empty(),
                "seed {seed}: {:?}",
                String::from_utf8_lossy(rest)
            );
        }
    }
}
