//! The test double of the legacy stack's wake-ups: a thread in the place of the network task, which
//! hears of changes from an edge-triggered epoll.

use super::{State, Static, poll, tell};
use crate::cell::{Cell, Direction};
use capuchin_core::event::Interest;
use capuchin_core::transport::Socket;
use capuchin_posix::errno;
use core::ffi::c_int;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Why there is no feed: an `errno` of epoll_create(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedError(pub i32);

impl core::fmt::Display for FeedError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the test double has no epoll (errno {})", self.0)
    }
}

/// The wake-ups, as set by `SO_RCVWAKEUP` and `SO_SNDWAKEUP`.
#[derive(Debug)]
pub(crate) struct Feed {
    epoll: c_int,
}

const EVENTS: c_int =
    libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLET;

/// Cells by the number of their socket's registration: what an epoll event in flight names may be watched
/// no more, and nothing more is told of it then.
#[derive(Default)]
struct Watched {
    cells: HashMap<u64, &'static Cell>,
    by_socket: HashMap<c_int, u64>,
    last: u64,
}

fn watched() -> MutexGuard<'static, Watched> {
    static WATCHED: OnceLock<Mutex<Watched>> = OnceLock::new();
    WATCHED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    pub(crate) fn start(_: &'static Static, _: &'static [Cell]) -> Result<Self, FeedError> {
        static NETWORK_TASK: OnceLock<Result<c_int, i32>> = OnceLock::new();
        NETWORK_TASK
            .get_or_init(|| {
                // SAFETY: no memory is passed.
                let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
                if epoll < 0 {
                    return Err(errno());
                }
                std::thread::spawn(move || network_task(epoll));
                Ok(epoll)
            })
            .map(|epoll| Self { epoll })
            .map_err(FeedError)
    }

    pub(crate) fn watch(
        &mut self,
        socket: Socket,
        cell: &'static Cell,
        _: Interest,
    ) -> Result<(), i32> {
        let mut watched = watched();
        watched.last += 1;
        let number = watched.last;
        let mut event = libc::epoll_event {
            events: EVENTS as u32,
            u64: number,
        };
        // Watched already, it is looked at again, as by kqueue.
        for operation in [libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD] {
            // SAFETY: the event lives through the call.
            let result =
                unsafe { libc::epoll_ctl(self.epoll, operation, socket.0, &raw mut event) };
            match errno() {
                _ if result >= 0 => break,
                libc::EEXIST => {}
                other => return Err(other),
            }
        }
        watched.cells.insert(number, cell);
        if let Some(before) = watched.by_socket.insert(socket.0, number) {
            watched.cells.remove(&before);
        }
        Ok(())
    }

    pub(crate) fn change(&mut self, _: Socket, _: &'static Cell, _: Interest) -> Result<(), i32> {
        Ok(())
    }

    pub(crate) fn ask(&mut self, socket: Socket, _room: bool) -> State {
        let found = poll(socket.0, libc::POLLIN | libc::POLLOUT);
        let failed = found & (libc::POLLERR | libc::POLLHUP) != 0;
        State {
            readable: found & libc::POLLIN != 0 || failed,
            writable: found & libc::POLLOUT != 0 || failed,
            failed,
        }
    }

    pub(crate) fn unwatch(&mut self, socket: Socket) -> Result<(), i32> {
        let mut watched = watched();
        if let Some(number) = watched.by_socket.remove(&socket.0) {
            watched.cells.remove(&number);
        }
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: the event lives through the call.
        let result =
            unsafe { libc::epoll_ctl(self.epoll, libc::EPOLL_CTL_DEL, socket.0, &raw mut event) };
        if result < 0 { Err(errno()) } else { Ok(()) }
    }
}

fn network_task(epoll: c_int) {
    let mut events = [const { libc::epoll_event { events: 0, u64: 0 } }; 64];
    loop {
        // SAFETY: there is room for that many events.
        let count =
            unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as c_int, -1) };
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            let (bits, number) = (event.events as c_int, event.u64);
            // Kept until all is told, as the legacy stack keeps its semaphore.
            let watched = watched();
            let Some(cell) = watched.cells.get(&number) else {
                continue;
            };
            // Each change is told: bytes, the end of them, the end of the connection.
            for bit in [libc::EPOLLIN, libc::EPOLLRDHUP, libc::EPOLLHUP] {
                if bits & bit != 0 {
                    tell(cell, Direction::Receive);
                }
            }
            if bits & (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) != 0 {
                tell(cell, Direction::Send);
            }
        }
    }
}
