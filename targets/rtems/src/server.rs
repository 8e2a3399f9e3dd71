//! Starting, stopping and telling a server.

use crate::config::{CConfig, CPage, CRoute, Code, WORKERS, method_of, text};
use crate::console::{self, say};
use crate::exchange::CTicket;
use crate::files::Held;
use crate::handler::Bound;
use crate::memory::Carver;
use crate::service::{App, Note};
use crate::way::{self, Listening};
use crate::worker::{
    AcceptorControl, AcceptorMemory, Common, Handed, Phase, WorkerControl, WorkerMemory,
    acceptor_task, worker_task,
};
use capuchin_core::event::{Message, Notifier};
use capuchin_core::http::fields::Field;
use capuchin_core::http::media_type;
use capuchin_core::route::{Route, shadowed};
use capuchin_core::server::REFUSALS;
use capuchin_core::stats::Stats;
use capuchin_core::table::Entry;
use capuchin_core::transport::Socket;
use capuchin_posix::{Links, OpenError, Root};
use capuchin_rtems::cell::Cell;
use capuchin_rtems::task::{self, Task};
use capuchin_rtems::{Control, Letter, Room, StartError, StatusCode};
use core::ffi::CStr;
use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// Messages of an acceptor's queue.
const ACCEPTOR_MESSAGES: usize = 1;

/// `capuchin_server`.
pub struct Server {
    common: &'static Common,
    pub workers: &'static [WorkerControl],
    pub acceptor: Option<&'static AcceptorControl>,
    port: u16,
    /// Where the application's memory begins, and its bytes.
    memory: (usize, usize),
    /// The next of [`SERVERS`].
    pub next: AtomicPtr<Server>,
}

/// Servers that start, run or stop, for those who want to look: the first, which names the next.
/// [`Servers`] changes it.
pub static SERVERS: AtomicPtr<Server> = AtomicPtr::new(core::ptr::null_mut());

/// Tells the console.
pub fn refuse(code: Code, why: fmt::Arguments<'_>) -> Code {
    say(why);
    code
}

/// `capuchin_start`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_start(config: *const CConfig, server: *mut *mut Server) -> Code {
    console::start();
    if config.is_null() || server.is_null() {
        return refuse(
            Code::InvalidAddress,
            format_args!("capuchin_start() needs a configuration and a place for the server"),
        );
    }
    // SAFETY: every configuration begins with its size.
    let size = unsafe { (*config).config_size };
    if size != size_of::<CConfig>() {
        return refuse(
            Code::InvalidSize,
            format_args!(
                "the configuration has {size} bytes, not {}: begin with CAPUCHIN_CONFIG_DEFAULT, and use the header that came with the library",
                size_of::<CConfig>()
            ),
        );
    }
    // SAFETY: it is of this kind, and the caller's word is that what it points to is right.
    match start(unsafe { &*config }, server.cast()) {
        Ok(()) => Code::Successful,
        Err(code) => code,
    }
}

/// Where the application wants its server to be named. It may hold nothing before, and handlers read it.
type Place = *mut MaybeUninit<*mut Server>;

fn start(config: &CConfig, place: Place) -> Result<(), Code> {
    config
        .check()
        .map_err(|(code, why)| refuse(code, format_args!("{why}")))?;
    way::check(config)?;
    let directory = directory_of(config)?;
    let servers = Servers::lock();
    // Up to here, and until all of this holds, nothing was written to the memory: it may be that of
    // a server that runs.
    nobody_has_memory(config)?;
    enough_memory(config)?;
    enough_descriptors(config)?;
    let listening = way::listen(config, servers.are_some())?;
    let server = make(config, directory, listening).inspect_err(|_| close(listening.socket))?;
    servers.enlist(server);
    drop(servers);
    // Before the first request: its handler may need it.
    let named = MaybeUninit::new(core::ptr::from_ref(server).cast_mut());
    // SAFETY: the caller's word is that there is a place for a pointer.
    let before = unsafe { place.replace(named) };
    server.run(config).inspect_err(|_| {
        server.stop(true);
        Servers::lock().delist(server);
        // SAFETY: as above.
        unsafe { place.write(before) };
    })
}

