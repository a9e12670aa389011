//! Short ways to read libpg_query's tree: every part of it is optional, and what is missing reads as empty.

use std::borrow::Cow;

use pg_query::NodeEnum;
use pg_query::protobuf::{AConst, Alias, Node, a_const};

/// What a node is.
pub(crate) fn kind(node: &Node) -> Option<&NodeEnum> {
    node.node.as_ref()
}

/// What an optional, boxed node is.
pub(crate) fn kind_of(node: &Option<Box<Node>>) -> Option<&NodeEnum> {
    node.as_deref().and_then(kind)
}

/// A string node's text; empty for any other node.
pub(super) fn text(node: &Node) -> &str {
    match kind(node) {
        Some(NodeEnum::String(s)) => &s.sval,
        _ => "",
    }
}

/// The texts of a list of string nodes.
pub(super) fn texts(nodes: &[Node]) -> impl DoubleEndedIterator<Item = &str> {
    nodes.iter().map(text)
}

/// A dotted name as (schema, name); a database in front is ignored, as it can only be the current one.
pub(crate) fn qualified(nodes: &[Node]) -> (&str, &str) {
    let mut parts = texts(nodes).rev();
    let name = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), name)
}

/// The items of a list node, or the node itself.
pub(crate) fn items(node: &Node) -> &[Node] {
    match kind(node) {
        Some(NodeEnum::List(list)) => &list.items,
        _ => std::slice::from_ref(node),
    }
}

/// A string constant, also behind a cast to `text`: any other type might cut or change it.
pub(super) fn literal(node: &Node) -> Option<&str> {
    match kind(node)? {
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Sval(s)), .. }) => Some(&s.sval),
        NodeEnum::TypeCast(cast) => {
            let target = cast.type_name.as_ref()?;
            let plain = target.typmods.is_empty() && target.array_bounds.is_empty();
            let text = matches!(qualified(&target.names), ("" | "pg_catalog", "text"));
            if plain && text { literal(cast.arg.as_deref()?) } else { None }
        }
        NodeEnum::String(s) => Some(&s.sval),
        _ => None,
    }
}

/// The relation that a constant of type `regclass` names, or a text that is taken for one.
pub(super) fn relation_name(node: &Node) -> Option<&str> {
    match kind(node)? {
        NodeEnum::TypeCast(cast) => {
            let target = cast.type_name.as_ref()?;
            matches!(qualified(&target.names), ("" | "pg_catalog", "regclass"))
                .then(|| relation_name(cast.arg.as_deref()?))?
        }
        _ => literal(node),
    }
}

/// The argument at this place, if arguments go by place only.
pub(super) fn argument(arguments: &[Node], at: usize) -> Option<&Node> {
    let named = arguments.iter().any(|a| matches!(kind(a), Some(NodeEnum::NamedArgExpr(_))));
    if named { None } else { arguments.get(at) }
}

/// An integer constant.
pub(super) fn integer(node: &Node) -> Option<usize> {
    match kind(node)? {
        NodeEnum::AConst(AConst { val: Some(a_const::Val::Ival(i)), .. }) => usize::try_from(i.ival).ok(),
        NodeEnum::Integer(i) => usize::try_from(i.ival).ok(),
        _ => None,
    }
}

/// Whether the expression is a constant or a parameter, also behind casts.
pub(super) fn is_constant(node: &Node) -> bool {
    match kind(node) {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_constant),
        _ => false,
    }
}

/// Whether the expression is NULL, as in `LIMIT ALL`.
pub(super) fn is_null(node: &Node) -> bool {
    matches!(kind(node), Some(NodeEnum::AConst(AConst { isnull: true, .. })))
}

/// The names an alias gives to columns.
pub(super) fn column_aliases(alias: Option<&Alias>) -> impl Iterator<Item = &str> {
    texts(alias.map(|a| a.colnames.as_slice()).unwrap_or_default())
}

/// The name the server gives to an output column without an alias (`FigureColname` of the server's parser).
pub(super) fn output_name(node: &Node) -> Cow<'_, str> {
    figure(node).unwrap_or(Cow::Borrowed("?column?"))
}

fn figure(node: &Node) -> Option<Cow<'_, str>> {
    let last =
        |nodes: &'_ [Node]| nodes.iter().rev().map(text).find(|s| !s.is_empty()).map(str::to_owned).map(Cow::Owned);
    Some(match kind(node)? {
        NodeEnum::ColumnRef(c) => return last(&c.fields),
        NodeEnum::AIndirection(i) => return last(&i.indirection).or_else(|| figure(i.arg.as_deref()?)),
        NodeEnum::FuncCall(f) => return last(&f.funcname),
        NodeEnum::TypeCast(c) => {
            return figure(c.arg.as_deref()?).or_else(|| last(&c.type_name.as_ref()?.names));
        }
        NodeEnum::CollateClause(c) => return figure(c.arg.as_deref()?),
        NodeEnum::CaseExpr(c) => {
            return c.defresult.as_deref().and_then(figure).or(Some(Cow::Borrowed("case")));
        }
        NodeEnum::AArrayExpr(_) => Cow::Borrowed("array"),
        NodeEnum::RowExpr(_) => Cow::Borrowed("row"),
        NodeEnum::CoalesceExpr(_) => Cow::Borrowed("coalesce"),
        NodeEnum::MinMaxExpr(m) => Cow::Borrowed(match m.op() {
            pg_query::protobuf::MinMaxOp::IsLeast => "least",
            _ => "greatest",
        }),
        NodeEnum::AExpr(e) if e.kind() == pg_query::protobuf::AExprKind::AexprNullif => Cow::Borrowed("nullif"),
        NodeEnum::GroupingFunc(_) => Cow::Borrowed("grouping"),
        NodeEnum::SubLink(s) => match s.sub_link_type() {
            pg_query::protobuf::SubLinkType::ExistsSublink => Cow::Borrowed("exists"),
            pg_query::protobuf::SubLinkType::ArraySublink => Cow::Borrowed("array"),
            pg_query::protobuf::SubLinkType::ExprSublink => match kind_of(&s.subselect)? {
                NodeEnum::SelectStmt(q) => match kind(q.target_list.first()?)? {
                    NodeEnum::ResTarget(t) if !t.name.is_empty() => Cow::Borrowed(t.name.as_str()),
                    NodeEnum::ResTarget(t) => return figure(t.val.as_deref()?),
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        },
        NodeEnum::SqlvalueFunction(f) => {
            // `current_date` and its kin are named after themselves: SVFOP_CURRENT_DATE and so on.
            let name = f.op().as_str_name().to_ascii_lowercase();
            Cow::Owned(name.trim_start_matches("svfop_").trim_end_matches("_n").to_owned())
        }
        _ => return None,
    })
}
