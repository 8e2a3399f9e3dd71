//! The site of an image: the pages that are baked into it, then the files of a directory.

use crate::files::Files;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Site, SiteError};
use capuchin_core::table::Table;
use capuchin_posix::File;
use core::ops::Range;

/// Pages, and perhaps files.
pub struct ImageSite {
    pages: Table<File>,
    files: Option<Files>,
}

/// Marks the contents of files among those of pages.
const FILES: u32 = 1 << 31;

impl ImageSite {
    pub fn new(pages: Table<File>, files: Option<Files>) -> Self {
        Self { pages, files }
    }
}

impl Site for ImageSite {
    type File = File;

    fn find(
        &mut self,
        path: &[u8],
        accepts: Accepts<'_>,
        now: u64,
    ) -> Result<Found<'_>, SiteError> {
        match (self.pages.find(path, accepts, now), &mut self.files) {
            (Err(SiteError::NotFound), Some(files)) => match files.find(path, accepts, now)? {
                Found::Content(ContentId(id), representation) => {
                    Ok(Found::Content(ContentId(id | FILES), representation))
                }
                directory => Ok(directory),
            },
            (found, _) => found,
        }
    }

    fn content(&mut self, ContentId(id): ContentId, range: Range<u64>) -> Content<'_, File> {
        match &mut self.files {
            Some(files) if id & FILES != 0 => files.content(ContentId(id & !FILES), range),
            _ => self.pages.content(ContentId(id), range),
        }
    }

    fn release(&mut self, ContentId(id): ContentId) {
        match &mut self.files {
            Some(files) if id & FILES != 0 => files.release(ContentId(id & !FILES)),
            _ => self.pages.release(ContentId(id)),
        }
    }
}
