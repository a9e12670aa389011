//! Every kind of node that a stored tree can hold, and what the deparser makes of it. What is not here, or is given up here,
//! makes the whole text unknown; the test holds the table to the grammar, which knows the nodes of the newest server.

use std::collections::HashMap;
use std::sync::OnceLock;

/// What becomes of a kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Var,
    Const,
    Param,
    Target,
    NamedArg,
    Collate,
    /// Stands for a value that is elsewhere in the tree.
    Placeholder,
    SqlValue,
    Grouping,
    Aggregate,
    WindowFunction,
    Function,
    Operator,
    Distinct,
    NullIf,
    AnyOf,
    Bool,
    SubLink,
    Field,
    Relabel,
    ViaText,
    OfElements,
    ToDomain,
    Case,
    Array,
    Row,
    RowCompare,
    Coalesce,
    Greatest,
    NullTest,
    BooleanTest,
    Xml,
    Subscript,
    JsonValue,
    JsonConstructor,
    IsJson,
    /// What goes into it, as a value of no known shape that may refuse any of that.
    Bag,
    /// No expression: what is in it counts as part of the bag that it is in.
    Within,
    /// Read by name from what it is a part of, and nothing by itself.
    Part,
    /// In no query that only reads, or only in what the server plans: given up.
    Never,
}

/// Kinds, and the labels of the nodes: those of PostgreSQL 16 to 18 are the nodes' names, some of 14 and 15 are shorter.
const KINDS: &[(Kind, &str)] = &[
    (Kind::Var, "VAR"),
    (Kind::Const, "CONST"),
    (Kind::Param, "PARAM"),
    (Kind::Target, "TARGETENTRY"),
    (Kind::NamedArg, "NAMEDARGEXPR"),
    (Kind::Collate, "COLLATE COLLATEEXPR"),
    (Kind::Placeholder, "CASETESTEXPR COERCETODOMAINVALUE"),
    (Kind::SqlValue, "SQLVALUEFUNCTION"),
    (Kind::Grouping, "GROUPINGFUNC"),
    (Kind::Aggregate, "AGGREF"),
    (Kind::WindowFunction, "WINDOWFUNC"),
    (Kind::Function, "FUNCEXPR"),
    (Kind::Operator, "OPEXPR"),
    (Kind::Distinct, "DISTINCTEXPR"),
    (Kind::NullIf, "NULLIFEXPR"),
    (Kind::AnyOf, "SCALARARRAYOPEXPR"),
    (Kind::Bool, "BOOLEXPR"),
    (Kind::SubLink, "SUBLINK"),
    (Kind::Field, "FIELDSELECT"),
    (Kind::Relabel, "RELABELTYPE"),
    (Kind::ViaText, "COERCEVIAIO"),
    (Kind::OfElements, "ARRAYCOERCEEXPR"),
    (Kind::ToDomain, "COERCETODOMAIN"),
    (Kind::Case, "CASE CASEEXPR"),
    (Kind::Array, "ARRAY ARRAYEXPR"),
    (Kind::Row, "ROW ROWEXPR"),
    (Kind::RowCompare, "ROWCOMPARE ROWCOMPAREEXPR"),
    (Kind::Coalesce, "COALESCE COALESCEEXPR"),
    (Kind::Greatest, "MINMAX MINMAXEXPR"),
    (Kind::NullTest, "NULLTEST"),
    (Kind::BooleanTest, "BOOLEANTEST"),
    (Kind::Xml, "XMLEXPR"),
    (Kind::Subscript, "SUBSCRIPTINGREF"),
    (Kind::JsonValue, "JSONVALUEEXPR"),
    (Kind::JsonConstructor, "JSONCONSTRUCTOREXPR"),
    (Kind::IsJson, "JSONISPREDICATE"),
    (Kind::Bag, "CONVERTROWTYPEEXPR JSONEXPR"),
    (
        Kind::Within,
        "TABLEFUNC JSONFORMAT JSONRETURNING JSONBEHAVIOR JSONTABLEPATH JSONTABLEPATHSCAN JSONTABLESIBLINGJOIN",
    ),
    (
        Kind::Part,
        "QUERY FROMEXPR JOINEXPR RANGETBLREF RTE RANGETBLENTRY RANGETBLFUNCTION RTEPERMISSIONINFO ALIAS TABLESAMPLECLAUSE \
         SORTGROUPCLAUSE GROUPINGSET WINDOWCLAUSE ROWMARKCLAUSE SETOPERATIONSTMT COMMONTABLEEXPR CTESEARCHCLAUSE \
         CTECYCLECLAUSE WHEN CASEWHEN WITHCHECKOPTION",
    ),
    // Of statements that change something, of the planner, of what the grammar makes before names are looked up, and of
    // statements that no tree keeps.
    (
        Kind::Never,
        "FIELDSTORE SETTODEFAULT CURRENTOFEXPR NEXTVALUEEXPR INFERENCEELEM ONCONFLICTEXPR MERGEACTION MERGESUPPORTFUNC \
         RETURNINGEXPR INTOCLAUSE RANGEVAR PARTITIONBOUNDSPEC PARTITIONRANGEDATUM SUBPLAN ALTERNATIVESUBPLAN \
         WINDOWFUNCRUNCONDITION INLINECODEBLOCK CALLCONTEXT INTLIST OIDLIST INTEGER FLOAT BOOLEAN STRING BITSTRING LIST \
         TYPENAME COLUMNREF PARAMREF AEXPR TYPECAST COLLATECLAUSE ROLESPEC FUNCCALL ASTAR AINDICES AINDIRECTION \
         AARRAYEXPR RESTARGET MULTIASSIGNREF SORTBY WINDOWDEF RANGESUBSELECT RANGEFUNCTION RANGETABLEFUNC \
         RANGETABLEFUNCCOL RANGETABLESAMPLE COLUMNDEF TABLELIKECLAUSE INDEXELEM DEFELEM LOCKINGCLAUSE XMLSERIALIZE \
         PARTITIONELEM PARTITIONSPEC PARTITIONCMD WITHCLAUSE INFERCLAUSE ONCONFLICTCLAUSE MERGEWHENCLAUSE \
         RETURNINGOPTION RETURNINGCLAUSE TRIGGERTRANSITION JSONOUTPUT JSONARGUMENT JSONFUNCEXPR JSONTABLEPATHSPEC \
         JSONTABLE JSONTABLECOLUMN JSONKEYVALUE JSONPARSEEXPR JSONSCALAREXPR JSONSERIALIZEEXPR JSONOBJECTCONSTRUCTOR \
         JSONARRAYCONSTRUCTOR JSONARRAYQUERYCONSTRUCTOR JSONAGGCONSTRUCTOR JSONOBJECTAGG JSONARRAYAGG ACONST ALTERTABLECMD \
         ATALTERCONSTRAINT OBJECTWITHARGS ACCESSPRIV CONSTRAINT CREATEOPCLASSITEM STATSELEM FUNCTIONPARAMETER \
         VACUUMRELATION PUBLICATIONTABLE PUBLICATIONOBJSPEC RAWSTMT RETURNSTMT PLASSIGNSTMT REPLICAIDENTITYSTMT",
    ),
];

