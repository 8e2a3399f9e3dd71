//! Slots that wait for something, in order.

use crate::connection::{NO_SLOT, Slot};

/// Slots in order, linked by [`Slot::next`].
pub(super) struct Queue {
    pub(super) first: u32,
    last: u32,
    pub(super) length: u32,
}

impl Queue {
    pub(super) const EMPTY: Self = Self {
        first: NO_SLOT,
        last: NO_SLOT,
        length: 0,
    };

    pub(super) fn push(&mut self, slots: &mut [Slot], index: u32) {
        slots[index as usize].next = NO_SLOT;
        match self.last {
            NO_SLOT => self.first = index,
            last => slots[last as usize].next = index,
        }
        self.last = index;
        self.length += 1;
    }

    pub(super) fn pop(&mut self, slots: &mut [Slot]) -> Option<u32> {
        let index = self.first;
        if index == NO_SLOT {
            return None;
        }
        self.first = slots[index as usize].next;
        if self.first == NO_SLOT {
            self.last = NO_SLOT;
        }
        self.length -= 1;
        Some(index)
    }
}
