//! Tokens against real stores in temporary directories: proof, expiry, revocation by this process and by another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use aws_lc_rs::{digest, hmac, pbkdf2};
use lockgate_core::{Action, IdentityKind, Principal, Timestamp, limits};
use lockgate_store::{NewToken, Store, StoreError, TokenError, TokenFilter, TokenState, clock};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn token_for(user: &str, expires: Timestamp) -> NewToken {
    NewToken {
        user: user.to_owned(),
        groups: ["engineers".to_owned()].into(),
        kind: IdentityKind::Agent,
        on_behalf_of: vec![Principal {
            user: "bob".to_owned(),
            kind: IdentityKind::Human,
            groups: Some(["fraud".to_owned()].into()),
            directories: Vec::new(),
        }],
        targets: Some(["orders".parse().unwrap()].into()),
        actions: None,
        expires,
    }
}

#[tokio::test]
async fn a_token_proves_its_identity_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (secret, info) = store.create_token(token_for("alice", at(2_000)), "test", at(1_000)).await.unwrap();
    let text = secret.expose().to_owned();
    assert!(text.starts_with(&format!("lg_{}_", info.id)), "{text}");
    assert_eq!(text.len(), "lg_".len() + 12 + 1 + 43);

    let verified = store.verify_token(&text, at(1_500)).await.unwrap();
    assert_eq!(verified.identity.user, "alice");
    assert_eq!(verified.identity.kind, IdentityKind::Agent);
    assert_eq!(verified.identity.on_behalf_of[0].user, "bob");
    assert_eq!(verified.identity.token_id.as_deref(), Some(info.id.as_str()));
    assert!(verified.info.covers(&"orders".parse().unwrap()));
    assert!(!verified.info.covers(&"crm".parse().unwrap()));

    let other = |c: char| if c == 'A' { 'B' } else { 'A' };
    let last: String =
        text.chars().take(text.len() - 2).chain(text.chars().nth_back(1).map(other)).chain("A".chars()).collect();
    assert!(matches!(store.verify_token(&last, at(1_500)).await, Err(TokenError::WrongSecret)));
    let unknown = format!("lg_{}_{}", "0".repeat(12), "A".repeat(43));
    assert!(matches!(store.verify_token(&unknown, at(1_500)).await, Err(TokenError::Unknown)));
    for malformed in [
        "",
        "lg_",
        "lg__",
        "pencil",
        "LG_aaaaaaaaaaaa_x",
        "lg_' OR 1=1 --_x",
        &text[1..],
        &format!("{text}A"),
        &"x".repeat(1 << 20),
    ] {
        assert!(
            matches!(store.verify_token(malformed, at(1_500)).await, Err(TokenError::Malformed)),
            "{malformed:.60}"
        );
    }
    // Expired and revoked are told apart, but only to the holder.
    assert!(matches!(store.verify_token(&text, at(2_000)).await, Err(TokenError::Expired { .. })));
    assert!(matches!(store.verify_token(&last, at(2_000)).await, Err(TokenError::WrongSecret)));
    store.revoke_token(&info.id, "test", at(1_600)).await.unwrap().unwrap();
    assert!(
        matches!(store.verify_token(&text, at(1_700)).await, Err(TokenError::Revoked { at: t, .. }) if t == at(1_600))
    );
    // The first revocation's time stays.
    assert_eq!(store.revoke_token(&info.id, "test", at(1_900)).await.unwrap().unwrap().revoked_at, Some(at(1_600)));
    assert!(store.revoke_token("000000000000", "test", at(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn no_secret_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (secret, _) = store.create_token(token_for("alice", at(2_000)), "test", at(1_000)).await.unwrap();
    store.close().await;
    let secret = secret.expose()[16..].to_owned();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{path:?}");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{path:?}");
        }
    }
    assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn scram_verifiers_fit_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let now = at(1_000);
    let (first, _) = store.create_token(token_for("alice", at(2_000)), "test", now).await.unwrap();
    let (second, second_info) = store.create_token(token_for("alice", at(3_000)), "test", now).await.unwrap();
    let salt = store.scram_salt("alice");
    let stored_key = |token: &str| {
        let mut salted = [0; 32];
        let iterations = NonZeroU32::new(limits::SCRAM_ITERATIONS).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, token.as_bytes(), &mut salted);
        let client_key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), b"Client Key");
        digest::digest(&digest::SHA256, client_key.as_ref()).as_ref().to_vec()
    };
    let verifiers = store.scram_verifiers("alice", now).await.unwrap();
    assert_eq!(verifiers.len(), 2);
    for token in [&first, &second] {
        assert_eq!(verifiers.iter().filter(|v| v.stored_key[..] == stored_key(token.expose())).count(), 1);
    }
    // Dead tokens come last and say so.
    store.revoke_token(&second_info.id, "test", now).await.unwrap();
    let states: Vec<_> = store.scram_verifiers("alice", at(1_500)).await.unwrap().iter().map(|v| v.state).collect();
    assert_eq!(states, [TokenState::Live, TokenState::Revoked]);
    let states: Vec<_> = store.scram_verifiers("alice", at(2_500)).await.unwrap().iter().map(|v| v.state).collect();
    assert!(states.contains(&TokenState::Expired) && !states.contains(&TokenState::Live));

    // A name without tokens has a salt as stable as any, and no verifier.
    assert_eq!(store.scram_salt("nobody"), store.scram_salt("nobody"));
    assert_ne!(store.scram_salt("nobody"), salt);
    assert!(store.scram_verifiers("nobody", now).await.unwrap().is_empty());
    store.close().await;
    let again = Store::open(dir.path()).await.unwrap();
    assert_eq!(again.scram_salt("alice"), salt);
}

