//! The entries of a directory.

use crate::directory::Root;
use crate::errno::{errno, set_errno};
use crate::file::{File, FileStatus, Kind, OpenError};
use core::ffi::{CStr, c_char};
use core::ptr::NonNull;

/// Reads a directory entry by entry, in the system's order, without `.` and `..`.
///
/// It is no [`Iterator`] because a name is valid only until the next one is read (readdir(3)).
#[derive(Debug)]
pub struct Entries(NonNull<libc::DIR>);

impl Entries {
    /// Reads the entries of an open directory, which this closes at its end.
    ///
    /// # Errors
    /// [`OpenError`]; the file is closed then, too.
    pub fn of(directory: File) -> Result<Self, OpenError> {
        // SAFETY: the descriptor is open and handed over.
        let stream = unsafe { libc::fdopendir(Root::descriptor_of(directory)) };
        match NonNull::new(stream) {
            Some(stream) => Ok(Self(stream)),
            None => {
                let error = OpenError::of(errno());
                directory.close();
                Err(error)
            }
        }
    }

    /// The next name and, where the file system tells it for free, what it is; `None` after the last.
    ///
    /// # Errors
    /// [`OpenError`] when the rest cannot be read: what was told so far is not all there is.
    #[allow(
        clippy::type_complexity,
        reason = "a name for it would hide that it borrows"
    )]
    pub fn next_entry(&mut self) -> Result<Option<(&[u8], Option<Kind>)>, OpenError> {
        loop {
            // The end and an error are the same null pointer: only `errno` tells them apart.
            set_errno(0);
            // SAFETY: the stream is open.
            let entry = unsafe { libc::readdir(self.0.as_ptr()) };
            if entry.is_null() {
                return match errno() {
                    0 => Ok(None),
                    error => Err(OpenError::of(error)),
                };
            }
            // No reference to the whole entry: it is only as long as its name needs, which is less than
            // the type says.
            // SAFETY: the entry stays valid until the next one is read or the stream is closed, which
            // the borrow of `self` excludes; the system ends the name with NUL.
            let (name, kind) = unsafe {
                let name = CStr::from_ptr((&raw const (*entry).d_name).cast::<c_char>());
                (name.to_bytes(), kind_of(entry))
            };
            if name != b"." && name != b".." {
                return Ok(Some((name, kind)));
            }
        }
    }

    /// Goes back to the first entry (rewinddir(3)).
    pub fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0.as_ptr()) };
    }
}

impl File {
    /// What the system knows of the entry `name` of this open directory. A link is not followed:
    /// nothing outside the directory is looked at.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NotFound`] for what is no name of an entry: an empty one, `.`,
    /// `..`, or one with a slash or NUL.
    pub fn status_of(self, name: &[u8]) -> Result<FileStatus, OpenError> {
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return Err(OpenError::NotFound);
        }
        let mut memory = [0; NAME_CAPACITY];
        let place = memory.get_mut(..name.len() + 1).ok_or(OpenError::TooLong)?;
        place[..name.len()].copy_from_slice(name);
        let name = CStr::from_bytes_with_nul(place).map_err(|_| OpenError::NotFound)?;
        // SAFETY: zeros are a valid `stat`.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: the name ends with NUL, `status` is valid for writing.
        let result = unsafe {
            libc::fstatat(
                self.descriptor(),
                name.as_ptr(),
                &raw mut status,
                libc::AT_SYMLINK_NOFOLLOW,
            )
        };
        match result {
            0 => Ok(FileStatus::of(&status)),
            _ => Err(OpenError::of(errno())),
        }
    }
}

/// Bytes of the longest name, its NUL included (`NAME_MAX` is 255; room for systems with longer ones).
const NAME_CAPACITY: usize = 1_025;

/// # Safety
/// `entry` is what readdir(3) gave, and still valid.
#[cfg(not(target_os = "rtems"))]
unsafe fn kind_of(entry: *const libc::dirent) -> Option<Kind> {
    // SAFETY: the caller promises that the entry is valid; its type comes before its name.
    match unsafe { (*entry).d_type } {
        libc::DT_REG => Some(Kind::Regular),
        libc::DT_DIR => Some(Kind::Directory),
        libc::DT_LNK => Some(Kind::Link),
        libc::DT_UNKNOWN => None,
        _ => Some(Kind::Other),
    }
}

