//! Tasks: the most urgent that can run does, and among equals the one that runs until it waits.

use super::{Guarded, clock, id_of, index_of};
use crate::interrupts;
use capuchin_pc::port::without_interrupts;
use capuchin_rtems::StatusCode;
use capuchin_rtems::directives::{CURRENT_PRIORITY, SELF};
use core::arch::global_asm;

/// `CONFIGURE_MAXIMUM_TASKS`, the first one included.
/// The fixture has one that completes replies, the eight of a storm, and of the storm before those that have
/// yet to end.
const TASKS: usize = if cfg!(feature = "fixture") {
    18
} else if cfg!(feature = "conformance") {
    8
} else {
    1
};

/// Bytes of the stack of each task but the first, which has the boot's.
const STACK: usize = 4 << 10;

/// The class of the identifiers.
const CLASS: u32 = 0x0a;

/// The least urgent priority.
const LEAST_URGENT: u32 = 255;

/// The first task's.
const FIRST_PRIORITY: u32 = 100;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// What was waited for is there.
    Served,
    /// The time ran out.
    Late,
    /// What was waited on is gone.
    Deleted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody's.
    Free,
    /// Created, not started.
    Dormant,
    /// It runs, or would.
    Ready,
    /// On the object of this identifier (0: on none), until a tick.
    Waiting {
        on: u32,
        receiver: Option<Receiver>,
        until: Option<u64>,
    },
}

/// Where a message is put that a task waits for, and its size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    pub buffer: *mut u8,
    pub size: *mut usize,
}

// SAFETY: all tasks share one address space. The task that owns this memory waits until a message was written to it,
// which is done with interrupts off.
unsafe impl Send for Receiver {}

#[derive(Clone, Copy)]
struct Task {
    state: State,
    priority: u32,
    /// When it became ready, began to wait, or went behind its equals: the lowest number comes first.
    turn: u32,
    wake: Wake,
    /// The stack pointer, while it does not run.
    pointer: u32,
    entry: Option<(unsafe extern "C" fn(usize), usize)>,
}

const NOBODY: Task = Task {
    state: State::Free,
    priority: LEAST_URGENT,
    turn: 0,
    wake: Wake::Served,
    pointer: 0,
    entry: None,
};

struct All {
    tasks: [Task; TASKS],
    current: usize,
    turns: u32,
}

static ALL: Guarded<All> = Guarded::new(All {
    tasks: {
        let mut tasks = [NOBODY; TASKS];
        tasks[0].state = State::Ready;
        tasks[0].priority = FIRST_PRIORITY;
        tasks
    },
    current: 0,
    turns: 0,
});

#[repr(align(16))]
struct Stacks([[u8; STACK]; TASKS - 1]);

/// The stack of a task but the first. The task that runs is at work on it.
fn stack_of(index: usize) -> *mut u8 {
    // SAFETY: there is a stack for each task but the first.
    unsafe {
        (&raw mut (*STACKS.pointer()).0)
            .cast::<u8>()
            .add((index - 1) * STACK)
    }
}

/// Whether a stack's last word is zero still, as it is until the stack gets to it.
fn is_whole(index: usize) -> bool {
    // SAFETY: stacks are aligned, and the word is in the image's memory.
    unsafe { stack_of(index).cast::<u32>().read_volatile() == 0 }
}

static STACKS: Guarded<Stacks> = Guarded::new(Stacks([[0; STACK]; TASKS - 1]));

impl All {
    /// The task that is to run; `None` where none can.
    fn first(&self) -> Option<usize> {
        (0..TASKS)
            .filter(|&index| matches!(self.tasks[index].state, State::Ready))
            .min_by_key(|&index| {
                let task = &self.tasks[index];
                (task.priority, task.turn.wrapping_sub(self.turns) as i32)
            })
    }

    /// Puts a task behind its equals.
    fn line_up(&mut self, index: usize) {
        self.turns = self.turns.wrapping_add(1);
        self.tasks[index].turn = self.turns;
    }

    fn make_ready(&mut self, index: usize, wake: Wake) {
        self.line_up(index);
        let task = &mut self.tasks[index];
        (task.state, task.wake) = (State::Ready, wake);
    }
}

