//! Weighing: which policies are satisfied, and what that makes of the question.
//!
//! Default is deny. A forbid that cannot be evaluated counts as satisfied, a permit that cannot be evaluated does not.

use crate::annotations::{InferMode, MaskMethod, Severity, Softness};
use crate::facts::Facts;
use crate::question::{Question, Resource};
use crate::rule::{Effect, PolicyRef, Rule};
use crate::{Policies, rule};
use lockgate_core::{Action, Standing};

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
    /// Of a refusal, or a mask: who it is that may not, where that is not who asks but somebody whom it acts for.
    pub lacking: Option<String>,
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
    /// Policy would have permitted it, and the proof of the identity is for other actions.
    OutOfScope,
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

impl Outcome {
    fn needs(&self) -> &[ApprovalNeed] {
        match self {
            Outcome::Approve(needs) | Outcome::ApproveThenMask(needs, ..) => needs,
            Outcome::Allow | Outcome::Deny(_) | Outcome::Mask(..) => &[],
        }
    }
}

/// Adds what is not there yet.
fn join<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
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

    /// What both permit.
    fn and(self, other: InferModes) -> InferModes {
        let both = |mode| self.allows(mode) && other.allows(mode);
        InferModes {
            equality: both(InferMode::Equality),
            join: both(InferMode::Join),
            aggregate: both(InferMode::Aggregate),
            any: self.any && other.any,
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
        let standings = match question.identity.standings() {
            Ok(standings) => standings,
            Err(unknown) => {
                let lacking = (unknown.0 != question.identity.user).then(|| unknown.0.clone());
                return Decision { lacking, ..Decision::unanswerable(unknown.to_string()) };
            }
        };
        let decisions = standings.into_iter().map(|standing| {
            let mut decision = self.decide_for(question, standing);
            let is_less = match decision.outcome {
                Outcome::Allow | Outcome::Approve(_) => false,
                Outcome::Deny(_) | Outcome::Mask(..) | Outcome::ApproveThenMask(..) => true,
            };
            if is_less && standing.user != question.identity.user {
                decision.lacking = Some(standing.user.to_owned());
            }
            decision
        });
        let nobody = || Decision::unanswerable("nobody asks".to_owned());
        let decision = decisions.reduce(|all, next| all.and(next, question.action)).unwrap_or_else(nobody);
        if question.identity.is_for(question.action) { decision } else { decision.out_of_scope(question.action) }
    }

    pub(crate) fn decide_for(&self, question: &Question<'_>, standing: Standing<'_>) -> Decision {
        let decided = self.weigh(question, standing).and_then(|weighed| {
            if question.action == Action::Infer {
                self.infer(question, standing, &weighed)
            } else {
                Ok(weighed.decision(question.action))
            }
        });
        decided.unwrap_or_else(Decision::unanswerable)
    }

    /// Who may receive a value may use it, and who may receive it after an approval may use it after the same approval.
    /// Otherwise a permit for `infer` is needed.
    fn infer(
        &self,
        question: &Question<'_>,
        standing: Standing<'_>,
        weighed: &Weighed<'_>,
    ) -> Result<Decision, String> {
        let own = weighed.decision(Action::Infer);
        if !weighed.permits.is_empty() || !weighed.denies.is_empty() {
            return Ok(own);
        }
        let reveal = self.weigh(&Question { action: Action::Reveal, ..*question }, standing)?;
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

    fn weigh<'p>(&'p self, question: &Question<'_>, standing: Standing<'_>) -> Result<Weighed<'p>, String> {
        let mut weighed = Weighed::default();
        self.weigh_under(question, standing, |_| true, &mut weighed)?;
        for other in self.spellings.of(standing) {
            let forbids = |rule: &Rule| rule.effect == Effect::Forbid;
            self.weigh_under(question, other.standing(standing), forbids, &mut weighed)?;
        }
        Ok(weighed)
    }

    /// Adds the policies that are satisfied under one spelling of everybody's names.
    fn weigh_under<'p>(
        &'p self,
        question: &Question<'_>,
        standing: Standing<'_>,
        is_asked: impl Fn(&Rule) -> bool,
        weighed: &mut Weighed<'p>,
    ) -> Result<(), String> {
        let facts = Facts::new(question, standing);
        let rules = self.rules_for(question.action).filter(|r| is_asked(r) && !weighed.has(r));
        let candidates: Vec<&Rule> = rules.filter(|r| r.scope.matches(&facts)).collect();
        if candidates.is_empty() {
            return Ok(());
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
        Ok(())
    }
}

