//! Names for kinds of sensitive data: hierarchical, `pii` above `pii/ssn`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A label such as `pii/ssn`. Segments are lower-case letters, digits, `_` and `-`, joined by `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

/// The text is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a label: use lower-case words joined by `/`, such as `pii/ssn`")]
pub struct LabelError(pub String);

impl Label {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels above this one, nearest first: `a/b/c` gives `a/b`, `a`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let whole: &str = &self.0;
        whole.rmatch_indices('/').filter_map(move |(at, _)| whole.get(..at))
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &str) -> bool {
        self.as_str() == other || self.ancestors().any(|a| a == other)
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ok = !text.is_empty()
            && text.len() <= crate::limits::LABEL_BYTES_MAX
            && text.split('/').all(|segment| {
                !segment.is_empty()
                    && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
            });
        if ok { Ok(Label(Arc::from(text))) } else { Err(LabelError(text.to_owned())) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchy() {
        let label: Label = "pii/contact/email".parse().unwrap();
        assert_eq!(label.ancestors().collect::<Vec<_>>(), ["pii/contact", "pii"]);
        assert!(label.is_within("pii"));
        assert!(!label.is_within("pi"));
    }

    #[test]
    fn refuses_what_is_no_label() {
        for bad in ["", "/", "a//b", "A", "a b", "a/", "ä"] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
    }
}
