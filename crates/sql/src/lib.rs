//! What a PostgreSQL statement does: which actions on which objects it needs, what it does to its session, and from
//! which labelled columns each column of its result is made.
//!
//! Everything is read from the server's own grammar (libpg_query) and a snapshot of the database's catalog, never from
//! the text. What cannot be told is said to be unknown, and unknown stands for everything labelled on the target.
//! This crate decides nothing: policy reads its answers, masking obeys them.

mod analyze;
mod builtins;
mod catalog;
mod parse;
mod probe;
mod redact;
mod rewrite;
mod shape;
mod statement;
mod taint;

pub use analyze::{Context, ParameterTypes, analyze, analyze_shaped, analyze_with, copied_query};
#[doc(hidden)]
pub use analyze::{arguments_meet, type_casts, type_of_call, types_compare, types_meet};
pub use catalog::{
    Astray, CallByNumber, CarriedLabel, Catalog, ColumnRule, LabelledColumn, facts, query as catalog_query,
};
pub use parse::has_long_names;
pub use probe::{Operand, Probe};
pub use redact::{redact_error, redact_secrets, redact_unreadable};
pub use rewrite::{Hiding, rewrite};
pub use shape::Shape;
pub use statement::{
    Aggregated, Aggregation, Batch, Carry, CarryColumn, Change, CopyFormat, CopyKind, Effect, Facts, ForceQuote, How,
    Later, Need, NewPath, Object, Output, Outputs, Statement, Unparsable, Unseen, Use, Why,
};
pub use taint::{ColumnId, Taint};
