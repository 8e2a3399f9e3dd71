//! Black-box suites over a real socket, aimed at any running server by address.
//!
//! What a server needs to be tested is in `FIXTURE.md`; the cases are in [`suites`], [`runner`] makes
//! tests of them, and each file in `tests/` runs them against another kind of server.

pub mod client;
#[cfg(test)]
mod client_tests;
mod door;
pub mod failure;
pub mod pattern;
pub mod process;
pub mod release;
pub mod reply;
#[cfg(test)]
mod reply_tests;
pub mod runner;
pub mod site_fixture;
pub mod standalone;
pub mod suites;
pub mod target;
pub mod verdict;
