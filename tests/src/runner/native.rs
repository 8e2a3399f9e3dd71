//! Fixture servers as programs of this system, in several configurations.

use super::{Absent, Kind, Skip, Source, Tally, Turn, trials};
use crate::failure::{During, Outcome};
use crate::site_fixture::SiteFixture;
use crate::suites::Setting;
use crate::target::Target;
use crate::{ensure, fail};
use libtest_mimic::Arguments;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Cases that run at the same time: most of their time is spent waiting.
const THREADS: usize = 8;

/// For the first line of a server, and for its end.
const START_LIMIT: Duration = Duration::from_secs(10);
const END_LIMIT: Duration = Duration::from_secs(15);

/// A way to start a fixture server.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// In the trials' names, and for `CAPUCHIN_TEST_CONFIGURATIONS`.
    pub name: &'static str,
    workers: &'static str,
    accept: &'static str,
}

/// One worker, which accepts for itself.
pub const ONE_WORKER: Configuration = Configuration {
    name: "one_worker",
    workers: "1",
    accept: "each",
};

/// Two workers with a listener each.
pub const TWO_WORKERS: Configuration = Configuration {
    name: "two_workers",
    workers: "2",
    accept: "each",
};

/// Another thread or task accepts for two workers.
pub const ONE_ACCEPTOR: Configuration = Configuration {
    name: "one_acceptor",
    workers: "2",
    accept: "one",
};

/// A fixture program, and how it is to be tested.
#[derive(Debug)]
pub struct Plan {
    /// It keeps to `FIXTURE.md`.
    pub program: PathBuf,
    /// In front of the configurations in the trials' names.
    pub prefix: &'static str,
    /// The table's column.
    pub backend: &'static str,
    /// Ways to start it.
    pub configurations: &'static [Configuration],
    /// Cases to leave out.
    pub skips: &'static [Skip],
}

/// The exit code of a program that has the suites run, after a word on why they cannot.
pub fn conclude(outcome: Outcome<ExitCode>, what: &str) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        eprintln!("{what} cannot run: {failure}");
        ExitCode::from(2)
    })
}

/// Runs every case in every configuration.
///
/// # Errors
/// When a server does not start.
pub fn run(mut arguments: Arguments, plan: &Plan) -> Outcome<ExitCode> {
    arguments.test_threads.get_or_insert(THREADS);
    let site = SiteFixture::new()?;
    let tally = Arc::new(Tally::default());
    let mut servers = Vec::new();
    let mut all = Vec::new();
    let chosen = std::env::var("CAPUCHIN_TEST_CONFIGURATIONS").ok();
    for configuration in plan.configurations {
        if chosen
            .as_ref()
            .is_some_and(|chosen| !chosen.split(',').any(|one| one == configuration.name))
        {
            continue;
        }
        let mut started = HashMap::new();
        for setting in Setting::ALL {
            let server = Server::start(plan, setting, configuration, &site.root())?;
            let server = Arc::new(server);
            started.insert(setting, server.clone());
            servers.push(server);
        }
        let kind = Kind {
            name: format!("{}{}", plan.prefix, configuration.name),
            backend: plan.backend,
            skips: plan.skips,
            tally: tally.clone(),
        };
        all.extend(trials(&kind, &Setting::ALL, |setting| {
            started[&setting].clone()
        }));
    }
    ensure!(
        !all.is_empty(),
        "CAPUCHIN_TEST_CONFIGURATIONS names none of the configurations"
    );
    let conclusion = libtest_mimic::run(&arguments, all);
    let mut code = conclusion.exit_code();
    for server in &servers {
        if let Err(failure) = server.stop() {
            eprintln!("{}: {failure}", server.name);
            code = ExitCode::FAILURE;
        }
    }
    tally.write().during("the table's file")?;
    Ok(code)
}

/// A fixture server that was started here; killed when dropped, by its own process handle.
#[derive(Debug)]
struct Server {
    name: String,
    child: Mutex<Child>,
    target: Arc<Target>,
    turn: Turn,
}

impl Source for Server {
    fn target(&self) -> Result<Arc<Target>, Absent> {
        Ok(self.target.clone())
    }

    fn turn(&self) -> &Turn {
        &self.turn
    }
}

impl Server {
    fn start(
        plan: &Plan,
        setting: Setting,
        configuration: &Configuration,
        site: &Path,
    ) -> Outcome<Self> {
        let mut command = Command::new(&plan.program);
        command.arg("--site").arg(site).arg("--until-eof");
        // The handler that panics on purpose would bury everything else.
        command.env("RUST_BACKTRACE", "0");
        // A limit on connections is exact for one worker only.
        let workers = if setting == Setting::Tight {
            "1"
        } else {
            configuration.workers
        };
        command.args(["--workers", workers, "--accept", configuration.accept]);
        for &(option, value) in setting.options() {
            command.arg(format!("--{option}")).arg(value);
        }
        let name = format!("{}{} {setting:?}", plan.prefix, configuration.name);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut server = Starting {
            child: Some(spawned.during("starting the fixture server")?),
        };
        let address = server.address().during(&name)?;
        let address = address.parse().during(&address)?;
        let target = Target::discover(address, Some(site.to_owned()), "").during(&name)?;
        let Some(child) = server.child.take() else {
            fail!("the fixture server is gone")
        };
        Ok(Self {
            name,
            child: Mutex::new(child),
            target: Arc::new(target),
            turn: Turn::default(),
        })
    }

    /// Ends the server in order: it has to be alive still, drain, and say that all went well.
    fn stop(&self) -> Outcome {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = child.try_wait()? {
            fail!("the server ended during the run: {status}");
        }
        drop(child.stdin.take());
        let deadline = Instant::now() + END_LIMIT;
        loop {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the server did not end within {END_LIMIT:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(self.child.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Kills and reaps; both fail only when the process is gone already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A server that may still fail to start.
struct Starting {
    child: Option<Child>,
}

impl Starting {
    /// The address in its first line.
    fn address(&mut self) -> Outcome<String> {
        let Some(output) = self.child.as_mut().and_then(|child| child.stdout.take()) else {
            fail!("no output")
        };
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            let read = output.read_line(&mut line).map(|_| line);
            // Nobody waits any more when the server was too slow.
            let _ = send.send(read);
            // What else it prints must not fill the pipe.
            let _ = std::io::copy(&mut output.by_ref(), &mut std::io::sink());
        });
        let line = receive
            .recv_timeout(START_LIMIT)
            .during("waiting for the server's first line")??;
        match line.trim_end().strip_prefix("listening on ") {
            Some(address) => Ok(address.to_owned()),
            None => fail!("the server's first line is {line:?}, not \"listening on ADDR:PORT\""),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}
