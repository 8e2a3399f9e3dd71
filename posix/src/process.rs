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
            Self::Unknown => f.write_str(
                "there is no such user: name one that exists, or give two numbers, UID:GID",
            ),
            Self::NotPermitted => f.write_str(
                "only root can become another user: start as root, or leave the option out",
            ),
            Self::Reversible => f.write_str(
                "root's rights could be had back: run without root's capabilities and groups",
            ),
            Self::System(errno) => {
                write!(f, "the system refused to change the user (error {errno})")
            }
        }
    }
}

impl core::error::Error for UserError {}

/// Becomes `user` for good: group, supplementary groups, then user, as setuid(2) says. Call it
/// before there are other threads.
///
/// A user is a name, or the number of one that has a name: it gets the groups that the system has
/// for it. Any two numbers are taken as `UID:GID`, for systems that keep no list of users: that
/// group, and no others. A number alone that names nobody is refused, for no group belongs to it.
///
/// # Errors
/// [`UserError`]; the process should end then, for it may be half changed.
#[cfg(not(target_os = "rtems"))]
pub fn become_user(user: &CStr) -> Result<(), UserError> {
    let mut memory = [0; NAME_CAPACITY];
    let Identity { uid, gid, name } = look_up(user, &mut memory)?;
    // SAFETY: `name` ends with NUL, `gid` lives through the call; the others take numbers.
    unsafe {
        if uid == 0 || !is_wholly(uid)? {
            check(libc::setgid(gid))?;
            check(match name {
                Some(name) => libc::initgroups(name.as_ptr(), gid as _),
                None => libc::setgroups(1, &raw const gid),
            })?;
            check(libc::setuid(uid))?;
        }
        // A process that was this user all along may have kept the way back, too.
        let user_returns = uid != 0 && libc::setuid(0) == 0;
        let group_returns = uid != 0 && gid != 0 && libc::setgid(0) == 0;
        if user_returns || group_returns {
            return Err(UserError::Reversible);
        }
    }
    Ok(())
}

/// Bytes of the longest name of a user, its NUL included (`LOGIN_NAME_MAX` of Linux).
#[cfg(not(target_os = "rtems"))]
const NAME_CAPACITY: usize = 256;

/// Who to become.
#[cfg(not(target_os = "rtems"))]
struct Identity<'a> {
    uid: libc::uid_t,
    gid: libc::gid_t,
    /// Whose supplementary groups go with it; without one only `gid` does.
    name: Option<&'a CStr>,
}

/// `memory` is for a name that the system tells: its own memory is good only until the next call.
#[cfg(not(target_os = "rtems"))]
fn look_up<'a>(
    user: &'a CStr,
    memory: &'a mut [u8; NAME_CAPACITY],
) -> Result<Identity<'a>, UserError> {
    // SAFETY: `user` ends with NUL; the result is read before any other call could overwrite it.
    if let Some(entry) = unsafe { libc::getpwnam(user.as_ptr()).as_ref() } {
        return Ok(Identity {
            uid: entry.pw_uid,
            gid: entry.pw_gid,
            name: Some(user),
        });
    }
    let text = user.to_str().map_err(|_| UserError::Unknown)?;
    let number = |text: &str| text.parse().map_err(|_| UserError::Unknown);
    if let Some((uid, gid)) = text.split_once(':') {
        return Ok(Identity {
            uid: number(uid)?,
            gid: number(gid)?,
            name: None,
        });
    }
    // SAFETY: takes a number; the result is read before any other call could overwrite it.
    let entry = unsafe { libc::getpwuid(number(text)?).as_ref() }.ok_or(UserError::Unknown)?;
    // SAFETY: the system ends the name with NUL.
    let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_bytes_with_nul();
    let place = memory
        .get_mut(..name.len())
        .ok_or(UserError::System(libc::ENAMETOOLONG))?;
    place.copy_from_slice(name);
    Ok(Identity {
        uid: entry.pw_uid,
        gid: entry.pw_gid,
        name: CStr::from_bytes_until_nul(place).ok(),
    })
}

/// Whether the real, the effective and the saved user are this one.
#[cfg(not(target_os = "rtems"))]
fn is_wholly(uid: libc::uid_t) -> Result<bool, UserError> {
    let [mut real, mut effective, mut saved] = [0; 3];
    // SAFETY: the three are valid for writing.
    check(unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) })?;
    Ok([real, effective, saved] == [uid; 3])
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

/// From now on a write that fails is an error, not a signal that ends the process: to a peer that is gone
/// (SIGPIPE), and beyond the largest file that the process may make (SIGXFSZ, setrlimit(2)). A program that has a handler for the latter keeps it.
pub fn ignore_write_signals() {
    // SAFETY: ignoring a signal runs no handler; one that is put back was there before.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let before = libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        if ![libc::SIG_DFL, libc::SIG_IGN, libc::SIG_ERR].contains(&before) {
            libc::signal(libc::SIGXFSZ, before);
        }
    }
}

/// Raises the limit of open descriptors to `wanted`, or as far as it goes; tells how many there
/// may be now (getrlimit(2)), which is taken to be `wanted` where the system does not tell.
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
            // FreeBSD cuts it to `kern.maxfilesperproc` and says nothing: what it is now, it tells.
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0
                || libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) < 0
            {
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
        assert!(error.to_string().contains("name one that exists"));
        // What is no number is none in parts, either; and a number that names nobody has no group.
        for user in [
            c"12x",
            c"12:",
            c":12",
            c"12:x",
            c"1:2:3",
            c"",
            c"4242424242",
        ] {
            assert_eq!(become_user(user), Err(UserError::Unknown), "{user:?}");
        }
    }

    #[test]
    fn descriptor_limit_never_falls() {
        let now = raise_descriptor_limit(1);
        assert!(now >= 1);
        assert!(raise_descriptor_limit(now) >= now);
        let raised = raise_descriptor_limit(now + 1);
        assert!(raised >= now);
        assert_eq!(raise_descriptor_limit(1), raised, "what is told is so");
    }
}
