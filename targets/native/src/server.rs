//! Configuring, starting and stopping a server of several workers.

use crate::access_log::{AccessLog, Destination, Reach};
use crate::descriptors::{CONNECTIONS_LEAST as LEAST_CONNECTIONS, Needs, files_wanted};
use crate::directory::{Directory, DirectoryError, DirectoryOptions};
use crate::file_pool::FilePool;
use crate::front::{Front, OnMessage, StatusPage};
use crate::worker::{self, Channel, Chores, MESSAGES, Plan, Wake};
use capuchin_core::acceptor::Acceptor;
use capuchin_core::event::{self, Full, Message, Notifier, Ticket};
use capuchin_core::http::head::LINE_LIMIT;
use capuchin_core::http::method::Method;
use capuchin_core::limits::Limits;
use capuchin_core::reply::Opening;
use capuchin_core::route::{Handle, Route, Routed};
use capuchin_core::server::LISTENERS;
use capuchin_core::site::{Accepts, Content, ContentId, Found, NoSite, Site, SiteError};
use capuchin_core::stats::{Snapshot, Stats};
use capuchin_core::table::{Entry, Table};
use capuchin_core::transport::{Socket, Transport};
use capuchin_posix::queue::{Nothing, queue};
use capuchin_posix::{
    File, HAS_SANDBOX, ListenError, ListenOptions, PosixClock, PosixTransport, UserError,
    enter_sandbox, listen, local_address, pause, raise_descriptor_limit, start_thread,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io};

/// How connections come to workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Each worker has its own listeners, and the system spreads connections over them.
    #[default]
    Each,
    /// One thread accepts and hands each connection to the worker with the fewest.
    One,
}

/// Why a server did not start. The text says what to do; `Debug` shows the same text, because that is what a `main`
/// that returns the error prints.
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Listen(ListenError),
    /// The directory cannot be served.
    Directory(DirectoryError),
    /// There are no addresses, or more than [`LISTENERS`].
    Addresses(usize),
    /// The process cannot become this user.
    User(String, UserError),
    /// The access log cannot be opened.
    AccessLog(Destination, io::Error),
    /// The sandbox cannot be entered; the system's error number, if it has one at all.
    Sandbox(Option<i32>),
    /// The process may have fewer files open than a server needs for a handful of connections.
    Descriptors {
        /// What the system grants.
        granted: u64,
        /// What the server needs.
        needed: u64,
    },
    /// Memory, a thread or an event channel could not be had.
    Resources(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Directory(error) => error.fmt(f),
            Self::Addresses(0) => {
                f.write_str("there is no address to listen on: name at least one")
            }
            Self::Addresses(count) => write!(
                f,
                "{count} addresses are too many: name at most {LISTENERS}"
            ),
            Self::User(user, error) => write!(f, "{user}: {error}"),
            Self::AccessLog(Destination::File(path), error) => write!(
                f,
                "the access log {} cannot be opened: {error}: name a file that can be written, by the user that the server becomes",
                path.display()
            ),
            Self::AccessLog(Destination::Stdout, error) => {
                write!(f, "the access log cannot be started: {error}")
            }
            Self::Sandbox(None) => {
                f.write_str("this system has no sandbox: leave it out, or use FreeBSD")
            }
            Self::Sandbox(Some(error)) => write!(
                f,
                "the sandbox cannot be entered (error {error}): leave it out, or use a kernel with Capsicum"
            ),
            Self::Resources(what) => f.write_str(what),
            Self::Descriptors { granted, needed } => write!(
                f,
                "the limit of open files is {granted}, and {needed} are needed: raise it (ulimit -n), or lower \
                 --workers or, below {LEAST_CONNECTIONS}, --max-connections"
            ),
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}

/// What answers where no route does.
enum Rest {
    Nothing,
    Table(&'static [Entry]),
    Directory(PathBuf, DirectoryOptions),
}

/// A server that is being configured. `A` is the application's state, shared by all handlers.
pub struct Server<A: 'static> {
    app: Arc<A>,
    routes: Vec<Route<'static, A>>,
    rest: Rest,
    addresses: Vec<SocketAddr>,
    workers: usize,
    accept: Accept,
    limits: Limits,
    fields: u8,
    log: Option<Arc<AccessLog>>,
    status_path: Option<Arc<str>>,
    status_address: Option<SocketAddr>,
    on_message: Option<OnMessage<A>>,
    on_failure: Option<OnFailure>,
    fast_open: bool,
    defer_accept: u16,
    user: Option<std::ffi::CString>,
    sandbox: bool,
    /// Called before anything that may wait for storage.
    #[cfg(test)]
    pub(crate) seam: Option<crate::directory::Seam>,
}

