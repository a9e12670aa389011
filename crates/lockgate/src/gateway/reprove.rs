//! Asks identity providers again about tokens that were shown without a login, as long as sessions rest on them
//! (`identity.oidc[].token_check`). What a provider cannot be asked about ends with its own time.

use super::Gateway;
use super::questions::Questions;
use crate::when;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often it is looked whose time has come.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking = Questions::default();
    loop {
        ticks.tick().await;
        asking.settle();
        let now = when::now();
        let recheck_ms = i64::try_from(gateway.config().recheck_ms).unwrap_or(i64::MAX);
        let providers = gateway.providers.load_full();
        for proof in gateway.proofs.due(recheck_ms, now) {
            let name = proof.rules().provider.clone();
            if asking.room(&name) == 0 || asking.about().any(|known| known == proof.id()) {
                continue;
            }
            let Some(provider) = providers.with_rules(proof.rules()).cloned() else { continue };
            let gateway = Arc::clone(&gateway);
            let about = proof.id().to_owned();
            asking.ask(&about, &name, async move {
                if let Err(why) = gateway.ask_about_proof(&proof, &provider, when::now()).await {
                    tracing::info!("sessions of a token end: {why}");
                }
            });
        }
    }
}
