//! A directory as a site, with a bounded cache of open files and small contents.
//!
//! A path that is asked for often costs one look-up: what was found for it is believed for a
//! second and then compared with the file system. Contents in memory are whole (the file did not
//! change while they were read); larger files are read piece by piece, and looked at again after each,
//! so that a file that is overwritten ends the connection rather than mixing two versions.
//! A file that is replaced by renaming goes on to be sent as it was.

use crate::listing::{self, Row};
use capuchin_core::http::conditional::EntityTag;
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::{Coding, Codings};
use capuchin_core::http::media_type;
use capuchin_core::http::write::Writer;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Representation, Site, SiteError};
use capuchin_posix::{Entries, File, FileStatus, Kind, Links, OpenError, Root};
use std::collections::HashMap;
use std::ffi::CString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// How a directory is served.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Names tried, in this order, for a path that ends with a slash.
    pub index: Vec<String>,
    /// Whether a directory without index file is shown as a list.
    pub listing: bool,
    /// What becomes of symbolic links.
    pub links: Links,
    /// Whether names that begin with a dot are served. `/.well-known/` (RFC 8615) always is.
    pub hidden: bool,
    /// Whether `NAME.br` and `NAME.gz` beside `NAME` are sent to clients that accept them, unless
    /// they are older than it.
    pub precompressed: bool,
    /// Whether the system sends large files by itself (sendfile(2)): faster, but a file that is
    /// overwritten or cut *in place* while a client takes it may reach that client mixed, for the
    /// system sends what is in the file by then. Files that are replaced by renaming are safe.
    pub sendfile: bool,
    /// Paths whose files are kept at hand, for each worker.
    pub cache_files: usize,
    /// Bytes of contents kept in memory, for each worker.
    pub cache_bytes: usize,
    /// Bytes of the longest content that is kept in memory.
    pub cache_file_bytes: usize,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            index: vec!["index.html".into()],
            listing: false,
            links: Links::Beneath,
            hidden: false,
            precompressed: false,
            sendfile: false,
            cache_files: 256,
            cache_bytes: 4 << 20,
            cache_file_bytes: 64 << 10,
        }
    }
}

/// Why a directory cannot be served; the text says what to do.
#[derive(Debug)]
pub struct DirectoryError {
    path: PathBuf,
    reason: OpenError,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.reason {
            OpenError::NotFound => write!(f, "{path} is no directory: name one that exists"),
            OpenError::Forbidden => write!(
                f,
                "{path} may not be read: check its permissions, or run as another user"
            ),
            reason => write!(f, "{path} cannot be opened: {reason}"),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// Milliseconds for which the cache is believed without looking at the file system.
const BELIEVED_MS: u64 = 1_000;

/// Attempts to read a file that changes while it is read.
const READ_ATTEMPTS: usize = 3;

/// Bytes of the fields that describe a file: some 200 are usual.
const READY_BYTES: usize = 512;

/// Bytes of a file that are read to be sent at once.
const WINDOW: usize = 128 << 10;

/// Rows of the longest listing; a directory with more shows so many of them.
const ROWS_LIMIT: usize = 10_000;

/// Codings in the order of [`Node::variants`].
const CODINGS: [Coding; 3] = [Coding::Identity, Coding::Gzip, Coding::Br];

/// A directory, served by one worker.
///
/// ```
/// use capuchin::{Directory, DirectoryOptions};
///
/// let options = DirectoryOptions { listing: true, ..DirectoryOptions::default() };
/// assert!(Directory::open(".".as_ref(), options.clone()).is_ok());
/// let error = Directory::open("/no/such/place".as_ref(), options).unwrap_err();
/// assert!(error.to_string().contains("name one that exists"));
/// ```
#[derive(Debug)]
pub struct Directory {
    root: Root,
    options: DirectoryOptions,
    /// Whole paths: two paths with the same hash are two paths.
    by_path: HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>,
    nodes: Vec<Option<Node>>,
    vacant: Vec<u32>,
    /// Bytes in memory.
    bytes: usize,
    /// The piece of a file that is sent next.
    window: Vec<u8>,
    /// Counts uses, to find the node that was not used for longest.
    clock: u64,
}

/// What a path led to.
#[derive(Debug)]
struct Node {
    path: Box<[u8]>,
    variants: [Option<Variant>; CODINGS.len()],
    media_type: &'static str,
    /// Running replies that refer to it.
    held: u32,
    /// Found by its path; if not, it goes with its last reply.
    listed: bool,
    checked: u64,
    used: u64,
}

#[derive(Debug)]
struct Variant {
    status: FileStatus,
    /// Not when it was modified so lately that it may have changed since without another time.
    settled: bool,
    source: Source,
    tag: Option<EntityTag>,
    modified: [u8; 29],
    /// The fields of a whole reply, once they were needed.
    ready: Box<[u8]>,
}

#[derive(Debug)]
enum Source {
    Memory(Box<[u8]>),
    File(File),
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::File(file) = self {
            file.close();
        }
    }
}

impl Variant {
    fn bytes(&self) -> usize {
        match &self.source {
            Source::Memory(bytes) => bytes.len(),
            Source::File(_) => 0,
        }
    }

