//! A statement is judged under one catalog and may run under another, after it waited for a lock. Here is counted what this
//! session sends that alters the catalog, and here its own answers are held back where other sessions did so meanwhile, until
//! it is known that the statement would have been judged the same, or that it was not.
//!
//! ```text
//!   first answer ──► nothing altered since it was judged ──────────────► mask ──► client
//!        └► altered: hold back ──► judged again by what there was since: the same ──┘
//!                                  another, or nobody can tell in time: withhold, 40001
//! ```
//!
//! Who may tell is whoever asks the target for its catalog: the session that altered it does at once, others before their
//! next statements, and this one where the whole answer is here and the target takes a question.

use super::altering::{
    comes_of_waiting, defines_for_itself, ends_transaction, fits_in_transaction, leaves_something, looks_up_later,
    made_by, moves_paths, names_in, redefines, tells,
};
use super::meaning::{Inner, Named, by_name};
use super::said::is_of_a_row;
use super::{ABORT_TEXT, Expect, Portal, Pump, Statement, Waiting, runs_what_was_put_off};
use crate::alterations::{AsOf, Manner, Next, Own, Pending, Step};
use crate::frame::{self, FrontendTag, Peer};
use crate::message::{self, TransactionStatus};
use crate::own;
use crate::prepare::{Prepared, With, is_free_of_catalog};
use crate::shared::{Snapshot, View};
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::{
    CATALOG_AGE_MS_MAX, CATALOG_CATCH_UP_MS, CATALOG_DOUBT_BYTES_MAX, CATALOG_DOUBT_FAILED_MS_MAX,
    CATALOG_DOUBT_LOOK_MS, CATALOG_DOUBT_MS_MAX, PG_MASKED_ROW_BYTES_MAX,
};
use lockgate_core::{Fault, SqlState, Timestamp};
use lockgate_mask::{Outbox, Touch};
use lockgate_record::{CloseReason, DoneKind};
use lockgate_session::wire::Io;
use lockgate_session::{Denial, Masks, Plumbing};
use lockgate_sql::catalog_query::paths_differ;
use lockgate_sql::{Later, Unseen};
use std::sync::Arc;

/// What is told and recorded of an answer that is withheld.
const MESSAGE: &str = "definitions changed while the statement waited";
/// Judgements that one look at what is on its way makes at most.
const CATCH_UP_STEPS_MAX: usize = 256;
/// New relations of one transaction whose names are told one by one.
const MAKES_MAX: usize = 16;
/// Questions of its own that a session asks about one answer.
const QUESTIONS_MAX: u8 = 3;

/// What a statement on its way was judged by.
pub(super) struct Judged {
    as_of: AsOf,
    labels: u64,
    at: Timestamp,
    snapshot: u64,
    /// The texts that were judged: the statement, and what it runs by name.
    subjects: Vec<Arc<Prepared>>,
    /// Nothing but rows comes of it.
    reads: bool,
    /// It looks names up while it runs: each of its messages may be of something else, and not the first alone.
    late: bool,
    /// How often the catalog had been found to be another.
    changes: u64,
    /// Its first answer has been passed on.
    passed: bool,
    /// All of its answer was here when the target was asked, and is of what was judged.
    settled: bool,
    /// What is dealt with now was here when it was held back last, and is known to be of what was judged.
    covered: bool,
}

/// What this session does to the catalog, and what of its answers is held back.
#[derive(Default)]
pub(super) struct Doubting {
    /// The open transaction has definitions in it, as far as it was sent.
    defines: bool,
    /// What relations are called that are made in it, and whether there is anything else.
    makes: Vec<Box<str>>,
    does_more: bool,
    /// The same of code that nobody could look into.
    opaque: bool,
    /// These may move the search paths of others.
    moves_paths: bool,
    /// What may end the transaction was sent and is not answered.
    ending: bool,
    /// Something on its way was judged by what others may alter.
    judging: bool,
    /// As of when the catalog was known, and by which labels, when the first of what is on its way was sent.
    since: Option<(AsOf, u64)>,
    /// The same, of the first statement of the open transaction that may have put code of users off to its end.
    put_off: Option<(AsOf, u64)>,
    /// What was sent may be visible to others by now.
    altering: Own,
    /// How many pipelines had been sent when that began.
    batch: u64,
    doubt: Option<Box<Doubt>>,
    /// What the target said and was not dealt with.
    held: BytesMut,
    /// How much of that is known to be of what was judged.
    covered: usize,
    withheld: Option<Withheld>,
}

/// An answer that is held back.
struct Doubt {
    pending: Pending,
    /// As of when it is known for what comes behind what is held, as far as it was judged again.
    later: Option<AsOf>,
    subjects: Vec<Arc<Prepared>>,
    since: Timestamp,
    /// How much of the answer was here when it was held back: what comes later may be of something else again.
    bytes: usize,
    questions: u8,
    /// A question of this session's own is on its way; the status that the client knows of.
    looking: Option<TransactionStatus>,
}

/// An answer that the client does not get.
struct Withheld {
    error: Bytes,
    /// The target is made to fail in its place, as the client has not ended its pipeline.
    within: bool,
}

/// How far a pipeline is answered.
enum InPipeline {
    /// There is more to come.
    Open,
    /// All that was sent of it is answered.
    Answered,
    /// It failed.
    Failed,
}

/// What a message of the target waits for.
pub(super) enum Doubtful {
    /// Nothing.
    No,
    /// It is held back.
    Held,
    /// It is withheld, with what follows.
    Withheld,
}

