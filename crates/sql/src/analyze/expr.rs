//! Expressions: every value is made of what goes into it. No function, operator or cast clears a taint, and the
//! conditions that choose between values are part of the value.

use std::borrow::Cow;
use std::rc::Rc;

use lockgate_core::limits;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExpr, AExprKind, CoercionForm, ColumnRef, FuncCall, JsonBehavior, JsonOutput, Node, SubLink, SubLinkType,
    TypeName, WindowDef,
};

use super::call::OF_ARGUMENTS_TYPE;
use super::returned::Shape;
use super::scope::{Col, Rel, Scope, Val, doubt, size_of};
use super::{Analyzer, size, tree};
use crate::builtins;
use crate::statement::How;
use crate::taint::Taint;

/// Operators that never fail because of an operand's value.
const TOTAL_OPERATORS: &[&str] = &[
    "||", "=", "<>", "!=", "<", ">", "<=", ">=", "->", "->>", "#>", "#>>", "@>", "<@", "?", "?|", "?&", "&&", "@?",
    "@@", "^@", "<<=", ">>=", "&<", "&>", "-|-", "%",
];
/// Operators that never fail because of their left operand: the right one is a pattern.
const TOTAL_IN_LEFT: &[&str] = &["~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*"];
/// Columns that every table has without listing them. They hold no data of a row.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];
/// Stands for any type that is no array. No type has this id.
pub(super) const SCALAR: u32 = u32::MAX;
/// Stands for any type of arrays of what is no row. No type has this id either.
pub(super) const VALUES: u32 = u32::MAX - 1;
/// Where a row lies follows from the width of its values and of those before it.
const ROW_PLACE: &str = "ctid";
/// In which partition it lies follows from what the table is partitioned by.
const PARTITION: &str = "tableoid";
/// Types that take any value.
const TOTAL_CASTS: &[&str] = &["text", "varchar", "bpchar", "name", "char"];

/// Whether a type is known to be no array, and no user's.
pub(super) fn is_scalar(type_oid: u32) -> bool {
    type_oid == SCALAR || builtins::is_plain_type(type_oid)
}

impl<'t> Analyzer<'t> {
    /// The value of an optional part.
    pub(super) fn part(&mut self, node: &'t Option<Box<Node>>, scope: &Scope<'t, '_>) -> Taint {
        match node.as_deref() {
            Some(node) => self.expr(node, scope).taint,
            None => Taint::CLEAN,
        }
    }

    /// Everything in a list of expressions.
    pub(super) fn parts(&mut self, nodes: &'t [Node], scope: &Scope<'t, '_>) -> Taint {
        let mut taint = Taint::CLEAN;
        for node in nodes {
            taint.join(&self.expr(node, scope).taint);
        }
        taint
    }

