//! A channel's fixed memory, in `.bss`: a cell for each descriptor, and the queue's places.
//!
//! It promises that one channel at a time has it, that a message reaches the channel it was meant for
//! or none ([`crate::gate`]), and that the queue never overflows: a cell has at most one entry in it
//! ([`crate::cell`]), and a message is posted in a letter, of which there are no more than the queue
//! has places for.

use crate::cell::Cell;
use crate::feed::Static;
use crate::gate::{Gate, Life};
use crate::queue::{Area, Entry, Sender, StatusCode, Storage};
use capuchin_core::event::{Full, Message};
use core::ffi::c_void;
use core::mem::MaybeUninit;

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        use loom::cell::UnsafeCell;
        use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::{Relaxed, SeqCst}};
    } else {
        use core::cell::UnsafeCell;
        use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::{Relaxed, SeqCst}};
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
    /// Lets in who sends.
    pub(crate) gate: Gate,
    /// The letter behind the one that was taken last: most often free, for they are opened in order.
    hint: AtomicU32,
    pub(crate) feed: Static,
}

macro_rules! new_control {
    ($($const:tt)?) => {
        /// Of no channel yet.
        #[must_use]
        #[allow(clippy::new_without_default, reason = "made for a channel's memory only")]
        pub $($const)? fn new() -> Self {
            Self {
                claimed: AtomicBool::new(false),
                gate: Gate::new(),
                hint: AtomicU32::new(0),
                feed: Static::new(),
            }
        }
    };
}

impl Control {
    #[cfg(not(loom))]
    new_control!(const);
    #[cfg(loom)]
    new_control!();
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
    /// `area` is aligned for a pointer, valid for `bytes` bytes for ever, and nobody else's. All four
    /// belong to this room and its copies alone: no other room has any of them, not even a part. If
    /// their memory is written anew after the room's channel is gone, nobody sends through a notifier
    /// of that channel while it is.
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
        let claimed = self.control.claimed.swap(true, SeqCst);
        (!claimed).then_some(Claim(self.control))
    }
}

/// Gives the memory back when the channel goes.
#[derive(Debug)]
pub(crate) struct Claim(pub(crate) &'static Control);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.claimed.store(false, SeqCst);
    }
}

/// Where a message lies while its entry is in the queue.
#[derive(Debug)]
pub struct Letter {
    taken: AtomicBool,
    message: UnsafeCell<MaybeUninit<Message>>,
}

// SAFETY: whoever raised `taken` has the message for himself; then, from the time that the entry is in
// the queue, whoever receives the entry has it, who lowers `taken` when he is done. The worker lowers
// all of them before a life of the memory begins, when nobody is inside the gate: nobody has one then.
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

    /// Takes the letter, from any context; `false` when it is not free. Others' letters are looked at
    /// only: an exchange is dear.
    fn take(&self) -> bool {
        !self.taken.load(Relaxed) && !self.taken.swap(true, SeqCst)
    }

    /// Gives it back.
    pub(crate) fn give(&self) {
        // An exchange, not a store: it takes its place in one chain with the senders' exchanges.
        self.taken.swap(false, SeqCst);
    }

    /// # Safety
    /// The caller has taken the letter and posted no entry for it.
    unsafe fn write(&self, message: Message) {
        let write = |place: *mut MaybeUninit<Message>| {
            // SAFETY: the caller has it for himself.
            unsafe { (*place).write(message) };
        };
        #[cfg(not(loom))]
        write(self.message.get());
        #[cfg(loom)]
        self.message.with_mut(write);
    }

    /// The message, and the letter is free.
    ///
    /// # Safety
    /// The caller has received an entry for it, which was posted after it was written, and calls this
    /// once for each entry.
    pub(crate) unsafe fn open(&self) -> Message {
        let read = |place: *const MaybeUninit<Message>| {
            // SAFETY: it was written before the entry was posted, and nobody takes the letter before it
            // is given back.
            unsafe { (*place).assume_init() }
        };
        #[cfg(not(loom))]
        let message = read(self.message.get());
        #[cfg(loom)]
        let message = self.message.with(read);
        self.give();
        message
    }
}

/// Posts a message by `send` in a life of the memory, if that is not over and there is a letter for it.
/// From any context.
pub(crate) fn post(
    control: &Control,
    letters: &[Letter],
    life: Life,
    message: Message,
    send: impl FnOnce(Entry) -> Result<(), StatusCode>,
) -> Result<(), Full> {
    // Until the end of this function: the queue and the letters stay this life's.
    let _inside = control.gate.enter(life).ok_or(Full)?;
    let begin = (control.hint.load(Relaxed) as usize).min(letters.len());
    let (index, letter) = (begin..letters.len())
        .chain(0..begin)
        .map(|index| (index, &letters[index]))
        .find(|(_, letter)| letter.take())
        .ok_or(Full)?;
    control.hint.store(index as u32 + 1, Relaxed);
    // SAFETY: the letter was just taken, and the life cannot end before the entry is posted.
    unsafe { letter.write(message) };
    let sent = send(Entry::Letter(index as u32));
    assert!(sent.is_ok(), "a queue has a place for each letter");
    Ok(())
}

/// Posts that a cell wants to be looked at; it was not noticed before.
pub(crate) fn post_cell(cell: &Cell) {
    let (queue, place) = cell.address();
    // One entry for each cell, and none after the feed was told to forget it: there is a place.
    let sent = Sender(queue).send(Entry::Cell(place));
    assert!(sent.is_ok(), "the queue has a place for each cell");
}
