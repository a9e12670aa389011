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
use std::collections::HashMap;
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

/// How the rows of a set and those of an earlier one lie in one group of them.
#[derive(Clone, Copy)]
struct Overlap {
    group: u64,
    new: u64,
    old: u64,
    shared: u64,
}

/// What came of the sizes.
enum Weighed {
    Large,
    Small(Denial),
    /// The identity was told of another set meanwhile.
    Again,
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
            Some(Ok(sizes)) if sizes.questions == plan.questions => match self.weigh(&plan, &sizes, io) {
                Weighed::Large => Sized::Fine,
                Weighed::Small(denial) => Sized::Refused(denial),
                Weighed::Again => {
                    let plan = self.plan(aggregation, release, io);
                    self.ask_sizes(&plan, frame(), io)
                }
            },
            Some(Err(why)) => Sized::Refused(Denial::not_sized(&release.columns.join(", "), &why)),
            Some(Ok(_)) | None => self.ask_sizes(&plan, frame(), io),
        }
    }

    fn ask_sizes(&mut self, plan: &Plan, frame: Frame, io: &mut Io) -> Sized {
        let texts: Vec<&str> = plan.questions.iter().map(String::as_str).collect();
        let stage = Stage::Sizes(Sizes::new(plan.questions.clone()));
        self.send_round(io, stage, &texts, String::new(), Vec::new());
        Sized::Asked(Waiting::Target(Asking { frame, sizes: None }))
    }

    fn plan(&mut self, aggregation: &Aggregation, release: &Release, io: &Io) -> Plan {
        let Aggregation { relation, rows, groups, .. } = aggregation;
        let quoted: Vec<&str> = aggregation.aggregated().into_iter().map(|one| one.column.as_str()).collect();
        let by = |groups: &[String]| match groups {
            [] => String::new(),
            groups => format!(" GROUP BY {}", groups.join(", ")),
        };
        // What tells a group from others is the same in every session and at any time, and is no negative number.
        let which = |groups: &[String]| match groups {
            [] => "0".to_owned(),
            groups => format!(
                "pg_catalog.hash_record_extended(ROW({}), 0) OPERATOR(pg_catalog.&) {}",
                groups.join(", "),
                i64::MAX
            ),
        };
        let mut first = format!("{}SELECT {}, pg_catalog.count(*)", self.comment, which(groups));
        for column in &quoted {
            let _ = write!(first, ", pg_catalog.count({column})");
        }
        let _ = write!(first, " FROM {relation} WHERE {rows}{}", by(groups));
        let mut questions = vec![first];
        let mut earlier = Vec::new();
        for (at, (name, column)) in release.columns.iter().zip(&quoted).enumerate() {
            for set in self.session.row_sets(name, io.now) {
                let both: &[String] = if groups.is_empty() { &set.groups } else { groups };
                let (p, q) = (format!("({rows}) IS TRUE"), format!("({}) IS TRUE", set.rows));
                let count = |condition: String| format!("pg_catalog.count({column}) FILTER (WHERE {condition})");
                let (new, old, shared) = (
                    count(format!("{p} AND NOT ({q})")),
                    count(format!("{q} AND NOT ({p})")),
                    count(format!("{p} AND {q}")),
                );
                questions.push(format!("SELECT {}, {new}, {old}, {shared} FROM {relation}{}", which(both), by(both)));
                earlier.push((at, set));
            }
        }
        let own =
            RowSet { relation: relation.clone(), rows: rows.clone(), groups: groups.clone(), contributors: [].into() };
        Plan { questions, earlier, columns: release.columns.clone(), own }
    }

    /// Whether all sizes are large enough; if so, the sets are remembered.
    fn weigh(&mut self, plan: &Plan, sizes: &Sizes, io: &Io) -> Weighed {
        let smallest = self.session.rules().infer.group_min;
        let refuse = |column: &str, why: &str| Weighed::Small(Denial::small_group(column, smallest, why));
        let mut contributors: Vec<Vec<(u64, u64)>> = vec![Vec::new(); plan.columns.len()];
        for (_, row) in sizes.rows.iter().filter(|(question, _)| *question == 0) {
            let Some((group, counts)) = row.split_first() else { continue };
            for ((column, size), known) in plan.columns.iter().zip(counts.iter().skip(1)).zip(&mut contributors) {
                // A SELECT without groups has a row where nothing goes into it, which tells that.
                if *size < smallest {
                    return refuse(column, "a group of the answer is of fewer values");
                }
                known.push((*group, *size));
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
            let mut overlaps = Vec::new();
            for (_, row) in sizes.rows.iter().filter(|(question, _)| *question == index + 1) {
                let [group, new, old, shared] = *row.as_slice() else {
                    return refuse(column, "an answer of the target is not understood");
                };
                overlaps.push(Overlap { group, new, old, shared });
            }
            let apart = plan.own.groups.is_empty() || !set.groups.is_empty();
            if has_changed(set, apart, &overlaps, smallest) {
                return refuse(column, "since an earlier answer about the same rows some were added or taken away");
            }
            if differs_by_few(!plan.own.groups.is_empty(), !set.groups.is_empty(), &overlaps, smallest) {
                return refuse(
                    column,
                    "an earlier answer is about almost the same rows, and the difference is of fewer values",
                );
            }
        }
        for (at, (column, mut contributors)) in plan.columns.iter().zip(contributors).enumerate() {
            contributors.sort_unstable();
            let set = RowSet { contributors: contributors.into(), ..plan.own.clone() };
            let seen = plan.earlier.iter().filter(|(of, _)| *of == at).map(|(_, set)| set.clone());
            // Another column may be the same by name.
            let seen: Vec<RowSet> = seen.chain([set.clone()]).collect();
            match self.session.remember_rows(column, &set, &seen, io.now) {
                Ok(true) => {}
                Ok(false) => return Weighed::Again,
                Err(denial) => return Weighed::Small(denial),
            }
        }
        Weighed::Large
    }
}

