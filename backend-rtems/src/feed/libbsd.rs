//! What both ways to wait on libbsd have in common: two numbers for one socket, and why there is no waiting.
//!
//! A socket has a number in RTEMS's table of descriptors, by which everybody names it, and another
//! in libbsd's own table. libbsd's kqueue files what it watches under the first, and on close(2)
//! throws away all that is filed under the second (`kqueue_register()` and `knote_fdclose()` of its
//! branch 6-freebsd-14): so a close silences a stranger, the listener for instance, once as many
//! sockets are open as its descriptor is high. Therefore whoever closes a socket by [`Closing`] has
//! the stranger watched anew at once, by whichever channel it belongs to ([`Watching`]); and each channel
//! has those of its sockets that somebody else's close may have hit watched anew
//! [`LOOKS_PER_SECOND`] times. To watch a socket that is watched has no effect, but that kqueue looks
//! at it.

use crate::cell::Cell;
use crate::queue::StatusCode;
use crate::task;
use capuchin_core::transport::Socket;
use capuchin_posix::{Descriptor, errno};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// How often a channel looks after sockets that closes of others may have hit. Seldom is no harm: where
/// ticks are lost, as in QEMU on a busy machine, kevent(2) returns from its waits the later, the
/// longer the system has run (libbsd waits for a moment by the counter, in ticks).
pub const LOOKS_PER_SECOND: u32 = 4;

/// Numbers of libbsd that others may use beyond the highest of our own.
const SPARE_NUMBERS: u32 = 32;

/// How many sockets, by their descriptors, others' closes may hit when this is the highest number of
/// libbsd that one of our own has.
#[must_use]
pub fn endangered(highest: u32) -> u32 {
    highest.saturating_add(SPARE_NUMBERS + 1)
}

/// Why there is no feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedError {
    /// The kernel gives no kqueue, or takes no socket into it (an `errno`).
    Kqueue(i32),
    /// There is no pair of local sockets (an `errno`).
    Socketpair(i32),
    /// The relay, or the task that rings in its place, could not be started.
    Relay(StatusCode),
    /// A socket that was watched could not be closed (an `errno`).
    Close(i32),
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kqueue(errno) => write!(
                f,
                "kqueue cannot be had (errno {errno}): initialise libbsd first, and raise CONFIGURE_MAXIMUM_FILE_DESCRIPTORS if that is 24 (EMFILE) or 23 (ENFILE)"
            ),
            Self::Socketpair(errno) => write!(
                f,
                "socketpair() fails (errno {errno}): raise CONFIGURE_MAXIMUM_FILE_DESCRIPTORS if that is 24 (EMFILE) or 23 (ENFILE), else build libbsd with local sockets"
            ),
            Self::Relay(StatusCode(code)) => write!(
                f,
                "the relay task cannot be had (status code {code}): raise CONFIGURE_MAXIMUM_TASKS by one for each worker"
            ),
            Self::Close(errno) => write!(
                f,
                "this libbsd keeps sockets open that kqueue has watched (errno {errno}): use its branch 6-freebsd-14"
            ),
        }
    }
}

/// `rtems_libio_t` of RTEMS's `rtems/libio.h`: an entry of the table of descriptors.
#[repr(C)]
struct Libio {
    flags: u32,
    offset: i64,
    pathinfo: [usize; 6],
    /// libbsd's own number.
    data0: u32,
    data1: *mut c_void,
}

unsafe extern "C" {
    /// As many as there can be: `CONFIGURE_MAXIMUM_FILE_DESCRIPTORS`.
    static rtems_libio_number_iops: u32;
    static rtems_libio_iops: [Libio; 0];
}

/// libbsd's number of an open socket, under which a close throws away what kqueues watch; 0 of what cannot
/// be one.
#[must_use]
pub fn number(socket: Socket) -> u32 {
    let Ok(index) = u32::try_from(socket.0) else {
        return 0;
    };
    // SAFETY: the number is a constant, and the table has so many entries, which are there from the start.
    unsafe {
        if index >= rtems_libio_number_iops {
            return 0;
        }
        let first = (&raw const rtems_libio_iops).cast::<Libio>();
        (*first.add(index as usize)).data0
    }
}

