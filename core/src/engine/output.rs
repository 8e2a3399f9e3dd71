//! Bytes out, and the leases that they lie in.

use super::changed::is_untouched;
use super::*;
use crate::http::byteranges;
use crate::limits::PROGRESS_SHIFT;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// Sends what is there; `want` once all of it is gone, else what it waits for.
    pub(super) fn flushed_or(&mut self, slot: &mut Slot, budget: &mut Budget, want: Want) -> Want {
        if !slot.has_output() {
            return want;
        }
        match self.flush(slot, budget) {
            Flushed::All => want,
            blocked => blocked.want(),
        }
    }

    /// Sends the lease's output and then the tail, unless that is a stream. The output is sent whatever is left of
    /// the budget, for it is no more than a lease holds and keeps that occupied; the tail within the budget.
    pub(super) fn flush(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flushed {
        let waited = slot.flags.has(Flags::BLOCKED);
        let mut most = if waited { FIRST_PIECE } else { usize::MAX };
        loop {
            let output: &[u8] = match slot.lease {
                Some(lease) => {
                    &self.leases.bytes(lease)[usize::from(slot.out)..usize::from(slot.out_end)]
                }
                None => &[],
            };
            let pending = output.len();
            // What is left for the tail.
            let mut share = budget.bytes.min(most).saturating_sub(pending);
            if share == 0 && matches!(slot.tail, Tail::Site { .. }) && is_untouched(slot) {
                // The head is not sent before the content was looked at: it may have changed.
                share = 1;
            }
            let (result, offered) = match slot.tail {
                Tail::None | Tail::Stream { .. } if pending == 0 => return Flushed::All,
                Tail::None | Tail::Stream { .. } => {
                    let then = if slot.state == State::Closing {
                        before_close(slot)
                    } else {
                        Then::Nothing
                    };
                    (self.transport.send(slot.socket, &[output], then), pending)
                }
                Tail::Static(_) | Tail::Site { .. } if pending == 0 && share == 0 => {
                    return Flushed::Share;
                }
                Tail::Site { .. } if share == 0 => {
                    let then = Then::More;
                    (self.transport.send(slot.socket, &[output], then), pending)
                }
                Tail::Static(rest) => {
                    let part = &rest[..rest.len().min(share)];
                    let last = part.len() == rest.len();
                    (
                        send_parts(&mut self.transport, slot, output, part, last),
                        pending + part.len(),
                    )
                }
                Tail::Site {
                    id, at, end, plan, ..
                } => match self
                    .service
                    .content(id, at..end.min(at.saturating_add(share as u64)))
                {
                    Content::Bytes([]) => return Flushed::Broken,
                    Content::Bytes(part) => {
                        let last = part.len() as u64 == end - at && plan == 0;
                        (
                            send_parts(&mut self.transport, slot, output, part, last),
                            pending + part.len(),
                        )
                    }
                    Content::File(_) if pending > 0 => {
                        let then = Then::More;
                        (self.transport.send(slot.socket, &[output], then), pending)
                    }
                    Content::File(file) => {
                        let length = (end - at).min(share as u64);
                        (
                            self.transport.send_file(slot.socket, file, at, length),
                            length as usize,
                        )
                    }
                    Content::Pending if S::WAITS => {
                        let before = Self::sent_before(slot);
                        if before == 0 {
                            return Flushed::Pending;
                        }
                        let output = &output[..before];
                        let then = Then::Nothing;
                        (self.transport.send(slot.socket, &[output], then), before)
                    }
                    Content::Gone if is_untouched(slot) => return Flushed::Changed,
                    Content::Pending | Content::Gone => return Flushed::Broken,
                },
            };
            budget.charge(offered);
            let sent = match self.note_send(result) {
                Ok(sent) => sent,
                Err(blocked) => {
                    budget.false_alarm = waited && most == FIRST_PIECE;
                    return blocked;
                }
            };
            if self.sent(slot, sent, pending) {
                return Flushed::All;
            }
            if sent < offered {
                return Flushed::Blocked;
            }
            most = usize::MAX;
        }
    }

    /// Counts a send and what came of it.
    #[inline(always)]
    pub(super) fn note_send(&self, result: Result<usize, Error>) -> Result<usize, Flushed> {
        self.stats.count(Counter::Sends);
        match result {
            Ok(sent) => {
                self.stats.add(Counter::BytesSent, sent);
                Ok(sent)
            }
            Err(Error::WouldBlock) => {
                self.stats.count(Counter::WouldBlock);
                Err(Flushed::Blocked)
            }
            Err(_) => {
                self.stats.count(Counter::Reset);
                Err(Flushed::Broken)
            }
        }
    }

    /// Takes note of sent bytes; tells whether nothing is left.
    pub(super) fn sent(&mut self, slot: &mut Slot, sent: usize, pending: usize) -> bool {
        let from_lease = sent.min(pending);
        let rest = (sent - from_lease) as u64;
        let (out, count) = (slot.out, slot.count);
        slot.out += from_lease as u16;
        let is_all = from_lease == pending
            && match &mut slot.tail {
                Tail::None | Tail::Stream { .. } => true,
                Tail::Static(bytes) => {
                    slot.count += rest;
                    *bytes = &bytes[rest as usize..];
                    bytes.is_empty()
                }
                Tail::Site { at, end, .. } => {
                    slot.count += rest;
                    *at += rest;
                    *at >= *end
                }
            };
        if is_all || is_progress(out.into(), slot.out.into()) || is_progress(count, slot.count) {
            slot.flags.set(Flags::REARM);
        }
        if is_all {
            match slot.tail {
                Tail::None | Tail::Stream { .. } => return true,
                Tail::Static(_) => {}
                Tail::Site { plan: 1.., .. } => {
                    self.begin_part(slot);
                    return false;
                }
                Tail::Site { id, .. } => self.service.release(id),
            }
            slot.tail = Tail::None;
        }
        is_all
    }

    /// Goes on to the next part of a response with several: its header, or behind the last part the
    /// closing delimiter, becomes the lease's output.
    #[inline(never)]
    fn begin_part(&mut self, slot: &mut Slot) {
        let (Some(lease), Tail::Site { id, plan, part, .. }) = (slot.lease, slot.tail) else {
            return;
        };
        let bytes = &mut self.leases.bytes(lease)[usize::from(plan)..];
        let (plan_bytes, room) = bytes.split_at_mut(byteranges::plan_length(bytes));
        let mut header = Writer::new(room);
        let range = byteranges::write_next(plan_bytes, part, &mut header);
        slot.out = plan + plan_bytes.len() as u16;
        slot.out_end = slot.out + header.len() as u16;
        slot.count += header.len() as u64;
        slot.tail = match range {
            Some(range) => Tail::Site {
                id,
                at: range.start,
                end: range.end,
                plan,
                part: part + 1,
            },
            None => {
                self.service.release(id);
                Tail::None
            }
        };
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub(super) fn lease_of(&mut self, slot: &mut Slot) -> Option<LeaseId> {
        if slot.lease.is_none() {
            // Before a request it has to be one that the connection may keep, for the request may come slowly. Later
            // on a lease is mostly needed for no longer than this turn.
            let may_keep = self.leases.can_keep() && !self.leases_promised;
            if may_keep || !slot.is_before_request() {
                slot.lease = self.leases.take();
            }
            if slot.lease.is_none() {
                self.stats.count(Counter::LeaseWaits);
                return None;
            }
            self.stats.count(Counter::LeasesTaken);
            (slot.head, slot.start, slot.end, slot.out, slot.out_end) = (0, 0, 0, 0, 0);
        }
        slot.lease
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub(super) fn drop_hollow_lease(&mut self, slot: &mut Slot) {
        if slot.is_hollow()
            && let Some(lease) = slot.lease
        {
            self.drop_lease(slot, lease);
        }
    }

    /// Gives back a slot's lease, in which nothing is left.
    #[inline(always)]
    pub(super) fn drop_lease(&mut self, slot: &mut Slot, lease: LeaseId) {
        slot.lease = None;
        self.leases.give(lease);
        self.stats.count(Counter::LeasesReturned);
        (slot.head, slot.start, slot.end, slot.out, slot.out_end) = (0, 0, 0, 0, 0);
    }

    /// Bytes of a lease that input may fill; the rest is a reply's.
    pub(super) fn receive_limit(&self) -> usize {
        self.request_bytes
    }

    /// Bytes that a handler's reply has, neither fewer nor more whatever came before it.
    pub(super) fn reply_room(&self) -> usize {
        self.leases.size() - self.request_bytes
    }

    /// A handler is promised room for its reply: earlier replies leave first if they take it.
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub(super) fn make_room(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        if slot.has_output() && self.room(slot) < self.reply_room() {
            match self.flush(slot, budget) {
                Flushed::All => {}
                blocked => return Some(blocked.want()),
            }
        }
        if !slot.has_output() {
            (slot.out, slot.out_end) = (slot.end, slot.end);
        }
        GO_ON
    }

    /// Bytes that were received and not used yet.
    pub(super) fn input(&mut self, slot: &Slot) -> &[u8] {
        match slot.lease {
            Some(lease) => {
                &self.leases.bytes(lease)[usize::from(slot.start)..usize::from(slot.end)]
            }
            None => &[],
        }
    }

    /// Bytes of the lease that are free for output.
    pub(super) fn room(&self, slot: &Slot) -> usize {
        let used = if slot.has_output() {
            slot.out_end
        } else {
            slot.end
        };
        self.leases.size() - usize::from(used)
    }
}

/// Whether moving on from one number of bytes to another counts as progress: only where a multiple of
/// [`crate::limits::PROGRESS_BYTES`] lies between, so that it takes as many on average.
pub(super) fn is_progress(before: u64, after: u64) -> bool {
    before >> PROGRESS_SHIFT != after >> PROGRESS_SHIFT
}

/// Sends what lies in the lease and what follows it, of which one may be empty. `last`: then the reply is sent.
#[cfg_attr(not(target_os = "rtems"), inline(always))]
pub(super) fn send_parts<T: Transport>(
    transport: &mut T,
    slot: &Slot,
    output: &[u8],
    part: &[u8],
    last: bool,
) -> Result<usize, Error> {
    let then = if last && slot.flags.has(Flags::CLOSE) {
        before_close(slot)
    } else {
        Then::Nothing
    };
    if output.is_empty() {
        transport.send(slot.socket, &[part], then)
    } else if part.is_empty() {
        transport.send(slot.socket, &[output], then)
    } else {
        transport.send(slot.socket, &[output, part], then)
    }
}

/// What follows the last bytes of a connection: its end, or that of one direction while what the client
/// has sent is still received.
fn before_close(slot: &Slot) -> Then {
    if slot.body.is_done() && slot.closes_at_once() {
        Then::End
    } else {
        Then::More
    }
}
