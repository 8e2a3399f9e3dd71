//! A body of several segments is acknowledged before a client that waits for that loses time.

use crate::build::Images;
use crate::own_trial;
use capuchin_tests::ensure;
use capuchin_tests::failure::Outcome;
use capuchin_tests::reply::Asked;
use capuchin_tests::runner::{Kind, berth};
use capuchin_tests::suites::{Setting, upload_receipt, with_body};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the quickest of some uploads may take. Where acknowledgements are delayed by the legacy stack's
/// own timer each takes 200 ms, for the timer keeps step with them.
const LIMIT: Duration = Duration::from_millis(120);
const UPLOADS: usize = 12;

pub fn trial(kind: &Kind, images: &Arc<Images>) -> Trial {
    own_trial(
        kind,
        images,
        "acknowledgement",
        "of_a_body_is_not_waited_for",
        run,
    )
}

/// QEMU's network begins with one segment, and sends the next when that is acknowledged.
fn run(images: &Images) -> Outcome {
    let (machine, _) = images.boot_fixture(&berth::options(Setting::Plain))?;
    let target = berth::discover_with(&machine, "")?;
    let body = vec![b'x'; 3_000];
    let mut quickest = Duration::MAX;
    for _ in 0..UPLOADS {
        let mut client = target.connect()?;
        let begin = Instant::now();
        client
            .exchange(Asked::Get, with_body("PUT", "/upload", &body))?
            .expect_body(200, upload_receipt(&body).as_bytes())?;
        quickest = quickest.min(begin.elapsed());
    }
    ensure!(
        quickest < LIMIT,
        "the quickest of {UPLOADS} uploads took {quickest:?}"
    );
    Ok(())
}
