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
//! (503) until others have been read. What no reply holds is evicted first. What replies hold stays in
//! memory until they are sent or given up (`--timeout-write`), [`DirectoryOptions::cache_bytes`] at most;
//! until then other files are sent from the disk, and they return to memory at the first look after that.

mod cache;
mod loader;
mod node;
mod served;
#[cfg(test)]
mod tests;
mod waiting;

use crate::file_pool::FilePool;
use crate::listing::View;
use crate::repeats::Repeats;
use crate::worker::Wake;

use capuchin_core::event::Ticket;
use capuchin_core::http::encoding::{Coding, Codings};
use capuchin_core::reply::Opening;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Site, SiteError};
use capuchin_posix::{File, Links, OpenError, Storage};
#[cfg(test)]
pub(crate) use loader::Seam;
use loader::{Loader, Patience};
use node::{CODINGS, Loaded, Node, Source, Variant};
use served::Served;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use waiting::{LookedUp, Waiting};

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
    /// Paths whose files are kept open or in memory, for each worker.
    pub cache_files: usize,
    /// Bytes of contents kept in memory, for each worker; contents of replies that are still being
    /// sent count, too. While those take all of it, other files are sent from the disk.
    pub cache_bytes: usize,
    /// Bytes of the longest content that is kept in memory, and of the longest whose entity tag is
    /// computed from the content.
    pub cache_file_bytes: usize,
    /// Files that are open at the same time, for each worker: cached ones, which are evicted, and those
    /// of running replies, beyond which requests are answered with 503. A server lowers it to what
    /// the process may open besides its connections.
    pub open_files: usize,
    /// Threads of the whole server that open and read files which are not in memory, and make listings, so that no
    /// worker waits for a disk or a network file system. They are started when they are needed. With 0, and
    /// without a [`Server`](crate::Server), workers wait themselves.
    pub file_threads: usize,
    /// Look-ups that wait for one of those threads, beyond which requests are answered with 503.
    pub file_queue: usize,
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
            file_threads: 16,
            file_queue: 1_024,
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

