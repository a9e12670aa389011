//! `/Groups`: groups of the directory that calls, and who is in them.

use super::error::ScimError;
use super::filter::Query;
use super::{Answer, Directory, listed, object, patch};
use crate::state::ApiState;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lockgate_core::limits;
use lockgate_store::{Group, GroupFilter, NewGroup, PeopleFilter, clock};
use serde_json::{Value, json};

type Body = Result<Bytes, BytesRejection>;
type Asked = Result<axum::extract::Query<Query>, QueryRejection>;

pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    query: Asked,
) -> Result<Answer, ScimError> {
    let query = query.map_err(|error| ScimError::bad("invalidValue", error.body_text()))?.0;
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

pub(super) async fn show(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
    query: Asked,
) -> Result<Answer, ScimError> {
    let without = query.is_ok_and(|query| query.excludes("members"));
    let group = state.store.group(&directory.source, &id).await?.ok_or_else(|| ScimError::not_found(&id))?;
    let members = if without { None } else { members(&state, &group).await? };
    Ok(Answer(StatusCode::OK, view(&group, members)))
}

pub(super) async fn replace(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Answer, ScimError> {
    let change = patch::group(&object(body)?)?;
    let source = directory.source;
    let group = state.store.change_group(&source, &id, change, &source, clock::now()).await?;
    let group = group.ok_or_else(|| ScimError::not_found(&id))?;
    let members = members(&state, &group).await?;
    Ok(Answer(StatusCode::OK, view(&group, members)))
}

pub(super) async fn patch(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
    body: Body,
) -> Result<StatusCode, ScimError> {
    let change = patch::group_patch(&object(body)?)?;
    let source = directory.source;
    match state.store.change_group(&source, &id, change, &source, clock::now()).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ScimError::not_found(&id)),
    }
}

pub(super) async fn remove(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
) -> Result<StatusCode, ScimError> {
    let source = directory.source;
    match state.store.remove_group(&source, &id, &source, clock::now()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ScimError::not_found(&id)),
    }
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
    let mut view = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "id": group.id,
        "displayName": group.name,
        "meta": {
            "resourceType": "Group",
            "created": group.created.to_string(),
            "lastModified": group.updated.to_string(),
            "location": format!("/scim/v2/Groups/{}", group.id),
        },
    });
    if let Some(view) = view.as_object_mut() {
        view.extend(group.external_id.iter().map(|text| ("externalId".to_owned(), text.as_str().into())));
        view.extend(members.map(|members| ("members".to_owned(), members.into())));
    }
    view
}
