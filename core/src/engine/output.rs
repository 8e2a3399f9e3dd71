//! Bytes out, and the leases that they lie in.

use super::changed::is_untouched;
use super::*;
use crate::http::byteranges;

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

    /// Sends the lease's output and then the tail, unless that is a stream.
    pub(super) fn flush(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flushed {
        loop {
            let output: &[u8] = match slot.lease {
                Some(lease) => {
                    &self.leases.bytes(lease)[usize::from(slot.out)..usize::from(slot.out_end)]
                }
                None => &[],
            };
            let pending = output.len();
            let share = budget.bytes.max(1);
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
                    Content::Gone if is_untouched(slot) => return Flushed::Changed,
                    Content::Gone => return Flushed::Broken,
                },
            };
            let sent = match self.note_send(result) {
                Ok(sent) => sent,
                Err(blocked) => return blocked,
            };
            if self.sent(slot, sent, pending) {
                return Flushed::All;
            }
            if sent < offered {
                return Flushed::Blocked;
            }
            if matches!(slot.tail, Tail::Static(_) | Tail::Site { .. }) && pending == 0 {
                budget.bytes = budget.bytes.saturating_sub(sent);
                if budget.bytes == 0 {
                    return Flushed::Share;
                }
            }
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
        slot.flags.set(Flags::REARM);
        let from_lease = sent.min(pending);
        slot.out += from_lease as u16;
        let rest = sent - from_lease;
        match &mut slot.tail {
            Tail::None | Tail::Stream { .. } => return from_lease == pending,
            Tail::Static(bytes) => {
                slot.count += rest as u64;
                *bytes = &bytes[rest..];
                if !bytes.is_empty() || from_lease < pending {
                    return false;
                }
            }
            Tail::Site {
                id, at, end, plan, ..
            } => {
                slot.count += rest as u64;
                *at += rest as u64;
                if *at < *end || from_lease < pending {
                    return false;
                }
                if *plan > 0 {
                    self.begin_part(slot);
                    return false;
                }
                self.service.release(*id);
            }
        }
        slot.tail = Tail::None;
        true
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
            if !self.leases_promised {
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
