//! INSERT, UPDATE, DELETE and MERGE: what they return, and whether a labelled value lands where its label is lost.

use std::borrow::Cow;

use lockgate_core::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CmdType, DeleteStmt, InferClause, InsertStmt, MergeStmt, Node, OnConflictAction, RangeVar, ReturningClause,
    UpdateStmt,
};

use super::scope::{From, Item, Rel, Scope, Table};
use super::size::Rows;
use super::{Analyzer, Resolved, tree};
use crate::statement::How;
use crate::taint::Taint;

/// The relation that a statement changes.
struct Place<'t> {
    index: Option<usize>,
    rel: Rel<'t>,
    alias: &'t str,
    /// Its full name, where it has no alias.
    table: Option<Table<'t>>,
    name: &'t str,
}

impl<'t> Place<'t> {
    /// As a FROM clause that holds nothing else.
    fn from(&self) -> From<'t> {
        From::of_table(self.table, Cow::Borrowed(self.alias), self.rel.clone())
    }
}

impl<'t> Analyzer<'t> {
    pub(super) fn modify(&mut self, kind: &'t NodeEnum, scope: &Scope<'t, '_>) -> Rel<'t> {
        match kind {
            NodeEnum::InsertStmt(insert) => self.insert(insert, scope),
            NodeEnum::UpdateStmt(update) => self.update(update, scope),
            NodeEnum::DeleteStmt(delete) => self.delete(delete, scope),
            NodeEnum::MergeStmt(merge) => self.merge(merge, scope),
            _ => Rel::default(),
        }
    }

    /// The relation's name for a person.
    fn title(&self, place: &Place<'t>) -> String {
        match place.index.and_then(|i| self.catalog.relation(i)) {
            Some(relation) => format!("{}.{}", relation.facts.schema, relation.facts.name),
            None => place.name.to_owned(),
        }
    }

    fn place(&mut self, var: Option<&'t RangeVar>) -> Place<'t> {
        let open = |taint| Rel { cols: Vec::new(), open: Some(taint), bounded: false, rows: Rows::TABLE };
        let Some(var) = var else {
            return Place { index: None, rel: open(self.unknown()), alias: "", table: None, name: "" };
        };
        let alias = var.alias.as_ref().map_or(var.relname.as_str(), |a| a.aliasname.as_str());
        let (index, rel) = match self.resolve(&var.schemaname, &var.relname) {
            Resolved::User(index) => {
                self.reads(index, Action::Write);
                self.works_on(index);
                (Some(index), self.user_relation(index))
            }
            Resolved::System { schema, .. } => {
                self.need_on_target(Action::Administer, format!("a change to `{schema}.{}`", var.relname));
                (None, open(self.unknown()))
            }
            Resolved::Unknown => {
                self.need_on_target(Action::Write, format!("the relation `{}`, which is not known", var.relname));
                self.tables.push(var.relname.clone());
                self.may_be(&var.schemaname, &var.relname, Action::Write);
                (None, open(self.unknown()))
            }
        };
        // Checks, keys and triggers may speak of any value of the row in an error.
        self.touches.join(&rel.all());
        Place { index, rel, alias, table: self.table(var), name: &var.relname }
    }

    /// A value is stored in a column: its labels have to be on that column too.
    fn store(&mut self, place: &Place<'t>, column: &str, value: &Taint, location: i32) {
        if value.is_clean() {
            return;
        }
        let held = place.rel.cols.iter().find(|c| c.name == column).map(|c| &c.taint);
        if !held.is_some_and(|held| self.catalog.keeps_labels(value, held)) {
            let target = format!("{}.{column}", place.name);
            self.uses(value, How::Source, &target, location);
        }
    }

    fn returning(
        &mut self,
        clause: Option<&'t ReturningClause>,
        place: &Place<'t>,
        mut from: From<'t>,
        outer: &Scope<'t, '_>,
    ) -> Rel<'t> {
        let Some(clause) = clause else { return Rel { bounded: true, ..Rel::default() } };
        match place.index {
            Some(index) => self.reads(index, Action::Read),
            None => self.need_on_target(Action::Read, "RETURNING"),
        }
        let mut names = vec!["old", "new"];
        for option in &clause.options {
            if let Some(NodeEnum::ReturningOption(option)) = tree::kind(option) {
                names.push(&option.value);
            }
        }
        for name in names {
            if !from.items.iter().any(|i| i.alias == name) {
                from.items.push(Item { alias: Cow::Borrowed(name), rel: std::rc::Rc::new(place.rel.clone()) });
            }
        }
        let mut rel = self.targets(&clause.exprs, &Scope::within(outer, from));
        let changed = self.changed_by_triggers(place);
        if !changed.is_clean() {
            for col in &mut rel.cols {
                col.taint.join(&changed);
                col.plain = false;
            }
        }
        rel.bounded = true;
        rel
    }

    /// What triggers and rules may put into the returned row.
    fn changed_by_triggers(&mut self, place: &Place<'t>) -> Taint {
        let Some(relation) = place.index.and_then(|i| self.catalog.relation(i)) else { return Taint::CLEAN };
        let mut taint = if relation.facts.has_rules { self.unknown() } else { Taint::CLEAN };
        for (function, changes_row) in &relation.triggers {
            let summary = self.summary(*function);
            self.touches.join(&summary.value);
            if *changes_row {
                taint.join(&summary.value);
                taint.join(&self.catalog.own_row_in(*function, &relation.facts.columns, &place.rel.all(), |name| {
                    place.rel.cols.iter().find(|c| c.name == name).map(|c| c.taint.clone())
                }));
            }
        }
        taint
    }

    fn insert(&mut self, insert: &'t InsertStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(insert.with_clause.as_ref(), outer);
        let place = self.place(insert.relation.as_ref());
        self.subscripts(&insert.cols, &scope);
        if let Some(source) = tree::kind_of(&insert.select_stmt) {
            let (rel, predicate) = self.subquery(source, &scope);
            self.predicate.join(&predicate);
            let columns: Vec<Cow<'t, str>> = if insert.cols.is_empty() {
                place.rel.cols.iter().map(|c| c.name.clone()).collect()
            } else {
                insert.cols.iter().map(|c| Cow::Borrowed(target_name(c))).collect()
            };
            for (at, col) in rel.cols.iter().enumerate() {
                self.store(&place, columns.get(at).map_or("", |c| c.as_ref()), &col.taint, -1);
            }
            if let Some(open) = &rel.open {
                self.store(&place, "", open, -1);
            }
        }
        let mut from = place.from();
        if let Some(conflict) = &insert.on_conflict_clause {
            let mut with_excluded = from.clone();
            let excluded = std::rc::Rc::new(place.rel.clone());
            with_excluded.items.push(Item { alias: Cow::Borrowed("excluded"), rel: excluded });
            let inner = Scope::within(&scope, with_excluded);
            self.conflict_target(conflict.infer.as_deref(), &place, &inner);
            if conflict.action() == OnConflictAction::OnconflictUpdate {
                self.assignments(&conflict.target_list, &place, &inner);
                self.condition(conflict.where_clause.as_deref(), &inner, How::Predicate, "WHERE");
            }
            from = place.from();
        }
        self.changes("insert", false, self.title(&place));
        self.changed_by_triggers(&place);
        self.returning(insert.returning_clause.as_ref(), &place, from, &scope)
    }

