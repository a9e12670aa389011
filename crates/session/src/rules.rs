//! What requests are judged by: the policies, and what the configuration says of each target. Replaced as a whole when
//! either changes, so that every judgement is of one version.

use crate::ledger::{InferRules, Ledger};
use arc_swap::ArcSwap;
use lockgate_core::{Identity, IdentityKind, Label, TargetName};
use lockgate_detect::{Custom, Kind};
use lockgate_mask::MaskKeys;
use lockgate_policy::{Policies, TargetFacts};
use lockgate_sql::ColumnRule;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One version of everything that judges.
pub struct Rules {
    /// The policies.
    pub policies: Policies,
    /// The targets by name.
    pub targets: HashMap<TargetName, Arc<TargetRules>>,
    /// Grows with each load, so that a judgement knows whether it is still of today.
    pub version: u64,
    /// The keys of `hash` and `token`, and of the digests in the ledger.
    pub mask_keys: Arc<MaskKeys>,
    /// How far permitted uses of labelled values go.
    pub infer: InferRules,
    /// What has been found out by them. A load takes it over.
    pub ledger: Arc<Ledger>,
}

/// A label and the detectors that find its values wherever they are.
#[derive(Clone, Debug)]
pub struct Content {
    /// The label.
    pub label: Label,
    /// The built-in detectors.
    pub kinds: Vec<Kind>,
    /// The user-defined detectors.
    pub custom: Vec<Arc<Custom>>,
}

/// What the configuration says of one target, as far as judging needs it.
pub struct TargetRules {
    /// Name and labels, as policies see them.
    pub facts: TargetFacts,
    /// Which columns carry which label.
    pub columns: Vec<ColumnRule>,
    /// User-defined functions that are declared free of labelled data, as `schema.name`.
    pub safe_functions: Vec<String>,
    /// Every label on the target: what a value of unknown origin may carry.
    pub labels: Vec<Label>,
    /// Whose statements are rewritten.
    pub rewrites: Rewrites,
    /// What is looked for in the values of columns without a label.
    pub content: Vec<Content>,
    /// Where it leads, as far as that is known: what identities may do there through another target counts as well.
    pub place: String,
    /// Labels follow what is copied; otherwise copying to where a label is lost is refused.
    pub propagates: bool,
    /// Changes whenever `columns` or `safe_functions` do, so that a catalog knows by which rules it was labelled.
    pub version: u64,
}

impl TargetRules {
    /// Gathers the labels from the columns.
    pub fn new(facts: TargetFacts, columns: Vec<ColumnRule>, safe_functions: Vec<String>, version: u64) -> Self {
        let labels: BTreeSet<Label> = columns.iter().map(|c| c.label.clone()).collect();
        let labels = labels.into_iter().collect();
        TargetRules {
            facts,
            columns,
            safe_functions,
            labels,
            rewrites: Rewrites::default(),
            content: Vec::new(),
            place: String::new(),
            propagates: false,
            version,
        }
    }

    /// The same with statements rewritten for these.
    #[must_use]
    pub fn rewriting(self, rewrites: Rewrites) -> Self {
        TargetRules { rewrites, ..self }
    }

    /// The same of a target that leads to this place.
    #[must_use]
    pub fn leading_to(self, place: String) -> Self {
        TargetRules { place, ..self }
    }

    /// The same with labels that follow what is copied, or without.
    #[must_use]
    pub fn propagating(self, propagates: bool) -> Self {
        TargetRules { propagates, ..self }
    }

    /// With these content rules.
    #[must_use]
    pub fn with_content(self, content: Vec<Content>) -> Self {
        TargetRules { content, ..self }
    }

    /// Whether anything on the target is labelled.
    pub fn has_labels(&self) -> bool {
        !self.labels.is_empty()
    }
}

/// Whose statements are rewritten, so that hidden columns are constants where they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrites {
    /// Everybody's.
    pub everybody: bool,
    /// Those of the members of these groups, and of whoever acts for one.
    pub groups: Vec<String>,
    /// Those of these kinds of identities, and of whoever acts for one.
    pub kinds: Vec<IdentityKind>,
}

impl Rewrites {
    /// Whether this identity's are.
    pub fn are_for(&self, identity: &Identity) -> bool {
        let nobody = self.groups.is_empty() && self.kinds.is_empty();
        self.everybody
            || !nobody
                && match identity.standings() {
                    Ok(standings) => standings.iter().any(|standing| {
                        self.kinds.contains(&standing.kind) || standing.groups.iter().any(|g| self.groups.contains(g))
                    }),
                    Err(_) => true,
                }
    }
}

/// The rules of now; a load replaces them for everybody at once.
pub type RulesHandle = Arc<ArcSwap<Rules>>;