/// Whether few of the rows of an earlier answer are others by now. Who goes from one group to another is one in each.
/// `apart`: the rows were counted by the groups of that answer.
fn has_changed(set: &RowSet, apart: bool, overlaps: &[Overlap], smallest: u64) -> bool {
    let few = |then: u64, now: u64| (1..smallest).contains(&then.abs_diff(now));
    let now = |overlap: &Overlap| overlap.old.saturating_add(overlap.shared);
    if !apart {
        return few(set.contributors.iter().map(|(_, size)| size).sum(), overlaps.iter().map(now).sum());
    }
    let mut groups: HashMap<u64, (u64, u64)> =
        set.contributors.iter().map(|(group, size)| (*group, (*size, 0))).collect();
    for overlap in overlaps {
        let (_, size) = groups.entry(overlap.group).or_default();
        *size = size.saturating_add(now(overlap));
    }
    groups.into_values().any(|(then, now)| few(then, now))
}

/// Whether the answers about two sets of rows can be put together so that few rows are left. `new` and `old`: that set is in groups.
///
/// Groups add up: where one of the two is in groups and the other is not, any of these groups are taken or left, whichever
/// leaves the fewest rows of each.
fn differs_by_few(new: bool, old: bool, overlaps: &[Overlap], smallest: u64) -> bool {
    let few = |size: u64| (1..smallest).contains(&size);
    if new == old {
        return overlaps.iter().any(|o| few(o.new) || few(o.old));
    }
    let left = |o: &Overlap| {
        let (outside, within) = if new { (o.old, o.new) } else { (o.new, o.old) };
        outside.saturating_add(o.shared.min(within))
    };
    few(overlaps.iter().map(left).fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaps(all: &[(u64, u64, u64)]) -> Vec<Overlap> {
        let one = |(group, (new, old, shared)): (u64, &(u64, u64, u64))| Overlap {
            group,
            new: *new,
            old: *old,
            shared: *shared,
        };
        (0..).zip(all).map(one).collect()
    }

    #[test]
    fn groups_are_taken_and_left_as_one_likes() {
        for (new, old, groups, few) in [
            // (of the new set alone, of the old one alone, of both), by group.
            (false, false, &[(0, 1, 40)][..], true),
            (false, false, &[(10, 0, 40)], false),
            (true, true, &[(0, 0, 40), (3, 0, 40)], true),
            (true, true, &[(0, 20, 40), (20, 20, 0)], false),
            // All of the old set but one row is in the groups.
            (true, false, &[(0, 1, 19), (0, 0, 30)], true),
            (true, false, &[(0, 5, 19), (0, 5, 30)], false),
            // The old set is one group and a row of another.
            (true, false, &[(0, 0, 20), (29, 0, 1)], true),
            (true, false, &[(0, 0, 20), (30, 0, 0)], false),
            (true, false, &[(0, 0, 20), (19, 0, 11)], false),
            // A few of each group come to many.
            (true, false, &[(30, 0, 4), (30, 0, 3), (30, 0, 3)], false),
            (true, false, &[(30, 0, 4), (30, 0, 3), (30, 0, 2)], true),
            (false, true, &[(1, 0, 19), (0, 0, 30)], true),
            (false, true, &[(0, 0, 20), (0, 29, 1)], true),
            (false, true, &[(0, 0, 20), (0, 30, 0)], false),
        ] {
            assert_eq!(differs_by_few(new, old, &overlaps(groups), 10), few, "{new} {old} {groups:?}");
        }
    }

    #[test]
    fn who_changes_groups_is_seen_where_groups_are_told_apart() {
        let set = |contributors: &[(u64, u64)]| RowSet {
            relation: String::new(),
            rows: String::new(),
            groups: Vec::new(),
            contributors: contributors.into(),
        };
        for (then, now, apart, changed) in [
            (&[(0, 20), (1, 30)][..], &[(0, 0, 20), (0, 0, 30)][..], true, false),
            (&[(0, 20), (1, 30)], &[(0, 0, 19), (0, 0, 31)], true, true),
            (&[(0, 20), (1, 30)], &[(0, 0, 10), (0, 0, 40)], true, false),
            // A group of a few that was not there, and one that is gone.
            (&[(0, 20)], &[(0, 0, 20), (0, 3, 0)], true, true),
            (&[(0, 20), (7, 12)], &[(0, 0, 20)], true, false),
            (&[(0, 50)], &[(5, 1, 19), (5, 0, 30)], false, false),
            (&[(0, 51)], &[(5, 1, 19), (5, 0, 30)], false, true),
        ] {
            assert_eq!(has_changed(&set(then), apart, &overlaps(now), 10), changed, "{then:?} {now:?}");
        }
    }
}
