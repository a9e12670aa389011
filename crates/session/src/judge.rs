//! From what a statement does to what policy says of it: every (action, object) asked, every labelled output weighed,
//! every use of what may not be revealed refused.
//!
//! A judgement is a pure function of the rules, the identity, the circumstances and the analysis. Callers keep it and use
//! it again as long as none of these changed.

mod infer;

pub use infer::{Charge, Release};

use crate::denial::Denial;
use crate::rules::{Content, Rules, TargetRules};
use lockgate_core::{Action, Identity, Label, Timestamp};
use lockgate_mask::{ContentRule, Method, Touch};
use lockgate_policy::{
    Alert, ApprovalNeed, DenyReason, InferMode, MaskMethod, Outcome, PolicyRef, Question, RequestContext, Resource,
    SqlContext,
};
use lockgate_sql::{Batch, Carry, Catalog, Effect, How, Need, Object, Outputs, Statement, Taint, Use};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// How a column is masked, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnMask {
    /// The label that asks for it.
    pub label: Label,
    /// How.
    pub method: Method,
    /// The policy, or `None` for the default: what nobody may reveal is redacted.
    pub policy: Option<PolicyRef>,
    /// The value is made from labelled ones, or may be: whether it is NULL is hidden as well.
    pub derived: bool,
}

/// The masks of one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masks {
    /// No column is masked, whatever comes.
    Clear,
    /// By position. Columns beyond the list are of unknown origin.
    Columns {
        /// One per known column.
        columns: Vec<Option<ColumnMask>>,
        /// For columns that were not foreseen.
        beyond: Option<ColumnMask>,
    },
}

impl Masks {
    /// The mask of the column at `index`.
    pub fn column(&self, index: usize) -> Option<&ColumnMask> {
        match self {
            Masks::Clear => None,
            Masks::Columns { columns, beyond } => match columns.get(index) {
                Some(mask) => mask.as_ref(),
                None => beyond.as_ref(),
            },
        }
    }

    /// Whether any column is, or may be, masked.
    pub fn any(&self) -> bool {
        match self {
            Masks::Clear => false,
            Masks::Columns { columns, beyond } => beyond.is_some() || columns.iter().any(Option::is_some),
        }
    }

    /// Whether one of the columns that the analysis foresaw is masked, or it foresaw none and any may be.
    pub fn any_known(&self) -> bool {
        match self {
            Masks::Clear => false,
            Masks::Columns { columns, beyond } if columns.is_empty() => beyond.is_some(),
            Masks::Columns { columns, .. } => columns.iter().any(Option::is_some),
        }
    }
}

/// What one statement's result goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The masks of its rows.
    pub masks: Masks,
    /// Whether its errors and notices may hold what is masked.
    pub touch: Touch,
}

/// What policy says to a request as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may go on.
    Allow,
    /// It may not.
    Deny(Denial),
    /// It may once all of these are met.
    Hold(Vec<ApprovalNeed>),
}

/// Everything policy says of one request.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The ruling.
    pub ruling: Ruling,
    /// One plan per statement.
    pub plans: Vec<Arc<Plan>>,
    /// What is permitted within a budget only.
    pub charges: Vec<Charge>,
    /// Aggregates that are given out where their groups are large.
    pub releases: Vec<Release>,
    /// The policies that took part.
    pub policies: Vec<PolicyRef>,
    /// Where each of them is written, as `file:line`.
    pub places: Vec<String>,
    /// What was asked for: action and object.
    pub asked: Vec<(Action, String)>,
    /// The alerts raised.
    pub alerts: Vec<Alert>,
    /// Policies on trial that would have changed it.
    pub observed: Vec<PolicyRef>,
    /// The version of the rules.
    pub rules_version: u64,
    /// Labels to be brought to columns before anybody else can see what is written to them.
    pub carries: Vec<Carried>,
    /// What it does is denied, whatever labelled values it tells of.
    pub denies_action: bool,
    /// Why its rows may not be made, whoever gets how many of them: what is denied for anything but export.
    pub denied_rows: Option<Denial>,
    /// It may be another one at another time.
    pub depends_on_time: bool,
}

