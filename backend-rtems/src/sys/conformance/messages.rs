//! The Message Manager, without waiting.

use super::super as sys;
use super::Lab;
use super::bench::{
    LONGEST, Queue, REFUSED, STORAGE, Storage, WORD, Wait, bytes_for, config, construct, create,
    delete, done, expect, expect_code, next_byte, receive, send,
};
use crate::queue::StatusCode;
use capuchin_core::conformance::Outcome;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};

fn refused(
    change: impl FnOnce(&mut sys::MessageQueueConfig),
    expected: StatusCode,
    expectation: &'static str,
) -> Outcome {
    let mut storage = STORAGE;
    let mut config = config(&mut storage, 2);
    change(&mut config);
    match construct(&config) {
        Ok(id) => {
            let _ = delete(id);
            expect(false, expectation, 0u32)
        }
        Err(code) => expect_code(code, expected, expectation),
    }
}

pub(super) fn construct_refuses_what_it_cannot_make(_: &mut Lab<'_>) -> Outcome {
    refused(
        |config| config.name = 0,
        StatusCode::INVALID_NAME,
        "a queue has a name",
    )?;
    refused(
        |config| config.maximum_pending_messages = 0,
        StatusCode::INVALID_NUMBER,
        "a queue has a place",
    )?;
    refused(
        |config| config.maximum_message_size = 0,
        StatusCode::INVALID_SIZE,
        "a message has a byte",
    )?;
    refused(
        |config| config.maximum_message_size = usize::MAX,
        StatusCode::INVALID_SIZE,
        "a message has a size that can be counted",
    )?;
    refused(
        |config| {
            config.maximum_pending_messages = u32::MAX;
            config.maximum_message_size = usize::MAX / 2;
        },
        StatusCode::INVALID_NUMBER,
        "all messages have a size that can be counted",
    )?;
    let mut storage = STORAGE;
    let mut nameless = config(&mut storage, 2);
    nameless.name = 0;
    let named = config(&mut storage, 2);
    let mut id = 0;
    // SAFETY: null pointers are what is examined; the rest lives through the calls.
    let codes = unsafe {
        [
            sys::rtems_message_queue_construct(core::ptr::null(), &raw mut id),
            sys::rtems_message_queue_construct(&raw const nameless, null_mut()),
            sys::rtems_message_queue_construct(&raw const named, null_mut()),
        ]
    };
    let expected = [
        StatusCode::INVALID_ADDRESS,
        StatusCode::INVALID_NAME,
        StatusCode::INVALID_ADDRESS,
    ];
    for (code, expected) in codes.into_iter().zip(expected) {
        expect_code(
            StatusCode(code),
            expected,
            "a null pointer is told, the configuration's first, the identifier's after the name",
        )?;
    }
    Ok(())
}

pub(super) fn construct_takes_storage_of_the_right_size_only(_: &mut Lab<'_>) -> Outcome {
    // Again and again: what is refused takes no object.
    for _ in 0..16 {
        refused(
            |config| config.storage_area = null_mut(),
            StatusCode::UNSATISFIED,
            "a queue has storage",
        )?;
        refused(
            |config| config.storage_size -= 1,
            StatusCode::UNSATISFIED,
            "too little storage is refused",
        )?;
        refused(
            |config| config.storage_size += WORD,
            StatusCode::UNSATISFIED,
            "too much storage is refused",
        )?;
    }
    let mut storage = STORAGE;
    // Sizes are rounded up to words.
    let mut odd = config(&mut storage, 3);
    odd.maximum_message_size = WORD + 1;
    odd.storage_size = bytes_for(3, WORD + 1);
    match construct(&odd) {
        Ok(id) => done(delete(id), "a queue of odd messages is deleted"),
        Err(code) => expect(
            false,
            "a message's place is as many words as it takes",
            code.0,
        ),
    }
}

pub(super) fn there_are_as_many_queues_as_configured(_: &mut Lab<'_>) -> Outcome {
    const MOST: usize = 64;
    let mut storage = [[0; HEADER_AND_ONE]; MOST];
    const HEADER_AND_ONE: usize = crate::queue::HEADER_WORDS + LONGEST / WORD;
    let (mut ids, mut count, mut refusal) = ([0; MOST], 0, None);
    let make = |area: &mut [usize; HEADER_AND_ONE]| {
        let mut spare = STORAGE;
        let mut config = config(&mut spare, 1);
        config.storage_area = area.as_mut_ptr().cast();
        construct(&config)
    };
    for area in &mut storage {
        match make(area) {
            Ok(id) => {
                ids[count] = id;
                count += 1;
            }
            Err(code) => {
                refusal = Some(code);
                break;
            }
        }
    }
    let again = match (refusal, count) {
        (Some(StatusCode::TOO_MANY), 1..) => {
            let _ = delete(ids[0]);
            make(&mut storage[0]).map(|id| ids[0] = id)
        }
        _ => Ok(()),
    };
    for &id in &ids[..count] {
        let _ = delete(id);
    }
    let code = refusal.unwrap_or(StatusCode::SUCCESSFUL);
    expect_code(
        code,
        StatusCode::TOO_MANY,
        "one queue more than configured is one too many",
    )?;
    expect(count > 0, "there is a queue", 0u32)?;
    let code = again.err().unwrap_or(StatusCode::SUCCESSFUL);
    done(code, "a queue can be had again when another is gone")
}

