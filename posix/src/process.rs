//! What a server does to its own process before it serves.

use crate::errno::errno;
use core::ffi::{CStr, c_int};
use core::fmt;

/// Why the process could not become another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserError {
    /// The system knows no such user.
    Unknown,
    /// Only root may do this, and the process is not root.
    NotPermitted,
    /// Root's rights could be had back afterwards: nothing was gained.
    Reversible,
    /// The system refused with this `errno`.
    System(i32),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such user: create it, or name another"),
            Self::NotPermitted => f.write_str(
                "only root can become another user: start as root, or leave the option out",
            ),
            Self::Reversible => {
                f.write_str("root's rights could be had back: run without root's capabilities")
            }
            Self::System(errno) => {
                write!(f, "the system refused to change the user (error {errno})")
            }
        }
    }
}

impl core::error::Error for UserError {}

/// Becomes `user` for good: group, supplementary groups, then user, as setuid(2) says. Call it
/// before there are other threads. A number that names no user is a user all the same: with the group
/// of the same number, and no others.
///
/// # Errors
/// [`UserError`]; the process should end then, for it may be half changed.
#[cfg(not(target_os = "rtems"))]
pub fn become_user(user: &CStr) -> Result<(), UserError> {
    // SAFETY: `user` ends with NUL; the result is read before any other call could overwrite it.
    let named =
        unsafe { libc::getpwnam(user.as_ptr()).as_ref() }.map(|entry| (entry.pw_uid, entry.pw_gid));
    let (uid, gid) = match named {
        Some(both) => both,
        None => {
            let text = user.to_str().map_err(|_| UserError::Unknown)?;
            let number = text.parse().map_err(|_| UserError::Unknown)?;
            (number, number)
        }
    };
    // SAFETY: `user` ends with NUL; the others take numbers.
    unsafe {
        if libc::getuid() == uid && libc::geteuid() == uid && uid != 0 {
            return Ok(());
        }
        check(libc::setgid(gid))?;
        check(if named.is_some() {
            libc::initgroups(user.as_ptr(), gid as _)
        } else {
            libc::setgroups(1, &raw const gid)
        })?;
        check(libc::setuid(uid))?;
        if uid != 0 && libc::setuid(0) == 0 {
            return Err(UserError::Reversible);
        }
    }
    Ok(())
}

/// Becomes another user: there are none here.
///
/// # Errors
/// Always [`UserError::Unknown`].
#[cfg(target_os = "rtems")]
pub fn become_user(_: &CStr) -> Result<(), UserError> {
    Err(UserError::Unknown)
}

fn check(result: c_int) -> Result<(), UserError> {
    match if result < 0 { errno() } else { 0 } {
        0 => Ok(()),
        libc::EPERM => Err(UserError::NotPermitted),
        error => Err(UserError::System(error)),
    }
}

/// Writing to a peer that is gone is an error from now on, not a signal that ends the process.
pub fn ignore_broken_pipes() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Raises the limit of open descriptors to `wanted`, or as far as it goes; tells how many there
/// may be now (setrlimit(2)).
#[allow(clippy::unnecessary_cast, reason = "other systems have other widths")]
#[cfg(not(target_os = "rtems"))]
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for writing and reading.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) < 0 {
            return wanted;
        }
        if (limit.rlim_cur as u64) < wanted {
            let before = limit.rlim_cur;
            limit.rlim_cur = limit.rlim_max.min(wanted as _);
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0 {
                limit.rlim_cur = before;
            }
        }
    }
    limit.rlim_cur as u64
}

/// The limit of open descriptors is part of the system's configuration here.
#[cfg(target_os = "rtems")]
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn unknown_user_is_told_as_such() {
        let error = become_user(c"no-such-user-as-this").unwrap_err();
        assert_eq!(error, UserError::Unknown);
        // A number and something else is no number.
        assert_eq!(become_user(c"12x").unwrap_err(), UserError::Unknown);
        assert!(error.to_string().contains("name another"));
    }

    #[test]
    fn descriptor_limit_never_falls() {
        let now = raise_descriptor_limit(1);
        assert!(now >= 1);
        assert!(raise_descriptor_limit(now) >= now);
    }
}
