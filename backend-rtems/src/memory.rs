//! A channel's fixed memory, in `.bss`: a cell for each descriptor, and the queue's places.
//!
//! It promises that one channel at a time has it, and that the queue never overflows: a cell has at
//! most one entry in it ([`crate::cell`]), and a message is posted in a letter, of which there are no
//! more than the queue has places for.

use crate::cell::Cell;
use crate::feed::Static;
use crate::queue::{Area, Entry, Sender, Storage};
use capuchin_core::event::{Full, Message};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
    } else {
        use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
    }
}

/// Memory of one channel: for descriptors below `DESCRIPTORS`, and for as many as `MESSAGES` messages.
///
/// A descriptor is a small number on RTEMS, below `CONFIGURE_MAXIMUM_FILE_DESCRIPTORS`, so each
/// has its cell.
pub struct Memory<const DESCRIPTORS: usize, const MESSAGES: usize> {
    control: Control,
    cells: [Cell; DESCRIPTORS],
    letters: [Letter; MESSAGES],
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
            letters: [const { Letter::new() }; MESSAGES],
            storage: Storage::new(),
        }
    }

    /// The memory, whatever its size.
    #[must_use]
    pub fn room(&'static self) -> Room {
        Room {
            control: &self.control,
            cells: &self.cells,
            letters: &self.letters,
            area: self.storage.area(),
        }
    }
}

/// What belongs to a channel as a whole.
#[derive(Debug)]
pub struct Control {
    claimed: AtomicBool,
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
            feed: Static::new(),
        }
    }
}

/// The parts of a channel's memory, without its size in the type.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub(crate) control: &'static Control,
    pub(crate) cells: &'static [Cell],
    pub(crate) letters: &'static [Letter],
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
        letters: &'static [Letter],
        area: *mut c_void,
        bytes: usize,
    ) -> Self {
        Self {
            control,
            cells,
            letters,
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

/// Where a message lies while its entry is in the queue.
#[derive(Debug)]
pub struct Letter {
    taken: AtomicBool,
    message: UnsafeCell<MaybeUninit<Message>>,
}

// SAFETY: whoever raised `taken` has the message for himself, then whoever has the entry.
unsafe impl Sync for Letter {}

macro_rules! new {
    ($($const:tt)?) => {
        /// Nobody's letter.
        #[must_use]
        #[allow(clippy::new_without_default, reason = "made for a channel's memory only")]
        pub $($const)? fn new() -> Self {
            Self {
                taken: AtomicBool::new(false),
                message: UnsafeCell::new(MaybeUninit::uninit()),
            }
        }
    };
}

impl Letter {
    #[cfg(not(loom))]
    new!(const);
    #[cfg(loom)]
    new!();

    /// Takes the letter, from any context; `false` when it is not free.
    #[must_use]
    pub fn take(&self) -> bool {
        !self.taken.swap(true, SeqCst)
    }

    /// Gives it back.
    pub fn give(&self) {
        // An exchange, not a store: it takes its place in one chain with the senders' exchanges.
        self.taken.swap(false, SeqCst);
    }

    /// The worker's, for each entry once: the message, and the letter is free.
    pub(crate) fn open(&self) -> Message {
        // SAFETY: `post` has written it before it posted the entry, and nobody takes the letter before
        // it is given back.
        let message = unsafe { (*self.message.get()).assume_init() };
        self.give();
        message
    }
}

/// Posts a message, if there is a letter for it.
pub(crate) fn post(letters: &[Letter], queue: Sender, message: Message) -> Result<(), Full> {
    let (index, letter) = (0..)
        .zip(letters)
        .find(|(_, letter)| letter.take())
        .ok_or(Full)?;
    // SAFETY: the letter was just taken.
    unsafe { (*letter.message.get()).write(message) };
    queue.send(Entry::Letter(index)).map_err(|code| {
        // There is a place for each letter, so the queue is not full: it is gone, with its channel.
        assert!(
            code == crate::StatusCode::INVALID_ID,
            "a queue has a place for each letter"
        );
        letter.give();
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
