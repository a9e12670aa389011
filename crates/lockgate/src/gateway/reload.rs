//! New configuration and policies while the gateway runs: on SIGHUP, and when a file that was read has changed.
//!
//! All or nothing: with any mistake everything stays as it is, and the mistake is said in the log and recorded.

use super::providers::Providers;
use super::rules::{self, Version};
use super::{Gateway, digest_of, policies_digest};
use crate::{place, when};
use lockgate_config::{Admin, Config, Loaded};
use lockgate_record::{ConfigReloaded, Digest, PolicyLoaded};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::Signal;

/// How often files are looked at. Looking finds what file events miss: mounted secrets, renamed folders, network disks.
/// Short, because a policy that takes a right away has to count within a second.
const LOOK: Duration = Duration::from_millis(400);

/// What a file looked like: when it changed and how long it was; `None` where it is missing.
type Looks = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

/// Watches until the process ends.
pub async fn watch(gateway: Arc<Gateway>, sources: Vec<PathBuf>, mut hangup: Signal) {
    let mut seen = look(&sources);
    let mut sources = sources;
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let looks = look(&sources);
        if !asked && looks == seen {
            continue;
        }
        // An editor may be half-way through several files: wait until they rest.
        let mut looks = looks;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let again = look(&sources);
            if again == looks {
                break;
            }
            looks = again;
        }
        if let Some(new) = gateway.reload() {
            sources = new;
            looks = look(&sources);
        }
        seen = looks;
    }
}

fn look(sources: &[PathBuf]) -> Looks {
    let one = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    sources.iter().map(|path| (path.clone(), one(path))).collect()
}

impl Gateway {
    /// Takes the files as they are now; the list of those that were read, if they were taken.
    pub(super) fn reload(self: &Arc<Self>) -> Option<Vec<PathBuf>> {
        let now = when::now();
        let loaded = match place::load(&self.config_path) {
            Ok(loaded) => loaded,
            Err(report) => {
                tracing::error!("the new configuration is not taken, the old one stays:\n{report}");
                let text = std::fs::read(&self.config_path).unwrap_or_default();
                let detail = report.to_string();
                let event =
                    ConfigReloaded { accepted: false, config: Digest::of_parts(&[&text]), detail: detail.into() };
                self.log.note(event, now);
                return None;
            }
        };
        let sources = loaded.sources.clone();
        let (config, policies) = (digest_of(&loaded), policies_digest(&loaded));
        let count = u64::try_from(loaded.policies.list().count()).unwrap_or(u64::MAX);
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let needs_restart = needs_restart(&self.config(), &loaded);
        let roles = changed_roles(&self.config(), &loaded.config);
        let before = self.rules.load_full();
        let number = self.versions.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let known = self.providers.load_full();
        let version = Providers::build(&loaded.config, Some(&known)).and_then(|providers| {
            Ok((providers, rules::build(loaded, number, Arc::clone(&self.mask_keys), Some(&before))?))
        });
        let (providers, version) = match version {
            Ok(version) => version,
            Err(error) => {
                tracing::error!("the new configuration is not taken, the old one stays: {error:#}");
                let detail = format!("{error:#}");
                self.log.note(ConfigReloaded { accepted: false, config, detail: detail.into() }, now);
                return None;
            }
        };
        let Version { rules, targets } = version;
        self.targets.store(Arc::new(targets));
        providers.start(Some(&known));
        let providers = Arc::new(providers);
        self.providers.store(Arc::clone(&providers));
        // After the new ones are there: what is proven from now on is proven by them, or looks again.
        self.proofs.judge_again(&providers);
        self.rules.store(Arc::new(rules));
        let detail = match needs_restart.is_empty() {
            true => String::new(),
            false => format!("a restart is needed for the change of {}", needs_restart.join(", ")),
        };
        if detail.is_empty() {
            tracing::info!("configuration and {count} policies taken");
        } else {
            tracing::warn!("configuration and {count} policies taken; {detail}");
        }
        if !roles.is_empty() {
            tracing::warn!("roles in the gateway itself have changed: {}", roles.join("; "));
        }
        let detail: Vec<String> = Some(detail).filter(|detail| !detail.is_empty()).into_iter().chain(roles).collect();
        self.log.note(ConfigReloaded { accepted: true, config, detail: detail.join("; ").into() }, now);
        self.log.note(PolicyLoaded { accepted: true, policies, count, detail: "".into() }, now);
        Some(sources)
    }
}

/// Who has come to or lost a role of the gateway itself.
fn changed_roles(old: &Config, new: &Config) -> Vec<String> {
    let words = |holders: &[Admin]| -> BTreeSet<String> {
        let word = |holder: &Admin| match holder {
            Admin::User(user) => format!("user:{user}"),
            Admin::Group(group) => format!("group:{group}"),
        };
        holders.iter().map(word).collect()
    };
    let mut changed = Vec::new();
    for (role, old, new) in [("administrators", &old.admins, &new.admins), ("auditors", &old.auditors, &new.auditors)] {
        let (old, new) = (words(old), words(new));
        let moved = |word: &str, names: Vec<&String>| {
            let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
            (!names.is_empty()).then(|| format!("{role} {word} {}", names.join(", ")))
        };
        changed.extend(moved("with", new.difference(&old).collect()));
        changed.extend(moved("without", old.difference(&new).collect()));
    }
    changed
}

/// Settings that are bound to what the process opened at its start.
fn needs_restart(old: &Config, new: &Loaded) -> Vec<&'static str> {
    let new = &new.config;
    [
        ("data_dir", old.data_dir != new.data_dir),
        ("recordings", old.recordings != new.recordings),
        ("recording", old.recording != new.recording),
        ("listen", old.listen != new.listen),
        ("url", old.url != new.url),
        ("tls", old.tls != new.tls),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}
