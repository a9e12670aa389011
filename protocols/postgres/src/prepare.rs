//! A statement's text with everything found out about it: the analysis, the judgement, and what the recording says.
//!
//! Made once per text and view, then shared; texts that differ in idle numbers only (see [`Shape`]) share what was found
//! out, and each has its own text. What depends on the session alone (the meaning of `EXECUTE name` or
//! `FETCH name`) is resolved by the pump each time.

use crate::shared::{ANY_PATH, Shared, Snapshot, View};
use bytes::Bytes;
use lockgate_core::Timestamp;
use lockgate_mask::RowMasker;
use lockgate_record::Certified;
use lockgate_session::{Judgement, Masks, Rules, Session};
use lockgate_sql::{
    Batch, CarryColumn, Context, Effect, Hiding, How, Object, Outputs, Shape, Statement, Taint, Unparsable, Use, Why,
};
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// A text, analysed and judged.
pub(crate) struct Prepared {
    /// As the target gets it.
    text: Arc<str>,
    /// As the client sent it, where the target gets another.
    asked: Option<Arc<str>>,
    known: Arc<Known>,
}

impl Deref for Prepared {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

/// What was found out about a text. Places in a text (`Statement::range`, `Use::offset`) are those in the first text that
/// was analysed; nothing here asks for them.
pub(crate) struct Known {
    /// The text for the recording, where it differs.
    shown: Option<String>,
    pub(crate) batch: Result<Batch, Unparsable>,
    pub(crate) judgement: Arc<Judgement>,
    /// Of `PREPARE` and `DECLARE`, the statement inside, by the position in the batch.
    inner: Vec<Option<Arc<Prepared>>>,
    /// What it was found out under. Only a number names the catalog: whoever keeps this does not keep that.
    pub(crate) view: View,
    /// The masked columns, for the recording: position, name, label, method.
    pub(crate) masked: Vec<(u32, String, String, &'static str)>,
    /// Where its results come from, for the recording; `None` where nothing on the target is looked after.
    pub(crate) certified: Option<Arc<Certified>>,
    /// Maskers that were made for its results: a repeated statement has the same description.
    maskers: Mutex<Vec<KnownMasker>>,
}

/// A masker and what it was made for.
struct KnownMasker {
    index: usize,
    description: Bytes,
    formats: Option<Vec<u16>>,
    masker: Arc<RowMasker>,
}

/// Maskers kept of one text: a statement is mostly asked for in one combination of formats.
const MASKERS_MAX: usize = 4;
/// A description of more columns than most statements have.
const MASKER_DESCRIPTION_BYTES: usize = 4 * 1024;
/// What is kept of a statement, in estimate.
const STATEMENT_BYTES: usize = 1_024;
/// Of a column of its result, or of another thing that is known of it: what it is made of, its plan, its masker.
const COLUMN_BYTES: usize = 256;
/// Of a masked column besides.
const MASKED_BYTES: usize = 512;
/// Of a name.
const NAME_BYTES: usize = 96;

/// What a text is analysed and judged with.
pub(crate) struct With<'a> {
    pub(crate) session: &'a Session,
    pub(crate) rules: &'a Rules,
    pub(crate) snapshot: &'a Arc<Snapshot>,
    pub(crate) path: &'a [String],
    pub(crate) view: View,
    /// Which texts the server reads as the analysis does, by the settings that decide it.
    pub(crate) readable: Readable,
    /// What the text reads is replaced where it has hidden columns.
    pub(crate) rewrites: bool,
    pub(crate) now: Timestamp,
}

/// Of a text that the server reads otherwise than it seems here.
const UNREAD: &str = "its encoding or the session's settings are not the expected ones";

/// Which texts the server reads as the analysis does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Any in UTF-8.
    Utf8,
    /// Those in UTF-8 without names that are so long that a server in another encoding cuts them elsewhere.
    ShortNames,
    /// Those of ASCII alone, which every encoding of PostgreSQL's clients takes for itself.
    Ascii,
    /// None.
    Nothing,
}

impl Readable {
    fn read(self, text: &[u8]) -> Option<&str> {
        match self {
            Readable::Utf8 => std::str::from_utf8(text).ok(),
            Readable::ShortNames => std::str::from_utf8(text).ok().filter(|text| !lockgate_sql::has_long_names(text)),
            Readable::Ascii => std::str::from_utf8(text).ok().filter(|text| text.is_ascii()),
            Readable::Nothing => None,
        }
    }
}

