//! Calls of functions: which functions a name may stand for, what they need, and what their value holds.

use std::borrow::Cow;

use lockgate_core::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node};

use super::operator::CONDITION;
use super::scope::{Scope, Val};
use super::size;
use super::total::Given;
use super::unify::MEETING;
use super::{Analyzer, Resolved, settings, tree, types};
use crate::builtins::{self, Builtin, Class};
use crate::statement::{How, Later};
use crate::taint::Taint;
use crate::{catalog, parse};

/// The server's own types that refuse some texts.
const SERVER_TYPES: &[&str] = &[
    "aclitem",
    "bit",
    "bool",
    "box",
    "bytea",
    "cid",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int2vector",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "numeric",
    "nummultirange",
    "numrange",
    "oid",
    "oidvector",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "point",
    "polygon",
    "refcursor",
    "regclass",
    "regcollation",
    "regconfig",
    "regdatabase",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "tid",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "txid_snapshot",
    "uuid",
    "varbit",
    "xid",
    "xid8",
    "xml",
];

/// Whether what such a function gives is nothing that this crate knows the length of.
fn is_followed_no_further(class: Class) -> bool {
    matches!(class, Class::RunsText | Class::Dynamic | Class::Writes | Class::Leaky | Class::Administers)
}

impl<'t> Analyzer<'t> {
    /// User functions that a call may reach: by name, schema or path, and number of arguments.
    pub(super) fn candidates(&self, schema: &str, name: &str, arguments: usize) -> Vec<usize> {
        // Extensions put functions into `pg_catalog` too.
        let mut found = self.catalog.functions_named(name).to_vec();
        found.retain(|index| {
            self.catalog.function(*index).is_some_and(|f| {
                let here = if schema.is_empty() { self.on_path(&f.facts.schema) } else { f.facts.schema == schema };
                here && (f.facts.arguments_min..=f.facts.arguments_max).contains(&arguments)
            })
        });
        found
    }

    /// The value of a call.
    pub(super) fn call(&mut self, call: &'t FuncCall, scope: &Scope<'t, '_>) -> Val<'t> {
        self.sees("FuncCall", call.location);
        let (schema, name) = tree::qualified(&call.funcname);
        let mut arguments = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            arguments.push(self.expr(arg, scope));
        }
        let mut given = Taint::CLEAN;
        for argument in &arguments {
            given.join(&argument.taint);
        }
        let sum = arguments.iter().fold(0, |sum: u64, argument| sum.saturating_add(argument.size));
        if call.over.is_some() && !arguments.iter().all(|argument| argument.sure) {
            // Of which row, if of any, a window function evaluates an argument depends on the others.
            self.uses(&given, How::Condition, CONDITION, call.location);
        }
        if (call.agg_distinct || call.agg_within_group) && !arguments.iter().all(|a| self.compares(a.type_oid)) {
            self.may_fail(&given, "a comparison that may fail", call.location);
        }
        if call.agg_within_group {
            self.ordered_among(&call.args, &arguments, &call.agg_order, scope, call.location);
        }
        let before_extras = self.parts_size;
        let extras =
            self.aggregate_extras(&call.agg_order, &call.agg_filter, call.over.as_deref(), scope, call.location);
        let ordered = self.parts_size.saturating_sub(before_extras);
        let users = self.candidates(schema, name, arguments.len());
        let builtin = match schema {
            "" | "pg_catalog" | "information_schema" => builtins::function(name),
            _ => None,
        };
        let mut value = Val::made_of(given.clone());
        for function in &users {
            // `citext` adds to the overloads of functions of text what runs those: the built-in's class tells what may fail.
            let extension = self.catalog.function(*function).and_then(|f| f.facts.extension.as_deref());
            let same = extension == Some("citext") && builtin.is_some();
            let sure = self.sure;
            let may_fail = if same { &Taint::CLEAN } else { &given };
            let called = self.call_user(*function, name, may_fail, call.location);
            if sum > size::ARGUMENTS {
                // In the body it counts as a parameter does.
                self.may_fail(&called.value, size::PLACE, call.location);
            }
            if self.catalog.function(*function).is_some_and(|f| f.facts.returns_set) {
                self.times = self.times.saturating_mul(size::TABLE_ROWS);
            }
            if same {
                self.sure = sure;
            }
            value.taint.join(&called.value);
            if let ([_], None) = (users.as_slice(), builtin)
                && self.is_the_function(name, &call.args, &arguments, true)
            {
                value.type_oid = self.catalog.function(*function).map_or(0, |f| f.facts.return_type);
                value.row = self.row_of(&called, *function, &given);
            }
        }
        if let Some(builtin) = builtin {
            self.aggregated |= builtin.aggregate && call.over.is_none();
            if builtin.set {
                self.uses(&given, How::Predicate, name, call.location);
                let rows = size::rows_of_call(name, &call.args, sum);
                self.times = self.times.saturating_mul(rows.max(1));
            }
            value.taint.join(&self.call_builtin(builtin, name, call, &arguments, &given));
            if users.is_empty() && certainly_called(name, &arguments) {
                let given: Vec<u32> = arguments.iter().map(|argument| argument.type_oid).collect();
                value.type_oid = self.type_of_result(name, &given);
            }
        }
        value.size = match builtin {
            // What a query within a text makes is not followed any further.
            Some(builtin) if value.taint.is_clean() && is_followed_no_further(builtin.class) => size::ANY,
            Some(builtin) if !matches!(builtin.class, Class::Total | Class::Conditional | Class::Pure) => sum,
            Some(_) => self.length_of_call(name, call, &arguments, scope.from.rows),
            None => {
                let lengths = users.iter().map(|function| self.length_of_users(*function, name, sum));
                lengths.max().unwrap_or_else(|| sum.saturating_add(size::STORED))
            }
        };
        if call.agg_within_group {
            // One of what it puts in order, or one for each of those it is asked for.
            value.size = value.size.max(ordered.saturating_mul(sum.max(1)));
        }
        if let ([one], "") = (arguments.as_slice(), schema)
            && !(users.is_empty() && builtin.is_none())
            && self.catalog.types_named(name).any(|known| known.kind != 'c' && self.on_path(&known.schema))
        {
            // Where no function of the name takes the value, the server casts it to the type.
            let cast = self.cast_by_name(name, one.type_oid, &given, call.location);
            value.taint.join(&cast);
        }
        if users.is_empty() && builtin.is_none() {
            let size = value.size;
            value = Val { size, ..self.call_nothing(schema, name, call, &arguments, given) };
        }
        if !extras.is_clean() {
            value.taint.join(&extras);
            value.row = None;
        }
        value
    }

