//! The floor: what one thread can do at the most with these system calls. One epoll, one `recv` into
//! a fixed buffer, a search for the blank lines in it, one `send` of as many ready replies. The reply
//! has the fields that a file's reply has, so that the same bytes are on the way.
//!
//! It is a yardstick, not a server: no parsing, no files, no limits, no timeouts. It trusts that a
//! request comes whole, that at most [`DEPTH`] come together, that a client takes its replies, and
//! that a request which wants the connection closed says so in its last line.
//!
//! With `--close 1` it closes after every reply: wrk puts its fields in any order. With `--keep 1` it
//! says in every reply that the connection lives on: clients of HTTP/1.0 want to be told.
//!
//! `floor [--port N] [--body BYTES] [--close 1] [--keep 1]` prints `listening on http://127.0.0.1:PORT/`.

use memchr::memmem::Finder;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

/// Replies that one send holds at the most: the pipelined scenario is 16 deep.
const DEPTH: usize = 32;

/// A larger body is not asked for by pipelined requests, and wants room in the socket.
const LARGE: usize = 16 << 10;

/// Room for a reply with a large body, which is sent by one call, too.
const SEND_BUFFER: i32 = 1 << 20;

/// Bytes that one `recv` takes.
const BUFFER: usize = 16 << 10;

/// Events that one `epoll_wait` takes.
const EVENTS: usize = 64;

/// How the head of a request ends whose connection is to be closed.
const LAST_REQUEST: &[u8] = b"close\r\n\r\n";

fn main() -> ExitCode {
    let (mut port, mut body, mut close, mut keep) = (0u16, 4_096usize, false, "");
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (&*word, value.parse::<u32>()) {
            ("--port", Ok(value)) if value <= u32::from(u16::MAX) => port = value as u16,
            ("--body", Ok(value)) => body = value as usize,
            ("--close", Ok(value)) => close = value != 0,
            ("--keep", Ok(1)) => keep = "Connection: Keep-Alive\r\n",
            _ => {
                eprintln!(
                    "floor: {word} {value}: floor [--port N] [--body BYTES] [--close 1] [--keep 1]"
                );
                return ExitCode::from(2);
            }
        }
    }
    match listen(port, body) {
        Ok(listener) => serve(listener.as_raw_fd(), body, close, keep),
        Err(error) => eprintln!("floor: port {port}: {error}"),
    }
    ExitCode::FAILURE
}

fn listen(port: u16, body: usize) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let socket = listener.as_raw_fd();
    system::listen_longer(socket);
    // Accepted sockets inherit these.
    system::set(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    system::set(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1);
    if body > LARGE {
        system::set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER);
    }
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{}/", listener.local_addr()?)?;
    out.flush()?;
    Ok(listener)
}

/// Runs until it is killed, or epoll fails.
fn serve(listener: i32, body: usize, always_close: bool, keep: &str) {
    let (ready, length) = replies(body, keep);
    let (last, last_length) = replies(body, "Connection: close\r\n");
    let mut buffer = vec![0u8; BUFFER];
    let search = Finder::new(b"\r\n\r\n");
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    let epoll = system::epoll();
    system::watch(epoll, listener);
    // Whether the connection lives on.
    let mut answer = |socket: i32| {
        let received = system::receive(socket, &mut buffer);
        if received <= 0 {
            return received < 0 && system::would_block();
        }
        let input = &buffer[..received as usize];
        let requests = blank_lines(&search, input).min(DEPTH);
        if always_close || input.ends_with(LAST_REQUEST) {
            let before = requests.saturating_sub(1) * length;
            if before > 0 {
                system::send(socket, &ready[..before]);
            }
            system::send(socket, &last[..last_length.min(requests * last_length)]);
            return false;
        }
        let total = (requests * length).min(ready.len());
        system::send(socket, &ready[..total]) == total as isize
    };
    loop {
        let count = system::wait(epoll, &mut events);
        if count < 0 && !system::interrupted() {
            return;
        }
        for event in &events[..count.max(0) as usize] {
            let socket = event.u64 as i32;
            if socket != listener {
                if !answer(socket) {
                    system::close(socket);
                }
                continue;
            }
            loop {
                let socket = system::accept(listener);
                if socket < 0 {
                    break;
                }
                // The request is there already, for accepting was deferred; a connection of one
                // request never meets epoll.
                if answer(socket) {
                    system::watch(epoll, socket);
                } else {
                    system::close(socket);
                }
            }
        }
    }
}

