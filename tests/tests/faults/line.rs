//! A wire that loses, repeats, holds back and damages frames, and takes frames of others in.
//!
//! What becomes of a frame depends on the seed and on the frames before it in the same direction. How many
//! those are is a matter of time, so a seed repeats a run nearly, not exactly.

use capuchin_qemu::{Sink, Source, Wire};
use capuchin_tests::pattern::Random;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What faults are counted in.
const WHOLE: usize = 1_000;

/// How many frames overtake one that is held back, at the most.
const OVERTAKERS: usize = 4;

/// How long one is held back where too few follow.
const HOLD_LIMIT: Duration = Duration::from_millis(30);

/// Before this comes what a frame is for (RFC 894); on a real wire the card would see damage there.
const ETHERNET_HEAD: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];

/// How many of 1,000 frames meet with what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: usize,
    pub doubled: usize,
    pub held: usize,
    /// A copy with one bit turned, behind the head that has no sum of its own, comes first.
    pub damaged: usize,
}

impl Faults {
    pub const NONE: Self = Self {
        lost: 0,
        doubled: 0,
        held: 0,
        damaged: 0,
    };
}

/// Both directions.
pub struct Line {
    pub from_guest: Lane,
    pub to_guest: Lane,
}

impl Line {
    /// Everything goes through untouched at first.
    pub fn start(wire: Wire, seed: u64) -> Self {
        Self {
            from_guest: Lane::start(wire.from_guest, seed),
            to_guest: Lane::start(wire.to_guest, seed.wrapping_add(1)),
        }
    }

    /// From now on this happens in both directions.
    pub fn set(&self, faults: Faults) {
        self.from_guest.set(faults);
        self.to_guest.set(faults);
    }

    /// What happened so far.
    pub fn harm(&self) -> Harm {
        let (one, other) = (&self.from_guest.shared, &self.to_guest.shared);
        let sum = |count: fn(&Shared) -> &AtomicU64| {
            count(one).load(Relaxed) + count(other).load(Relaxed)
        };
        Harm {
            lost: sum(|lane| &lane.lost),
            doubled: sum(|lane| &lane.doubled),
            held: sum(|lane| &lane.held),
            damaged: sum(|lane| &lane.damaged),
        }
    }
}

/// How many frames met with what.
#[derive(Clone, Copy, Debug)]
pub struct Harm {
    pub lost: u64,
    pub doubled: u64,
    pub held: u64,
    pub damaged: u64,
}

/// One direction. Its threads end with QEMU.
pub struct Lane {
    shared: Arc<Shared>,
    work: Sender<Work>,
}

#[derive(Default)]
struct Shared {
    faults: Mutex<Faults>,
    lost: AtomicU64,
    doubled: AtomicU64,
    held: AtomicU64,
    damaged: AtomicU64,
    watcher: Mutex<Option<Watcher>>,
}

/// Whether a frame is to go on.
type Watcher = Box<dyn FnMut(&[u8]) -> bool + Send>;

enum Work {
    /// It came by the wire.
    Came(Vec<u8>),
    /// It is put on the wire here.
    Put(Vec<u8>),
}

impl Lane {
    fn start((mut source, sink): (Source, Sink), seed: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let (work, mut todo) = mpsc::channel();
        let (came, seen) = (work.clone(), shared.clone());
        thread::spawn(move || {
            while let Ok(Some(frame)) = source.take() {
                let mut watcher = seen.watcher.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(lets_through) = &mut *watcher
                    && !lets_through(&frame)
                {
                    seen.lost.fetch_add(1, Relaxed);
                    continue;
                }
                if came.send(Work::Came(frame)).is_err() {
                    return;
                }
            }
        });
        let mut hand = Hand {
            shared: shared.clone(),
            random: Random::new(seed),
            sink,
            held: Vec::new(),
        };
        thread::spawn(move || while hand.turn(&mut todo).is_some() {});
        Self { shared, work }
    }

    pub fn set(&self, faults: Faults) {
        *self
            .shared
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Puts a frame on the wire; nothing happens to it there.
    pub fn put(&self, frame: Vec<u8>) {
        // Nobody is there any more when QEMU has ended, which whoever asks the guest sees.
        let _ = self.work.send(Work::Put(frame));
    }

    /// Has `watcher` see each frame as it comes, before anything else happens to it, and say whether it is
    /// to go on.
    pub fn watch(&self, watcher: impl FnMut(&[u8]) -> bool + Send + 'static) {
        let mut place = self
            .shared
            .watcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(watcher));
    }
}

/// What is done to the frames of a direction.
struct Hand {
    shared: Arc<Shared>,
    random: Random,
    sink: Sink,
    held: Vec<Held>,
}

struct Held {
    frame: Vec<u8>,
    overtakers: usize,
    until: Instant,
}

impl Hand {
    /// Sees to the next frame, or to those whose time has come; `None` at the end.
    fn turn(&mut self, todo: &mut Receiver<Work>) -> Option<()> {
        let next = self.held.iter().map(|held| held.until).min();
        let work = match next {
            None => todo.recv().ok()?,
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                match todo.recv_timeout(left) {
                    Ok(work) => work,
                    Err(RecvTimeoutError::Timeout) => return self.release(),
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        match work {
            Work::Put(frame) => self.pass(&frame),
            Work::Came(frame) => self.meet(frame),
        }
    }

    /// What becomes of a frame.
    fn meet(&mut self, frame: Vec<u8>) -> Option<()> {
        let faults = *self
            .shared
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.falls(faults.lost) {
            self.shared.lost.fetch_add(1, Relaxed);
            return Some(());
        }
        if frame.get(12..ETHERNET_HEAD) == Some(&IPV4) && self.falls(faults.damaged) {
            self.shared.damaged.fetch_add(1, Relaxed);
            let mut copy = frame.clone();
            let at = ETHERNET_HEAD + self.random.below(copy.len() - ETHERNET_HEAD);
            copy[at] ^= 1 << self.random.below(8);
            self.pass(&copy)?;
        }
        if self.falls(faults.doubled) {
            self.shared.doubled.fetch_add(1, Relaxed);
            self.pass(&frame)?;
        }
        if self.falls(faults.held) {
            self.shared.held.fetch_add(1, Relaxed);
            let overtakers = 1 + self.random.below(OVERTAKERS);
            let until = Instant::now() + HOLD_LIMIT;
            self.held.push(Held {
                frame,
                overtakers,
                until,
            });
            return Some(());
        }
        self.pass(&frame)
    }

    fn falls(&mut self, of_a_thousand: usize) -> bool {
        self.random.below(WHOLE) < of_a_thousand
    }

    /// Has a frame go on, and those behind it that have waited long enough.
    fn pass(&mut self, frame: &[u8]) -> Option<()> {
        self.give(frame)?;
        for held in &mut self.held {
            held.overtakers = held.overtakers.saturating_sub(1);
        }
        self.release()
    }

    fn release(&mut self) -> Option<()> {
        let now = Instant::now();
        while let Some(at) = self
            .held
            .iter()
            .position(|held| held.overtakers == 0 || held.until <= now)
        {
            let held = self.held.remove(at);
            self.give(&held.frame)?;
        }
        Some(())
    }

    fn give(&mut self, frame: &[u8]) -> Option<()> {
        self.sink.put(frame).ok()?.then_some(())
    }
}
