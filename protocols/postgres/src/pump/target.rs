//! Messages of the target: each belongs to what was sent, and goes to the client through the mask.

use super::altering::defines_for_itself;
use super::carry::with_position;
use super::doubt::Doubtful;
use super::inquiry::Inquiry;
use super::meaning::{Inner, Named, by_name, may_rename, moves};
use super::renamed::Standing;
use super::result::RowsEnd;
use super::said::{Said, is_of_a_row, is_of_analysis, is_of_work, is_raised, without_places};
use super::titles::Foreseen;
use super::{Asking, Bracket, Expect, Portal, Pump, Shape, Statement, Waiting, runs_what_was_put_off};
use crate::frame::{self, FrontendTag, Header, Peer};
use crate::message::{self, CommandComplete, TransactionStatus};
use crate::prepare::Prepared;
use bytes::{Bytes, BytesMut};
use lockgate_core::Fault;
use lockgate_core::limits::{PG_MASKED_ROW_BYTES_MAX, PG_SERVER_CONTROL_BYTES_MAX};
use lockgate_mask::{Diagnostic, MessageKind, OwnMessage, Touch};
use lockgate_record::{Column, DoneKind};
use lockgate_session::wire::{Ask, Decided, HoldOutcome, Io};
use lockgate_session::{Masks, Plan};
use lockgate_sql::Effect;
use std::borrow::Cow;
use std::sync::Arc;

impl Pump {
    /// Takes in what the target sent.
    pub(crate) fn target(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        self.keep_rights(io);
        self.keep_content(io);
        if self.has_held() {
            self.take_held(buffer, io);
        } else {
            self.take_target(buffer, io);
            if self.holds_back() {
                self.take_held(buffer, io);
            }
        }
        self.flush_record(io);
    }

    pub(super) fn take_target(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        while !self.closed {
            self.say_own(io);
            self.take_up(io);
            if self.withholds() {
                if self.drop_withheld(buffer, io) {
                    continue;
                }
                return;
            }
            let in_inquiry = matches!(self.expect.front(), Some(Expect::Inquiry));
            if self.copy_left > 0 {
                if self.copy_piece(buffer, io) {
                    continue;
                }
                return;
            }
            if self.row_stream.is_some() || self.dropping > 0 || (buffer.first() == Some(&b'D') && !in_inquiry) {
                // A row that has begun was made when its first bytes came.
                let begun = self.row_stream.is_some() || self.dropping > 0;
                match if begun { Doubtful::No } else { self.doubts(b'D', &[], io) } {
                    Doubtful::No => {}
                    Doubtful::Held => return,
                    Doubtful::Withheld => continue,
                }
                match self.rows(buffer, io) {
                    RowsEnd::More => return,
                    RowsEnd::Other => continue,
                    RowsEnd::Broken(why) => {
                        self.target_broke(io, &why);
                        return;
                    }
                }
            }
            let header = match frame::next_header(buffer, Peer::Target) {
                Ok(Some(header)) => header,
                Ok(None) => return,
                Err(error) => {
                    self.target_broke(io, &error.to_string());
                    return;
                }
            };
            if header.tag == b'd' {
                match self.doubts(b'd', &[], io) {
                    Doubtful::No => {}
                    Doubtful::Held => return,
                    Doubtful::Withheld => continue,
                }
            }
            if self.begins_long_copy(&header, buffer) {
                continue;
            }
            let limit =
                if header.tag == b'd' || in_inquiry { PG_MASKED_ROW_BYTES_MAX } else { PG_SERVER_CONTROL_BYTES_MAX };
            if let Err(error) = header.bounded(Peer::Target, limit) {
                self.target_broke(io, &error.to_string());
                return;
            }
            if buffer.len() < header.frame_len() {
                return;
            }
            match self.doubts(header.tag, buffer.get(frame::HEADER_BYTES..header.frame_len()).unwrap_or_default(), io) {
                Doubtful::No => {}
                Doubtful::Held => return,
                Doubtful::Withheld => continue,
            }
            let bytes = buffer.split_to(header.frame_len()).freeze();
            let body = bytes.slice(frame::HEADER_BYTES..);
            self.message(header, body, io);
        }
        buffer.clear();
    }

    /// The gateway's own answers whose turn it is.
    fn say_own(&mut self, io: &mut Io) {
        while let Some(Expect::Own(_)) = self.expect.front() {
            if let Some(Expect::Own(bytes)) = self.expect.pop_front() {
                io.client.own(&OwnMessage::not_target_data(bytes));
            }
        }
    }

    /// The client's frame that waited for everything before it to be answered.
    pub(super) fn take_up(&mut self, io: &mut Io) {
        if !self.expect.is_empty() || self.is_carrying() {
            return;
        }
        match self.waiting.take() {
            Some(Waiting::Answers(frame)) => {
                io.read_client = true;
                self.one(frame, io);
                io.again = true;
            }
            other => self.waiting = other,
        }
        self.when_idle(io);
    }

