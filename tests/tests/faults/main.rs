//! Faults of the network that QEMU's filters let us make: the image for pc386 that needs no RTEMS, on a
//! wire that goes through this test.
//!
//! ```text
//! CAPUCHIN_TEST_SEED=N cargo test -p capuchin-tests --test faults -- loss     the same faults again
//! ```

mod bench;
mod flood;
mod frames;
mod junk;
mod line;
mod loss;

use capuchin_tests::standalone;
use std::process::ExitCode;

const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

fn main() -> ExitCode {
    standalone::run(
        CARGO_FOLDER,
        &[
            (
                "faults",
                "whichever_frame_is_lost_comes_again_in_a_second",
                loss::one,
            ),
            ("faults", "lost_frames_change_no_reply", loss::lost),
            (
                "faults",
                "frames_in_another_order_and_twice_change_no_reply",
                loss::reordered_and_doubled,
            ),
            ("faults", "damaged_copies_change_no_reply", loss::damaged),
            (
                "faults",
                "six_times_the_connections_leave_those_alone_that_are_there",
                flood::connections,
            ),
            (
                "faults",
                "as_many_that_say_nothing_are_seen_off",
                flood::silent,
            ),
            (
                "faults",
                "forged_requests_for_connections_keep_nobody_out_for_long",
                flood::forged,
            ),
            ("faults", "junk_is_passed_over", junk::junk),
        ],
    )
}
