//! Problems in YAML files: places in the parsed text, excerpts of the written one, and no secret in either.

use crate::placeholders::unprotect;
use lockgate_policy::{Problem, nearest};
use serde_saphyr::{Error, Location};

/// A file that was read, and the mistakes found in it so far.
pub(crate) struct Page<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) problems: Vec<Problem>,
}

impl Page<'_> {
    /// A mistake at a place.
    pub(crate) fn at(&self, place: Location, width: usize, message: impl Into<String>) -> Problem {
        let (line, column) = (u32::try_from(place.line()).unwrap_or(0), u32::try_from(place.column()).unwrap_or(0));
        if line == 0 {
            return Problem::in_file(self.path, message);
        }
        let mut problem = Problem::at(self.path, self.text, line, column, u32::try_from(width).unwrap_or(1), message);
        problem.excerpt = problem.excerpt.map(|line| hide_secrets(&line));
        problem
    }

    /// What the YAML reader found wrong.
    pub(crate) fn unreadable(&self, error: &Error) -> Problem {
        let error = error.without_snippet();
        let place = error.location().unwrap_or(Location::UNKNOWN);
        let width = |name: &str| name.chars().count();
        match error {
            Error::SerdeUnknownField { field, expected, .. } => {
                let field = unprotect(field);
                let problem = self.at(place, width(&field), format!("unknown key `{field}`"));
                match nearest(&field, expected.iter().copied()) {
                    Some(meant) => problem.meaning(Some(meant)),
                    None => problem.with_hint(format!("the keys here are {}", list(expected))),
                }
            }
            Error::SerdeMissingField { field, .. } => self.at(place, 1, format!("`{field}` is missing")),
            Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
                self.at(place, 1, format!("expected {}", plain(expected)))
            }
            other => {
                let text = unprotect(&other.to_string());
                let text = text.split(" at line ").next().unwrap_or(&text);
                let text = text.trim_end_matches(['.', ':', ',']);
                let expected = text.strip_prefix("expected ").map(|expected| format!("expected {}", plain(expected)));
                self.at(place, 1, expected.unwrap_or_else(|| text.to_owned()))
            }
        }
    }
}

/// Serde's words for what it expects, in words that mean something to an administrator.
fn plain(expected: &str) -> String {
    match expected {
        e if e.starts_with("struct") => "a mapping of keys to values".to_owned(),
        "a string" | "string scalar" => "a single value".to_owned(),
        "a sequence" | "sequence start" => "a list".to_owned(),
        "a map" | "mapping start" => "a mapping of keys to values".to_owned(),
        other => other.to_owned(),
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// Keys whose value is never shown, unless it is a placeholder.
const SECRET_KEYS: [&str; 4] = ["password:", "client_secret:", "slack:", "webhook:"];

/// The line with what follows a secret key blotted out, character by character, so that marks stay in place.
fn hide_secrets(line: &str) -> String {
    let mut hidden = line.to_owned();
    for key in SECRET_KEYS {
        let Some(at) = hidden.find(key) else { continue };
        let (before, value) = hidden.split_at(at + key.len());
        if !value.trim_start().starts_with("${") {
            let blots: String = value.chars().map(|c| if c == ' ' { ' ' } else { '*' }).collect();
            hidden = format!("{before}{blots}");
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::hide_secrets;

    #[test]
    fn excerpts_show_no_secret() {
        for (line, shown) in [
            ("  password: hunter2", "  password: *******"),
            ("  password: ${env:A}", "  password: ${env:A}"),
            ("- {password: a b, prot: 1}", "- {password: * ** ***** **"),
            ("  name: orders", "  name: orders"),
        ] {
            assert_eq!(hide_secrets(line), shown);
        }
    }
}
