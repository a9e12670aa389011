//! Frames of the client, one after the other: which part of the pump takes each, and what has to be answered before one
//! can be understood.

use super::meaning::Spelt;
use super::put_off::Settled;
use super::{Asking, Expect, Held, Pump, Waiting};
use crate::frame::{self, Frame, FrontendTag, Peer};
use crate::message::{self, TransactionStatus};
use crate::own;
use crate::prepare::Prepared;
use bytes::BytesMut;
use lockgate_core::limits::{PG_CLIENT_MESSAGE_BYTES_MAX, PG_PIPELINE_FRAMES_MAX};
use lockgate_core::{Action, SqlState};
use lockgate_record::{CloseReason, DoneKind, RequestKind};
use lockgate_session::wire::{Decided, Io};
use lockgate_session::{Plumbing, Request, Verdict};
use lockgate_sql::Effect;

/// What became of a frame.
pub(super) enum Taken {
    /// It was dealt with.
    Done,
    /// It has to wait for this.
    Waits(Waiting),
}

impl Taken {
    /// The target was asked about its catalog.
    pub(super) fn asks(frame: Frame) -> Taken {
        Taken::Waits(Waiting::Target(Asking { frame, sizes: None }))
    }
}

impl Pump {
    /// Takes in what the client sent.
    pub(crate) fn client(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        // What comes now is judged by the rules of now, and is nothing that they take away.
        self.keep_rights(io);
        self.take_client(buffer, io);
        self.flush_record(io);
    }

