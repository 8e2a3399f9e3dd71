//! A channel's fixed memory, in `.bss`: a cell for each descriptor, and the queue's places.
//!
//! It promises that one channel at a time has it, and that the queue never overflows: a cell has at
//! most one entry in it ([`crate::cell`]), and no message is posted without a place of its own
//! having been taken before.

use crate::cell::Cell;
use crate::feed::Static;
use crate::queue::{Area, Entry, Sender, Storage};
use capuchin_core::event::{Full, Message};
use core::ffi::c_void;

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
    control: Control,
    cells: [Cell; DESCRIPTORS],
    storage: Storage<DESCRIPTORS, MESSAGES>,
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
        Self {
            control: Control::new(),
            cells: [const { Cell::new() }; DESCRIPTORS],
            storage: Storage::new(),
        }
    }

    /// The memory, whatever its size.
    #[must_use]
    pub fn room(&'static self) -> Room {
        Room {
            control: &self.control,
            cells: &self.cells,
            area: self.storage.area(),
        }
    }
}

/// What belongs to a channel as a whole.
#[derive(Debug)]
pub struct Control {
    claimed: AtomicBool,
    pub(crate) places: Places,
    pub(crate) feed: Static,
}

#[cfg(not(loom))]
impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

impl Control {
    /// Of no channel yet.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            claimed: AtomicBool::new(false),
            places: Places::new(),
            feed: Static::new(),
        }
    }
}

/// The parts of a channel's memory, without its size in the type.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub(crate) control: &'static Control,
    pub(crate) cells: &'static [Cell],
    pub(crate) area: Area,
}

impl Room {
    /// Bytes of [`Room::from_parts`]' area for a channel of so many descriptors and messages.
    #[must_use]
    pub const fn area_bytes(descriptors: usize, messages: usize) -> usize {
        Area::bytes(descriptors + messages)
    }

    /// A channel's memory of parts from elsewhere.
    ///
    /// # Safety
    /// `area` is aligned for a pointer, valid for `bytes` bytes for ever, and nobody else's.
    #[must_use]
    pub unsafe fn from_parts(
        control: &'static Control,
        cells: &'static [Cell],
        area: *mut c_void,
        bytes: usize,
    ) -> Self {
        Self {
            control,
            cells,
            area: Area::new(area, bytes),
        }
    }

    /// The cells, for the transport of the same worker.
    #[must_use]
    pub fn cells(&self) -> &'static [Cell] {
        self.cells
    }

    /// Takes the memory for a channel; `None` while another has it.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let claimed = &self.control.claimed;
        (!claimed.swap(true, SeqCst)).then_some(Claim(claimed))
    }
}

/// Gives the memory back when the channel goes.
#[derive(Debug)]
pub(crate) struct Claim(&'static AtomicBool);

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
