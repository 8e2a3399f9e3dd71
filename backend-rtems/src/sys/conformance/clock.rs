//! The Clock Manager, and what time it is.

use super::super as sys;
use super::Lab;
use super::bench::{SOON, expect, sleep, ticks};
use capuchin_core::conformance::Outcome;
use capuchin_core::transport::Clock;
use capuchin_posix::PosixClock;

pub(super) fn ticks_go_on(_: &mut Lab<'_>) -> Outcome {
    let rate = sys::rtems_clock_get_ticks_per_second();
    expect(
        (1..=1_000_000).contains(&rate),
        "there is a tick between once a microsecond and once a second",
        rate,
    )?;
    let mut last = ticks();
    for _ in 0..20 {
        sleep(1);
        let now = ticks();
        let passed = now.wrapping_sub(last);
        expect(
            (1..SOON).contains(&passed),
            "the counter goes on by some ticks",
            passed,
        )?;
        last = now;
    }
    Ok(())
}

pub(super) fn task_sleeps_so_many_ticks(_: &mut Lab<'_>) -> Outcome {
    for count in [1, 2, 3, 20] {
        let begin = ticks();
        sleep(count);
        let slept = ticks().wrapping_sub(begin);
        expect(
            slept >= count && slept < count + SOON,
            "a task sleeps so many ticks",
            slept,
        )?;
    }
    Ok(())
}

pub(super) fn time_of_day_is_set_and_goes_on(_: &mut Lab<'_>) -> Outcome {
    /// 2023, in seconds since 1970: later than a clock that nobody set.
    const PAST: u64 = 1_672_531_200;
    let before = PosixClock.unix_time();
    expect(before > PAST, "the time of day is set", before)?;
    let second = sys::rtems_clock_get_ticks_per_second();
    sleep(second + second / 10);
    let passed = PosixClock.unix_time().wrapping_sub(before);
    expect((1..60).contains(&passed), "it goes on by a second", passed)
}
