//! Two filters for each socket, and what their events mean.
//!
//! Reading is a filter that is enabled while it is wanted. Sending is one that is always enabled: while
//! room is wanted it fires at the socket's low-water mark, else at one that no socket reaches, so that
//! it fires for the end of the connection alone. Thus failures arrive unasked, and nothing has to be
//! remembered of a socket.
//!
//! It promises that each event is either true or a hint, and that an end that nobody wants to hear of
//! does not fire again and again. It knows nothing of messages.

use crate::sys::Kqueue;
use capuchin_core::event::{Error, Interest, Readiness};
use capuchin_core::transport::Socket;
use capuchin_posix::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE, EV_EOF, EV_ERROR, EV_RECEIPT, EVFILT_READ,
    EVFILT_WRITE, Kevent, NOTE_LOWAT,
};
use capuchin_posix::peer_address;
use core::ffi::c_void;

/// What comes back with a socket's events.
pub(crate) type Mark = usize;

/// More room than any socket has.
const NEVER: i64 = i64::MAX;

/// Watches a new socket.
pub(crate) fn add(
    queue: &Kqueue,
    socket: Socket,
    mark: Mark,
    interest: Interest,
) -> Result<(), Error> {
    make(queue, changes(socket, mark, interest, EV_ADD)).map_err(|errno| {
        // Of the two, one may be there.
        let _ = remove(queue, socket);
        match errno {
            libc::ENOMEM => Error::NoRoom,
            other => Error::System(other),
        }
    })
}

/// Changes what a watched socket is watched for, and its mark.
pub(crate) fn change(
    queue: &Kqueue,
    socket: Socket,
    mark: Mark,
    interest: Interest,
) -> Result<(), Error> {
    make(queue, changes(socket, mark, interest, 0)).map_err(registration)
}

/// Watches a socket no more.
pub(crate) fn remove(queue: &Kqueue, socket: Socket) -> Result<(), Error> {
    let filters = [EVFILT_READ, EVFILT_WRITE];
    make(
        queue,
        filters.map(|filter| Kevent::new(socket.0, filter, EV_DELETE)),
    )
    .map_err(registration)
}

/// Whether a socket is watched: the kernel is asked, for there is no list of them here.
#[cfg(not(target_os = "rtems"))]
pub(crate) fn is_watched(queue: &Kqueue, socket: Socket) -> Result<bool, Error> {
    let nothing = Kevent::new(socket.0, EVFILT_READ, capuchin_posix::kqueue::EV_KEEPUDATA);
    match make(queue, [nothing]) {
        Ok(()) => Ok(true),
        Err(libc::ENOENT) => Ok(false),
        Err(other) => Err(Error::System(other)),
    }
}

/// What is told of a connection that is gone: readers and writers find out.
const GONE: Readiness = Readiness::READABLE
    .and(Readiness::WRITABLE)
    .and(Readiness::FAILED);

/// What an event of a socket tells.
pub(crate) fn readiness(queue: &Kqueue, event: &Kevent) -> Readiness {
    let is_over = event.flags & EV_EOF != 0;
    match event.filter {
        // The connection's error. Without one the end may be a half-close.
        _ if is_over && event.fflags != 0 => GONE,
        EVFILT_READ => Readiness::READABLE,
        _ if is_over => sending_is_over(queue, event),
        _ => Readiness::WRITABLE,
    }
}

/// Nothing can be sent any more, and there is no error: the connection is gone, or this side has closed
/// its half of it. The latter is true for ever and no news, so the filter becomes one that fires at
/// changes only: the next is the end of the other half.
fn sending_is_over(queue: &Kqueue, event: &Kevent) -> Readiness {
    let socket = Socket(event.ident as i32);
    if peer_address(socket).is_none() {
        return GONE;
    }
    if event.flags & EV_CLEAR == 0 {
        let delete = Kevent::new(socket.0, EVFILT_WRITE, EV_DELETE);
        let again = Kevent {
            flags: EV_ADD | EV_CLEAR,
            udata: event.udata,
            ..room(socket, false)
        };
        if let Err(errno) = make(queue, [delete, again]) {
            log::debug!("the end of a half-closed connection will not be heard of (error {errno})");
        }
    }
    // Whoever wants to send finds out.
    Readiness::WRITABLE
}

