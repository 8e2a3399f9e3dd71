//! The way of nearly all requests, in one piece: a head that comes whole and alone, and a reply that the
//! socket takes whole. Nothing of either is left then, and the connection's state is what it was before.
//!
//! Whatever is not so is left to the general way, which goes on from where this came to and would have
//! done the same.

use super::output::send_parts;
use super::requests::Asked;
use super::*;

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
            && self.leases.has_free()
    }

    /// One request and its reply, within `budget`; [`GO_ON`] leaves what there is to do to the general way, within
    /// what is left of it. It is for connections whose socket may have bytes and before which no other waits for
    /// a lease.
    #[inline(always)]
    pub fn straight(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        if self.may_go_straight(slot) {
            self.leases_promised = false;
            self.go_straight(slot, token, budget)
        } else {
            GO_ON
        }
    }

    #[inline(never)]
    fn go_straight(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let Some(lease) = self.lease_of(slot) else {
            return GO_ON;
        };
        let limit = self.receive_limit();
        if let Some(want) = self.receive(slot, lease, limit, budget) {
            return Some(want);
        }
        (slot.out, slot.out_end) = (slot.end, slot.end);
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
        if !is_simple(slot, &next, &made) {
            self.act(slot, token, &next, &made);
            return GO_ON;
        }
        // What follows the head, and whether it is all.
        let share = 1..=budget.bytes as u64;
        let content = match made.content {
            Source::Written(_) => Some((&[][..], true)),
            Source::Static(bytes) => share
                .contains(&(bytes.len() as u64))
                .then_some((bytes, true)),
            Source::Content(id, ref range) if share.contains(&(range.end - range.start)) => {
                match self.service.content(id, range.clone()) {
                    Content::Bytes(part) => {
                        Some((part, part.len() as u64 == range.end - range.start))
                    }
                    _ => None,
                }
            }
            Source::Content(..) | Source::Stream { .. } => None,
        };
        let Some((part, is_all)) = content else {
            self.act(slot, token, &next, &made);
            return GO_ON;
        };
        let at = usize::from(slot.out);
        let head = &self.leases.bytes(lease)[at..at + made.written];
        let (offered, length) = (head.len() + part.len(), part.len());
        let result = send_parts(&mut self.transport, slot, head, part, is_all);
        let result = self.note_send(result);
        if !matches!(result, Ok(sent) if sent == offered) || !is_all {
            self.act(slot, token, &next, &made);
            return self.sent_in_part(slot, result, offered);
        }
        self.count_reply(made.status);
        slot.status = made.status.code();
        slot.count = match made.content {
            Source::Written(length) => length,
            _ => length as u64,
        };
        if let Source::Content(id, _) = made.content {
            self.service.release(id);
        }
        self.reply_done(slot, token);
        self.drop_lease(slot, lease);
        if budget.readable {
            GO_ON
        } else {
            Some(Want::Read)
        }
    }

    /// Not all of a reply, which the slot has by now, was at hand or taken by the socket.
    #[inline(never)]
    fn sent_in_part(
        &mut self,
        slot: &mut Slot,
        result: Result<usize, Flushed>,
        offered: usize,
    ) -> Flow {
        match result {
            Ok(sent) => {
                let pending = usize::from(slot.out_end - slot.out);
                self.sent(slot, sent, pending);
                if sent == offered {
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
