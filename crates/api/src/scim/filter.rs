//! Which resources a directory looks for: one comparison with `eq`, which is what directories send, and pages.

use super::error::ScimError;
use lockgate_core::limits;
use serde::Deserialize;

/// The query of a list.
#[derive(Deserialize)]
pub(super) struct Query {
    filter: Option<String>,
    #[serde(rename = "startIndex")]
    start_index: Option<i64>,
    count: Option<i64>,
    #[serde(rename = "excludedAttributes")]
    excluded: Option<String>,
}

impl Query {
    /// The attribute that is compared, in lower case and one of `known`, and the value.
    pub(super) fn comparison(&self, known: &[&'static str]) -> Result<Option<(&'static str, String)>, ScimError> {
        self.filter.as_deref().map(|filter| comparison(filter, known)).transpose()
    }

    /// The number of the first resource, from 1 on.
    pub(super) fn start(&self) -> usize {
        usize::try_from(self.start_index.unwrap_or(1).max(1)).unwrap_or(usize::MAX)
    }

    /// How many resources at most; 0 asks for the total only.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.count.unwrap_or(100).max(0)).unwrap_or(0).min(limits::LIST_PAGE_MAX)
    }

    /// Whether the answer may leave this attribute out.
    pub(super) fn excludes(&self, name: &str) -> bool {
        self.excluded.iter().flat_map(|all| all.split(',')).any(|one| one.trim().eq_ignore_ascii_case(name))
    }
}

fn comparison(filter: &str, known: &[&'static str]) -> Result<(&'static str, String), ScimError> {
    let refused = || {
        let detail = format!("only `ATTRIBUTE eq \"VALUE\"` of {} is carried", known.join(", "));
        ScimError::bad("invalidFilter", detail)
    };
    let mut words = filter.trim().splitn(3, char::is_whitespace);
    let (Some(name), Some(operator), Some(value)) = (words.next(), words.next(), words.next()) else {
        return Err(refused());
    };
    if !operator.eq_ignore_ascii_case("eq") {
        return Err(refused());
    }
    let name = super::patch::bare(name);
    let name = known.iter().find(|known| known.eq_ignore_ascii_case(name)).copied().ok_or_else(refused)?;
    // A value is written as in JSON (RFC 7644, 3.4.2.2).
    let value = serde_json::from_str(value.trim()).map_err(|_| refused())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comparison_is_read_and_nothing_else() {
        let known = ["userName", "externalId"];
        for (filter, expected) in [
            ("userName eq \"alice@example.com\"", Some(("userName", "alice@example.com"))),
            ("USERNAME Eq \"a b \\\" c\"", Some(("userName", "a b \" c"))),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"x\"", Some(("userName", "x"))),
            ("externalId eq \"00u1\"", Some(("externalId", "00u1"))),
            ("userName sw \"a\"", None),
            ("userName eq alice", None),
            ("userName eq \"a\" or userName pr", None),
            ("userName eq \"a", None),
            ("active eq true", None),
            ("userName", None),
            ("", None),
        ] {
            let read = comparison(filter, &known).ok();
            assert_eq!(read.as_ref().map(|(name, value)| (*name, value.as_str())), expected, "{filter}");
        }
    }
}
