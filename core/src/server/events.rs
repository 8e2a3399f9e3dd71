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
            // Its turn comes. Only an error cannot wait: it would be reported over and over.
            if readiness.contains(Readiness::FAILED) {
                self.close(token.index);
            }
            return;
        }
        if readiness.contains(Readiness::FAILED) && matches!(slot.watch, Watch::Nothing) {
            self.desk.stats.count(Counter::Reset);
            return self.close(token.index);
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
            #[cfg(feature = "fault")]
            if self.is_general {
                return self.advance(index, budget);
            }
            if self.lease_queue.length > 0 {
                return self.advance(index, budget);
            }
            match self.desk.straight(slot, token, &mut budget) {
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

    pub(super) fn go_on(&mut self, index: u32, budget: Budget) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        let token = Token {
            index,
            generation: slot.generation,
        };
        let want = self.desk.advance(slot, token, budget);
        self.wait_for(index, want);
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
                if slot.watch == Watch::Write || watch == Watch::Write {
                    slot.flags.set(Flags::REARM);
                }
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
        let limits = &self.desk.limits;
        let after = match phase_of(slot) {
            Phase::FirstByte => limits.first_byte_ms,
            Phase::Head => limits.head_ms,
            Phase::Body => limits.body_ms,
            Phase::Handler => limits.handler_ms,
            Phase::Write => limits.write_ms,
            Phase::Idle => limits.idle_ms,
            Phase::Linger => limits.linger_ms,
        };
        self.wheel.set(slots, index, self.desk.now, after);
    }

    pub(super) fn expire(&mut self) {
        while let Some(index) = self.wheel.expired(self.slots.as_mut_slice(), self.desk.now) {
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
            Phase::Handler if slot.state != State::Paused => Status::SERVICE_UNAVAILABLE,
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
    pub(super) fn run_queued(&mut self) {
        for _ in 0..self.run_queue.length {
            let Some(index) = self.run_queue.pop(self.slots.as_mut_slice()) else {
                return;
            };
            if self.leaves_queue(index) {
                self.arrived(index);
            }
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn serve_lease_waiters(&mut self) {
        for _ in 0..self.lease_queue.length {
            if !self.desk.leases.has_free() {
                return;
            }
            let Some(index) = self.lease_queue.pop(self.slots.as_mut_slice()) else {
                return;
            };
            if self.leaves_queue(index) {
                self.desk.leases_promised = false;
                self.go_on(index, self.desk.budget(true));
            }
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
enum Phase {
    FirstByte,
    Head,
    Body,
    Handler,
    Write,
    Idle,
    Linger,
}

fn phase_of(slot: &Slot) -> Phase {
    match slot.state {
        _ if slot.watch == Watch::Write => Phase::Write,
        State::Free | State::Fresh => Phase::FirstByte,
        State::Idle => Phase::Idle,
        State::Head => Phase::Head,
        State::Receiving | State::Collecting | State::Discarding => Phase::Body,
        State::Waiting | State::Resuming | State::Paused | State::Holding => Phase::Handler,
        State::Lingering => Phase::Linger,
        State::Sending | State::Streaming | State::Closing => Phase::Write,
    }
}
