//! What the cache keeps of a path: its files or its listing, in memory or open.

use super::served::Served;
use capuchin_core::http::conditional::EntityTag;
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::Coding;
use capuchin_core::reply::Opening;
use capuchin_core::site::Representation;
use capuchin_posix::{File, FileStatus};

/// Codings in the order of [`Node::variants`].
pub(super) const CODINGS: [Coding; 3] = [Coding::Identity, Coding::Gzip, Coding::Br];

/// What a path led to.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: Box<[u8]>,
    /// Told from others that have or had its number by this.
    pub(super) serial: u64,
    pub(super) variants: [Option<Variant>; CODINGS.len()],
    pub(super) media_type: &'static str,
    /// Running replies that refer to it.
    pub(super) held: u32,
    /// Found by its path; if not, it goes with its last reply.
    pub(super) listed: bool,
    /// Made here, not read from a file.
    pub(super) listing: bool,
    pub(super) checked: u64,
    /// Used since the hand went by.
    pub(super) recent: bool,
}

#[derive(Debug)]
pub(super) struct Variant {
    pub(super) status: FileStatus,
    /// Not when it was modified so lately that it may have changed since without another time.
    pub(super) settled: bool,
    pub(super) source: Source,
    pub(super) tag: Option<EntityTag>,
    pub(super) modified: [u8; 29],
    /// The fields of a whole reply, of a content that is in a file.
    pub(super) ready: Box<[u8]>,
    /// The file of a content in memory, until it is known whether there is room for that.
    pub(super) file: Option<Opened>,
}

/// A file that is closed unless somebody takes it.
#[derive(Debug)]
pub(super) struct Opened(pub(super) File);

impl Opened {
    pub(super) fn into_file(self) -> File {
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

#[derive(Debug)]
pub(super) enum Source {
    Memory(Stored),
    File(File),
}

/// Content in memory, behind the head of a reply with all of it, if that was made.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) bytes: Box<[u8]>,
    /// Bytes of the head.
    pub(super) head: usize,
}

impl Stored {
    #[inline(always)]
    pub(super) fn content(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// The head's fields without those of its opening.
    pub(super) fn fields(&self) -> Option<&[u8]> {
        let end = self.head.checked_sub(LINE_END.len())?;
        self.bytes.get(size_of::<Opening>()..end)
    }

    /// Puts a head with these fields before the content.
    pub(super) fn set_fields(&mut self, fields: &[u8]) {
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
    pub(super) fn bytes(&self) -> usize {
        match &self.source {
            Source::Memory(stored) => stored.content().len(),
            Source::File(_) => 0,
        }
    }

    #[inline(always)]
    pub(super) fn representation(
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

    /// The content's first bytes, as many as there are or as there is room for.
    pub(super) fn beginning(&self, memory: &mut [u8]) -> Option<usize> {
        match &self.source {
            Source::Memory(stored) => {
                let content = stored.content();
                let count = content.len().min(memory.len());
                memory[..count].copy_from_slice(&content[..count]);
                Some(count)
            }
            Source::File(file) => file.read_at(memory, 0).ok(),
        }
    }

    /// Whether the open file is as it was when its length was promised.
    #[inline(always)]
    pub(super) fn still_holds(&self, file: File) -> bool {
        file.status()
            .is_ok_and(|status| status.goes_on_from(self.status))
    }

    pub(super) fn length(&self) -> u64 {
        match &self.source {
            Source::Memory(stored) => stored.content().len() as u64,
            Source::File(_) => self.status.length,
        }
    }
}

impl Node {
    pub(super) fn bytes(&self) -> usize {
        self.variants.iter().flatten().map(Variant::bytes).sum()
    }

    /// Whether files that are not in memory are as they were: their replies could not even begin
    /// otherwise.
    #[inline(always)]
    pub(super) fn files_hold(&self) -> bool {
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
    pub(super) fn descriptors(&self) -> usize {
        self.files().count()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Variant, File)> {
        let variants = self.variants.iter().flatten();
        variants.filter_map(|variant| match variant.source {
            Source::Memory(_) => None,
            Source::File(file) => Some((variant, file)),
        })
    }

    pub(super) fn has_descriptor(&self) -> bool {
        self.files().next().is_some()
    }

    /// Closes the files of contents that stay in memory.
    pub(super) fn close_files(&mut self) {
        for variant in self.variants.iter_mut().flatten() {
            variant.file = None;
        }
    }

    /// Has all contents sent from their files, with the fields that they have already.
    pub(super) fn leave_memory(&mut self) {
        for variant in self.variants.iter_mut().flatten() {
            if let Some(file) = variant.file.take() {
                if let Source::Memory(stored) = &variant.source {
                    variant.ready = stored.fields().unwrap_or_default().into();
                }
                variant.source = Source::File(file.into_file());
            }
        }
    }

    /// Whether nothing at all happened to its open files, not even that they lost their names.
    pub(super) fn files_untouched(&self) -> bool {
        self.files()
            .all(|(variant, file)| file.status() == Ok(variant.status))
    }

    /// Whether the same files with the same contents are behind both, or the same list. Contents in
    /// memory are compared, for a file that is written through a memory map keeps its times. Where one of
    /// them is not in memory, tags are: those of contents that would fit are computed from them.
    pub(super) fn same_files(&self, other: &Self) -> bool {
        self.variants
            .iter()
            .zip(&other.variants)
            .all(|pair| match pair {
                (None, None) => true,
                (Some(a), Some(b)) => match (&a.source, &b.source) {
                    (Source::Memory(one), Source::Memory(two)) => {
                        let is_listing = self.listing && other.listing;
                        (is_listing || a.settled && a.status == b.status)
                            && one.content() == two.content()
                    }
                    _ => a.settled && a.status == b.status && a.tag == b.tag,
                },
                _ => false,
            })
    }
}

/// What a path leads to when it is looked up in the file system.
pub(super) enum Loaded {
    Node(Box<Node>),
    /// A directory, named without its slash.
    Directory,
    /// The root's path leads to another directory.
    AnotherRoot(Box<Served>),
    /// The root's path leads to no directory.
    NoRoot,
}
