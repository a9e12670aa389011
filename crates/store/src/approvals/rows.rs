//! The rows of approvals and of the votes on them. Every change of state is one conditional write.

use super::{ApprovalState, Choice, DecideError, Need, NewApproval, people, shared};
use crate::error::StoreError;
use crate::keys::encode_hex;
use crate::store::Store;
use crate::tokens::{decode_chain, decode_digest, decode_names, encode_chain, encode_names, page};
use lockgate_core::{Identity, IdentityKind, Timestamp, limits};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::collections::BTreeSet;

/// An approval as listed.
#[derive(Clone, Debug)]
pub struct ApprovalInfo {
    /// Its id.
    pub id: String,
    /// The session that waits.
    pub session: String,
    /// Who asks, with everybody it acts for.
    pub requester: Identity,
    /// The target it would run on.
    pub target: String,
    /// The database on it.
    pub database: Option<String>,
    /// The statement, as shown.
    pub statement: String,
    /// The parameters, as shown.
    pub parameters: Option<String>,
    /// What exactly would run.
    pub digest: [u8; 32],
    /// The policies that ask.
    pub policies: Vec<String>,
    /// Who must approve.
    pub needs: Vec<Need>,
    /// When it was asked.
    pub opened: Timestamp,
    /// When it is too late.
    pub expires: Timestamp,
    /// Where it stands.
    pub state: ApprovalState,
    /// When it left `pending`.
    pub ended: Option<Timestamp>,
    /// Why it ended, where somebody or something said so.
    pub reason: Option<String>,
    /// What people said, in order.
    pub votes: Vec<Vote>,
}

/// What one person said to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub user: String,
    /// Approve or deny.
    pub choice: Choice,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The groups the approver was proven to be in.
    groups: BTreeSet<String>,
    /// The approver and whoever the approver acts for.
    people: BTreeSet<String>,
}

/// Which approvals to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    /// Only those in this state.
    pub state: Option<ApprovalState>,
    /// Only this requester's.
    pub user: Option<String>,
    /// Only this session's.
    pub session: Option<String>,
    /// Only those older than this one, for the next page.
    pub before: Option<String>,
    /// At most so many ([`limits::LIST_PAGE_MAX`] at most; 0 means that).
    pub limit: usize,
}

impl ApprovalInfo {
    /// The needs that the approvals so far do not meet.
    pub fn missing(&self) -> Vec<&Need> {
        self.needs
            .iter()
            .filter(|need| {
                let approvers = self
                    .votes
                    .iter()
                    .filter(|v| v.choice == Choice::Approve && !v.groups.is_disjoint(&need.groups))
                    .count();
                u32::try_from(approvers).unwrap_or(u32::MAX) < need.quorum
            })
            .collect()
    }

    /// Whether `approver`'s word would count: a person in a group that is still missing, who is neither the requester, nor
    /// anyone the requester acts for, nor acting for one of these, and who has not spoken before.
    ///
    /// # Errors
    /// The first rule that stands against it.
    pub fn may_decide(&self, approver: &Identity) -> Result<(), DecideError> {
        let theirs = people(approver);
        if let Some(same) = shared(&people(&self.requester), &theirs) {
            return Err(DecideError::OwnRequest(same.clone()));
        }
        // Who acts for somebody is an agent, whatever its token calls it. And what a service holds is a secret that lies about somewhere.
        if approver.kind != IdentityKind::Human || !approver.on_behalf_of.is_empty() {
            return Err(DecideError::NotAPerson);
        }
        if self.state != ApprovalState::Pending {
            return Err(DecideError::NotPending(self.state));
        }
        let wanted: BTreeSet<String> =
            self.missing().into_iter().flat_map(|need| need.groups.iter().cloned()).collect();
        if wanted.is_disjoint(&approver.certain_groups()) {
            return Err(DecideError::NotInGroup(wanted));
        }
        if let Some(vote) = self.votes.iter().find(|v| shared(&v.people, &theirs).is_some()) {
            return Err(DecideError::AlreadyVoted(vote.user.clone()));
        }
        Ok(())
    }