/// What to make of a node with this label.
pub(super) fn kind(label: &str) -> Option<Kind> {
    static TABLE: OnceLock<HashMap<&str, Kind>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        KINDS.iter().flat_map(|(kind, labels)| labels.split_ascii_whitespace().map(|label| (label, *kind))).collect()
    });
    table.get(label).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nodes of PostgreSQL 15, of which some have no name in newer ones: those that its `readfuncs.c` reads and no plan
    /// is made of.
    const OF_15: &str = "QUERY WITHCHECKOPTION SORTGROUPCLAUSE GROUPINGSET WINDOWCLAUSE ROWMARKCLAUSE CTESEARCHCLAUSE \
        CTECYCLECLAUSE COMMONTABLEEXPR MERGEWHENCLAUSE MERGEACTION SETOPERATIONSTMT ALIAS RANGEVAR INTOCLAUSE TABLEFUNC \
        VAR CONST PARAM AGGREF GROUPINGFUNC WINDOWFUNC SUBSCRIPTINGREF FUNCEXPR NAMEDARGEXPR OPEXPR DISTINCTEXPR NULLIFEXPR \
        SCALARARRAYOPEXPR BOOLEXPR SUBLINK FIELDSELECT FIELDSTORE RELABELTYPE COERCEVIAIO ARRAYCOERCEEXPR \
        CONVERTROWTYPEEXPR COLLATEEXPR CASEEXPR CASEWHEN CASETESTEXPR ARRAYEXPR ROWEXPR ROWCOMPAREEXPR COALESCEEXPR \
        MINMAXEXPR SQLVALUEFUNCTION XMLEXPR NULLTEST BOOLEANTEST COERCETODOMAIN COERCETODOMAINVALUE SETTODEFAULT \
        CURRENTOFEXPR NEXTVALUEEXPR INFERENCEELEM TARGETENTRY RANGETBLREF JOINEXPR FROMEXPR ONCONFLICTEXPR RANGETBLENTRY \
        RANGETBLFUNCTION TABLESAMPLECLAUSE PARTITIONBOUNDSPEC PARTITIONRANGEDATUM SUBPLAN ALTERNATIVESUBPLAN";

    #[test]
    fn of_every_kind_of_node_it_is_said_what_becomes_of_it() {
        let labels = crate::analyze::kinds::labels();
        assert!(labels.len() > 130, "{}", labels.len());
        let all = labels.iter().map(String::as_str).chain(OF_15.split_ascii_whitespace());
        let unsaid: Vec<&str> = all.filter(|label| kind(label).is_none()).collect();
        assert!(unsaid.is_empty(), "{unsaid:?}");
        let all: Vec<&str> = KINDS.iter().flat_map(|(_, labels)| labels.split_ascii_whitespace()).collect();
        let twice: Vec<&&str> =
            all.iter().filter(|label| all.iter().filter(|other| other == label).count() > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
