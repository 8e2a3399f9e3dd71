//! The Task Manager.

use super::super as sys;
use super::Lab;
use super::bench::{
    Hand, NAME, SOON, STACK_BYTES, create, done, expect, expect_code, own_priority, set_priority,
    sleep, ticks, with,
};
use crate::queue::StatusCode;
use crate::task::{CURRENT_PRIORITY, SELF};
use capuchin_core::conformance::Outcome;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

/// `CONFIGURE_MAXIMUM_PRIORITY`, its default.
const LEAST_URGENT: u32 = 255;

fn delete(task: u32) -> StatusCode {
    StatusCode(sys::rtems_task_delete(task))
}

pub(super) fn create_refuses_what_it_cannot_make(lab: &mut Lab<'_>) -> Outcome {
    let wrong = [
        (0, 1, StatusCode::INVALID_NAME),
        (NAME, 0, StatusCode::INVALID_PRIORITY),
        (NAME, LEAST_URGENT + 1, StatusCode::INVALID_PRIORITY),
    ];
    // Again and again: what is refused takes no task.
    for _ in 0..32 {
        for (name, priority, expected) in wrong {
            let code = create(name, priority, STACK_BYTES).err();
            expect_code(
                code.unwrap_or(StatusCode::SUCCESSFUL),
                expected,
                "a task has a name and a priority",
            )?;
        }
        if lab.priorities {
            let code = create(NAME, 1, usize::MAX / 2).err();
            expect_code(
                code.unwrap_or(StatusCode::SUCCESSFUL),
                StatusCode::UNSATISFIED,
                "a stack that there is no memory for is refused",
            )?;
        }
    }
    for priority in [1, LEAST_URGENT] {
        let task = create(NAME, priority, 0).unwrap_or(0);
        done(
            delete(task),
            "a task that was not started is deleted, its stack of the smallest size",
        )?;
        expect_code(delete(task), StatusCode::INVALID_ID, "it is gone")?;
    }
    Ok(())
}

pub(super) fn there_are_as_many_tasks_as_configured(_: &mut Lab<'_>) -> Outcome {
    const MOST: usize = 64;
    let (mut tasks, mut count, mut refusal) = ([0; MOST], 0, StatusCode::SUCCESSFUL);
    while count < MOST {
        match create(NAME, LEAST_URGENT, 0) {
            Ok(task) => {
                tasks[count] = task;
                count += 1;
            }
            Err(code) => {
                refusal = code;
                break;
            }
        }
    }
    let mut again = StatusCode::SUCCESSFUL;
    if count > 0 {
        let _ = delete(tasks[0]);
        match create(NAME, LEAST_URGENT, 0) {
            Ok(task) => tasks[0] = task,
            Err(code) => again = code,
        }
    }
    for &task in &tasks[..count] {
        let _ = delete(task);
    }
    expect_code(
        refusal,
        StatusCode::TOO_MANY,
        "one task more than configured is one too many",
    )?;
    expect(count > 0, "there is a task", 0u32)?;
    done(again, "a task can be had again when another is gone")
}

unsafe extern "C" fn end(_: usize) {
    sys::rtems_task_exit()
}

fn start(task: u32) -> StatusCode {
    // SAFETY: the entry may be called with anything.
    StatusCode(unsafe { sys::rtems_task_start(task, end, 0) })
}

pub(super) fn start_tells_what_is_wrong(lab: &mut Lab<'_>) -> Outcome {
    for nobody in [u32::MAX, 1] {
        expect_code(
            start(nobody),
            StatusCode::INVALID_ID,
            "nobody is not started",
        )?;
    }
    if lab.priorities {
        expect_code(
            start(SELF),
            StatusCode::INCORRECT_STATE,
            "who runs is not started",
        )?;
        let task = create(NAME, own_priority() + 1, 0).unwrap_or(0);
        done(start(task), "a task is started")?;
        let again = start(task);
        // It ends when this one waits, or here.
        let begin = ticks();
        while delete(task) == StatusCode::SUCCESSFUL && ticks().wrapping_sub(begin) < SOON {
            sleep(1);
        }
        expect_code(again, StatusCode::INCORRECT_STATE, "a task is started once")?;
    }
    Ok(())
}

static ARGUMENT: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn note_argument(argument: usize) {
    ARGUMENT.store(argument, SeqCst);
    sys::rtems_task_exit()
}

pub(super) fn task_gets_its_argument_whole(_: &mut Lab<'_>) -> Outcome {
    for argument in [usize::MAX, 0x1234_5678, 1] {
        ARGUMENT.store(0, SeqCst);
        let task = create(NAME, own_priority(), STACK_BYTES).unwrap_or(0);
        // SAFETY: the entry may be called with anything.
        let code = unsafe { sys::rtems_task_start(task, note_argument, argument) };
        done(StatusCode(code), "a task is started")?;
        let begin = ticks();
        while ARGUMENT.load(SeqCst) == 0 && ticks().wrapping_sub(begin) < SOON {
            sleep(1);
        }
        let found = ARGUMENT.load(SeqCst);
        expect(
            found == argument,
            "a task gets what it was started with",
            found as u64,
        )?;
    }
    Ok(())
}

pub(super) fn task_knows_itself(_: &mut Lab<'_>) -> Outcome {
    let found = AtomicU32::new(0);
    let work = || found.store(sys::rtems_task_self(), SeqCst);
    let hand = Hand::new(own_priority() - 1, &work);
    with(&[&hand], || {
        let found = found.load(SeqCst);
        expect(
            found == hand.task() && found != sys::rtems_task_self(),
            "a task has the identifier that it was created with",
            found,
        )
    })
}