/// Labelled values on their way to a column, and the labels that go with them.
#[derive(Clone, Debug)]
pub struct Carried {
    /// Where they go.
    pub carry: Carry,
    /// Their labels.
    pub labels: Vec<Label>,
}

/// Whether a label may be seen.
#[derive(Clone)]
enum Reveal {
    Clear,
    Mask(Method, Option<PolicyRef>),
    Deny(Denial),
}

/// Judges the requests of one identity on one target under one set of rules.
pub struct Judge<'a> {
    rules: &'a Rules,
    target: &'a TargetRules,
    identity: &'a Identity,
    context: RequestContext,
    who: String,
    reveals: HashMap<Label, Reveal>,
    policies: Vec<PolicyRef>,
    asked: Vec<(Action, String)>,
    alerts: Vec<Alert>,
    observed: Vec<PolicyRef>,
    holds: Vec<ApprovalNeed>,
    charges: Vec<Charge>,
    releases: Vec<Release>,
    denial: Option<Denial>,
    denies_action: bool,
    denied_rows: Option<Denial>,
    carries: Vec<Carried>,
    depends_on_time: bool,
}

/// What a text that nobody can read needs: everything.
const EVERYTHING: [Action; 6] =
    [Action::Read, Action::Write, Action::Define, Action::Administer, Action::Execute, Action::Export];

impl<'a> Judge<'a> {
    /// A judge for one request.
    pub fn new(
        rules: &'a Rules,
        target: &'a TargetRules,
        identity: &'a Identity,
        client_ip: IpAddr,
        now: Timestamp,
    ) -> Self {
        Judge {
            rules,
            target,
            identity,
            context: RequestContext { client_ip, now, ..RequestContext::default() },
            who: identity.display_chain(),
            reveals: HashMap::new(),
            policies: Vec::new(),
            asked: Vec::new(),
            alerts: Vec::new(),
            observed: Vec::new(),
            holds: Vec::new(),
            charges: Vec::new(),
            releases: Vec::new(),
            denial: None,
            denies_action: false,
            denied_rows: None,
            carries: Vec::new(),
            depends_on_time: false,
        }
    }

    /// May the session be opened?
    pub fn connect(mut self) -> Judgement {
        self.ask(Action::Connect, None);
        self.finish(Vec::new())
    }

    /// May values of this label be seen, wherever on the target they come from? A mask is no.
    pub fn label(mut self, label: &Label) -> Judgement {
        match self.reveal(label) {
            Reveal::Clear => {}
            Reveal::Deny(denial) => self.deny(denial),
            Reveal::Mask(..) if !self.identity.is_for(Action::Reveal) => {
                let object = format!("label \"{label}\" on target \"{}\"", self.target.facts.name);
                self.deny(Denial::out_of_scope(self.identity, Action::Reveal, &object));
            }
            Reveal::Mask(_, policy) => {
                let target = self.target.facts.name.as_str();
                let object = format!("label \"{label}\" on target \"{target}\"");
                let denial = match policy {
                    Some(policy) => Denial::forbidden(&policy, Action::Reveal.name(), &object, &self.who, target),
                    None => Denial::no_permit(Action::Reveal.name(), &object, &self.who, target),
                };
                self.deny(denial);
            }
        }
        self.asked.push((Action::Reveal, label.to_string()));
        self.finish(Vec::new())
    }

    /// May this one action be done to the target as a whole?
    pub fn target_action(mut self, action: Action) -> Judgement {
        self.ask(action, None);
        let plan = self.unknown_plan();
        self.finish(vec![plan])
    }

    /// What policy says of a batch of statements. They are forwarded together, so what one of them may not, none may.
    pub fn batch(mut self, catalog: &Catalog, batch: &Batch) -> Judgement {
        let count = u32::try_from(batch.statements.len()).unwrap_or(u32::MAX);
        let plans =
            batch.statements.iter().enumerate().map(|(at, one)| self.statement(catalog, one, at, count)).collect();
        self.finish(plans)
    }

