//! What the cases are put together from: expectations, and waits that look for something.

use super::{Aide, Failure, Lab, Outcome};
use crate::event::{self, Deadline, Event, EventChannel, EventList, Message, Readiness, Token};
use crate::transport::{Error, Socket};
use core::sync::atomic::{AtomicBool, Ordering};

/// Waits within which a channel must come to silence: readiness is a hint, so an event too many is
/// forgiven, an endless stream of them is not.
pub const PATIENCE: usize = 8;

/// How long silence is listened to, in milliseconds.
pub(super) const HUSH_MS: u32 = 15;

/// When something that should have happened at once is given up, in milliseconds. Long, for the
/// machine may be busy: it costs time only where a case fails.
pub(super) const GIVE_UP_MS: u32 = 4_000;

/// What counts as at once, in milliseconds: well below [`GIVE_UP_MS`], well above the hiccups of a
/// busy machine.
pub(super) const AT_ONCE_MS: u64 = 1_500;

/// Messages of a queue whose length does not matter.
pub(super) const QUEUE: usize = 32;

pub(super) fn expect(holds: bool, expectation: &'static str) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(failure(expectation))
    }
}

pub(super) fn expect_number(
    holds: bool,
    expectation: &'static str,
    found: impl TryInto<u64>,
) -> Outcome {
    let found = found.try_into().ok();
    expect(holds, expectation).map_err(|failure| Failure { found, ..failure })
}

pub(super) fn failure(expectation: &'static str) -> Failure {
    Failure {
        expectation,
        found: None,
        refusal: None,
    }
}

/// Names a call that the channel must not refuse.
pub(super) fn allowed(expectation: &'static str) -> impl FnOnce(event::Error) -> Failure {
    move |refusal| Failure {
        refusal: Some(refusal),
        ..failure(expectation)
    }
}

pub(super) const fn token(index: u32) -> Token {
    Token {
        index,
        generation: 1,
    }
}

pub(super) fn channel<L: Lab>(lab: &mut L, messages: usize) -> Result<L::Channel, Failure> {
    lab.channel(messages)
        .ok_or(failure("the lab makes a channel"))
}

pub(super) fn pair<L: Lab>(lab: &mut L) -> Result<(Socket, Socket), Failure> {
    lab.pair().ok_or(failure("the lab makes a pair of sockets"))
}

/// A channel and one pair, of which the first is watched as `token(1)`.
pub(super) fn watched<L: Lab>(
    lab: &mut L,
    interest: event::Interest,
) -> Result<(L::Channel, Socket, Socket), Failure> {
    let mut channel = channel(lab, QUEUE)?;
    let (socket, peer) = pair(lab)?;
    channel
        .add(socket, token(1), interest)
        .map_err(allowed("a socket is added"))?;
    Ok((channel, socket, peer))
}

/// One wait that must not fail.
pub(super) fn wait<C: EventChannel>(
    channel: &mut C,
    events: &mut EventList,
    until: Deadline,
) -> Outcome {
    channel
        .wait(events, until)
        .map_err(allowed("a wait does not fail"))
}

/// All that a batch says of `token`.
pub(super) fn readiness_of(events: &EventList, token: Token) -> Readiness {
    let mut all = Readiness::NONE;
    for event in events.as_slice() {
        if let Event::Ready {
            token: named,
            readiness,
        } = *event
            && named == token
        {
            all = all.and(readiness);
        }
    }
    all
}

pub(super) fn names(events: &EventList, token: Token) -> bool {
    events
        .as_slice()
        .iter()
        .any(|event| matches!(event, Event::Ready { token: named, .. } if *named == token))
}

pub(super) fn messages(events: &EventList) -> impl Iterator<Item = Message> + '_ {
    events.as_slice().iter().filter_map(|event| match event {
        Event::Message(message) => Some(*message),
        Event::Ready { .. } => None,
    })
}

/// Waits until one batch says all of `wanted` of `token`; returns all that batch says of it.
pub(super) fn await_ready<L: Lab>(
    lab: &mut L,
    channel: &mut L::Channel,
    token: Token,
    wanted: Readiness,
    expectation: &'static str,
) -> Result<Readiness, Failure> {
    let mut events = EventList::new();
    let begin = lab.now();
    while lab.now() - begin < u64::from(GIVE_UP_MS) {
        wait(channel, &mut events, Deadline::After(GIVE_UP_MS))?;
        let found = readiness_of(&events, token);
        if found.contains(wanted) {
            return Ok(found);
        }
    }
    Err(failure(expectation))
}

/// The channel comes to silence.
pub(super) fn await_silence<C: EventChannel>(
    channel: &mut C,
    expectation: &'static str,
) -> Outcome {
    let mut events = EventList::new();
    for _ in 0..PATIENCE {
        wait(channel, &mut events, Deadline::After(HUSH_MS))?;
        if events.as_slice().is_empty() {
            return Ok(());
        }
    }
    Err(failure(expectation))
}

/// Nothing at all is said of `token`, not even once.
pub(super) fn never_named<C: EventChannel>(
    channel: &mut C,
    token: Token,
    expectation: &'static str,
) -> Outcome {
    let mut events = EventList::new();
    for _ in 0..3 {
        wait(channel, &mut events, Deadline::After(HUSH_MS))?;
        expect(!names(&events, token), expectation)?;
    }
    Ok(())
}

/// Whether `over` was set before what should be at once would be late; naps meanwhile.
pub(super) fn ended_in_time(aide: &dyn Aide, over: &AtomicBool) -> bool {
    const STEP_MS: u32 = 5;
    for _ in 0..AT_ONCE_MS as u32 * 2 / STEP_MS {
        if over.load(Ordering::Acquire) {
            return true;
        }
        aide.nap(STEP_MS);
    }
    false
}

pub(super) fn send<L: Lab>(lab: &mut L, socket: Socket, bytes: &[u8]) -> Outcome {
    expect(
        lab.send(socket, bytes) == Ok(bytes.len()),
        "a few bytes can be sent",
    )
}

/// Receives until there is nothing left; how many bytes, and what ended it.
pub(super) fn drain<L: Lab>(lab: &mut L, socket: Socket) -> (u64, Result<usize, Error>) {
    let mut buffer = [0; 512];
    let mut total = 0;
    loop {
        match lab.receive(socket, &mut buffer) {
            Ok(count) if count > 0 => total += count as u64,
            end => return (total, end),
        }
    }
}

/// Sends until nothing fits, and what the network takes from the buffer meanwhile is made up for.
pub(super) fn fill<L: Lab>(lab: &mut L, socket: Socket) -> Outcome {
    const ATTEMPTS: usize = 20;
    let block = [b'x'; 512];
    let mut refusals = 0;
    for _ in 0..ATTEMPTS {
        let mut sent = 0;
        loop {
            match lab.send(socket, &block) {
                Ok(count) => sent += count,
                Err(Error::WouldBlock) => break,
                Err(_) => return Err(failure("a connected socket can be sent to")),
            }
        }
        refusals = if sent == 0 { refusals + 1 } else { 0 };
        if refusals == 3 {
            return Ok(());
        }
        lab.together(1, &|_, aide| aide.nap(2), &mut |_| {});
    }
    Err(failure("a socket that nobody reads from becomes full"))
}