impl With<'_> {
    /// What the target gets instead of this text, if anything; and whether that holds only for now.
    fn rewritten(&self, text: &str, context: &Context<'_>) -> (Result<Option<String>, Unparsable>, bool) {
        let catalog = &self.snapshot.catalog;
        let (hidden, depends_on_time) = self.session.judge(self.rules, self.now).hidden(catalog);
        if !hidden.contains(&true) {
            return (Ok(None), depends_on_time);
        }
        let hiding = Hiding {
            hidden: &|column| hidden.get(column.index()).is_none_or(|hidden| *hidden),
            constant: &|type_oid| self.snapshot.types.redacted(type_oid),
        };
        (lockgate_sql::rewrite(text, context, &hiding), depends_on_time)
    }
}

impl Prepared {
    /// Analyses and judges a text, or takes what is known of it.
    pub(crate) fn of(text: &[u8], with: &With<'_>, shared: &Shared) -> Arc<Prepared> {
        let Some(text) = with.readable.read(text) else {
            return Arc::new(Prepared::unread(&String::from_utf8_lossy(text), with, shared));
        };
        let shape = Shape::of(text);
        if let Some(shape) = &shape
            && let Some(known) = shared.find_alike(text, shape, with.view)
        {
            return Arc::new(Prepared { text: Arc::from(text), asked: None, known });
        }
        if let Some(known) = shared.find(text, with.view) {
            return known;
        }
        let path_known = with.view.path != ANY_PATH;
        let context = Context { catalog: &with.snapshot.catalog, search_path: with.path, path_known };
        let (sent, depends_on_time) = if with.rewrites { with.rewritten(text, &context) } else { (Ok(None), false) };
        let mut idle = Vec::new();
        let mut batch = match (&sent, &shape) {
            // Only a text that reaches the target as it is stands for others.
            (Ok(None), Some(shape)) => lockgate_sql::analyze_shaped(text, shape, &context).map(|(batch, numbers)| {
                idle = numbers;
                batch
            }),
            (Ok(sent), _) => {
                let text = sent.as_deref().unwrap_or(text);
                lockgate_sql::analyze_with(text, &context, with.view.parameters)
            }
            (Err(why), _) => Err(why.clone()),
        };
        if let Ok(known) = &mut batch
            && with.rules.policies.speak_of_tables()
            && let Some(first) = behind_a_move(&known.statements, with.view.begins)
        {
            let anywhere = Context { path_known: false, ..context };
            let text = sent.as_ref().ok().and_then(|s| s.as_deref()).unwrap_or(text);
            match lockgate_sql::analyze_with(text, &anywhere, with.view.parameters) {
                Ok(other) => add_other_meanings(known, first, other),
                Err(why) => batch = Err(why),
            }
        }
        if let Ok(batch) = &mut batch
            && with.snapshot.catalog.has_labels()
        {
            doubt_what_follows_a_change(batch, with.view.begins);
        }
        let prepared = Arc::new(Prepared::judged(text, sent.ok().flatten(), batch, with, shared));
        if !prepared.judgement.depends_on_time && !depends_on_time {
            match &shape {
                Some(shape) if idle.contains(&true) && prepared.is_as_it_stands() => {
                    shared.keep_alike(text, shape, &idle, with.view, &prepared.known);
                }
                Some(_) | None => shared.keep(with.view, &prepared),
            }
        }
        prepared
    }

    /// Judges a text that nobody may take for what it seems.
    fn unread(lossy: &str, with: &With<'_>, shared: &Shared) -> Prepared {
        let why = Unparsable { why: Why::Unanalysed(UNREAD), offset: None };
        Prepared::judged(lossy, None, Err(why), with, shared)
    }

    /// The same text under another view. What the server read under other settings stays unread under all.
    pub(crate) fn again(&self, with: &With<'_>, shared: &Shared) -> Arc<Prepared> {
        let unread = |why: &Unparsable| matches!(why.why, Why::Unanalysed(why) if why == UNREAD);
        if self.batch.as_ref().is_err_and(unread) {
            return Arc::new(Prepared::unread(&self.text, with, shared));
        }
        let view = View { parameters: self.view.parameters, begins: self.view.begins, ..with.view };
        // It was readable when the server got it, and the server does not read it again.
        Prepared::of(self.text.as_bytes(), &With { readable: Readable::Utf8, view, ..*with }, shared)
    }

