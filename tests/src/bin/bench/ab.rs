//! ab as the load: HTTP/1.0.

use crate::load::{Count, GRACE};
use crate::machine;
use capuchin_tests::process;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// ab wants to be told how many requests there are at the most, and takes 32 bytes of memory for each.
const MOST_PER_SECOND: u64 = 500_000;

pub fn run(address: SocketAddr, path: &str, seconds: u64, keep: bool) -> Result<Count, String> {
    let mut command = Command::new(machine::need("ab")?);
    command
        .args(["-q", "-r", "-c", "64", "-s", "5"])
        .args(["-t", &seconds.to_string()])
        .args(["-n", &(seconds * MOST_PER_SECOND).to_string()]);
    if keep {
        command.arg("-k");
    }
    command.arg(format!("http://{address}{path}"));
    machine::confine(&mut command, Some(machine::cores().load));
    let limit = Duration::from_secs(seconds) + GRACE;
    let (_, text) = process::run_within(command, limit).map_err(|error| error.to_string())?;
    parse(&text, keep).ok_or_else(|| format!("ab said: {text}"))
}

fn parse(text: &str, keep: bool) -> Option<Count> {
    // "Complete requests:      1000", "Time taken for tests:   0.051 seconds"
    let value = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let requests = value("Complete requests:")? as u64;
    let mut errors = vec![
        ("failed".into(), value("Failed requests:")? as u64),
        (
            "status".into(),
            value("Non-2xx responses:").unwrap_or(0.0) as u64,
        ),
    ];
    if keep {
        let kept = value("Keep-Alive requests:")? as u64;
        // A server may end a connection after so many requests.
        let some = requests / 50;
        let closed = requests.saturating_sub(kept);
        errors.push(("not kept".into(), if closed > some { closed } else { 0 }));
    }
    errors.retain(|(_, number)| *number > 0);
    Some(Count {
        requests,
        seconds: value("Time taken for tests:")?,
        bytes: None,
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ab_s_figures_are_read() {
        let text = "Concurrency Level:      64\nTime taken for tests:   1.500 seconds\n\
                    Complete requests:      1000\nFailed requests:        3\n\
                    \x20  (Connect: 0, Receive: 1, Length: 2, Exceptions: 0)\n\
                    Non-2xx responses:      7\nKeep-Alive requests:    100\n";
        let expected = Count {
            requests: 1_000,
            seconds: 1.5,
            bytes: None,
            errors: vec![("failed".into(), 3), ("status".into(), 7)],
        };
        assert_eq!(parse(text, false), Some(expected.clone()));
        let kept = parse(text, true).expect("the same");
        assert_eq!(kept.errors[2], ("not kept".into(), 900));
        assert_eq!(
            parse("apr_socket_connect(): Connection refused\n", false),
            None
        );
    }
}
