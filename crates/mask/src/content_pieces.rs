//! Values that are cut in pieces over neighbouring short cells: of one row, and of the rows of a one-column result.
//!
//! A row is whole before any of it is passed on, so all the pieces of a value in it are masked. Rows are not held back for
//! those that follow, which would stall a slow result: of a value that is spread over the rows of one column, the cells that
//! complete it and continue it are masked, and what came before has gone.

use crate::content::ContentPlan;
use lockgate_detect::{Column, Hit, Strength};

/// The longest cell that counts as a piece, and how many digits of pieces are kept.
pub(crate) const PIECE_BYTES_MAX: usize = 3;
const PIECES_MAX: usize = 32;
/// The shortest value that is put together.
const VALUE_BYTES_MIN: usize = 9;

/// Digits of neighbouring short cells.
#[derive(Default)]
pub(crate) struct Pieces {
    text: Vec<u8>,
    /// In the rows of one column: cells that continue what was found go on being masked.
    found: Option<usize>,
    /// In a row: where each cell ends in `text`, with its index.
    cells: Vec<(usize, usize)>,
    /// In a row: the first and last cell of a value, and the rule of what it is. `None` where the row was not looked at.
    split: Option<Vec<(usize, usize, usize)>>,
    hits: Vec<Hit>,
}

/// Whether a cell can be part of a number.
fn is_piece(cell: &[u8]) -> bool {
    cell.len() <= PIECE_BYTES_MAX
        && cell.iter().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'(' | b')' | b'+'))
}

/// The rule of the value that a text is as a whole.
fn rule_of(plan: &ContentPlan, text: &[u8], hits: &mut Vec<Hit>) -> Option<usize> {
    hits.clear();
    plan.detectors.scan(text, &Column::default(), hits);
    let sure = hits.iter().find(|h| h.start == 0 && h.end == text.len() && h.strength >= Strength::Likely);
    sure.map(|hit| plan.rule(hit.detector))
}

impl Pieces {
    /// A row begins. The pieces of a row with several columns are its own.
    pub(crate) fn row(&mut self, columns: usize) {
        if columns != 1 {
            self.clear();
        }
        self.split = None;
    }

    /// What came before does not go on.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.cells.clear();
        self.found = None;
    }

    /// Looks at the next cell of a row before the row is changed; `None` for one that is no text or is not looked into.
    pub(crate) fn ahead(&mut self, plan: &ContentPlan, index: usize, cell: Option<&[u8]>) {
        self.split.get_or_insert_default();
        match cell.filter(|cell| is_piece(cell)) {
            Some(cell) => {
                self.text.extend(cell.iter().filter(|b| !b.is_ascii_whitespace()));
                self.cells.push((self.text.len(), index));
            }
            None => self.together(plan),
        }
    }

    /// The cells that belong together end: notes what they are.
    pub(crate) fn together(&mut self, plan: &ContentPlan) {
        let mut first = 0;
        let mut start = 0;
        while self.text.len() >= start + VALUE_BYTES_MIN {
            let ends = self
                .cells
                .iter()
                .enumerate()
                .skip(first)
                .filter(|(_, (end, _))| (start + VALUE_BYTES_MIN..=start + PIECES_MAX).contains(end));
            let whole = ends.rev().find_map(|(last, (end, _))| {
                let rule = rule_of(plan, self.text.get(start..*end)?, &mut self.hits)?;
                Some((last, rule))
            });
            let last = whole.map_or(first, |(last, _)| last);
            let index = |at: usize| self.cells.get(at).map(|(_, index)| *index);
            if let (Some((_, rule)), Some(from), Some(to)) = (whole, index(first), index(last)) {
                self.split.get_or_insert_default().push((from, to, rule));
            }
            start = self.cells.get(last).map_or(usize::MAX, |(end, _)| *end).min(self.text.len());
            first = last + 1;
        }
        self.text.clear();
        self.cells.clear();
    }

    /// The rule of the value that a short cell is part of.
    pub(crate) fn rule(&mut self, plan: &ContentPlan, index: usize, cell: &[u8]) -> Option<usize> {
        match &self.split {
            Some(split) => split.iter().find(|(from, to, _)| (*from..=*to).contains(&index)).map(|(_, _, rule)| *rule),
            None => self.add(plan, cell),
        }
    }

    /// Adds a short cell to those of the rows before; the rule of what it completes or continues.
    fn add(&mut self, plan: &ContentPlan, piece: &[u8]) -> Option<usize> {
        if !is_piece(piece) {
            self.clear();
            return None;
        }
        if let Some(rule) = self.found {
            return Some(rule);
        }
        self.text.extend(piece.iter().filter(|b| !b.is_ascii_whitespace()));
        if self.text.len() > PIECES_MAX {
            self.text.drain(..self.text.len() - PIECES_MAX);
        }
        // A value may begin anywhere among the pieces, and it ends with the last.
        for start in 0..(self.text.len() + 1).saturating_sub(VALUE_BYTES_MIN) {
            self.found = rule_of(plan, self.text.get(start..)?, &mut self.hits);
            if self.found.is_some() {
                break;
            }
        }
        self.found
    }
}
