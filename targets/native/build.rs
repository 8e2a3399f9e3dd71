//! How the command is linked: with the C compiler's unwinder in it, instead of loading all of `libgcc_s`
//! for it, which would be a tenth of the process's private memory; and with one function of its own there.

use std::path::Path;
use std::process::Command;

const UNWINDER: &str = "libgcc_eh.a";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name| std::env::var(name).unwrap_or_default();
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
}
