//! What the channel, the transport and the feed know together of one socket.
//!
//! The feed hears of changes in another task's context (the network task's, the relay's) and only
//! counts them; the transport takes the count before each attempt and puts something back when
//! another attempt is worth it; the channel reports a socket while its counts are not zero. So edges
//! become levels, and nobody holds a lock.
//!
//! It promises that a change is looked into after it was heard, and that a cell has at most one
//! entry in the queue: `noticed` is raised by whoever puts the cell where the worker will look (the
//! queue, or the worker's own list), and lowered by the worker just before it looks.
//! The interleavings of two feeds and a worker with up to four preemptions are checked with `loom`
//! (`tests/cell_model.rs`).

use capuchin_core::event::{Interest, Token};

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::SeqCst};
    } else {
        use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::SeqCst};
    }
}

/// A direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Bytes, connections or the end of them.
    Receive,
    /// Room.
    Send,
}

/// No socket is watched here.
const UNWATCHED: u8 = 0xff;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// One socket's cell; its index is the socket's descriptor.
#[derive(Debug)]
pub struct Cell {
    /// Changes heard and not looked into, for each direction: not zero while a try is worth it.
    received: AtomicU32,
    sent: AtomicU32,
    /// [`READ`] and [`WRITE`], or [`UNWATCHED`].
    interest: AtomicU8,
    /// The worker will look at this cell: an entry is in the queue, or the cell in its list.
    noticed: AtomicBool,
    /// The worker's: was reported, or begins, and nobody has tried since.
    untried: AtomicBool,
    /// The feed may have forgotten the socket.
    lost: AtomicBool,
    /// The worker's: the token.
    index: AtomicU32,
    generation: AtomicU32,
    /// The worker's: the next cell of its list.
    pub(crate) next: AtomicU32,
    /// Where to post, the queue's identifier, and what: this cell's index.
    queue: AtomicU32,
    place: AtomicU32,
}

impl Default for Cell {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! new {
    ($($const:tt)?) => {
        /// Nobody's cell.
        #[must_use]
        pub $($const)? fn new() -> Self {
            Self {
                received: AtomicU32::new(0),
                sent: AtomicU32::new(0),
                interest: AtomicU8::new(UNWATCHED),
                noticed: AtomicBool::new(false),
                untried: AtomicBool::new(false),
                lost: AtomicBool::new(false),
                index: AtomicU32::new(0),
                generation: AtomicU32::new(0),
                next: AtomicU32::new(0),
                queue: AtomicU32::new(0),
                place: AtomicU32::new(0),
            }
        }
    };
}

impl Cell {
    #[cfg(not(loom))]
    new!(const);
    #[cfg(loom)]
    new!();

    fn count(&self, direction: Direction) -> &AtomicU32 {
        match direction {
            Direction::Receive => &self.received,
            Direction::Send => &self.sent,
        }
    }

    /// The feed's part, from any context: something changed. `true` when an entry for this cell has
    /// to be posted.
    #[must_use]
    pub fn heard(&self, direction: Direction) -> bool {
        self.put_back(direction, 1)
    }

    /// Whether the worker wants to know. What is received concerns a socket of no interest, too: it
    /// may be the connection's end. Where only room is waited for, that tells of the end as well.
    fn concerns(&self, direction: Direction) -> bool {
        match (self.interest.load(SeqCst), direction) {
            (UNWATCHED, _) => false,
            (interest, Direction::Send) => interest & WRITE != 0,
            (interest, Direction::Receive) => interest != WRITE,
        }
    }

    /// The transport's part, before an attempt: takes what was heard so far.
    pub fn try_out(&self, direction: Direction) -> u32 {
        self.untried.store(false, SeqCst);
        self.count(direction).swap(0, SeqCst)
    }

    /// The transport's part, after an attempt: so many changes are still to be looked into, though
    /// none was heard now. `true` when an entry has to be posted; never for a socket that the channel
    /// has reported.
    #[must_use]
    pub fn put_back(&self, direction: Direction, changes: u32) -> bool {
        self.count(direction).fetch_add(changes, SeqCst);
        self.concerns(direction) && !self.noticed.swap(true, SeqCst)
    }

    /// The feed's part, from any context: it may hear of this socket no more. `true` when an entry has
    /// to be posted, so that the worker has it watched anew.
    #[must_use]
    pub fn lose(&self) -> bool {
        self.lost.store(true, SeqCst);
        self.is_watched() && !self.noticed.swap(true, SeqCst)
    }

