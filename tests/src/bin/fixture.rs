//! The server that the black-box suites run against: FIXTURE.md, by way of the native target.

use capuchin::{
    Accept, BodyProgress, Completer, Context, DirectoryOptions, Handle, Limits, Method, Next,
    Progress, Refusal, Reply, Request, Running, Server, Snapshot, Status, Ticket, Writer,
};
use capuchin_tests::pattern::{self, Fnv};
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Threads of a notifier storm.
const STORM_THREADS: usize = 8;
/// Bytes of a collected body at most: it is echoed, so that a response has to hold it, too.
const COLLECT_BYTES: u16 = 4_096;
/// Field lines that the native target takes.
const FIELDS: usize = 100;

#[derive(Default)]
struct App {
    /// Set once the server runs.
    running: OnceLock<Handles>,
    words: Words,
    timers: Timers,
    storm: Storm,
    facts: Facts,
}

/// What handlers need of the running server.
struct Handles {
    completer: Completer,
    stats: Box<dyn Fn() -> Snapshot + Send + Sync>,
}

/// What `/limits` tells.
#[derive(Default)]
struct Facts {
    text: String,
}

// ---- replies at once ----

fn hello(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("hello\n")
}

fn empty(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply
        .status(Status::OK)
        .field("Content-Type", b"text/plain")
        .empty()
}

fn close(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.close().text("closing\n")
}

fn echo_word(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    match word_of(context) {
        Some(word) => reply
            .status(Status::OK)
            .field("Content-Type", b"text/plain")
            .body_with(|out| writeln!(out, "{word}")),
        None => reply.error(
            Status::BAD_REQUEST,
            "a word has up to 64 letters and digits",
        ),
    }
}

fn word_of<'c>(context: &Context<'c, App>) -> Option<&'c str> {
    let word = context.parameters.text("word")?;
    (word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(word)
}

fn field(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    let value = context.parameters.value("value").unwrap_or_default();
    reply
        .status(Status::OK)
        .field("X-Value", value)
        .field("Content-Type", b"text/plain")
        .body(b"field\n")
}

fn panics(_: &mut Context<'_, App>, _: &Request<'_>, _: Reply<'_>) -> Next {
    panic!("as the test asked")
}

fn led(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    let id =
        String::from_utf8_lossy(context.parameters.value("id").unwrap_or_default()).into_owned();
    reply
        .status(Status::OK)
        .field("Content-Type", b"text/plain")
        .body_with(|out| writeln!(out, "led {id}"))
}

fn set_led(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.status(Status::NO_CONTENT).empty()
}

fn counters(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    match context.app.running.get() {
        Some(running) => {
            let snapshot = (running.stats)();
            reply
                .status(Status::OK)
                .field("Content-Type", b"text/plain")
                .body_with(|out| snapshot.write_text(out))
        }
        None => reply.error(Status::SERVICE_UNAVAILABLE, "starting"),
    }
}

fn limits(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text(&context.app.facts.text)
}

// ---- bodies ----

struct EchoBody;

impl Handle<App> for EchoBody {
    fn request(&self, _: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.collect_body()
    }

    fn collected(
        &self,
        _: &mut Context<'_, App>,
        _: &Request<'_>,
        body: &[u8],
        reply: Reply<'_>,
    ) -> Next {
        reply
            .status(Status::OK)
            .field("Content-Type", b"application/octet-stream")
            .body(body)
    }
}

/// The state is the number of bytes and their checksum so far.
struct Upload;

impl Handle<App> for Upload {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        context.state[1] = Fnv::default().0;
        reply.receive_body()
    }

    fn body(
        &self,
        context: &mut Context<'_, App>,
        _: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        let mut sum = Fnv(context.state[1]);
        sum.add(piece);
        *context.state = [context.state[0] + piece.len() as u64, sum.0];
        Ok(BodyProgress::Taken)
    }

    fn received(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let [length, sum] = *context.state;
        reply
            .status(Status::OK)
            .field("Content-Type", b"text/plain")
            .body_with(|out| writeln!(out, "{length} {sum:016x}"))
    }
}

/// Takes a body as slowly as its query asks for, and tells what it sees of the request. State: bytes, with a
/// mark while a pause is on; and their checksum.
struct Inspect;

/// A pause is on.
const PAUSED: u64 = 1 << 63;

