//! What stands between the engine and an application here: panics are caught, requests logged,
//! and counters shown.

use crate::access_log::{AccessLog, Lines};
use crate::throttle;
use crate::worker::Chores;
use capuchin_core::http::head::Head;
use capuchin_core::http::method::Method;
use capuchin_core::http::status::Status;
use capuchin_core::http::write::Writer;
use capuchin_core::reply::{Draft, Next, Opening, Reply};
use capuchin_core::service::{
    BodyProgress, Exchange, Outcome, Progress, Refusal, Request, Service,
};
use capuchin_core::site::{Content, ContentId};
use capuchin_core::stats::{Snapshot, Stats};
use capuchin_core::transport::Socket;
use std::fmt::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Called for [`capuchin_core::event::Message::Application`], on the worker's thread.
pub(crate) type OnMessage<A> = Arc<dyn Fn(&A, u32, u64) + Send + Sync>;

/// Where the counters are shown.
#[derive(Clone)]
pub(crate) struct StatusPage {
    /// Answers this path and `PATH/metrics`; `/` for a listener of its own.
    pub path: Arc<str>,
    pub stats: Arc<[Stats]>,
    /// Whose losses are shown, too.
    pub log: Option<Arc<AccessLog>>,
}

/// Bytes of the longest reply with the counters, all of them at their largest values.
const STATUS_REPLY: usize = 8 << 10;

/// A service with all that the native target adds.
pub(crate) struct Front<'m, S> {
    pub inner: S,
    pub log: Option<Lines>,
    pub status: Option<StatusPage>,
    /// Not a type of its own: there would be an engine for each.
    pub on_message: &'m mut dyn FnMut(u64),
}

/// What the log says when a handler panicked; where, the panic's own message has told.
const PANICKED: &str = "a handler panicked";

impl<S: Service> Service for Front<'_, S> {
    type File = S::File;

    fn connected(&mut self, index: u32, socket: Socket) {
        if let Some(log) = &mut self.log {
            log.connected(index, capuchin_posix::peer_address(socket));
        }
    }

    fn closed(&mut self, index: u32) {
        if let Some(log) = &mut self.log {
            log.closed(index);
        }
    }

    fn request(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        if let Some(status) = &self.status
            && let Some(view) = status.view(request)
        {
            return status.show(view, request, draft.reply());
        }
        catch_unwind(AssertUnwindSafe(|| {
            self.inner.request(exchange, request, draft)
        }))
        .unwrap_or_else(|_| Next::failed(PANICKED))
    }

    fn body(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        catch_unwind(AssertUnwindSafe(|| {
            self.inner.body(exchange, request, piece)
        }))
        .unwrap_or(Err(Status::INTERNAL_SERVER_ERROR.into()))
    }

    fn received(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        catch_unwind(AssertUnwindSafe(|| {
            self.inner.received(exchange, request, draft)
        }))
        .unwrap_or_else(|_| Next::failed(PANICKED))
    }

    fn collected(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        body: &[u8],
        draft: &mut Draft<'_>,
    ) -> Next {
        catch_unwind(AssertUnwindSafe(|| {
            self.inner.collected(exchange, request, body, draft)
        }))
        .unwrap_or_else(|_| Next::failed(PANICKED))
    }

    fn resume(&mut self, exchange: &mut Exchange<'_>, value: u64, draft: &mut Draft<'_>) -> Next {
        catch_unwind(AssertUnwindSafe(|| {
            self.inner.resume(exchange, value, draft)
        }))
        .unwrap_or_else(|_| Next::failed(PANICKED))
    }

    fn stream(&mut self, exchange: &mut Exchange<'_>, out: &mut Writer<'_>) -> Progress {
        catch_unwind(AssertUnwindSafe(|| self.inner.stream(exchange, out)))
            .unwrap_or(Progress::Failed)
    }

    fn abandoned(&mut self, exchange: &mut Exchange<'_>) {
        // The request is over; there is nobody left to tell.
        let _ = catch_unwind(AssertUnwindSafe(|| self.inner.abandoned(exchange)));
    }

    fn route_name(&self, route: u16) -> &str {
        self.inner.route_name(route)
    }

    fn message(&mut self, value: u64) {
        if catch_unwind(AssertUnwindSafe(|| (self.on_message)(value))).is_err()
            && let Some(more) = throttle::admit(throttle::MESSAGE)
        {
            log::error!("the application panicked over a message{more}");
        }
    }

    #[inline]
    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, S::File> {
        self.inner.content(id, range)
    }

    #[inline]
    fn release(&mut self, id: ContentId) {
        self.inner.release(id);
    }

    #[inline]
    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        self.inner.prepared(id, opening)
    }

    #[inline]
    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        self.inner.recall(head, place, now, unix_time)
    }

    fn remember(&mut self, head: &[u8], id: ContentId) {
        self.inner.remember(head, id);
    }

    #[inline]
    fn observes(&self) -> bool {
        self.log.is_some()
    }

    fn observe(&mut self, index: u32, request: Option<&Head<'_>>, unix_time: u64) {
        if let Some(log) = &mut self.log {
            log.observe(index, request, unix_time);
        }
    }

    fn finished(&mut self, index: u32, outcome: Outcome) {
        if let Some(log) = &mut self.log {
            log.finished(index, outcome);
        }
    }

    fn turn_ended(&mut self) {
        if let Some(log) = &mut self.log {
            log.turn_ended();
        }
    }
}