/// Cuts the memory and fills it.
#[inline(never)]
fn make(
    config: &CConfig,
    directory: Option<(&'static CStr, Links)>,
    listening: Listening,
) -> Result<&'static Server, Code> {
    // SAFETY: the caller's word is that the memory has that size and is nobody else's.
    let mut carver = unsafe { Carver::new(config.memory.cast(), config.memory_size) };
    let carved = carve(config, &mut carver).ok_or(Code::InvalidSize)?;
    let routes = bind(config, carved.bound, carved.routes)?;
    let pages = bake(config, carved.pages)?;
    let common = carved.common.write(Common {
        app: App {
            application: config.application,
            on_message: config.on_message,
            start: number_of_start(),
            workers: AtomicPtr::new(core::ptr::null_mut()),
            advised: AtomicU32::new(0),
        },
        routes,
        pages,
        directory,
        limits: config.limits(),
        buffer_size: usize::from(config.buffer_size),
        rows: usize::from(config.fields) + 1,
        messages: usize::from(config.messages),
    });
    let alone = carved.acceptor.is_none();
    let workers = carved.workers;
    for ((index, place), mut memory) in (0..).zip(&mut *workers).zip(carved.memories) {
        place.write(WorkerControl {
            common,
            index,
            phase: Phase::new(),
            task: AtomicU32::new(0),
            stats: Stats::new(),
            notes: core::mem::take(&mut memory.notes),
            listener: alone.then_some(listening.socket),
            memory: Handed::new(memory.own),
            notifier: Handed::empty(),
            failure: Handed::empty(),
        });
    }
    // SAFETY: there is a memory for each worker, so all were just written.
    let workers: &'static [WorkerControl] =
        unsafe { &*(&raw const *workers as *const [WorkerControl]) };
    common
        .app
        .workers
        .store(workers.as_ptr().cast_mut(), Ordering::SeqCst);
    let acceptor = carved.acceptor.map(|(place, own)| {
        &*place.write(AcceptorControl {
            phase: Phase::new(),
            listener: listening.socket,
            workers,
            own: Handed::new(own),
            notifier: Handed::empty(),
            failure: Handed::empty(),
        })
    });
    Ok(carved.server.write(Server {
        common,
        workers,
        acceptor,
        port: listening.port,
        memory: (config.memory as usize, config.memory_size),
        next: AtomicPtr::new(core::ptr::null_mut()),
    }))
}

/// Another number for each start, and never 0.
fn number_of_start() -> u16 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    (LAST.fetch_add(1, Ordering::Relaxed) % u32::from(u16::MAX)) as u16 + 1
}

/// A second server in the memory of one that runs would be the end of both.
#[inline(never)]
fn nobody_has_memory(config: &CConfig) -> Result<(), Code> {
    let (begin, size) = (config.memory as usize, config.memory_size);
    let mut at = SERVERS.load(Ordering::SeqCst);
    // SAFETY: what is on the list is where it was put, and the list is held.
    while let Some(server) = unsafe { at.as_ref() } {
        let (other, other_size) = server.memory;
        if begin.saturating_sub(other) < other_size && other.saturating_sub(begin) < size {
            return Err(refuse(
                Code::ResourceInUse,
                format_args!(
                    "memory is that of the server on port {}: stop it, or give this one its own",
                    server.port
                ),
            ));
        }
        at = server.next.load(Ordering::SeqCst);
    }
    Ok(())
}

/// Bytes of memory that a server of this configuration needs. Tried with no memory at all, which counts what
/// is needed and writes nothing.
#[inline(never)]
fn needed_memory(config: &CConfig) -> usize {
    // SAFETY: there are no bytes that would have to be valid.
    let mut carver = unsafe { Carver::new(config.memory.cast(), 0) };
    let _ = carve(config, &mut carver);
    carver.used()
}

#[inline(never)]
fn enough_memory(config: &CConfig) -> Result<(), Code> {
    let needed = needed_memory(config);
    if needed <= config.memory_size {
        return Ok(());
    }
    Err(refuse(
        Code::InvalidSize,
        format_args!(
            "memory has {} bytes, but {needed} are needed: see capuchin_memory_size()",
            config.memory_size,
        ),
    ))
}

/// `capuchin_memory_size`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_memory_size(config: *const CConfig) -> usize {
    // SAFETY: every configuration begins with its size, and this is one, or NULL.
    match unsafe { config.as_ref() } {
        Some(config) if config.config_size == size_of::<CConfig>() => needed_memory(config),
        _ => 0,
    }
}

/// The list of servers, held by one task: those who start or stop one take turns.
struct Servers;