impl Handle<App> for Inspect {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        context.state[1] = Fnv::default().0;
        reply.receive_body()
    }

    fn body(
        &self,
        context: &mut Context<'_, App>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        let refuse = |status, reason| Err(Refusal { status, reason });
        let mut room = [0; 16];
        match request.query_value("wait", &mut room) {
            Some(value) if context.state[0] & PAUSED == 0 => {
                let value = value.ok().and_then(|value| std::str::from_utf8(value).ok());
                let Some(pause) = value.and_then(|value| value.parse().ok()) else {
                    return refuse(Status::BAD_REQUEST, "milliseconds to wait");
                };
                context.state[0] |= PAUSED;
                let timers = &context.app.timers;
                timers.add(Duration::from_millis(pause), context.ticket, 0);
                return Ok(BodyProgress::Wait);
            }
            _ => context.state[0] &= !PAUSED,
        }
        if request.query_value("refuse", &mut room).is_some() {
            return refuse(Status::UNPROCESSABLE_CONTENT, "refused as asked");
        }
        let mut sum = Fnv(context.state[1]);
        sum.add(piece);
        *context.state = [context.state[0] + piece.len() as u64, sum.0];
        Ok(BodyProgress::Taken)
    }

    fn received(&self, context: &mut Context<'_, App>, r: &Request<'_>, reply: Reply<'_>) -> Next {
        let [length, sum] = *context.state;
        let name = context.parameters.text("name").unwrap_or_default();
        let mut room = [0; 32];
        let query = r.query_value("q", &mut room).and_then(Result::ok);
        let query = query.and_then(|value| core::str::from_utf8(value).ok());
        let test = r
            .field("X-Test")
            .and_then(|value| core::str::from_utf8(value).ok());
        let fields = r.head().fields().count();
        reply
            .status(Status::OK)
            .field("Content-Type", b"text/plain")
            .body_with(|out| {
                writeln!(
                    out,
                    "name {name}\nquery {}\ntest {}",
                    query.unwrap_or_default(),
                    test.unwrap_or_default()
                )?;
                match r.body_length() {
                    Some(announced) => writeln!(out, "announced {announced}")?,
                    None => writeln!(out, "announced chunks")?,
                }
                writeln!(out, "fields {fields}\n{length} {sum:016x}")
            })
    }
}

/// Reads a body and counts it, for the bench alone, so not in FIXTURE.md: a checksum would be most of
/// what is measured.
struct Count;

impl Handle<App> for Count {
    fn request(&self, _: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.receive_body()
    }

    fn body(
        &self,
        context: &mut Context<'_, App>,
        _: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        context.state[0] += piece.len() as u64;
        Ok(BodyProgress::Taken)
    }

    fn received(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let length = context.state[0];
        reply
            .status(Status::OK)
            .field("Content-Type", b"text/plain")
            .body_with(|out| writeln!(out, "{length}"))
    }
}

// ---- streams ----

/// The pattern, its length told or not. State: bytes left, and the next byte's position plus seed.
struct Stream {
    sized: bool,
}

impl Handle<App> for Stream {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let seed = match context.parameters.value("seed") {
            Some(_) => context
                .parameters
                .parse::<u64>("seed")
                .filter(|&seed| seed <= 250),
            None => Some(0),
        };
        let (Some(length), Some(seed)) = (context.parameters.parse::<u64>("bytes"), seed) else {
            return reply.error(
                Status::BAD_REQUEST,
                "a number of bytes, and a seed up to 250",
            );
        };
        *context.state = [length, seed];
        let head = reply
            .status(Status::OK)
            .field("Content-Type", b"application/octet-stream");
        if self.sized {
            head.stream_of(length)
        } else {
            head.stream()
        }
    }

    fn stream(&self, context: &mut Context<'_, App>, out: &mut Writer<'_>) -> Progress {
        let [left, position] = *context.state;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.room());
        pattern::fill(&mut out.spare()[..count], position, 0);
        out.claim(count);
        *context.state = [left - count as u64, position + count as u64];
        if context.state[0] == 0 {
            Progress::Done
        } else {
            Progress::More
        }
    }
}

/// Lines with a pause before each but the first. State: the next number and the count; the pause
/// is in the upper half of the second.
struct Drip;

