//! The running gateway: everything that lives from start to stop, and who talks to whom.
//!
//! ```text
//! listeners ──▶ Gateway ──▶ store (tokens, approvals, index)
//!    api    ──▶         ──▶ journal (recordings), the gateway's own log
//!                       ──▶ rules and targets, replaced as a whole by a reload
//! ```
//!
//! `services` answers the relay, `api` answers the HTTP API, `sweep` takes rights away, `reload` brings new rules.

mod api;
mod detokenize;
mod directories;
mod give_back;
mod index;
mod labels;
mod links;
mod log;
mod passwords;
mod providers;
mod questions;
mod recheck;
mod reload;
mod reprove;
mod rules;
mod saml;
mod services;
mod signin;
mod sweep;

pub use index::summarize;
pub use reload::watch;
pub use rules::{Version, build as build_version};

use crate::refusals::Refusals;
use crate::throttle::Throttle;
use crate::uses::Uses;
use crate::when;
use anyhow::Context;
use arc_swap::ArcSwap;
use directories::People;
use lockgate_config::{Config, Durability, Loaded};
use lockgate_core::limits::{LINKS_MAX, LINKS_PER_SOURCE_MAX};
use lockgate_core::{Identity, Late, Places, SessionId, Timestamp};
use lockgate_mask::MaskKeys;
use lockgate_record::{Digest, GatewayStarted, GatewayStopped, PolicyLoaded, RecorderOptions};
use lockgate_relay::live::Live;
use lockgate_relay::tls::{ServerTls, private_ca};
use lockgate_session::{Counts, RulesHandle};
use lockgate_store::approvals::Approvals;
use lockgate_store::journal::{Journal, JournalOptions, expect_keys, load_or_create_keys};
use lockgate_store::{Claim, SessionCounts, SessionLog, Store};
use log::GatewayLog;
use passwords::Comparing;
use providers::{Lease, Proofs, Providers};
use rules::Targets;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Sessions that wait for their end to be read into the index.
const GONE_QUEUE: usize = 40_000;

/// How long the index may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Everything that lives from start to stop.
pub struct Gateway {
    /// Itself, for what outlives the call that begins it.
    here: Weak<Gateway>,
    store: Store,
    approvals: Approvals,
    journal: Journal,
    log: GatewayLog,
    index: SessionLog,
    books: labels::Books,
    rules: RulesHandle,
    targets: ArcSwap<Targets>,
    providers: ArcSwap<Providers>,
    proofs: Proofs,
    mask_keys: Arc<MaskKeys>,
    live: Arc<Live>,
    tls: ServerTls,
    throttle: Throttle,
    /// Refusals that are told late, on every way in.
    late: Arc<Late>,
    refusals: Refusals,
    comparing: Comparing,
    answers: signin::Answers,
    uses: Uses,
    /// The places of connections that wait for a person with a browser.
    links: Arc<Places>,
    /// Sessions whose object exists, which may be a moment before and after they are in `live`.
    open: Mutex<HashMap<SessionId, Open>>,
    indexer: Mutex<Option<Indexer>>,
    config_path: PathBuf,
    versions: AtomicU64,
    ready: AtomicBool,
    /// The newest act of an administrator that is on record.
    acts_noted: AtomicI64,
    /// Whether sessions could be recorded when somebody last asked.
    recordable: tokio::sync::Mutex<Option<(Instant, Result<(), String>)>>,
    _claim: Claim,
}

/// A session that was opened.
struct Open {
    /// Gone when the session is: each session has an identity of its own in memory.
    identity: Weak<Identity>,
    lease: Option<Lease>,
    people: People,
    counts: Arc<Counts>,
    /// Requests that the index knows of.
    listed: u64,
}

