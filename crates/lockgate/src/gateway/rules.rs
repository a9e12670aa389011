//! From a checked configuration to what judges and dials: one immutable version of both, replaced as a whole by a reload.

use anyhow::Context;
use lockgate_config::{Config, Loaded, TlsMode};
use lockgate_core::{Identity, Secret, TargetName};
use lockgate_mask::MaskKeys;
use lockgate_relay::{Route, tls};
use lockgate_session::{Content, InferRules, Rewrites, Rules, TargetRules};
use lockgate_sql::ColumnRule;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::sync::Arc;

/// The ways to the targets, and what else of the configuration a login needs.
pub struct Targets {
    /// The configuration they come from.
    pub config: Arc<Config>,
    tls: HashMap<TargetName, Option<Arc<ClientConfig>>>,
}

/// Everything of one version.
pub struct Version {
    /// What judges.
    pub rules: Rules,
    /// What dials.
    pub targets: Targets,
}

/// Builds a version. Nothing of it counts until it is put in place.
///
/// # Errors
/// When a target's certificate authorities cannot be read.
pub fn build(
    loaded: Loaded,
    version: u64,
    mask_keys: Arc<MaskKeys>,
    before: Option<&Rules>,
) -> anyhow::Result<Version> {
    let Loaded { config, policies, .. } = loaded;
    let mut rules = HashMap::new();
    let mut tls = HashMap::new();
    for target in &config.targets {
        let columns = column_rules(&config, target.name.as_str());
        let old = before.and_then(|rules| rules.targets.get(&target.name));
        // Catalogs are labelled by these; one whose rules stayed the same stays good.
        let kept = old.filter(|o| o.columns == columns && o.safe_functions == target.safe_functions);
        let labelled = kept.map_or(version, |o| o.version);
        let lockgate_config::Rewrites { everybody, groups, kinds } = target.rewrites.clone();
        let fresh = TargetRules::new(target.facts(), columns, target.safe_functions.clone(), labelled)
            .rewriting(Rewrites { everybody, groups, kinds })
            .propagating(target.propagates)
            .leading_to(format!("{}:{}", target.address.host.to_ascii_lowercase(), target.address.port))
            .with_content(content_rules(&config));
        rules.insert(target.name.clone(), Arc::new(fresh));
        let client = match target.tls {
            TlsMode::Disable => None,
            TlsMode::Require => Some(tls::target_unverified()),
            TlsMode::VerifyFull => Some(tls::target(target.ca.as_deref())),
        };
        let client = client.transpose().with_context(|| format!("target `{}`", target.name))?;
        tls.insert(target.name.clone(), client);
    }
    let lockgate_config::Infer { probes_max, window_ms, group_min } = config.infer;
    let infer = InferRules { probes_max, window_ms, group_min };
    // What identities have found out under the rules of before they still know.
    let ledger = before.map_or_else(Arc::default, |rules| Arc::clone(&rules.ledger));
    Ok(Version {
        rules: Rules { policies, targets: rules, version, mask_keys, infer, ledger },
        targets: Targets { config: Arc::new(config), tls },
    })
}

/// The labels that lie on a target. A pattern for one of its databases counts for all of them: what is labelled too much
/// is masked, what is labelled too little leaks.
pub fn column_rules(config: &Config, target: &str) -> Vec<ColumnRule> {
    let mut rules = Vec::new();
    for class in &config.classify {
        for column in class.columns.iter().filter(|c| lockgate_config::matches_glob(&c.target, target)) {
            rules.push(ColumnRule { label: class.label.clone(), pattern: column.within_database() });
        }
    }
    rules
}

/// The labels whose values are looked for in whatever a target says.
pub fn content_rules(config: &Config) -> Vec<Content> {
    let found = config.classify.iter().filter(|class| !class.detect.is_empty());
    found
        .map(|class| Content {
            label: class.label.clone(),
            kinds: class.detect.kinds.clone(),
            custom: class.detect.custom.clone(),
        })
        .collect()
}

impl Targets {
    /// The way to a target for an identity, or `None` when it has no such target or the database is not among those that
    /// may be named.
    pub fn route(&self, name: &TargetName, database: Option<&str>, identity: &Identity) -> Option<Route> {
        let target = self.config.target(name.as_str())?;
        if !database.is_none_or(|d| target.admits_database(d)) {
            return None;
        }
        Some(Route {
            target: name.clone(),
            asked_database: database.map(str::to_owned),
            host: target.address.host.clone(),
            port: target.address.port,
            tls: self.tls.get(name)?.clone(),
            username: target.username.for_user(&identity.user),
            password: target.password.clone().unwrap_or_else(|| Secret::new(String::new())),
            database: database.unwrap_or(&target.database).to_owned(),
        })
    }
}