    /// `rank(value) WITHIN GROUP (ORDER BY key)`: the server makes one type of the value and the key it is compared with.
    fn ordered_among(
        &mut self,
        args: &'t [Node],
        values: &[Val<'t>],
        order: &'t [Node],
        scope: &Scope<'t, '_>,
        location: i32,
    ) {
        if args.len() != order.len() {
            // Not of that kind: what it is given has types of its own.
            return;
        }
        for (value, key) in values.iter().zip(order) {
            let key = match tree::kind(key) {
                Some(NodeEnum::SortBy(sort)) => sort.node.as_deref(),
                _ => Some(key),
            };
            let Some(key) = key.map(|key| self.expr(key, scope)) else { continue };
            let meeting = self.meet(value.met_as(), key.met_as());
            if !meeting.sure || !self.compares(meeting.type_oid) {
                let taint = value.taint.clone().with(&key.taint);
                self.may_fail(&taint, MEETING, location);
            }
        }
    }

    /// No function of this name: a column in functional notation, a cast written as a call, or nothing known.
    fn call_nothing(
        &mut self,
        schema: &str,
        name: &'t str,
        call: &'t FuncCall,
        arguments: &[Val<'t>],
        given: Taint,
    ) -> Val<'t> {
        if let [row] = arguments {
            if schema.is_empty()
                && let Some(field) = Self::field_named(row, name)
            {
                return field;
            }
            let fields = self.catalog.types().get(&row.type_oid).map(|t| t.fields.as_slice()).unwrap_or_default();
            if fields.iter().any(|(field, _)| field == name) {
                return Val::made_of(given);
            }
            if self.catalog.types_named(name).next().is_some() {
                let taint = self.cast_by_name(name, row.type_oid, &given, call.location);
                return Val::made_of(taint);
            }
        }
        self.sure = false;
        self.uses(&given, How::Source, name, call.location);
        self.cannot_see(format!("the function `{name}`, which is not known"));
        Val::made_of(self.unknown())
    }

    /// A cast to a user's type of this name. `given` is what goes into it.
    fn cast_by_name(&mut self, name: &str, from: u32, given: &Taint, location: i32) -> Taint {
        self.may_fail(given, "a cast", location);
        self.checked_by_type(name, location);
        let mut taint = given.clone();
        let catalog = self.catalog;
        for function in catalog.casts_to(name, self.cast_as(from)) {
            taint.join(&self.call_user(function, name, given, location).value);
        }
        taint
    }

    /// A call of a user's function.
    pub(super) fn call_user(
        &mut self,
        function: usize,
        name: &str,
        given: &Taint,
        location: i32,
    ) -> Cow<'t, catalog::Summary> {
        let summary = self.summary(function);
        let safe = self.catalog.function(function).is_some_and(|f| f.safe);
        // Nobody knows of which values it fails; what is said of a safe one is that this tells nothing.
        self.sure = false;
        let harmless = safe || (given.is_clean() && summary.is_nothing());
        if !harmless {
            self.may_fail(given, name, location);
        }
        for (how, taint) in &summary.uses {
            let place = format!("the body of the function `{name}`");
            self.uses(taint, *how, &place, location);
        }
        for need in &summary.needs {
            self.need(need.action, need.object.clone(), format!("{}, in the function `{name}`", need.why));
        }
        self.tables.extend(summary.tables.iter().cloned());
        for change in &summary.changes {
            self.changes(change.verb, change.has_where, change.table.clone());
        }
        if summary.administers {
            self.need_on_target(Action::Administer, format!("the function `{name}`"));
        } else if summary.opaque {
            self.cannot_see(format!("the function `{name}`"));
        }
        self.may_say(&summary.value);
        self.may_say(&summary.touches);
        if summary.puts_through {
            let all = self.unknown();
            self.may_say(&all);
        }
        summary
    }

