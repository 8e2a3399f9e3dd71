//! The way of nearly all requests, in one piece: a head that comes whole and alone, and a reply that the
//! socket takes whole. Nothing of either is left then, and the connection's state is what it was before.
//!
//! Whatever is not so is left to the general way, which goes on from where this came to and would have
//! done the same.
//!
//! A head that came before, byte for byte, is not read again where the service remembers it: what it means is the
//! same. Nor are heads of a pipeline that repeat the one before them.

use super::output::send_parts;
use super::requests::{Asked, is_last};
use super::*;
use crate::http::fields::Name;
use crate::site::ContentId;

/// What came of sending a reply in one go.
struct Offer {
    result: Result<usize, Flushed>,
    /// Bytes that the socket was given.
    length: usize,
    /// Whether that was the whole reply.
    is_all: bool,
}

impl Offer {
    fn is_done(&self) -> bool {
        self.is_all && matches!(self.result, Ok(sent) if sent == self.length)
    }
}

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// Whether a connection is between two requests, and nothing is to be heeded besides.
    #[inline(always)]
    fn may_go_straight(&self, slot: &Slot) -> bool {
        matches!(slot.state, State::Idle | State::Fresh)
            && slot.lease.is_none()
            && !slot.flags.has(Flags::EOF)
            && !self.draining
    }

    /// One request and its reply, within `budget`; [`GO_ON`] leaves what there is to do to the general way, within
    /// what is left of it. It is for connections whose socket may have bytes and before which no other waits for
    /// a lease.
    #[inline(always)]
    pub fn straight(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        if self.may_go_straight(slot) {
            self.go_straight(slot, token, budget)
        } else {
            GO_ON
        }
    }

    #[inline(never)]
    fn go_straight(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        debug_assert_eq!((slot.head, slot.start, slot.end), (0, 0, 0));
        debug_assert_eq!((slot.out, slot.out_end), (0, 0));
        // The last bytes of a lease that is not taken are the pool's; no receive comes so far.
        let Some(lease) = self.leases.first() else {
            return GO_ON;
        };
        let limit = self.receive_limit();
        if let Some(want) = self.receive(slot, lease, limit, budget) {
            return Some(want);
        }
        if slot.end == 0 {
            return GO_ON;
        }
        let recalled = self.send_recalled(slot, lease, budget);
        if recalled.as_ref().is_some_and(Offer::is_done) {
            self.count_unparsed(slot, budget);
            // Nothing was parsed: all else is as the last reply left it.
            slot.end = 0;
            slot.state = State::Idle;
            slot.flags.set(Flags::REARM);
            return read_on(budget);
        }
        slot.lease = self.leases.take();
        debug_assert_eq!(slot.lease, Some(lease));
        self.stats.count(Counter::LeasesTaken);
        (slot.out, slot.out_end) = (slot.end, slot.end);
        if let Some(offer) = recalled {
            return self.recalled_in_part(slot, token, lease, offer);
        }
        let mut made = Made::NOTHING;
        let asked = match self.parse_and_ask(slot, token, lease, &mut made) {
            // The general way is told the same again.
            Err(_) | Ok(Asked::Incomplete) => return GO_ON,
            Ok(asked) => asked,
        };
        budget.requests -= 1;
        let Asked::Service(next) = asked else {
            return GO_ON;
        };
        let sent = if is_simple(slot, &next, &made) {
            self.remember(slot, lease, &made);
            self.send_made(slot, lease, &made, budget)
        } else {
            None
        };
        let Some(offer) = sent else {
            self.act(slot, token, &next, &made);
            self.answer_repeats(slot, lease, &made, budget);
            return GO_ON;
        };
        if !offer.is_done() {
            self.act(slot, token, &next, &made);
            return self.sent_in_part(slot, offer);
        }
        self.count_reply(made.status);
        slot.status = made.status.code();
        slot.count = made.content.length();
        if let Source::Content(id, _) = made.content {
            self.service.release(id);
        }
        self.reply_done(slot, token);
        self.drop_lease(slot, lease);
        read_on(budget)
    }

    /// Sends the reply to a head that the service remembers.
    #[inline(always)]
    fn send_recalled(&mut self, slot: &mut Slot, lease: LeaseId, budget: &Budget) -> Option<Offer> {
        if is_last(slot, &self.limits) || self.service.observes() {
            return None;
        }
        let head = &self.leases.bytes(lease)[..usize::from(slot.end)];
        let (now, unix_time) = (self.now, self.unix_time);
        // Between two requests `route` holds the site's hint.
        let id = self.service.recall(head, &mut slot.route, now, unix_time)?;
        self.send_prepared(slot, id, budget)
    }

    /// Has the service remember a head that came alone, if its reply depends on nothing else.
    #[inline(always)]
    fn remember(&mut self, slot: &Slot, lease: LeaseId, made: &Made) {
        let Some(id) = made.whole.filter(|_| !slot.flags.has(Flags::OBSERVED)) else {
            return;
        };
        let (bytes, fields) = self.leases.parts(lease);
        let bytes = &bytes[..usize::from(slot.end)];
        let head = Head::new(&slot.parser, bytes, fields);
        if !head.has_any(&[Name::Authorization, Name::Cookie]) {
            self.service.remember(bytes, id);
        }
    }

    #[inline(always)]
    fn send_prepared(&mut self, slot: &Slot, id: ContentId, budget: &Budget) -> Option<Offer> {
        let reply = self.service.prepared(id, &self.opening)?;
        if reply.len() > budget.bytes {
            return None;
        }
        let length = reply.len();
        let result = self.transport.send(slot.socket, &[reply], Then::Nothing);
        Some(Offer {
            result: self.note_send(result),
            length,
            is_all: true,
        })
    }

    /// Sends a simple reply, of whose content at least the begin is at hand.
    #[inline(always)]
    fn send_made(
        &mut self,
        slot: &Slot,
        lease: LeaseId,
        made: &Made,
        budget: &Budget,
    ) -> Option<Offer> {
        let length = made.content.length();
        if let Some(id) = made.whole
            && let Some(offer) = self.send_prepared(slot, id, budget)
        {
            debug_assert_eq!(offer.length, made.bytes());
            return Some(offer);
        }
        if length > budget.bytes as u64 {
            return None;
        }
        // What follows the head.
        let part = match made.content {
            Source::Written(_) => &[][..],
            Source::Static(bytes) => bytes,
            Source::Content(id, ref range) if length > 0 => {
                match self.service.content(id, range.clone()) {
                    Content::Bytes(part) => part,
                    _ => return None,
                }
            }
            Source::Content(..) | Source::Parts { .. } | Source::Stream { .. } => return None,
        };
        let is_all = matches!(made.content, Source::Written(_)) || part.len() as u64 == length;
        let at = usize::from(slot.out);
        let head = &self.leases.bytes(lease)[at..at + made.written];
        let offered = head.len() + part.len();
        let result = send_parts(&mut self.transport, slot, head, part, is_all);
        Some(Offer {
            result: self.note_send(result),
            length: offered,
            is_all,
        })
    }

    /// Not all of a prepared reply was taken: it is made anew, to be sent from where the socket stopped.
    #[inline(never)]
    fn recalled_in_part(
        &mut self,
        slot: &mut Slot,
        token: Token,
        lease: LeaseId,
        offer: Offer,
    ) -> Flow {
        let mut made = Made::NOTHING;
        let asked = self.parse_and_ask(slot, token, lease, &mut made);
        let Ok(Asked::Service(next)) = asked else {
            return Some(Want::Abort);
        };
        self.act(slot, token, &next, &made);
        // The same head in the same turn gets the same reply. Were it not so, it could not go on.
        debug_assert_eq!(offer.length, made.bytes());
        if offer.length != made.bytes() {
            return Some(Want::Abort);
        }
        self.sent_in_part(slot, offer)
    }

    /// Answers requests that repeat the one just answered, as far as they lie in the lease.
    #[inline(always)]
    pub(super) fn answer_repeats(
        &mut self,
        slot: &mut Slot,
        lease: LeaseId,
        made: &Made,
        budget: &mut Budget,
    ) {
        if let Some(id) = made.whole
            && slot.state == State::Idle
            && slot.start != slot.end
            && !self.service.observes()
        {
            self.answer_again(slot, lease, id, budget);
        }
    }

    #[inline(never)]
    fn answer_again(
        &mut self,
        slot: &mut Slot,
        lease: LeaseId,
        id: ContentId,
        budget: &mut Budget,
    ) {
        let length = usize::from(slot.start - slot.head);
        #[cfg(feature = "fault")]
        let reply_room = self.reply_room();
        while budget.requests > 0 && !is_last(slot, &self.limits) {
            let bytes = self.leases.bytes(lease);
            let (input, output) = bytes.split_at_mut(usize::from(slot.end));
            let (head, rest) = input[usize::from(slot.head)..].split_at(length);
            if !rest.starts_with(head) {
                return;
            }
            let Some(reply) = self.service.prepared(id, &self.opening) else {
                return;
            };
            let used = usize::from(slot.out_end - slot.end);
            #[cfg(feature = "fault")]
            if self.keeps_room && output.len() - used < reply_room {
                return;
            }
            let room = output.get_mut(used..used + reply.len());
            let Some(room) = room.filter(|room| room.len() <= COPY_LIMIT) else {
                return;
            };
            room.copy_from_slice(reply);
            slot.out_end += reply.len() as u16;
            slot.head = slot.start;
            slot.start += length as u16;
            self.count_unparsed(slot, budget);
        }
    }

    /// One more request of a connection was answered, without a look at more than its head's bytes.
    #[inline(always)]
    fn count_unparsed(&self, slot: &mut Slot, budget: &mut Budget) {
        slot.sequence = slot.sequence.wrapping_add(1);
        budget.requests -= 1;
        self.stats.count(Counter::Requests);
        self.count_reply(Status::OK);
    }

    /// Not all of a reply, which the slot has by now, was at hand or taken by the socket.
    #[inline(never)]
    fn sent_in_part(&mut self, slot: &mut Slot, offer: Offer) -> Flow {
        match offer.result {
            Ok(sent) => {
                let pending = usize::from(slot.out_end - slot.out);
                self.sent(slot, sent, pending);
                if sent == offer.length {
                    return GO_ON;
                }
                self.drop_hollow_lease(slot);
                Some(Want::Write)
            }
            Err(blocked) => Some(blocked.want()),
        }
    }
}

/// Whether a reply was made after which the connection is as it was: nothing of the request is left, and nothing
/// has to be told at its end.
#[inline(always)]
fn is_simple(slot: &Slot, next: &Next, made: &Made) -> bool {
    matches!(next.0, Step::Reply)
        && made.written > 0
        && slot.start == slot.end
        && !made.close
        && !slot.flags.has(Flags::CLOSE | Flags::HEAD_ONLY)
        && slot.body.is_done()
}

/// What follows a reply that was sent whole: another receive where there may be more bytes, or waiting for them.
#[inline(always)]
fn read_on(budget: &Budget) -> Flow {
    if budget.readable {
        GO_ON
    } else {
        Some(Want::Read)
    }
}
