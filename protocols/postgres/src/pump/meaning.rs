//! What a frame means: the statements and cursors that the session's names stand for, under the catalog and the rules of
//! now, and what requests that are still on their way may change about that.

use super::altering::looks_up_later;
use super::probes::Executed;
use super::result::stronger_plan;
use super::{Changing, Pump, Statement};
use crate::message::TransactionStatus;
pub(super) use crate::prepare::by_name;
use crate::prepare::{Prepared, With, moves_by_itself};
use crate::shared::{ANY_PATH, View};
use lockgate_core::{Fault, SqlState};
use lockgate_mask::Touch;
use lockgate_record::Certified;
use lockgate_session::wire::Io;
use lockgate_session::{Charge, Denial, Judgement, Masks, Plan, Ruling};
use lockgate_sql::{Effect, Unseen};
use std::sync::Arc;

/// A statement that was found by its name, or by that of its cursor.
pub(super) struct Found {
    pub(super) subject: Arc<Prepared>,
    /// The judgement, where it is not the statement's own alone.
    pub(super) both: Option<Judgement>,
}

/// What an Execute does.
#[derive(Default)]
pub(super) struct PortalNow {
    /// The portal's statement; `None` where it was opened out of our sight.
    pub(super) subject: Option<Arc<Prepared>>,
    /// The judgement, where it is not the statement's own alone.
    pub(super) own: Option<Judgement>,
    /// The plan, where it is not the first of the judgement.
    pub(super) plan: Option<Arc<Plan>>,
    /// The plan is of this Execute alone: nothing that was made for the statement before serves.
    pub(super) alone: bool,
    /// What its EXECUTE or FETCH runs.
    pub(super) runs: Vec<Runs>,
    /// What its EXECUTE runs, with the arguments.
    pub(super) executed: Vec<Executed>,
}

/// A name that a statement runs, and what it stands for; `None` for a name that was given out of our sight.
pub(super) type Runs = (String, Option<Arc<Prepared>>);

/// A batch with EXECUTE, FETCH or MOVE in it, with what they run put in.
pub(super) struct Resolved {
    pub(super) judgement: Judgement,
    pub(super) plans: Vec<Arc<Plan>>,
    pub(super) runs: Vec<Runs>,
    pub(super) executed: Vec<Executed>,
}

/// A request's text with what its names stand for, a comment below it: `EXECUTE d(7)` says nothing to those who are to
/// approve it. The digest of an approval binds all of it.
pub(super) struct Spelt {
    /// As it will run.
    pub(super) text: String,
    /// The same without secrets.
    pub(super) shown: String,
}

impl Spelt {
    /// `None` where the text says everything itself.
    pub(super) fn of(prepared: &Prepared, runs: &[Runs]) -> Option<Spelt> {
        if runs.is_empty() {
            return None;
        }
        let mut spelt = Spelt { text: prepared.text().to_string(), shown: prepared.shown().to_owned() };
        for (name, runs) in runs {
            let unseen = "made where the gateway could not see it";
            let (text, shown) = runs.as_ref().map_or((unseen, unseen), |found| (found.text(), found.shown()));
            comment(&mut spelt.text, name, text);
            comment(&mut spelt.shown, name, shown);
        }
        Some(spelt)
    }
}

/// The certificates of what names stand for.
pub(super) fn certified(runs: &[Runs]) -> Vec<Arc<Certified>> {
    runs.iter().filter_map(|(_, found)| found.as_ref()?.certified.clone()).collect()
}

/// Adds `-- name: text`, every line of it as a comment.
fn comment(to: &mut String, name: &str, text: &str) {
    let all = format!("{name}: {text}");
    for line in all.split(['\n', '\r']) {
        to.push_str("\n-- ");
        to.push_str(line);
    }
}

/// What a statement runs besides itself.
#[derive(Clone, Copy)]
pub(super) enum Inner<'a> {
    Nothing,
    This(&'a Prepared),
    /// A name that was given out of our sight, or something that itself runs a name.
    Unknown,
}

