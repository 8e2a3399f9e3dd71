//! What `tests/cell_model.rs` runs of a channel's insides under `loom`: the functions themselves, with
//! the queue in the hands of the model.

use crate::memory::{Control, Letter, post};
use crate::queue::Entry;
use capuchin_core::event::{Full, Message};
use std::vec::Vec;

pub use crate::gate::Life;

/// The letters of a channel's memory, and the gate before them.
pub struct Post {
    control: Control,
    letters: Vec<Letter>,
}

impl Post {
    /// So many letters, and no channel.
    pub fn new(letters: usize) -> Self {
        Self {
            control: Control::new(),
            letters: (0..letters).map(|_| Letter::new()).collect(),
        }
    }

    /// As `RtemsChannel::new`: all letters are free.
    pub fn begin(&self) -> Life {
        self.letters.iter().for_each(Letter::give);
        self.control.gate.open()
    }

    /// As `RtemsNotifier::send`.
    pub fn send(&self, life: Life, message: Message, queue: impl FnOnce(u32)) -> Result<(), Full> {
        post(&self.control, &self.letters, life, message, |entry| {
            if let Entry::Letter(index) = entry {
                queue(index);
            }
            Ok(())
        })
    }

    /// As `RtemsChannel::wait` with an entry.
    ///
    /// # Safety
    /// The index came out of the queue that `send` has put it into.
    pub unsafe fn open(&self, index: u32) -> Message {
        // SAFETY: the caller's word.
        unsafe { self.letters[index as usize].open() }
    }

    /// The first half of a channel's end.
    pub fn close(&self) {
        self.control.gate.close();
    }

    /// What the second half waits for.
    pub fn is_empty(&self) -> bool {
        self.control.gate.is_empty()
    }
}
