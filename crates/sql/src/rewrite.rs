//! Mask at read: each relation with hidden columns that a text reads is replaced, where its name stands, by a sub-select
//! that yields constants for these columns, so that predicates, joins, order and counts see nothing but constants.
//!
//! The result is a text like any other and is analysed anew: what this file leaves as it was (a sampled table, the target
//! of an UPDATE, what a view or function reads inside) is judged by the ordinary rules. A mistake here can make a
//! statement fail; it cannot make it harmless in the judge's eyes when it is not.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, Node, ObjectType, ScanToken, Token};

use crate::analyze::{Analyzer, Context, Read};
use crate::catalog::Catalog;
use crate::catalog::facts::ColumnFacts;
use crate::parse;
use crate::statement::{Unparsable, Why};
use crate::taint::{ColumnId, Taint};

/// What decides about the columns of a rewritten text.
pub struct Hiding<'a> {
    /// Whether a labelled column may not be seen.
    pub hidden: &'a dyn Fn(ColumnId) -> bool,
    /// The text form of the constant that stands for a value of this type; `None` where only NULL fits.
    pub constant: &'a dyn Fn(u32) -> Option<String>,
}

/// The text with every read of a relation that has hidden columns replaced. `None` when there is nothing to replace.
pub fn rewrite(text: &str, context: &Context<'_>, hiding: &Hiding<'_>) -> Result<Option<String>, Unparsable> {
    let found = parse::with_tree(text, false, |tree| {
        let mut found: Vec<Found> = Vec::new();
        for raw in &tree.stmts {
            let Some(node) = raw.stmt.as_deref() else { continue };
            let Some(whole) = rewritable(node) else { continue };
            let mut analyzer = Analyzer::new(context, &[]);
            analyzer.statement(node);
            if analyzer.exhausted() {
                return Err(Unparsable { why: Why::Unanalysed("too much work"), offset: None });
            }
            let copied = whole.and_then(|copy| {
                let columns = tree_texts(&copy.attlist);
                Some((copy.relation.as_ref()?.location, columns))
            });
            found.extend(analyzer.read.iter().map(|read| Found {
                read: *read,
                copied: copied.as_ref().filter(|(at, _)| *at == read.at).map(|(_, columns)| columns.clone()),
            }));
        }
        Ok(found)
    })??;
    let mut edits = Vec::new();
    let mut tokens: Option<Vec<ScanToken>> = None;
    for found in &found {
        let Some(select) = masked_select(found, context.catalog, hiding) else { continue };
        if tokens.is_none() {
            let scanned = crate::parse::tokens(text)
                .map_err(|_| Unparsable { why: Why::Unanalysed("the scanner failed"), offset: None })?;
            tokens = Some(
                scanned.into_iter().filter(|t| !matches!(t.token(), Token::SqlComment | Token::CComment)).collect(),
            );
        }
        let place = tokens.as_deref().and_then(|tokens| place(found, tokens));
        let Some(Place { bytes, query }) = place.filter(|p| text.get(p.bytes.clone()).is_some()) else {
            return Err(Unparsable {
                why: Why::Unanalysed("a relation's name is not where it should be"),
                offset: None,
            });
        };
        edits.push((bytes, if query { format!("SELECT * FROM {select}") } else { select }));
    }
    if edits.is_empty() {
        return Ok(None);
    }
    edits.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    let mut done = 0;
    for (place, select) in &edits {
        // Two reads of one place would be a defect of the walk: nothing is replaced twice.
        let Some(before) = text.get(done..place.start) else {
            return Err(Unparsable { why: Why::Unanalysed("two relations in one place"), offset: None });
        };
        out.push_str(before);
        out.push_str(select);
        done = place.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Ok(Some(out))
}

/// A read of the text; of `COPY relation`, with the columns it lists.
struct Found {
    read: Read,
    copied: Option<Vec<String>>,
}

/// Whether reads in this statement are replaced, and the COPY whose relation itself is read. What defines a view, a
/// function or a rule keeps its text: it would outlive the identity it was rewritten for.
fn rewritable(node: &Node) -> Option<Option<&CopyStmt>> {
    match node.node.as_ref()? {
        NodeEnum::SelectStmt(_)
        | NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_)
        | NodeEnum::DeclareCursorStmt(_) => Some(None),
        NodeEnum::ExplainStmt(explain) => rewritable(explain.query.as_deref()?),
        NodeEnum::PrepareStmt(prepare) => rewritable(prepare.query.as_deref()?),
        NodeEnum::CreateTableAsStmt(create) if create.objtype() == ObjectType::ObjectTable => Some(None),
        NodeEnum::CopyStmt(copy) if !copy.is_from => Some(Some(copy)),
        _ => None,
    }
}

