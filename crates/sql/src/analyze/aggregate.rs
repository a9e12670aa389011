//! Statements that only count, add up and average labelled numbers, over sets of rows that nothing labelled decides about.
//! Of these, and of no others, it can be asked how many rows went into each answer, and by how many these differ from
//! those of another such statement. A shape that is not understood whole is none.

use lockgate_core::limits::SQL_COLUMNS_MAX;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AConst, AExpr, AExprKind, BoolExprType, ColumnRef, FuncCall, LimitOption, Node, RangeVar, SelectStmt, SetOperation,
    a_const,
};

use super::{Analyzer, tree};
use crate::catalog::Resolved;
use crate::catalog::facts::ColumnFacts;
use crate::statement::{Aggregated, Aggregation};
use crate::taint::Taint;

/// What tells nothing of one row of many. The least and the greatest are values of one row.
const SAFE: &[&str] =
    &["sum", "avg", "count", "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp"];
/// int8, int2, int4, float4, float8, numeric.
const NUMBERS: &[u32] = &[20, 21, 23, 700, 701, 1700];
/// Types of which a constant means the same under all settings of a session: bool, "char", name, text, varchar, char, uuid.
const FIXED: &[u32] = &[16, 18, 19, 25, 1043, 1042, 2950];
/// date.
const DATE: u32 = 1082;
const COMPARISONS: &[&str] = &["=", "<>", "<", ">", "<=", ">="];

/// The relation that is aggregated.
struct Source<'t> {
    alias: &'t str,
    columns: &'t [ColumnFacts],
    taints: &'t [Taint],
    plain: &'t [bool],
}

/// A column of it.
struct Found<'t> {
    facts: &'t ColumnFacts,
    taint: &'t Taint,
    plain: bool,
}

impl<'t> Analyzer<'t> {
    /// What a SELECT aggregates, if it does nothing else. To be asked after the walk.
    pub(super) fn aggregation(&self, select: &'t SelectStmt) -> Option<Aggregation> {
        let simple = matches!(select.op(), SetOperation::SetopNone | SetOperation::Undefined)
            && self.uses.is_empty()
            && !self.opaque
            && select.with_clause.is_none()
            && select.into_clause.is_none()
            && select.values_lists.is_empty()
            && select.distinct_clause.is_empty()
            && select.window_clause.is_empty()
            && select.having_clause.is_none()
            && select.locking_clause.is_empty()
            && select.limit_offset.is_none()
            && !select.group_distinct
            && select.target_list.len() <= SQL_COLUMNS_MAX
            && select.limit_option() != LimitOption::WithTies
            && select.limit_count.as_deref().is_none_or(|count| tree::integer(count).is_some());
        let [from] = select.from_clause.as_slice() else { return None };
        let Some(NodeEnum::RangeVar(var)) = tree::kind(from).filter(|_| simple) else { return None };
        let (relation, source) = self.aggregated_relation(var)?;
        let mut groups = Vec::new();
        for group in &select.group_clause {
            groups.push(source.group(group, &select.target_list)?);
        }
        groups.sort_unstable();
        groups.dedup();
        let mut outputs = Vec::new();
        for target in &select.target_list {
            let NodeEnum::ResTarget(target) = tree::kind(target)? else { return None };
            outputs.push(self.aggregated_output(target.val.as_deref()?, &source, &groups)?);
        }
        let rows = match select.where_clause.as_deref() {
            Some(condition) => self.rows(condition, &source)?,
            None => "true".to_owned(),
        };
        outputs.iter().any(Option::is_some).then_some(Aggregation { relation, rows, groups, outputs })
    }

