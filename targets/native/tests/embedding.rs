//! The library as a program meets it that serves HTTP itself.

mod common;

use capuchin::{
    Accept, BodyProgress, Context, Counter, Handle, Limits, Method, Next, Progress, Refusal, Reply,
    Request, Running, Server, Status, Ticket, Writer,
};
use common::{PATIENCE, get, read};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What handlers of these tests leave for them.
#[derive(Default)]
struct App {
    tickets: Mutex<Vec<Ticket>>,
    messages: Mutex<Vec<(u32, u64)>>,
    abandoned: AtomicU64,
}

fn hello(_: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
    reply.text("hello")
}

fn panics(_: &mut Context<'_, App>, _: &Request<'_>, _: Reply<'_>) -> Next {
    panic!("on purpose")
}

/// Panics at the point of a request's life that its path names.
struct PanicsLater;

impl Handle<App> for PanicsLater {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        match context.parameters.text("point") {
            Some("stream") => reply.status(Status::OK).stream(),
            Some("collected") => reply.collect_body(),
            _ => reply.receive_body(),
        }
    }

    fn body(
        &self,
        _: &mut Context<'_, App>,
        _: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        assert_ne!(piece, b"body!", "on purpose");
        Ok(BodyProgress::Taken)
    }

    fn received(&self, _: &mut Context<'_, App>, _: &Request<'_>, _: Reply<'_>) -> Next {
        panic!("on purpose")
    }

    fn collected(&self, _: &mut Context<'_, App>, _: &Request<'_>, _: &[u8], _: Reply<'_>) -> Next {
        panic!("on purpose")
    }

    fn stream(&self, _: &mut Context<'_, App>, _: &mut Writer<'_>) -> Progress {
        panic!("on purpose")
    }
}

/// Panics once more when what it panicked with is dropped, where nobody catches it.
fn breaks(_: &mut Context<'_, App>, _: &Request<'_>, _: Reply<'_>) -> Next {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    std::panic::panic_any(Bomb)
}

struct Deferred;

impl Handle<App> for Deferred {
    fn request(&self, context: &mut Context<'_, App>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        context.app.tickets.lock().unwrap().push(context.ticket);
        reply.defer()
    }

    fn resume(&self, _: &mut Context<'_, App>, value: u64, reply: Reply<'_>) -> Next {
        assert_ne!(value, 13, "on purpose");
        reply
            .status(Status::OK)
            .body_with(|out| write!(out, "completed with {value}"))
    }

    fn abandoned(&self, context: &mut Context<'_, App>) {
        context.app.abandoned.fetch_add(1, Ordering::SeqCst);
    }
}

fn serve(change: impl FnOnce(Server<App>) -> Server<App>) -> (Running, Arc<App>, String) {
    let app = Arc::new(App::default());
    let server = Server::shared(Arc::clone(&app))
        .route(Method::Get, "/", &hello)
        .route(Method::Get, "/panic", &panics)
        .route(Method::Post, "/panic/:point", &PanicsLater)
        .route(Method::Get, "/deferred", &Deferred)
        .listen("127.0.0.1:0".parse().expect("an address"));
    let running = change(server).start().expect("started");
    let address = running.addresses()[0].to_string();
    (running, app, address)
}

fn finish(running: Running) {
    running.stop();
    running.join();
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Sends, then reads until the server closes.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reply = String::new();
    stream
        .read_to_string(&mut reply)
        .expect("closed, not reset");
    reply
}

