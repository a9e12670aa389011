//! A wall clock that jumps while identity providers are asked, are away, or have proven somebody: nobody counts longer for it, and
//! nobody is taken for disabled because of it. Providers have the right time.

use crate::clock::{Clock, login, order_holds};
use lockgate_tests::issuer::Issuer;
use lockgate_tests::process::eventually;
use lockgate_tests::surfer::Surfer;
use lockgate_tests::{Idp, Scene, api};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Each jump at once: every one has a gateway of its own.
fn each(jumps: &[&str], of_one: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for jump in jumps {
            let of_one = &of_one;
            scope.spawn(move || of_one(jump));
        }
    });
}

/// A gateway with its own clock, and the provider that people sign in with.
fn stage(clock: &Clock, identity: &str) -> (Scene, Idp) {
    let mut idp = Idp::reserve();
    let scene = clock.scene_with("", &format!("{identity}{}", idp.yaml("")));
    resume(&mut idp, &scene);
    (scene, idp)
}

fn resume(idp: &mut Idp, scene: &Scene) {
    idp.resume("k1", &[("REDIRECT", &format!("{}/oidc/corp/callback", scene.gateway.url()))]);
}

/// The token of alice, who signs in with a browser and logs a device in.
fn log_in(scene: &Scene, idp: &Idp) -> String {
    let mut browser = Surfer::new(&scene.gateway);
    let page = browser.open(&format!("{}/login", scene.gateway.url()));
    let page = browser.sign_in(&page, &idp.issuer(), "alice");
    assert!(page.html.contains("Signed in as"), "{}", page.html);
    let asked = api::call(&scene.gateway, "POST", "/api/v1/login-requests", None, Some(&json!({}))).1;
    let page = browser.open(&format!("{}/device?code={}", scene.gateway.url(), asked["user_code"].as_str().unwrap()));
    let page = browser.submit(&page, &[("action", "approve")]);
    assert!(page.html.contains("logged in"), "{}", page.html);
    let path = format!("/api/v1/login-requests/{}/token", asked["id"].as_str().unwrap());
    let (status, given) = api::call(&scene.gateway, "POST", &path, None, Some(&json!({"secret": asked["secret"]})));
    assert_eq!(status, 200, "{given}");
    given["token"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_provider_last_said_counts_no_longer_when_the_clock_is_set_back() {
    each(&["-1h", "-10y"], |jump| {
        let clock = Clock::new();
        let (scene, mut idp) = stage(&clock, "  recheck: 2s\n  grace: 15s\n");
        let alice = log_in(&scene, &idp);
        let mut client = login(&scene, &alice).unwrap();
        clock.set(jump);
        // It is asked on, by the clock that nobody can set.
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(client.value("SELECT 1"), "1", "{jump}");
        idp.stop();
        let away = Instant::now();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(client.value("SELECT 2"), "2", "{jump}: what it said last counts for a while");
        assert!(client.is_closed_within(Duration::from_secs(40)), "{jump}: it counts on");
        assert!(away.elapsed() > Duration::from_secs(5), "{jump}: {:?}", away.elapsed());
        assert!(scene.gateway.log().contains("could not be asked for too long"), "{jump}");
        assert!(login(&scene, &alice).is_err(), "{jump}");
        scene.gateway.verify();
        order_holds(&scene);
    });
}

#[test]
fn a_clock_that_is_set_forward_ends_logins_and_makes_nobody_a_stranger() {
    each(&["+1h", "+10y"], |jump| {
        let clock = Clock::new();
        let (mut scene, idp) = stage(&clock, "  recheck: 2s\n  grace: 6s\n  login_ttl: 50m\n");
        let own = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "5000d"]);
        let own = own["token"].as_str().unwrap();
        let alice = log_in(&scene, &idp);
        let mut client = login(&scene, &alice).unwrap();
        clock.set(jump);
        assert!(client.is_closed_within(Duration::from_secs(6)), "{jump}: the login counts on");
        // What the provider says looks expired from here. That is no word about her.
        std::thread::sleep(Duration::from_secs(4));
        clock.set("+0");
        eventually("service resumes", Duration::from_secs(10), || login(&scene, own).is_ok());
        assert!(!scene.gateway.log().contains("counts no more until signing in there again"), "{jump}");
        assert!(login(&scene, &log_in(&scene, &idp)).is_ok(), "{jump}: she may log in again");
        assert_eq!(scene.gateway.stop(), Some(0), "{jump}");
        scene.gateway.verify();
    });
}

