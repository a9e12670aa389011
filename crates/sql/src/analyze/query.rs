//! Queries: SELECT, VALUES, set operations, WITH, and what stands in a FROM clause.

use std::borrow::Cow;
use std::rc::Rc;

use lockgate_core::{Action, limits};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExprKind, BoolExprType, CoercionForm, CommonTableExpr, GroupingSetKind, JoinExpr, JoinType, Node, RangeFunction,
    RangeVar, ResTarget, SelectStmt, SetOperation, WithClause,
};

use super::scope::{self, Col, Cte, From, Item, Rel, Scope, Table, Val, size_of};
use super::size::{self, Rows};
use super::unify::MEETING;
use super::{Analyzer, Read, Resolved, Spread, tree, types};
use crate::builtins::{self, Leak};
use crate::statement::{How, Later, Object};
use crate::taint::Taint;

impl<'t> Analyzer<'t> {
    /// The result of a query or of a data-modifying statement with RETURNING.
    pub(super) fn query(&mut self, kind: &'t NodeEnum, scope: &Scope<'t, '_>) -> Rel<'t> {
        match kind {
            NodeEnum::SelectStmt(select) => self.select(select, scope),
            NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
                self.modify(kind, scope)
            }
            _ => {
                self.cannot_see("a query that is not understood");
                Rel::unknown(self.unknown())
            }
        }
    }

