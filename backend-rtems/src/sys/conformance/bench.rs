//! The cases' tools: directives as functions that cannot be called wrongly, and tasks that lend a hand.

use super::super as sys;
use crate::queue::{HEADER_WORDS, StatusCode};
use crate::task::{CURRENT_PRIORITY, SELF};
use capuchin_core::conformance::{Failure, Outcome};
use core::cell::Cell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub(super) const WORD: usize = size_of::<usize>();

/// `RTEMS_FIFO`, an attribute of a queue.
pub(super) const FIFO: u32 = 0;

/// Ticks that whatever comes soon has at the most: the machine may be emulated, and busy.
pub(super) const SOON: u32 = 2_000;

/// The longest message of these queues.
pub(super) const LONGEST: usize = 8;

/// Memory for a queue.
pub(super) type Storage = [usize; 64];
pub(super) const STORAGE: Storage = [0; 64];

pub(super) fn expect(holds: bool, expectation: &'static str, found: impl Into<u64>) -> Outcome {
    if holds {
        return Ok(());
    }
    Err(Failure {
        expectation,
        found: Some(found.into()),
        refusal: None,
    })
}

/// Fails with the code that was found unless it is this one.
pub(super) fn expect_code(
    found: StatusCode,
    expected: StatusCode,
    expectation: &'static str,
) -> Outcome {
    expect(found == expected, expectation, found.0)
}

/// What it was that should have been done.
pub(super) fn done(code: StatusCode, expectation: &'static str) -> Outcome {
    expect_code(code, StatusCode::SUCCESSFUL, expectation)
}

/// Bytes that the storage of a queue has.
pub(super) const fn bytes_for(pending: usize, longest: usize) -> usize {
    pending * (HEADER_WORDS + longest.div_ceil(WORD)) * WORD
}

/// What a queue is constructed from.
pub(super) fn config(storage: &mut Storage, pending: usize) -> sys::MessageQueueConfig {
    sys::MessageQueueConfig {
        name: u32::from_be_bytes(*b"CASE"),
        maximum_pending_messages: pending as u32,
        maximum_message_size: LONGEST,
        storage_area: storage.as_mut_ptr().cast(),
        storage_size: bytes_for(pending, LONGEST),
        storage_free: None,
        attributes: FIFO,
    }
}

pub(super) fn construct(config: &sys::MessageQueueConfig) -> Result<u32, StatusCode> {
    let mut id = 0;
    // SAFETY: both live through the call. Whoever made the configuration keeps the storage.
    let code = unsafe { sys::rtems_message_queue_construct(config, &raw mut id) };
    StatusCode::check(code).map(|()| id)
}

pub(super) fn delete(queue: u32) -> StatusCode {
    // SAFETY: no memory is passed.
    StatusCode(unsafe { sys::rtems_message_queue_delete(queue) })
}

pub(super) fn send(queue: u32, message: &[u8]) -> StatusCode {
    // SAFETY: the message lives through the call.
    StatusCode(unsafe {
        sys::rtems_message_queue_send(queue, message.as_ptr().cast(), message.len())
    })
}

/// How long a receive waits.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    No,
    Ticks(u32),
    Endless,
}

/// Receives into `buffer`; the message's length.
pub(super) fn receive(
    queue: u32,
    buffer: &mut [u8; LONGEST],
    wait: Wait,
) -> Result<usize, StatusCode> {
    let (option, ticks) = match wait {
        Wait::No => (sys::NO_WAIT, 0),
        Wait::Ticks(ticks) => (sys::WAIT, ticks),
        Wait::Endless => (sys::WAIT, sys::NO_TIMEOUT),
    };
    let mut size = usize::MAX;
    // SAFETY: there is room for a message of the largest size; both live through the call.
    let code = unsafe {
        sys::rtems_message_queue_receive(
            queue,
            buffer.as_mut_ptr().cast(),
            &raw mut size,
            option,
            ticks,
        )
    };
    StatusCode::check(code).map(|()| size)
}

/// The first byte of the next message; what a receive is refused with counts from [`REFUSED`].
pub(super) fn next_byte(queue: u32, wait: Wait) -> u32 {
    let mut buffer = [0; LONGEST];
    match receive(queue, &mut buffer, wait) {
        Ok(_) => buffer[0].into(),
        Err(code) => REFUSED + code.0,
    }
}

pub(super) const REFUSED: u32 = 1_000;

/// A queue of messages of up to [`LONGEST`] bytes, which is deleted with this.
pub(super) struct Queue<'s> {
    pub(super) id: u32,
    storage: PhantomData<&'s mut Storage>,
}

impl<'s> Queue<'s> {
    pub(super) fn new(storage: &'s mut Storage, pending: usize) -> Result<Self, Failure> {
        Self::of(&config(storage, pending))
    }

    /// As [`Queue::new`]; who waits longest is served first, or who is most urgent.
    pub(super) fn with(
        storage: &'s mut Storage,
        pending: usize,
        attributes: u32,
    ) -> Result<Self, Failure> {
        let mut config = config(storage, pending);
        config.attributes = attributes;
        Self::of(&config)
    }

