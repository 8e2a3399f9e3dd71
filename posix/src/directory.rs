//! Files below a root that cannot be left.
//!
//! A path is opened relative to the root's descriptor, so that renaming the root changes nothing,
//! and never by a name that was checked before: there is no gap between check and use that would
//! lead out of the root. Linux has one call for this (openat2(2)); elsewhere, and where it is
//! refused, the directories on the way are opened one by one.
//!
//! Only regular files and directories are opened. Opening a pipe or a device can do something: let
//! its other end go on, rewind a tape, arm a watchdog. So what a file is, is looked at before.

use crate::errno::{errno, retry};
use crate::file::{File, FileStatus, Kind, Links, O_READ, OpenError, check_kind, check_segments};
use crate::sandbox::{Rights, limit};
use crate::sys;
use core::ffi::{CStr, c_int};

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
        let mut root = Self {
            directory: directory as c_int,
            links,
            by_hand: false,
        };
        root.by_hand = links == Links::Beneath && root.can_be_left();
        Ok(root)
    }

    /// Whether the system, asked to stay beneath the root, does not: one that does not know the flag
    /// ignores it. What is above `/` is `/`, which is no way out.
    fn can_be_left(&self) -> bool {
        let Some(Ok(above)) = self.open_at_once(c"..", sys::O_LOOK) else {
            return false;
        };
        let place = |file: File| file.status().map(|status| (status.device, status.inode));
        let left = place(above) != place(File(self.directory));
        above.close();
        left
    }

    /// Opens the directories on a path one by one even where one call could do it: how it is done
    /// where there is no such call.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// Where the system has a sandbox, nothing but what is done here can be done by the directory from now
    /// on, whoever has its descriptor.
    ///
    /// # Errors
    /// What the system answers.
    pub fn limited(self) -> Result<Self, OpenError> {
        limit(self.directory, Rights::Read).map_err(OpenError::of)?;
        Ok(self)
    }

    /// Opens a regular file or a directory for reading. `path` begins with `/`, which stands for the
    /// root. Never waits.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Forbidden`] for a dot segment and [`OpenError::NotFound`] for an
    /// empty one but the last, whatever [`Links`] allow.
    pub fn open_beneath(&self, path: &[u8]) -> Result<File, OpenError> {
        let mut memory = [0; PATH_CAPACITY];
        let path = relative(path, &mut memory)?;
        let Some(seen) = self.look(name_in(path)?) else {
            return self.walk(path, |last| last.open());
        };
        let seen = seen?;
        let result = seen
            .status()
            .and_then(|status| check_kind(status.kind))
            .and_then(|()| match sys::reopen(seen.0, O_READ) {
                Some(result) => result.map(File).map_err(OpenError::of),
                None => self.open_by_name(name_in(path)?),
            });
        seen.close();
        result
    }

    /// What the system knows of the file at `path`, which need not be readable. Directories on the
    /// way must be, where the system knows no opening only to look.
    ///
    /// # Errors
    /// As [`Root::open_beneath`], but any kind of file will do.
    pub fn status_beneath(&self, path: &[u8]) -> Result<FileStatus, OpenError> {
        let mut memory = [0; PATH_CAPACITY];
        let path = relative(path, &mut memory)?;
        let Some(seen) = self.look(name_in(path)?) else {
            return self.walk(path, |last| last.status());
        };
        let seen = seen?;
        let status = seen.status();
        seen.close();
        status
    }

    /// A descriptor that only names the file; nothing is opened by it. `None` where the system has no
    /// such thing, or cannot find the file in one call without leaving the root.
    fn look(&self, name: &CStr) -> Option<Result<File, OpenError>> {
        if self.by_hand || !sys::LOOKING_OPENS_NOTHING {
            return None;
        }
        self.open_at_once(name, sys::O_LOOK)
    }

    /// Where what was looked at cannot be opened by its descriptor.
    fn open_by_name(&self, name: &CStr) -> Result<File, OpenError> {
        self.open_at_once(name, O_READ)
            .unwrap_or(Err(OpenError::NotFound))
    }

    fn open_at_once(&self, name: &CStr, flags: c_int) -> Option<Result<File, OpenError>> {
        let flags = flags | libc::O_CLOEXEC;
        let follow = self.links == Links::Beneath;
        if self.links == Links::All {
            return Some(open_at(self.directory, name, flags).map(File));
        }
        sys::open_beneath(self.directory, name, flags, follow)
            .map(|result| result.map(File).map_err(OpenError::of))
    }

    /// Goes along `path` (NUL at its end) name by name, no link followed, to its last step. Where all
    /// links are followed there is no other.
    fn walk<R>(
        &self,
        path: &mut [u8],
        last_step: impl FnOnce(Step<'_>) -> Result<R, OpenError>,
    ) -> Result<R, OpenError> {
        if self.links == Links::All {
            return last_step(Step {
                directory: self.directory,
                name: name_in(path)?,
                follow: true,
                slash: false,
            });
        }
        let mut directory = self.directory;
        let mut begin = 0;
        loop {
            let rest = &mut path[begin..];
            let end = rest
                .iter()
                .position(|&byte| byte == b'/' || byte == 0)
                .unwrap_or(rest.len() - 1);
            let last = rest[end] == 0 || rest[end + 1] == 0;
            let slash = rest[end] == b'/';
            rest[end] = 0;
            let step = Step {
                directory,
                name: name_in(rest)?,
                follow: false,
                slash,
            };
            if last {
                let result = last_step(step);
                self.leave(directory);
                return result;
            }
            let next = step.through();
            self.leave(directory);
            directory = next?;
            begin += end + 1;
        }
    }

    /// Closes a directory on the way.
    fn leave(&self, directory: c_int) {
        if directory != self.directory {
            File(directory).close();
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

/// One name on the way to a file.
struct Step<'a> {
    directory: c_int,
    name: &'a CStr,
    /// Whether links are.
    follow: bool,
    /// Whether the name must be a directory's.
    slash: bool,
}

impl Step<'_> {
    /// What the system knows of the file; nothing is opened.
    fn status(&self) -> Result<FileStatus, OpenError> {
        let flags = if self.follow {
            0
        } else {
            libc::AT_SYMLINK_NOFOLLOW
        };
        // SAFETY: zeros are a valid `stat`.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: the name ends with NUL, `status` is valid for writing.
        let result =
            unsafe { libc::fstatat(self.directory, self.name.as_ptr(), &raw mut status, flags) };
        if result < 0 {
            return Err(OpenError::of(errno()));
        }
        let status = FileStatus::of(&status);
        match status.kind {
            Kind::Link => Err(OpenError::Forbidden),
            Kind::Regular | Kind::Other if self.slash => Err(OpenError::NotFound),
            _ => Ok(status),
        }
    }

    /// Opens the file for reading. Should another take its place after it was looked at, it is at
    /// least no link.
    fn open(&self) -> Result<File, OpenError> {
        check_kind(self.status()?.kind)?;
        let no_link = if self.follow { 0 } else { libc::O_NOFOLLOW };
        open_at(self.directory, self.name, O_READ | no_link).map(File)
    }

    /// Opens a directory that the way leads through.
    fn through(&self) -> Result<c_int, OpenError> {
        let flags = sys::O_LOOK | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_DIRECTORY;
        match open_at(self.directory, self.name, flags) {
            // A link in the place of a directory is ENOTDIR, as a file is.
            Err(OpenError::NotFound) => match self.status() {
                Err(OpenError::Forbidden) => Err(OpenError::Forbidden),
                _ => Err(OpenError::NotFound),
            },
            result => result,
        }
    }
}

/// `path` without its first slash and with NUL at its end, as the system takes it.
fn relative<'m>(
    path: &[u8],
    memory: &'m mut [u8; PATH_CAPACITY],
) -> Result<&'m mut [u8], OpenError> {
    let relative = path.strip_prefix(b"/").ok_or(OpenError::NotFound)?;
    check_segments(relative)?;
    if relative.contains(&0) {
        return Err(OpenError::NotFound); // a NUL would cut the path
    }
    let relative = if relative.is_empty() { b"." } else { relative };
    let place = memory
        .get_mut(..relative.len() + 1)
        .ok_or(OpenError::TooLong)?;
    place[..relative.len()].copy_from_slice(relative);
    place[relative.len()] = 0;
    Ok(place)
}

