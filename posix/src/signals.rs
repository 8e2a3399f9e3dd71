//! Signals that one thread waits for instead of having handlers run in any.

use core::ffi::c_int;
use core::ptr;

/// A few signals, held back from every thread of the process until one takes them.
#[derive(Clone, Copy)]
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Holds `signals` back from this thread, and so from all that it starts from now on: call it before
    /// there are any. What the process's parent had decided about them, such as nohup(1), is undone.
    #[must_use]
    pub fn hold(signals: &[c_int]) -> Self {
        // SAFETY: zeros are a valid value of the set, which lives through the calls; the default action runs
        // no handler. None of the calls fails for signals that there are.
        unsafe {
            let mut set: libc::sigset_t = core::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for &signal in signals {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
            // Held back by now: the default action does not meet what comes meanwhile.
            for &signal in signals {
                libc::signal(signal, libc::SIG_DFL);
            }
            Self(set)
        }
    }

    /// The next of them, once one comes (sigwait(3)).
    #[must_use]
    pub fn wait(&self) -> c_int {
        let mut signal = 0;
        // SAFETY: both live through the call. It only fails where the system cuts it short (EINTR).
        while unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } != 0 {}
        signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn signal_is_held_back_from_threads_that_start_later_until_it_is_waited_for() {
        let signals = Signals::hold(&[libc::SIGUSR1, libc::SIGUSR2]);
        thread::spawn(move || {
            // To this thread alone: the test runner's own have no such mask.
            // SAFETY: no memory is passed, and the thread is this one.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
            assert_eq!(signals.wait(), libc::SIGUSR2);
        })
        .join()
        .unwrap();
    }
}
