//! One worker's thread.

use crate::memory::{Slots, zeroed_fields};
use crate::server::Listeners;
use capuchin_core::event::{Deadline, Error, EventChannel, Message, Notifier};
use capuchin_core::limits::Limits;
use capuchin_core::pool::Leases;
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::service::Service;
use capuchin_core::stats::Stats;
use capuchin_core::transport::Clock;
use capuchin_posix::{File, PosixClock, PosixTransport};

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "freebsd", capuchin_kqueue))] {
        pub(crate) use capuchin_kqueue::{KqueueChannel as Channel, KqueueNotifier as Wake};
    } else if #[cfg(target_os = "linux")] {
        pub(crate) use capuchin_epoll::{EpollChannel as Channel, EpollNotifier as Wake};
    } else {
        compile_error!("this target has no event channel yet: see backend-*");
    }
}

/// Messages that may wait for one worker.
pub(crate) const MESSAGES: usize = 512;

/// Field lines that a head may have.
pub(crate) const FIELDS: usize = 64;

/// The most buffers that one worker has: as many connections can be in the middle of a request. Whole requests without
/// a body need none to keep and are answered whoever holds the others; who holds one without progress makes way. So
/// this bounds memory (64 MB with heads of 8 KB, touched only when used), not the number of clients.
const LEASES_LIMIT: usize = 4_096;

/// What a service has to do besides its requests.
pub(crate) trait Chores {
    /// Does what is due at `now`, in milliseconds of the worker's clock; tells in how many
    /// milliseconds there will be more to do, if there is no request before.
    fn chores(&mut self, now: u64) -> Option<u32>;

    /// Bytes of the longest reply that it writes at once.
    fn reply_bytes(&self) -> usize;
}

/// Bytes of a lease: twice the longest head, for half of it is kept for a reply.
fn lease_bytes(limits: &Limits, reply: usize) -> usize {
    (usize::from(limits.head_bytes).max(reply) * 2).clamp(8 << 10, Leases::LARGEST)
}

/// Serves until told to stop. The channel is made here, on the worker's own thread; `ready` is
/// given its sending end, or why there is none.
///
/// # Errors
/// When the channel broke while it served; everything is closed then.
pub(crate) fn serve<S>(
    index: u32,
    listeners: Listeners,
    service: S,
    stats: &Stats,
    limits: Limits,
    ready: impl FnOnce(Result<Wake, Error>),
) -> Result<(), Error>
where
    S: Service<File = File> + Chores,
{
    let channel = match Channel::new(MESSAGES) {
        Ok(channel) => channel,
        Err(error) => {
            ready(Err(error));
            return Ok(());
        }
    };
    let size = lease_bytes(&limits, service.reply_bytes());
    let count = (limits.connections as usize + REFUSALS as usize).min(LEASES_LIMIT);
    let mut bytes = vec![0u8; size * count];
    let mut fields = zeroed_fields((FIELDS + 1) * count);
    let mut scratch = vec![0u8; size];
    let notifier = channel.notifier();
    let mut worker = Worker::new(Parts {
        index,
        channel,
        transport: PosixTransport,
        clock: PosixClock,
        service,
        slots: Slots::new(limits.connections as usize + REFUSALS as usize),
        leases: Leases::new(&mut bytes, &mut fields, size, FIELDS + 1),
        scratch: &mut scratch,
        stats,
        limits,
    });
    if let Err(error) = listeners.hand_to(|listener| worker.listen(listener)) {
        // A worker that stops closes what it took.
        if notifier.send(Message::Stop).is_ok() {
            let _ = worker.run();
        }
        ready(Err(error));
        return Ok(());
    }
    ready(Ok(notifier));
    let mut until = Deadline::Never;
    loop {
        match worker.turn(until) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // Tries once more, and closes everything if that fails, too.
            Err(_) => return worker.run(),
        }
        let next = worker.service().chores(PosixClock.monotonic());
        until = next.map_or(Deadline::Never, Deadline::After);
    }
}
