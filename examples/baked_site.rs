//! A site that is part of the program: what a device without a file system serves.

mod common;

use capuchin::{Entry, Server};

static SITE: &[Entry] = &[
    Entry::new(
        "/",
        "text/html; charset=utf-8",
        b"<!doctype html><meta charset=utf-8><title>Device</title><link rel=stylesheet href=style.css><h1>It works.</h1>",
    ),
    Entry::new("/style.css", "text/css; charset=utf-8", b"h1{font:2rem system-ui;color:#264}").with_cache_control("max-age=3600"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve("/", |address| {
        Server::new(()).table(SITE).listen(address).start()
    })
}
