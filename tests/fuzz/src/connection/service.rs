//! The application of the engine's tests, and a check that the engine calls it in order.

use capuchin_core::event::Ticket;
use capuchin_core::http::head::Head;
use capuchin_core::http::write::Writer;
use capuchin_core::reply::{Draft, Next, Opening};
use capuchin_core::service::{
    BodyProgress, Exceeded, Exchange, Outcome, Progress, Refusal, Request, Service,
};
use capuchin_core::site::{Content, ContentId};
use capuchin_core::transport::Socket;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a streamed piece: a quarter of the smallest buffer less what frames a chunk.
const PIECE: usize = 512 - 13;

/// A service whose calls are checked.
pub(super) struct Checked<S> {
    pub(super) inner: S,
    pub(super) observes: bool,
    open: BTreeMap<u32, Connection>,
}

#[derive(Default)]
struct Connection {
    /// A request was reported and its end was not.
    is_observed: bool,
    /// The request at hand.
    ticket: Option<Ticket>,
    /// It was abandoned.
    is_abandoned: bool,
}

impl<S> Checked<S> {
    pub(super) fn new(inner: S, observes: bool) -> Self {
        Self {
            inner,
            observes,
            open: BTreeMap::new(),
        }
    }

    fn connection(&mut self, index: u32) -> &mut Connection {
        self.open.get_mut(&index).expect("an open connection")
    }

    /// A call for the request that is at hand.
    fn goes_on(&mut self, exchange: &Exchange<'_>) {
        let connection = self.connection(exchange.ticket.connection.index);
        assert_eq!(connection.ticket, Some(exchange.ticket), "another request");
        assert!(!connection.is_abandoned, "an abandoned request goes on");
    }
}

impl<S: Service> Service for Checked<S> {
    type File = S::File;

    const WAITS: bool = S::WAITS;

    fn connected(&mut self, index: u32, socket: Socket) {
        let before = self.open.insert(index, Connection::default());
        assert!(before.is_none(), "a place is taken twice");
        self.inner.connected(index, socket);
    }

    fn closed(&mut self, index: u32) {
        let connection = self.open.remove(&index).expect("an open connection");
        assert!(
            !connection.is_observed,
            "the log misses the end of a request"
        );
        self.inner.closed(index);
    }

    fn request(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        assert_eq!(*exchange.state, [0, 0], "state of an earlier request");
        let observes = self.observes;
        let connection = self.connection(exchange.ticket.connection.index);
        assert_eq!(connection.is_observed, observes);
        connection.ticket = Some(exchange.ticket);
        connection.is_abandoned = false;
        self.inner.request(exchange, request, draft)
    }

    /// Byte by byte: the handler's answer must not depend on how a body arrives.
    fn body(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        self.goes_on(exchange);
        assert!(!piece.is_empty());
        for byte in piece.chunks(1) {
            // None of these handlers waits, so none gets a byte twice.
            assert_eq!(
                self.inner.body(exchange, request, byte)?,
                BodyProgress::Taken
            );
        }
        Ok(BodyProgress::Taken)
    }

    fn received(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        self.goes_on(exchange);
        self.inner.received(exchange, request, draft)
    }

    fn collected(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        body: &[u8],
        draft: &mut Draft<'_>,
    ) -> Next {
        self.goes_on(exchange);
        self.inner.collected(exchange, request, body, draft)
    }

    fn resume(&mut self, exchange: &mut Exchange<'_>, value: u64, draft: &mut Draft<'_>) -> Next {
        self.goes_on(exchange);
        self.inner.resume(exchange, value, draft)
    }

    /// In pieces of the same length: the room that there happens to be would decide the length of chunks.
    fn stream(&mut self, exchange: &mut Exchange<'_>, out: &mut Writer<'_>) -> Progress {
        self.goes_on(exchange);
        let mut piece = [0; PIECE];
        let mut writer = Writer::new(&mut piece);
        let progress = self.inner.stream(exchange, &mut writer);
        let length = writer.len();
        out.put(&piece[..length]);
        assert!(!out.is_overflown(), "no room for a piece");
        progress
    }

    fn abandoned(&mut self, exchange: &mut Exchange<'_>) {
        self.goes_on(exchange);
        self.connection(exchange.ticket.connection.index)
            .is_abandoned = true;
        self.inner.abandoned(exchange);
    }

    fn wait_for(&mut self, ticket: Ticket) -> bool {
        let connection = self.connection(ticket.connection.index);
        assert_eq!(connection.ticket, Some(ticket), "another request");
        self.inner.wait_for(ticket)
    }

    fn exceeded(&mut self, limit: Exceeded) {
        self.inner.exceeded(limit);
    }

    fn cost(&mut self) -> u32 {
        self.inner.cost()
    }

    fn message(&mut self, value: u64) {
        self.inner.message(value);
    }

    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, S::File> {
        self.inner.content(id, range)
    }

    fn release(&mut self, id: ContentId) {
        self.inner.release(id);
    }

    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        self.inner.prepared(id, opening)
    }

    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        assert!(!self.observes, "a request that the log misses");
        self.inner.recall(head, place, now, unix_time)
    }

    fn remember(&mut self, head: &[u8], id: ContentId) {
        self.inner.remember(head, id);
    }

    fn observes(&self) -> bool {
        self.observes
    }

    fn observe(&mut self, index: u32, _: Option<&Head<'_>>, _: u64) {
        assert!(self.observes);
        let connection = self.connection(index);
        assert!(!connection.is_observed, "a request begins in another");
        connection.is_observed = true;
    }

    fn finished(&mut self, index: u32, _: Outcome) {
        let connection = self.connection(index);
        assert!(connection.is_observed, "a request ends twice");
        connection.is_observed = false;
    }
}
