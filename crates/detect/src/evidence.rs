//! What the cells of a result column say together.
//!
//! A column of which most cells are telephone numbers is a column of telephone numbers, and the cell that is written in
//! another way is one too. A column in which one bare number in a hundred could be one is not.
//!
//! Only the cells that came before are weighed, in their order, so that how rows are cut into packets changes nothing.

use crate::Column;
use crate::class::slice;
use crate::kind::Kind;
use crate::set::{Detector, Detectors, Hit, Strength};

/// The cells after which a column is judged as a whole.
const CELLS_MIN: u32 = 16;
/// The cells after which doubtful hits of a column with hardly any are no longer believed.
const CELLS_MANY: u32 = 200;

/// What the cells so far make of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Every cell is masked.
    Whole(Detector),
    /// Cells are masked for what is found in each.
    Cells,
}

/// The evidence of one column of one result.
#[derive(Clone, Debug, Default)]
pub struct ColumnEvidence {
    cells: u32,
    /// Cells that are a hit as a whole, by what. A few detectors at most.
    hits: Vec<Whole>,
    /// Which of them the most cells are, and the most sure ones of any.
    most: usize,
    surest: u32,
}

/// The detectors that are told apart in one column.
const DETECTORS_MAX: usize = 8;

/// In how many cells one detector hit the whole: surely, and possibly.
#[derive(Clone, Debug)]
struct Whole {
    detector: Detector,
    key: usize,
    sure: u32,
    possible: u32,
}

impl Whole {
    #[inline]
    fn together(&self) -> u32 {
        self.sure.saturating_add(self.possible)
    }
}

/// What tells detectors apart in one comparison.
#[inline]
fn key(detector: Detector) -> usize {
    match detector {
        Detector::Kind(kind) => kind.place(),
        Detector::Custom(index) => Kind::ALL.len().saturating_add(index),
    }
}

impl ColumnEvidence {
    /// What is to be masked of a cell, and then counts it. Hits that remain in `hits` are sorted and do not overlap.
    pub fn weigh(&mut self, detectors: &Detectors, cell: &[u8], column: &Column, hits: &mut Vec<Hit>) -> Weight {
        hits.clear();
        detectors.scan(cell, column, hits);
        let weight = self.judge(cell);
        self.count(cell, hits);
        if hits.is_empty() {
            return weight;
        }
        let few = self.cells > CELLS_MANY && self.surest.saturating_mul(20) < self.cells;
        hits.retain(|hit| hit.strength >= if few { Strength::Likely } else { Strength::Fair });
        weight
    }

    /// Whether the column as a whole is what most of its cells were.
    fn judge(&self, cell: &[u8]) -> Weight {
        if self.cells < CELLS_MIN || cell.is_empty() {
            return Weight::Cells;
        }
        let cells = self.cells;
        let enough = |whole: &Whole| whole.together().saturating_mul(10) >= cells.saturating_mul(8);
        // Mostly not even the most frequent is enough.
        if !self.hits.get(self.most).is_some_and(enough) {
            return Weight::Cells;
        }
        let whole = self.hits.iter().find(|whole| {
            // Check digits that fit in most cells are as good as a name; lengths that fit are not.
            enough(whole) && whole.sure.saturating_mul(10) >= cells.saturating_mul(3)
        });
        match whole {
            Some(whole) => Weight::Whole(whole.detector),
            None => Weight::Cells,
        }
    }

    fn count(&mut self, cell: &[u8], hits: &[Hit]) {
        if cell.is_empty() {
            return;
        }
        // The shares of the last thousands count, not those of the whole result.
        if self.cells >= 10_000 {
            self.cells /= 2;
            for whole in &mut self.hits {
                whole.sure /= 2;
                whole.possible /= 2;
            }
            self.surest /= 2;
            let most = self.hits.iter().enumerate().max_by_key(|(_, whole)| whole.together());
            self.most = most.map_or(0, |(index, _)| index);
        }
        self.cells += 1;
        if hits.is_empty() {
            return;
        }
        let trimmed = cell.trim_ascii();
        for hit in hits {
            if slice(cell, hit.start, hit.end).len() * 10 < trimmed.len() * 9 {
                continue;
            }
            // All are compared: which one it is changes from cell to cell as dice fall.
            let key = key(hit.detector);
            let known = self.hits.iter().enumerate();
            let known = known.fold(None, |known, (index, whole)| if whole.key == key { Some(index) } else { known });
            let index = match known {
                Some(index) => index,
                None if self.hits.len() < DETECTORS_MAX => {
                    self.hits.push(Whole { detector: hit.detector, key, sure: 0, possible: 0 });
                    self.hits.len() - 1
                }
                None => continue,
            };
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
    }
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
