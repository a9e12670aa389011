//! One PostgreSQL connection from its first byte: startup, proof of identity, the session's `connect`, the login to the
//! target, and then the [`Pump`].
//!
//! ```text
//! Startup ─▶ (ClientTls ─▶ Startup) ─▶ Auth ─▶ Proving, Linking ─▶ Opening ─▶ (Held) ─▶ Dialing ─▶ (TargetSsl ─▶ TargetTls)
//!         └▶ Cancel                                                             └▶ Login ─▶ Pumping, Replicating ─▶ Closed
//! ```

use crate::cancel::{CancelKey, KEY_BYTES};
use crate::client_auth::{AuthError, AuthStep, ClientAuth, Method, ScramOffer};
use crate::frame::{self, FrontendTag, Peer};
use crate::own::{self, OwnReport, Severity};
use crate::pump::{Lexing, Pump, Start, keeps_utf8};
use crate::replication::{self, Replication};
use crate::scram::{NONCE_BYTES, ScramVerifier};
use crate::shared::Databases;
use crate::startup::{Startup, StartupMachine, StartupStep};
use crate::target_login::{LoggedIn, LoginConfig, LoginStep, TargetLogin};
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::{DIAL_MS_MAX, HOLD_NOTICE_MS, PG_PREAUTH_MESSAGE_BYTES_MAX};
use lockgate_core::{Action, Fault, Identity, Secret, SqlState};
use lockgate_mask::{Diagnostic, OwnMessage, Touch};
use lockgate_record::{CloseReason, DoneKind, RequestKind};
use lockgate_session::wire::{
    Ask, Decided, Dialed, Event, HoldOutcome, Io, Protocol, Refusal, TargetTls, TlsFacts, Verifier, Verifiers, Wire,
};
use lockgate_session::{Denial, Ended, Parked, Permit, Plumbing, Request, Session, Verdict};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a stranger is told, whatever was wrong: nothing tells him whether a user or a target exists.
const LOGIN_REFUSED: &str = "login refused: the token is wrong, expired, revoked or not yours";
const LOGIN_HINT: &str = "get a new one: lockgate login, or lockgate token create; or log this connection in with a browser: options='-c lockgate.auth=link'";
/// For a client in clear: by SCRAM only Lockgate's own tokens can be proven.
const CLEAR_HINT: &str =
    "get a new one: lockgate token create; a token of an identity provider needs TLS: sslmode=verify-full";
/// The text that a request for `connect` has in recordings.
const CONNECT_TEXT: &[u8] = b"connect";
/// A startup parameter that chooses how to prove oneself where both are safe: `options=-c lockgate.auth=scram-sha-256`, or
/// `token` for the token itself, `oauth` for a token that the client gets from the identity provider by itself, or `link` for a
/// person who logs the connection in with a browser.
const AUTH_PARAMETER: &str = "lockgate.auth";
/// The password that asks for a link, from clients that cannot send the parameter. It proves nothing.
const LINK_PASSWORD: &str = "link";
/// How often a client that waits for a person is told so again.
const LINK_NOTICE_MS: u64 = 30_000;
/// A startup parameter that names the target of a replication session: `options=-c lockgate.target=orders`. The tools for
/// physical replication fix the database's name themselves.
const TARGET_PARAMETER: &str = "lockgate.target";

/// PostgreSQL for the relay.
pub struct Postgres {
    databases: Arc<Databases>,
    base_url: Arc<str>,
}

impl Postgres {
    /// `base_url` is where people find the gateway's pages: `https://gateway:6443`.
    pub fn new(base_url: &str) -> Self {
        Postgres { databases: Arc::new(Databases::default()), base_url: Arc::from(base_url.trim_end_matches('/')) }
    }
}

impl Protocol for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn accept(&self, peer: SocketAddr, tls: bool) -> Box<dyn Wire> {
        Box::new(Machine {
            phase: Phase::Startup(StartupMachine::new(tls)),
            databases: Arc::clone(&self.databases),
            base_url: Arc::clone(&self.base_url),
            peer,
            server_end_point: None,
        })
    }
}

struct Machine {
    phase: Phase,
    databases: Arc<Databases>,
    base_url: Arc<str>,
    peer: SocketAddr,
    server_end_point: Option<Vec<u8>>,
}

/// What of the client's wishes is still needed after the proof.
struct Wishes {
    startup: Box<Startup>,
    how: How,
}

/// How the client proves itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// By SCRAM, unless there are tokens that only their text can prove.
    Usual,
    Scram,
    /// By the token's text.
    Token,
    /// By OAUTHBEARER.
    Bearer,
    /// By a person with a browser.
    Link,
}

