//! What the server does by itself with the rows that a statement writes: it computes checks, generated columns and indexes of
//! them, carries changes on along foreign keys, and speaks of whole rows where it refuses one. A column that the statement
//! does not name takes part in all of that. Triggers and rules are in `modify.rs`.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ResTarget};

use super::{Analyzer, tree};
use crate::catalog::{Action, Lineage, Relation, Together, columns_of, is_among};
use crate::statement::How;
use crate::taint::Taint;

/// The columns of a relation that a statement replaces.
struct Replaced<'a> {
    given: &'a [&'a str],
    /// It is done through a view, which calls columns as it likes.
    view: bool,
}

impl Replaced<'_> {
    fn has(&self, name: &str) -> bool {
        self.view || self.given.contains(&name)
    }

    /// Whether one of the columns of these numbers is replaced.
    fn is_among(&self, relation: &Relation, columns: &[i16]) -> bool {
        relation.facts.columns.iter().any(|c| is_among(c.number, columns) && self.has(&c.name))
    }

    /// Whether one of the columns that the server looks at together is another afterwards.
    fn is_in(&self, relation: &Relation, together: &Together, lineage: &Lineage) -> bool {
        let all = || together.columns_in(relation, lineage);
        // Alone, a column that a view does not show stays, and one that it shows is given.
        if self.view && all().nth(1).is_none() {
            return false;
        }
        all().any(|(column, _)| match &column.generated {
            Some(code) => self.is_among(relation, &columns_of(code)),
            None => self.has(&column.name),
        })
    }

    /// What those of them hold that stay as they are, or follow from such.
    fn leaves(&self, relation: &Relation, together: &Together, lineage: &Lineage) -> Taint {
        let all = together.columns_in(relation, lineage);
        let stay = all.filter(|(column, _)| self.view || column.generated.is_some() || !self.has(&column.name));
        stay.fold(Taint::CLEAN, |taint, (_, held)| taint.with(held))
    }
}

/// What becomes of a relation's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Becomes {
    /// These columns are replaced.
    Other(Vec<String>),
    Deleted,
}

impl<'t> Analyzer<'t> {
    /// A part of a value is replaced: where it goes is found in the value that is there, and some have no such place.
    pub(super) fn part_of(&mut self, held: &Taint, type_oid: u32, target: &'t ResTarget) {
        let subscript = |step: &Node| matches!(tree::kind(step), Some(NodeEnum::AIndices(_)));
        // A field is there in every row; the domain above it may not take what comes of it.
        let fields = self.catalog.types().get(&type_oid).is_some_and(|facts| facts.kind == 'c');
        if !fields || target.indirection.iter().any(subscript) {
            self.may_fail(held, "a part of a value that is replaced", target.location);
        }
    }

    /// The rows of a relation are written: what the server may speak of in an error is any row that comes of it.
    pub(super) fn may_speak_of(&mut self, index: usize) {
        let mut all = vec![index];
        let mut at = 0;
        while let Some(index) = all.get(at).copied() {
            at += 1;
            let catalog = self.catalog;
            let Some(relation) = catalog.relation(index) else { continue };
            let row = self.lineage(index).row.clone();
            self.touches.join(&row);
            for trigger in relation.triggers.iter().filter(|_| at > 1) {
                let value = self.summary_beneath(trigger.function).value.clone();
                self.may_say(&value);
            }
            let mut next = self.beneath_table(index);
            let references = catalog.references_to(index).filter(|reference| reference.carries_on());
            next.extend(references.map(|reference| reference.from));
            for index in next {
                if !all.contains(&index) {
                    all.push(index);
                }
            }
            if !self.search(all.len()) {
                let all = self.unknown();
                self.touches.join(&all);
                return;
            }
        }
    }

    /// Columns of a relation's rows are replaced.
    pub(super) fn replaces(&mut self, index: Option<usize>, given: &[&str]) {
        let Some(index) = index.filter(|_| self.catalog.has_labels() && !self.by_owner) else { return };
        let view = self.catalog.relation(index).is_some_and(|relation| relation.facts.kind == 'v');
        for at in if view { self.beneath_table(index) } else { vec![index] } {
            self.beside(at, &Replaced { given, view });
            let names = match self.catalog.relation(at) {
                Some(relation) if view => relation.facts.columns.iter().map(|c| c.name.clone()).collect(),
                _ => given.iter().map(|name| (*name).to_owned()).collect(),
            };
            self.carries_on(at, Becomes::Other(names));
        }
    }

