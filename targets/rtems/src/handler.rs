//! C functions as the engine's handlers.

use crate::exchange::CExchange;
use crate::reply::CReply;
use crate::service::App;
use capuchin_core::http::status::Status;
use capuchin_core::http::write::Writer;
use capuchin_core::reply::{Next, Reply};
use capuchin_core::route::{Context, Handle};
use capuchin_core::service::{BodyProgress, Progress, Refusal, Request};
use core::ffi::{c_int, c_void};

/// `capuchin_handler`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CHandler {
    pub request:
        Option<unsafe extern "C" fn(*mut CExchange, *const c_void, *mut CReply<'_>) -> i32>,
    pub body: Option<unsafe extern "C" fn(*mut CExchange, *const c_void, usize) -> c_int>,
    pub received: Option<unsafe extern "C" fn(*mut CExchange, *mut CReply<'_>) -> i32>,
    pub collected: Option<
        unsafe extern "C" fn(
            *mut CExchange,
            *const c_void,
            *const c_void,
            usize,
            *mut CReply<'_>,
        ) -> i32,
    >,
    pub resume: Option<unsafe extern "C" fn(*mut CExchange, u64, *mut CReply<'_>) -> i32>,
    pub stream: Option<unsafe extern "C" fn(*mut CExchange, *mut c_void) -> i32>,
    pub abandoned: Option<unsafe extern "C" fn(*mut CExchange)>,
}

/// A route's functions and their argument.
pub struct Bound {
    handler: &'static CHandler,
    argument: *mut c_void,
}

// SAFETY: the argument is handed to the application's functions and not looked at here; that they
// may be called on a worker's task is the interface's.
unsafe impl Sync for Bound {}

impl Bound {
    pub fn new(handler: &'static CHandler, argument: *mut c_void) -> Self {
        Self { handler, argument }
    }
}

/// `capuchin_progress`; anything else is `CAPUCHIN_BROKEN`.
const MORE: i32 = 0;
const WAIT: i32 = 1;
const DONE: i32 = 2;

/// What a function for bodies returns besides an error status.
const BODY_TAKEN: c_int = 0;
const BODY_WAIT: c_int = 1;

/// For the log.
const NO_FUNCTION: &str = "a route has no function for what its handler asked for";

impl Handle<App> for Bound {
    fn request(
        &self,
        context: &mut Context<'_, App>,
        request: &Request<'_>,
        reply: Reply<'_>,
    ) -> Next {
        let Some(function) = self.handler.request else {
            return Next::failed(NO_FUNCTION);
        };
        let mut exchange = CExchange::of(context, self.argument, Some(request));
        let request = exchange.request();
        // SAFETY: all of it lives through the call; the function is the application's.
        CReply::made(reply, self.handler, &mut |reply| unsafe {
            function(&raw mut exchange, request, reply)
        })
    }

    fn body(
        &self,
        context: &mut Context<'_, App>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        let Some(function) = self.handler.body else {
            return Ok(BodyProgress::Taken);
        };
        let mut exchange = CExchange::of(context, self.argument, Some(request));
        // SAFETY: as above.
        match unsafe { function(&raw mut exchange, piece.as_ptr().cast(), piece.len()) } {
            BODY_TAKEN => Ok(BodyProgress::Taken),
            BODY_WAIT => Ok(BodyProgress::Wait),
            code => Err(Refusal {
                status: Status::from_error(u16::try_from(code).unwrap_or(500)),
                reason: exchange.reason(),
            }),
        }
    }

    fn received(
        &self,
        context: &mut Context<'_, App>,
        request: &Request<'_>,
        reply: Reply<'_>,
    ) -> Next {
        let Some(function) = self.handler.received else {
            return Next::failed(NO_FUNCTION);
        };
        let mut exchange = CExchange::of(context, self.argument, Some(request));
        // SAFETY: as above.
        CReply::made(reply, self.handler, &mut |reply| unsafe {
            function(&raw mut exchange, reply)
        })
    }

    fn collected(
        &self,
        context: &mut Context<'_, App>,
        request: &Request<'_>,
        body: &[u8],
        reply: Reply<'_>,
    ) -> Next {
        let Some(function) = self.handler.collected else {
            return Next::failed(NO_FUNCTION);
        };
        let mut exchange = CExchange::of(context, self.argument, Some(request));
        let request = exchange.request();
        let (bytes, length) = (body.as_ptr().cast(), body.len());
        // SAFETY: as above.
        CReply::made(reply, self.handler, &mut |reply| unsafe {
            function(&raw mut exchange, request, bytes, length, reply)
        })
    }

    fn resume(&self, context: &mut Context<'_, App>, value: u64, reply: Reply<'_>) -> Next {
        let Some(function) = self.handler.resume else {
            return Next::failed(NO_FUNCTION);
        };
        let mut exchange = CExchange::of(context, self.argument, None);
        // SAFETY: as above.
        CReply::made(reply, self.handler, &mut |reply| unsafe {
            function(&raw mut exchange, value, reply)
        })
    }

    fn stream(&self, context: &mut Context<'_, App>, out: &mut Writer<'_>) -> Progress {
        let Some(function) = self.handler.stream else {
            return Progress::Failed;
        };
        let mut exchange = CExchange::of(context, self.argument, None);
        // SAFETY: as above.
        match unsafe { function(&raw mut exchange, (&raw mut *out).cast()) } {
            MORE => Progress::More,
            WAIT => Progress::Wait,
            DONE => Progress::Done,
            _ => Progress::Failed,
        }
    }

    fn abandoned(&self, context: &mut Context<'_, App>) {
        if let Some(function) = self.handler.abandoned {
            let mut exchange = CExchange::of(context, self.argument, None);
            // SAFETY: as above.
            unsafe { function(&raw mut exchange) }
        }
    }
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    layout "capuchin_handler" = CHandler {
        request, body, received, collected, resume, stream, abandoned,
    }
    value "CAPUCHIN_MORE" = MORE;
    value "CAPUCHIN_WAIT" = WAIT;
    value "CAPUCHIN_DONE" = DONE;
    value "CAPUCHIN_BODY_TAKEN" = BODY_TAKEN;
    value "CAPUCHIN_BODY_WAIT" = BODY_WAIT;
    value "sizeof(capuchin_progress)" = size_of::<i32>();
}
