//! How a command ends: the exit codes, and the one place where an error becomes words on standard error.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It did not work.
    Failed,
    /// It was asked for in a way that cannot be understood.
    Usage,
    /// Policy or the gateway said no.
    Denied,
    /// An approval is missing.
    Waiting,
    /// The credential is refused or expired.
    Credential,
}

impl Code {
    const fn number(self) -> u8 {
        match self {
            Code::Failed => 1,
            Code::Usage => 2,
            Code::Denied => 3,
            Code::Waiting => 4,
            Code::Credential => 5,
        }
    }
}

/// Why a command ends without success: one line, perhaps an advice, and the exit code.
#[derive(Debug)]
pub struct Ended {
    code: Code,
    /// Nothing is said where the output has said it already.
    text: Option<String>,
    hint: Option<String>,
}

impl Ended {
    /// An end with words.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Ended { code, text: Some(text.into()), hint: None }
    }

    /// An end whose reason the output has given.
    pub fn quietly(code: Code) -> Self {
        Ended { code, text: None, hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the exit code will say.
    #[cfg(test)]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_deref().unwrap_or_default())?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Ended {}

/// Says on standard error what went wrong, if anything did, and gives the exit code.
pub fn report(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    if broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    let (code, text, hint) = match error.downcast_ref::<Ended>() {
        Some(ended) => (ended.code, ended.text.clone(), ended.hint.clone()),
        None => (Code::Failed, Some(chain(&error)), None),
    };
    let colour = io::stderr().is_terminal();
    let mut said = String::new();
    if let Some(text) = text {
        said.push_str(&mark(colour, "31", "error:"));
        said.push_str(&format!(" {text}\n"));
    }
    if let Some(hint) = hint {
        said.push_str(&mark(colour, "36", "hint:"));
        said.push_str(&format!(" {hint}\n"));
    }
    // Nobody is left to hear it if this fails.
    let _ = io::stderr().write_all(said.as_bytes());
    ExitCode::from(code.number())
}

/// An error and what is behind it, without saying twice what one of them repeats of the next.
fn chain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

fn mark(colour: bool, code: &str, word: &str) -> String {
    if colour { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

/// Whoever read our output has seen enough (`lockgate sessions list | head -1`).
fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn nothing_is_said_twice() {
        let inner = io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("cannot read: disk on fire").context("no audit");
        assert_eq!(chain(&error), "no audit: cannot read: disk on fire");
    }

    #[test]
    fn codes() {
        let coded = |outcome: anyhow::Result<ExitCode>| format!("{:?}", report(outcome));
        let number = |n: u8| format!("{:?}", ExitCode::from(n));
        assert_eq!(coded(Ok(ExitCode::SUCCESS)), number(0));
        assert_eq!(coded(Err(anyhow::anyhow!("x"))), number(1));
        for (code, n) in [(Code::Usage, 2), (Code::Denied, 3), (Code::Waiting, 4), (Code::Credential, 5)] {
            assert_eq!(coded(Err(Ended::quietly(code).into())), number(n));
        }
        let pipe: anyhow::Result<ExitCode> = Err(io::Error::from(ErrorKind::BrokenPipe)).context("cannot print");
        assert_eq!(coded(pipe), number(0));
    }
}
