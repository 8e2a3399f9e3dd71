//! The order of a listing's entries, and the selection of one page of it.
//!
//! A page is found in one pass over the directory, in the system's order: of all the entries only
//! those stay in memory that the page may need, whatever the directory's size.

use super::view::{Order, Sort};
use capuchin_posix::{FileStatus, Kind};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;

/// What an entry is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// Directories come before files in every order.
    pub directory: bool,
    /// Bytes or seconds, where the order asks for one of them; otherwise 0.
    pub value: u64,
    pub name: &'a [u8],
}

impl Key<'_> {
    /// The total order of a listing: entries are equal only if they have the same name.
    pub fn compare(self, other: Self, order: Order) -> Ordering {
        let turned = |ordering: Ordering| match order.descending {
            true => ordering.reverse(),
            false => ordering,
        };
        let names = by_name(self.name, other.name);
        let ordered = match order.by {
            Sort::Name => turned(names),
            // Entries of the same size or time are in ascending order of their names.
            Sort::Size | Sort::Time => turned(self.value.cmp(&other.value)).then(names),
        };
        other.directory.cmp(&self.directory).then(ordered)
    }
}

/// Natural order: runs of digits compare as numbers, letters of ASCII whatever their case. Names
/// that are equal by that are ordered by their bytes.
pub(super) fn by_name(a: &[u8], b: &[u8]) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let (Some(&first_a), Some(&first_b)) = (rest_a.first(), rest_b.first()) else {
            return rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b));
        };
        let ordering = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b) = (number(&mut rest_a), number(&mut rest_b));
            let by_length = number_a.len().cmp(&number_b.len());
            by_length.then_with(|| number_a.cmp(number_b))
        } else {
            (rest_a, rest_b) = (&rest_a[1..], &rest_b[1..]);
            first_a
                .to_ascii_lowercase()
                .cmp(&first_b.to_ascii_lowercase())
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// Takes a run of digits from the front; gives it without leading zeros.
fn number<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (run, after) = rest.split_at(digits);
    *rest = after;
    let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
    &run[zeros..]
}

/// An entry that is kept.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: Box<[u8]>,
    pub directory: bool,
    pub value: u64,
    /// What the entry itself is; a link may lead to any of the other kinds.
    pub kind: Option<Kind>,
    /// What it leads to, if that was looked up.
    pub status: Option<FileStatus>,
}

impl Entry {
    pub fn key(&self) -> Key<'_> {
        Key {
            directory: self.directory,
            value: self.value,
            name: &self.name,
        }
    }
}

/// An entry in a heap whose greatest element is the first to go.
struct Ranked {
    entry: Entry,
    order: Order,
    /// Whether the heap keeps the last entries of the order, not the first.
    keeps_last: bool,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let ordering = self.entry.key().compare(other.entry.key(), self.order);
        match self.keeps_last {
            true => ordering.reverse(),
            false => ordering,
        }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// The first or the last entries of an order, as many as fit.
struct Kept {
    /// A heap instead of a sort: the standard library's sorting is 8 KB of code more.
    heap: BinaryHeap<Ranked>,
    capacity: usize,
    order: Order,
    keeps_last: bool,
}

impl Kept {
    fn new(order: Order, keeps_last: bool, capacity: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            capacity,
            order,
            keeps_last,
        }
    }

    fn offer(&mut self, key: Key<'_>, kind: Option<Kind>, status: Option<FileStatus>) {
        let ranked = || Ranked {
            entry: Entry {
                name: key.name.into(),
                directory: key.directory,
                value: key.value,
                kind,
                status,
            },
            order: self.order,
            keeps_last: self.keeps_last,
        };
        if self.heap.len() < self.capacity {
            let ranked = ranked();
            self.heap.push(ranked);
        } else if let Some(worst) = self.heap.peek() {
            let ordering = key.compare(worst.entry.key(), self.order);
            let is_better = match self.keeps_last {
                true => ordering == Ordering::Greater,
                false => ordering == Ordering::Less,
            };
            if is_better {
                let ranked = ranked();
                self.heap.pop();
                self.heap.push(ranked);
            }
        }
    }