    pub(super) fn message(&mut self, header: Header, body: Bytes, io: &mut Io) {
        // What may come at any time.
        match header.tag {
            b'N' => return self.notice_response(&body, io),
            b'A' => return self.notification(&body, io),
            b'S' => return self.parameter_status(&body, io),
            _ => {}
        }
        if matches!(self.expect.front(), Some(Expect::Inquiry)) {
            self.inquiry_frame(header.tag, &body, io);
            return;
        }
        if matches!(self.expect.front(), Some(Expect::Copied(_))) {
            self.copied_frame(header.tag, &body, io);
            return;
        }
        match header.tag {
            b'1' => self.parse_complete(io),
            b'2' => self.bind_complete(io),
            b'3' => self.close_complete(io),
            b't' => self.plain(MessageKind::ParameterDescription, &body, io),
            b'T' => self.described(Some(body), io),
            b'n' => self.described(None, io),
            b'C' => self.command_complete(&body, io),
            b'I' => self.finished("", MessageKind::EmptyQueryResponse, &body, io),
            b's' => self.suspended(&body, io),
            b'E' => self.error_response(&body, io),
            b'Z' => self.ready(&body, io),
            b'G' => self.copy_in_response(&body, io),
            b'H' => self.copy_out_response(&body, io),
            b'd' => self.copy_data_out(&body, io),
            b'c' => self.copy_done(io),
            b'V' => self.function_result(&body, io),
            other => self.target_broke(io, &format!("an unexpected message of type 0x{other:02x}")),
        }
    }

    pub(super) fn plain(&mut self, kind: MessageKind, body: &[u8], io: &mut Io) {
        if let Err(error) = io.client.protocol(kind, body) {
            self.target_broke(io, &error.to_string());
        }
    }

    // ---- at any time ----

    fn notice_response(&mut self, body: &[u8], io: &mut Io) {
        if matches!(self.expect.front(), Some(Expect::Inquiry | Expect::Copied(_))) {
            return;
        }
        let touch = self.touch(io.now);
        if touch == Touch::Labelled && (is_of_work(body) || self.is_doubtful() || self.ends_doubtfully()) {
            // Its code alone could say something.
            return;
        }
        // Code may say things a million times: who may see what is asked about only where it matters.
        let own_work = is_of_work(body) && !is_raised(body);
        let mut said = without_places(body);
        if own_work || matches!(said, Cow::Owned(_)) {
            let wary = self.is_wary(touch, io);
            if wary && own_work {
                // What a cursor of before took comes to light with its end, and how a row lies that is waited for.
                return;
            }
            if !wary {
                said = Cow::Borrowed(body);
            }
        }
        let mark = io.client.mark();
        if let Err(error) = io.client.diagnostic(Diagnostic::Notice, &said, touch) {
            self.target_broke(io, &error.to_string());
            return;
        }
        let Said { severity, code, text } = Said::of(io.client.bytes_since(mark));
        if let Err(error) = self.session.notice(self.running(), &severity, &code, &text, io.now) {
            self.unrecordable(io, &error);
        }
    }

    fn notification(&mut self, body: &[u8], io: &mut Io) {
        // A payload from another session has an origin that nobody followed; one's own was judged when it was sent, unless
        // code sent it that nobody could look into.
        let own = !self.opaque && message::NotificationResponse::decode(body).is_ok_and(|n| n.pid == self.pid);
        let touch = if self.labelled() && !own { self.stranger_touch(io) } else { Touch::Clean };
        let mark = io.client.mark();
        if let Err(error) = io.client.notification(body, touch) {
            return self.target_broke(io, &error.to_string());
        }
        if let Err(error) = self.record_notification(io.client.bytes_since(mark), io.now) {
            self.unrecordable(io, &error);
        }
    }

    /// Whether words that pass are to be without what the server says of rows by the way: the statement reads nothing labelled, and
    /// the client may not see everything.
    fn is_wary(&mut self, touch: Touch, io: &Io) -> bool {
        touch == Touch::Clean && self.labelled() && self.stranger_touch(io) == Touch::Labelled
    }

    /// How what comes from out of our sight is to be treated.
    fn stranger_touch(&mut self, io: &Io) -> Touch {
        self.unknown_plan(io.now).plans.first().map_or(Touch::Labelled, |plan| plan.touch)
    }

    fn parameter_status(&mut self, body: &[u8], io: &mut Io) {
        if let Ok(status) = message::ParameterStatus::decode(body) {
            self.lexing.reported(status.name, status.value);
        }
        let touch = self.touch(io.now);
        let mark = io.client.mark();
        if let Err(error) = io.client.parameter_status(body, touch) {
            return self.target_broke(io, &error.to_string());
        }
        if let Err(error) = self.record_setting(io.client.bytes_since(mark), io.now) {
            self.unrecordable(io, &error);
        }
    }

