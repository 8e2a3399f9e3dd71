//! Contract 9: what did not fit comes next, and nobody starves.

use super::bench::{
    GIVE_UP_MS, PATIENCE, QUEUE, allowed, channel, expect, expect_number, names, pair, send, token,
    wait, watched,
};
use super::messages::sent;
use super::{Aide, Failure, Lab, Outcome};
use crate::event::{Deadline, Event, EventChannel, EventList, Interest, Message, Notifier};
use crate::transport::Socket;
use core::sync::atomic::{AtomicBool, Ordering};

/// Room for counting [`Lab::PAIRS`] sockets.
const PAIRS_LIMIT: usize = 512;

/// A channel with as many readable sockets as there can be, and how many these are.
fn crowd<L: Lab>(lab: &mut L) -> Result<(L::Channel, usize), Failure> {
    let count = const {
        assert!(L::PAIRS <= PAIRS_LIMIT, "the suite counts no more pairs");
        L::PAIRS
    };
    let mut channel = channel(lab, QUEUE)?;
    for number in 0..count as u32 {
        let (socket, peer) = pair(lab)?;
        channel
            .add(socket, token(number), Interest::READ)
            .map_err(allowed("as many sockets as there are are added"))?;
        send(lab, peer, b"a")?;
    }
    Ok((channel, count))
}

pub(super) fn more_ready_sockets_than_fit_are_all_reported<L: Lab>(lab: &mut L) -> Outcome {
    /// How often each is reported before the suite looks who was left out.
    const ROUNDS: usize = 8;
    let (mut channel, count) = crowd(lab)?;
    let mut events = EventList::new();
    let mut reports = [0_usize; PAIRS_LIMIT];
    let mut total = 0;
    while total < ROUNDS * count {
        wait(&mut channel, &mut events, Deadline::After(1_000))?;
        let batch = events.as_slice().len();
        expect(batch > 0, "readable sockets are reported by every wait")?;
        total += batch;
        for event in events.as_slice() {
            if let Event::Ready { token, .. } = event {
                let index = (token.index as usize).min(PAIRS_LIMIT - 1);
                reports[index] += 1;
            }
        }
    }
    let least = reports[..count].iter().min().copied().unwrap_or(0);
    let what = "sockets that stay readable are reported in turn";
    expect_number(least >= ROUNDS / 2, what, least)
}

pub(super) fn messages_do_not_starve_sockets<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    let notifier = channel.notifier();
    let mut events = EventList::new();
    for _ in 0..20 {
        send(lab, peer, b"a")?;
        let mut waits = 0;
        loop {
            // The queue is full whenever a wait begins.
            while notifier.send(Message::Application(0)).is_ok() {}
            wait(&mut channel, &mut events, Deadline::After(1_000))?;
            waits += 1;
            if names(&events, token(1)) && lab.receive(socket, &mut [0]) == Ok(1) {
                break;
            }
            let what = "a readable socket is reported though messages never end";
            expect_number(waits < PATIENCE, what, waits)?;
        }
    }
    Ok(())
}

pub(super) fn sockets_do_not_starve_messages<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, count) = crowd(lab)?;
    let notifier = channel.notifier();
    let mut events = EventList::new();
    for number in 0..20 {
        sent(&notifier, Message::Application(number))?;
        let mut waits = 0;
        loop {
            wait(&mut channel, &mut events, Deadline::After(1_000))?;
            waits += 1;
            let message = Event::Message(Message::Application(number));
            if events.as_slice().contains(&message) {
                break;
            }
            let what = "a message is delivered though sockets are always ready";
            expect_number(waits < count, what, waits)?;
        }
    }
    Ok(())
}

/// A client who sends as much as is received from it: its socket, `token(1)`, is readable all the time,
/// and no wait for it ever blocks.
struct Busy {
    socket: Socket,
    peer: Socket,
    received: usize,
}

impl Busy {
    /// Sent at a time, and twice of it is on the way: as single bytes they would cost the stack more.
    const BLOCK: [u8; 128] = [b'+'; 128];

    fn new<L: Lab>(lab: &mut L, socket: Socket, peer: Socket) -> Result<Self, Failure> {
        for _ in 0..2 {
            send(lab, peer, &Self::BLOCK)?;
        }
        Ok(Self {
            socket,
            peer,
            received: 0,
        })
    }

    /// One wait, and what a server does then.
    fn turn<L: Lab>(
        &mut self,
        lab: &mut L,
        channel: &mut L::Channel,
        events: &mut EventList,
    ) -> Outcome {
        wait(channel, events, Deadline::After(1_000))?;
        if names(events, token(1)) && lab.receive(self.socket, &mut [0]) == Ok(1) {
            self.received += 1;
        }
        if self.received >= Self::BLOCK.len() && lab.send(self.peer, &Self::BLOCK).is_ok() {
            self.received -= Self::BLOCK.len();
        }
        Ok(())
    }
}

pub(super) fn busy_socket_does_not_silence_another<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    let (other, client) = pair(lab)?;
    channel
        .add(other, token(2), Interest::READ)
        .map_err(allowed("a socket is added"))?;
    let mut busy = Busy::new(lab, socket, peer)?;
    let mut events = EventList::new();
    for _ in 0..20 {
        // Until it is known to be silent.
        for _ in 0..PATIENCE {
            busy.turn(lab, &mut channel, &mut events)?;
        }
        send(lab, client, b"a")?;
        let begin = lab.now();
        loop {
            busy.turn(lab, &mut channel, &mut events)?;
            if names(&events, token(2)) && lab.receive(other, &mut [0]) == Ok(1) {
                break;
            }
            let what = "a socket that becomes ready is reported though another is always ready";
            let waited = lab.now() - begin;
            expect_number(waited < u64::from(GIVE_UP_MS), what, waited)?;
        }
    }
    Ok(())
}

/// Tells whether another task has had `TURNS` turns while this one did `meanwhile` again and again.
fn others_have_turns<L: Lab>(
    lab: &mut L,
    what: &'static str,
    meanwhile: &mut dyn FnMut(&mut L) -> Outcome,
) -> Outcome {
    const TURNS: u32 = 20;
    let over = AtomicBool::new(false);
    let other = |_: usize, aide: &dyn Aide| {
        for _ in 0..TURNS {
            aide.nap(0);
        }
        over.store(true, Ordering::Release);
    };
    let mut outcome = Ok(());
    lab.together(1, &other, &mut |lab| {
        outcome = (|| {
            let begin = lab.now();
            while !over.load(Ordering::Acquire) {
                meanwhile(lab)?;
                let waited = lab.now() - begin;
                expect_number(waited < u64::from(GIVE_UP_MS), what, waited)?;
            }
            Ok(())
        })();
    });
    outcome
}

pub(super) fn busy_socket_leaves_other_tasks_their_turn<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, socket, peer) = watched(lab, Interest::READ)?;
    let mut busy = Busy::new(lab, socket, peer)?;
    let mut events = EventList::new();
    let what = "whoever waits for sockets lets others have a turn, however busy these are";
    others_have_turns(lab, what, &mut |lab| {
        busy.turn(lab, &mut channel, &mut events)
    })
}

pub(super) fn looking_without_waiting_leaves_other_tasks_their_turn<L: Lab>(
    lab: &mut L,
) -> Outcome {
    let (mut channel, _, _) = watched(lab, Interest::READ)?;
    let mut events = EventList::new();
    let what = "whoever looks again and again, for it has other work, lets others have a turn";
    others_have_turns(lab, what, &mut |_| {
        wait(&mut channel, &mut events, Deadline::Now)
    })
}
