//! The analysis of a parsed statement. This file holds what the walk gathers on its way; the rules are beside it:
//! names and expressions in `expr`, calls in `call`, queries in `query`, INSERT and its kin in `modify`, what the
//! server does by itself with the rows of these in `stored`, everything else in `command`.

mod aggregate;
mod call;
mod command;
mod complete;
mod condition;
mod copy;
mod define;
mod expr;
#[cfg(test)]
pub(crate) mod kinds;
mod length;
mod modify;
mod operator;
mod parameter;
mod pattern;
mod query;
mod result;
mod returned;
mod scope;
mod settings;
mod size;
mod sources;
mod stored;
mod total;
pub(crate) mod tree;
mod truncate;
mod types;
mod unify;
mod verb;

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use lockgate_core::{Action, SQL_VERBS, limits};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ParseResult};

use crate::catalog::{Catalog, Lineage, Resolved, Summary};
use crate::probe::Probe;
use crate::shape::{self, Shape};
use crate::statement::{
    Batch, Carry, Change, Effect, Facts, How, Later, Need, Object, Statement, Unparsable, Unseen, Use, Why,
};
use crate::taint::Taint;
use crate::{Outputs, parse};
pub use copy::copied_query;
pub use parameter::ParameterTypes;
pub use result::{arguments_meet, type_of_call};
use scope::{Col, Item, Rel, Scope};
pub(crate) use size::Rows;

pub use unify::{type_casts, types_compare, types_meet};

/// What an analysis rests on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The database's catalog.
    pub catalog: &'a Catalog,
    /// The effective search path of the session, as `current_schemas(true)` tells it.
    pub search_path: &'a [String],
    /// Whether `search_path` is certain. If not, a name that could stand for several things stands for anything.
    pub path_known: bool,
}

/// Analyses a text of any number of statements.
pub fn analyze(text: &str, context: &Context<'_>) -> Result<Batch, Unparsable> {
    analyze_with(text, context, ParameterTypes::default())
}

/// The same of a text whose parameters the client gives types.
pub fn analyze_with(text: &str, context: &Context<'_>, parameters: ParameterTypes) -> Result<Batch, Unparsable> {
    parse::with_tree(text, false, |tree| batch(text, tree, context, parameters))?
}

/// Analyses a text, and says which numbers of its shape are idle: texts of the same shape with the same numbers in all
/// other places have the same analysis, but for [`Statement::range`] and [`Use::offset`].
pub fn analyze_shaped(text: &str, shape: &Shape, context: &Context<'_>) -> Result<(Batch, Vec<bool>), Unparsable> {
    parse::with_tree(text, false, |tree| {
        // No text with a parameter has a shape.
        let batch = batch(text, tree, context, ParameterTypes::default())?;
        let mut idle = shape::idle(tree);
        // The number that a labelled column is compared with is what a probe is about.
        let probed = |at: usize| {
            let uses = batch.statements.iter().flat_map(|s| &s.uses);
            uses.filter(|used| used.probe.is_some()).any(|used| used.offset == Some(at))
        };
        idle.retain(|number| !probed(number.place()));
        Ok((batch, shape.idle(text, &idle)))
    })?
}

fn batch(
    text: &str,
    tree: &ParseResult,
    context: &Context<'_>,
    parameters: ParameterTypes,
) -> Result<Batch, Unparsable> {
    let mut statements = Vec::with_capacity(tree.stmts.len());
    for raw in &tree.stmts {
        let Some(node) = raw.stmt.as_deref() else { continue };
        let start = usize::try_from(raw.stmt_location).unwrap_or(0).min(text.len());
        let end = match usize::try_from(raw.stmt_len) {
            Ok(0) | Err(_) => text.len(),
            Ok(len) => start.saturating_add(len).min(text.len()),
        };
        let mut analyzer = Analyzer::new(context, &[]);
        analyzer.follows = tree.stmts.len() == 1;
        analyzer.parameters = parameters;
        let mut statement = analyzer.statement(node);
        if analyzer.exhausted() {
            return Err(Unparsable { why: Why::Unanalysed("too much work"), offset: None });
        }
        statement.range = trimmed(text, start, end);
        statements.push(statement);
    }
    Ok(Batch { statements })
}

