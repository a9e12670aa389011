//! Hands a fuzzer's bytes to `record::file`, which says what must hold of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::record::file(data));
