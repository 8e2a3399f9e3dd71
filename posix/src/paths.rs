//! Files below a root that cannot be left, where the system has no openat(2): RTEMS.
//!
//! The root is a path, and each name on the way is looked at before the file is opened. Between the
//! two somebody may put a link in its place; on a system whose every task is the application's own
//! that is the application's doing. This room's tests run on every system.

use crate::errno::{errno, retry};
use crate::file::{File, FileStatus, Kind, Links, O_READ, OpenError, check_kind, check_segments};
use crate::sys;
use core::ffi::{CStr, c_char, c_int};

/// Bytes of the longest path, the root's and its NUL included (`PATH_MAX` of RTEMS is 255).
pub(crate) const PATH_CAPACITY: usize = 256;

/// A path and its NUL.
type Path = heapless::Vec<u8, PATH_CAPACITY>;

/// A directory whose files can be opened, and nothing else.
#[derive(Debug)]
pub struct Root {
    base: Path,
    links: Links,
}

impl Root {
    /// The directory at `path`, links in it followed.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NotFound`] also for what is no directory.
    pub fn open(path: &CStr, links: Links) -> Result<Self, OpenError> {
        if status_of(path, true)?.kind != Kind::Directory {
            return Err(OpenError::NotFound);
        }
        let path = path.to_bytes();
        let base = Path::from_slice(path.strip_suffix(b"/").unwrap_or(path));
        Ok(Self {
            base: base.map_err(|_| OpenError::TooLong)?,
            links,
        })
    }

    /// Opens a regular file or a directory for reading. `path` begins with `/`, which stands for the
    /// root. Never waits.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Forbidden`] for a dot segment or a backslash, which RTEMS takes for
    /// a slash, and [`OpenError::NotFound`] for an empty segment but the last.
    pub fn open_beneath(&self, path: &[u8]) -> Result<File, OpenError> {
        let mut path = self.whole(path)?;
        check_kind(self.look(&mut path)?.kind)?;
        let name = name_in(&path)?;
        // SAFETY: the name ends with NUL.
        retry(|| unsafe { libc::open(name.as_ptr(), O_READ) } as isize)
            .map(|descriptor| File(descriptor as c_int))
            .map_err(OpenError::of)
    }

    /// What the system knows of the file at `path`.
    ///
    /// # Errors
    /// As [`Root::open_beneath`], but any kind of file will do.
    pub fn status_beneath(&self, path: &[u8]) -> Result<FileStatus, OpenError> {
        self.look(&mut self.whole(path)?)
    }

    /// The root's path and `path` behind it.
    #[cfg_attr(target_os = "rtems", inline(never))]
    fn whole(&self, path: &[u8]) -> Result<Path, OpenError> {
        let relative = path.strip_prefix(b"/").ok_or(OpenError::NotFound)?;
        check_segments(relative)?;
        if relative.contains(&0) {
            return Err(OpenError::NotFound); // a NUL would cut the path
        }
        if relative.contains(&b'\\') {
            return Err(OpenError::Forbidden);
        }
        let mut whole = self.base.clone();
        for part in [path, &[0]] {
            whole
                .extend_from_slice(part)
                .map_err(|_| OpenError::TooLong)?;
        }
        Ok(whole)
    }

    /// Looks at each name on the way, unless all links are followed, and at the last one.
    #[cfg_attr(target_os = "rtems", inline(never))]
    fn look(&self, path: &mut Path) -> Result<FileStatus, OpenError> {
        let follow = self.links == Links::All;
        let last = path.len() - 1;
        if !follow {
            for at in self.base.len() + 1..last {
                if path[at] != b'/' {
                    continue;
                }
                path[at] = 0;
                let status = name_in(path).and_then(|name| status_of(name, false));
                path[at] = b'/';
                match status?.kind {
                    Kind::Directory => {}
                    Kind::Link => return Err(OpenError::Forbidden),
                    Kind::Regular | Kind::Other => return Err(OpenError::NotFound),
                }
            }
        }
        let status = status_of(name_in(path)?, follow)?;
        match status.kind {
            Kind::Link => Err(OpenError::Forbidden),
            Kind::Regular | Kind::Other if path[last - 1] == b'/' => Err(OpenError::NotFound),
            _ => Ok(status),
        }
    }
}

fn name_in(path: &[u8]) -> Result<&CStr, OpenError> {
    CStr::from_bytes_until_nul(path).map_err(|_| OpenError::TooLong)
}

fn status_of(name: &CStr, follow: bool) -> Result<FileStatus, OpenError> {
    // SAFETY: zeros are a valid `stat`.
    let mut status: sys::Status = unsafe { core::mem::zeroed() };
    let call: unsafe extern "C" fn(*const c_char, *mut sys::Status) -> c_int =
        if follow { sys::stat } else { sys::lstat };
    // SAFETY: the name ends with NUL, `status` is valid for writing.
    if unsafe { call(name.as_ptr(), &raw mut status) } < 0 {
        return Err(OpenError::of(errno()));
    }
    Ok(FileStatus::of(&status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::{format, fs};

    #[test]
    fn nothing_leaves_the_root_and_links_are_followed_only_where_all_are() {
        let base = std::env::temp_dir().join(format!("capuchin-paths-{}", std::process::id()));
        fs::create_dir_all(base.join("root/dir")).unwrap();
        fs::write(base.join("secret"), "secret").unwrap();
        fs::write(base.join("root/file"), "file").unwrap();
        fs::write(base.join("root/dir/file"), "deep").unwrap();
        symlink("file", base.join("root/link")).unwrap();
        symlink("dir", base.join("root/link-dir")).unwrap();
        symlink("../secret", base.join("root/outside")).unwrap();
        let root = |links| {
            let path = CString::new(base.join("root/").as_os_str().as_bytes()).unwrap();
            Root::open(&path, links).unwrap()
        };
        let open = |links, path: &str| {
            let file = root(links).open_beneath(path.as_bytes())?;
            let mut buffer = [0; 10];
            let count = file.read_at(&mut buffer, 0)?;
            file.close();
            Ok(buffer[..count].to_vec())
        };
        for links in [Links::None, Links::Beneath] {
            for (path, expected) in [
                ("/file", Ok(&b"file"[..])),
                ("/dir/file", Ok(b"deep")),
                ("/missing", Err(OpenError::NotFound)),
                ("/file/", Err(OpenError::NotFound)),
                ("/file/x", Err(OpenError::NotFound)),
                ("//file", Err(OpenError::NotFound)),
                ("/../secret", Err(OpenError::Forbidden)),
                ("/dir/../../secret", Err(OpenError::Forbidden)),
                ("/..\\secret", Err(OpenError::Forbidden)),
                ("/link", Err(OpenError::Forbidden)),
                ("/link-dir/file", Err(OpenError::Forbidden)),
                ("/outside", Err(OpenError::Forbidden)),
                ("/file\0.html", Err(OpenError::NotFound)),
                ("file", Err(OpenError::NotFound)),
            ] {
                assert_eq!(open(links, path), expected.map(<[u8]>::to_vec), "{path}");
            }
        }
        assert_eq!(open(Links::All, "/outside").unwrap(), b"secret");
        assert_eq!(open(Links::All, "/link-dir/file").unwrap(), b"deep");
        let long = format!("/{}", "x".repeat(PATH_CAPACITY));
        assert_eq!(open(Links::None, &long), Err(OpenError::TooLong));
        let status = root(Links::None).status_beneath(b"/").unwrap();
        assert_eq!(status.kind, Kind::Directory);
        fs::remove_dir_all(base).unwrap();
    }
}
