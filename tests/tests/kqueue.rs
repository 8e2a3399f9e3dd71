//! Runs the suites against the fixture server that waits with kqueue, over the backend's test double of
//! it: the logic that runs on FreeBSD and on RTEMS with libbsd, on this system.
//!
//! ```text
//! cargo test -p capuchin-tests --test kqueue -- framing
//! ```

use capuchin_tests::failure::Outcome;
use capuchin_tests::process::do_within;
use capuchin_tests::runner::{self, Plan, Skip};
use libtest_mimic::Arguments;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Another folder than the one that cargo has for this test: the flags are others.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/kqueue");

/// On a machine that has much else to do.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

const SKIPS: &[Skip] = &[(
    "uploads::huge_",
    "takes long, and is the same code as in `blackbox`, where it runs",
)];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let outcome = build().and_then(|program| {
        let plan = Plan {
            program,
            prefix: "double/kqueue/",
            backend: "double/kqueue",
            configurations: &[
                runner::ONE_WORKER,
                runner::TWO_WORKERS,
                runner::ONE_ACCEPTOR,
            ],
            skips: SKIPS,
        };
        runner::run(arguments, &plan)
    });
    runner::conclude(outcome, "the black-box suites on the double of kqueue")
}

fn build() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut fixture = Command::new(cargo);
    fixture
        .args(["build", "--quiet", "--package", "capuchin-tests"])
        .args(["--bin", "fixture"])
        // Optimised a little, with assertions.
        .args(["--profile", "test", "--target-dir", FOLDER])
        .env("RUSTFLAGS", "--cfg capuchin_kqueue")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    do_within(fixture, BUILD_LIMIT, "building the fixture server")?;
    Ok(Path::new(FOLDER).join("debug/fixture"))
}