    /// Whether `identity` is, or ever was, one of those asked: in a named group and not on the requester's side.
    pub fn is_asked(&self, identity: &Identity) -> bool {
        let groups = identity.certain_groups();
        shared(&people(&self.requester), &people(identity)).is_none()
            && self.needs.iter().any(|need| !need.groups.is_disjoint(&groups))
    }
}

pub(super) async fn insert(store: &Store, id: &str, new: &NewApproval, now: Timestamp) -> Result<(), StoreError> {
    let requester = StoredIdentity::of(&new.requester);
    let needs: Vec<StoredNeed> =
        new.needs.iter().map(|n| StoredNeed { groups: n.groups.clone(), quorum: n.quorum }).collect();
    let mut tx = store.change("write an approval").await?;
    sqlx::query(
        "INSERT INTO approvals (id, session_id, user_name, requester, target, database_name, statement, parameters,
                                digest, policies, needs, opened, expires, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'pending')",
    )
    .bind(id)
    .bind(new.session.to_string())
    .bind(&new.requester.user)
    .bind(encode(&requester)?)
    .bind(new.target.as_str())
    .bind(&new.database)
    .bind(cut(&new.statement))
    .bind(new.parameters.as_deref().map(cut))
    .bind(encode_hex(&new.digest))
    .bind(encode(&new.policies)?)
    .bind(encode(&needs)?)
    .bind(now.millis())
    .bind(new.expires.millis())
    .execute(&mut *tx)
    .await
    .map_err(StoreError::doing("write an approval"))?;
    tx.commit().await
}

