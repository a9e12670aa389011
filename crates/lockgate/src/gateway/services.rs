//! What the relay asks of the gateway: proofs, sessions, decisions, the clock.
//!
//! A stranger learns one thing only: that the login is refused. Why is in the log and in the gateway's own recording.

use super::providers::Lease;
use super::{Gateway, Open, labels, new_id};
use crate::when;
use lockgate_core::{Database, Fault, Identity, Secret, SessionId, TargetName, Timestamp, limits, metrics as names};
use lockgate_identity::jwt::Jwt;
use lockgate_record::LoginFailed;
use lockgate_relay::live::Live;
use lockgate_relay::{Held, Holding, Linked, RelayLimits, Route, Services};
use lockgate_session::wire::{Decided, HoldOutcome, Refusal, Verifier, Verifiers};
use lockgate_session::{BroughtLabel, Judge, LabelBook, Ruling, Session, SessionParts, Ticket};
use lockgate_sql::CarriedLabel;
use lockgate_store::approvals::{Decision, Need, NewApproval};
use lockgate_store::{SessionOpened, TokenError};
use rustls::ServerConfig;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What a refused login is told, whatever the reason.
const LOGIN_REFUSED: &str = "login refused: the token is wrong, expired, revoked or not yours";
/// And what to do about it, for who showed a token of an identity provider.
const GET_A_PROVIDERS_TOKEN: &str = "get a new one from your identity provider, for this gateway and under this user name; or log this connection in with a browser: options='-c lockgate.auth=link'; the gateway's log says what was wrong";
/// And what to do about it.
const GET_A_TOKEN: &str = "get a new one: lockgate login, or lockgate token create --user YOU --group GROUP; or log this connection in with a browser: options='-c lockgate.auth=link'";

impl Services for Gateway {
    fn now(&self) -> Timestamp {
        when::now()
    }

    fn limits(&self) -> RelayLimits {
        let limits = &self.config().limits;
        RelayLimits {
            sessions_max: limits.sessions_max,
            login_ms_max: limits.login_ms_max,
            dial_ms_max: limits.dial_ms_max,
            write_stall_ms_max: limits.write_stall_ms_max,
        }
    }

