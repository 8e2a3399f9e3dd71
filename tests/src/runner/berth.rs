//! Machines that run the fixture server, one for each setting: booted for the first case that wants it,
//! ended with the last.

use super::{Absent, Guest, Kind, Source, Turn, trials};
use crate::failure::{During, Outcome};
use crate::suites::{self, Setting};
use crate::target::Target;
use capuchin_qemu::Machine;
use libtest_mimic::{Arguments, Trial};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Boots the image of a fixture server with these options of its command line; the machine has answered.
pub type Boot = dyn Fn(&str) -> Result<Guest, Absent> + Send + Sync;

/// A place for a machine in each setting.
#[derive(Debug)]
pub struct Berths(HashMap<Setting, Arc<Berth>>);

impl Berths {
    /// Nothing is booted yet.
    pub fn new(boot: impl Fn(&str) -> Result<Guest, Absent> + Send + Sync + 'static) -> Self {
        let boot: Arc<Boot> = Arc::new(boot);
        let berth = |setting| (setting, Arc::new(Berth::new(boot.clone(), setting)));
        Self(Setting::ALL.into_iter().map(berth).collect())
    }

    /// One trial for each case of the suites. Those that the arguments leave out are not waited for.
    #[must_use]
    pub fn trials(&self, kind: &Kind, arguments: &Arguments) -> Vec<Trial> {
        let trials = trials(kind, &Setting::ALL, |setting| self.0[&setting].clone());
        for trial in &trials {
            if !arguments.is_filtered_out(trial)
                && let Some(setting) = setting_of(trial)
            {
                self.0[&setting].left.fetch_add(1, Ordering::SeqCst);
            }
        }
        trials
    }
}

/// The setting of a case, by its suite.
fn setting_of(trial: &Trial) -> Option<Setting> {
    let suite = trial.name().split("::").next();
    let mut all = suites::ALL.iter();
    all.find(|known| Some(known.name) == suite)
        .map(|known| known.setting)
}

/// A place for a machine.
struct Berth {
    boot: Arc<Boot>,
    setting: Setting,
    turn: Turn,
    /// Trials that have yet to end.
    left: AtomicUsize,
    state: Mutex<State>,
}

impl fmt::Debug for Berth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Berth").finish_non_exhaustive()
    }
}

enum State {
    Empty,
    Taken(Box<Taken>),
    Failed(Absent),
}

struct Taken {
    machine: Guest,
    target: Arc<Target>,
    /// Lines of the console that were told already.
    told: u64,
}

impl Berth {
    fn new(boot: Arc<Boot>, setting: Setting) -> Self {
        Self {
            boot,
            setting,
            turn: Turn::default(),
            left: AtomicUsize::new(0),
            state: Mutex::new(State::Empty),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn boot(&self) -> Result<Taken, Absent> {
        let name = format!("{:?}", self.setting);
        let machine = (self.boot)(&options(self.setting))?;
        let target = discover(&machine).during(&name)?;
        let (_, told) = machine.console().lines_from(0, Duration::ZERO);
        Ok(Taken {
            machine,
            target: Arc::new(target),
            told,
        })
    }
}

impl Source for Berth {
    fn target(&self) -> Result<Arc<Target>, Absent> {
        let mut state = self.state();
        if let State::Empty = *state {
            *state = match self.boot() {
                Ok(taken) => State::Taken(Box::new(taken)),
                Err(absent) => State::Failed(absent),
            };
        }
        match &*state {
            State::Taken(taken) => Ok(taken.target.clone()),
            State::Failed(absent) => Err(absent.clone()),
            State::Empty => unreachable!("it was filled"),
        }
    }

    fn turn(&self) -> &Turn {
        &self.turn
    }

    /// What the console said since it was asked last, and how QEMU ended if it has.
    fn words(&self) -> String {
        let mut words = String::new();
        if let State::Taken(taken) = &mut *self.state() {
            let (lines, next) = taken
                .machine
                .console()
                .lines_from(taken.told, Duration::ZERO);
            taken.told = next;
            for line in lines {
                // Writing to a string does not fail.
                let _ = write!(words, "\n  | {line}");
            }
            if let Some(status) = taken.machine.exit_status() {
                let _ = write!(words, "\n  QEMU ended: {status}");
            }
        }
        words
    }

    fn done(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The machine ends with this value.
            *self.state() = State::Empty;
        }
    }
}

/// Timeouts that have to be longer than it takes QEMU's network to say something again: where many
/// clients at once lose packets, that must not look like a client that stalls.
const LONGER: &[&str] = &["first_byte", "head", "body", "write"];
const LONG_MS: &str = "10000";

/// The short timeouts are longer by this factor: what two of them have to be told apart by is then
/// more than what a machine loses when it does not get the processor for a moment.
const HASTE: u32 = 2;

/// The settings as options of an image: `--fixture=` of its command line.
#[must_use]
pub fn options(setting: Setting) -> String {
    let words = setting.options().iter();
    let mut words: Vec<_> = words
        .map(|&(kind, pair)| match pair.split_once('=') {
            Some((name, _)) if setting == Setting::Alone && LONGER.contains(&name) => {
                format!("{kind}.{name}={LONG_MS}")
            }
            Some((name, value)) if setting == Setting::Hasty => {
                let value: u32 = value.parse().expect("a setting is a number");
                format!("{kind}.{name}={}", value * HASTE)
            }
            _ => format!("{kind}.{pair}"),
        })
        .collect();
    if setting == Setting::Alone {
        // Fewer than connections: some cases want them to be rare.
        words.push("buffers=24".to_owned());
    }
    words.join(",")
}

/// QEMU's user network says again what got lost after 6 seconds at first, and the NE2000 has room for
/// ten packets; its listener has room for one connection that waits. One emulated processor does about
/// a tenth of the work that this machine does.
const PACE: &str = "delay_ms=10000,load_percent=10,backlog=1";

/// Asks the server about itself.
///
/// # Errors
/// As [`Target::discover`].
pub fn discover(machine: &Machine) -> Outcome<Target> {
    discover_with(machine, "")
}

/// The same, where this is known of it besides.
///
/// # Errors
/// As [`Target::discover`].
pub fn discover_with(machine: &Machine, facts: &str) -> Outcome<Target> {
    Target::discover(machine.address(), None, &format!("{PACE}{facts}"))
}
