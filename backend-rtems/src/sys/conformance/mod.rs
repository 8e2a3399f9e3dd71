//! The conformance suite of the directives: what RTEMS's Classic API Guide says of them, as cases that run.
//!
//! There is one set for all who provide them: RTEMS itself, the executive of `targets/standalone`, and the
//! test double. So they cannot drift apart unseen.
//!
//! It promises that each case can fail. It needs no allocator and no standard library, so that it also runs
//! inside an image, on a task that is not among the three most or least urgent.

mod bench;
mod clock;
mod interrupts;
mod messages;
mod tasks;
mod waits;

use capuchin_core::conformance::Outcome;
use core::ffi::c_void;

/// What an interrupt's handler calls, with an argument.
pub type Routine = unsafe extern "C" fn(*mut c_void);

/// What the system that is examined has.
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Lab<'l> {
    /// Objects are as many as were configured, and not as many as there is memory for.
    pub bounded: bool,
    /// A task runs until it waits or a more urgent one can; else they are threads, which have no priorities.
    pub priorities: bool,
    /// Has an interrupt call the routine soon, once; `false` when it cannot. None where there are no
    /// interrupts.
    pub interrupt: Option<&'l mut dyn FnMut(Routine, *mut c_void) -> bool>,
}

/// What a case needs.
enum Needs {
    Nothing,
    Bounds,
    Priorities,
    Interrupts,
}

struct Case {
    name: &'static str,
    needs: Needs,
    examine: fn(&mut Lab<'_>) -> Outcome,
}

/// Names a case by its function.
macro_rules! cases {
    ($($module:ident::$name:ident $needs:ident,)*) => {
        &[$(Case {
            name: concat!("directives::", stringify!($name)),
            needs: Needs::$needs,
            examine: $module::$name,
        },)*]
    };
}

const CASES: &[Case] = cases![
    messages::construct_refuses_what_it_cannot_make Nothing,
    messages::construct_takes_storage_of_the_right_size_only Nothing,
    messages::there_are_as_many_queues_as_configured Bounds,
    messages::messages_come_in_order_with_their_bytes Nothing,
    messages::full_queue_refuses_and_has_room_again Nothing,
    messages::too_long_a_message_is_refused Nothing,
    messages::empty_queue_leaves_what_was_passed_alone Nothing,
    messages::null_pointers_are_told_before_identifiers Nothing,
    messages::identifiers_of_nothing_are_refused Nothing,
    messages::delete_gives_the_storage_back_once Nothing,
    waits::message_ends_a_wait Nothing,
    waits::receive_waits_so_many_ticks Nothing,
    waits::timeout_of_more_than_half_the_counter_does_not_end_at_once Nothing,
    waits::delete_ends_all_waits Nothing,
    waits::more_urgent_receiver_runs_before_send_returns Priorities,
    waits::receivers_that_are_not_more_urgent_run_when_the_sender_waits Priorities,
    waits::message_for_a_waiter_takes_no_place_and_outlives_the_queue Priorities,
    waits::waiters_are_served_in_their_order Priorities,
    waits::waiters_are_served_by_priority_where_the_queue_has_it Priorities,
    waits::task_that_was_deleted_waits_no_more Priorities,
    tasks::create_refuses_what_it_cannot_make Nothing,
    tasks::there_are_as_many_tasks_as_configured Bounds,
    tasks::start_tells_what_is_wrong Nothing,
    tasks::task_gets_its_argument_whole Nothing,
    tasks::task_knows_itself Priorities,
    tasks::equals_run_in_turn Priorities,
    tasks::priority_is_told_and_changed Priorities,
    tasks::most_urgent_runs_when_priorities_change Priorities,
    tasks::sleeper_runs_at_its_tick Priorities,
    tasks::work_that_is_preempted_comes_out_right Priorities,
    clock::ticks_go_on Nothing,
    clock::task_sleeps_so_many_ticks Nothing,
    clock::time_of_day_is_set_and_goes_on Nothing,
    interrupts::interrupt_sends_and_a_more_urgent_task_runs Interrupts,
    interrupts::interrupt_must_not_delete_tasks Interrupts,
];

/// Runs the cases that the system can have; each is told.
pub fn run(lab: &mut Lab<'_>, tell: &mut dyn FnMut(&str, Outcome)) {
    for case in CASES {
        let applies = match case.needs {
            Needs::Nothing => true,
            Needs::Bounds => lab.bounded,
            Needs::Priorities => lab.priorities,
            Needs::Interrupts => lab.interrupt.is_some(),
        };
        if applies {
            tell(case.name, (case.examine)(lab));
        }
    }
}
