//! What PL/pgSQL code stores where its labels are lost: triggers on what is written, procedures, functions, `DO`.
//!
//! What a trigger puts into a column that has some label is its owner's matter: an audit trail is labelled as a whole.
//!
//! Statements that change data, and values given to the row of a trigger, are cut out of the code and analysed like any
//! other, with OLD and NEW as the rows they are. A variable may hold whatever the code reads anywhere. What cannot be cut
//! out that way counts as storing all of it. Conditions are not followed: that a row was changed is no copy of it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockgate_core::limits;
use pg_query::protobuf::{ScanToken, Token};

use super::body::name_of;
use super::{Catalog, Trigger};
use crate::analyze::{Analyzer, Columns, Context, Frame};
use crate::builtins::{self, Class, ExtensionFunction};
use crate::parse;
use crate::statement::{How, Outputs, Statement};
use crate::taint::Taint;

/// What code is called with that no table holds.
const TRIGGER_VARIABLES: &[&str] = &[
    "tg_op",
    "tg_name",
    "tg_when",
    "tg_level",
    "tg_relid",
    "tg_relname",
    "tg_table_name",
    "tg_table_schema",
    "tg_nargs",
    "tg_argv",
    "found",
];

/// The rows that a trigger sees: what is stored in each column before and after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fired<'c> {
    /// Names of the columns.
    pub(crate) names: Vec<Cow<'c, str>>,
    /// What the columns may hold for good.
    pub(crate) held: Vec<Taint>,
    /// OLD.
    pub(crate) old: Vec<Taint>,
    /// NEW.
    pub(crate) new: Vec<Taint>,
}

impl Fired<'_> {
    fn of(&self, row: &[Taint], column: &str) -> Taint {
        let at = self.names.iter().position(|n| n == column);
        at.and_then(|at| row.get(at)).cloned().unwrap_or_else(|| all(row))
    }

    fn columns<'t>(&'t self, row: &[Taint]) -> Columns<'t> {
        self.names.iter().zip(row).map(|(name, taint)| (name.as_ref(), taint.clone())).collect()
    }
}

fn all(row: &[Taint]) -> Taint {
    let mut whole = Taint::CLEAN;
    for taint in row {
        whole.join(taint);
    }
    whole
}

/// What a piece of code stores.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// Labelled values that it stores where their labels are lost.
    pub(crate) lost: Taint,
    /// It runs text that is not shown.
    pub(crate) dynamic: bool,
}

/// Code, and what it is called with.
struct Code<'a> {
    source: &'a str,
    tokens: &'a [ScanToken],
    names: &'a [Option<Cow<'a, str>>],
    fired: Option<&'a Fired<'a>>,
    trigger: Option<&'a Trigger>,
    /// What any of its variables may hold.
    variables: Taint,
    path: &'a [String],
    path_known: bool,
    stack: &'a [Frame],
    /// Of the whole statement: what triggers set off is gone through again for each way to it.
    steps: &'a AtomicUsize,
}

impl<'a> Code<'a> {
    fn name(&self, at: usize) -> &'a str {
        self.names.get(at).and_then(|n| n.as_deref()).unwrap_or_default()
    }

    fn before(&self, at: usize, back: usize) -> &'a str {
        at.checked_sub(back).map_or("", |at| self.name(at))
    }

    fn is(&self, at: usize, token: Token) -> bool {
        self.tokens.get(at).is_some_and(|t| t.token() == token)
    }

    /// The first place from `at` on with a semicolon outside brackets.
    fn end(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.token() {
                Token::Ascii40 | Token::Ascii91 => depth = depth.saturating_add(1),
                Token::Ascii41 | Token::Ascii93 => depth = depth.saturating_sub(1),
                Token::Ascii59 if depth == 0 => return index,
                _ => {}
            }
        }
        self.tokens.len()
    }

    fn text(&self, from: usize, to: usize) -> &'a str {
        let start = self.tokens.get(from).and_then(|t| usize::try_from(t.start).ok()).unwrap_or(self.source.len());
        let end = self.tokens.get(to).and_then(|t| usize::try_from(t.start).ok()).unwrap_or(self.source.len());
        self.source.get(start..end).unwrap_or_default()
    }

    /// Whether the name here is only written to: `INSERT INTO name`, `MERGE INTO name`, `UPDATE name`.
    fn is_target(&self, at: usize) -> bool {
        let mut first = at;
        while first >= 2 && self.is(first - 1, Token::Ascii46) {
            first -= 2;
        }
        if self.before(first, 1) == "only" {
            first = first.saturating_sub(1);
        }
        match self.before(first, 1) {
            "into" => matches!(self.before(first, 2), "insert" | "merge"),
            "update" => !matches!(self.before(first, 2), "for" | "key"),
            _ => false,
        }
    }
}

