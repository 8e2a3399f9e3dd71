//! Two workers and an acceptor: closes of one worker's sockets concern the other's, and connections are
//! handed over by messages. Some suites, one case after the other.

use crate::build::Images;
use crate::own_trial;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::runner::{Kind, berth};
use capuchin_tests::suites::{self, Setting};
use capuchin_tests::{ensure, fail};
use libtest_mimic::Trial;
use std::sync::Arc;

const SUITES: [&str; 4] = ["close", "concurrency", "pipelining", "storm"];

/// Of both together, which the server does not tell.
const CONNECTIONS: &str = ",connections=64";

pub fn trial(kind: &Kind, images: &Arc<Images>) -> Trial {
    own_trial(
        kind,
        images,
        "workers",
        "two_pass_the_suites_that_concern_them",
        run,
    )
}

fn run(images: &Images) -> Outcome {
    let options = format!("{},workers=2", berth::options(Setting::Plain));
    let (machine, _) = images.boot_fixture(&options)?;
    let target = berth::discover_with(&machine, CONNECTIONS)?;
    let workers = target.limit("workers")?;
    ensure!(workers == 2, "{workers} workers run");
    for name in SUITES {
        let mut suites = suites::ALL.iter();
        let Some(suite) = suites.find(|suite| suite.name == name) else {
            fail!("there is no suite {name}")
        };
        let mut count = 0;
        for case in suite
            .cases
            .iter()
            .filter(|case| target.features.contains(case.needs))
        {
            (case.run)(&target).during(format!("{name}::{}", case.name))?;
            count += 1;
        }
        ensure!(count > 0, "no case of {name} was run");
    }
    Ok(())
}
