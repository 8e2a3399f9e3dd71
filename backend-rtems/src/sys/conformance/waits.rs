//! The Message Manager's waits: who is woken, by what, and when.

use super::super as sys;
use super::Lab;
use super::bench::{
    FIFO, Hand, Queue, REFUSED, SOON, STORAGE, Wait, delete, done, expect, expect_code, next_byte,
    own_priority, send, sleep, ticks, with,
};
use crate::queue::StatusCode;
use capuchin_core::conformance::{Failure, Outcome};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Ticks in which another task gets to its wait.
const A_WHILE: u32 = 5;

pub(super) fn message_ends_a_wait(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let code = AtomicU32::new(u32::MAX);
    for wait in [Wait::Endless, Wait::Ticks(SOON)] {
        let work = || {
            sleep(A_WHILE);
            code.store(send(queue.id, &[7]).0, SeqCst);
        };
        with(&[&Hand::new(own_priority(), &work)], || {
            let found = next_byte(queue.id, wait);
            expect(found == 7, "what is sent ends the wait", found)
        })?;
        done(StatusCode(code.load(SeqCst)), "a message is sent")?;
    }
    Ok(())
}

pub(super) fn receive_waits_so_many_ticks(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    for count in [1, 2, 10] {
        let begin = ticks();
        let found = next_byte(queue.id, Wait::Ticks(count));
        let took = ticks().wrapping_sub(begin);
        expect(
            found == REFUSED + StatusCode::TIMEOUT.0,
            "a wait without a message times out",
            found,
        )?;
        expect(
            took >= count && took < count + SOON,
            "it takes so many ticks",
            took,
        )?;
    }
    // What came before is there at once.
    done(send(queue.id, &[3]), "a message is sent")?;
    let found = next_byte(queue.id, Wait::Ticks(1));
    expect(found == 3, "a message that is there is received", found)
}

pub(super) fn timeout_of_more_than_half_the_counter_does_not_end_at_once(
    _: &mut Lab<'_>,
) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let work = || {
        sleep(A_WHILE);
        let _ = send(queue.id, &[9]);
    };
    for count in [1 << 31, u32::MAX] {
        with(&[&Hand::new(own_priority(), &work)], || {
            let found = next_byte(queue.id, Wait::Ticks(count));
            expect(found == 9, "it waits for the message", found)
        })?;
    }
    Ok(())
}

pub(super) fn delete_ends_all_waits(lab: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let codes = [const { AtomicU32::new(0) }; 3];
    let works: [&(dyn Fn() + Sync); 3] = [
        &|| codes[0].store(next_byte(queue.id, Wait::Endless), SeqCst),
        &|| codes[1].store(next_byte(queue.id, Wait::Ticks(10 * SOON)), SeqCst),
        &|| codes[2].store(next_byte(queue.id, Wait::Endless), SeqCst),
    ];
    let own = own_priority();
    let step = u32::from(lab.priorities);
    let hands = [own - step, own, own + step];
    let [first, second, third] = core::array::from_fn(|at| Hand::new(hands[at], works[at]));
    with(&[&first, &second, &third], || {
        sleep(A_WHILE);
        done(delete(queue.id), "a queue that is waited on is deleted")
    })?;
    for code in &codes {
        let code = code.load(SeqCst);
        expect(
            code == REFUSED + StatusCode::OBJECT_WAS_DELETED.0,
            "who waits is told that the queue is gone",
            code,
        )?;
    }
    Ok(())
}

pub(super) fn more_urgent_receiver_runs_before_send_returns(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let found = AtomicU32::new(0);
    let work = || found.store(next_byte(queue.id, Wait::Endless), SeqCst);
    let hand = Hand::new(own_priority() - 1, &work);
    with(&[&hand], || {
        done(send(queue.id, &[5]), "a message is sent")?;
        let over = hand.is_over();
        expect(over, "the more urgent has run when send returns", over)
    })?;
    let found = found.load(SeqCst);
    expect(found == 5, "it has the message", found)
}