    /// The entries in the listing's order.
    fn into_entries(self) -> Vec<Entry> {
        let keeps_last = self.keeps_last;
        let sorted = self.heap.into_sorted_vec().into_iter();
        let mut entries: Vec<Entry> = sorted.map(|ranked| ranked.entry).collect();
        if keeps_last {
            entries.reverse();
        }
        entries
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin<'a> {
    /// With the first entry.
    First,
    /// With the first entry after this one, which need not exist any more.
    After(Key<'a>),
    /// So that it ends with the last entry, and all pages before it are full.
    Last,
}

/// Gathers one page of a directory whose entries are offered in any order.
pub(super) struct Selection<'a> {
    begin: Begin<'a>,
    order: Order,
    length: usize,
    /// The entries before the page, the last ones of them.
    before: Kept,
    /// The page, and one entry more, which tells whether another page follows.
    page: Kept,
    before_count: u64,
    directories: u64,
    files: u64,
    begin_was_met: bool,
}

/// One page of a directory.
#[derive(Debug)]
pub(super) struct Page {
    pub entries: Vec<Entry>,
    /// Entries before the page.
    pub before: u64,
    /// Directories and files of the whole directory.
    pub directories: u64,
    pub files: u64,
    /// After which entry the page before this one begins; the first page begins after none.
    pub previous: Option<Option<Entry>>,
    /// Whether entries follow.
    pub more: bool,
    /// Whether the page is one of those that links lead to, from the first page on.
    pub canonical: bool,
}

impl<'a> Selection<'a> {
    /// For pages of `length` entries, at least one.
    pub fn new(begin: Begin<'a>, order: Order, length: usize) -> Self {
        // The last page, and the one before it with the entry after which that begins.
        let before = if begin == Begin::First {
            0
        } else {
            2 * length + 1
        };
        Self {
            begin,
            order,
            length,
            before: Kept::new(order, true, before),
            page: Kept::new(order, false, length + 1),
            before_count: 0,
            directories: 0,
            files: 0,
            begin_was_met: false,
        }
    }

    pub fn offer(&mut self, key: Key<'_>, kind: Option<Kind>, status: Option<FileStatus>) {
        if key.directory {
            self.directories += 1;
        } else {
            self.files += 1;
        }
        let is_before = match self.begin {
            Begin::First => false,
            Begin::Last => true,
            Begin::After(begin) => {
                let ordering = key.compare(begin, self.order);
                self.begin_was_met |= ordering == Ordering::Equal;
                ordering != Ordering::Greater
            }
        };
        if is_before {
            self.before_count += 1;
            self.before.offer(key, kind, status);
        } else {
            self.page.offer(key, kind, status);
        }
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.before.heap.len() + self.page.heap.len()
    }

    pub fn finish(self) -> Page {
        let length = self.length;
        let mut canonical = match self.begin {
            Begin::First | Begin::Last => true,
            Begin::After(_) => {
                self.begin_was_met && self.before_count.is_multiple_of(length as u64)
            }
        };
        let mut before = self.before.into_entries();
        let mut entries = self.page.into_entries();
        let mut before_count = self.before_count;
        // Nothing follows the entry that the page was to begin after: it became the last one.
        if entries.is_empty() && before_count > 0 {
            canonical &= self.begin == Begin::Last;
            let rest = (before_count - 1) % length as u64 + 1;
            let at = before.len().saturating_sub(rest as usize);
            entries = before.split_off(at);
            before_count -= rest;
        }
        let more = entries.len() > length;
        entries.truncate(length);
        let previous = (before_count > 0).then(|| {
            let at = before.len().checked_sub(length + 1)?;
            before.get_mut(at).map(|entry| Entry {
                name: mem::take(&mut entry.name),
                ..entry.clone()
            })
        });
        Page {
            entries,
            before: before_count,
            directories: self.directories,
            files: self.files,
            previous,
            more,
            canonical,
        }
    }
}
