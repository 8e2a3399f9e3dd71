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

/// What a directory can be used for, and with it all that is opened in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rights {
    /// Files can be read and looked at, directories listed.
    Read,
    /// Files can be made and written to.
    Append,
}

/// From now on `directory` is good for this only, and for good (cap_rights_limit(2)). Not for bindat(2),
/// connectat(2), fexecve(2), renameat(2) and unlinkat(2), which the sandbox leaves to a whole descriptor.
/// It can no more be left by names in it, either, sandbox or not.
///
/// # Errors
/// The system's error number.
#[cfg(target_os = "freebsd")]
pub(crate) fn limit(directory: c_int, rights: Rights) -> Result<(), i32> {
    /// To open by name; to look at the file; to learn and set whether calls wait for it.
    const ANY: u64 = libc::CAP_LOOKUP | libc::CAP_FSTAT | libc::CAP_FCNTL;
    let rights = match rights {
        // pread(2) and sendfile(2) take CAP_SEEK, and fdopendir(3) asks for the file system.
        Rights::Read => ANY | libc::CAP_READ | libc::CAP_SEEK | libc::CAP_FSTATFS,
        Rights::Append => ANY | libc::CAP_WRITE | libc::CAP_CREATE,
    };
    // SAFETY: zeros are valid rights. The function fills them in from the numbers, of which 0 is the last:
    // they are all of one word, so that one number has them all.
    let set = unsafe {
        let mut set: libc::cap_rights_t = core::mem::zeroed();
        libc::__cap_rights_init(libc::CAP_RIGHTS_VERSION, &raw mut set, rights, 0_u64);
        set
    };
    // SAFETY: the rights live through the call.
    match retry(|| unsafe { libc::cap_rights_limit(directory, &raw const set) } as isize) {
        // Whoever enters the sandbox is told by that.
        Ok(_) | Err(libc::ENOSYS) => Ok(()),
        Err(error) => Err(error),
    }
}

/// There are no such rights here.
///
/// # Errors
/// None.
#[cfg(not(target_os = "freebsd"))]
pub(crate) fn limit(_: c_int, _: Rights) -> Result<(), i32> {
    Ok(())
}

/// A directory in which files can be made and added to, whatever becomes of its path.
#[derive(Debug)]
pub struct Folder(Descriptor);

impl Folder {
    /// Opens the directory at `path`, which only needs to be one that can be looked into. Where the
    /// system has a sandbox, nothing else can be done in it by this.
    ///
    /// # Errors
    /// The system's error number.
    pub fn open(path: &CStr) -> Result<Self, i32> {
        let flags = sys::O_LOOK | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: `path` ends with NUL.
        let opened = retry(|| unsafe { libc::open(path.as_ptr(), flags) } as isize)?;
        // SAFETY: it is open, and known to nobody else.
        let folder = Self(unsafe { Descriptor::own(opened as c_int) });
        limit(folder.0.number(), Rights::Append)?;
        Ok(folder)
    }

    /// Opens `name` to add to it, and makes it with the mode `create` where it is missing and there is
    /// one. It never blocks: the reader of a pipe is not waited for. Where the system has a sandbox, a
    /// link that leads out of the folder is refused, as it would be in there.
    ///
    /// # Errors
    /// The system's error number.
    pub fn append(&self, name: &CStr, create: Option<u32>) -> Result<File, i32> {
        let (make, mode) = create.map_or((0, 0), |mode| (libc::O_CREAT, mode));
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let flags = flags | make | sys::O_BENEATH;
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
            let mut file = folder.append(c"log", Some(0o600)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(folder.append(c"none", None).unwrap_err(), libc::ENOENT);
        folder.append(c"log", None).unwrap();
        assert_eq!(
            fs::read_to_string(base.join("after/log")).unwrap(),
            "onetwo"
        );
        assert_eq!(Folder::open(&path).unwrap_err(), libc::ENOENT);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    #[cfg(target_os = "freebsd")]
    fn limited_directories_do_what_a_server_needs_and_nothing_else() {
        use crate::{Entries, Kind, Links, OpenError, Root};
        use std::os::unix::fs::symlink;
        let base = std::env::temp_dir().join(format!("capuchin-limit-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("in/dir")).unwrap();
        fs::write(base.join("in/dir/file"), "text").unwrap();
        fs::write(base.join("secret"), "").unwrap();
        symlink("dir/file", base.join("in/inside")).unwrap();
        symlink("../secret", base.join("in/outside")).unwrap();
        let path = CString::new(base.join("in").as_os_str().as_bytes()).unwrap();
        // SAFETY: the name ends with NUL.
        let unlink =
            |at: c_int| retry(|| unsafe { libc::unlinkat(at, c"inside".as_ptr(), 0) } as isize);
        let open = || {
            Root::open(&path, Links::Beneath)
                .unwrap()
                .limited()
                .unwrap()
        };
        for root in [open(), open().by_hand()] {
            let file = root.open_beneath(b"/dir/file").unwrap();
            assert_eq!(file.read_at(&mut [0; 9], 0), Ok(4));
            assert_eq!(file.status().unwrap().kind, Kind::Regular);
            file.close();
            assert_eq!(root.status_beneath(b"/dir/file").unwrap().length, 4);
            let mut entries = Entries::of(root.open_beneath(b"/dir/").unwrap()).unwrap();
            assert!(entries.next_entry().unwrap().is_some());
            assert!(entries.next_entry().unwrap().is_none());
            assert_eq!(root.open_beneath(b"/outside"), Err(OpenError::Forbidden));
            let whole = root.open_beneath(b"/").unwrap();
            assert_eq!(unlink(Root::descriptor_of(whole)), Err(libc::ENOTCAPABLE));
            whole.close();
        }
        let folder = Folder::open(&path).unwrap();
        assert_eq!(unlink(folder.0.number()), Err(libc::ENOTCAPABLE));
        for create in [None, Some(0o600)] {
            let refused = folder.append(c"outside", create).unwrap_err();
            assert_eq!(refused, libc::ENOTCAPABLE);
        }
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
