//! The memory of one worker: reserved at the start, touched only where it is used.

use capuchin_core::Slot;
use capuchin_core::http::fields::Field;
use capuchin_core::pool::Arena;

/// A vector that never grows beyond what was reserved at its beginning. Reserved memory that was
/// never used costs address space only.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    limit: usize,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: Vec::with_capacity(limit),
            limit,
        }
    }
}

impl Arena<Slot> for Slots {
    #[inline]
    fn as_slice(&self) -> &[Slot] {
        &self.slots
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    fn push(&mut self, slot: Slot) -> Result<(), Slot> {
        if self.slots.len() == self.limit {
            return Err(slot);
        }
        self.slots.push(slot);
        Ok(())
    }
}

/// A table of `count` empty entries in memory that the system gives zeroed, so that none of it is
/// touched; `vec![Field::EMPTY; count]` would write to all of it.
pub(crate) fn zeroed_fields(count: usize) -> Box<[Field]> {
    // SAFETY: `Field` is `repr(C)` and made of integers only, for which zeros are valid.
    unsafe { Box::<[Field]>::new_zeroed_slice(count).assume_init() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_end_at_their_limit_and_never_move() {
        let mut slots = Slots::new(3);
        let place = slots.slots.as_ptr();
        for _ in 0..3 {
            assert!(slots.push(Slot::FREE).is_ok());
        }
        assert!(slots.push(Slot::FREE).is_err());
        assert_eq!(slots.slots.as_ptr(), place);
    }

    #[test]
    fn zeroed_fields_are_empty_entries() {
        assert!(
            zeroed_fields(100)
                .iter()
                .all(|&field| field == Field::EMPTY)
        );
    }
}
