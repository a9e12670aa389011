//! `/Users`: people of the directory that calls.

use super::error::ScimError;
use super::{Answer, Asked, Body, Directory, One, asked, listed, object, patch, resource};
use crate::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use lockgate_store::{GroupFilter, NewPerson, PeopleFilter, Person, PersonChange, clock};
use serde_json::{Value, json};

pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(directory): Extension<Directory>,
    query: Asked,
) -> Result<Answer, ScimError> {
    let query = asked(query)?;
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

pub(super) async fn show(one: One) -> Result<Answer, ScimError> {
    let person = one.found(one.state.store.person(&one.source, &one.id).await?)?;
    shown(&one.state, &person).await
}

pub(super) async fn replace(one: One, body: Body) -> Result<Answer, ScimError> {
    change(one, patch::person(&object(body)?)?).await
}

pub(super) async fn patch(one: One, body: Body) -> Result<Answer, ScimError> {
    change(one, patch::person_patch(&object(body)?)?).await
}

async fn change(one: One, change: PersonChange) -> Result<Answer, ScimError> {
    let One { state, source, id } = &one;
    let person = one.found(state.store.change_person(source, id, change, source, clock::now()).await?)?;
    shown(state, &person).await
}

pub(super) async fn remove(one: One) -> Result<StatusCode, ScimError> {
    let One { state, source, id } = &one;
    one.removed(state.store.remove_person(source, id, source, clock::now()).await?)
}

async fn shown(state: &ApiState, person: &Person) -> Result<Answer, ScimError> {
    let filter =
        GroupFilter { source: Some(person.source.clone()), member: Some(person.id.clone()), ..GroupFilter::default() };
    let groups = state.store.list_groups(&filter).await?;
    let groups = groups.iter().map(|group| json!({"value": group.id, "display": group.name})).collect();
    Ok(Answer(StatusCode::OK, view(person, groups)))
}

fn view(person: &Person, groups: Vec<Value>) -> Value {
    let own = [("userName", json!(person.user)), ("active", json!(person.active))];
    let display = person.display.as_ref().map(|text| ("displayName", json!(text)));
    let groups = (!groups.is_empty()).then(|| ("groups", groups.into()));
    let times = (person.created, person.updated);
    let own = own.into_iter().chain(display).chain(groups);
    resource("User", &person.id, times, person.external_id.as_deref(), own)
}
