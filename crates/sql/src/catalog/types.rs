//! What results need of a catalog: the types of columns that the server does not describe (a COPY of a table tells formats
//! only), and the names that are no data.

use super::Catalog;
use crate::builtins;

/// Types of the server's own that stand for others, that arrays are made of without being written so, and domains.
const OTHER_TYPES: &[&str] = &[
    "any",
    "anyarray",
    "anycompatible",
    "anycompatiblearray",
    "anycompatiblemultirange",
    "anycompatiblenonarray",
    "anycompatiblerange",
    "anyelement",
    "anyenum",
    "anymultirange",
    "anynonarray",
    "anyrange",
    "cardinal_number",
    "character_data",
    "cstring",
    "event_trigger",
    "fdw_handler",
    "index_am_handler",
    "int2vector",
    "internal",
    "language_handler",
    "oidvector",
    "pg_ddl_command",
    "record",
    "sql_identifier",
    "table_am_handler",
    "time_stamp",
    "trigger",
    "tsm_handler",
    "unknown",
    "void",
    "yes_or_no",
];

impl Catalog {
    /// Whether something in the database is called this: a column, a relation, a function or its output, a field of a type.
    pub fn knows_name(&self, name: &str) -> bool {
        self.relations_by_name.contains_key(name)
            || self.functions_by_name.contains_key(name)
            || builtins::function(name).is_some()
            || self.relations.iter().any(|r| r.facts.columns.iter().any(|c| c.name == name))
            || self.functions.iter().any(|f| f.facts.out_names.iter().any(|n| n == name))
            || self.types.values().any(|t| t.name == name || t.fields.iter().any(|(n, _)| n == name))
    }

    /// Type and modifier of the named columns of `schema.table`, in the order of the names. `None` when the table or one of
    /// the columns is not known.
    pub fn column_types(&self, table: &str, columns: &[&str]) -> Option<Vec<(u32, i32)>> {
        let (schema, name) = table.split_once('.')?;
        let found = self.relations_by_name.get(name)?;
        let relation = found.iter().filter_map(|at| self.relations.get(*at)).find(|r| r.facts.schema == schema)?;
        columns
            .iter()
            .map(|column| relation.facts.columns.iter().find(|c| c.name == *column).map(|c| (c.type_oid, c.typmod)))
            .collect()
    }

    /// Whether the server itself has a type of this name: one that a column can have, or the rows of a relation of its own.
    pub(crate) fn is_servers_type(&self, name: &str) -> bool {
        let alone = name.trim_start_matches('_');
        let plain = builtins::plain_type_named(alone, false).is_some() || OTHER_TYPES.contains(&alone);
        plain || ["pg_catalog", "information_schema"].iter().any(|s| builtins::relation(s, name, self.major).is_some())
    }

    /// The type of arrays of a user's type, 0 if it has none.
    pub(crate) fn array_of(&self, element: u32) -> u32 {
        let arrays = self.types.values().filter(|facts| facts.kind == 'A' && facts.element == element);
        arrays.map(|facts| facts.oid).min().unwrap_or(0)
    }
}
