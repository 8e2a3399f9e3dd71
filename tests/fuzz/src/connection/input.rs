//! A fuzz input, read as decisions.

use std::cell::Cell;

/// Bytes that are read from both ends until the two meet: what clients do comes from the front, faults of the network
/// come from the back. So a changed byte at one end does not give a new meaning to the bytes at the other.
pub(super) struct Input {
    bytes: Vec<u8>,
    front: Cell<usize>,
    back: Cell<usize>,
}

impl Input {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            front: Cell::new(0),
            back: Cell::new(bytes.len()),
        }
    }

    /// The next byte at the front.
    pub(super) fn next(&self) -> Option<u8> {
        let at = self.front.get();
        (at < self.back.get()).then(|| {
            self.front.set(at + 1);
            self.bytes[at]
        })
    }

    /// The next byte at the back.
    pub(super) fn next_back(&self) -> Option<u8> {
        let at = self.back.get();
        (at > self.front.get()).then(|| {
            self.back.set(at - 1);
            self.bytes[at - 1]
        })
    }

    /// The next decision at the front: a number below `limit`, 0 at the end of the input.
    pub(super) fn below(&self, limit: usize) -> usize {
        usize::from(self.next().unwrap_or(0)) % limit
    }

    /// One of `choices`.
    pub(super) fn of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Up to `length` bytes at the front, as they are.
    pub(super) fn take(&self, length: usize) -> &[u8] {
        let at = self.front.get();
        let end = (at + length).min(self.back.get());
        self.front.set(end);
        &self.bytes[at..end]
    }
}
