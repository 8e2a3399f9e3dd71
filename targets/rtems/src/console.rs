//! The console: where the library's log goes.

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

    /// Bytes that were to be written.
    pub fn wanted(&self) -> usize {
        self.wanted
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
    std::eprintln!("{}", std::string::String::from_utf8_lossy(line));
}
