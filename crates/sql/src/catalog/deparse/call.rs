//! Calls: functions, operators, casts that were asked for, aggregates and window functions.

use super::Deparser;
use super::constant::{INT4, NO_TYPE, modifier, whole};
use super::kinds::{Kind, kind};
use crate::catalog::nodes::Id;
use lockgate_core::limits::PG_FIRST_USER_OID;

/// How a call was written (`CoercionForm`).
const AS_A_CAST: u8 = 1;
const UNASKED: u8 = 2;

impl Deparser<'_> {
    /// ` OPERATOR(schema.name) `
    pub(super) fn operator(&mut self, oid: u32) -> Option<()> {
        let catalog = self.catalog;
        let (schema, name) = catalog.operators_by_oid.get(&oid).or_else(|| catalog.server.operators.get(&oid))?;
        let is_operator = !name.is_empty() && name.bytes().all(|b| b"+-*/<>=~!@#%^&|`?".contains(&b));
        if !is_operator {
            return None;
        }
        self.put(" OPERATOR(")?;
        self.quoted(schema)?;
        self.put(".")?;
        self.put(name)?;
        self.put(") ")
    }

    fn function_name(&mut self, oid: u32) -> Option<()> {
        match self.catalog.function_by_oid(oid) {
            Some(function) => self.qualified(&function.facts.schema, &function.facts.name),
            None => {
                let (schema, name) = self.catalog.server.functions.get(&oid)?;
                self.qualified(schema, name)
            }
        }
    }

    /// An operator of the server's own by its name.
    pub(super) fn servers_operator(&self, id: Id) -> Option<&str> {
        let oid: u32 = self.tree.number(id, "opno")?;
        let own = self.catalog.server.operators.get(&oid).filter(|_| oid < PG_FIRST_USER_OID);
        own.map(|(_, name)| name.as_str())
    }

    pub(super) fn operation(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let operator: u32 = tree.number(id, "opno")?;
        let args = tree.elements(id, "args")?;
        self.put("(")?;
        match args {
            [one] => {
                self.operator(operator)?;
                self.expr(*one)?;
            }
            // The pattern of SIMILAR TO is made by a function.
            [left, right] if self.servers_operator(id) == Some("~") && self.is_similar(*right) => {
                self.expr(*left)?;
                self.put(" SIMILAR TO ")?;
                self.expr(*tree.elements(*right, "args")?.first()?)?;
            }
            [left, right] => {
                self.expr(*left)?;
                self.operator(operator)?;
                self.expr(*right)?;
            }
            _ => return None,
        }
        self.put(")")
    }

    fn is_similar(&self, pattern: Id) -> bool {
        let tree = self.tree;
        let function = tree.number::<u32>(pattern, "funcid").and_then(|oid| self.catalog.server.functions.get(&oid));
        let one = tree.elements(pattern, "args").is_some_and(|args| args.len() == 1);
        one && function.is_some_and(|(_, name)| name == "similar_to_escape")
    }

    /// IS DISTINCT FROM and NULLIF, which name no operator: a user's own is written beside them.
    pub(super) fn compared(&mut self, id: Id, nullif: bool) -> Option<()> {
        let tree = self.tree;
        let [left, right] = tree.elements(id, "args")? else { return None };
        let own = self.servers_operator(id).is_none();
        match (nullif, own) {
            (false, true) => self.operation(id),
            (false, false) => {
                self.put("(")?;
                self.expr(*left)?;
                self.put(" IS DISTINCT FROM ")?;
                self.expr(*right)?;
                self.put(")")
            }
            (true, true) => {
                self.put("CASE WHEN ")?;
                self.operation(id)?;
                self.put(" THEN NULL ELSE ")?;
                self.expr(*left)?;
                self.put(" END")
            }
            (true, false) => self.of_all("NULLIF", &[*left, *right]),
        }
    }

    /// `= ANY (array)` and its kind; IN where it is a list.
    pub(super) fn any_of(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let [left, right] = tree.elements(id, "args")? else { return None };
        let any = tree.is_true(id, "useOr");
        let right_kind = kind(tree.label(*right)?)?;
        let word = match self.servers_operator(id) {
            Some("=") if any => Some(" IN "),
            Some("<>") if !any => Some(" NOT IN "),
            _ => None,
        };
        let listed = right_kind == Kind::Array && !tree.is_true(*right, "multidims");
        self.put("(")?;
        self.expr(*left)?;
        match (word, tree.elements(*right, "elements")) {
            (Some(word), Some(elements)) if listed && !elements.is_empty() => self.of_all(word, elements)?,
            _ => {
                self.operator(tree.number(id, "opno")?)?;
                // A query in its place would be one of several rows.
                let query = right_kind == Kind::SubLink;
                self.put(if any { "ANY (" } else { "ALL (" })?;
                self.put(if query { "COALESCE(" } else { "" })?;
                self.expr(*right)?;
                self.put(if query { "))" } else { ")" })?;
            }
        }
        self.put(")")
    }

    /// Rows compared field by field. Operators of users' own are not written there.
    pub(super) fn rows_compared(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        if !tree.numbers::<u32>(id, "opnos")?.into_iter().all(|operator| operator < PG_FIRST_USER_OID) {
            return None;
        }
        self.put("(")?;
        self.of_all("ROW", tree.elements(id, "largs")?)?;
        self.put(" OPERATOR(pg_catalog.<) ")?;
        self.of_all("ROW", tree.elements(id, "rargs")?)?;
        self.put(")")
    }

    pub(super) fn call(&mut self, id: Id, field: &str) -> Option<()> {
        let tree = self.tree;
        self.function_name(tree.number(id, field)?)?;
        self.put("(")?;
        self.arguments(tree.elements(id, "args")?, tree.is_true(id, "funcvariadic"))?;
        self.put(")")
    }

    fn arguments(&mut self, args: &[Id], variadic: bool) -> Option<()> {
        for (at, arg) in args.iter().enumerate() {
            if at > 0 {
                self.put(", ")?;
            }
            if variadic && at.checked_add(1)? == args.len() {
                self.put("VARIADIC ")?;
            }
            self.expr(*arg)?;
        }
        Some(())
    }

    /// A call, or what was written as a cast and is one, or a cast that nobody asked for.
    pub(super) fn function(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let form: u8 = tree.number(id, "funcformat")?;
        let of_server = tree.number::<u32>(id, "funcid")? < PG_FIRST_USER_OID;
        if !of_server || !matches!(form, AS_A_CAST | UNASKED) {
            return self.call(id, "funcid");
        }
        let (arg, more) = tree.elements(id, "args")?.split_first()?;
        // An expression of a column is also turned into the column's type.
        let left_out = form == UNASKED && self.own.is_none();
        match more.first() {
            None if left_out => self.expr(*arg),
            Some(_) if left_out => self.bag(id),
            modifier => self.cast(*arg, tree.number(id, "funcresulttype")?, modifier.copied()),
        }
    }

    /// `CAST(arg AS type(modifier))`
    fn cast(&mut self, arg: Id, oid: u32, given: Option<Id>) -> Option<()> {
        let tree = self.tree;
        let name = self.type_name(oid);
        self.put("CAST(")?;
        let within = self.bare(arg)?;
        match kind(tree.label(within)?)? {
            Kind::Const => self.constant(within, true)?,
            _ => self.expr(arg)?,
        }
        self.put(" AS ")?;
        self.put(name.as_deref().unwrap_or(NO_TYPE))?;
        if let Some(given) = given {
            let constant = tree.number(given, "consttype") == Some(INT4);
            let bytes = tree.constant(given, "constvalue").filter(|_| constant);
            self.put(&format!("({})", modifier(oid, bytes.and_then(whole)?)))?;
        }
        self.put(")")
    }

    /// A value that is taken for one of another type, by itself or element by element.
    pub(super) fn taken_for(&mut self, id: Id, form: &str, may_refuse: bool) -> Option<()> {
        let tree = self.tree;
        let arg = tree.some(id, "arg")?;
        if !may_refuse && tree.number::<u8>(id, form)? == UNASKED {
            return self.expr(arg);
        }
        self.cast(arg, tree.number(id, "resulttype")?, None)
    }

    /// Within casts that nobody asked for.
    pub(super) fn bare(&self, mut id: Id) -> Option<Id> {
        let tree = self.tree;
        loop {
            let inner = match kind(tree.label(id)?)? {
                Kind::Relabel if tree.number::<u8>(id, "relabelformat")? == UNASKED => tree.some(id, "arg")?,
                Kind::Function if tree.number::<u8>(id, "funcformat")? == UNASKED => match tree.elements(id, "args")? {
                    [only] if tree.number::<u32>(id, "funcid")? < PG_FIRST_USER_OID => *only,
                    _ => return Some(id),
                },
                _ => return Some(id),
            };
            id = inner;
        }
    }

    pub(super) fn aggregate(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        self.function_name(tree.number(id, "aggfnoid")?)?;
        let args = tree.elements(id, "args")?;
        let direct = tree.elements(id, "aggdirectargs")?;
        let order = tree.elements(id, "aggorder")?;
        self.put("(")?;
        if tree.is_true(id, "aggstar") {
            self.put("*")?;
        } else if tree.word(id, "aggkind")? == "n" {
            if tree.some(id, "aggdistinct").is_some() {
                self.put("DISTINCT ")?;
            }
            let given = self.kept(args);
            self.arguments(&given, tree.is_true(id, "aggvariadic"))?;
            for (at, clause) in order.iter().enumerate() {
                self.put(if at == 0 { " ORDER BY " } else { ", " })?;
                let target = self.referred(args, *clause)?;
                self.expr(tree.some(target, "expr")?)?;
                self.sorted_by(*clause)?;
            }
        } else {
            self.listed(direct)?;
            self.put(") WITHIN GROUP (ORDER BY ")?;
            self.listed(args)?;
        }
        self.put(")")?;
        self.filter(id)
    }

    fn filter(&mut self, id: Id) -> Option<()> {
        let Some(filter) = self.tree.some(id, "aggfilter") else { return Some(()) };
        self.put(" FILTER (WHERE ")?;
        self.expr(filter)?;
        self.put(")")
    }

    pub(super) fn window_function(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        self.function_name(tree.number(id, "winfnoid")?)?;
        if tree.is_true(id, "winstar") {
            self.put("(*)")?;
        } else {
            self.of_all("", tree.elements(id, "args")?)?;
        }
        self.filter(id)?;
        let wanted: u32 = tree.number(id, "winref")?;
        let windows = tree.elements(self.current()?.id, "windowClause")?;
        let window = windows.iter().copied().find(|w| tree.number(*w, "winref") == Some(wanted))?;
        self.put(" OVER ")?;
        match tree.some(window, "name") {
            Some(_) => self.put(&format!("w{wanted}")),
            None => self.window(window),
        }
    }

    /// A window's definition. How its frame counts says nothing; where it ends may.
    pub(super) fn window(&mut self, window: Id) -> Option<()> {
        let tree = self.tree;
        let targets = self.current()?.targets;
        self.put("(")?;
        for (word, field) in [("PARTITION BY ", "partitionClause"), (" ORDER BY ", "orderClause")] {
            let clauses = tree.elements(window, field)?.to_vec();
            for (at, clause) in clauses.iter().enumerate() {
                self.put(if at == 0 { word } else { ", " })?;
                let target = self.referred(targets, *clause)?;
                self.expr(tree.some(target, "expr")?)?;
                if field == "orderClause" {
                    self.sorted_by(*clause)?;
                }
            }
        }
        let ends = [tree.some(window, "startOffset"), tree.some(window, "endOffset")];
        if ends.iter().any(Option::is_some) {
            let words = [("UNBOUNDED PRECEDING", " PRECEDING"), ("CURRENT ROW", " FOLLOWING")];
            for (at, (end, (none, some))) in ends.into_iter().zip(words).enumerate() {
                self.put(if at == 0 { " ROWS BETWEEN " } else { " AND " })?;
                match end {
                    Some(end) => {
                        self.expr(end)?;
                        self.put(some)?;
                    }
                    None => self.put(none)?,
                }
            }
        }
        self.put(")")
    }
}
