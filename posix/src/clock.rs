//! The clocks that a worker reads once a turn.

use capuchin_core::transport::Clock;
use libc::{clockid_t, timespec};

/// The system's clocks (clock_gettime(2)). Where there are coarse ones they are read: their tick
/// (1 to 10 ms) is finer than any deadline needs, and reading them costs a few nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct PosixClock;

impl Clock for PosixClock {
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    fn monotonic(&mut self) -> u64 {
        let time = read(crate::sys::COARSE_MONOTONIC, libc::CLOCK_MONOTONIC);
        time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    fn unix_time(&mut self) -> u64 {
        u64::try_from(read(crate::sys::COARSE_REALTIME, libc::CLOCK_REALTIME).tv_sec).unwrap_or(0)
    }
}

#[cfg_attr(not(target_os = "rtems"), inline(always))]
fn read(clock: clockid_t, precise: clockid_t) -> timespec {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing. The call fails only for clocks that do not exist, as the
    // coarse ones in some sandboxes; the precise ones POSIX asks for.
    unsafe {
        if libc::clock_gettime(clock, &raw mut time) != 0 {
            libc::clock_gettime(precise, &raw mut time);
        }
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn monotonic_time_passes_in_milliseconds() {
        let mut clock = PosixClock;
        let before = clock.monotonic();
        std::thread::sleep(Duration::from_millis(50));
        let passed = clock.monotonic() - before;
        assert!((40..5_000).contains(&passed), "{passed}");
    }

    #[test]
    fn missing_clock_is_made_up_for_by_the_precise_one() {
        const NO_CLOCK: clockid_t = 0x7fff;
        assert!(read(NO_CLOCK, libc::CLOCK_REALTIME).tv_sec > 1_600_000_000);
    }

    #[test]
    fn unix_time_is_the_system_s() {
        let expected = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(PosixClock.unix_time().abs_diff(expected) <= 1);
    }
}