    pub(super) fn running(&self) -> Option<u64> {
        self.expect.iter().find_map(|e| match e {
            Expect::Simple(simple) => Some(simple.request),
            Expect::Execute(execution) => Some(execution.request),
            Expect::Parse { request } => Some(*request),
            Expect::Call(called) => Some(called.request),
            _ => None,
        })
    }

    // ---- acknowledgements ----

    fn parse_complete(&mut self, io: &mut Io) {
        let Some(Expect::Parse { request }) = self.expect.front() else {
            return self.target_broke(io, "ParseComplete where none was expected");
        };
        let request = *request;
        self.expect.pop_front();
        self.statements.acknowledge();
        self.plain(MessageKind::ParseComplete, b"", io);
        self.done(io, request, DoneKind::Completed, "PARSE", None);
    }

    fn bind_complete(&mut self, io: &mut Io) {
        let Some(Expect::Bind) = self.expect.front() else {
            return self.target_broke(io, "BindComplete where none was expected");
        };
        self.expect.pop_front();
        self.portals.acknowledge();
        self.plain(MessageKind::BindComplete, b"", io);
    }

    fn close_complete(&mut self, io: &mut Io) {
        match self.expect.pop_front() {
            Some(Expect::CloseStatement) => self.statements.acknowledge(),
            Some(Expect::ClosePortal) => self.portals.acknowledge(),
            _ => return self.target_broke(io, "CloseComplete where none was expected"),
        }
        self.plain(MessageKind::CloseComplete, b"", io);
    }

    /// RowDescription or NoData.
    fn described(&mut self, description: Option<Bytes>, io: &mut Io) {
        let (subject, swallow) = match self.expect.front() {
            Some(Expect::Simple(_)) => {
                let Some(description) = description else {
                    return self.target_broke(io, "NoData where none was expected");
                };
                return self.simple_described(&description, io);
            }
            Some(Expect::DescribeStatement { shape, subject }) => {
                if let Some(shape) = shape {
                    let _ = shape.set(description.clone());
                }
                (subject.clone(), false)
            }
            Some(Expect::DescribePortal { shape, subject, swallow }) => {
                if let Some(shape) = shape {
                    let _ = shape.set(description.clone());
                }
                (subject.clone(), *swallow)
            }
            _ => return self.target_broke(io, "a description where none was expected"),
        };
        self.expect.pop_front();
        if swallow {
            return;
        }
        match description {
            Some(body) => {
                // What an EXECUTE runs is judged when it runs: until then every column may be masked.
                let plan = subject.as_ref().filter(|s| s.statements().first().is_some_and(|s| !by_name(&s.effect)));
                let foreseen = Foreseen {
                    statement: subject.as_deref().map(|s| (s, 0)),
                    plan: plan.and_then(|s| s.judgement.plans.first()).map(Arc::as_ref),
                };
                let hidden = self.hidden_titles(&body, &foreseen);
                if let Err(error) = io.client.row_description(&body, &hidden) {
                    self.target_broke(io, &error.to_string());
                }
            }
            None => self.plain(MessageKind::NoData, b"", io),
        }
    }

    fn simple_described(&mut self, description: &Bytes, io: &mut Io) {
        let Some(Expect::Simple(simple)) = self.expect.front() else { return };
        let request = simple.request;
        let plan = simple.plan().cloned();
        let known = simple.plans.is_none().then(|| (Arc::clone(&simple.prepared), simple.index));
        let plan = plan.unwrap_or_else(|| self.fallback_plan(io));
        match self.known_masker(known.as_ref(), description, None, &plan, io) {
            Ok(masker) => {
                if let Some(Expect::Simple(simple)) = self.expect.front_mut() {
                    simple.result.masker = Some(masker);
                }
            }
            Err(why) => return self.target_broke(io, &why),
        }
        let hidden = match self.expect.front() {
            Some(Expect::Simple(simple)) => {
                let foreseen = Foreseen { statement: Some((&simple.prepared, simple.index)), plan: Some(&plan) };
                self.hidden_titles(description, &foreseen)
            }
            _ => Vec::new(),
        };
        // On record is what the client is told.
        match lockgate_mask::described(description, &hidden) {
            Ok(told) => self.record_columns(request, &told, None, io),
            Err(error) => return self.target_broke(io, &error.to_string()),
        }
        if let Err(error) = io.client.row_description(description, &hidden) {
            self.target_broke(io, &error.to_string());
        }
    }

    /// The plan for a result that nobody foresaw.
    pub(super) fn fallback_plan(&mut self, io: &Io) -> Arc<Plan> {
        let unknown = self.unknown_plan(io.now).plans.into_iter().next();
        unknown.unwrap_or_else(|| Arc::new(Plan { masks: Masks::Clear, touch: Touch::Labelled }))
    }

