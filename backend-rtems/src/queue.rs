//! One Classic API message queue: what a worker blocks on, and what everybody else posts to.
//!
//! It promises that an entry arrives as it was posted, and that a full queue answers at once. It
//! knows nothing of sockets; how many entries there can be is the channel's care.

use crate::sys;
use core::cell::UnsafeCell;
use core::ffi::c_void;

/// What travels in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Something changed with this cell's socket.
    Cell(u32),
    /// For the worker: what lies in this letter.
    Letter(u32),
}

/// Marks the letters among entries.
const LETTER: usize = 1 << 31;

impl Entry {
    /// An entry is one word: there is a place in the queue for each descriptor.
    fn to_word(self) -> usize {
        match self {
            Self::Cell(index) => index as usize,
            Self::Letter(index) => index as usize | LETTER,
        }
    }

    fn of_word(word: usize) -> Self {
        let index = (word & !LETTER) as u32;
        if word & LETTER == 0 {
            Self::Cell(index)
        } else {
            Self::Letter(index)
        }
    }
}

/// How long a receive waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// Clock ticks; the first may come at once.
    Ticks(u32),
    /// Until there is something.
    Endless,
}

/// Why a directive did not do what was asked: a status code of the Classic API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCode(pub u32);

impl StatusCode {
    /// `RTEMS_SUCCESSFUL`.
    pub const SUCCESSFUL: Self = Self(0);
    /// `RTEMS_INVALID_NAME`: a name of zero.
    pub const INVALID_NAME: Self = Self(3);
    /// `RTEMS_INVALID_ID`: no such object.
    pub const INVALID_ID: Self = Self(4);
    /// `RTEMS_TOO_MANY`: the table of objects, or the queue, is full.
    pub const TOO_MANY: Self = Self(5);
    /// `RTEMS_TIMEOUT`.
    pub const TIMEOUT: Self = Self(6);
    /// `RTEMS_OBJECT_WAS_DELETED` while waiting.
    pub const OBJECT_WAS_DELETED: Self = Self(7);
    /// `RTEMS_INVALID_SIZE`.
    pub const INVALID_SIZE: Self = Self(8);
    /// `RTEMS_INVALID_ADDRESS`: a null pointer.
    pub const INVALID_ADDRESS: Self = Self(9);
    /// `RTEMS_INVALID_NUMBER`: a count of zero.
    pub const INVALID_NUMBER: Self = Self(10);
    /// `RTEMS_UNSATISFIED`: nothing there, and not waited for it.
    pub const UNSATISFIED: Self = Self(13);
    /// `RTEMS_INCORRECT_STATE`: a task that was started already.
    pub const INCORRECT_STATE: Self = Self(14);
    /// `RTEMS_CALLED_FROM_ISR`: not from an interrupt.
    pub const CALLED_FROM_ISR: Self = Self(18);
    /// `RTEMS_INVALID_PRIORITY`.
    pub const INVALID_PRIORITY: Self = Self(19);

    /// The outcome of a directive.
    ///
    /// # Errors
    /// Every code but [`StatusCode::SUCCESSFUL`].
    pub fn check(code: u32) -> Result<(), Self> {
        if code == Self::SUCCESSFUL.0 {
            Ok(())
        } else {
            Err(Self(code))
        }
    }
}

/// Words of the kernel's header of a pending message, `CORE_message_queue_Buffer`: a node of a list,
/// the message's size, and its priority.
pub const HEADER_WORDS: usize = 4;

const WORD: usize = size_of::<usize>();

/// Room for one pending message.
type Place = [usize; HEADER_WORDS + 1];

/// Memory for the pending messages of a queue: one for each cell, and `MESSAGES` more.
#[repr(C)]
pub(crate) struct Storage<const CELLS: usize, const MESSAGES: usize> {
    /// Two arrays that lie behind each other, for want of one whose length is a sum.
    cells: UnsafeCell<[Place; CELLS]>,
    messages: UnsafeCell<[Place; MESSAGES]>,
}

// SAFETY: nothing here reads or writes it; it is handed to the kernel, which locks.
unsafe impl<const CELLS: usize, const MESSAGES: usize> Sync for Storage<CELLS, MESSAGES> {}

impl<const CELLS: usize, const MESSAGES: usize> Storage<CELLS, MESSAGES> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            cells: UnsafeCell::new([[0; HEADER_WORDS + 1]; CELLS]),
            messages: UnsafeCell::new([[0; HEADER_WORDS + 1]; MESSAGES]),
        }
    }

    /// The whole of it.
    pub(crate) fn area(&'static self) -> Area {
        Area::new((&raw const *self).cast_mut().cast(), size_of::<Self>())
    }
}

/// Where pending messages lie, whatever its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    begin: *mut c_void,
    places: usize,
}

