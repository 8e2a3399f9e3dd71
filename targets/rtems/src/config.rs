//! The C side's configuration: the structures of `capuchin.h`, and what of them cannot be.

use crate::handler::CHandler;
use capuchin_core::http::method::Method;
use capuchin_core::limits::{FRAMING_BYTES, Limits, RESPONSE_MINIMUM};
use core::ffi::{CStr, c_char, c_void};

/// `rtems_status_code`, as far as it is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    Successful = 0,
    TooMany = 5,
    InvalidSize = 8,
    InvalidAddress = 9,
    InvalidNumber = 10,
    ResourceInUse = 12,
    IncorrectState = 14,
    InvalidPriority = 19,
    IoError = 27,
}

/// `capuchin_limits`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CLimits {
    pub head_bytes: u32,
    pub collect_bytes: u32,
    pub body_bytes: u32,
    pub drain_bytes: u32,
    pub requests_per_connection: u32,
    pub first_byte_ms: u32,
    pub head_ms: u32,
    pub body_ms: u32,
    pub handler_ms: u32,
    pub write_ms: u32,
    pub idle_ms: u32,
    pub linger_ms: u32,
    pub drain_ms: u32,
}

/// `capuchin_route`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CRoute {
    pub method: i32,
    pub pattern: *const c_char,
    pub handler: *const CHandler,
    pub argument: *mut c_void,
}

/// `capuchin_page`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CPage {
    pub path: *const c_char,
    pub media_type: *const c_char,
    pub content: *const c_void,
    pub length: usize,
    pub gzip: *const c_void,
    pub gzip_length: usize,
    pub cache_control: *const c_char,
    pub modified: u64,
}

/// `capuchin_config`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CConfig {
    pub config_size: usize,
    pub address: *const c_char,
    pub port: u16,
    pub workers: u16,
    pub connections: u16,
    pub buffers: u16,
    pub buffer_size: u16,
    pub fields: u16,
    pub messages: u16,
    pub descriptors: u16,
    pub priority: u32,
    pub stack_size: usize,
    pub routes: *const CRoute,
    pub route_count: usize,
    pub pages: *const CPage,
    pub page_count: usize,
    pub directory: *const c_char,
    pub follow_links: bool,
    pub application: *mut c_void,
    pub on_message: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    pub limits: CLimits,
    pub memory: *mut c_void,
    pub memory_size: usize,
}

/// Bytes of a task's stack, at least (`CAPUCHIN_STACK_SIZE_MINIMUM`). RTEMS's stack checker found 3,484
/// in use with the legacy stack and 4,000 with libbsd, with handlers that call snprintf(3).
pub const SMALLEST_STACK: usize = 6_144;

/// Bytes of a buffer, at least (`CAPUCHIN_BUFFER_SIZE_MINIMUM`).
pub const SMALLEST_BUFFER: u16 = 2_048;

/// Workers that one server may have.
pub const WORKERS: u16 = 8;

impl CConfig {
    /// What is wrong with it, if anything, and the status code that goes with it.
    ///
    /// # Errors
    /// A sentence for the console.
    #[inline(never)]
    pub fn check(&self) -> Result<(), (Code, &'static str)> {
        let number = |holds: bool, what| {
            if holds {
                Ok(())
            } else {
                Err((Code::InvalidNumber, what))
            }
        };
        let pointer = |holds: bool, what| {
            if holds {
                Ok(())
            } else {
                Err((Code::InvalidAddress, what))
            }
        };
        number(
            (1..=WORKERS).contains(&self.workers),
            "workers has to be 1 to 8",
        )?;
        number(
            (1..=4_096).contains(&self.connections),
            "connections has to be 1 to 4096",
        )?;
        number(self.buffers > 0, "buffers has to be 1 at least")?;
        number(
            self.buffer_size >= SMALLEST_BUFFER,
            "buffer_size has to be 2048 at least",
        )?;
        number(
            (7..=254).contains(&self.fields),
            "fields has to be 7 to 254",
        )?;
        number(self.messages > 0, "messages has to be 1 at least")?;
        number(self.descriptors > 0, "descriptors has to be 1 at least")?;
        number(
            self.stack_size >= SMALLEST_STACK,
            "stack_size has to be 6144 at least (CAPUCHIN_STACK_SIZE_MINIMUM)",
        )?;
        let (head, collect) = (
            u64::from(self.head_bytes()),
            u64::from(self.collect_bytes()),
        );
        number(
            head + collect + (FRAMING_BYTES + RESPONSE_MINIMUM) as u64
                <= u64::from(self.buffer_size),
            "buffer_size has to be limits.head_bytes + limits.collect_bytes + 480 at least (CAPUCHIN_BUFFER_OVERHEAD)",
        )?;
        pointer(
            !self.memory.is_null() && self.memory.cast::<u64>().is_aligned(),
            "memory has to be given, aligned for a uint64_t",
        )?;
        pointer(
            self.route_count == 0 || !self.routes.is_null(),
            "routes is NULL, but route_count is not 0",
        )?;
        pointer(
            self.page_count == 0 || !self.pages.is_null(),
            "pages is NULL, but page_count is not 0",
        )
    }