    fn record_columns(&mut self, request: u64, description: &[u8], formats: Option<&[u16]>, io: &mut Io) {
        let Ok(described) = message::RowDescription::decode(description) else { return };
        let columns: Vec<Column<'static>> = described
            .fields()
            .enumerate()
            .map(|(index, field)| Column {
                name: Cow::Owned(String::from_utf8_lossy(field.name).into_owned()),
                type_id: field.type_oid,
                format: match formats {
                    None => field.format.code(),
                    Some([]) => 0,
                    Some([one]) => *one,
                    Some(each) => each.get(index).copied().unwrap_or(0),
                },
            })
            .collect();
        if let Err(error) = self.session.columns(request, columns, io.now) {
            self.unrecordable(io, &error);
        }
    }

    /// Before the first row of an Execute: the masker from what is known of the portal.
    pub(super) fn begin_execution(&mut self, io: &mut Io) -> Result<(), String> {
        let Some(Expect::Execute(execution)) = self.expect.front() else { return Ok(()) };
        if execution.result.masker.is_some() || execution.result.copy.is_some() {
            return Ok(());
        }
        let request = execution.request;
        let plan = execution.plan.clone();
        let known = match &execution.statement {
            Some(statement) if !execution.resolved => Some((Arc::clone(statement.subject()), 0)),
            Some(_) | None => None,
        };
        if let Some(kept) = execution.masker.get() {
            let kept = Arc::clone(kept);
            if let Some(Expect::Execute(execution)) = self.expect.front_mut() {
                execution.result.masker = Some(kept);
            }
            return Ok(());
        }
        // A portal's description has its formats; a statement's has none, and Bind said them.
        let of_portal = execution.shape.get().cloned();
        let of_statement = execution.statement.as_ref().and_then(|s| s.own_shape()?.get().cloned());
        let (shape, formats) = match (of_portal, of_statement) {
            (Some(shape), _) => (shape, None),
            (None, Some(shape)) => (shape, Some(Arc::clone(&execution.formats))),
            // Nobody described it: the rows say how many columns there are, where nothing is labelled.
            (None, None) => return Ok(()),
        };
        let Some(description) = shape else { return Ok(()) };
        let masker = self.known_masker(known.as_ref(), &description, formats.as_deref(), &plan, io)?;
        let hidden = match self.expect.front() {
            Some(Expect::Execute(execution)) => {
                let subject = execution.statement.as_ref().map(Statement::subject);
                let statement = subject.map(|s| (&**s, 0));
                self.hidden_titles(&description, &Foreseen { statement, plan: Some(&plan) })
            }
            _ => Vec::new(),
        };
        let told = lockgate_mask::described(&description, &hidden).map_err(|e| e.to_string())?;
        self.record_columns(request, &told, formats.as_deref(), io);
        if let Some(Expect::Execute(execution)) = self.expect.front_mut() {
            let _ = execution.masker.set(Arc::clone(&masker));
            execution.result.masker = Some(masker);
        }
        Ok(())
    }

    // ---- ends of requests ----

    fn command_complete(&mut self, body: &[u8], io: &mut Io) {
        let tag = match CommandComplete::decode(body) {
            Ok(complete) => String::from_utf8_lossy(complete.tag).into_owned(),
            Err(error) => return self.target_broke(io, &error.to_string()),
        };
        if self.overlong_completed(io) {
            return;
        }
        if let Some(Expect::Simple(simple)) = self.expect.front_mut() {
            if std::mem::take(&mut simple.opening) {
                // BEGIN is the gateway's own.
                return;
            }
            let prepared = Arc::clone(&simple.prepared);
            let named = simple.named.clone();
            let index = simple.index;
            simple.index += 1;
            if let Some(judged) = &mut simple.judged {
                judged.next();
            }
            simple.result = super::Flow::default();
            simple.tag.clone_from(&tag);
            let request = simple.request;
            self.told_by_tag(request, index, &tag, io);
            self.effect(&prepared, &named, index);
            self.brought_effect(&prepared, index, &tag, io);
            match self.expect.front_mut() {
                // What is not committed yet is not done.
                Some(Expect::Simple(simple))
                    if simple.carries.is_some()
                        || (simple.bracketed && simple.index >= simple.prepared.statements().len()) =>
                {
                    simple.held_back = Some(Bytes::copy_from_slice(body));
                }
                Some(Expect::Simple(simple)) => {
                    let last = simple.index >= simple.prepared.statements().len();
                    if self.ends_part(body, last, &tag, io) {
                        self.plain(MessageKind::CommandComplete, body, io);
                    }
                }
                _ => self.plain(MessageKind::CommandComplete, body, io),
            }
            return;
        }
        if let Some(Expect::Bracket(owes)) = self.expect.front_mut() {
            let Bracket { held_back, request } = std::mem::take(owes);
            let committed = tag == "COMMIT";
            match request {
                Some((request, tag)) if committed => self.done(io, request, DoneKind::Completed, &tag, None),
                Some((request, _)) => self.done(io, request, DoneKind::Failed, "", None),
                None => {}
            }
            if let Some(body) = held_back.filter(|_| committed) {
                self.plain(MessageKind::CommandComplete, &body, io);
            }
            return;
        }
        if let Some(Expect::Execute(execution)) = self.expect.front() {
            match &execution.statement {
                Some(statement) => {
                    let prepared = Arc::clone(statement.subject());
                    let named = execution.named.clone();
                    self.effect(&prepared, &named, 0);
                    self.brought_effect(&prepared, 0, &tag, io);
                }
                None => self.anything(),
            }
        }
        self.finished(&tag, MessageKind::CommandComplete, body, io);
    }

