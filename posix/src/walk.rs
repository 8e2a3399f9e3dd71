//! Follows a path below a root name by name, with symbolic links resolved here and not by the kernel.
//!
//! This is how a path is followed where no system call stays beneath a directory (an old kernel, a
//! filter of system calls), and where such a call refuses a link that leaves the root and comes back,
//! as every absolute link does for openat2(2).
//!
//! Each name is looked up in the descriptor of the directory that it is in, and the kernel follows none
//! (`O_NOFOLLOW`). So it does not matter what is renamed or replaced meanwhile: each directory that is
//! opened is one that a name in the directory before it led to, and the first is the root. `..` below
//! the root is not looked up, because its directory may have been moved elsewhere: the last name is
//! taken off, and the walk begins again at the root.
//!
//! A link may lead out of the root. Directories there are opened only to look at (`O_PATH`), to find out
//! whether the way comes back: a directory with the root's device and inode number is the root, and the
//! walk goes on in the root's own descriptor. A path that ends outside is forbidden, whether or not it
//! names something.

use crate::errno::{errno, retry};
use crate::file::{File, FileStatus, Kind, O_READ, OpenError};
use crate::sys;
use core::ffi::{CStr, c_int};

/// Bytes of the longest path, its NUL included; what Linux takes (`PATH_MAX`).
pub(crate) const PATH_CAPACITY: usize = 4_096;

/// Symbolic links that one path may lead through: `MAXSYMLINKS` of Linux (path_resolution(7)).
pub(crate) const LINKS_LIMIT: u32 = 40;

/// Names that are looked up for one path. A path of [`PATH_CAPACITY`] bytes has a quarter as many; more
/// are looked up only for links with many `..` in them, each of which begins the walk again.
pub(crate) const STEPS_LIMIT: u32 = 8_192;

/// The way to one file.
pub(crate) struct Walk {
    /// The root's descriptor, which the walk does not close.
    root: c_int,
    /// Whether symbolic links are followed.
    follow: bool,
    /// Where the next name is looked up.
    directory: c_int,
    /// Whether `directory` was reached by leaving the root.
    outside: bool,
    /// The names from the root to `directory`, a slash behind each; none outside.
    passed: heapless::Vec<u8, PATH_CAPACITY>,
    rest: Rest,
    links: u32,
    steps: u32,
}

/// Why the walk cannot go on at a name.
pub(crate) enum StepError {
    /// It is a symbolic link, which the kernel was told not to follow.
    Link,
    Failed(OpenError),
}

impl From<OpenError> for StepError {
    fn from(error: OpenError) -> Self {
        Self::Failed(error)
    }
}

impl Walk {
    /// The way to `path`, which is relative to the directory `root`.
    pub fn new(root: c_int, path: &[u8], follow: bool) -> Result<Self, OpenError> {
        let mut rest = Rest::default();
        rest.prepend(path, false)?;
        Ok(Self {
            root,
            follow,
            directory: root,
            outside: false,
            passed: heapless::Vec::new(),
            rest,
            links: 0,
            steps: 0,
        })
    }

