//! Detectors that people define: a pattern, keywords, a check digit, and words that must be near.

use crate::checks::{luhn, mod97, verhoeff};
use crate::class::slice;
use crate::context::Column;
use regex::bytes::{Regex, RegexBuilder};
use std::str::FromStr;

/// The memory that one pattern may compile to, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// The longest pattern as written.
const PATTERN_LENGTH_MAX: usize = 4096;
/// How far before a match a context word counts, in bytes.
const CONTEXT_BYTES: usize = 64;

/// A check that a match's digits must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Luhn.
    Luhn,
    /// ISO 7064 MOD 97-10.
    Mod97,
    /// Verhoeff.
    Verhoeff,
}

impl FromStr for Checksum {
    type Err = CustomError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "luhn" => Ok(Checksum::Luhn),
            "mod97" => Ok(Checksum::Mod97),
            "verhoeff" => Ok(Checksum::Verhoeff),
            other => Err(CustomError::Checksum(other.to_owned())),
        }
    }
}

/// A detector is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomError {
    /// The pattern cannot be read, or compiles to too much.
    #[error("the pattern cannot be used: {0}")]
    Pattern(String),
    /// The pattern matches the empty text, and so everywhere.
    #[error("the pattern matches the empty text")]
    Empty,
    /// The check has another name.
    #[error("unknown checksum `{0}`: use `luhn`, `mod97` or `verhoeff`")]
    Checksum(String),
    /// Neither a pattern nor keywords.
    #[error("a detector needs a `pattern` or `keywords`")]
    Nothing,
}

/// A user-defined detector.
#[derive(Debug)]
pub struct Custom {
    name: String,
    pattern: Regex,
    checksum: Option<Checksum>,
    context: Vec<String>,
}

impl Custom {
    /// A detector of matches of `pattern`, or of `keywords` as whole words in any case, or of both. A match counts where
    /// its digits pass the check, and where one of the `context` words is near: in the column's name or before it.
    pub fn new(
        name: &str,
        pattern: Option<&str>,
        keywords: &[String],
        checksum: Option<Checksum>,
        context: &[String],
    ) -> Result<Self, CustomError> {
        let mut whole = Vec::new();
        if let Some(pattern) = pattern {
            whole.push(format!("(?:{pattern})"));
        }
        whole.extend(keywords.iter().filter(|k| !k.trim().is_empty()).map(|keyword| {
            let edge = |c: Option<char>| if c.is_some_and(char::is_alphanumeric) { r"\b" } else { "" };
            let (first, last) = (edge(keyword.chars().next()), edge(keyword.chars().last()));
            format!("(?i:{first}{}{last})", regex::escape(keyword))
        }));
        if whole.is_empty() {
            return Err(CustomError::Nothing);
        }
        let whole = whole.join("|");
        if whole.len() > PATTERN_LENGTH_MAX.saturating_mul(4) || pattern.is_some_and(|p| p.len() > PATTERN_LENGTH_MAX) {
            return Err(CustomError::Pattern(format!("it is longer than {PATTERN_LENGTH_MAX} bytes")));
        }
        let pattern = RegexBuilder::new(&whole)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(64)
            .build()
            .map_err(|e| CustomError::Pattern(e.to_string()))?;
        if pattern.is_match(b"") {
            return Err(CustomError::Empty);
        }
        let context = context.iter().map(|word| word.to_lowercase()).collect();
        Ok(Custom { name: name.to_owned(), pattern, checksum, context })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether what is found passed a check.
    pub(crate) fn is_checked(&self) -> bool {
        self.checksum.is_some()
    }

    /// Calls `found` for each match.
    pub(crate) fn scan(&self, text: &[u8], column: &Column, mut found: impl FnMut(usize, usize)) {
        let named = self.context.is_empty() || self.context.iter().any(|word| column.name_has(word));
        for hit in self.pattern.find_iter(text) {
            if !hit.is_empty() && self.passes(hit.as_bytes()) && (named || self.is_called(text, hit.start())) {
                found(hit.start(), hit.end());
            }
        }
    }

    fn passes(&self, hit: &[u8]) -> bool {
        let digits = || -> Vec<u8> { hit.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect() };
        match self.checksum {
            None => true,
            Some(Checksum::Luhn) => luhn(&digits()),
            Some(Checksum::Verhoeff) => verhoeff(&digits()),
            Some(Checksum::Mod97) => mod97(hit.iter().copied().filter(u8::is_ascii_alphanumeric)),
        }
    }

    fn is_called(&self, text: &[u8], start: usize) -> bool {
        let near = slice(text, start.saturating_sub(CONTEXT_BYTES), start);
        let near = String::from_utf8_lossy(near).to_lowercase();
        self.context.iter().any(|word| near.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(custom: &Custom, text: &str, column: &str) -> Vec<String> {
        let mut all = Vec::new();
        custom.scan(text.as_bytes(), &Column::named(column.as_bytes()), |s, e| all.push(text[s..e].to_owned()));
        all
    }

    #[test]
    fn patterns_keywords_checks_and_context() {
        let employee = Custom::new("employee", Some(r"\bE\d{6}\b"), &[], Some(Checksum::Luhn), &[]).unwrap();
        assert_eq!(found(&employee, "E123455 and E123456", ""), ["E123455"]);
        let words = Custom::new("project", None, &["Blue Whale".into(), "c++".into()], None, &[]).unwrap();
        assert_eq!(found(&words, "the BLUE whale, not bluewhale, C++", ""), ["BLUE whale", "C++"]);
        let near = Custom::new("badge", Some(r"\d{5}"), &[], None, &["Badge".into()]).unwrap();
        assert_eq!(found(&near, "badge no 12345", ""), ["12345"]);
        assert_eq!(found(&near, "12345", "badge_number"), ["12345"]);
        assert!(found(&near, "12345", "zip").is_empty());
    }

    #[test]
    fn what_cannot_be_used() {
        let new = |pattern| Custom::new("x", pattern, &[], None, &[]).unwrap_err();
        assert_eq!(new(None), CustomError::Nothing);
        assert_eq!(new(Some("a*")), CustomError::Empty);
        assert!(matches!(new(Some("(")), CustomError::Pattern(_)));
        assert!(matches!(new(Some("(?:a{1000}){1000}")), CustomError::Pattern(_)));
        assert!("crc32".parse::<Checksum>().is_err());
    }
}