    /// The worker's, at a look: whether the socket has to be watched anew.
    pub fn take_lost(&self) -> bool {
        self.lost.load(SeqCst) && self.lost.swap(false, SeqCst)
    }

    /// The worker's: it could not be.
    pub fn stay_lost(&self) {
        self.lost.store(true, SeqCst);
    }

    /// The worker's: about to look. What is heard from here on is noticed anew.
    pub fn look(&self) -> Option<Look> {
        // An exchange, not a store: it takes its place in one chain with the feeds' exchanges, so
        // that what they counted before is seen now.
        self.noticed.swap(false, SeqCst);
        let interest = self.interest.load(SeqCst);
        (interest != UNWATCHED).then(|| Look {
            wants_read: interest & READ != 0,
            wants_write: interest & WRITE != 0,
            received: self.received.load(SeqCst),
            sent: self.sent.load(SeqCst),
            untried: self.untried.load(SeqCst),
        })
    }

    /// The worker's: it will look again without being told. `false` when somebody told it meanwhile:
    /// then an entry is in the queue.
    #[must_use]
    pub fn notice(&self) -> bool {
        !self.noticed.swap(true, SeqCst)
    }

    /// The worker's: reported; whether anybody tries shows at the next look.
    pub fn reported(&self) {
        self.untried.store(true, SeqCst);
    }

    /// The worker's: what was heard was looked into, and nothing is left of it. What is heard while
    /// the socket is asked counts.
    pub fn disproved(&self, direction: Direction, changes: u32) {
        self.count(direction).fetch_sub(changes, SeqCst);
    }

    /// The worker's: whether a socket is watched here.
    pub fn is_watched(&self) -> bool {
        self.interest.load(SeqCst) != UNWATCHED
    }

    /// The worker's: what the socket is watched for; `None` where none is.
    pub fn interest(&self) -> Option<Interest> {
        self.look().map(|look| look.interest())
    }

    /// The worker's: the token last given.
    pub fn token(&self) -> Token {
        Token {
            index: self.index.load(SeqCst),
            generation: self.generation.load(SeqCst),
        }
    }

    /// The queue to post to, and the entry's index.
    pub(crate) fn address(&self) -> (u32, u32) {
        (self.queue.load(SeqCst), self.place.load(SeqCst))
    }

    /// The worker's: a socket is watched from now on, and this cell's entries are `place` in `queue`.
    /// Nothing is known of it yet, and what arrived before may have been bytes and their end: the
    /// first look asks.
    pub fn begin(&self, (queue, place): (u32, u32), token: Token, interest: Interest) {
        self.queue.store(queue, SeqCst);
        self.place.store(place, SeqCst);
        self.received.store(2, SeqCst);
        self.sent.store(1, SeqCst);
        self.untried.store(true, SeqCst);
        self.lost.store(false, SeqCst);
        self.change(token, interest);
    }

    /// The worker's: another interest.
    pub fn change(&self, token: Token, interest: Interest) {
        self.index.store(token.index, SeqCst);
        self.generation.store(token.generation, SeqCst);
        let mut bits = 0;
        if interest.wants_read() {
            bits |= READ;
        }
        if interest.wants_write() {
            bits |= WRITE;
        }
        self.interest.store(bits, SeqCst);
    }

    /// The worker's: as at the beginning; for a queue that is empty.
    pub fn reset(&self) {
        self.end();
        self.noticed.store(false, SeqCst);
    }

    /// The worker's: watched no more. An entry that lies in the queue stays the cell's only one.
    pub fn end(&self) {
        self.interest.store(UNWATCHED, SeqCst);
    }
}

/// What a look at a cell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    wants_read: bool,
    wants_write: bool,
    /// Changes heard of each direction.
    pub received: u32,
    /// As above.
    pub sent: u32,
    /// It was reported before, or has just begun, and nobody has tried since.
    pub untried: bool,
}

impl Look {
    /// The interest.
    #[must_use]
    pub fn interest(&self) -> Interest {
        match (self.wants_read, self.wants_write) {
            (false, false) => Interest::NONE,
            (true, false) => Interest::READ,
            (false, true) => Interest::WRITE,
            (true, true) => Interest::BOTH,
        }
    }

    /// Read interest, and a receive is worth a try.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.wants_read && self.received > 0
    }

    /// Write interest, and a send is worth a try.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.wants_write && self.sent > 0
    }

    /// Nothing but a failure is to be reported.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.wants_read && !self.wants_write
    }
}