#[tokio::test]
async fn rules_for_new_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let good = token_for("alice", at(2_000));
    let cases: Vec<(&str, NewToken)> = vec![
        ("empty name", NewToken { user: String::new(), ..good.clone() }),
        ("control character", NewToken { user: "a\nb".to_owned(), ..good.clone() }),
        ("outer space", NewToken { user: " a".to_owned(), ..good.clone() }),
        ("long name", NewToken { user: "a".repeat(257), ..good.clone() }),
        ("bad group", NewToken { groups: ["\0".to_owned()].into(), ..good.clone() }),
        ("many groups", NewToken { groups: (0..257).map(|n| n.to_string()).collect(), ..good.clone() }),
        ("for itself", NewToken { user: "bob".to_owned(), ..good.clone() }),
        ("no target", NewToken { targets: Some([].into()), ..good.clone() }),
        ("no action", NewToken { actions: Some([].into()), ..good.clone() }),
        ("expired", NewToken { expires: at(1_000), ..good.clone() }),
    ];
    for (name, new) in cases {
        assert!(matches!(store.create_token(new, "test", at(1_000)).await, Err(StoreError::Refused(_))), "{name}");
    }
    assert!(store.list_tokens(&TokenFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_scope_is_kept_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let scope = Some([Action::Read, Action::Infer].into());
    for actions in [None, scope] {
        let new = NewToken { actions: actions.clone(), ..token_for("alice", at(2_000)) };
        let (secret, info) = store.create_token(new, "test", at(1_000)).await.unwrap();
        let verified = store.verify_token(secret.expose(), at(1_500)).await.unwrap();
        assert_eq!((&verified.identity.actions, &info.actions), (&actions, &actions));
        let offered = store.scram_verifiers("alice", at(1_500)).await.unwrap();
        assert!(offered.iter().any(|verifier| verifier.identity == verified.identity));
    }
}

#[tokio::test]
async fn an_agents_token_is_for_what_its_principals_tokens_are_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let all = || NewToken { targets: None, ..token_for("alice", at(2_000)) };
    let bobs = |actions| NewToken {
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        actions,
        ..NewToken { user: "bob".to_owned(), ..all() }
    };
    let made = async |new: NewToken| store.create_token(new, "test", at(1_000)).await.map(|(_, info)| info.actions);
    let (read, write): (BTreeSet<_>, BTreeSet<_>) = ([Action::Read].into(), [Action::Write].into());
    assert_eq!(made(all()).await.unwrap(), None, "nobody knows bob");
    made(bobs(Some(read.clone()))).await.unwrap();
    assert_eq!(made(all()).await.unwrap(), Some(read.clone()));
    made(bobs(Some([Action::Read, Action::Define].into()))).await.unwrap();
    assert_eq!(made(all()).await.unwrap(), Some([Action::Read, Action::Define].into()));
    assert_eq!(made(NewToken { actions: Some(read.clone()), ..all() }).await.unwrap(), Some(read));
    let refused = made(NewToken { actions: Some(write.clone()), ..all() }).await.unwrap_err().to_string();
    assert!(refused.contains("the tokens of `bob` are for other actions"), "{refused}");
    // One that is for everything makes bob whole.
    made(bobs(None)).await.unwrap();
    assert_eq!(made(NewToken { actions: Some(write.clone()), ..all() }).await.unwrap(), Some(write));
}

