//! How many rows a FROM clause makes. Tables that are joined have as many rows together as the largest only where each of the
//! others is joined by a key: by equality of all columns that no two of its rows have in common. Any other condition leaves each
//! row with as many of the other table as somebody has stored, and a table joined with itself by its region is its square.
//!
//! Each relation of a FROM clause is a source. One is *known* where the rows of others fix which of its rows it is; what is
//! counted are the sources from which all others are known, the roots. What is not here: how many rows a source has.

use std::collections::HashMap;

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, ColumnRef, JoinType, Node};

use super::scope::{Col, From, Rel, Scope};
use super::{Analyzer, tree, types};
use lockgate_core::limits::PG_FIRST_USER_OID;

/// Numbers a column of a source within a statement; none has 0.
pub(super) type Id = u32;

/// The number of every constant, and of columns of queries around this one.
const FIXED: Id = 1;
/// More relations than this in one query count as if nothing joined them.
const SOURCES_MAX: usize = 64;
/// Of how many keys of a relation it is seen whether they join it.
const KEYS_MAX: usize = 16;

/// Gives out numbers.
#[derive(Debug)]
pub(crate) struct Numbers(Id);

impl Default for Numbers {
    fn default() -> Self {
        Numbers(FIXED)
    }
}

impl Numbers {
    fn next(&mut self) -> Id {
        match self.0.checked_add(1) {
            Some(next) => {
                self.0 = next;
                next
            }
            None => 0,
        }
    }
}

/// What gives rows to a FROM clause.
#[derive(Clone, Debug, Default)]
struct Source {
    /// The numbers of its rows as such, and of its columns: first and last.
    ids: Vec<(Id, Id)>,
    /// Its rows as such, which are the first of `ids`.
    row: Id,
    /// How many tables' worth of rows it has.
    tables: u32,
    /// It has one row.
    single: bool,
    /// What fixes its row, each.
    keys: Vec<Vec<Id>>,
    /// Or so many rows.
    copies: u64,
    /// The sources whose rows it is made anew for.
    after: Vec<Id>,
}

impl Source {
    fn has(&self, id: Id) -> bool {
        self.ids.iter().any(|(first, last)| (*first..=*last).contains(&id))
    }
}

/// The sources of a FROM clause, and what joins them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    all: Vec<Source>,
    /// What is equal in every row.
    links: Vec<(Id, Id)>,
}

/// The sources and links of the left side of a join, which come first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    sources: usize,
    links: usize,
}

impl Sources {
    /// One relation, whose columns get new numbers.
    pub(super) fn of(rel: &mut Rel<'_>, numbers: &mut Numbers) -> Sources {
        let row = numbers.next();
        let mut last = row;
        for col in &mut rel.cols {
            col.id = numbers.next();
            last = last.max(col.id);
        }
        let id = |at: &usize| rel.cols.get(*at).map(|col| col.id).filter(|id| *id != 0);
        let keys = rel.keys.iter().take(KEYS_MAX).filter_map(|key| key.iter().map(id).collect()).collect();
        let single = rel.rows.times == 1;
        Sources {
            all: vec![Source {
                ids: vec![(row, last)],
                row,
                tables: rel.rows.tables,
                single,
                keys,
                copies: rel.copies.max(1),
                after: Vec::new(),
            }],
            links: Vec::new(),
        }
    }

    /// Each row of these is made for one of those, which stand before them.
    pub(super) fn after(&mut self, left: &Sources) {
        for source in &mut self.all {
            source.after.extend(left.all.iter().map(|source| source.row));
        }
    }

    pub(super) fn append(&mut self, other: Sources) {
        self.all.extend(other.all);
        self.links.extend(other.links);
    }

    pub(super) fn split(&self) -> Split {
        Split { sources: self.all.len(), links: self.links.len() }
    }

    /// What it is to look at all of it.
    pub(super) fn work(&self) -> usize {
        self.all.len().min(SOURCES_MAX).saturating_mul(self.all.len().min(SOURCES_MAX))
    }

    /// These are equal in every row.
    pub(super) fn link(&mut self, links: impl IntoIterator<Item = (Id, Id)>) {
        self.links.extend(links);
    }

