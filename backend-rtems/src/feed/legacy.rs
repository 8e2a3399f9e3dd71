//! The legacy stack: `SO_RCVWAKEUP` and `SO_SNDWAKEUP` (RTEMS Legacy Networking User Manual,
//! "RTEMS-specific socket options") call back in the context of whoever changed the socket, most
//! often the network task, with the network semaphore held.

use super::{Peek, State, Static, peek, tell};
use crate::cell::{Cell, Direction};
use capuchin_core::event::Interest;
use capuchin_core::transport::Socket;
use capuchin_posix::errno;
use core::ffi::{c_int, c_void};

/// Why there is no feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedError {
    /// There may be descriptors that the stack cannot be asked about: from this number on.
    Descriptors(usize),
}

impl core::fmt::Display for FeedError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self::Descriptors(limit) = self;
        write!(
            f,
            "select() of the legacy stack takes descriptors below {limit} only: lower descriptors and CONFIGURE_MAXIMUM_FILE_DESCRIPTORS to that"
        )
    }
}

/// `struct sockwakeup`.
#[repr(C)]
struct Wakeup {
    function: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    argument: *mut c_void,
}

/// `SO_SNDWAKEUP` and `SO_RCVWAKEUP` of the stack's `sys/socket.h`.
const SEND_WAKEUP: c_int = 0x1020;
const RECEIVE_WAKEUP: c_int = 0x1021;

/// `FD_SETSIZE` of newlib on RTEMS, which the stack was built with: what select(2) writes to lies
/// elsewhere for descriptors from this one on.
const SET_DESCRIPTORS: usize = 256;

/// `fd_set`.
type Set = [u32; SET_DESCRIPTORS / 32];

/// `SS_CANTSENDMORE` and `SS_CANTRCVMORE` of the stack's `sys/socketvar.h`.
const CANNOT_SEND: i16 = 0x10;
const CANNOT_RECEIVE: i16 = 0x20;

/// The beginning of `struct socket` of the same.
#[repr(C)]
struct StackSocket {
    kind: i16,
    options: i16,
    linger: i16,
    state: i16,
}

unsafe extern "C" {
    safe fn rtems_bsdnet_fdToSocket(descriptor: c_int) -> *const StackSocket;
}

/// The legacy stack's wake-ups. No state: the stack keeps it.
#[derive(Debug)]
pub(crate) struct Feed;

impl Feed {
    pub(crate) fn start(_: &'static Static, cells: &'static [Cell]) -> Result<Self, FeedError> {
        if cells.len() > SET_DESCRIPTORS {
            return Err(FeedError::Descriptors(SET_DESCRIPTORS));
        }
        Ok(Self)
    }

    /// The callbacks stay for the socket's life, whatever the interest.
    pub(crate) fn watch(
        &mut self,
        socket: Socket,
        cell: &'static Cell,
        _: Interest,
    ) -> Result<(), i32> {
        let argument = (&raw const *cell).cast_mut().cast();
        set(socket, RECEIVE_WAKEUP, Some(received), argument)?;
        set(socket, SEND_WAKEUP, Some(sent), argument).inspect_err(|_| {
            let _ = set(socket, RECEIVE_WAKEUP, None, core::ptr::null_mut());
        })
    }

    pub(crate) fn change(&mut self, _: Socket, _: &'static Cell, _: Interest) -> Result<(), i32> {
        Ok(())
    }

    /// The stack has no poll(2), and its select(2) sleeps for a tick when the answer is no: asked only
    /// where a receive cannot tell, for room and of listeners.
    pub(crate) fn ask(&mut self, socket: Socket, room: bool) -> State {
        let (readable, failed) = match peek(socket.0) {
            Peek::Nothing => (false, false),
            Peek::Something => (true, has_hung_up(socket.0)),
            Peek::Failure => (true, true),
            Peek::NoConnection => (select(socket.0, Direction::Receive), false),
        };
        State {
            readable,
            writable: failed || (room && select(socket.0, Direction::Send)),
            failed,
        }
    }

