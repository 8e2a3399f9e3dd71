//! The conformance suite of event channels on epoll, a test for each case.

use capuchin_core::conformance::{Aide, Lab, cases};
use capuchin_core::transport::{Error, Socket, Transport};
use capuchin_epoll::EpollChannel;
use capuchin_posix::{ListenOptions, PosixTransport, listen, local_address};
use core::ffi::c_int;
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::time::{Duration, Instant};

/// Small, so that a socket is soon full; the kernel doubles it.
const SOCKET_BUFFER_BYTES: c_int = 4_096;

struct Bench {
    begin: Instant,
    open: BTreeSet<i32>,
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

impl Bench {
    fn own(&mut self, socket: Socket) -> Socket {
        self.open.insert(socket.0);
        socket
    }
}

impl Lab for Bench {
    type Channel = EpollChannel;
    const PAIRS: usize = 200;
    const LONG_QUEUE: usize = 70_000;

    fn channel(&mut self, messages: usize) -> Option<EpollChannel> {
        EpollChannel::new(messages).ok()
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
        let socket = PosixTransport.accept(listener)?;
        Ok(self.own(socket))
    }
    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        PosixTransport.receive(socket, buffer)
    }
    fn send(&mut self, socket: Socket, bytes: &[u8]) -> Result<usize, Error> {
        PosixTransport.send(socket, &[bytes], false)
    }
    fn half_close(&mut self, socket: Socket) {
        PosixTransport.shutdown(socket).expect("a connected socket")
    }
    fn close(&mut self, socket: Socket) {
        assert!(self.open.remove(&socket.0), "a socket of the lab's");
        PosixTransport.close(socket).expect("an open socket");
    }
    fn reset(&mut self, socket: Socket) {
        set(
            socket.0,
            libc::SO_LINGER,
            &libc::linger {
                l_onoff: 1,
                l_linger: 0,
            },
        );
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
        for socket in std::mem::take(&mut self.open) {
            PosixTransport
                .close(Socket(socket))
                .expect("an open socket");
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
        let _ = PosixTransport.send(socket, &[b"p"], false);
    }
    fn interrupt(&self) -> bool {
        // SAFETY: the thread waits for this one to end, so it lives.
        unsafe { libc::pthread_kill(self.main, libc::SIGUSR1) == 0 }
    }
}

extern "C" fn nothing(_: c_int) {}

fn main() {
    // SAFETY: the handler does nothing, so it may run at any time.
    unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t) };
    let trials = cases::<Bench>().into_iter().map(|case| {
        Trial::test(case.name, move || {
            let mut bench = Bench {
                begin: Instant::now(),
                open: BTreeSet::new(),
            };
            case.run(&mut bench)
                .map_err(|failure| Failed::from(failure.to_string()))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
