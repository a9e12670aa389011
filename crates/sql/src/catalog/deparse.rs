//! From the server's trees (`nodes.rs`) to SQL that reads the same columns in the same places, for the analysis that
//! everything else goes through.
//!
//! It is not the SQL that somebody wrote, but is judged as that is, and never as safer: names are the catalog's of now, found
//! by object id; casts that nobody asked for are left out again; constants have their types. `kinds.rs` says of every kind of
//! node whether it is written as it is, as a value of no known shape that may refuse whatever goes into it, or not at all.
//! What is not understood makes the whole text unknown. Trees of PostgreSQL 14 to 18 differ in labels, which are all listed.

mod call;
mod column;
mod constant;
mod expr;
mod json;
mod kinds;
mod numbers;

use lockgate_core::limits;

use super::nodes::{Id, Tree};
use super::{Catalog, Relation};

/// The type `record`, whose columns OUT parameters list.
const RECORD: u32 = 2249;
/// The handler of TABLESAMPLE BERNOULLI.
const BERNOULLI: u32 = 3313;

/// A view's query, or the statements of a function's body.
pub(super) fn statements(catalog: &Catalog, text: &str) -> Option<String> {
    let tree = Tree::read(text)?;
    let mut deparser = Deparser::new(catalog, &tree, None);
    deparser.bodies(tree.root())?;
    deparser.finish()
}

/// An expression over one relation's columns.
pub(super) fn expression(catalog: &Catalog, relation: &Relation, text: &str) -> Option<String> {
    let tree = Tree::read(text)?;
    let mut deparser = Deparser::new(catalog, &tree, Some(relation));
    deparser.expr(tree.root())?;
    deparser.finish()
}

/// A query that is being written.
struct Query<'t> {
    id: Id,
    /// Names of its range table are made of this.
    number: usize,
    rtable: &'t [Id],
    targets: &'t [Id],
    /// Names of WITH, and what they are written as.
    ctes: Vec<(String, String)>,
}

struct Deparser<'t> {
    catalog: &'t Catalog,
    tree: &'t Tree<'t>,
    /// The relation whose columns stand alone.
    own: Option<&'t Relation>,
    queries: Vec<Query<'t>>,
    /// The query whose expressions are being written, by its place in `queries`.
    level: usize,
    numbers: usize,
    /// What `CASE value WHEN …` tests, of those that are being written.
    tested: Vec<Id>,
    out: String,
}

impl<'t> Deparser<'t> {
    fn new(catalog: &'t Catalog, tree: &'t Tree<'t>, own: Option<&'t Relation>) -> Self {
        Deparser {
            catalog,
            tree,
            own,
            queries: Vec::new(),
            level: 0,
            numbers: 0,
            tested: Vec::new(),
            out: String::new(),
        }
    }

    fn finish(self) -> Option<String> {
        (self.out.len() <= limits::SQL_STATEMENT_BYTES_MAX).then_some(self.out)
    }

    fn put(&mut self, text: &str) -> Option<()> {
        // What refers to a join's columns is written out each time: a small tree must not become a huge text.
        if self.out.len() > limits::SQL_STATEMENT_BYTES_MAX {
            return None;
        }
        self.out.push_str(text);
        Some(())
    }

    fn quoted(&mut self, name: &str) -> Option<()> {
        self.put("\"")?;
        self.put(&name.replace('"', "\"\""))?;
        self.put("\"")
    }

    fn qualified(&mut self, schema: &str, name: &str) -> Option<()> {
        self.quoted(schema)?;
        self.put(".")?;
        self.quoted(name)
    }

    // ---- queries ----

    /// A query, or lists of them.
    fn bodies(&mut self, id: Id) -> Option<()> {
        if self.tree.label(id).is_some() {
            self.query(id, true)?;
            return self.put(";\n");
        }
        for id in self.tree.list(id) {
            self.bodies(*id)?;
        }
        Some(())
    }

