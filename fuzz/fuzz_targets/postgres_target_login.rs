//! Fuzzes one decoder of the PostgreSQL protocol; what it asserts is in the file that it shares with the corpus test.
#![no_main]

#[allow(dead_code)]
#[path = "../../protocols/postgres/tests/fuzz_entries/mod.rs"]
mod fuzz_entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_entries::fuzz_target_login(data));
