//! Hands a fuzzer's bytes to `identity::token`, which says what must hold of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::identity::token(data));
