//! What is on its way when policies change. A request is judged before it is sent, and its answer may come for hours: when
//! other rules are loaded, what the target still owes is judged again, and where the same would not be answered so any more, the
//! session ends before another byte of it goes out.
//!
//! What has become wider in the meantime stays as narrow as it was.

use super::{Expect, Pump};
use crate::prepare::{Prepared, With};
use crate::shared::View;
use lockgate_core::{Fault, SqlState};
use lockgate_mask::Touch;
use lockgate_record::CloseReason;
use lockgate_session::wire::Io;
use lockgate_session::{ColumnMask, Denial, Judgement, Masks, Plan, Ruling};
use std::sync::Arc;

impl Pump {
    /// Sees to it that what comes is answered by the rules of now.
    pub(super) fn keep_rights(&mut self, io: &mut Io) {
        let rules = self.session.rules();
        if self.rights_of == rules.version || self.closed {
            return;
        }
        self.rights_of = rules.version;
        let (subjects, unknown) = self.on_its_way();
        if subjects.is_empty() && !unknown {
            return;
        }
        let snapshot = Arc::clone(&self.truth.snapshot);
        // Under other labels nobody knows what the columns on their way are.
        let relabelled = snapshot.rules != self.session.target().version && self.names_matter();
        let as_it_is = self.rewrites();
        let with = With {
            session: &self.session,
            rules: &rules,
            snapshot: &snapshot,
            path: &self.truth.path,
            view: View { snapshot: snapshot.id, names: snapshot.names, ..self.view(rules.version, as_it_is) },
            readable: self.readable(),
            rewrites: false,
            now: io.now,
        };
        let within =
            |subject: &Arc<Prepared>| is_within(&subject.judgement, &subject.again(&with, &self.shared).judgement);
        if unknown || relabelled || !subjects.iter().all(within) {
            let denial = Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "access was taken away",
                Some("the policies changed while a statement was under way that they do not permit so any more".into()),
                Some("connect again".into()),
            );
            self.fail(io, &denial, CloseReason::AccessLost);
        }
    }

    /// The texts of everything that the target owes an answer to, and of what they run by name; and whether there is anything
    /// whose text nobody knows.
    fn on_its_way(&self) -> (Vec<Arc<Prepared>>, bool) {
        let (mut all, mut unknown) = (Vec::new(), false);
        for expect in &self.expect {
            match expect {
                Expect::Simple(simple) => {
                    all.push(Arc::clone(&simple.prepared));
                    all.extend(simple.named.texts().cloned());
                }
                Expect::Execute(execution) => {
                    unknown |= execution.statement.is_none();
                    all.extend(execution.statement.iter().map(|statement| Arc::clone(statement.subject())));
                    all.extend(execution.named.texts().cloned());
                }
                Expect::Call(called) => {
                    unknown |= called.prepared.is_none();
                    all.extend(called.prepared.clone());
                }
                Expect::Parse { .. }
                | Expect::Bind
                | Expect::DescribeStatement { .. }
                | Expect::DescribePortal { .. }
                | Expect::CloseStatement
                | Expect::ClosePortal
                | Expect::Sync
                | Expect::Inquiry
                | Expect::Copied(_)
                | Expect::Own(_)
                | Expect::Bracket(_)
                | Expect::Refused(_)
                | Expect::RefusedQuery { .. } => {}
            }
        }
        (all, unknown)
    }
}

/// Whether what was judged so is still permitted so: nothing refused or held that was not, no mask that is new or stronger. Which
/// policy says so does not matter, nor where it is written.
pub(super) fn is_within(before: &Judgement, now: &Judgement) -> bool {
    let permitted = match (&before.ruling, &now.ruling) {
        (_, Ruling::Allow) => true,
        (Ruling::Hold(asked), Ruling::Hold(asks)) => {
            asks.iter().all(|need| asked.iter().any(|one| one.groups == need.groups && one.quorum >= need.quorum))
        }
        // What was denied and is on its way was sent by the gateway for a reason of its own.
        (Ruling::Deny(_), Ruling::Deny(_)) => true,
        (Ruling::Allow | Ruling::Hold(_) | Ruling::Deny(_), Ruling::Hold(_) | Ruling::Deny(_)) => false,
    };
    let labels = |judgement: &Judgement| judgement.carries.iter().map(|c| c.labels.clone()).collect::<Vec<_>>();
    permitted
        && before.plans.len() == now.plans.len()
        && before.plans.iter().zip(&now.plans).all(|(before, now)| is_plan_within(before, now))
        && before.charges.len() == now.charges.len()
        && (before.releases.is_empty() || before.releases == now.releases)
        && labels(before) == labels(now)
}

fn is_plan_within(before: &Plan, now: &Plan) -> bool {
    let touch = before.touch == Touch::Labelled || now.touch == Touch::Clean;
    let hides = |before: Option<&ColumnMask>, now: Option<&ColumnMask>| match (before, now) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(before), Some(now)) => before.method >= now.method && (before.derived || !now.derived),
    };
    let masks = match (&before.masks, &now.masks) {
        (_, Masks::Clear) => true,
        (Masks::Clear, Masks::Columns { .. }) => false,
        (Masks::Columns { columns, beyond }, Masks::Columns { columns: others, beyond: other_beyond }) => {
            let most = columns.len().max(others.len());
            (0..most).all(|at| hides(before.masks.column(at), now.masks.column(at)))
                && hides(beyond.as_ref(), other_beyond.as_ref())
        }
    };
    touch && masks
}
