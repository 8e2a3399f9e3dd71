//! The directory that is served, and whether its path still leads to it: a deployment may put another in
//! its place (`ln -s new t; mv -T t root`), or remove it and make it again.

use capuchin_posix::{FileStatus, Links, OpenError, Root};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

/// A directory that is open.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) root: Root,
    status: FileStatus,
    links: Links,
    /// Where it is looked for. None in FreeBSD's sandbox, where no path leads anywhere.
    path: Option<PathBuf>,
    /// Whether the last look did not find the directory.
    missed: AtomicBool,
}

/// What the path of the directory leads to now.
pub(super) enum Look {
    /// The directory that is open.
    Same,
    /// Nothing, or no directory.
    Gone,
    /// Another one.
    Another(Box<Served>),
}

impl Served {
    /// Opens the directory at `path`.
    pub(super) fn open(path: &Path, links: Links) -> Result<Self, OpenError> {
        let root = Root::open(&c_path(path)?, links)?;
        let served = Self::of(root, links, std::path::absolute(path).ok())?;
        served.say(State::Open(served.place()), None);
        Ok(served)
    }

    /// As [`Served::open`], for a process that enters the sandbox: it stays with the directory that is
    /// open, whatever becomes of the path.
    pub(super) fn open_limited(path: &Path, links: Links) -> Result<Self, OpenError> {
        Self::of(Root::open(&c_path(path)?, links)?.limited()?, links, None)
    }

    fn of(root: Root, links: Links, path: Option<PathBuf>) -> Result<Self, OpenError> {
        // Opening a directory does not prove that names in it can be reached.
        root.status_beneath(b"/")?;
        Ok(Self {
            status: root.status()?,
            root,
            links,
            path,
            missed: AtomicBool::new(false),
        })
    }

    /// Looks where the path leads now. A change is logged once, however many workers see it.
    pub(super) fn look(&self) -> Look {
        let Some(path) = &self.path else {
            return Look::Same;
        };
        let found = match fs::metadata(path) {
            Ok(found) => (found.dev(), found.ino()),
            Err(error) => return self.miss(&error),
        };
        if found == self.place() {
            if self.missed.swap(false, Ordering::Relaxed) {
                self.say(State::Open(found), None);
            }
            return Look::Same;
        }
        let opened = c_path(path)
            .and_then(|name| Root::open(&name, self.links))
            .and_then(|root| Self::of(root, self.links, self.path.clone()));
        match opened {
            Ok(other) => {
                other.say(State::Open(other.place()), None);
                Look::Another(Box::new(other))
            }
            Err(OpenError::NotFound) => self.miss(&io::ErrorKind::NotADirectory.into()),
            Err(error) => self.miss(&io::Error::other(error)),
        }
    }

    /// The path leads to no directory. Where that cannot be known, as for a user who may not search the
    /// directories above, the one that is open is kept.
    fn miss(&self, error: &io::Error) -> Look {
        self.missed.store(true, Ordering::Relaxed);
        let is_gone = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        );
        if is_gone {
            self.say(State::Gone, None);
            Look::Gone
        } else {
            self.say(State::Unknown, Some(error));
            Look::Same
        }
    }

    /// The device and the inode number.
    fn place(&self) -> (u64, u64) {
        (self.status.device, self.status.inode)
    }

    fn say(&self, state: State, error: Option<&io::Error>) {
        let Some(path) = &self.path else { return };
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(path.clone(), state);
        if before.is_none() || before == Some(state) {
            return;
        }
        let path = path.display();
        match (state, error) {
            (State::Open(_), _) if matches!(before, Some(State::Open(_))) => {
                log::info!("{path} is another directory now, and is served from now on");
            }
            (State::Open(_), _) => log::info!("{path} is there again, and is served from now on"),
            (State::Gone, _) => {
                log::warn!("{path} is gone: requests get 503 until it is there again");
            }
            (State::Unknown, Some(error)) => log::warn!(
                "{path} cannot be looked up any more ({error}): what was opened at first goes on to be served"
            ),
            (State::Unknown, None) => {}
        }
    }
}

/// What was found at a path, by its device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open((u64, u64)),
    Gone,
    Unknown,
}

/// What was last said of each path: every worker looks for itself, and one line is enough.
static KNOWN: Mutex<BTreeMap<PathBuf, State>> = Mutex::new(BTreeMap::new());

fn c_path(path: &Path) -> Result<CString, OpenError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| OpenError::NotFound)
}
