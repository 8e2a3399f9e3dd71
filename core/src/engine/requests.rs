//! From received bytes to a request, and what the service makes of it.

use super::*;
use crate::http::path::PathError;

impl<T, S> Desk<'_, T, S>
where
    T: Transport,
    S: Service<File = T::File>,
{
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn head(&mut self, slot: &mut Slot, token: Token, budget: &mut Budget) -> Flow {
        let Some(lease) = slot.lease.filter(|_| slot.start != slot.end) else {
            return self.more(slot, token, budget);
        };
        if budget.is_spent(self.limits.turn_requests) {
            return Some(self.flushed_or(slot, budget, Want::Turn));
        }
        if let Some(want) = self.make_room(slot, budget) {
            return Some(want);
        }
        let mut made = Made::NOTHING;
        match self.parse_and_ask(slot, token, lease, &mut made) {
            Ok(Asked::Incomplete) => {
                slot.enter(State::Head);
                self.more(slot, token, budget)
            }
            Ok(asked) => {
                budget.requests -= 1;
                budget.charge(self.service.cost() as usize);
                if let Asked::Service(next) = asked {
                    self.act(slot, token, &next, &made);
                    #[cfg(not(target_os = "rtems"))]
                    self.answer_repeats(slot, lease, &made, budget);
                }
                GO_ON
            }
            Err(error) => {
                if let Some(limit) = Exceeded::by(error) {
                    self.service.exceeded(limit);
                }
                let status = Status::from_error(error.status());
                let limit = match error {
                    HeadError::TooManyFields => self.leases.rows() - 1,
                    HeadError::TooLarge | HeadError::RequestLineTooLong => {
                        self.limits.head_bytes.into()
                    }
                    _ => return self.refuse(slot, token, status, &error),
                };
                let unit = match error {
                    HeadError::TooManyFields => "fields",
                    _ => "bytes",
                };
                let why = format_args!("{error}: this server takes {limit} {unit}");
                self.refuse(slot, token, status, &why)
            }
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
        if slot.is_before_request() {
            // Only empty lines may come before a method. What is behind another byte must not count: whether it has
            // arrived already is chance.
            let input = self.input(slot);
            let begin = input.iter().position(|&byte| !b"\r\n".contains(&byte));
            if begin.is_some_and(|begin| input[begin..].starts_with(b"HEAD ")) {
                slot.flags.set(Flags::HEAD_ONLY);
            }
        }
        if self.service.observes() && !slot.flags.has(Flags::OBSERVED) {
            slot.flags.set(Flags::OBSERVED);
            self.service.observe(token.index, None, self.unix_time);
        }
        slot.flags.set(Flags::LINGER);
        self.fail(slot, token, status, why);
        GO_ON
    }

    /// Parses on; the service is asked what to do when the head is complete.
    #[cfg_attr(target_os = "rtems", inline(never))]
    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    pub(super) fn parse_and_ask(
        &mut self,
        slot: &mut Slot,
        token: Token,
        lease: LeaseId,
        made: &mut Made,
    ) -> Result<Asked, HeadError> {
        let limit = usize::from(self.limits.head_bytes);
        let room = self.reply_room();
        let (bytes, fields) = self.leases.parts(lease);
        let (input, output) = bytes.split_at_mut(usize::from(slot.end));
        let input = &input[usize::from(slot.start)..];
        // The parser sees no more than a head may have: where it stops then is what was too long.
        let input = &input[..input.len().min(limit)];
        let Parsed::Complete { length } = slot.parser.advance(input, fields)? else {
            if input.len() == limit {
                return Err(slot.parser.full());
            }
            return Ok(Asked::Incomplete);
        };
        slot.head = slot.start;
        slot.start += length as u16;
        self.stats.count(Counter::Requests);
        let head = Head::new(&slot.parser, &input[..length], fields);
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
        let last = is_last(slot, &self.limits);
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
            self.fail(
                slot,
                token,
                Status::NOT_IMPLEMENTED,
                &"this server does not know the method",
            );
            return Ok(Asked::Engine);
        }
        if matches!(slot.body, Body::Length(length) if length > self.limits.body_bytes) {
            self.fail(
                slot,
                token,
                Status::CONTENT_TOO_LARGE,
                &"the body is longer than this server takes",
            );
            return Ok(Asked::Engine);
        }
        let path = match path_of(&head, self.scratch) {
            Ok(path) => path,
            Err(error) => {
                self.fail(slot, token, Status::from_error(error.status()), &error);
                return Ok(Asked::Engine);
            }
        };
        let terms = terms!(self, slot);
        let used = usize::from(slot.out_end - slot.end);
        let mut draft = Draft::new(&mut output[used..used + room], terms, made);
        let request = Request::new(head, path);
        let mut exchange = exchange!(self, slot, token);
        let next = self.service.request(&mut exchange, &request, &mut draft);
        Ok(Asked::Service(next))
    }
}

/// Whether a head was complete, and who has answered it.
pub(super) enum Asked {
    Incomplete,
    /// The engine, by itself.
    Engine,
    Service(Next),
}

/// The path that a request is for, decoded and normalised.
#[inline(always)]
pub(super) fn path_of<'b>(head: &Head<'b>, scratch: &'b mut [u8]) -> Result<&'b [u8], PathError> {
    // Most targets are a path that can be used as it is, which the parser has seen where it can.
    if let Some(path) = head.plain_path() {
        return Ok(path);
    }
    match head.path() {
        b"*" => Ok(b"*"),
        raw => path::normalise(raw, scratch),
    }
}

/// Whether a connection may make no request after the one at hand.
pub(super) fn is_last(slot: &Slot, limits: &Limits) -> bool {
    slot.sequence.wrapping_add(1) >= limits.requests_per_connection
}
