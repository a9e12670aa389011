//! The gateway's own questions to the target, on the session's connection and inside its transaction: has the catalog
//! changed, which search path is in effect, how are texts read, and where it changed, what is in it now.
//!
//! They are sent as named statements and portals that are closed at once, so that the client's unnamed ones survive and
//! nothing of them is left behind.

use super::altering::looks_up_later;
use super::renamed::{NAMES_SQL, Said};
use super::sizes::Sizes;
use super::{Expect, Lexing, Pump, Unknown, Waiting, keeps_utf8};
use crate::alterations::{AsOf, Asked};
use crate::frame::{Frame, FrontendTag};
use crate::message::{self, Object, TransactionStatus};
use crate::own;
use crate::prepare::{Prepared, is_free_of_catalog};
use crate::shared::Snapshot;
use bytes::BytesMut;
use lockgate_core::limits::{CATALOG_AGE_MS_MAX, CATALOG_DOUBT_FAILED_MS_MAX};
use lockgate_core::{Fault, SqlState, Timestamp};
use lockgate_record::CloseReason;
use lockgate_session::wire::{HoldOutcome, Io};
use lockgate_session::{Denial, Plumbing};
use lockgate_sql::catalog_query::{FactsBuilder, SNAPSHOT_SQL, VERSION_SQL, paths_differ};
use lockgate_sql::{Catalog, Effect};
use std::sync::Arc;

/// Name of the statement and the portal, for as long as a question lasts.
const NAME: &[u8] = b"lockgate inquiry";
/// CloseComplete messages for each question.
const CLOSES: u8 = 3;
/// The schemas in which unqualified names are looked up now, in order.
const PATH_SQL: &str = "SELECT pg_catalog.unnest(pg_catalog.current_schemas(true))";
/// Whether the answers are of now or of the transaction's beginning: the server itself always looks names up as they are now.
const ISOLATION_SQL: &str = "SELECT pg_catalog.current_setting('transaction_isolation')";
/// How the server reads the next text, which it reports with the ReadyForQuery that follows a change and not before; and which of its
/// processes it is.
const LEXING_SQL: &str = "SELECT pg_catalog.concat_ws(' ', pg_catalog.current_setting('standard_conforming_strings'), \
                          pg_catalog.current_setting('client_encoding'), \
                          pg_catalog.current_setting('server_encoding'), pg_catalog.pg_backend_pid())";
/// Compiling a question takes a hundred times as long as answering it, and the server does that where a session has ruled out the
/// plans that it would choose. Nor is what the gateway asks a statement of the client, whose time is limited by what it set.
/// Until the end of the transaction: asked outside of one only, where that is the round's own.
const PREPARE_SQL: &str =
    "SELECT pg_catalog.set_config('jit', 'off', true), pg_catalog.set_config('statement_timeout', '0', true)";
/// Schemas in a search path.
const PATH_MAX: usize = 1_000;

/// How often a question that failed is asked again at once.
const ATTEMPTS_MAX: u8 = 3;

/// What is being asked.
pub(super) enum Stage {
    /// Version, then path.
    State(Asked),
    /// The catalog, which was asked for with its version.
    Snapshot(Asked, Box<FactsBuilder>),
    /// The sizes of an aggregate's groups.
    Sizes(Sizes),
    /// Nothing: the target forgets its plans. From then on they are of this catalog.
    Plans(u64),
    /// Nothing: the target ends the transaction in which it prepared what is held now, and with that its locks.
    Ends,
}

/// A round of questions that is under way.
pub(super) struct Inquiry {
    stage: Stage,
    /// What is sent ahead of the questions is not answered yet.
    prepares: bool,
    /// The question whose answer comes next.
    question: usize,
    questions: usize,
    /// CloseComplete messages still owed for the question.
    closes: u8,
    /// A ReadyForQuery ends the round.
    synced: bool,
    version: String,
    path: Vec<String>,
    broken: Option<String>,
    /// The answers are those of the transaction's beginning.
    of_beginning: bool,
    /// Something in the answers is not ASCII.
    beyond_ascii: bool,
    /// How the server reads texts, once it said so.
    lexing: Option<Lexing>,
    /// The process of the server that answers.
    process: Option<i32>,
    /// What names stand for, where that was asked.
    names: Option<Vec<Said>>,
    /// The target dropped it because an earlier message failed; its Sync is answered all the same.
    dropped: bool,
}