impl Handle<App> for Drip {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let (Some(count), Some(pause)) = (
            context.parameters.parse::<u32>("count"),
            context.parameters.parse::<u32>("ms"),
        ) else {
            return reply.error(Status::BAD_REQUEST, "a count and milliseconds");
        };
        *context.state = [0, u64::from(pause) << 32 | u64::from(count)];
        reply
            .status(Status::OK)
            .field("Content-Type", b"text/plain")
            .stream()
    }

    fn stream(&self, context: &mut Context<'_, App>, out: &mut Writer<'_>) -> Progress {
        /// Set in the first word while a pause is on.
        const PAUSED: u64 = 1 << 63;
        let (next, count, pause) = (
            context.state[0] & !PAUSED,
            context.state[1] & 0xffff_ffff,
            context.state[1] >> 32,
        );
        if next == count {
            return Progress::Done;
        }
        if next > 0 && context.state[0] & PAUSED == 0 {
            context.state[0] |= PAUSED;
            context
                .app
                .timers
                .add(Duration::from_millis(pause), context.ticket, 0);
            return Progress::Wait;
        }
        context.state[0] = next + 1;
        // A line is far shorter than the room that is promised.
        if writeln!(out, "{next}").is_err() {
            Progress::Failed
        } else {
            Progress::More
        }
    }
}

// ---- deferred replies ----

/// Words of deferred replies, until they are completed or abandoned.
#[derive(Default)]
struct Words(Mutex<Vec<Option<String>>>);

impl Words {
    fn keep(&self, word: &str) -> usize {
        let mut words = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match words.iter().position(Option::is_none) {
            Some(free) => {
                words[free] = Some(word.into());
                free
            }
            None => {
                words.push(Some(word.into()));
                words.len() - 1
            }
        }
    }

    fn take(&self, at: u64) -> Option<String> {
        let mut words = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        words.get_mut(at as usize)?.take()
    }
}

/// Completes tickets when their time has come, on a thread of its own.
#[derive(Default)]
struct Timers {
    due: Mutex<BinaryHeap<Due>>,
    changed: Condvar,
}

struct Due {
    at: Instant,
    ticket: Ticket,
    value: u64,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    /// The earliest is the greatest: that is the heap's first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl Timers {
    fn add(&self, after: Duration, ticket: Ticket, value: u64) {
        let due = Due {
            at: Instant::now() + after,
            ticket,
            value,
        };
        self.due
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(due);
        self.changed.notify_one();
    }