    fn representation(
        &self,
        media_type: &'static str,
        coding: Coding,
        varies: bool,
    ) -> Representation<'_> {
        let known = self.tag.is_some();
        Representation {
            length: self.length(),
            media_type,
            tag: self.tag.as_ref(),
            modified: known.then_some(HttpDate(self.status.modified)),
            modified_text: known.then_some(&self.modified),
            coding,
            varies,
            cache_control: None,
            ready: (!self.ready.is_empty()).then_some(&*self.ready),
        }
    }

    /// Whether the open file can still give what was promised: it may have grown, as logs do, but
    /// not have been overwritten or cut.
    fn still_holds(&self, file: File) -> bool {
        file.status()
            .is_ok_and(|now| now.length > self.status.length || now == self.status)
    }

    fn length(&self) -> u64 {
        match &self.source {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File(_) => self.status.length,
        }
    }
}

impl Node {
    fn bytes(&self) -> usize {
        self.variants.iter().flatten().map(Variant::bytes).sum()
    }

    /// Whether files that are not in memory are as they were: their replies could not even begin
    /// otherwise.
    fn files_hold(&self) -> bool {
        self.variants
            .iter()
            .flatten()
            .all(|variant| match variant.source {
                Source::Memory(_) => true,
                Source::File(file) => file.status() == Ok(variant.status),
            })
    }

    /// Whether the same files are behind both.
    fn same_files(&self, other: &Self) -> bool {
        self.variants
            .iter()
            .zip(&other.variants)
            .all(|pair| match pair {
                (None, None) => true,
                (Some(a), Some(b)) => a.settled && a.status == b.status,
                _ => false,
            })
    }
}

/// What a path leads to when it is looked up in the file system.
enum Loaded {
    Node(Box<Node>),
    /// A directory, named without its slash.
    Directory,
}

