//! What a channel shares with other tasks and with interrupt handlers: the bell that wakes it, and which
//! of its sockets libbsd may have forgotten.
//!
//! It promises that a ring is heard, from whatever context, and that nobody writes to a descriptor that the
//! channel has closed: senders of messages are inside the gate of [`capuchin_rtems::Mail`] while they ring,
//! who tells of a loss is counted here, and timer and interrupt server are done before the bell goes.
//!
//! An interrupt handler cannot write to a socket: RTEMS's interrupt server, which libbsd starts for its
//! drivers, does it instead.

use capuchin_core::transport::Socket;
use capuchin_core::wake::Wake;
use capuchin_posix::{Descriptor, socket_pair, write_byte};
use capuchin_rtems::cell::Cell;
use capuchin_rtems::{FeedError, StatusCode, number, task, ticks};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering::SeqCst};

/// Numbers of libbsd that others may use beyond the highest of our own.
const SPARE_NUMBERS: u32 = 32;

/// `rtems_interrupt_server_request`, an opaque type.
type Request = [usize; 8];
/// `RTEMS_INTERRUPT_SERVER_DEFAULT`.
const DEFAULT_SERVER: u32 = 0;

type Routine = unsafe extern "C" fn(*mut c_void);
type TimerRoutine = unsafe extern "C" fn(u32, *mut c_void);

unsafe extern "C" {
    fn rtems_interrupt_server_request_initialize(
        server: u32,
        request: *mut Request,
        routine: Routine,
        argument: *mut c_void,
    ) -> u32;
    // A request begins with its entry: `rtems_interrupt_server_request_submit` and `..._destroy` are
    // inline functions that call these.
    fn rtems_interrupt_server_entry_submit(entry: *mut Request);
    fn rtems_interrupt_server_entry_destroy(entry: *mut Request);
    safe fn rtems_interrupt_is_in_progress() -> u8;
    fn rtems_timer_create(name: u32, id: *mut u32) -> u32;
    fn rtems_timer_fire_after(
        id: u32,
        ticks: u32,
        routine: TimerRoutine,
        argument: *mut c_void,
    ) -> u32;
    safe fn rtems_timer_delete(id: u32) -> u32;
}

/// A channel's place among those that others know. A server has a channel for each worker and one for
/// its acceptor.
static PLACES: [Station; 16] = [const { Station::new() }; 16];

struct Station {
    taken: AtomicBool,
    /// The rest is as it should be.
    open: AtomicBool,
    wake: Wake,
    /// The writing end of the socketpair.
    bell: AtomicI32,
    request: UnsafeCell<Request>,
    /// The timer has fired since it was set.
    fired: AtomicBool,
    /// The channel's cells.
    cells: AtomicPtr<Cell>,
    count: AtomicU32,
    /// The channel's task: it need not be rung for its own losses.
    owner: AtomicU32,
    /// A cell was lost.
    loss: AtomicBool,
    /// Who is telling of one at this moment.
    inside: AtomicU32,
}

// SAFETY: the request is initialised by the channel that has taken the place, before anybody else knows of
// it, and used by RTEMS's directives only, which lock.
unsafe impl Sync for Station {}

impl Station {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            open: AtomicBool::new(false),
            wake: Wake::new(),
            bell: AtomicI32::new(-1),
            request: UnsafeCell::new([0; 8]),
            fired: AtomicBool::new(false),
            cells: AtomicPtr::new(null_mut()),
            count: AtomicU32::new(0),
            owner: AtomicU32::new(0),
            loss: AtomicBool::new(false),
            inside: AtomicU32::new(0),
        }
    }

    /// Wakes the channel, from any context.
    fn ring(&self) {
        if rtems_interrupt_is_in_progress() == 0 {
            write_byte(self.bell.load(SeqCst));
        } else {
            // SAFETY: the request was initialised, and is destroyed after the last that rings.
            unsafe { rtems_interrupt_server_entry_submit(self.request.get()) };
        }
    }

    /// Tells the channel that libbsd has forgotten a socket, if it is one of its own.
    fn lose(&self, number: u32) {
        // SAFETY: `Shared::new` has taken both from a static slice, before it opened the place.
        let cells = unsafe {
            core::slice::from_raw_parts(self.cells.load(SeqCst), self.count.load(SeqCst) as usize)
        };
        let Some(cell) = cells.get(number as usize).filter(|cell| cell.is_watched()) else {
            return;
        };
        // Nobody looks for entries: the flag is enough.
        let _ = cell.lose();
        self.loss.store(true, SeqCst);
        if self.owner.load(SeqCst) != task::this() {
            self.ring();
        }
    }
}

/// A socket with this number of libbsd was closed: whoever watches another that is filed under it
/// watches it anew.
pub(super) fn lose(number: u32) {
    for place in &PLACES {
        if place.open.load(SeqCst) {
            place.inside.fetch_add(1, SeqCst);
            // The channel may have begun to go: then it did so before it looked who is inside.
            if place.open.load(SeqCst) {
                place.lose(number);
            }
            place.inside.fetch_sub(1, SeqCst);
        }
    }
}

/// The interrupt server's part.
unsafe extern "C" fn ring_for_interrupt(argument: *mut c_void) {
    // SAFETY: `Shared::new` passed a static.
    let place = unsafe { &*argument.cast::<Station>() };
    write_byte(place.bell.load(SeqCst));
}

