//! Deadlines of many connections at a constant cost: a timer wheel whose links live in the slots.
//!
//! A deadline that moves *later* is only noted; the entry stays in its bucket and is looked at
//! again when that comes round. So the deadline of a busy connection, which moves with every
//! request, costs one store. A deadline never fires early; it fires at most one grain after its
//! time, plus what the worker needs to come round.

/// The wheel's resolution in milliseconds.
pub const GRAIN_MS: u32 = 64;

/// Buckets of the wheel, a power of two; deadlines beyond `BUCKETS * GRAIN_MS` (16 s, in images 4 s)
/// are put off until they are within it.
const BUCKETS: usize = if cfg!(target_os = "rtems") { 64 } else { 256 };
const _: () = assert!(BUCKETS.is_power_of_two() && BUCKETS >= u64::BITS as usize);

/// No entry.
const NONE: u32 = u32::MAX;

/// Not in any bucket.
const UNARMED: u16 = u16::MAX;

/// What an entry keeps for the wheel.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))] // two bytes less in every slot
pub struct TimerLink {
    previous: u32,
    next: u32,
    /// Milliseconds, the lower 32 bits: compared by wrapping difference, good for 24 days.
    deadline: u32,
    bucket: u16,
}

impl TimerLink {
    /// In no bucket.
    pub const UNARMED: Self = Self {
        previous: NONE,
        next: NONE,
        deadline: 0,
        bucket: UNARMED,
    };

    /// The deadline last set, as the lower 32 bits of milliseconds.
    #[must_use]
    pub fn deadline(&self) -> u32 {
        self.deadline
    }
}

/// Something with a deadline.
pub trait Timed {
    /// Its link.
    fn timer(&self) -> &TimerLink;
    /// Its link, to be changed.
    fn timer_mut(&mut self) -> &mut TimerLink;
}

/// The wheel. Entries are named by their index in the slice that every call is given.
#[derive(Debug)]
pub struct Wheel {
    heads: [u32; BUCKETS],
    occupied: [u64; BUCKETS / 64],
    /// The grain whose bucket is emptied now; all before it have been.
    current: u64,
}

impl Wheel {
    /// An empty wheel at `now` milliseconds.
    #[must_use]
    pub const fn new(now: u64) -> Self {
        Self {
            heads: [NONE; BUCKETS],
            occupied: [0; BUCKETS / 64],
            current: now / GRAIN_MS as u64,
        }
    }

    /// Sets the deadline of `entries[index]` to `after` milliseconds from `now`, or to 24 days, which
    /// is as far as the wheel can tell before from after.
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub fn set<E: Timed>(&mut self, entries: &mut [E], index: u32, now: u64, after: u32) {
        let after = after.min(i32::MAX as u32);
        let link = entries[index as usize].timer_mut();
        link.deadline = (now as u32).wrapping_add(after);
        let grain = (now + u64::from(after)) / u64::from(GRAIN_MS) + 1;
        if link.bucket != UNARMED {
            let ahead = u64::from(link.bucket).wrapping_sub(self.current) % BUCKETS as u64;
            if self.current + ahead <= grain {
                return;
            }
            self.unlink(entries, index);
        }
        self.link(entries, index, grain);
    }

    /// Takes `entries[index]` off the wheel.
    pub fn clear<E: Timed>(&mut self, entries: &mut [E], index: u32) {
        if entries[index as usize].timer().bucket != UNARMED {
            self.unlink(entries, index);
        }
    }

    /// Takes one entry whose deadline has passed off the wheel. Call until `None`.
    pub fn expired<E: Timed>(&mut self, entries: &mut [E], now: u64) -> Option<u32> {
        let present = now / u64::from(GRAIN_MS);
        // After a long sleep one round over all buckets is enough.
        self.current = self.current.max(present.saturating_sub(BUCKETS as u64));
        loop {
            let bucket = (self.current % BUCKETS as u64) as usize;
            while self.heads[bucket] != NONE && self.current <= present {
                let index = self.heads[bucket];
                self.unlink(entries, index);
                let remaining = entries[index as usize]
                    .timer()
                    .deadline
                    .wrapping_sub(now as u32) as i32;
                if remaining <= 0 {
                    return Some(index);
                }
                let grain = (now + u64::from(remaining.unsigned_abs())) / u64::from(GRAIN_MS) + 1;
                self.link(entries, index, grain);
            }
            if self.current >= present {
                return None;
            }
            self.current += 1;
        }
    }

