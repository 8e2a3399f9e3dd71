//! The console: COM1, a byte at a time.

use capuchin_pc::port;
use core::fmt::{self, Write};

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
const CAN_TAKE: u8 = 0x20;

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: COM1 is the console's alone, and was set up by the firmware.
            unsafe {
                while port::read8(LINE_STATUS) & CAN_TAKE == 0 {}
                port::write8(COM1, byte);
            }
        }
        Ok(())
    }
}

/// Prints a line.
pub fn say(what: fmt::Arguments<'_>) {
    let _ = writeln!(Console, "capuchin: {what}\r");
}

/// What the log macros print.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        say(*record.args());
    }

    fn flush(&self) {}
}

/// Has the log printed from warnings on.
pub fn start() {
    if log::set_logger(&Log).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