    pub(super) fn select(&mut self, select: &'t SelectStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        if !self.step() {
            return Rel::unknown(self.unknown());
        }
        let scope = self.with(select.with_clause.as_ref(), outer);
        if let Some(into) = &select.into_clause {
            self.into(into);
        }
        let mut rel = if !select.values_lists.is_empty() {
            self.values(&select.values_lists, &scope)
        } else if matches!(select.op(), SetOperation::SetopNone | SetOperation::Undefined) {
            return self.plain_select(select, &scope);
        } else {
            self.set_operation(select, &scope)
        };
        for sort in &select.sort_clause {
            let taint = self.by_output(sort, &rel, &scope);
            self.uses(&taint, How::Order, "ORDER BY", -1);
            self.predicate.join(&taint);
        }
        rel.bounded |= self.limit(select, &scope);
        rel.rows = limited_rows(select, rel.rows);
        rel
    }

    /// LIMIT and OFFSET; whether there is a limit.
    fn limit(&mut self, select: &'t SelectStmt, scope: &Scope<'t, '_>) -> bool {
        let taint = self.part(&select.limit_count, scope).with(&self.part(&select.limit_offset, scope));
        self.uses(&taint, How::Predicate, "LIMIT", -1);
        self.predicate.join(&taint);
        has_limit(select)
    }

    fn values(&mut self, lists: &'t [Node], scope: &Scope<'t, '_>) -> Rel<'t> {
        let mut all: Option<Rel<'t>> = None;
        for list in lists {
            let mut row = Rel::default();
            for item in tree::items(list) {
                if !self.listed(item, scope, &mut row) {
                    break;
                }
            }
            match &mut all {
                Some(all) => self.unite(all, row),
                None => all = Some(row),
            }
        }
        let mut rel = all.unwrap_or_default();
        for (at, col) in rel.cols.iter_mut().enumerate() {
            col.name = Cow::Owned(format!("column{}", at + 1));
            col.guessed = false;
            col.plain = false;
        }
        let rows = Rows::made(u64::try_from(lists.len()).unwrap_or(size::ANY));
        Rel { bounded: true, rows, ..rel }
    }

    /// Takes in another result of the same columns, which become of one type.
    fn unite(&mut self, rel: &mut Rel<'t>, other: Rel<'t>) {
        let types = rel.cols.iter().zip(&other.cols);
        let meetings: Vec<_> = types.map(|(one, other)| self.meet(one.met_as(), other.met_as())).collect();
        rel.unite(other);
        for (col, meeting) in rel.cols.iter_mut().zip(meetings) {
            col.type_oid = self.unless_row(meeting.type_oid);
            if !meeting.sure {
                col.sure = false;
                self.may_fail(&col.taint, MEETING, -1);
            }
        }
    }

    fn set_operation(&mut self, select: &'t SelectStmt, scope: &Scope<'t, '_>) -> Rel<'t> {
        let mut filtered = true;
        let mut arm = |side: &'t Option<Box<SelectStmt>>| match side {
            Some(side) => {
                self.nested = self.nested.saturating_add(1);
                let rel = self.select(side, scope);
                self.nested = self.nested.saturating_sub(1);
                filtered &= self.filtered;
                rel
            }
            None => Rel::default(),
        };
        let (left, right) = (arm(&select.larg), arm(&select.rarg));
        self.filtered = filtered;
        self.work(left.cols.len().saturating_add(right.cols.len()) / 4);
        // Without ALL, how many rows are left tells which values are equal.
        let compared = left.all().with(&right.all());
        if !(select.op() == SetOperation::SetopUnion && select.all) {
            self.uses(&compared, How::Distinct, "a set operation that compares rows", -1);
            self.predicate.join(&compared);
        }
        let mut rel = left;
        rel.bounded &= right.bounded;
        let tables = rel.rows.tables.max(right.rows.tables);
        rel.rows = Rows { times: rel.rows.times.saturating_add(right.rows.times), tables };
        self.unite(&mut rel, right);
        if !select.all && rel.open.is_none() {
            rel.keys.push((0..rel.cols.len()).collect());
        }
        let unasked = self.unasked();
        if !unasked.is_clean() {
            for col in &mut rel.cols {
                col.taint.join(&unasked);
                col.plain = false;
            }
        }
        rel
    }

    fn plain_select(&mut self, select: &'t SelectStmt, outer: &Scope<'t, '_>) -> Rel<'t> {
        let windows = std::mem::take(&mut self.windows);
        let aggregated = std::mem::replace(&mut self.aggregated, false);
        let order_around = std::mem::take(&mut self.found_in_order_of);
        self.asks_about = match (select.from_clause.as_slice(), select.where_clause.as_deref()) {
            ([item], Some(condition)) => self.table_asked_about(item, condition),
            _ => None,
        };
        let times = std::mem::replace(&mut self.times, 1);
        let from = self.items_of(&select.from_clause, outer);
        self.asks_about = None;
        let setting = self.setting_asked_about(select);
        let setting_around = std::mem::replace(&mut self.asks_setting, setting);
        let order = std::mem::replace(&mut self.found_in_order_of, order_around);
        if !sorts_rows(select) {
            self.uses(&order, How::Order, "rows in the order of an index they were clustered on, without ORDER BY", -1);
        }
        let from_bounded = from.bounded;
        let mut scope = Scope::within(outer, from);
        let links = self.links(select.where_clause.as_deref(), &scope);
        scope.from.sources.link(links);
        self.count_rows(&mut scope.from);
        let mut rows = scope.from.rows;
        let columns_before = self.columns_seen;
        let uses_before = self.uses.len();
        self.condition(select.where_clause.as_deref(), &scope, How::Predicate, "WHERE");
        let filtered = self.columns_seen != columns_before;
        let uses_after = self.uses.len();
        for window in &select.window_clause {
            if let Some(NodeEnum::WindowDef(window)) = tree::kind(window) {
                let taint = self.window(window, &scope);
                self.windows.join(&taint);
            }
        }
        let mut rel = self.targets(&select.target_list, &scope);
        self.condition(select.having_clause.as_deref(), &scope, How::Predicate, "HAVING");
        let before_keys = self.parts_size;
        for group in &select.group_clause {
            let taint = self.by_input(group, &rel, &scope);
            self.uses(&taint, How::Group, "GROUP BY", -1);
            self.predicate.join(&taint);
        }
        for sort in &select.sort_clause {
            let taint = self.by_output(sort, &rel, &scope);
            self.uses(&taint, How::Order, "ORDER BY", -1);
            self.predicate.join(&taint);
        }
        if !select.distinct_clause.is_empty() {
            let mut taint = Taint::CLEAN;
            let mut listed = false;
            for item in &select.distinct_clause {
                // Plain DISTINCT is a list of one empty node.
                if item.node.is_some() {
                    listed = true;
                    taint.join(&self.by_output(item, &rel, &scope));
                }
            }
            if !listed {
                taint = rel.all();
            }
            self.uses(&taint, How::Distinct, "DISTINCT", -1);
            self.predicate.join(&taint);
        }
        // What is sorted and grouped by is a part of each row as well.
        let keys = self.parts_size.saturating_sub(before_keys);
        if size_of(&rel.cols).saturating_add(rel.most).saturating_add(keys) > limits::SQL_GROWTH_BYTES_MAX {
            self.may_fail(&rel.all(), size::PLACE, -1);
        }
        let limited = self.limit(select, &scope);
        let one_row = self.aggregated && select.group_clause.is_empty();
        rows.times = rows.times.saturating_mul(self.times).saturating_mul(grouping_sets(&select.group_clause));
        self.times = times;
        rel.rows = limited_rows(select, if one_row { Rows::ONE } else { rows });
        (rel.keys, rel.copies) = self.keys_of(select, &rel, &scope);
        if one_row {
            self.rows_tell_nothing(uses_before..uses_after);
        }
        rel.bounded = filtered || limited || one_row || from_bounded;
        self.windows = windows;
        self.aggregated = aggregated;
        self.filtered = filtered;
        self.asks_setting = setting_around;
        rel
    }

    /// The select list.
    pub(super) fn targets(&mut self, targets: &'t [Node], scope: &Scope<'t, '_>) -> Rel<'t> {
        let mut rel = Rel::default();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = tree::kind(target) else { continue };
            let Some(node) = target.val.as_deref() else { continue };
            let at = rel.cols.len();
            let star = is_star(node);
            if !self.listed(node, scope, &mut rel) {
                return rel;
            }
            if let Some(col) = rel.cols.get_mut(at).filter(|_| !star) {
                if target.name.is_empty() {
                    let named = tree::output_name(node);
                    (col.name, col.guessed) = (named.name, named.guessed);
                } else {
                    col.name = Cow::Borrowed(target.name.as_str());
                }
            }
        }
        if size_of(&rel.cols).saturating_add(rel.most) > limits::SQL_GROWTH_BYTES_MAX {
            // The row as a whole must not be longer than a gigabyte either.
            self.may_fail(&rel.all(), size::PLACE, -1);
        }
        rel
    }

    /// An item of a list in which a star stands for columns: a select list, a row of VALUES, the arguments of ROW. False
    /// once the list is too long; it is unknown then.
    pub(super) fn listed(&mut self, node: &'t Node, scope: &Scope<'t, '_>, rel: &mut Rel<'t>) -> bool {
        match tree::kind(node) {
            Some(NodeEnum::ColumnRef(column)) if ends_in_star(&column.fields) => {
                self.step();
                self.star(&column.fields, scope, rel);
            }
            Some(NodeEnum::AIndirection(e)) if ends_in_star(&e.indirection) => {
                let value = self.expr(node, scope);
                match self.spread(&value) {
                    Some(cols) => {
                        self.work(cols.len());
                        rel.extend(cols, None);
                    }
                    None => {
                        rel.extend(None, Some(&value.taint));
                        rel.most = rel.most.max(value.size);
                    }
                }
            }
            _ => {
                let value = self.expr(node, scope);
                let (plain, type_oid, size, sure) = (value.plain, value.type_oid, value.size, value.sure);
                let id = self.id_of(node, &scope.from);
                rel.push(Col { plain, type_oid, row: value.row, size, sure, id, ..Col::new("", value.taint) });
            }
        }
        if rel.cols.len() > limits::SQL_COLUMNS_MAX {
            *rel = Rel::unknown(self.unknown());
            return false;
        }
        true
    }

    /// `*`, `alias.*` and `schema.table.*`.
    fn star(&mut self, fields: &'t [Node], scope: &Scope<'t, '_>, rel: &mut Rel<'t>) {
        let names: Vec<&'t str> = tree::texts(fields).filter(|n| !n.is_empty()).collect();
        let named = self.item_named(&names, scope);
        let width = match &named {
            None if names.is_empty() => scope.from.star.len(),
            None => 0,
            Some(rel) => rel.cols.len(),
        };
        if width > limits::SQL_COLUMNS_MAX || !self.work(width) {
            let all = self.unknown();
            self.touches.join(&all);
            rel.open.get_or_insert_default().join(&all);
            self.sure = false;
            return;
        }
        let (cols, open) = match named {
            None if names.is_empty() => {
                let all = scope.from.clone().into_rel();
                rel.most = rel.most.max(all.most);
                (all.cols, all.open)
            }
            Some(item) => {
                rel.most = rel.most.max(item.most);
                (item.cols.clone(), item.open.clone())
            }
            // A composite column, or nothing.
            None => (Vec::new(), Some(self.unknown())),
        };
        self.columns_seen = self.columns_seen.saturating_add(1);
        self.sure &= open.is_none();
        for col in &cols {
            self.touches.join(&col.taint);
            self.sure &= col.sure;
        }
        rel.extend(cols.iter().map(Col::passed_on), open.as_ref());
    }

    /// An ORDER BY item: a position, an output's name, or an expression over the input.
    fn by_output(&mut self, node: &'t Node, outputs: &Rel<'t>, scope: &Scope<'t, '_>) -> Taint {
        let node = match tree::kind(node) {
            Some(NodeEnum::SortBy(sort)) => {
                if !sort.use_op.is_empty() {
                    let (schema, name) = tree::qualified(&sort.use_op);
                    self.user_operator(schema, name, &Taint::CLEAN, None, sort.location);
                }
                match sort.node.as_deref() {
                    Some(inner) => inner,
                    None => return Taint::CLEAN,
                }
            }
            _ => node,
        };
        if let Some(taint) = output_at(node, outputs) {
            return taint;
        }
        match self.only_name(node) {
            Some(name) => match self.output_named(name, outputs) {
                (Some(taint), _) => taint,
                // One of the columns whose names are not known may have this one.
                (None, Some(doubt)) => self.expr(node, scope).taint.with(&doubt),
                (None, None) => self.expr(node, scope).taint,
            },
            None => self.expr(node, scope).taint,
        }
    }

    /// What the outputs of this name hold, if any is certain to have it, and what those hold that may.
    fn output_named(&mut self, name: &str, outputs: &Rel<'t>) -> (Option<Taint>, Option<Taint>) {
        self.search(outputs.cols.len());
        let mut found: Option<Taint> = None;
        for col in outputs.cols.iter().filter(|col| col.is_called(name)) {
            found.get_or_insert_default().join(&col.taint);
        }
        (found, outputs.doubt())
    }

    /// A GROUP BY item: a position, a column of the input, an output's name, or a list of them.
    fn by_input(&mut self, node: &'t Node, outputs: &Rel<'t>, scope: &Scope<'t, '_>) -> Taint {
        if let Some(taint) = output_at(node, outputs) {
            return taint;
        }
        let list: &'t [Node] = match tree::kind(node) {
            Some(NodeEnum::GroupingSet(set)) => &set.content,
            Some(NodeEnum::List(list)) => &list.items,
            // `(a, b)` is a list like `a, b`; ROW(a, b) is a value.
            Some(NodeEnum::RowExpr(row)) => &row.args,
            _ => return self.by_one_input(node, outputs, scope),
        };
        let mut taint = Taint::CLEAN;
        for item in list {
            taint.join(&self.by_input(item, outputs, scope));
        }
        if matches!(tree::kind(node), Some(NodeEnum::RowExpr(row)) if row.row_format() != CoercionForm::CoerceImplicitCast)
        {
            taint.join(&self.expr(node, scope).taint);
        }
        taint
    }

    fn by_one_input(&mut self, node: &'t Node, outputs: &Rel<'t>, scope: &Scope<'t, '_>) -> Taint {
        let Some(name) = self.only_name(node) else { return self.expr(node, scope).taint };
        self.search(scope.from.star.len());
        if scope.from.star.iter().any(|col| col.is_called(name)) {
            return self.expr(node, scope).taint;
        }
        let input_unknown = scope.from.doubt().is_some();
        match self.output_named(name, outputs) {
            (Some(taint), _) if !input_unknown => taint,
            (Some(taint), _) => self.expr(node, scope).taint.with(&taint),
            (None, doubt) => self.expr(node, scope).taint.with(&doubt.unwrap_or_default()),
        }
    }

    /// WITH: the scope in which its names are known.
    pub(super) fn with<'s>(&mut self, with: Option<&'t WithClause>, outer: &'s Scope<'t, 's>) -> Scope<'t, 's> {
        let mut scope = Scope::within(outer, From::empty());
        let Some(with) = with else { return scope };
        let ctes: Vec<&'t CommonTableExpr> = with
            .ctes
            .iter()
            .filter_map(|node| match tree::kind(node) {
                Some(NodeEnum::CommonTableExpr(cte)) => Some(cte.as_ref()),
                _ => None,
            })
            .collect();
        if !with.recursive {
            for cte in ctes {
                let rel = self.cte(cte, &scope);
                scope.ctes.push(Cte::new(&cte.ctename, Rc::new(rel)));
            }
            return scope;
        }
        // Any of them may name any other: start from as good as nothing and repeat until nothing grows.
        let nothing = || Rc::new(Rel { open: Some(Taint::CLEAN), bounded: true, rows: Rows::TABLE, ..Rel::default() });
        scope.ctes = ctes.iter().map(|cte| Cte::new(cte.ctename.as_str(), nothing())).collect();
        let uses = self.uses.len();
        for (at, cte) in ctes.iter().enumerate() {
            let first = self.first_of(cte, &scope);
            if let (Some(known), Some(rel)) = (scope.ctes.get_mut(at), first) {
                known.rel = Rc::new(rel);
            }
        }
        self.uses.truncate(uses);
        for round in 0..limits::SQL_FIXPOINT_ROUNDS_MAX {
            let uses = self.uses.len();
            let mut grown = false;
            for (at, cte) in ctes.iter().enumerate() {
                if let Some(known) = scope.ctes.get(at) {
                    known.forget_reads();
                }
                let mut rel = self.cte(cte, &scope);
                rel.rows = Rows::MANY;
                // What a query that names itself found is kept before it is read. Any other may be put where it is read.
                let kept = scope.ctes.get(at).is_some_and(Cte::was_read);
                if let Some(known) = scope.ctes.get_mut(at) {
                    for (at, col) in rel.cols.iter_mut().enumerate() {
                        col.sure |= kept;
                        let first = known.rel.cols.get(at);
                        let before = first.map(|known| known.size);
                        if kept {
                            col.size = size::recurring(before, col.size, round);
                            // The server refuses it where the parts are of several types.
                            col.type_oid = first
                                .map(|first| first.type_oid)
                                .filter(|oid| !types::is_guess(*oid))
                                .unwrap_or(col.type_oid);
                        }
                        grown |= before.is_some_and(|before| before != col.size);
                    }
                    grown |=
                        *known.rel != rel || !known.rel.cols.iter().map(|c| c.sure).eq(rel.cols.iter().map(|c| c.sure));
                    known.rel = Rc::new(rel);
                }
            }
            if !grown {
                return scope;
            }
            if round + 1 < limits::SQL_FIXPOINT_ROUNDS_MAX {
                // The next round sees everything this one saw, and more.
                self.uses.truncate(uses);
            }
        }
        for known in &mut scope.ctes {
            known.rel = Rc::new(Rel::unknown(self.unknown()));
        }
        scope
    }

    /// The types that a query has which names itself: those of its first part, which the others have to have as well.
    fn first_of(&mut self, cte: &'t CommonTableExpr, scope: &Scope<'t, '_>) -> Option<Rel<'t>> {
        let Some(NodeEnum::SelectStmt(select)) = tree::kind_of(&cte.ctequery) else { return None };
        let first = select.larg.as_deref()?;
        let (mut rel, _) = self.inside(|walk| {
            let inner = walk.with(select.with_clause.as_ref(), scope);
            walk.select(first, &inner)
        });
        rename(&mut rel, tree::texts(&cte.aliascolnames));
        for col in &mut rel.cols {
            (col.plain, col.row) = (false, None);
            if col.type_oid == types::LITERAL {
                col.type_oid = types::TEXT;
            }
        }
        rel.open.is_none().then_some(rel)
    }

    fn cte(&mut self, cte: &'t CommonTableExpr, scope: &Scope<'t, '_>) -> Rel<'t> {
        let Some(query) = tree::kind_of(&cte.ctequery) else { return Rel::default() };
        let (mut rel, predicate) = self.subquery(query, scope);
        self.predicate.join(&predicate);
        rename(&mut rel, tree::texts(&cte.aliascolnames));
        let listed = |names: &'t [Node], rel: &Rel<'t>| {
            let mut taint = rel.open.clone().unwrap_or_default();
            for name in tree::texts(names) {
                for col in rel.cols.iter().filter(|c| c.guessed || c.name == name) {
                    taint.join(&col.taint);
                }
            }
            taint
        };
        if let Some(search) = &cte.search_clause {
            let taint = listed(&search.search_col_list, &rel);
            self.uses(&taint, How::Order, "SEARCH", search.location);
            rel.push(Col { unlisted: true, ..Col::new(search.search_seq_column.as_str(), taint) });
        }
        if let Some(cycle) = &cte.cycle_clause {
            let taint = listed(&cycle.cycle_col_list, &rel);
            self.uses(&taint, How::Predicate, "CYCLE", cycle.location);
            for name in [&cycle.cycle_mark_column, &cycle.cycle_path_column] {
                rel.push(Col { unlisted: true, ..Col::new(name.as_str(), taint.clone()) });
            }
        }
        rel
    }

    pub(super) fn items_of(&mut self, items: &'t [Node], scope: &Scope<'t, '_>) -> From<'t> {
        let mut from = From::empty();
        for item in items {
            let next = self.item_of(item, &from, scope);
            from.append(next);
        }
        from
    }

    /// What an item sees of those before it, for an item that may look.
    fn seen(&mut self, left: &From<'t>) -> From<'t> {
        if self.work(left.size()) {
            return left.clone();
        }
        From { open: Some(self.unknown()), ..From::default() }
    }

    /// One item of a FROM clause; `left` is what stands before it, which LATERAL items see.
    pub(super) fn item_of(&mut self, node: &'t Node, left: &From<'t>, scope: &Scope<'t, '_>) -> From<'t> {
        if !self.step() {
            let rel = Rel::unknown(self.unknown());
            return From::one(Cow::Borrowed(""), rel, &mut self.numbers);
        }
        match tree::kind(node) {
            Some(NodeEnum::RangeVar(var)) => {
                let mut rel = self.relation(var, scope);
                rename(&mut rel, tree::column_aliases(var.alias.as_ref()));
                let alias = var.alias.as_ref().map_or(var.relname.as_str(), |a| a.aliasname.as_str());
                let query = var.schemaname.is_empty() && scope.cte(&var.relname).is_some();
                let table = if query { None } else { self.table(var) };
                From::of_table(table, Cow::Borrowed(alias), rel, &mut self.numbers)
            }
            Some(NodeEnum::RangeSubselect(sub)) => {
                let Some(query) = tree::kind_of(&sub.subquery) else { return From::empty() };
                let (mut rel, predicate) = if sub.lateral {
                    let seen = self.seen(left);
                    self.subquery(query, &Scope::within(scope, seen))
                } else {
                    self.subquery(query, scope)
                };
                self.predicate.join(&predicate);
                rename(&mut rel, tree::column_aliases(sub.alias.as_ref()));
                let alias = sub.alias.as_ref().map_or("", |a| a.aliasname.as_str());
                let mut from = From::one(Cow::Borrowed(alias), rel, &mut self.numbers);
                if sub.lateral {
                    from.sources.after(&left.sources);
                }
                from
            }
            Some(NodeEnum::JoinExpr(join)) => self.join(join, left, scope),
            Some(NodeEnum::RangeFunction(function)) => {
                let seen = self.seen(left);
                let mut from = self.function_in_from(function, &Scope::within(scope, seen));
                from.sources.after(&left.sources);
                from
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                let taint = self.parts(&sample.args, scope).with(&self.part(&sample.repeatable, scope));
                self.uses(&taint, How::Predicate, "TABLESAMPLE", sample.location);
                let Some(relation) = sample.relation.as_deref() else { return From::empty() };
                let read = self.read.len();
                let from = self.item_of(relation, left, scope);
                // Only a table can be sampled, nothing that stands in its place.
                self.read.truncate(read);
                let whole = sample.args.first().and_then(tree::integer) == Some(100);
                if !whole && (sample.repeatable.is_some() || tree::qualified(&sample.method).1 != "bernoulli") {
                    // Which rows share a block, and their places in it, follows from the width of their values.
                    self.uses(&from.all(), How::Predicate, "TABLESAMPLE by place", sample.location);
                }
                from
            }
            Some(NodeEnum::RangeTableFunc(table)) => {
                let scope = Scope::within(scope, self.seen(left));
                let before = self.parts_size;
                let mut taint = self.part(&table.docexpr, &scope).with(&self.part(&table.rowexpr, &scope));
                taint.join(&self.parts(&table.namespaces, &scope));
                let mut names = Vec::new();
                for column in &table.columns {
                    if let Some(NodeEnum::RangeTableFuncCol(column)) = tree::kind(column) {
                        taint.join(&self.part(&column.colexpr, &scope));
                        taint.join(&self.part(&column.coldefexpr, &scope));
                        names.push((column.colname.as_str(), self.written_out(column.type_name.as_ref())));
                    }
                }
                self.may_fail(&taint, "XMLTABLE", table.location);
                self.uses(&taint, How::Predicate, "XMLTABLE", table.location);
                let size = self.parts_size.saturating_sub(before).max(size::STORED);
                let mut from = self.table_of(names, taint, size, table.alias.as_ref(), "xmltable");
                from.sources.after(&left.sources);
                from
            }
            Some(NodeEnum::JsonTable(table)) => {
                let scope = Scope::within(scope, self.seen(left));
                let before = self.parts_size;
                let mut taint = Taint::CLEAN;
                if let Some(item) = table.context_item.as_deref() {
                    taint = self.part(&item.raw_expr, &scope);
                }
                taint.join(&self.parts(&table.passing, &scope));
                let mut names = Vec::new();
                taint.join(&self.json_behaviors([&table.on_error, &None], &scope));
                taint.join(&self.json_columns(&table.columns, &mut names, &scope));
                self.may_fail(&taint, "JSON_TABLE", table.location);
                self.uses(&taint, How::Predicate, "JSON_TABLE", table.location);
                let plain = size::is_plain_table(table.pathspec.as_deref(), &table.columns);
                let size = self.parts_size.saturating_sub(before).max(size::STORED);
                let size = if plain { size } else { size::ANY };
                let mut from = self.table_of(names, taint, size, table.alias.as_ref(), "json_table");
                from.sources.after(&left.sources);
                from
            }
            _ => {
                self.cannot_see("a FROM item that is not understood");
                From::one(Cow::Borrowed(""), Rel::unknown(Taint::UNKNOWN), &mut self.numbers)
            }
        }
    }

    /// The columns of a JSON_TABLE; what their ON EMPTY and ON ERROR clauses may put there besides the document's values.
    fn json_columns(&mut self, columns: &'t [Node], names: &mut Vec<(&'t str, u64)>, scope: &Scope<'t, '_>) -> Taint {
        let mut taint = Taint::CLEAN;
        for column in columns {
            if !self.step() {
                return self.unknown();
            }
            if let Some(NodeEnum::JsonTableColumn(column)) = tree::kind(column) {
                taint.join(&self.json_behaviors([&column.on_empty, &column.on_error], scope));
                if column.columns.is_empty() {
                    names.push((&column.name, self.written_out(column.type_name.as_ref())));
                } else {
                    taint.join(&self.json_columns(&column.columns, names, scope));
                }
            }
        }
        taint
    }

    /// A table of columns by name, each of which may be so much longer than what the table is made of.
    fn table_of(
        &mut self,
        names: Vec<(&'t str, u64)>,
        taint: Taint,
        size: u64,
        alias: Option<&'t pg_query::protobuf::Alias>,
        default: &'static str,
    ) -> From<'t> {
        let col = |(name, more)| Col { size: size.saturating_add(more), ..Col::new(name, taint.clone()) };
        let cols = names.into_iter().map(col).collect();
        let mut rel = Rel { cols, open: None, bounded: true, rows: Rows::made(size), ..Rel::default() };
        rename(&mut rel, tree::column_aliases(alias));
        From::one(Cow::Borrowed(alias.map_or(default, |a| a.aliasname.as_str())), rel, &mut self.numbers)
    }

    fn function_in_from(&mut self, function: &'t RangeFunction, scope: &Scope<'t, '_>) -> From<'t> {
        let mut rel = Rel { bounded: true, rows: Rows::ONE, ..Rel::default() };
        let (mut takes_alias, mut tables) = (false, false);
        let times = std::mem::replace(&mut self.times, 1);
        for item in &function.functions {
            // Each is a list of the call and its column definitions.
            let parts = tree::items(item);
            let Some(call) = parts.first() else { continue };
            let mut made = self.call_in_from(call, scope);
            let definitions = parts.get(1).map(tree::items).unwrap_or_default();
            let definitions = if definitions.is_empty() { &function.coldeflist } else { definitions };
            let named: Vec<&'t str> = definitions
                .iter()
                .filter_map(|d| match tree::kind(d) {
                    Some(NodeEnum::ColumnDef(d)) => Some(d.colname.as_str()),
                    _ => None,
                })
                .collect();
            if !named.is_empty() {
                let taint = made.rel.all();
                let size = made.size;
                made.rel.cols = named.into_iter().map(|name| Col { size, ..Col::new(name, taint.clone()) }).collect();
                made.rel.open = None;
                made.takes_alias = false;
            }
            takes_alias = function.functions.len() == 1 && made.takes_alias;
            rel.bounded &= made.rel.bounded;
            tables |= made.as_many_as_a_table;
            if made.rel.open.is_some() {
                rel.most = rel.most.max(made.size);
            }
            rel.extend(made.rel.cols, made.rel.open.as_ref());
        }
        rel.rows = Rows::of_calls(std::mem::replace(&mut self.times, times), tables);
        if function.ordinality {
            rel.push(Col::new("ordinality", Taint::CLEAN));
        }
        let alias = function.alias.as_ref().map(|a| a.aliasname.as_str());
        if let (true, Some(alias), Some(col)) = (takes_alias, alias, rel.cols.first_mut()) {
            // One value: the alias names the column too, unless the server finds a name of its own for it.
            col.name = Cow::Borrowed(alias);
        }
        rename(&mut rel, tree::column_aliases(function.alias.as_ref()));
        let first = function.functions.first().and_then(|f| tree::items(f).first());
        match (alias, first.map(tree::output_name)) {
            (Some(alias), _) => From::one(Cow::Borrowed(alias), rel, &mut self.numbers),
            (None, Some(own)) if !own.guessed => From::one(own.name, rel, &mut self.numbers),
            (None, own) => From::one(own.map_or(Cow::Borrowed(""), |own| own.name), rel, &mut self.numbers).guessed(),
        }
    }

    fn join(&mut self, join: &'t JoinExpr, left: &From<'t>, scope: &Scope<'t, '_>) -> From<'t> {
        let (Some(larg), Some(rarg)) = (join.larg.as_deref(), join.rarg.as_deref()) else { return From::empty() };
        let l = self.item_of(larg, left, scope);
        // Most of what is joined cannot look at what it is joined to, and a chain of joins would copy all of it each time.
        let r = if looks_left(rarg) {
            let mut seen = self.seen(left);
            seen.append(self.seen(&l));
            self.item_of(rarg, &seen, scope)
        } else {
            self.item_of(rarg, &From::empty(), scope)
        };

        let using: Vec<&'t str> = tree::texts(&join.using_clause).collect();
        let merges = join.is_natural || !using.is_empty();
        if merges {
            let names = if join.is_natural { l.star.len() } else { using.len() };
            self.search(names.saturating_add(1).saturating_mul(l.star.len().saturating_add(r.star.len())));
        }
        let merged: Vec<Cow<'t, str>> = if self.exhausted() {
            Vec::new()
        } else if join.is_natural {
            let shared = l.star.iter().filter(|c| !c.guessed && r.star.iter().any(|d| d.is_called(&c.name)));
            shared.map(|c| c.name.clone()).collect()
        } else {
            using.into_iter().map(Cow::Borrowed).collect()
        };
        let mut cols: Vec<Col<'t>> = Vec::new();
        let mut links = Vec::new();
        // Which columns are merged is not known: neither are the places of the others.
        let mut uncertain = join.is_natural && [&l, &r].iter().any(|side| side.doubt().is_some());
        for name in &merged {
            let mut taint = self.unasked();
            let mut plain = true;
            let sides = [&l, &r].map(|side| side.star.iter().find(|c| c.is_called(name)));
            for (side, col) in [&l, &r].into_iter().zip(sides) {
                match col {
                    Some(col) => {
                        taint.join(&col.taint);
                        plain &= col.plain;
                    }
                    None => {
                        taint.join(&side.doubt().unwrap_or_default());
                        uncertain = true;
                    }
                }
            }
            let how = match sides {
                [Some(one), Some(other)] => self.how_compared(&Val::of(one), &Val::of(other)),
                _ => How::Predicate,
            };
            self.uses(&taint, how, "a join's columns", -1);
            self.predicate.join(&taint);
            let (sure, type_oid) = match sides {
                [Some(one), Some(other)] => {
                    let meeting = self.meet(one.type_oid, other.type_oid);
                    let compared = self.types_compare(one.type_oid, other.type_oid);
                    (one.sure && other.sure && meeting.sure && compared, self.unless_row(meeting.type_oid))
                }
                _ => (false, types::UNKNOWN),
            };
            let size = sides.iter().flatten().map(|col| col.size).max().unwrap_or(size::ANY);
            let mut id = 0;
            if let [Some(one), Some(other)] = sides
                && one.id != 0
                && other.id != 0
                && !self.catalog.has_own_equality()
                && self.are_alike(one.type_oid, other.type_oid)
            {
                links.push((one.id, other.id));
                id = match join.jointype() {
                    JoinType::JoinInner | JoinType::JoinLeft => one.id,
                    JoinType::JoinRight => other.id,
                    _ => 0,
                };
            }
            cols.push(Col { plain, sure, type_oid, size, id, ..Col::new(name.clone(), taint) });
        }
        let doubtful = join.is_natural && uncertain;
        if doubtful {
            let taint = l.all().with(&r.all());
            self.uses(&taint, How::Predicate, "NATURAL JOIN", -1);
            self.predicate.join(&taint);
        }
        let merged_rel = Rel::of_columns(cols.clone());
        let mut from = l;
        let split = from.sources.split();
        from.append(r);
        if !cols.is_empty() {
            let rest = std::mem::take(&mut from.star);
            from.star = cols;
            from.star.extend(rest.into_iter().filter(|c| !merged.iter().any(|name| c.is_called(name))));
        }
        if uncertain {
            let all = from.all();
            from.open.get_or_insert_default().join(&all);
            from.most = from.star.iter().map(|col| col.size).fold(from.most, u64::max);
            if doubtful {
                // A name may stand for what is merged under it.
                from.star.clear();
            }
        }
        let mut scope = Scope::within(scope, from);
        links.extend(self.links(join.quals.as_deref(), &scope));
        if join.jointype() == JoinType::JoinInner {
            scope.from.sources.link(links);
        } else if self.work(scope.from.sources.work()) {
            scope.from.sources.join_outer(split, &links, join.jointype());
        }
        self.condition(join.quals.as_deref(), &scope, How::Join, "ON");
        let mut from = scope.from;
        if let Some(alias) = &join.join_using_alias {
            from.items.push(Item::new(alias.aliasname.as_str(), Rc::new(merged_rel)));
        }
        if let Some(alias) = &join.alias {
            self.count_rows(&mut from);
            let mut rel = from.into_rel();
            rename(&mut rel, tree::column_aliases(Some(alias)));
            return From::one(Cow::Borrowed(&alias.aliasname), rel, &mut self.numbers);
        }
        from
    }

    /// A relation by name: a query of WITH, a table, a view, one of the server's own.
    pub(super) fn relation(&mut self, var: &'t RangeVar, scope: &Scope<'t, '_>) -> Rel<'t> {
        if var.schemaname.is_empty()
            && let Some((rel, own)) = scope.cte(&var.relname)
        {
            if !self.work(rel.cols.len()) {
                return Rel::unknown(self.unknown());
            }
            let rel = rel.as_ref().clone();
            return if own { rel } else { rel.within() };
        }
        match self.resolve(&var.schemaname, &var.relname) {
            Resolved::User(index) => {
                self.reads(index, Action::Read);
                self.found_in_order(index);
                let read = Read { at: var.location, relation: index, aliased: var.alias.is_some(), only: !var.inh };
                // A recursive query is walked more than once.
                self.search(self.read.len() / 4);
                if !self.read.contains(&read) {
                    self.read.push(read);
                }
                self.user_relation(index)
            }
            Resolved::System { schema, columns } => {
                let object = Object::Table { schema: schema.to_owned(), name: var.relname.clone() };
                self.need(Action::Read, object, "a system relation");
                self.tables.push(format!("{schema}.{}", var.relname));
                let harmless = self.asks_about.take().is_some_and(|table| {
                    // What is called so now the statement does not name as a relation.
                    self.looks_up(Later::Anything);
                    builtins::tells_of_one_table(schema, &var.relname) && self.is_unlabelled(table)
                });
                let mut cols = Vec::with_capacity(columns.len());
                let mut secret = false;
                for column in columns {
                    let leak = builtins::leak(schema, &var.relname, column);
                    secret |= leak == Leak::Secrets;
                    let taint = if leak == Leak::None || harmless { Taint::CLEAN } else { self.unknown() };
                    let any = size::is_of_session(&var.relname, column);
                    let size = if any { size::ANY } else { size::STORED };
                    cols.push(Col { sure: true, size, ..Col::new(*column, taint) });
                }
                if secret {
                    self.need_on_target(Action::Administer, format!("`{}`, which holds credentials", var.relname));
                }
                if !builtins::VERSIONS.contains(&self.catalog.major()) {
                    // It may have other columns there, in another order.
                    let open = Some(scope::all(&cols));
                    return Rel { open, bounded: true, rows: Rows::TABLE, ..Rel::default() };
                }
                Rel::of_columns(cols)
            }
            Resolved::Unknown => {
                let schema = if var.schemaname.is_empty() { "" } else { var.schemaname.as_str() };
                let name = if schema.is_empty() { var.relname.clone() } else { format!("{schema}.{}", var.relname) };
                self.need_on_target(Action::Read, format!("the relation `{name}`, which is not known"));
                if self.path_known {
                    self.not_found.get_or_insert_with(|| name.clone());
                }
                self.tables.push(name);
                self.may_be(&var.schemaname, &var.relname, Action::Read);
                // Large objects and TOAST tables are where such a name could lead.
                if schema.starts_with("pg_") {
                    self.need_on_target(Action::Administer, "a relation of the server's own that is not known");
                }
                // When the path is known, the server knows it no better and refuses.
                Rel { open: Some(self.unknown()), bounded: self.path_known, rows: Rows::TABLE, ..Rel::default() }
            }
        }
    }

    /// What a relation that stands in a query without an alias goes by in full.
    pub(super) fn table(&self, var: &'t RangeVar) -> Option<Table<'t>> {
        if var.alias.is_some() { None } else { self.table_named(&var.schemaname, &var.relname) }
    }

    /// The full name of a relation.
    pub(super) fn table_named(&self, schema: &'t str, name: &'t str) -> Option<Table<'t>> {
        match self.resolve(schema, name) {
            Resolved::User(index) => {
                let facts = &self.catalog.relation(index)?.facts;
                Some(Table { schema: &facts.schema, name: &facts.name })
            }
            Resolved::System { schema, .. } => Some(Table { schema, name }),
            Resolved::Unknown => (!schema.is_empty()).then_some(Table { schema, name }),
        }
    }

    /// The table that a query over this one item asks statistics about: what the terms of its condition, all of which have
    /// to hold, name in the item's own column `tablename`.
    fn table_asked_about(&self, item: &'t Node, condition: &'t Node) -> Option<&'t str> {
        let Some(NodeEnum::RangeVar(var)) = tree::kind(item) else { return None };
        let alias = match &var.alias {
            Some(alias) if alias.colnames.is_empty() => alias.aliasname.as_str(),
            Some(_) => return None,
            None => var.relname.as_str(),
        };
        self.constant_of(alias, "tablename", condition)
    }

    /// The setting that a query over `pg_settings` alone is about: what the terms of its condition name in the column `name`.
    fn setting_asked_about(&self, select: &'t SelectStmt) -> Option<&'t str> {
        let [item] = select.from_clause.as_slice() else { return None };
        let Some(NodeEnum::RangeVar(var)) = tree::kind(item) else { return None };
        let settings = var.relname == "pg_settings"
            && var.alias.is_none()
            && matches!(self.resolve(&var.schemaname, &var.relname), Resolved::System { schema: "pg_catalog", .. });
        self.constant_of("pg_settings", "name", select.where_clause.as_deref().filter(|_| settings)?)
    }

    /// What one of the terms of a condition, all of which have to hold, says that a column is equal to.
    fn constant_of(&self, alias: &str, column: &str, condition: &'t Node) -> Option<&'t str> {
        // An equality of somebody's own may hold for any two texts.
        if self.catalog.has_own_equality() {
            return None;
        }
        self.constant_in(alias, column, condition)
    }

    fn constant_in(&self, alias: &str, of: &str, condition: &'t Node) -> Option<&'t str> {
        match tree::kind(condition)? {
            NodeEnum::BoolExpr(e) if e.boolop() == BoolExprType::AndExpr => {
                e.args.iter().find_map(|term| self.constant_in(alias, of, term))
            }
            NodeEnum::AExpr(e) if e.kind() == AExprKind::AexprOp && tree::qualified(&e.name) == ("", "=") => {
                let NodeEnum::ColumnRef(column) = tree::kind_of(&e.lexpr)? else { return None };
                let own = match column.fields.as_slice() {
                    [name] => tree::text(name) == of,
                    [from, name] => tree::text(from) == alias && tree::text(name) == of,
                    _ => false,
                };
                if own { self.literal(e.rexpr.as_deref()?) } else { None }
            }
            _ => None,
        }
    }

    /// Whether there are relations of this name, and none of them holds anything labelled.
    fn is_unlabelled(&self, name: &str) -> bool {
        let named = self.catalog.relations_named(name);
        // The statistics of an index are about expressions of its table.
        let is_index = |index: &usize| self.catalog.relation(*index).is_none_or(|r| matches!(r.facts.kind, 'i' | 'I'));
        !named.is_empty()
            && !named.iter().any(is_index)
            && named.iter().all(|index| self.lineage(*index).row.is_clean())
    }

    /// A name of no schema under a path that nobody knows may stand for any relation of that name.
    pub(super) fn may_be(&mut self, schema: &str, name: &str, action: Action) {
        if self.path_known || !schema.is_empty() {
            return;
        }
        let catalog = self.catalog;
        for index in catalog.relations_named(name) {
            self.reads(*index, action);
            let _ = self.user_relation(*index);
        }
    }

    /// The rows of what was found so far are given out as they lie.
    pub(super) fn given_as_found(&mut self, place: &'static str) {
        let order = std::mem::take(&mut self.found_in_order_of);
        self.uses(&order, How::Order, place, -1);
    }

    /// Rows lie in the order of the index that they were clustered on, and come in that order to who asks for none.
    pub(super) fn found_in_order(&mut self, index: usize) {
        let Some(relation) = self.catalog.relation(index) else { return };
        let lineage = self.lineage(index);
        let order = keys(&relation.facts.ordered_by, relation, lineage);
        self.found_in_order_of.join(&order);
        self.found_in_order_of.join(&keys(&relation.facts.partitioned_by, relation, lineage));
    }

    /// What decides in which partition a row lies, of all partitioned tables.
    pub(super) fn partitions(&mut self) -> Taint {
        let mut taint = Taint::CLEAN;
        for index in self.catalog.partitioned() {
            let (Some(relation), lineage) = (self.catalog.relation(*index), self.lineage(*index)) else { continue };
            taint.join(&keys(&relation.facts.partitioned_by, relation, lineage));
        }
        taint
    }

    /// Who reads a partition alone learns of its rows that they are in its bounds.
    fn is_of_a_partition(&mut self, index: usize) {
        let Some(relation) = self.catalog.relation(index) else { return };
        for ancestor in &relation.ancestors {
            let Some(whole) = self.catalog.relation(*ancestor).filter(|r| !r.facts.partitioned_by.is_empty()) else {
                continue;
            };
            let taint = keys(&whole.facts.partitioned_by, whole, self.lineage(*ancestor));
            self.uses(&taint, How::Predicate, "the bounds of a partition", -1);
            self.predicate.join(&taint);
        }
    }

    /// Notes that a relation is used so, and with it those it is a part of.
    pub(super) fn reads(&mut self, index: usize, action: Action) {
        let Some(relation) = self.catalog.relation(index) else { return };
        let name = |index: usize| self.catalog.relation(index).map(|r| (r.facts.schema.clone(), r.facts.name.clone()));
        for part in std::iter::once(index).chain(relation.ancestors.iter().copied()) {
            let Some((schema, name)) = name(part) else { continue };
            self.tables.push(format!("{schema}.{name}"));
            let why = if part == index { "the relation is named" } else { "a part of it is named" };
            self.need(action, Object::Table { schema, name }, why);
        }
    }

    /// A user's relation as a result.
    pub(super) fn user_relation(&mut self, index: usize) -> Rel<'t> {
        let Some(relation) = self.catalog.relation(index) else { return Rel::default() };
        let lineage = self.lineage(index);
        if !self.work(relation.facts.columns.len().saturating_add(lineage.tables.len())) {
            return Rel::unknown(self.unknown());
        }
        self.is_of_a_partition(index);
        for (how, taint) in &lineage.uses {
            let place = format!("the definition of `{}`", relation.facts.name);
            self.uses(taint, *how, &place, -1);
        }
        for need in &lineage.needs {
            self.need(need.action, need.object.clone(), format!("through `{}`", relation.facts.name));
        }
        self.tables.extend(lineage.tables.iter().cloned());
        self.looks_up_beneath(lineage.later);
        self.keeps |= lineage.keeps;
        let says = lineage.says.clone();
        self.may_say(&says);
        if relation.facts.guarded {
            // Which rows there are is the database's own matter, and what its code says of it is not.
            for function in self.catalog.called_for(index) {
                let summary = self.summary_beneath(function);
                self.may_say(&summary.value);
                self.may_say(&summary.touches);
            }
        }
        let cols = relation
            .facts
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let taint = lineage.columns.get(at).cloned().unwrap_or(Taint::UNKNOWN);
                let plain = lineage.plain.get(at).copied().unwrap_or(false);
                let size = lineage.sizes.get(at).copied().flatten().unwrap_or_else(|| size::of_type(column.type_oid));
                let sure = lineage.sure.get(at).copied().unwrap_or(false);
                Col { plain, type_oid: column.type_oid, size, sure, ..Col::new(column.name.as_str(), taint) }
            })
            .collect();
        let Spread { rows, keys, copies } = lineage.spread.clone();
        Rel { cols, open: None, bounded: lineage.row.is_clean(), rows, keys, copies, ..Rel::default() }
    }

    /// Looks at what joins the sources of a FROM clause.
    fn count_rows(&mut self, from: &mut From<'t>) {
        if self.work(from.sources.work()) {
            let (tables, copies) = from.sources.rows();
            from.rows = Rows { times: from.rows.times.saturating_mul(copies), tables };
        }
    }

    /// What no two rows of a query have in common, but for so many. `outputs` are its columns.
    fn keys_of(&mut self, select: &'t SelectStmt, outputs: &Rel<'t>, scope: &Scope<'t, '_>) -> (Vec<Vec<usize>>, u64) {
        if outputs.rows == Rows::ONE {
            return (vec![Vec::new()], 1);
        }
        if outputs.open.is_some() || !self.work(scope.from.sources.work()) {
            return (Vec::new(), 1);
        }
        let (mut keys, mut copies) = (Vec::new(), 1);
        let ids: Vec<u32> = outputs.cols.iter().map(|col| col.id).collect();
        if outputs.rows.times == 1 && grouping_sets(&select.group_clause) == 1 {
            (keys, copies) = scope.from.sources.keys(&ids);
        }
        let mut listed = |items: &'t [Node]| -> Option<Vec<usize>> {
            items.iter().map(|item| self.output_of(item, outputs, scope)).collect()
        };
        if !select.group_clause.is_empty() && outputs.rows.times <= scope.from.rows.times {
            keys.extend(listed(&select.group_clause));
        }
        match select.distinct_clause.as_slice() {
            [] => {}
            // Plain DISTINCT is a list of one empty node.
            [only] if only.node.is_none() => keys.push((0..outputs.cols.len()).collect()),
            items => keys.extend(listed(items)),
        }
        (keys, copies)
    }

    /// The output that an item of GROUP BY or DISTINCT ON is.
    fn output_of(&mut self, item: &'t Node, outputs: &Rel<'t>, scope: &Scope<'t, '_>) -> Option<usize> {
        if let Some(at) = tree::integer(item) {
            return at.checked_sub(1).filter(|at| *at < outputs.cols.len());
        }
        let id = self.id_of(item, &scope.from);
        outputs.cols.iter().position(|col| id != 0 && col.id == id)
    }
}