pub(super) fn receivers_that_are_not_more_urgent_run_when_the_sender_waits(
    _: &mut Lab<'_>,
) -> Outcome {
    for lower in [0, 1] {
        let mut storage = STORAGE;
        let queue = Queue::new(&mut storage, 1)?;
        let work = || {
            let _ = next_byte(queue.id, Wait::Endless);
        };
        let hand = Hand::new(own_priority() + lower, &work);
        with(&[&hand], || {
            sleep(A_WHILE);
            done(send(queue.id, &[5]), "a message is sent")?;
            let over = hand.is_over();
            expect(!over, "who is not more urgent has not run", lower)?;
            sleep(A_WHILE);
            expect(hand.is_over(), "it runs when the sender waits", lower)
        })?;
    }
    Ok(())
}

pub(super) fn message_for_a_waiter_takes_no_place_and_outlives_the_queue(
    _: &mut Lab<'_>,
) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let found = AtomicU32::new(0);
    let work = || found.store(next_byte(queue.id, Wait::Ticks(SOON)), SeqCst);
    with(&[&Hand::new(own_priority() + 1, &work)], || {
        sleep(A_WHILE);
        done(send(queue.id, &[1]), "the first message is for who waits")?;
        done(send(queue.id, &[2]), "the second has the queue's place")?;
        expect_code(
            send(queue.id, &[3]),
            StatusCode::TOO_MANY,
            "the third has none",
        )?;
        let next = next_byte(queue.id, Wait::No);
        expect(next == 2, "the first is not in the queue any more", next)?;
        done(delete(queue.id), "the queue is deleted")
    })?;
    let found = found.load(SeqCst);
    expect(found == 1, "who waited has its message", found)
}

/// What a less urgent task that was started first and a more urgent one get of the messages 1 and 2; the more
/// urgent waits first, or `late`.
fn shares(attributes: u32, late: bool) -> Result<[u32; 2], Failure> {
    let mut storage = STORAGE;
    let queue = Queue::with(&mut storage, 2, attributes)?;
    let found = [const { AtomicU32::new(0) }; 2];
    let receive = |at: usize| found[at].store(next_byte(queue.id, Wait::Ticks(SOON)), SeqCst);
    let works: [&(dyn Fn() + Sync); 2] = [&|| receive(0), &|| {
        if late {
            sleep(A_WHILE);
        }
        receive(1);
    }];
    let own = own_priority();
    let (first, second) = (Hand::new(own + 2, works[0]), Hand::new(own + 1, works[1]));
    with(&[&first, &second], || {
        sleep(3 * A_WHILE);
        done(send(queue.id, &[1]), "a message is sent")?;
        done(send(queue.id, &[2]), "another message is sent")
    })?;
    Ok(found.each_ref().map(|found| found.load(SeqCst)))
}

pub(super) fn waiters_are_served_in_their_order(_: &mut Lab<'_>) -> Outcome {
    for (late, expected) in [(true, [1, 2]), (false, [2, 1])] {
        let found = shares(FIFO, late)?;
        expect(
            found == expected,
            "who waits longest is served first, however urgent others are",
            found[0],
        )?;
    }
    Ok(())
}

pub(super) fn waiters_are_served_by_priority_where_the_queue_has_it(_: &mut Lab<'_>) -> Outcome {
    let [first, second] = shares(sys::PRIORITY, true)?;
    expect(
        [first, second] == [2, 1],
        "who is most urgent is served first, however long others wait",
        first,
    )
}

pub(super) fn task_that_was_deleted_waits_no_more(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let found = AtomicU32::new(0);
    let work = || found.store(next_byte(queue.id, Wait::Endless), SeqCst);
    let hand = Hand::new(own_priority() - 1, &work);
    let outcome = with(&[&hand], || {
        let code = StatusCode(sys::rtems_task_delete(hand.task()));
        done(code, "a task that waits is deleted")?;
        let again = StatusCode(sys::rtems_task_delete(hand.task()));
        hand.call_it_over();
        expect_code(again, StatusCode::INVALID_ID, "it is gone")?;
        done(send(queue.id, &[6]), "a message is sent")?;
        let next = next_byte(queue.id, Wait::No);
        expect(next == 6, "nobody else has it", next)
    });
    let found = found.load(SeqCst);
    outcome.and(expect(found == 0, "it did not go on", found))
}
