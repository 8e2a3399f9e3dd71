//! Runs the suites: against the server that `CAPUCHIN_TEST_ADDR` names, or against the fixture
//! server, started in each configuration. `tests/FIXTURE.md` tells what a server has to have.
//!
//! ```text
//! cargo test -p capuchin-tests --test blackbox -- framing            one theme
//! cargo test -p capuchin-tests --test blackbox -- --skip huge_       without the long ones
//! ```

use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::site_fixture::{self, SiteFixture};
use capuchin_tests::suites::{self, Case, Setting, Suite};
use capuchin_tests::target::{self, Target};
use capuchin_tests::{ensure, fail};
use libtest_mimic::{Arguments, Trial};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The fixture server's ways to be started: name, workers, mode of accepting.
const CONFIGURATIONS: &[(&str, &str, &str)] = &[
    ("one_worker", "1", "each"),
    ("two_workers", "2", "each"),
    ("one_acceptor", "2", "one"),
];

/// Cases that run at the same time: most of their time is spent waiting.
const THREADS: usize = 8;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("the black-box suites cannot run: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Outcome<ExitCode> {
    if let Some(folder) = std::env::var_os("CAPUCHIN_TEST_MAKE_SITE") {
        let base = Path::new(&folder);
        site_fixture::write(base)?;
        println!("serve {}", base.join("root").display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    if let Some(target) = target::external()? {
        // One server for all settings: whoever wants it for himself waits for no one here, so
        // cases run one after another.
        arguments.test_threads = Some(1);
        let target = Arc::new(target);
        let trials = trials("external", |_| (target.clone(), Arc::default()));
        return Ok(libtest_mimic::run(&arguments, trials).exit_code());
    }
    let site = SiteFixture::new()?;
    let mut servers = Vec::new();
    let mut all = Vec::new();
    let chosen = std::env::var("CAPUCHIN_TEST_CONFIGURATIONS").ok();
    for &(name, workers, accept) in CONFIGURATIONS {
        if chosen
            .as_ref()
            .is_some_and(|chosen| !chosen.split(',').any(|one| one == name))
        {
            continue;
        }
        let mut started = HashMap::new();
        for setting in Setting::ALL {
            let server = Server::start(name, setting, workers, accept, &site.root())?;
            started.insert(setting, (server.target.clone(), server.turn.clone()));
            servers.push(server);
        }
        all.extend(trials(name, |setting| started[&setting].clone()));
    }
    ensure!(
        !all.is_empty(),
        "CAPUCHIN_TEST_CONFIGURATIONS names none of the configurations"
    );
    let conclusion = libtest_mimic::run(&arguments, all);
    let mut code = conclusion.exit_code();
    for server in &mut servers {
        if let Err(failure) = server.stop() {
            eprintln!("{}: {failure}", server.name);
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// One trial for each case; what a server lacks is ignored and named.
fn trials(kind: &str, server: impl Fn(Setting) -> (Arc<Target>, Arc<Mutex<()>>)) -> Vec<Trial> {
    let mut trials = Vec::new();
    for suite in suites::ALL {
        let (target, turn) = server(suite.setting);
        for case in suite.cases {
            trials.push(trial(kind, suite, *case, target.clone(), turn.clone()));
        }
    }
    trials
}

fn trial(
    kind: &str,
    suite: &Suite,
    case: Case,
    target: Arc<Target>,
    turn: Arc<Mutex<()>>,
) -> Trial {
    let missing = target.features.missing(case.needs);
    let lacks = missing != target::Features::NONE;
    let name = if lacks {
        format!(
            "{}::{} [the server lacks: {missing}]",
            suite.name, case.name
        )
    } else {
        format!("{}::{}", suite.name, case.name)
    };
    let exclusive = suite.setting.is_exclusive();
    let run = move || {
        if lacks {
            return Err(format!("the server lacks: {missing}").into());
        }
        let _turn = exclusive.then(|| turn.lock().unwrap_or_else(PoisonError::into_inner));
        (case.run)(&target).map_err(|failure| failure.to_string().into())
    };
    Trial::test(name, run)
        .with_kind(kind)
        .with_ignored_flag(lacks)
}

/// A fixture server that was started here; killed when dropped, by its own process handle.
struct Server {
    name: String,
    child: Child,
    target: Arc<Target>,
    /// Held by the case that has the server to itself.
    turn: Arc<Mutex<()>>,
}

impl Server {
    fn start(
        name: &str,
        setting: Setting,
        workers: &str,
        accept: &str,
        site: &Path,
    ) -> Outcome<Self> {
        let other = std::env::var("CAPUCHIN_TEST_FIXTURE").ok();
        let Some(program) = other.as_deref().or(option_env!("CARGO_BIN_EXE_fixture")) else {
            fail!("this package has no program `fixture`, and CAPUCHIN_TEST_ADDR is not set")
        };
        let mut command = Command::new(program);
        command.arg("--site").arg(site).arg("--until-eof");
        // The handler that panics on purpose would bury everything else.
        command.env("RUST_BACKTRACE", "0");
        // A limit on connections is exact for one worker only.
        let workers = if setting == Setting::Tight {
            "1"
        } else {
            workers
        };
        command.args(["--workers", workers, "--accept", accept]);
        for (option, value) in options(setting) {
            command.args([option, value]);
        }
        let name = format!("{name} {setting:?}");
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
            child,
            target: Arc::new(target),
            turn: Arc::default(),
        })
    }

    /// Ends the server in order: it has to be alive still, drain, and say that all went well.
    fn stop(&mut self) -> Outcome {
        if let Some(status) = self.child.try_wait()? {
            fail!("the server ended during the run: {status}");
        }
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the server did not end within 15 s"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
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
            .recv_timeout(Duration::from_secs(10))
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

/// The limits and timeouts of each setting.
fn options(setting: Setting) -> Vec<(&'static str, &'static str)> {
    let hasty = [
        "first_byte=500",
        "head=500",
        "body=500",
        "handler=800",
        "write=1000",
        "idle=500",
        "linger=500",
        "drain=1000",
    ];
    let tight = [
        "connections=8",
        "requests_per_connection=50",
        "body_bytes=200000",
        "drain_bytes=20000",
    ];
    let alone = [
        "first_byte=2000",
        "head=2000",
        "body=2000",
        "handler=2000",
        "write=2000",
        "idle=2000",
        "linger=1000",
        "drain=2000",
    ];
    let timeouts = |list: &[&'static str]| list.iter().map(|value| ("--timeout", *value)).collect();
    match setting {
        Setting::Plain => timeouts(&["drain=2000"]),
        Setting::Hasty => timeouts(&hasty),
        Setting::Alone => timeouts(&alone),
        Setting::Tight => tight.iter().map(|value| ("--limit", *value)).collect(),
    }
}