    fn run(&self, completer: &Completer) -> ! {
        let mut due = self
            .due
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        loop {
            let now = Instant::now();
            let wait = due.peek().map_or(Duration::from_secs(3_600), |first| {
                first.at.saturating_duration_since(now)
            });
            if wait.is_zero() {
                if let Some(Due { ticket, value, .. }) = due.pop()
                    && completer.complete(ticket, value).is_err()
                {
                    due.push(Due {
                        at: now + Duration::from_millis(1),
                        ticket,
                        value,
                    });
                }
                continue;
            }
            due = match self.changed.wait_timeout(due, wait) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

struct Deferred;

impl Handle<App> for Deferred {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let (Some(word), Some(after)) = (word_of(context), context.parameters.parse::<u64>("ms"))
        else {
            return reply.error(Status::BAD_REQUEST, "milliseconds and a word");
        };
        let at = context.app.words.keep(word);
        context.state[0] = at as u64;
        context
            .app
            .timers
            .add(Duration::from_millis(after), context.ticket, at as u64);
        reply.defer()
    }

    fn resume(&self, context: &mut Context<'_, App>, value: u64, reply: Reply<'_>) -> Next {
        match context.app.words.take(value) {
            Some(word) => reply
                .status(Status::OK)
                .field("Content-Type", b"text/plain")
                .body_with(|out| writeln!(out, "{word}")),
            None => Next::failed("a deferred reply lost its word"),
        }
    }

    fn abandoned(&self, context: &mut Context<'_, App>) {
        context.app.words.take(context.state[0]);
    }
}

// ---- the storm ----

#[derive(Default)]
struct Storm {
    sent: AtomicU64,
    seen: AtomicU64,
    disorder: AtomicU64,
    running: AtomicUsize,
    /// The last number that each worker saw of each thread of each storm, by worker.
    last: Mutex<std::collections::HashMap<(u32, u64), u64>>,
    storms: AtomicU64,
}

/// A message: storm, thread and number.
fn message_of(storm: u64, thread: u64, number: u64) -> u64 {
    (storm & 0xffff) << 48 | thread << 40 | number
}

fn storm_seen(app: &App, worker: u32, message: u64) {
    let number = message & 0xff_ffff_ffff;
    let mut last = app
        .storm
        .last
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if last
        .insert((worker, message >> 40), number)
        .is_some_and(|before| before >= number)
    {
        app.storm.disorder.fetch_add(1, Ordering::SeqCst);
    }
    app.storm.seen.fetch_add(1, Ordering::SeqCst);
}

fn start_storm(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    let Some(count) = context
        .parameters
        .parse::<u64>("n")
        .filter(|&n| n <= 1_000_000)
    else {
        return reply.error(Status::BAD_REQUEST, "a number up to a million");
    };
    let Some(running) = context.app.running.get() else {
        return reply.error(Status::SERVICE_UNAVAILABLE, "starting");
    };
    let storm = context.app.storm.storms.fetch_add(1, Ordering::SeqCst);
    // The server lives as long as the process: see `main`.
    let app = APP.get().expect("set before the server starts");
    for thread in 0..STORM_THREADS {
        app.storm.running.fetch_add(1, Ordering::SeqCst);
        let completer = running.completer.clone();
        std::thread::spawn(move || {
            for number in 0..count {
                let worker = (thread + number as usize) % completer.workers();
                while completer
                    .send(worker, message_of(storm, thread as u64, number))
                    .is_err()
                {
                    std::thread::yield_now();
                }
                app.storm.sent.fetch_add(1, Ordering::SeqCst);
            }
            app.storm.running.fetch_sub(1, Ordering::SeqCst);
        });
    }
    reply
        .status(Status::ACCEPTED)
        .field("Content-Type", b"text/plain")
        .body(b"started\n")
}

fn storm(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    let storm = &context.app.storm;
    let (sent, seen) = (
        storm.sent.load(Ordering::SeqCst),
        storm.seen.load(Ordering::SeqCst),
    );
    let (disorder, running) = (
        storm.disorder.load(Ordering::SeqCst),
        storm.running.load(Ordering::SeqCst),
    );
    let text = format!("sent {sent}\nseen {seen}\ndisorder {disorder}\nrunning {running}\n");
    reply.text(&text)
}

// ---- the program ----

/// The application; it lives as long as the process, so that storms may outlive a request.
static APP: OnceLock<Arc<App>> = OnceLock::new();

struct Options {
    listen: SocketAddr,
    site: Option<String>,
    workers: usize,
    accept: Accept,
    limits: Limits,
    until_eof: bool,
}

fn parse() -> Result<Options, String> {
    let mut options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        site: None,
        workers: 1,
        accept: Accept::Each,
        limits: Limits::DEFAULT,
        until_eof: false,
    };
    options.limits.collect_bytes = COLLECT_BYTES;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--until-eof" {
            options.until_eof = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        match &*word {
            "--listen" => {
                options.listen = value
                    .parse()
                    .map_err(|_| format!("--listen: '{value}' is no address"))?
            }
            "--site" => options.site = Some(value),
            "--workers" => {
                options.workers = value
                    .parse()
                    .map_err(|_| format!("--workers: '{value}' is no number"))?
            }
            "--accept" if value == "each" => options.accept = Accept::Each,
            "--accept" if value == "one" => options.accept = Accept::One,
            "--timeout" | "--limit" => set(&mut options.limits, &value)?,
            _ => return Err(format!("there is no option {word} {value}")),
        }
    }
    Ok(options)
}

fn set(limits: &mut Limits, assignment: &str) -> Result<(), String> {
    let (name, value) = assignment
        .split_once('=')
        .ok_or_else(|| format!("'{assignment}' is not NAME=VALUE"))?;
    let value: u64 = value
        .parse()
        .map_err(|_| format!("'{assignment}' is no number"))?;
    let short = u32::try_from(value).unwrap_or(u32::MAX);
    match name {
        "first_byte" => limits.first_byte_ms = short,
        "head" => limits.head_ms = short,
        "body" => limits.body_ms = short,
        "handler" => limits.handler_ms = short,
        "write" => limits.write_ms = short,
        "idle" => limits.idle_ms = short,
        "linger" => limits.linger_ms = short,
        "drain" => limits.drain_ms = short,
        "head_bytes" => limits.head_bytes = short as u16,
        "collect_bytes" => limits.collect_bytes = short as u16,
        "drain_bytes" => limits.drain_bytes = value,
        "body_bytes" => limits.body_bytes = value,
        "requests_per_connection" => limits.requests_per_connection = short,
        "connections" => limits.connections = short,
        _ => return Err(format!("there is no limit or timeout {name}")),
    }
    Ok(())
}

