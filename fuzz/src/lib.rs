//! What a fuzzer calls with bytes of its choice, one function for each decoder. The fuzz targets and the test that replays
//! their corpora (`tests/replay`) share these files, so that both try the same. Each function asserts what must hold of any
//! input, beyond not panicking. It is not a place for examples of what is right: those are tests beside the code.

pub mod api;
pub mod config;
pub mod detect;
pub mod identity;
pub mod mask;
pub mod policy;
pub mod postgres;
pub mod record;
pub mod saml;
pub mod sql;

/// A fuzz target.
pub struct Entry {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    /// What it calls.
    pub run: fn(&[u8]),
    /// How many mutations of its corpus the test run tries, so that each target takes a few seconds.
    pub mutations: usize,
}

const fn entry(name: &'static str, run: fn(&[u8]), mutations: usize) -> Entry {
    Entry { name, run, mutations }
}

/// Every fuzz target.
pub const ENTRIES: &[Entry] = &[
    entry("postgres_backend", postgres::backend, 60_000),
    entry("postgres_frontend", postgres::frontend, 60_000),
    entry("postgres_startup", postgres::startup, 20_000),
    entry("postgres_client_auth", postgres::client_auth, 8_000),
    entry("postgres_target_login", postgres::target_login, 18_000),
    entry("postgres_conversation", postgres::conversation, 4_000),
    entry("sql_analysis", sql::analysis, 15_000),
    entry("sql_secrets", sql::secrets, 30_000),
    entry("sql_catalog", sql::catalog_answers, 2_000),
    entry("mask_row", mask::row, 20_000),
    entry("mask_copy", mask::copy, 20_000),
    entry("mask_diagnostic", mask::diagnostic, 20_000),
    entry("detect", detect::detect, 20_000),
    entry("record_events", record::events, 60_000),
    entry("record_file", record::file, 12_000),
    entry("record_checkpoint", record::checkpoint, 6_000),
    entry("policy_file", policy::file, 100),
    entry("config_file", config::file, 300),
    entry("config_cases", config::cases, 1_000),
    entry("identity_token", identity::token, 10_000),
    entry("identity_claims", identity::claims, 20_000),
    entry("identity_keys", identity::keys, 5_000),
    entry("saml_response", saml::response, 2_500),
    entry("saml_metadata", saml::metadata, 10_000),
    entry("api_request", api::request, 5_000),
    entry("api_token", api::token, 10_000),
];
