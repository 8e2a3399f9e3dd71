//! libbsd: one relay task waits in kevent(2) and tells what it hears.
//!
//! The filters are edges (`EV_CLEAR`), so the relay never hears twice of the same. It is one level more
//! urgent than the worker: a worker that always has something to do lets nobody of its own level in,
//! and would hear of no other socket. (A worker of the most urgent level yields now and then.)

use super::{FeedError, Peek, State, peek, poll, tell};
use crate::cell::{Cell, Direction};
use crate::task::{self, Task};
use capuchin_core::event::Interest;
use capuchin_core::transport::Socket;
use capuchin_posix::errno;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering};

/// `struct kevent` of FreeBSD 12 and later.
#[repr(C)]
#[derive(Clone, Copy)]
struct Kevent {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: i64,
    udata: *mut c_void,
    ext: [u64; 4],
}

const EVFILT_READ: i16 = -1;
const EVFILT_WRITE: i16 = -2;
const EV_ADD: u16 = 0x1;
const EV_DELETE: u16 = 0x2;
const EV_ENABLE: u16 = 0x4;
const EV_DISABLE: u16 = 0x8;
const EV_CLEAR: u16 = 0x20;
const EV_EOF: u16 = 0x8000;

unsafe extern "C" {
    safe fn kqueue() -> c_int;
    fn kevent(
        kqueue: c_int,
        changes: *const Kevent,
        change_count: c_int,
        events: *mut Kevent,
        event_count: c_int,
        timeout: *const libc::timespec,
    ) -> c_int;
}

/// Events that the relay takes at a time.
const BATCH: usize = 16;
/// How often the relay looks whether it is to end.
const LOOK_EVERY_NS: libc::c_long = 250_000_000;
/// The most urgent level that a task can have.
const MOST_URGENT: u32 = 1;
/// The relay's stack: kevent(2) keeps its batch on it.
const STACK_BYTES: usize = 16 * 1_024;

/// What the relay and its channel share: the phases of the relay's life.
#[derive(Debug)]
pub(crate) struct Static {
    phase: AtomicU32,
    kqueue: AtomicU32,
}

const OVER: u32 = 0;
const RUNNING: u32 = 1;
const ENDING: u32 = 2;

impl Static {
    pub(crate) const fn new() -> Self {
        Self {
            phase: AtomicU32::new(OVER),
            kqueue: AtomicU32::new(0),
        }
    }
}

/// The kqueue and its relay; the relay ends with it.
#[derive(Debug)]
pub(crate) struct Feed {
    kqueue: c_int,
    shared: &'static Static,
}

impl Feed {
    /// Starts the relay, more urgent than the task that calls.
    pub(crate) fn start(shared: &'static Static, _descriptors: usize) -> Result<Self, FeedError> {
        let own = task::own_priority().map_err(FeedError::Relay)?;
        let kqueue = kqueue();
        if kqueue < 0 {
            return Err(FeedError::Kqueue(errno()));
        }
        shared.kqueue.store(kqueue as u32, Ordering::SeqCst);
        shared.phase.store(RUNNING, Ordering::SeqCst);
        let task = Task {
            name: *b"CPR ",
            priority: Some((own - 1).max(MOST_URGENT)),
            stack_bytes: STACK_BYTES,
        };
        // SAFETY: the relay takes a static, at any time.
        if let Err(code) = unsafe { task.start(relay, &raw const *shared as usize) } {
            shared.phase.store(OVER, Ordering::SeqCst);
            // SAFETY: the descriptor is owned and used no more.
            unsafe { libc::close(kqueue) };
            return Err(FeedError::Relay(code));
        }
        let mut feed = Self { kqueue, shared };
        feed.try_closing()?;
        Ok(feed)
    }

    /// On libbsd's branch 6-freebsd-12 a socket that was watched can never be closed: EBUSY, and no
    /// client hears of the end. That is found out here, not by the clients.
    fn try_closing(&mut self) -> Result<(), FeedError> {
        static NOBODY: Cell = Cell::new();
        // SAFETY: no memory is passed.
        let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
        if socket < 0 {
            return Err(FeedError::Kqueue(errno()));
        }
        let watched = self
            .watch(Socket(socket), &NOBODY, Interest::READ)
            .and_then(|()| self.unwatch(Socket(socket)));
        // SAFETY: the socket is this function's own.
        let closed = unsafe { libc::close(socket) };
        let errno = errno();
        watched.map_err(FeedError::Kqueue)?;
        if closed < 0 {
            return Err(FeedError::Close(errno));
        }
        Ok(())
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
        self.control(&[change(socket, EVFILT_WRITE, flags, cell)])
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
            match self.control(&[change_of(socket, filter, EV_DELETE, core::ptr::null_mut())]) {
                Ok(()) | Err(libc::ENOENT) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn control(&self, changes: &[Kevent]) -> Result<(), i32> {
        let count = changes.len() as c_int;
        // SAFETY: the changes live through the call, and no events are asked for.
        let result = unsafe {
            kevent(
                self.kqueue,
                changes.as_ptr(),
                count,
                core::ptr::null_mut(),
                0,
                core::ptr::null(),
            )
        };
        if result < 0 { Err(errno()) } else { Ok(()) }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.phase.store(ENDING, Ordering::SeqCst);
        while self.shared.phase.load(Ordering::SeqCst) != OVER {
            task::wake_after(1);
        }
    }
}

fn change(socket: Socket, filter: i16, flags: u16, cell: &'static Cell) -> Kevent {
    change_of(socket, filter, flags, (&raw const *cell).cast_mut().cast())
}

fn change_of(socket: Socket, filter: i16, flags: u16, udata: *mut c_void) -> Kevent {
    Kevent {
        ident: socket.0 as usize,
        filter,
        flags,
        fflags: 0,
        data: 0,
        udata,
        ext: [0; 4],
    }
}

/// The relay task. Its argument is its [`Static`].
unsafe extern "C" fn relay(argument: usize) {
    // SAFETY: `Feed::start` passed a static.
    let shared = unsafe { &*(argument as *const Static) };
    let kqueue = shared.kqueue.load(Ordering::SeqCst) as c_int;
    let mut events = [change_of(Socket(0), 0, 0, core::ptr::null_mut()); BATCH];
    // SAFETY: zeros are a valid `timespec`.
    let mut timeout: libc::timespec = unsafe { core::mem::zeroed() };
    timeout.tv_nsec = LOOK_EVERY_NS;
    let mut told = false;
    while shared.phase.load(Ordering::SeqCst) == RUNNING {
        // SAFETY: there is room for as many events, and all of it lives through the call.
        let count = unsafe {
            kevent(
                kqueue,
                core::ptr::null(),
                0,
                events.as_mut_ptr(),
                BATCH as c_int,
                &raw const timeout,
            )
        };
        if count < 0 {
            // Nothing that is known; but the worker is less urgent, and has to have its turn.
            let errno = errno();
            if errno != libc::EINTR && !core::mem::replace(&mut told, true) {
                log::error!("the relay cannot wait for sockets (error {errno}), and tries again");
            }
            task::wake_after(1);
        }
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
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
    layout "struct kevent" = Kevent { ident, filter, flags, fflags, data, udata, ext }
    names self { EVFILT_READ, EVFILT_WRITE, EV_ADD, EV_DELETE, EV_ENABLE, EV_DISABLE, EV_CLEAR, EV_EOF }
    layout "struct pollfd" = libc::pollfd { fd, events, revents }
    names libc { MSG_PEEK, POLLIN, POLLOUT, POLLERR, POLLHUP }
    value "sizeof(nfds_t)" = size_of::<libc::nfds_t>();
}