impl Directory {
    /// Serves the directory at `path`.
    ///
    /// # Errors
    /// [`DirectoryError`] when it is none or cannot be read.
    pub fn open(path: &Path, options: DirectoryOptions) -> Result<Self, DirectoryError> {
        let failed = |reason| DirectoryError {
            path: path.to_owned(),
            reason,
        };
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(OpenError::NotFound))?;
        let root = Root::open(&name, options.links).map_err(failed)?;
        // Opening a directory does not prove that names in it can be reached.
        root.status_beneath(b"/").map_err(failed)?;
        Ok(Self {
            root,
            options,
            by_path: HashMap::default(),
            nodes: Vec::new(),
            vacant: Vec::new(),
            bytes: 0,
            window: Vec::new(),
            clock: 0,
        })
    }

    /// What the cache or the file system has for `path`, as a node's number.
    fn node_for(&mut self, path: &[u8], now: u64) -> Result<Option<u32>, SiteError> {
        self.clock += 1;
        let clock = self.clock;
        let cached = self.by_path.get(path).copied();
        if let Some(index) = cached
            && let Some(node) = self.node_mut(index)
            && now.wrapping_sub(node.checked) < BELIEVED_MS
            && node.files_hold()
        {
            node.used = clock;
            return Ok(Some(index));
        }
        let loaded = match self.load(path) {
            Err(SiteError::Busy) if self.evict_one() => self.load(path),
            loaded => loaded,
        };
        if let (Some(index), Ok(Loaded::Node(fresh))) = (cached, &loaded)
            && let Some(node) = self.node_mut(index)
            && node.same_files(fresh)
        {
            (node.checked, node.used) = (now, clock);
            return Ok(Some(index));
        }
        if let Some(index) = cached {
            self.unlist(index);
        }
        match loaded? {
            Loaded::Directory => Ok(None),
            Loaded::Node(mut node) => {
                (node.checked, node.used) = (now, clock);
                Ok(Some(self.insert(*node)))
            }
        }
    }

    /// Looks a path up in the file system.
    fn load(&self, path: &[u8]) -> Result<Loaded, SiteError> {
        if !self.options.hidden && has_hidden_name(path) {
            return Err(SiteError::NotFound);
        }
        let file = Opened(self.root.open_beneath(path).map_err(site_error)?);
        let status = file.0.status().map_err(site_error)?;
        match (status.kind, path.ends_with(b"/")) {
            (Kind::Regular, false) => self
                .load_file(path, path, file, status)
                .map(|node| Loaded::Node(Box::new(node))),
            (Kind::Regular, true) => Err(SiteError::NotFound),
            (Kind::Directory, false) => Ok(Loaded::Directory),
            (Kind::Directory, true) => self
                .load_directory(path, file)
                .map(|node| Loaded::Node(Box::new(node))),
            _ => Err(SiteError::Forbidden),
        }
    }

    /// The index file of a directory, or its listing.
    fn load_directory(&self, path: &[u8], directory: Opened) -> Result<Node, SiteError> {
        for index in &self.options.index {
            let name = [path, index.as_bytes()].concat();
            match self.root.open_beneath(&name) {
                Ok(file) => {
                    let file = Opened(file);
                    let status = file.0.status().map_err(site_error)?;
                    if status.kind == Kind::Regular {
                        return self.load_file(path, &name, file, status);
                    }
                }
                Err(OpenError::NotFound) => {}
                Err(error) => return Err(site_error(error)),
            }
        }
        if !self.options.listing {
            return Err(SiteError::Forbidden);
        }
        let rows = self.rows(path, directory).map_err(site_error)?;
        let page = listing::page(path, rows).into_boxed_slice();
        let status = FileStatus {
            kind: Kind::Regular,
            length: page.len() as u64,
            modified: 0,
            modified_nanoseconds: 0,
            inode: 0,
            device: 0,
        };
        let variant = Variant {
            status,
            settled: false,
            source: Source::Memory(page),
            tag: None,
            modified: [0; 29],
            ready: Box::default(),
        };
        Ok(Node {
            path: path.into(),
            variants: [Some(variant), None, None],
            media_type: "text/html; charset=utf-8",
            held: 0,
            // A list is made for each request: nothing tells cheaply whether it is still true.
            listed: false,
            checked: 0,
            used: 0,
        })
    }

    fn rows(&self, path: &[u8], directory: Opened) -> Result<Vec<Row>, OpenError> {
        let mut entries = Entries::of(directory.into_file())?;
        let mut rows = Vec::new();
        while let Some((name, _)) = entries.next_entry() {
            if rows.len() == ROWS_LIMIT {
                break;
            }
            if name.starts_with(b".") && !self.options.hidden {
                continue;
            }
            // What cannot be served is not shown.
            let Ok(status) = self.root.status_beneath(&[path, name].concat()) else {
                continue;
            };
            if matches!(status.kind, Kind::Regular | Kind::Directory) {
                rows.push(Row {
                    name: name.to_vec(),
                    directory: status.kind == Kind::Directory,
                    length: status.length,
                    modified: status.modified,
                });
            }
        }
        Ok(rows)
    }

    /// A regular file with its compressed neighbours. `name` is the file's own path.
    fn load_file(
        &self,
        path: &[u8],
        name: &[u8],
        file: Opened,
        status: FileStatus,
    ) -> Result<Node, SiteError> {
        let mut variants = [
            Some(self.variant(file, status).map_err(site_error)?),
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
                    *place = self.variant(file, other).ok();
                }
            }
        }
        let media_type = media_type::for_path(name);
        let varies = variants[1..].iter().any(Option::is_some);
        for (variant, coding) in variants.iter_mut().zip(CODINGS) {
            if let Some(variant) = variant {
                let mut memory = [0; READY_BYTES];
                let mut fields = Writer::new(&mut memory);
                variant
                    .representation(media_type, coding, varies)
                    .write_fields(&mut fields);
                if !fields.is_overflown() {
                    variant.ready = fields.written().into();
                }
            }
        }
        Ok(Node {
            path: path.into(),
            variants,
            media_type,
            held: 0,
            listed: true,
            checked: 0,
            used: 0,
        })
    }

    /// The content in memory if it is small and holds still, else the open file.
    fn variant(&self, file: Opened, mut status: FileStatus) -> Result<Variant, OpenError> {
        let mut content = None;
        for _ in 0..READ_ATTEMPTS {
            let Some(length) = usize::try_from(status.length)
                .ok()
                .filter(|&length| length <= self.options.cache_file_bytes)
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
        let nanoseconds = status
            .modified
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(status.modified_nanoseconds));
        // A file that is replaced twice within one tick of the file system's clock may keep all
        // that is known of it; a tag of the content itself tells the two apart.
        let tag = match &content {
            Some(bytes) => EntityTag::of_content(bytes),
            None => EntityTag::of_file(status.length, nanoseconds, status.inode),
        };
        Ok(Variant {
            status,
            settled: now > status.modified + 1,
            tag: Some(tag),
            modified: HttpDate(status.modified).format(),
            ready: Box::default(),
            source: match content {
                Some(bytes) => Source::Memory(bytes),
                None => Source::File(file.into_file()),
            },
        })
    }

    // ---- the cache ----

    fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index as usize)?.as_mut()
    }

    fn insert(&mut self, mut node: Node) -> u32 {
        let bytes = node.bytes();
        let fits = |site: &Self| {
            site.by_path.len() < site.options.cache_files
                && site.bytes + bytes <= site.options.cache_bytes
        };
        while node.listed && !fits(self) {
            // With nothing left to evict the node lives for its own reply only.
            node.listed = self.evict_one();
        }
        self.bytes += bytes;
        let path = node.listed.then(|| node.path.clone());
        let index = match self.vacant.pop() {
            Some(index) => {
                self.nodes[index as usize] = Some(node);
                index
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() as u32 - 1
            }
        };
        if let Some(path) = path {
            self.by_path.insert(path, index);
        }
        index
    }

    /// Drops the node that was not used for longest and that no reply holds.
    fn evict_one(&mut self) -> bool {
        let idle = |node: &&Node| node.listed && node.held == 0;
        let oldest = self
            .nodes
            .iter()
            .flatten()
            .filter(idle)
            .min_by_key(|node| node.used);
        let Some(index) = oldest.and_then(|node| self.by_path.get(&node.path).copied()) else {
            return false;
        };
        self.unlist(index);
        true
    }

    /// Takes a node out of the cache; it goes when its last reply does.
    fn unlist(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        if node.listed {
            node.listed = false;
            self.by_path.remove(&node.path);
        }
        self.drop_unused(index);
    }

    fn drop_unused(&mut self, index: u32) {
        let place = &mut self.nodes[index as usize];
        if let Some(node) = place.take_if(|node| !node.listed && node.held == 0) {
            self.bytes -= node.bytes();
            self.vacant.push(index);
        }
    }
}

