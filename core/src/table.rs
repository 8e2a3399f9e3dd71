//! A site baked into the program: a table of paths and contents, made at compile time.
//!
//! Contents are static, so replies point at them and copy nothing; entity tags are computed by
//! the compiler. An entry may carry compressed variants, which clients get that accept them.
//!
//! ```
//! use capuchin_core::table::{Entry, Table};
//!
//! static PAGES: &[Entry] = &[
//!     Entry::new("/", "text/html; charset=utf-8", b"<!doctype html><title>Device</title>"),
//!     Entry::new("/app.js", "text/javascript; charset=utf-8", b"let x = 1;").with_gzip(b"\x1f\x8b..."),
//! ];
//! let site: Table<()> = Table::new(PAGES);
//! assert_eq!(site.entries().len(), 2);
//! ```
//!
//! Files are taken in with `include_bytes!`. The compiler's evaluation of a tag takes time in
//! proportion to the length: for contents beyond a few megabytes it wants
//! `#![allow(long_running_const_eval)]`, or a tag of one's own by [`Entry::with_tag`].

use crate::http::conditional::EntityTag;
use crate::http::date::HttpDate;
use crate::http::encoding::{Coding, Codings};
use crate::site::{Accepts, Content, ContentId, Found, Representation, Site, SiteError};
use core::marker::PhantomData;
use core::ops::Range;

/// One coding of an entry's content.
#[derive(Clone, Copy, Debug)]
struct Variant {
    content: &'static [u8],
    tag: EntityTag,
}

impl Variant {
    const fn new(content: &'static [u8]) -> Self {
        Self {
            content,
            tag: EntityTag::of_content(content),
        }
    }
}

/// One path of a baked site.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    path: &'static str,
    media_type: &'static str,
    identity: Variant,
    gzip: Option<Variant>,
    br: Option<Variant>,
    cache_control: Option<&'static str>,
    modified: Option<(HttpDate, [u8; 29])>,
}

impl Entry {
    /// `content` at `path`, which begins with `/` and is written decoded and normalised; a path
    /// that ends in `/` stands for the directory's index page.
    ///
    /// # Panics
    /// When the path does not begin with `/`; in a static table that is a compile error.
    #[must_use]
    pub const fn new(path: &'static str, media_type: &'static str, content: &'static [u8]) -> Self {
        assert!(
            !path.is_empty() && path.as_bytes()[0] == b'/',
            "a path begins with '/'"
        );
        let identity = Variant::new(content);
        Self {
            path,
            media_type,
            identity,
            gzip: None,
            br: None,
            cache_control: None,
            modified: None,
        }
    }

    /// The same content in gzip coding, for clients that accept it.
    #[must_use]
    pub const fn with_gzip(mut self, content: &'static [u8]) -> Self {
        self.gzip = Some(Variant::new(content));
        self
    }

    /// The same content in Brotli coding, for clients that accept it.
    #[must_use]
    pub const fn with_br(mut self, content: &'static [u8]) -> Self {
        self.br = Some(Variant::new(content));
        self
    }

    /// `Cache-Control` for this entry, such as `max-age=86400`.
    #[must_use]
    pub const fn with_cache_control(mut self, directives: &'static str) -> Self {
        self.cache_control = Some(directives);
        self
    }

    /// `Last-Modified`, in seconds since 1970.
    #[must_use]
    pub const fn with_modified(mut self, unix_time: u64) -> Self {
        self.modified = Some((HttpDate(unix_time), HttpDate(unix_time).format()));
        self
    }

    /// Another entity tag for the uncompressed content than the computed one.
    #[must_use]
    pub const fn with_tag(mut self, tag: EntityTag) -> Self {
        self.identity.tag = tag;
        self
    }

    fn codings(&self) -> Codings {
        let mut codings = Codings::IDENTITY;
        if self.gzip.is_some() {
            codings = codings.with(Coding::Gzip);
        }
        if self.br.is_some() {
            codings = codings.with(Coding::Br);
        }
        codings
    }

    fn variant(&self, coding: Coding) -> &Variant {
        match coding {
            Coding::Gzip => self.gzip.as_ref(),
            Coding::Br => self.br.as_ref(),
            Coding::Identity => None,
        }
        .unwrap_or(&self.identity)
    }
}

/// A baked site. `F` is the transport's kind of file, of which it has none.
#[derive(Clone, Copy, Debug)]
pub struct Table<F> {
    entries: &'static [Entry],
    file: PhantomData<F>,
}

