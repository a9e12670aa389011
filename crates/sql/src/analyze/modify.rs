//! INSERT, UPDATE, DELETE and MERGE: what they return, and whether a labelled value lands where its label is lost.

use std::borrow::Cow;
use std::sync::atomic::AtomicUsize;

use lockgate_core::{Action, limits};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CmdType, DeleteStmt, InferClause, InsertStmt, MergeStmt, Node, OnConflictAction, RangeVar, ReturningClause,
    UpdateStmt,
};

use super::scope::{From, Item, Rel, Scope, Table, Val};
use super::sources::Numbers;
use super::{Analyzer, Resolved, tree};
use crate::catalog::Fired;
use crate::statement::{Carry, CarryColumn, How, Later};
use crate::taint::Taint;

/// The relation that a statement changes.
struct Place<'t> {
    index: Option<usize>,
    rel: Rel<'t>,
    alias: &'t str,
    /// Its full name, where it has no alias.
    table: Option<Table<'t>>,
    name: &'t str,
    schema: &'t str,
    /// What is stored in which column, as far as the statement says it.
    given: Vec<(Cow<'t, str>, Taint)>,
    /// What is written through it, where it is a view.
    through: Vec<String>,
}

/// What a statement does to the rows of a relation, for its triggers.
#[derive(Clone, Copy, Default)]
struct Firing {
    insert: bool,
    update: bool,
    delete: bool,
}