static HELD: AtomicBool = AtomicBool::new(false);

impl Servers {
    fn lock() -> Self {
        while HELD.swap(true, Ordering::SeqCst) {
            task::wake_after(1);
        }
        Self
    }

    /// Whether there is a server.
    fn are_some(&self) -> bool {
        !SERVERS.load(Ordering::SeqCst).is_null()
    }

    fn enlist(&self, server: &'static Server) {
        server
            .next
            .store(SERVERS.load(Ordering::SeqCst), Ordering::SeqCst);
        SERVERS.store(core::ptr::from_ref(server).cast_mut(), Ordering::SeqCst);
    }

    /// Takes the server off the list, if it is there.
    fn delist(&self, server: &Server) {
        let this = core::ptr::from_ref(server).cast_mut();
        let mut link = &SERVERS;
        loop {
            let at = link.load(Ordering::SeqCst);
            // SAFETY: what is on the list is where it was put.
            let Some(server) = (unsafe { at.as_ref() }) else {
                return;
            };
            if at == this {
                link.store(server.next.load(Ordering::SeqCst), Ordering::SeqCst);
                return;
            }
            link = &server.next;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        HELD.store(false, Ordering::SeqCst);
    }
}

impl Server {
    /// Starts the tasks, and waits until each runs.
    #[inline(never)]
    fn run(&self, config: &CConfig) -> Result<(), Code> {
        let task = |name| Task {
            name,
            priority: Some(config.priority),
            stack_bytes: config.stack_size,
        };
        for (digit, worker) in (b'0'..).zip(self.workers) {
            let argument = core::ptr::from_ref(worker) as usize;
            // SAFETY: the control is what the task takes, and static.
            let started = unsafe { task([b'C', b'P', b'W', digit]).start(worker_task, argument) };
            worker.phase.created(started.is_ok());
            started.map_err(task_refused)?;
            if !worker.phase.has_started() {
                return Err(failed(worker.failure()));
            }
        }
        if let Some(acceptor) = self.acceptor {
            let argument = core::ptr::from_ref(acceptor) as usize;
            // SAFETY: as above.
            let started = unsafe { task(*b"CPA ").start(acceptor_task, argument) };
            acceptor.phase.created(started.is_ok());
            started.map_err(task_refused)?;
            if !acceptor.phase.has_started() {
                return Err(failed(acceptor.failure()));
            }
        }
        Ok(())
    }