/// How many times a query gives the groups of its rows out.
fn grouping_sets(items: &[Node]) -> u64 {
    fn of(item: &Node) -> u64 {
        let Some(NodeEnum::GroupingSet(set)) = tree::kind(item) else { return 1 };
        let items = u32::try_from(set.content.len()).unwrap_or(u32::MAX);
        match set.kind() {
            GroupingSetKind::GroupingSetCube => 2_u64.saturating_pow(items),
            GroupingSetKind::GroupingSetRollup => u64::from(items).saturating_add(1),
            GroupingSetKind::GroupingSetSets => set.content.iter().map(of).fold(0, u64::saturating_add),
            _ => 1,
        }
    }
    items.iter().map(of).fold(1, u64::saturating_mul)
}

/// The labels of the columns of these numbers; an expression may be made from all of them.
fn keys(numbers: &[i16], relation: &crate::catalog::Relation, lineage: &crate::catalog::Lineage) -> Taint {
    let mut taint = Taint::CLEAN;
    for number in numbers {
        match relation.facts.columns.iter().position(|c| c.number == *number) {
            Some(at) => taint.join(lineage.columns.get(at).unwrap_or(&Taint::UNKNOWN)),
            None => taint.join(&lineage.row),
        }
    }
    taint
}

/// How many rows are left of so many.
fn limited_rows(select: &SelectStmt, rows: Rows) -> Rows {
    let limit = select.limit_count.as_deref().and_then(tree::integer).and_then(|n| u64::try_from(n).ok());
    limit.map_or(rows, |limit| Rows::made(if rows.tables == 0 { limit.min(rows.times) } else { limit }))
}

