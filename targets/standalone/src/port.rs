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