impl<S: Chores> Chores for Front<'_, S> {
    fn chores(&mut self, now: u64) -> Option<u32> {
        let retry = self.log.as_ref().and_then(Lines::retry_in);
        let site = self.inner.chores(now);
        retry.into_iter().chain(site).min()
    }

    fn reply_bytes(&self) -> usize {
        let own = self.status.as_ref().map_or(0, |_| STATUS_REPLY);
        own.max(self.inner.reply_bytes())
    }
}

/// How the counters are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Text,
    Prometheus,
}

impl StatusPage {
    /// Whether a request asks for the counters, and in which form.
    fn view(&self, request: &Request<'_>) -> Option<View> {
        let path = request.path();
        let base = self.path.as_bytes();
        if path == base {
            // Prometheus says which version of its text format it takes.
            let wants_metrics = request
                .field("accept")
                .is_some_and(|accept| accept.windows(14).any(|part| part == b"version=0.0.4;"));
            return Some(if wants_metrics {
                View::Prometheus
            } else {
                View::Text
            });
        }
        // `/about` has `/about/metrics`; `/aboutmetrics` belongs to the application.
        let base = base.strip_suffix(b"/").unwrap_or(base);
        (path.strip_prefix(base)? == b"/metrics").then_some(View::Prometheus)
    }

    fn show(&self, view: View, request: &Request<'_>, reply: Reply<'_>) -> Next {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return reply
                .status(Status::METHOD_NOT_ALLOWED)
                .field("Allow", b"GET, HEAD")
                .explained("the counters can only be read");
        }
        let mut sum = Snapshot::default();
        self.stats.iter().for_each(|stats| sum.add(stats));
        let lost = self.log.as_ref().map(|log| log.lost());
        let head = reply.status(Status::OK).field("Cache-Control", b"no-store");
        match view {
            View::Text => head
                .field("Content-Type", b"text/plain; charset=utf-8")
                .body_with(|out| write_text(sum, lost, out)),
            View::Prometheus => head
                .field("Content-Type", b"text/plain; version=0.0.4; charset=utf-8")
                .body_with(|out| write_prometheus(sum, lost, out)),
        }
    }
}

fn write_text(sum: Snapshot, lost: Option<u64>, out: &mut dyn Write) -> fmt::Result {
    sum.write_text(out)?;
    match lost {
        Some(lost) => writeln!(out, "access_log_lines_lost {lost}"),
        None => Ok(()),
    }
}

fn write_prometheus(sum: Snapshot, lost: Option<u64>, out: &mut dyn Write) -> fmt::Result {
    sum.write_prometheus(out)?;
    let Some(lost) = lost else { return Ok(()) };
    let name = "capuchin_access_log_lines_lost_total";
    writeln!(
        out,
        "# HELP {name} Lines of the access log that its destination did not take\n# TYPE {name} counter\n{name} {lost}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use capuchin_core::stats::Counter;

    #[test]
    fn counters_at_their_largest_fit_a_reply() {
        let stats = Stats::new();
        for &counter in Counter::ALL {
            stats.add(counter, usize::MAX);
        }
        let mut page = String::new();
        write_prometheus(stats.snapshot(), Some(u64::MAX), &mut page).unwrap();
        let head = 512;
        assert!(page.len() + head <= STATUS_REPLY, "{}", page.len());
    }
}
