//! What the verbs print, in one shape whether it comes from the gateway's own files or from its API: the field names are
//! those of the API, so that a script does not care where it runs.

use lockgate_core::{Identity, Principal, Timestamp};
use lockgate_store::{LoginInfo, Person, SessionRow, TokenInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who asks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IdentityView {
    pub user: String,
    #[serde(default)]
    pub groups: BTreeSet<String>,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub on_behalf_of: Vec<PartyView>,
}

/// A party that somebody acts for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PartyView {
    pub user: String,
    #[serde(default)]
    pub kind: String,
    /// Absent where the proof does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeSet<String>>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenView {
    pub id: String,
    #[serde(flatten)]
    pub identity: IdentityView,
    /// The targets it is for; `null` for all.
    pub targets: Option<BTreeSet<String>>,
    /// The actions it is for, beside `connect`; `null` for all.
    #[serde(default)]
    pub actions: Option<BTreeSet<String>>,
    pub created: String,
    pub expires: String,
    pub state: String,
    #[serde(default)]
    pub revoked: Option<String>,
    #[serde(default)]
    pub last_used: Option<String>,
}

/// A login, without what it is refreshed with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginView {
    pub id: String,
    #[serde(flatten)]
    pub identity: IdentityView,
    pub provider: String,
    pub subject: String,
    pub source: String,
    pub state: String,
    pub created: String,
    pub expires: String,
    pub judged: String,
    pub refreshable: bool,
    #[serde(default)]
    pub ended: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
}

/// A user, without what proves the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserView {
    pub id: String,
    pub user: String,
    /// `local`, or the directory that pushes the user.
    pub source: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub groups: BTreeSet<String>,
    pub active: bool,
    pub created: String,
    #[serde(default)]
    pub password_set: Option<String>,
}

/// A session as listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionView {
    pub id: String,
    #[serde(flatten)]
    pub identity: IdentityView,
    pub protocol: String,
    pub target: String,
    #[serde(default)]
    pub database: Option<String>,
    pub client: String,
    pub opened: String,
    #[serde(default)]
    pub closed: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether the gateway has it open; only a running gateway knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
    #[serde(default)]
    pub requests: u64,
    #[serde(default)]
    pub denied: u64,
    #[serde(default)]
    pub rows: u64,
}

impl IdentityView {
    /// `bot for bob`.
    pub fn chain(&self) -> String {
        let mut text = self.user.clone();
        for party in &self.on_behalf_of {
            text.push_str(" for ");
            text.push_str(&party.user);
        }
        text
    }
}

impl From<&Identity> for IdentityView {
    fn from(identity: &Identity) -> Self {
        IdentityView {
            user: identity.user.clone(),
            groups: identity.groups.clone(),
            kind: identity.kind.name().to_owned(),
            on_behalf_of: identity.on_behalf_of.iter().map(PartyView::from).collect(),
        }
    }
}

impl From<&Principal> for PartyView {
    fn from(principal: &Principal) -> Self {
        PartyView {
            user: principal.user.clone(),
            kind: principal.kind.name().to_owned(),
            groups: principal.groups.clone(),
        }
    }
}

impl TokenView {
    /// What is known of a token at a point in time.
    pub fn of(info: &TokenInfo, now: Timestamp) -> Self {
        let shown = |t: &Timestamp| t.to_string();
        TokenView {
            id: info.id.clone(),
            identity: IdentityView::from(&info.identity()),
            targets: info.targets.as_ref().map(|targets| targets.iter().map(ToString::to_string).collect()),
            actions: info.actions.as_ref().map(|actions| actions.iter().map(ToString::to_string).collect()),
            created: info.created.to_string(),
            expires: info.expires.to_string(),
            state: info.state(now).name().to_owned(),
            revoked: info.revoked_at.as_ref().map(shown),
            last_used: info.last_used.as_ref().map(shown),
        }
    }
}

impl LoginView {
    /// What is known of a login at a point in time.
    pub fn of(login: &LoginInfo, now: Timestamp) -> Self {
        LoginView {
            id: login.id.clone(),
            identity: IdentityView {
                user: login.user.clone(),
                groups: login.groups.clone(),
                kind: login.kind.name().to_owned(),
                on_behalf_of: login.on_behalf_of.iter().map(PartyView::from).collect(),
            },
            provider: login.provider.clone(),
            subject: login.subject.clone(),
            source: login.source.clone(),
            state: login.state(now).name().to_owned(),
            created: login.created.to_string(),
            expires: login.expires.to_string(),
            judged: login.judged.to_string(),
            refreshable: login.refreshable,
            ended: login.ended.map(|t| t.to_string()),
            reason: login.end_reason.clone(),
        }
    }
}

impl UserView {
    /// What is known of a person.
    pub fn of(person: Person, groups: BTreeSet<String>) -> Self {
        UserView {
            id: person.id,
            user: person.user,
            source: person.source,
            display_name: person.display,
            groups,
            active: person.active,
            created: person.created.to_string(),
            password_set: person.password_set.map(|t| t.to_string()),
        }
    }
}

impl From<&SessionRow> for SessionView {
    fn from(row: &SessionRow) -> Self {
        SessionView {
            id: row.id.to_string(),
            identity: IdentityView::from(&row.identity),
            protocol: row.protocol.clone(),
            target: row.target.clone(),
            database: row.database.clone(),
            client: row.client.clone(),
            opened: row.opened.to_string(),
            closed: row.closed.map(|t| t.to_string()),
            reason: row.reason.clone(),
            live: None,
            requests: row.counts.requests,
            denied: row.counts.denied,
            rows: row.counts.rows,
        }
    }
}

/// A time for a table: to the second, without the `T`.
pub fn short(time: &str) -> String {
    let second = time.get(..19).unwrap_or(time);
    second.replace('T', " ")
}

/// Names for one cell.
pub fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
