use super::lines::{TEXT_LIMIT, escape};
use super::*;
use capuchin_core::http::head::{Field, Head, HeadParser};
use capuchin_core::http::status::Status;
use capuchin_core::service::Outcome;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::{fs, thread};

fn outcome(status: Status, content: u64) -> Outcome {
    Outcome {
        status: Some(status),
        content,
        complete: true,
    }
}

fn request(lines: &mut Lines, index: u32, head: &[u8], outcome: Outcome) {
    let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 16]);
    parser.advance(head, &mut fields).unwrap();
    lines.observe(
        index,
        Some(&Head::new(&parser, head, &fields)),
        1_795_213_025,
    );
    lines.finished(index, outcome);
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("capuchin-log-{}-{name}", std::process::id()))
}

fn logged(name: &str, format: Format, act: impl FnOnce(&mut Lines)) -> String {
    let path = path(name);
    let _ = fs::remove_file(&path);
    let log = AccessLog::start(Destination::File(path.clone()), format).unwrap();
    let mut lines = log.lines();
    lines.connected(0, Some("192.0.2.7:99".parse().unwrap()));
    act(&mut lines);
    lines.turn_ended();
    drop(lines);
    log.finish();
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    text
}

#[test]
fn lines_have_the_formats_that_tools_read() {
    let head =
        b"GET /a?b HTTP/1.1\r\nHost: h\r\nReferer: http://r/\r\nUser-Agent: agent \"x\"\r\n\r\n";
    let text = logged("common", Format::Common, |lines| {
        request(lines, 0, head, outcome(Status::OK, 2_326))
    });
    assert_eq!(
        text,
        "192.0.2.7 - - [20/Nov/2026:22:17:05 +0000] \"GET /a?b HTTP/1.1\" 200 2326\n"
    );
    let text = logged("combined", Format::Combined, |lines| {
        request(lines, 0, head, outcome(Status::NOT_MODIFIED, 0))
    });
    assert_eq!(
        text,
        "192.0.2.7 - - [20/Nov/2026:22:17:05 +0000] \"GET /a?b HTTP/1.1\" 304 - \"http://r/\" \"agent \\\"x\\\"\"\n"
    );
}

#[test]
fn what_is_no_request_and_what_got_no_reply_is_a_dash() {
    let text = logged("dash", Format::Combined, |lines| {
        lines.observe(0, None, 0);
        lines.finished(
            0,
            Outcome {
                status: None,
                content: 0,
                complete: false,
            },
        );
    });
    assert_eq!(
        text,
        "192.0.2.7 - - [01/Jan/1970:00:00:00 +0000] \"-\" - - \"-\" \"-\"\n"
    );
}

#[test]
fn every_byte_of_a_client_text_is_printable_or_escaped() {
    for byte in 0..=255_u8 {
        let mut out = Vec::new();
        escape(&[b'a', byte, b'b'], &mut out);
        let expected = match byte {
            b'"' => "a\\\"b".into(),
            b'\\' => "a\\\\b".into(),
            b' '..=b'~' => format!("a{}b", char::from(byte)),
            _ => format!("a\\x{byte:02x}b"),
        };
        assert_eq!(String::from_utf8(out), Ok(expected));
    }
}

#[test]
fn client_texts_are_cut_at_their_limit() {
    let mut out = Vec::new();
    escape(&[b'x'; TEXT_LIMIT], &mut out);
    assert_eq!(out.len(), TEXT_LIMIT);
    let mut out = Vec::new();
    escape(&[b'x'; 10_000], &mut out);
    assert_eq!(out.len(), TEXT_LIMIT);
}

#[test]
fn destination_that_takes_nothing_stalls_nobody() {
    // Goes as a whole: the writer, which lives on for a while, would make the file anew.
    let folder = path("stalled");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let path = folder.join("fifo");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // Open for both, so that opening it waits for nobody; never read.
    let holder = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    assert!(holder.as_raw_fd() >= 0);
    let log = AccessLog::start(Destination::File(path.clone()), Format::Common).unwrap();
    let mut lines = log.lines();
    lines.connected(0, None);
    let begin = Instant::now();
    let head = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(1_000));
    for _ in 0..10_000 {
        request(&mut lines, 0, head.as_bytes(), outcome(Status::OK, 1));
        lines.turn_ended();
    }
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert!(log.lost() > 5_000, "{}", log.lost());
    let begin = Instant::now();
    log.finish();
    assert!(
        begin.elapsed() < 2 * FINISH_PATIENCE,
        "{:?}",
        begin.elapsed()
    );
    drop(holder);
    for _ in 0..100 {
        if fs::remove_dir_all(&folder).is_ok() {
            break;
        }
    }
}

