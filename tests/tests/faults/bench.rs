//! The image on a faulty wire, and what has to be true of it whatever happened there.

use crate::line::Line;
use capuchin_qemu::{Machine, Spec, Stack};
use capuchin_tests::client::Client;
use capuchin_tests::failure::{During, Failure, Outcome};
use capuchin_tests::standalone::{ANSWER_LIMIT, CONNECTIONS, hello, state};
use capuchin_tests::{ensure, fail};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Names the seed of a run that is to be repeated.
const SEED: &str = "CAPUCHIN_TEST_SEED";

/// How long a client of a server that is well may wait, on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How long connections that nobody ended take to be gone: clients that QEMU's network has closed are
/// told so again after some seconds when the server did not hear it.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);

/// Looks at the processor after a failure: one that hangs is at the same place each time.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Lines of the console in a failure.
const CONSOLE_LINES: usize = 20;

pub struct Bench {
    pub machine: Machine,
    pub line: Line,
    pub seed: u64,
}

/// Boots the image, has `work` done, and sees that the image is well then. A failure tells the seed and
/// what the console said last.
pub fn with(image: &Path, work: impl FnOnce(&Bench) -> Outcome) -> Outcome {
    let seed = seed()?;
    let mut bench = Bench::start(image, seed)?;
    let outcome = work(&bench).and_then(|()| bench.is_well());
    outcome.map_err(|failure| {
        let words = bench.diagnosis();
        Failure::new(format!("{failure}\n{SEED}={seed}\n{words}"))
    })
}

fn seed() -> Outcome<u64> {
    match std::env::var(SEED) {
        Ok(seed) => seed.parse().during(SEED),
        Err(_) => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Ok(since.map_or(1, |since| u64::from(since.subsec_nanos())))
        }
    }
}

impl Bench {
    fn start(image: &Path, seed: u64) -> Outcome<Self> {
        let mut spec = Spec::new(Stack::Own, image);
        spec.wire = true;
        let mut machine = Machine::boot(&spec).during("booting")?;
        let Some(wire) = machine.take_wire() else {
            fail!("there is no wire")
        };
        let line = Line::start(wire, seed);
        machine
            .wait_until_it_answers(ANSWER_LIMIT)
            .during("the first answer")?;
        Ok(Self {
            machine,
            line,
            seed,
        })
    }

    /// A client that waits so long for each reply.
    pub fn connect(&self, patience: Duration) -> Outcome<Client> {
        let mut client = Client::connect(self.machine.address())?;
        client.set_patience(patience);
        Ok(client)
    }

    /// A new client is answered at once.
    pub fn answers_at_once(&self) -> Outcome {
        self.answers_within(AT_ONCE)
    }

    /// A new client is answered in time.
    pub fn answers_within(&self, limit: Duration) -> Outcome {
        let begin = Instant::now();
        let mut client = self.connect(limit)?;
        hello(&mut client).during("a new client")?;
        ensure!(
            begin.elapsed() <= limit,
            "a new client was answered after {:?}, the limit is {limit:?}",
            begin.elapsed()
        );
        Ok(())
    }

    /// Connections that are open now, but for the one that asks.
    pub fn open(&self) -> Outcome<u64> {
        let figures = state(&mut self.connect(ANSWER_LIMIT)?)?;
        let open = figures.get("connections_open").copied();
        Ok(open.unwrap_or(u64::MAX).saturating_sub(1))
    }

    /// Waits until all connections are gone.
    pub fn settle(&self) -> Outcome<Duration> {
        let begin = Instant::now();
        loop {
            let open = self.open()?;
            if open == 0 {
                return Ok(begin.elapsed());
            }
            ensure!(
                begin.elapsed() < SETTLE_LIMIT,
                "{open} connections are open {SETTLE_LIMIT:?} after the last client left"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What may explain a failure: where the processor is, whether it rests, and which interrupts are masked
    /// or wait.
    fn diagnosis(&mut self) -> String {
        let status = self.machine.exit_status();
        let mut words = format!("QEMU: {status:?}; {:?}", self.line.harm());
        for _ in 0..LOOKS {
            for command in ["info registers", "info pic"] {
                let said = self.machine.monitor(command).unwrap_or_default();
                let lines = said.lines();
                for line in lines.filter(|line| line.starts_with("EIP") || line.starts_with("pic"))
                {
                    words += &format!("\n  {line}");
                }
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        for line in self.machine.console().tail(CONSOLE_LINES) {
            words += &format!("\n  | {line}");
        }
        words
    }

    /// It said nothing of a mistake, it has given everything back, and it serves as many as ever.
    fn is_well(&self) -> Outcome {
        self.settle()?;
        let (lines, _) = self.machine.console().lines_from(0, Duration::ZERO);
        let bad = lines
            .iter()
            .find(|line| line.contains("panic") || line.contains("exception"));
        ensure!(bad.is_none(), "the console tells of a mistake: {bad:?}");
        let mut clients = Vec::new();
        for n in 0..CONNECTIONS {
            let mut client = self.connect(ANSWER_LIMIT)?;
            hello(&mut client).during(format!("client {n} of as many as there may be"))?;
            clients.push(client);
        }
        for (n, client) in clients.iter_mut().enumerate() {
            hello(client).during(format!("client {n}, whom nobody had to make way for"))?;
        }
        let figures = state(&mut clients[0])?;
        let figure = |name: &str| figures.get(name).copied().unwrap_or(0);
        // The one that has the request for this.
        let taken = figure("leases_taken") - figure("leases_returned");
        ensure!(
            taken <= 1,
            "{taken} buffers are taken, nobody uses them: {figures:?}"
        );
        Ok(())
    }
}
