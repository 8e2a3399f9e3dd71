//! Contract 7: when a wait returns though nothing happened.

use super::bench::{
    AT_ONCE_MS, GIVE_UP_MS, QUEUE, channel, ended_in_time, expect, expect_number, messages, wait,
    watched,
};
use super::messages::sent;
use super::{Aide, Lab, Outcome};
use crate::event::{Deadline, Event, EventChannel, EventList, Interest, Message, Notifier};
use core::sync::atomic::{AtomicBool, Ordering};

pub(super) fn now_does_not_block<L: Lab>(lab: &mut L) -> Outcome {
    const WAITS: usize = 50;
    let (mut channel, _, _) = watched(lab, Interest::READ)?;
    let mut events = EventList::new();
    for until in [Deadline::Now, Deadline::After(0)] {
        let begin = lab.now();
        for _ in 0..WAITS {
            wait(&mut channel, &mut events, until)?;
        }
        let took = lab.now() - begin;
        expect_number(took < 1_000, "fifty looks take no time", took)?;
    }
    Ok(())
}

pub(super) fn after_is_never_early_and_not_much_late<L: Lab>(lab: &mut L) -> Outcome {
    let (mut channel, _, _) = watched(lab, Interest::READ)?;
    let mut events = EventList::new();
    for milliseconds in [1, 2, 3, 5, 7, 11, 20, 33, 50, 101] {
        // At different moments between two ticks of the system's clock.
        for _ in 0..4 {
            let begin = lab.now();
            wait(&mut channel, &mut events, Deadline::After(milliseconds))?;
            let took = lab.now() - begin;
            expect(events.as_slice().is_empty(), "nothing happened")?;
            let what = "a wait does not end before its deadline";
            expect_number(took >= u64::from(milliseconds), what, took)?;
            let what = "a wait ends soon after its deadline";
            expect_number(took < u64::from(milliseconds) + AT_ONCE_MS, what, took)?;
        }
    }
    Ok(())
}

pub(super) fn longest_deadline_is_no_short_one<L: Lab>(lab: &mut L) -> Outcome {
    for milliseconds in [i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX - 1, u32::MAX] {
        let mut channel = channel(lab, QUEUE)?;
        let notifier = channel.notifier();
        let (sending, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let late_sender = |_: usize, aide: &dyn Aide| {
            aide.nap(40);
            sending.store(true, Ordering::Release);
            let _ = notifier.send(Message::Stop);
            if !ended_in_time(aide, &over) {
                let _ = notifier.send(Message::Stop);
            }
        };
        let mut outcome = Ok(());
        lab.together(1, &late_sender, &mut |_| {
            outcome = (|| {
                let mut events = EventList::new();
                wait(&mut channel, &mut events, Deadline::After(milliseconds))?;
                let what = "a wait of weeks lasts until something happens";
                expect(sending.load(Ordering::Acquire), what)?;
                expect(messages(&events).eq([Message::Stop]), what)
            })();
            over.store(true, Ordering::Release);
        });
        outcome?;
    }
    Ok(())
}

pub(super) fn wait_forgets_the_events_before_it<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = channel(lab, QUEUE)?;
    let mut events = EventList::new();
    while events.push(Event::Message(Message::Drain)) {}
    wait(&mut channel, &mut events, Deadline::Now)?;
    let what = "a wait clears the list that it is given";
    expect(events.as_slice().is_empty(), what)?;
    while events.push(Event::Message(Message::Drain)) {}
    sent(&channel.notifier(), Message::Application(1))?;
    wait(&mut channel, &mut events, Deadline::Now)?;
    expect(messages(&events).eq([Message::Application(1)]), what)
}

pub(super) fn signal_is_no_error<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = channel(lab, QUEUE)?;
    let notifier = channel.notifier();
    let interrupt = |_: usize, aide: &dyn Aide| {
        for _ in 0..5 {
            aide.nap(20);
            if !aide.interrupt() {
                break;
            }
        }
        let _ = notifier.send(Message::Stop);
    };
    let mut outcome = Ok(());
    lab.together(1, &interrupt, &mut |lab| {
        let mut events = EventList::new();
        let begin = lab.now();
        outcome = (|| {
            while events.as_slice().is_empty() && lab.now() - begin < u64::from(GIVE_UP_MS) {
                wait(&mut channel, &mut events, Deadline::After(GIVE_UP_MS))?;
            }
            let what = "a message is received after signals";
            expect(messages(&events).eq([Message::Stop]), what)
        })();
    });
    outcome
}