impl Pump {
    /// Whether the target must be asked before a verdict on this can stand.
    pub(super) fn needs_catalog(&mut self, prepared: &Prepared, now: Timestamp) -> bool {
        if prepared.is_free_of_catalog() {
            return self.begins(prepared) && self.names_matter() && self.catalog_is_stale(now);
        }
        self.catalog_is_stale(now)
    }

    /// Whether a transaction of the client begins with this. What its first statement needs is asked for before: a question
    /// within would fix what a transaction of a higher isolation level sees, earlier than the client does.
    fn begins(&self, prepared: &Prepared) -> bool {
        self.status == TransactionStatus::Idle
            && !self.unsynced
            && prepared.statements().iter().any(|s| matches!(s.effect, Effect::Begin))
    }

    /// Whether the target may read the next text otherwise than it is known to: something moved, and it reports no settings
    /// before the pipeline's Sync.
    fn reads_doubtfully(&self) -> bool {
        self.unsynced && self.truth.moved && self.labelled()
    }

    /// The same for a text that comes now.
    pub(super) fn needs_catalog_to_read(&mut self, prepared: &Prepared, now: Timestamp) -> bool {
        (self.reads_doubtfully() && self.catalog_is_stale(now)) || self.needs_catalog(prepared, now)
    }

    /// Why a text that comes now cannot be judged although the catalog was asked for.
    pub(super) fn reading_denial(&mut self, prepared: &Prepared) -> Option<Denial> {
        let doubtful = self.truth.unknown.is_some() && self.reads_doubtfully();
        doubtful.then(|| self.unread_catalog()).or_else(|| self.catalog_denial(prepared))
    }

    /// Whether what is known of the catalog is too old to judge by.
    pub(super) fn catalog_is_stale(&mut self, now: Timestamp) -> bool {
        if self.status == TransactionStatus::Failed {
            return false;
        }
        let since = now.millis_since(self.truth.asked);
        let asked_lately = (0..=CATALOG_AGE_MS_MAX).contains(&since);
        if self.truth.unknown.is_some() && asked_lately {
            return false;
        }
        let stale = self.truth.moved
            || self.path_may_have_moved()
            || self.truth.snapshot.rules != self.session.target().version
            || (self.truth.snapshot.labels != self.session.labels().version() && self.labelled())
            || self.shared.alterations.is_behind(&self.known_as_of())
            || if self.truth.private || self.truth.of_beginning {
                !asked_lately
            } else {
                !(self.truth.answered && asked_lately || self.shared.is_fresh(now))
            };
        if self.names_matter() || self.truth.moved {
            return stale;
        }
        // Nothing depends on tables, so only the names of functions matter: a look now and then is enough, and never one
        // inside a transaction of the client.
        stale && !asked_lately && self.status == TransactionStatus::Idle && !self.unsynced
    }

    /// Whether the session may look names up in other schemas than it was told, although it did nothing for that itself: one
    /// came or went, or was opened to it. Others tell what is in the catalog, but not this.
    fn path_may_have_moved(&self) -> bool {
        paths_differ(self.truth.snapshot.catalog.version(), &self.truth.path_version)
            || self.shared.alterations.has_moved_paths_since(&self.truth.path_as_of)
    }

    /// Takes over what another session found out, for the whole of the message that comes now: its parts must not be judged
    /// by different catalogs.
    pub(super) fn adopt_snapshot(&mut self) {
        if !self.truth.private
            && let Some((snapshot, as_of)) = self.shared.snapshot_as_of()
            && snapshot.rules == self.session.target().version
            && snapshot.labels == self.session.labels().version()
        {
            self.truth.snapshot = snapshot;
            self.truth.as_of = as_of;
            self.truth.rests = false;
        }
    }

    /// Whether the session is idle, with nothing on its way.
    pub(super) fn may_rest(&self) -> bool {
        self.status == TransactionStatus::Idle
            && !self.unsynced
            && !self.closed
            && self.expect.is_empty()
            && self.waiting.is_none()
            && self.inquiry.is_none()
            && self.carrying.is_none()
            && !self.holds_back()
    }

