//! What a path leads to in the file system. Nothing here touches the cache. Everything may wait for a disk or a
//! network with [`Patience::Any`]; with [`Patience::None`] what would have to be waited for is
//! [`SiteError::Pending`].

use super::DirectoryOptions;
use super::node::{CODINGS, Loaded, Node, Opened, Source, Stored, Variant};
use super::served::{Look, Served};
use crate::listing::{self, View};
use crate::throttle;
use capuchin_core::http::conditional::EntityTag;
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::media_type;
use capuchin_core::http::write::Writer;
use capuchin_core::site::SiteError;
use capuchin_posix::{File, FileStatus, Kind, Lookup, OpenError, Storage};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Attempts to read a file that changes while it is read.
const READ_ATTEMPTS: usize = 3;

/// Bytes of the fields that describe a file: some 200 are usual.
const READY_BYTES: usize = 512;

/// A compressed neighbour may be older than its file by less than this: `brotli -k`, `pigz` and others
/// cut the time that they copy to the second.
const NEIGHBOUR_OLDER_NS: u64 = 1_000_000_000;

/// For how long a device is taken to be what it was: its number may become that of another file system, which is
/// mounted later.
const DEVICE_KNOWN: Duration = Duration::from_secs(10);

/// Devices that are known at the same time.
const DEVICES: usize = 64;

/// Whether a call may wait for storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// No: for a worker.
    None,
    /// For as long as it takes.
    Any,
}

/// A directory and how it is served.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) served: Served,
    pub(super) options: DirectoryOptions,
    pub(super) devices: Arc<Devices>,
    #[cfg(test)]
    pub(super) seam: Option<Seam>,
}

/// Called in a test before anything that may wait for storage, with the path or with what is done.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Seam(pub(crate) Arc<Interposed>);

#[cfg(test)]
type Interposed = dyn Fn(&[u8]) + Send + Sync;

#[cfg(test)]
impl std::fmt::Debug for Seam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seam")
    }
}

/// What reading files on each device may wait for, as far as it was found out.
#[derive(Debug, Default)]
pub(super) struct Devices {
    known: Mutex<Vec<(u64, Storage, Instant)>>,
    /// Whether there are threads that can wait. Where there are none, all is done at once.
    pub(super) matter: std::sync::atomic::AtomicBool,
}

impl Devices {
    fn of(&self, device: u64) -> Storage {
        if !self.matter.load(std::sync::atomic::Ordering::Relaxed) {
            return Storage::Memory;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known
            .iter()
            .find(|(number, _, since)| *number == device && since.elapsed() < DEVICE_KNOWN);
        entry.map_or(Storage::Remote, |(_, storage, _)| *storage)
    }

    pub(super) fn learn(&self, device: u64, storage: Storage) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(number, _, since)| *number != device && since.elapsed() < DEVICE_KNOWN);
        if known.len() < DEVICES {
            known.push((device, storage, Instant::now()));
        }
    }
}

/// What a path leads to.
enum Target {
    File(Opened, FileStatus, Storage),
    Directory,
}

impl Loader {
    /// Opens the file at `path`, or tells that there is a directory.
    fn find(&self, path: &[u8], patience: Patience) -> Result<Target, OpenError> {
        let root = &self.served.root;
        #[cfg(test)]
        if let (Some(Seam(seam)), Patience::Any) = (&self.seam, patience) {
            seam(&[b"find ", path].concat());
        }
        let found = match patience {
            Patience::None => {
                root.find_at_hand(path, |device| self.devices.of(device) != Storage::Remote)?
            }
            Patience::Any => root.find_beneath(path)?,
        };
        let Lookup::File(file) = found else {
            return Ok(Target::Directory);
        };
        let opened = self.opened(file);
        let status = file.status()?;
        if patience == Patience::Any {
            self.devices.learn(status.device, file.storage());
        }
        let storage = match () {
            #[cfg(test)]
            () if self.seam.is_some() => Storage::Remote,
            () => self.devices.of(status.device),
        };
        Ok(Target::File(opened, status, storage))
    }

    fn opened(&self, file: File) -> Opened {
        Opened(
            file,
            #[cfg(test)]
            self.seam.clone(),
        )
    }