/// Whether the query has LIMIT or FETCH FIRST with a number.
pub(super) fn has_limit(select: &SelectStmt) -> bool {
    select.limit_count.as_deref().is_some_and(|count| !tree::is_null(count))
}

/// Whether an item of a FROM clause may look at those before it.
fn looks_left(node: &Node) -> bool {
    match tree::kind(node) {
        Some(NodeEnum::RangeVar(_)) => false,
        Some(NodeEnum::RangeSubselect(sub)) => sub.lateral,
        Some(NodeEnum::JoinExpr(join)) => [&join.larg, &join.rarg].into_iter().flatten().any(|side| looks_left(side)),
        _ => true,
    }
}

fn ends_in_star(fields: &[Node]) -> bool {
    fields.last().is_some_and(|f| matches!(tree::kind(f), Some(NodeEnum::AStar(_))))
}

pub(super) fn is_star(node: &Node) -> bool {
    match tree::kind(node) {
        Some(NodeEnum::ColumnRef(column)) => ends_in_star(&column.fields),
        Some(NodeEnum::AIndirection(e)) => ends_in_star(&e.indirection),
        _ => false,
    }
}

/// What the output holds that an integer constant points at.
fn output_at(node: &Node, outputs: &Rel<'_>) -> Option<Taint> {
    let at = tree::integer(node)?.checked_sub(1)?;
    outputs.cols.get(at).map(|col| &col.taint).or(outputs.open.as_ref()).cloned()
}

