//! Labels that data brought to columns which no rule names, and where the values of a statement come to lie, so that they
//! can be brought there.

use lockgate_core::Label;

use super::{Catalog, Relation, is_among};
use crate::statement::{Carry, CarryColumn};
use crate::taint::Taint;

/// A label on a column that data brought it to. The column is known by the server's ids, so that another name does not
/// take the label off and another relation of the same name does not get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedLabel {
    /// `pg_class.oid`.
    pub relation: u32,
    /// `pg_attribute.attnum`.
    pub column: i16,
    /// The label.
    pub label: Label,
    /// What lies there is made from labelled values, and is not one as it was.
    pub derived: bool,
    /// The relation is the session's own.
    pub temporary: bool,
}

impl CarriedLabel {
    /// Whether this one makes `other` superfluous.
    pub fn includes(&self, other: &CarriedLabel) -> bool {
        self.relation == other.relation
            && self.column == other.column
            && self.label == other.label
            && (self.derived || !other.derived)
    }
}

/// Where values came to lie cannot be told, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Astray(pub String);

/// text, varchar: without a modifier they take every value.
const ANY_TEXT: &[u32] = &[25, 1043];

impl Catalog {
    /// Whether a relation takes what is written to it as it is: no view, no rule, no trigger stands between.
    pub(crate) fn takes_labels(&self, index: usize) -> bool {
        self.relation(index)
            .is_some_and(|relation| is_table(relation) && !relation.facts.has_rules && relation.triggers.is_empty())
    }

    /// Whether a column takes every value of what is brought to it, so that nothing is told by its being taken. An empty
    /// name is any column.
    pub(crate) fn takes_any(&self, index: usize, column: &str, value: &Taint, plain: bool, type_oid: u32) -> bool {
        let Some(relation) = self.relation(index) else { return false };
        let mut columns = relation.facts.columns.iter().filter(|c| column.is_empty() || c.name == column);
        columns.all(|c| {
            let any = c.typmod == -1 && ANY_TEXT.contains(&c.type_oid);
            let computed_from = relation.together.iter().any(|together| {
                let at = together.generated.filter(|_| is_among(c.number, &together.columns));
                at.is_some_and(|at| !self.generated_never_fails(relation, at, &[]))
            });
            !c.constrained && !computed_from && (any || (plain && self.is_of_type(index, &c.name, value, type_oid)))
        })
    }

    /// Whether a column is of the very type of the labelled column that is copied to it.
    pub(crate) fn is_of_type(&self, index: usize, column: &str, value: &Taint, type_oid: u32) -> bool {
        let Some(relation) = self.relation(index) else { return false };
        let Some(target) = relation.facts.columns.iter().find(|c| c.name == column) else { return false };
        if target.typmod == -1 {
            return target.type_oid == type_oid;
        }
        self.only_column(value)
            .is_some_and(|source| (source.type_oid, source.typmod) == (target.type_oid, target.typmod))
    }

    /// Whether a relation takes what is written to it as it did by an earlier catalog, and into the same columns.
    fn is_as_in(&self, before: &Catalog, oid: u32) -> bool {
        let (Some(now), Some(then)) = (self.relations_by_oid.get(&oid), before.relations_by_oid.get(&oid)) else {
            return false;
        };
        let (Some(new), Some(old)) = (self.relation(*now), before.relation(*then)) else { return false };
        let (new, old) = (&new.facts.columns, &old.facts.columns);
        self.takes_labels(*now)
            && new.len() == old.len()
            && new.iter().zip(old).all(|(new, old)| {
                (&new.name, new.number, new.type_oid, new.typmod, new.constrained)
                    == (&old.name, old.number, old.type_oid, old.typmod, old.constrained)
            })
    }

    /// The ids of the relations of this name, wherever they are.
    fn ids_named(&self, name: &str) -> Vec<u32> {
        self.relations_named(name).iter().filter_map(|at| self.relation(*at)).map(|r| r.facts.oid).collect()
    }

    /// Whether there is a relation of this id.
    pub fn has_relation(&self, oid: u32) -> bool {
        self.relations_by_oid.contains_key(&oid) || !self.complete
    }

    /// The columns that a statement has written to, by a catalog of after it. `before` is the one that it was analysed with,
    /// and `path` holds every schema that the server may have looked the name up in.
    ///
    /// # Errors
    /// When there is no such place, or it is none that takes labels.
    pub fn carried_to(
        &self,
        carry: &Carry,
        labels: &[Label],
        before: &Catalog,
        path: &[String],
    ) -> Result<Vec<CarriedLabel>, Astray> {
        let astray = |what: &str| Astray(format!("`{}` {what}", carry.relation));
        let schema = match carry.schema.as_str() {
            "pg_temp" => self.temp_schema.as_deref().unwrap_or("pg_temp"),
            schema => schema,
        };
        let known = if carry.new { before.ids_named(&carry.relation) } else { Vec::new() };
        let here = |relation: &Relation| {
            let own = relation.facts.schema.as_str();
            let reached = self.temp_schema.as_deref() == Some(own) || path.iter().any(|p| p == own);
            let meant = if schema.is_empty() { carry.new || reached } else { own == schema };
            meant && !known.contains(&relation.facts.oid)
        };
        let found: Vec<&Relation> = self
            .relations_named(&carry.relation)
            .iter()
            .filter_map(|at| self.relation(*at))
            .filter(|r| here(r))
            .collect();
        if found.is_empty() {
            // IF NOT EXISTS wrote nothing where there was one.
            return if carry.may_exist { Ok(Vec::new()) } else { Err(astray("cannot be found")) };
        }
        // What the statement was analysed to write to is still there, under its name and as it was.
        if let Some(oid) = carry.oid
            && !(found.iter().any(|relation| relation.facts.oid == oid) && self.is_as_in(before, oid))
        {
            return Err(astray("has changed meanwhile"));
        }
        let mut carried = Vec::new();
        for relation in found {
            if !is_table(relation) && relation.facts.kind != 'm' {
                return Err(astray("is no table"));
            }
            let temporary = self.temp_schema.as_deref() == Some(relation.facts.schema.as_str());
            let columns = relation.facts.columns.iter().enumerate().filter(|(at, column)| match &carry.column {
                CarryColumn::Named(name) => column.name == *name,
                CarryColumn::At(place) => at == place,
                CarryColumn::Every => true,
            });
            let numbers: Vec<i16> = columns.map(|(_, column)| column.number).collect();
            if numbers.is_empty() {
                return Err(astray("has no such column"));
            }
            for column in numbers {
                for label in labels {
                    let label = label.clone();
                    let relation = relation.facts.oid;
                    carried.push(CarriedLabel { relation, column, label, derived: !carry.plain, temporary });
                }
            }
        }
        Ok(carried)
    }
}

fn is_table(relation: &Relation) -> bool {
    matches!(relation.facts.kind, 'r' | 'p')
}