    /// How many tables' worth of rows they have together, and how often each.
    pub(super) fn rows(&self) -> (u32, u64) {
        let graph = Graph::of(self.all.iter(), self.links.iter());
        let roots = graph.roots();
        let others = self.all.iter().zip(&roots).filter(|(source, root)| !**root && source.tables > 0);
        (graph.cost(&roots), others.map(|(source, _)| source.copies).fold(1, u64::saturating_mul))
    }

    /// A join in which all rows of a side are kept, whether or not they meet one of the other by these links.
    pub(super) fn join_outer(&mut self, split: Split, links: &[(Id, Id)], kind: JoinType) {
        let (left, right) = self.all.split_at(split.sources.min(self.all.len()));
        let (left_links, right_links) = self.links.split_at(split.links.min(self.links.len()));
        let joined = Graph::of(self.all.iter(), self.links.iter().chain(links));
        let kept: Vec<Id> = match kind {
            JoinType::JoinLeft => left.iter().map(|source| source.row).collect(),
            JoinType::JoinRight => right.iter().map(|source| source.row).collect(),
            _ => Vec::new(),
        };
        let is_kept = |source: &Source| kept.contains(&source.row);
        if matches!(kind, JoinType::JoinLeft | JoinType::JoinRight) {
            let from_kept = joined.known_from(|at| self.all.get(at).is_some_and(is_kept));
            if from_kept.iter().all(|known| *known) {
                // Each row that is kept meets one of the other side, or none.
                for source in self.all.iter_mut().filter(|source| !kept.contains(&source.row)) {
                    source.keys.push(kept.clone());
                }
                return;
            }
        }
        let roots = joined.roots();
        let mut tables = joined.cost(&roots);
        if kind != JoinType::JoinRight {
            tables = tables.max(Graph::of(left.iter(), left_links.iter()).tables());
        }
        if kind != JoinType::JoinLeft {
            tables = tables.max(Graph::of(right.iter(), right_links.iter()).tables());
        }
        // Rows that met none have no columns of the other side: nothing is equal to those.
        let has = |side: &[Source], key: &[Id]| key.iter().any(|id| side.iter().any(|source| source.has(*id)));
        let key = joined.key(&roots, |source| source.keys.iter().find(|key| !key.is_empty()).cloned());
        let key = key.filter(|key| {
            (kind == JoinType::JoinRight || has(right, key)) && (kind == JoinType::JoinLeft || has(left, key))
        });
        let whole = Source {
            ids: self.all.iter().flat_map(|source| source.ids.iter().copied()).collect(),
            row: self.all.first().map_or(0, |source| source.row),
            tables,
            single: self.all.iter().all(|source| source.single),
            keys: key.into_iter().collect(),
            copies: self.all.iter().map(|source| source.copies).fold(1, u64::saturating_mul),
            after: self.all.iter().flat_map(|source| &source.after).copied().collect(),
        };
        let outside = |id: &Id| !whole.has(*id);
        let after = whole.after.iter().copied().filter(outside).collect();
        self.all = vec![Source { after, ..whole }];
    }

    /// The columns of a result, by their places, that no two of its rows have in common. `ids` are those of its columns.
    /// But for so many rows.
    pub(super) fn keys(&self, ids: &[Id]) -> (Vec<Vec<usize>>, u64) {
        let graph = Graph::of(self.all.iter(), self.links.iter());
        let place = |id: Id| {
            let class = graph.class(id);
            ids.iter().position(|own| *own != 0 && graph.class(*own) == class)
        };
        let among = |source: &Source| {
            source.keys.iter().find_map(|key| {
                let at: Option<Vec<usize>> = key.iter().map(|id| place(*id)).collect();
                at.map(|_| key.clone())
            })
        };
        let key = graph.key(&graph.roots(), among);
        let copies = self.all.iter().map(|source| source.copies).fold(1, u64::saturating_mul);
        (key.into_iter().map(|key| key.iter().filter_map(|id| place(*id)).collect()).collect(), copies)
    }
}

