//! Whole connections under generated courses of events: the body of the fuzz target `connection`, fed with the same
//! inputs each time.

#[path = "../../tests/fuzz/src/connection/mod.rs"]
mod connection;

use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};

/// Another number of cases is chosen by `PROPTEST_CASES`, other inputs by `PROPTEST_RNG_SEED`.
fn config() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 4_000;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config.rng_algorithm = RngAlgorithm::XorShift;
    config.failure_persistence = None;
    config
}

#[test]
fn each_request_of_a_connection_gets_what_it_gets_alone_whatever_others_and_the_network_do() {
    let inputs = proptest::collection::vec(any::<u8>(), 0..600);
    TestRunner::new(config())
        .run(&inputs, |input| {
            connection::connection(&input);
            Ok(())
        })
        .unwrap();
}
