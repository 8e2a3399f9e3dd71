//! User-space instructions that a request costs, counted by callgrind: the machine's speed has no part in them,
//! and its processor little (the C library copies memory in several ways).
//!
//! ```text
//! cargo build --release && cargo run -p capuchin-tests --bin instructions            prints them
//! cargo run -p capuchin-tests --bin instructions -- --check                          fails where there are more
//! cargo run -p capuchin-tests --bin instructions -- --write                          notes them
//! ```
//!
//! All three take what `cargo build --release` left.
//!
//! Each scenario is run twice, with few requests and with many: the difference is the requests'. Several
//! clients send while the server is stopped, so that each turn of it finds as much as any other.

mod load;
mod scenarios;

use capuchin_tests::{process, release};
use load::load;
use scenarios::{SCENARIOS, Scenario};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// What they were, and with which compiler.
const NOTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// Descriptors that a server and a client have besides connections.
const OTHER_DESCRIPTORS: usize = 64;

/// A change may add so many in a hundred.
const SLACK_PERCENT: u64 = 3;

/// The same where the number of sends is up to the kernel: how much a socket takes at a time varies.
const SLACK_OF_LARGE_FILES_PERCENT: u64 = 20;

const HELP: &str = "\
Counts Capuchin's user-space instructions per request by callgrind.

Usage: instructions [--check|--write] [--server FILE]

  --check        fail where a request takes over 3 in a hundred more than tests/instructions.txt notes
  --write        note them there
  --server FILE  the command that is examined [target/release/capuchin]
  -h, --help     print this

It needs valgrind (apt-get install valgrind). What another compiler has made is counted and not compared.
";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::from(2)
        }
    }
}

/// What is to be done with the counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Print,
    Check,
    Write,
}

fn run() -> Result<bool, String> {
    let mut then = Then::Print;
    let mut server = release::command()?;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match &*word {
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(true);
            }
            "--check" => then = Then::Check,
            "--write" => then = Then::Write,
            "--server" => server = words.next().ok_or("--server needs a file")?.into(),
            _ => return Err(format!("{word} is no option: see --help")),
        }
    }
    release::is_there(&server)?;
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("NOT RUN: valgrind is missing: apt-get install valgrind");
        return Ok(true);
    }
    let compiler = release::compiler()?;
    let site = Site::make()?;
    let mut counts = Vec::new();
    let descriptors = process::raise_descriptor_limit();
    for scenario in SCENARIOS {
        if (scenario.connections + OTHER_DESCRIPTORS) as u64 > descriptors {
            println!(
                "NOT RUN: {}: raise the limit of open files (ulimit -Hn)",
                scenario.name
            );
            continue;
        }
        let count = per_request(&server, &site.0, scenario)?;
        println!("{} {count}", scenario.name);
        counts.push((scenario.name, count));
    }
    match then {
        Then::Print => Ok(true),
        Then::Check => check(&compiler, &counts),
        Then::Write => {
            let lines = counts
                .iter()
                .map(|(name, count)| format!("{name} {count}\n"));
            let text = format!("{compiler}\n{}", lines.collect::<String>());
            std::fs::write(NOTED, text).map_err(|error| format!("{NOTED}: {error}"))?;
            Ok(true)
        }
    }
}

/// Whether none is over what was noted; those are told that are.
fn check(compiler: &str, counts: &[(&str, u64)]) -> Result<bool, String> {
    let noted = std::fs::read_to_string(NOTED).map_err(|error| format!("{NOTED}: {error}"))?;
    let (noted_compiler, noted) = noted.split_once('\n').unwrap_or_default();
    if noted_compiler != compiler {
        println!("NOT COMPARED: {compiler} made this, and {noted_compiler} what was noted");
        return Ok(true);
    }
    let mut holds = true;
    for (name, count) in counts {
        let before = noted
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        let before: u64 = before.ok_or_else(|| format!("{NOTED} does not note {name}"))?;
        let percent = match *name {
            "file-of-10-mb" => SLACK_OF_LARGE_FILES_PERCENT,
            _ => SLACK_PERCENT,
        };
        let slack = before * percent / 100;
        if *count > before + slack {
            println!(
                "{name}: {count} instructions a request, over {percent} in a hundred more than {before}"
            );
            holds = false;
        } else if *count < before - slack {
            println!(
                "{name}: {count} is well below {before}: note it (--write), or it may be lost again"
            );
        }
    }
    Ok(holds)
}

