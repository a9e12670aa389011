//! What the cells of a result column say together.
//!
//! A column of which most cells are telephone numbers is a column of telephone numbers, and the cell that is written in
//! another way is one too. A column in which one bare number in a hundred could be one is not.
//!
//! Only the cells that came before are weighed, in their order, so that how rows are cut into packets changes nothing.

use crate::Column;
use crate::class::slice;
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
    /// Cells that are a hit as a whole, by what: sure ones, and possible ones. A few detectors at most.
    hits: Vec<(Detector, u32, u32)>,
}

/// The detectors that are told apart in one column.
const DETECTORS_MAX: usize = 8;

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
        let few = self.cells > CELLS_MANY && self.sure() * 20 < self.cells;
        hits.retain(|hit| hit.strength >= if few { Strength::Likely } else { Strength::Fair });
        weight
    }

    fn sure(&self) -> u32 {
        self.hits.iter().map(|(_, sure, _)| *sure).max().unwrap_or(0)
    }

    /// Whether the column as a whole is what most of its cells were.
    fn judge(&self, cell: &[u8]) -> Weight {
        if self.cells < CELLS_MIN || cell.is_empty() {
            return Weight::Cells;
        }
        let whole = self.hits.iter().find(|(_, sure, possible)| {
            let together = sure.saturating_add(*possible);
            let enough = together.saturating_mul(10) >= self.cells.saturating_mul(8);
            // Check digits that fit in most cells are as good as a name; lengths that fit are not.
            let sure_enough = sure.saturating_mul(10) >= self.cells.saturating_mul(3);
            enough && sure_enough
        });
        match whole {
            Some((detector, _, _)) => Weight::Whole(*detector),
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
            for (_, sure, possible) in &mut self.hits {
                *sure /= 2;
                *possible /= 2;
            }
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
            let known = self.hits.iter().position(|(detector, _, _)| *detector == hit.detector);
            let index = match known {
                Some(index) => index,
                None if self.hits.len() < DETECTORS_MAX => {
                    self.hits.push((hit.detector, 0, 0));
                    self.hits.len() - 1
                }
                None => continue,
            };
            if let Some((_, sure, possible)) = self.hits.get_mut(index) {
                if hit.strength >= Strength::Checked { *sure += 1 } else { *possible += 1 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

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
    fn bare_numbers_alone_are_not() {
        let all = run(&[Kind::UsSsn], (1..300_u32).map(|n| format!("2194{n:05}")));
        assert!(all.iter().all(|(whole, hits)| !whole && *hits == 0));
    }
}