    /// What policy says of a text that nobody could read: it counts as doing everything to everything.
    pub fn unreadable(mut self, catalog: &Catalog) -> Judgement {
        self.context.sql =
            Some(SqlContext { verb: "unreadable".into(), opaque: true, statement_count: 1, ..SqlContext::default() });
        for action in EVERYTHING {
            self.ask(action, None);
        }
        if self.target.has_labels() {
            let everything = Use {
                taint: Taint::UNKNOWN,
                how: How::Source,
                place: "a statement that cannot be read".into(),
                offset: None,
                probe: None,
            };
            self.infer(catalog, &everything, InferMode::Any, None);
        }
        let plan = self.unknown_plan();
        self.finish(vec![plan])
    }

    /// The mask of a value with this origin, for results that are described only when they come.
    pub fn mask_of(&mut self, catalog: &Catalog, taint: &Taint, plain: bool) -> Result<Option<ColumnMask>, Denial> {
        let mut strongest: Option<ColumnMask> = None;
        for (label, _) in self.labels_of(catalog, taint) {
            match self.reveal(&label) {
                Reveal::Clear => {}
                Reveal::Deny(denial) => return Err(denial),
                Reveal::Mask(method, policy) => {
                    let method = if plain { method } else { method.max(Method::Redact) };
                    // Of equal ones the first label by name, so that a column has the same tokens wherever it is.
                    if strongest.as_ref().is_none_or(|s| s.method < method || (s.method == method && label < s.label)) {
                        strongest = Some(ColumnMask { label, method, policy, derived: !plain });
                    }
                }
            }
        }
        // A value that may come from columns of different labels is a value of none of them.
        if let Some(mask) = &mut strongest
            && mask.method < Method::Redact
            && self.is_of_several(catalog, taint)
        {
            mask.method = Method::Redact;
        }
        Ok(strongest)
    }

    /// Which of the catalog's labelled columns may not be seen as they are, in the order of their ids; and whether that may
    /// be another answer at another time.
    pub fn hidden(mut self, catalog: &Catalog) -> (Vec<bool>, bool) {
        let hidden = catalog
            .labelled_ids()
            .map(|column| !matches!(self.mask_of(catalog, &Taint::of(column), true), Ok(None)))
            .collect();
        (hidden, self.depends_on_time)
    }

    /// Whether the columns in a taint are labelled differently.
    fn is_of_several(&self, catalog: &Catalog, taint: &Taint) -> bool {
        let mut labels = taint.columns().iter().map(|id| {
            let labels = catalog.labelled(*id).map(|column| column.labels.as_slice()).unwrap_or_default();
            labels.iter().collect::<BTreeSet<_>>()
        });
        let first = labels.next();
        taint.is_unknown() || labels.any(|other| Some(&other) != first.as_ref())
    }