    /// Milliseconds from `now` until [`Wheel::expired`] is worth calling; `None` while nothing is
    /// on the wheel.
    #[must_use]
    pub fn next(&self, now: u64) -> Option<u32> {
        let start = (self.current % BUCKETS as u64) as usize;
        // The word of `start` is looked at twice: its upper part first, its lower part last.
        for step in 0..self.occupied.len() + 1 {
            let word = (start / 64 + step) % self.occupied.len();
            let mask = match step {
                0 => !0 << (start % 64),
                step if step == self.occupied.len() => !(!0 << (start % 64)),
                _ => !0,
            };
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                let bucket = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (bucket + BUCKETS - start) % BUCKETS;
                let due = (self.current + ahead as u64) * u64::from(GRAIN_MS);
                return Some(due.saturating_sub(now).min(u64::from(u32::MAX)) as u32);
            }
        }
        None
    }

    fn link<E: Timed>(&mut self, entries: &mut [E], index: u32, grain: u64) {
        let grain = grain.clamp(self.current + 1, self.current + BUCKETS as u64 - 1);
        let bucket = (grain % BUCKETS as u64) as usize;
        let next = self.heads[bucket];
        let link = entries[index as usize].timer_mut();
        *link = TimerLink {
            previous: NONE,
            next,
            deadline: link.deadline,
            bucket: bucket as u16,
        };
        if next != NONE {
            entries[next as usize].timer_mut().previous = index;
        }
        self.heads[bucket] = index;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    fn unlink<E: Timed>(&mut self, entries: &mut [E], index: u32) {
        let TimerLink {
            previous,
            next,
            bucket,
            ..
        } = *entries[index as usize].timer();
        if previous == NONE {
            self.heads[usize::from(bucket)] = next;
            if next == NONE {
                self.occupied[usize::from(bucket) / 64] &= !(1 << (bucket % 64));
            }
        } else {
            entries[previous as usize].timer_mut().next = next;
        }
        if next != NONE {
            entries[next as usize].timer_mut().previous = previous;
        }
        let link = entries[index as usize].timer_mut();
        (link.previous, link.next, link.bucket) = (NONE, NONE, UNARMED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    impl Timed for TimerLink {
        fn timer(&self) -> &TimerLink {
            self
        }
        fn timer_mut(&mut self) -> &mut TimerLink {
            self
        }
    }

    fn fired(wheel: &mut Wheel, entries: &mut [TimerLink], now: u64) -> Vec<u32> {
        core::iter::from_fn(|| wheel.expired(entries, now)).collect()
    }

    #[test]
    fn fires_once_never_early_and_within_a_grain() {
        for after in [0, 1, 63, 64, 65, 1_000, 16_383, 16_384, 60_000, 3_600_000] {
            let start = 1_000_007;
            let (mut wheel, mut entries) = (Wheel::new(start), vec![TimerLink::UNARMED; 1]);
            wheel.set(&mut entries, 0, start, after);
            let mut now = start;
            let fired_at = loop {
                let wait = wheel.next(now).expect("armed");
                now += u64::from(wait.max(1));
                if wheel.expired(&mut entries, now).is_some() {
                    break now;
                }
            };
            let due = start + u64::from(after);
            assert!(
                (due..=due + u64::from(GRAIN_MS) + 1).contains(&fired_at),
                "{after}: {fired_at} for {due}"
            );
            assert_eq!(wheel.next(now), None);
        }
    }

    #[test]
    fn deadline_moved_later_does_not_fire_at_the_old_time() {
        let (mut wheel, mut entries) = (Wheel::new(0), vec![TimerLink::UNARMED; 1]);
        wheel.set(&mut entries, 0, 0, 100);
        wheel.set(&mut entries, 0, 50, 1_000);
        assert_eq!(fired(&mut wheel, &mut entries, 500), []);
        assert_eq!(fired(&mut wheel, &mut entries, 1_049), []);
        assert_eq!(fired(&mut wheel, &mut entries, 1_130), [0]);
    }

    #[test]
    fn deadline_moved_earlier_fires_at_the_new_time() {
        let (mut wheel, mut entries) = (Wheel::new(0), vec![TimerLink::UNARMED; 1]);
        wheel.set(&mut entries, 0, 0, 10_000);
        wheel.set(&mut entries, 0, 0, 100);
        assert_eq!(fired(&mut wheel, &mut entries, 192), [0]);
        assert_eq!(fired(&mut wheel, &mut entries, 20_000), []);
    }

    #[test]
    fn cleared_entries_leave_their_neighbours() {
        let (mut wheel, mut entries) = (Wheel::new(0), vec![TimerLink::UNARMED; 3]);
        (0..3).for_each(|index| wheel.set(&mut entries, index, 0, 100));
        wheel.clear(&mut entries, 1);
        wheel.clear(&mut entries, 1);
        let mut left = fired(&mut wheel, &mut entries, 1_000);
        left.sort_unstable();
        assert_eq!(left, [0, 2]);
    }

    #[test]
    fn agrees_with_a_plain_list_over_random_schedules() {
        let mut seed = 42u64;
        let mut random = move |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let (mut now, mut wheel) = (5_000, Wheel::new(5_000));
        let mut entries = vec![TimerLink::UNARMED; 50];
        let mut due = vec![None::<u64>; 50];
        for _ in 0..20_000 {
            let index = random(50) as usize;
            match random(4) {
                0 => {
                    wheel.clear(&mut entries, index as u32);
                    due[index] = None;
                }
                1 | 2 => {
                    let after = random(40_000);
                    wheel.set(&mut entries, index as u32, now, after as u32);
                    due[index] = Some(now + after);
                }
                _ => {
                    now += random(3_000);
                    for index in fired(&mut wheel, &mut entries, now) {
                        let at = due[index as usize]
                            .take()
                            .expect("fires once and only when set");
                        assert!(at <= now, "early");
                    }
                    let late = now.saturating_sub(u64::from(GRAIN_MS));
                    assert!(due.iter().flatten().all(|&at| at >= late), "late");
                }
            }
        }
    }

    #[test]
    fn sleeping_past_a_whole_round_loses_nothing() {
        let (mut wheel, mut entries) = (Wheel::new(0), vec![TimerLink::UNARMED; 2]);
        wheel.set(&mut entries, 0, 0, 5);
        wheel.set(&mut entries, 1, 0, 15_000);
        let mut left = fired(&mut wheel, &mut entries, 10_000_000);
        left.sort_unstable();
        assert_eq!(left, [0, 1]);
    }
}
