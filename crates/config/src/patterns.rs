//! Patterns over the names of columns: `*` stands for any run of characters, everything else for itself.

use lockgate_core::matches_glob;
use std::fmt;
use std::str::FromStr;

/// Columns on targets: `orders/public.customers.ssn`, `*/hr.employees.*`, `orders/archive/public.customers.ssn`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnPattern {
    /// The target, a pattern.
    pub target: String,
    /// The database, a pattern; `*` where none is written.
    pub database: String,
    /// The schema, a pattern.
    pub schema: String,
    /// The table, a pattern.
    pub table: String,
    /// The column, a pattern.
    pub column: String,
}

/// The text names no columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a column: write `target/schema.table.column`")]
pub struct ColumnPatternError(pub String);

impl ColumnPattern {
    /// Whether it is about this database.
    pub fn applies_to(&self, target: &str, database: &str) -> bool {
        matches_glob(&self.target, target) && matches_glob(&self.database, database)
    }

    /// `schema.table.column`, a pattern.
    pub fn within_database(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.column)
    }
}

impl FromStr for ColumnPattern {
    type Err = ColumnPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ColumnPatternError(text.to_owned());
        let (target, database, column) = match text.split('/').collect::<Vec<_>>().as_slice() {
            [target, column] => (*target, "*", *column),
            [target, database, column] => (*target, *database, *column),
            _ => return Err(wrong()),
        };
        let [schema, table, column] = column.split('.').collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
        let parts = [target, database, schema, table, column];
        if parts.iter().any(|p| p.is_empty() || p.trim() != *p || p.contains('"')) {
            return Err(wrong());
        }
        let [target, database, schema, table, column] = parts.map(str::to_owned);
        Ok(ColumnPattern { target, database, schema, table, column })
    }
}

impl fmt::Display for ColumnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.database.as_str() {
            "*" => write!(f, "{}/{}", self.target, self.within_database()),
            database => write!(f, "{}/{database}/{}", self.target, self.within_database()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let pattern: ColumnPattern = "orders/public.customers.ssn".parse().unwrap();
        assert!(pattern.applies_to("orders", "shop") && !pattern.applies_to("crm", "shop"));
        assert_eq!(pattern.within_database(), "public.customers.ssn");
        let pattern: ColumnPattern = "*/archive/hr.*.national_id".parse().unwrap();
        assert!(pattern.applies_to("any", "archive") && !pattern.applies_to("any", "shop"));
        assert_eq!(pattern.to_string(), "*/archive/hr.*.national_id");
        for bad in ["", "orders", "orders/ssn", "orders/a.b", "orders/a.b.c.d", "/a.b.c", "orders/a..c", "a/b/c/d.e.f"]
        {
            assert_eq!(bad.parse::<ColumnPattern>(), Err(ColumnPatternError(bad.to_owned())));
        }
    }
}
