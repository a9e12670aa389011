//! What the mask stage knows about types: the built-in ones, and those of a target's catalog.
//!
//! A built-in OID cannot be given another meaning by a catalog. What is in neither place has no shape and is masked to NULL.

use crate::builtin;
use std::collections::HashMap;

/// One type of a target's catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFact {
    /// `pg_type.oid`.
    pub oid: u32,
    /// What sort of type it is.
    pub kind: TypeKind,
}

/// What sort of type a [`TypeFact`] states (`pg_type.typtype`, and arrays).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A base type, usually of an extension, known by its name: `citext`, `hstore`, `ltree`. Others are masked to NULL.
    Base {
        /// `pg_type.typname`.
        name: String,
    },
    /// A domain.
    Domain {
        /// `pg_type.typbasetype`.
        base: u32,
    },
    /// An enum. No label can be invented, so that it is masked to NULL.
    Enum {
        /// The labels, in order.
        labels: Vec<String>,
    },
    /// A composite type, or the row type of a relation.
    Composite {
        /// Name and type of each attribute that is not dropped, in order.
        fields: Vec<(String, u32)>,
    },
    /// An array.
    Array {
        /// `pg_type.typelem`.
        element: u32,
    },
    /// A range.
    Range {
        /// `pg_range.rngsubtype`.
        subtype: u32,
    },
    /// A multirange.
    Multirange {
        /// The OID of its range type.
        range: u32,
    },
}

/// Facts about types by OID: those of PostgreSQL 15 to 18 from the start, those of a target as its catalog is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeTable {
    of_target: HashMap<u32, Shape>,
}

impl TypeTable {
    /// The built-in types.
    pub fn new() -> Self {
        TypeTable::default()
    }

    /// Adds a type of the target's catalog. A built-in type keeps its meaning.
    pub fn insert(&mut self, fact: TypeFact) {
        let shape = match fact.kind {
            TypeKind::Base { name } => match name.as_str() {
                "citext" => Shape::Scalar(ScalarKind::Text),
                "hstore" => Shape::Scalar(ScalarKind::Hstore),
                "ltree" => Shape::Scalar(ScalarKind::Ltree),
                _ => Shape::Opaque,
            },
            TypeKind::Domain { base } => Shape::Domain(base),
            TypeKind::Enum { labels: _ } => Shape::Opaque,
            TypeKind::Composite { fields } => Shape::Composite(fields.into_iter().map(|(_, oid)| oid).collect()),
            TypeKind::Array { element } => Shape::Array(element),
            TypeKind::Range { subtype: _ } => Shape::Range,
            TypeKind::Multirange { range: _ } => Shape::Multirange,
        };
        self.of_target.insert(fact.oid, shape);
    }

    /// What stands for a redacted value of this type, as text; `None` where only NULL does.
    pub fn redacted(&self, oid: u32) -> Option<String> {
        crate::redacted::value(self, oid, -1, crate::row::Format::Text).and_then(|text| String::from_utf8(text).ok())
    }

    /// The shape of a type; `None` when nothing is known of it.
    pub(crate) fn shape(&self, oid: u32) -> Option<Shape> {
        builtin::shape(oid).or_else(|| self.of_target.get(&oid).cloned())
    }
}

/// What a mask must imitate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A type without parts.
    Scalar(ScalarKind),
    /// An array of the type.
    Array(u32),
    /// A row of these types.
    Composite(Vec<u32>),
    /// The type under another name.
    Domain(u32),
    /// Any range: the empty one is the same for all.
    Range,
    /// Any multirange: the empty one is the same for all.
    Multirange,
    /// A type for which no value can be made up.
    Opaque,
}

/// The types without parts, told apart by how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    /// `text` and what is written as it: `citext`, `refcursor`, `unknown`, `cstring`, `pg_node_tree`.
    Text,
    VarChar,
    BpChar,
    Name,
    /// The one-byte type `"char"`.
    Char,
    Bool,
    Bytea,
    Int2,
    Int4,
    Int8,
    Oid,
    /// `regclass` and the others that are an OID in binary and a name in text.
    Reg,
    Tid,
    /// `xid` and `cid`.
    Xid,
    Xid8,
    Int2Vector,
    OidVector,
    Float4,
    Float8,
    Numeric,
    Money,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Bit,
    VarBit,
    Uuid,
    Inet,
    Cidr,
    MacAddr,
    MacAddr8,
    Json,
    Jsonb,
    JsonPath,
    Xml,
    Point,
    Lseg,
    Path,
    Box,
    Polygon,
    Line,
    Circle,
    TsVector,
    TsQuery,
    PgLsn,
    /// `pg_snapshot` and `txid_snapshot`.
    Snapshot,
    Hstore,
    Ltree,
    /// The anonymous `record`.
    Record,
    Void,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_cannot_redefine_a_built_in_type() {
        let mut types = TypeTable::new();
        types.insert(TypeFact { oid: 23, kind: TypeKind::Base { name: "citext".into() } });
        types.insert(TypeFact { oid: 70_000, kind: TypeKind::Base { name: "citext".into() } });
        types.insert(TypeFact { oid: 70_001, kind: TypeKind::Base { name: "geometry".into() } });
        assert_eq!(types.shape(23), Some(Shape::Scalar(ScalarKind::Int4)));
        assert_eq!(types.shape(70_000), Some(Shape::Scalar(ScalarKind::Text)));
        assert_eq!(types.shape(70_001), Some(Shape::Opaque));
        assert_eq!(types.shape(70_002), None);
    }
}
