//! The floor: what one thread can do at the most with these system calls. One epoll, one `recv`, a
//! search for blank lines, one `send` of as many ready replies, with the fields that a file's reply
//! has, so that the same bytes are on the way. No parsing, no files, no limits, no
//! timeouts: it is a yardstick, not a server.
//!
//! `floor [--port N] [--body BYTES] [--close 1]` prints `http://127.0.0.1:PORT/`.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;

/// Replies that one send holds at the most: the pipelined scenario is 16 deep.
const DEPTH: usize = 32;

fn main() {
    let mut port = 0u16;
    let mut body = 4_096usize;
    let mut close = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (&*word, value.parse::<usize>()) {
            ("--port", Ok(value)) => port = value as u16,
            ("--body", Ok(value)) => body = value,
            ("--close", Ok(value)) => close = value != 0,
            _ => {
                eprintln!("floor: {word} {value}: floor [--port N] [--body BYTES] [--close 1]");
                std::process::exit(2);
            }
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    listener
        .set_nonblocking(true)
        .expect("a socket can be non-blocking");
    println!("http://{}/", listener.local_addr().expect("bound"));
    std::io::stdout().flush().expect("standard output is open");
    serve(listener.into_raw_fd(), body, close);
}

/// One reply `DEPTH` times over.
fn replies(body: usize, close: bool) -> (Vec<u8>, usize) {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n\
         ETag: \"1grCSqU5pjB.AC.RTom\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n\
         Content-Length: {body}\r\n{connection}\r\n"
    )
    .into_bytes();
    reply.resize(reply.len() + body, b'x');
    (reply.repeat(DEPTH), reply.len())
}

fn serve(listener: i32, body: usize, close: bool) {
    let (replies, length) = replies(body, close);
    let mut buffer = vec![0u8; 16 << 10];
    // SAFETY: every pointer passed below is to memory that lives through its call and has the
    // length that is passed with it; descriptors are the ones these calls gave.
    unsafe {
        let one = 1i32;
        libc::listen(listener, i32::MAX);
        libc::setsockopt(
            listener,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const one).cast(),
            4,
        );
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: listener as u64,
        };
        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, listener, &raw mut event);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        loop {
            let count = libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, -1);
            for event in &events[..count.max(0) as usize] {
                let socket = event.u64 as i32;
                if socket == listener {
                    loop {
                        let new = libc::accept4(
                            listener,
                            std::ptr::null_mut(),
                            std::ptr::null_mut(),
                            libc::SOCK_NONBLOCK,
                        );
                        if new < 0 {
                            break;
                        }
                        let mut event = libc::epoll_event {
                            events: libc::EPOLLIN as u32,
                            u64: new as u64,
                        };
                        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, new, &raw mut event);
                    }
                    continue;
                }
                let received = libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0);
                if received <= 0 {
                    libc::close(socket);
                    continue;
                }
                let input = &buffer[..received as usize];
                let requests = blank_lines(input).min(DEPTH);
                let total = requests * length;
                let sent = libc::send(socket, replies.as_ptr().cast(), total, libc::MSG_NOSIGNAL);
                // It keeps nothing: a client that does not read is none of its scenarios.
                if sent != total as isize || close {
                    libc::close(socket);
                }
            }
        }
    }
}

/// How many heads end in these bytes. Requests of the load generators come whole.
fn blank_lines(input: &[u8]) -> usize {
    let (mut count, mut at) = (0, 0);
    while let Some(found) = memchr::memmem::find(&input[at..], b"\r\n\r\n") {
        count += 1;
        at += found + 4;
    }
    count
}
