//! libbsd: one relay task waits in kevent(2) and tells what it hears.
//!
//! The filters are edges (`EV_CLEAR`), so the relay never hears twice of the same. It is one level more
//! urgent than the worker: a worker that always has something to do lets nobody of its own level in,
//! and would hear of no other socket. (A worker of the most urgent level yields now and then.)
//! What libbsd makes of closed sockets is told in `libbsd.rs`.

use super::libbsd::{FeedError, LOOKS_PER_SECOND, Watching, endangered, number, try_closing};
use super::{Peek, State, lose, peek, poll, tell};
use crate::cell::{Cell, Direction};
use crate::sys;
use crate::task::{self, Task};
use capuchin_core::event::Interest;
use capuchin_core::transport::Socket;
use capuchin_posix::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE, EV_EOF, EVFILT_READ, EVFILT_USER,
    EVFILT_WRITE, Kevent, Kqueue, NOTE_TRIGGER, kevent,
};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use core::time::Duration;

/// Events that the relay takes at a time.
const BATCH: usize = 16;
/// The relay's stack: kevent(2) keeps its batch on it.
const STACK_BYTES: usize = 16 * 1_024;

/// What the relay and its channel share: the phases of the relay's life.
#[derive(Debug)]
pub(crate) struct Static {
    phase: AtomicU32,
    kqueue: AtomicU32,
    /// The channel's cells.
    cells: AtomicPtr<Cell>,
    count: AtomicU32,
    /// libbsd's highest number of a socket that was watched.
    highest: AtomicU32,
}

const OVER: u32 = 0;
const RUNNING: u32 = 1;
const ENDING: u32 = 2;

impl Static {
    pub(crate) const fn new() -> Self {
        Self {
            phase: AtomicU32::new(OVER),
            kqueue: AtomicU32::new(0),
            cells: AtomicPtr::new(null_mut()),
            count: AtomicU32::new(0),
            highest: AtomicU32::new(0),
        }
    }

    fn cells(&self) -> &'static [Cell] {
        let cells = self.cells.load(Ordering::SeqCst);
        if cells.is_null() {
            return &[];
        }
        let count = self.count.load(Ordering::SeqCst) as usize;
        // SAFETY: `Feed::start` has taken both from a static slice; the count was stored first.
        unsafe { core::slice::from_raw_parts(cells, count) }
    }

    /// Has a socket watched anew that a close may have hit.
    fn lose(&self, number: u32) {
        if let Some(cell) = self.cells().get(number as usize)
            && cell.is_watched()
        {
            lose(cell);
        }
    }
}

/// The kqueue and its relay; the relay ends with it.
#[derive(Debug)]
pub(crate) struct Feed {
    kqueue: c_int,
    shared: &'static Static,
    _watching: Option<Watching>,
}

impl Feed {
    /// Starts the relay, more urgent than the task that calls.
    pub(crate) fn start(
        shared: &'static Static,
        cells: &'static [Cell],
    ) -> Result<Self, FeedError> {
        let priority = task::more_urgent().map_err(FeedError::Relay)?;
        let queue = Kqueue::new().map_err(FeedError::Kqueue)?;
        let kqueue = queue.number();
        control(kqueue, &[ending(EV_ADD | EV_CLEAR, 0)]).map_err(FeedError::Kqueue)?;
        shared.kqueue.store(kqueue as u32, Ordering::SeqCst);
        shared.highest.store(0, Ordering::SeqCst);
        shared.count.store(cells.len() as u32, Ordering::SeqCst);
        shared
            .cells
            .store(cells.as_ptr().cast_mut(), Ordering::SeqCst);
        shared.phase.store(RUNNING, Ordering::SeqCst);
        let task = Task {
            name: *b"CPR ",
            priority: Some(priority),
            stack_bytes: STACK_BYTES,
        };
        // SAFETY: the relay takes a static, at any time.
        if let Err(code) = unsafe { task.start(relay, &raw const *shared as usize) } {
            shared.phase.store(OVER, Ordering::SeqCst);
            return Err(FeedError::Relay(code));
        }
        // The relay closes it.
        core::mem::forget(queue);
        let mut feed = Self {
            kqueue,
            shared,
            _watching: Watching::begin(cells, |cell, _| lose(cell), 0),
        };
        try_closing(|socket| {
            static NOBODY: Cell = Cell::new();
            feed.watch(socket, &NOBODY, Interest::READ)
                .and_then(|()| feed.unwatch(socket))
                .map_err(FeedError::Kqueue)
        })?;
        Ok(feed)
    }

    pub(crate) fn watch(
        &mut self,
        socket: Socket,
        cell: &'static Cell,
        interest: Interest,
    ) -> Result<(), i32> {
        let room = if interest.wants_write() {
            EV_ENABLE
        } else {
            EV_DISABLE
        };
        self.shared
            .highest
            .fetch_max(number(socket), Ordering::SeqCst);
        self.control(&[
            change(socket, EVFILT_READ, EV_ADD | EV_CLEAR, cell),
            change(socket, EVFILT_WRITE, EV_ADD | EV_CLEAR | room, cell),
        ])
    }