    /// Ends the tasks that run, and waits for them; then the listener, where none of them had it.
    fn stop(&self, at_once: bool) {
        let message = if at_once {
            Message::Stop
        } else {
            Message::Drain
        };
        if let Some(acceptor) = self.acceptor {
            end(&acceptor.phase, acceptor.notifier(), Message::Stop);
        }
        for worker in self.workers {
            if worker.phase.is_running() {
                tell(worker.notifier(), message);
            }
        }
        for worker in self.workers {
            worker.phase.has_ended();
        }
        let (listener, taken) = match self.acceptor {
            Some(acceptor) => (Some(acceptor.listener), acceptor.phase.took_over()),
            None => {
                let worker = self.workers.first();
                (
                    worker.and_then(|worker| worker.listener),
                    worker.is_some_and(|worker| worker.phase.took_over()),
                )
            }
        };
        if let Some(listener) = listener.filter(|_| !taken) {
            close(listener);
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Tells a task, again until its queue has room.
fn tell(notifier: Option<impl Notifier>, message: Message) {
    while notifier
        .as_ref()
        .is_some_and(|notifier| notifier.send(message).is_err())
    {
        task::wake_after(1);
    }
}

/// Tells a task that runs to end, and waits until it has.
fn end(phase: &Phase, notifier: Option<impl Notifier>, message: Message) {
    if phase.is_running() {
        tell(notifier, message);
    }
    phase.has_ended();
}

fn close(listener: Socket) {
    if let Err(error) = way::close(listener) {
        say(format_args!("a listener did not close: {error}"));
    }
}

fn task_refused(StatusCode(status): StatusCode) -> Code {
    match StatusCode(status) {
        StatusCode::TOO_MANY => refuse(
            Code::TooMany,
            format_args!(
                "no task is left: raise CONFIGURE_MAXIMUM_TASKS by one for each worker, and by one more with several"
            ),
        ),
        StatusCode::UNSATISFIED => refuse(
            Code::TooMany,
            format_args!(
                "there is no memory for a worker's stack: make config.stack_size smaller or the workspace larger"
            ),
        ),
        StatusCode::INVALID_PRIORITY => refuse(
            Code::InvalidPriority,
            format_args!("priority is none that tasks may have: 1 to CONFIGURE_MAXIMUM_PRIORITY"),
        ),
        _ => refuse(
            Code::TooMany,
            format_args!("a worker's task cannot be had (status code {status})"),
        ),
    }
}

fn failed(failure: Option<StartError>) -> Code {
    let code = match failure {
        Some(StartError::Queue(_) | StartError::Feed(_)) => Code::TooMany,
        _ => Code::IoError,
    };
    match failure {
        Some(why) => refuse(code, format_args!("{why}")),
        None => refuse(code, format_args!("a worker could not start")),
    }
}

/// The directory that is to be served. Whether it is one shows here, not at the first request.
#[inline(never)]
fn directory_of(config: &CConfig) -> Result<Option<(&'static CStr, Links)>, Code> {
    if config.directory.is_null() {
        return Ok(None);
    }
    // SAFETY: the interface asks for strings that end with NUL and stay as they are.
    let path = unsafe { CStr::from_ptr(config.directory) };
    let links = if config.follow_links {
        Links::All
    } else {
        Links::Beneath
    };
    match Root::open(path, links) {
        Ok(_) => Ok(Some((path, links))),
        Err(OpenError::NotFound) => Err(refuse(
            Code::InvalidNumber,
            format_args!(
                "directory {} is no directory",
                path.to_str().unwrap_or_default()
            ),
        )),
        Err(error) => Err(refuse(
            Code::InvalidNumber,
            format_args!("directory cannot be served: {error}"),
        )),
    }
}

/// Checks the routing table and makes it the engine's.
#[inline(never)]
fn bind(
    config: &CConfig,
    bound: &'static mut [MaybeUninit<Bound>],
    rows: &'static mut [MaybeUninit<Route<'static, App>>],
) -> Result<&'static [Route<'static, App>], Code> {
    // SAFETY: the caller's word is that there are so many.
    let routes: &[CRoute] = unsafe { slice(config.routes, config.route_count) };
    for (((number, route), bound), row) in (0..).zip(routes).zip(bound).zip(&mut *rows) {
        let number: usize = number;
        let wrong = |why: &str| refuse(Code::InvalidNumber, format_args!("route {number}: {why}"));
        let method = method_of(route.method).ok_or_else(|| wrong("there is no such method"))?;
        let pattern = text(route.pattern)
            .flatten()
            .ok_or_else(|| wrong("it has no pattern"))?;
        // SAFETY: the caller's word is that it points to a handler, or to none.
        let handler =
            unsafe { route.handler.as_ref() }.ok_or_else(|| wrong("it has no handler"))?;
        let bound = bound.write(Bound::new(handler, route.argument));
        row.write(Route::try_new(method, pattern, bound).map_err(wrong)?);
    }
    // SAFETY: there is a row for each route, so all were just written.
    let rows = unsafe { &*(&raw const *rows as *const [Route<'static, App>]) };
    match shadowed(rows) {
        None => Ok(rows),
        Some((first, later)) => Err(refuse(
            Code::InvalidNumber,
            format_args!("route {later} is never reached: route {first} takes all of its requests"),
        )),
    }
}

/// Checks the pages and computes their entity tags.
#[inline(never)]
fn bake(
    config: &CConfig,
    entries: &'static mut [MaybeUninit<Entry>],
) -> Result<&'static [Entry], Code> {
    // SAFETY: the caller's word is that there are so many.
    let pages: &'static [CPage] = unsafe { slice(config.pages, config.page_count) };
    for ((number, page), entry) in (0..).zip(pages).zip(&mut *entries) {
        let number: usize = number;
        let wrong = |why: &str| refuse(Code::InvalidNumber, format_args!("page {number}: {why}"));
        let path = text(page.path)
            .flatten()
            .filter(|path| path.starts_with('/'))
            .ok_or_else(|| wrong("its path does not begin with '/'"))?;
        if path.contains(['?', '#']) {
            return Err(wrong("its path has a query or a fragment"));
        }
        // SAFETY: a page's path is NULL or a string that ends with NUL, and this one is not NULL.
        let is_path = |other: &&CPage| text(other.path) == Some(Some(path));
        if pages.iter().take(number).any(|other| is_path(&other)) {
            return Err(wrong("a page before it has the same path"));
        }
        if page.content.is_null() && page.length > 0 {
            return Err(wrong("it has no content"));
        }
        let index = if path.ends_with('/') {
            "index.html"
        } else {
            path
        };
        let by_name = media_type::for_path(index.as_bytes());
        let media_type = match text(page.media_type) {
            None => by_name,
            Some(given) => given.ok_or_else(|| wrong("its type is no text"))?,
        };
        // SAFETY: the caller's word is that contents stay as they are.
        let content = unsafe { slice(page.content.cast(), page.length) };
        let mut made = Entry::new(path, media_type, content);
        if !page.gzip.is_null() {
            // SAFETY: as above.
            made = made.with_gzip(unsafe { slice(page.gzip.cast(), page.gzip_length) });
        }
        if let Some(directives) = text(page.cache_control) {
            made = made.with_cache_control(
                directives.ok_or_else(|| wrong("its cache_control is no text"))?,
            );
        }
        if page.modified > 0 {
            made = made.with_modified(page.modified);
        }
        entry.write(made);
    }
    // SAFETY: there is an entry for each page, so all were just written.
    Ok(unsafe { &*(&raw const *entries as *const [Entry]) })
}

/// # Safety
/// `begin` points to `count` values that stay as they are, or `count` is 0.
unsafe fn slice<T>(begin: *const T, count: usize) -> &'static [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { core::slice::from_raw_parts(begin, count) }
}

/// Bytes that decoded paths and texts of error responses have at least.
const SCRATCH: usize = 512;

/// Descriptors besides those of connections: standard input and output, a listener, the relay's.
const OTHER_DESCRIPTORS: u32 = 6;

/// A server that runs out of descriptors refuses connections that it was told to serve.
#[inline(never)]
fn enough_descriptors(config: &CConfig) -> Result<(), Code> {
    if !way::HAVE_DESCRIPTORS {
        return Ok(());
    }
    let connections = (u32::from(config.connections) + REFUSALS) * u32::from(config.workers);
    let files = if config.directory.is_null() {
        0
    } else {
        u32::from(config.buffers) * u32::from(config.workers)
    };
    let wanted = connections + files + OTHER_DESCRIPTORS;
    let told = u32::from(config.descriptors);
    let configured = configured_descriptors().unwrap_or(told);
    if configured < wanted {
        return Err(refuse(
            Code::TooMany,
            format_args!(
                "{configured} file descriptors do not do for {} connections: raise CONFIGURE_MAXIMUM_FILE_DESCRIPTORS and descriptors to {wanted}",
                config.connections
            ),
        ));
    }
    // The system hands out the one that was closed longest ago: each has its turn.
    if told < configured {
        return Err(refuse(
            Code::TooMany,
            format_args!(
                "descriptors is {told}, but sockets will have numbers up to {configured}: make it CONFIGURE_MAXIMUM_FILE_DESCRIPTORS"
            ),
        ));
    }
    Ok(())
}

/// `CONFIGURE_MAXIMUM_FILE_DESCRIPTORS`.
#[cfg(target_os = "rtems")]
fn configured_descriptors() -> Option<u32> {
    unsafe extern "C" {
        safe static rtems_libio_number_iops: u32;
    }
    Some(rtems_libio_number_iops)
}

#[cfg(not(target_os = "rtems"))]
fn configured_descriptors() -> Option<u32> {
    None
}

/// What was cut out of the memory for a server.
struct Carved {
    server: &'static mut MaybeUninit<Server>,
    common: &'static mut MaybeUninit<Common>,
    bound: &'static mut [MaybeUninit<Bound>],
    routes: &'static mut [MaybeUninit<Route<'static, App>>],
    pages: &'static mut [MaybeUninit<Entry>],
    workers: &'static mut [MaybeUninit<WorkerControl>],
    memories: heapless::Vec<CarvedWorker, { WORKERS as usize }>,
    acceptor: Option<(&'static mut MaybeUninit<AcceptorControl>, AcceptorMemory)>,
}

struct CarvedWorker {
    notes: &'static [Note],
    own: WorkerMemory,
}

/// `CAPUCHIN_SIZE_...` of `capuchin.h`, which CAPUCHIN_MEMORY_SIZE is made of.
#[cfg(target_os = "rtems")]
mod sizes {
    use super::*;
    use crate::way::Notifier;
    use crate::worker::{AcceptorPlace, ImageWorkerPlace};
    use capuchin_core::Slot;

    pub const SERVER: usize = 208;
    pub const WORKER: usize = 2_496;
    pub const ACCEPTOR: usize = 1_536;
    pub const CONNECTION: usize = 136;
    pub const FILE: usize = 128;
    pub const MESSAGE: usize = 52;
    pub const DESCRIPTOR: usize = 52;
    pub const ROUTE: usize = 28;
    pub const PAGE: usize = 232;

    const _: () = {
        assert!(size_of::<Server>() + size_of::<Common>() <= SERVER - 16);
        // In these two, 64 bytes for what each worker has with the acceptor, and for alignment.
        let worker =
            size_of::<WorkerControl>() + size_of::<Control>() + size_of::<ImageWorkerPlace>();
        assert!(worker <= WORKER - 64 && size_of::<Notifier>() <= 32);
        let acceptor =
            size_of::<AcceptorControl>() + size_of::<Control>() + size_of::<AcceptorPlace>();
        assert!(acceptor + Room::area_bytes(0, ACCEPTOR_MESSAGES) <= ACCEPTOR - 64);
        assert!(size_of::<Slot>() + size_of::<Note>() <= CONNECTION);
        assert!(size_of::<Held>() <= FILE);
        assert!(size_of::<Letter>() + Room::area_bytes(0, 1) <= MESSAGE);
        assert!(size_of::<Cell>() + Room::area_bytes(1, 0) <= DESCRIPTOR);
        assert!(size_of::<Bound>() + size_of::<Route<'static, App>>() <= ROUTE);
        assert!(size_of::<Entry>() <= PAGE);
    };
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    value "CAPUCHIN_SIZE_SERVER" = sizes::SERVER;
    value "CAPUCHIN_SIZE_WORKER" = sizes::WORKER;
    value "CAPUCHIN_SIZE_ACCEPTOR" = sizes::ACCEPTOR;
    value "CAPUCHIN_SIZE_CONNECTION" = sizes::CONNECTION;
    value "CAPUCHIN_SIZE_FILE" = sizes::FILE;
    value "CAPUCHIN_SIZE_MESSAGE" = sizes::MESSAGE;
    value "CAPUCHIN_SIZE_DESCRIPTOR" = sizes::DESCRIPTOR;
    value "CAPUCHIN_SIZE_ROUTE" = sizes::ROUTE;
    value "CAPUCHIN_SIZE_PAGE" = sizes::PAGE;
}

/// Cuts everything, so that the carver knows what all of it needs, whether or not it was there.
#[inline(never)]
fn carve(config: &CConfig, carver: &mut Carver) -> Option<Carved> {
    let count = usize::from(config.workers);
    let server = carver.take(1);
    let common = carver.take(1);
    let bound = carver.take(config.route_count);
    let routes = carver.take(config.route_count);
    let pages = carver.take(config.page_count);
    let workers = carver.take(count);
    let mut memories = heapless::Vec::new();
    for _ in 0..count {
        if let Some(memory) = carve_worker(config, carver) {
            memories.push(memory).ok()?;
        }
    }
    let acceptor = (count > 1).then(|| carve_acceptor(config, carver));
    if memories.len() < count {
        return None;
    }
    Some(Carved {
        server: server?.first_mut()?,
        common: common?.first_mut()?,
        bound: bound?,
        routes: routes?,
        pages: pages?,
        workers: workers?,
        memories,
        acceptor: match acceptor {
            Some(acceptor) => Some(acceptor?),
            None => None,
        },
    })
}

#[inline(never)]
fn carve_worker(config: &CConfig, carver: &mut Carver) -> Option<CarvedWorker> {
    let size = usize::from(config.buffer_size);
    let buffers = usize::from(config.buffers);
    let rows = usize::from(config.fields) + 1;
    let connections = usize::from(config.connections) + REFUSALS as usize;
    let files = if config.directory.is_null() {
        0
    } else {
        buffers
    };
    let room = carve_room(config, carver, usize::from(config.messages));
    let slots = carver.take(connections);
    let notes = carver.fill(connections, Note::new);
    let bytes = carver.fill(size * buffers, || 0u8);
    let fields = carver.fill(rows * buffers, || Field::EMPTY);
    // What is decoded there is part of a head; the rest is short.
    let scratch = carver.fill((config.head_bytes() as usize).max(SCRATCH), || 0u8);
    let held = carver.fill(files, || Held::NONE);
    let place = carver.take(1);
    Some(CarvedWorker {
        notes: notes?,
        own: WorkerMemory {
            room: room?,
            slots: slots?,
            bytes: bytes?,
            fields: fields?,
            scratch: scratch?,
            held: held?,
            place: place?.first_mut()?,
        },
    })
}

#[inline(never)]
fn carve_acceptor(
    config: &CConfig,
    carver: &mut Carver,
) -> Option<(&'static mut MaybeUninit<AcceptorControl>, AcceptorMemory)> {
    let count = usize::from(config.workers);
    let control = carver.take(1);
    let room = carve_room(config, carver, ACCEPTOR_MESSAGES);
    let notifiers = carver.take(count);
    let stats = carver.take(count);
    let handed = carver.fill(count, || 0usize);
    let place = carver.take(1);
    let own = AcceptorMemory {
        room: room?,
        notifiers: notifiers?,
        stats: stats?,
        handed: handed?,
        place: place?.first_mut()?,
    };
    Some((control?.first_mut()?, own))
}

fn carve_room(config: &CConfig, carver: &mut Carver, messages: usize) -> Option<Room> {
    let descriptors = usize::from(config.descriptors);
    let bytes = Room::area_bytes(descriptors, messages);
    let control = carver.fill(1, Control::new);
    let cells = carver.fill(descriptors, Cell::new);
    let letters = carver.fill(messages, Letter::new);
    let area = carver.take::<usize>(bytes.div_ceil(size_of::<usize>()));
    let (control, cells, letters, area) = (control?, cells?, letters?, area?);
    // SAFETY: the area was cut out for this room, aligned for words, which are as wide as pointers.
    Some(unsafe {
        Room::from_parts(
            control.first()?,
            cells,
            letters,
            area.as_mut_ptr().cast(),
            size_of_val(area),
        )
    })
}

/// # Safety
/// `server` is NULL or what `capuchin_start()` gave and `capuchin_stop()` was not yet called with.
pub unsafe fn of<'s>(server: *const Server) -> Option<&'s Server> {
    // SAFETY: the caller's word.
    unsafe { server.as_ref() }
}

/// `capuchin_stop`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_stop(server: *mut Server, at_once: bool) -> Code {
    // SAFETY: the caller's word.
    let Some(server) = (unsafe { of(server) }) else {
        return Code::InvalidAddress;
    };
    if server.workers.iter().any(WorkerControl::is_this_task) {
        return refuse(
            Code::IncorrectState,
            format_args!(
                "capuchin_stop() by the server's own handler would wait for itself: leave it to a task"
            ),
        );
    }
    server.stop(at_once);
    // Only now: until then nobody else may have the memory.
    Servers::lock().delist(server);
    Code::Successful
}

/// `capuchin_port`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_port(server: *const Server) -> u16 {
    // SAFETY: the caller's word.
    unsafe { of(server) }.map_or(0, |server| server.port)
}

/// `capuchin_complete`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_complete(
    server: *mut Server,
    ticket: CTicket,
    value: u64,
) -> Code {
    // SAFETY: the caller's word.
    let Some(server) = (unsafe { of(server) }) else {
        return Code::InvalidAddress;
    };
    if ticket.start != server.common.app.start {
        return Code::InvalidNumber;
    }
    let message = Message::Complete {
        ticket: ticket.into(),
        value,
    };
    send(server, ticket.worker, message)
}

/// `capuchin_send`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_send(server: *mut Server, worker: u16, value: u64) -> Code {
    // SAFETY: the caller's word.
    match unsafe { of(server) } {
        Some(server) => send(server, worker, Message::Application(value)),
        None => Code::InvalidAddress,
    }
}

fn send(server: &Server, worker: u16, message: Message) -> Code {
    let Some(worker) = server.workers.get(usize::from(worker)) else {
        return Code::InvalidNumber;
    };
    // One that drains runs, too.
    let notifier = worker.notifier().filter(|_| worker.phase.is_running());
    match notifier.map(|notifier| notifier.send(message)) {
        None => Code::IncorrectState,
        Some(Ok(())) => Code::Successful,
        Some(Err(_)) => Code::TooMany,
    }
}
