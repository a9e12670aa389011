//! The pump: one task per connection, which moves bytes and answers the questions of a [`Wire`].
//!
//! Everything that can happen is one [`Woke`]; the wire turns it into bytes and questions. A side is read only while the
//! other can take what comes of it, so a peer that stops reading stops its own session and costs no memory.

use crate::live::{Control, NewSession, Registered};
use crate::services::{Held, Holding, Linked, RelayLimits, Route, Services};
use crate::stream::{Prefixed, Stream};
use crate::tls;
use bytes::{Bytes, BytesMut};
use lockgate_core::limits::{BUFFER_KEPT_BYTES, READ_BUFFER_BYTES};
use lockgate_core::{Fault, Identity, Place, metrics as names};
use lockgate_mask::Masked;
use lockgate_session::wire::{Ask, Cut, Decided, Event, Io, Refusal, TlsFacts, Wire};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Bytes of a client that are read ahead while it has to wait, so that its going away is noticed.
const READ_AHEAD_BYTES: usize = READ_BUFFER_BYTES;
/// How long the last words to a client may take.
const FLUSH_MS: u64 = 5_000;

/// What woke the task.
enum Woke {
    Client,
    ClientAhead,
    ClientClosed,
    Target,
    TargetClosed,
    Control(Control),
    Waits(Held),
    Decided(Decided),
    Proven(Result<Arc<Identity>, Refusal>),
    Timer,
    Flushed,
}

/// A connection that was accepted, and what it may use.
pub struct Accepted {
    /// Its stream.
    pub tcp: TcpStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The machine for it.
    pub wire: Box<dyn Wire>,
    /// The protocol's name.
    pub protocol: &'static str,
    /// The place among connections that have proven nothing; given back once they have.
    pub preauth: Place,
}

struct Pump<S> {
    services: Arc<S>,
    limits: RelayLimits,
    wire: Box<dyn Wire>,
    io: Io,
    peer: SocketAddr,
    protocol: &'static str,
    client: Stream,
    target: Stream,
    route: Option<Arc<Route>>,
    from_client: BytesMut,
    /// Bytes were read that the wire was not told of.
    read_ahead: bool,
    from_target: BytesMut,
    to_client: VecDeque<Masked>,
    to_target: Bytes,
    /// TLS took the last of it and has not yet sent all.
    target_unflushed: bool,
    registered: Option<Registered>,
    holding: Option<Holding>,
    hold: Option<Held>,
    linked: Option<Linked>,
    preauth: Option<Place>,
    timer: Option<Pin<Box<Sleep>>>,
    wake_at: Option<Instant>,
    login_by: Option<Instant>,
    client_stalled: Option<Instant>,
    closing: Option<Instant>,
    client_gone: bool,
    /// The counters of requests that were allowed, denied and held.
    counters: [Option<metrics::Counter>; 3],
}

/// Runs one connection to its end.
pub async fn drive<S: Services>(services: Arc<S>, accepted: Accepted) {
    let Accepted { tcp, peer, wire, protocol, preauth } = accepted;
    let now = services.now();
    let limits = services.limits();
    let mut pump = Pump {
        services,
        limits,
        wire,
        io: Io::new(now, random),
        peer,
        protocol,
        client: Stream::Plain(tcp),
        target: Stream::Gone,
        route: None,
        from_client: BytesMut::new(),
        read_ahead: false,
        from_target: BytesMut::new(),
        to_client: VecDeque::new(),
        to_target: Bytes::new(),
        target_unflushed: false,
        registered: None,
        holding: None,
        hold: None,
        linked: None,
        preauth: Some(preauth),
        timer: None,
        wake_at: None,
        login_by: Some(Instant::now() + Duration::from_millis(limits.login_ms_max)),
        client_stalled: None,
        closing: None,
        client_gone: false,
        counters: [None, None, None],
    };
    pump.run().await;
}

fn random(into: &mut [u8]) {
    // The only failure is an operating system without a random source; nothing after that would be safe.
    if aws_lc_rs::rand::fill(into).is_err() {
        std::process::abort();
    }
}

