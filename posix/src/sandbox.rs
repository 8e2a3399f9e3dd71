//! Giving up every right but to what is open already (capsicum(4) of FreeBSD), and what is left of
//! opening files then: by a name in a directory that was opened before.

use crate::Descriptor;
use crate::errno::retry;
use crate::sys;
use core::ffi::{CStr, c_int};
use core::time::Duration;
use std::fs::File;
use std::os::fd::FromRawFd;

/// Whether the system has a sandbox of this kind. Its kernel may still have been built without.
pub const HAS_SANDBOX: bool = cfg!(target_os = "freebsd");

/// Takes from this process, with all its threads and for good, what it could reach by a path, an
/// address or another process's number (cap_enter(2)). What is open goes on working, and so does
/// opening relative to an open directory, without leaving that.
///
/// # Errors
/// The system's error number; `ENOSYS` where there is no such thing.
#[cfg(target_os = "freebsd")]
pub fn enter_sandbox() -> Result<(), i32> {
    // SAFETY: no memory is passed.
    retry(|| unsafe { libc::cap_enter() } as isize).map(drop)
}

/// There is none here.
///
/// # Errors
/// Always `ENOSYS`.
#[cfg(not(target_os = "freebsd"))]
pub fn enter_sandbox() -> Result<(), i32> {
    Err(libc::ENOSYS)
}

/// Waits so long; in the sandbox, too. There [`std::thread::sleep`] panics: it insists on
/// clock_nanosleep(2), which FreeBSD's `syscalls.master` does not mark as allowed, as it does nanosleep(2).
#[cfg(target_os = "freebsd")]
pub fn pause(span: Duration) {
    let mut rest = libc::timespec {
        tv_sec: libc::time_t::try_from(span.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: span.subsec_nanos().into(),
    };
    // What a signal leaves of it is waited for, too.
    // SAFETY: `rest` is valid for reading and writing, and may be the same for both.
    let _ = retry(|| unsafe { libc::nanosleep(&raw const rest, &raw mut rest) } as isize);
}

/// Waits so long; as [`std::thread::sleep`], which panics in FreeBSD's sandbox.
#[cfg(not(target_os = "freebsd"))]
pub fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// A directory in which files can be made and added to, whatever becomes of its path.
#[derive(Debug)]
pub struct Folder(Descriptor);

impl Folder {
    /// Opens the directory at `path`, which only needs to be one that can be looked into.
    ///
    /// # Errors
    /// The system's error number.
    pub fn open(path: &CStr) -> Result<Self, i32> {
        let flags = sys::O_LOOK | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: `path` ends with NUL.
        let opened = retry(|| unsafe { libc::open(path.as_ptr(), flags) } as isize)?;
        // SAFETY: it is open, and known to nobody else.
        Ok(Self(unsafe { Descriptor::own(opened as c_int) }))
    }

    /// Opens `name` to add to it, and makes it with this `mode` where it is missing. It never blocks:
    /// the reader of a pipe is not waited for.
    ///
    /// # Errors
    /// The system's error number.
    pub fn append(&self, name: &CStr, mode: u32) -> Result<File, i32> {
        let flags =
            libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: `name` ends with NUL, and the mode, which goes with O_CREAT, is passed as C does.
        let call = || unsafe { libc::openat(self.0.number(), name.as_ptr(), flags, mode) as isize };
        // SAFETY: it is open, and known to nobody else.
        retry(call).map(|opened| unsafe { File::from_raw_fd(opened as c_int) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::time::Instant;
    use std::{format, fs};

    #[test]
    fn file_is_made_and_added_to_where_its_directory_went() {
        let base = std::env::temp_dir().join(format!("capuchin-folder-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("before")).unwrap();
        let path = CString::new(base.join("before").as_os_str().as_bytes()).unwrap();
        let folder = Folder::open(&path).unwrap();
        fs::rename(base.join("before"), base.join("after")).unwrap();
        for text in ["one", "two"] {
            let mut file = folder.append(c"log", 0o600).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(
            fs::read_to_string(base.join("after/log")).unwrap(),
            "onetwo"
        );
        assert_eq!(Folder::open(&path).unwrap_err(), libc::ENOENT);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn pause_lasts_and_leaves_an_unpark_for_whom_it_was_meant() {
        let span = Duration::from_millis(20);
        std::thread::current().unpark();
        let begin = Instant::now();
        pause(span);
        assert!(begin.elapsed() >= span);
        let begin = Instant::now();
        std::thread::park_timeout(Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(30), "it was taken");
    }

    #[test]
    #[cfg(not(target_os = "freebsd"))] // there it would be for good
    fn system_without_a_sandbox_says_so() {
        assert_eq!((HAS_SANDBOX, enter_sandbox()), (false, Err(libc::ENOSYS)));
    }
}
