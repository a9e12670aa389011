//! What statements have to do with definitions that change: what they alter for others, what of it they depend on and when,
//! and what they leave behind.

use super::meaning::by_name;
use crate::alterations::COMPUTED;
use crate::message;
use crate::prepare::Prepared;
use lockgate_sql::{Effect, Later, Outputs};
use std::sync::Arc;

/// Whether its answer tells something that depends on what names mean.
pub(super) fn tells(statement: &lockgate_sql::Statement) -> bool {
    let counts = matches!(
        statement.verb,
        "insert" | "update" | "delete" | "merge" | "create_table_as" | "select_into" | "create_materialized_view"
    );
    counts
        || by_name(&statement.effect)
        || !matches!(statement.outputs, Outputs::NoRows)
        || matches!(statement.effect, Effect::CopyOut(_) | Effect::DeclareCursor { .. })
}

/// Whether names are looked up while it runs, and not only before its first answer.
pub(super) fn looks_up_later(subjects: &[Arc<Prepared>]) -> bool {
    let mut by_names = 0;
    let all = || subjects.iter().flat_map(|s| s.statements());
    let plain = all().all(|statement| {
        by_names += usize::from(by_name(&statement.effect));
        // What triggers, rules and defaults call is looked up as rows are written.
        statement.facts.later == Later::Nothing
            && statement.facts.changes.is_empty()
            && matches!(
                statement.verb,
                "select" | "fetch" | "move" | "execute" | "explain" | "show" | "declare_cursor" | "copy" | "prepare"
            )
    });
    // A name that was given out of our sight stands for anything.
    !plain || by_names >= subjects.len() || subjects.iter().any(|s| s.batch.is_err())
}

/// What the relation is called that it makes, or replaces, if it does nothing else: who reads no relation that is called so, nor
/// one that is made of it, finds what there was.
pub(super) fn made_by(statement: &lockgate_sql::Statement) -> Option<Box<str>> {
    let makes = matches!(
        statement.verb,
        "create_table_as"
            | "select_into"
            | "create_table"
            | "create_view"
            | "create_materialized_view"
            | "create_sequence"
    );
    let computed = matches!(statement.verb, "create_index" | "create_statistics");
    if !makes && !computed {
        return None;
    }
    let mut defined = statement.needs.iter().filter(|need| need.action == lockgate_core::Action::Define);
    match (defined.next().map(|need| &need.object), defined.next()) {
        (Some(lockgate_sql::Object::Table { name, .. }), _) if computed => Some(computed_of(name)),
        (Some(lockgate_sql::Object::Table { name, .. }), None) => Some(name.as_str().into()),
        _ => None,
    }
}

/// How rows are found says nothing of what they are. Only who copies labelled values to the table has to know what is computed
/// of them there.
fn computed_of(table: &str) -> Box<str> {
    let name = table.rsplit('.').next().unwrap_or(table);
    format!("{COMPUTED}{name}").into()
}

/// The relations that texts read, themselves or through others; `None` where nobody can tell.
pub(super) fn names_in(subjects: &[Arc<Prepared>]) -> Option<Arc<[Box<str>]>> {
    let all = || subjects.iter().flat_map(|s| s.statements());
    if subjects.iter().any(|s| s.batch.is_err()) || all().any(|s| s.facts.opaque || s.facts.later == Later::Anything) {
        return None;
    }
    let tables = all().flat_map(|s| &s.facts.tables).map(|table| Box::from(table.as_str()));
    let copied_to = all().filter(|s| !s.carries.is_empty()).flat_map(|s| &s.facts.changes);
    Some(tables.chain(copied_to.map(|change| computed_of(&change.table))).collect())
}

/// Whether something of what it reads stays behind that a rollback undoes: in other relations, in settings of the session, in
/// what others are notified of, in a cursor that outlives the transaction.
pub(super) fn leaves_something(statement: &lockgate_sql::Statement) -> bool {
    let reads = !statement.facts.tables.is_empty() || statement.facts.later != Later::Nothing;
    copies(statement)
        || (statement.facts.keeps && reads)
        || matches!(statement.effect, Effect::DeclareCursor { hold: true, .. })
}

/// Whether it stores what it reads in other places.
fn copies(statement: &lockgate_sql::Statement) -> bool {
    let new = matches!(statement.verb, "create_table_as" | "select_into" | "create_materialized_view");
    // One table is the one that is written to.
    new || (!statement.facts.changes.is_empty() && statement.facts.tables.len() > 1)
}

/// Whether it does the same in a transaction as outside.
pub(super) fn fits_in_transaction(statement: &lockgate_sql::Statement) -> bool {
    match &statement.effect {
        Effect::Begin
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Savepoint(_)
        | Effect::RollbackTo(_)
        | Effect::Release(_)
        | Effect::TwoPhase
        | Effect::Execute { .. } => false,
        _ => !statement.facts.opaque && !matches!(statement.verb, "vacuum" | "cluster" | "reindex"),
    }
}

/// Whether a text does nothing but make or drop temporary tables of the session, which nobody else finds. Of several statements
/// in one text the second may drop what stands behind the name that the first took away.
pub(super) fn defines_for_itself(prepared: &Prepared) -> bool {
    matches!(prepared.statements(), [alone] if alone.facts.temporary && !alone.facts.opaque)
}

/// Whether names may mean something else to others after it, once it is committed.
pub(super) fn redefines(statement: &lockgate_sql::Statement) -> bool {
    match &statement.effect {
        Effect::TwoPhase => true,
        Effect::Define => match statement.verb {
            "create_index" | "create_statistics" => made_by(statement).is_some(),
            "do" | "call" | "alter_index" | "drop_index" | "alter_statistics" | "drop_statistics" => false,
            _ => true,
        },
        // In which schemas names are looked up depends on who may use them.
        _ => matches!(statement.verb, "grant" | "revoke"),
    }
}

/// Whether other sessions may look names up in other schemas after it.
pub(super) fn moves_paths(statement: &lockgate_sql::Statement) -> bool {
    statement.effect == Effect::TwoPhase
        || matches!(
            statement.verb,
            "grant"
                | "revoke"
                | "create_schema"
                | "alter_schema"
                | "drop_schema"
                | "create_extension"
                | "alter_extension"
                | "drop_extension"
                | "create_role"
                | "alter_role"
                | "drop_role"
                | "grant_role"
                | "revoke_role"
                | "drop_owned"
                | "reassign_owned"
                | "unknown"
        )
}

pub(super) fn ends_transaction(statement: &lockgate_sql::Statement) -> bool {
    matches!(statement.effect, Effect::Commit { .. } | Effect::Rollback { .. } | Effect::TwoPhase)
        || (statement.facts.opaque && matches!(statement.verb, "call" | "do" | "unknown"))
}

/// Whether an error is about the wait itself, and the same whatever the statement reads. `late`: it runs code of users, which
/// gives its errors codes of its choice, but does not end the session.
pub(super) fn comes_of_waiting(body: &[u8], late: bool) -> bool {
    let report = message::Report::decode(body).ok();
    let field = |code| report.as_ref().and_then(|r| r.get(code)).unwrap_or_default();
    let code = field(message::code::SQLSTATE);
    if matches!(field(message::code::SEVERITY_PLAIN), b"FATAL" | b"PANIC") {
        return matches!(code, b"57P01" | b"57P02" | b"57P03" | b"57P05" | b"25P03" | b"25P04");
    }
    !late && matches!(code, b"40001" | b"40P01" | b"57014" | b"55P03" | b"25P02")
}
