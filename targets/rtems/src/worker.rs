//! The tasks of a server: its workers, and an acceptor where there is more than one of them.

use crate::console::say;
use crate::files::{Files, Held};
use crate::memory::Slots;
use crate::service::{App, ImageService, Note};
use crate::site::ImageSite;
use crate::way::{self, Channel, Notifier};
use capuchin_core::Slot;
use capuchin_core::acceptor::Acceptor;
use capuchin_core::http::fields::Field;
use capuchin_core::limits::Limits;
use capuchin_core::pool::Leases;
use capuchin_core::route::{Route, Routed};
use capuchin_core::server::{Parts, Worker};
use capuchin_core::stats::Stats;
use capuchin_core::table::{Entry, Table};
use capuchin_core::transport::Socket;
use capuchin_posix::{Links, Root};
use capuchin_rtems::{Room, StartError, TickClock, task};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

type ImageWorker = Worker<'static, Channel, way::Transport, TickClock, ImageService, Slots>;
type ImageParts = Parts<'static, Channel, way::Transport, TickClock, ImageService, Slots>;
type ImageAcceptor = Acceptor<'static, Channel, way::Transport, TickClock, Notifier>;

/// What all workers of a server have in common.
pub struct Common {
    pub app: App,
    pub routes: &'static [Route<'static, App>],
    pub pages: &'static [Entry],
    pub directory: Option<(&'static CStr, Links)>,
    pub limits: Limits,
    pub buffer_size: usize,
    pub rows: usize,
    pub messages: usize,
}

/// The life of a task.
pub struct Phase(AtomicU32);

/// There is no task, or it could not be.
const NONE: u32 = 0;
const STARTING: u32 = 1;
const RUNNING: u32 = 2;
const FAILED: u32 = 3;
const OVER: u32 = 4;

impl Phase {
    pub fn new() -> Self {
        Self(AtomicU32::new(NONE))
    }

    fn set(&self, phase: u32) {
        self.0.store(phase, Ordering::SeqCst);
    }

    fn is(&self, phase: u32) -> bool {
        self.0.load(Ordering::SeqCst) == phase
    }

