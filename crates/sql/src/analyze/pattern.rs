//! Constants that a function reads as a little language of its own: patterns, formats, names of units. Whether such a text
//! is one is found out when the function runs, and it does not run for NULL: a text that may be refused tells whether the
//! value beside it was there. Only what is certainly well-formed passes here; much that is well-formed does not.

/// A regular expression longer than this, or one that counts further, may be refused as too complex.
const REGEX_BYTES_MAX: usize = 200;
const REGEX_COUNT_MAX: u32 = 100;
const REGEX_DEPTH_MAX: u32 = 8;

/// For each `%` that stands for something, the server goes a level deeper.
const LIKE_LEVELS_MAX: usize = 100;

/// Whether a LIKE pattern does not end in the middle of an escape, and takes no deep stack.
pub(super) fn is_like(pattern: &str, escape: Option<char>) -> bool {
    if pattern.bytes().filter(|byte| *byte == b'%').count() > LIKE_LEVELS_MAX {
        return false;
    }
    let Some(escape) = escape else { return true };
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == escape && chars.next().is_none() {
            return false;
        }
    }
    true
}

/// Whether a SIMILAR TO pattern is of letters, digits and wildcards only.
pub(super) fn is_similar(pattern: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '@' | ':' | ',' | '/' | '_' | '%');
    pattern.len() <= REGEX_BYTES_MAX && pattern.chars().all(plain)
}

/// Whether a text is a regular expression of the plain kind: characters, classes, groups, alternatives and counts.
pub(super) fn is_regex(pattern: &str) -> bool {
    if pattern.len() > REGEX_BYTES_MAX || !pattern.is_ascii() {
        return false;
    }
    let mut reader = Regex { rest: pattern.as_bytes(), count: 1 };
    reader.alternatives(0) && reader.rest.is_empty()
}

/// Whether flags of a regular expression function are known; `global` where it takes `g`.
pub(super) fn are_flags(flags: &str, global: bool) -> bool {
    flags.bytes().all(|flag| matches!(flag, b'i' | b'c' | b'n' | b's') || (global && flag == b'g'))
}

struct Regex<'p> {
    rest: &'p [u8],
    /// How often the whole may be counted out.
    count: u32,
}

impl Regex<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn alternatives(&mut self, depth: u32) -> bool {
        loop {
            if depth > REGEX_DEPTH_MAX || !self.branch(depth) {
                return false;
            }
            if self.peek() != Some(b'|') {
                return true;
            }
            self.next();
        }
    }

    /// At least one atom, each with at most one count.
    fn branch(&mut self, depth: u32) -> bool {
        let mut atoms = 0;
        while let Some(c) = self.peek() {
            if matches!(c, b'|' | b')') {
                break;
            }
            self.next();
            let counted = match c {
                b'^' | b'$' => false,
                b'(' => {
                    // `(?…` changes what the rest means.
                    if self.peek() == Some(b'?') || !self.alternatives(depth + 1) || self.next() != Some(b')') {
                        return false;
                    }
                    true
                }
                b'[' => {
                    if !self.class() {
                        return false;
                    }
                    true
                }
                b'\\' => match self.next() {
                    Some(b'd' | b'w' | b's' | b'D' | b'W' | b'S') => true,
                    Some(c) if c.is_ascii_punctuation() => true,
                    _ => return false,
                },
                b'.' => true,
                b'*' | b'+' | b'?' | b'{' | b'}' | b']' => return false,
                _ => true,
            };
            atoms += 1;
            if counted && !self.counted() {
                return false;
            }
        }
        atoms > 0
    }

    /// `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`, or nothing.
    fn counted(&mut self) -> bool {
        match self.peek() {
            Some(b'*' | b'+' | b'?') => {
                self.next();
            }
            Some(b'{') => {
                self.next();
                let Some(from) = self.number() else { return false };
                let to = if self.peek() == Some(b',') {
                    self.next();
                    if self.peek() == Some(b'}') { Some(from) } else { self.number() }
                } else {
                    Some(from)
                };
                let Some(to) = to.filter(|to| *to >= from) else { return false };
                self.count = self.count.saturating_mul(to.max(1));
                if self.count > REGEX_COUNT_MAX || self.next() != Some(b'}') {
                    return false;
                }
            }
            _ => return true,
        }
        // `a*?` is well-formed and `a**` is not: neither is needed.
        !matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{'))
    }

    fn number(&mut self) -> Option<u32> {
        let mut value: Option<u32> = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            self.next();
            value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(u32::from(digit - b'0')));
        }
        value
    }

    /// `[…]`: letters, digits, ranges of them that ascend, and marks that mean nothing there.
    fn class(&mut self) -> bool {
        if self.peek() == Some(b'^') {
            self.next();
        }
        let mut members = 0;
        loop {
            let Some(c) = self.next() else { return false };
            match c {
                b']' => return members > 0,
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                    if self.peek() == Some(b'-') {
                        self.next();
                        let Some(to) = self.next() else { return false };
                        let alike: [fn(&u8) -> bool; 3] =
                            [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];
                        if to < c || !alike.iter().any(|is| is(&c) && is(&to)) {
                            return false;
                        }
                    }
                }
                b' ' | b'@' | b'_' | b',' | b';' | b'#' | b'%' | b'/' | b'\'' | b'"' | b'!' => {}
                // A dot and its kin open names of classes, but only behind a bracket.
                b'.' | b'+' | b'*' | b'?' | b'(' | b')' => {}
                _ => return false,
            }
            members += 1;
        }
    }
}

