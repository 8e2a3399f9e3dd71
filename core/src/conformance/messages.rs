//! Contract 6: messages arrive once, in order, and wake; a full queue says so and blocks nobody.

use super::bench::{
    AT_ONCE_MS, GIVE_UP_MS, HUSH_MS, PATIENCE, await_silence, channel, ended_in_time, expect,
    expect_number, failure, messages, wait,
};
use super::{Aide, Lab, Outcome};
use crate::event::{Deadline, EventChannel, EventList, Full, Message, Notifier, Ticket, Token};
use crate::transport::Socket;
use core::sync::atomic::{AtomicBool, Ordering};

pub(super) fn message_before_a_wait_ends_it<L: Lab>(lab: &mut L) -> Outcome {
    for until in [Deadline::Now, Deadline::After(GIVE_UP_MS), Deadline::Never] {
        let mut channel = channel(lab, 1)?;
        sent(&channel.notifier(), Message::Drain)?;
        let (begin, mut events) = (lab.now(), EventList::new());
        wait(&mut channel, &mut events, until)?;
        let took = lab.now() - begin;
        let what = "a message that was sent before a wait ends it at once";
        expect_number(took < AT_ONCE_MS, what, took)?;
        expect(messages(&events).eq([Message::Drain]), what)?;
    }
    Ok(())
}

pub(super) fn message_during_a_wait_ends_it<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = channel(lab, 4)?;
    let notifier = channel.notifier();
    let over = AtomicBool::new(false);
    let late_sender = |_: usize, aide: &dyn Aide| {
        aide.nap(30);
        let _ = notifier.send(Message::Application(1));
        if !ended_in_time(aide, &over) {
            let _ = notifier.send(Message::Application(2)); // frees the wait that missed the first
        }
    };
    let mut outcome = Ok(());
    lab.together(1, &late_sender, &mut |lab| {
        outcome = (|| {
            let (begin, mut events) = (lab.now(), EventList::new());
            while events.as_slice().is_empty() {
                wait(&mut channel, &mut events, Deadline::Never)?;
            }
            let took = lab.now() - begin;
            let what = "a message that is sent during a wait ends it";
            expect_number(took < AT_ONCE_MS, what, took)?;
            expect(messages(&events).eq([Message::Application(1)]), what)
        })();
        over.store(true, Ordering::Release);
    });
    outcome
}

pub(super) fn every_message_arrives_as_it_was_sent_and_in_order<L: Lab>(lab: &mut L) -> Outcome {
    let ticket = Ticket {
        connection: Token {
            index: u32::MAX,
            generation: 0x8000_0001,
        },
        sequence: 0x1234_5678,
        worker: 0x9abc_def0,
    };
    let all = [
        Message::Adopt(Socket(i32::MAX)),
        Message::Adopt(Socket(0)),
        Message::Complete {
            ticket,
            value: u64::MAX,
        },
        Message::Application(u64::MAX),
        Message::Application(0),
        Message::Drain,
        Message::Stop,
    ];
    let mut channel = channel(lab, all.len())?;
    let notifiers = [channel.notifier(), channel.notifier().clone()];
    for (number, message) in all.into_iter().enumerate() {
        sent(&notifiers[number % 2], message)?;
    }
    let mut expected = all.into_iter();
    let mut events = EventList::new();
    let begin = lab.now();
    while expected.len() > 0 && lab.now() - begin < u64::from(GIVE_UP_MS) {
        wait(&mut channel, &mut events, Deadline::After(GIVE_UP_MS))?;
        for message in messages(&events) {
            expect(
                expected.next() == Some(message),
                "messages arrive as they were sent, in order",
            )?;
        }
    }
    expect(expected.len() == 0, "every message arrives")
}

pub(super) fn queue_takes_its_capacity_and_refuses_one_more<L: Lab>(lab: &mut L) -> Outcome {
    for capacity in [1, 2, 7, 64, 100] {
        let mut channel = channel(lab, capacity)?;
        let notifier = channel.notifier();
        // A queue that has been full works like a new one.
        for _ in 0..3 {
            for number in 0..capacity as u64 {
                sent(&notifier, Message::Application(number))?;
            }
            let what = "one more than the capacity is refused";
            expect(notifier.send(Message::Stop) == Err(Full), what)?;
            let expected = (0..capacity).map(numbered);
            take(lab, &mut channel, expected)?;
        }
    }
    Ok(())
}

