//! What the cells of a result column say together.
//!
//! A column of which most cells are telephone numbers is a column of telephone numbers, and the cell that is written in
//! another way is one too. A column in which one bare number in a hundred could be one is not.
//!
//! Only the cells that came before are weighed, in their order, so that how rows are cut into packets changes nothing.

use crate::Column;
use crate::bare::Bare;
use crate::class::slice;
use crate::kind::Kind;
use crate::set::{Detector, Detectors, Hit, Strength, is_short_number};

/// The cells after which a column is judged as a whole.
const CELLS_MIN: u32 = 16;
/// The cells after which doubtful hits of a column with hardly any are no longer believed.
const CELLS_MANY: u32 = 200;
/// The cells after which all that was counted is halved.
const CELLS_MAX: u32 = 10_000;

/// What the cells so far make of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Every cell is masked.
    Whole(Detector),
    /// Cells are masked for what is found in each.
    Cells,
}

/// The evidence of one column of one result.
#[derive(Clone, Debug)]
pub struct ColumnEvidence {
    cells: u32,
    /// Cells that are a hit as a whole, by what. A few detectors at most.
    hits: Vec<Whole>,
    /// Where each built-in detector is among them, and one more; 0 where it is not.
    places: [u8; PLACES],
    /// Which of them the most cells are, and the most sure ones of any.
    most: usize,
    surest: u32,
}

/// The detectors that are told apart in one column.
const DETECTORS_MAX: usize = 8;
/// As many as there are built-in detectors at most.
const PLACES: usize = 64;

impl Default for ColumnEvidence {
    fn default() -> Self {
        ColumnEvidence { cells: 0, hits: Vec::new(), places: [0; PLACES], most: 0, surest: 0 }
    }
}

/// In how many cells one detector hit the whole: surely, and possibly.
#[derive(Clone, Debug)]
struct Whole {
    detector: Detector,
    sure: u32,
    possible: u32,
}

impl Whole {
    #[inline]
    fn together(&self) -> u32 {
        self.sure.saturating_add(self.possible)
    }
}

/// What tells detectors apart.
#[inline]
fn key(detector: Detector) -> usize {
    match detector {
        Detector::Kind(kind) => kind.place(),
        Detector::Custom(index) => Kind::ALL.len().saturating_add(index),
    }
}

impl ColumnEvidence {
    /// What is to be masked of a cell, and then counts it. Hits that remain in `hits` are sorted and do not overlap.
    #[inline]
    pub fn weigh(&mut self, detectors: &Detectors, cell: &[u8], column: &Column, hits: &mut Vec<Hit>) -> Weight {
        if !detectors.custom().is_empty() || cell.is_empty() {
            hits.clear();
            detectors.scan(cell, column, hits);
            return self.weigh_hits(cell, hits);
        }
        if is_short_number(cell) {
            return self.weigh_nothing(hits);
        }
        match Bare::may_be(cell) {
            true => self.weigh_digits(detectors, cell, column, hits),
            false => self.weigh_text(detectors, cell, column, hits),
        }
    }

    /// A cell that begins as a bare number does, where nobody else looks for anything.
    #[inline(never)]
    fn weigh_digits(&mut self, detectors: &Detectors, cell: &[u8], column: &Column, hits: &mut Vec<Hit>) -> Weight {
        match Bare::of(cell) {
            Some(bare) => self.weigh_bare(detectors, &bare, column, hits),
            None => self.weigh_text(detectors, cell, column, hits),
        }
    }

    /// The same for an integer; `None` where it is weighed as its text only.
    pub fn weigh_integer(
        &mut self,
        detectors: &Detectors,
        number: i64,
        column: &Column,
        hits: &mut Vec<Hit>,
    ) -> Option<Weight> {
        if !detectors.custom().is_empty() {
            return None;
        }
        match Bare::of_integer(number) {
            Some(bare) => Some(self.weigh_bare(detectors, &bare, column, hits)),
            // Too short for anything.
            None if number >= 0 => Some(self.weigh_nothing(hits)),
            None => None,
        }
    }

    /// A cell in which there is nothing.
    #[inline]
    fn weigh_nothing(&mut self, hits: &mut Vec<Hit>) -> Weight {
        hits.clear();
        let weight = self.judge();
        self.one_more();
        weight
    }

    /// A cell that is any text but a bare number, where nobody else looks for anything.
    #[inline(never)]
    fn weigh_text(&mut self, detectors: &Detectors, cell: &[u8], column: &Column, hits: &mut Vec<Hit>) -> Weight {
        hits.clear();
        detectors.scan_text(cell, column, hits);
        self.weigh_hits(cell, hits)
    }

    /// A cell in which this was found.
    #[inline]
    fn weigh_hits(&mut self, cell: &[u8], hits: &mut Vec<Hit>) -> Weight {
        if cell.is_empty() {
            return Weight::Cells;
        }
        let weight = self.judge();
        self.one_more();
        if hits.is_empty() {
            return weight;
        }
        let trimmed = cell.trim_ascii();
        for hit in hits.iter() {
            self.count(hit, slice(cell, hit.start, hit.end).len(), trimmed.len());
        }
        let least = self.least();
        hits.retain(|hit| hit.strength >= least);
        weight
    }

    /// A cell that is one bare number, where nobody else looks for anything.
    #[inline]
    fn weigh_bare(&mut self, detectors: &Detectors, bare: &Bare, column: &Column, hits: &mut Vec<Hit>) -> Weight {
        hits.clear();
        let weight = self.judge();
        self.one_more();
        if let Some(hit) = detectors.bare(bare, column) {
            self.count(&hit, bare.length(), hit.end);
            if hit.strength >= Strength::Fair && hit.strength >= self.least() {
                hits.push(hit);
            }
        }
        weight
    }

