//! The application: a page and what it shows.

use crate::executive::clock;
use crate::interrupts::TICKS_PER_SECOND;
use crate::serve::{self, STATS};
use capuchin_core::http::method::Method;
use capuchin_core::http::status::Status;
use capuchin_core::reply::{Next, Reply};
use capuchin_core::route::{Context, Route, Routed};
use capuchin_core::service::Request;
use capuchin_core::table::{Entry, Table};

/// What there is room for.
pub mod sizes {
    pub const CONNECTIONS: usize = 32;
    /// Some more than connections: of each that was closed a socket is kept until its client knows.
    pub const SOCKETS: usize = CONNECTIONS + 4;
    pub const RECEIVE_BYTES: usize = 768;
    pub const SEND_BYTES: usize = 1_024;
    pub const LEASES: usize = 4;
    /// Browsers send cookies and more: their heads have to fit.
    pub const HEAD_BYTES: usize = 4_096;
    /// No handler here collects a body.
    pub const COLLECT_BYTES: usize = 0;
    pub const LEASE_BYTES: usize = 6_144;
    pub const ROWS: usize = 32;
    pub const MESSAGES: usize = 8;
}

const PAGES: &[Entry] = &[Entry::new("/", "text/html", include_bytes!("../page.html"))];

fn hello(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("hello, world\n")
}

fn state(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply
        .status(Status::OK)
        .field("Content-Type", b"text/plain")
        .field("Cache-Control", b"no-store")
        .body_with(|out| {
            writeln!(out, "uptime_ms {}", uptime_ms())?;
            writeln!(out, "memory_bytes {}", memory_bytes())?;
            STATS.snapshot().write_text(out)
        })
}

/// Milliseconds since boot.
fn uptime_ms() -> u64 {
    clock::ticks() * 1_000 / u64::from(TICKS_PER_SECOND)
}

unsafe extern "C" {
    /// The end of the image in memory; see `link.ld`.
    static image_end: u8;
}

/// Bytes of code, data and all else that the image has in memory: it takes no more.
fn memory_bytes() -> usize {
    &raw const image_end as usize - IMAGE_BEGIN
}

/// Where the image lies; see `link.ld`.
const IMAGE_BEGIN: usize = 1 << 20;

static ROUTES: [Route<'static, ()>; 2] = [
    Route::new(Method::Get, "/hello", &hello),
    Route::new(Method::Get, "/state", &state),
];

/// On the command line: panic at once, so that a test sees what that looks like.
const PANIC: &[u8] = b"--panic";

/// Serves the page.
pub fn serve(command_line: &[u8]) -> Result<(), &'static str> {
    assert!(
        !command_line
            .split(u8::is_ascii_whitespace)
            .any(|word| word == PANIC),
        "the command line asks for it"
    );
    serve::run(serve::STATIC, serve::limits(), sizes::LEASES, |_| {
        Ok(Routed::new(&ROUTES, &(), Table::new(PAGES)))
    })
}
