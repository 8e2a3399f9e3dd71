//! The smallest server: `cargo run --example hello`, then open the URL that it prints.

mod common;

use capuchin::{Context, Method, Next, Reply, Request, Server};

fn hello(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("Hello from Capuchin.\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve("/", |address| {
        Server::new(())
            .route(Method::Get, "/", &hello)
            .listen(address)
            .start()
    })
}
