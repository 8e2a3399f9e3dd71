//! A server under test: started on its core, asked once, watched, ended.

use crate::machine;
use crate::peers::{Kind, Place, Setup};
use crate::usage::{self, Cpu, Memory};
use capuchin_tests::process;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How long a server may take to print its URL, and to answer.
const START: Duration = Duration::from_secs(5);

/// How long a server may take to end after SIGTERM.
const END: Duration = Duration::from_secs(3);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A server that runs; it ends when dropped.
pub struct Server {
    child: Child,
    pub kind: Kind,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it answers with the file.
    pub fn start(kind: Kind, place: &Place, setup: Setup) -> Result<Self, String> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("{}: {}", kind.name(), kind.how_to_get()),
            _ => format!("{} does not start: {error}", kind.name()),
        };
        let (mut command, address) = kind.command(place, setup).map_err(failed)?;
        let core = (setup.workers == 1).then(|| machine::cores().server);
        machine::confine(&mut command, core);
        let out = match address {
            Some(_) => Stdio::null(),
            None => Stdio::piped(),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        // From here on dropping it ends it.
        let mut server = Self {
            child,
            kind,
            address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        if address.is_none() {
            server.address = printed_address(&mut server.child)
                .ok_or_else(|| format!("{} did not print its URL", kind.name()))?;
        }
        server.wait_until_it_answers(&format!("/{}.bin", setup.bytes), setup.bytes)?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Watches what it uses from now on.
    pub fn watch(&self) -> Watch<'_> {
        Watch {
            server: self,
            cpu: self.cpu(),
            elsewhere: usage::elsewhere(),
            begin: Instant::now(),
        }
    }

    pub fn cpu(&self) -> Cpu {
        usage::cpu(&self.processes())
    }

    pub fn memory(&self) -> Memory {
        usage::memory(&self.processes())
    }

    /// The server's processes: itself and its children.
    pub fn processes(&self) -> Vec<u32> {
        let own = self.pid();
        let children =
            fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        std::iter::once(own).chain(children).collect()
    }

    /// One request, to see that what is measured is the right thing.
    fn wait_until_it_answers(&mut self, path: &str, bytes: usize) -> Result<(), String> {
        let begin = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended: {status}", self.kind.name()));
            }
            let mut reply = Vec::new();
            let result = TcpStream::connect(self.address).and_then(|mut stream| {
                stream.set_read_timeout(Some(START))?;
                stream.write_all(request.as_bytes())?;
                stream.read_to_end(&mut reply)
            });
            let whole = reply
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .is_some_and(|head| reply.len() == head + 4 + bytes);
            if result.is_ok() && whole && reply.starts_with(b"HTTP/1.1 200") {
                return Ok(());
            }
            if begin.elapsed() > START {
                return Err(format!(
                    "{} at {} does not answer {path} with 200 and {bytes} bytes",
                    self.kind.name(),
                    self.address
                ));
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let processes = self.processes();
        // SAFETY: no memory is passed; the process is our child and not yet waited for.
        unsafe { libc::kill(self.pid() as i32, libc::SIGTERM) };
        let begin = Instant::now();
        while begin.elapsed() < END {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(PAUSE);
        }
        // Children first: they are still its children while it lives, so their numbers are theirs.
        for pid in processes.into_iter().rev() {
            // SAFETY: no memory is passed; the process is ours and not yet waited for.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        }
        let _ = self.child.wait();
    }
}

/// A server that is watched during a run.
pub struct Watch<'a> {
    server: &'a Server,
    cpu: Cpu,
    elsewhere: f64,
    begin: Instant,
}

/// What came to pass during a run.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub cpu: Cpu,
    pub seconds: f64,
    /// Of a core, what neither the server nor the load worked.
    pub disturbed: f64,
}

impl Watch<'_> {
    pub fn end(self) -> Used {
        let (cpu, seconds) = (
            self.server.cpu() - self.cpu,
            self.begin.elapsed().as_secs_f64(),
        );
        let elsewhere = usage::elsewhere() - self.elsewhere;
        Used {
            cpu,
            seconds,
            disturbed: (elsewhere - cpu.total()) / seconds,
        }
    }
}

/// Reads the URL off the first line that a server prints.
fn printed_address(child: &mut Child) -> Option<SocketAddr> {
    let out = child.stdout.as_mut()?;
    let mut poll = libc::pollfd {
        fd: out.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry is passed and lives through the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, START.as_millis() as i32) };
    if ready != 1 {
        return None;
    }
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).ok()?;
    // A URL, or an address alone.
    process::address_in(&line).or_else(|| line.split_whitespace().last()?.parse().ok())
}
