//! Moves one connection on: bytes in, requests to the service, replies out.
//!
//! A [`Desk`] is what a worker works with besides its slots: transport, service, leases, time. It
//! advances one slot as far as the bytes, the socket and the fairness bound let it and says what
//! the connection waits for next. It never waits itself and knows no other connection.

use crate::connection::{Body, Flags, Slot, State, Tail};
use crate::event::{Ticket, Token};
use crate::http::chunked::ChunkStep;
use crate::http::head::{Head, HeadParser, Progress as Parsed, Version};
use crate::http::method::Method;
use crate::http::path;
use crate::http::status::Status;
use crate::http::write::Writer;
use crate::limits::Limits;
use crate::pool::Leases;
use crate::reply::{DateLine, Draft, Made, Next, Source, Step, StreamFraming, Terms};
use crate::service::{Exchange, Outcome, Progress, Request, Service};
use crate::site::Content;
use crate::stats::{Counter, Stats};
use crate::transport::{Error, Transport};
use core::fmt::Display;

/// What a connection waits for after it was moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Bytes from the client.
    Read,
    /// Room in the socket.
    Write,
    /// A ticket to be completed.
    Ticket,
    /// Its next turn: it could go on, but others come first.
    Turn,
    /// A free lease.
    Lease,
    /// Nothing: it is over, and all that was to be sent has been.
    Close,
    /// Nothing: it broke off.
    Abort,
}

/// What one connection may still do in this turn.
pub(crate) struct Budget {
    requests: u32,
    bytes: usize,
    /// Whether a receive is worth trying.
    readable: bool,
}

/// How sending went.
enum Flushed {
    All,
    /// The turn's share is used up; the socket would take more.
    Share,
    Blocked,
    Broken,
}

/// One step: go on, or wait.
type Flow = Option<Want>;
const GO_ON: Flow = None;

/// The interim reply of RFC 9110 section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes around a streamed chunk: four digits of its size and a line end before, a line end after.
const CHUNK_BEFORE: usize = 6;
const CHUNK_AFTER: usize = 2;
/// The chunk that ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Content up to this length is copied behind its head rather than sent from where it lies, so
/// that pipelined replies leave by one send.
const COPY_LIMIT: u64 = 8_192;

/// What a handler gets besides the request, of a slot whose other members may be borrowed.
macro_rules! exchange {
    ($desk:ident, $slot:ident, $token:ident) => {
        Exchange {
            state: &mut $slot.user,
            route: &mut $slot.route,
            ticket: Ticket {
                connection: $token,
                sequence: $slot.sequence,
                worker: $desk.worker,
            },
            now: $desk.now,
            unix_time: $desk.unix_time,
        }
    };
}

/// What a reply to the present request has to keep to; borrows the date alone.
macro_rules! terms {
    ($desk:ident, $slot:ident) => {
        terms_of(
            $slot,
            &$desk.date,
            $desk.draining || leaves_unread($slot, &$desk.limits),
        )
    };
}

