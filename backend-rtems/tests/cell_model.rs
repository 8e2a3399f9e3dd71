//! All interleavings of two feeds, or two senders, and a worker, by `loom`:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p capuchin-rtems --test cell_model`.
//!
//! The queue is a mutex around a list: what the directives promise is theirs to keep; here it is how
//! cells and places go about it.
#![cfg(loom)]

use capuchin_core::event::{Interest, Token};
use capuchin_rtems::Letter;
use capuchin_rtems::cell::{Cell, Direction};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::collections::VecDeque;

const TOKEN: Token = Token {
    index: 1,
    generation: 1,
};

/// Context switches besides those that a thread's end makes.
const PREEMPTIONS: usize = 4;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// A cell, and the entries for it that lie in the queue.
struct World {
    cell: Cell,
    entries: Mutex<u32>,
}

impl World {
    /// A socket that is watched and of which nothing is left to be looked into.
    fn new(interest: Interest) -> Arc<Self> {
        let cell = Cell::new();
        cell.begin((0, 0), TOKEN, interest);
        let _ = cell.try_out(Direction::Receive);
        Arc::new(Self {
            cell,
            entries: Mutex::new(0),
        })
    }

    fn post(&self) {
        let mut entries = self.entries.lock().unwrap();
        *entries += 1;
        assert_eq!(*entries, 1, "a cell has one entry in the queue");
    }

    /// What a feed does.
    fn tell(&self) {
        if self.cell.heard(Direction::Receive) {
            self.post();
        }
    }

    /// The worker looks, and tries what is readable; the changes that it took. Whether the cell stays
    /// in its own list comes back, too.
    fn look(&self) -> (u32, bool) {
        let readable = self.cell.look().is_some_and(|look| look.is_readable());
        if !readable {
            return (0, false);
        }
        let taken = self.cell.try_out(Direction::Receive);
        (taken, self.cell.notice())
    }

    /// One turn of the worker: its own list, then the queue.
    fn turn(&self, listed: &mut bool) -> u32 {
        let mut taken = 0;
        if core::mem::take(listed) {
            let (changes, again) = self.look();
            taken += changes;
            *listed |= again;
        }
        let has_entry = {
            let mut entries = self.entries.lock().unwrap();
            core::mem::take(&mut *entries) == 1
        };
        if has_entry {
            let (changes, again) = self.look();
            taken += changes;
            *listed |= again;
        }
        taken
    }
}

#[test]
fn every_change_is_looked_into_and_a_cell_has_one_entry() {
    check(|| {
        let world = World::new(Interest::READ);
        let feeds: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    world.tell();
                    world.tell();
                })
            })
            .collect();
        let (mut listed, mut taken) = (false, 0);
        for _ in 0..2 {
            taken += world.turn(&mut listed);
        }
        for feed in feeds {
            feed.join().unwrap();
        }
        // Nobody tells any more: whatever is left has an entry, or is in the list.
        for _ in 0..3 {
            taken += world.turn(&mut listed);
        }
        assert_eq!(taken, 4, "a change was lost");
        assert!(!listed && *world.entries.lock().unwrap() == 0);
    });
}

#[test]
fn change_that_nobody_cared_for_shows_when_somebody_does() {
    check(|| {
        let world = World::new(Interest::WRITE);
        let feed = {
            let world = world.clone();
            thread::spawn(move || world.tell())
        };
        // As `set_interest` does.
        world.cell.change(TOKEN, Interest::READ);
        let mut listed = world.cell.notice();
        let mut taken = world.turn(&mut listed);
        feed.join().unwrap();
        for _ in 0..2 {
            taken += world.turn(&mut listed);
        }
        assert_eq!(taken, 1, "the change was lost");
    });
}

#[test]
fn letter_is_one_sender_s_until_it_is_opened() {
    const LETTERS: usize = 2;
    check(|| {
        let letters: Vec<_> = (0..LETTERS).map(|_| Letter::new()).collect();
        let world = Arc::new((letters, Mutex::new(VecDeque::new())));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    let (letters, queue) = &*world;
                    let mut sent = 0;
                    for _ in 0..2 {
                        if let Some(index) = letters.iter().position(Letter::take) {
                            let mut queue = queue.lock().unwrap();
                            assert!(!queue.contains(&index), "two messages in one letter");
                            queue.push_back(index);
                            assert!(queue.len() <= LETTERS, "the queue overflows");
                            sent += 1;
                        }
                    }
                    sent
                })
            })
            .collect();
        let (letters, queue) = &*world;
        let receive = || {
            let entry = queue.lock().unwrap().pop_front();
            if let Some(index) = entry {
                let letter: &Letter = &letters[index];
                letter.give();
            }
            usize::from(entry.is_some())
        };
        let mut received = receive();
        let sent: usize = senders
            .into_iter()
            .map(|sender| sender.join().unwrap())
            .sum();
        for _ in 0..4 {
            received += receive();
        }
        assert_eq!(received, sent);
        assert!(
            sent >= LETTERS,
            "letters are not refused while there are some"
        );
        assert!(letters.iter().all(Letter::take), "all are free again");
    });
}
