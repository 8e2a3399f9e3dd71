//! Ctrl-C, SIGTERM and SIGHUP as a flag that is looked at, and handing them on.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Set with the first signal.
pub(crate) static CAUGHT: AtomicBool = AtomicBool::new(false);

static NUMBER: AtomicU8 = AtomicU8::new(0);

/// Has SIGINT, SIGTERM and SIGHUP set the flag from now on.
pub(crate) fn catch() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
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

/// Has the command run in a process group of its own, so that what it starts gets its signals, too. A
/// terminal that is this group's becomes the command's: what is typed is meant for that.
pub(crate) fn in_own_group(command: &mut Command) {
    command.process_group(0);
    // SAFETY: both take numbers only.
    let in_front = unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() };
    if in_front {
        let take_terminal = || {
            // SAFETY: all take numbers only and may be called between fork and exec. To take the
            // terminal from behind is worth a SIGTTOU, which is not meant here.
            unsafe {
                libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                libc::tcsetpgrp(libc::STDIN_FILENO, libc::getpgrp());
                libc::signal(libc::SIGTTOU, libc::SIG_DFL);
            }
            Ok(())
        };
        // SAFETY: the closure neither allocates nor takes locks.
        unsafe { command.pre_exec(take_terminal) };
    }
}

/// Takes the terminal back from a command that has ended, if it had it.
pub(crate) fn take_terminal_back(command: &Child) {
    let group = libc::pid_t::try_from(command.id()).unwrap_or_default();
    // SAFETY: all take numbers only.
    unsafe {
        if libc::tcgetpgrp(libc::STDIN_FILENO) == group {
            let before = libc::signal(libc::SIGTTOU, libc::SIG_IGN);
            libc::tcsetpgrp(libc::STDIN_FILENO, libc::getpgrp());
            libc::signal(libc::SIGTTOU, before);
        }
    }
}

/// Sends a signal to the group of a child that nobody has waited for yet.
pub(crate) fn send_to_group(child: &mut Child, signal: libc::c_int) {
    // Once it was waited for, its number may be another process's.
    if matches!(child.try_wait(), Ok(None))
        && let Ok(group) = libc::pid_t::try_from(child.id())
    {
        // SAFETY: takes numbers only; the child has not been waited for, so the number is its own.
        unsafe { libc::killpg(group, signal) };
    }
}
