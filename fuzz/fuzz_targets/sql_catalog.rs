//! Hands a fuzzer's bytes to `sql::catalog_answers`, which says what must hold of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::sql::catalog_answers(data));
