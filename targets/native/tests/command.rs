//! The `capuchin` command as an operator meets it.

mod common;

use common::{PATIENCE, Place, Running, get, get_until, output, read};
use libc::{SIGHUP, SIGINT, SIGTERM};
use std::io::{BufRead, Read, Write};
use std::time::{Duration, Instant};

#[test]
fn help_and_version_are_printed() {
    let help = output(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--timeout-idle"));
    let version = output(&["-V"]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        format!("capuchin {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn mistakes_end_with_status_2_and_one_sentence() {
    let place = Place::new("mistakes");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    let cases: [(&[&str], &str); 10] = [
        (
            &["--listen", "127.0.0.1:0", "/no/such/directory"],
            "name one that exists",
        ),
        (
            &["--listen", "127.0.0.1:0", "/etc/passwd"],
            "is no directory",
        ),
        (&["--nonsense", place.path()], "no option"),
        (
            &["--status-path", "/a b", place.path()],
            "no path of letters",
        ),
        (
            &["--listen", "nowhere", place.path()],
            "has no port: try nowhere:8080",
        ),
        (&["--listen", &taken, place.path()], "choose another port"),
        (
            &["--listen", "192.0.2.1:0", place.path()],
            "no address of this machine",
        ),
        (
            &[
                "--user",
                "no-such-user",
                "--listen",
                "127.0.0.1:0",
                place.path(),
            ],
            "no such user: name one that exists",
        ),
        (
            &[
                "--access-log",
                "/no/such/place/log",
                "--listen",
                "127.0.0.1:0",
                place.path(),
            ],
            "can be written",
        ),
        (
            &["--sandbox", "--links", "all", place.path()],
            "leave out --links all",
        ),
    ];
    for (words, expected) in cases {
        let output = output(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(
            error.starts_with("capuchin: ") && error.contains(expected),
            "{words:?}: {error}"
        );
        assert_eq!(error.trim_end().lines().count(), 1, "{words:?}: {error}");
        assert!(!error.contains("ulimit"), "{words:?}: {error}");
    }
}

/// What a request gets that is all the connection has.
fn answer(running: &Running, request: &[u8]) -> String {
    let mut stream = running.connect();
    // The server may answer, and close, before it has read all.
    let _ = stream.write_all(request);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn header_fields_at_and_past_their_limit() {
    let place = Place::new("fields");
    place.write("a.txt", "a");
    for (words, limit) in [
        (&[][..], 100),
        (&["--max-fields", "10"], 10),
        (&["--max-fields=254"], 254),
    ] {
        let running = Running::capuchin(&[words, &[place.path()]].concat());
        // Host and Connection are two of them.
        let request = |count: usize| {
            format!(
                "GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n",
                "X: y\r\n".repeat(count - 2)
            )
        };
        let reply = answer(&running, request(limit).as_bytes());
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{limit}: {reply}");
        let reply = answer(&running, request(limit + 1).as_bytes());
        assert!(reply.starts_with("HTTP/1.1 431 "), "{limit}: {reply}");
        assert!(
            reply.ends_with(&format!("this server takes {limit} fields\n")),
            "{reply}"
        );
    }
}

#[test]
fn request_line_of_8000_bytes_passes_beside_a_browsers_fields() {
    let place = Place::new("long-line");
    place.write("a.txt", "a");
    let running = Running::capuchin(&[place.path()]);
    let around = "GET /a.txt? HTTP/1.1".len();
    let line = format!("GET /a.txt?{} HTTP/1.1", "q".repeat(8_000 - around));
    assert_eq!(line.len(), 8_000);
    let head = |cookie: usize| {
        format!(
            "{line}\r\nHost: a\r\nConnection: close\r\nUser-Agent: {}\r\nAccept: {}\r\nCookie: {}\r\n\r\n",
            "u".repeat(150),
            "t".repeat(150),
            "c".repeat(cookie)
        )
    };
    let rest = head(0).len();
    let limit = 16 << 10;
    for (length, status) in [(12_000, "200 OK"), (limit, "200 OK"), (limit + 1, "431 ")] {
        let request = head(length - rest);
        assert_eq!(request.len(), length);
        let reply = answer(&running, request.as_bytes());
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status}")),
            "{length}: {reply}"
        );
    }
    // The line alone past the limit.
    let line = format!("GET /a.txt?{} HTTP/1.1\r\n\r\n", "q".repeat(limit));
    let reply = answer(&running, line.as_bytes());
    assert!(reply.starts_with("HTTP/1.1 414 "), "{reply}");
}

#[test]
fn clients_mistakes_do_not_fill_the_log() {
    let place = Place::new("flood");
    place.write("a.txt", "a");
    place.write("sub/b.txt", "b");
    // Nobody can open one: what goes wrong then is no mistake of the server's.
    let _socket = std::os::unix::net::UnixListener::bind(place.0.join("socket")).expect("a socket");
    let _ = std::os::unix::fs::symlink("loop", place.0.join("loop"));
    let mut running = Running::capuchin(&["--workers", "1", place.path()]);
    let get =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let quotes = format!("/sub?{}", "\"".repeat(6_000));
    let mut statuses = std::collections::BTreeMap::new();
    let requests = [
        get(&quotes),
        get("/missing"),
        get("/socket"),
        get("/loop"),
        get("/%00"),
        get("/../a.txt"),
        get("/sub%2f../a.txt"),
        get(&"/x".repeat(9_000)),
        get("/a.txt").replace("GET", "BREW"),
        get("/a.txt").replace("Host: a", "Host: a b"),
        get("/a.txt").replace("Host: a", "Range: bytes=9-\r\nHost: a"),
        get("/a.txt").replace("HTTP/1.1", "HTTP/3.7"),
        "\x16\x03\x01\r\n\r\n".into(),
        "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
    ];
    const ROUNDS: usize = 100;
    for _ in 0..ROUNDS {
        for (number, request) in requests.iter().enumerate() {
            let reply = answer(&running, request.as_bytes());
            let status = reply.get(9..12).unwrap_or("none").to_owned();
            assert!(!status.starts_with('2'), "{number}: {reply}");
            *statuses.entry((number, status)).or_insert(0) += 1;
        }
    }
    // The redirect whose location does not fit is the client's mistake.
    assert_eq!(
        statuses.get(&(0, "414".into())),
        Some(&ROUNDS),
        "{statuses:?}"
    );
    running.signal(SIGTERM);
    assert!(running.end().success());
    let errors = running.errors();
    let lines: Vec<&str> = errors
        .lines()
        .filter(|line| !line.contains("finishing the requests"))
        .collect();
    // At most one of a kind a minute, and these take less than a few minutes on any machine.
    assert!(lines.len() < 10, "{} lines: {errors}", lines.len());
    assert!(!errors.contains("ERROR"), "{errors}");
}

#[test]
fn port_in_use_is_told_with_several_workers_too() {
    let place = Place::new("in-use");
    let first = Running::capuchin(&["--workers", "2", place.path()]);
    let second = output(&["--workers", "2", "--listen", &first.address, place.path()]);
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use"));
}

#[test]
fn check_finds_what_a_start_would_and_stops() {
    let place = Place::new("check");
    let log = place.0.join("log");
    let log = log.to_str().expect("UTF-8");
    let free = ["--check", "--listen", "127.0.0.1:0", "--access-log", log];
    let right = output(&[&free[..], &[place.path()]].concat());
    assert!(right.status.success(), "{right:?}");
    assert!(!place.0.join("log").exists(), "it makes no file");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    let nine = ["--listen", "127.0.0.1:0"].repeat(8);
    let cases: [(&[&str], &str); 6] = [
        (&["/no/such/directory"], "name one that exists"),
        (&[&nine[..], &[place.path()]].concat(), "at most 8"),
        (&["--listen", &taken, place.path()], "is in use"),
        (&["--status", &taken, place.path()], "is in use"),
        (&["--user", "no-such-user", place.path()], "no such user"),
        (
            &["--access-log", "/no/such/place/log", place.path()],
            "can be written",
        ),
    ];
    for (words, expected) in cases {
        let output = output(&[&["--check", "--listen", "127.0.0.1:0"], words].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(expected), "{words:?}: {error}");
    }
}

#[test]
fn several_addresses_and_ipv6_are_served() {
    let place = Place::new("addresses");
    place.write("a.txt", "both");
    let mut running = Running::capuchin(&["--listen", "[::1]:0", "--workers", "2", place.path()]);
    let mut line = String::new();
    running.out.read_line(&mut line).expect("a second URL");
    let second = line
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    assert!(second.starts_with("[::1]:"), "{second}");
    assert_eq!(running.get("/a.txt").1, "both");
    assert_eq!(get(&second, "/a.txt").1, "both");
}

#[test]
#[cfg(target_os = "linux")] // it looks at /proc
fn root_becomes_the_user_that_was_asked_for_and_nobody_else() {
    // SAFETY: takes and passes no memory.
    if unsafe { libc::getuid() } != 0 {
        println!("NOT RUN: only root can become another user");
        return;
    }
    let place = Place::new("user");
    place.write("a.txt", "x");
    for (user, ids, groups) in [
        ("nobody", "65534", "65534"),
        ("12345:12345", "12345", "12345"),
    ] {
        let running = Running::capuchin(&["--user", user, place.path()]);
        assert_eq!(running.get("/a.txt").1, "x");
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id()));
        let status = status.expect("it runs");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect(name).split_whitespace().collect::<Vec<_>>()
        };
        // Real, effective, saved and file system's.
        assert_eq!(line("Uid:"), [ids; 4], "{user}");
        assert_eq!(line("Gid:"), [ids; 4], "{user}");
        assert_eq!(line("Groups:"), [groups], "{user}");
        assert_eq!(line("CapEff:"), ["0000000000000000"], "{user}");
    }
}

