//! A worker over the network in memory, with an application that uses all that handlers can do.

use super::{LISTENER, Net, SimFile};
use capuchin_core::Slot;
use capuchin_core::event::{Deadline, EventChannel, Message, Ticket};
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::Coding;
use capuchin_core::http::fields::Field;
use capuchin_core::http::method::Method;
use capuchin_core::http::status::Status;
use capuchin_core::http::write::Writer;
use capuchin_core::limits::Limits;
use capuchin_core::pool::{Arena, Leases};
use capuchin_core::reply::{Next, Opening, Reply};
use capuchin_core::route::{Context, Handle, Route, Routed};
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::service::{BodyProgress, Progress, Refusal, Request};
use capuchin_core::site::{
    Accepts, Content, ContentId, Found, NO_HINT, Representation, Site, SiteError,
};
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::{Socket, Transport};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct App {
    pub tickets: Mutex<Vec<Ticket>>,
    pub abandoned: Mutex<u32>,
    /// Pieces that `/paced` may take.
    pub takes: Mutex<u32>,
    /// Of requests that wait for the site.
    pub waiting: Arc<Mutex<Vec<Ticket>>>,
}

fn hello(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("hello\n")
}

/// Wants the connection to end after its reply.
fn goodbye(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.close().text("goodbye\n")
}

fn echo_word(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply
        .status(Status::OK)
        .body(context.parameters.value("word").unwrap_or_default())
}

fn large(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    static PATTERN: [u8; 50_000] = [b'x'; 50_000];
    reply.status(Status::OK).body_static(&PATTERN)
}

fn no_content(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.status(Status::NO_CONTENT).empty()
}

fn status(context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    let code = context.parameters.parse("code").and_then(Status::new);
    reply
        .status(code.unwrap_or(Status::NOT_FOUND))
        .body(b"body\n")
}

/// Takes the body, or defers, and wants the connection to end after the reply to that.
struct Last;
impl Handle<App> for Last {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let reply = reply.close();
        match context.parameters.text("how") {
            Some("collect") => reply.collect_body(),
            Some("receive") => reply.receive_body(),
            _ => {
                context.app.tickets.lock().unwrap().push(context.ticket);
                reply.defer()
            }
        }
    }
}

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
        reply.status(Status::OK).body(body)
    }
}

/// Counts and sums the bytes of any body.
struct Upload;
impl Handle<App> for Upload {
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
        context.state[1] += piece.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        match piece {
            piece if piece.contains(&b'!') => Err(Refusal {
                status: Status::UNPROCESSABLE_CONTENT,
                reason: "it has a mark",
            }),
            // No errors: the engine must not pass them on.
            piece if piece.contains(&b'1') => Err(Status::CONTINUE.into()),
            piece if piece.contains(&b'2') => Err(Status::OK.into()),
            _ => Ok(BodyProgress::Taken),
        }
    }
    fn received(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        let [length, sum] = *context.state;
        reply
            .status(Status::OK)
            .body_with(|out| write!(out, "{length} {sum}"))
    }
    fn abandoned(&self, context: &mut Context<'_, App>) {
        *context.app.abandoned.lock().unwrap() += 1;
    }
}

/// Takes a piece only when it may, and tells what it sees of the request.
struct Paced;
impl Handle<App> for Paced {
    fn request(&self, _: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.receive_body()
    }
    fn body(
        &self,
        context: &mut Context<'_, App>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        assert_eq!(context.parameters.value("name"), Some(&b"a b"[..]));
        assert_eq!(request.field("X-Test"), Some(&b"yes"[..]));
        let mut takes = context.app.takes.lock().unwrap();
        if *takes == 0 {
            context.app.tickets.lock().unwrap().push(context.ticket);
            return Ok(BodyProgress::Wait);
        }
        *takes -= 1;
        for &byte in piece {
            context.state[1] = context.state[1].wrapping_mul(31) + u64::from(byte);
        }
        context.state[0] += piece.len() as u64;
        Ok(BodyProgress::Taken)
    }
    fn received(&self, context: &mut Context<'_, App>, r: &Request<'_>, reply: Reply<'_>) -> Next {
        let [length, sum] = *context.state;
        let name = context.parameters.text("name").unwrap_or("none");
        let mut room = [0; 16];
        let query = match r.query_value("q", &mut room) {
            Some(Ok(value)) => std::str::from_utf8(value).unwrap(),
            other => panic!("{other:?}"),
        };
        let (announced, fields) = (r.body_length(), r.head().fields().count());
        reply
            .status(Status::OK)
            .body_with(|out| write!(out, "{length} {sum} {name} {query} {announced:?} {fields}"))
    }
    fn abandoned(&self, context: &mut Context<'_, App>) {
        *context.app.abandoned.lock().unwrap() += 1;
    }
}