fn name_in(path: &[u8]) -> Result<&CStr, OpenError> {
    CStr::from_bytes_until_nul(path).map_err(|_| OpenError::TooLong)
}

fn open_at(directory: c_int, name: &CStr, flags: c_int) -> Result<c_int, OpenError> {
    // SAFETY: `name` ends with NUL.
    retry(|| unsafe { libc::openat(directory, name.as_ptr(), flags) } as isize)
        .map(|descriptor| descriptor as c_int)
        .map_err(OpenError::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};
    use std::{format, fs, vec};

    /// Which signal tells the holder of a lease (fcntl(2), linux/fcntl.h).
    #[cfg(target_os = "linux")]
    const F_SETSIG: c_int = 10;

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
            ("/pipe", forbidden.clone(), forbidden.clone()),
            ("/pipe/", missing.clone(), missing.clone()),
            ("/inside", forbidden.clone(), ok("file")),
            ("/inside-dir/file", forbidden.clone(), ok("deep")),
            ("/inside-dir", forbidden.clone(), ok("Directory")),
            ("/inside-dir/", forbidden.clone(), ok("Directory")),
            ("/outside", forbidden.clone(), forbidden.clone()),
            ("/absolute", forbidden.clone(), forbidden.clone()),
            ("/up/secret", forbidden.clone(), forbidden.clone()),
            ("/magic/etc/passwd", forbidden.clone(), forbidden.clone()),
            ("/loop", forbidden.clone(), forbidden.clone()),
            ("/loop/", forbidden.clone(), forbidden.clone()),
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
        for root in [place.root(Links::All), place.root(Links::All).by_hand()] {
            assert_eq!(content(&root, "/outside"), ok("secret"), "{root:?}");
            assert_eq!(content(&root, "/pipe"), forbidden, "{root:?}");
        }
    }

    #[test]
    fn root_that_cannot_be_left_is_not_gone_along_by_hand() {
        let place = Place::new("by-hand");
        // An old Linux kernel, or a filter of system calls, has no such call: then that says so.
        if place.root(Links::Beneath).look(c"file").is_none() {
            std::println!("NOT RUN: the system cannot stay beneath a root in one call");
            return;
        }
        let top = Root::open(c"/", Links::Beneath).unwrap();
        for root in [place.root(Links::Beneath), top] {
            assert!(!root.can_be_left() && !root.by_hand, "{root:?}");
        }
        // Where all links are followed, the same look gets out.
        assert!(place.root(Links::All).can_be_left());
        assert!(!place.root(Links::All).by_hand);
    }

    #[test]
    fn pipe_is_not_opened_so_its_other_end_goes_on_waiting() {
        let place = Place::new("pipe");
        let pipe = place.0.join("root/pipe");
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::OpenOptions::new().write(true).open(pipe).map(drop))
        };
        for _ in 0..100 {
            for links in [Links::None, Links::Beneath, Links::All] {
                for root in [place.root(links), place.root(links).by_hand()] {
                    assert_eq!(root.open_beneath(b"/pipe"), Err(OpenError::Forbidden));
                    assert_eq!(root.status_beneath(b"/pipe").unwrap().kind, Kind::Other);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(!writer.is_finished());
        let reader = fs::File::open(pipe).unwrap();
        writer.join().unwrap().unwrap();
        drop(reader);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn file_is_found_by_name_where_its_descriptor_cannot_be_opened_anew() {
        let place = Place::new("proc");
        for links in [Links::None, Links::Beneath, Links::All] {
            let file = place.root(links).open_by_name(c"dir/deep/file").unwrap();
            assert_eq!(file.status().unwrap().length, 4);
            file.close();
        }
        assert_eq!(sys::reopen(c_int::MAX, O_READ), None, "as without /proc");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn renaming_elsewhere_does_not_fail_a_link_that_goes_up_and_down_again() {
        let place = Place::new("rename");
        symlink("../../dir/deep/file", place.0.join("root/dir/deep/there")).unwrap();
        let (one, two) = (place.0.join("one"), place.0.join("two"));
        fs::write(&one, "").unwrap();
        let root = place.root(Links::Beneath);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(relaxed) {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
            let failed = (0..20_000).find_map(|_| content(&root, "/dir/deep/there").err());
            stop.store(true, relaxed);
            assert_eq!(failed, None);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn file_that_somebody_has_a_lease_on_is_busy() {
        use std::os::fd::AsRawFd;
        let place = Place::new("lease");
        let holder = fs::File::create(place.0.join("root/file")).unwrap();
        // SAFETY: no memory is passed.
        let leased = unsafe {
            // The holder is told by a signal; this one is ignored unless somebody wants it.
            libc::fcntl(holder.as_raw_fd(), F_SETSIG, libc::SIGURG);
            libc::fcntl(holder.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK)
        };
        if leased < 0 {
            std::println!("NOT RUN: this file system has no leases");
            return;
        }
        for links in [Links::None, Links::Beneath, Links::All] {
            for root in [place.root(links), place.root(links).by_hand()] {
                assert_eq!(
                    root.open_beneath(b"/file"),
                    Err(OpenError::Exhausted),
                    "{root:?}"
                );
            }
        }
        assert_eq!(
            place.root(Links::None).open_by_name(c"file"),
            Err(OpenError::Exhausted)
        );
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
                // On a busy machine the other thread may rest for long while the link is in place.
                let (begin, patience) = (Instant::now(), Duration::from_secs(20));
                let seen_before = opened;
                let mut tries = 0;
                while tries < 3_000 || (opened == seen_before && begin.elapsed() < patience) {
                    tries += 1;
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
        let roots = [place.root(Links::None), place.root(Links::None).by_hand()];
        let open = || fs::read_dir("/dev/fd").unwrap().count();
        // Other tests run beside this one: what counts is that nothing grows with the number of calls.
        let before = open();
        for root in roots.iter().cycle().take(1_000) {
            let _ = root.open_beneath(b"/dir/deep/missing");
            let _ = root.open_beneath(b"/outside");
            let _ = root.open_beneath(b"/pipe");
            root.open_beneath(b"/dir/deep/file").unwrap().close();
            root.status_beneath(b"/dir/deep/file").unwrap();
        }
        assert!(open() < before + 100);
    }
}
