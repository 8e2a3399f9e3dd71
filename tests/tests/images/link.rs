//! The network goes away for a while and comes back.

use crate::build::Images;
use crate::own_trial;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::reply::Asked;
use capuchin_tests::runner::{Kind, berth};
use capuchin_tests::suites::{Setting, get};
use libtest_mimic::Trial;
use std::sync::Arc;
use std::time::Duration;

const OUTAGE: Duration = Duration::from_secs(3);

/// For a reply that has to wait for the next retransmission: the pauses between these double, and an
/// Ethernet card takes a few seconds to find its link again.
const PATIENCE: Duration = Duration::from_secs(30);

const CONNECTIONS: usize = 6;

pub fn trial(kind: &Kind, images: &Arc<Images>) -> Trial {
    own_trial(
        kind,
        images,
        "link",
        "connections_survive_three_seconds_without_network",
        run,
    )
}

fn run(images: &Images) -> Outcome {
    let (mut machine, _) = images.boot_fixture(&berth::options(Setting::Plain))?;
    let target = berth::discover(&machine)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = target.connect()?;
        client.set_patience(PATIENCE);
        let reply = client.exchange(Asked::Get, get("/echo/before"))?;
        reply.expect_body(200, b"before\n")?;
        clients.push(client);
    }
    let link = |machine: &mut capuchin_qemu::Machine, state: &str| -> Outcome {
        let said = machine.monitor(&format!("set_link net0 {state}"));
        said.map(drop).during("the network link")
    };
    link(&mut machine, "off")?;
    // Half of them ask while nothing gets through, and one reply is due meanwhile.
    for client in clients.iter_mut().step_by(2) {
        client.send(get("/deferred/10/during"))?;
    }
    std::thread::sleep(OUTAGE);
    link(&mut machine, "on")?;
    for (n, client) in clients.iter_mut().enumerate() {
        if n % 2 == 0 {
            let reply = client.reply(Asked::Get).during(format!("connection {n}"))?;
            reply.expect_body(200, b"during\n")?;
        }
        let reply = client.exchange(Asked::Get, get("/echo/after"));
        let reply = reply.during(format!("connection {n} after the outage"))?;
        reply.expect_body(200, b"after\n")?;
    }
    for n in 0..CONNECTIONS {
        target
            .get("/hello")
            .during(format!("new connection {n}"))?
            .expect_body(200, b"hello\n")?;
    }
    Ok(())
}
