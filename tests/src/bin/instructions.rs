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

use capuchin_tests::{process, release};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// What they were, and with which compiler.
const NOTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// Descriptors that a server and a client have besides connections.
const OTHER_DESCRIPTORS: usize = 64;

/// A change may add so many in a hundred.
const SLACK_PERCENT: u64 = 3;

const HELP: &str = "\
Counts Capuchin's user-space instructions per request by callgrind.

Usage: instructions [--check|--write] [--server FILE]

  --check        fail where a request takes over 3 in a hundred more than tests/instructions.txt notes
  --write        note them there
  --server FILE  the command that is examined [target/release/capuchin]
  -h, --help     print this

It needs valgrind (apt-get install valgrind). What another compiler has made is counted and not compared.
";

/// A browser's head: 12 fields, some 600 bytes. Each client has a number of its own in it.
const BROWSER: &str = "Host: 127.0.0.1:8080\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/NUMBER.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n";

/// Another browser's, with other fields in another order.
const OTHER_BROWSER: &str = "Host: 127.0.0.1:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:NUMBER.0) Gecko/20100101 Firefox/NUMBER.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    DNT: 1\r\n\
    Connection: keep-alive\r\n\
    Referer: http://127.0.0.1:8080/contents/index.html\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n";

/// A load generator's.
const SHORT: &str = "Host: 127.0.0.1:8080\r\n";

#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    path: &'static str,
    /// Clients take them in turn.
    fields: &'static [&'static str],
    version: &'static str,
    /// Connections that are open, and how many of them send.
    connections: usize,
    busy: usize,
    /// Requests that a client sends at once.
    pipelined: usize,
    /// A connection for each request.
    closes: bool,
    /// Requests of the two runs.
    few: usize,
    many: usize,
}

/// A client that sends one request after another.
const ALONE: Scenario = Scenario {
    name: "keep-alive",
    path: "/4096.bin",
    fields: &[SHORT],
    version: "1.1",
    connections: 1,
    busy: 1,
    pipelined: 1,
    closes: false,
    few: 320,
    many: 3_520,
};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keep-alive-64-connections",
        connections: 64,
        busy: 64,
        ..ALONE
    },
    Scenario {
        name: "browser-64-connections",
        fields: &[BROWSER],
        connections: 64,
        busy: 64,
        ..ALONE
    },
    Scenario {
        name: "two-browsers-in-turn",
        fields: &[BROWSER, OTHER_BROWSER],
        connections: 64,
        busy: 64,
        ..ALONE
    },
    Scenario {
        name: "browser-1-connection",
        fields: &[BROWSER],
        ..ALONE
    },
    Scenario {
        name: "browser-1-of-10000-connections",
        fields: &[BROWSER],
        connections: 10_000,
        many: 40_320,
        ..ALONE
    },
    Scenario {
        name: "pipelined-16",
        path: "/128.bin",
        connections: 16,
        busy: 16,
        pipelined: 16,
        ..ALONE
    },
    Scenario {
        name: "connection-per-request",
        connections: 16,
        busy: 16,
        closes: true,
        ..ALONE
    },
    Scenario {
        name: "http-1.0",
        version: "1.0",
        connections: 16,
        busy: 16,
        closes: true,
        ..ALONE
    },
    Scenario {
        name: "file-of-100-kb",
        path: "/102400.bin",
        ..ALONE
    },
    Scenario {
        name: "file-of-10-mb",
        path: "/10485760.bin",
        few: 2,
        many: 42,
        ..ALONE
    },
];

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
        let limit = before + before * SLACK_PERCENT / 100;
        if *count > limit {
            println!(
                "{name}: {count} instructions a request, over {SLACK_PERCENT} in a hundred more than {before}"
            );
            holds = false;
        } else if *count < before - before * SLACK_PERCENT / 100 {
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
    let done = load(&running, address, scenario, requests).map_err(|error| error.to_string())?;
    running.end()?;
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

/// At least so many requests; how many there were.
fn load(
    server: &Running,
    address: SocketAddr,
    scenario: &Scenario,
    requests: usize,
) -> std::io::Result<usize> {
    let ending = if scenario.closes {
        "Connection: close\r\n"
    } else {
        ""
    };
    let batch = |number: usize| {
        let Scenario {
            path,
            version,
            fields,
            ..
        } = scenario;
        let fields = fields[number % fields.len()].replace("NUMBER", &number.to_string());
        format!("GET {path} HTTP/{version}\r\n{fields}{ending}\r\n").repeat(scenario.pipelined)
    };
    let connect = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    // In parts that the system keeps for a server that is stopped, and each of them to its end: it is known then
    // in how many turns they are accepted.
    let mut waiting = Vec::new();
    while waiting.len() < scenario.connections - scenario.busy {
        let part = (scenario.connections - scenario.busy - waiting.len()).min(64);
        server.stop();
        for _ in 0..part {
            waiting.push(connect()?);
        }
        if let Some(last) = waiting.last_mut() {
            last.write_all(batch(0).as_bytes())?;
            server.go_on();
            first_reply(last)?;
        }
    }
    let clients = (0..scenario.busy).map(|number| Ok((connect()?, batch(number))));
    let mut clients = clients.collect::<std::io::Result<Vec<_>>>()?;
    let together = clients.len() > 1;
    let (mut done, mut lengths) = (0, vec![None; clients.len()]);
    let mut memory = Vec::new();
    while done < requests {
        if together {
            server.stop();
        }
        for (client, batch) in &mut clients {
            client.write_all(batch.as_bytes())?;
        }
        if together {
            server.go_on();
        }
        for ((client, _), length) in clients.iter_mut().zip(&mut lengths) {
            for _ in 0..scenario.pipelined {
                // All replies are as long as the first.
                match *length {
                    None => *length = Some(first_reply(client)?),
                    Some(length) => {
                        memory.resize(length, 0);
                        client.read_exact(&mut memory)?;
                    }
                }
                done += 1;
            }
            if scenario.closes {
                *client = connect()?;
            }
        }
    }
    Ok(done)
}

/// Reads a reply with a length; its bytes.
fn first_reply(client: &mut TcpStream) -> std::io::Result<usize> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.ok_or_else(|| std::io::Error::other(text.clone()))?;
    client.read_exact(&mut vec![0; length])?;
    Ok(head.len() + length)
}
