//! The `capuchin-qemu` command: boots an image, and runs a command against it or shows its console.

mod options;
mod signals;
mod terminal;

use capuchin_qemu::{Error, Machine, written_status};
use options::{Command, LinkOff, Options};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

/// The image, QEMU or the command did not do what it should.
const FAILED: u8 = 1;

/// A mistake of the caller's.
const MISTAKE: u8 = 2;

/// QEMU is not installed.
const NO_QEMU: u8 = 3;

/// The command took too long: as `timeout` has it.
const OVER_LIMIT: u8 = 124;

/// Added to the number of a signal: as shells have it.
const SIGNALLED: u8 = 128;

/// How often signals, limits and processes are looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long a command may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Lines of the console that are shown when a command fails.
const CONSOLE_LINES: usize = 40;

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err((status, message)) => {
            // Where this cannot be written the status still tells.
            let _ = writeln!(io::stderr(), "capuchin-qemu: {message}");
            ExitCode::from(status)
        }
    }
}

/// A status with the sentence that explains it.
type Failure = (u8, String);

fn run() -> Result<u8, Failure> {
    let parsed = options::parse(std::env::args_os().skip(1));
    let mut options = match parsed.map_err(|message| (MISTAKE, message))? {
        Command::Help => return print(options::HELP).map(|()| 0),
        Command::Version => {
            let version = concat!("capuchin-qemu ", env!("CARGO_PKG_VERSION"), "\n");
            return print(version).map(|()| 0);
        }
        Command::Boot(options) => *options,
    };
    signals::catch().map_err(|error| (FAILED, format!("signals cannot be caught: {error}")))?;
    options.spec.interrupt = Some(&signals::CAUGHT);
    let mut machine = Machine::boot(&options.spec).map_err(explain)?;
    let after = machine
        .wait_until_it_answers(options.wait)
        .map_err(explain)?;
    let answered = Instant::now();
    announce(&machine, after, &options)?;
    let link = Link {
        plan: options.link_off,
        begin: answered,
        state: LinkState::Up,
    };
    // The image's shell waits for the keys as they are.
    let _terminal = options
        .spec
        .interactive
        .then(terminal::Terminal::by_keys)
        .flatten();
    machine.hand_on_input();
    let status = if options.command.is_empty() {
        show_console(&mut machine, &options, link)
    } else {
        run_command(&mut machine, &options, link)
    };
    machine.end();
    status
}

fn explain(error: Error) -> Failure {
    let status = match error {
        Error::Missing(_) => NO_QEMU,
        Error::Image(..) | Error::ConsoleFile(..) | Error::PortTaken(_) => MISTAKE,
        Error::Interrupted => SIGNALLED.saturating_add(signals::caught().unwrap_or_default()),
        _ => FAILED,
    };
    (status, error.to_string())
}

/// Prints where the server is reached, on the first line, and what a person may like to know.
fn announce(machine: &Machine, after: Duration, options: &Options) -> Result<(), Failure> {
    let mut text = format!("http://{}/\n", machine.address());
    text.push_str(&format!("answered after {} ms\n", after.as_millis()));
    for forward in &machine.forwards()[1..] {
        let (host, guest) = (forward.host, forward.guest);
        text.push_str(&format!("guest port {guest}: 127.0.0.1:{host}\n"));
    }
    if options.command.is_empty() && !options.spec.interactive {
        text.push_str("Ctrl-C stops the machine. Its console:\n");
    }
    print(&text)
}

/// Takes the network link down and up again when it is time.
struct Link {
    plan: Option<LinkOff>,
    begin: Instant,
    state: LinkState,
}

/// Up, then down, then up again: each once, however late.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Up,
    Down,
    UpAgain,
}

impl Link {
    fn turn(&mut self, machine: &mut Machine) {
        let Some(plan) = self.plan else { return };
        let now = self.begin.elapsed();
        let word = match self.state {
            LinkState::Up if now >= plan.after => {
                self.state = LinkState::Down;
                "off"
            }
            LinkState::Down if plan.until.is_some_and(|until| now >= until) => {
                self.state = LinkState::UpAgain;
                "on"
            }
            _ => return,
        };
        match machine.monitor(&format!("set_link net0 {word}")) {
            Ok(reply) if reply.is_empty() => say(&format!("the network link is {word}")),
            Ok(reply) => say(&reply),
            Err(error) => say(&error.to_string()),
        }
    }
}