impl<S: Services> Pump<S> {
    async fn run(&mut self) {
        // A client that never says anything has its time limit too.
        self.arm();
        loop {
            let woke = poll_fn(|cx| self.poll(cx)).await;
            match woke {
                Woke::Flushed => break,
                Woke::ClientAhead => {}
                Woke::ClientClosed => {
                    self.client_gone = true;
                    self.tell(Event::ClientClosed).await;
                    break;
                }
                Woke::Client => {
                    let mut buffer = std::mem::take(&mut self.from_client);
                    self.tell(Event::Client(&mut buffer)).await;
                    self.from_client = buffer;
                }
                Woke::Target => {
                    let mut buffer = std::mem::take(&mut self.from_target);
                    self.tell(Event::Target(&mut buffer)).await;
                    self.from_target = buffer;
                }
                Woke::TargetClosed => {
                    self.target = Stream::Gone;
                    self.tell(Event::TargetClosed).await;
                }
                Woke::Control(Control::Cancel) => self.tell(Event::Cancel).await,
                Woke::Control(Control::Cut(cut)) => self.tell(Event::Cut(cut)).await,
                Woke::Waits(held) => {
                    self.holding = None;
                    self.hold = Some(held);
                    self.tell(Event::Waits).await;
                }
                Woke::Decided(decided) => {
                    (self.holding, self.hold) = (None, None);
                    self.tell(Event::Decided(decided)).await;
                }
                Woke::Proven(proven) => {
                    self.linked = None;
                    self.login_by = Some(Instant::now() + Duration::from_millis(self.limits.login_ms_max));
                    self.tell(Event::Proven(proven)).await;
                }
                Woke::Timer => {
                    if !self.on_timer().await {
                        break;
                    }
                }
            }
            // Input that was left because the wire could not use it then.
            while self.io.again && self.closing.is_none() {
                self.io.again = false;
                let mut buffer = std::mem::take(&mut self.from_client);
                self.tell(Event::Client(&mut buffer)).await;
                self.from_client = buffer;
            }
            self.give_back_memory();
        }
        // The wire closes its recording here if nothing did before.
        self.io.now = self.services.now();
        self.wire.on(Event::ClientClosed, &mut self.io);
        self.collect();
        let asides: Vec<Ask> = self.io.asks.drain(..).collect();
        for ask in asides {
            if let Ask::TargetAside { prelude, bytes } = ask {
                self.aside(prelude, bytes);
            }
        }
        let _ = timeout(Duration::from_millis(FLUSH_MS), async {
            if !self.client_gone {
                poll_fn(|cx| self.client.poll_shutdown(cx)).await.ok();
            }
            // What was recorded as sent is sent, the goodbye last.
            if !self.to_target.is_empty() || self.target_unflushed {
                let Self { target, to_target, .. } = self;
                poll_fn(|cx| target.poll_drain(cx, to_target)).await.ok();
            }
            poll_fn(|cx| self.target.poll_shutdown(cx)).await.ok();
        })
        .await;
    }

