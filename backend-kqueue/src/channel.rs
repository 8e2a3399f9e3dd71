//! The channel of a system with threads.

use crate::filters::{self, Mark};
use crate::sys::Kqueue;
use capuchin_core::event::{Deadline, Error, Event, EventChannel, EventList, Interest, Token};
use capuchin_core::transport::Socket;
use capuchin_posix::kqueue::Kevent;
use capuchin_posix::mailbox::{DESCRIPTORS_PER_WAIT, Mailbox};
use core::time::Duration;

/// Sends messages to a worker that waits with kqueue.
pub use capuchin_posix::mailbox::MailNotifier as KqueueNotifier;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a token of 64 bits has to fit into a pointer");

/// Waits with kqueue; the contract is that of [`EventChannel`].
///
/// ```
/// use capuchin_core::event::{Deadline, Event, EventChannel, EventList, Message, Notifier};
/// use capuchin_kqueue::KqueueChannel;
///
/// let mut channel = KqueueChannel::new(16)?;
/// let notifier = channel.notifier();
/// std::thread::spawn(move || notifier.send(Message::Application(7)));
/// let mut events = EventList::new();
/// channel.wait(&mut events, Deadline::Never)?;
/// assert_eq!(events.as_slice(), [Event::Message(Message::Application(7))]);
/// # Ok::<(), capuchin_core::event::Error>(())
/// ```
#[derive(Debug)]
pub struct KqueueChannel {
    queue: Kqueue,
    mail: Mailbox,
    /// Room for what one wait reports.
    ready: [Kevent; DESCRIPTORS_PER_WAIT],
}

impl KqueueChannel {
    /// A channel whose queue holds `capacity` messages, at least one.
    ///
    /// # Errors
    /// [`Error::System`] with the `errno` of kqueue(2), socketpair(2) or kevent(2): most likely no
    /// descriptor is left.
    pub fn new(capacity: usize) -> Result<Self, Error> {
        let queue = Kqueue::new().map_err(Error::System)?;
        let pair = capuchin_posix::socket_pair().map_err(Error::System)?;
        let mail = Mailbox::new(capacity, pair);
        filters::add(&queue, Socket(mail.descriptor()), 0, Interest::READ)?;
        Ok(Self {
            queue,
            mail,
            ready: [Kevent::new(0, 0, 0); DESCRIPTORS_PER_WAIT],
        })
    }
}

fn mark(token: Token) -> Mark {
    token.to_bits() as Mark
}

impl EventChannel for KqueueChannel {
    type Notifier = KqueueNotifier;

    fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
        if filters::is_watched(&self.queue, socket)? {
            return Err(Error::Registration);
        }
        filters::add(&self.queue, socket, mark(token), interest)
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), Error> {
        filters::change(&self.queue, socket, mark(token), interest)
    }

    fn remove(&mut self, socket: Socket) -> Result<(), Error> {
        filters::remove(&self.queue, socket)
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
        events.clear();
        let timeout = match until {
            _ if self.mail.has_backlog() => Some(Duration::ZERO),
            Deadline::Now => Some(Duration::ZERO),
            Deadline::After(milliseconds) => Some(Duration::from_millis(milliseconds.into())),
            Deadline::Never => None,
        };
        let count = match self.queue.kevent(&[], &mut self.ready, timeout) {
            Ok(count) => count,
            Err(libc::EINTR) => 0,
            Err(errno) => return Err(Error::System(errno)),
        };
        // Where more is ready than one answer holds, the socketpair's turn may be far away.
        let crowded = count == self.ready.len();
        let mut woken = self.mail.has_backlog() || (crowded && self.mail.is_pending());
        for event in &self.ready[..count] {
            if event.ident == self.mail.descriptor() as usize {
                woken = true;
                continue;
            }
            let readiness = filters::readiness(&self.queue, event);
            let token = Token::from_bits(event.udata as u64);
            let taken = events.push(Event::Ready { token, readiness });
            debug_assert!(taken, "there are as many places");
        }
        if woken {
            self.mail.take(events);
        }
        Ok(())
    }

    fn notifier(&self) -> KqueueNotifier {
        self.mail.notifier()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::event::{Message, Notifier};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    #[test]
    fn message_does_not_queue_behind_a_crowd_of_sockets() {
        // Sockets that can be sent from at any time.
        let sockets: Vec<_> = (0..DESCRIPTORS_PER_WAIT * 5)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let mut channel = KqueueChannel::new(1).unwrap();
        for (index, socket) in (0..).zip(&sockets) {
            let token = Token::from_bits(index);
            channel
                .add(Socket(socket.as_raw_fd()), token, Interest::WRITE)
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
