//! 100 MB by POST on one connection: how fast a server takes a body, and what that costs it.

use crate::framing;
use crate::peers::{Kind, Setup};
use crate::plots::{Bar, Figure, Plot};
use crate::server::Server;
use crate::table::{Spread, Table};
use crate::{Bench, machine, rounds};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const BYTES: usize = 100_000_000;

/// Bytes of one write.
const PIECE: usize = 64 << 10;

/// A server that neither takes nor says anything for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// No upload may take longer.
const WHOLE: Duration = Duration::from_secs(30);

/// Files of Capuchin's command are not posted to: its handlers are in the fixture. The floor and
/// lighttpd have no way to take a body.
const KINDS: [(Kind, Kind); 3] = [
    (Kind::Capuchin, Kind::Fixture),
    (Kind::Nginx, Kind::Nginx),
    (Kind::Hyper, Kind::Hyper),
];

/// The rounds of one server: MB per second, and CPU milliseconds.
struct Results {
    shown: Kind,
    started: Kind,
    rates: Vec<f64>,
    costs: Vec<f64>,
}

pub fn run(bench: &Bench) -> Result<(), String> {
    let mut results: Vec<Results> = KINDS
        .into_iter()
        .filter(|(shown, _)| bench.kinds.contains(shown))
        .map(|(shown, started)| Results {
            shown,
            started,
            rates: Vec::new(),
            costs: Vec::new(),
        })
        .collect();
    rounds::in_turn(&bench.report, bench.rounds, &mut results, |results| {
        let (rate, cost) = measure(results.started, bench)?;
        results.rates.push(rate);
        results.costs.push(cost);
        Ok(())
    });
    results.retain(|results| !results.rates.is_empty());
    let mut table = Table::new(&["server", "MB/s (range)", "CPU ms per 100 MB (range)"]);
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for results in results {
        let (rate, cpu) = (Spread::of(results.rates), Spread::of(results.costs));
        let name = results.shown.name();
        table.row(&[name.into(), rate.show(0), cpu.show(1)]);
        let bar = |value, decimals| Bar {
            name: name.into(),
            value,
            decimals,
        };
        rates.push(bar(rate, 0));
        costs.push(bar(cpu, 1));
    }
    bench.report.table(&table);
    bench.report.note(
        "capuchin by a handler that counts, nginx by `return 200`, which throws the body away",
    );
    for (name, unit, bars) in [("upload", "MB/s", rates), ("upload-cpu", "CPU ms", costs)] {
        bench.report.plot(Plot {
            name: name.into(),
            title: format!("100 MB by POST on one connection: {unit}"),
            figure: Figure::Bars(bars),
        });
    }
    Ok(())
}

/// MB per second and CPU milliseconds.
fn measure(kind: Kind, bench: &Bench) -> Result<(f64, f64), String> {
    let server = Server::start(kind, &bench.place, Setup::file(4_096))?;
    let watch = server.watch();
    let address = server.address;
    let seconds = machine::on_load_core("upload", move || send(address))
        .map_err(|message| format!("{}: {message}", kind.name()))?;
    let used = watch.end().cpu.total();
    Ok((BYTES as f64 / 1e6 / seconds, used * 1e3))
}

/// Sends the body and a request after it, for a server may answer before it has read the body.
fn send(address: SocketAddr) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let piece = vec![b'x'; PIECE];
    let begin = Instant::now();
    let head = format!(
        "POST /count HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut left = BYTES;
    while left > 0 {
        let now = left.min(PIECE);
        stream.write_all(&piece[..now])?;
        left -= now;
        if begin.elapsed() > WHOLE {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    framing::read_reply(&mut stream)?;
    stream.write_all(b"GET /4096.bin HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    framing::read_reply(&mut stream)?;
    Ok(begin.elapsed().as_secs_f64())
}