impl<A: Send + Sync + 'static> Server<A> {
    /// A server without routes: every path is 404. One worker, default limits.
    #[must_use]
    pub fn new(app: A) -> Self {
        Self::shared(Arc::new(app))
    }

    /// As [`Server::new`], for state that other threads share.
    #[must_use]
    pub fn shared(app: Arc<A>) -> Self {
        Self {
            app,
            routes: Vec::new(),
            rest: Rest::Nothing,
            addresses: Vec::new(),
            workers: 1,
            accept: Accept::Each,
            limits: Limits::DEFAULT,
            fields: worker::FIELDS,
            log: None,
            status_path: None,
            status_address: None,
            on_message: None,
            on_failure: None,
            fast_open: false,
            defer_accept: 0,
            user: None,
            sandbox: false,
            #[cfg(test)]
            seam: None,
        }
    }

    /// Requests of `method` for paths that fit `pattern` go to `handler`; see
    /// [`capuchin_core::route`] for patterns. A plain function is a handler: `&my_function`.
    ///
    /// # Panics
    /// When the pattern is none.
    #[must_use]
    pub fn route(
        mut self,
        method: Method,
        pattern: &'static str,
        handler: &'static dyn Handle<A>,
    ) -> Self {
        self.routes.push(Route::new(method, pattern, handler));
        self
    }

    /// Paths that no route fits are served from a directory.
    #[must_use]
    pub fn directory(mut self, path: impl AsRef<Path>, options: DirectoryOptions) -> Self {
        self.rest = Rest::Directory(path.as_ref().to_owned(), options);
        self
    }

    /// Paths that no route fits are served from a baked table.
    #[must_use]
    pub fn table(mut self, entries: &'static [Entry]) -> Self {
        self.rest = Rest::Table(entries);
        self
    }

    /// Listens on this address; call it for each. Port 0 lets the system choose. `[::]` is all addresses, IPv6 and
    /// IPv4; with `0.0.0.0` and the same port besides, it is those of IPv6.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// Threads that serve; at least one.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// How connections come to workers.
    #[must_use]
    pub fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// Limits and timeouts; [`Limits::connections`] is for the whole server.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Header fields that a request may have: 100 unless this is called, 8 at the least and 254 at the
    /// most. More is 431.
    #[must_use]
    pub fn max_fields(mut self, fields: u8) -> Self {
        self.fields = fields.clamp(LEAST_FIELDS, LINE_LIMIT as u8);
        self
    }

    /// Logs every request. With [`Server::user`] give it one that is opened
    /// [later](AccessLog::later), so that it is made by the user who will have to open it again.
    #[must_use]
    pub fn access_log(mut self, log: Arc<AccessLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Shows the counters at this path as text, and at `PATH/metrics` for Prometheus.
    #[must_use]
    pub fn status_path(mut self, path: &str) -> Self {
        self.status_path = Some(path.into());
        self
    }

    /// Shows the counters at `/` and `/metrics` of a listener of its own.
    #[must_use]
    pub fn status_address(mut self, address: SocketAddr) -> Self {
        self.status_address = Some(address);
        self
    }

    /// `f` is called on a worker's thread for each application message that it is sent
    /// ([`Running::send`]): the application, the worker's number, the message.
    #[must_use]
    pub fn on_message(mut self, f: impl Fn(&A, u32, u64) + Send + Sync + 'static) -> Self {
        self.on_message = Some(Arc::new(f));
        self
    }

    /// Takes data that comes with a connection's first packet, where the system can.
    #[must_use]
    pub fn fast_open(mut self, on: bool) -> Self {
        self.fast_open = on;
        self
    }

    /// Lets the system keep connections back until their first data, or so many seconds, where it
    /// can; 0 does not.
    #[must_use]
    pub fn defer_accept(mut self, seconds: u16) -> Self {
        self.defer_accept = seconds;
        self
    }

    /// Becomes this user once the addresses are bound and before anything is served; see
    /// [`become_user`](capuchin_posix::become_user) for what names one.
    #[must_use]
    pub fn user(mut self, user: std::ffi::CString) -> Self {
        self.user = Some(user);
        self
    }

    /// Enters the system's sandbox once everything is open and before anything is served: the whole
    /// process, handlers included, can open nothing by a path any more and connect to nobody; see
    /// [`enter_sandbox`](capuchin_posix::enter_sandbox). Only FreeBSD has one. The log is reopened by
    /// its name in the directory that it lay in at the start, if it is opened
    /// [later](AccessLog::later); links that leave the directory ([`Links::All`](crate::Links::All))
    /// are not followed. Handlers wait by [`pause`](capuchin_posix::pause): `std::thread::sleep` panics
    /// there.
    #[must_use]
    pub fn sandbox(mut self, on: bool) -> Self {
        self.sandbox = on;
        self
    }

    /// `f` is called once something of the server ended that should not have: what it was. The rest
    /// goes on, but connections may find nobody to serve them, so the program should end or
    /// start another server. Called on the thread that failed; see also [`Running::failure`].
    #[must_use]
    pub fn on_failure(mut self, f: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(f));
        self
    }

    /// Tries all that [`Server::start`] does before anything is served: binds the addresses, opens
    /// the directory, becomes the user, looks whether the access log could be opened, enters the
    /// sandbox. Everything is closed again, but the process stays that user, and there.
    ///
    /// # Errors
    /// [`StartError`], as from [`Server::start`].
    pub fn check(mut self) -> Result<(), StartError> {
        self.prepare()?;
        if let Some(log) = &self.log {
            log.check(self.reach())
                .map_err(|error| log_error(log, error))?;
        }
        self.enter_sandbox()
    }

    /// Binds the addresses and opens the directory, then starts the workers. From then on the process
    /// ignores SIGPIPE, as those that begin in Rust's `main` do anyway: sending a file to a peer that
    /// is gone raises it.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(mut self) -> Result<Running, StartError> {
        let Prepared {
            per_group,
            addresses,
            status_listener,
            status_address,
            sites,
        } = self.prepare()?;
        let mut per_group = per_group.into_iter();
        capuchin_posix::ignore_write_signals();
        if let Some(log) = &self.log {
            let reach = log
                .open(self.reach())
                .map_err(|error| log_error(log, error))?;
            let is_file = *log.destination() != Destination::Stdout;
            if self.sandbox && is_file && reach == Reach::Path {
                log::warn!(
                    "the access log was opened before the sandbox was known of and cannot be reopened in there: start it with AccessLog::later"
                );
            }
            if self.user.is_some()
                && let Some((path, error)) = log.obstacle()
            {
                log::warn!(
                    "the access log {} cannot be made again by this user when it is renamed ({error}): have whoever renames it make the new file, too",
                    path.display()
                );
            }
        }
        self.enter_sandbox()?;
        let limits = self.limits;
        let failures = Arc::new(Failures {
            first: Mutex::new(None),
            tell: self.on_failure,
        });
        let stats: Arc<[Stats]> = (0..self.workers).map(|_| Stats::new()).collect();
        let status_page = |path: &str| StatusPage {
            path: path.into(),
            stats: Arc::clone(&stats),
            log: self.log.clone(),
        };
        let mut running = Running {
            addresses,
            status_address,
            notifiers: Arc::new([]),
            acceptor: None,
            status: None,
            threads: Vec::new(),
            stats: Arc::clone(&stats),
            failures: Arc::clone(&failures),
        };
        let routes: Arc<[Route<'static, A>]> = self.routes.into();
        let mut notifiers = Vec::new();
        for (index, site) in sites.into_iter().enumerate() {
            let own = match self.accept {
                Accept::Each => per_group.next().unwrap_or_default(),
                Accept::One => Listeners::default(),
            };
            let (app, routes, stats) = (
                Arc::clone(&self.app),
                Arc::clone(&routes),
                Arc::clone(&stats),
            );
            let log = self.log.as_ref().map(|log| log.lines());
            let status = self.status_path.as_deref().map(status_page);
            let on_message = self.on_message.clone();
            let mut plan = Plan {
                index: index as u32,
                limits,
                fields: self.fields,
                others: self.workers - 1 - index,
            };
            plan.limits.connections = share(limits.connections, self.workers, index);
            let body = move |ready: Ready| {
                let front = Front {
                    inner: Routed::new(&routes, &*app, site),
                    log,
                    status,
                    on_message: &mut |value| {
                        if let Some(on_message) = &on_message {
                            on_message(&app, index as u32, value);
                        }
                    },
                };
                worker::serve(plan, own, front, &stats[index], ready)
            };
            match spawn(&format!("worker {index}"), &failures, Box::new(body)) {
                Ok((notifier, thread)) => {
                    notifiers.push(notifier);
                    running.threads.push(thread);
                }
                Err(error) => {
                    running.notifiers = notifiers.into();
                    return Err(running.end_with(error));
                }
            }
        }
        running.notifiers = notifiers.into();
        if self.accept == Accept::One {
            let (own, notifiers, stats) = (
                per_group.next().unwrap_or_default(),
                Arc::clone(&running.notifiers),
                Arc::clone(&stats),
            );
            let body = move |ready: Ready| accept_for(own, &notifiers, &stats, ready);
            match spawn("acceptor", &failures, Box::new(body)) {
                Ok(acceptor) => running.acceptor = Some(acceptor),
                Err(error) => return Err(running.end_with(error)),
            }
        }
        if self.status_address.is_some() {
            let (page, app) = (status_page("/"), Arc::clone(&self.app));
            let body =
                move |ready: Ready| serve_status(&*app, status_listener, page, limits, ready);
            match spawn("status", &failures, Box::new(body)) {
                Ok((notifier, thread)) => {
                    running.status = Some(notifier);
                    running.threads.push(thread);
                }
                Err(error) => return Err(running.end_with(error)),
            }
        }
        Ok(running)
    }

    /// All that can fail without anybody having been served.
    fn prepare(&mut self) -> Result<Prepared, StartError> {
        if self.addresses.is_empty() || self.addresses.len() > LISTENERS {
            return Err(StartError::Addresses(self.addresses.len()));
        }
        if self.sandbox && !HAS_SANDBOX {
            return Err(StartError::Sandbox(None));
        }
        // A worker without a connection to its name would only refuse.
        self.workers = self.workers.min(self.limits.connections.max(1) as usize);
        let groups = if self.accept == Accept::Each {
            self.workers
        } else {
            1
        };
        let (per_group, addresses) = self.bind(groups)?;
        let mut status_listener = Listeners::default();
        let status_address = match self.status_address {
            Some(address) => {
                let options = ListenOptions {
                    both_families: self.takes_both_families(address),
                    ..ListenOptions::default()
                };
                local_address(status_listener.bind(address, &options)?)
            }
            None => None,
        };
        let listeners = per_group.iter().chain([&status_listener]);
        self.share_descriptors(listeners.map(|some| some.0.len()).sum())?;
        let mut sites = self.open_sites()?;
        if let Some(user) = &self.user {
            capuchin_posix::become_user(user)
                .map_err(|error| StartError::User(user.to_string_lossy().into_owned(), error))?;
            // The new user may not be able to read what root could.
            sites = self.open_sites()?;
        }
        Ok(Prepared {
            per_group,
            addresses,
            status_listener,
            status_address,
            sites,
        })
    }

    /// How the access log has to be found again.
    fn reach(&self) -> Reach {
        if self.sandbox {
            Reach::Directory
        } else {
            Reach::Path
        }
    }

    /// When everything is open, and no thread needs a path any more.
    fn enter_sandbox(&self) -> Result<(), StartError> {
        if !self.sandbox {
            return Ok(());
        }
        enter_sandbox().map_err(|error| StartError::Sandbox(Some(error)))
    }

    /// Whether a listener on `address` is for all addresses of IPv6 and has to take IPv4 as well, because no other
    /// listener does at that port.
    fn takes_both_families(&self, address: SocketAddr) -> bool {
        let all_of_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) && !self.addresses.contains(&all_of_v4)
    }

    /// Listeners on every address, for each of `groups`; and the addresses, chosen ports filled in.
    fn bind(&self, groups: usize) -> Result<(Vec<Listeners>, Vec<SocketAddr>), StartError> {
        let mut per_group: Vec<Listeners> = (0..groups).map(|_| Listeners::default()).collect();
        let mut addresses = Vec::new();
        for &wanted in &self.addresses {
            let both_families = self.takes_both_families(wanted);
            let options = ListenOptions {
                share: groups > 1,
                fast_open: self.fast_open,
                defer_seconds: self.defer_accept,
                both_families,
            };
            let alone = ListenOptions {
                both_families,
                ..ListenOptions::default()
            };
            if groups > 1 && wanted.port() != 0 {
                // Sharing would also let another server of ours join in: ask for the address alone
                // first, so that a port in use is told.
                let alone = listen(wanted, &alone).map_err(StartError::Listen)?;
                let _ = PosixTransport.close(alone);
            }
            let mut address = wanted;
            for group in &mut per_group {
                let socket = group.bind(address, &options)?;
                // The first one chooses the port, the others join it.
                address = local_address(socket).unwrap_or(address);
            }
            addresses.push(address);
        }
        Ok((per_group, addresses))
    }

    /// Raises the limit of descriptors, and lowers connections and open files to what it allows.
    fn share_descriptors(&mut self, listeners: usize) -> Result<(), StartError> {
        let connections = self.limits.connections;
        let needs = Needs {
            connections,
            workers: self.workers,
            listeners,
            files: match &self.rest {
                Rest::Directory(_, options) => files_wanted(options, connections, self.workers),
                Rest::Nothing | Rest::Table(_) => 0,
            },
        };
        let granted = raise_descriptor_limit(needs.wanted());
        let needed = needs.least();
        if granted < needed {
            return Err(StartError::Descriptors { granted, needed });
        }
        let shares = needs.share(granted);
        if shares.connections < connections {
            log::warn!(
                "the limit of open files allows for {} connections, not {connections}: raise it (ulimit -n)",
                shares.connections
            );
            self.limits.connections = shares.connections;
        }
        if let Rest::Directory(_, options) = &mut self.rest {
            options.open_files = options.open_files.min(shares.files);
        }
        Ok(())
    }

    fn open_sites(&self) -> Result<Vec<AnySite>, StartError> {
        let pool = match &self.rest {
            Rest::Directory(_, options) if options.file_threads > 0 => {
                Some(FilePool::new(options.file_threads, options.file_queue))
            }
            _ => None,
        };
        (0..self.workers)
            .map(|_| self.open_site(pool.clone()))
            .collect()
    }

    fn open_site(&self, pool: Option<FilePool>) -> Result<AnySite, StartError> {
        Ok(match &self.rest {
            Rest::Nothing => AnySite::Nothing(NoSite::default()),
            Rest::Table(entries) => AnySite::Table(Table::new(entries)),
            Rest::Directory(path, options) => {
                let open = if self.sandbox {
                    Directory::open_limited
                } else {
                    Directory::open
                };
                let mut site = open(path, options.clone()).map_err(StartError::Directory)?;
                #[cfg(test)]
                site.interpose(self.seam.clone());
                if let Some(pool) = pool {
                    site.wait_in(pool);
                }
                AnySite::Directory(Box::new(site))
            }
        })
    }
}

