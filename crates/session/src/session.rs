//! One connection of one identity to one target: its recording, the rules it is judged by, and the only maker of permits.

use crate::carried::LabelBook;
use crate::certificate::certified_rules;
use crate::counts::Counts;
use crate::denial::Denial;
use crate::judge::{Judge, Judgement, Ruling, looked_for};
use crate::permit::Permit;
use crate::probing::{Probe, Probing};
use crate::rules::{Rules, RulesHandle, TargetRules};
use crate::wire::{Decided, HoldOutcome, Io, RaisedAlert, Verdicts};
use lockgate_core::{Fault, Identity, SessionId, SqlState, Timestamp};
use lockgate_mask::ContentPlan;
use lockgate_policy::ApprovalNeed;
use lockgate_record::{
    Asked, Blob, Cancelled, Certificates, Certified, CloseReason, Column, Columns, Digest, Done, DoneKind, Event,
    Failure, Held, Judged, MaskUse, Notice, Parameter, PolicyRef, RecordError, RequestKind, Rows, SessionOpened,
    SessionRecorder, Setting, Touch, VerdictKind,
};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a session is made of.
pub struct SessionParts {
    /// Its id.
    pub id: SessionId,
    /// Who was proven.
    pub identity: Arc<Identity>,
    /// Where the client is.
    pub peer: SocketAddr,
    /// The database as the client asked for it; empty for the target's own.
    pub database: String,
    /// The protocol's name.
    pub protocol: &'static str,
    /// What the client says it is.
    pub application: Option<String>,
    /// The rules, which may change while the session lives.
    pub rules: RulesHandle,
    /// The target, under the rules of now.
    pub target: Arc<TargetRules>,
    /// The labels that data brought to columns of the database.
    pub labels: Arc<LabelBook>,
    /// The recording.
    pub recorder: SessionRecorder,
    /// How long a held request waits for people.
    pub hold_ms_max: u64,
}

/// One connection of one identity to one target.
pub struct Session {
    id: SessionId,
    identity: Arc<Identity>,
    peer: SocketAddr,
    database: String,
    protocol: &'static str,
    rules: RulesHandle,
    /// The version of the rules that `target` was taken from.
    rules_seen: Option<u64>,
    target: Arc<TargetRules>,
    labels: Arc<LabelBook>,
    recorder: SessionRecorder,
    hold_ms_max: u64,
    requests: u64,
    /// Requests without an end.
    open: Vec<OpenRequest>,
    /// Events of answers, to be written as one frame before the bytes they describe go out.
    pending: Vec<Event<'static>>,
    pending_bytes: usize,
    verdicts: Verdicts,
    counts: Arc<Counts>,
    alerts: Vec<RaisedAlert>,
    /// Comparisons of labelled columns with values that are not answered yet.
    pub(crate) probes: Vec<Probe>,
    /// `who` as digests name it.
    who: String,
    closed: bool,
    /// How long the content rules count, where policies look at the time.
    content_until: Option<Timestamp>,
    /// Where results come from, as far as the recording says it already.
    certificates: Certificates,
}

/// Result bytes that wait with other events to be written together, within one event of the connection.
const PENDING_BYTES_MAX: usize = 32 * 1024;
/// A piece of a result that is longer is written at once, without being copied.
const DIRECT_BYTES_MIN: usize = 8 * 1024;
/// How much of a statement an alert shows.
const ALERT_TEXT_CHARS_MAX: usize = 200;
/// Events that wait to be written together.
const PENDING_EVENTS_MAX: usize = 64;

/// How long content rules count that may be others at another time.
const CONTENT_MS_MAX: i64 = 1000;

struct OpenRequest {
    number: u64,
    asked: Timestamp,
    rows: u64,
    bytes: u64,
}

/// Parameters of a request, borrowed from the client's frame.
#[derive(Clone, Copy, Default)]
pub struct Parameters<'a> {
    /// Each value with its format code; `None` is NULL.
    pub values: &'a [(Option<&'a [u8]>, u16)],
}

