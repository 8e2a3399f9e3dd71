//! The first minutes with the `capuchin` command: what it serves without options, what it prints, and what it says of
//! mistakes.

mod common;

use common::{PATIENCE, Place, Running, get, output};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Instant;

const CAPUCHIN: &str = env!("CARGO_BIN_EXE_capuchin");

#[test]
fn current_directory_is_listed_without_any_option_but_the_port() {
    let place = Place::new("current");
    place.write("notes.txt", "x");
    place.write(".secret", "x");
    let running = Running::start_command(
        Command::new(CAPUCHIN)
            .args(["--port", "0"])
            .current_dir(place.path()),
    );
    let (head, page) = running.get("/");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        page.contains("notes.txt") && !page.contains(".secret"),
        "{page}"
    );
    let production = Running::capuchin(&["--listing", "off", place.path()]);
    assert!(production.get("/").0.starts_with("HTTP/1.1 403"));
}

#[test]
fn addresses_are_written_in_the_usual_short_ways() {
    let place = Place::new("addresses");
    place.write("a.txt", "x");
    for words in [
        &["-p", "0"][..],
        &["-p0"],
        &["--port=0"],
        &["--listen", "0"],
        &["--listen", "localhost:0"],
        &["--listen", ":0"],
        &["--listen", "0.0.0.0:0"],
    ] {
        let mut command = Command::new(CAPUCHIN);
        let running = Running::start_command(command.args(words).arg(place.path()));
        assert_eq!(running.get("/a.txt").1, "x", "{words:?}");
    }
    for (word, expected) in [
        ("127.0.0.1", "has no port: try 127.0.0.1:8080"),
        ("::1:80", "in brackets, as in [::1]:80"),
        ("localhost:x", ":8080 for all addresses"),
        ("70000", "has no port"),
    ] {
        let output = output(&["--listen", word, place.path()]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{word}: {error}");
        assert!(error.contains(expected), "{word}: {error}");
    }
}

/// Both families by one listener, where the system has both.
#[test]
fn listener_on_all_addresses_takes_both_families_and_says_so() {
    let place = Place::new("families");
    place.write("a.txt", "x");
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // no IPv6 here
    }
    let mut command = Command::new(CAPUCHIN);
    let mut running = Running::start_command(command.args(["--listen", "[::]:0", place.path()]));
    let port = running
        .address
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();
    let mut said = String::new();
    while !said.contains("takes IPv6 and IPv4") {
        let count = running.out.read_line(&mut said).expect("it prints");
        assert!(count > 0, "{said}");
    }
    assert_eq!(running.address, format!("127.0.0.1:{port}"));
    assert!(said.contains(&format!("http://[::1]:{port}/\n")), "{said}");
    for address in ["127.0.0.1", "[::1]"] {
        assert_eq!(
            get(&format!("{address}:{port}"), "/a.txt").1,
            "x",
            "{address}"
        );
    }
    // With a listener for all of IPv4 besides, each takes its own family.
    let port_for_both = {
        let probe = std::net::TcpListener::bind("[::]:0").expect("a free port");
        probe.local_addr().expect("bound").port()
    };
    let words = [
        "--listen",
        &format!("[::]:{port_for_both}"),
        "--listen",
        &format!("0.0.0.0:{port_for_both}"),
        place.path(),
    ]
    .map(String::from);
    let mut command = Command::new(CAPUCHIN);
    let running = Running::start_command(command.args(&words));
    assert_eq!(running.address, format!("[::1]:{port_for_both}"));
    for address in ["127.0.0.1", "[::1]"] {
        let (_, content) = get(&format!("{address}:{port_for_both}"), "/a.txt");
        assert_eq!(content, "x", "{address}");
    }
}