/// # Safety
/// None is needed: entries do not tell it here.
#[cfg(target_os = "rtems")]
unsafe fn kind_of(_: *const libc::dirent) -> Option<Kind> {
    None
}

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: the stream is open and used no more.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Links;
    use std::collections::BTreeMap;
    use std::ffi::CString;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;
    use std::{format, fs};

    /// A directory with 500 files and one directory in it; gone when dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            let base = std::env::temp_dir().join(format!("capuchin-entries-{id}-{name}"));
            let _ = fs::remove_dir_all(&base);
            fs::create_dir_all(base.join("sub")).unwrap();
            for n in 0..500 {
                fs::write(base.join(format!("file{n}")), "").unwrap();
            }
            Self(base)
        }

        fn open(&self) -> File {
            let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
            let root = Root::open(&path, Links::None).unwrap();
            root.open_beneath(b"/").unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_entry_is_told_once() {
        let place = Place::new("once");
        let mut entries = Entries::of(place.open()).unwrap();
        let mut seen = BTreeMap::new();
        while let Some((name, kind)) = entries.next_entry().unwrap() {
            assert!(seen.insert(name.to_vec(), kind).is_none());
        }
        assert_eq!(seen.len(), 501);
        assert!(matches!(seen[&b"sub"[..]], Some(Kind::Directory) | None));
    }

    #[test]
    fn entries_are_told_again_after_a_rewind() {
        let place = Place::new("rewind");
        let mut entries = Entries::of(place.open()).unwrap();
        let count = |entries: &mut Entries| {
            let mut count = 0;
            while entries.next_entry().unwrap().is_some() {
                count += 1;
            }
            count
        };
        assert_eq!(count(&mut entries), 501);
        assert_eq!(count(&mut entries), 0);
        entries.rewind();
        assert_eq!(count(&mut entries), 501);
    }

    #[test]
    fn status_of_an_entry_is_its_own_and_names_only_entries() {
        let place = Place::new("status-of");
        fs::write(place.0.join("sub/file"), "12345").unwrap();
        std::os::unix::fs::symlink("file0", place.0.join("link")).unwrap();
        let directory = place.open();
        let status = |name: &[u8]| directory.status_of(name).map(|status| status.kind);
        assert_eq!(status(b"file0"), Ok(Kind::Regular));
        assert_eq!(status(b"sub"), Ok(Kind::Directory));
        assert_eq!(status(b"link"), Ok(Kind::Link));
        for name in [
            &b""[..],
            b".",
            b"..",
            b"sub/file",
            b"/",
            b"file0\0",
            b"none",
        ] {
            assert_eq!(status(name), Err(OpenError::NotFound), "{name:?}");
        }
        assert_eq!(status(&[b'x'; NAME_CAPACITY - 1]), Err(OpenError::TooLong));
        assert_eq!(status(&[b'x'; NAME_CAPACITY]), Err(OpenError::TooLong));
        directory.close();
    }

    #[test]
    fn directory_that_cannot_be_read_to_its_end_is_not_taken_for_whole() {
        let place = Place::new("broken");
        let directory = place.open();
        let mut entries = Entries::of(directory).unwrap();
        let file = fs::File::open(place.0.join("file0")).unwrap();
        // What is read next is no directory any more.
        // SAFETY: both descriptors are open.
        assert!(unsafe { libc::dup2(file.as_raw_fd(), directory.descriptor()) } >= 0);
        let result = loop {
            match entries.next_entry() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert_eq!(result, Err(OpenError::NotFound)); // ENOTDIR
    }

    #[test]
    fn what_is_no_directory_is_told_like_a_path_that_is_none() {
        let place = Place::new("file");
        let root = CString::new(place.0.as_os_str().as_bytes()).unwrap();
        let root = Root::open(&root, Links::None).unwrap();
        let result = Entries::of(root.open_beneath(b"/file0").unwrap());
        assert_eq!(result.unwrap_err(), OpenError::NotFound);
    }
}