/// Counts a vote and, where it settles the matter, ends the request, all in one write transaction.
pub(super) async fn decide(
    store: &Store,
    id: &str,
    approver: &Identity,
    choice: Choice,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<ApprovalState, DecideError> {
    let doing = || StoreError::doing("write a decision");
    let mut tx = store.change("write a decision").await?;
    let Some(mut approval) = read(&mut tx, id).await? else { return Err(DecideError::Unknown(id.to_owned())) };
    approval.may_decide(approver)?;
    if approval.expires <= now {
        return Err(DecideError::NotPending(ApprovalState::Expired));
    }
    let vote = Vote {
        user: approver.user.clone(),
        choice,
        reason: reason.map(str::to_owned),
        at: now,
        groups: approver.certain_groups(),
        people: people(approver),
    };
    sqlx::query(
        "INSERT INTO approval_votes (approval_id, user_name, people, group_names, vote, reason, voted)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id)
    .bind(&vote.user)
    .bind(encode_names(&vote.people))
    .bind(encode_names(&vote.groups))
    .bind(choice.name())
    .bind(&vote.reason)
    .bind(now.millis())
    .execute(&mut *tx)
    .await
    .map_err(doing())?;
    approval.votes.push(vote);

    let state = match choice {
        Choice::Deny => ApprovalState::Denied,
        Choice::Approve if approval.missing().is_empty() => ApprovalState::Approved,
        Choice::Approve => ApprovalState::Pending,
    };
    if state != ApprovalState::Pending {
        let won = leave_pending(&mut tx, id, state, reason, now).await?;
        if !won {
            // Cannot be inside a write transaction that read `pending`; if it is, nothing of this counts.
            return Err(DecideError::NotPending(approval.state));
        }
    }
    tx.commit().await?;
    Ok(state)
}

/// Ends a request without a decision. `Withdrawn` also ends one that was approved and not taken up. Whether this did it.
pub(super) async fn end(
    store: &Store,
    id: &str,
    state: ApprovalState,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut tx = store.change("end an approval").await?;
    let mut ended = leave_pending(&mut tx, id, state, reason, now).await?;
    if !ended && state == ApprovalState::Withdrawn {
        let taken = "UPDATE approvals SET state = 'withdrawn', ended = $1 WHERE id = $2 AND state = 'approved'";
        let done = sqlx::query(taken).bind(now.millis()).bind(id).execute(&mut *tx).await;
        ended = done.map_err(StoreError::doing("end an approval"))?.rows_affected() == 1;
    }
    tx.commit().await?;
    Ok(ended)
}

/// Spends an approval on exactly what it was given for. Whether it was there to be spent.
pub(super) async fn claim(store: &Store, id: &str, digest: &[u8; 32]) -> Result<bool, StoreError> {
    let mut tx = store.change("use an approval").await?;
    let done = sqlx::query("UPDATE approvals SET state = 'used' WHERE id = $1 AND state = 'approved' AND digest = $2")
        .bind(id)
        .bind(encode_hex(digest))
        .execute(&mut *tx)
        .await
        .map_err(StoreError::doing("use an approval"))?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// `approved` and not `used` at a restart means that nothing ran, so it ends the same way as `pending`.
pub(super) async fn abort_pending(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = store.change("end the approvals of an earlier run").await?;
    sqlx::query(
        "UPDATE approvals SET state = 'aborted', ended = $1, reason = 'gateway restarted; nothing ran'
         WHERE state IN ('pending', 'approved')",
    )
    .bind(now.millis())
    .execute(&mut *tx)
    .await
    .map_err(StoreError::doing("end the approvals of an earlier run"))?;
    tx.commit().await
}

pub(super) async fn find(store: &Store, id: &str) -> Result<Option<ApprovalInfo>, StoreError> {
    let mut connection = store.inner.read.acquire().await.map_err(StoreError::doing("read an approval"))?;
    read(&mut connection, id).await
}

pub(super) async fn list(store: &Store, filter: &ApprovalFilter) -> Result<Vec<ApprovalInfo>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM approvals WHERE 1 = 1");
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.name());
    }
    if let Some(user) = &filter.user {
        query.push(" AND user_name = ").push_bind(user.clone());
    }
    if let Some(session) = &filter.session {
        query.push(" AND session_id = ").push_bind(session.clone());
    }
    if let Some(before) = &filter.before {
        query.push(" AND id < ").push_bind(before.clone());
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(page(filter.limit));
    let mut connection = store.inner.read.acquire().await.map_err(StoreError::doing("list approvals"))?;
    let rows = query.build().fetch_all(&mut *connection).await.map_err(StoreError::doing("list approvals"))?;
    let mut approvals = rows.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    for approval in &mut approvals {
        approval.votes = votes(&mut connection, &approval.id).await?;
    }
    Ok(approvals)
}

async fn leave_pending(
    connection: &mut SqliteConnection,
    id: &str,
    state: ApprovalState,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done =
        sqlx::query("UPDATE approvals SET state = $1, ended = $2, reason = $3 WHERE id = $4 AND state = 'pending'")
            .bind(state.name())
            .bind(now.millis())
            .bind(reason)
            .bind(id)
            .execute(connection)
            .await
            .map_err(StoreError::doing("end an approval"))?;
    Ok(done.rows_affected() == 1)
}

async fn read(connection: &mut SqliteConnection, id: &str) -> Result<Option<ApprovalInfo>, StoreError> {
    let row = sqlx::query("SELECT * FROM approvals WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::doing("read an approval"))?;
    let Some(row) = row else { return Ok(None) };
    let mut approval = decode(&row)?;
    approval.votes = votes(connection, id).await?;
    Ok(Some(approval))
}

async fn votes(connection: &mut SqliteConnection, id: &str) -> Result<Vec<Vote>, StoreError> {
    let column = || StoreError::doing("read a vote");
    let rows = sqlx::query("SELECT * FROM approval_votes WHERE approval_id = $1 ORDER BY voted, user_name")
        .bind(id)
        .fetch_all(connection)
        .await
        .map_err(column())?;
    let broken = || StoreError::Row(format!("a vote on approval `{id}`"));
    rows.iter()
        .map(|row| {
            let vote: String = row.try_get("vote").map_err(column())?;
            let groups: String = row.try_get("group_names").map_err(column())?;
            let people: String = row.try_get("people").map_err(column())?;
            Ok(Vote {
                user: row.try_get("user_name").map_err(column())?,
                choice: Choice::from_name(&vote).ok_or_else(broken)?,
                reason: row.try_get("reason").map_err(column())?,
                at: Timestamp::from_millis(row.try_get("voted").map_err(column())?),
                groups: decode_names(&groups).ok_or_else(broken)?,
                people: decode_names(&people).ok_or_else(broken)?,
            })
        })
        .collect()
}

fn decode(row: &SqliteRow) -> Result<ApprovalInfo, StoreError> {
    let column = || StoreError::doing("read an approval");
    let id: String = row.try_get("id").map_err(column())?;
    let broken = |what: &str| StoreError::Row(format!("`{what}` of approval `{id}`"));
    let text = |name: &str| row.try_get::<String, _>(name).map_err(column());
    let requester: StoredIdentity = serde_json::from_str(&text("requester")?).map_err(|_| broken("requester"))?;
    let needs: Vec<StoredNeed> = serde_json::from_str(&text("needs")?).map_err(|_| broken("needs"))?;
    Ok(ApprovalInfo {
        session: text("session_id")?,
        requester: requester.identity().ok_or_else(|| broken("requester"))?,
        target: text("target")?,
        database: row.try_get("database_name").map_err(column())?,
        statement: text("statement")?,
        parameters: row.try_get("parameters").map_err(column())?,
        digest: decode_digest(&text("digest")?).ok_or_else(|| broken("digest"))?,
        policies: serde_json::from_str(&text("policies")?).map_err(|_| broken("policies"))?,
        needs: needs.into_iter().map(|n| Need { groups: n.groups, quorum: n.quorum }).collect(),
        opened: Timestamp::from_millis(row.try_get("opened").map_err(column())?),
        expires: Timestamp::from_millis(row.try_get("expires").map_err(column())?),
        state: ApprovalState::from_name(&text("state")?).ok_or_else(|| broken("state"))?,
        ended: row.try_get::<Option<i64>, _>("ended").map_err(column())?.map(Timestamp::from_millis),
        reason: row.try_get("reason").map_err(column())?,
        votes: Vec::new(),
        id: id.clone(),
    })
}

#[derive(Serialize, Deserialize)]
struct StoredNeed {
    groups: BTreeSet<String>,
    quorum: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    user: String,
    groups: BTreeSet<String>,
    kind: String,
    on_behalf_of: String,
    token_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actions: Option<BTreeSet<String>>,
}

impl StoredIdentity {
    fn of(identity: &Identity) -> Self {
        StoredIdentity {
            user: identity.user.clone(),
            groups: identity.groups.clone(),
            kind: identity.kind.name().to_owned(),
            on_behalf_of: encode_chain(&identity.on_behalf_of),
            token_id: identity.token_id.clone(),
            actions: identity.actions.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
        }
    }

    fn identity(self) -> Option<Identity> {
        let read = |names: BTreeSet<String>| names.iter().map(|name| name.parse().ok()).collect::<Option<_>>();
        let actions = match self.actions {
            Some(names) => Some(read(names)?),
            None => None,
        };
        Some(Identity {
            kind: IdentityKind::from_name(&self.kind)?,
            directories: Vec::new(),
            on_behalf_of: decode_chain(&self.on_behalf_of)?,
            user: self.user,
            groups: self.groups,
            token_id: self.token_id,
            actions,
        })
    }
}

impl Choice {
    /// The name in the store and in API answers.
    pub const fn name(self) -> &'static str {
        match self {
            Choice::Approve => "approve",
            Choice::Deny => "deny",
        }
    }

    fn from_name(text: &str) -> Option<Self> {
        [Choice::Approve, Choice::Deny].into_iter().find(|c| c.name() == text)
    }
}

fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Row(e.to_string()))
}

/// What is shown of a very long text; the digest covers all of it.
fn cut(text: &str) -> String {
    let mut end = text.len().min(limits::APPROVAL_STATEMENT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text.get(..end) {
        Some(shown) if end < text.len() => format!("{shown}\n… {} more bytes not shown", text.len() - end),
        _ => text.to_owned(),
    }
}
