//! The conformance suites of directives and event channels, run by an image: its console tells the outcome.

use crate::build::Images;
use capuchin_qemu::Spec;
use capuchin_tests::failure::Outcome;
use capuchin_tests::runner::{Absent, Kind, Tally};
use capuchin_tests::verdict::{self, SUITE};
use libtest_mimic::{Completion, Trial};
use std::sync::Arc;
use std::time::Duration;

/// It takes seconds; a case that hangs takes this.
const LIMIT: Duration = Duration::from_secs(120);

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
    Trial::ignorable_test(format!("{SUITE}::directives_and_event_channels"), run)
        .with_kind(&kind.name)
}

fn run(images: &Images, tally: &Tally, backend: &'static str) -> Outcome {
    let booted = images.boot("conformance.exe", Spec::DEFAULT_APPEND, |machine| {
        machine.wait_for_line(verdict::END, LIMIT)
    });
    let (machine, end) = match booted {
        Ok(both) => both,
        Err(error) => {
            tally.add(backend, SUITE, 0, 1);
            return Err(error);
        }
    };
    let (lines, _) = machine.console().lines_from(0, Duration::ZERO);
    verdict::count(tally, backend, &end, &lines)
}
