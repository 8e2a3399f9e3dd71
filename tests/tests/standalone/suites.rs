//! The black-box suites, aimed at the fixture server of `targets/standalone` as at an image of RTEMS.

use crate::{boot_with, build};
use capuchin_tests::failure::During;
use capuchin_tests::runner::berth::Berths;
use capuchin_tests::runner::{Absent, Guest, Kind, Skip};
use libtest_mimic::{Arguments, Trial};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Cases that are not for an image in QEMU.
pub const SKIPS: &[Skip] = &[(
    "uploads::huge_",
    "2 GiB take minutes through QEMU's network; they pass in the other runs",
)];

/// A trial for each case.
pub fn trials(kind: &Kind, arguments: &Arguments) -> Vec<Trial> {
    Berths::new(boot_fixture).trials(kind, arguments)
}

fn boot_fixture(options: &str) -> Result<Guest, Absent> {
    static IMAGE: OnceLock<Result<PathBuf, Absent>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| build(&["--fixture"])).clone()?;
    let (machine, _) = boot_with(image, &format!("--fixture={options}")).during(options)?;
    Ok(machine)
}