/// One thing an identity asks for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// How it is put.
    pub kind: RequestKind,
    /// Its text, exactly as it will run.
    pub text: &'a [u8],
    /// The same text without secrets, for the recording.
    pub shown: &'a [u8],
    /// The prepared statement's name.
    pub statement: Option<&'a str>,
    /// The portal's name.
    pub portal: Option<&'a str>,
    /// Its parameters.
    pub parameters: Parameters<'a>,
    /// The columns that will be masked, for the recording.
    pub masked: &'a [(u32, String, String, &'static str)],
    /// Where the outputs come from, for the recording.
    pub certificate: Option<&'a Certified>,
    /// The same of the statements that names in the text stand for.
    pub runs: &'a [Arc<Certified>],
    /// The comparisons it makes that have a budget.
    pub probing: &'a [Probing<'a>],
}

impl<'a> Request<'a> {
    /// A request without names, parameters and masks.
    pub fn new(kind: RequestKind, text: &'a [u8]) -> Self {
        Request {
            kind,
            text,
            shown: text,
            statement: None,
            portal: None,
            parameters: Parameters::default(),
            masked: &[],
            certificate: None,
            runs: &[],
            probing: &[],
        }
    }
}

/// What comes of submitting a request.
pub enum Verdict {
    /// Forward it, with this.
    Allow(Permit),
    /// Tell the client why not.
    Deny(Box<Denial>),
    /// Keep it, ask the people named in the ticket, and come back with [`Session::release`].
    Hold(Parked, Box<Ticket>),
}

/// A request that waits. It comes out as a permit or a denial, once.
pub struct Parked {
    request: u64,
    approval: String,
    digest: Digest,
    needs: Vec<ApprovalNeed>,
}

impl Parked {
    /// The id of the approval.
    pub fn approval(&self) -> &str {
        &self.approval
    }

    /// The number of the request in its session.
    pub fn request(&self) -> u64 {
        self.request
    }
}

/// What people are asked to decide on.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The approval's id.
    pub approval: String,
    /// The session that waits.
    pub session: SessionId,
    /// Who asks.
    pub identity: Arc<Identity>,
    /// On which target.
    pub target: String,
    /// In which database.
    pub database: String,
    /// What would run, without secrets.
    pub text: String,
    /// With which parameters, as far as they can be shown.
    pub parameters: Vec<String>,
    /// What the approval is bound to.
    pub digest: [u8; 32],
    /// Who must approve.
    pub needs: Vec<ApprovalNeed>,
    /// When the wait began.
    pub asked: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// How a request ended.
pub struct Ended<'a> {
    /// How.
    pub kind: DoneKind,
    /// The command tag.
    pub tag: &'a str,
    /// Code, text as the client got it, and whose fault.
    pub error: Option<(&'a str, &'a str, Fault)>,
}

impl Session {
    /// Opens the recording. A session that cannot be recorded does not begin.
    pub fn open(parts: SessionParts, now: Timestamp) -> Result<Session, RecordError> {
        let SessionParts {
            id,
            identity,
            peer,
            database,
            protocol,
            application,
            rules,
            target,
            labels,
            recorder,
            hold_ms_max,
        } = parts;
        let mut session = Session {
            id,
            identity,
            peer,
            database,
            protocol,
            rules,
            rules_seen: None,
            target,
            labels,
            recorder,
            hold_ms_max,
            requests: 0,
            open: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            verdicts: Verdicts::default(),
            counts: Arc::default(),
            alerts: Vec::new(),
            probes: Vec::new(),
            who: String::new(),
            closed: false,
            content_until: None,
            certificates: Certificates::default(),
        };
        let identity = Arc::clone(&session.identity);
        session.who = identity.display_chain();
        let mut opened = SessionOpened::of(
            id.to_string(),
            &identity,
            peer.to_string(),
            session.target.facts.name.as_str().to_owned(),
            session.database.clone(),
            protocol,
        );
        let settings: Vec<Setting<'_>> = application
            .iter()
            .map(|name| Setting { name: Cow::Borrowed("application_name"), value: Cow::Borrowed(name.as_str()) })
            .collect();
        opened.parameters = settings.into();
        session.recorder.append(opened.into(), now)?;
        Ok(session)
    }

    /// What it has done so far.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whose it is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The target.
    pub fn target(&self) -> &Arc<TargetRules> {
        &self.target
    }