#[test]
fn mistakes_of_a_first_run_are_one_right_sentence_each() {
    let place = Place::new("first-mistakes");
    for (words, expected) in [
        (&["--prot", "80"][..], "did you mean --port?"),
        (&["--listn", ":80"], "did you mean --listen?"),
        (&["--xyzzy"], "there is no option --xyzzy: see"),
        (&["--port", "0", ""], "write . for the current one"),
        (&["--port", "99999"], "--port: '99999'"),
    ] {
        let output = output(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(expected), "{words:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{words:?}: {error}");
    }
    // An option that is refused is the one that is named.
    let help = String::from_utf8(output(&["--help"]).stdout).expect("UTF-8");
    let mut tried = 0;
    for line in help.lines().map(str::trim_start) {
        let name = line.split([' ', ',']).next().unwrap_or_default();
        if !name.starts_with("--") || ["--access-log", "--user"].contains(&name) {
            continue;
        }
        let output = output(&["--check", name, "\u{1}/\u{1}", place.path()]);
        if output.status.success() {
            continue; // it takes no value, or any
        }
        let error = String::from_utf8_lossy(&output.stderr);
        let named =
            error.contains(&format!("{name}: ")) || error.contains("one directory too many");
        assert!(named, "{name}: {error}");
        tried += 1;
    }
    assert!(tried > 20, "{tried} options were tried");
}

/// Unprivileged processes may use all ports where `net.ipv4.ip_unprivileged_port_start` is 0, and root always: then
/// there is nothing to see.
#[test]
fn port_without_privilege_names_what_helps() {
    let place = Place::new("privilege");
    place.write("a.txt", "x");
    // SAFETY: no memory is passed.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = Command::new(CAPUCHIN);
    command.args(["--check", "--listen", "127.0.0.1:1", place.path()]);
    if is_root {
        use std::os::unix::process::CommandExt;
        // Somebody without privileges who can still reach the directory, which lies in a shared one.
        command.uid(65_534).gid(65_534);
    }
    let Ok(output) = command.output() else {
        return; // the program itself cannot be reached by that user
    };
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return;
    }
    assert!(
        error.contains("--user NAME") && error.contains("setcap cap_net_bind_service=+ep "),
        "{error}"
    );
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    for words in [&["--help"][..], &["--version"]] {
        let mut child = Command::new(CAPUCHIN)
            .args(words)
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is there");
        let status = child.wait().expect("our child");
        let mut error = String::new();
        let stderr = child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut error).expect("UTF-8");
        assert_eq!((status.code(), error.as_str()), (Some(0), ""), "{words:?}");
    }
}

