//! Runs the suites on RTEMS: builds images for each network stack, boots them in QEMU, and looks from
//! outside; and from inside, where an image runs a suite itself.
//!
//! ```text
//! RTEMS_PREFIX=DIR cargo test -p capuchin-tests --test images -- rtems-legacy     one stack
//! RTEMS_PREFIX=DIR cargo test -p capuchin-tests --test images -- framing          one theme
//! ```
//!
//! Without an RTEMS SDK or QEMU all is reported as ignored, and a line says what is missing.

mod build;
mod channels;
mod link;
mod power_on;
mod resources;
mod workers;

use build::Images;
use capuchin_qemu::Stack;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::runner::berth::Berths;
use capuchin_tests::runner::{Absent, Kind, Skip, Tally, completed, counted};
use libtest_mimic::{Arguments, Completion, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// Cases that run at the same time: each may have a quarter of a server's connections
/// (`Target::share`).
const THREADS: usize = 4;

/// Cases that are not for images in QEMU.
const SKIPS: &[Skip] = &[(
    "uploads::huge_",
    "2 GiB take minutes through QEMU's network: run natively only",
)];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let tally = Arc::new(Tally::default());
    let mut trials = Vec::new();
    for (name, stack, backend) in [
        ("legacy", Stack::Legacy, "legacy/queue"),
        ("libbsd", Stack::Libbsd, "libbsd/queue"),
        ("kqueue", Stack::Libbsd, "libbsd/kqueue"),
        ("own", Stack::Own, "own/queue"),
    ] {
        let images = Arc::new(Images::new(name, stack));
        let kind = Kind {
            name: format!("rtems-{name}"),
            backend,
            skips: SKIPS,
            tally: tally.clone(),
        };
        trials.extend(own_trials(&kind, &images));
        let berths = {
            let images = images.clone();
            Berths::new(move |options| {
                images.folder()?;
                let (machine, _) = images.boot_fixture(options).during(options)?;
                Ok(machine)
            })
        };
        trials.extend(berths.trials(&kind, &arguments));
        // Waits for a minute while others run.
        trials.push(resources::trial(&kind, &images));
    }
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    if let Err(error) = tally.write() {
        eprintln!("the table's file: {error}");
        return ExitCode::from(2);
    }
    code
}

/// Trials with machines of their own.
fn own_trials(kind: &Kind, images: &Arc<Images>) -> Vec<Trial> {
    let mut trials = vec![
        power_on::trial(kind, images),
        channels::trial(kind, images),
        link::trial(kind, images),
    ];
    // The library's own stack is its one worker's.
    if images.stack != Stack::Own {
        trials.push(workers::trial(kind, images));
    }
    trials
}

/// A trial with a machine of its own, ignored where images cannot be had.
fn own_trial(
    kind: &Kind,
    images: &Arc<Images>,
    suite: &'static str,
    name: &str,
    run: impl FnOnce(&Images) -> Outcome + Send + 'static,
) -> Trial {
    let images = images.clone();
    counted(
        kind,
        suite,
        format!("{suite}::{name}"),
        move || match images.folder() {
            Ok(_) => completed(run(&images)),
            Err(Absent::Missing(what)) => Ok(Completion::ignored_with(what)),
            Err(Absent::Failed(why)) => Err(why.to_string().into()),
        },
    )
}
