//! Connection slots and leased buffers, in memory that the caller hands over.
//!
//! A connection owns a *slot* as long as it lives and a *lease* (a buffer and a table of field
//! positions) only while it has bytes in it; a reply that is sent whole at once needs no more than
//! the loan of a free one. What is free is handed out last in, first out, so that a server with
//! little to do touches little memory; memory that was never needed is never touched.

use crate::http::fields::Field;
use core::num::NonZeroU16;

/// A row of values that grows up to a fixed end and never moves a value's index.
pub trait Arena<T> {
    /// The values so far.
    fn as_slice(&self) -> &[T];
    /// The values so far, to be changed.
    fn as_mut_slice(&mut self) -> &mut [T];
    /// Adds a value; gives it back when there is no room.
    ///
    /// # Errors
    /// The value itself, at the fixed end.
    fn push(&mut self, value: T) -> Result<(), T>;
}

impl<T, const N: usize> Arena<T> for heapless::Vec<T, N> {
    fn as_slice(&self) -> &[T] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
    fn push(&mut self, value: T) -> Result<(), T> {
        heapless::Vec::push(self, value)
    }
}

impl<T, A: Arena<T> + ?Sized> Arena<T> for &mut A {
    fn as_slice(&self) -> &[T] {
        (**self).as_slice()
    }
    fn as_mut_slice(&mut self) -> &mut [T] {
        (**self).as_mut_slice()
    }
    fn push(&mut self, value: T) -> Result<(), T> {
        (**self).push(value)
    }
}

/// Names a lease: its number and one, so that an option of it is as small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseId(NonZeroU16);

impl LeaseId {
    fn number(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

/// The buffers that connections lease.
///
/// ```
/// use capuchin_core::http::fields::Field;
/// use capuchin_core::pool::Leases;
///
/// // Four buffers of 2 KiB with 32 lines each, as an RTEMS image might have in `.bss`.
/// let (mut bytes, mut fields) = ([0; 4 * 2_048], [Field::EMPTY; 4 * 33]);
/// let leases = Leases::new(&mut bytes, &mut fields, 2_048, 33);
/// assert_eq!((leases.count(), leases.taken()), (4, 0));
/// ```
#[derive(Debug)]
pub struct Leases<'m> {
    bytes: &'m mut [u8],
    fields: &'m mut [Field],
    size: usize,
    rows: usize,
    count: u16,
    /// Leases from here on were never handed out.
    fresh: u16,
    /// The first of the free list; each free lease ends with the name of the next, or with 0.
    free: Option<LeaseId>,
    taken: u16,
}

impl<'m> Leases<'m> {
    /// Bytes that a lease must have.
    pub const SMALLEST: usize = 1_024;
    /// Bytes that a lease may have: positions in it are kept in 16 bits.
    pub const LARGEST: usize = 65_535;

    /// As many leases of `size` bytes and `rows` field positions as the two memories hold.
    ///
    /// # Panics
    /// When `size` is outside [`Leases::SMALLEST`] to [`Leases::LARGEST`], when `rows` is below 8,
    /// or when not one lease fits.
    #[must_use]
    pub fn new(bytes: &'m mut [u8], fields: &'m mut [Field], size: usize, rows: usize) -> Self {
        assert!(
            (Self::SMALLEST..=Self::LARGEST).contains(&size),
            "a lease has 1,024 to 65,535 bytes"
        );
        assert!(rows >= 8, "a lease has room for 8 fields at least");
        let count = (bytes.len() / size)
            .min(fields.len() / rows)
            .min(usize::from(u16::MAX));
        assert!(count > 0, "the memory holds no lease");
        Self {
            bytes,
            fields,
            size,
            rows,
            count: count as u16,
            fresh: 0,
            free: None,
            taken: 0,
        }
    }

    /// Bytes of one lease.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Field positions of one lease: one for the request line, the others for field lines.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Leases in all.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count.into()
    }

