//! The flag that lets one wake-up stand for many messages: how notifiers and their receiver go
//! about a queue and a primitive that can do nothing but wake (a pipe, a socket pair, a message).
//!
//! It promises that a message which was queued is seen by the receiver without another being sent,
//! and that the primitive holds one wake-up for each time that the receiver looked, however many
//! messages there are. The interleavings of two senders and a receiver with up to four preemptions are
//! checked with `loom` (`tests/wake_model.rs`). It must not know what queue and primitive are made of.

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        use loom::sync::atomic::{AtomicBool, Ordering};
    } else {
        use core::sync::atomic::{AtomicBool, Ordering};
    }
}

/// Whether a wake-up is on its way to the receiver.
///
/// ```
/// use capuchin_core::wake::Wake;
///
/// let wake = Wake::new();
/// let mut woken = 0;
/// for _message in 0..3 {
///     wake.send(|| Ok::<(), ()>(()), || woken += 1).unwrap();
/// }
/// assert_eq!(woken, 1, "one wake-up stands for three messages");
/// wake.receive(|| woken -= 1, || { /* takes the messages */ });
/// assert_eq!(woken, 0);
/// ```
#[derive(Debug)]
pub struct Wake {
    pending: AtomicBool,
}

impl Default for Wake {
    fn default() -> Self {
        Self::new()
    }
}

impl Wake {
    /// Nothing was sent yet.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: AtomicBool::new(false),
        }
    }

    /// Nothing was sent yet.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            pending: AtomicBool::new(false),
        }
    }

    /// The sender's part: queues a message, and wakes the receiver unless it is being woken.
    ///
    /// # Errors
    /// What `queue` answers; nobody is woken then.
    pub fn send<E>(
        &self,
        queue: impl FnOnce() -> Result<(), E>,
        wake: impl FnOnce(),
    ) -> Result<(), E> {
        queue()?;
        if !self.pending.swap(true, Ordering::SeqCst) {
            wake();
        }
        Ok(())
    }

    /// The receiver's part: `consume` takes the wake-up out of the primitive, `take` takes the
    /// messages. Messages that `take` leaves behind are the receiver's to remember: no wake-up will
    /// come for them.
    ///
    /// The order is what no message is lost by. A message queued before the flag is lowered is seen
    /// by `take`. One queued later finds the flag down and wakes again, or finds it raised by
    /// another sender that came later too, whose wake-up is still to be consumed. Were the flag
    /// lowered after `take`, a message between the two would lie there with nobody woken; were it
    /// lowered before `consume`, a wake-up between those two would be consumed with the flag up,
    /// and no later sender would wake.
    pub fn receive<R>(&self, consume: impl FnOnce(), take: impl FnOnce() -> R) -> R {
        consume();
        // An exchange, not a store: it costs the same, and takes its place in one chain with the
        // senders' exchanges, so that the model need not guess where between them it happened.
        self.pending.swap(false, Ordering::SeqCst);
        take()
    }

    /// Whether a message was sent since the receiver looked. It may be out of date: a hint.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }
}
