//! The clock: ticks since boot, and the time of day that the machine's clock had then.
//!
//! A machine that is emulated does not get the processor for each of its timer's interrupts. So these are
//! not counted: a counter of the same timer tells how much time has passed since the last. What is lost is
//! whole rounds of the counter, 55 ms each, where it comes round unseen.

use super::{Guarded, task};
use crate::boot;
use crate::interrupts::{TICK_PERIODS, TICKS_PER_SECOND, TIMER_HERTZ};
use capuchin_pc::port;
use core::ffi::c_int;

/// Ticks since boot.
static TICKS: Guarded<u64> = Guarded::new(0);

/// The time of day: seconds since 1970, and what has passed of the next one, in periods of the timer.
static TIME: Guarded<(u32, u32)> = Guarded::new((0, 0));

/// What the timer's counter said last, and the periods that have passed of the next tick.
static COUNTED: Guarded<(u16, u32)> = Guarded::new((0, 0));

/// The timer's third counter: what it is told by, where it is read, and where it is let run. It comes round
/// after 55 ms; interrupts are not further apart.
const COMMAND: u16 = 0x43;
const COUNTER: u16 = 0x42;
const GATE: u16 = 0x61;

/// The timer's interrupt.
pub fn tick() {
    let ticks = COUNTED.with(|(last, periods)| {
        let now = count();
        // It counts down.
        *periods += u32::from(last.wrapping_sub(now));
        *last = now;
        let ticks = *periods / TICK_PERIODS;
        *periods %= TICK_PERIODS;
        ticks
    });
    TICKS.with(|all| *all += u64::from(ticks));
    TIME.with(|(seconds, periods)| {
        *periods += ticks * TICK_PERIODS;
        if *periods >= TIMER_HERTZ {
            *periods -= TIMER_HERTZ;
            *seconds += 1;
        }
    });
    assert!(
        boot::stack_is_whole(),
        "the first task's stack is too small"
    );
    #[cfg(feature = "conformance")]
    crate::examine::interrupted();
    task::tick();
}

/// Has the counter run, over all that 16 bits hold.
fn start_counter() {
    // SAFETY: the counter is nobody else's, and the speaker that it could drive stays off.
    unsafe {
        port::write8(GATE, port::read8(GATE) & !2 | 1);
        port::write8(COMMAND, 0xb4);
        port::write8(COUNTER, 0);
        port::write8(COUNTER, 0);
    }
    COUNTED.with(|counted| *counted = (count(), 0));
}

/// The counter now; interrupts are off.
fn count() -> u16 {
    // SAFETY: the counter is nobody else's; it is kept for both reads, and goes on.
    unsafe {
        port::write8(COMMAND, 0x80);
        u16::from_le_bytes([port::read8(COUNTER), port::read8(COUNTER)])
    }
}

/// Ticks since boot.
pub fn ticks() -> u64 {
    TICKS.with(|ticks| *ticks)
}

/// A number that differs from boot to boot: the time of day and the processor's counter of cycles.
pub fn seed() -> u64 {
    // SAFETY: every processor with a PCI bus has the counter.
    let cycles = unsafe { core::arch::x86::_rdtsc() };
    cycles ^ u64::from(TIME.with(|time| time.0)) << 32
}

/// Begins to count, and asks the machine's clock for the time of day.
pub fn start() {
    start_counter();
    let seconds = time_of_day();
    TIME.with(|time| *time = (seconds, 0));
}

/// Seconds since 1970 of the battery clock, which is taken to tell the time of Greenwich.
fn time_of_day() -> u32 {
    let read = |register: u8| {
        // SAFETY: the clock's ports; reading changes nothing.
        let value = unsafe {
            port::write8(0x70, register);
            port::read8(0x71)
        };
        u32::from(value)
    };
    let all = || {
        while read(0x0a) & 0x80 != 0 {}
        [0, 2, 4, 7, 8, 9].map(read)
    };
    // Until it tells the same twice: it may go on in between.
    let mut now = all();
    loop {
        let again = all();
        if again == now {
            break;
        }
        now = again;
    }
    if read(0x0b) & 4 == 0 {
        now = now.map(|value| value / 16 * 10 + value % 16);
    }
    let [second, minute, hour, day, month, year] = now;
    // Days by the calendar that begins in March, so that a leap day comes last.
    let (year, month) = match month {
        1 | 2 => (2_000 + year - 1, month + 9),
        _ => (2_000 + year, month.max(3) - 3),
    };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day.max(1) - 1;
    // From 0000-03-01 to 1970-01-01.
    (days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second
}

#[unsafe(no_mangle)]
extern "C" fn rtems_clock_get_ticks_per_second() -> u32 {
    TICKS_PER_SECOND
}

#[unsafe(no_mangle)]
extern "C" fn rtems_clock_get_ticks_since_boot() -> u32 {
    ticks() as u32
}

/// POSIX's; whichever clock it is asked for, it tells the time of day.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_clock: c_int, time: *mut libc::timespec) -> c_int {
    let (seconds, periods) = TIME.with(|time| *time);
    let nanoseconds = u64::from(periods) * 1_000_000_000 / u64::from(TIMER_HERTZ);
    // SAFETY: the caller's word.
    unsafe {
        (*time).tv_sec = seconds.into();
        (*time).tv_nsec = nanoseconds as _;
    }
    0
}
