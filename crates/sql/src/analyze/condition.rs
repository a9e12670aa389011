//! Conditions: WHERE, HAVING, ON. Terms that all have to hold are told apart, because a policy may permit some of them: a
//! labelled column compared with one value, and two columns of the same labels compared with each other.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, Node};

use super::scope::{Scope, Val};
use super::{Analyzer, tree};
use crate::probe::Probe;
use crate::statement::How;
use crate::taint::Taint;

impl<'t> Analyzer<'t> {
    /// WHERE, HAVING, ON.
    pub(super) fn condition(
        &mut self,
        node: Option<&'t Node>,
        scope: &Scope<'t, '_>,
        how: How,
        place: &'static str,
    ) -> Taint {
        let Some(node) = node else { return Taint::CLEAN };
        let terms: &'t [Node] = match tree::kind(node) {
            Some(NodeEnum::BoolExpr(e)) if e.boolop() == BoolExprType::AndExpr => &e.args,
            _ => std::slice::from_ref(node),
        };
        let mut all = Taint::CLEAN;
        for term in terms {
            let before = self.uses.len();
            let mut taint = self.expr(term, scope).taint;
            taint.join(&self.unasked());
            let compared = if taint.is_clean() || self.uses.len() != before { None } else { compared(term) };
            match compared {
                Some((left, right)) => self.comparison(&taint, (left, right), scope, how, place),
                None => self.uses(&taint, How::Predicate, place, -1),
            }
            all.join(&taint);
        }
        self.predicate.join(&all);
        all
    }

    /// A term `left = right` with something labelled in it.
    fn comparison(
        &mut self,
        taint: &Taint,
        (left, right): (&'t Node, &'t Node),
        scope: &Scope<'t, '_>,
        how: How,
        place: &'static str,
    ) {
        // What a user's operator of this name makes of its operands nobody knows.
        if self.catalog.has_own_equality() {
            return self.uses(taint, How::Predicate, place, -1);
        }
        let [one, other] = [left, right].map(|side| match tree::kind(side) {
            Some(NodeEnum::ColumnRef(_)) => Some(self.expr(side, scope)),
            _ => None,
        });
        match (one, other) {
            (Some(one), Some(other)) => {
                let how = self.how_compared(&one, &other);
                self.uses(taint, how, place, -1);
            }
            (Some(column), None) => self.probe(taint, &column, right, how, place),
            (None, Some(column)) => self.probe(taint, &column, left, how, place),
            (None, None) => self.uses(taint, How::Predicate, place, -1),
        }
    }

    /// Two columns compared: a join if they hold the same kind of data, and are what the tables have.
    pub(super) fn how_compared(&self, one: &Val<'t>, other: &Val<'t>) -> How {
        let known = |value: &Val<'t>| value.plain && !value.taint.is_unknown() && !value.taint.is_clean();
        let same = known(one) && known(other) && self.catalog.labels(&one.taint) == self.catalog.labels(&other.taint);
        if same { How::Join } else { How::Predicate }
    }

    /// A column compared with something else. In the condition of an outer join the number of rows tells nothing, and in
    /// a query within another it decides about more than rows: such a test shows less than it asks.
    fn probe(&mut self, taint: &Taint, column: &Val<'t>, value: &'t Node, how: How, place: &'static str) {
        let whole = how == How::Predicate && place == "WHERE" && self.nested == 0 && self.stack.is_empty();
        let known = column.plain && !column.taint.is_unknown() && column.taint == *taint;
        let probe = if whole && known { Probe::with(value, self.beneath(column.type_oid), true) } else { None };
        match probe {
            Some(probe) => self.probes(taint, probe, place, Probe::place(value)),
            None if tree::is_constant(value) => self.uses(taint, How::Equality, place, -1),
            None => self.uses(taint, How::Predicate, place, -1),
        }
    }

    /// There is one row whatever the probes among these uses find.
    pub(super) fn rows_tell_nothing(&mut self, uses: Range<usize>) {
        for used in self.uses.get_mut(uses).unwrap_or_default() {
            if let Some(probe) = &mut used.probe {
                probe.rows_tell = false;
            }
        }
    }
}

/// The two sides of `left = right`.
fn compared(node: &Node) -> Option<(&Node, &Node)> {
    let NodeEnum::AExpr(e) = tree::kind(node)? else { return None };
    let equals = e.kind() == AExprKind::AexprOp && matches!(tree::qualified(&e.name), ("" | "pg_catalog", "="));
    if equals { Some((e.lexpr.as_deref()?, e.rexpr.as_deref()?)) } else { None }
}