    fn server_tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls.config)
    }

    fn server_end_point(&self) -> Option<Vec<u8>> {
        self.tls.server_end_point.clone()
    }

    fn live(&self) -> &Arc<Live> {
        &self.live
    }

    async fn verifiers(&self, user: &str) -> Verifiers {
        let now = when::now();
        let tokens = self.store.scram_verifiers(user, now).await.unwrap_or_else(|error| {
            tracing::error!(%error, "tokens cannot be read, so nobody can log in");
            Vec::new()
        });
        let tokens = tokens
            .into_iter()
            .filter(|token| token.state == lockgate_store::TokenState::Live)
            .map(|token| Verifier {
                stored_key: token.stored_key,
                server_key: token.server_key,
                identity: Arc::new(token.identity),
            })
            .collect();
        Verifiers {
            salt: self.store.scram_salt(user),
            iterations: limits::SCRAM_ITERATIONS,
            tokens,
            issuer: self.providers.load().token_issuer(),
        }
    }

    async fn prove(&self, peer: SocketAddr, user: &str, token: &Secret) -> Result<Arc<Identity>, Refusal> {
        let now = when::now();
        if Jwt::resembles(token.expose()) {
            let reason = match self.prove_by_provider(token.expose(), now).await {
                Ok(proven) if proven.user == user => {
                    self.throttle.succeeded(peer.ip(), user);
                    let (provider, subject) = (&proven.provider, lockgate_identity::jwt::shown(&proven.subject));
                    tracing::info!(%peer, user = ?user, %provider, %subject, proof = %proven.id, "proven by an identity provider");
                    return Ok(Arc::new(proven.identity()));
                }
                Ok(proven) => format!("token `{}` belongs to `{}`", proven.id, proven.user),
                Err(why) => why,
            };
            let refusal = self.refused_login(peer, user, "", &reason);
            self.slow_down(peer, user).await;
            return Err(Refusal { hint: Some(GET_A_PROVIDERS_TOKEN.to_owned()), ..refusal });
        }
        let verified = self.store.verify_token(token.expose(), now).await;
        let reason = match verified {
            Ok(verified) if verified.identity.user == user => {
                self.throttle.succeeded(peer.ip(), user);
                self.store.touch_token(&verified.info.id, now);
                return Ok(Arc::new(verified.identity));
            }
            Ok(verified) => format!("token `{}` belongs to `{}`", verified.info.id, verified.identity.user),
            Err(TokenError::Store(error)) => {
                tracing::error!(%error, "a token cannot be checked, so the login is refused");
                "the store cannot be read".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let refusal = self.refused_login(peer, user, "", &reason);
        self.slow_down(peer, user).await;
        Err(refusal)
    }

    async fn link(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        user: &str,
        database: &str,
    ) -> Result<Linked, Refusal> {
        self.open_link(protocol, peer, user, database).await
    }

    async fn login_failed(&self, protocol: &'static str, peer: SocketAddr, user: &str, target: &str, reason: &str) {
        self.note_refusal(protocol, peer.ip(), &peer, (user, target), reason);
        self.slow_down(peer, user).await;
    }

    async fn open(
        &self,
        protocol: &'static str,
        peer: SocketAddr,
        identity: Arc<Identity>,
        database: &str,
        application: Option<String>,
    ) -> Result<(Box<Session>, Route), Refusal> {
        let now = when::now();
        let lease = self.lease(peer, &identity, database, now).await?;
        let refused = |why: String| self.refused_login(peer, &identity.user, database, &why);
        let people = self.lease_people(&identity, now).await.map_err(refused)?;
        // Each session has its identity to itself, so that its going away can be seen.
        let identity = Arc::new(people.identity().clone());
        let no_access = |reason: &str| self.refused_target(peer, &identity, database, reason);
        let Ok(asked) = database.parse::<Database>() else { return Err(no_access("not the name of a target")) };
        if let Some(scope) = &lease.targets
            && !scope.contains(&asked.target)
        {
            return Err(self.refused_login(peer, &identity.user, database, "the token is for other targets"));
        }
        let rules = self.rules.load_full();
        let route = self.targets.load().route(&asked.target, asked.database.as_deref(), &identity);
        let (Some(target), Some(route)) = (rules.targets.get(&asked.target), route) else {
            return Err(no_access("no such target or database"));
        };
        let judgement = Judge::new(&rules, target, &identity, peer.ip(), now).connect();
        if let Ruling::Deny(denial) = &judgement.ruling
            && denial.policies.is_empty()
        {
            return Err(no_access("no policy permits connect"));
        }

        let id = new_id(now).map_err(|error| ours("the session cannot be opened", &error))?;
        let recorder = self.journal.session(id, now).map_err(|error| unrecordable(&error))?;
        let parts = SessionParts {
            id,
            identity: Arc::clone(&identity),
            peer,
            database: asked.database.clone().unwrap_or_default(),
            protocol,
            application,
            rules: Arc::clone(&self.rules),
            target: Arc::clone(target),
            labels: self.books.of(
                asked.target.as_str(),
                &format!("{}:{}", route.host.to_ascii_lowercase(), route.port),
                &route.database,
                now,
            ),
            recorder,
            hold_ms_max: self.config().approval_timeout_ms,
        };
        let session = Session::open(parts, now).map_err(|error| unrecordable(&error))?;
        self.open_sessions().insert(
            id,
            Open {
                identity: Arc::downgrade(&identity),
                lease: lease.lease,
                people,
                counts: Arc::clone(session.counts()),
                listed: 0,
            },
        );
        self.index.opened(SessionOpened {
            id,
            identity: (*identity).clone(),
            protocol: protocol.into(),
            target: asked.target,
            database: asked.database,
            client: peer.to_string(),
            opened: now,
        });
        metrics::counter!(names::SESSIONS_TOTAL, "protocol" => protocol).increment(1);
        Ok((Box::new(session), route))
    }

    async fn keep_labels(&self, session: SessionId, book: &LabelBook, labels: &[CarriedLabel]) -> Result<(), String> {
        if !book.has_room(labels.len()) {
            return Err("too many columns have labels that data brought to them".to_owned());
        }
        let brought: Vec<BroughtLabel> =
            labels.iter().map(|label| BroughtLabel { label: label.clone(), by: Some(session) }).collect();
        self.store.keep_labels(&labels::stored(book, &brought), when::now()).await.map_err(|error| {
            tracing::error!(%error, "the labels of a copy cannot be kept, so it is undone");
            error.to_string()
        })?;
        book.add(session, labels);
        Ok(())
    }

    async fn drop_labels(&self, book: &LabelBook, labels: &[BroughtLabel]) {
        if let Err(error) = self.store.drop_labels(&labels::stored(book, labels)).await {
            tracing::warn!(%error, "labels that are no longer needed stay in the store");
        }
    }

    fn hold(&self, ticket: Ticket) -> Holding {
        let approvals = self.approvals.clone();
        Box::pin(async move {
            let new = new_approval(&ticket).map_err(failed)?;
            let opened = approvals.open_as(&ticket.approval, new, when::now()).await;
            let mut waiting = opened.map_err(|error| failed(error.to_string()))?;
            let held: Held = Box::pin(async move {
                match waiting.wait().await {
                    Decision::Approved(approved) if *approved.digest() == ticket.digest => {
                        Decided { outcome: HoldOutcome::Approved, by: approved.by().to_vec(), reason: None }
                    }
                    Decision::Approved(_) => failed("what was approved is not what was asked".to_owned()),
                    Decision::Denied { by, reason } => Decided { outcome: HoldOutcome::Denied, by: vec![by], reason },
                    Decision::Expired => Decided { outcome: HoldOutcome::Expired, by: Vec::new(), reason: None },
                    Decision::Withdrawn => Decided { outcome: HoldOutcome::Withdrawn, by: Vec::new(), reason: None },
                    Decision::Failed(error) => failed(error.to_string()),
                }
            });
            Ok(held)
        })
    }
}

/// A token that counts for a session, and the targets that it is for.
struct Leased {
    lease: Option<Lease>,
    targets: Option<std::collections::BTreeSet<TargetName>>,
}

impl Gateway {
    /// Watches the token of a session from before its first judgement on.
    async fn lease(
        &self,
        peer: SocketAddr,
        identity: &Identity,
        database: &str,
        now: Timestamp,
    ) -> Result<Leased, Refusal> {
        let Some(id) = identity.token_id.as_deref() else { return Ok(Leased { lease: None, targets: None }) };
        let refused = |reason: String| self.refused_login(peer, &identity.user, database, &reason);
        if let Some(lease) = self.lease_of_proof(id, now) {
            return Ok(Leased { lease: Some(lease.map_err(refused)?), targets: None });
        }
        let lease = self.store.lease_token(id, now).await.map_err(|error| refused(error.to_string()))?;
        let info = self.store.token(id).await.map_err(|error| refused(error.to_string()))?;
        let Some(info) = info else { return Err(refused(format!("token `{id}` is gone"))) };
        if info.identity() != *identity {
            return Err(refused(format!("token `{id}` stands for other groups since a moment ago")));
        }
        self.store.touch_token(id, now);
        Ok(Leased { lease: Some(Lease::Token(lease)), targets: info.targets })
    }

    /// The answer to a login that is refused waits here: guessing slows down, while a right token is never late. It counts
    /// before the wait, so that guesses side by side are late as well. A source that has as many late answers as it may gets this
    /// one at once: what it sends next waits for its turn.
    async fn slow_down(&self, peer: SocketAddr, user: &str) {
        let delay = self.throttle.failed(peer.ip(), user, when::now());
        if delay.is_zero() {
            return;
        }
        let Some(_place) = self.late.hold(peer.ip()) else { return };
        tokio::time::sleep(delay).await;
    }

    fn refused_login(&self, peer: SocketAddr, user: &str, target: &str, reason: &str) -> Refusal {
        self.note_refusal("postgres", peer.ip(), &peer, (user, target), reason);
        Refusal {
            fault: Fault::Client,
            public: LOGIN_REFUSED.to_owned(),
            hint: Some(GET_A_TOKEN.to_owned()),
            internal: reason.to_owned(),
        }
    }

    /// One answer for a target that does not exist and one that is not for this identity.
    fn refused_target(&self, peer: SocketAddr, identity: &Identity, database: &str, reason: &str) -> Refusal {
        self.note_refusal("postgres", peer.ip(), &peer, (&identity.user, database), reason);
        let shown: String = database.chars().take(limits::TARGET_NAME_BYTES_MAX * 2).collect();
        Refusal {
            fault: Fault::Policy,
            public: format!("target \"{shown}\" does not exist, or no policy lets you connect to it"),
            hint: Some("see what you may use: lockgate targets".to_owned()),
            internal: reason.to_owned(),
        }
    }

    /// Puts a refused login on record; of a flood the first ones ([`crate::refusals::Refusals`]).
    pub(super) fn note_refusal(
        &self,
        protocol: &'static str,
        source: IpAddr,
        peer: &dyn std::fmt::Display,
        (user, target): (&str, &str),
        reason: &str,
    ) {
        metrics::counter!(names::LOGINS_REFUSED_TOTAL, "protocol" => protocol).increment(1);
        let now = when::now();
        if !self.refusals.is_noted(source, now) {
            return;
        }
        let shown_user: String = user.chars().take(limits::NAME_BYTES_MAX).collect();
        // A stranger's words may be in it, and are to stay on one line of the log.
        let reason = &*lockgate_record::visible_line(reason);
        tracing::info!(%peer, user = ?shown_user, target_name = ?target, "login refused: {reason}");
        let event = LoginFailed {
            client: peer.to_string().into(),
            protocol: protocol.into(),
            user: shown_user.into(),
            target: target.into(),
            reason: reason.into(),
        };
        self.log.note(event, now);
    }

    /// Says how many refusals were left out of the record.
    pub(super) fn tell_left_out(&self, now: Timestamp) {
        for (source, count) in self.refusals.left_out(now) {
            let client = source.map_or_else(|| "several".to_owned(), |source| source.to_string());
            tracing::warn!(%client, "{count} more logins were refused within a minute");
            let reason = format!("{count} more were refused within a minute");
            let event = LoginFailed {
                client: client.into(),
                protocol: "several".into(),
                user: "".into(),
                target: "".into(),
                reason: reason.into(),
            };
            self.log.note(event, now);
        }
    }
}

fn new_approval(ticket: &Ticket) -> Result<NewApproval, String> {
    let target = ticket.target.parse::<TargetName>().map_err(|error| error.to_string())?;
    let policies = ticket.needs.iter().map(|need| need.policy.to_string()).collect();
    let needs = ticket
        .needs
        .iter()
        .map(|need| Need { groups: need.groups.iter().cloned().collect(), quorum: need.quorum })
        .collect();
    Ok(NewApproval {
        session: ticket.session,
        requester: (*ticket.identity).clone(),
        target,
        database: (!ticket.database.is_empty()).then(|| ticket.database.clone()),
        statement: ticket.text.clone(),
        parameters: (!ticket.parameters.is_empty()).then(|| ticket.parameters.join(", ")),
        digest: ticket.digest,
        policies,
        needs,
        expires: ticket.expires,
    })
}

fn failed(why: String) -> Decided {
    tracing::error!("a request cannot wait for approval: {why}");
    Decided { outcome: HoldOutcome::Failed, by: Vec::new(), reason: Some(why) }
}

fn ours(public: &str, error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!("{public}: {error}");
    Refusal {
        fault: Fault::Us,
        public: public.to_owned(),
        hint: Some("tell the gateway's administrator, or try again later".to_owned()),
        internal: error.to_string(),
    }
}

fn unrecordable(error: &dyn std::fmt::Display) -> Refusal {
    ours("the session cannot be recorded, so it is not opened", error)
}
