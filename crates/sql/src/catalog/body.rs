//! What is behind a name: the definition of a view, the expression of a generated column, the body of a function.
//!
//! Views and SQL functions are analysed like any statement. Of a PL/pgSQL body an upper bound is taken: every table,
//! column set and function whose name occurs in it. Code in other languages cannot be seen into.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;

use lockgate_core::{Action, limits};
use pg_query::protobuf::{ScanToken, Token};

use super::facts::{Code, ColumnFacts};
use super::{Catalog, Function, Lineage, Relation, Resolved, Summary, deparse};
use crate::analyze::{Analyzer, Context, Frame, Rows, Spread};
use crate::builtins::{self, Class, ExtensionFunction};
use crate::statement::{Later, Object, Outputs, Statement};
use crate::taint::Taint;
use crate::{How, parse};

impl Catalog {
    /// Where a relation's columns come from. `stack` is what is being analysed already.
    pub(crate) fn lineage(&self, index: usize, stack: &[Frame]) -> &Lineage {
        static NOTHING: Lineage = Lineage {
            columns: Vec::new(),
            plain: Vec::new(),
            sizes: Vec::new(),
            sure: Vec::new(),
            row: Taint::UNKNOWN,
            uses: Vec::new(),
            needs: Vec::new(),
            says: Taint::UNKNOWN,
            tables: Vec::new(),
            later: Later::Anything,
            keeps: false,
            spread: Spread { rows: Rows::TABLE, keys: Vec::new(), copies: 1 },
        };
        let Some(relation) = self.relation(index) else { return &NOTHING };
        if let Some(known) = relation.lineage.get() {
            return known;
        }
        let frame = Frame::Relation(index);
        if stack.contains(&frame) || stack.len() >= limits::SQL_VIEW_DEPTH_MAX {
            return &NOTHING;
        }
        let mut inner = stack.to_vec();
        inner.push(frame);
        let lineage = self.relation_lineage(relation, &inner);
        relation.lineage.get_or_init(|| lineage)
    }

    fn relation_lineage(&self, relation: &Relation, stack: &[Frame]) -> Lineage {
        let mut lineage = Lineage {
            columns: relation.base.clone(),
            plain: relation.derived.iter().map(|derived| !derived).collect(),
            sure: vec![true; relation.facts.columns.len()],
            sizes: vec![None; relation.facts.columns.len()],
            spread: self.spread_of(relation),
            ..Lineage::default()
        };
        if let Some(definition) = &relation.facts.definition {
            self.add_definition(definition, relation.facts.kind == 'm', stack, &mut lineage);
        }
        for (at, column) in relation.facts.columns.iter().enumerate() {
            if column.generated.is_some() {
                self.add_generated(relation, at, stack, &mut lineage);
            }
        }
        for taint in &lineage.columns {
            lineage.row.join(taint);
        }
        lineage
    }

    /// The rows of a table, and its keys. Those of a partitioned table are keys of all its partitions together. Any other shows
    /// the rows of its children too, which may have the same values once in each, where they have such keys.
    fn spread_of(&self, relation: &Relation) -> Spread {
        let named = |relation: &Relation, key: &[i16]| -> Option<Vec<String>> {
            let name =
                |number: &i16| relation.facts.columns.iter().find(|c| c.number == *number).map(|c| c.name.clone());
            let mut names = key.iter().map(name).collect::<Option<Vec<String>>>().filter(|names| !names.is_empty())?;
            names.sort_unstable();
            Some(names)
        };
        let own = relation.facts.keys.iter().filter_map(|key| named(relation, key));
        let others: &[usize] = if relation.facts.kind == 'p' { &[] } else { &relation.descendants };
        let has = |other: &usize, key: &Vec<String>| {
            let other = self.relation(*other);
            other.is_some_and(|other| other.facts.keys.iter().any(|k| named(other, k).as_ref() == Some(key)))
        };
        let everywhere = own.filter(|key| others.iter().all(|other| has(other, key)));
        let place = |name: &String| relation.facts.columns.iter().position(|column| column.name == *name);
        let keys = everywhere.filter_map(|key| key.iter().map(place).collect()).collect();
        let copies = u64::try_from(others.len()).unwrap_or(u64::MAX).saturating_add(1);
        Spread { rows: Rows::TABLE, keys, copies }
    }