impl Pump {
    // ---- what this session alters ----

    /// Notes what a request that is about to be sent may alter for others.
    pub(super) fn may_alter(&mut self, prepared: &Prepared, named: &Named) {
        if !self.names_matter() {
            return;
        }
        let within = self.status == TransactionStatus::InTransaction && !self.doubting.ending;
        let (mut ends, mut several) = (0, false);
        let unread = prepared.batch.is_err();
        let (mut alters, mut anything) = (unread, false);
        for (index, statement) in prepared.statements().iter().enumerate() {
            let (run, unknown) = match named.inner(index, statement) {
                Inner::Nothing => (&[][..], false),
                Inner::This(run) => (run.statements(), false),
                // The server runs by EXECUTE whatever was prepared, definitions too.
                Inner::Unknown => (&[][..], true),
            };
            let (mut defines, mut opaque, mut moves) = (false, false, unknown);
            let mut ended = usize::from(unknown);
            anything |= unknown;
            for one in std::iter::once(statement).chain(run) {
                defines |= redefines(one) && !defines_for_itself(prepared);
                let unseen = one.facts.opaque || one.facts.unseen == Unseen::Definitions;
                opaque |= unseen;
                moves |= unseen || moves_paths(one);
                ended += usize::from(ends_transaction(one));
            }
            several |= ends > 0 && (defines || ended > 0);
            ends += ended;
            match made_by(statement).filter(|_| defines && !opaque && run.is_empty()) {
                Some(name) if self.doubting.makes.len() < MAKES_MAX => self.doubting.makes.push(name),
                _ => self.doubting.does_more |= defines || opaque || unknown,
            }
            alters |= defines || opaque || unknown;
            self.doubting.defines |= defines;
            self.doubting.opaque |= opaque;
            self.doubting.moves_paths |= moves;
        }
        self.doubting.defines |= unread;
        self.doubting.does_more |= unread;
        self.doubting.moves_paths |= unread;
        let ends = ends > 0 || unread;
        // What it goes on with after it may have been visible is another step.
        let begun = !self.doubting.altering.is_none();
        let again = begun && alters && (self.doubting.ending || self.batch != self.doubting.batch);
        let visible = self.doubting.defines || (self.doubting.opaque && within);
        if again {
            let moves_paths = self.doubting.moves_paths;
            self.shared.alterations.go_on(&mut self.doubting.altering, moves_paths);
        } else if visible && (!within || ends) {
            self.alters(several);
        }
        self.doubting.ending |= ends;
        // As with code that nobody can look into: what it did counts when it is over, or when its transaction is.
        self.doubting.opaque |= anything;
    }

    /// The same of a portal that was opened out of our sight.
    pub(super) fn may_alter_anything(&mut self) {
        if self.names_matter() {
            self.doubting.opaque = true;
            self.doubting.does_more = true;
            self.doubting.moves_paths = true;
            self.doubting.ending = true;
        }
    }

    /// Whether anything of the open transaction may be something to others: a search path of its own is not.
    pub(super) fn may_have_altered(&self) -> bool {
        self.doubting.defines || self.doubting.opaque
    }

    fn alters(&mut self, several: bool) {
        if !self.doubting.altering.is_none() {
            return self.shared.alterations.widen(self.doubting.altering);
        }
        self.doubting.batch = self.batch;
        let manner = Manner { several, moves_paths: self.doubting.moves_paths };
        let makes = (!self.doubting.does_more).then(|| self.doubting.makes.clone());
        self.doubting.altering = self.shared.alterations.begin(manner, makes);
    }

    /// Everything that was sent is answered. What came of it is asked for at once, because other sessions may wait for it.
    pub(super) fn has_altered(&mut self, io: &mut Io, brought: bool) {
        if !self.expect.is_empty() {
            return;
        }
        let idle = self.status == TransactionStatus::Idle;
        if idle && self.doubting.opaque && self.doubting.altering.is_none() {
            // Code that nobody can look into may run for hours and altering is seldom what it does. It is counted when it
            // is over.
            self.alters(false);
        }
        self.doubting.ending = false;
        self.doubting.judging = false;
        if idle {
            self.forget_put_off();
            self.doubting.put_off = None;
            self.doubting.defines = false;
            self.doubting.makes = Vec::new();
            self.doubting.does_more = false;
            self.doubting.opaque = false;
            self.doubting.moves_paths = false;
        }
        let altered = std::mem::take(&mut self.doubting.altering);
        if !altered.is_none() {
            self.shared.alterations.complete(altered);
        }
        let free = self.waiting.is_none() && self.inquiry.is_none() && !self.unsynced && !self.is_carrying();
        if (!altered.is_none() || brought) && idle && free && !self.closed && self.names_matter() {
            self.ask_catalog(io);
        }
    }

    /// The session is over, whatever becomes of what it sent.
    pub(super) fn leave_altering(&mut self, now: Timestamp) {
        let altering = std::mem::take(&mut self.doubting.altering);
        if !altering.is_none() {
            self.shared.alterations.abandon(altering, now);
        }
    }

    // ---- what it was judged by ----

