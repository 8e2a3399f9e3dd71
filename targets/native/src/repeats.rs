//! Heads that came before, and what they were answered with: clients repeat themselves byte for byte, and many of
//! them are the same program.
//!
//! Memory is bounded: so many heads, none longer than so much; when there are more, all are forgotten and the
//! present ones soon learnt again. Where clients do not repeat themselves, looking heads up is nearly given up.

use std::collections::HashMap;

/// Heads that are remembered at the most.
const HEADS: usize = 256;

/// Bytes of the longest.
const HEAD_BYTES: usize = 1_024;

/// What a hit earns, beside a miss, which costs 1; from nothing to so much.
const HIT: u32 = 8;
const MOST: u32 = 4_096;

/// Of so many heads one is looked up after all when that has not been worth it.
const SAMPLE: u32 = 16;

/// What whole heads led to.
#[derive(Debug)]
pub(crate) struct Repeats<T> {
    known: HashMap<Box<[u8]>, T, foldhash::fast::RandomState>,
    /// How well looking up has paid lately.
    worth: u32,
    /// Heads that came while it did not.
    passed: u32,
}

impl<T> Default for Repeats<T> {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            worth: MOST,
            passed: 0,
        }
    }
}

impl<T: Copy> Repeats<T> {
    /// What exactly this head led to.
    #[inline]
    pub fn get(&mut self, head: &[u8]) -> Option<T> {
        if self.worth == 0 {
            self.passed = self.passed.wrapping_add(1);
        }
        if head.len() > HEAD_BYTES || !self.looks() {
            return None;
        }
        let found = self.known.get(head).copied();
        self.worth = match found {
            Some(_) => (self.worth + HIT).min(MOST),
            None => self.worth.saturating_sub(1),
        };
        found
    }

    /// Remembers what a head led to, unless it is long.
    #[inline(never)]
    pub fn put(&mut self, head: &[u8], what: T) {
        if head.len() > HEAD_BYTES || !self.looks() {
            return;
        }
        if let Some(known) = self.known.get_mut(head) {
            *known = what;
            return;
        }
        if self.known.len() == HEADS {
            self.known.clear();
        }
        self.known.insert(head.into(), what);
    }

    fn looks(&self) -> bool {
        self.worth > 0 || self.passed.is_multiple_of(SAMPLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: usize) -> Vec<u8> {
        format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    }

    #[test]
    fn head_is_known_by_all_of_its_bytes() {
        let mut repeats = Repeats::default();
        repeats.put(&head(1), 'a');
        repeats.put(&head(2), 'b');
        assert_eq!(repeats.get(&head(1)), Some('a'));
        assert_eq!(repeats.get(&head(2)), Some('b'));
        assert_eq!(repeats.get(&head(3)), None);
        assert_eq!(repeats.get(&head(1)[1..]), None);
        assert_eq!(repeats.get(&[&head(1)[..], b"x"].concat()), None);
        repeats.put(&head(1), 'c');
        assert_eq!(repeats.get(&head(1)), Some('c'));
    }

    #[test]
    fn heads_are_bounded_in_number_and_length() {
        let mut repeats = Repeats::default();
        for number in 0..10 * HEADS {
            repeats.put(&head(number), number);
            assert!(repeats.known.len() <= HEADS);
            assert_eq!(repeats.get(&head(number)), Some(number));
        }
        let long = |length: usize| vec![b'a'; length];
        repeats.put(&long(HEAD_BYTES), 1);
        repeats.put(&long(HEAD_BYTES + 1), 2);
        assert_eq!(repeats.get(&long(HEAD_BYTES)), Some(1));
        assert_eq!(repeats.get(&long(HEAD_BYTES + 1)), None);
    }

    #[test]
    fn looking_up_is_given_up_where_nothing_repeats_and_taken_up_where_something_does() {
        let mut repeats = Repeats::default();
        let mut unseen = 0;
        let learn = |repeats: &mut Repeats<usize>, head: &[u8]| {
            let known = repeats.get(head);
            if known.is_none() {
                repeats.put(head, 0);
            }
            known.is_some()
        };
        for _ in 0..2 * MOST as usize {
            unseen += 1;
            assert!(!learn(&mut repeats, &head(unseen)));
        }
        assert_eq!(repeats.worth, 0);
        let hits = (0..64).filter(|_| learn(&mut repeats, &head(0))).count();
        assert!(hits > 32, "{hits} of 64");
        assert!(repeats.worth > 0);
    }
}
