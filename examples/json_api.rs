//! A JSON API with path parameters over shared state: a board of lamps.
//!
//! ```text
//! curl http://127.0.0.1:8080/lamps                         all of them
//! curl http://127.0.0.1:8080/lamps/3                       one
//! curl -X PUT -d on http://127.0.0.1:8080/lamps/3          switch it
//! ```

mod common;

use capuchin::{Context, Handle, Method, Next, Reply, Request, Server, Status};
use std::sync::atomic::{AtomicBool, Ordering};

const LAMPS: usize = 8;

/// Shared by all workers: handlers get a reference, so what changes is atomic or locked.
#[derive(Default)]
struct Board {
    lamps: [AtomicBool; LAMPS],
}

fn all(context: &mut Context<'_, Board>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply
        .status(Status::OK)
        .field("Content-Type", b"application/json")
        .body_with(|out| {
            out.write_char('[')?;
            for (id, lamp) in context.app.lamps.iter().enumerate() {
                let comma = if id == 0 { "" } else { "," };
                write!(
                    out,
                    "{comma}{{\"id\":{id},\"on\":{}}}",
                    lamp.load(Ordering::Relaxed)
                )?;
            }
            out.write_str("]\n")
        })
}

fn one(context: &mut Context<'_, Board>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    let id = context.parameters.parse::<usize>("id");
    let Some((id, lamp)) = id.and_then(|id| Some((id, context.app.lamps.get(id)?))) else {
        return reply.error(Status::NOT_FOUND, "there is no such lamp");
    };
    let on = lamp.load(Ordering::Relaxed);
    reply
        .status(Status::OK)
        .field("Content-Type", b"application/json")
        .body_with(|out| writeln!(out, "{{\"id\":{id},\"on\":{on}}}"))
}

/// Takes a body that fits the connection's buffer: it is handed over in one piece.
struct Switch;

impl Handle<Board> for Switch {
    fn request(&self, _: &mut Context<'_, Board>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.collect_body()
    }

    fn collected(
        &self,
        context: &mut Context<'_, Board>,
        _: &Request<'_>,
        body: &[u8],
        reply: Reply<'_>,
    ) -> Next {
        let lamp = context
            .parameters
            .parse::<usize>("id")
            .and_then(|id| context.app.lamps.get(id));
        match (lamp, body.trim_ascii()) {
            (Some(lamp), b"on" | b"off") => {
                lamp.store(body.trim_ascii() == b"on", Ordering::Relaxed);
                reply.status(Status::NO_CONTENT).empty()
            }
            (Some(_), _) => reply.error(Status::UNPROCESSABLE_CONTENT, "send 'on' or 'off'"),
            (None, _) => reply.error(Status::NOT_FOUND, "there is no such lamp"),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve("/lamps", |address| {
        Server::new(Board::default())
            .route(Method::Get, "/lamps", &all)
            .route(Method::Get, "/lamps/:id", &one)
            .route(Method::Put, "/lamps/:id", &Switch)
            .listen(address)
            .start()
    })
}
