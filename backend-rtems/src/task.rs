//! Tasks, as far as a server has its own: workers, an acceptor, the relay.
//!
//! A task has default modes and attributes: no floating-point context, which this code does not use.

use crate::queue::StatusCode;
use crate::sys;

/// `RTEMS_SELF`.
pub const SELF: u32 = 0;
/// `RTEMS_CURRENT_PRIORITY`.
pub const CURRENT_PRIORITY: u32 = 0;

/// A task that is to be started.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Its name: four letters.
    pub name: [u8; 4],
    /// 1 (most urgent) to what the application configured; `None`: as urgent as this one.
    pub priority: Option<u32>,
    /// Bytes of its stack.
    pub stack_bytes: usize,
}

impl Task {
    /// Starts the task, which runs `entry(argument)` and then ends itself by [`exit`]; its identifier.
    ///
    /// # Errors
    /// [`StatusCode::TOO_MANY`] when the application configured no further task,
    /// [`StatusCode::UNSATISFIED`] when there is no memory for its stack, and what else
    /// `rtems_task_create` answers.
    ///
    /// # Safety
    /// `entry` may be called with `argument` on a task of its own, at any time from now on.
    pub unsafe fn start(
        &self,
        entry: unsafe extern "C" fn(usize),
        argument: usize,
    ) -> Result<u32, StatusCode> {
        let priority = match self.priority {
            Some(priority) => priority,
            None => own_priority()?,
        };
        let (name, mut id) = (u32::from_be_bytes(self.name), 0);
        // SAFETY: the identifier lives through the call.
        StatusCode::check(unsafe {
            sys::rtems_task_create(name, priority, self.stack_bytes, 0, 0, &raw mut id)
        })?;
        // SAFETY: the caller's word.
        let started = StatusCode::check(unsafe { sys::rtems_task_start(id, entry, argument) });
        if started.is_err() {
            sys::rtems_task_delete(id);
        }
        started.map(|()| id)
    }
}

/// Waits in a row that have not run out, after which tasks as urgent as the worker go first: those
/// that ended with something to do may not have slept.
pub(crate) const TURNS: u32 = 16;

/// The most urgent level that a task can have.
const MOST_URGENT: u32 = 1;

/// One level more urgent than the task that calls: for those who have to be heard while it is busy.
///
/// # Errors
/// What `rtems_task_set_priority` answers.
pub fn more_urgent() -> Result<u32, StatusCode> {
    Ok((own_priority()? - 1).max(MOST_URGENT))
}

/// Lets tasks that are as urgent as the worker have a turn now and then, however much there is to do.
#[derive(Debug, Default)]
pub struct Turns(u32);

impl Turns {
    /// Nobody waited yet.
    #[must_use]
    pub fn new() -> Self {
        Self(0)
    }

    /// A wait begins.
    pub fn begin(&mut self) {
        if self.0 == TURNS {
            self.0 = 0;
            wake_after(0);
        }
        self.0 += 1;
    }

    /// A wait ran out: others had their turn.
    pub fn slept(&mut self) {
        self.0 = 0;
    }
}

/// The identifier of the task that calls.
#[must_use]
pub fn this() -> u32 {
    sys::rtems_task_self()
}

/// How urgent the task that calls is at this moment.
pub(crate) fn own_priority() -> Result<u32, StatusCode> {
    let mut priority = 0;
    // SAFETY: the priority lives through the call.
    StatusCode::check(unsafe {
        sys::rtems_task_set_priority(SELF, CURRENT_PRIORITY, &raw mut priority)
    })?;
    Ok(priority)
}

/// Ends the task that calls.
pub fn exit() -> ! {
    sys::rtems_task_exit()
}

/// Lets so many clock ticks pass; 0 lets others of the same priority go first.
pub fn wake_after(ticks: u32) {
    sys::rtems_task_wake_after(ticks);
}
