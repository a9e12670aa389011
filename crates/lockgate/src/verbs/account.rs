//! `lockgate whoami` and `lockgate targets`.

use crate::cli::Global;
use crate::client::Client;
use crate::output::Output;
use crate::place::Place;
use crate::view::{IdentityView, names, short};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who a token stands for.
#[derive(Serialize, Deserialize)]
pub struct Me {
    /// The identity.
    #[serde(flatten)]
    pub identity: IdentityView,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    role: String,
    token: TokenBrief,
}

/// The token that was sent.
#[derive(Serialize, Deserialize)]
struct TokenBrief {
    id: String,
    expires: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<String>>,
}

/// A target as listed.
#[derive(Serialize, Deserialize)]
pub struct TargetView {
    /// Its name.
    pub name: String,
    protocol: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// `lockgate whoami`
pub async fn whoami(global: &Global, output: Output) -> anyhow::Result<()> {
    let me: Me = Client::new(global)?.get("/api/v1/whoami", &[]).await?;
    let parties: Vec<String> = me.identity.on_behalf_of.iter().map(|party| party.user.clone()).collect();
    let fields = [
        ("user", me.identity.user.clone()),
        ("groups", names(&me.identity.groups)),
        ("kind", me.identity.kind.clone()),
        ("acts for", names(&parties)),
        ("token", me.token.id.clone()),
        ("expires", short(&me.token.expires)),
        ("targets", me.token.targets.as_ref().map_or_else(|| "all".to_owned(), names)),
        ("actions", me.token.actions.as_ref().map_or_else(|| "all".to_owned(), names)),
        ("role", me.role.clone()),
    ];
    output.item(&me, &fields)
}

/// `lockgate targets`
pub async fn targets(global: &Global, output: Output) -> anyhow::Result<()> {
    let targets: Vec<TargetView> = match Place::find(global)? {
        Place::There(client) => client.list("/api/v1/targets", "targets", &[], "after", usize::MAX).await?,
        Place::Here(loaded) => loaded
            .config
            .targets
            .iter()
            .map(|target| TargetView {
                name: target.name.to_string(),
                protocol: "postgres".to_owned(),
                labels: target.labels.clone(),
            })
            .collect(),
    };
    let row = |target: &TargetView| {
        let labels: Vec<String> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![target.name.clone(), target.protocol.clone(), names(&labels)]
    };
    output.list(&targets, &["name", "protocol", "labels"], row, "there is no target that you may connect to")
}
