//! Logins, browsers and what counts once, against real stores: each thing is given out once, whoever asks how often, and ends
//! with what it hangs on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_core::{IdentityKind, Secret, Timestamp, limits};
use lockgate_store::{
    Asker, LoginClaim, LoginFilter, LoginInfo, LoginRequest, LoginState, NewLogin, OneUse, RequestError, RequestState,
    Store, TokenState,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const VERIFIER: &str = "a verifier that only the command line knows, of enough characters";

fn later(ms: i64) -> Timestamp {
    NOW.plus_millis(ms)
}

fn proven(user: &str) -> NewLogin {
    NewLogin {
        provider: "corp".to_owned(),
        issuer: "https://idp.example.com".to_owned(),
        subject: format!("subject of {user}"),
        user: user.to_owned(),
        groups: ["engineers".to_owned()].into(),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        source: "192.0.2.1".to_owned(),
        expires: later(600_000),
        refresh_token: Some(Secret::new("canary-of-a-refresh-token".to_owned())),
    }
}

fn browser() -> Asker {
    Asker::Browser {
        challenge: URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes())),
        redirect: "http://127.0.0.1:4000/callback".to_owned(),
        state: "the command line's own word".to_owned(),
    }
}

fn link(user: &str) -> Asker {
    Asker::Link { user: user.to_owned(), target: "orders".parse().unwrap() }
}

async fn asked(store: &Store, asker: Asker) -> (LoginRequest, Option<Secret>) {
    store.ask_login(asker, "192.0.2.9", later(60_000), NOW).await.unwrap()
}

async fn signed_in(store: &Store, user: &str) -> (Secret, LoginInfo) {
    store.sign_in(proven(user), None, NOW).await.unwrap()
}

