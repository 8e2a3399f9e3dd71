//! The conformance suite of the directives on the executive of `targets/standalone`, run by an image: its
//! console tells the outcome. RTEMS's own run it in the images of `images`.

use capuchin_qemu::{Machine, Spec, Stack};
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::runner::{Absent, Kind, Tally, completed};
use capuchin_tests::standalone::{build, run_trials};
use capuchin_tests::verdict::{self, SUITE};
use libtest_mimic::{Completion, Trial};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

/// It takes seconds; a case that hangs takes this.
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    run_trials(|kind| vec![trial(kind)])
}

/// One trial; each of the image's cases is counted.
fn trial(kind: &Kind) -> Trial {
    let (tally, backend) = (kind.tally.clone(), kind.backend);
    let run = move || match build(CARGO_FOLDER, &["--conformance"]) {
        Ok(image) => completed(examine(image, &tally, backend)),
        Err(Absent::Missing(what)) => {
            tally.count(backend, SUITE, || Ok(Completion::ignored_with(what)))
        }
        Err(Absent::Failed(why)) => tally.count(backend, SUITE, || Err(why.to_string().into())),
    };
    Trial::ignorable_test(format!("{SUITE}::directives"), run).with_kind(&kind.name)
}

fn examine(image: PathBuf, tally: &Tally, backend: &'static str) -> Outcome {
    let mut machine = Machine::boot(&Spec::new(Stack::Own, image)).during("booting")?;
    let end = machine.wait_for_line(verdict::END, LIMIT);
    let end = end.during("the verdict").inspect_err(|_| {
        tally.add(backend, SUITE, 0, 1);
    })?;
    let (lines, _) = machine.console().lines_from(0, Duration::ZERO);
    verdict::count(tally, backend, &end, &lines)
}
