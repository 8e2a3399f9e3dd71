//! The conformance suite of the directives, on the executive: the same cases that run on RTEMS.
//!
//! Only with the feature `conformance`; never part of a server.

use crate::console::say;
use crate::executive::Guarded;
use capuchin_rtems::directives::{Lab, Routine, run};
use core::ffi::c_void;

/// What the next tick's interrupt calls.
static ERRAND: Guarded<Option<Errand>> = Guarded::new(None);

/// A function to be called once, and its argument.
struct Errand(Routine, *mut c_void);

// SAFETY: the argument is passed on and not used here. A case of the suite gives one that its function may use from
// an interrupt.
unsafe impl Send for Errand {}

/// The timer's interrupt.
pub fn interrupted() {
    if let Some(Errand(routine, argument)) = ERRAND.with(Option::take) {
        // SAFETY: the word of whoever passed it.
        unsafe { routine(argument) };
    }
}

/// Tells each case on the console, and at the end how many passed and failed.
pub fn examine() {
    let mut interrupt = |routine, argument| {
        ERRAND.with(|errand| *errand = Some(Errand(routine, argument)));
        true
    };
    let mut lab = Lab {
        bounded: true,
        priorities: true,
        interrupt: Some(&mut interrupt),
    };
    let (mut passed, mut failed) = (0, 0);
    run(&mut lab, &mut |name, outcome| match outcome {
        Ok(()) => {
            passed += 1;
            say(format_args!("ok {name}"));
        }
        Err(failure) => {
            failed += 1;
            say(format_args!("FAILED {name}: {failure}"));
        }
    });
    say(format_args!(
        "conformance: {passed} passed, {failed} failed"
    ));
}
