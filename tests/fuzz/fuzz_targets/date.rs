//! Fuzzes `capuchin_fuzz::date`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capuchin_fuzz::date(data));
