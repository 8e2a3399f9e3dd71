//! The test double: what FreeBSD's manual page kqueue(2) says of sockets, over epoll.
//!
//! Each of a descriptor's filters is a note. Edge-triggered epolls, one for each kind of filter, stand for
//! the kernel's calls that something happened to a note; whether its filter fires is found out by asking
//! the descriptor, once then and once more when it is reported, as in the kernel. Notes that fire wait in a
//! queue; what stays true goes to its end when it is reported.
//!
//! It knows `EVFILT_READ` and `EVFILT_WRITE` with `NOTE_LOWAT`; every flag of [`capuchin_posix::kqueue`];
//! receipts; and that closing a descriptor ends its notes. It cannot tell which error a connection met
//! without taking it away from whoever receives next, so it is always ECONNRESET. A TCP socket that was never
//! connected it takes for one whose connection is gone.

#[cfg(test)]
mod tests;

use capuchin_posix::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_DISPATCH, EV_ENABLE, EV_EOF, EV_ERROR,
    EV_KEEPUDATA, EV_ONESHOT, EV_RECEIPT, EVFILT_READ, EVFILT_WRITE, Kevent, NOTE_LOWAT,
};
use capuchin_posix::{Descriptor, errno};
use core::cell::RefCell;
use core::ffi::{c_int, c_short};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// A queue of events.
#[derive(Debug)]
pub(crate) struct Kqueue {
    /// One for each filter, for a descriptor is in each of them once.
    hints: [Descriptor; 2],
    notes: RefCell<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    by_number: HashMap<u64, Note>,
    numbers: HashMap<(usize, i16), u64>,
    last: u64,
    /// Those that fire, the next to be reported first.
    queue: VecDeque<u64>,
}

#[derive(Debug)]
struct Note {
    /// As it is reported; `flags` are those that were given when it was added.
    event: Kevent,
    /// `fflags` and `data` of the last change.
    note_flags: u32,
    low_water: i64,
    thing: Thing,
    /// Of the descriptor: another one has another.
    inode: u64,
    is_disabled: bool,
    is_active: bool,
    is_queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Listener,
    Tcp,
    /// A local socket, or a pipe.
    Other,
}

impl Kqueue {
    pub(crate) fn new() -> Result<Self, i32> {
        Ok(Self {
            hints: [epoll()?, epoll()?],
            notes: RefCell::default(),
        })
    }

    /// As the function of this name.
    pub(crate) fn kevent(
        &self,
        changes: &[Kevent],
        events: &mut [Kevent],
        timeout: Option<Duration>,
    ) -> Result<usize, i32> {
        let mut notes = self.notes.borrow_mut();
        let mut answers = 0;
        for change in changes {
            let errno = self.register(&mut notes, change).err().unwrap_or(0);
            if errno == 0 && change.flags & EV_RECEIPT == 0 {
                continue;
            }
            let Some(place) = events.get_mut(answers) else {
                return if errno == 0 { Ok(answers) } else { Err(errno) };
            };
            *place = Kevent {
                flags: EV_ERROR,
                data: errno.into(),
                ..*change
            };
            answers += 1;
        }
        if answers > 0 || events.is_empty() {
            return Ok(answers);
        }
        let begin = Instant::now();
        loop {
            self.take_hints(&mut notes);
            let count = self.scan(&mut notes, events);
            if count > 0 {
                return Ok(count);
            }
            let left = timeout.map(|whole| whole.saturating_sub(begin.elapsed()));
            if left == Some(Duration::ZERO) {
                return Ok(0);
            }
            self.sleep(left)?;
        }
    }

