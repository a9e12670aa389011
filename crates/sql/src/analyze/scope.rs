//! What names mean at a place of a query: the columns of its FROM clause, those of the queries around it, and the
//! names that WITH gives to queries.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use super::size::{self, Rows};
use super::sources::{Numbers, Sources};
use crate::taint::Taint;

/// The type of rows that have no other.
pub(super) const RECORD: u32 = 2249;

/// A column of a query's result or of something in its FROM clause.
#[derive(Clone, Debug)]
pub(super) struct Col<'t> {
    pub(super) name: Cow<'t, str>,
    pub(super) taint: Taint,
    /// A table's column passed on unchanged.
    pub(super) plain: bool,
    /// Its type, when it is a user's type that came straight from a table; else 0.
    pub(super) type_oid: u32,
    /// Its fields, when it is a row whose fields are known.
    pub(super) row: Option<Rc<Vec<Col<'t>>>>,
    /// How large it may be: see `size`. What is equal but for this is the same.
    pub(super) size: u64,
    /// Its name is the server's to make up: it may be called anything.
    pub(super) guessed: bool,
    /// A list of names behind an alias calls it so; the type of its row may call it otherwise.
    pub(super) renamed: bool,
    /// It is not among the columns that `*` stands for in a query within the one that names its relation.
    pub(super) unlisted: bool,
    /// It is the one value that a function in FROM gives, and no row.
    pub(super) alone: bool,
    /// Computing it never fails: see `Val`.
    pub(super) sure: bool,
    /// Which column of the query's sources it is as it stands, or 0. What is equal but for this is the same.
    pub(super) id: u32,
}

/// Two that are not found to be the same after a bounded look count as different.
impl PartialEq for Col<'_> {
    fn eq(&self, other: &Self) -> bool {
        let mut left = SAME_FIELDS_MAX;
        self.is_like(other, &mut left)
    }
}

/// Fields of rows within rows that are compared to find two columns the same: rows share their parts, and written out they
/// may be larger than any memory.
const SAME_FIELDS_MAX: usize = 4_096;

impl Col<'_> {
    fn is_like(&self, other: &Self, left: &mut usize) -> bool {
        let Some(less) = left.checked_sub(1) else { return false };
        *left = less;
        self.name == other.name
            && self.taint == other.taint
            && self.plain == other.plain
            && self.type_oid == other.type_oid
            && (self.guessed, self.renamed, self.unlisted) == (other.guessed, other.renamed, other.unlisted)
            && same_row(self.row.as_ref(), other.row.as_ref(), left)
    }
}

fn same_row(one: Option<&Rc<Vec<Col<'_>>>>, other: Option<&Rc<Vec<Col<'_>>>>, left: &mut usize) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            Rc::ptr_eq(one, other)
                || (one.len() == other.len() && one.iter().zip(other.iter()).all(|(a, b)| a.is_like(b, left)))
        }
        _ => false,
    }
}

impl<'t> Col<'t> {
    /// Whether a row in both has the same fields.
    pub(super) fn has_row_of(&self, other: &Col<'t>) -> bool {
        let mut left = SAME_FIELDS_MAX;
        same_row(self.row.as_ref(), other.row.as_ref(), &mut left)
    }

    /// The type by which it meets others.
    pub(super) fn met_as(&self) -> u32 {
        if self.row.is_some() && self.type_oid == 0 { RECORD } else { self.type_oid }
    }

    pub(super) fn new(name: impl Into<Cow<'t, str>>, taint: Taint) -> Col<'t> {
        Col {
            name: name.into(),
            taint,
            plain: false,
            type_oid: 0,
            row: None,
            size: size::STORED,
            sure: false,
            guessed: false,
            renamed: false,
            unlisted: false,
            alone: false,
            id: 0,
        }
    }

    /// It goes by this name, as far as it is certain that the server knows it by any.
    pub(super) fn is_called(&self, name: &str) -> bool {
        !self.guessed && self.name == name
    }

    /// As a column of what is made of its relation: what was said of its place there does not hold here.
    pub(super) fn passed_on(&self) -> Col<'t> {
        Col { renamed: false, unlisted: false, alone: false, ..self.clone() }
    }
}

/// The value of an expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Val<'t> {
    pub(super) taint: Taint,
    pub(super) plain: bool,
    pub(super) type_oid: u32,
    pub(super) row: Option<Rc<Vec<Col<'t>>>>,
    /// How large it may be: see `size`.
    pub(super) size: u64,
    /// Computing it never fails and changes nothing, whatever the values it is made of. What is not known may fail.
    pub(super) sure: bool,
}

impl<'t> Val<'t> {
    /// The type by which it meets others.
    pub(super) fn met_as(&self) -> u32 {
        if self.row.is_some() && self.type_oid == 0 { RECORD } else { self.type_oid }
    }