fn facts(options: &Options) -> String {
    let limits = &options.limits;
    let site = if options.site.is_some() {
        " site live"
    } else {
        ""
    };
    let mut text =
        format!("features routes upload inspect stream drip deferred storm panic counters{site}\n");
    for (name, value) in [
        ("pid", u64::from(std::process::id())),
        ("workers", options.workers as u64),
        ("head_bytes", u64::from(limits.head_bytes)),
        ("fields", FIELDS as u64),
        ("drain_bytes", limits.drain_bytes),
        ("body_bytes", limits.body_bytes),
        (
            "requests_per_connection",
            u64::from(limits.requests_per_connection),
        ),
        ("collect_bytes", u64::from(limits.collect_bytes)),
        ("first_byte_ms", u64::from(limits.first_byte_ms)),
        ("head_ms", u64::from(limits.head_ms)),
        ("body_ms", u64::from(limits.body_ms)),
        ("handler_ms", u64::from(limits.handler_ms)),
        ("write_ms", u64::from(limits.write_ms)),
        ("idle_ms", u64::from(limits.idle_ms)),
        ("linger_ms", u64::from(limits.linger_ms)),
        ("drain_ms", u64::from(limits.drain_ms)),
    ] {
        let _ = writeln!(text, "{name} {value}");
    }
    // Workers share it evenly: only where there is one, a client can meet it at a known number.
    if options.workers == 1 {
        let _ = writeln!(text, "connections {}", limits.connections);
    }
    text
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("fixture: {message}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fixture: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let app = APP.get_or_init(|| {
        Arc::new(App {
            facts: Facts {
                text: facts(options),
            },
            ..App::default()
        })
    });
    let mut server = Server::shared(Arc::clone(app))
        .route(Method::Get, "/hello", &hello)
        .route(Method::Get, "/empty", &empty)
        .route(Method::Get, "/close", &close)
        .route(Method::Get, "/echo/:word", &echo_word)
        .route(Method::Get, "/field/:value", &field)
        .route(Method::Post, "/echo", &EchoBody)
        .route(Method::Put, "/upload", &Upload)
        .route(Method::Post, "/upload", &Upload)
        .route(Method::Put, "/inspect/:name", &Inspect)
        .route(Method::Post, "/count", &Count)
        .route(Method::Get, "/stream/:bytes", &Stream { sized: false })
        .route(
            Method::Get,
            "/stream/:bytes/:seed",
            &Stream { sized: false },
        )
        .route(Method::Get, "/sized/:bytes", &Stream { sized: true })
        .route(Method::Get, "/sized/:bytes/:seed", &Stream { sized: true })
        .route(Method::Get, "/drip/:count/:ms", &Drip)
        .route(Method::Get, "/deferred/:ms/:word", &Deferred)
        .route(Method::Get, "/storm/:n", &start_storm)
        .route(Method::Get, "/storm", &storm)
        .route(Method::Get, "/panic", &panics)
        .route(Method::Get, "/led/:id", &led)
        .route(Method::Put, "/led/:id", &set_led)
        .route(Method::Get, "/counters", &counters)
        .route(Method::Get, "/limits", &limits)
        .listen(options.listen)
        .workers(options.workers)
        .accept(options.accept)
        .limits(options.limits)
        .on_message(storm_seen);
    if let Some(site) = &options.site {
        server = server.directory(site, DirectoryOptions::default());
    }
    let running = server.start().map_err(|error| error.to_string())?;
    let stats = running.watcher();
    let handles = Handles {
        completer: running.completer(),
        stats: Box::new(move || stats.snapshot()),
    };
    app.running.get_or_init(|| handles);
    let completer = running.completer();
    std::thread::spawn(move || app.timers.run(&completer));
    println!("listening on {}", running.addresses()[0]);
    wait(options, running);
    Ok(())
}

fn wait(options: &Options, running: Running) {
    if options.until_eof {
        // An error ends the waiting as well as the end does.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        running.drain();
    }
    running.join();
}
