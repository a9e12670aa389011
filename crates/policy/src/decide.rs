//! Weighing: which policies are satisfied, and what that makes of the question.
//!
//! Default is deny. A forbid that cannot be evaluated counts as satisfied, a permit that cannot be evaluated does not.

use crate::annotations::{InferMode, MaskMethod, Severity, Softness};
use crate::facts::Facts;
use crate::question::{Question, Resource};
use crate::rule::{Effect, PolicyRef, Rule};
use crate::{Policies, rule};
use lockgate_core::Action;

/// What policy says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// The policies that made it.
    pub policies: Vec<PolicyRef>,
    /// The alerts that those policies raise.
    pub alerts: Vec<Alert>,
    /// Policies on trial (`@observe`) that matched and were not counted.
    pub observed: Vec<PolicyRef>,
    /// How far a permitted `infer` goes; nothing for other actions and outcomes.
    pub infer: InferModes,
    /// A policy that was looked at reads `context.now`: the decision may be another one later.
    pub depends_on_time: bool,
    /// A policy that was looked at reads `context.client`: the decision holds for this address only.
    pub depends_on_client: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Yes.
    Allow,
    /// No.
    Deny(DenyReason),
    /// Yes, once every need is met.
    Approve(Vec<ApprovalNeed>),
    /// Of a `reveal`: the value may be received, masked.
    Mask(MaskMethod, PolicyRef),
    /// Of a `reveal`: once every need is met, the value may be received, masked.
    ApproveThenMask(Vec<ApprovalNeed>, MaskMethod, PolicyRef),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// This policy forbids it; it is the first of those that do.
    Forbidden(PolicyRef),
    /// No policy permits it.
    NoPermit,
    /// The question could not be asked, so the answer is no. The text is for the log.
    Unanswerable(String),
}

/// One approval that is needed. Each need is met on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalNeed {
    /// A member of any of these groups may approve.
    pub groups: Vec<String>,
    /// How many different people must.
    pub quorum: u32,
    /// The policy that asks for it.
    pub policy: PolicyRef,
}

/// An alert that a decision raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The policy that carries `@alert`.
    pub policy: PolicyRef,
    /// How loud.
    pub severity: Severity,
}

/// The ways in which a labelled value may be used without being received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InferModes {
    /// Compared with one literal.
    pub equality: bool,
    /// Joined with another column.
    pub join: bool,
    /// Counted, summed, grouped.
    pub aggregate: bool,
    /// Any other use, and all of these.
    pub any: bool,
}

impl InferModes {
    /// Everything.
    pub const ANY: InferModes = InferModes { equality: true, join: true, aggregate: true, any: true };
    /// Nothing.
    pub const NONE: InferModes = InferModes { equality: false, join: false, aggregate: false, any: false };

    /// Whether a use of this kind is permitted. `Any` stands for a use that is none of the others.
    pub const fn allows(self, mode: InferMode) -> bool {
        self.any
            || match mode {
                InferMode::Equality => self.equality,
                InferMode::Join => self.join,
                InferMode::Aggregate => self.aggregate,
                InferMode::Any => false,
            }
    }

    const fn with(mut self, mode: InferMode) -> Self {
        match mode {
            InferMode::Equality => self.equality = true,
            InferMode::Join => self.join = true,
            InferMode::Aggregate => self.aggregate = true,
            InferMode::Any => self.any = true,
        }
        self
    }
}

/// The satisfied policies of one question, sorted by what they do.
#[derive(Default)]
struct Weighed<'p> {
    permits: Vec<&'p Rule>,
    denies: Vec<&'p Rule>,
    approvals: Vec<&'p Rule>,
    masks: Vec<(MaskMethod, &'p Rule)>,
    observed: Vec<&'p Rule>,
    depends_on_time: bool,
    depends_on_client: bool,
}

