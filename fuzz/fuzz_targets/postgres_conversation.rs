//! Hands a fuzzer's bytes to `postgres::conversation`, which says what must hold of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::postgres::conversation(data));
