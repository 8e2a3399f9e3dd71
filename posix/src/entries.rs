//! The entries of a directory.

use crate::directory::{File, Kind, OpenError, Root};
use crate::errno::errno;
use core::ffi::CStr;
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
                let error = OpenError::System(errno());
                directory.close();
                Err(error)
            }
        }
    }

    /// The next name and, where the file system tells it for free, what it is.
    pub fn next_entry(&mut self) -> Option<(&[u8], Option<Kind>)> {
        loop {
            // SAFETY: the stream is open; the entry stays valid until it is read again or closed,
            // which the borrow of `self` excludes.
            let entry = unsafe { libc::readdir(self.0.as_ptr()).as_ref() }?;
            // SAFETY: the system ends the name with NUL.
            let name = unsafe { CStr::from_ptr(entry.d_name.as_ptr()) }.to_bytes();
            if name != b"." && name != b".." {
                return Some((name, kind_of(entry)));
            }
        }
    }
}

#[cfg(not(target_os = "rtems"))]
fn kind_of(entry: &libc::dirent) -> Option<Kind> {
    match entry.d_type {
        libc::DT_REG => Some(Kind::Regular),
        libc::DT_DIR => Some(Kind::Directory),
        libc::DT_LNK => Some(Kind::Link),
        libc::DT_UNKNOWN => None,
        _ => Some(Kind::Other),
    }
}

#[cfg(target_os = "rtems")]
fn kind_of(_: &libc::dirent) -> Option<Kind> {
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
    use std::os::unix::ffi::OsStrExt;
    use std::{format, fs};

    #[test]
    fn every_entry_is_told_once() {
        let base = std::env::temp_dir().join(format!("capuchin-entries-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("sub")).unwrap();
        for n in 0..500 {
            fs::write(base.join(format!("file{n}")), "").unwrap();
        }
        let root = Root::open(
            &CString::new(base.as_os_str().as_bytes()).unwrap(),
            Links::None,
        )
        .unwrap();
        let mut entries = Entries::of(root.open_beneath(b"/").unwrap()).unwrap();
        let mut seen = BTreeMap::new();
        while let Some((name, kind)) = entries.next_entry() {
            assert!(seen.insert(name.to_vec(), kind).is_none());
        }
        assert_eq!(seen.len(), 501);
        assert!(matches!(seen[&b"sub"[..]], Some(Kind::Directory) | None));
        fs::remove_dir_all(&base).unwrap();
    }
}
