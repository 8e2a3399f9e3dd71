//! Fuzzes `capuchin_fuzz::path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capuchin_fuzz::path(data));