    /// Leases handed out now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.into()
    }

    /// The lease that `take` hands out next. Until the next `take` or `give`, all of it but the last two bytes, which
    /// hold the free list's link, may be used without taking it.
    #[inline]
    pub(crate) fn first(&self) -> Option<LeaseId> {
        let fresh = (self.fresh < self.count).then(|| self.fresh + 1);
        self.free.or(fresh.and_then(NonZeroU16::new).map(LeaseId))
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub(crate) fn take(&mut self) -> Option<LeaseId> {
        let id = self.first()?;
        if self.free.is_some() {
            let link = self.bytes(id).last_chunk().copied().unwrap_or_default();
            self.free = NonZeroU16::new(u16::from_ne_bytes(link)).map(LeaseId);
        } else {
            self.fresh += 1;
        }
        self.taken += 1;
        Some(id)
    }

    pub(crate) fn give(&mut self, id: LeaseId) {
        let next = self.free.map_or(0, |next| next.0.get()).to_ne_bytes();
        if let Some(link) = self.bytes(id).last_chunk_mut() {
            *link = next;
        }
        self.free = Some(id);
        self.taken -= 1;
    }

    pub(crate) fn has_free(&self) -> bool {
        self.taken < self.count
    }

    #[cfg_attr(target_os = "rtems", optimize(speed), inline(never))]
    #[cfg_attr(not(target_os = "rtems"), inline)]
    pub(crate) fn bytes(&mut self, id: LeaseId) -> &mut [u8] {
        nth(self.bytes, self.size, id.number())
    }

    #[cfg_attr(target_os = "rtems", optimize(speed), inline(never))]
    #[cfg_attr(not(target_os = "rtems"), inline)]
    pub(crate) fn parts(&mut self, id: LeaseId) -> (&mut [u8], &mut [Field]) {
        let index = id.number();
        (
            nth(self.bytes, self.size, index),
            nth(self.fields, self.rows, index),
        )
    }
}

/// The part at `index` of as many equal ones.
#[cfg_attr(not(target_os = "rtems"), inline(always))]
fn nth<T>(all: &mut [T], size: usize, index: usize) -> &mut [T] {
    &mut all[index * size..][..size]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn leases_are_distinct_bounded_and_reused_last_in_first_out() {
        let (mut bytes, mut fields) = (vec![0u8; 3 * 1_024 + 5], vec![Field::default(); 30]);
        let mut leases = Leases::new(&mut bytes, &mut fields, 1_024, 10);
        assert_eq!(leases.count(), 3);
        let taken = [leases.take(), leases.take(), leases.take()].map(Option::unwrap);
        assert!(leases.take().is_none());
        assert!(!leases.has_free());
        for (n, &id) in taken.iter().enumerate() {
            leases.bytes(id).fill(n as u8);
        }
        for (n, &id) in taken.iter().enumerate() {
            assert!(leases.bytes(id).iter().all(|&byte| byte == n as u8));
        }
        leases.give(taken[0]);
        leases.give(taken[2]);
        assert_eq!(leases.take(), Some(taken[2]));
        assert_eq!(leases.take(), Some(taken[0]));
        assert!(leases.take().is_none());
    }

    #[test]
    fn first_is_the_next_that_is_taken_whatever_was_written_to_its_first_half() {
        let (mut bytes, mut fields) = (vec![0u8; 4 * 1_025], vec![Field::default(); 40]);
        let mut leases = Leases::new(&mut bytes, &mut fields, 1_025, 10);
        let take = |leases: &mut Leases<'_>| {
            let first = leases.first();
            if let Some(id) = first {
                leases.bytes(id)[..513].fill(0xff);
            }
            assert_eq!(leases.take(), first);
            first
        };
        let taken = [(); 3].map(|()| take(&mut leases).unwrap());
        for id in taken {
            leases.give(id);
        }
        // Three that were handed out, and one that was not.
        let again = [(); 4].map(|()| take(&mut leases).unwrap());
        assert_eq!(again[..3], [taken[2], taken[1], taken[0]]);
        assert!(!taken.contains(&again[3]));
        assert!(take(&mut leases).is_none());
    }
}
