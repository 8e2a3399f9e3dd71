//! What a path leads to in the file system. Everything here may wait for a disk, and nothing here touches the
//! cache.

use super::DirectoryOptions;
use super::node::{CODINGS, Loaded, Node, Source, Stored, Variant};
use crate::listing::{self, View};
use crate::throttle;
use capuchin_core::http::conditional::EntityTag;
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::media_type;
use capuchin_core::http::write::Writer;
use capuchin_core::site::SiteError;
use capuchin_posix::{File, FileStatus, Kind, OpenError, Root};
use std::io;

/// Attempts to read a file that changes while it is read.
const READ_ATTEMPTS: usize = 3;

/// Bytes of the fields that describe a file: some 200 are usual.
const READY_BYTES: usize = 512;

/// A directory and how it is served.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) root: Root,
    pub(super) options: DirectoryOptions,
}

impl Loader {
    /// Looks a path up in the file system; contents of up to `longest` bytes are read to memory.
    pub(super) fn load(
        &self,
        path: &[u8],
        view: &View,
        longest: usize,
    ) -> Result<Loaded, SiteError> {
        if !self.options.hidden && has_hidden_name(path) {
            return Err(SiteError::NotFound);
        }
        let file = Opened(self.root.open_beneath(path).map_err(site_error)?);
        let status = file.0.status().map_err(site_error)?;
        match (status.kind, path.ends_with(b"/")) {
            (Kind::Regular, false) => self
                .load_file(path, path, file, status, longest)
                .map(|node| Loaded::Node(Box::new(node))),
            (Kind::Regular, true) => Err(SiteError::NotFound),
            (Kind::Directory, false) => Ok(Loaded::Directory),
            (Kind::Directory, true) => self
                .load_directory(path, file, view, longest)
                .map(|node| Loaded::Node(Box::new(node))),
            _ => Err(SiteError::Forbidden),
        }
    }

    /// The index file of a directory, or its listing.
    fn load_directory(
        &self,
        path: &[u8],
        directory: Opened,
        view: &View,
        longest: usize,
    ) -> Result<Node, SiteError> {
        for index in &self.options.index {
            let name = [path, index.as_bytes()].concat();
            match self.root.open_beneath(&name) {
                Ok(file) => {
                    let file = Opened(file);
                    let status = file.0.status().map_err(site_error)?;
                    if status.kind == Kind::Regular {
                        return self.load_file(path, &name, file, status, longest);
                    }
                }
                Err(OpenError::NotFound) => {}
                Err(error) => return Err(site_error(error)),
            }
        }
        if !self.options.listing {
            return Err(SiteError::Forbidden);
        }
        let listing = listing::make(&self.root, path, directory.into_file(), &self.options, view)
            .map_err(site_error)?;
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
        };
        Ok(Node {
            path: listing::cache_key(path, view).into(),
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
        file: Opened,
        status: FileStatus,
        longest: usize,
    ) -> Result<Node, SiteError> {
        let mut variants = [
            Some(variant(file, status, longest).map_err(site_error)?),
            None,
            None,
        ];
        if self.options.precompressed {
            for (place, suffix) in variants[1..].iter_mut().zip([&b".gz"[..], b".br"]) {
                let Ok(file) = self.root.open_beneath(&[name, suffix].concat()) else {
                    continue;
                };
                let file = Opened(file);
                let Ok(other) = file.0.status() else { continue };
                let age = |status: FileStatus| (status.modified, status.modified_nanoseconds);
                if other.kind == Kind::Regular && age(other) >= age(status) {
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

/// A file that is closed unless somebody takes it.
struct Opened(File);

impl Opened {
    fn into_file(self) -> File {
        let file = self.0;
        std::mem::forget(self);
        file
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The content in memory if it is not longer than `longest` and holds still, else the open file.
fn variant(file: Opened, mut status: FileStatus, longest: usize) -> Result<Variant, OpenError> {
    let mut content = None;
    for _ in 0..READ_ATTEMPTS {
        let Some(length) = usize::try_from(status.length)
            .ok()
            .filter(|&length| length <= longest)
        else {
            break;
        };
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
    // that is known of it; a tag of the content itself tells the two apart.
    let tag = match &content {
        Some(bytes) => EntityTag::of_content(bytes),
        None => EntityTag::of_file(status.length, nanoseconds, status.inode),
    };
    Ok(Variant {
        status,
        // Some file systems keep no time of the change of content but that of modification.
        settled: now > status.modified.max(status.changed) + 1,
        tag: Some(tag),
        modified: HttpDate(status.modified).format(),
        ready: Box::default(),
        source: match content {
            Some(bytes) => Source::Memory(Stored { bytes, head: 0 }),
            None => Source::File(file.into_file()),
        },
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
