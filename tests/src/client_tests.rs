//! The client against scripted servers: what it has to take, and what it must not let pass.

use crate::client::{Client, End};
use crate::failure::Outcome;
use crate::reply::Asked;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// How the scripted server ends its connection.
#[derive(Clone, Copy)]
enum Then {
    Fin,
    Reset,
    /// Half a second after the script.
    StayOpen,
}

/// A server that accepts once, waits for a byte, sends `pieces` and ends as told.
fn scripted(pieces: Vec<Vec<u8>>, then: Then) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        for piece in pieces {
            // The client may have failed and gone already.
            let _ = stream.write_all(&piece);
            std::thread::sleep(Duration::from_millis(2));
        }
        match then {
            Then::Fin => {}
            Then::Reset => {
                std::thread::sleep(Duration::from_millis(50));
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
            Then::StayOpen => std::thread::sleep(Duration::from_millis(500)),
        }
    });
    (address, server)
}

fn exchange(script: &str, then: Then) -> Outcome<crate::client::Reply> {
    let (address, server) = scripted(vec![script.replace("DATE", DATE).into_bytes()], then);
    let mut client = Client::connect(address)?;
    client.set_patience(Duration::from_millis(300));
    let outcome = client.exchange(Asked::Get, "x");
    drop(client);
    server.join().unwrap();
    outcome
}

#[test]
fn well_framed_replies_are_taken() {
    let cases: &[(&str, Then, &[u8])] = &[
        (
            "HTTP/1.1 200 OK\r\nDATEContent-Length: 5\r\n\r\nhello",
            Then::StayOpen,
            b"hello",
        ),
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            Then::StayOpen,
            b"hello",
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEConnection: close\r\n\r\nhello",
            Then::Fin,
            b"hello",
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            Then::Fin,
            b"hello",
        ),
        ("HTTP/1.1 204 No Content\r\nDATE\r\n", Then::StayOpen, b""),
        (
            "HTTP/1.1 304 Not Modified\r\nDATEContent-Length: 5\r\n\r\n",
            Then::StayOpen,
            b"",
        ),
    ];
    for (script, then, body) in cases {
        assert_eq!(
            exchange(script, *then).expect(script).body,
            *body,
            "{script}"
        );
    }
    let reply = exchange(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nDATEContent-Length: 0\r\n\r\n",
        Then::StayOpen,
    );
    assert_eq!(reply.unwrap().interim, [100]);
}

#[test]
fn misframed_replies_fail() {
    let cases: &[(&str, Then)] = &[
        // Short, by FIN, by a reset and by silence.
        (
            "HTTP/1.1 200 OK\r\nDATEContent-Length: 9\r\n\r\nhello",
            Then::Fin,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEContent-Length: 9\r\n\r\nhello",
            Then::Reset,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEContent-Length: 9\r\n\r\nhello",
            Then::StayOpen,
        ),
        ("HTTP/1.1 200 OK\r\nDATE", Then::Fin),
        ("", Then::Fin),
        ("", Then::StayOpen),
        // Stray bytes.
        (
            "HTTP/1.1 200 OK\r\nDATEContent-Length: 4\r\n\r\nhello",
            Then::StayOpen,
        ),
        ("HTTP/1.1 204 No Content\r\nDATE\r\nx", Then::StayOpen),
        (
            "HTTP/1.1 304 Not Modified\r\nDATEContent-Length: 1\r\n\r\nx",
            Then::StayOpen,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEConnection: close\r\nContent-Length: 4\r\n\r\nhello",
            Then::Fin,
        ),
        // The end is not as the reply says.
        (
            "HTTP/1.1 200 OK\r\nDATEContent-Length: 5\r\n\r\nhello",
            Then::Fin,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            Then::StayOpen,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            Then::Reset,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATEConnection: close\r\n\r\nhello",
            Then::Reset,
        ),
        // Chunks.
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Then::Fin,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            Then::Fin,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
            Then::StayOpen,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
            Then::StayOpen,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\nhello",
            Then::Fin,
        ),
        (
            "HTTP/1.1 200 OK\r\nDATETransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
            Then::StayOpen,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", Then::Fin),
    ];
    for (script, then) in cases {
        assert!(exchange(script, *then).is_err(), "{script:?} was taken");
    }
}

#[test]
fn pipelined_replies_in_any_pieces_are_told_apart() {
    let one = |word: &str| {
        format!(
            "HTTP/1.1 200 OK\r\n{DATE}Content-Length: {}\r\n\r\n{word}",
            word.len()
        )
    };
    let all = one("first") + &one("") + &one("third");
    for size in [1, 7, all.len()] {
        let (address, server) = scripted(
            all.as_bytes().chunks(size).map(<[u8]>::to_vec).collect(),
            Then::Fin,
        );
        let mut client = Client::connect(address).unwrap();
        client.send("x").unwrap();
        for word in ["first", "", "third"] {
            client
                .reply(Asked::Get)
                .unwrap()
                .expect_body(200, word.as_bytes())
                .unwrap();
        }
        client.expect_fin().unwrap();
        server.join().unwrap();
    }
}

#[test]
fn fin_and_reset_are_told_apart() {
    for (then, expected) in [(Then::Fin, End::Fin), (Then::Reset, End::Reset)] {
        let (address, server) = scripted(vec![], then);
        let mut client = Client::connect(address).unwrap();
        client.send("x").unwrap();
        assert_eq!(client.end().unwrap(), expected);
        server.join().unwrap();
    }
    let (address, server) = scripted(vec![b"y".to_vec()], Then::Fin);
    let mut client = Client::connect(address).unwrap();
    client.send("x").unwrap();
    assert!(client.end().is_err(), "a stray byte before the end");
    server.join().unwrap();
}

#[test]
fn silence_is_broken_by_a_byte_or_an_end() {
    for (pieces, then, silent) in [
        (vec![], Then::StayOpen, true),
        (vec![b"y".to_vec()], Then::StayOpen, false),
        (vec![], Then::Fin, false),
    ] {
        let (address, server) = scripted(pieces, then);
        let mut client = Client::connect(address).unwrap();
        client.send("x").unwrap();
        assert_eq!(
            client.expect_silence(Duration::from_millis(200)).is_ok(),
            silent
        );
        server.join().unwrap();
    }
}
