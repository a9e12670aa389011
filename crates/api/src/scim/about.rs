//! What this service provider carries: its configuration, schemas and types of resources (RFC 7643, 5 to 8).

use super::error::ScimError;
use super::{Answer, listed};
use axum::extract::Path;
use axum::http::StatusCode;
use lockgate_core::limits;
use serde_json::{Value, json};

pub(super) async fn config() -> Answer {
    let no = json!({"supported": false});
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": limits::LIST_PAGE_MAX},
        "changePassword": no,
        "sort": no,
        "etag": no,
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer secret",
            "description": "the secret of the directory's entry in `identity.scim`",
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": "/scim/v2/ServiceProviderConfig"},
    });
    Answer(StatusCode::OK, body)
}

pub(super) async fn schemas() -> Answer {
    all(vec![user(), group()])
}

pub(super) async fn schema(Path(id): Path<String>) -> Result<Answer, ScimError> {
    one(vec![user(), group()], &id)
}

pub(super) async fn resource_types() -> Answer {
    all(vec![resource_type_of("User", "/Users"), resource_type_of("Group", "/Groups")])
}

pub(super) async fn resource_type(Path(id): Path<String>) -> Result<Answer, ScimError> {
    one(vec![resource_type_of("User", "/Users"), resource_type_of("Group", "/Groups")], &id)
}

fn all(resources: Vec<Value>) -> Answer {
    listed(u64::try_from(resources.len()).unwrap_or_default(), 1, resources)
}

fn one(resources: Vec<Value>, id: &str) -> Result<Answer, ScimError> {
    let found = resources.into_iter().find(|resource| resource.get("id").and_then(Value::as_str) == Some(id));
    found.map(|resource| Answer(StatusCode::OK, resource)).ok_or_else(|| ScimError::not_found(id))
}

fn resource_type_of(name: &str, endpoint: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": name,
        "name": name,
        "endpoint": endpoint,
        "schema": format!("urn:ietf:params:scim:schemas:core:2.0:{name}"),
        "meta": {"resourceType": "ResourceType", "location": format!("/scim/v2/ResourceTypes/{name}")},
    })
}

fn user() -> Value {
    schema_of(
        "User",
        vec![
            kept("userName", "string", true, "server"),
            kept("displayName", "string", false, "none"),
            kept("active", "boolean", false, "none"),
        ],
    )
}

fn group() -> Value {
    let value = kept("value", "string", true, "none");
    let members = json!({
        "name": "members", "type": "complex", "multiValued": true, "required": false, "caseExact": false,
        "mutability": "readWrite", "returned": "default", "uniqueness": "none", "subAttributes": [value],
    });
    schema_of("Group", vec![kept("displayName", "string", true, "server"), members])
}

fn schema_of(name: &str, attributes: Vec<Value>) -> Value {
    let id = format!("urn:ietf:params:scim:schemas:core:2.0:{name}");
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id,
        "name": name,
        "attributes": attributes,
        "meta": {"resourceType": "Schema", "location": format!("/scim/v2/Schemas/{id}")},
    })
}

fn kept(name: &str, kind: &str, required: bool, uniqueness: &str) -> Value {
    json!({
        "name": name, "type": kind, "multiValued": false, "required": required, "caseExact": false,
        "mutability": "readWrite", "returned": "default", "uniqueness": uniqueness,
    })
}
