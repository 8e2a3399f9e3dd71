//! What interrupt handlers may do.

use super::super as sys;
use super::Lab;
use super::bench::{
    Hand, NAME, Queue, REFUSED, STORAGE, Wait, create, done, expect, expect_code, interrupt,
    next_byte, own_priority, send, with,
};
use crate::queue::StatusCode;
use capuchin_core::conformance::Outcome;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

pub(super) fn interrupt_sends_and_a_more_urgent_task_runs(lab: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 2)?;
    let found = AtomicU32::new(0);
    let work = || found.store(next_byte(queue.id, Wait::Endless), SeqCst);
    let hand = Hand::new(own_priority() - 1, &work);
    let codes = [const { AtomicU32::new(u32::MAX) }; 4];
    with(&[&hand], || {
        // To the one that waits, into two places, and into none.
        interrupt(lab, &|| {
            for (number, code) in (1..).zip(&codes) {
                code.store(send(queue.id, &[number]).0, SeqCst);
            }
        })?;
        expect(
            hand.is_over(),
            "the more urgent has run when the interrupted goes on",
            0u32,
        )
    })?;
    let [first, second, third, fourth] = codes.each_ref().map(|code| StatusCode(code.load(SeqCst)));
    done(first, "an interrupt sends to who waits")?;
    done(second, "an interrupt sends to a queue")?;
    done(third, "an interrupt fills a queue")?;
    expect_code(
        fourth,
        StatusCode::TOO_MANY,
        "an interrupt is told of a full queue",
    )?;
    let found = found.load(SeqCst);
    expect(found == 1, "who waited has the first message", found)?;
    for expected in [2, 3, REFUSED + StatusCode::UNSATISFIED.0] {
        let found = next_byte(queue.id, Wait::No);
        expect(found == expected, "the queue has the others", found)?;
    }
    Ok(())
}

pub(super) fn interrupt_must_not_delete_tasks(lab: &mut Lab<'_>) -> Outcome {
    let task = create(NAME, own_priority() + 1, 0).unwrap_or(0);
    let code = AtomicU32::new(0);
    let outcome = interrupt(lab, &|| code.store(sys::rtems_task_delete(task), SeqCst));
    done(
        StatusCode(sys::rtems_task_delete(task)),
        "the task is there still",
    )?;
    outcome?;
    expect_code(
        StatusCode(code.load(SeqCst)),
        StatusCode::CALLED_FROM_ISR,
        "an interrupt must not delete a task",
    )
}