impl<'a> Inner<'a> {
    fn of(found: Option<&'a Arc<Prepared>>) -> Inner<'a> {
        match found {
            Some(run) if run.batch.is_ok() && !run.statements().iter().any(|s| by_name(&s.effect)) => Inner::This(run),
            Some(_) | None => Inner::Unknown,
        }
    }
}

/// What the statements of a request run by name, as the names stood when it was sent: before the target answers, a later
/// message may have given a name another meaning.
#[derive(Clone, Default)]
pub(super) struct Named(Vec<(usize, Option<Arc<Prepared>>)>);

impl Named {
    /// Of the statement at `index`.
    pub(super) fn inner(&self, index: usize, statement: &lockgate_sql::Statement) -> Inner<'_> {
        if !by_name(&statement.effect) {
            return Inner::Nothing;
        }
        Inner::of(self.0.iter().find(|(at, _)| *at == index).and_then(|(_, found)| found.as_ref()))
    }

    /// The texts that are run, as far as anybody knows them.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Arc<Prepared>> {
        self.0.iter().filter_map(|(_, found)| found.as_ref())
    }

    /// Everything that ran as the statement at `index` of a text: itself, and what it runs. `None` where nobody can say.
    pub(super) fn ran<'a>(
        &'a self,
        prepared: &'a Prepared,
        index: usize,
    ) -> Option<impl Iterator<Item = &'a lockgate_sql::Statement>> {
        let own = prepared.statements().get(index)?;
        let inner = match self.inner(index, own) {
            Inner::Nothing => &[],
            Inner::This(run) => run.statements(),
            Inner::Unknown => return None,
        };
        Some(std::iter::once(own).chain(inner))
    }
}

/// Whether names in texts may mean something else after this statement, which runs that.
pub(super) fn moves(statement: &lockgate_sql::Statement, inner: Inner<'_>) -> bool {
    // Also of one that runs a name: its arguments are its own.
    moves_by_itself(statement)
        || match inner {
            Inner::Nothing => false,
            Inner::This(run) => run.statements().iter().any(moves_by_itself),
            Inner::Unknown => true,
        }
}

/// Whether it runs code that nobody can look into: that may prepare statements and open cursors under names of its choice.
pub(super) fn may_rename(statement: &lockgate_sql::Statement, inner: Inner<'_>) -> bool {
    let unseen =
        |statement: &lockgate_sql::Statement| statement.facts.opaque || statement.facts.unseen != Unseen::Nothing;
    unseen(statement)
        || match inner {
            Inner::Nothing => false,
            // A statement that was prepared by the protocol may itself be PREPARE or DEALLOCATE.
            Inner::This(run) => run.statements().iter().any(|s| unseen(s) || gives_or_takes_names(&s.effect)),
            Inner::Unknown => true,
        }
}

impl Found {
    fn of(subject: &Arc<Prepared>) -> Found {
        Found { subject: Arc::clone(subject), both: None }
    }
}

impl Pump {
    /// What requests on their way may still change. With the last answer everything is known.
    pub(super) fn changing(&mut self) -> Changing {
        if self.expect.is_empty() {
            self.changing = Changing::default();
        }
        Changing { catalog: self.changing.catalog && self.names_matter(), ..self.changing }
    }