/// A directory with files to serve; it goes with this.
struct Site(PathBuf);

impl Site {
    fn make() -> Result<Self, String> {
        let folder =
            std::env::temp_dir().join(format!("capuchin-instructions-{}", std::process::id()));
        let make = || {
            std::fs::create_dir(&folder)?;
            for size in [128, 4_096, 102_400, 10_485_760] {
                std::fs::write(folder.join(format!("{size}.bin")), vec![b'.'; size])?;
            }
            for file in 0..scenarios::IN_TURN {
                std::fs::write(folder.join(scenarios::file_name(file)), vec![b'.'; 4_096])?;
            }
            Ok(())
        };
        make().map_err(|error: std::io::Error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Instructions of one request more.
fn per_request(server: &Path, site: &Path, scenario: &Scenario) -> Result<u64, String> {
    let count = |requests| {
        counted(server, site, scenario, requests)
            .map_err(|error| format!("{}: {error}", scenario.name))
    };
    let (few, first) = count(scenario.few)?;
    let (many, second) = count(scenario.many)?;
    let more = many.checked_sub(few);
    let more = more.ok_or_else(|| format!("{}: fewer for more requests", scenario.name))?;
    Ok(more / (second - first) as u64)
}

/// Instructions of a server's life with so many requests or some more, and how many there were.
fn counted(
    server: &Path,
    site: &Path,
    scenario: &Scenario,
    requests: usize,
) -> Result<(u64, usize), String> {
    // Gone with the site; hidden names are not served.
    let out = site.join(".callgrind");
    let child = Command::new("valgrind")
        .args(["-q", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(server)
        .args(["--workers", "1", "--listen", "127.0.0.1:0"])
        .args([
            "--max-connections",
            &scenario.connections.max(64).to_string(),
        ])
        // Nobody is to be seen off while a slow machine counts.
        .args(["--timeout-first-byte", "3600", "--timeout-idle", "3600"])
        .arg(site)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut running = Running(child);
    let address = running.address()?;
    let loaded = load(&running, address, scenario, requests);
    let (done, connections) = loaded.map_err(|error| error.to_string())?;
    running.end()?;
    drop(connections);
    let text = std::fs::read_to_string(&out).map_err(|error| error.to_string())?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    Ok((total.ok_or("callgrind tells no total")?, done))
}

/// The server under valgrind; it ends with this.
struct Running(Child);

impl Running {
    /// Where it listens: it prints its URL.
    fn address(&mut self) -> Result<SocketAddr, String> {
        let output = self.0.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        loop {
            line.clear();
            let length = output
                .read_line(&mut line)
                .map_err(|error| error.to_string())?;
            if length == 0 {
                return Err("the server ended before it told its address".into());
            }
            if let Some(address) = process::address_in(&line) {
                self.0.stdout = Some(output.into_inner());
                return Ok(address);
            }
        }
    }

    /// Has it drain, and waits.
    fn end(&mut self) -> Result<(), String> {
        self.tell(libc::SIGTERM);
        let status = self.0.wait().map_err(|error| error.to_string())?;
        status
            .success()
            .then_some(())
            .ok_or(format!("the server ended with {status}"))
    }

    /// Stops it, and comes back once it does nothing any more.
    fn stop(&self) {
        self.tell(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: `status` lives through the call; a stopped child is not reaped by it.
        unsafe { libc::waitpid(self.0.id() as libc::pid_t, &raw mut status, libc::WUNTRACED) };
    }

    fn go_on(&self) {
        self.tell(libc::SIGCONT);
    }

    fn tell(&self, signal: libc::c_int) {
        // SAFETY: no memory is passed; the process is this one's child, which has not been waited for.
        unsafe { libc::kill(self.0.id() as libc::pid_t, signal) };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
