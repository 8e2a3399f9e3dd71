//! The image for pc386 that needs no RTEMS (`targets/standalone`): built, booted, and asked.
//!
//! Where QEMU or a toolchain for it is missing, trials are reported as ignored, and a line says what is.

use crate::client::Client;
use crate::failure::{During, Failure, Outcome};
use crate::process::build_by;
use crate::reply::Asked;
use crate::runner::{Absent, Kind, Tally, completed, counted};
use crate::suites::get;
use crate::target::numbers;
use capuchin_qemu::{Machine, Spec, Stack, find_qemu};
use libtest_mimic::{Arguments, Completion, Trial};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/standalone/build");

/// The kind of server.
pub const NAME: &str = "standalone";
/// The table's column.
pub const BACKEND: &str = "pc386 standalone";

/// On a machine that has much else to do.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// For the first answer, and for the end of an image that fails.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Connections of the image (`CONNECTIONS` in `app.rs`).
pub const CONNECTIONS: usize = 32;

/// What `/hello` answers.
pub const HELLO: &[u8] = b"hello, world\n";

/// What `/` answers.
pub const PAGE: &[u8] = include_bytes!("../../targets/standalone/page.html");

/// For replies that wait for a retransmission.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A trial on an image.
pub type Run = fn(&Path) -> Outcome;

/// Whether something that a trial needs is there, but for what every image needs.
pub type Need = fn() -> Result<(), Absent>;

/// A suite, the name of a trial in it, and the trial.
pub type Named = (&'static str, &'static str, Run);

/// Runs trials, one after another, and counts them. Images are built in `folder`: the toolchain is
/// another than the one that the tests were built with.
#[must_use]
pub fn run(folder: &'static str, trials: &[Named]) -> ExitCode {
    run_with(folder, || Ok(()), trials)
}

/// The same, where all trials need something else besides.
#[must_use]
pub fn run_with(folder: &'static str, need: Need, trials: &[Named]) -> ExitCode {
    run_trials(|kind| {
        let trials = trials.iter();
        trials
            .map(|&named| trial(kind, folder, need, named))
            .collect()
    })
}

/// Runs trials of this kind, one after another, and counts them.
#[must_use]
pub fn run_trials(make: impl FnOnce(&Kind) -> Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A machine at a time: emulated processors that compete are slow in ways that no timeout foresees.
    arguments.test_threads = Some(1);
    let tally = Arc::new(Tally::default());
    let kind = Kind {
        name: NAME.into(),
        backend: BACKEND,
        skips: &[],
        tally: tally.clone(),
    };
    conclude(&arguments, make(&kind), &tally)
}

/// Runs trials and writes down what was counted.
#[must_use]
pub fn conclude(arguments: &Arguments, trials: Vec<Trial>, tally: &Tally) -> ExitCode {
    let code = libtest_mimic::run(arguments, trials).exit_code();
    if let Err(error) = tally.write() {
        eprintln!("the table's file: {error}");
        return ExitCode::from(2);
    }
    code
}

fn trial(kind: &Kind, folder: &'static str, need: Need, (suite, name, run): Named) -> Trial {
    counted(
        kind,
        suite,
        format!("{suite}::{name}"),
        move || match image(folder, need) {
            Ok(image) => completed(run(&image)),
            Err(Absent::Missing(what)) => Ok(Completion::ignored_with(what)),
            Err(Absent::Failed(why)) => Err(why.to_string().into()),
        },
    )
}

/// The image, built once.
fn image(folder: &str, need: Need) -> Result<PathBuf, Absent> {
    static IMAGE: OnceLock<Result<PathBuf, Absent>> = OnceLock::new();
    let built = IMAGE.get_or_init(|| {
        let built = need().and_then(|()| build(folder, &[]));
        if let Err(Absent::Missing(what)) = &built {
            eprintln!("NOT RUN: pc386 standalone: {what}");
        }
        built
    });
    built.clone()
}

/// Builds an image; the arguments are those of `targets/standalone/build`.
///
/// # Errors
/// When something is missing, or it cannot be built.
pub fn build(folder: &str, arguments: &[&str]) -> Result<PathBuf, Absent> {
    find_qemu().map_err(|missing| Absent::Missing(missing.to_string()))?;
    let said = build_by(Path::new(BUILD), arguments, folder, BUILD_LIMIT)?;
    match said.lines().last() {
        Some(path) => Ok(path.into()),
        None => Err(Failure::new(format!("{BUILD} says nothing")).into()),
    }
}

/// The image, which has answered: so long after power-on.
///
/// # Errors
/// When it does not.
pub fn boot(image: &Path) -> Outcome<(Machine, Duration)> {
    let mut machine = Machine::boot(&Spec::new(Stack::Own, image)).during("booting")?;
    let after = machine
        .wait_until_it_answers(ANSWER_LIMIT)
        .during("the first answer")?;
    Ok((machine, after))
}

/// A client that waits for retransmissions.
///
/// # Errors
/// When QEMU does not accept it.
pub fn connect(machine: &Machine) -> Outcome<Client> {
    let mut client = Client::connect(machine.address())?;
    client.set_patience(PATIENCE);
    Ok(client)
}

/// One request and its reply.
///
/// # Errors
/// When it is another, or there is none.
pub fn hello(client: &mut Client) -> Outcome {
    let reply = client.exchange(Asked::Get, get("/hello"))?;
    reply.expect_body(200, HELLO).map(drop)
}

/// The figures of `/state`.
///
/// # Errors
/// When there are none.
pub fn state(client: &mut Client) -> Outcome<HashMap<String, u64>> {
    let reply = client.exchange(Asked::Get, get("/state"))?;
    numbers(&reply.expect(200)?.text())
}
