//! Which connection is ended when buffers or places are short: the one without progress for the longest time.
//!
//! A buffer is kept by a connection with part of a head, with part of a body that is collected, with output that the
//! client does not take, or with requests behind one that is being answered. A place is kept by every connection.
//! While nobody waits for either, only the deadlines of [`Limits`] apply. When somebody does, the holder that has
//! been without progress for the longest time is ended, if that is [`Limits::stall_ms`] or more:
//!
//! | state | progress is | may be ended for a buffer | for a place | the client gets |
//! |---|---|---|---|---|
//! | nothing received yet | the first byte | holds none | yes | nothing |
//! | between two requests | a request | holds none | yes, at once | nothing |
//! | in a head | its end | yes | yes | 503 |
//! | in a body that is collected | its end, or [`PROGRESS_BYTES`](crate::limits::PROGRESS_BYTES) | yes | yes | 503 |
//! | in a body that a handler takes | any byte | if it holds one | yes | 503 |
//! | sending | the client has taken all that is ready, or [`PROGRESS_BYTES`](crate::limits::PROGRESS_BYTES) | if it holds one | yes | reset |
//! | waiting for the application | the application's answer | only with requests behind, which the client chose to send | no | 503 |
//! | waiting for storage | an answer of the site, or content | if it holds one | no | 503, or reset once its response has begun |
//! | after the last response | - | holds none | yes | nothing |
//!
//! The last buffer is never kept: requests that need none for longer than a turn (a whole head without a body) are
//! all served in it, so no number of holders makes them wait. If such a request has to keep its buffer after all, because
//! the client does not take the response, a holder without progress is ended at once; while all buffers are taken, a
//! quarter of [`Limits::stall_ms`] without progress is enough. One that would wait for storage with it ends itself if
//! there is no other.
//!
//! The search looks at a bounded number of slots and goes on where it stopped: with no more slots than that it is
//! exact. Times are computed from the deadlines of the connections, so no others are stored.

use super::events::{Phase, phase_of};
use super::*;

/// Slots that are looked at in one search.
const SAMPLE: u32 = 256;

/// Milliseconds after which the search for a holder is repeated while somebody waits for a buffer.
pub(super) const RETRY_MS: u32 = 100;

/// Holders that are ended in one turn for those that wait for a buffer.
const EVICTED_PER_TURN: u32 = 8;

/// What is short.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Short {
    Buffers,
    Places,
}

impl<C, T, K, S, A> Worker<'_, C, T, K, S, A>
where
    C: EventChannel,
    T: Transport,
    K: Clock,
    S: Service<File = T::File>,
    A: Arena<Slot>,
{
    /// Ends the connection that has made no progress for longest, for one that has just come.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn make_place(&mut self) {
        if let Some(index) = self.most_stalled(Short::Places) {
            self.evict(index, Counter::Evicted);
        }
    }

    /// The connection at `index` was moved on, and the last buffer is taken: if that connection keeps it, a holder
    /// without progress has to go; if there is none, the connection itself where it would wait for storage.
    #[inline(never)]
    pub(super) fn recover_last_lease(&mut self, index: u32) {
        if self.slots.as_slice()[index as usize].lease.is_none() {
            return;
        }
        let stalled = self.most_stalled(Short::Buffers);
        let slot = &self.slots.as_slice()[index as usize];
        let waits =
            matches!(slot.state, State::Finding | State::Loading) && !slot.flags.has(Flags::QUEUED);
        if let Some(gone) = stalled.or(waits.then_some(index)) {
            self.evict(gone, Counter::EvictedForBuffer);
        }
    }

    /// Gives buffers to those that wait for one, in order.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn serve_lease_waiters(&mut self) {
        if self.lease_queue.first == NO_SLOT {
            return;
        }
        let mut evictions = 0;
        self.desk.begin_share();
        for _ in 0..self.lease_queue.length {
            if !self.desk.leases.can_keep() {
                let stalled = match evictions {
                    EVICTED_PER_TURN => None,
                    _ => self.most_stalled(Short::Buffers),
                };
                let Some(stalled) = stalled else { return };
                evictions += 1;
                self.evict(stalled, Counter::EvictedForBuffer);
                if !self.desk.leases.can_keep() {
                    return;
                }
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

    /// Out of a sample, the connection that has been without progress for longest, if that is long enough.
    fn most_stalled(&mut self, short: Short) -> Option<u32> {
        let slots = self.slots.as_slice();
        let count = slots.len() as u32;
        let (now, limits) = (self.desk.now as u32, &self.desk.limits);
        let least = match short {
            // Nobody at all can be served.
            Short::Buffers if self.desk.leases.is_exhausted() => limits.stall_ms / 4,
            _ => limits.stall_ms,
        };
        let mut found = None;
        for step in 0..count.min(SAMPLE) {
            let index = (self.hand + step) % count;
            let slot = &slots[index as usize];
            if let Some(stalled) = stalled_for(slot, short, now, limits)
                && (stalled >= least || is_idle(slot))
                && found.is_none_or(|(_, most)| stalled > most)
            {
                found = Some((index, stalled));
            }
        }
        self.hand = (self.hand + SAMPLE.min(count)) % count.max(1);
        found.map(|(index, _)| index)
    }

    fn evict(&mut self, index: u32, counter: Counter) {
        self.desk.stats.count(counter);
        let slot = &mut self.slots.as_mut_slice()[index as usize];
        let token = Token {
            index,
            generation: slot.generation,
        };
        self.desk.turn_away(slot, token);
        self.close(index);
    }
}

/// Whether the connection can be closed without a loss for its client.
fn is_idle(slot: &Slot) -> bool {
    slot.state == State::Idle && slot.lease.is_none()
}

/// Milliseconds that a connection has been without progress, if it may be ended for what is short.
fn stalled_for(slot: &Slot, short: Short, now: u32, limits: &Limits) -> Option<u32> {
    if slot.state == State::Free
        || slot.flags.has(Flags::DEAD | Flags::QUEUED | Flags::REFUSED)
        || (short == Short::Buffers && slot.lease.is_none())
    {
        return None;
    }
    let phase = phase_of(slot);
    if phase == Phase::Handler && short == Short::Places {
        return None;
    }
    let limit = phase.limit(limits).min(i32::MAX as u32);
    let left = slot.timer.deadline().wrapping_sub(now);
    let stalled = limit.wrapping_sub(left);
    // A deadline that has passed and was not handled yet makes this more than the limit.
    (stalled <= i32::MAX as u32).then_some(stalled)
}
