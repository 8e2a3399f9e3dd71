//! Messages for a worker that waits in the kernel: a bounded queue, and a pair of descriptors of
//! which one is watched along with the sockets.
//!
//! It promises what [`capuchin_core::wake`] does: the pair only wakes, one byte in it stands for any
//! number of messages, and a full pair is no error. It must not know how the descriptor is watched.
//!
//! For systems with a standard library.

use crate::Descriptor;
use crate::queue::{Receiver, Sender, queue};
use capuchin_core::event::{Event, EventList, Full, Message, Notifier};
use capuchin_core::wake::Wake;
use core::ffi::c_int;
use std::sync::Arc;

/// Messages that one wait reports at the most. Their places are kept for them, and the others for
/// sockets, so that neither can starve the other.
pub const MESSAGES_PER_WAIT: usize = 16;

/// Ready descriptors that one wait reports at the most, the mailbox's among them.
pub const DESCRIPTORS_PER_WAIT: usize = EventList::CAPACITY - MESSAGES_PER_WAIT;

/// The worker's end.
#[derive(Debug)]
pub struct Mailbox {
    messages: Receiver<Message>,
    sender: Sender<Message>,
    bell: Arc<Bell>,
    /// Messages were left in the queue by the last wait.
    backlog: bool,
}

/// What senders share with the worker.
#[derive(Debug)]
struct Bell {
    wake: Wake,
    /// The reading end. It lives as long as the writing end: a sender that races with the end of
    /// its worker writes to a whole pair, not into the signal of a broken one.
    drain: Descriptor,
    ring: Descriptor,
}

impl Mailbox {
    /// A mailbox for `capacity` messages, at least one. Of `pair`, the first is read, the second
    /// written; both are non-blocking.
    #[must_use]
    pub fn new(capacity: usize, pair: (Descriptor, Descriptor)) -> Self {
        let (sender, messages) = queue(capacity.max(1));
        let (drain, ring) = pair;
        let wake = Wake::new();
        Self {
            messages,
            sender,
            bell: Arc::new(Bell { wake, drain, ring }),
            backlog: false,
        }
    }

    /// The descriptor that becomes readable when somebody sends.
    #[must_use]
    pub fn descriptor(&self) -> c_int {
        self.bell.drain.number()
    }

    /// The last [`Mailbox::take`] left some: nobody will ring for them.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.backlog
    }

    /// A message was sent since the last look: a hint, for when too much is ready to be told that the
    /// descriptor is.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.bell.wake.is_pending()
    }

    /// Moves up to [`MESSAGES_PER_WAIT`] messages to `events`, which has room for them.
    pub fn take(&mut self, events: &mut EventList) {
        self.backlog = self.bell.wake.receive(
            || self.bell.drain.read_empty(),
            || {
                for _ in 0..MESSAGES_PER_WAIT {
                    let Some(message) = self.messages.take() else {
                        return false;
                    };
                    let taken = events.push(Event::Message(message));
                    debug_assert!(taken, "room was kept");
                }
                // There may be more, without a byte in the pair for them.
                true
            },
        );
    }

    /// A sending end.
    #[must_use]
    pub fn notifier(&self) -> MailNotifier {
        MailNotifier {
            sender: self.sender.clone(),
            bell: Arc::clone(&self.bell),
        }
    }
}

/// Sends messages to a worker, from any thread. After its channel is gone every message is [`Full`].
#[derive(Clone, Debug)]
pub struct MailNotifier {
    sender: Sender<Message>,
    bell: Arc<Bell>,
}

impl Notifier for MailNotifier {
    fn send(&self, message: Message) -> Result<(), Full> {
        self.bell.wake.send(
            || self.sender.send(message).map_err(|_| Full),
            || self.bell.ring.write_byte(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_is_whole_as_long_as_a_notifier_lives() {
        let mailbox = Mailbox::new(1, crate::pipe().unwrap());
        let notifier = mailbox.notifier();
        drop(mailbox);
        assert_eq!(notifier.send(Message::Stop), Err(Full));
        // What a sender does that had queued its message just before: a broken pipe would answer
        // EPIPE and raise SIGPIPE.
        let ring = notifier.bell.ring.number();
        // SAFETY: one byte is valid for reading.
        let written = unsafe { libc::write(ring, [1u8].as_ptr().cast(), 1) };
        assert_eq!(written, 1);
    }

    #[test]
    fn what_one_take_leaves_is_remembered() {
        let mut mailbox = Mailbox::new(100, crate::socket_pair().unwrap());
        let notifier = mailbox.notifier();
        for number in 0..MESSAGES_PER_WAIT as u64 + 1 {
            notifier.send(Message::Application(number)).unwrap();
        }
        assert!(mailbox.is_pending());
        let mut events = EventList::new();
        mailbox.take(&mut events);
        assert_eq!(events.as_slice().len(), MESSAGES_PER_WAIT);
        assert!(mailbox.has_backlog() && !mailbox.is_pending());
        events.clear();
        mailbox.take(&mut events);
        let last = Event::Message(Message::Application(MESSAGES_PER_WAIT as u64));
        assert_eq!(events.as_slice(), [last]);
        assert!(!mailbox.has_backlog());
    }
}
