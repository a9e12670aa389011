//! What happens to the gateway itself, and what people do to it beside their sessions.

use super::words::HoldOutcome;
use super::{kind_word, time, time_or_null};
use crate::wire::{Digest, List, wire_struct};
use lockgate_core::{IdentityKind, Timestamp};
use std::borrow::Cow;

wire_struct! {
    /// The gateway started. First event of a gateway log.
    pub struct GatewayStarted<'a> {
        /// Its version.
        pub version: Cow<'a, str>,
        /// The digest of its configuration, secrets not resolved.
        pub config: Digest,
    }
}

wire_struct! {
    /// The gateway stopped in order.
    pub struct GatewayStopped<'a> {
        /// Why.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Configuration was read again.
    pub struct ConfigReloaded<'a> {
        /// Whether it was taken.
        pub accepted: bool,
        /// The digest of the new text.
        pub config: Digest,
        /// What changed, or what is wrong with it.
        pub detail: Cow<'a, str>,
    }
}

wire_struct! {
    /// Policies were read.
    pub struct PolicyLoaded<'a> {
        /// Whether they were taken.
        pub accepted: bool,
        /// The digest over all policy files.
        pub policies: Digest,
        /// How many there are.
        pub count: u64,
        /// What is wrong with them, where they were not taken.
        pub detail: Cow<'a, str>,
    }
}

wire_struct! {
    /// A token was made.
    pub struct TokenCreated<'a> {
        /// Its id; never the token.
        pub token_id: Cow<'a, str>,
        /// Whom it stands for.
        pub user: Cow<'a, str>,
        /// The groups it carries.
        pub groups: List<'a, Cow<'a, str>>,
        /// Person, service or agent.
        #[serde(serialize_with = "kind_word")]
        pub kind: IdentityKind,
        /// The targets it is for; empty means all.
        pub targets: List<'a, Cow<'a, str>>,
        /// When it ends.
        #[serde(serialize_with = "time_or_null")]
        pub expires: Option<Timestamp>,
        /// Who made it.
        pub by: Cow<'a, str>,
    }
    later {
        /// The actions it is for, beside `connect`; empty means all.
        pub actions: List<'a, Cow<'a, str>>,
        /// The users that it acts for, nearest first.
        pub on_behalf_of: List<'a, Cow<'a, str>>,
    }
}

wire_struct! {
    /// A token was revoked.
    pub struct TokenRevoked<'a> {
        /// Its id.
        pub token_id: Cow<'a, str>,
        /// Who revoked it.
        pub by: Cow<'a, str>,
    }
}

wire_struct! {
    /// A token was used at the API. The same from one place is there once a minute.
    pub struct TokenUsed<'a> {
        /// Its id, or that of a provider's proof.
        pub token_id: Cow<'a, str>,
        /// Whom it stands for, and whom they act for.
        pub user: Cow<'a, str>,
        /// The client's address.
        pub client: Cow<'a, str>,
        /// What for: method and address, without what varies in it.
        pub purpose: Cow<'a, str>,
    }
}

wire_struct! {
    /// A login failed. Names are what the stranger claimed.
    pub struct LoginFailed<'a> {
        /// The client's address.
        pub client: Cow<'a, str>,
        /// The protocol.
        pub protocol: Cow<'a, str>,
        /// The user name claimed.
        pub user: Cow<'a, str>,
        /// The target asked for.
        pub target: Cow<'a, str>,
        /// The true reason, which the stranger is not told.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Somebody decided on an approval, through the API or the command line.
    pub struct ApprovalDecided<'a> {
        /// The approval's id.
        pub approval: Cow<'a, str>,
        /// The session that waits.
        pub session: Cow<'a, str>,
        /// What was decided.
        pub outcome: HoldOutcome,
        /// Who decided.
        pub by: Cow<'a, str>,
        /// The reason given.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// An administrator ended a session.
    pub struct SessionCut<'a> {
        /// The session.
        pub session: Cow<'a, str>,
        /// Who ended it.
        pub by: Cow<'a, str>,
        /// The reason given.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Somebody asked for the values behind tokens of masked data. Neither is recorded.
    pub struct Detokenized<'a> {
        /// Who asked.
        pub by: Cow<'a, str>,
        /// The client's address.
        pub client: Cow<'a, str>,
        /// The label.
        pub label: Cow<'a, str>,
        /// The number of tokens that were sent.
        pub tokens: u64,
        /// The number of tokens whose values were given.
        pub read: u64,
        /// Whether policy allowed it.
        pub allowed: bool,
        /// Why not.
        pub reason: Cow<'a, str>,
    }
}

wire_struct! {
    /// Somebody who may changed who may what: a user, a group, a role.
    pub struct Administered<'a> {
        /// Its number. An act that is there twice was done once.
        pub number: u64,
        /// When it was done, which may be before a gateway ran.
        #[serde(serialize_with = "time")]
        pub done: Timestamp,
        /// What was done, such as `user.disabled`.
        pub what: Cow<'a, str>,
        /// To whom or what.
        pub subject: Cow<'a, str>,
        /// The rest; never a secret.
        pub detail: Cow<'a, str>,
        /// Who did it.
        pub by: Cow<'a, str>,
    }
}
