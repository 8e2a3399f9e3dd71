//! What can be seen of a server: its counters, and the shell's command.

use crate::config::text;
use crate::console::Text;
use crate::server::{SERVERS, Server, of};
use crate::service::CLOSED;
use crate::way;
use capuchin_core::stats::{Counter, Snapshot};
use core::ffi::{CStr, c_char, c_int};
use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

fn counters_of(server: &Server) -> Snapshot {
    let mut sum = Snapshot::default();
    for worker in server.workers {
        sum.add(&worker.stats);
    }
    sum
}

/// `capuchin_counters_text`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_counters_text(
    server: *const Server,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    // SAFETY: the caller's word.
    let Some(server) = (unsafe { of(server) }) else {
        return -1;
    };
    // SAFETY: the caller passes room for `size` bytes.
    unsafe {
        Text::print(buffer, size, &mut |out| {
            // Text takes everything, or counts it.
            let _ = counters_of(server).write_text(out);
        })
    }
}

/// `capuchin_counter`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_counter(server: *const Server, name: *const c_char) -> u32 {
    // SAFETY: the caller's word.
    let (Some(server), Some(Some(name))) = (unsafe { of(server) }, text(name)) else {
        return 0;
    };
    if name == "connections_open" {
        return server
            .workers
            .iter()
            .map(|worker| worker.stats.open() as u32)
            .sum();
    }
    let named = Counter::ALL.iter().find(|counter| counter.name() == name);
    named.map_or(0, |&counter| {
        server
            .workers
            .iter()
            .map(|worker| worker.stats.value(counter) as u32)
            .fold(0, u32::wrapping_add)
    })
}

unsafe extern "C" {
    safe fn putchar(byte: c_int) -> c_int;
}

/// Standard output. Not by printf(3), which is ten times as large as this file.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            putchar(c_int::from(byte));
        }
        Ok(())
    }
}

/// `capuchin_shell`.
///
/// # Safety
/// As `main`: `argc` strings that end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_shell(argc: c_int, argv: *const *const c_char) -> c_int {
    let word = if argc > 1 {
        // SAFETY: there is a second string.
        unsafe { CStr::from_ptr(*argv.add(1)) }.to_bytes()
    } else {
        b""
    };
    let (counters, connections) = match word {
        b"" => (true, true),
        b"counters" => (true, false),
        b"connections" => (false, true),
        _ => {
            let _ = Out.write_str("usage: capuchin [counters|connections]\n");
            return 1;
        }
    };
    let mut at = SERVERS.load(Ordering::SeqCst);
    if at.is_null() {
        let _ = Out.write_str("no server runs\n");
        return 1;
    }
    // SAFETY: what is on the list runs; whoever stops a server while somebody looks at it must see to
    // it that both are one task.
    while let Some(server) = unsafe { at.as_ref() } {
        // Standard output takes everything.
        let _ = show(server, counters, connections);
        at = server.next.load(Ordering::SeqCst);
    }
    0
}

fn show(server: &Server, counters: bool, connections: bool) -> fmt::Result {
    writeln!(Out, "server on port {}", server.port())?;
    if counters {
        counters_of(server).write_text(&mut Out)?;
    }
    if connections {
        writeln!(Out, "worker  index  socket  requests  peer")?;
        for worker in server.workers {
            for (index, note) in worker.notes.iter().enumerate() {
                let trace = note.trace.load(Ordering::Relaxed);
                if trace == CLOSED {
                    continue;
                }
                let requests = note.requests.load(Ordering::Relaxed);
                write!(
                    Out,
                    "{:>6}  {index:>5}  {trace:>6}  {requests:>8}  ",
                    worker.index
                )?;
                way::write_client(trace, &mut Out)?;
                writeln!(Out)?;
            }
        }
    }
    Ok(())
}
