//! A wire between two machines.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ethernet's longest frame.
const FRAME: usize = 1_514;

/// Frames on their way to one machine, and what is called when one is put there: its card's interrupt.
#[derive(Default)]
struct Lane {
    frames: Mutex<VecDeque<Vec<u8>>>,
    interrupt: Mutex<Option<Box<dyn Fn() + Send>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One machine's card.
pub struct Card {
    incoming: Arc<Lane>,
    outgoing: Arc<Lane>,
}

/// Two cards that a wire connects.
pub fn cards() -> (Card, Card) {
    let (left, right) = (Arc::<Lane>::default(), Arc::<Lane>::default());
    (
        Card {
            incoming: left.clone(),
            outgoing: right.clone(),
        },
        Card {
            incoming: right,
            outgoing: left,
        },
    )
}

impl Card {
    /// Puts a frame on the wire that no stack made.
    #[allow(dead_code, reason = "one of two programs that use this")]
    pub fn put(&self, frame: Vec<u8>) {
        lock(&self.outgoing.frames).push_back(frame);
    }

    /// Takes the next frame off it.
    #[allow(dead_code, reason = "as above")]
    pub fn take(&self) -> Option<Vec<u8>> {
        lock(&self.incoming.frames).pop_front()
    }

    /// From now on the card interrupts by `handler`, in the sender's thread.
    pub fn on_interrupt(&self, handler: impl Fn() + Send + 'static) {
        *lock(&self.incoming.interrupt) = Some(Box::new(handler));
    }
}

impl capuchin_stack::Card for Card {
    /// Channels follow one another here, and their memory stays: the last is knocked for ever.
    fn knock_with(&mut self, knocker: Option<capuchin_rtems::Knocker>) {
        if let Some(knocker) = knocker {
            self.on_interrupt(move || knocker.knock());
        }
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = lock(&self.incoming.frames).pop_front()?;
        Some((Received(frame), Sending(&self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

pub struct Sending<'c>(&'c Lane);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        lock(&self.0.frames).push_back(frame);
        if let Some(interrupt) = &*lock(&self.0.interrupt) {
            interrupt();
        }
        result
    }
}