    /// A definition or body as SQL.
    fn sql_of<'c>(&self, code: &'c Code) -> Option<Cow<'c, str>> {
        match code {
            Code::Sql(sql) => Some(Cow::Borrowed(sql)),
            Code::Tree(tree) => parse::with_stack(|| deparse::statements(self, tree)).flatten().map(Cow::Owned),
        }
    }

    /// What else is written where a view is: the relation that is the only one it is made of, and what that is made of in turn. A
    /// view of several is not written through. `None` where nobody can tell.
    pub(crate) fn written_through(&self, index: usize) -> Option<Vec<usize>> {
        let mut all = Vec::new();
        let mut at = index;
        while let Some(relation) = self.relation(at).filter(|relation| relation.facts.kind == 'v') {
            if all.len() >= limits::SQL_VIEW_DEPTH_MAX {
                return None;
            }
            let sql = self.sql_of(relation.facts.definition.as_ref()?)?;
            let Some((schema, name)) = parse::only_relation(&sql).ok()? else { break };
            let Resolved::User(beneath) = self.resolve(&schema, &name, &self.search_path, true) else { return None };
            all.push(beneath);
            at = beneath;
        }
        Some(all)
    }

    /// Whether a relation's definition may hold constants.
    pub(crate) fn quotes_constants(&self, index: usize) -> bool {
        match self.relation(index).and_then(|r| r.facts.definition.as_ref()) {
            Some(Code::Sql(sql)) => parse::has_constants(sql),
            Some(Code::Tree(tree)) => tree.contains("{CONST "),
            None => false,
        }
    }

    fn add_definition(&self, definition: &Code, materialized: bool, stack: &[Frame], lineage: &mut Lineage) {
        let sql = self.sql_of(definition);
        let statements = sql.and_then(|sql| self.statements(&sql, Path::when_made(&self.search_path), &[], stack));
        let Some(Read { statement, spread, says }) = statements.and_then(|mut s| s.pop()) else {
            self.nothing_known(lineage);
            // What decides about its rows is not known either.
            lineage.uses.push((How::Predicate, self.unknown()));
            return;
        };
        let Statement { uses, needs, facts, outputs, .. } = statement;
        lineage.says = says;
        lineage.uses = uses.into_iter().map(|u| (u.how, u.taint)).collect();
        lineage.needs = needs;
        lineage.needs.retain(|need| need.action != Action::Export && need.object != Object::Target);
        lineage.tables = facts.tables;
        if facts.opaque {
            self.nothing_known(lineage);
            return;
        }
        for (at, (taint, plain)) in lineage.columns.iter_mut().zip(&mut lineage.plain).enumerate() {
            taint.join(&outputs.taint(at));
            *plain = match &outputs {
                Outputs::Known(outputs) => outputs.get(at).is_some_and(|o| o.plain),
                Outputs::Each(_) | Outputs::NoRows => false,
            };
        }
        if let Outputs::Known(outputs) = &outputs {
            lineage.sizes = outputs.iter().map(|output| Some(output.size)).collect();
        }
        // The rows of a materialized view are there, whatever it took to compute them.
        lineage.sure = match &outputs {
            _ if materialized => lineage.sure.clone(),
            Outputs::Known(outputs) => outputs.iter().map(|output| output.sure).collect(),
            Outputs::Each(_) | Outputs::NoRows => Vec::new(),
        };
        if materialized {
            lineage.says = Taint::CLEAN;
        } else {
            lineage.spread = spread;
            lineage.later = facts.later;
            lineage.keeps = facts.keeps;
        }
    }

    /// A view that cannot be looked into whole gives out anything.
    fn nothing_known(&self, lineage: &mut Lineage) {
        lineage.says = self.unknown();
        for (taint, plain) in lineage.columns.iter_mut().zip(&mut lineage.plain) {
            taint.join(&self.unknown());
            *plain = false;
        }
        lineage.sure.clear();
        lineage.later = Later::Anything;
    }

    /// A generated column is made of columns of its own table. One that is stored is read like any other; one that is
    /// computed as it is read may fail then.
    fn add_generated(&self, relation: &Relation, at: usize, stack: &[Frame], lineage: &mut Lineage) {
        let Some(column) = relation.facts.columns.get(at) else { return };
        let made = self.generated_at(relation, at, stack);
        let known = made.as_ref().filter(|made| !made.facts.opaque);
        let output = known.and_then(|made| match &made.outputs {
            Outputs::Known(outputs) => outputs.first(),
            Outputs::Each(_) | Outputs::NoRows => None,
        });
        if let (Some(taint), Some(plain)) = (lineage.columns.get_mut(at), lineage.plain.get_mut(at)) {
            taint.join(&output.map_or_else(|| self.unknown(), |output| output.value.clone()));
            *plain = false;
        }
        if let (true, Some(sure), Some(size)) = (column.computed, lineage.sure.get_mut(at), lineage.sizes.get_mut(at)) {
            let tells_nothing = known.is_some_and(|made| made.uses.is_empty());
            *sure = tells_nothing && output.is_some_and(|output| output.sure);
            // Of any size is what nobody may read who may not see what it is made of.
            *size = Some(output.filter(|_| tells_nothing).map_or(u64::MAX, |output| output.size));
        }
    }

    /// What the generated column at this place is made of.
    pub(super) fn generated_at(&self, relation: &Relation, at: usize, stack: &[Frame]) -> Option<Statement> {
        let sql = match relation.facts.columns.get(at)?.generated.as_ref()? {
            Code::Sql(sql) => Cow::Borrowed(sql.as_str()),
            Code::Tree(tree) => {
                parse::with_stack(|| deparse::expression(self, relation, tree)).flatten().map(Cow::Owned)?
            }
        };
        self.generated(relation, &sql, stack)
    }

    /// An expression over the columns of its own table, as a query of that.
    fn generated(&self, relation: &Relation, expression: &str, stack: &[Frame]) -> Option<Statement> {
        let text = format!("SELECT ({expression}) AS made FROM own");
        parse::with_tree(&text, true, |tree| {
            let [raw] = tree.stmts.as_slice() else { return None };
            let path = Path::when_made(&self.search_path);
            let context = Context { catalog: self, search_path: path.schemas, path_known: path.known };
            let mut analyzer = Analyzer::new(&context, stack);
            analyzer.callers_path_known = path.callers;
            let columns = relation.facts.columns.iter().zip(&relation.base);
            let columns = columns.map(|(column, base)| (column.name.as_str(), base.clone(), column.type_oid)).collect();
            let statement = analyzer.statement_over(raw.stmt.as_deref()?, "own", columns);
            (!analyzer.exhausted()).then_some(statement)
        })
        .ok()
        .flatten()
    }

    /// Analyses a text of this catalog's own. `None` if it does not parse.
    fn statements(&self, text: &str, path: Path<'_>, arguments: &[String], stack: &[Frame]) -> Option<Vec<Read>> {
        parse::with_tree(text, true, |tree| {
            let mut out = Vec::new();
            for raw in &tree.stmts {
                let context = Context { catalog: self, search_path: path.schemas, path_known: path.known };
                let mut analyzer = Analyzer::new(&context, stack);
                analyzer.callers_path_known = path.callers;
                analyzer.arguments = arguments;
                let statement = analyzer.statement(raw.stmt.as_deref()?);
                let (spread, says) = (std::mem::take(&mut analyzer.spread), std::mem::take(&mut analyzer.says));
                out.push(Read { statement, spread, says });
                if analyzer.exhausted() {
                    return None;
                }
            }
            Some(out)
        })
        .ok()
        .flatten()
    }

    /// What a text in SQL can give to whoever runs it, under whatever path.
    pub(crate) fn text_gives(&self, text: &str, arguments: &[String], stack: &[Frame]) -> Taint {
        let Some(statements) = self.statements(text, Path::nobody_knows(&self.search_path), arguments, stack) else {
            return self.unknown();
        };
        let mut taint = Taint::CLEAN;
        for Read { statement, .. } in &statements {
            taint.join(&statement.gives());
        }
        taint
    }

    /// What calling a function amounts to, for a session with this search path.
    pub(crate) fn summary(&self, index: usize, stack: &[Frame], path: &[String], path_known: bool) -> Cow<'_, Summary> {
        let Some(function) = self.function(index) else { return Cow::Owned(Summary::opaque()) };
        // A body's names mean what the caller's path makes of them, unless the function brings its own.
        let fixed = function.facts.search_path.is_some() || function.facts.body.is_some();
        let kept = fixed || (path_known && path == self.search_path);
        // Of code that runs under whatever path too: functions that name each other would be gone through again for each way to them.
        let anywhere = !kept && !path_known && path.is_empty();
        if let Some(known) = function.summary.get().filter(|_| kept) {
            return Cow::Borrowed(known);
        }
        if let Some(known) = function.summary_anywhere.get().filter(|_| anywhere) {
            return Cow::Borrowed(known);
        }
        let frame = Frame::Function(index);
        if stack.contains(&frame) || stack.len() >= limits::SQL_VIEW_DEPTH_MAX {
            return Cow::Owned(Summary::opaque());
        }
        let mut inner = stack.to_vec();
        inner.push(frame);
        let body_path = match &function.facts.search_path {
            Some(own) => Path { schemas: own, known: true, callers: true },
            None if fixed => Path::when_made(&self.search_path),
            None => Path { schemas: path, known: path_known, callers: true },
        };
        let summary = self.function_summary(function, &inner, body_path);
        match (kept, anywhere) {
            (true, _) => Cow::Borrowed(function.summary.get_or_init(|| summary)),
            (false, true) => Cow::Borrowed(function.summary_anywhere.get_or_init(|| summary)),
            (false, false) => Cow::Owned(summary),
        }
    }

    fn function_summary(&self, function: &Function, stack: &[Frame], path: Path<'_>) -> Summary {
        let facts = &function.facts;
        if function.safe {
            return Summary::default();
        }
        if let Some(extension) = &facts.extension {
            return match builtins::extension_function(extension, &facts.name) {
                ExtensionFunction::Pure => Summary::default(),
                ExtensionFunction::Administers => Summary { administers: true, ..Summary::opaque() },
                ExtensionFunction::Dynamic | ExtensionFunction::Unknown => Summary::opaque(),
            };
        }
        let mut summary = match (facts.language.as_str(), facts.kind) {
            ("sql", 'f') => self.sql_summary(function, stack, path).unwrap_or_else(Summary::opaque),
            ("plpgsql", kind @ ('f' | 'p')) => {
                let stored =
                    self.code_stores(&facts.source, stack, (path.schemas, path.known), &AtomicUsize::default());
                // Text that is not shown is what `execute` is asked for; copies that are shown are judged as such.
                let lost = if stored.dynamic { Taint::CLEAN } else { stored.lost };
                let uses = if lost.is_clean() { Vec::new() } else { vec![(How::Source, lost)] };
                let value = if kind == 'f' { self.reach(&facts.source, stack) } else { Taint::UNKNOWN };
                let puts_through = stored.dynamic || facts.source.to_ascii_lowercase().contains("constraints");
                Summary { value, uses, puts_through, ..Summary::opaque() }
            }
            _ => Summary::opaque(),
        };
        // What stands in for arguments that are not given.
        for called in self.called_from(facts.oid) {
            let value = self.summary(called, stack, path.schemas, path.known && path.callers).value.clone();
            summary.value.join(&value);
            for (_, column) in summary.columns.iter_mut().flatten() {
                column.join(&value);
            }
            summary.later = Later::Anything;
        }
        summary
    }

    fn sql_summary(&self, function: &Function, stack: &[Frame], path: Path<'_>) -> Option<Summary> {
        let facts = &function.facts;
        let text = match &facts.body {
            Some(Code::Sql(body)) => unwrap_atomic(body),
            Some(tree @ Code::Tree(_)) => self.sql_of(tree)?,
            None => Cow::Borrowed(facts.source.as_str()),
        };
        let statements = self.statements(&text, path, &facts.in_names, stack)?;
        let mut statements: Vec<Statement> = statements.into_iter().map(|read| read.statement).collect();
        let mut summary = Summary { later: Later::Known, ..Summary::default() };
        for statement in &statements {
            summary.later = summary.later.max(statement.facts.later);
            summary.keeps |= statement.facts.keeps;
            summary.touches.join(&statement.touches);
            // What a transaction put off to its end may quote anything in an error.
            let puts_through = statement.verb == "set_constraints";
            summary.opaque |= statement.facts.opaque || statement.effect != crate::Effect::None || puts_through;
            summary.puts_through |= puts_through || statement.touches.is_unknown();
            summary.uses.extend(statement.uses.iter().map(|u| (u.how, u.taint.clone())));
            summary.tables.extend(statement.facts.tables.iter().cloned());
            summary.changes.extend(statement.facts.changes.iter().cloned());
            for need in &statement.needs {
                if need.action != Action::Export {
                    summary.needs.push(need.clone());
                }
            }
        }
        // The last statement gives the value.
        match statements.pop().map(|s| s.outputs) {
            Some(Outputs::Known(outputs)) => {
                for output in &outputs {
                    summary.value.join(&output.value);
                }
                summary.columns = Some(outputs.into_iter().map(|o| (o.name, o.value)).collect());
            }
            Some(Outputs::Each(taint)) => summary.value = taint,
            Some(Outputs::NoRows) | None => {}
        }
        // A function of boolean tests tells what it tests: whoever calls it learns it.
        for (how, taint) in &summary.uses {
            if *how != How::Source {
                summary.value.join(taint);
            }
        }
        Some(summary)
    }

    /// The most that PL/pgSQL code can read.
    pub(crate) fn reach(&self, source: &str, stack: &[Frame]) -> Taint {
        self.named_in(source, stack).map_or_else(|| self.unknown(), Bound::all)
    }

    /// What a trigger's function may move from the labelled columns of its own row to others: those that it names, or all
    /// where it hands OLD or NEW on whole.
    pub(crate) fn own_row_in(
        &self,
        function: usize,
        columns: &[ColumnFacts],
        row: &Taint,
        taint_of: impl Fn(&str) -> Option<Taint>,
    ) -> Taint {
        let Some(function) = self.function(function).filter(|f| !f.safe && f.facts.extension.is_none()) else {
            return Taint::CLEAN;
        };
        let source = function.facts.source.as_str();
        let Ok(tokens) = crate::parse::tokens(source) else { return row.clone() };
        let names: Vec<Option<Cow<'_, str>>> = tokens.iter().map(|token| name_of(token, source)).collect();
        let mut taint = Taint::CLEAN;
        for (at, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            if matches!(name.as_ref(), "old" | "new") {
                let field = tokens.get(at + 1).is_some_and(|next| next.token() == Token::Ascii46);
                let returned =
                    at.checked_sub(1).and_then(|b| names.get(b)).is_some_and(|b| b.as_deref() == Some("return"));
                if !field && !returned {
                    taint.join(row);
                }
            } else if columns.iter().any(|c| c.name == *name) {
                taint.join(&taint_of(name).unwrap_or(Taint::UNKNOWN));
            }
        }
        taint
    }

    /// The most that code in which these names occur can read. `None` if it could run text that is not shown.
    fn named_in(&self, source: &str, stack: &[Frame]) -> Option<Bound> {
        let tokens = crate::parse::tokens(source).ok()?;
        let mut names = HashSet::new();
        let mut operators: HashSet<&str> = WORDED_OPERATORS.into_iter().collect();
        for token in &tokens {
            // U&"…" spells a name in a way this does not read.
            if matches!(token.token(), Token::Uident | Token::Execute) {
                return None;
            }
            if let Some(name) = name_of(token, source) {
                names.insert(name);
            } else if let Some(operator) = operator_of(token, source) {
                operators.insert(operator);
            }
        }
        let mut bound = Bound::default();
        // What it calls itself is in what is being made up here.
        let is_itself = |function: usize| stack.last() == Some(&Frame::Function(function));
        let unnamed = operators.into_iter().flat_map(|operator| self.operators_named(operator)).map(|(_, f)| *f);
        let unnamed = unnamed.chain(self.casts_to_any(|name| names.contains(name)));
        for function in unnamed.filter(|function| !self.is_plain_extension(*function) && !is_itself(*function)) {
            bound.functions.join(&self.summary(function, stack, &[], false).value);
        }
        let writes = WRITES.iter().any(|word| names.contains(*word));
        for name in &names {
            for relation in self.relations_named(name) {
                for function in self.set_off_at(*relation, writes).into_iter().filter(|function| !is_itself(*function))
                {
                    bound.functions.join(&self.summary(function, stack, &[], false).value);
                }
            }
            for relation in self.relations_named(name) {
                bound.relations.join(&self.lineage(*relation, stack).row);
            }
            if let Some(columns) = builtins::relation("pg_catalog", name, self.major()) {
                let leaks = columns.iter().any(|c| builtins::leak("pg_catalog", name, c) != builtins::Leak::None);
                if leaks {
                    bound.relations.join(&self.unknown());
                }
            }
            if let Some(builtin) = builtins::function(name)
                && matches!(builtin.class, Class::Dynamic | Class::RunsText | Class::Leaky | Class::Administers)
            {
                bound.functions.join(&self.unknown());
            }
            for function in self.functions_named(name) {
                bound.functions.join(&self.summary(*function, stack, &[], false).value);
            }
        }
        Some(bound)
    }

    pub(super) fn unknown(&self) -> Taint {
        if self.has_labels() { Taint::UNKNOWN } else { Taint::CLEAN }
    }
}