/// A channel that hears of sockets that were lost.
struct Listed {
    taken: AtomicBool,
    /// The content is there.
    open: AtomicBool,
    /// Who is telling at this moment.
    inside: AtomicU32,
    content: UnsafeCell<Content>,
}

#[derive(Clone, Copy)]
struct Content {
    cells: &'static [Cell],
    /// Tells that a watched socket of these cells was lost. In the context of whoever closed another.
    tell: fn(&'static Cell, usize),
    argument: usize,
}

// SAFETY: the content is written by whoever has taken the place and not opened it; it is read by those who
// found the place open while they were counted as inside, for whom a place that closes waits.
unsafe impl Sync for Listed {}

/// The channels that there are: one for each worker, and one for an acceptor.
static LISTED: [Listed; 16] = [const {
    Listed {
        taken: AtomicBool::new(false),
        open: AtomicBool::new(false),
        inside: AtomicU32::new(0),
        content: UnsafeCell::new(Content {
            cells: &[],
            tell: |_, _| {},
            argument: 0,
        }),
    }
}; 16];

impl Listed {
    fn lose(&self, number: u32) {
        if !self.open.load(SeqCst) {
            return;
        }
        self.inside.fetch_add(1, SeqCst);
        // It may have begun to close: then it did so before it looked who is inside.
        if self.open.load(SeqCst) {
            // SAFETY: open, and waiting for this before it closes.
            let content = unsafe { *self.content.get() };
            if let Some(cell) = content.cells.get(number as usize)
                && cell.is_watched()
            {
                (content.tell)(cell, content.argument);
            }
        }
        self.inside.fetch_sub(1, SeqCst);
    }
}

/// A channel is told of sockets that closes hit, for as long as it has this.
#[derive(Debug)]
pub struct Watching(usize);

impl Watching {
    /// From now on `tell` is called for each watched cell that is lost, by whoever closed another socket.
    /// `None` when there are too many channels: then looking now and then has to do.
    pub fn begin(
        cells: &'static [Cell],
        tell: fn(&'static Cell, usize),
        argument: usize,
    ) -> Option<Self> {
        let (index, place) = LISTED
            .iter()
            .enumerate()
            .find(|(_, place)| !place.taken.swap(true, SeqCst))?;
        // SAFETY: taken just now, and not open: nobody else looks at it.
        unsafe {
            *place.content.get() = Content {
                cells,
                tell,
                argument,
            };
        }
        place.open.store(true, SeqCst);
        Some(Self(index))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let place = &LISTED[self.0];
        place.open.store(false, SeqCst);
        // Whoever is inside was overtaken: less urgent tasks go on only while this one sleeps.
        while place.inside.load(SeqCst) > 0 {
            task::wake_after(1);
        }
        place.taken.store(false, SeqCst);
    }
}

/// A socket that is about to be closed: what else is filed under its number?
#[derive(Debug)]
pub struct Closing(u32);

impl Closing {
    /// The socket is open still.
    #[must_use]
    pub fn begin(socket: Socket) -> Self {
        Self(number(socket))
    }

    /// It was closed.
    pub fn end(self) {
        LISTED.iter().for_each(|place| place.lose(self.0));
    }
}

/// On libbsd's branch 6-freebsd-12 a socket that was watched can never be closed: EBUSY, and no client
/// hears of the end. That is found out here, not by the clients. `watch` watches a socket, and then no
/// more.
///
/// # Errors
/// What `watch` answers, or [`FeedError::Close`].
pub fn try_closing(watch: impl FnOnce(Socket) -> Result<(), FeedError>) -> Result<(), FeedError> {
    // SAFETY: no memory is passed.
    let number = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    if number < 0 {
        return Err(FeedError::Kqueue(errno()));
    }
    // SAFETY: it was just made, for this owner.
    let owned = unsafe { Descriptor::own(number) };
    let watched = watch(Socket(number));
    let closing = Closing::begin(Socket(number));
    let closed = owned.close();
    closing.end();
    watched?;
    closed.map_err(FeedError::Close)
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    layout "rtems_libio_t" = Libio { flags, offset, pathinfo, data0, data1 }
}