    fn aggregated_relation(&self, var: &'t RangeVar) -> Option<(String, Source<'t>)> {
        let Resolved::User(index) = self.resolve(&var.schemaname, &var.relname) else { return None };
        let relation = self.catalog.relation(index)?;
        let renamed = var.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty());
        // Under row security another session, or this one with other settings, has other rows.
        if !matches!(relation.facts.kind, 'r' | 'p')
            || relation.facts.guarded
            || !var.inh
            || renamed
            || !self.path_known
        {
            return None;
        }
        let lineage = self.lineage(index);
        let name = format!("{}.{}", quoted(&relation.facts.schema), quoted(&relation.facts.name));
        let source = Source {
            alias: var.alias.as_ref().map_or(var.relname.as_str(), |a| a.aliasname.as_str()),
            columns: &relation.facts.columns,
            taints: &lineage.columns,
            plain: &lineage.plain,
        };
        Some((name, source))
    }

    /// An output: a column grouped by, a constant, or an aggregate; `Some` of one over labelled values.
    fn aggregated_output(&self, node: &'t Node, source: &Source<'t>, groups: &[String]) -> Option<Option<Aggregated>> {
        match tree::kind(node)? {
            NodeEnum::ColumnRef(column) => {
                let name = quoted(&source.clean(column)?.facts.name);
                groups.contains(&name).then_some(None)
            }
            NodeEnum::AConst(_) => Some(None),
            NodeEnum::FuncCall(call) => self.aggregate(call, source),
            _ => None,
        }
    }

    fn aggregate(&self, call: &'t FuncCall, source: &Source<'t>) -> Option<Option<Aggregated>> {
        let (schema, name) = tree::qualified(&call.funcname);
        let bare = call.agg_order.is_empty()
            && call.agg_filter.is_none()
            && call.over.is_none()
            && !call.agg_within_group
            && !call.agg_distinct
            && !call.func_variadic;
        let builtin = matches!(schema, "" | "pg_catalog") && SAFE.contains(&name);
        if !bare || !builtin || !self.candidates("", name, call.args.len()).is_empty() {
            return None;
        }
        if call.agg_star {
            return Some(None);
        }
        let [argument] = call.args.as_slice() else { return None };
        let NodeEnum::ColumnRef(column) = tree::kind(argument)? else { return None };
        let found = source.column(column)?;
        if found.taint.is_clean() {
            return Some(None);
        }
        let known = found.plain && !found.taint.is_unknown() && NUMBERS.contains(&found.facts.type_oid);
        known.then(|| Some(Aggregated { column: quoted(&found.facts.name), taint: found.taint.clone() }))
    }

    /// A condition over columns without labels that is the same whatever the session's settings are and whoever runs it, as
    /// SQL that does not depend on the search path.
    fn rows(&self, node: &'t Node, source: &Source<'t>) -> Option<String> {
        match tree::kind(node)? {
            NodeEnum::BoolExpr(e) => {
                let mut parts = Vec::new();
                for arg in &e.args {
                    parts.push(self.rows(arg, source)?);
                }
                Some(match e.boolop() {
                    BoolExprType::AndExpr => format!("({})", parts.join(" AND ")),
                    BoolExprType::OrExpr => format!("({})", parts.join(" OR ")),
                    BoolExprType::NotExpr => format!("(NOT {})", parts.first()?),
                    BoolExprType::Undefined => return None,
                })
            }
            NodeEnum::NullTest(test) => {
                let NodeEnum::ColumnRef(column) = tree::kind_of(&test.arg)? else { return None };
                let name = quoted(&source.clean(column)?.facts.name);
                let null = test.nulltesttype() == pg_query::protobuf::NullTestType::IsNull;
                Some(format!("({name} IS {}NULL)", if null { "" } else { "NOT " }))
            }
            NodeEnum::ColumnRef(column) => {
                let found = source.clean(column)?;
                (found.facts.type_oid == 16).then(|| quoted(&found.facts.name))
            }
            NodeEnum::AConst(AConst { val: Some(a_const::Val::Boolval(value)), .. }) => Some(value.boolval.to_string()),
            NodeEnum::AExpr(e) => self.compared_rows(e, source),
            _ => None,
        }
    }

    fn compared_rows(&self, e: &'t AExpr, source: &Source<'t>) -> Option<String> {
        let (schema, name) = tree::qualified(&e.name);
        let (left, right) = (e.lexpr.as_deref()?, e.rexpr.as_deref()?);
        // Those of extensions are for types of their own.
        let mut own = self.catalog.operators_named(name).iter().map(|(_, function)| self.catalog.function(*function));
        let own = own.any(|function| function.is_none_or(|f| f.facts.extension.is_none()));
        if !matches!(schema, "" | "pg_catalog") || own {
            return None;
        }
        let column = |node: &'t Node| match tree::kind(node) {
            Some(NodeEnum::ColumnRef(column)) => source.clean(column),
            _ => None,
        };
        let operator = |name: &str| format!("OPERATOR(pg_catalog.{name})");
        match e.kind() {
            AExprKind::AexprOp if COMPARISONS.contains(&name) => {
                let operator = operator(name);
                Some(match (column(left), column(right)) {
                    (Some(one), None) => {
                        format!("({} {operator} {})", quoted(&one.facts.name), constant(right, one.facts.type_oid)?)
                    }
                    (None, Some(one)) => {
                        format!("({} {operator} {})", constant(left, one.facts.type_oid)?, quoted(&one.facts.name))
                    }
                    _ => return None,
                })
            }
            AExprKind::AexprIn if matches!(name, "=" | "<>") => {
                let one = column(left)?;
                let mut parts = Vec::new();
                for item in tree::items(right) {
                    let value = constant(item, one.facts.type_oid)?;
                    parts.push(format!("({} {} {value})", quoted(&one.facts.name), operator(name)));
                }
                Some(format!("({})", parts.join(if name == "=" { " OR " } else { " AND " })))
            }
            AExprKind::AexprBetween => {
                let one = column(left)?;
                let [from, to] = tree::items(right) else { return None };
                let (from, to) = (constant(from, one.facts.type_oid)?, constant(to, one.facts.type_oid)?);
                let name = quoted(&one.facts.name);
                Some(format!("({name} {} {from} AND {name} {} {to})", operator(">="), operator("<=")))
            }
            _ => None,
        }
    }
}

