//! Files below a root that cannot be left.
//!
//! A path is opened relative to the root's descriptor, so that renaming the root changes nothing,
//! and never by a name that was checked before: there is no gap between check and use that would
//! lead out of the root. Linux and FreeBSD have a call for this; where it is refused, and where a link
//! leaves the root and comes back, the names on the way are followed one by one (`walk`).
//!
//! Only regular files and directories are opened. Opening a pipe or a device can do something: let
//! its other end go on, rewind a tape, arm a watchdog. So what a file is, is looked at before.

use crate::at_hand::Storage;
use crate::file::{File, FileStatus, Kind, Links, O_READ, OpenError, check_kind, check_segments};
use crate::refusal::{Reason, Refusal};
use crate::sandbox::{Rights, limit};
use crate::sys;
use crate::walk::{PATH_CAPACITY, Step, StepError, Walk, not_followed, open_at};
use core::ffi::{CStr, c_int};

/// A directory whose files can be opened, and nothing else.
#[derive(Debug)]
pub struct Root {
    directory: c_int,
    links: Links,
    by_hand: bool,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A regular file, open for reading.
    File(File),
    /// A directory, which is not opened and need not be readable: only a listing reads one.
    Directory,
}

impl Root {
    /// Opens the directory at `path`, links in it followed. It need not be readable: files in it are
    /// found where it may be searched.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NotFound`] also for what is no directory.
    pub fn open(path: &CStr, links: Links) -> Result<Self, OpenError> {
        let flags = sys::O_LOOK | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let directory = open_at(libc::AT_FDCWD, path, flags).map_err(OpenError::of)?;
        let mut root = Self {
            directory,
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

    /// What the system knows of the directory itself.
    ///
    /// # Errors
    /// What the system answers.
    pub fn status(&self) -> Result<FileStatus, OpenError> {
        File(self.directory).status()
    }

    /// Opens the regular file at `path` for reading, or tells that there is a directory. `path` begins
    /// with `/`, which stands for the root. Never waits.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Forbidden`] for a dot segment and [`OpenError::NotFound`] for an
    /// empty one but the last, whatever [`Links`] allow.
    pub fn find_beneath(&self, path: &[u8]) -> Result<Lookup, OpenError> {
        self.find(path, |kind| kind != Kind::Directory)
            .map(|file| file.map_or(Lookup::Directory, Lookup::File))
    }

    /// Opens a regular file or a directory for reading. As [`Root::find_beneath`] otherwise.
    ///
    /// # Errors
    /// As [`Root::find_beneath`].
    pub fn open_beneath(&self, path: &[u8]) -> Result<File, OpenError> {
        self.find(path, |_| true)?.ok_or(OpenError::NotFound)
    }

    /// What reading the directory itself may wait for. Asking may itself wait.
    #[must_use]
    pub fn storage(&self) -> Storage {
        File(self.directory).storage()
    }

    /// Calls `f` with the root, the path below it as the system takes it, and what becomes of links.
    ///
    /// # Errors
    /// Those of `f`, and of a path that no file has.
    pub(crate) fn with_name<R>(
        &self,
        path: &[u8],
        f: impl FnOnce(c_int, &CStr, Links) -> Result<R, OpenError>,
    ) -> Result<R, OpenError> {
        let mut memory = [0; PATH_CAPACITY];
        let name = name_in(relative(path, &mut memory)?)?;
        // A system in which one call does not stay beneath the root.
        if self.by_hand {
            return Err(OpenError::WouldWait);
        }
        f(self.directory, name, self.links)
    }

    /// Opens what is at `path` if it is of a kind that `is_opened`.
    fn find(
        &self,
        path: &[u8],
        is_opened: impl Fn(Kind) -> bool,
    ) -> Result<Option<File>, OpenError> {
        let mut memory = [0; PATH_CAPACITY];
        let path = relative(path, &mut memory)?;
        let Some(seen) = self.look(name_in(path)?) else {
            return self.walk(path, |last| {
                let kind = last.status()?.kind;
                check_kind(kind)?;
                is_opened(kind).then(|| last.open()).transpose()
            });
        };
        let seen = seen?;
        let result = seen.status().and_then(|status| {
            check_kind(status.kind)?;
            is_opened(status.kind)
                .then(|| match sys::reopen(seen.0, O_READ) {
                    Some(result) => result.map(File).map_err(OpenError::of),
                    None => self.open_by_name(name_in(path)?),
                })
                .transpose()
        });
        seen.close();
        result
    }

    /// What the system knows of the file at `path`, which need not be readable. Directories on the
    /// way must be, where the system knows no opening only to look.
    ///
    /// # Errors
    /// As [`Root::find_beneath`], but any kind of file will do.
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

    /// Why `path` was refused with [`OpenError::Forbidden`], found out by looking at one name after
    /// the other. `None` when nothing is found that would be a reason, as when it was changed meanwhile.
    #[must_use]
    pub fn refusal<'p>(&self, path: &'p [u8]) -> Option<Refusal<'p>> {
        let refused = |path, reason| Some(Refusal { path, reason });
        if check_segments(path.strip_prefix(b"/")?) == Err(OpenError::Forbidden) {
            return refused(path, Reason::DotSegment);
        }
        let mut directory = &path[..1];
        let mut kind = Kind::Directory;
        for end in 1..=path.len() {
            if path.get(end).is_some_and(|&byte| byte != b'/') || path[end - 1] == b'/' {
                continue;
            }
            let name = &path[..end];
            match self.status_beneath(name) {
                Ok(status) => kind = status.kind,
                Err(OpenError::Forbidden) => {
                    return match self.is_link(name) {
                        Ok(true) => refused(name, Reason::Link),
                        Err(OpenError::Forbidden) => refused(directory, Reason::Search),
                        _ => None,
                    };
                }
                Err(_) => return None,
            }
            directory = name;
        }
        match check_kind(kind) {
            Ok(()) => refused(path, Reason::Read),
            Err(_) => refused(path, Reason::Kind),
        }
    }

