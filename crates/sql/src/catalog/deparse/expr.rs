//! Expressions of the server's trees as SQL.

use super::Deparser;
use super::constant::NO_TYPE;
use super::kinds::{Kind, kind};
use crate::catalog::nodes::Id;

/// Values that are read from the session (`SQLValueFunctionOp`).
const SQL_VALUES: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "LOCALTIMESTAMP",
    "CURRENT_ROLE",
    "CURRENT_USER",
    "USER",
    "SESSION_USER",
    "CURRENT_CATALOG",
    "CURRENT_SCHEMA",
];

impl Deparser<'_> {
    pub(super) fn joined(&mut self, ids: &[Id], between: &str) -> Option<()> {
        self.put("(")?;
        for (at, id) in ids.iter().enumerate() {
            if at > 0 {
                self.put(between)?;
            }
            self.expr(*id)?;
        }
        self.put(")")
    }

    pub(super) fn listed(&mut self, ids: &[Id]) -> Option<()> {
        for (at, id) in ids.iter().enumerate() {
            if at > 0 {
                self.put(", ")?;
            }
            self.expr(*id)?;
        }
        Some(())
    }

    /// `word(a, b)`
    pub(super) fn of_all(&mut self, word: &str, ids: &[Id]) -> Option<()> {
        self.put(word)?;
        self.put("(")?;
        self.listed(ids)?;
        self.put(")")
    }

    pub(super) fn expr(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let args = |field: &str| tree.elements(id, field);
        match kind(tree.label(id)?)? {
            Kind::Var => self.var(id),
            Kind::Const => self.constant(id, false),
            Kind::Param => match tree.number::<u8>(id, "paramkind")? {
                0 => self.put(&format!("${}", tree.number::<u16>(id, "paramid")?)),
                // A column of the query that is compared with.
                2 => self.put("NULL"),
                _ => None,
            },
            Kind::Target => self.expr(tree.some(id, "expr")?),
            Kind::NamedArg => {
                let name = tree.name(id, "name")?;
                self.quoted(&name)?;
                self.put(" => ")?;
                self.expr(tree.some(id, "arg")?)
            }
            Kind::Collate => {
                let name = match tree.number::<u32>(id, "collOid")? {
                    100 => "default",
                    950 => "C",
                    951 => "POSIX",
                    _ => "of another name",
                };
                self.put("(")?;
                self.expr(tree.some(id, "arg")?)?;
                self.put(&format!(" COLLATE pg_catalog.\"{name}\")"))
            }
            Kind::Placeholder => {
                let value = self.tested.pop()?;
                let written = self.expr(value);
                self.tested.push(value);
                written
            }
            Kind::SqlValue => self.put(SQL_VALUES.get(tree.number::<usize>(id, "op")?)?),
            Kind::Grouping => self.of_all("GROUPING", args("args")?),
            Kind::Aggregate => self.aggregate(id),
            Kind::WindowFunction => self.window_function(id),
            Kind::Function => self.function(id),
            Kind::Operator => self.operation(id),
            Kind::Distinct => self.compared(id, false),
            Kind::NullIf => self.compared(id, true),
            Kind::AnyOf => self.any_of(id),
            Kind::Bool => {
                let args = args("args")?;
                match tree.word(id, "boolop")? {
                    "and" => self.joined(args, " AND "),
                    "or" => self.joined(args, " OR "),
                    "not" => self.of_all("(NOT ", args).and_then(|()| self.put(")")),
                    _ => None,
                }
            }
            Kind::SubLink => self.sublink(id),
            Kind::Field => self.field_of(id),
            Kind::Relabel => self.taken_for(id, "relabelformat", false),
            Kind::ViaText | Kind::OfElements => self.taken_for(id, "coerceformat", true),
            Kind::ToDomain => self.taken_for(id, "coercionformat", true),
            Kind::Case => self.case(id),
            Kind::Array => self.array(id),
            Kind::Row => self.of_all("ROW", args("args")?),
            Kind::RowCompare => self.rows_compared(id),
            Kind::Coalesce => self.of_all("COALESCE", args("args")?),
            Kind::Greatest => self.of_all("GREATEST", args("args")?),
            Kind::NullTest => self.tested_for(id, " IS NULL)"),
            Kind::BooleanTest => self.tested_for(id, " IS TRUE)"),
            Kind::Xml => self.xml(id),
            Kind::Subscript => self.subscript(id),
            Kind::JsonValue => self.json_value(id),
            Kind::JsonConstructor => self.json_constructor(id),
            Kind::IsJson => {
                self.put("(")?;
                self.expr(tree.some(id, "expr")?)?;
                self.put(" IS JSON)")
            }
            Kind::Bag => self.bag(id),
            Kind::Within | Kind::Part | Kind::Never => None,
        }
    }

    fn tested_for(&mut self, id: Id, test: &str) -> Option<()> {
        self.put("(")?;
        self.expr(self.tree.some(id, "arg")?)?;
        self.put(test)
    }

    /// Everything within a node, as a value of no known shape that may refuse whatever of it.
    pub(super) fn bag(&mut self, id: Id) -> Option<()> {
        self.put("CAST(")?;
        self.row_of(id)?;
        self.put(&format!(" AS {NO_TYPE})"))
    }

    /// A ROW of everything within a node.
    pub(super) fn row_of(&mut self, id: Id) -> Option<()> {
        self.put("ROW(")?;
        let mut first = true;
        self.within(id, &mut first)?;
        self.put(")")
    }

    pub(super) fn within(&mut self, id: Id, first: &mut bool) -> Option<()> {
        let tree = self.tree;
        for value in tree.values(id) {
            self.inner(value, first)?;
        }
        Some(())
    }

    fn inner(&mut self, id: Id, first: &mut bool) -> Option<()> {
        let tree = self.tree;
        let Some(label) = tree.label(id) else {
            for id in tree.list(id) {
                self.inner(*id, first)?;
            }
            return Some(());
        };
        match kind(label)? {
            Kind::Within => self.within(id, first),
            // What it stands for is in here too.
            Kind::Placeholder => Some(()),
            _ => {
                if !std::mem::take(first) {
                    self.put(", ")?;
                }
                self.expr(id)
            }
        }
    }

    fn array(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let elements = tree.elements(id, "elements")?;
        let name = self.type_name(tree.number(id, "array_typeid")?).filter(|_| elements.is_empty());
        self.put(if name.is_some() { "CAST(ARRAY[" } else { "ARRAY[" })?;
        self.listed(elements)?;
        self.put("]")?;
        match name {
            Some(name) => self.put(&format!(" AS {name})")),
            None => Some(()),
        }
    }

    /// `(value)[upper]` and `(value)[lower:upper]`. One that gives a new value to an element stands in no query.
    fn subscript(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        if tree.some(id, "refassgnexpr").is_some() {
            return None;
        }
        self.put("(")?;
        self.expr(tree.some(id, "refexpr")?)?;
        self.put(")")?;
        let (uppers, lowers) = (tree.elements(id, "refupperindexpr")?, tree.elements(id, "reflowerindexpr")?);
        let slices = !lowers.is_empty();
        if slices && lowers.len() != uppers.len() {
            return None;
        }
        for (at, upper) in uppers.iter().enumerate() {
            self.put("[")?;
            if let Some(lower) = lowers.get(at).filter(|lower| !tree.is_nothing(**lower)) {
                self.expr(*lower)?;
            }
            self.put(if slices { ":" } else { "" })?;
            if !tree.is_nothing(*upper) {
                self.expr(*upper)?;
            } else if !slices {
                return None;
            }
            self.put("]")?;
        }
        Some(())
    }

    fn sublink(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let query = tree.some(id, "subselect")?;
        match tree.number::<u8>(id, "subLinkType")? {
            0 => {
                self.put("EXISTS ")?;
                self.query(query, false)
            }
            // ALL, ANY, and a row compared.
            1..=3 => {
                self.put("(ROW(")?;
                self.expr(tree.some(id, "testexpr")?)?;
                self.put(") OPERATOR(pg_catalog.=) ANY ")?;
                self.query(query, false)?;
                self.put(")")
            }
            4 => self.query(query, false),
            6 => {
                self.put("ARRAY")?;
                self.query(query, false)
            }
            _ => None,
        }
    }

    fn case(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let arg = tree.some(id, "arg");
        let whens = tree.elements(id, "args")?;
        // What is compared is written once, unless a WHEN compares in a way of its own.
        let compared: Option<Vec<Id>> =
            whens.iter().map(|when| self.compared_with(tree.some(*when, "expr")?)).collect();
        self.put("CASE ")?;
        if let (Some(arg), Some(_)) = (arg, &compared) {
            self.expr(arg)?;
        }
        for (at, when) in whens.iter().enumerate() {
            self.put(" WHEN ")?;
            let condition = tree.some(*when, "expr")?;
            match (arg, &compared) {
                (None, _) => self.expr(condition)?,
                (Some(_), Some(compared)) => self.expr(*compared.get(at)?)?,
                (Some(arg), None) => {
                    self.tested.push(arg);
                    self.expr(condition)?;
                    self.tested.pop();
                }
            }
            self.put(" THEN ")?;
            self.expr(tree.some(*when, "result")?)?;
        }
        if let Some(otherwise) = tree.some(id, "defresult") {
            self.put(" ELSE ")?;
            self.expr(otherwise)?;
        }
        self.put(" END")
    }

    /// Of `placeholder = value` with the server's own operator, the value.
    fn compared_with(&self, condition: Id) -> Option<Id> {
        let tree = self.tree;
        let [left, right] = tree.elements(condition, "args")? else { return None };
        let equal = kind(tree.label(condition)?)? == Kind::Operator && self.servers_operator(condition) == Some("=");
        let placeholder = kind(tree.label(self.bare(*left)?)?)? == Kind::Placeholder;
        (equal && placeholder).then_some(*right)
    }
}