impl Policies {
    /// What policy says to `question`.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let fits = match (question.action, question.resource) {
            (Action::Reveal | Action::Infer, Resource::Label { .. }) => true,
            (Action::Reveal | Action::Infer, _) | (_, Resource::Label { .. }) => false,
            _ => true,
        };
        if !fits {
            return Decision::unanswerable(format!("`{}` was asked of the wrong kind of object", question.action));
        }
        let decided = self.weigh(question).and_then(|weighed| {
            if question.action == Action::Infer {
                self.infer(question, &weighed)
            } else {
                Ok(weighed.decision(question.action))
            }
        });
        decided.unwrap_or_else(Decision::unanswerable)
    }

    /// Who may receive a value may use it, and who may receive it after an approval may use it after the same approval.
    /// Otherwise a permit for `infer` is needed.
    fn infer(&self, question: &Question<'_>, weighed: &Weighed<'_>) -> Result<Decision, String> {
        let own = weighed.decision(Action::Infer);
        if !weighed.permits.is_empty() || !weighed.denies.is_empty() {
            return Ok(own);
        }
        let reveal = self.weigh(&Question { action: Action::Reveal, ..*question })?;
        let may_receive = match reveal.decision(Action::Reveal).outcome {
            Outcome::Allow | Outcome::Approve(_) => true,
            Outcome::Deny(_) | Outcome::Mask(..) | Outcome::ApproveThenMask(..) => false,
        };
        let mut both = Weighed {
            observed: weighed.observed.iter().chain(&reveal.observed).copied().collect(),
            depends_on_time: weighed.depends_on_time || reveal.depends_on_time,
            depends_on_client: weighed.depends_on_client || reveal.depends_on_client,
            ..Weighed::default()
        };
        if may_receive {
            both.permits = reveal.permits;
            both.approvals = weighed.approvals.iter().chain(&reveal.approvals).copied().collect();
        }
        Ok(both.decision(Action::Infer))
    }

    fn weigh<'p>(&'p self, question: &Question<'_>) -> Result<Weighed<'p>, String> {
        let mut weighed = Weighed::default();
        let facts = Facts::new(question);
        let candidates: Vec<&Rule> = self.rules_for(question.action).filter(|r| r.scope.matches(&facts)).collect();
        if candidates.is_empty() {
            return Ok(weighed);
        }
        let asked =
            self.ask(question, &facts, candidates.iter().fold(rule::Reads::default(), |all, r| all | r.reads))?;
        for rule in candidates {
            weighed.depends_on_time |= rule.reads.has(rule::Reads::NOW);
            weighed.depends_on_client |= rule.reads.has(rule::Reads::CLIENT);
            let satisfied = match asked.evaluate(&rule.single) {
                Ok(satisfied) => satisfied,
                Err(_) => rule.effect == Effect::Forbid,
            };
            if !satisfied {
                continue;
            }
            match (rule.annotations.observe, rule.effect, &rule.annotations.softness) {
                (true, _, _) => weighed.observed.push(rule),
                (false, Effect::Permit, _) => weighed.permits.push(rule),
                (false, Effect::Forbid, Softness::Plain) => weighed.denies.push(rule),
                (false, Effect::Forbid, Softness::Approve { .. }) => weighed.approvals.push(rule),
                (false, Effect::Forbid, Softness::Mask(method)) => weighed.masks.push((*method, rule)),
            }
        }
        Ok(weighed)
    }
}

impl Weighed<'_> {
    fn decision(&self, action: Action) -> Decision {
        let needs: Vec<ApprovalNeed> = self.approvals.iter().filter_map(|r| r.need()).collect();
        // The first of the strongest, so that the same policies always name the same one.
        let mask = self.masks.iter().copied().reduce(|best, next| if next.0 > best.0 { next } else { best });
        let permitted = !self.permits.is_empty();
        let (outcome, parts): (Outcome, Vec<&[&Rule]>) = if let Some(first) = self.denies.first() {
            (Outcome::Deny(DenyReason::Forbidden(first.reference.clone())), vec![&self.denies])
        } else if let Some((method, by)) = mask {
            let by = by.reference.clone();
            let outcome =
                if needs.is_empty() { Outcome::Mask(method, by) } else { Outcome::ApproveThenMask(needs, method, by) };
            (outcome, vec![&self.approvals])
        } else if !permitted {
            (Outcome::Deny(DenyReason::NoPermit), Vec::new())
        } else if needs.is_empty() {
            (Outcome::Allow, vec![&self.permits])
        } else {
            (Outcome::Approve(needs), vec![&self.approvals, &self.permits])
        };
        let mut took_part: Vec<&Rule> = parts.into_iter().flatten().copied().collect();
        if self.denies.is_empty() {
            took_part.extend(self.masks.iter().map(|(_, rule)| *rule));
        }
        let granted = matches!(outcome, Outcome::Allow | Outcome::Approve(_));
        let infer = if action == Action::Infer && granted {
            self.permits.iter().fold(InferModes::NONE, |all, r| all.with(r.annotations.mode.unwrap_or(InferMode::Any)))
        } else {
            InferModes::NONE
        };
        Decision {
            outcome,
            alerts: took_part
                .iter()
                .filter_map(|r| Some(Alert { policy: r.reference.clone(), severity: r.annotations.alert? }))
                .collect(),
            policies: took_part.iter().map(|r| r.reference.clone()).collect(),
            observed: self.observed.iter().map(|r| r.reference.clone()).collect(),
            infer,
            depends_on_time: self.depends_on_time,
            depends_on_client: self.depends_on_client,
        }
    }
}

impl Decision {
    fn unanswerable(why: String) -> Self {
        Decision {
            outcome: Outcome::Deny(DenyReason::Unanswerable(why)),
            policies: Vec::new(),
            alerts: Vec::new(),
            observed: Vec::new(),
            infer: InferModes::NONE,
            depends_on_time: true,
            depends_on_client: true,
        }
    }
}