/// Streams as many bytes as the path says.
struct Stream;
impl Handle<App> for Stream {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        context.state[1] = context.parameters.parse("bytes").unwrap_or(0);
        reply.status(Status::OK).stream()
    }
    fn stream(&self, context: &mut Context<'_, App>, out: &mut Writer<'_>) -> Progress {
        let [at, end] = *context.state;
        let count = (end - at).min(out.room() as u64);
        for byte in at..at + count {
            out.put(&[(byte % 251) as u8]);
        }
        context.state[0] += count;
        if context.state[0] == end {
            Progress::Done
        } else {
            Progress::More
        }
    }
    fn abandoned(&self, context: &mut Context<'_, App>) {
        *context.app.abandoned.lock().unwrap() += 1;
    }
}

/// Streams one piece, then cannot go on.
struct Broken;
impl Handle<App> for Broken {
    fn request(&self, _: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.status(Status::OK).stream()
    }
    fn stream(&self, context: &mut Context<'_, App>, out: &mut Writer<'_>) -> Progress {
        context.state[0] += 1;
        if context.state[0] > 1 {
            return Progress::Failed;
        }
        out.put(b"a piece");
        Progress::More
    }
    fn abandoned(&self, context: &mut Context<'_, App>) {
        *context.app.abandoned.lock().unwrap() += 1;
    }
}

/// Streams more than it has announced.
struct Excess;
impl Handle<App> for Excess {
    fn request(&self, _: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.status(Status::OK).stream_of(5)
    }
    fn stream(&self, _: &mut Context<'_, App>, out: &mut Writer<'_>) -> Progress {
        out.put(b"four");
        Progress::More
    }
}

/// Keeps its ticket; the reply names the value that it is completed with.
struct Later;
impl Handle<App> for Later {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        context.app.tickets.lock().unwrap().push(context.ticket);
        reply.defer()
    }
    fn resume(&self, _: &mut Context<'_, App>, value: u64, reply: Reply<'_>) -> Next {
        reply
            .status(Status::OK)
            .body_with(|out| write!(out, "value {value}"))
    }
    fn abandoned(&self, context: &mut Context<'_, App>) {
        *context.app.abandoned.lock().unwrap() += 1;
    }
}

/// `/changing/N` is a file that changes N times before it is read; `/file/N` is a file of N bytes, `/memory/N` the same
/// in memory, `/costly/N` the same and expensive to find, `/pieces/N` in memory by pieces, `/ready/N` in memory
/// with its reply in one piece. `/finding/N` is in memory and found at the try after N, `/seeking/N` is short and each
/// try is expensive; `/loading/N` is N bytes in
/// memory, of which each 10,000 are at hand once they were waited for; of `/fading/N` they are so for one look.
#[derive(Default)]
pub struct SimSite {
    held: Vec<Option<(u64, bool)>>,
    memory: Vec<u8>,
    fields: Vec<u8>,
    /// When something was found last.
    now: u64,
    /// What finding has cost.
    cost: u32,
    /// Replies in one piece, by the number of what was found.
    ready: HashMap<u32, Vec<u8>>,
    /// What may change before it is read, whether it has, and how often that is still to happen.
    changing: HashMap<u32, bool>,
    changes_left: Option<u64>,
    waiting: Arc<Mutex<Vec<Ticket>>>,
    tries_left: Option<u64>,
    /// What is at hand of `loading`, and what is waited for.
    loading: HashMap<u32, HashSet<u64>>,
    wanted: Option<(u32, u64)>,
    fading: HashSet<u32>,
    /// Heads, and what was found for them.
    pub remembered: HashMap<Vec<u8>, ContentId>,
}

/// What the first hint of a connection is.
pub const FIRST_HINT: u16 = 1_000;

/// A head with any of these must not be remembered.
const SECRETS: [&[u8]; 2] = [b"Cookie:", b"Authorization:"];

impl SimSite {
    pub fn of(app: &App) -> Self {
        Self {
            waiting: Arc::clone(&app.waiting),
            ..Self::default()
        }
    }

    /// Whether all that was found was released.
    pub fn holds_nothing(&self) -> bool {
        self.held.iter().all(Option::is_none)
    }
}

impl Site for SimSite {
    type File = SimFile;

    const WAITS: bool = true;