/// The task that writes the ends of sessions into the index; it ends when `gone` is dropped and empty.
struct Indexer {
    gone: mpsc::Sender<SessionId>,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Opens the store, the journal and everything over them, and finishes what an earlier run left behind.
    ///
    /// # Errors
    /// In one line: what cannot be used, and what to do.
    pub async fn build(loaded: Loaded, config_path: PathBuf) -> anyhow::Result<Arc<Self>> {
        let now = when::now();
        let data_dir = loaded.config.data_dir.clone();
        // What can stop the start comes before what changes anything.
        expect_keys(&data_dir)?;
        let names = names(&loaded.config);
        let given = loaded.config.tls.as_ref().map(|tls| (tls.certificate.as_path(), tls.key.as_path()));
        let tls = || lockgate_relay::tls::server(given, &data_dir, &names);
        let known_tls = (given.is_some() || private_ca(&data_dir).is_ok()).then(tls).transpose()?;
        let store = Store::open(&data_dir).await?;
        let claim = store.claim(now).await?;
        let keys = Arc::new(load_or_create_keys(&data_dir)?);
        let options = JournalOptions {
            durability: match loaded.config.recording.durability {
                Durability::None => lockgate_store::journal::Durability::None,
                Durability::Fsync => lockgate_store::journal::Durability::Fsync,
            },
            recorder: RecorderOptions { result_bytes_max: loaded.config.recording.result_bytes_max },
        };
        let journal = Journal::open(&data_dir, Arc::clone(&keys), options, now)?;
        let aborted = recover(&journal, now)?;
        let log = GatewayLog::open(&journal, new_id(now)?, now)?;
        let tls = match known_tls {
            Some(tls) => tls,
            None => tls()?,
        };
        let mask_keys = Arc::new(MaskKeys::new(&store.keys().derive("mask values")));
        let digest = digest_of(&loaded);
        let policies = policies_digest(&loaded);
        let count = u64::try_from(loaded.policies.list().count()).unwrap_or(u64::MAX);
        let providers = Providers::build(&loaded.config, None)?;
        let Version { rules, targets } = rules::build(loaded, 1, Arc::clone(&mask_keys), None)?;
        log.note(GatewayStarted { version: env!("CARGO_PKG_VERSION").into(), config: digest }, now);
        log.note(PolicyLoaded { accepted: true, policies, count, detail: "".into() }, now);

        let books = labels::Books::load(&store, now).await?;
        let index = store.session_log();
        let (gone, queue) = mpsc::channel(GONE_QUEUE);
        // The list was written a moment later than the recordings, or not at all.
        let recorded = journal.archive().sessions()?;
        let newest = recorded.get(recorded.len().saturating_sub(GONE_QUEUE / 2)..).unwrap_or_default();
        let unlisted = store.unlisted(newest).await?;
        for id in aborted.into_iter().chain(claim.aborted().iter().copied()).chain(unlisted).collect::<BTreeSet<_>>() {
            // A queue that is full leaves the numbers of the last moments out of the list; the recordings have them.
            let _ = gone.try_send(id);
        }
        let task = tokio::spawn(index::run(queue, journal.archive(), keys, index.clone()));
        Ok(Arc::new_cyclic(|here| Gateway {
            here: Weak::clone(here),
            approvals: Approvals::new(store.clone()),
            store,
            journal,
            log,
            index,
            books,
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            targets: ArcSwap::from_pointee(targets),
            providers: ArcSwap::from_pointee(providers),
            proofs: Proofs::default(),
            mask_keys,
            live: Arc::new(Live::default()),
            tls,
            throttle: Throttle::default(),
            late: Arc::default(),
            refusals: Refusals::default(),
            comparing: Comparing::default(),
            answers: signin::Answers::default(),
            uses: Uses::default(),
            links: Arc::new(Places::new(LINKS_MAX, LINKS_PER_SOURCE_MAX).with_many_on_loopback()),
            open: Mutex::new(HashMap::new()),
            indexer: Mutex::new(Some(Indexer { gone, task })),
            config_path,
            versions: AtomicU64::new(1),
            ready: AtomicBool::new(false),
            acts_noted: AtomicI64::new(0),
            recordable: tokio::sync::Mutex::new(None),
            _claim: claim,
        }))
    }

