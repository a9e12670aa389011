//! Expressions of the server's trees as SQL. A cast that may refuse a value stays one, as its failure tells the value.

use super::Deparser;
use crate::catalog::Relation;
use crate::catalog::nodes::Id;

/// Objects with a lower id were made by the server's bootstrap (`FirstNormalObjectId`).
const FIRST_NORMAL_OID: u32 = 16_384;
/// Types that any value can be turned into: text, varchar, bpchar, name, "char".
const TEXTS: [u32; 5] = [25, 1043, 1042, 19, 18];
/// Stands for a type whose input may refuse a value.
const FALLIBLE: &str = " AS pg_catalog.cid)";

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
        match tree.label(id)? {
            "VAR" => self.var(id),
            "CONST" => self.constant(id),
            "PARAM" => match tree.number::<u8>(id, "paramkind")? {
                0 => self.put(&format!("${}", tree.number::<u16>(id, "paramid")?)),
                _ => self.put("NULL"),
            },
            "TARGETENTRY" => self.expr(tree.some(id, "expr")?),
            "NAMEDARGEXPR" | "COLLATE" | "COLLATEEXPR" => self.expr(tree.some(id, "arg")?),
            "CASETESTEXPR" | "COERCETODOMAINVALUE" | "SETTODEFAULT" | "SQLVALUEFUNCTION" | "GROUPINGFUNC" => {
                self.put("NULL")
            }
            "AGGREF" => self.aggregate(id),
            "WINDOWFUNC" => self.window_function(id),
            "FUNCEXPR" => self.function(id),
            "OPEXPR" | "DISTINCTEXPR" | "NULLIFEXPR" => match args("args")? {
                [one] => {
                    self.put("(")?;
                    self.operator(tree.number(id, "opno")?)?;
                    self.expr(*one)?;
                    self.put(")")
                }
                [left, right] => {
                    self.put("(")?;
                    self.expr(*left)?;
                    self.operator(tree.number(id, "opno")?)?;
                    self.expr(*right)?;
                    self.put(")")
                }
                _ => None,
            },
            "SCALARARRAYOPEXPR" => {
                let [left, right] = args("args")? else { return None };
                self.put("(")?;
                self.expr(*left)?;
                self.operator(tree.number(id, "opno")?)?;
                self.put("ANY (ARRAY[")?;
                self.expr(*right)?;
                self.put("]))")
            }
            "BOOLEXPR" => {
                let args = args("args")?;
                match tree.word(id, "boolop")? {
                    "and" => self.joined(args, " AND "),
                    "or" => self.joined(args, " OR "),
                    "not" => self.of_all("(NOT ", args).and_then(|()| self.put(")")),
                    _ => None,
                }
            }
            "SUBLINK" => self.sublink(id),
            "FIELDSELECT" => self.field_of(id),
            "RELABELTYPE" => match tree.number::<u8>(id, "relabelformat")? {
                2 => self.expr(tree.some(id, "arg")?),
                _ => self.bag(id),
            },
            "COERCEVIAIO" => self.cast(id, TEXTS.contains(&tree.number(id, "resulttype")?)),
            "ARRAYCOERCEEXPR" | "COERCETODOMAIN" | "JSONEXPR" => self.cast(id, false),
            "CASE" | "CASEEXPR" => self.case(id),
            "ARRAY" | "ARRAYEXPR" => {
                self.put("ARRAY[")?;
                self.listed(args("elements")?)?;
                self.put("]")
            }
            "COALESCE" | "COALESCEEXPR" => self.of_all("COALESCE", args("args")?),
            "MINMAX" | "MINMAXEXPR" => self.of_all("GREATEST", args("args")?),
            "NULLTEST" | "BOOLEANTEST" => {
                self.put("(")?;
                self.expr(tree.some(id, "arg")?)?;
                self.put(" IS NULL)")
            }
            "XMLEXPR" => {
                // XMLSERIALIZE alone refuses nothing.
                let total = tree.number::<u8>(id, "op")? == 6;
                self.cast(id, total)
            }
            "ROWCOMPARE" | "ROWCOMPAREEXPR" => {
                let own = tree.numbers::<u32>(id, "opnos")?.into_iter().all(|o| o < FIRST_NORMAL_OID);
                if own { self.bag(id) } else { None }
            }
            "ROW"
            | "ROWEXPR"
            | "SUBSCRIPTINGREF"
            | "CONVERTROWTYPEEXPR"
            | "FIELDSTORE"
            | "JSONVALUEEXPR"
            | "JSONCONSTRUCTOREXPR"
            | "JSONISPREDICATE"
            | "JSONBEHAVIOR" => self.bag(id),
            _ => None,
        }
    }

    /// A ROW of everything within a node.
    pub(super) fn bag(&mut self, id: Id) -> Option<()> {
        self.put("ROW(")?;
        let mut first = true;
        self.within(id, &mut first)?;
        self.put(")")
    }

    fn within(&mut self, id: Id, first: &mut bool) -> Option<()> {
        let tree = self.tree;
        for value in tree.values(id) {
            self.inner(value, first)?;
        }
        Some(())
    }

    fn inner(&mut self, id: Id, first: &mut bool) -> Option<()> {
        let tree = self.tree;
        match tree.label(id) {
            // Types and the shape of JSON_TABLE, with whatever expressions are in them.
            Some("JSONFORMAT" | "JSONRETURNING") => Some(()),
            Some("JSONTABLEPATH" | "JSONTABLEPATHSCAN" | "JSONTABLESIBLINGJOIN") => self.within(id, first),
            Some(_) => {
                if !std::mem::take(first) {
                    self.put(", ")?;
                }
                self.expr(id)
            }
            None => {
                for id in tree.list(id) {
                    self.inner(*id, first)?;
                }
                Some(())
            }
        }
    }

    /// A value of another type: of one that may refuse it, unless it is `total`.
    fn cast(&mut self, id: Id, total: bool) -> Option<()> {
        if total {
            return self.bag(id);
        }
        self.put("CAST(")?;
        self.bag(id)?;
        self.put(FALLIBLE)
    }

    fn var(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let column: i32 = tree.number(id, "varattno")?;
        if let Some(own) = self.own {
            return self.own_column(own, column);
        }
        let level = self.level.checked_sub(tree.number(id, "varlevelsup")?)?;
        let index: usize = tree.number(id, "varno")?;
        // A column that USING merged is written as one of both, and is both.
        let of_join: usize = tree.number(id, "varnosyn").unwrap_or(0);
        if of_join != index && of_join > 0 {
            let join = self.entry(level, of_join)?;
            let at: usize = tree.number(id, "varattnosyn")?;
            if tree.number::<u8>(join, "rtekind")? == 2
                && at >= 1
                && at <= tree.number(join, "joinmergedcols")?
                && let Some((left, right)) = self.sides(level, of_join)
            {
                let of = |field| tree.numbers::<i32>(join, field)?.get(at.checked_sub(1)?).copied();
                let (l, r) = (of("joinleftcols")?, of("joinrightcols")?);
                self.put("COALESCE(")?;
                self.column(level, left, l)?;
                self.put(", ")?;
                self.column(level, right, r)?;
                return self.put(")");
            }
        }
        self.column(level, index, column)
    }

    /// A column of an entry of the range table.
    fn column(&mut self, level: usize, index: usize, column: i32) -> Option<()> {
        let tree = self.tree;
        let entry = self.entry(level, index)?;
        let kind: u8 = tree.number(entry, "rtekind")?;
        let made_of = match kind {
            2 => Some("joinaliasvars"),
            9 => Some("groupexprs"),
            _ => None,
        };
        if let Some(field) = made_of {
            let exprs = tree.elements(entry, field)?;
            let before = std::mem::replace(&mut self.level, level);
            match usize::try_from(column).ok()? {
                0 => self.of_all("ROW", exprs)?,
                at => self.expr(*exprs.get(at.checked_sub(1)?)?)?,
            }
            self.level = before;
            return Some(());
        }
        match (kind, column) {
            (_, 0) => {
                self.put("ROW(")?;
                self.alias(level, index)?;
                self.put(".*)")
            }
            // A system column holds no data.
            (0, ..0) => self.put("NULL"),
            (0, _) => {
                let oid: u32 = tree.number(entry, "relid")?;
                let name = match self.catalog.relation_by_oid(oid) {
                    Some(relation) => column_name(relation, column)?.to_owned(),
                    None => {
                        let names = tree.names(tree.some(entry, "eref")?, "colnames")?;
                        names.get(usize::try_from(column).ok()?.checked_sub(1)?)?.clone().into_owned()
                    }
                };
                self.alias(level, index)?;
                self.put(".")?;
                self.quoted(&name)
            }
            (_, ..0) => None,
            _ => {
                self.alias(level, index)?;
                self.put(&format!(".c{column}"))
            }
        }
    }

    fn own_column(&mut self, own: &Relation, column: i32) -> Option<()> {
        match column {
            0 => {
                self.put("ROW(")?;
                for (at, column) in own.facts.columns.iter().enumerate() {
                    if at > 0 {
                        self.put(", ")?;
                    }
                    self.quoted(&column.name)?;
                }
                self.put(")")
            }
            ..0 => self.put("NULL"),
            _ => self.quoted(column_name(own, column)?),
        }
    }

    /// The sides of a join, if both are entries of the range table themselves.
    fn sides(&self, level: usize, join: usize) -> Option<(usize, usize)> {
        let tree = self.tree;
        let jointree = tree.some(self.queries.get(level)?.id, "jointree")?;
        let mut open: Vec<Id> = tree.elements(jointree, "fromlist")?.to_vec();
        while let Some(id) = open.pop() {
            if tree.label(id)? != "JOINEXPR" {
                continue;
            }
            let (left, right) = (tree.some(id, "larg")?, tree.some(id, "rarg")?);
            if tree.number(id, "rtindex") == Some(join) {
                return Some((tree.number(left, "rtindex")?, tree.number(right, "rtindex")?));
            }
            open.extend([left, right]);
        }
        None
    }

    fn constant(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        if tree.is_true(id, "constisnull") {
            return self.put("NULL");
        }
        let text = match tree.number::<u32>(id, "consttype")? {
            25 | 1043 | 1042 => tree.constant(id, "constvalue").and_then(long_text),
            19 | 705 => tree.constant(id, "constvalue").and_then(|b| b.split(|b| *b == 0).next()),
            _ => return self.put("0"),
        };
        match text.and_then(|t| std::str::from_utf8(t).ok()) {
            Some(text) => {
                self.put("'")?;
                self.put(&text.replace('\'', "''"))?;
                self.put("'")
            }
            None => self.put("NULL"),
        }
    }

    fn operator(&mut self, oid: u32) -> Option<()> {
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

    pub(super) fn call(&mut self, id: Id, field: &str) -> Option<()> {
        self.function_name(self.tree.number(id, field)?)?;
        self.of_all("", self.tree.elements(id, "args")?)
    }

    /// A call, or what was written as a cast and is one.
    fn function(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let oid: u32 = tree.number(id, "funcid")?;
        let of_server = oid < FIRST_NORMAL_OID;
        match tree.number::<u8>(id, "funcformat")? {
            1 if of_server => self.cast(id, TEXTS.contains(&tree.number(id, "funcresulttype")?)),
            2 if of_server => self.bag(id),
            _ => self.call(id, "funcid"),
        }
    }

    fn aggregate(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        self.function_name(tree.number(id, "aggfnoid")?)?;
        let args = tree.elements(id, "args")?;
        let direct = tree.elements(id, "aggdirectargs")?;
        let sorted = tree.some(id, "aggorder").is_some();
        self.put("(")?;
        if tree.is_true(id, "aggstar") {
            self.put("*")?;
        } else if tree.word(id, "aggkind")? == "n" {
            if tree.some(id, "aggdistinct").is_some() {
                self.put("DISTINCT ")?;
            }
            let given = self.kept(args);
            self.listed(&given)?;
            if sorted && !given.is_empty() {
                self.put(" ORDER BY ")?;
                self.listed(args)?;
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

    fn window_function(&mut self, id: Id) -> Option<()> {
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
            }
            if field == "orderClause" {
                // The ends of the frame are as much of a use as the order.
                let mut any = !clauses.is_empty();
                for end in ["startOffset", "endOffset"] {
                    if let Some(end) = tree.some(window, end) {
                        self.put(if std::mem::replace(&mut any, true) { ", " } else { word })?;
                        self.expr(end)?;
                    }
                }
            }
        }
        self.put(")")
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

    /// A field of a row: by name where the row is a table's own, else the whole row.
    fn field_of(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let row = tree.some(id, "arg")?;
        if tree.label(row)? == "VAR" && tree.number::<i32>(row, "varattno")? == 0 && self.own.is_none() {
            let level = self.level.checked_sub(tree.number(row, "varlevelsup")?)?;
            let index: usize = tree.number(row, "varno")?;
            if tree.number::<u8>(self.entry(level, index)?, "rtekind")? == 0 {
                return self.column(level, index, tree.number(id, "fieldnum")?);
            }
        }
        self.bag(id)
    }

    fn case(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        self.put("CASE ")?;
        if let Some(arg) = tree.some(id, "arg") {
            self.expr(arg)?;
        }
        for when in tree.elements(id, "args")? {
            self.put(" WHEN ")?;
            self.expr(tree.some(*when, "expr")?)?;
            self.put(" THEN ")?;
            self.expr(tree.some(*when, "result")?)?;
        }
        if let Some(otherwise) = tree.some(id, "defresult") {
            self.put(" ELSE ")?;
            self.expr(otherwise)?;
        }
        self.put(" END")
    }
}

fn column_name(relation: &Relation, column: i32) -> Option<&str> {
    relation.facts.columns.iter().find(|c| i32::from(c.number) == column).map(|c| c.name.as_str())
}

/// The text of a value behind its length of four bytes. Constants are stored as they are in memory, and no server of a
/// kind that keeps them otherwise is in use: another order of bytes gives a length that does not fit.
fn long_text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, text) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length) >> 2).ok()?;
    (length == bytes.len()).then_some(text)
}
