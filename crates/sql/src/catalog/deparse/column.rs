//! Columns: those of a query's range table, the fields of rows, and a relation's own where an expression belongs to one.

use super::Deparser;
use super::kinds::{Kind, kind};
use crate::catalog::Relation;
use crate::catalog::nodes::Id;

/// Columns that every table has, by their numbers.
const SYSTEM: &[(i32, &str)] =
    &[(-1, "ctid"), (-2, "xmin"), (-3, "cmin"), (-4, "xmax"), (-5, "cmax"), (-6, "tableoid")];
/// The type of rows of no named type.
const RECORD: u32 = 2249;

impl Deparser<'_> {
    pub(super) fn var(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let column: i32 = tree.number(id, "varattno")?;
        if let Some(own) = self.own {
            return self.own_column(own, column);
        }
        let level = self.level.checked_sub(tree.number(id, "varlevelsup")?)?;
        let index: usize = tree.number(id, "varno")?;
        // A column that USING merged is written as one of both, and is both.
        let of_join: usize = tree.number(id, "varnosyn").unwrap_or(0);
        if of_join != index && of_join > 0 {
            let join = self.entry(level, of_join)?;
            let at: usize = tree.number(id, "varattnosyn")?;
            if tree.number::<u8>(join, "rtekind")? == 2
                && at >= 1
                && at <= tree.number(join, "joinmergedcols")?
                && let Some((left, right)) = self.sides(level, of_join)
            {
                let of = |field| tree.numbers::<i32>(join, field)?.get(at.checked_sub(1)?).copied();
                let (l, r) = (of("joinleftcols")?, of("joinrightcols")?);
                self.put("COALESCE(")?;
                self.column(level, left, l)?;
                self.put(", ")?;
                self.column(level, right, r)?;
                return self.put(")");
            }
        }
        self.column(level, index, column)
    }

    /// A column of an entry of the range table.
    pub(super) fn column(&mut self, level: usize, index: usize, column: i32) -> Option<()> {
        let tree = self.tree;
        let entry = self.entry(level, index)?;
        let kind: u8 = tree.number(entry, "rtekind")?;
        let made_of = match kind {
            2 => Some("joinaliasvars"),
            9 => Some("groupexprs"),
            _ => None,
        };
        if let Some(field) = made_of {
            let exprs = tree.elements(entry, field)?;
            let before = std::mem::replace(&mut self.level, level);
            match usize::try_from(column).ok()? {
                0 => self.of_all("ROW", exprs)?,
                at => self.expr(*exprs.get(at.checked_sub(1)?)?)?,
            }
            self.level = before;
            return Some(());
        }
        match (kind, column) {
            (_, 0) => {
                self.put("ROW(")?;
                self.alias(level, index)?;
                self.put(".*)")
            }
            (0, ..0) => {
                self.alias(level, index)?;
                self.put(".")?;
                self.put(system_column(column)?)
            }
            (0, _) => {
                let oid: u32 = tree.number(entry, "relid")?;
                let name = match self.catalog.relation_by_oid(oid) {
                    Some(relation) => column_name(relation, column)?.to_owned(),
                    None => {
                        let names = tree.names(tree.some(entry, "eref")?, "colnames")?;
                        names.get(usize::try_from(column).ok()?.checked_sub(1)?)?.clone().into_owned()
                    }
                };
                self.alias(level, index)?;
                self.put(".")?;
                self.quoted(&name)
            }
            (_, ..0) => None,
            _ => {
                self.alias(level, index)?;
                self.put(&format!(".c{column}"))
            }
        }
    }

    fn own_column(&mut self, own: &Relation, column: i32) -> Option<()> {
        match column {
            0 => {
                self.put("ROW(")?;
                for (at, column) in own.facts.columns.iter().enumerate() {
                    if at > 0 {
                        self.put(", ")?;
                    }
                    self.quoted(&column.name)?;
                }
                self.put(")")
            }
            ..0 => self.put(system_column(column)?),
            _ => self.quoted(column_name(own, column)?),
        }
    }

    /// The sides of a join, if both are entries of the range table themselves.
    fn sides(&self, level: usize, join: usize) -> Option<(usize, usize)> {
        let tree = self.tree;
        let jointree = tree.some(self.queries.get(level)?.id, "jointree")?;
        let mut open: Vec<Id> = tree.elements(jointree, "fromlist")?.to_vec();
        while let Some(id) = open.pop() {
            if tree.label(id)? != "JOINEXPR" {
                continue;
            }
            let (left, right) = (tree.some(id, "larg")?, tree.some(id, "rarg")?);
            if tree.number(id, "rtindex") == Some(join) {
                return Some((tree.number(left, "rtindex")?, tree.number(right, "rtindex")?));
            }
            open.extend([left, right]);
        }
        None
    }

    /// A field of a row: by its name or place where that is certain, else the whole row as a value of no known shape.
    pub(super) fn field_of(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let (row, number): (Id, i32) = (tree.some(id, "arg")?, tree.number(id, "fieldnum")?);
        let of = kind(tree.label(row)?)?;
        if of == Kind::Var && tree.number::<i32>(row, "varattno")? == 0 && self.own.is_none() {
            let level = self.level.checked_sub(tree.number(row, "varlevelsup")?)?;
            let index: usize = tree.number(row, "varno")?;
            return self.column(level, index, number);
        }
        let name = match of {
            Kind::Row if tree.number::<u32>(row, "row_typeid")? == RECORD => Some(format!("f{number}")),
            _ => self.field_name(row, number),
        };
        match name {
            Some(name) => {
                self.put("(")?;
                self.expr(row)?;
                self.put(").")?;
                self.quoted(&name)
            }
            None => {
                self.put("(SELECT (ROW(")?;
                self.expr(row)?;
                self.put("))[1])")
            }
        }
    }

    /// What the field of this number is called in the rows that an expression gives.
    fn field_name(&self, row: Id, number: i32) -> Option<String> {
        let tree = self.tree;
        let field = match kind(tree.label(row)?)? {
            Kind::Var => "vartype",
            Kind::Param => "paramtype",
            Kind::Function => "funcresulttype",
            Kind::Field | Kind::Relabel => "resulttype",
            Kind::Subscript => "refrestype",
            Kind::Row => "row_typeid",
            Kind::Const => "consttype",
            _ => return None,
        };
        let oid: u32 = tree.number(row, field)?;
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        if oid == RECORD {
            let function = self.catalog.function_by_oid(tree.number(row, "funcid")?)?;
            return function.facts.out_names.get(at).filter(|_| function.facts.out_names.len() > 1).cloned();
        }
        if let Some((_, relation)) = self.catalog.relations().find(|(_, r)| oid != 0 && r.facts.row_type == oid) {
            return column_name(relation, number).map(str::to_owned);
        }
        // All its fields are the value, whichever of them this is.
        self.catalog.types().get(&oid)?.fields.get(at).map(|(name, _)| name.clone())
    }
}

fn system_column(column: i32) -> Option<&'static str> {
    SYSTEM.iter().find(|(number, _)| *number == column).map(|(_, name)| *name)
}

fn column_name(relation: &Relation, column: i32) -> Option<&str> {
    relation.facts.columns.iter().find(|c| i32::from(c.number) == column).map(|c| c.name.as_str())
}