/// Codings that one entry may have: what tells them apart in a [`ContentId`].
const CODINGS: [Coding; 3] = [Coding::Identity, Coding::Gzip, Coding::Br];

impl<F> Table<F> {
    /// A site of these entries, looked up in their order.
    #[must_use]
    pub const fn new(entries: &'static [Entry]) -> Self {
        Self {
            entries,
            file: PhantomData,
        }
    }

    /// The entries.
    #[must_use]
    pub const fn entries(&self) -> &'static [Entry] {
        self.entries
    }
}

impl<F: Copy> Site for Table<F> {
    type File = F;

    fn find(&mut self, path: &[u8], accepts: Accepts<'_>, _: u64) -> Result<Found<'_>, SiteError> {
        let Some(at) = self
            .entries
            .iter()
            .position(|entry| entry.path.as_bytes() == path)
        else {
            // Whether or not it has an index page: `/a` is a directory where there is `/a/b`.
            let is_directory = |entry: &Entry| {
                let below = entry.path.as_bytes().strip_prefix(path);
                below.is_some_and(|below| below.starts_with(b"/"))
            };
            return if self.entries.iter().any(is_directory) {
                Ok(Found::Directory)
            } else {
                Err(SiteError::NotFound)
            };
        };
        let entry = &self.entries[at];
        let codings = entry.codings();
        let varies = codings != Codings::IDENTITY;
        // A client that takes no coding we have gets the content as it is, as RFC 9110 section 12.5.3
        // wants; even if it excludes that, for section 12.4.1 lets a server disregard the field, and
        // most clients can do more with content than with 406.
        let coding = if varies {
            accepts.choose(codings).unwrap_or(Coding::Identity)
        } else {
            Coding::Identity
        };
        let variant = entry.variant(coding);
        let number = CODINGS
            .iter()
            .position(|&other| other == coding)
            .unwrap_or(0);
        let id = ContentId((at * CODINGS.len() + number) as u32);
        let representation = Representation {
            length: variant.content.len() as u64,
            media_type: entry.media_type,
            tag: Some(&variant.tag),
            modified: entry.modified.as_ref().map(|(date, _)| *date),
            modified_text: entry.modified.as_ref().map(|(_, text)| text),
            coding,
            varies,
            cache_control: entry.cache_control,
            ready: None,
            content: Some(variant.content),
        };
        Ok(Found::Content(id, representation))
    }

    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, F> {
        let (at, number) = (id.0 as usize / CODINGS.len(), id.0 as usize % CODINGS.len());
        let bytes = self
            .entries
            .get(at)
            .map(|entry| entry.variant(CODINGS[number]).content);
        bytes
            .and_then(|bytes| part(bytes, &range))
            .map_or(Content::Gone, Content::Bytes)
    }

    fn release(&mut self, _: ContentId) {}
}

/// The bytes of `content` at `range`, if it has them.
fn part<'c>(content: &'c [u8], range: &Range<u64>) -> Option<&'c [u8]> {
    content.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    static SITE: &[Entry] = &[
        Entry::new("/", "text/html", b"root"),
        Entry::new("/a/", "text/html", b"index of a")
            .with_gzip(b"zipped")
            .with_br(b"br"),
        Entry::new("/c/file", "text/plain", b"in c"),
    ];

    fn find(path: &str) -> Result<Found<'static>, SiteError> {
        // Entries are static; only the trait ties what is found to the site.
        let site = std::boxed::Box::leak(std::boxed::Box::new(Table::<()>::new(SITE)));
        site.find(path.as_bytes(), Accepts::identity(), 0)
    }

    #[test]
    fn paths_are_found_whole_and_directories_without_their_slash() {
        assert!(matches!(find("/"), Ok(Found::Content(_, found)) if found.length == 4));
        assert!(
            matches!(find("/a/"), Ok(Found::Content(_, found)) if found.length == 10 && found.varies)
        );
        assert!(matches!(find("/a"), Ok(Found::Directory)));
        assert!(matches!(find("/c"), Ok(Found::Directory)));
        assert!(matches!(find("/c/"), Err(SiteError::NotFound)));
        assert!(matches!(find("/b"), Err(SiteError::NotFound)));
    }

    #[test]
    fn variants_have_tags_of_their_own() {
        let entry = &SITE[1];
        let tags = CODINGS.map(|coding| entry.variant(coding).tag);
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
        assert_ne!(
            EntityTag::of_content(b"same length 1"),
            EntityTag::of_content(b"same length 2")
        );
        assert_eq!(
            EntityTag::of_content(b"same"),
            EntityTag::of_content(b"same")
        );
    }
}
