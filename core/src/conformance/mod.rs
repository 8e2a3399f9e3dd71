//! The conformance suite of event channels: what [`crate::event`] promises, as cases that run.
//!
//! A backend supplies a [`Lab`] (channels, sockets, a clock, a way to do things at the same time)
//! and calls [`run`]; every case that it does not pass is a promise that it does not keep. The
//! suite needs no allocator and no standard library, so that it also runs inside an image.
//!
//! It promises that each case can fail, and that a channel which reports a spurious event now and
//! then passes: where silence is asked for, it must come within [`PATIENCE`] waits.
//! It must not know how a channel is built. Two of the contracts cannot be seen from here and are
//! left to each backend's own tests: that descriptors are close-on-exec (5), and that the channel
//! is made by the worker that uses it (8).

mod bench;
mod fairness;
mod messages;
mod readiness;
mod registration;
mod storm;
mod time;

use crate::event::{self, EventChannel};
use crate::transport::{self, Socket};
use core::fmt;

pub use bench::PATIENCE;

/// What a backend supplies to be examined. Sockets are connected stream sockets, non-blocking.
pub trait Lab: Sized {
    /// The channel under examination; its notifier is shared by the threads of a storm.
    type Channel: EventChannel<Notifier: Sync>;

    /// Connected pairs that can be open at the same time. More than [`event::EventList::CAPACITY`],
    /// or the cases about more ready sockets than one wait reports show nothing.
    const PAIRS: usize;

    /// Messages in the longest queue that is asked for. More than the wake primitive (a pipe, a
    /// socket buffer) holds bytes, or the case about a full one shows nothing.
    const LONG_QUEUE: usize;

    /// Turns of an empty loop after which a task that waits for another lets it go first. Few where
    /// there is one processor: nothing changes while it turns.
    const IMPATIENCE: u32 = 20_000;

    /// A channel whose queue holds exactly `messages` messages.
    fn channel(&mut self, messages: usize) -> Option<Self::Channel>;

    /// Two connected sockets with small buffers.
    fn pair(&mut self) -> Option<(Socket, Socket)>;

    /// A listening socket, with room for two connections that wait.
    fn listener(&mut self) -> Option<Socket>;

    /// A client's socket, connected to `listener`.
    fn connect(&mut self, listener: Socket) -> Option<Socket>;

    /// Takes a connection that waits at `listener`.
    ///
    /// # Errors
    /// As [`transport::Transport::accept`].
    fn accept(&mut self, listener: Socket) -> Result<Socket, transport::Error>;

    /// Receives.
    ///
    /// # Errors
    /// As [`transport::Transport::receive`].
    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, transport::Error>;

    /// Sends.
    ///
    /// # Errors
    /// As [`transport::Transport::send`].
    fn send(&mut self, socket: Socket, bytes: &[u8]) -> Result<usize, transport::Error>;

    /// Ends the sending direction.
    fn half_close(&mut self, socket: Socket);

    /// Closes a socket.
    fn close(&mut self, socket: Socket);

    /// Closes a socket so that its peer meets an error, not an end of stream.
    fn reset(&mut self, socket: Socket);

    /// Milliseconds of a monotonic clock as fine as the system has; rounded down.
    fn now(&mut self) -> u64;

    /// Runs `task` `count` times, each with its number and on a thread or task of its own, and
    /// `meanwhile` on this one, all at the same time; returns when all have ended.
    fn together(
        &mut self,
        count: usize,
        task: &(dyn Fn(usize, &dyn Aide) + Sync),
        meanwhile: &mut dyn FnMut(&mut Self),
    );

    /// Closes all sockets that were handed out and are not closed yet. Called after each case.
    fn tidy(&mut self);
}

/// What the tasks of [`Lab::together`] can do.
pub trait Aide: Sync {
    /// Waits so many milliseconds; 0 lets other tasks of this priority go first.
    fn nap(&self, milliseconds: u32);

    /// Sends one byte.
    fn poke(&self, socket: Socket);

    /// Interrupts the thread that runs the suite by a signal that is caught; `false` where there
    /// is no such thing.
    fn interrupt(&self) -> bool;
}

