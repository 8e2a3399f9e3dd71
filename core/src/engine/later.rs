//! Replies that come later: deferred ones, streams, content that does not fit the lease.

use super::*;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    pub(super) fn wait(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        let want = self.flushed_or(slot, budget, Want::Ticket);
        if want == Want::Ticket {
            self.drop_hollow_lease(slot);
        }
        Some(want)
    }

    /// A ticket of this connection was completed; tells whether anybody waited for it.
    pub fn complete(&mut self, slot: &mut Slot, ticket: Ticket, value: u64) -> bool {
        if slot.sequence != ticket.sequence {
            return false;
        }
        match slot.state {
            State::Waiting => {
                slot.count = value;
                slot.enter(State::Resuming);
            }
            State::Paused => slot.enter(State::Streaming),
            State::Holding => slot.enter(State::Receiving),
            // Its deadline goes on.
            State::Finding => slot.state = State::Asking,
            State::Loading => slot.enter(State::Sending),
            // It will be asked for more, or be given more, anyway.
            State::Streaming | State::Receiving => {}
            _ => return false,
        }
        true
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn resume(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        let value = slot.count;
        let terms = terms!(self, slot);
        let (at, room) = (usize::from(slot.out_end), self.reply_room());
        let buffer = &mut self.leases.bytes(lease)[at..at + room];
        let mut made = Made::NOTHING;
        let mut draft = Draft::new(buffer, terms, &mut made);
        let mut exchange = exchange!(self, slot, token);
        let next = self.service.resume(&mut exchange, value, &mut draft);
        budget.charge(self.service.cost() as usize);
        self.act(slot, token, &next, &made);
        GO_ON
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn stream(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        // A piece is worth a call once a quarter of the lease is free for it.
        if slot.has_output() && self.room(slot) < self.leases.size() / 4 {
            match self.flush(slot, budget) {
                Flushed::All => {}
                blocked => return Some(blocked.want()),
            }
        }
        if budget.bytes == 0 {
            return Some(self.flushed_or(slot, budget, Want::Turn));
        }
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        let Tail::Stream { framing, .. } = slot.tail else {
            return Some(Want::Abort);
        };
        if !slot.has_output() {
            (slot.out, slot.out_end) = (slot.end, slot.end);
        }
        let at = usize::from(slot.out_end);
        let (before, after) = match framing {
            StreamFraming::Chunked => (CHUNK_BEFORE, CHUNK_AFTER + LAST_CHUNK.len()),
            _ => (0, 0),
        };
        let bytes = self.leases.bytes(lease);
        let limit = bytes.len() - after;
        let mut piece = Writer::new(&mut bytes[at + before..limit]);
        let mut exchange = exchange!(self, slot, token);
        let progress = self.service.stream(&mut exchange, &mut piece);
        let (length, overflown) = (piece.len(), piece.is_overflown());
        if overflown || progress == Progress::Failed {
            if overflown {
                self.report_cut(slot, "a handler wrote more than there was room for");
            }
            return self.cut(slot, token);
        }
        let bytes = self.leases.bytes(lease);
        let mut end = at;
        if framing == StreamFraming::Chunked {
            if length > 0 {
                put_hex(&mut bytes[at..at + 4], length);
                bytes[at + 4..at + CHUNK_BEFORE].copy_from_slice(b"\r\n");
                end = at + CHUNK_BEFORE + length;
                bytes[end..end + CHUNK_AFTER].copy_from_slice(b"\r\n");
                end += CHUNK_AFTER;
            }
            if progress == Progress::Done {
                bytes[end..end + LAST_CHUNK.len()].copy_from_slice(LAST_CHUNK);
                end += LAST_CHUNK.len();
            }
        } else {
            end += length;
        }
        slot.out_end = end as u16;
        slot.count += length as u64;
        // Each piece costs something, even an empty one; its bytes count when they are sent.
        budget.charge(1);
        if let Tail::Stream {
            framing: StreamFraming::Length,
            remaining,
        } = &mut slot.tail
        {
            let exact = remaining.checked_sub(length as u64);
            *remaining = exact.unwrap_or(0);
            if exact.is_none() || progress == Progress::Done && *remaining != 0 {
                if exact.is_none() {
                    // What is beyond the announced length would be taken for the next response.
                    slot.out_end = at as u16;
                }
                self.report_cut(slot, "its length was not as announced");
                return self.cut(slot, token);
            }
        }
        match progress {
            Progress::Done => {
                slot.tail = Tail::None;
                self.reply_done(slot, token);
                GO_ON
            }
            Progress::Wait => {
                slot.enter(State::Paused);
                GO_ON
            }
            // A handler that has nothing and does not say so is asked again, but not at once.
            _ if length == 0 => Some(self.flushed_or(slot, budget, Want::Turn)),
            _ => GO_ON,
        }
    }

    fn report_cut(&mut self, slot: &Slot, reason: &str) {
        if let Some(more) = self.throttle.admit(slot.route.into(), self.now) {
            report!(Error, "a streamed reply was cut: {reason}{more}");
        }
    }

    /// A reply that cannot be finished: the connection ends, so that the client sees it. What was made before is
    /// still sent, replies to earlier requests above all, unless only a reset can tell that something is missing.
    pub(super) fn cut(&mut self, slot: &mut Slot, token: Token) -> Flow {
        let ends_with_connection = matches!(
            slot.tail,
            Tail::Stream {
                framing: StreamFraming::UntilClose,
                ..
            }
        );
        if ends_with_connection || !slot.has_output() {
            self.break_off(slot);
            return Some(Want::Abort);
        }
        self.abandon(slot, token);
        slot.flags.set(Flags::CLOSE);
        slot.enter(State::Closing);
        GO_ON
    }

    /// The connection is about to be closed in the middle of a reply. Where the end of the
    /// connection would be the end of its content, it is reset; else its framing tells, and what was
    /// sent so far may still arrive.
    pub fn break_off(&mut self, slot: &Slot) {
        if let Tail::Stream {
            framing: StreamFraming::UntilClose,
            ..
        } = slot.tail
        {
            self.transport.abort(slot.socket);
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn send_tail(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        match self.flush(slot, budget) {
            Flushed::All => {
                self.reply_done(slot, token);
                GO_ON
            }
            Flushed::Changed => {
                let flow = self.ask_again(slot, token);
                budget.charge(self.service.cost() as usize);
                flow
            }
            Flushed::Pending if S::WAITS => self.wait_for_content(slot, token),
            blocked => {
                self.drop_hollow_lease(slot);
                Some(blocked.want())
            }
        }
    }
}

/// A chunk's size in as many hexadecimal digits as there are places; leading zeros are allowed
/// (RFC 9112 section 7.1).
fn put_hex(places: &mut [u8], number: usize) {
    let mut rest = number;
    for place in places.iter_mut().rev() {
        *place = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
}
