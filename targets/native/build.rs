//! How the command is linked: with the C compiler's unwinder in it, instead of loading all of `libgcc_s`
//! for it, which would be a tenth of the process's private memory; with one function of its own there; and
//! with its relocations packed, which are 13 KB otherwise.

use std::path::{Path, PathBuf};
use std::process::Command;

const UNWINDER: &str = "libgcc_eh.a";

/// Relocations of addresses as a bit each (DT_RELR). glibc has known them since 2.36.
const PACKED: &str = "-Wl,-z,pack-relative-relocs";

/// Set to anything, it leaves them as they are.
const UNPACKED: &str = "CAPUCHIN_UNPACKED_RELOCATIONS";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let here = variable("HOST") == variable("TARGET");
    if !here || variable("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    let compiler = Command::new("cc")
        .arg(format!("-print-file-name={UNWINDER}"))
        .output();
    // A compiler that has none answers with the bare name.
    let has_it = compiler.is_ok_and(|answer| {
        let path = String::from_utf8_lossy(&answer.stdout).into_owned();
        Path::new(path.trim()).is_absolute()
    });
    if has_it {
        // Linked before what the standard library asks for, so that nothing is left to ask for.
        println!("cargo:rustc-link-lib=dylib:+verbatim={UNWINDER}");
        // One of its functions is the command's own; see src/unwinder.rs.
        println!("cargo:rustc-link-arg-bins=-Wl,--allow-multiple-definition");
    }
    // A command that is to run beside an older C library than it is built beside says so.
    println!("cargo:rerun-if-env-changed={UNPACKED}");
    if variable(UNPACKED).is_empty() && runs_with(PACKED) {
        println!("cargo:rustc-link-arg-bins={PACKED}");
    }
}

/// Whether a program that is linked with this argument runs here: whether the linker and the C library both
/// know it.
fn runs_with(argument: &str) -> bool {
    let folder = PathBuf::from(variable("OUT_DIR"));
    let (source, program) = (folder.join("packed.rs"), folder.join("packed"));
    // As the command is linked, with whatever flags and linker Cargo was given.
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    compiler.arg(format!("-Clink-arg={argument}"));
    compiler.args([Path::new("-o"), &program, &source]);
    // What a linker that does not know it says is nobody's concern.
    std::fs::write(&source, "fn main() {}").is_ok()
        && compiler
            .output()
            .is_ok_and(|output| output.status.success())
        && Command::new(program)
            .current_dir(folder)
            .status()
            .is_ok_and(|status| status.success())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
