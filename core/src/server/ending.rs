//! The end of a worker: draining, stopping.

use super::*;

impl<C, T, K, S, A> Worker<'_, C, T, K, S, A>
where
    C: EventChannel,
    T: Transport,
    K: Clock,
    S: Service<File = T::File>,
    A: Arena<Slot>,
{
    /// No new connections; those without a request are closed, the others finish.
    pub(super) fn drain(&mut self) {
        if self.drain_until.is_some() {
            return;
        }
        for listener in 0..self.listeners.len() {
            self.accept(listener);
        }
        self.close_listeners();
        self.desk.draining = true;
        self.drain_until = Some(self.desk.now + u64::from(self.desk.limits.drain_ms));
        for index in 0..self.slots.as_slice().len() as u32 {
            let slot = &self.slots.as_slice()[index as usize];
            if matches!(slot.state, State::Idle | State::Fresh) && !slot.flags.has(Flags::QUEUED) {
                // A request may have come that no event has told of yet; if not, it is closed.
                self.advance(index, self.desk.budget(true));
            }
        }
    }

    pub(super) fn close_listeners(&mut self) {
        for listener in core::mem::take(&mut self.listeners).into_iter().flatten() {
            self.close_listener(listener);
        }
    }

    /// Connections that an acceptor handed over and that nobody will serve.
    pub(super) fn close_undelivered(&mut self) {
        while self.channel.wait(&mut self.events, Deadline::Now).is_ok() {
            let mut more = false;
            for at in 0..self.events.as_slice().len() {
                if let Event::Message(message) = self.events.as_slice()[at] {
                    more = true;
                    if let Message::Adopt(socket) = message {
                        self.close_socket(socket);
                    }
                }
            }
            if !more {
                return;
            }
        }
    }

    /// Closes everything.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.close_listeners();
        for index in 0..self.slots.as_slice().len() as u32 {
            self.close(index);
        }
        self.desk.service.turn_ended();
        // Last, for an acceptor may go on handing over as long as the channel lives.
        self.close_undelivered();
    }
}
