//! Content that changes after its response was written and before any of it was sent.
//!
//! The head promises a length and an entity tag that no longer hold, but the client has seen nothing of it.
//! The service is asked once more, and finds what is there now. If that changes, too, the client gets 503
//! with `Retry-After`. Content that changes later ends the connection: see [`Content::Gone`].

use super::replies::counter_of;
use super::requests::path_of;
use super::*;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// Takes the response back and makes another in its place.
    #[inline(never)]
    pub(super) fn ask_again(&mut self, slot: &mut Slot, token: Token) -> Flow {
        let (Some(lease), Tail::Site { id, .. }) = (slot.lease, slot.tail) else {
            return Some(Want::Abort);
        };
        self.service.release(id);
        slot.tail = Tail::None;
        slot.out_end = slot.collected;
        slot.flags.clear(Flags::REPLIED);
        self.stats.take_back(counter_of(slot.status));
        let is_second = slot.flags.has(Flags::ASKED_AGAIN);
        slot.flags.set(Flags::ASKED_AGAIN);

        let at = usize::from(slot.out_end);
        let room = self.reply_room();
        let terms = terms!(self, slot);
        let (bytes, fields) = self.leases.parts(lease);
        let (before, output) = bytes.split_at_mut(at);
        // Where a request was answered there was room for it, behind what is still to be sent.
        let Some(output) = output.get_mut(..room) else {
            return Some(Want::Abort);
        };
        let mut made = Made::NOTHING;
        let mut draft = Draft::new(output, terms, &mut made);
        let next = if is_second {
            let why = "the file is being changed";
            draft.reply().refused(Status::SERVICE_UNAVAILABLE, &why)
        } else {
            let head = &before[usize::from(slot.head)..usize::from(slot.start)];
            let head = Head::new(&slot.parser, head, fields);
            // It was one when the request was answered first.
            let path = path_of(&head, self.scratch).unwrap_or(b"/");
            let mut exchange = exchange!(self, slot, token);
            let request = Request::new(head, path);
            self.service.request(&mut exchange, &request, &mut draft)
        };
        self.act(slot, token, &next, &made);
        GO_ON
    }
}

/// Whether nothing of the response under way was sent.
pub(super) fn is_untouched(slot: &Slot) -> bool {
    slot.lease.is_some() && slot.count == 0 && slot.out <= slot.collected
}