/// Sources with what is equal put together.
struct Graph<'a> {
    sources: Vec<&'a Source>,
    /// Of what is equal to something else, the number for all of it.
    classes: HashMap<Id, Id>,
    /// The sources that hold one of those.
    holders: HashMap<Id, Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn of(sources: impl Iterator<Item = &'a Source>, links: impl Iterator<Item = &'a (Id, Id)>) -> Graph<'a> {
        let mut graph = Graph { sources: sources.collect(), classes: HashMap::new(), holders: HashMap::new() };
        if graph.is_too_large() {
            return graph;
        }
        let mut parents: HashMap<Id, Id> = HashMap::new();
        let top = |parents: &HashMap<Id, Id>, mut id: Id| {
            while let Some(parent) = parents.get(&id).filter(|parent| **parent != id) {
                id = *parent;
            }
            id
        };
        for (one, other) in links {
            let (one, other) = (top(&parents, *one), top(&parents, *other));
            // The smallest stands for all, so that what is fixed stays so.
            parents.insert(one.max(other), one.min(other));
            parents.entry(one.min(other)).or_insert(one.min(other));
        }
        let ids: Vec<Id> = parents.keys().copied().collect();
        for id in ids {
            let class = top(&parents, id);
            graph.classes.insert(id, class);
            if let Some(at) = graph.sources.iter().position(|source| source.has(id)) {
                graph.holders.entry(class).or_default().push(at);
            }
        }
        graph
    }

    fn is_too_large(&self) -> bool {
        self.sources.len() > SOURCES_MAX
    }

    fn class(&self, id: Id) -> Id {
        self.classes.get(&id).copied().unwrap_or(id)
    }

    fn is_known(&self, id: Id, known: &[bool]) -> bool {
        let class = self.class(id);
        let is_known = |at: &usize| known.get(*at).copied().unwrap_or(false);
        class == FIXED
            || match self.holders.get(&class) {
                Some(holders) => holders.iter().any(is_known),
                None => self.sources.iter().position(|source| source.has(id)).as_ref().is_some_and(is_known),
            }
    }

    /// Which sources are known once those are that are given, and all that have no more than a few rows.
    fn known_from(&self, given: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut known = vec![false; self.sources.len()];
        if self.is_too_large() {
            return known;
        }
        loop {
            let mut grown = false;
            for (at, source) in self.sources.iter().enumerate() {
                if known.get(at).copied().unwrap_or(true) {
                    continue;
                }
                let made = source
                    .after
                    .iter()
                    .all(|row| self.is_known(*row, &known) || !self.sources.iter().any(|source| source.has(*row)));
                let fixed = given(at)
                    || source.tables == 0
                    || source.keys.iter().any(|key| key.iter().all(|id| self.is_known(*id, &known)));
                if let (true, true, Some(known)) = (made, fixed, known.get_mut(at)) {
                    *known = true;
                    grown = true;
                }
            }
            if !grown {
                return known;
            }
        }
    }

    /// Sources from which all others are known, none of which is known from the rest of them.
    fn roots(&self) -> Vec<bool> {
        let mut roots: Vec<bool> = self.sources.iter().map(|source| source.tables > 0).collect();
        if self.is_too_large() {
            return roots;
        }
        for at in 0..roots.len() {
            let without = |root: usize| root != at && roots.get(root).copied().unwrap_or(false);
            if self.known_from(without).iter().all(|known| *known)
                && let Some(root) = roots.get_mut(at)
            {
                *root = false;
            }
        }
        roots
    }

    fn cost(&self, roots: &[bool]) -> u32 {
        let costs = self.sources.iter().zip(roots).filter(|(_, root)| **root).map(|(source, _)| source.tables);
        costs.fold(0, u32::saturating_add)
    }

    fn tables(&self) -> u32 {
        self.cost(&self.roots())
    }

    /// What fixes a row of all of them together: a key of each root. One of several rows without a key has none.
    fn key(&self, roots: &[bool], of: impl Fn(&Source) -> Option<Vec<Id>>) -> Option<Vec<Id>> {
        let mut whole = Vec::new();
        if self.is_too_large() {
            return None;
        }
        for (source, root) in self.sources.iter().zip(roots) {
            if *root {
                whole.extend(of(source)?);
            } else if source.tables == 0 && !source.single {
                return None;
            }
        }
        Some(whole)
    }
}

