//! Hands a fuzzer's bytes to `postgres::client_auth`, which says what must hold of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::postgres::client_auth(data));
