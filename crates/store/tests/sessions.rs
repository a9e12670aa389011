//! The index of sessions: order, filters, and what a crash leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use lockgate_core::{Identity, IdentityKind, SessionId, Timestamp};
use lockgate_store::{SessionCounts, SessionFilter, SessionOpened, Store};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn opened(n: i64, user: &str, target: &str) -> SessionOpened {
    SessionOpened {
        id: SessionId::new(at(n), 1),
        identity: Identity {
            user: user.to_owned(),
            groups: ["engineers".to_owned()].into(),
            kind: IdentityKind::Human,
            directories: Vec::new(),
            on_behalf_of: Vec::new(),
            token_id: Some("0123".to_owned()),
            actions: None,
        },
        protocol: "postgres".into(),
        target: target.parse().unwrap(),
        database: None,
        client: "192.0.2.1:5000".to_owned(),
        opened: at(n),
    }
}

#[tokio::test]
async fn from_open_to_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let log = store.session_log();
    let session = opened(1_000, "alice", "orders");
    let counts = SessionCounts { requests: 5, denied: 1, rows: u64::MAX };
    log.opened(session.clone());
    log.counted(session.id, SessionCounts { requests: 2, denied: 0, rows: 10 });
    log.flush().await;
    let row = store.session(session.id).await.unwrap().unwrap();
    assert_eq!((row.closed, row.counts.requests, row.identity), (None, 2, session.identity.clone()));
    log.closed(session.id, at(9_000), "closed", counts);
    log.counted(session.id, SessionCounts::default());
    log.flush().await;
    let row = store.session(session.id).await.unwrap().unwrap();
    assert_eq!((row.closed, row.reason.as_deref(), row.counts.requests), (Some(at(9_000)), Some("closed"), 5));
    assert!(store.session(SessionId::new(at(1), 1)).await.unwrap().is_none());
}

#[tokio::test]
async fn filters_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let log = store.session_log();
    for n in 0..10 {
        let session = opened(1_000 + n, if n % 2 == 0 { "alice" } else { "bob" }, if n < 5 { "orders" } else { "crm" });
        let id = session.id;
        log.opened(session);
        if n < 3 {
            log.closed(id, at(5_000), "closed", SessionCounts::default());
        }
    }
    log.flush().await;
    let list = async |f: SessionFilter| store.list_sessions(&f).await.unwrap();
    let all = SessionFilter::default();
    assert_eq!(list(all.clone()).await.len(), 10);
    assert_eq!(list(all.clone()).await[0].opened, at(1_009), "newest first");
    assert_eq!(list(SessionFilter { user: Some("bob".to_owned()), ..all.clone() }).await.len(), 5);
    assert_eq!(list(SessionFilter { target: Some("crm".to_owned()), ..all.clone() }).await.len(), 5);
    assert_eq!(list(SessionFilter { live: Some(true), ..all.clone() }).await.len(), 7);
    assert_eq!(list(SessionFilter { live: Some(false), ..all.clone() }).await.len(), 3);
    let window = SessionFilter { since: Some(at(1_002)), until: Some(at(1_004)), ..all.clone() };
    assert_eq!(list(window).await.len(), 2);
    let first = list(SessionFilter { limit: 4, ..all.clone() }).await;
    let second = list(SessionFilter { limit: 4, before: Some(first[3].id), ..all.clone() }).await;
    assert_eq!((first.len(), second[0].opened), (4, at(1_005)));
}

#[tokio::test]
async fn what_a_crash_left_open_is_aborted_by_the_next_gateway_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let log = store.session_log();
    let session = opened(1_000, "alice", "orders");
    log.opened(session.clone());
    log.flush().await;
    // Another process that only looks changes nothing.
    let other = Store::open(dir.path()).await.unwrap();
    assert!(other.session(session.id).await.unwrap().unwrap().closed.is_none());
    let claim = other.claim(at(7_000)).await.unwrap();
    assert_eq!(claim.aborted(), [session.id]);
    let row = other.session(session.id).await.unwrap().unwrap();
    assert_eq!((row.closed, row.reason.as_deref()), (Some(at(7_000)), Some("aborted")));
    // What the recordings have is listed as they have it.
    let never_listed = opened(2_000, "bob", "orders");
    assert_eq!(other.unlisted(&[session.id, never_listed.id]).await.unwrap(), [never_listed.id]);
    let log = other.session_log();
    for session in [&session, &never_listed] {
        log.recovered(Some(session.clone()), session.id, at(3_000), "closed", SessionCounts::default());
    }
    log.flush().await;
    for (id, user) in [(session.id, "alice"), (never_listed.id, "bob")] {
        let row = other.session(id).await.unwrap().unwrap();
        assert_eq!((row.closed, row.reason.as_deref()), (Some(at(3_000)), Some("closed")));
        assert_eq!(row.identity.user, user);
    }
}

#[tokio::test]
async fn bursts_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let log = store.session_log();
    let begin = std::time::Instant::now();
    for n in 0..5_000 {
        let session = opened(1_000 + n, "alice", "orders");
        let id = session.id;
        log.opened(session);
        log.closed(id, at(9_000), "closed", SessionCounts::default());
    }
    assert!(begin.elapsed().as_millis() < 500, "{:?}", begin.elapsed());
    log.flush().await;
    assert_eq!(store.list_sessions(&SessionFilter { live: Some(true), ..Default::default() }).await.unwrap().len(), 0);
    let page = store.list_sessions(&SessionFilter { since: Some(at(5_999)), ..Default::default() }).await.unwrap();
    assert_eq!(page.len(), 1);
}