impl Catalog {
    /// What a trigger stores besides what the statement says that fires it.
    pub(crate) fn trigger_stores(
        &self,
        trigger: &Trigger,
        fired: &Fired<'_>,
        stack: &[Frame],
        (path, path_known): (&[String], bool),
        steps: &AtomicUsize,
    ) -> Taint {
        let Some(function) = self.function(trigger.function).filter(|f| !f.safe) else { return Taint::CLEAN };
        if let Some(extension) = &function.facts.extension {
            return match builtins::extension_function(extension, &function.facts.name) {
                ExtensionFunction::Pure => Taint::CLEAN,
                _ => self.unknown(),
            };
        }
        let frame = Frame::Function(trigger.function);
        let times = stack.iter().filter(|f| **f == frame).count();
        if function.facts.language != "plpgsql" || stack.len() >= limits::SQL_VIEW_DEPTH_MAX {
            return self.unknown();
        }
        let mut inner = stack.to_vec();
        inner.push(frame);
        let worst;
        let fired = match times {
            0 => fired,
            // It fires itself: what it sees then may be anything in the row.
            1 => {
                worst = Fired { old: fired.held.clone(), new: fired.held.clone(), ..fired.clone() };
                &worst
            }
            _ => return Taint::CLEAN,
        };
        let (path, path_known) = match &function.facts.search_path {
            Some(own) => (own.as_slice(), true),
            None => (path, path_known),
        };
        let source = function.facts.source.as_str();
        let stored = self.stores(source, Some((trigger, fired)), &Taint::CLEAN, &inner, (path, path_known), steps);
        if stored.dynamic { self.unknown() } else { stored.lost }
    }

    /// What code stores that is called with values of this taint.
    pub(crate) fn code_stores(
        &self,
        source: &str,
        stack: &[Frame],
        path: (&[String], bool),
        steps: &AtomicUsize,
    ) -> Stored {
        self.stores(source, None, &Taint::CLEAN, stack, path, steps)
    }