    pub(super) fn made_of(taint: Taint) -> Val<'t> {
        Val { taint, ..Val::default() }
    }

    pub(super) fn sized(size: u64) -> Val<'t> {
        Val { size, ..Val::default() }
    }

    pub(super) fn clean() -> Val<'t> {
        Val::default()
    }

    pub(super) fn of(col: &Col<'t>) -> Val<'t> {
        Val {
            taint: col.taint.clone(),
            plain: col.plain,
            type_oid: col.type_oid,
            row: col.row.clone(),
            size: col.size,
            sure: col.sure,
        }
    }

    pub(super) fn of_row(cols: Vec<Col<'t>>) -> Val<'t> {
        let sure = cols.iter().all(|col| col.sure);
        Val { taint: all(&cols), size: size_of(&cols), row: Some(Rc::new(cols)), sure, ..Val::default() }
    }
}

/// Everything in these columns.
pub(super) fn all(cols: &[Col<'_>]) -> Taint {
    let mut taint = Taint::CLEAN;
    for col in cols {
        taint.join(&col.taint);
    }
    taint
}

/// How large these columns may be together.
pub(super) fn size_of(cols: &[Col<'_>]) -> u64 {
    cols.iter().fold(0, |sum, col| sum.saturating_add(col.size))
}

/// The result of a query, or a relation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rel<'t> {
    pub(super) cols: Vec<Col<'t>>,
    /// There may be more columns after these, each of which may hold this.
    pub(super) open: Option<Taint>,
    /// It is known to give out less than a whole table of labelled values.
    pub(super) bounded: bool,
    /// How many rows it has.
    pub(super) rows: Rows,
    /// How large each of the columns after these may be, where that is more than what is stored.
    pub(super) most: u64,
    /// Columns by their places that no two rows have in common, as far as they are equal to anything: of a table its keys.
    pub(super) keys: Vec<Vec<usize>>,
    /// How many rows may have the same there after all, where that is more than one.
    pub(super) copies: u64,
}

impl<'t> Rel<'t> {
    /// Of these columns, and of no more rows than somebody asks for.
    pub(super) fn of_columns(cols: Vec<Col<'t>>) -> Rel<'t> {
        Rel { cols, bounded: true, rows: Rows::TABLE, ..Rel::default() }
    }

    /// Nobody knows of which columns, each of which may hold this.
    pub(super) fn unknown(taint: Taint) -> Rel<'t> {
        Rel { open: Some(taint), rows: Rows::TABLE, ..Rel::default() }
    }

    /// How large a column may be whose name none of these is certain to have.
    pub(super) fn size_of_doubt(&self) -> u64 {
        size_of_doubt(&self.cols, self.open.is_some(), self.most)
    }

    /// Puts a column at the end. Behind columns that are not known its place is not known either: it becomes one of them.
    pub(super) fn push(&mut self, col: Col<'t>) {
        match &mut self.open {
            Some(open) => {
                open.join(&col.taint);
                self.most = self.most.max(col.size);
            }
            None => self.cols.push(col),
        }
    }

    /// Puts columns at the end, and after them such as are not known.
    pub(super) fn extend(&mut self, cols: impl IntoIterator<Item = Col<'t>>, open: Option<&Taint>) {
        for col in cols {
            self.push(col);
        }
        if let Some(open) = open {
            self.open.get_or_insert_default().join(open);
        }
    }

    /// Takes in another result of the same columns: a row of VALUES, an arm of UNION. Of which types they become is not looked at.
    pub(super) fn unite(&mut self, other: Rel<'t>) {
        self.keys.clear();
        for (at, col) in self.cols.iter_mut().enumerate() {
            match other.cols.get(at) {
                Some(other) => {
                    col.plain &= other.plain;
                    col.size = col.size.max(other.size);
                    col.taint.join(&other.taint);
                    if !col.has_row_of(other) {
                        col.row = None;
                    }
                    col.sure &= other.sure;
                }
                None => {
                    col.plain = false;
                    col.sure = false;
                    col.row = None;
                    col.type_oid = 0;
                    col.size = col.size.max(other.most);
                    if let Some(open) = &other.open {
                        col.taint.join(open);
                    }
                }
            }
        }
        self.most = self.most.max(other.most);
        // How many there are is known if either side knows it.
        if let Some(open) = &mut self.open {
            for col in other.cols.iter().skip(self.cols.len()) {
                open.join(&col.taint);
                self.most = self.most.max(col.size);
            }
            if let Some(other) = &other.open {
                open.join(other);
            }
        }
    }

    /// Everything in it.
    pub(super) fn all(&self) -> Taint {
        let mut taint = all(&self.cols);
        if let Some(open) = &self.open {
            taint.join(open);
        }
        taint
    }

    /// What a name may stand for that none of its columns is certain to have.
    pub(super) fn doubt(&self) -> Option<Taint> {
        doubt(&self.cols, self.open.as_ref())
    }

    /// As a query sees it that is not the one in which its name was given: where `*` may leave columns out, what comes after
    /// those that it has is not known.
    pub(super) fn within(mut self) -> Rel<'t> {
        if let Some(at) = self.cols.iter().position(|col| col.unlisted) {
            let rest = self.cols.split_off(at);
            self.open.get_or_insert_default().join(&all(&rest));
            self.most = rest.iter().map(|col| col.size).fold(self.most, u64::max);
        }
        self
    }
}

fn size_of_doubt(cols: &[Col<'_>], open: bool, most: u64) -> u64 {
    let unseen = if open { most.max(size::STORED) } else { 0 };
    cols.iter().filter(|col| col.guessed).map(|col| col.size).fold(unseen, u64::max)
}

/// Whatever these columns hold that may have any name.
pub(super) fn doubt(cols: &[Col<'_>], open: Option<&Taint>) -> Option<Taint> {
    let mut doubt = open.cloned();
    for col in cols.iter().filter(|col| col.guessed) {
        doubt.get_or_insert_default().join(&col.taint);
    }
    doubt
}

/// One named thing of a FROM clause.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    pub(super) alias: Cow<'t, str>,
    pub(super) rel: Rc<Rel<'t>>,
    /// Its name is the server's to make up.
    pub(super) guessed: bool,
}

impl<'t> Item<'t> {
    pub(super) fn new(alias: impl Into<Cow<'t, str>>, rel: Rc<Rel<'t>>) -> Item<'t> {
        Item { alias: alias.into(), rel, guessed: false }
    }
}

/// A table or view by schema and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table<'t> {
    pub(super) schema: &'t str,
    pub(super) name: &'t str,
}

