//! A channel's fixed memory, in `.bss`: a cell for each descriptor, and the queue's places.
//!
//! It promises that one channel at a time has it, and that the queue never overflows: a cell has at
//! most one entry in it ([`crate::cell`]), and no message is posted without a place of its own
//! having been taken before.

use crate::cell::Cell;
use crate::feed::Static;
use crate::queue::{Entry, Sender, Storage};
use capuchin_core::event::{Full, Message};

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
    } else {
        use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
    }
}

/// Memory of one channel: for descriptors below `DESCRIPTORS`, and for as many as `MESSAGES` messages.
///
/// A descriptor is a small number on RTEMS, below `CONFIGURE_MAXIMUM_FILE_DESCRIPTORS`, so each
/// has its cell.
pub struct Memory<const DESCRIPTORS: usize, const MESSAGES: usize> {
    pub(crate) shared: Shared<DESCRIPTORS>,
    pub(crate) storage: Storage<DESCRIPTORS, MESSAGES>,
}

/// What is not the kernel's.
pub(crate) struct Shared<const DESCRIPTORS: usize> {
    claimed: AtomicBool,
    pub(crate) places: Places,
    pub(crate) feed: Static,
    pub(crate) cells: [Cell; DESCRIPTORS],
}

#[cfg(not(loom))]
impl<const DESCRIPTORS: usize, const MESSAGES: usize> Default for Memory<DESCRIPTORS, MESSAGES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const DESCRIPTORS: usize, const MESSAGES: usize> Memory<DESCRIPTORS, MESSAGES> {
    /// Memory for a static.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(DESCRIPTORS > 0 && DESCRIPTORS < u32::MAX as usize && MESSAGES > 0);
        }
        Self {
            shared: Shared {
                claimed: AtomicBool::new(false),
                places: Places::new(),
                feed: Static::new(),
                cells: [const { Cell::new() }; DESCRIPTORS],
            },
            storage: Storage::new(),
        }
    }

    /// The cells, for the transport of the same worker.
    #[must_use]
    pub fn cells(&'static self) -> &'static [Cell] {
        &self.shared.cells
    }

    /// Takes the memory for a channel; `false` when another has it.
    pub(crate) fn claim(&self) -> bool {
        !self.shared.claimed.swap(true, SeqCst)
    }

    pub(crate) fn claimed(&'static self) -> &'static AtomicBool {
        &self.shared.claimed
    }
}

/// Gives the memory back when the channel goes.
#[derive(Debug)]
pub(crate) struct Claim(pub(crate) &'static AtomicBool);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// Counts the messages that were posted and not yet received: no more than there are places for.
#[derive(Debug)]
pub struct Places {
    taken: AtomicU32,
    limit: AtomicU32,
}

macro_rules! new {
    ($($const:tt)?) => {
        /// No places yet.
        #[must_use]
        #[allow(clippy::new_without_default, reason = "made by a static only")]
        pub $($const)? fn new() -> Self {
            Self {
                taken: AtomicU32::new(0),
                limit: AtomicU32::new(0),
            }
        }
    };
}

impl Places {
    #[cfg(not(loom))]
    new!(const);
    #[cfg(loom)]
    new!();

    /// From now on there are so many, all free.
    pub fn open(&self, limit: u32) {
        self.taken.store(0, SeqCst);
        self.limit.store(limit, SeqCst);
    }

    /// Takes one, from any context; `false` when none is free.
    #[must_use]
    pub fn take(&self) -> bool {
        let limit = self.limit.load(SeqCst);
        let mut taken = self.taken.load(SeqCst);
        loop {
            if taken >= limit {
                return false;
            }
            match self
                .taken
                .compare_exchange_weak(taken, taken + 1, SeqCst, SeqCst)
            {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
    }

    /// Gives one back: its message is out of the queue.
    pub fn give(&self) {
        self.taken.fetch_sub(1, SeqCst);
    }
}

/// Posts a message that has a place.
pub(crate) fn post(places: &Places, queue: Sender, message: Message) -> Result<(), Full> {
    if !places.take() {
        return Err(Full);
    }
    queue.send(Entry::Message(message)).map_err(|code| {
        // There was a place, so the queue is not full: it is gone, with its channel.
        assert!(
            code == crate::StatusCode::INVALID_ID,
            "a queue with a free place takes a message"
        );
        places.give();
        Full
    })
}

/// Posts that a cell wants to be looked at; it was not noticed before.
pub(crate) fn post_cell(cell: &Cell) {
    let (queue, place) = cell.address();
    if let Err(code) = Sender(queue).send(Entry::Cell(place)) {
        // One entry for each cell: there is a place. A queue that is gone needs no entry.
        assert!(
            code == crate::StatusCode::INVALID_ID,
            "the queue has a place for each cell"
        );
    }
}
