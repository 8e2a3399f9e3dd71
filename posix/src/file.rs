//! Files and what is known of them: the same whatever way leads to one.

use crate::errno::{errno, retry};
use crate::sys;
use core::ffi::c_int;
use core::fmt;
use core::mem::MaybeUninit;

/// What becomes of symbolic links on the way to a file and in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// None is followed.
    None,
    /// Followed where they lead to a place below the root, relative ones and absolute ones. RTEMS, which
    /// cannot promise that, follows none.
    Beneath,
    /// Followed wherever they lead: whoever may make links below the root decides what is served.
    All,
}

/// Why a file was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file.
    NotFound,
    /// It may not be read, lies beyond a link that is not followed, or is neither a regular file nor
    /// a directory.
    Forbidden,
    /// The path, or a name in it, is longer than the system takes.
    TooLong,
    /// No descriptor or memory is left, or the file is being changed at this moment: another try may
    /// go well.
    Exhausted,
    /// The system refused with this `errno`.
    System(i32),
}

impl OpenError {
    pub(crate) fn of(errno: i32) -> Self {
        match errno {
            libc::ENOENT | libc::ENOTDIR => Self::NotFound,
            // EXDEV: openat2 met a way out of the root. ELOOP: a link where none is followed, which
            // is EMLINK on FreeBSD.
            libc::EACCES | libc::EPERM | libc::ELOOP | libc::EMLINK | libc::EXDEV => {
                Self::Forbidden
            }
            // FreeBSD: a way out of the root, or of what a sandboxed process may reach.
            #[cfg(target_os = "freebsd")]
            libc::ENOTCAPABLE | libc::ECAPMODE => Self::Forbidden,
            // A socket, or a pipe that nobody reads.
            libc::ENXIO | libc::EOPNOTSUPP => Self::Forbidden,
            libc::ENAMETOOLONG => Self::TooLong,
            // EAGAIN: somebody holds a lease on the file, or things were renamed too fast for openat2.
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN => Self::Exhausted,
            other => Self::System(other),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file or directory"),
            Self::Forbidden => {
                f.write_str("it may not be read: check its permissions, and whether it is a link or a device")
            }
            Self::TooLong => f.write_str("its name is too long"),
            Self::Exhausted => f.write_str(
                "no file descriptor is left, or it is being changed: raise the limit (ulimit -n) or try again",
            ),
            Self::System(errno) => write!(f, "the system refused to open it (error {errno})"),
        }
    }
}

impl core::error::Error for OpenError {}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link; only seen where links are not followed.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// What the system knows of a file (stat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub length: u64,
    /// The last modification, in seconds since 1970; before that 0.
    pub modified: u64,
    /// The part of a second that belongs to it, in nanoseconds.
    pub modified_nanoseconds: u32,
    /// The last change of content, name, owner or permissions, in seconds since 1970; before that 0.
    /// Nobody can set it back, as the time of modification can be (utimensat(2)).
    pub changed: u64,
    /// The part of a second that belongs to it, in nanoseconds.
    pub changed_nanoseconds: u32,
    /// The inode's number, unique on its device.
    pub inode: u64,
    /// The device.
    pub device: u64,
}

/// An open file. Plain data, like the descriptor that it is: whoever opened it closes it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(pub(crate) c_int);

impl File {
    pub(crate) fn descriptor(self) -> c_int {
        self.0
    }

    /// What the system knows of the file now.
    ///
    /// # Errors
    /// What the system answers, for a descriptor that is not open.
    pub fn status(self) -> Result<FileStatus, OpenError> {
        let mut status = MaybeUninit::<sys::Status>::zeroed();
        // SAFETY: `status` is valid for writing.
        if unsafe { sys::fstat(self.0, status.as_mut_ptr()) } < 0 {
            return Err(OpenError::of(errno()));
        }
        // SAFETY: zeros are a valid value, and the call has filled it in.
        Ok(FileStatus::of(unsafe { status.assume_init_ref() }))
    }