enum Phase {
    Startup(StartupMachine),
    ClientTls(StartupMachine),
    /// The user's salt is being looked up.
    Salting(Wishes),
    Auth(Wishes, Box<ClientAuth>),
    /// The verifiers for a proof are being looked up.
    Verifying(Wishes, Box<ClientAuth>),
    Proving(Wishes),
    /// A person logs the connection in; the notice says where, once that is known.
    Linking(Wishes, String),
    Opening(Wishes),
    /// `connect` waits for people.
    Held(Wishes, Box<Session>, Box<Parked>, String),
    Dialing(Opened),
    TargetSsl(Opened, Dialed),
    TargetTls(Opened, Dialed),
    Login(Opened, Box<TargetLogin>, Box<str>),
    Pumping(Box<Pump>),
    Replicating(Box<Replication>),
    Closed,
}

/// A session that may connect, on its way to the target.
struct Opened {
    wishes: Wishes,
    session: Box<Session>,
    permit: Option<Permit>,
    request: u64,
}

impl Wire for Machine {
    fn on(&mut self, event: Event<'_>, io: &mut Io) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        self.phase = match (phase, event) {
            (Phase::Pumping(mut pump), event) => {
                pump_event(&mut pump, event, io);
                Phase::Pumping(pump)
            }
            (Phase::Replicating(mut replication), event) => {
                replication.on(event, io);
                Phase::Replicating(replication)
            }
            (Phase::Closed, _) => Phase::Closed,
            (phase, Event::ClientClosed) => leave(phase, io, CloseReason::ClientLost, "the client went away"),
            (phase, Event::Cut(cut)) => {
                fatal(io, SqlState::ADMIN_SHUTDOWN, &format!("terminating connection: {}", cut.reason), None, None);
                leave(phase, io, CloseReason::AccessLost, &cut.reason)
            }
            (Phase::Startup(machine), Event::Client(buffer)) => self.startup(machine, buffer, io),
            (Phase::ClientTls(machine), Event::ClientTls(facts)) => self.client_tls(machine, facts, io),
            (Phase::Salting(wishes), Event::Verifiers(verifiers)) => self.choose(wishes, verifiers, io),
            (Phase::Auth(wishes, auth), Event::Client(buffer)) => self.auth(wishes, auth, buffer, io),
            (Phase::Verifying(wishes, auth), Event::Verifiers(verifiers)) => {
                self.verify(wishes, *auth, &verifiers.tokens, io)
            }
            (Phase::Linking(wishes, _), Event::Linked(Ok(link))) => {
                let text = format!(
                    "to log in, open {} in a browser and confirm there that it shows the code {}",
                    link.url, link.code
                );
                tell(io, &text, LINK_NOTICE_MS);
                Phase::Linking(wishes, text)
            }
            (Phase::Linking(wishes, notice), Event::Tick) => {
                tell(io, &notice, LINK_NOTICE_MS);
                Phase::Linking(wishes, notice)
            }
            (Phase::Linking(wishes, _), Event::Proven(Ok(identity))) => self.proven(wishes, identity, None, io),
            (Phase::Linking(..), Event::Linked(Err(refusal)) | Event::Proven(Err(refusal))) => {
                refused(io, SqlState::INVALID_AUTHORIZATION, &refusal)
            }
            (Phase::Proving(wishes), Event::Proven(Ok(identity))) => self.proven(wishes, identity, None, io),
            (Phase::Proving(_), Event::Proven(Err(refusal))) => refused(io, SqlState::INVALID_PASSWORD, &refusal),
            (Phase::Opening(wishes), Event::Opened(Ok(session))) => connect(wishes, session, io),
            (Phase::Opening(_), Event::Opened(Err(refusal))) => {
                let code = match refusal.fault {
                    Fault::Us => SqlState::TOO_MANY_CONNECTIONS,
                    // The token itself does not fit: it ended meanwhile, or it is for other targets.
                    Fault::Client => SqlState::INVALID_AUTHORIZATION,
                    Fault::Policy | Fault::Target => SqlState::INSUFFICIENT_PRIVILEGE,
                };
                refused(io, code, &refusal)
            }
            (Phase::Held(wishes, session, parked, notice), Event::Waits | Event::Tick) => {
                notice_waiting(io, &notice);
                Phase::Held(wishes, session, parked, notice)
            }
            (Phase::Held(wishes, session, parked, _), Event::Decided(decided)) => {
                decide_connect(wishes, session, *parked, &decided, io)
            }
            (Phase::Held(wishes, session, parked, _), Event::Cancel) => {
                io.asks.push(Ask::Withdraw);
                let decided = Decided { outcome: HoldOutcome::Withdrawn, by: Vec::new(), reason: None };
                decide_connect(wishes, session, *parked, &decided, io)
            }
            (Phase::Dialing(opened), Event::Dialed(Ok(dialed))) => {
                io.wake_in_ms = Some(DIAL_MS_MAX);
                match dialed.tls {
                    TargetTls::Require => {
                        let mut request = BytesMut::new();
                        own::ssl_request(&mut request);
                        io.target.plumbing(Plumbing::Login, &request);
                        Phase::TargetSsl(opened, dialed)
                    }
                    TargetTls::Disable => login(opened, dialed, None, io),
                }
            }
            (
                Phase::Dialing(opened)
                | Phase::TargetSsl(opened, _)
                | Phase::TargetTls(opened, _)
                | Phase::Login(opened, ..),
                Event::Dialed(Err(refusal)),
            ) => no_target(opened, SqlState::CANNOT_CONNECT, &refusal, io),
            (Phase::TargetSsl(opened, dialed), Event::Target(buffer)) => target_ssl(opened, dialed, buffer, io),
            (Phase::TargetTls(opened, dialed), Event::TargetTls(facts)) => {
                io.wake_in_ms = Some(DIAL_MS_MAX);
                login(opened, dialed, facts.server_end_point, io)
            }
            (Phase::Login(opened, machine, database), Event::Target(buffer)) => {
                self.login_step(opened, machine, database, buffer, io)
            }
            (
                Phase::TargetSsl(opened, _) | Phase::TargetTls(opened, _) | Phase::Login(opened, ..),
                Event::TargetClosed | Event::Tick,
            ) => {
                let refusal = Refusal {
                    fault: Fault::Target,
                    public: "the target did not complete the login".into(),
                    hint: Some("ask the target's owner, or try again later".into()),
                    internal: "the target closed the connection or fell silent during the login".into(),
                };
                no_target(opened, SqlState::CANNOT_CONNECT, &refusal, io)
            }
            // The client's bytes wait until the session can take them.
            (phase, _) => {
                io.read_client = false;
                phase
            }
        };
        match &self.phase {
            Phase::Startup(_) | Phase::Auth(..) => io.read_client = true,
            Phase::Pumping(_) | Phase::Replicating(_) | Phase::Closed => {}
            _ => io.read_client = false,
        }
    }
}

