//! kqueue(2) as FreeBSD and RTEMS's libbsd have it: its words, and the two calls where there are such.
//!
//! For those who wait with it; what they make of it is their own.

use core::ffi::c_void;
use core::ptr::null_mut;

/// `struct kevent` of FreeBSD 12 and later: a change, or an event.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Kevent {
    /// What is watched: a descriptor.
    pub ident: usize,
    /// How it is looked at: [`EVFILT_READ`] and others.
    pub filter: i16,
    /// [`EV_ADD`] and others.
    pub flags: u16,
    /// The filter's own flags; with [`EV_EOF`] the connection's error, or 0.
    pub fflags: u32,
    /// The filter's own number; with [`EV_ERROR`] an `errno`.
    pub data: i64,
    /// Comes back as it was given.
    pub udata: *mut c_void,
    /// Further numbers that come back.
    pub ext: [u64; 4],
}

// SAFETY: the pointer is a number that comes back; nobody here follows it.
unsafe impl Send for Kevent {}

impl Kevent {
    /// A change to `filter` of the descriptor `ident`, which is not negative.
    #[must_use]
    pub const fn new(ident: i32, filter: i16, flags: u16) -> Self {
        Self {
            ident: ident as usize,
            filter,
            flags,
            fflags: 0,
            data: 0,
            udata: null_mut(),
            ext: [0; 4],
        }
    }
}

/// Bytes, connections, or the end of them.
pub const EVFILT_READ: i16 = -1;
/// Room to send.
pub const EVFILT_WRITE: i16 = -2;
/// What the caller triggers itself.
pub const EVFILT_USER: i16 = -11;

/// Adds what is to be watched, or changes it.
pub const EV_ADD: u16 = 0x1;
/// Watches it no more.
pub const EV_DELETE: u16 = 0x2;
/// Reports it from now on.
pub const EV_ENABLE: u16 = 0x4;
/// Keeps it without reporting it.
pub const EV_DISABLE: u16 = 0x8;
/// Deletes it when it was reported.
pub const EV_ONESHOT: u16 = 0x10;
/// Reports changes, not states.
pub const EV_CLEAR: u16 = 0x20;
/// Answers this change by an event with [`EV_ERROR`], also when nothing is wrong.
pub const EV_RECEIPT: u16 = 0x40;
/// Disables it when it was reported.
pub const EV_DISPATCH: u16 = 0x80;
/// Leaves `udata` as it is.
pub const EV_KEEPUDATA: u16 = 0x200;
/// This event answers a change: `data` is an `errno`, or 0.
pub const EV_ERROR: u16 = 0x4000;
/// This direction of the connection is over.
pub const EV_EOF: u16 = 0x8000;

/// Reports at `data` bytes, not at the socket's low-water mark.
pub const NOTE_LOWAT: u32 = 0x1;
/// Triggers [`EVFILT_USER`].
pub const NOTE_TRIGGER: u32 = 0x0100_0000;

#[cfg(any(target_os = "freebsd", target_os = "rtems"))]
mod calls {
    use super::Kevent;
    use crate::Descriptor;
    use crate::errno::errno;
    use core::ffi::c_int;
    use core::time::Duration;

    unsafe extern "C" {
        safe fn kqueue() -> c_int;
        #[link_name = "kevent"]
        fn system_kevent(
            kqueue: c_int,
            changes: *const Kevent,
            change_count: c_int,
            events: *mut Kevent,
            event_count: c_int,
            timeout: *const libc::timespec,
        ) -> c_int;
    }

    /// A kernel event queue.
    #[derive(Debug)]
    pub struct Kqueue(Descriptor);

    impl Kqueue {
        /// A new one. It does not outlive the process by fork(2) or exec(2).
        ///
        /// # Errors
        /// The `errno` of kqueue(2) or fcntl(2).
        pub fn new() -> Result<Self, i32> {
            let number = kqueue();
            if number < 0 {
                return Err(errno());
            }
            // SAFETY: it was just made, for this owner.
            let queue = unsafe { Descriptor::own(number) };
            // A child never has it, but a program that takes this one's place would.
            // SAFETY: the descriptor is open, and no memory is passed.
            #[cfg(target_os = "freebsd")]
            if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                return Err(errno());
            }
            Ok(Self(queue))
        }

        /// Its descriptor.
        #[must_use]
        pub fn number(&self) -> c_int {
            self.0.number()
        }

        /// Makes `changes`, then waits for events: see [`kevent`].
        ///
        /// # Errors
        /// As [`kevent`].
        pub fn kevent(
            &self,
            changes: &[Kevent],
            events: &mut [Kevent],
            timeout: Option<Duration>,
        ) -> Result<usize, i32> {
            kevent(self.number(), changes, events, timeout)
        }
    }

    /// Makes `changes` to a queue, then waits for events: for ever without a timeout. How many events there
    /// are; answers to changes come first, and then nothing is waited for.
    ///
    /// # Errors
    /// The `errno` of kevent(2). EINTR: the changes were made.
    pub fn kevent(
        queue: c_int,
        changes: &[Kevent],
        events: &mut [Kevent],
        timeout: Option<Duration>,
    ) -> Result<usize, i32> {
        let timeout = timeout.map(|span| {
            // SAFETY: zeros are a valid `timespec`.
            let mut time: libc::timespec = unsafe { core::mem::zeroed() };
            time.tv_sec = span.as_secs().min(i32::MAX as u64) as _;
            time.tv_nsec = span.subsec_nanos() as _;
            time
        });
        let timeout = timeout
            .as_ref()
            .map_or(core::ptr::null(), |time| &raw const *time);
        // SAFETY: changes and events have the lengths that are passed, and all lives through the call.
        let count = unsafe {
            system_kevent(
                queue,
                changes.as_ptr(),
                changes.len() as c_int,
                events.as_mut_ptr(),
                events.len() as c_int,
                timeout,
            )
        };
        usize::try_from(count).map_err(|_| errno())
    }
}

#[cfg(any(target_os = "freebsd", target_os = "rtems"))]
pub use calls::{Kqueue, kevent};

#[cfg(all(
    any(target_os = "freebsd", target_os = "rtems"),
    not(feature = "own"),
    feature = "assumptions"
))]
crate::assume! {
    layout "struct kevent" = Kevent { ident, filter, flags, fflags, data, udata, ext }
    names self {
        EVFILT_READ, EVFILT_WRITE, EVFILT_USER, EV_ADD, EV_DELETE, EV_ENABLE, EV_DISABLE, EV_ONESHOT,
        EV_CLEAR, EV_RECEIPT, EV_DISPATCH, EV_KEEPUDATA, EV_ERROR, EV_EOF, NOTE_LOWAT, NOTE_TRIGGER,
    }
}
