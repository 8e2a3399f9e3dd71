//! What each request gets that is alone on a new server.

use super::network::Network;
use super::server::{ROWS, Setup, serve};
use capuchin_core::http::chunked::{ChunkStep, ChunkedDecoder};
use capuchin_core::http::head::{Field, Framing, Head, HeadParser, Progress};
use capuchin_core::stats::Counter;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The value that deferred responses are completed with.
pub(super) const VALUE: u64 = 7;

/// Counters that depend on nothing but the requests.
pub(super) const COUNTED: [Counter; 7] = [
    Counter::Requests,
    Counter::Replies2xx,
    Counter::Replies3xx,
    Counter::Replies4xx,
    Counter::Replies5xx,
    Counter::Rejected,
    Counter::Deferred,
];

/// What one request gets.
#[derive(Debug)]
pub(super) struct Alone {
    /// The response as [`comparable`] makes it; empty when there is none (yet).
    pub(super) bytes: Vec<u8>,
    /// The server ended the connection.
    pub(super) ended: bool,
    pub(super) was_reset: bool,
    pub(super) counted: [usize; COUNTED.len()],
}

/// How a request is sent.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Case {
    request: Vec<u8>,
    /// The client ends its side after it.
    is_finished: bool,
    /// The server takes no request after it.
    is_last: bool,
    buffer_bytes: usize,
    body_bytes: u64,
}

thread_local! {
    /// Requests repeat: among connections, among inputs.
    static KNOWN: RefCell<HashMap<Case, Rc<Alone>>> = RefCell::default();
}

/// Cases that are kept.
const KEPT: usize = 10_000;

fn alone(setup: &Setup, case: Case) -> Rc<Alone> {
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&case).cloned()) {
        return known;
    }
    let mut setup = *setup;
    setup.buffers = 4;
    setup.observes = false;
    setup.limits.connections = 4;
    setup.limits.turn_bytes = 1 << 20;
    setup.limits.turn_requests = 64;
    setup.limits.requests_per_connection = if case.is_last { 1 } else { u32::MAX };
    let network = Network::new(None);
    let mut outcome = None;
    serve(&setup, &network, |server| {
        let net = &network.net;
        let client = net.connect(1 << 20);
        net.send(client, &case.request);
        if case.is_finished {
            net.finish(client);
        }
        server.settle(VALUE);
        outcome = Some(Alone {
            bytes: comparable(&net.received(client)),
            ended: net.ended(client),
            was_reset: net.was_reset(client),
            counted: COUNTED.map(|counter| server.stats.value(counter)),
        });
    });
    let alone = Rc::new(outcome.expect("the server ran"));
    KNOWN.with_borrow_mut(|known| {
        if known.len() == KEPT {
            known.clear();
        }
        known.insert(case, alone.clone());
    });
    alone
}

/// What a client gets for all that it sent.
pub(super) struct Expected {
    pub(super) responses: Vec<Rc<Alone>>,
    /// Each response, were it the last one.
    closing: Vec<Rc<Alone>>,
    /// The server ends the connection.
    pub(super) ended: bool,
    /// The last request has not come to its end.
    pub(super) is_partial: bool,
    /// Bytes that the client sent after the request that ended the connection.
    pub(super) unused: usize,
}

impl Expected {
    pub(super) fn of(setup: &Setup, sent: &[u8], is_finished: bool) -> Self {
        let mut expected = Self {
            responses: Vec::new(),
            closing: Vec::new(),
            ended: false,
            is_partial: false,
            unused: 0,
        };
        let mut rest = sent;
        while !rest.is_empty() {
            let (length, is_partial) = first_request(rest, setup);
            let (request, after) = rest.split_at(length);
            let count = expected.responses.len() as u32 + 1;
            let case = Case {
                request: request.to_vec(),
                is_finished: is_finished && after.is_empty(),
                is_last: count == setup.limits.requests_per_connection,
                buffer_bytes: setup.buffer_bytes,
                body_bytes: setup.limits.body_bytes,
            };
            let closing = Case {
                is_last: true,
                ..case.clone()
            };
            let alone = alone(setup, case);
            expected.is_partial = is_partial;
            expected.ended = alone.ended;
            expected.responses.push(alone);
            expected.closing.push(self::alone(setup, closing));
            rest = after;
            if expected.ended {
                expected.unused = after.len();
                return expected;
            }
        }
        expected.ended |= is_finished;
        expected
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let parts: Vec<&[u8]> = self
            .responses
            .iter()
            .map(|alone| &alone.bytes[..])
            .collect();
        parts.concat()
    }

