//! What a directory wants changed, in the forms that Okta and Entra ID send and those of RFC 7644, 3.5.2, as changes of the
//! store. Pure.
//!
//! An attribute that is not kept is passed over by name. One that nobody knows is refused: it might be a way to write `active`.

use super::attribute;
use super::error::ScimError;
use lockgate_store::{GroupChange, PersonChange};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What comes before the names of attributes of the core schemas, where they are written in full.
const CORE: [&str; 2] = ["urn:ietf:params:scim:schemas:core:2.0:User:", "urn:ietf:params:scim:schemas:core:2.0:Group:"];
/// What comes before those of extensions, of which nothing is kept.
const EXTENSION: &str = "urn:ietf:params:scim:schemas:extension:";
/// Attributes of people that are not kept (RFC 7643, 4.1).
const PASSED_OVER: [&str; 18] = [
    "name",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "password",
    "emails",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509Certificates",
    "schemas",
];

/// One operation: what to do, to which attribute, with what.
struct Operation<'v> {
    removes: bool,
    replaces: bool,
    path: &'v str,
    value: &'v Value,
}

/// A name without the schema before it.
pub(super) fn bare(name: &str) -> &str {
    let core = CORE.iter().find_map(|prefix| {
        name.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix)).and(name.get(prefix.len()..))
    });
    core.unwrap_or(name)
}

/// What a PUT or POST says of a person. Without a word on it, whether somebody is active stays as it is.
pub(super) fn person(object: &Map<String, Value>) -> Result<PersonChange, ScimError> {
    let text = |name| attribute(object, name)?.map(|value| optional_text(name, value)).transpose();
    let active = attribute(object, "active")?.filter(|value| !value.is_null()).map(boolean).transpose()?;
    let user = text("userName")?.flatten().ok_or_else(|| missing("userName"))?;
    Ok(PersonChange {
        user: Some(user),
        display: Some(text("displayName")?.flatten()),
        external_id: Some(text("externalId")?.flatten()),
        active,
    })
}

/// What a PATCH changes of a person.
pub(super) fn person_patch(object: &Map<String, Value>) -> Result<PersonChange, ScimError> {
    let mut change = PersonChange::default();
    for_each(object, |operation| {
        let Operation { removes, path, value, .. } = operation;
        let path = bare(path);
        let is = |name: &str| path.eq_ignore_ascii_case(name);
        let kept = |name: &str| if removes { Ok(None) } else { optional_text(name, value) };
        if is("active") && !removes {
            change.active = Some(boolean(value)?);
        } else if is("userName") && !removes {
            change.user = Some(optional_text("userName", value)?.ok_or_else(|| missing("userName"))?);
        } else if is("displayName") {
            change.display = Some(kept("displayName")?);
        } else if is("externalId") {
            change.external_id = Some(kept("externalId")?);
        } else if !is_passed_over(path, &PASSED_OVER) {
            return Err(unknown(path));
        }
        Ok(())
    })?;
    Ok(change)
}

/// What a PUT or POST says of a group.
pub(super) fn group(object: &Map<String, Value>) -> Result<GroupChange, ScimError> {
    let text = |name| attribute(object, name)?.map(|value| optional_text(name, value)).transpose();
    let name = text("displayName")?.flatten().ok_or_else(|| missing("displayName"))?;
    let members = attribute(object, "members")?.map(ids).transpose()?;
    Ok(GroupChange {
        name: Some(name),
        external_id: Some(text("externalId")?.flatten()),
        members: Some(members.unwrap_or_default()),
        ..GroupChange::default()
    })
}

/// What a PATCH changes of a group. Its operations count one after the other.
pub(super) fn group_patch(object: &Map<String, Value>) -> Result<GroupChange, ScimError> {
    let mut change = GroupChange::default();
    for_each(object, |operation| {
        let Operation { removes, replaces, path, value } = operation;
        let path = bare(path);
        let is = |name: &str| path.eq_ignore_ascii_case(name);
        if is("members") {
            let those = match value {
                Value::Null => None,
                value => Some(ids(value)?),
            };
            match (removes, replaces, those) {
                (true, _, None) | (false, true, None) => only(&mut change, BTreeSet::new()),
                (true, _, Some(those)) => go(&mut change, those),
                (false, true, Some(those)) => only(&mut change, those),
                (false, false, those) => come(&mut change, those.unwrap_or_default()),
            }
        } else if let Some(id) = member(path) {
            if !removes {
                return Err(ScimError::bad(
                    "mutability",
                    "who a member is does not change: remove it, and add another",
                ));
            }
            go(&mut change, BTreeSet::from([id?]));
        } else if is("displayName") && !removes {
            change.name = Some(optional_text("displayName", value)?.ok_or_else(|| missing("displayName"))?);
        } else if is("externalId") {
            change.external_id = Some(if removes { None } else { optional_text("externalId", value)? });
        } else if !is("id") && !is_passed_over(path, &["schemas", "meta"]) {
            return Err(unknown(path));
        }
        Ok(())
    })?;
    Ok(change)
}

