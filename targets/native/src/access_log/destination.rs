//! Where the lines go, as it is opened and found again.

use super::Destination;
use capuchin_posix::{Folder, standard_output};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How a file is found again when it is to be reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By its path.
    Path,
    /// By its name in the directory that is opened now: for a process that gives up paths.
    Directory,
}

/// A destination as the writer opens it.
pub(super) enum Place {
    Stdout,
    Path(PathBuf),
    Directory(Folder, CString),
}

impl Place {
    pub fn of(destination: &Destination, reach: Reach) -> io::Result<Self> {
        match (destination, reach) {
            (Destination::Stdout, _) => Ok(Self::Stdout),
            (Destination::File(path), Reach::Path) => Ok(Self::Path(path.clone())),
            (Destination::File(path), Reach::Directory) => {
                let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
                let folder = Folder::open(&directory_of(path)?);
                Ok(Self::Directory(
                    folder.map_err(io::Error::from_raw_os_error)?,
                    CString::new(name.as_bytes())?,
                ))
            }
        }
    }

    /// `None` for a named pipe that nobody reads yet.
    pub fn open(&self) -> io::Result<Option<Box<dyn Write + Send>>> {
        let file = match self.append(true) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
            Err(error) => return Err(error),
        };
        if matches!(self, Self::Stdout) {
            return Ok(Some(Box::new(file)));
        }
        // The writer itself may wait: it is there so that nobody else has to.
        // SAFETY: the descriptor is open, and no memory is passed.
        let result = unsafe {
            let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Some(Box::new(file)))
    }

    /// Opens the file to add to it. Without O_NONBLOCK the opening of a pipe would wait for its reader.
    pub fn append(&self, create: bool) -> io::Result<File> {
        match self {
            Self::Stdout => standard_output(),
            Self::Path(path) => OpenOptions::new()
                .append(true)
                .create(create)
                .mode(LOG_MODE)
                .custom_flags(libc::O_NONBLOCK)
                .open(path),
            Self::Directory(folder, name) => folder
                .append(name, create.then_some(LOG_MODE))
                .map_err(io::Error::from_raw_os_error),
        }
    }
}

/// Permissions of a log that is made: the owner's, and its group may read.
const LOG_MODE: u32 = 0o640;

/// Whether this process may make files in the directory of `path` (access(2)).
pub(super) fn may_make_files_beside(path: &Path) -> io::Result<()> {
    let directory = directory_of(path)?;
    // SAFETY: the name ends with NUL.
    match unsafe { libc::access(directory.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn directory_of(path: &Path) -> io::Result<CString> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    Ok(CString::new(directory.as_os_str().as_bytes())?)
}
