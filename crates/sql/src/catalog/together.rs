//! Columns that the server looks at together when it stores a row: those of a check, of a generated column that is stored,
//! of the expressions and conditions of indexes. Who replaces one of them learns by what is refused of the others. And foreign
//! keys, along which it changes more rows than a statement names. What such an expression calls is `calls.rs`.

use super::facts::{Code, ColumnFacts, ReferenceFacts, RelationFacts, TogetherFacts};
use super::{Catalog, Lineage, Relation};
use crate::analyze::Frame;
use crate::taint::Taint;

/// All columns of a row, where the number of one belongs.
const WHOLE_ROW: i16 = 0;
/// What stands before the number of a column in the server's trees.
const NUMBER: &str = ":varattno ";

/// Columns that the server looks at together.
#[derive(Debug)]
pub(crate) struct Together {
    /// What does so, for a message.
    pub(crate) what: String,
    /// The numbers of the columns.
    pub(crate) columns: Vec<i16>,
    /// What is looked at as well where one of those is labelled.
    pub(crate) also: Vec<i16>,
    /// The place of the generated column that is made of them, if that is what it is about.
    pub(crate) generated: Option<usize>,
}

impl Together {
    /// The columns that each stored column of a relation is generated from.
    pub(super) fn of_generated(relation: &RelationFacts) -> Vec<Together> {
        let stored = relation.columns.iter().enumerate().filter(|(_, column)| !column.computed);
        let made = stored.filter_map(|(at, column)| {
            let columns = columns_of(column.generated.as_ref()?);
            let what = format!("the generated column `{}`", column.name);
            Some(Together { what, columns, also: Vec::new(), generated: Some(at) })
        });
        made.collect()
    }

    /// The columns, with what they hold.
    pub(crate) fn columns_in<'r>(
        &'r self,
        relation: &'r Relation,
        lineage: &'r Lineage,
    ) -> impl Iterator<Item = (&'r ColumnFacts, &'r Taint)> {
        let all = || relation.facts.columns.iter().zip(&lineage.columns);
        let labelled = all().any(|(column, held)| is_among(column.number, &self.columns) && !held.is_clean());
        let is_in = move |number| is_among(number, &self.columns) || (labelled && is_among(number, &self.also));
        all().filter(move |(column, _)| is_in(column.number))
    }

    pub(super) fn of_facts(facts: TogetherFacts) -> Together {
        let TogetherFacts { relation: _, what, columns, also } = facts;
        Together { what, columns, also, generated: None }
    }
}

/// What becomes of rows when what they refer to changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// They stay as they are, and it may not.
    Nothing,
    /// The same.
    Cascades,
    /// The columns that refer are set to something else.
    Sets,
}

impl Action {
    fn of(letter: char) -> Action {
        match letter {
            'a' | 'r' => Action::Nothing,
            'c' => Action::Cascades,
            _ => Action::Sets,
        }
    }
}

/// A foreign key that refers to a relation.
#[derive(Debug)]
pub(crate) struct Reference {
    name: String,
    /// The relation that refers.
    pub(crate) from: usize,
    /// Its columns that do.
    pub(crate) columns: Vec<i16>,
    /// What they refer to.
    pub(crate) to: Vec<i16>,
    pub(crate) on_update: Action,
    pub(crate) on_delete: Action,
}

impl Reference {
    pub(super) fn of_facts(from: usize, facts: ReferenceFacts) -> Reference {
        let (on_update, on_delete) = (Action::of(facts.on_update), Action::of(facts.on_delete));
        Reference { name: facts.name, from, columns: facts.columns, to: facts.to_columns, on_update, on_delete }
    }

    /// Rows that refer may be changed.
    pub(crate) fn carries_on(&self) -> bool {
        self.on_update != Action::Nothing || self.on_delete != Action::Nothing
    }
}

/// Whether a column is among those of these numbers.
pub(crate) fn is_among(number: i16, columns: &[i16]) -> bool {
    columns.contains(&number) || columns.contains(&WHOLE_ROW)
}

/// The numbers of the columns that an expression of one relation names.
pub(crate) fn columns_of(code: &Code) -> Vec<i16> {
    let Code::Tree(tree) = code else { return vec![WHOLE_ROW] };
    let numbers = tree.split(NUMBER).skip(1).map(|rest| {
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end).and_then(|number| number.parse().ok()).unwrap_or(WHOLE_ROW)
    });
    let mut numbers: Vec<i16> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

impl Catalog {
    /// The columns that the check or foreign key of this name looks at, by their relations. `None` where no such is known.
    pub(crate) fn constrained_by(&self, index: usize, name: &str) -> Option<Vec<(usize, &[i16])>> {
        let check = format!("the check `{name}`");
        if let Some(check) = self.relation(index)?.together.iter().find(|together| together.what == check) {
            return Some(vec![(index, &check.columns)]);
        }
        let mut all = self.references.iter().flat_map(|(to, references)| references.iter().map(move |r| (*to, r)));
        let (to, key) = all.find(|(_, reference)| reference.from == index && reference.name == name)?;
        Some(vec![(index, &key.columns), (to, &key.to)])
    }

    /// The foreign keys that refer to a relation, or to what it is a part of.
    pub(crate) fn references_to(&self, index: usize) -> impl Iterator<Item = &Reference> {
        let above = self.relation(index).map(|relation| relation.ancestors.as_slice()).unwrap_or_default();
        let all = std::iter::once(index).chain(above.iter().copied());
        all.filter_map(|at| self.references.get(&at)).flatten()
    }

    /// Whether computing the generated column at this place fails for no row.
    pub(crate) fn generated_never_fails(&self, relation: &Relation, at: usize, stack: &[Frame]) -> bool {
        self.generated_at(relation, at, stack).is_some_and(|made| {
            let sure = match &made.outputs {
                crate::Outputs::Known(outputs) => outputs.first().is_some_and(|output| output.sure),
                _ => false,
            };
            let room = relation.facts.columns.get(at).is_some_and(|column| column.typmod == -1);
            sure && room && made.uses.is_empty() && !made.facts.opaque
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_tree_are_all_that_it_names() {
        let tree =
            "{OPEXPR :args ({VAR :varno 1 :varattno 4 :vartype 23} {VAR :varno 1 :varattno 2} {VAR :varattno 4})}";
        assert_eq!(columns_of(&Code::Tree(tree.into())), [2, 4]);
        assert_eq!(columns_of(&Code::Tree("{VAR :varno 1 :varattno 0 :x}".into())), [WHOLE_ROW]);
        assert_eq!(columns_of(&Code::Sql("a + b".into())), [WHOLE_ROW], "what cannot be read may name any");
        assert!(is_among(7, &[WHOLE_ROW]) && is_among(7, &[7]) && !is_among(7, &[2]));
    }
}
