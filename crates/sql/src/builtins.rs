//! What the server itself brings: the functions and relations of `pg_catalog` and `information_schema`, from two tables
//! in `data/`. They are the same in every database of a version, so a snapshot of a catalog leaves them out.

use std::collections::HashMap;
use std::sync::OnceLock;

const FUNCTIONS: &str = include_str!("../data/functions.txt");
const RELATIONS: &str = include_str!("../data/relations.txt");

/// What a built-in function does, as far as policy and lineage care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Pure and never fails because of a value.
    Total,
    /// Never fails because of its first argument.
    TotalInFirst,
    /// Never fails because of an argument after the first.
    TotalInRest,
    /// Never fails because of its only argument; with more, it may.
    TotalAlone,
    /// Takes keys and values by turns, and refuses some keys.
    TotalInValues,
    /// Pure, but may fail depending on a value.
    Pure,
    /// Touches the session or other sessions.
    Stateful,
    /// Changes stored data.
    Writes,
    /// Tells what may be labelled.
    Leaky,
    /// Runs the SQL of its first argument.
    RunsText,
    /// Runs SQL that no argument shows.
    Dynamic,
    /// Administers the server.
    Administers,
}

/// A built-in function, all overloads of a name together.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) class: Class,
    pub(crate) aggregate: bool,
    /// It returns rows, and how many depends on its arguments.
    pub(crate) set: bool,
    /// Its result columns, if it has OUT parameters.
    pub(crate) columns: Vec<&'static str>,
}

/// The built-in function of this name.
pub(crate) fn function(name: &str) -> Option<&'static Builtin> {
    static TABLE: OnceLock<HashMap<&'static str, Builtin>> = OnceLock::new();
    TABLE.get_or_init(|| FUNCTIONS.lines().filter_map(read_function).collect()).get(name)
}

fn read_function(line: &'static str) -> Option<(&'static str, Builtin)> {
    let mut words = line.split(' ');
    let class = words.next()?;
    let name = words.next()?;
    let aggregate = class.contains('+');
    let set = class.ends_with('*');
    let class = match class.trim_end_matches(['+', '*']) {
        "t" => Class::Total,
        "f" => Class::TotalInFirst,
        "r" => Class::TotalInRest,
        "o" => Class::TotalAlone,
        "v" => Class::TotalInValues,
        "p" => Class::Pure,
        "s" => Class::Stateful,
        "w" => Class::Writes,
        "l" => Class::Leaky,
        "q" => Class::RunsText,
        "d" => Class::Dynamic,
        "a" => Class::Administers,
        _ => return None,
    };
    Some((name, Builtin { class, aggregate, set, columns: words.collect() }))
}

/// The columns of a system relation, by the version they hold from, oldest first.
type Versions = Vec<(u32, Vec<&'static str>)>;

/// The columns of a relation of `pg_catalog` or `information_schema` in this major version.
pub(crate) fn relation(schema: &str, name: &str, major: u32) -> Option<&'static [&'static str]> {
    static TABLE: OnceLock<HashMap<&'static str, HashMap<&'static str, Versions>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, HashMap<&'static str, Versions>> = HashMap::new();
        for line in RELATIONS.lines().filter(|l| !l.starts_with('#')) {
            let mut words = line.split(' ');
            let (Some(version), Some((schema, name))) =
                (words.next().and_then(|v| v.parse().ok()), words.next().and_then(|n| n.split_once('.')))
            else {
                continue;
            };
            table.entry(schema).or_default().entry(name).or_default().push((version, words.collect()));
        }
        table
    });
    let versions = table.get(schema)?.get(name)?;
    // An older server than the oldest known is taken for that one, a newer for the newest.
    let (_, columns) = versions.iter().rev().find(|(from, _)| *from <= major).or_else(|| versions.first())?;
    (!columns.is_empty()).then_some(columns.as_slice())
}

/// How a column of a system relation may hold labelled values of the database it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leak {
    /// It does not.
    None,
    /// Values, or the text of other sessions' statements.
    Values,
    /// Credentials: reading it is administration.
    Secrets,
}

