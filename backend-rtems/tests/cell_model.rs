//! Interleavings of two feeds, or two senders, and a worker, by `loom`:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p capuchin-rtems --test cell_model`.
//!
//! It runs the functions of cells, of posting and of the gate themselves; `loom` also finds a letter
//! that two have at the same time. What it does not run is written down again: the order in which the
//! channel calls them. The queue is a mutex around a list: what the directives promise is theirs to
//! keep. Not all interleavings are tried, but all with up to so many preemptions as the models say;
//! beyond that, nothing is shown.
#![cfg(loom)]

use capuchin_core::event::{Interest, Message, Token};
use capuchin_rtems::cell::{Cell, Direction};
use capuchin_rtems::model::{Life, Post};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::collections::VecDeque;

const TOKEN: Token = Token {
    index: 1,
    generation: 1,
};

/// Context switches besides those that a thread's end makes.
const PREEMPTIONS: usize = 4;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
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
    check(PREEMPTIONS, || {
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
    check(PREEMPTIONS, || {
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

/// A channel's letters and its queue, which may be gone: then whatever is sent to its identifier goes to
/// the next queue that is made.
struct Office {
    post: Post,
    queue: Mutex<VecDeque<u32>>,
}

const LETTERS: usize = 2;

impl Office {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            post: Post::new(LETTERS),
            queue: Mutex::new(VecDeque::new()),
        })
    }

    /// Whether it was taken.
    fn send(&self, life: Life, number: u64) -> bool {
        let queue = |index| {
            let mut queue = self.queue.lock().unwrap();
            assert!(!queue.contains(&index), "two messages in one letter");
            queue.push_back(index);
            assert!(queue.len() <= LETTERS, "the queue overflows");
        };
        let sent = self.post.send(life, Message::Application(number), queue);
        sent.is_ok()
    }

    fn receive(&self) -> Option<u64> {
        let index = self.queue.lock().unwrap().pop_front()?;
        // SAFETY: `send` has put it into the queue.
        match unsafe { self.post.open(index) } {
            Message::Application(number) => Some(number),
            other => panic!("nobody sent {other:?}"),
        }
    }

    /// As the channel's `Drop`: closes, waits, and deletes the queue.
    fn end(&self) {
        self.post.close();
        while !self.post.is_empty() {
            thread::yield_now();
        }
        self.queue.lock().unwrap().clear();
    }
}

#[test]
fn letter_is_one_sender_s_until_it_is_opened() {
    check(PREEMPTIONS, || {
        let office = Office::new();
        let life = office.post.begin();
        let senders: Vec<_> = [10, 20]
            .into_iter()
            .map(|number| {
                let office = office.clone();
                thread::spawn(move || {
                    let sent = (number..number + 2).filter(|&number| office.send(life, number));
                    sent.collect::<Vec<_>>()
                })
            })
            .collect();
        let mut received: Vec<_> = office.receive().into_iter().collect();
        let mut sent = Vec::new();
        for sender in senders {
            sent.extend(sender.join().unwrap());
        }
        received.extend(core::iter::from_fn(|| office.receive()));
        for first in [10, 20] {
            let of_one = |all: &[u64]| -> Vec<u64> {
                let own = |number: &&u64| (first..first + 2).contains(*number);
                all.iter().filter(own).copied().collect()
            };
            assert_eq!(of_one(&received), of_one(&sent), "each once, in order");
        }
        assert!(
            sent.len() >= LETTERS,
            "letters are not refused while there are some"
        );
        for number in 0..LETTERS as u64 {
            assert!(office.send(life, number), "all are free again");
        }
    });
}

#[test]
fn sender_of_a_life_that_is_over_touches_nothing_of_the_next() {
    check(PREEMPTIONS, || {
        let office = Office::new();
        let first = office.post.begin();
        let late = {
            let office = office.clone();
            thread::spawn(move || {
                // What was taken in the first life went with it.
                let _ = office.send(first, 1);
                let _ = office.send(first, 2);
            })
        };
        let _ = office.receive();
        office.end();
        let second = office.post.begin();
        let sent: Vec<u64> = (11..13)
            .filter(|&number| office.send(second, number))
            .collect();
        assert_eq!(sent.len(), LETTERS, "all letters are the second life's");
        let mut received: Vec<u64> = office.receive().into_iter().collect();
        late.join().unwrap();
        received.extend(core::iter::from_fn(|| office.receive()));
        assert_eq!(received, sent, "what arrives was sent in this life");
    });
}