/// The range without white space at its ends.
fn trimmed(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let Some(part) = text.get(start..end) else { return start..end };
    let lead = part.len() - part.trim_start().len();
    let tail = part.len() - part.trim_end().len();
    if lead + tail >= part.len() { start..start } else { start + lead..end - tail }
}

/// What is being analysed on the way to where the walk is, so that no view or function is entered twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Relation(usize),
    Function(usize),
}

/// One walk over one statement.
pub(crate) struct Analyzer<'t> {
    pub(super) catalog: &'t Catalog,
    pub(super) path: &'t [String],
    pub(super) path_known: bool,
    pub(super) stack: &'t [Frame],
    /// `path` is the path that functions find which bring none of their own: not so within a view or a body whose names were
    /// found when it was made.
    pub(crate) callers_path_known: bool,
    /// The function whose body this is, and its arguments: names that stand for values the caller accounts for.
    pub(crate) arguments: &'t [String],
    /// In code with variables: what any of them may hold.
    pub(crate) variables: Option<Taint>,
    /// It is a trigger of the database's owner, who labelled what it writes to.
    pub(crate) by_owner: bool,
    pub(super) needs: Vec<Need>,
    pub(super) tables: Vec<String>,
    pub(super) uses: Vec<Use>,
    pub(super) touches: Taint,
    /// What code of users that it runs may speak of, in errors and notices, wherever its value goes.
    pub(crate) says: Taint,
    pub(super) opaque: bool,
    /// The statement is one that is run as it stands, so that what it stores can be followed.
    pub(super) follows: bool,
    /// Where labelled values come to lie in columns that could take their labels.
    pub(super) carries: Vec<Carry>,
    /// The first name that the catalog does not have.
    pub(super) not_found: Option<String>,
    pub(super) changes: Vec<Change>,
    /// A call in it may change the search path.
    pub(super) sets_path: bool,
    /// What the code may do that a statement within sets off.
    pub(super) unseen: Unseen,
    /// What it looks up only while it runs.
    pub(super) later: Later,
    /// Code that it calls looks up anything.
    pub(super) calls_later: bool,
    /// All that is defined is a temporary table.
    pub(super) temporary: bool,
    /// It fires triggers, or runs code that may: where some are deferrable, code may run at the end of the transaction.
    pub(super) puts_off: bool,
    /// Functions of the server are called that keep what they are given.
    pub(super) keeps: bool,
    /// It is an INSERT of values without labels, in which no code of users has a say.
    pub(super) inserts_own: bool,
    /// What decided about the rows of the query being walked.
    pub(super) predicate: Taint,
    /// What windows of the query being walked are made from.
    pub(super) windows: Taint,
    /// What the order depends on in which the query being walked finds its rows.
    pub(super) found_in_order_of: Taint,
    /// What casts may make of a value that nobody asked for, once it was looked up.
    pub(super) unasked: Option<Taint>,
    /// The one table that the query being walked asks statistics about.
    pub(super) asks_about: Option<&'t str>,
    /// The one setting that the query being walked is about.
    pub(super) asks_setting: Option<&'t str>,
    /// The query being walked has an aggregate.
    pub(super) aggregated: bool,
    /// The query walked last has a WHERE clause that looks at a column.
    pub(super) filtered: bool,
    /// How many queries there are around the one being walked.
    pub(super) nested: u32,
    /// All that was walked of the expression being walked is certain not to fail and not to act, whatever its values: only
    /// then does it not show whether it was evaluated.
    pub(super) sure: bool,
    /// Texts in the statement may have collations that do not suit what is done with them.
    pub(super) collates: bool,
    /// What is declared of the types of parameters.
    pub(super) parameters: ParameterTypes,
    /// The parameters that stand in more than one place.
    pub(super) parameters_again: Vec<i32>,
    /// How large the parts of the expression being walked are together, so far.
    pub(super) parts_size: u64,
    /// How many rows the calls of the query being walked make of each row, so far.
    pub(super) times: u64,
    /// Counts column references.
    pub(super) columns_seen: u32,
    /// Gives out the numbers of columns.
    numbers: sources::Numbers,
    /// How many rows the statement gives, and what no two of them have in common.
    pub(crate) spread: Spread,
    /// The relations that are read where the text names them; what views and functions read is not among them.
    pub(super) read: Vec<Read>,
    /// What functions do whose bodies mean something under this path alone, so that many calls of one read it once.
    summaries: HashMap<usize, Summary>,
    /// Parts of the statement that the walk came by.
    seen: Vec<complete::Part>,
    steps: usize,
}

