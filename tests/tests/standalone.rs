//! Boots the images for pc386 that need no RTEMS (`targets/standalone`) and looks at them from outside: with
//! the black-box suites at their fixture server, with trials of its own at the page's image.
//!
//! Where QEMU or a toolchain for it is missing all is reported as ignored, and a line says what is.

#[path = "standalone/suites.rs"]
mod suites;

use capuchin_qemu::{Machine, Spec, Stack, find_qemu};
use capuchin_tests::client::Client;
use capuchin_tests::failure::{During, Failure, Outcome};
use capuchin_tests::process::build_by;
use capuchin_tests::reply::Asked;
use capuchin_tests::runner::{Absent, Guest, Kind, Tally, completed, counted};
use capuchin_tests::suites::get;
use capuchin_tests::{ensure, fail};
use libtest_mimic::{Arguments, Completion, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/standalone/build");

/// Where it is built; the toolchain is another than the one that this test was built with.
const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

/// On a machine that has much else to do.
const BUILD_LIMIT: Duration = Duration::from_secs(900);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Connections of the image (`CONNECTIONS` in `app.rs`).
const CONNECTIONS: usize = 32;

/// What `/hello` answers.
const HELLO: &[u8] = b"hello, world\n";

/// For replies that wait for a retransmission.
const PATIENCE: Duration = Duration::from_secs(30);

const OUTAGE: Duration = Duration::from_secs(3);

/// Cases that run at the same time, on one machine: each may have a quarter of a server's connections
/// (`Target::share`).
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let tally = Arc::new(Tally::default());
    let kind = Kind {
        name: "standalone".into(),
        backend: "pc386 standalone",
        skips: suites::SKIPS,
        tally: tally.clone(),
    };
    let own: [(&str, &str, Run); 6] = [
        ("power_on", "first_answer_comes", first_answer_comes),
        (
            "power_on",
            "panic_is_told_and_ends_with_a_failure",
            panic_is_told,
        ),
        (
            "concurrency",
            "eight_clients_with_500_requests_each",
            eight_clients,
        ),
        (
            "overload",
            "twice_the_connections_are_served_or_told_503",
            twice_the_connections,
        ),
        (
            "close",
            "hundreds_of_connections_one_after_another",
            one_after_another,
        ),
        (
            "link",
            "connections_survive_three_seconds_without_network",
            link,
        ),
    ];
    let mut trials = suites::trials(&kind, &arguments);
    // Last: while one of these has its machine, a case of the suites could only wait for its own.
    let own = own.map(|(suite, name, run)| trial(&kind, suite, name, run));
    trials.extend(own);
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    if let Err(error) = tally.write() {
        eprintln!("the table's file: {error}");
        return ExitCode::from(2);
    }
    code
}

type Run = fn(PathBuf) -> Outcome;

fn trial(kind: &Kind, suite: &'static str, name: &str, run: Run) -> Trial {
    counted(
        kind,
        suite,
        format!("{suite}::{name}"),
        move || match image() {
            Ok(image) => completed(run(image)),
            Err(Absent::Missing(what)) => Ok(Completion::ignored_with(what)),
            Err(Absent::Failed(why)) => Err(why.to_string().into()),
        },
    )
}

/// The image, built once.
fn image() -> Result<PathBuf, Absent> {
    static IMAGE: OnceLock<Result<PathBuf, Absent>> = OnceLock::new();
    let built = IMAGE.get_or_init(|| {
        let built = build(&[]);
        if let Err(Absent::Missing(what)) = &built {
            eprintln!("NOT RUN: pc386 standalone: {what}");
        }
        built
    });
    built.clone()
}

/// Builds an image with these options of the script.
fn build(options: &[&str]) -> Result<PathBuf, Absent> {
    find_qemu().map_err(|missing| Absent::Missing(missing.to_string()))?;
    let said = build_by(Path::new(BUILD), options, CARGO_FOLDER, BUILD_LIMIT)?;
    match said.lines().last() {
        Some(path) => Ok(path.into()),
        None => Err(Failure::new(format!("{BUILD} says nothing")).into()),
    }
}

/// The image, which has answered: so long after power-on.
fn boot(image: PathBuf) -> Outcome<(Guest, Duration)> {
    boot_with(image, "")
}

