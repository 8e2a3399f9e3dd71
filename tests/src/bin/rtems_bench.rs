//! The bench of images: Capuchin beside a minimal C loop of the same shape, on each stack of RTEMS, and the
//! images that have a stack of Capuchin's own beside RTEMS's legacy stack and smoltcp's own loop, in one
//! run. Images take turns; medians and ranges are printed as Markdown tables. It never judges timings by
//! its exit status, but it fails when the load met errors: the rates of those mean nothing.
//!
//! ```text
//! make -C targets/rtems/c STACK=legacy RTEMS_PREFIX=… example loop
//! make -C targets/rtems/c STACK=libbsd RTEMS_PREFIX=… example loop
//! make -C targets/rtems/c STACK=kqueue RTEMS_PREFIX=… example
//! make -C targets/rtems/c STACK=own RTEMS_PREFIX=… example
//! for kind in "" --fixture --bare; do targets/standalone/build $kind; done
//! cargo run --release -p capuchin-tests --bin rtems_bench -- [--rounds N] [--seconds N]
//! ```

use capuchin_qemu::{Machine, Spec, Stack};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// As long as a boot with libbsd may take.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// The example's route with the smallest reply: 120 bytes with its head, where the loop has 128. The loop
/// answers any path.
const LED: &str = "/led/1";
/// The same of the image that needs no RTEMS.
const HELLO: &str = "/hello";
/// A megabyte of the fixture; smoltcp's own loop answers any path with as much.
const MEGABYTE: &str = "/sized/1048576";
const MEGABYTE_BYTES: usize = 1 << 20;
/// Connections of the load.
const CONNECTIONS: &str = "8";

/// What `--help` prints.
const HELP: &str = "\
Benches images in QEMU: RTEMS's example beside a minimal C loop, on each stack; on libbsd both ways to
wait, in a message queue and in kqueue. And those with a stack of Capuchin's own.

Usage: rtems_bench [--rounds N] [--seconds N] [--images DIR]

  --rounds N    boots of each image, 1 at least [5]
  --seconds N   of each load, 1 at least [4]
  --images DIR  where rtems-c/legacy/ and the like, standalone/ and the like with the images are [target]
  -h, --help    print this

It needs wrk (apt-get install wrk) and QEMU. What is not built is left out.
";

/// An image: its name in the table, its stack, its file, and what is asked.
type Image = (&'static str, Stack, &'static str, &'static str);

/// What is measured of the images of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Requests and connections a second.
    Requests,
    /// Downloads of a megabyte.
    Download,
}

/// Tables: the images, the first of which the others are compared with.
const BENCHES: &[(&str, Load, &[Image])] = &[
    (
        "legacy, 8 connections",
        Load::Requests,
        &[
            ("C loop", Stack::Legacy, "rtems-c/legacy/loop.exe", LED),
            ("queue", Stack::Legacy, "rtems-c/legacy/example.exe", LED),
        ],
    ),
    (
        "libbsd, 8 connections",
        Load::Requests,
        &[
            ("C loop", Stack::Libbsd, "rtems-c/libbsd/loop.exe", LED),
            ("queue", Stack::Libbsd, "rtems-c/libbsd/example.exe", LED),
            ("kqueue", Stack::Libbsd, "rtems-c/kqueue/example.exe", LED),
        ],
    ),
    (
        "Capuchin's own stack, 8 connections",
        Load::Requests,
        &[
            (
                "RTEMS, legacy",
                Stack::Legacy,
                "rtems-c/legacy/example.exe",
                LED,
            ),
            ("RTEMS, own", Stack::Own, "rtems-c/own/example.exe", LED),
            ("no RTEMS", Stack::Own, "standalone/capuchin.elf", HELLO),
        ],
    ),
    (
        "download of 1 MB",
        Load::Download,
        &[
            (
                "smoltcp's own loop",
                Stack::Own,
                "standalonebare/capuchin.elf",
                "/",
            ),
            (
                "Capuchin",
                Stack::Own,
                "standalonefixture/capuchin.elf",
                MEGABYTE,
            ),
        ],
    ),
];

struct Options {
    rounds: usize,
    seconds: u64,
    images: PathBuf,
}

/// What is measured of one image: requests per second kept alive, connections per second, megabytes per
/// second, and milliseconds from power-on to the first answer.
#[derive(Default)]
struct Runs {
    kept: Vec<f64>,
    closed: Vec<f64>,
    download: Vec<f64>,
    first: Vec<f64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("rtems_bench: {why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let Some(options) = options(std::env::args().skip(1))? else {
        print!("{HELP}");
        return Ok(());
    };
    for (title, load, images) in BENCHES {
        let (here, missing): (Vec<Image>, Vec<Image>) = images
            .iter()
            .partition(|(_, _, file, _)| options.images.join(file).is_file());
        for (_, _, file, _) in missing {
            println!(
                "NOT RUN: {} is missing",
                options.images.join(file).display()
            );
        }
        if here.is_empty() {
            continue;
        }
        let mut runs: Vec<Runs> = here.iter().map(|_| Runs::default()).collect();
        for _ in 0..options.rounds {
            for (image, runs) in here.iter().zip(&mut runs) {
                measure(*image, *load, &options, runs)?;
            }
        }
        let names: Vec<_> = here.iter().map(|(name, ..)| *name).collect();
        print(title, *load, &names, &runs);
        for (name, _, file, _) in &here {
            if let Some(bytes) = size(&options.images.join(file)) {
                println!("{name}: text+data+bss {bytes} bytes");
            }
        }
    }
    Ok(())
}

