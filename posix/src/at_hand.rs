//! What the system has in memory already, and can tell without waiting for a disk or a network.
//!
//! Opening and reading a file may take as long as its storage does, without bound for a network file system whose
//! server is gone. Linux can be asked for what its caches have (`RESOLVE_CACHED` of openat2(2), `RWF_NOWAIT` of
//! preadv2(2), `AT_STATX_DONT_SYNC` of statx(2)). Elsewhere, and in kernels that do not know these, nothing is at hand.

use crate::directory::{Lookup, Root};
use crate::file::{File, Kind, Links, O_READ, OpenError, check_kind};
use crate::sys;
use core::ffi::{CStr, c_int};

/// What reading a file may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Nothing: the file system lives in memory.
    Memory,
    /// Reads wait for a disk. What is known of an open file is in memory.
    Disk,
    /// Every call may wait for another computer or another process: opening, reading, even asking what is known of an
    /// open file. So may one on a file system that is not known here.
    Remote,
}

impl File {
    /// What reading this file may wait for. Asking may itself wait.
    #[must_use]
    pub fn storage(self) -> Storage {
        sys::storage(self.descriptor())
    }

    /// As [`File::read_at`] in one call, but does not wait: it reads less than there is room for where the rest is
    /// not in memory.
    ///
    /// # Errors
    /// [`OpenError::WouldWait`] when the first byte is not in memory, or this cannot be known.
    pub fn read_at_hand(self, buffer: &mut [u8], offset: u64) -> Result<usize, OpenError> {
        sys::read_at_hand(self.descriptor(), buffer, offset).map_err(OpenError::of_lookup)
    }
}

impl Root {
    /// As [`Root::find_beneath`], but nothing is waited for. A file is opened only on a device of which `may_open`
    /// says that opening does not wait.
    ///
    /// # Errors
    /// [`OpenError::WouldWait`] when the directories on the path are not in memory, or one call cannot find the file;
    /// else as [`Root::find_beneath`].
    pub fn find_at_hand(
        &self,
        path: &[u8],
        may_open: impl FnOnce(u64) -> bool,
    ) -> Result<Lookup, OpenError> {
        self.with_name(path, |directory, name, links| {
            let seen = look(directory, name, Some(links))?;
            let result = known(seen).and_then(|known| {
                check_kind(known.kind)?;
                if known.kind == Kind::Directory {
                    return Ok(Lookup::Directory);
                }
                if !may_open(known.device) {
                    return Err(OpenError::WouldWait);
                }
                match sys::reopen(seen.descriptor(), O_READ) {
                    Some(result) => result
                        .map(|opened| Lookup::File(File(opened)))
                        .map_err(OpenError::of_lookup),
                    None => Err(OpenError::WouldWait),
                }
            });
            seen.close();
            result
        })
    }
}

/// The device and the inode number of the file at `path`, without waiting for anything.
///
/// # Errors
/// As [`Root::find_at_hand`].
pub fn place_at_hand(path: &CStr) -> Result<(u64, u64), OpenError> {
    let seen = look(libc::AT_FDCWD, path, None)?;
    let known = known(seen);
    seen.close();
    known.map(|known| (known.device, known.inode))
}

/// Names the file, without opening it. `links` is `None` outside of a root.
fn look(directory: c_int, name: &CStr, links: Option<Links>) -> Result<File, OpenError> {
    let flags = sys::O_LOOK | libc::O_CLOEXEC;
    match sys::open_at_hand(directory, name, flags, links) {
        // A link that leaves the root, perhaps to come back: the way has to be walked.
        Err(sys::LEAVES_ROOT) if links == Some(Links::Beneath) => Err(OpenError::WouldWait),
        result => result.map(File).map_err(OpenError::of_lookup),
    }
}

/// What the system has in memory about a file.
pub(crate) struct Known {
    pub kind: Kind,
    pub device: u64,
    pub inode: u64,
}

fn known(file: File) -> Result<Known, OpenError> {
    sys::known(file.descriptor()).map_err(OpenError::of_lookup)
}