impl<'t> Analyzer<'t> {
    /// What a condition, all of whose terms have to hold, sets equal to each other or to something fixed.
    pub(super) fn links(&mut self, condition: Option<&'t Node>, scope: &Scope<'t, '_>) -> Vec<(Id, Id)> {
        let mut waiting: Vec<&'t Node> = condition.into_iter().collect();
        let mut links = Vec::new();
        // An equality of somebody's own may hold for any two values.
        if self.catalog.has_own_equality() {
            return links;
        }
        while let Some(node) = waiting.pop() {
            match tree::kind(node) {
                Some(NodeEnum::BoolExpr(e)) if e.boolop() == BoolExprType::AndExpr => waiting.extend(&e.args),
                Some(NodeEnum::AExpr(e)) if e.kind() == AExprKind::AexprOp => {
                    let (Some(left), Some(right)) = (e.lexpr.as_deref(), e.rexpr.as_deref()) else { continue };
                    if !matches!(tree::qualified(&e.name), ("" | "pg_catalog", "=")) || !self.step() {
                        continue;
                    }
                    match (tree::kind(left), tree::kind(right)) {
                        (Some(NodeEnum::RowExpr(left)), Some(NodeEnum::RowExpr(right)))
                            if left.args.len() == right.args.len() =>
                        {
                            let pairs = left.args.iter().zip(&right.args);
                            links.extend(pairs.filter_map(|(left, right)| self.link(left, right, scope)));
                        }
                        _ => links.extend(self.link(left, right, scope)),
                    }
                }
                _ => {}
            }
        }
        links
    }

    fn link(&mut self, left: &'t Node, right: &'t Node, scope: &Scope<'t, '_>) -> Option<(Id, Id)> {
        match (self.side(left, scope)?, self.side(right, scope)?) {
            (Side::Column(one, of), Side::Column(other, to)) if self.are_alike(of, to) => Some((one, other)),
            (Side::Column(id, of), Side::Value(to)) | (Side::Value(to), Side::Column(id, of)) => {
                let fits = to.is_none_or(|to| self.are_alike(of, to)) && self.are_alike(of, of);
                fits.then_some((id, FIXED))
            }
            _ => None,
        }
    }

    fn side(&mut self, node: &'t Node, scope: &Scope<'t, '_>) -> Option<Side> {
        match tree::kind(node)? {
            NodeEnum::ColumnRef(column) => {
                if let Some(col) = self.column_of(column, &scope.from) {
                    return (col.id != 0).then_some(Side::Column(col.id, col.type_oid));
                }
                // It is of a query around this one only if it is certainly none of this.
                if scope.from.doubt().is_some() || scope.from.items.iter().any(|item| item.guessed) {
                    return None;
                }
                let mut around = scope.levels().skip(1);
                let found = around.find_map(|level| self.column_of(column, &level.from).map(|col| col.type_oid))?;
                Some(Side::Value(Some(found)))
            }
            // Of one text type as another.
            NodeEnum::TypeCast(cast) => {
                let target = cast.type_name.as_ref()?;
                let plain = target.typmods.is_empty() && target.array_bounds.is_empty() && self.is_of_server(target);
                let of = types::named(tree::qualified(&target.names).1);
                match self.side(cast.arg.as_deref()?, scope)? {
                    Side::Column(id, oid) if plain && is_kept_by(self.beneath(oid), of) => Some(Side::Column(id, oid)),
                    Side::Value(None) if plain && of != types::UNKNOWN => Some(Side::Value(Some(of))),
                    Side::Value(Some(oid)) if plain && is_kept_by(self.beneath(oid), of) => {
                        Some(Side::Value(Some(oid)))
                    }
                    _ => None,
                }
            }
            NodeEnum::AConst(_) => Some(Side::Value(None)),
            NodeEnum::ParamRef(param) => match self.parameter(param.number) {
                types::LITERAL | types::ADAPTS => Some(Side::Value(None)),
                oid => Some(Side::Value(Some(oid))),
            },
            _ => None,
        }
    }

