//! The conformance suite of [`EventChannel`]: its nine contracts as cases that every channel passes.
//!
//! It needs no allocator and no threads of its own, so that it runs inside an RTEMS image as well:
//! a [`Lab`] supplies channels, sockets and other threads or tasks. [`cases`] lists what there is to
//! run; each case makes its own channel and gives back what it took.

use crate::event::{
    Deadline, Error, Event, EventChannel, EventList, Full, Interest, Message, Notifier, Readiness,
    Token,
};
use crate::transport::{Socket, Transport};

/// Supplies what the cases work with. Whatever it cannot do it answers with `None`; the case is then
/// reported as [`Failure::NotPossible`].
pub trait Lab {
    /// The channel under test.
    type Channel: EventChannel<Notifier = Self::Notifier>;
    /// Its notifier.
    type Notifier: Notifier;
    /// The sockets that it watches.
    type Transport: Transport;

    /// A new channel whose queue holds `capacity` messages.
    fn channel(&mut self, capacity: usize) -> Self::Channel;
    /// Calls on sockets.
    fn transport(&mut self) -> &mut Self::Transport;
    /// Two connected, non-blocking stream sockets.
    fn pair(&mut self) -> Option<(Socket, Socket)>;
    /// A non-blocking listening socket.
    fn listener(&mut self) -> Option<Socket>;
    /// A socket that connects to `listener`.
    fn connect(&mut self, listener: Socket) -> Option<Socket>;
    /// Closes `socket` so that its peer sees a reset.
    fn reset(&mut self, socket: Socket);
    /// Starts `count` threads or tasks that call `job` with a notifier and their number.
    fn start(&mut self, notifier: &Self::Notifier, count: usize, job: fn(&Self::Notifier, usize));
    /// Waits until all that were started have ended.
    fn join(&mut self);
    /// Milliseconds of a precise monotonic clock.
    fn now(&mut self) -> u64;
}

/// Why a case did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The channel broke this promise.
    Broken(&'static str),
    /// The lab could not set the case up: it says nothing about the channel.
    NotPossible,
}

type Outcome = Result<(), Failure>;

macro_rules! ensure {
    ($condition:expr, $promise:literal) => {
        if !$condition {
            return Err(Failure::Broken($promise));
        }
    };
}