fn pump_event(pump: &mut Pump, event: Event<'_>, io: &mut Io) {
    match event {
        Event::Client(buffer) => pump.client(buffer, io),
        Event::Target(buffer) => pump.target(buffer, io),
        Event::ClientClosed => pump.client_closed(io),
        Event::TargetClosed => pump.target_closed(io),
        Event::Waits => pump.tell_waiting(io),
        Event::Decided(decided) => pump.decided(&decided, io),
        Event::LabelsKept(kept) => pump.kept_labels(kept, io),
        Event::Cancel => pump.cancelled(io),
        Event::Cut(cut) => pump.cut(cut, io),
        Event::Tick => {
            pump.tell_waiting(io);
            pump.look_again(io);
            pump.rest();
        }
        Event::ClientTls(_)
        | Event::TargetTls(_)
        | Event::Verifiers(_)
        | Event::Proven(_)
        | Event::Linked(_)
        | Event::Opened(_)
        | Event::Dialed(_) => {}
    }
    pump.keep_ticking(io);
}

impl Machine {
    fn startup(&mut self, mut machine: StartupMachine, buffer: &mut BytesMut, io: &mut Io) -> Phase {
        loop {
            match machine.step(buffer) {
                StartupStep::NeedMore => return Phase::Startup(machine),
                StartupStep::Send(bytes) => own_bytes(io, Bytes::from_static(bytes)),
                StartupStep::StartTls(bytes) => {
                    own_bytes(io, Bytes::from_static(bytes));
                    io.asks.push(Ask::ClientTls(buffer.split()));
                    return Phase::ClientTls(machine);
                }
                StartupStep::Cancel(request) => {
                    io.asks.push(Ask::CancelOther { pid: request.pid, key: request.key.expose().to_vec() });
                    io.close("a cancel request", None);
                    return Phase::Closed;
                }
                StartupStep::Startup(startup) => return self.begin_auth(startup, io),
                StartupStep::Fail(error) => {
                    fatal(io, error.sqlstate(), &error.to_string(), None, None);
                    io.close(error.to_string(), Some(error.fault()));
                    return Phase::Closed;
                }
            }
        }
    }

    fn client_tls(&mut self, mut machine: StartupMachine, facts: TlsFacts, io: &mut Io) -> Phase {
        self.server_end_point = facts.server_end_point;
        match machine.tls_established(facts.alpn.as_deref()) {
            Ok(()) => Phase::Startup(machine),
            Err(error) => {
                fatal(io, error.sqlstate(), &error.to_string(), None, None);
                io.close(error.to_string(), Some(error.fault()));
                Phase::Closed
            }
        }
    }

