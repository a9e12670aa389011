//! Sums, averages and counts of labelled numbers: before such a statement runs, the target is asked how many rows go into
//! each group of its answer, and how many of them did not go into an earlier one, and the other way round. The answer is
//! given where each of these numbers is none or large.
//!
//! The questions are sent on the session's connection right before the statement. Others may change the rows between the
//! two; the identity itself may not, as who may write a table is given no aggregates of it.

use super::inquiry::Stage;
use super::{Asking, Pump, Waiting};
use crate::frame::Frame;
use crate::prepare::Prepared;
use lockgate_core::limits::INFER_GROUPS_MAX;
use lockgate_session::wire::Io;
use lockgate_session::{Denial, Judgement, Release, RowSet, Ruling};
use lockgate_sql::Aggregation;
use std::fmt::Write;

/// The sizes that the target tells.
pub(super) struct Sizes {
    /// What was asked, so that no answer is taken for another.
    questions: Vec<String>,
    /// By the question.
    rows: Vec<(usize, Vec<u64>)>,
}

impl Sizes {
    pub(super) fn new(questions: Vec<String>) -> Sizes {
        Sizes { questions, rows: Vec::new() }
    }

    /// One row of an answer, in text.
    pub(super) fn row(&mut self, question: usize, values: &[Option<&[u8]>]) -> Result<(), &'static str> {
        if self.rows.len() >= INFER_GROUPS_MAX {
            return Err("there are too many groups");
        }
        let number = |value: &Option<&[u8]>| std::str::from_utf8((*value)?).ok()?.parse::<u64>().ok();
        let numbers: Option<Vec<u64>> = values.iter().map(number).collect();
        self.rows.push((question, numbers.ok_or("a size is no number")?));
        Ok(())
    }
}

/// What is to be asked of one statement.
struct Plan {
    questions: Vec<String>,
    /// Of each question but the first: the column, and the earlier set.
    earlier: Vec<(usize, RowSet)>,
    columns: Vec<String>,
    own: RowSet,
}

/// Whether a statement may run.
pub(super) enum Sized {
    /// The frame waits for the target's answer.
    Asked(Waiting),
    /// It may not.
    Refused(Denial),
    /// It may.
    Fine,
}

impl Pump {
    /// Sees to it that the groups of what a statement aggregates are large. The frame is taken up again with the answer.
    pub(super) fn sized(
        &mut self,
        prepared: &Prepared,
        judgement: &Judgement,
        answer: Option<Result<Sizes, String>>,
        frame: impl FnOnce() -> Frame,
        io: &mut Io,
    ) -> Sized {
        let [release] = judgement.releases.as_slice() else { return Sized::Fine };
        if !matches!(judgement.ruling, Ruling::Allow) {
            return Sized::Fine;
        }
        let aggregation = prepared.statements().first().and_then(|s| s.aggregation.as_ref());
        let Some(aggregation) = aggregation else {
            return Sized::Refused(Denial::not_sized(&release.columns.join(", "), "its groups are not known"));
        };
        let plan = self.plan(aggregation, release, io);
        match answer {
            Some(Ok(sizes)) if sizes.questions == plan.questions => self.weigh(&plan, &sizes, io),
            Some(Err(why)) => Sized::Refused(Denial::not_sized(&release.columns.join(", "), &why)),
            Some(Ok(_)) | None => {
                let texts: Vec<&str> = plan.questions.iter().map(String::as_str).collect();
                self.send_round(
                    io,
                    Stage::Sizes(Sizes::new(plan.questions.clone())),
                    &texts,
                    String::new(),
                    Vec::new(),
                );
                Sized::Asked(Waiting::Target(Asking { frame: frame(), sizes: None }))
            }
        }
    }