fn only(change: &mut GroupChange, members: BTreeSet<String>) {
    change.members = Some(members);
    change.add.clear();
    change.remove.clear();
}

fn come(change: &mut GroupChange, members: BTreeSet<String>) {
    for id in members {
        change.remove.remove(&id);
        change.add.insert(id);
    }
}

fn go(change: &mut GroupChange, members: BTreeSet<String>) {
    for id in members {
        change.add.remove(&id);
        change.remove.insert(id);
    }
}

/// The operations in order. One without a path is one for each attribute of its value.
fn for_each(
    object: &Map<String, Value>,
    mut apply: impl FnMut(Operation<'_>) -> Result<(), ScimError>,
) -> Result<(), ScimError> {
    let operations = attribute(object, "Operations")?.and_then(Value::as_array);
    let operations = operations.ok_or_else(|| missing("Operations"))?;
    for operation in operations {
        let operation =
            operation.as_object().ok_or_else(|| ScimError::bad("invalidSyntax", "an operation is no object"))?;
        let word = attribute(operation, "op")?.and_then(Value::as_str).ok_or_else(|| missing("op"))?;
        let (removes, replaces) = match word.to_ascii_lowercase().as_str() {
            "add" => (false, false),
            "replace" => (false, true),
            "remove" => (true, false),
            _ => return Err(ScimError::bad("invalidSyntax", format!("`{}` is no operation", word.escape_debug()))),
        };
        let value = attribute(operation, "value")?.unwrap_or(&Value::Null);
        match (attribute(operation, "path")?, value) {
            (Some(Value::String(path)), value) => apply(Operation { removes, replaces, path, value })?,
            (None | Some(Value::Null), Value::Object(values)) if !removes => {
                for (path, value) in values {
                    apply(Operation { removes, replaces, path, value })?;
                }
            }
            _ => return Err(ScimError::bad("noTarget", "an operation does not say what it is about")),
        }
    }
    Ok(())
}

fn is_passed_over(path: &str, known: &[&str]) -> bool {
    let head = path.split(['.', '[']).next().unwrap_or_default();
    let extension = path.get(..EXTENSION.len()).is_some_and(|head| head.eq_ignore_ascii_case(EXTENSION));
    extension || known.iter().any(|name| name.eq_ignore_ascii_case(head))
}

/// The id in `members[value eq "ID"]`.
fn member(path: &str) -> Option<Result<String, ScimError>> {
    let (head, filter) = path.strip_suffix(']')?.split_once('[')?;
    if !head.eq_ignore_ascii_case("members") {
        return None;
    }
    let mut words = filter.trim().splitn(3, char::is_whitespace);
    let (name, operator, value) = (words.next()?, words.next()?, words.next()?);
    let id = serde_json::from_str::<String>(value.trim()).ok();
    let id = id.filter(|_| name.eq_ignore_ascii_case("value") && operator.eq_ignore_ascii_case("eq"));
    Some(id.ok_or_else(|| ScimError::bad("invalidPath", "only `members[value eq \"ID\"]` is carried")))
}

/// The ids of members: a list of objects with `value`, or one.
fn ids(value: &Value) -> Result<BTreeSet<String>, ScimError> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let id = |item: &Value| match item {
        Value::Object(item) => {
            attribute(item, "value")?.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| missing("value"))
        }
        _ => Err(ScimError::bad("invalidValue", "a member is no object")),
    };
    items.iter().map(id).collect()
}

fn boolean(value: &Value) -> Result<bool, ScimError> {
    match value {
        Value::Bool(value) => Ok(*value),
        // Entra ID writes them so.
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ScimError::bad("invalidValue", "`active` is neither true nor false")),
    }
}

/// A text; an empty one is none.
fn optional_text(name: &str, value: &Value) -> Result<Option<String>, ScimError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        _ => Err(ScimError::bad("invalidValue", format!("`{name}` is not a string"))),
    }
}

fn missing(name: &str) -> ScimError {
    ScimError::bad("invalidValue", format!("`{name}` is missing"))
}

