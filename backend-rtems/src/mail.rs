//! The part of a channel that others reach: its queue, the letters in which messages lie, and the gate.
//!
//! It promises what [`crate::memory`] does of messages, to channels that wait in the queue and to those
//! that wait elsewhere and only look into it. It does not know how its receiver is woken.

use crate::cell::Cell;
use crate::gate::Life;
use crate::memory::{Claim, Control, Letter, Room, post, post_cell};
use crate::queue::{Entry, Patience, Queue, Sender, StatusCode};
use crate::{channel::StartError, task};
use capuchin_core::event::{Full, Interest, Message, Notifier, Token};

/// The receiving end; it has the room's memory for as long as it lives.
#[derive(Debug)]
pub struct Mail {
    pub(crate) queue: Queue,
    cells: &'static [Cell],
    letters: &'static [Letter],
    life: Life,
    /// After the queue, so that the memory is given back when that is deleted.
    claim: Claim,
}

impl Mail {
    /// A queue in `room` with places for its cells and for `messages` messages. The cells are as at the
    /// beginning.
    ///
    /// # Errors
    /// [`StartError::InUse`], [`StartError::Messages`], [`StartError::Queue`].
    #[inline(always)]
    pub fn new(room: Room, messages: usize) -> Result<Self, StartError> {
        let letters = room
            .letters
            .get(..messages)
            .filter(|letters| !letters.is_empty())
            .ok_or(StartError::Messages)?;
        let places = room.cells.len() + messages;
        if places > room.area.places() {
            return Err(StartError::Messages);
        }
        let claim = room.claim().ok_or(StartError::InUse)?;
        let queue = Queue::new(room.area, places).map_err(StartError::Queue)?;
        letters.iter().for_each(Letter::give);
        room.cells.iter().for_each(Cell::reset);
        Ok(Self {
            queue,
            cells: room.cells,
            letters,
            life: room.control.gate.open(),
            claim,
        })
    }

    /// The oldest message; `None` when there is none.
    ///
    /// # Errors
    /// The status code of the queue.
    pub fn take(&mut self) -> Result<Option<Message>, StatusCode> {
        loop {
            match self.receive(Patience::None)? {
                None => return Ok(None),
                Some(Delivery::Message(message)) => return Ok(Some(message)),
                Some(Delivery::Knock) => {}
            }
        }
    }

    /// The oldest delivery; `None` when there was none in time.
    ///
    /// # Errors
    /// The status code of the queue.
    pub fn receive(&mut self, patience: Patience) -> Result<Option<Delivery>, StatusCode> {
        Ok(self.queue.receive(patience)?.map(|entry| match entry {
            Entry::Letter(index) => Delivery::Message(self.open(index)),
            Entry::Cell(index) => {
                if let Some(cell) = self.cells.get(index as usize) {
                    cell.look();
                }
                Delivery::Knock
            }
        }))
    }

    /// For whoever is to wake the receiver without a message; `None` where the room has no cell. All
    /// knockers are one: what they knock between two deliveries is one [`Delivery::Knock`].
    #[must_use]
    pub fn knocker(&self) -> Option<Knocker> {
        let cell = self.cells.first()?;
        if !cell.is_watched() {
            cell.begin((self.queue.sender().0, 0), NOBODY, Interest::NONE);
        }
        Some(Knocker {
            cell,
            control: self.claim.0,
            life: self.life,
        })
    }

    /// The message in a letter, of which an entry was just received.
    #[inline(always)]
    pub(crate) fn open(&self, index: u32) -> Message {
        // SAFETY: entries for letters are posted by `post` alone, which has written it, in this life:
        // the queue and the letters are this one's.
        unsafe { self.letters[index as usize].open() }
    }

    /// A sending end.
    #[must_use]
    pub fn notifier(&self) -> RtemsNotifier {
        RtemsNotifier {
            queue: self.queue.sender(),
            control: self.claim.0,
            letters: self.letters,
            life: self.life,
        }
    }
}

/// What [`Mail::receive`] brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// From a notifier.
    Message(Message),
    /// Somebody knocked.
    Knock,
}

/// A knocker's cell is no socket's.
const NOBODY: Token = Token {
    index: 0,
    generation: 0,
};

/// Wakes the receiver of a [`Mail`], from any task and from interrupt handlers: a network card's, say.
/// Knocks that nobody has heard yet are one.
#[derive(Clone, Copy, Debug)]
pub struct Knocker {
    cell: &'static Cell,
    control: &'static Control,
    life: Life,
}

impl Knocker {
    /// Knocks. What was written before is seen by whoever is woken. Nothing once the mail is gone.
    pub fn knock(&self) {
        // Until the end of this function the queue is there.
        let inside = self.control.gate.enter(self.life);
        if inside.is_some() && self.cell.notice() {
            post_cell(self.cell);
        }
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        // Whoever is inside was overtaken in the middle of a send: less urgent tasks go on only while
        // this one sleeps.
        self.claim.0.gate.close();
        while !self.claim.0.gate.is_empty() {
            task::wake_after(1);
        }
    }
}

/// Sends messages to a worker on RTEMS, from any task and from interrupt handlers. After its channel
/// is gone every message is [`Full`], also when another channel has its memory.
///
/// A channel that goes waits for those who are sending at that moment: a task must not be suspended or
/// deleted by another in the middle of it.
#[derive(Clone, Copy, Debug)]
pub struct RtemsNotifier {
    queue: Sender,
    control: &'static Control,
    letters: &'static [Letter],
    life: Life,
}

impl RtemsNotifier {
    /// Queues `message`, then calls `wake`, at a time when the channel is sure to be there.
    ///
    /// # Errors
    /// [`Full`]; `wake` is not called then.
    pub fn send_and(&self, message: Message, wake: impl FnOnce()) -> Result<(), Full> {
        post(self.control, self.letters, self.life, message, |entry| {
            self.queue.send(entry)?;
            wake();
            Ok(())
        })
    }
}

impl Notifier for RtemsNotifier {
    fn send(&self, message: Message) -> Result<(), Full> {
        self.send_and(message, || {})
    }
}
