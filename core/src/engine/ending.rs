//! The end of a connection: gently, so that the last reply arrives.

use super::*;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn close(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        match self.flush(slot, budget) {
            Flushed::All => {}
            blocked => return Some(blocked.want()),
        }
        let closes_at_once = slot.closes_at_once();
        (slot.start, slot.end) = (0, 0);
        self.drop_hollow_lease(slot);
        if closes_at_once {
            return Some(Want::Close);
        }
        if self.transport.shutdown(slot.socket).is_err() {
            return Some(Want::Close);
        }
        slot.enter(State::Lingering);
        budget.readable = true;
        GO_ON
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn linger(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        if !budget.readable || budget.bytes == 0 {
            return Some(Want::Read);
        }
        self.stats.count(Counter::Receives);
        match self.transport.receive(slot.socket, self.scratch) {
            Ok(0) => Some(Want::Close),
            Ok(count) => {
                self.stats.add(Counter::BytesReceived, count);
                budget.charge(count);
                GO_ON
            }
            Err(Error::WouldBlock) => Some(Want::Read),
            Err(_) => Some(Want::Close),
        }
    }

    /// Ends a connection for the sake of others. Its client gets 503 if no response to the request was begun and the
    /// socket takes it at once. Output that the client has not taken is dropped.
    pub fn turn_away(&mut self, slot: &mut Slot, token: Token) {
        if slot.state == State::Loading {
            self.give_up_content(slot);
        }
        let has_told = slot.has_output() || slot.flags.has(Flags::REPLIED);
        match slot.state {
            State::Free | State::Fresh | State::Idle | State::Lingering | State::Discarding
                if !has_told => {}
            State::Head
            | State::Receiving
            | State::Holding
            | State::Collecting
            | State::Waiting
            | State::Finding
            | State::Asking
            | State::Loading
                if !has_told =>
            {
                self.abandon(slot, token);
                let status = Status::SERVICE_UNAVAILABLE;
                let why =
                    "the server needs the place of this request for others; try again in a moment";
                self.refuse(slot, token, status, &why);
                let mut budget = self.budget(false);
                self.flush(slot, &mut budget);
            }
            _ => self.transport.abort(slot.socket),
        }
    }

    /// Tells handler, site and log that the request under way, if there is one, ends here.
    pub fn abandon(&mut self, slot: &mut Slot, token: Token) {
        if slot.is_in_handler() {
            let mut exchange = exchange!(self, slot, token);
            self.service.abandoned(&mut exchange);
        }
        if let Tail::Site { id, .. } = slot.tail {
            self.service.release(id);
        }
        slot.tail = Tail::None;
    }

    /// Frees all that a connection holds besides its slot and socket.
    pub fn clear(&mut self, slot: &mut Slot, token: Token) {
        if slot.flags.has(Flags::REPLIED) || slot.has_output() {
            self.stats.count(Counter::Abandoned);
        }
        self.abandon(slot, token);
        self.tell_end(slot, token, false);
        if let Some(lease) = slot.lease.take() {
            self.leases.give(lease);
            self.stats.count(Counter::LeasesReturned);
        }
    }
}
