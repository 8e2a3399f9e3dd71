//! An upload of any size in constant memory: bytes are counted and summed up as they arrive.
//!
//! `head -c 1G /dev/zero | curl -T - http://127.0.0.1:8080/upload`

mod common;

use capuchin::{
    BodyProgress, Context, Handle, Method, Next, Refusal, Reply, Request, Server, Status,
};

/// Its state between two pieces, in the 16 bytes that each request has: length and FNV-1a 64.
struct Upload;

impl Handle<()> for Upload {
    fn request(&self, context: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        *context.state = [0, 0xcbf2_9ce4_8422_2325];
        reply.receive_body()
    }

    fn body(
        &self,
        context: &mut Context<'_, ()>,
        _: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        let [length, sum] = *context.state;
        let sum = piece.iter().fold(sum, |sum, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        *context.state = [length + piece.len() as u64, sum];
        Ok(BodyProgress::Taken)
    }

    fn received(&self, context: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let [length, sum] = *context.state;
        reply
            .status(Status::CREATED)
            .field("Content-Type", b"text/plain; charset=utf-8")
            .body_with(|out| writeln!(out, "{length} bytes, FNV-1a {sum:016x}"))
    }
}

/// What a browser shows.
fn usage(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("Send a file to this URL: curl -T FILE URL\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve("/upload", |address| {
        Server::new(())
            .route(Method::Get, "/upload", &usage)
            .route(Method::Put, "/upload", &Upload)
            .listen(address)
            .start()
    })
}
