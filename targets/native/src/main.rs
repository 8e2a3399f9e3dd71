//! The `capuchin` command: serves a directory.
//!
//! It begins in C's `main`, not in Rust's, which comes with 13 KB of code for telling that a thread ran out
//! of stack. What else that would do is done here.

#![cfg_attr(not(test), no_main)]

mod announcement;
mod logger;
mod options;
#[cfg(target_env = "gnu")]
mod unwinder;

use capuchin::access_log::{AccessLog, Destination};
use capuchin::{Running, Server, StartError};
use capuchin_posix::{
    Signals, ignore_write_signals, open_missing_streams, standard_error, standard_output,
    start_thread,
};
use libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use options::{Command, Options};
use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const SUCCESS: c_int = 0;

/// A mistake of the operator's, or something that the server needs and cannot have.
const MISTAKE: c_int = 2;

/// Cut short: by a second signal, or because a part of the server broke.
const CUT_SHORT: c_int = 1;

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    open_missing_streams();
    ignore_write_signals();
    let words = (1..count as usize).map(|number| {
        // SAFETY: there are as many words, ended by NUL, for as long as the process lives.
        let word = unsafe { CStr::from_ptr(*words.add(number)) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    });
    match catch_unwind(AssertUnwindSafe(|| run(words))) {
        Ok(Ok(())) => SUCCESS,
        Ok(Err(message)) => {
            // Where this cannot be written the status still tells.
            if logger::flush()
                && let Ok(mut error) = standard_error()
            {
                let _ = error.write_all(format!("capuchin: {message}\n").as_bytes());
            }
            MISTAKE
        }
        // The log has the panic.
        Err(_) => cut_short(),
    }
}

/// Comes back when nothing is to be served, or cannot be.
fn run(words: impl Iterator<Item = OsString>) -> Result<(), String> {
    let options = match options::parse(words)? {
        Command::Help => return print(options::HELP),
        Command::Version => return print(concat!("capuchin ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(options) => *options,
    };
    let start_logger = || {
        logger::start(options.log_level).map_err(|error| {
            format!("the log cannot be started: {error}: close other programs or raise the limits (ulimit -a)")
        })
    };
    let on_terminal = std::io::stdout().is_terminal();
    // A person who watches sees each request; a service manager or a pipe gets what it asked for.
    let destination = options
        .access_log
        .clone()
        .or_else(|| on_terminal.then_some(Destination::Stdout));
    let log = destination
        .map(|destination| Arc::new(AccessLog::later(destination, options.access_format)));
    let server = server(&options, log.clone());
    if options.check {
        start_logger()?;
        server.check().map_err(|error| explain(&error))?;
        logger::flush();
        return print("the options are right\n");
    }
    // Before there are threads.
    let signals = Signals::hold(&[SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]);
    start_logger()?;
    let running = server.start().map_err(|error| explain(&error))?;
    // A full disk behind standard output keeps nobody from being served.
    let text = announcement::text(&running, on_terminal.then_some(&options));
    if let Err(message) = print(&text) {
        log::warn!("{message}");
    }
    serve(running, log, signals)
}

/// Does what signals ask for until the process ends.
fn serve(running: Running, log: Option<Arc<AccessLog>>, signals: Signals) -> ! {
    let mut running = Some(running);
    loop {
        match signals.wait() {
            SIGHUP | SIGUSR1 => log.iter().for_each(|log| log.reopen()),
            // It asks for nothing, but its default action would end the process.
            SIGUSR2 => {}
            _ => match running.take() {
                Some(draining) => {
                    log::info!("finishing the requests in flight; another signal ends at once");
                    draining.drain();
                    let log = log.clone();
                    let body = Box::new(move || end_with(draining, log));
                    if start_thread("end", body).is_err() {
                        cut_short();
                    }
                }
                // Whoever asks twice does not want to wait.
                None => cut_short(),
            },
        }
    }
}

/// Ends the process once the last request is served and logged.
fn end_with(running: Running, log: Option<Arc<AccessLog>>) -> ! {
    let finished = catch_unwind(AssertUnwindSafe(|| {
        running.join();
        if let Some(log) = log {
            log.finish();
        }
    }));
    match finished {
        Ok(()) => end(SUCCESS),
        // The log has the panic.
        Err(_) => cut_short(),
    }
}

fn cut_short() -> ! {
    end(CUT_SHORT)
}

/// Ends the process at once, from whatever thread, once its log is written: what is registered to run at exit may not
/// be run beside threads that work on.
fn end(status: c_int) -> ! {
    logger::flush();
    // SAFETY: no memory is passed, and nothing runs afterwards.
    unsafe { libc::_exit(status) }
}

fn server(options: &Options, log: Option<Arc<AccessLog>>) -> Server<()> {
    let mut server = Server::new(())
        .directory(&options.directory, options.site.clone())
        .workers(options.workers)
        .accept(options.accept)
        .limits(options.limits)
        .fast_open(options.fast_open)
        .sandbox(options.sandbox)
        // Its listeners would take connections that nobody serves; the log says what it was.
        .on_failure(|_| cut_short())
        .defer_accept(options.defer_accept);
    for &address in &options.listen {
        server = server.listen(address);
    }
    if let Some(fields) = options.fields {
        server = server.max_fields(fields);
    }
    if let Some(log) = log {
        server = server.access_log(log);
    }
    if let Some(address) = options.status {
        server = server.status_address(address);
    }
    if let Some(path) = &options.status_path {
        server = server.status_path(path);
    }
    if let Some(user) = &options.user {
        server = server.user(user.clone());
    }
    server
}

/// What keeps the server from starting, with the options that help.
fn explain(error: &StartError) -> String {
    match error {
        StartError::Listen(refused) if refused.errno == libc::EACCES => {
            let address = refused.address;
            let program = std::env::current_exe();
            let program = program.as_deref().unwrap_or("capuchin".as_ref()).display();
            format!(
                "{address} needs privileges: choose a port from 1024 up, start as root with --user NAME, or allow \
                 it once with: setcap cap_net_bind_service=+ep {program}"
            )
        }
        error => error.to_string(),
    }
}

/// Prints to standard output. It is no error if nobody reads that any more, as with `| head`.
fn print(text: &str) -> Result<(), String> {
    standard_output()
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .or_else(|error| match error.kind() {
            ErrorKind::BrokenPipe => Ok(()),
            _ => Err(format!("cannot print: {error}")),
        })
}