/// What a FROM clause offers.
#[derive(Clone, Debug, Default)]
pub(super) struct From<'t> {
    /// By name, for `alias.column`.
    pub(super) items: Vec<Item<'t>>,
    /// By schema and name, for `schema.table.column`: tables that have no alias.
    pub(super) tables: Vec<(Table<'t>, Rc<Rel<'t>>)>,
    /// In the order of `*`, for a bare column name: columns merged by USING appear once. The order is only good while
    /// all columns are known.
    pub(super) star: Vec<Col<'t>>,
    /// Some of it has columns that are not known.
    pub(super) open: Option<Taint>,
    /// Every part of it is bounded.
    pub(super) bounded: bool,
    /// How many rows it has, once what joins them was looked at.
    pub(super) rows: Rows,
    /// What gives these rows.
    pub(super) sources: Sources,
    /// How large each of the columns that are not known may be, where that is more than what is stored.
    pub(super) most: u64,
}

impl<'t> From<'t> {
    /// Of nothing.
    pub(super) fn empty() -> From<'t> {
        From { bounded: true, rows: Rows::ONE, ..From::default() }
    }

    /// Of one relation.
    pub(super) fn one(alias: Cow<'t, str>, mut rel: Rel<'t>, numbers: &mut Numbers) -> From<'t> {
        let sources = Sources::of(&mut rel, numbers);
        From {
            sources,
            star: rel.cols.clone(),
            open: rel.open.clone(),
            bounded: rel.bounded,
            rows: rel.rows,
            most: rel.most,
            tables: Vec::new(),
            items: vec![Item::new(alias, Rc::new(rel))],
        }
    }

    /// Where its name is the server's to make up.
    pub(super) fn guessed(mut self) -> From<'t> {
        for item in &mut self.items {
            item.guessed = true;
        }
        self
    }

    /// Of one relation, which also goes by its schema and name.
    pub(super) fn of_table(
        table: Option<Table<'t>>,
        alias: Cow<'t, str>,
        rel: Rel<'t>,
        numbers: &mut Numbers,
    ) -> From<'t> {
        let mut from = From::one(alias, rel, numbers);
        if let (Some(table), Some(item)) = (table, from.items.first()) {
            from.tables.push((table, Rc::clone(&item.rel)));
        }
        from
    }

    /// What a bare name may stand for that none of its columns is certain to have.
    pub(super) fn doubt(&self) -> Option<Taint> {
        doubt(&self.star, self.open.as_ref())
    }

    /// How large a column may be whose name none of these is certain to have.
    pub(super) fn size_of_doubt(&self) -> u64 {
        size_of_doubt(&self.star, self.open.is_some(), self.most)
    }

    pub(super) fn append(&mut self, other: From<'t>) {
        self.most = self.most.max(other.most);
        self.items.extend(other.items);
        self.tables.extend(other.tables);
        self.star.extend(other.star);
        self.bounded &= other.bounded;
        self.rows = self.rows.beside(other.rows);
        self.sources.append(other.sources);
        if let Some(open) = other.open {
            self.open.get_or_insert_default().join(&open);
        }
    }

    /// How much it is to copy.
    pub(super) fn size(&self) -> usize {
        self.items.len().saturating_add(self.tables.len()).saturating_add(self.star.len())
    }

    /// Its columns as a relation of its own: where some are not known, none is known by its place.
    pub(super) fn into_rel(self) -> Rel<'t> {
        let all = self.open.as_ref().map(|open| open.clone().with(&self.all()));
        let most =
            if all.is_some() { self.star.iter().map(|col| col.size).fold(self.most, u64::max) } else { self.most };
        let cols = if all.is_some() { Vec::new() } else { self.star };
        Rel { cols, open: all, bounded: self.bounded, rows: self.rows, most, ..Rel::default() }
    }

    /// Everything in it.
    pub(super) fn all(&self) -> Taint {
        let mut taint = all(&self.star);
        for item in &self.items {
            taint.join(&item.rel.all());
        }
        if let Some(open) = &self.open {
            taint.join(open);
        }
        taint
    }
}

