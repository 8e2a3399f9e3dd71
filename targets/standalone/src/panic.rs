//! The end after a mistake: a line that says where, and a status that QEMU ends with.

use crate::console::say;
use capuchin_pc::port;
use core::arch::asm;
use core::panic::PanicInfo;

/// QEMU's `isa-debug-exit`: it ends with twice the value and one.
const DEBUG_EXIT: u16 = 0xf4;
const FAILURE: u8 = 1;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => say(format_args!(
            "panic at {}:{}: {}",
            place.file(),
            place.line(),
            info.message()
        )),
        None => say(format_args!("panic: {}", info.message())),
    }
    stop()
}

/// Ends QEMU with a failure; elsewhere the processor rests for ever.
pub fn stop() -> ! {
    // SAFETY: nothing else has this port, and nothing goes on.
    unsafe {
        port::write8(DEBUG_EXIT, FAILURE);
        loop {
            asm!("cli", "hlt", options(nomem, nostack));
        }
    }
}
