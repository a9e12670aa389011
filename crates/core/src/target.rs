//! What an identity may ask for: a target, and on it a database.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a target: letters, digits, `_`, `-` and `.`, at most 63 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetName(Arc<str>);

/// The text cannot be the name of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be a target's name: use letters, digits, `_`, `-` and `.`, at most 63")]
pub struct TargetNameError(pub String);

impl TargetName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TargetName {
    type Err = TargetNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ok = !text.is_empty()
            && text.len() <= crate::limits::TARGET_NAME_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if ok { Ok(TargetName(Arc::from(text))) } else { Err(TargetNameError(text.to_owned())) }
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A target and the database on it: `orders`, or `orders/archive` for another database of the same server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Database {
    /// The target.
    pub target: TargetName,
    /// The database asked for by name; `None` means the target's own.
    pub database: Option<String>,
}

impl FromStr for Database {
    type Err = TargetNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None => Ok(Database { target: text.parse()?, database: None }),
            Some((target, database)) if !database.is_empty() => {
                Ok(Database { target: target.parse()?, database: Some(database.to_owned()) })
            }
            Some(_) => Err(TargetNameError(text.to_owned())),
        }
    }
}