    /// Looks a path up in the file system. Contents that may be kept in memory are read, and their files
    /// stay open until it is known whether there is room for them.
    pub(super) fn load(
        &self,
        path: &[u8],
        view: Option<&View>,
        patience: Patience,
    ) -> Result<Loaded, SiteError> {
        #[cfg(test)]
        if let Some(Seam(seam)) = &self.seam {
            if patience == Patience::None {
                return Err(SiteError::Pending);
            }
            seam(path);
        }
        match self.served.look(patience) {
            Look::Same => {}
            Look::Gone => return Ok(Loaded::NoRoot),
            Look::Another(served) => return Ok(Loaded::AnotherRoot(served)),
            Look::Unknown => return Err(SiteError::Pending),
        }
        if !self.options.hidden && has_hidden_name(path) {
            return Err(SiteError::NotFound);
        }
        let found = self.find(path, patience);
        let node = match (self.allowed(path, found, patience)?, path.ends_with(b"/")) {
            (Target::File(file, status, storage), false) => {
                self.load_file(path, path, (file, status, storage), patience)?
            }
            (Target::File(..), true) => return Err(SiteError::NotFound),
            (Target::Directory, false) => return Ok(Loaded::Directory),
            (Target::Directory, true) => self.load_directory(path, view, patience)?,
        };
        Ok(Loaded::Node(Box::new(node)))
    }

    /// What was found at `path`, or the error for the client; at level `debug` the log says which permission is
    /// missing.
    fn allowed<T>(
        &self,
        path: &[u8],
        found: Result<T, OpenError>,
        patience: Patience,
    ) -> Result<T, SiteError> {
        if matches!(found, Err(OpenError::Forbidden)) && log::log_enabled!(log::Level::Debug) {
            if patience == Patience::None {
                return Err(SiteError::Pending); // to find out why may take long
            }
            match self.served.root.refusal(path) {
                Some(refusal) => log::debug!("403 for {}: {refusal}", path.escape_ascii()),
                None => log::debug!("403 for {}: it was changed meanwhile", path.escape_ascii()),
            }
        }
        found.map_err(site_error)
    }

    /// Bytes of the longest content that may be kept in memory, and has its tag computed from it.
    fn longest(&self) -> usize {
        self.options.cache_file_bytes.min(self.options.cache_bytes)
    }

    /// The index file of a directory, or its listing.
    fn load_directory(
        &self,
        path: &[u8],
        view: Option<&View>,
        patience: Patience,
    ) -> Result<Node, SiteError> {
        let root = &self.served.root;
        for index in &self.options.index {
            let name = [path, index.as_bytes()].concat();
            match self.find(&name, patience) {
                Ok(Target::File(file, status, storage)) => {
                    return self.load_file(path, &name, (file, status, storage), patience);
                }
                Ok(Target::Directory) | Err(OpenError::NotFound) => {}
                Err(error) => return self.allowed(&name, Err(error), patience),
            }
        }
        if !self.options.listing {
            let path = path.escape_ascii();
            log::debug!("403 for {path}: it has no index file, and directories are not listed");
            return Err(SiteError::Forbidden);
        }
        if patience == Patience::None {
            // It is read to its end, however many names it has.
            return Err(SiteError::Pending);
        }
        let directory = self.allowed(path, root.open_beneath(path), patience)?;
        let listing =
            listing::make(root, path, directory, &self.options, view).map_err(site_error)?;
        let page = listing.html.into_boxed_slice();
        let status = FileStatus {
            kind: Kind::Regular,
            length: page.len() as u64,
            modified: 0,
            modified_nanoseconds: 0,
            changed: 0,
            changed_nanoseconds: 0,
            inode: 0,
            device: 0,
        };
        let variant = Variant {
            status,
            settled: false,
            source: Source::Memory(Stored {
                bytes: page,
                head: 0,
            }),
            tag: None,
            modified: [0; 29],
            ready: Box::default(),
            file: None,
            storage: Storage::Memory,
        };
        Ok(Node {
            path: match view {
                Some(view) => view.cache_key(path),
                None => path.into(),
            },
            serial: 0,
            variants: [Some(variant), None, None],
            media_type: listing::MEDIA_TYPE,
            held: 0,
            // Believed for as long as files are, then made anew: nothing tells cheaply whether it is
            // still true, and making it for each request would let clients keep the worker busy. What
            // clients can invent is not kept.
            listed: listing.canonical,
            listing: true,
            checked: 0,
            recent: false,
        })
    }