#[tokio::test]
async fn a_browser_is_signed_in_by_its_newest_secret_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (first, login) = signed_in(&store, "alice").await;
    let found = store.browser_login(first.expose(), NOW).await.unwrap().unwrap();
    assert_eq!(found, login);
    assert_eq!((found.user.as_str(), found.judged, found.refreshable), ("alice", NOW, true));
    for wrong in ["", "x", &first.expose()[1..], &"A".repeat(43), &format!("{}A", first.expose())] {
        assert_eq!(store.browser_login(wrong, NOW).await.unwrap(), None, "{wrong}");
    }
    let (second, _) = store.sign_in(proven("alice"), Some(first.expose()), NOW).await.unwrap();
    assert_ne!(first.expose(), second.expose());
    assert_eq!(store.browser_login(first.expose(), NOW).await.unwrap(), None, "the one before is good for nothing");
    assert!(store.browser_login(second.expose(), later(599_999)).await.unwrap().is_some());
    assert_eq!(store.browser_login(second.expose(), later(600_000)).await.unwrap(), None, "it expires");
    store.sign_out(second.expose()).await.unwrap();
    assert_eq!(store.browser_login(second.expose(), NOW).await.unwrap(), None);
    // A clock that is set back does not make it older than it is.
    let (third, _) = signed_in(&store, "alice").await;
    assert_eq!(store.browser_login(third.expose(), later(-limits::TOKEN_EARLY_MS_MAX - 1)).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_login_made_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (cookie, login) = signed_in(&store, "alice").await;
    let (request, _) = asked(&store, browser()).await;
    let code = store.approve_login_request(&request.id, &login.id, NOW).await.unwrap().unwrap();
    let claim = LoginClaim::Browser { code: code.expose(), verifier: VERIFIER };
    let (token, info, _) = store.redeem_login_request(&request.id, claim, NOW).await.unwrap();
    assert_eq!((info.login.as_deref(), info.expires), (Some(login.id.as_str()), login.expires));
    let verified = store.verify_token(token.expose(), NOW).await.unwrap();
    assert_eq!((verified.identity.user.as_str(), verified.identity.groups), ("alice", login.groups.clone()));
    assert_eq!(store.login_refresh_token(&login.id).await.unwrap().unwrap().expose(), "canary-of-a-refresh-token");
    let lease = store.lease_token(&info.id, NOW).await.unwrap();
    assert_eq!(lease.state(NOW), TokenState::Live);

    // Heard anew: the groups of the token are those of the login, and whoever watches tokens hears of it.
    let seen = store.tokens_changed_since(0).await.unwrap().generation;
    let groups = ["fraud".to_owned()].into();
    let fresh = Secret::new("another".to_owned());
    assert!(store.judged_login(&login.id, &groups, Some(&fresh), later(5)).await.unwrap());
    assert_eq!(store.tokens_changed_since(seen).await.unwrap().ids, std::slice::from_ref(&info.id));
    let seen = store.tokens_changed_since(0).await.unwrap().generation;
    assert!(store.judged_login(&login.id, &groups, None, later(6)).await.unwrap());
    assert_eq!(store.tokens_changed_since(seen).await.unwrap().ids, Vec::<String>::new(), "nothing changed");
    assert_eq!(store.token(&info.id).await.unwrap().unwrap().groups, groups);
    let known = store.login(&login.id).await.unwrap().unwrap();
    assert_eq!((known.groups, known.judged), (groups.clone(), later(6)));
    assert_eq!(store.login_refresh_token(&login.id).await.unwrap().unwrap().expose(), "another");
    let due = LoginFilter { live_at: Some(later(6)), judged_before: Some(later(7)), ..LoginFilter::default() };
    assert_eq!(store.logins(&due).await.unwrap().len(), 1);
    let due = LoginFilter { judged_before: Some(later(6)), ..due };
    assert_eq!(store.logins(&due).await.unwrap(), []);

    let ended = store.end_login(&login.id, "alice", "signed out", later(7)).await.unwrap().unwrap();
    assert_eq!((ended.ended, ended.end_reason.as_deref()), (Some(later(7)), Some("signed out")));
    assert_eq!(lease.state(later(7)), TokenState::Revoked);
    assert!(store.verify_token(token.expose(), later(7)).await.is_err());
    assert_eq!(store.browser_login(cookie.expose(), later(7)).await.unwrap(), None);
    assert!(store.login_refresh_token(&login.id).await.unwrap().is_none());
    assert!(!store.judged_login(&login.id, &groups, Some(&fresh), later(8)).await.unwrap(), "it stays ended");
    let again = store.end_login(&login.id, "alice", "twice", later(9)).await.unwrap().unwrap();
    assert_eq!(again.ended, Some(later(7)), "the first end counts");
    assert_eq!(store.end_login("000000000000", "", "", NOW).await.unwrap(), None);
    assert!(store.logins(&LoginFilter { live_at: Some(NOW), ..LoginFilter::default() }).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_login_was_refreshed_with_is_given_back_when_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let over = async |now| {
        let over = store.refresh_tokens_to_give_back(now, 9).await.unwrap();
        over.into_iter().map(|(login, token)| (login.id, token.unwrap().expose().to_owned())).collect::<Vec<_>>()
    };
    let (_, login) = signed_in(&store, "alice").await;
    let (_, lasting) = signed_in(&store, "bob").await;
    assert_eq!(over(NOW).await, []);
    store.end_login(&login.id, "alice", "signed out", NOW).await.unwrap();
    let canary = || "canary-of-a-refresh-token".to_owned();
    assert_eq!(over(NOW).await, [(login.id.clone(), canary())]);
    // What is over refreshes nothing.
    assert!(store.login_refresh_token(&login.id).await.unwrap().is_none());
    store.forget_refresh_token(&login.id).await.unwrap();
    assert_eq!(over(NOW).await, []);
    // One that just ran out is over too.
    assert_eq!(over(later(600_000)).await, [(lasting.id, canary())]);
}

#[tokio::test]
async fn a_login_of_which_nothing_is_left_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (cookie, login) = signed_in(&store, "alice").await;
    let idle = async || store.end_login_if_idle(&login.id, "alice", NOW).await.unwrap();
    let (request, secret) = asked(&store, Asker::Device).await;
    assert!(!idle().await, "a browser is signed in");
    store.approve_login_request(&request.id, &login.id, NOW).await.unwrap();
    store.sign_out(cookie.expose()).await.unwrap();
    assert!(!idle().await, "somebody comes for a token");
    let secret = secret.unwrap();
    let claim = LoginClaim::Device { secret: secret.expose() };
    let (_, token, _) = store.redeem_login_request(&request.id, claim, NOW).await.unwrap();
    assert!(!idle().await, "a token counts");
    store.revoke_token(&token.id, "alice", NOW).await.unwrap();
    assert!(idle().await);
    let ended = store.login(&login.id).await.unwrap().unwrap();
    assert_eq!((ended.ended, ended.end_reason.as_deref()), (Some(NOW), Some("logged out")));
}

