//! Content that changes after its response was written and before any of it was sent.
//!
//! The head promises a length and an entity tag that no longer hold, but the client has seen nothing of it.
//! The service is asked once more, and finds what is there now. If that changes, too, the client gets 503
//! with `Retry-After`. Content that changes later ends the connection: see [`Content::Gone`].

use super::replies::counter_of;
use super::*;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// Takes the response back and makes another in its place.
    #[inline(never)]
    pub(super) fn ask_again(&mut self, slot: &mut Slot, token: Token) -> Flow {
        let Some(lease) = slot.lease else {
            return Some(Want::Abort);
        };
        self.take_back(slot);
        let is_second = slot.flags.has(Flags::ASKED_AGAIN);
        slot.flags.set(Flags::ASKED_AGAIN);
        let mut made = Made::NOTHING;
        let next = if is_second {
            let at = usize::from(slot.out_end);
            let room = self.reply_room();
            let terms = terms!(self, slot);
            let output = self.leases.bytes(lease).get_mut(at..at + room);
            output.map(|output| {
                let mut draft = Draft::new(output, terms, &mut made);
                let why = "the file is being changed";
                draft.reply().refused(Status::SERVICE_UNAVAILABLE, &why)
            })
        } else {
            self.ask_service(slot, token, lease, &mut made)
        };
        // Where a request was answered there was room for it, behind what is still to be sent.
        let Some(next) = next else {
            return Some(Want::Abort);
        };
        self.act(slot, token, &next, &made);
        GO_ON
    }

    /// Takes back a response of which nothing was sent.
    pub(super) fn take_back(&mut self, slot: &mut Slot) {
        if let Tail::Site { id, .. } = slot.tail {
            self.service.release(id);
        }
        slot.tail = Tail::None;
        slot.out_end = slot.collected;
        slot.flags.clear(Flags::REPLIED);
        self.stats.take_back(counter_of(slot.status));
        slot.status = 0;
    }
}

/// Whether nothing of the response under way was sent.
pub(super) fn is_untouched(slot: &Slot) -> bool {
    // Its head comes first: while that is in the buffer to its first byte, nothing behind it was sent either.
    slot.lease.is_some() && slot.has_output() && slot.out <= slot.collected
}
