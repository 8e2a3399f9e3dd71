//! Files below a root that cannot be left.
//!
//! A path is opened relative to the root's descriptor, so that renaming the root changes nothing,
//! and never by a name that was checked before: there is no gap between check and use. Linux has
//! one call for this (openat2(2)); elsewhere, and where it is refused, the directories on the way
//! are opened one by one.

use crate::errno::{errno, retry};
use crate::sys;
use core::ffi::{CStr, c_int};
use core::fmt;

/// What becomes of symbolic links on the way to a file and in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// None is followed.
    None,
    /// Followed as long as they stay below the root. Where the system cannot promise that, none is.
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
    /// It may not be read, or lies beyond a link that is not followed.
    Forbidden,
    /// The path, or a name in it, is longer than the system takes.
    TooLong,
    /// No descriptor or memory is left.
    Exhausted,
    /// The system refused with this `errno`.
    System(i32),
}

impl OpenError {
    fn of(errno: i32) -> Self {
        match errno {
            libc::ENOENT | libc::ENOTDIR => Self::NotFound,
            // EXDEV: openat2 met a way out of the root. ELOOP: a link where none is followed, which
            // is EMLINK on FreeBSD.
            libc::EACCES | libc::EPERM | libc::ELOOP | libc::EMLINK | libc::EXDEV => {
                Self::Forbidden
            }
            // A socket, or a pipe that nobody reads.
            libc::ENXIO | libc::EOPNOTSUPP => Self::Forbidden,
            libc::ENAMETOOLONG => Self::TooLong,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM => Self::Exhausted,
            other => Self::System(other),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file or directory"),
            Self::Forbidden => {
                f.write_str("it may not be read: check its permissions, and whether it is a link")
            }
            Self::TooLong => f.write_str("its name is too long"),
            Self::Exhausted => {
                f.write_str("no file descriptor is left: raise the limit (ulimit -n)")
            }
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
pub struct File(c_int);

impl File {
    pub(crate) fn descriptor(self) -> c_int {
        self.0
    }

    /// What the system knows of the file now.
    ///
    /// # Errors
    /// What the system answers, for a descriptor that is not open.
    pub fn status(self) -> Result<FileStatus, OpenError> {
        // SAFETY: zeros are a valid `stat`.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: `status` is valid for writing.
        if unsafe { libc::fstat(self.0, &raw mut status) } < 0 {
            return Err(OpenError::of(errno()));
        }
        Ok(FileStatus::of(&status))
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

    #[allow(clippy::unnecessary_cast, reason = "other systems have other widths")]
    fn of(status: &libc::stat) -> Self {
        let kind = match status.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::Regular,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Link,
            _ => Kind::Other,
        };
        Self {
            kind,
            length: u64::try_from(status.st_size).unwrap_or(0),
            modified: u64::try_from(status.st_mtime).unwrap_or(0),
            modified_nanoseconds: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
            changed: u64::try_from(status.st_ctime).unwrap_or(0),
            changed_nanoseconds: u32::try_from(status.st_ctime_nsec).unwrap_or(0),
            inode: status.st_ino as u64,
            device: status.st_dev as u64,
        }
    }
}

/// Bytes of the longest path, its NUL included; what Linux takes (`PATH_MAX`).
const PATH_CAPACITY: usize = 4_096;

/// A directory whose files can be opened, and nothing else.
#[derive(Debug)]
pub struct Root {
    directory: c_int,
    links: Links,
    by_hand: bool,
}

impl Root {
    /// Opens the directory at `path`, links in it followed.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NotFound`] also for what is no directory.
    pub fn open(path: &CStr, links: Links) -> Result<Self, OpenError> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: `path` ends with NUL.
        let directory = retry(|| unsafe { libc::open(path.as_ptr(), flags) } as isize)
            .map_err(OpenError::of)?;
        Ok(Self {
            directory: directory as c_int,
            links,
            by_hand: false,
        })
    }

    /// Opens the directories on a path one by one even where one call could do it: how it is done
    /// where there is no such call.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// Opens a file for reading. `path` begins with `/`, which stands for the root. Never waits, not
    /// even for the other end of a pipe.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Forbidden`] for a dot segment and [`OpenError::NotFound`] for an
    /// empty one but the last, whatever [`Links`] allow.
    pub fn open_beneath(&self, path: &[u8]) -> Result<File, OpenError> {
        self.open_with(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)
    }

    /// What the system knows of the file at `path`, which need not be readable.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn status_beneath(&self, path: &[u8]) -> Result<FileStatus, OpenError> {
        let file = self.open_with(path, sys::O_LOOK)?;
        let status = file.status();
        file.close();
        status
    }

    fn open_with(&self, path: &[u8], flags: c_int) -> Result<File, OpenError> {
        let relative = path.strip_prefix(b"/").ok_or(OpenError::NotFound)?;
        check_segments(relative)?;
        let relative = if relative.is_empty() { b"." } else { relative };
        let mut memory = [0u8; PATH_CAPACITY];
        let place = memory.get_mut(..relative.len()).ok_or(OpenError::TooLong)?;
        place.copy_from_slice(relative);
        let name = CStr::from_bytes_until_nul(&memory).map_err(|_| OpenError::TooLong)?;
        if name.count_bytes() != relative.len() {
            return Err(OpenError::NotFound); // a NUL would cut the path
        }
        let flags = flags | libc::O_CLOEXEC;
        if self.links == Links::All {
            return open_at(self.directory, name, flags).map(File);
        }
        let follow = self.links == Links::Beneath;
        if !self.by_hand
            && let Some(result) = sys::open_beneath(self.directory, name, flags, follow)
        {
            return result.map(File).map_err(OpenError::of);
        }
        self.walk(&mut memory[..relative.len() + 1], flags)
    }

    /// Opens `path` (NUL at its end) name by name; no link is followed.
    fn walk(&self, path: &mut [u8], flags: c_int) -> Result<File, OpenError> {
        let mut directory = self.directory;
        let mut begin = 0;
        loop {
            let rest = &mut path[begin..];
            let end = rest
                .iter()
                .position(|&byte| byte == b'/' || byte == 0)
                .unwrap_or(rest.len() - 1);
            let last = rest[end] == 0 || rest[end + 1] == 0;
            let slash_at_end = rest[end] == b'/' && last;
            rest[end] = 0;
            let name = CStr::from_bytes_until_nul(rest).map_err(|_| OpenError::TooLong)?;
            let flags = match (last, slash_at_end) {
                (true, false) => flags | libc::O_NOFOLLOW,
                (true, true) => flags | libc::O_NOFOLLOW | libc::O_DIRECTORY,
                (false, _) => sys::O_LOOK | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_DIRECTORY,
            };
            let result = if name.to_bytes() == b".." {
                Err(OpenError::Forbidden)
            } else {
                open_at(directory, name, flags)
            };
            let result = result.and_then(|next| {
                if flags & sys::O_LOOK == 0 || !last {
                    Ok(next)
                } else {
                    no_link(next)
                }
            });
            // A link in the place of a directory is ENOTDIR: tell it from a file there.
            let result = match result {
                Err(OpenError::NotFound) if !last && is_link(directory, name) => {
                    Err(OpenError::Forbidden)
                }
                other => other,
            };
            if directory != self.directory {
                File(directory).close();
            }
            if last {
                return result.map(File);
            }
            directory = result?;
            begin += end + 1;
        }
    }

    /// The directory's descriptor, for reading its entries.
    pub(crate) fn descriptor_of(file: File) -> c_int {
        file.0
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        File(self.directory).close();
    }
}

/// Refuses what no normalised path has. Not left to the system: it takes what begins with a second
/// slash for a path from its own root, leaves the root by `..` where links may, and the ways to open
/// a file differ in what they make of either.
fn check_segments(relative: &[u8]) -> Result<(), OpenError> {
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

fn open_at(directory: c_int, name: &CStr, flags: c_int) -> Result<c_int, OpenError> {
    // SAFETY: `name` ends with NUL.
    retry(|| unsafe { libc::openat(directory, name.as_ptr(), flags) } as isize)
        .map(|descriptor| descriptor as c_int)
        .map_err(OpenError::of)
}

/// Opening a link only to look at it gives the link itself.
fn no_link(descriptor: c_int) -> Result<c_int, OpenError> {
    match File(descriptor).status() {
        Ok(status) if status.kind == Kind::Link => {
            File(descriptor).close();
            Err(OpenError::Forbidden)
        }
        _ => Ok(descriptor),
    }
}

fn is_link(directory: c_int, name: &CStr) -> bool {
    // SAFETY: zeros are a valid `stat`.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: `name` ends with NUL, `status` is valid for writing.
    let result = unsafe {
        libc::fstatat(
            directory,
            name.as_ptr(),
            &raw mut status,
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    result == 0 && status.st_mode & libc::S_IFMT == libc::S_IFLNK
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::{format, fs, vec};

    /// A root with a secret beside it; gone when dropped.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let base =
                std::env::temp_dir().join(format!("capuchin-posix-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&base);
            fs::create_dir_all(base.join("root/dir/deep")).unwrap();
            fs::write(base.join("secret"), "secret").unwrap();
            fs::write(base.join("root/file"), "file").unwrap();
            fs::write(base.join("root/dir/deep/file"), "deep").unwrap();
            symlink("file", base.join("root/inside")).unwrap();
            symlink("dir/deep", base.join("root/inside-dir")).unwrap();
            symlink("../secret", base.join("root/outside")).unwrap();
            symlink(base.join("secret"), base.join("root/absolute")).unwrap();
            symlink("..", base.join("root/up")).unwrap();
            symlink("/proc/self/root", base.join("root/magic")).unwrap();
            symlink("loop", base.join("root/loop")).unwrap();
            let pipe = CString::new(base.join("root/pipe").as_os_str().as_bytes()).unwrap();
            // SAFETY: the path ends with NUL.
            assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
            Self(base)
        }

        fn root(&self, links: Links) -> Root {
            Root::open(
                &CString::new(self.0.join("root").as_os_str().as_bytes()).unwrap(),
                links,
            )
            .unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn content(root: &Root, path: &str) -> Result<std::string::String, OpenError> {
        let file = root.open_beneath(path.as_bytes())?;
        let mut buffer = vec![0; 100];
        let result = match file.status()?.kind {
            Kind::Regular => file
                .read_at(&mut buffer, 0)
                .map(|count| std::str::from_utf8(&buffer[..count]).unwrap().into()),
            kind => Ok(format!("{kind:?}")),
        };
        file.close();
        result
    }

    #[test]
    fn nothing_leaves_the_root_and_both_ways_agree() {
        let place = Place::new("table");
        let forbidden = Err(OpenError::Forbidden);
        let missing = Err(OpenError::NotFound);
        let ok = |text: &str| Ok(text.into());
        // path, without links, with links that stay beneath
        let cases = [
            ("/file", ok("file"), ok("file")),
            ("/dir/deep/file", ok("deep"), ok("deep")),
            ("/", ok("Directory"), ok("Directory")),
            ("/dir/", ok("Directory"), ok("Directory")),
            ("/dir", ok("Directory"), ok("Directory")),
            ("/file/", missing.clone(), missing.clone()),
            ("/missing", missing.clone(), missing.clone()),
            ("/file/below", missing.clone(), missing.clone()),
            ("/pipe", ok("Other"), ok("Other")),
            ("/inside", forbidden.clone(), ok("file")),
            ("/inside-dir/file", forbidden.clone(), ok("deep")),
            ("/outside", forbidden.clone(), forbidden.clone()),
            ("/absolute", forbidden.clone(), forbidden.clone()),
            ("/up/secret", forbidden.clone(), forbidden.clone()),
            ("/magic/etc/passwd", forbidden.clone(), forbidden.clone()),
            ("/loop", forbidden.clone(), forbidden.clone()),
            ("/dir/../../secret", forbidden.clone(), forbidden.clone()),
            ("/../secret", forbidden.clone(), forbidden.clone()),
        ];
        for (path, plain, beneath) in cases {
            assert_eq!(
                content(&place.root(Links::Beneath), path),
                beneath,
                "{path}, links beneath"
            );
            for root in [
                place.root(Links::None),
                place.root(Links::None).by_hand(),
                place.root(Links::Beneath).by_hand(),
            ] {
                assert_eq!(content(&root, path), plain, "{path}, {root:?}");
            }
        }
        assert_eq!(content(&place.root(Links::All), "/outside"), ok("secret"));
    }

    #[test]
    fn paths_that_are_not_normal_are_refused_however_files_are_opened() {
        let place = Place::new("normal");
        let absolute = format!("/{}/secret", place.0.display());
        let cases = [
            (absolute.as_str(), OpenError::NotFound),
            ("//", OpenError::NotFound),
            ("//file", OpenError::NotFound),
            ("/dir//deep/file", OpenError::NotFound),
            ("/.", OpenError::Forbidden),
            ("/dir/./deep/file", OpenError::Forbidden),
            ("/..", OpenError::Forbidden),
            ("/../secret", OpenError::Forbidden),
            ("/dir/../file", OpenError::Forbidden),
        ];
        for links in [Links::None, Links::Beneath, Links::All] {
            for root in [place.root(links), place.root(links).by_hand()] {
                for (path, error) in cases {
                    assert_eq!(content(&root, path), Err(error), "{path}, {root:?}");
                    assert_eq!(
                        root.status_beneath(path.as_bytes()),
                        Err(error),
                        "{path}, {root:?}"
                    );
                }
                assert_eq!(
                    content(&root, "/dir/..file"),
                    Err(OpenError::NotFound),
                    "a name may begin with dots"
                );
            }
        }
    }

    #[test]
    fn directory_swapped_for_a_link_is_never_followed() {
        let place = Place::new("swap");
        let (real, spare, link) = (
            place.0.join("root/dir"),
            place.0.join("spare"),
            place.0.join("link"),
        );
        fs::create_dir(place.0.join("deep")).unwrap();
        fs::write(place.0.join("deep/file"), "secret").unwrap();
        symlink(&place.0, &link).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(relaxed) {
                    fs::rename(&real, &spare).unwrap();
                    fs::rename(&link, &real).unwrap();
                    fs::rename(&real, &link).unwrap();
                    fs::rename(&spare, &real).unwrap();
                }
            });
            let (mut opened, mut secret) = (0, 0);
            for root in [
                place.root(Links::None),
                place.root(Links::None).by_hand(),
                place.root(Links::Beneath),
            ] {
                for _ in 0..3_000 {
                    if let Ok(text) = content(&root, "/dir/deep/file") {
                        opened += 1;
                        secret += usize::from(text != "deep");
                    }
                }
            }
            stop.store(true, relaxed);
            assert!(opened > 0, "the file is there part of the time");
            assert_eq!(secret, 0);
        });
    }

    #[test]
    fn status_is_told_without_opening_for_reading_and_links_are_not_followed() {
        let place = Place::new("status");
        for root in [place.root(Links::None), place.root(Links::None).by_hand()] {
            assert_eq!(root.status_beneath(b"/file").unwrap().length, 4);
            assert_eq!(root.status_beneath(b"/pipe").unwrap().kind, Kind::Other);
            assert_eq!(
                root.status_beneath(b"/outside"),
                Err(OpenError::Forbidden),
                "{root:?}"
            );
        }
    }

    #[test]
    fn content_written_in_place_shows_even_with_its_time_set_back() {
        let place = Place::new("set-back");
        let file = place.root(Links::None).open_beneath(b"/file").unwrap();
        let before = file.status().unwrap();
        let path = place.0.join("root/file");
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        // The file system's clock has ticks.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(&path, "elif").unwrap();
        let writer = fs::File::options().write(true).open(&path).unwrap();
        writer.set_modified(time).unwrap();
        let after = file.status().unwrap();
        file.close();
        assert_ne!(after, before);
        assert!(after.goes_on_from(before), "but for the time of the change");
    }

    #[test]
    fn long_and_cut_paths_are_refused() {
        let place = Place::new("long");
        let root = place.root(Links::None);
        let long = format!("/{}", "x".repeat(300));
        assert_eq!(root.open_beneath(long.as_bytes()), Err(OpenError::TooLong));
        let longer = format!("/{}", "x/".repeat(3_000));
        assert_eq!(
            root.open_beneath(longer.as_bytes()),
            Err(OpenError::TooLong)
        );
        assert_eq!(root.open_beneath(b"/file\0.txt"), Err(OpenError::NotFound));
        assert_eq!(root.open_beneath(b"file"), Err(OpenError::NotFound));
    }

    #[test]
    fn no_descriptor_is_left_open() {
        let place = Place::new("leak");
        let root = place.root(Links::None).by_hand();
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        // Other tests run beside this one: what counts is that nothing grows with the number of calls.
        let before = open();
        for _ in 0..500 {
            let _ = root.open_beneath(b"/dir/deep/missing");
            let _ = root.open_beneath(b"/outside");
            root.open_beneath(b"/dir/deep/file").unwrap().close();
            root.status_beneath(b"/dir/deep/file").unwrap();
        }
        assert!(open() < before + 100);
    }
}
