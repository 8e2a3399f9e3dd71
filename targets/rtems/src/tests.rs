//! The C interface over the test double: what an application may do wrong with servers, and what comes
//! of it. Requests and replies are the black-box suites' matter.

use crate::config::{CConfig, CLimits, CRoute, Code, SMALLEST_STACK};
use crate::exchange::{CExchange, CTicket};
use crate::handler::CHandler;
use crate::reply::*;
use crate::server::*;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::vec::Vec;
use std::{format, thread, vec};

/// Bytes of memory for any server here.
const MEMORY: usize = 256 << 10;

/// Tests look at what all of the process has: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn memory() -> &'static mut [u64] {
    vec![u64::MAX / 3; MEMORY / size_of::<u64>()].leak()
}

/// The server of a test, for its handlers.
static SERVER: AtomicPtr<Server> = AtomicPtr::new(null_mut());
/// What a handler's call came to.
static RESULT: AtomicU32 = AtomicU32::new(u32::MAX);
static TICKETS: Mutex<Vec<CTicket>> = Mutex::new(Vec::new());

unsafe extern "C" fn hello(_: *mut CExchange, _: *const c_void, reply: *mut CReply<'_>) -> c_int {
    // SAFETY: within the handler's call, and the text ends with NUL.
    unsafe { capuchin_reply_text(reply, c"hello".as_ptr()) }
}

unsafe extern "C" fn defer(
    exchange: *mut CExchange,
    _: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: within the handler's call.
    unsafe {
        TICKETS.lock().unwrap().push((*exchange).ticket());
        capuchin_reply_defer(reply)
    }
}

unsafe extern "C" fn resume(_: *mut CExchange, value: u64, reply: *mut CReply<'_>) -> c_int {
    let text = format!("{value}");
    // SAFETY: within the handler's call.
    unsafe { capuchin_reply_body(reply, text.as_ptr().cast(), text.len()) }
}