/// How many rows a result has, and the columns, by their places, that no two of them have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) rows: Rows,
    pub(crate) keys: Vec<Vec<usize>>,
    /// How many rows may have the same there after all.
    pub(crate) copies: u64,
}

/// Names of columns, and what they hold.
pub(crate) type Columns<'t> = Vec<(&'t str, Taint)>;

/// A relation that a text names to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// The byte of the text at which its name begins.
    pub(crate) at: i32,
    /// Which it is.
    pub(crate) relation: usize,
    /// It has an alias there.
    pub(crate) aliased: bool,
    /// What inherits from it is not read.
    pub(crate) only: bool,
}

impl<'t> Analyzer<'t> {
    pub(crate) fn new(context: &Context<'t>, stack: &'t [Frame]) -> Analyzer<'t> {
        Analyzer {
            catalog: context.catalog,
            path: context.search_path,
            path_known: context.path_known,
            stack,
            callers_path_known: true,
            arguments: &[],
            variables: None,
            by_owner: false,
            needs: Vec::new(),
            tables: Vec::new(),
            uses: Vec::new(),
            touches: Taint::CLEAN,
            says: Taint::CLEAN,
            opaque: false,
            follows: false,
            carries: Vec::new(),
            not_found: None,
            inserts_own: false,
            changes: Vec::new(),
            sets_path: false,
            unseen: Unseen::Nothing,
            later: Later::Nothing,
            calls_later: false,
            temporary: false,
            puts_off: false,
            keeps: false,
            predicate: Taint::CLEAN,
            windows: Taint::CLEAN,
            found_in_order_of: Taint::CLEAN,
            unasked: None,
            asks_about: None,
            asks_setting: None,
            aggregated: false,
            filtered: false,
            nested: 0,
            sure: true,
            collates: context.catalog.compares_loosely(),
            parameters: ParameterTypes::default(),
            parameters_again: Vec::new(),
            parts_size: 0,
            times: 1,
            columns_seen: 0,
            numbers: sources::Numbers::default(),
            spread: Spread::default(),
            read: Vec::new(),
            summaries: HashMap::new(),
            seen: Vec::new(),
            steps: 0,
        }
    }

    /// Whether the walk stopped because of its bound: its answers are then incomplete.
    pub(crate) fn exhausted(&self) -> bool {
        self.steps > limits::SQL_ANALYSIS_STEPS_MAX
    }

    /// How many steps it took.
    pub(crate) fn taken(&self) -> usize {
        self.steps
    }

    /// It goes on where others took so many.
    pub(crate) fn took(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// Counts a step; false once there were too many.
    pub(super) fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_add(1);
        !self.exhausted()
    }

    /// Counts this many steps; false once there were too many. To be asked before the work is done.
    pub(super) fn work(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps);
        !self.exhausted()
    }

    /// Counts a search through this many.
    pub(super) fn search(&mut self, through: usize) -> bool {
        self.work(through / limits::SQL_COMPARISONS_PER_STEP)
    }

    pub(super) fn need(&mut self, action: Action, object: Object, why: impl Into<String>) {
        self.search(self.needs.len());
        if !self.needs.iter().any(|n| n.action == action && n.object == object) {
            self.needs.push(Need { action, object, why: why.into() });
        }
    }

    pub(super) fn need_on_target(&mut self, action: Action, why: impl Into<String>) {
        self.need(action, Object::Target, why);
    }

    /// Something cannot be looked into.
    pub(super) fn cannot_see(&mut self, why: impl Into<String>) {
        self.opaque = true;
        self.looks_up(Later::Anything);
        self.need_on_target(Action::Execute, why);
    }

    /// Notes that something is looked up only while the statement runs, by code that it calls.
    pub(super) fn looks_up(&mut self, later: Later) {
        self.looks_up_beneath(later);
        self.calls_later |= later == Later::Anything;
    }

    /// The same by code of the relations that it names, which [`Catalog::sets_off`] follows.
    pub(super) fn looks_up_beneath(&mut self, later: Later) {
        self.later = self.later.max(later);
    }

    /// Notes a change of data.
    pub(super) fn changes(&mut self, verb: &'static str, has_where: bool, table: String) {
        let change = Change { verb, has_where, table };
        self.search(self.changes.len());
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    /// Records that something labelled is used. Nothing is recorded of a clean taint.
    pub(super) fn uses(&mut self, taint: &Taint, how: How, place: &str, location: i32) {
        if taint.is_clean()
            || !self.search(self.uses.len())
            || self.uses.iter().any(|u| u.how == how && u.taint == *taint && u.place == place && u.probe.is_none())
        {
            return;
        }
        self.touches.join(taint);
        self.uses.push(Use {
            taint: taint.clone(),
            how,
            place: place.to_owned(),
            offset: usize::try_from(location).ok().filter(|l| *l > 0),
            probe: None,
        });
    }

    /// Code of users may speak of this.
    pub(super) fn may_say(&mut self, taint: &Taint) {
        self.touches.join(taint);
        self.says.join(taint);
    }

    /// Records that a labelled column is compared with one value. Two comparisons with the same value are two: texts of one
    /// shape may differ in either.
    pub(super) fn probes(&mut self, taint: &Taint, probe: Probe, place: &str, location: i32) {
        self.touches.join(taint);
        self.uses.push(Use {
            taint: taint.clone(),
            how: How::Equality,
            place: place.to_owned(),
            offset: usize::try_from(location).ok(),
            probe: Some(probe),
        });
    }

    /// Labelled values go to a column that does not have their labels.
    pub(super) fn carry(&mut self, carry: Carry, place: &str, location: i32) {
        if self.follows && self.search(self.carries.len()) {
            self.uses(&carry.value, How::Stored, place, location);
            if !self.carries.contains(&carry) {
                self.carries.push(carry);
            }
        } else {
            self.uses(&carry.value, How::Source, place, location);
        }
    }

    /// What stands for a value that is not understood: everything labelled, if anything is.
    pub(super) fn unknown(&self) -> Taint {
        if self.catalog.has_labels() { Taint::UNKNOWN } else { Taint::CLEAN }
    }

    pub(super) fn resolve(&self, schema: &str, name: &str) -> Resolved<'t> {
        self.catalog.resolve(schema, name, self.path, self.path_known)
    }

    pub(super) fn lineage(&self, relation: usize) -> &'t Lineage {
        self.catalog.lineage(relation, self.stack)
    }

    /// What calling a function amounts to, which the statement names.
    pub(super) fn summary(&mut self, function: usize) -> Cow<'t, Summary> {
        let summary = self.summary_beneath(function);
        self.looks_up(summary.later);
        summary
    }

    /// The same of one that a relation calls which the statement names.
    pub(super) fn summary_beneath(&mut self, function: usize) -> Cow<'t, Summary> {
        if let Some(known) = self.summaries.get(&function) {
            return Cow::Owned(known.clone());
        }
        let summary = self.catalog.summary(function, self.stack, self.path, self.path_known && self.callers_path_known);
        self.looks_up_beneath(summary.later);
        self.keeps |= summary.keeps;
        // Which triggers fire of what code writes is not kept.
        self.puts_off |= summary.opaque || !summary.changes.is_empty();
        if let Cow::Owned(own) = &summary {
            self.summaries.insert(function, own.clone());
        }
        summary
    }

    /// Analyses one statement whole.
    pub(crate) fn statement(&mut self, node: &'t Node) -> Statement {
        self.statement_in(node, &Scope::root())
    }

    /// The same within code that has rows under names of its own, and relations that are none: `(name, columns)`.
    pub(crate) fn statement_among(
        &mut self,
        node: &'t Node,
        rows: Vec<(&'t str, Columns<'t>)>,
        tables: Vec<(&'t str, Columns<'t>)>,
    ) -> Statement {
        let rel = |columns: Columns<'t>| {
            let cols = columns.into_iter().map(|(name, taint)| Col::new(name, taint)).collect();
            Rc::new(Rel::of_columns(cols))
        };
        let mut scope = Scope::root();
        for (alias, columns) in rows {
            scope.from.items.push(Item::new(alias, rel(columns)));
        }
        scope.ctes.extend(tables.into_iter().map(|(name, columns)| scope::Cte::new(name, rel(columns))));
        self.statement_in(node, &scope)
    }

    /// The same over one relation that has these stored columns: name, what it holds, type.
    pub(crate) fn statement_over(
        &mut self,
        node: &'t Node,
        name: &'t str,
        columns: Vec<(&'t str, Taint, u32)>,
    ) -> Statement {
        let col = |(name, taint, type_oid): (&'t str, Taint, u32)| Col {
            type_oid,
            plain: true,
            sure: true,
            size: size::of_type(type_oid),
            ..Col::new(name, taint)
        };
        let cols = columns.into_iter().map(col).collect();
        let mut scope = Scope::root();
        let own = Rel::of_columns(cols);
        scope.ctes.push(scope::Cte::new(name, Rc::new(own)));
        self.statement_in(node, &scope)
    }

    /// The same where names of rows around it mean something.
    fn statement_in(&mut self, node: &'t Node, scope: &Scope<'t, '_>) -> Statement {
        let (parts, again) = complete::parts_of(node);
        self.parameters_again = again;
        let outcome = match node.node.as_ref() {
            Some(kind) => self.command(kind, scope),
            None => command::Outcome::unknown(),
        };
        self.overlooked(&parts);
        self.finish(outcome)
    }

    /// The walk came by this part of the statement.
    pub(super) fn sees(&mut self, kind: &'static str, location: i32) {
        self.seen.push((kind, location));
    }

    /// What stands in the statement where no rule looked for it could be anything.
    fn overlooked(&mut self, parts: &[complete::Part]) {
        let administers = |n: &Need| n.action == Action::Administer && n.object == Object::Target;
        if self.exhausted() || self.needs.iter().any(administers) {
            return;
        }
        self.seen.sort_unstable();
        self.seen.dedup();
        for part in parts {
            if self.seen.binary_search(part).is_err() {
                let (_, location) = *part;
                self.cannot_see("a part of the statement that is not understood");
                self.uses(&self.unknown(), How::Source, "a part of the statement that is not understood", location);
                return;
            }
        }
    }

    /// Whether it is of the kind for which event triggers run.
    fn may_set_off_events(&self, effect: &Effect, verb: &str) -> bool {
        let defines = |need: &Need| matches!(need.action, Action::Define | Action::Administer);
        *effect == Effect::Define || verb == "refresh_materialized_view" || self.needs.iter().any(defines)
    }

    /// Puts together what the walk gathered.
    fn finish(&mut self, outcome: command::Outcome<'t>) -> Statement {
        let outputs = match outcome.result {
            None => Outputs::NoRows,
            Some(mut rel) => {
                self.spread = Spread { rows: rel.rows, keys: std::mem::take(&mut rel.keys), copies: rel.copies };
                outputs(rel)
            }
        };
        if let Outputs::Known(columns) = &outputs {
            for column in columns {
                self.touches.join(&column.value);
            }
        } else if let Outputs::Each(taint) = &outputs {
            self.touches.join(taint);
        }
        let does_nothing = self.needs.is_empty() && matches!(outputs, Outputs::NoRows);
        if self.stack.is_empty() && !does_nothing {
            let said = self.catalog.types_say();
            self.touches.join(&said);
        }
        let mut effect = outcome.effect;
        if self.may_set_off_events(&effect, outcome.verb) && self.catalog.has_event_code() {
            // Within code it may be an event trigger's own.
            let said = if self.stack.is_empty() { self.catalog.events_say() } else { self.unknown() };
            self.may_say(&said);
        }
        if self.sets_path && effect == Effect::Define {
            // A default, a check or a view that does it would do it in statements that do not show it.
            self.need_on_target(
                Action::Administer,
                "an expression that is stored and changes the search path or how texts are read",
            );
        }
        if self.sets_path && effect == Effect::None {
            effect = Effect::SetPath(crate::NewPath::Unknown);
        }
        self.tables.sort_unstable();
        self.tables.dedup();
        debug_assert!(SQL_VERBS.contains(&outcome.verb), "policies cannot name {}", outcome.verb);
        let called = if self.calls_later { self.catalog.unseen() } else { Unseen::Nothing };
        let unseen = self.unseen.max(called).max(self.catalog.sets_off(&self.tables, outcome.verb));
        Statement {
            range: 0..0,
            verb: outcome.verb,
            needs: std::mem::take(&mut self.needs),
            facts: Facts {
                tables: std::mem::take(&mut self.tables),
                has_where: outcome.has_where,
                has_limit: outcome.has_limit,
                changes: std::mem::take(&mut self.changes),
                opaque: self.opaque,
                moves_path: self.sets_path || unseen != Unseen::Nothing,
                unseen,
                later: self.later,
                temporary: self.temporary,
                puts_off: (self.puts_off || self.opaque) && self.catalog.puts_off(),
                inserts_own: self.inserts_own && outcome.verb == "insert",
                keeps: self.keeps,
            },
            outputs,
            uses: std::mem::take(&mut self.uses),
            aggregation: outcome.aggregation,
            effect,
            carries: std::mem::take(&mut self.carries),
            not_found: self.not_found.take(),
            touches: std::mem::take(&mut self.touches),
        }
    }

    /// A statement within a statement (PREPARE, DECLARE), analysed on its own.
    pub(super) fn inner(&mut self, node: Option<&'t NodeEnum>, parameters: ParameterTypes) -> Statement {
        let mut inner = Analyzer::new(
            &Context { catalog: self.catalog, search_path: self.path, path_known: self.path_known },
            self.stack,
        );
        inner.steps = self.steps;
        inner.follows = self.follows;
        inner.parameters = parameters;
        inner.parameters_again.clone_from(&self.parameters_again);
        inner.callers_path_known = self.callers_path_known;
        let wrapped = node.map(|kind| inner.command(kind, &Scope::root()));
        let outcome = wrapped.unwrap_or_else(command::Outcome::unknown);
        self.steps = inner.steps;
        self.read.append(&mut inner.read);
        self.seen.append(&mut inner.seen);
        // What is prepared or fetched in pieces answers later than the sizes of its groups.
        Statement { aggregation: None, ..inner.finish(outcome) }
    }
}

fn outputs(rel: Rel<'_>) -> Outputs {
    if rel.open.is_some() {
        return Outputs::Each(rel.all());
    }
    Outputs::Known(
        rel.cols
            .into_iter()
            .map(|c| crate::Output {
                name: c.name.into_owned(),
                named: !c.guessed,
                plain: c.plain,
                value: c.taint,
                size: c.size,
                sure: c.sure,
            })
            .collect(),
    )
}
