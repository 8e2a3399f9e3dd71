//! The `capuchin` command: serves a directory.

mod logger;
mod options;
#[cfg(target_env = "gnu")]
mod unwinder;

use capuchin::access_log::AccessLog;
use capuchin::{Running, Server};
use options::{Command, Options};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// A mistake of the operator's, or something that the server needs and cannot have.
const MISTAKE: u8 = 2;

/// Cut short: by a second signal, or because a part of the server broke.
const CUT_SHORT: i32 = 1;

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            logger::flush();
            ExitCode::SUCCESS
        }
        Err(message) => {
            // Where this cannot be written the status still tells.
            if logger::flush() {
                let _ = writeln!(std::io::stderr(), "capuchin: {message}");
            }
            ExitCode::from(MISTAKE)
        }
    }
}

fn run() -> Result<(), String> {
    let options = match options::parse(std::env::args_os().skip(1))? {
        Command::Help => return print(options::HELP),
        Command::Version => return print(concat!("capuchin ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve(options) => *options,
    };
    logger::start(options.log_level).map_err(|error| format!("cannot log: {error}"))?;
    let log = options
        .access_log
        .clone()
        .map(|destination| Arc::new(AccessLog::later(destination, options.access_format)));
    let server = server(&options, log.clone());
    if options.check {
        server.check().map_err(|error| error.to_string())?;
        return print("the options are right\n");
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|error| format!("signals cannot be handled: {error}"))?;
    let running = server.start().map_err(|error| error.to_string())?;
    announce(&running)?;
    let signals_handle = signals.handle();
    let mut running = Some(running);
    let mut joiner = None;
    for signal in signals.forever() {
        match signal {
            SIGHUP => log.iter().for_each(|log| log.reopen()),
            _ => match running.take() {
                Some(draining) => {
                    log::info!("finishing the requests in flight; another signal ends at once");
                    draining.drain();
                    let handle = signals_handle.clone();
                    joiner = Some(std::thread::spawn(move || {
                        draining.join();
                        handle.close();
                    }));
                }
                // Whoever asks twice does not want to wait.
                None => cut_short(),
            },
        }
    }
    if let Some(joiner) = joiner
        && joiner.join().is_err()
    {
        log::error!("the server did not end as it should");
    }
    if let Some(log) = log.and_then(Arc::into_inner) {
        log.finish();
    }
    Ok(())
}

fn cut_short() -> ! {
    logger::flush();
    std::process::exit(CUT_SHORT)
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

/// Prints where the server can be reached: what a person opens, or a script reads.
fn announce(running: &Running) -> Result<(), String> {
    let mut lines: String = running
        .addresses()
        .iter()
        .map(|address| format!("http://{address}/\n"))
        .collect();
    if let Some(address) = running.status_address() {
        lines.push_str(&format!("counters: http://{address}/\n"));
    }
    print(&lines)
}

fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot print: {error}"))
}