    fn register(&self, notes: &mut Notes, change: &Kevent) -> Result<(), i32> {
        let has = |flag: u16| change.flags & flag != 0;
        if has(EV_ENABLE) && has(EV_DISABLE)
            || has(EV_ADD) && has(EV_KEEPUDATA)
            || ![EVFILT_READ, EVFILT_WRITE].contains(&change.filter)
        {
            return Err(libc::EINVAL);
        }
        let descriptor = c_int::try_from(change.ident).map_err(|_| libc::EBADF)?;
        let status = status(descriptor)?;
        let known = notes.numbers.get(&(change.ident, change.filter)).copied();
        let known = known.filter(|number| {
            let is_same = notes.by_number[number].inode == status.st_ino;
            if !is_same {
                self.drop_note(notes, *number); // its descriptor was closed
            }
            is_same
        });
        let number = match known {
            None if has(EV_ADD) => self.attach(notes, change, &status)?,
            None => return Err(libc::ENOENT),
            Some(number) if has(EV_DELETE) => {
                self.drop_note(notes, number);
                return Ok(());
            }
            Some(number) => {
                let note = notes.note(number);
                if has(EV_ENABLE) {
                    note.is_disabled = false;
                } else if has(EV_DISABLE) {
                    note.is_disabled = true;
                }
                if !has(EV_KEEPUDATA) {
                    note.event.udata = change.udata;
                }
                (note.note_flags, note.low_water) = (change.fflags, change.data);
                number
            }
        };
        notes.activate(number, false);
        Ok(())
    }

    fn attach(&self, notes: &mut Notes, change: &Kevent, status: &libc::stat) -> Result<u64, i32> {
        let descriptor = change.ident as c_int;
        let is_pipe = status.st_mode & libc::S_IFMT == libc::S_IFIFO;
        let is_write = change.filter == EVFILT_WRITE;
        // A pipe that nobody reads from any more.
        if is_pipe && is_write && poll(descriptor, libc::POLLOUT) & libc::POLLERR != 0 {
            return Err(libc::EPIPE);
        }
        notes.last += 1;
        let number = notes.last;
        let wanted = if is_write {
            libc::EPOLLOUT
        } else {
            libc::EPOLLIN | libc::EPOLLRDHUP
        };
        let mut hint = libc::epoll_event {
            events: (wanted | libc::EPOLLET) as u32,
            u64: number,
        };
        let hints = self.hints[usize::from(is_write)].number();
        // SAFETY: the event lives through the call.
        let added =
            unsafe { libc::epoll_ctl(hints, libc::EPOLL_CTL_ADD, descriptor, &raw mut hint) };
        if added < 0 {
            return Err(errno());
        }
        let note = Note {
            event: Kevent {
                flags: change.flags & (EV_CLEAR | EV_ONESHOT | EV_DISPATCH | EV_RECEIPT),
                fflags: 0,
                data: 0,
                ..*change
            },
            note_flags: change.fflags,
            low_water: change.data,
            thing: thing(descriptor),
            inode: status.st_ino,
            is_disabled: change.flags & EV_DISABLE != 0,
            is_active: false,
            is_queued: false,
        };
        notes.by_number.insert(number, note);
        notes.numbers.insert((change.ident, change.filter), number);
        Ok(number)
    }

    fn drop_note(&self, notes: &mut Notes, number: u64) {
        let Some(note) = notes.by_number.remove(&number) else {
            return;
        };
        let (ident, filter) = (note.event.ident, note.event.filter);
        notes.numbers.remove(&(ident, filter));
        notes.queue.retain(|&queued| queued != number);
        let hints = self.hints[usize::from(filter == EVFILT_WRITE)].number();
        if status(ident as c_int).is_ok_and(|status| status.st_ino == note.inode) {
            let mut nothing = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: the event lives through the call.
            unsafe {
                libc::epoll_ctl(hints, libc::EPOLL_CTL_DEL, ident as c_int, &raw mut nothing)
            };
        }
    }

