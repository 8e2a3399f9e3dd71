//! From the multiboot loader to Rust.

use core::arch::global_asm;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU32, Ordering};

// A loader has switched to 32 bits without paging; its segments are its own, so that new ones come first.
global_asm!(
    r#"
    .pushsection .multiboot, "a"
    .align 4
    .long 0x1badb002
    .long 0
    .long -0x1badb002
    .popsection

    .pushsection .text.start, "ax"
    .globl _start
_start:
    cli
    cld
    mov esp, offset boot_stack_end
    lgdt [boot_table]
    mov cx, 0x10
    mov ds, cx
    mov es, cx
    mov fs, cx
    mov gs, cx
    mov ss, cx
    push 0x08
    mov ecx, offset boot_far
    push ecx
    retf
boot_far:
    xor ebp, ebp
    sub esp, 8
    push ebx
    push eax
    call {main}
boot_end:
    cli
    hlt
    jmp boot_end
    .popsection

    .pushsection .rodata.boot, "a"
    .align 8
boot_segments:
    .quad 0
    .quad 0x00cf9a000000ffff
    .quad 0x00cf92000000ffff
boot_table:
    .word boot_table - boot_segments - 1
    .long boot_segments
    .popsection

    .pushsection .bss.boot, "aw", @nobits
    .align 16
    .globl boot_stack
boot_stack:
    .skip {stack}
boot_stack_end:
    .popsection
    "#,
    main = sym begin,
    stack = const BOOT_STACK,
);

/// What a multiboot loader leaves in a register (Multiboot Specification 0.6.96, section 3.2).
const MAGIC: u32 = 0x2bad_b002;
/// The flag of a command line among those of the loader's information.
const HAS_COMMAND_LINE: u32 = 1 << 2;

/// The beginning of what the loader tells (section 3.3).
#[repr(C)]
struct Information {
    flags: u32,
    memory: [u32; 2],
    boot_device: u32,
    command_line: *const c_char,
}

/// The first function.
unsafe extern "C" fn begin(magic: u32, information: *const Information) {
    let mut line = c"";
    // SAFETY: a multiboot loader has left what it tells of there, and nothing writes there.
    unsafe {
        if magic == MAGIC && (*information).flags & HAS_COMMAND_LINE != 0 {
            line = CStr::from_ptr((*information).command_line);
        }
    }
    crate::serve::main(line.to_bytes());
}

/// Bytes of the first task's stack.
const BOOT_STACK: usize = 10 << 10;

unsafe extern "C" {
    /// The last word that the stack has.
    static boot_stack: AtomicU32;
}

/// Whether the first task's stack, which interrupts use as well, still has its last word.
pub fn stack_is_whole() -> bool {
    // SAFETY: the word is there, and zero until the stack gets to it.
    unsafe { boot_stack.load(Ordering::Relaxed) == 0 }
}
