//! The console: where the library's log goes.

use core::ffi::{c_char, c_int};
use core::fmt::{self, Write};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Bytes of a line; what is longer is cut.
const LINE: usize = 160;

struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(*record.args());
        }
    }

    fn flush(&self) {}
}

/// Has the log printed; once is enough.
pub fn start() {
    static CONSOLE: Console = Console;
    if log::set_logger(&CONSOLE).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Prints one line.
pub fn say(what: fmt::Arguments<'_>) {
    let mut memory = [0u8; LINE];
    let mut line = Text::new(&mut memory);
    // What does not fit is cut.
    let _ = write!(line, "capuchin: {what}");
    put(line.written());
}

/// Text in fixed memory; the end of what is too long is lost.
pub struct Text<'m> {
    memory: &'m mut [u8],
    length: usize,
    wanted: usize,
}

impl<'m> Text<'m> {
    pub fn new(memory: &'m mut [u8]) -> Self {
        Self {
            memory,
            length: 0,
            wanted: 0,
        }
    }

    pub fn written(&self) -> &[u8] {
        &self.memory[..self.length]
    }

    /// Has `write` write to `buffer` as snprintf(3) would: ends the text with NUL, and returns the length of
    /// all of it, whether or not it fits into `size` bytes.
    ///
    /// # Safety
    /// `buffer` is valid for `size` bytes, or NULL.
    pub unsafe fn print(
        buffer: *mut c_char,
        size: usize,
        write: &mut dyn FnMut(&mut Text<'_>),
    ) -> c_int {
        let memory: &mut [u8] = match size.checked_sub(1) {
            // SAFETY: the caller's word.
            Some(room) if !buffer.is_null() => unsafe {
                core::slice::from_raw_parts_mut(buffer.cast(), room)
            },
            _ => &mut [],
        };
        let mut out = Text::new(memory);
        write(&mut out);
        let (length, wanted) = (out.length, out.wanted);
        if size > 0 && !buffer.is_null() {
            // SAFETY: one byte was left for it.
            unsafe { *buffer.add(length) = 0 };
        }
        c_int::try_from(wanted).unwrap_or(c_int::MAX)
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.memory.len() - self.length;
        let taken = text.len().min(room);
        self.memory[self.length..][..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        self.wanted += text.len();
        Ok(())
    }
}

#[cfg(target_os = "rtems")]
unsafe extern "C" {
    fn printk(format: *const core::ffi::c_char, ...) -> core::ffi::c_int;
}

#[cfg(target_os = "rtems")]
fn put(line: &[u8]) {
    // SAFETY: the format takes a length and as many bytes.
    unsafe {
        printk(
            c"%.*s\n".as_ptr(),
            line.len() as core::ffi::c_int,
            line.as_ptr(),
        )
    };
}

#[cfg(not(target_os = "rtems"))]
fn put(line: &[u8]) {
    let line = std::string::String::from_utf8_lossy(line);
    std::eprintln!("{line}");
    #[cfg(test)]
    crate::tests::SAID
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .push(line.into_owned());
}