    fn query(&mut self, id: Id, outermost: bool) -> Option<()> {
        let tree = self.tree;
        let reads = tree.label(id)? == "QUERY" && tree.number::<u8>(id, "commandType")? == 1;
        if !reads || tree.some(id, "utilityStmt").is_some() {
            return None;
        }
        self.numbers = self.numbers.saturating_add(1);
        let before = self.level;
        self.queries.push(Query {
            id,
            number: self.numbers,
            rtable: tree.elements(id, "rtable")?,
            targets: tree.elements(id, "targetList")?,
            ctes: Vec::new(),
        });
        self.level = self.queries.len().checked_sub(1)?;
        if !outermost {
            self.put("(")?;
        }
        self.with(id)?;
        match tree.some(id, "setOperations") {
            Some(operations) => self.set_operation(operations)?,
            None => self.select(id)?,
        }
        self.sorted(id)?;
        for (word, field) in [(" LIMIT ", "limitCount"), (" OFFSET ", "limitOffset")] {
            // LIMIT ALL is a NULL.
            if let Some(count) = tree.some(id, field).filter(|count| !tree.is_true(*count, "constisnull")) {
                self.put(word)?;
                self.expr(count)?;
            }
        }
        if tree.some(id, "rowMarks").is_some() {
            self.put(" FOR UPDATE")?;
        }
        if !outermost {
            self.put(")")?;
        }
        self.queries.pop();
        self.level = before;
        Some(())
    }

