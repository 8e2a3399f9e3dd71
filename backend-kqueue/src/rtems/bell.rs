//! The bell: what wakes a channel that waits in kqueue, for other tasks, for interrupt handlers, and in time.
//!
//! A task of its own writes a byte into a socketpair, whose other end is in the kqueue. It is told to by an
//! event of RTEMS (`rtems_event_send`), which anybody may send from any context and nobody waits for: a
//! write may have to, for an mbuf, and an interrupt handler cannot. And it has the kqueue watch the socketpair
//! anew each time, since libbsd may have forgotten it like any other socket (see `feed/libbsd.rs` of the
//! backend for message queues). It may even forget it between a ring and the moment at which the worker
//! runs; so the task rings again a quarter of a second after each ring, whatever was asked for.
//!
//! It promises that a ring is heard, and one that was asked for by [`Bell::ring_at`] rung not after that
//! tick; and that nobody but the task writes to the descriptor, which ends before that is closed.

use capuchin_core::wake::Wake;
use capuchin_posix::kqueue::{EV_ADD, EVFILT_READ, Kevent, kevent};
use capuchin_posix::{Descriptor, socket_pair, write_byte};
use capuchin_rtems::task::{self, Task};
use capuchin_rtems::{FeedError, LOOKS_PER_SECOND, StatusCode, is_reached, ticks, ticks_of};
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};

/// The task's stack: libbsd's code for a send lies on it, of which 1,440 bytes were seen to be used.
const STACK_BYTES: usize = 4 * 1_024;

/// `RTEMS_EVENT_0`: ring, or end.
const RING: u32 = 1 << 0;
/// `RTEMS_EVENT_1`: the time has changed at which to ring.
const ALARM: u32 = 1 << 1;
/// `RTEMS_EVENT_ANY`, with `RTEMS_WAIT`.
const ANY: u32 = 2;

unsafe extern "C" {
    safe fn rtems_event_send(task: u32, events: u32) -> u32;
    fn rtems_event_receive(wanted: u32, options: u32, ticks: u32, found: *mut u32) -> u32;
}

/// What channel, task and others share: one for each worker, and one for an acceptor.
static ROPES: [Rope; 16] = [const { Rope::new() }; 16];

struct Rope {
    taken: AtomicBool,
    wake: Wake,
    phase: AtomicU32,
    /// The task, while it runs.
    task: AtomicU32,
    kqueue: AtomicI32,
    /// The socketpair: the end in the kqueue, and the other.
    bell: AtomicI32,
    ring: AtomicI32,
    /// When to ring, in ticks.
    alarm: AtomicU32,
    /// A socket of the channel was lost.
    loss: AtomicBool,
    /// The channel's task.
    owner: AtomicU32,
}

const OVER: u32 = 0;
const RUNNING: u32 = 1;
const ENDING: u32 = 2;

impl Rope {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            wake: Wake::new(),
            phase: AtomicU32::new(OVER),
            task: AtomicU32::new(0),
            kqueue: AtomicI32::new(-1),
            bell: AtomicI32::new(-1),
            ring: AtomicI32::new(-1),
            alarm: AtomicU32::new(0),
            loss: AtomicBool::new(false),
            owner: AtomicU32::new(0),
        }
    }

    fn postpone(&self) {
        let next = ticks().wrapping_add(ticks_of(1_000 / LOOKS_PER_SECOND));
        self.alarm.store(next, SeqCst);
    }

    fn send(&self, event: u32) {
        rtems_event_send(self.task.load(SeqCst), event);
    }

    /// Ticks until the alarm, one at least.
    fn left(&self) -> u32 {
        let (now, alarm) = (ticks(), self.alarm.load(SeqCst));
        if is_reached(now, alarm) {
            1
        } else {
            alarm.wrapping_sub(now)
        }
    }
}

/// The task that rings. Its argument is which of [`ROPES`].
unsafe extern "C" fn ring(argument: usize) {
    let rope = &ROPES[argument];
    loop {
        let mut found = 0;
        // SAFETY: the place for the events lives through the call.
        unsafe { rtems_event_receive(RING | ALARM, ANY, rope.left(), &raw mut found) };
        if rope.phase.load(SeqCst) == ENDING {
            break;
        }
        if found & RING != 0 || is_reached(ticks(), rope.alarm.load(SeqCst)) {
            // First, so that whoever sets it meanwhile is heard: the byte comes after.
            rope.postpone();
            write_byte(rope.ring.load(SeqCst));
            let bell = Kevent::new(rope.bell.load(SeqCst), EVFILT_READ, EV_ADD);
            // Without memory the next ring does it.
            let _ = kevent(rope.kqueue.load(SeqCst), &[bell], &mut [], None);
        }
    }
    rope.phase.store(OVER, SeqCst);
    task::exit();
}

