//! Where values of several types meet (CASE, COALESCE, UNION, arrays, comparisons, arguments that have to be of one type), the
//! server settles on one type and casts what is of another, which nobody asked for. Here is which type that is, and whether
//! such a cast may fail. Only what is certain counts: types that are the same, constants, which are read or folded before
//! anything runs, and casts that take every value.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Analyzer;
use super::scope::RECORD;
use super::types::{self, ADAPTS, DECIMAL, FLOAT4, FLOAT8, INT2, INT4, INT8, LITERAL, NUMERIC, UNKNOWN};
use crate::builtins;

const CASTS: &str = include_str!("../../data/casts.txt");

/// What messages call such a cast.
pub(super) const MEETING: &str = "a cast that nobody asked for and that may fail";

/// What is known of the type that values have where they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    /// What it is, as far as it is known.
    pub(super) type_oid: u32,
    /// No cast that it takes refuses a value.
    pub(super) sure: bool,
}

impl Meeting {
    const fn sure(type_oid: u32) -> Meeting {
        Meeting { type_oid, sure: true }
    }
}

/// Whether casts of one of the server's own types to another take every value, by the two.
fn casts() -> &'static HashMap<(u32, u32), bool> {
    static TABLE: OnceLock<HashMap<(u32, u32), bool>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        for line in CASTS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let (verdict, Some(Ok(source))) = (words.next(), words.next().map(str::parse)) else { continue };
            let targets = words.filter_map(|word| word.parse().ok());
            table.extend(targets.map(|target: u32| ((source, target), verdict == Some("t"))));
        }
        table
    })
}

/// Whether the server casts one of its own types to another without being asked, and if so, whether that takes every value.
fn implicit(source: u32, target: u32) -> Option<bool> {
    if source == target {
        return Some(true);
    }
    match (builtins::element_of(source), builtins::element_of(target)) {
        // Arrays are cast as what they are made of.
        (Some(source), Some(target)) => implicit(source, target),
        (None, None) => casts().get(&(source, target)).copied(),
        _ => None,
    }
}

/// The kinds of types that the server's casts lie within (`pg_type.typcategory`); types of no other kind are cast to none.
fn category(oid: u32) -> char {
    match oid {
        types::BOOL => 'B',
        INT8
        | INT2
        | INT4
        | NUMERIC
        | FLOAT4
        | FLOAT8
        | 24
        | 26
        | 790
        | 2202..=2206
        | 3734
        | 3769
        | 4089
        | 4096
        | 4191 => 'N',
        19 | types::TEXT | 1042 | 1043 => 'S',
        types::DATE | types::TIME | types::TIMESTAMP | types::TIMESTAMPTZ | 1266 => 'D',
        types::INTERVAL => 'T',
        1560 | 1562 => 'V',
        types::INET | types::CIDR => 'I',
        18 => 'Z',
        _ if builtins::is_plain_array(oid) => 'A',
        _ => 'U',
    }
}

/// The types that the server stays with once it has come to them.
fn is_preferred(oid: u32) -> bool {
    matches!(oid, types::BOOL | types::TEXT | 26 | FLOAT8 | types::TIMESTAMPTZ | types::INTERVAL | 1562 | types::INET)
}

fn is_exact(oid: u32) -> bool {
    builtins::is_plain_type(oid) || builtins::is_plain_array(oid)
}

/// The type that the server settles on where two of its own meet in this order; `None` where it refuses them.
fn common(first: u32, next: u32) -> Option<Meeting> {
    if first == next {
        return Some(Meeting::sure(first));
    }
    match (first, next) {
        (DECIMAL, other) | (other, DECIMAL) if types::is_float(other) => return Some(Meeting::sure(other)),
        (DECIMAL, other) | (other, DECIMAL) if types::is_integer(other) => return Some(Meeting::sure(DECIMAL)),
        (DECIMAL, other) => return common(NUMERIC, other),
        (other, DECIMAL) => return common(other, NUMERIC),
        _ => {}
    }
    if category(first) != category(next) {
        return None;
    }
    let (there, back) = (implicit(first, next), implicit(next, first));
    match (there, back) {
        (Some(sure), None) if !is_preferred(first) => Some(Meeting { type_oid: next, sure }),
        (_, Some(sure)) => Some(Meeting { type_oid: first, sure }),
        _ => None,
    }
}

