//! Values that are cut in pieces over neighbouring cells: of one row, and of the rows of a one-column result.
//!
//! A row is whole before any of it is passed on, so all the pieces of a value in it are masked. Rows are not held back for
//! those that follow, which would stall a slow result: of a value that is spread over the rows of one column, the cells that
//! complete it and continue it are masked, and what came before has gone.
//!
//! Small numbers that stand side by side make up a card by chance every so often. So numbers count where all that stand side by
//! side are equal pieces, texts however they are cut, and what the same columns make up in few of the rows is not believed.

use crate::content::{ContentPlan, Looks};
use lockgate_detect::{Column, Hit, Strength, is_digits};
use std::collections::BTreeMap;

/// The longest cell that is a piece and nothing else.
pub(crate) const SHORT_BYTES_MAX: usize = 3;
/// The smallest integer that is longer.
pub(crate) const LONGER_MIN: i64 = 1000;
/// The longest piece of a number, of an account number that begins in another cell, and of what is spread over rows.
const NUMBER_BYTES_MAX: usize = 19;
const WORD_BYTES_MAX: usize = 30;
pub(crate) const ROW_PIECE_BYTES_MAX: usize = 8;
/// The shortest and the longest value that is put together, and how long bare digits must be that nothing names.
const VALUE_BYTES_MIN: usize = 9;
const VALUE_BYTES_MAX: usize = 34;
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 14..=16;
/// The groups of columns that are told apart, and the rows that count.
const SPLITS_MAX: usize = 1024;
const ROWS_MAX: u64 = 64;

/// The digits of one piece that are too many for two of it to be a card.
const WIDE: usize = *CARD_DIGITS.end() / 2;
/// The smallest number with so many.
const WIDE_MIN: i64 = 10_000_000;

/// A cell that may be a piece.
struct Piece {
    /// Where it stands among the others.
    start: usize,
    end: usize,
    /// Its place in the row.
    index: usize,
    /// It is a text, which may be cut anywhere.
    free: bool,
    /// It is of digits alone, or of what stands between digits.
    digits: bool,
    number: bool,
    /// An account number begins here.
    head: bool,
    /// The name of its column speaks of values that are somebody's.
    named: bool,
}

/// Neighbouring cells that may be pieces of one value.
#[derive(Default)]
pub(crate) struct Pieces {
    text: Vec<u8>,
    pieces: Vec<Piece>,
    /// Not all of them are bare digits that nothing names, too many for two of them to be a card.
    possible: bool,
    /// In a row: for each cell up to the last that is part of a value, the rule of what that is.
    rules: Vec<Option<usize>>,
    /// In the rows so far, by first and last cell.
    seen: BTreeMap<(usize, usize), Seen>,
    /// The rows in which there was something to put together, before this one.
    rows: u64,
    tested: bool,
    rows_of_one: Chain,
    hits: Vec<Hit>,
}

/// In how many rows some cells were a value, of those since one.
struct Seen {
    hits: u64,
    since: u64,
}

impl Seen {
    /// In how many rows before this one they were none.
    fn missed(&self, rows: u64) -> u64 {
        rows.saturating_sub(self.since).saturating_sub(self.hits)
    }

    fn is_often(&self, rows: u64) -> bool {
        self.hits.saturating_mul(3) >= self.missed(rows)
    }
}

/// Pieces in the rows of one column, from where they began.
#[derive(Default)]
struct Chain {
    text: Vec<u8>,
    size: usize,
    shorter: bool,
    values: u32,
    /// The pieces go on and are no value.
    lost: bool,
    /// What continues is masked.
    found: Option<usize>,
}

fn is_number(cell: &[u8]) -> bool {
    cell.iter().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'(' | b')' | b'+'))
}

/// Whether the name of a column speaks of values that are somebody's.
fn is_named(looks: &Looks, index: usize) -> bool {
    looks.name(index).is_some_and(Column::says_anything)
}

/// Country and check digits.
fn is_head(cell: &[u8]) -> bool {
    matches!(cell, [a, b, c, d, ..] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit())
}

/// The rule of the value that a text is as a whole.
fn rule_of(plan: &ContentPlan, text: &[u8], column: &Column, hits: &mut Vec<Hit>) -> Option<usize> {
    hits.clear();
    plan.detectors.scan(text, column, hits);
    let sure = hits.iter().find(|h| h.start == 0 && h.end == text.len() && h.strength >= Strength::Likely);
    sure.map(|hit| plan.rule(hit.detector))
}

impl Pieces {
    /// A row begins that is looked at before it is changed.
    pub(crate) fn row(&mut self) {
        self.rules.clear();
        self.tested = false;
    }

    /// What came before does not go on.
    pub(crate) fn break_rows(&mut self) {
        self.rows_of_one = Chain::default();
    }