    /// Rows of a portal came, and there may be more. What it calls has run for these; the server says so too where there
    /// were no more, since it did not look.
    fn suspended(&mut self, body: &[u8], io: &mut Io) {
        if let Some(Expect::Execute(execution)) = self.expect.front() {
            let named = execution.named.clone();
            match execution.statement.as_ref().map(|s| Arc::clone(s.subject())) {
                Some(prepared) => {
                    self.failed(&prepared, &named);
                    let mut statements = prepared.statements().iter().enumerate();
                    if prepared.batch.is_err() || statements.any(|(at, s)| moves(s, named.inner(at, s))) {
                        self.moved();
                    }
                }
                None => self.anything(),
            }
        }
        self.finished("SUSPENDED", MessageKind::PortalSuspended, body, io);
    }

    /// The end of an Execute, or an empty simple query.
    fn finished(&mut self, tag: &str, kind: MessageKind, body: &[u8], io: &mut Io) {
        if self.overlong_completed(io) {
            return;
        }
        match self.expect.front_mut() {
            Some(Expect::Simple(_)) if kind == MessageKind::EmptyQueryResponse => {}
            Some(Expect::Execute(execution)) => {
                let (request, withheld) = (execution.request, execution.withheld);
                let carries = execution.carries.take();
                self.expect.pop_front();
                match kind {
                    // Some rows came, and there may be more.
                    MessageKind::PortalSuspended => self.session.answered(request, 0, 1, io.now),
                    _ => self.told_by_tag(request, 0, tag, io),
                }
                if !withheld {
                    self.done(io, request, DoneKind::Completed, tag, None);
                }
                match carries {
                    Some(carries) => self.ran_carrying(*carries, Some((kind, Bytes::copy_from_slice(body))), None, io),
                    None => self.plain(kind, body, io),
                }
                return;
            }
            _ => return self.target_broke(io, "the end of a request that was not running"),
        }
        self.plain(kind, body, io);
    }

    /// What a finished statement did to the session.
    pub(super) fn effect(&mut self, prepared: &Arc<Prepared>, named: &Named, index: usize) {
        let Some(statement) = prepared.statements().get(index) else {
            // A text that nobody could read.
            return self.anything();
        };
        let inner = named.inner(index, statement);
        if matches!(inner, Inner::Unknown) {
            self.anything();
        }
        let moves = moves(statement, inner);
        if may_rename(statement, inner) {
            self.doubt_names();
        }
        if let Inner::This(run) = inner
            && run.statements().iter().any(|s| matches!(s.effect, Effect::Define))
        {
            self.doubt();
        }
        match &statement.effect {
            Effect::Prepare { name, .. } => {
                let entry = Statement {
                    prepared: Arc::clone(prepared),
                    inside: Some(index),
                    shape: Shape::default(),
                    standing: Standing::default(),
                };
                self.statements.set(name.as_bytes(), entry, prepared.bytes());
            }
            Effect::Deallocate(Some(name)) => self.statements.remove(name.as_bytes()),
            Effect::Deallocate(None) => self.statements.clear(),
            Effect::DeclareCursor { name, hold, .. } => {
                if self.withholds() {
                    // What it was declared as is not what it is of.
                    self.portals.remove(name.as_bytes());
                } else {
                    let entry = Statement {
                        prepared: Arc::clone(prepared),
                        inside: Some(index),
                        shape: Shape::default(),
                        standing: Standing::default(),
                    };
                    let since = self.cursor_since(statement, *hold);
                    let portal = Portal { since, ..Portal::cursor(entry, *hold) };
                    self.portals.set(name.as_bytes(), portal, prepared.bytes());
                }
            }
            Effect::CloseCursor(Some(name)) => self.portals.remove(name.as_bytes()),
            Effect::CloseCursor(None) => self.portals.clear(),
            Effect::DiscardAll => {
                self.statements.clear();
                self.portals.clear();
            }
            Effect::Define if !defines_for_itself(prepared) => self.doubt(),
            _ => {}
        }
        let ends_transaction = matches!(
            statement.effect,
            Effect::Commit { .. } | Effect::Rollback { .. } | Effect::TwoPhase | Effect::RollbackTo(_)
        );
        if ends_transaction {
            if self.status == TransactionStatus::Failed {
                // The transaction that failed is over, or back at a savepoint: what follows runs before ReadyForQuery says so.
                self.status = TransactionStatus::InTransaction;
            }
            if self.truth.moved_in_transaction {
                self.truth.moved = true;
                if self.may_have_altered() {
                    self.doubt();
                }
            }
            if !matches!(statement.effect, Effect::RollbackTo(_)) {
                // What is known of the beginning of a transaction is too old for what follows it.
                self.truth.moved |= std::mem::take(&mut self.truth.of_beginning);
            }
            if !matches!(statement.effect, Effect::RollbackTo(_)) {
                // What was put off to the end (a cursor WITH HOLD, a deferred trigger) may have been such code.
                let put_off = std::mem::take(&mut self.opaque_in_transaction);
                if put_off && runs_what_was_put_off(statement) {
                    self.doubt_names();
                    self.opaque_in_transaction = false;
                }
            }
            self.truth.moved_in_transaction =
                matches!(statement.effect, Effect::RollbackTo(_)) && self.truth.moved_in_transaction;
        } else if moves {
            self.moved();
        }
    }

