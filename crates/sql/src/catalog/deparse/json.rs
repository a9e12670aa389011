//! What the grammar makes of JSON's and XML's own notation.

use super::Deparser;
use super::constant::{JSON, NO_TYPE, TEXT};
use crate::catalog::nodes::Id;

impl Deparser<'_> {
    /// Whatever makes XML, or reads it: all of it refuses something.
    pub(super) fn xml(&mut self, id: Id) -> Option<()> {
        self.put("XMLCONCAT(''")?;
        let mut first = false;
        self.within(id, &mut first)?;
        self.put(")")
    }

    pub(super) fn json_value(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        self.expr(tree.some(id, "formatted_expr").or_else(|| tree.some(id, "raw_expr"))?)
    }

    /// JSON_OBJECT and its kin (`JsonConstructorType`).
    pub(super) fn json_constructor(&mut self, id: Id) -> Option<()> {
        let tree = self.tree;
        let args = tree.elements(id, "args")?;
        match tree.number::<u8>(id, "type")? {
            1 => {
                self.put("JSON_OBJECT(")?;
                for (at, pair) in args.chunks(2).enumerate() {
                    let [key, value] = pair else { return None };
                    self.put(if at == 0 { "(" } else { ", (" })?;
                    self.expr(*key)?;
                    self.put(") : ")?;
                    self.expr(*value)?;
                }
                self.returning(id)
            }
            2 => {
                self.put("JSON_ARRAY(")?;
                self.listed(args)?;
                self.returning(id)
            }
            // Aggregates are aggregates, and what they give may be turned into another type.
            3 | 4 => {
                let func = tree.some(id, "func")?;
                if self.returned(id)?.is_none() {
                    return self.expr(func);
                }
                self.put("CAST(")?;
                self.expr(func)?;
                self.put(&format!(" AS {NO_TYPE})"))
            }
            5 => self.of_all("JSON", args),
            6 => self.of_all("JSON_SCALAR", args),
            7 => {
                self.put("JSON_SERIALIZE(")?;
                self.listed(args)?;
                self.returning(id)
            }
            _ => None,
        }
    }

    /// The type behind RETURNING, if it is one that refuses something.
    fn returned(&self, id: Id) -> Option<Option<String>> {
        let tree = self.tree;
        let returning = tree.some(id, "returning")?;
        let oid: u32 = tree.number(returning, "typid")?;
        Some(match oid {
            TEXT | JSON => None,
            _ => Some(self.type_name(oid).unwrap_or_else(|| NO_TYPE.to_owned())),
        })
    }

    fn returning(&mut self, id: Id) -> Option<()> {
        if let Some(name) = self.returned(id)? {
            self.put(&format!(" RETURNING {name}"))?;
        }
        self.put(")")
    }
}
