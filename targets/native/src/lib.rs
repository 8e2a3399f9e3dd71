//! Capuchin on an operating system with threads and files: the library behind the `capuchin`
//! command, for programs that serve HTTP themselves.
//!
//! ```
//! use capuchin::{Context, Method, Next, Reply, Request, Server};
//!
//! fn hello(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
//!     reply.text("hello\n")
//! }
//!
//! let running = Server::new(())
//!     .route(Method::Get, "/hello", &hello)
//!     .listen("127.0.0.1:0".parse()?)
//!     .start()?;
//! println!("http://{}/", running.addresses()[0]);
//! running.stop();
//! running.join();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each worker is a thread with its own connections, buffers and cache; handlers run on it and
//! must not block: what takes time is deferred ([`Reply::defer`]) and completed from another
//! thread through a [`Completer`]. A handler that panics costs its own connection a 500.

pub mod access_log;
mod descriptors;
pub mod directory;
mod front;
#[doc(hidden)] // shared with the command's own log
pub mod line_writer;
mod listing;
mod memory;
mod repeats;
mod server;
mod throttle;
mod worker;

pub use capuchin_core::event::Ticket;
pub use capuchin_core::http::method::Method;
pub use capuchin_core::http::status::Status;
pub use capuchin_core::http::write::Writer;
pub use capuchin_core::limits::Limits;
pub use capuchin_core::reply::{Next, Reply};
pub use capuchin_core::route::{Context, Handle, Route};
pub use capuchin_core::service::{BodyProgress, Progress, Refusal, Request};
pub use capuchin_core::stats::{Counter, Snapshot};
pub use capuchin_core::table::{Entry, Table};
pub use capuchin_posix::{Links, ListenError, become_user};
pub use directory::{Directory, DirectoryError, DirectoryOptions, LISTING_PAGE_LIMIT};
pub use server::{Accept, Completer, Running, Server, StartError, Watcher};
