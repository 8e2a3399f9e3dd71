//! A reply of unknown length, written piece by piece as fast as the client reads.
//!
//! `curl http://127.0.0.1:8080/count/1000000 | tail -1`

mod common;

use capuchin::{Context, Handle, Method, Next, Progress, Reply, Request, Server, Status, Writer};
use std::fmt::Write;

/// State: the next number, and the last.
struct Count;

/// Bytes of the longest line.
const LINE: usize = 21;

impl Handle<()> for Count {
    fn request(&self, context: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let Some(last) = context.parameters.parse::<u64>("last") else {
            return reply.error(Status::BAD_REQUEST, "how far? Ask for /count/10");
        };
        *context.state = [1, last];
        reply
            .status(Status::OK)
            .field("Content-Type", b"text/plain; charset=utf-8")
            .stream()
    }

    fn stream(&self, context: &mut Context<'_, ()>, out: &mut Writer<'_>) -> Progress {
        let [next, last] = context.state;
        while *next <= *last {
            if out.room() < LINE {
                return Progress::More;
            }
            if writeln!(out, "{next}").is_err() {
                return Progress::Failed;
            }
            *next += 1;
        }
        Progress::Done
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve("/count/100", |address| {
        Server::new(())
            .route(Method::Get, "/count/:last", &Count)
            .listen(address)
            .start()
    })
}
