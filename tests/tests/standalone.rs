//! Boots the image for pc386 that needs no RTEMS (`targets/standalone`) and looks at it from outside.
//!
//! Where QEMU or a toolchain for it is missing all is reported as ignored, and a line says what is.

use capuchin_qemu::{Machine, Spec, Stack};
use capuchin_tests::client::Client;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::reply::Asked;
use capuchin_tests::runner::Absent;
use capuchin_tests::standalone::{self, ANSWER_LIMIT, CONNECTIONS, HELLO, boot, connect, hello};
use capuchin_tests::suites::get;
use capuchin_tests::{ensure, fail};
use object::{Object as _, ObjectSection as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

/// RAM of the machine that boots with little: the image begins at 1 MB, and the rest of the second is its.
const LITTLE_RAM_MB: u32 = 2;

/// Bytes that the image may have: code, constants, data, and memory.
const IMAGE_BYTES: u64 = 288 << 10;

const OUTAGE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    standalone::run(
        CARGO_FOLDER,
        &[
            ("power_on", "first_answer_comes", first_answer_comes),
            ("power_on", "image_has_288_kb_at_most", image_is_small),
            ("power_on", "two_mb_of_ram_do", little_ram_does),
            (
                "power_on",
                "panic_is_told_and_ends_with_a_failure",
                panic_is_told,
            ),
            (
                "power_on",
                "address_comes_from_a_dhcp_server",
                address_comes_by_dhcp,
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
        ],
    )
}

fn first_answer_comes(image: &Path) -> Outcome {
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

fn image_is_small(image: &Path) -> Outcome {
    let bytes = std::fs::read(image).during("reading the image")?;
    let file = object::File::parse(&*bytes).during("the image's sections")?;
    let size: u64 = file
        .sections()
        .filter(|section| section.address() != 0)
        .map(|section| section.size())
        .sum();
    println!("standalone: {size} bytes");
    ensure!(size <= IMAGE_BYTES, "{size} bytes");
    Ok(())
}

fn little_ram_does(image: &Path) -> Outcome {
    let mut spec = Spec::new(Stack::Own, image);
    spec.memory_mb = LITTLE_RAM_MB;
    let mut machine = Machine::boot(&spec).during("booting")?;
    machine
        .wait_until_it_answers(ANSWER_LIMIT)
        .during("the first answer")?;
    // One at a time: more than the backlog at once would wait for QEMU's next SYN.
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = connect(&machine)?;
        hello(&mut client)?;
        clients.push(client);
    }
    clients.iter_mut().try_for_each(hello)
}

fn panic_is_told(image: &Path) -> Outcome {
    let mut spec = Spec::new(Stack::Own, image);
    spec.append = "--panic".into();
    let mut machine = Machine::boot(&spec).during("booting")?;
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

/// QEMU's user network has a DHCP server, which gives the address that is forwarded to. The fixture asks it when
/// it is told to.
fn address_comes_by_dhcp(_: &Path) -> Outcome {
    let image = match standalone::build(CARGO_FOLDER, &["--fixture"]) {
        Ok(image) => image,
        Err(Absent::Missing(why)) => fail!("the other image was built, this cannot be: {why}"),
        Err(Absent::Failed(why)) => return Err(why),
    };
    let mut spec = Spec::new(Stack::Own, image);
    spec.append = "--dhcp".into();
    let mut machine = Machine::boot(&spec).during("booting")?;
    let first = machine
        .wait_for_line("capuchin: no address", ANSWER_LIMIT)
        .during("the line of no address")?;
    machine
        .wait_for_line("serving on port 80 of 10.0.2.15", ANSWER_LIMIT)
        .during(format!("an address after {first:?}"))?;
    machine
        .wait_until_it_answers(ANSWER_LIMIT)
        .during("the first answer")?;
    let mut client = connect(&machine)?;
    let reply = client.exchange(Asked::Get, get("/hello"))?;
    reply.expect_body(200, b"hello\n").map(drop)
}

fn eight_clients(image: &Path) -> Outcome {
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

fn twice_the_connections(image: &Path) -> Outcome {
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

fn one_after_another(image: &Path) -> Outcome {
    let (machine, _) = boot(image)?;
    for _ in 0..400 {
        let mut client = connect(&machine)?;
        client.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        client.reply(Asked::Get)?.expect_body(200, HELLO)?;
        client.expect_fin()?;
    }
    Ok(())
}

fn link(image: &Path) -> Outcome {
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
