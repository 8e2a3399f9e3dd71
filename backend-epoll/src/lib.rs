//! The event channel of Linux: epoll for sockets, a pipe to be woken by other threads.
//!
//! epoll is used level-triggered, so a connection that keeps reading costs one `epoll_ctl` in its
//! life. Messages travel in a bounded queue; the pipe only wakes, and one byte in it stands for
//! any number of them.
//!
//! # Forked descriptors
//!
//! epoll watches the open file behind a descriptor, not the number: a socket that a forked child
//! still holds stays watched after it is closed here (epoll(7), "Questions and answers"). The
//! engine removes each socket before it closes it, and every descriptor is close-on-exec; a
//! program that forks without exec must close them in the child.

mod sys;

use capuchin_core::event::{
    Deadline, Error, Event, EventChannel, EventList, Interest, Readiness, Token,
};
use capuchin_core::transport::Socket;
use capuchin_posix::mailbox::{DESCRIPTORS_PER_WAIT, Mailbox};
use sys::Poll;

/// Sends messages to a worker that waits with epoll.
pub use capuchin_posix::mailbox::MailNotifier as EpollNotifier;

/// The pipe's mark among the tokens; the engine counts its indices from the other end.
const WAKE: u64 = u64::MAX;

/// Waits with epoll; the contract is that of [`EventChannel`].
///
/// ```
/// use capuchin_core::event::{Deadline, Event, EventChannel, EventList, Message, Notifier};
/// use capuchin_epoll::EpollChannel;
///
/// let mut channel = EpollChannel::new(16)?;
/// let notifier = channel.notifier();
/// std::thread::spawn(move || notifier.send(Message::Application(7)));
/// let mut events = EventList::new();
/// channel.wait(&mut events, Deadline::Never)?;
/// assert_eq!(events.as_slice(), [Event::Message(Message::Application(7))]);
/// # Ok::<(), capuchin_core::event::Error>(())
/// ```
///
/// The token of all ones (index and generation [`u32::MAX`]) is the pipe's: it is refused as
/// [`Error::Registration`].
#[derive(Debug)]
pub struct EpollChannel {
    poll: Poll,
    mail: Mailbox,
}

impl EpollChannel {
    /// A channel whose queue holds `capacity` messages, at least one.
    ///
    /// # Errors
    /// [`Error::System`] with the `errno` of epoll_create1(2), pipe2(2) or epoll_ctl(2): most
    /// likely no descriptor is left.
    pub fn new(capacity: usize) -> Result<Self, Error> {
        let poll = Poll::new().map_err(Error::System)?;
        let mail = Mailbox::new(capacity, capuchin_posix::pipe().map_err(Error::System)?);
        poll.add(mail.descriptor(), WAKE, Interest::READ)
            .map_err(Error::System)?;
        Ok(Self { poll, mail })
    }
}

impl EventChannel for EpollChannel {
    type Notifier = EpollNotifier;

    fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
        if token.to_bits() == WAKE {
            return Err(Error::Registration);
        }
        self.poll
            .add(socket.0, token.to_bits(), interest)
            .map_err(|errno| match errno {
                libc::EEXIST => Error::Registration,
                libc::ENOSPC | libc::ENOMEM => Error::NoRoom,
                other => Error::System(other),
            })
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), Error> {
        if token.to_bits() == WAKE {
            return Err(Error::Registration);
        }
        self.poll
            .change(socket.0, token.to_bits(), interest)
            .map_err(registration)
    }

    fn remove(&mut self, socket: Socket) -> Result<(), Error> {
        self.poll.remove(socket.0).map_err(registration)
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
        events.clear();
        let timeout = match until {
            _ if self.mail.has_backlog() => 0,
            Deadline::Now => 0,
            // epoll rounds up to its own tick; a clamped wait returns early, which is allowed.
            Deadline::After(milliseconds) => i32::try_from(milliseconds).unwrap_or(i32::MAX),
            Deadline::Never => -1,
        };
        let ready = match self.poll.wait(DESCRIPTORS_PER_WAIT, timeout) {
            Ok(ready) => ready,
            Err(libc::EINTR) => &[],
            Err(errno) => return Err(Error::System(errno)),
        };
        // Where more sockets are ready than one answer holds, the pipe's turn may be far away.
        let crowded = ready.len() == DESCRIPTORS_PER_WAIT;
        let mut woken = self.mail.has_backlog() || (crowded && self.mail.is_pending());
        for event in ready {
            if event.u64 == WAKE {
                woken = true;
            } else {
                let token = Token::from_bits(event.u64);
                let taken = events.push(Event::Ready {
                    token,
                    readiness: readiness(event.events),
                });
                debug_assert!(taken);
            }
        }
        if woken {
            self.mail.take(events);
        }
        Ok(())
    }

    fn notifier(&self) -> EpollNotifier {
        self.mail.notifier()
    }
}

fn registration(errno: i32) -> Error {
    match errno {
        libc::ENOENT => Error::Registration,
        other => Error::System(other),
    }
}

fn readiness(events: u32) -> Readiness {
    let has = |bit: i32| events & bit as u32 != 0;
    let mut readiness = Readiness::NONE;
    if has(libc::EPOLLIN) || has(libc::EPOLLHUP) {
        readiness = readiness.and(Readiness::READABLE);
    }
    if has(libc::EPOLLOUT) {
        readiness = readiness.and(Readiness::WRITABLE);
    }
    if has(libc::EPOLLERR) || has(libc::EPOLLHUP) {
        readiness = readiness.and(Readiness::FAILED);
    }
    readiness
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::event::{Message, Notifier};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    const RESERVED: Token = Token::from_bits(WAKE);

    fn token(index: u32) -> Token {
        Token {
            index,
            generation: 0,
        }
    }

    /// Sockets that can be sent from at any time.
    fn writable(count: usize) -> Vec<UdpSocket> {
        (0..count)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect()
    }

    #[test]
    fn descriptor_is_close_on_exec() {
        let channel = EpollChannel::new(1).unwrap();
        // SAFETY: no memory is passed.
        let flags = unsafe { libc::fcntl(channel.poll.number(), libc::F_GETFD) };
        assert!(flags & libc::FD_CLOEXEC != 0);
    }

    #[test]
    fn token_of_the_pipe_is_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let watched = Socket(socket.as_raw_fd());
        let mut channel = EpollChannel::new(1).unwrap();
        let refused = Err(Error::Registration);
        assert_eq!(channel.add(watched, RESERVED, Interest::READ), refused);
        channel.add(watched, token(1), Interest::READ).unwrap();
        assert_eq!(
            channel.set_interest(watched, RESERVED, Interest::READ),
            refused
        );
    }

    #[test]
    fn message_does_not_queue_behind_a_crowd_of_sockets() {
        let sockets = writable(DESCRIPTORS_PER_WAIT * 5);
        let mut channel = EpollChannel::new(1).unwrap();
        for (index, socket) in (0..).zip(&sockets) {
            channel
                .add(Socket(socket.as_raw_fd()), token(index), Interest::WRITE)
                .unwrap();
        }
        let notifier = channel.notifier();
        let mut events = EventList::new();
        for number in 0..20 {
            notifier.send(Message::Application(number)).unwrap();
            channel.wait(&mut events, Deadline::Never).unwrap();
            let message = Event::Message(Message::Application(number));
            assert!(events.as_slice().contains(&message), "message {number}");
        }
    }
}
