//! A database's catalog as an analysis sees it: names to relations and functions, and which columns are labelled.
//!
//! It is immutable and shared. What must be read from SQL text (views, generated columns, function bodies) is analysed
//! the first time it is asked for and kept. There is no notion of privileges here: a label goes by what data is read,
//! not by who may read it.

mod body;
mod by_number;
mod calls;
mod carried;
mod deparse;
pub mod facts;
mod moving;
mod nodes;
pub mod query;
mod stores;
mod together;
mod types;

pub use by_number::CallByNumber;
pub use carried::{Astray, CarriedLabel};
pub(crate) use stores::Fired;
pub(crate) use together::{Action, Reference, Together, columns_of, is_among};

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use lockgate_core::{Label, limits};

use crate::analyze::{Frame, Spread};
use crate::statement::{Change, Later, Need, Unseen};
use crate::taint::{ColumnId, Taint};
use crate::{How, builtins};
use facts::{Called, Caller, CatalogFacts, FunctionFacts, RelationFacts, ServerNames, TypeFacts};

/// A label and the columns it is on: `schema.table.column`, where `*` stands for any run of characters in a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRule {
    /// The label.
    pub label: Label,
    /// The columns.
    pub pattern: String,
}

/// A column that at least one rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledColumn {
    /// Its schema.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its labels, sorted.
    pub labels: Vec<Label>,
}

/// The catalog of one database.
#[derive(Debug)]
pub struct Catalog {
    version: String,
    major: u32,
    search_path: Vec<String>,
    temp_schema: Option<String>,
    labelled: Vec<LabelledColumn>,
    loose_collations: bool,
    /// No relation could be left out: with more than the limit nothing is known.
    complete: bool,
    relations: Vec<Relation>,
    relations_by_name: HashMap<String, Vec<usize>>,
    relations_by_oid: HashMap<u32, usize>,
    /// Foreign keys, by the relation that they refer to.
    references: HashMap<usize, Vec<Reference>>,
    /// Those whose rows lie in partitions.
    partitioned: Vec<usize>,
    functions: Vec<Function>,
    functions_by_name: HashMap<String, Vec<usize>>,
    functions_by_oid: HashMap<u32, usize>,
    /// Schemas and names of user operators.
    operators_by_oid: HashMap<u32, (String, String)>,
    server: Arc<ServerNames>,
    /// User operators: name to (schema, function).
    operators: HashMap<String, Vec<(String, usize)>>,
    /// Types and functions of user casts from these types, by target type's name.
    casts: HashMap<String, Vec<(u32, usize)>>,
    /// Those to types of the server's own whose names are not known: arrays and rows.
    casts_to_own: Vec<(u32, usize)>,
    /// Functions of casts that the server makes without being asked.
    casts_unasked: Vec<usize>,
    /// There are such casts that write a value as text and read that.
    casts_by_text: bool,
    /// Somebody has made an equality that is not of an extension.
    own_equality: bool,
    types: HashMap<u32, TypeFacts>,
    types_by_name: HashMap<String, Vec<u32>>,
    /// Functions of user operators by id.
    operator_functions: HashMap<u32, usize>,
    /// What stored expressions name.
    calls: HashMap<Caller, Vec<Called>>,
    /// Functions declared free of labelled data, as `schema.name`.
    declared: Vec<String>,
    /// Code of some trigger may be put off to the end of the transaction.
    puts_off: bool,
    /// What code of users may do that no statement shows.
    unseen: OnceLock<Unseen>,
    /// The same of code that no name tells.
    unnamed: OnceLock<Unseen>,
    /// What checks of domains may speak of.
    types_say: OnceLock<Taint>,
    events_say: OnceLock<Taint>,
    /// What all of this takes, in estimate.
    bytes: usize,
}

/// A relation of the snapshot.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) facts: RelationFacts,
    /// The labels of each column by itself and by inheritance, before any expression is looked at.
    base: Vec<Taint>,
    /// Which columns hold what was made from labelled values.
    derived: Vec<bool>,
    /// Tables it is a partition or child of.
    pub(crate) ancestors: Vec<usize>,
    /// Its partitions and children, and theirs: it shows their rows as well.
    pub(crate) descendants: Vec<usize>,
    /// Its triggers that call a user's function.
    pub(crate) triggers: Vec<Trigger>,
    /// What the server computes of several of its columns when it stores a row.
    pub(crate) together: Vec<Together>,
    lineage: OnceLock<Lineage>,
    sets_off: OnceLock<Unseen>,
}