    /// What a request that is about to be sent was judged by; `None` where it means the same whatever is altered.
    pub(super) fn judged_by(&mut self, subjects: Vec<Arc<Prepared>>, now: Timestamp) -> Option<Judged> {
        // Of what a name stands for that was given out of our sight everything is masked, whatever it reads.
        let reads = |s: &lockgate_sql::Statement| !is_free_of_catalog(s) && !by_name(&s.effect);
        let reads = |s: &Arc<Prepared>| s.batch.is_err() || s.statements().iter().any(reads);
        let tells = |s: &Arc<Prepared>| reads(s) && s.statements().iter().any(tells);
        if !subjects.iter().any(tells) || !self.names_matter() {
            return None;
        }
        let reads = subjects.iter().flat_map(|s| s.statements()).all(|s| {
            matches!(s.verb, "select" | "fetch" | "execute" | "explain" | "show" | "declare_cursor" | "copy")
                && s.facts.changes.is_empty()
        });
        self.doubting.judging = true;
        let late = looks_up_later(&subjects);
        if late && self.doubting.put_off.is_none() {
            self.doubting.put_off = Some((self.known_as_of(), self.truth.snapshot.labels));
        }
        Some(Judged {
            as_of: self.known_as_of(),
            labels: self.truth.snapshot.labels,
            at: now,
            snapshot: self.truth.snapshot.id,
            subjects,
            reads,
            late,
            changes: self.shared.changes(),
            passed: false,
            settled: false,
            covered: false,
        })
    }

    /// A message that is not judged by what others may alter is about to be sent.
    pub(super) fn sends_unjudged(&mut self) {
        if self.expect.is_empty() && self.labelled() {
            self.doubting.since = Some((self.known_as_of(), self.truth.snapshot.labels));
        }
    }

    /// What the request was judged by whose answer comes now, to look at.
    fn judged_now(&self) -> Option<&Judged> {
        match self.expect.front()? {
            Expect::Simple(simple) if !simple.opening => simple.judged.as_ref(),
            Expect::Execute(execution) => execution.judged.as_ref(),
            Expect::Call(called) => called.judged.as_ref(),
            Expect::Bind => self.portals.front().and_then(|portal: &Portal| portal.judged.as_ref()),
            _ => None,
        }
    }

    /// The same, to change it.
    fn judged(&mut self) -> Option<&mut Judged> {
        match self.expect.front_mut()? {
            Expect::Simple(simple) if !simple.opening => simple.judged.as_mut(),
            Expect::Execute(execution) => execution.judged.as_mut(),
            Expect::Call(called) => called.judged.as_mut(),
            Expect::Bind => self.portals.front_mut().and_then(|portal: &mut Portal| portal.judged.as_mut()),
            _ => None,
        }
    }

    /// Whether code of users that was put off to the end of the transaction may run now, and find something else than was
    /// judged: what it says is nobody's.
    pub(super) fn ends_doubtfully(&self) -> bool {
        let (labels, session) = (self.session.labels(), self.session.id());
        let altered =
            |(as_of, by): &(AsOf, u64)| !self.shared.alterations.is_all(as_of) || labels.has_others_since(session, *by);
        self.labelled()
            && self.judged_now().is_none()
            && self.doubting.put_off.as_ref().is_some_and(altered)
            && self.may_end()
    }

    /// Whether what comes now may be of what was put off to the end of the transaction.
    fn may_end(&self) -> bool {
        match self.expect.front() {
            Some(Expect::Sync | Expect::Bracket(_)) => true,
            Some(Expect::Simple(simple)) => {
                simple.ends_pipeline
                    || simple.index >= simple.prepared.statements().len()
                    || simple
                        .named
                        .ran(&simple.prepared, simple.index)
                        .is_none_or(|mut ran| ran.any(runs_what_was_put_off))
            }
            Some(Expect::Execute(execution)) => execution.statement.as_ref().is_none_or(|statement| {
                execution.named.ran(statement.subject(), 0).is_none_or(|mut ran| ran.any(runs_what_was_put_off))
            }),
            _ => false,
        }
    }

    /// What the client is told in the place of an error of such code, whose wording and code may be of its own choice. That of a key
    /// which the server itself has checked is the server's.
    pub(super) fn error_of_the_end(&mut self, body: &[u8], io: &Io) -> Option<Bytes> {
        if comes_of_waiting(body, true) || is_of_a_row(body) || !self.ends_doubtfully() || self.sees_everything(io.now)
        {
            return None;
        }
        Some(self.report(own::Severity::Error, &denial()).freeze())
    }

    /// Whether the answer that comes now may be of something else than was judged.
    pub(super) fn is_doubtful(&self) -> bool {
        let labels = self.session.labels().version();
        if matches!(
            self.expect.front(),
            Some(Expect::Parse { .. } | Expect::DescribeStatement { .. } | Expect::DescribePortal { .. })
        ) {
            let since = self.doubting.since.as_ref();
            return since.is_none_or(|(as_of, by)| !self.shared.alterations.is_all(as_of) || *by != labels);
        }
        let uncertain = |judged: &Judged| {
            let own = self.doubting.altering;
            let mut pending = self.shared.alterations.pending(judged.as_of.clone(), own, judged.labels, labels);
            pending.names = names_in(&judged.subjects);
            !matches!(self.shared.alterations.step(&pending), Step::Done)
        };
        self.judged_now().is_some_and(|j| {
            let as_judged = self.shared.alterations.is_all(&j.as_of) && (labels == j.labels || !self.labelled());
            !j.settled && (!j.passed || j.late) && !as_judged && uncertain(j)
        })
    }

