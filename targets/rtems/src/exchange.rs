//! What goes with a request, as C handlers see it.

use crate::config::text;
use crate::console::Text;
use crate::service::{App, CLOSED};
use crate::way;
use capuchin_core::event::{Ticket, Token};
use capuchin_core::route::{Context, Parameters};
use capuchin_core::service::Request;
use core::ffi::{CStr, c_char, c_int, c_void};

/// `capuchin_ticket`. It is of one start of a server, by a number that is never 0: a ticket of another
/// server, of the one that had the memory before, or of zeros is told apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CTicket {
    pub index: u32,
    pub generation: u32,
    pub sequence: u32,
    pub worker: u16,
    pub start: u16,
}

impl CTicket {
    fn of(ticket: Ticket, start: u16) -> Self {
        Self {
            index: ticket.connection.index,
            generation: ticket.connection.generation,
            sequence: ticket.sequence,
            worker: ticket.worker as u16,
            start,
        }
    }
}

impl From<CTicket> for Ticket {
    fn from(ticket: CTicket) -> Self {
        Self {
            connection: Token {
                index: ticket.index,
                generation: ticket.generation,
            },
            sequence: ticket.sequence,
            worker: u32::from(ticket.worker),
        }
    }
}

/// `capuchin_exchange`.
#[repr(C)]
pub struct CExchange {
    application: *mut c_void,
    argument: *mut c_void,
    state: *mut u64,
    ticket: CTicket,
    now_ms: u64,
    unix_time: u64,
    /// A [`Parameters`], or NULL.
    parameters: *const c_void,
    /// A [`Request`], or NULL.
    request: *const c_void,
    /// Set by the application's function for bodies.
    reason: *const c_char,
    /// What the way to clients knows the connection by, for [`capuchin_client_address`].
    client: i32,
}

impl CExchange {
    #[cfg(test)]
    pub fn ticket(&self) -> CTicket {
        self.ticket
    }

    /// As long as `context` lives.
    #[inline(never)]
    pub fn of(
        context: &mut Context<'_, App>,
        argument: *mut c_void,
        request: Option<&Request<'_>>,
    ) -> Self {
        Self {
            application: context.app.application,
            argument,
            state: context.state.as_mut_ptr(),
            ticket: CTicket::of(context.ticket, context.app.start),
            now_ms: context.now,
            unix_time: context.unix_time,
            parameters: (&raw const context.parameters).cast(),
            request: request.map_or(core::ptr::null(), |request| (&raw const *request).cast()),
            reason: core::ptr::null(),
            client: context.app.client(context.ticket),
        }
    }

    /// The request, as its functions take it.
    pub fn request(&self) -> *const c_void {
        self.request
    }

    /// Why a body is refused: a text that stays as it is, or none.
    pub fn reason(&self) -> &'static str {
        text(self.reason).flatten().unwrap_or("")
    }
}

/// `capuchin_text`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CText {
    pub data: *const u8,
    pub length: usize,
}

impl CText {
    pub fn of(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(
            Self {
                data: core::ptr::null(),
                length: 0,
            },
            |bytes| Self {
                data: bytes.as_ptr(),
                length: bytes.len(),
            },
        )
    }
}

/// `capuchin_parameter`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_parameter(
    exchange: *const CExchange,
    name: *const c_char,
) -> CText {
    if name.is_null() {
        return CText::of(None);
    }
    // SAFETY: the caller passes a string that ends with NUL.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    // SAFETY: the exchange is that of the call in which this one is made, or none, and so are the
    // parameters.
    let parameters = unsafe {
        exchange
            .as_ref()
            .and_then(|exchange| exchange.parameters.cast::<Parameters<'_>>().as_ref())
    };
    CText::of(parameters.and_then(|parameters| parameters.value_of(name)))
}

/// `capuchin_client_address`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_client_address(
    exchange: *const CExchange,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    // SAFETY: the exchange is that of the call in which this one is made, or none.
    let client = unsafe { exchange.as_ref() }.map_or(CLOSED, |exchange| exchange.client);
    // SAFETY: the caller passes room for `size` bytes.
    unsafe {
        Text::print(buffer, size, &mut |out| {
            if client != CLOSED {
                // Text takes everything, or counts it.
                let _ = way::write_client(client, out);
            }
        })
    }
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    layout "capuchin_ticket" = CTicket { index, generation, sequence, worker, start }
    layout "capuchin_exchange" = CExchange {
        application, argument, state, ticket, now_ms, unix_time, parameters, request, reason, client,
    }
    layout "capuchin_text" = CText { data, length }
}
