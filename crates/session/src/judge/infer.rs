//! Uses of labelled values: which of them policy permits to an identity that may not see the values, and which of these
//! within a budget only.

use super::{Judge, Masks, Reveal};
use crate::denial::{Denial, Inference, UNKNOWN_ORIGIN};
use crate::rules::TargetRules;
use lockgate_core::{Action, Identity, Label};
use lockgate_policy::{DenyReason, InferMode, Outcome, PolicyRef, Question, RequestContext, Resource, SqlContext};
use lockgate_sql::{Catalog, How, Statement, Taint, Use};

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

/// An answer made of labelled values that is given out as it is, where each of its groups, and their differences with the
/// groups of earlier answers, are large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The columns that go into it, in the order of [`Aggregation::aggregated`](lockgate_sql::Aggregation::aggregated), as
    /// `schema.table.column`.
    pub columns: Vec<String>,
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
        | How::Stored
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
            let Some((columns, policy)) = self.infer(catalog, used, mode, statement.not_found.as_deref()) else {
                continue;
            };
            if compared.replace(used).is_some() {
                let column = columns.first().cloned().unwrap_or_default();
                self.deny(Denial::second_probe(&column, &self.who));
            }
            if runs == Runs::Now {
                self.charges.push(Charge { statement: at, used: index, columns, policy });
            }
        }
    }

    /// One use, in a statement of which a name may not have been found. The answer are the columns of whose budget it is taken,
    /// and the policy that permits it so.
    pub(super) fn infer(
        &mut self,
        catalog: &Catalog,
        used: &Use,
        mode: InferMode,
        not_found: Option<&str>,
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
            let out_of_scope = decision.outcome == Outcome::Deny(DenyReason::OutOfScope);
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
                // Its label goes with it.
                Outcome::Allow
                | Outcome::Approve(_)
                | Outcome::Deny(_)
                | Outcome::Mask(..)
                | Outcome::ApproveThenMask(..)
                    if used.how == How::Stored && self.target.propagates =>
                {
                    continue;
                }
                Outcome::Deny(DenyReason::NoPermit | DenyReason::OutOfScope | DenyReason::Unanswerable(_))
                | Outcome::Allow
                | Outcome::Approve(_)
                | Outcome::Mask(..)
                | Outcome::ApproveThenMask(..) => None,
            };
            let place = if used.place.is_empty() { used.how.name() } else { used.place.as_str() };
            let named = column.as_deref().unwrap_or(UNKNOWN_ORIGIN);
            if out_of_scope {
                let object = format!("column {named}, labelled {label}, in {place}");
                self.deny(Denial::out_of_scope(self.identity, Action::Infer, &object));
                continue;
            }
            self.deny(Denial::infer(&Inference {
                column: named,
                label: label.as_str(),
                place,
                who: &self.whom(decision.lacking.as_deref()),
                policy: policy.as_ref(),
                needs: mode,
                has: decision.infer,
                not_found,
            }));
        }
        let policy = within?;
        let columns = used.taint.columns().iter().filter_map(|id| catalog.labelled(*id));
        Some((columns.map(|c| format!("{}.{}.{}", c.schema, c.table, c.column)).collect(), policy))
    }

    /// Takes the masks off aggregates that policy gives out. Who may write the table is given none: with rows of one's own
    /// choice around it, a single value is the difference of two sums.
    pub(super) fn release(&mut self, catalog: &Catalog, statement: &Statement, masks: &mut Masks) {
        let Some(aggregation) = &statement.aggregation else { return };
        // People who approve see no sizes.
        if !self.holds.is_empty() || self.denial.is_some() {
            return;
        }
        let mut columns = Vec::new();
        let mut hidden = false;
        for one in aggregation.aggregated() {
            for (label, _) in self.labels_of(catalog, &one.taint) {
                if matches!(self.reveal(&label), Reveal::Clear) {
                    continue;
                }
                hidden = true;
                if !self.gives_out(catalog, &label, &one.taint) {
                    return;
                }
            }
            let named: Vec<String> = one
                .taint
                .columns()
                .iter()
                .filter_map(|id| catalog.labelled(*id))
                .map(|c| format!("{}.{}.{}", c.schema, c.table, c.column))
                .collect();
            columns.push(named.join("+"));
        }
        if let (true, Masks::Columns { columns: masked, .. }) = (hidden, masks) {
            for (mask, output) in masked.iter_mut().zip(&aggregation.outputs) {
                if output.is_some() {
                    *mask = None;
                }
            }
            self.releases.push(Release { columns });
        }
    }

    fn gives_out(&mut self, catalog: &Catalog, label: &Label, taint: &Taint) -> bool {
        let decision = self.rules.policies.decide(&Question {
            identity: self.identity,
            action: Action::Infer,
            resource: Resource::Label { target: &self.target.facts, label, table: None },
            context: &self.context,
        });
        if decision.outcome != Outcome::Allow || !decision.infer.aggregate {
            return false;
        }
        self.note(&decision.policies, &decision.alerts, &decision.observed, decision.depends_on_time);
        let parties = parties(self.identity);
        let mut ways: Vec<String> = taint
            .columns()
            .iter()
            .filter_map(|id| catalog.labelled(*id))
            .flat_map(|column| catalog.written_with(column))
            .collect();
        ways.sort_unstable();
        ways.dedup();
        let (rules, here) = (self.rules, self.target);
        let leads_here = |other: &&TargetRules| other.facts.name != here.facts.name && other.place == here.place;
        let elsewhere = rules.targets.values().map(AsRef::as_ref).filter(leads_here);
        let targets: Vec<&TargetRules> =
            std::iter::once(here).chain(elsewhere.filter(|other| !other.place.is_empty())).collect();
        ways.iter()
            .all(|name| targets.iter().all(|target| parties.iter().all(|party| !self.may_write(party, target, name))))
    }

    /// Whether a party may write a table in any way: by a statement, by defining what writes it or is a copy of it, or by code
    /// that nobody looks into. What cannot be told may be.
    fn may_write(&mut self, party: &Identity, target: &TargetRules, name: &str) -> bool {
        let table = Resource::Table { target: &target.facts, name };
        let whole = Resource::Target(&target.facts);
        let ways = WRITES
            .iter()
            .map(|verb| (Action::Write, *verb, table))
            .chain(DEFINES.iter().map(|verb| (Action::Define, *verb, table)))
            .chain(RUNS.iter().map(|verb| (Action::Execute, *verb, whole)))
            .chain([(Action::Administer, "alter_system", whole)]);
        ways.flat_map(|way| [(way, true), (way, false)]).any(|((action, verb, resource), has_where)| {
            let sql = SqlContext {
                verb: verb.to_owned(),
                tables: std::iter::once(name.to_owned()).collect(),
                has_where,
                statement_count: 1,
                ..SqlContext::default()
            };
            let decision = self.rules.policies.decide(&Question {
                identity: party,
                action,
                resource,
                context: &RequestContext { sql: Some(sql), ..self.context.clone() },
            });
            self.depends_on_time |= decision.depends_on_time;
            !matches!(
                decision.outcome,
                Outcome::Deny(DenyReason::Forbidden(_) | DenyReason::NoPermit | DenyReason::OutOfScope)
            )
        })
    }
}

