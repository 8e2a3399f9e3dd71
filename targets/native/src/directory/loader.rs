//! What a path leads to in the file system. Everything here may wait for a disk, and nothing here touches the
//! cache.

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
use capuchin_posix::{FileStatus, Kind, Lookup, OpenError};
use std::io;

/// Attempts to read a file that changes while it is read.
const READ_ATTEMPTS: usize = 3;

/// Bytes of the fields that describe a file: some 200 are usual.
const READY_BYTES: usize = 512;

/// A compressed neighbour may be older than its file by less than this: `brotli -k`, `pigz` and others
/// cut the time that they copy to the second.
const NEIGHBOUR_OLDER_NS: u64 = 1_000_000_000;

/// A directory and how it is served.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) served: Served,
    pub(super) options: DirectoryOptions,
}

impl Loader {
    /// Looks a path up in the file system. Contents that may be kept in memory are read, and their files
    /// stay open until it is known whether there is room for them.
    pub(super) fn load(&self, path: &[u8], view: Option<&View>) -> Result<Loaded, SiteError> {
        match self.served.look() {
            Look::Same => {}
            Look::Gone => return Ok(Loaded::NoRoot),
            Look::Another(served) => return Ok(Loaded::AnotherRoot(served)),
        }
        if !self.options.hidden && has_hidden_name(path) {
            return Err(SiteError::NotFound);
        }
        let found = self.served.root.find_beneath(path);
        let node = match (self.allowed(path, found)?, path.ends_with(b"/")) {
            (Lookup::File(file), false) => self.load_file(path, path, Opened(file))?,
            (Lookup::File(file), true) => {
                file.close();
                return Err(SiteError::NotFound);
            }
            (Lookup::Directory, false) => return Ok(Loaded::Directory),
            (Lookup::Directory, true) => self.load_directory(path, view)?,
        };
        Ok(Loaded::Node(Box::new(node)))
    }

    /// What was found at `path`, or what a client is told; a log of level debug tells which permission is
    /// lacking.
    fn allowed<T>(&self, path: &[u8], found: Result<T, OpenError>) -> Result<T, SiteError> {
        if matches!(found, Err(OpenError::Forbidden)) && log::log_enabled!(log::Level::Debug) {
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
    fn load_directory(&self, path: &[u8], view: Option<&View>) -> Result<Node, SiteError> {
        let root = &self.served.root;
        for index in &self.options.index {
            let name = [path, index.as_bytes()].concat();
            match root.find_beneath(&name) {
                Ok(Lookup::File(file)) => return self.load_file(path, &name, Opened(file)),
                Ok(Lookup::Directory) | Err(OpenError::NotFound) => {}
                Err(error) => return self.allowed(&name, Err(error)),
            }
        }
        if !self.options.listing {
            let path = path.escape_ascii();
            log::debug!("403 for {path}: it has no index file, and directories are not listed");
            return Err(SiteError::Forbidden);
        }
        let directory = self.allowed(path, root.open_beneath(path))?;
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
    fn load_file(&self, path: &[u8], name: &[u8], file: Opened) -> Result<Node, SiteError> {
        let longest = self.longest();
        let status = file.0.status().map_err(site_error)?;
        let mut variants = [
            Some(variant(file, status, longest).map_err(site_error)?),
            None,
            None,
        ];
        if self.options.precompressed {
            for (place, suffix) in variants[1..].iter_mut().zip([&b".gz"[..], b".br"]) {
                let neighbour = self.served.root.find_beneath(&[name, suffix].concat());
                let Ok(Lookup::File(file)) = neighbour else {
                    continue;
                };
                let file = Opened(file);
                let Ok(other) = file.0.status() else { continue };
                if modified_ns(other).saturating_add(NEIGHBOUR_OLDER_NS) > modified_ns(status) {
                    *place = variant(file, other, longest).ok();
                }
            }
        }
        // By the same bytes whether the content is in memory or not.
        let media_type =
            media_type::for_file(name, |memory| variants[0].as_ref()?.beginning(memory));
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
fn variant(file: Opened, mut status: FileStatus, longest: usize) -> Result<Variant, OpenError> {
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
        let read = file.0.read_at(&mut bytes, 0)?;
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
    let (source, file) = match content {
        Some(bytes) => (Source::Memory(Stored { bytes, head: 0 }), Some(file)),
        None => (Source::File(file.into_file()), None),
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
    })
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
