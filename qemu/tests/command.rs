//! The `capuchin-qemu` command as a person or a script meets it. In QEMU's place stands this very
//! program, under QEMU's name on the PATH, but for the tests that say otherwise.

mod common;
#[path = "common/stand_in.rs"]
mod stand_in;

use common::{Image, PATIENCE, Scratch, finish, trial};
use libc::{SIGHUP, SIGINT, SIGTERM};
use libtest_mimic::Arguments;
use stand_in::variable;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

const QEMU: &str = "qemu-system-i386";

/// The first word that makes this program a command that is run against a server.
const AS_COMMAND: &str = "as-command";

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    if Path::new(&name)
        .file_name()
        .is_some_and(|name| name == QEMU)
    {
        stand_in::run();
    }
    if words.next().is_some_and(|word| word == AS_COMMAND) {
        return as_command(&words.next().unwrap());
    }
    let missing = capuchin_qemu::find_qemu().err();
    let missing = missing.map(|missing| missing.to_string());
    let mut trials = Vec::new();
    macro_rules! tests {
        ($not_run:expr; $($test:ident)*) => {
            $(trials.push(trial(stringify!($test), $not_run, $test));)*
        };
    }
    tests! { None;
        help_names_the_statuses_and_version_is_printed
        mistakes_end_with_status_2_and_one_sentence
        missing_qemu_ends_with_status_3_and_the_way_to_get_it
        command_finds_the_server_and_gives_the_status
        failing_command_shows_the_console
        command_over_the_limit_is_ended
        command_is_ended_by_a_signal_and_qemu_too
        console_is_printed_until_a_signal
        console_is_printed_until_the_limit
        console_ends_with_the_image
        qemu_that_ends_while_the_command_runs_is_a_failure
        signals_reach_all_that_the_command_started
        interactive_console_takes_what_is_typed_and_prints_as_it_comes
        temporary_folder_with_a_long_name_does
        signal_before_the_first_answer_is_heard
        port_that_was_taken_meanwhile_is_chosen_anew
        link_goes_down_and_up_when_asked
        options_reach_qemu
        qemu_does_not_outlive_a_killed_command
    }
    tests! { missing.as_deref();
        real_qemu_with_an_image_that_does_not_answer_is_told
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A status, or `hang`; `slow` takes some time for 0, `parent` waits for a process that it starts.
fn as_command(word: &str) -> ExitCode {
    if word == "child" {
        wait_for_a_signal();
    }
    let address = std::env::var("CAPUCHIN_TEST_ADDR").expect("the server's address");
    TcpStream::connect(&address).expect("the server");
    println!("command at {address}");
    if word == "slow" {
        std::thread::sleep(Duration::from_secs(1));
        return ExitCode::SUCCESS;
    }
    if word == "parent" {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let mut child = child.args([AS_COMMAND, "child"]).spawn().unwrap();
        child.wait().unwrap();
        return ExitCode::SUCCESS;
    }
    match word.parse::<u8>() {
        Ok(status) => ExitCode::from(status),
        Err(_) => {
            std::thread::sleep(2 * PATIENCE);
            ExitCode::SUCCESS
        }
    }
}

/// Writes its number to a file.
fn wait_for_a_signal() -> ! {
    static HEARD: AtomicI32 = AtomicI32::new(0);
    extern "C" fn note(signal: libc::c_int) {
        HEARD.store(signal, Ordering::SeqCst);
    }
    for number in [SIGHUP, SIGINT, SIGTERM] {
        let handler = note as extern "C" fn(libc::c_int);
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(number, handler as libc::sighandler_t) };
    }
    println!("child at work");
    let begin = Instant::now();
    while HEARD.load(Ordering::SeqCst) == 0 && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::write("heard-by-child", HEARD.load(Ordering::SeqCst).to_string()).unwrap();
    std::process::exit(0)
}

/// A directory with the stand-in as QEMU and something as an image.
fn bench(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let program = std::env::current_exe().expect("this program");
    std::os::unix::fs::symlink(program, scratch.path().join(QEMU)).expect("a link");
    fs::write(scratch.path().join("image"), "").expect("an image");
    scratch
}

