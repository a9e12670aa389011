//! What the server itself brings: the functions, relations and types of `pg_catalog` and `information_schema`, from tables
//! in `data/`. They are the same in every database of a version, so a snapshot of a catalog leaves them out.

use std::collections::HashMap;
use std::sync::OnceLock;

const FUNCTIONS: &str = include_str!("../data/functions.txt");
const RELATIONS: &str = include_str!("../data/relations.txt");
const RETURNS: &str = include_str!("../data/returns.txt");
const TYPES: &str = include_str!("../data/types.txt");

/// The major versions that the tables were taken from. What another version's own functions and relations have for columns
/// is not known.
pub(crate) const VERSIONS: std::ops::RangeInclusive<u32> = 15..=18;

/// What a built-in function does, as far as policy and lineage care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Pure and never fails because of a value.
    Total,
    /// Pure, and never fails because of a value if its arguments are of some types, or some of them constants.
    Conditional,
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
        "c" => Class::Conditional,
        "p" => Class::Pure,
        "s" => Class::Stateful,
        "w" => Class::Writes,
        "l" => Class::Leaky,
        "q" => Class::RunsText,
        "d" => Class::Dynamic,
        "a" => Class::Administers,
        _ => return None,
    };
    Some((name, Builtin { class, aggregate, set }))
}

/// What a call has for columns where it stands in FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// One value, called like the function.
    Value,
    /// These columns; a single one is a value of this name.
    Columns(Vec<&'static str>),
    /// What its arguments or a list of columns say, or nobody knows what.
    Unknown,
}

/// The overloads of a name by the numbers of arguments they take, by the version they hold from, oldest first.
type Overloads = Vec<(u32, Vec<(std::ops::RangeInclusive<usize>, Returned)>)>;

/// What a call of a built-in function with so many arguments has for columns, as far as all its overloads agree.
pub(crate) fn returned(name: &str, major: u32, arguments: usize) -> Returned {
    static TABLE: OnceLock<HashMap<&'static str, Overloads>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table: HashMap<&'static str, Overloads> = HashMap::new();
        for line in RETURNS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            if let (Some(Ok(from)), Some(name)) = (words.next().map(str::parse), words.next()) {
                table.entry(name).or_default().push((from, words.filter_map(read_overload).collect()));
            }
        }
        table
    });
    if !VERSIONS.contains(&major) || function(name).is_none() {
        return Returned::Unknown;
    }
    let Some(versions) = table.get(name) else { return Returned::Value };
    let Some((_, overloads)) = versions.iter().rev().find(|(from, _)| *from <= major) else { return Returned::Unknown };
    let mut fitting = overloads.iter().filter(|(takes, _)| takes.contains(&arguments)).map(|(_, returned)| returned);
    match fitting.next() {
        Some(first) if fitting.all(|other| other == first) => first.clone(),
        _ => Returned::Unknown,
    }
}

fn read_overload(word: &'static str) -> Option<(std::ops::RangeInclusive<usize>, Returned)> {
    let (takes, returned) = word.split_once(':')?;
    let takes = match takes.split_once('-') {
        None => takes.parse().ok()?..=takes.parse().ok()?,
        Some((least, "")) => least.parse().ok()?..=usize::MAX,
        Some((least, most)) => least.parse().ok()?..=most.parse().ok()?,
    };
    let returned = match returned {
        "=" => Returned::Value,
        "?" => Returned::Unknown,
        columns => Returned::Columns(columns.split(',').collect()),
    };
    Some((takes, returned))
}

/// A type of the server's own that is neither a row nor an array.
#[derive(Debug)]
struct Plain {
    oid: u32,
    array: u32,
    name: &'static str,
}

fn plain_types() -> &'static [Plain] {
    static TABLE: OnceLock<Vec<Plain>> = OnceLock::new();
    TABLE.get_or_init(|| TYPES.lines().filter(|line| !line.starts_with('#')).filter_map(read_type).collect())
}

fn read_type(line: &'static str) -> Option<Plain> {
    let mut words = line.split(' ');
    let (oid, name, array) = (words.next()?, words.next()?, words.next()?);
    Some(Plain { oid: oid.parse().ok()?, array: array.parse().ok()?, name })
}

/// Whether this is a type of the server's own that is neither a row nor an array.
pub(crate) fn is_plain_type(oid: u32) -> bool {
    plain_types().binary_search_by_key(&oid, |known| known.oid).is_ok()
}

/// Whether this is the type of arrays of a type of the server's own that is no row.
pub(crate) fn is_plain_array(oid: u32) -> bool {
    element_of(oid).is_some()
}

/// The name of a type of the server's own that is neither a row nor an array.
pub(crate) fn plain_type_name(oid: u32) -> Option<&'static str> {
    let types = plain_types();
    let at = types.binary_search_by_key(&oid, |known| known.oid).ok()?;
    types.get(at).map(|known| known.name)
}

/// What arrays of this type are made of, where it is a type of the server's own that is no row.
pub(crate) fn element_of(array: u32) -> Option<u32> {
    static TABLE: OnceLock<HashMap<u32, u32>> = OnceLock::new();
    let arrays = || plain_types().iter().filter(|known| known.array != 0).map(|known| (known.array, known.oid));
    TABLE.get_or_init(|| arrays().collect()).get(&array).copied()
}