    fn begin_auth(&mut self, mut startup: Box<Startup>, io: &mut Io) -> Phase {
        own_bytes(io, startup.send_first.clone());
        let asked = take_parameter(&mut startup.refused, AUTH_PARAMETER);
        if startup.replication.is_some()
            && let Some(target) = take_parameter(&mut startup.refused, TARGET_PARAMETER)
        {
            startup.database = Some(target);
        }
        // Where somebody could listen the token is never asked for in clear, whatever the client wants. Inside TLS SCRAM comes
        // first, because it binds the proof to this connection; but where an identity provider's tokens count, which SCRAM cannot
        // prove, the token itself. From loopback in clear also the token itself, which every client can send.
        let protected = startup.in_tls || self.peer.ip().to_canonical().is_loopback();
        let how = match asked.as_deref() {
            Some("link") => How::Link,
            _ if !protected => How::Scram,
            Some("scram-sha-256") => How::Scram,
            Some("token") => How::Token,
            Some("oauth") => How::Bearer,
            Some(_) | None if startup.in_tls => How::Usual,
            Some(_) | None => How::Token,
        };
        let wishes = Wishes { startup, how };
        if how == How::Link {
            if protected {
                return link(wishes, io);
            }
            // Who sits in between could show a link of his own.
            let text = "a login by link needs TLS";
            fatal(io, SqlState::INVALID_AUTHORIZATION, text, None, Some("sslmode=verify-full"));
            io.close(text, Some(Fault::Client));
            return Phase::Closed;
        }
        if how == How::Token {
            ask_proof(wishes, Method::Cleartext, io)
        } else {
            io.asks.push(Ask::Verifiers { user: wishes.startup.user.clone() });
            Phase::Salting(wishes)
        }
    }

    /// Asks for the proof, now that it is known what there is to prove oneself with.
    fn choose(&mut self, mut wishes: Wishes, verifiers: Verifiers, io: &mut Io) -> Phase {
        match (wishes.how, verifiers.issuer) {
            (How::Bearer, Some(issuer)) => return ask_proof(wishes, Method::Bearer(issuer), io),
            (How::Bearer, None) => {
                let text = "no identity provider is configured that a token could be had from";
                fatal(io, SqlState::INVALID_AUTHORIZATION, text, None, Some(LOGIN_HINT));
                io.close(text, Some(Fault::Client));
                return Phase::Closed;
            }
            (How::Usual, Some(_)) => {
                wishes.how = How::Token;
                return ask_proof(wishes, Method::Cleartext, io);
            }
            (How::Usual, None) => wishes.how = How::Scram,
            (How::Scram | How::Token | How::Link, _) => {}
        }
        let mut nonce = [0; NONCE_BYTES];
        (io.random)(&mut nonce);
        let offer = ScramOffer {
            salt: verifiers.salt.to_vec(),
            iterations: verifiers.iterations,
            nonce,
            server_end_point: self.server_end_point.clone(),
        };
        ask_proof(wishes, Method::Scram(offer), io)
    }

    fn auth(&mut self, wishes: Wishes, mut auth: Box<ClientAuth>, buffer: &mut BytesMut, io: &mut Io) -> Phase {
        let message = match frame::take(buffer, Peer::Client, PG_PREAUTH_MESSAGE_BYTES_MAX) {
            Ok(Some(message)) => message,
            // What is no answer is not waited for.
            Ok(None)
                if buffer.first().is_some_and(|tag| FrontendTag::from_byte(*tag) != FrontendTag::PasswordMessage) =>
            {
                let text = "the client sent another message where its password was expected";
                fatal(io, SqlState::PROTOCOL_VIOLATION, text, None, None);
                io.close(text.to_owned(), Some(Fault::Client));
                return Phase::Closed;
            }
            Ok(None) => return Phase::Auth(wishes, auth),
            Err(error) => {
                fatal(io, error.sqlstate(), &error.to_string(), None, None);
                io.close(error.to_string(), Some(error.fault()));
                return Phase::Closed;
            }
        };
        match auth.on_message(message.tag(), message.body()) {
            AuthStep::Send(bytes) => {
                own_bytes(io, bytes);
                Phase::Auth(wishes, auth)
            }
            AuthStep::NeedVerdictCleartext(token) if token.expose() == LINK_PASSWORD && wishes.how == How::Token => {
                link(wishes, io)
            }
            AuthStep::NeedVerdictCleartext(token) => {
                io.asks.push(Ask::Prove { user: wishes.startup.user.clone(), token });
                Phase::Proving(wishes)
            }
            AuthStep::NeedVerifiers => {
                io.asks.push(Ask::Verifiers { user: wishes.startup.user.clone() });
                Phase::Verifying(wishes, auth)
            }
            AuthStep::ScramProven { .. } => auth_failed(&wishes, "a proof out of order", io),
            // A question, which was answered, and not a login that failed: the client comes again with a token.
            AuthStep::Fail(error @ AuthError::NoToken) => {
                let text = error.client_message();
                fatal(io, error.sqlstate(), &text, None, None);
                io.close(text, None);
                Phase::Closed
            }
            AuthStep::Fail(error) => auth_failed(&wishes, &error.to_string(), io),
        }
    }