/// A statement of a definition or body, as it was read.
struct Read {
    statement: Statement,
    spread: Spread,
    /// What code of users that it runs may speak of.
    says: Taint,
}

/// Where the names of a text are looked for.
#[derive(Clone, Copy)]
struct Path<'a> {
    schemas: &'a [String],
    known: bool,
    /// Functions that it calls look there too.
    callers: bool,
}

impl<'a> Path<'a> {
    /// Of code whose names the server found when it was made. What that code calls looks where its caller's session does,
    /// which nobody knows here.
    fn when_made(schemas: &'a [String]) -> Path<'a> {
        Path { schemas, known: true, callers: false }
    }

    /// Of code that will run under a path which is not known yet.
    fn nobody_knows(schemas: &'a [String]) -> Path<'a> {
        Path { schemas, known: false, callers: false }
    }
}

/// What code can reach through the names in it.
#[derive(Default)]
struct Bound {
    relations: Taint,
    functions: Taint,
}

impl Bound {
    fn all(self) -> Taint {
        self.relations.with(&self.functions)
    }
}

/// Operators that are called without being written as such: by LIKE, IN, BETWEEN, CASE, NULLIF, DISTINCT and ORDER BY.
const WORDED_OPERATORS: [&str; 12] = ["=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~"];
/// With what code writes to relations.
const WRITES: [&str; 6] = ["copy", "delete", "insert", "merge", "truncate", "update"];

/// The operator that a token spells.
fn operator_of<'s>(token: &ScanToken, source: &'s str) -> Option<&'s str> {
    let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
    let text = source.get(start..end)?;
    let of_operator = |c: char| "+-*/<>=~!@#%^&|`?".contains(c);
    // The server's other word for it.
    (!text.is_empty() && text.chars().all(of_operator)).then_some(if text == "!=" { "<>" } else { text })
}

