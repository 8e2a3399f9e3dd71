//! A directory as a site, with a bounded cache of open files and small contents.
//!
//! A path that is asked for often costs one look-up: what was found for it is believed for a
//! second and then compared with the file system. Contents in memory are whole (the file did not
//! change while they were read); larger files are read piece by piece, and looked at again after each,
//! so that a file that is overwritten ends the connection rather than mixing two versions; so does
//! one that grows, for nothing tells bytes that were added from bytes that were written anew.
//! A file that is replaced by renaming goes on to be sent as it was.
//!
//! Memory and open files are bounded whatever clients do: contents that no longer fit are sent from
//! their files; files beyond the budget, and lists of directories that no longer fit, are refused
//! (503) until others have been read. What no reply holds makes way first.

use crate::listing::{self, Row};
use crate::repeats::Repeats;
use capuchin_core::http::conditional::EntityTag;
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::{Coding, Codings};
use capuchin_core::http::media_type;
use capuchin_core::http::write::Writer;
use capuchin_core::reply::Opening;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Representation, Site, SiteError};
use capuchin_posix::{Entries, File, FileStatus, Kind, Links, OpenError, Root};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
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
    /// Bytes of contents kept in memory, for each worker; contents of replies that are still being
    /// sent count, too.
    pub cache_bytes: usize,
    /// Bytes of the longest content that is kept in memory.
    pub cache_file_bytes: usize,
    /// Files that are open at the same time, for each worker: cached ones, which make way, and those
    /// of running replies, beyond which requests are answered with 503. A server lowers it to what
    /// the process may open besides its connections.
    pub open_files: usize,
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
            open_files: usize::MAX,
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
const WINDOW: usize = 256 << 10;

/// What opening a file costs, in bytes that could have been sent in the same time (see [`Site::cost`]). What is read
/// to memory counts besides.
const OPEN_COST: u32 = 16 << 10;

/// Rows of the longest listing; a directory with more shows so many of them and says so. Each costs
/// the worker some ten microseconds, in which nobody else is served.
const ROWS_LIMIT: usize = 2_000;

/// Entries that are looked at for a listing, those included that are not shown.
const ENTRIES_LIMIT: usize = 10_000;

/// Bytes of all listings in memory, of one worker.
const LISTINGS_BYTES: usize = 8 << 20;

/// Bytes of a usual listing, for which there is room even when long ones have taken all of theirs.
const SHORT_LISTING: usize = 64 << 10;

/// Bytes of listings that only usual ones may take besides.
const SHORT_LISTINGS_BYTES: usize = 2 << 20;

/// How often files that are kept open are looked at though nobody asks for them.
const TIDY_PAUSE_MS: u64 = 1_000;

/// Nodes that are looked at then.
const TIDY_NODES: usize = 64;

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
    /// Bytes of contents in memory.
    bytes: usize,
    /// Bytes of listings in memory.
    listing_bytes: usize,
    /// Descriptors of all nodes.
    open_files: usize,
    /// Heads whose replies are in memory, each with its content and the node's serial number.
    repeats: Repeats<(ContentId, u64)>,
    /// Nodes that were made so far.
    serial: u64,
    /// What the work since the last [`Site::cost`] cost.
    cost: u32,
    /// The piece of a file that is sent next.
    window: Vec<u8>,
    /// The node that is looked at next when one has to go.
    hand: usize,
    /// The node that is looked at next when it is time to tidy up, and when that was last.
    tidy_hand: usize,
    tidied: u64,
}

/// What a path led to.
#[derive(Debug)]
struct Node {
    path: Box<[u8]>,
    /// Told from others that have or had its number by this.
    serial: u64,
    variants: [Option<Variant>; CODINGS.len()],
    media_type: &'static str,
    /// Running replies that refer to it.
    held: u32,
    /// Found by its path; if not, it goes with its last reply.
    listed: bool,
    /// Made here, not read from a file.
    listing: bool,
    checked: u64,
    /// Used since the hand went by.
    recent: bool,
}

