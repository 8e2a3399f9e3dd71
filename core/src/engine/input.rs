//! Bytes in, and their place in the lease.

use super::*;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// More bytes are needed to go on.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn more(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        if slot.has_output() {
            match self.flush(slot, budget) {
                Flushed::All => {}
                blocked => return Some(blocked.want()),
            }
        }
        if slot.flags.has(Flags::EOF) {
            return self.ended(slot, token);
        }
        if !budget.readable {
            self.drop_hollow_lease(slot);
            if self.draining && slot.is_before_request() && slot.start == slot.end {
                return Some(Want::Close);
            }
            return Some(Want::Read);
        }
        if budget.bytes == 0 {
            return Some(Want::Turn);
        }
        if slot.is_before_request() && self.leases.is_exhausted() {
            // What comes next must not stay in the last buffer.
            self.drop_hollow_lease(slot);
        }
        let Some(lease) = self.lease_of(slot) else {
            return if slot.is_before_request() {
                self.receive_whole_head(slot, budget)
            } else {
                Some(Want::Lease)
            };
        };
        self.close_gaps(slot);
        let mut limit = self.receive_limit();
        if let Body::Length(rest) = slot.body
            && self.leases.is_exhausted()
        {
            // Nor what comes after this body.
            let end = u64::from(slot.end).saturating_add(rest);
            limit = limit.min(usize::try_from(end).unwrap_or(limit));
        }
        let from = usize::from(slot.end);
        if from >= limit {
            // Heads and collected bodies are held to their limits before this, and what frames chunks is
            // consumed.
            debug_assert!(false, "the request's part of the lease is full");
            return Some(Want::Abort);
        }
        self.receive(slot, lease, limit, budget)
    }

    /// Receives a request that can be answered without a buffer to keep: its head is there to the end, and it has no
    /// body. The last buffer serves all such requests, so they do not wait for those that keep theirs. Any other is
    /// left with the system until there is a buffer for it.
    #[inline(never)]
    fn receive_whole_head(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        debug_assert!(slot.lease.is_none() && slot.state != State::Head);
        let Some(lease) = self.leases.first() else {
            return Some(Want::Lease);
        };
        let limit = self.receive_limit();
        let longest = usize::from(self.limits.head_bytes);
        let (bytes, fields) = self.leases.parts(lease);
        self.stats.count(Counter::Receives);
        let there = match self.transport.peek(slot.socket, &mut bytes[..limit]) {
            Ok(0) => {
                slot.flags.set(Flags::EOF);
                return GO_ON;
            }
            Ok(there) => there,
            Err(Error::WouldBlock) => {
                self.stats.count(Counter::WouldBlock);
                budget.readable = false;
                return GO_ON;
            }
            Err(Error::Unusable(_)) => return Some(Want::Lease),
            Err(_) => {
                self.stats.count(Counter::Reset);
                return Some(Want::Abort);
            }
        };
        let mut parser = HeadParser::NEW;
        let input = &bytes[..there.min(longest)];
        let length = match parser.advance(input, fields) {
            Ok(Parsed::Complete { length }) => {
                let head = Head::new(&parser, &input[..length], fields);
                if !matches!(Body::of(head.framing()), Body::Done) {
                    return Some(Want::Lease);
                }
                length
            }
            Ok(Parsed::Incomplete) if input.len() < longest => return Some(Want::Lease),
            // It is refused.
            Ok(Parsed::Incomplete) | Err(_) => there,
        };
        slot.lease = self.leases.take();
        debug_assert_eq!(slot.lease, Some(lease));
        self.stats.count(Counter::LeasesTaken);
        (slot.head, slot.start, slot.end, slot.out, slot.out_end) = (0, 0, 0, 0, 0);
        let flow = self.receive(slot, lease, length, budget);
        budget.readable = there > length || there == limit;
        flow
    }

    /// Receives what there is behind the input, up to position `limit` of the lease.
    #[inline(always)]
    pub(super) fn receive(
        &mut self,
        slot: &mut Slot,
        lease: LeaseId,
        limit: usize,
        budget: &mut Budget,
    ) -> Flow {
        let buffer = &mut self.leases.bytes(lease)[usize::from(slot.end)..limit];
        let room = buffer.len();
        self.stats.count(Counter::Receives);
        match self.transport.receive(slot.socket, buffer) {
            Ok(0) => slot.flags.set(Flags::EOF),
            Ok(count) => {
                self.stats.add(Counter::BytesReceived, count);
                slot.end += count as u16;
                budget.charge(count);
                // Less than there was room for: most likely that was all. Should it not be so, the
                // channel, being level-triggered, will say so.
                budget.readable = count == room;
                if matches!(slot.state, State::Receiving | State::Discarding) {
                    slot.flags.set(Flags::REARM);
                }
            }
            Err(Error::WouldBlock) => {
                self.stats.count(Counter::WouldBlock);
                budget.readable = false;
            }
            Err(_) => {
                self.stats.count(Counter::Reset);
                return Some(Want::Abort);
            }
        }
        GO_ON
    }

    /// The client has ended its side, and all that it sent has been looked at.
    pub(super) fn ended(&mut self, slot: &mut Slot, token: Token) -> Flow {
        match slot.state {
            State::Head if slot.parser.started() => self.refuse(
                slot,
                token,
                Status::BAD_REQUEST,
                &"the request ends before its head does",
            ),
            State::Receiving | State::Collecting => {
                self.abandon(slot, token);
                self.refuse(
                    slot,
                    token,
                    Status::BAD_REQUEST,
                    &"the request ends before its body does",
                )
            }
            _ => Some(Want::Close),
        }
    }

    /// Moves what is needed to the start of the lease. There is no output when this is called.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn close_gaps(&mut self, slot: &mut Slot) {
        let Some(lease) = slot.lease else { return };
        let bytes = self.leases.bytes(lease);
        let base = slot.base();
        if base > 0 {
            bytes.copy_within(usize::from(base)..usize::from(slot.end), 0);
            slot.start -= base;
            slot.end -= base;
            if slot.keeps_head() {
                slot.head = 0;
                slot.collected -= base;
            }
        }
        // Between a collected body and the input lies what framed its chunks; between a head and the
        // input, what the handler has taken.
        if slot.keeps_head() && slot.collected < slot.start {
            bytes.copy_within(
                usize::from(slot.start)..usize::from(slot.end),
                usize::from(slot.collected),
            );
            slot.end -= slot.start - slot.collected;
            slot.start = slot.collected;
        }
        (slot.out, slot.out_end) = (slot.end, slot.end);
    }
}