    fn find(&mut self, path: &[u8], _: Accepts<'_>, now: u64) -> Result<Found<'_>, SiteError> {
        self.now = now;
        let path = std::str::from_utf8(path).map_err(|_| SiteError::NotFound)?;
        if path == "/busy" {
            return Err(SiteError::Busy);
        }
        let (kind, length) = path[1..].split_once('/').ok_or(SiteError::NotFound)?;
        let length: u64 = length.parse().map_err(|_| SiteError::NotFound)?;
        let known = [
            "file", "changing", "finding", "seeking", "loading", "fading", "memory", "pieces",
            "ready", "costly",
        ];
        if !known.contains(&kind) {
            return Err(SiteError::NotFound);
        }
        if matches!(kind, "costly" | "seeking") {
            self.cost = u32::MAX;
        }
        let number = length;
        let length = match kind {
            "changing" | "finding" => 50_000,
            "seeking" => 10,
            _ => length,
        };
        if matches!(kind, "finding" | "seeking") {
            let left = self.tries_left.get_or_insert(number);
            if *left > 0 {
                *left -= 1;
                return Err(SiteError::Pending);
            }
        }
        if self.memory.is_empty() {
            self.memory = (0..100_000u64).map(|at| (at % 251) as u8).collect();
        }
        let in_memory = !matches!(kind, "file" | "changing");
        self.held.push(Some((length, in_memory)));
        let id = ContentId(self.held.len() as u32 - 1);
        if kind == "changing" {
            self.changes_left.get_or_insert(number);
            self.changing.insert(id.0, false);
        }
        if matches!(kind, "loading" | "fading") {
            self.loading.insert(id.0, HashSet::new());
        }
        if kind == "fading" {
            self.fading.insert(id.0);
        }
        // What `pieces` has is told only when it is asked for.
        let content = self.memory.get(..length as usize);
        let content = content.filter(|_| matches!(kind, "memory" | "ready"));
        let mut representation = Representation {
            length,
            media_type: "application/octet-stream",
            tag: None,
            modified: Some(HttpDate(700_000_000)),
            modified_text: None,
            coding: Coding::Identity,
            varies: false,
            cache_control: None,
            ready: None,
            content,
        };
        if let ("ready", Some(content)) = (kind, content) {
            let mut room = [0; 512];
            let mut fields = Writer::new(&mut room);
            representation.write_fields(&mut fields);
            self.fields = fields.written().to_vec();
            representation.ready = Some(&self.fields);
            let opening = [0; size_of::<Opening>()];
            let reply = [&opening, &self.fields[..], b"\r\n", content].concat();
            self.ready.insert(id.0, reply);
        }
        Ok(Found::Content(id, representation))
    }

    fn content(&mut self, id: ContentId, range: std::ops::Range<u64>) -> Content<'_, SimFile> {
        if let Some(is_changed) = self.changing.get_mut(&id.0) {
            if !*is_changed && let Some(left @ 1..) = &mut self.changes_left {
                (*left, *is_changed) = (*left - 1, true);
            }
            if *is_changed {
                return Content::Gone;
            }
        }
        let block = range.start / 10_000;
        if let Some(loaded) = self.loading.get_mut(&id.0) {
            let is_there = match self.fading.contains(&id.0) {
                true => loaded.remove(&block),
                false => loaded.contains(&block),
            };
            if !is_there {
                self.wanted = Some((id.0, block));
                return Content::Pending;
            }
        }
        match self.held[id.0 as usize].expect("held") {
            // In pieces, as a site may.
            (length, true) => {
                assert!(range.start < range.end && range.end <= length);
                let piece = if self.ready.contains_key(&id.0) {
                    100_000
                } else {
                    10_000
                };
                let mut end = range.end.min(range.start + piece);
                if self.loading.contains_key(&id.0) {
                    end = end.min((block + 1) * 10_000);
                }
                Content::Bytes(&self.memory[range.start as usize..end as usize])
            }
            (length, false) => Content::File(SimFile(0, length)),
        }
    }

    fn wait_for(&mut self, ticket: Ticket) -> bool {
        if let Some((id, block)) = self.wanted.take() {
            self.loading.entry(id).or_default().insert(block);
        }
        self.waiting.lock().unwrap().push(ticket);
        true
    }

    fn release(&mut self, id: ContentId) {
        self.held[id.0 as usize].take().expect("released once");
    }