/// A case: its name, and what runs it.
pub type Case<L> = (&'static str, fn(&mut L) -> Result<(), Failure>);

/// Every case.
#[must_use]
pub fn cases<L: Lab>() -> [Case<L>; 22] {
    [
        (
            "readable_socket_is_reported_until_it_is_drained",
            level_triggered,
        ),
        ("interest_decides_what_is_reported", interests),
        ("end_of_stream_arrives_as_readable", end_of_stream),
        ("half_closed_socket_is_still_writable", half_closed),
        ("reset_arrives_without_being_asked_for", reset),
        ("tokens_come_back_as_they_were_given", tokens),
        ("removed_socket_is_not_reported_any_more", removed),
        ("descriptor_used_again_has_its_new_token", descriptor_reused),
        ("wrong_registrations_are_told", registrations),
        ("listener_is_readable_when_a_connection_waits", listener),
        ("message_before_wait_wakes_it", message_before_wait),
        ("message_during_wait_wakes_it", message_during_wait),
        ("messages_of_one_sender_keep_their_order", message_order),
        ("queue_is_full_at_its_capacity_and_not_before", capacity),
        ("messages_are_delivered_exactly_once_under_storm", storm),
        ("wakes_are_coalesced_and_never_lost", coalescing),
        ("wait_looks_without_blocking_when_told_so", deadline_now),
        ("wait_never_ends_before_its_deadline", deadline_after),
        ("pending_messages_end_a_wait_at_once", pending),
        ("more_sockets_than_places_are_all_reported", many_sockets),
        ("messages_do_not_starve_sockets", messages_beside_sockets),
        ("sockets_do_not_starve_messages", sockets_beside_messages),
    ]
}

/// For a wait that should end at once: long enough to tell that it did not.
const LONG_MS: u32 = 5_000;

/// How late a wait may end on a busy machine, in milliseconds.
const LATENESS_MS: u64 = 2_000;

const fn token(index: u32, generation: u32) -> Token {
    Token { index, generation }
}

/// What one wait reported for a token.
fn wait_for<C: EventChannel>(
    channel: &mut C,
    wanted: Token,
    until: Deadline,
) -> Result<Readiness, Failure> {
    let mut events = EventList::new();
    channel
        .wait(&mut events, until)
        .map_err(|_| Failure::Broken("wait works"))?;
    let found = events.as_slice().iter().find_map(|event| match event {
        Event::Ready { token, readiness } if *token == wanted => Some(*readiness),
        _ => None,
    });
    Ok(found.unwrap_or(Readiness::NONE))
}

/// Waits, again if need be, until a token is reported with `readiness`.
fn until_ready<C: EventChannel>(
    channel: &mut C,
    wanted: Token,
    readiness: Readiness,
) -> Result<bool, Failure> {
    for _ in 0..20 {
        if wait_for(channel, wanted, Deadline::After(100))?.contains(readiness) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn add<C: EventChannel>(
    channel: &mut C,
    socket: Socket,
    token: Token,
    interest: Interest,
) -> Outcome {
    channel
        .add(socket, token, interest)
        .map_err(|_| Failure::Broken("a connected socket can be watched"))
}

fn close<L: Lab>(lab: &mut L, sockets: &[Socket]) {
    for &socket in sockets {
        // The case is over; what close reports is another test's matter.
        let _ = lab.transport().close(socket);
    }
}

fn pair<L: Lab>(lab: &mut L) -> Result<(Socket, Socket), Failure> {
    lab.pair().ok_or(Failure::NotPossible)
}

fn send<L: Lab>(lab: &mut L, socket: Socket, bytes: &[u8]) -> Outcome {
    match lab.transport().send(socket, &[bytes], false) {
        Ok(count) if count == bytes.len() => Ok(()),
        _ => Err(Failure::NotPossible),
    }
}

// ---- sockets ----

fn level_triggered<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(1, 1);
    add(&mut channel, a, name, Interest::READ)?;
    ensure!(
        wait_for(&mut channel, name, Deadline::Now)? == Readiness::NONE,
        "a quiet socket is not reported"
    );
    send(lab, b, b"abc")?;
    ensure!(
        until_ready(&mut channel, name, Readiness::READABLE)?,
        "bytes that arrive are reported"
    );
    let mut byte = [0];
    for _ in 0..2 {
        ensure!(
            lab.transport().receive(a, &mut byte) == Ok(1),
            "a reported byte is there"
        );
        ensure!(
            wait_for(&mut channel, name, Deadline::After(1_000))?.contains(Readiness::READABLE),
            "a socket with bytes left is reported again"
        );
    }
    ensure!(
        lab.transport().receive(a, &mut byte) == Ok(1),
        "the last byte is there"
    );
    ensure!(
        wait_for(&mut channel, name, Deadline::After(50))? == Readiness::NONE,
        "a drained socket is not reported"
    );
    let _ = channel.remove(a);
    close(lab, &[a, b]);
    Ok(())
}

fn interests<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(2, 7);
    add(&mut channel, a, name, Interest::NONE)?;
    send(lab, b, b"x")?;
    ensure!(
        wait_for(&mut channel, name, Deadline::After(50))? == Readiness::NONE,
        "without interest nothing is reported"
    );
    let both = Readiness::READABLE.and(Readiness::WRITABLE);
    let steps = [
        (Interest::READ, Readiness::READABLE, Readiness::WRITABLE),
        (Interest::WRITE, Readiness::WRITABLE, Readiness::READABLE),
        (Interest::BOTH, both, Readiness::FAILED),
        (Interest::NONE, Readiness::NONE, both),
        (Interest::READ, Readiness::READABLE, Readiness::WRITABLE),
    ];
    for (interest, wanted, unwanted) in steps {
        ensure!(
            channel.set_interest(a, name, interest).is_ok(),
            "the interest of a watched socket can be changed"
        );
        let mut seen = Readiness::NONE;
        // Two filters may be reported by two waits.
        for _ in 0..5 {
            seen = seen.and(wait_for(&mut channel, name, Deadline::After(50))?);
        }
        ensure!(seen.contains(wanted), "what is wanted is reported");
        ensure!(
            seen == wanted || !seen.contains(unwanted),
            "what is not wanted is not reported"
        );
    }
    let _ = channel.remove(a);
    close(lab, &[a, b]);
    Ok(())
}

fn end_of_stream<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(3, 0);
    add(&mut channel, a, name, Interest::READ)?;
    send(lab, b, b"last")?;
    let _ = lab.transport().shutdown(b);
    ensure!(
        until_ready(&mut channel, name, Readiness::READABLE)?,
        "the last bytes are reported"
    );
    let mut bytes = [0; 8];
    ensure!(
        lab.transport().receive(a, &mut bytes) == Ok(4),
        "the last bytes are there"
    );
    ensure!(
        until_ready(&mut channel, name, Readiness::READABLE)?,
        "end of stream behind bytes is reported as readable"
    );
    ensure!(
        lab.transport().receive(a, &mut bytes) == Ok(0),
        "end of stream is received"
    );
    let _ = channel.remove(a);
    close(lab, &[a, b]);
    Ok(())
}

