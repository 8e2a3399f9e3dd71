//! Starting, stopping and telling a server.

use crate::config::{CConfig, CPage, CRoute, Code, WORKERS, method_of, text};
use crate::console::{self, say};
use crate::exchange::CTicket;
use crate::files::Held;
use crate::handler::Bound;
use crate::memory::Carver;
use crate::service::{App, Note};
use crate::worker::{
    AcceptorControl, AcceptorMemory, Common, Handed, Phase, WorkerControl, WorkerMemory,
    acceptor_task, worker_task,
};
use capuchin_core::event::{Message, Notifier};
use capuchin_core::http::fields::Field;
use capuchin_core::http::media_type;
use capuchin_core::route::Route;
use capuchin_core::server::REFUSALS;
use capuchin_core::stats::Stats;
use capuchin_core::table::Entry;
use capuchin_core::transport::{Socket, Transport};
use capuchin_posix::{Links, ListenOptions, PosixTransport, Root, listen, local_address};
use capuchin_rtems::cell::Cell;
use capuchin_rtems::task::{self, Task};
use capuchin_rtems::{Control, Letter, Room, StartError, StatusCode};
use core::ffi::CStr;
use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Messages of an acceptor's queue.
const ACCEPTOR_MESSAGES: usize = 1;

/// `capuchin_server`.
pub struct Server {
    pub workers: &'static [WorkerControl],
    pub acceptor: Option<&'static AcceptorControl>,
    port: u16,
    /// The next of [`SERVERS`].
    pub next: AtomicPtr<Server>,
}

/// Servers that run, for those who want to look: the first, which names the next.
pub static SERVERS: AtomicPtr<Server> = AtomicPtr::new(core::ptr::null_mut());

/// Tells the console.
fn refuse(code: Code, why: fmt::Arguments<'_>) -> Code {
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
    match start(unsafe { &*config }) {
        Ok(started) => {
            // SAFETY: there is a place for it.
            unsafe { *server = core::ptr::from_ref(started).cast_mut() };
            Code::Successful
        }
        Err(code) => code,
    }
}

