//! What the tests share: a directory for each, images small enough to write by hand, time limits.

// Each test program uses some of it.
#![allow(dead_code)]

use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::time::{Duration, Instant};

/// No wait of a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes with its value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// `name` is the test's own.
    pub fn new(name: &str) -> Self {
        let name = format!("capuchin-qemu-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory for the test");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it with this image.
    pub fn image(&self, image: Image) -> PathBuf {
        let path = self.0.join("image");
        fs::write(&path, image.bytes()).expect("the image can be written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An image in 32-bit code, put together step by step. It is loaded as a multiboot kernel, which
/// is what RTEMS images are, too: the processor starts in protected mode with flat memory.
pub struct Image(Vec<u8>);

impl Image {
    /// Where it is loaded, and runs: behind the first MiB, where the BIOS has nothing.
    const ADDRESS: u32 = 0x0010_0000;
    /// Bytes of the header, which is followed by the code.
    const HEADER: u32 = 32;
    const COM1: u32 = 0x3f8;
    const COM1_STATUS: u32 = 0x3fd;
    const DEBUG_EXIT: u32 = 0xf4;

    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Writes `text` to the first serial port.
    pub fn print(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self = self.with_port(Self::COM1_STATUS);
            // again: in al, dx; test al, 0x20 (may be written to); jz again
            self.0.extend([0xec, 0xa8, 0x20, 0x74, 0xfb]);
            self = self.with_port(Self::COM1).out(byte);
        }
        self
    }

    /// Ends QEMU with twice `value` and one.
    pub fn exit(self, value: u8) -> Self {
        self.with_port(Self::DEBUG_EXIT).out(value)
    }

    /// Stops for good.
    pub fn hang(mut self) -> Self {
        // cli; again: hlt; jmp again
        self.0.extend([0xfa, 0xf4, 0xeb, 0xfd]);
        self
    }

    /// mov edx, port
    fn with_port(mut self, port: u32) -> Self {
        self.0.push(0xba);
        self.0.extend(port.to_le_bytes());
        self
    }

    /// mov al, byte; out dx, al
    fn out(mut self, byte: u8) -> Self {
        self.0.extend([0xb0, byte, 0xee]);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        const MAGIC: u32 = 0x1bad_b002;
        // The addresses below are in the header, not in an ELF file.
        const FLAGS: u32 = 1 << 16;
        let end = Self::ADDRESS + Self::HEADER + self.0.len() as u32;
        let header = [
            MAGIC,
            FLAGS,
            // The three add up to 0.
            0u32.wrapping_sub(MAGIC + FLAGS),
            Self::ADDRESS,                // of this header
            Self::ADDRESS,                // of what is loaded
            end,                          // of what is loaded
            end,                          // of memory to clear: there is none
            Self::ADDRESS + Self::HEADER, // of the first instruction
        ];
        let header = header.iter().flat_map(|number| number.to_le_bytes());
        header.chain(self.0.iter().copied()).collect()
    }
}

/// A test that has to be told about when it cannot run: its name says why.
pub fn trial(name: &str, not_run: Option<&str>, test: fn()) -> Trial {
    let told = match not_run {
        Some(why) => format!("{name} [NOT RUN: {why}]"),
        None => name.to_owned(),
    };
    Trial::test(told, move || {
        test();
        Ok(())
    })
    .with_ignored_flag(not_run.is_some())
}

/// What a child printed and how it ended; it is killed when that takes too long.
pub fn finish(mut child: Child) -> Output {
    let begin = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("the child's output")
}