/// How many of `all` connections the worker `index` may have; the shares add up to `all`.
fn share(all: u32, workers: usize, index: usize) -> u32 {
    let (workers, index) = (workers as u32, index as u32);
    all / workers + u32::from(index < all % workers)
}

/// Listeners on the way to whoever accepts from them: closed unless they arrive.
#[derive(Default)]
pub(crate) struct Listeners(Vec<Socket>);

impl Listeners {
    fn bind(&mut self, address: SocketAddr, options: &ListenOptions) -> Result<Socket, StartError> {
        let socket = listen(address, options).map_err(StartError::Listen)?;
        self.0.push(socket);
        Ok(socket)
    }

    /// Gives each to `listen`, which owns it from then on even if it refuses.
    pub(crate) fn hand_to(
        mut self,
        mut listen: impl FnMut(Socket) -> Result<(), event::Error>,
    ) -> Result<(), event::Error> {
        while let Some(socket) = self.0.pop() {
            listen(socket)?;
        }
        Ok(())
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for &socket in &self.0 {
            // The start has failed for another reason, which is told.
            let _ = PosixTransport.close(socket);
        }
    }
}

/// What a start has before anything is served.
struct Prepared {
    per_group: Vec<Listeners>,
    addresses: Vec<SocketAddr>,
    status_listener: Listeners,
    status_address: Option<SocketAddr>,
    sites: Vec<AnySite>,
}