    fn take_client(&mut self, buffer: &mut BytesMut, io: &mut Io) {
        loop {
            if self.closed {
                buffer.clear();
                return;
            }
            io.read_client = self.waiting.is_none();
            if self.waiting.is_some() {
                return;
            }
            if (self.holds_back() && !self.unsynced) || self.parts.is_some() {
                io.read_client = false;
                return;
            }
            match frame::take(buffer, Peer::Client, PG_CLIENT_MESSAGE_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some(frame)) => self.one(frame, io),
                Err(error) => {
                    let text = error.to_string();
                    self.client_broke(io, error.sqlstate(), &text);
                }
            }
        }
    }

    /// Takes up a frame that had to wait.
    pub(super) fn one(&mut self, frame: Frame, io: &mut Io) {
        self.one_asked(Asking { frame, sizes: None }, io);
    }

    /// The same for one that the target was asked for.
    pub(super) fn one_asked(&mut self, asked: Asking, io: &mut Io) {
        let taken = if self.expect.len() >= PG_PIPELINE_FRAMES_MAX || self.is_carrying() || self.inquiry.is_some() {
            self.wait_for_answers(asked.frame, io)
        } else {
            self.take_one(asked, io)
        };
        match taken {
            Taken::Done => self.truth.answered = false,
            Taken::Waits(waiting) => {
                self.waiting = Some(waiting);
                io.read_client = false;
            }
        }
    }

    fn take_one(&mut self, Asking { frame, sizes }: Asking, io: &mut Io) -> Taken {
        let tag = FrontendTag::from_byte(frame.tag());
        if let Some(request) = self.copy_in {
            return self.copy_data(request, tag, &frame, io);
        }
        if self.skipping && !matches!(tag, FrontendTag::Sync | FrontendTag::Terminate) {
            return Taken::Done;
        }
        if matches!(tag, FrontendTag::Sync | FrontendTag::Flush)
            && let Err(error) = message::empty(frame.body())
        {
            return self.malformed(io, "Sync or Flush", &error);
        }
        if matches!(
            tag,
            FrontendTag::Query
                | FrontendTag::Parse
                | FrontendTag::Bind
                | FrontendTag::Execute
                | FrontendTag::FunctionCall
        ) {
            self.adopt_snapshot();
        }
        match tag {
            FrontendTag::Query => self.query(Asking { frame, sizes }, io),
            FrontendTag::Parse => self.parse(frame, io),
            FrontendTag::Bind => self.bind(Asking { frame, sizes }, io),
            FrontendTag::Execute => self.execute(frame, io),
            FrontendTag::Describe => self.describe(&frame, io),
            FrontendTag::Close => self.close(&frame, io),
            // What it would commit may have run under other definitions than it was judged by.
            FrontendTag::Sync if self.status == TransactionStatus::Idle && self.copies_now() => {
                self.wait_for_answers(frame, io)
            }
            // It ends the pipeline's own transaction, and with it runs what that put off.
            FrontendTag::Sync if self.settles_before_sync() && self.changing().catalog => {
                self.wait_for_answers(frame, io)
            }
            FrontendTag::Sync => {
                if self.settles_before_sync() {
                    match self.settle_put_off(io) {
                        Settled::Fine => {}
                        Settled::Asked => return Taken::asks(frame),
                        Settled::Refused(denial) => self.refuse_denial(io, &denial),
                    }
                }
                self.send_sync(&frame, io);
                Taken::Done
            }
            FrontendTag::Flush => {
                io.target.plumbing(Plumbing::Sync, frame.bytes());
                Taken::Done
            }
            FrontendTag::FunctionCall => self.function_call(frame, io),
            FrontendTag::Terminate => {
                // A server finishes what was sent before it reads the goodbye.
                self.expect.clear();
                self.end(io, CloseReason::ClientClosed, "the client said goodbye", None);
                Taken::Done
            }
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail if self.copy_may_begin() => {
                Taken::Waits(Waiting::Answers(frame))
            }
            // A server drops COPY data that arrives after the COPY failed; so do we.
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail => Taken::Done,
            FrontendTag::PasswordMessage => {
                self.client_broke(io, SqlState::PROTOCOL_VIOLATION, "a password was sent after the login");
                Taken::Done
            }
            FrontendTag::Unknown(byte) => self.unknown(byte, &frame, io),
        }
    }

    /// Keeps a frame until everything that was sent is answered; the target is asked not to keep its answers back.
    pub(super) fn wait_for_answers(&mut self, frame: Frame, io: &mut Io) -> Taken {
        if self.unsynced {
            let mut flush = BytesMut::new();
            own::flush(&mut flush);
            io.target.plumbing(Plumbing::Sync, &flush);
        }
        Taken::Waits(Waiting::Answers(frame))
    }

    /// Ends the pipeline.
    pub(super) fn send_sync(&mut self, frame: &Frame, io: &mut Io) {
        io.target.plumbing(Plumbing::Sync, frame.bytes());
        self.expect.push_back(Expect::Sync);
        self.batch += 1;
        // It ends a pipeline's own transaction, and what moved in that may be undone.
        self.changing.catalog |= self.truth.moved_in_transaction;
        self.unsynced = false;
        self.bound = false;
        self.skipping = false;
    }

    /// Whether the last request on its way may turn out to be a COPY FROM STDIN, whose data comes next.
    fn copy_may_begin(&self) -> bool {
        let last = self.expect.iter().rev().find(|e| !matches!(e, Expect::Sync));
        let prepared = match last {
            Some(Expect::Simple(simple)) if !simple.failed => &simple.prepared,
            Some(Expect::Execute(execution)) => match &execution.statement {
                Some(statement) => statement.subject(),
                None => return false,
            },
            _ => return false,
        };
        prepared.batch.is_err() || prepared.statements().iter().any(|s| matches!(s.effect, Effect::CopyIn(_)))
    }

    fn copy_data(&mut self, request: u64, tag: FrontendTag, frame: &Frame, io: &mut Io) -> Taken {
        match tag {
            FrontendTag::CopyData | FrontendTag::CopyDone | FrontendTag::CopyFail => {
                if let Err(error) = self.session.input(request, frame.bytes(), io.now) {
                    self.unrecordable(io, &error);
                    return Taken::Done;
                }
                io.target.plumbing(Plumbing::CopyData, frame.bytes());
                if tag != FrontendTag::CopyData {
                    self.copy_in = None;
                }
            }
            // A server ignores these while it takes COPY data.
            FrontendTag::Sync | FrontendTag::Flush => {}
            FrontendTag::Terminate => self.end(io, CloseReason::ClientClosed, "the client said goodbye", None),
            // A server takes it for lost synchronization and ends the connection.
            _ => {
                let text = format!("unexpected message type 0x{:02X} during COPY from stdin", frame.tag());
                self.client_broke(io, SqlState::PROTOCOL_VIOLATION, &text);
            }
        }
        Taken::Done
    }

    fn unknown(&mut self, byte: u8, frame: &Frame, io: &mut Io) -> Taken {
        let rules = self.session.rules();
        let judgement = self.session.judge(&rules, io.now).target_action(Action::Administer);
        let text = format!("message of unknown type 0x{byte:02x}");
        let request = Request::new(RequestKind::Unknown, text.as_bytes());
        match self.session.submit(&request, &judgement, io.now) {
            Verdict::Allow(permit) => {
                // What it is answered with is not known either; a server that does not know it ends the connection.
                io.target.request(permit, frame.bytes());
                self.unsynced = false;
            }
            Verdict::Deny(_) | Verdict::Hold(..) => {
                let text = format!("invalid frontend message type {byte}");
                self.client_broke(io, SqlState::PROTOCOL_VIOLATION, &text);
            }
        }
        Taken::Done
    }

    pub(super) fn malformed(&mut self, io: &mut Io, what: &str, error: &dyn std::fmt::Display) -> Taken {
        let text = format!("invalid {what} message: {error}");
        self.client_broke(io, SqlState::PROTOCOL_VIOLATION, &text);
        Taken::Done
    }

    /// A held request was decided.
    pub(super) fn release(&mut self, held: Held, decided: &Decided, io: &mut Io) {
        io.read_client = true;
        if FrontendTag::from_byte(held.frame.tag()) == FrontendTag::FunctionCall {
            return self.release_call(held, decided, io);
        }
        let Held { parked, frame, .. } = held;
        match FrontendTag::from_byte(frame.tag()) {
            FrontendTag::Query => self.release_query(parked, &frame, decided, io),
            FrontendTag::Bind => self.release_bind(parked, &frame, decided, io),
            FrontendTag::Execute => self.release_execute(parked, &frame, decided, io),
            _ => {}
        }
    }

    /// The end of requests that the target dropped after an error.
    pub(super) fn skipped(&mut self, io: &mut Io, request: u64) {
        self.done(io, request, DoneKind::Skipped, "", None);
    }
}

pub(super) fn request_of<'a>(kind: RequestKind, text: &'a [u8], prepared: &'a Prepared) -> Request<'a> {
    Request {
        shown: prepared.shown().as_bytes(),
        masked: &prepared.masked,
        certificate: prepared.certified.as_deref(),
        ..Request::new(kind, text)
    }
}

/// The request as those who decide on it are to see it.
pub(super) fn spelt_out<'a>(request: Request<'a>, spelt: Option<&'a Spelt>) -> Request<'a> {
    match spelt {
        Some(spelt) => Request { text: spelt.text.as_bytes(), shown: spelt.shown.as_bytes(), ..request },
        None => request,
    }
}
