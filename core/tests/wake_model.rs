//! Interleavings of senders and receiver around [`capuchin_core::wake::Wake`], by `loom`, all those with
//! up to four preemptions:
//! `RUSTFLAGS="--cfg loom" cargo test -p capuchin-core --test wake_model --release`.
#![cfg(loom)]

use capuchin_core::wake::Wake;
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::collections::VecDeque;

/// A queue, a primitive that blocks until it is woken, and the flag between the two.
struct Channel {
    wake: Wake,
    queue: Mutex<VecDeque<u32>>,
    /// Wake-ups that are not consumed yet, as bytes in a pipe.
    pipe: Mutex<usize>,
}

impl Channel {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            wake: Wake::new(),
            queue: Mutex::new(VecDeque::new()),
            pipe: Mutex::new(0),
        })
    }

    fn send(&self, message: u32, room: usize) -> Result<(), ()> {
        self.wake.send(
            || {
                let mut queue = self.queue.lock().unwrap();
                if queue.len() == room {
                    return Err(());
                }
                queue.push_back(message);
                Ok(())
            },
            || {
                let mut pipe = self.pipe.lock().unwrap();
                assert_eq!(*pipe, 0, "one wake-up stands for any number of messages");
                *pipe = 1;
            },
        )
    }

    /// Waits to be woken, then takes what is there. A wake-up that is lost shows as a wait that
    /// never ends: loom gives up with "exceeded maximum number of branches".
    fn receive(&self) -> Vec<u32> {
        while *self.pipe.lock().unwrap() == 0 {
            thread::yield_now();
        }
        self.wake.receive(
            || *self.pipe.lock().unwrap() = 0,
            || {
                let mut taken = Vec::new();
                // One look at a time, as a queue without a lock around all of it is read.
                while let Some(message) = self.take() {
                    taken.push(message);
                }
                taken
            },
        )
    }

    fn take(&self) -> Option<u32> {
        self.queue.lock().unwrap().pop_front()
    }
}

fn explore(scenario: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    // Every interleaving with up to so many switches that nobody was forced to. Enough for each way
    // to get the order wrong that `Wake::receive` names, and for a flag that is raised in two steps.
    model.preemption_bound = Some(4);
    model.check(scenario);
}

#[test]
fn every_message_of_two_senders_is_received_once_and_in_order() {
    explore(|| {
        let channel = Channel::new();
        let senders: Vec<_> = [[1, 2], [11, 12]]
            .into_iter()
            .map(|messages| {
                let channel = Arc::clone(&channel);
                thread::spawn(move || {
                    for message in messages {
                        channel.send(message, 4).unwrap();
                    }
                })
            })
            .collect();
        let mut received = Vec::new();
        while received.len() < 4 {
            received.extend(channel.receive());
        }
        for sender in senders {
            sender.join().unwrap();
        }
        for messages in [[1, 2], [11, 12]] {
            let own: Vec<_> = received
                .iter()
                .filter(|message| messages.contains(message))
                .collect();
            assert_eq!(own, messages.iter().collect::<Vec<_>>());
        }
        assert_eq!(channel.take(), None);
    });
}

#[test]
fn refused_message_is_told_and_the_accepted_ones_wake() {
    explore(|| {
        let channel = Channel::new();
        let sender = {
            let channel = Arc::clone(&channel);
            thread::spawn(move || {
                [1, 2, 3]
                    .into_iter()
                    .filter(|&message| channel.send(message, 1).is_ok())
                    .collect::<Vec<_>>()
            })
        };
        // The first finds room whatever happens.
        let mut received = Vec::new();
        while received.is_empty() {
            received.extend(channel.receive());
        }
        let accepted = sender.join().unwrap();
        while received.len() < accepted.len() {
            received.extend(channel.receive());
        }
        assert_eq!(received, accepted);
    });
}
