//! A replication session (PostgreSQL documentation, 54.4): base backups, streamed WAL, logical decoding. What it carries
//! cannot be taken apart and so cannot be masked. It passes whole, for who may `administer` the target and may see all of
//! its labels unmasked, and what its content rules look for; each command is judged and recorded, and what follows it is
//! counted. One that is SQL is judged as such besides, as far as that can be without a catalog: no result is masked here, and
//! what it does is for policy as anywhere else.
//!
//! Nothing here reads WAL or archives. A right that is lost while a stream runs ends it.

use crate::cancel::CancelRequest;
use crate::frame::{self, Frame, FrontendTag, HEADER_BYTES, Header, Peer};
use crate::message::{self, TransactionStatus};
use crate::own::{self, OwnReport, Severity};
use crate::pump::Lexing;
use crate::shared::Snapshot;
use bytes::BytesMut;
use lockgate_core::limits::{PG_CLIENT_MESSAGE_BYTES_MAX, PG_SERVER_CONTROL_BYTES_MAX, REJUDGE_MS};
use lockgate_core::{Action, Fault, SqlState};
use lockgate_mask::{OwnMessage, Touch};
use lockgate_record::{CloseReason, DoneKind, RequestKind};
use lockgate_session::wire::{Ask, Cut, Event, Io};
use lockgate_session::{Denial, Ended, Judgement, Plumbing, Request, Ruling, Session, Verdict};
use lockgate_sql::{Batch, Context, analyze};

/// What policy says of replication now: `administer`, and every label to be seen as it is.
pub(crate) fn judge(session: &mut Session, io: &Io) -> Judgement {
    let rules = session.rules();
    let judgement = session.judge(&rules, io.now).target_action(Action::Administer);
    let name = session.target().facts.name.to_string();
    let refused = |detail: String| {
        Denial::other(
            Fault::Policy,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "refused by policy",
            Some(detail),
            Some("replicate without the gateway, or ask for the rights".into()),
        )
    };
    let (content, depends_on_time) = session.judge(&rules, io.now).content();
    let looked_for = content.iter().any(|(_, method)| method.is_some());
    let judgement = Judgement { depends_on_time: judgement.depends_on_time || depends_on_time, ..judgement };
    let clear = !looked_for && judgement.plans.iter().all(|plan| !plan.masks.any() && plan.touch == Touch::Clean);
    let denial = match &judgement.ruling {
        Ruling::Deny(denial) => Some(Denial {
            detail: denial.detail.as_ref().map(|detail| format!("replication needs administer: {detail}")),
            ..denial.clone()
        }),
        Ruling::Hold(_) => {
            Some(refused("replication needs administer, for which an approval cannot be waited for".into()))
        }
        Ruling::Allow if !clear => Some(refused(format!(
            "replication cannot be masked: it needs reveal of every label on target \"{name}\", unmasked"
        ))),
        Ruling::Allow => None,
    };
    match denial {
        Some(denial) => Judgement { ruling: Ruling::Deny(denial), ..judgement },
        None => judgement,
    }
}

/// The first words of the commands of the replication protocol, in all versions of the server. Any other text is SQL to it.
const COMMANDS: [&str; 10] = [
    "ALTER_REPLICATION_SLOT",
    "BASE_BACKUP",
    "CREATE_REPLICATION_SLOT",
    "DROP_REPLICATION_SLOT",
    "IDENTIFY_SYSTEM",
    "READ_REPLICATION_SLOT",
    "SHOW",
    "START_REPLICATION",
    "TIMELINE_HISTORY",
    "UPLOAD_MANIFEST",
];

/// Whether a text is a command of the replication protocol.
fn is_command(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()));
    let word = end.and_then(|end| text.get(..end)).unwrap_or(text);
    COMMANDS.contains(&word)
}

/// A command that the target has not finished.
struct Running {
    request: u64,
    tag: String,
    failed: bool,
}

/// A replication session after login.
pub(crate) struct Replication {
    session: Box<Session>,
    cancel: Option<CancelRequest>,
    judgement: Judgement,
    lexing: Lexing,
    running: Option<Running>,
    /// Bytes of a message of the target that are still to come and to be passed on.
    left: usize,
    /// The target's last word was FATAL.
    said_goodbye: bool,
    closed: bool,
}

impl Replication {
    pub(crate) fn new(mut session: Box<Session>, cancel: Option<CancelRequest>, lexing: Lexing, io: &Io) -> Self {
        let judgement = judge(&mut session, io);
        Replication { session, cancel, judgement, lexing, running: None, left: 0, said_goodbye: false, closed: false }
    }

