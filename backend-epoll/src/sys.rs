//! The system calls: epoll(7).

use capuchin_core::event::{EventList, Interest};
use capuchin_posix::{Descriptor, errno};
use core::ffi::c_int;

/// An epoll instance and room for what it reports.
pub(crate) struct Poll {
    descriptor: Descriptor,
    ready: [libc::epoll_event; EventList::CAPACITY],
}

impl core::fmt::Debug for Poll {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Poll").field(&self.descriptor).finish()
    }
}

impl Poll {
    #[cfg(test)]
    pub(crate) fn number(&self) -> c_int {
        self.descriptor.number()
    }

    pub(crate) fn new() -> Result<Self, i32> {
        // SAFETY: no memory is passed.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(errno());
        }
        let empty = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self {
            // SAFETY: it was just made, for this owner.
            descriptor: unsafe { Descriptor::own(descriptor) },
            ready: [empty; EventList::CAPACITY],
        })
    }

    pub(crate) fn add(&self, descriptor: c_int, mark: u64, interest: Interest) -> Result<(), i32> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, mark, interest)
    }

    pub(crate) fn change(
        &self,
        descriptor: c_int,
        mark: u64,
        interest: Interest,
    ) -> Result<(), i32> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, mark, interest)
    }

    pub(crate) fn remove(&self, descriptor: c_int) -> Result<(), i32> {
        self.control(libc::EPOLL_CTL_DEL, descriptor, 0, Interest::NONE)
    }

    fn control(
        &self,
        operation: c_int,
        descriptor: c_int,
        mark: u64,
        interest: Interest,
    ) -> Result<(), i32> {
        let mut events = 0;
        if interest.wants_read() {
            events |= libc::EPOLLIN;
        }
        if interest.wants_write() {
            events |= libc::EPOLLOUT;
        }
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: mark,
        };
        // SAFETY: `event` lives through the call.
        let result = unsafe {
            libc::epoll_ctl(
                self.descriptor.number(),
                operation,
                descriptor,
                &raw mut event,
            )
        };
        if result < 0 { Err(errno()) } else { Ok(()) }
    }

    /// Up to `limit` events; blocks for `timeout` milliseconds, for ever when it is negative.
    pub(crate) fn wait(
        &mut self,
        limit: usize,
        timeout: c_int,
    ) -> Result<&[libc::epoll_event], i32> {
        let limit = limit.clamp(1, self.ready.len());
        // SAFETY: there is room for `limit` events.
        let count = unsafe {
            libc::epoll_wait(
                self.descriptor.number(),
                self.ready.as_mut_ptr(),
                limit as c_int,
                timeout,
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(&self.ready[..count]),
            Err(_) => Err(errno()),
        }
    }
}