#[test]
fn turns_of_one_line_lose_nothing_to_a_destination_that_keeps_up() {
    // Far more turns than the queue has places, faster than the writer takes them one by one.
    let mut wanted = String::new();
    let text = logged("one-by-one", Format::Common, |lines| {
        for n in 0..5_000 {
            let head = format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n");
            request(lines, 0, head.as_bytes(), outcome(Status::OK, 1));
            lines.turn_ended();
            wanted += &format!(
                "192.0.2.7 - - [20/Nov/2026:22:17:05 +0000] \"GET /{n} HTTP/1.1\" 200 1\n"
            );
        }
    });
    assert!(text == wanted, "{} lines", text.lines().count());
}

#[test]
fn pipe_without_reader_is_written_once_it_has_one_and_again_after_it_lost_it() {
    let path = path("late");
    let _ = fs::remove_file(&path);
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let begin = Instant::now();
    let log = AccessLog::start(Destination::File(path.clone()), Format::Common).unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "nobody is waited for"
    );
    let mut lines = log.lines();
    lines.connected(0, None);
    let mut write_one = || {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        request(&mut lines, 0, head, outcome(Status::OK, 1));
        lines.turn_ended();
        thread::sleep(Duration::from_millis(20));
    };
    write_one();
    for _ in 0..2 {
        let before = log.lost();
        while log.lost() == before {
            write_one();
        }
        // Opening it to read waits for the writer, which tries again and again.
        let mut reader = File::open(&path).unwrap();
        let mut text = [0; 256];
        let count = loop {
            write_one();
            match io::Read::read(&mut reader, &mut text).unwrap() {
                0 => continue,
                count => break count,
            }
        };
        let text = String::from_utf8_lossy(&text[..count]);
        assert!(
            text.starts_with("- - - [") && text.contains("\"GET / HTTP/1.1\" 200 1\n"),
            "{text}"
        );
    }
    log.finish();
    fs::remove_file(&path).unwrap();
}

#[test]
fn check_looks_as_a_start_would_and_makes_nothing() {
    let (path, directory) = (path("checked"), path("checked.d"));
    let _ = fs::remove_file(&path);
    fs::create_dir_all(&directory).unwrap();
    let check = |path: &Path, reach| {
        AccessLog::later(Destination::File(path.into()), Format::Common).check(reach)
    };
    for reach in [Reach::Path, Reach::Directory] {
        check(&path, reach).unwrap();
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        check(&path, reach).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(check(&directory, reach).is_err());
        let nowhere = check(&directory.join("none/log"), reach).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
    fs::remove_dir(&directory).unwrap();
}

#[test]
fn log_is_found_again_as_it_was_opened_first() {
    let path = path("first");
    let started = AccessLog::start(Destination::File(path.clone()), Format::Common).unwrap();
    assert_eq!(started.open(Reach::Directory).unwrap(), Reach::Path);
    let later = AccessLog::later(Destination::File(path.clone()), Format::Common);
    for reach in [Reach::Directory, Reach::Path] {
        assert_eq!(later.open(reach).unwrap(), Reach::Directory);
    }
    started.finish();
    later.finish();
    fs::remove_file(&path).unwrap();
}

#[test]
fn reopening_goes_on_in_a_new_file_and_loses_nothing() {
    for reach in [Reach::Path, Reach::Directory] {
        reopen(reach);
    }
}

fn reopen(reach: Reach) {
    let (path, old) = (path("rotated"), path("rotated.1"));
    for file in [&path, &old] {
        let _ = fs::remove_file(file);
    }
    let log = AccessLog::later(Destination::File(path.clone()), Format::Common);
    log.open(reach).unwrap();
    let mut lines = log.lines();
    lines.connected(0, None);
    let write = |lines: &mut Lines, from: usize| {
        for n in from..from + 100 {
            request(
                lines,
                0,
                format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(),
                outcome(Status::OK, 1),
            );
        }
        lines.turn_ended();
    };
    write(&mut lines, 0);
    while fs::read_to_string(&path).unwrap().lines().count() < 100 {
        thread::sleep(Duration::from_millis(5));
    }
    fs::rename(&path, &old).unwrap();
    log.reopen();
    write(&mut lines, 100);
    log.finish();
    let all = fs::read_to_string(&old).unwrap() + &fs::read_to_string(&path).unwrap();
    let numbers: Vec<usize> = all
        .lines()
        .map(|line| {
            line.split(" \"GET /")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(!fs::read_to_string(&path).unwrap().is_empty());
    for file in [&path, &old] {
        fs::remove_file(file).unwrap();
    }
}
