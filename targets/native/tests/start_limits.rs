//! Starting with what little the system grants: the command serves, or says in one sentence what it lacks.

#![cfg(target_os = "linux")]

mod common;

use common::{Place, Running, get};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Starts the command with this limit of a resource: where it serves, or what it said.
fn start_with(
    resource: libc::__rlimit_resource_t,
    limit: u64,
    words: &[&str],
) -> Result<Running, (Option<i32>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capuchin"));
    command.args(["--port", "0"]).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let limits = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: setrlimit may be called between fork and exec, and takes memory that lives through the call.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(resource, &raw const limits) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    Running::try_start(&mut command)
}

fn is_one_sentence_with_advice(said: &str) -> bool {
    let last = said.lines().last().unwrap_or_default();
    last.starts_with("capuchin: ") && last.contains("ulimit -")
}

#[test]
fn few_descriptors_are_enough_or_told_in_one_sentence() {
    let place = Place::new("descriptors");
    place.write("a.txt", "x");
    let (mut served, mut refused) = (0, 0);
    for limit in (5..24).chain((24..160).step_by(8)) {
        match start_with(
            libc::RLIMIT_NOFILE,
            limit,
            &["--workers", "2", place.path()],
        ) {
            Ok(running) => {
                // Several at a time: none is told that there are too many.
                let open: Vec<_> = (0..4).map(|_| running.connect()).collect();
                assert_eq!(get(&running.address, "/a.txt").1, "x", "{limit}");
                drop(open);
                served += 1;
            }
            Err((status, said)) => {
                assert_eq!(status, Some(2), "{limit}: {said}");
                assert!(is_one_sentence_with_advice(&said), "{limit}: {said}");
                assert_eq!(said.lines().count(), 1, "{limit}: {said}");
                refused += 1;
                assert_eq!(served, 0, "{limit} are refused, though fewer were enough");
            }
        }
    }
    assert!(
        served > 0 && refused > 0,
        "{served} served, {refused} refused"
    );
}

#[test]
fn little_memory_is_enough_or_told_in_one_sentence() {
    let place = Place::new("memory");
    place.write("a.txt", "x");
    let mut served = 0;
    for megabytes in [20, 40, 60, 80, 100, 150, 200, 300, 600, 1_200] {
        match start_with(
            libc::RLIMIT_AS,
            megabytes << 20,
            &["--workers", "2", place.path()],
        ) {
            Ok(running) => {
                for _ in 0..3 {
                    assert_eq!(get(&running.address, "/a.txt").1, "x", "{megabytes} MB");
                }
                served += 1;
            }
            Err((status, said)) => {
                assert_eq!(status, Some(2), "{megabytes} MB: {said}");
                assert!(is_one_sentence_with_advice(&said), "{megabytes} MB: {said}");
            }
        }
    }
    assert!(served > 0);
}
