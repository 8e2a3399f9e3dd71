//! Load generators that are programs of their own, and what to know of the machine.

use crate::LOAD_CORE;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long httperf may take.
const HTTPERF_PATIENCE: Duration = Duration::from_secs(30);

/// Connections of the load.
const CONNECTIONS: &str = "64";

/// Whether a program is on the PATH (or where system programs are).
pub fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin"])
        .any(|place| std::path::Path::new(place).join(program).exists())
}

/// Keeps a program on one core.
pub fn pin(command: &mut Command, core: usize) {
    // SAFETY: between fork and exec only async-signal-safe calls are made.
    unsafe {
        command.pre_exec(move || {
            pin_self(core);
            Ok(())
        });
    }
}

/// Keeps this thread, and what it starts, on one core. On a machine with one core it changes nothing.
pub fn pin_self(core: usize) {
    // SAFETY: zeros are a valid set; it lives through the calls.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// As many descriptors as this process, and so its children, may have.
pub fn raise_descriptor_limit() {
    // SAFETY: the limit lives through the calls.
    unsafe {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown processor");
    let cores = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!("{cores} × {}", model.trim_start_matches([' ', '\t', ':']))
}

pub fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// Runs wrk; requests, seconds and errors.
pub fn wrk(url: &str, seconds: u64, close: bool) -> Result<(u64, f64, u64), String> {
    if !has("wrk") {
        return Err("wrk makes the load: apt-get install wrk".into());
    }
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s")]);
    if close {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(url);
    pin(&mut command, LOAD_CORE);
    let output = command.output().map_err(|error| format!("wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .ok_or_else(|| format!("wrk said: {text}"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let requests = words[0].parse().map_err(|_| format!("wrk said: {line}"))?;
    let time = words[3].trim_end_matches(',');
    let seconds = match (
        time.strip_suffix("ms"),
        time.strip_suffix('m'),
        time.strip_suffix('s'),
    ) {
        (Some(ms), _, _) => ms.parse::<f64>().map(|ms| ms / 1e3),
        (_, Some(minutes), _) => minutes.parse::<f64>().map(|minutes| minutes * 60.0),
        (_, _, Some(seconds)) => seconds.parse::<f64>(),
        _ => time.parse(),
    }
    .map_err(|_| format!("wrk said: {line}"))?;
    let errors = text
        .lines()
        .filter(|line| line.contains("Socket errors") || line.contains("Non-2xx"))
        .flat_map(|line| line.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|digits| digits.parse::<u64>().ok())
        .filter(|&number| number < 1_000_000_000)
        .sum::<u64>();
    // "Non-2xx or 3xx responses" has two digits of its own.
    let own = if text.contains("Non-2xx") { 5 } else { 0 };
    Ok((requests, seconds, errors.saturating_sub(own)))
}

/// Waits until the ports of the load before are free again, a minute at the most: httperf binds
/// each port itself, and tries for ever where one still rests in TIME_WAIT.
pub fn wait_for_ports() {
    for _ in 0..70 {
        let stat = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let resting = stat
            .split(" tw ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
        if resting.is_none_or(|resting| resting < 1_000) {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// 30,000 connections at 3,000 a second, each given a second: replies and errors; `None` when it did
/// not come to its end.
pub fn httperf(address: SocketAddr, path: &str) -> Result<Option<(u64, u64)>, String> {
    let mut command = Command::new("httperf");
    command.args([
        "--server",
        &address.ip().to_string(),
        "--port",
        &address.port().to_string(),
        "--uri",
        path,
    ]);
    command.args([
        "--num-conns",
        "30000",
        "--rate",
        "3000",
        "--timeout",
        "1",
        "--hog",
    ]);
    pin(&mut command, LOAD_CORE);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("httperf: {error}"))?;
    // It takes ten seconds; with some servers it waits for ever.
    let begin = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if begin.elapsed() > HTTPERF_PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(50));
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("httperf: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number_after = |line: &str, word: &str| -> Option<u64> {
        line.split(word)
            .nth(1)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let replies = text.lines().find_map(|line| number_after(line, "replies "));
    let errors = text
        .lines()
        .find_map(|line| number_after(line, "Errors: total "));
    match (replies, errors) {
        (Some(replies), Some(errors)) => Ok(Some((replies, errors))),
        _ => Err(format!(
            "httperf said: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
