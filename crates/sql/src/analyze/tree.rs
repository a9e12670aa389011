//! Short ways to read libpg_query's tree: every part of it is optional, and what is missing reads as empty.

use std::borrow::Cow;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AConst, AExprKind, Alias, CoercionForm, JsonExprOp, MinMaxOp, Node, SelectStmt, SubLinkType, XmlExprOp, a_const,
};

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

/// A column's name, as far as it is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named<'t> {
    pub(super) name: Cow<'t, str>,
    /// It is what the server may make up in another way.
    pub(super) guessed: bool,
}

/// The name the server gives to an output column without an alias (`FigureColname` of the server's parser). It is certain
/// where the text itself has it: a column, a field, a function that is called by its name. Whatever else the server calls a
/// value is its own affair: it differs between versions, and follows from what a sub-select is found to have.
pub(super) fn output_name(node: &Node) -> Named<'_> {
    let (name, strength) = figure(node);
    match strength {
        Strength::Text => Named { name, guessed: false },
        Strength::Nothing => Named { name: Cow::Borrowed("?column?"), guessed: true },
        Strength::Weak | Strength::Strong => Named { name, guessed: true },
    }
}

/// How much there is to a name: a strong one is kept by what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Nothing,
    Weak,
    Strong,
    /// Strong, and written in the text.
    Text,
}

fn figure(node: &Node) -> (Cow<'_, str>, Strength) {
    const NOTHING: (Cow<'static, str>, Strength) = (Cow::Borrowed(""), Strength::Nothing);
    fn last(nodes: &[Node]) -> Option<&str> {
        nodes.iter().rev().map(text).find(|name| !name.is_empty())
    }
    let strong = |name: &'static str| (Cow::Borrowed(name), Strength::Strong);
    let Some(kind) = kind(node) else { return NOTHING };
    match kind {
        NodeEnum::ColumnRef(c) => last(&c.fields).map_or(NOTHING, |name| (Cow::Borrowed(name), Strength::Text)),
        NodeEnum::AIndirection(i) => match (last(&i.indirection), i.arg.as_deref()) {
            (Some(name), _) => (Cow::Borrowed(name), Strength::Text),
            (None, Some(arg)) => figure(arg),
            (None, None) => NOTHING,
        },
        NodeEnum::FuncCall(f) => {
            // What the grammar makes a call of (EXTRACT, TRIM, AT TIME ZONE) is called this or that.
            let called = f.funcformat() == CoercionForm::CoerceExplicitCall;
            let strength = if called { Strength::Text } else { Strength::Strong };
            last(&f.funcname).map_or(NOTHING, |name| (Cow::Borrowed(name), strength))
        }
        NodeEnum::TypeCast(c) => {
            let inner = c.arg.as_deref().map_or(NOTHING, figure);
            let target = c.type_name.as_ref().and_then(|target| last(&target.names));
            match (inner.1, target) {
                (Strength::Nothing | Strength::Weak, Some(target)) => (Cow::Borrowed(target), Strength::Weak),
                _ => inner,
            }
        }
        NodeEnum::CollateClause(c) => c.arg.as_deref().map_or(NOTHING, figure),
        NodeEnum::CaseExpr(c) => match c.defresult.as_deref().map_or(NOTHING, figure) {
            (_, Strength::Nothing | Strength::Weak) => (Cow::Borrowed("case"), Strength::Weak),
            // That an ELSE gives its name is not worth relying on.
            (name, _) => (name, Strength::Strong),
        },
        NodeEnum::AArrayExpr(_) => strong("array"),
        NodeEnum::RowExpr(_) => strong("row"),
        NodeEnum::CoalesceExpr(_) => strong("coalesce"),
        NodeEnum::MinMaxExpr(m) => strong(match m.op() {
            MinMaxOp::IsLeast => "least",
            _ => "greatest",
        }),
        NodeEnum::AExpr(e) if e.kind() == AExprKind::AexprNullif => strong("nullif"),
        NodeEnum::GroupingFunc(_) => strong("grouping"),
        NodeEnum::MergeSupportFunc(_) => strong("merge_action"),
        NodeEnum::SubLink(s) => match s.sub_link_type() {
            SubLinkType::ExistsSublink => strong("exists"),
            SubLinkType::ArraySublink => strong("array"),
            SubLinkType::ExprSublink => match kind_of(&s.subselect) {
                Some(NodeEnum::SelectStmt(query)) => (first_output(query), Strength::Strong),
                _ => NOTHING,
            },
            _ => NOTHING,
        },
        NodeEnum::SqlvalueFunction(f) => {
            // `current_date` and its kin are named after themselves: SVFOP_CURRENT_DATE and so on.
            let name = f.op().as_str_name().to_ascii_lowercase();
            let name = name.trim_start_matches("svfop_").trim_end_matches("_n").to_owned();
            (Cow::Owned(name), Strength::Strong)
        }
        NodeEnum::XmlExpr(e) => match e.op() {
            XmlExprOp::IsXmlconcat => strong("xmlconcat"),
            XmlExprOp::IsXmlelement => strong("xmlelement"),
            XmlExprOp::IsXmlforest => strong("xmlforest"),
            XmlExprOp::IsXmlparse => strong("xmlparse"),
            XmlExprOp::IsXmlpi => strong("xmlpi"),
            XmlExprOp::IsXmlroot => strong("xmlroot"),
            _ => NOTHING,
        },
        NodeEnum::XmlSerialize(_) => strong("xmlserialize"),
        NodeEnum::JsonParseExpr(_) => strong("json"),
        NodeEnum::JsonScalarExpr(_) => strong("json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => strong("json_serialize"),
        NodeEnum::JsonObjectConstructor(_) => strong("json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => strong("json_array"),
        NodeEnum::JsonObjectAgg(_) => strong("json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => strong("json_arrayagg"),
        NodeEnum::JsonFuncExpr(e) => match e.op() {
            JsonExprOp::JsonExistsOp => strong("json_exists"),
            JsonExprOp::JsonQueryOp => strong("json_query"),
            JsonExprOp::JsonValueOp => strong("json_value"),
            _ => NOTHING,
        },
        _ => NOTHING,
    }
}

/// What the only column of a sub-select is called.
fn first_output(query: &SelectStmt) -> Cow<'_, str> {
    if !query.values_lists.is_empty() {
        return Cow::Borrowed("column1");
    }
    if let Some(left) = query.larg.as_deref() {
        return first_output(left);
    }
    match query.target_list.first().and_then(kind) {
        Some(NodeEnum::ResTarget(target)) if !target.name.is_empty() => Cow::Borrowed(target.name.as_str()),
        Some(NodeEnum::ResTarget(target)) => {
            target.val.as_deref().map_or(Cow::Borrowed("?column?"), |value| output_name(value).name)
        }
        _ => Cow::Borrowed("?column?"),
    }
}