#[tokio::test]
async fn lists_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for n in 0..5 {
        store.create_token(token_for("alice", at(2_000 + n)), "test", at(1_000)).await.unwrap();
    }
    store.create_token(token_for("carol", at(9_000)), "test", at(1_000)).await.unwrap();
    let list = async |f: TokenFilter| store.list_tokens(&f).await.unwrap();
    assert_eq!(list(TokenFilter::default()).await.len(), 6);
    assert_eq!(list(TokenFilter { user: Some("carol".to_owned()), ..Default::default() }).await.len(), 1);
    assert_eq!(list(TokenFilter { live_at: Some(at(2_002)), ..Default::default() }).await.len(), 3);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = list(TokenFilter { after: after.clone(), limit: 4, ..Default::default() }).await;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|t| t.id));
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted());

    let id = seen[0].clone();
    store.touch_token(&id, at(1_234));
    store.flush_touched().await.unwrap();
    assert_eq!(store.token(&id).await.unwrap().unwrap().last_used, Some(at(1_234)));
}

#[tokio::test]
async fn a_revocation_by_another_process_reaches_the_lease_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let serve = Store::open(dir.path()).await.unwrap();
    let other = Store::open(dir.path()).await.unwrap();
    let now = clock::now();
    let (_, info) = other.create_token(token_for("alice", now.plus_millis(60_000)), "test", now).await.unwrap();
    let (_, spared) = other.create_token(token_for("alice", now.plus_millis(60_000)), "test", now).await.unwrap();
    let watching = tokio::spawn({
        let serve = serve.clone();
        async move { serve.watch_tokens().await }
    });
    let lease = serve.lease_token(&info.id, now).await.unwrap();
    let spared_lease = serve.lease_token(&spared.id, now).await.unwrap();
    assert_eq!(lease.state(clock::now()), TokenState::Live);
    assert_eq!(lease.state(now.plus_millis(60_000)), TokenState::Expired);
    let mut losses = lease.losses();

    other.revoke_token(&info.id, "test", clock::now()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), losses.changed()).await.expect("heard within a second").unwrap();
    assert_eq!(lease.state(clock::now()), TokenState::Revoked);
    assert_eq!(spared_lease.state(clock::now()), TokenState::Live);
    assert!(matches!(serve.lease_token(&info.id, clock::now()).await, Err(TokenError::Revoked { .. })));
    assert!(matches!(serve.lease_token("000000000000", clock::now()).await, Err(TokenError::Unknown)));

    // In the same process there is no wait at all.
    serve.revoke_token(&spared.id, "test", clock::now()).await.unwrap();
    assert_eq!(spared_lease.state(clock::now()), TokenState::Revoked);
    watching.abort();
}

#[tokio::test]
async fn the_change_feed_names_each_change_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let start = store.tokens_changed_since(0).await.unwrap();
    assert_eq!(start.ids, Vec::<String>::new());
    let (_, info) = store.create_token(token_for("alice", at(2_000)), "test", at(1_000)).await.unwrap();
    let made = store.tokens_changed_since(start.generation).await.unwrap();
    assert_eq!(made.ids, std::slice::from_ref(&info.id));
    assert_eq!(store.tokens_changed_since(made.generation).await.unwrap().ids, Vec::<String>::new());
    store.revoke_token(&info.id, "test", at(1_500)).await.unwrap();
    assert_eq!(store.tokens_changed_since(made.generation).await.unwrap().ids, [info.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_open_a_new_store_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let openers: Vec<_> = (0..12)
        .map(|n| {
            let path = dir.path().to_owned();
            tokio::spawn(async move {
                let store = Store::open(&path).await.unwrap();
                store.create_token(token_for("alice", at(2_000 + n)), "test", at(1_000)).await.unwrap();
                store.scram_salt("alice")
            })
        })
        .collect();
    let mut salts = Vec::new();
    for opener in openers {
        salts.push(opener.await.unwrap());
    }
    assert!(salts.windows(2).all(|w| w[0] == w[1]));
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.list_tokens(&TokenFilter::default()).await.unwrap().len(), 12);
}