    /// Bytes of a request's head.
    pub fn head_bytes(&self) -> u32 {
        or(self.limits.head_bytes, u32::from(self.buffer_size) / 2)
    }

    /// Bytes of a collected body.
    fn collect_bytes(&self) -> u32 {
        or(self.limits.collect_bytes, u32::from(self.buffer_size) / 4)
    }

    /// The engine's limits; the configuration has been checked.
    #[inline(never)]
    pub fn limits(&self) -> Limits {
        let c = &self.limits;
        let default = Limits::DEFAULT;
        let mut limits = default;
        limits.connections = u32::from(self.connections);
        limits.waiting = u32::from(self.connections);
        limits.head_bytes = self.head_bytes() as u16;
        limits.collect_bytes = self.collect_bytes() as u16;
        if c.body_bytes > 0 {
            limits.body_bytes = u64::from(c.body_bytes);
        }
        limits.drain_bytes = u64::from(or(c.drain_bytes, 65_536));
        limits.requests_per_connection = or(c.requests_per_connection, u32::MAX);
        limits.first_byte_ms = or(c.first_byte_ms, default.first_byte_ms);
        limits.head_ms = or(c.head_ms, default.head_ms);
        limits.body_ms = or(c.body_ms, default.body_ms);
        limits.handler_ms = or(c.handler_ms, default.handler_ms);
        limits.write_ms = or(c.write_ms, default.write_ms);
        limits.idle_ms = or(c.idle_ms, default.idle_ms);
        limits.linger_ms = or(c.linger_ms, default.linger_ms);
        limits.drain_ms = or(c.drain_ms, default.drain_ms);
        // A small device has small turns: other tasks of the worker's priority wait for its end.
        limits.turn_requests = 16;
        limits.turn_bytes = 64 << 10;
        limits.turn_accepts = 8;
        limits
    }
}

/// What was given, or the default where that is 0.
fn or(given: u32, default: u32) -> u32 {
    if given == 0 { default } else { given }
}

/// A C string: `None` for NULL, `Some(None)` for what is no UTF-8.
pub fn text(pointer: *const c_char) -> Option<Option<&'static str>> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the interface asks for strings that end with NUL and stay as they are.
    Some(unsafe { CStr::from_ptr(pointer) }.to_str().ok())
}

/// `capuchin_method`, by its numbers.
const METHODS: [Method; 7] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Patch,
];

pub fn method_of(number: i32) -> Option<Method> {
    METHODS.get(usize::try_from(number).ok()?).copied()
}

/// The inverse of [`method_of`]; others never reach a handler.
pub const fn number_of(method: Method) -> i32 {
    let mut number = 0;
    while number < METHODS.len() {
        if METHODS[number] as u8 == method as u8 {
            return number as i32;
        }
        number += 1;
    }
    -1
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    layout "capuchin_config" = CConfig {
        config_size, address, port, workers, connections, buffers, buffer_size, fields,
        messages, descriptors, priority, stack_size, routes, route_count, pages, page_count,
        directory, follow_links, application, on_message, limits, memory, memory_size,
    }
    layout "capuchin_limits" = CLimits {
        head_bytes, collect_bytes, body_bytes, drain_bytes, requests_per_connection, first_byte_ms, head_ms,
        body_ms, handler_ms, write_ms, idle_ms, linger_ms, drain_ms,
    }
    layout "capuchin_route" = CRoute { method, pattern, handler, argument }
    layout "capuchin_page" = CPage {
        path: path, type: media_type, content: content, length: length, gzip: gzip,
        gzip_length: gzip_length, cache_control: cache_control, modified: modified,
    }
    value "RTEMS_SUCCESSFUL" = Code::Successful;
    value "RTEMS_TOO_MANY" = Code::TooMany;
    value "RTEMS_INVALID_SIZE" = Code::InvalidSize;
    value "RTEMS_INVALID_ADDRESS" = Code::InvalidAddress;
    value "RTEMS_INVALID_NUMBER" = Code::InvalidNumber;
    value "RTEMS_RESOURCE_IN_USE" = Code::ResourceInUse;
    value "RTEMS_INCORRECT_STATE" = Code::IncorrectState;
    value "CAPUCHIN_STACK_SIZE_MINIMUM" = SMALLEST_STACK;
    value "CAPUCHIN_BUFFER_SIZE_MINIMUM" = SMALLEST_BUFFER;
    value "CAPUCHIN_BUFFER_OVERHEAD" = FRAMING_BYTES + RESPONSE_MINIMUM;
    value "sizeof(capuchin_method)" = size_of::<i32>();
    value "RTEMS_INVALID_PRIORITY" = Code::InvalidPriority;
    value "RTEMS_IO_ERROR" = Code::IoError;
    value "CAPUCHIN_GET" = number_of(Method::Get);
    value "CAPUCHIN_HEAD" = number_of(Method::Head);
    value "CAPUCHIN_POST" = number_of(Method::Post);
    value "CAPUCHIN_PUT" = number_of(Method::Put);
    value "CAPUCHIN_DELETE" = number_of(Method::Delete);
    value "CAPUCHIN_OPTIONS" = number_of(Method::Options);
    value "CAPUCHIN_PATCH" = number_of(Method::Patch);
}