    fn verify(&mut self, wishes: Wishes, mut auth: ClientAuth, tokens: &[Verifier], io: &mut Io) -> Phase {
        let verifiers: Vec<ScramVerifier> =
            tokens.iter().map(|t| ScramVerifier { stored_key: t.stored_key, server_key: t.server_key }).collect();
        match auth.on_verifiers(&verifiers) {
            AuthStep::ScramProven { index, answer } => match tokens.get(index) {
                Some(token) => self.proven(wishes, Arc::clone(&token.identity), Some(answer), io),
                None => auth_failed(&wishes, "a proof of no token", io),
            },
            AuthStep::Fail(error) => auth_failed(&wishes, &error.to_string(), io),
            AuthStep::Send(_) | AuthStep::NeedVerdictCleartext(_) | AuthStep::NeedVerifiers => {
                auth_failed(&wishes, "a step out of order", io)
            }
        }
    }

    fn proven(&mut self, wishes: Wishes, identity: Arc<Identity>, answer: Option<Bytes>, io: &mut Io) -> Phase {
        let mut out = BytesMut::new();
        if let Some(answer) = answer {
            out.extend_from_slice(&answer);
        }
        // Who was logged in by link has heard this already: only after it a client takes notices.
        if wishes.how != How::Link {
            own::authentication_ok(&mut out);
        }
        own_bytes(io, out);
        let Some(database) = wishes.startup.database.clone() else { return no_database(io) };
        io.asks.push(Ask::Open { identity, database, application: wishes.startup.application_name.clone() });
        Phase::Opening(wishes)
    }

    fn login_step(
        &mut self,
        opened: Opened,
        mut machine: Box<TargetLogin>,
        database: Box<str>,
        buffer: &mut BytesMut,
        io: &mut Io,
    ) -> Phase {
        io.wake_in_ms = Some(DIAL_MS_MAX);
        loop {
            match machine.step(buffer) {
                LoginStep::NeedMore => return Phase::Login(opened, machine, database),
                LoginStep::Send(bytes) => io.target.plumbing(Plumbing::Login, &bytes),
                LoginStep::Ready(logged_in) => {
                    io.wake_in_ms = None;
                    return self.ready(opened, logged_in, &database, buffer, io);
                }
                LoginStep::Failed(error) => {
                    let refusal = Refusal {
                        fault: error.fault(),
                        public: error.client_message().to_owned(),
                        hint: Some("ask the target's owner".into()),
                        internal: error.to_string(),
                    };
                    return no_target(opened, error.sqlstate(), &refusal, io);
                }
            }
        }
    }

