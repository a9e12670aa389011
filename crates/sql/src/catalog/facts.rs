//! The facts about a database that an analysis rests on, as the server tells them. Only objects that the server's
//! own bootstrap did not make are here; what it did make is in this crate's tables.

use std::collections::HashMap;
use std::sync::Arc;

/// A snapshot of a database's catalog. Object ids are the server's.
#[derive(Clone, Debug, Default)]
pub struct CatalogFacts {
    /// What `VERSION_SQL` answered when the snapshot was taken.
    pub version: String,
    /// `server_version_num`, such as `150004`.
    pub server_version: u32,
    /// The effective search path when the snapshot was taken.
    pub search_path: Vec<String>,
    /// The schema of the session's temporary objects, if it has one.
    pub temp_schema: Option<String>,
    /// There are collations under which texts are equal that are not the same; much of what is done with texts refuses them.
    pub loose_collations: bool,
    /// Tables, views and what else has columns.
    pub relations: Vec<RelationFacts>,
    /// (child, parent) of inheritance and partitioning.
    pub inherits: Vec<(u32, u32)>,
    /// Functions, procedures, aggregates.
    pub functions: Vec<FunctionFacts>,
    /// User types.
    pub types: Vec<TypeFacts>,
    /// User operators.
    pub operators: Vec<OperatorFacts>,
    /// User casts that run a function, or write a value as text and read that.
    pub casts: Vec<CastFacts>,
    /// User triggers, by relation.
    pub triggers: Vec<TriggerFacts>,
    /// What the server computes of several columns of a row that is written.
    pub together: Vec<TogetherFacts>,
    /// Foreign keys.
    pub references: Vec<ReferenceFacts>,
    /// Which user functions, operators and types the stored expressions of what name.
    pub calls: Vec<(Caller, Called)>,
    /// What the server's own objects are called.
    pub server: Arc<ServerNames>,
}

impl CatalogFacts {
    /// What they take of memory once they are a catalog, in estimate, without what it shares with others.
    pub(super) fn bytes(&self) -> usize {
        /// What each thing takes besides its code: names, places in the indexes.
        const EACH: usize = 256;
        let code = |code: &Option<Code>| match code {
            Some(Code::Sql(text) | Code::Tree(text)) => text.len(),
            None => 0,
        };
        let relations: usize = self
            .relations
            .iter()
            .map(|r| {
                EACH * (2 + r.columns.len())
                    + 32 * r.keys.len()
                    + code(&r.definition)
                    + r.columns.iter().map(|c| code(&c.generated)).sum::<usize>()
            })
            .sum();
        let functions: usize = self.functions.iter().map(|f| 3 * EACH + f.source.len() + code(&f.body)).sum();
        // The mask stage has a table of its own.
        let types: usize = self.types.iter().map(|t| EACH * (2 + (t.fields.len() + t.labels.len()) / 2)).sum();
        let others =
            self.operators.len() + self.casts.len() + self.triggers.len() + self.together.len() + self.references.len();
        let others = others + self.calls.len() / 4;
        relations + functions + types + others * EACH
    }

    /// Takes from another catalog what is the same in it, so that it is in memory once.
    pub fn share(&mut self, other: &super::Catalog) {
        if self.server == other.server {
            self.server = Arc::clone(&other.server);
        }
    }
}

/// Schemas and names of the server's own objects by id, for the trees that name objects by id only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// Functions.
    pub functions: HashMap<u32, (String, String)>,
    /// Operators.
    pub operators: HashMap<u32, (String, String)>,
    /// Relations.
    pub relations: HashMap<u32, (String, String)>,
}

/// What has expressions that the server runs by itself, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A relation: defaults, checks, indexes, keys of partitions, statistics, conditions of triggers, policies.
    Relation(u32),
    /// A function: what stands in for arguments.
    Function(u32),
    /// A type: defaults and checks of a domain.
    Type(u32),
}

/// What a stored expression names, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Called {
    /// A function.
    Function(u32),
    /// An operator.
    Operator(u32),
    /// A type.
    Type(u32),
}

/// A piece of code that the catalog keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// As SQL.
    Sql(String),
    /// As the server's own tree (`pg_node_tree`), which can be read while somebody else changes what it is about.
    Tree(String),
}

/// A relation.
#[derive(Clone, Debug, Default)]
pub struct RelationFacts {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// Its row type.
    pub row_type: u32,
    /// The definition, for views and materialized views (`pg_rewrite.ev_action`).
    pub definition: Option<Code>,
    /// Whether rules other than a view's own rewrite statements on it.
    pub has_rules: bool,
    /// Which of its rows there are hangs on the session: it has row security.
    pub guarded: bool,
    /// The columns of the index that its rows were put in order by (CLUSTER), 0 for an expression; empty if by none.
    pub ordered_by: Vec<i16>,
    /// The columns that decide in which partition a row lies, 0 for an expression; empty if it is not partitioned.
    pub partitioned_by: Vec<i16>,
    /// The columns of each of its keys: no two rows have the same values there, as long as none is NULL.
    pub keys: Vec<Vec<i16>>,
    /// Those of its primary key, which is one of them; empty if it has none.
    pub primary: Vec<i16>,
    /// Its columns by number, dropped ones left out.
    pub columns: Vec<ColumnFacts>,
}

