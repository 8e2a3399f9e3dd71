//! Builds the images of a kind of library, once.

use capuchin_qemu::{Error, Machine, Missing, Sdk, Spec, Stack, find_qemu};
use capuchin_tests::fail;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::process::{build_by, do_within, for_other_toolchain};
use capuchin_tests::runner::{Absent, Guest};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/images");

/// Where `targets/rtems/library` builds when it is called by hand.
const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/rtems");

/// On a machine that has much else to do.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// For the first answer of an image, likewise; it takes one to four seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What the fixture prints when its server has started.
const UP: &str = "ready";

/// Machines that are started for an image.
const BOOT_TRIES: u32 = 3;

/// All libraries are built by the same cargo; one after another they are done as soon.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The images of a kind of library.
#[derive(Debug)]
pub struct Images {
    /// As in `make STACK=`.
    pub name: &'static str,
    /// Whose they are.
    pub stack: Stack,
    folder: OnceLock<Result<PathBuf, Absent>>,
}

impl Images {
    /// Not built yet.
    pub fn new(name: &'static str, stack: Stack) -> Self {
        Self {
            name,
            stack,
            folder: OnceLock::new(),
        }
    }

    /// The folder that they are in.
    ///
    /// # Errors
    /// When something is missing, or they cannot be built.
    pub fn folder(&self) -> Result<&Path, Absent> {
        let built = self.folder.get_or_init(|| {
            let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            let built = build(self.name, self.stack);
            if let Err(Absent::Missing(what)) = &built {
                eprintln!("NOT RUN: rtems-{}: {what}", self.name);
            }
            built
        });
        built.as_ref().map(PathBuf::as_path).map_err(Clone::clone)
    }

    /// The fixture server in one of its settings, which has answered: so long after power-on.
    ///
    /// # Errors
    /// When there is no machine, or no answer.
    pub fn boot_fixture(&self, options: &str) -> Outcome<(Guest, Duration)> {
        let append = format!("{} --fixture={options}", Spec::DEFAULT_APPEND);
        self.boot("fixture.exe", &append, |machine| {
            machine.wait_until_it_answers(ANSWER_LIMIT)
        })
    }

    /// An image with this command line, and what `up` waited for. Two things go wrong with machines that
    /// nothing of ours has begun to work in, and these are started again, which is told:
    ///
    /// - Nothing is printed. The BSP measures a loop of a millisecond first (`Calibrate_loop_1ms`),
    ///   and where QEMU does not get the processor evenly, it may never come to an end of that.
    /// - With the NE2000, all is up and no packet ever passes. It was seen once in some sixty starts.
    ///
    /// # Errors
    /// When there is no machine, or `up` says so.
    pub fn boot<T>(
        &self,
        image: &str,
        append: &str,
        up: impl Fn(&mut Machine) -> Result<T, Error>,
    ) -> Outcome<(Guest, T)> {
        let Ok(folder) = self.folder() else {
            fail!("there are no images")
        };
        let mut spec = Spec::new(self.stack, folder.join(image));
        append.clone_into(&mut spec.append);
        let mut tries = 1;
        loop {
            let mut machine = Guest::boot(&spec).during("booting")?;
            let why = match up(&mut machine) {
                Ok(what) => return Ok((machine, what)),
                Err(why) => why,
            };
            let (printed, _) = machine.console().lines_from(0, Duration::ZERO);
            let is_up = printed.iter().any(|line| line.contains(UP));
            let is_mute = self.stack == Stack::Legacy && is_up;
            if !(printed.is_empty() || is_mute) || tries == BOOT_TRIES {
                return Err(why).during(image);
            }
            tries += 1;
            eprintln!("rtems-{}: {image} is started again: {why}", self.name);
        }
    }
}

/// What has to be installed besides a Rust toolchain.
///
/// # Errors
/// What is missing.
fn tools(stack: Stack) -> Result<Sdk, String> {
    let sdk = Sdk::find().map_err(words)?;
    sdk.bsp(stack).map_err(words)?;
    find_qemu().map_err(words)?;
    for program in ["make", "pkg-config"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path);
        if !folders.any(|folder| folder.join(program).is_file()) {
            return Err(format!(
                "{program} is missing: on Debian, apt-get install {program}"
            ));
        }
    }
    Ok(sdk)
}

fn words(missing: Missing) -> String {
    missing.to_string()
}

fn build(name: &str, stack: Stack) -> Result<PathBuf, Absent> {
    let sdk = tools(stack).map_err(Absent::Missing)?;
    let bsp = sdk
        .bsp(stack)
        .map_err(|missing| Absent::Missing(missing.to_string()))?;
    let target = Path::new(TARGET);
    let folder = Path::new(FOLDER).join(name);

    // Make would not tell a missing toolchain from another failure.
    build_by(&target.join("library"), &[name], CARGO_FOLDER, BUILD_LIMIT)?;

    let prefix = std::path::absolute(&sdk.prefix).during("RTEMS_PREFIX")?;
    let mut make = Command::new("make");
    make.arg("-C").arg(target.join("c"));
    make.args(["fixture", "conformance", "example"]);
    make.arg(format!("STACK={name}"));
    make.arg(format!("BSP={}", bsp.name));
    make.arg(format!("RTEMS_PREFIX={}", prefix.display()));
    make.arg(format!("OUT={}", folder.display()));
    let make = for_other_toolchain(make, CARGO_FOLDER);
    do_within(make, BUILD_LIMIT, "building the images")?;
    Ok(folder)
}
