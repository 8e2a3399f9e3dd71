//! A directory as a site, with a bounded cache of open files and small contents.
//!
//! A path that is asked for often costs one look-up: what was found for it is believed for a
//! second and then compared with the file system. Contents in memory are whole (the file did not
//! change while they were read); larger files are read piece by piece, and looked at again after each,
//! so that a file that is overwritten ends the connection rather than mixing two versions; so does
//! one that grows, for nothing tells bytes that were added from bytes that were written anew.
//! A file that is replaced by renaming goes on to be sent as it was.
//!
//! The directory itself is looked for by its path each time that something is looked up in it. Where
//! the path leads to another directory, that one is served from then on; where it leads to none, requests
//! are answered with 503 until it does. What is being sent goes on.
//!
//! A file's entity tag depends on the file and on the options, never on what memory is free, so that all
//! workers tell the same one: it is computed from the content of files up to
//! [`DirectoryOptions::cache_file_bytes`], and from what the file system knows of larger ones. A file that
//! is written through a memory map may change without a new time (the kernel notes the first write to a
//! page only): up to that size, the content is compared once a second; of a larger file, the new content
//! may be sent with the old tag.
//!
//! Memory and open files are bounded whatever clients do: contents that no longer fit are sent from
//! their files; files beyond the budget, and lists of directories that no longer fit, are refused
//! (503) until others have been read. What no reply holds makes way first. What replies hold stays in
//! memory until they are sent or given up (`--timeout-write`), [`DirectoryOptions::cache_bytes`] at most;
//! until then other files are sent from the disk, and they return to memory at the first look after that.

mod cache;
mod loader;
mod node;
mod served;

use crate::listing::View;
use crate::repeats::Repeats;
use capuchin_core::http::encoding::{Coding, Codings};
use capuchin_core::reply::Opening;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Site, SiteError};
use capuchin_posix::{File, Links, OpenError};
use loader::Loader;
use node::{CODINGS, Loaded, Node, Source, Variant};
use served::Served;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How a directory is served.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Names tried, in this order, for a path that ends with a slash.
    pub index: Vec<String>,
    /// Whether a directory without index file is shown as a list.
    pub listing: bool,
    /// Rows of one page of such a list, from 1 to [`LISTING_PAGE_LIMIT`]. A page of long names ends
    /// sooner, at a megabyte.
    pub listing_page: usize,
    /// Entries of a directory that are looked at for a page; a larger directory says that there are more.
    pub listing_entries: usize,
    /// Entries that are looked up one by one (stat(2)) for a page beside its rows. A larger directory
    /// is sorted by name only, not by size or time, and beyond this number its links stand among the
    /// files, wherever they lead.
    pub listing_lookups: usize,
    /// What becomes of symbolic links.
    pub links: Links,
    /// Whether names that begin with a dot are served. `/.well-known/` (RFC 8615) always is.
    pub hidden: bool,
    /// Whether `NAME.br` and `NAME.gz` beside `NAME` are sent to clients that accept them, unless
    /// they are older than it by a second or more.
    pub precompressed: bool,
    /// Whether the system sends large files by itself (sendfile(2)): faster, but a file that is
    /// overwritten or cut *in place* while a client takes it may reach that client mixed, for the
    /// system sends what is in the file by then. Files that are replaced by renaming are safe.
    pub sendfile: bool,
    /// Paths whose files are kept at hand, for each worker.
    pub cache_files: usize,
    /// Bytes of contents kept in memory, for each worker; contents of replies that are still being
    /// sent count, too. While those take all of it, other files are sent from the disk.
    pub cache_bytes: usize,
    /// Bytes of the longest content that is kept in memory, and of the longest whose entity tag is
    /// computed from the content.
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
            listing_page: 1_000,
            listing_entries: 1_000_000,
            listing_lookups: 10_000,
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
                "{path} may not be searched: check its permissions, or run as another user"
            ),
            reason => write!(f, "{path} cannot be opened: {reason}"),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// Milliseconds for which the cache is believed without looking at the file system. Then the file is
/// looked up and, unless it is larger than what is kept in memory, read again.
const BELIEVED_MS: u64 = 1_000;

/// Bytes of a file that are read to be sent at once.
const WINDOW: usize = 256 << 10;

/// The largest [`DirectoryOptions::listing_page`].
pub const LISTING_PAGE_LIMIT: usize = 5_000;

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
    loader: Loader,
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
    /// The piece of a file that is sent next.
    window: Vec<u8>,
    /// The node that is looked at next when one has to go.
    hand: usize,
    /// The node that is looked at next when it is time to tidy up, and when that was last.
    tidy_hand: usize,
    tidied: u64,
}

