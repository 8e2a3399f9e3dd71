//! One worker's thread.

use crate::memory::WorkerMemory;
use crate::server::{Listeners, lacking};
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

/// Field lines that a head may have, unless something else is asked for.
pub(crate) const FIELDS: u8 = 100;

/// The most buffers that one worker has: as many connections can be in the middle of a request. A whole request without
/// a body keeps no buffer and is answered whatever the others hold; a holder without progress loses its buffer to a
/// connection that waits for one. So this bounds memory (160 MB with heads of 16 KB, touched only when used), not the
/// number of clients.
const LEASES_LIMIT: usize = 4_096;

/// What a service has to do besides its requests.
pub(crate) trait Chores {
    /// Does what is due at `now`, in milliseconds of the worker's clock; tells in how many
    /// milliseconds there will be more to do, if there is no request before.
    fn chores(&mut self, now: u64) -> Option<u32>;

    /// The worker begins; `wake` is the sending end of its messages.
    fn begin(&mut self, wake: Wake);

    /// Bytes of the longest reply that it writes at once.
    fn reply_bytes(&self) -> usize;
}

/// Bytes of a response that every buffer has room for.
const RESPONSE_BYTES: usize = 4 << 10;

/// Bytes of a lease: for a head, a collected body, and a response that is as long as a head, or longer.
fn lease_bytes(limits: &Limits, reply: usize) -> usize {
    let response = usize::from(limits.head_bytes)
        .max(reply)
        .max(RESPONSE_BYTES);
    (limits.request_bytes() + response).min(Leases::LARGEST)
}

/// What is decided about a worker before it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Its number.
    pub index: u32,
    /// Its own limits.
    pub limits: Limits,
    /// Header fields that a request may have.
    pub fields: u8,
    /// Workers that start after it, for which there has to be memory, too.
    pub others: usize,
}

/// Serves until told to stop. The channel is made here, on the worker's own thread; `ready` is
/// given its sending end, or why the worker cannot serve.
///
/// # Errors
/// When the channel broke while it served; everything is closed then.
pub(crate) fn serve<S>(
    plan: Plan,
    listeners: Listeners,
    mut service: S,
    stats: &Stats,
    ready: impl FnOnce(Result<Wake, String>),
) -> Result<(), Error>
where
    S: Service<File = File> + Chores,
{
    let Plan {
        index,
        limits,
        fields,
        others,
    } = plan;
    let channel = match Channel::new(MESSAGES) {
        Ok(channel) => channel,
        Err(error) => {
            ready(Err(lacking(&error)));
            return Ok(());
        }
    };
    let size = lease_bytes(&limits, service.reply_bytes());
    let count = (limits.connections as usize + REFUSALS as usize).min(LEASES_LIMIT);
    let slots = limits.connections as usize + REFUSALS as usize;
    // One more for the request line.
    let rows = usize::from(fields) + 1;
    let mut memory = match WorkerMemory::new(slots, count, size, rows, others) {
        Ok(memory) => memory,
        Err(error) => {
            ready(Err(error.to_string()));
            return Ok(());
        }
    };
    let notifier = channel.notifier();
    service.begin(channel.notifier());
    let mut worker = Worker::new(Parts {
        index,
        channel,
        transport: PosixTransport,
        clock: PosixClock,
        service,
        slots: memory.slots,
        leases: Leases::new(&mut memory.bytes, &mut memory.fields, size, rows),
        scratch: &mut memory.scratch,
        stats,
        limits,
    });
    if let Err(error) = listeners.hand_to(|listener| worker.listen(listener)) {
        // A worker that stops closes what it took.
        if notifier.send(Message::Stop).is_ok() {
            let _ = worker.run();
        }
        ready(Err(lacking(&error)));
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
