//! The names of result columns. A name is data too: code that runs in the database can name a column after a value
//! (`CREATE VIEW … AS SELECT 1 AS "value"`). On a target with labels a name passes that the analysis foresaw, that stands in the
//! statement's own text, or that the catalog has; any other name of a column that is masked is replaced.

use super::Pump;
use crate::message::RowDescription;
use crate::prepare::Prepared;
use lockgate_core::limits::PG_TITLE_SEARCH_BYTES_MAX;
use lockgate_session::Plan;
use lockgate_sql::Outputs;

/// The length from which the server cuts names (`NAMEDATALEN`), less the longest character.
const CUT_NAME_BYTES_MIN: usize = 60;

/// What a catalog takes of memory for each byte of a name in it, in estimate.
const CATALOG_BYTES_FOR_A_NAME: usize = 16;

/// What is known of a described result.
pub(super) struct Foreseen<'a> {
    /// The text, and the position of the statement in it; `None` where it was opened out of our sight.
    pub(super) statement: Option<(&'a Prepared, usize)>,
    /// The plan; `None` where every column may be masked.
    pub(super) plan: Option<&'a Plan>,
}

impl Pump {
    /// Which of the described columns must not show their names; empty for none.
    pub(super) fn hidden_titles(&self, description: &[u8], foreseen: &Foreseen<'_>) -> Vec<bool> {
        let masks = foreseen.plan.is_none_or(|plan| plan.masks.any());
        if !masks || !self.labelled() {
            return Vec::new();
        }
        let Ok(described) = RowDescription::decode(description) else { return Vec::new() };
        let is_masked = |index| foreseen.plan.is_none_or(|plan| plan.masks.column(index).is_some());
        if !(0..described.len()).any(is_masked) {
            return Vec::new();
        }
        let mut words = self.words(foreseen);
        let hidden: Vec<bool> = described
            .fields()
            .enumerate()
            .map(|(index, field)| is_masked(index) && !self.knows_title(index, field.name, foreseen, &mut words))
            .collect();
        if hidden.contains(&true) { hidden } else { Vec::new() }
    }

    /// What the text says, and what EXECUTE and FETCH run, which has a text of its own.
    fn words<'a>(&'a self, foreseen: &Foreseen<'a>) -> Words<'a> {
        let Some((prepared, at)) = foreseen.statement else { return Words::default() };
        let runs = prepared.statements().get(at).and_then(|s| self.runs_by_name(s)).flatten();
        let texts = std::iter::once(&**prepared.text()).chain(runs.map(|runs| &**runs.text()));
        let outputs = runs.and_then(|runs| runs.statements().first()).map(|s| &s.outputs);
        Words { texts: texts.collect(), outputs, folded: None, searched: 0 }
    }

    fn knows_title(&self, index: usize, name: &[u8], foreseen: &Foreseen<'_>, words: &mut Words<'_>) -> bool {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        let statement = foreseen.statement.and_then(|(prepared, at)| prepared.statements().get(at));
        let foresees = |outputs: Option<&Outputs>| match outputs {
            Some(Outputs::Known(outputs)) => outputs.get(index).is_some_and(|output| is_same(&output.name, name)),
            Some(Outputs::NoRows | Outputs::Each(_)) | None => false,
        };
        foresees(statement.map(|s| &s.outputs))
            || foresees(words.outputs)
            || words.have(name)
            || self.is_public(name, words)
    }

    fn is_public(&self, name: &str, words: &mut Words<'_>) -> bool {
        let catalog = &self.truth.snapshot.catalog;
        matches!(name, "?column?" | "QUERY PLAN")
            || (words.may_search(catalog.bytes() / CATALOG_BYTES_FOR_A_NAME) && catalog.knows_name(name))
    }
}

/// Whether the server made `name` of what the analysis foresaw: it cuts names that are too long.
fn is_same(foreseen: &str, name: &str) -> bool {
    foreseen == name || (name.len() >= CUT_NAME_BYTES_MIN && foreseen.starts_with(name))
}

/// The texts that a result's names may stand in. A text may be long and a result wide, so what is searched is counted.
#[derive(Default)]
struct Words<'a> {
    texts: Vec<&'a str>,
    /// What is known of the result of what EXECUTE or FETCH runs.
    outputs: Option<&'a Outputs>,
    /// In lower case, once something was searched for: names are folded unless they are quoted.
    folded: Option<Vec<String>>,
    searched: usize,
}

impl Words<'_> {
    /// Whether one of the texts has this word, in any case.
    fn have(&mut self, word: &str) -> bool {
        if !self.may_search(self.texts.iter().map(|text| text.len()).sum()) {
            return false;
        }
        let word = word.to_lowercase();
        let texts = &self.texts;
        let folded = self.folded.get_or_insert_with(|| texts.iter().map(|text| text.to_lowercase()).collect());
        folded.iter().any(|text| has_word(text, &word))
    }

    /// Counts a search through so many bytes; false where that would be too much.
    fn may_search(&mut self, bytes: usize) -> bool {
        self.searched = self.searched.saturating_add(bytes);
        self.searched <= PG_TITLE_SEARCH_BYTES_MAX
    }
}

/// Whether the text has this word, both in lower case.
fn has_word(text: &str, word: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !word.is_empty()
        && text.match_indices(word).any(|(at, found)| {
            let before = text.get(..at).and_then(|t| t.chars().next_back());
            let after = text.get(at + found.len()..).and_then(|t| t.chars().next());
            !in_word(before) && !in_word(after)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, word, expect) in [
            ("SELECT f() AS Total", "total", true),
            ("SELECT f() AS \"To tal\"", "To tal", true),
            ("SELECT subtotal FROM t", "total", false),
            ("SELECT total_2 FROM t", "total", false),
            ("SELECT 1", "", false),
            ("SELECT 1", "123-45", false),
        ] {
            let mut words = Words { texts: vec!["", text], ..Words::default() };
            assert_eq!(words.have(word), expect, "{text} / {word}");
        }
        let text = format!("SELECT f() AS total{}", " ".repeat(1024 * 1024));
        let mut words = Words { texts: vec![&text], ..Words::default() };
        let found = (0..1_600).filter(|_| words.have("total")).count();
        assert_eq!(found, PG_TITLE_SEARCH_BYTES_MAX / text.len(), "what is searched has a bound");
        let long = "a".repeat(80);
        assert!(is_same(&long, &long[..63]) && !is_same(&long, &long[..10]) && is_same("x", "x"));
    }
}