    fn cost(&mut self) -> u32 {
        std::mem::take(&mut self.cost)
    }

    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        let reply = self.ready.get_mut(&id.0)?;
        *reply.first_chunk_mut()? = *opening;
        Some(reply)
    }

    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        assert!(now >= self.now);
        assert_eq!(unix_time, super::unix_time(now));
        assert!(!head.is_empty());
        // Nothing that another connection, or a route, has left.
        assert!(*place == NO_HINT || *place >= FIRST_HINT, "hint {place}");
        let id = self.remembered.get(head).copied()?;
        // What was left there is to be there next time.
        *place = match *place {
            NO_HINT => FIRST_HINT,
            hint => hint + 1,
        };
        Some(id)
    }

    fn remember(&mut self, head: &[u8], id: ContentId) {
        for secret in SECRETS {
            assert!(!head.windows(secret.len()).any(|part| part == secret));
        }
        assert!(head.trim_ascii_start().starts_with(b"GET ") && head.ends_with(b"\r\n\r\n"));
        // Of a pipeline none comes alone again.
        let request = head.trim_ascii_start(); // empty lines may come before it
        let ends = request.windows(4).filter(|part| part == b"\r\n\r\n");
        assert_eq!(ends.count(), 1);
        self.remembered.insert(head.to_vec(), id);
    }
}

pub const ROUTES: &[Route<'static, App>] = &[
    Route::new(Method::Get, "/hello", &hello),
    Route::new(Method::Get, "/echo/:word", &echo_word),
    Route::new(Method::Post, "/echo", &EchoBody),
    Route::new(Method::Get, "/status/:code", &status),
    Route::new(Method::Get, "/either", &hello),
    Route::new(Method::Head, "/either", &no_content),
    Route::new(Method::Post, "/last/:how", &Last),
    Route::new(Method::Post, "/upload", &Upload),
    Route::new(Method::Post, "/paced/:name", &Paced),
    Route::new(Method::Get, "/stream/:bytes", &Stream),
    Route::new(Method::Get, "/later", &Later),
    Route::new(Method::Post, "/later", &Later),
    Route::new(Method::Get, "/broken", &Broken),
    Route::new(Method::Get, "/excess", &Excess),
    Route::new(Method::Get, "/large", &large),
    Route::new(Method::Get, "/goodbye", &goodbye),
];

pub const LIMITS: Limits = {
    let mut limits = Limits::DEFAULT;
    limits.connections = 32;
    limits.head_bytes = 1_024;
    limits.collect_bytes = 900;
    limits.drain_bytes = 4_000;
    limits
};

pub struct Setup {
    pub limits: Limits,
    pub leases: usize,
    pub lease_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: LIMITS,
            leases: 16,
            lease_bytes: LIMITS.request_bytes() + 1_024,
        }
    }
}

/// Builds a worker around `channel` and `transport` and hands a driver of it to `test`.
pub fn run<C, T>(
    setup: &Setup,
    net: &Net,
    channel: C,
    transport: T,
    test: impl FnOnce(&mut dyn FnMut(), &App, &Stats),
) where
    C: EventChannel,
    T: Transport<File = SimFile>,
{
    let app = App::default();
    let stats = Stats::new();
    let mut slots: heapless::Vec<Slot, { 64 + REFUSALS as usize }> = heapless::Vec::new();
    let mut bytes = vec![0xa5u8; setup.leases * setup.lease_bytes];
    let mut fields = vec![Field::default(); setup.leases * 32];
    let mut scratch = vec![0u8; setup.lease_bytes];
    let leases = Leases::new(&mut bytes, &mut fields, setup.lease_bytes, 32);
    let mut worker = Worker::new(Parts {
        index: 0,
        channel,
        transport,
        clock: net.clone(),
        service: Routed::new(ROUTES, &app, SimSite::of(&app)),
        slots: &mut slots,
        leases,
        scratch: &mut scratch,
        stats: &stats,
        limits: setup.limits,
    });
    worker.listen(LISTENER).expect("room for one listener");
    let mut going = true;
    let mut turn = || {
        if going {
            going = worker.turn(Deadline::Now).expect("the channel works");
        }
    };
    test(&mut turn, &app, &stats);
    // Whatever happened: at the end nothing is held any more.
    net.world().messages.push_back(Message::Stop);
    for _ in 0..100 {
        turn();
    }
    assert!(!going, "stopped");
    assert_eq!(stats.open(), 0, "every connection was closed");
    assert_eq!(
        stats.value(Counter::LeasesTaken),
        stats.value(Counter::LeasesReturned),
        "every lease came back"
    );
    assert!(
        worker.service().site().holds_nothing(),
        "all content was released"
    );
    drop(worker);
    let world = net.world();
    assert!(
        // What was never accepted is not the worker's.
        world
            .pipes
            .iter()
            .all(|(&socket, pipe)| pipe.closed || world.backlog.contains(&Socket(socket))),
        "every socket was closed"
    );
    let _ = Arena::<Slot>::as_slice(&slots);
}

/// As [`run`], without faults.
pub fn run_plain(setup: &Setup, test: impl FnOnce(&Net, &mut dyn FnMut(), &App, &Stats)) {
    let net = Net::new();
    run(setup, &net, net.clone(), net.clone(), |turn, app, stats| {
        test(&net, turn, app, stats)
    });
}