/// Whether it may meet any other of the server's own types without a cast that may fail.
fn meets_all(oid: u32) -> bool {
    let oid = builtins::element_of(oid).unwrap_or(oid);
    if oid == DECIMAL {
        return true;
    }
    let here = |(source, target): &(u32, u32)| {
        source != target && [source, target].contains(&&oid) && category(*source) == category(*target)
    };
    casts().iter().filter(|(pair, _)| here(pair)).all(|(_, total)| *total)
}

/// Whether it meets no other of the server's own types at all.
fn is_alone(oid: u32) -> bool {
    let oid = builtins::element_of(oid).unwrap_or(oid);
    let here = |(source, target): &(u32, u32)| source != target && [source, target].contains(&&oid);
    !casts().keys().any(here)
}

/// Whether comparing it with whatever the server compares it with takes no cast that may fail.
fn compares_with_all(oid: u32) -> bool {
    !matches!(oid, INT8 | 26 | NUMERIC | FLOAT4 | FLOAT8 | 774 | 829)
}

/// Whether the server compares the two as they are, or by casts that take every value. `None` if it does not compare them.
pub(crate) fn servers_compare(one: u32, other: u32) -> Option<bool> {
    let both = |what: fn(u32) -> bool| what(one) && what(other);
    // It has comparisons of one with the other.
    let as_they_are =
        both(types::is_integer) || both(types::is_float) || both(types::is_moment) || both(types::is_text);
    let number = |oid: u32| types::is_integer(oid) || types::is_float(oid) || oid == NUMERIC;
    if as_they_are || (one == DECIMAL && number(other)) || (other == DECIMAL && number(one)) {
        return Some(true);
    }
    common(one, other).map(|meeting| meeting.sure && types::compares(meeting.type_oid))
}

/// The type that the server settles on where two of its own meet in this order, and whether no cast to it refuses a value;
/// `None` where it refuses them. For tests that ask servers.
#[doc(hidden)]
#[must_use]
pub fn types_meet(first: u32, next: u32) -> Option<(u32, bool)> {
    common(first, next).map(|meeting| (meeting.type_oid, meeting.sure))
}

/// Whether comparing values of two of the server's own types takes no cast that refuses one. For tests that ask servers.
#[doc(hidden)]
#[must_use]
pub fn types_compare(one: u32, other: u32) -> Option<bool> {
    servers_compare(one, other)
}

/// Whether the server casts one of its own types to the other unasked, and whether that takes every value. For tests that
/// ask servers.
#[doc(hidden)]
#[must_use]
pub fn type_casts(source: u32, target: u32) -> Option<bool> {
    casts().get(&(source, target)).copied()
}