#[derive(Debug)]
struct Variant {
    status: FileStatus,
    /// Not when it was modified so lately that it may have changed since without another time.
    settled: bool,
    source: Source,
    tag: Option<EntityTag>,
    modified: [u8; 29],
    /// The fields of a whole reply, of a content that is in a file.
    ready: Box<[u8]>,
}

#[derive(Debug)]
enum Source {
    Memory(Stored),
    File(File),
}

/// Content in memory, behind the head of a reply with all of it, if that was made.
#[derive(Debug)]
struct Stored {
    bytes: Box<[u8]>,
    /// Bytes of the head.
    head: usize,
}

impl Stored {
    #[inline(always)]
    fn content(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// The head's fields without those of its opening.
    fn fields(&self) -> Option<&[u8]> {
        let end = self.head.checked_sub(LINE_END.len())?;
        self.bytes.get(size_of::<Opening>()..end)
    }

    /// Puts a head with these fields before the content.
    fn set_fields(&mut self, fields: &[u8]) {
        let opening = [0; size_of::<Opening>()];
        let bytes = [&opening, fields, LINE_END, self.content()].concat();
        self.head = opening.len() + fields.len() + LINE_END.len();
        self.bytes = bytes.into();
    }
}

/// The empty line that ends a head.
const LINE_END: &[u8] = b"\r\n";

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
            Source::Memory(stored) => stored.content().len(),
            Source::File(_) => 0,
        }
    }

    #[inline(always)]
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
            ready: match &self.source {
                Source::Memory(stored) => stored.fields(),
                Source::File(_) => (!self.ready.is_empty()).then_some(&*self.ready),
            },
            content: match &self.source {
                Source::Memory(stored) => Some(stored.content()),
                Source::File(_) => None,
            },
        }
    }

    /// Whether the open file is as it was when its length was promised.
    #[inline(always)]
    fn still_holds(&self, file: File) -> bool {
        file.status()
            .is_ok_and(|status| status.goes_on_from(self.status))
    }

    fn length(&self) -> u64 {
        match &self.source {
            Source::Memory(stored) => stored.content().len() as u64,
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
    #[inline(always)]
    fn files_hold(&self) -> bool {
        for variant in &self.variants {
            if let Some(variant) = variant
                && let Source::File(file) = variant.source
                && !variant.still_holds(file)
            {
                return false;
            }
        }
        true
    }

    /// Files that it keeps open.
    fn descriptors(&self) -> usize {
        self.files().count()
    }

    fn files(&self) -> impl Iterator<Item = (&Variant, File)> {
        let variants = self.variants.iter().flatten();
        variants.filter_map(|variant| match variant.source {
            Source::Memory(_) => None,
            Source::File(file) => Some((variant, file)),
        })
    }

    fn has_descriptor(&self) -> bool {
        self.files().next().is_some()
    }

    /// Whether nothing at all happened to its open files, not even that they lost their names.
    fn files_untouched(&self) -> bool {
        self.files()
            .all(|(variant, file)| file.status() == Ok(variant.status))
    }

    /// Whether the same files are behind both, or the same list.
    fn same_files(&self, other: &Self) -> bool {
        self.variants
            .iter()
            .zip(&other.variants)
            .all(|pair| match pair {
                (None, None) => true,
                (Some(a), Some(b)) => match (&a.source, &b.source) {
                    (Source::Memory(a), Source::Memory(b)) if self.listing && other.listing => {
                        a.content() == b.content()
                    }
                    _ => a.settled && a.status == b.status,
                },
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
        Self::open_by(path, options, Root::open)
    }

    /// As [`Directory::open`], for a process that enters the sandbox: what it reads is all that can be
    /// done there.
    pub(crate) fn open_limited(
        path: &Path,
        options: DirectoryOptions,
    ) -> Result<Self, DirectoryError> {
        Self::open_by(path, options, |path, links| {
            Root::open(path, links)?.limited()
        })
    }

    fn open_by(
        path: &Path,
        options: DirectoryOptions,
        open: impl FnOnce(&CStr, Links) -> Result<Root, OpenError>,
    ) -> Result<Self, DirectoryError> {
        let failed = |reason| DirectoryError {
            path: path.to_owned(),
            reason,
        };
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(OpenError::NotFound))?;
        let root = open(&name, options.links).map_err(failed)?;
        // Opening a directory does not prove that names in it can be reached.
        root.status_beneath(b"/").map_err(failed)?;
        Ok(Self {
            root,
            options,
            by_path: HashMap::default(),
            nodes: Vec::new(),
            vacant: Vec::new(),
            bytes: 0,
            listing_bytes: 0,
            open_files: 0,
            repeats: Repeats::default(),
            serial: 0,
            cost: 0,
            window: Vec::new(),
            hand: 0,
            tidy_hand: 0,
            tidied: 0,
        })
    }

    /// Lets go of a few cached files that were deleted or changed and that nobody asks for any
    /// more: for as long as it is open, a deleted file takes its room on the disk. Does something
    /// once a second at most; tells in how many milliseconds it wants to be called again, if at
    /// all. `now` is as in [`Site::find`].
    pub fn tidy(&mut self, now: u64) -> Option<u32> {
        if self.open_files == 0 {
            return None;
        }
        let since = now.wrapping_sub(self.tidied);
        if since < TIDY_PAUSE_MS {
            return Some((TIDY_PAUSE_MS - since) as u32);
        }
        self.tidied = now;
        let mut looked_at = 0;
        for _ in 0..self.nodes.len() {
            let index = self.tidy_hand % self.nodes.len();
            self.tidy_hand = index + 1;
            let Some(node) = &self.nodes[index] else {
                continue;
            };
            if !node.listed || !node.has_descriptor() {
                continue;
            }
            if !node.files_untouched() {
                self.unlist(index as u32);
            }
            looked_at += 1;
            if looked_at == TIDY_NODES {
                break;
            }
        }
        Some(TIDY_PAUSE_MS as u32)
    }

    /// What the cache or the file system has for `path`, as a node's number.
    fn node_for(&mut self, path: &[u8], now: u64) -> Result<Option<u32>, SiteError> {
        let cached = self.by_path.get(path).copied();
        if let Some(index) = cached
            && let Some(node) = self.node_mut(index)
            && now.wrapping_sub(node.checked) < BELIEVED_MS
            && node.files_hold()
        {
            node.recent = true;
            return Ok(Some(index));
        }
        self.cost = self.cost.saturating_add(OPEN_COST);
        let options = &self.options;
        let longest = options.cache_file_bytes.min(options.cache_bytes);
        let loaded = match self.load(path, longest) {
            // Only a node with an open file gives a descriptor back.
            Err(SiteError::Busy) if self.evict_one(Node::has_descriptor) => {
                self.load(path, longest)
            }
            loaded => loaded,
        };
        if let Some(index) = cached {
            // It may have made way itself.
            let Some(node) = self.node_mut(index) else {
                return self.take_in(path, loaded?, now);
            };
            match &loaded {
                Ok(Loaded::Node(fresh)) if node.same_files(fresh) => {
                    (node.checked, node.recent) = (now, true);
                    return Ok(Some(index));
                }
                // It cannot be looked at for want of a descriptor, or while somebody has a lease on
                // it: better what is known than nothing. The next request looks again.
                Err(SiteError::Busy) if node.files_hold() => {
                    node.recent = true;
                    return Ok(Some(index));
                }
                _ => self.unlist(index),
            }
        }
        self.take_in(path, loaded?, now)
    }

    /// Makes room for what was loaded and keeps it.
    fn take_in(&mut self, path: &[u8], loaded: Loaded, now: u64) -> Result<Option<u32>, SiteError> {
        let Loaded::Node(mut node) = loaded else {
            return Ok(None);
        };
        // A listing has looked at many files: no other request of its connection is answered in the same turn.
        self.cost = match node.listing {
            true => u32::MAX,
            false => self.cost.saturating_add(node.bytes() as u32),
        };
        if !self.make_room(&node) {
            if node.listing {
                return Err(SiteError::Busy);
            }
            // Sent from its file instead.
            match self.load(path, 0)? {
                Loaded::Node(without_content) => node = without_content,
                Loaded::Directory => return Ok(None),
            }
        }
        if !self.stay_in_budget(&node) {
            return Err(SiteError::Busy);
        }
        node.checked = now;
        Ok(Some(self.insert(*node)))
    }

    /// Looks a path up in the file system; contents of up to `longest` bytes are read to memory.
    fn load(&self, path: &[u8], longest: usize) -> Result<Loaded, SiteError> {
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
                .load_directory(path, file, longest)
                .map(|node| Loaded::Node(Box::new(node))),
            _ => Err(SiteError::Forbidden),
        }
    }

    /// The index file of a directory, or its listing.
    fn load_directory(
        &self,
        path: &[u8],
        directory: Opened,
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
        let (rows, more) = self.rows(path, directory).map_err(site_error)?;
        let page = listing::page(path, rows, more).into_boxed_slice();
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
            path: path.into(),
            serial: 0,
            variants: [Some(variant), None, None],
            media_type: "text/html; charset=utf-8",
            held: 0,
            // Believed for as long as files are, then made anew: nothing tells cheaply whether it is
            // still true, and making it for each request would let clients keep the worker busy.
            listed: true,
            listing: true,
            checked: 0,
            recent: false,
        })
    }

    /// The entries that a listing shows, and whether there are more.
    fn rows(&self, path: &[u8], directory: Opened) -> Result<(Vec<Row>, bool), OpenError> {
        let mut entries = Entries::of(directory.into_file())?;
        let (mut rows, mut looked_at) = (Vec::new(), 0);
        while let Some((name, _)) = entries.next_entry()? {
            if rows.len() == ROWS_LIMIT || looked_at == ENTRIES_LIMIT {
                return Ok((rows, true));
            }
            looked_at += 1;
            if name.starts_with(b".") && !self.options.hidden {
                continue;
            }
            // Links that are not followed, pipes and devices are not shown. Whether a file may be
            // read would show only when it is opened, which is too dear for each row.
            let status = match self.root.status_beneath(&[path, name].concat()) {
                Ok(status) => status,
                // Rows would be missing for no fault of theirs.
                Err(OpenError::Exhausted) => return Err(OpenError::Exhausted),
                Err(_) => continue,
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
        Ok((rows, false))
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

    // ---- the cache ----

    fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index as usize)?.as_mut()
    }

    /// Evicts until the node's content fits into memory; `false` when too much of it is held by
    /// replies for that.
    fn make_room(&mut self, node: &Node) -> bool {
        let bytes = node.bytes();
        let limit = match (node.listing, bytes <= SHORT_LISTING) {
            (false, _) => self.options.cache_bytes,
            (true, false) => LISTINGS_BYTES,
            (true, true) => LISTINGS_BYTES + SHORT_LISTINGS_BYTES,
        };
        let possible = bytes <= limit;
        while possible && bytes > 0 && *self.bytes_of(node.listing) + bytes > limit {
            // Nodes without content would go in vain.
            if !self.evict_one(|other| other.listing == node.listing && other.bytes() > 0) {
                return false;
            }
        }
        possible
    }

    /// Evicts until the node's files can be open besides the others; `false` when replies hold too
    /// many of them for that.
    fn stay_in_budget(&mut self, node: &Node) -> bool {
        let more = node.descriptors();
        while more > 0 && self.open_files > 0 && self.open_files + more > self.options.open_files {
            if !self.evict_one(Node::has_descriptor) {
                return false;
            }
        }
        true
    }

    /// Takes a node in, to be found by its path if there is a place left or can be made; without
    /// one it lives for its own reply only.
    fn insert(&mut self, mut node: Node) -> u32 {
        while node.listed && self.by_path.len() >= self.options.cache_files {
            node.listed = self.evict_one(|_| true);
        }
        *self.bytes_of(node.listing) += node.bytes();
        self.open_files += node.descriptors();
        self.serial += 1;
        node.serial = self.serial;
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

    fn bytes_of(&mut self, listing: bool) -> &mut usize {
        if listing {
            &mut self.listing_bytes
        } else {
            &mut self.bytes
        }
    }

    /// Drops one of the nodes that `may_go`, that no reply holds, and that was not used since the
    /// hand went by it last: close to the one not used for longest, without looking at all of them.
    fn evict_one(&mut self, may_go: impl Fn(&Node) -> bool) -> bool {
        // In the first round all may have been used; the second finds them unused.
        for _ in 0..2 * self.nodes.len() {
            let index = self.hand % self.nodes.len();
            self.hand = index + 1;
            let Some(node) = &mut self.nodes[index] else {
                continue;
            };
            if !node.listed || node.held > 0 || !may_go(node) {
                continue;
            }
            if !std::mem::take(&mut node.recent) {
                self.unlist(index as u32);
                return true;
            }
        }
        false
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
            *self.bytes_of(node.listing) -= node.bytes();
            self.open_files -= node.descriptors();
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

    #[inline(always)]
    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, File> {
        let (index, number) = place_of(id);
        let node = self.nodes.get(index as usize).and_then(Option::as_ref);
        match node.and_then(|node| node.variants[number].as_ref()) {
            Some(Variant {
                source: Source::Memory(stored),
                ..
            }) => {
                let part = stored
                    .content()
                    .get(range.start as usize..range.end as usize);
                part.map_or(Content::Gone, Content::Bytes)
            }
            Some(variant) => content_of_file(&self.options, &mut self.window, variant, range),
            None => Content::Gone,
        }
    }

    fn release(&mut self, id: ContentId) {
        let (index, _) = place_of(id);
        if let Some(node) = self.node_mut(index) {
            node.held -= 1;
            if !node.listed {
                self.drop_unused(index);
            }
        }
    }

    #[inline(always)]
    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        let (index, number) = place_of(id);
        match &mut self.node_mut(index)?.variants[number].as_mut()?.source {
            Source::Memory(stored) if stored.head > 0 => {
                *stored.bytes.first_chunk_mut()? = *opening;
                Some(&stored.bytes)
            }
            _ => None,
        }
    }

    fn cost(&mut self) -> u32 {
        std::mem::take(&mut self.cost)
    }

    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        let (id, serial) = self.repeats.get(head, place)?;
        let (index, number) = place_of(id);
        let node = self.node_mut(index)?;
        let modified = node.variants[number].as_ref()?.status.modified;
        if node.serial != serial
            || !node.listed
            || now.wrapping_sub(node.checked) >= BELIEVED_MS
            || modified > unix_time
        {
            return None;
        }
        node.recent = true;
        Some(id)
    }

    fn remember(&mut self, head: &[u8], id: ContentId) {
        let (index, _) = place_of(id);
        // Open files have to be looked at each time.
        if let Some(node) = self.nodes.get(index as usize).and_then(Option::as_ref)
            && node.listed
            && !node.has_descriptor()
        {
            self.repeats.put(head, (id, node.serial));
        }
    }
}

