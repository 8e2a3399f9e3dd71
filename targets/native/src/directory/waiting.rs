//! What is not in memory, while other threads get it: look-ups of paths, and pieces of files.
//!
//! Each worker has its own list of what is under way. The same thing is not asked for twice: later requests
//! join. Memory is bounded: a thread of the pool holds one result at a time, [`INBOX`] results wait for the worker
//! at the most, and it keeps [`BLOCKS`] pieces, each for a second.

use super::loader::{Loader, Patience};
use super::node::{Loaded, Opened};
use super::{BELIEVED_MS, WINDOW};
use crate::file_pool::FilePool;
use crate::listing::View;
use crate::worker::Wake;
use capuchin_core::event::{Message, Notifier, Ticket, Token};
use capuchin_core::site::{Content, SiteError};
use capuchin_posix::{File, FileStatus, pause};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Results that wait for one worker.
const INBOX: usize = 16;

/// Pieces of files that one worker keeps after they were read; 8 MB.
const BLOCKS: usize = 32;

/// How long to wait before a message is sent again to a worker whose queue is full.
const RETRY: Duration = Duration::from_millis(1);

/// Completed when nobody waits: the worker takes the result in.
const NOBODY: Ticket = Ticket {
    connection: Token {
        index: u32::MAX,
        generation: u32::MAX,
    },
    sequence: 0,
    worker: 0,
};

/// One piece of an open file: the node's serial number, which variant, which piece.
pub(super) type BlockKey = (u64, usize, u64);

#[derive(Debug)]
pub(super) struct Waiting {
    pool: FilePool,
    inbox: Arc<Inbox>,
    finds: HashMap<Box<[u8]>, Flight>,
    answers: HashMap<Box<[u8]>, Answer>,
    blocks: HashMap<BlockKey, Block>,
    /// Those that were read, in order.
    read: VecDeque<BlockKey>,
    /// What the last call had nothing of yet.
    wanted: Option<Wanted>,
    /// Results that have not come.
    under_way: usize,
    now: u64,
}

/// A look-up under way.
#[derive(Debug)]
struct Flight {
    waiters: Arc<Waiters>,
    /// Requests that wait for it.
    asked: usize,
}

/// What came of a look-up, where the cache does not tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// A node that is held for this.
    pub result: Result<Option<u32>, SiteError>,
    /// Requests that have waited for it and have not asked again.
    pub left: usize,
    at: u64,
}

#[derive(Debug)]
enum Block {
    Loading(Arc<Waiters>),
    /// `None` when the file is not any more what it was.
    Read(Option<Vec<u8>>, u64),
}

#[derive(Debug)]
enum Wanted {
    Find(Box<[u8]>),
    Block(BlockKey),
}

/// The requests that wait for one result.
#[derive(Debug, Default)]
struct Waiters(Mutex<WaitersState>);

