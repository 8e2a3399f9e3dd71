//! The conformance suite of event channels on epoll, a test for each case.

use capuchin_epoll::EpollChannel;
use capuchin_posix::PosixTransport;
use capuchin_posix::lab::{Kind, PosixLab, tell_table};
use libtest_mimic::{Arguments, Failed, Trial};

struct Epoll(PosixTransport);

impl Kind for Epoll {
    type Channel = EpollChannel;
    type Transport = PosixTransport;
    const LONG_QUEUE: usize = 70_000;

    fn channel(&mut self, messages: usize) -> Option<EpollChannel> {
        EpollChannel::new(messages).ok()
    }

    fn transport(&mut self) -> &mut PosixTransport {
        &mut self.0
    }
}

fn main() {
    let trials = PosixLab::<Epoll>::cases().into_iter().map(|case| {
        Trial::test(case.name, move || {
            case.run(&mut PosixLab::new(Epoll(PosixTransport)))
                .map_err(|failure| Failed::from(failure.to_string()))
        })
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    tell_table("epoll", conclusion.num_passed, conclusion.num_failed);
    conclusion.exit();
}
