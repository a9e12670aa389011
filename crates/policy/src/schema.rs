//! The Cedar schema that ships with Lockgate, and its names in Cedar's own types.

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};
use lockgate_core::Action;
use std::str::FromStr;

/// The schema, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The schema in two readings. In `published`, a request may lack its protocol's part, so that both sides of a
/// `context has sql` are checked. In `complete`, it never does, as at evaluation, where a missing part reads as empty; with
/// it Cedar can tell that a policy can never apply.
pub(crate) struct Schemas {
    pub(crate) published: Schema,
    pub(crate) complete: Schema,
}

impl Schemas {
    pub(crate) fn load() -> Result<Self, String> {
        let read = |text: &str| Schema::from_cedarschema_str(text).map(|(schema, _)| schema).map_err(|e| e.to_string());
        Ok(Schemas { published: read(SCHEMA)?, complete: read(&SCHEMA.replace("?:", ":"))? })
    }
}

/// The schema's types and actions.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) user: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) target: EntityTypeName,
    pub(crate) target_label: EntityTypeName,
    pub(crate) table: EntityTypeName,
    label: EntityTypeName,
    actions: Vec<(Action, EntityUid)>,
    /// Stands in for an action that is not in `actions`; none is missing.
    no_action: EntityUid,
}

impl Names {
    pub(crate) fn new() -> Result<Self, String> {
        let name = |text: &str| EntityTypeName::from_str(text).map_err(|e| e.to_string());
        let action_type = name("Action")?;
        let uid = |id: &str| EntityUid::from_type_name_and_id(action_type.clone(), EntityId::new(id));
        Ok(Names {
            user: name("User")?,
            group: name("Group")?,
            target: name("Target")?,
            target_label: name("TargetLabel")?,
            table: name("Table")?,
            label: name("Label")?,
            actions: Action::ALL.into_iter().map(|a| (a, uid(a.name()))).collect(),
            no_action: uid(""),
        })
    }

    /// The type of a resource or of what it is in.
    pub(crate) fn kind(&self, kind: &str) -> &EntityTypeName {
        match kind {
            "Target" => &self.target,
            "TargetLabel" => &self.target_label,
            "Table" => &self.table,
            _ => &self.label,
        }
    }

    pub(crate) fn action(&self, action: Action) -> &EntityUid {
        self.actions.iter().find(|(a, _)| *a == action).map_or(&self.no_action, |(_, uid)| uid)
    }
}