    pub(crate) fn on(&mut self, event: Event<'_>, io: &mut Io) {
        if self.closed {
            return;
        }
        self.judge_again(io);
        match event {
            Event::Client(buffer) => self.client(buffer, io),
            Event::Target(buffer) => self.target(buffer, io),
            Event::ClientClosed => self.end(io, CloseReason::ClientLost, "the client went away", None),
            Event::TargetClosed if self.said_goodbye => {
                self.end(io, CloseReason::TargetLost, "the target ended the connection", Some(Fault::Target));
            }
            Event::TargetClosed => self.fail(
                io,
                Fault::Target,
                SqlState::CONNECTION_FAILURE,
                "the target closed the connection",
                CloseReason::TargetLost,
            ),
            Event::Cancel => self.cancelled(io),
            Event::Cut(cut) => self.cut(&cut, io),
            Event::Tick
            | Event::Waits
            | Event::Decided(_)
            | Event::LabelsKept(_)
            | Event::ClientTls(_)
            | Event::TargetTls(_)
            | Event::Verifiers(_)
            | Event::Proven(_)
            | Event::Linked(_)
            | Event::Opened(_)
            | Event::Dialed(_) => {}
        }
        self.session.publish(io);
        if let Err(error) = self.session.flush(io.now) {
            self.unrecordable(io, &error);
        }
        // A stream may run for months: its right is looked at all the time, not only when a command begins.
        io.wake_in_ms = (!self.closed).then_some(REJUDGE_MS);
    }

    fn judge_again(&mut self, io: &mut Io) {
        if self.session.is_current(&self.judgement) {
            return;
        }
        self.judgement = judge(&mut self.session, io);
        if let Ruling::Deny(denial) = &self.judgement.ruling {
            let text = format!("terminating connection: {}", denial.detail.as_deref().unwrap_or(&denial.message));
            self.fail(io, Fault::Policy, SqlState::ADMIN_SHUTDOWN, &text, CloseReason::AccessLost);
        }
    }

    // ---- the client ----