/// The type of arrays of a type of the server's own that is neither a row nor an array.
pub(crate) fn array_of(element: u32) -> Option<u32> {
    let known = plain_types().iter().find(|known| known.oid == element)?;
    Some(known.array).filter(|oid| *oid != 0)
}

/// The type of the server's own that is neither a row nor an array, by its name; or the type of arrays of it.
pub(crate) fn plain_type_named(name: &str, array: bool) -> Option<u32> {
    let known = plain_types().iter().find(|known| known.name == name)?;
    Some(if array { known.array } else { known.oid }).filter(|oid| *oid != 0)
}

/// The type of the server's own of this id that is no row, as its name and whether it is an array of that.
pub(crate) fn plain_type(oid: u32) -> Option<(&'static str, bool)> {
    if let Ok(at) = plain_types().binary_search_by_key(&oid, |known| known.oid) {
        return plain_types().get(at).map(|known| (known.name, false));
    }
    if oid == 0 || !is_plain_array(oid) {
        return None;
    }
    plain_types().iter().find(|known| known.array == oid).map(|known| (known.name, true))
}

/// Whether values of this type may hold numbers of many digits. Of what is none of the server's own, nobody knows.
pub(crate) fn holds_numbers(oid: u32) -> bool {
    /// numeric, numrange, jsonb, jsonpath, nummultirange, record.
    const HOLD: &[u32] = &[1700, 3906, 3802, 4072, 4532, 2249];
    let element = element_of(oid).unwrap_or(oid);
    plain_type(element).is_none() || HOLD.contains(&element)
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
    // An older server than the oldest known is taken for that one, a newer for the newest: their order is not certain.
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
        | ("pg_user_mappings", "umoptions")
        | ("pg_subscription", "subconninfo") => Leak::Secrets,
        ("pg_statistic" | "pg_statistic_ext_data" | "pg_largeobject", _)
        | ("pg_stats_ext", "n_distinct" | "dependencies" | "most_common_vals" | "most_common_val_nulls")
        | ("pg_stats_ext", "most_common_freqs" | "most_common_base_freqs")
        | ("pg_stat_activity", "query")
        // How many bytes a statement made of what it read, while it runs and afterwards.
        | ("pg_stat_progress_copy", "bytes_processed" | "bytes_total")
        | ("pg_stat_database", "temp_files" | "temp_bytes")
        | ("pg_stat_replication_slots", "spill_bytes" | "stream_bytes" | "total_bytes")
        | ("pg_stat_replication_slots", "spill_txns" | "spill_count" | "stream_txns" | "stream_count")
        // Where a row lies follows from the width of its values and of those before it, as that of `ctid`.
        | ("pg_locks", "page" | "tuple")
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
    fn shapes_of_calls() {
        let of = |name, major, arguments| returned(name, major, arguments);
        let columns = |names: &[&'static str]| Returned::Columns(names.to_vec());
        for line in RETURNS.lines().filter(|l| !l.starts_with('#')) {
            let mut words = line.split(' ');
            assert!(words.next().is_some_and(|v| v.parse().is_ok_and(|v| VERSIONS.contains(&v))), "{line}");
            assert!(words.next().is_some_and(|name| function(name).is_some()), "{line}");
            assert!(words.all(|word| read_overload(word).is_some()), "{line}");
        }
        assert_eq!(of("generate_series", 15, 2), Returned::Value);
        assert_eq!(of("json_each", 16, 1), columns(&["key", "value"]));
        assert_eq!(of("json_array_elements", 16, 1), columns(&["value"]));
        // Of a text search vector or of an array; of the type of its arguments.
        assert_eq!(of("unnest", 17, 1), Returned::Unknown);
        assert_eq!(of("json_populate_record", 17, 2), Returned::Unknown);
        assert!(matches!(of("pg_control_init", 15, 0), Returned::Columns(c) if c.len() == 11));
        assert!(matches!(of("pg_control_init", 18, 0), Returned::Columns(c) if c.len() == 12));
        assert_eq!(of("pg_control_init", 14, 0), Returned::Unknown);
        assert_eq!(of("pg_control_init", 19, 0), Returned::Unknown);
        assert_eq!(of("json_each", 16, 2), Returned::Unknown);
        assert_eq!(of("no_such_function", 16, 2), Returned::Unknown);
    }

    #[test]
    fn types_by_id() {
        assert!(TYPES.lines().filter(|l| !l.starts_with('#')).all(|line| read_type(line).is_some()));
        assert!(plain_types().windows(2).all(|pair| matches!(pair, [a, b] if a.oid < b.oid)));
        assert!(is_plain_type(25) && !is_plain_type(1_009) && !is_plain_type(2_249) && !is_plain_type(2_283));
        assert!(is_plain_array(1_009) && !is_plain_array(2_287) && !is_plain_array(0));
        assert_eq!(plain_type_named("int4", false), Some(23));
        assert_eq!(plain_type_named("int4", true), Some(1_007));
        assert_eq!(plain_type_named("pg_node_tree", true), None);
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
