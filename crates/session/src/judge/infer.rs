//! Uses of labelled values: which of them policy permits to an identity that may not see the values, and which of these
//! within a budget only.

use super::{Judge, Reveal};
use crate::denial::{Denial, Inference};
use lockgate_core::Action;
use lockgate_policy::{DenyReason, InferMode, Outcome, PolicyRef, Question, Resource};
use lockgate_sql::{Catalog, How, Statement, Use};

/// A comparison that is permitted within a budget: what it is compared with is in the statement's uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The place of the statement in its text.
    pub statement: usize,
    /// The place of the comparison among the statement's uses.
    pub used: usize,
    /// The columns that it is taken from, as `schema.table.column`.
    pub columns: Vec<String>,
    /// The policy that permits it.
    pub policy: Option<PolicyRef>,
}

/// When a comparison asks the target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// As the statement runs, and its number of rows is the answer.
    Now,
    /// With the EXECUTE of what is prepared.
    Later,
    /// In a way that tells more, or that nobody follows: a plan, a cursor, a new table.
    Otherwise,
}

impl Runs {
    fn of(statement: &Statement) -> Runs {
        match statement.verb {
            "select" | "update" | "delete" => Runs::Now,
            "prepare" => Runs::Later,
            _ => Runs::Otherwise,
        }
    }
}

/// The least mode that permits a use. A probe that does not show all that it asks is like any predicate.
fn mode_of(used: &Use, runs: Runs) -> InferMode {
    match used.how {
        How::Equality if used.probe.is_some() && runs != Runs::Otherwise => InferMode::Equality,
        How::Join => InferMode::Join,
        How::Equality
        | How::Aggregate
        | How::Group
        | How::Predicate
        | How::Order
        | How::Distinct
        | How::Expression
        | How::Source
        | How::Condition => InferMode::Any,
    }
}

impl Judge<'_> {
    /// Everything that a statement uses otherwise than as output. `at` is its place in the text.
    pub(super) fn uses(&mut self, catalog: &Catalog, statement: &Statement, at: usize) {
        let runs = Runs::of(statement);
        let mut compared: Option<&Use> = None;
        for (index, used) in statement.uses.iter().enumerate() {
            let mode = mode_of(used, runs);
            let Some((columns, policy)) = self.infer(catalog, used, mode) else { continue };
            if compared.replace(used).is_some() {
                let column = columns.first().cloned().unwrap_or_default();
                self.deny(Denial::second_probe(&column, &self.who));
            }
            if runs == Runs::Now {
                self.charges.push(Charge { statement: at, used: index, columns, policy });
            }
        }
    }

    /// One use. The answer are the columns of whose budget it is taken, and the policy that permits it so.
    pub(super) fn infer(
        &mut self,
        catalog: &Catalog,
        used: &Use,
        mode: InferMode,
    ) -> Option<(Vec<String>, Option<PolicyRef>)> {
        let mut within: Option<Option<PolicyRef>> = None;
        for (label, column) in self.labels_of(catalog, &used.taint) {
            if matches!(self.reveal(&label), Reveal::Clear) {
                continue;
            }
            let decision = self.rules.policies.decide(&Question {
                identity: self.identity,
                action: Action::Infer,
                resource: Resource::Label { target: &self.target.facts, label: &label, table: None },
                context: &self.context,
            });
            self.note(&decision.policies, &decision.alerts, &decision.observed, decision.depends_on_time);
            let fits = decision.infer.allows(mode);
            let policy = match decision.outcome {
                Outcome::Allow | Outcome::Approve(_) if fits => {
                    if let Outcome::Approve(needs) = decision.outcome {
                        self.hold(needs);
                    }
                    if mode == InferMode::Equality && !decision.infer.any {
                        within = Some(decision.policies.first().cloned());
                    }
                    continue;
                }
                Outcome::Deny(DenyReason::Forbidden(policy)) => Some(policy),
                _ => None,
            };
            let place = if used.place.is_empty() { used.how.name() } else { used.place.as_str() };
            self.deny(Denial::infer(&Inference {
                column: column.as_deref().unwrap_or("of unknown origin"),
                label: label.as_str(),
                place,
                who: &self.who,
                policy: policy.as_ref(),
                needs: mode,
                has: decision.infer,
            }));
        }
        let policy = within?;
        let columns = used.taint.columns().iter().filter_map(|id| catalog.labelled(*id));
        Some((columns.map(|c| format!("{}.{}.{}", c.schema, c.table, c.column)).collect(), policy))
    }
}