/// A trigger of a relation.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    /// The function that it calls.
    pub(crate) function: usize,
    /// It can change the row that is stored or returned.
    pub(crate) changes_row: bool,
    /// What fires it.
    pub(crate) events: facts::TriggerEvents,
    /// What it calls the rows before.
    pub(crate) old_table: Option<String>,
    /// What it calls the rows after.
    pub(crate) new_table: Option<String>,
    /// It may be put off to the end of the transaction, and find then what its names stand for.
    pub(crate) deferrable: bool,
}

/// Where a relation's columns come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    /// One per column.
    pub(crate) columns: Vec<Taint>,
    /// Whether each is a table's column as it is.
    pub(crate) plain: Vec<bool>,
    /// How large each may be, in estimate, where it is computed as it is read.
    pub(crate) sizes: Vec<Option<u64>>,
    /// By column: computing it never fails, whatever the values that it is made of.
    pub(crate) sure: Vec<bool>,
    /// All of them together.
    pub(crate) row: Taint,
    /// What reading it takes besides: of a view, the uses in its definition.
    pub(crate) uses: Vec<(How, Taint)>,
    /// Of a view, what its definition needs.
    pub(crate) needs: Vec<Need>,
    /// Of a view, what code of users that it runs may speak of, whichever columns are asked for.
    pub(crate) says: Taint,
    /// Of a view, the relations beneath.
    pub(crate) tables: Vec<String>,
    /// Of a view, what is looked up only while it is read.
    pub(crate) later: Later,
    /// Of a view, functions of the server are called that keep what they are given.
    pub(crate) keeps: bool,
    /// How many rows it has, and what no two of them have in common.
    pub(crate) spread: Spread,
}

/// A function of the snapshot.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) facts: FunctionFacts,
    /// An administrator declared it free of labelled data.
    pub(crate) safe: bool,
    summary: OnceLock<Summary>,
    /// The same under a path that nobody knows.
    summary_anywhere: OnceLock<Summary>,
    links: OnceLock<moving::Links>,
}

/// What calling a function amounts to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// What its value may hold besides its arguments.
    pub(crate) value: Taint,
    /// Its result columns when they are known one by one.
    pub(crate) columns: Option<Vec<(String, Taint)>>,
    /// Uses within its body.
    pub(crate) uses: Vec<(How, Taint)>,
    /// What its body needs.
    pub(crate) needs: Vec<Need>,
    /// Relations its body names.
    pub(crate) tables: Vec<String>,
    /// What its body changes.
    pub(crate) changes: Vec<Change>,
    /// The body could not be looked into.
    pub(crate) opaque: bool,
    /// It reaches outside the database.
    pub(crate) administers: bool,
    /// What it may speak of in errors and notices, besides its value.
    pub(crate) touches: Taint,
    /// What is looked up only while it runs.
    pub(crate) later: Later,
    /// Functions of the server are called that keep what they are given.
    pub(crate) keeps: bool,
    /// Checks that a transaction put off may be made within it, and what they say is of any row.
    pub(crate) puts_through: bool,
}

impl Summary {
    /// It reads and does nothing but what its arguments bring.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.opaque && !self.administers && self.value.is_clean() && self.uses.is_empty() && self.needs.is_empty()
    }

    /// Nothing is known.
    pub(crate) fn opaque() -> Summary {
        Summary { value: Taint::UNKNOWN, opaque: true, later: Later::Anything, keeps: true, ..Summary::default() }
    }
}

impl Catalog {
    /// Puts the facts in order and lays the labels on them. `safe_functions` are names as `schema.name`.
    pub fn build(facts: CatalogFacts, rules: &[ColumnRule], safe_functions: &[String]) -> Catalog {
        Catalog::build_with(facts, rules, safe_functions, &[])
    }