    /// `row.f` where `f` is no field calls the function `f(row)`, or casts to the type `f`.
    pub(super) fn attribute_call(&mut self, name: &str, of: &Val<'t>) -> Taint {
        let given = &of.taint;
        let mut taint = Taint::CLEAN;
        for function in self.candidates("", name, 1) {
            taint.join(&self.call_user(function, name, given, -1).value);
        }
        if let Some(builtin) = builtins::function(name) {
            if builtin.set {
                self.uses(given, How::Predicate, name, -1);
                self.times = size::ANY;
            }
            match builtin.class {
                Class::Total | Class::Conditional | Class::Pure => {
                    let given = [Given { value: of, node: None }];
                    if let Some(fails) = self.call_fails(builtin.class, name, &given, false) {
                        self.may_fail(&fails, name, -1);
                    }
                }
                Class::Stateful | Class::Writes => {
                    self.sure = false;
                    self.keeps = true;
                    self.uses(given, How::Source, name, -1);
                    if builtin.class == Class::Writes {
                        self.need_on_target(Action::Write, format!("the function `{name}`"));
                    }
                }
                Class::Leaky => {
                    self.sure = false;
                    taint.join(&self.unknown());
                }
                Class::RunsText | Class::Dynamic => {
                    self.sure = false;
                    self.uses(given, How::Source, name, -1);
                    self.cannot_see(format!("the function `{name}`, which runs SQL that is not shown"));
                    taint.join(&self.unknown());
                }
                Class::Administers => {
                    self.sure = false;
                    self.uses(given, How::Source, name, -1);
                    self.need_on_target(Action::Administer, format!("the function `{name}`"));
                    taint.join(&self.unknown());
                }
            }
        }
        if self.is_type(name) {
            self.may_fail(given, "a cast", -1);
            let catalog = self.catalog;
            for function in catalog.casts_to(name, self.cast_as(of.type_oid)) {
                taint.join(&self.call_user(function, name, given, -1).value);
            }
        }
        taint
    }

    /// Whether a type goes by this name that does not take every value.
    fn is_type(&self, name: &str) -> bool {
        self.catalog.types_named(name).next().is_some() || SERVER_TYPES.contains(&name)
    }