    /// Whether a connection that ended early may have got `rest`: some responses in full, and of the next one a part,
    /// or the same with `Connection: close`, or a response of the server's own that says why it ends.
    pub(super) fn allows(&self, mut rest: &[u8]) -> bool {
        for (response, closing) in self.responses.iter().zip(&self.closing) {
            if response.bytes.starts_with(rest) || closing.bytes.starts_with(rest) {
                return true;
            }
            match rest.strip_prefix(&response.bytes[..]) {
                Some(after) => rest = after,
                None => break,
            }
            // How much of a response leaves before it fails depends on the network.
            if response.was_reset {
                return is_one_response(rest);
            }
        }
        let timeouts: [&[u8]; 2] = [b"HTTP/1.1 408 ", b"HTTP/1.1 503 "];
        timeouts.iter().any(|&line| {
            line.starts_with(rest) || (rest.starts_with(line) && is_one_response(rest))
        })
    }
}

/// Whether this is the beginning of a response, or a response, behind which no second one begins.
fn is_one_response(bytes: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.1 ";
    let Some(rest) = bytes.strip_prefix(VERSION) else {
        return VERSION.starts_with(bytes);
    };
    !rest.windows(VERSION.len()).any(|part| part == VERSION)
}

/// The length of the first request in `bytes`, and whether it goes on behind them. What is no request takes all.
fn first_request(bytes: &[u8], setup: &Setup) -> (usize, bool) {
    let limit = usize::from(setup.limits.head_bytes);
    let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; ROWS]);
    let visible = &bytes[..bytes.len().min(limit)];
    let head = match parser.advance(visible, &mut fields) {
        Ok(Progress::Complete { length }) => length,
        Ok(Progress::Incomplete) => return (bytes.len(), bytes.len() < limit),
        Err(_) => return (bytes.len(), false),
    };
    let body = &bytes[head..];
    match Head::new(&parser, &bytes[..head], &fields).framing() {
        Framing::None => (head, false),
        Framing::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= body.len() => (head + length, false),
            _ => (bytes.len(), true),
        },
        Framing::Chunked => {
            let (mut decoder, mut at) = (ChunkedDecoder::default(), 0);
            loop {
                match decoder.advance(&body[at..]) {
                    Ok(ChunkStep::Data { end, .. }) => at += end,
                    Ok(ChunkStep::End { consumed }) => return (head + at + consumed, false),
                    Ok(ChunkStep::Incomplete { .. }) => return (bytes.len(), true),
                    Err(_) => return (bytes.len(), false),
                }
            }
        }
    }
}

const BOUNDARY_LENGTH: usize = 24;

/// What of a server's output has to be equal: all but the values of `Date`, the boundaries of several ranges, which no
/// two responses share, and the interim responses, which depend on whether the body has arrived.
pub(super) fn comparable(output: &[u8]) -> Vec<u8> {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    const DATE: &[u8] = b"\r\nDate: ";
    const BOUNDARY: &[u8] = b"; boundary=";
    let mut boundary: Option<&[u8]> = None;
    let mut all = Vec::with_capacity(output.len());
    let mut rest = output;
    while let Some(&byte) = rest.first() {
        let is_cut_interim = rest.len() >= b"HTTP/1.1 1".len() && INTERIM.starts_with(rest);
        let is_cut_boundary = boundary.is_some_and(|boundary| boundary.starts_with(rest));
        if is_cut_interim || (is_cut_boundary && all.ends_with(b"\r\n--")) {
            break;
        }
        if let Some(after) = rest.strip_prefix(INTERIM) {
            rest = after;
        } else if rest.starts_with(DATE) {
            all.extend(DATE);
            rest = rest.get(DATE.len() + 29..).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix(BOUNDARY) {
            all.extend(BOUNDARY);
            boundary = after.get(..BOUNDARY_LENGTH);
            rest = after.get(BOUNDARY_LENGTH..).unwrap_or_default();
        } else if let Some(after) = boundary.and_then(|boundary| rest.strip_prefix(boundary)) {
            rest = after;
        } else {
            all.push(byte);
            rest = &rest[1..];
        }
    }
    all
}