    /// What was done may be anything.
    pub(super) fn anything(&mut self) {
        self.moved();
        self.doubt_names();
        self.doubt();
    }

    /// The session itself changed the catalog: everybody else has to ask again, and it can see its own change.
    fn doubt(&mut self) {
        let alone = self.shared.changes() == self.truth.changes;
        self.shared.doubt();
        if alone {
            self.truth.changes = self.shared.changes();
        }
    }

    fn moved(&mut self) {
        self.truth.moved = true;
        self.truth.moved_in_transaction = true;
        self.forget_what_looks_up();
    }

    pub(super) fn error_response(&mut self, body: &[u8], io: &mut Io) {
        let copied = self.copied_error();
        let body = copied.as_deref().unwrap_or(body);
        match self.expect.front_mut() {
            Some(Expect::Refused(own)) => {
                let own = std::mem::take(own);
                self.expect.pop_front();
                io.client.own(&OwnMessage::not_target_data(own));
                self.skip_to_sync(io);
                return;
            }
            Some(Expect::RefusedQuery { own }) => {
                if let Some(own) = own.take() {
                    io.client.own(&OwnMessage::not_target_data(own));
                }
                return;
            }
            _ => {}
        }
        let touch = match self.touch(io.now) {
            Touch::Labelled if self.is_of_analysis(body) || self.is_of_own_row(body) => Touch::Clean,
            touch => touch,
        };
        let mark = io.client.mark();
        let rewritten = match self.expect.front() {
            Some(Expect::Simple(simple)) => copied.is_some() || simple.prepared.rewritten().is_some(),
            Some(Expect::Copied(_)) => true,
            // What Parse sends is the one text that a position of the extended protocol points into.
            Some(Expect::Parse { .. }) => self.statements.front().is_some_and(|s| s.prepared.rewritten().is_some()),
            _ => false,
        };
        let bracketed = matches!(self.expect.front(), Some(Expect::Simple(simple)) if simple.bracketed);
        let body = match (rewritten, bracketed) {
            (true, _) => without_position(body),
            (false, true) => with_position(body, |at| at.saturating_sub(super::simple::BEGIN.len())),
            (false, false) => match self.before_part() {
                0 => Cow::Borrowed(body),
                before => with_position(body, |at| at.saturating_add(before)),
            },
        };
        let body = if self.is_wary(touch, io) { Cow::Owned(without_places(&body).into_owned()) } else { body };
        self.failed_alone |= self.status == TransactionStatus::Idle;
        let instead = self.error_of_the_end(&body, io);
        match self.overlong.take().or(instead) {
            // The statement was cancelled for it, or what it says is nobody's.
            Some(own) => self.own(io, own),
            None => {
                if let Err(error) = io.client.diagnostic(Diagnostic::Error, &body, touch) {
                    return self.target_broke(io, &error.to_string());
                }
            }
        }
        let Said { severity, code, text } = Said::of(io.client.bytes_since(mark));
        self.target_said_goodbye |= matches!(severity.as_str(), "FATAL" | "PANIC");
        let kind = if code == "57014" { DoneKind::Cancelled } else { DoneKind::Failed };
        let fault = Fault::Client;
        self.copy_in = None;
        self.row_stream = None;
        match self.expect.front_mut() {
            // COMMIT failed: nothing of it is there. Where the connection ends with it, nobody knows.
            Some(Expect::Bracket(owes)) => {
                if let Some((request, _)) = std::mem::take(owes).request {
                    self.done(io, request, kind, "", Some((&code, &text, fault)));
                }
                if !self.target_said_goodbye {
                    self.brought_rollback(io);
                }
            }
            Some(Expect::Simple(simple)) => {
                let withheld = std::mem::replace(&mut simple.failed, true);
                simple.result = super::Flow::default();
                let request = simple.request;
                let prepared = Arc::clone(&simple.prepared);
                let named = simple.named.clone();
                self.failed(&prepared, &named);
                if withheld {
                    return;
                }
                self.done(io, request, kind, "", Some((&code, &text, fault)));
            }
            Some(Expect::Call(called)) => {
                called.answered = true;
                let request = called.request;
                match called.prepared.clone() {
                    Some(prepared) => self.failed(&prepared, &Named::default()),
                    None => self.doubt_names(),
                }
                self.done(io, request, kind, "", Some((&code, &text, fault)));
            }
            Some(Expect::Execute(_) | Expect::Parse { .. }) => {
                let mut withheld = false;
                let request = match self.expect.pop_front() {
                    Some(Expect::Execute(execution)) => {
                        withheld = execution.withheld;
                        match &execution.statement {
                            Some(statement) => self.failed(statement.subject(), &execution.named),
                            None => self.doubt_names(),
                        }
                        execution.request
                    }
                    Some(Expect::Parse { request }) => {
                        self.statements.reject();
                        request
                    }
                    _ => return,
                };
                if !withheld {
                    self.done(io, request, kind, "", Some((&code, &text, fault)));
                }
                self.skip_to_sync(io);
            }
            Some(_) => self.skip_to_sync(io),
            // The target ends the connection by itself and says why.
            None => {}
        }
    }