    /// The labels that data brought to columns of the database.
    pub fn labels(&self) -> &Arc<LabelBook> {
        &self.labels
    }

    /// The database as the client asked for it; empty for the target's own.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where the client is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The rules of now. The target's own part is taken over when it changed.
    pub fn rules(&mut self) -> Arc<Rules> {
        let rules = self.rules.load_full();
        if self.rules_seen != Some(rules.version) {
            self.rules_seen = Some(rules.version);
            if let Some(target) = rules.targets.get(&self.target.facts.name)
                && !Arc::ptr_eq(target, &self.target)
            {
                self.target = Arc::clone(target);
            }
        }
        rules
    }

    /// Whether `judgement` is still of today's rules.
    pub fn is_current(&self, judgement: &Judgement) -> bool {
        !judgement.depends_on_time && judgement.rules_version == self.rules.load().version
    }

    /// A judge by the rules of now.
    pub fn judge<'a>(&'a self, rules: &'a Rules, now: Timestamp) -> Judge<'a> {
        Judge::new(rules, &self.target, &self.identity, self.peer.ip(), now)
    }

    /// The content rules of now, where they may be others than those of the rules' version `known`, and the version they
    /// are of.
    pub fn content(&mut self, known: Option<u64>, now: Timestamp) -> Option<(u64, Option<Arc<ContentPlan>>)> {
        let timely = self.content_until.is_none_or(|until| now < until);
        if timely && known == Some(self.rules.load().version) {
            return None;
        }
        let rules = self.rules();
        let (content, depends_on_time) = self.judge(&rules, now).content();
        let (certified, content) = (certified_rules(&content), looked_for(&content));
        self.certificates.set_content(certified);
        self.content_until = depends_on_time.then(|| now.plus_millis(CONTENT_MS_MAX));
        Some((rules.version, ContentPlan::new(&content, &rules.mask_keys).map(Arc::new)))
    }

    /// Puts a request and its verdict on record, then yields the verdict.
    pub fn submit(&mut self, request: &Request<'_>, judgement: &Judgement, now: Timestamp) -> Verdict {
        // A request that waits for people is charged once they have approved.
        let goes_on = matches!(judgement.ruling, Ruling::Allow);
        let judgement = &*if goes_on { self.within_budget(request, judgement, now) } else { Cow::Borrowed(judgement) };
        let number = self.requests;
        let digest = self.digest(request);
        let parked = match &judgement.ruling {
            Ruling::Hold(needs) => Some(Parked {
                request: number,
                approval: format!("{}-{number}", self.id),
                digest,
                needs: needs.clone(),
            }),
            Ruling::Allow | Ruling::Deny(_) => None,
        };
        let expires = now.plus_millis(i64::try_from(self.hold_ms_max).unwrap_or(i64::MAX));
        if let Err(error) = self.record_verdict(request, judgement, number, digest, parked.as_ref(), expires, now) {
            self.drop_probes();
            return Verdict::Deny(Box::new(Denial::unrecordable(&error)));
        }
        self.requests += 1;
        self.tally(request, judgement);
        match (&judgement.ruling, parked) {
            (Ruling::Deny(denial), _) => Verdict::Deny(Box::new(denial.clone())),
            (Ruling::Hold(needs), Some(parked)) => {
                self.begin(number, now);
                let ticket = Ticket {
                    approval: parked.approval.clone(),
                    session: self.id,
                    identity: Arc::clone(&self.identity),
                    target: self.target.facts.name.to_string(),
                    database: self.database.clone(),
                    text: String::from_utf8_lossy(request.shown).into_owned(),
                    parameters: request.parameters.values.iter().map(shown_parameter).collect(),
                    digest: digest.0,
                    needs: needs.clone(),
                    asked: now,
                    expires,
                };
                Verdict::Hold(parked, Box::new(ticket))
            }
            (Ruling::Allow | Ruling::Hold(_), _) => {
                self.begin(number, now);
                Verdict::Allow(Permit::new(number))
            }
        }
    }