fn start(config: &CConfig) -> Result<&'static Server, Code> {
    config
        .check()
        .map_err(|(code, why)| refuse(code, format_args!("{why}")))?;
    let address = config.socket_address().ok_or_else(|| {
        refuse(
            Code::InvalidNumber,
            format_args!("address is no IP address: give one such as 192.168.1.10, or NULL"),
        )
    })?;
    let directory = directory_of(config)?;
    // SAFETY: the caller's word is that the memory has that size and is nobody else's.
    let mut carver = unsafe { Carver::new(config.memory.cast(), config.memory_size) };
    let Some(carved) = carve(config, &mut carver) else {
        return Err(refuse(
            Code::InvalidSize,
            format_args!(
                "memory has {} bytes, but {} are needed: see CAPUCHIN_MEMORY_SIZE",
                config.memory_size,
                carver.used()
            ),
        ));
    };
    let routes = bind(config, carved.bound, carved.routes)?;
    let pages = bake(config, carved.pages)?;
    let common = carved.common.write(Common {
        app: App {
            application: config.application,
            on_message: config.on_message,
        },
        routes,
        pages,
        directory,
        limits: config.limits(),
        buffer_size: usize::from(config.buffer_size),
        rows: usize::from(config.fields) + 1,
        messages: usize::from(config.messages),
    });
    enough_descriptors(config)?;
    let listener = listen(address, &ListenOptions::default()).map_err(|error| {
        let code = match error.errno {
            libc::EADDRINUSE => Code::ResourceInUse,
            libc::EMFILE | libc::ENFILE => Code::TooMany,
            _ => Code::IoError,
        };
        refuse(code, format_args!("{error}"))
    })?;
    let port = local_address(listener).map_or(config.port, |address| address.port());
    let alone = carved.acceptor.is_none();
    let workers = carved.workers;
    for ((index, place), mut memory) in (0..).zip(&mut *workers).zip(carved.memories) {
        place.write(WorkerControl {
            common,
            index,
            phase: Phase::new(),
            stats: Stats::new(),
            notes: core::mem::take(&mut memory.notes),
            listener: alone.then_some(listener),
            memory: Handed::new(memory.own),
            notifier: Handed::empty(),
            failure: Handed::empty(),
        });
    }
    // SAFETY: there is a memory for each worker, so all were just written.
    let workers: &'static [WorkerControl] =
        unsafe { &*(&raw const *workers as *const [WorkerControl]) };
    let acceptor = carved.acceptor.map(|(place, own)| {
        &*place.write(AcceptorControl {
            phase: Phase::new(),
            listener,
            workers,
            own: Handed::new(own),
            notifier: Handed::empty(),
            failure: Handed::empty(),
        })
    });
    let server = carved.server.write(Server {
        workers,
        acceptor,
        port,
        next: AtomicPtr::new(core::ptr::null_mut()),
    });
    if let Err(code) = server.run(config) {
        server.stop(true);
        return Err(code);
    }
    server.enlist();
    Ok(server)
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

    #[inline(never)]
    fn enlist(&'static self) {
        let this = core::ptr::from_ref(self).cast_mut();
        let mut first = SERVERS.load(Ordering::SeqCst);
        loop {
            self.next.store(first, Ordering::SeqCst);
            match SERVERS.compare_exchange(first, this, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(other) => first = other,
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes the server off the list. Two that stop at the same time are the application's mistake.
    fn delist(&self) {
        let this = core::ptr::from_ref(self).cast_mut();
        let mut link = &SERVERS;
        loop {
            let at = link.load(Ordering::SeqCst);
            // SAFETY: what is on the list runs, and is therefore where it was put.
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
    if let Err(error) = PosixTransport.close(listener) {
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
                "there is no memory for a worker's stack: make it smaller or the workspace larger"
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
        let bound = bound.write(Bound::new(*handler, route.argument));
        row.write(Route::try_new(method, pattern, bound).map_err(wrong)?);
    }
    // SAFETY: there is a row for each route, so all were just written.
    Ok(unsafe { &*(&raw const *rows as *const [Route<'static, App>]) })
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

/// Descriptors besides those of connections: standard input and output, a listener, the relay's.
const OTHER_DESCRIPTORS: u32 = 6;

/// A server that runs out of descriptors refuses connections that it was told to serve.
#[inline(never)]
fn enough_descriptors(config: &CConfig) -> Result<(), Code> {
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

// The figures of CAPUCHIN_MEMORY_SIZE in `capuchin.h`.
#[cfg(target_os = "rtems")]
const _: () = {
    use crate::worker::{AcceptorPlace, ImageWorkerPlace};
    use capuchin_core::Slot;
    use capuchin_rtems::RtemsNotifier;
    assert!(size_of::<Server>() + size_of::<Common>() <= 240);
    // In these two, 64 bytes for what each worker has with the acceptor, and for alignment.
    let worker = size_of::<WorkerControl>() + size_of::<Control>() + size_of::<ImageWorkerPlace>();
    assert!(worker <= 3_136 - 64 && size_of::<RtemsNotifier>() <= 32);
    let acceptor = size_of::<AcceptorControl>() + size_of::<Control>() + size_of::<AcceptorPlace>();
    assert!(acceptor + Room::area_bytes(0, ACCEPTOR_MESSAGES) <= 1_536 - 64);
    assert!(size_of::<Slot>() + size_of::<Note>() <= 136);
    assert!(size_of::<Held>() <= 128);
    assert!(size_of::<Letter>() + Room::area_bytes(0, 1) <= 52);
    assert!(size_of::<Cell>() + Room::area_bytes(1, 0) <= 52);
    assert!(size_of::<Bound>() + size_of::<Route<'static, App>>() <= 56);
    assert!(size_of::<Entry>() <= 232);
};

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
    // What is decoded there is part of a head, and a head has half of a buffer.
    let scratch = carver.fill(size / 2, || 0u8);
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
    server.delist();
    server.stop(at_once);
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
    let message = Message::Complete {
        ticket: ticket.into(),
        value,
    };
    // SAFETY: the caller's word.
    send(unsafe { of(server) }, ticket.worker, message)
}

/// `capuchin_send`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_send(server: *mut Server, worker: u16, value: u64) -> Code {
    let message = Message::Application(value);
    // SAFETY: the caller's word.
    send(unsafe { of(server) }, u32::from(worker), message)
}

fn send(server: Option<&Server>, worker: u32, message: Message) -> Code {
    let notifier = server
        .and_then(|server| server.workers.get(worker as usize))
        .and_then(WorkerControl::notifier);
    match notifier.map(|notifier| notifier.send(message)) {
        None => Code::InvalidNumber,
        Some(Ok(())) => Code::Successful,
        Some(Err(_)) => Code::TooMany,
    }
}
