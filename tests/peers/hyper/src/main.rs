//! hyper as the bench meets it: one worker, keep-alive, files from memory, each read at its first use.
//! A body that is sent is read to its end and counted.
//!
//! `hyper-peer DIR [pipelined]` prints `listening on http://127.0.0.1:PORT/`. With `pipelined` it
//! collects replies before it sends them, which copies their bodies.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::{fs, io};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

type Reply = Response<Full<Bytes>>;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("hyper-peer: hyper-peer DIR [pipelined]");
        return ExitCode::from(2);
    };
    let pipelined = std::env::args_os()
        .nth(2)
        .is_some_and(|word| word == "pipelined");
    match serve(directory.into(), pipelined) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hyper-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(directory: PathBuf, pipelined: bool) -> io::Result<()> {
    let listener = listen()?;
    let files = Rc::new(Files {
        directory,
        known: RefCell::default(),
    });
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            // A client that went away before it was accepted is no reason to end.
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let files = Rc::clone(&files);
            let service = service_fn(move |request| answer(Rc::clone(&files), request));
            spawn_local(
                http1::Builder::new()
                    .pipeline_flush(pipelined)
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    })
}

/// With the options that every server of the bench has.
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let socket = listener.as_raw_fd();
    // SAFETY: no memory is passed.
    unsafe { libc::listen(socket, i32::MAX) };
    // Accepted sockets inherit both.
    for option in [libc::TCP_NODELAY, libc::TCP_DEFER_ACCEPT] {
        let on = 1i32;
        let (value, length) = ((&raw const on).cast(), size_of::<i32>() as u32);
        // SAFETY: the value lives through the call and has the length that is passed.
        unsafe { libc::setsockopt(socket, libc::IPPROTO_TCP, option, value, length) };
    }
    let mut out = io::stdout();
    writeln!(out, "listening on http://{}/", listener.local_addr()?)?;
    out.flush()?;
    Ok(listener)
}

async fn answer(files: Rc<Files>, request: Request<Incoming>) -> hyper::Result<Reply> {
    if request.method() == Method::POST {
        let mut body = request.into_body();
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            count += frame?.data_ref().map_or(0, Bytes::len);
        }
        return Ok(Response::new(Full::from(format!("{count}\n"))));
    }
    let Some(bytes) = files.find(request.uri().path()) else {
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = StatusCode::NOT_FOUND;
        return Ok(reply);
    };
    let mut reply = Response::new(Full::new(bytes));
    // As many fields as other servers send; the date and the length are added by hyper.
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value) in [
        (CONTENT_TYPE, "application/octet-stream"),
        (ETAG, "\"CrPskqS2YAO.AC.gA\""),
        (LAST_MODIFIED, date),
        (ACCEPT_RANGES, "bytes"),
    ] {
        reply
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(reply)
}

/// The files of one directory, and what was read of them.
struct Files {
    directory: PathBuf,
    known: RefCell<HashMap<String, Bytes>>,
}

impl Files {
    fn find(&self, path: &str) -> Option<Bytes> {
        let name = path.strip_prefix('/')?;
        if let Some(bytes) = self.known.borrow().get(name) {
            return Some(bytes.clone());
        }
        // A name of one part: nothing above the directory can be asked for.
        if Path::new(name).file_name()? != name {
            return None;
        }
        let bytes = Bytes::from(fs::read(self.directory.join(name)).ok()?);
        self.known.borrow_mut().insert(name.into(), bytes.clone());
        Some(bytes)
    }
}
