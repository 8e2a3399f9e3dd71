//! The conformance suites of the directives and of event channels, to be run by a task of an image: the same
//! cases that run natively over the test doubles, here on RTEMS's own directives and a real network stack.
//!
//! Only with the feature `conformance`; never part of a server.

#[cfg(not(all(target_os = "rtems", feature = "own")))]
mod channels;

use crate::console::{self, say};
use crate::interrupts::{BURST, Timer, messages_come_from_interrupts};
use capuchin_rtems::{Memory, directives};
use core::ffi::c_int;
use core::fmt::Display;

/// For messages from interrupts.
static ROOM: Memory<1, { 2 * BURST as usize }> = Memory::new();

/// How many cases passed and failed; each is told on the console.
#[derive(Default)]
struct Verdict {
    passed: u32,
    failed: c_int,
}

impl Verdict {
    fn tell<F: Display>(&mut self, name: &str, outcome: Result<(), F>) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                say(format_args!("ok {name}"));
            }
            Err(failure) => {
                self.failed += 1;
                say(format_args!("FAILED {name}: {failure}"));
            }
        }
    }
}

/// The suite of the directives, on RTEMS's.
fn examine_directives(verdict: &mut Verdict) {
    match Timer::new() {
        Ok(mut timer) => {
            let mut interrupt = |routine, argument| timer.interrupt(routine, argument);
            let mut lab = directives::Lab {
                // With libbsd's configuration there is no limit but memory.
                bounded: cfg!(not(feature = "libbsd")),
                priorities: true,
                interrupt: Some(&mut interrupt),
            };
            directives::run(&mut lab, &mut |name, outcome| verdict.tell(name, outcome));
        }
        Err(fault) => verdict.tell("directives::timer", Err(fault)),
    }
}

/// Runs the suites and tells each case on the console; the number of cases that failed.
#[unsafe(no_mangle)]
pub extern "C" fn capuchin_examine() -> c_int {
    console::start();
    let mut verdict = Verdict::default();
    // First: RTEMS hands descriptors out in turn, and some cases need a socket of libbsd's for each number
    // up to theirs.
    #[cfg(not(all(target_os = "rtems", feature = "own")))]
    channels::examine(&mut verdict);
    examine_directives(&mut verdict);
    verdict.tell(
        "messages_from_interrupts_wake_and_come_in_order",
        messages_come_from_interrupts(ROOM.room()),
    );
    let Verdict { passed, failed } = verdict;
    say(format_args!(
        "conformance: {passed} passed, {failed} failed"
    ));
    failed
}