async fn refusal(dir: &Path) -> String {
    match Store::open(dir).await {
        Ok(_) => panic!("opened"),
        Err(e) => e.to_string(),
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_used_says_why_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = || {
        let path = dir.path().join(unique());
        std::fs::create_dir(&path).unwrap();
        path
    };
    // Garbage.
    let path = fresh();
    std::fs::write(path.join("lockgate.db"), "not a database at all, ".repeat(500)).unwrap();
    let said = refusal(&path).await;
    assert!(said.contains("damaged") && !said.contains('\n'), "{said}");
    // A newer schema.
    let path = fresh();
    Store::open(&path).await.unwrap().close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.join("lockgate.db").display())).await.unwrap();
    sqlx::query("INSERT INTO schema_version (version) VALUES (99)").execute(&pool).await.unwrap();
    pool.close().await;
    let said = refusal(&path).await;
    assert!(said.contains("schema 99") && !said.contains('\n'), "{said}");
    // The key is gone, or another's.
    let path = fresh();
    Store::open(&path).await.unwrap().close().await;
    let key = path.join("keys/master.key");
    std::fs::write(&key, format!("{}\n", "ab".repeat(32))).unwrap();
    assert!(refusal(&path).await.contains("is not the key"));
    std::fs::remove_file(&key).unwrap();
    assert!(refusal(&path).await.contains("missing"));
    assert!(!key.exists(), "a lost key is never replaced by a new one");
}

#[tokio::test]
async fn a_store_that_another_process_keeps_locked_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).await.unwrap().close().await;
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite://{}", dir.path().join("lockgate.db").display())).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut *connection).await.unwrap();
    let said = refusal(dir.path()).await;
    assert!(said.contains("locked by another process"), "{said}");
}

#[tokio::test]
async fn one_gateway_per_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let claim = store.claim(at(1)).await.unwrap();
    let second = Store::open(dir.path()).await.unwrap();
    assert!(matches!(second.claim(at(1)).await, Err(StoreError::AlreadyServing { .. })));
    drop(claim);
    second.claim(at(1)).await.unwrap();
}

fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static N: AtomicU32 = AtomicU32::new(0);
    format!("store-{}", N.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test]
async fn a_token_from_the_future_counts_only_when_its_time_has_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let made = at(10 * limits::TOKEN_EARLY_MS_MAX);
    let (secret, info) = store.create_token(token_for("alice", made.plus_millis(60_000)), "test", made).await.unwrap();
    let just = made.plus_millis(-limits::TOKEN_EARLY_MS_MAX);
    for early in [at(0), just.plus_millis(-1)] {
        assert_eq!(info.state(early), TokenState::Early);
        assert!(matches!(store.verify_token(secret.expose(), early).await, Err(TokenError::Early { .. })));
        assert!(matches!(store.lease_token(&info.id, early).await, Err(TokenError::Early { .. })));
        let offered = store.scram_verifiers("alice", early).await.unwrap();
        assert!(offered.iter().all(|verifier| verifier.state != TokenState::Live));
    }
    for fine in [just, made] {
        assert_eq!(info.state(fine), TokenState::Live);
        assert!(store.verify_token(secret.expose(), fine).await.is_ok());
    }
}

#[tokio::test]
async fn a_directory_with_recordings_and_no_store_is_not_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("lockgate.db");
    Store::open(dir.path()).await.unwrap().close().await;
    let log = dir.path().join("recordings/log");
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("leaves"), "").unwrap();
    Store::open(dir.path()).await.unwrap().close().await;
    std::fs::write(log.join("leaves"), "x").unwrap();
    Store::open(dir.path()).await.unwrap().close().await;
    let key = dir.path().join("keys/master.key");
    let saved = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(Store::open(dir.path()).await, Err(StoreError::KeyMissing { .. })));
    std::fs::write(&key, saved).unwrap();
    std::fs::write(&database, "").unwrap();
    assert!(matches!(Store::open(dir.path()).await, Err(StoreError::Gone { .. })));
    std::fs::remove_file(&database).unwrap();
    assert!(matches!(Store::open(dir.path()).await, Err(StoreError::Gone { .. })));
    assert!(!database.exists());
}
