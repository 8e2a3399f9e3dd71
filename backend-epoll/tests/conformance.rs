//! The conformance suite of the trait on epoll, a test for each case.

use capuchin_core::conformance::{Failure, Lab, cases};
use capuchin_core::event::EventChannel;
use capuchin_core::transport::{Socket, Transport};
use capuchin_epoll::{EpollChannel, EpollNotifier};
use capuchin_posix::{ListenOptions, PosixTransport, listen, local_address};
use libtest_mimic::{Arguments, Failed, Trial};
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

struct Bench {
    transport: PosixTransport,
    begin: Instant,
    threads: Vec<JoinHandle<()>>,
}

impl Lab for Bench {
    type Channel = EpollChannel;
    type Notifier = EpollNotifier;
    type Transport = PosixTransport;

    fn channel(&mut self, capacity: usize) -> EpollChannel {
        EpollChannel::new(capacity).expect("descriptors for a channel")
    }

    fn transport(&mut self) -> &mut PosixTransport {
        &mut self.transport
    }

    fn pair(&mut self) -> Option<(Socket, Socket)> {
        let listener = self.listener()?;
        let client = self.connect(listener)?;
        let accepted = (0..1_000).find_map(|_| {
            let accepted = self.transport.accept(listener).ok();
            if accepted.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            accepted
        });
        self.transport.close(listener).ok()?;
        Some((accepted?, client))
    }

    fn listener(&mut self) -> Option<Socket> {
        listen("127.0.0.1:0".parse().ok()?, &ListenOptions::default()).ok()
    }

    fn connect(&mut self, listener: Socket) -> Option<Socket> {
        let stream = TcpStream::connect(local_address(listener)?).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(Socket(stream.into_raw_fd()))
    }

    fn reset(&mut self, socket: Socket) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: `linger` lives through the call and has the length that is passed.
        unsafe {
            libc::setsockopt(
                socket.0,
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
        self.transport.close(socket).expect("an open socket");
    }

    fn start(&mut self, notifier: &EpollNotifier, count: usize, job: fn(&EpollNotifier, usize)) {
        for number in 0..count {
            let notifier = notifier.clone();
            self.threads
                .push(std::thread::spawn(move || job(&notifier, number)));
        }
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            thread.join().expect("a sender does not panic");
        }
    }

    fn now(&mut self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }
}

fn main() {
    let trials = cases::<Bench>().into_iter().map(|(name, run)| {
        Trial::test(name, move || {
            let mut bench = Bench {
                transport: PosixTransport,
                begin: Instant::now(),
                threads: Vec::new(),
            };
            match run(&mut bench) {
                Ok(()) => Ok(()),
                Err(Failure::Broken(promise)) => Err(Failed::from(format!("broken: {promise}"))),
                Err(Failure::NotPossible) => Err(Failed::from(
                    "this lab can do everything, yet the case was not possible",
                )),
            }
        })
    });
    // What the suite cannot see from outside: the channel outlives its notifiers and they it.
    let orphan = Trial::test("notifier_of_a_channel_that_is_gone_is_told_full", || {
        use capuchin_core::event::{Full, Message, Notifier};
        let channel = EpollChannel::new(4).map_err(|error| error.to_string())?;
        let notifier = channel.notifier();
        drop(channel);
        if notifier.send(Message::Stop) == Err(Full) {
            Ok(())
        } else {
            Err("taken".into())
        }
    });
    libtest_mimic::run(&Arguments::from_args(), trials.chain([orphan]).collect()).exit();
}