    /// The task was created, or it was not. It may be further by now.
    pub fn created(&self, created: bool) {
        if created {
            let _ = self
                .0
                .compare_exchange(NONE, STARTING, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Waits until the task runs; `false` when it could not.
    pub fn has_started(&self) -> bool {
        while self.is(STARTING) {
            task::wake_after(1);
        }
        self.is(RUNNING) || self.is(OVER)
    }

    pub fn is_running(&self) -> bool {
        self.is(RUNNING)
    }

    /// Waits until the task has ended.
    pub fn has_ended(&self) {
        while self.is(RUNNING) || self.is(STARTING) {
            task::wake_after(1);
        }
    }

    /// Whether the task had what it was given: it ran, or closed it when it could not.
    pub fn took_over(&self) -> bool {
        !self.is(NONE)
    }
}

/// Memory of which one task takes the content, once.
pub struct Handed<T>(UnsafeCell<Option<T>>);

// SAFETY: `take` is called by one task only, after the task that made it, so the content moves from one task to
// another: `T: Send`. Only `peek` gives several tasks a reference to it, and requires `T: Sync`.
unsafe impl<T: Send> Sync for Handed<T> {}

impl<T> Handed<T> {
    pub fn new(content: T) -> Self {
        Self(UnsafeCell::new(Some(content)))
    }

    pub fn empty() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// # Safety
    /// Called by one task only.
    unsafe fn take(&self) -> Option<T> {
        // SAFETY: nobody else looks at it.
        unsafe { (*self.0.get()).take() }
    }

    /// Puts something in its place for others, before the phase tells them that it is there.
    ///
    /// # Safety
    /// Called by one task only, before anybody calls [`Handed::peek`].
    unsafe fn put(&self, content: T) {
        // SAFETY: nobody else looks at it yet.
        unsafe { *self.0.get() = Some(content) };
    }

    /// # Safety
    /// Nobody changes it any more.
    unsafe fn peek(&self) -> Option<&T>
    where
        T: Sync,
    {
        // SAFETY: the caller's word.
        unsafe { (*self.0.get()).as_ref() }
    }
}

/// Memory that one worker has for itself.
pub struct WorkerMemory {
    pub room: Room,
    pub slots: &'static mut [MaybeUninit<Slot>],
    pub bytes: &'static mut [u8],
    pub fields: &'static mut [Field],
    pub scratch: &'static mut [u8],
    pub held: &'static mut [Held],
    pub place: &'static mut MaybeUninit<ImageWorkerPlace>,
}

/// Where the worker itself lies: it is too large for its task's stack.
pub struct ImageWorkerPlace(ImageWorker);

/// One worker, as others see it.
pub struct WorkerControl {
    pub common: &'static Common,
    pub index: u32,
    pub phase: Phase,
    /// The task, while it runs.
    pub task: AtomicU32,
    pub stats: Stats,
    pub notes: &'static [Note],
    pub listener: Option<Socket>,
    pub memory: Handed<WorkerMemory>,
    pub notifier: Handed<Notifier>,
    /// Why it failed, for the console.
    pub failure: Handed<StartError>,
}

impl WorkerControl {
    /// The sending end of its messages, once it has started.
    pub fn notifier(&self) -> Option<Notifier> {
        if self.phase.is(NONE) || self.phase.is(STARTING) {
            return None;
        }
        // SAFETY: the worker put it there before it left that phase.
        unsafe { self.notifier.peek() }.copied()
    }

    /// Whether this task is the worker's.
    pub fn is_this_task(&self) -> bool {
        self.phase.is_running() && self.task.load(Ordering::SeqCst) == task::this()
    }

    /// Why it could not start.
    pub fn failure(&self) -> Option<StartError> {
        // SAFETY: the worker put it there before it told that it failed.
        unsafe { self.failure.peek() }.copied()
    }
}

/// The worker task. Its argument is its [`WorkerControl`].
///
/// # Safety
/// The argument is as said, and this is the only task with it.
pub unsafe extern "C" fn worker_task(argument: usize) {
    // SAFETY: the caller's word.
    let control = unsafe { &*(argument as *const WorkerControl) };
    // SAFETY: this is the task that it is for.
    if let Some(memory) = unsafe { control.memory.take() } {
        match worker_of(control, memory) {
            Ok(worker) => {
                // SAFETY: nobody looks at it before the phase changes.
                unsafe { control.notifier.put(worker.notifier()) };
                control.task.store(task::this(), Ordering::SeqCst);
                control.phase.set(RUNNING);
                if let Err(error) = worker.run() {
                    say(format_args!("worker {} stopped: {error}", control.index));
                }
                // SAFETY: written by `worker_of`, and used no more: its channel gives back what it has.
                unsafe { core::ptr::drop_in_place(worker) };
                control.phase.set(OVER);
            }
            Err(failure) => {
                // SAFETY: as above.
                unsafe { control.failure.put(failure) };
                control.phase.set(FAILED);
            }
        }
    }
    task::exit()
}

#[inline(never)]
#[allow(clippy::mut_from_ref, reason = "the memory is that of `memory`")]
fn worker_of(
    control: &'static WorkerControl,
    memory: WorkerMemory,
) -> Result<&'static mut ImageWorker, StartError> {
    let common = control.common;
    // The channel is made on the task that waits with it.
    let channel = way::channel(memory.room, common.messages)
        .inspect_err(|_| control.listener.into_iter().for_each(give_back))?;
    let files = common.directory.and_then(|(path, links)| {
        let root = Root::open(path, links).inspect_err(|error| {
            say(format_args!("the directory cannot be served: {error}"));
        });
        Some(Files::new(root.ok()?, memory.held))
    });
    let site = ImageSite::new(Table::new(common.pages), files);
    let routed = Routed::new(common.routes, &common.app, site);
    let parts = Parts {
        index: control.index,
        channel,
        transport: way::transport(memory.room),
        clock: TickClock::new(),
        service: ImageService::new(routed, &common.app, control.notes),
        slots: Slots::new(memory.slots),
        leases: Leases::new(memory.bytes, memory.fields, common.buffer_size, common.rows),
        scratch: memory.scratch,
        stats: &control.stats,
        limits: common.limits,
    };
    let worker = put(memory.place, parts);
    if let Some(listener) = control.listener
        && let Err(error) = worker.listen(listener)
    {
        // SAFETY: written just now, and used no more: its channel gives back what it has.
        unsafe { core::ptr::drop_in_place(worker) };
        return Err(StartError::Listener(error));
    }
    Ok(worker)
}

/// Makes the worker in its place. By itself, for it passes through the stack of whoever makes it.
#[inline(never)]
fn put(
    place: &'static mut MaybeUninit<ImageWorkerPlace>,
    parts: ImageParts,
) -> &'static mut ImageWorker {
    &mut place.write(ImageWorkerPlace(Worker::new(parts))).0
}

/// Memory that the acceptor has for itself.
pub struct AcceptorMemory {
    pub room: Room,
    pub notifiers: &'static mut [MaybeUninit<Notifier>],
    pub stats: &'static mut [MaybeUninit<&'static Stats>],
    pub handed: &'static mut [usize],
    pub place: &'static mut MaybeUninit<AcceptorPlace>,
}

