//! Replies, as C handlers write them: a builder whose stages C cannot tell apart by type.

use crate::config::text;
use crate::handler::CHandler;
use capuchin_core::http::status::Status;
use capuchin_core::http::write::Writer;
use capuchin_core::reply::{Head, Next, Reply};
use core::ffi::{CStr, c_char, c_int, c_void};

/// How far a reply has come.
enum Stage<'b> {
    Open(Reply<'b>),
    Head(Head<'b>),
    Ended(Next),
    /// There will be none: what the handler asked for cannot be.
    Refused(&'static str),
    /// Between two of the others.
    Moving,
}

/// `capuchin_reply`.
pub struct CReply<'b> {
    stage: Stage<'b>,
    /// The route's handler has a function for streams.
    streams: bool,
}

/// `capuchin_next`.
const FAILED: i32 = 0;
const ANSWERED: i32 = 1;
const DEFERRED: i32 = 2;
const RECEIVING: i32 = 3;
const COLLECTING: i32 = 4;

impl<'b> CReply<'b> {
    /// Has `call` write the reply; what it returns only tells whether it failed.
    #[inline(never)]
    pub fn made(
        reply: Reply<'b>,
        handler: &CHandler,
        call: &mut dyn FnMut(*mut CReply<'_>) -> i32,
    ) -> Next {
        let mut place = CReply {
            stage: Stage::Open(reply),
            streams: handler.stream.is_some(),
        };
        let told = call((&raw mut place).cast());
        match place.stage {
            Stage::Ended(next) if told != FAILED => next,
            Stage::Refused(why) => Next::failed(why),
            _ if told == FAILED => Next::failed("a handler returned CAPUCHIN_FAILED"),
            _ => Next::failed("a handler returned without having ended its reply"),
        }
    }

    /// The head, begun with 200 where no status was set.
    fn head(&mut self) -> Option<Head<'b>> {
        match core::mem::replace(&mut self.stage, Stage::Moving) {
            Stage::Open(reply) => Some(reply.status(Status::OK)),
            Stage::Head(head) => Some(head),
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn end(&mut self, code: i32, how: impl FnOnce(Head<'b>) -> Next) -> i32 {
        match self.head() {
            Some(head) => {
                self.stage = Stage::Ended(how(head));
                code
            }
            None => self.refuse(ENDED_TWICE),
        }
    }

    /// Whatever follows, there is no reply. The first mistake is what is told.
    fn refuse(&mut self, why: &'static str) -> i32 {
        if !matches!(self.stage, Stage::Refused(_)) {
            self.stage = Stage::Refused(why);
        }
        FAILED
    }

    fn end_stream(&mut self, how: impl FnOnce(Head<'b>) -> Next) -> i32 {
        if !self.streams {
            return self.refuse("a handler began a stream, but has no function for it");
        }
        self.end(ANSWERED, how)
    }

    /// `stage` was the reply's when something was called for that has to come before.
    fn too_late(&mut self, stage: Stage<'b>, why: &'static str) {
        let has_ended = matches!(stage, Stage::Ended(_));
        self.stage = stage;
        self.refuse(if has_ended { ENDED_TWICE } else { why });
    }

    /// For what can only be said before a status.
    fn end_open(&mut self, code: i32, how: impl FnOnce(Reply<'b>) -> Next) -> i32 {
        match core::mem::replace(&mut self.stage, Stage::Moving) {
            Stage::Open(reply) => {
                self.stage = Stage::Ended(how(reply));
                code
            }
            other => {
                let why = if matches!(other, Stage::Head(_)) {
                    HEAD_BEGUN
                } else {
                    ENDED_TWICE
                };
                self.stage = other;
                self.refuse(why)
            }
        }
    }
}

/// # Safety
/// `reply` is what a handler was given, within its call.
unsafe fn of<'r>(reply: *mut CReply<'_>) -> &'r mut CReply<'r> {
    // SAFETY: handlers are given a reply that lives through their call, in which the lifetime ends.
    unsafe { &mut *reply.cast() }
}

/// # Safety
/// `bytes` is valid for `length` bytes, for as long as the caller says.
pub unsafe fn bytes<'r>(bytes: *const c_void, length: usize) -> &'r [u8] {
    if bytes.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { core::slice::from_raw_parts(bytes.cast(), length) }
}

fn status(code: c_int) -> Option<Status> {
    u16::try_from(code).ok().and_then(Status::new)
}

const NO_STATUS: &str = "a handler's status is none: they are 200 to 599";
const ENDED_TWICE: &str = "a handler went on with its reply after it had ended it";
const HEAD_BEGUN: &str =
    "a handler set a status or a field, and then called for an error, a deferred reply or a body";

/// `capuchin_reply_status`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_status(reply: *mut CReply<'_>, code: c_int) {
    // SAFETY: the caller's word.
    let reply = unsafe { of(reply) };
    let Some(status) = status(code) else {
        reply.refuse(NO_STATUS);
        return;
    };
    match core::mem::replace(&mut reply.stage, Stage::Moving) {
        Stage::Open(open) => reply.stage = Stage::Head(open.status(status)),
        // A second status would be a second head.
        other => reply.too_late(other, "a handler set a status behind its reply's head"),
    }
}

/// `capuchin_reply_field`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_field(
    reply: *mut CReply<'_>,
    name: *const c_char,
    value: *const c_char,
) {
    let value = if value.is_null() { c"".as_ptr() } else { value };
    // SAFETY: the caller passes strings that end with NUL.
    unsafe {
        let length = CStr::from_ptr(value).count_bytes();
        capuchin_reply_field_bytes(reply, name, value.cast(), length);
    }
}

/// `capuchin_reply_field_bytes`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_field_bytes(
    reply: *mut CReply<'_>,
    name: *const c_char,
    value: *const c_void,
    length: usize,
) {
    // SAFETY: the caller's word.
    let (reply, value) = unsafe { (of(reply), bytes(value, length)) };
    // What is no text is no token either, and refused as such.
    let name = text(name).flatten().unwrap_or("");
    match reply.head() {
        Some(head) => reply.stage = Stage::Head(head.field(name, value)),
        None => drop(reply.refuse(ENDED_TWICE)),
    }
}

/// `capuchin_reply_close`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_close(reply: *mut CReply<'_>) {
    // SAFETY: the caller's word.
    let reply = unsafe { of(reply) };
    match core::mem::replace(&mut reply.stage, Stage::Moving) {
        Stage::Open(open) => reply.stage = Stage::Open(open.close()),
        // The head may have said otherwise.
        other => reply.too_late(
            other,
            "a handler closed the connection behind its reply's head",
        ),
    }
}

/// `capuchin_reply_body`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_body(
    reply: *mut CReply<'_>,
    content: *const c_void,
    length: usize,
) -> i32 {
    // SAFETY: the caller's word.
    let (reply, content) = unsafe { (of(reply), bytes(content, length)) };
    reply.end(ANSWERED, |head| head.body(content))
}

