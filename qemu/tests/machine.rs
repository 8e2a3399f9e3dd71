//! Machines in the real QEMU, with images of a few bytes. None needs an RTEMS SDK.

mod common;

use capuchin_qemu::{Error, Forward, Machine, Spec, Stack, find_qemu, written_status};
use common::{Image, PATIENCE, Scratch, trial};
use libtest_mimic::Arguments;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What machines are not to do is watched for so long.
const SHORT: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let missing = find_qemu().err().map(|missing| missing.to_string());
    if let Some(missing) = &missing {
        eprintln!("NOT RUN, all tests of machines: {missing}");
    }
    let mut trials = Vec::new();
    macro_rules! tests {
        ($($test:ident)*) => {
            $(trials.push(trial(stringify!($test), missing.as_deref(), $test));)*
        };
    }
    tests! {
        console_line_and_exit_status_of_an_image_arrive
        machines_of_all_stacks_boot_and_all_ports_are_forwarded
        hanging_image_meets_the_limit_and_is_gone_after_the_end
        stopped_qemu_is_killed
        machine_that_is_dropped_is_gone
        monitor_answers_and_takes_the_link_down
        silence_is_told_with_the_console
        image_that_ends_is_no_answer
        port_in_use_is_told
        what_cannot_be_booted_is_told
        interrupt_ends_a_wait
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn boot(spec: &Spec) -> Machine {
    Machine::boot(spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Prints a line and stops for good.
fn hanging(scratch: &Scratch) -> Machine {
    let image = Image::new().print("hanging now\r\n").hang();
    let mut machine = boot(&Spec::new(Stack::Legacy, scratch.image(image)));
    machine.wait_for_line("hanging", PATIENCE).unwrap();
    machine
}

fn is_gone(pid: u32) -> bool {
    let pid = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: signal 0 is none; the call only looks whether there is such a process.
    unsafe { libc::kill(pid, 0) == -1 }
}

fn console_line_and_exit_status_of_an_image_arrive() {
    let scratch = Scratch::new("exit");
    let image = Image::new().print("one\r\nready: 1\r\nlast").exit(21);
    let mut spec = Spec::new(Stack::Legacy, scratch.image(image));
    let log = scratch.path().join("console");
    spec.console_file = Some(log.clone());
    let mut machine = boot(&spec);
    assert_eq!(
        machine.wait_for_line("ready", PATIENCE).unwrap(),
        "ready: 1"
    );
    let status = machine.wait_for_exit(PATIENCE).unwrap();
    assert_eq!(written_status(status), Some(21), "{status}");
    assert_eq!(machine.console().tail(2), ["ready: 1", "last"]);
    assert_eq!(
        std::fs::read_to_string(log).unwrap(),
        "one\r\nready: 1\r\nlast"
    );
    assert!(matches!(
        machine.monitor("info status"),
        Err(Error::Monitor(_))
    ));
    let error = machine.wait_for_line("more", PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error}");
}

fn machines_of_all_stacks_boot_and_all_ports_are_forwarded() {
    let scratch = Scratch::new("stacks");
    let path = scratch.image(Image::new().print("up\r\n").hang());
    for stack in [Stack::Legacy, Stack::Libbsd, Stack::Own] {
        let mut spec = Spec::new(stack, &path);
        spec.others = vec![Forward::to(9_000)];
        let mut machine = boot(&spec);
        machine.wait_for_line("up", PATIENCE).unwrap();
        let status = machine.address_of(9_000).unwrap();
        assert_ne!(machine.address(), status);
        assert_eq!(machine.address_of(80), Some(machine.address()));
        for address in [machine.address(), status] {
            TcpStream::connect_timeout(&address, PATIENCE).expect("QEMU accepts");
        }
        let network = machine.monitor("info network").unwrap();
        let model = match stack {
            Stack::Legacy => "model=ne2k_isa",
            Stack::Libbsd => "model=e1000e",
            Stack::Own => "model=virtio-net-pci",
        };
        assert!(network.contains(model), "{network}");
    }
}

fn hanging_image_meets_the_limit_and_is_gone_after_the_end() {
    let scratch = Scratch::new("hang");
    let mut machine = hanging(&scratch);
    let pid = machine.pid();
    let begin = Instant::now();
    let error = machine.wait_for_exit(SHORT).unwrap_err();
    assert!(matches!(error, Error::TooLate(_)), "{error}");
    assert!(begin.elapsed() >= SHORT && !is_gone(pid));
    let error = machine.wait_for_line("nothing more", SHORT).unwrap_err();
    assert!(matches!(error, Error::TooLate(_)), "{error}");
    machine.end();
    assert!(is_gone(pid));
    let status = machine.exit_status().unwrap();
    assert!(status.success(), "it was asked to: {status}");
}

fn stopped_qemu_is_killed() {
    let scratch = Scratch::new("stopped");
    let mut machine = hanging(&scratch);
    let pid = libc::pid_t::try_from(machine.pid()).unwrap();
    // SAFETY: takes numbers only; the machine has not been waited for, so the number is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    machine.end();
    assert!(is_gone(machine.pid()));
    let status = machine.exit_status().unwrap();
    assert_eq!(status.code(), None, "a signal ended it: {status}");
}

fn machine_that_is_dropped_is_gone() {
    let scratch = Scratch::new("dropped");
    let machine = hanging(&scratch);
    let pid = machine.pid();
    assert!(!is_gone(pid));
    drop(machine);
    assert!(is_gone(pid));
}

fn monitor_answers_and_takes_the_link_down() {
    let scratch = Scratch::new("monitor");
    let mut machine = hanging(&scratch);
    let status = machine.monitor("info status").unwrap();
    assert_eq!(status, "VM status: running");
    assert_eq!(machine.monitor("set_link net0 off").unwrap(), "");
    assert_eq!(machine.monitor("set_link net0 on").unwrap(), "");
    let refusal = machine.monitor("set_link net9 off").unwrap();
    assert!(refusal.contains("net9"), "{refusal}");
    let several = machine.monitor("info status\nquit");
    assert!(matches!(several, Err(Error::Monitor(_))));
    let long = machine.monitor("help").unwrap();
    assert!(long.lines().count() > 50 && !long.contains("(qemu)"));
}

fn silence_is_told_with_the_console() {
    let scratch = Scratch::new("silence");
    let mut machine = hanging(&scratch);
    let error = machine.wait_until_it_answers(SHORT).unwrap_err();
    assert!(matches!(error, Error::TooLate(_)), "{error}");
    let text = error.to_string();
    let url = format!("no answer from http://{}/", machine.address());
    assert!(text.starts_with(&url), "{text}");
    assert!(text.contains("QEMU runs on") && text.ends_with("  | hanging now"));
    // It was listened to, and not knocked at: nothing waits for it, nothing stays behind.
    let connections = machine.monitor("info usernet").unwrap();
    assert!(connections.contains("TCP[HOST_FORWARD]"), "{connections}");
    assert!(!connections.contains("SYN_SENT"), "{connections}");
    assert!(!connections.contains("UDP"), "{connections}");
    assert_eq!(machine.monitor("info network").unwrap().lines().count(), 2);
}

fn image_that_ends_is_no_answer() {
    let scratch = Scratch::new("ends");
    let image = Image::new().print("giving up\r\n").exit(3);
    let mut machine = boot(&Spec::new(Stack::Legacy, scratch.image(image)));
    let begin = Instant::now();
    let error = machine.wait_until_it_answers(PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error}");
    assert!(begin.elapsed() < PATIENCE / 2);
    let text = error.to_string();
    assert!(text.contains("QEMU ended with status 7"), "{text}");
    assert!(text.ends_with("  | giving up"), "{text}");
}

fn port_in_use_is_told() {
    let scratch = Scratch::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut spec = Spec::new(Stack::Legacy, scratch.image(Image::new().hang()));
    spec.others.push(Forward {
        host: port,
        guest: 81,
    });
    let error = Machine::boot(&spec).unwrap_err();
    assert!(
        matches!(error, Error::PortTaken(told) if told == port),
        "{error}"
    );
}

fn what_cannot_be_booted_is_told() {
    let scratch = Scratch::new("refused");
    let nowhere = Spec::new(Stack::Legacy, scratch.path().join("nothing"));
    let error = Machine::boot(&nowhere).unwrap_err();
    assert!(matches!(error, Error::Image(..)), "{error}");

    let text = scratch.path().join("text");
    std::fs::write(&text, "no kernel").unwrap();
    let error = Machine::boot(&Spec::new(Stack::Legacy, &text)).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");

    let mut spec = Spec::new(Stack::Legacy, &text);
    spec.console_file = Some(scratch.path().join("no/folder"));
    let error = Machine::boot(&spec).unwrap_err();
    assert!(matches!(error, Error::ConsoleFile(..)), "{error}");
}

fn interrupt_ends_a_wait() {
    static INTERRUPT: AtomicBool = AtomicBool::new(false);
    let scratch = Scratch::new("interrupt");
    let mut spec = Spec::new(Stack::Legacy, scratch.image(Image::new().hang()));
    spec.interrupt = Some(&INTERRUPT);
    let mut machine = boot(&spec);
    let thread = std::thread::spawn(|| {
        std::thread::sleep(SHORT);
        INTERRUPT.store(true, Ordering::SeqCst);
    });
    let error = machine.wait_until_it_answers(PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    let error = machine.wait_for_line("x", PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    thread.join().unwrap();
}
