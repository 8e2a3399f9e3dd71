//! Writing into fixed memory: what does not fit is noted, never cut silently.

use core::fmt;

/// Digits of `u64::MAX`.
const DIGITS: usize = 20;
pub(crate) const LINE_END: &[u8; 2] = b"\r\n";

/// Appends bytes to a buffer until it is full; from the first byte that did not fit it is
/// *overflown* and takes nothing more.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
    overflown: bool,
}

impl<'b> Writer<'b> {
    /// Writes from the start of `buffer`.
    #[must_use]
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            length: 0,
            overflown: false,
        }
    }

    /// Appends all of `bytes`, or marks the writer overflown.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        // Two lengths of memory add up without a wrap.
        let end = self.length + bytes.len();
        match self.buffer.get_mut(self.length..end) {
            Some(room) if !self.overflown => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            _ => self.overflown = true,
        }
    }

    /// Appends a number in decimal.
    pub fn put_decimal(&mut self, number: u64) {
        self.put_digits(number, 0);
    }

    /// Appends a number in decimal and a line end.
    pub(crate) fn put_decimal_line(&mut self, number: u64) {
        self.put_digits(number, LINE_END.len());
    }

    fn put_digits(&mut self, number: u64, line_end: usize) {
        let mut text = [0; DIGITS + LINE_END.len()];
        text[DIGITS..].copy_from_slice(LINE_END);
        let mut at = DIGITS;
        let mut rest = number;
        loop {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put(&text[at..DIGITS + line_end]);
    }

    /// Appends `count` bytes that lie in the free part, from position `begin` of the buffer on.
    pub(crate) fn take_over(&mut self, begin: usize, count: usize) {
        match begin.checked_add(count) {
            Some(end) if !self.overflown && begin >= self.length && end <= self.buffer.len() => {
                self.buffer.copy_within(begin..end, self.length);
                self.length += count;
            }
            _ => self.overflown = true,
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that still fit; none once it is overflown.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.overflown {
            0
        } else {
            self.buffer.len() - self.length
        }
    }

    /// Whether something did not fit.
    #[must_use]
    pub fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// What was written.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// The free part of the buffer, to be filled in place and then [`Writer::claim`]ed; empty once
    /// it is overflown.
    pub fn spare(&mut self) -> &mut [u8] {
        let end = self.length + self.room();
        &mut self.buffer[self.length..end]
    }

    /// Counts `count` bytes of [`Writer::spare`] as written; more than there is marks it overflown.
    pub fn claim(&mut self, count: usize) {
        if self.overflown || count > self.room() {
            self.overflown = true;
        } else {
            self.length += count;
        }
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        if self.overflown {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_noted_and_nothing_follows_it() {
        let mut memory = [0u8; 4];
        let mut writer = Writer::new(&mut memory);
        writer.put(b"abc");
        writer.put(b"de");
        writer.put(b"f");
        assert!(writer.is_overflown());
        assert_eq!(writer.written(), b"abc");
    }

    #[test]
    fn number_and_its_line_end_are_written_whole_or_not_at_all() {
        for (number, text) in [
            (0, "0\r\n"),
            (10, "10\r\n"),
            (u64::MAX, "18446744073709551615\r\n"),
        ] {
            for size in 0..24 {
                let mut memory = [0u8; 24];
                let mut writer = Writer::new(&mut memory[..size]);
                writer.put_decimal_line(number);
                let fits = size >= text.len();
                let expected = if fits { text } else { "" };
                assert_eq!(writer.written(), expected.as_bytes(), "{number} in {size}");
                assert_eq!(writer.is_overflown(), !fits, "{number} in {size}");
            }
        }
    }

    #[test]
    fn overflown_writer_has_no_room_to_fill_in_place() {
        let mut memory = [0u8; 8];
        let mut writer = Writer::new(&mut memory);
        writer.put(b"abc");
        writer.spare()[..2].copy_from_slice(b"de");
        writer.claim(2);
        assert_eq!((writer.written(), writer.room()), (&b"abcde"[..], 3));
        writer.put(b"too long");
        assert_eq!((writer.spare().len(), writer.room()), (0, 0));
        writer.claim(1);
        writer.take_over(5, 1);
        assert!(writer.is_overflown());
        assert_eq!(writer.written(), b"abcde");
    }

    #[test]
    fn more_than_there_is_cannot_be_claimed_or_taken_over() {
        for fill in [
            |writer: &mut Writer<'_>| writer.claim(4),
            |writer: &mut Writer<'_>| writer.take_over(2, 3),
            |writer: &mut Writer<'_>| writer.take_over(2, usize::MAX),
            |writer: &mut Writer<'_>| writer.take_over(0, 1),
        ] {
            let mut memory = *b"....";
            let mut writer = Writer::new(&mut memory);
            writer.put(b"a");
            fill(&mut writer);
            assert!(writer.is_overflown());
            assert_eq!(writer.written(), b"a");
        }
    }

    #[test]
    fn decimals_are_written_whole() {
        for (number, text) in [
            (0, "0"),
            (9, "9"),
            (10, "10"),
            (u64::MAX, "18446744073709551615"),
        ] {
            let mut memory = [0u8; 20];
            let mut writer = Writer::new(&mut memory);
            writer.put_decimal(number);
            assert_eq!(writer.written(), text.as_bytes());
        }
    }
}