    /// Whether a message of the target has to wait.
    pub(super) fn doubts(&mut self, tag: u8, body: &[u8], io: &mut Io) -> Doubtful {
        let tells = match self.expect.front() {
            Some(Expect::Simple(_)) => matches!(tag, b'T' | b'D' | b'H' | b'd' | b'C' | b'E'),
            Some(Expect::Execute(_)) => matches!(tag, b'D' | b'H' | b'd' | b'C' | b's' | b'E'),
            Some(Expect::Call(_)) => matches!(tag, b'V' | b'E'),
            Some(Expect::Bind) => matches!(tag, b'2' | b'E'),
            _ => false,
        };
        if !tells || self.doubting.withheld.is_some() {
            return Doubtful::No;
        }
        let Some(judged) = self.judged_now() else { return Doubtful::No };
        let waited = tag == b'E' && comes_of_waiting(body, judged.late);
        if judged.settled || (judged.passed && (!judged.late || judged.covered)) || waited {
            return Doubtful::No;
        }
        let labels = self.session.labels().version();
        let all = self.shared.alterations.is_all(&judged.as_of) && (labels == judged.labels || !self.labelled());
        let old = if judged.passed {
            self.shared.changes() != judged.changes
        } else {
            io.now.millis_since(judged.at) > CATALOG_AGE_MS_MAX
        };
        if all && !old {
            if let Some(judged) = self.judged() {
                judged.passed |= tag != b'2';
            }
            return Doubtful::No;
        }
        let shared = Arc::clone(&self.shared);
        let own = self.doubting.altering;
        let Some(judged) = self.judged() else { return Doubtful::No };
        judged.changes = shared.changes();
        let mut pending = shared.alterations.pending(judged.as_of.clone(), own, judged.labels, labels);
        pending.names = names_in(&judged.subjects);
        let (subjects, snapshot, reads) = (judged.subjects.clone(), judged.snapshot, judged.reads);
        // Where labels follow what is copied, a write has to be judged by what it copies all the same.
        if (reads || !self.session.target().propagates) && self.sees_everything(io.now) {
            self.trust_answer(None);
            if let Some(judged) = self.judged() {
                judged.settled = true;
            }
            return Doubtful::No;
        }
        let doubt =
            Doubt { pending, later: None, subjects, since: io.now, bytes: 0, questions: QUESTIONS_MAX, looking: None };
        self.doubting.doubt = Some(Box::new(doubt));
        if old
            && !self.truth.private
            && let Some(newer) = self.shared.snapshot().filter(|s| s.id != snapshot)
            && !self.is_same_under(&newer, io)
        {
            // What somebody altered directly at the target is not counted here, and others saw it.
            self.withhold(io);
        } else {
            self.look(io);
        }
        match (&self.doubting.doubt, &self.doubting.withheld) {
            (Some(_), _) => Doubtful::Held,
            (None, Some(_)) => Doubtful::Withheld,
            (None, None) => Doubtful::No,
        }
    }

    /// Nothing is hidden from this identity, whatever a name means.
    fn sees_everything(&mut self, now: Timestamp) -> bool {
        let unknown = self.unknown_plan(now);
        let clear = unknown.plans.first().is_some_and(|p| p.masks == Masks::Clear && p.touch == Touch::Clean);
        clear && !self.session.rules().policies.speak_of_tables()
    }

    // ---- looking ----

    /// Whether answers are held back.
    pub(super) fn holds_back(&self) -> bool {
        self.doubting.doubt.is_some()
    }

    /// Whether a question of the session's own about a held answer is on its way.
    pub(super) fn looks_itself(&self) -> bool {
        self.doubting.doubt.as_ref().is_some_and(|doubt| doubt.looking.is_some())
    }

    /// Sees whether it is known by now what the held answer was made under.
    fn look(&mut self, io: &mut Io) {
        loop {
            let Some(doubt) = &self.doubting.doubt else { return };
            if doubt.looking.is_some() {
                return;
            }
            match self.shared.alterations.step(&doubt.pending) {
                Step::Done => {
                    let as_of = doubt.later.clone().unwrap_or_else(|| doubt.pending.as_of.clone());
                    let known = (as_of, doubt.pending.labels);
                    return self.trust_answer(Some(known));
                }
                Step::Never => return self.withhold(io),
                Step::Judge(next) if !self.truth.private => {
                    if !self.is_same_under(&next.snapshot, io) {
                        return self.withhold(io);
                    }
                    if let Some(doubt) = &mut self.doubting.doubt {
                        doubt.pending.as_of = next.as_of;
                        doubt.pending.labels = next.labels;
                        doubt.later = Some(next.later);
                    }
                }
                Step::Judge(..) | Step::Wait => {
                    let waits = io.now.millis_since(doubt.since);
                    let failed = self.status_behind_held() == Some(TransactionStatus::Failed);
                    let limit = if failed { CATALOG_DOUBT_FAILED_MS_MAX } else { CATALOG_DOUBT_MS_MAX };
                    if !(0..limit).contains(&waits) {
                        return self.withhold(io);
                    }
                    return self.ask_itself(io);
                }
            }
        }
    }

    /// The answer may go out: it was judged as of then, by these labels. What came after that counts for what is bound when
    /// it is executed.
    fn trust_answer(&mut self, known: Option<(AsOf, u64)>) {
        let bytes = self.doubting.doubt.take().map_or(0, |doubt| doubt.bytes);
        let bound = matches!(self.expect.front(), Some(Expect::Bind));
        let mut covers = false;
        if let Some(judged) = self.judged() {
            judged.passed = true;
            judged.covered = judged.late && bytes > 0;
            covers = judged.covered;
            if let (Some((as_of, labels)), true) = (known, bound || judged.late) {
                judged.as_of = as_of;
                judged.labels = labels;
            }
        }
        self.doubting.covered = if covers { bytes } else { 0 };
    }