fn log_error(log: &AccessLog, error: io::Error) -> StartError {
    StartError::AccessLog(log.destination().clone(), error)
}

/// Called with what failed.
type OnFailure = Box<dyn Fn(&str) + Send + Sync>;

/// Where threads tell that they ended though nobody asked them to.
struct Failures {
    first: Mutex<Option<String>>,
    tell: Option<OnFailure>,
}

impl Failures {
    fn tell(&self, what: String) {
        log::error!("{what}: the server cannot go on as it should");
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| what.clone());
        drop(first);
        if let Some(tell) = &self.tell {
            tell(&what);
        }
    }
}

type Ready = Box<dyn FnOnce(Result<Wake, String>)>;

/// What a thread does. Boxed, so that one [`spawn`] is enough code for all.
type Body = Box<dyn FnOnce(Ready) -> Result<(), event::Error> + Send>;

/// Starts a thread and waits until it has its channel. When it ends otherwise than it should,
/// `failures` is told.
fn spawn(
    name: &str,
    failures: &Arc<Failures>,
    body: Body,
) -> Result<(Wake, JoinHandle<()>), StartError> {
    let (sender, mut receiver) = queue(1);
    let failed = |error: &dyn fmt::Display| {
        StartError::Resources(format!("the thread '{name}' cannot be started: {error}"))
    };
    let (own_name, failures) = (name.to_owned(), Arc::clone(failures));
    let thread = start_thread(
        name,
        Box::new(move || {
            let ready = Box::new(move |result| {
                // The receiver waits for exactly this.
                let _ = sender.send(result);
            });
            match catch_unwind(AssertUnwindSafe(|| body(ready))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failures.tell(format!("the {own_name} stopped ({error})")),
                Err(payload) => {
                    failures.tell(format!("the {own_name} panicked"));
                    // Dropping it could panic again.
                    std::mem::forget(payload);
                }
            }
        }),
    )
    .map_err(|error: io::Error| failed(&lacking(&error)))?;
    let error = match receiver.wait(None) {
        Ok(Ok(notifier)) => return Ok((notifier, thread)),
        Ok(Err(error)) => failed(&error),
        Err(Nothing::Yet | Nothing::Left) => failed(&"it ended at once"),
    };
    // What it owned is closed when it has ended; how it did so is told already.
    let _ = thread.join();
    Err(error)
}