    /// Whether the other is the same text, or one that differs in idle numbers only, under the same view.
    pub(crate) fn is_of_one_with(&self, other: &Prepared) -> bool {
        Arc::ptr_eq(&self.known, &other.known) || (self.view == other.view && self.text == other.text)
    }

    /// Whether the same comes of it as of the other, which is the same text under another catalog: the same verdict, the same
    /// masks, and the same things done to the session.
    pub(crate) fn is_like(&self, other: &Prepared) -> bool {
        let (one, two) = (&*self.judgement, &*other.judgement);
        let carried = |judgement: &Judgement| judgement.carries.iter().map(|c| c.labels.clone()).collect::<Vec<_>>();
        let same = self.batch.is_ok() == other.batch.is_ok()
            && one.ruling == two.ruling
            && one.plans == two.plans
            && one.charges == two.charges
            && carried(one) == carried(two)
            // Which rows an aggregate is of was asked for by names.
            && one.releases.is_empty()
            && two.releases.is_empty()
            && self.statements().len() == other.statements().len();
        let same_effect = |one: &Statement, two: &Statement| {
            let by_inner = matches!(
                (&one.effect, &two.effect),
                (Effect::Prepare { .. }, Effect::Prepare { .. })
                    | (Effect::DeclareCursor { .. }, Effect::DeclareCursor { .. })
                    | (Effect::Execute { .. }, Effect::Execute { .. })
            );
            one.facts.opaque == two.facts.opaque
                && one.facts.moves_path == two.facts.moves_path
                && one.facts.unseen == two.facts.unseen
                && (by_inner || one.effect == two.effect)
        };
        same && self.statements().iter().zip(other.statements()).all(|(one, two)| same_effect(one, two))
            && self.inner.iter().zip(&other.inner).all(|(one, two)| match (one, two) {
                (Some(one), Some(two)) => one.is_like(two),
                (one, two) => one.is_none() && two.is_none(),
            })
    }

    fn judged(
        asked: &str,
        sent: Option<String>,
        batch: Result<Batch, Unparsable>,
        with: &With<'_>,
        shared: &Shared,
    ) -> Prepared {
        let catalog = &with.snapshot.catalog;
        let judge = || with.session.judge(with.rules, with.now);
        let judgement = match &batch {
            Ok(batch) => {
                // Texts that differ in constants only do the same things to the same objects.
                let does = what_it_does(batch);
                match shared.judgement(&does, with.view) {
                    Some(known) => known,
                    None => {
                        let judgement = Arc::new(judge().batch(catalog, batch));
                        shared.keep_judgement(does, with.view, &judgement);
                        judgement
                    }
                }
            }
            Err(_) => Arc::new(judge().unreadable(catalog)),
        };
        let redacted = |text| match &batch {
            Ok(_) => lockgate_sql::redact_secrets(text),
            Err(_) => lockgate_sql::redact_unreadable(text),
        };
        let shown = match (redacted(asked), &sent) {
            (Cow::Borrowed(_), None) => None,
            (Cow::Owned(shown), None) => Some(shown),
            (shown, Some(sent)) => {
                let sent = redacted(sent);
                Some(format!("{shown}\n-- rewritten: {}", sent.replace(['\n', '\r'], "\n-- ")))
            }
        };
        let statements = batch.as_ref().map(|b| b.statements.as_slice()).unwrap_or_default();
        let inner = statements
            .iter()
            .map(|statement| match &statement.effect {
                Effect::Prepare { inner, .. } | Effect::DeclareCursor { inner, .. } => {
                    let alone = Batch { statements: vec![(**inner).clone()] };
                    Some(Arc::new(Prepared::judged(asked, sent.clone(), Ok(alone), with, shared)))
                }
                _ => None,
            })
            .collect();
        let mut masked = Vec::new();
        for (statement, plan) in statements.iter().zip(&judgement.plans) {
            if plan.masks.any() {
                note_masks(statement, &plan.masks, &mut masked);
            }
        }
        let target = with.session.target();
        let certified = (target.has_labels() || !target.content.is_empty())
            .then(|| lockgate_session::certify(catalog, &batch, &judgement, with.rules.policies.version()))
            .flatten()
            .map(|certificate| Arc::new(Certified::new(certificate)));
        let (text, asked) = match sent {
            None => (Arc::from(asked), None),
            Some(sent) => (Arc::from(sent), Some(Arc::from(asked))),
        };
        let known = Known {
            shown,
            batch,
            judgement,
            inner,
            view: with.view,
            masked,
            certified,
            maskers: Mutex::new(Vec::new()),
        };
        Prepared { text, asked, known: Arc::new(known) }
    }