impl Directory {
    /// Serves the directory at `path`.
    ///
    /// # Errors
    /// [`DirectoryError`] when it is none or cannot be read.
    pub fn open(path: &Path, options: DirectoryOptions) -> Result<Self, DirectoryError> {
        Self::open_by(path, options, Served::open)
    }

    /// As [`Directory::open`], for a process that enters the sandbox: what it reads is all that can be
    /// done there.
    pub(crate) fn open_limited(
        path: &Path,
        options: DirectoryOptions,
    ) -> Result<Self, DirectoryError> {
        Self::open_by(path, options, Served::open_limited)
    }

    fn open_by(
        path: &Path,
        options: DirectoryOptions,
        open: impl FnOnce(&Path, Links) -> Result<Served, OpenError>,
    ) -> Result<Self, DirectoryError> {
        let served = open(path, options.links).map_err(|reason| DirectoryError {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self {
            loader: Loader { served, options },
            by_path: HashMap::default(),
            nodes: Vec::new(),
            vacant: Vec::new(),
            bytes: 0,
            listing_bytes: 0,
            open_files: 0,
            repeats: Repeats::default(),
            serial: 0,
            window: Vec::new(),
            hand: 0,
            tidy_hand: 0,
            tidied: 0,
        })
    }

    /// Which page of a directory's listing a query asks for, if it is not the one without a query.
    #[inline(never)]
    fn view(&self, path: &[u8], query: &[u8]) -> Option<View> {
        let known = self.by_path.get(path).copied();
        let node = known.and_then(|index| self.nodes.get(index as usize)?.as_ref());
        // One that has an index file is the same whatever the query.
        let is_listing = node.is_none_or(|node| node.listing);
        is_listing.then(|| View::of_query(query)).flatten()
    }

    /// What the cache or the file system has for `path`, as a node's number.
    fn node_for(
        &mut self,
        path: &[u8],
        view: Option<&View>,
        now: u64,
    ) -> Result<Option<u32>, SiteError> {
        let mut cached = match view {
            None => self.by_path.get(path).copied(),
            Some(view) => self.by_path.get(&*view.cache_key(path)).copied(),
        };
        if let Some(index) = cached
            && let Some(node) = self.node_mut(index)
            && now.wrapping_sub(node.checked) < BELIEVED_MS
            && node.files_hold()
        {
            node.recent = true;
            return Ok(Some(index));
        }
        let mut loaded = self.load(path, view);
        if let Ok(Loaded::AnotherRoot(served)) = loaded {
            self.unlist_all();
            cached = None;
            self.loader.served = *served;
            loaded = self.load(path, view);
        }
        if let Ok(Loaded::NoRoot) = loaded {
            self.unlist_all();
            return Err(SiteError::Busy);
        }
        if let Some(index) = cached {
            // It may have made way itself.
            let Some(node) = self.node_mut(index) else {
                return self.take_in(loaded?, now);
            };
            match &loaded {
                Ok(Loaded::Node(fresh)) if node.same_files(fresh) => {
                    (node.checked, node.recent) = (now, true);
                    // What had no room in memory goes there as soon as it has.
                    if fresh.bytes() <= node.bytes() || !self.make_room(fresh) {
                        return Ok(Some(index));
                    }
                    self.unlist(index);
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
        self.take_in(loaded?, now)
    }

    /// What the file system has for `path`.
    fn load(&mut self, path: &[u8], view: Option<&View>) -> Result<Loaded, SiteError> {
        match self.loader.load(path, view) {
            // Only a node with an open file gives a descriptor back.
            Err(SiteError::Busy) if self.evict_one(Node::has_descriptor) => {
                self.loader.load(path, view)
            }
            loaded => loaded,
        }
    }

    /// Makes room for what was loaded and keeps it.
    fn take_in(&mut self, loaded: Loaded, now: u64) -> Result<Option<u32>, SiteError> {
        let mut node = match loaded {
            Loaded::Node(node) => node,
            Loaded::Directory => return Ok(None),
            // It changed twice within moments: the next request looks again.
            Loaded::AnotherRoot(_) | Loaded::NoRoot => return Err(SiteError::Busy),
        };
        if self.make_room(&node) {
            node.close_files();
        } else if node.listing {
            return Err(SiteError::Busy);
        } else {
            node.leave_memory();
        }
        if !self.stay_in_budget(&node) {
            return Err(SiteError::Busy);
        }
        node.checked = now;
        Ok(Some(self.insert(*node)))
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
        // Nothing but a listing depends on the query.
        let view = match path {
            [.., b'/'] if self.loader.options.listing => {
                accepts.query().and_then(|query| self.view(path, query))
            }
            _ => None,
        };
        let Some(index) = self.node_for(path, view.as_ref(), now)? else {
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
            Some(variant) => {
                content_of_file(&self.loader.options, &mut self.window, variant, range)
            }
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
