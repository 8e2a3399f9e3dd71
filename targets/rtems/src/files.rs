//! The files of a directory, of whatever file system is mounted there.
//!
//! A file is open only while a reply needs it. A file that changes while it is sent ends its reply:
//! the client sees an incomplete one, never a mixed one, as far as a change shows in the file's length
//! or time. IMFS, JFFS2 and others keep whole seconds, FAT two of them: of a file that was written so
//! recently another content of the same length may be sent along, and it has neither entity tag nor
//! `Last-Modified` yet, so that nobody keeps it for what it is not.

use capuchin_core::http::conditional::EntityTag;
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::Coding;
use capuchin_core::http::media_type;
use capuchin_core::http::path;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Representation, Site, SiteError};
use capuchin_core::throttle::Throttle;
use capuchin_core::transport::Clock;
use capuchin_posix::{File, FileStatus, Kind, OpenError, PosixClock, Root};
use core::ops::Range;

/// Served for a directory.
const INDEX: &[u8] = b"index.html";

/// Bytes of the longest path that is looked for.
const LONGEST_PATH: usize = 256;

/// Files that replies hold open.
pub struct Files {
    root: Root,
    held: &'static mut [Held],
    /// For lines about files that cannot be opened.
    throttle: Throttle<1>,
}

/// A file that a reply holds.
pub struct Held(Option<Open>);

struct Open {
    file: File,
    status: FileStatus,
    tag: EntityTag,
    modified_text: [u8; HttpDate::LENGTH],
}

impl Open {
    /// Whether the file is what its reply promised. One that was replaced by renaming is: it goes on
    /// without its name.
    fn still_holds(&self) -> bool {
        let now = self.file.status();
        now.is_ok_and(|now| now.goes_on_from(self.status))
    }
}

impl Held {
    pub const NONE: Self = Self(None);
}

impl Files {
    /// At most as many files as `held` has places are open at a time.
    pub fn new(root: Root, held: &'static mut [Held]) -> Self {
        Self {
            root,
            held,
            throttle: Throttle::new(),
        }
    }

    fn open(&self, path: &[u8]) -> Result<(File, FileStatus), OpenError> {
        let file = self.root.open_beneath(path)?;
        match file.status() {
            Ok(status) => Ok((file, status)),
            Err(error) => {
                file.close();
                Err(error)
            }
        }
    }

    /// The file that answers for `path`; `None` for a directory whose slash is missing.
    fn resolve(&self, path: &[u8]) -> Result<Option<(File, FileStatus)>, OpenError> {
        if path.ends_with(b"/") {
            let mut memory = [0; LONGEST_PATH];
            let length = path.len() + INDEX.len();
            let whole = memory.get_mut(..length).ok_or(OpenError::TooLong)?;
            whole[..path.len()].copy_from_slice(path);
            whole[path.len()..].copy_from_slice(INDEX);
            return self.regular(self.open(whole)?).map(Some);
        }
        let (file, status) = self.open(path)?;
        if status.kind == Kind::Directory {
            file.close();
            return Ok(None);
        }
        self.regular((file, status)).map(Some)
    }

    fn regular(&self, (file, status): (File, FileStatus)) -> Result<(File, FileStatus), OpenError> {
        if status.kind == Kind::Regular {
            return Ok((file, status));
        }
        file.close();
        Err(OpenError::Forbidden)
    }

    fn site_error(&mut self, error: OpenError, now: u64) -> SiteError {
        match error {
            OpenError::NotFound | OpenError::TooLong => SiteError::NotFound,
            OpenError::Forbidden => SiteError::Forbidden,
            OpenError::Exhausted => SiteError::Busy,
            other => {
                if let Some(more) = self.throttle.admit(0, now) {
                    log::warn!("a file cannot be opened: {other}{more}");
                }
                SiteError::Failed
            }
        }
    }
}

/// The type is told by the path that the client named, or by the index page's.
fn type_of(path: &[u8]) -> &'static str {
    media_type::for_path(if path.ends_with(b"/") { INDEX } else { path })
}