    /// The content rules of the target, each with how what it finds is masked, or without for what the identity may reveal;
    /// and whether they may be others at another time. What a value of these labels is found in was not foreseen, so that
    /// a plain `forbid` cannot refuse the statement any more: the value is redacted.
    pub fn content(mut self) -> (Vec<(&'a Content, Option<Method>)>, bool) {
        let mut rules = Vec::new();
        for content in &self.target.content {
            let held = self.holds.len();
            let method = match self.reveal(&content.label) {
                // Nothing can be held for a value that is found in the answer.
                Reveal::Clear if self.holds.len() > held => Some(Method::Redact),
                Reveal::Clear => None,
                Reveal::Mask(method, _) => Some(method),
                Reveal::Deny(_) => Some(Method::Redact),
            };
            rules.push((content, method));
        }
        (rules, self.depends_on_time)
    }

    fn finish(self, plans: Vec<Plan>) -> Judgement {
        let ruling = match self.denial {
            Some(denial) => Ruling::Deny(denial),
            None if self.holds.is_empty() => Ruling::Allow,
            None => Ruling::Hold(self.holds),
        };
        Judgement {
            ruling,
            plans: plans.into_iter().map(Arc::new).collect(),
            places: self.policies.iter().map(|p| format!("{}:{}", p.path, p.line)).collect(),
            charges: self.charges,
            releases: self.releases,
            policies: self.policies,
            asked: self.asked,
            alerts: self.alerts,
            observed: self.observed,
            rules_version: self.rules.version,
            carries: self.carries,
            denies_action: self.denies_action,
            denied_rows: self.denied_rows,
            depends_on_time: self.depends_on_time,
        }
    }

    fn statement(&mut self, catalog: &Catalog, statement: &Statement, at: usize, count: u32) -> Plan {
        self.context.sql = Some(SqlContext {
            verb: statement.verb.to_owned(),
            tables: statement.facts.tables.iter().cloned().collect(),
            has_where: statement.facts.has_where,
            has_limit: statement.facts.has_limit,
            statement_count: count,
            opaque: statement.facts.opaque,
        });
        // What depends on the statement's own context must not be carried over to the next.
        self.reveals.clear();
        for need in &statement.needs {
            self.need(need);
        }
        // What is changed inside (WITH, EXPLAIN ANALYZE, PREPARE, a function's body) is asked for as if it stood alone.
        for change in &statement.facts.changes {
            if let Some(sql) = &mut self.context.sql {
                if sql.verb == change.verb && sql.has_where == change.has_where {
                    continue;
                }
                change.verb.clone_into(&mut sql.verb);
                sql.has_where = change.has_where;
            }
            let action = if change.verb == "truncate_table" { Action::Define } else { Action::Write };
            self.ask(action, Some(change.table.clone()));
        }
        if let Some(sql) = &mut self.context.sql {
            statement.verb.clone_into(&mut sql.verb);
            sql.has_where = statement.facts.has_where;
        }
        if !self.target.has_labels() {
            return Plan { masks: Masks::Clear, touch: Touch::Clean };
        }
        self.uses(catalog, statement, at);
        // Also of what the identity itself may see: the next reader may not. PREPARE and DECLARE store nothing.
        if self.target.propagates && !matches!(statement.effect, Effect::Prepare { .. } | Effect::DeclareCursor { .. })
        {
            for carry in &statement.carries {
                let labels = self.labels_of(catalog, &carry.value).into_iter().map(|(label, _)| label).collect();
                self.carries.push(Carried { carry: carry.clone(), labels });
            }
        }
        let mut masks = self.masks(catalog, &statement.outputs);
        if count == 1 {
            self.release(catalog, statement, &mut masks);
        }
        let touch = match self.mask_of(catalog, &statement.touches, true) {
            Ok(None) => Touch::Clean,
            Ok(Some(_)) | Err(_) => Touch::Labelled,
        };
        Plan { masks, touch }
    }

    fn masks(&mut self, catalog: &Catalog, outputs: &Outputs) -> Masks {
        let columns = match outputs {
            Outputs::NoRows => Vec::new(),
            Outputs::Known(outputs) => {
                outputs.iter().map(|output| self.output(catalog, &output.value, output.plain)).collect()
            }
            Outputs::Each(taint) => {
                let every = self.output(catalog, taint, false);
                return if every.is_none() {
                    Masks::Clear
                } else {
                    Masks::Columns { columns: Vec::new(), beyond: every }
                };
            }
        };
        let beyond = self.mask_of(catalog, &Taint::UNKNOWN, false).unwrap_or_else(|_| self.redacted());
        let masks = Masks::Columns { columns, beyond };
        if masks.any() { masks } else { Masks::Clear }
    }

    fn output(&mut self, catalog: &Catalog, taint: &Taint, plain: bool) -> Option<ColumnMask> {
        match self.mask_of(catalog, taint, plain) {
            Ok(mask) => mask,
            Err(denial) => {
                self.deny(denial);
                self.redacted()
            }
        }
    }

    /// The mask when there is nothing better to say. A target without labels has none, and needs none.
    pub fn redacted(&self) -> Option<ColumnMask> {
        let label = self.target.labels.first()?.clone();
        Some(ColumnMask { label, method: Method::Redact, policy: None, derived: true })
    }

    fn unknown_plan(&mut self) -> Plan {
        if !self.target.has_labels() {
            return Plan { masks: Masks::Clear, touch: Touch::Clean };
        }
        let labels = self.target.labels.clone();
        let all_clear = labels.iter().all(|label| matches!(self.reveal(label), Reveal::Clear));
        if all_clear {
            Plan { masks: Masks::Clear, touch: Touch::Clean }
        } else {
            Plan { masks: Masks::Columns { columns: Vec::new(), beyond: self.redacted() }, touch: Touch::Labelled }
        }
    }

    /// The labels in a taint, each with the column that carries it, where it is known.
    fn labels_of(&self, catalog: &Catalog, taint: &Taint) -> Vec<(Label, Option<String>)> {
        let mut labels: Vec<(Label, Option<String>)> = Vec::new();
        // An id of another catalog says nothing.
        let mut unknown = taint.is_unknown();
        for id in taint.columns() {
            let Some(column) = catalog.labelled(*id) else {
                unknown = true;
                continue;
            };
            let name = format!("{}.{}.{}", column.schema, column.table, column.column);
            for label in &column.labels {
                if !labels.iter().any(|(l, _)| l == label) {
                    labels.push((label.clone(), Some(name.clone())));
                }
            }
        }
        if unknown {
            for label in &self.target.labels {
                if !labels.iter().any(|(l, _)| l == label) {
                    labels.push((label.clone(), None));
                }
            }
        }
        labels
    }

    fn reveal(&mut self, label: &Label) -> Reveal {
        if let Some(known) = self.reveals.get(label) {
            return known.clone();
        }
        let decision = self.rules.policies.decide(&Question {
            identity: self.identity,
            action: Action::Reveal,
            resource: Resource::Label { target: &self.target.facts, label, table: None },
            context: &self.context,
        });
        self.note(&decision.policies, &decision.alerts, &decision.observed, decision.depends_on_time);
        let object = format!("label \"{label}\" on target \"{}\"", self.target.facts.name);
        let reveal = match decision.outcome {
            Outcome::Allow => Reveal::Clear,
            Outcome::Mask(method, policy) => Reveal::Mask(mask_method(method), Some(policy)),
            Outcome::ApproveThenMask(needs, method, policy) => {
                self.hold(needs);
                Reveal::Mask(mask_method(method), Some(policy))
            }
            Outcome::Approve(needs) => {
                self.hold(needs);
                Reveal::Clear
            }
            // Nobody said how much of it may be seen.
            Outcome::Deny(DenyReason::NoPermit | DenyReason::OutOfScope | DenyReason::Unanswerable(_)) => {
                Reveal::Mask(Method::Redact, None)
            }
            Outcome::Deny(DenyReason::Forbidden(policy)) => {
                let who = self.whom(decision.lacking.as_deref());
                Reveal::Deny(Denial::forbidden(&policy, "reveal", &object, &who, self.target.facts.name.as_str()))
            }
        };
        self.reveals.insert(label.clone(), reveal.clone());
        reveal
    }

    fn need(&mut self, need: &Need) {
        match &need.object {
            Object::Target => {
                // What else takes these is not to be seen in a statement.
                let why = matches!(need.action, Action::Execute | Action::Administer).then_some(need.why.as_str());
                self.ask_because(need.action, None, why.filter(|why| !why.is_empty()));
            }
            Object::Table { schema, name } => self.ask(need.action, Some(format!("{schema}.{name}"))),
        }
    }

    fn ask(&mut self, action: Action, table: Option<String>) {
        self.ask_because(action, table, None);
    }

    /// `why` is what in the statement takes the action, where that has to be told.
    fn ask_because(&mut self, action: Action, table: Option<String>, why: Option<&str>) {
        let facts = &self.target.facts;
        let resource = match &table {
            None => Resource::Target(facts),
            Some(name) => Resource::Table { target: facts, name },
        };
        let decision =
            self.rules.policies.decide(&Question { identity: self.identity, action, resource, context: &self.context });
        self.note(&decision.policies, &decision.alerts, &decision.observed, decision.depends_on_time);
        let object = match &table {
            None => format!("target \"{}\"", facts.name),
            Some(name) => format!("table \"{}/{name}\"", facts.name),
        };
        let target = facts.name.as_str();
        let who = self.whom(decision.lacking.as_deref());
        match decision.outcome {
            Outcome::Allow | Outcome::Mask(..) => {}
            Outcome::Approve(needs) | Outcome::ApproveThenMask(needs, ..) => self.hold(needs),
            Outcome::Deny(reason) => {
                self.denies_action = true;
                let denial = match reason {
                    DenyReason::Forbidden(policy) => {
                        // The message names the target for an action on a table too: that is what access is asked for.
                        let named = format!("target \"{target}\"");
                        let mut denial = Denial::forbidden(&policy, action.name(), &named, &who, target);
                        if let (Some(name), Some(detail)) = (&table, &mut denial.detail) {
                            detail.push_str(&format!(", table {name}"));
                        }
                        denial.because(why)
                    }
                    DenyReason::OutOfScope => Denial::out_of_scope(self.identity, action, &object),
                    DenyReason::NoPermit | DenyReason::Unanswerable(_) => {
                        Denial::no_permit(action.name(), &object, &who, target).because(why)
                    }
                };
                if action != Action::Export {
                    self.denied_rows.get_or_insert_with(|| denial.clone());
                }
                self.denial.get_or_insert(denial);
            }
        }
        let asked = table.map_or_else(|| target.to_owned(), |name| format!("{target}/{name}"));
        if !self.asked.iter().any(|(a, o)| *a == action && *o == asked) {
            self.asked.push((action, asked));
        }
    }

    /// Who may not, in words.
    fn whom(&self, lacking: Option<&str>) -> String {
        match lacking {
            Some(party) => format!("{party}, for whom {} acts", self.identity.user),
            None => self.who.clone(),
        }
    }

    fn deny(&mut self, denial: Denial) {
        self.denied_rows.get_or_insert_with(|| denial.clone());
        self.denial.get_or_insert(denial);
    }

    fn hold(&mut self, needs: Vec<ApprovalNeed>) {
        for need in needs {
            if !self.holds.contains(&need) {
                self.holds.push(need);
            }
        }
    }

    fn note(&mut self, policies: &[PolicyRef], alerts: &[Alert], observed: &[PolicyRef], depends_on_time: bool) {
        self.depends_on_time |= depends_on_time;
        for policy in policies {
            if !self.policies.contains(policy) {
                self.policies.push(policy.clone());
            }
        }
        for alert in alerts {
            if !self.alerts.contains(alert) {
                self.alerts.push(alert.clone());
            }
        }
        for policy in observed {
            if !self.observed.contains(policy) {
                self.observed.push(policy.clone());
            }
        }
    }
}

/// The content rules by which something is looked for, as the mask stage takes them.
pub(crate) fn looked_for(rules: &[(&Content, Option<Method>)]) -> Vec<ContentRule> {
    let rule = |(content, method): &(&Content, Option<Method>)| {
        let (label, kinds, custom) = (content.label.clone(), content.kinds.clone(), content.custom.clone());
        method.map(|method| ContentRule { label, kinds, custom, method })
    };
    rules.iter().filter_map(rule).collect()
}

/// Policy's word for a mask, as the mask stage knows it.
const fn mask_method(method: MaskMethod) -> Method {
    match method {
        MaskMethod::Partial => Method::Partial,
        MaskMethod::Token => Method::Token,
        MaskMethod::Hash => Method::Hash,
        MaskMethod::Redact => Method::Redact,
        MaskMethod::Null => Method::Null,
    }
}
