//! The event channel: waits on the message queue, and has the stack work in between.

use crate::net::Net;
use crate::places::Watch;
use capuchin_core::event::{Deadline, Error, Event, EventChannel, EventList, Interest, Token};
use capuchin_core::transport::{Clock, Socket};
use capuchin_rtems::task::Turns;
use capuchin_rtems::{
    Delivery, KEPT_FOR_MESSAGES, Knocker, Mail, Patience, RtemsNotifier, StartError, StatusCode,
    TickClock, ticks_of,
};
use core::cell::RefCell;
use smoltcp::phy::Device;

/// A card that tells of itself.
pub trait Card: Device {
    /// From now on this is knocked when the card has something, or nobody is any more: the memory behind what
    /// was knocked before is then somebody else's. A card that has something before anybody is knocked keeps it.
    fn knock_with(&mut self, knocker: Option<Knocker>);
}

/// Waits on a Classic API message queue for messages and for the card's knocks; the contract is that of
/// [`EventChannel`].
#[derive(Debug)]
pub struct StackChannel<'n, D: Card> {
    net: &'n RefCell<Net<D>>,
    /// Its number among those of the same stack.
    number: u32,
    mail: Mail,
    clock: TickClock,
    turns: Turns,
}

impl<'n, D: Card> StackChannel<'n, D> {
    /// The channel of the worker that has `net`, whose card knocks on it from now on.
    ///
    /// # Errors
    /// [`StartError::Messages`] where the mail's memory has no cell for the card.
    pub fn new(net: &'n RefCell<Net<D>>, mail: Mail) -> Result<Self, StartError> {
        let knocker = mail.knocker().ok_or(StartError::Messages)?;
        net.borrow_mut().device().knock_with(Some(knocker));
        let number = net.borrow_mut().new_channel();
        Ok(Self {
            net,
            number,
            mail,
            clock: TickClock::new(),
            turns: Turns::new(),
        })
    }

    /// Reports sockets that are ready.
    fn look(&self, events: &mut EventList) {
        self.net
            .borrow_mut()
            .ready(self.number, &mut |token, readiness| {
                let has_room = events.room() > KEPT_FOR_MESSAGES;
                has_room && events.push(Event::Ready { token, readiness })
            });
    }

    /// Waits up to so many milliseconds (`None`: for ever), then takes what else the queue has.
    fn listen(&mut self, events: &mut EventList, wait: Option<u64>) -> Result<(), Error> {
        let mut patience = patience(wait);
        while events.room() > 0 {
            let delivery = self
                .mail
                .receive(patience)
                .map_err(|StatusCode(code)| Error::System(code as i32))?;
            match delivery {
                Some(Delivery::Message(message)) => {
                    let taken = events.push(Event::Message(message));
                    debug_assert!(taken, "there was room");
                }
                Some(Delivery::Knock) => {}
                None => {
                    if patience != Patience::None {
                        self.turns.slept();
                    }
                    return Ok(());
                }
            }
            patience = Patience::None;
        }
        Ok(())
    }
}

impl<D: Card> EventChannel for StackChannel<'_, D> {
    type Notifier = RtemsNotifier;

    fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
        let mut net = self.net.borrow_mut();
        let watch = net.watch(socket).filter(|watch| watch.is_none());
        *watch.ok_or(Error::Registration)? = Some(Watch {
            channel: self.number,
            token,
            interest,
        });
        Ok(())
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), Error> {
        let mut net = self.net.borrow_mut();
        let watch = net.watch(socket).and_then(Option::as_mut);
        let watch = watch.ok_or(Error::Registration)?;
        (watch.token, watch.interest) = (token, interest);
        Ok(())
    }

    fn remove(&mut self, socket: Socket) -> Result<(), Error> {
        let mut net = self.net.borrow_mut();
        let watch = net.watch(socket).and_then(Option::take);
        watch.map(drop).ok_or(Error::Registration)
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
        events.clear();
        let begin = self.clock.monotonic();
        loop {
            self.turns.begin();
            let now = self.clock.monotonic();
            self.net.borrow_mut().poll(now);
            self.look(events);
            // Rounded up: a part of a millisecond may have passed before the first look.
            let left = match until {
                _ if events.room() < EventList::CAPACITY => Some(0),
                Deadline::Now | Deadline::After(0) => Some(0),
                Deadline::After(wait) => Some((begin + u64::from(wait) + 1).saturating_sub(now)),
                Deadline::Never => None,
            };
            let wait = if left == Some(0) {
                left
            } else {
                let stack = self.net.borrow_mut().delay(now);
                left.into_iter().chain(stack).min()
            };
            self.listen(events, wait)?;
            if left == Some(0) || events.room() < EventList::CAPACITY {
                return Ok(());
            }
        }
    }

    fn notifier(&self) -> RtemsNotifier {
        self.mail.notifier()
    }
}

/// How long the clients of connections that were closed last may take to take what was sent, in milliseconds.
const FAREWELL_MS: u64 = 1_000;

impl<D: Card> Drop for StackChannel<'_, D> {
    fn drop(&mut self) {
        let end = self.clock.monotonic() + FAREWELL_MS;
        loop {
            let now = self.clock.monotonic();
            let mut net = self.net.borrow_mut();
            net.poll(now);
            if net.is_settled() || now >= end {
                break;
            }
            let wait = net.delay(now).map_or(end - now, |wait| wait.min(end - now));
            drop(net);
            // What comes now comes too late.
            let _ = self.mail.receive(patience(Some(wait)));
        }
        self.net.borrow_mut().device().knock_with(None);
    }
}

/// Up to so many milliseconds; `None`: for ever.
fn patience(wait: Option<u64>) -> Patience {
    match wait {
        Some(0) => Patience::None,
        Some(wait) => Patience::Ticks(ticks_of(u32::try_from(wait).unwrap_or(u32::MAX))),
        None => Patience::Endless,
    }
}
