//! Interrupts: the table, the two controllers, the timer.

use crate::console::say;
use crate::executive;
use crate::panic::stop;
use capuchin_pc::port::{self, without_interrupts};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

/// Interrupts in a second.
pub const TICKS_PER_SECOND: u32 = 1_000;

const FIRST: [u16; 2] = [0x20, 0xa0];
/// Where the sixteen lines begin among the vectors.
const VECTOR: u8 = 32;
const LINES: usize = 16;
const END: u8 = 0x20;
const TIMER: u8 = 0;
/// The line by which the second controller reaches the first.
const CASCADE: u8 = 2;
/// Periods of the timer in a second, and in a tick: not quite a thousandth.
pub const TIMER_HERTZ: u32 = 1_193_182;
pub const TICK_PERIODS: u32 = TIMER_HERTZ / TICKS_PER_SECOND;

/// Vectors that have an entry: the processor's own and the lines.
const VECTORS: usize = VECTOR as usize + LINES;

global_asm!(
    r#"

    .pushsection .text.interrupts, "ax"
    .align 16
    .globl interrupt_entries
interrupt_entries:
    .set number, 0
    .rept {vectors}
    .align 16
    push number
    jmp interrupt_common
    .set number, number + 1
    .endr
interrupt_common:
    pushad
    cld
    mov eax, [esp + 32]
    mov ebp, esp
    and esp, -16
    sub esp, 8
    push ebp
    push eax
    call {interrupted}
    mov esp, ebp
    popad
    add esp, 4
    iretd
    .popsection
    "#,
    vectors = const VECTORS,
    interrupted = sym interrupted,
);

unsafe extern "C" {
    /// An entry of 16 bytes for each vector.
    static interrupt_entries: u8;
}

#[repr(C, packed)]
struct TableRegister {
    limit: u16,
    base: *const u64,
}

struct Global<T>(UnsafeCell<T>);

// SAFETY: what is in it is used with interrupts off, on the one processor.
unsafe impl<T: Send> Sync for Global<T> {}

static TABLE: Global<[u64; VECTORS]> = Global(UnsafeCell::new([0; VECTORS]));

/// What a line's interrupt calls.
static HANDLERS: Global<[Option<fn()>; LINES]> = Global(UnsafeCell::new([None; LINES]));

/// Has interrupts come, the timer's among them.
pub fn start() {
    // SAFETY: interrupts are off until the end of this; the ports are the controllers' and the timer's.
    unsafe {
        let entries = &raw const interrupt_entries as u32;
        for (vector, gate) in (*TABLE.0.get()).iter_mut().enumerate() {
            let entry = u64::from(entries + 16 * vector as u32);
            // A 32-bit interrupt gate, present, of the code segment.
            *gate = entry & 0xffff | 0x08 << 16 | 0x8e00 << 32 | (entry >> 16) << 48;
        }
        let register = TableRegister {
            limit: (VECTORS * 8 - 1) as u16,
            base: TABLE.0.get().cast(),
        };
        asm!("lidt [{}]", in(reg) &raw const register, options(readonly, nostack));
        for (controller, at) in FIRST.into_iter().enumerate() {
            port::write8(at, 0x11);
            port::write8(at + 1, VECTOR + 8 * controller as u8);
            port::write8(
                at + 1,
                if controller == 0 {
                    1 << CASCADE
                } else {
                    CASCADE
                },
            );
            port::write8(at + 1, 1);
            port::write8(at + 1, 0xff);
        }
        let divisor = TICK_PERIODS as u16;
        port::write8(0x43, 0x34);
        port::write8(0x40, divisor as u8);
        port::write8(0x40, (divisor >> 8) as u8);
    }
    handle(TIMER, executive::clock::tick);
    unmask(CASCADE);
    unmask(TIMER);
    enable();
}

/// Has a line's interrupts handled by `handler`, once it is unmasked.
pub fn handle(line: u8, handler: fn()) {
    without_interrupts(|| {
        // SAFETY: interrupts are off.
        let handlers = unsafe { &mut *HANDLERS.0.get() };
        if let Some(place) = handlers.get_mut(usize::from(line)) {
            *place = Some(handler);
        }
    });
}

/// Lets a line interrupt.
pub fn unmask(line: u8) {
    let at = FIRST[usize::from(line / 8) & 1] + 1;
    without_interrupts(|| {
        // SAFETY: the controller's port; nobody comes between the two.
        unsafe { port::write8(at, port::read8(at) & !(1 << (line % 8))) };
    });
}

unsafe extern "C" fn interrupted(vector: u32, frame: *const u32) {
    let Some(line) = vector.checked_sub(u32::from(VECTOR)) else {
        // SAFETY: the registers, the vector and what the processor put there lie at `frame`.
        let words = unsafe { core::slice::from_raw_parts(frame, 12) };
        say(format_args!(
            "exception {vector} at {:#x} or {:#x}",
            words[9], words[10]
        ));
        stop();
    };
    executive::task::enter_interrupt();
    // SAFETY: interrupts are off in an interrupt; the ports are the controllers'.
    unsafe {
        if line >= 8 {
            port::write8(FIRST[1], END);
        }
        port::write8(FIRST[0], END);
        if let Some(handler) = (*HANDLERS.0.get())[line as usize & (LINES - 1)] {
            handler();
        }
    }
    executive::task::leave_interrupt();
}

/// Lets interrupts come.
pub fn enable() {
    // SAFETY: there is a table.
    unsafe { asm!("sti", options(nostack)) };
}

/// Lets interrupts come until one has; they are off before and after.
pub fn await_one() {
    // SAFETY: there is a table; `hlt` comes before any interrupt does.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}
