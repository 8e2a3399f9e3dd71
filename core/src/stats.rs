//! Counters that a worker keeps and anybody may read.
//!
//! One [`Stats`] per worker: only that worker adds, so the hot path shares nothing. A reader adds
//! the workers' [`Snapshot`]s up. Counters are as wide as the machine's word and wrap at its end
//! (on 32-bit systems at 2^32).

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

macro_rules! counters {
    ($($name:ident $text:literal $help:literal;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $(#[doc = $help] $name,)*
        }

        impl Counter {
            /// Every counter, in the order in which they are shown.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];

            /// The name used in texts: lower case with underscores.
            #[must_use]
            pub const fn name(self) -> &'static str {
                NAMES[self as usize]
            }

            /// One line that says what is counted.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Counter::$name => $help,)* }
            }
        }

        const COUNTERS: usize = Counter::ALL.len();

        /// One table, where a `match` would be one in each place that it is inlined in.
        static NAMES: [&str; COUNTERS] = [$($text,)*];
    };
}

counters! {
    Accepted "connections_accepted" "Connections taken into service";
    Closed "connections_closed" "Connections that ended";
    Refused "connections_refused" "Connections turned away, with 503 where there was a place to say so";
    Evicted "connections_evicted" "Idle connections closed early to make room for new ones";
    Reset "connections_reset" "Connections that the peer or the network broke";
    AcceptFailed "accept_failures" "Failures to accept, for want of descriptors or memory";
    CloseFailed "close_failures" "Sockets that the system reported as not closed properly";
    Requests "requests" "Requests whose head was complete";
    Replies1xx "replies_1xx" "Interim replies (100 Continue)";
    Replies2xx "replies_2xx" "Replies of class 2xx";
    Replies3xx "replies_3xx" "Replies of class 3xx";
    Replies4xx "replies_4xx" "Replies of class 4xx";
    Replies5xx "replies_5xx" "Replies of class 5xx";
    Rejected "requests_rejected" "Requests that ended before a handler answered: syntax, framing, limits, timeouts";
    Abandoned "replies_abandoned" "Replies that could not be sent to their end";
    Deferred "replies_deferred" "Replies that a handler completed later";
    StaleTickets "tickets_stale" "Completions whose request was gone";
    TimedOut "timeouts" "Deadlines that passed, idle connections included";
    BytesReceived "bytes_received" "Bytes received from clients";
    BytesSent "bytes_sent" "Bytes handed to the network";
    Receives "receives" "Receive calls";
    Sends "sends" "Send calls";
    WouldBlock "would_block" "Calls that had to be tried again later";
    LeaseWaits "lease_waits" "Times that a connection waited for a free buffer";
    LeasesTaken "leases_taken" "Buffers taken";
    LeasesReturned "leases_returned" "Buffers given back";
    Turns "turns" "Times that the worker waited for events";
    EventsReady "events_ready" "Events that told of a ready socket";
    EventsStale "events_stale" "Events for a connection that was gone";
    Messages "messages" "Messages from other threads or tasks";
}

/// The counters of one worker.
#[derive(Debug)]
pub struct Stats {
    cells: [AtomicUsize; COUNTERS],
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

impl Stats {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cells: [const { AtomicUsize::new(0) }; COUNTERS],
        }
    }

    /// Adds to a counter; called by the owning worker only, so a plain load and store will do.
    #[inline]
    pub fn add(&self, counter: Counter, amount: usize) {
        let cell = &self.cells[counter as usize];
        cell.store(
            cell.load(Ordering::Relaxed).wrapping_add(amount),
            Ordering::Relaxed,
        );
    }

    /// Adds one.
    #[inline]
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Takes one back that was counted too early.
    pub(crate) fn take_back(&self, counter: Counter) {
        self.add(counter, usize::MAX); // it wraps
    }

    /// One counter's value now.
    #[must_use]
    pub fn value(&self, counter: Counter) -> usize {
        self.cells[counter as usize].load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        // In this order: what is accepted and closed in between makes it too large, never negative.
        let closed = self.value(Counter::Closed);
        difference(self.value(Counter::Accepted), closed)
    }

    /// All values; each is exact, together they may be some events apart.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.add(self);
        snapshot
    }
}

/// How far `ahead` is of `behind`, both of which wrap; 0 when it is not, which a reader may see that
/// is slower than the worker.
fn difference(ahead: usize, behind: usize) -> usize {
    let distance = ahead.wrapping_sub(behind);
    if distance > isize::MAX as usize {
        0
    } else {
        distance
    }
}

/// Values of all counters at one moment, of one worker or summed over several.
///
/// ```
/// use capuchin_core::stats::{Counter, Snapshot, Stats};
///
/// let workers = [Stats::new(), Stats::new()];
/// workers[0].count(Counter::Requests);
/// workers[1].add(Counter::Requests, 2);
/// let mut sum = Snapshot::default();
/// workers.iter().for_each(|stats| sum.add(stats));
/// assert_eq!(sum.value(Counter::Requests), 3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    values: [usize; COUNTERS],
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            values: [0; COUNTERS],
        }
    }
}

impl Snapshot {
    /// Adds another worker's values.
    pub fn add(&mut self, stats: &Stats) {
        // The last first: what ended is read before what began, see `Stats::open`.
        for (value, cell) in self.values.iter_mut().zip(&stats.cells).rev() {
            *value = value.wrapping_add(cell.load(Ordering::Relaxed));
        }
    }

    /// One value.
    #[must_use]
    pub fn value(&self, counter: Counter) -> usize {
        self.values[counter as usize]
    }

    /// Connections open at that moment.
    #[must_use]
    pub fn open(&self) -> usize {
        difference(self.value(Counter::Accepted), self.value(Counter::Closed))
    }

    /// Writes `name value` lines, one a counter.
    ///
    /// # Errors
    /// When `out` refuses.
    pub fn write_text(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "connections_open {}", self.open())?;
        Counter::ALL
            .iter()
            .try_for_each(|&counter| writeln!(out, "{} {}", counter.name(), self.value(counter)))
    }

    /// Writes the text format of Prometheus (version 0.0.4), names prefixed with `capuchin_`.
    ///
    /// # Errors
    /// When `out` refuses.
    pub fn write_prometheus(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(
            out,
            "# HELP capuchin_connections_open Connections open now\n# TYPE capuchin_connections_open gauge\ncapuchin_connections_open {}",
            self.open()
        )?;
        Counter::ALL.iter().try_for_each(|&counter| {
            let (name, help, value) = (counter.name(), counter.help(), self.value(counter));
            writeln!(
                out,
                "# HELP capuchin_{name}_total {help}\n# TYPE capuchin_{name}_total counter\ncapuchin_{name}_total {value}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_connections_are_never_negative_and_survive_the_wrap() {
        for (accepted, closed, open) in [
            (0, 0, 0),
            (5, 3, 2),
            // Read while the worker went on.
            (3, 5, 0),
            (1, usize::MAX, 2),
            (usize::MAX, 1, 0),
        ] {
            let stats = Stats::new();
            stats.add(Counter::Accepted, accepted);
            stats.add(Counter::Closed, closed);
            assert_eq!(stats.open(), open);
            assert_eq!(stats.snapshot().open(), open);
        }
    }
}
