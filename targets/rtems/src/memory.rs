//! The application's memory, cut into what a server needs.

use capuchin_core::Slot;
use capuchin_core::pool::Arena;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Cuts pieces off the front. It goes on counting when the memory is used up, so that the message can
/// say how much is needed.
pub struct Carver {
    begin: *mut u8,
    size: usize,
    used: usize,
}

impl Carver {
    /// # Safety
    /// `begin` is valid for `size` bytes for ever, and nobody else's.
    pub unsafe fn new(begin: *mut u8, size: usize) -> Self {
        Self {
            begin,
            size,
            used: 0,
        }
    }

    /// Bytes that were cut off or asked for in vain.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Room for `count` values; `None` when the memory is too small.
    pub fn take<T>(&mut self, count: usize) -> Option<&'static mut [MaybeUninit<T>]> {
        let begin = self.cut(align_of::<T>(), size_of::<T>().saturating_mul(count))?;
        // SAFETY: the bytes lie within the memory and are cut off once; they are aligned.
        // Uninitialised values may be anything.
        Some(unsafe { core::slice::from_raw_parts_mut(begin.as_ptr().cast(), count) })
    }

    /// So many bytes; `None` when the memory is too small. One function for all that lies there.
    #[inline(never)]
    fn cut(&mut self, align: usize, bytes: usize) -> Option<NonNull<u8>> {
        // The memory is aligned for the strictest of what lies in it, and alignments are powers of 2.
        let begin = self.used.saturating_add(align - 1) & !(align - 1);
        self.used = begin.saturating_add(bytes);
        if self.used > self.size {
            return None;
        }
        // SAFETY: within the memory.
        NonNull::new(unsafe { self.begin.add(begin) })
    }

    /// `count` values, each made by `make`.
    pub fn fill<T>(&mut self, count: usize, make: impl FnMut() -> T) -> Option<&'static mut [T]> {
        let place = self.take(count)?;
        let mut make = make;
        for value in &mut *place {
            value.write(make());
        }
        // SAFETY: all were just written.
        Some(unsafe { &mut *(&raw mut *place as *mut [T]) })
    }
}

/// Connection slots, written one after another when they are first needed.
pub struct Slots {
    memory: &'static mut [MaybeUninit<Slot>],
    count: usize,
}

impl Slots {
    pub fn new(memory: &'static mut [MaybeUninit<Slot>]) -> Self {
        Self { memory, count: 0 }
    }
}

impl Arena<Slot> for Slots {
    fn as_slice(&self) -> &[Slot] {
        let written = &self.memory[..self.count];
        // SAFETY: `push` has written these.
        unsafe { &*(&raw const *written as *const [Slot]) }
    }

    fn as_mut_slice(&mut self) -> &mut [Slot] {
        let written = &mut self.memory[..self.count];
        // SAFETY: `push` has written these.
        unsafe { &mut *(&raw mut *written as *mut [Slot]) }
    }

    fn push(&mut self, slot: Slot) -> Result<(), Slot> {
        match self.memory.get_mut(self.count) {
            Some(place) => {
                place.write(slot);
                self.count += 1;
                Ok(())
            }
            None => Err(slot),
        }
    }
}
