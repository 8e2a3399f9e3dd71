//! The conformance suite of event channels on the message queue, over the test double of RTEMS's
//! directives; a test for each case. The same suite runs inside an image, on the directives
//! themselves.

use capuchin_posix::PosixTransport;
use capuchin_posix::lab::{Kind, PosixLab, tell_table};
use capuchin_rtems::{Memory, Room, RtemsChannel, RtemsTransport};
use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::{Arc, Mutex, PoisonError};

/// Above the descriptors of this process.
const DESCRIPTORS: usize = 4_096;
const MESSAGES: usize = 5_000;

type Both = RtemsTransport<RtemsTransport<PosixTransport>>;

/// Two memories: no case has more channels at a time. A case at a time has them.
struct Double {
    rooms: [Room; 2],
    transport: Both,
}

impl Double {
    fn new() -> Self {
        let rooms: [Room; 2] = std::array::from_fn(|_| {
            let memory: &'static _ = Box::leak(Box::new(Memory::<DESCRIPTORS, MESSAGES>::new()));
            memory.room()
        });
        let first = RtemsTransport::new(PosixTransport, rooms[0].cells());
        Self {
            rooms,
            transport: RtemsTransport::new(first, rooms[1].cells()),
        }
    }
}

impl Kind for Double {
    type Channel = RtemsChannel;
    type Transport = Both;
    const LONG_QUEUE: usize = MESSAGES;

    fn channel(&mut self, messages: usize) -> Option<RtemsChannel> {
        self.rooms
            .iter()
            .find_map(|&room| RtemsChannel::new(room, messages).ok())
    }

    fn transport(&mut self) -> &mut Both {
        &mut self.transport
    }
}

fn main() {
    let labs = Arc::new(Mutex::new(Vec::new()));
    let trials = PosixLab::<Double>::cases().into_iter().map(|case| {
        let labs = labs.clone();
        Trial::test(case.name, move || {
            let pool = || labs.lock().unwrap_or_else(PoisonError::into_inner);
            let lab = pool().pop();
            let mut lab = lab.unwrap_or_else(|| PosixLab::new(Double::new()));
            let outcome = case.run(&mut lab);
            pool().push(lab);
            outcome.map_err(|failure| Failed::from(failure.to_string()))
        })
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    tell_table("double/queue", conclusion.num_passed, conclusion.num_failed);
    conclusion.exit();
}
