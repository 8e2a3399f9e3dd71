//! Runs the suites: against the server that `CAPUCHIN_TEST_ADDR` names, or against the fixture
//! server, started in each configuration. `tests/FIXTURE.md` tells what a server has to have.
//!
//! ```text
//! cargo test -p capuchin-tests --test blackbox -- framing            one theme
//! cargo test -p capuchin-tests --test blackbox -- --skip huge_       without the long ones
//! ```

use capuchin_tests::fail;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::runner::{self, Kind, Plan, Standing, Tally};
use capuchin_tests::suites::Setting;
use capuchin_tests::{site_fixture, target};
use libtest_mimic::Arguments;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    runner::conclude(run(), "the black-box suites")
}

fn run() -> Outcome<ExitCode> {
    if let Some(folder) = std::env::var_os("CAPUCHIN_TEST_MAKE_SITE") {
        let base = Path::new(&folder);
        site_fixture::write(base)?;
        println!("serve {}", base.join("root").display());
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::from_args();
    if let Some(target) = target::external()? {
        return external(arguments, target);
    }
    let other = std::env::var_os("CAPUCHIN_TEST_FIXTURE").map(Into::into);
    let Some(program) = other.or(option_env!("CARGO_BIN_EXE_fixture").map(Into::into)) else {
        fail!("this package has no program `fixture`, and CAPUCHIN_TEST_ADDR is not set")
    };
    let plan = Plan {
        program,
        prefix: "",
        backend: "epoll",
        configurations: &[
            runner::ONE_WORKER,
            runner::TWO_WORKERS,
            runner::ONE_ACCEPTOR,
        ],
        skips: &[],
    };
    runner::run(arguments, &plan)
}

/// One server for all settings: whoever wants it for himself waits for no one here, so cases run
/// one after another.
fn external(mut arguments: Arguments, target: target::Target) -> Outcome<ExitCode> {
    arguments.test_threads = Some(1);
    let server = Arc::new(Standing::new(target));
    let kind = Kind {
        name: "external".to_owned(),
        backend: "external",
        skips: &[],
        tally: Arc::new(Tally::default()),
    };
    let trials = runner::trials(&kind, &Setting::ALL, |_| server.clone());
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    kind.tally.write().during("the table's file")?;
    Ok(code)
}
