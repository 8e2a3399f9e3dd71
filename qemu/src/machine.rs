//! A machine that runs: its forwarded ports, its console, its monitor, and its end.

mod waits;

use crate::console::Console;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::place::{Place, choose_ports};
use crate::process::{self, Starter};
use crate::sdk::find_qemu;
use crate::spec::{Forward, Spec};
use crate::wire::Wire;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

/// How often other ports are chosen when another process was faster.
const PORT_TRIES: usize = 8;

/// QEMU's status when it does not like its options.
const QEMU_FAILED: i32 = 1;

/// How long QEMU itself may take to start, on a machine that has much else to do.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long the monitor may take for a reply.
const MONITOR_LIMIT: Duration = Duration::from_secs(10);

/// How long QEMU may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How long the last output of a QEMU that has ended may take to arrive.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// How often things are looked at that cannot be waited for.
const TICK: Duration = Duration::from_millis(20);

/// The same while the moment of an answer is measured.
const FINE_TICK: Duration = Duration::from_millis(1);

/// A running QEMU. It ends with this value.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    status: Option<ExitStatus>,
    monitor: Option<Monitor>,
    console: Console,
    forwards: Vec<Forward>,
    wire: Option<Wire>,
    power_on: Instant,
    interrupt: Option<&'static AtomicBool>,
    // These go after QEMU has ended.
    _starter: Starter,
    place: Place,
}