    /// Whether a row conflicts tells whether its value is there already.
    fn conflict_target(&mut self, infer: Option<&'t InferClause>, place: &Place<'t>, scope: &Scope<'t, '_>) {
        let taint = match infer {
            Some(infer) if infer.conname.is_empty() => {
                let mut taint = self.part(&infer.where_clause, scope);
                for element in &infer.index_elems {
                    if let Some(NodeEnum::IndexElem(element)) = tree::kind(element) {
                        taint.join(&self.part(&element.expr, scope));
                        for col in place.rel.cols.iter().filter(|c| c.name == element.name) {
                            taint.join(&col.taint);
                        }
                    }
                }
                taint
            }
            // Any constraint, or one by its name: any column.
            _ => place.rel.all(),
        };
        self.uses(&taint, How::Predicate, "ON CONFLICT", -1);
    }

    fn assignments(&mut self, targets: &'t [Node], place: &Place<'t>, scope: &Scope<'t, '_>) {
        for target in targets {
            if let Some(NodeEnum::ResTarget(target)) = tree::kind(target) {
                let mut taint = self.part(&target.val, scope);
                for step in &target.indirection {
                    if let Some(NodeEnum::AIndices(indices)) = tree::kind(step) {
                        taint.join(&self.part(&indices.lidx, scope));
                        taint.join(&self.part(&indices.uidx, scope));
                    }
                }
                self.store(place, &target.name, &taint, target.location);
            }
        }
    }

