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
    Deadline, Error, Event, EventChannel, EventList, Full, Interest, Message, Notifier, Readiness,
    Token,
};
use capuchin_core::transport::Socket;
use capuchin_core::wake::Wake;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use sys::{Descriptor, Poll};

/// Messages that one wait reports at the most. Their places are kept for them, and the others for
/// sockets, so that neither can starve the other.
const MESSAGES_PER_WAIT: usize = 16;

/// Ready sockets that one wait reports at the most, the pipe among them. Those that epoll did not
/// get to tell come first in its next answer.
const SOCKETS_PER_WAIT: usize = EventList::CAPACITY - MESSAGES_PER_WAIT;

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
    messages: Receiver<Message>,
    sender: SyncSender<Message>,
    bell: Arc<Bell>,
    /// Messages were left in the queue by the last wait.
    backlog: bool,
}

/// What senders share with the channel.
#[derive(Debug)]
struct Bell {
    wake: Wake,
    pipe: Descriptor,
    /// The reading end. It lives as long as the writing end: a sender that races with the end of
    /// its channel writes to a pipe, not into the signal of a broken one.
    drain: Descriptor,
}

impl EpollChannel {
    /// A channel whose queue holds `capacity` messages, at least one.
    ///
    /// # Errors
    /// [`Error::System`] with the `errno` of epoll_create1(2), pipe2(2) or epoll_ctl(2): most
    /// likely no descriptor is left.
    pub fn new(capacity: usize) -> Result<Self, Error> {
        let poll = Poll::new().map_err(Error::System)?;
        let (drain, pipe) = sys::pipe().map_err(Error::System)?;
        poll.add(drain.number(), WAKE, Interest::READ)
            .map_err(Error::System)?;
        let (sender, messages) = sync_channel(capacity.max(1));
        let bell = Arc::new(Bell {
            wake: Wake::new(),
            pipe,
            drain,
        });
        Ok(Self {
            poll,
            messages,
            sender,
            bell,
            backlog: false,
        })
    }

    /// Moves queued messages to `events`.
    fn take_messages(&mut self, events: &mut EventList) {
        self.backlog = self.bell.wake.receive(
            || self.bell.drain.read_empty(),
            || {
                for _ in 0..MESSAGES_PER_WAIT {
                    match self.messages.try_recv() {
                        Ok(message) => {
                            // Room for all of these was kept.
                            let taken = events.push(Event::Message(message));
                            debug_assert!(taken);
                        }
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => return false,
                    }
                }
                // There may be more, without a byte in the pipe for them.
                true
            },
        );
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
            _ if self.backlog => 0,
            Deadline::Now => 0,
            // epoll rounds up to its own tick; a clamped wait returns early, which is allowed.
            Deadline::After(milliseconds) => i32::try_from(milliseconds).unwrap_or(i32::MAX),
            Deadline::Never => -1,
        };
        let ready = match self.poll.wait(SOCKETS_PER_WAIT, timeout) {
            Ok(ready) => ready,
            Err(libc::EINTR) => &[],
            Err(errno) => return Err(Error::System(errno)),
        };
        // Where more sockets are ready than one answer holds, the pipe's turn may be far away.
        let crowded = ready.len() == SOCKETS_PER_WAIT;
        let mut woken = self.backlog || (crowded && self.bell.wake.is_pending());
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
            self.take_messages(events);
        }
        Ok(())
    }

    fn notifier(&self) -> EpollNotifier {
        EpollNotifier {
            sender: self.sender.clone(),
            bell: Arc::clone(&self.bell),
        }
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

/// Sends messages to a worker that waits with epoll. After its channel is gone every message is
/// [`Full`].
#[derive(Clone, Debug)]
pub struct EpollNotifier {
    sender: SyncSender<Message>,
    bell: Arc<Bell>,
}

impl Notifier for EpollNotifier {
    fn send(&self, message: Message) -> Result<(), Full> {
        self.bell.wake.send(
            || self.sender.try_send(message).map_err(|_| Full),
            || self.bell.pipe.write_byte(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn descriptors_are_close_on_exec_and_the_pipe_never_blocks() {
        let channel = EpollChannel::new(1).unwrap();
        let (drain, pipe) = (channel.bell.drain.number(), channel.bell.pipe.number());
        for descriptor in [channel.poll.number(), drain, pipe] {
            // SAFETY: no memory is passed.
            let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
            assert!(flags & libc::FD_CLOEXEC != 0);
        }
        for descriptor in [drain, pipe] {
            // SAFETY: no memory is passed.
            let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
            assert!(flags & libc::O_NONBLOCK != 0);
        }
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
        let sockets = writable(SOCKETS_PER_WAIT * 5);
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

    #[test]
    fn pipe_is_whole_as_long_as_a_notifier_lives() {
        let channel = EpollChannel::new(1).unwrap();
        let notifier = channel.notifier();
        drop(channel);
        assert_eq!(notifier.send(Message::Stop), Err(Full));
        // What a sender does that had queued its message just before: a broken pipe would answer
        // EPIPE and raise SIGPIPE.
        // SAFETY: one byte is valid for reading.
        let written = unsafe { libc::write(notifier.bell.pipe.number(), [1u8].as_ptr().cast(), 1) };
        assert_eq!(written, 1);
    }
}