fn unknown(path: &str) -> ScimError {
    ScimError::bad("invalidPath", format!("`{}` cannot be changed here", path.escape_debug()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use serde_json::json;

    fn patch(operations: Value) -> Map<String, Value> {
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        body.as_object().unwrap().clone()
    }

    #[test]
    fn everybodys_way_to_switch_somebody_off_is_understood() {
        for operations in [
            json!([{"op": "replace", "value": {"active": false}}]),
            json!([{"op": "Replace", "path": "active", "value": "False"}]),
            json!([{"op": "replace", "path": "active", "value": false}]),
            json!([{"op": "Add", "path": "ACTIVE", "value": "false"}]),
            json!([{"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false}]),
            json!([{"op": "replace", "value": {"URN:ietf:params:scim:schemas:core:2.0:user:active": "False"}}]),
            json!([{"op": "replace", "path": "active", "value": true}, {"op": "replace", "path": "active", "value": false}]),
            json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "x@y.z"},
                   {"op": "Replace", "value": {"name.givenName": "A", "active": "False",
                    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "D"}}]),
        ] {
            let change = person_patch(&patch(operations.clone()));
            assert_eq!(change.map(|change| change.active), Ok(Some(false)), "{operations}");
        }
    }

    #[test]
    fn a_whole_person_may_be_written_with_full_names() {
        for (body, active) in [
            (json!({"userName": "a", "active": "False"}), Ok(Some(false))),
            (json!({"USERNAME": "a", "urn:ietf:params:scim:schemas:core:2.0:User:active": false}), Ok(Some(false))),
            (json!({"userName": "a"}), Ok(None)),
            (
                json!({"userName": "a", "active": true, "urn:ietf:params:scim:schemas:core:2.0:User:active": false}),
                Err(()),
            ),
        ] {
            let written = person(body.as_object().unwrap());
            assert_eq!(written.map(|change| change.active).map_err(|_| ()), active, "{body}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for operations in [
            json!([{"op": "replace", "path": "active", "value": "no"}]),
            json!([{"op": "replace", "path": "active", "value": [false]}]),
            json!([{"op": "remove", "path": "active"}]),
            json!([{"op": "remove", "path": "userName"}]),
            json!([{"op": "replace", "path": "userName", "value": ""}]),
            json!([{"op": "replace", "path": "active.value", "value": false}]),
            json!([{"op": "replace", "path": "activ", "value": false}]),
            json!([{"op": "replace", "path": "urn:x:active", "value": false}]),
            json!([{"op": "replace", "value": {"active": false, "Active": true, "nobody": 1}}]),
            json!([{"op": "disable", "path": "active"}]),
            json!([{"op": "remove"}]),
            json!([{"op": "replace", "value": 7}]),
            json!([{"op": "replace", "path": 7, "value": false}]),
            json!(["replace"]),
            json!({"op": "replace"}),
        ] {
            assert!(person_patch(&patch(operations.clone())).is_err(), "{operations}");
        }
        assert!(person_patch(&Map::new()).is_err());
    }

    #[test]
    fn members_come_and_go_in_order() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        for (operations, members, add, remove) in [
            (
                json!([{"op": "add", "path": "members", "value": [{"value": "a"}, {"value": "b", "display": "B"}]}]),
                None,
                set(&["a", "b"]),
                set(&[]),
            ),
            (
                json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
                None,
                set(&["a"]),
                set(&[]),
            ),
            (json!([{"op": "remove", "path": "members[value eq \"a\"]"}]), None, set(&[]), set(&["a"])),
            (json!([{"op": "Remove", "path": "members", "value": [{"value": "a"}]}]), None, set(&[]), set(&["a"])),
            (json!([{"op": "remove", "path": "members"}]), Some(set(&[])), set(&[]), set(&[])),
            (
                json!([{"op": "replace", "path": "members", "value": [{"value": "a"}]}]),
                Some(set(&["a"])),
                set(&[]),
                set(&[]),
            ),
            (
                json!([{"op": "replace", "value": {"id": "g1", "displayName": "G", "members": []}}]),
                Some(set(&[])),
                set(&[]),
                set(&[]),
            ),
            (
                json!([{"op": "add", "path": "members", "value": {"value": "a"}}, {"op": "remove", "path": "members[value eq \"a\"]"}]),
                None,
                set(&[]),
                set(&["a"]),
            ),
            (
                json!([{"op": "remove", "path": "members[value eq \"a\"]"}, {"op": "add", "value": {"members": [{"value": "a"}]}}]),
                None,
                set(&["a"]),
                set(&[]),
            ),
            (
                json!([{"op": "add", "path": "members", "value": [{"value": "a"}]}, {"op": "remove", "path": "members"}]),
                Some(set(&[])),
                set(&[]),
                set(&[]),
            ),
        ] {
            let change = group_patch(&patch(operations.clone())).unwrap();
            assert_eq!((change.members, change.add, change.remove), (members, add, remove), "{operations}");
        }
        for operations in [
            json!([{"op": "add", "path": "members", "value": ["a"]}]),
            json!([{"op": "add", "path": "members", "value": [{"display": "a"}]}]),
            json!([{"op": "remove", "path": "members[display eq \"a\"]"}]),
            json!([{"op": "remove", "path": "members[value eq a]"}]),
            json!([{"op": "add", "path": "members[value eq \"a\"]", "value": "b"}]),
            json!([{"op": "remove", "path": "displayName"}]),
            json!([{"op": "replace", "path": "owners", "value": []}]),
        ] {
            assert!(group_patch(&patch(operations.clone())).is_err(), "{operations}");
        }
    }
}