    /// The same where everything that was sent was answered before the target was asked.
    fn settle_answer(&mut self, known: (AsOf, u64)) {
        self.trust_answer(Some(known));
        let bound = matches!(self.expect.front(), Some(Expect::Bind));
        if let Some(judged) = self.judged() {
            judged.settled = !bound;
        }
    }

    /// Whether everything about the held answer would have been judged the same by this.
    fn is_same_under(&mut self, snapshot: &Arc<Snapshot>, io: &Io) -> bool {
        let subjects = self.doubting.doubt.as_ref().map(|d| d.subjects.clone()).unwrap_or_default();
        self.all_same_under(&subjects, snapshot, io)
    }

    fn all_same_under(&mut self, subjects: &[Arc<Prepared>], snapshot: &Arc<Snapshot>, io: &Io) -> bool {
        if paths_differ(snapshot.catalog.version(), &self.truth.path_version) {
            // In which schemas names were looked up under it nobody knows.
            return false;
        }
        let rules = self.session.rules();
        let as_it_is = self.rewrites();
        let with = With {
            session: &self.session,
            rules: &rules,
            snapshot,
            path: &self.truth.path,
            view: View { snapshot: snapshot.id, names: snapshot.names, ..self.view(rules.version, as_it_is) },
            readable: self.readable(),
            rewrites: false,
            now: io.now,
        };
        subjects.iter().all(|subject| subject.is_like(&subject.again(&with, &self.shared)))
    }

    /// Asks the target, where all it owes is here and it takes a question.
    fn ask_itself(&mut self, io: &mut Io) {
        if matches!(self.pipeline_held(), InPipeline::Failed) {
            return self.end_failed_pipeline(io);
        }
        let free = self.inquiry.is_none() && self.carrying.is_none();
        let Some(status) = self.status_behind_held().filter(|_| free) else { return };
        if status == TransactionStatus::Failed {
            return self.undo_failed_bracket(io);
        }
        let known = self.status;
        match &mut self.doubting.doubt {
            Some(doubt) if doubt.questions > 0 => {
                doubt.questions -= 1;
                doubt.looking = Some(known);
            }
            _ => return,
        }
        self.status = status;
        self.ask_catalog(io);
    }

    /// The transaction's status behind what is held, if that is all that the target owes.
    fn status_behind_held(&self) -> Option<TransactionStatus> {
        if self.unsynced {
            return matches!(self.pipeline_held(), InPipeline::Answered).then_some(self.status);
        }
        let undone = matches!(self.expect.front(), Some(Expect::Simple(simple)) if simple.undone);
        let owed = self.expect.iter().filter(|expect| is_answered_by_ready(expect)).count() + usize::from(undone);
        let (mut answered, mut status) = (0, None);
        let whole = self.each_held(|tag, body| {
            if tag == b'Z' {
                answered += 1;
                status = message::ReadyForQuery::decode(body).ok().map(|ready| ready.status);
            }
        });
        status.filter(|_| whole && answered == owed)
    }

    /// How far a pipeline that was not ended is answered by what is held.
    fn pipeline_held(&self) -> InPipeline {
        let of_pipeline = |expect: &Expect| {
            matches!(
                expect,
                Expect::Parse { .. }
                    | Expect::Bind
                    | Expect::DescribeStatement { .. }
                    | Expect::DescribePortal { .. }
                    | Expect::Execute(_)
                    | Expect::CloseStatement
                    | Expect::ClosePortal
            )
        };
        if !self.unsynced || !self.expect.iter().all(of_pipeline) {
            return InPipeline::Open;
        }
        let (mut answered, mut failed) = (0, false);
        let whole = self.each_held(|tag, _| {
            answered += usize::from(matches!(tag, b'1' | b'2' | b'3' | b'T' | b'n' | b'C' | b'I' | b's'));
            failed |= tag == b'E';
        });
        match failed {
            true => InPipeline::Failed,
            false if whole && answered == self.expect.len() => InPipeline::Answered,
            false => InPipeline::Open,
        }
    }

    /// The transaction that the gateway put around a statement failed. Within it the target takes no question.
    fn undo_failed_bracket(&mut self, io: &mut Io) {
        let alone = self.expect.len() == 1;
        if let Some(Expect::Simple(simple)) = self.expect.front_mut().filter(|_| alone)
            && simple.bracketed
            && !simple.undone
        {
            simple.undone = true;
            self.send_bracket(b"ROLLBACK", io);
        }
    }

    /// A pipeline failed: nothing of it stays, so that its end need not wait, nor what was to follow what it did.
    fn end_failed_pipeline(&mut self, io: &mut Io) {
        self.carries_nothing();
        let ends = |waiting: &mut Waiting| matches!(waiting, Waiting::Answers(frame) if FrontendTag::from_byte(frame.tag()) == FrontendTag::Sync);
        if let Some(Waiting::Answers(sync)) = self.waiting.take_if(ends) {
            self.send_sync(&sync, io);
            io.read_client = true;
        }
    }

