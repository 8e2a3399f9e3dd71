//! Contracts 4 and 5: tokens come back as they were given, and removed sockets are gone.

use super::bench::{
    QUEUE, allowed, await_ready, await_silence, channel, expect, failure, names, never_named, pair,
    send, token, wait, watched,
};
use super::{Lab, Outcome};
use crate::event::{Deadline, Error, EventChannel, EventList, Interest, Readiness, Token};

const T: Token = token(1);
const OTHER: Token = Token {
    index: 1,
    generation: 2,
};

pub(super) fn token_comes_back_with_its_generation<L: Lab>(lab: &mut L) -> Outcome {
    // One that a channel keeps for itself would have all bits set, or none: these may not be taken.
    let tokens = [
        (0, 1),
        (1, 0),
        (7, u32::MAX),
        (u32::MAX, 7),
        (0x8000_0000, 0x7fff_ffff),
        (0x1234_5678, 0x9abc_def0),
    ];
    for (index, generation) in tokens {
        let token = Token { index, generation };
        let mut channel = channel(lab, QUEUE)?;
        let (socket, peer) = pair(lab)?;
        channel
            .add(socket, token, Interest::READ)
            .map_err(allowed("a socket is added"))?;
        send(lab, peer, b"a")?;
        let what = "a token comes back as it was given";
        await_ready(lab, &mut channel, token, Readiness::READABLE, what)?;
        channel
            .remove(socket)
            .map_err(allowed("a socket is removed"))?;
        lab.close(socket);
        lab.close(peer);
    }
    Ok(())
}

pub(super) fn changed_interest_brings_the_new_token<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::NONE)?;
    send(lab, peer, b"a")?;
    channel
        .set_interest(socket, OTHER, Interest::READ)
        .map_err(allowed("interest changes"))?;
    let what = "events carry the token of the last change";
    await_ready(lab, &mut channel, OTHER, Readiness::READABLE, what)?;
    never_named(&mut channel, T, "the token before the change is gone")
}

pub(super) fn removed_socket_is_silent<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::BOTH)?;
    let (second, second_peer) = pair(lab)?;
    channel
        .add(second, token(2), Interest::READ)
        .map_err(allowed("a socket is added"))?;
    send(lab, peer, b"a")?;
    send(lab, second_peer, b"a")?;
    await_ready(
        lab,
        &mut channel,
        T,
        Readiness::READABLE,
        "bytes are reported",
    )?;
    channel
        .remove(socket)
        .map_err(allowed("a socket is removed"))?;
    send(lab, peer, b"b")?;
    let what = "a removed socket is not reported, ready as it is";
    never_named(&mut channel, T, what)?;
    let what = "the other socket is reported still";
    await_ready(lab, &mut channel, token(2), Readiness::READABLE, what).map(drop)
}

pub(super) fn removed_socket_is_silent_after_close<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::BOTH)?;
    send(lab, peer, b"a")?;
    channel
        .remove(socket)
        .map_err(allowed("a socket is removed"))?;
    lab.close(socket);
    lab.close(peer);
    never_named(&mut channel, T, "a closed socket is not reported")
}

pub(super) fn failed_socket_is_silent_once_removed<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    lab.reset(peer);
    let what = "a reset is reported";
    await_ready(lab, &mut channel, T, Readiness::FAILED, what)?;
    channel
        .remove(socket)
        .map_err(allowed("a failed socket is removed"))?;
    let what = "a failed socket that was removed is not reported";
    never_named(&mut channel, T, what)
}

pub(super) fn socket_added_again_has_its_new_generation_only<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    send(lab, peer, b"a")?;
    await_ready(
        lab,
        &mut channel,
        T,
        Readiness::READABLE,
        "bytes are reported",
    )?;
    channel
        .remove(socket)
        .map_err(allowed("a socket is removed"))?;
    channel
        .add(socket, OTHER, Interest::READ)
        .map_err(allowed("a socket is added again"))?;
    let what = "a socket that was added again is reported with its bytes";
    await_ready(lab, &mut channel, OTHER, Readiness::READABLE, what)?;
    let what = "its former generation is gone";
    never_named(&mut channel, T, what)
}

pub(super) fn number_used_again_has_its_new_generation_only<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::BOTH)?;
    send(lab, peer, b"a")?;
    channel
        .remove(socket)
        .map_err(allowed("a socket is removed"))?;
    lab.close(socket);
    lab.close(peer);
    // Most systems give the lowest free number, so this is the one that was just closed.
    let (socket, peer) = pair(lab)?;
    channel
        .add(socket, OTHER, Interest::READ)
        .map_err(allowed("a new socket is added"))?;
    let what = "nothing of the former socket is left";
    never_named(&mut channel, T, what)?;
    await_silence(&mut channel, "a new socket is silent")?;
    send(lab, peer, b"b")?;
    let what = "a new socket is reported";
    await_ready(lab, &mut channel, OTHER, Readiness::READABLE, what).map(drop)
}

pub(super) fn wrong_registrations_are_refused<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, _) = watched(lab, Interest::NONE)?;
    let (stranger, _) = pair(lab)?;
    let wrong = Err(Error::Registration);
    expect(
        channel.add(socket, OTHER, Interest::READ) == wrong,
        "a socket is added once",
    )?;
    expect(
        channel.set_interest(stranger, OTHER, Interest::READ) == wrong,
        "a stranger's interest is not changed",
    )?;
    expect(
        channel.remove(stranger) == wrong,
        "a stranger is not removed",
    )?;
    channel
        .remove(socket)
        .map_err(allowed("a socket is removed"))?;
    expect(channel.remove(socket) == wrong, "a socket is removed once")?;
    expect(
        channel.set_interest(socket, T, Interest::READ) == wrong,
        "a removed socket's interest is not changed",
    )
}

pub(super) fn registrations_are_given_back<L: Lab>(lab: &mut L) -> Outcome {
    const LIVES: u32 = 10_000;
    let mut channel = channel(lab, QUEUE)?;
    let (socket, peer) = pair(lab)?;
    send(lab, peer, b"a")?;
    for generation in 0..LIVES {
        let token = Token {
            index: 1,
            generation,
        };
        channel
            .add(socket, token, Interest::READ)
            .map_err(allowed("a socket is added any number of times"))?;
        channel
            .remove(socket)
            .map_err(allowed("a socket is removed as often"))?;
    }
    let token = Token {
        index: 1,
        generation: LIVES,
    };
    channel
        .add(socket, token, Interest::READ)
        .map_err(allowed("a socket is added"))?;
    let mut events = EventList::new();
    wait(&mut channel, &mut events, Deadline::After(1_000))?;
    if !names(&events, token) {
        return Err(failure("the last life of many is reported"));
    }
    expect(
        events.as_slice().len() == 1,
        "none of the lives before is reported",
    )
}