fn tree_texts(nodes: &[Node]) -> Vec<String> {
    nodes
        .iter()
        .filter_map(|node| match node.node.as_ref() {
            Some(NodeEnum::String(s)) => Some(s.sval.clone()),
            _ => None,
        })
        .collect()
}

/// What stands in the relation's place, if it has a hidden column.
fn masked_select(found: &Found, catalog: &Catalog, hiding: &Hiding<'_>) -> Option<String> {
    let relation = catalog.relation(found.read.relation)?;
    let lineage = catalog.lineage(found.read.relation, &[]);
    let is_hidden = |taint: &Taint| taint.is_unknown() || taint.columns().iter().any(|column| (hiding.hidden)(*column));
    let columns = &relation.facts.columns;
    let hidden: Vec<bool> = (0..columns.len()).map(|at| lineage.columns.get(at).is_none_or(&is_hidden)).collect();
    if !hidden.contains(&true) {
        return None;
    }
    let shown = |(column, hidden): (&ColumnFacts, &bool)| {
        let name = quoted(&column.name);
        if *hidden { format!("{} AS {name}", constant(column, catalog, hiding)) } else { format!("\"of\".{name}") }
    };
    let listed: Vec<String> = match &found.copied {
        None => columns.iter().zip(&hidden).map(shown).collect(),
        // COPY leaves generated columns out unless they are named.
        Some(names) if names.is_empty() => {
            columns.iter().zip(&hidden).filter(|(c, _)| c.generated.is_none()).map(shown).collect()
        }
        Some(names) => names
            .iter()
            .filter_map(|name| columns.iter().zip(&hidden).find(|(c, _)| c.name == *name))
            .map(shown)
            .collect(),
    };
    // COPY of a table takes the table alone, without what inherits from it.
    let only = if found.read.only || found.copied.is_some() { "ONLY " } else { "" };
    let (schema, name) = (quoted(&relation.facts.schema), quoted(&relation.facts.name));
    let alias = if found.read.aliased || found.copied.is_some() { String::new() } else { format!(" AS {name}") };
    Some(format!("(SELECT {} FROM {only}{schema}.{name} AS \"of\"){alias}", listed.join(", ")))
}

/// A constant of the column's type; of a type without one, NULL.
fn constant(column: &ColumnFacts, catalog: &Catalog, hiding: &Hiding<'_>) -> String {
    let value = (hiding.constant)(column.type_oid).map_or_else(|| "NULL".to_owned(), |text| literal(&text));
    match type_name(column.type_oid, catalog) {
        Some((name, true)) => format!("{value}::{name}"),
        // A domain's own checks may refuse the constant.
        Some((name, false)) => format!("NULL::{name}"),
        None => "NULL".to_owned(),
    }
}