unsafe extern "C" fn stop_oneself(
    exchange: *mut CExchange,
    request: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: the test's server runs while its handlers do.
    let code = unsafe { capuchin_stop(SERVER.load(Ordering::SeqCst), true) };
    RESULT.store(code as u32, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { hello(exchange, request, reply) }
}

unsafe extern "C" fn no_text(_: *mut CExchange, _: *const c_void, reply: *mut CReply<'_>) -> c_int {
    // SAFETY: within the handler's call.
    unsafe { capuchin_reply_text(reply, null()) }
}

unsafe extern "C" fn no_status(
    exchange: *mut CExchange,
    request: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: within the handler's call.
    unsafe {
        capuchin_reply_status(reply, 999);
        hello(exchange, request, reply)
    }
}

unsafe extern "C" fn no_stream(
    _: *mut CExchange,
    _: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: within the handler's call.
    unsafe { capuchin_reply_stream(reply) }
}

type Function = unsafe extern "C" fn(*mut CExchange, *const c_void, *mut CReply<'_>) -> c_int;

fn route(pattern: &'static CStr, request: Function) -> CRoute {
    let handler = std::boxed::Box::leak(std::boxed::Box::new(CHandler {
        request: Some(request),
        body: None,
        received: None,
        collected: None,
        resume: Some(resume),
        stream: None,
        abandoned: None,
    }));
    CRoute {
        method: 0,
        pattern: pattern.as_ptr(),
        handler,
        argument: null_mut(),
    }
}

fn config(memory: &mut [u64]) -> CConfig {
    let routes = vec![
        route(c"/", hello),
        route(c"/defer", defer),
        route(c"/stop", stop_oneself),
        route(c"/no-text", no_text),
        route(c"/no-status", no_status),
        route(c"/no-stream", no_stream),
    ]
    .leak();
    CConfig {
        config_size: size_of::<CConfig>(),
        address: c"127.0.0.1".as_ptr(),
        port: 0,
        workers: 1,
        connections: 4,
        buffers: 2,
        buffer_size: 2_048,
        fields: 16,
        messages: 4,
        descriptors: 512,
        priority: 40,
        stack_size: SMALLEST_STACK,
        routes: routes.as_ptr(),
        route_count: routes.len(),
        pages: null(),
        page_count: 0,
        directory: null(),
        follow_links: false,
        application: null_mut(),
        on_message: None,
        limits: CLimits {
            head_bytes: 0,
            body_bytes: 0,
            drain_bytes: 0,
            requests_per_connection: 0,
            first_byte_ms: 0,
            head_ms: 0,
            body_ms: 0,
            handler_ms: 0,
            write_ms: 0,
            idle_ms: 0,
            linger_ms: 0,
            drain_ms: 0,
        },
        memory: memory.as_mut_ptr().cast(),
        memory_size: size_of_val(memory),
    }
}

fn start(config: &CConfig) -> Result<*mut Server, Code> {
    let mut server = null_mut();
    // SAFETY: what the configuration points to was leaked, and there is a place for the server.
    match unsafe { capuchin_start(config, &raw mut server) } {
        Code::Successful => Ok(server),
        code => {
            assert!(server.is_null(), "it is as it was");
            Err(code)
        }
    }
}

fn stop(server: *mut Server) -> Code {
    // SAFETY: the server was started, and its memory is leaked.
    unsafe { capuchin_stop(server, true) }
}

fn complete(server: *mut Server, ticket: CTicket) -> Code {
    // SAFETY: as above.
    unsafe { capuchin_complete(server, ticket, 7) }
}

fn send(server: *mut Server, worker: u16) -> Code {
    // SAFETY: as above.
    unsafe { capuchin_send(server, worker, 7) }
}

fn ask(server: *mut Server, path: &str) -> TcpStream {
    // SAFETY: as above.
    let port = unsafe { capuchin_port(server) };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn answers(server: *mut Server) -> bool {
    read(ask(server, "/")).ends_with("hello")
}

/// A request that is deferred, with its ticket.
fn deferred(server: *mut Server) -> (TcpStream, CTicket) {
    TICKETS.lock().unwrap().clear();
    let stream = ask(server, "/defer");
    loop {
        if let Some(&ticket) = TICKETS.lock().unwrap().first() {
            return (stream, ticket);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn start_in_the_memory_of_a_running_server_is_refused_and_harms_nothing() {
    let _alone = alone();
    let memory = memory();
    let half = memory.len() / 2;
    let first = config(&mut memory[..half]);
    let server = start(&first).unwrap();
    assert_eq!(start(&first), Err(Code::ResourceInUse), "the same again");
    // All of it and more, its last word, and a part of its inside.
    for range in [0..2 * half, half - 1..2 * half, 8..half - 8] {
        assert_eq!(start(&config(&mut memory[range])), Err(Code::ResourceInUse));
    }
    assert!(answers(server));
    let behind = start(&config(&mut memory[half..])).unwrap();
    assert!(answers(server) && answers(behind));
    assert_eq!(
        (stop(server), stop(behind)),
        (Code::Successful, Code::Successful)
    );
    stop(start(&first).unwrap());
}

/// What is wrong, how it gets wrong, and what is answered.
type Fault = (&'static str, fn(&mut CConfig), Code);

#[test]
fn start_that_fails_writes_nothing() {
    let _alone = alone();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let memory = memory();
    let right = config(memory);
    let before = memory.to_vec();
    let faults: [Fault; 4] = [
        (
            "small",
            |wrong| wrong.memory_size = 4_096,
            Code::InvalidSize,
        ),
        ("few", |wrong| wrong.descriptors = 20, Code::TooMany),
        (
            "far",
            |wrong| wrong.address = c"192.0.2.1".as_ptr(),
            Code::IoError,
        ),
        (
            "text",
            |wrong| wrong.directory = c"/dev/null".as_ptr(),
            Code::InvalidNumber,
        ),
    ];
    for (what, change, code) in faults {
        let mut wrong = right;
        change(&mut wrong);
        assert_eq!(start(&wrong), Err(code), "{what}");
        assert!(before == memory, "{what}");
    }
    let mut wrong = right;
    wrong.port = taken.local_addr().unwrap().port();
    assert_eq!(start(&wrong), Err(Code::ResourceInUse));
    assert!(before == memory);
}

#[test]
fn message_to_a_server_that_does_not_run_is_an_incorrect_state() {
    let _alone = alone();
    let server = start(&config(memory())).unwrap();
    let (stream, ticket) = deferred(server);
    assert_eq!(
        (send(server, 0), send(server, 1)),
        (Code::Successful, Code::InvalidNumber)
    );
    assert_eq!(complete(server, ticket), Code::Successful);
    assert!(read(stream).ends_with("\r\n\r\n7"));
    stop(server);
    for _ in 0..10 {
        assert_eq!(complete(server, ticket), Code::IncorrectState);
        assert_eq!(send(server, 0), Code::IncorrectState);
    }
    assert_eq!(complete(null_mut(), ticket), Code::InvalidAddress);
    assert_eq!(send(null_mut(), 0), Code::InvalidAddress);
}

#[test]
fn deferred_reply_is_completed_while_the_server_drains() {
    let _alone = alone();
    let server = start(&config(memory())).unwrap();
    let (stream, ticket) = deferred(server);
    let address = server as usize;
    // SAFETY: as in `stop`.
    let stopping = thread::spawn(move || unsafe { capuchin_stop(address as *mut Server, false) });
    // It drains from the moment when nobody is accepted any more.
    // SAFETY: its memory is leaked.
    let port = unsafe { capuchin_port(server) };
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(!stopping.is_finished());
    assert_eq!(complete(server, ticket), Code::Successful);
    assert!(read(stream).ends_with("\r\n\r\n7"));
    assert_eq!(stopping.join().unwrap(), Code::Successful);
}

#[test]
fn only_tickets_of_this_start_complete_anything() {
    let _alone = alone();
    let (one, other) = (config(memory()), config(memory()));
    let server = start(&one).unwrap();
    let (_gone, stale) = deferred(server);
    stop(server);
    let (server, stranger) = (start(&one).unwrap(), start(&other).unwrap());
    let (stream, ticket) = deferred(server);
    let (_other, others) = deferred(stranger);
    assert_eq!(
        (ticket.index, ticket.worker),
        (stale.index, stale.worker),
        "but for the start they could be one"
    );
    let zeros = CTicket {
        index: 0,
        generation: 0,
        sequence: 0,
        worker: 0,
        start: 0,
    };
    for wrong in [stale, others, zeros] {
        assert_eq!(complete(server, wrong), Code::InvalidNumber, "{wrong:?}");
    }
    assert_eq!(complete(server, ticket), Code::Successful);
    assert!(read(stream).ends_with("\r\n\r\n7"));
    stop(server);
    stop(stranger);
}

#[test]
fn handler_cannot_stop_its_own_server() {
    let _alone = alone();
    let server = start(&config(memory())).unwrap();
    SERVER.store(server, Ordering::SeqCst);
    assert!(read(ask(server, "/stop")).ends_with("hello"));
    assert_eq!(RESULT.load(Ordering::SeqCst), Code::IncorrectState as u32);
    assert!(answers(server));
    // That of another server can.
    let other = start(&config(memory())).unwrap();
    assert!(read(ask(other, "/stop")).ends_with("hello"));
    assert_eq!(RESULT.load(Ordering::SeqCst), Code::Successful as u32);
    stop(other);
}

#[test]
fn listener_that_cannot_be_watched_leaves_nothing_behind() {
    let _alone = alone();
    let memory = memory();
    let mut small = config(memory);
    let full: Vec<_> = (0..60)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    for workers in [1, 2] {
        small.workers = workers;
        // As many as are asked for at least; the listener's number is higher.
        small.descriptors = (4 + 16) * workers + 6;
        let before = capuchin_rtems::queues();
        assert_eq!(start(&small), Err(Code::IoError));
        assert_eq!(capuchin_rtems::queues(), before, "{workers} workers");
    }
    drop(full);
    stop(start(&config(memory)).unwrap());
}

#[test]
fn stack_is_refused_below_the_least_and_taken_at_it() {
    let _alone = alone();
    let mut config = config(memory());
    config.stack_size = SMALLEST_STACK - 1;
    assert_eq!(start(&config), Err(Code::InvalidNumber));
    config.stack_size = SMALLEST_STACK;
    stop(start(&config).unwrap());
}

#[test]
fn replies_that_cannot_be_are_500() {
    let _alone = alone();
    let server = start(&config(memory())).unwrap();
    for path in ["/no-text", "/no-status", "/no-stream"] {
        let reply = read(ask(server, path));
        assert!(reply.starts_with("HTTP/1.1 500 "), "{path}: {reply}");
        assert!(!reply.contains("hello"), "{path}: {reply}");
    }
    stop(server);
}

#[test]
fn parameters_of_no_exchange_are_nothing() {
    // SAFETY: NULL is asked about.
    let text = unsafe { crate::exchange::capuchin_parameter(null(), c"id".as_ptr()) };
    assert!(text.data.is_null() && text.length == 0);
}