/// The sentence about an error of the system that keeps a server from starting.
pub(crate) fn lacking(error: &dyn fmt::Display) -> String {
    format!("{error}: close other programs or raise the limits (ulimit -a)")
}

fn accept_for(
    listeners: Listeners,
    workers: &[Wake],
    stats: &[Stats],
    ready: Ready,
) -> Result<(), event::Error> {
    let channel = match Channel::new(MESSAGES) {
        Ok(channel) => channel,
        Err(error) => {
            ready(Err(lacking(&error)));
            return Ok(());
        }
    };
    let stats: Vec<&Stats> = stats.iter().collect();
    let mut handed = vec![0; workers.len()];
    let mut acceptor = Acceptor::new(
        channel,
        PosixTransport,
        PosixClock,
        workers,
        &stats,
        &mut handed,
    );
    if let Err(error) = listeners.hand_to(|listener| acceptor.listen(listener)) {
        ready(Err(lacking(&error)));
        return Ok(());
    }
    ready(Ok(acceptor.notifier()));
    acceptor.run()
}

/// Connections that the status listener takes at the same time.
const STATUS_CONNECTIONS: u32 = 16;

/// Header fields that [`Server::max_fields`] allows at least.
const LEAST_FIELDS: u8 = 8;

/// Bytes of a head that the status listener takes at least: monitoring programs send many fields.
const STATUS_HEAD: u16 = 2_048;

