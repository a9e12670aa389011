//! What is wrong in a file that a person wrote, and where. The configuration's errors have the same form.

use std::fmt;

/// One mistake in one file, for a person to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the person names it.
    pub path: String,
    /// The line, from 1; 0 when the mistake has no place.
    pub line: u32,
    /// The column in characters, from 1; 0 when the mistake has no place.
    pub column: u32,
    /// How many characters are wrong; at least 1 where there is a place.
    pub width: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the file that is wrong.
    pub excerpt: Option<String>,
}

impl Problem {
    /// A mistake of a whole file.
    pub fn in_file(path: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Problem { path: path.to_owned(), line: 0, column: 0, width: 0, message, hint: None, excerpt: None }
    }

    /// A mistake at a line and column (both from 1, in characters) of `text`.
    pub fn at(path: &str, text: &str, line: u32, column: u32, width: u32, message: impl Into<String>) -> Self {
        let index = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        let excerpt = text.lines().nth(index).map(|l| l.chars().take(EXCERPT_CHARS_MAX).collect());
        let width = width.max(1);
        let message = message.into();
        Problem { path: path.to_owned(), line, column, width, message, hint: None, excerpt }
    }

    /// A mistake at a range of bytes of `text`.
    pub(crate) fn at_bytes(path: &str, text: &str, start: usize, end: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(text, start);
        let marked = text.get(start..end.max(start)).unwrap_or_default();
        let width = marked.lines().next().map_or(1, |l| l.chars().count());
        Problem::at(path, text, line, column, u32::try_from(width).unwrap_or(1), message)
    }

    /// The same mistake with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same mistake, with the advice to write `meant` where something is.
    #[must_use]
    pub fn meaning(self, meant: Option<&str>) -> Self {
        match meant {
            Some(meant) => self.with_hint(format!("did you mean `{meant}`?")),
            None => self,
        }
    }
}

/// Longer lines are cut in an excerpt.
const EXCERPT_CHARS_MAX: usize = 200;

/// Line and column (both from 1, in characters) of a byte of `text`.
pub fn position(text: &str, byte: usize) -> (u32, u32) {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// `path:line:column: message`, then the line with a mark under what is wrong, then the hint.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.path, self.message)?;
        } else {
            write!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.message)?;
            if let Some(excerpt) = &self.excerpt {
                let number = self.line.to_string();
                let gutter = " ".repeat(number.len());
                // The mark lies under the text only if the text's tabs are repeated before it.
                let before = usize::try_from(self.column.saturating_sub(1)).unwrap_or(0);
                let lead: String = excerpt.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                let room = excerpt.chars().count().saturating_sub(before).max(1);
                let width = usize::try_from(self.width).unwrap_or(1).min(room);
                write!(f, "\n {number} | {excerpt}\n {gutter} | {lead}{}", "^".repeat(width))?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_the_place() {
        let text = "one\n\ttwö three\n";
        let problem = Problem::at_bytes("a.cedar", text, 10, 15, "`three` is one too many").with_hint("stop at two");
        assert_eq!((problem.line, problem.column), (2, 6));
        assert_eq!(
            problem.to_string(),
            "a.cedar:2:6: `three` is one too many\n 2 | \ttwö three\n   | \t    ^^^^^\n  hint: stop at two"
        );
    }

    #[test]
    fn positions_never_leave_the_text() {
        assert_eq!(position("", 9), (1, 1));
        assert_eq!(position("a\nb", 2), (2, 1));
        assert_eq!(position("ä", 1), (1, 1));
    }
}
