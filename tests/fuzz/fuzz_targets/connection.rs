//! Fuzzes `capuchin_fuzz::connection::connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capuchin_fuzz::connection::connection(data));
