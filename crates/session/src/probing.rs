//! Comparisons of labelled columns with values, from the request that makes them to the answer: taken from the identity's
//! budget before it is forwarded, settled when the number of rows is known, and an alarm when most found nothing.

use crate::denial::Denial;
use crate::judge::Charge;
use crate::ledger::{Asked, RowSet, Spent};
use crate::rules::Rules;
use crate::session::Session;
use crate::wire::RaisedAlert;
use lockgate_core::{Timestamp, name_key};
use lockgate_policy::Severity;

/// A comparison that a request makes.
#[derive(Clone, Copy)]
pub struct Probing<'a> {
    /// What it is charged to.
    pub charge: &'a Charge,
    /// The place in the request's text of the statement that runs it.
    pub statement: usize,
    /// What the column is compared with, in a form that equal values share; `None` where none can be told from others.
    pub value: Option<&'a [u8]>,
    /// Rows tell whether it found something.
    pub rows_tell: bool,
}

/// A comparison on its way.
pub(crate) struct Probe {
    /// `None` until its request has a number.
    request: Option<u64>,
    statement: usize,
    asked: Asked,
    number: u64,
    policy: String,
    rows_tell: bool,
}

impl Probe {
    /// Whether it belongs to this request.
    pub(crate) fn is_of(&self, request: u64) -> bool {
        self.request == Some(request)
    }
}

impl Session {
    /// Takes the comparisons of a request from the budgets. What was taken for a request that is refused stays taken.
    pub(crate) fn charge(&mut self, rules: &Rules, probing: &[Probing<'_>], now: Timestamp) -> Result<(), Denial> {
        for one in probing {
            // One budget for all databases of a place.
            let asked: Vec<_> = one.charge.columns.iter().flat_map(|column| self.asked(column, "")).collect();
            for (column, asked) in asked {
                let digest = one.value.and_then(|value| rules.mask_keys.probe(column, value));
                let number = rules.ledger.charge(&asked, digest, &rules.infer, now).map_err(|spent| match spent {
                    Spent::Until(more) => Denial::probes_spent(column, self.who(), &rules.infer, more, now),
                    Spent::Full | Spent::Meanwhile => Denial::probes_full(column),
                })?;
                let policy = one.charge.policy.as_ref().map_or_else(String::new, ToString::to_string);
                let (statement, rows_tell) = (one.statement, one.rows_tell);
                self.probes.push(Probe { request: None, statement, asked, number, policy, rows_tell });
            }
        }
        Ok(())
    }

    /// Whose budgets a column is asked about on: what an agent finds out its principal has found out, and so has every other
    /// agent of it.
    fn asked<'c>(&self, column: &'c str, database: &str) -> Vec<(&'c str, Asked)> {
        let target = self.target().facts.name.as_str();
        let place = Some(self.labels().place()).filter(|place| !place.is_empty()).unwrap_or(target);
        let of = |user: &str| Asked {
            user: name_key(user),
            place: place.to_owned(),
            database: database.to_owned(),
            column: column.to_owned(),
        };
        self.identity().users().map(|user| (column, of(user))).collect()
    }

    /// The sets of rows that the identity has aggregated a column over.
    pub fn row_sets(&mut self, column: &str, now: Timestamp) -> Vec<RowSet> {
        let rules = self.rules();
        let mut all: Vec<RowSet> = Vec::new();
        for (_, asked) in self.asked(column, self.labels().database()) {
            let sets = rules.ledger.row_sets(&asked, &rules.infer, now);
            all.extend(sets.into_iter().filter(|set| !all.contains(set)).collect::<Vec<_>>());
        }
        all
    }

    /// Keeps a set of rows that the identity is about to aggregate a column over, which was compared with those that were `seen`.
    /// False where another was kept in the meantime, by another session of hers.
    pub fn remember_rows(
        &mut self,
        column: &str,
        set: &RowSet,
        seen: &[RowSet],
        now: Timestamp,
    ) -> Result<bool, Denial> {
        let rules = self.rules();
        for (_, asked) in self.asked(column, self.labels().database()) {
            match rules.ledger.remember_rows(&asked, set.clone(), seen, &rules.infer, now) {
                Ok(()) => {}
                Err(Spent::Meanwhile) => return Ok(false),
                Err(Spent::Until(more)) => return Err(Denial::sets_spent(column, self.who(), more)),
                Err(Spent::Full) => return Err(Denial::probes_full(column)),
            }
        }
        Ok(true)
    }

    /// The comparisons that were taken last belong to this request.
    pub(crate) fn adopt_probes(&mut self, request: u64) {
        for probe in self.probes.iter_mut().filter(|probe| probe.request.is_none()) {
            probe.request = Some(request);
        }
    }

    /// The comparisons that were taken last belong to nothing that runs.
    pub(crate) fn drop_probes(&mut self) {
        self.probes.retain(|probe| probe.request.is_some());
    }

    /// The statement at `statement` of a request has ended with so many rows, found or changed.
    pub fn answered(&mut self, request: u64, statement: usize, rows: u64, now: Timestamp) {
        if !self.probes.is_empty() {
            self.settle(|probe| probe.is_of(request) && probe.statement == statement, rows > 0, now);
        }
    }

    /// A request has ended: what it compared and was not answered has found nothing, as far as anybody knows.
    pub(crate) fn unanswered(&mut self, request: u64, now: Timestamp) {
        if !self.probes.is_empty() {
            self.settle(|probe| probe.is_of(request), false, now);
        }
    }

    fn settle(&mut self, which: impl Fn(&Probe) -> bool, found: bool, now: Timestamp) {
        let (ended, open) = std::mem::take(&mut self.probes).into_iter().partition(which);
        self.probes = open;
        let ended: Vec<Probe> = ended;
        let rules = self.rules();
        for probe in ended {
            let Probe { request, asked, number, policy, rows_tell, .. } = probe;
            let guessing = rules.ledger.settle(&asked, number, found && rows_tell, &rules.infer, now);
            let Some(guessing) = guessing else { continue };
            let text = format!(
                "{} of {} comparisons of column {} with values found nothing: somebody may be guessing",
                guessing.misses, guessing.probes, asked.column
            );
            // What cannot be put on record now ends the session with the next thing that is to be.
            let _ = self.notice(request, "WARNING", "01000", &text, now);
            self.raise(RaisedAlert {
                session: self.id(),
                user: self.who().to_owned(),
                policy,
                severity: Severity::High.name(),
                text,
            });
        }
    }
}