/// A reply `DEPTH` times over (a large one once), and the length of one.
fn replies(body: usize, connection: &str) -> (Vec<u8>, usize) {
    let mut reply = format!(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: application/octet-stream\r\nETag: \"CrPskqS2YAO.AC.gA\"\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n\
         Content-Length: {body}\r\n{connection}\r\n"
    )
    .into_bytes();
    reply.resize(reply.len() + body, b'x');
    let times = if body > LARGE { 1 } else { DEPTH };
    (reply.repeat(times), reply.len())
}

/// How many heads end in these bytes: the search that any server would use.
fn blank_lines(search: &Finder<'_>, input: &[u8]) -> usize {
    search.find_iter(input).count()
}

/// The system calls, nothing added.
mod system {
    pub fn listen_longer(socket: i32) {
        // SAFETY: no memory is passed.
        unsafe { libc::listen(socket, i32::MAX) };
    }

    pub fn set(socket: i32, level: i32, option: i32, value: i32) {
        // SAFETY: the value lives through the call and has the length that is passed.
        unsafe {
            libc::setsockopt(
                socket,
                level,
                option,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
        };
    }

    pub fn epoll() -> i32 {
        // SAFETY: no memory is passed.
        unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }
    }

    #[inline(always)]
    pub fn watch(epoll: i32, socket: i32) {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: socket as u64,
        };
        // SAFETY: the event lives through the call.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &raw mut event) };
    }

    #[inline(always)]
    pub fn wait(epoll: i32, events: &mut [libc::epoll_event]) -> i32 {
        // SAFETY: the slice has room for as many events as are asked for.
        unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, -1) }
    }

    #[inline(always)]
    pub fn accept(listener: i32) -> i32 {
        let none = std::ptr::null_mut();
        // SAFETY: no address is asked for, so the null pointers are not followed.
        unsafe { libc::accept4(listener, none, none.cast(), libc::SOCK_NONBLOCK) }
    }

    #[inline(always)]
    pub fn receive(socket: i32, buffer: &mut [u8]) -> isize {
        // SAFETY: the buffer has the length that is passed.
        unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) }
    }

    #[inline(always)]
    pub fn send(socket: i32, bytes: &[u8]) -> isize {
        // SAFETY: the bytes have the length that is passed.
        unsafe {
            libc::send(
                socket,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        }
    }

    #[inline(always)]
    pub fn close(socket: i32) {
        // SAFETY: no memory is passed; the caller does not use the descriptor again.
        unsafe { libc::close(socket) };
    }

    pub fn would_block() -> bool {
        std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
    }

    pub fn interrupted() -> bool {
        std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_counted_wherever_they_lie() {
        let request = b"GET /128.bin HTTP/1.1\r\nHost: bench\r\n\r\n";
        let search = Finder::new(b"\r\n\r\n");
        for count in 0..=DEPTH {
            assert_eq!(blank_lines(&search, &request.repeat(count)), count);
        }
        for before in 0..600 {
            let mut input = vec![b'a'; before];
            input.extend_from_slice(b"\r\n\r\n");
            assert_eq!(blank_lines(&search, &input), 1, "{before} bytes before");
            input.pop();
            assert_eq!(
                blank_lines(&search, &input),
                0,
                "{before} bytes before, cut"
            );
        }
    }

    #[test]
    fn each_of_the_ready_replies_is_whole() {
        let (bytes, length) = replies(128, "");
        assert_eq!(bytes.len(), length * DEPTH);
        for reply in bytes.chunks(length) {
            assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"));
            assert!(reply.ends_with(&[b"\r\n\r\n".as_slice(), &[b'x'; 128]].concat()));
        }
    }
}