/// Gives new names to the columns from the left on.
pub(super) fn rename<'t>(rel: &mut Rel<'t>, names: impl Iterator<Item = &'t str>) {
    for (at, name) in names.enumerate() {
        match rel.cols.get_mut(at) {
            Some(col) => {
                col.name = Cow::Borrowed(name);
                col.guessed = false;
                col.renamed = true;
            }
            None => {
                // More names than columns that are known: they are among the unknown ones.
                let taint = rel.open.clone().unwrap_or(Taint::UNKNOWN);
                rel.cols.push(Col { renamed: true, ..Col::new(name, taint) });
            }
        }
    }
}

/// Whether ORDER BY names a column of the one relation that is read. A constant, an expression or what another item of FROM
/// gives may be the same for all rows, and leaves them as they lie.
fn sorts_rows(select: &SelectStmt) -> bool {
    let [from] = select.from_clause.as_slice() else { return false };
    if !matches!(tree::kind(from), Some(NodeEnum::RangeVar(_))) {
        return false;
    }
    let targets: Vec<_> = select
        .target_list
        .iter()
        .filter_map(|target| match tree::kind(target) {
            Some(NodeEnum::ResTarget(target)) => Some(target),
            _ => None,
        })
        .collect();
    let is_column = |node: Option<&Node>| matches!(node.and_then(tree::kind), Some(NodeEnum::ColumnRef(_)));
    select.sort_clause.iter().any(|sort| {
        let Some(NodeEnum::SortBy(sort)) = tree::kind(sort) else { return false };
        let Some(key) = sort.node.as_deref() else { return false };
        if let Some(at) = tree::integer(key) {
            let target = at.checked_sub(1).and_then(|at| targets.get(at));
            return target.is_some_and(|target| is_column(target.val.as_deref()));
        }
        let Some(NodeEnum::ColumnRef(column)) = tree::kind(key) else { return false };
        let [name] = column.fields.as_slice() else { return true };
        // An output's name comes before a column's.
        let name = tree::text(name);
        let may_be_called = |target: &ResTarget| match target.val.as_deref().map(tree::output_name) {
            _ if !target.name.is_empty() => target.name == name,
            Some(own) => own.guessed || own.name == name,
            None => false,
        };
        targets.iter().filter(|target| may_be_called(target)).all(|target| is_column(target.val.as_deref()))
    })
}
