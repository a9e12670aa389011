//! A certificate: where each column of a result comes from, what becomes of it, and why. It is a fact about a text, a
//! catalog and a set of rules, not about one request, so a recording holds it once and verdicts name its number.
//!
//! It holds names of columns, labels and policies, and never a constant of the statement.

use crate::wire::{List, wire_struct};
use std::borrow::Cow;
use std::fmt::Write;

wire_struct! {
    /// A labelled column that something is made from.
    pub struct Origin<'a> {
        /// The column as `schema.table.column`; empty for one that is not known, which stands for every column of the labels.
        pub column: Cow<'a, str>,
        /// Its labels.
        pub labels: List<'a, Cow<'a, str>>,
    }
}

wire_struct! {
    /// A column of a result.
    pub struct CertifiedColumn<'a> {
        /// Its position, from 0.
        pub column: u32,
        /// Its name; `*` for every column, where the columns are not known beforehand.
        pub name: Cow<'a, str>,
        /// The labelled columns that it comes from.
        pub from: List<'a, Origin<'a>>,
        /// It is made from them, and not one of them passed on unchanged.
        pub derived: bool,
        /// What becomes of it: `clear`, or the method of its mask.
        pub method: Cow<'a, str>,
        /// The label that asks for the mask.
        pub label: Option<Cow<'a, str>>,
        /// On whose word.
        pub why: Cow<'a, str>,
        /// Content rules look into its values.
        pub checked: bool,
    }
}

wire_struct! {
    /// A use of labelled values other than as output.
    pub struct CertifiedUse<'a> {
        /// How: `predicate`, `join`, `order`, …
        pub how: Cow<'a, str>,
        /// In which clause or function.
        pub place: Cow<'a, str>,
        /// Of which columns.
        pub from: List<'a, Origin<'a>>,
    }
}

wire_struct! {
    /// A statement of a text.
    pub struct CertifiedStatement<'a> {
        /// Its command tag in lower case; `unreadable` for a text that nobody can read.
        pub verb: Cow<'a, str>,
        /// Its columns.
        pub columns: List<'a, CertifiedColumn<'a>>,
        /// Its other uses of labelled values.
        pub uses: List<'a, CertifiedUse<'a>>,
        /// Columns and uses that are not listed, for want of room.
        pub unlisted: u64,
    }
}

wire_struct! {
    /// A content rule of the target.
    pub struct CertifiedRule<'a> {
        /// The label that it stands for.
        pub label: Cow<'a, str>,
        /// The detectors.
        pub detectors: List<'a, Cow<'a, str>>,
        /// How what is found is masked; `clear` where the identity may reveal the label, and nothing is looked for.
        pub method: Cow<'a, str>,
    }
}

wire_struct! {
    /// Where the columns of a text's results come from and what becomes of them.
    pub struct Certificate<'a> {
        /// Its number in the recording, from 1.
        pub number: u64,
        /// The version of the policies, the same on every machine.
        pub policies: u64,
        /// The version of the catalog by which names were understood; empty for a target that was not asked.
        pub catalog: Cow<'a, str>,
        /// The statements of the text.
        pub statements: List<'a, CertifiedStatement<'a>>,
        /// The content rules.
        pub content: List<'a, CertifiedRule<'a>>,
    }
}

impl Certificate<'_> {
    /// A line for every column that is masked or comes from something labelled, for every use, and for the rest together.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let several = self.statements.len() > 1;
        for (at, statement) in self.statements.iter().enumerate() {
            let before = if several { format!("statement {}: ", at + 1) } else { String::new() };
            let mut plain: usize = 0;
            for column in statement.columns.iter() {
                if column.is_plain() {
                    plain += 1;
                } else {
                    lines.push(format!("{before}{}", column.line()));
                }
            }
            for used in statement.uses.iter() {
                lines.push(format!("{before}{} in {}: {}", used.how, used.place, origins(&used.from)));
            }
            let columns = |count: usize| if count == 1 { "1 column".to_owned() } else { format!("{count} columns") };
            if plain > 0 {
                let checked = statement.columns.iter().any(|column| column.is_plain() && column.checked);
                let checked = if checked { ", content rules look into them" } else { "" };
                lines.push(format!("{before}{}: clear, nothing labelled{checked}", columns(plain)));
            }
            if statement.unlisted > 0 {
                lines.push(format!("{before}{} more columns and uses are not listed", statement.unlisted));
            }
        }
        lines
    }

    /// A line for every content rule.
    pub fn content_lines(&self) -> Vec<String> {
        self.content.iter().map(CertifiedRule::line).collect()
    }
}

impl CertifiedColumn<'_> {
    /// Whether there is nothing to say of it.
    fn is_plain(&self) -> bool {
        self.from.is_empty() && self.label.is_none()
    }

    /// The column in words.
    pub fn line(&self) -> String {
        let mut line = match &*self.name {
            "*" => "any column".to_owned(),
            name => format!("column {} \"{name}\"", self.column),
        };
        // Writing to a String does not fail.
        let _ = match &self.label {
            Some(label) => write!(line, " masked: {label}, {}", self.method),
            None => write!(line, " {}", self.method),
        };
        let _ = write!(line, " ({})", self.why);
        if !self.from.is_empty() {
            let made = if self.derived { "made from" } else { "from" };
            let _ = write!(line, ", {made} {}", origins(&self.from));
        }
        if self.checked {
            line.push_str(", content rules look into it");
        }
        line
    }
}

impl CertifiedRule<'_> {
    /// The rule in words.
    pub fn line(&self) -> String {
        let detectors = self.detectors.join(", ");
        match &*self.method {
            "clear" => format!("content: {detectors} not looked for, {} may be revealed", self.label),
            method => format!("content: {detectors} wherever found, {}, {method}", self.label),
        }
    }
}

/// Columns with their labels, in words.
fn origins(from: &[Origin<'_>]) -> String {
    if from.is_empty() {
        return "nothing labelled".to_owned();
    }
    let parts: Vec<String> = from
        .iter()
        .map(|origin| {
            let column = if origin.column.is_empty() { "unknown origin" } else { &*origin.column };
            format!("{column} ({})", origin.labels.join(", "))
        })
        .collect();
    parts.join(", ")
}
