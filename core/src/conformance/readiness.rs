//! Contracts 1 to 3: hints that are repeated while they are true, and failures unasked.

use super::bench::{
    AT_ONCE_MS, GIVE_UP_MS, QUEUE, allowed, await_ready, await_silence, channel, drain,
    ended_in_time, expect, expect_number, failure, fill, pair, readiness_of, send, token, wait,
    watched,
};
use super::{Aide, Lab, Outcome, PATIENCE};
use crate::event::{Deadline, EventChannel, EventList, Interest, Readiness};
use crate::transport::Error;
use core::sync::atomic::{AtomicBool, Ordering};

const T: crate::event::Token = token(1);
const BOTH: Readiness = Readiness::READABLE.and(Readiness::WRITABLE);

pub(super) fn readable_is_reported_until_nothing_is_left<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    await_silence(&mut channel, "a socket without bytes is silent")?;
    send(lab, peer, b"abcdef")?;
    for _ in 0..3 {
        let what = "unread bytes are reported by every wait";
        await_ready(lab, &mut channel, T, Readiness::READABLE, what)?;
    }
    let mut byte = [0];
    for _ in 0..6 {
        let what = "bytes that a short receive left are reported again";
        await_ready(lab, &mut channel, T, Readiness::READABLE, what)?;
        expect(lab.receive(socket, &mut byte) == Ok(1), "a byte is there")?;
    }
    expect(
        lab.receive(socket, &mut byte) == Err(Error::WouldBlock),
        "nothing is left",
    )?;
    await_silence(&mut channel, "a drained socket is silent")?;
    send(lab, peer, b"g")?;
    let what = "new bytes are reported after a drained socket";
    await_ready(lab, &mut channel, T, Readiness::READABLE, what).map(drop)
}

pub(super) fn writable_is_reported_until_nothing_fits<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::WRITE)?;
    for _ in 0..3 {
        let what = "room is reported by every wait";
        await_ready(lab, &mut channel, T, Readiness::WRITABLE, what)?;
    }
    // The network may make room once more after the socket was full: then it is filled again.
    const FILLS: usize = 5;
    let mut silence = Ok(());
    for _ in 0..FILLS {
        fill(lab, socket)?;
        silence = await_silence(&mut channel, "a full socket is silent");
        if silence.is_ok() {
            break;
        }
    }
    silence?;
    let begin = lab.now();
    let mut events = EventList::new();
    loop {
        let _ = drain(lab, peer);
        wait(&mut channel, &mut events, Deadline::After(50))?;
        if readiness_of(&events, T).contains(Readiness::WRITABLE) {
            return Ok(());
        }
        expect(
            lab.now() - begin < u64::from(GIVE_UP_MS),
            "room that the peer made is reported",
        )?;
    }
}

pub(super) fn both_are_reported_when_both_are_asked_for<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, _, peer) = watched(lab, Interest::BOTH)?;
    send(lab, peer, b"a")?;
    let what = "bytes and room are both reported";
    await_ready(lab, &mut channel, T, BOTH, what).map(drop)
}

pub(super) fn what_is_not_asked_for_is_not_reported<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, _, peer) = watched(lab, Interest::READ)?;
    send(lab, peer, b"a")?;
    let what = "a reader is told of bytes alone";
    await_exactly(lab, &mut channel, Readiness::READABLE, what)?;
    let (mut channel, _, peer) = watched(lab, Interest::WRITE)?;
    send(lab, peer, b"a")?;
    let what = "a writer is told of room alone";
    await_exactly(lab, &mut channel, Readiness::WRITABLE, what)
}

/// `wanted` and nothing else is reported, with patience for a hint too many.
fn await_exactly<L: Lab>(
    lab: &mut L,
    channel: &mut L::Channel,
    wanted: Readiness,
    expectation: &'static str,
) -> Outcome {
    for _ in 0..PATIENCE {
        if await_ready(lab, channel, T, wanted, expectation)? == wanted {
            return Ok(());
        }
    }
    Err(failure(expectation))
}