    /// Lets go of the catalog when the session was idle for long. Many that are idle would each keep another one otherwise, as
    /// it was when they last ran something. What comes next asks for it as the first statement of a session does.
    pub(crate) fn rest(&mut self) {
        if self.truth.rests || !self.may_rest() {
            return;
        }
        self.truth.rests = true;
        self.truth.snapshot = Arc::new(Snapshot::empty(self.session.target()));
        self.truth.private = false;
        self.truth.as_of = AsOf::default();
        self.truth.answer = None;
        self.truth.moved = true;
    }

    /// As of when the catalog is known that the session judges by: others may have found it true since.
    pub(super) fn known_as_of(&self) -> AsOf {
        let shared = (!self.truth.private).then(|| self.shared.as_of(&self.truth.snapshot)).flatten();
        shared.unwrap_or_else(|| self.truth.as_of.clone())
    }

    /// Why a statement cannot be judged although its catalog was asked for.
    pub(super) fn catalog_denial(&mut self, prepared: &Prepared) -> Option<Denial> {
        if self.truth.unknown.is_none() || !self.names_matter() || self.is_certain_without(prepared) {
            return None;
        }
        // A transaction that failed runs nothing but its end.
        let ends = |s: &lockgate_sql::Statement| {
            matches!(s.effect, Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_))
        };
        if self.status == TransactionStatus::Failed && matches!(prepared.statements(), [alone] if ends(alone)) {
            return None;
        }
        Some(self.unread_catalog())
    }

    /// What is told of a statement that cannot be judged for want of a catalog.
    pub(super) fn unread_catalog(&self) -> Denial {
        match self.truth.unknown {
            Some(Unknown::Hidden) => Denial::other(
                Fault::Client,
                SqlState::SERIALIZATION_FAILURE,
                "definitions changed while the transaction ran",
                Some("its isolation level hides from the gateway what its statements mean by now".into()),
                Some("roll back and run the transaction again".into()),
            ),
            Some(Unknown::Unread) | None => Denial::other(
                Fault::Target,
                SqlState::CONNECTION_FAILURE,
                "refused: the target's catalog cannot be read",
                Some("without it nobody can tell which columns are labelled".into()),
                Some("roll back and try again".into()),
            ),
        }
    }

    /// Whether what a text means was settled before, or needs no catalog: the names that a cursor reads were looked up when it
    /// was opened.
    fn is_certain_without(&self, prepared: &Prepared) -> bool {
        let opened = |statement: &lockgate_sql::Statement| {
            matches!(statement.effect, Effect::Fetch { .. } | Effect::Move { .. })
                && self
                    .runs_by_name(statement)
                    .flatten()
                    .is_some_and(|cursor| !looks_up_later(std::slice::from_ref(cursor)))
        };
        prepared.batch.is_ok() && prepared.statements().iter().all(|s| is_free_of_catalog(s) || opened(s))
    }

    /// Asks for version and path.
    pub(super) fn ask_catalog(&mut self, io: &mut Io) {
        // The comment lets the target's own logs name the session and who it is.
        let version = format!("{}{VERSION_SQL}", self.comment);
        let stage = Stage::State(self.shared.alterations.ask(io.now));
        let mut questions = vec![version.as_str(), PATH_SQL, ISOLATION_SQL, LEXING_SQL];
        if self.has_doubtful_names() {
            questions.push(NAMES_SQL);
        }
        self.send_round(io, stage, &questions, String::new(), Vec::new());
    }

    /// What is held may be held for long, and nobody is to wait for the locks of its Parse meanwhile. What was prepared stays; where
    /// something ran or was bound with it, they are one transaction and stay that.
    pub(super) fn ends_preparing(&mut self, io: &mut Io) {
        let prepares =
            |e: &Expect| matches!(e, Expect::Parse { .. } | Expect::DescribeStatement { .. } | Expect::CloseStatement);
        let alone = self.unsynced && !self.bound && self.status == TransactionStatus::Idle;
        if alone && self.inquiry.is_none() && self.expect.iter().all(prepares) {
            self.unsynced = false;
            self.send_round(io, Stage::Ends, &[], String::new(), Vec::new());
        }
    }

    pub(super) fn send_round(
        &mut self,
        io: &mut Io,
        stage: Stage,
        questions: &[&str],
        version: String,
        path: Vec<String>,
    ) {
        let mut out = BytesMut::new();
        let mut fine = true;
        let of_catalog = matches!(stage, Stage::State(_) | Stage::Snapshot(..));
        let prepares = of_catalog && self.status == TransactionStatus::Idle && !self.unsynced;
        for text in prepares.then_some(&PREPARE_SQL).into_iter().chain(questions) {
            // A statement outlives the failure of the question that it was made for, the transaction and its rollback.
            fine &= own::close(&mut out, Object::Statement, NAME).is_ok()
                && own::parse(&mut out, NAME, text.as_bytes(), &[]).is_ok()
                && own::bind(&mut out, NAME, NAME, &[], false).is_ok()
                && own::execute(&mut out, NAME, 0).is_ok()
                && own::close(&mut out, Object::Portal, NAME).is_ok()
                && own::close(&mut out, Object::Statement, NAME).is_ok();
        }
        let synced = !self.unsynced;
        if synced {
            own::sync(&mut out);
        } else {
            own::flush(&mut out);
        }
        if !fine {
            return;
        }
        io.target.plumbing(Plumbing::Inquiry, &out);
        self.inquiry = Some(Inquiry {
            stage,
            prepares,
            question: 0,
            questions: questions.len(),
            closes: CLOSES,
            synced,
            version,
            path,
            broken: None,
            of_beginning: false,
            beyond_ascii: false,
            lexing: None,
            process: None,
            names: questions.contains(&NAMES_SQL).then(Vec::new),
            dropped: false,
        });
        self.expect.push_back(Expect::Inquiry);
    }

    /// A message of the target that belongs to the round.
    pub(super) fn inquiry_frame(&mut self, tag: u8, body: &[u8], io: &mut Io) {
        let Some(inquiry) = self.inquiry.as_mut() else {
            self.target_broke(io, "an answer to a question that was not asked");
            return;
        };
        match tag {
            b'1' | b'2' | b'C' => {}
            b'D' => inquiry.row(body),
            b'3' => {
                inquiry.closes = inquiry.closes.saturating_sub(1);
                if inquiry.closes == 0 {
                    inquiry.question += usize::from(!std::mem::take(&mut inquiry.prepares));
                    inquiry.closes = CLOSES;
                }
                if !inquiry.synced && inquiry.question >= inquiry.questions {
                    self.round_over(io);
                }
            }
            b'E' => {
                let text = message::Report::decode(body).ok();
                let text = text.as_ref().and_then(message::Report::message).map(String::from_utf8_lossy);
                inquiry.broken = Some(text.map_or_else(String::new, std::borrow::Cow::into_owned));
                if inquiry.synced {
                    return;
                }
                if self.looks_itself() {
                    self.failed_to_look(io);
                } else {
                    // The rest of the client's pipeline is dropped by the target, and its frame that waits with it.
                    let error = self.report(own::Severity::Error, &self.unread_catalog());
                    self.own(io, error);
                    self.skipping = true;
                    self.round_over(io);
                }
            }
            b'Z' if inquiry.synced => {
                if let Ok(ready) = message::ReadyForQuery::decode(body) {
                    self.status = ready.status;
                }
                self.round_over(io);
            }
            _ => self.target_broke(io, "a message that does not answer the question"),
        }
    }

    fn round_over(&mut self, io: &mut Io) {
        // What an answer that is held back waits for was asked behind it.
        if self.looks_itself() {
            self.expect.pop_back();
        } else {
            self.expect.pop_front();
        }
        let Some(inquiry) = self.inquiry.take() else { return };
        let now = io.now;
        if let Stage::Sizes(sizes) = inquiry.stage {
            let answer = match inquiry.broken {
                Some(why) => Err(why),
                None if inquiry.dropped => Err("an earlier message failed".to_owned()),
                None => Ok(sizes),
            };
            if let Some(Waiting::Target(asking)) = &mut self.waiting {
                asking.sizes = Some(answer);
            }
            return self.go_on(io);
        }
        if let Stage::Plans(of) = inquiry.stage {
            match inquiry.broken {
                None if !inquiry.dropped => self.truth.plans = Some(of),
                None => {}
                Some(why) => {
                    self.truth.asked = now;
                    self.truth.unknown = Some(Unknown::Unread);
                    let why = format!("the target keeps plans of another catalog: {why}");
                    let _ = self.session.notice(None, "WARNING", "58000", &why, now);
                }
            }
            return self.go_on(io);
        }
        if matches!(inquiry.stage, Stage::Ends) {
            match self.waiting.take() {
                Some(Waiting::Approved(held, decided)) => {
                    self.waiting = Some(Waiting::Decision(held));
                    self.decided(&decided, io);
                }
                other => self.waiting = other,
            }
            return;
        }
        self.truth.asked = now;
        if let Some(lexing) = inquiry.lexing {
            self.lexing = lexing;
        }
        if let Some(process) = inquiry.process
            && self.truth.process.replace(process).is_some_and(|before| before != process)
        {
            return self.fail(io, &shared_connections(), CloseReason::Protocol);
        }
        if inquiry.dropped {
            self.truth.moved = true;
            self.go_on(io);
            return;
        }
        let misread = inquiry.beyond_ascii && !self.lexing.encoding;
        let misread = misread.then(|| "it has names that are not ASCII, and the session is not in UTF-8".to_owned());
        if let Some(why) = inquiry.broken.or(misread) {
            if inquiry.synced && self.status == TransactionStatus::Idle && self.truth.attempts < ATTEMPTS_MAX {
                // A view that somebody drops while it is read fails the whole answer; the next one no longer has it.
                self.truth.attempts += 1;
                self.ask_catalog(io);
                return;
            }
            self.truth.attempts = 0;
            self.truth.unknown = Some(Unknown::Unread);
            let _ = self.session.notice(None, "WARNING", "58000", &format!("the catalog cannot be read: {why}"), now);
            self.go_on(io);
            return;
        }
        if let Some(said) = &inquiry.names {
            self.settle_names(said);
        }
        let begun = self.status != TransactionStatus::Idle || self.unsynced;
        self.truth.of_beginning = inquiry.of_beginning && begun;
        // In a session with such a level a question sees what there was before it waited for others (DEFERRABLE).
        let alone_of_beginning = inquiry.of_beginning && !begun;
        if inquiry.of_beginning && begun && self.shared.changes() != self.truth.changes {
            // What the transaction sees of the catalog is no longer what its statements will mean.
            self.truth.unknown = Some(Unknown::Hidden);
            let why = "the catalog changed, and this transaction's isolation level hides that";
            let _ = self.session.notice(None, "WARNING", "58000", why, now);
            self.go_on(io);
            return;
        }
        let asked_at = match inquiry.stage {
            Stage::State(asked) => {
                let at = asked.at;
                let rules = self.session.target().version;
                let labels = self.session.labels().version();
                let is_of_now =
                    |s: &Snapshot| s.rules == rules && s.labels == labels && s.catalog.version() == inquiry.version;
                let shared = self.shared.snapshot().filter(|s| is_of_now(s));
                let known = match shared {
                    Some(shared) => {
                        // What a transaction sees of its beginning is not what there is for everybody now.
                        if !self.truth.of_beginning {
                            self.shared.confirm(&shared, &asked, now);
                        }
                        self.truth.private = false;
                        Some(shared)
                    }
                    None => {
                        let own = Some(&self.truth.snapshot).filter(|own| is_of_now(own)).map(Arc::clone);
                        // What this session knew of its transaction is true for others now, who may not be able to see it.
                        if let Some(own) = own.as_ref().filter(|_| !begun && !self.has_temporary(&inquiry.path)) {
                            self.shared.replace(Arc::clone(own), &asked, now);
                            self.truth.private = false;
                        }
                        own
                    }
                };
                match known {
                    Some(snapshot) => {
                        self.settle(snapshot, asked, inquiry.path, now);
                        at
                    }
                    None => {
                        let facts = Box::new(FactsBuilder::new(&inquiry.version));
                        let stage = Stage::Snapshot(asked, facts);
                        self.send_round(io, stage, &SNAPSHOT_SQL, inquiry.version, inquiry.path);
                        return;
                    }
                }
            }
            // They were dealt with above.
            Stage::Sizes(_) | Stage::Plans(_) | Stage::Ends => now,
            Stage::Snapshot(asked, facts) => match facts.finish() {
                Ok(mut facts) => {
                    let at = asked.at;
                    if let Some(other) = self.shared.snapshot() {
                        facts.share(&other.catalog);
                    }
                    let target = Arc::clone(self.session.target());
                    let (labels, carried) = self.session.labels().labels(self.session.id());
                    let catalog = Catalog::build_with(facts, &target.columns, &target.safe_functions, &carried);
                    let snapshot = Arc::new(Snapshot::new(catalog, target.version, labels));
                    // What an open transaction sees may never be true for others.
                    let alone =
                        self.status != TransactionStatus::Idle || self.unsynced || self.has_temporary(&inquiry.path);
                    if !alone {
                        self.shared.replace(Arc::clone(&snapshot), &asked, now);
                    }
                    self.truth.private = alone;
                    self.settle(snapshot, asked, inquiry.path, now);
                    if !alone {
                        self.forget_absent_labels(io);
                    }
                    at
                }
                Err(error) => {
                    self.truth.unknown = Some(Unknown::Unread);
                    let _ = self.session.notice(None, "WARNING", "58000", &error.to_string(), now);
                    now
                }
            },
        };
        self.gives_up_behind(now);
        if !self.asks_once_more(asked_at, alone_of_beginning, io) {
            self.go_on(io);
        }
    }

    /// What a transaction sees of its beginning tells nothing of what others altered since: they tell. Where none does, it is asked for
    /// a while and not for ever.
    fn gives_up_behind(&mut self, now: Timestamp) {
        let behind = self.truth.of_beginning && self.shared.alterations.is_behind(&self.known_as_of());
        if !behind || self.truth.unknown.is_some() {
            self.truth.behind = None;
            return;
        }
        let since = *self.truth.behind.get_or_insert(now);
        if now.millis_since(since) >= CATALOG_DOUBT_FAILED_MS_MAX {
            self.truth.behind = None;
            self.truth.unknown = Some(Unknown::Hidden);
            let why = "others altered something, and this transaction's isolation level hides what";
            let _ = self.session.notice(None, "WARNING", "58000", why, now);
        }
    }

    /// An answer came, which may be as old as its question. One that is too old is asked for again; of a slow server it is taken
    /// in the end.
    fn asks_once_more(&mut self, asked: Timestamp, of_beginning: bool, io: &mut Io) -> bool {
        let late = io.now.millis_since(asked) > CATALOG_AGE_MS_MAX;
        if late && self.truth.late_answers < ATTEMPTS_MAX {
            self.truth.late_answers += 1;
            self.ask_catalog(io);
            return true;
        }
        self.truth.late_answers = 0;
        self.truth.answered = self.truth.unknown.is_none();
        if late && of_beginning {
            self.truth.unknown = Some(Unknown::Unread);
            let why = "what it says was true too long ago";
            let _ = self.session.notice(None, "WARNING", "58000", why, io.now);
        }
        false
    }

    /// A temporary schema exists in this session's path: what it holds is this session's alone.
    fn has_temporary(&self, path: &[String]) -> bool {
        path.iter().any(|schema| schema.starts_with("pg_temp"))
    }

    fn settle(&mut self, snapshot: Arc<Snapshot>, asked: Asked, path: Vec<String>, now: Timestamp) {
        self.truth.path_version = snapshot.catalog.version().to_owned();
        self.truth.path_as_of = asked.as_of.clone();
        self.truth.snapshot = snapshot;
        self.truth.as_of = asked.as_of.clone();
        self.truth.answer = Some(asked);
        self.truth.path_id = self.shared.path_id(&path);
        self.truth.path = path;
        self.truth.asked = now;
        self.truth.moved = false;
        self.truth.unknown = None;
        self.truth.attempts = 0;
        self.truth.rests = false;
    }

    /// Answers a frame that was cancelled before it was sent.
    fn refuse_cancelled(&mut self, frame: &Frame, io: &mut Io) {
        match FrontendTag::from_byte(frame.tag()) {
            FrontendTag::Query | FrontendTag::FunctionCall => {
                let error = self.report(own::Severity::Error, &cancelled()).freeze();
                self.refuse_query(io, error);
            }
            _ => self.refuse_denial(io, &cancelled()),
        }
    }

    /// Takes up the frame that waited.
    fn go_on(&mut self, io: &mut Io) {
        if self.looks_itself() {
            return self.looked(io);
        }
        if self.asked_carrying(io) {
            return;
        }
        match self.waiting.take() {
            Some(Waiting::Target(asking)) => {
                io.read_client = true;
                // What fails is dropped up to a Sync.
                if !self.skipping || FrontendTag::from_byte(asking.frame.tag()) == FrontendTag::Sync {
                    self.one_asked(asking, io);
                }
                io.again = true;
            }
            Some(Waiting::Cancelled(frame)) => {
                io.read_client = true;
                let ends = FrontendTag::from_byte(frame.tag()) == FrontendTag::Sync;
                if !self.skipping {
                    self.refuse_cancelled(&frame, io);
                }
                if ends {
                    self.one(frame, io);
                }
                io.again = true;
            }
            Some(Waiting::Approved(held, mut decided)) => {
                self.adopt_snapshot();
                if self.forgets_plans(io) {
                    self.waiting = Some(Waiting::Approved(held, decided));
                    return;
                }
                if self.truth.unknown.is_some() {
                    decided.outcome = HoldOutcome::Failed;
                    decided.reason = Some("the target's catalog cannot be read".into());
                }
                self.release(*held, &decided, io);
                io.again = true;
            }
            other => self.waiting = other,
        }
    }
}