pub(super) fn messages_come_in_order_with_their_bytes(_: &mut Lab<'_>) -> Outcome {
    const PENDING: usize = 5;
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, PENDING)?;
    // From each place in turn, of each size, with neighbours that differ.
    for round in 0..4 * PENDING as u8 {
        let message = |number: u8| -> [u8; LONGEST] {
            core::array::from_fn(|at| {
                (31 * usize::from(round) + 7 * usize::from(number) + at) as u8
            })
        };
        let size = |number: u8| usize::from(round + number) % (LONGEST + 1);
        let count = 1 + round % PENDING as u8;
        for number in 0..count {
            done(
                send(queue.id, &message(number)[..size(number)]),
                "a message finds room",
            )?;
        }
        for number in 0..count {
            let mut buffer = [0xee; LONGEST];
            let received = receive(queue.id, &mut buffer, Wait::No);
            let length = received.unwrap_or(usize::MAX);
            expect(
                length == size(number),
                "a message has its size",
                length as u64,
            )?;
            let (came, rest) = buffer.split_at(length);
            expect(
                *came == message(number)[..length] && rest.iter().all(|&byte| byte == 0xee),
                "a message has its bytes, and no more are written",
                number,
            )?;
        }
    }
    Ok(())
}

pub(super) fn full_queue_refuses_and_has_room_again(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 2)?;
    done(send(queue.id, &[1]), "the first finds room")?;
    done(send(queue.id, &[2]), "the second finds room")?;
    for _ in 0..3 {
        expect_code(
            send(queue.id, &[3]),
            StatusCode::TOO_MANY,
            "a full queue refuses",
        )?;
    }
    let first = next_byte(queue.id, Wait::No);
    expect(first == 1, "the first comes first", first)?;
    done(send(queue.id, &[4]), "a place that is free is used")?;
    for expected in [2, 4, REFUSED + StatusCode::UNSATISFIED.0] {
        let found = next_byte(queue.id, Wait::No);
        expect(found == expected, "what was refused does not come", found)?;
    }
    Ok(())
}

pub(super) fn too_long_a_message_is_refused(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let long = [0; LONGEST + 1];
    let expectation = "a message that is too long is refused, also by a full queue";
    for _ in 0..2 {
        expect_code(send(queue.id, &long), StatusCode::INVALID_SIZE, expectation)?;
        let _ = send(queue.id, &[1]);
    }
    let found = next_byte(queue.id, Wait::No);
    expect(found == 1, "nothing of it comes", found)
}

pub(super) fn empty_queue_leaves_what_was_passed_alone(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let queue = Queue::new(&mut storage, 1)?;
    let (mut buffer, mut size) = ([0xee_u8; LONGEST], 12_345);
    // SAFETY: both live through the call, and there is room for a message.
    let code = unsafe {
        sys::rtems_message_queue_receive(
            queue.id,
            buffer.as_mut_ptr().cast(),
            &raw mut size,
            sys::NO_WAIT,
            7,
        )
    };
    expect_code(
        StatusCode(code),
        StatusCode::UNSATISFIED,
        "an empty queue says so at once",
    )?;
    expect(
        buffer == [0xee; LONGEST] && size == 12_345,
        "nothing is written",
        size as u64,
    )
}

pub(super) fn null_pointers_are_told_before_identifiers(_: &mut Lab<'_>) -> Outcome {
    let (mut buffer, mut size) = ([0_u8; LONGEST], 0);
    let room = buffer.as_mut_ptr().cast();
    // SAFETY: null pointers are what is examined; the rest lives through the calls.
    let codes = unsafe {
        [
            sys::rtems_message_queue_send(0, core::ptr::null(), 1),
            sys::rtems_message_queue_receive(0, null_mut(), &raw mut size, sys::NO_WAIT, 0),
            sys::rtems_message_queue_receive(0, room, null_mut(), sys::NO_WAIT, 0),
            sys::rtems_task_create(1, 1, 0, 0, 0, null_mut()),
            sys::rtems_task_set_priority(u32::MAX, 1, null_mut()),
        ]
    };
    for code in codes {
        expect_code(
            StatusCode(code),
            StatusCode::INVALID_ADDRESS,
            "a null pointer is told first",
        )?;
    }
    Ok(())
}

pub(super) fn identifiers_of_nothing_are_refused(_: &mut Lab<'_>) -> Outcome {
    let mut storage = STORAGE;
    let gone = {
        let queue = Queue::new(&mut storage, 1)?;
        queue.id
    };
    let task = create(1, 200, 0).unwrap_or(0);
    let mut buffer = [0; LONGEST];
    let mut outcome = expect(task != 0, "a task can be had", task);
    for id in [0, u32::MAX, gone, task] {
        let received = receive(id, &mut buffer, Wait::No);
        let codes = [
            send(id, &[1]),
            received.err().unwrap_or(StatusCode::SUCCESSFUL),
            delete(id),
        ];
        for code in codes {
            let told = expect_code(
                code,
                StatusCode::INVALID_ID,
                "an identifier that is no queue's is told",
            );
            outcome = outcome.and(told);
        }
    }
    let code = StatusCode(sys::rtems_task_delete(task));
    outcome.and(done(code, "the task is there still"))
}

static FREED: AtomicU32 = AtomicU32::new(0);
static FREED_LAST: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

unsafe extern "C" fn note_free(storage: *mut c_void) {
    FREED.fetch_add(1, SeqCst);
    FREED_LAST.store(storage, SeqCst);
}

pub(super) fn delete_gives_the_storage_back_once(_: &mut Lab<'_>) -> Outcome {
    let mut storage: Storage = STORAGE;
    let mut config = config(&mut storage, 1);
    config.storage_free = Some(note_free);
    FREED.store(0, SeqCst);
    let id = construct(&config).unwrap_or(0);
    let _ = send(id, &[1]);
    done(delete(id), "a queue with a message is deleted")?;
    let _ = delete(id);
    let freed = FREED.load(SeqCst);
    expect(
        freed == 1 && FREED_LAST.load(SeqCst) == config.storage_area,
        "the storage is given back, once",
        freed,
    )
}
