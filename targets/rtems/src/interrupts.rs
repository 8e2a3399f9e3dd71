//! Messages from interrupt handlers, on the real thing: no double has interrupts.
//!
//! A timer of RTEMS's Timer Manager fires in the clock's interrupt. Its service routine sends some
//! messages at each tick while the worker waits, and in between.
//!
//! Only with the feature `conformance`; never part of a server.

use crate::way::{self, Channel, Notifier};
use capuchin_core::event::{Deadline, Event, EventChannel, EventList, Message, Notifier as _};
use capuchin_rtems::Room;
use capuchin_rtems::directives::Routine;
use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

unsafe extern "C" {
    fn rtems_timer_create(name: u32, id: *mut u32) -> u32;
    fn rtems_timer_fire_after(
        id: u32,
        ticks: u32,
        routine: unsafe extern "C" fn(u32, *mut c_void),
        data: *mut c_void,
    ) -> u32;
    safe fn rtems_timer_reset(id: u32) -> u32;
    safe fn rtems_timer_delete(id: u32) -> u32;
    safe fn rtems_interrupt_is_in_progress() -> u8;
}

/// Messages that each interrupt sends, and of how many interrupts.
pub(crate) const BURST: u32 = 8;
const INTERRUPTS: u32 = 200;
const TOTAL: u32 = BURST * INTERRUPTS;
/// How long the worker waits for the next message: there is a tick in each of these.
const PATIENCE_MS: u32 = 1_000;

/// A timer, which is deleted with this.
pub(crate) struct Timer {
    id: u32,
    /// What its interrupt is to call.
    errand: Option<(Routine, *mut c_void)>,
}

impl Timer {
    /// # Errors
    /// [`Fault::Refused`] without one.
    pub(crate) fn new() -> Result<Self, Fault> {
        let mut id = 0;
        // SAFETY: the place for the identifier is valid during the call.
        match unsafe { rtems_timer_create(u32::from_be_bytes(*b"CPTI"), &raw mut id) } {
            0 => Ok(Self { id, errand: None }),
            code => Err(Fault::Refused("a timer", code)),
        }
    }

    /// Has the next tick's interrupt call a routine, which gets `argument`. The timer stays where it is until
    /// then; `false` when it cannot be.
    pub(crate) fn interrupt(&mut self, routine: Routine, argument: *mut c_void) -> bool {
        unsafe extern "C" fn call(_: u32, errand: *mut c_void) {
            let errand = errand.cast::<Option<(Routine, *mut c_void)>>();
            // SAFETY: the caller of `interrupt` keeps the timer, and passed what the routine expects.
            unsafe {
                if let Some((routine, argument)) = *errand {
                    routine(argument);
                }
            }
        }

        self.errand = Some((routine, argument));
        // SAFETY: the routine gets the errand that it expects.
        unsafe { rtems_timer_fire_after(self.id, 1, call, (&raw mut self.errand).cast()) == 0 }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = rtems_timer_delete(self.id);
    }
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A directive or the channel refused; which, and its status code where it has one.
    Refused(&'static str, u32),
    /// The timer's routine ran, but in no interrupt.
    NoInterrupt,
    /// Nothing came in time after so many messages, of which the sender knows so many.
    Lost { received: u32, sent: u32 },
    /// Something else came in place of the message with this number.
    Unexpected(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(what, code) => write!(f, "{what} was refused ({code})"),
            Self::NoInterrupt => f.write_str("the timer's routine ran in no interrupt"),
            Self::Lost { received, sent } => {
                write!(f, "no message after {received}, {sent} were sent")
            }
            Self::Unexpected(number) => write!(f, "not message {number}, but something else"),
        }
    }
}

/// What the interrupts work with.
struct Sender {
    notifier: Notifier,
    /// The number of the next message. Only the interrupt writes it.
    next: AtomicU32,
    outside: AtomicBool,
}

unsafe extern "C" fn tick(timer: u32, data: *mut c_void) {
    // SAFETY: `messages_come_from_interrupts` passed a sender and lets it live while the timer does.
    let sender = unsafe { &*data.cast::<Sender>() };
    if rtems_interrupt_is_in_progress() == 0 {
        sender.outside.store(true, Ordering::Relaxed);
    }
    let begin = sender.next.load(Ordering::Relaxed);
    for number in begin..TOTAL.min(begin + BURST) {
        // A full queue is no fault here: the same number is tried again at the next tick.
        if sender
            .notifier
            .send(Message::Application(u64::from(number)))
            .is_err()
        {
            break;
        }
        sender.next.store(number + 1, Ordering::Relaxed);
    }
    if sender.next.load(Ordering::Relaxed) < TOTAL {
        let _ = rtems_timer_reset(timer);
    }
}

/// Every message that interrupts send arrives, once and in order, and wakes a worker that waits.
pub(crate) fn messages_come_from_interrupts(room: Room) -> Result<(), Fault> {
    let mut channel =
        way::channel(room, 2 * BURST as usize).map_err(|_| Fault::Refused("a channel", 0))?;
    let sender = Sender {
        notifier: channel.notifier(),
        next: AtomicU32::new(0),
        outside: AtomicBool::new(false),
    };
    // Deleted before the sender is gone.
    let timer = Timer::new()?;
    // SAFETY: the routine gets the sender that it expects, which outlives the timer.
    let code =
        unsafe { rtems_timer_fire_after(timer.id, 1, tick, (&raw const sender).cast_mut().cast()) };
    let outcome = if code == 0 {
        receive_all(&mut channel, &sender)
    } else {
        Err(Fault::Refused("the timer's start", code))
    };
    drop(timer);
    if sender.outside.load(Ordering::Relaxed) {
        return Err(Fault::NoInterrupt);
    }
    outcome
}

fn receive_all(channel: &mut Channel, sender: &Sender) -> Result<(), Fault> {
    let mut events = EventList::new();
    let mut received = 0;
    while received < TOTAL {
        events.clear();
        channel
            .wait(&mut events, Deadline::After(PATIENCE_MS))
            .map_err(|_| Fault::Refused("a wait", 0))?;
        if events.as_slice().is_empty() {
            let sent = sender.next.load(Ordering::Relaxed);
            return Err(Fault::Lost { received, sent });
        }
        for &event in events.as_slice() {
            if event != Event::Message(Message::Application(u64::from(received))) {
                return Err(Fault::Unexpected(received));
            }
            received += 1;
        }
    }
    Ok(())
}