pub(super) fn interest_none_is_silent_and_read_brings_the_bytes_back<L: Lab>(
    lab: &mut L,
) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    send(lab, peer, b"a")?;
    await_ready(
        lab,
        &mut channel,
        T,
        Readiness::READABLE,
        "bytes are reported",
    )?;
    for _ in 0..3 {
        channel
            .set_interest(socket, T, Interest::NONE)
            .map_err(allowed("interest changes"))?;
        await_silence(&mut channel, "unread bytes are silent without interest")?;
        channel
            .set_interest(socket, T, Interest::READ)
            .map_err(allowed("interest changes"))?;
        let what = "bytes that came before the interest are reported";
        await_ready(lab, &mut channel, T, Readiness::READABLE, what)?;
    }
    Ok(())
}

pub(super) fn interest_changes_with_each_call<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::NONE)?;
    await_silence(&mut channel, "a socket added without interest is silent")?;
    send(lab, peer, b"a")?;
    let steps = [
        (Interest::WRITE, Readiness::WRITABLE),
        (Interest::READ, Readiness::READABLE),
        (Interest::BOTH, BOTH),
        (Interest::READ, Readiness::READABLE),
        (Interest::WRITE, Readiness::WRITABLE),
    ];
    for (interest, wanted) in steps {
        channel
            .set_interest(socket, T, interest)
            .map_err(allowed("interest changes"))?;
        let what = "what the new interest asks for is reported, and no more";
        await_exactly(lab, &mut channel, wanted, what)?;
    }
    Ok(())
}

pub(super) fn end_of_stream_is_readable_and_no_failure<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    lab.half_close(peer);
    for _ in 0..3 {
        let what = "end of stream is reported as readable by every wait";
        let found = await_ready(lab, &mut channel, T, Readiness::READABLE, what)?;
        expect(
            !found.contains(Readiness::FAILED),
            "a half-close is no failure",
        )?;
        let mut byte = [0];
        expect(
            lab.receive(socket, &mut byte) == Ok(0),
            "end of stream is received",
        )?;
    }
    send(lab, socket, b"still here")?;
    await_bytes(lab, peer, 10)
}

pub(super) fn bytes_and_end_of_stream_that_come_together_are_both_reported<L: Lab>(
    lab: &mut L,
) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    send(lab, peer, b"abc")?;
    lab.half_close(peer);
    let mut left = 3;
    let mut buffer = [0; 64];
    loop {
        let what = "bytes, then end of stream are reported";
        await_ready(lab, &mut channel, T, Readiness::READABLE, what)?;
        match lab.receive(socket, &mut buffer) {
            Ok(0) => return expect(left == 0, "end of stream comes after the bytes"),
            Ok(count) => left -= count,
            Err(Error::WouldBlock) => {}
            Err(_) => return Err(failure("the connection is whole")),
        }
    }
}

pub(super) fn half_closed_peer_is_no_event_for_a_writer<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::NONE)?;
    lab.half_close(peer);
    await_silence(
        &mut channel,
        "a half-close is silent without interest to read",
    )?;
    channel
        .set_interest(socket, T, Interest::WRITE)
        .map_err(allowed("interest changes"))?;
    let what = "room is reported after the peer's half-close";
    let found = await_ready(lab, &mut channel, T, Readiness::WRITABLE, what)?;
    expect(
        !found.contains(Readiness::FAILED),
        "a half-close is no failure",
    )?;
    send(lab, socket, b"reply")?;
    await_bytes(lab, peer, 5)
}

pub(super) fn reset_is_reported_without_interest<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, _, peer) = watched(lab, Interest::NONE)?;
    lab.reset(peer);
    let what = "a reset is reported though nothing was asked for";
    await_ready(lab, &mut channel, T, Readiness::FAILED, what).map(drop)
}

pub(super) fn reset_behind_bytes_is_reported_without_interest<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, _, peer) = watched(lab, Interest::NONE)?;
    send(lab, peer, b"unread")?;
    await_silence(&mut channel, "unread bytes are silent without interest")?;
    lab.reset(peer);
    let what = "a reset is reported though bytes lie unread and nothing was asked for";
    await_ready(lab, &mut channel, T, Readiness::FAILED, what).map(drop)
}