    fn of(config: &sys::MessageQueueConfig) -> Result<Self, Failure> {
        match construct(config) {
            Ok(id) => Ok(Self {
                id,
                storage: PhantomData,
            }),
            Err(code) => Err(Failure {
                expectation: "a queue can be had",
                found: Some(code.0.into()),
                refusal: None,
            }),
        }
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let _ = delete(self.id);
    }
}

pub(super) fn ticks() -> u32 {
    sys::ticks_since_boot()
}

pub(super) fn sleep(ticks: u32) {
    let _ = sys::rtems_task_wake_after(ticks);
}

/// Changes a task's priority; what it was.
pub(super) fn set_priority(task: u32, priority: u32) -> (StatusCode, u32) {
    let mut old = u32::MAX;
    // SAFETY: the old priority lives through the call.
    let code = unsafe { sys::rtems_task_set_priority(task, priority, &raw mut old) };
    (StatusCode(code), old)
}

/// How urgent this task is.
pub(super) fn own_priority() -> u32 {
    set_priority(SELF, CURRENT_PRIORITY).1
}

/// Creates a task; the arguments are the directive's.
pub(super) fn create(name: u32, priority: u32, stack: usize) -> Result<u32, StatusCode> {
    let mut id = 0;
    // SAFETY: the identifier lives through the call.
    let code = unsafe { sys::rtems_task_create(name, priority, stack, 0, 0, &raw mut id) };
    StatusCode::check(code).map(|()| id)
}

pub(super) const NAME: u32 = u32::from_be_bytes(*b"HAND");
pub(super) const STACK_BYTES: usize = 4_096;

/// Somebody who does `work` on a task of its own.
pub(super) struct Hand<'w> {
    priority: u32,
    work: &'w (dyn Fn() + Sync),
    task: Cell<u32>,
    over: AtomicBool,
}

impl<'w> Hand<'w> {
    pub(super) fn new(priority: u32, work: &'w (dyn Fn() + Sync)) -> Self {
        Self {
            priority,
            work,
            task: Cell::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// The task's identifier, once it was started.
    pub(super) fn task(&self) -> u32 {
        self.task.get()
    }

    /// Whether its work is done.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// Somebody ended the task.
    pub(super) fn call_it_over(&self) {
        self.over.store(true, SeqCst);
    }

    fn start(&self) -> Outcome {
        let task = create(NAME, self.priority, STACK_BYTES).map_err(|code| Failure {
            expectation: "a task can be had",
            found: Some(code.0.into()),
            refusal: None,
        })?;
        self.task.set(task);
        // SAFETY: `with` keeps this until the task is over.
        let code = unsafe { sys::rtems_task_start(task, work, &raw const *self as usize) };
        done(StatusCode(code), "a task starts")
    }
}

unsafe extern "C" fn work(hand: usize) {
    // SAFETY: `Hand::start` passed one that lives until this is over. What is written there before the start
    // is all that this side reads.
    let hand = unsafe { &*(hand as *const Hand<'_>) };
    (hand.work)();
    hand.over.store(true, SeqCst);
    sys::rtems_task_exit()
}

/// Starts all hands in turn and does something meanwhile; all have to end soon after it.
pub(super) fn with(hands: &[&Hand<'_>], meanwhile: impl FnOnce() -> Outcome) -> Outcome {
    let started = hands.iter().try_for_each(|hand| hand.start());
    let outcome = started.and_then(|()| meanwhile());
    let begin = ticks();
    let works = |hand: &&Hand<'_>| hand.task() != 0 && !hand.is_over();
    while hands.iter().any(works) && ticks().wrapping_sub(begin) < SOON {
        sleep(1);
    }
    let mut all_over = Ok(());
    for hand in hands.iter().filter(|hand| works(hand)) {
        all_over = expect(false, "a task that helps comes to its end", hand.priority);
        // It must not go on with what is here.
        let gone = StatusCode(sys::rtems_task_delete(hand.task()));
        assert!(gone == StatusCode::SUCCESSFUL, "a task can be ended");
    }
    outcome.and(all_over)
}

/// Has an interrupt call `act`, and waits without giving way until it has.
pub(super) fn interrupt(lab: &mut super::Lab<'_>, act: &(dyn Fn() + Sync)) -> Outcome {
    struct Errand<'a> {
        act: &'a (dyn Fn() + Sync),
        over: AtomicBool,
    }

    unsafe extern "C" fn run(errand: *mut c_void) {
        // SAFETY: whoever passed it waits until it is over.
        let errand = unsafe { &*errand.cast::<Errand<'_>>() };
        (errand.act)();
        errand.over.store(true, SeqCst);
    }

    let errand = Errand {
        act,
        over: AtomicBool::new(false),
    };
    let Some(interrupt) = &mut lab.interrupt else {
        return expect(false, "the lab has interrupts", 0u32);
    };
    let comes = interrupt(run, (&raw const errand).cast_mut().cast());
    expect(comes, "an interrupt can be had", 0u32)?;
    // It has the errand: there is no leaving before.
    while !errand.over.load(SeqCst) {
        core::hint::spin_loop();
    }
    Ok(())
}