    /// No labels follow what is on its way.
    fn carries_nothing(&mut self) {
        for expect in &mut self.expect {
            if let Expect::Execute(execution) = expect {
                execution.carries = None;
            }
        }
    }

    /// Goes through the messages that are held. Whether that is all of them.
    fn each_held(&self, mut look: impl FnMut(u8, &[u8])) -> bool {
        let mut rest = self.doubting.held.get(..).unwrap_or_default();
        while let Ok(Some(header)) = frame::next_header(rest, Peer::Target) {
            let Some((frame, behind)) = rest.split_at_checked(header.frame_len()) else { break };
            rest = behind;
            look(header.tag, frame.get(frame::HEADER_BYTES..).unwrap_or_default());
        }
        rest.is_empty()
    }

    /// The question of the session's own failed within the client's pipeline, which the target drops from here on.
    pub(super) fn failed_to_look(&mut self, io: &mut Io) {
        let denial = Denial { hint: Some("connect and run it again".into()), ..self.unread_catalog() };
        self.fail(io, &denial, CloseReason::Protocol);
    }

    /// The question of the session's own is answered.
    pub(super) fn looked(&mut self, io: &mut Io) {
        let Some(doubt) = &mut self.doubting.doubt else { return };
        if let Some(known) = doubt.looking.take() {
            self.status = known;
        }
        let certain = self.truth.unknown.is_none() && !self.truth.moved && !self.truth.of_beginning;
        let snapshot = Arc::clone(&self.truth.snapshot);
        let answer = self.truth.answer.as_ref().filter(|_| certain);
        let tells = answer.is_some_and(|asked| self.shared.alterations.tells(asked, snapshot.labels, &doubt.pending));
        if !tells {
            self.look(io);
        } else if self.is_same_under(&snapshot, io) {
            let as_of = self.truth.as_of.clone();
            self.settle_answer((as_of, snapshot.labels));
        } else {
            self.withhold(io);
        }
    }

    /// Time has passed.
    pub(crate) fn look_again(&mut self, io: &mut Io) {
        if self.closed {
            return;
        }
        if self.holds_back() {
            self.look(io);
            self.resume(io);
            self.flush_record(io);
            return;
        }
        self.catch_up(io);
    }

    /// A statement that has not answered yet is judged by what became known meanwhile: later nobody may know it any more.
    fn catch_up(&mut self, io: &Io) {
        let labels = self.session.labels().version();
        if self.truth.private || !self.doubting.judging {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let own = self.doubting.altering;
        let mut at = 0;
        for _ in 0..CATCH_UP_STEPS_MAX {
            let Some(judged) = self.all_judged().filter(|judged| judged.is_open()).nth(at) else { return };
            at += 1;
            if shared.alterations.is_all(&judged.as_of) {
                continue;
            }
            let mut pending = shared.alterations.pending(judged.as_of.clone(), own, judged.labels, labels);
            pending.names = names_in(&judged.subjects);
            let subjects = judged.subjects.clone();
            let Step::Judge(Next { snapshot, later, labels, .. }) = shared.alterations.step(&pending) else { continue };
            if !self.all_same_under(&subjects, &snapshot, io) {
                continue;
            }
            // Once more, as there may be further states.
            at -= 1;
            if let Some(judged) = self.all_judged().filter(|judged| judged.is_open()).nth(at) {
                judged.as_of = later;
                judged.labels = labels;
            }
        }
    }

    /// What everything on its way was judged by.
    fn all_judged(&mut self) -> impl Iterator<Item = &mut Judged> + '_ {
        let sent = self.expect.iter_mut().filter_map(|expect| match expect {
            Expect::Simple(simple) => simple.judged.as_mut(),
            Expect::Execute(execution) => execution.judged.as_mut(),
            Expect::Call(called) => called.judged.as_mut(),
            _ => None,
        });
        sent.chain(self.portals.proposed_mut().filter_map(|portal: &mut Portal| portal.judged.as_mut()))
    }

    /// What the shell is to do until the next event.
    pub(super) fn keep_looking(&mut self, io: &mut Io) {
        io.read_target = !self.holds_back() || self.doubting.held.len() < CATALOG_DOUBT_BYTES_MAX;
        let wish = if self.holds_back() {
            CATALOG_DOUBT_LOOK_MS
        } else if self.doubting.judging && !self.expect.is_empty() {
            CATALOG_CATCH_UP_MS
        } else {
            return;
        };
        io.wake_in_ms = Some(io.wake_in_ms.map_or(wish, |wake| wake.min(wish)));
    }

    // ---- holding back ----

    /// Takes in what the target sent, behind what is held.
    pub(super) fn take_held(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        if self.looks_itself() {
            self.take_own_answer(buffer, io);
            if self.looks_itself() || self.closed {
                return;
            }
        }
        self.doubting.held.extend_from_slice(buffer);
        buffer.clear();
        self.note_held();
        if self.holds_back() {
            self.look(io);
        }
        self.resume(io);
    }

    /// What is here of an answer that is held back from now on.
    fn note_held(&mut self) {
        let held = self.doubting.held.len();
        if let Some(doubt) = self.doubting.doubt.as_mut().filter(|doubt| doubt.bytes == 0) {
            doubt.bytes = held;
        }
    }

    /// Whether something is held.
    pub(super) fn has_held(&self) -> bool {
        self.holds_back() || !self.doubting.held.is_empty()
    }