impl<'t> Source<'t> {
    fn column(&self, column: &ColumnRef) -> Option<Found<'t>> {
        let names: Vec<&str> = tree::texts(&column.fields).collect();
        let name = match names.as_slice() {
            [name] => *name,
            [alias, name] if *alias == self.alias => *name,
            _ => return None,
        };
        let at = self.columns.iter().position(|c| !name.is_empty() && c.name == name)?;
        let (facts, taint) = (self.columns.get(at)?, self.taints.get(at)?);
        Some(Found { facts, taint, plain: self.plain.get(at).copied().unwrap_or(false) })
    }

    /// A column without labels.
    fn clean(&self, column: &ColumnRef) -> Option<Found<'t>> {
        self.column(column).filter(|found| found.taint.is_clean())
    }

    /// A column that is grouped by, by its name or its place among the outputs.
    fn group(&self, node: &Node, targets: &[Node]) -> Option<String> {
        let node = match tree::integer(node) {
            Some(place) => match tree::kind(targets.get(place.checked_sub(1)?)?)? {
                NodeEnum::ResTarget(target) => target.val.as_deref()?,
                _ => return None,
            },
            None => node,
        };
        let NodeEnum::ColumnRef(column) = tree::kind(node)? else { return None };
        Some(quoted(&self.clean(column)?.facts.name))
    }
}

/// A constant that a column of this type is compared with.
fn constant(node: &Node, type_oid: u32) -> Option<String> {
    let NodeEnum::AConst(AConst { val: Some(value), .. }) = tree::kind(node)? else { return None };
    let number = NUMBERS.contains(&type_oid);
    match value {
        a_const::Val::Ival(value) if number => Some(format!("({})", value.ival)),
        a_const::Val::Fval(value) if number && value.fval.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            Some(value.fval.clone())
        }
        a_const::Val::Boolval(value) if type_oid == 16 => Some(value.boolval.to_string()),
        a_const::Val::Sval(value) if FIXED.contains(&type_oid) || (type_oid == DATE && is_iso_date(&value.sval)) => {
            (!value.sval.contains('\\')).then(|| format!("'{}'", value.sval.replace('\'', "''")))
        }
        _ => None,
    }
}

/// `2024-01-31`, which every order of date parts leaves alone.
fn is_iso_date(text: &str) -> bool {
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