fn half_closed<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(4, 0);
    let _ = lab.transport().shutdown(b);
    add(&mut channel, a, name, Interest::WRITE)?;
    let mut seen = Readiness::NONE;
    for _ in 0..20 {
        seen = seen.and(wait_for(&mut channel, name, Deadline::After(50))?);
    }
    ensure!(
        seen.contains(Readiness::WRITABLE),
        "a half-closed socket can still be written to"
    );
    ensure!(
        !seen.contains(Readiness::FAILED),
        "a half-close is no failure"
    );
    let _ = channel.remove(a);
    close(lab, &[a, b]);
    Ok(())
}

fn reset<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(5, 0);
    add(&mut channel, a, name, Interest::NONE)?;
    lab.reset(b);
    ensure!(
        until_ready(&mut channel, name, Readiness::FAILED)?,
        "a reset is reported without interest"
    );
    ensure!(channel.remove(a).is_ok(), "a failed socket can be removed");
    ensure!(
        wait_for(&mut channel, name, Deadline::After(50))? == Readiness::NONE,
        "a removed socket does not spin"
    );
    close(lab, &[a]);
    Ok(())
}

fn tokens<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    for name in [
        token(0, 0),
        token(u32::MAX - 1, 0),
        token(9, u32::MAX),
        token(0, 1 << 31),
        token(1 << 31, 1),
    ] {
        let (a, b) = pair(lab)?;
        add(&mut channel, a, name, Interest::READ)?;
        send(lab, b, b"x")?;
        ensure!(
            until_ready(&mut channel, name, Readiness::READABLE)?,
            "a token comes back, generation included"
        );
        let changed = token(name.index, name.generation.wrapping_add(1));
        ensure!(
            channel.set_interest(a, changed, Interest::READ).is_ok(),
            "a token can be changed with the interest"
        );
        ensure!(
            until_ready(&mut channel, changed, Readiness::READABLE)?,
            "a changed token comes back"
        );
        let _ = channel.remove(a);
        close(lab, &[a, b]);
    }
    Ok(())
}

fn removed<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(6, 3);
    add(&mut channel, a, name, Interest::BOTH)?;
    send(lab, b, b"x")?;
    ensure!(
        until_ready(&mut channel, name, Readiness::READABLE)?,
        "bytes are reported"
    );
    ensure!(channel.remove(a).is_ok(), "a watched socket can be removed");
    for _ in 0..3 {
        ensure!(
            wait_for(&mut channel, name, Deadline::After(20))? == Readiness::NONE,
            "a removed socket is not reported"
        );
    }
    close(lab, &[a, b]);
    Ok(())
}

