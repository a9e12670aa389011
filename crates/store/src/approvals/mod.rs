//! Requests that wait until people approve them. Durable, so that who decided what stays known; live, so that the session that
//! waits hears at once.
//!
//! ```text
//!            decide: all needs met        claimed by the session that waits
//! pending ─────────────────────▶ approved ─────────────────────▶ used
//!    │ ├─ decide: deny ─▶ denied     │
//!    │ ├─ time is over ─▶ expired    │
//!    │ ├─ ticket dropped ▶ withdrawn ◀┘ ticket dropped before the claim
//!    └─ gateway restarted ▶ aborted
//! ```
//!
//! Every arrow is one conditional write in one transaction, so that of any number of racing decisions one wins. Only the
//! process that holds the ticket can run what was approved, and it must win the arrow to `used` first: once.

mod rows;
mod ticket;

pub use rows::{ApprovalFilter, ApprovalInfo, Vote};
pub use ticket::{Approved, Decision, Ticket};

use crate::error::StoreError;
use crate::keys;
use crate::store::Store;
use lockgate_core::{Identity, SessionId, TargetName, Timestamp, is_name, limits, metrics as names, name_key};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Who must approve: `quorum` distinct people out of `groups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// A member of any of these may approve.
    pub groups: BTreeSet<String>,
    /// How many of them.
    pub quorum: u32,
}

/// What asks for approval.
#[derive(Clone, Debug)]
pub struct NewApproval {
    /// The session that waits.
    pub session: SessionId,
    /// Who asks, with everybody it acts for.
    pub requester: Identity,
    /// The target it would run on.
    pub target: TargetName,
    /// The database on it.
    pub database: Option<String>,
    /// The statement, as shown to those who decide.
    pub statement: String,
    /// The parameters, as shown to those who decide.
    pub parameters: Option<String>,
    /// What exactly would run: identity, target, statement and parameters.
    pub digest: [u8; 32],
    /// The policies that ask.
    pub policies: Vec<String>,
    /// All of these must be met.
    pub needs: Vec<Need>,
    /// When it is too late.
    pub expires: Timestamp,
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// It waits.
    Pending,
    /// Approved; the session has not taken it up yet.
    Approved,
    /// Approved, and what was approved was let through.
    Used,
    /// Somebody said no.
    Denied,
    /// Nobody said enough in time.
    Expired,
    /// The requester gave up.
    Withdrawn,
    /// The gateway restarted meanwhile; nothing ran.
    Aborted,
}

impl ApprovalState {
    const ALL: [ApprovalState; 7] = [
        ApprovalState::Pending,
        ApprovalState::Approved,
        ApprovalState::Used,
        ApprovalState::Denied,
        ApprovalState::Expired,
        ApprovalState::Withdrawn,
        ApprovalState::Aborted,
    ];

    /// The name in the store and in API answers.
    pub const fn name(self) -> &'static str {
        match self {
            ApprovalState::Pending => "pending",
            ApprovalState::Approved => "approved",
            ApprovalState::Used => "used",
            ApprovalState::Denied => "denied",
            ApprovalState::Expired => "expired",
            ApprovalState::Withdrawn => "withdrawn",
            ApprovalState::Aborted => "aborted",
        }
    }

    /// The state that `text` names.
    pub fn from_name(text: &str) -> Option<Self> {
        ApprovalState::ALL.into_iter().find(|s| s.name() == text)
    }
}

/// What somebody says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Let it run.
    Approve,
    /// Do not.
    Deny,
}

/// Why a decision does not count.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such request here.
    #[error("there is no approval `{0}`")]
    Unknown(String),
    /// It is over.
    #[error("the request is {} already", .0.name())]
    NotPending(ApprovalState),
    /// Nobody decides on what was asked by or for them.
    #[error("this was asked by or for `{0}`, so somebody else must decide")]
    OwnRequest(String),
    /// Agents and services ask; people answer.
    #[error("only a person can decide, and neither an agent nor a service is one")]
    NotAPerson,
    /// The approver is in none of the groups that are still missing.
    #[error("only a member of {} can decide now", .0.iter().map(|g| format!("`{g}`")).collect::<Vec<_>>().join(" or "))]
    NotInGroup(BTreeSet<String>),
    /// The same person approved before.
    #[error("`{0}` has approved already; another person must")]
    AlreadyVoted(String),
    /// The reason is too long.
    #[error("a reason has at most {} bytes", limits::REASON_BYTES_MAX)]
    ReasonTooLong,
    /// The store cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request cannot wait for approval: deny it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too many wait already.
    #[error("{} requests wait for approval already", limits::HOLDS_MAX)]
    TooMany,
    /// Nobody could ever approve it.
    #[error("no group is named that could approve")]
    NoApprovers,
    /// It has expired before it began.
    #[error("the time to approve is over before it began")]
    NoTime,
    /// The store cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The requests that wait in this process, over their rows in the store. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Approvals {
    hub: Arc<Hub>,
}

pub(crate) struct Hub {
    store: Store,
    live: Mutex<HashMap<String, Arc<Live>>>,
}

/// A request that waits here.
struct Live {
    /// Set once by whoever wins the arrow out of `pending`.
    outcome: watch::Sender<Option<ApprovalState>>,
    /// By the clock that nobody can set.
    deadline: Instant,
    /// By the clock on the wall. Whichever comes first.
    expires: Timestamp,
}

impl Approvals {
    /// The hub over `store`. The process must hold [`Store::claim`], which also ends what an earlier gateway left pending.
    pub fn new(store: Store) -> Self {
        Approvals { hub: Arc::new(Hub { store, live: Mutex::new(HashMap::new()) }) }
    }

    /// Lets a request wait. The row is durable before this returns.
    ///
    /// # Errors
    /// See [`OpenError`]; then the request is denied.
    pub async fn open(&self, new: NewApproval, now: Timestamp) -> Result<Ticket, OpenError> {
        let random = u128::from_be_bytes(keys::random::<16>()?);
        let id = ulid::Ulid::from_parts(now.millis().unsigned_abs(), random).to_string();
        self.open_as(&id, new, now).await
    }

    /// The same under an id that the requester was told already. It must never have been used before.
    ///
    /// # Errors
    /// See [`OpenError`]; then the request is denied.
    pub async fn open_as(&self, id: &str, new: NewApproval, now: Timestamp) -> Result<Ticket, OpenError> {
        let usable = |need: &Need| {
            !need.groups.is_empty()
                && need.groups.iter().all(|g| is_name(g))
                && (1..=limits::QUORUM_MAX).contains(&need.quorum)
        };
        if new.needs.is_empty() || !new.needs.iter().all(usable) {
            return Err(OpenError::NoApprovers);
        }
        let wait_ms =
            u64::try_from(new.expires.millis_since(now)).ok().filter(|ms| *ms > 0).ok_or(OpenError::NoTime)?;
        let deadline = Instant::now().checked_add(Duration::from_millis(wait_ms)).ok_or(OpenError::NoTime)?;
        let id = id.to_owned();

        let live = Arc::new(Live { outcome: watch::Sender::new(None), deadline, expires: new.expires });
        {
            let mut all = self.hub.live();
            if all.len() >= limits::HOLDS_MAX {
                return Err(OpenError::TooMany);
            }
            all.insert(id.clone(), live.clone());
            gauge(all.len());
        }
        // From here the ticket cleans up, whatever happens to this future.
        let ticket = Ticket::new(self.hub.clone(), id.clone(), live, new.digest);
        rows::insert(&self.hub.store, &id, &new, now).await?;
        Ok(ticket)
    }

    /// Counts somebody's decision. The first denial ends the request; approval needs every need met by distinct people.
    /// Returns the state after it: `Pending` when more people must approve.
    ///
    /// # Errors
    /// See [`DecideError`]; nothing has changed then, unless the time was over.
    pub async fn decide(
        &self,
        id: &str,
        approver: &Identity,
        choice: Choice,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<ApprovalState, DecideError> {
        if reason.is_some_and(|r| r.len() > limits::REASON_BYTES_MAX) {
            return Err(DecideError::ReasonTooLong);
        }
        let live = self.hub.live().get(id).cloned();
        let Some(live) = live else {
            let known = rows::find(&self.hub.store, id).await?;
            return Err(known.map_or_else(|| DecideError::Unknown(id.to_owned()), |a| DecideError::NotPending(a.state)));
        };
        if live.is_over(now) {
            rows::end(&self.hub.store, id, ApprovalState::Expired, None, now).await?;
            live.tell(ApprovalState::Expired);
            return Err(DecideError::NotPending(ApprovalState::Expired));
        }
        let state = rows::decide(&self.hub.store, id, approver, choice, reason, now).await?;
        if state != ApprovalState::Pending {
            live.tell(state);
        }
        Ok(state)
    }

    /// How many requests wait here.
    pub fn live_count(&self) -> usize {
        self.hub.live().len()
    }

    /// Approvals, newest first, whatever their state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalInfo>, StoreError> {
        rows::list(&self.hub.store, filter).await
    }

    /// One approval.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<ApprovalInfo>, StoreError> {
        rows::find(&self.hub.store, id).await
    }
}

impl Store {
    /// Approvals, newest first, for a process that is not the gateway.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalInfo>, StoreError> {
        rows::list(self, filter).await
    }

    /// One approval, for a process that is not the gateway.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn approval(&self, id: &str) -> Result<Option<ApprovalInfo>, StoreError> {
        rows::find(self, id).await
    }
}

impl Hub {
    fn live(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on no decision counts for this request.
    fn forget(&self, id: &str) {
        let mut live = self.live();
        live.remove(id);
        gauge(live.len());
    }
}

fn gauge(live: usize) {
    metrics::gauge!(names::HOLDS_LIVE).set(f64::from(u32::try_from(live).unwrap_or(u32::MAX)));
}

impl Live {
    fn is_over(&self, now: Timestamp) -> bool {
        self.expires <= now || self.deadline <= Instant::now()
    }

    fn tell(&self, state: ApprovalState) {
        self.outcome.send_if_modified(|outcome| {
            let first = outcome.is_none();
            if first {
                *outcome = Some(state);
            }
            first
        });
    }
}

/// Ends what an earlier gateway left open: nobody waits for it any more.
pub(crate) async fn abort_pending(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    rows::abort_pending(store, now).await
}

/// The people behind an identity: itself and everybody it acts for.
fn people(identity: &Identity) -> BTreeSet<String> {
    identity.users().map(str::to_owned).collect()
}

/// The first of these who is among the others too, however the two are spelt.
fn shared<'p>(people: &'p BTreeSet<String>, others: &BTreeSet<String>) -> Option<&'p String> {
    let keys: BTreeSet<String> = others.iter().map(|name| name_key(name)).collect();
    people.iter().find(|name| keys.contains(&name_key(name)))
}
