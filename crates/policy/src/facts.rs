//! A question in Cedar's terms: the few entities that it is about, and the part of the context that somebody reads.

use crate::Policies;
use crate::question::{Question, RequestContext, Resource};
use crate::rule::Reads;
use crate::schema::Names;
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use lockgate_core::Standing;
use std::borrow::Cow;
use std::collections::HashSet;

/// The principal and the resource of a question, with everything they are in.
pub(crate) struct Facts<'a> {
    pub(crate) principal: Standing<'a>,
    pub(crate) resource_kind: &'static str,
    pub(crate) resource_id: Cow<'a, str>,
    pub(crate) resource_ancestors: Vec<(&'static str, Cow<'a, str>)>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(question: &Question<'a>, principal: Standing<'a>) -> Self {
        let target = question.resource.target();
        let labels = || target.labels.iter().map(|(key, value)| ("TargetLabel", Cow::Owned(format!("{key}={value}"))));
        let name = target.name.as_str();
        let (resource_kind, resource_id, resource_ancestors) = match question.resource {
            Resource::Target(_) => ("Target", Cow::Borrowed(name), labels().collect()),
            Resource::Table { name: table, .. } => {
                let within = std::iter::once(("Target", Cow::Borrowed(name))).chain(labels()).collect();
                ("Table", Cow::Owned(format!("{name}/{table}")), within)
            }
            Resource::Label { label, .. } => {
                let above = label.ancestors().map(|a| ("Label", Cow::Borrowed(a))).collect();
                ("Label", Cow::Borrowed(label.as_str()), above)
            }
        };
        Facts { principal, resource_kind, resource_id, resource_ancestors }
    }
}

/// A question that Cedar can be asked about any number of policies.
pub(crate) struct Asked {
    request: Request,
    entities: Entities,
    authorizer: Authorizer,
}

impl Asked {
    /// Whether the one policy in `single` is satisfied; the error says why that cannot be told.
    pub(crate) fn evaluate(&self, single: &PolicySet) -> Result<bool, String> {
        let response = self.authorizer.is_authorized(&self.request, single, &self.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(error.to_string());
        }
        Ok(response.diagnostics().reason().next().is_some())
    }
}

impl Policies {
    /// Puts `question` in Cedar's terms, with the attributes of the context that `reads` names.
    pub(crate) fn ask(&self, question: &Question<'_>, facts: &Facts<'_>, reads: Reads) -> Result<Asked, String> {
        let names = &self.names;
        let uid = |kind: &EntityTypeName, id: &str| EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
        let principal = uid(&names.user, facts.principal.user);
        let resource = uid(names.kind(facts.resource_kind), &facts.resource_id);
        let target = question.resource.target();
        let target_uid = uid(&names.target, target.name.as_str());

        let groups: HashSet<EntityUid> = facts.principal.groups.iter().map(|g| uid(&names.group, g)).collect();
        let above: HashSet<EntityUid> =
            facts.resource_ancestors.iter().map(|(kind, id)| uid(names.kind(kind), id)).collect();
        let mut entities =
            vec![Entity::new_no_attrs(principal.clone(), groups), Entity::new_no_attrs(resource.clone(), above)];
        if reads.has(Reads::TARGET | Reads::TABLE) {
            let labels: HashSet<EntityUid> =
                target.labels.iter().map(|(key, value)| uid(&names.target_label, &format!("{key}={value}"))).collect();
            if let Some(table) = table_of(question) {
                let mut within = labels.clone();
                within.insert(target_uid.clone());
                let table = uid(&names.table, &table);
                if table != resource {
                    entities.push(Entity::new_no_attrs(table, within));
                }
            }
            if target_uid != resource {
                entities.push(Entity::new_no_attrs(target_uid.clone(), labels));
            }
        }
        let pairs = context_pairs(question, facts.principal, names, target_uid, reads).map_err(|e| e.to_string())?;
        let context = Context::from_pairs(pairs).map_err(|e| e.to_string())?;
        let action = names.action(question.action).clone();
        let request = Request::new(principal, action, resource, context, None).map_err(|e| e.to_string())?;
        let entities = Entities::from_entities(entities, None).map_err(|e| e.to_string())?;
        Ok(Asked { request, entities, authorizer: Authorizer::new() })
    }
}

/// The table a question is about, as `target/schema.table`.
fn table_of(question: &Question<'_>) -> Option<String> {
    match question.resource {
        Resource::Target(_) => None,
        Resource::Table { target, name } => Some(format!("{}/{name}", target.name)),
        Resource::Label { target, table, .. } => table.map(|name| format!("{}/{name}", target.name)),
    }
}