    /// Whether the last name of `path` is a symbolic link's.
    fn is_link(&self, path: &[u8]) -> Result<bool, OpenError> {
        let mut memory = [0; PATH_CAPACITY];
        let name = name_in(relative(path, &mut memory)?)?;
        let is_link = |last: &Step<'_>| match last.status() {
            Ok(_) => Ok(false),
            Err(StepError::Link) => Ok(true),
            Err(error) => Err(error),
        };
        if self.links == Links::All {
            let step = Step {
                directory: self.directory,
                name,
                follow: false,
                slash: false,
            };
            return is_link(&step).map_err(not_followed);
        }
        let follow = self.links == Links::Beneath;
        Walk::new(self.directory, name.to_bytes(), follow)?.run(is_link)
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

    /// Opens what is there in one call. `None` where the system cannot do that without leaving the root:
    /// because it has no such call, or because a link leads out of the root, perhaps to come back.
    fn open_at_once(&self, name: &CStr, flags: c_int) -> Option<Result<File, OpenError>> {
        let flags = flags | libc::O_CLOEXEC;
        let follow = self.links == Links::Beneath;
        let opened = if self.links == Links::All {
            open_at(self.directory, name, flags)
        } else {
            match sys::open_beneath(self.directory, name, flags, follow)? {
                Err(sys::LEAVES_ROOT) if follow => return None,
                result => result,
            }
        };
        Some(opened.map(File).map_err(OpenError::of))
    }

