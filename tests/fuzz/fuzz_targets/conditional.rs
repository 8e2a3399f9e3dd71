//! Fuzzes `capuchin_fuzz::conditional`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capuchin_fuzz::conditional(data));
