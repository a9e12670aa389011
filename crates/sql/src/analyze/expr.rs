//! Expressions: every value is made of what goes into it. No function, operator or cast clears a taint, and the
//! conditions that choose between values are part of the value.

use std::borrow::Cow;
use std::rc::Rc;

use lockgate_core::limits;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AArrayExpr, AConst, CoercionForm, ColumnRef, FuncCall, JsonBehavior, JsonFormat, JsonFormatType, JsonOutput, Node,
    SubLink, SubLinkType, WindowDef, a_const,
};

use super::operator::CONDITION;
use super::returned::Shape;
use super::scope::{Col, Rel, Scope, Val, doubt, size_of};
use super::unify::MEETING;
use super::{Analyzer, size, tree, types};
use crate::builtins;
use crate::statement::How;
use crate::taint::Taint;

/// Columns that every table has without listing them. They hold no data of a row.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];
/// Where a row lies follows from the width of its values and of those before it.
const ROW_PLACE: &str = "ctid";
/// In which partition it lies follows from what the table is partitioned by.
const PARTITION: &str = "tableoid";

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
        let sure_around = std::mem::replace(&mut self.sure, true);
        let mut value = self.kind_of_expr(kind, scope);
        if !matches!(kind, NodeEnum::ColumnRef(_) | NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) {
            self.cast_unasked(&mut value);
        }
        value.size = size::of(kind, value.size, self.parts_size);
        if let NodeEnum::JsonFuncExpr(e) = kind {
            let returned = e.output.as_ref().and_then(|output| output.type_name.as_ref());
            value.size = value.size.saturating_add(self.written_out(returned));
        }
        value.type_oid = match value.type_oid {
            types::UNKNOWN => self.type_that_shows(node, kind, &value),
            known => Some(self.beneath(known)).filter(|base| types::is_servers(*base)).unwrap_or(known),
        };
        self.parts_size = around.saturating_add(value.size);
        if value.size > limits::SQL_GROWTH_BYTES_MAX {
            self.may_fail(&value.taint, size::PLACE, -1);
        }
        value.sure = match kind {
            NodeEnum::ColumnRef(_) => value.sure && self.sure,
            // Within stored code, an argument is whatever expression the caller gives.
            NodeEnum::ParamRef(_) => self.stack.is_empty(),
            _ => self.sure && is_sure_kind(kind),
        };
        self.sure = sure_around && value.sure;
        value
    }

    /// What an expression of no known type is all the same.
    fn type_that_shows(&self, node: &'t Node, kind: &'t NodeEnum, value: &Val<'t>) -> u32 {
        match kind {
            NodeEnum::ParamRef(parameter) => self.parameter(parameter.number),
            NodeEnum::AConst(AConst { val, .. }) => match val {
                Some(a_const::Val::Ival(_)) => types::INT4,
                Some(a_const::Val::Fval(number)) => types::of_number(&number.fval),
                Some(a_const::Val::Boolval(_)) => types::BOOL,
                Some(a_const::Val::Sval(_)) if !self.may_be_array(Some(node), value) => types::LITERAL,
                _ => types::ADAPTS,
            },
            NodeEnum::SqlvalueFunction(function) => types::of_keyword(function.op()),
            _ if value.row.is_some() || self.may_be_array(Some(node), value) => types::UNKNOWN,
            _ => types::SCALAR,
        }
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
            NodeEnum::BoolExpr(e) => {
                let (taint, _) = self.one_by_one(&e.args, scope, e.location);
                Val { type_oid: types::BOOL, ..Val::made_of(taint) }
            }
            NodeEnum::SubLink(link) => {
                self.sees("SubLink", link.location);
                self.sublink(link, scope)
            }
            NodeEnum::CaseExpr(case) => self.case(case, scope),
            NodeEnum::CoalesceExpr(e) => {
                let (taint, types) = self.one_by_one(&e.args, scope, e.location);
                self.met(taint, types, e.location)
            }
            NodeEnum::MinMaxExpr(e) => self.greatest(&e.args, scope, e.location),
            NodeEnum::NullTest(e) => {
                let Some(arg) = e.arg.as_deref() else { return Val::clean() };
                let value = self.expr(arg, scope);
                if !value.sure {
                    // A row is looked at field by field, until it is clear.
                    self.uses(&value.taint, How::Condition, CONDITION, e.location);
                }
                Val { type_oid: types::BOOL, ..Val::made_of(value.taint) }
            }
            NodeEnum::BooleanTest(e) => Val { type_oid: types::BOOL, ..Val::made_of(self.part(&e.arg, scope)) },
            NodeEnum::NamedArgExpr(e) => match e.arg.as_deref() {
                Some(arg) => self.expr(arg, scope),
                None => Val::clean(),
            },
            NodeEnum::CollateClause(e) => {
                // Some collations suit some functions only, and two of them meet where sub-selects bring each its own.
                let servers = matches!(tree::qualified(&e.collname), ("" | "pg_catalog", "C" | "POSIX" | "default"));
                self.collates |= self.nested > 0 || !servers;
                match e.arg.as_deref() {
                    Some(arg) => Val { plain: false, ..self.expr(arg, scope) },
                    None => Val::clean(),
                }
            }
            NodeEnum::AArrayExpr(e) => self.array(e, scope),
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
                self.cast(value, arg, e.type_name.as_ref(), e.location)
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
                let raw = e.expr.as_deref().and_then(|value| value.raw_expr.as_deref());
                let type_oid = raw.map_or(types::UNKNOWN, |raw| self.expr(raw, scope).type_oid);
                if !matches!(self.beneath(type_oid), types::JSON | types::JSONB) {
                    // A text is read as json first.
                    self.may_fail(&taint, "json", e.location);
                }
                Val::made_of(self.json_returning(e.output.as_ref(), taint, e.location))
            }
            NodeEnum::JsonIsPredicate(e) => {
                let Some(arg) = e.expr.as_deref() else { return Val::clean() };
                let value = self.expr(arg, scope);
                // It is read level by level, as deep as the server's stack; and bytes have to be text first.
                let text = types::is_text(value.type_oid)
                    || matches!(value.type_oid, types::JSON | types::JSONB | types::LITERAL);
                if value.size > size::NESTED || !text {
                    self.may_fail(&value.taint, "json", e.location);
                }
                Val::made_of(value.taint)
            }
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
                    if is_read_as_json(e.format.as_ref()) {
                        self.may_fail(&taint, "json", e.location);
                    }
                    let size =
                        rel.rows.gathered(size_of(&rel.cols).saturating_add(rel.most)).saturating_mul(size::JSON);
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
                let size = scope.from.rows.gathered(self.parts_size).saturating_mul(size::JSON);
                Val { size, ..Val::made_of(self.json_aggregate(e.constructor.as_deref(), taint, scope)) }
            }
            NodeEnum::JsonArrayAgg(e) => {
                let taint = self.json_value(e.arg.as_deref(), scope);
                let size = scope.from.rows.gathered(self.parts_size).saturating_mul(size::JSON);
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
        let Some(value) = value else { return Taint::CLEAN };
        let taint = self.part(&value.raw_expr, scope).with(&self.part(&value.formatted_expr, scope));
        if is_read_as_json(value.format.as_ref()) {
            self.may_fail(&taint, "json", -1);
        }
        taint
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
            && matches!(tree::qualified(&target.names), ("" | "pg_catalog", "text" | "json")))
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
        let mut taint = Taint::CLEAN;
        for key in order {
            taint.join(&self.sorted_by(key, scope));
        }
        let filter = self.part(filter, scope);
        self.uses(&filter, How::Aggregate, "FILTER", location);
        taint.join(&filter);
        if let Some(over) = over {
            taint.join(&self.window(over, scope));
            taint.join(&self.windows);
        }
        taint
    }

    /// A key that an aggregate sorts its values by.
    fn sorted_by(&mut self, key: &'t Node, scope: &Scope<'t, '_>) -> Taint {
        let Some(NodeEnum::SortBy(sort)) = tree::kind(key) else { return self.expr(key, scope).taint };
        let Some(node) = sort.node.as_deref() else { return Taint::CLEAN };
        let value = self.expr(node, scope);
        let (schema, name) = tree::qualified(&sort.use_op);
        let own = match name {
            "" => Taint::CLEAN,
            _ => self.user_operator(schema, name, &value.taint, None, sort.location),
        };
        if self.collates || !self.compares(value.type_oid) {
            self.may_fail(&value.taint, "a comparison that may fail", sort.location);
        }
        value.taint.with(&own)
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
        self.sure = false;
        self.uses(taint, How::Expression, place, location);
    }

    /// AND, OR, COALESCE: whether an operand is evaluated depends on those before it. That shows where it may fail. What they
    /// hold, and their types.
    fn one_by_one(&mut self, args: &'t [Node], scope: &Scope<'t, '_>, location: i32) -> (Taint, Vec<u32>) {
        let mut taint = Taint::CLEAN;
        let mut types = Vec::with_capacity(args.len());
        for arg in args {
            let value = self.expr(arg, scope);
            if !value.sure {
                self.uses(&taint, How::Condition, CONDITION, location);
            }
            taint.join(&value.taint);
            types.push(value.met_as());
        }
        (taint, types)
    }

    /// What is one of several values of these types, or is compared with them: the server makes one type of them.
    fn met(&mut self, taint: Taint, types: Vec<u32>, location: i32) -> Val<'t> {
        let meeting = self.meeting(types);
        if !meeting.sure {
            self.may_fail(&taint, MEETING, location);
        }
        Val { type_oid: meeting.type_oid, ..Val::made_of(taint) }
    }

    /// GREATEST, LEAST: all are evaluated, and compared.
    fn greatest(&mut self, args: &'t [Node], scope: &Scope<'t, '_>, location: i32) -> Val<'t> {
        let mut taint = Taint::CLEAN;
        let mut types = Vec::with_capacity(args.len());
        for arg in args {
            let value = self.expr(arg, scope);
            taint.join(&value.taint);
            types.push(value.met_as());
        }
        let one = self.met(taint, types, location);
        if self.collates || !(one.type_oid == types::ADAPTS || self.compares(one.type_oid)) {
            self.may_fail(&one.taint, "a comparison that may fail", location);
        }
        one
    }

    /// Arrays in an array have to be of one shape.
    fn array(&mut self, array: &'t AArrayExpr, scope: &Scope<'t, '_>) -> Val<'t> {
        let mut taint = Taint::CLEAN;
        let (mut nested, mut values) = (false, !array.elements.is_empty());
        let mut types = Vec::with_capacity(array.elements.len());
        for element in &array.elements {
            let value = self.expr(element, scope);
            nested |= self.may_be_array(Some(element), &value);
            values &= self.is_one_value(element, &value);
            types.push(value.met_as());
            taint.join(&value.taint);
        }
        let width = |node: &Node| match tree::kind(node) {
            Some(NodeEnum::AArrayExpr(inner)) => {
                let flat = !inner.elements.iter().any(|e| matches!(tree::kind(e), Some(NodeEnum::AArrayExpr(_))));
                flat.then_some(inner.elements.len())
            }
            _ => None,
        };
        let mut widths = array.elements.iter().map(width);
        let first = widths.next().flatten();
        let one_shape = first.is_some() && widths.all(|width| width == first);
        if nested && !one_shape {
            self.may_fail(&taint, "arrays of different shapes", array.location);
        }
        let one = self.met(taint, types, array.location);
        let type_oid = if values { types::array_of(one.type_oid) } else { types::UNKNOWN };
        Val { type_oid, ..one }
    }

    fn case(&mut self, case: &'t pg_query::protobuf::CaseExpr, scope: &Scope<'t, '_>) -> Val<'t> {
        let tested = match case.arg.as_deref() {
            Some(arg) => self.expr(arg, scope),
            None => Val { type_oid: types::BOOL, ..Val::clean() },
        };
        let mut condition = tested.taint.clone();
        let mut value = Taint::CLEAN;
        let mut types = Vec::with_capacity(case.args.len().saturating_add(1));
        let whens = case.args.iter().filter_map(|when| match tree::kind(when) {
            Some(NodeEnum::CaseWhen(when)) => Some(when),
            _ => None,
        });
        for when in whens {
            if let Some(when) = when.expr.as_deref() {
                let when = self.expr(when, scope);
                condition.join(&when.taint);
                let compared = case.arg.is_some();
                let servers = self.catalog.operators_named("=").is_empty();
                self.sure &= !compared || (servers && self.compare(&tested, &when));
            }
            if let Some(result) = when.result.as_deref() {
                let result = self.expr(result, scope);
                types.push(result.met_as());
                value.join(&result.taint);
            }
        }
        if let Some(result) = case.defresult.as_deref() {
            let result = self.expr(result, scope);
            // The server looks at it first.
            types.insert(0, result.met_as());
            value.join(&result.taint);
        }
        self.uses(&condition, How::Condition, "CASE", case.location);
        let one = self.met(value, types, case.location);
        Val { type_oid: one.type_oid, ..Val::made_of(one.taint.with(&condition)) }
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
            Some(open) => {
                Val { size: size_of(&rel.cols).saturating_add(rel.most), ..Val::made_of(open.with(&rel.all())) }
            }
        }
    }

    /// `.field`, `.*` and `[subscript]`.
    fn indirection(&mut self, mut value: Val<'t>, steps: &'t [Node], scope: &Scope<'t, '_>) -> Val<'t> {
        for step in steps {
            match tree::kind(step) {
                Some(NodeEnum::String(name)) => value = self.field(&value, &name.sval),
                Some(NodeEnum::AIndices(indices)) => {
                    value = self.subscript(&value, [&indices.lidx, &indices.uidx], scope);
                }
                _ => {}
            }
        }
        value
    }

    /// `[lower:upper]`, or `[upper]`: not evaluated where there is nothing to look into.
    fn subscript(&mut self, of: &Val<'t>, ends: [&'t Option<Box<Node>>; 2], scope: &Scope<'t, '_>) -> Val<'t> {
        let mut taint = of.taint.clone();
        for end in ends.into_iter().filter_map(|end| end.as_deref()) {
            let value = self.expr(end, scope);
            if !value.sure {
                self.uses(&of.taint, How::Condition, CONDITION, -1);
            }
            // Other numbers become integers of four bytes, if they fit.
            let fits = matches!(value.type_oid, types::INT2 | types::INT4 | types::LITERAL)
                || (of.type_oid == types::JSONB && types::is_text(value.type_oid));
            taint.join(&value.taint);
            if !fits {
                self.may_fail(&taint, "a subscript that may not fit", -1);
            }
        }
        let user = self.catalog.types().get(&of.type_oid).is_some_and(|t| t.kind == 'b');
        if user && !self.is_extensions(of.type_oid, "hstore") {
            self.may_fail(&taint, "a subscript that may not fit", -1);
        }
        let type_oid = if of.type_oid == types::JSONB { types::JSONB } else { types::element_of(of.type_oid) };
        Val { type_oid, ..Val::made_of(taint) }
    }

    /// A field of a row, or a function of that name applied to it.
    pub(super) fn field(&mut self, value: &Val<'t>, name: &str) -> Val<'t> {
        if let Some(field) = Self::field_named(value, name) {
            return field;
        }
        let mut taint = value.taint.clone();
        if self.is_field_of(value.type_oid, name) {
            return Val { size: value.size, ..Val::made_of(taint) };
        }
        taint.join(&self.attribute_call(name, value));
        Val { size: self.length_of_attribute(name, value), ..Val::made_of(taint) }
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
                .map(|(name, oid)| Col {
                    type_oid: *oid,
                    size: value.size.max(size::STORED),
                    ..Col::new(name.as_str(), value.taint.clone())
                })
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
            (named, true) => {
                self.whole_row(named, scope).unwrap_or_else(|| Val::made_of(self.missing(&named.join("."), scope)))
            }
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
        let mut size = 0;
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
                    Some(open) => Val { size: value.size.max(size), ..Val::made_of(value.taint.with(&open)) },
                    None => value,
                };
            }
            // Beside one that is certain to have the name, another would make the name ambiguous.
            if let Some(more) = level.from.doubt() {
                open.get_or_insert_default().join(&more);
                size = size.max(level.from.size_of_doubt());
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
            let size = row.as_ref().map_or(size, |row| row.size.max(size));
            return Val { size, ..Val::made_of(row.map_or(variables, |row| row.taint).with(&open).with(&place)) };
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
        Val::made_of(self.missing(name, scope))
    }

    fn of_alias(&mut self, named: &[&'t str], name: &'t str, scope: &Scope<'t, '_>) -> Val<'t> {
        let Some(rel) = self.item_named(named, scope) else {
            // In a function's body, `function.argument`.
            let argument = named.len() == 1 && self.arguments.iter().any(|a| a == name);
            if let Some(variables) = self.variables.as_ref().filter(|_| !argument) {
                return Val::made_of(variables.clone());
            }
            return if argument { Val::clean() } else { Val::made_of(self.missing(&named.join("."), scope)) };
        };
        self.search(rel.cols.len());
        if let Some(col) = rel.cols.iter().find(|c| c.is_called(name)) {
            return Val::of(col);
        }
        let all = rel.all();
        if let Some(doubt) = rel.doubt() {
            // A column that is not known, or a function of the whole row.
            let called = self.attribute_call(name, &Val::made_of(all.clone()));
            let size = rel.size_of_doubt().max(self.length_of_attribute(name, &Val::sized(size_of(&rel.cols))));
            let place = match name {
                ROW_PLACE => all.clone(),
                PARTITION => self.partitions(),
                _ => Taint::CLEAN,
            };
            return Val {
                size,
                ..Val::made_of(if called.is_clean() { doubt.with(&place) } else { all.with(&called) })
            };
        }
        if SYSTEM_COLUMNS.contains(&name) {
            return Val::made_of(match name {
                ROW_PLACE => all,
                PARTITION => self.partitions(),
                _ => Taint::CLEAN,
            });
        }
        let called = self.attribute_call(name, &Val::made_of(all.clone()));
        if builtins::function(name).is_none() && self.candidates("", name, 1).is_empty() {
            self.not_found.get_or_insert_with(|| name.to_owned());
        }
        let size = self.length_of_attribute(name, &Val::sized(size_of(&rel.cols)));
        Val { size, ..Val::made_of(if all.is_clean() { called } else { all.with(&called) }) }
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
                        Some(Rc::new(Rel { open: Some(open), most: scope.largest_item(), ..Rel::default() }))
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
            let size = size::quoted(size_of(&rel.cols).saturating_add(rel.most));
            return Some(Val { size, ..Val::made_of(rel.all()) });
        }
        // What a function returns is no row when it is one value.
        if let [only] = rel.cols.as_slice()
            && only.alone
        {
            return Some(Val::of(only));
        }
        let field = |col: &Col<'t>| Col { guessed: col.guessed || col.renamed, ..col.passed_on() };
        let row = Val::of_row(rel.cols.iter().map(field).collect());
        Some(Val { size: size::quoted(row.size), ..row })
    }

    /// A name that nothing here has. The server will refuse it; should it not, the value is whatever is in reach.
    fn missing(&mut self, name: &str, scope: &Scope<'t, '_>) -> Taint {
        if !self.work(scope.levels().map(|level| level.from.size() / 8).sum()) {
            return Taint::UNKNOWN;
        }
        if scope.all().is_clean() {
            return Taint::CLEAN;
        }
        self.not_found.get_or_insert_with(|| name.to_owned());
        Taint::UNKNOWN
    }

    fn sublink(&mut self, link: &'t SubLink, scope: &Scope<'t, '_>) -> Val<'t> {
        let test = self.part(&link.testexpr, scope);
        let Some(query) = tree::kind_of(&link.subselect) else { return Val::made_of(test) };
        let (rel, predicate) = self.subquery(query, scope);
        let test = if link.oper_name.is_empty() {
            test
        } else {
            let operands = test.clone().with(&rel.all());
            let (schema, name) = tree::qualified(&link.oper_name);
            test.with(&self.user_operator(schema, name, &operands, None, link.location))
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
                _ => {
                    let size = size_of(&rel.cols).saturating_add(rel.most);
                    Val { size, ..Val::made_of(rel.all().with(&predicate)) }
                }
            },
            SubLinkType::ArraySublink | SubLinkType::MultiexprSublink => {
                let gathers = link.sub_link_type() == SubLinkType::ArraySublink;
                let value = rel.cols.first().map(Val::of).unwrap_or_default();
                if gathers && self.may_be_array(None, &value) {
                    self.may_fail(&rel.all(), "arrays of different shapes", link.location);
                }
                let size = size::of_element(value.type_oid, size_of(&rel.cols).saturating_add(rel.most));
                let size = rel.rows.gathered(size);
                let values = link.sub_link_type() == SubLinkType::ArraySublink
                    && rel.open.is_none()
                    && matches!(rel.cols.as_slice(), [only] if self.shape_of(only.type_oid) == Shape::Value);
                let type_oid = if values { types::array_of(value.type_oid) } else { types::UNKNOWN };
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
        let (mut rel, predicate) = self.inside(|walk| walk.query(query, scope));
        for col in rel.cols.iter_mut().filter(|col| col.type_oid == types::LITERAL) {
            // A text that nothing in the query said the type of is one to those who read it.
            col.type_oid = types::TEXT;
        }
        (rel, predicate)
    }

    /// A walk over a query within another, which has aggregates, windows and conditions of its own: what came of it, and
    /// what decided about its rows.
    pub(super) fn inside<T>(&mut self, walk: impl FnOnce(&mut Analyzer<'t>) -> T) -> (T, Taint) {
        let predicate = std::mem::take(&mut self.predicate);
        let windows = std::mem::take(&mut self.windows);
        let aggregated = std::mem::replace(&mut self.aggregated, false);
        let parts_size = self.parts_size;
        self.nested = self.nested.saturating_add(1);
        let rel = walk(self);
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

/// FORMAT JSON: a text that has to be one.
fn is_read_as_json(format: Option<&JsonFormat>) -> bool {
    format.is_some_and(|format| format.format_type() != JsonFormatType::JsFormatDefault)
}

/// Kinds of expressions that fail only where a part of them does, or where their rule says so. All others may fail.
fn is_sure_kind(kind: &NodeEnum) -> bool {
    matches!(
        kind,
        NodeEnum::AConst(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::GroupingFunc(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
            | NodeEnum::FuncCall(_)
            | NodeEnum::AExpr(_)
            | NodeEnum::BoolExpr(_)
            | NodeEnum::CaseExpr(_)
            | NodeEnum::CoalesceExpr(_)
            | NodeEnum::MinMaxExpr(_)
            | NodeEnum::NullTest(_)
            | NodeEnum::BooleanTest(_)
            | NodeEnum::NamedArgExpr(_)
            | NodeEnum::CollateClause(_)
            | NodeEnum::AArrayExpr(_)
            | NodeEnum::List(_)
            | NodeEnum::RowExpr(_)
            | NodeEnum::AIndirection(_)
            | NodeEnum::TypeCast(_)
    )
}