/// The number of a node, and which of its variants.
fn place_of(id: ContentId) -> (u32, usize) {
    let count = CODINGS.len() as u32;
    (id.0 / count, (id.0 % count) as usize)
}

/// What a variant's file has at `range`, read into `window` unless the system sends it.
#[inline(never)]
fn content_of_file<'w>(
    options: &DirectoryOptions,
    window: &'w mut Vec<u8>,
    variant: &Variant,
    range: Range<u64>,
) -> Content<'w, File> {
    let Source::File(file) = variant.source else {
        return Content::Gone;
    };
    if options.sendfile {
        return if variant.still_holds(file) {
            Content::File(file)
        } else {
            Content::Gone
        };
    }
    let wanted = usize::try_from(range.end - range.start)
        .unwrap_or(WINDOW)
        .min(WINDOW);
    window.resize(WINDOW, 0);
    // Looked at *after* it was read: what is sent was the file's while it was as promised.
    match file.read_at(&mut window[..wanted], range.start) {
        Ok(count) if count > 0 && variant.still_holds(file) => Content::Bytes(&window[..count]),
        _ => Content::Gone,
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
            log::warn!(
                "a file cannot be read: {other} ({})",
                io::Error::last_os_error()
            );
            SiteError::Failed
        }
    }
}
