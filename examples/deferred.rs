//! A reply that is completed from another thread: the worker serves others meanwhile.
//!
//! `curl http://127.0.0.1:8080/measure` takes a second, however many ask at the same time.

mod common;

use capuchin::{Completer, Context, Handle, Method, Next, Reply, Request, Server, Status, Ticket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Tickets on their way to the thread that measures.
struct App {
    tickets: Mutex<Sender<Ticket>>,
}

struct Measure;

impl Handle<App> for Measure {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let sent = context
            .app
            .tickets
            .lock()
            .is_ok_and(|tickets| tickets.send(context.ticket).is_ok());
        if sent {
            reply.defer()
        } else {
            reply.error(Status::SERVICE_UNAVAILABLE, "nobody measures")
        }
    }

    /// Called on the worker's thread once the ticket is completed, with the value it was given.
    fn resume(&self, _: &mut Context<'_, App>, value: u64, reply: Reply<'_>) -> Next {
        reply
            .status(Status::OK)
            .field("Content-Type", b"application/json")
            .body_with(|out| writeln!(out, "{{\"measured\":{value}}}"))
    }
}

/// Stands for what takes time: a sensor, a database, a real-time task.
fn measure(tickets: &Receiver<Ticket>, completer: &Completer) {
    let mut value = 0;
    while let Ok(first) = tickets.recv() {
        std::thread::sleep(Duration::from_secs(1));
        value += 1;
        for ticket in std::iter::once(first).chain(tickets.try_iter()) {
            // A full queue empties as fast as the worker turns.
            while completer.complete(ticket, value).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve("/measure", |address| {
        let (sender, receiver) = channel();
        let app = Arc::new(App {
            tickets: Mutex::new(sender),
        });
        let running = Server::shared(app)
            .route(Method::Get, "/measure", &Measure)
            .listen(address)
            .start()?;
        let completer = running.completer();
        std::thread::spawn(move || measure(&receiver, &completer));
        Ok(running)
    })
}