    /// Whether an integer is no piece, whatever stands beside it: one below zero, and one too long for that in a column that nothing
    /// names, where all others are digits as well.
    #[inline]
    pub(crate) fn is_none(&self, looks: &Looks, index: usize, number: i64) -> bool {
        number < 0 || number >= WIDE_MIN && !looks.is_free() && !is_named(looks, index)
    }

    /// The next cell of a row, which is a text or something else; `None` for one that is longer than any piece, or not looked into.
    pub(crate) fn cell(&mut self, plan: &ContentPlan, looks: &Looks, index: usize, cell: Option<(bool, &[u8])>) {
        let Some((free, cell)) = cell.filter(|(_, cell)| cell.len() <= WORD_BYTES_MAX) else {
            return self.together(plan, looks);
        };
        let digits = is_digits(cell);
        if digits && cell.len() >= WIDE && !looks.is_free() && !is_named(looks, index) {
            return self.together(plan, looks);
        }
        let number = cell.len() <= NUMBER_BYTES_MAX && (digits || free && is_number(cell));
        let name = looks.name(index);
        let other = || cell.len() > SHORT_BYTES_MAX && name.is_some_and(Column::is_of_other_things);
        let head = free && !number && is_head(cell);
        let open = || self.pieces.iter().any(|piece| piece.head);
        let piece =
            if number { !other() } else { head || free && open() && cell.iter().all(u8::is_ascii_alphanumeric) };
        if !piece {
            return self.together(plan, looks);
        }
        let start = self.text.len();
        if digits {
            self.text.extend_from_slice(cell);
        } else {
            self.text.extend(cell.iter().filter(|b| !b.is_ascii_whitespace()));
        }
        // Nothing is no piece: what a value is made of is bounded by its length.
        if self.text.len() == start {
            return;
        }
        let named = name.is_some_and(Column::says_anything);
        // Of what is no text it takes three, the first two of one length.
        self.possible |= named || !digits || cell.len() < WIDE || free && cell.len() == WIDE;
        self.pieces.push(Piece { start, end: self.text.len(), index, free, digits, number, head, named });
    }