/// The others' end, which is good as long as the channel is there: which of [`ROPES`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring(pub(super) usize);

impl Ring {
    fn rope(self) -> &'static Rope {
        &ROPES[self.0]
    }

    /// Wakes the channel for a message that was just queued; from any context.
    pub(super) fn message(self) {
        let queued = || Ok::<(), ()>(());
        let _ = self.rope().wake.send(queued, || self.rope().send(RING));
    }

    /// Tells the channel that one of its cells was lost; from any task. Its own it is told at its next
    /// wait.
    pub(super) fn loss(self) {
        let rope = self.rope();
        rope.loss.store(true, SeqCst);
        if rope.owner.load(SeqCst) != task::this() {
            rope.send(RING);
        }
    }
}

/// The channel's end.
#[derive(Debug)]
pub(super) struct Bell {
    ring: Ring,
    /// The end in the kqueue; the other is closed with it.
    bell: Descriptor,
    _other: Descriptor,
}

impl Bell {
    /// A bell in `kqueue`, which has to live as long, and its task, more urgent than the one that calls.
    pub(super) fn new(kqueue: c_int) -> Result<Self, FeedError> {
        let (bell, other) = socket_pair().map_err(FeedError::Socketpair)?;
        let watch = Kevent::new(bell.number(), EVFILT_READ, EV_ADD);
        kevent(kqueue, &[watch], &mut [], None).map_err(FeedError::Kqueue)?;
        let priority = task::more_urgent().map_err(FeedError::Relay)?;
        let (index, rope) = ROPES
            .iter()
            .enumerate()
            .find(|(_, rope)| !rope.taken.swap(true, SeqCst))
            .ok_or(FeedError::Relay(StatusCode::TOO_MANY))?;
        rope.kqueue.store(kqueue, SeqCst);
        rope.bell.store(bell.number(), SeqCst);
        rope.ring.store(other.number(), SeqCst);
        rope.postpone();
        rope.loss.store(false, SeqCst);
        rope.owner.store(task::this(), SeqCst);
        // Messages that the channel before left unread have nobody any more.
        rope.wake.receive(|| (), || ());
        rope.phase.store(RUNNING, SeqCst);
        let ringer = Task {
            name: *b"CPB ",
            priority: Some(priority),
            stack_bytes: STACK_BYTES,
        };
        // SAFETY: the task takes a number, at any time.
        match unsafe { ringer.start(ring, index) } {
            Ok(id) => rope.task.store(id, SeqCst),
            Err(code) => {
                rope.phase.store(OVER, SeqCst);
                rope.taken.store(false, SeqCst);
                return Err(FeedError::Relay(code));
            }
        }
        Ok(Self {
            ring: Ring(index),
            bell,
            _other: other,
        })
    }

    /// For others.
    pub(super) fn ring(&self) -> Ring {
        self.ring
    }

    /// What becomes readable when it rings.
    pub(super) fn descriptor(&self) -> c_int {
        self.bell.number()
    }

    /// A message was sent since the last look: a hint.
    pub(super) fn is_pending(&self) -> bool {
        self.ring.rope().wake.is_pending()
    }

    /// Takes messages by `take`, so that none is overlooked ([`Wake::receive`]).
    pub(super) fn receive<R>(&self, take: impl FnOnce() -> R) -> R {
        self.ring
            .rope()
            .wake
            .receive(|| self.bell.read_empty(), take)
    }

    /// Rings at that tick, or before. An alarm that is soon enough is left as it is: most waits need not
    /// touch it.
    pub(super) fn ring_at(&self, tick: u32) {
        let rope = self.ring.rope();
        if is_reached(tick, rope.alarm.load(SeqCst)) {
            return;
        }
        rope.alarm.store(tick, SeqCst);
        rope.send(ALARM);
    }

    /// Whether a cell was lost since the last look.
    pub(super) fn take_loss(&self) -> bool {
        let loss = &self.ring.rope().loss;
        loss.load(SeqCst) && loss.swap(false, SeqCst)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let rope = self.ring.rope();
        rope.phase.store(ENDING, SeqCst);
        rope.send(RING);
        while rope.phase.load(SeqCst) != OVER {
            task::wake_after(1);
        }
        rope.taken.store(false, SeqCst);
    }
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    value "RTEMS_EVENT_0" = RING;
    value "RTEMS_EVENT_1" = ALARM;
    value "RTEMS_EVENT_ANY | RTEMS_WAIT" = ANY;
    value "sizeof(rtems_event_set)" = size_of::<u32>();
}