/// A promise that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What should have been.
    pub expectation: &'static str,
    /// What was there instead, where that is a number.
    pub found: Option<u64>,
    /// What the channel answered, where it refused.
    pub refusal: Option<event::Error>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "should be true: {}", self.expectation)?;
        if let Some(found) = self.found {
            write!(f, " (found {found})")?;
        }
        if let Some(refusal) = self.refusal {
            write!(f, " ({refusal})")?;
        }
        Ok(())
    }
}

impl core::error::Error for Failure {}

/// What a case finds.
pub type Outcome = Result<(), Failure>;

/// One case: a promise by name, and how it is examined.
#[derive(Debug)]
pub struct Case<L> {
    /// The promise.
    pub name: &'static str,
    examine: fn(&mut L) -> Outcome,
}

impl<L: Lab> Case<L> {
    /// Examines it and tidies up.
    ///
    /// # Errors
    /// The first expectation that was not met.
    pub fn run(&self, lab: &mut L) -> Outcome {
        let outcome = (self.examine)(lab);
        lab.tidy();
        outcome
    }
}

/// Runs every case and reports each by its name.
pub fn run<L: Lab>(lab: &mut L, report: &mut dyn FnMut(&'static str, Outcome)) {
    for case in cases::<L>() {
        report(case.name, case.run(lab));
    }
}

macro_rules! table {
    ($count:literal: $($module:ident { $($name:ident)* })*) => {
        /// Every case, in the order of the contracts.
        #[must_use]
        pub fn cases<L: Lab>() -> [Case<L>; $count] {
            [$($(Case { name: concat!(stringify!($module), "::", stringify!($name)), examine: $module::$name }),*),*]
        }
    };
}

table! { 48:
    readiness {
        readable_is_reported_until_nothing_is_left
        writable_is_reported_until_nothing_fits
        both_are_reported_when_both_are_asked_for
        what_is_not_asked_for_is_not_reported
        interest_none_is_silent_and_read_brings_the_bytes_back
        interest_changes_with_each_call
        end_of_stream_is_readable_and_no_failure
        bytes_and_end_of_stream_that_come_together_are_both_reported
        half_closed_peer_is_no_event_for_a_writer
        reset_is_reported_without_interest
        reset_behind_bytes_is_reported_without_interest
        reset_is_reported_to_a_reader
        hang_up_is_reported_without_interest
        hang_up_behind_bytes_is_reported_without_interest
        end_of_stream_behind_bytes_is_silent_without_interest
        listener_is_readable_while_connections_wait
        socket_that_becomes_ready_ends_a_wait
    }
    registration {
        token_comes_back_with_its_generation
        changed_interest_brings_the_new_token
        removed_socket_is_silent
        removed_socket_is_silent_after_close
        failed_socket_is_silent_once_removed
        socket_added_again_has_its_new_generation_only
        number_used_again_has_its_new_generation_only
        wrong_registrations_are_refused
        registrations_are_given_back
    }
    messages {
        message_before_a_wait_ends_it
        message_during_a_wait_ends_it
        every_message_arrives_as_it_was_sent_and_in_order
        queue_takes_its_capacity_and_refuses_one_more
        full_queue_never_blocks_and_recovers
        long_queue_needs_no_room_in_the_wake_primitive
        what_one_wait_leaves_the_next_reports_at_once
        a_message_wakes_once
        channels_are_apart
    }
    storm {
        eight_senders_lose_and_repeat_nothing_while_sockets_are_busy
        message_that_comes_while_others_are_taken_wakes
    }
    time {
        now_does_not_block
        after_is_never_early_and_not_much_late
        longest_deadline_is_no_short_one
        wait_forgets_the_events_before_it
        signal_is_no_error
    }
    fairness {
        more_ready_sockets_than_fit_are_all_reported
        messages_do_not_starve_sockets
        sockets_do_not_starve_messages
        busy_socket_does_not_silence_another
        busy_socket_leaves_other_tasks_their_turn
        looking_without_waiting_leaves_other_tasks_their_turn
    }
}
