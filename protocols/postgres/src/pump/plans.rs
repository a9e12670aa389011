//! Plans that the target keeps: of prepared statements, and of the statements in the code of functions. The target makes them anew
//! when the search path is another one, and when something changes that they are made of. It does not when something new comes
//! first in the same path, a temporary table above all: then it runs what a text meant when it was read first, while the
//! same text is judged here by what it means now. So before what may run kept plans under a catalog that they are not of, the
//! target is made to forget them (`DISCARD PLANS`), which loses nothing but the time to make them again.

use super::Pump;
use super::inquiry::Stage;
use super::meaning::by_name;
use crate::message::TransactionStatus;
use crate::prepare::Prepared;
use lockgate_session::Denial;
use lockgate_session::wire::Io;
use lockgate_sql::{Effect, Later, Statement};

/// The question that is none: its answer is that it is done.
const FORGET_SQL: &str = "DISCARD PLANS";

impl Pump {
    /// Something is about to be sent of which the target keeps a plan.
    pub(super) fn keeps_plan(&mut self) {
        if self.truth.plans.is_none() {
            self.truth.plans = Some(self.truth.snapshot.id);
        }
    }

    /// The same of a text that may be such, or runs code.
    pub(super) fn may_keep_plans(&mut self, prepared: &Prepared) {
        let prepares = prepared.statements().iter().any(|s| matches!(s.effect, Effect::Prepare { .. }));
        if prepares || runs_kept_plans(prepared) {
            self.keeps_plan();
        }
    }

    /// Whether the target may run what it understood under another catalog than the one that is judged by.
    pub(super) fn plans_are_old(&mut self) -> bool {
        let old = self.truth.plans.is_some_and(|of| of != self.truth.snapshot.id);
        old && self.status != TransactionStatus::Failed && self.names_matter()
    }

    /// Makes the target forget the plans, where the text that comes now may run old ones. Whether it was asked to.
    pub(super) fn forgets_plans_for(&mut self, prepared: &Prepared, io: &mut Io) -> bool {
        runs_kept_plans(prepared) && self.forgets_plans(io)
    }

    /// The same where what comes now runs a statement that was prepared.
    pub(super) fn forgets_plans(&mut self, io: &mut Io) -> bool {
        let asks = self.truth.unknown.is_none() && self.plans_are_old();
        if asks {
            self.send_round(io, Stage::Plans(self.truth.snapshot.id), &[FORGET_SQL], String::new(), Vec::new());
        }
        asks
    }

    /// Why what may run old plans is refused: the target could not be made to forget them.
    pub(super) fn plans_denial(&mut self) -> Option<Denial> {
        (self.truth.unknown.is_some() && self.plans_are_old()).then(|| self.unread_catalog())
    }
}

/// Whether a text may run plans that the target made before: by a name, or in code, which what is written may run as well.
fn runs_kept_plans(prepared: &Prepared) -> bool {
    let runs_code = |s: &Statement| s.facts.opaque || s.facts.later != Later::Nothing || !s.facts.changes.is_empty();
    prepared.batch.is_err() || prepared.statements().iter().any(|s| by_name(&s.effect) || runs_code(s))
}
