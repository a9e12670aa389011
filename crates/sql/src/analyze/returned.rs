//! What calls give: one value, or a row of which columns. In FROM the places of all columns that follow depend on it, so
//! whatever is not certain leaves them open: a name with overloads that differ, a value that may be a row, a call that may
//! be something else than a call.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, FuncCall, Node, SubLinkType};

use super::scope::{Col, Rel, Scope, Val};
use super::size::{self, Rows};
use super::types::VALUES;
use super::{Analyzer, tree};
use crate::builtins::{self, Builtin, Class, Returned};
use crate::catalog;
use crate::statement::How;
use crate::taint::Taint;

/// `record`, whose columns a function's OUT parameters or the call have to list.
const RECORD: u32 = 2249;
/// `void` and `cstring`, of which there are no columns but values of functions.
const VALUES_ONLY: [u32; 2] = [2278, 2275];
/// Fields that a type has, for an estimate of what it takes to look through all types.
const FIELDS_OF_A_TYPE: usize = 16;
/// Functions of the server's own that give an array of texts, whatever they are given.
const GIVE_TEXTS: &[&str] = &["string_to_array", "regexp_split_to_array", "regexp_match"];

/// What a value of a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape<'t> {
    /// No row.
    Value,
    /// A row of these columns: name and type.
    Row(&'t [(String, u32)]),
    /// One or the other.
    Unknown,
}

/// What a call in FROM gives.
pub(super) struct Made<'t> {
    pub(super) rel: Rel<'t>,
    /// It is one value, which an alias gives its own name.
    pub(super) takes_alias: bool,
    /// How large all of it may be: see `size`.
    pub(super) size: u64,
    /// Nobody knows how many rows it has.
    pub(super) as_many_as_a_table: bool,
}