/// `app` is there to make this worker one of the same type as the others, with one engine for all.
fn serve_status<A>(
    app: &A,
    listener: Listeners,
    page: StatusPage,
    mut limits: Limits,
    ready: Ready,
) -> Result<(), event::Error> {
    limits.connections = STATUS_CONNECTIONS;
    limits.head_bytes = limits.head_bytes.max(STATUS_HEAD);
    let inner = Routed::new(&[], app, AnySite::Nothing(NoSite::default()));
    let front = Front {
        inner,
        log: None,
        status: Some(page),
        on_message: &mut |_| {},
    };
    let plan = Plan {
        index: u32::MAX,
        limits,
        fields: worker::FIELDS,
        others: 0,
    };
    worker::serve(plan, listener, front, &Stats::new(), ready)
}

/// The sites that a server can have, chosen when it starts.
enum AnySite {
    Nothing(NoSite<File>),
    Table(Table<File>),
    Directory(Box<Directory>),
}

impl Site for AnySite {
    type File = File;

    const WAITS: bool = true;

    #[inline(always)]
    fn find(
        &mut self,
        path: &[u8],
        accepts: Accepts<'_>,
        now: u64,
    ) -> Result<Found<'_>, SiteError> {
        match self {
            Self::Nothing(site) => site.find(path, accepts, now),
            Self::Table(site) => site.find(path, accepts, now),
            Self::Directory(site) => site.find(path, accepts, now),
        }
    }

    #[inline(always)]
    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, File> {
        match self {
            Self::Nothing(site) => site.content(id, range),
            Self::Table(site) => site.content(id, range),
            Self::Directory(site) => site.content(id, range),
        }
    }

    fn wait_for(&mut self, ticket: Ticket) -> bool {
        match self {
            Self::Directory(site) => site.wait_for(ticket),
            Self::Nothing(_) | Self::Table(_) => false,
        }
    }

    #[inline(always)]
    fn release(&mut self, id: ContentId) {
        match self {
            Self::Nothing(site) => site.release(id),
            Self::Table(site) => site.release(id),
            Self::Directory(site) => site.release(id),
        }
    }

    #[inline(always)]
    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        match self {
            Self::Directory(site) => site.prepared(id, opening),
            Self::Nothing(_) | Self::Table(_) => None,
        }
    }

    fn cost(&mut self) -> u32 {
        match self {
            Self::Directory(site) => site.cost(),
            Self::Nothing(_) | Self::Table(_) => 0,
        }
    }

    #[inline(always)]
    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        match self {
            Self::Directory(site) => site.recall(head, place, now, unix_time),
            Self::Nothing(_) | Self::Table(_) => None,
        }
    }

    fn remember(&mut self, head: &[u8], id: ContentId) {
        if let Self::Directory(site) = self {
            site.remember(head, id);
        }
    }
}