    /// Reads from `offset` on; less than there was room for only at the end of the file.
    ///
    /// # Errors
    /// What the system answers.
    pub fn read_at(self, buffer: &mut [u8], offset: u64) -> Result<usize, OpenError> {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            let at = offset + done as u64;
            // SAFETY: `rest` is valid for writing as many bytes as are passed.
            let call = || unsafe {
                libc::pread(
                    self.0,
                    rest.as_mut_ptr().cast(),
                    rest.len(),
                    at as libc::off_t,
                )
            };
            match retry(call).map_err(OpenError::of)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Gives the descriptor back.
    pub fn close(self) {
        // SAFETY: the caller owns the descriptor and uses it no more.
        unsafe { libc::close(self.0) };
    }
}

impl FileStatus {
    /// Whether `self`, looked at later, is the file that it was `before`, its content unchanged
    /// unless somebody set the time back. Other names and permissions are no difference: an open
    /// file loses its name when it is replaced by renaming.
    #[must_use]
    pub fn goes_on_from(self, before: Self) -> bool {
        let named_anew = Self {
            changed: before.changed,
            changed_nanoseconds: before.changed_nanoseconds,
            ..self
        };
        named_anew == before
    }

    /// Whether a change from `now` on, in seconds since 1970, will show. Where the file system keeps times
    /// of whole seconds (or, as FAT, of two), what is written twice within one has the same time twice:
    /// until that is over, nothing that is known of the file tells one content from the next.
    #[must_use]
    pub fn is_settled(&self, now: u64) -> bool {
        /// That of FAT.
        const COARSEST: u64 = 2;
        self.modified_nanoseconds != 0 || now >= self.modified.saturating_add(COARSEST)
    }

    #[allow(clippy::unnecessary_cast, reason = "other systems have other widths")]
    pub(crate) fn of(status: &sys::Status) -> Self {
        let kind = match status.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::Regular,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Link,
            _ => Kind::Other,
        };
        let (modified, modified_nanoseconds) = sys::modified(status);
        let (changed, changed_nanoseconds) = sys::changed(status);
        Self {
            kind,
            length: u64::try_from(status.st_size).unwrap_or(0),
            modified: u64::try_from(modified).unwrap_or(0),
            modified_nanoseconds: u32::try_from(modified_nanoseconds).unwrap_or(0),
            changed: u64::try_from(changed).unwrap_or(0),
            changed_nanoseconds: u32::try_from(changed_nanoseconds).unwrap_or(0),
            inode: status.st_ino as u64,
            device: status.st_dev as u64,
        }
    }
}

/// How a file is opened for reading: it never waits, and a terminal does not take the process over.
pub(crate) const O_READ: c_int =
    libc::O_RDONLY | libc::O_NONBLOCK | sys::O_NOCTTY | libc::O_CLOEXEC;

/// Refuses what opening could do something to.
pub(crate) fn check_kind(kind: Kind) -> Result<(), OpenError> {
    match kind {
        Kind::Regular | Kind::Directory => Ok(()),
        Kind::Link | Kind::Other => Err(OpenError::Forbidden),
    }
}

/// Refuses what no normalised path has. Not left to the system: it takes what begins with a second
/// slash for a path from its own root, leaves the root by `..` where links may, and the ways to open
/// a file differ in what they make of either.
pub(crate) fn check_segments(relative: &[u8]) -> Result<(), OpenError> {
    let mut segments = relative.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"." | b".." => return Err(OpenError::Forbidden),
            b"" if segments.peek().is_some() => return Err(OpenError::NotFound),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(modified: u64, modified_nanoseconds: u32) -> FileStatus {
        FileStatus {
            kind: Kind::Regular,
            length: 1,
            modified,
            modified_nanoseconds,
            changed: modified,
            changed_nanoseconds: modified_nanoseconds,
            inode: 1,
            device: 1,
        }
    }

    #[test]
    fn file_with_a_coarse_time_is_settled_when_that_is_over() {
        let coarse = modified(100, 0);
        for (now, settled) in [
            (99, false),
            (100, false),
            (101, false),
            (102, true),
            (200, true),
        ] {
            assert_eq!(coarse.is_settled(now), settled, "{now}");
        }
        assert!(modified(100, 1).is_settled(100));
        assert!(!modified(u64::MAX, 0).is_settled(u64::MAX - 1));
    }
}