    /// Whether an error is one of what the client wrote, found before anything of it ran. Literals are read then, and checks of domains
    /// within their types run.
    fn is_of_analysis(&self, body: &[u8]) -> bool {
        let of_a_text = matches!(
            self.expect.front(),
            Some(Expect::Simple(_) | Expect::Parse { .. } | Expect::Copied(_) | Expect::Execute(_) | Expect::Bind)
        );
        of_a_text && is_of_analysis(body) && self.truth.snapshot.catalog.reading_a_literal_tells_nothing()
    }

    /// Whether an error is of a row that the client gave itself, of a statement that runs alone.
    fn is_of_own_row(&self, body: &[u8]) -> bool {
        let statements = match self.expect.front() {
            Some(Expect::Simple(simple)) if !simple.ends_pipeline => simple.prepared.statements(),
            Some(Expect::Execute(execution)) => {
                execution.statement.as_ref().map_or(&[][..], |statement| statement.subject().statements())
            }
            _ => &[],
        };
        let own = matches!(statements, [alone] if alone.facts.inserts_own);
        own && is_of_a_row(body) && !self.is_doubtful()
    }

    /// After an error the target drops everything up to Sync, simple queries too; so does the queue.
    fn skip_to_sync(&mut self, io: &mut Io) {
        loop {
            match self.expect.front() {
                None => {
                    self.skipping = true;
                    self.drop_waiting(io);
                    return;
                }
                Some(Expect::Sync) => return,
                // The gateway's question brought a Sync of its own, where the client's is still to come.
                Some(Expect::Inquiry) if self.inquiry.as_mut().is_some_and(Inquiry::ends_what_failed) => {
                    self.skipping = true;
                    self.drop_waiting(io);
                    return;
                }
                Some(_) => {}
            }
            match self.expect.pop_front() {
                Some(Expect::Execute(execution)) => self.skipped(io, execution.request),
                Some(Expect::Call(called)) => self.skipped(io, called.request),
                Some(Expect::Parse { request }) => {
                    self.statements.reject();
                    self.skipped(io, request);
                }
                Some(Expect::Simple(simple)) => {
                    self.statements.reject();
                    self.portals.reject();
                    self.skipped(io, simple.request);
                }
                Some(Expect::RefusedQuery { .. }) => {
                    self.statements.reject();
                    self.portals.reject();
                }
                Some(Expect::CloseStatement) => self.statements.reject(),
                Some(Expect::Bind | Expect::ClosePortal) => self.portals.reject(),
                Some(Expect::Inquiry) => self.inquiry = None,
                Some(
                    Expect::DescribeStatement { .. }
                    | Expect::DescribePortal { .. }
                    | Expect::Copied(_)
                    | Expect::Sync
                    | Expect::Bracket(_)
                    | Expect::Own(_)
                    | Expect::Refused(_),
                )
                | None => {}
            }
        }
    }