/// The ways to write a table, as policies know them.
const WRITES: [&str; 5] = ["insert", "update", "delete", "merge", "copy"];
/// Definitions that write rows, or have others do it.
const DEFINES: [&str; 6] =
    ["create_table_as", "select_into", "alter_table", "truncate_table", "create_trigger", "create_rule"];
/// What runs code.
const RUNS: [&str; 3] = ["do", "call", "select"];

/// An identity and everybody it acts for, each in the chain and by itself, whatever the proof at hand is for: another token of the
/// same person may be for more, and who writes need not be the one who asks.
fn parties(identity: &Identity) -> Vec<Identity> {
    let whole = Identity { actions: None, ..identity.clone() };
    let mut all = vec![whole.clone(), Identity { on_behalf_of: Vec::new(), ..whole.clone() }];
    for (at, party) in identity.on_behalf_of.iter().enumerate() {
        let groups = party.groups.as_ref().or(party.directories.first()).cloned().unwrap_or_default();
        let alone = Identity {
            user: party.user.clone(),
            kind: party.kind,
            groups,
            directories: party.directories.clone(),
            on_behalf_of: Vec::new(),
            ..whole.clone()
        };
        let beyond = identity.on_behalf_of.get(at + 1..).unwrap_or_default().to_vec();
        all.push(Identity { on_behalf_of: beyond, ..alone.clone() });
        all.push(alone);
    }
    all.dedup();
    all
}
