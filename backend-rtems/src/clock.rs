//! The time in clock ticks: two loads, where asking the hardware costs a visit to a slow port.

use crate::sys;
use capuchin_core::transport::Clock;

/// Clock ticks since boot; they come round after 2³² of them.
#[must_use]
pub fn ticks() -> u32 {
    sys::ticks_since_boot()
}

/// Whether a moment, in ticks, is not before another; they are less than half of all ticks apart.
#[must_use]
pub fn is_reached(moment: u32, other: u32) -> bool {
    (moment.wrapping_sub(other) as i32) >= 0
}

/// Clock ticks in a second.
#[must_use]
pub fn ticks_per_second() -> u32 {
    sys::rtems_clock_get_ticks_per_second()
}

/// Ticks that last at least `milliseconds`: rounded up, and one more, for the first comes at once.
#[must_use]
pub fn ticks_of(milliseconds: u32) -> u32 {
    let ticks = u64::from(milliseconds) * u64::from(ticks_per_second());
    // Directives take up to 32 bits; half of them are far enough and leave room to add and compare.
    (ticks.div_ceil(1_000) + 1).min(u64::from(u32::MAX / 2)) as u32
}

/// The clock of a worker on RTEMS: as fine as `CONFIGURE_MICROSECONDS_PER_TICK`.
#[derive(Debug)]
pub struct TickClock {
    /// Ticks since boot, extended to 64 bits. That takes being asked at least once in 2³² ticks (497
    /// days at the default rate, 49 at 1 ms). A worker asks in each turn, and one that has a deadline
    /// waits for half as many ticks at most. Only one that has none, and that nobody talks to for so
    /// long, loses a multiple of that time: nothing is measured then.
    ticks: u64,
    per_second: u64,
    /// The time of day, and the tick at which it is to be asked for again.
    unix_time: u64,
    ask_again: u64,
}

impl Default for TickClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TickClock {
    /// A clock that begins at the kernel's.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ticks: u64::from(sys::ticks_since_boot()),
            per_second: u64::from(sys::rtems_clock_get_ticks_per_second().max(1)),
            unix_time: 0,
            ask_again: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        let passed = sys::ticks_since_boot().wrapping_sub(self.ticks as u32);
        self.ticks += u64::from(passed);
        self.ticks
    }
}

impl Clock for TickClock {
    fn monotonic(&mut self) -> u64 {
        self.tick() * 1_000 / self.per_second
    }

    /// Seconds of the time of day; up to a tenth of a second late, so that a turn need not ask.
    fn unix_time(&mut self) -> u64 {
        let now = self.tick();
        if now >= self.ask_again {
            self.ask_again = now + (self.per_second / 10).max(1);
            self.unix_time = capuchin_posix::PosixClock.unix_time();
        }
        self.unix_time
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_never_too_few() {
        // Ticks of 10 ms here, and the first may come at once.
        for (milliseconds, ticks) in [(1, 2), (10, 2), (11, 3), (1_000, 101)] {
            assert_eq!(ticks_of(milliseconds), ticks, "{milliseconds}");
        }
        assert!(ticks_of(u32::MAX) >= u32::MAX / 10);
    }

    #[test]
    fn moments_are_compared_also_where_ticks_come_round() {
        for moment in [0, 7, u32::MAX, u32::MAX / 2] {
            assert!(is_reached(moment, moment));
            assert!(is_reached(moment.wrapping_add(5), moment));
            assert!(!is_reached(moment, moment.wrapping_add(5)));
            // The longest wait that there is.
            let end = moment.wrapping_add(ticks_of(u32::MAX));
            assert!(!is_reached(moment, end) && is_reached(end, moment));
        }
    }
}