/// The next of those who wait for a message of an object: the one that waits longest, or the most urgent. It
/// goes on once its message is where it says.
pub(super) fn serve(object: u32, by_priority: bool) -> Option<Receiver> {
    ALL.with(|all| {
        let turns = all.turns;
        let waiting = all.tasks.iter().enumerate().filter_map(|(index, task)| {
            let State::Waiting { on, receiver, .. } = task.state else {
                return None;
            };
            let priority = if by_priority { task.priority } else { 0 };
            let place = (priority, task.turn.wrapping_sub(turns) as i32);
            (on == object).then_some((place, index, receiver?))
        });
        let (_, index, receiver) = waiting.min_by_key(|&(place, ..)| place)?;
        all.make_ready(index, Wake::Served);
        Some(receiver)
    })
}

/// The object is gone: wakes all that wait on it.
pub(super) fn end_waits(object: u32) {
    ALL.with(|all| {
        for index in 0..TASKS {
            if matches!(all.tasks[index].state, State::Waiting { on, .. } if on == object) {
                all.make_ready(index, Wake::Deleted);
            }
        }
    });
}

/// The task that runs waits from now on, for so many ticks or, if that is 0, for ever; [`wait`] follows, and
/// nothing wakes it unheard in between.
pub(super) fn begin_wait(on: u32, receiver: Option<Receiver>, ticks: u32) {
    let until = (ticks != 0).then(|| clock::ticks() + u64::from(ticks));
    ALL.with(|all| {
        all.line_up(all.current);
        all.tasks[all.current].state = State::Waiting {
            on,
            receiver,
            until,
        };
    });
}

/// Lets others run until the wait is over.
pub(super) fn wait() -> Wake {
    without_interrupts(dispatch);
    ALL.with(|all| all.tasks[all.current].wake)
}

/// Lets a more urgent task run, if there is one. Nothing in an interrupt: its end does it.
pub(super) fn give_way() {
    if !IN_INTERRUPT.with(|inside| *inside) {
        without_interrupts(dispatch);
    }
}

/// An interrupt's handler runs.
static IN_INTERRUPT: Guarded<bool> = Guarded::new(false);

/// A handler begins.
pub fn enter_interrupt() {
    IN_INTERRUPT.with(|inside| *inside = true);
}

/// It has ended: a task that it woke may be more urgent than the one it came to. Interrupts are off.
pub fn leave_interrupt() {
    IN_INTERRUPT.with(|inside| *inside = false);
    if !RESTS.with(|rests| *rests) {
        dispatch();
    }
}

/// No task can run, and the last that did waits for an interrupt on its own stack.
static RESTS: Guarded<bool> = Guarded::new(false);

/// The timer: ends the waits whose time has come.
pub(super) fn tick() {
    let now = clock::ticks();
    assert!((1..TASKS).all(is_whole), "a task's stack is too small");
    ALL.with(|all| {
        for index in 0..TASKS {
            if let State::Waiting {
                until: Some(until), ..
            } = all.tasks[index].state
                && now >= until
            {
                all.make_ready(index, Wake::Late);
            }
        }
    });
}

/// Goes on with the task that is to run. Interrupts are off, and are when this returns to its caller.
fn dispatch() {
    let next = loop {
        if let Some(next) = ALL.with(|all| all.first()) {
            break next;
        }
        RESTS.with(|rests| *rests = true);
        interrupts::await_one();
        RESTS.with(|rests| *rests = false);
    };
    let switched = ALL.with(|all| {
        let current = core::mem::replace(&mut all.current, next);
        let from = &raw mut all.tasks[current].pointer;
        (current != next).then(|| (from, all.tasks[next].pointer))
    });
    if let Some((from, to)) = switched {
        // SAFETY: the next task's stack is as a switch away from it, or its start, left it.
        unsafe { switch_stacks(from, to) };
    }
}

unsafe extern "C" {
    fn switch_stacks(from: *mut u32, to: u32);
    fn task_begins();
}

global_asm!(
    r#"
    .pushsection .text.switch, "ax"
    .globl switch_stacks
switch_stacks:
    mov eax, [esp + 4]
    mov edx, [esp + 8]
    push ebp
    push ebx
    push esi
    push edi
    mov [eax], esp
    mov esp, edx
    pop edi
    pop esi
    pop ebx
    pop ebp
    ret
    .globl task_begins
task_begins:
    and esp, -16
    call {run}
    .popsection
    "#,
    run = sym run,
);

/// A new task's first steps; interrupts are off still.
unsafe extern "C" fn run() -> ! {
    let entry = ALL.with(|all| all.tasks[all.current].entry);
    interrupts::enable();
    if let Some((entry, argument)) = entry {
        // SAFETY: the word of whoever started the task.
        unsafe { entry(argument) };
    }
    panic!("a task's entry returns: it ends by rtems_task_exit()")
}