impl Weighed<'_> {
    /// Whether a policy is among them already.
    fn has(&self, rule: &Rule) -> bool {
        let masks = self.masks.iter().map(|(_, rule)| rule);
        let all = self.permits.iter().chain(&self.denies).chain(&self.approvals).chain(&self.observed).chain(masks);
        all.copied().any(|known| std::ptr::eq(known, rule))
    }

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
            lacking: None,
        }
    }
}

impl Decision {
    /// What two decisions on the same leave: everything that either refuses, asks for or hides.
    fn and(self, other: Decision, action: Action) -> Decision {
        let (a, b) = (&self, &other);
        let mut needs: Vec<ApprovalNeed> = Vec::new();
        for need in [a, b].into_iter().flat_map(|d| d.outcome.needs()) {
            if !needs.contains(need) {
                needs.push(need.clone());
            }
        }
        // Of a reveal, having no permit means a mask like others, which a stronger one outdoes.
        let refuses = |d: &Decision| match &d.outcome {
            Outcome::Deny(DenyReason::Forbidden(_)) => true,
            Outcome::Deny(_) => action != Action::Reveal,
            Outcome::Allow | Outcome::Approve(_) | Outcome::Mask(..) | Outcome::ApproveThenMask(..) => false,
        };
        let hides = |d: &Decision| match &d.outcome {
            Outcome::Mask(method, _) | Outcome::ApproveThenMask(_, method, _) => Some(*method),
            Outcome::Deny(_) => Some(MaskMethod::Redact),
            Outcome::Allow | Outcome::Approve(_) => None,
        };
        let first_decides = match (refuses(a), refuses(b)) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => hides(a) >= hides(b),
        };
        let infer = a.infer.and(b.infer);
        let depends_on_time = a.depends_on_time || b.depends_on_time;
        let depends_on_client = a.depends_on_client || b.depends_on_client;
        let refused = refuses(a) || refuses(b);
        let (decides, goes_along) = if first_decides { (self, other) } else { (other, self) };
        let outcome = match decides.outcome {
            Outcome::Mask(method, by) | Outcome::ApproveThenMask(_, method, by) if !needs.is_empty() => {
                Outcome::ApproveThenMask(needs, method, by)
            }
            Outcome::Allow | Outcome::Approve(_) if !needs.is_empty() => Outcome::Approve(needs),
            Outcome::Deny(reason) if !refused => match needs.first().map(|need| need.policy.clone()) {
                Some(by) => Outcome::ApproveThenMask(needs, MaskMethod::Redact, by),
                None => Outcome::Deny(reason),
            },
            same @ (Outcome::Allow
            | Outcome::Approve(_)
            | Outcome::Deny(_)
            | Outcome::Mask(..)
            | Outcome::ApproveThenMask(..)) => same,
        };
        let mut policies = decides.policies;
        let mut alerts = decides.alerts;
        if !refused {
            join(&mut policies, goes_along.policies);
        }
        join(&mut alerts, goes_along.alerts);
        let mut observed = decides.observed;
        join(&mut observed, goes_along.observed);
        let lacking = decides.lacking;
        Decision { outcome, policies, alerts, observed, infer, depends_on_time, depends_on_client, lacking }
    }

    /// What is left for somebody whose proof is for other actions. A mask gives out nothing that policy does not give to
    /// everybody who may read.
    fn out_of_scope(self, action: Action) -> Decision {
        match self.outcome {
            Outcome::Deny(_) => self,
            Outcome::Mask(..) | Outcome::ApproveThenMask(..) if action == Action::Reveal => self,
            Outcome::Allow | Outcome::Approve(_) | Outcome::Mask(..) | Outcome::ApproveThenMask(..) => Decision {
                outcome: Outcome::Deny(DenyReason::OutOfScope),
                policies: Vec::new(),
                alerts: Vec::new(),
                infer: InferModes::NONE,
                lacking: None,
                ..self
            },
        }
    }

    fn unanswerable(why: String) -> Self {
        Decision {
            outcome: Outcome::Deny(DenyReason::Unanswerable(why)),
            policies: Vec::new(),
            alerts: Vec::new(),
            observed: Vec::new(),
            infer: InferModes::NONE,
            depends_on_time: true,
            depends_on_client: true,
            lacking: None,
        }
    }
}