    /// One look at everything that can happen, cheapest and most urgent first.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Woke> {
        let mut client_blocked = false;
        while let Some(next) = self.to_client.front_mut() {
            match self.client.poll_drain(cx, next) {
                Poll::Ready(Ok(())) => {
                    self.client_stalled = None;
                    self.to_client.pop_front();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Woke::ClientClosed),
                Poll::Pending => {
                    client_blocked = true;
                    if self.client_stalled.is_none() {
                        self.client_stalled = Some(Instant::now());
                        self.arm();
                    }
                    break;
                }
            }
        }
        let mut target_blocked = false;
        if !self.to_target.is_empty() || self.target_unflushed {
            match self.target.poll_drain(cx, &mut self.to_target) {
                Poll::Ready(Ok(())) => self.target_unflushed = false,
                // What it said before it went may still be waiting to be read.
                Poll::Ready(Err(_)) => {
                    self.to_target.clear();
                    self.target_unflushed = false;
                }
                Poll::Pending => {
                    target_blocked = true;
                    self.target_unflushed = true;
                }
            }
        }
        if self.closing.is_some() && !client_blocked {
            return Poll::Ready(Woke::Flushed);
        }
        if let Some(registered) = self.registered.as_mut()
            && let Poll::Ready(Some(control)) = registered.control.poll_recv(cx)
        {
            return Poll::Ready(Woke::Control(control));
        }
        if let Some(holding) = self.holding.as_mut()
            && let Poll::Ready(outcome) = holding.as_mut().poll(cx)
        {
            return Poll::Ready(outcome.map_or_else(Woke::Decided, Woke::Waits));
        }
        if let Some(hold) = self.hold.as_mut()
            && let Poll::Ready(decided) = hold.as_mut().poll(cx)
        {
            return Poll::Ready(Woke::Decided(decided));
        }
        if let Some(linked) = self.linked.as_mut()
            && let Poll::Ready(proven) = linked.proven.as_mut().poll(cx)
        {
            return Poll::Ready(Woke::Proven(proven));
        }
        if self.closing.is_none() {
            if !client_blocked && self.io.read_target && !matches!(self.target, Stream::Gone) {
                match self.target.poll_fill(cx, &mut self.from_target) {
                    Poll::Ready(Ok(n)) if n > 0 => return Poll::Ready(Woke::Target),
                    Poll::Ready(_) => return Poll::Ready(Woke::TargetClosed),
                    Poll::Pending => {}
                }
            }
            // Nothing is taken from who takes nothing: what it asks for is answered, and would pile up here.
            let wanted = self.io.read_client && !target_blocked && !client_blocked;
            if wanted && std::mem::take(&mut self.read_ahead) {
                return Poll::Ready(Woke::Client);
            }
            if wanted || self.from_client.len() < READ_AHEAD_BYTES {
                match self.client.poll_fill(cx, &mut self.from_client) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        // What is read while the target takes nothing waits too, or it would pile up behind the target.
                        self.read_ahead = !wanted;
                        return Poll::Ready(if wanted { Woke::Client } else { Woke::ClientAhead });
                    }
                    Poll::Ready(_) => return Poll::Ready(Woke::ClientClosed),
                    Poll::Pending => {}
                }
            }
        }
        if let Some(timer) = self.timer.as_mut()
            && timer.as_mut().poll(cx).is_ready()
        {
            self.timer = None;
            return Poll::Ready(Woke::Timer);
        }
        Poll::Pending
    }

    /// Gives the wire an event, then carries out what it asks for, until it asks for nothing.
    async fn tell(&mut self, event: Event<'_>) {
        self.io.now = self.services.now();
        self.io.wake_in_ms = None;
        self.wire.on(event, &mut self.io);
        while !self.io.asks.is_empty() {
            let asks = std::mem::take(&mut self.io.asks);
            for ask in asks {
                self.answer(ask).await;
                if self.closing.is_some() {
                    break;
                }
            }
        }
        self.publish();
        self.collect();
        self.wake_at = self.io.wake_in_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        if self.wake_at.is_some() || self.timer.is_none() {
            self.arm();
        }
    }

    /// Counts what was judged, and raises the alerts that policies asked for.
    fn publish(&mut self) {
        let verdicts = std::mem::take(&mut self.io.verdicts);
        let kinds = [("allow", verdicts.allowed), ("deny", verdicts.denied), ("hold", verdicts.held)];
        for ((verdict, count), known) in kinds.into_iter().zip(&mut self.counters) {
            if count > 0 {
                // Looking a counter up costs more than counting.
                known
                    .get_or_insert_with(
                        || metrics::counter!(names::REQUESTS_TOTAL, "protocol" => self.protocol, "verdict" => verdict),
                    )
                    .increment(count);
            }
        }
        for alert in self.io.alerts.drain(..) {
            metrics::counter!(names::ALERTS_TOTAL, "severity" => alert.severity).increment(1);
            tracing::warn!(
                target: "lockgate::alert",
                session = %alert.session,
                severity = alert.severity,
                policy = %alert.policy,
                user = ?alert.user,
                "alert: {}",
                alert.text
            );
        }
    }

    /// Moves what the wire said to the writers.
    fn collect(&mut self) {
        if !self.io.client.is_empty() {
            self.to_client.push_back(self.io.client.take());
        }
        if !self.io.target.is_empty() {
            let new = self.io.target.take();
            if self.to_target.is_empty() {
                self.to_target = new;
            } else {
                let mut both = BytesMut::with_capacity(self.to_target.len() + new.len());
                both.extend_from_slice(&self.to_target);
                both.extend_from_slice(&new);
                self.to_target = both.freeze();
            }
        }
    }

    /// Tells the wire the answer to a question; what it then asks for is carried out by the caller's loop.
    fn reply(&mut self, event: Event<'_>) {
        self.io.now = self.services.now();
        self.wire.on(event, &mut self.io);
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::ClientTls(begun) => self.client_tls(begun).await,
            Ask::TargetTls => self.target_tls().await,
            Ask::Verifiers { user } => {
                let verifiers = self.services.verifiers(&user).await;
                self.reply(Event::Verifiers(verifiers));
            }
            Ask::Prove { user, token } => {
                let proven = self.services.prove(self.peer, &user, &token).await;
                self.reply(Event::Proven(proven));
            }
            Ask::Link { user, database } => {
                let linked = self.services.link(self.protocol, self.peer, &user, &database).await;
                let told = match linked {
                    Ok(linked) => {
                        let link = linked.link.clone();
                        // It has a place among those who wait for a person now, and time for that.
                        let waits = Duration::from_millis(link.waits_ms.saturating_add(self.limits.login_ms_max));
                        self.login_by = Some(Instant::now() + waits);
                        self.preauth = None;
                        self.linked = Some(linked);
                        Ok(link)
                    }
                    Err(refusal) => Err(refusal),
                };
                self.reply(Event::Linked(told));
            }
            Ask::Open { identity, database, application } => {
                let opened = self.services.open(self.protocol, self.peer, identity, &database, application).await;
                match opened {
                    Ok((session, route)) => {
                        let new = NewSession {
                            id: session.id(),
                            identity: Arc::clone(session.identity()),
                            target: route.target.to_string(),
                            database: route.asked_database.clone(),
                            peer: self.peer,
                            opened: self.io.now,
                            protocol: self.protocol,
                        };
                        self.registered = self.services.live().register(new, self.limits.sessions_max);
                        self.route = Some(Arc::new(route));
                        self.login_by = None;
                        self.preauth = None;
                        if self.registered.is_some() {
                            self.reply(Event::Opened(Ok(session)));
                        } else {
                            self.reply(Event::Opened(Err(Refusal {
                                fault: Fault::Us,
                                public: "too many sessions are open".into(),
                                hint: Some("try again later".into()),
                                internal: format!("{} sessions are open", self.limits.sessions_max),
                            })));
                        }
                    }
                    Err(refusal) => self.reply(Event::Opened(Err(refusal))),
                }
            }
            Ask::LoginFailed { user, target, reason } => {
                self.services.login_failed(self.protocol, self.peer, &user, &target, &reason).await;
            }
            Ask::Dial => self.dial().await,
            Ask::Hold(ticket) => self.holding = Some(self.services.hold(*ticket)),
            Ask::KeepLabels { session, book, labels } => {
                let kept = self.services.keep_labels(session, &book, &labels).await;
                self.reply(Event::LabelsKept(kept));
            }
            Ask::DropLabels { book, labels } => self.services.drop_labels(&book, &labels).await,
            Ask::Withdraw => (self.holding, self.hold) = (None, None),
            Ask::CancelKey { pid, key } => {
                if let Some(registered) = &self.registered {
                    registered.add_cancel_key(pid, key);
                }
            }
            Ask::CancelOther { pid, key } => self.services.live().cancel(pid, &key),
            Ask::TargetAside { prelude, bytes } => self.aside(prelude, bytes),
            Ask::Close { reason, fault } => {
                self.linked = None;
                if let Some(fault) = fault {
                    metrics::counter!(names::FAULTS_TOTAL, "fault" => fault.name()).increment(1);
                }
                match (fault, &self.route) {
                    // What the client is told in general is said whole to who keeps the gateway.
                    (Some(Fault::Target), Some(route)) => {
                        tracing::warn!(peer = %self.peer, target_name = %route.target, "closed: {reason}");
                    }
                    _ => tracing::debug!(peer = %self.peer, fault = fault.map(Fault::name), "closed: {reason}"),
                }
                self.collect();
                self.closing = Some(Instant::now() + Duration::from_millis(FLUSH_MS));
                self.arm();
            }
        }
    }

    async fn client_tls(&mut self, begun: BytesMut) {
        self.collect();
        let by = self.login_by.unwrap_or_else(|| Instant::now() + Duration::from_millis(self.limits.login_ms_max));
        let handshake = async {
            while let Some(mut next) = self.to_client.pop_front() {
                poll_fn(|cx| self.client.poll_drain(cx, &mut next)).await?;
            }
            let Stream::Plain(tcp) = std::mem::replace(&mut self.client, Stream::Gone) else {
                return Err(std::io::ErrorKind::AlreadyExists.into());
            };
            let prefixed = Prefixed::new(begun, tcp);
            tokio_rustls::TlsAcceptor::from(self.services.server_tls()).accept(prefixed).await
        };
        match tokio::time::timeout_at(by, handshake).await {
            Ok(Ok(stream)) => {
                let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                self.client = Stream::Server(Box::new(stream));
                let facts = TlsFacts { alpn, server_end_point: self.services.server_end_point() };
                self.reply(Event::ClientTls(facts));
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.peer, "TLS handshake with the client failed: {error}");
                self.client_gone = true;
                self.closing = Some(Instant::now());
            }
            Err(_) => {
                self.client_gone = true;
                self.closing = Some(Instant::now());
            }
        }
    }

    async fn dial(&mut self) {
        let Some(route) = self.route.clone() else { return };
        let by = Instant::now() + Duration::from_millis(self.limits.dial_ms_max);
        let dialed = match tokio::time::timeout_at(by, connect(&route)).await {
            Ok(Ok(tcp)) => {
                self.target = Stream::Plain(tcp);
                Ok(route.dialed())
            }
            Ok(Err(error)) => Err(unreachable_target(&route, &error.to_string())),
            Err(_) => Err(unreachable_target(&route, &format!("no answer in {} ms", self.limits.dial_ms_max))),
        };
        self.reply(Event::Dialed(dialed));
    }

    async fn target_tls(&mut self) {
        let Some(route) = self.route.clone() else { return };
        let Stream::Plain(tcp) = std::mem::replace(&mut self.target, Stream::Gone) else { return };
        let by = Instant::now() + Duration::from_millis(self.limits.dial_ms_max);
        match tokio::time::timeout_at(by, handshake(&route, tcp)).await {
            Ok(Ok(stream)) => {
                let facts = tls::facts_as_client(stream.get_ref().1);
                self.target = Stream::Client(Box::new(stream));
                self.reply(Event::TargetTls(facts));
            }
            Ok(Err(error)) => {
                self.reply(Event::Dialed(Err(unreachable_target(&route, &format!("TLS: {error}")))));
            }
            Err(_) => {
                self.reply(Event::Dialed(Err(unreachable_target(&route, "TLS: no answer"))));
            }
        }
    }

    /// Says something to the target on a connection of its own.
    fn aside(&self, prelude: Vec<u8>, bytes: Vec<u8>) {
        let Some(route) = self.route.clone() else { return };
        let at_most = Duration::from_millis(self.limits.dial_ms_max);
        tokio::spawn(async move {
            let said = timeout(at_most, async {
                let mut tcp = connect(&route).await?;
                if route.tls.is_some() {
                    tcp.write_all(&prelude).await?;
                    if tcp.read_u8().await? == b'S' {
                        let mut stream = handshake(&route, tcp).await.map_err(std::io::Error::other)?;
                        stream.write_all(&bytes).await?;
                        stream.flush().await?;
                        let _ = stream.read_u8().await;
                    }
                } else {
                    tcp.write_all(&bytes).await?;
                    let _ = tcp.read_u8().await;
                }
                Ok::<(), std::io::Error>(())
            })
            .await;
            if let Ok(Err(error)) = said {
                tracing::warn!(target_name = %route.target, "cannot cancel at the target: {error}");
            }
        });
    }

    /// Whether the session goes on.
    async fn on_timer(&mut self) -> bool {
        let now = Instant::now();
        if self.closing.is_some_and(|by| now >= by) {
            return false;
        }
        if self.login_by.is_some_and(|by| now >= by) {
            tracing::debug!(peer = %self.peer, "no identity was proven in time");
            return false;
        }
        if self.client_stalled.is_some_and(|since| now >= since + Duration::from_millis(self.limits.write_stall_ms_max))
        {
            self.tell(Event::Cut(Cut { reason: "the client took no data for too long".into(), after_request: false }))
                .await;
            return false;
        }
        if self.wake_at.is_some_and(|at| now >= at) {
            self.wake_at = None;
            self.tell(Event::Tick).await;
        }
        self.arm();
        true
    }

    /// Sets the one timer to the nearest of the deadlines.
    fn arm(&mut self) {
        let stalled = self.client_stalled.map(|s| s + Duration::from_millis(self.limits.write_stall_ms_max));
        let next = [self.wake_at, self.login_by, stalled, self.closing].into_iter().flatten().min();
        match (next, self.timer.as_mut()) {
            (None, _) => self.timer = None,
            (Some(at), Some(timer)) if timer.deadline() <= at && !timer.is_elapsed() => {}
            (Some(at), Some(timer)) => timer.as_mut().reset(at),
            (Some(at), None) => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }

    fn give_back_memory(&mut self) {
        for buffer in [&mut self.from_client, &mut self.from_target] {
            if buffer.is_empty() && buffer.capacity() > BUFFER_KEPT_BYTES {
                *buffer = BytesMut::new();
            }
        }
        self.io.client.shrink();
        self.io.target.shrink();
    }
}

async fn connect(route: &Route) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect((route.host.as_str(), route.port)).await?;
    crate::listener::tune(&tcp);
    Ok(tcp)
}

async fn handshake(route: &Route, tcp: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let config = route.tls.clone().ok_or("TLS is not configured")?;
    let name = tls::server_name(&route.host)?;
    tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.map_err(|e| e.to_string())
}

fn unreachable_target(route: &Route, why: &str) -> Refusal {
    Refusal {
        fault: Fault::Target,
        public: format!("target \"{}\" cannot be reached", route.target),
        hint: Some("ask the target's owner, or try again later".into()),
        internal: format!("{}:{}: {why}", route.host, route.port),
    }
}