pub(super) fn equals_run_in_turn(_: &mut Lab<'_>) -> Outcome {
    let next = AtomicU32::new(0);
    let turns = [const { AtomicU32::new(0) }; 3];
    let take = |who: usize| turns[who].store(next.fetch_add(1, SeqCst) + 1, SeqCst);
    let own = own_priority();
    let works: [&(dyn Fn() + Sync); 3] = [&|| take(0), &|| take(1), &|| take(2)];
    let [first, second, lower] =
        core::array::from_fn(|at| Hand::new(own + u32::from(at == 2), works[at]));
    with(&[&lower, &first, &second], || {
        let early = next.load(SeqCst);
        expect(early == 0, "nobody ran before this one waits", early)?;
        let code = StatusCode(sys::rtems_task_wake_after(0));
        done(code, "a task gives way")?;
        let found = turns.each_ref().map(|turn| turn.load(SeqCst));
        expect(
            found == [1, 2, 0],
            "equals ran, in their order, and nobody less urgent",
            found[0] * 100 + found[1] * 10 + found[2],
        )
    })
}

pub(super) fn priority_is_told_and_changed(_: &mut Lab<'_>) -> Outcome {
    let task = create(NAME, 77, 0).unwrap_or(0);
    let steps = [
        (CURRENT_PRIORITY, StatusCode::SUCCESSFUL, 77),
        (78, StatusCode::SUCCESSFUL, 77),
        (LEAST_URGENT + 1, StatusCode::INVALID_PRIORITY, 78),
        (LEAST_URGENT, StatusCode::SUCCESSFUL, 78),
        (CURRENT_PRIORITY, StatusCode::SUCCESSFUL, LEAST_URGENT),
    ];
    for (new, expected, expected_old) in steps {
        let (code, old) = set_priority(task, new);
        expect_code(code, expected, "a priority is set, or refused")?;
        expect(
            old == expected_old,
            "the priority up to now is told, also when the new one is refused",
            old,
        )?;
    }
    done(delete(task), "the task is deleted")?;
    let (code, _) = set_priority(task, 1);
    expect_code(code, StatusCode::INVALID_ID, "who is gone has no priority")
}

pub(super) fn most_urgent_runs_when_priorities_change(_: &mut Lab<'_>) -> Outcome {
    let own = own_priority();
    let nothing = || ();
    // The other is made more urgent than this one.
    let hand = Hand::new(own + 1, &nothing);
    with(&[&hand], || {
        expect(!hand.is_over(), "the less urgent has not run", 0u32)?;
        let (code, old) = set_priority(hand.task(), own - 1);
        done(code, "another's priority is set")?;
        expect(
            hand.is_over() && old == own + 1,
            "it has run when the directive returns",
            old,
        )
    })?;
    // This one is made less urgent than the other.
    let hand = Hand::new(own + 1, &nothing);
    with(&[&hand], || {
        let (code, _) = set_priority(SELF, own + 2);
        let ran = hand.is_over();
        let (_, between) = set_priority(SELF, own);
        done(code, "the own priority is set")?;
        expect(
            ran && between == own + 2,
            "the other has run when the directive returns",
            between,
        )
    })
}

pub(super) fn sleeper_runs_at_its_tick(_: &mut Lab<'_>) -> Outcome {
    const NAP: u32 = 10;
    let (began, woke) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = || {
        began.store(ticks(), SeqCst);
        sleep(NAP);
        woke.store(ticks(), SeqCst);
    };
    let hand = Hand::new(own_priority() - 1, &work);
    with(&[&hand], || {
        let begin = ticks();
        // Without a directive in which it could be let in.
        while !hand.is_over() && ticks().wrapping_sub(begin) < SOON {
            core::hint::spin_loop();
        }
        expect(hand.is_over(), "the sleeper interrupts whoever runs", 0u32)
    })?;
    let slept = woke.load(SeqCst).wrapping_sub(began.load(SeqCst));
    expect(
        (NAP..NAP + SOON).contains(&slept),
        "it sleeps so many ticks",
        slept,
    )
}

pub(super) fn work_that_is_preempted_comes_out_right(_: &mut Lab<'_>) -> Outcome {
    const TIMES: u32 = 50;
    let stop = AtomicBool::new(false);
    let times = AtomicU32::new(0);
    // Other words in all registers, each time.
    let sum = |seed: u32| {
        let (mut a, mut b, mut c, mut d) = (seed, !seed, seed ^ 0x5555_5555, seed.rotate_left(9));
        for _ in 0..1_000 {
            (a, b, c, d) = (
                a.wrapping_mul(1_664_525).wrapping_add(d),
                b.rotate_left(5) ^ a,
                c.wrapping_add(b),
                d ^ c.rotate_right(3),
            );
        }
        a ^ b ^ c ^ d
    };
    let work = || {
        while !stop.load(SeqCst) {
            sleep(1);
            core::hint::black_box(sum(core::hint::black_box(times.fetch_add(1, SeqCst))));
        }
    };
    with(&[&Hand::new(own_priority() - 1, &work)], || {
        let expected = sum(core::hint::black_box(42));
        let (begin, mut found) = (ticks(), expected);
        while found == expected && times.load(SeqCst) < TIMES && ticks().wrapping_sub(begin) < SOON
        {
            found = sum(core::hint::black_box(42));
        }
        stop.store(true, SeqCst);
        expect(
            found == expected,
            "who was interrupted goes on with what it had",
            found,
        )?;
        let times = times.load(SeqCst);
        expect(
            times >= TIMES,
            "it was interrupted at nearly every tick",
            times,
        )
    })
}