fn descriptor_reused<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    for life in 0..20 {
        let (a, b) = pair(lab)?;
        let name = token(7, life);
        add(&mut channel, a, name, Interest::READ)?;
        send(lab, b, b"x")?;
        let mut events = EventList::new();
        for _ in 0..20 {
            channel
                .wait(&mut events, Deadline::After(100))
                .map_err(|_| Failure::Broken("wait works"))?;
            if !events.as_slice().is_empty() {
                break;
            }
        }
        let own = |event: &Event| matches!(event, Event::Ready { token, .. } if *token == name);
        ensure!(
            !events.as_slice().is_empty() && events.as_slice().iter().all(own),
            "only the present life is reported"
        );
        ensure!(channel.remove(a).is_ok(), "remove comes before close");
        close(lab, &[a, b]);
    }
    Ok(())
}

fn registrations<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let (a, b) = pair(lab)?;
    let name = token(8, 0);
    ensure!(
        channel.set_interest(a, name, Interest::READ) == Err(Error::Registration),
        "an unknown socket cannot be changed"
    );
    ensure!(
        channel.remove(a) == Err(Error::Registration),
        "an unknown socket cannot be removed"
    );
    add(&mut channel, a, name, Interest::READ)?;
    ensure!(
        channel.add(a, name, Interest::READ) == Err(Error::Registration),
        "a watched socket cannot be added again"
    );
    ensure!(channel.remove(a).is_ok(), "a watched socket can be removed");
    ensure!(
        channel.remove(a) == Err(Error::Registration),
        "a removed socket cannot be removed again"
    );
    close(lab, &[a, b]);
    Ok(())
}

fn listener<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let listener = lab.listener().ok_or(Failure::NotPossible)?;
    let name = token(9, 0);
    add(&mut channel, listener, name, Interest::READ)?;
    ensure!(
        wait_for(&mut channel, name, Deadline::After(20))? == Readiness::NONE,
        "a quiet listener is not reported"
    );
    let client = lab.connect(listener).ok_or(Failure::NotPossible)?;
    ensure!(
        until_ready(&mut channel, name, Readiness::READABLE)?,
        "a connection that waits is reported"
    );
    let accepted = lab
        .transport()
        .accept(listener)
        .map_err(|_| Failure::Broken("the connection can be accepted"))?;
    ensure!(
        wait_for(&mut channel, name, Deadline::After(20))? == Readiness::NONE,
        "an emptied listener is not reported"
    );
    let _ = channel.remove(listener);
    close(lab, &[listener, client, accepted]);
    Ok(())
}

// ---- messages ----

/// The application messages of one wait are given to `take`.
fn receive<C: EventChannel>(
    channel: &mut C,
    until: Deadline,
    take: &mut dyn FnMut(u64),
) -> Outcome {
    let mut events = EventList::new();
    channel
        .wait(&mut events, until)
        .map_err(|_| Failure::Broken("wait works"))?;
    for event in events.as_slice() {
        if let Event::Message(Message::Application(value)) = event {
            take(*value);
        }
    }
    Ok(())
}

/// All messages that come until `count` have, or long after the last.
fn receive_all<C: EventChannel>(
    channel: &mut C,
    count: usize,
    take: &mut dyn FnMut(u64),
) -> Result<usize, Failure> {
    let (mut seen, mut quiet) = (0, 0);
    while seen < count && quiet < 50 {
        let before = seen;
        receive(channel, Deadline::After(100), &mut |value| {
            seen += 1;
            take(value);
        })?;
        quiet = if seen == before { quiet + 1 } else { 0 };
    }
    // One too many would come now.
    receive(channel, Deadline::After(20), &mut |_| seen += 1)?;
    Ok(seen)
}