/// The writing end of a pipe that has no reader.
fn closed_pipe() -> OwnedFd {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[test]
fn access_log_whose_reader_went_away_says_so_once() {
    let place = Place::new("unread-log");
    place.write("a.txt", "x");
    let mut running = Running::capuchin(&["--access-log", "-", place.path()]);
    assert_eq!(running.get("/a.txt").1, "x");
    let mut line = String::new();
    running.out.read_line(&mut line).expect("it logs");
    assert!(line.contains("GET /a.txt"), "{line}");
    // As `| head -2` does.
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let stdout = std::mem::replace(
        &mut running.out,
        BufReader::new(std::process::ChildStdout::from(OwnedFd::from(reader))),
    );
    drop(stdout);
    let stderr = running.child.stderr.take().expect("piped");
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let begin = Instant::now();
    let mut errors = String::new();
    // A child that another test starts meanwhile may have the reading end for a moment.
    while !errors.contains("access log") {
        assert!(begin.elapsed() < PATIENCE, "{errors}");
        assert_eq!(running.get("/a.txt").1, "x");
        errors.extend(lines.try_iter());
    }
    for _ in 0..20 {
        assert_eq!(running.get("/a.txt").1, "x");
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    errors.extend(lines.iter());
    let said = errors.matches("access log").count();
    assert_eq!(said, 1, "{errors}");
    assert!(errors.contains("nobody reads the access log"), "{errors}");
}

/// A terminal, as its controlling end and what a program gets as standard output.
fn terminal() -> (File, OwnedFd) {
    let (mut controller, mut terminal) = (-1, -1);
    // SAFETY: both numbers live through the call; no name, settings or size are passed.
    let result = unsafe {
        libc::openpty(
            &raw mut controller,
            &raw mut terminal,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(result, 0, "a terminal");
    // SAFETY: both are new descriptors that nothing else owns.
    unsafe {
        (
            File::from_raw_fd(controller),
            OwnedFd::from_raw_fd(terminal),
        )
    }
}

#[test]
fn person_at_a_terminal_sees_what_is_served_where_and_each_request() {
    let place = Place::new("terminal");
    place.write("a.txt", "x");
    let (controller, terminal) = terminal();
    let mut child = Command::new(CAPUCHIN)
        .args(["--port", "0", place.path()])
        .stdout(terminal)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is there");
    let mut lines = BufReader::new(controller);
    let mut seen = String::new();
    let mut wait_for = |text: &str| {
        let begin = Instant::now();
        while !seen.contains(text) {
            assert!(begin.elapsed() < PATIENCE, "no {text:?} in:\n{seen}");
            let count = lines.read_line(&mut seen).expect("it prints");
            assert!(count > 0, "it ended:\n{seen}");
        }
        seen.clone()
    };
    let text = wait_for("Ctrl-C stops it");
    let path = std::fs::canonicalize(place.path()).expect("it is there");
    assert!(
        text.contains(&format!("Serving {} at", path.display())),
        "{text}"
    );
    let url = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("http://"));
    let address = url.expect("a URL").trim_end_matches('/').to_owned();
    assert_eq!(get(&address, "/a.txt").1, "x");
    wait_for("\"GET /a.txt HTTP/1.1\" 200 1");
    // SAFETY: no memory is passed; the process is our child and not yet waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn person_at_a_terminal_is_not_promised_requests_that_go_to_a_file() {
    let place = Place::new("terminal-and-file");
    let log = place.0.join("log");
    let (controller, terminal) = terminal();
    let mut child = Command::new(CAPUCHIN)
        .args(["--port", "0", "--access-log"])
        .arg(&log)
        .arg(place.path())
        .stdout(terminal)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is there");
    let mut lines = BufReader::new(controller).lines();
    let said = lines.find(|line| {
        let line = line.as_ref().expect("it prints");
        line.contains("Ctrl-C")
    });
    let said = said.expect("the line").expect("UTF-8");
    assert_eq!(said.trim_end(), "Ctrl-C stops it.");
    // SAFETY: no memory is passed; the process is our child and not yet waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

/// The listener of the counters takes the same addresses as `--listen`, and prints URLs that lead to it.
#[test]
fn counters_on_all_addresses_are_shown_by_both_families() {
    let place = Place::new("status-families");
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // no IPv6 here
    }
    let mut running = Running::capuchin(&["--status", ":0", place.path()]);
    let mut url = |address: &str| {
        let mut line = String::new();
        running.out.read_line(&mut line).expect("it prints");
        let url = line.trim().strip_prefix("counters: http://");
        let url = url.unwrap_or_else(|| panic!("{line}")).to_owned();
        assert!(url.starts_with(address), "{url}");
        url.trim_end_matches('/').to_owned()
    };
    for address in [url("127.0.0.1:"), url("[::1]:")] {
        let (head, page) = get(&address, "/");
        assert!(head.starts_with("HTTP/1.1 200"), "{address}: {head}");
        assert!(page.contains("connections_open"), "{page}");
    }
}

#[test]
fn pipe_gets_urls_and_no_requests() {
    let place = Place::new("pipe");
    place.write("a.txt", "x");
    let mut running = Running::capuchin(&[place.path()]);
    assert_eq!(running.get("/a.txt").1, "x");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let mut rest = String::new();
    running.out.read_to_string(&mut rest).expect("UTF-8");
    assert_eq!(rest, "");
}

/// A connection that was idle for a minute, as load balancers keep them, is still there.
#[test]
fn defaults_fit_load_balancers_and_container_runtimes() {
    let help = String::from_utf8(output(&["--help"]).stdout).expect("UTF-8");
    let limits = capuchin::Limits::DEFAULT;
    assert!(limits.idle_ms > 60_000 && limits.drain_ms < 10_000);
    for (name, milliseconds) in [
        ("--timeout-idle", limits.idle_ms),
        ("--timeout-drain", limits.drain_ms),
        ("--timeout-head", limits.head_ms),
        ("--timeout-body", limits.body_ms),
        ("--timeout-write", limits.write_ms),
    ] {
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        let line = line.expect("it is in the help");
        let default = format!("[{}]", milliseconds / 1_000);
        assert!(line.ends_with(&default), "{line}");
    }
}

/// Shows that the tests above read what a program writes to the terminal.
#[test]
fn terminal_of_the_tests_hands_on_what_is_written() {
    let (controller, terminal) = terminal();
    File::from(terminal).write_all(b"text\n").expect("written");
    let mut line = String::new();
    BufReader::new(controller)
        .read_line(&mut line)
        .expect("read");
    assert_eq!(line.trim_end(), "text");
}
