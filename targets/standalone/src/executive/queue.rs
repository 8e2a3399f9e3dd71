//! Message queues: the Message Manager's directives.

use super::task::{self, Receiver, Wake};
use super::{Guarded, id_of, index_of};
use capuchin_rtems::StatusCode;
use capuchin_rtems::directives::{HEADER_WORDS, MessageQueueConfig, NO_WAIT, PRIORITY};
use core::ffi::c_void;

/// `CONFIGURE_MAXIMUM_MESSAGE_QUEUES`.
const QUEUES: usize = 4;

/// The class of the identifiers.
const CLASS: u32 = 0x22;

/// Of the [`HEADER_WORDS`] before a message in the storage, the last has its size; RTEMS's kernel needs all.
const WORD: usize = size_of::<usize>();

#[derive(Clone, Copy)]
struct Queue {
    storage: *mut u8,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Bytes of a message's place.
    stride: usize,
    /// The most urgent of those who wait is served first, not the one that waits longest.
    by_priority: bool,
    longest: usize,
    capacity: usize,
    first: usize,
    count: usize,
}

// SAFETY: all tasks share one address space, and the storage is used by the directives only, with interrupts off.
unsafe impl Send for Queue {}

impl Queue {
    fn place(&self, index: usize) -> *mut u8 {
        // SAFETY: the storage has `capacity` places.
        unsafe { self.storage.add(index % self.capacity * self.stride) }
    }
}

static ALL: Guarded<[Option<Queue>; QUEUES]> = Guarded::new([None; QUEUES]);

/// Bytes of a place for messages of this size.
fn stride_of(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(WORD)?
        .checked_add(HEADER_WORDS * WORD)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_message_queue_construct(
    config: *const MessageQueueConfig,
    id: *mut u32,
) -> u32 {
    if config.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    // SAFETY: the caller's word.
    let config = unsafe { &*config };
    if config.name == 0 {
        return StatusCode::INVALID_NAME.0;
    }
    if id.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    if config.maximum_pending_messages == 0 {
        return StatusCode::INVALID_NUMBER.0;
    }
    if config.maximum_message_size == 0 {
        return StatusCode::INVALID_SIZE.0;
    }
    let capacity = config.maximum_pending_messages as usize;
    let Some(stride) = stride_of(config.maximum_message_size) else {
        return StatusCode::INVALID_SIZE.0;
    };
    let Some(bytes) = stride.checked_mul(capacity) else {
        return StatusCode::INVALID_NUMBER.0;
    };
    ALL.with(|all| {
        let Some(index) = all.iter().position(Option::is_none) else {
            return StatusCode::TOO_MANY.0;
        };
        if config.storage_area.is_null() || bytes != config.storage_size {
            return StatusCode::UNSATISFIED.0;
        }
        all[index] = Some(Queue {
            storage: config.storage_area.cast(),
            free: config.storage_free,
            stride,
            by_priority: config.attributes & PRIORITY != 0,
            longest: config.maximum_message_size,
            capacity,
            first: 0,
            count: 0,
        });
        // SAFETY: the caller's word.
        unsafe { *id = id_of(CLASS, index) };
        StatusCode::SUCCESSFUL.0
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_message_queue_delete(id: u32) -> u32 {
    let queue = ALL.with(|all| {
        let queue = index_of(CLASS, id).and_then(|index| all.get_mut(index)?.take());
        if queue.is_some() {
            task::end_waits(id);
        }
        queue
    });
    let Some(queue) = queue else {
        return StatusCode::INVALID_ID.0;
    };
    if let Some(free) = queue.free {
        // SAFETY: the storage is what was handed over with it.
        unsafe { free(queue.storage.cast()) };
    }
    task::give_way();
    StatusCode::SUCCESSFUL.0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_message_queue_send(id: u32, buffer: *const c_void, size: usize) -> u32 {
    if buffer.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    let code = ALL.with(|all| {
        let Some(queue) = index_of(CLASS, id).and_then(|index| all.get_mut(index)?.as_mut()) else {
            return StatusCode::INVALID_ID.0;
        };
        if size > queue.longest {
            return StatusCode::INVALID_SIZE.0;
        }
        if let Some(waits) = task::serve(id, queue.by_priority) {
            // SAFETY: whoever waits has room for the longest; the message is the caller's word.
            unsafe {
                waits.buffer.copy_from_nonoverlapping(buffer.cast(), size);
                *waits.size = size;
            }
            return StatusCode::SUCCESSFUL.0;
        }
        if queue.count == queue.capacity {
            return StatusCode::TOO_MANY.0;
        }
        let place = queue.place(queue.first + queue.count);
        // SAFETY: a place holds its header and a message of the longest size; the message is the caller's
        // word.
        unsafe {
            place
                .cast::<usize>()
                .add(HEADER_WORDS - 1)
                .write_unaligned(size);
            let message = place.add(HEADER_WORDS * WORD);
            message.copy_from_nonoverlapping(buffer.cast(), size);
        }
        queue.count += 1;
        StatusCode::SUCCESSFUL.0
    });
    if code == StatusCode::SUCCESSFUL.0 {
        task::give_way();
    }
    code
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_message_queue_receive(
    id: u32,
    buffer: *mut c_void,
    size: *mut usize,
    options: u32,
    timeout: u32,
) -> u32 {
    if buffer.is_null() || size.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    let found = ALL.with(|all| {
        let queue = index_of(CLASS, id).and_then(|index| all.get_mut(index)?.as_mut());
        let Some(queue) = queue else {
            return Some(StatusCode::INVALID_ID);
        };
        if queue.count == 0 {
            if options & NO_WAIT != 0 {
                return Some(StatusCode::UNSATISFIED);
            }
            let buffer = buffer.cast();
            task::begin_wait(id, Some(Receiver { buffer, size }), timeout);
            return None;
        }
        let place = queue.place(queue.first);
        // SAFETY: a message was put there; the caller has room for the longest.
        unsafe {
            *size = place.cast::<usize>().add(HEADER_WORDS - 1).read_unaligned();
            buffer
                .cast::<u8>()
                .copy_from_nonoverlapping(place.add(HEADER_WORDS * WORD), *size);
        }
        queue.first = (queue.first + 1) % queue.capacity;
        queue.count -= 1;
        Some(StatusCode::SUCCESSFUL)
    });
    let code = found.unwrap_or_else(|| match task::wait() {
        Wake::Served => StatusCode::SUCCESSFUL,
        Wake::Late => StatusCode::TIMEOUT,
        Wake::Deleted => StatusCode::OBJECT_WAS_DELETED,
    });
    code.0
}
