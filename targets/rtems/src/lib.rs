//! Capuchin as a static library for RTEMS applications: `include/capuchin.h` is its interface.
//!
//! Here are the C types, the tasks, and the memory that an application hands over. It promises that
//! no call panics over what an application passes, as far as a pointer can be told from a wrong
//! one; that an error is a status code and one line on the console; and that nothing is allocated.
//! A panic, which is a mistake in this code, prints where and ends the system.
//!
//! On other systems than RTEMS the library is linked with the backend's test doubles, for tests.
#![no_std]

#[cfg(not(target_os = "rtems"))]
extern crate std;

mod config;
mod console;
#[cfg(feature = "conformance")]
mod examine;
mod exchange;
#[cfg(all(target_os = "rtems", feature = "conformance", feature = "kqueue"))]
mod facts;
mod files;
mod handler;
#[cfg(feature = "conformance")]
mod interrupts;
mod look;
mod memory;
#[cfg(target_os = "rtems")]
mod panic;
mod reply;
mod request;
mod server;
mod service;
mod site;
#[cfg(test)]
mod tests;
mod way;
mod worker;