    /// Goes along `path` (NUL at its end) name by name to its last step. Where all links are followed
    /// there is no other.
    fn walk<R>(
        &self,
        path: &[u8],
        last_step: impl Fn(&Step<'_>) -> Result<R, StepError>,
    ) -> Result<R, OpenError> {
        let name = name_in(path)?;
        if self.links == Links::All {
            let step = Step {
                directory: self.directory,
                name,
                follow: true,
                slash: false,
            };
            return last_step(&step).map_err(not_followed);
        }
        let follow = self.links == Links::Beneath;
        Walk::new(self.directory, name.to_bytes(), follow)?.run(last_step)
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

/// `path` without its first slash and with NUL at its end, as the system takes it.
fn relative<'m>(path: &[u8], memory: &'m mut [u8; PATH_CAPACITY]) -> Result<&'m [u8], OpenError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::string::String;
    use std::time::{Duration, Instant};
    use std::vec::Vec;
    use std::{format, fs, vec};

    /// Runs `test` as a user to whom no file belongs, without what the superuser may.
    #[cfg(target_os = "linux")]
    fn as_stranger<R: Send>(test: impl FnOnce() -> R + Send) -> R {
        const NOBODY: libc::uid_t = 65_534;
        std::thread::scope(|scope| {
            let stranger = scope.spawn(|| {
                // The file-system user is this thread's own (setfsuid(2)). Who is not the superuser
                // cannot change it, and need not: modes are then in force already.
                // SAFETY: no memory is passed.
                unsafe { libc::setfsuid(NOBODY) };
                test()
            });
            stranger.join().unwrap()
        })
    }

    /// Sets the mode of a file below the place.
    #[cfg(target_os = "linux")]
    fn set_mode(place: &Place, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.0.join(name), mode).unwrap();
    }

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
            // Absolute links that lead into the root, and links that leave it to come back.
            symlink(
                base.join("root/dir/deep"),
                base.join("root/absolute-inside"),
            )
            .unwrap();
            symlink(base.join("root"), base.join("root/absolute-root")).unwrap();
            symlink(
                base.join("root/missing"),
                base.join("root/absolute-dangling"),
            )
            .unwrap();
            symlink("../root/file", base.join("root/out-and-in")).unwrap();
            symlink("root/dir", base.join("hop")).unwrap();
            symlink("../hop/deep/file", base.join("root/by-a-link-outside")).unwrap();
            // Nothing above the root is disclosed, not even whether it exists.
            symlink("../nothing", base.join("root/outside-missing")).unwrap();
            symlink("../secret/", base.join("root/outside-slash")).unwrap();
            symlink("../", base.join("root/outside-directory")).unwrap();
            // What a path of a client never has.
            symlink("../../file", base.join("root/dir/deep/two-up")).unwrap();
            symlink("dir/deep/../..//dir/./deep/file", base.join("root/detour")).unwrap();
            symlink("file/../file", base.join("root/up-from-a-file")).unwrap();
            symlink("missing/../file", base.join("root/up-from-nothing")).unwrap();
            symlink("dir/deep/", base.join("root/to-a-slash")).unwrap();
            symlink("file/", base.join("root/file-with-a-slash")).unwrap();
            symlink(".", base.join("root/dot")).unwrap();
            symlink("inside-dir/two-up", base.join("root/chain")).unwrap();
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