fn message_before_wait<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let notifier = channel.notifier();
    for round in 0..10 {
        ensure!(
            notifier.send(Message::Application(round)).is_ok(),
            "an empty queue takes a message"
        );
        let (begin, mut seen) = (lab.now(), None);
        receive(&mut channel, Deadline::After(LONG_MS), &mut |value| {
            seen = Some(value)
        })?;
        ensure!(
            seen == Some(round),
            "a message sent before the wait is reported by it"
        );
        ensure!(lab.now() - begin < LATENESS_MS, "and ends it at once");
    }
    let ticket = crate::event::Ticket {
        connection: token(1, 2),
        sequence: 3,
        worker: 4,
    };
    for message in [
        Message::Adopt(Socket(77)),
        Message::Complete {
            ticket,
            value: u64::MAX,
        },
        Message::Drain,
        Message::Stop,
    ] {
        ensure!(
            notifier.send(message).is_ok(),
            "an empty queue takes a message"
        );
        let mut events = EventList::new();
        channel
            .wait(&mut events, Deadline::After(LONG_MS))
            .map_err(|_| Failure::Broken("wait works"))?;
        ensure!(
            events.as_slice() == [Event::Message(message)],
            "a message arrives as it was sent"
        );
    }
    Ok(())
}

fn message_during_wait<L: Lab>(lab: &mut L) -> Outcome {
    fn job<N: Notifier>(notifier: &N, _: usize) {
        // No sleep is at hand everywhere: some work, so that the wait has most likely begun.
        for turn in 0..20_000_000u32 {
            core::hint::black_box(turn);
        }
        let _ = notifier.send(Message::Application(5));
    }
    let mut channel = lab.channel(4);
    let notifier = channel.notifier();
    for _ in 0..5 {
        lab.start(&notifier, 1, job::<L::Notifier>);
        let (begin, mut seen) = (lab.now(), None);
        receive(&mut channel, Deadline::After(LONG_MS * 4), &mut |value| {
            seen = Some(value)
        })?;
        lab.join();
        ensure!(seen == Some(5), "a message sent during a wait ends it");
        ensure!(
            lab.now() - begin < u64::from(LONG_MS) * 3,
            "and not only the deadline does"
        );
    }
    Ok(())
}

fn message_order<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(64);
    let notifier = channel.notifier();
    let mut next = 0;
    for _ in 0..20 {
        for value in next..next + 50 {
            ensure!(
                notifier.send(Message::Application(value)).is_ok(),
                "there is room"
            );
        }
        let mut in_order = true;
        let seen = receive_all(&mut channel, 50, &mut |value| {
            in_order &= value == next;
            next += 1;
        })?;
        ensure!(seen == 50, "every message arrives once");
        ensure!(in_order, "messages of one sender keep their order");
    }
    Ok(())
}

fn capacity<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(16);
    let notifier = channel.notifier();
    for _ in 0..3 {
        for value in 0..16 {
            ensure!(
                notifier.send(Message::Application(value)).is_ok(),
                "the queue takes as many as it was made for"
            );
        }
        for _ in 0..100 {
            ensure!(
                notifier.send(Message::Application(99)) == Err(Full),
                "one more is refused"
            );
        }
        let mut refused = false;
        let seen = receive_all(&mut channel, 16, &mut |value| refused |= value == 99)?;
        ensure!(
            seen == 16 && !refused,
            "what was taken arrives, and nothing else"
        );
    }
    Ok(())
}

/// Threads of a storm, and messages of each.
const SENDERS: usize = 8;
const EACH: u64 = 2_000;

/// Sends numbered messages, trying again as long as the queue is full.
fn sender<N: Notifier>(notifier: &N, thread: usize) {
    for number in 0..EACH {
        while notifier
            .send(Message::Application((thread as u64) << 32 | number))
            .is_err()
        {
            core::hint::spin_loop();
        }
    }
}