    /// Deals with what is held, unless it still has to be.
    fn resume(&mut self, io: &mut Io) {
        if self.holds_back() || self.closed {
            return;
        }
        let mut held = std::mem::take(&mut self.doubting.held);
        let covered = std::mem::take(&mut self.doubting.covered).min(held.len());
        if covered > 0 {
            let behind = held.split_off(covered);
            self.take_target(&mut held, io);
            held.unsplit(behind);
            for judged in self.all_judged() {
                judged.covered = false;
            }
        }
        if !self.holds_back() && !self.closed {
            self.take_target(&mut held, io);
        }
        self.doubting.held = held;
        self.note_held();
        if self.holds_back() {
            self.look(io);
        }
        if !self.holds_back() && !self.closed {
            io.again = true;
        }
    }

    fn take_own_answer(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        while self.looks_itself() && !self.closed {
            let header = match frame::next_header(buffer, Peer::Target) {
                Ok(Some(header)) => header,
                Ok(None) => return,
                Err(error) => return self.target_broke(io, &error.to_string()),
            };
            if let Err(error) = header.bounded(Peer::Target, PG_MASKED_ROW_BYTES_MAX) {
                return self.target_broke(io, &error.to_string());
            }
            if buffer.len() < header.frame_len() {
                return;
            }
            let body = buffer.split_to(header.frame_len()).freeze().slice(frame::HEADER_BYTES..);
            match header.tag {
                b'N' => {}
                b'A' | b'S' => self.message(header, body, io),
                tag => self.inquiry_frame(tag, &body, io),
            }
        }
    }

    // ---- withholding ----

    /// The client does not get the answer, and is told why.
    fn withhold(&mut self, io: &mut Io) {
        self.doubting.doubt = None;
        let denial = denial();
        let request = match self.expect.front_mut() {
            Some(Expect::Simple(simple)) => {
                simple.failed = true;
                Some(simple.request)
            }
            Some(Expect::Execute(execution)) => {
                execution.withheld = true;
                execution.carries = None;
                Some(execution.request)
            }
            Some(Expect::Call(called)) => {
                called.answered = true;
                Some(called.request)
            }
            _ => None,
        };
        if let Some(Expect::Call(called)) = self.expect.front() {
            // It has run all the same.
            match called.prepared.clone() {
                Some(prepared) => self.effect(&prepared, &Named::default(), 0),
                None => self.anything(),
            }
        }
        let code = SqlState::SERIALIZATION_FAILURE.0;
        if let Some(request) = request {
            self.done(io, request, DoneKind::Failed, "", Some((code, MESSAGE, Fault::Policy)));
        }
        let _ = self.session.notice(request, "WARNING", code, "the answer is withheld", io.now);
        let error = self.report(own::Severity::Error, &denial).freeze();
        let extended = matches!(self.expect.front(), Some(Expect::Bind | Expect::Execute(_)));
        let within = extended && !self.expect.iter().any(|e| matches!(e, Expect::Sync));
        if within {
            // It is undone with the pipeline.
            self.carries_nothing();
            self.refuse_extended(io, error.clone());
        }
        self.doubting.withheld = Some(Withheld { error, within });
    }

    /// Drops the next message of an answer that is withheld, after what it says of the session was taken in. False when more
    /// bytes are needed.
    pub(super) fn drop_withheld(&mut self, buffer: &mut BytesMut, io: &mut Io) -> bool {
        let in_inquiry = matches!(self.expect.front(), Some(Expect::Inquiry));
        if matches!(self.expect.front(), Some(Expect::Refused(_))) {
            // The target's next word is the error that was asked for.
            self.doubting.withheld = None;
            return true;
        }
        if !in_inquiry && (self.dropping > 0 || buffer.first() == Some(&b'D')) {
            return self.drop_rows(buffer);
        }
        let header = match frame::next_header(buffer, Peer::Target) {
            Ok(Some(header)) => header,
            Ok(None) => return false,
            Err(error) => {
                self.target_broke(io, &error.to_string());
                return false;
            }
        };
        if header.tag == b'd' {
            self.dropping = header.frame_len();
            return true;
        }
        if let Err(error) = header.bounded(Peer::Target, PG_MASKED_ROW_BYTES_MAX) {
            self.target_broke(io, &error.to_string());
            return false;
        }
        if buffer.len() < header.frame_len() {
            return false;
        }
        let body = buffer.split_to(header.frame_len()).freeze().slice(frame::HEADER_BYTES..);
        let describes =
            matches!(self.expect.front(), Some(Expect::DescribeStatement { .. } | Expect::DescribePortal { .. }));
        match header.tag {
            b'T' | b't' | b'n' if !describes && !in_inquiry => return true,
            b'H' | b'c' | b'V' | b'N' => return true,
            b'G' => {
                let mut fail = BytesMut::new();
                if own::copy_fail(&mut fail, MESSAGE).is_ok() {
                    io.target.plumbing(Plumbing::CopyData, &fail);
                }
                return true;
            }
            _ => {}
        }
        // What it does to the session counts; what it says is for nobody.
        let client = std::mem::replace(&mut io.client, Outbox::new());
        self.message(header, body, io);
        let said = std::mem::replace(&mut io.client, client);
        if self.closed {
            // Why the session ended is for the client.
            io.client.own(&lockgate_mask::OwnMessage::not_target_data(self.last_words()));
            drop(said);
            return true;
        }
        match (header.tag, &self.doubting.withheld) {
            // What was to fail in its place is dropped with the rest.
            (b'E', Some(withheld)) if withheld.within && !in_inquiry => {
                let error = withheld.error.clone();
                self.doubting.withheld = None;
                self.own(io, error);
            }
            (b'Z', Some(_)) if !in_inquiry => self.has_withheld(io),
            _ => {}
        }
        true
    }