    fn content(root: &Root, path: &str) -> Result<String, OpenError> {
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
            ("/absolute-inside/file", forbidden.clone(), ok("deep")),
            ("/absolute-inside/", forbidden.clone(), ok("Directory")),
            ("/absolute-root", forbidden.clone(), ok("Directory")),
            (
                "/absolute-root/dir/deep/file",
                forbidden.clone(),
                ok("deep"),
            ),
            ("/absolute-dangling", forbidden.clone(), missing.clone()),
            ("/out-and-in", forbidden.clone(), ok("file")),
            ("/by-a-link-outside", forbidden.clone(), ok("deep")),
            ("/outside-missing", forbidden.clone(), forbidden.clone()),
            ("/outside-slash", forbidden.clone(), forbidden.clone()),
            ("/outside-directory", forbidden.clone(), forbidden.clone()),
            ("/outside-directory/", forbidden.clone(), forbidden.clone()),
            (
                "/outside-directory/root/file",
                forbidden.clone(),
                ok("file"),
            ),
            (
                "/outside-directory/secret",
                forbidden.clone(),
                forbidden.clone(),
            ),
            ("/dir/deep/two-up", forbidden.clone(), ok("file")),
            ("/detour", forbidden.clone(), ok("deep")),
            ("/up-from-a-file", forbidden.clone(), missing.clone()),
            ("/up-from-nothing", forbidden.clone(), missing.clone()),
            ("/to-a-slash", forbidden.clone(), ok("Directory")),
            ("/to-a-slash/file", forbidden.clone(), ok("deep")),
            ("/file-with-a-slash", forbidden.clone(), missing.clone()),
            ("/inside/", forbidden.clone(), missing.clone()),
            ("/dot", forbidden.clone(), ok("Directory")),
            ("/dot/dot/file", forbidden.clone(), ok("file")),
            ("/chain", forbidden.clone(), ok("file")),
            ("/loop", forbidden.clone(), forbidden.clone()),
            ("/loop/", forbidden.clone(), forbidden.clone()),
            ("/dir/../../secret", forbidden.clone(), forbidden.clone()),
            ("/../secret", forbidden.clone(), forbidden.clone()),
        ];
        for (path, plain, beneath) in cases {
            for root in [
                place.root(Links::Beneath),
                place.root(Links::Beneath).by_hand(),
            ] {
                assert_eq!(content(&root, path), beneath, "{path}, {root:?}");
            }
            for root in [place.root(Links::None), place.root(Links::None).by_hand()] {
                assert_eq!(content(&root, path), plain, "{path}, {root:?}");
            }
        }
        for root in [place.root(Links::All), place.root(Links::All).by_hand()] {
            assert_eq!(content(&root, "/outside"), ok("secret"), "{root:?}");
            assert_eq!(content(&root, "/pipe"), forbidden, "{root:?}");
        }
    }

    /// A small generator of numbers (xorshift), so that a failure can be repeated.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }
    }

    #[test]
    fn links_in_trees_of_all_kinds_lead_where_the_system_says_or_nowhere() {
        let place = Place::new("trees");
        let base = fs::canonicalize(&place.0).unwrap();
        let names = ["a", "b", "c", "file"];
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let (mut inside, mut refused, mut missing) = (0, 0, 0);
        for tree in 0..60 {
            let root = base.join(format!("trees/{tree}/root"));
            fs::create_dir_all(root.join("a/b")).unwrap();
            fs::create_dir_all(root.join("../a/b")).unwrap();
            let mut folders = vec![root.clone(), root.join("a"), root.join("a/b")];
            folders.extend([root.join(".."), root.join("../a")]);
            for (n, folder) in folders.iter().enumerate() {
                let _ = fs::write(folder.join("file"), format!("{tree} {n}"));
                for name in ["c", "d", "e"] {
                    let mut target = match numbers.below(4) {
                        0 => format!("{}/", root.display()),
                        1 => format!("{}/", root.parent().unwrap().display()),
                        _ => "".into(),
                    };
                    for _ in 0..1 + numbers.below(4) {
                        target += match numbers.below(9) {
                            0 | 1 => "../",
                            2 => "./",
                            3 => "/",
                            4 => "root/",
                            _ => names[numbers.below(4)],
                        };
                        target += ["", "/"][numbers.below(2)];
                    }
                    let _ = symlink(target, folder.join(name));
                }
            }
            let path = CString::new(root.as_os_str().as_bytes()).unwrap();
            let whole = Root::open(&path, Links::Beneath).unwrap();
            let by_hand = Root::open(&path, Links::Beneath).unwrap().by_hand();
            for one in ["a", "c", "d", "e"] {
                for two in ["", "/a", "/b", "/c", "/d", "/e", "/file"] {
                    for three in ["", "/", "/file", "/c"] {
                        let path = format!("/{one}{two}{three}");
                        let asked = root.join(&path[1..]);
                        let expected = match fs::canonicalize(&asked) {
                            Ok(real) if real.starts_with(&root) && real.is_dir() => {
                                Ok("Directory".into())
                            }
                            Ok(real) if real.starts_with(&root) => {
                                Ok(fs::read_to_string(real).unwrap())
                            }
                            Ok(_) => Err(OpenError::Forbidden),
                            // Outside, what is missing is forbidden.
                            Err(_) => Err(OpenError::NotFound),
                        };
                        let found = [content(&whole, &path), content(&by_hand, &path)];
                        assert_eq!(found[0], found[1], "{asked:?}");
                        match &expected {
                            Ok(_) => inside += 1,
                            Err(OpenError::Forbidden) => refused += 1,
                            Err(_) => missing += 1,
                        }
                        if expected == Err(OpenError::NotFound) {
                            assert!(found[0].is_err(), "{asked:?}: {found:?}");
                        } else {
                            assert_eq!(found[0], expected, "{asked:?}");
                        }
                    }
                }
            }
        }
        let counts = [inside, refused, missing];
        assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
    }

    /// Has this thread refused openat2(2) from now on, as old filters of system calls do (seccomp(2)).
    #[cfg(target_os = "linux")]
    fn refuse_openat2(error: i32) {
        const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut steps = [
            step(LOAD_WORD, 0, 0, 0), // the number of the call comes first in `seccomp_data`
            step(IF_EQUAL, 0, 1, libc::SYS_openat2 as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | error as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        // SAFETY: the program and its steps live through the calls, which copy them.
        let results = unsafe {
            [
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ),
            ]
        };
        assert_eq!(results, [0, 0], "no filter: {}", crate::errno());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn links_beneath_are_followed_where_the_system_refuses_openat2() {
        for error in [libc::ENOSYS, libc::EPERM] {
            let place = Place::new(&format!("refused-{error}"));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    refuse_openat2(error);
                    let root = place.root(Links::Beneath);
                    assert!(root.look(c"file").is_none(), "the call is refused");
                    for (path, expected) in [
                        ("/file", Ok("file")),
                        ("/inside-dir/file", Ok("deep")),
                        ("/absolute-inside/file", Ok("deep")),
                        ("/outside", Err(OpenError::Forbidden)),
                        ("/up/secret", Err(OpenError::Forbidden)),
                    ] {
                        let found = content(&root, path);
                        assert_eq!(found, expected.map(String::from), "{path}");
                    }
                });
            });
        }
    }

    #[test]
    fn links_are_followed_up_to_their_limit() {
        use crate::walk::LINKS_LIMIT;
        let place = Place::new("links-limit");
        // `link0` leads to the file, and each other one to the one before it.
        symlink("file", place.0.join("root/link0")).unwrap();
        for n in 1..=LINKS_LIMIT {
            let (link, target) = (format!("root/link{n}"), format!("link{}", n - 1));
            symlink(target, place.0.join(link)).unwrap();
        }
        let at_limit = format!("/link{}", LINKS_LIMIT - 1);
        let beyond = format!("/link{LINKS_LIMIT}");
        let mut roots = vec![place.root(Links::Beneath).by_hand()];
        if cfg!(target_os = "linux") {
            roots.push(place.root(Links::Beneath));
        }
        for root in roots {
            assert_eq!(content(&root, &at_limit), Ok("file".into()), "{root:?}");
            let result = content(&root, &beyond);
            assert_eq!(result, Err(OpenError::Forbidden), "{root:?}");
        }
    }

    #[test]
    fn names_are_looked_up_by_hand_up_to_their_limit() {
        use crate::walk::STEPS_LIMIT;
        const LINKS: usize = 8;
        let place = Place::new("steps-limit");
        let root = place.root(Links::Beneath).by_hand();
        fs::create_dir(place.0.join("root/dir/e")).unwrap();
        // Each link and the file are a name; `dir/..` are two, and `dir/e/../..` are five, because the
        // first `..` in it begins the walk again.
        let pairs = (STEPS_LIMIT as usize - 1 - LINKS - 5) / 2;
        assert_eq!(1 + LINKS + 5 + 2 * pairs, STEPS_LIMIT as usize);
        for (name, pairs, result) in [
            ("at", pairs, Ok("file".into())),
            ("past", pairs + 1, Err(OpenError::Forbidden)),
        ] {
            let mut left = pairs;
            for n in 0..LINKS {
                let here = left.div_ceil(LINKS - n);
                left -= here;
                let mut target = "dir/../".repeat(here);
                if n == 0 {
                    target += "dir/e/../../";
                }
                target += &match n + 1 {
                    LINKS => "file".into(),
                    next => format!("{name}{next}"),
                };
                symlink(target, place.0.join(format!("root/{name}{n}"))).unwrap();
            }
            assert_eq!(content(&root, &format!("/{name}0")), result, "{name}");
        }
    }

    #[test]
    fn directory_moved_out_of_the_root_does_not_take_a_walk_with_it() {
        let place = Place::new("moved");
        let (inside, outside) = (place.0.join("root/dir/deep"), place.0.join("a/deep"));
        fs::create_dir(place.0.join("a")).unwrap();
        // From where the directory is moved to, this leads to the secret.
        symlink("../../secret", inside.join("two-up-secret")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(relaxed) {
                    fs::rename(&inside, &outside).unwrap();
                    fs::rename(&outside, &inside).unwrap();
                }
            });
            let mut opened = Vec::new();
            for root in [
                place.root(Links::Beneath),
                place.root(Links::Beneath).by_hand(),
            ] {
                for _ in 0..5_000 {
                    opened.extend(content(&root, "/dir/deep/two-up-secret").ok());
                }
            }
            stop.store(true, relaxed);
            assert_eq!(opened, [""; 0]);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn directories_that_may_only_be_searched_are_enough_for_their_files() {
        let place = Place::new("searched");
        for name in ["root", "root/dir", "root/dir/deep"] {
            set_mode(&place, name, 0o711);
        }
        as_stranger(|| {
            for links in [Links::None, Links::Beneath, Links::All] {
                for root in [place.root(links), place.root(links).by_hand()] {
                    assert_eq!(content(&root, "/dir/deep/file"), Ok("deep".into()));
                    for path in [&b"/"[..], b"/dir", b"/dir/deep/"] {
                        let found = root.find_beneath(path);
                        assert_eq!(found, Ok(Lookup::Directory), "{root:?}");
                        let opened = root.open_beneath(path);
                        assert_eq!(opened, Err(OpenError::Forbidden), "{root:?}");
                    }
                }
            }
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn refusal_names_the_component_and_what_it_lacks() {
        let place = Place::new("refusal");
        fs::create_dir_all(place.0.join("root/closed/sub")).unwrap();
        fs::write(place.0.join("root/closed/sub/file"), "").unwrap();
        symlink("closed/sub/file", place.0.join("root/through-closed")).unwrap();
        set_mode(&place, "root/closed", 0o700);
        set_mode(&place, "root/file", 0o600);
        set_mode(&place, "root/dir", 0o711);
        set_mode(&place, "root", 0o711);
        let anywhere: &[Links] = &[Links::None, Links::Beneath, Links::All];
        let cases: [(&str, &[Links], &str, Reason); 12] = [
            ("/closed/sub/file", anywhere, "/closed", Reason::Search),
            ("/closed/sub/", anywhere, "/closed", Reason::Search),
            ("/file", anywhere, "/file", Reason::Read),
            ("/dir/", anywhere, "/dir/", Reason::Read),
            ("/", anywhere, "/", Reason::Read),
            ("/pipe", anywhere, "/pipe", Reason::Kind),
            ("/inside", &[Links::None], "/inside", Reason::Link),
            (
                "/inside-dir/file",
                &[Links::None],
                "/inside-dir",
                Reason::Link,
            ),
            ("/up/secret", &[Links::Beneath], "/up", Reason::Link),
            ("/outside", &[Links::Beneath], "/outside", Reason::Link),
            (
                "/through-closed",
                &[Links::Beneath],
                "/through-closed",
                Reason::Link,
            ),
            ("/dir/../file", anywhere, "/dir/../file", Reason::DotSegment),
        ];
        as_stranger(|| {
            for (path, all_links, name, reason) in cases {
                for &links in all_links {
                    for root in [place.root(links), place.root(links).by_hand()] {
                        let opened = root.open_beneath(path.as_bytes());
                        assert_eq!(opened, Err(OpenError::Forbidden), "{path}, {root:?}");
                        let refusal = root.refusal(path.as_bytes());
                        let expected = Refusal {
                            path: name.as_bytes(),
                            reason,
                        };
                        assert_eq!(refusal, Some(expected), "{path}, {root:?}");
                    }
                }
            }
        });
        let root = place.root(Links::None);
        assert_eq!(root.refusal(b"/missing"), None);
        let text = format!("{}", root.refusal(b"/p\xff/../x").unwrap());
        assert_eq!(text, "/p\\xff/../x has a segment . or ..");
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
                place.root(Links::Beneath).by_hand(),
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
        let roots = [
            place.root(Links::None),
            place.root(Links::None).by_hand(),
            place.root(Links::Beneath).by_hand(),
        ];
        let open = || fs::read_dir("/dev/fd").unwrap().count();
        // Other tests run beside this one: what counts is that nothing grows with the number of calls.
        let before = open();
        for root in roots.iter().cycle().take(1_000) {
            let _ = root.open_beneath(b"/dir/deep/missing");
            for path in [
                "/outside",
                "/pipe",
                "/absolute-inside/file",
                "/by-a-link-outside",
                "/detour",
                "/outside-directory/root/dir/",
                "/loop",
            ] {
                if let Ok(file) = root.open_beneath(path.as_bytes()) {
                    file.close();
                }
            }
            root.open_beneath(b"/dir/deep/file").unwrap().close();
            root.status_beneath(b"/dir/deep/file").unwrap();
        }
        assert!(open() < before + 100);
    }
}