    fn plan(&mut self, aggregation: &Aggregation, release: &Release, io: &Io) -> Plan {
        let Aggregation { relation, rows, groups, .. } = aggregation;
        let quoted: Vec<&str> = aggregation.aggregated().into_iter().map(|one| one.column.as_str()).collect();
        let by = |groups: &[String]| match groups {
            [] => String::new(),
            groups => format!(" GROUP BY {}", groups.join(", ")),
        };
        let mut first = format!("{}SELECT pg_catalog.count(*)", self.comment);
        for column in &quoted {
            let _ = write!(first, ", pg_catalog.count({column})");
        }
        let _ = write!(first, " FROM {relation} WHERE {rows}{}", by(groups));
        let mut questions = vec![first];
        let mut earlier = Vec::new();
        for (at, (name, column)) in release.columns.iter().zip(&quoted).enumerate() {
            for set in self.session.row_sets(name, io.now) {
                let both: Vec<String> = if groups.is_empty() { set.groups.clone() } else { groups.clone() };
                let (p, q) = (format!("({rows}) IS TRUE"), format!("({}) IS TRUE", set.rows));
                let count = |condition: String| format!("pg_catalog.count({column}) FILTER (WHERE {condition})");
                let (new, old, shared) = (
                    count(format!("{p} AND NOT ({q})")),
                    count(format!("{q} AND NOT ({p})")),
                    count(format!("{p} AND {q}")),
                );
                let (all_new, all_old) = (count(p), count(q));
                questions.push(format!(
                    "SELECT {new}, {old}, {shared}, pg_catalog.sum({all_new}) OVER (), pg_catalog.sum({all_old}) OVER () \
                     FROM {relation}{}",
                    by(&both)
                ));
                earlier.push((at, set));
            }
        }
        let own = RowSet { relation: relation.clone(), rows: rows.clone(), groups: groups.clone(), contributors: 0 };
        Plan { questions, earlier, columns: release.columns.clone(), own }
    }

    /// Whether all sizes are large enough; if so, the sets are remembered.
    fn weigh(&mut self, plan: &Plan, sizes: &Sizes, io: &Io) -> Sized {
        let smallest = self.session.rules().infer.group_min;
        let small = |size: u64| size < smallest;
        let between = |size: u64| size > 0 && size < smallest;
        let refuse = |column: &str, why: &str| Sized::Refused(Denial::small_group(column, smallest, why));
        let mut contributors = vec![0_u64; plan.columns.len()];
        for (_, row) in sizes.rows.iter().filter(|(question, _)| *question == 0) {
            for ((column, size), sum) in plan.columns.iter().zip(row.iter().skip(1)).zip(&mut contributors) {
                // A SELECT without groups has a row where nothing goes into it, which tells that.
                if small(*size) {
                    return refuse(column, "a group of the answer is of fewer values");
                }
                *sum = sum.saturating_add(*size);
            }
        }
        for (index, (at, set)) in plan.earlier.iter().enumerate() {
            let Some(column) = plan.columns.get(*at) else { continue };
            if set.relation != plan.own.relation {
                return refuse(
                    column,
                    "it was aggregated in another table a while ago, which may hold some of the same rows",
                );
            }
            if set.groups != plan.own.groups && !set.groups.is_empty() && !plan.own.groups.is_empty() {
                return refuse(
                    column,
                    "it was grouped by other columns a while ago, and how these groups overlap is not known",
                );
            }
            for (_, row) in sizes.rows.iter().filter(|(question, _)| *question == index + 1) {
                let [new, old, shared, all_new, all_old] = row.as_slice() else {
                    return refuse(column, "an answer of the target is not understood");
                };
                if between(all_old.abs_diff(set.contributors)) {
                    return refuse(column, "since an earlier answer about the same rows some were added or taken away");
                }
                let (only_new, only_old) = match (plan.own.groups.is_empty(), set.groups.is_empty()) {
                    // Groups of the one against all of the other.
                    (false, true) if new.saturating_add(*shared) == 0 => continue,
                    (false, true) => (*new, all_old.saturating_sub(*shared)),
                    (true, false) if old.saturating_add(*shared) == 0 => continue,
                    (true, false) => (all_new.saturating_sub(*shared), *old),
                    _ => (*new, *old),
                };
                if between(only_new) || between(only_old) {
                    return refuse(
                        column,
                        "an earlier answer is about almost the same rows, and the difference is of fewer values",
                    );
                }
            }
        }
        for (column, contributors) in plan.columns.iter().zip(contributors) {
            let set = RowSet { contributors, ..plan.own.clone() };
            if let Err(denial) = self.session.remember_rows(column, set, io.now) {
                return Sized::Refused(denial);
            }
        }
        Sized::Fine
    }
}
