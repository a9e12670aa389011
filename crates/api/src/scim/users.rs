//! `/Users`: people of the directory that calls.

use super::error::ScimError;
use super::filter::Query;
use super::{Answer, Directory, listed, object, patch};
use crate::state::ApiState;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lockgate_store::{GroupFilter, NewPerson, PeopleFilter, Person, clock};
use serde_json::{Value, json};

type Body = Result<Bytes, BytesRejection>;

pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    query: Result<axum::extract::Query<Query>, QueryRejection>,
) -> Result<Answer, ScimError> {
    let query = query.map_err(|error| ScimError::bad("invalidValue", error.body_text()))?.0;
    let mut filter = PeopleFilter { source: Some(directory.source.clone()), ..PeopleFilter::default() };
    match query.comparison(&["userName", "externalId", "id"])? {
        Some(("userName", name)) => filter.user = Some(name),
        Some(("externalId", name)) => filter.external_id = Some(name),
        Some((_, id)) => {
            let found = state.store.person(&directory.source, &id).await?;
            let total = u64::from(found.is_some());
            return Ok(listed(total, 1, found.iter().map(|person| view(person, Vec::new())).collect()));
        }
        None => {}
    }
    let total = state.store.count_people(&filter).await?;
    let (start, count) = (query.start(), query.count());
    let people = match count {
        0 => Vec::new(),
        limit => state.store.list_people(&PeopleFilter { skip: start - 1, limit, ..filter }).await?,
    };
    Ok(listed(total, start, people.iter().map(|person| view(person, Vec::new())).collect()))
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    body: Body,
) -> Result<Answer, ScimError> {
    let written = patch::person(&object(body)?)?;
    let source = directory.source;
    let new = NewPerson {
        source: source.clone(),
        user: written.user.unwrap_or_default(),
        display: written.display.flatten(),
        external_id: written.external_id.flatten(),
        active: written.active.unwrap_or(true),
        ..NewPerson::default()
    };
    let person = state.store.create_person(new, &source, clock::now()).await?;
    Ok(Answer(StatusCode::CREATED, view(&person, Vec::new())))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
) -> Result<Answer, ScimError> {
    let person = state.store.person(&directory.source, &id).await?.ok_or_else(|| ScimError::not_found(&id))?;
    shown(&state, &person).await
}

pub(super) async fn replace(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Answer, ScimError> {
    let change = patch::person(&object(body)?)?;
    let source = directory.source;
    let person = state.store.change_person(&source, &id, change, &source, clock::now()).await?;
    shown(&state, &person.ok_or_else(|| ScimError::not_found(&id))?).await
}

pub(super) async fn patch(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Answer, ScimError> {
    let change = patch::person_patch(&object(body)?)?;
    let source = directory.source;
    let person = state.store.change_person(&source, &id, change, &source, clock::now()).await?;
    shown(&state, &person.ok_or_else(|| ScimError::not_found(&id))?).await
}

pub(super) async fn remove(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    Path(id): Path<String>,
) -> Result<StatusCode, ScimError> {
    let source = directory.source;
    match state.store.remove_person(&source, &id, &source, clock::now()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ScimError::not_found(&id)),
    }
}

async fn shown(state: &ApiState, person: &Person) -> Result<Answer, ScimError> {
    let filter =
        GroupFilter { source: Some(person.source.clone()), member: Some(person.id.clone()), ..GroupFilter::default() };
    let groups = state.store.list_groups(&filter).await?;
    let groups = groups.iter().map(|group| json!({"value": group.id, "display": group.name})).collect();
    Ok(Answer(StatusCode::OK, view(person, groups)))
}

fn view(person: &Person, groups: Vec<Value>) -> Value {
    let mut view = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": person.id,
        "userName": person.user,
        "active": person.active,
        "meta": {
            "resourceType": "User",
            "created": person.created.to_string(),
            "lastModified": person.updated.to_string(),
            "location": format!("/scim/v2/Users/{}", person.id),
        },
    });
    if let Some(view) = view.as_object_mut() {
        view.extend(person.display.iter().map(|text| ("displayName".to_owned(), text.as_str().into())));
        view.extend(person.external_id.iter().map(|text| ("externalId".to_owned(), text.as_str().into())));
        if !groups.is_empty() {
            view.insert("groups".to_owned(), groups.into());
        }
    }
    view
}
