//! A directory's entries as HTML pages.
//!
//! A page is one sorted part of the whole directory, however large that is. The directory is read
//! once from its beginning to its end, in bounded memory ([`order`]); only the entries that are shown
//! are looked up one by one (stat(2)), and beside them no more than
//! [`DirectoryOptions::listing_lookups`]. The page is made on the calling thread, so for a large
//! directory that should not be a worker's.

mod html;
mod order;
mod view;

pub(crate) use html::civil;
pub(crate) use view::View;

use crate::directory::{DirectoryOptions, LISTING_PAGE_LIMIT};
use capuchin_posix::{Entries, File, FileStatus, Kind, Links, OpenError, Root};
use order::{Entry, Key, Selection};
use view::{Order, Sort};

/// `Content-Type` of a listing.
pub(crate) const MEDIA_TYPE: &str = "text/html; charset=utf-8";

/// A page, ready to send.
#[derive(Debug)]
pub(crate) struct Listing {
    pub html: Vec<u8>,
    /// Whether a link of a listing leads to this page. Other pages are correct, too, but must not be cached: clients
    /// can invent any number of queries for them.
    pub canonical: bool,
}

/// What a page says of the whole directory.
#[derive(Debug)]
struct Summary {
    directories: u64,
    files: u64,
    /// Not all entries were looked at; the number of those that were.
    cut_at: Option<usize>,
    /// Entries up to which a directory is sorted by size and time, if this one has more.
    unsorted: Option<usize>,
}

/// Makes the page of `directory` that `view` asks for, or the first by name; closes the directory. `path` is the directory's below `root`, decoded,
/// and ends with `/`.
///
/// # Errors
/// [`OpenError`] when the directory cannot be read to its end: part of it is not shown as the whole.
pub(crate) fn make(
    root: &Root,
    path: &[u8],
    directory: File,
    options: &DirectoryOptions,
    view: Option<&View>,
) -> Result<Listing, OpenError> {
    let view = view.unwrap_or(&View::DEFAULT);
    let mut entries = Entries::of(directory)?;
    let lookup = Lookup {
        root,
        path,
        directory,
        links: options.links,
    };
    // Of more entries than these, not all could be looked up.
    let sortable = options.listing_lookups;
    let is_too_large = view.order.by != Sort::Name
        && sortable < options.listing_entries
        && has_more_than(sortable, &mut entries)?;
    let shown = if is_too_large { &View::DEFAULT } else { view };
    let length = options.listing_page.clamp(1, LISTING_PAGE_LIMIT);
    let mut selection = Selection::new(shown.begin(), shown.order, length);
    let (looked_at, is_cut) = read(&mut entries, &lookup, options, shown.order, &mut selection)?;
    let page = selection.finish();
    let summary = Summary {
        directories: page.directories,
        files: page.files,
        cut_at: is_cut.then_some(options.listing_entries),
        unsorted: (is_too_large || looked_at > sortable).then_some(sortable),
    };
    let canonical = page.canonical && (!is_too_large || *view == View::first(view.order));
    let html = html::page(path, shown.order, &page, &summary, |entry| {
        lookup.of_row(entry)
    })?;
    Ok(Listing { html, canonical })
}

/// Offers the entries that a listing has; tells how many were looked at, and whether there are more.
fn read(
    entries: &mut Entries,
    lookup: &Lookup<'_>,
    options: &DirectoryOptions,
    order: Order,
    selection: &mut Selection<'_>,
) -> Result<(usize, bool), OpenError> {
    let (mut looked_at, mut lookups) = (0, options.listing_lookups);
    while let Some((name, kind)) = entries.next_entry()? {
        if looked_at == options.listing_entries {
            return Ok((looked_at, true));
        }
        looked_at += 1;
        if name.starts_with(b".") && !options.hidden || !lookup.may_show(kind) {
            continue;
        }
        let is_known = matches!(kind, Some(Kind::Regular | Kind::Directory));
        // What a link leads to decides whether it is shown, and where. Beyond the limit it stands
        // among the files, and whether it is shown is found out with its row.
        let mut status = None;
        if (order.by != Sort::Name || !is_known) && lookups > 0 {
            lookups -= 1;
            status = lookup.status(name, kind)?;
            if status.is_none() {
                continue;
            }
        }
        let directory = status.map_or(kind == Some(Kind::Directory), is_directory);
        let value = match (order.by, status) {
            (Sort::Size, Some(status)) if !directory => status.length,
            (Sort::Time, Some(status)) => status.modified,
            _ => 0,
        };
        let key = Key {
            directory,
            value,
            name,
        };
        selection.offer(key, kind, status);
    }
    Ok((looked_at, false))
}

/// Whether there are more entries; what was read is read again after that.
fn has_more_than(limit: usize, entries: &mut Entries) -> Result<bool, OpenError> {
    let mut count = 0;
    while count <= limit && entries.next_entry()?.is_some() {
        count += 1;
    }
    entries.rewind();
    Ok(count > limit)
}

fn is_directory(status: FileStatus) -> bool {
    status.kind == Kind::Directory
}

/// How entries are looked up.
struct Lookup<'a> {
    root: &'a Root,
    path: &'a [u8],
    /// Open for as long as the directory's [`Entries`] are.
    directory: File,
    links: Links,
}

impl Lookup<'_> {
    /// Whether an entry of this kind can be shown. Links that are not followed, pipes and devices
    /// cannot.
    fn may_show(&self, kind: Option<Kind>) -> bool {
        match kind {
            Some(Kind::Link) => self.links != Links::None,
            Some(Kind::Other) => false,
            Some(Kind::Regular | Kind::Directory) | None => true,
        }
    }

    /// What a name leads to, if that is a file or a directory. Whether a file may be read would show
    /// only when it is opened, which is too expensive for each row.
    fn status(&self, name: &[u8], kind: Option<Kind>) -> Result<Option<FileStatus>, OpenError> {
        let mut found = match kind {
            Some(Kind::Link) => self.root.status_beneath(&[self.path, name].concat()),
            _ => self.directory.status_of(name),
        };
        if matches!(found, Ok(status) if status.kind == Kind::Link) {
            found = self.root.status_beneath(&[self.path, name].concat());
        }
        match found {
            Ok(status) if matches!(status.kind, Kind::Regular | Kind::Directory) => {
                Ok(Some(status))
            }
            // The rows would be missing although nothing is wrong with the entries.
            Err(OpenError::Exhausted) => Err(OpenError::Exhausted),
            _ => Ok(None),
        }
    }

    /// The same for an entry that was selected.
    fn of_row(&self, entry: &Entry) -> Result<Option<FileStatus>, OpenError> {
        match entry.status {
            Some(status) => Ok(Some(status)),
            None => self.status(&entry.name, entry.kind),
        }
    }
}

#[cfg(test)]
mod tests;
