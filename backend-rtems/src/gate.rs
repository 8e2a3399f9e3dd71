//! Who is sending at this moment, and to which life of a channel's memory.
//!
//! RTEMS gives the identifier of a queue that was deleted to the next that is made, and a channel's
//! memory has one channel after the other. So neither tells a sending end that outlived its channel
//! from one of the channel that came after: a life's number does. It promises that nobody who
//! belongs to another life gets in, and that whoever closes the gate can wait until all are out.
//!
//! One word has both, the life and how many are inside, so that there is nothing between them. Whoever
//! gets in does so by an exchange that is only ever repeated when another one went through.
//! Closing it among senders is checked with `loom` (`tests/cell_model.rs`).

use core::sync::atomic::AtomicU32 as PlainU32;

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
    } else {
        use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    }
}

/// The lowest bits count who is inside; the others are the life's number, 0 when there is none.
const ONE_LIFE: u32 = 1 << 12;
/// As many as can be inside at the same time; RTEMS has fewer tasks and levels of interrupts.
const INSIDE: u32 = ONE_LIFE - 1;

/// The life of a channel's memory: its number, where the gate has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(u32);

impl Life {
    /// One that no other memory had either, nor this one before it was written anew; they come again
    /// after a million.
    fn next() -> Self {
        static LIVES: PlainU32 = PlainU32::new(0);
        loop {
            let life = LIVES
                .fetch_add(1, core::sync::atomic::Ordering::Relaxed)
                .wrapping_mul(ONE_LIFE);
            if life != 0 {
                return Self(life);
            }
        }
    }
}

/// The word.
#[derive(Debug)]
pub struct Gate(AtomicU32);

macro_rules! new {
    ($($const:tt)?) => {
        /// Closed.
        pub(crate) $($const)? fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    };
}

impl Gate {
    #[cfg(not(loom))]
    new!(const);
    #[cfg(loom)]
    new!();

    /// Begins a life. The gate was closed, and nobody is inside.
    pub(crate) fn open(&self) -> Life {
        let life = Life::next();
        let before = self.0.swap(life.0, SeqCst);
        debug_assert_eq!(before, 0, "the life before is over");
        life
    }

    /// Goes in, from any context; `None` when that life is over.
    pub(crate) fn enter(&self, life: Life) -> Option<Inside<'_>> {
        let mut word = self.0.load(SeqCst);
        loop {
            if word & !INSIDE != life.0 || word & INSIDE == INSIDE {
                return None;
            }
            match self.0.compare_exchange(word, word + 1, SeqCst, SeqCst) {
                Ok(_) => return Some(Inside(self)),
                Err(other) => word = other,
            }
        }
    }

    /// The life is over: nobody gets in any more. Who is inside still is.
    pub(crate) fn close(&self) {
        self.0.fetch_and(INSIDE, SeqCst);
    }

    /// Closed, and nobody is inside.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(SeqCst) == 0
    }
}

/// Somebody is inside.
#[derive(Debug)]
pub(crate) struct Inside<'g>(&'g Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn life_that_is_over_lets_nobody_in_and_waits_for_who_is_inside() {
        let gate = Gate::new();
        let first = gate.open();
        let inside = gate.enter(first).unwrap();
        gate.close();
        assert!(gate.enter(first).is_none());
        assert!(!gate.is_empty());
        drop(inside);
        assert!(gate.is_empty());
        let second = gate.open();
        assert_ne!(first, second);
        assert!(gate.enter(first).is_none());
        assert!(gate.enter(second).is_some());
    }

    #[test]
    fn count_of_those_inside_does_not_run_into_the_life() {
        let gate = Gate::new();
        let life = gate.open();
        let inside: Vec<_> = (0..INSIDE).map(|_| gate.enter(life).unwrap()).collect();
        assert!(gate.enter(life).is_none());
        drop(inside);
        assert!(gate.enter(life).is_some());
    }
}