    /// The one column of a FROM clause that is certain to be meant.
    fn column_of<'f>(&mut self, column: &'t ColumnRef, from: &'f From<'t>) -> Option<&'f Col<'t>> {
        let names: Vec<&'t str> = tree::texts(&column.fields).filter(|name| !name.is_empty()).collect();
        if names.len() != column.fields.len() {
            return None;
        }
        let (cols, name) = match names.as_slice() {
            [name] => (&from.star, name),
            [alias, name] => {
                self.search(from.items.len());
                let mut items = from.items.iter().filter(|item| !item.guessed && item.alias == *alias);
                let item = items.next().filter(|_| items.next().is_none())?;
                (&item.rel.cols, name)
            }
            [schema, table, name] => {
                let mut tables = from.tables.iter().filter(|(of, _)| of.schema == *schema && of.name == *table);
                let (_, rel) = tables.next().filter(|_| tables.next().is_none())?;
                (&rel.cols, name)
            }
            _ => return None,
        };
        self.search(cols.len());
        let mut found = cols.iter().filter(|col| col.is_called(name));
        found.next().filter(|_| found.next().is_none())
    }

    /// The number of the column that an expression is.
    pub(super) fn id_of(&mut self, node: &'t Node, from: &From<'t>) -> Id {
        match tree::kind(node) {
            Some(NodeEnum::ColumnRef(column)) => self.column_of(column, from).map_or(0, |col| col.id),
            _ => 0,
        }
    }

    /// Whether two different values of either type are never equal to the same of the other.
    pub(super) fn are_alike(&self, one: u32, other: u32) -> bool {
        let (one, other) = (self.beneath(one), self.beneath(other));
        let text = |oid: u32| matches!(oid, types::TEXT | VARCHAR);
        let textual = types::is_text(one) || types::is_text(other);
        if one == types::UNKNOWN || (textual && self.catalog.compares_loosely()) {
            return false;
        }
        let own = |oid: u32| self.catalog.types().get(&oid).is_none_or(|facts| facts.kind == 'e');
        let servers = one < PG_FIRST_USER_OID || self.catalog.types().contains_key(&one);
        (one == other && own(one) && servers)
            || (types::is_integer(one) && types::is_integer(other))
            || (text(one) && text(other))
    }
}

/// One side of an equality.
enum Side {
    /// A column of this query, and its type.
    Column(Id, u32),
    /// What is the same for all rows, and its type where it does not take that of the other side.
    Value(Option<u32>),
}

const VARCHAR: u32 = 1043;

