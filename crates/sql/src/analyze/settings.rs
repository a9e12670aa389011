//! Which settings a session may change without weakening what the gateway rests on. What is not listed needs
//! `administer`: a setting may change how text is read (so that the server reads another statement than was analysed),
//! what the server logs, whose rights apply, or load code.

/// Settings that only change plans, formats, waiting or what the session is called.
const HARMLESS: &[&str] = &[
    "application_name",
    "array_nulls",
    "backend_flush_after",
    "bytea_output",
    "check_function_bodies",
    "client_connection_check_interval",
    "client_min_messages",
    "commit_delay",
    "commit_siblings",
    "constraint_exclusion",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_table_access_method",
    "default_tablespace",
    "default_text_search_config",
    "default_toast_compression",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_io_concurrency",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "gin_fuzzy_search_limit",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "icu_validation_level",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "io_combine_limit",
    "jit",
    "jit_above_cost",
    "jit_expressions",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "jit_tuple_deforming",
    "join_collapse_limit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "logical_decoding_work_mem",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "md5_password_warnings",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "password_encryption",
    "plan_cache_mode",
    "quote_all_identifiers",
    "recursive_worktable_factor",
    "search_path",
    "seed",
    "statement_timeout",
    "stats_fetch_consistency",
    "synchronize_seqscans",
    "synchronous_commit",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "temp_buffers",
    "temp_tablespaces",
    "timezone",
    "timezone_abbreviations",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_timeout",
    "vacuum_buffer_usage_limit",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "vacuum_cost_page_dirty",
    "vacuum_cost_page_hit",
    "vacuum_cost_page_miss",
    "vacuum_failsafe_age",
    "vacuum_freeze_min_age",
    "vacuum_freeze_table_age",
    "vacuum_max_eager_freeze_failure_rate",
    "vacuum_multixact_failsafe_age",
    "vacuum_multixact_freeze_min_age",
    "vacuum_multixact_freeze_table_age",
    "vacuum_truncate",
    "wal_skip_threshold",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Settings that the gateway pins: only the pinned value is harmless.
const PINNED: &[(&str, &[&str])] = &[
    ("standard_conforming_strings", &["on", "true", "yes", "1"]),
    ("backslash_quote", &["safe_encoding"]),
    ("client_encoding", &["utf8", "utf-8", "unicode"]),
    ("names", &["utf8", "utf-8", "unicode"]),
    ("transform_null_equals", &["off", "false", "no", "0"]),
    ("session_replication_role", &["origin"]),
    // Off makes statements fail where the policies of rows would leave some out, and shows no more rows.
    ("row_security", &["on", "true", "yes", "1", "off", "false", "no", "0"]),
    ("exit_on_error", &["off"]),
    ("restrict_nonsystem_relation_kind", &["view, foreign-table", "foreign-table, view"]),
];

/// Whether the server reads texts otherwise under another value of this setting (name in lower case).
pub(super) fn changes_reading(name: &str) -> bool {
    matches!(name, "client_encoding" | "names" | "standard_conforming_strings")
}

/// Families of settings that load code, or send statements and plans elsewhere.
const CLOSED_FAMILIES: &[&str] =
    &["auto_explain", "pgaudit", "plperl", "plpython", "pltcl", "plv8", "pljava", "sepgsql"];

/// Whether changing this setting (name in lower case) to this value is harmless. `None`: the value is not shown.
pub(super) fn is_harmless(name: &str, value: Option<&str>) -> bool {
    if let Some((_, values)) = PINNED.iter().find(|(pinned, _)| *pinned == name) {
        return value.is_some_and(|v| values.contains(&v.to_ascii_lowercase().as_str()));
    }
    if let Some((family, _)) = name.split_once('.') {
        return !CLOSED_FAMILIES.contains(&family);
    }
    // Neither `enable_` nor the costs of pages and rows: with other plans rows come in the order of an index, which may be that of a labelled column.
    HARMLESS.contains(&name) || name.starts_with("geqo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weakens_is_not_harmless() {
        for (name, value, harmless) in [
            ("work_mem", Some("1MB"), true),
            ("my.setting", Some("x"), true),
            ("enable_seqscan", Some("off"), false),
            ("seq_page_cost", Some("1000000"), false),
            ("client_encoding", Some("UTF8"), true),
            ("client_encoding", Some("SQL_ASCII"), false),
            ("standard_conforming_strings", Some("off"), false),
            ("standard_conforming_strings", None, false),
            ("session_replication_role", Some("replica"), false),
            ("row_security", Some("off"), true),
            ("row_security", None, false),
            ("role", Some("dba"), false),
            ("session_authorization", Some("dba"), false),
            ("log_statement", Some("none"), false),
            ("local_preload_libraries", Some("x"), false),
            ("auto_explain.log_min_duration", Some("0"), false),
            ("allow_system_table_mods", Some("on"), false),
        ] {
            assert_eq!(is_harmless(name, value), harmless, "{name} {value:?}");
        }
    }
}
