//! The processor's ports.

use core::arch::asm;

/// Reads a byte.
///
/// # Safety
/// Reading `port` has no effect that anybody does not expect.
pub unsafe fn read8(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's word.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}

/// Writes a byte.
///
/// # Safety
/// As with [`read8`].
pub unsafe fn write8(port: u16, value: u8) {
    // SAFETY: the caller's word.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Reads 32 bits.
///
/// # Safety
/// As with [`read8`].
pub unsafe fn read32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller's word.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)) };
    value
}

/// Writes 32 bits.
///
/// # Safety
/// As with [`read8`].
pub unsafe fn write32(port: u16, value: u32) {
    // SAFETY: the caller's word.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)) };
}

/// Does something that no interrupt comes between.
pub fn without_interrupts<T>(act: impl FnOnce() -> T) -> T {
    const INTERRUPTS: usize = 0x200;
    let flags: usize;
    // SAFETY: they are as before at the end.
    unsafe {
        #[cfg(target_arch = "x86")]
        asm!("pushfd", "pop {}", "cli", out(reg) flags);
        #[cfg(target_arch = "x86_64")]
        asm!("pushfq", "pop {}", "cli", out(reg) flags);
    }
    let result = act();
    if flags & INTERRUPTS != 0 {
        // SAFETY: they were on.
        unsafe { asm!("sti", options(nostack)) };
    }
    result
}