/// Where something between the gateway and the server shares connections, a statement may run on another than was asked.
fn shared_connections() -> Denial {
    Denial::other(
        Fault::Target,
        SqlState::CONNECTION_FAILURE,
        "the target runs this session on more than one connection",
        Some("a pooler before it shares connections: what is known of one says nothing of what runs on another".into()),
        Some("have the pooler pool by session (PgBouncer: pool_mode = session), or name the server itself".into()),
    )
}

/// What a server says of a statement that was cancelled.
fn cancelled() -> Denial {
    Denial::other(Fault::Client, SqlState::QUERY_CANCELED, "canceling statement due to user request", None, None)
}

impl Inquiry {
    /// An earlier message failed. Whether a Sync of this round ends what the target drops; nothing else of it is answered.
    pub(super) fn ends_what_failed(&mut self) -> bool {
        self.dropped = self.synced;
        self.synced
    }

    /// Whether the question whose answer comes is what names stand for.
    fn asks_names(&self) -> bool {
        matches!(self.stage, Stage::State(_)) && self.question == 4
    }

    fn row(&mut self, body: &[u8]) {
        if self.prepares {
            return;
        }
        let Ok(cells) = message::Cells::decode(body) else {
            self.broken = Some("a row of the answer cannot be read".into());
            return;
        };
        let names = self.asks_names();
        let mut values: Vec<Option<&[u8]>> = Vec::with_capacity(cells.left());
        for cell in cells {
            match cell {
                Ok(cell) => {
                    // Names that anybody gave in this session do not matter here: they are compared as they are.
                    self.beyond_ascii |= !names && cell.is_some_and(|value| !value.is_ascii());
                    values.push(cell);
                }
                Err(_) => {
                    self.broken = Some("a row of the answer cannot be read".into());
                    return;
                }
            }
        }
        match &mut self.stage {
            Stage::State(_) if names => match (Said::of(&values), &mut self.names) {
                (Some(said), Some(names)) => names.push(said),
                _ => self.broken = Some("a name's row cannot be read".into()),
            },
            Stage::State(_) => {
                let Some(text) = values.first().copied().flatten().and_then(|v| std::str::from_utf8(v).ok()) else {
                    self.broken = Some("an answer without a value".into());
                    return;
                };
                if self.question == 0 {
                    text.clone_into(&mut self.version);
                } else if self.question == 3 {
                    let mut settings = text.split(' ');
                    let mut next = || settings.next().unwrap_or_default();
                    let lexing = Lexing {
                        strings: next() == "on",
                        encoding: next().eq_ignore_ascii_case("UTF8"),
                        server: keeps_utf8(next().as_bytes()),
                    };
                    self.lexing = Some(lexing);
                    self.process = settings.next().and_then(|number| number.parse().ok());
                } else if self.question == 2 {
                    self.of_beginning = text != "read committed" && text != "read uncommitted";
                } else if self.path.len() < PATH_MAX {
                    self.path.push(text.to_owned());
                } else {
                    self.broken = Some("the search path is too long".into());
                }
            }
            Stage::Snapshot(_, facts) => {
                if let Err(error) = facts.row(self.question, &values) {
                    self.broken = Some(error.to_string());
                }
            }
            Stage::Sizes(sizes) => {
                if let Err(why) = sizes.row(self.question, &values) {
                    self.broken = Some(why.to_owned());
                }
            }
            Stage::Plans(_) | Stage::Ends => self.broken = Some("a row where none was expected".into()),
        }
    }
}