// SAFETY: nothing here reads or writes what the pointer points to; it is handed to the kernel.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    pub(crate) fn new(begin: *mut c_void, bytes: usize) -> Self {
        Self {
            begin,
            places: bytes / size_of::<Place>(),
        }
    }

    /// Entries that it holds.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Bytes for so many entries.
    pub(crate) const fn bytes(places: usize) -> usize {
        places * size_of::<Place>()
    }
}

/// A queue; deleted with its owner.
#[derive(Debug)]
pub(crate) struct Queue(Sender);

/// The sending end: the queue's identifier. Of a queue that was deleted it may be another queue's by
/// now: whoever sends makes sure that the queue is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender(pub(crate) u32);

impl Queue {
    /// A queue for `length` entries in `area`, which it has for itself as long as it lives.
    ///
    /// # Errors
    /// [`StatusCode::TOO_MANY`] when the application configured no further message queue.
    ///
    /// # Panics
    /// When the area is too small for `length` entries.
    pub(crate) fn new(area: Area, length: usize) -> Result<Self, StatusCode> {
        assert!(length <= area.places, "there is a place for each entry");
        let config = sys::MessageQueueConfig {
            name: u32::from_be_bytes(*b"CAPU"),
            maximum_pending_messages: length as u32,
            maximum_message_size: WORD,
            storage_area: area.begin,
            storage_size: length * size_of::<Place>(),
            storage_free: None,
            attributes: 0,
        };
        let mut id = 0;
        // SAFETY: the configuration lives through the call, and the storage, which is static and
        // nobody else's (see `Room::claim`), has at least the size that is told.
        let code = unsafe { sys::rtems_message_queue_construct(&raw const config, &raw mut id) };
        StatusCode::check(code).map(|()| Self(Sender(id)))
    }

    pub(crate) fn sender(&self) -> Sender {
        self.0
    }

    /// Takes the oldest entry, or waits for one; `None` when there was none in time.
    ///
    /// # Errors
    /// What the directive answers when the queue itself is gone.
    pub(crate) fn receive(&mut self, patience: Patience) -> Result<Option<Entry>, StatusCode> {
        let (option, ticks) = match patience {
            Patience::None => (sys::NO_WAIT, 0),
            Patience::Ticks(ticks) => (sys::WAIT, ticks),
            Patience::Endless => (sys::WAIT, sys::NO_TIMEOUT),
        };
        let mut word = 0usize;
        let mut size = 0;
        // SAFETY: there is room for a message of the largest size; the size lives through the call.
        let code = unsafe {
            sys::rtems_message_queue_receive(
                self.0.0,
                (&raw mut word).cast(),
                &raw mut size,
                option,
                ticks,
            )
        };
        match StatusCode::check(code) {
            Ok(()) => {
                assert!(size == WORD, "only entries are sent here");
                Ok(Some(Entry::of_word(word)))
            }
            Err(StatusCode::UNSATISFIED | StatusCode::TIMEOUT) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: no memory is passed; the storage is static.
        let code = unsafe { sys::rtems_message_queue_delete(self.0.0) };
        debug_assert_eq!(code, 0, "the queue is there until its owner goes");
    }
}

impl Sender {
    /// Puts `entry` at the end. From any task, and from interrupt handlers; never blocks.
    ///
    /// # Errors
    /// [`StatusCode::TOO_MANY`] when the queue is full, [`StatusCode::INVALID_ID`] when it is gone.
    pub(crate) fn send(self, entry: Entry) -> Result<(), StatusCode> {
        let word = entry.to_word();
        // SAFETY: the word lives through the call and has the size that is passed.
        let code = unsafe { sys::rtems_message_queue_send(self.0, (&raw const word).cast(), WORD) };
        StatusCode::check(code)
    }
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    value "RTEMS_SUCCESSFUL" = StatusCode::SUCCESSFUL.0;
    value "RTEMS_INVALID_NAME" = StatusCode::INVALID_NAME.0;
    value "RTEMS_INVALID_ID" = StatusCode::INVALID_ID.0;
    value "RTEMS_TOO_MANY" = StatusCode::TOO_MANY.0;
    value "RTEMS_TIMEOUT" = StatusCode::TIMEOUT.0;
    value "RTEMS_OBJECT_WAS_DELETED" = StatusCode::OBJECT_WAS_DELETED.0;
    value "RTEMS_INVALID_SIZE" = StatusCode::INVALID_SIZE.0;
    value "RTEMS_INVALID_ADDRESS" = StatusCode::INVALID_ADDRESS.0;
    value "RTEMS_INVALID_NUMBER" = StatusCode::INVALID_NUMBER.0;
    value "RTEMS_UNSATISFIED" = StatusCode::UNSATISFIED.0;
    value "RTEMS_INCORRECT_STATE" = StatusCode::INCORRECT_STATE.0;
    value "RTEMS_CALLED_FROM_ISR" = StatusCode::CALLED_FROM_ISR.0;
    value "RTEMS_INVALID_PRIORITY" = StatusCode::INVALID_PRIORITY.0;
    value "offsetof(CORE_message_queue_Buffer, buffer)" = HEADER_WORDS * WORD;
}
