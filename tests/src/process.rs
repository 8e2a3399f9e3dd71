//! Processes: what a server's own looks like from outside, where the system shows it (Linux), and
//! tools that have to end in time.

use crate::fail;
use crate::failure::{During, Failure, Outcome};
use crate::runner::Absent;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Private anonymous memory of a process in KiB: `RssAnon` of `/proc/PID/status`.
///
/// # Errors
/// When the process is gone or the system does not tell.
pub fn private_memory(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).during(&path)?;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("RssAnon:") {
            let digits = rest.trim().trim_end_matches(" kB");
            return digits.parse().during("RssAnon");
        }
    }
    fail!("{path} has no RssAnon line")
}

/// Lets this process, and so its children, have as many descriptors as it may; tells how many.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit lives through the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the limit lives through the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    limit.rlim_max
}

/// The address of the first `http://` URL in a line.
#[must_use]
pub fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, url) = line.split_once("http://")?;
    let end = url.find('/').unwrap_or(url.trim_end().len());
    url[..end].parse().ok()
}

/// What the scripts that build for the target of images end with when there is no toolchain for it.
const NO_TOOLCHAIN: i32 = 3;

/// Runs such a script with these arguments; what it said. It builds in `folder`.
///
/// # Errors
/// [`Absent::Missing`] without a toolchain for it, [`Absent::Failed`] when it fails.
pub fn build_by(
    script: &Path,
    arguments: &[&str],
    folder: &str,
    limit: Duration,
) -> Result<String, Absent> {
    let mut command = Command::new(script);
    command.args(arguments);
    let (status, said) = run_within(for_other_toolchain(command, folder), limit)?;
    if status.success() {
        Ok(said)
    } else if status.code() == Some(NO_TOOLCHAIN) {
        Err(Absent::Missing(said.trim().to_owned()))
    } else {
        Err(Failure::new(format!("{} failed:\n{said}", script.display())).into())
    }
}

/// Images are built by another toolchain than the one that a test was: what that one's cargo says of
/// itself would mislead it. It builds in `folder`.
#[must_use]
pub fn for_other_toolchain(mut command: Command, folder: &str) -> Command {
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.env("CARGO_TARGET_DIR", folder);
    command
}

/// Runs a tool that works on its own; its status, and what it said on both outputs.
///
/// # Errors
/// When it cannot be started, or does not end within `limit`: it and what it started are killed then.
pub fn run_within(mut command: Command, limit: Duration) -> Outcome<(ExitStatus, String)> {
    let name = command.get_program().display().to_string();
    // A group of its own, so that a compiler does not outlive the build that started it.
    let spawned = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.during(format!("starting {name}"))?;
    let words = |mut output: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is all that there is to say.
            let _ = output.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = child.stdout.take().map(|output| words(Box::new(output)));
    let err = child.stderr.take().map(|output| words(Box::new(output)));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            // SAFETY: the call takes numbers only; the group is the child's, which was not reaped.
            unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
            let _ = child.wait();
            fail!("{name} did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    for thread in [out, err].into_iter().flatten() {
        let text = thread.join();
        said += &text.map_err(|_| Failure::new(format!("reading what {name} says failed")))?;
    }
    Ok((status, said))
}

/// Runs such a tool to do `what`, which has to be done.
///
/// # Errors
/// As [`run_within`], and with what it said when it fails.
pub fn do_within(command: Command, limit: Duration, what: &str) -> Outcome {
    let (status, said) = run_within(command, limit).during(what)?;
    if !status.success() {
        fail!("{what}: {status}\n{said}");
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::run_within;
    use std::process::Command;
    use std::time::Duration;

    fn shell(script: &str, limit: Duration) -> super::Outcome<(super::ExitStatus, String)> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run_within(command, limit)
    }

    #[test]
    fn tool_tells_its_status_and_both_outputs() {
        let (status, said) = shell("echo a; echo b >&2; exit 3", Duration::from_secs(20)).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(3), "a\nb\n"));
    }

    #[test]
    fn tool_that_hangs_is_killed_with_what_it_started() {
        let failure = shell("sleep 60 & sleep 60", Duration::from_millis(200)).unwrap_err();
        assert!(failure.to_string().contains("did not end"), "{failure}");
    }

    #[test]
    fn own_memory_can_be_read_and_grows_with_use() {
        let pid = std::process::id();
        let before = super::private_memory(pid).unwrap();
        // More than malloc(3) ever keeps for itself, and far more than tests beside this one give back.
        let block = std::hint::black_box(vec![1u8; 48 << 20]);
        let after = super::private_memory(pid).unwrap();
        assert!(
            after >= before + 32 * 1024,
            "{before} KiB, then {after} KiB with {} bytes more",
            block.len()
        );
    }

    #[test]
    fn address_is_found_in_what_servers_print() {
        let expected = super::SocketAddr::from(([127, 0, 0, 1], 8_080));
        for line in [
            "http://127.0.0.1:8080/\n",
            "listening on http://127.0.0.1:8080/\n",
            "serving . at http://127.0.0.1:8080/ with 1 worker\n",
            "http://127.0.0.1:8080\n",
        ] {
            assert_eq!(super::address_in(line), Some(expected), "{line}");
        }
        assert_eq!(super::address_in("no address\n"), None);
    }
}