/// The timer's part, in the clock's interrupt.
unsafe extern "C" fn ring_for_timer(_timer: u32, argument: *mut c_void) {
    // SAFETY: `Shared::new` passed a static.
    let place = unsafe { &*argument.cast::<Station>() };
    place.fired.store(true, SeqCst);
    place.ring();
}

/// The others' end of a channel.
#[derive(Clone, Copy)]
pub(super) struct Place(&'static Station);

impl core::fmt::Debug for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Place")
    }
}

impl Place {
    /// Wakes the channel, which is there, for a message that was just queued; from any context.
    pub(super) fn ring(self) {
        let queued = || Ok::<(), ()>(());
        let _ = self.0.wake.send(queued, || self.0.ring());
    }
}

/// The channel's own end.
#[derive(Debug)]
pub(super) struct Shared {
    place: Place,
    /// The reading end; the writing end is closed with it.
    bell: Descriptor,
    _ring: Descriptor,
    timer: u32,
    /// When it fires, in ticks.
    fires_at: u32,
    /// libbsd's highest number of a socket that was watched.
    highest: u32,
}

impl Shared {
    pub(super) fn new(cells: &'static [Cell]) -> Result<Self, FeedError> {
        let (bell, ring) = socket_pair().map_err(FeedError::Socketpair)?;
        let place = PLACES
            .iter()
            .find(|place| !place.taken.swap(true, SeqCst))
            .ok_or(FeedError::Bell(StatusCode::TOO_MANY))?;
        let give_back = |code| {
            place.taken.store(false, SeqCst);
            FeedError::Bell(code)
        };
        place.bell.store(ring.number(), SeqCst);
        let argument = (&raw const *place).cast_mut().cast();
        // SAFETY: the request is this channel's from now on, and nobody else knows of it.
        let code = unsafe {
            rtems_interrupt_server_request_initialize(
                DEFAULT_SERVER,
                place.request.get(),
                ring_for_interrupt,
                argument,
            )
        };
        StatusCode::check(code).map_err(give_back)?;
        let mut timer = 0;
        // SAFETY: the identifier lives through the call.
        let code = unsafe { rtems_timer_create(u32::from_be_bytes(*b"CAPU"), &raw mut timer) };
        if let Err(code) = StatusCode::check(code) {
            // SAFETY: it was initialised just now, and nobody has submitted it.
            unsafe { rtems_interrupt_server_entry_destroy(place.request.get()) };
            return Err(give_back(code));
        }
        place.cells.store(cells.as_ptr().cast_mut(), SeqCst);
        place.count.store(cells.len() as u32, SeqCst);
        place.owner.store(task::this(), SeqCst);
        place.loss.store(false, SeqCst);
        place.fired.store(true, SeqCst);
        place.open.store(true, SeqCst);
        Ok(Self {
            place: Place(place),
            bell,
            _ring: ring,
            timer,
            fires_at: 0,
            highest: 0,
        })
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// What becomes readable when somebody rings.
    pub(super) fn descriptor(&self) -> c_int {
        self.bell.number()
    }

    /// A message was sent since the last look: a hint.
    pub(super) fn is_pending(&self) -> bool {
        self.place.0.wake.is_pending()
    }

    /// Takes messages by `take`, so that none is overlooked ([`Wake::receive`]).
    pub(super) fn receive<R>(&self, take: impl FnOnce() -> R) -> R {
        self.place.0.wake.receive(|| self.bell.read_empty(), take)
    }

    /// Rings at that tick, or before.
    pub(super) fn ring_at(&mut self, tick: u32) {
        let place = self.place.0;
        if !place.fired.load(SeqCst) && super::is_reached(tick, self.fires_at) {
            return;
        }
        place.fired.store(false, SeqCst);
        self.fires_at = tick;
        let from_now = tick.wrapping_sub(ticks());
        let from_now = if from_now as i32 > 0 { from_now } else { 1 };
        let argument = (&raw const *place).cast_mut().cast();
        // SAFETY: the routine gets a static.
        let code =
            unsafe { rtems_timer_fire_after(self.timer, from_now, ring_for_timer, argument) };
        debug_assert_eq!(code, 0, "the timer is there until its owner goes");
    }

    /// A socket is about to be watched.
    pub(super) fn watches(&mut self, socket: Socket) {
        self.highest = self.highest.max(number(socket));
    }

    /// Sockets below this number may have been hit by others' closes.
    pub(super) fn endangered(&self) -> i32 {
        (self.highest + SPARE_NUMBERS + 1) as i32
    }

    /// Whether a cell was lost since the last look.
    pub(super) fn take_loss(&self) -> bool {
        self.place.0.loss.load(SeqCst) && self.place.0.loss.swap(false, SeqCst)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let place = self.place.0;
        place.open.store(false, SeqCst);
        while place.inside.load(SeqCst) > 0 {
            task::wake_after(1);
        }
        rtems_timer_delete(self.timer);
        // SAFETY: it was initialised, and nobody rings any more: the timer is gone, who tells of losses is
        // out, and the mailbox has closed its gate before. What the server has begun it ends before this
        // returns.
        unsafe { rtems_interrupt_server_entry_destroy(place.request.get()) };
        place.taken.store(false, SeqCst);
    }
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    value "sizeof(rtems_interrupt_server_request)" = size_of::<Request>();
    value "offsetof(rtems_interrupt_server_request, entry)" = 0;
    value "RTEMS_INTERRUPT_SERVER_DEFAULT" = DEFAULT_SERVER;
}