    /// Notes what a request that was sent may change for those that follow before it is answered.
    pub(super) fn will_change(&mut self, prepared: &Prepared, named: &Named) {
        self.may_alter(prepared, named);
        let statements = prepared.statements();
        if statements.is_empty() && prepared.batch.is_err() {
            self.will_change_anything();
            return;
        }
        self.blur_end(prepared, named);
        let View { names, path, rules, .. } = prepared.view;
        if statements.iter().enumerate().any(|(at, s)| may_rename(s, named.inner(at, s))) {
            self.truth.opens_unseen.get_or_insert((names, path, rules));
        }
        for (index, statement) in statements.iter().enumerate() {
            let inner = named.inner(index, statement);
            self.changing.names |= may_rename(statement, inner);
            self.changing.names |= gives_or_takes_names(&statement.effect);
            self.changing.names |= self.opaque_in_transaction && super::runs_what_was_put_off(statement);
            let ends_transaction = matches!(
                statement.effect,
                Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_) | Effect::TwoPhase
            );
            // In a transaction that failed nothing was asked, however long it lasted, and in one of a higher isolation level
            // what was asked is of its beginning.
            let unasked = self.status == TransactionStatus::Failed || self.truth.of_beginning;
            self.changing.catalog |=
                if ends_transaction { self.truth.moved_in_transaction || unasked } else { moves(statement, inner) };
        }
    }

    /// Notes that what was sent may change anything for what follows before it is answered.
    pub(super) fn will_change_anything(&mut self) {
        self.changing = Changing { names: true, catalog: true };
        let rules = self.session.rules().version;
        let View { names, path, rules, .. } = self.view(rules, false);
        self.truth.opens_unseen.get_or_insert((names, path, rules));
        self.blur_end_whatever_runs();
    }

    /// The statement that EXECUTE, FETCH or MOVE runs, as far as this session has seen it get its name; `None` within for a
    /// name that was given out of our sight.
    pub(super) fn runs_by_name(&self, statement: &lockgate_sql::Statement) -> Option<Option<&Arc<Prepared>>> {
        match &statement.effect {
            Effect::Execute { name, .. } => Some(self.statements.get(name.as_bytes()).map(Statement::subject)),
            Effect::Fetch { name } | Effect::Move { name } => {
                let cursor = self.portals.get(name.as_bytes()).and_then(|p| p.statement.as_ref());
                Some(cursor.map(Statement::subject))
            }
            _ => None,
        }
    }

    fn inner_now(&self, statement: &lockgate_sql::Statement) -> Inner<'_> {
        self.runs_by_name(statement).map_or(Inner::Nothing, Inner::of)
    }

    /// Whether a name that a statement runs cannot be looked up before the message that it stands in: these come first.
    fn is_doubtful_after(&mut self, earlier: &[lockgate_sql::Statement]) -> bool {
        self.names_matter()
            && earlier.iter().any(|statement| {
                let inner = self.inner_now(statement);
                moves(statement, inner) || may_rename(statement, inner)
            })
    }

    /// What the statements of a text that is about to be sent run by name.
    pub(super) fn named(&mut self, prepared: &Prepared) -> Named {
        let statements = prepared.statements();
        let mut named = Vec::new();
        for (index, statement) in statements.iter().enumerate().filter(|(_, s)| by_name(&s.effect)) {
            let earlier = statements.get(..index).unwrap_or_default();
            let found = if self.is_doubtful_after(earlier) {
                None
            } else {
                match made_before(statement, earlier) {
                    Some(at) => prepared.inner(at).cloned(),
                    None => self.runs_by_name(statement).flatten().cloned(),
                }
            };
            named.push((index, found));
        }
        Named(named)
    }

    /// Whether what a statement does can only be said once the target has answered: it runs a name that a failure would
    /// leave with another meaning.
    pub(super) fn hangs_on_names(&self, prepared: &Prepared) -> bool {
        prepared.statements().iter().any(|statement| match &statement.effect {
            Effect::Execute { name, .. } => !self.statements.is_certain(name.as_bytes(), self.batch),
            Effect::Fetch { name } | Effect::Move { name } => !self.portals.is_certain(name.as_bytes(), self.batch),
            _ => false,
        })
    }

    /// EXECUTE, FETCH and MOVE mean what the session's names say. `None` when the batch has none.
    pub(super) fn resolve(&mut self, prepared: &Arc<Prepared>, io: &Io) -> Option<Resolved> {
        let statements = prepared.statements();
        if !statements.iter().any(|s| by_name(&s.effect)) {
            return None;
        }
        let mut judgement = Judgement::clone(&prepared.judgement);
        let mut plans = judgement.plans.clone();
        let mut runs = Vec::new();
        let mut executed = Vec::new();
        for (index, statement) in statements.iter().enumerate().filter(|(_, s)| by_name(&s.effect)) {
            let earlier = statements.get(..index).unwrap_or_default();
            // What the name means, and what names in its text mean, was looked up before the message began to run.
            let doubtful = self.is_doubtful_after(earlier);
            let mut rows = None;
            let found: Option<Found> = match (&statement.effect, made_before(statement, earlier)) {
                _ if doubtful => None,
                (_, Some(at)) => prepared.inner(at).map(Found::of),
                (Effect::Execute { name, .. }, None) => {
                    self.statement_now(name.as_bytes(), io).map(|s| Found::of(s.subject()))
                }
                (Effect::Fetch { name } | Effect::Move { name }, None) => {
                    let opened = self.portals.get(name.as_bytes()).and_then(|p| p.statement.clone());
                    match opened {
                        Some(opened) if !self.forgets_outlived(name.as_bytes(), &opened) => {
                            let found = self.opened(&opened, io);
                            self.runs_on(name.as_bytes(), &opened, &found);
                            rows = Some(self.declared_now(&opened, io));
                            Some(found)
                        }
                        _ => None,
                    }
                }
                _ => None,
            };
            if let Effect::Execute { name, .. } | Effect::Fetch { name } | Effect::Move { name } = &statement.effect {
                runs.push((name.clone(), found.as_ref().map(|f| Arc::clone(&f.subject))));
            }
            // How many rows a cursor makes, and whether that fails, tells what they hang on.
            if let Some(rows) = rows.filter(|_| self.names_matter()) {
                add_ruling(&mut judgement, &rows);
            }
            if let Some(found) = found.as_ref().filter(|_| self.names_matter())
                && !matches!(judgement.ruling, Ruling::Deny(_))
                && let Some(denial) = unlike_sql(&statement.effect, found)
            {
                judgement.ruling = Ruling::Deny(denial);
            }
            // A statement that was prepared by the protocol may itself be an EXECUTE: what that runs is not looked for.
            let nested = found.as_ref().is_some_and(|f| f.subject.statements().iter().any(|s| by_name(&s.effect)));
            match found.filter(|_| !nested) {
                Some(Found { subject, both }) => {
                    let found = both.as_ref().unwrap_or(&subject.judgement);
                    let explained = matches!(statement.effect, Effect::Execute { explain: true, .. });
                    let from = match found.plans.first() {
                        // A plan quotes what the statement reads, and has one column of its own.
                        Some(plan) if explained && (plan.touch == Touch::Labelled || plan.masks.any_known()) => {
                            self.unknown_plan(io.now).plans.into_iter().next()
                        }
                        Some(_) if explained => Some(Arc::new(Plan { masks: Masks::Clear, touch: Touch::Clean })),
                        plan => plan.cloned(),
                    };
                    if let (Some(to), Some(from)) = (plans.get_mut(index), from) {
                        *to = from;
                    }
                    if let Effect::Execute { values, .. } = &statement.effect {
                        add_ruling(&mut judgement, found);
                        if explained && let Some(charge) = found.charges.first() {
                            deny_plan(&mut judgement, charge);
                        }
                        let (subject, values) = (Arc::clone(&subject), values.clone());
                        executed.push(Executed { statement: index, subject, values });
                    }
                }
                None => {
                    // A name that was given out of our sight, or none at all: the target will say which.
                    let unknown = self.unknown_plan(io.now);
                    if let (Some(to), Some(from)) = (plans.get_mut(index), unknown.plans.first()) {
                        *to = from.clone();
                    }
                    match &statement.effect {
                        Effect::Execute { .. } if nested || self.names_matter() => add_ruling(&mut judgement, &unknown),
                        Effect::Fetch { name } | Effect::Move { name } if self.names_matter() => {
                            if let Some(rows) = self.ruling_of_rows(name.as_bytes(), doubtful, unknown, io) {
                                add_ruling(&mut judgement, &rows);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        Some(Resolved { judgement, plans, runs, executed })
    }

    /// What an open portal or cursor yields. Its plan was made when it was opened, under the names of then; what it calls is
    /// looked up when it runs. So both analyses hold, then's and now's, and of each column's masks the stronger.
    /// Of what the target reads only as it runs, now's is the one.
    pub(super) fn opened(&mut self, statement: &Statement, io: &Io) -> Found {
        let mut now = statement.clone();
        self.renew(&mut now, io.now);
        let subject = Arc::clone(now.subject());
        let then = statement.subject();
        if Arc::ptr_eq(&statement.prepared, &now.prepared) || is_read_as_it_runs(then) {
            return Found { subject, both: None };
        }
        let mut both = Judgement::clone(&subject.judgement);
        add_ruling(&mut both, &then.judgement);
        let unknown = self.unknown_plan(io.now).plans.into_iter().next();
        let merged = match (subject.judgement.plans.as_slice(), then.judgement.plans.as_slice()) {
            ([one], [other]) => stronger_plan(one, other).map(Arc::new).or(unknown),
            _ => unknown,
        };
        both.plans = merged.into_iter().collect();
        Found { subject, both: Some(both) }
    }

    /// Forgets what a portal or cursor was opened for where that cannot be judged any more: the rules have changed, and names do
    /// not mean what they did when it was opened. What the rules of now say of the names of then nobody knows.
    fn forgets_outlived(&mut self, name: &[u8], opened: &Statement) -> bool {
        let rules = self.session.rules();
        let (then, now) = (opened.subject(), self.view(rules.version, false));
        let renamed = then.view.names != now.names || then.view.path != now.path;
        if !renamed || !self.names_matter() || is_read_as_it_runs(then) {
            return false;
        }
        let by_time =
            then.judgement.depends_on_time && (rules.policies.speak_of_tables() || !reads_nothing_labelled(then));
        if then.view.rules == now.rules && !by_time {
            return false;
        }
        if let Some(portal) = self.portals.get_mut(name) {
            portal.outlive();
        }
        true
    }

    /// A portal or cursor is about to make rows. Where it looks names up while it does, and these mean something else than when
    /// it was opened, rows of now may come with later ones, when they mean what they did again: those are of something that was
    /// opened out of our sight.
    fn runs_on(&mut self, name: &[u8], opened: &Statement, found: &Found) {
        let then = opened.subject();
        let looks_up = found.both.is_some() && self.labelled() && looks_up_later(std::slice::from_ref(then));
        if looks_up
            && !then.is_like(&found.subject)
            && let Some(portal) = self.portals.get_mut(name).filter(|portal| !portal.made)
        {
            portal.outlive();
        }
    }

    /// Names mean something else from now on, and may mean the same again later. What looks names up while it runs may run in
    /// between without a word, as a cursor does that outlives its transaction: what comes of it is of something that was opened
    /// out of our sight.
    pub(super) fn forget_what_looks_up(&mut self) {
        if !self.labelled() {
            return;
        }
        self.put_off_under_any_path();
        self.portals.each(|portal| {
            let looks_up =
                |s: &Statement| looks_up_later(std::slice::from_ref(s.subject())) && !is_read_as_it_runs(s.subject());
            if !portal.made && portal.statement.as_ref().is_some_and(looks_up) {
                portal.outlive();
            }
        });
    }

    /// What an Execute of this portal does, under the names and rules of now.
    pub(super) fn portal_now(&mut self, name: &[u8], statement: Option<&Statement>, io: &Io) -> PortalNow {
        let Some(statement) = statement.filter(|statement| !self.forgets_outlived(name, statement)) else {
            let own = Some(self.unknown_plan(io.now));
            return PortalNow { own, alone: true, ..PortalNow::default() };
        };
        let found = self.opened(statement, io);
        self.runs_on(name, statement, &found);
        let Found { subject, both } = found;
        let changed = both.is_some();
        let mut begun = false;
        if let Some(portal) = self.portals.get_mut(name).filter(|_| changed) {
            // What was made for its first rows was made under other rules.
            begun = portal.masker.get().is_some();
            portal.masker = Arc::default();
        }
        let Some(resolved) = self.resolve(&subject, io) else {
            let plan = both.as_ref().and_then(|j| j.plans.first().cloned());
            return PortalNow { subject: Some(subject), own: both, plan, alone: changed, ..PortalNow::default() };
        };
        let Resolved { judgement, plans, runs, executed } = resolved;
        // An EXECUTE that has begun goes on with what its name meant then.
        let plan = if begun { self.unknown_plan(io.now).plans.into_iter().next() } else { plans.into_iter().next() };
        PortalNow { subject: Some(subject), own: Some(judgement), plan, alone: true, runs, executed }
    }

    /// What it takes to make rows of a cursor of which nobody can say what they are. `doubtful`: what precedes in the same message
    /// may change what names mean.
    fn ruling_of_rows(&mut self, name: &[u8], doubtful: bool, unknown: Judgement, io: &Io) -> Option<Judgement> {
        if doubtful {
            return Some(unknown);
        }
        match self.portals.get(name).map(|portal| portal.outlived.clone()) {
            Some(Some(opened)) => Some(self.declared_since(&opened, io)),
            Some(None) => Some(unknown),
            // Code opened it, and was judged by what names meant and what was permitted then.
            None => {
                let rules = self.session.rules().version;
                let View { names, path, rules, .. } = self.view(rules, false);
                let opened = self.truth.opens_unseen;
                opened.is_some_and(|then| then != (names, path, rules)).then_some(unknown)
            }
        }
    }

    /// How the declaration of an open cursor is judged by the names and rules of now.
    fn declared_now(&mut self, opened: &Statement, io: &Io) -> Judgement {
        let mut now = opened.clone();
        self.renew(&mut now, io.now);
        rows_alone(&now.prepared.judgement)
    }

    /// The same where names moved since: those in its own text stand for what they did, those in the code that it runs for what
    /// they do now. Where it reads nothing labelled, only the latter matter; else they are taken for whatever is called so in any
    /// schema.
    fn declared_since(&mut self, opened: &Statement, io: &Io) -> Judgement {
        let rules = self.session.rules();
        let then = opened.subject();
        if then.view.rules == rules.version && reads_nothing_labelled(then) {
            return self.declared_now(opened, io);
        }
        let view = View { path: ANY_PATH, ..self.view(rules.version, true) };
        let before = &opened.prepared;
        let anywhere =
            self.prepare_with(true, io.now, |with, shared| before.again(&With { path: &[], view, ..*with }, shared));
        rows_alone(&anywhere.judgement)
    }

    /// What a prepared statement's name means now, judged by the rules of now.
    pub(super) fn statement_now(&mut self, name: &[u8], io: &Io) -> Option<Statement> {
        let mut statement = self.statements.get(name)?.clone();
        self.renew(&mut statement, io.now);
        if let Some(known) = self.statements.get_mut(name) {
            known.prepared = Arc::clone(&statement.prepared);
        }
        Some(statement)
    }
}

/// Whether a statement or cursor has another meaning after this, or none.
fn gives_or_takes_names(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Prepare { .. }
            | Effect::Deallocate(_)
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor(_)
            | Effect::DiscardAll
    )
}

/// A judgement of the making of rows alone: how many may be given out was asked when the cursor was opened, and what was held was
/// approved then.
fn rows_alone(declared: &Judgement) -> Judgement {
    let ruling = declared.denied_rows.clone().map_or(Ruling::Allow, Ruling::Deny);
    Judgement { ruling, ..declared.clone() }
}

/// Whether nothing that it reads was labelled when it was analysed.
pub(super) fn reads_nothing_labelled(opened: &Prepared) -> bool {
    let clean = |s: &lockgate_sql::Statement| s.touches.is_clean() && s.outputs.is_clean() && s.uses.is_empty();
    opened.batch.is_ok() && opened.statements().iter().all(clean)
}

/// Whether nothing of a portal is fixed when it is opened but its text: the target looks up what a COPY names when it runs, which is
/// at once and once.
fn is_read_as_it_runs(opened: &Prepared) -> bool {
    opened.batch.is_ok()
        && matches!(opened.statements(), [one] if matches!(one.effect, Effect::CopyOut(_) | Effect::CopyIn(_)))
}

/// Which earlier statement of the same message made the name that a statement runs.
fn made_before(statement: &lockgate_sql::Statement, earlier: &[lockgate_sql::Statement]) -> Option<usize> {
    earlier.iter().rposition(|before| match (&statement.effect, &before.effect) {
        (Effect::Execute { name, .. }, Effect::Prepare { name: made, .. }) => name == made,
        (Effect::Fetch { name } | Effect::Move { name }, Effect::DeclareCursor { name: made, .. }) => name == made,
        _ => false,
    })
}

/// Why a name of the protocol is not run by SQL. PREPARE and DECLARE take queries only, but the server runs by EXECUTE whatever
/// Parse has prepared, and by FETCH and MOVE whatever Bind has bound: transaction control that takes effect at some later
/// time, COPY, writes in a cursor.
fn unlike_sql(effect: &Effect, found: &Found) -> Option<Denial> {
    let runs = |s: &lockgate_sql::Statement, verbs: &[&str]| verbs.contains(&s.verb);
    let statements = found.subject.statements();
    let judgement = found.both.as_ref().unwrap_or(&found.subject.judgement);
    let fine = match effect {
        Effect::Execute { .. } => {
            judgement.releases.is_empty()
                && statements.iter().all(|s| runs(s, &["select", "insert", "update", "delete", "merge"]))
        }
        _ => {
            judgement.charges.is_empty()
                && statements.iter().all(|s| runs(s, &["select"]) && s.facts.changes.is_empty())
        }
    };
    (!fine).then(|| {
        let does = match effect {
            Effect::Execute { .. } => "EXECUTE runs what SQL itself can prepare: SELECT, INSERT, UPDATE, DELETE, MERGE",
            _ => "FETCH and MOVE read what SQL itself can declare: queries that change nothing",
        };
        Denial::other(
            Fault::Policy,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "refused: a statement of the protocol that SQL is not to run",
            Some(does.to_owned()),
            Some("run it by the protocol, or send its text".into()),
        )
    })
}

/// A plan quotes what the target knows of a column's values, which is more than whether one is there.
fn deny_plan(judgement: &mut Judgement, charge: &Charge) {
    let column = charge.columns.first().map_or("", String::as_str);
    if !matches!(judgement.ruling, Ruling::Deny(_)) {
        judgement.ruling = Ruling::Deny(Denial::other(
            Fault::Policy,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "refused by policy",
            Some(format!("a plan tells more of column {column} than mode \"equality\" permits")),
            None,
        ));
    }
}

/// What an EXECUTE runs is asked for as well.
fn add_ruling(judgement: &mut Judgement, other: &Judgement) {
    judgement.policies.extend(other.policies.iter().cloned());
    judgement.places.extend(other.places.iter().cloned());
    judgement.asked.extend(other.asked.iter().cloned());
    judgement.alerts.extend(other.alerts.iter().cloned());
    judgement.observed.extend(other.observed.iter().cloned());
    judgement.carries.extend(other.carries.iter().cloned());
    judgement.depends_on_time |= other.depends_on_time;
    let ruling = std::mem::replace(&mut judgement.ruling, Ruling::Allow);
    judgement.ruling = match (ruling, &other.ruling) {
        (Ruling::Deny(denial), _) => Ruling::Deny(denial),
        (_, Ruling::Deny(denial)) => Ruling::Deny(denial.clone()),
        (Ruling::Hold(mut needs), Ruling::Hold(more)) => {
            needs.extend(more.iter().filter(|n| !needs.contains(n)).cloned().collect::<Vec<_>>());
            Ruling::Hold(needs)
        }
        (Ruling::Hold(needs), Ruling::Allow) => Ruling::Hold(needs),
        (Ruling::Allow, Ruling::Hold(needs)) => Ruling::Hold(needs.clone()),
        (Ruling::Allow, Ruling::Allow) => Ruling::Allow,
    };
}
