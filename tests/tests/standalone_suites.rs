//! The black-box suites, aimed at the fixture server of `targets/standalone` as at an image of RTEMS.
//!
//! Where QEMU or a toolchain for it is missing all is reported as ignored, and a line says what is.

use capuchin_qemu::{Spec, Stack};
use capuchin_tests::failure::During;
use capuchin_tests::runner::berth::Berths;
use capuchin_tests::runner::{Absent, Guest, Skip};
use capuchin_tests::runner::{Kind, Tally};
use capuchin_tests::standalone::{ANSWER_LIMIT, BACKEND, NAME, build, conclude};
use libtest_mimic::Arguments;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

/// Cases that run at the same time, on one machine: each may have a quarter of a server's connections
/// (`Target::share`).
const THREADS: usize = 4;

/// Cases that are not for an image in QEMU.
const SKIPS: &[Skip] = &[(
    "uploads::huge_",
    "2 GiB take minutes through QEMU's network: run natively only",
)];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let tally = Arc::new(Tally::default());
    let kind = Kind {
        name: NAME.into(),
        backend: BACKEND,
        skips: SKIPS,
        tally: tally.clone(),
    };
    let trials = Berths::new(boot_fixture).trials(&kind, &arguments);
    conclude(&arguments, trials, &tally)
}

fn boot_fixture(options: &str) -> Result<Guest, Absent> {
    static IMAGE: OnceLock<Result<PathBuf, Absent>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| build(CARGO_FOLDER, &["--fixture"]));
    let mut spec = Spec::new(Stack::Own, image.clone()?);
    spec.append = format!("--fixture={options}");
    let mut machine = Guest::boot(&spec).during(options)?;
    machine
        .wait_until_it_answers(ANSWER_LIMIT)
        .during(options)?;
    Ok(machine)
}
