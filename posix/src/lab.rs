//! What the conformance suite of event channels needs of a system with threads, for the backends'
//! own tests: sockets over 127.0.0.1, helpers, signals. A backend adds its channel and, where the
//! channel works together with one, its transport.
//!
//! Only with the feature `lab`; never part of a server.

use crate::{ListenOptions, PosixTransport, listen, local_address};
use capuchin_core::conformance::{Aide, Case, Lab, cases};
use capuchin_core::event::{EventChannel, Notifier};
use capuchin_core::transport::{Error, Socket, Then, Transport};
use core::ffi::c_int;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::time::{Duration, Instant};

/// Small, so that a socket is soon full; the kernel doubles it.
const SOCKET_BUFFER_BYTES: c_int = 4_096;

/// Adds the outcome of a backend's run to the table that `tests/run` prints, where one is wanted: a
/// line in the file that `CAPUCHIN_TEST_TABLE` names (see `tests/src/runner/tally.rs`).
pub fn tell_table(backend: &str, passed: u64, failed: u64) {
    let Some(path) = std::env::var_os("CAPUCHIN_TEST_TABLE") else {
        return;
    };
    let line = std::format!("TABLE\t{backend}\tconformance\t{passed}\t{failed}\t0\n");
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        std::eprintln!("the table's file: {error}");
    }
}

/// What a backend brings.
pub trait Kind {
    /// The channel under examination.
    type Channel: EventChannel<Notifier: Notifier + Sync>;
    /// The transport that goes with it.
    type Transport: Transport;
    /// As [`Lab::LONG_QUEUE`].
    const LONG_QUEUE: usize;
    /// As [`Lab::channel`].
    fn channel(&mut self, messages: usize) -> Option<Self::Channel>;
    /// The transport.
    fn transport(&mut self) -> &mut Self::Transport;
}

/// The lab of a backend.
pub struct PosixLab<K> {
    kind: K,
    begin: Instant,
    open: BTreeSet<i32>,
}

impl<K: Kind> PosixLab<K> {
    /// A lab without any socket.
    pub fn new(kind: K) -> Self {
        Self {
            kind,
            begin: Instant::now(),
            open: BTreeSet::new(),
        }
    }

    /// Every case. Signals that the cases send are caught from now on.
    #[must_use]
    pub fn cases() -> std::vec::Vec<Case<Self>> {
        // SAFETY: the handler does nothing, so it may run at any time.
        unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t) };
        cases::<Self>().into()
    }

    fn own(&mut self, socket: Socket) -> Socket {
        self.open.insert(socket.0);
        socket
    }
}

fn set<T>(socket: i32, name: c_int, value: &T) {
    // SAFETY: the value lives through the call and has the length that is passed.
    unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
}

impl<K: Kind> Lab for PosixLab<K> {
    type Channel = K::Channel;
    const PAIRS: usize = 200;
    const LONG_QUEUE: usize = K::LONG_QUEUE;

    fn channel(&mut self, messages: usize) -> Option<K::Channel> {
        self.kind.channel(messages)
    }

    fn pair(&mut self) -> Option<(Socket, Socket)> {
        let listener = self.listener()?;
        set(listener.0, libc::SO_SNDBUF, &SOCKET_BUFFER_BYTES);
        set(listener.0, libc::SO_RCVBUF, &SOCKET_BUFFER_BYTES);
        let client = self.connect(listener)?;
        let accepted = (0..1_000).find_map(|_| {
            let accepted = self.accept(listener).ok();
            if accepted.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            accepted
        })?;
        self.close(listener);
        Some((accepted, client))
    }

    fn listener(&mut self) -> Option<Socket> {
        let socket = listen("127.0.0.1:0".parse().ok()?, &ListenOptions::default()).ok()?;
        Some(self.own(socket))
    }

    fn connect(&mut self, listener: Socket) -> Option<Socket> {
        let stream = TcpStream::connect(local_address(listener)?).ok()?;
        stream.set_nonblocking(true).ok()?;
        stream.set_nodelay(true).ok()?;
        let socket = Socket(stream.into_raw_fd());
        set(socket.0, libc::SO_SNDBUF, &SOCKET_BUFFER_BYTES);
        set(socket.0, libc::SO_RCVBUF, &SOCKET_BUFFER_BYTES);
        Some(self.own(socket))
    }

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        let socket = self.kind.transport().accept(listener)?;
        Ok(self.own(socket))
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.kind.transport().receive(socket, buffer)
    }

    fn send(&mut self, socket: Socket, bytes: &[u8]) -> Result<usize, Error> {
        self.kind.transport().send(socket, &[bytes], Then::Nothing)
    }

    fn half_close(&mut self, socket: Socket) {
        self.kind
            .transport()
            .shutdown(socket)
            .expect("a connected socket");
    }

    fn close(&mut self, socket: Socket) {
        assert!(self.open.remove(&socket.0), "a socket of the lab's");
        self.kind.transport().close(socket).expect("an open socket");
    }

    fn reset(&mut self, socket: Socket) {
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        set(socket.0, libc::SO_LINGER, &at_once);
        self.close(socket);
    }

    fn now(&mut self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }

    fn together(
        &mut self,
        count: usize,
        task: &(dyn Fn(usize, &dyn Aide) + Sync),
        meanwhile: &mut dyn FnMut(&mut Self),
    ) {
        // SAFETY: no memory is passed.
        let main = unsafe { libc::pthread_self() };
        let aide = Helper { main };
        std::thread::scope(|scope| {
            for number in 0..count {
                let aide = &aide;
                scope.spawn(move || task(number, aide));
            }
            meanwhile(self);
        });
    }

    fn tidy(&mut self) {
        for socket in core::mem::take(&mut self.open) {
            let closed = self.kind.transport().close(Socket(socket));
            closed.expect("an open socket");
        }
    }
}

struct Helper {
    main: libc::pthread_t,
}

impl Aide for Helper {
    fn nap(&self, milliseconds: u32) {
        match milliseconds {
            0 => std::thread::yield_now(),
            some => std::thread::sleep(Duration::from_millis(some.into())),
        }
    }

    fn poke(&self, socket: Socket) {
        let _ = PosixTransport.send(socket, &[b"p"], Then::Nothing);
    }

    fn interrupt(&self) -> bool {
        // SAFETY: the thread waits for this one to end, so it lives.
        unsafe { libc::pthread_kill(self.main, libc::SIGUSR1) == 0 }
    }
}

extern "C" fn nothing(_: c_int) {}