    pub(crate) fn unwatch(&mut self, socket: Socket) -> Result<(), i32> {
        set(socket, RECEIVE_WAKEUP, None, core::ptr::null_mut())?;
        set(socket, SEND_WAKEUP, None, core::ptr::null_mut())
    }
}

fn set(
    socket: Socket,
    option: c_int,
    function: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    argument: *mut c_void,
) -> Result<(), i32> {
    let wakeup = Wakeup { function, argument };
    // SAFETY: the structure lives through the call, which copies it; the argument points to a cell
    // that lives for ever, or the function is none.
    let result = unsafe {
        libc::setsockopt(
            socket.0,
            libc::SOL_SOCKET,
            option,
            (&raw const wakeup).cast(),
            size_of::<Wakeup>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(errno()) } else { Ok(()) }
}

/// Whether neither direction of a connection is left, be it by a reset or by the end of both, whatever
/// lies unread.
///
/// No call of the stack's tells that: getpeername(2) answers for as long as there is a protocol's block,
/// and waits for an mbuf; `SO_ERROR` takes the error away.
fn has_hung_up(socket: c_int) -> bool {
    let socket = rtems_bsdnet_fdToSocket(socket);
    if socket.is_null() {
        return true;
    }
    // SAFETY: the descriptor is the worker's, and so the socket is there until the worker closes it. The
    // network task may write the word meanwhile: it is read at once, and means something at any time.
    let state = unsafe { (&raw const (*socket).state).read_volatile() };
    state & CANNOT_SEND != 0 && state & CANNOT_RECEIVE != 0
}

/// Whether select(2) finds the socket ready within a tick.
fn select(socket: c_int, direction: Direction) -> bool {
    let mut set: Set = [0; SET_DESCRIPTORS / 32];
    let Some(word) = set.get_mut(socket as usize / 32) else {
        return true; // `start` has made sure that there is none
    };
    *word = 1 << (socket % 32);
    let pointer: *mut libc::fd_set = (&raw mut set).cast();
    let null = core::ptr::null_mut();
    let (read, write) = match direction {
        Direction::Receive => (pointer, null),
        Direction::Send => (null, pointer),
    };
    // SAFETY: zeros are a valid `timeval`.
    let mut at_once: libc::timeval = unsafe { core::mem::zeroed() };
    // SAFETY: the stack reads and writes a `fd_set`, and the descriptor lies within it.
    let ready = unsafe { libc::select(socket + 1, read, write, null, &raw mut at_once) };
    ready > 0
}

/// # Safety
/// `argument` is a cell that lives for ever.
unsafe extern "C" fn received(_: *mut c_void, argument: *mut c_void) {
    // SAFETY: `Feed::watch` passed a cell that lives for ever.
    let cell = unsafe { &*argument.cast::<Cell>() };
    tell(cell, Direction::Receive);
}

/// # Safety
/// `argument` is a cell that lives for ever.
unsafe extern "C" fn sent(_: *mut c_void, argument: *mut c_void) {
    // SAFETY: `Feed::watch` passed a cell that lives for ever.
    let cell = unsafe { &*argument.cast::<Cell>() };
    tell(cell, Direction::Send);
}

#[cfg(all(feature = "legacy", feature = "assumptions"))]
capuchin_posix::assume! {
    layout "struct sockwakeup" = Wakeup { sw_pfn: function, sw_arg: argument }
    value "SO_SNDWAKEUP" = SEND_WAKEUP;
    value "SO_RCVWAKEUP" = RECEIVE_WAKEUP;
    names libc { MSG_PEEK }
    layout "struct timeval" = libc::timeval { tv_sec, tv_usec }
    value "sizeof(fd_mask)" = size_of::<u32>();
    value "NFDBITS" = u32::BITS;
    value "FD_SETSIZE" = SET_DESCRIPTORS;
    value "sizeof(fd_set)" = size_of::<Set>();
    value "SS_CANTSENDMORE" = CANNOT_SEND;
    value "SS_CANTRCVMORE" = CANNOT_RECEIVE;
    value "offsetof(struct socket, so_state)" = core::mem::offset_of!(StackSocket, state);
    value "sizeof(((struct socket *)0)->so_state)" = size_of::<i16>();
}