impl<'t> Place<'t> {
    /// As a FROM clause that holds nothing else.
    fn from(&self, numbers: &mut Numbers) -> From<'t> {
        From::of_table(self.table, Cow::Borrowed(self.alias), self.rel.clone(), numbers)
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
        let open = |taint| Rel::unknown(taint);
        let mut through = Vec::new();
        let Some(var) = var else {
            return Place {
                index: None,
                rel: open(self.unknown()),
                alias: "",
                name: "",
                table: None,
                schema: "",
                given: Vec::new(),
                through,
            };
        };
        let alias = var.alias.as_ref().map_or(var.relname.as_str(), |a| a.aliasname.as_str());
        let (index, rel) = match self.resolve(&var.schemaname, &var.relname) {
            Resolved::User(index) => {
                self.reads(index, Action::Write);
                through = self.written_through(index);
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
        if let Some(index) = index {
            self.may_speak_of(index);
        }
        let table = self.table(var);
        Place { index, rel, alias, table, name: &var.relname, schema: &var.schemaname, given: Vec::new(), through }
    }

    /// Whoever writes a view writes what it is made of. The names of that.
    fn written_through(&mut self, index: usize) -> Vec<String> {
        let Some(through) = self.catalog.written_through(index) else {
            self.need_on_target(Action::Write, "a view that cannot be looked into");
            return Vec::new();
        };
        for beneath in &through {
            self.reads(*beneath, Action::Write);
        }
        let relations = through.iter().filter_map(|beneath| self.catalog.relation(*beneath));
        relations.map(|relation| format!("{}.{}", relation.facts.schema, relation.facts.name)).collect()
    }

    /// A statement changes rows.
    fn changes_rows(&mut self, verb: &'static str, has_where: bool, place: &Place<'t>) {
        self.changes(verb, has_where, self.title(place));
        for table in &place.through {
            self.changes(verb, has_where, table.clone());
        }
    }

    /// A value is stored in a column: its labels have to be on that column too.
    fn store(&mut self, place: &mut Place<'t>, column: Cow<'t, str>, value: &Val<'t>, location: i32) {
        let mut value = value.clone();
        self.cast_unasked(&mut value);
        let Val { taint: value, plain, type_oid, .. } = &value;
        place.given.push((column.clone(), value.clone()));
        if value.is_clean() {
            return;
        }
        let column = column.as_ref();
        let held = place.rel.cols.iter().find(|c| c.name == column).map(|c| &c.taint);
        let owned = |held: &Taint| self.by_owner && !held.is_clean();
        if !held.is_some_and(|held| owned(held) || self.catalog.keeps_labels(value, held)) {
            let target = format!("{}.{column}", place.name);
            let takes = place.index.is_some_and(|index| {
                self.catalog.takes_labels(index) && self.catalog.takes_any(index, column, value, *plain, *type_oid)
            });
            if !takes {
                self.uses(value, How::Source, &target, location);
                return;
            }
            let column = if column.is_empty() { CarryColumn::Every } else { CarryColumn::Named(column.to_owned()) };
            let carry = Carry {
                schema: place.schema.to_owned(),
                relation: place.name.to_owned(),
                oid: place.index.and_then(|index| self.catalog.relation(index)).map(|relation| relation.facts.oid),
                new: false,
                may_exist: false,
                column,
                value: value.clone(),
                plain: *plain,
            };
            self.carry(carry, &target, location);
        } else {
            let as_it_is = *plain && place.index.is_none_or(|i| self.catalog.is_of_type(i, column, value, *type_oid));
            if self.by_owner || as_it_is {
                return;
            }
            // Another type takes some values and not others.
            // NOT NULL, keys and checks refuse some values: one that was made for that tells what it was made from.
            let target = format!("{}.{column}", place.name);
            self.uses(value, How::Expression, &target, location);
        }
    }

    /// The relation's columns with what the statement puts into them.
    fn written(place: &Place<'t>) -> Rel<'t> {
        let mut rel = place.rel.clone();
        for (column, value) in place.given.iter().filter(|(_, value)| !value.is_clean()) {
            for col in rel.cols.iter_mut().filter(|c| column.is_empty() || c.name == *column) {
                col.taint.join(value);
                col.plain = false;
            }
        }
        rel
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
        let written = std::rc::Rc::new(Self::written(place));
        for item in from.items.iter_mut().filter(|i| i.alias == place.alias) {
            item.rel = std::rc::Rc::clone(&written);
        }
        for col in &mut from.star {
            for (_, value) in place.given.iter().filter(|(name, _)| name.is_empty() || *name == col.name) {
                col.taint.join(value);
                col.plain &= value.is_clean();
            }
        }
        // Before version 18 these are names like any: in the code of a trigger, of its own rows.
        let mut names = if self.catalog.major() < 18 { Vec::new() } else { vec!["old", "new"] };
        for option in &clause.options {
            if let Some(NodeEnum::ReturningOption(option)) = tree::kind(option) {
                names.push(&option.value);
            }
        }
        for name in names {
            if !from.items.iter().any(|i| i.alias == name) {
                from.items.push(Item::new(name, std::rc::Rc::clone(&written)));
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

    /// RETURNING gives rows out in the order in which they were found.
    fn returned_as_found(&mut self, place: &Place<'t>, asked: bool) {
        match place.index {
            Some(index) if asked => self.found_in_order(index),
            _ => {}
        }
        if asked {
            self.given_as_found("rows in the order of an index they were clustered on, in RETURNING");
        } else {
            self.found_in_order_of = Taint::CLEAN;
        }
    }

    /// What triggers and rules may put into the returned row.
    fn changed_by_triggers(&mut self, place: &Place<'t>) -> Taint {
        let Some(relation) = place.index.and_then(|i| self.catalog.relation(i)) else { return Taint::CLEAN };
        let mut taint = if relation.facts.has_rules { self.unknown() } else { Taint::CLEAN };
        for trigger in &relation.triggers {
            let summary = self.summary_beneath(trigger.function);
            self.may_say(&summary.value);
            if trigger.changes_row {
                taint.join(&summary.value);
                taint.join(&self.catalog.own_row_in(
                    trigger.function,
                    &relation.facts.columns,
                    &place.rel.all(),
                    |name| place.rel.cols.iter().find(|c| c.name == name).map(|c| c.taint.clone()),
                ));
            }
        }
        taint
    }

    /// What triggers and rules store besides: a write is also what it sets off.
    fn fire(&mut self, place: &Place<'t>, firing: Firing) {
        let Some(index) = place.index else { return };
        if !self.catalog.has_labels() {
            return;
        }
        let mut beneath = vec![(index, false)];
        if let Some(relation) = self.catalog.relation(index)
            && relation.facts.kind == 'v'
        {
            // A view that is written through has no triggers of its own: those of the tables beneath fire.
            let tables = &self.lineage(index).tables;
            beneath.extend(self.catalog.relations().filter_map(|(at, r)| {
                tables.contains(&format!("{}.{}", r.facts.schema, r.facts.name)).then_some((at, true))
            }));
        }
        for (at, relation) in self.catalog.relations() {
            if at != index && relation.ancestors.contains(&index) {
                beneath.push((at, true));
            }
        }
        for (at, other) in beneath {
            let Some(relation) = self.catalog.relation(at) else { continue };
            if relation.facts.has_rules || !relation.triggers.is_empty() {
                self.looks_up_beneath(Later::Anything);
                self.puts_off = true;
            }
            if relation.facts.has_rules {
                let place = format!("a rule on `{}`", relation.facts.name);
                self.uses(&self.unknown(), How::Source, &place, -1);
            }
            if relation.triggers.is_empty() {
                continue;
            }
            let fired = self.fired(place, at, firing, other);
            for trigger in &relation.triggers {
                let events = trigger.events;
                let fires = (events.insert && firing.insert)
                    || (events.update && firing.update)
                    || (events.delete && firing.delete);
                if !fires {
                    continue;
                }
                if !self.work(limits::SQL_COMPARISONS_PER_STEP) {
                    return;
                }
                // Under which path it runs that is put off, nobody knows now.
                let path_known = self.path_known && !trigger.deferrable;
                let steps = AtomicUsize::new(self.taken());
                let lost = self.catalog.trigger_stores(trigger, &fired, self.stack, (self.path, path_known), &steps);
                self.took(steps.into_inner());
                let name = self.catalog.function(trigger.function).map_or("", |f| f.facts.name.as_str());
                self.uses(&lost, How::Source, &format!("the trigger function `{name}`"), -1);
            }
        }
    }

    /// What OLD and NEW hold. What the client itself gives is no secret to it; what lies in the table already may be.
    fn fired(&self, place: &Place<'t>, index: usize, firing: Firing, other: bool) -> Fired<'t> {
        let Some(relation) = self.catalog.relation(index) else { return Fired::default() };
        let held = self.lineage(index).columns.clone();
        let names: Vec<Cow<'t, str>> = relation.facts.columns.iter().map(|c| c.name.as_str().into()).collect();
        let keeps = firing.update || firing.delete;
        let old = if keeps { held.clone() } else { vec![Taint::CLEAN; held.len()] };
        let new = names
            .iter()
            .zip(&held)
            .map(|(name, held)| {
                let mut taint = Taint::CLEAN;
                let mut given = false;
                for (column, value) in &place.given {
                    if column == name || column.is_empty() {
                        given = true;
                        taint.join(value);
                    }
                }
                // Of several ways to change a row, one may leave the column as it was.
                if other || (firing.update && (!given || firing.insert)) {
                    taint.join(held);
                }
                taint
            })
            .collect();
        Fired { names, held, old, new }
    }

    fn insert(&mut self, insert: &'t InsertStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(insert.with_clause.as_ref(), outer);
        let mut place = self.place(insert.relation.as_ref());
        let mut firing = Firing { insert: true, ..Firing::default() };
        self.subscripts(&insert.cols, &scope);
        let mut chosen = Taint::CLEAN;
        if let Some(source) = tree::kind_of(&insert.select_stmt) {
            let (rel, predicate) = self.subquery(source, &scope);
            self.predicate.join(&predicate);
            chosen = predicate;
            let columns: Vec<Cow<'t, str>> = if insert.cols.is_empty() {
                place.rel.cols.iter().map(|c| c.name.clone()).collect()
            } else {
                insert.cols.iter().map(|c| Cow::Borrowed(target_name(c))).collect()
            };
            for (at, col) in rel.cols.iter().enumerate() {
                let column = columns.get(at).cloned().unwrap_or_default();
                self.store(&mut place, column, &Val::of(col), -1);
            }
            if let Some(open) = &rel.open {
                self.store(&mut place, Cow::Borrowed(""), &Val::made_of(open.clone()), -1);
            }
        }
        let mut from = place.from(&mut self.numbers);
        if let Some(conflict) = &insert.on_conflict_clause {
            let mut with_excluded = from.clone();
            let excluded = std::rc::Rc::new(Self::written(&place));
            with_excluded.items.push(Item::new("excluded", excluded));
            let inner = Scope::within(&scope, with_excluded);
            self.conflict_target(conflict.infer.as_deref(), &place, &inner);
            if conflict.action() == OnConflictAction::OnconflictUpdate {
                firing.update = true;
                self.assignments(&conflict.target_list, &mut place, &inner);
                self.condition(conflict.where_clause.as_deref(), &inner, How::Predicate, "WHERE");
            }
            from = place.from(&mut self.numbers);
        }
        let own = chosen.is_clean() && place.given.iter().all(|(_, value)| value.is_clean());
        self.inserts_own = own
            && !firing.update
            && insert.with_clause.is_none()
            && place.index.is_some_and(|index| self.catalog.takes_rows_as_they_are(index));
        self.changes_rows("insert", false, &place);
        self.changed_by_triggers(&place);
        self.fire(&place, firing);
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

    fn assignments(&mut self, targets: &'t [Node], place: &mut Place<'t>, scope: &Scope<'t, '_>) {
        for target in targets {
            if let Some(NodeEnum::ResTarget(target)) = tree::kind(target) {
                let mut value = match target.val.as_deref() {
                    Some(node) => self.expr(node, scope),
                    None => Val::clean(),
                };
                for step in &target.indirection {
                    if let Some(NodeEnum::AIndices(indices)) = tree::kind(step) {
                        value.taint.join(&self.part(&indices.lidx, scope));
                        value.taint.join(&self.part(&indices.uidx, scope));
                        value.plain = false;
                    }
                }
                if !target.indirection.is_empty() {
                    let column = place.rel.cols.iter().find(|c| c.name == target.name);
                    let held = column.map_or_else(|| place.rel.all(), |column| column.taint.clone());
                    self.part_of(&held, column.map_or(0, |column| column.type_oid), target);
                }
                self.store(place, Cow::Borrowed(&target.name), &value, target.location);
            }
        }
        let given: Vec<&str> = targets.iter().map(target_name).collect();
        self.replaces(place.index, &given);
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
        let mut place = self.place(update.relation.as_ref());
        let mut from = place.from(&mut self.numbers);
        for item in &update.from_clause {
            let next = self.item_of(item, &from, &scope);
            from.append(next);
        }
        let inner = Scope::within(&scope, from);
        self.assignments(&update.target_list, &mut place, &inner);
        let before = self.columns_seen;
        self.condition(update.where_clause.as_deref(), &inner, How::Predicate, "WHERE");
        let filtered = self.columns_seen != before;
        self.changed_by_triggers(&place);
        self.fire(&place, Firing { update: true, ..Firing::default() });
        self.changes_rows("update", filtered, &place);
        self.returned_as_found(&place, update.returning_clause.is_some());
        let mut rel = self.returning(update.returning_clause.as_ref(), &place, inner.from, &scope);
        rel.bounded = filtered;
        self.filtered = filtered;
        rel
    }

    fn delete(&mut self, delete: &'t DeleteStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(delete.with_clause.as_ref(), outer);
        let place = self.place(delete.relation.as_ref());
        let mut from = place.from(&mut self.numbers);
        for item in &delete.using_clause {
            let next = self.item_of(item, &from, &scope);
            from.append(next);
        }
        let inner = Scope::within(&scope, from);
        let before = self.columns_seen;
        self.condition(delete.where_clause.as_deref(), &inner, How::Predicate, "WHERE");
        let filtered = self.columns_seen != before;
        self.deletes(place.index);
        self.changed_by_triggers(&place);
        self.fire(&place, Firing { delete: true, ..Firing::default() });
        self.changes_rows("delete", filtered, &place);
        self.returned_as_found(&place, delete.returning_clause.is_some());
        let mut rel = self.returning(delete.returning_clause.as_ref(), &place, inner.from, &scope);
        rel.bounded = filtered;
        self.filtered = filtered;
        rel
    }

    fn merge(&mut self, merge: &'t MergeStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let scope = self.with(merge.with_clause.as_ref(), outer);
        let mut firing = Firing::default();
        let mut place = self.place(merge.relation.as_ref());
        let target = place.from(&mut self.numbers);
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
                CmdType::CmdDelete => {
                    firing.delete = true;
                    self.deletes(place.index);
                    self.changes_rows("delete", true, &place);
                }
                CmdType::CmdUpdate => {
                    firing.update = true;
                    self.changes_rows("update", true, &place);
                }
                CmdType::CmdInsert => {
                    firing.insert = true;
                    self.changes_rows("insert", false, &place);
                }
                _ => {}
            }
            if clause.values.is_empty() {
                self.assignments(&clause.target_list, &mut place, &inner);
                continue;
            }
            self.subscripts(&clause.target_list, &inner);
            for (at, value) in clause.values.iter().enumerate() {
                let value = self.expr(value, &inner);
                let column = match clause.target_list.get(at) {
                    Some(target) => Cow::Borrowed(target_name(target)),
                    None => place.rel.cols.get(at).map_or(Cow::Borrowed(""), |c| c.name.clone()),
                };
                self.store(&mut place, column, &value, -1);
            }
        }
        self.changes_rows("merge", true, &place);
        self.filtered = true;
        self.changed_by_triggers(&place);
        self.fire(&place, firing);
        self.returned_as_found(&place, merge.returning_clause.is_some());
        self.returning(merge.returning_clause.as_ref(), &place, inner.from, &scope)
    }

    /// The target of COPY FROM: rows go in, nothing comes out.
    pub(super) fn copied_into(&mut self, var: &'t RangeVar, where_clause: Option<&'t Node>, scope: &Scope<'t, '_>) {
        let place = self.place(Some(var));
        let from = place.from(&mut self.numbers);
        self.condition(where_clause, &Scope::within(scope, from), How::Predicate, "WHERE");
        self.changes_rows("copy", where_clause.is_some(), &place);
        self.changed_by_triggers(&place);
        self.fire(&place, Firing { insert: true, ..Firing::default() });
    }
}

fn target_name(node: &Node) -> &str {
    match tree::kind(node) {
        Some(NodeEnum::ResTarget(target)) => &target.name,
        _ => "",
    }
}