#[derive(Debug, Default)]
struct WaitersState {
    is_there: bool,
    /// By the numbers of their connections, each of which waits for one thing at a time: what hangs for long is asked
    /// for by more and more clients that have gone since.
    tickets: HashMap<u32, Ticket>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, WaitersState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` when the result is there already.
    fn add(&self, ticket: Ticket) -> bool {
        let mut state = self.lock();
        if !state.is_there {
            state.tickets.insert(ticket.connection.index, ticket);
        }
        !state.is_there
    }
}

/// A result.
pub(super) enum Done {
    /// In the root with this place.
    Found(Box<[u8]>, (u64, u64), Result<Loaded, SiteError>),
    Read(BlockKey, Option<Vec<u8>>),
}

/// What came of a look-up.
pub(super) struct LookedUp {
    pub key: Box<[u8]>,
    /// The root that it was looked up in: see `Served::place`.
    pub root: (u64, u64),
    pub loaded: Result<Loaded, SiteError>,
    /// Requests that wait for it.
    pub asked: usize,
}

/// Results on their way to a worker.
struct Inbox {
    state: Mutex<InboxState>,
    /// There is room, or nobody will take any more.
    changed: Condvar,
    wake: Wake,
}

#[derive(Default)]
struct InboxState {
    results: Vec<Done>,
    closed: bool,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, waiters: &Waiters, done: Done) {
        let mut state = self.lock();
        while state.results.len() >= INBOX && !state.closed {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return;
        }
        state.results.push(done);
        drop(state);
        let mut state = waiters.lock();
        state.is_there = true;
        let mut tickets = std::mem::take(&mut state.tickets);
        drop(state);
        if tickets.is_empty() {
            tickets.insert(NOBODY.connection.index, NOBODY);
        }
        for ticket in tickets.into_values() {
            while self
                .wake
                .send(Message::Complete { ticket, value: 0 })
                .is_err()
            {
                if self.lock().closed {
                    return;
                }
                pause(RETRY);
            }
        }
    }
}

/// Delivers a result, also if the job panics.
struct Delivery {
    inbox: Arc<Inbox>,
    waiters: Arc<Waiters>,
    done: Option<Done>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            self.inbox.deliver(&self.waiters, done);
        }
    }
}

impl Waiting {
    pub(super) fn new(pool: FilePool, wake: Wake) -> Self {
        Self {
            pool,
            inbox: Arc::new(Inbox {
                state: Mutex::default(),
                changed: Condvar::new(),
                wake,
            }),
            finds: HashMap::new(),
            answers: HashMap::new(),
            blocks: HashMap::new(),
            read: VecDeque::new(),
            wanted: None,
            under_way: 0,
            now: 0,
        }
    }

    /// Whether there is nothing to receive and nothing to let go of.
    #[inline(always)]
    pub(super) fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.answers.is_empty() && self.read.is_empty()
    }

    /// The results of look-ups that have come. Pieces of files are kept here.
    pub(super) fn receive(&mut self, now: u64) -> Vec<LookedUp> {
        self.now = now;
        if self.under_way == 0 {
            return Vec::new();
        }
        let results = std::mem::take(&mut self.inbox.lock().results);
        self.inbox.changed.notify_all();
        self.under_way -= results.len();
        let mut found = Vec::new();
        for done in results {
            match done {
                Done::Found(key, root, loaded) => {
                    let flight = self.finds.remove(&key);
                    found.push(LookedUp {
                        key,
                        root,
                        loaded,
                        asked: flight.map_or(0, |flight| flight.asked),
                    });
                }
                Done::Read(key, bytes) => self.take_block(key, bytes),
            }
        }
        found
    }

    /// Takes in pieces of files only, where the time is not known that look-ups need.
    fn receive_blocks(&mut self) {
        let is_read = |done: &mut Done| matches!(done, Done::Read(..));
        let results: Vec<_> = self.inbox.lock().results.extract_if(.., is_read).collect();
        self.inbox.changed.notify_all();
        self.under_way -= results.len();
        for done in results {
            if let Done::Read(key, bytes) = done {
                self.take_block(key, bytes);
            }
        }
    }

    fn take_block(&mut self, key: BlockKey, bytes: Option<Vec<u8>>) {
        if self.read.len() == BLOCKS
            && let Some(oldest) = self.read.pop_front()
        {
            self.blocks.remove(&oldest);
        }
        self.blocks.insert(key, Block::Read(bytes, self.now));
        self.read.push_back(key);
    }

    /// Lets go of what nobody has asked for in time, and tells which nodes were held for that.
    pub(super) fn forget_old(&mut self) -> Vec<u32> {
        let now = self.now;
        while let Some(key) = self.read.front()
            && matches!(self.blocks.get(key), Some(Block::Read(_, at)) if now.wrapping_sub(*at) >= BELIEVED_MS)
        {
            self.blocks.remove(key);
            self.read.pop_front();
        }
        let mut held = Vec::new();
        self.answers.retain(|_, answer| {
            let stays = answer.left > 0 && now.wrapping_sub(answer.at) < BELIEVED_MS;
            if let (false, Ok(Some(index))) = (stays, answer.result) {
                held.push(index);
            }
            stays
        });
        held
    }

    /// Keeps what came of a look-up for the requests that wait for it.
    pub(super) fn keep(
        &mut self,
        key: Box<[u8]>,
        result: Result<Option<u32>, SiteError>,
        left: usize,
    ) -> Option<Answer> {
        let at = self.now;
        self.answers.insert(key, Answer { result, left, at })
    }

    /// What came of a look-up that this request has waited for.
    pub(super) fn answer(&mut self, key: &[u8]) -> Option<Result<Option<u32>, SiteError>> {
        let answer = self.answers.get_mut(key)?;
        answer.left = answer.left.checked_sub(1)?;
        Some(answer.result)
    }

    /// Has a path looked up, unless it is being looked up already.
    ///
    /// # Errors
    /// Always: [`SiteError::Pending`], or [`SiteError::Busy`] when too many wait.
    pub(super) fn find(
        &mut self,
        loader: &Arc<Loader>,
        key: &[u8],
        path: &[u8],
        view: Option<&View>,
    ) -> SiteError {
        if !self.finds.contains_key(key) {
            let waiters = Arc::new(Waiters::default());
            let mut delivery = Delivery {
                inbox: Arc::clone(&self.inbox),
                waiters: Arc::clone(&waiters),
                done: None,
            };
            let root = loader.served.place();
            let failed = Done::Found(key.into(), root, Err(SiteError::Failed));
            let (loader, path, view) = (Arc::clone(loader), Box::<[u8]>::from(path), view.cloned());
            let job = Box::new(move || {
                // From here on, for a job that is refused delivers nothing.
                delivery.done = Some(failed);
                let loaded = loader.load(&path, view.as_ref(), Patience::Any);
                if let Some(Done::Found(_, _, result)) = &mut delivery.done {
                    *result = loaded;
                }
            });
            if !self.start(job) {
                return SiteError::Busy;
            }
            self.finds.insert(key.into(), Flight { waiters, asked: 0 });
        }
        self.wanted = Some(Wanted::Find(key.into()));
        SiteError::Pending
    }

    fn start(&mut self, job: crate::file_pool::Job) -> bool {
        let is_started = self.pool.start(job);
        self.under_way += usize::from(is_started);
        is_started
    }

    /// The bytes at `range` of a file, read by another thread.
    pub(super) fn content(
        &mut self,
        (serial, variant): (u64, usize),
        file: &Arc<Opened>,
        status: FileStatus,
        range: Range<u64>,
    ) -> Content<'_, File> {
        let number = range.start / WINDOW as u64;
        let key = (serial, variant, number);
        let is_read = |this: &Self| matches!(this.blocks.get(&key), Some(Block::Read(..)));
        if !is_read(self) && self.under_way > 0 {
            self.receive_blocks();
        }
        if !is_read(self) {
            if !self.read_block(key, file, status) {
                return Content::Gone;
            }
            self.wanted = Some(Wanted::Block(key));
            return Content::Pending;
        }
        let end = (number + 1) * WINDOW as u64;
        if range.end > end {
            // The client will want it next.
            self.read_block((serial, variant, number + 1), file, status);
        }
        let Some(Block::Read(Some(bytes), _)) = self.blocks.get(&key) else {
            return Content::Gone;
        };
        let begin = (range.start % WINDOW as u64) as usize;
        let wanted = usize::try_from(range.end - range.start).unwrap_or(WINDOW);
        match bytes.get(begin..) {
            Some(rest) if !rest.is_empty() => Content::Bytes(&rest[..rest.len().min(wanted)]),
            _ => Content::Gone,
        }
    }

    /// The bytes at `range`, if they were read already.
    #[inline(always)]
    pub(super) fn has_block(&self, (serial, variant): (u64, usize), at: u64) -> bool {
        !self.blocks.is_empty()
            && self
                .blocks
                .contains_key(&(serial, variant, at / WINDOW as u64))
    }

    fn read_block(&mut self, key: BlockKey, file: &Arc<Opened>, status: FileStatus) -> bool {
        if self.blocks.contains_key(&key) {
            return true;
        }
        let waiters = Arc::new(Waiters::default());
        let mut delivery = Delivery {
            inbox: Arc::clone(&self.inbox),
            waiters: Arc::clone(&waiters),
            done: None,
        };
        let file = Arc::clone(file);
        let begin = key.2 * WINDOW as u64;
        let length = status.length.saturating_sub(begin).min(WINDOW as u64) as usize;
        let job = Box::new(move || {
            delivery.done = Some(Done::Read(key, None));
            file.before_read();
            let mut bytes = vec![0; length];
            // Looked at *after* it was read: what is sent was the file's while it was as promised.
            let read = file.0.read_at(&mut bytes, begin);
            let holds = file
                .0
                .status()
                .is_ok_and(|after| after.goes_on_from(status));
            if let Some(Done::Read(_, result)) = &mut delivery.done {
                *result = (read == Ok(length) && holds).then_some(bytes);
            }
        });
        if !self.pool.go_on(job) {
            return false;
        }
        self.under_way += 1;
        self.blocks.insert(key, Block::Loading(waiters));
        true
    }

    /// As [`capuchin_core::site::Site::wait_for`].
    pub(super) fn wait_for(&mut self, ticket: Ticket) -> bool {
        match self.wanted.take() {
            Some(Wanted::Find(key)) => self.finds.get_mut(&key).is_some_and(|flight| {
                flight.asked += 1;
                flight.waiters.add(ticket)
            }),
            Some(Wanted::Block(key)) => match self.blocks.get(&key) {
                Some(Block::Loading(waiters)) => waiters.add(ticket),
                _ => false,
            },
            None => false,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.inbox.lock().closed = true;
        self.inbox.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_have_gone_take_no_memory_however_long_storage_hangs() {
        let waiters = Waiters::default();
        for generation in 0..1_000 {
            for index in 0..3 {
                let connection = Token { index, generation };
                assert!(waiters.add(Ticket {
                    connection,
                    ..NOBODY
                }));
            }
        }
        let state = waiters.lock();
        assert_eq!(state.tickets.len(), 3);
        let last = |ticket: &Ticket| ticket.connection.generation == 999;
        assert!(state.tickets.values().all(last));
    }
}
