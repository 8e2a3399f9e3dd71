//! The executive: those directives of RTEMS's Classic API that `backend-rtems` calls. It is not RTEMS.
//!
//! Names, arguments, limits and status codes are those of the RTEMS Classic API Guide. There is one
//! processor; a directive has it for itself by keeping interrupts off.

pub mod clock;
mod queue;
pub mod task;

use core::cell::UnsafeCell;

/// What is looked at with interrupts off only.
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: `with` keeps interrupts off, and there is one processor.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub const fn new(content: T) -> Self {
        Self(UnsafeCell::new(content))
    }

    /// Where the content is, for who must not claim all of it.
    pub const fn pointer(&self) -> *mut T {
        self.0.get()
    }

    /// Has the content for `act`, which neither waits nor asks for it again.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: nobody comes between, and `act` does not ask again.
        capuchin_pc::port::without_interrupts(|| act(unsafe { &mut *self.0.get() }))
    }
}

/// An object's identifier: its class and its number; no number is 0.
const fn id_of(class: u32, index: usize) -> u32 {
    class << 24 | 1 << 16 | (index as u32 + 1)
}

/// The index behind an identifier of this class.
fn index_of(class: u32, id: u32) -> Option<usize> {
    (id & !0xffff == class << 24 | 1 << 16)
        .then(|| (id & 0xffff) as usize)?
        .checked_sub(1)
}
