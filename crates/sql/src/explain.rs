//! Lineage in words, for a person who asks why a column is masked.

use std::fmt::Write;

use crate::catalog::Catalog;
use crate::statement::{Outputs, Statement};
use crate::taint::Taint;

impl Statement {
    /// One line per result column and per use: its name, and the labelled columns it is made of.
    pub fn lineage_text(&self, catalog: &Catalog) -> String {
        let mut text = String::new();
        match &self.outputs {
            Outputs::NoRows => {}
            Outputs::Each(taint) => line(&mut text, "any column", &describe(taint, catalog)),
            Outputs::Known(outputs) => {
                for (at, output) in outputs.iter().enumerate() {
                    let how = if output.plain || output.value.is_clean() { "" } else { "made from " };
                    let what = format!("column {} `{}`", at + 1, output.name);
                    line(&mut text, &what, &format!("{how}{}", describe(&output.value, catalog)));
                }
            }
        }
        for used in &self.uses {
            let what = format!("{} in {}", used.how.name(), used.place);
            line(&mut text, &what, &describe(&used.taint, catalog));
        }
        text
    }
}

fn line(text: &mut String, what: &str, of: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{what}: {of}");
}

/// A taint in words: `public.customers.ssn (pii/ssn)`.
fn describe(taint: &Taint, catalog: &Catalog) -> String {
    if taint.is_clean() {
        return "nothing labelled".to_owned();
    }
    let mut parts: Vec<String> = taint
        .columns()
        .iter()
        .filter_map(|id| catalog.labelled(*id))
        .map(|c| {
            let labels: Vec<&str> = c.labels.iter().map(lockgate_core::Label::as_str).collect();
            format!("{}.{}.{} ({})", c.schema, c.table, c.column, labels.join(", "))
        })
        .collect();
    if taint.is_unknown() {
        parts.push("possibly everything labelled".to_owned());
    }
    parts.join(", ")
}