    fn call_builtin(
        &mut self,
        builtin: &'static Builtin,
        name: &'t str,
        call: &'t FuncCall,
        arguments: &[Val<'t>],
        given: &Taint,
    ) -> Taint {
        match builtin.class {
            Class::Total | Class::Conditional | Class::Pure => {
                let listed: Vec<Given<'_, 't>> =
                    arguments.iter().enumerate().map(|(at, value)| Given { value, node: call.args.get(at) }).collect();
                // Where everything fits there is nothing that could fail.
                if let Some(fails) = self.call_fails(builtin.class, name, &listed, call.func_variadic) {
                    self.may_fail(&fails, name, call.location);
                }
                if name == "pg_get_viewdef" {
                    // Which view that is the server finds out as it runs.
                    self.looks_up(Later::Anything);
                    return self.definition_of(&call.args);
                }
            }
            Class::Stateful | Class::Writes => {
                self.sure = false;
                self.keeps = true;
                self.uses(given, How::Source, name, call.location);
                if builtin.class == Class::Writes {
                    self.need_on_target(Action::Write, format!("the function `{name}`"));
                }
                if name == "set_config" {
                    self.set_config(&call.args);
                }
            }
            Class::Leaky => {
                self.sure = false;
                return self.unknown();
            }
            Class::RunsText => {
                self.sure = false;
                return self.run_text(name, &call.args, given, call.location);
            }
            Class::Dynamic => {
                self.sure = false;
                self.cannot_see(format!("the function `{name}`, which runs SQL of its own"));
                return self.unknown();
            }
            Class::Administers => {
                self.sure = false;
                self.uses(given, How::Source, name, call.location);
                self.need_on_target(Action::Administer, format!("the function `{name}`"));
                return self.unknown();
            }
        }
        Taint::CLEAN
    }

    /// The text of a view quotes the constants that it compares columns with; a labelled column's are as good as values.
    fn definition_of(&self, args: &'t [Node]) -> Taint {
        let Some(name) = args.first().and_then(tree::relation_name) else { return Taint::CLEAN };
        let folded = |part: &str| match part.strip_prefix('"') {
            Some(quoted) => quoted.trim_end_matches('"').to_owned(),
            None => part.to_ascii_lowercase(),
        };
        let (schema, name) =
            name.split_once('.').map_or_else(|| (String::new(), folded(name)), |(s, n)| (folded(s), folded(n)));
        let Resolved::User(index) = self.resolve(&schema, &name) else { return Taint::CLEAN };
        if !self.catalog.quotes_constants(index) {
            return Taint::CLEAN;
        }
        let lineage = self.lineage(index);
        lineage.uses.iter().fold(lineage.row.clone(), |all, (_, used)| all.with(used))
    }

    /// `set_config(name, value, local)` does what SET does.
    fn set_config(&mut self, args: &'t [Node]) {
        let name = tree::argument(args, 0).and_then(|arg| match self.only_name(arg) {
            // pg_dump sets what the server has of such a name.
            Some("name") => self.asks_setting,
            _ => self.literal(arg),
        });
        let value = tree::argument(args, 1).and_then(|arg| self.literal(arg));
        match name.map(str::to_ascii_lowercase) {
            None => {
                self.sets_path = true;
                self.need_on_target(Action::Administer, "set_config of a setting that the statement does not show");
            }
            Some(name) => {
                self.sets_path |= name == "search_path";
                if !settings::is_harmless(&name, value) {
                    // What is read after that may be another text than it seems.
                    self.sets_path |= settings::changes_reading(&name);
                    self.need_on_target(Action::Administer, format!("the setting `{name}`"));
                }
            }
        }
    }

    /// A function that runs its first argument: analysed when the statement shows the whole text.
    fn run_text(&mut self, name: &str, args: &'t [Node], given: &Taint, location: i32) -> Taint {
        let outcome =
            tree::argument(args, 0).and_then(|arg| self.literal(arg)).filter(|_| given.is_clean()).and_then(|text| {
                let context =
                    super::Context { catalog: self.catalog, search_path: self.path, path_known: self.path_known };
                let (stack, callers_path_known) = (self.stack, self.callers_path_known);
                parse::with_tree(text, true, |tree| {
                    let mut inner = Analyzer::new(&context, stack);
                    inner.callers_path_known = callers_path_known;
                    let mut value = Taint::CLEAN;
                    let mut selects = true;
                    for raw in &tree.stmts {
                        let kind = raw.stmt.as_deref().and_then(tree::kind);
                        selects &= matches!(kind, Some(NodeEnum::SelectStmt(_)));
                        if let Some(kind) = kind {
                            let (rel, predicate) = inner.subquery(kind, &Scope::root());
                            value.join(&rel.all().with(&predicate));
                        }
                    }
                    let whole = selects && !inner.opaque && !inner.exhausted() && !inner.sets_path;
                    whole.then_some((
                        value,
                        inner.later.max(Later::Known),
                        inner.keeps,
                        (inner.needs, inner.uses, inner.tables),
                    ))
                })
                .ok()
                .flatten()
            });
        match outcome {
            Some((value, later, keeps, (needs, uses, tables))) => {
                self.looks_up(later);
                self.keeps |= keeps;
                for need in needs {
                    self.need(need.action, need.object, need.why);
                }
                for used in uses {
                    self.uses(&used.taint, used.how, &used.place, location);
                }
                self.tables.extend(tables);
                self.touches.join(&value);
                // What becomes of the rows is the function's: it refuses some values, and makes rows of others.
                self.may_fail(&value, name, location);
                value
            }
            None => {
                self.uses(given, How::Source, name, location);
                self.cannot_see(format!("the function `{name}`, which runs SQL that is not shown"));
                self.unknown()
            }
        }
    }
}

/// Whether this calls the function: of one argument that may be a row, it may be a field that is called so.
fn certainly_called(name: &str, arguments: &[Val<'_>]) -> bool {
    /// These take rows too.
    const OF_ANYTHING: &[&str] =
        &["count", "json_agg", "jsonb_agg", "pg_column_size", "pg_typeof", "to_json", "to_jsonb"];
    let [only] = arguments else { return true };
    let value = only.row.is_none() && (types::is_scalar(only.type_oid) || types::is_known_array(only.type_oid));
    value || OF_ANYTHING.contains(&name)
}
