//! Hands a fuzzer's bytes to `saml::metadata`, which says what must hold of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_fuzz::saml::metadata(data));