type Pair = (String, RestrictedExpression);
type Built<T> = Result<T, cedar_policy::ExpressionConstructionError>;

fn context_pairs(
    question: &Question<'_>,
    principal: Standing<'_>,
    names: &Names,
    target: EntityUid,
    reads: Reads,
) -> Built<Vec<Pair>> {
    let context = question.context;
    let table = table_of(question);
    let mut pairs: Vec<Pair> = Vec::new();
    let mut add = |bit: Reads, name: &str, make: &dyn Fn() -> Built<RestrictedExpression>| -> Built<()> {
        if reads.has(bit) {
            pairs.push((name.to_owned(), make()?));
        }
        Ok(())
    };
    add(Reads::SQL, "sql", &|| {
        let empty = crate::SqlContext::default();
        let sql = context.sql.as_ref().unwrap_or(&empty);
        record([
            ("verb", text(&sql.verb)),
            ("tables", texts(sql.tables.iter())),
            ("has_where", RestrictedExpression::new_bool(sql.has_where)),
            ("has_limit", RestrictedExpression::new_bool(sql.has_limit)),
            ("statement_count", RestrictedExpression::new_long(i64::from(sql.statement_count))),
            ("opaque", RestrictedExpression::new_bool(sql.opaque)),
        ])
    })?;
    add(Reads::COMMAND, "command", &|| {
        let empty = crate::CommandContext::default();
        let command = context.command.as_ref().unwrap_or(&empty);
        record([("argv", texts(command.argv.iter())), ("program", text(&command.program))])
    })?;
    add(Reads::HTTP, "http", &|| {
        let empty = crate::HttpContext::default();
        let http = context.http.as_ref().unwrap_or(&empty);
        record([("method", text(&http.method)), ("path", text(&http.path)), ("host", text(&http.host))])
    })?;
    add(Reads::KUBE, "kube", &|| {
        let empty = crate::KubeContext::default();
        let kube = context.kube.as_ref().unwrap_or(&empty);
        record([
            ("verb", text(&kube.verb)),
            ("resource", text(&kube.resource)),
            ("namespace", text(&kube.namespace)),
            ("name", text(&kube.name)),
        ])
    })?;
    add(Reads::MCP, "mcp", &|| {
        let empty = crate::McpContext::default();
        let mcp = context.mcp.as_ref().unwrap_or(&empty);
        let arguments = mcp.arguments.iter().map(|(name, value)| text(&format!("{name}={value}")));
        record([("tool", text(&mcp.tool)), ("arguments", RestrictedExpression::new_set(arguments))])
    })?;
    add(Reads::CLIENT, "client", &|| {
        // An IPv4 client of a listener on `::` is the IPv4 address that policies name.
        record([("ip", RestrictedExpression::new_ip(context.client_ip.to_canonical().to_string()))])
    })?;
    add(Reads::NOW, "now", &|| Ok(RestrictedExpression::new_datetime(context.now.to_string())))?;
    add(Reads::IDENTITY, "identity", &|| identity(principal))?;
    add(Reads::GRANT, "grant", &|| Ok(text(context.grant.as_deref().unwrap_or_default())))?;
    add(Reads::TARGET, "target", &|| Ok(RestrictedExpression::new_entity_uid(target.clone())))?;
    add(Reads::TABLE, "table", &|| {
        let id = EntityId::new(table.as_deref().unwrap_or_default());
        Ok(RestrictedExpression::new_entity_uid(EntityUid::from_type_name_and_id(names.table.clone(), id)))
    })?;
    add(Reads::PRESENT, "present", &|| Ok(RestrictedExpression::new_set(present(context, table.is_some()).map(text))))?;
    Ok(pairs)
}

fn identity(principal: Standing<'_>) -> Built<RestrictedExpression> {
    record([("kind", text(principal.kind.name())), ("on_behalf_of", texts(principal.acts_for.iter().map(|p| &p.user)))])
}

/// The optional parts that a request has.
fn present(context: &RequestContext, table: bool) -> impl Iterator<Item = &'static str> {
    [
        ("sql", context.sql.is_some()),
        ("command", context.command.is_some()),
        ("http", context.http.is_some()),
        ("kube", context.kube.is_some()),
        ("mcp", context.mcp.is_some()),
        ("grant", context.grant.is_some()),
        ("table", table),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<'a>(values: impl Iterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(|v| text(v)))
}

fn record<const N: usize>(fields: [(&str, RestrictedExpression); N]) -> Built<RestrictedExpression> {
    RestrictedExpression::new_record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)))
}
