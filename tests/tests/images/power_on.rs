//! From power-on to the first answer. The time is told, not judged: other trials share the processors.

use crate::build::Images;
use crate::own_trial;
use capuchin_tests::failure::Outcome;
use capuchin_tests::runner::{Kind, berth};
use capuchin_tests::suites::Setting;
use libtest_mimic::Trial;
use std::sync::Arc;

pub fn trial(kind: &Kind, images: &Arc<Images>) -> Trial {
    own_trial(kind, images, "power_on", "first_answer_comes", run)
}

fn run(images: &Images) -> Outcome {
    let (_machine, after) = images.boot_fixture(&berth::options(Setting::Plain))?;
    println!(
        "rtems-{}: first answer {:.2} s after power-on",
        images.name,
        after.as_secs_f64()
    );
    Ok(())
}