/// The filter of room to send; without `wanted`, of the end of the connection.
fn room(socket: Socket, wanted: bool) -> Kevent {
    let mut change = Kevent::new(socket.0, EVFILT_WRITE, 0);
    if !wanted {
        change.fflags = NOTE_LOWAT;
        change.data = NEVER;
    }
    change
}

fn changes(socket: Socket, mark: Mark, interest: Interest, flags: u16) -> [Kevent; 2] {
    let enable = if interest.wants_read() {
        EV_ENABLE
    } else {
        EV_DISABLE
    };
    let udata = mark as *mut c_void;
    [
        Kevent {
            udata,
            ..Kevent::new(socket.0, EVFILT_READ, flags | enable)
        },
        Kevent {
            flags,
            udata,
            ..room(socket, interest.wants_write())
        },
    ]
}

/// Makes changes, each whatever becomes of the others; the error is that of the first that failed. None
/// are: EPIPE from adding, for the next wait tells of that; and ENOENT from deleting the second
/// filter, for whether a socket is watched the first one tells.
fn make<const N: usize>(queue: &Kqueue, changes: [Kevent; N]) -> Result<(), i32> {
    let changes = changes.map(|change| Kevent {
        flags: change.flags | EV_RECEIPT,
        ..change
    });
    let mut receipts = changes;
    match queue.kevent(&changes, &mut receipts, None) {
        Ok(_) => {}
        // The changes were made; what became of each is not known.
        Err(libc::EINTR) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let mut outcome = Ok(());
    for (change, receipt) in changes.iter().zip(&receipts).rev() {
        debug_assert!(receipt.flags & EV_ERROR != 0, "a receipt for each change");
        match receipt.data as i32 {
            0 => {}
            libc::EPIPE if change.flags & EV_ADD != 0 => {}
            libc::ENOENT if change.flags & EV_DELETE != 0 && change.filter == EVFILT_WRITE => {}
            errno => outcome = Err(errno),
        }
    }
    outcome
}

fn registration(errno: i32) -> Error {
    match errno {
        libc::ENOENT => Error::Registration,
        other => Error::System(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn socket_of_which_a_filter_is_gone_is_removed_all_the_same() {
        let queue = Kqueue::new().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Socket(socket.as_raw_fd());
        add(&queue, socket, 1, Interest::READ).unwrap();
        let delete = Kevent::new(socket.0, EVFILT_WRITE, EV_DELETE);
        queue.kevent(&[delete], &mut [], None).unwrap();
        assert_eq!(remove(&queue, socket), Ok(()));
        assert_eq!(remove(&queue, socket), Err(Error::Registration));
    }

    #[test]
    fn pipe_that_nobody_reads_is_added_without_error() {
        let queue = Kqueue::new().unwrap();
        let (reading, writing) = capuchin_posix::pipe().unwrap();
        drop(reading);
        assert_eq!(
            add(&queue, Socket(writing.number()), 1, Interest::BOTH),
            Ok(())
        );
    }

    #[test]
    fn asking_whether_a_socket_is_watched_changes_nothing() {
        let queue = Kqueue::new().unwrap();
        let (end, other) = capuchin_posix::socket_pair().unwrap();
        let socket = Socket(end.number());
        assert_eq!(is_watched(&queue, socket), Ok(false));
        add(&queue, socket, 7, Interest::NONE).unwrap();
        assert_eq!(is_watched(&queue, socket), Ok(true));
        other.write_byte();
        let mut events = [Kevent::new(0, 0, 0)];
        let now = Some(core::time::Duration::ZERO);
        assert_eq!(queue.kevent(&[], &mut events, now), Ok(0));
        change(&queue, socket, 8, Interest::READ).unwrap();
        assert_eq!(is_watched(&queue, socket), Ok(true));
        assert_eq!(queue.kevent(&[], &mut events, now), Ok(1));
        assert_eq!(events[0].udata as usize, 8);
        let nothing = Socket(-1);
        assert_eq!(is_watched(&queue, nothing), Err(Error::System(libc::EBADF)));
    }
}