/// Reads a file until it has as many lines, within patience.
fn lines(path: &std::path::Path, count: usize) -> String {
    let begin = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count || begin.elapsed() > common::PATIENCE {
            return text;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn access_log_belongs_to_the_user_that_opens_it_again() {
    use std::os::unix::fs::{MetadataExt, chown};
    // SAFETY: takes and passes no memory.
    if unsafe { libc::getuid() } != 0 {
        println!("NOT RUN: only root can become another user");
        return;
    }
    let place = Place::new("user-log");
    place.write("site/a.txt", "x");
    place.write("logs/other", "");
    let (site, logs) = (place.0.join("site"), place.0.join("logs"));
    let (site, log) = (site.to_str().expect("UTF-8"), logs.join("log"));
    let name = log.to_str().expect("UTF-8");
    let words = ["--user", "12345:12345", "--access-log", name, site];
    let refused = output(&[&["--listen", "127.0.0.1:0"], &words[..]].concat());
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        error.contains("by the user that the server becomes"),
        "{error}"
    );
    assert!(!log.exists(), "root makes no file there");

    chown(&logs, Some(12_345), None).expect("root may");
    let mut running = Running::capuchin(&words);
    running.get("/a.txt");
    lines(&log, 1);
    assert_eq!(std::fs::metadata(&log).expect("the log").uid(), 12_345);
    std::fs::rename(&log, logs.join("log.1")).expect("renamed");
    running.signal(SIGHUP);
    let begin = Instant::now();
    while !log.exists() && begin.elapsed() < common::PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    running.get("/a.txt");
    assert_eq!(lines(&log, 1).lines().count(), 1, "in the new file");
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn pipe_for_the_access_log_that_becomes_a_directory_is_complained_about_once() {
    let place = Place::new("log-directory");
    let log = place.0.join("log");
    let name = std::ffi::CString::new(log.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let words = ["--access-log", log.to_str().expect("UTF-8"), place.path()];
    let mut running = Running::capuchin(&words);
    std::fs::remove_file(&log).expect("removed");
    std::fs::create_dir(&log).expect("a directory");
    // Several ticks of the writer.
    std::thread::sleep(Duration::from_millis(1_100));
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let error = running.errors();
    assert_eq!(
        error.matches("cannot be opened again").count(),
        1,
        "{error}"
    );
}

#[test]
fn counters_are_shown_however_short_heads_are() {
    let place = Place::new("short-heads");
    let mut running = Running::capuchin(&[
        "--max-head",
        "512",
        "--status",
        "127.0.0.1:0",
        "--status-path",
        "/about",
        // Those of the status listener, too.
        "--timeout-first-byte",
        "0.3",
        place.path(),
    ]);
    let mut line = String::new();
    running.out.read_line(&mut line).expect("where they are");
    let status = line.trim().trim_start_matches("counters: http://");
    let status = status.trim_end_matches('/');
    for (head, page) in [running.get("/about/metrics"), get(status, "/metrics")] {
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(page.contains("capuchin_requests_total"), "{page}");
    }
    let mut silent = std::net::TcpStream::connect(status).expect("it listens");
    let timeout = silent.set_read_timeout(Some(common::PATIENCE));
    timeout.expect("a timeout");
    assert_eq!(read(&mut silent, &mut [0; 1]).expect("closed in time"), 0);
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn sandbox_is_refused_where_there_is_none_before_anything_is_listened_on() {
    let place = Place::new("no-sandbox");
    for more in [&[][..], &["--check"]] {
        let words = ["--sandbox", "--listen", "192.0.2.1:0", place.path()];
        let output = output(&[&words[..], more].concat());
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "capuchin: this system has no sandbox: leave it out, or use FreeBSD\n"
        );
    }
}

#[test]
#[cfg(target_os = "freebsd")]
fn sandboxed_server_serves_files_and_reopens_its_log() {
    let place = Place::new("sandbox");
    place.write("site/a.txt", "12345");
    let (site, log) = (place.0.join("site"), place.0.join("log"));
    let words = ["--sandbox", "--listing", "on", "--access-log"];
    let paths = [&log, &site].map(|path| path.to_str().expect("UTF-8"));
    let mut running = Running::capuchin(&[&words[..], &paths].concat());
    assert_eq!(running.get("/a.txt").1, "12345");
    assert!(running.get("/").1.contains("a.txt"));
    lines(&log, 1);
    std::fs::rename(&log, place.0.join("log.1")).expect("renamed");
    running.signal(SIGHUP);
    let begin = Instant::now();
    while !log.exists() {
        assert!(begin.elapsed() < common::PATIENCE, "it is not made again");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let error = running.errors();
    assert!(!error.contains("ERROR"), "{error}");
}

#[test]
#[cfg(target_os = "freebsd")]
fn log_that_the_sandbox_could_not_reopen_is_told_before_anything_is_served() {
    let place = Place::new("sandbox-log");
    place.write("log.d/log", "");
    place.write("site/a.txt", "");
    let (site, link) = (place.0.join("site"), place.0.join("site/log"));
    std::os::unix::fs::symlink("../log.d/log", &link).expect("a link");
    let paths = [&link, &site].map(|path| path.to_str().expect("UTF-8"));
    for more in [&[][..], &["--check"]] {
        let words = ["--sandbox", "--listen", "127.0.0.1:0", "--access-log"];
        let output = output(&[&words[..], &paths, more].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// A file of the kernel's that can be opened, but not read.
const UNREADABLE: &str = "/sys/devices/virtual/net/lo/speed";

#[test]
fn errors_that_nobody_reads_stall_no_request() {
    let length = std::fs::metadata(UNREADABLE).map_or(0, |status| status.len());
    if length == 0 || std::fs::read(UNREADABLE).is_ok() {
        println!("NOT RUN: there is no {UNREADABLE}, or it can be read");
        return;
    }
    let directory = UNREADABLE.trim_end_matches("/speed");
    // Standard error is a pipe of ours that is not read.
    let mut running = Running::capuchin(&["--workers", "1", directory]);
    let mut stream = running.connect();
    let mut buffer = [0; 4_096];
    for n in 0..3_000 {
        stream
            .write_all(b"GET /speed HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it takes requests");
        let count = read(&mut stream, &mut buffer).unwrap_or_else(|error| {
            let ended = running.child.try_wait();
            panic!("reply {n}: {error}, the server's end: {ended:?}")
        });
        assert!(buffer[..count].starts_with(b"HTTP/1.1 500"), "{n}");
    }
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let error = running.errors();
    assert!(error.contains("a file cannot be read"), "{error}");
}

#[test]
fn counters_are_shown_on_a_listener_of_their_own_and_at_a_path() {
    let place = Place::new("counters");
    place.write("a.txt", "x");
    let mut running = Running::capuchin(&[
        "--status",
        "127.0.0.1:0",
        "--status-path",
        "/about",
        place.path(),
    ]);
    let mut line = String::new();
    running
        .out
        .read_line(&mut line)
        .expect("where the counters are");
    let status = line
        .trim()
        .trim_start_matches("counters: http://")
        .trim_end_matches('/')
        .to_owned();
    running.get("/a.txt");
    let (head, text) = get(&status, "/");
    assert!(
        head.starts_with("HTTP/1.1 200") && text.contains("\nrequests 1\n"),
        "{head}\n{text}"
    );
    let (head, text) = get(&status, "/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(
        text.contains("# TYPE capuchin_requests_total counter\ncapuchin_requests_total 1\n"),
        "{text}"
    );
    // The connection that asks is the only one that is open once the worker has closed those before it.
    get_until(&running.address, "/about", |text| {
        text.contains("connections_open 1\n")
    });
    let (_, text) = running.get("/about/metrics");
    assert!(text.contains("# HELP"), "{text}");
    assert!(get(&status, "/a.txt").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn listing_is_a_page_of_what_can_be_served() {
    let place = Place::new("listing");
    place.write("one & two.txt", "x");
    place.write(".hidden", "x");
    place.write("sub/index.html", "index");
    let running = Running::capuchin(&["--listing", "on", place.path()]);
    let (head, page) = running.get("/");
    assert!(
        head.contains("Content-Type: text/html; charset=utf-8"),
        "{head}"
    );
    assert!(
        page.contains("href=\"./one%20%26%20two.txt\"><bdi>one &amp; two.txt</bdi></a>")
            && page.contains("href=\"./sub/\"")
    );
    assert!(!page.contains(".hidden"));
    assert_eq!(running.get("/one%20%26%20two.txt").1, "x");
    assert_eq!(running.get("/sub/").1, "index");
    let without = Running::capuchin(&["--listing", "off", place.path()]);
    assert!(without.get("/").0.starts_with("HTTP/1.1 403"));
}

#[test]
fn compressed_neighbours_are_sent_to_clients_that_take_them() {
    let place = Place::new("compressed");
    place.write("a.js", "plain");
    place.write("a.js.gz", "zipped");
    place.write("a.js.br", "brotli");
    let running = Running::capuchin(&["--precompressed", place.path()]);
    for (accept, coding, body) in [
        ("", None, "plain"),
        ("gzip", Some("gzip"), "zipped"),
        ("gzip, br", Some("br"), "brotli"),
        ("br;q=0", None, "plain"),
    ] {
        let mut stream = running.connect();
        write!(stream, "GET /a.js HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: {accept}\r\n\r\n").expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        let (head, content) = reply.split_once("\r\n\r\n").expect("a head");
        assert_eq!(content, body, "{accept}");
        assert!(head.contains("Vary: Accept-Encoding"), "{head}");
        assert_eq!(
            head.lines()
                .find_map(|line| line.strip_prefix("Content-Encoding: ")),
            coding,
            "{accept}"
        );
    }
}

#[test]
fn links_are_followed_as_far_as_the_operator_allows() {
    let place = Place::new("links");
    place.write("site/real.txt", "real");
    place.write("secret.txt", "secret");
    let site = place.0.join("site");
    std::os::unix::fs::symlink("real.txt", site.join("inside")).expect("a link");
    std::os::unix::fs::symlink("../secret.txt", site.join("outside")).expect("a link");
    let site = site.to_str().expect("UTF-8");
    for (links, inside, outside) in [
        ("none", "403", "403"),
        ("beneath", "200", "403"),
        ("all", "200", "200"),
    ] {
        let running = Running::capuchin(&["--links", links, site]);
        for (path, status) in [
            ("/inside", inside),
            ("/outside", outside),
            ("/real.txt", "200"),
        ] {
            let (head, _) = running.get(path);
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}")),
                "{links} {path}: {head}"
            );
        }
    }
}

#[test]
fn refusal_is_explained_at_debug_level_only() {
    let place = Place::new("refused");
    place.write("site/sub/a", "a");
    let outside = place.0.join("site/outside");
    std::os::unix::fs::symlink("../..", &outside).expect("a link");
    let site = place.0.join("site");
    let site = site.to_str().expect("UTF-8");
    for (level, told) in [("debug", true), ("info", false)] {
        let mut running = Running::capuchin(&["--listing", "off", "--log-level", level, site]);
        for path in ["/outside/etc/", "/sub/"] {
            let (head, _) = running.get(path);
            assert!(head.starts_with("HTTP/1.1 403"), "{path}: {head}");
        }
        running.signal(SIGTERM);
        running.end();
        let errors = running.errors();
        for line in [
            "403 for /outside/etc/: /outside is a symbolic link that is not followed",
            "403 for /sub/: it has no index file",
        ] {
            assert_eq!(errors.contains(line), told, "{level}, {line}: {errors}");
        }
    }
}

#[test]
fn directory_that_another_takes_the_place_of_is_said_once_whatever_workers_there_are() {
    let place = Place::new("deployed");
    for version in ["one", "two"] {
        place.write(&format!("{version}/a"), version);
    }
    let link = place.0.join("root");
    let lead_to = |target: &str| {
        let new = place.0.join("new");
        std::os::unix::fs::symlink(target, &new).expect("a link");
        std::fs::rename(new, &link).expect("renamed");
    };
    lead_to("one");
    let root = link.to_str().expect("UTF-8");
    let mut running = Running::capuchin(&["--workers", "3", root]);
    // Whichever worker a connection comes to: until none has given anything else for a while.
    let all_give = |status: &str, content: &str| {
        let begin = Instant::now();
        let mut in_a_row = 0;
        while in_a_row < 60 {
            let (head, body) = running.get("/a");
            let as_wanted = head.starts_with(&format!("HTTP/1.1 {status}")) && body == content;
            in_a_row = if as_wanted { in_a_row + 1 } else { 0 };
            assert!(begin.elapsed() < PATIENCE, "{status}: {head}");
            if !as_wanted {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    all_give("200", "one");
    lead_to("two");
    all_give("200", "two");
    std::fs::remove_file(&link).expect("removed");
    let begin = Instant::now();
    while !running.get("/a").0.starts_with("HTTP/1.1 503") {
        assert!(begin.elapsed() < PATIENCE, "it is still served");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (head, _) = running.get("/b");
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains("Retry-After"),
        "{head}"
    );
    lead_to("two");
    all_give("200", "two");
    running.signal(SIGTERM);
    running.end();
    let errors = running.errors();
    for (line, count) in [
        ("is another directory now", 1),
        ("is gone: requests get 503", 1),
        ("is there again, and", 1),
    ] {
        assert_eq!(errors.matches(line).count(), count, "{line}: {errors}");
    }
}

#[test]
fn signals_let_requests_in_flight_finish() {
    for signal in [SIGTERM, SIGINT] {
        let place = Place::new(&format!("drain-{signal}"));
        place.write("a.txt", "whole");
        let mut running = Running::capuchin(&[place.path()]);
        let mut busy = running.connect();
        busy.write_all(b"GET /a.txt HTTP/1.1\r\n")
            .expect("a beginning");
        let mut idle = running.connect();
        idle.write_all(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("a request");
        assert!(read(&mut idle, &mut [0; 4_096]).expect("its reply") > 0);
        // Its request is seen by the worker before the signal is.
        running.get("/a.txt");
        running.signal(signal);
        assert_eq!(read(&mut idle, &mut [0; 1]).expect("closed, not reset"), 0);
        assert!(
            running.child.try_wait().expect("our child").is_none(),
            "it waits for the request in flight"
        );
        let begin = Instant::now();
        // Each worker closes its own listener.
        while std::net::TcpStream::connect(&running.address).is_ok() {
            assert!(
                begin.elapsed() < common::PATIENCE,
                "new connections are still taken"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        busy.write_all(b"Host: a\r\n\r\n").expect("the rest");
        let mut reply = String::new();
        busy.read_to_string(&mut reply).expect("a reply");
        assert!(
            reply.contains("Connection: close") && reply.ends_with("whole"),
            "{reply}"
        );
        assert_eq!(running.end().code(), Some(0));
    }
}

#[test]
fn signals_that_the_parent_ignored_are_heeded() {
    let place = Place::new("ignored");
    let server = concat!(
        "trap '' HUP INT TERM; exec ",
        env!("CARGO_BIN_EXE_capuchin")
    );
    let words = [
        "-c",
        &format!("{server} --listen 127.0.0.1:0 {}", place.path()),
    ];
    let mut running = Running::start("sh", &words);
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn access_log_is_finished_though_it_is_to_be_reopened_at_the_end() {
    let place = Place::new("log-end");
    let log = place.0.join("log");
    let name = log.to_str().expect("UTF-8");
    for round in 1..=20 {
        let mut running = Running::capuchin(&["--access-log", name, place.path()]);
        running.get("/a.txt");
        running.signal(SIGTERM);
        while running.child.try_wait().expect("our child").is_none() {
            running.signal(SIGHUP);
        }
        assert_eq!(running.end().code(), Some(0));
        assert_eq!(lines(&log, round).lines().count(), round);
    }
}

#[test]
fn streams_that_the_parent_closed_lead_nowhere() {
    let place = Place::new("closed");
    let server = concat!("exec ", env!("CARGO_BIN_EXE_capuchin"));
    let words = format!(
        "{server} --check --listen 127.0.0.1:0 {} <&- >&- 2>&-",
        place.path()
    );
    let status = std::process::Command::new("sh")
        .args(["-c", &words])
        .status();
    assert_eq!(status.expect("a shell").code(), Some(0));
}

#[test]
fn option_without_a_name_is_none() {
    let output = output(&["--check", "--=x", "."]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn draining_ends_at_its_limit_and_a_second_signal_ends_at_once() {
    let place = Place::new("impatient");
    for (words, second, code) in [
        (["--timeout-drain", "0.3"], false, 0),
        (["--timeout-drain", "60"], true, 1),
    ] {
        let mut running = Running::capuchin(&[words[0], words[1], place.path()]);
        let mut busy = running.connect();
        busy.write_all(b"GET /a.txt HTTP/1.1\r\n")
            .expect("a beginning");
        running.get("/");
        let begin = Instant::now();
        running.signal(SIGTERM);
        if second {
            // Two signals at the same moment are one: the first has to be taken before.
            let mut idle = [0; 1];
            while std::net::TcpStream::connect(&running.address).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = busy.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = busy.read(&mut idle);
            running.signal(SIGINT);
        }
        assert_eq!(running.end().code(), Some(code));
        assert!(begin.elapsed() < Duration::from_secs(30), "{words:?}");
    }
}

#[test]
fn access_log_is_written_and_reopened() {
    let place = Place::new("log");
    place.write("site/a.txt", "12345");
    let (log, old) = (place.0.join("log"), place.0.join("log.1"));
    let words = [
        "--access-log",
        log.to_str().expect("UTF-8"),
        "--access-format",
        "combined",
    ];
    let mut running = Running::capuchin(&[
        words[0],
        words[1],
        words[2],
        words[3],
        place.0.join("site").to_str().expect("UTF-8"),
    ]);
    running.get("/a.txt?q=\"x\"");
    running.get("/missing");
    let text = lines(&log, 1);
    assert!(text.starts_with("127.0.0.1 - - ["), "{text}");
    assert!(!text.contains("?q=\"x"), "quotes are escaped: {text}");
    std::fs::rename(&log, &old).expect("renamed");
    running.signal(SIGHUP);
    let begin = Instant::now();
    while !log.exists() && begin.elapsed() < common::PATIENCE {
        running.get("/a.txt");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(log.exists(), "the log is opened again");
    running.get("/a.txt");
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let all = std::fs::read_to_string(&old).expect("the old log") + &lines(&log, 0);
    assert!(all.contains("\"GET /missing HTTP/1.1\" 404 "), "{all}");
    assert!(
        all.contains("\"GET /a.txt HTTP/1.1\" 200 5 \"-\" \"-\""),
        "{all}"
    );
}

#[test]
fn access_log_that_nobody_reads_stalls_no_request() {
    let place = Place::new("stalled-log");
    place.write("a.txt", "x");
    // Standard output is a pipe of ours that is not read after the URL.
    let words = ["--access-log", "-", "--status-path", "/about"];
    let mut running = Running::capuchin(&[&words[..], &["--workers", "1", place.path()]].concat());
    let mut stream = running.connect();
    let request = format!(
        "GET /a.txt?{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "x".repeat(4_000)
    );
    let mut buffer = [0; 4_096];
    // More than the pipe, the queue and the worker's batch take.
    for _ in 0..4_000 {
        stream
            .write_all(request.as_bytes())
            .expect("it takes requests");
        assert!(read(&mut stream, &mut buffer).expect("it replies in time") > 0);
    }
    let lost = |page: &str, name: &str| {
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        value.expect("the losses are shown")
    };
    assert!(lost(&running.get("/about").1, "access_log_lines_lost ") > 0);
    let page = running.get("/about/metrics").1;
    assert!(lost(&page, "capuchin_access_log_lines_lost_total ") > 0);
    running.signal(SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let error = running.errors();
    assert!(
        error.contains("lines of the access log were lost"),
        "{error}"
    );
}

#[test]
fn cached_files_never_take_the_descriptors_of_connections() {
    let place = Place::new("starved");
    let content = "x".repeat(70_000);
    for n in 0..300 {
        place.write(&format!("f{n}"), &content);
    }
    let running = Running::start(
        "sh",
        &[
            "-c",
            "ulimit -n 256; exec \"$0\" --listen 127.0.0.1:0 --workers 2 \"$@\"",
            env!("CARGO_BIN_EXE_capuchin"),
            place.path(),
        ],
    );
    for n in 0..300 {
        assert!(running.get(&format!("/f{n}")).0.starts_with("HTTP/1.1 200"));
    }
    let clients: Vec<_> = (0..60)
        .map(|n| {
            let mut client = running.connect();
            write!(client, "GET /f{n} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            let mut head = [0; 12];
            client.read_exact(&mut head).expect("a reply");
            assert_eq!(&head, b"HTTP/1.1 200", "{n}");
            client
        })
        .collect();
    assert_eq!(clients.len(), 60);
}

#[test]
#[cfg(target_os = "linux")] // it looks at /proc
fn deleted_file_gives_its_room_back_though_no_request_comes() {
    let place = Place::new("deleted");
    place.write("large.txt", &"x".repeat(70_000));
    let running = Running::capuchin(&["--workers", "1", place.path()]);
    assert!(running.get("/large.txt").0.starts_with("HTTP/1.1 200"));
    let large = place.0.join("large.txt");
    let is_open = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", running.child.id()));
        files.expect("it runs").flatten().any(|file| {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            target
                .to_string_lossy()
                .starts_with(&*large.to_string_lossy())
        })
    };
    assert!(is_open(), "it is kept for the next request");
    std::fs::remove_file(&large).expect("removed");
    let begin = Instant::now();
    while is_open() {
        assert!(begin.elapsed() < common::PATIENCE, "it stays open");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn large_files_are_sent_whole_with_and_without_sendfile() {
    let place = Place::new("large");
    let content: String = (0..200_000).map(|n| format!("{n:07}\n")).collect();
    place.write("large.txt", &content);
    for sendfile in ["on", "off"] {
        let running = Running::capuchin(&["--sendfile", sendfile, place.path()]);
        let (head, body) = running.get("/large.txt");
        assert!(head.contains("Content-Length: 1600000"), "{head}");
        assert!(body == content, "sendfile {sendfile}");
    }
}