    /// The configuration of now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.targets.load().config)
    }

    /// The open sessions.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Refusals that are told late.
    pub fn late(&self) -> &Late {
        &self.late
    }

    /// Says whether new connections are welcome.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Work that goes on beside the sessions: rights that end, tokens that change, the journal's clock.
    pub fn start_tasks(self: &Arc<Self>) {
        self.providers.load().start(None);
        let store = self.store.clone();
        tokio::spawn(async move { store.watch_tokens().await });
        tokio::spawn(sweep::run(Arc::clone(self)));
        tokio::spawn(recheck::run(Arc::clone(self)));
        tokio::spawn(give_back::run(Arc::clone(self)));
        tokio::spawn(reprove::run(Arc::clone(self)));
    }

    /// Writes the last words. Sessions must have ended, or are left to the next start.
    pub async fn finish(&self, reason: &str) {
        let now = when::now();
        self.note_acts(now).await;
        self.log.close(GatewayStopped { reason: reason.into() }, now);
        if let Err(error) = self.journal.shutdown(now) {
            tracing::error!(%error, "the log of recordings cannot be signed; the next start does it");
        }
        self.sweep_gone();
        let indexer = self.indexer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let last_words = async {
            if let Some(Indexer { gone, task }) = indexer {
                drop(gone);
                // It ends when everything is written, or it is not waited for.
                let _ = task.await;
            }
            self.index.flush().await;
            self.store.close().await;
        };
        if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
            tracing::warn!("the session index could not be written in time; the recordings are complete");
        }
    }

    fn open_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the ends of sessions whose object is gone into the index, or has their recordings asked for them.
    fn sweep_gone(&self) {
        let indexer = self.indexer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(indexer) = indexer.as_ref() else { return };
        self.open_sessions().retain(|id, session| {
            if session.identity.strong_count() > 0 {
                return true;
            }
            let counts = &session.counts;
            match counts.closed() {
                Some(closed) => {
                    let reason = index::reason(closed.reason, &closed.detail);
                    let (requests, denied, rows) = (counts.requests(), counts.denied(), counts.rows());
                    self.index.closed(*id, closed.at, &reason, SessionCounts { requests, denied, rows });
                    false
                }
                // A full queue keeps the entry for the next look.
                None => indexer.gone.try_send(*id).is_err(),
            }
        });
    }
}

/// Finishes what a dead gateway left behind and says so. Yields the recordings that had no end.
fn recover(journal: &Journal, now: Timestamp) -> anyhow::Result<Vec<SessionId>> {
    let report = journal.recover(now).context("the recordings cannot be recovered")?;
    for words in &report.log {
        tracing::error!("{words}");
    }
    for (session, damage) in &report.torn {
        tracing::warn!(%session, "a recording's last write was cut short and taken off: {damage}");
    }
    for (session, damage) in &report.damaged {
        tracing::error!(%session, "a recording is not as it was written: {damage}");
    }
    if !report.finished.is_empty() {
        tracing::warn!("{} sessions of an earlier run had no end and were ended as aborted", report.finished.len());
    }
    Ok(report.finished)
}

/// An id for a session that begins now.
fn new_id(now: Timestamp) -> anyhow::Result<SessionId> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the operating system gives no random bytes"))?;
    Ok(SessionId::new(now, u128::from_le_bytes(random)))
}

/// The names that the gateway's own certificate carries.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for address in [config.listen.postgres, config.listen.https].into_iter().flatten() {
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
    }
    names.extend(host_name());
    names.sort();
    names.dedup();
    names
}

/// Where people's browsers reach the gateway: as configured, else as far as the gateway itself can tell.
pub fn public_url(config: &Config) -> String {
    if let Some(url) = &config.url {
        return url.clone();
    }
    match config.listen.https {
        None => "https://localhost".to_owned(),
        Some(address) if address.ip().is_unspecified() => {
            let name = host_name().unwrap_or_else(|| "localhost".to_owned());
            format!("https://{name}:{}", address.port())
        }
        Some(address) => format!("https://{address}"),
    }
}

/// This machine's name, where it has one that a certificate can carry.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let usable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    usable.then(|| name.to_owned())
}

/// The digest of the configuration's text, before secrets are filled in.
fn digest_of(loaded: &Loaded) -> Digest {
    let text = loaded.sources.first().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    Digest::of_parts(&[&text])
}

/// The digest over the policies, as they were read.
fn policies_digest(loaded: &Loaded) -> Digest {
    Digest::of_parts(&[&loaded.policies.version().to_be_bytes()])
}