#[tokio::test]
async fn a_request_is_given_out_to_who_asked_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (_, login) = signed_in(&store, "alice").await;

    let (request, secret) = asked(&store, browser()).await;
    assert!(secret.is_none());
    let early = LoginClaim::Browser { code: "", verifier: VERIFIER };
    assert!(matches!(store.redeem_login_request(&request.id, early, NOW).await, Err(RequestError::Pending)));
    let code = store.approve_login_request(&request.id, &login.id, NOW).await.unwrap().unwrap();
    assert!(matches!(store.approve_login_request(&request.id, &login.id, NOW).await, Err(RequestError::Used)));
    let code = code.expose();
    for wrong in [
        LoginClaim::Browser { code, verifier: "another" },
        LoginClaim::Browser { code: "another", verifier: VERIFIER },
        LoginClaim::Browser { code: "", verifier: VERIFIER },
        LoginClaim::Device { secret: code },
        LoginClaim::Link,
    ] {
        let refused = store.redeem_login_request(&request.id, wrong, NOW).await;
        assert!(matches!(refused, Err(RequestError::WrongProof)));
    }
    let claim = LoginClaim::Browser { code, verifier: VERIFIER };
    assert!(matches!(store.redeem_login_request(&request.id, claim, later(60_000)).await, Err(RequestError::Expired)));
    store.redeem_login_request(&request.id, claim, NOW).await.unwrap();
    assert!(matches!(store.redeem_login_request(&request.id, claim, NOW).await, Err(RequestError::Used)));

    let (request, secret) = asked(&store, Asker::Device).await;
    let secret = secret.unwrap();
    let claim = LoginClaim::Device { secret: secret.expose() };
    assert!(matches!(store.redeem_login_request(&request.id, claim, NOW).await, Err(RequestError::Pending)));
    let typed = request.code.to_lowercase().replace('-', " ");
    assert_eq!(store.device_request(&typed, NOW).await.unwrap().unwrap(), request);
    assert_eq!(store.device_request(&typed, later(60_000)).await.unwrap(), None, "too late");
    assert!(store.approve_login_request(&request.id, &login.id, NOW).await.unwrap().is_none());
    assert_eq!(store.device_request(&typed, NOW).await.unwrap(), None, "it waits for nobody any more");
    assert!(store.redeem_login_request(&request.id, claim, NOW).await.is_ok());

    let (request, _) = asked(&store, Asker::Device).await;
    store.deny_login_request(&request.id, NOW).await.unwrap();
    assert!(store.deny_login_request(&request.id, NOW).await.is_err());
    assert!(matches!(store.approve_login_request(&request.id, &login.id, NOW).await, Err(RequestError::Denied)));
    for id in ["", "000000000000", "' OR 1=1 --"] {
        assert!(matches!(store.approve_login_request(id, &login.id, NOW).await, Err(RequestError::Unknown)), "{id}");
        assert!(matches!(store.redeem_login_request(id, claim, NOW).await, Err(RequestError::Unknown)), "{id}");
    }
}