    fn ready(
        &mut self,
        opened: Opened,
        logged_in: LoggedIn,
        database: &str,
        buffer: &mut BytesMut,
        io: &mut Io,
    ) -> Phase {
        let Opened { wishes, mut session, request, .. } = opened;
        if let Err(error) =
            session.done(request, &Ended { kind: DoneKind::Completed, tag: "CONNECT", error: None }, io.now)
        {
            let denial = Denial::unrecordable(&error);
            fatal_denial(io, &denial, &session);
            return leave_session(session, io, CloseReason::Unrecordable, &denial.message, Some(Fault::Us));
        }
        let touch = if session.target().has_labels() { Touch::Labelled } else { Touch::Clean };
        for notice in &logged_in.notices {
            // A notice that is none is not worth the session.
            let _ = io.client.diagnostic(Diagnostic::Notice, notice, touch);
        }
        for (name, value) in &logged_in.parameters {
            let mut body = BytesMut::with_capacity(name.len() + value.len() + 2);
            body.extend_from_slice(name);
            body.extend_from_slice(&[0]);
            body.extend_from_slice(value);
            body.extend_from_slice(&[0]);
            // What a setting is at login was set by the target's owner or by the client itself.
            let _ = io.client.parameter_status(&body, Touch::Clean);
        }
        let mut random = [0; KEY_BYTES];
        (io.random)(&mut random);
        let key = CancelKey::for_client(wishes.startup.minor, &random);
        let pid = match &logged_in.cancel {
            Some(cancel) => cancel.pid,
            None => 0,
        };
        let mut out = BytesMut::new();
        if own::backend_key_data(&mut out, pid, &key).is_ok() {
            io.asks.push(Ask::CancelKey { pid, key: key.expose().to_vec() });
        }
        own::ready_for_query(&mut out, logged_in.status);
        own_bytes(io, out);
        let lexing = Lexing {
            strings: logged_in.parameter("standard_conforming_strings").is_none_or(|v| v == b"on"),
            encoding: logged_in.parameter("client_encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"UTF8")),
            server: logged_in.parameter("server_encoding").is_some_and(keeps_utf8),
        };
        if wishes.startup.replication.is_some() {
            io.read_client = true;
            io.again = true;
            let mut replication = Box::new(Replication::new(session, logged_in.cancel, lexing, io));
            replication.on(Event::Target(buffer), io);
            return Phase::Replicating(replication);
        }
        let target = session.target().facts.name.as_str();
        // As with carried labels, what several targets have in common is where they lead.
        let place = Some(session.labels().place()).filter(|place| !place.is_empty()).unwrap_or(target);
        let shared = self.databases.get(target, place, database, io.now);
        let mut pump = Pump::new(Start {
            session,
            shared,
            cancel: logged_in.cancel,
            status: logged_in.status,
            lexing,
            base_url: Arc::clone(&self.base_url),
        });
        io.read_client = true;
        io.again = true;
        if !buffer.is_empty() {
            pump.target(buffer, io);
        }
        Phase::Pumping(Box::new(pump))
    }
}

fn ask_proof(wishes: Wishes, method: Method, io: &mut Io) -> Phase {
    let mut auth = Box::new(ClientAuth::new(method));
    match auth.start() {
        Ok(bytes) => {
            own_bytes(io, bytes);
            io.again = true;
            Phase::Auth(wishes, auth)
        }
        Err(error) => auth_failed(&wishes, &error.to_string(), io),
    }
}

/// May the session connect?
fn connect(wishes: Wishes, mut session: Box<Session>, io: &mut Io) -> Phase {
    if let Some(denial) = startup_denial(&wishes, &mut session, io) {
        fatal_denial(io, &denial, &session);
        return leave_session(
            session,
            io,
            CloseReason::Refused,
            denial.detail.as_deref().unwrap_or(&denial.message),
            Some(denial.fault),
        );
    }
    let rules = session.rules();
    let judgement = session.judge(&rules, io.now).connect();
    match session.submit(&Request::new(RequestKind::Connect, CONNECT_TEXT), &judgement, io.now) {
        Verdict::Allow(permit) => dial(wishes, session, permit, io),
        Verdict::Deny(denial) => {
            fatal_denial(io, &denial, &session);
            leave_session(
                session,
                io,
                CloseReason::Refused,
                denial.detail.as_deref().unwrap_or(&denial.message),
                Some(denial.fault),
            )
        }
        Verdict::Hold(parked, ticket) => {
            let groups: Vec<&str> = ticket.needs.iter().flat_map(|n| n.groups.iter().map(String::as_str)).collect();
            let notice = format!(
                "waiting for approval by {}: approval {}, session {}",
                groups.join(" or "),
                parked.approval(),
                session.id()
            );
            io.asks.push(Ask::Hold(ticket));
            Phase::Held(wishes, session, Box::new(parked), notice)
        }
    }
}

/// Startup parameters that only somebody who may administer the target may set.
fn startup_denial(wishes: &Wishes, session: &mut Session, io: &Io) -> Option<Denial> {
    let startup = &wishes.startup;
    let labelled = session.target().has_labels();
    if labelled && !startup.client_encoding_is_utf8() {
        return Some(Denial::other(
            Fault::Client,
            SqlState::NOT_SUPPORTED,
            "client_encoding must be UTF8 on a target with labelled data",
            None,
            None,
        ));
    }
    if startup.replication.is_some()
        && let lockgate_session::Ruling::Deny(denial) = replication::judge(session, io).ruling
    {
        return Some(denial);
    }
    let what = format!("the startup parameter \"{}\"", startup.refused.first()?.0);
    let rules = session.rules();
    let judgement = session.judge(&rules, io.now).target_action(Action::Administer);
    match judgement.ruling {
        lockgate_session::Ruling::Allow => None,
        lockgate_session::Ruling::Deny(denial) => {
            Some(Denial { detail: denial.detail.map(|detail| format!("{what} needs administer: {detail}")), ..denial })
        }
        lockgate_session::Ruling::Hold(_) => Some(Denial::other(
            Fault::Policy,
            SqlState::INSUFFICIENT_PRIVILEGE,
            "refused by policy",
            Some(format!("{what} needs administer, which needs an approval that cannot be waited for at login")),
            None,
        )),
    }
}

fn decide_connect(wishes: Wishes, mut session: Box<Session>, parked: Parked, decided: &Decided, io: &mut Io) -> Phase {
    let rules = session.rules();
    let judgement = session.judge(&rules, io.now).connect();
    let request = Request::new(RequestKind::Connect, CONNECT_TEXT);
    match session.release(parked, decided, &request, &judgement, io.now) {
        Verdict::Allow(permit) => dial(wishes, session, permit, io),
        Verdict::Deny(denial) => {
            fatal_denial(io, &denial, &session);
            leave_session(session, io, CloseReason::Refused, &denial.message, Some(denial.fault))
        }
        Verdict::Hold(..) => leave_session(session, io, CloseReason::Refused, "held twice", Some(Fault::Us)),
    }
}

fn dial(wishes: Wishes, session: Box<Session>, permit: Permit, io: &mut Io) -> Phase {
    io.asks.push(Ask::Dial);
    let request = permit.request();
    Phase::Dialing(Opened { wishes, session, permit: Some(permit), request })
}

/// The answer to our SSLRequest: one byte, and nothing behind it (CVE-2021-23222 the other way round).
fn target_ssl(opened: Opened, dialed: Dialed, buffer: &mut BytesMut, io: &mut Io) -> Phase {
    let answer = buffer.split();
    if answer.as_ref() == b"S" {
        io.asks.push(Ask::TargetTls);
        return Phase::TargetTls(opened, dialed);
    }
    let refusal = Refusal {
        fault: Fault::Target,
        public: "the target does not offer TLS".into(),
        hint: Some("the gateway's administrator may set `tls: disable` for it".into()),
        internal: "the target did not answer SSLRequest with `S` alone".into(),
    };
    no_target(opened, SqlState::CANNOT_CONNECT, &refusal, io)
}

fn login(mut opened: Opened, dialed: Dialed, server_end_point: Option<Vec<u8>>, io: &mut Io) -> Phase {
    let startup = &opened.wishes.startup;
    let mut parameters = startup.parameters.clone();
    parameters.extend(startup.refused.iter().cloned());
    parameters.extend(startup.replication.iter().map(|value| ("replication".to_owned(), value.clone())));
    let has =
        |parameters: &[(String, String)], name: &str| parameters.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !has(&parameters, "application_name") {
        // The target's own logs name the identity where the client names nothing.
        let name = format!("lockgate {} {}", opened.session.identity().display_chain(), opened.session.id());
        parameters.push(("application_name".into(), name));
    }
    if opened.session.target().has_labels() {
        // The analysis reads texts as the target does only under these.
        parameters.retain(|(n, _)| !n.eq_ignore_ascii_case("standard_conforming_strings"));
        parameters.push(("standard_conforming_strings".into(), "on".into()));
        if !has(&parameters, "client_encoding") {
            parameters.push(("client_encoding".into(), "UTF8".into()));
        }
    }
    let mut nonce = [0; NONCE_BYTES];
    (io.random)(&mut nonce);
    let database: Box<str> = dialed.database.as_str().into();
    let mut machine = Box::new(TargetLogin::new(LoginConfig {
        user: dialed.username,
        password: Some(dialed.password).filter(|p: &Secret| !p.expose().is_empty()),
        database: dialed.database,
        parameters,
        minor: opened.wishes.startup.minor,
        protected: dialed.tls == TargetTls::Require || dialed.loopback,
        server_end_point,
        nonce,
    }));
    match (machine.start(), opened.permit.take()) {
        (Ok(bytes), Some(permit)) => {
            io.target.request(permit, &bytes);
            Phase::Login(opened, machine, database)
        }
        (Ok(_), None) => {
            leave_session(opened.session, io, CloseReason::Refused, "no permit to connect", Some(Fault::Us))
        }
        (Err(error), _) => {
            let refusal = Refusal {
                fault: error.fault(),
                public: error.client_message().to_owned(),
                hint: None,
                internal: error.to_string(),
            };
            no_target(opened, error.sqlstate(), &refusal, io)
        }
    }
}

// ---- words and ends ----

fn own_bytes(io: &mut Io, bytes: impl Into<Bytes>) {
    io.client.own(&OwnMessage::not_target_data(bytes));
}

fn fatal(io: &mut Io, sqlstate: SqlState, message: &str, detail: Option<&str>, hint: Option<&str>) {
    let mut out = BytesMut::new();
    own::error(&mut out, &OwnReport { severity: Severity::Fatal, sqlstate, message, detail, hint });
    own_bytes(io, out);
}

fn fatal_denial(io: &mut Io, denial: &Denial, session: &Session) {
    let hint = denial.hint_with(session.id());
    fatal(io, denial.sqlstate, &denial.message, denial.detail.as_deref(), Some(&hint));
}

fn notice_waiting(io: &mut Io, text: &str) {
    tell(io, text, HOLD_NOTICE_MS);
}

/// Says something, to be said again after a while.
fn tell(io: &mut Io, text: &str, again_ms: u64) {
    let mut out = BytesMut::new();
    own::notice(&mut out, &OwnReport::new(Severity::Notice, SqlState("00000"), text));
    own_bytes(io, out);
    io.wake_in_ms = Some(again_ms);
}

/// Asks for a link. The client is told that it need not prove anything: before that, clients take no notices. For the gateway
/// nothing is proven by it, and nothing that the client sends is read until a person has.
fn link(mut wishes: Wishes, io: &mut Io) -> Phase {
    let Some(database) = wishes.startup.database.clone() else { return no_database(io) };
    wishes.how = How::Link;
    let mut out = BytesMut::new();
    own::authentication_ok(&mut out);
    own_bytes(io, out);
    io.asks.push(Ask::Link { user: wishes.startup.user.clone(), database });
    Phase::Linking(wishes, String::new())
}

fn no_database(io: &mut Io) -> Phase {
    fatal(io, SqlState("3D000"), "no target is named", None, Some("name one as the database: dbname=TARGET"));
    io.close("no target is named", Some(Fault::Client));
    Phase::Closed
}

fn refused(io: &mut Io, sqlstate: SqlState, refusal: &Refusal) -> Phase {
    fatal(io, sqlstate, &refusal.public, None, refusal.hint.as_deref());
    io.close(refusal.internal.clone(), Some(refusal.fault));
    Phase::Closed
}

fn auth_failed(wishes: &Wishes, why: &str, io: &mut Io) -> Phase {
    io.asks.push(Ask::LoginFailed {
        user: wishes.startup.user.clone(),
        target: wishes.startup.database.clone().unwrap_or_default(),
        reason: why.to_owned(),
    });
    let code = if wishes.how == How::Scram { SqlState::INVALID_PASSWORD } else { SqlState::INVALID_AUTHORIZATION };
    let hint = if wishes.startup.in_tls { LOGIN_HINT } else { CLEAR_HINT };
    fatal(io, code, LOGIN_REFUSED, None, Some(hint));
    io.close(format!("login failed: {why}"), Some(Fault::Client));
    Phase::Closed
}

fn no_target(opened: Opened, sqlstate: SqlState, refusal: &Refusal, io: &mut Io) -> Phase {
    let Opened { mut session, request, .. } = opened;
    let hint = match &refusal.hint {
        Some(hint) => format!("{hint}   session {}", session.id()),
        None => format!("session {}", session.id()),
    };
    fatal(io, sqlstate, &refusal.public, None, Some(&hint));
    let ended = Ended { kind: DoneKind::Failed, tag: "", error: Some((sqlstate.0, &refusal.public, refusal.fault)) };
    let _ = session.done(request, &ended, io.now);
    leave_session(session, io, CloseReason::Refused, &refusal.internal, Some(refusal.fault))
}

fn leave_session(
    mut session: Box<Session>,
    io: &mut Io,
    reason: CloseReason,
    detail: &str,
    fault: Option<Fault>,
) -> Phase {
    // A recording that cannot be finished now is finished when the gateway starts again.
    let _ = session.close(reason, detail, io.now);
    io.close(detail, fault);
    Phase::Closed
}

/// Leaves whatever was reached before the session ran.
fn leave(phase: Phase, io: &mut Io, reason: CloseReason, detail: &str) -> Phase {
    match phase {
        Phase::Held(_, session, ..) => {
            io.asks.push(Ask::Withdraw);
            leave_session(session, io, reason, detail, None)
        }
        Phase::Dialing(opened)
        | Phase::TargetSsl(opened, _)
        | Phase::TargetTls(opened, _)
        | Phase::Login(opened, ..) => leave_session(opened.session, io, reason, detail, None),
        Phase::Startup(_)
        | Phase::ClientTls(_)
        | Phase::Salting(_)
        | Phase::Auth(..)
        | Phase::Verifying(..)
        | Phase::Proving(_)
        | Phase::Linking(..)
        | Phase::Opening(_)
        | Phase::Pumping(_)
        | Phase::Replicating(_)
        | Phase::Closed => {
            io.close(detail, None);
            Phase::Closed
        }
    }
}

fn take_parameter(parameters: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = parameters.iter().position(|(n, _)| n.eq_ignore_ascii_case(name))?;
    Some(parameters.remove(at).1)
}