impl Site for Files {
    type File = File;

    fn find(&mut self, path: &[u8], _: Accepts<'_>, now: u64) -> Result<Found<'_>, SiteError> {
        // The file systems of RTEMS take a backslash for a slash.
        if !path::is_portable(path) {
            return Err(SiteError::NotFound);
        }
        let Some(place) = self.held.iter().position(|held| held.0.is_none()) else {
            return Err(SiteError::Busy);
        };
        let resolved = self.resolve(path);
        let Some((file, status)) = resolved.map_err(|error| self.site_error(error, now))? else {
            return Ok(Found::Directory);
        };
        let nanoseconds = status
            .modified
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(status.modified_nanoseconds));
        let open = self.held[place].0.insert(Open {
            file,
            status,
            tag: EntityTag::of_file(status.length, nanoseconds, status.inode),
            modified_text: HttpDate(status.modified).format(),
        });
        let settled = status.is_settled(PosixClock.unix_time());
        let representation = Representation {
            length: status.length,
            media_type: type_of(path),
            tag: settled.then_some(&open.tag),
            modified: settled.then_some(HttpDate(status.modified)),
            modified_text: settled.then_some(&open.modified_text),
            coding: Coding::Identity,
            varies: false,
            cache_control: None,
            ready: None,
            content: None,
        };
        Ok(Found::Content(ContentId(place as u32), representation))
    }

    fn content(&mut self, id: ContentId, _: Range<u64>) -> Content<'_, File> {
        let held = self
            .held
            .get(id.0 as usize)
            .and_then(|held| held.0.as_ref());
        match held {
            Some(open) if open.still_holds() => Content::File(open.file),
            _ => Content::Gone,
        }
    }

    fn release(&mut self, id: ContentId) {
        if let Some(held) = self.held.get_mut(id.0 as usize)
            && let Some(open) = held.0.take()
        {
            open.file.close();
        }
    }
}

#[cfg(all(test, not(target_os = "rtems")))]
mod tests {
    use super::*;
    use capuchin_posix::Links;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn names_that_rtems_would_take_for_paths_are_not_found() {
        let directory =
            std::env::temp_dir().join(std::format!("capuchin-names-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let root = CString::new(directory.as_os_str().as_bytes()).unwrap();
        let root = Root::open(&root, Links::Beneath).unwrap();
        let mut files = Files::new(root, std::vec![Held::NONE].leak());
        for (name, found) in [
            ("a b", true),
            ("a\\b", false),
            ("..\\b", false),
            ("a\nb", false),
        ] {
            std::fs::write(directory.join(name), name).unwrap();
            let path = [b"/", name.as_bytes()].concat();
            match files.find(&path, Accepts::identity(), 0) {
                Ok(Found::Content(id, _)) => {
                    assert!(found, "{name}");
                    files.release(id);
                }
                other => {
                    assert!(
                        !found && matches!(other, Err(SiteError::NotFound)),
                        "{name}"
                    );
                }
            }
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn file_has_validators_once_a_coarse_time_of_change_is_over() {
        let directory =
            std::env::temp_dir().join(std::format!("capuchin-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let root = CString::new(directory.as_os_str().as_bytes()).unwrap();
        let root = Root::open(&root, Links::Beneath).unwrap();
        let mut files = Files::new(root, std::vec![Held::NONE].leak());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for (age, settled) in [(0, false), (10, true)] {
            let file = std::fs::File::create(directory.join("a.txt")).unwrap();
            // As a file system would that keeps whole seconds.
            let modified = UNIX_EPOCH + Duration::from_secs(now.as_secs() - age);
            file.set_modified(modified).unwrap();
            let found = files.find(b"/a.txt", Accepts::identity(), 0).unwrap();
            let Found::Content(id, representation) = found else {
                panic!("a file is no directory");
            };
            assert_eq!(representation.tag.is_some(), settled);
            assert_eq!(representation.modified.is_some(), settled);
            assert_eq!(representation.modified_text.is_some(), settled);
            files.release(id);
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