impl Analyzer<'_> {
    /// The type by which the server finds a cast of a value of this type that somebody asks for; 0 if it is not known. Arrays are
    /// cast as what they are made of too, and what has no type yet is read.
    pub(super) fn cast_as(&self, oid: u32) -> u32 {
        let oid = self.beneath(oid);
        if builtins::is_plain_type(oid) || oid == LITERAL { oid } else { UNKNOWN }
    }

    /// The type of values of these types in this order where they meet.
    pub(super) fn meeting(&self, all: impl IntoIterator<Item = u32>) -> Meeting {
        let mut meeting = Meeting::sure(ADAPTS);
        for next in all {
            let step = self.meet(meeting.type_oid, next);
            meeting = Meeting { type_oid: step.type_oid, sure: meeting.sure && step.sure };
        }
        meeting.type_oid = match meeting.type_oid {
            LITERAL => types::TEXT,
            known => self.unless_row(known),
        };
        meeting
    }

    /// Which row it is decides what columns it has: of what rows become where they meet, nothing is said.
    pub(super) fn unless_row(&self, oid: u32) -> u32 {
        let row =
            oid == RECORD || self.catalog.types().get(&oid).is_some_and(|facts| matches!(facts.kind, 'c' | 'd' | 'p'));
        if row { UNKNOWN } else { oid }
    }

    /// Two of them, of which constants take the other's type.
    pub(super) fn meet(&self, first: u32, next: u32) -> Meeting {
        let (first, next) = (self.beneath(first), self.beneath(next));
        let adapts = |oid: u32| matches!(oid, LITERAL | ADAPTS);
        let exact = |oid: u32| oid == DECIMAL || is_exact(oid);
        match (adapts(first), adapts(next)) {
            (true, true) => return Meeting::sure(if [first, next].contains(&LITERAL) { LITERAL } else { ADAPTS }),
            (true, false) => return Meeting::sure(next),
            (false, true) => return Meeting::sure(first),
            (false, false) => {}
        }
        let user = |oid: u32| !exact(oid) && !types::is_guess(oid);
        if first == next && (exact(first) || user(first)) {
            return Meeting::sure(first);
        }
        let text = |oid: u32| types::is_text(oid) || self.is_extensions(oid, "citext");
        match (exact(first), exact(next)) {
            (true, true) => match common(first, next) {
                Some(meeting) => meeting,
                // The server refuses it, unless somebody has told it how.
                None => {
                    let sure = self.catalog.has_no_casts_unasked();
                    Meeting { type_oid: types::either(first, next, false), sure }
                }
            },
            _ if text(first) && text(next) => Meeting::sure(types::TEXT),
            _ if user(first) || user(next) => Meeting { type_oid: UNKNOWN, sure: false },
            (true, false) => Meeting { type_oid: types::either(first, next, is_alone(first)), sure: meets_all(first) },
            (false, true) => Meeting { type_oid: types::either(next, first, is_alone(next)), sure: meets_all(next) },
            (false, false) => Meeting { type_oid: types::either(first, next, false), sure: false },
        }
    }

    /// Whether comparing values of these types fails for none of them.
    pub(super) fn types_compare(&self, one: u32, other: u32) -> bool {
        let (one, other) = (self.beneath(one), self.beneath(other));
        let adapts = |oid: u32| matches!(oid, LITERAL | ADAPTS);
        let exact = |oid: u32| oid == DECIMAL || is_exact(oid);
        let user = |oid: u32| !exact(oid) && !types::is_guess(oid);
        let text = |oid: u32| types::is_text(oid) || self.is_extensions(oid, "citext");
        match (adapts(one), adapts(other)) {
            (true, true) => return true,
            (true, false) => return self.compares(other),
            (false, true) => return self.compares(one),
            (false, false) => {}
        }
        match (exact(one), exact(other)) {
            (true, true) if one == other => self.compares(one),
            // The server refuses it, unless somebody has told it how.
            (true, true) => servers_compare(one, other).unwrap_or_else(|| self.catalog.has_no_casts_unasked()),
            _ if text(one) && text(other) => true,
            // Users' types are compared with their own kind.
            _ if user(one) => self.compares(one),
            _ if user(other) => self.compares(other),
            (true, false) => compares_with_all(one) && self.compares(one),
            (false, true) => compares_with_all(other) && self.compares(other),
            (false, false) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_settles_on_a_type() {
        assert_eq!(types_meet(INT4, NUMERIC), Some((NUMERIC, true)));
        assert_eq!(types_meet(NUMERIC, FLOAT8), Some((FLOAT8, false)));
        assert_eq!(types_meet(DECIMAL, FLOAT4), Some((FLOAT4, true)));
        assert_eq!(types_meet(INT8, 26), Some((26, false)));
        assert_eq!(types_meet(26, INT4), Some((26, true)));
        assert_eq!(types_meet(types::DATE, types::TIMESTAMP), Some((types::TIMESTAMP, false)));
        assert_eq!(types_meet(1022, 1231), Some((1022, false)));
        assert_eq!(types_meet(1007, 1231), Some((1231, true)));
        assert_eq!(types_meet(types::TEXT, INT4), None);
        assert_eq!(types_compare(types::DATE, types::TIMESTAMP), Some(true));
        assert_eq!(types_compare(NUMERIC, FLOAT8), Some(false));
    }

    /// The server casts once, from what a value is to what it settled on, and not by way of the types between.
    #[test]
    fn casts_one_after_the_other_take_what_one_takes() {
        let mut chains = 0;
        for ((source, between), first) in casts() {
            for ((from, target), second) in casts() {
                if from == between && *first && *second {
                    chains += 1;
                    assert_ne!(implicit(*source, *target), Some(false), "{source} {between} {target}");
                }
            }
        }
        assert!(chains > 100, "{chains}");
    }

    #[test]
    fn what_meets_anything() {
        for oid in [types::TEXT, INT4, INT2, types::BOOL, types::JSONB, types::INTERVAL, 1009, 1007] {
            assert!(meets_all(oid), "{oid}");
        }
        for oid in [INT8, NUMERIC, FLOAT8, types::DATE, types::TIMESTAMPTZ, 26, 1231] {
            assert!(!meets_all(oid), "{oid}");
        }
        assert!(is_alone(types::JSONB) && is_alone(types::BOOL) && !is_alone(INT4));
    }
}
