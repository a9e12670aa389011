//! The file of `lockgate policy test`: identities, requests, and who gets which verdict.

use crate::excerpt::Page;
use crate::load::{Report, parse, read};
use crate::model::Target;
use crate::raw::Text;
use crate::values;
use lockgate_core::{Action, Identity, IdentityKind, Label, Principal, TargetName};
use lockgate_policy::{Case, CaseResource, Expected, Problem, RequestContext, SqlContext, TargetFacts, nearest};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    identities: BTreeMap<String, Who>,
    cases: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    #[serde(default)]
    groups: BTreeSet<String>,
    kind: Option<Text>,
    #[serde(default)]
    on_behalf_of: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Option<String>,
    request: Asked,
    expect: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: Text,
    target: Text,
    labels: Option<BTreeMap<String, String>>,
    table: Option<String>,
    label: Option<Text>,
    sql: Option<Sql>,
    client_ip: Option<Text>,
    now: Option<Text>,
    grant: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sql {
    #[serde(default)]
    verb: String,
    #[serde(default)]
    tables: BTreeSet<String>,
    #[serde(default)]
    has_where: bool,
    #[serde(default)]
    has_limit: bool,
    statement_count: Option<Spanned<u32>>,
    #[serde(default)]
    opaque: bool,
}

/// Reads the cases in a file: one for each identity of each row. A target's labels are those of `targets`, unless the
/// request gives its own.
///
/// # Errors
/// Every wrong value, or the first mistake of structure.
pub fn load_cases(path: &Path, targets: &[Target]) -> Result<Vec<Case>, Report> {
    let shown = path.display().to_string();
    let text = read(path, &shown).map_err(|p| Report { problems: vec![p] })?;
    let mut page = Page { path: &shown, text: &text, problems: Vec::new() };
    let file: File = parse(&page).map_err(|p| Report { problems: vec![p] })?;
    let mut cases = Vec::new();
    for (number, row) in file.cases.iter().enumerate() {
        let Some(request) = read_request(&row.request, targets, &mut page) else { continue };
        for (user, verdict) in &row.expect {
            let identity = match file.identities.get(user) {
                Some(who) => read_identity(user, who, &file.identities, &mut page),
                None => {
                    let meant = nearest(user, file.identities.keys().map(String::as_str));
                    wrong(&mut page, verdict, format!("there is no identity `{user}`"), meant);
                    continue;
                }
            };
            match verdict.value.parse::<Expected>() {
                Ok(expected) => cases.push(Case {
                    name: format!("{}: {user}", row.name.clone().unwrap_or_else(|| format!("case {}", number + 1))),
                    identity,
                    action: request.action,
                    target: request.target.clone(),
                    resource: request.resource.clone(),
                    context: request.context.clone(),
                    expected,
                }),
                Err(e) => wrong(&mut page, verdict, e.to_string(), None),
            }
        }
    }
    if page.problems.is_empty() { Ok(cases) } else { Err(Report { problems: page.problems }) }
}

fn wrong(page: &mut Page<'_>, text: &Text, message: String, meant: Option<&str>) {
    let problem: Problem = page.at(text.referenced, text.value.chars().count(), message);
    page.problems.push(problem.meaning(meant));
}

/// An identity of the file. Whom it acts for has the groups of the identity of that name; without one nobody knows them.
fn read_identity(user: &str, who: &Who, all: &BTreeMap<String, Who>, page: &mut Page<'_>) -> Identity {
    let kind = read_kind(who, page);
    let mut principal = |user: &String| {
        let known = all.get(user);
        Principal {
            user: user.clone(),
            kind: known.map_or(IdentityKind::Human, |who| read_kind(who, page)),
            groups: known.map(|who| who.groups.clone()),
            directories: Vec::new(),
        }
    };
    Identity {
        user: user.to_owned(),
        groups: who.groups.clone(),
        directories: Vec::new(),
        kind,
        on_behalf_of: who.on_behalf_of.iter().map(&mut principal).collect(),
        token_id: None,
        actions: None,
    }
}

fn read_kind(who: &Who, page: &mut Page<'_>) -> IdentityKind {
    let Some(text) = &who.kind else { return IdentityKind::Human };
    IdentityKind::from_name(&text.value).unwrap_or_else(|| {
        let meant = nearest(&text.value, ["human", "service", "agent"]);
        wrong(page, text, format!("`{}` is not a kind of identity", text.value), meant);
        IdentityKind::Human
    })
}

struct Request {
    action: Action,
    target: TargetFacts,
    resource: CaseResource,
    context: RequestContext,
}

fn read_request(raw: &Asked, targets: &[Target], page: &mut Page<'_>) -> Option<Request> {
    let before = page.problems.len();
    let action = raw.action.value.parse::<Action>().map_err(|e| {
        let meant = nearest(&raw.action.value, Action::ALL.iter().map(|a| a.name()));
        wrong(page, &raw.action, e.to_string(), meant);
    });
    let name = raw.target.value.parse::<TargetName>().map_err(|e| wrong(page, &raw.target, e.to_string(), None));
    let known = targets.iter().find(|t| t.name.as_str() == raw.target.value);
    if known.is_none() && raw.labels.is_none() && !targets.is_empty() {
        let meant = nearest(&raw.target.value, targets.iter().map(|t| t.name.as_str()));
        wrong(page, &raw.target, format!("no target is called `{}`", raw.target.value), meant);
    }
    let labels = raw.labels.clone().or_else(|| known.map(|t| t.labels.clone())).unwrap_or_default();
    let label =
        raw.label.as_ref().map(|text| text.value.parse::<Label>().map_err(|e| wrong(page, text, e.to_string(), None)));
    let label = label.transpose();
    let resource = match (label, &raw.table) {
        (Ok(Some(label)), table) => CaseResource::Label(label, table.clone()),
        (_, Some(table)) => CaseResource::Table(table.clone()),
        (_, None) => CaseResource::Target,
    };
    if let Ok(action) = action {
        let needs_label = matches!(action, Action::Reveal | Action::Infer);
        if needs_label != raw.label.is_some() {
            let message = if needs_label { "needs a `label`" } else { "is not about a `label`" };
            wrong(page, &raw.action, format!("`{action}` {message}"), None);
        }
    }
    let mut context = RequestContext {
        sql: raw.sql.as_ref().map(|sql| SqlContext {
            verb: sql.verb.clone(),
            tables: sql.tables.clone(),
            has_where: sql.has_where,
            has_limit: sql.has_limit,
            statement_count: sql.statement_count.as_ref().map_or(1, |n| n.value),
            opaque: sql.opaque,
        }),
        grant: raw.grant.clone(),
        ..RequestContext::default()
    };
    if let Some(text) = &raw.client_ip {
        match text.value.parse() {
            Ok(ip) => context.client_ip = ip,
            Err(_) => wrong(page, text, format!("`{}` is not an IP address", text.value), None),
        }
    }
    if let Some(text) = &raw.now {
        match values::timestamp(&text.value) {
            Some(now) => context.now = now,
            None => wrong(page, text, format!("`{}` is not a time: write `2026-11-21T09:00:00Z`", text.value), None),
        }
    }
    let target = TargetFacts { name: name.ok()?, labels };
    (page.problems.len() == before).then_some(Request { action: action.ok()?, target, resource, context })
}
