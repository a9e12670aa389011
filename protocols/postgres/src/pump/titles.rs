//! The names of result columns. A name is data too: code that runs in the database can name a column after a value
//! (`CREATE VIEW … AS SELECT 1 AS "value"`). On a target with labels a name passes that the analysis foresaw, that stands in the
//! statement's own text, or that the catalog has; any other name of a column that is masked is replaced.

use super::Pump;
use crate::message::RowDescription;
use crate::prepare::Prepared;
use lockgate_session::Plan;
use lockgate_sql::Outputs;

/// The length from which the server cuts names (`NAMEDATALEN`), less the longest character.
const CUT_NAME_BYTES_MIN: usize = 60;

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
        let hidden: Vec<bool> = described
            .fields()
            .enumerate()
            .map(|(index, field)| {
                let masked = foreseen.plan.is_none_or(|plan| plan.masks.column(index).is_some());
                masked && !self.knows_title(index, field.name, foreseen)
            })
            .collect();
        if hidden.contains(&true) { hidden } else { Vec::new() }
    }

    fn knows_title(&self, index: usize, name: &[u8], foreseen: &Foreseen<'_>) -> bool {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        let Some((prepared, at)) = foreseen.statement else { return self.is_public(name) };
        let statement = prepared.statements().get(at);
        if let Some(Outputs::Known(outputs)) = statement.map(|s| &s.outputs)
            && let Some(output) = outputs.get(index)
            && is_same(&output.name, name)
        {
            return true;
        }
        // What EXECUTE and FETCH run has a text of its own.
        let runs = statement.and_then(|s| self.runs_by_name(s)).flatten();
        has_word(prepared.text(), name) || runs.is_some_and(|runs| has_word(runs.text(), name)) || self.is_public(name)
    }

    fn is_public(&self, name: &str) -> bool {
        matches!(name, "?column?" | "QUERY PLAN") || self.truth.snapshot.catalog.knows_name(name)
    }
}

/// Whether the server made `name` of what the analysis foresaw: it cuts names that are too long.
fn is_same(foreseen: &str, name: &str) -> bool {
    foreseen == name || (name.len() >= CUT_NAME_BYTES_MIN && foreseen.starts_with(name))
}

/// Whether the text has this word, in any case: names are folded unless they are quoted.
fn has_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !word.is_empty()
        && text.match_indices(&word).any(|(at, found)| {
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
            assert_eq!(has_word(text, word), expect, "{text} / {word}");
        }
        let long = "a".repeat(80);
        assert!(is_same(&long, &long[..63]) && !is_same(&long, &long[..10]) && is_same("x", "x"));
    }
}
