//! Heads that came before, and what they were answered with: clients repeat themselves byte for byte, and many of
//! them are the same program.
//!
//! Memory is bounded: so many heads, none longer than so much. Others are turned away, until there have been so many
//! of these that the ones that are known may be out of use: all are forgotten then, and the present ones soon learnt.
//! Where clients do not repeat themselves, looking heads up is nearly given up.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// Heads that are remembered at the most.
const HEADS: usize = 256;

/// Bytes of the longest.
const HEAD_BYTES: usize = 1_024;

/// Heads that are turned away before all are forgotten.
const TURNED_AWAY: u32 = 2 * HEADS as u32;

/// What a hit earns, beside a miss, which costs 1; from nothing to so much. A hit spares some 2,000 instructions, and
/// a miss costs a third of that.
const HIT: u32 = 2;
const MOST: u32 = 1_024;

/// Of so many heads one is looked up after all when that has not been worth it. No power of two: clients in turn are
/// often so many.
const SAMPLE: u32 = 17;

/// Numbers of hints from one clearing of the table to the next. Each clearing begins a new range of numbers, until the
/// 16 bits are used up after 255 of them, so a hint from before a clearing leads to no entry, and no head is compared
/// with one that its own connection did not send.
const HINTS: u16 = HEADS as u16;
const _: () = assert!(HEADS < 1 << 15);

/// What whole heads led to.
///
/// A head is compared with another one in two cases only: at its connection's own hint, or where the keyed hashes of
/// the whole heads, 64 bits, are equal. So the time that it takes tells nothing about how far the head of another
/// client agrees with it.
#[derive(Debug)]
pub(crate) struct Repeats<T> {
    entries: Vec<(Box<[u8]>, T)>,
    /// The place of each among the entries, by the hash of the head.
    places: HashMap<u64, u16, BuildHasherDefault<Hashed>>,
    hash: foldhash::fast::RandomState,
    /// The hint of the first entry.
    first_hint: u16,
    /// How well looking up has paid lately.
    worth: u32,
    /// Heads that came while it did not.
    passed: u32,
    /// Heads for which there was no room.
    turned_away: u32,
}

impl<T> Default for Repeats<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            places: HashMap::default(),
            hash: foldhash::fast::RandomState::default(),
            first_hint: 0,
            worth: MOST,
            passed: 0,
            turned_away: 0,
        }
    }
}

impl<T: Copy> Repeats<T> {
    /// What a head with exactly these bytes led to. The entry that `hint` names, that of the connection's last head, is
    /// compared first; [`NO_HINT`] and hints from before the last clearing name none.
    #[inline]
    pub fn get(&mut self, head: &[u8], hint: &mut u16) -> Option<T> {
        let place = hint.wrapping_sub(self.first_hint);
        if let Some((known, what)) = self.entries.get(usize::from(place))
            && **known == *head
        {
            self.worth = (self.worth + HIT).min(MOST);
            return Some(*what);
        }
        self.look_up(head, hint)
    }

    #[inline(never)]
    fn look_up(&mut self, head: &[u8], hint: &mut u16) -> Option<T> {
        if self.worth == 0 {
            self.passed = self.passed.wrapping_add(1);
        }
        if head.len() > HEAD_BYTES || !self.is_worth_it() {
            return None;
        }
        if let Some(found) = self.place_of(head) {
            self.worth = (self.worth + HIT).min(MOST);
            *hint = self.first_hint + found;
            return Some(self.entries[usize::from(found)].1);
        }
        if self.worth > 0 {
            self.worth -= 1;
            if self.worth == 0 {
                self.forget();
            }
        }
        None
    }

    /// The place of exactly this head.
    fn place_of(&self, head: &[u8]) -> Option<u16> {
        let place = *self.places.get(&self.hash.hash_one(head))?;
        let (known, _) = self.entries.get(usize::from(place))?;
        (**known == *head).then_some(place)
    }

