//! Log lines that clients can cause: the first of a kind at once, then at most one a minute.
//!
//! A client that repeats a request, or opens connections, as fast as it can must not fill a disk or
//! hide other lines. Every line above `debug` that a request can cause goes through a [`Throttle`].

use core::fmt;

/// Milliseconds from a line to the next of its kind.
pub const PAUSE_MS: u64 = 60_000;

/// Decides for each kind of line whether it is logged. Kinds are numbers; they share `KINDS`
/// places, so two kinds may count as one.
///
/// ```
/// use capuchin_core::throttle::{PAUSE_MS, Throttle};
///
/// let mut throttle = Throttle::<4>::new();
/// let line = |withheld| format!("a file cannot be read{withheld}");
/// assert_eq!(throttle.admit(0, 1_000).map(line).as_deref(), Some("a file cannot be read"));
/// assert!(throttle.admit(0, 1_001).is_none());
/// let later = throttle.admit(0, 1_000 + PAUSE_MS).map(line);
/// assert_eq!(later.as_deref(), Some("a file cannot be read (1 more like it before)"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Throttle<const KINDS: usize>([Kind; KINDS]);

#[derive(Clone, Copy, Debug)]
struct Kind {
    /// When the next line may come, in milliseconds.
    next: u64,
    withheld: u32,
}

impl<const KINDS: usize> Throttle<KINDS> {
    /// One that has admitted nothing.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(KINDS > 0, "there is a place for one kind");
        }
        let kind = Kind {
            next: 0,
            withheld: 0,
        };
        Self([kind; KINDS])
    }

    /// Whether to log a line of this kind at `now`, in milliseconds of a monotonic clock; if so, what
    /// to end it with.
    pub fn admit(&mut self, kind: usize, now: u64) -> Option<Withheld> {
        let kind = &mut self.0[kind % KINDS];
        if now < kind.next {
            kind.withheld = kind.withheld.saturating_add(1);
            return None;
        }
        kind.next = now.saturating_add(PAUSE_MS);
        Some(Withheld(core::mem::take(&mut kind.withheld)))
    }
}

impl<const KINDS: usize> Default for Throttle<KINDS> {
    fn default() -> Self {
        Self::new()
    }
}

/// How many lines were not logged since the last of their kind; says nothing where none were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld(u32);

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like it before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn flood_is_one_line_a_minute_and_nothing_is_uncounted() {
        let mut throttle = Throttle::<2>::new();
        let (mut lines, mut told) = (0, 0);
        // Ten a second for ten minutes.
        for now in (5_000..605_000).step_by(100) {
            if let Some(Withheld(count)) = throttle.admit(0, now) {
                lines += 1;
                told += count;
            }
        }
        assert_eq!((lines, told), (10, 9 * 599));
    }

    #[test]
    fn kinds_do_not_silence_each_other() {
        let mut throttle = Throttle::<2>::new();
        assert!(throttle.admit(0, 0).is_some());
        assert!(throttle.admit(1, 0).is_some());
        assert!(throttle.admit(0, 1).is_none());
        // There are two places: this kind is the first one's.
        assert!(throttle.admit(2, 1).is_none());
    }

    #[test]
    fn nothing_is_said_of_no_lines() {
        assert_eq!(Withheld(0).to_string(), "");
    }
}
