//! What the way to wait is built on, found out on the system itself: why it is a socketpair that wakes, and
//! that what kqueue has watched can be closed.
//!
//! Only with the features `conformance` and `kqueue`; never part of a server.

use crate::way::{Channel, Transport};
use capuchin_core::conformance::Failure;
use capuchin_core::event::{EventChannel, Interest, Token};
use capuchin_core::transport::{Error, Socket, Transport as _};
use capuchin_posix::kqueue::{EV_ADD, EV_RECEIPT, EVFILT_READ, Kevent, Kqueue};
use capuchin_posix::{Descriptor, socket_pair};
use capuchin_rtems::task;
use core::ffi::c_int;

/// Ticks that a client has to hear of an end within.
const TICKS: u32 = 2_000;

fn expect(holds: bool, expectation: &'static str, found: i64) -> Result<(), Failure> {
    if holds {
        return Ok(());
    }
    Err(Failure {
        expectation,
        found: u64::try_from(found).ok(),
        refusal: None,
    })
}

/// What kqueue answers when it is to watch this: an `errno`, or 0.
fn answer(queue: &Kqueue, descriptor: c_int) -> i64 {
    let change = Kevent::new(descriptor, EVFILT_READ, EV_ADD | EV_RECEIPT);
    let mut receipt = [change];
    match queue.kevent(&[change], &mut receipt, None) {
        Ok(_) => receipt[0].data,
        Err(errno) => errno.into(),
    }
}

/// The 2015 port's first wall.
pub(crate) fn kqueue_refuses_a_pipe_and_takes_a_socketpair() -> Result<(), Failure> {
    let queue = Kqueue::new();
    let queue = queue.or_else(|errno| fail("a kqueue can be had", errno))?;
    let mut ends: [c_int; 2] = [-1; 2];
    // SAFETY: there is room for two descriptors.
    let made = unsafe { libc::pipe(ends.as_mut_ptr()) };
    expect(
        made == 0,
        "a pipe can be had",
        capuchin_posix::errno().into(),
    )?;
    // SAFETY: both were just made, for these owners.
    let pipe = unsafe { ends.map(|end| Descriptor::own(end)) };
    let found = answer(&queue, pipe[0].number());
    expect(
        found == libc::EINVAL.into(),
        "kqueue refuses RTEMS's pipe with EINVAL",
        found,
    )?;
    let pair = socket_pair();
    let (end, _other) = pair.or_else(|errno| fail("a socketpair can be had", errno))?;
    let found = answer(&queue, end.number());
    expect(found == 0, "kqueue takes a socketpair", found)
}

fn fail<T>(expectation: &'static str, errno: i32) -> Result<T, Failure> {
    Err(Failure {
        expectation,
        found: Some(errno.unsigned_abs().into()),
        refusal: None,
    })
}

/// The second: on some branches of libbsd it stays open, and its client waits for ever.
pub(crate) fn watched_socket_closes_and_its_peer_hears_of_it(
    channel: &mut Channel,
    transport: &mut Transport,
    (socket, peer): (Socket, Socket),
) -> Result<(), Failure> {
    let token = Token::from_bits(1);
    for refusal in [
        channel.add(socket, token, Interest::BOTH).err(),
        channel.remove(socket).err(),
    ] {
        if refusal.is_some() {
            return Err(Failure {
                expectation: "a socket is watched, and then no more",
                found: None,
                refusal,
            });
        }
    }
    let closed = transport.close(socket);
    expect(closed.is_ok(), "a socket that was watched is closed", 0)?;
    for _ in 0..TICKS {
        match transport.receive(peer, &mut [0]) {
            Ok(0) => return Ok(()),
            Err(Error::WouldBlock) => task::wake_after(1),
            _ => return fail("the peer receives an end, and no error", 0),
        }
    }
    fail("the peer hears that the socket was closed", 0)
}