impl Machine {
    /// Starts QEMU with the image. Returns when the machine runs, long before the image is up.
    ///
    /// # Errors
    /// When something is missing, a port that was asked for is in use, or QEMU does not start.
    pub fn boot(spec: &Spec) -> Result<Self, Error> {
        // It is started in another directory than this one.
        let program = std::path::absolute(find_qemu()?)
            .map_err(|error| Error::System("there is no current directory", error))?;
        let asked = spec.forwards();
        let mut tries = 1;
        loop {
            let forwards = choose_ports(&asked)
                .map_err(|error| Error::System("there is no free port", error))?;
            match Self::start(&program, spec, forwards) {
                Err(Error::PortTaken(port))
                    if tries < PORT_TRIES && asked.iter().all(|forward| forward.host != port) =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn start(program: &Path, spec: &Spec, forwards: Vec<Forward>) -> Result<Self, Error> {
        let image_error = |error| Error::Image(spec.image.clone(), error);
        // QEMU has a directory of its own, so that no path is part of an option that it takes apart.
        let image = spec.image.canonicalize().map_err(image_error)?;
        if image.is_dir() {
            return Err(image_error(ErrorKind::IsADirectory.into()));
        }
        File::open(&image).map_err(image_error)?;
        let file = match &spec.console_file {
            Some(path) => {
                let made = File::create(path);
                Some(made.map_err(|error| Error::ConsoleFile(path.clone(), error))?)
            }
            None => None,
        };
        let place = Place::new()
            .map_err(|error| Error::System("a temporary directory cannot be made", error))?;
        symlink(image, place.path().join(Spec::IMAGE))
            .map_err(|error| Error::System("a link to the image cannot be made", error))?;
        let words = File::create(place.path().join("stderr"))
            .map_err(|error| Error::System("a temporary file cannot be made", error))?;
        let mut command = Command::new(program);
        command
            .args(spec.arguments(&forwards))
            .current_dir(place.path())
            .stderr(Stdio::from(words));
        let console = Console::default();
        let power_on = Instant::now();
        let (child, starter) = process::start(command, console.clone(), file, spec.interactive)
            .map_err(|error| Error::System("QEMU cannot be started", error))?;
        let mut machine = Self {
            child,
            status: None,
            monitor: None,
            console,
            forwards,
            wire: None,
            power_on,
            interrupt: spec.interrupt,
            _starter: starter,
            place,
        };
        machine.wait_until_it_runs()?;
        if spec.wire {
            let taken = Wire::take(machine.place.path());
            machine.wire = Some(
                taken.map_err(|error| Error::System("the wire cannot be taken hold of", error))?,
            );
        }
        Ok(machine)
    }

    /// The monitor's prompt comes when all devices and ports are there.
    fn wait_until_it_runs(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let ended = self.exit_status();
            match (self.open_monitor(), ended) {
                (Ok(()), _) => return Ok(()),
                (Err(_), Some(status)) => {
                    let failed = status.code() == Some(QEMU_FAILED);
                    if failed && !self.qemu_words().is_empty() {
                        return Err(self.refusal());
                    }
                    // A short image has come and gone: its console and status can be asked for.
                    return Ok(());
                }
                _ if begin.elapsed() > START_LIMIT => {
                    return Err(self.too_late("prompt of QEMU's monitor", begin.elapsed()));
                }
                _ => self.pause(FINE_TICK)?,
            }
        }
    }

    fn open_monitor(&mut self) -> std::io::Result<()> {
        let socket = self.place.path().join("monitor");
        self.monitor = Some(Monitor::open(&socket, MONITOR_LIMIT)?);
        Ok(())
    }

    fn refusal(&self) -> Error {
        let words = self.qemu_words();
        match self.forwards.iter().find(|forward| {
            let rule = format!("host forwarding rule 'tcp:127.0.0.1:{}-:", forward.host);
            words.contains(&rule)
        }) {
            Some(forward) => Error::PortTaken(forward.host),
            None => Error::Refused(words),
        }
    }

    /// QEMU's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When QEMU was started.
    #[must_use]
    pub fn power_on(&self) -> Instant {
        self.power_on
    }

    /// Where the HTTP server is reached.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        loopback(self.forwards[0].host)
    }

    /// Where this port of the guest is reached, if it is forwarded.
    #[must_use]
    pub fn address_of(&self, guest: u16) -> Option<SocketAddr> {
        let forward = self
            .forwards
            .iter()
            .find(|forward| forward.guest == guest)?;
        Some(loopback(forward.host))
    }

    /// All forwards with the ports in use, the HTTP server's first.
    #[must_use]
    pub fn forwards(&self) -> &[Forward] {
        &self.forwards
    }

    /// The wire to the guest, once, where [`Spec::wire`] asked for it. Nothing comes through before it is
    /// taken, nor after its last part is dropped.
    pub fn take_wire(&mut self) -> Option<Wire> {
        self.wire.take()
    }

    /// What the guest prints.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Hands this process's standard input on to the serial console from now on, until it ends. For
    /// [`Spec::interactive`] machines, once; nothing happens otherwise.
    pub fn hand_on_input(&mut self) {
        if let Some(mut console) = self.child.stdin.take() {
            // It ends with the input, with QEMU, or with this process.
            thread::spawn(move || {
                let mut bytes = [0; 256];
                let mut input = io::stdin().lock();
                while let Ok(count) = input.read(&mut bytes)
                    && count > 0
                    && console.write_all(&bytes[..count]).is_ok()
                {}
                // The end of the input is not the end of the console: QEMU keeps its end.
                std::mem::forget(console);
            });
        }
    }

    /// How QEMU ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.note_end(status);
        }
        self.status
    }

    /// Says one line to QEMU's monitor, such as `info status` or `set_link net0 off`, and returns
    /// what it answers: nothing when there is nothing to say.
    ///
    /// # Errors
    /// When QEMU has ended or does not answer, or `command` is not one line.
    pub fn monitor(&mut self, command: &str) -> Result<String, Error> {
        if command.contains(['\n', '\r']) {
            return Err(Error::Monitor(format!("{command:?} is not one line")));
        }
        if let Some(status) = self.exit_status() {
            let how = crate::describe(status);
            return Err(Error::Monitor(format!("QEMU ended with {how}")));
        }
        let asked = match &mut self.monitor {
            Some(monitor) => monitor.ask(command, MONITOR_LIMIT),
            // The conversation before failed: a new one.
            None => self.open_monitor().and_then(|()| {
                let monitor = self.monitor.as_mut().ok_or(ErrorKind::NotConnected)?;
                monitor.ask(command, MONITOR_LIMIT)
            }),
        };
        asked.map_err(|error| {
            self.monitor = None;
            Error::Monitor(format!("no answer to {command:?}: {error}"))
        })
    }

    /// Ends QEMU: asks it to, and kills it when it does not within 2 seconds. Nothing more is done
    /// when it has ended already.
    pub fn end(&mut self) {
        if self.exit_status().is_some() {
            return;
        }
        if let Some(monitor) = &mut self.monitor {
            // What comes back, or not, is seen below.
            let _ = monitor.say("quit", TICK);
        }
        let begin = Instant::now();
        while self.monitor.is_some() && begin.elapsed() < END_LIMIT {
            if self.exit_status().is_some() {
                return;
            }
            thread::sleep(TICK / 4);
        }
        // It can only fail when the process is gone, which is what is wanted.
        let _ = self.child.kill();
        if let Ok(status) = self.child.wait() {
            self.note_end(status);
        }
    }

    fn note_end(&mut self, status: ExitStatus) {
        self.status = Some(status);
        self.monitor = None;
        let begin = Instant::now();
        while !self.console.has_ended() && begin.elapsed() < LAST_OUTPUT_LIMIT {
            thread::sleep(FINE_TICK);
        }
    }

    /// What QEMU said on its standard error, in one line and without its name.
    fn qemu_words(&self) -> String {
        let bytes = fs::read(self.place.path().join("stderr")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).trim().replace('\n', "; ");
        text.replace("qemu-system-i386: ", "")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
