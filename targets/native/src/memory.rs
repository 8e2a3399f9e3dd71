//! The memory of one worker: reserved at the start, touched only where it is used.
//!
//! Reserved memory that was never used costs address space only. Where that is limited (`ulimit -v`), a worker starts
//! with fewer buffers, so that there is memory left for what is allocated while it serves.

use capuchin_core::Slot;
use capuchin_core::http::fields::Field;
use capuchin_core::pool::Arena;
use std::alloc::{Layout, alloc_zeroed};
use std::fmt;

/// Bytes that have to be free behind a worker's memory: for the cached contents (4 MB), listings (10 MB) and pieces
/// of files from slow storage (12 MB) of a directory, and
/// what a request allocates.
const HEADROOM: usize = 32 << 20;

/// The fewest buffers that a worker starts with.
const BUFFERS_LEAST: usize = 16;

/// There is not enough memory for a worker.
#[derive(Debug)]
pub(crate) struct OutOfMemory {
    /// Bytes that the worker needs at least, those for others included.
    needed: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.needed.div_ceil(1 << 20);
        write!(
            f,
            "{megabytes} MB of memory are needed: raise the limit (ulimit -v), or lower --workers, \
             --max-connections or --max-head"
        )
    }
}

/// What a worker works in.
pub(crate) struct WorkerMemory {
    pub slots: Slots,
    pub bytes: Box<[u8]>,
    pub fields: Box<[Field]>,
    pub scratch: Box<[u8]>,
}

impl WorkerMemory {
    /// Memory for so many connections and buffers of `size` bytes and `rows` lines; fewer buffers where that is more
    /// than the system grants to this worker and to `others`, who start after it and need as much.
    ///
    /// # Errors
    /// When not even the fewest fit.
    pub(crate) fn new(
        connections: usize,
        buffers: usize,
        size: usize,
        rows: usize,
        others: usize,
    ) -> Result<Self, OutOfMemory> {
        let mut count = buffers;
        loop {
            match Self::exactly(connections, count, size, rows, others) {
                Some(memory) => {
                    if count < buffers {
                        log::warn!(
                            "there is memory for {count} buffers of a worker, not {buffers}, so that more connections \
                             have to wait: raise the limit (ulimit -v), or lower --max-head"
                        );
                    }
                    return Ok(memory);
                }
                None if count > BUFFERS_LEAST => count = (count / 2).max(BUFFERS_LEAST),
                None => {
                    let needed = needed(connections, count, size, rows).saturating_mul(1 + others);
                    return Err(OutOfMemory { needed });
                }
            }
        }
    }

    fn exactly(
        connections: usize,
        count: usize,
        size: usize,
        rows: usize,
        others: usize,
    ) -> Option<Self> {
        // Dropped at the end, so that the memory is free for others.
        let theirs = needed(connections, count, size, rows).checked_mul(others)?;
        let headroom = zeroed::<u8>(HEADROOM.checked_add(theirs)?)?;
        let memory = Self {
            slots: Slots::new(connections)?,
            bytes: zeroed(size.checked_mul(count)?)?,
            fields: zeroed(rows.checked_mul(count)?)?,
            scratch: zeroed(size)?,
        };
        drop(headroom);
        Some(memory)
    }
}

/// Bytes that a worker needs, with what it allocates later.
fn needed(connections: usize, count: usize, size: usize, rows: usize) -> usize {
    let lines = rows.saturating_mul(size_of::<Field>());
    count
        .saturating_mul(size.saturating_add(lines))
        .saturating_add(connections.saturating_mul(size_of::<Slot>()))
        .saturating_add(size)
        .saturating_add(HEADROOM)
}

/// A vector that never grows beyond what was reserved at its beginning.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    limit: usize,
}

impl Slots {
    /// `None` where there is no memory for `limit` slots.
    pub(crate) fn new(limit: usize) -> Option<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(limit).ok()?;
        Some(Self { slots, limit })
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

/// A type for which bytes of zeros are a valid value.
///
/// # Safety
/// Bytes of zeros must be a valid value of the type.
unsafe trait Zeroed: Copy {}

// SAFETY: zero is a `u8`.
unsafe impl Zeroed for u8 {}
// SAFETY: `Field` is `repr(C)` and made of integers only, for which zeros are valid.
unsafe impl Zeroed for Field {}

/// `count` values of zeros in memory that the system gives zeroed, so that none of it is touched; `vec![0; count]` does
/// the same for numbers, but ends the process where there is no memory. `None` then.
fn zeroed<T: Zeroed>(count: usize) -> Option<Box<[T]>> {
    let layout = Layout::array::<T>(count).ok()?;
    if layout.size() == 0 {
        return Some(Box::default());
    }
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc_zeroed(layout) }.cast::<T>();
    if memory.is_null() {
        return None;
    }
    let values = std::ptr::slice_from_raw_parts_mut(memory, count);
    // SAFETY: the memory is from the global allocator, with the layout of the slice, whose values are valid as zeros.
    Some(unsafe { Box::from_raw(values) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_end_at_their_limit_and_never_move() {
        let mut slots = Slots::new(3).expect("some memory");
        let place = slots.slots.as_ptr();
        for _ in 0..3 {
            assert!(slots.push(Slot::FREE).is_ok());
        }
        assert!(slots.push(Slot::FREE).is_err());
        assert_eq!(slots.slots.as_ptr(), place);
    }

    #[test]
    fn zeroed_fields_are_empty_entries() {
        let fields = zeroed::<Field>(100).expect("some memory");
        assert!(fields.len() == 100 && fields.iter().all(|&field| field == Field::EMPTY));
        assert_eq!(zeroed::<Field>(0).map(|fields| fields.len()), Some(0));
        assert!(zeroed::<u8>(usize::MAX / 2).is_none());
        assert!(zeroed::<Field>(usize::MAX).is_none());
    }

    #[test]
    fn as_many_buffers_as_asked_for_or_an_error() {
        let size = usize::MAX / 2_000;
        assert!(WorkerMemory::new(16, 1_024, size, 9, 1).is_err());
        let memory = WorkerMemory::new(16, 20, 8_192, 9, 1).expect("some memory");
        assert_eq!((memory.bytes.len(), memory.fields.len()), (20 * 8_192, 180));
    }
}
