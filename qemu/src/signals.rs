//! Ctrl-C and SIGTERM as a flag that is looked at.

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Set with the first signal.
pub(crate) static CAUGHT: AtomicBool = AtomicBool::new(false);

static NUMBER: AtomicU8 = AtomicU8::new(0);

/// Has SIGINT and SIGTERM set the flag from now on.
pub(crate) fn catch() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler = note as extern "C" fn(libc::c_int);
        // SAFETY: `note` only stores to atomics, which a signal handler may do.
        let before = unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        if before == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn note(signal: libc::c_int) {
    NUMBER.store(signal as u8, Ordering::SeqCst);
    CAUGHT.store(true, Ordering::SeqCst);
}

/// The number of the signal that came, if one did.
pub(crate) fn caught() -> Option<u8> {
    CAUGHT
        .load(Ordering::SeqCst)
        .then(|| NUMBER.load(Ordering::SeqCst))
}

/// Sends SIGTERM to a child that nobody has waited for yet.
pub(crate) fn ask_to_end(child: &mut Child) {
    // Once it was waited for, its number may be another process's.
    if matches!(child.try_wait(), Ok(None))
        && let Ok(pid) = libc::pid_t::try_from(child.id())
    {
        // SAFETY: takes numbers only; the child has not been waited for, so the number is its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}
