//! How many of the process's descriptors are for connections, and how many for files.
//!
//! Connections come first: without descriptors left nobody can be accepted, whereas a file that
//! cannot be opened is one reply of 503. A reply may hold a file besides its connection, so there
//! should be as many for files; where the system grants less, cached files make way.

use crate::directory::DirectoryOptions;
use capuchin_core::server::REFUSALS;

/// Standard streams, logs, signals, and whatever else the program has open.
const PROCESS: u64 = 64;

/// Of each worker: its channel, its directory, and what is open for a moment while a path is looked
/// up; with the connections that are only told 503.
const WORKER: u64 = 8 + REFUSALS as u64;

/// What the process itself, and each worker without connections, has open at least.
const PROCESS_LEAST: u64 = 16;
const WORKER_LEAST: u64 = 8;

/// Files for which each worker gets descriptors before connections get more.
const FILES_FIRST: u64 = 256;

/// The fewest connections that are tried, however few descriptors there are.
pub(crate) const CONNECTIONS_LEAST: u32 = 16;

/// The fewest files of a worker: one with its compressed neighbours, and one more.
const FILES_LEAST: u64 = 4;

/// What a server would like to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub connections: u32,
    pub workers: usize,
    pub listeners: usize,
    /// Files of all workers, from [`files_wanted`].
    pub files: u64,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub connections: u32,
    /// Open files of each worker.
    pub files: usize,
}

/// Files that all workers together would like to have open: those of the cache, and one for each
/// reply that is being sent.
pub(crate) fn files_wanted(options: &DirectoryOptions, connections: u32, workers: usize) -> u64 {
    let workers = workers as u64;
    let of_a_path = if options.precompressed { 3 } else { 1 };
    (options.cache_files as u64)
        .saturating_mul(workers)
        .saturating_add(u64::from(connections))
        .saturating_mul(of_a_path)
        .min((options.open_files as u64).saturating_mul(workers))
}

impl Needs {
    /// Descriptors to ask the system for.
    pub(crate) fn wanted(&self) -> u64 {
        self.fixed()
            .saturating_add(u64::from(self.connections))
            .saturating_add(self.files)
    }

    /// Descriptors without which a server would start and then turn everybody away.
    pub(crate) fn least(&self) -> u64 {
        let workers = self.workers as u64;
        let connections = CONNECTIONS_LEAST.min(self.connections);
        let files = if self.files == 0 { 0 } else { FILES_LEAST };
        PROCESS_LEAST
            + workers * (WORKER_LEAST + files)
            + self.listeners as u64
            + u64::from(connections)
    }

    /// Shares out what it granted, which is [`Needs::least`] at least.
    pub(crate) fn share(&self, granted: u64) -> Shares {
        let workers = self.workers.max(1) as u64;
        let left = granted.saturating_sub(self.fixed());
        let first = self.files.min(workers * FILES_FIRST).min(left / 4);
        let least = CONNECTIONS_LEAST.max(workers as u32);
        let possible = u32::try_from(left - first).unwrap_or(u32::MAX).max(least);
        let connections = self.connections.min(possible);
        let files = left.saturating_sub(u64::from(connections)).min(self.files);
        Shares {
            connections,
            files: usize::try_from((files / workers).max(FILES_LEAST)).unwrap_or(usize::MAX),
        }
    }

    fn fixed(&self) -> u64 {
        PROCESS + self.workers as u64 * WORKER + self.listeners as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs {
        connections: 16_384,
        workers: 2,
        listeners: 2,
        files: 16_896,
    };

    #[test]
    fn what_is_wanted_is_shared_out_whole_when_it_is_granted() {
        let shares = NEEDS.share(NEEDS.wanted());
        assert_eq!((shares.connections, shares.files), (16_384, 8_448));
        assert_eq!(NEEDS.share(u64::MAX), shares, "no more than wanted");
    }

    #[test]
    fn shares_never_exceed_what_was_granted() {
        for granted in [160, 200, 256, 1_024, 4_096, 17_000, 20_000, 33_000] {
            let shares = NEEDS.share(granted);
            let sum = NEEDS.fixed() + u64::from(shares.connections) + 2 * shares.files as u64;
            assert!(sum <= granted, "{granted}: {shares:?} make {sum}");
            assert!(shares.connections >= 16 && shares.files >= FILES_LEAST as usize);
        }
    }

    #[test]
    fn connections_are_lowered_only_when_few_files_are_left() {
        assert_eq!(NEEDS.share(20_000).connections, 16_384);
        assert!(NEEDS.share(1_024).connections < 1_024 * 3 / 4);
        let few = Needs {
            connections: 10,
            ..NEEDS
        };
        assert_eq!(few.share(256).connections, 10);
        assert_eq!(few.share(0).connections, 10, "tried all the same");
    }

    #[test]
    fn files_of_a_path_count_with_their_neighbours() {
        let mut options = DirectoryOptions {
            cache_files: 10,
            ..DirectoryOptions::default()
        };
        assert_eq!(files_wanted(&options, 100, 2), 120);
        options.precompressed = true;
        assert_eq!(files_wanted(&options, 100, 2), 360);
        options.open_files = 50;
        assert_eq!(files_wanted(&options, 100, 2), 100);
    }
}
