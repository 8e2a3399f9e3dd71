//! The conformance suite of event channels on kqueue, a test for each case.

use capuchin_kqueue::KqueueChannel;
use capuchin_posix::PosixTransport;
use capuchin_posix::lab::{Kind, PosixLab, tell_table};
use libtest_mimic::{Arguments, Failed, Trial};

struct Kqueue(PosixTransport);

impl Kind for Kqueue {
    type Channel = KqueueChannel;
    type Transport = PosixTransport;
    const LONG_QUEUE: usize = 70_000;

    fn channel(&mut self, messages: usize) -> Option<KqueueChannel> {
        KqueueChannel::new(messages).ok()
    }

    fn transport(&mut self) -> &mut PosixTransport {
        &mut self.0
    }
}

fn main() {
    let trials = PosixLab::<Kqueue>::cases().into_iter().map(|case| {
        Trial::test(case.name, move || {
            case.run(&mut PosixLab::new(Kqueue(PosixTransport)))
                .map_err(|failure| Failed::from(failure.to_string()))
        })
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    tell_table(
        "double/kqueue",
        conclusion.num_passed,
        conclusion.num_failed,
    );
    conclusion.exit();
}