    /// The same with labels on columns that no rule names.
    pub fn build_with(
        facts: CatalogFacts,
        rules: &[ColumnRule],
        safe_functions: &[String],
        carried: &[CarriedLabel],
    ) -> Catalog {
        let bytes = facts.bytes();
        let mut brought: HashMap<(u32, i16), Vec<&CarriedLabel>> = HashMap::new();
        for label in carried {
            brought.entry((label.relation, label.column)).or_default().push(label);
        }
        let complete = facts.relations.len() <= limits::CATALOG_RELATIONS_MAX;
        let rules: Vec<(Vec<&str>, &Label)> =
            rules.iter().map(|r| (r.pattern.split('.').collect(), &r.label)).collect();
        let mut labelled = Vec::new();
        let mut relations = Vec::with_capacity(facts.relations.len());
        let mut relations_by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut relations_by_oid = HashMap::new();
        let mut types: HashMap<u32, TypeFacts> = facts.types.into_iter().map(|t| (t.oid, t)).collect();
        for relation in facts.relations {
            let index = relations.len();
            relations_by_name.entry(relation.name.clone()).or_default().push(index);
            relations_by_oid.insert(relation.oid, index);
            let base = relation
                .columns
                .iter()
                .map(|column| {
                    let mut labels = labels_of(&rules, &relation.schema, &relation.name, &column.name);
                    if let Some(brought) = brought.get(&(relation.oid, column.number)) {
                        labels.extend(brought.iter().map(|b| b.label.clone()));
                        labels.sort_unstable();
                        labels.dedup();
                    }
                    if labels.is_empty() {
                        return Taint::CLEAN;
                    }
                    let Ok(id) = u32::try_from(labelled.len()) else { return Taint::UNKNOWN };
                    labelled.push(LabelledColumn {
                        schema: relation.schema.clone(),
                        table: relation.name.clone(),
                        column: column.name.clone(),
                        labels,
                    });
                    Taint::of(ColumnId(id))
                })
                .collect();
            if relation.row_type != 0 {
                types.entry(relation.row_type).or_insert_with(|| TypeFacts {
                    oid: relation.row_type,
                    schema: relation.schema.clone(),
                    name: relation.name.clone(),
                    kind: 'c',
                    fields: relation.columns.iter().map(|c| (c.name.clone(), c.type_oid)).collect(),
                    ..TypeFacts::default()
                });
            }
            let derived = relation
                .columns
                .iter()
                .map(|c| brought.get(&(relation.oid, c.number)).is_some_and(|b| b.iter().any(|b| b.derived)))
                .collect();
            let together = Together::of_generated(&relation);
            relations.push(Relation {
                facts: relation,
                base,
                derived,
                ancestors: Vec::new(),
                descendants: Vec::new(),
                triggers: Vec::new(),
                together,
                lineage: OnceLock::new(),
                sets_off: OnceLock::new(),
            });
        }
        let partitioned =
            (0..).zip(&relations).filter(|(_, r)| !r.facts.partitioned_by.is_empty()).map(|(at, _)| at).collect();
        inherit(&mut relations, &relations_by_oid, &facts.inherits);

        let mut functions = Vec::with_capacity(facts.functions.len());
        let mut functions_by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut functions_by_oid = HashMap::new();
        for function in facts.functions {
            let qualified = format!("{}.{}", function.schema, function.name);
            let safe = safe_functions.contains(&qualified);
            functions_by_name.entry(function.name.clone()).or_default().push(functions.len());
            functions_by_oid.insert(function.oid, functions.len());
            functions.push(Function {
                facts: function,
                safe,
                summary: OnceLock::new(),
                summary_anywhere: OnceLock::new(),
                links: OnceLock::new(),
            });
        }
        let mut puts_off = false;
        for trigger in facts.triggers {
            if let Some(relation) = relations_by_oid.get(&trigger.relation).and_then(|r| relations.get_mut(*r)) {
                // A trigger that calls a built-in function does what the server's own code does.
                if let Some(function) = functions_by_oid.get(&trigger.function) {
                    relation.triggers.push(Trigger {
                        function: *function,
                        changes_row: trigger.changes_row,
                        events: trigger.events,
                        old_table: trigger.old_table,
                        new_table: trigger.new_table,
                        deferrable: trigger.deferrable,
                    });
                    puts_off |= trigger.deferrable;
                }
            }
        }
        let mut references: HashMap<usize, Vec<Reference>> = HashMap::new();
        for reference in facts.references {
            let at = |oid: u32| relations_by_oid.get(&oid).copied();
            if let (Some(from), Some(to)) = (at(reference.from), at(reference.to)) {
                references.entry(to).or_default().push(Reference::of_facts(from, reference));
            }
        }
        for together in facts.together {
            if let Some(relation) = relations_by_oid.get(&together.relation).and_then(|r| relations.get_mut(*r)) {
                relation.together.push(Together::of_facts(together));
            }
        }
        let mut operators: HashMap<String, Vec<(String, usize)>> = HashMap::new();
        let mut operators_by_oid = HashMap::new();
        let mut operator_functions = HashMap::new();
        let mut own_equality = false;
        for operator in facts.operators {
            let made_by = functions_by_oid.get(&operator.function).and_then(|f| functions.get(*f));
            own_equality |= operator.name == "=" && made_by.is_none_or(|f| f.facts.extension.is_none());
            operators_by_oid.insert(operator.oid, (operator.schema.clone(), operator.name.clone()));
            if let Some(function) = functions_by_oid.get(&operator.function) {
                operator_functions.insert(operator.oid, *function);
                operators.entry(operator.name).or_default().push((operator.schema, *function));
            }
        }
        let mut casts: HashMap<String, Vec<(u32, usize)>> = HashMap::new();
        let (mut casts_to_own, mut casts_unasked) = (Vec::new(), Vec::new());
        let mut casts_by_text = false;
        for cast in &facts.casts {
            casts_by_text |= cast.function == 0 && cast.context != 'e';
            // A cast may call a function of the server's own.
            let Some(function) = functions_by_oid.get(&cast.function) else { continue };
            let users = types.get(&cast.target).map(|target| target.name.as_str());
            match users.or_else(|| builtins::plain_type_name(cast.target)) {
                Some(target) => casts.entry(target.to_owned()).or_default().push((cast.source, *function)),
                None => casts_to_own.push((cast.source, *function)),
            }
            if cast.context != 'e' {
                casts_unasked.push(*function);
            }
        }
        let mut types_by_name: HashMap<String, Vec<u32>> = HashMap::new();
        for facts in types.values() {
            types_by_name.entry(facts.name.clone()).or_default().push(facts.oid);
        }
        for oids in types_by_name.values_mut() {
            oids.sort_unstable();
        }
        let mut calls: HashMap<Caller, Vec<Called>> = HashMap::new();
        for (caller, called) in facts.calls {
            calls.entry(caller).or_default().push(called);
        }
        Catalog {
            version: facts.version,
            major: facts.server_version / 10_000,
            search_path: facts.search_path,
            temp_schema: facts.temp_schema,
            loose_collations: facts.loose_collations,
            labelled,
            complete,
            relations,
            relations_by_name,
            relations_by_oid,
            references,
            partitioned,
            functions,
            functions_by_name,
            functions_by_oid,
            operators_by_oid,
            server: facts.server,
            operators,
            casts,
            casts_to_own,
            casts_unasked,
            casts_by_text,
            own_equality,
            types,
            types_by_name,
            operator_functions,
            calls,
            declared: safe_functions.to_vec(),
            puts_off,
            unseen: OnceLock::new(),
            unnamed: OnceLock::new(),
            types_say: OnceLock::new(),
            events_say: OnceLock::new(),
            bytes,
        }
    }