/// A column.
#[derive(Clone, Debug, Default)]
pub struct ColumnFacts {
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// The type's modifier, that of a domain included; -1 for none.
    pub typmod: i32,
    /// The expression of a generated column (`pg_attrdef.adbin`).
    pub generated: Option<Code>,
    /// That expression is computed whenever the column is read, and not stored.
    pub computed: bool,
    /// Not every value of its type can be stored in it: a check, a key, NOT NULL, a domain or a partition decides.
    pub constrained: bool,
}

/// A function.
#[derive(Clone, Debug, Default)]
pub struct FunctionFacts {
    /// `pg_proc.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// `prosrc`.
    pub source: String,
    /// The SQL-standard body (`pg_proc.prosqlbody`).
    pub body: Option<Code>,
    /// `prokind`: f, p, a, w.
    pub kind: char,
    /// `provolatile`: i, s, v.
    pub volatility: char,
    /// Returns a set.
    pub returns_set: bool,
    /// `prorettype`.
    pub return_type: u32,
    /// Names of OUT, INOUT and TABLE columns, in order.
    pub out_names: Vec<String>,
    /// Names of the input arguments, in order, empty where unnamed.
    pub in_names: Vec<String>,
    /// The fewest arguments a call may have.
    pub arguments_min: usize,
    /// The most arguments a call may have; `usize::MAX` when variadic.
    pub arguments_max: usize,
    /// The extension it belongs to.
    pub extension: Option<String>,
    /// `search_path` of its own, from `proconfig`.
    pub search_path: Option<Vec<String>>,
}

/// A type that is no row type of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFacts {
    /// `pg_type.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_type.typtype`: b, c, d, e, m, p, r; or `A` for a true array.
    pub kind: char,
    /// The element of an array, else 0.
    pub element: u32,
    /// The type under a domain, else 0.
    pub base: u32,
    /// The subtype of a range or the range of a multirange, else 0.
    pub subtype: u32,
    /// The fields of a composite: name and type.
    pub fields: Vec<(String, u32)>,
    /// The labels of an enum.
    pub labels: Vec<String>,
}

/// An operator.
#[derive(Clone, Debug, Default)]
pub struct OperatorFacts {
    /// `pg_operator.oid`.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name, such as `+`.
    pub name: String,
    /// The function behind it.
    pub function: u32,
    /// The extension it belongs to.
    pub extension: Option<String>,
}

/// A cast that runs a function, or writes a value as text and reads that.
#[derive(Clone, Debug, Default)]
pub struct CastFacts {
    /// From this type.
    pub source: u32,
    /// To this type.
    pub target: u32,
    /// The function; 0 for one by text.
    pub function: u32,
    /// `castcontext`: e, a, i.
    pub context: char,
}

/// A trigger.
#[derive(Clone, Debug, Default)]
pub struct TriggerFacts {
    /// The relation.
    pub relation: u32,
    /// The function.
    pub function: u32,
    /// It can change the row that is stored or returned (BEFORE or INSTEAD OF, for each row).
    pub changes_row: bool,
    /// What fires it.
    pub events: TriggerEvents,
    /// What it calls the rows before (`REFERENCING OLD TABLE`).
    pub old_table: Option<String>,
    /// What it calls the rows after.
    pub new_table: Option<String>,
    /// It may be put off to the end of the transaction.
    pub deferrable: bool,
}

/// Columns of a relation that the server looks at together when it stores a row: by a check, an expression or the condition of
/// an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TogetherFacts {
    /// The relation.
    pub relation: u32,
    /// What it is, for a message.
    pub what: String,
    /// The numbers of the columns; 0 for all of them.
    pub columns: Vec<i16>,
    /// What is looked at as well where those decide about it: the keys of an index that is unique for some rows.
    pub also: Vec<i16>,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceFacts {
    /// Its name, which no other constraint of the relation that refers has.
    pub name: String,
    /// The relation that refers.
    pub from: u32,
    /// The one that it refers to.
    pub to: u32,
    /// The columns that refer.
    pub columns: Vec<i16>,
    /// The columns that they refer to.
    pub to_columns: Vec<i16>,
    /// `pg_constraint.confupdtype`: a, r, c, n, d.
    pub on_update: char,
    /// `pg_constraint.confdeltype`.
    pub on_delete: char,
}

/// What fires a trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TriggerEvents {
    /// INSERT, COPY FROM.
    pub insert: bool,
    /// UPDATE.
    pub update: bool,
    /// DELETE.
    pub delete: bool,
    /// TRUNCATE.
    pub truncate: bool,
}

impl TriggerEvents {
    /// From `pg_trigger.tgtype` (the server's `catalog/pg_trigger.h`).
    pub const fn of_type(bits: i16) -> TriggerEvents {
        TriggerEvents { insert: bits & 4 != 0, update: bits & 16 != 0, delete: bits & 8 != 0, truncate: bits & 32 != 0 }
    }
}
