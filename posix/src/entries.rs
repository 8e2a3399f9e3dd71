//! The entries of a directory.

use crate::directory::Root;
use crate::errno::{errno, set_errno};
use crate::file::{File, Kind, OpenError};
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
}

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
