//! `/Groups`: groups of the directory that calls, and who is in them.

use super::error::ScimError;
use super::{Answer, Asked, Body, Directory, One, asked, listed, object, patch, resource};
use crate::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use lockgate_core::limits;
use lockgate_store::{Group, GroupChange, GroupFilter, NewGroup, PeopleFilter, clock};
use serde_json::{Value, json};

pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    query: Asked,
) -> Result<Answer, ScimError> {
    let query = asked(query)?;
    let mut filter = GroupFilter { source: Some(directory.source.clone()), ..GroupFilter::default() };
    let (start, count) = (query.start(), query.count());
    let (total, groups) = match query.comparison(&["displayName", "externalId", "id"])? {
        Some(("id", id)) => {
            let found = state.store.group(&directory.source, &id).await?;
            (u64::from(found.is_some()), found.into_iter().collect())
        }
        named => {
            match named {
                Some(("displayName", name)) => filter.name = Some(name),
                Some((_, name)) => filter.external_id = Some(name),
                None => {}
            }
            let total = state.store.count_groups(&filter).await?;
            let groups = match count {
                0 => Vec::new(),
                limit => state.store.list_groups(&GroupFilter { skip: start - 1, limit, ..filter }).await?,
            };
            (total, groups)
        }
    };
    // The members of many groups are more than one answer should hold: they are had group by group.
    let with_members = groups.len() == 1 && !query.excludes("members");
    let mut views = Vec::with_capacity(groups.len());
    for group in &groups {
        let members = if with_members { members(&state, group).await? } else { None };
        views.push(view(group, members));
    }
    Ok(listed(total, start, views))
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    body: Body,
) -> Result<Answer, ScimError> {
    let written = patch::group(&object(body)?)?;
    let source = directory.source;
    let new = NewGroup {
        source: source.clone(),
        name: written.name.unwrap_or_default(),
        external_id: written.external_id.flatten(),
        members: written.members.unwrap_or_default(),
    };
    let group = state.store.create_group(new, &source, clock::now()).await?;
    let members = members(&state, &group).await?;
    Ok(Answer(StatusCode::CREATED, view(&group, members)))
}

pub(super) async fn show(one: One, query: Asked) -> Result<Answer, ScimError> {
    let without = query.is_ok_and(|query| query.excludes("members"));
    let group = one.found(one.state.store.group(&one.source, &one.id).await?)?;
    let members = if without { None } else { members(&one.state, &group).await? };
    Ok(Answer(StatusCode::OK, view(&group, members)))
}

pub(super) async fn replace(one: One, body: Body) -> Result<Answer, ScimError> {
    let group = change(&one, patch::group(&object(body)?)?).await?;
    let members = members(&one.state, &group).await?;
    Ok(Answer(StatusCode::OK, view(&group, members)))
}

pub(super) async fn patch(one: One, body: Body) -> Result<StatusCode, ScimError> {
    change(&one, patch::group_patch(&object(body)?)?).await.map(|_| StatusCode::NO_CONTENT)
}

async fn change(one: &One, change: GroupChange) -> Result<Group, ScimError> {
    let One { state, source, id } = one;
    one.found(state.store.change_group(source, id, change, source, clock::now()).await?)
}

pub(super) async fn remove(one: One) -> Result<StatusCode, ScimError> {
    let One { state, source, id } = &one;
    one.removed(state.store.remove_group(source, id, source, clock::now()).await?)
}

/// Who is in a group. `None` where that is more than one answer holds: it is left out then, never cut short.
async fn members(state: &ApiState, group: &Group) -> Result<Option<Vec<Value>>, ScimError> {
    let mut filter = PeopleFilter {
        source: Some(group.source.clone()),
        group: Some(group.id.clone()),
        limit: limits::LIST_PAGE_MAX,
        ..PeopleFilter::default()
    };
    let mut all = Vec::new();
    loop {
        let page = state.store.list_people(&filter).await?;
        if page.is_empty() {
            return Ok(Some(all));
        }
        filter.skip += page.len();
        all.extend(page.iter().map(|person| json!({"value": person.id, "display": person.user})));
        if all.len() > limits::SCIM_MEMBERS_SHOWN_MAX {
            return Ok(None);
        }
    }
}

fn view(group: &Group, members: Option<Vec<Value>>) -> Value {
    let members = members.map(|members| ("members", members.into()));
    let own = [("displayName", json!(group.name))].into_iter().chain(members);
    resource("Group", &group.id, (group.created, group.updated), group.external_id.as_deref(), own)
}