pub(super) fn full_queue_never_blocks_and_recovers<L: Lab>(lab: &mut L) -> Outcome {
    const ATTEMPTS: u64 = 20_000;
    let mut channel = channel(lab, 16)?;
    let notifier = channel.notifier();
    let begin = lab.now();
    let mut taken = 0;
    for number in 0..ATTEMPTS {
        taken += u64::from(notifier.send(Message::Application(number)).is_ok());
    }
    let took = lab.now() - begin;
    let what = "a full queue blocks no sender";
    expect_number(took < u64::from(GIVE_UP_MS), what, took)?;
    expect_number(taken == 16, "a queue takes as many as it holds", taken)?;
    take(lab, &mut channel, (0..16).map(numbered))?;
    sent(&notifier, Message::Drain)?;
    take(lab, &mut channel, core::iter::once(Message::Drain))
}

pub(super) fn long_queue_needs_no_room_in_the_wake_primitive<L: Lab>(lab: &mut L) -> Outcome {
    let count = L::LONG_QUEUE as u64;
    let mut channel = channel(lab, L::LONG_QUEUE)?;
    let notifier = channel.notifier();
    for _ in 0..2 {
        for number in 0..count {
            sent(&notifier, Message::Application(number))?;
        }
        take(lab, &mut channel, (0..L::LONG_QUEUE).map(numbered))?;
    }
    Ok(())
}

pub(super) fn what_one_wait_leaves_the_next_reports_at_once<L: Lab>(lab: &mut L) -> Outcome {
    const COUNT: u64 = 3 * EventList::CAPACITY as u64 + 1;
    let mut channel = channel(lab, COUNT as usize)?;
    let notifier = channel.notifier();
    for number in 0..COUNT {
        sent(&notifier, Message::Application(number))?;
    }
    let mut events = EventList::new();
    let mut next = 0;
    while next < COUNT {
        let begin = lab.now();
        wait(&mut channel, &mut events, Deadline::After(GIVE_UP_MS))?;
        let took = lab.now() - begin;
        let what = "a wait returns at once while messages are left";
        expect_number(took < AT_ONCE_MS, what, took)?;
        expect(!events.as_slice().is_empty(), what)?;
        for message in messages(&events) {
            let what = "messages that were left come in order";
            expect_number(message == Message::Application(next), what, next)?;
            next += 1;
        }
    }
    Ok(())
}

pub(super) fn a_message_wakes_once<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = channel(lab, 64)?;
    let notifier = channel.notifier();
    for count in [1, 2, 64] {
        for number in 0..count {
            sent(&notifier, Message::Application(number))?;
        }
        take(lab, &mut channel, (0..count as usize).map(numbered))?;
        // A wake-up that stays would show as waits that return before their time.
        let mut events = EventList::new();
        let mut slept = false;
        for _ in 0..PATIENCE {
            let begin = lab.now();
            wait(&mut channel, &mut events, Deadline::After(HUSH_MS))?;
            expect(
                events.as_slice().is_empty(),
                "no message is delivered twice",
            )?;
            slept |= lab.now() - begin >= u64::from(HUSH_MS);
        }
        expect(slept, "the wake-up is used up with its messages")?;
    }
    Ok(())
}

pub(super) fn channels_are_apart<L: Lab>(lab: &mut L) -> Outcome {
    let mut one = channel(lab, 4)?;
    let mut other = channel(lab, 4)?;
    sent(&one.notifier(), Message::Application(1))?;
    await_silence(&mut other, "a message goes to its own channel alone")?;
    sent(&other.notifier(), Message::Application(2))?;
    take(lab, &mut one, core::iter::once(Message::Application(1)))?;
    take(lab, &mut other, core::iter::once(Message::Application(2)))
}

/// Sends where there is room.
pub(super) fn sent<N: Notifier>(notifier: &N, message: Message) -> Outcome {
    notifier
        .send(message)
        .map_err(|Full| failure("a queue with room takes a message"))
}

fn numbered(number: usize) -> Message {
    Message::Application(number as u64)
}

/// Waits for exactly these messages; then there are none.
fn take<L: Lab>(
    lab: &mut L,
    channel: &mut L::Channel,
    mut expected: impl ExactSizeIterator<Item = Message>,
) -> Outcome {
    let mut events = EventList::new();
    let mut last = lab.now();
    while expected.len() > 0 {
        wait(channel, &mut events, Deadline::After(GIVE_UP_MS))?;
        for message in messages(&events) {
            expect(
                expected.next() == Some(message),
                "messages arrive as they were sent, in order",
            )?;
            last = lab.now();
        }
        let left = expected.len();
        let what = "every message arrives";
        expect_number(lab.now() - last < u64::from(GIVE_UP_MS), what, left)?;
    }
    wait(channel, &mut events, Deadline::Now)?;
    expect(
        messages(&events).next().is_none(),
        "no message comes from nowhere",
    )
}