    /// The text as the target gets it.
    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The text as the client sent it.
    pub(crate) fn asked(&self) -> &Arc<str> {
        self.asked.as_ref().unwrap_or(&self.text)
    }

    /// What the target gets instead of the client's text.
    pub(crate) fn rewritten(&self) -> Option<&str> {
        self.asked.as_ref().map(|_| &*self.text)
    }

    /// What keeping it takes of memory, in estimate. Under the same view others keep it as well.
    pub(crate) fn bytes(&self) -> usize {
        self.texts_bytes().saturating_mul(2).saturating_add(self.parts_bytes())
    }

    /// Of its texts.
    pub(crate) fn texts_bytes(&self) -> usize {
        self.text.len().max(self.asked().len())
    }

    /// The text without secrets.
    pub(crate) fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

impl Known {
    /// Whether nothing of it was made from the text itself: it holds no secrets, and nothing in it is a statement of its own.
    fn is_as_it_stands(&self) -> bool {
        self.shown.is_none()
            && self.inner.iter().all(Option::is_none)
            && self.statements().iter().all(|s| s.effect == Effect::None)
    }

    /// What keeping it takes of memory besides the texts, in estimate: a text of few bytes may have many columns.
    pub(crate) fn parts_bytes(&self) -> usize {
        let of = |statement: &Statement| {
            let columns = match &statement.outputs {
                Outputs::Known(outputs) => outputs.len(),
                Outputs::NoRows | Outputs::Each(_) => 0,
            };
            let facts = &statement.facts;
            let others = statement.needs.len() + statement.uses.len() + statement.carries.len();
            let named = facts.tables.len() + facts.changes.len();
            STATEMENT_BYTES + columns * COLUMN_BYTES + others * COLUMN_BYTES + named * NAME_BYTES
        };
        let statements: usize = self.statements().iter().map(of).sum();
        // Each stands within its statement as well.
        let inner: usize = self.inner.iter().flatten().map(|inner| inner.parts_bytes() * 2).sum();
        statements + inner + self.masked.len() * MASKED_BYTES
    }

    /// The masker that was made for this result of the statement at `index`.
    pub(crate) fn masker(&self, index: usize, description: &[u8], formats: Option<&[u16]>) -> Option<Arc<RowMasker>> {
        let maskers = self.maskers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = maskers
            .iter()
            .find(|k| k.index == index && k.description == description && k.formats.as_deref() == formats)?;
        Some(Arc::clone(&known.masker))
    }

    /// Keeps a masker for the next time.
    pub(crate) fn keep_masker(
        &self,
        index: usize,
        description: &[u8],
        formats: Option<&[u16]>,
        masker: &Arc<RowMasker>,
    ) {
        let mut maskers = self.maskers.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a wide result one is enough.
        if maskers.len() >= MASKERS_MAX || description.len() > MASKER_DESCRIPTION_BYTES {
            maskers.clear();
        }
        maskers.push(KnownMasker {
            index,
            description: Bytes::copy_from_slice(description),
            formats: formats.map(<[u16]>::to_vec),
            masker: Arc::clone(masker),
        });
    }

    /// The statements; none for a text that nobody can read.
    pub(crate) fn statements(&self) -> &[Statement] {
        self.batch.as_ref().map(|b| b.statements.as_slice()).unwrap_or_default()
    }

    /// The statement inside `PREPARE` or `DECLARE`.
    pub(crate) fn inner(&self, index: usize) -> Option<&Arc<Prepared>> {
        self.inner.get(index).and_then(Option::as_ref)
    }

