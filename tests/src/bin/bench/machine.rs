//! The machine: its cores, its limits, its programs, and what a table must say of it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, io, thread};

/// Where system programs are that an ordinary user's PATH may leave out.
const SYSTEM_PROGRAMS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// What each program is for, and the Debian package it comes in.
pub const TOOLS: &str = "apt-get install nginx-light lighttpd wrk httperf apache2-utils strace";

/// The core of the servers and the core of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

/// The first and the last core that this process may use; read once, before anything is pinned.
pub fn cores() -> Cores {
    static CORES: OnceLock<Cores> = OnceLock::new();
    *CORES.get_or_init(|| {
        // SAFETY: zeros are a valid set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set lives through the call and has the size that is passed.
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
        let usable = |core: &usize| {
            // SAFETY: the number is below CPU_SETSIZE.
            unsafe { libc::CPU_ISSET(*core, &set) }
        };
        let all = 0..libc::CPU_SETSIZE as usize;
        Cores {
            server: all.clone().find(usable).unwrap_or(0),
            load: all.rev().find(usable).unwrap_or(0),
        }
    })
}

/// Keeps a program on one core, if one is named, and ends it when the bench is ended.
pub fn confine(command: &mut Command, core: Option<usize>) {
    let parent = std::process::id() as i32;
    // SAFETY: between fork and exec only system calls that are async-signal-safe are made.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            if libc::getppid() != parent {
                return Err(io::ErrorKind::Interrupted.into());
            }
            core.into_iter().for_each(pin_self);
            Ok(())
        });
    }
}

/// Keeps this thread on one core.
pub fn pin_self(core: usize) {
    // SAFETY: zeros are a valid set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number came from a set, so it is within one.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set lives through the call and has the size that is passed.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}

/// Runs what makes a load on the core of the load: in a thread of its own, so that the affinity is its own, too.
pub fn on_load_core<T: Send + 'static>(
    name: &str,
    load: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let thread = thread::spawn(|| {
        pin_self(cores().load);
        load()
    });
    let result = thread.join().map_err(|_| format!("the {name} panicked"))?;
    result.map_err(|error| format!("{name}: {error}"))
}

/// Where a program is, if it is installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(SYSTEM_PROGRAMS)
        .map(|place| Path::new(place).join(name))
        .find(|file| file.is_file())
}

/// Where a program is, or how to get it.
pub fn need(name: &str) -> Result<PathBuf, String> {
    program(name).ok_or_else(|| format!("{name} is not installed: {TOOLS}"))
}

/// Processor, kernel and versions, as one line.
pub fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let count = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut versions: Vec<String> = ["nginx", "lighttpd", "wrk", "httperf", "ab", "strace"]
        .into_iter()
        .filter_map(version)
        .collect();
    versions.extend(hyper_version().map(|number| format!("hyper {number}")));
    format!(
        "machine: {count} × {model}, Linux {}; {}",
        kernel.trim(),
        versions.join(", ")
    )
}

/// The first word with a number in it that a program says when asked for its version.
fn version(name: &str) -> Option<String> {
    let flag = match name {
        "httperf" | "strace" => "--version",
        "ab" => "-V",
        _ => "-v",
    };
    let output = Command::new(program(name)?).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let number = String::from_utf8_lossy(&text)
        .split(|c: char| c.is_whitespace() || matches!(c, '/' | '-'))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))?
        .to_owned();
    Some(format!("{name} {number}"))
}

/// That of the lock file of its program.
fn hyper_version() -> Option<&'static str> {
    let lock = include_str!("../../../peers/hyper/Cargo.lock");
    let (_, rest) = lock.split_once("name = \"hyper\"\nversion = \"")?;
    rest.split('"').next()
}

/// What decides whether one-request connections run out of ports, as one line.
pub fn ports() -> String {
    let setting = |name: &str| {
        fs::read_to_string(format!("/proc/sys/net/ipv4/{name}"))
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join("–"))
            .unwrap_or_else(|_| "unknown".into())
    };
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let waiting = sockets
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .and_then(|line| line.split(" tw ").nth(1)?.split_whitespace().next())
        .unwrap_or("unknown");
    format!(
        "ports {}, tcp_tw_reuse {}, tcp_max_tw_buckets {}, {waiting} in TIME_WAIT afterwards",
        setting("ip_local_port_range"),
        setting("tcp_tw_reuse"),
        setting("tcp_max_tw_buckets"),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn version_of_hyper_is_a_number() {
        let version = super::hyper_version().expect("in the lock file");
        assert!(version.starts_with("1."), "{version}");
    }
}