/// The command in this directory, with nothing else on the PATH.
fn command(scratch: &Scratch, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capuchin-qemu"));
    let this = std::env::current_exe().expect("this program");
    for word in line.split_whitespace() {
        match word {
            "THIS" => command.arg(&this).arg(AS_COMMAND),
            word => command.arg(word),
        };
    }
    command
        .current_dir(scratch.path())
        .env("PATH", scratch.path())
        // What a killed one leaves behind goes with the rest.
        .env("TMPDIR", scratch.path())
        .env(variable::LOG, scratch.path().join("log"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(scratch: &Scratch, line: &str) -> Told {
    Told::new(finish(command(scratch, line).spawn().expect("it starts")))
}

/// What a command printed, as text.
struct Told {
    status: Option<i32>,
    out: String,
    error: String,
}

impl Told {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Starts it and waits until it has printed a line with `text`; returns that line.
fn start(
    mut command: Command,
    text: &str,
) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = command.spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        let count = out.read_line(&mut line).expect("its output");
        assert_ne!(count, 0, "it ended without {text:?}");
    }
    (child, out, line.trim_end().to_owned())
}

fn address(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

fn signal(child: &Child, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: takes numbers only; the child has not been waited for, so the number is its own.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Whether nobody listens there, within some seconds.
fn falls_silent(address: &str) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE / 4 {
        if TcpStream::connect(address).is_err() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn help_names_the_statuses_and_version_is_printed() {
    let scratch = bench("help");
    let told = run(&scratch, "--help");
    assert_eq!(told.status, Some(0));
    assert!(
        told.out.contains("3    QEMU is not installed"),
        "{}",
        told.out
    );
    let version = format!("capuchin-qemu {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&scratch, "-V").out, version);
}

fn mistakes_end_with_status_2_and_one_sentence() {
    let scratch = bench("mistakes");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = format!("--forward {}:80 image", taken.local_addr().unwrap().port());
    let cases = [
        ("--nonsense image", "no option"),
        ("", "which image?"),
        ("nowhere", "the image nowhere cannot be read"),
        ("--console no/folder image", "cannot be written"),
        (&forward, "is in use"),
    ];
    for (line, expected) in cases {
        let told = run(&scratch, line);
        assert_eq!(told.status, Some(2), "{line}: {}", told.error);
        let is_ours = told.error.starts_with("capuchin-qemu: ");
        assert!(is_ours && told.error.contains(expected), "{}", told.error);
        assert_eq!(told.error.lines().count(), 1, "{}", told.error);
    }
}

fn missing_qemu_ends_with_status_3_and_the_way_to_get_it() {
    let scratch = bench("missing");
    let child = command(&scratch, "image").env("PATH", "").spawn();
    let told = Told::new(finish(child.unwrap()));
    assert_eq!(told.status, Some(3), "{}", told.error);
    assert!(told.error.contains("apt-get install qemu-system-x86"));
    assert_eq!(told.error.lines().count(), 1, "{}", told.error);
}

fn command_finds_the_server_and_gives_the_status() {
    let scratch = bench("command");
    let told = run(&scratch, "image -- THIS 0");
    assert_eq!(told.status, Some(0), "{}", told.error);
    let lines: Vec<_> = told.out.lines().collect();
    assert!(lines[0].starts_with("http://127.0.0.1:"), "{}", told.out);
    assert!(lines[1].starts_with("answered after "), "{}", told.out);
    assert_eq!(lines[2], format!("command at {}", address(lines[0])));
    assert_eq!(told.error, "");
    assert!(falls_silent(address(lines[0])));
}

fn failing_command_shows_the_console() {
    let scratch = bench("failing");
    let told = run(&scratch, "image -- THIS 42");
    assert_eq!(told.status, Some(42));
    assert!(
        told.error.contains("ended with status 42"),
        "{}",
        told.error
    );
    assert!(
        told.error.contains("\n  | stand-in is up\n"),
        "{}",
        told.error
    );
    let told = run(&scratch, "image -- nowhere");
    assert_eq!(told.status, Some(1));
    assert!(
        told.error.contains("nowhere does not start"),
        "{}",
        told.error
    );
}

fn command_over_the_limit_is_ended() {
    let scratch = bench("over");
    let begin = Instant::now();
    let told = run(&scratch, "--limit 0.3 image -- THIS hang");
    assert_eq!(told.status, Some(124), "{}", told.error);
    assert!(begin.elapsed() < PATIENCE / 2);
    assert!(told.error.contains("too long"), "{}", told.error);
    assert!(falls_silent(address(told.out.lines().next().unwrap())));
}

fn command_is_ended_by_a_signal_and_qemu_too() {
    let scratch = bench("signal");
    let (child, _out, line) = start(command(&scratch, "image -- THIS hang"), "command at ");
    signal(&child, SIGTERM);
    let told = Told::new(finish(child));
    assert_eq!(told.status, Some(128 + SIGTERM), "{}", told.error);
    assert!(falls_silent(line.trim_start_matches("command at ")));
}

fn console_is_printed_until_a_signal() {
    let scratch = bench("console");
    let (child, mut out, url) = start(command(&scratch, "--console log2 image"), "http://");
    let mut line = String::new();
    while !line.contains("stand-in is up") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the console ended");
    }
    TcpStream::connect(address(&url)).unwrap();
    signal(&child, SIGINT);
    let told = Told::new(finish(child));
    assert_eq!((told.status, told.error.as_str()), (Some(0), ""));
    assert!(falls_silent(address(&url)));
    let log = fs::read_to_string(scratch.path().join("log2")).unwrap();
    assert!(log.starts_with("stand-in is up\r\n"), "{log}");
}

fn console_is_printed_until_the_limit() {
    let scratch = bench("limit");
    let told = run(&scratch, "--limit 0.2 image");
    assert_eq!((told.status, told.error.as_str()), (Some(0), ""));
    assert!(told.out.contains("\nstand-in is up\n"), "{}", told.out);
    assert!(falls_silent(address(told.out.lines().next().unwrap())));
}

fn console_ends_with_the_image() {
    let scratch = bench("image-ends");
    // A reset ends QEMU with 0: nobody has asked for it.
    for (status, told_as) in [("0", "reset"), ("33", "writing 16"), ("2", "status: 2")] {
        let child = command(&scratch, "image")
            .env(variable::END, status)
            .spawn();
        let told = Told::new(finish(child.unwrap()));
        assert_eq!(told.status, Some(1), "{}", told.error);
        assert!(told.out.ends_with("ending\n"), "{}", told.out);
        assert!(told.error.contains(told_as), "{}", told.error);
    }
}

fn qemu_that_ends_while_the_command_runs_is_a_failure() {
    let scratch = bench("lost");
    let child = command(&scratch, "image -- THIS slow")
        .env(variable::END, "0")
        .spawn();
    let told = Told::new(finish(child.unwrap()));
    assert_eq!(told.status, Some(1), "{}", told.error);
    assert!(told.error.contains("reset"), "{}", told.error);
    assert!(told.error.contains("\n  | ending\n"), "{}", told.error);
}

fn signals_reach_all_that_the_command_started() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let scratch = bench("group");
        // A process that the command waits for, and that tells which signal ended it.
        let (child, _out, _) = start(command(&scratch, "image -- THIS parent"), "child at ");
        signal(&child, number);
        let told = Told::new(finish(child));
        assert_eq!(told.status, Some(128 + number), "{}", told.error);
        // It may be a moment later than its parent.
        let begin = Instant::now();
        let heard = scratch.path().join("heard-by-child");
        while fs::read_to_string(&heard).unwrap_or_default() != number.to_string() {
            assert!(
                begin.elapsed() < PATIENCE / 4,
                "signal {number} was not heard"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn interactive_console_takes_what_is_typed_and_prints_as_it_comes() {
    let scratch = bench("interactive");
    let mut line = command(&scratch, "--interactive image");
    line.stdin(Stdio::piped()).env(variable::SHELL, "");
    let (mut child, mut out, _) = start(line, "answered after ");
    let mut typed = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut typed, b"counters\n").unwrap();
    // There is no line end behind it: it is printed all the same.
    let mut text = String::new();
    while !text.ends_with("you typed counters, more? ") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut out, &mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    // The end of the input is not the end of the console.
    drop(typed);
    std::thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, SIGINT);
    let told = Told::new(finish(child));
    assert_eq!((told.status, told.error.as_str()), (Some(0), ""));
    assert_eq!(
        run(&scratch, "--interactive image -- THIS 0").status,
        Some(2)
    );
}

fn temporary_folder_with_a_long_name_does() {
    let scratch = bench("long");
    let folder = scratch.path().join("x".repeat(120));
    fs::create_dir(&folder).unwrap();
    let child = command(&scratch, "image -- THIS 0")
        .env("TMPDIR", folder)
        .spawn();
    let told = Told::new(finish(child.unwrap()));
    assert_eq!((told.status, told.error.as_str()), (Some(0), ""));
}

fn signal_before_the_first_answer_is_heard() {
    let scratch = bench("early");
    let child = command(&scratch, "image").env(variable::MUTE, "").spawn();
    let child = child.unwrap();
    let begin = Instant::now();
    let log = scratch.path().join("log");
    // It waits for the answer when it listens to the guest.
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("filter-dump")) {
        assert!(begin.elapsed() < PATIENCE, "it does not get so far");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, SIGINT);
    let told = Told::new(finish(child));
    assert_eq!(told.status, Some(128 + SIGINT), "{}", told.error);
    assert_eq!(told.error, "capuchin-qemu: interrupted\n");
    assert!(begin.elapsed() < PATIENCE / 2);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.ends_with("quit\n"), "QEMU was asked to end: {log}");
}

fn port_that_was_taken_meanwhile_is_chosen_anew() {
    let scratch = bench("anew");
    let mut command = command(&scratch, "image -- THIS 0");
    command.env(variable::REFUSE_ONCE, scratch.path().join("refused"));
    let told = Told::new(finish(command.spawn().unwrap()));
    assert_eq!(told.status, Some(0), "{}", told.error);
    assert!(scratch.path().join("refused").exists());
    let log = fs::read_to_string(scratch.path().join("log")).unwrap();
    assert_eq!(log.matches("hostfwd=").count(), 2, "started twice: {log}");
}

fn link_goes_down_and_up_when_asked() {
    let scratch = bench("link");
    let told = run(&scratch, "--link-off 0.1:0.2 --limit 2 image");
    assert_eq!(told.status, Some(0));
    let log = fs::read_to_string(scratch.path().join("log")).unwrap();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("set_link"))
        .collect();
    assert_eq!(lines, ["set_link net0 off", "set_link net0 on"]);
    assert!(
        told.error.contains("the network link is off"),
        "{}",
        told.error
    );
}

fn options_reach_qemu() {
    let scratch = bench("options");
    let line = "--stack libbsd --memory 99 --append --console=/dev/com2 --forward 0:8080 \
                --forward 0:9000 image -- THIS 0";
    let told = run(&scratch, line);
    assert_eq!(told.status, Some(0), "{}", told.error);
    assert!(
        told.out.contains("guest port 9000: 127.0.0.1:"),
        "{}",
        told.out
    );
    let log = fs::read_to_string(scratch.path().join("log")).unwrap();
    // Not its path, which would take up the image's command line.
    let end = "-append --console=/dev/com2 -kernel image\n";
    for expected in ["e1000e", "-m 99", "-:8080,", "-:9000 ", end] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    for command in ["filter-dump", "hostfwd_add", "object_del", "hostfwd_remove"] {
        let count = log.lines().filter(|line| line.contains(command)).count();
        assert_eq!(count, 1, "{command}: {log}");
    }
}

fn qemu_does_not_outlive_a_killed_command() {
    if !cfg!(target_os = "linux") {
        println!("NOT RUN: only Linux ends a process with its parent");
        return;
    }
    let scratch = bench("killed");
    let (mut child, _out, url) = start(command(&scratch, "image"), "http://");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(falls_silent(address(&url)));
}

fn real_qemu_with_an_image_that_does_not_answer_is_told() {
    let scratch = Scratch::new("real");
    scratch.image(Image::new().print("no network here\r\n").hang());
    let path = std::env::var_os("PATH").expect("QEMU is on it");
    let child = command(&scratch, "--wait 1 image -- THIS 0")
        .env("PATH", path)
        .spawn();
    let told = Told::new(finish(child.unwrap()));
    assert_eq!((told.status, told.out.as_str()), (Some(1), ""));
    assert!(
        told.error.contains("within 1.0 s: QEMU runs on"),
        "{}",
        told.error
    );
    assert!(
        told.error.ends_with("\n  | no network here\n"),
        "{}",
        told.error
    );
}