    /// Remembers what a head led to, unless it is long.
    #[inline(never)]
    pub fn put(&mut self, head: &[u8], what: T) {
        if head.len() > HEAD_BYTES || !self.is_worth_it() {
            return;
        }
        if let Some(place) = self.place_of(head) {
            self.entries[usize::from(place)].1 = what;
            return;
        }
        if self.entries.len() == HEADS {
            self.turned_away += 1;
            if self.worth > 0 && self.turned_away < TURNED_AWAY {
                return;
            }
            self.forget();
        }
        // If another head has the same hash, that one is not found any more, which does no harm.
        self.places
            .insert(self.hash.hash_one(head), self.entries.len() as u16);
        self.entries.push((head.into(), what));
    }

    fn forget(&mut self) {
        self.entries.clear();
        self.places.clear();
        self.turned_away = 0;
        // Never so high that `NO_HINT` is among them.
        self.first_hint = match self.first_hint.checked_add(2 * HINTS) {
            Some(_) => self.first_hint + HINTS,
            None => 0,
        };
    }

    fn is_worth_it(&self) -> bool {
        self.worth > 0 || self.passed.is_multiple_of(SAMPLE)
    }
}

/// A number that is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::site::NO_HINT;

    fn head(number: usize) -> Vec<u8> {
        format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    }

    #[test]
    fn head_is_known_by_all_of_its_bytes() {
        let mut repeats = Repeats::default();
        repeats.put(&head(1), 'a');
        repeats.put(&head(2), 'b');
        assert_eq!(repeats.get(&head(1), &mut 0), Some('a'));
        assert_eq!(repeats.get(&head(2), &mut 0), Some('b'));
        assert_eq!(repeats.get(&head(3), &mut 0), None);
        assert_eq!(repeats.get(&head(1)[1..], &mut 0), None);
        assert_eq!(repeats.get(&[&head(1)[..], b"x"].concat(), &mut 0), None);
        for part in [&head(1)[..head(1).len() - 1], b""] {
            assert_eq!(repeats.get(part, &mut 0), None);
            assert_eq!(repeats.get(part, &mut 1), None);
        }
        repeats.put(&head(1), 'c');
        assert_eq!(repeats.get(&head(1), &mut 0), Some('c'));
    }

    #[test]
    fn heads_are_bounded_in_number_and_length() {
        let mut repeats = Repeats::default();
        for number in 0..10 * HEADS {
            repeats.put(&head(number), number);
            assert!(repeats.entries.len() <= HEADS);
        }
        let long = |length: usize| vec![b'a'; length];
        let mut repeats = Repeats::default();
        repeats.put(&long(HEAD_BYTES), 1);
        repeats.put(&long(HEAD_BYTES + 1), 2);
        for place in [0, 1] {
            assert_eq!(repeats.get(&long(HEAD_BYTES), &mut { place }), Some(1));
            assert_eq!(repeats.get(&long(HEAD_BYTES + 1), &mut { place }), None);
        }
    }

    #[test]
    fn place_is_a_hint_and_no_more() {
        let mut repeats = Repeats::default();
        (0..3).for_each(|number| repeats.put(&head(number), number));
        for stale in [0, 1, 2, 3, HEADS as u16, NO_HINT] {
            let mut place = stale;
            assert_eq!(repeats.get(&head(1), &mut place), Some(1));
            assert_eq!(repeats.get(&head(1), &mut place), Some(1));
            assert_eq!(place, 1);
            // What is not found leaves it alone.
            assert_eq!(repeats.get(&head(9), &mut place), None);
            assert_eq!(place, 1);
        }
        repeats.forget();
        assert_eq!(repeats.get(&head(1), &mut 1), None);
        repeats.put(&head(7), 7);
        repeats.put(&head(8), 8);
        assert_eq!(repeats.get(&head(1), &mut 1), None);
        assert_eq!(repeats.get(&head(7), &mut 1), Some(7));
    }

    #[test]
    fn new_connection_is_compared_with_nobody() {
        let mut repeats = Repeats::default();
        for round in 0..=usize::from(u16::MAX) / HEADS + 2 {
            (0..HEADS).for_each(|number| repeats.put(&head(number), number));
            // Only the way by hints is left.
            repeats.places.clear();
            let seen = |repeats: &mut Repeats<usize>, hint: u16| {
                repeats.worth = MOST;
                (0..HEADS).any(|number| repeats.get(&head(number), &mut { hint }).is_some())
            };
            assert!(!seen(&mut repeats, NO_HINT), "round {round}");
            let hint = repeats.first_hint;
            assert!(seen(&mut repeats, hint) && seen(&mut repeats, hint + HINTS - 1));
            repeats.forget();
            (0..HEADS).for_each(|number| repeats.put(&head(number), number));
            repeats.places.clear();
            assert!(
                !seen(&mut repeats, hint),
                "round {round}: a hint from before"
            );
        }
    }

    #[test]
    fn other_head_with_the_same_hash_is_not_taken_for_it() {
        let mut repeats = Repeats::default();
        repeats.put(&head(1), 1);
        let hash = repeats.hash.hash_one(&head(2)[..]);
        repeats.places.insert(hash, 0);
        assert_eq!(repeats.get(&head(2), &mut { NO_HINT }), None);
        repeats.put(&head(2), 2);
        assert_eq!(repeats.get(&head(2), &mut { NO_HINT }), Some(2));
        assert_eq!(repeats.get(&head(1), &mut { NO_HINT }), Some(1));
    }

    #[test]
    fn head_found_at_its_place_is_not_looked_up_and_earns_as_much() {
        let mut repeats = Repeats::default();
        repeats.put(&head(1), 1);
        repeats.places.clear();
        assert_eq!(repeats.get(&head(1), &mut 1), None);
        for (worth, then) in [(1, 1 + HIT), (MOST, MOST)] {
            repeats.worth = worth;
            assert_eq!(repeats.get(&head(1), &mut 0), Some(1));
            assert_eq!(repeats.worth, then);
        }
    }

    /// Asks for a head, and has it remembered if it is not known.
    fn learn(repeats: &mut Repeats<usize>, number: usize) -> bool {
        let known = repeats.get(&head(number), &mut 0);
        if known.is_none() {
            repeats.put(&head(number), number);
        }
        known.is_some_and(|known| {
            assert_eq!(known, number);
            true
        })
    }

    #[test]
    fn some_more_heads_than_there_is_room_for_push_few_out() {
        let mut repeats = Repeats::default();
        let heads = HEADS + HEADS / 8;
        let hits = (0..20 * heads).filter(|n| learn(&mut repeats, n % heads));
        let hits = hits.count();
        assert!(hits > 20 * heads * 3 / 4, "{hits} of {}", 20 * heads);
    }

    #[test]
    fn heads_of_yesterday_make_way() {
        let mut repeats = Repeats::default();
        (0..HEADS).for_each(|number| _ = learn(&mut repeats, number));
        // Asked for in turn, so that each has to find its place.
        let today = (1_000..1_100).cycle();
        let hits = today.take(10_000).filter(|&n| learn(&mut repeats, n));
        let hits = hits.count();
        assert!(hits > 5_000, "{hits} of 10,000");
    }

    #[test]
    fn looking_up_is_given_up_where_nothing_repeats_and_taken_up_where_something_does() {
        let mut repeats = Repeats::default();
        assert!((0..2 * MOST as usize).all(|number| !learn(&mut repeats, number)));
        assert_eq!(repeats.worth, 0);
        let hits = (0..10_000).filter(|_| learn(&mut repeats, usize::MAX));
        let hits = hits.count();
        assert!(hits > 5_000, "{hits} of 10,000");
        assert!(repeats.worth > 0);
    }
}
