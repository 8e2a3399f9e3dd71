//! The logs of the `capuchin` command when their destination is full or moved, and when clients try
//! to write their own lines.

mod common;

use common::{PATIENCE, Place, Running};
use libc::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
#[cfg(target_os = "linux")]
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Waits, within patience, until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |status| status.len())
}

/// From its start on the program can make files of so many bytes (RLIMIT_FSIZE).
fn limit_files(command: &mut Command, bytes: u64) -> &mut Command {
    let limit = move || {
        let limit = libc::rlimit {
            rlim_cur: bytes as _,
            rlim_max: bytes as _,
        };
        // SAFETY: the limit lives through the call.
        match unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec only that system call is made.
    unsafe { command.pre_exec(limit) }
}

const CAPUCHIN: &str = env!("CARGO_BIN_EXE_capuchin");

fn lost_lines(running: &Running) -> u64 {
    let page = running.get("/about").1;
    let lost = page
        .lines()
        .find_map(|line| line.strip_prefix("access_log_lines_lost "));
    lost.expect("it is shown").parse().expect("a number")
}

#[test]
fn access_log_at_the_limit_of_file_sizes_loses_lines_and_no_request() {
    let place = Place::new("log-limit");
    place.write("site/a.txt", "x");
    let (site, log) = (place.0.join("site"), place.0.join("log"));
    let mut command = Command::new(CAPUCHIN);
    command.args(["--listen", "127.0.0.1:0", "--status-path", "/about"]);
    command.arg("--access-log").args([&log, &site]);
    let mut running = Running::start_command(limit_files(&mut command, 1_000));
    until("lines are lost", || {
        assert_eq!(running.get("/a.txt").1, "x");
        lost_lines(&running) > 0
    });
    assert_eq!(length(&log), 1_000, "it is filled to the limit");
    // There is room again: the log goes on, in a line of its own.
    let file = fs::File::options().write(true).open(&log);
    file.expect("the log").set_len(0).expect("cut");
    until("lines are written again", || {
        running.get("/again");
        fs::read_to_string(&log).is_ok_and(|text| text.contains("GET /again "))
    });
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let text = fs::read_to_string(&log).expect("the log");
    let is_whole = |line: &str| line.starts_with("127.0.0.1 - - [") && line.contains("\" ");
    assert!(
        text.lines().all(|line| line.is_empty() || is_whole(line)),
        "{text}"
    );
    let errors = running.errors();
    assert!(
        errors.contains("the access log cannot be written"),
        "{errors}"
    );
    assert!(
        errors.contains("lines of the access log were lost"),
        "{errors}"
    );
}

#[test]
fn log_on_standard_error_at_the_limit_of_file_sizes_ends_no_server() {
    let place = Place::new("error-limit");
    place.write("site/a.txt", "x");
    place.write("logs/log", "");
    let (logs, errors) = (place.0.join("logs"), place.0.join("errors"));
    let (site, log) = (place.0.join("site"), logs.join("log"));
    let mut command = Command::new("sh");
    let script = format!("exec \"$0\" \"$@\" 2>>'{}'", errors.display());
    command.args(["-c", &script, CAPUCHIN, "--listen", "127.0.0.1:0"]);
    command.arg("--access-log").args([&log, &site]);
    let mut running = Running::start_command(limit_files(&mut command, 600));
    // Each time it is asked to, it says that the log cannot be opened again.
    fs::remove_dir_all(&logs).expect("removed");
    until("the log is full", || {
        running.signal(SIGHUP);
        length(&errors) == 600
    });
    // What goes beyond the limit is lost; then there is room again, and that is said.
    fs::File::create(&errors).expect("cut");
    until("the losses are said", || {
        running.signal(SIGHUP);
        let text = fs::read_to_string(&errors).expect("the log");
        if length(&errors) == 600 {
            fs::File::create(&errors).expect("cut");
        }
        text.contains(" lines of this log were lost")
    });
    assert_eq!(running.get("/a.txt").1, "x");
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn user_signals_reopen_the_log_or_do_nothing() {
    let place = Place::new("user-signals");
    place.write("site/a.txt", "x");
    let (site, log, old) = (
        place.0.join("site"),
        place.0.join("log"),
        place.0.join("log.1"),
    );
    let words = [
        "--access-log",
        log.to_str().expect("UTF-8"),
        site.to_str().expect("UTF-8"),
    ];
    let mut running = Running::capuchin(&words);
    fs::rename(&log, &old).expect("renamed");
    running.signal(SIGUSR2);
    let lines = || fs::read_to_string(&old).expect("the log").lines().count();
    for count in 1..=3 {
        running.get("/a.txt");
        until("the line is in the old file", || lines() == count);
    }
    assert!(!log.exists(), "SIGUSR2 asks for nothing");
    running.signal(SIGUSR1);
    until("the log is made again", || log.exists());
    running.get("/a.txt");
    until("the line is in the new file", || length(&log) > 0);
    assert_eq!(lines(), 3);
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")] // it needs /dev/full
fn full_standard_output_keeps_no_server_from_starting() {
    let place = Place::new("full-output");
    place.write("a.txt", "x");
    for log in [None, Some("--access-log=-")] {
        // The port that it prints is not to be read: one that was free a moment ago is given.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound").to_string();
        drop(free);
        let mut child = Command::new(CAPUCHIN)
            .args(["--listen", &address, place.path()])
            .args(log)
            .stdout(
                fs::File::options()
                    .write(true)
                    .open("/dev/full")
                    .expect("Linux"),
            )
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command");
        until("it listens", || {
            let ended = child.try_wait().expect("our child");
            assert!(ended.is_none(), "{ended:?}");
            std::net::TcpStream::connect(&address).is_ok()
        });
        for _ in 0..3 {
            assert_eq!(common::get(&address, "/a.txt").1, "x");
        }
        // SAFETY: no memory is passed; the process is our child and not yet waited for.
        unsafe { libc::kill(child.id() as i32, SIGTERM) };
        let output = child.wait_with_output().expect("our child");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        assert!(errors.contains("cannot print"), "{errors}");
    }
}

#[test]
fn no_byte_of_a_request_begins_a_line_or_a_field_of_the_access_log() {
    let place = Place::new("injection");
    place.write("site/a.txt", "x");
    let (site, log) = (place.0.join("site"), place.0.join("log"));
    let words = ["--access-format", "combined", "--access-log"];
    let paths = [&log, &site].map(|path| path.to_str().expect("UTF-8"));
    let mut running = Running::capuchin(&[&words[..], &paths].concat());
    let mut requests: usize = 0;
    for byte in 0..=255_u8 {
        let forged: &[u8] = b"127.0.0.1 - - [";
        let text = [b"x", &[byte][..], forged, &[byte], b"\"y"].concat();
        let line = |at: usize, part: &[u8]| if at == 0 { text.clone() } else { part.to_vec() };
        for place in 0..4 {
            let request = [
                &line(place, b"GET")[..],
                b" /a?",
                &line(place.wrapping_sub(1), b"q"),
                b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: ",
                &line(place.wrapping_sub(2), b"r"),
                b"\r\nUser-Agent: ",
                &line(place.wrapping_sub(3), b"u"),
                b"\r\n\r\n",
            ];
            let mut client = running.connect();
            // The server may refuse it, and close, before all is sent.
            let _ = client.write_all(&request.concat());
            let _ = client.read_to_end(&mut Vec::new());
            requests += 1;
        }
    }
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let text = fs::read(&log).expect("the log");
    let mut escaped = [false; 256];
    let mut count = 0;
    for line in text
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        count += 1;
        let shown = line.escape_ascii();
        assert!(
            line.iter().all(|byte| (b' '..=b'~').contains(byte)),
            "{shown}"
        );
        assert!(line.starts_with(b"127.0.0.1 - - ["), "{shown}");
        // Three fields in quotes, whatever is in them.
        let (mut quotes, mut bytes) = (0, line.iter());
        while let Some(&byte) = bytes.next() {
            match byte {
                b'"' => quotes += 1,
                b'\\' => match bytes.next() {
                    Some(b'x') => {
                        let digits = bytes.as_slice().get(..2).expect("two digits");
                        let digits = std::str::from_utf8(digits).expect("digits");
                        let byte = u8::from_str_radix(digits, 16).expect("digits");
                        escaped[usize::from(byte)] = true;
                    }
                    other => assert!(matches!(other, Some(b'"' | b'\\')), "{shown}"),
                },
                _ => {}
            }
        }
        assert_eq!(quotes, 6, "{shown}");
    }
    assert!(count >= requests, "each has its line: {count}");
    // Bytes that are taken into a field's value got there, escaped.
    assert!(escaped[0x80..].iter().all(|&is| is), "{escaped:?}");
}