    fn client(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        while !self.closed {
            // One command at a time; what belongs to the one that runs passes.
            io.read_client = self.running.is_none() || buffer.first() != Some(&FrontendTag::Query.byte());
            if !io.read_client {
                return;
            }
            match frame::take(buffer, Peer::Client, PG_CLIENT_MESSAGE_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some(frame)) => self.client_frame(&frame, io),
                Err(error) => {
                    let text = error.to_string();
                    self.fail(io, Fault::Client, error.sqlstate(), &text, CloseReason::Protocol);
                }
            }
        }
        buffer.clear();
    }

    fn client_frame(&mut self, frame: &Frame, io: &mut Io) {
        match FrontendTag::from_byte(frame.tag()) {
            FrontendTag::Query => self.command(frame, io),
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail => {
                // A server drops what comes after a stream has ended.
                let Some(running) = &self.running else { return };
                if let Err(error) = self.session.input(running.request, frame.bytes(), io.now) {
                    return self.unrecordable(io, &error);
                }
                io.target.plumbing(Plumbing::CopyData, frame.bytes());
            }
            FrontendTag::Sync | FrontendTag::Flush => io.target.plumbing(Plumbing::Sync, frame.bytes()),
            FrontendTag::Terminate => self.end(io, CloseReason::ClientClosed, "the client said goodbye", None),
            FrontendTag::Parse
            | FrontendTag::Bind
            | FrontendTag::Describe
            | FrontendTag::Execute
            | FrontendTag::Close
            | FrontendTag::FunctionCall
            | FrontendTag::PasswordMessage
            | FrontendTag::Unknown(_) => {
                let text = "extended query protocol not supported in a replication connection";
                self.fail(io, Fault::Client, SqlState::PROTOCOL_VIOLATION, text, CloseReason::Protocol);
            }
        }
    }

    fn command(&mut self, frame: &Frame, io: &mut Io) {
        let text = match message::Query::decode(frame.body()) {
            Ok(query) => query.text,
            Err(error) => {
                let text = format!("invalid Query message: {error}");
                return self.fail(io, Fault::Client, SqlState::PROTOCOL_VIOLATION, &text, CloseReason::Protocol);
            }
        };
        let readable = String::from_utf8_lossy(text);
        let shown = lockgate_sql::redact_secrets(&readable);
        let request = Request { shown: shown.as_bytes(), ..Request::new(RequestKind::Simple, text) };
        let sql = if is_command(&readable) { None } else { Some(self.judge_sql(text, io)) };
        match self.session.submit(&request, sql.as_ref().unwrap_or(&self.judgement), io.now) {
            Verdict::Allow(permit) => {
                self.running = Some(Running { request: permit.request(), tag: String::new(), failed: false });
                io.target.request(permit, frame.bytes());
            }
            Verdict::Deny(denial) => self.refuse(&denial, io),
            Verdict::Hold(..) => self.refuse(&unheld(), io),
        }
    }

    /// What policy says of a text that is SQL. Nothing is known of the names in it.
    fn judge_sql(&mut self, text: &[u8], io: &Io) -> Judgement {
        let rules = self.session.rules();
        let plain = self.lexing.strings && self.lexing.encoding && self.lexing.server;
        let snapshot = Snapshot::empty(self.session.target());
        let context = Context { catalog: &snapshot.catalog, search_path: &[], path_known: false };
        let batch = std::str::from_utf8(text).ok().filter(|_| plain).and_then(|text| analyze(text, &context).ok());
        // Which tables it is about decides, and nobody knows.
        let names = |batch: &Batch| batch.statements.iter().any(|s| s.facts.opaque || !s.facts.tables.is_empty());
        let known = batch.filter(|batch| !rules.policies.speak_of_tables() || !names(batch));
        let judge = self.session.judge(&rules, io.now);
        let judgement = match &known {
            Some(batch) => judge.batch(&snapshot.catalog, batch),
            None => judge.unreadable(&snapshot.catalog),
        };
        match (&judgement.ruling, &self.judgement.ruling) {
            (Ruling::Allow, Ruling::Allow) => Judgement { plans: self.judgement.plans.clone(), ..judgement },
            (Ruling::Allow, _) => self.judgement.clone(),
            (Ruling::Deny(_), _) => judgement,
            (Ruling::Hold(_), _) => Judgement { ruling: Ruling::Deny(unheld()), ..judgement },
        }
    }

    fn refuse(&self, denial: &Denial, io: &mut Io) {
        let mut out = BytesMut::new();
        let hint = denial.hint_with(self.session.id());
        let report = OwnReport {
            severity: Severity::Error,
            sqlstate: denial.sqlstate,
            message: &denial.message,
            detail: denial.detail.as_deref(),
            hint: Some(&hint),
        };
        own::error(&mut out, &report);
        own::ready_for_query(&mut out, TransactionStatus::Idle);
        io.client.own(&OwnMessage::not_target_data(out));
    }

    // ---- the target ----

    fn target(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        while !self.closed {
            if self.left > 0 {
                if buffer.is_empty() {
                    return;
                }
                let piece = buffer.split_to(self.left.min(buffer.len()));
                self.left = self.left.saturating_sub(piece.len());
                self.pass(&piece, io);
                continue;
            }
            let header = match frame::next_header(buffer, Peer::Target) {
                Ok(Some(header)) => header,
                Ok(None) => return,
                Err(error) => return self.target_broke(io, &error.to_string()),
            };
            if matches!(header.tag, b'd' | b'D') {
                let piece = buffer.split_to(HEADER_BYTES);
                self.left = header.body_len;
                self.count(header);
                self.pass(&piece, io);
                continue;
            }
            if let Err(error) = header.bounded(Peer::Target, PG_SERVER_CONTROL_BYTES_MAX) {
                return self.target_broke(io, &error.to_string());
            }
            if buffer.len() < header.frame_len() {
                return;
            }
            let whole = buffer.split_to(header.frame_len());
            self.pass(&whole, io);
            self.target_message(header.tag, whole.get(HEADER_BYTES..).unwrap_or_default(), io);
        }
        buffer.clear();
    }

    fn count(&mut self, header: Header) {
        if let Some(running) = &self.running {
            self.session.passed(running.request, 1, header.frame_len());
        }
    }

    fn pass(&mut self, bytes: &[u8], io: &mut Io) {
        let touch = self.judgement.plans.first().map_or(Touch::Labelled, |plan| plan.touch);
        if let Err(error) = io.client.opaque(bytes, touch) {
            self.target_broke(io, &error.to_string());
        }
    }

    fn target_message(&mut self, tag: u8, body: &[u8], io: &mut Io) {
        match tag {
            b'C' => {
                if let (Some(running), Ok(complete)) = (&mut self.running, message::CommandComplete::decode(body)) {
                    running.tag = String::from_utf8_lossy(complete.tag).into_owned();
                }
            }
            b'E' => self.failed(body, io),
            b'S' => {
                if let Ok(status) = message::ParameterStatus::decode(body) {
                    self.lexing.reported(status.name, status.value);
                }
            }
            b'N' => {
                let field = fields(body);
                let request = self.running.as_ref().map(|r| r.request);
                let recorded = self.session.notice(
                    request,
                    &field(message::code::SEVERITY),
                    &field(message::code::SQLSTATE),
                    &field(message::code::MESSAGE),
                    io.now,
                );
                if let Err(error) = recorded {
                    self.unrecordable(io, &error);
                }
            }
            b'Z' => {
                if let Some(Running { request, tag, failed: false }) = self.running.take() {
                    self.done(request, DoneKind::Completed, &tag, None, io);
                }
                io.read_client = true;
                io.again = true;
            }
            _ => {}
        }
    }

    fn failed(&mut self, body: &[u8], io: &mut Io) {
        let field = fields(body);
        let severity = match field(message::code::SEVERITY_PLAIN) {
            plain if plain.is_empty() => field(message::code::SEVERITY),
            plain => plain,
        };
        self.said_goodbye |= matches!(severity.as_str(), "FATAL" | "PANIC");
        let (code, text) = (field(message::code::SQLSTATE), field(message::code::MESSAGE));
        if let Some(running) = &mut self.running
            && !running.failed
        {
            running.failed = true;
            let request = running.request;
            let kind = if code == SqlState::QUERY_CANCELED.0 { DoneKind::Cancelled } else { DoneKind::Failed };
            self.done(request, kind, "", Some((&code, &text, Fault::Client)), io);
        }
    }

    fn done(&mut self, request: u64, kind: DoneKind, tag: &str, error: Option<(&str, &str, Fault)>, io: &mut Io) {
        let shown = error.map(|(code, text, fault)| (code, lockgate_sql::redact_error(code, text), fault));
        let error = shown.as_ref().map(|(code, text, fault)| (*code, &**text, *fault));
        if let Err(failed) = self.session.done(request, &Ended { kind, tag, error }, io.now) {
            self.unrecordable(io, &failed);
        }
    }

    // ---- ends ----

    fn cancelled(&mut self, io: &mut Io) {
        if let Err(error) = self.session.cancelled("client", io.now) {
            return self.unrecordable(io, &error);
        }
        self.cancel_at_target(io);
    }

    fn cancel_at_target(&self, io: &mut Io) {
        if let (Some(cancel), Some(_)) = (&self.cancel, &self.running) {
            let mut prelude = BytesMut::new();
            own::ssl_request(&mut prelude);
            let mut bytes = BytesMut::new();
            cancel.encode(&mut bytes);
            io.asks.push(Ask::TargetAside { prelude: prelude.to_vec(), bytes: bytes.to_vec() });
        }
    }

    /// A stream has no end of its own, so a stopping gateway does not wait for one.
    fn cut(&mut self, cut: &Cut, io: &mut Io) {
        let reason = if cut.after_request { CloseReason::Shutdown } else { CloseReason::AccessLost };
        let text = format!("terminating connection: {}", cut.reason);
        self.fail(io, Fault::Policy, SqlState::ADMIN_SHUTDOWN, &text, reason);
    }

    fn target_broke(&mut self, io: &mut Io, why: &str) {
        let text = format!("the target broke the protocol: {why}");
        self.fail(io, Fault::Target, SqlState::CONNECTION_FAILURE, &text, CloseReason::Protocol);
    }

    fn unrecordable(&mut self, io: &mut Io, error: &lockgate_record::RecordError) {
        let denial = Denial::unrecordable(error);
        self.fail(io, denial.fault, denial.sqlstate, &denial.message, CloseReason::Unrecordable);
    }

    fn fail(&mut self, io: &mut Io, fault: Fault, sqlstate: SqlState, text: &str, reason: CloseReason) {
        // In the middle of a message of the target's nothing can be said.
        if self.left == 0 && !self.closed {
            let mut out = BytesMut::new();
            let session = format!("session {}", self.session.id());
            let report = OwnReport { hint: Some(&session), ..OwnReport::new(Severity::Fatal, sqlstate, text) };
            own::error(&mut out, &report);
            io.client.own(&OwnMessage::not_target_data(out));
        }
        self.end(io, reason, text, Some(fault));
    }

    fn end(&mut self, io: &mut Io, reason: CloseReason, detail: &str, fault: Option<Fault>) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.cancel_at_target(io);
        let mut bye = BytesMut::new();
        own::terminate(&mut bye);
        io.target.plumbing(Plumbing::Terminate, &bye);
        // A recording that cannot be finished now is finished when the gateway starts again.
        let _ = self.session.close(reason, detail, io.now);
        io.close(detail, fault);
    }
}

fn unheld() -> Denial {
    let text = "a command of replication cannot wait for an approval";
    Denial::other(Fault::Policy, SqlState::INSUFFICIENT_PRIVILEGE, text, None, None)
}

/// The fields of an error or a notice.
fn fields(body: &[u8]) -> impl Fn(u8) -> String {
    let report = message::Report::decode(body).ok();
    move |code| {
        let value = report.as_ref().and_then(|r| r.get(code)).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_command_of_the_protocol_is_sql() {
        for text in ["SHOW wal_level", " \t\nBASE_BACKUP", "IDENTIFY_SYSTEM;", "START_REPLICATION SLOT s LOGICAL 0/0"] {
            assert!(is_command(text), "{text}");
        }
        for text in ["show wal_level", "DROP TABLE t", "/* */ SHOW x", "SHOWS", "\"SHOW\" x", "", "SHOW\u{e4} x"] {
            assert!(!is_command(text), "{text}");
        }
    }
}