    /// Something may have happened to these.
    fn take_hints(&self, notes: &mut Notes) {
        let mut found = [const { libc::epoll_event { events: 0, u64: 0 } }; 64];
        for hints in &self.hints {
            loop {
                // SAFETY: there is room for that many events.
                let count = unsafe {
                    libc::epoll_wait(hints.number(), found.as_mut_ptr(), found.len() as c_int, 0)
                };
                let count = usize::try_from(count).unwrap_or(0);
                for hint in &found[..count] {
                    let number = hint.u64;
                    if notes.by_number.contains_key(&number) {
                        notes.activate(number, true);
                    }
                }
                if count < found.len() {
                    break;
                }
            }
        }
    }

    /// Reports notes that fire: each once.
    fn scan(&self, notes: &mut Notes, events: &mut [Kevent]) -> usize {
        let mut count = 0;
        for _ in 0..notes.queue.len() {
            if count == events.len() {
                break;
            }
            let Some(number) = notes.queue.pop_front() else {
                break;
            };
            let note = notes.note(number);
            let is_same =
                status(note.event.ident as c_int).is_ok_and(|now| now.st_ino == note.inode);
            if !is_same {
                self.drop_note(notes, number);
                continue;
            }
            note.is_queued = false;
            if note.is_disabled {
                continue;
            }
            if note.event.flags & EV_ONESHOT == 0 && !note.fires() {
                note.is_active = false;
                continue;
            }
            events[count] = note.event;
            count += 1;
            let flags = note.event.flags;
            if flags & EV_ONESHOT != 0 {
                self.drop_note(notes, number);
            } else if flags & (EV_CLEAR | EV_DISPATCH) != 0 {
                note.is_active = false;
                note.is_disabled |= flags & EV_DISPATCH != 0;
            } else {
                note.is_queued = true;
                notes.queue.push_back(number);
            }
        }
        count
    }

    fn sleep(&self, left: Option<Duration>) -> Result<(), i32> {
        let mut asked = [0, 1].map(|at: usize| libc::pollfd {
            fd: self.hints[at].number(),
            events: libc::POLLIN,
            revents: 0,
        });
        let left = left.map(|left| libc::timespec {
            tv_sec: left.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(left.subsec_nanos()),
        });
        let timeout = left
            .as_ref()
            .map_or(core::ptr::null(), |left| &raw const *left);
        // SAFETY: two structures are passed, and all of it lives through the call; signals stay as they are.
        let found = unsafe { libc::ppoll(asked.as_mut_ptr(), 2, timeout, core::ptr::null()) };
        if found < 0 { Err(errno()) } else { Ok(()) }
    }
}

impl Notes {
    fn note(&mut self, number: u64) -> &mut Note {
        self.by_number
            .get_mut(&number)
            .expect("a note that is there")
    }

    /// Asks a note's filter, and queues the note when it fires. A disabled note is asked only where
    /// something happened.
    fn activate(&mut self, number: u64, happened: bool) {
        let note = self.note(number);
        if (happened || !note.is_disabled) && note.fires() {
            note.is_active = true;
        }
        if note.is_active && !note.is_disabled && !note.is_queued {
            note.is_queued = true;
            self.queue.push_back(number);
        }
    }
}

