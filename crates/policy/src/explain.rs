//! Explaining a decision: what matched, and what came close when nothing permits.

use crate::Policies;
use crate::decide::Decision;
use crate::facts::{Asked, Facts};
use crate::question::Question;
use crate::rule::{Effect, PolicyRef, Reads, Rule};

/// A decision with its reasons: of who asks, or, where that is lacking ([`Decision::lacking`]), of whom it acts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision itself.
    pub decision: Decision,
    /// Every policy that matched, whether it decided or was outweighed.
    pub matched: Vec<Match>,
    /// The permits that did not match, those that came closest first, at most five. Only told when no permit matched.
    pub near: Vec<NearMiss>,
}

/// A policy that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which.
    pub policy: PolicyRef,
    /// Permit or forbid.
    pub effect: Effect,
    /// Its annotations in words: `needs dba`, `masks with redact`, `on trial`; empty for a plain one.
    pub annotations: String,
    /// Why it could not be evaluated, in which case a forbid counts as matching.
    pub error: Option<String>,
}

/// A permit that did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Which.
    pub policy: PolicyRef,
    /// Everything in it that did not hold.
    pub misses: Vec<Miss>,
}

/// A part of a policy that did not hold, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The principal in the head.
    Principal(String),
    /// The action in the head.
    Action(String),
    /// The resource in the head.
    Resource(String),
    /// A `when` or `unless`.
    Condition(String),
}

impl Miss {
    /// The part's text.
    pub fn text(&self) -> &str {
        match self {
            Miss::Principal(text) | Miss::Action(text) | Miss::Resource(text) | Miss::Condition(text) => text,
        }
    }
}

/// More near misses than this confuse.
const NEAR_MAX: usize = 5;

impl Policies {
    /// Why `question` is decided as it is. Slower than [`Policies::decide`], which gives the decision in it.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let decision = self.decide(question);
        let nothing = |decision| Explanation { decision, matched: Vec::new(), near: Vec::new() };
        let Ok(standings) = question.identity.standings() else { return nothing(decision) };
        // Of several, what is said is of the one that may least.
        let deciding = decision.lacking.as_deref().unwrap_or(&question.identity.user);
        let theirs = || standings.iter().filter(|standing| standing.user == deciding);
        let refused = theirs().find(|standing| self.decide_for(question, **standing).outcome == decision.outcome);
        let Some(standing) = refused.or_else(|| theirs().next()) else { return nothing(decision) };
        let facts = Facts::new(question, *standing);
        let Ok(asked) = self.ask(question, &facts, Reads::ALL) else { return nothing(decision) };
        let mut matched = Vec::new();
        self.matching(question, &asked, |_| true, &mut matched);
        for other in self.spellings.of(*standing) {
            let facts = Facts::new(question, other.standing(*standing));
            let Ok(asked) = self.ask(question, &facts, Reads::ALL) else { return nothing(decision) };
            self.matching(question, &asked, |rule| rule.effect == Effect::Forbid, &mut matched);
        }
        let permitted = matched.iter().any(|m| m.effect == Effect::Permit);
        let near = if permitted { Vec::new() } else { self.near(question, &facts, &asked) };
        Explanation { decision, matched, near }
    }

    /// Adds the policies that match under one spelling of everybody's names.
    fn matching(
        &self,
        question: &Question<'_>,
        asked: &Asked,
        is_asked: impl Fn(&Rule) -> bool,
        matched: &mut Vec<Match>,
    ) {
        for rule in self.rules_for(question.action).filter(|rule| is_asked(rule)) {
            let (satisfied, error) = match asked.evaluate(&rule.single) {
                Ok(satisfied) => (satisfied, None),
                Err(error) => (rule.effect == Effect::Forbid, Some(error)),
            };
            if satisfied && !matched.iter().any(|known| known.policy == rule.reference) {
                let annotations = rule.softness();
                matched.push(Match { policy: rule.reference.clone(), effect: rule.effect, annotations, error });
            }
        }
    }

    fn near(&self, question: &Question<'_>, facts: &Facts<'_>, asked: &Asked) -> Vec<NearMiss> {
        let mut near: Vec<NearMiss> = self
            .rules()
            .filter(|rule| rule.effect == Effect::Permit && !rule.annotations.observe)
            .map(|rule| NearMiss { policy: rule.reference.clone(), misses: misses(rule, question, facts, asked) })
            // A permit that fails on more than two counts was meant for somebody or something else.
            .filter(|miss| (1..=2).contains(&miss.misses.len()))
            .collect();
        near.sort_by_key(|miss| miss.misses.len());
        near.truncate(NEAR_MAX);
        near
    }
}

fn misses(rule: &Rule, question: &Question<'_>, facts: &Facts<'_>, asked: &Asked) -> Vec<Miss> {
    let scope = &rule.scope;
    let mut misses = Vec::new();
    if !scope.matches_principal(facts) {
        misses.push(Miss::Principal(scope.principal.text("principal")));
    }
    if !scope.matches_action(question.action) {
        misses.push(Miss::Action(scope.action_text()));
    }
    if !scope.matches_resource(facts) {
        misses.push(Miss::Resource(scope.resource.text("resource")));
    }
    let failed = rule.clauses.iter().filter(|clause| asked.evaluate(&clause.single) != Ok(true));
    misses.extend(failed.map(|clause| Miss::Condition(clause.text.clone())));
    misses
}
