//! A request whose site has no answer yet, and a response whose content is not at hand yet.
//!
//! The connection keeps what it needs, reads nothing, and waits for its ticket, no longer than a handler may
//! take. The request's head stays in the buffer: the service is asked again by the same bytes. Neither its
//! time nor what else the service does depends on the client, so the deadline is that of a handler.

use super::changed::is_untouched;
use super::requests::path_of;
use super::*;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    fn waits(&mut self, slot: &Slot, token: Token) -> bool {
        self.service.wait_for(Ticket {
            connection: token,
            sequence: slot.sequence,
            worker: self.worker,
        })
    }

    /// The service has not found yet what the request names.
    #[inline(never)]
    pub(super) fn wait_to_ask(&mut self, slot: &mut Slot, token: Token) {
        let next = if self.waits(slot, token) {
            State::Finding
        } else {
            State::Asking
        };
        if matches!(slot.state, State::Finding | State::Asking) {
            // The same deadline, however often the service is asked.
            slot.state = next;
        } else {
            slot.enter(next);
        }
    }

    /// The service may have found it by now.
    #[inline(never)]
    pub(super) fn ask_waiting(
        &mut self,
        slot: &mut Slot,
        token: Token,
        budget: &mut Budget,
    ) -> Flow {
        let Some(lease) = slot.lease else {
            return Some(Want::Abort);
        };
        if budget.requests == 0 {
            return Some(self.flushed_or(slot, budget, Want::Turn));
        }
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        budget.requests -= 1;
        let mut made = Made::NOTHING;
        let Some(next) = self.ask_service(slot, token, lease, &mut made) else {
            return Some(Want::Abort);
        };
        budget.charge(self.service.cost() as usize);
        self.act(slot, token, &next, &made);
        GO_ON
    }

    /// Hands the request whose head is in the buffer to the service once more. `None` when there is no room for a
    /// response, as there was when it was asked first.
    pub(super) fn ask_service(
        &mut self,
        slot: &mut Slot,
        token: Token,
        lease: LeaseId,
        made: &mut Made,
    ) -> Option<Next> {
        let at = usize::from(slot.out_end);
        let room = self.reply_room();
        let terms = terms!(self, slot);
        let (bytes, fields) = self.leases.parts(lease);
        let (before, output) = bytes.split_at_mut(at);
        let mut draft = Draft::new(output.get_mut(..room)?, terms, made);
        let head = &before[usize::from(slot.head)..usize::from(slot.start)];
        let head = Head::new(&slot.parser, head, fields);
        // It was one when the request was answered first.
        let path = path_of(&head, self.scratch).unwrap_or(b"/");
        let mut exchange = exchange!(self, slot, token);
        let request = Request::new(head, path);
        Some(self.service.request(&mut exchange, &request, &mut draft))
    }

    /// The next bytes of a response's content are not at hand.
    #[inline(never)]
    pub(super) fn wait_for_content(&mut self, slot: &mut Slot, token: Token) -> Flow {
        if !self.waits(slot, token) {
            return Some(Want::Turn);
        }
        slot.enter(State::Loading);
        self.drop_hollow_lease(slot);
        Some(Want::Ticket)
    }

    /// Bytes of earlier responses, which need not wait for this one's content.
    pub(super) fn sent_before(slot: &Slot) -> usize {
        // Once all of the head was sent the buffer may be gone, and its positions mean nothing.
        if slot.count == 0 && slot.has_output() {
            usize::from(slot.collected.saturating_sub(slot.out))
        } else {
            0
        }
    }

    /// The deadline of content passed. Whether the client has seen nothing of its response, which is taken back
    /// then, so that another can be given.
    pub fn give_up_content(&mut self, slot: &mut Slot) -> bool {
        if !is_untouched(slot) {
            return false;
        }
        self.take_back(slot);
        true
    }
}
