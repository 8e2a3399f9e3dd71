//! RTEMS images in QEMU: boots them, forwards ports of this machine to them, collects what they
//! print, and asks QEMU things in between.
//!
//! It promises that QEMU listens on 127.0.0.1 only, that every QEMU ends with the value that stands
//! for it (or with this process, where the system can do that), and that no wait is without limit.
//! It knows nothing of HTTP but the first bytes of a status line, and nothing of the image but how
//! it is started.
//!
//! ```no_run
//! use capuchin_qemu::{Machine, Spec, Stack};
//! use std::time::Duration;
//!
//! let mut machine = Machine::boot(&Spec::new(Stack::Legacy, "server.exe"))?;
//! let after = machine.wait_until_it_answers(Duration::from_secs(60))?;
//! println!("http://{}/ answered after {after:?}", machine.address());
//! machine.monitor("set_link net0 off")?;
//! machine.end();
//! # Ok::<(), capuchin_qemu::Error>(())
//! ```

mod answer;
mod console;
mod ear;
mod error;
mod machine;
mod monitor;
mod place;
mod process;
mod sdk;
mod spec;
mod wire;

pub use console::Console;
pub use error::{Error, Report};
pub use machine::Machine;
pub use sdk::{Bsp, Missing, Sdk, find_qemu};
pub use spec::{Forward, Spec, Stack};
pub use wire::{Sink, Source, Wire};

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What an image wrote to port 0xf4 (`isa-debug-exit`) to end QEMU, out of QEMU's exit status.
///
/// An image had better not write 0: QEMU's status is then 1, which is also how QEMU itself fails.
#[must_use]
pub fn written_status(status: ExitStatus) -> Option<u8> {
    // QEMU ends with twice the value and one.
    let code = status.code()?;
    (code & 1 == 1).then_some((code >> 1) as u8)
}

/// A status as words: `status 3`, or `signal 9`.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