    /// The cells that belong together end: notes what they are.
    #[inline]
    pub(crate) fn together(&mut self, plan: &ContentPlan, looks: &Looks) {
        if self.pieces.is_empty() {
            return;
        }
        if self.possible {
            let alone = self.pieces.iter().all(|piece| piece.digits);
            self.values(plan, looks, alone);
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.text.clear();
        self.pieces.clear();
        self.possible = false;
    }

    /// Notes the values that the cells make up. `alone`: all pieces are of digits alone.
    fn values(&mut self, plan: &ContentPlan, looks: &Looks, alone: bool) {
        let mut first = 0;
        while self.pieces.get(first).is_some_and(|piece| self.text.len() >= piece.start + VALUE_BYTES_MIN) {
            first = match self.value(plan, looks, first, alone) {
                Some((last, rule)) => {
                    let index = |at: usize| self.pieces.get(at).map_or(0, |piece| piece.index);
                    let (from, to) = (index(first), index(last));
                    if self.is_believed(from, to) {
                        self.masks(from, to, rule);
                    }
                    last + 1
                }
                None => first + 1,
            };
        }
    }

    /// The longest value that begins with a piece: the last of its pieces, and its rule.
    fn value(&mut self, plan: &ContentPlan, looks: &Looks, first: usize, alone: bool) -> Option<(usize, usize)> {
        let begun = self.pieces.get(first)?;
        let size = begun.end - begun.start;
        let mut column = looks.name(begun.index).filter(|_| begun.named).map(|name| name.shared(name));
        // Bare digits that nothing names are a card at most.
        let longest_length = if alone && column.is_none() { *CARD_DIGITS.end() } else { VALUE_BYTES_MAX };
        let (mut free, mut digits, mut even) = (begun.free, begun.digits, true);
        let before = first.checked_sub(1).is_some_and(|before| self.is_of(before, size));
        let mut longest = None;
        let mut previous = size;
        for (last, piece) in self.pieces.iter().enumerate().skip(first + 1) {
            let length = piece.end - begun.start;
            if length > longest_length || !begun.head && !piece.number {
                break;
            }
            free &= piece.free;
            digits &= piece.digits;
            even &= previous == size && piece.end - piece.start <= size;
            previous = piece.end - piece.start;
            column =
                column.and_then(|column| Some(column.shared(looks.name(piece.index)?))).filter(Column::says_anything);
            let named = column.is_some();
            let list = even && !before;
            // Nothing that follows makes one of it.
            if !free && !list && !named {
                break;
            }
            if length < VALUE_BYTES_MIN || digits && !named && !CARD_DIGITS.contains(&length) {
                continue;
            }
            if !free && !named && (last == first + 1 || self.is_of(last + 1, size)) {
                continue;
            }
            self.tested = true;
            let text = self.text.get(begun.start..piece.end)?;
            if digits && !named && !lockgate_detect::is_card(text) {
                continue;
            }
            if let Some(rule) = rule_of(plan, text, &column.clone().unwrap_or_default(), &mut self.hits) {
                longest = Some((last, rule));
            }
        }
        longest
    }

    /// Whether the piece at `place` is of so many digits.
    fn is_of(&self, place: usize, size: usize) -> bool {
        self.pieces.get(place).is_some_and(|piece| piece.digits && piece.end - piece.start == size)
    }

    /// Whether these columns are a value often enough for it to be none by chance.
    fn is_believed(&mut self, from: usize, to: usize) -> bool {
        let rows = self.rows;
        if self.seen.len() >= SPLITS_MAX && !self.seen.contains_key(&(from, to)) {
            self.seen.retain(|_, seen| seen.is_often(rows));
            // More than can be counted: nothing speaks against it.
            if self.seen.len() >= SPLITS_MAX {
                return true;
            }
        }
        let new = || Seen { hits: 0, since: rows.saturating_sub(ROWS_MAX) };
        let seen = self.seen.entry((from, to)).or_insert_with(new);
        let counted = rows.saturating_sub(seen.since);
        if counted >= ROWS_MAX {
            (seen.hits, seen.since) = (seen.hits / 2, rows.saturating_sub(counted / 2));
        }
        let missed = seen.missed(rows);
        seen.hits += 1;
        seen.hits.saturating_mul(3) >= missed
    }

    /// The cells from `from` to `to` are a value.
    fn masks(&mut self, from: usize, to: usize, rule: usize) {
        if self.rules.len() <= to {
            self.rules.resize(to + 1, None);
        }
        for cell in self.rules.iter_mut().take(to + 1).skip(from) {
            cell.get_or_insert(rule);
        }
    }

    /// All cells of the row were looked at.
    pub(crate) fn row_ends(&mut self, plan: &ContentPlan, looks: &Looks) {
        self.together(plan, looks);
        self.rows += u64::from(self.tested);
    }

    /// An address whose name and domain are in the cells from `from` to `to`, put together here.
    pub(crate) fn mail(
        &mut self,
        plan: &ContentPlan,
        (from, to): (usize, usize),
        [name, domain]: [&[u8]; 2],
        whole: bool,
    ) {
        let sign: &[u8] = if name.ends_with(b"@") || domain.starts_with(b"@") { b"" } else { b"@" };
        let text = [name, sign, domain].concat();
        self.hits.clear();
        plan.detectors.scan(&text, &Column::default(), &mut self.hits);
        let over = |hit: &&Hit| hit.start < name.len() && hit.end > name.len() + sign.len();
        let all = |hit: &&Hit| !whole || hit.start == 0 && hit.end == text.len();
        if let Some(hit) =
            self.hits.iter().filter(|hit| hit.strength >= Strength::Likely).find(|hit| over(hit) && all(hit))
        {
            let rule = plan.rule(hit.detector);
            self.masks(from, to, rule);
        }
    }

    /// The rule of the value that a cell of the row is part of.
    pub(crate) fn rule(&self, index: usize) -> Option<usize> {
        self.rules.get(index).copied().flatten()
    }

    /// Adds a cell to those of the rows before; the rule of what it completes or continues.
    pub(crate) fn add(&mut self, plan: &ContentPlan, free: bool, piece: &[u8]) -> Option<usize> {
        let chain = &mut self.rows_of_one;
        if !is_number(piece) {
            *chain = Chain::default();
            return None;
        }
        if chain.found.is_some() || chain.lost {
            return chain.found;
        }
        if chain.text.is_empty() {
            chain.size = piece.len();
        }
        chain.lost = piece.len() > chain.size || chain.shorter || chain.text.len() > VALUE_BYTES_MAX;
        chain.shorter = piece.len() < chain.size;
        chain.text.extend(piece.iter().filter(|b| !b.is_ascii_whitespace()));
        if chain.lost || chain.text.len() < VALUE_BYTES_MIN {
            return None;
        }
        let rule = rule_of(plan, &chain.text, &Column::default(), &mut self.hits)?;
        chain.text.clear();
        chain.shorter = false;
        chain.values += 1;
        // What goes on may be the next one; among numbers, only once there were two.
        if free && piece.len() <= SHORT_BYTES_MAX || chain.values > 1 {
            chain.found = Some(rule);
        }
        Some(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentRule;
    use crate::keys::MaskKeys;
    use crate::method::Method;
    use crate::row::{Column as RowColumn, Format, Rule};
    use crate::types::TypeTable;
    use lockgate_detect::Kind;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Numbers, and cards in pieces.
    fn cells() -> impl Strategy<Value = Vec<String>> {
        let card = prop_oneof![Just("4111111111111111"), Just("378282246310005"), Just("30569309025904")];
        let pieces = (card, 1..9_usize).prop_map(|(card, size)| {
            let (mut rest, mut pieces) = (card, Vec::new());
            while let Some((piece, after)) = rest.split_at_checked(size) {
                pieces.push(piece.to_owned());
                rest = after;
            }
            pieces.push(rest.to_owned());
            pieces
        });
        let part = prop_oneof![2 => "[0-9]{1,10}".prop_map(|cell| vec![cell]), 1 => pieces];
        proptest::collection::vec(part, 1..5).prop_map(|parts| parts.concat())
    }

    /// Numbers of like lengths side by side, and cards in pieces.
    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        let card = prop_oneof![Just("4111111111111111"), Just("378282246310005"), Just("30569309025904")];
        let pieces = (card, 3..10_usize).prop_map(|(card, size)| {
            let pieces = card.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap().parse().unwrap());
            pieces.collect::<Vec<i64>>()
        });
        let alike = (1..20_u32, 1..5_usize).prop_flat_map(|(length, count)| {
            let most = 10_i64.checked_pow(length).map_or(i64::MAX, |size| size - 1);
            proptest::collection::vec(most / 10..=most, count)
        });
        let part = prop_oneof![3 => alike, 2 => pieces, 1 => any::<i32>().prop_map(|number| vec![number.into()])];
        proptest::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
    }

    fn plan() -> ContentPlan {
        let keys = Arc::new(MaskKeys::new(&[7; 32]));
        let kinds = Kind::ALL.to_vec();
        let label = "pii/found".parse().unwrap();
        ContentPlan::new(&[ContentRule { label, kinds, custom: Vec::new(), method: Method::Redact }], &keys).unwrap()
    }

    /// Columns of these names, behind which there is a text or none.
    fn looks(plan: &ContentPlan, names: &[String], free: bool) -> Looks {
        let column = |type_oid| RowColumn { type_oid, typmod: -1, format: Format::Text, rule: Rule::Pass };
        let columns = [vec![column(20); names.len()], vec![column(if free { 25 } else { 20 })]].concat();
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        plan.looks(&columns, &names, &TypeTable::new())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Bare digits are put together as far as a card goes; what is longer is none, whether it is looked at or not.
        #[test]
        fn digits_alone_are_the_same_as_among_others(
            rows in proptest::collection::vec(cells(), 1..6),
            names in proptest::collection::vec("(c|c|c|card|phone|ssn|amount)", 50),
            free in any::<bool>(),
        ) {
            let plan = plan();
            let looks = looks(&plan, &names, true);
            let found = |alone: bool, all_of_them: bool| {
                let mut pieces = Pieces::default();
                let mut all = Vec::new();
                for row in &rows {
                    pieces.row();
                    for (index, cell) in row.iter().enumerate() {
                        pieces.cell(&plan, &looks, index, Some((free, cell.as_bytes())));
                    }
                    if all_of_them || pieces.possible {
                        pieces.values(&plan, &looks, alone);
                    }
                    pieces.clear();
                    pieces.rows += u64::from(pieces.tested);
                    all.push((pieces.rules.clone(), pieces.tested));
                }
                all
            };
            prop_assert_eq!(found(true, true), found(false, true));
            prop_assert_eq!(found(true, false), found(false, true));
        }

        /// Long numbers between others are no pieces where there is no text, whether they are looked at or not.
        #[test]
        fn long_numbers_are_the_same_with_and_without_a_text(
            rows in proptest::collection::vec(numbers(), 1..6),
            names in proptest::collection::vec("(c|c|c|c|card|phone|ssn|amount)", 50),
        ) {
            let plan = plan();
            let found = |free: bool, integers: bool| {
                let looks = looks(&plan, &names, free);
                let mut pieces = Pieces::default();
                let mut all = Vec::new();
                for row in &rows {
                    pieces.row();
                    for (index, number) in row.iter().enumerate() {
                        let text = number.to_string();
                        let none = integers && pieces.is_none(&looks, index, *number);
                        pieces.cell(&plan, &looks, index, Some((false, text.as_bytes())).filter(|_| !none));
                    }
                    pieces.row_ends(&plan, &looks);
                    all.push((pieces.rules.clone(), pieces.tested));
                }
                all
            };
            let all = found(true, false);
            prop_assert_eq!(&found(true, true), &all);
            prop_assert_eq!(&found(false, false), &all);
            prop_assert_eq!(&found(false, true), &all);
        }
    }
}