impl<A: ?Sized> Chores for Routed<'_, A, AnySite> {
    fn chores(&mut self, now: u64) -> Option<u32> {
        match self.site() {
            AnySite::Directory(site) => site.tidy(now),
            AnySite::Nothing(_) | AnySite::Table(_) => None,
        }
    }

    fn begin(&mut self, wake: Wake) {
        if let AnySite::Directory(site) = self.site() {
            site.begin(wake);
        }
    }

    fn reply_bytes(&self) -> usize {
        0
    }
}

/// A server that runs. Dropping it does not stop it.
pub struct Running {
    addresses: Vec<SocketAddr>,
    status_address: Option<SocketAddr>,
    notifiers: Arc<[Wake]>,
    acceptor: Option<(Wake, JoinHandle<()>)>,
    /// Wakes the thread of the status listener.
    status: Option<Wake>,
    /// All but the acceptor's.
    threads: Vec<JoinHandle<()>>,
    stats: Arc<[Stats]>,
    failures: Arc<Failures>,
}

/// How long to wait before a message is sent again to a worker whose queue is full.
const RETRY: std::time::Duration = std::time::Duration::from_millis(1);

/// How often to try and wait before a thread is taken to be stuck.
const TRIES: u32 = 1_000;

impl Running {
    /// For a start that failed half-way; without the missing thread nothing runs.
    fn end_with(self, error: StartError) -> StartError {
        self.stop();
        self.join();
        error
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the counters are shown, if they have a listener of their own.
    #[must_use]
    pub fn status_address(&self) -> Option<SocketAddr> {
        self.status_address
    }

    /// What ended though nobody asked it to, if anything did; see [`Server::on_failure`].
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let first = self.failures.first.lock();
        first.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Completes deferred replies, from any thread.
    #[must_use]
    pub fn completer(&self) -> Completer {
        Completer {
            notifiers: Arc::clone(&self.notifiers),
        }
    }

    /// Sends an application message to a worker.
    ///
    /// # Errors
    /// [`Full`] when its queue is, or there is no such worker.
    pub fn send(&self, worker: usize, value: u64) -> Result<(), Full> {
        self.completer().send(worker, value)
    }

    /// The workers' counters, added up.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.watcher().snapshot()
    }