    /// The end of a hold: `judgement` is what the rules of now say of the same request, which is shown again so that what
    /// was approved is what runs.
    pub fn release(
        &mut self,
        parked: Parked,
        decided: &Decided,
        request: &Request<'_>,
        judgement: &Judgement,
        now: Timestamp,
    ) -> Verdict {
        let same = self.digest(request) == parked.digest;
        let still = match &judgement.ruling {
            Ruling::Allow => true,
            Ruling::Hold(needs) => needs.iter().all(|need| parked.needs.contains(need)),
            Ruling::Deny(_) => false,
        };
        let fine = decided.outcome == HoldOutcome::Approved && same && still;
        let judgement = &*if fine { self.within_budget(request, judgement, now) } else { Cow::Borrowed(judgement) };
        let fine = fine && !matches!(judgement.ruling, Ruling::Deny(_));
        let outcome = match decided.outcome {
            HoldOutcome::Approved if fine => lockgate_record::HoldOutcome::Approved,
            HoldOutcome::Approved => lockgate_record::HoldOutcome::Void,
            HoldOutcome::Denied => lockgate_record::HoldOutcome::Denied,
            HoldOutcome::Expired => lockgate_record::HoldOutcome::Expired,
            HoldOutcome::Withdrawn => lockgate_record::HoldOutcome::Withdrawn,
            HoldOutcome::Failed => lockgate_record::HoldOutcome::Abandoned,
        };
        let by: Vec<Cow<'_, str>> = decided.by.iter().map(|b| Cow::Borrowed(b.as_str())).collect();
        let event = lockgate_record::Decided {
            request: parked.request,
            approval: Cow::Borrowed(&parked.approval),
            outcome,
            by: by.into(),
            reason: Cow::Borrowed(decided.reason.as_deref().unwrap_or("")),
        };
        if let Err(error) = self.flush(now).and_then(|()| self.recorder.append(event.into(), now)) {
            self.drop_probes();
            return Verdict::Deny(Box::new(Denial::unrecordable(&error)));
        }
        if fine {
            self.adopt_probes(parked.request);
            return Verdict::Allow(Permit::new(parked.request));
        }
        let denial = self.hold_denial(&parked, decided, judgement);
        let _ = self.done(
            parked.request,
            &Ended {
                kind: if decided.outcome == HoldOutcome::Withdrawn { DoneKind::Cancelled } else { DoneKind::Refused },
                tag: "",
                error: Some((denial.sqlstate.0, &denial.message, denial.fault)),
            },
            now,
        );
        Verdict::Deny(Box::new(denial))
    }

    /// Leave to go on with a request that was allowed before: a portal that was suspended.
    pub fn resume(&self, request: u64) -> Option<Permit> {
        self.open.iter().any(|o| o.number == request).then(|| Permit::new(request))
    }

    /// Puts the shape of a result on record.
    pub fn columns(&mut self, request: u64, columns: Vec<Column<'static>>, now: Timestamp) -> Result<(), RecordError> {
        self.later(Columns { request, columns: columns.into() }.into(), now)
    }

    /// Puts part of a result on record as the client will see it; the recorder keeps to its limit and says where it cut.
    pub fn rows(&mut self, request: u64, count: u64, frames: &[u8], now: Timestamp) -> Result<(), RecordError> {
        if let Some(open) = self.open.iter_mut().find(|o| o.number == request) {
            open.rows = open.rows.saturating_add(count);
            open.bytes = open.bytes.saturating_add(u64::try_from(frames.len()).unwrap_or(u64::MAX));
        }
        if self.recorder.has_cut_rows(request) {
            return Ok(());
        }
        if frames.len() > DIRECT_BYTES_MIN {
            self.flush(now)?;
            return self.recorder.rows(request, frames, count, now);
        }
        if self.pending_bytes.saturating_add(frames.len()) > PENDING_BYTES_MAX {
            self.flush(now)?;
        }
        self.pending_bytes = self.pending_bytes.saturating_add(frames.len());
        if let Some(Event::Rows(Rows { request: last, count: rows, data: Blob(Cow::Owned(data)) })) =
            self.pending.last_mut()
            && *last == request
        {
            // A COPY comes row by row.
            data.extend_from_slice(frames);
            *rows = rows.saturating_add(count);
            return Ok(());
        }
        self.later(Rows { request, count, data: frames.to_vec().into() }.into(), now)
    }