/// The name a token spells, folded as the server folds it. Keywords may be names.
pub(super) fn name_of<'s>(token: &ScanToken, source: &'s str) -> Option<Cow<'s, str>> {
    let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
    let text = source.get(start..end)?;
    let first = text.chars().next()?;
    if first == '"' {
        return Some(Cow::Owned(text.trim_matches('"').replace("\"\"", "\"")));
    }
    let is_name = first.is_alphabetic() || first == '_';
    is_name.then(|| {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    })
}

/// The statements within `BEGIN ATOMIC … END`, or of `RETURN expression`.
fn unwrap_atomic(body: &str) -> Cow<'_, str> {
    let body = body.trim();
    if let Some(expression) = strip_word(body, "RETURN") {
        return Cow::Owned(format!("SELECT {expression}"));
    }
    match strip_word(body, "BEGIN").map(str::trim_start).and_then(|b| strip_word(b, "ATOMIC")) {
        Some(inner) => {
            let inner = inner.trim_end();
            let cut = inner.len().saturating_sub(3);
            match inner.get(cut..) {
                Some(end) if end.eq_ignore_ascii_case("end") => Cow::Borrowed(inner.get(..cut).unwrap_or_default()),
                _ => Cow::Borrowed(inner),
            }
        }
        None => Cow::Borrowed(body),
    }
}

fn strip_word<'s>(text: &'s str, word: &str) -> Option<&'s str> {
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then_some(rest)
}
