//! Which labelled columns a value was made from. A value without taint holds nothing that a label covers; a value of
//! unknown taint must be treated as holding everything labelled on the target. There is no operation that removes a
//! column from a taint: what may be released is policy's word, not a function's.

/// A labelled column of one [`Catalog`](crate::Catalog); only that catalog can say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub(crate) u32);

impl ColumnId {
    /// The index in the catalog's list of labelled columns.
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A set of labelled columns, or more than can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Sorted, without duplicates.
    columns: Vec<ColumnId>,
    unknown: bool,
}

impl Taint {
    /// Nothing labelled.
    pub const CLEAN: Taint = Taint { columns: Vec::new(), unknown: false };
    /// Possibly everything labelled on the target.
    pub const UNKNOWN: Taint = Taint { columns: Vec::new(), unknown: true };

    /// One column.
    pub fn of(column: ColumnId) -> Taint {
        Taint { columns: vec![column], unknown: false }
    }

    /// Whether nothing labelled is in it.
    pub fn is_clean(&self) -> bool {
        !self.unknown && self.columns.is_empty()
    }

    /// Whether it stands for everything labelled on the target.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// The labelled columns that are known to be in it, sorted.
    pub fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    /// Whether every column of `other` is in this one too.
    pub fn covers(&self, other: &Taint) -> bool {
        self.unknown || (!other.unknown && other.columns.iter().all(|c| self.columns.binary_search(c).is_ok()))
    }

    /// Adds what is in `other`.
    pub fn join(&mut self, other: &Taint) {
        self.unknown |= other.unknown;
        if other.columns.is_empty() {
            return;
        }
        if self.columns.is_empty() {
            self.columns.clone_from(&other.columns);
            return;
        }
        for column in &other.columns {
            if let Err(at) = self.columns.binary_search(column) {
                self.columns.insert(at, *column);
            }
        }
    }

    /// Both together.
    #[must_use]
    pub fn with(mut self, other: &Taint) -> Taint {
        self.join(other);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_is_a_sorted_union() {
        let mut taint = Taint::of(ColumnId(4));
        taint.join(&Taint::of(ColumnId(1)).with(&Taint::of(ColumnId(4))));
        assert_eq!(taint.columns(), [ColumnId(1), ColumnId(4)]);
        assert!(taint.covers(&Taint::of(ColumnId(1))));
        assert!(!taint.covers(&Taint::of(ColumnId(2))));
        assert!(!taint.covers(&Taint::UNKNOWN));
        assert!(Taint::UNKNOWN.covers(&taint));
        assert!(!taint.is_clean() && Taint::CLEAN.is_clean() && !Taint::UNKNOWN.is_clean());
    }
}