    fn last_words(&self) -> Bytes {
        let denial =
            Denial::other(Fault::Target, SqlState::CONNECTION_FAILURE, MESSAGE, None, Some("connect again".into()));
        self.report(own::Severity::Fatal, &denial).freeze()
    }

    /// The answer that is withheld is over.
    fn has_withheld(&mut self, io: &mut Io) {
        let Some(Withheld { error, .. }) = self.doubting.withheld.take() else { return };
        if matches!(self.expect.front(), Some(Expect::Bracket(_))) {
            return self.own(io, error);
        }
        if self.status != TransactionStatus::InTransaction {
            self.own(io, error);
            if self.goes_on(self.status, io) {
                return;
            }
            let mut ready = BytesMut::new();
            own::ready_for_query(&mut ready, self.status);
            self.own(io, ready);
            return self.when_idle(io);
        }
        if !self.expect.is_empty() || self.unsynced {
            // What is on its way would run in a transaction that the client takes for failed.
            let denial = Denial::other(
                Fault::Policy,
                SqlState::SERIALIZATION_FAILURE,
                MESSAGE,
                Some("what was sent behind it cannot be taken back".into()),
                Some("connect and run it again".into()),
            );
            return self.fail(io, &denial, CloseReason::Protocol);
        }
        self.own(io, error);
        let mut abort = BytesMut::new();
        if own::query(&mut abort, ABORT_TEXT).is_ok() {
            io.target.plumbing(Plumbing::Abort, &abort);
            self.takes_unnamed();
            self.expect.push_back(Expect::RefusedQuery { own: None });
        }
    }

    /// A message's own text, and what the names in it stand for.
    pub(super) fn subjects(own: Option<&Arc<Prepared>>, runs: &[super::meaning::Runs]) -> Vec<Arc<Prepared>> {
        own.cloned().into_iter().chain(runs.iter().filter_map(|(_, found)| found.clone())).collect()
    }

    /// As [`Pump::judged_by`], of a statement that is opened.
    pub(super) fn judged_opening(&mut self, statement: Option<&Statement>, now: Timestamp) -> Option<Judged> {
        self.judged_by(Self::subjects(Some(statement?.subject()), &[]), now)
    }

    /// Whether a message outside of a transaction may leave something of what it reads behind. It is committed once it is known
    /// under which definitions it ran: an answer can be withheld, a commit cannot be taken back.
    pub(super) fn may_copy(&mut self, prepared: &Prepared) -> bool {
        let statements = prepared.statements();
        statements.iter().any(leaves_something) && statements.iter().all(fits_in_transaction) && self.names_matter()
    }

    /// Whether the end of a pipeline waits until such a statement in it is answered.
    pub(super) fn copies_now(&self) -> bool {
        let copies = |judged: &Judged| judged.subjects.iter().flat_map(|s| s.statements()).any(leaves_something);
        self.doubting.judging
            && self.expect.iter().any(|expect| match expect {
                Expect::Execute(execution) => execution.judged.as_ref().is_some_and(copies),
                _ => false,
            })
    }

    /// As of when the names are known that a cursor looks up when it is committed.
    pub(super) fn cursor_since(&self, statement: &lockgate_sql::Statement, holds: bool) -> Option<(AsOf, u64)> {
        let late = holds && statement.facts.later != Later::Nothing && self.labelled();
        late.then(|| (self.known_as_of(), self.truth.snapshot.labels))
    }

    /// The transaction is over. Cursors that outlive it have their rows: where these may be of something else than was judged
    /// the cursor is one that was opened out of our sight.
    pub(super) fn keep_held_cursors(&mut self) {
        let (alterations, labels) = (&self.shared.alterations, self.session.labels().version());
        self.portals.retain(|portal| {
            let known = portal.since.as_ref().is_none_or(|(as_of, by)| alterations.is_all(as_of) && *by == labels);
            portal.holds && known
        });
        self.portals.each(|portal| {
            portal.since = None;
            portal.made = true;
        });
    }

    /// Whether an answer is being withheld.
    pub(super) fn withholds(&self) -> bool {
        self.doubting.withheld.is_some()
    }
}

/// Whether the target says at its end that it is ready.
fn is_answered_by_ready(expect: &Expect) -> bool {
    match expect {
        Expect::Simple(_) | Expect::Sync | Expect::Call(_) | Expect::Bracket(_) | Expect::RefusedQuery { .. } => true,
        Expect::Copied(copied) => copied.is_synced(),
        _ => false,
    }
}

fn denial() -> Denial {
    Denial::other(
        Fault::Policy,
        SqlState::SERIALIZATION_FAILURE,
        MESSAGE,
        Some("what it would have returned may be something else than was allowed".into()),
        Some("run it again".into()),
    )
}

impl Judged {
    /// Whether what others alter now may count for its answer.
    fn is_open(&self) -> bool {
        !self.settled && (!self.passed || self.late)
    }

    /// The next statement of the same message begins.
    pub(super) fn next(&mut self) {
        self.passed = false;
    }
}

impl Drop for Pump {
    /// Whatever ended the session, nobody waits for it for ever.
    fn drop(&mut self) {
        self.leave_altering(Timestamp::default());
    }
}