    /// Goes to the last name, and takes `last_step` there. A link in its place is followed, if links
    /// are, so `last_step` may be called several times.
    pub fn run<R>(
        mut self,
        last_step: impl Fn(&Step<'_>) -> Result<R, StepError>,
    ) -> Result<R, OpenError> {
        loop {
            let Some(name) = self.rest.next_name() else {
                if self.outside {
                    return Err(OpenError::Forbidden);
                }
                // The path ends in a directory that is open already.
                return last_step(&self.step(c".", true)).map_err(not_followed);
            };
            match self.rest.bytes(&name) {
                b"." => {}
                b".." => self.up()?,
                _ => {
                    if let Some(result) = self.step_along(&name, &last_step)? {
                        return Ok(result);
                    }
                }
            }
        }
    }

    /// Enters the directory `name`, follows the link, or takes the last step and gives what comes of it.
    fn step_along<R>(
        &mut self,
        name: &Name,
        last_step: &impl Fn(&Step<'_>) -> Result<R, StepError>,
    ) -> Result<Option<R>, OpenError> {
        loop {
            self.count_step()?;
            let step = self.step(self.rest.c_str(name), name.slash);
            let error = if name.last && !self.outside {
                match last_step(&step) {
                    Ok(result) => return Ok(Some(result)),
                    Err(error) => error,
                }
            } else {
                match step.through() {
                    Ok(directory) => {
                        self.enter(directory, name)?;
                        return Ok(None);
                    }
                    Err(error) => error,
                }
            };
            let followed = match error {
                StepError::Link if self.follow => self.follow_link(name),
                StepError::Link => Err(OpenError::Forbidden),
                StepError::Failed(error) => Err(error),
            };
            match followed {
                Ok(true) => return Ok(None),
                // Another file took the link's place: the name is looked up again.
                Ok(false) => {}
                // Whether a file exists outside of the root must not be disclosed.
                Err(_) if self.outside => return Err(OpenError::Forbidden),
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts what the link `name` says before the rest of the path; `false` when it is no link any more.
    fn follow_link(&mut self, name: &Name) -> Result<bool, OpenError> {
        let mut memory = [0; PATH_CAPACITY];
        let Some(target) = read_link(self.directory, self.rest.c_str(name), &mut memory)? else {
            return Ok(false);
        };
        self.links += 1;
        if self.links > LINKS_LIMIT {
            return Err(OpenError::Forbidden);
        }
        if target.is_empty() {
            return Err(OpenError::NotFound);
        }
        self.rest.prepend(target, name.slash)?;
        if target.starts_with(b"/") {
            // In a sandbox nothing is opened by an absolute path.
            let top = open_at(libc::AT_FDCWD, c"/", THROUGH).map_err(|_| OpenError::Forbidden)?;
            self.go_to(top);
        }
        Ok(true)
    }

    /// Goes on in `directory`, which `name` led to.
    fn enter(&mut self, directory: c_int, name: &Name) -> Result<(), OpenError> {
        if self.outside {
            self.go_to(directory);
            return Ok(());
        }
        self.leave();
        self.directory = directory;
        for part in [self.rest.bytes(name), b"/"] {
            self.passed
                .extend_from_slice(part)
                .map_err(|_| OpenError::TooLong)?;
        }
        Ok(())
    }

    /// Goes to the directory above.
    fn up(&mut self) -> Result<(), OpenError> {
        self.count_step()?;
        if self.outside || self.passed.is_empty() {
            let above =
                open_at(self.directory, c"..", THROUGH).map_err(|_| OpenError::Forbidden)?;
            self.go_to(above);
            return Ok(());
        }
        // As for any name, it must be allowed to search the directory.
        status_at(self.directory, c".").map_err(OpenError::of)?;
        self.passed.pop();
        let kept = self.passed.iter().rposition(|&byte| byte == b'/');
        self.passed.truncate(kept.map_or(0, |slash| slash + 1));
        self.rest.prepend(&self.passed, false)?;
        self.passed.clear();
        self.leave();
        self.directory = self.root;
        Ok(())
    }

    /// Goes on in `directory`, which lies outside unless it is the root.
    fn go_to(&mut self, directory: c_int) {
        self.leave();
        self.passed.clear();
        self.outside = !is_same(directory, self.root);
        self.directory = directory;
        if !self.outside {
            self.leave();
            self.directory = self.root;
        }
    }

    /// Closes the directory unless it is the root's own descriptor.
    fn leave(&mut self) {
        if self.directory != self.root {
            File(self.directory).close();
            self.directory = self.root;
        }
    }

    fn count_step(&mut self) -> Result<(), OpenError> {
        self.steps += 1;
        if self.steps > STEPS_LIMIT {
            return Err(OpenError::Forbidden);
        }
        Ok(())
    }

    fn step<'a>(&self, name: &'a CStr, slash: bool) -> Step<'a> {
        Step {
            directory: self.directory,
            name,
            follow: false,
            slash,
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A link that nothing follows.
pub(crate) fn not_followed(error: StepError) -> OpenError {
    match error {
        StepError::Link => OpenError::Forbidden,
        StepError::Failed(error) => error,
    }
}

/// The names that are still to be looked up, at the end of the memory, so that more can be put before
/// them; NUL behind them.
struct Rest {
    memory: [u8; 2 * PATH_CAPACITY],
    begin: usize,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            memory: [0; 2 * PATH_CAPACITY],
            begin: 2 * PATH_CAPACITY - 1,
        }
    }
}

/// A name in [`Rest`], NUL behind it: good until something is put before the rest.
struct Name {
    begin: usize,
    end: usize,
    /// Whether no other name follows.
    last: bool,
    /// Whether a slash follows: then it must be a directory's.
    slash: bool,
}

impl Rest {
    /// Takes the next name; `None` behind the last.
    fn next_name(&mut self) -> Option<Name> {
        self.skip_slashes();
        let begin = self.begin;
        let rest = &self.memory[begin..];
        let length = rest.iter().position(|&byte| byte == b'/' || byte == 0)?;
        if length == 0 {
            return None;
        }
        let end = begin + length;
        let slash = self.memory[end] == b'/';
        self.begin = end;
        self.skip_slashes();
        self.memory[end] = 0;
        Some(Name {
            begin,
            end,
            last: self.memory[self.begin] == 0,
            slash,
        })
    }

    fn skip_slashes(&mut self) {
        while self.memory[self.begin] == b'/' {
            self.begin += 1;
        }
    }

    fn bytes(&self, name: &Name) -> &[u8] {
        &self.memory[name.begin..name.end]
    }

    fn c_str(&self, name: &Name) -> &CStr {
        let bytes = &self.memory[name.begin..];
        CStr::from_bytes_until_nul(bytes).unwrap_or_default()
    }

    /// Puts `path`, and a slash behind it if there is to be one, before what is left.
    fn prepend(&mut self, path: &[u8], slash: bool) -> Result<(), OpenError> {
        let end = self.begin - usize::from(slash);
        let begin = end.checked_sub(path.len()).ok_or(OpenError::TooLong)?;
        self.memory[end..self.begin].fill(b'/');
        self.memory[begin..end].copy_from_slice(path);
        self.begin = begin;
        Ok(())
    }
}

/// One name on the way to a file.
pub(crate) struct Step<'a> {
    pub directory: c_int,
    pub name: &'a CStr,
    /// Whether the kernel follows links.
    pub follow: bool,
    /// Whether the name must be a directory's.
    pub slash: bool,
}

impl Step<'_> {
    /// What the system knows of the file; nothing is opened.
    pub fn status(&self) -> Result<FileStatus, StepError> {
        let status = if self.follow {
            status_of(self.directory, self.name, 0)
        } else {
            status_at(self.directory, self.name)
        };
        let status = status.map_err(OpenError::of)?;
        match status.kind {
            Kind::Link => Err(StepError::Link),
            Kind::Regular | Kind::Other if self.slash => Err(OpenError::NotFound.into()),
            _ => Ok(status),
        }
    }

    /// Opens the file for reading, once [`Step::status`] has told that opening it does nothing else.
    /// Should another take its place between the two, it is at least no link.
    pub fn open(&self) -> Result<File, StepError> {
        let no_link = if self.follow { 0 } else { libc::O_NOFOLLOW };
        match open_at(self.directory, self.name, O_READ | no_link) {
            Err(libc::ELOOP | libc::EMLINK) if !self.follow => Err(StepError::Link),
            result => Ok(File(result.map_err(OpenError::of)?)),
        }
    }

    /// Opens a directory that the way leads through.
    fn through(&self) -> Result<c_int, StepError> {
        match open_at(self.directory, self.name, THROUGH) {
            // A link in the place of a directory is one of these, and a file the first.
            Err(error @ (libc::ENOTDIR | libc::ELOOP | libc::EMLINK)) => match self.status() {
                Err(StepError::Link) => Err(StepError::Link),
                _ => Err(OpenError::of(error).into()),
            },
            result => Ok(result.map_err(OpenError::of)?),
        }
    }
}

/// How a directory is opened that a path leads through.
const THROUGH: c_int = sys::O_LOOK | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_DIRECTORY;

/// What the system knows of a name, which is not followed.
fn status_at(directory: c_int, name: &CStr) -> Result<FileStatus, i32> {
    status_of(directory, name, libc::AT_SYMLINK_NOFOLLOW)
}

fn status_of(directory: c_int, name: &CStr, flags: c_int) -> Result<FileStatus, i32> {
    // SAFETY: zeros are a valid `stat`.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the name ends with NUL, `status` is valid for writing.
    let result = unsafe { libc::fstatat(directory, name.as_ptr(), &raw mut status, flags) };
    if result < 0 {
        return Err(errno());
    }
    Ok(FileStatus::of(&status))
}

/// Whether two descriptors are of one file.
fn is_same(one: c_int, other: c_int) -> bool {
    match (File(one).status(), File(other).status()) {
        (Ok(one), Ok(other)) => (one.device, one.inode) == (other.device, other.inode),
        _ => false,
    }
}

/// What a symbolic link says; `None` when it is none.
fn read_link<'m>(
    directory: c_int,
    name: &CStr,
    memory: &'m mut [u8; PATH_CAPACITY],
) -> Result<Option<&'m [u8]>, OpenError> {
    // SAFETY: the name ends with NUL, and as many bytes as are passed may be written.
    let call = || unsafe {
        libc::readlinkat(
            directory,
            name.as_ptr(),
            memory.as_mut_ptr().cast(),
            PATH_CAPACITY,
        )
    };
    match retry(call) {
        Ok(PATH_CAPACITY) => Err(OpenError::TooLong),
        Ok(length) => Ok(Some(&memory[..length])),
        Err(libc::EINVAL) => Ok(None),
        Err(error) => Err(OpenError::of(error)),
    }
}

pub(crate) fn open_at(directory: c_int, name: &CStr, flags: c_int) -> Result<c_int, i32> {
    // SAFETY: `name` ends with NUL.
    retry(|| unsafe { libc::openat(directory, name.as_ptr(), flags) } as isize)
        .map(|descriptor| descriptor as c_int)
}