/// `capuchin_reply_static`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_static(
    reply: *mut CReply<'_>,
    content: *const c_void,
    length: usize,
) -> i32 {
    // SAFETY: the caller's word; the content stays as it is until the server stops.
    let (reply, content) = unsafe { (of(reply), bytes(content, length)) };
    reply.end(ANSWERED, |head| head.body_static(content))
}

/// `capuchin_reply_empty`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_empty(reply: *mut CReply<'_>) -> i32 {
    // SAFETY: the caller's word.
    unsafe { of(reply) }.end(ANSWERED, Head::empty)
}

/// `capuchin_reply_text`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_text(
    reply: *mut CReply<'_>,
    content: *const c_char,
) -> i32 {
    // SAFETY: the caller's word.
    let reply = unsafe { of(reply) };
    if content.is_null() {
        return reply.refuse("a handler's text is NULL");
    }
    // SAFETY: the caller passes a string that ends with NUL.
    let content = unsafe { CStr::from_ptr(content) }.to_bytes();
    reply.end(ANSWERED, |head| head.plain_text().body(content))
}

/// `capuchin_reply_error`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_error(
    reply: *mut CReply<'_>,
    code: c_int,
    why: *const c_char,
) -> i32 {
    let why = text(why).flatten().unwrap_or("");
    // SAFETY: the caller's word.
    let reply = unsafe { of(reply) };
    match status(code) {
        Some(status) => reply.end_open(ANSWERED, |open| open.error(status, why)),
        None => reply.refuse(NO_STATUS),
    }
}

/// `capuchin_reply_write`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_write(
    reply: *mut CReply<'_>,
    write: Option<unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> c_int>,
    argument: *mut c_void,
) -> i32 {
    // SAFETY: the caller's word.
    let reply = unsafe { of(reply) };
    let Some(write) = write else {
        return reply.refuse("a handler's write is NULL");
    };
    reply.end(ANSWERED, |head| {
        head.body_in_place(|room| {
            // SAFETY: the function is the application's and is given the room that there is.
            let count = unsafe { write(argument, room.as_mut_ptr().cast(), room.len()) };
            usize::try_from(count).ok()
        })
    })
}

/// `capuchin_reply_stream`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_stream(reply: *mut CReply<'_>) -> i32 {
    // SAFETY: the caller's word.
    unsafe { of(reply) }.end_stream(Head::stream)
}

/// `capuchin_reply_stream_of`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_stream_of(reply: *mut CReply<'_>, length: u64) -> i32 {
    // SAFETY: the caller's word.
    unsafe { of(reply) }.end_stream(|head| head.stream_of(length))
}

/// `capuchin_reply_defer`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_defer(reply: *mut CReply<'_>) -> i32 {
    // SAFETY: the caller's word.
    unsafe { of(reply) }.end_open(DEFERRED, Reply::defer)
}

/// `capuchin_reply_receive`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_receive(reply: *mut CReply<'_>) -> i32 {
    // SAFETY: the caller's word.
    unsafe { of(reply) }.end_open(RECEIVING, Reply::receive_body)
}

/// `capuchin_reply_collect`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_reply_collect(reply: *mut CReply<'_>) -> i32 {
    // SAFETY: the caller's word.
    unsafe { of(reply) }.end_open(COLLECTING, Reply::collect_body)
}

/// `capuchin_stream_room`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_stream_room(out: *const c_void) -> usize {
    // SAFETY: handlers are given a `Writer` that lives through their call.
    unsafe { &*out.cast::<Writer<'_>>() }.room()
}

/// `capuchin_stream_put`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_stream_put(
    out: *mut c_void,
    content: *const c_void,
    length: usize,
) -> usize {
    // SAFETY: handlers are given a `Writer` that lives through their call; the bytes are the caller's
    // word.
    let (out, content) = unsafe { (&mut *out.cast::<Writer<'_>>(), bytes(content, length)) };
    let taken = content.len().min(out.room());
    out.put(&content[..taken]);
    taken
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    value "CAPUCHIN_FAILED" = FAILED;
    value "CAPUCHIN_ANSWERED" = ANSWERED;
    value "CAPUCHIN_DEFERRED" = DEFERRED;
    value "CAPUCHIN_RECEIVING" = RECEIVING;
    value "CAPUCHIN_COLLECTING" = COLLECTING;
    value "sizeof(capuchin_next)" = size_of::<i32>();
}