impl<'t> Made<'t> {
    fn open(taint: Taint, bounded: bool) -> Made<'t> {
        Made {
            rel: Rel { open: Some(taint), bounded, rows: Rows::TABLE, ..Rel::default() },
            takes_alias: false,
            size: size::STORED,
            as_many_as_a_table: false,
        }
    }

    fn columns(cols: Vec<Col<'t>>, bounded: bool) -> Made<'t> {
        Made {
            rel: Rel { cols, bounded, rows: Rows::TABLE, ..Rel::default() },
            takes_alias: false,
            size: size::STORED,
            as_many_as_a_table: false,
        }
    }

    fn value(col: Col<'t>, bounded: bool, takes_alias: bool) -> Made<'t> {
        Made { takes_alias, ..Made::columns(vec![Col { alone: true, ..col }], bounded) }
    }
}

impl<'t> Analyzer<'t> {
    /// What values of a type are.
    pub(super) fn shape_of(&self, mut type_oid: u32) -> Shape<'t> {
        let catalog = self.catalog;
        for _ in 0..lockgate_core::limits::SQL_VIEW_DEPTH_MAX {
            let Some(facts) = catalog.types().get(&type_oid) else { break };
            match facts.kind {
                'd' => type_oid = facts.base,
                'c' => return Shape::Row(&facts.fields),
                'b' | 'e' | 'r' | 'm' | 'A' => return Shape::Value,
                _ => return Shape::Unknown,
            }
        }
        let value = type_oid == VALUES
            || VALUES_ONLY.contains(&type_oid)
            || builtins::is_plain_type(type_oid)
            || builtins::is_plain_array(type_oid);
        if value { Shape::Value } else { Shape::Unknown }
    }

    /// Whether a value is certain to be no row.
    pub(super) fn is_one_value(&self, node: &'t Node, value: &Val<'t>) -> bool {
        if value.row.is_some() {
            return false;
        }
        match self.shape_of(value.type_oid) {
            Shape::Value => return true,
            Shape::Row(_) => return false,
            Shape::Unknown => {}
        }
        let is_value = |node: &'t Node| self.is_one_value(node, &Val::clean());
        match tree::kind(node) {
            // As far as it is not turned into one: its own type is none.
            Some(
                NodeEnum::AConst(_)
                | NodeEnum::BoolExpr(_)
                | NodeEnum::NullTest(_)
                | NodeEnum::BooleanTest(_)
                | NodeEnum::SqlvalueFunction(_)
                | NodeEnum::XmlExpr(_)
                | NodeEnum::GroupingFunc(_)
                | NodeEnum::CollateClause(_)
                | NodeEnum::AArrayExpr(_),
            ) => true,
            Some(NodeEnum::SubLink(link)) => link.sub_link_type() != SubLinkType::ExprSublink,
            Some(NodeEnum::CoalesceExpr(e)) => e.args.iter().all(is_value),
            Some(NodeEnum::MinMaxExpr(e)) => e.args.iter().all(is_value),
            Some(NodeEnum::AExpr(e)) if e.kind() == AExprKind::AexprNullif => {
                e.lexpr.as_deref().is_some_and(is_value) && e.rexpr.as_deref().is_some_and(is_value)
            }
            Some(NodeEnum::AExpr(e)) => {
                // The server's own operators give no rows.
                let (_, name) = tree::qualified(&e.name);
                self.catalog.operators_named(name).iter().all(|(_, function)| {
                    let facts = self.catalog.function(*function).map(|f| &f.facts);
                    facts.is_some_and(|facts| self.shape_of(facts.return_type) == Shape::Value)
                })
            }
            Some(NodeEnum::FuncCall(call)) => {
                let (schema, name) = tree::qualified(&call.funcname);
                let [_, _, ..] = call.args.as_slice() else { return false };
                matches!(schema, "" | "pg_catalog")
                    && self.candidates(schema, name, call.args.len()).is_empty()
                    && builtins::returned(name, self.catalog.major(), call.args.len()) == Returned::Value
            }
            _ => false,
        }
    }

    /// Whether a value is certain to be an array of what is no row.
    fn is_array_of_values(&self, node: &'t Node, value: &Val<'t>) -> bool {
        let mut type_oid = value.type_oid;
        for _ in 0..lockgate_core::limits::SQL_VIEW_DEPTH_MAX {
            match self.catalog.types().get(&type_oid) {
                Some(facts) if facts.kind == 'd' => type_oid = facts.base,
                Some(facts) if facts.kind == 'A' => return self.shape_of(facts.element) == Shape::Value,
                _ => break,
            }
        }
        if type_oid == VALUES || builtins::is_plain_array(type_oid) {
            return true;
        }
        let Some(NodeEnum::FuncCall(call)) = tree::kind(node) else { return false };
        let (schema, name) = tree::qualified(&call.funcname);
        matches!(schema, "" | "pg_catalog")
            && GIVE_TEXTS.contains(&name)
            && call.args.len() > 1
            && self.candidates(schema, name, call.args.len()).is_empty()
    }

    /// Whether what is written as a call of a function is one. With one argument it may be a field of a row, or a cast.
    pub(super) fn is_the_function(&mut self, name: &str, args: &'t [Node], values: &[Val<'t>], users: bool) -> bool {
        let ([arg], [value]) = (args, values) else { return true };
        if matches!(tree::kind(arg), Some(NodeEnum::ParamRef(_)))
            && !self.search(self.catalog.types().len().saturating_mul(FIELDS_OF_A_TYPE))
        {
            return false;
        }
        let cast = self.catalog.types_named(name).any(|known| known.kind != 'c')
            || (users && self.catalog.is_servers_type(name));
        !cast && !self.may_have_field(arg, value, name)
    }

    fn may_have_field(&self, node: &'t Node, value: &Val<'t>, name: &str) -> bool {
        if let Some(row) = &value.row {
            return row.iter().any(|field| field.guessed || field.name == name);
        }
        match (self.shape_of(value.type_oid), tree::kind(node)) {
            (Shape::Row(fields), _) => fields.iter().any(|(field, _)| field == name),
            // Of a type that the client names.
            (_, Some(NodeEnum::ParamRef(_))) => {
                self.catalog.types().values().any(|known| known.fields.iter().any(|(field, _)| field == name))
            }
            _ => !self.is_one_value(node, value),
        }
    }

    /// A call in a FROM clause.
    pub(super) fn call_in_from(&mut self, node: &'t Node, scope: &Scope<'t, '_>) -> Made<'t> {
        let Some(NodeEnum::FuncCall(call)) = tree::kind(node) else {
            // COALESCE, CAST, CURRENT_DATE and the like may stand there too.
            let value = self.expr(node, scope);
            let functions = tree::kind(node).map_or(&[][..], |kind| self.taken_for_functions(kind));
            let is_value = functions.is_empty() && self.is_one_value(node, &value);
            if !is_value {
                return Made::open(value.taint, false);
            }
            let tree::Named { name, .. } = tree::output_name(node);
            return Made::value(Col { guessed: true, size: value.size, ..Col::new(name, value.taint) }, true, true);
        };
        let (schema, name) = tree::qualified(&call.funcname);
        let value = self.call(call, scope);
        // How many rows a function makes of a value tells the value.
        let mut given = Taint::CLEAN;
        let mut arguments = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            let argument = self.expr(arg, scope);
            given.join(&argument.taint);
            arguments.push(argument);
        }
        self.uses(&given, How::Predicate, name, call.location);
        let bounded = !call.args.is_empty() || value.taint.is_clean();
        if schema.is_empty() && name == "unnest" && call.args.len() > 1 && !call.func_variadic {
            return self.unnest_each(call, &arguments, bounded);
        }
        let users = self.candidates(schema, name, call.args.len());
        let builtin = match schema {
            "" | "pg_catalog" | "information_schema" => builtins::function(name),
            _ => None,
        };
        let certain = self.is_the_function(name, &call.args, &arguments, !users.is_empty());
        let size = value.size.max(size::STORED);
        let mut made = match (users.as_slice(), builtin) {
            ([], Some(builtin)) if certain => {
                self.builtin_in_from(builtin, name, call, &arguments, &value.taint, &given, bounded)
            }
            ([function], None) if certain => self.users_in_from(*function, name, value.taint, &given, bounded),
            _ => Made::open(value.taint, bounded),
        };
        for col in &mut made.rel.cols {
            // A part of what the call makes, or all of it.
            col.size = if size::is_of_session(name, &col.name) { size::ANY } else { size };
        }
        let sets = users.iter().filter_map(|function| self.catalog.function(*function));
        let as_many_as_a_table = sets.into_iter().any(|function| function.facts.returns_set);
        Made { size, as_many_as_a_table, ..made }
    }

    #[expect(clippy::too_many_arguments, reason = "a call and all that is known of it")]
    fn builtin_in_from(
        &self,
        builtin: &Builtin,
        name: &'t str,
        call: &'t FuncCall,
        arguments: &[Val<'t>],
        value: &Taint,
        given: &Taint,
        bounded: bool,
    ) -> Made<'t> {
        let of_array = || match (call.args.as_slice(), arguments) {
            ([arg], [value]) => name == "unnest" && self.is_array_of_values(arg, value),
            _ => false,
        };
        match builtins::returned(name, self.catalog.major(), call.args.len()) {
            Returned::Value => Made::value(Col::new(name, value.clone()), bounded, true),
            Returned::Columns(columns) => {
                let leaks = |column: &str| match builtin.class {
                    Class::Leaky => name != "pg_stat_get_activity" || column == "query",
                    _ => true,
                };
                let cols = columns.iter().map(|column| {
                    let taint = if leaks(column) { value } else { given };
                    Col::new(*column, taint.clone())
                });
                let cols: Vec<Col<'t>> = cols.collect();
                match cols.as_slice() {
                    [only] => Made::value(only.clone(), bounded, false),
                    _ => Made::columns(cols, bounded),
                }
            }
            Returned::Unknown if of_array() => Made::value(Col::new(name, value.clone()), bounded, true),
            Returned::Unknown => Made::open(value.clone(), bounded),
        }
    }

    fn users_in_from(
        &mut self,
        function: usize,
        name: &'t str,
        value: Taint,
        given: &Taint,
        bounded: bool,
    ) -> Made<'t> {
        let summary = self.summary(function);
        if let Some(cols) = self.columns_of(&summary, function, given) {
            return Made::columns(cols, bounded);
        }
        let catalog = self.catalog;
        let Some(facts) = catalog.function(function).map(|f| &f.facts) else { return Made::open(value, bounded) };
        match (self.shape_of(facts.return_type), facts.out_names.as_slice()) {
            (Shape::Value, []) => Made::value(Col::new(name, value), bounded, true),
            (Shape::Value, [only]) if only.is_empty() => Made::value(Col::new(name, value), bounded, true),
            // An alias does not give it another name.
            (Shape::Value, [only]) => Made::value(Col::new(only.as_str(), value), bounded, false),
            _ => Made::open(value, bounded),
        }
    }

    /// `unnest(a, b, …)`: what each argument gives alone, side by side. Only the server's own is called so.
    fn unnest_each(&self, call: &'t FuncCall, arguments: &[Val<'t>], bounded: bool) -> Made<'t> {
        let mut rel = Rel { bounded, rows: Rows::TABLE, ..Rel::default() };
        for (arg, value) in call.args.iter().zip(arguments) {
            if self.is_array_of_values(arg, value) {
                let size = value.size.max(size::STORED);
                rel.push(Col { size, ..Col::new("unnest", value.taint.clone()) });
            } else {
                rel.extend(None, Some(&value.taint));
            }
        }
        let size = arguments.iter().fold(size::STORED, |size, value| size.max(value.size));
        Made { rel, takes_alias: false, size, as_many_as_a_table: false }
    }

    /// The fields of a call's value, when the function's columns are known.
    pub(super) fn row_of(
        &self,
        summary: &catalog::Summary,
        function: usize,
        given: &Taint,
    ) -> Option<std::rc::Rc<Vec<Col<'t>>>> {
        let columns = self.columns_of(summary, function, given)?;
        (columns.len() > 1).then(|| std::rc::Rc::new(columns))
    }

    /// The columns of a user's function that returns rows, named as a FROM clause sees them.
    fn columns_of(&self, summary: &catalog::Summary, function: usize, given: &Taint) -> Option<Vec<Col<'t>>> {
        let catalog = self.catalog;
        let facts = &catalog.function(function)?.facts;
        let named: Vec<Col<'t>> = if facts.return_type == RECORD {
            // One OUT parameter alone is no row, and its type is what is returned.
            if facts.out_names.len() < 2 {
                return None;
            }
            let name = |(at, name): (usize, &'t String)| match name.as_str() {
                "" => Col::new(format!("column{}", at.saturating_add(1)), Taint::CLEAN),
                name => Col::new(name, Taint::CLEAN),
            };
            facts.out_names.iter().enumerate().map(name).collect()
        } else {
            let Shape::Row(fields) = self.shape_of(facts.return_type) else { return None };
            let field = |(name, type_oid): &'t (String, u32)| Col {
                type_oid: *type_oid,
                ..Col::new(name.as_str(), Taint::CLEAN)
            };
            fields.iter().map(field).collect()
        };
        let known = summary.columns.as_ref().filter(|known| known.len() == named.len());
        let filled = |(at, col): (usize, Col<'t>)| {
            let own = known.and_then(|known| known.get(at)).map_or(&summary.value, |(_, taint)| taint);
            Col { taint: own.clone().with(given), ..col }
        };
        Some(named.into_iter().enumerate().map(filled).collect())
    }
}