    /// Rows of a relation are deleted.
    pub(super) fn deletes(&mut self, index: Option<usize>) {
        let Some(index) = index.filter(|_| self.catalog.has_labels() && !self.by_owner) else { return };
        let view = self.catalog.relation(index).is_some_and(|relation| relation.facts.kind == 'v');
        for at in if view { self.beneath_table(index) } else { vec![index] } {
            self.carries_on(at, Becomes::Deleted);
        }
    }

    /// What rows are that refer to such of this relation becomes other as well.
    fn carries_on(&mut self, index: usize, becomes: Becomes) {
        let mut all = vec![(index, becomes)];
        let mut at = 0;
        while let Some((index, becomes)) = all.get(at).cloned() {
            at += 1;
            let catalog = self.catalog;
            let Some(relation) = catalog.relation(index) else { continue };
            for reference in catalog.references_to(index) {
                let is_other = |names: &[String]| {
                    let mut to = relation.facts.columns.iter().filter(|c| is_among(c.number, &reference.to));
                    to.any(|column| names.contains(&column.name))
                };
                let action = match &becomes {
                    Becomes::Deleted => reference.on_delete,
                    Becomes::Other(names) if is_other(names) => reference.on_update,
                    Becomes::Other(_) => continue,
                };
                let Some(from) = catalog.relation(reference.from) else { continue };
                let columns = from.facts.columns.iter().filter(|c| is_among(c.number, &reference.columns));
                let names: Vec<String> = columns.map(|c| c.name.clone()).collect();
                let next = match action {
                    Action::Nothing => continue,
                    Action::Cascades if becomes == Becomes::Deleted => Becomes::Deleted,
                    Action::Cascades | Action::Sets => {
                        let given: Vec<&str> = names.iter().map(String::as_str).collect();
                        self.beside(reference.from, &Replaced { given: &given, view: false });
                        Becomes::Other(names)
                    }
                };
                let next = (reference.from, next);
                if !all.contains(&next) {
                    all.push(next);
                }
            }
            if !self.search(all.len()) {
                return;
            }
        }
    }

    /// Some columns of a row are replaced, and what the server computes of them and of labelled ones that stay fails, or
    /// refuses the row, by what those hold.
    fn beside(&mut self, index: usize, replaced: &Replaced<'_>) {
        let mut tables = vec![index];
        tables.extend(self.beneath_table(index));
        for at in tables {
            let Some(relation) = self.catalog.relation(at) else { continue };
            let lineage = self.lineage(at);
            let work = relation.together.len().saturating_mul(relation.facts.columns.len());
            if lineage.row.is_clean() || !self.search(work) {
                continue;
            }
            // A row that goes to another partition has to fit in there.
            let above = || relation.ancestors.iter().filter_map(|at| self.catalog.relation(*at));
            let moves = above().any(|whole| replaced.is_among(whole, &whole.facts.partitioned_by));
            for together in &relation.together {
                let own = || !above().any(|whole| whole.together.iter().any(|other| other.what == together.what));
                if !(replaced.is_in(relation, together, lineage) || (moves && own())) {
                    continue;
                }
                let stays = replaced.leaves(relation, together, lineage);
                let fails = |at: usize| !self.catalog.generated_never_fails(relation, at, self.stack);
                if !stays.is_clean() && together.generated.is_none_or(fails) {
                    self.uses(&stays, How::Expression, &together.what, -1);
                }
            }
        }
    }

    /// The relations that hold the rows of this one as well: the tables beneath a view, children and partitions.
    pub(super) fn beneath_table(&mut self, index: usize) -> Vec<usize> {
        let catalog = self.catalog;
        let Some(relation) = catalog.relation(index) else { return Vec::new() };
        let tables: &[String] = if relation.facts.kind == 'v' { &self.lineage(index).tables } else { &[] };
        self.search(catalog.relations().count());
        let is_beneath = |other: &Relation| {
            other.ancestors.contains(&index)
                || (!tables.is_empty()
                    && other.facts.kind != 'v'
                    && tables.contains(&format!("{}.{}", other.facts.schema, other.facts.name)))
        };
        catalog.relations().filter(|(_, other)| is_beneath(other)).map(|(at, _)| at).collect()
    }
}
