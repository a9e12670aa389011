//! How a labelled value is changed before it leaves, and which method wins where several policies name one.

use std::fmt;
use std::str::FromStr;

/// A mask method. The order is strength: `null > redact > hash > token > partial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// A part stays: the last four characters, an e-mail address's domain, a date's year.
    Partial,
    /// A keyed, readable stand-in: equal values have equal tokens, everywhere under one label.
    Token,
    /// A keyed digest: equal values have equal digests, everywhere under one label.
    Hash,
    /// A constant of the same type.
    Redact,
    /// NULL.
    Null,
}

impl Method {
    /// Every method, weakest first.
    pub const ALL: [Method; 5] = [Method::Partial, Method::Token, Method::Hash, Method::Redact, Method::Null];

    /// The name in policies, recordings and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Partial => "partial",
            Method::Token => "token",
            Method::Hash => "hash",
            Method::Redact => "redact",
            Method::Null => "null",
        }
    }

    /// The strongest of `methods`; `None` when there is none.
    pub fn strongest(methods: impl IntoIterator<Item = Method>) -> Option<Method> {
        methods.into_iter().max()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a mask method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown mask method `{0}`: use `redact`, `partial`, `hash`, `token` or `null`")]
pub struct UnknownMethod(pub String);

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Method::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| UnknownMethod(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_and_names() {
        use Method::{Hash, Null, Partial, Redact, Token};
        assert!(Null > Redact && Redact > Hash && Hash > Token && Token > Partial);
        assert_eq!(Method::strongest([Partial, Redact, Token]), Some(Redact));
        assert_eq!(Method::strongest([]), None);
        for method in Method::ALL {
            assert_eq!(method.to_string().parse::<Method>(), Ok(method));
        }
        assert!("Redact".parse::<Method>().is_err());
    }
}
