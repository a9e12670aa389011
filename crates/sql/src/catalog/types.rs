//! The types of columns, for results that the server does not describe: a COPY of a table tells formats only.

use super::Catalog;

impl Catalog {
    /// Type and modifier of the named columns of `schema.table`, in the order of the names. The modifier is -1: a snapshot
    /// does not keep it. `None` when the table or one of the columns is not known.
    pub fn column_types(&self, table: &str, columns: &[&str]) -> Option<Vec<(u32, i32)>> {
        let (schema, name) = table.split_once('.')?;
        let found = self.relations_by_name.get(name)?;
        let relation = found.iter().filter_map(|at| self.relations.get(*at)).find(|r| r.facts.schema == schema)?;
        columns
            .iter()
            .map(|column| relation.facts.columns.iter().find(|c| c.name == *column).map(|c| (c.type_oid, -1)))
            .collect()
    }
}
