//! What results need of a catalog: the types of columns that the server does not describe (a COPY of a table tells formats
//! only), and the names that are no data.

use super::Catalog;

impl Catalog {
    /// Whether something in the database is called this: a column, a relation, a function or its output, a field of a type.
    pub fn knows_name(&self, name: &str) -> bool {
        self.relations_by_name.contains_key(name)
            || self.functions_by_name.contains_key(name)
            || crate::builtins::function(name).is_some()
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
}