pub(crate) struct Desk<'m, T, S> {
    pub transport: T,
    pub service: S,
    pub leases: Leases<'m>,
    /// For decoded paths, for bytes that are thrown away, and for error replies without a lease.
    pub scratch: &'m mut [u8],
    pub stats: &'m Stats,
    pub limits: Limits,
    pub worker: u32,
    pub now: u64,
    pub unix_time: u64,
    pub date: DateLine,
    /// The server is being stopped: no connection is kept alive.
    pub draining: bool,
    /// Leases are for others that have waited longer.
    pub leases_promised: bool,
}

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// Moves the connection on. `readable` says whether its socket may have bytes.
    pub fn advance(&mut self, slot: &mut Slot, token: Token, readable: bool) -> Want {
        let mut budget = Budget {
            requests: self.limits.turn_requests,
            bytes: self.limits.turn_bytes as usize,
            readable,
        };
        loop {
            let flow = match slot.state {
                State::Fresh | State::Idle | State::Head => self.head(slot, token, &mut budget),
                State::Receiving | State::Collecting | State::Discarding => {
                    self.body(slot, token, &mut budget)
                }
                State::Sending => self.send_tail(slot, token, &mut budget),
                State::Streaming => self.stream(slot, token, &mut budget),
                State::Waiting | State::Paused => self.wait(slot, &mut budget),
                State::Resuming => self.resume(slot, token, &mut budget),
                State::Closing => self.close(slot, &mut budget),
                State::Lingering => self.linger(slot, &mut budget),
                State::Free => Some(Want::Abort),
            };
            if let Some(want) = flow {
                return want;
            }
        }
    }

    // ---- requests ----

    fn head(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let Some(lease) = slot.lease.filter(|_| slot.start != slot.end) else {
            return self.more(slot, token, budget);
        };
        if budget.requests == 0 {
            return Some(self.flushed_or(slot, budget, Want::Turn));
        }
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        let limit = usize::from(self.limits.head_bytes);
        let (bytes, fields) = self.leases.parts(lease);
        let input = &bytes[usize::from(slot.start)..usize::from(slot.end)];
        let held = input.len();
        match slot.parser.advance(input, fields) {
            Ok(Parsed::Complete { length }) if length <= limit => {
                budget.requests -= 1;
                slot.head = slot.start;
                slot.start += length as u16;
                self.stats.count(Counter::Requests);
                self.request(slot, token);
                GO_ON
            }
            Ok(Parsed::Incomplete) if held < limit => {
                slot.enter(State::Head);
                self.more(slot, token, budget)
            }
            Ok(_) => {
                let line = memchr::memchr(b'\n', &input[..held.min(limit)]);
                if line.is_none() {
                    self.refuse(
                        slot,
                        token,
                        Status::URI_TOO_LONG,
                        &"the request line is too long",
                    )
                } else {
                    self.refuse(
                        slot,
                        token,
                        Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
                        &"the request's fields are too large",
                    )
                }
            }
            Err(error) => self.refuse(slot, token, Status::from_error(error.status()), &error),
        }
    }

    /// A request that the service does not see.
    pub fn refuse(
        &mut self,
        slot: &mut Slot,
        token: Token,
        status: Status,
        why: &dyn Display,
    ) -> Flow {
        self.stats.count(Counter::Rejected);
        if slot.is_before_request() && self.input(slot).trim_ascii_start().starts_with(b"HEAD ") {
            slot.flags.set(Flags::HEAD_ONLY);
        }
        if self.service.observes() && !slot.flags.has(Flags::OBSERVED) {
            slot.flags.set(Flags::OBSERVED);
            self.service.observe(token.index, None, self.unix_time);
        }
        slot.flags.set(Flags::LINGER);
        self.fail(slot, token, status, why);
        GO_ON
    }

    /// A complete head lies at `head..start`: ask the service.
    fn request(&mut self, slot: &mut Slot, token: Token) {
        let Some(lease) = slot.lease else { return };
        let room = self.reply_room();
        let (bytes, fields) = self.leases.parts(lease);
        let (input, output) = bytes.split_at_mut(usize::from(slot.end));
        let head = Head::new(
            &slot.parser,
            &input[usize::from(slot.head)..usize::from(slot.start)],
            fields,
        );
        slot.user = [0; 2];
        slot.route = 0;
        slot.count = 0;
        slot.status = 0;
        slot.body = Body::of(head.framing());
        slot.flags
            .put(Flags::HTTP10, head.version() == Version::Http10);
        slot.flags
            .put(Flags::HEAD_ONLY, head.method() == Method::Head);
        slot.flags.put(
            Flags::EXPECTS,
            head.expects_continue() && head.version() == Version::Http11,
        );
        let last = slot.sequence.wrapping_add(1) >= self.limits.requests_per_connection;
        slot.flags.put(Flags::CLOSE, !head.keep_alive());
        if last || self.draining {
            slot.close_after_reply();
        }
        if self.service.observes() {
            slot.flags.set(Flags::OBSERVED);
            self.service
                .observe(token.index, Some(&head), self.unix_time);
        }
        if matches!(head.method(), Method::Other | Method::Connect) {
            return self.fail(
                slot,
                token,
                Status::NOT_IMPLEMENTED,
                &"this server does not know the method",
            );
        }
        if matches!(slot.body, Body::Length(length) if length > self.limits.body_bytes) {
            return self.fail(
                slot,
                token,
                Status::CONTENT_TOO_LARGE,
                &"the body is longer than this server takes",
            );
        }
        let path = match head.path() {
            b"*" => b"*",
            raw => match path::normalise(raw, self.scratch) {
                Ok(path) => path,
                Err(error) => {
                    return self.fail(slot, token, Status::from_error(error.status()), &error);
                }
            },
        };
        let terms = terms!(self, slot);
        let used = usize::from(slot.out_end - slot.end);
        let mut made = Made::NOTHING;
        let mut draft = Draft::new(&mut output[used..used + room], terms, &mut made);
        let request = Request::new(head, path);
        let mut exchange = exchange!(self, slot, token);
        let next = self.service.request(&mut exchange, &request, &mut draft);
        self.act(slot, token, &next, &made);
    }

    // ---- bodies ----

    fn body(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let (start, end) = (usize::from(slot.start), usize::from(slot.end));
        let step = match slot.lease {
            Some(lease) => slot.body.advance(&self.leases.bytes(lease)[start..end]),
            None => slot.body.advance(&[]),
        };
        match step {
            Ok(ChunkStep::Data {
                start: from,
                end: to,
            }) => {
                slot.start += to as u16;
                slot.count += (to - from) as u64;
                self.piece(slot, token, start + from..start + to)
            }
            Ok(ChunkStep::Incomplete { consumed }) => {
                slot.start += consumed as u16;
                self.more(slot, token, budget)
            }
            Ok(ChunkStep::End { consumed }) => {
                slot.start += consumed as u16;
                self.body_ended(slot, token, budget)
            }
            Err(error) => {
                self.abandon(slot, token);
                if slot.state == State::Discarding {
                    // The reply to this request is out: nothing more can be said.
                    slot.flags.set(Flags::LINGER);
                    slot.enter(State::Closing);
                    return GO_ON;
                }
                self.refuse(slot, token, Status::from_error(error.status()), &error)
            }
        }
    }

    /// One piece of a body, at these positions of the lease.
    fn piece(&mut self, slot: &mut Slot, token: Token, at: core::ops::Range<usize>) -> Flow {
        if slot.state == State::Discarding {
            if slot.count > self.limits.drain_bytes {
                slot.flags.set(Flags::LINGER);
                slot.enter(State::Closing);
            }
            return GO_ON;
        }
        if slot.count > self.limits.body_bytes {
            self.abandon(slot, token);
            return self.refuse(
                slot,
                token,
                Status::CONTENT_TOO_LARGE,
                &"the body is longer than this server takes",
            );
        }
        let Some(lease) = slot.lease else {
            return Some(Want::Abort);
        };
        if slot.state == State::Collecting {
            let length = at.len() as u16;
            self.leases
                .bytes(lease)
                .copy_within(at, usize::from(slot.collected));
            slot.collected += length;
            return GO_ON;
        }
        let bytes = self.leases.bytes(lease);
        let mut exchange = exchange!(self, slot, token);
        if let Err(status) = self.service.body(&mut exchange, &bytes[at]) {
            self.fail(slot, token, status, &"");
        }
        GO_ON
    }

    fn body_ended(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        if slot.state == State::Discarding {
            self.next_request(slot);
            return GO_ON;
        }
        // The reply is written behind the input: that needs a lease, even if the body needed none.
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        let room = self.reply_room();
        let terms = terms!(self, slot);
        let (bytes, fields) = self.leases.parts(lease);
        let (input, output) = bytes.split_at_mut(usize::from(slot.end));
        let used = usize::from(slot.out_end - slot.end);
        let mut made = Made::NOTHING;
        let mut draft = Draft::new(&mut output[used..used + room], terms, &mut made);
        let mut exchange = exchange!(self, slot, token);
        let next = if slot.state == State::Collecting {
            let head_end = usize::from(slot.head) + slot.parser.length();
            let head = Head::new(
                &slot.parser,
                &input[usize::from(slot.head)..head_end],
                fields,
            );
            let collected = &input[head_end..usize::from(slot.collected)];
            let path = match head.path() {
                b"*" => b"*",
                raw => path::normalise(raw, self.scratch).unwrap_or(b"/"),
            };
            self.service.collected(
                &mut exchange,
                &Request::new(head, path),
                collected,
                &mut draft,
            )
        } else {
            self.service.received(&mut exchange, &mut draft)
        };
        self.act(slot, token, &next, &made);
        GO_ON
    }

    // ---- replies ----

    /// Does what a handler asked for.
    fn act(&mut self, slot: &mut Slot, token: Token, next: &Next, made: &Made) {
        match next.0 {
            Step::Reply if made.written == 0 => {
                self.broken_handler(
                    slot,
                    token,
                    "a handler returned what is no reply to its request",
                );
            }
            Step::Reply => {
                slot.out_end += made.written as u16;
                slot.status = made.status.code();
                slot.flags.set(Flags::REPLIED);
                if made.close {
                    slot.close_after_reply();
                }
                slot.count = 0;
                self.count_reply(made.status);
                self.begin_content(slot, token, &made.content);
            }
            Step::Defer => {
                self.stats.count(Counter::Deferred);
                slot.enter(State::Waiting);
            }
            Step::Receive | Step::Collect
                if slot.state != State::Fresh
                    && slot.state != State::Idle
                    && slot.state != State::Head =>
            {
                self.broken_handler(
                    slot,
                    token,
                    "a handler asked for a body that was handed over already",
                );
            }
            Step::Receive => {
                self.invite_body(slot);
                slot.enter(State::Receiving);
            }
            Step::Collect => {
                let head = slot.parser.length();
                let room = self.receive_limit() - head;
                if matches!(slot.body, Body::Length(length) if length > room as u64) {
                    return self.fail(
                        slot,
                        token,
                        Status::CONTENT_TOO_LARGE,
                        &"the body is longer than this path takes",
                    );
                }
                self.invite_body(slot);
                slot.collected = slot.start;
                slot.enter(State::Collecting);
            }
            Step::Failed(reason) => self.broken_handler(slot, token, reason),
        }
    }

    fn broken_handler(&mut self, slot: &mut Slot, token: Token, reason: &str) {
        log::error!("a request was answered with 500: {reason}");
        self.fail(slot, token, Status::INTERNAL_SERVER_ERROR, &"");
    }

    /// 100 (Continue), where the client waits for it and has not begun to send (RFC 9110
    /// section 10.1.1).
    fn invite_body(&mut self, slot: &mut Slot) {
        if !slot.flags.has(Flags::EXPECTS) || slot.body.is_done() || slot.start != slot.end {
            return;
        }
        slot.flags.clear(Flags::EXPECTS);
        if let Some(lease) = slot.lease {
            let at = usize::from(slot.out_end);
            if let Some(room) = self.leases.bytes(lease).get_mut(at..at + CONTINUE.len()) {
                room.copy_from_slice(CONTINUE);
                slot.out_end += CONTINUE.len() as u16;
                self.stats.count(Counter::Replies1xx);
            }
        }
    }

    /// A reply's head is written; its content may be copied behind it or has to follow.
    fn begin_content(&mut self, slot: &mut Slot, token: Token, content: &Source) {
        let room = self.room(slot) as u64;
        let fits = |length: u64| length <= COPY_LIMIT && length <= room;
        match *content {
            Source::Written(length) => {
                slot.count = length;
                self.reply_done(slot, token);
            }
            Source::Static(bytes) if fits(bytes.len() as u64) => {
                self.copy(slot, bytes);
                self.reply_done(slot, token);
            }
            Source::Static(bytes) => {
                slot.tail = Tail::Static(bytes);
                slot.enter(State::Sending);
            }
            Source::Content(id, ref range) => {
                let nothing_to_send = range.is_empty() || slot.flags.has(Flags::HEAD_ONLY);
                let copied = nothing_to_send
                    || fits(range.end - range.start) && self.copy_content(slot, id, range);
                if copied {
                    self.service.release(id);
                    self.reply_done(slot, token);
                } else {
                    slot.tail = Tail::Site {
                        id,
                        at: range.start,
                        end: range.end,
                    };
                    slot.enter(State::Sending);
                }
            }
            Source::Stream {
                framing: StreamFraming::Nothing,
                ..
            } => {
                slot.enter(State::Streaming);
                self.abandon(slot, token);
                self.reply_done(slot, token);
            }
            Source::Stream { framing, length } => {
                slot.tail = Tail::Stream {
                    framing,
                    remaining: length,
                };
                slot.enter(State::Streaming);
            }
        }
    }

    fn copy(&mut self, slot: &mut Slot, content: &[u8]) {
        let Some(lease) = slot.lease else { return };
        let at = usize::from(slot.out_end);
        self.leases.bytes(lease)[at..at + content.len()].copy_from_slice(content);
        slot.out_end += content.len() as u16;
        slot.count = content.len() as u64;
    }

    /// Copies content that lies in memory behind its head; `false` when it does not.
    fn copy_content(
        &mut self,
        slot: &mut Slot,
        id: crate::site::ContentId,
        range: &core::ops::Range<u64>,
    ) -> bool {
        let Some(lease) = slot.lease else {
            return false;
        };
        let Content::Bytes(part) = self.service.content(id, range.clone()) else {
            return false;
        };
        if part.len() as u64 != range.end - range.start {
            return false;
        }
        let at = usize::from(slot.out_end);
        self.leases.bytes(lease)[at..at + part.len()].copy_from_slice(part);
        slot.out_end += part.len() as u16;
        slot.count = part.len() as u64;
        true
    }

    fn count_reply(&self, status: Status) {
        self.stats.count(match status.code() / 100 {
            2 => Counter::Replies2xx,
            3 => Counter::Replies3xx,
            4 => Counter::Replies4xx,
            _ => Counter::Replies5xx,
        });
    }

    /// All of a reply is in the lease or with the transport.
    fn reply_done(&mut self, slot: &mut Slot, token: Token) {
        self.tell_end(slot, token, true);
        slot.sequence = slot.sequence.wrapping_add(1);
        slot.flags.clear(Flags::REPLIED);
        if slot.flags.has(Flags::CLOSE) {
            if !slot.body.is_done() {
                slot.flags.set(Flags::LINGER);
            }
            slot.enter(State::Closing);
        } else if slot.body.is_done() {
            self.next_request(slot);
        } else {
            slot.count = 0;
            slot.enter(State::Discarding);
        }
    }

    fn next_request(&mut self, slot: &mut Slot) {
        slot.parser = HeadParser::NEW;
        // What the last request asked for must not shape an error reply to the next.
        slot.flags
            .clear(Flags::HTTP10 | Flags::HEAD_ONLY | Flags::EXPECTS);
        slot.enter(State::Idle);
        slot.flags.set(Flags::REARM);
    }

    fn tell_end(&mut self, slot: &mut Slot, token: Token, complete: bool) {
        if slot.flags.has(Flags::OBSERVED) {
            slot.flags.clear(Flags::OBSERVED);
            let status = Status::new(slot.status);
            // Before a reply it counts the body's bytes, or holds a ticket's value.
            let content = if status.is_some() { slot.count } else { 0 };
            self.service.finished(
                token.index,
                Outcome {
                    status,
                    content,
                    complete,
                },
            );
        }
    }

    /// An error reply of the engine's own, after which the connection ends.
    pub fn fail(&mut self, slot: &mut Slot, token: Token, status: Status, why: &dyn Display) {
        slot.flags.set(Flags::CLOSE | Flags::LINGER);
        let terms = terms!(self, slot);
        self.count_reply(status);
        slot.status = status.code();
        slot.count = 0;
        let Some(lease) = slot.lease else {
            // A client that has not taken earlier replies may miss this one: there is no memory to
            // keep it in.
            let mut made = Made::NOTHING;
            error_reply(Draft::new(self.scratch, terms, &mut made), status, why);
            let sent = self
                .transport
                .send(slot.socket, &[&self.scratch[..made.written]], false);
            self.stats.add(Counter::BytesSent, sent.unwrap_or(0));
            return self.reply_done(slot, token);
        };
        if !slot.has_output() {
            (slot.out, slot.out_end) = (slot.end, slot.end);
        }
        let at = usize::from(slot.out_end);
        let mut made = Made::NOTHING;
        let buffer = &mut self.leases.bytes(lease)[at..];
        error_reply(Draft::new(buffer, terms, &mut made), status, why);
        slot.out_end += made.written as u16;
        if let Source::Written(length) = made.content {
            slot.count = length;
        }
        self.reply_done(slot, token);
    }

    // ---- replies that come later ----

    fn wait(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        let want = self.flushed_or(slot, budget, Want::Ticket);
        if want == Want::Ticket {
            self.drop_hollow_lease(slot);
        }
        Some(want)
    }

    /// A ticket of this connection was completed; tells whether anybody waited for it.
    pub fn complete(&mut self, slot: &mut Slot, ticket: Ticket, value: u64) -> bool {
        if slot.sequence != ticket.sequence {
            return false;
        }
        match slot.state {
            State::Waiting => {
                slot.count = value;
                slot.enter(State::Resuming);
            }
            State::Paused => slot.enter(State::Streaming),
            // It will be asked for more anyway once the client has taken what there is.
            State::Streaming => {}
            _ => return false,
        }
        true
    }

    fn resume(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        let value = slot.count;
        let terms = terms!(self, slot);
        let (at, room) = (usize::from(slot.out_end), self.reply_room());
        let buffer = &mut self.leases.bytes(lease)[at..at + room];
        let mut made = Made::NOTHING;
        let mut draft = Draft::new(buffer, terms, &mut made);
        let mut exchange = exchange!(self, slot, token);
        let next = self.service.resume(&mut exchange, value, &mut draft);
        self.act(slot, token, &next, &made);
        GO_ON
    }

    fn stream(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        // A piece is worth a call once a quarter of the lease is free for it.
        if slot.has_output() && self.room(slot) < self.leases.size() / 4 {
            match self.flush(slot, budget) {
                Flushed::All => {}
                blocked => return Some(want_of(&blocked)),
            }
        }
        if budget.bytes == 0 {
            return Some(self.flushed_or(slot, budget, Want::Turn));
        }
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        let Tail::Stream { framing, .. } = slot.tail else {
            return Some(Want::Abort);
        };
        if !slot.has_output() {
            (slot.out, slot.out_end) = (slot.end, slot.end);
        }
        let at = usize::from(slot.out_end);
        let (before, after) = match framing {
            StreamFraming::Chunked => (CHUNK_BEFORE, CHUNK_AFTER + LAST_CHUNK.len()),
            _ => (0, 0),
        };
        let bytes = self.leases.bytes(lease);
        let limit = bytes.len() - after;
        let mut piece = Writer::new(&mut bytes[at + before..limit]);
        let mut exchange = exchange!(self, slot, token);
        let progress = self.service.stream(&mut exchange, &mut piece);
        let (length, overflown) = (piece.len(), piece.is_overflown());
        if overflown || progress == Progress::Failed {
            if overflown {
                log::error!(
                    "a streamed reply was cut: a handler wrote more than there was room for"
                );
            }
            return self.cut(slot);
        }
        let bytes = self.leases.bytes(lease);
        let mut end = at;
        if framing == StreamFraming::Chunked {
            if length > 0 {
                put_hex(&mut bytes[at..at + 4], length);
                bytes[at + 4..at + CHUNK_BEFORE].copy_from_slice(b"\r\n");
                end = at + CHUNK_BEFORE + length;
                bytes[end..end + CHUNK_AFTER].copy_from_slice(b"\r\n");
                end += CHUNK_AFTER;
            }
            if progress == Progress::Done {
                bytes[end..end + LAST_CHUNK.len()].copy_from_slice(LAST_CHUNK);
                end += LAST_CHUNK.len();
            }
        } else {
            end += length;
        }
        slot.out_end = end as u16;
        slot.count += length as u64;
        budget.bytes = budget.bytes.saturating_sub(length.max(1));
        if let Tail::Stream {
            framing: StreamFraming::Length,
            remaining,
        } = &mut slot.tail
        {
            let exact = remaining.checked_sub(length as u64);
            *remaining = exact.unwrap_or(0);
            if exact.is_none() || progress == Progress::Done && *remaining != 0 {
                log::error!("a streamed reply was cut: its length was not as announced");
                return self.cut(slot);
            }
        }
        match progress {
            Progress::Done => {
                slot.tail = Tail::None;
                self.reply_done(slot, token);
                GO_ON
            }
            Progress::Wait => {
                slot.enter(State::Paused);
                GO_ON
            }
            // A handler that has nothing and does not say so is asked again, but not at once.
            _ if length == 0 => Some(self.flushed_or(slot, budget, Want::Turn)),
            _ => GO_ON,
        }
    }

    /// A reply that cannot be finished: the connection breaks off, so that the client sees it.
    fn cut(&mut self, slot: &Slot) -> Flow {
        self.break_off(slot);
        Some(Want::Abort)
    }

    /// The connection is about to be closed in the middle of a reply. Where the end of the
    /// connection would be the end of its content, it is reset; else its framing tells, and what was
    /// sent so far may still arrive.
    pub fn break_off(&mut self, slot: &Slot) {
        if let Tail::Stream {
            framing: StreamFraming::UntilClose,
            ..
        } = slot.tail
        {
            self.transport.abort(slot.socket);
        }
    }

    fn send_tail(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        match self.flush(slot, budget) {
            Flushed::All => {
                self.reply_done(slot, token);
                GO_ON
            }
            blocked => {
                self.drop_hollow_lease(slot);
                Some(want_of(&blocked))
            }
        }
    }

    // ---- the end ----

    fn close(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        match self.flush(slot, budget) {
            Flushed::All => {}
            blocked => return Some(want_of(&blocked)),
        }
        let unread = slot.start != slot.end || slot.flags.has(Flags::LINGER);
        (slot.start, slot.end) = (0, 0);
        self.drop_hollow_lease(slot);
        if !unread || slot.flags.has(Flags::EOF) {
            return Some(Want::Close);
        }
        if self.transport.shutdown(slot.socket).is_err() {
            return Some(Want::Close);
        }
        slot.enter(State::Lingering);
        budget.readable = true;
        GO_ON
    }

    fn linger(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        if !budget.readable || budget.bytes == 0 {
            return Some(Want::Read);
        }
        self.stats.count(Counter::Receives);
        match self.transport.receive(slot.socket, self.scratch) {
            Ok(0) => Some(Want::Close),
            Ok(count) => {
                self.stats.add(Counter::BytesReceived, count);
                budget.bytes = budget.bytes.saturating_sub(count);
                GO_ON
            }
            Err(Error::WouldBlock) => Some(Want::Read),
            Err(_) => Some(Want::Close),
        }
    }

    /// Tells handler, site and log that the request under way, if there is one, ends here.
    pub fn abandon(&mut self, slot: &mut Slot, token: Token) {
        if slot.is_in_handler() {
            let mut exchange = exchange!(self, slot, token);
            self.service.abandoned(&mut exchange);
        }
        if let Tail::Site { id, .. } = slot.tail {
            self.service.release(id);
        }
        slot.tail = Tail::None;
    }

    /// Frees all that a connection holds besides its slot and socket.
    pub fn clear(&mut self, slot: &mut Slot, token: Token) {
        if slot.flags.has(Flags::REPLIED) || slot.has_output() {
            self.stats.count(Counter::Abandoned);
        }
        self.abandon(slot, token);
        self.tell_end(slot, token, false);
        if let Some(lease) = slot.lease.take() {
            self.leases.give(lease);
            self.stats.count(Counter::LeasesReturned);
        }
    }

    // ---- bytes in ----

    /// More bytes are needed to go on.
    fn more(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        if slot.has_output() {
            match self.flush(slot, budget) {
                Flushed::All => {}
                blocked => return Some(want_of(&blocked)),
            }
        }
        if slot.flags.has(Flags::EOF) {
            return self.ended(slot, token);
        }
        if !budget.readable {
            self.drop_hollow_lease(slot);
            if self.draining && slot.is_before_request() && slot.start == slot.end {
                return Some(Want::Close);
            }
            return Some(Want::Read);
        }
        if budget.bytes == 0 {
            return Some(Want::Turn);
        }
        let Some(lease) = self.lease_of(slot) else {
            return Some(Want::Lease);
        };
        let limit = self.receive_limit();
        self.close_gaps(slot);
        let from = usize::from(slot.end);
        if from >= limit {
            // Heads are held to their limit before this; only a collected body gets here.
            self.abandon(slot, token);
            return self.refuse(
                slot,
                token,
                Status::CONTENT_TOO_LARGE,
                &"the body is longer than this path takes",
            );
        }
        let room = limit - from;
        self.stats.count(Counter::Receives);
        match self
            .transport
            .receive(slot.socket, &mut self.leases.bytes(lease)[from..limit])
        {
            Ok(0) => slot.flags.set(Flags::EOF),
            Ok(count) => {
                self.stats.add(Counter::BytesReceived, count);
                slot.end += count as u16;
                budget.bytes = budget.bytes.saturating_sub(count);
                // Less than there was room for: most likely that was all. Should it not be so, the
                // channel, being level-triggered, will say so.
                budget.readable = count == room;
                if matches!(
                    slot.state,
                    State::Receiving | State::Collecting | State::Discarding
                ) {
                    slot.flags.set(Flags::REARM);
                }
            }
            Err(Error::WouldBlock) => {
                self.stats.count(Counter::WouldBlock);
                budget.readable = false;
            }
            Err(_) => {
                self.stats.count(Counter::Reset);
                return Some(Want::Abort);
            }
        }
        GO_ON
    }

    /// The client has ended its side, and all that it sent has been looked at.
    fn ended(&mut self, slot: &mut Slot, token: Token) -> Flow {
        match slot.state {
            State::Head if slot.parser.started() => self.refuse(
                slot,
                token,
                Status::BAD_REQUEST,
                &"the request ends before its head does",
            ),
            State::Receiving | State::Collecting => {
                self.abandon(slot, token);
                self.refuse(
                    slot,
                    token,
                    Status::BAD_REQUEST,
                    &"the request ends before its body does",
                )
            }
            _ => Some(Want::Close),
        }
    }

    /// Moves what is needed to the start of the lease. There is no output when this is called.
    fn close_gaps(&mut self, slot: &mut Slot) {
        let Some(lease) = slot.lease else { return };
        let bytes = self.leases.bytes(lease);
        let base = slot.base();
        if base > 0 {
            bytes.copy_within(usize::from(base)..usize::from(slot.end), 0);
            slot.start -= base;
            slot.end -= base;
            if slot.state == State::Collecting {
                slot.head = 0;
                slot.collected -= base;
            }
        }
        // Between a collected body and the input lies what framed its chunks.
        if slot.state == State::Collecting && slot.collected < slot.start {
            bytes.copy_within(
                usize::from(slot.start)..usize::from(slot.end),
                usize::from(slot.collected),
            );
            slot.end -= slot.start - slot.collected;
            slot.start = slot.collected;
        }
        (slot.out, slot.out_end) = (slot.end, slot.end);
    }

    // ---- bytes out ----

    /// Sends what is there; `want` once all of it is gone, else what it waits for.
    fn flushed_or(&mut self, slot: &mut Slot, budget: &mut Budget, want: Want) -> Want {
        if !slot.has_output() {
            return want;
        }
        match self.flush(slot, budget) {
            Flushed::All => want,
            blocked => want_of(&blocked),
        }
    }

    /// Sends the lease's output and then the tail, unless that is a stream.
    fn flush(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flushed {
        loop {
            let output: &[u8] = match slot.lease {
                Some(lease) => {
                    &self.leases.bytes(lease)[usize::from(slot.out)..usize::from(slot.out_end)]
                }
                None => &[],
            };
            let pending = output.len();
            let share = budget.bytes.max(1);
            let (result, offered) = match slot.tail {
                Tail::None | Tail::Stream { .. } if pending == 0 => return Flushed::All,
                Tail::None | Tail::Stream { .. } => {
                    (self.transport.send(slot.socket, &[output], false), pending)
                }
                Tail::Static(rest) => {
                    let part = &rest[..rest.len().min(share)];
                    (
                        send_parts(&mut self.transport, slot, output, part),
                        pending + part.len(),
                    )
                }
                Tail::Site { id, at, end } => match self
                    .service
                    .content(id, at..end.min(at.saturating_add(share as u64)))
                {
                    Content::Bytes([]) => return Flushed::Broken,
                    Content::Bytes(part) => (
                        send_parts(&mut self.transport, slot, output, part),
                        pending + part.len(),
                    ),
                    Content::File(_) if pending > 0 => {
                        (self.transport.send(slot.socket, &[output], true), pending)
                    }
                    Content::File(file) => {
                        let length = (end - at).min(share as u64);
                        (
                            self.transport.send_file(slot.socket, file, at, length),
                            length as usize,
                        )
                    }
                    Content::Gone => return Flushed::Broken,
                },
            };
            self.stats.count(Counter::Sends);
            let sent = match result {
                Ok(sent) => sent,
                Err(Error::WouldBlock) => {
                    self.stats.count(Counter::WouldBlock);
                    return Flushed::Blocked;
                }
                Err(_) => {
                    self.stats.count(Counter::Reset);
                    return Flushed::Broken;
                }
            };
            self.stats.add(Counter::BytesSent, sent);
            if self.sent(slot, sent, pending) {
                return Flushed::All;
            }
            if sent < offered {
                return Flushed::Blocked;
            }
            if matches!(slot.tail, Tail::Static(_) | Tail::Site { .. }) && pending == 0 {
                budget.bytes = budget.bytes.saturating_sub(sent);
                if budget.bytes == 0 {
                    return Flushed::Share;
                }
            }
        }
    }

    /// Takes note of sent bytes; tells whether nothing is left.
    fn sent(&mut self, slot: &mut Slot, sent: usize, pending: usize) -> bool {
        slot.flags.set(Flags::REARM);
        let from_lease = sent.min(pending);
        slot.out += from_lease as u16;
        let rest = sent - from_lease;
        match &mut slot.tail {
            Tail::None | Tail::Stream { .. } => return from_lease == pending,
            Tail::Static(bytes) => {
                slot.count += rest as u64;
                *bytes = &bytes[rest..];
                if !bytes.is_empty() || from_lease < pending {
                    return false;
                }
            }
            Tail::Site { id, at, end } => {
                slot.count += rest as u64;
                *at += rest as u64;
                if *at < *end || from_lease < pending {
                    return false;
                }
                self.service.release(*id);
            }
        }
        slot.tail = Tail::None;
        true
    }

    // ---- leases ----

    fn lease_of(&mut self, slot: &mut Slot) -> Option<crate::pool::LeaseId> {
        if slot.lease.is_none() {
            if !self.leases_promised {
                slot.lease = self.leases.take();
            }
            if slot.lease.is_none() {
                self.stats.count(Counter::LeaseWaits);
                return None;
            }
            self.stats.count(Counter::LeasesTaken);
            (slot.head, slot.start, slot.end, slot.out, slot.out_end) = (0, 0, 0, 0, 0);
        }
        slot.lease
    }

    fn drop_hollow_lease(&mut self, slot: &mut Slot) {
        if slot.is_hollow()
            && let Some(lease) = slot.lease.take()
        {
            self.leases.give(lease);
            self.stats.count(Counter::LeasesReturned);
            (slot.head, slot.start, slot.end, slot.out, slot.out_end) = (0, 0, 0, 0, 0);
        }
    }

    /// Bytes of a lease that input may fill; the rest is a reply's.
    fn receive_limit(&self) -> usize {
        self.leases.size() - self.reply_room()
    }

    /// Bytes that a handler's reply has, neither fewer nor more whatever came before it: half of a
    /// lease.
    fn reply_room(&self) -> usize {
        self.leases.size() / 2
    }

    /// A handler is promised room for its reply: earlier replies leave first if they take it.
    fn make_room(&mut self, slot: &mut Slot, budget: &mut Budget) -> Flow {
        if slot.has_output() && self.room(slot) < self.reply_room() {
            match self.flush(slot, budget) {
                Flushed::All => {}
                blocked => return Some(want_of(&blocked)),
            }
        }
        if !slot.has_output() {
            (slot.out, slot.out_end) = (slot.end, slot.end);
        }
        GO_ON
    }

    /// Bytes that were received and not used yet.
    fn input(&mut self, slot: &Slot) -> &[u8] {
        match slot.lease {
            Some(lease) => {
                &self.leases.bytes(lease)[usize::from(slot.start)..usize::from(slot.end)]
            }
            None => &[],
        }
    }

    /// Bytes of the lease that are free for output.
    fn room(&self, slot: &Slot) -> usize {
        let used = if slot.has_output() {
            slot.out_end
        } else {
            slot.end
        };
        self.leases.size() - usize::from(used)
    }
}

