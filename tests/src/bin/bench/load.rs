//! wrk as the load.

use crate::machine;
use capuchin_tests::process;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a load generator may take longer than it was told to.
pub const GRACE: Duration = Duration::from_secs(10);

/// How wrk is run.
#[derive(Clone, Copy, Debug)]
pub struct Wrk {
    pub connections: usize,
    /// Each request asks that its connection be closed.
    pub close: bool,
    /// More than one share all cores.
    pub threads: usize,
}

/// What a load generator counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    pub requests: u64,
    pub seconds: f64,
    /// Bytes that came, heads and what the end cut off included, where the load tells.
    pub bytes: Option<u64>,
    /// What went wrong, by kind; kinds that did not happen are left out.
    pub errors: Vec<(String, u64)>,
}

pub fn wrk(address: SocketAddr, path: &str, seconds: u64, how: Wrk) -> Result<Count, String> {
    wrk_by(None, address, path, seconds, how)
}

/// By a script that tells wrk what to ask for; without one it is `path` all the time.
pub fn wrk_by(
    script: Option<&Path>,
    address: SocketAddr,
    path: &str,
    seconds: u64,
    how: Wrk,
) -> Result<Count, String> {
    let program = machine::need("wrk")?;
    let mut command = Command::new(program);
    command
        .args(["-t", &how.threads.to_string()])
        .args(["-c", &how.connections.to_string()])
        .args(["-d", &format!("{seconds}s")]);
    if how.close {
        command.args(["-H", "Connection: close"]);
    }
    if let Some(script) = script {
        command.arg("-s").arg(script);
    }
    command.arg(format!("http://{address}{path}"));
    let core = (how.threads == 1).then(|| machine::cores().load);
    machine::confine(&mut command, core);
    let limit = Duration::from_secs(seconds) + GRACE;
    let (_, text) = process::run_within(command, limit).map_err(|error| error.to_string())?;
    parse(&text).ok_or_else(|| format!("wrk said: {text}"))
}

fn parse(text: &str) -> Option<Count> {
    // "  571431 requests in 3.01s, 2.27GB read"
    let (requests, rest) = text
        .lines()
        .find_map(|line| line.split_once(" requests in "))?;
    let mut count = Count {
        requests: requests.trim().parse().ok()?,
        seconds: duration(rest.split(',').next()?)?,
        bytes: rest.split(", ").nth(1).and_then(size),
        errors: Vec::new(),
    };
    // "  Socket errors: connect 0, read 12, write 0, timeout 3"
    let kinds = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Socket errors: "))
        .unwrap_or_default();
    for kind in kinds.split(", ").filter(|kind| !kind.is_empty()) {
        let (name, number) = kind.rsplit_once(' ')?;
        count.errors.push((name.into(), number.parse().ok()?));
    }
    // "  Non-2xx or 3xx responses: 7"
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx")) {
        let number = line.rsplit(' ').next()?.parse().ok()?;
        count.errors.push(("status".into(), number));
    }
    count.errors.retain(|(_, number)| *number > 0);
    Some(count)
}

/// Bytes of wrk's "2.27GB read": its units are powers of 1,024.
fn size(text: &str) -> Option<u64> {
    let number = text.strip_suffix("B read")?;
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = ["", "K", "M", "G", "T"]
        .iter()
        .position(|unit| *unit == &number[digits.len()..])?;
    let value: f64 = digits.parse().ok()?;
    Some((value * 1_024f64.powi(power as i32)) as u64)
}

/// Seconds of wrk's "900.00ms", "3.01s", "1.50m", "1.00h".
fn duration(text: &str) -> Option<f64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Some(number * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_s_figures_are_read() {
        let text = "Running 3s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n\
                    \x20 571431 requests in 3.01s, 2.27GB read\n\
                    \x20 Socket errors: connect 0, read 12, write 0, timeout 3\n\
                    \x20 Non-2xx or 3xx responses: 7\nRequests/sec: 189846.00\n";
        let expected = Count {
            requests: 571_431,
            seconds: 3.01,
            bytes: Some(2_437_393_940),
            errors: vec![
                ("read".into(), 12),
                ("timeout".into(), 3),
                ("status".into(), 7),
            ],
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("unable to connect\n"), None);
    }

    #[test]
    fn wrk_s_sizes_are_bytes() {
        for (text, expected) in [
            ("512.00B read", Some(512)),
            ("1.50KB read", Some(1_536)),
            ("2.00MB read", Some(2 << 20)),
            ("2.00XB read", None),
            ("2.00MB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn wrk_s_durations_are_seconds() {
        for (text, expected) in [("900.00ms", 0.9), ("3.01s", 3.01), ("1.50m", 90.0)] {
            let seconds = duration(text).expect(text);
            assert!((seconds - expected).abs() < 1e-9, "{text}");
        }
        assert_eq!(duration("3"), None);
    }
}
