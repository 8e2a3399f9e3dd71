//! A terminal that hands on each key as it is typed, and echoes none: the image does that.

use std::mem::MaybeUninit;

/// As it was before, to be put back.
pub(crate) struct Terminal(libc::termios);

impl Terminal {
    /// `None` where standard input is no terminal. Ctrl-C stays a signal.
    pub(crate) fn by_keys() -> Option<Self> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: there is room for the settings.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: the call has written them.
        let before = unsafe { before.assume_init() };
        let mut keys = before;
        keys.c_lflag &= !(libc::ICANON | libc::ECHO);
        set(&keys);
        Some(Self(before))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        set(&self.0);
    }
}

fn set(settings: &libc::termios) {
    // SAFETY: the settings live through the call. It can only fail when the terminal is gone.
    unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, settings) };
}