#[tokio::test]
async fn a_link_is_for_its_user_and_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (_, alice) = signed_in(&store, "alice").await;
    let (_, bob) = signed_in(&store, "bob").await;
    let (request, _) = asked(&store, link("alice")).await;
    let refused = store.approve_login_request(&request.id, &bob.id, NOW).await;
    assert!(matches!(refused, Err(RequestError::WrongUser { asked, found }) if asked == "alice" && found == "bob"));
    let still = store.login_request(&request.id, NOW).await.unwrap().unwrap();
    assert_eq!(still.state, RequestState::Pending, "a stranger does not use it up");
    let mut decided = store.login_requests_decided();
    store.approve_login_request(&request.id, &alice.id, NOW).await.unwrap();
    assert!(decided.has_changed().unwrap());
    decided.mark_unchanged();
    let (_, token, _) = store.redeem_login_request(&request.id, LoginClaim::Link, NOW).await.unwrap();
    assert_eq!(token.user, "alice");
    assert!(token.covers(&"orders".parse().unwrap()) && !token.covers(&"crm".parse().unwrap()));

    // Who goes away takes the request along.
    let (request, _) = asked(&store, link("alice")).await;
    store.withdraw_login_request(&request.id).await.unwrap();
    assert!(matches!(store.approve_login_request(&request.id, &alice.id, NOW).await, Err(RequestError::Unknown)));
    // A login that ended meanwhile gives nothing out.
    let (request, _) = asked(&store, link("alice")).await;
    store.approve_login_request(&request.id, &alice.id, NOW).await.unwrap();
    store.end_login(&alice.id, "alice", "signed out", NOW).await.unwrap();
    let late = store.redeem_login_request(&request.id, LoginClaim::Link, NOW).await;
    assert!(matches!(late, Err(RequestError::LoginOver)));
    let (request, _) = asked(&store, link("alice")).await;
    assert!(matches!(store.approve_login_request(&request.id, &alice.id, NOW).await, Err(RequestError::LoginOver)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_come_at_once_one_is_served() {
    let dir = tempfile::tempdir().unwrap();
    // Two processes with the same files.
    let (here, there) = (Store::open(dir.path()).await.unwrap(), Store::open(dir.path()).await.unwrap());
    let (_, login) = signed_in(&here, "alice").await;
    for round in 0..100 {
        let (request, _) = asked(&here, browser()).await;
        let (id, login) = (request.id.as_str(), login.id.as_str());
        let approved =
            tokio::join!(here.approve_login_request(id, login, NOW), there.approve_login_request(id, login, NOW));
        let codes: Vec<Secret> = [approved.0, approved.1].into_iter().flatten().map(Option::unwrap).collect();
        assert_eq!(codes.len(), 1, "round {round}: confirmed once");
        let claim = LoginClaim::Browser { code: codes[0].expose(), verifier: VERIFIER };
        let redeemed =
            tokio::join!(here.redeem_login_request(id, claim, NOW), there.redeem_login_request(id, claim, NOW));
        assert_eq!(
            usize::from(redeemed.0.is_ok()) + usize::from(redeemed.1.is_ok()),
            1,
            "round {round}: given out once"
        );
        let name = format!("state {round}");
        let used =
            tokio::join!(here.use_once("state", &name, later(9), NOW), there.use_once("state", &name, later(9), NOW));
        let mut used = [used.0.unwrap(), used.1.unwrap()];
        used.sort_by_key(|answer| *answer == OneUse::Again);
        assert_eq!(used, [OneUse::First, OneUse::Again], "round {round}");
    }
}

#[tokio::test]
async fn what_was_used_stays_used_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (_, login) = signed_in(&store, "alice").await;
    let (request, secret) = asked(&store, Asker::Device).await;
    let secret = secret.unwrap();
    let claim = LoginClaim::Device { secret: secret.expose() };
    store.approve_login_request(&request.id, &login.id, NOW).await.unwrap();
    store.redeem_login_request(&request.id, claim, NOW).await.unwrap();
    assert_eq!(store.use_once("saml", "assertion", later(100), NOW).await.unwrap(), OneUse::First);
    store.close().await;

    let store = Store::open(dir.path()).await.unwrap();
    assert!(matches!(store.redeem_login_request(&request.id, claim, NOW).await, Err(RequestError::Used)));
    assert_eq!(store.use_once("saml", "assertion", later(100), later(1)).await.unwrap(), OneUse::Again);
    // Its end does not make it another, nor does another sort make it the same.
    assert_eq!(store.use_once("saml", "assertion", later(900), later(1)).await.unwrap(), OneUse::Again);
    assert_eq!(store.use_once("state", "assertion", later(100), later(1)).await.unwrap(), OneUse::First);
    assert_eq!(store.use_once("sam", "l:assertion", later(100), later(1)).await.unwrap(), OneUse::First);
    assert_eq!(store.use_once("saml", "late", later(1), later(1)).await.unwrap(), OneUse::Again);
    // Forgotten long after its end only, so that a clock that is set back does not bring it back.
    assert_eq!(store.use_once("saml", "other", later(500_000), later(400_000)).await.unwrap(), OneUse::First);
    assert_eq!(store.use_once("saml", "assertion", later(100), later(2)).await.unwrap(), OneUse::Again);
}

#[tokio::test]
async fn secrets_are_not_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (cookie, login) = signed_in(&store, "alice").await;
    let (_, device) = asked(&store, Asker::Device).await;
    let (request, _) = asked(&store, browser()).await;
    let code = store.approve_login_request(&request.id, &login.id, NOW).await.unwrap().unwrap();
    store.close().await;
    let file = std::fs::read(dir.path().join("lockgate.db")).unwrap();
    let device = device.unwrap();
    for secret in [cookie.expose(), device.expose(), code.expose(), "canary-of-a-refresh-token"] {
        assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    assert!(file.windows(5).any(|window| window == b"alice"), "this is the file");
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for _ in 0..limits::LOGIN_REQUESTS_PER_SOURCE_MAX {
        asked(&store, Asker::Device).await;
    }
    let refused = store.ask_login(Asker::Device, "192.0.2.9", later(60_000), NOW).await;
    assert!(matches!(refused, Err(RequestError::TooMany(" from here"))));
    assert!(store.ask_login(Asker::Device, "192.0.2.10", later(60_000), NOW).await.is_ok(), "others go on");
    // Of IPv6 a whole network is one.
    for n in 0..limits::LOGIN_REQUESTS_PER_SOURCE_MAX {
        let here = format!("2001:db8::{n:x}");
        store.ask_login(Asker::Device, &here, later(60_000), NOW).await.unwrap();
    }
    let refused = store.ask_login(Asker::Device, "2001:db8::ffff:ffff", later(60_000), NOW).await;
    assert!(matches!(refused, Err(RequestError::TooMany(" from here"))));
    assert!(store.ask_login(Asker::Device, "2001:db8:0:1::1", later(60_000), NOW).await.is_ok());
    assert!(store.ask_login(Asker::Device, "192.0.2.9", later(90_000), later(60_000)).await.is_ok(), "they expire");

    for n in 0..i64::try_from(limits::LOGINS_PER_USER_MAX).unwrap() + 3 {
        let new = NewLogin { refresh_token: None, ..proven("alice") };
        store.sign_in(new, None, later(n)).await.unwrap();
    }
    let live = LoginFilter { user: Some("alice".to_owned()), live_at: Some(later(9)), ..LoginFilter::default() };
    let live = store.logins(&live).await.unwrap();
    assert_eq!(live.len(), limits::LOGINS_PER_USER_MAX);
    assert!(live.iter().all(|login| login.created >= later(3)), "the oldest gave way");
}

/// A clock that is set while nobody runs: behind, nobody can tell how long anything would count; ahead, it is over.
#[tokio::test]
async fn no_jump_of_the_clock_makes_anything_count_longer() {
    const HOUR: i64 = 3_600_000;
    const YEARS: i64 = 10 * 365 * 24 * HOUR;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let begun = Timestamp::from_millis(2 * YEARS);
    let login = NewLogin { expires: begun.plus_millis(600_000), ..proven("alice") };
    let (cookie, login) = store.sign_in(login, None, begun).await.unwrap();
    let ends = begun.plus_millis(60_000);
    let ask = async |asker| store.ask_login(asker, "192.0.2.9", ends, begun).await.unwrap();
    let (waiting, _) = ask(Asker::Device).await;
    let (approved, secret) = ask(Asker::Device).await;
    let (given, given_secret) = ask(Asker::Device).await;
    for request in [&approved, &given] {
        store.approve_login_request(&request.id, &login.id, begun).await.unwrap();
    }
    let given_secret = given_secret.unwrap();
    let claim = LoginClaim::Device { secret: given_secret.expose() };
    let (token, _, _) = store.redeem_login_request(&given.id, claim, begun).await.unwrap();
    assert_eq!(store.use_once("state", "used", ends, begun).await.unwrap(), OneUse::First);
    let secret = secret.unwrap();
    let claim = LoginClaim::Device { secret: secret.expose() };
    for jump in [-HOUR, -YEARS, HOUR, YEARS] {
        let now = begun.plus_millis(jump);
        let state = store.login(&login.id).await.unwrap().unwrap().state(now);
        assert_eq!(state, if jump < 0 { LoginState::Early } else { LoginState::Expired }, "{jump}");
        assert_eq!(store.browser_login(cookie.expose(), now).await.unwrap(), None, "{jump}");
        assert!(store.verify_token(token.expose(), now).await.is_err(), "{jump}");
        assert!(store.redeem_login_request(&approved.id, claim, now).await.is_err(), "{jump}");
        assert!(store.approve_login_request(&waiting.id, &login.id, now).await.is_err(), "{jump}");
        assert_eq!(store.use_once("state", "used", ends, now).await.unwrap(), OneUse::Again, "{jump}");
    }
    // One that was judged by a clock that was ahead is asked about at once.
    let soon = begun.plus_millis(1_000);
    let ahead = begun.plus_millis(300_000);
    assert!(store.judged_login(&login.id, &login.groups, None, ahead).await.unwrap());
    let due = LoginFilter { live_at: Some(soon), judged_before: Some(begun), ..LoginFilter::default() };
    assert_eq!(store.logins(&due).await.unwrap().len(), 1);
    let due = LoginFilter { live_at: Some(ahead), judged_before: Some(begun), ..LoginFilter::default() };
    assert_eq!(store.logins(&due).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_refused_person_is_nobody_until_the_provider_vouches_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let (_, first) = signed_in(&store, "alice").await;
    // However it is spelt; and what another provider says, or what nobody can be asked about, is no answer to a no of this one.
    let (_, second) = signed_in(&store, "Alice").await;
    let (_, bobs) = signed_in(&store, "bob").await;
    let elsewhere = NewLogin { provider: "other".to_owned(), issuer: "https://other".to_owned(), ..proven("alice") };
    let (_, elsewhere) = store.sign_in(elsewhere, None, NOW).await.unwrap();
    store.sign_in(NewLogin { refresh_token: None, ..proven("alice") }, None, NOW).await.unwrap();
    let lease = store.lease_person("ALICE").await.unwrap();

    // Who logs out while the provider is asked has given back what it is asked with.
    let (_, carols) = signed_in(&store, "carol").await;
    store.end_login(&carols.id, "carol", "logged out", later(5)).await.unwrap();
    assert!(!store.refuse_login(&carols, "invalid_grant", later(-500), later(6)).await.unwrap());
    assert_eq!(store.account("carol").await.unwrap().refusal(), None);

    assert!(!store.refuse_login(&first, "invalid_grant", later(-500), later(10)).await.unwrap());
    let judged = |login: LoginInfo| {
        let store = store.clone();
        async move { store.login(&login.id).await.unwrap().unwrap().judged }
    };
    assert_eq!(judged(second.clone()).await, later(-500), "it is asked about at once");
    assert_eq!((judged(bobs.clone()).await, judged(elsewhere).await), (NOW, NOW));
    assert_eq!(store.login(&first.id).await.unwrap().unwrap().state(later(10)), LoginState::Ended);
    assert_eq!(lease.account().unwrap().refusal(), None);

    assert!(store.refuse_login(&second, "invalid_grant", later(-500), later(20)).await.unwrap());
    let why = lease.account().unwrap().refusal().unwrap();
    assert!(why.contains("`corp` refused `Alice`"), "{why}");
    assert!(store.account("alice").await.unwrap().refusal().is_some());
    assert_eq!(store.account("bob").await.unwrap().refusal(), None);
    assert_eq!(store.login(&bobs.id).await.unwrap().unwrap().state(later(20)), LoginState::Live);
    store.close().await;

    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.suspensions().await.unwrap().len(), 1);
    let corp = "https://idp.example.com";
    for (provider, issuer, user) in
        [("other", "https://other", "alice"), ("corp", "https://other", "alice"), ("corp", corp, "bob")]
    {
        assert!(!store.lift_suspension(provider, issuer, user, user, later(30)).await.unwrap(), "{provider} {user}");
    }
    assert!(store.account("alice").await.unwrap().refusal().is_some());
    assert!(store.lift_suspension("corp", corp, "alice", "alice", later(30)).await.unwrap());
    assert_eq!(store.account("ALICE").await.unwrap().refusal(), None);
    let acts = store.acts_waiting().await.unwrap();
    for what in ["user.suspended", "user.resumed"] {
        assert_eq!(acts.iter().filter(|act| act.what == what).count(), 1, "{what}");
    }
}