impl Note {
    /// Asks the descriptor, and writes down what is to be reported of it.
    fn fires(&mut self) -> bool {
        let descriptor = self.event.ident as c_int;
        let wants_low_water = self.note_flags & NOTE_LOWAT != 0;
        let (is_over, has_failed, fires);
        if self.event.filter == EVFILT_READ {
            let found = poll(descriptor, libc::POLLIN | libc::POLLRDHUP);
            self.event.data = match self.thing {
                Thing::Listener => i64::from(tcp_info(descriptor).tcpi_unacked),
                Thing::Tcp | Thing::Other => number_by(descriptor, libc::FIONREAD),
            };
            is_over = found & (libc::POLLRDHUP | libc::POLLHUP) != 0;
            has_failed = found & libc::POLLERR != 0;
            fires = if wants_low_water && self.thing != Thing::Listener {
                self.event.data >= self.low_water
            } else {
                self.event.data > 0
            };
        } else {
            let found = poll(descriptor, libc::POLLOUT);
            has_failed = found & libc::POLLERR != 0;
            let state = match self.thing {
                Thing::Listener => return false,
                Thing::Tcp => tcp_info(descriptor).tcpi_state,
                Thing::Other => TCP_ESTABLISHED,
            };
            if matches!(state, TCP_SYN_SENT | TCP_SYN_RECV) {
                return false;
            }
            is_over = !matches!(state, TCP_ESTABLISHED | TCP_CLOSE_WAIT)
                || self.thing == Thing::Other && (has_failed || found & libc::POLLHUP != 0);
            let has_room = found & libc::POLLOUT != 0;
            let waiting = number_by(descriptor, libc::TIOCOUTQ);
            let room = (socket_option(descriptor, libc::SO_SNDBUF) - waiting).max(has_room.into());
            self.event.data = room;
            fires = if wants_low_water {
                room >= self.low_water
            } else {
                has_room
            };
        }
        self.event.flags &= !EV_EOF;
        self.event.fflags = 0;
        if is_over {
            self.event.flags |= EV_EOF;
            self.event.fflags = if has_failed {
                libc::ECONNRESET as u32
            } else {
                0
            };
        }
        is_over || has_failed || fires
    }
}

// enum in netinet/tcp.h
const TCP_ESTABLISHED: u8 = 1;
const TCP_SYN_SENT: u8 = 2;
const TCP_SYN_RECV: u8 = 3;
const TCP_CLOSE_WAIT: u8 = 8;

fn epoll() -> Result<Descriptor, i32> {
    // SAFETY: no memory is passed.
    let number = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if number < 0 {
        return Err(errno());
    }
    // SAFETY: it was just made, for this owner.
    Ok(unsafe { Descriptor::own(number) })
}

fn status(descriptor: c_int) -> Result<libc::stat, i32> {
    // SAFETY: zeros are a valid `stat`, and it lives through the call.
    unsafe {
        let mut status: libc::stat = core::mem::zeroed();
        match libc::fstat(descriptor, &raw mut status) {
            0 => Ok(status),
            _ => Err(errno()),
        }
    }
}

fn thing(descriptor: c_int) -> Thing {
    if socket_option(descriptor, libc::SO_ACCEPTCONN) > 0 {
        Thing::Listener
    } else if socket_option(descriptor, libc::SO_PROTOCOL) == i64::from(libc::IPPROTO_TCP) {
        Thing::Tcp
    } else {
        Thing::Other
    }
}

/// Some number, or -1 of what is no socket.
fn socket_option(descriptor: c_int, name: c_int) -> i64 {
    let (mut value, mut length) = (-1 as c_int, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the value has the length that is passed, and both live through the call.
    unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    value.into()
}

fn tcp_info(descriptor: c_int) -> libc::tcp_info {
    // SAFETY: zeros are a valid `tcp_info`; it has the length that is passed, and both live through the
    // call.
    unsafe {
        let mut info: libc::tcp_info = core::mem::zeroed();
        let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
        libc::getsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        );
        info
    }
}

/// What ioctl(2) answers to `request`, a number of bytes; 0 where it refuses.
fn number_by(descriptor: c_int, request: libc::Ioctl) -> i64 {
    let mut number: c_int = 0;
    // SAFETY: both requests take a pointer to an `int`, which lives through the call.
    unsafe { libc::ioctl(descriptor, request, &raw mut number) };
    number.into()
}

fn poll(descriptor: c_int, events: c_short) -> c_short {
    let mut asked = libc::pollfd {
        fd: descriptor,
        events,
        revents: 0,
    };
    // SAFETY: one structure is passed, which lives through the call.
    unsafe { libc::poll(&raw mut asked, 1, 0) };
    asked.revents
}