fn storm<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(32);
    let (a, b) = pair(lab)?;
    let name = token(10, 0);
    add(&mut channel, a, name, Interest::READ)?;
    let notifier = channel.notifier();
    lab.start(&notifier, SENDERS, sender::<L::Notifier>);
    let mut next = [0u64; SENDERS];
    let (mut seen, mut quiet, mut echoes, mut disorder) = (0, 0, 0, false);
    let mut events = EventList::new();
    while seen < SENDERS as u64 * EACH && quiet < 50 {
        if echoes % 2 == 0 && lab.transport().send(b, &[b"x"], false) == Ok(1) {
            echoes += 1;
        }
        channel
            .wait(&mut events, Deadline::After(100))
            .map_err(|_| Failure::Broken("wait works"))?;
        quiet = if events.as_slice().is_empty() {
            quiet + 1
        } else {
            0
        };
        for event in events.as_slice() {
            match event {
                Event::Message(Message::Application(value)) => {
                    let (thread, number) = ((value >> 32) as usize, value & 0xffff_ffff);
                    seen += 1;
                    disorder |= next.get(thread) != Some(&number);
                    if let Some(next) = next.get_mut(thread) {
                        *next = number + 1;
                    }
                }
                Event::Ready { token, .. }
                    if *token == name && lab.transport().receive(a, &mut [0; 4]) == Ok(1) =>
                {
                    echoes += 1;
                }
                _ => {}
            }
        }
    }
    lab.join();
    let mut late = 0;
    receive(&mut channel, Deadline::After(50), &mut |_| late += 1)?;
    let _ = channel.remove(a);
    close(lab, &[a, b]);
    ensure!(
        seen + late == SENDERS as u64 * EACH,
        "no message is lost, none delivered twice"
    );
    ensure!(!disorder, "each sender's order is kept");
    ensure!(echoes > 10, "sockets have their turn during a storm");
    Ok(())
}

fn coalescing<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(8);
    let notifier = channel.notifier();
    // Far more wakes than any pipe holds bytes, first without, then with a receiver.
    for _ in 0..200_000 {
        let _ = notifier.send(Message::Application(1));
    }
    ensure!(
        receive_all(&mut channel, 8, &mut |_| {})? == 8,
        "a flood of refused messages loses none of the taken"
    );
    for round in 0..20_000 {
        ensure!(
            notifier.send(Message::Application(round)).is_ok(),
            "an emptied queue takes a message"
        );
        let mut seen = None;
        receive(&mut channel, Deadline::After(LONG_MS), &mut |value| {
            seen = Some(value)
        })?;
        ensure!(seen == Some(round), "every message wakes");
    }
    Ok(())
}

// ---- waiting ----

fn deadline_now<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let begin = lab.now();
    let mut events = EventList::new();
    for _ in 0..100 {
        channel
            .wait(&mut events, Deadline::Now)
            .map_err(|_| Failure::Broken("wait works"))?;
        ensure!(events.as_slice().is_empty(), "nothing happened");
    }
    ensure!(lab.now() - begin < LATENESS_MS, "a look does not block");
    Ok(())
}

fn deadline_after<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let mut events = EventList::new();
    for milliseconds in [1, 2, 5, 20, 100, 101] {
        for _ in 0..5 {
            let begin = lab.now();
            channel
                .wait(&mut events, Deadline::After(milliseconds))
                .map_err(|_| Failure::Broken("wait works"))?;
            let passed = lab.now() - begin;
            // The clock's own step may hide the last part of a millisecond.
            ensure!(
                passed + 1 >= u64::from(milliseconds),
                "a wait does not end before its deadline"
            );
            ensure!(
                passed < u64::from(milliseconds) + LATENESS_MS,
                "a wait ends after its deadline"
            );
        }
    }
    // Longer than any system counts: it is clamped, and a message still ends it.
    ensure!(
        channel.notifier().send(Message::Drain).is_ok(),
        "there is room"
    );
    channel
        .wait(&mut events, Deadline::After(u32::MAX))
        .map_err(|_| Failure::Broken("a long deadline is clamped"))?;
    ensure!(!events.as_slice().is_empty(), "a message ends a long wait");
    Ok(())
}

