//! Connections come and go: accepted, adopted, evicted, closed; slots taken and freed.

use super::*;

impl<C, T, K, S, A> Worker<'_, C, T, K, S, A>
where
    C: EventChannel,
    T: Transport,
    K: Clock,
    S: Service<File = T::File>,
    A: Arena<Slot>,
{
    pub(super) fn accept(&mut self, listener: usize) {
        for _ in 0..self.desk.limits.turn_accepts {
            let Some(Some(Listener { socket, .. })) = self.listeners.get(listener) else {
                return;
            };
            let socket = *socket;
            if self.free == NO_SLOT && self.freed != NO_SLOT && self.is_at_end() {
                // Slots were freed in this turn and can be used in the next: the backlog keeps the
                // connection until then.
                return;
            }
            match self.desk.transport.accept(socket) {
                Ok(accepted) => self.adopt(accepted),
                Err(Error::WouldBlock) => return,
                Err(Error::Disconnected) => {}
                Err(error @ Error::Unusable(_)) => return self.give_up(listener, &error),
                Err(error) => return self.pause_listener(listener, error),
            }
        }
    }

    /// Out of descriptors: a listener that stays readable would spin.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn pause_listener(&mut self, listener: usize, error: Error) {
        self.desk.stats.count(Counter::AcceptFailed);
        if self.desk.stats.value(Counter::AcceptFailed) == 1 {
            report!(Error, "cannot accept a connection, new ones wait: {error}");
        }
        if let Some(Some(paused)) = self.listeners.get_mut(listener) {
            paused.paused_until = Some(self.desk.now + EXHAUSTED_PAUSE_MS);
            let result =
                self.channel
                    .set_interest(paused.socket, listener_token(listener), Interest::NONE);
            if let Err(error) = result
                && let Some(more) = self.desk.throttle.admit(SOCKET_LINE, self.desk.now)
            {
                report!(Error, "a listener cannot be paused: {error}{more}");
            }
        }
    }

    /// Closes a listener that would be reported for ever and never give a connection again.
    pub(super) fn give_up(&mut self, listener: usize, why: &dyn fmt::Display) {
        if let Some(gone) = self.listeners.get_mut(listener).and_then(Option::take) {
            report!(
                Error,
                "a listener was closed, the others go on; restart to have it back: {why}"
            );
            self.close_listener(gone);
        }
    }

    pub(super) fn close_listener(&mut self, listener: Listener) {
        if let Err(error) = self.channel.remove(listener.socket) {
            report!(Warn, "a listener cannot be unwatched: {error}");
        }
        self.close_socket(listener.socket);
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn resume_listeners(&mut self) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Some(listener) = listener else { continue };
            if listener
                .paused_until
                .is_some_and(|until| until <= self.desk.now)
            {
                listener.paused_until = None;
                if let Err(error) = self.channel.set_interest(
                    listener.socket,
                    listener_token(index),
                    Interest::READ,
                ) && let Some(more) = self.desk.throttle.admit(SOCKET_LINE, self.desk.now)
                {
                    report!(Error, "a listener cannot be resumed: {error}{more}");
                }
            }
        }
    }

    /// Takes an accepted socket into service.
    pub(super) fn adopt(&mut self, socket: Socket) {
        let full = |worker: &Self| worker.open - worker.refused >= worker.desk.limits.connections;
        if full(self) {
            self.evict_longest_idle();
        }
        let full = full(self) || self.lease_queue.length >= self.desk.limits.waiting;
        let Some(index) = self.take_slot() else {
            // Not even a place to say so.
            self.desk.stats.count(Counter::Accepted);
            self.desk.stats.count(Counter::Refused);
            self.desk.stats.count(Counter::Closed);
            return self.close_socket(socket);
        };
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        slot.begin(socket);
        let token = Token {
            index,
            generation: slot.generation,
        };
        self.open += 1;
        self.desk.stats.count(Counter::Accepted);
        self.desk.service.connected(index, socket);
        if full || self.desk.draining {
            self.desk.stats.count(Counter::Refused);
            self.refused += 1;
            slot.flags.set(Flags::REFUSED);
            self.desk.fail(
                slot,
                token,
                Status::SERVICE_UNAVAILABLE,
                &"too many connections; try again in a moment",
            );
        }
        // Most clients have sent their request by the time that the others have been accepted: it
        // is worth a look in this turn, before waiting.
        let slots = self.slots.as_mut_slice();
        slots[index as usize].flags.set(Flags::QUEUED);
        self.run_queue.push(slots, index);
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn take_slot(&mut self) -> Option<u32> {
        if self.free != NO_SLOT {
            let index = self.free;
            self.free = self.slots.as_slice()[index as usize].next;
            return Some(index);
        }
        let index = self.slots.as_slice().len() as u32;
        (!self.is_at_end() && self.slots.push(Slot::FREE).is_ok()).then_some(index)
    }

    /// Whether there are as many slots as there ever will be.
    pub(super) fn is_at_end(&self) -> bool {
        let limit = self.desk.limits.connections.saturating_add(REFUSALS);
        self.slots.as_slice().len() >= limit as usize
    }

    /// Closes the connection that has been idle for longest, out of a sample. One whose first request has not
    /// come in [`FRESH_MS`] is idle like others.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn evict_longest_idle(&mut self) {
        let slots = self.slots.as_slice();
        let count = slots.len() as u32;
        let now = self.desk.now as u32;
        let limits = self.desk.limits;
        let mut victim = None;
        for step in 0..count.min(EVICTION_SAMPLE) {
            let index = (self.hand + step) % count;
            let slot = &slots[index as usize];
            let (limit, least) = match slot.state {
                State::Idle => (limits.idle_ms, 0),
                State::Fresh => (limits.first_byte_ms, FRESH_MS),
                _ => continue,
            };
            if slot.lease.is_some() || slot.flags.has(Flags::QUEUED) {
                continue;
            }
            let left = slot.timer.deadline().wrapping_sub(now);
            let idle = limit.wrapping_sub(left) as i32;
            if idle >= least && victim.is_none_or(|(_, most)| idle > most) {
                victim = Some((index, idle));
            }
        }
        self.hand = (self.hand + EVICTION_SAMPLE) % count.max(1);
        if let Some((index, _)) = victim {
            self.desk.stats.count(Counter::Evicted);
            self.close(index);
        }
    }

    /// Ends a connection, whatever its state.
    pub(super) fn close(&mut self, index: u32) {
        self.wheel.clear(self.slots.as_mut_slice(), index);
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        if slot.state == State::Free || slot.flags.has(Flags::DEAD) {
            return;
        }
        let token = Token {
            index,
            generation: slot.generation,
        };
        self.desk.clear(slot, token);
        let socket = slot.socket;
        let watched = slot.watch != Watch::Unknown;
        let (queued, refused) = (
            slot.flags.has(Flags::QUEUED),
            slot.flags.has(Flags::REFUSED),
        );
        slot.generation = slot.generation.wrapping_add(1);
        slot.watch = Watch::Unknown;
        if watched
            && let Err(error) = self.channel.remove(socket)
            && let Some(more) = self.desk.throttle.admit(SOCKET_LINE, self.desk.now)
        {
            report!(
                Warn,
                "a connection's socket cannot be unwatched: {error}{more}"
            );
        }
        self.close_socket(socket);
        self.open -= 1;
        self.refused -= u32::from(refused);
        self.desk.stats.count(Counter::Closed);
        self.desk.service.closed(index);
        if queued {
            self.slots.as_mut_slice()[index as usize]
                .flags
                .set(Flags::DEAD);
        } else {
            self.release_slot(index);
        }
    }

    pub(super) fn close_socket(&mut self, socket: Socket) {
        if let Err(error) = self.desk.transport.close(socket) {
            self.desk.stats.count(Counter::CloseFailed);
            if self.desk.stats.value(Counter::CloseFailed) == 1 {
                report!(
                    Error,
                    "a socket did not close, descriptors may run out: {error}"
                );
            }
        }
    }

    pub(super) fn release_slot(&mut self, index: u32) {
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        *slot = Slot {
            generation: slot.generation,
            next: self.freed,
            ..Slot::FREE
        };
        self.freed = index;
    }

    /// Makes the slots freed in this turn usable again.
    pub(super) fn recycle(&mut self) {
        while self.freed != NO_SLOT {
            let index = self.freed;
            let slot = &mut self.slots.as_mut_slice()[index as usize];
            self.freed = slot.next;
            slot.next = self.free;
            self.free = index;
        }
    }
}
