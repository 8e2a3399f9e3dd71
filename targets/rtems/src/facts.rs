//! What the way to wait is built on, found out on the system itself: why it is a socketpair that wakes, and
//! that what kqueue has watched can be closed.
//!
//! Only with the features `conformance` and `kqueue`; never part of a server.

use crate::console::say;
use crate::way::{Channel, Transport};
use capuchin_core::conformance::{Aide, Failure, Lab};
use capuchin_core::event::{
    Deadline, Event, EventChannel, EventList, Interest, Message, Notifier, Token,
};
use capuchin_core::transport::{Error, Socket, Transport as _};
use capuchin_posix::kqueue::{EV_ADD, EV_RECEIPT, EVFILT_READ, Kevent, Kqueue};
use capuchin_posix::{Descriptor, PosixTransport, socket_pair};
use capuchin_rtems::{task, ticks, ticks_of};
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

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

/// What may pass until a worker is woken, in milliseconds; a channel that is deaf looks after its sockets
/// every 250.
const AT_ONCE_MS: u32 = 100;
/// What may pass where it is deaf at first.
const LOOK_MS: u32 = 600;
/// How long somebody waits who is not woken.
const GIVE_UP_MS: u32 = 3_000;
/// Until the wait has begun.
const NAP_MS: u32 = 50;

/// What the other task does: it calls what it is given to wake the one that waits.
type Work<'w> = &'w (dyn Fn(&dyn Fn()) -> Result<(), Failure> + Sync);

/// What `wake` does in the midst of `work`, on another task, ends a wait with `expected` within so many
/// milliseconds.
fn wakes<L: Lab<Channel = Channel>>(
    lab: &mut L,
    channel: &mut Channel,
    expected: &(dyn Fn(&Event) -> bool + Sync),
    limit: u32,
    wake: &(dyn Fn(&dyn Aide) + Sync),
    work: Work<'_>,
) -> Result<(), Failure> {
    let (failed, woken_at) = (AtomicBool::new(false), AtomicU32::new(0));
    let task = |_: usize, aide: &dyn Aide| {
        aide.nap(NAP_MS);
        let wake = || {
            woken_at.store(ticks(), SeqCst);
            wake(aide);
        };
        if let Err(failure) = work(&wake) {
            say(format_args!("the other task: {failure}"));
            failed.store(true, SeqCst);
        }
    };
    let mut outcome = Ok(());
    lab.together(1, &task, &mut |_| {
        let mut events = EventList::new();
        let refused = channel.wait(&mut events, Deadline::After(GIVE_UP_MS)).err();
        let took = ticks().wrapping_sub(woken_at.load(SeqCst));
        outcome = expect(refused.is_none(), "a wait is no error", 0)
            .and_then(|()| {
                let told = events.as_slice().iter().any(expected);
                expect(told, "what woke is told", took.into())
            })
            .and_then(|()| expect(took < ticks_of(limit), "it wakes in time", took.into()));
    });
    let is_done = !failed.load(SeqCst);
    expect(is_done, "the other task does its part", 0)?;
    outcome
}

/// As [`wakes`], by a message.
fn message_wakes<L: Lab<Channel = Channel>>(
    lab: &mut L,
    channel: &mut Channel,
    limit: u32,
    work: Work<'_>,
) -> Result<(), Failure> {
    let notifier = channel.notifier();
    let is_it = |event: &Event| *event == Event::Message(Message::Drain);
    let send = |_: &dyn Aide| {
        let _ = notifier.send(Message::Drain);
    };
    wakes(lab, channel, &is_it, limit, &send, work)
}

/// A socket of which libbsd thinks by this number.
fn socket_of_number(wanted: i32) -> Result<Descriptor, Failure> {
    const SOCKETS: usize = 250;
    let mut others = heapless::Vec::<Descriptor, SOCKETS>::new();
    loop {
        // SAFETY: no memory is passed.
        let number = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
        if number < 0 {
            return fail(
                "there is a socket for every number",
                capuchin_posix::errno(),
            );
        }
        // SAFETY: it was just made, for this owner.
        let socket = unsafe { Descriptor::own(number) };
        if capuchin_rtems::number(Socket(number)) == wanted as u32 {
            return Ok(socket);
        }
        if others.push(socket).is_err() {
            return fail("no socket has that number", wanted);
        }
    }
}

/// libbsd forgets the socketpair like any other socket when one is closed that it counts by the
/// socketpair's descriptor. Nobody is told of that close.
pub(crate) fn bell_that_a_close_has_hit_is_heard<L: Lab<Channel = Channel>>(
    lab: &mut L,
) -> Result<(), Failure> {
    let channel = lab.channel(1);
    let mut channel = channel.ok_or_else(|| missing("a channel can be had"))?;
    let bell = channel.bell();
    message_wakes(lab, &mut channel, AT_ONCE_MS, &|send| {
        drop(socket_of_number(bell)?);
        send();
        Ok(())
    })
}

/// The same between a ring and the moment at which the worker runs: it sleeps again.
pub(crate) fn bell_that_a_close_hits_while_it_rings_is_heard<L: Lab<Channel = Channel>>(
    lab: &mut L,
) -> Result<(), Failure> {
    let channel = lab.channel(1);
    let mut channel = channel.ok_or_else(|| missing("a channel can be had"))?;
    let bell = channel.bell();
    message_wakes(lab, &mut channel, LOOK_MS, &|send| {
        let socket = socket_of_number(bell)?;
        // As urgent as the one that waits, this task goes on.
        send();
        drop(socket);
        Ok(())
    })
}

/// A socket that a close has hit is watched anew at once where the close is told of.
pub(crate) fn socket_that_a_close_has_hit_is_heard<L: Lab<Channel = Channel>>(
    lab: &mut L,
    (socket, peer): (Socket, Socket),
) -> Result<(), Failure> {
    let channel = lab.channel(1);
    let mut channel = channel.ok_or_else(|| missing("a channel can be had"))?;
    let added = channel.add(socket, Token::from_bits(1), Interest::READ);
    expect(added.is_ok(), "a socket is watched", 0)?;
    let is_it = |event: &Event| matches!(event, Event::Ready { .. });
    let poke = |aide: &dyn Aide| aide.poke(peer);
    wakes(lab, &mut channel, &is_it, AT_ONCE_MS, &poke, &|poke| {
        let stranger = Socket(socket_of_number(socket.0)?.leave());
        let closed = Transport::new(PosixTransport).close(stranger);
        expect(closed.is_ok(), "a socket is closed", 0)?;
        poke();
        Ok(())
    })
}

/// What a channel left unread rings no more for the one that comes after it.
pub(crate) fn message_wakes_a_channel_that_comes_after_an_unread_one<L: Lab<Channel = Channel>>(
    lab: &mut L,
) -> Result<(), Failure> {
    let unread = lab
        .channel(1)
        .ok_or_else(|| missing("a channel can be had"))?;
    let sent = unread.notifier().send(Message::Stop);
    expect(sent.is_ok(), "a message is sent", 0)?;
    drop(unread);
    let channel = lab.channel(1);
    let mut channel = channel.ok_or_else(|| missing("another channel can be had"))?;
    message_wakes(lab, &mut channel, AT_ONCE_MS, &|send| {
        send();
        Ok(())
    })
}

pub(crate) fn missing(expectation: &'static str) -> Failure {
    Failure {
        expectation,
        found: None,
        refusal: None,
    }
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
