//! A machine that runs, one at a time: emulated processors that compete for the real ones are slow in
//! ways that no timeout foresees, and may not even boot.

use capuchin_qemu::{Error, Machine, Spec};
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};

/// Whether one runs.
static TAKEN: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

/// The machine; the next may start when it has ended.
#[derive(Debug)]
pub struct Guest {
    machine: Machine,
    /// After the machine.
    _permit: Permit,
}

impl Guest {
    /// Waits until no other machine runs, then boots this one.
    ///
    /// # Errors
    /// When it does not start.
    pub fn boot(spec: &Spec) -> Result<Self, Error> {
        let permit = Permit::take();
        Ok(Self {
            machine: Machine::boot(spec)?,
            _permit: permit,
        })
    }
}

impl Deref for Guest {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl DerefMut for Guest {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }
}

#[derive(Debug)]
struct Permit;

impl Permit {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            taken = FREE.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        FREE.notify_one();
    }
}