    /// A regular file with its compressed neighbours. `name` is the file's own path.
    fn load_file(
        &self,
        path: &[u8],
        name: &[u8],
        (file, status, storage): (Opened, FileStatus, Storage),
        patience: Patience,
    ) -> Result<Node, SiteError> {
        let longest = self.longest();
        let variant = |file, status, storage| variant(file, status, longest, storage, patience);
        let mut variants = [
            Some(variant(file, status, storage).map_err(site_error)?),
            None,
            None,
        ];
        if self.options.precompressed {
            for (place, suffix) in variants[1..].iter_mut().zip([&b".gz"[..], b".br"]) {
                let (file, other, storage) = match self.find(&[name, suffix].concat(), patience) {
                    Ok(Target::File(file, status, storage)) => (file, status, storage),
                    Err(OpenError::WouldWait) => return Err(SiteError::Pending),
                    _ => continue,
                };
                if modified_ns(other).saturating_add(NEIGHBOUR_OLDER_NS) > modified_ns(status) {
                    *place = match variant(file, other, storage) {
                        Err(OpenError::WouldWait) => return Err(SiteError::Pending),
                        result => result.ok(),
                    };
                }
            }
        }
        // By the same bytes whether the content is in memory or not.
        let mut waits = false;
        let media_type = media_type::for_file(name, |memory| {
            match variants[0].as_ref()?.beginning(memory, patience) {
                Err(OpenError::WouldWait) => {
                    waits = true;
                    None
                }
                result => result.ok(),
            }
        });
        if waits {
            return Err(SiteError::Pending);
        }
        let varies = variants[1..].iter().any(Option::is_some);
        for (variant, coding) in variants.iter_mut().zip(CODINGS) {
            if let Some(variant) = variant {
                let mut memory = [0; READY_BYTES];
                let mut fields = Writer::new(&mut memory);
                variant
                    .representation(media_type, coding, varies)
                    .write_fields(&mut fields);
                if !fields.is_overflown() {
                    match &mut variant.source {
                        Source::Memory(stored) => stored.set_fields(fields.written()),
                        Source::File(_) => variant.ready = fields.written().into(),
                    }
                }
            }
        }
        Ok(Node {
            path: path.into(),
            serial: 0,
            variants,
            media_type,
            held: 0,
            listed: true,
            listing: false,
            checked: 0,
            recent: false,
        })
    }
}

/// When a file was modified, in nanoseconds since 1970.
fn modified_ns(status: FileStatus) -> u64 {
    let seconds = status.modified.saturating_mul(1_000_000_000);
    seconds.saturating_add(u64::from(status.modified_nanoseconds))
}

/// The content in memory beside its open file if it is not longer than `longest`, else the file. A short one
/// that does not hold still has no tag that would be its content's, and is [`OpenError::Exhausted`].
fn variant(
    file: Opened,
    mut status: FileStatus,
    longest: usize,
    storage: Storage,
    patience: Patience,
) -> Result<Variant, OpenError> {
    let mut content = None;
    let mut attempts = 0;
    while let Some(length) = usize::try_from(status.length)
        .ok()
        .filter(|&length| length <= longest)
    {
        attempts += 1;
        if attempts > READ_ATTEMPTS {
            return Err(OpenError::Exhausted);
        }
        let mut bytes = vec![0; length];
        let read = read(file.0, &mut bytes, storage, patience)?;
        let after = file.0.status()?;
        if read == length && after == status {
            content = Some(bytes.into_boxed_slice());
            break;
        }
        status = after;
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    // The time of the change, which nobody can set back: a tag must not outlive its content.
    let nanoseconds = status
        .changed
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(status.changed_nanoseconds));
    // A file that is replaced twice within one tick of the file system's clock may keep all
    // that is known of it; a tag of the content itself tells the two apart. Which of them it is
    // depends on the length alone: not on the memory that is free, which another worker may have.
    let tag = match &content {
        Some(bytes) => EntityTag::of_content(bytes),
        None => EntityTag::of_file(status.length, nanoseconds, status.inode),
    };
    let file = Arc::new(file);
    let (source, file) = match content {
        Some(bytes) => (Source::Memory(Stored { bytes, head: 0 }), Some(file)),
        None => (Source::File(file), None),
    };
    Ok(Variant {
        status,
        // Some file systems keep no time of the change of content but that of modification.
        settled: now > status.modified.max(status.changed) + 1,
        tag: Some(tag),
        modified: HttpDate(status.modified).format(),
        ready: Box::default(),
        source,
        file,
        storage,
    })
}

/// Reads from the beginning of a file on; less than there was room for only at its end.
pub(super) fn read(
    file: File,
    buffer: &mut [u8],
    storage: Storage,
    patience: Patience,
) -> Result<usize, OpenError> {
    if patience == Patience::Any || storage == Storage::Memory {
        return file.read_at(buffer, 0);
    }
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at_hand(&mut buffer[done..], done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

fn has_hidden_name(path: &[u8]) -> bool {
    let path = path
        .strip_prefix(b"/.well-known")
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
        .unwrap_or(path);
    path.windows(2).any(|pair| pair == b"/.")
}

fn site_error(error: OpenError) -> SiteError {
    match error {
        OpenError::NotFound | OpenError::TooLong => SiteError::NotFound,
        OpenError::Forbidden => SiteError::Forbidden,
        OpenError::Exhausted => SiteError::Busy,
        OpenError::WouldWait => SiteError::Pending,
        other => {
            let error = io::Error::last_os_error();
            let kind = error.raw_os_error().unwrap_or(0).unsigned_abs() as usize;
            if let Some(more) = throttle::admit(kind) {
                log::warn!("a file cannot be read: {other} ({error}){more}");
            }
            SiteError::Failed
        }
    }
}