/// None where help is asked for.
fn options(words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        rounds: 5,
        seconds: 4,
        images: PathBuf::from("target"),
    };
    let mut words = words;
    while let Some(word) = words.next() {
        if word == "-h" || word == "--help" {
            return Ok(None);
        }
        if !["--rounds", "--seconds", "--images"].contains(&word.as_str()) {
            return Err(format!("{word} is no option: see --help"));
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || match value.parse() {
            Ok(0) | Err(_) => Err(format!("{word} has to be a number, 1 at least")),
            Ok(number) => Ok(number),
        };
        match word.as_str() {
            "--rounds" => options.rounds = number()? as usize,
            "--seconds" => options.seconds = number()?,
            _ => options.images = PathBuf::from(&value),
        }
    }
    Ok(Some(options))
}

fn measure(
    (_, stack, file, path): Image,
    load: Load,
    options: &Options,
    runs: &mut Runs,
) -> Result<(), String> {
    let spec = Spec::new(stack, options.images.join(file));
    let mut machine = Machine::boot(&spec).map_err(|error| error.to_string())?;
    let first = machine
        .wait_until_it_answers(BOOT_LIMIT)
        .map_err(|error| error.to_string())?;
    runs.first.push(first.as_secs_f64() * 1_000.0);
    match load {
        Load::Requests => {
            let url = format!("http://{}{path}", machine.address());
            runs.kept.push(wrk(&url, options.seconds, false)?);
            runs.closed.push(wrk(&url, options.seconds, true)?);
        }
        Load::Download => {
            let rate = download(machine.address(), path, options.seconds);
            runs.download
                .push(rate.map_err(|error| format!("{file}: {error}"))?);
        }
    }
    machine.end();
    Ok(())
}

/// Megabytes per second of downloads one after another.
fn download(address: SocketAddr, path: &str, seconds: u64) -> std::io::Result<f64> {
    let (begin, limit) = (Instant::now(), Duration::from_secs(seconds));
    let (mut megabytes, mut reply) = (0.0, Vec::new());
    while begin.elapsed() < limit {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
        )?;
        reply.clear();
        stream.read_to_end(&mut reply)?;
        if reply.len() < MEGABYTE_BYTES {
            let bytes = format!("a download has {} bytes", reply.len());
            return Err(std::io::Error::other(bytes));
        }
        megabytes += reply.len() as f64 / 1e6;
    }
    Ok(megabytes / begin.elapsed().as_secs_f64())
}

/// Replies per second.
fn wrk(url: &str, seconds: u64, close: bool) -> Result<f64, String> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s")]);
    if close {
        command.args(["-H", "Connection: close"]);
    }
    let output = command
        .arg(url)
        .output()
        .map_err(|error| format!("wrk makes the load ({error}): apt-get install wrk"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    rate(&text).map_err(|why| format!("{url}: {why}"))
}

/// The rate that wrk tells, unless it met errors.
fn rate(text: &str) -> Result<f64, String> {
    let faults: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("Non-2xx") || line.starts_with("Socket errors"))
        .collect();
    if !faults.is_empty() {
        return Err(format!("the load met errors: {}", faults.join("; ")));
    }
    text.lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .ok_or_else(|| format!("wrk says no rate: {text}"))
}

fn print(title: &str, load: Load, names: &[&str], runs: &[Runs]) {
    type Select = fn(&Runs) -> &Vec<f64>;
    let (first, others) = (names[0], &names[1..]);
    print!("\n| {title} | {first} |");
    for name in others {
        print!(" {name} | of the {first} |");
    }
    println!("\n|---|---|{}", "---|---|".repeat(others.len()));
    let power_on: (&str, Select) = ("power-on to first answer, ms", |runs| &runs.first);
    let rows: Vec<(&str, Select)> = match load {
        Load::Requests => vec![
            ("keep-alive, requests/s", |runs| &runs.kept),
            ("connection per request, connections/s", |runs| &runs.closed),
            power_on,
        ],
        Load::Download => vec![("MB/s", |runs| &runs.download)],
    };
    for (what, select) in rows {
        let floor = Spread::of(select(&runs[0]));
        print!("| {what} | {floor} |");
        for runs in &runs[1..] {
            let ours = Spread::of(select(runs));
            print!(" {ours} | {:.2} |", ours.median / floor.median);
        }
        println!();
    }
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            least: sorted[0],
            median: sorted[sorted.len() / 2],
            most: sorted[sorted.len() - 1],
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Small numbers with a digit behind the point.
        let digits = usize::from(self.median < 100.0);
        let Self {
            least,
            median,
            most,
        } = self;
        write!(f, "{median:.digits$} ({least:.digits$}-{most:.digits$})")
    }
}

/// Bytes of an image's sections in memory, as size(1) tells.
fn size(image: &Path) -> Option<u64> {
    let output = Command::new("size").arg(image).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_counts_only_without_errors() {
        let whole = "Running 4s test\n  9 requests in 4.00s, 1.0KB read\nRequests/sec:   4122.03\n";
        assert_eq!(rate(whole), Ok(4122.03));
        for fault in [
            "  Socket errors: connect 8, read 0, write 0, timeout 0\n",
            "  Non-2xx or 3xx responses: 17\n",
        ] {
            let why = rate(&format!("{fault}{whole}")).unwrap_err();
            assert!(why.contains(fault.trim()), "{why}");
        }
        assert!(rate("Running\n").is_err());
    }

    #[test]
    fn nothing_is_no_number_of_rounds() {
        let parse = |line: &str| options(line.split_whitespace().map(str::to_owned));
        assert!(parse("--help").unwrap().is_none());
        assert_eq!(parse("--rounds 1 --seconds 2").unwrap().unwrap().rounds, 1);
        for wrong in [
            "--rounds 0",
            "--seconds 0",
            "--rounds x",
            "--rounds",
            "--round 3",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
