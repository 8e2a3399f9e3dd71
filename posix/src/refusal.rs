//! Why a file may not be served: for those who set permissions, not for clients.

use core::fmt;

/// What keeps a file from being served, and where on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'p> {
    /// The path up to the name that is meant; below the root, with `/` first.
    pub path: &'p [u8],
    /// What it lacks.
    pub reason: Reason,
}

/// What a name on the way to a file lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The permission to search the directory (`x`).
    Search,
    /// The permission to read it (`r`).
    Read,
    /// It is a symbolic link that is not followed, leads out of the root, leads through too many others,
    /// or leads through a directory that may not be searched.
    Link,
    /// It is neither a regular file nor a directory.
    Kind,
    /// The path has a segment `.` or `..`.
    DotSegment,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_ascii();
        match self.reason {
            Reason::Search => write!(f, "{path} lacks the permission to be searched (x)"),
            Reason::Read => write!(f, "{path} lacks the permission to be read (r)"),
            Reason::Link => write!(
                f,
                "{path} is a symbolic link that is not followed, or leads to where nothing is served"
            ),
            Reason::Kind => write!(f, "{path} is neither a regular file nor a directory"),
            Reason::DotSegment => write!(f, "{path} has a segment . or .."),
        }
    }
}
