//! The waiting session's side of an approval.

use super::{ApprovalState, Hub, Live, rows};
use crate::clock;
use crate::error::StoreError;
use lockgate_core::metrics as names;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What became of a request.
#[derive(Debug)]
pub enum Decision {
    /// It may run, once.
    Approved(Approved),
    /// Somebody said no.
    Denied {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// Nobody said enough in time.
    Expired,
    /// It was withdrawn, or the gateway gave it up.
    Withdrawn,
    /// The store could not say what was decided: deny.
    Failed(StoreError),
}

/// Proof that a request was approved and that the approval is spent on it. Made only by the arrow from `approved` to `used`.
#[derive(Debug)]
pub struct Approved {
    id: String,
    by: Vec<String>,
    digest: [u8; 32],
}

impl Decision {
    /// The name in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Decision::Approved(_) => "approved",
            Decision::Denied { .. } => "denied",
            Decision::Expired => "expired",
            Decision::Withdrawn => "withdrawn",
            Decision::Failed(_) => "failed",
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!(names::APPROVALS_TOTAL, "outcome" => outcome).increment(1);
}

impl Approved {
    /// The approval's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who approved, in the order in which they did.
    pub fn by(&self) -> &[String] {
        &self.by
    }

    /// What exactly was approved. Whoever forwards compares it with what is about to run.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// A request that waits. Dropping it withdraws the request.
pub struct Ticket {
    hub: Arc<Hub>,
    id: String,
    live: Arc<Live>,
    digest: [u8; 32],
    /// Runs on when a `wait` is dropped half-way, so that a claim is never made and then forgotten.
    settling: Option<JoinHandle<Decision>>,
    settled: bool,
}

/// How often a waiting request looks at the clock on the wall, which may have been set.
const WALL_LOOK: Duration = Duration::from_millis(500);

impl Ticket {
    pub(super) fn new(hub: Arc<Hub>, id: String, live: Arc<Live>, digest: [u8; 32]) -> Self {
        Ticket { hub, id, live, digest, settling: None, settled: false }
    }

    /// The approval's id, as in `/approvals/ID`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How long is left, for telling the client.
    pub fn remaining(&self) -> Duration {
        let by_wall =
            u64::try_from(self.live.expires.millis_since(clock::now())).map_or(Duration::ZERO, Duration::from_millis);
        self.live.deadline.saturating_duration_since(std::time::Instant::now()).min(by_wall)
    }

    /// Waits for the decision. May be dropped and called again; once it has answered, it answers `Withdrawn` ever after,
    /// since an approval is used once.
    pub async fn wait(&mut self) -> Decision {
        if self.settled {
            return Decision::Withdrawn;
        }
        if self.settling.is_none() {
            let outcome = self.outcome().await;
            self.settling = Some(tokio::spawn(settle(self.hub.clone(), self.id.clone(), self.digest, outcome)));
        }
        let decision = match &mut self.settling {
            Some(task) => task.await.unwrap_or(Decision::Withdrawn),
            None => Decision::Withdrawn,
        };
        self.settling = None;
        self.settled = true;
        count(decision.name());
        self.hub.forget(&self.id);
        decision
    }

    /// Withdraws the request, and waits until that is written.
    ///
    /// # Errors
    /// When the store cannot be written. Nothing can run then either: the ticket is gone.
    pub async fn withdraw(mut self) -> Result<(), StoreError> {
        self.hub.forget(&self.id);
        if std::mem::replace(&mut self.settled, true) {
            return Ok(());
        }
        count("withdrawn");
        self.live.tell(ApprovalState::Withdrawn);
        rows::end(&self.hub.store, &self.id, ApprovalState::Withdrawn, None, clock::now()).await.map(|_| ())
    }

    /// The state it left `pending` for, as far as this process has heard, or `Expired` when the time is over.
    async fn outcome(&self) -> ApprovalState {
        let mut told = self.live.outcome.subscribe();
        loop {
            let look = Instant::from_std(self.live.deadline).min(Instant::now() + WALL_LOOK);
            tokio::select! {
                biased;
                outcome = told.wait_for(Option::is_some) => {
                    // The sender lives in `self.live`, so that an error cannot be.
                    return outcome.ok().and_then(|o| *o).unwrap_or(ApprovalState::Withdrawn);
                }
                () = tokio::time::sleep_until(look) => {
                    if self.live.is_over(clock::now()) {
                        return ApprovalState::Expired;
                    }
                }
            }
        }
    }
}

impl Drop for Ticket {
    // The one place where a drop writes: a session may end in any way, and a request nobody waits for must not be approvable.
    // From the removal on no decision counts; the row follows, or becomes `aborted` at the next start.
    fn drop(&mut self) {
        self.hub.forget(&self.id);
        if self.settled {
            return;
        }
        count("withdrawn");
        self.live.tell(ApprovalState::Withdrawn);
        if let (Ok(runtime), None) = (Handle::try_current(), &self.settling) {
            let (hub, id) = (self.hub.clone(), std::mem::take(&mut self.id));
            runtime.spawn(async move {
                if let Err(e) = rows::end(&hub.store, &id, ApprovalState::Withdrawn, None, clock::now()).await {
                    tracing::warn!(error = %e, approval = %id, "cannot note that a request was withdrawn");
                }
            });
        }
    }
}

/// Reads what was decided, and claims what was approved. Whatever was heard, the row has the last word.
async fn settle(hub: Arc<Hub>, id: String, digest: [u8; 32], heard: ApprovalState) -> Decision {
    match try_settle(&hub, &id, digest, heard).await {
        Ok(decision) => decision,
        Err(e) => Decision::Failed(e),
    }
}

async fn try_settle(hub: &Hub, id: &str, digest: [u8; 32], heard: ApprovalState) -> Result<Decision, StoreError> {
    let now = clock::now();
    if heard == ApprovalState::Expired {
        // Fails when a decision came first; then that decision counts.
        rows::end(&hub.store, id, ApprovalState::Expired, None, now).await?;
    }
    if rows::claim(&hub.store, id, &digest).await? {
        let by = rows::find(&hub.store, id).await?.map(|a| a.votes.into_iter().map(|v| v.user).collect());
        return Ok(Decision::Approved(Approved { id: id.to_owned(), by: by.unwrap_or_default(), digest }));
    }
    let Some(approval) = rows::find(&hub.store, id).await? else { return Ok(Decision::Withdrawn) };
    Ok(match approval.state {
        ApprovalState::Denied => {
            let vote = approval.votes.into_iter().find(|v| v.choice == super::Choice::Deny);
            let (by, reason) = vote.map_or_else(|| ("somebody".to_owned(), None), |v| (v.user, v.reason));
            Decision::Denied { by, reason }
        }
        ApprovalState::Expired => Decision::Expired,
        ApprovalState::Pending
        | ApprovalState::Approved
        | ApprovalState::Used
        | ApprovalState::Withdrawn
        | ApprovalState::Aborted => Decision::Withdrawn,
    })
}
