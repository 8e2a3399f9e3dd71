//! Fuzzes `capuchin_fuzz::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capuchin_fuzz::head(data));