/// What opening a file costs, in bytes that could have been sent in the same time (see [`Site::cost`]). What is read
/// to memory counts besides.
const OPEN_COST: u32 = 16 << 10;

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
    loader: Arc<Loader>,
    /// What waits for storage, once the worker can be told that it came; without it the worker waits itself.
    waiting: Option<Waiting>,
    pool: Option<FilePool>,
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
    /// The node that is looked at next when one has to be evicted.
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
            loader: Arc::new(Loader {
                served,
                options,
                devices: Arc::default(),
                #[cfg(test)]
                seam: None,
            }),
            pool: None,
            waiting: None,
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

    /// Has `seam` called before anything that may wait for storage.
    #[cfg(test)]
    pub(crate) fn interpose(&mut self, seam: Option<Seam>) {
        let loader = Arc::get_mut(&mut self.loader).expect("nothing is under way yet");
        loader.seam = seam;
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
        self.receive(now);
        let cached = match view {
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
        self.look_up(path, view, now)
    }

    /// What is not known is found out, by another thread if it takes long.
    #[inline(never)]
    fn look_up(
        &mut self,
        path: &[u8],
        view: Option<&View>,
        now: u64,
    ) -> Result<Option<u32>, SiteError> {
        let key = view.map_or_else(|| path.into(), |view| view.cache_key(path));
        if let Some(waiting) = &mut self.waiting
            && let Some(answer) = waiting.answer(&key)
        {
            return answer;
        }
        self.cost = self.cost.saturating_add(OPEN_COST);
        let mut loaded = self.load(path, view);
        if let Ok(Loaded::AnotherRoot(served)) = loaded {
            self.adopt(*served);
            loaded = self.load(path, view);
        }
        if let (Err(SiteError::Pending), Some(waiting)) = (&loaded, &mut self.waiting) {
            return Err(waiting.find(&self.loader, &key, path, view));
        }
        self.settle(&key, loaded, now)
    }

    /// Serves another directory from now on.
    fn adopt(&mut self, served: Served) {
        self.unlist_all();
        self.loader = Arc::new(Loader {
            served,
            options: self.loader.options.clone(),
            devices: Arc::clone(&self.loader.devices),
            #[cfg(test)]
            seam: self.loader.seam.clone(),
        });
        self.learn_root();
    }

    /// Takes in what came of a look-up.
    fn settle(
        &mut self,
        key: &[u8],
        loaded: Result<Loaded, SiteError>,
        now: u64,
    ) -> Result<Option<u32>, SiteError> {
        let cached = self.by_path.get(key).copied();
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
        let patience = match self.waiting {
            Some(_) => Patience::None,
            None => Patience::Any,
        };
        match self.loader.load(path, view, patience) {
            // Only a node with an open file gives a descriptor back.
            Err(SiteError::Busy) if self.evict_one(Node::has_descriptor) => {
                self.loader.load(path, view, patience)
            }
            loaded => loaded,
        }
    }

    /// Has what may take long done by these threads, once [`Directory::begin`] is called.
    pub(crate) fn wait_in(&mut self, pool: FilePool) {
        self.pool = Some(pool);
    }

    /// The worker that serves this can be told by `wake` what came.
    pub(crate) fn begin(&mut self, wake: Wake) {
        if let Some(pool) = self.pool.take() {
            self.waiting = Some(Waiting::new(pool, wake));
            let devices = &self.loader.devices;
            devices.matter.store(true, Ordering::Relaxed);
            self.learn_root();
        }
    }

    /// Most files are on the device of the root, so that most need no other thread to find out what they may wait for.
    fn learn_root(&self) {
        let root = &self.loader.served.root;
        if let Ok(status) = root.status() {
            self.loader.devices.learn(status.device, root.storage());
        }
    }

    /// Takes in what other threads have found.
    #[inline(always)]
    fn receive(&mut self, now: u64) {
        if self
            .waiting
            .as_ref()
            .is_some_and(|waiting| !waiting.is_quiet())
        {
            self.receive_results(now);
        }
    }

    #[inline(never)]
    fn receive_results(&mut self, now: u64) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let found = waiting.receive(now);
        self.let_go();
        // The time was another thread's: it is not the cost of whoever asks next.
        let cost = self.cost;
        for LookedUp {
            key,
            root,
            loaded,
            asked,
        } in found
        {
            if root != self.loader.served.place() {
                continue; // another root is served by now: those who wait for it ask again
            }
            match loaded {
                // Those who wait for it ask again.
                Ok(Loaded::AnotherRoot(served)) => self.adopt(*served),
                Err(SiteError::Busy) if self.evict_one(Node::has_descriptor) => {}
                loaded => {
                    let result = self.settle(&key, loaded, now);
                    let node = result.ok().flatten().and_then(|index| self.node_mut(index));
                    if asked == 0 || node.as_ref().is_some_and(|node| node.listed) {
                        self.drop_if_unlisted(result);
                        continue; // they find it in the cache
                    }
                    if let Some(node) = node {
                        node.held += 1;
                    }
                    let before = self
                        .waiting
                        .as_mut()
                        .and_then(|waiting| waiting.keep(key, result, asked));
                    if let Some(before) = before {
                        self.unhold(before.result);
                    }
                }
            }
        }
        self.cost = cost;
    }

    /// Lets go of what was kept for requests that did not come.
    fn let_go(&mut self) {
        let old = self.waiting.as_mut().map(Waiting::forget_old);
        for index in old.into_iter().flatten() {
            self.unhold(Ok(Some(index)));
        }
    }

    fn unhold(&mut self, result: Result<Option<u32>, SiteError>) {
        if let Ok(Some(index)) = result
            && let Some(node) = self.node_mut(index)
        {
            node.held -= 1;
            self.drop_if_unlisted(result);
        }
    }

    fn drop_if_unlisted(&mut self, result: Result<Option<u32>, SiteError>) {
        if let Ok(Some(index)) = result {
            self.drop_unused(index);
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
        // A listing has looked at many files: no other request of its connection is answered in the same turn.
        self.cost = match node.listing {
            true => u32::MAX,
            false => self.cost.saturating_add(node.bytes() as u32),
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

    const WAITS: bool = true;

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
        let Some(Some(node)) = self.nodes.get_mut(index as usize) else {
            return Content::Gone;
        };
        match &node.variants[number] {
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
                let content = content_of_file(
                    self.loader.options.sendfile,
                    &mut self.window,
                    &mut self.waiting,
                    variant,
                    (node.serial, number),
                    range,
                );
                if matches!(content, Content::Gone) {
                    // The next request looks again.
                    node.checked = node.checked.wrapping_sub(BELIEVED_MS);
                }
                content
            }
            None => Content::Gone,
        }
    }

    fn wait_for(&mut self, ticket: Ticket) -> bool {
        let waiting = self.waiting.as_mut();
        waiting.is_some_and(|waiting| waiting.wait_for(ticket))
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

/// What a variant's file has at `range`, read into `window` unless the system sends it, or read by another thread.
#[inline(never)]
fn content_of_file<'w>(
    sendfile: bool,
    window: &'w mut Vec<u8>,
    waiting: &'w mut Option<Waiting>,
    variant: &Variant,
    name: (u64, usize),
    range: Range<u64>,
) -> Content<'w, File> {
    let Source::File(opened) = &variant.source else {
        return Content::Gone;
    };
    let file = opened.0;
    let waiting = waiting
        .as_mut()
        .filter(|_| variant.storage != Storage::Memory);
    let must_wait = waiting.as_ref().is_some_and(|waiting| {
        variant.storage == Storage::Remote || waiting.has_block(name, range.start)
    });
    if sendfile && !must_wait && (waiting.is_none() || is_at_hand(file, &range)) {
        return if variant.still_holds(file) {
            Content::File(file)
        } else {
            Content::Gone
        };
    }
    if !sendfile && !must_wait {
        let wanted = usize::try_from(range.end - range.start)
            .unwrap_or(WINDOW)
            .min(WINDOW);
        window.resize(WINDOW, 0);
        let window = &mut window[..wanted];
        // Looked at *after* it was read: what is sent was the file's while it was as promised.
        let read = match waiting {
            Some(_) => file.read_at_hand(window, range.start),
            None => file.read_at(window, range.start),
        };
        match read {
            Ok(count) if count > 0 && variant.still_holds(file) => {
                return Content::Bytes(&window[..count]);
            }
            Err(OpenError::WouldWait) => {}
            _ => return Content::Gone,
        }
    }
    match waiting {
        Some(waiting) => waiting.content(name, opened, variant.status, range),
        None => Content::Gone,
    }
}

/// Whether the system can send this part of a file without waiting for a disk. A byte in each [`PROBE`] is looked at:
/// what is read from a disk ahead is longer than that.
fn is_at_hand(file: File, range: &Range<u64>) -> bool {
    range
        .clone()
        .step_by(PROBE)
        .chain([range.end - 1])
        .all(|at| file.read_at_hand(&mut [0], at).is_ok())
}

/// One byte in this many is looked at, to find out whether a file is in memory.
const PROBE: usize = 64 << 10;
