//! The conformance suite of event channels, run by an image: its console tells the outcome.

use crate::build::Images;
use capuchin_qemu::Spec;
use capuchin_tests::fail;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::runner::{Absent, Kind, Tally};
use libtest_mimic::{Completion, Trial};
use std::sync::Arc;
use std::time::Duration;

/// What `capuchin_examine()` ends with, and what stands before a case that failed.
const VERDICT: &str = "capuchin: conformance: ";
const FAILED: &str = "capuchin: FAILED ";

/// It takes seconds; a case that hangs takes this.
const LIMIT: Duration = Duration::from_secs(120);

const SUITE: &str = "conformance";

/// One trial; each of the image's cases is counted.
pub fn trial(kind: &Kind, images: &Arc<Images>) -> Trial {
    let (images, tally, backend) = (images.clone(), kind.tally.clone(), kind.backend);
    let run = move || match images.folder() {
        Ok(_) => match run(&images, &tally, backend) {
            Ok(()) => Ok(Completion::Completed),
            Err(why) => Err(why.to_string().into()),
        },
        Err(Absent::Missing(what)) => {
            tally.count(backend, SUITE, || Ok(Completion::ignored_with(what)))
        }
        Err(Absent::Failed(why)) => tally.count(backend, SUITE, || Err(why.to_string().into())),
    };
    Trial::ignorable_test(format!("{SUITE}::event_channels"), run).with_kind(&kind.name)
}

fn run(images: &Images, tally: &Tally, backend: &'static str) -> Outcome {
    let booted = images.boot("conformance.exe", Spec::DEFAULT_APPEND, |machine| {
        machine.wait_for_line(VERDICT, LIMIT)
    });
    let (machine, verdict) = match booted {
        Ok(both) => both,
        Err(error) => {
            tally.add(backend, SUITE, 0, 1);
            return Err(error);
        }
    };
    let (passed, failed) = counts(&verdict)?;
    tally.add(backend, SUITE, passed, failed);
    if failed > 0 || passed == 0 {
        let (lines, _) = machine.console().lines_from(0, Duration::ZERO);
        let told: Vec<_> = lines.iter().filter(|line| line.contains(FAILED)).collect();
        fail!("{verdict}\n{told:#?}");
    }
    Ok(())
}

/// `N passed, M failed` behind the verdict's beginning.
fn counts(verdict: &str) -> Outcome<(u64, u64)> {
    let numbers: Vec<u64> = verdict
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [passed, failed] => Ok((passed, failed)),
        _ => Err(format!("{verdict:?} has not two numbers")).during("the verdict"),
    }
}