/// Seconds after which a client that was told 503 may try again.
const RETRY_AFTER: &[u8] = b"1";

fn error_reply(mut draft: Draft<'_>, status: Status, why: &dyn Display) {
    let head = draft.reply().status(status);
    let head = if status == Status::SERVICE_UNAVAILABLE {
        head.trusted("Retry-After", RETRY_AFTER)
    } else {
        head
    };
    // What does not fit leaves nothing made, and the connection ends without a word.
    let _ = head.explained_by(why);
}

fn terms_of<'d>(slot: &Slot, date: &'d DateLine, close: bool) -> Terms<'d> {
    Terms {
        version: if slot.flags.has(Flags::HTTP10) {
            Version::Http10
        } else {
            Version::Http11
        },
        head_only: slot.flags.has(Flags::HEAD_ONLY),
        close: close || slot.flags.has(Flags::CLOSE),
        date,
    }
}

/// Whether a reply given now leaves a body behind that would take too long to read only to throw it
/// away, or that may never come. The client is told to close then.
fn leaves_unread(slot: &Slot, limits: &Limits) -> bool {
    match slot.body {
        Body::Done => false,
        Body::Length(length) => slot.flags.has(Flags::EXPECTS) || length > limits.drain_bytes,
        Body::Chunked(_) => slot.flags.has(Flags::EXPECTS),
    }
}

fn want_of(flushed: &Flushed) -> Want {
    match flushed {
        Flushed::All | Flushed::Share => Want::Turn,
        Flushed::Blocked => Want::Write,
        Flushed::Broken => Want::Abort,
    }
}

fn send_parts<T: Transport>(
    transport: &mut T,
    slot: &Slot,
    output: &[u8],
    part: &[u8],
) -> Result<usize, Error> {
    if output.is_empty() {
        transport.send(slot.socket, &[part], false)
    } else {
        transport.send(slot.socket, &[output, part], false)
    }
}

/// A chunk's size in as many hexadecimal digits as there are places; leading zeros are allowed
/// (RFC 9112 section 7.1).
fn put_hex(places: &mut [u8], number: usize) {
    let mut rest = number;
    for place in places.iter_mut().rev() {
        *place = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
}
