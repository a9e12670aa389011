//! The one vocabulary of what a request does, for all protocols (DESIGN section 4).

use std::fmt;
use std::str::FromStr;

/// What a request does to an object. The names are those of the Cedar schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Open a session.
    Connect,
    /// Read without side effect.
    Read,
    /// Change rows or objects.
    Write,
    /// Change structure.
    Define,
    /// Server control, session identity, settings that weaken enforcement.
    Administer,
    /// Run code the gateway cannot see into.
    Execute,
    /// Bulk data out.
    Export,
    /// Files in or out.
    Transfer,
    /// Open a side channel.
    Forward,
    /// Receive a labelled value unmasked.
    Reveal,
    /// Use a labelled value anywhere but in a plain output column.
    Infer,
}

impl Action {
    /// Every action, in the order of the design's table.
    pub const ALL: [Action; 11] = [
        Action::Connect,
        Action::Read,
        Action::Write,
        Action::Define,
        Action::Administer,
        Action::Execute,
        Action::Export,
        Action::Transfer,
        Action::Forward,
        Action::Reveal,
        Action::Infer,
    ];

    /// The name in policies, recordings and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Connect => "connect",
            Action::Read => "read",
            Action::Write => "write",
            Action::Define => "define",
            Action::Administer => "administer",
            Action::Execute => "execute",
            Action::Export => "export",
            Action::Transfer => "transfer",
            Action::Forward => "forward",
            Action::Reveal => "reveal",
            Action::Infer => "infer",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown action `{0}`")]
pub struct UnknownAction(pub String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Action::ALL.into_iter().find(|a| a.name() == text).ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for action in Action::ALL {
            assert_eq!(action.name().parse::<Action>(), Ok(action));
        }
        assert!("drop".parse::<Action>().is_err());
    }
}
