//! From what a handler returned to a reply in the lease, and to the next request.

use super::*;
use crate::site::ContentId;
use core::ops::Range;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    /// Does what a handler asked for.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn act(&mut self, slot: &mut Slot, token: Token, next: &Next, made: &Made) {
        if made.close {
            slot.close_after_reply();
        }
        match next.0 {
            Step::Reply if made.written == 0 => {
                self.broken_handler(
                    slot,
                    token,
                    "a handler returned what is no reply to its request",
                );
            }
            Step::Reply => {
                slot.collected = slot.out_end;
                slot.out_end += made.written as u16;
                slot.status = made.status.code();
                slot.flags.set(Flags::REPLIED);
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
                slot.collected = slot.start;
                slot.enter(State::Receiving);
            }
            Step::Collect => {
                let limit = u64::from(self.limits.collect_bytes);
                if matches!(slot.body, Body::Length(length) if length > limit) {
                    return self.too_long_to_collect(slot, token);
                }
                self.invite_body(slot);
                slot.collected = slot.start;
                slot.enter(State::Collecting);
            }
            Step::Failed(reason) => self.broken_handler(slot, token, reason),
        }
    }

    pub(super) fn too_long_to_collect(&mut self, slot: &mut Slot, token: Token) {
        self.service.exceeded(Exceeded::CollectedBody);
        self.fail(
            slot,
            token,
            Status::CONTENT_TOO_LARGE,
            &"the body is longer than this path takes",
        );
    }

    pub(super) fn broken_handler(&mut self, slot: &mut Slot, token: Token, reason: &str) {
        // What makes a handler fail is a request, and clients repeat those.
        if let Some(more) = self.throttle.admit(slot.route.into(), self.now) {
            let what = match self.service.route_name(slot.route) {
                "" => "a request",
                pattern => pattern,
            };
            report!(Error, "{what} was answered with 500: {reason}{more}");
        }
        self.fail(slot, token, Status::INTERNAL_SERVER_ERROR, &"");
    }

    /// 100 (Continue), where the client waits for it and has not begun to send (RFC 9110
    /// section 10.1.1).
    pub(super) fn invite_body(&mut self, slot: &mut Slot) {
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
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn begin_content(&mut self, slot: &mut Slot, token: Token, content: &Source) {
        match *content {
            Source::Written(length) => {
                slot.count = length;
                self.reply_done(slot, token);
            }
            Source::Static(bytes) if self.is_short(slot, bytes.len() as u64) => {
                self.copy(slot, bytes);
                self.reply_done(slot, token);
            }
            Source::Static(bytes) => {
                slot.tail = Tail::Static(bytes);
                slot.enter(State::Sending);
            }
            Source::Content(id, ref range) => {
                let nothing_to_send = range.is_empty() || slot.flags.has(Flags::HEAD_ONLY);
                if nothing_to_send || self.copy_content(slot, id, range) {
                    self.service.release(id);
                    self.reply_done(slot, token);
                } else {
                    slot.tail = Tail::Site {
                        id,
                        at: range.start,
                        end: range.end,
                        plan: 0,
                        part: 0,
                    };
                    slot.enter(State::Sending);
                }
            }
            Source::Parts {
                id,
                ref first,
                lead,
            } => {
                slot.count = u64::from(lead);
                slot.tail = Tail::Site {
                    id,
                    at: first.start,
                    end: first.end,
                    plan: slot.out_end,
                    part: 0,
                };
                slot.enter(State::Sending);
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

    /// Whether content is to be copied behind its head: it fits the lease, and is not too long.
    fn is_short(&self, slot: &Slot, length: u64) -> bool {
        length <= copy_limit(slot).min(self.room(slot)) as u64
    }

    pub(super) fn copy(&mut self, slot: &mut Slot, content: &[u8]) {
        let Some(lease) = slot.lease else { return };
        let at = usize::from(slot.out_end);
        self.leases.bytes(lease)[at..at + content.len()].copy_from_slice(content);
        slot.out_end += content.len() as u16;
        slot.count = content.len() as u64;
    }

    /// Copies short content behind its head that a site has at hand only now, as from a file;
    /// `false` when it is to be sent from where it lies.
    fn copy_content(&mut self, slot: &mut Slot, id: ContentId, range: &Range<u64>) -> bool {
        let length = range.end - range.start;
        if !self.is_short(slot, length) {
            return false;
        }
        let Some(lease) = slot.lease else {
            return false;
        };
        let Content::Bytes(part) = self.service.content(id, range.clone()) else {
            return false;
        };
        if part.len() as u64 != length {
            return false;
        }
        let at = usize::from(slot.out_end);
        self.leases.bytes(lease)[at..at + part.len()].copy_from_slice(part);
        slot.out_end += part.len() as u16;
        slot.count = length;
        true
    }

    pub(super) fn count_reply(&self, status: Status) {
        self.stats.count(counter_of(status.code()));
    }

    /// All of a reply is in the lease or with the transport.
    pub(super) fn reply_done(&mut self, slot: &mut Slot, token: Token) {
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

    pub(super) fn next_request(&mut self, slot: &mut Slot) {
        slot.parser = HeadParser::NEW;
        // What the last request asked for must not shape an error reply to the next.
        slot.flags
            .clear(Flags::HTTP10 | Flags::HEAD_ONLY | Flags::EXPECTS | Flags::ASKED_AGAIN);
        slot.enter(State::Idle);
        slot.flags.set(Flags::REARM);
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub(super) fn tell_end(&mut self, slot: &mut Slot, token: Token, complete: bool) {
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
    #[cfg_attr(target_os = "rtems", inline(never))]
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
            let sent =
                self.transport
                    .send(slot.socket, &[&self.scratch[..made.written]], Then::Nothing);
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
}

/// Where a response with this status is counted.
pub(super) fn counter_of(status: u16) -> Counter {
    match status / 100 {
        2 => Counter::Replies2xx,
        3 => Counter::Replies3xx,
        4 => Counter::Replies4xx,
        _ => Counter::Replies5xx,
    }
}

fn error_reply(mut draft: Draft<'_>, status: Status, why: &dyn Display) {
    // What does not fit leaves nothing made, and the connection ends without a word.
    let _ = draft.reply().refused(status, why);
}