pub(super) fn reset_is_reported_to_a_reader<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    lab.reset(peer);
    await_ready(
        lab,
        &mut channel,
        T,
        Readiness::FAILED,
        "a reset is reported",
    )?;
    expect(
        drain(lab, socket).1 == Err(Error::Disconnected),
        "the receive that follows meets the reset",
    )
}

pub(super) fn hang_up_is_reported_without_interest<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::NONE)?;
    lab.half_close(socket);
    await_silence(&mut channel, "the own half-close is silent")?;
    lab.half_close(peer);
    let what = "the end of both directions is reported though nothing was asked for";
    await_ready(lab, &mut channel, T, Readiness::FAILED, what).map(drop)
}

pub(super) fn hang_up_behind_bytes_is_reported_without_interest<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::NONE)?;
    send(lab, peer, b"unread")?;
    lab.half_close(socket);
    await_silence(&mut channel, "the own half-close is silent")?;
    lab.half_close(peer);
    let what = "the end of both directions is reported though bytes lie unread";
    await_ready(lab, &mut channel, T, Readiness::FAILED, what).map(drop)
}

pub(super) fn end_of_stream_behind_bytes_is_silent_without_interest<L: Lab>(
    lab: &mut L,
) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::NONE)?;
    send(lab, peer, b"unread")?;
    lab.half_close(peer);
    await_silence(&mut channel, "a half-close is silent without interest")?;
    send(lab, socket, b"still here")?;
    await_bytes(lab, peer, 10)
}

pub(super) fn listener_is_readable_while_connections_wait<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = channel(lab, QUEUE)?;
    let listener = lab.listener().ok_or(failure("the lab makes a listener"))?;
    channel
        .add(listener, T, Interest::READ)
        .map_err(allowed("a listener is added"))?;
    await_silence(&mut channel, "a listener without connections is silent")?;
    for _ in 0..2 {
        let connected = lab.connect(listener);
        connected.ok_or(failure("the lab connects to its listener"))?;
    }
    for _ in 0..2 {
        let what = "a listener is readable while a connection waits";
        await_ready(lab, &mut channel, T, Readiness::READABLE, what)?;
        expect(lab.accept(listener).is_ok(), "a connection waits")?;
    }
    expect(
        lab.accept(listener) == Err(Error::WouldBlock),
        "no connection is left",
    )?;
    await_silence(&mut channel, "a listener without connections is silent")
}

pub(super) fn socket_that_becomes_ready_ends_a_wait<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = channel(lab, QUEUE)?;
    let (socket, peer) = pair(lab)?;
    channel
        .add(socket, T, Interest::READ)
        .map_err(allowed("a socket is added"))?;
    let over = AtomicBool::new(false);
    let poke = |_: usize, aide: &dyn Aide| {
        aide.nap(30);
        aide.poke(peer);
        if !ended_in_time(aide, &over) {
            aide.poke(peer); // frees the wait that missed the first
        }
    };
    let mut outcome = Ok(());
    lab.together(1, &poke, &mut |lab| {
        outcome = (|| {
            let (begin, mut events) = (lab.now(), EventList::new());
            while !readiness_of(&events, T).contains(Readiness::READABLE) {
                wait(&mut channel, &mut events, Deadline::Never)?;
            }
            let took = lab.now() - begin;
            let what = "bytes that come during a wait without deadline end it";
            expect_number(took < AT_ONCE_MS, what, took)
        })();
        over.store(true, Ordering::Release);
    });
    outcome
}

fn await_bytes<L: Lab>(lab: &mut L, socket: crate::transport::Socket, wanted: u64) -> Outcome {
    let begin = lab.now();
    let mut got = 0;
    while got < wanted && lab.now() - begin < u64::from(GIVE_UP_MS) {
        got += drain(lab, socket).0;
    }
    expect_number(got == wanted, "the peer receives what was sent to it", got)
}