/// Whether a cast between these leaves values as they are.
fn is_kept_by(from: u32, to: u32) -> bool {
    from == to && from != types::UNKNOWN || (matches!(from, types::TEXT | VARCHAR) && to == types::TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of three columns with these keys, and the numbers of its columns.
    fn table(numbers: &mut Numbers, keys: &[&[usize]]) -> (Sources, [Id; 3]) {
        let cols = ["a", "b", "c"].map(|name| Col::new(name, crate::taint::Taint::CLEAN)).to_vec();
        let mut rel = Rel::of_columns(cols);
        rel.keys = keys.iter().map(|key| key.to_vec()).collect();
        let sources = Sources::of(&mut rel, numbers);
        let ids: Vec<Id> = rel.cols.iter().map(|col| col.id).collect();
        (sources, ids.try_into().expect("three columns"))
    }

    #[test]
    fn only_what_is_joined_by_a_whole_key_adds_nothing() {
        let mut numbers = Numbers::default();
        let (customers, c) = table(&mut numbers, &[&[0], &[1, 2]]);
        let (orders, o) = table(&mut numbers, &[&[0]]);
        let (lines, l) = table(&mut numbers, &[&[0, 1]]);
        let mut all = customers;
        all.append(orders);
        all.append(lines);
        for (links, tables) in [
            (vec![], 3),
            // Each order has one customer, and each line one order.
            (vec![(o[1], c[0])], 2),
            (vec![(o[1], c[0]), (l[0], o[0])], 1),
            // A part of a key, and all of it.
            (vec![(o[1], c[1]), (l[0], o[0])], 2),
            (vec![(o[1], c[1]), (o[2], c[2]), (l[0], o[0])], 1),
            // From both sides.
            (vec![(o[1], c[1]), (l[2], c[2]), (l[0], o[0])], 1),
            // Orders and lines of one customer, each with each.
            (vec![(o[1], c[0]), (l[2], c[0])], 2),
            // By way of a third.
            (vec![(o[1], l[2]), (l[2], c[0])], 2),
            (vec![(o[0], l[2]), (c[0], o[0])], 1),
            // A constant.
            (vec![(c[0], FIXED), (o[0], FIXED), (l[0], FIXED)], 1),
            (vec![(c[0], FIXED), (o[0], FIXED), (l[0], FIXED), (FIXED, l[1])], 0),
            // The key that it has itself joins nothing.
            (vec![(c[0], c[1]), (o[0], o[1]), (l[0], l[1])], 3),
        ] {
            let mut joined = all.clone();
            joined.link(links.clone());
            assert_eq!(joined.rows().0, tables, "{links:?}");
        }
    }

    #[test]
    fn rows_that_are_kept_without_another_are_counted() {
        let mut numbers = Numbers::default();
        let (a, x) = table(&mut numbers, &[&[0]]);
        let (b, y) = table(&mut numbers, &[&[0]]);
        let (c, z) = table(&mut numbers, &[&[0]]);
        let pair = |one: &Sources, other: &Sources| {
            let mut both = one.clone();
            let split = both.split();
            both.append(other.clone());
            (both, split)
        };
        for kind in [JoinType::JoinLeft, JoinType::JoinRight, JoinType::JoinFull] {
            // By a key of either side.
            for link in [(x[1], y[0]), (x[0], y[1])] {
                let (mut joined, split) = pair(&a, &b);
                joined.join_outer(split, &[link], kind);
                assert_eq!(joined.rows().0, 1, "{kind:?} {link:?}");
            }
            let (mut joined, split) = pair(&a, &b);
            joined.join_outer(split, &[(x[1], y[1])], kind);
            assert_eq!(joined.rows().0, 2, "{kind:?}");
        }
        // What is joined to either of two that nothing joins does not make fewer of their rows.
        let (both, _) = pair(&a, &b);
        let (mut joined, split) = pair(&both, &c);
        joined.join_outer(split, &[(x[0], z[1]), (y[0], z[2])], JoinType::JoinLeft);
        assert_eq!(joined.rows().0, 2);
        let (mut joined, _) = pair(&both, &c);
        joined.link([(x[0], z[1]), (y[0], z[2])]);
        assert_eq!(joined.rows().0, 1);
        // Customers with their orders have as many rows as there are orders: a customer is in several.
        let (mut joined, split) = pair(&a, &b);
        joined.join_outer(split, &[(x[0], y[1])], JoinType::JoinLeft);
        let mut by_order = joined.clone();
        by_order.append(c.clone());
        by_order.link([(y[0], z[1])]);
        assert_eq!(by_order.rows().0, 1);
        joined.append(c);
        joined.link([(x[0], z[1])]);
        assert_eq!(joined.rows().0, 2);
    }

    #[test]
    fn what_is_made_for_each_row_is_known_with_that_row_only() {
        let mut numbers = Numbers::default();
        let (a, x) = table(&mut numbers, &[&[0]]);
        let one_row = |numbers: &mut Numbers| {
            let mut rel = Rel {
                rows: super::super::size::Rows::ONE,
                ..Rel::of_columns(vec![Col::new("v", crate::taint::Taint::CLEAN)])
            };
            let made = Sources::of(&mut rel, numbers);
            (made, rel.cols[0].id)
        };
        let (mut made, v) = one_row(&mut numbers);
        made.after(&a);
        let mut all = a.clone();
        all.append(made);
        all.link([(x[0], v)]);
        assert_eq!(all.rows().0, 1);
        // One row that is not made for another fixes what is equal to it.
        let (made, v) = one_row(&mut numbers);
        let mut all = a;
        all.append(made);
        all.link([(x[0], v)]);
        assert_eq!(all.rows().0, 0);
    }
}