impl OpenError {
    /// In these calls EAGAIN says that there would have been something to wait for.
    fn of_lookup(errno: i32) -> Self {
        match errno {
            libc::EAGAIN | libc::ENOSYS => Self::WouldWait,
            other => Self::of(other),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;
    use std::{format, fs, vec};

    fn place(name: &str) -> PathBuf {
        let base =
            std::env::temp_dir().join(format!("capuchin-hand-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("sub")).unwrap();
        fs::write(base.join("sub/file"), "text").unwrap();
        symlink("sub/file", base.join("inside")).unwrap();
        symlink("/etc/passwd", base.join("outside")).unwrap();
        base
    }

    fn c_string(path: &std::path::Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    /// Whether this kernel knows `RESOLVE_CACHED` (5.12).
    fn is_known() -> bool {
        place_at_hand(c"/") != Err(OpenError::WouldWait)
    }

    #[test]
    fn what_was_looked_at_is_at_hand_as_the_links_allow() {
        if !is_known() {
            return;
        }
        let base = place("found");
        for (links, inside, outside) in [
            (Links::None, false, Err(OpenError::Forbidden)),
            // Whether it comes back is known only by walking.
            (Links::Beneath, true, Err(OpenError::WouldWait)),
            (Links::All, true, Ok(())),
        ] {
            let root = Root::open(&c_string(&base), links).unwrap();
            let find = |path: &[u8]| root.find_at_hand(path, |_| true);
            let Ok(Lookup::File(file)) = find(b"/sub/file") else {
                panic!("{links:?}");
            };
            let mut text = [0; 9];
            assert_eq!(file.read_at(&mut text, 0), Ok(4));
            file.close();
            assert_eq!(find(b"/sub/"), Ok(Lookup::Directory));
            // Once it is known that there is none.
            let _ = root.status_beneath(b"/sub/none");
            assert_eq!(find(b"/sub/none"), Err(OpenError::NotFound));
            assert_eq!(find(b"/../x"), Err(OpenError::Forbidden));
            assert_eq!(find(b"/inside").map(close).is_ok(), inside, "{links:?}");
            assert_eq!(find(b"/outside").map(close), outside, "{links:?}");
        }
        fs::remove_dir_all(base).unwrap();
    }

    fn close(found: Lookup) {
        if let Lookup::File(file) = found {
            file.close();
        }
    }

    #[test]
    fn file_is_opened_only_on_devices_that_do_not_wait() {
        if !is_known() {
            return;
        }
        let base = place("device");
        let device = fs::metadata(&base).unwrap().dev();
        let root = Root::open(&c_string(&base), Links::Beneath).unwrap();
        let mut asked = None;
        let found = root.find_at_hand(b"/sub/file", |device| {
            asked = Some(device);
            false
        });
        assert_eq!((found, asked), (Err(OpenError::WouldWait), Some(device)));
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn place_of_a_path_is_that_of_stat() {
        let base = place("place");
        let status = fs::metadata(&base).unwrap();
        match place_at_hand(&c_string(&base)) {
            Err(OpenError::WouldWait) if !is_known() => {}
            place => assert_eq!(place, Ok((status.dev(), status.ino()))),
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_read_at_hand_is_what_the_file_has() {
        let base = place("read");
        let content: vec::Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        fs::write(base.join("large"), &content).unwrap();
        let root = Root::open(&c_string(&base), Links::None).unwrap();
        let file = root.open_beneath(b"/large").unwrap();
        let mut buffer = vec![0; 200_000];
        for at in [0, 50_000, 99_999] {
            match file.read_at_hand(&mut buffer, at as u64) {
                Ok(count) => assert_eq!(buffer[..count], content[at..at + count]),
                // Not every file system knows.
                error => assert_eq!(error, Err(OpenError::WouldWait)),
            }
        }
        if file.storage() == Storage::Disk {
            // It was written just now.
            assert_eq!(file.read_at_hand(&mut buffer, 0), Ok(100_000));
        }
        file.close();
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn storage_of_known_file_systems_is_told() {
        let root = Root::open(c"/proc", Links::None).unwrap();
        let file = root.open_beneath(b"/version").unwrap();
        assert_eq!(file.storage(), Storage::Remote, "not among the known ones");
        file.close();
        if let Ok(memory) = Root::open(c"/dev/shm", Links::None) {
            assert_ne!(memory.storage(), Storage::Disk);
        }
    }
}