fn until(mut what: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lines of the log about the routes under `/flood`.
struct Lines;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if line.contains("/flood/") {
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// Says in a field what its client says in the query.
fn echoes(_: &mut Context<'_, App>, request: &Request<'_>, reply: Reply<'_>) -> Next {
    let mut memory = [0; 64];
    let value =
        capuchin_core::http::path::query_decode(request.query().unwrap_or_default(), &mut memory);
    reply
        .status(Status::OK)
        .field("X-Value", value.unwrap_or_default())
        .empty()
}

#[test]
fn handlers_that_fail_whenever_a_client_wants_log_one_line_a_minute_each() {
    let _ = log::set_logger(&Lines);
    log::set_max_level(log::LevelFilter::Info);
    let (running, _, address) = serve(|server| {
        server.route(Method::Get, "/flood/panic", &panics).route(
            Method::Get,
            "/flood/echo",
            &echoes,
        )
    });
    for _ in 0..200 {
        for path in ["/flood/panic", "/flood/echo?a%0Db"] {
            assert!(get(&address, path).0.starts_with("HTTP/1.1 500"), "{path}");
        }
    }
    finish(running);
    let lines = LINES.lock().unwrap();
    for route in ["/flood/panic", "/flood/echo"] {
        let about = lines.iter().filter(|line| line.contains(route)).count();
        // One a minute, and the requests take less than a few minutes on any machine.
        assert!((1..10).contains(&about), "{route}: {about} of {lines:?}");
    }
}

#[test]
fn panic_anywhere_in_a_handler_costs_its_own_connection_500() {
    let (running, _, address) = serve(|server| server);
    let mut other = connect(&address);
    let mut say_hello = || {
        other
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("sent");
        let mut reply = [0; 1_024];
        let count = read(&mut other, &mut reply).expect("a reply");
        assert!(reply[..count].ends_with(b"hello"));
    };
    say_hello();
    let get = "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let post = |point| {
        format!("POST /panic/{point} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nbody!")
    };
    let empty = "POST /panic/received HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned();
    for request in [get, post("body"), post("collected"), empty] {
        let reply = exchange(&address, &request);
        assert!(reply.starts_with("HTTP/1.1 500 "), "{request}: {reply}");
        assert!(reply.contains("Connection: close"), "{request}: {reply}");
        assert!(!reply.contains("on purpose"), "{request}: {reply}");
        say_hello();
    }
    // Its head is sent by then: the end of its chunks never comes.
    let reply = exchange(&address, &post("stream"));
    assert!(!reply.ends_with("0\r\n\r\n"), "{reply}");
    say_hello();
    finish(running);
}

#[test]
fn worker_that_breaks_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let (running, _, address) = serve(|server| {
        server
            .route(Method::Get, "/break", &breaks)
            .on_failure(move |what| seen.lock().unwrap().push(what.to_owned()))
    });
    assert_eq!(get(&address, "/").1, "hello");
    assert_eq!(running.failure(), None);
    let mut client = connect(&address);
    client
        .write_all(b"GET /break HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    until(|| running.failure().is_some());
    until(|| !told.lock().unwrap().is_empty());
    assert_eq!(*told.lock().unwrap(), ["the worker 0 panicked"]);
    running.join();
}

#[test]
fn deferred_replies_are_completed_once_from_other_threads() {
    let (running, app, address) = serve(|server| server.workers(2).accept(Accept::One));
    let completer = running.completer();
    assert_eq!(completer.workers(), 2);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || get(&address, "/deferred").1)
        })
        .collect();
    until(|| app.tickets.lock().unwrap().len() == clients.len());
    let tickets = app.tickets.lock().unwrap().clone();
    assert!(
        tickets.iter().any(|ticket| ticket.worker == 0)
            && tickets.iter().any(|ticket| ticket.worker == 1),
        "the acceptor hands connections to both: {tickets:?}"
    );
    for (value, &ticket) in tickets.iter().enumerate() {
        let completer = completer.clone();
        std::thread::spawn(move || {
            // The second finds the request gone.
            for _ in 0..2 {
                completer
                    .complete(ticket, 100 + value as u64)
                    .expect("room");
            }
        });
    }
    let mut replies: Vec<String> = clients
        .into_iter()
        .map(|client| client.join().expect("a reply"))
        .collect();
    replies.sort();
    let expected: Vec<String> = (100..108).map(|n| format!("completed with {n}")).collect();
    assert_eq!(replies, expected);
    until(|| running.stats().value(Counter::StaleTickets) == 8);
    finish(running);
}

#[test]
fn panic_of_a_completed_handler_costs_its_connection_500() {
    let (running, app, address) = serve(|server| server);
    let client = {
        let address = address.clone();
        std::thread::spawn(move || get(&address, "/deferred").0)
    };
    until(|| !app.tickets.lock().unwrap().is_empty());
    let ticket = app.tickets.lock().unwrap()[0];
    running.completer().complete(ticket, 13).expect("room");
    assert!(client.join().unwrap().starts_with("HTTP/1.1 500 "));
    assert_eq!(get(&address, "/").1, "hello");
    finish(running);
}