fn pending<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(512);
    let notifier = channel.notifier();
    for value in 0..500 {
        ensure!(
            notifier.send(Message::Application(value)).is_ok(),
            "there is room"
        );
    }
    let (begin, mut seen) = (lab.now(), 0);
    // More than one wait can report: what is left ends the next at once, without another send.
    while seen < 500 {
        let before = seen;
        receive(&mut channel, Deadline::After(LONG_MS), &mut |_| seen += 1)?;
        ensure!(seen > before, "messages that are left end the next wait");
    }
    ensure!(lab.now() - begin < LATENESS_MS, "at once");
    ensure!(seen == 500, "none is delivered twice");
    Ok(())
}

/// More than one wait can report.
const MANY: usize = EventList::CAPACITY + 36;

/// As many ready sockets, each watched for writing.
fn ready_sockets<L: Lab>(
    lab: &mut L,
    channel: &mut L::Channel,
) -> Result<[(Socket, Socket); MANY], Failure> {
    let mut sockets = [(Socket(-1), Socket(-1)); MANY];
    for (at, place) in sockets.iter_mut().enumerate() {
        *place = pair(lab)?;
        add(channel, place.0, token(at as u32, 0), Interest::WRITE)?;
    }
    Ok(sockets)
}

fn end_ready_sockets<L: Lab>(lab: &mut L, channel: &mut L::Channel, sockets: &[(Socket, Socket)]) {
    for &(a, b) in sockets {
        let _ = channel.remove(a);
        close(lab, &[a, b]);
    }
}

fn many_sockets<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(4);
    let sockets = ready_sockets(lab, &mut channel)?;
    let mut seen = [false; MANY];
    let mut events = EventList::new();
    // All stay ready all the time: nobody may be passed over for ever.
    for _ in 0..20 {
        channel
            .wait(&mut events, Deadline::After(100))
            .map_err(|_| Failure::Broken("wait works"))?;
        for event in events.as_slice() {
            if let Event::Ready { token, .. } = event
                && let Some(seen) = seen.get_mut(token.index as usize)
            {
                *seen = true;
            }
        }
    }
    end_ready_sockets(lab, &mut channel, &sockets);
    ensure!(
        seen.iter().all(|&seen| seen),
        "every ready socket is reported sooner or later"
    );
    Ok(())
}

fn messages_beside_sockets<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(256);
    let notifier = channel.notifier();
    let sockets = ready_sockets(lab, &mut channel)?;
    let mut seen = [false; MANY];
    let mut events = EventList::new();
    for _ in 0..40 {
        // The queue is never empty.
        while notifier.send(Message::Application(0)).is_ok() {}
        channel
            .wait(&mut events, Deadline::After(100))
            .map_err(|_| Failure::Broken("wait works"))?;
        for event in events.as_slice() {
            if let Event::Ready { token, .. } = event
                && let Some(seen) = seen.get_mut(token.index as usize)
            {
                *seen = true;
            }
        }
    }
    end_ready_sockets(lab, &mut channel, &sockets);
    ensure!(
        seen.iter().all(|&seen| seen),
        "every ready socket is reported while messages keep coming"
    );
    Ok(())
}

fn sockets_beside_messages<L: Lab>(lab: &mut L) -> Outcome {
    let mut channel = lab.channel(256);
    let notifier = channel.notifier();
    let sockets = ready_sockets(lab, &mut channel)?;
    for value in 0..200 {
        ensure!(
            notifier.send(Message::Application(value)).is_ok(),
            "there is room"
        );
    }
    let mut seen = 0;
    for _ in 0..200 {
        receive(&mut channel, Deadline::After(100), &mut |_| seen += 1)?;
    }
    end_ready_sockets(lab, &mut channel, &sockets);
    ensure!(seen == 200, "messages arrive while sockets stay ready");
    Ok(())
}