    /// What waits to be taken up is part of what the target drops.
    fn drop_waiting(&mut self, io: &mut Io) {
        match &self.waiting {
            None => return,
            Some(Waiting::Target(_) | Waiting::Cancelled(_) | Waiting::Answers(_)) => {
                if let Some(Waiting::Target(Asking { frame, .. }) | Waiting::Cancelled(frame) | Waiting::Answers(frame)) =
                    self.waiting.take()
                    && matches!(FrontendTag::from_byte(frame.tag()), FrontendTag::Sync | FrontendTag::Terminate)
                {
                    // These are what it drops up to.
                    self.one(frame, io);
                }
            }
            Some(Waiting::Decision(_)) => {
                io.asks.push(Ask::Withdraw);
                let outcome = HoldOutcome::Withdrawn;
                self.decided(&Decided { outcome, by: Vec::new(), reason: None }, io);
            }
            Some(Waiting::Approved(..)) => {
                if let Some(Waiting::Approved(held, mut decided)) = self.waiting.take() {
                    decided.outcome = HoldOutcome::Failed;
                    self.release(*held, &decided, io);
                }
            }
        }
        io.read_client = true;
        io.again = true;
    }

    fn ready(&mut self, body: &[u8], io: &mut Io) {
        let status = match message::ReadyForQuery::decode(body) {
            Ok(ready) => ready.status,
            Err(error) => return self.target_broke(io, &error.to_string()),
        };
        match self.expect.pop_front() {
            Some(Expect::Sync) => {}
            Some(Expect::Bracket(_) | Expect::RefusedQuery { own: None }) => {
                self.statements.acknowledge();
                self.portals.acknowledge();
            }
            Some(Expect::Simple(simple)) => {
                self.statements.acknowledge();
                self.portals.acknowledge();
                if !simple.failed {
                    // What is not committed yet is not done.
                    let request = if simple.bracketed {
                        Some((simple.request, simple.tag))
                    } else {
                        self.done(io, simple.request, DoneKind::Completed, &simple.tag, None);
                        None
                    };
                    if let Some(carries) = simple.carries {
                        self.status = status;
                        let held_back = simple.held_back.map(|body| (MessageKind::CommandComplete, body));
                        return self.ran_carrying(*carries, held_back, request, io);
                    }
                    if request.is_some() {
                        self.status = status;
                        let owes = Bracket { held_back: simple.held_back, request };
                        return self.end_bracket(b"COMMIT", owes, io);
                    }
                } else if simple.bracketed && status != TransactionStatus::Idle {
                    self.status = status;
                    if simple.undone {
                        self.expect.push_back(Expect::Bracket(Bracket::default()));
                        return;
                    }
                    return self.end_bracket(b"ROLLBACK", Bracket::default(), io);
                }
            }
            Some(Expect::Call(called)) => {
                if !called.answered {
                    match &called.prepared {
                        Some(prepared) => self.effect(prepared, &Named::default(), 0),
                        None => self.anything(),
                    }
                    self.done(io, called.request, DoneKind::Completed, "", None);
                }
            }
            _ => return self.target_broke(io, "ReadyForQuery where none was expected"),
        }
        self.copy_in = None;
        self.truth.moved |= std::mem::take(&mut self.truth.late);
        let failed_alone = std::mem::take(&mut self.failed_alone);
        let brought = self.has_brought();
        if status == TransactionStatus::Idle {
            if failed_alone {
                self.brought_rollback(io);
            }
            self.brought_settle(io);
            // Also where no BEGIN was sent: a pipeline is a transaction up to its Sync, and what moved in it may be undone.
            if self.truth.moved_in_transaction
                || (self.truth.unknown.is_some() && self.status != TransactionStatus::Idle)
            {
                // What could not be read in a transaction may be outside.
                self.truth.moved = true;
                self.truth.unknown = None;
            }
            self.truth.moved_in_transaction = false;
            self.truth.moved |= std::mem::take(&mut self.truth.of_beginning);
            self.doubt_names_at_end();
            self.keep_held_cursors();
            if self.expect.is_empty() {
                self.truth.opens_unseen = None;
            }
        }
        self.status = status;
        if self.parts.is_some() {
            self.has_altered(io, brought);
            if !self.goes_on(status, io) {
                self.plain(MessageKind::ReadyForQuery, body, io);
            }
            return;
        }
        self.plain(MessageKind::ReadyForQuery, body, io);
        self.has_altered(io, brought);
    }
}

impl Portal {
    /// What it was opened for does not say any more what its rows are.
    pub(super) fn outlive(&mut self) {
        if let Some(statement) = self.statement.take() {
            self.outlived = Some(statement);
        }
    }

    fn cursor(statement: Statement, holds: bool) -> Portal {
        Portal {
            statement: Some(statement),
            outlived: None,
            formats: Arc::default(),
            parameters: Arc::default(),
            shape: Shape::default(),
            masker: Arc::default(),
            permit: None,
            approved: Vec::new(),
            judged: None,
            begun: false,
            sized: false,
            holds,
            made: false,
            since: None,
            standing: Standing::default(),
        }
    }
}

/// A diagnostic without the fields that point into a text which the client never saw. What does not read as fields stays.
fn without_position(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(body.len());
    for field in body.split_inclusive(|byte| *byte == 0) {
        if !matches!(field.first(), Some(b'P')) {
            out.extend_from_slice(field);
        }
    }
    Cow::Owned(out)
}