    /// The value of an expression.
    pub(super) fn expr(&mut self, node: &'t Node, scope: &Scope<'t, '_>) -> Val<'t> {
        let Some(kind) = tree::kind(node) else { return Val::clean() };
        if !self.step() {
            return Val::made_of(self.unknown());
        }
        let around = std::mem::take(&mut self.parts_size);
        let mut value = self.kind_of_expr(kind, scope);
        if !matches!(kind, NodeEnum::ColumnRef(_) | NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) {
            self.cast_unasked(&mut value);
        }
        value.size = size::of(kind, value.size, self.parts_size);
        // NULL and a parameter take the type of what they are beside.
        let untyped = matches!(kind, NodeEnum::ParamRef(_)) || tree::is_null(node);
        if value.type_oid == 0 && !untyped && !self.may_be_array(node, &value) {
            value.type_oid = SCALAR;
        }
        self.parts_size = around.saturating_add(value.size);
        if value.size > limits::SQL_GROWTH_BYTES_MAX {
            self.may_fail(&value.taint, size::PLACE, -1);
        }
        value
    }

    fn kind_of_expr(&mut self, kind: &'t NodeEnum, scope: &Scope<'t, '_>) -> Val<'t> {
        let value = self.grammars_own(kind, scope);
        self.or_a_function(kind, value)
    }

    /// What the grammar knows by a keyword that the server may not have: a function of somebody's own has that name there.
    fn or_a_function(&mut self, kind: &'t NodeEnum, mut value: Val<'t>) -> Val<'t> {
        for name in self.taken_for_functions(kind) {
            let catalog = self.catalog;
            for function in catalog.functions_named(name) {
                let called = self.call_user(*function, name, &value.taint, -1);
                value = Val { size: value.size, ..Val::made_of(value.taint.with(&called.value)) };
            }
        }
        value
    }

    /// The functions that an expression may call on a server which is older than its grammar.
    pub(super) fn taken_for_functions(&self, kind: &NodeEnum) -> &'static [&'static str] {
        let (since, names): (u32, &'static [&'static str]) = match kind {
            NodeEnum::JsonObjectConstructor(_) => (16, &["json_object"]),
            NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => (16, &["json_array"]),
            NodeEnum::JsonObjectAgg(_) => (16, &["json_objectagg"]),
            NodeEnum::JsonArrayAgg(_) => (16, &["json_arrayagg"]),
            NodeEnum::JsonFuncExpr(_) => (17, &["json_exists", "json_query", "json_value"]),
            NodeEnum::JsonParseExpr(_) => (17, &["json"]),
            NodeEnum::JsonScalarExpr(_) => (17, &["json_scalar"]),
            NodeEnum::JsonSerializeExpr(_) => (17, &["json_serialize"]),
            NodeEnum::MergeSupportFunc(_) => (17, &["merge_action"]),
            _ => return &[],
        };
        if self.catalog.major() < since { names } else { &[] }
    }

    /// The column that an expression names alone. To servers that do not know the keyword, `system_user` is a name like any.
    pub(super) fn only_name(&self, node: &'t Node) -> Option<&'t str> {
        match tree::kind(node)? {
            NodeEnum::ColumnRef(column) => match column.fields.as_slice() {
                [only] => Some(tree::text(only)).filter(|name| !name.is_empty()),
                _ => None,
            },
            NodeEnum::FuncCall(call) => self.old_name(call),
            _ => None,
        }
    }

    pub(super) fn old_name(&self, call: &'t FuncCall) -> Option<&'t str> {
        let (schema, name) = tree::qualified(&call.funcname);
        let keyword = call.funcformat() == CoercionForm::CoerceSqlSyntax && call.args.is_empty();
        (keyword && (schema, name) == ("pg_catalog", "system_user") && self.catalog.major() < 16).then_some(name)
    }

    fn grammars_own(&mut self, kind: &'t NodeEnum, scope: &Scope<'t, '_>) -> Val<'t> {
        match kind {
            // An argument of the code that this stands in.
            NodeEnum::ParamRef(_) => Val::made_of(self.variables.clone().unwrap_or_default()),
            NodeEnum::AConst(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::GroupingFunc(_)
            | NodeEnum::MergeSupportFunc(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::TypeName(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
            | NodeEnum::AStar(_) => Val::clean(),
            NodeEnum::ColumnRef(column) => self.column(column, scope),
            NodeEnum::CurrentOfExpr(_) => {
                self.columns_seen = self.columns_seen.saturating_add(1);
                Val::clean()
            }
            NodeEnum::FuncCall(call) => match self.old_name(call) {
                Some(name) => {
                    self.sees("FuncCall", call.location);
                    self.named(name, scope)
                }
                None => self.call(call, scope),
            },
            NodeEnum::AExpr(e) => {
                self.sees("AExpr", e.location);
                self.operator(e, scope)
            }
            NodeEnum::BoolExpr(e) => Val::made_of(self.short_circuit(&e.args, scope, e.location)),
            NodeEnum::SubLink(link) => {
                self.sees("SubLink", link.location);
                self.sublink(link, scope)
            }
            NodeEnum::CaseExpr(case) => self.case(case, scope),
            NodeEnum::CoalesceExpr(e) => {
                let before = self.fallible;
                let value = self.alternatives(&e.args, scope);
                self.skips(e.args.len(), before, &value.taint, e.location);
                value
            }
            NodeEnum::MinMaxExpr(e) => self.alternatives(&e.args, scope),
            NodeEnum::NullTest(e) => Val::made_of(self.part(&e.arg, scope)),
            NodeEnum::BooleanTest(e) => Val::made_of(self.part(&e.arg, scope)),
            NodeEnum::NamedArgExpr(e) => match e.arg.as_deref() {
                Some(arg) => self.expr(arg, scope),
                None => Val::clean(),
            },
            NodeEnum::CollateClause(e) => match e.arg.as_deref() {
                Some(arg) => self.expr(arg, scope),
                None => Val::clean(),
            },
            NodeEnum::AArrayExpr(e) => self.array(&e.elements, scope),
            NodeEnum::List(e) => Val::made_of(self.parts(&e.items, scope)),
            NodeEnum::RowExpr(e) => self.row(&e.args, scope),
            NodeEnum::AIndirection(e) => {
                let Some(arg) = e.arg.as_deref() else { return Val::clean() };
                let value = self.expr(arg, scope);
                self.indirection(value, &e.indirection, scope)
            }
            NodeEnum::TypeCast(e) => {
                self.sees("TypeCast", e.location);
                let Some(arg) = e.arg.as_deref() else { return Val::clean() };
                let value = self.expr(arg, scope);
                let constant = tree::is_constant(arg);
                self.cast(value, constant, e.type_name.as_ref(), e.location)
            }
            NodeEnum::MultiAssignRef(e) => Val::made_of(self.part(&e.source, scope)),
            NodeEnum::ResTarget(e) => Val::made_of(self.part(&e.val, scope)),
            NodeEnum::GroupingSet(e) => Val::made_of(self.parts(&e.content, scope)),
            NodeEnum::SortBy(e) => Val::made_of(self.part(&e.node, scope)),
            NodeEnum::XmlExpr(e) => {
                let taint = self.parts(&e.named_args, scope).with(&self.parts(&e.args, scope));
                // XMLPARSE, XMLPI, XMLROOT: refuse what is not well-formed.
                self.may_fail(&taint, "xml", e.location);
                Val::made_of(taint)
            }
            NodeEnum::XmlSerialize(e) => {
                let taint = self.part(&e.expr, scope);
                // AS DOCUMENT refuses a fragment, and a short type what is long.
                self.may_fail(&taint, "xml", e.location);
                Val::made_of(taint)
            }
            NodeEnum::JsonFuncExpr(e) => {
                let mut taint = self.json_value(e.context_item.as_deref(), scope);
                taint.join(&self.part(&e.pathspec, scope));
                taint.join(&self.parts(&e.passing, scope));
                taint.join(&self.json_behaviors([&e.on_empty, &e.on_error], scope));
                self.may_fail(&taint, "json", e.location);
                Val::made_of(taint)
            }
            NodeEnum::JsonArgument(e) => Val::made_of(self.json_value(e.val.as_deref(), scope)),
            NodeEnum::JsonValueExpr(e) => Val::made_of(self.json_value(Some(e), scope)),
            NodeEnum::JsonKeyValue(e) => {
                let key = self.json_key(&e.key, scope);
                Val::made_of(self.json_value(e.value.as_deref(), scope).with(&key))
            }
            NodeEnum::JsonParseExpr(e) => {
                let taint = self.json_value(e.expr.as_deref(), scope);
                self.may_fail(&taint, "json", e.location);
                Val::made_of(taint)
            }
            NodeEnum::JsonScalarExpr(e) => Val::made_of(self.part(&e.expr, scope)),
            NodeEnum::JsonSerializeExpr(e) => {
                let taint = self.json_value(e.expr.as_deref(), scope);
                Val::made_of(self.json_returning(e.output.as_ref(), taint, e.location))
            }
            NodeEnum::JsonIsPredicate(e) => Val::made_of(self.part(&e.expr, scope)),
            NodeEnum::JsonObjectConstructor(e) => {
                let taint = self.parts(&e.exprs, scope);
                Val::made_of(self.json_returning(e.output.as_ref(), taint, e.location))
            }
            NodeEnum::JsonArrayConstructor(e) => {
                let taint = self.parts(&e.exprs, scope);
                Val::made_of(self.json_returning(e.output.as_ref(), taint, e.location))
            }
            NodeEnum::JsonArrayQueryConstructor(e) => match tree::kind_of(&e.query) {
                Some(query) => {
                    let (rel, predicate) = self.subquery(query, scope);
                    let taint = rel.all().with(&predicate);
                    let size = rel.rows.gathered(size_of(&rel.cols));
                    Val { size, ..Val::made_of(self.json_returning(e.output.as_ref(), taint, e.location)) }
                }
                None => Val::clean(),
            },
            NodeEnum::JsonObjectAgg(e) => {
                let mut taint = Taint::CLEAN;
                if let Some(arg) = e.arg.as_deref() {
                    taint = self.json_key(&arg.key, scope);
                    taint.join(&self.json_value(arg.value.as_deref(), scope));
                }
                let size = scope.from.rows.gathered(self.parts_size);
                Val { size, ..Val::made_of(self.json_aggregate(e.constructor.as_deref(), taint, scope)) }
            }
            NodeEnum::JsonArrayAgg(e) => {
                let taint = self.json_value(e.arg.as_deref(), scope);
                let size = scope.from.rows.gathered(self.parts_size);
                Val { size, ..Val::made_of(self.json_aggregate(e.constructor.as_deref(), taint, scope)) }
            }
            _ => {
                // An expression of a later grammar, or one that only the planner makes.
                self.cannot_see("an expression that is not understood");
                Val::made_of(Taint::UNKNOWN)
            }
        }
    }

    fn json_value(&mut self, value: Option<&'t pg_query::protobuf::JsonValueExpr>, scope: &Scope<'t, '_>) -> Taint {
        value.map_or(Taint::CLEAN, |v| self.part(&v.raw_expr, scope).with(&self.part(&v.formatted_expr, scope)))
    }

    /// A key of an object: NULL is refused, and one that is there already if keys have to be unique.
    fn json_key(&mut self, key: &'t Option<Box<Node>>, scope: &Scope<'t, '_>) -> Taint {
        let taint = self.part(key, scope);
        self.may_fail(&taint, "a key of a json object", -1);
        taint
    }

    /// RETURNING: a type that does not take every json text refuses some.
    fn json_returning(&mut self, output: Option<&'t JsonOutput>, taint: Taint, location: i32) -> Taint {
        let Some(target) = output.and_then(|o| o.type_name.as_ref()) else { return taint };
        let whole = target.typmods.is_empty() && target.array_bounds.is_empty();
        if !(whole
            && self.is_of_server(target)
            && matches!(tree::qualified(&target.names), ("" | "pg_catalog", "text" | "json" | "jsonb")))
        {
            self.may_fail(&taint, "json", location);
        }
        taint
    }

    /// What ON EMPTY and ON ERROR put in a value's place.
    pub(super) fn json_behaviors(
        &mut self,
        behaviors: [&'t Option<Box<JsonBehavior>>; 2],
        scope: &Scope<'t, '_>,
    ) -> Taint {
        let mut taint = Taint::CLEAN;
        for behavior in behaviors {
            taint.join(&behavior.as_ref().map_or(Taint::CLEAN, |b| self.part(&b.expr, scope)));
        }
        taint
    }

    fn json_aggregate(
        &mut self,
        constructor: Option<&'t pg_query::protobuf::JsonAggConstructor>,
        taint: Taint,
        scope: &Scope<'t, '_>,
    ) -> Taint {
        let Some(constructor) = constructor else { return taint };
        let taint = self.json_returning(constructor.output.as_ref(), taint, constructor.location);
        let extras = self.aggregate_extras(
            &constructor.agg_order,
            &constructor.agg_filter,
            constructor.over.as_deref(),
            scope,
            constructor.location,
        );
        self.aggregated |= constructor.over.is_none();
        taint.with(&extras)
    }

    /// What ORDER BY, FILTER and OVER add to an aggregate or window function.
    pub(super) fn aggregate_extras(
        &mut self,
        order: &'t [Node],
        filter: &'t Option<Box<Node>>,
        over: Option<&'t WindowDef>,
        scope: &Scope<'t, '_>,
        location: i32,
    ) -> Taint {
        let mut taint = self.parts(order, scope);
        let filter = self.part(filter, scope);
        self.uses(&filter, How::Aggregate, "FILTER", location);
        taint.join(&filter);
        if let Some(over) = over {
            taint.join(&self.window(over, scope));
            taint.join(&self.windows);
        }
        taint
    }

    /// A window's definition. The rows of a result come in the order a window sorted them.
    pub(super) fn window(&mut self, window: &'t WindowDef, scope: &Scope<'t, '_>) -> Taint {
        let partition = self.parts(&window.partition_clause, scope);
        self.uses(&partition, How::Group, "PARTITION BY", window.location);
        let order = self.parts(&window.order_clause, scope);
        self.uses(&order, How::Order, "a window's ORDER BY", window.location);
        let frame = self.part(&window.start_offset, scope).with(&self.part(&window.end_offset, scope));
        self.uses(&frame, How::Expression, "a window's frame", window.location);
        partition.with(&order).with(&frame)
    }

    /// A value that may make its expression fail tells itself by that.
    pub(super) fn may_fail(&mut self, taint: &Taint, place: &str, location: i32) {
        self.fallible = self.fallible.saturating_add(1);
        self.uses(taint, How::Expression, place, location);
    }

    /// AND, OR, NOT, COALESCE: an operand may or may not be evaluated, depending on those before it.
    fn short_circuit(&mut self, args: &'t [Node], scope: &Scope<'t, '_>, location: i32) -> Taint {
        let before = self.fallible;
        let taint = self.parts(args, scope);
        self.skips(args.len(), before, &taint, location);
        taint
    }

    /// Of so many operands, some may not be evaluated: that shows where one of them may fail.
    fn skips(&mut self, operands: usize, fallible_before: u32, taint: &Taint, location: i32) {
        if operands > 1 && self.fallible != fallible_before {
            self.uses(taint, How::Condition, "a condition before an expression that may fail", location);
        }
    }

    /// One of these values: they are of one type.
    fn alternatives(&mut self, nodes: &'t [Node], scope: &Scope<'t, '_>) -> Val<'t> {
        let mut one = Val::clean();
        for node in nodes {
            let value = self.expr(node, scope);
            one.taint.join(&value.taint);
            one.type_oid = self.alike(one.type_oid, value.type_oid);
        }
        one
    }

    /// The type of what has both types: known if either is known to be no array.
    pub(super) fn alike(&self, one: u32, other: u32) -> u32 {
        if [one, other].iter().any(|oid| *oid != 0 && !self.is_array(*oid)) { SCALAR } else { 0 }
    }

    fn is_array(&self, type_oid: u32) -> bool {
        let user = self.catalog.types().get(&type_oid);
        user.map_or(!is_scalar(type_oid), |t| t.kind == 'A' || t.kind == 'd')
    }

    fn case(&mut self, case: &'t pg_query::protobuf::CaseExpr, scope: &Scope<'t, '_>) -> Val<'t> {
        let mut condition = self.part(&case.arg, scope);
        let mut value = Taint::CLEAN;
        let mut type_oid = 0;
        let whens = case.args.iter().filter_map(|when| match tree::kind(when) {
            Some(NodeEnum::CaseWhen(when)) => Some(when),
            _ => None,
        });
        for when in whens {
            condition.join(&self.part(&when.expr, scope));
            if let Some(result) = when.result.as_deref() {
                let result = self.expr(result, scope);
                type_oid = self.alike(type_oid, result.type_oid);
                value.join(&result.taint);
            }
        }
        if let Some(result) = case.defresult.as_deref() {
            let result = self.expr(result, scope);
            type_oid = self.alike(type_oid, result.type_oid);
            value.join(&result.taint);
        }
        self.uses(&condition, How::Condition, "CASE", case.location);
        Val { type_oid, ..Val::made_of(value.with(&condition)) }
    }

    fn row(&mut self, args: &'t [Node], scope: &Scope<'t, '_>) -> Val<'t> {
        let mut rel = Rel::default();
        for arg in args {
            // ROW(c.*, x) spreads the columns of c.
            if !self.listed(arg, scope, &mut rel) {
                break;
            }
        }
        for (at, col) in rel.cols.iter_mut().enumerate() {
            col.name = Cow::Owned(format!("f{}", at + 1));
            col.guessed = false;
            col.plain = false;
        }
        match rel.open.take() {
            None => Val::of_row(rel.cols),
            Some(open) => Val { size: size_of(&rel.cols), ..Val::made_of(open.with(&rel.all())) },
        }
    }

    fn array(&mut self, elements: &'t [Node], scope: &Scope<'t, '_>) -> Val<'t> {
        let mut taint = Taint::CLEAN;
        let mut values = !elements.is_empty();
        for element in elements {
            let value = self.expr(element, scope);
            values &= self.is_one_value(element, &value);
            taint.join(&value.taint);
        }
        Val { type_oid: if values { VALUES } else { 0 }, ..Val::made_of(taint) }
    }

    /// `.field`, `.*` and `[subscript]`.
    fn indirection(&mut self, mut value: Val<'t>, steps: &'t [Node], scope: &Scope<'t, '_>) -> Val<'t> {
        for step in steps {
            match tree::kind(step) {
                Some(NodeEnum::String(name)) => value = self.field(&value, &name.sval),
                Some(NodeEnum::AIndices(indices)) => {
                    let mut subscript = self.part(&indices.lidx, scope);
                    subscript.join(&self.part(&indices.uidx, scope));
                    value = Val::made_of(value.taint.with(&subscript));
                }
                _ => {}
            }
        }
        value
    }

    /// A field of a row, or a function of that name applied to it.
    pub(super) fn field(&mut self, value: &Val<'t>, name: &str) -> Val<'t> {
        if let Some(field) = Self::field_named(value, name) {
            return field;
        }
        let mut taint = value.taint.clone();
        if !self.is_field_of(value.type_oid, name) {
            taint.join(&self.attribute_call(name, &value.taint));
        }
        Val::made_of(taint)
    }

    /// The field of a row that is certain to be called so, with those that may be: the server takes the first of a name.
    pub(super) fn field_named(value: &Val<'t>, name: &str) -> Option<Val<'t>> {
        let fields = value.row.as_deref()?;
        let found = Val::of(fields.iter().find(|field| field.is_called(name))?);
        Some(match doubt(fields, None) {
            None => found,
            Some(doubt) => Val { size: found.size, ..Val::made_of(found.taint.with(&doubt)) },
        })
    }

    fn is_field_of(&self, type_oid: u32, name: &str) -> bool {
        let fields = self.catalog.types().get(&type_oid).map(|t| t.fields.as_slice()).unwrap_or_default();
        fields.iter().any(|(field, _)| field == name)
    }

    /// The columns of a row value in order, for `(value).*`. `None` when they are not known.
    pub(super) fn spread(&self, value: &Val<'t>) -> Option<Vec<Col<'t>>> {
        if let Some(row) = &value.row {
            return Some(row.as_ref().clone());
        }
        let fields = &self.catalog.types().get(&value.type_oid)?.fields;
        (!fields.is_empty()).then(|| {
            fields
                .iter()
                .map(|(name, oid)| Col { type_oid: *oid, ..Col::new(name.as_str(), value.taint.clone()) })
                .collect()
        })
    }

    /// A column, a whole row, or a column of a named thing.
    fn column(&mut self, column: &'t ColumnRef, scope: &Scope<'t, '_>) -> Val<'t> {
        self.columns_seen = self.columns_seen.saturating_add(1);
        let star = column.fields.last().is_some_and(|f| matches!(tree::kind(f), Some(NodeEnum::AStar(_))));
        let names: Vec<&'t str> = tree::texts(&column.fields).filter(|n| !n.is_empty()).collect();
        let value = match (names.as_slice(), star) {
            ([], _) if scope.from.star.len() > limits::SQL_COLUMNS_MAX || !self.work(scope.from.star.len()) => {
                Val::made_of(self.unknown())
            }
            ([], _) => match &scope.from.open {
                Some(_) => Val::made_of(scope.from.all()),
                None => Val::of_row(scope.from.star.iter().map(Col::passed_on).collect()),
            },
            (named, true) => self.whole_row(named, scope).unwrap_or_else(|| Val::made_of(self.missing(scope))),
            ([name], false) => self.bare(name, scope),
            ([named @ .., name], false) => self.of_alias(named, name, scope),
        };
        self.touches.join(&value.taint);
        value
    }

    fn named(&mut self, name: &'t str, scope: &Scope<'t, '_>) -> Val<'t> {
        self.columns_seen = self.columns_seen.saturating_add(1);
        let value = self.bare(name, scope);
        self.touches.join(&value.taint);
        value
    }

    fn bare(&mut self, name: &'t str, scope: &Scope<'t, '_>) -> Val<'t> {
        // Columns further in that are not known, or not by their names: one of them may have the name, or none.
        let mut open: Option<Taint> = None;
        for level in scope.levels() {
            self.search(level.from.star.len());
            let mut found: Option<Val<'t>> = None;
            for col in level.from.star.iter().filter(|c| c.is_called(name)) {
                match &mut found {
                    None => found = Some(Val::of(col)),
                    // Ambiguous: the server refuses it, unless one of them is not what this crate takes it for.
                    Some(value) => value.taint.join(&col.taint),
                }
            }
            if let Some(value) = found {
                return match open {
                    Some(open) => Val { size: value.size, ..Val::made_of(value.taint.with(&open)) },
                    None => value,
                };
            }
            // Beside one that is certain to have the name, another would make the name ambiguous.
            if let Some(more) = level.from.doubt() {
                open.get_or_insert_default().join(&more);
            }
        }
        let row = self.whole_row(&[name], scope);
        let argument = self.arguments.iter().any(|a| a == name);
        if let Some(open) = open {
            let place = match name {
                ROW_PLACE => scope.all(),
                PARTITION => self.partitions(),
                _ => Taint::CLEAN,
            };
            let variables = self.variables.as_ref().filter(|_| !argument).cloned().unwrap_or_default();
            return Val::made_of(row.map_or(variables, |row| row.taint).with(&open).with(&place));
        }
        if let Some(row) = row {
            return row;
        }
        if SYSTEM_COLUMNS.contains(&name) {
            return Val::made_of(match name {
                ROW_PLACE => scope.all(),
                PARTITION => self.partitions(),
                _ => Taint::CLEAN,
            });
        }
        if argument {
            return Val::clean();
        }
        if let Some(variables) = &self.variables {
            return Val::made_of(variables.clone());
        }
        Val::made_of(self.missing(scope))
    }

    fn of_alias(&mut self, named: &[&'t str], name: &'t str, scope: &Scope<'t, '_>) -> Val<'t> {
        let Some(rel) = self.item_named(named, scope) else {
            // In a function's body, `function.argument`.
            let argument = named.len() == 1 && self.arguments.iter().any(|a| a == name);
            if let Some(variables) = self.variables.as_ref().filter(|_| !argument) {
                return Val::made_of(variables.clone());
            }
            return if argument { Val::clean() } else { Val::made_of(self.missing(scope)) };
        };
        self.search(rel.cols.len());
        if let Some(col) = rel.cols.iter().find(|c| c.is_called(name)) {
            return Val::of(col);
        }
        let all = rel.all();
        if let Some(doubt) = rel.doubt() {
            // A column that is not known, or a function of the whole row.
            let called = self.attribute_call(name, &all);
            let place = match name {
                ROW_PLACE => all.clone(),
                PARTITION => self.partitions(),
                _ => Taint::CLEAN,
            };
            return Val::made_of(if called.is_clean() { doubt.with(&place) } else { all.with(&called) });
        }
        if SYSTEM_COLUMNS.contains(&name) {
            return Val::made_of(match name {
                ROW_PLACE => all,
                PARTITION => self.partitions(),
                _ => Taint::CLEAN,
            });
        }
        let called = self.attribute_call(name, &all);
        if all.is_clean() { Val::made_of(called) } else { Val::made_of(all.with(&called)) }
    }

    /// What goes by this alias, or by this schema and name.
    pub(super) fn item_named(&mut self, names: &[&'t str], scope: &Scope<'t, '_>) -> Option<Rc<Rel<'t>>> {
        match names {
            [] => None,
            [alias] => {
                self.search(scope.levels().map(|level| level.from.items.len().saturating_add(1)).sum());
                match scope.item(alias) {
                    (Some(item), None) => Some(Rc::clone(&item.rel)),
                    (None, None) => None,
                    // It may be that, or one further in whose name is not certain.
                    (item, Some(doubt)) => {
                        let open = item.map_or(Taint::CLEAN, |item| item.rel.all()).with(&doubt);
                        Some(Rc::new(Rel { open: Some(open), ..Rel::default() }))
                    }
                }
            }
            // Never an alias, whatever it is called, and never what stands in a table's place.
            [.., schema, name] => {
                self.search(scope.levels().map(|level| level.from.tables.len().saturating_add(1)).sum());
                scope.table(self.table_named(schema, name)?).map(Rc::clone)
            }
        }
    }

    fn whole_row(&mut self, names: &[&'t str], scope: &Scope<'t, '_>) -> Option<Val<'t>> {
        let rel = self.item_named(names, scope)?;
        if !self.work(rel.cols.len()) {
            return Some(Val::made_of(self.unknown()));
        }
        if rel.open.is_some() {
            return Some(Val { size: size_of(&rel.cols), ..Val::made_of(rel.all()) });
        }
        // What a function returns is no row when it is one value.
        if let [only] = rel.cols.as_slice()
            && only.alone
        {
            return Some(Val::of(only));
        }
        let field = |col: &Col<'t>| Col { guessed: col.guessed || col.renamed, ..col.passed_on() };
        Some(Val::of_row(rel.cols.iter().map(field).collect()))
    }

    /// A name that nothing here has. The server will refuse it; should it not, the value is whatever is in reach.
    fn missing(&mut self, scope: &Scope<'t, '_>) -> Taint {
        if !self.work(scope.levels().map(|level| level.from.size() / 8).sum()) {
            return Taint::UNKNOWN;
        }
        if scope.all().is_clean() { Taint::CLEAN } else { Taint::UNKNOWN }
    }

    fn operator(&mut self, e: &'t AExpr, scope: &Scope<'t, '_>) -> Val<'t> {
        let [left, right] = [&e.lexpr, &e.rexpr].map(|side| match side.as_deref() {
            Some(node) => self.expr(node, scope),
            None => Val::clean(),
        });
        // Arrays are joined only where their shapes fit.
        let arrays = [(&e.lexpr, &left), (&e.rexpr, &right)]
            .iter()
            .any(|(side, value)| side.as_deref().is_some_and(|node| self.may_be_array(node, value)));
        let (_, name) = tree::qualified(&e.name);
        let size = size::of_operator(e.kind(), name, left.size, right.size);
        let (left_type, right_type) = (left.type_oid, right.type_oid);
        let (left, right) = (left.taint, right.taint);
        let taint = left.clone().with(&right);
        let value = taint.clone().with(&self.user_operator(&e.name, &taint, e.location));
        match e.kind() {
            AExprKind::AexprSimilar | AExprKind::AexprLike | AExprKind::AexprIlike => {
                self.uses(&right, How::Expression, "a pattern", e.location);
            }
            AExprKind::AexprOp | AExprKind::AexprOpAny | AExprKind::AexprOpAll if !name.is_empty() => {
                let fails = if TOTAL_IN_LEFT.contains(&name) {
                    right.clone()
                } else if TOTAL_OPERATORS.contains(&name)
                    && !(name == "%" && e.lexpr.is_some())
                    && !(name == "||" && arrays)
                {
                    Taint::CLEAN
                } else {
                    self.fallible = self.fallible.saturating_add(1);
                    taint
                };
                if !fails.is_clean() {
                    self.may_fail(&fails, "an operator that may fail", e.location);
                }
            }
            _ => {}
        }
        let type_oid = match e.kind() {
            AExprKind::AexprNullif => self.alike(left_type, right_type),
            _ if name == "||" && !arrays => SCALAR,
            _ => 0,
        };
        Val { size, type_oid, ..Val::made_of(value) }
    }

    /// Whether a value may be an array, as far as it shows.
    pub(super) fn may_be_array(&self, node: &Node, value: &Val<'t>) -> bool {
        if value.type_oid != 0 {
            return self.is_array(value.type_oid);
        }
        match tree::kind(node) {
            Some(NodeEnum::SubLink(link)) => {
                matches!(link.sub_link_type(), SubLinkType::ArraySublink | SubLinkType::ExprSublink)
            }
            Some(NodeEnum::TypeCast(cast)) => cast.type_name.as_ref().is_none_or(|target| {
                let (_, name) = tree::qualified(&target.names);
                !target.array_bounds.is_empty() || name.starts_with('_') || !self.is_of_server(target)
            }),
            Some(NodeEnum::FuncCall(call)) => {
                let (schema, name) = tree::qualified(&call.funcname);
                let of_arrays =
                    name.contains("array") || name.starts_with("regexp_match") || name.starts_with("percentile_");
                of_arrays
                    || OF_ARGUMENTS_TYPE.contains(&name)
                    || matches!(name, "parse_ident" | "current_schemas" | "ts_lexize" | "xpath" | "mode" | "acldefault")
                    || !self.candidates(schema, name, call.args.len()).is_empty()
                    || builtins::function(name).is_none()
            }
            Some(NodeEnum::AExpr(e)) => match tree::qualified(&e.name).1 {
                _ if e.kind() == AExprKind::AexprNullif => true,
                // Joined of what is no array, it is known to be none.
                "||" => true,
                name => !self.catalog.operators_named(name).is_empty(),
            },
            Some(NodeEnum::AConst(_)) => {
                tree::literal(node).is_some_and(|text| text.trim_start().starts_with(['{', '[']))
            }
            Some(
                NodeEnum::ParamRef(_)
                | NodeEnum::BoolExpr(_)
                | NodeEnum::NullTest(_)
                | NodeEnum::BooleanTest(_)
                | NodeEnum::SqlvalueFunction(_)
                | NodeEnum::XmlExpr(_)
                | NodeEnum::XmlSerialize(_)
                | NodeEnum::GroupingFunc(_),
            ) => false,
            // What is not known may be one.
            _ => true,
        }
    }

    /// What a user's operator of this name adds.
    pub(super) fn user_operator(&mut self, names: &'t [Node], operands: &Taint, location: i32) -> Taint {
        let (schema, name) = tree::qualified(names);
        let mut value = Taint::CLEAN;
        let catalog = self.catalog;
        for (at, function) in catalog.operators_named(name) {
            if !(if schema.is_empty() { self.on_path(at) } else { at == schema }) {
                continue;
            }
            // An extension's comparison is as total as the server's own: only then is the operand not a hint.
            let extension = catalog.function(*function).is_some_and(|f| f.facts.extension.is_some());
            let total = extension && (TOTAL_OPERATORS.contains(&name) || TOTAL_IN_LEFT.contains(&name));
            let may_fail = if total { &Taint::CLEAN } else { operands };
            value.join(&self.call_user(*function, name, may_fail, location).value);
        }
        value
    }

    /// A string constant whose text is the value, as far as it is certain: a type of the user's own that is called `text`
    /// may change it.
    pub(super) fn literal(&self, node: &'t Node) -> Option<&'t str> {
        match tree::kind(node)? {
            NodeEnum::TypeCast(cast) => {
                let of_server = self.is_of_server(cast.type_name.as_ref()?);
                if of_server { self.literal(cast.arg.as_deref()?).and_then(|_| tree::literal(node)) } else { None }
            }
            _ => tree::literal(node),
        }
    }

    /// Whether a type's name can only mean one of the server's own types.
    fn is_of_server(&self, target: &TypeName) -> bool {
        match tree::qualified(&target.names) {
            ("pg_catalog", _) => true,
            ("", name) => self.catalog.types_named(name).next().is_none(),
            _ => false,
        }
    }

    /// What the server may make of a value by casts that nobody asked for. Which types meet is not looked at.
    pub(super) fn unasked(&mut self) -> Taint {
        let functions = self.catalog.casts_unasked();
        if functions.is_empty() {
            return Taint::CLEAN;
        }
        if let Some(known) = &self.unasked {
            return known.clone();
        }
        let mut taint = Taint::CLEAN;
        for function in functions {
            taint.join(&self.call_user(*function, "a cast", &Taint::CLEAN, -1).value);
        }
        self.unasked = Some(taint.clone());
        taint
    }

    /// A value of which another type may be wanted.
    pub(super) fn cast_unasked(&mut self, value: &mut Val<'t>) {
        let taint = self.unasked();
        if !taint.is_clean() {
            value.taint.join(&taint);
            value.plain = false;
            value.row = None;
        }
    }

    pub(super) fn cast(
        &mut self,
        value: Val<'t>,
        constant: bool,
        target: Option<&'t TypeName>,
        location: i32,
    ) -> Val<'t> {
        let Some(target) = target else { return value };
        let (_, name) = tree::qualified(&target.names);
        let mut taint = value.taint.clone();
        let catalog = self.catalog;
        for function in catalog.casts_to(name) {
            taint.join(&self.call_user(function, name, &value.taint, location).value);
        }
        let total = TOTAL_CASTS.contains(&name) && target.array_bounds.is_empty() && self.is_of_server(target);
        if !total && !constant {
            self.may_fail(&taint, "a cast", location);
        }
        // A cast to a row type keeps the taint and makes the fields known.
        Val { type_oid: self.type_named(target), ..Val::made_of(taint) }
    }

    /// The type that a name means, where it can mean one only; else 0.
    pub(super) fn type_named(&self, target: &TypeName) -> u32 {
        let (schema, name) = tree::qualified(&target.names);
        let array = !target.array_bounds.is_empty();
        let servers = matches!(schema, "" | "pg_catalog");
        if target.pct_type || target.setof || (schema.is_empty() && !self.path_known) {
            return 0;
        }
        let mut found = self.catalog.types_named(name).filter(|known| schema.is_empty() || known.schema == schema);
        match (found.next(), found.next()) {
            (None, _) if servers => builtins::plain_type_named(name, array).unwrap_or(0),
            // The server has rows of its own relations too.
            (Some(_), _) if servers && self.catalog.is_servers_type(name) => 0,
            (Some(only), None) if array => self.catalog.array_of(only.oid),
            (Some(only), None) => only.oid,
            _ => 0,
        }
    }

    fn sublink(&mut self, link: &'t SubLink, scope: &Scope<'t, '_>) -> Val<'t> {
        let test = self.part(&link.testexpr, scope);
        let Some(query) = tree::kind_of(&link.subselect) else { return Val::made_of(test) };
        // It may have more rows than one, or take longer than a statement may.
        self.fallible = self.fallible.saturating_add(1);
        let (rel, predicate) = self.subquery(query, scope);
        let test = if link.oper_name.is_empty() {
            test
        } else {
            let operands = test.clone().with(&rel.all());
            test.with(&self.user_operator(&link.oper_name, &operands, link.location))
        };
        match link.sub_link_type() {
            SubLinkType::ExistsSublink => Val { size: size::FIXED, ..Val::made_of(predicate) },
            SubLinkType::ExprSublink => match rel.cols.as_slice() {
                [only] if rel.open.is_none() => {
                    let mut value = Val::of(only);
                    value.plain &= predicate.is_clean();
                    if !predicate.is_clean() {
                        value.taint.join(&predicate);
                        value.row = None;
                    }
                    value
                }
                _ => Val { size: size_of(&rel.cols), ..Val::made_of(rel.all().with(&predicate)) },
            },
            SubLinkType::ArraySublink | SubLinkType::MultiexprSublink => {
                let size = rel.rows.gathered(size_of(&rel.cols));
                let values = link.sub_link_type() == SubLinkType::ArraySublink
                    && rel.open.is_none()
                    && matches!(rel.cols.as_slice(), [only] if self.shape_of(only.type_oid) == Shape::Value);
                let type_oid = if values { VALUES } else { 0 };
                Val { size, type_oid, ..Val::made_of(rel.all().with(&predicate)) }
            }
            _ => {
                let taint = rel.all().with(&test);
                self.uses(&taint, How::Predicate, "a comparison with a sub-select", link.location);
                Val::made_of(taint.with(&predicate))
            }
        }
    }

    /// A query within an expression: its result, and what decided about its rows.
    pub(super) fn subquery(&mut self, query: &'t NodeEnum, scope: &Scope<'t, '_>) -> (super::Rel<'t>, Taint) {
        let predicate = std::mem::take(&mut self.predicate);
        let windows = std::mem::take(&mut self.windows);
        let aggregated = std::mem::replace(&mut self.aggregated, false);
        let parts_size = self.parts_size;
        self.nested = self.nested.saturating_add(1);
        let rel = self.query(query, scope);
        self.nested = self.nested.saturating_sub(1);
        self.parts_size = parts_size;
        self.aggregated = aggregated;
        self.windows = windows;
        let inner = std::mem::replace(&mut self.predicate, predicate);
        (rel, inner)
    }

    /// Whether an unqualified name is looked for in this schema.
    pub(super) fn on_path(&self, schema: &str) -> bool {
        !self.path_known || schema == "pg_catalog" || self.path.iter().any(|p| p == schema)
    }
}
