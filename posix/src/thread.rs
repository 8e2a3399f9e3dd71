//! Threads.

use std::boxed::Box;
use std::io;
use std::string::ToString;
use std::thread::{Builder, JoinHandle};

/// Starts a thread of this name. The standard library makes a function for each kind of body, and with
/// it 2 KB of code around it; there is one kind here.
///
/// # Errors
/// When the system has no room for another.
pub fn start_thread(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_string()).spawn(body)
}