    /// Reads the counters from any thread.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher {
            stats: Arc::clone(&self.stats),
        }
    }

    /// Stops gently: no new connections, requests in flight finish within
    /// [`Limits::drain_ms`]. Then [`Running::join`] returns.
    pub fn drain(&self) {
        self.tell(Message::Drain);
    }

    /// Stops now.
    pub fn stop(&self) {
        self.tell(Message::Stop);
    }

    fn tell(&self, message: Message) {
        if let Some((acceptor, thread)) = &self.acceptor {
            send_to(acceptor, message);
            // Workers are told when it has handed over its last connection: none comes after the end.
            for _ in 0..TRIES {
                if thread.is_finished() {
                    break;
                }
                pause(RETRY);
            }
        }
        for notifier in self.status.iter().chain(&*self.notifiers) {
            send_to(notifier, message);
        }
    }

    /// Waits until every thread has ended.
    pub fn join(self) {
        let acceptor = self.acceptor.map(|(_, thread)| thread);
        for thread in acceptor.into_iter().chain(self.threads) {
            if thread.join().is_err() {
                log::error!("a thread of the server panicked");
            }
        }
    }
}

/// Of a thread that is gone every queue is full, so this ends.
fn send_to(notifier: &Wake, message: Message) {
    for _ in 0..TRIES {
        if notifier.send(message).is_ok() {
            return;
        }
        pause(RETRY);
    }
}

/// Reads the counters of a server; may be cloned to any thread.
#[derive(Clone)]
pub struct Watcher {
    stats: Arc<[Stats]>,
}

impl Watcher {
    /// The workers' counters, added up.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        self.stats.iter().for_each(|stats| sum.add(stats));
        sum
    }
}

/// Completes deferred replies and sends application messages; may be cloned to any thread.
#[derive(Clone)]
pub struct Completer {
    notifiers: Arc<[Wake]>,
}

impl Completer {
    /// The reply of `ticket` can be written: its handler's [`Handle::resume`] is called with
    /// `value` on the worker's thread. If the request is gone, nothing happens.
    ///
    /// # Errors
    /// [`Full`] when the worker's queue is; try again later.
    pub fn complete(&self, ticket: Ticket, value: u64) -> Result<(), Full> {
        let worker = self.notifiers.get(ticket.worker as usize).ok_or(Full)?;
        worker.send(Message::Complete { ticket, value })
    }

    /// Sends an application message to a worker.
    ///
    /// # Errors
    /// [`Full`] when its queue is, or there is no such worker.
    pub fn send(&self, worker: usize, value: u64) -> Result<(), Full> {
        self.notifiers
            .get(worker)
            .ok_or(Full)?
            .send(Message::Application(value))
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.notifiers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::event::EventChannel;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Two listeners, of which only one can be watched, and the other's address. The one that cannot
    /// is the first or the last.
    fn half_good(good_first: bool) -> (Listeners, SocketAddr) {
        let mut listeners = Listeners::default();
        let address = "127.0.0.1:0".parse().unwrap();
        let good = listeners.bind(address, &ListenOptions::default()).unwrap();
        // Nothing has this number, so that no way to wait takes it.
        listeners.0.push(Socket(i32::MAX));
        if !good_first {
            listeners.0.reverse();
        }
        (listeners, local_address(good).unwrap())
    }

    #[test]
    fn no_address_stays_taken_when_one_listener_cannot_be_watched() {
        for good_first in [true, false] {
            for acceptor in [true, false] {
                let (listeners, address) = half_good(good_first);
                let failed = Arc::new(AtomicBool::new(false));
                let told = Arc::clone(&failed);
                let ready: Ready = Box::new(move |result| told.store(result.is_err(), Relaxed));
                let stats = [Stats::new()];
                let ended = if acceptor {
                    let worker = Channel::new(1).unwrap();
                    accept_for(listeners, &[worker.notifier()], &stats, ready)
                } else {
                    let service = Routed::new(&[], &(), AnySite::Nothing(NoSite::default()));
                    let plan = Plan {
                        index: 0,
                        limits: Limits::DEFAULT,
                        fields: worker::FIELDS,
                        others: 0,
                    };
                    worker::serve(plan, listeners, service, &stats[0], ready)
                };
                assert!(failed.load(Relaxed));
                assert_eq!(ended, Ok(()), "it is told once");
                let again = listen(address, &ListenOptions::default()).unwrap();
                PosixTransport.close(again).unwrap();
            }
        }
    }
}
