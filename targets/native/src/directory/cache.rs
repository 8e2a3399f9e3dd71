//! The cache of a directory: which nodes it keeps, within which budgets, and which of them are evicted.

use super::Directory;
use super::node::Node;

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

impl Directory {
    /// Lets go of a few cached files that were deleted or changed and that nobody asks for any
    /// more: for as long as it is open, a deleted file takes its room on the disk. Does something
    /// once a second at most; tells in how many milliseconds it wants to be called again, if at
    /// all. `now` is as in [`capuchin_core::site::Site::find`].
    pub fn tidy(&mut self, now: u64) -> Option<u32> {
        self.receive(now);
        if self.open_files == 0 {
            let waits = self
                .waiting
                .as_ref()
                .is_some_and(|waiting| !waiting.is_quiet());
            return waits.then_some(TIDY_PAUSE_MS as u32);
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
            if !node.files_untouched(now) {
                self.unlist(index as u32);
            }
            looked_at += 1;
            if looked_at == TIDY_NODES {
                break;
            }
        }
        Some(TIDY_PAUSE_MS as u32)
    }

    pub(super) fn node_mut(&mut self, index: u32) -> Option<&mut Node> {
        self.nodes.get_mut(index as usize)?.as_mut()
    }

    /// Evicts until the node's content fits into memory; `false` when too much of it is held by
    /// replies for that.
    pub(super) fn make_room(&mut self, node: &Node) -> bool {
        let bytes = node.bytes();
        let limit = match (node.listing, bytes <= SHORT_LISTING) {
            (false, _) => self.loader.options.cache_bytes,
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
    pub(super) fn stay_in_budget(&mut self, node: &Node) -> bool {
        let more = node.descriptors();
        while more > 0
            && self.open_files > 0
            && self.open_files + more > self.loader.options.open_files
        {
            if !self.evict_one(Node::has_descriptor) {
                return false;
            }
        }
        true
    }

    /// Takes a node in, to be found by its path if there is a place left or can be made; without
    /// one it lives for its own reply only.
    pub(super) fn insert(&mut self, mut node: Node) -> u32 {
        while node.listed && self.by_path.len() >= self.loader.options.cache_files {
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
        if let Some(path) = path
            && let Some(before) = self.by_path.insert(path, index)
        {
            // It was looked up by another query, and an index file appeared since.
            if let Some(node) = self.node_mut(before) {
                node.listed = false;
            }
            self.drop_unused(before);
        }
        index
    }

    pub(super) fn bytes_of(&mut self, listing: bool) -> &mut usize {
        if listing {
            &mut self.listing_bytes
        } else {
            &mut self.bytes
        }
    }

    /// Drops one of the nodes that `may_go`, that no reply holds, and that was not used since the
    /// hand went by it last: close to the one not used for longest, without looking at all of them.
    pub(super) fn evict_one(&mut self, may_go: impl Fn(&Node) -> bool) -> bool {
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
    pub(super) fn unlist(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        if node.listed {
            node.listed = false;
            self.by_path.remove(&node.path);
        }
        self.drop_unused(index);
    }

    /// Takes all nodes out of the cache.
    pub(super) fn unlist_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.unlist(index as u32);
        }
    }

    pub(super) fn drop_unused(&mut self, index: u32) {
        let place = &mut self.nodes[index as usize];
        if let Some(node) = place.take_if(|node| !node.listed && node.held == 0) {
            *self.bytes_of(node.listing) -= node.bytes();
            self.open_files -= node.descriptors();
            self.vacant.push(index);
        }
    }
}