    fn stores(
        &self,
        source: &str,
        row: Option<(&Trigger, &Fired<'_>)>,
        given: &Taint,
        stack: &[Frame],
        (path, path_known): (&[String], bool),
        steps: &AtomicUsize,
    ) -> Stored {
        if !self.has_labels() {
            return Stored::default();
        }
        let unread = Stored { lost: self.unknown(), dynamic: true };
        let Ok(mut tokens) = parse::tokens(source) else { return unread };
        tokens.retain(|t| !matches!(t.token(), Token::SqlComment | Token::CComment));
        if tokens.iter().any(|t| matches!(t.token(), Token::Uident | Token::Execute)) {
            return unread;
        }
        steps.store(steps.load(Ordering::Relaxed).saturating_add(tokens.len()), Ordering::Relaxed);
        if steps.load(Ordering::Relaxed) > limits::SQL_ANALYSIS_STEPS_MAX {
            return unread;
        }
        let names: Vec<Option<Cow<'_, str>>> = tokens.iter().map(|token| name_of(token, source)).collect();
        let mut code = Code {
            source,
            tokens: &tokens,
            names: &names,
            fired: row.map(|(_, fired)| fired),
            trigger: row.map(|(trigger, _)| trigger),
            variables: given.clone(),
            path,
            path_known,
            stack,
            steps,
        };
        let read = self.read_by(&code);
        // What it writes may set off code that reads, also where nothing is read here.
        code.variables.join(&read);
        let mut lost = self.stored_by_calls(&code);
        let mut at = 0;
        let mut begins = true;
        while at < tokens.len() {
            let name = code.name(at);
            let end = code.end(at);
            let field = matches!(name, "new" | "old") && code.is(at + 1, Token::Ascii46);
            let given_to_field = field && (code.is(at + 3, Token::ColonEquals) || code.is(at + 3, Token::Ascii61));
            match name {
                "insert" | "update" | "delete" | "merge" | "with" if begins => {
                    lost.join(&self.stored_by(&code, &without_into(code.text(at, end))));
                    at = end;
                }
                "perform" if begins => {
                    lost.join(&self.stored_by(&code, &format!("SELECT {}", code.text(at + 1, end))));
                    at = end;
                }
                "new" | "old" if begins && given_to_field => {
                    lost.join(&self.given_to_field(&code, code.name(at + 2), code.text(at + 4, end)));
                    at = end;
                }
                "new" | "old" if begins => lost.join(&code.variables),
                // The row that is stored comes from a variable.
                "return" if code.trigger.is_some_and(|t| t.changes_row) => {
                    let plain = matches!(code.name(at + 1), "new" | "old" | "null") && code.is(at + 2, Token::Ascii59);
                    if !plain {
                        lost.join(&code.variables);
                    }
                }
                "into" if matches!(code.name(at + 1), "new" | "old") => lost.join(&code.variables),
                "update" if matches!(code.before(at, 1), "for" | "key") => {}
                "insert" | "update" | "merge" | "copy" | "create" | "alter" | "notify" | "comment" => {
                    lost.join(&code.variables);
                }
                _ => {}
            }
            let here = code.name(at);
            begins = code.is(at, Token::Ascii59) || matches!(here, "begin" | "then" | "else" | "loop" | "declare");
            at += 1;
        }
        if steps.load(Ordering::Relaxed) > limits::SQL_ANALYSIS_STEPS_MAX {
            return unread;
        }
        Stored { lost, dynamic: false }
    }

    /// Everything labelled that the code reads: of its rows, of relations, through functions.
    fn read_by(&self, code: &Code<'_>) -> Taint {
        let mut read = Taint::CLEAN;
        let returns = code.names.iter().any(|n| n.as_deref() == Some("returning"));
        for at in 0..code.tokens.len() {
            let name = code.name(at);
            if name.is_empty() {
                continue;
            }
            if let ("old" | "new", Some(fired)) = (name, code.fired) {
                let row = if name == "old" { &fired.old } else { &fired.new };
                if code.is(at + 1, Token::Ascii46) {
                    read.join(&fired.of(row, code.name(at + 2)));
                } else if code.before(at, 1) != "return" {
                    read.join(&all(row));
                }
            }
            if let (Some(fired), Some(trigger)) = (code.fired, code.trigger) {
                if trigger.old_table.as_deref() == Some(name) {
                    read.join(&all(&fired.old));
                }
                if trigger.new_table.as_deref() == Some(name) {
                    read.join(&all(&fired.new));
                }
            }
            if returns || !code.is_target(at) {
                read.join(&self.behind_name(name, code.stack));
            }
        }
        read
    }

    /// What the functions that the code calls store of what it gives them.
    fn stored_by_calls(&self, code: &Code<'_>) -> Taint {
        let mut lost = Taint::CLEAN;
        for at in 0..code.tokens.len() {
            if !code.is(at + 1, Token::Ascii40) || code.is_target(at) {
                continue;
            }
            let name = code.name(at);
            if builtins::function(name).is_some_and(|b| matches!(b.class, Class::Writes | Class::Administers))
                || matches!(name, "set_config" | "pg_notify" | "setval")
            {
                lost.join(&code.variables);
            }
            for index in self.functions_named(name) {
                let Some(function) = self.function(*index).filter(|f| !f.safe) else { continue };
                let frame = Frame::Function(*index);
                let extension = function.facts.extension.as_ref();
                let known = extension.map(|e| builtins::extension_function(e, &function.facts.name));
                match (known, function.facts.language.as_str()) {
                    (Some(ExtensionFunction::Pure), _) => {}
                    (None, "plpgsql") if !code.stack.contains(&frame) => {
                        if code.stack.len() >= limits::SQL_VIEW_DEPTH_MAX {
                            return self.unknown();
                        }
                        let mut inner = code.stack.to_vec();
                        inner.push(frame);
                        let source = function.facts.source.as_str();
                        let stored = self.stores(
                            source,
                            None,
                            &code.variables,
                            &inner,
                            (code.path, code.path_known),
                            code.steps,
                        );
                        // Text that is not shown stores what it is given.
                        if !(stored.dynamic && code.variables.is_clean()) {
                            lost.join(&stored.lost);
                        }
                    }
                    (None, "plpgsql") => {}
                    (None, "sql") => {
                        let summary = self.summary(*index, code.stack, code.path, code.path_known);
                        if summary.opaque || !summary.changes.is_empty() {
                            lost.join(&code.variables);
                        }
                        for (how, taint) in &summary.uses {
                            if *how == How::Source {
                                lost.join(taint);
                            }
                        }
                    }
                    _ if code.variables.is_clean() => {}
                    _ => lost.join(&self.unknown()),
                }
            }
        }
        lost
    }

    /// What a statement of the code stores where labels are lost.
    fn stored_by(&self, code: &Code<'_>, text: &str) -> Taint {
        let Some(statement) = self.statement_of(code, text) else { return code.variables.clone() };
        let mut lost = Taint::CLEAN;
        for used in statement.uses.iter().filter(|u| matches!(u.how, How::Source | How::Stored)) {
            lost.join(&used.taint);
        }
        lost
    }

    /// What is lost when a column of the trigger's row is given a value.
    fn given_to_field(&self, code: &Code<'_>, column: &str, expression: &str) -> Taint {
        let Some(statement) = self.statement_of(code, &format!("SELECT {expression}")) else {
            return code.variables.clone();
        };
        let mut value = Taint::CLEAN;
        match &statement.outputs {
            Outputs::Known(outputs) => outputs.iter().for_each(|o| value.join(&o.value)),
            Outputs::Each(taint) => value.join(taint),
            Outputs::NoRows => value = code.variables.clone(),
        }
        let held = code.fired.map_or(Taint::CLEAN, |fired| {
            let at = fired.names.iter().position(|n| n == column);
            at.and_then(|at| fired.held.get(at)).cloned().unwrap_or_default()
        });
        if !held.is_clean() || value.is_clean() { Taint::CLEAN } else { value }
    }

    fn statement_of(&self, code: &Code<'_>, text: &str) -> Option<Statement> {
        let steps = code.steps.load(Ordering::Relaxed).saturating_add(limits::SQL_STEPS_PER_PARSE);
        code.steps.store(steps, Ordering::Relaxed);
        if steps > limits::SQL_ANALYSIS_STEPS_MAX {
            return None;
        }
        parse::with_tree(text, true, |tree| {
            let [raw] = tree.stmts.as_slice() else { return None };
            let context = Context { catalog: self, search_path: code.path, path_known: code.path_known };
            let arguments: Vec<String> = TRIGGER_VARIABLES.iter().map(|name| (*name).to_owned()).collect();
            let mut analyzer = Analyzer::new(&context, code.stack);
            analyzer.took(code.steps.load(Ordering::Relaxed));
            analyzer.arguments = &arguments;
            analyzer.by_owner = code.fired.is_some();
            analyzer.variables = Some(code.variables.clone());
            let mut rows = Vec::new();
            let mut tables = Vec::new();
            if let Some(fired) = code.fired {
                rows.push(("old", fired.columns(&fired.old)));
                rows.push(("new", fired.columns(&fired.new)));
                let named = code.trigger.map(|t| [(&t.old_table, &fired.old), (&t.new_table, &fired.new)]);
                for (name, row) in named.into_iter().flatten() {
                    if let Some(name) = name {
                        tables.push((name.as_str(), fired.columns(row)));
                    }
                }
            }
            let statement = analyzer.statement_among(raw.stmt.as_deref()?, rows, tables);
            code.steps.store(analyzer.taken(), Ordering::Relaxed);
            (!analyzer.exhausted()).then_some(statement)
        })
        .ok()
        .flatten()
    }

    /// What reading from something of this name may give.
    fn behind_name(&self, name: &str, stack: &[Frame]) -> Taint {
        let mut taint = Taint::CLEAN;
        for relation in self.relations_named(name) {
            taint.join(&self.lineage(*relation, stack).row);
        }
        if let Some(columns) = builtins::relation("pg_catalog", name, self.major())
            && columns.iter().any(|c| builtins::leak("pg_catalog", name, c) != builtins::Leak::None)
        {
            taint.join(&self.unknown());
        }
        if let Some(builtin) = builtins::function(name)
            && matches!(builtin.class, Class::Dynamic | Class::RunsText | Class::Leaky | Class::Administers)
        {
            taint.join(&self.unknown());
        }
        for function in self.functions_named(name) {
            if !stack.contains(&Frame::Function(*function)) {
                taint.join(&self.summary(*function, stack, &[], false).value);
            }
        }
        taint
    }
}

/// `RETURNING … INTO variables` is not SQL's.
fn without_into(text: &str) -> Cow<'_, str> {
    let Ok(tokens) = parse::tokens(text) else { return Cow::Borrowed(text) };
    let returning = tokens.iter().position(|t| t.token() == Token::Returning);
    let into = returning.and_then(|at| tokens.iter().skip(at).find(|t| t.token() == Token::Into));
    let cut = into.and_then(|t| usize::try_from(t.start).ok()).and_then(|at| text.get(..at));
    cut.map_or(Cow::Borrowed(text), Cow::Borrowed)
}
