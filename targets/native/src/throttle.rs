//! Log lines of the native target that clients can cause, of all threads together.

use capuchin_core::throttle::{Throttle, Withheld};
use capuchin_core::transport::Clock;
use capuchin_posix::PosixClock;
use std::sync::Mutex;

/// Numbers of errors of the system are spread over these.
const KINDS: usize = 64;

/// The kind of lines about messages of the application; the others are errors of the system by their
/// numbers.
pub(crate) const MESSAGE: usize = KINDS - 1;

static LINES: Mutex<Throttle<KINDS>> = Mutex::new(Throttle::new());

/// Whether to log a line of this kind now; if so, what to end it with.
pub(crate) fn admit(kind: usize) -> Option<Withheld> {
    let now = PosixClock.monotonic();
    let mut lines = LINES.lock().unwrap_or_else(|broken| broken.into_inner());
    lines.admit(kind, now)
}