    /// `column[subscript]` as a target: where a value is put tells what decided about the place.
    fn subscripts(&mut self, targets: &'t [Node], scope: &Scope<'t, '_>) {
        for target in targets {
            if let Some(NodeEnum::ResTarget(target)) = tree::kind(target) {
                let mut taint = Taint::CLEAN;
                for step in &target.indirection {
                    if let Some(NodeEnum::AIndices(indices)) = tree::kind(step) {
                        taint.join(&self.part(&indices.lidx, scope));
                        taint.join(&self.part(&indices.uidx, scope));
                    }
                }
                self.uses(&taint, How::Source, "a subscript", target.location);
            }
        }
    }

    fn update(&mut self, update: &'t UpdateStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(update.with_clause.as_ref(), outer);
        let place = self.place(update.relation.as_ref());
        let mut from = place.from();
        for item in &update.from_clause {
            let next = self.item_of(item, &from, &scope);
            from.append(next);
        }
        let inner = Scope::within(&scope, from);
        self.assignments(&update.target_list, &place, &inner);
        let before = self.columns_seen;
        self.condition(update.where_clause.as_deref(), &inner, How::Predicate, "WHERE");
        let filtered = self.columns_seen != before;
        self.changed_by_triggers(&place);
        self.changes("update", filtered, self.title(&place));
        let mut rel = self.returning(update.returning_clause.as_ref(), &place, inner.from, &scope);
        rel.bounded = filtered;
        self.filtered = filtered;
        rel
    }

    fn delete(&mut self, delete: &'t DeleteStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(delete.with_clause.as_ref(), outer);
        let place = self.place(delete.relation.as_ref());
        let mut from = place.from();
        for item in &delete.using_clause {
            let next = self.item_of(item, &from, &scope);
            from.append(next);
        }
        let inner = Scope::within(&scope, from);
        let before = self.columns_seen;
        self.condition(delete.where_clause.as_deref(), &inner, How::Predicate, "WHERE");
        let filtered = self.columns_seen != before;
        self.changed_by_triggers(&place);
        self.changes("delete", filtered, self.title(&place));
        let mut rel = self.returning(delete.returning_clause.as_ref(), &place, inner.from, &scope);
        rel.bounded = filtered;
        self.filtered = filtered;
        rel
    }

    fn merge(&mut self, merge: &'t MergeStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(merge.with_clause.as_ref(), outer);
        let place = self.place(merge.relation.as_ref());
        let target = place.from();
        // RETURNING * of MERGE gives the source's columns before the target's.
        let mut from = match merge.source_relation.as_deref() {
            Some(source) => self.item_of(source, &From::empty(), &scope),
            None => From::empty(),
        };
        from.append(target);
        let inner = Scope::within(&scope, from);
        self.condition(merge.join_condition.as_deref(), &inner, How::Join, "ON");
        for clause in &merge.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = tree::kind(clause) else { continue };
            self.condition(clause.condition.as_deref(), &inner, How::Predicate, "WHEN");
            // A rule about one of these verbs is about what it does, whichever statement does it.
            match clause.command_type() {
                CmdType::CmdDelete => self.changes("delete", true, self.title(&place)),
                CmdType::CmdUpdate => self.changes("update", true, self.title(&place)),
                CmdType::CmdInsert => self.changes("insert", false, self.title(&place)),
                _ => {}
            }
            if clause.values.is_empty() {
                self.assignments(&clause.target_list, &place, &inner);
                continue;
            }
            self.subscripts(&clause.target_list, &inner);
            for (at, value) in clause.values.iter().enumerate() {
                let taint = self.expr(value, &inner).taint;
                let column = match clause.target_list.get(at) {
                    Some(target) => Cow::Borrowed(target_name(target)),
                    None => place.rel.cols.get(at).map_or(Cow::Borrowed(""), |c| c.name.clone()),
                };
                self.store(&place, &column, &taint, -1);
            }
        }
        self.changes("merge", true, self.title(&place));
        self.filtered = true;
        self.changed_by_triggers(&place);
        self.returning(merge.returning_clause.as_ref(), &place, inner.from, &scope)
    }

    /// The target of COPY FROM: rows go in, nothing comes out.
    pub(super) fn copied_into(&mut self, var: &'t RangeVar, where_clause: Option<&'t Node>, scope: &Scope<'t, '_>) {
        let place = self.place(Some(var));
        let from = place.from();
        self.condition(where_clause, &Scope::within(scope, from), How::Predicate, "WHERE");
        self.changes("copy", where_clause.is_some(), self.title(&place));
        self.changed_by_triggers(&place);
    }
}

fn target_name(node: &Node) -> &str {
    match tree::kind(node) {
        Some(NodeEnum::ResTarget(target)) => &target.name,
        _ => "",
    }
}