    /// Whether it means the same under every catalog and search path: `BEGIN`, `SET`, `CLOSE`.
    pub(crate) fn is_free_of_catalog(&self) -> bool {
        self.batch.as_ref().is_ok_and(|batch| batch.statements.iter().all(is_free_of_catalog))
    }
}

fn note_masks(statement: &Statement, masks: &Masks, masked: &mut Vec<(u32, String, String, &'static str)>) {
    match (&statement.outputs, masks) {
        (Outputs::Known(outputs), masks) => {
            for (index, output) in outputs.iter().enumerate() {
                if let Some(mask) = masks.column(index) {
                    let position = u32::try_from(index).unwrap_or(u32::MAX);
                    masked.push((position, output.name.clone(), mask.label.to_string(), mask.method.name()));
                }
            }
        }
        (_, masks) => {
            if let Some(mask) = masks.column(0) {
                masked.push((0, "*".into(), mask.label.to_string(), mask.method.name()));
            }
        }
    }
}

/// In a batch, names may stand for other relations once a statement moved the search path. From `first` on, the statements
/// count as using whatever their names stand for under any path.
fn add_other_meanings(batch: &mut Batch, first: usize, other: Batch) {
    for (statement, other) in batch.statements.iter_mut().zip(other.statements).skip(first) {
        for need in other.needs {
            if !statement.needs.iter().any(|n| n.action == need.action && n.object == need.object) {
                statement.needs.push(need);
            }
        }
        for change in other.facts.changes {
            if !statement.facts.changes.contains(&change) {
                statement.facts.changes.push(change);
            }
        }
        statement.facts.tables.extend(other.facts.tables);
        statement.facts.tables.sort_unstable();
        statement.facts.tables.dedup();
        statement.facts.opaque |= other.facts.opaque;
        statement.facts.moves_path |= other.facts.moves_path;
        statement.facts.unseen = statement.facts.unseen.max(other.facts.unseen);
    }
}

/// In a batch, what follows a statement that moves names (DDL, `search_path`, the end of a transaction) was analysed under
/// names that may no longer hold. It counts as touching everything labelled.
fn doubt_what_follows_a_change(batch: &mut Batch, begins: bool) {
    let Some(first) = behind_a_move(&batch.statements, begins) else { return };
    for statement in batch.statements.iter_mut().skip(first) {
        if statement.needs.is_empty() && matches!(statement.outputs, Outputs::NoRows) {
            continue;
        }
        if !matches!(statement.outputs, Outputs::NoRows) {
            statement.outputs = Outputs::Each(Taint::UNKNOWN);
        }
        statement.touches = Taint::UNKNOWN;
        let writes = !matches!(statement.verb, "select" | "show" | "fetch" | "execute" | "explain");
        if statement.facts.has_where || writes {
            statement.uses.push(Use {
                taint: Taint::UNKNOWN,
                how: if writes { How::Source } else { How::Predicate },
                place: "a statement after one that changes names in the same message".into(),
                offset: None,
                probe: None,
            });
        }
    }
}

/// The first statement of a message whose names may mean something else than before the message. The end of a transaction
/// that `begins` in the message brings back no names but those that the message itself moved.
fn behind_a_move(statements: &[Statement], begins: bool) -> Option<usize> {
    let ends =
        |effect: &Effect| matches!(effect, Effect::Commit { .. } | Effect::Rollback { .. } | Effect::RollbackTo(_));
    let moves = |statement: &Statement| match begins && ends(&statement.effect) {
        true => statement.facts.opaque || statement.facts.moves_path,
        false => may_move(statement),
    };
    statements.iter().position(moves).map(|at| at + 1).filter(|first| *first < statements.len())
}

/// Whether names in what follows in the same message may mean something else.
fn may_move(statement: &Statement) -> bool {
    // What EXECUTE and FETCH run is not in this text: it may set the search path.
    by_name(&statement.effect) || moves_by_itself(statement)
}

/// Whether it runs what a name of the session stands for.
pub(crate) fn by_name(effect: &Effect) -> bool {
    matches!(effect, Effect::Execute { .. } | Effect::Fetch { .. } | Effect::Move { .. })
}

/// Whether a statement means the same under every catalog and search path. What runs a name needs nothing by itself, and what
/// it runs is looked up anew.
pub(crate) fn is_free_of_catalog(statement: &Statement) -> bool {
    statement.needs.is_empty()
        && matches!(statement.outputs, Outputs::NoRows)
        && statement.touches.is_clean()
        && !by_name(&statement.effect)
}

/// Whether names may mean something else after this, whatever the names that it runs stand for.
pub(crate) fn moves_by_itself(statement: &Statement) -> bool {
    moves_names(&statement.effect) || statement.facts.opaque || statement.facts.moves_path
}

/// Whether names may mean something else after this.
fn moves_names(effect: &Effect) -> bool {
    match effect {
        Effect::SetPath(_)
        | Effect::DiscardAll
        | Effect::Discard
        | Effect::Define
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::RollbackTo(_)
        | Effect::TwoPhase => true,
        Effect::Set { name } => matches!(name.as_str(), "role" | "session_authorization" | "all" | "search_path"),
        Effect::None
        | Effect::Begin
        | Effect::Savepoint(_)
        | Effect::Release(_)
        | Effect::Prepare { .. }
        | Effect::Execute { .. }
        | Effect::Deallocate(_)
        | Effect::DeclareCursor { .. }
        | Effect::Fetch { .. }
        | Effect::Move { .. }
        | Effect::CloseCursor(_)
        | Effect::CopyOut(_)
        | Effect::CopyIn(_)
        | Effect::Listen(_)
        | Effect::Unlisten(_) => false,
    }
}

/// Everything of an analysis that a judgement is made from, as bytes: two batches with the same bytes get the same
/// judgement. Every text stands behind its length.
fn what_it_does(batch: &Batch) -> Box<[u8]> {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend_from_slice(&text.len().to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    fn taint(out: &mut Vec<u8>, taint: &Taint) {
        out.push(u8::from(taint.is_unknown()));
        out.extend_from_slice(&taint.columns().len().to_be_bytes());
        for column in taint.columns() {
            out.extend_from_slice(&column.index().to_be_bytes());
        }
    }
    let mut out = Vec::with_capacity(256);
    for statement in &batch.statements {
        let Statement { range: _, verb, needs, facts, outputs, uses, aggregation, effect, carries, not_found, touches } =
            statement;
        text(&mut out, verb);
        text(&mut out, not_found.as_deref().unwrap_or_default());
        out.extend_from_slice(&needs.len().to_be_bytes());
        for need in needs {
            text(&mut out, need.action.name());
            // A refusal tells it.
            text(&mut out, &need.why);
            match &need.object {
                Object::Target => out.push(0),
                Object::Table { schema, name } => {
                    out.push(1);
                    text(&mut out, schema);
                    text(&mut out, name);
                }
            }
        }
        out.extend_from_slice(&facts.tables.len().to_be_bytes());
        for table in &facts.tables {
            text(&mut out, table);
        }
        out.extend_from_slice(&[
            u8::from(facts.has_where),
            u8::from(facts.has_limit),
            u8::from(facts.opaque),
            u8::from(facts.moves_path),
            u8::from(facts.inserts_own),
        ]);
        out.extend_from_slice(&facts.changes.len().to_be_bytes());
        for change in &facts.changes {
            text(&mut out, change.verb);
            out.push(u8::from(change.has_where));
            text(&mut out, &change.table);
        }
        match outputs {
            Outputs::NoRows => out.push(0),
            Outputs::Each(each) => {
                out.push(1);
                taint(&mut out, each);
            }
            Outputs::Known(known) => {
                out.push(2);
                out.extend_from_slice(&known.len().to_be_bytes());
                for output in known {
                    out.push(u8::from(output.plain));
                    taint(&mut out, &output.value);
                }
            }
        }
        out.extend_from_slice(&uses.len().to_be_bytes());
        for used in uses {
            text(&mut out, used.how.name());
            out.push(u8::from(used.how == How::Stored));
            text(&mut out, &used.place);
            taint(&mut out, &used.taint);
            out.push(u8::from(used.probe.is_some()));
        }
        taint(&mut out, touches);
        // Of what is aggregated, the judgement asks which outputs and columns.
        let aggregated = aggregation.as_ref().map(|a| a.outputs.as_slice()).unwrap_or_default();
        out.extend_from_slice(&aggregated.len().to_be_bytes());
        for output in aggregated {
            text(&mut out, output.as_ref().map_or("", |one| &one.column));
            taint(&mut out, output.as_ref().map_or(&Taint::CLEAN, |one| &one.taint));
        }
        out.push(u8::from(matches!(effect, Effect::Prepare { .. } | Effect::DeclareCursor { .. })));
        out.extend_from_slice(&carries.len().to_be_bytes());
        for carry in carries {
            text(&mut out, &carry.schema);
            text(&mut out, &carry.relation);
            out.extend_from_slice(&carry.oid.unwrap_or(0).to_be_bytes());
            out.extend_from_slice(&[u8::from(carry.new), u8::from(carry.may_exist), u8::from(carry.plain)]);
            match &carry.column {
                CarryColumn::Named(name) => {
                    out.push(0);
                    text(&mut out, name);
                }
                CarryColumn::At(place) => {
                    out.push(1);
                    out.extend_from_slice(&place.to_be_bytes());
                }
                CarryColumn::Every => out.push(2),
            }
            taint(&mut out, &carry.value);
        }
    }
    out.into_boxed_slice()
}