    fn current(&self) -> Option<&Query<'t>> {
        self.queries.get(self.level)
    }

    fn with(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let ctes = tree.elements(id, "cteList")?;
        let number = self.current()?.number;
        for (at, cte) in ctes.iter().enumerate() {
            let name = tree.name(*cte, "ctename")?.into_owned();
            let level = self.level;
            self.queries.get_mut(level)?.ctes.push((name, format!("k{number}_{at}")));
        }
        for (at, cte) in ctes.iter().enumerate() {
            self.put(match at {
                0 if tree.is_true(id, "hasRecursive") => "WITH RECURSIVE ",
                0 => "WITH ",
                _ => ", ",
            })?;
            self.put(&format!("k{number}_{at} AS "))?;
            self.put(match tree.number::<u8>(*cte, "ctematerialized")? {
                0 => "",
                1 => "MATERIALIZED ",
                2 => "NOT MATERIALIZED ",
                _ => return None,
            })?;
            self.query(tree.some(*cte, "ctequery")?, false)?;
            self.search_and_cycle(*cte)?;
        }
        if ctes.is_empty() { Some(()) } else { self.put(" ") }
    }

    /// SEARCH and CYCLE: the columns that they add come behind the query's own.
    fn search_and_cycle(&mut self, cte: Id) -> Option<()> {
        let tree = self.tree;
        let (search, cycle) = (tree.some(cte, "search_clause"), tree.some(cte, "cycle_clause"));
        if search.is_none() && cycle.is_none() {
            return Some(());
        }
        let names = tree.names(cte, "ctecolnames")?;
        let mut added = names.len();
        let places = |clause: Id, field: &str| -> Option<String> {
            let mut places = Vec::new();
            for name in tree.names(clause, field)? {
                places.push(format!("c{}", names.iter().position(|n| *n == name)?.saturating_add(1)));
            }
            Some(places.join(", "))
        };
        let mut next = || {
            added = added.saturating_add(1);
            added
        };
        if let Some(clause) = search {
            let columns = places(clause, "search_col_list")?;
            self.put(&format!(" SEARCH DEPTH FIRST BY {columns} SET c{}", next()))?;
        }
        if let Some(clause) = cycle {
            let columns = places(clause, "cycle_col_list")?;
            let (mark, path) = (next(), next());
            self.put(&format!(" CYCLE {columns} SET c{mark} USING c{path}"))?;
        }
        Some(())
    }

    fn set_operation(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        if tree.label(id)? == "RANGETBLREF" {
            let entry = self.entry(self.level, tree.number(id, "rtindex")?)?;
            return self.query(tree.some(entry, "subquery")?, false);
        }
        if tree.label(id)? != "SETOPERATIONSTMT" {
            return None;
        }
        let word = match tree.number::<u8>(id, "op")? {
            1 => " UNION ",
            2 => " INTERSECT ",
            3 => " EXCEPT ",
            _ => return None,
        };
        self.put("(")?;
        self.set_operation(tree.some(id, "larg")?)?;
        self.put(word)?;
        if tree.is_true(id, "all") {
            self.put("ALL ")?;
        }
        self.set_operation(tree.some(id, "rarg")?)?;
        self.put(")")
    }

    fn select(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        self.put("SELECT ")?;
        let distinct = tree.elements(id, "distinctClause")?;
        if !distinct.is_empty() {
            self.put("DISTINCT ")?;
            if tree.is_true(id, "hasDistinctOn") {
                self.put("ON (")?;
                self.clauses(distinct)?;
                self.put(") ")?;
            }
        }
        let targets = self.current()?.targets;
        for (at, target) in self.kept(targets).into_iter().enumerate() {
            if at > 0 {
                self.put(", ")?;
            }
            self.expr(tree.some(target, "expr")?)?;
            self.put(&format!(" AS c{}", at.saturating_add(1)))?;
        }
        let jointree = tree.some(id, "jointree")?;
        for (at, item) in tree.elements(jointree, "fromlist")?.iter().enumerate() {
            self.put(if at == 0 { " FROM " } else { ", " })?;
            self.item_in_from(*item)?;
        }
        if let Some(quals) = tree.some(jointree, "quals") {
            self.put(" WHERE ")?;
            self.condition(quals)?;
        }
        let group = tree.elements(id, "groupClause")?;
        if !group.is_empty() {
            self.put(" GROUP BY ")?;
            self.clauses(group)?;
        }
        if let Some(having) = tree.some(id, "havingQual") {
            self.put(" HAVING ")?;
            self.condition(having)?;
        }
        let mut word = " WINDOW ";
        for window in tree.elements(id, "windowClause")? {
            if tree.some(*window, "name").is_some() {
                self.put(word)?;
                self.put(&format!("w{} AS ", tree.number::<u32>(*window, "winref")?))?;
                self.window(*window)?;
                word = ", ";
            }
        }
        Some(())
    }

    /// A list of terms, or one expression.
    fn condition(&mut self, id: Id) -> Option<()> {
        if self.tree.label(id).is_some() {
            return self.expr(id);
        }
        self.joined(self.tree.list(id), " AND ")
    }

    /// The targets that are output.
    fn kept(&self, targets: &[Id]) -> Vec<Id> {
        targets.iter().copied().filter(|t| !self.tree.is_true(*t, "resjunk")).collect()
    }

    fn sorted(&mut self, id: Id) -> Option<()> {
        let sort = self.tree.elements(id, "sortClause")?;
        if sort.is_empty() {
            return Some(());
        }
        self.put(" ORDER BY ")?;
        self.clauses_of(sort, true)
    }

    /// Items of GROUP BY, DISTINCT ON: the number of an output, or the expression.
    fn clauses(&mut self, clauses: &[Id]) -> Option<()> {
        self.clauses_of(clauses, false)
    }

    fn clauses_of(&mut self, clauses: &[Id], sorts: bool) -> Option<()> {
        let tree = self.tree;
        for (at, clause) in clauses.iter().enumerate() {
            if at > 0 {
                self.put(", ")?;
            }
            let target = self.referred(self.current()?.targets, *clause)?;
            let outputs = self.kept(self.current()?.targets);
            match outputs.iter().position(|t| *t == target) {
                Some(at) => self.put(&at.saturating_add(1).to_string())?,
                None => {
                    let expr = tree.some(target, "expr")?;
                    // A number that stands there alone would be the place of an output.
                    match tree.label(expr)? {
                        "CONST" => self.put("true")?,
                        _ => self.expr(expr)?,
                    }
                }
            }
            if sorts {
                self.sorted_by(*clause)?;
            }
        }
        Some(())
    }

    /// An order that is a user's own.
    fn sorted_by(&mut self, clause: Id) -> Option<()> {
        let operator: u32 = self.tree.number(clause, "sortop")?;
        if operator < limits::PG_FIRST_USER_OID {
            return Some(());
        }
        self.put(" USING")?;
        self.operator(operator)
    }

    /// The target that a SORTGROUPCLAUSE is about.
    fn referred(&self, targets: &[Id], clause: Id) -> Option<Id> {
        let wanted: u32 = self.tree.number(clause, "tleSortGroupRef")?;
        targets.iter().copied().find(|t| self.tree.number(*t, "ressortgroupref") == Some(wanted))
    }

    // ---- FROM ----

    /// An entry of a query's range table; they count from one.
    fn entry(&self, level: usize, index: usize) -> Option<Id> {
        self.queries.get(level)?.rtable.get(index.checked_sub(1)?).copied()
    }

    fn item_in_from(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        match tree.label(id)? {
            "RANGETBLREF" => self.range(tree.number(id, "rtindex")?),
            "JOINEXPR" => {
                self.put("(")?;
                self.item_in_from(tree.some(id, "larg")?)?;
                let quals = tree.some(id, "quals");
                self.put(if quals.is_some() { " FULL JOIN " } else { " CROSS JOIN " })?;
                self.item_in_from(tree.some(id, "rarg")?)?;
                if let Some(quals) = quals {
                    self.put(" ON ")?;
                    self.condition(quals)?;
                }
                self.put(")")
            }
            _ => None,
        }
    }

    fn alias(&mut self, level: usize, index: usize) -> Option<()> {
        let number = self.queries.get(level)?.number;
        self.put(&format!("q{number}r{index}"))
    }

    /// ` AS alias(c1, c2, …)`
    fn alias_of(&mut self, index: usize, columns: usize) -> Option<()> {
        self.put(" AS ")?;
        self.alias(self.level, index)?;
        for at in 1..=columns {
            self.put(if at == 1 { "(" } else { ", " })?;
            self.put(&format!("c{at}"))?;
        }
        if columns > 0 { self.put(")") } else { Some(()) }
    }

    fn range(&mut self, index: usize) -> Option<()> {
        let tree = self.tree;
        let entry = self.entry(self.level, index)?;
        let columns = tree.elements(tree.some(entry, "eref")?, "colnames")?.len();
        match tree.number::<u8>(entry, "rtekind")? {
            0 => {
                let oid: u32 = tree.number(entry, "relid")?;
                match self.catalog.relation_by_oid(oid) {
                    Some(relation) => self.qualified(&relation.facts.schema, &relation.facts.name)?,
                    None => {
                        let (schema, name) = self.catalog.server.relations.get(&oid)?;
                        self.qualified(schema, name)?;
                    }
                }
                self.alias_of(index, 0)?;
                if let Some(sample) = tree.some(entry, "tablesample") {
                    let method =
                        if tree.number::<u32>(sample, "tsmhandler")? == BERNOULLI { "bernoulli" } else { "system" };
                    self.put(&format!(" TABLESAMPLE {method} ("))?;
                    self.listed(tree.elements(sample, "args")?)?;
                    self.put(")")?;
                    if let Some(seed) = tree.some(sample, "repeatable") {
                        self.put(" REPEATABLE (")?;
                        self.expr(seed)?;
                        self.put(")")?;
                    }
                }
                Some(())
            }
            1 => {
                self.put("LATERAL ")?;
                self.query(tree.some(entry, "subquery")?, false)?;
                self.alias_of(index, 0)
            }
            3 => self.function_in_from(entry, index, columns),
            4 => {
                // XMLTABLE and JSON_TABLE: what goes in decides about everything that comes out.
                let table = tree.some(entry, "tablefunc")?;
                self.put("LATERAL XMLTABLE('/' PASSING ")?;
                self.row_of(table)?;
                self.put(" COLUMNS ")?;
                for at in 1..=columns {
                    self.put(&format!("{}c{at} text", if at == 1 { "" } else { ", " }))?;
                }
                self.put(")")?;
                self.alias_of(index, columns)
            }
            5 => {
                self.put("LATERAL (VALUES ")?;
                for (at, row) in tree.elements(entry, "values_lists")?.iter().enumerate() {
                    self.put(if at == 0 { "(" } else { ", (" })?;
                    self.listed(tree.list(*row))?;
                    self.put(")")?;
                }
                self.put(")")?;
                self.alias_of(index, columns)
            }
            6 => {
                let up: usize = tree.number(entry, "ctelevelsup")?;
                let name = tree.name(entry, "ctename")?;
                let query = self.queries.get(self.level.checked_sub(up)?)?;
                let written = query.ctes.iter().find(|(n, _)| *n == name)?.1.clone();
                self.put(&written)?;
                self.alias_of(index, 0)
            }
            // An empty FROM.
            8 => {
                self.put("(SELECT)")?;
                self.alias_of(index, 0)
            }
            _ => None,
        }
    }

    /// Functions in FROM. The columns of one that returns a row type are told apart only where nobody can have altered that
    /// type since.
    fn function_in_from(&mut self, entry: Id, index: usize, columns: usize) -> Option<()> {
        let tree = self.tree;
        let functions = tree.elements(entry, "functions")?;
        let ordinality = tree.is_true(entry, "funcordinality");
        if let [function] = functions
            && tree.some(*function, "funccolnames").is_none()
            && self.has_fixed_columns(*function)?
        {
            self.put("LATERAL ")?;
            self.in_from(tree.some(*function, "funcexpr")?)?;
            if ordinality {
                self.put(" WITH ORDINALITY")?;
            }
            return self.alias_of(index, columns);
        }
        // Any column may hold whatever its function is given, and is of no known type.
        self.put("LATERAL ROWS FROM (")?;
        for (at, function) in functions.iter().enumerate() {
            if at > 0 {
                self.put(", ")?;
            }
            self.in_from(tree.some(*function, "funcexpr")?)?;
            let given = tree.number::<usize>(*function, "funccolcount")?;
            for column in 1..=given {
                self.put(if column == 1 { " AS (" } else { ", " })?;
                self.put(&format!("d{column} pg_catalog.text"))?;
            }
            self.put(if given > 0 { ")" } else { "" })?;
        }
        self.put(if ordinality { ") WITH ORDINALITY" } else { ")" })?;
        self.alias_of(index, columns)
    }

    fn has_fixed_columns(&self, function_at: Id) -> Option<bool> {
        let tree = self.tree;
        let call = tree.some(function_at, "funcexpr")?;
        if tree.number::<usize>(function_at, "funccolcount")? == 1 {
            return Some(true);
        }
        if tree.label(call)? != "FUNCEXPR" {
            return Some(false);
        }
        let oid: u32 = tree.number(call, "funcid")?;
        Some(match self.catalog.function_by_oid(oid) {
            // OUT parameters stay what they are; a type that is returned may have been altered.
            Some(function) if function.facts.return_type == RECORD => function.facts.out_names.len() > 1,
            Some(function) => {
                let of_type = |r: &Relation| r.facts.row_type == function.facts.return_type;
                let Some((_, relation)) = self.catalog.relations().find(|(_, r)| of_type(r)) else {
                    return Some(false);
                };
                let numbers = relation.facts.columns.iter().map(|c| i32::from(c.number));
                let then: i32 = tree.number(function_at, "funccolcount")?;
                numbers.take_while(|n| *n <= then).eq(1..=then)
            }
            None => self.catalog.server.functions.contains_key(&oid),
        })
    }

    /// What stands in FROM has to be a call.
    fn in_from(&mut self, id: Id) -> Option<()> {
        if self.tree.label(id)? == "FUNCEXPR" {
            return self.call(id, "funcid");
        }
        self.put("COALESCE(")?;
        self.expr(id)?;
        self.put(")")
    }
}
