//! What an event, a message or a passed deadline means for a connection.

use super::*;

impl<C, T, K, S, A> Worker<'_, C, T, K, S, A>
where
    C: EventChannel,
    T: Transport,
    K: Clock,
    S: Service<File = T::File>,
    A: Arena<Slot>,
{
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn ready(&mut self, token: Token, readiness: Readiness) {
        self.desk.stats.count(Counter::EventsReady);
        if let Some(listener) = listener_index(token) {
            self.accept(listener);
            if readiness.contains(Readiness::FAILED) {
                self.give_up(listener, &"the system reports that it failed");
            }
            return;
        }
        let Some(slot) = self.slots.as_mut_slice().get_mut(token.index as usize) else {
            return self.desk.stats.count(Counter::EventsStale);
        };
        if slot.generation != token.generation
            || slot.state == State::Free
            || slot.flags.has(Flags::DEAD)
        {
            return self.desk.stats.count(Counter::EventsStale);
        }
        if slot.flags.has(Flags::QUEUED) {
            // It is served when its turn comes. An error cannot wait, because it would be reported again and again. While
            // the queue takes several turns, readiness would be, too, and crowd out the events of others.
            if readiness.contains(Readiness::FAILED) {
                self.close(token.index);
            } else if self.is_behind {
                self.watch(token.index, Watch::Nothing);
            }
            return;
        }
        if readiness.contains(Readiness::FAILED) && matches!(slot.watch, Watch::Nothing) {
            self.desk.stats.count(Counter::Reset);
            return self.close(token.index);
        }
        if slot.watch == Watch::Write && self.desk.turn_left == 0 {
            // It would send a small part of a long response; others may have short requests.
            slot.flags.set(Flags::QUEUED);
            let slots = self.slots.as_mut_slice();
            return self.run_queue.push(slots, token.index);
        }
        // With an interest on, the receive or send that follows meets the error itself.
        self.arrived(token.index);
    }

    /// Bytes may have come on a connection.
    pub(super) fn arrived(&mut self, index: u32) {
        // In an image what follows would be code that says nothing new.
        #[cfg(target_os = "rtems")]
        return self.advance(index, self.desk.budget(true));
        #[cfg(not(target_os = "rtems"))]
        {
            let slots = self.slots.as_mut_slice();
            let slot = &mut slots[index as usize];
            let token = Token {
                index,
                generation: slot.generation,
            };
            let mut budget = self.desk.budget(true);
            let whole = self.desk.share;
            #[cfg(feature = "fault")]
            if self.is_general {
                return self.advance(index, budget);
            }
            if self.lease_queue.length > 0 {
                return self.advance(index, budget);
            }
            let want = self.desk.straight(slot, token, &mut budget);
            self.desk.settle(&budget, whole);
            match want {
                Some(Want::Read) if slot.watch == Watch::Read => {
                    slot.flags.clear(Flags::REARM);
                    let after = self.desk.limits.idle_ms;
                    self.wheel.set(slots, index, self.desk.now, after);
                }
                Some(want) => self.wait_for(index, want),
                None => self.advance(index, budget),
            }
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn message(&mut self, message: Message) {
        self.desk.stats.count(Counter::Messages);
        match message {
            Message::Adopt(socket) => {
                if self.free == NO_SLOT && self.is_at_end() {
                    // A message cannot be left lying. Events of this batch that are for a freed slot
                    // carry its old generation.
                    self.recycle();
                }
                self.adopt(socket);
            }
            Message::Complete { ticket, value } => self.complete(ticket, value),
            Message::Application(value) => self.desk.service.message(value),
            Message::Drain => self.drain(),
            Message::Stop => self.stopped = true,
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn complete(&mut self, ticket: Ticket, value: u64) {
        let token = ticket.connection;
        let slot = self.slots.as_mut_slice().get_mut(token.index as usize);
        let slot =
            slot.filter(|slot| slot.generation == token.generation && slot.state != State::Free);
        let queued = slot
            .as_ref()
            .is_some_and(|slot| slot.flags.has(Flags::QUEUED));
        if !slot.is_some_and(|slot| self.desk.complete(slot, ticket, value)) {
            self.desk.stats.count(Counter::StaleTickets);
        } else if !queued {
            self.advance(token.index, self.desk.budget(false));
        }
    }

    /// Moves a connection on and sees to what it waits for next.
    pub(super) fn advance(&mut self, index: u32, budget: Budget) {
        // Who comes later waits behind those that wait already.
        self.desk.leases_promised = self.lease_queue.length > 0;
        self.go_on(index, budget);
    }

    pub(super) fn go_on(&mut self, index: u32, mut budget: Budget) {
        let whole = budget.bytes();
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        let token = Token {
            index,
            generation: slot.generation,
        };
        let want = self.desk.advance(slot, token, &mut budget);
        self.desk.settle(&budget, whole);
        let is_false_alarm = budget.false_alarm && want == Want::Write;
        let is_repeated = is_false_alarm && slot.flags.has(Flags::FALSE_ALARM);
        slot.flags.put(Flags::FALSE_ALARM, is_false_alarm);
        if is_repeated {
            self.pause_writer(index);
        } else {
            self.wait_for(index, want);
        }
        if self.desk.leases.is_exhausted() {
            self.recover_last_lease(index);
        }
    }

    /// The system says that a socket has room and then takes nothing, which it does while it is short of memory for
    /// network buffers. To ask without a pause would keep the worker busy for nothing.
    #[inline(never)]
    fn pause_writer(&mut self, index: u32) {
        self.watch(index, Watch::Nothing);
        if !self.has_paused_writers {
            self.has_paused_writers = true;
            self.resume_at = self.desk.now + WRITER_PAUSE_MS;
        }
        self.has_paused_before |= index < self.resume_hand;
    }

    /// Watches paused writers again: goes over all slots there are, some of them at a time. A writer that is paused
    /// behind the place where this has come to is met by the next round.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn resume_writers(&mut self) {
        if !self.has_paused_writers || self.desk.now < self.resume_at {
            return;
        }
        let count = self.slots.as_slice().len() as u32;
        let end = self.resume_hand.saturating_add(SLOTS_RESUMED).min(count);
        for index in self.resume_hand..end {
            let slot = &self.slots.as_slice()[index as usize];
            if slot.flags.has(Flags::BLOCKED)
                && slot.watch == Watch::Nothing
                && !slot.flags.has(Flags::QUEUED)
            {
                self.watch(index, Watch::Write);
            }
        }
        self.resume_hand = end;
        if end == count {
            self.resume_hand = 0;
            self.has_paused_writers = core::mem::take(&mut self.has_paused_before);
        }
        self.resume_at = self.desk.now + WRITER_PAUSE_MS;
    }

    /// Sees to what a connection wants next.
    #[cfg_attr(target_os = "rtems", inline(always))]
    fn wait_for(&mut self, index: u32, want: Want) {
        let slots = self.slots.as_mut_slice();
        let slot = &mut slots[index as usize];
        let watch = match want {
            Want::Read => Watch::Read,
            Want::Write => Watch::Write,
            Want::Ticket => Watch::Nothing,
            Want::Turn => {
                slot.flags.set(Flags::QUEUED);
                self.run_queue.push(slots, index);
                return self.set_deadline(index);
            }
            Want::Lease => {
                slot.flags.set(Flags::QUEUED | Flags::WANTS_LEASE);
                self.lease_queue.push(slots, index);
                Watch::Nothing
            }
            Want::Close | Want::Abort => return self.close(index),
        };
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        let is_blocked = want == Want::Write;
        if slot.flags.has(Flags::BLOCKED) != is_blocked {
            slot.flags.put(Flags::BLOCKED, is_blocked);
            slot.flags.set(Flags::REARM);
        }
        self.watch(index, watch);
        self.set_deadline(index);
    }

    /// Tells the channel what a connection waits for, if that is news.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn watch(&mut self, index: u32, watch: Watch) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        if slot.watch == watch || slot.state == State::Free {
            return;
        }
        let token = Token {
            index,
            generation: slot.generation,
        };
        let interest = match watch {
            Watch::Read => Interest::READ,
            Watch::Write => Interest::WRITE,
            Watch::Nothing | Watch::Unknown => Interest::NONE,
        };
        let result = match slot.watch {
            Watch::Unknown => self.channel.add(slot.socket, token, interest),
            _ => self.channel.set_interest(slot.socket, token, interest),
        };
        match result {
            Ok(()) => {
                slot.watch = watch;
            }
            Err(error) => {
                if let Some(more) = self.desk.throttle.admit(SOCKET_LINE, self.desk.now) {
                    report!(
                        Warn,
                        "a connection was closed because it cannot be watched: {error}{more}"
                    );
                }
                self.close(index);
            }
        }
    }

    /// Starts the deadline of the connection's phase, if the phase is new or has seen progress.
    pub(super) fn set_deadline(&mut self, index: u32) {
        let slots = self.slots.as_mut_slice();
        let slot = &mut slots[index as usize];
        if slot.state == State::Free || slot.flags.has(Flags::DEAD) || !slot.flags.has(Flags::REARM)
        {
            return;
        }
        slot.flags.clear(Flags::REARM);
        let after = phase_of(slot).limit(&self.desk.limits);
        self.wheel.set(slots, index, self.desk.now, after);
    }

    pub(super) fn expire(&mut self) {
        for _ in 0..EXPIRED_PER_TURN {
            let Some(index) = self.wheel.expired(self.slots.as_mut_slice(), self.desk.now) else {
                return;
            };
            self.timed_out(index);
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn timed_out(&mut self, index: u32) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        if slot.state == State::Free || slot.flags.has(Flags::DEAD) {
            return;
        }
        self.desk.stats.count(Counter::TimedOut);
        let token = Token {
            index,
            generation: slot.generation,
        };
        let status = match phase_of(slot) {
            // Not the client's fault: it was this server that had no buffer.
            Phase::FirstByte | Phase::Idle | Phase::Body if slot.flags.has(Flags::WANTS_LEASE) => {
                Status::SERVICE_UNAVAILABLE
            }
            Phase::Head if slot.parser.started() => Status::REQUEST_TIMEOUT,
            Phase::Body if slot.state != State::Discarding => Status::REQUEST_TIMEOUT,
            Phase::Handler if slot.state == State::Loading && self.desk.give_up_content(slot) => {
                Status::SERVICE_UNAVAILABLE
            }
            Phase::Handler if !matches!(slot.state, State::Loading | State::Paused) => {
                Status::SERVICE_UNAVAILABLE
            }
            phase => {
                match phase {
                    // It takes nothing: what it has not taken must not be kept for it.
                    Phase::Write => self.desk.transport.abort(slot.socket),
                    Phase::Handler => self.desk.break_off(slot),
                    _ => {}
                }
                return self.close(index);
            }
        };
        self.desk.abandon(slot, token);
        self.desk.refuse(slot, token, status, &"");
        if slot.flags.has(Flags::WANTS_LEASE) {
            // Its reply went out without a lease. Its place in the queue may be far from the front:
            // the deadline ends it before.
            let _ = self.desk.transport.shutdown(slot.socket);
            slot.enter(State::Lingering);
            self.set_deadline(index);
        } else if !slot.flags.has(Flags::QUEUED) {
            self.advance(index, self.desk.budget(false));
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn run_newcomers(&mut self) {
        while let Some(index) = self.newcomers.pop(self.slots.as_mut_slice()) {
            self.take_turn(index);
        }
    }

    /// A connection leaves a queue that it waited in for its turn.
    #[inline(never)]
    fn take_turn(&mut self, index: u32) {
        if self.leaves_queue(index) {
            self.arrived(index);
        }
    }

    /// Advances the first `count` connections in the queue, each by one share of the turn's bytes at most.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn run_queued(&mut self, count: u32) {
        self.is_behind = false;
        if count == 0 {
            return;
        }
        self.desk.begin_share();
        for _ in 0..count {
            if self.desk.turn_left == 0 {
                self.is_behind = true;
                return;
            }
            let Some(index) = self.run_queue.pop(self.slots.as_mut_slice()) else {
                return;
            };
            self.take_turn(index);
            self.desk.use_up(SMALL_SHARE);
        }
    }

    pub(super) fn leaves_queue(&mut self, index: u32) -> bool {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        slot.flags.clear(Flags::QUEUED | Flags::WANTS_LEASE);
        if slot.flags.has(Flags::DEAD) {
            self.release_slot(index);
            return false;
        }
        true
    }
}

/// Which deadline is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    FirstByte,
    Head,
    Body,
    Handler,
    Write,
    Idle,
    Linger,
}

impl Phase {
    /// Milliseconds that it may last.
    pub(super) fn limit(self, limits: &Limits) -> u32 {
        match self {
            Self::FirstByte => limits.first_byte_ms,
            Self::Head => limits.head_ms,
            Self::Body => limits.body_ms,
            Self::Handler => limits.handler_ms,
            Self::Write => limits.write_ms,
            Self::Idle => limits.idle_ms,
            Self::Linger => limits.linger_ms,
        }
    }
}

pub(super) fn phase_of(slot: &Slot) -> Phase {
    match slot.state {
        _ if slot.flags.has(Flags::BLOCKED) => Phase::Write,
        State::Free | State::Fresh => Phase::FirstByte,
        State::Idle => Phase::Idle,
        State::Head => Phase::Head,
        State::Receiving | State::Collecting | State::Discarding => Phase::Body,
        State::Waiting
        | State::Resuming
        | State::Finding
        | State::Asking
        | State::Loading
        | State::Paused
        | State::Holding => Phase::Handler,
        State::Lingering => Phase::Linger,
        State::Sending | State::Streaming | State::Closing => Phase::Write,
    }
}