#[test]
fn a_providers_token_counts_no_longer_when_the_clock_is_set_back() {
    each(&["-1h", "-10y"], |jump| {
        let clock = Clock::new();
        let issuer = Issuer::start();
        let entry = issuer.yaml(", token_check: introspection");
        let scene = clock.scene_with("", &format!("  recheck: 1s\n  grace: 5s\n{entry}"));
        let made = Instant::now();
        let (short, long) = (issuer.token_for("alice", 8), issuer.token("alice"));
        let [mut shorts, mut longs] = [&short, &long].map(|token| login(&scene, token).unwrap());
        clock.set(jump);
        assert_eq!((shorts.value("SELECT 1"), longs.value("SELECT 1")), ("1".to_owned(), "1".to_owned()), "{jump}");
        assert!(shorts.is_closed_within(Duration::from_secs(12)), "{jump}: it counts on");
        let lived = made.elapsed();
        assert!(lived > Duration::from_secs(5) && lived < Duration::from_secs(12), "{jump}: {lived:?}");
        assert!(login(&scene, &short).is_err(), "{jump}: it opens a session");
        assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&short), None).0, 401, "{jump}");
        assert_eq!(longs.value("SELECT 2"), "2", "{jump}");
        // It is asked about on.
        issuer.revoke("alice");
        assert!(longs.is_closed_within(Duration::from_secs(5)), "{jump}: nobody asks about it");
        scene.gateway.verify();
        order_holds(&scene);
    });
}

#[test]
fn a_providers_token_ends_when_the_clock_is_set_forward_and_counts_when_it_is_right() {
    each(&["+2h", "+10y"], |jump| {
        let clock = Clock::new();
        let issuer = Issuer::start();
        let entry = issuer.yaml(", token_check: introspection");
        let mut scene = clock.scene_with("", &format!("  recheck: 1s\n  grace: 5s\n{entry}"));
        let token = issuer.token("alice");
        let mut client = login(&scene, &token).unwrap();
        clock.set(jump);
        assert!(client.is_closed_within(Duration::from_secs(4)), "{jump}: it counts on");
        assert!(login(&scene, &token).is_err(), "{jump}");
        clock.set("+0");
        eventually("service resumes", Duration::from_secs(10), || login(&scene, &token).is_ok());
        // The time of the last question was in the future for a while: it is asked all the same.
        let mut client = login(&scene, &token).unwrap();
        issuer.revoke("alice");
        assert!(client.is_closed_within(Duration::from_secs(5)), "{jump}: nobody asks about it");
        assert_eq!(scene.gateway.stop(), Some(0), "{jump}");
        scene.gateway.verify();
    });
}

/// Alice's login, over while the provider is away, so that what it was refreshed with has not been taken back.
fn over_and_not_given_back(scene: &Scene, idp: &mut Idp) {
    let alice = log_in(scene, idp);
    idp.stop();
    let left = scene.gateway.as_user(&alice, &["logout", "--everywhere"]);
    assert!(left.status.success(), "{}", lockgate_tests::process::text(&left));
    eventually("it was tried", Duration::from_secs(10), || {
        scene.gateway.log().contains("a refresh token was not taken back")
    });
}

fn is_kept(scene: &Scene) -> bool {
    let listed = scene.gateway.here_ok(&["logins", "list", "--user", "alice", "--all", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    listed[0]["refreshable"].as_bool().unwrap()
}

#[test]
fn what_a_login_was_refreshed_with_is_given_back_though_the_clock_jumps() {
    each(&["-1h", "-10y", "+10y"], |jump| {
        let clock = Clock::new();
        let (scene, mut idp) = stage(&clock, "");
        over_and_not_given_back(&scene, &mut idp);
        assert!(is_kept(&scene), "{jump}");
        clock.set(jump);
        if jump.starts_with('-') {
            resume(&mut idp, &scene);
            eventually("the provider hears of it", Duration::from_secs(50), || {
                scene.gateway.log().contains("the provider has taken back the refresh token")
            });
        }
        // Given back, or, when nobody is tried any more by this clock, forgotten.
        eventually("it is not kept", Duration::from_secs(50), || !is_kept(&scene));
    });
}

/// Nobody shows a token of a new key: what is published is read again all the same, and a key that was withdrawn counts no more.
#[test]
fn keys_are_read_again_at_intervals() {
    let clock = Clock::new();
    let issuer = Issuer::start();
    let scene = clock.scene_in_haste(&issuer.yaml(""));
    let token = issuer.token("alice");
    let is_in = || login(&scene, &token).is_ok();
    eventually("it runs", Duration::from_secs(20), || scene.gateway.log().contains("ready, with"));
    // What is read at the start has been read.
    std::thread::sleep(Duration::from_secs(2));
    assert!(is_in());
    issuer.change_key("another");
    clock.set("+4m");
    std::thread::sleep(Duration::from_secs(3));
    assert!(is_in(), "what is known counts until it is read again");
    clock.set("+6m");
    // For this reason and for no other.
    let why = |event: &Value| event["reason"].as_str().is_some_and(|why| why.contains("no key of the issuer verifies"));
    eventually("the key that was withdrawn counts no more", Duration::from_secs(20), || {
        !is_in() && scene.gateway.events().iter().any(why)
    });
    assert!(login(&scene, &issuer.token("alice")).is_ok(), "{}", scene.gateway.log());
}