impl Site for Directory {
    type File = File;

    fn find(
        &mut self,
        path: &[u8],
        accepts: Accepts<'_>,
        now: u64,
    ) -> Result<Found<'_>, SiteError> {
        let Some(index) = self.node_for(path, now)? else {
            return Ok(Found::Directory);
        };
        let Some(node) = self.node_mut(index) else {
            return Err(SiteError::Failed);
        };
        node.held += 1;
        let (mut number, mut varies) = (0, false);
        if node.variants[1].is_some() || node.variants[2].is_some() {
            varies = true;
            let available = CODINGS
                .iter()
                .zip(&node.variants)
                .filter(|(_, variant)| variant.is_some())
                .fold(Codings::NONE, |codings, (&coding, _)| codings.with(coding));
            let chosen = accepts.choose(available).unwrap_or(Coding::Identity);
            number = CODINGS
                .iter()
                .position(|&coding| coding == chosen)
                .unwrap_or(0);
        }
        let Some(variant) = &node.variants[number] else {
            return Err(SiteError::Failed);
        };
        let representation = variant.representation(node.media_type, CODINGS[number], varies);
        Ok(Found::Content(
            ContentId(index * CODINGS.len() as u32 + number as u32),
            representation,
        ))
    }

    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, File> {
        let (index, number) = (id.0 / CODINGS.len() as u32, id.0 as usize % CODINGS.len());
        let node = self.nodes.get(index as usize).and_then(Option::as_ref);
        let Some(variant) = node.and_then(|node| node.variants[number].as_ref()) else {
            return Content::Gone;
        };
        let file = match &variant.source {
            Source::Memory(bytes) => {
                let part = bytes.get(range.start as usize..range.end as usize);
                return part.map_or(Content::Gone, Content::Bytes);
            }
            Source::File(file) => *file,
        };
        if self.options.sendfile {
            return if variant.still_holds(file) {
                Content::File(file)
            } else {
                Content::Gone
            };
        }
        let wanted = usize::try_from(range.end - range.start)
            .unwrap_or(WINDOW)
            .min(WINDOW);
        self.window.resize(WINDOW, 0);
        // Looked at *after* it was read: what is sent was the file's while it was as promised.
        match file.read_at(&mut self.window[..wanted], range.start) {
            Ok(count) if count > 0 && variant.still_holds(file) => {
                Content::Bytes(&self.window[..count])
            }
            _ => Content::Gone,
        }
    }

    fn release(&mut self, id: ContentId) {
        let index = id.0 / CODINGS.len() as u32;
        if let Some(node) = self.node_mut(index) {
            node.held -= 1;
            if !node.listed {
                self.drop_unused(index);
            }
        }
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
            log::warn!(
                "a file cannot be read: {other} ({})",
                io::Error::last_os_error()
            );
            SiteError::Failed
        }
    }
}