/// The type's name as SQL, and whether the constant is one of its values.
fn type_name(oid: u32, catalog: &Catalog) -> Option<(String, bool)> {
    if let Some((_, name)) = SERVER_TYPES.iter().find(|(known, _)| *known == oid) {
        return Some((format!("pg_catalog.{}", quoted(name)), true));
    }
    let mut facts = catalog.types().get(&oid)?;
    // What a domain is over, as the server describes its columns too.
    for _ in 0..lockgate_core::limits::SQL_DEPTH_MAX {
        if facts.kind != 'd' {
            break;
        }
        if let Some((_, name)) = SERVER_TYPES.iter().find(|(known, _)| *known == facts.base) {
            return Some((format!("pg_catalog.{}", quoted(name)), true));
        }
        facts = catalog.types().get(&facts.base)?;
    }
    let fits = matches!(facts.kind, 'A' | 'r' | 'm');
    Some((format!("{}.{}", quoted(&facts.schema), quoted(&facts.name)), fits))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant as the server reads it with `standard_conforming_strings`.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Where a relation stands.
struct Place {
    /// The bytes to replace: the name with its schema, `ONLY` before it, `*` and the list of a COPY after it.
    bytes: Range<usize>,
    /// It is the query `TABLE name`, whose first word is among the bytes.
    query: bool,
}

fn place(found: &Found, tokens: &[ScanToken]) -> Option<Place> {
    let first = tokens.iter().position(|t| t.start == found.read.at)?;
    let is = |at: Option<usize>, token: Token| at.and_then(|at| tokens.get(at)).is_some_and(|t| t.token() == token);
    let mut last = first;
    // Dot.
    while is(last.checked_add(1), Token::Ascii46) {
        last = last.checked_add(2)?;
    }
    let mut begin = first;
    if found.read.only {
        if is(first.checked_sub(1), Token::Only) {
            begin = first.checked_sub(1)?;
        } else if is(first.checked_sub(1), Token::Ascii40) && is(first.checked_sub(2), Token::Only) {
            begin = first.checked_sub(2)?;
            last = last.checked_add(1)?;
        }
    }
    // Star.
    if is(last.checked_add(1), Token::Ascii42) {
        last = last.checked_add(1)?;
    }
    if found.copied.is_some() && is(last.checked_add(1), Token::Ascii40) {
        while !is(Some(last), Token::Ascii41) {
            last = last.checked_add(1)?;
            tokens.get(last)?;
        }
    }
    let query = is(begin.checked_sub(1), Token::Table);
    if query {
        begin = begin.checked_sub(1)?;
    }
    let start = usize::try_from(tokens.get(begin)?.start).ok()?;
    let end = usize::try_from(tokens.get(last)?.end).ok()?;
    Some(Place { bytes: start..end, query })
}

/// The server's own types that columns have, by `pg_type.oid`; an array's name begins with an underscore.
const SERVER_TYPES: &[(u32, &str)] = &[
    (16, "bool"),
    (17, "bytea"),
    (18, "char"),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (142, "xml"),
    (199, "_json"),
    (600, "point"),
    (601, "lseg"),
    (602, "path"),
    (603, "box"),
    (604, "polygon"),
    (628, "line"),
    (650, "cidr"),
    (700, "float4"),
    (701, "float8"),
    (718, "circle"),
    (774, "macaddr8"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1000, "_bool"),
    (1001, "_bytea"),
    (1002, "_char"),
    (1003, "_name"),
    (1005, "_int2"),
    (1007, "_int4"),
    (1009, "_text"),
    (1014, "_bpchar"),
    (1015, "_varchar"),
    (1016, "_int8"),
    (1021, "_float4"),
    (1022, "_float8"),
    (1028, "_oid"),
    (1041, "_inet"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1115, "_timestamp"),
    (1182, "_date"),
    (1183, "_time"),
    (1184, "timestamptz"),
    (1185, "_timestamptz"),
    (1186, "interval"),
    (1187, "_interval"),
    (1231, "_numeric"),
    (1266, "timetz"),
    (1560, "bit"),
    (1562, "varbit"),
    (1700, "numeric"),
    (2950, "uuid"),
    (2951, "_uuid"),
    (3614, "tsvector"),
    (3615, "tsquery"),
    (3802, "jsonb"),
    (3807, "_jsonb"),
    (3904, "int4range"),
    (3906, "numrange"),
    (3908, "tsrange"),
    (3910, "tstzrange"),
    (3912, "daterange"),
    (3926, "int8range"),
    (4451, "int4multirange"),
    (4532, "nummultirange"),
    (4533, "tsmultirange"),
    (4534, "tstzmultirange"),
    (4535, "datemultirange"),
    (4536, "int8multirange"),
];
