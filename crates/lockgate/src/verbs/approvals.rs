//! `lockgate approvals`: always through the API, because who decides must have proven who they are.

use crate::cli::{ApprovalsVerb, DecideArgs, Global};
use crate::client::{Client, escaped};
use crate::output::{self, Output};
use crate::view::{PartyView, names, short};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Approvals that are listed at most.
const LIST_MAX: usize = 1_000;

/// A request that waits, or waited.
#[derive(Serialize, Deserialize)]
struct Approval {
    id: String,
    session: String,
    user: String,
    #[serde(default)]
    on_behalf_of: Vec<PartyView>,
    target: String,
    database: Option<String>,
    statement: String,
    parameters: Option<String>,
    digest: String,
    #[serde(default)]
    policies: Vec<String>,
    #[serde(default)]
    needs: Vec<Need>,
    state: String,
    opened: String,
    expires: String,
    ended: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    votes: Vec<Vote>,
    #[serde(default)]
    may_decide: bool,
}

#[derive(Serialize, Deserialize)]
struct Need {
    groups: Vec<String>,
    quorum: u32,
}

#[derive(Serialize, Deserialize)]
struct Vote {
    user: String,
    vote: String,
    reason: Option<String>,
    at: String,
}

/// What became of a decision.
#[derive(Serialize, Deserialize)]
struct Decided {
    id: String,
    state: String,
}

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: ApprovalsVerb) -> anyhow::Result<()> {
    let client = Client::new(global)?;
    match verb {
        ApprovalsVerb::List { all } => {
            let query: &[(&str, String)] = if all { &[] } else { &[("state", "pending".to_owned())] };
            let mut approvals: Vec<Approval> =
                client.list("/api/v1/approvals", "approvals", query, "before", LIST_MAX).await?;
            // Those that wait first; each part stays newest first.
            approvals.sort_by_key(|approval| approval.state != "pending");
            let head = ["id", "user", "target", "needs", "state", "expires", "statement"];
            output.list(&approvals, &head, row, "nothing waits for approval")
        }
        ApprovalsVerb::Show { id } => {
            let approval: Approval = client.get(&format!("/api/v1/approvals/{}", escaped(&id)), &[]).await?;
            show(output, &approval)
        }
        ApprovalsVerb::Approve(args) => decide(&client, output, "approve", args).await,
        ApprovalsVerb::Deny(args) => decide(&client, output, "deny", args).await,
    }
}

impl Approval {
    fn who(&self) -> String {
        let mut text = self.user.clone();
        for party in &self.on_behalf_of {
            text.push_str(&format!(" for {}", party.user));
        }
        text
    }

    fn place(&self) -> String {
        match &self.database {
            Some(database) => format!("{}/{database}", self.target),
            None => self.target.clone(),
        }
    }

    fn needed(&self) -> String {
        let need = |need: &Need| match need.quorum {
            1 => need.groups.join(" or "),
            quorum => format!("{quorum} of {}", need.groups.join(" or ")),
        };
        self.needs.iter().map(need).collect::<Vec<_>>().join(" and ")
    }
}

fn row(approval: &Approval) -> Vec<String> {
    vec![
        approval.id.clone(),
        approval.who(),
        approval.place(),
        approval.needed(),
        approval.state.clone(),
        short(&approval.expires),
        approval.statement.clone(),
    ]
}

fn show(output: Output, approval: &Approval) -> anyhow::Result<()> {
    let votes: Vec<String> = approval
        .votes
        .iter()
        .map(|vote| {
            let reason = vote.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} {} at {}{reason}", vote.user, vote.vote, short(&vote.at))
        })
        .collect();
    let fields = [
        ("approval", approval.id.clone()),
        ("user", approval.who()),
        ("target", approval.place()),
        ("statement", approval.statement.clone()),
        ("parameters", approval.parameters.clone().unwrap_or_default()),
        ("digest", approval.digest.clone()),
        ("policies", names(&approval.policies)),
        ("needs", approval.needed()),
        ("state", approval.state.clone()),
        ("votes", votes.join("\n")),
        ("reason", approval.reason.clone().unwrap_or_default()),
        ("opened", short(&approval.opened)),
        ("expires", short(&approval.expires)),
        ("ended", approval.ended.as_deref().map(short).unwrap_or_default()),
        ("session", approval.session.clone()),
        ("you", if approval.may_decide { "may decide".to_owned() } else { "may not decide".to_owned() }),
    ];
    output.item(approval, &fields)
}

async fn decide(client: &Client, output: Output, choice: &str, args: DecideArgs) -> anyhow::Result<()> {
    let path = format!("/api/v1/approvals/{}/{choice}", escaped(&args.id));
    let decided: Decided = client.send_json(Method::POST, &path, Some(&json!({ "reason": args.reason }))).await?;
    if !output.is_table() {
        return output.data(&decided);
    }
    output::words(&match decided.state.as_str() {
        "pending" => format!("your approval of {} counts; more people must approve", decided.id),
        state => format!("{} is {state}", decided.id),
    })
}