#[test]
fn handler_is_told_when_its_client_is_gone() {
    let (running, app, address) = serve(|server| server);
    let mut client = connect(&address);
    client
        .write_all(b"GET /deferred HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    until(|| !app.tickets.lock().unwrap().is_empty());
    // With data unread the system resets instead of closing.
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: `linger` is valid for reading, and of the length that is passed.
    let result = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&client),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    drop(client);
    until(|| app.abandoned.load(Ordering::SeqCst) == 1);
    finish(running);
}

#[test]
fn application_messages_reach_the_worker_that_they_are_for() {
    let (running, app, address) = serve(|server| {
        server.workers(2).on_message(|app, worker, value| {
            app.messages.lock().unwrap().push((worker, value));
            assert_ne!(value, 0, "on purpose");
        })
    });
    assert!(running.send(2, 1).is_err(), "there is no such worker");
    for (worker, value) in [(0, 0), (1, 7), (0, 8)] {
        running.send(worker, value).expect("room");
    }
    until(|| app.messages.lock().unwrap().len() == 3);
    let mut messages = app.messages.lock().unwrap().clone();
    messages.sort_unstable();
    assert_eq!(messages, [(0, 0), (0, 8), (1, 7)]);
    assert_eq!(
        get(&address, "/").1,
        "hello",
        "after a panic over a message"
    );
    finish(running);
}

#[test]
fn connections_are_shared_out_so_that_their_sum_is_the_limit() {
    // One acceptor fills all workers evenly, so the limit can be met exactly.
    let mut limits = Limits::DEFAULT;
    limits.connections = 5;
    let (running, _, address) =
        serve(|server| server.workers(2).accept(Accept::One).limits(limits));
    let mut clients: Vec<_> = (0..5)
        .map(|_| {
            let mut client = connect(&address);
            // In the middle of a request: busy, so that it is not evicted for another.
            client.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
            client
        })
        .collect();
    until(|| running.stats().open() == 5);
    let mut sixth = connect(&address);
    let mut reply = String::new();
    sixth.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
    for client in &mut clients {
        client.write_all(b"Host: a\r\n\r\n").expect("sent");
        let mut reply = [0; 1_024];
        let count = read(client, &mut reply).expect("a reply");
        assert!(reply[..count].starts_with(b"HTTP/1.1 200 "));
    }
    finish(running);
}

#[test]
fn fewer_connections_than_workers_are_allowed_means_fewer_workers() {
    let mut limits = Limits::DEFAULT;
    limits.connections = 2;
    let (running, _, address) = serve(|server| server.workers(4).limits(limits));
    assert_eq!(running.completer().workers(), 2);
    assert_eq!(get(&address, "/").1, "hello");
    finish(running);
}

#[test]
fn status_path_takes_no_other_path_away() {
    let (running, _, address) = serve(|server| {
        server
            .status_path("/about")
            .route(Method::Get, "/aboutmetrics", &hello)
    });
    assert_eq!(get(&address, "/aboutmetrics").1, "hello");
    assert!(get(&address, "/about").1.contains("requests "));
    assert!(get(&address, "/about/metrics").1.contains("# TYPE"));
    finish(running);
}

#[test]
fn draining_ends_by_itself_and_its_port_is_free_again() {
    let (running, _, address) = serve(|server| server.workers(2));
    let idle = connect(&address);
    assert_eq!(get(&address, "/").1, "hello");
    running.drain();
    running.join();
    drop(idle);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn start_that_fails_says_why_and_leaves_nothing_open() {
    let address = || "127.0.0.1:0".parse().expect("an address");
    let none = Server::new(()).start().err().expect("no address");
    assert!(none.to_string().contains("name at least one"));
    let mut many = Server::new(());
    for _ in 0..9 {
        many = many.listen(address());
    }
    let many = many.start().err().expect("too many addresses");
    assert!(many.to_string().contains("name at most 8"), "{many}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("bound");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let first = free.local_addr().expect("bound");
    drop(free);
    let error = Server::new(()).listen(first).listen(taken).start();
    let error = error.err().expect("the second is in use");
    assert!(error.to_string().contains("is in use"), "{error}");
    assert!(
        TcpStream::connect(first).is_err(),
        "the first is closed again"
    );
}
