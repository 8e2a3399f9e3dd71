//! The body of a request: to the handler in pieces, collected, or thrown away.

use super::output::is_progress;
use super::requests::path_of;
use super::*;
use crate::http::fields::Field;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn body(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let (start, end) = (usize::from(slot.start), usize::from(slot.end));
        let before = slot.body;
        let step = match slot.lease {
            Some(lease) => slot.body.advance(&self.leases.bytes(lease)[start..end]),
            None => slot.body.advance(&[]),
        };
        match step {
            Ok(ChunkStep::Data {
                start: from,
                end: to,
            }) => {
                slot.start += to as u16;
                if slot.state == State::Discarding {
                    return self.thrown_away(slot, to);
                }
                slot.count += (to - from) as u64;
                self.piece(slot, token, start + from..start + to, (start, before))
            }
            Ok(ChunkStep::Incomplete { consumed }) => {
                slot.start += consumed as u16;
                if slot.state == State::Discarding {
                    self.thrown_away(slot, consumed);
                    if slot.state == State::Closing {
                        return GO_ON;
                    }
                }
                self.more(slot, token, budget)
            }
            Ok(ChunkStep::End { consumed }) => {
                slot.start += consumed as u16;
                if slot.state == State::Discarding {
                    // Counted, too: the limit must not depend on where the body was split on its way.
                    self.thrown_away(slot, consumed);
                    if slot.state == State::Closing {
                        return GO_ON;
                    }
                }
                self.body_ended(slot, token, budget)
            }
            Err(error) => {
                self.abandon(slot, token);
                if slot.state == State::Discarding {
                    // The reply to this request is out: nothing more can be said.
                    slot.flags.set(Flags::LINGER);
                    slot.enter(State::Closing);
                    return GO_ON;
                }
                self.refuse(slot, token, Status::from_error(error.status()), &error)
            }
        }
    }

    /// So many bytes were read for nothing. What frames chunks counts, too: with chunks of one byte
    /// it is most of what comes.
    fn thrown_away(&mut self, slot: &mut Slot, bytes: usize) -> Flow {
        slot.count += bytes as u64;
        if slot.count > self.limits.drain_bytes {
            slot.flags.set(Flags::LINGER);
            slot.enter(State::Closing);
        }
        GO_ON
    }

    /// One piece of a body, at these positions of the lease. `before` is what `slot.start` and
    /// `slot.body` were before it: where a handler that does not take it yet goes on.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn piece(
        &mut self,
        slot: &mut Slot,
        token: Token,
        at: core::ops::Range<usize>,
        before: (usize, Body),
    ) -> Flow {
        if slot.count > self.limits.body_bytes {
            self.abandon(slot, token);
            return self.refuse(
                slot,
                token,
                Status::CONTENT_TOO_LARGE,
                &"the body is longer than this server takes",
            );
        }
        let Some(lease) = slot.lease else {
            return Some(Want::Abort);
        };
        if slot.state == State::Collecting {
            if slot.count > u64::from(self.limits.collect_bytes) {
                self.abandon(slot, token);
                self.too_long_to_collect(slot, token);
                return GO_ON;
            }
            if is_progress(slot.count - at.len() as u64, slot.count) {
                slot.flags.set(Flags::REARM);
            }
            let length = at.len() as u16;
            self.leases
                .bytes(lease)
                .copy_within(at, usize::from(slot.collected));
            slot.collected += length;
            return GO_ON;
        }
        let length = at.len() as u64;
        let (bytes, fields) = self.leases.parts(lease);
        let request = request_of(slot, bytes, fields, self.scratch);
        let mut exchange = exchange!(self, slot, token);
        match self.service.body(&mut exchange, &request, &bytes[at]) {
            Ok(BodyProgress::Taken) => {}
            Ok(BodyProgress::Wait) => {
                slot.start = before.0 as u16;
                slot.body = before.1;
                slot.count -= length;
                slot.enter(State::Holding);
            }
            Err(refusal) if refusal.status == Status::from_error(refusal.status.code()) => {
                self.fail(slot, token, refusal.status, &refusal.reason);
            }
            Err(_) => self.broken_handler(
                slot,
                token,
                "a handler refused a body with a status that is no error",
            ),
        }
        GO_ON
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn body_ended(
        &mut self,
        slot: &mut Slot,
        token: Token,
        budget: &mut Budget,
    ) -> Flow {
        if slot.state == State::Discarding {
            self.next_request(slot);
            return GO_ON;
        }
        // The reply is written behind the input: that needs a lease, even if the body needed none.
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        let room = self.reply_room();
        let terms = terms!(self, slot);
        let (bytes, fields) = self.leases.parts(lease);
        let (input, output) = bytes.split_at_mut(usize::from(slot.end));
        let used = usize::from(slot.out_end - slot.end);
        let mut made = Made::NOTHING;
        let mut draft = Draft::new(&mut output[used..used + room], terms, &mut made);
        let request = request_of(slot, input, fields, self.scratch);
        let mut exchange = exchange!(self, slot, token);
        let next = if slot.state == State::Collecting {
            let head_end = usize::from(slot.head) + slot.parser.length();
            let collected = &input[head_end..usize::from(slot.collected)];
            self.service
                .collected(&mut exchange, &request, collected, &mut draft)
        } else {
            self.service.received(&mut exchange, &request, &mut draft)
        };
        budget.charge(self.service.cost() as usize);
        self.act(slot, token, &next, &made);
        GO_ON
    }
}

/// The request whose head stays in the lease while its body is read.
fn request_of<'b>(
    slot: &Slot,
    bytes: &'b [u8],
    fields: &'b [Field],
    scratch: &'b mut [u8],
) -> Request<'b> {
    let head_end = usize::from(slot.head) + slot.parser.length();
    let bytes = &bytes[usize::from(slot.head)..head_end];
    let head = Head::new(&slot.parser, bytes, fields);
    // It was decoded before, when the head came.
    let path = path_of(&head, scratch).unwrap_or(b"/");
    Request::new(head, path)
}
