//! Runs the suites against the C interface on this system: the fixture server of RTEMS images
//! (`targets/rtems/c`), linked with the library's test doubles of RTEMS's message queues.
//!
//! ```text
//! cargo test -p capuchin-tests --test double -- framing
//! ```

use capuchin_tests::failure::Outcome;
use capuchin_tests::process::do_within;
use capuchin_tests::runner::{self, Plan, Skip};
use libtest_mimic::Arguments;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Another folder than the one that cargo has for this test: flags and profile are others.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/double");

const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/rtems");

/// What a program for this system is made of.
const SOURCES: &[&str] = &[
    "fixture",
    "fixture_later",
    "fixture_main",
    "fixture_replies",
    "fixture_site",
    "fixture_storm",
];

/// For the library on a machine that has much else to do.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

const SKIPS: &[Skip] = &[
    (
        "uploads::huge_",
        "takes long, and is the same code as in `blackbox`, where it runs",
    ),
    (
        "changing::truncating_during_a_reply_never_fills_up",
        "Linux's sendfile(2) sends pages as they are when they leave; on RTEMS they are copied",
    ),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let outcome = build().and_then(|program| {
        let plan = Plan {
            program,
            prefix: "double/queue/",
            backend: "double/queue",
            configurations: &[runner::ONE_WORKER, runner::ONE_ACCEPTOR],
            skips: SKIPS,
        };
        runner::run(arguments, &plan)
    });
    runner::conclude(outcome, "the black-box suites on the double")
}

/// The library by cargo, then the C files and the library by the system's compiler.
fn build() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut library = Command::new(cargo);
    library
        .args(["build", "--quiet", "--package", "capuchin-image"])
        // Optimised a little, with assertions.
        .args(["--profile", "test", "--target-dir", FOLDER])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    do_within(library, BUILD_LIMIT, "building the library")?;

    let program = Path::new(FOLDER).join("fixture");
    let sources = Path::new(TARGET).join("c");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .args(["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g"])
        .args(["-Wall", "-Wextra", "-Werror", "-I"])
        .arg(Path::new(TARGET).join("include"))
        .args(SOURCES.iter().map(|name| sources.join(format!("{name}.c"))))
        .arg(Path::new(FOLDER).join("debug/libcapuchin_image.a"))
        // What Rust's standard library needs.
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program);
    do_within(compiler, BUILD_LIMIT, "building the fixture server")?;
    Ok(program)
}