/// The same with a command line.
fn boot_with(image: PathBuf, append: &str) -> Outcome<(Guest, Duration)> {
    let mut spec = Spec::new(Stack::Own, image);
    append.clone_into(&mut spec.append);
    let mut machine = Guest::boot(&spec).during("booting")?;
    let after = machine
        .wait_until_it_answers(ANSWER_LIMIT)
        .during("the first answer")?;
    Ok((machine, after))
}

/// A client that waits for retransmissions.
fn connect(machine: &Machine) -> Outcome<Client> {
    let mut client = Client::connect(machine.address())?;
    client.set_patience(PATIENCE);
    Ok(client)
}

/// One request and its reply.
fn hello(client: &mut Client) -> Outcome {
    let reply = client.exchange(Asked::Get, get("/hello"))?;
    reply.expect_body(200, HELLO).map(drop)
}

fn first_answer_comes(image: PathBuf) -> Outcome {
    let (machine, after) = boot(image)?;
    println!(
        "standalone: first answer {:.2} s after power-on",
        after.as_secs_f64()
    );
    let (lines, _) = machine.console().lines_from(0, Duration::ZERO);
    let first = lines.iter().find(|line| line.starts_with("capuchin: "));
    ensure!(
        first.is_some_and(|line| line.contains("no RTEMS")),
        "the first line says what it is not: {lines:?}"
    );
    let mut client = Client::connect(machine.address())?;
    hello(&mut client)?;
    let page = client.exchange(Asked::Get, get("/"))?.expect(200)?;
    ensure!(
        page.text().contains("<h1>"),
        "the page is one: {}",
        page.text()
    );
    client.exchange(Asked::Get, get("/state"))?.expect(200)?;
    client.exchange(Asked::Get, get("/nowhere"))?.expect(404)?;
    Ok(())
}

fn panic_is_told(image: PathBuf) -> Outcome {
    let mut spec = Spec::new(Stack::Own, image);
    spec.append = "--panic".into();
    let mut machine = Guest::boot(&spec).during("booting")?;
    let line = machine
        .wait_for_line("panic at ", ANSWER_LIMIT)
        .during("the line of a panic")?;
    ensure!(line.contains("app.rs:"), "it tells file and line: {line}");
    let begin = Instant::now();
    while begin.elapsed() < ANSWER_LIMIT {
        if let Some(status) = machine.exit_status() {
            ensure!(!status.success(), "QEMU ends with a failure: {status}");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    fail!("QEMU goes on after a panic")
}

fn eight_clients(image: PathBuf) -> Outcome {
    let (machine, _) = boot(image)?;
    let address = machine.address();
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let outcome = Client::connect(address).and_then(|mut client| {
                    for _ in 0..500 {
                        hello(&mut client)?;
                    }
                    Ok(())
                });
                if let Err(why) = outcome {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                }
            });
        }
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

fn twice_the_connections(image: PathBuf) -> Outcome {
    let (machine, _) = boot(image)?;
    let mut served = Vec::new();
    // The longest idle has to go for each newcomer beyond the limit.
    for _ in 0..2 * CONNECTIONS {
        let mut client = connect(&machine)?;
        let reply = client.exchange(Asked::Get, get("/hello"))?;
        ensure!(matches!(reply.status(), 200 | 503), "{}", reply.status());
        served.push(client);
    }
    let reply = served
        .last_mut()
        .map(|client| client.exchange(Asked::Get, get("/hello")));
    if let Some(reply) = reply {
        reply?.expect_body(200, HELLO)?;
    }
    drop(served);
    let mut client = connect(&machine)?;
    hello(&mut client)?;
    Ok(())
}

fn one_after_another(image: PathBuf) -> Outcome {
    let (machine, _) = boot(image)?;
    for _ in 0..400 {
        let mut client = connect(&machine)?;
        client.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        client.reply(Asked::Get)?.expect_body(200, HELLO)?;
        client.expect_fin()?;
    }
    Ok(())
}

fn link(image: PathBuf) -> Outcome {
    let (mut machine, _) = boot(image)?;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = connect(&machine)?;
        hello(&mut client)?;
        clients.push(client);
    }
    machine.monitor("set_link net0 off").during("the link")?;
    for client in &mut clients {
        client.send(get("/hello"))?;
    }
    thread::sleep(OUTAGE);
    machine.monitor("set_link net0 on").during("the link")?;
    for client in &mut clients {
        client.reply(Asked::Get)?.expect_body(200, HELLO)?;
    }
    Ok(())
}
