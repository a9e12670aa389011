//! Data on standard output, as a table, JSON or YAML. Words go to standard error; errors are `exit`'s.

use crate::cli::Format;
use comfy_table::{ContentArrangement, Table, presets};
use lockgate_record::{visible, visible_line};
use serde::Serialize;
use std::io::{self, Write};

/// Cells longer than this are cut in a table; JSON and YAML have all of it.
const CELL_CHARS_MAX: usize = 160;

/// Standard output in the format that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

impl Output {
    /// In this format.
    pub fn new(format: Format) -> Self {
        Output { format }
    }

    /// Whether a person is meant to read it.
    pub fn is_table(self) -> bool {
        self.format == Format::Table
    }

    /// A list: `head` and `row` make the table, `items` the rest.
    pub fn list<T: Serialize>(
        self,
        items: &[T],
        head: &[&str],
        row: impl Fn(&T) -> Vec<String>,
        nothing: &str,
    ) -> anyhow::Result<()> {
        if !self.is_table() {
            return self.data(&items);
        }
        if items.is_empty() {
            return words(nothing);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head.iter().map(|h| h.to_uppercase()));
        for item in items {
            table.add_row(row(item).iter().map(|cell| shown(cell)));
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end().trim_start_matches(' '));
            text.push('\n');
        }
        print(&text)
    }

    /// One thing: `fields` make the lines for people, `item` the rest.
    pub fn item<T: Serialize>(self, item: &T, fields: &[(&str, String)]) -> anyhow::Result<()> {
        if !self.is_table() {
            return self.data(item);
        }
        let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            let indent = " ".repeat(width + 2);
            let value = visible(value).replace('\n', &format!("\n{indent}"));
            text.push_str(&format!("{name:width$}  {value}\n"));
        }
        let lines: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        print(&lines)
    }

    /// The whole value as JSON or YAML.
    pub fn data<T: Serialize>(self, item: &T) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Yaml => serde_saphyr::to_string(item)?,
            Format::Json | Format::Table => serde_json::to_string_pretty(item)?,
        };
        print(&format!("{}\n", text.trim_end()))
    }
}

/// Data as it is. A closed pipe is an error of its kind, which ends the command quietly.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Words beside the data.
pub fn words(text: &str) -> anyhow::Result<()> {
    Ok(io::stderr().write_all(format!("{text}\n").as_bytes())?)
}

/// On one line and not too long. What others wrote (names, statements) must not steer the terminal of whoever reads it.
fn shown(cell: &str) -> String {
    let mut text = visible_line(cell).into_owned();
    if let Some((at, _)) = text.char_indices().nth(CELL_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}c\nd"), "a\\e[2Jb\\u{202e}c\\nd");
        assert_eq!(shown(&"x".repeat(1_000)).chars().count(), CELL_CHARS_MAX + 1);
    }
}