    /// Whether the column as a whole is what most of its cells were.
    #[inline]
    fn judge(&self) -> Weight {
        let cells = self.cells;
        // Mostly not even the surest are enough.
        if cells < CELLS_MIN || !is_sure(self.surest, cells) {
            return Weight::Cells;
        }
        self.judge_all()
    }

    fn judge_all(&self) -> Weight {
        let cells = self.cells;
        let enough = |whole: &Whole| whole.together().saturating_mul(10) >= cells.saturating_mul(8);
        if !self.hits.get(self.most).is_some_and(enough) {
            return Weight::Cells;
        }
        // Check digits that fit in most cells are as good as a name; lengths that fit are not.
        match self.hits.iter().find(|whole| enough(whole) && is_sure(whole.sure, cells)) {
            Some(whole) => Weight::Whole(whole.detector),
            None => Weight::Cells,
        }
    }

    /// The strength from which on hits are believed.
    #[inline]
    fn least(&self) -> Strength {
        let few = self.cells > CELLS_MANY && self.surest.saturating_mul(20) < self.cells;
        if few { Strength::Likely } else { Strength::Fair }
    }

    /// Counts a cell.
    #[inline]
    fn one_more(&mut self) {
        if self.cells >= CELLS_MAX {
            self.halve();
        }
        self.cells += 1;
    }

    /// The shares of the last thousands count, not those of the whole result.
    #[cold]
    fn halve(&mut self) {
        self.cells /= 2;
        for whole in &mut self.hits {
            whole.sure /= 2;
            whole.possible /= 2;
        }
        self.surest /= 2;
        let most = self.hits.iter().enumerate().max_by_key(|(_, whole)| whole.together());
        self.most = most.map_or(0, |(index, _)| index);
    }

    /// Counts a hit of `length` bytes in a cell of so many, blanks around it aside, where it is most of it.
    #[inline]
    fn count(&mut self, hit: &Hit, length: usize, of: usize) {
        if length * 10 < of * 9 {
            return;
        }
        let Some(index) = self.place(hit.detector) else { return };
        let most = self.hits.get(self.most).map_or(0, Whole::together);
        if let Some(whole) = self.hits.get_mut(index) {
            let sure = hit.strength >= Strength::Checked;
            whole.sure += u32::from(sure);
            whole.possible += u32::from(!sure);
            self.surest = self.surest.max(whole.sure);
            if whole.together() > most {
                self.most = index;
            }
        }
    }

    /// Where a detector is among those that are told apart.
    #[inline]
    fn place(&mut self, detector: Detector) -> Option<usize> {
        let key = key(detector);
        match self.places.get(key) {
            Some(place) if *place > 0 => Some(usize::from(place - 1)),
            _ => self.new_place(detector, key),
        }
    }

    #[inline(never)]
    fn new_place(&mut self, detector: Detector, key: usize) -> Option<usize> {
        if let Some(known) = self.hits.iter().position(|whole| whole.detector == detector) {
            return Some(known);
        }
        let index = self.hits.len();
        if index >= DETECTORS_MAX {
            return None;
        }
        self.hits.push(Whole { detector, sure: 0, possible: 0 });
        if let Some(place) = self.places.get_mut(key) {
            *place = u8::try_from(index + 1).unwrap_or(0);
        }
        Some(index)
    }
}

/// Whether so many sure cells make all of them what they are, if most of the others may be it.
#[inline]
fn is_sure(sure: u32, cells: u32) -> bool {
    sure.saturating_mul(10) >= cells.saturating_mul(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kinds: &[Kind], cells: impl Iterator<Item = String>) -> Vec<(bool, usize)> {
        let detectors = Detectors::new(kinds.iter().copied(), Vec::new());
        let column = Column::named(b"c1");
        let mut evidence = ColumnEvidence::default();
        let mut hits = Vec::new();
        cells
            .map(|cell| {
                let weight = evidence.weigh(&detectors, cell.as_bytes(), &column, &mut hits);
                (weight != Weight::Cells, hits.len())
            })
            .collect()
    }

    #[test]
    fn a_bare_number_among_grouped_ones_is_one_of_them() {
        let cells = (1..200_u32).map(|n| if n % 5 == 0 { format!("21945{n:04}") } else { format!("219-45-{n:04}") });
        let all = run(&[Kind::UsSsn], cells);
        assert_eq!(all[4], (false, 0), "too early to say");
        assert!(all[100..].iter().all(|(whole, _)| *whole));
    }

    #[test]
    fn the_most_frequent_is_known_at_any_time() {
        let detectors = Detectors::new(Kind::ALL.iter().copied(), Vec::new());
        let (mut evidence, mut hits) = (ColumnEvidence::default(), Vec::new());
        for n in 0_u64..30_000 {
            // Numbers of a few lengths, in turns that change.
            let length = 8 + (n / 700 + n % 3) % 4;
            let cell = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10_u64.pow(u32::try_from(length).unwrap())).to_string();
            evidence.weigh(&detectors, cell.as_bytes(), &Column::named(b"c1"), &mut hits);
            let most = evidence.hits.iter().map(Whole::together).max();
            assert_eq!(evidence.hits.get(evidence.most).map(Whole::together), most);
            assert_eq!(Some(evidence.surest), evidence.hits.iter().map(|whole| whole.sure).max().or(Some(0)));
        }
        assert_eq!(evidence.hits.len(), DETECTORS_MAX);
    }

    #[test]
    fn bare_numbers_alone_are_not() {
        let all = run(&[Kind::UsSsn], (1..300_u32).map(|n| format!("2194{n:05}")));
        assert!(all.iter().all(|(whole, hits)| !whole && *hits == 0));
    }
}