    /// Room is heard of only while it is wanted: every acknowledgement makes some. To enable a filter
    /// is to have it look at once.
    pub(crate) fn change(
        &mut self,
        socket: Socket,
        cell: &'static Cell,
        interest: Interest,
    ) -> Result<(), i32> {
        let flags = if interest.wants_write() {
            EV_ENABLE
        } else {
            EV_DISABLE
        };
        match self.control(&[change(socket, EVFILT_WRITE, flags, cell)]) {
            // A close has hit it.
            Err(libc::ENOENT) => self.watch(socket, cell, interest),
            other => other,
        }
    }

    /// To poll(2) an error is something to read, and a connection without either direction hung up,
    /// whatever lies unread.
    pub(crate) fn ask(&mut self, socket: Socket, room: bool) -> State {
        let asked = libc::POLLIN | if room { libc::POLLOUT } else { 0 };
        let found = poll(socket.0, asked);
        let readable = found & libc::POLLIN != 0;
        let failed = found & (libc::POLLHUP | libc::POLLERR) != 0
            || (readable && peek(socket.0) == Peek::Failure);
        State {
            readable: readable || failed,
            writable: found & libc::POLLOUT != 0 || failed,
            failed,
        }
    }

    pub(crate) fn unwatch(&mut self, socket: Socket) -> Result<(), i32> {
        for filter in [EVFILT_READ, EVFILT_WRITE] {
            match self.control(&[change_of(socket, filter, EV_DELETE, null_mut())]) {
                Ok(()) | Err(libc::ENOENT) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn control(&self, changes: &[Kevent]) -> Result<(), i32> {
        control(self.kqueue, changes)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.phase.store(ENDING, Ordering::SeqCst);
        // Without it the relay ends at its next look. Should it have ended already, the descriptor is
        // nothing, or another relay's kqueue, which looks in vain.
        let _ = self.control(&[ending(0, NOTE_TRIGGER)]);
        while self.shared.phase.load(Ordering::SeqCst) != OVER {
            task::wake_after(1);
        }
    }
}

/// Makes changes to what a kqueue watches.
fn control(kqueue: c_int, changes: &[Kevent]) -> Result<(), i32> {
    kevent(kqueue, changes, &mut [], None).map(drop)
}

/// A change to the event that has the relay look whether it is to end.
fn ending(flags: u16, notes: u32) -> Kevent {
    Kevent {
        fflags: notes,
        ..change_of(Socket(0), EVFILT_USER, flags, null_mut())
    }
}

fn change(socket: Socket, filter: i16, flags: u16, cell: &'static Cell) -> Kevent {
    change_of(socket, filter, flags, (&raw const *cell).cast_mut().cast())
}

fn change_of(socket: Socket, filter: i16, flags: u16, udata: *mut c_void) -> Kevent {
    Kevent {
        udata,
        ..Kevent::new(socket.0, filter, flags)
    }
}

/// The relay task. Its argument is its [`Static`].
unsafe extern "C" fn relay(argument: usize) {
    // SAFETY: `Feed::start` passed a static.
    let shared = unsafe { &*(argument as *const Static) };
    let kqueue = shared.kqueue.load(Ordering::SeqCst) as c_int;
    let mut events = [change_of(Socket(0), 0, 0, null_mut()); BATCH];
    let timeout = Duration::from_millis(1_000 / u64::from(LOOKS_PER_SECOND));
    let look_every = sys::rtems_clock_get_ticks_per_second() / LOOKS_PER_SECOND;
    let mut looked = sys::ticks_since_boot();
    let mut told = false;
    while shared.phase.load(Ordering::SeqCst) == RUNNING {
        if sys::ticks_since_boot().wrapping_sub(looked) >= look_every {
            looked = sys::ticks_since_boot();
            let endangered = endangered(shared.highest.load(Ordering::SeqCst));
            (0..endangered).for_each(|number| shared.lose(number));
        }
        let count = match kevent(kqueue, &[], &mut events, Some(timeout)) {
            Ok(count) => count,
            Err(errno) => {
                // Nothing that is known; but the worker is less urgent, and has to have its turn.
                if errno != libc::EINTR && !core::mem::replace(&mut told, true) {
                    log::error!(
                        "the relay cannot wait for sockets (error {errno}), and tries again"
                    );
                }
                task::wake_after(1);
                0
            }
        };
        for event in &events[..count] {
            if event.filter == EVFILT_USER {
                continue;
            }
            // SAFETY: `Feed::watch` passed a cell that lives for ever.
            let cell = unsafe { &*event.udata.cast::<Cell>() };
            let direction = if event.filter == EVFILT_WRITE {
                Direction::Send
            } else {
                Direction::Receive
            };
            tell(cell, direction);
            // Bytes and their end are two changes.
            if event.flags & EV_EOF != 0 {
                tell(cell, direction);
            }
        }
    }
    // SAFETY: the descriptor is owned and used no more.
    unsafe { libc::close(kqueue) };
    shared.phase.store(OVER, Ordering::SeqCst);
    task::exit();
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    layout "struct pollfd" = libc::pollfd { fd, events, revents }
    names libc { MSG_PEEK, POLLIN, POLLOUT, POLLERR, POLLHUP }
    value "sizeof(nfds_t)" = size_of::<libc::nfds_t>();
}