/// Prints the console from power-on until it ends, a signal comes, or the limit is over.
fn show_console(machine: &mut Machine, options: &Options, mut link: Link) -> Result<u8, Failure> {
    let mut next = 0;
    loop {
        // Before the lines are taken: what was printed up to the end is shown.
        let status = machine.exit_status();
        let (lines, number) = machine.console().lines_from(next, TICK);
        next = number;
        if !options.spec.interactive {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            print(&text)?;
        }
        if signals::caught().is_some() || is_over(options, &link) {
            return Ok(0);
        }
        if let Some(status) = status {
            return Err((FAILED, how_it_ended(status)));
        }
        link.turn(machine);
    }
}

/// Nobody asked for the end of QEMU.
fn how_it_ended(status: ExitStatus) -> String {
    match written_status(status) {
        _ if status.success() => {
            "QEMU ended with status 0: the image has reset the machine, which is what a fatal error does"
                .into()
        }
        Some(value) => format!("the image ended QEMU by writing {value} ({status})"),
        None => format!("QEMU ended: {status}"),
    }
}

/// Runs the command to its end and returns its status.
fn run_command(machine: &mut Machine, options: &Options, mut link: Link) -> Result<u8, Failure> {
    let name = options.command[0].to_string_lossy();
    let mut command = std::process::Command::new(&options.command[0]);
    command
        .args(&options.command[1..])
        .env("CAPUCHIN_TEST_ADDR", machine.address().to_string());
    signals::in_own_group(&mut command);
    let mut child = command.spawn().map_err(|error| {
        (
            FAILED,
            format!("the command {name} does not start: {error}"),
        )
    })?;
    let mut machine_told = false;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status_byte(status),
            Ok(None) => {}
            Err(error) => return Err((FAILED, format!("the command {name} is lost: {error}"))),
        }
        if let Some(signal) = signals::caught() {
            end(&mut child, libc::c_int::from(signal));
            break SIGNALLED.saturating_add(signal);
        }
        if is_over(options, &link) {
            end(&mut child, libc::SIGTERM);
            say("the command took too long");
            break OVER_LIMIT;
        }
        match machine.exit_status() {
            Some(status) if !machine_told => {
                machine_told = true;
                say(&format!("while the command runs, {}", how_it_ended(status)));
            }
            Some(_) => {}
            None => link.turn(machine),
        }
        std::thread::sleep(TICK);
    };
    signals::take_terminal_back(&child);
    // What the command said of a machine that is gone does not count, if it was success.
    let mut status = ended;
    if ended == 0
        && let Some(end) = machine.exit_status()
    {
        if !machine_told {
            say(&how_it_ended(end));
        }
        status = FAILED;
    }
    if status != 0 {
        let lines = machine.console().tail(CONSOLE_LINES);
        let text: String = lines.iter().map(|line| format!("\n  | {line}")).collect();
        say(&format!(
            "{name} ended with status {ended}; the last lines on the console:{text}"
        ));
    }
    Ok(status)
}

fn is_over(options: &Options, link: &Link) -> bool {
    options
        .limit
        .is_some_and(|limit| link.begin.elapsed() >= limit)
}

/// Asks the command and what it has started to end, and kills them when it does not.
fn end(child: &mut Child, signal: libc::c_int) {
    signals::send_to_group(child, signal);
    let begin = Instant::now();
    while begin.elapsed() < END_LIMIT {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(TICK);
    }
    signals::send_to_group(child, libc::SIGKILL);
    // It fails only when it is gone already.
    let _ = child.wait();
}

fn status_byte(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(FAILED),
        (None, signal) => SIGNALLED.saturating_add(
            signal
                .and_then(|number| u8::try_from(number).ok())
                .unwrap_or_default(),
        ),
    }
}

fn say(text: &str) {
    // There is no other place to say it.
    let _ = writeln!(io::stderr(), "capuchin-qemu: {text}");
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| (FAILED, format!("cannot print: {error}")))
}
