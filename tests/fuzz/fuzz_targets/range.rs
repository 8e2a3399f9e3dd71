//! Fuzzes `capuchin_fuzz::range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capuchin_fuzz::range(data));
