//! `${env:NAME}` and `${file:PATH}`: filled in after YAML is parsed, so that no secret can change the file's structure.
//!
//! In YAML's flow style a brace ends a plain value, so `{slack: ${env:URL}}` would not parse as people mean it. The braces of
//! placeholders are therefore swapped for two private-use characters before parsing; columns stay the same.

use std::path::{Path, PathBuf};

/// In place of `{` in `${`.
const OPEN: char = '\u{e000}';
/// In place of the `}` that ends it.
const CLOSE: char = '\u{e001}';
/// A file that fills a placeholder is a secret, not a document.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The text with its placeholders protected from YAML. `None` when it already has the private characters.
pub(crate) fn protect(text: &str) -> Option<String> {
    if text.contains([OPEN, CLOSE]) {
        return None;
    }
    let mut protected = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        protected.push_str(before);
        let inner = from.get(2..).unwrap_or_default();
        let end = inner.find(['}', '\n']).filter(|end| inner.get(*end..).is_some_and(|tail| tail.starts_with('}')));
        match end {
            Some(end) => {
                protected.push('$');
                protected.push(OPEN);
                protected.push_str(inner.get(..end).unwrap_or_default());
                protected.push(CLOSE);
                rest = inner.get(end + 1..).unwrap_or_default();
            }
            None => {
                protected.push_str("${");
                rest = inner;
            }
        }
    }
    protected.push_str(rest);
    Some(protected)
}

/// The text as it was before [`protect`].
pub(crate) fn unprotect(text: &str) -> String {
    text.replace(OPEN, "{").replace(CLOSE, "}")
}

/// Where values come from.
pub(crate) struct Filler<'a> {
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    /// Relative paths start here.
    pub(crate) base: &'a Path,
    /// The files that were read.
    pub(crate) files: Vec<PathBuf>,
}

/// A placeholder that cannot be filled, and what to do about it.
pub(crate) struct Unfilled {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Filler<'_> {
    /// The value with every placeholder filled in.
    pub(crate) fn fill(&mut self, value: &str) -> Result<String, Unfilled> {
        let mut filled = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(at) = rest.find(OPEN) {
            let before = rest.get(..at).unwrap_or_default();
            let from = rest.get(at + OPEN.len_utf8()..).unwrap_or_default();
            let Some((inside, after)) = from.split_once(CLOSE) else { break };
            filled.push_str(before.strip_suffix('$').unwrap_or(before));
            filled.push_str(&self.one(inside)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn one(&mut self, inside: &str) -> Result<String, Unfilled> {
        let wrong = |message: String, hint: Option<String>| Unfilled { message, hint };
        let Some((kind, name)) = inside.split_once(':') else {
            let hint = format!("write `${{env:{inside}}}` or `${{file:{inside}}}`");
            return Err(wrong(format!("`${{{inside}}}` does not say where its value comes from"), Some(hint)));
        };
        match kind {
            "env" => {
                (self.env)(name).ok_or_else(|| wrong(format!("the environment variable `{name}` is not set"), None))
            }
            "file" => {
                let path = self.base.join(name);
                let unreadable = |e: String| wrong(format!("the file `{}` cannot be read: {e}", path.display()), None);
                let size = std::fs::metadata(&path).map_err(|e| unreadable(e.to_string()))?.len();
                if size > FILE_BYTES_MAX {
                    return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
                }
                let content = std::fs::read_to_string(&path).map_err(|e| unreadable(e.to_string()))?;
                self.files.push(path);
                // Editors and `echo` end a file with a line break that is no part of the secret.
                Ok(content
                    .strip_suffix('\n')
                    .map_or(content.as_str(), |c| c.strip_suffix('\r').unwrap_or(c))
                    .to_owned())
            }
            "vault" => {
                let hint = "use `${env:NAME}` or `${file:PATH}`".to_owned();
                Err(wrong("no vault is configured: `${vault:…}` is not carried by this build".to_owned(), Some(hint)))
            }
            other => {
                let hint = lockgate_policy::nearest(other, ["env", "file", "vault"])
                    .map(|meant| format!("did you mean `${{{meant}:{name}}}`?"));
                Err(wrong(format!("`{other}` is no source of values"), hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let env = |name: &str| (name == "A").then(|| "a: }\n".to_owned());
        let mut filler = Filler { env: &env, base: Path::new("/nonexistent"), files: Vec::new() };
        filler.fill(&protect(text).unwrap()).map_err(|e| e.message)
    }

    #[test]
    fn fills_in() {
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("${env:A}", Ok("a: }\n")),
            ("x${env:A}y${env:A}", Ok("xa: }\nya: }\n")),
            ("$5 {user} ${", Ok("$5 {user} ${")),
            ("${env:B}", Err("the environment variable `B` is not set")),
            ("${evn:A}", Err("`evn` is no source of values")),
            ("${A}", Err("`${A}` does not say where its value comes from")),
            ("${vault:a#b}", Err("no vault is configured: `${vault:…}` is not carried by this build")),
        ] {
            assert_eq!(fill(text), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        assert!(fill("${file:secret}").unwrap_err().contains("cannot be read"));
        assert!(protect("\u{e000}").is_none());
        assert_eq!(unprotect(&protect("a ${env:A} b").unwrap()), "a ${env:A} b");
    }
}