/// How the column of a system relation leaks.
pub(crate) fn leak(schema: &str, relation: &str, column: &str) -> Leak {
    if schema != "pg_catalog" {
        return match (relation, column) {
            ("user_mapping_options" | "_pg_user_mappings", "option_value" | "umoptions") => Leak::Secrets,
            _ => Leak::None,
        };
    }
    if matches!(relation, "pg_stats" | "pg_stats_ext_exprs") {
        // All that ANALYZE counted tells of the values: how many, how wide, in which order.
        let names = ["schemaname", "tablename", "attname", "inherited", "statistics_schemaname", "statistics_name"];
        let named = names.contains(&column) || matches!(column, "statistics_owner" | "expr");
        return if named { Leak::None } else { Leak::Values };
    }
    match (relation, column) {
        ("pg_authid" | "pg_shadow" | "pg_user_mapping" | "pg_hba_file_rules" | "pg_ident_file_mappings", _)
        | ("pg_file_settings" | "pg_backend_memory_contexts" | "pg_shmem_allocations", _)
        | ("pg_shmem_allocations_numa", _)
        | ("pg_user_mappings" | "pg_subscription", _) => Leak::Secrets,
        ("pg_statistic" | "pg_statistic_ext_data" | "pg_largeobject", _)
        | ("pg_stats_ext", "n_distinct" | "dependencies" | "most_common_vals" | "most_common_val_nulls")
        | ("pg_stats_ext", "most_common_freqs" | "most_common_base_freqs")
        | ("pg_stat_activity", "query")
        // A missing value is the default a column was added with; it stands in for every row written before.
        | ("pg_attribute", "attmissingval") => Leak::Values,
        _ => Leak::None,
    }
}

/// Whether a row of this system relation is about the table that its column `tablename` names, and nothing else.
pub(crate) fn tells_of_one_table(schema: &str, relation: &str) -> bool {
    schema == "pg_catalog" && matches!(relation, "pg_stats" | "pg_stats_ext" | "pg_stats_ext_exprs")
}

/// What is known of an extension's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionFunction {
    /// Its result depends on its arguments only.
    Pure,
    /// It runs SQL it is given, or reads tables by name.
    Dynamic,
    /// It reaches files, other servers or raw storage.
    Administers,
    /// Not in the table.
    Unknown,
}

/// The class of a function that belongs to an extension. Whoever may create an extension decides which library runs
/// under its name, so the name is as good as the database's owner.
pub(crate) fn extension_function(extension: &str, name: &str) -> ExtensionFunction {
    match extension {
        "tablefunc" if name == "normal_rand" => ExtensionFunction::Pure,
        "xml2" if name.starts_with("xpath_table") => ExtensionFunction::Dynamic,
        "intarray" | "hstore" | "ltree" | "cube" | "seg" | "isn" | "citext" | "pg_trgm" | "fuzzystrmatch"
        | "unaccent" | "btree_gist" | "btree_gin" | "uuid-ossp" | "pgcrypto" | "earthdistance" | "xml2" | "vector"
        | "dict_int" | "dict_xsyn" | "tsm_system_rows" | "tsm_system_time" | "bloom" | "jsonb_plperl"
        | "hstore_plperl" | "pg_uuidv7" => ExtensionFunction::Pure,
        "tablefunc" | "pg_stat_statements" | "plpgsql" | "timescaledb" | "postgis" | "pg_partman" => {
            ExtensionFunction::Dynamic
        }
        "dblink" | "postgres_fdw" | "file_fdw" | "mysql_fdw" | "oracle_fdw" | "adminpack" | "pageinspect"
        | "pg_walinspect" | "pg_buffercache" | "pg_freespacemap" | "pg_visibility" | "pgstattuple" | "pgrowlocks"
        | "amcheck" | "pg_prewarm" | "pg_surgery" | "sslinfo" | "lo" | "old_snapshot" | "pg_cron" | "plperlu"
        | "plpython3u" | "aws_s3" | "http" | "pglogical" | "pg_logicalinspect" => ExtensionFunction::Administers,
        _ => ExtensionFunction::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_reads() {
        let lines = FUNCTIONS.lines().filter(|l| !l.starts_with('#'));
        assert!(lines.clone().count() > 2_700);
        for line in lines {
            assert!(read_function(line).is_some(), "{line}");
        }
    }

    #[test]
    fn dangerous_names_are_not_pure() {
        for name in ["pg_read_file", "pg_ls_dir", "lo_import", "pg_terminate_backend", "pg_reload_conf"] {
            assert_eq!(function(name).map(|f| f.class), Some(Class::Administers), "{name}");
        }
        assert_eq!(function("set_config").map(|f| f.class), Some(Class::Stateful));
        assert_eq!(function("query_to_xml").map(|f| f.class), Some(Class::RunsText));
        assert!(function("count").is_some_and(|f| f.aggregate));
        assert!(function("dblink").is_none());
    }

    #[test]
    fn versions_of_a_system_relation() {
        let at = |major| relation("pg_catalog", "pg_class", major).unwrap();
        assert!(!at(15).contains(&"relallfrozen"));
        assert!(at(18).contains(&"relallfrozen"));
        assert_eq!(at(14), at(15));
        assert_eq!(at(40), at(18));
        assert!(relation("pg_catalog", "customers", 15).is_none());
    }
}
