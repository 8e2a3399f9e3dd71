//! Contract 6 under load: many senders at the same time.

use super::bench::{
    GIVE_UP_MS, allowed, channel, expect, expect_number, failure, pair, token, wait,
};
use super::messages::sent;
use super::{Aide, Lab, Outcome};
use crate::event::{
    Deadline, Event, EventChannel, EventList, Interest, Message, Notifier, Readiness,
};
use crate::transport::Socket;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Threads or tasks that send at the same time.
const SENDERS: usize = 8;

/// Messages of each.
const EACH: u64 = 4_000;

/// Sockets that are busy meanwhile.
const BUSY: usize = 4;

/// Which sender in the upper half, which of its messages in the lower.
const SENDER_SHIFT: u32 = 32;

pub(super) fn eight_senders_lose_and_repeat_nothing_while_sockets_are_busy<L: Lab>(
    lab: &mut L,
) -> Outcome {
    let mut channel = channel(lab, 64)?;
    let notifier = channel.notifier();
    let mut sockets = [(Socket(-1), Socket(-1)); BUSY];
    for (number, place) in (0..).zip(&mut sockets) {
        *place = pair(lab)?;
        channel
            .add(place.0, token(number), Interest::READ)
            .map_err(allowed("a socket is added"))?;
    }
    let give_up = AtomicBool::new(false);
    let sender = |sender: usize, aide: &dyn Aide| {
        let notifier = notifier.clone();
        for number in 0..EACH {
            let message = Message::Application((sender as u64) << SENDER_SHIFT | number);
            while notifier.send(message).is_err() {
                if give_up.load(Ordering::Relaxed) {
                    return;
                }
                aide.nap(0);
            }
        }
    };
    let mut outcome = Ok(());
    lab.together(SENDERS, &sender, &mut |lab| {
        outcome = receive_all(lab, &mut channel, &sockets);
        give_up.store(true, Ordering::Relaxed);
    });
    outcome
}

fn receive_all<L: Lab>(
    lab: &mut L,
    channel: &mut L::Channel,
    sockets: &[(Socket, Socket); BUSY],
) -> Outcome {
    let mut events = EventList::new();
    let mut next = [0; SENDERS];
    let mut received = [0; BUSY];
    for (_, peer) in sockets {
        let sent = lab.send(*peer, b"x").is_ok();
        expect(sent, "a byte can be sent")?;
    }
    while next.iter().any(|&next| next < EACH) {
        let begin = lab.now();
        wait(channel, &mut events, Deadline::After(GIVE_UP_MS))?;
        expect(
            lab.now() - begin < u64::from(GIVE_UP_MS),
            "no wake-up is lost in a storm",
        )?;
        for event in events.as_slice() {
            match *event {
                Event::Message(Message::Application(value)) => {
                    let expected = next
                        .get_mut((value >> SENDER_SHIFT) as usize)
                        .ok_or(failure("messages arrive whole"))?;
                    let number = value & u64::from(u32::MAX);
                    let what = "each sender's messages arrive once and in order";
                    expect_number(number == *expected, what, number)?;
                    *expected += 1;
                }
                Event::Message(_) => return Err(failure("messages arrive whole")),
                Event::Ready { token, readiness } => {
                    let number = token.index as usize;
                    let (socket, peer) = *sockets
                        .get(number)
                        .ok_or(failure("tokens come back as they were given"))?;
                    if readiness.contains(Readiness::READABLE)
                        && lab.receive(socket, &mut [0]) == Ok(1)
                    {
                        received[number] += 1;
                        let _ = lab.send(peer, b"x");
                    }
                }
            }
        }
    }
    // Each has a byte to be received all the time, so it had a turn every few waits.
    let least = received.into_iter().min().unwrap_or(0);
    let what = "sockets are served during a storm";
    expect_number(least >= 100, what, least)
}

/// Pairs of messages after which both sides wait for each other: the first from the receiver itself,
/// the second from another thread at a moment that moves on from round to round. A message that
/// slips in while the receiver is busy with the first, and wakes nobody, has nobody after it to wake
/// for it.
pub(super) fn message_that_comes_while_others_are_taken_wakes<L: Lab>(lab: &mut L) -> Outcome {
    const ROUNDS: u32 = 40_000;
    /// Moments that are tried, counted in turns of an empty loop.
    const MOMENTS: u32 = 397;
    let mut channel = channel(lab, 2)?;
    let notifier = channel.notifier();
    let round = AtomicU32::new(0);
    let sender = |_: usize, aide: &dyn Aide| {
        for mine in 1..=ROUNDS {
            let mut turns = 0;
            loop {
                let now = round.load(Ordering::Acquire);
                if now == u32::MAX {
                    return;
                }
                if now >= mine {
                    break;
                }
                turns += 1;
                if turns > L::IMPATIENCE {
                    aide.nap(0);
                }
                core::hint::spin_loop();
            }
            for _ in 0..mine % MOMENTS {
                core::hint::spin_loop();
            }
            let _ = notifier.send(Message::Application(u64::from(mine)));
        }
    };
    let mut outcome = Ok(());
    lab.together(1, &sender, &mut |lab| {
        let mut events = EventList::new();
        outcome = (1..=ROUNDS).try_for_each(|now| {
            sent(&notifier, Message::Application(u64::from(now)))?;
            round.store(now, Ordering::Release);
            let mut arrived = 0;
            while arrived < 2 {
                let begin = lab.now();
                wait(&mut channel, &mut events, Deadline::After(GIVE_UP_MS))?;
                let late = lab.now() - begin >= u64::from(GIVE_UP_MS);
                expect_number(!late, "every message wakes", now)?;
                for event in events.as_slice() {
                    let known = *event == Event::Message(Message::Application(u64::from(now)));
                    expect_number(known, "each message arrives once", now)?;
                    arrived += 1;
                }
            }
            Ok(())
        });
        round.store(u32::MAX, Ordering::Release);
    });
    outcome
}