/// A place in a query.
pub(super) struct Scope<'t, 's> {
    pub(super) parent: Option<&'s Scope<'t, 's>>,
    pub(super) from: From<'t>,
    pub(super) ctes: Vec<Cte<'t>>,
}

/// A query that WITH gives a name.
pub(super) struct Cte<'t> {
    pub(super) name: &'t str,
    pub(super) rel: Rc<Rel<'t>>,
    read: Cell<bool>,
}

impl<'t> Cte<'t> {
    pub(super) fn new(name: &'t str, rel: Rc<Rel<'t>>) -> Cte<'t> {
        Cte { name, rel, read: Cell::new(false) }
    }

    /// Whether something has read it.
    pub(super) fn was_read(&self) -> bool {
        self.read.get()
    }

    pub(super) fn forget_reads(&self) {
        self.read.set(false);
    }
}

impl<'t, 's> Scope<'t, 's> {
    /// Outside of any query.
    pub(super) fn root() -> Scope<'t, 's> {
        Scope { parent: None, from: From::empty(), ctes: Vec::new() }
    }

    /// Inside of `parent`.
    pub(super) fn within(parent: &'s Scope<'t, 's>, from: From<'t>) -> Scope<'t, 's> {
        Scope { parent: Some(parent), from, ctes: Vec::new() }
    }

    /// This place and those around it, innermost first.
    pub(super) fn levels(&self) -> impl Iterator<Item = &Scope<'t, 's>> {
        std::iter::successors(Some(self), |s| s.parent)
    }

    /// The query that WITH names so, and whether it is the WITH of this query and not of one around it.
    pub(super) fn cte(&self, name: &str) -> Option<(Rc<Rel<'t>>, bool)> {
        let mut levels = self.levels().enumerate();
        levels.find_map(|(up, level)| {
            let known = level.ctes.iter().rev().find(|known| known.name == name)?;
            known.read.set(true);
            Some((Rc::clone(&known.rel), up == 0))
        })
    }

    /// The relation that goes by this alias, if one is certain to, and what those hold that may go by it instead.
    pub(super) fn item(&self, alias: &str) -> (Option<&Item<'t>>, Option<Taint>) {
        let mut doubt: Option<Taint> = None;
        for level in self.levels() {
            if let Some(item) = level.from.items.iter().find(|item| !item.guessed && item.alias == alias) {
                return (Some(item), doubt);
            }
            for item in level.from.items.iter().filter(|item| item.guessed) {
                doubt.get_or_insert_default().join(&item.rel.all());
            }
        }
        (None, doubt)
    }

    /// How large the largest is that any name could stand for.
    pub(super) fn largest_item(&self) -> u64 {
        let items = self.levels().flat_map(|level| &level.from.items);
        items.map(|item| size_of(&item.rel.cols).max(item.rel.most)).fold(size::STORED, u64::max)
    }

    /// The table without an alias that goes by this schema and name.
    pub(super) fn table(&self, table: Table<'_>) -> Option<&Rc<Rel<'t>>> {
        self.levels().flat_map(|s| s.from.tables.iter()).find(|(known, _)| *known == table).map(|(_, rel)| rel)
    }

    /// Everything that any name here could stand for.
    pub(super) fn all(&self) -> Taint {
        let mut taint = Taint::CLEAN;
        for level in self.levels() {
            taint.join(&level.from.all());
        }
        taint
    }
}