/// Where the acceptor itself lies.
pub struct AcceptorPlace(ImageAcceptor);

/// The acceptor, as others see it.
pub struct AcceptorControl {
    pub phase: Phase,
    pub listener: Socket,
    pub workers: &'static [WorkerControl],
    pub own: Handed<AcceptorMemory>,
    pub notifier: Handed<Notifier>,
    /// Why it failed, for the console.
    pub failure: Handed<StartError>,
}

impl AcceptorControl {
    /// The sending end of its messages, once it has started.
    pub fn notifier(&self) -> Option<Notifier> {
        // SAFETY: the acceptor put it there before it told that it runs.
        unsafe { self.notifier.peek() }.copied()
    }

    /// Why it could not start.
    pub fn failure(&self) -> Option<StartError> {
        // SAFETY: the acceptor put it there before it told that it failed.
        unsafe { self.failure.peek() }.copied()
    }
}

/// The acceptor's task. Its argument is its [`AcceptorControl`]; the workers have started.
///
/// # Safety
/// The argument is as said, and this is the only task with it.
pub unsafe extern "C" fn acceptor_task(argument: usize) {
    // SAFETY: the caller's word.
    let control = unsafe { &*(argument as *const AcceptorControl) };
    // SAFETY: this is the task that it is for.
    if let Some(own) = unsafe { control.own.take() } {
        match acceptor_of(control, own) {
            Ok(acceptor) => {
                // SAFETY: nobody looks at it before the phase changes.
                unsafe { control.notifier.put(acceptor.notifier()) };
                control.phase.set(RUNNING);
                if let Err(error) = acceptor.run() {
                    say(format_args!("the acceptor stopped: {error}"));
                }
                // SAFETY: written by `acceptor_of`, and used no more.
                unsafe { core::ptr::drop_in_place(acceptor) };
                control.phase.set(OVER);
            }
            Err(failure) => {
                // SAFETY: as above.
                unsafe { control.failure.put(failure) };
                control.phase.set(FAILED);
            }
        }
    }
    task::exit()
}

#[inline(never)]
#[allow(clippy::mut_from_ref, reason = "the memory is that of `own`")]
fn acceptor_of(
    control: &'static AcceptorControl,
    own: AcceptorMemory,
) -> Result<&'static mut ImageAcceptor, StartError> {
    // The acceptor is told nothing but to stop.
    let channel = way::channel(own.room, 1).inspect_err(|_| give_back(control.listener))?;
    for ((worker, notifier), stats) in control
        .workers
        .iter()
        .zip(&mut *own.notifiers)
        .zip(&mut *own.stats)
    {
        // The workers run: each has one.
        if let Some(sender) = worker.notifier() {
            notifier.write(sender);
        }
        stats.write(&worker.stats);
    }
    // SAFETY: there is a place for each worker, and all were just written.
    let (notifiers, stats) = unsafe {
        (
            &*(&raw const *own.notifiers as *const [Notifier]),
            &*(&raw const *own.stats as *const [&'static Stats]),
        )
    };
    let transport = way::transport(own.room);
    let clock = TickClock::new();
    let acceptor = Acceptor::new(channel, transport, clock, notifiers, stats, own.handed);
    let acceptor = &mut own.place.write(AcceptorPlace(acceptor)).0;
    // The acceptor closes a listener that it cannot have.
    if let Err(error) = acceptor.listen(control.listener) {
        // SAFETY: written just now, and used no more: its channel gives back what it has.
        unsafe { core::ptr::drop_in_place(acceptor) };
        return Err(StartError::Listener(error));
    }
    Ok(acceptor)
}

/// Closes a listener that nobody will accept from.
fn give_back(listener: Socket) {
    let _ = way::close(listener);
}
