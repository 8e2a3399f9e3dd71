//! Field lines: the table of what a head contains.
//!
//! A [`Field`] is eight bytes: where a line's name and value lie in the head, and which known name
//! it is. Names are recognised once, while the head is parsed; later look-ups compare one byte.

pub use super::names::Name;

use super::names::UNKNOWN;
use super::scan;

/// Where one line's name and value lie in a head; the first entry of a table is the request line,
/// with the method as name and the target as value. Offsets count from the head's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)] // zeroed memory is a table of empty entries
pub struct Field {
    name_start: u16,
    name_length: u8,
    /// The known name, or the method.
    number: u8,
    value_start: u16,
    value_length: u16,
}

impl Field {
    /// An entry with nothing in it, to fill tables with.
    pub const EMPTY: Self = Self {
        name_start: 0,
        name_length: 0,
        number: 0,
        value_start: 0,
        value_length: 0,
    };

    #[inline(always)]
    pub(super) fn named(start: u16, length: u8, known: Option<Name>) -> Self {
        Self::numbered(start, length, known.map_or(UNKNOWN, |name| name as u8))
    }

    #[inline(always)]
    pub(super) fn numbered(start: u16, length: u8, number: u8) -> Self {
        Self {
            name_start: start,
            name_length: length,
            number,
            ..Self::EMPTY
        }
    }

    /// The entry with its value; whatever value it had is replaced.
    #[inline(always)]
    pub(super) fn with_value(self, start: u16, length: u16) -> Self {
        Self {
            value_start: start,
            value_length: length,
            ..self
        }
    }

    #[inline(always)]
    pub(super) fn number(self) -> u8 {
        self.number
    }

    #[inline(always)]
    pub(super) fn known(self) -> Option<Name> {
        Name::from_number(self.number)
    }

    /// The name's bytes, given the head's; empty when `head` is not the head it was made for.
    #[inline]
    pub(super) fn name(self, head: &[u8]) -> &[u8] {
        let start = usize::from(self.name_start);
        head.get(start..start + usize::from(self.name_length))
            .unwrap_or_default()
    }

    /// The value's bytes, likewise.
    #[inline]
    pub(super) fn value(self, head: &[u8]) -> &[u8] {
        let start = usize::from(self.value_start);
        head.get(start..start + usize::from(self.value_length))
            .unwrap_or_default()
    }
}

/// The values of all lines of one known name, in order; made by
/// [`Head::values`](super::head::Head::values).
#[derive(Clone, Debug)]
pub struct Values<'b> {
    head: &'b [u8],
    fields: core::slice::Iter<'b, Field>,
    name: Name,
}

impl<'b> Values<'b> {
    pub(super) fn new(head: &'b [u8], fields: &'b [Field], name: Name) -> Self {
        Self {
            head,
            fields: fields.iter(),
            name,
        }
    }
}

impl<'b> Iterator for Values<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.name as u8;
        let field = self.fields.find(|field| field.number() == number)?;
        Some(field.value(self.head))
    }
}

/// The elements of a comma-separated list without the white space around them; empty ones
/// included, quotes not heeded.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    scan::looked_at(value.len());
    value.split(|&byte| byte == b',').map(scan::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const _: () = assert!(size_of::<Field>() == 8);

    #[test]
    fn packed_entry_gives_back_what_was_put_in() {
        let head: Vec<u8> = (0..=u16::MAX).map(|n| n as u8).collect();
        let field = Field::named(65_000, 255, Some(Name::Range)).with_value(1, 65_000);
        assert_eq!(field.name(&head), &head[65_000..65_255]);
        assert_eq!(field.value(&head), &head[1..65_001]);
        assert_eq!(field.known(), Some(Name::Range));
        assert_eq!(Field::named(0, 1, None).known(), None);
        assert_eq!(field.value(b"short"), b"");
    }
}
