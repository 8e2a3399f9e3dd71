//! What stands between the engine and an application here: messages, and a note of each connection
//! for those who want to look.

use crate::console::say;
use crate::site::ImageSite;
use crate::way;
use crate::worker::WorkerControl;
use capuchin_core::event::Ticket;
use capuchin_core::http::write::Writer;
use capuchin_core::reply::{Draft, Next};
use capuchin_core::route::Routed;
use capuchin_core::service::{
    BodyProgress, Exceeded, Exchange, Progress, Refusal, Request, Service,
};
use capuchin_core::site::{Content, ContentId};
use capuchin_core::transport::Socket;
use capuchin_posix::File;
use core::ffi::c_void;
use core::ops::Range;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering::Relaxed};

/// The application, as far as the engine has to do with it.
pub struct App {
    pub application: *mut c_void,
    pub on_message: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    /// Which start this is: see [`crate::exchange::CTicket`].
    pub start: u16,
    /// The first of the server's workers, once there are some.
    pub workers: AtomicPtr<WorkerControl>,
    /// The limits whose excess was told, by their bits: see [`App::advise`].
    pub advised: AtomicU32,
}

impl App {
    /// What the way to clients knows a request's connection by, or [`CLOSED`].
    pub fn client(&self, ticket: Ticket) -> i32 {
        let first = self.workers.load(Relaxed);
        if first.is_null() {
            return CLOSED;
        }
        // SAFETY: the engine makes tickets with the numbers of its workers, which lie in a row and stay.
        let worker = unsafe { &*first.add(ticket.worker as usize) };
        let note = worker.notes.get(ticket.connection.index as usize);
        note.map_or(CLOSED, |note| note.trace.load(Relaxed))
    }

    /// Tells the console which member of the configuration is too small for a client's request: once for
    /// each, however often clients come.
    fn advise(&self, limit: Exceeded) {
        let (bit, advice) = match limit {
            Exceeded::Head => (
                1,
                "a request's head was too long (431 or 414): raise limits.head_bytes, and buffer_size with it",
            ),
            Exceeded::Fields => (2, "a request had too many field lines (431): raise fields"),
            Exceeded::CollectedBody => (
                4,
                "a body was too long to be collected (413): raise limits.collect_bytes, and buffer_size with it",
            ),
            _ => return,
        };
        if self.advised.fetch_or(bit, Relaxed) & bit == 0 {
            say(format_args!("{advice}; this is said once"));
        }
    }
}

// SAFETY: the pointer is handed to the application's functions and not looked at here; that they may
// be called on a worker's task is the interface's.
unsafe impl Sync for App {}

/// What can be seen of a connection from other tasks.
pub struct Note {
    /// What the way to clients knows it by, or none.
    pub trace: AtomicI32,
    /// Requests so far.
    pub requests: AtomicU32,
}

/// No connection.
pub const CLOSED: i32 = -1;

impl Note {
    pub fn new() -> Self {
        Self {
            trace: AtomicI32::new(CLOSED),
            requests: AtomicU32::new(0),
        }
    }
}

/// The service of a worker.
pub struct ImageService {
    routed: Routed<'static, App, ImageSite>,
    app: &'static App,
    notes: &'static [Note],
}

impl ImageService {
    pub fn new(
        routed: Routed<'static, App, ImageSite>,
        app: &'static App,
        notes: &'static [Note],
    ) -> Self {
        Self { routed, app, notes }
    }
}

impl Service for ImageService {
    type File = File;

    fn connected(&mut self, index: u32, socket: Socket) {
        if let Some(note) = self.notes.get(index as usize) {
            note.requests.store(0, Relaxed);
            note.trace.store(way::trace(socket), Relaxed);
        }
    }

    fn closed(&mut self, index: u32) {
        if let Some(note) = self.notes.get(index as usize) {
            note.trace.store(CLOSED, Relaxed);
        }
    }

    fn request(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        let index = exchange.ticket.connection.index as usize;
        if let Some(note) = self.notes.get(index) {
            // Only this worker writes: no need for an exchange.
            note.requests
                .store(note.requests.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.routed.request(exchange, request, draft)
    }

    fn body(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        self.routed.body(exchange, request, piece)
    }

    fn received(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        self.routed.received(exchange, request, draft)
    }

    fn collected(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        body: &[u8],
        draft: &mut Draft<'_>,
    ) -> Next {
        self.routed.collected(exchange, request, body, draft)
    }

    fn resume(&mut self, exchange: &mut Exchange<'_>, value: u64, draft: &mut Draft<'_>) -> Next {
        self.routed.resume(exchange, value, draft)
    }

    fn stream(&mut self, exchange: &mut Exchange<'_>, out: &mut Writer<'_>) -> Progress {
        self.routed.stream(exchange, out)
    }

    fn abandoned(&mut self, exchange: &mut Exchange<'_>) {
        self.routed.abandoned(exchange);
    }

    fn exceeded(&mut self, limit: Exceeded) {
        self.app.advise(limit);
    }

    fn route_name(&self, route: u16) -> &str {
        self.routed.route_name(route)
    }

    fn message(&mut self, value: u64) {
        if let Some(function) = self.app.on_message {
            // SAFETY: the function and its argument are the application's.
            unsafe { function(self.app.application, value) }
        }
    }

    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, File> {
        self.routed.content(id, range)
    }

    fn release(&mut self, id: ContentId) {
        self.routed.release(id);
    }
}
