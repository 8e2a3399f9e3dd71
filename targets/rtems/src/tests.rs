//! The C interface over the test double: what an application may do wrong with servers, and what comes
//! of it. Requests and replies are the black-box suites' matter.

use crate::config::{CConfig, CLimits, CPage, CRoute, Code, SMALLEST_BUFFER, SMALLEST_STACK};
use crate::exchange::{CExchange, CText, CTicket, capuchin_client_address};
use crate::handler::CHandler;
use crate::reply::*;
use crate::request::{capuchin_form_value, capuchin_request_field_at};
use crate::server::*;
use core::ffi::{CStr, c_char, c_int, c_void};
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

/// The lines that the console got; see [`said`].
pub static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes the lines with this text that the console got so far.
fn said(text: &str) -> usize {
    let mut lines = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let count = lines.iter().filter(|line| line.contains(text)).count();
    lines.clear();
    count
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

unsafe extern "C" fn twice(
    exchange: *mut CExchange,
    request: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: within the handler's call.
    unsafe {
        hello(exchange, request, reply);
        hello(exchange, request, reply)
    }
}

unsafe extern "C" fn field_after_the_end(
    exchange: *mut CExchange,
    request: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: within the handler's call.
    unsafe {
        let next = hello(exchange, request, reply);
        capuchin_reply_field(reply, c"X".as_ptr(), c"y".as_ptr());
        next
    }
}

unsafe extern "C" fn field_before_a_body(
    _: *mut CExchange,
    _: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    // SAFETY: within the handler's call.
    unsafe {
        capuchin_reply_field(reply, c"X".as_ptr(), c"y".as_ptr());
        capuchin_reply_collect(reply)
    }
}

unsafe extern "C" fn no_end(_: *mut CExchange, _: *const c_void, _: *mut CReply<'_>) -> c_int {
    1
}

unsafe extern "C" fn no_success(_: *mut CExchange, _: *const c_void, _: *mut CReply<'_>) -> c_int {
    0
}

unsafe extern "C" fn collect(_: *mut CExchange, _: *const c_void, reply: *mut CReply<'_>) -> c_int {
    // SAFETY: within the handler's call.
    unsafe { capuchin_reply_collect(reply) }
}

/// Who asks, and the names of all fields.
unsafe extern "C" fn who(
    exchange: *mut CExchange,
    request: *const c_void,
    reply: *mut CReply<'_>,
) -> c_int {
    let mut client = [0u8; 54];
    let nothing = CText::of(None);
    let (mut name, mut value, mut names) = (nothing, nothing, String::new());
    // SAFETY: within the handler's call.
    unsafe {
        let length = capuchin_client_address(exchange, client.as_mut_ptr().cast(), client.len());
        let address = &client[..usize::try_from(length).unwrap()];
        let mut index = 0;
        while capuchin_request_field_at(request, index, &raw mut name, &raw mut value) {
            let name = core::slice::from_raw_parts(name.data, name.length);
            names += core::str::from_utf8(name).unwrap();
            index += 1;
        }
        assert!(name.data.is_null() && value.data.is_null());
        let text = format!("{} {names}", core::str::from_utf8(address).unwrap());
        capuchin_reply_body(reply, text.as_ptr().cast(), text.len())
    }
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
        route(c"/twice", twice),
        route(c"/field-after-the-end", field_after_the_end),
        route(c"/field-before-a-body", field_before_a_body),
        route(c"/no-end", no_end),
        route(c"/no-success", no_success),
        route(c"/who", who),
        CRoute {
            method: 2,
            ..route(c"/collect", collect)
        },
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
            collect_bytes: 0,
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

#[test]
fn mistake_of_a_handler_is_told_as_what_it_is() {
    let _alone = alone();
    let server = start(&config(memory())).unwrap();
    for (path, what) in [
        ("/twice", "went on with its reply after it had ended it"),
        (
            "/field-after-the-end",
            "went on with its reply after it had ended it",
        ),
        (
            "/field-before-a-body",
            "set a status or a field, and then called for",
        ),
        ("/no-end", "returned without having ended its reply"),
        ("/no-success", "returned CAPUCHIN_FAILED"),
        ("/no-text", "a handler's text is NULL"),
    ] {
        said("");
        let reply = read(ask(server, path));
        assert!(reply.starts_with("HTTP/1.1 500 "), "{path}: {reply}");
        assert_eq!(said(what), 1, "{path}");
    }
    stop(server);
}

#[test]
fn route_that_is_never_reached_a_query_in_a_pattern_and_a_page_given_twice_are_refused() {
    let _alone = alone();
    let page = |path: &'static CStr| CPage {
        path: path.as_ptr(),
        media_type: null(),
        content: null(),
        length: 0,
        gzip: null(),
        gzip_length: 0,
        cache_control: null(),
        modified: 0,
    };
    let right = config(memory());
    let patterns: [(&[&'static CStr], &str); 4] = [
        (&[c"/a", c"/b", c"/a"], "route 2 is never reached: route 0"),
        (&[c"/led/:id", c"/led/:name"], "route 1 is never reached"),
        (&[c"/a?b=:c"], "route 0: a route's pattern is a path"),
        (&[c"/a#b"], "route 0: a route's pattern is a path"),
    ];
    for (patterns, line) in patterns {
        let routes: Vec<_> = patterns.iter().map(|it| route(it, hello)).collect();
        let mut wrong = right;
        (wrong.routes, wrong.route_count) = (routes.as_ptr(), routes.len());
        said("");
        assert_eq!(start(&wrong), Err(Code::InvalidNumber), "{line}");
        assert_eq!(said(line), 1, "{line}");
    }
    for (pages, line) in [
        ([page(c"/x"), page(c"/x")], "page 1: a page before it"),
        ([page(c"/x"), page(c"/y?z")], "page 1: its path has a query"),
    ] {
        let mut wrong = right;
        (wrong.pages, wrong.page_count) = (pages.as_ptr(), pages.len());
        said("");
        assert_eq!(start(&wrong), Err(Code::InvalidNumber), "{line}");
        assert_eq!(said(line), 1, "{line}");
    }
    stop(start(&right).unwrap());
}

#[test]
fn memory_size_is_what_a_server_needs_and_not_a_byte_more() {
    let _alone = alone();
    let memory = memory();
    for (workers, buffer_size, head) in [(1, 2_048, 0), (1, 8_192, 5_000), (2, 4_096, 0)] {
        let mut config = config(memory);
        config.workers = workers;
        config.buffer_size = buffer_size;
        config.limits.head_bytes = head;
        (config.memory, config.memory_size) = (null_mut(), 0);
        // SAFETY: what it points to was leaked.
        let size = unsafe { capuchin_memory_size(&raw const config) };
        (config.memory, config.memory_size) = (memory.as_mut_ptr().cast(), size - 1);
        assert_eq!(start(&config), Err(Code::InvalidSize));
        config.memory_size = size;
        stop(start(&config).unwrap());
        config.config_size -= 1;
        // SAFETY: as above.
        assert_eq!(unsafe { capuchin_memory_size(&raw const config) }, 0);
    }
    // SAFETY: NULL is asked about.
    assert_eq!(unsafe { capuchin_memory_size(null()) }, 0);
}

#[test]
fn buffer_holds_head_body_and_response_or_is_refused() {
    let _alone = alone();
    let mut config = config(memory());
    for (size, head, collect, holds) in [
        (SMALLEST_BUFFER, 0, 0, true),
        (SMALLEST_BUFFER - 1, 0, 0, false),
        (4_096, 3_000, 616, true),
        (4_096, 3_000, 617, false),
        (4_096, 3_001, 616, false),
        (4_096, u32::MAX, u32::MAX, false),
    ] {
        config.buffer_size = size;
        (config.limits.head_bytes, config.limits.collect_bytes) = (head, collect);
        match start(&config) {
            Ok(server) if holds => assert_eq!(stop(server), Code::Successful),
            Err(Code::InvalidNumber) if !holds => {}
            other => panic!("{size} {head} {collect}: {other:?}"),
        }
    }
}

#[test]
fn head_that_is_too_long_is_told_to_client_and_developer_in_their_words() {
    let _alone = alone();
    let mut config = config(memory());
    config.buffer_size = 8_192;
    let server = start(&config).unwrap();
    let send = |request: &str| {
        // SAFETY: its memory is leaked.
        let port = unsafe { capuchin_port(server) };
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        read(stream)
    };
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: ";
        format!("{start}{}\r\n\r\n", "c".repeat(length - start.len() - 4))
    };
    said("");
    assert!(
        send(&head(4_096)).ends_with("hello"),
        "a browser's with a cookie"
    );
    for _ in 0..3 {
        let reply = send(&head(4_097));
        assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
        assert!(
            !reply.contains("raise") && !reply.contains("limit"),
            "{reply}"
        );
        let lines = "X: y\r\n".repeat(20);
        let reply = send(&format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
        assert!(
            !reply.contains("raise") && !reply.contains("limit"),
            "{reply}"
        );
        let length = 2_049;
        let reply = send(&format!(
            "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        ));
        assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    }
    let lines = SAID.lock().unwrap().clone();
    for member in ["limits.head_bytes", "raise fields", "limits.collect_bytes"] {
        let count = lines.iter().filter(|line| line.contains(member)).count();
        assert_eq!(count, 1, "{member} is said once: {lines:?}");
        assert!(lines.iter().all(|line| line.len() < 160), "{lines:?}");
    }
    stop(server);
}

#[test]
fn client_s_address_and_all_fields_are_told() {
    let _alone = alone();
    let server = start(&config(memory())).unwrap();
    let stream = ask(server, "/who");
    let address = stream.local_addr().unwrap();
    let reply = read(stream);
    let expected = format!("\r\n\r\n{address} HostConnection");
    assert!(reply.ends_with(&expected), "{expected}: {reply}");
    stop(server);
}

#[test]
fn form_values_are_decoded_within_their_buffer() {
    let value = |form: &str, name: &CStr, size: usize| {
        let mut buffer = [0x7fu8; 16];
        // SAFETY: all of it is as long as it says.
        let length = unsafe {
            let form: (*const c_void, usize) = (form.as_ptr().cast(), form.len());
            let buffer: *mut c_char = buffer.as_mut_ptr().cast();
            capuchin_form_value(form.0, form.1, name.as_ptr(), buffer, size)
        };
        assert!(buffer[size..].iter().all(|&byte| byte == 0x7f), "{form}");
        let end = buffer.iter().position(|&byte| byte == 0);
        let text = end.map_or(&b""[..], |end| &buffer[..end]);
        (length, String::from_utf8(text.to_vec()).unwrap())
    };
    let form = "a=1&b=%4a%C3%B6rg+M&c&bad=%4&empty=";
    assert_eq!(value(form, c"a", 16), (1, "1".into()));
    assert_eq!(value(form, c"b", 8), (7, "J\u{f6}rg M".into()));
    assert_eq!(value(form, c"b", 7), (-3, "".into()), "one less");
    assert_eq!(value(form, c"c", 1), (0, "".into()));
    assert_eq!(value(form, c"empty", 16), (0, "".into()));
    assert_eq!(value(form, c"d", 16), (-1, "".into()));
    assert_eq!(value(form, c"bad", 16), (-2, "".into()));
    assert_eq!(value(form, c"a", 0).0, -3);
    assert_eq!(value("", c"a", 16), (-1, "".into()));
}

/// Some ABIs have enums of one byte: what C writes has to be what Rust reads.
#[test]
fn types_of_the_header_have_32_bits_with_short_enums_too() {
    let program = r#"
        #include "capuchin.h"
        enum small { SMALL };
        _Static_assert(sizeof(enum small) == 1, "enums are short here");
        _Static_assert(sizeof(((capuchin_route *) 0)->method) == 4, "method");
        _Static_assert(sizeof(capuchin_next) == 4, "next");
        _Static_assert(sizeof(capuchin_progress) == 4, "progress");
    "#;
    let mut compiler = std::process::Command::new("cc")
        .args([
            "-std=gnu11",
            "-Wall",
            "-Werror",
            "-fsyntax-only",
            "-fshort-enums",
        ])
        .args(["-x", "c", "-", "-I"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/include"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = compiler.stdin.take().unwrap();
    input.write_all(program.as_bytes()).unwrap();
    drop(input);
    assert!(compiler.wait().unwrap().success());
}