    /// What [`query::VERSION_SQL`] answered when the snapshot was taken.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it takes of memory, in estimate.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The effective search path of the session that took the snapshot.
    pub fn search_path(&self) -> &[String] {
        &self.search_path
    }

    /// Whether any column of this database has a label.
    pub fn has_labels(&self) -> bool {
        !self.labelled.is_empty()
    }

    /// The labelled columns, in the order of their ids.
    pub fn labelled_columns(&self) -> &[LabelledColumn] {
        &self.labelled
    }

    /// The ids of the labelled columns.
    pub fn labelled_ids(&self) -> impl Iterator<Item = ColumnId> {
        (0..self.labelled.len()).filter_map(|at| u32::try_from(at).ok().map(ColumnId))
    }

    /// A labelled column. `None` for an id of another catalog.
    pub fn labelled(&self, id: ColumnId) -> Option<&LabelledColumn> {
        self.labelled.get(id.index())
    }

    /// The labels that a taint stands for, sorted; of an unknown taint, all labels there are.
    pub fn labels(&self, taint: &Taint) -> Vec<&Label> {
        let mut labels: Vec<&Label> = if taint.is_unknown() {
            self.labelled.iter().flat_map(|c| &c.labels).collect()
        } else {
            taint.columns().iter().filter_map(|id| self.labelled(*id)).flat_map(|c| &c.labels).collect()
        };
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// The taint of a column that a RowDescription names by its relation and number; number 0 is a whole row.
    /// A relation that the snapshot does not know is unknown, unless the server's bootstrap made it.
    pub fn by_oid(&self, relation: u32, number: i16) -> Taint {
        let Some(index) = self.relations_by_oid.get(&relation) else {
            // System relations are judged by name, in the analysis: here they only must not contradict it.
            let known = relation < limits::PG_FIRST_USER_OID || !self.has_labels();
            return if known { Taint::CLEAN } else { Taint::UNKNOWN };
        };
        let lineage = self.lineage(*index, &[]);
        if number == 0 {
            return lineage.row.clone();
        }
        let columns = self.relations.get(*index).map(|r| r.facts.columns.as_slice()).unwrap_or_default();
        match columns.iter().position(|c| c.number == number).and_then(|at| lineage.columns.get(at)) {
            Some(taint) => taint.clone(),
            // System columns (ctid, xmin …) have negative numbers and hold no data.
            None if number < 0 => Taint::CLEAN,
            None => Taint::UNKNOWN,
        }
    }

    /// The types that users made, row types of tables included, by id.
    pub fn types(&self) -> &HashMap<u32, TypeFacts> {
        &self.types
    }

    /// Whether a function of this name, or one in a schema of this name, is declared free of labelled data.
    pub(crate) fn is_declared(&self, name: &str) -> bool {
        let schema_and_name = |declared: &String| {
            declared.split_once('.').is_some_and(|(schema, function)| schema == name || function == name)
        };
        self.declared.iter().any(schema_and_name)
    }

    /// Everything in columns whose type is this one, or is made of it.
    pub(crate) fn held_as(&self, type_oid: u32, stack: &[Frame]) -> Taint {
        let mut taint = Taint::CLEAN;
        for (index, relation) in self.relations() {
            let lineage = self.lineage(index, stack);
            for (column, held) in relation.facts.columns.iter().zip(&lineage.columns) {
                if !held.is_clean() && self.types_within(column.type_oid).contains(&type_oid) {
                    taint.join(held);
                }
            }
        }
        taint
    }

    /// Whether code of users may be put off to the end of a transaction.
    pub(crate) fn puts_off(&self) -> bool {
        self.puts_off
    }

    /// Whether a column may have a collation that suits some functions only.
    pub(crate) fn compares_loosely(&self) -> bool {
        self.loose_collations
    }

    pub(crate) fn major(&self) -> u32 {
        self.major
    }

    pub(crate) fn relation(&self, index: usize) -> Option<&Relation> {
        self.relations.get(index)
    }

    pub(crate) fn relations(&self) -> impl Iterator<Item = (usize, &Relation)> {
        self.relations.iter().enumerate()
    }

    pub(crate) fn relations_named(&self, name: &str) -> &[usize] {
        self.relations_by_name.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn relation_by_oid(&self, oid: u32) -> Option<&Relation> {
        self.relation(*self.relations_by_oid.get(&oid)?)
    }

    fn function_by_oid(&self, oid: u32) -> Option<&Function> {
        self.function(*self.functions_by_oid.get(&oid)?)
    }

    pub(crate) fn function(&self, index: usize) -> Option<&Function> {
        self.functions.get(index)
    }

    pub(crate) fn functions_named(&self, name: &str) -> &[usize] {
        self.functions_by_name.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn operators_named(&self, name: &str) -> &[(String, usize)] {
        self.operators.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Functions of user casts of a value of this type, 0 if it is not known, to a type of this name.
    pub(crate) fn casts_to(&self, type_name: &str, source: u32) -> impl Iterator<Item = usize> + use<'_> {
        let named = self.casts.get(type_name).map(Vec::as_slice).unwrap_or_default();
        let all = named.iter().chain(&self.casts_to_own);
        // Which of the texts a text is, is not always told apart.
        let text = |oid: u32| matches!(oid, 18 | 19 | 25 | 1042 | 1043);
        let fits = move |from: u32| source == 0 || from == source || (text(from) && text(source));
        all.filter(move |(from, _)| fits(*from)).map(|(_, function)| *function)
    }

    /// Functions of user casts that code may call which names these types, or that the server calls by itself. The server's own types
    /// have too many names to tell.
    pub(crate) fn casts_to_any(&self, is_named: impl Fn(&str) -> bool) -> Vec<usize> {
        let is_users = |name: &str| self.types_by_name.contains_key(name);
        let named = self.casts.iter().filter(|(target, _)| !is_users(target) || is_named(target));
        let all = named.flat_map(|(_, casts)| casts).chain(&self.casts_to_own).map(|(_, function)| *function);
        let mut all: Vec<usize> = all.chain(self.casts_unasked.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The relations whose rows lie in partitions.
    pub(crate) fn partitioned(&self) -> &[usize] {
        &self.partitioned
    }

    /// The type of a labelled column and its modifier, if the taint is of one alone.
    pub(crate) fn only_column(&self, taint: &Taint) -> Option<&facts::ColumnFacts> {
        let [only] = taint.columns() else { return None };
        let labelled = self.labelled(*only)?;
        let relations = self.relations_named(&labelled.table).iter().filter_map(|at| self.relation(*at));
        let relation = relations.into_iter().find(|r| r.facts.schema == labelled.schema)?;
        relation.facts.columns.iter().find(|c| c.name == labelled.column)
    }

    /// Functions that the server may call wherever a value is not of the type that is wanted.
    pub(crate) fn casts_unasked(&self) -> &[usize] {
        &self.casts_unasked
    }

    /// Whether the server casts its own types to each other as it was made, and nobody has told it more.
    pub(crate) fn has_no_casts_unasked(&self) -> bool {
        self.casts_unasked.is_empty() && !self.casts_by_text
    }

    /// Whether some of the casts that the server makes without being asked write a value as text and read that.
    pub(crate) fn casts_by_text(&self) -> bool {
        self.casts_by_text
    }

    /// Whether `=` may be an operator of which nobody knows when it holds.
    pub(crate) fn has_own_equality(&self) -> bool {
        self.own_equality
    }

    pub(crate) fn types_named(&self, name: &str) -> impl Iterator<Item = &TypeFacts> {
        self.types_by_name.get(name).into_iter().flatten().filter_map(|oid| self.types.get(oid))
    }

    /// The relation a name stands for under a search path.
    pub(crate) fn resolve(&self, schema: &str, name: &str, path: &[String], path_known: bool) -> Resolved<'_> {
        if !self.complete {
            return Resolved::Unknown;
        }
        let candidates = self.relations_named(name);
        let user_in = |schema: &str| {
            candidates.iter().copied().find(|c| self.relations.get(*c).is_some_and(|r| r.facts.schema == schema))
        };
        let find_in = |schema: &str| {
            user_in(schema).map(Resolved::User).or_else(|| {
                let (schema, columns) = self.system(schema, name)?;
                Some(Resolved::System { schema, columns })
            })
        };
        if !schema.is_empty() {
            let schema = if schema == "pg_temp" { self.temp_schema.as_deref().unwrap_or(schema) } else { schema };
            return find_in(schema).unwrap_or(Resolved::Unknown);
        }
        if !path_known {
            // Any schema may come first: only a name that exists once is certain.
            return match (candidates, self.system("pg_catalog", name)) {
                ([one], None) => Resolved::User(*one),
                ([], Some((schema, columns))) => Resolved::System { schema, columns },
                _ => Resolved::Unknown,
            };
        }
        // Relations in the temporary schema come first unless the path says otherwise, then pg_catalog likewise.
        let implicit = |name: &str| !path.iter().any(|p| p == name);
        let temp = self.temp_schema.as_deref().filter(|t| implicit(t) && implicit("pg_temp"));
        let catalog = Some("pg_catalog").filter(|c| implicit(c));
        let listed = path.iter().map(|p| if p == "pg_temp" { self.temp_schema.as_deref().unwrap_or(p) } else { p });
        temp.into_iter().chain(catalog).chain(listed).find_map(find_in).unwrap_or(Resolved::Unknown)
    }

    fn system(&self, schema: &str, name: &str) -> Option<(&'static str, &'static [&'static str])> {
        let schema = match schema {
            "pg_catalog" => "pg_catalog",
            "information_schema" => "information_schema",
            _ => return None,
        };
        builtins::relation(schema, name, self.major).map(|columns| (schema, columns))
    }

    /// Whether storing a value of taint `value` in a column of taint `place` keeps every label on it.
    pub(crate) fn keeps_labels(&self, value: &Taint, place: &Taint) -> bool {
        if place.covers(value) {
            return true;
        }
        if value.is_unknown() {
            return false;
        }
        let held = self.labels(place);
        self.labels(value).iter().all(|label| held.iter().any(|h| label.is_within(h.as_str())))
    }
}

/// What a relation's name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resolved<'c> {
    /// A relation of the snapshot.
    User(usize),
    /// One of the server's own.
    System { schema: &'static str, columns: &'c [&'static str] },
    /// None that is known.
    Unknown,
}

fn labels_of(rules: &[(Vec<&str>, &Label)], schema: &str, table: &str, column: &str) -> Vec<Label> {
    let mut labels: Vec<Label> = rules
        .iter()
        .filter(|(parts, _)| match parts.as_slice() {
            [s, t, c] => matches(s, schema) && matches(t, table) && matches(c, column),
            // A pattern of another shape is refused by the configuration; here it must not unlabel anything.
            _ => false,
        })
        .map(|(_, label)| (*label).clone())
        .collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let Some(tail) = parts.pop() else { return true };
    for part in parts {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(tail)
}

/// A child has its parents' labels, and a scan of a parent returns its children's rows: labels go both ways, by name.
fn inherit(relations: &mut [Relation], by_oid: &HashMap<u32, usize>, pairs: &[(u32, u32)]) {
    let mut parents: HashMap<usize, Vec<usize>> = HashMap::new();
    for (child, parent) in pairs {
        if let (Some(child), Some(parent)) = (by_oid.get(child), by_oid.get(parent)) {
            parents.entry(*child).or_default().push(*parent);
        }
    }
    for child in parents.keys().copied().collect::<Vec<_>>() {
        let mut seen = HashSet::new();
        let mut open = parents.get(&child).cloned().unwrap_or_default();
        while let Some(parent) = open.pop() {
            if seen.insert(parent) {
                open.extend(parents.get(&parent).into_iter().flatten());
            }
        }
        seen.remove(&child);
        let mut ancestors: Vec<usize> = seen.into_iter().collect();
        ancestors.sort_unstable();
        for ancestor in &ancestors {
            if let Some(relation) = relations.get_mut(*ancestor) {
                relation.descendants.push(child);
            }
        }
        if let Some(relation) = relations.get_mut(child) {
            relation.ancestors = ancestors;
        }
    }
    // Up first (a parent shows its children's rows), then down; siblings get each other's labels on the way, which is
    // no more than what the parent already shows of them.
    let children: Vec<usize> = parents.keys().copied().collect();
    for upwards in [true, false] {
        let mut grown: Vec<(usize, String, Taint)> = Vec::new();
        for child in &children {
            let Some(relation) = relations.get(*child) else { continue };
            for ancestor in &relation.ancestors {
                let Some(other) = relations.get(*ancestor) else { continue };
                let (from, to) = if upwards { (relation, *ancestor) } else { (other, *child) };
                for (column, taint) in from.facts.columns.iter().zip(&from.base) {
                    if !taint.is_clean() {
                        grown.push((to, column.name.clone(), taint.clone()));
                    }
                }
            }
        }
        for (index, name, taint) in grown {
            let Some(relation) = relations.get_mut(index) else { continue };
            for (column, base) in relation.facts.columns.iter().zip(&mut relation.base) {
                if column.name == name {
                    base.join(&taint);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("ssn", "ssn", true),
            ("ssn", "ssn2", false),
            ("*", "anything", true),
            ("*", "", true),
            ("*_id", "national_id", true),
            ("*_id", "id", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a*a", "a", false),
            ("email*", "email_old", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