/// Whether a format for numbers is of digits with at most one point.
pub(super) fn is_number_format(format: &str) -> bool {
    let digits = format.strip_prefix("FM").unwrap_or(format);
    let points = digits.bytes().filter(|c| matches!(c, b'.' | b'D')).count();
    points <= 1 && !digits.is_empty() && digits.bytes().all(|c| matches!(c, b'9' | b'0' | b',' | b'G' | b'.' | b'D'))
}

/// Whether a format for dates is of the common fields and marks between them.
pub(super) fn is_date_format(format: &str) -> bool {
    const FIELDS: &[&str] = &[
        "YYYY", "HH24", "HH12", "Month", "MONTH", "month", "Mon", "MON", "mon", "Day", "DAY", "day", "DDD", "YY", "MM",
        "DD", "HH", "MI", "SS", "MS", "US", "Dy", "DY", "dy", "Q", "yyyy", "hh24", "mm", "dd", "mi", "ss", "FM",
    ];
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        let next = FIELDS.iter().find_map(|field| rest.strip_prefix(field));
        let mark = if matches!(c, ' ' | '-' | '/' | ':' | '.' | ',') { rest.strip_prefix(c) } else { None };
        match next.or(mark) {
            Some(left) => rest = left,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likes() {
        for good in ["", "5%", "a\\%b", "\\\\", "%\\_%"] {
            assert!(is_like(good, Some('\\')), "{good}");
        }
        for bad in ["5\\", "\\\\\\", "%\\"] {
            assert!(!is_like(bad, Some('\\')), "{bad}");
        }
        assert!(is_like("5\\", None) && !is_like("5#", Some('#')));
        assert!(is_like(&"%a".repeat(100), None) && !is_like(&"%a".repeat(101), None));
    }

    #[test]
    fn regexes() {
        for good in [
            "^\\d{3}-\\d{2}$",
            "[^@]+@example\\.com",
            "a|b",
            "(ab)+c?",
            "[0-9A-F]{2,4}",
            ".",
            "x{2,}",
            "[a-z0-9._+]+",
            "\\D",
        ] {
            assert!(is_regex(good), "{good}");
        }
        for bad in [
            "(",
            ")",
            "a**",
            "*a",
            "[z-a]",
            "[a",
            "[]",
            "[[:digit:]]",
            "\\",
            "a\\",
            "\\1",
            "(?=a)",
            "***=a",
            "a{",
            "a{2,1}",
            "a{300}",
            "(a{20}){20}",
            "",
            "a||b",
            "()",
            "[a-Z]",
            "\\m",
            "a{2}{2}",
            "^*",
        ] {
            assert!(!is_regex(bad), "{bad}");
        }
        assert!(are_flags("gi", true) && !are_flags("g", false) && !are_flags("q", true));
    }

    #[test]
    fn formats() {
        assert!(is_number_format("FM999,990.00") && !is_number_format("9.9.9") && !is_number_format("EEEE9"));
        assert!(is_date_format("YYYY-MM-DD HH24:MI:SS") && is_date_format("FMMonth YYYY"));
        assert!(!is_date_format("TMMonth") && !is_date_format("YYYY\"x"));
    }
}