    /// Counts what passes without being put on record: a stream that is not taken apart. The request's end says how much.
    pub fn passed(&mut self, request: u64, count: u64, bytes: usize) {
        if let Some(open) = self.open.iter_mut().find(|o| o.number == request) {
            open.rows = open.rows.saturating_add(count);
            open.bytes = open.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// Puts part of what the client sends in bulk on record, up to the same limit.
    pub fn input(&mut self, request: u64, frames: &[u8], now: Timestamp) -> Result<(), RecordError> {
        self.flush(now)?;
        self.recorder.input(request, frames, now)
    }

    /// Puts what the target said beside a result on record, as the client got it.
    pub fn notice(
        &mut self,
        request: Option<u64>,
        severity: &str,
        code: &str,
        message: &str,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        let event = Notice { request, severity: owned(severity), code: owned(code), message: owned(message) };
        self.later(event.into(), now)
    }

    /// Writes what waits. To be called before the bytes that it describes are handed out.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), RecordError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.recorder.append_all(&self.pending, now)?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    fn later(&mut self, event: Event<'static>, now: Timestamp) -> Result<(), RecordError> {
        self.pending.push(event);
        if self.pending.len() >= PENDING_EVENTS_MAX { self.flush(now) } else { Ok(()) }
    }

    /// Puts a wish to cancel on record.
    pub fn cancelled(&mut self, by: &str, now: Timestamp) -> Result<(), RecordError> {
        let request = self.open.last().map(|o| o.number);
        self.flush(now)?;
        self.recorder.append(Cancelled { request, by: by.into() }.into(), now)
    }

    /// Puts the end of a request on record. A request has one end; a second is not written.
    pub fn done(&mut self, request: u64, ended: &Ended<'_>, now: Timestamp) -> Result<(), RecordError> {
        let Some(at) = self.open.iter().position(|o| o.number == request) else { return Ok(()) };
        let open = self.open.swap_remove(at);
        self.counts.ended(open.rows);
        if ended.kind == DoneKind::Skipped {
            // It never ran.
            self.probes.retain(|probe| !probe.is_of(request));
        }
        self.unanswered(request, now);
        let event = Done {
            request,
            outcome: ended.kind,
            tag: Cow::Owned(ended.tag.to_owned()),
            rows: open.rows,
            bytes: open.bytes,
            error: ended.error.map(|(code, message, fault)| Failure {
                code: Cow::Owned(code.to_owned()),
                message: Cow::Owned(message.to_owned()),
                fault: Cow::Borrowed(fault.name()),
            }),
            duration_us: u64::try_from(now.millis_since(open.asked).max(0)).unwrap_or(0).saturating_mul(1_000),
        };
        self.later(event.into(), now)
    }

    /// The last event. Requests without an end get one. Calling it again does nothing.
    pub fn close(&mut self, reason: CloseReason, detail: &str, now: Timestamp) -> Result<(), RecordError> {
        if self.closed {
            return Ok(());
        }
        self.flush(now)?;
        self.closed = true;
        self.open.clear();
        self.recorder.close(reason, detail, now)?;
        self.counts.close(reason, detail, now);
        Ok(())
    }

    /// Hands over what was counted since the last time.
    pub fn publish(&mut self, io: &mut Io) {
        let verdicts = std::mem::take(&mut self.verdicts);
        io.verdicts.allowed += verdicts.allowed;
        io.verdicts.denied += verdicts.denied;
        io.verdicts.held += verdicts.held;
        io.alerts.append(&mut self.alerts);
    }

    fn tally(&mut self, request: &Request<'_>, judgement: &Judgement) {
        let counter = match &judgement.ruling {
            Ruling::Allow => &mut self.verdicts.allowed,
            Ruling::Deny(_) => &mut self.verdicts.denied,
            Ruling::Hold(_) => &mut self.verdicts.held,
        };
        *counter += 1;
        self.counts.judged(matches!(judgement.ruling, Ruling::Deny(_)));
        for alert in &judgement.alerts {
            let shown = String::from_utf8_lossy(request.shown);
            self.alerts.push(RaisedAlert {
                session: self.id,
                user: self.who.clone(),
                policy: alert.policy.to_string(),
                severity: alert.severity.name(),
                text: shown.chars().take(ALERT_TEXT_CHARS_MAX).collect(),
            });
        }
    }

    /// The judgement, after what the request compares is taken from the identity's budget.
    fn within_budget<'j>(
        &mut self,
        request: &Request<'_>,
        judgement: &'j Judgement,
        now: Timestamp,
    ) -> Cow<'j, Judgement> {
        if request.probing.is_empty() {
            return Cow::Borrowed(judgement);
        }
        let rules = self.rules();
        match self.charge(&rules, request.probing, now) {
            Ok(()) => Cow::Borrowed(judgement),
            Err(denial) => {
                self.drop_probes();
                Cow::Owned(Judgement { ruling: Ruling::Deny(denial), ..judgement.clone() })
            }
        }
    }

    /// Raises an alert that is no policy's own.
    pub(crate) fn raise(&mut self, alert: RaisedAlert) {
        self.alerts.push(alert);
    }

    /// Whose it is, in words.
    pub(crate) fn who(&self) -> &str {
        &self.who
    }

    fn begin(&mut self, number: u64, now: Timestamp) {
        self.adopt_probes(number);
        self.open.push(OpenRequest { number, asked: now, rows: 0, bytes: 0 });
    }

    /// What an approval is bound to: who, where, what, with which parameters. Every part stands behind its length, so that
    /// no two requests have the same bytes.
    fn digest(&self, request: &Request<'_>) -> Digest {
        Digest::of_said(|put| {
            let target = self.target.facts.name.as_str();
            for part in [self.who.as_bytes(), target.as_bytes(), self.database.as_bytes(), request.text] {
                put(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                put(part);
            }
            for (value, format) in request.parameters.values {
                let length = value.map_or(u64::MAX, |v| u64::try_from(v.len()).unwrap_or(u64::MAX - 1));
                let mut head = length.to_be_bytes();
                // Lengths are far below 2^48: the first two bytes are free for the format, and NULL has all others set.
                if let Some(place) = head.first_chunk_mut::<2>() {
                    *place = format.to_be_bytes();
                }
                put(&head);
                put(value.unwrap_or_default());
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "one write of everything that is known of the request")]
    fn record_verdict(
        &mut self,
        request: &Request<'_>,
        judgement: &Judgement,
        number: u64,
        digest: Digest,
        parked: Option<&Parked>,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let mut asked = Asked::new(number, request.kind, request.shown, digest);
        asked.statement = request.statement.map(Cow::Borrowed);
        asked.portal = request.portal.map(Cow::Borrowed);
        asked.parameters =
            request.parameters.values.iter().map(|(value, format)| Parameter::new(*value, *format)).collect();

        let verdict = match &judgement.ruling {
            Ruling::Allow => VerdictKind::Allow,
            Ruling::Deny(_) => VerdictKind::Deny,
            Ruling::Hold(_) => VerdictKind::Hold,
        };
        let mut judged = Judged::new(number, verdict);
        judged.policies = judgement
            .policies
            .iter()
            .zip(&judgement.places)
            .map(|(p, place)| PolicyRef { id: Cow::Borrowed(&*p.id), place: Cow::Borrowed(place.as_str()) })
            .collect();
        judged.touches = judgement
            .asked
            .iter()
            .map(|(action, object)| Touch {
                action: Cow::Borrowed(action.name()),
                object: Cow::Borrowed(object.as_str()),
            })
            .collect();
        judged.masks = request
            .masked
            .iter()
            .map(|(column, name, label, method)| MaskUse {
                column: *column,
                name: Cow::Borrowed(name.as_str()),
                label: Cow::Borrowed(label.as_str()),
                method: Cow::Borrowed(method),
            })
            .collect();
        let mut events: Vec<Event<'_>> = Vec::with_capacity(3);
        events.push(asked.into());
        let (numbers, fresh) = self.certificates.numbers(request.certificate, request.runs);
        let written: Vec<(&Certified, u64)> = fresh.iter().map(|(of, c)| (*of, c.number)).collect();
        events.extend(fresh.into_iter().map(|(_, certificate)| certificate.into()));
        judged.certificates = numbers.into();
        match &judgement.ruling {
            Ruling::Deny(denial) => {
                judged.reason = Cow::Borrowed(denial.detail.as_deref().unwrap_or(&denial.message));
                events.push(judged.into());
                let mut done = Done::new(number, DoneKind::Refused);
                done.error = Some(Failure {
                    code: Cow::Borrowed(denial.sqlstate.0),
                    message: Cow::Borrowed(&denial.message),
                    fault: Cow::Borrowed(denial.fault.name()),
                });
                events.push(done.into());
            }
            Ruling::Allow => {
                judged.reason = on_trial(judgement).into();
                events.push(judged.into());
            }
            Ruling::Hold(needs) => {
                events.push(judged.into());
                if let Some(parked) = parked {
                    let approvers =
                        needs.iter().flat_map(|n| n.groups.iter()).map(|g| Cow::Borrowed(g.as_str())).collect();
                    events.push(
                        Held {
                            request: number,
                            approval: Cow::Borrowed(parked.approval.as_str()),
                            approvers,
                            quorum: needs.iter().map(|n| n.quorum).max().unwrap_or(1),
                            expires,
                        }
                        .into(),
                    );
                }
            }
        }
        self.flush(now)?;
        self.recorder.append_all(&events, now)?;
        for (certified, number) in written {
            self.certificates.holds(certified, number);
        }
        Ok(())
    }

    fn hold_denial(&self, parked: &Parked, decided: &Decided, judgement: &Judgement) -> Denial {
        let who = decided.by.join(", ");
        let reason = decided.reason.as_deref().filter(|r| !r.is_empty());
        let again = Some("run it again to ask again".to_owned());
        match decided.outcome {
            HoldOutcome::Approved => match &judgement.ruling {
                Ruling::Deny(denial) => denial.clone(),
                Ruling::Allow | Ruling::Hold(_) => Denial::other(
                    Fault::Policy,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    "the approval no longer fits",
                    Some(format!(
                        "the policies or the request changed after approval {} was asked for",
                        parked.approval
                    )),
                    again,
                ),
            },
            HoldOutcome::Denied => Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("refused by {who}"),
                Some(match reason {
                    Some(reason) => format!("approval {} was denied: {reason}", parked.approval),
                    None => format!("approval {} was denied", parked.approval),
                }),
                None,
            ),
            HoldOutcome::Expired => Denial::other(
                Fault::Policy,
                SqlState::INSUFFICIENT_PRIVILEGE,
                "nobody approved in time",
                Some(format!("approval {} expired", parked.approval)),
                again,
            ),
            HoldOutcome::Withdrawn => Denial::other(
                Fault::Client,
                SqlState::QUERY_CANCELED,
                "canceling statement due to user request",
                Some(format!("approval {} was withdrawn; nothing ran", parked.approval)),
                None,
            ),
            HoldOutcome::Failed => Denial::other(
                Fault::Us,
                SqlState::INTERNAL,
                "approval could not be asked for",
                reason.map(str::to_owned),
                Some("tell the gateway's administrator".into()),
            ),
        }
    }
}

/// Policies with `@observe` change nothing; the recording says that they would have.
fn on_trial(judgement: &Judgement) -> String {
    if judgement.observed.is_empty() {
        return String::new();
    }
    let policies: Vec<String> = judgement.observed.iter().map(ToString::to_string).collect();
    format!("on trial, not counted: {}", policies.join(", "))
}

/// A parameter in words for an approver. Binary ones are shown in hexadecimal.
fn shown_parameter((value, format): &(Option<&[u8]>, u16)) -> String {
    const SHOWN_BYTES_MAX: usize = 4_096;
    let Some(value) = value else { return "NULL".into() };
    let head = value.get(..SHOWN_BYTES_MAX).unwrap_or(value);
    let mut text = if *format == 0 {
        String::from_utf8_lossy(head).into_owned()
    } else {
        head.iter().fold(String::from("\\x"), |mut text, byte| {
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
            text
        })
    };
    if head.len() < value.len() {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("… ({} bytes)", value.len()));
    }
    text
}