fn index(all: &All, id: u32) -> Option<usize> {
    match id {
        SELF => Some(all.current),
        id => index_of(CLASS, id).filter(|&index| {
            all.tasks
                .get(index)
                .is_some_and(|task| task.state != State::Free)
        }),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_task_create(
    name: u32,
    priority: u32,
    stack_size: usize,
    _modes: u32,
    _attributes: u32,
    id: *mut u32,
) -> u32 {
    if name == 0 {
        return StatusCode::INVALID_NAME.0;
    }
    if id.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    if !(1..=LEAST_URGENT).contains(&priority) {
        return StatusCode::INVALID_PRIORITY.0;
    }
    ALL.with(|all| {
        // The first task has the boot's stack, and no other can have it.
        let Some(index) = (1..TASKS).find(|&index| all.tasks[index].state == State::Free) else {
            return StatusCode::TOO_MANY.0;
        };
        if stack_size > STACK {
            return StatusCode::UNSATISFIED.0;
        }
        all.tasks[index] = Task {
            state: State::Dormant,
            priority,
            ..NOBODY
        };
        // SAFETY: the caller's word.
        unsafe { *id = id_of(CLASS, index) };
        StatusCode::SUCCESSFUL.0
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_task_start(
    id: u32,
    entry: Option<unsafe extern "C" fn(usize)>,
    argument: usize,
) -> u32 {
    let Some(entry) = entry else {
        return StatusCode::INVALID_ADDRESS.0;
    };
    let code = ALL.with(|all| {
        let Some(index) = index(all, id) else {
            return StatusCode::INVALID_ID.0;
        };
        if all.tasks[index].state != State::Dormant {
            return StatusCode::INCORRECT_STATE.0;
        }
        let begins = task_begins as unsafe extern "C" fn() as usize as u32;
        // Nobody uses the stack of a task that does not run.
        // What a switch takes from it: four registers, and where to go on.
        // SAFETY: within the stack.
        let pointer = unsafe {
            let top = stack_of(index).add(STACK - 32).cast::<[u32; 8]>();
            top.write([0, 0, 0, 0, begins, 0, 0, 0]);
            top as u32
        };
        all.tasks[index].pointer = pointer;
        all.tasks[index].entry = Some((entry, argument));
        all.make_ready(index, Wake::Served);
        StatusCode::SUCCESSFUL.0
    });
    if code == StatusCode::SUCCESSFUL.0 {
        give_way();
    }
    code
}

#[unsafe(no_mangle)]
extern "C" fn rtems_task_self() -> u32 {
    ALL.with(|all| id_of(CLASS, all.current))
}

#[unsafe(no_mangle)]
extern "C" fn rtems_task_delete(id: u32) -> u32 {
    let code = ALL.with(|all| match index(all, id) {
        Some(_) if IN_INTERRUPT.with(|inside| *inside) => StatusCode::CALLED_FROM_ISR.0,
        Some(index) => {
            all.tasks[index].state = State::Free;
            StatusCode::SUCCESSFUL.0
        }
        None => StatusCode::INVALID_ID.0,
    });
    give_way();
    code
}

#[unsafe(no_mangle)]
extern "C" fn rtems_task_exit() -> ! {
    rtems_task_delete(SELF);
    unreachable!("a task that is gone does not go on")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rtems_task_set_priority(id: u32, new: u32, old: *mut u32) -> u32 {
    if old.is_null() {
        return StatusCode::INVALID_ADDRESS.0;
    }
    let code = ALL.with(|all| {
        let Some(index) = index(all, id) else {
            return StatusCode::INVALID_ID.0;
        };
        // SAFETY: the caller's word.
        unsafe { *old = all.tasks[index].priority };
        if new > LEAST_URGENT {
            return StatusCode::INVALID_PRIORITY.0;
        }
        if new != CURRENT_PRIORITY {
            all.tasks[index].priority = new;
            // Behind those that have it already; who waits keeps its place among those who do.
            if all.tasks[index].state == State::Ready {
                all.line_up(index);
            }
        }
        StatusCode::SUCCESSFUL.0
    });
    give_way();
    code
}

#[unsafe(no_mangle)]
extern "C" fn rtems_task_wake_after(ticks: u32) -> u32 {
    if ticks == 0 {
        ALL.with(|all| all.make_ready(all.current, Wake::Served));
    } else {
        begin_wait(0, None, ticks);
    }
    wait();
    StatusCode::SUCCESSFUL.0
}
