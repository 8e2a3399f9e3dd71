//! What goes with a request, as C handlers see it.

use crate::service::App;
use capuchin_core::event::{Ticket, Token};
use capuchin_core::route::{Context, Parameters};
use core::ffi::{CStr, c_char, c_void};

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
}

impl CExchange {
    #[cfg(test)]
    pub fn ticket(&self) -> CTicket {
        self.ticket
    }

    /// As long as `context` lives.
    #[inline(never)]
    pub fn of(context: &mut Context<'_, App>, argument: *mut c_void) -> Self {
        Self {
            application: context.app.application,
            argument,
            state: context.state.as_mut_ptr(),
            ticket: CTicket::of(context.ticket, context.app.start),
            now_ms: context.now,
            unix_time: context.unix_time,
            parameters: (&raw const context.parameters).cast(),
        }
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

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    layout "capuchin_ticket" = CTicket { index, generation, sequence, worker, start }
    layout "capuchin_exchange" = CExchange {
        application, argument, state, ticket, now_ms, unix_time, parameters,
    }
    layout "capuchin_text" = CText { data, length }
}
