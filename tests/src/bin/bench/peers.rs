//! The servers: how each is configured for this, started on its core, watched and ended.

use crate::{SERVER_CORE, load};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Capuchin,
    Nginx,
    Lighttpd,
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Capuchin => "capuchin",
            Self::Nginx => "nginx",
            Self::Lighttpd => "lighttpd",
        }
    }

    pub fn is_installed(&self) -> bool {
        match self {
            Self::Floor | Self::Capuchin => beside(self.name()).exists(),
            _ => load::has(self.name()),
        }
    }

    pub fn how_to_get(&self) -> &'static str {
        match self {
            Self::Floor | Self::Capuchin => "cargo build --release --workspace",
            Self::Nginx => "apt-get install nginx-light",
            Self::Lighttpd => "apt-get install lighttpd",
        }
    }
}

/// A program of this build.
fn beside(name: &str) -> PathBuf {
    std::env::current_exe()
        .map(|exe| exe.with_file_name(name))
        .unwrap_or_default()
}

/// A directory for the files that are served and for the servers' own; gone when dropped.
pub struct Place(PathBuf);

impl Place {
    pub fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("capuchin-bench-{}", std::process::id()));
        fs::create_dir_all(path.join("site"))?;
        for bytes in [128, 4_096] {
            fs::write(path.join(format!("site/{bytes}.bin")), vec![b'x'; bytes])?;
        }
        // nginx's worker may run as another user.
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self(path))
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// CPU seconds.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

/// A server that runs; it ends when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(kind: Kind, place: &Place, bytes: usize, close: bool) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{} does not start: {error}", kind.name());
        let (mut command, address) = match kind {
            Kind::Floor => {
                let mut command = Command::new(beside("floor"));
                command.args([
                    "--body",
                    &bytes.to_string(),
                    "--close",
                    if close { "1" } else { "0" },
                ]);
                (command, None)
            }
            Kind::Capuchin => {
                let mut command = Command::new(beside("capuchin"));
                command
                    .arg(place.site())
                    .args(["--listen", "127.0.0.1:0", "--workers", "1"]);
                (command, None)
            }
            Kind::Nginx | Kind::Lighttpd => {
                let address = free_address().map_err(failed)?;
                (peer(kind, place, address).map_err(failed)?, Some(address))
            }
        };
        load::pin(&mut command, SERVER_CORE);
        command
            .stdout(if address.is_none() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let address = match address {
            Some(address) => address,
            None => match printed_address(&mut child) {
                Some(address) => address,
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("{} did not print its URL", kind.name()));
                }
            },
        };
        let server = Self { child, address };
        server.wait_until_it_answers(&format!("/{bytes}.bin"), bytes)?;
        Ok(server)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// One request, to see that what is measured is the right thing.
    fn wait_until_it_answers(&self, path: &str, bytes: usize) -> Result<(), String> {
        let begin = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        loop {
            let mut reply = Vec::new();
            let result = TcpStream::connect(self.address).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_millis(500)))?;
                stream.write_all(request.as_bytes())?;
                // The floor does not close here: what came before the timeout counts.
                let _ = stream.read_to_end(&mut reply);
                Ok(())
            });
            if result.is_ok() && reply.starts_with(b"HTTP/1.1 200") && reply.len() > bytes {
                return Ok(());
            }
            if begin.elapsed() > Duration::from_secs(5) {
                return Err(format!(
                    "the server at {} does not answer {path} with 200",
                    self.address
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The server's processes: itself and its children.
    pub fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        std::iter::once(own)
            .chain(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse().ok()),
            )
            .collect()
    }

    /// CPU time of all its processes so far.
    pub fn cpu(&self) -> Cpu {
        let mut cpu = Cpu {
            user: 0.0,
            system: 0.0,
        };
        for pid in self.processes() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // After the name in parentheses; utime and stime are fields 14 and 15 (proc(5)).
            let fields: Vec<&str> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let ticks = |at: usize| {
                fields
                    .get(at)
                    .and_then(|text| text.parse::<f64>().ok())
                    .unwrap_or(0.0)
            };
            cpu.user += ticks(11) / 100.0;
            cpu.system += ticks(12) / 100.0;
        }
        cpu
    }

    /// Bytes of memory that belong to its processes alone.
    pub fn private_bytes(&self) -> u64 {
        let of = |pid: u32| {
            let rollup =
                fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let kilobytes = |line: &str| {
                line.split_whitespace()
                    .nth(1)
                    .and_then(|number| number.parse::<u64>().ok())
            };
            rollup
                .lines()
                .filter(|line| line.starts_with("Private_"))
                .filter_map(kilobytes)
                .sum::<u64>()
                * 1_024
        };
        self.processes().into_iter().map(of).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: no memory is passed; the process is our child and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads `http://ADDRESS/` off the first line that a server prints.
fn printed_address(child: &mut Child) -> Option<SocketAddr> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut()?)
        .read_line(&mut line)
        .ok()?;
    line.trim()
        .strip_prefix("http://")?
        .trim_end_matches('/')
        .parse()
        .ok()
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A peer configured for speed: one worker, no logs, no limit on keep-alive, open files cached.
fn peer(kind: Kind, place: &Place, address: SocketAddr) -> io::Result<Command> {
    let own: &Path = &place.0;
    let (site, base, port) = (place.site(), own.display(), address.port());
    let site = site.display();
    let config = own.join(format!("{}.conf", kind.name()));
    let text = if kind == Kind::Nginx {
        format!(
            "daemon off; worker_processes 1; pid {base}/nginx.pid; error_log {base}/nginx.log crit; worker_rlimit_nofile 40000;\n\
             events {{ worker_connections 20000; multi_accept on; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 300s;\n\
             open_file_cache max=1000 inactive=300s; client_body_temp_path {base}/nginx-body; proxy_temp_path {base}/nginx-proxy;\n\
             fastcgi_temp_path {base}/nginx-fastcgi; uwsgi_temp_path {base}/nginx-uwsgi; scgi_temp_path {base}/nginx-scgi;\n\
             server {{ listen 127.0.0.1:{port} backlog=65535; root {site}; }} }}\n"
        )
    } else {
        format!(
            "server.document-root = \"{site}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             server.max-fds = 40000\nserver.max-connections = 20000\nserver.listen-backlog = 65535\n\
             server.max-keep-alive-requests = 100000000\nserver.max-keep-alive-idle = 300\n\
             server.errorlog = \"{base}/lighttpd.log\"\nmimetype.assign = ( \".bin\" => \"application/octet-stream\" )\n"
        )
    };
    fs::write(&config, text)?;
    let mut command = Command::new(kind.name());
    if kind == Kind::Nginx {
        command
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(own.join("nginx-start.log"));
    } else {
        command.arg("-D").arg("-f").arg(&config);
    }
    Ok(command)
}
