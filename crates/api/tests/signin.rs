//! The pages on which people sign in and confirm, in process, over a real store and a provider that says what the test wants:
//! cookies, forms from elsewhere, planted sign-ins, and where a browser is sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

mod fakes;

use aws_lc_rs::digest;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Extension;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fakes::{Idp, Nothing};
use lockgate_api::{ApiState, PeerAddr};
use lockgate_core::{IdentityKind, limits};
use lockgate_store::approvals::Approvals;
use lockgate_store::{Asker, LOCAL, LoginClaim, LoginRequest, NewLogin, NewPerson, RequestState, Store, clock};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt as _;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    idp: Arc<Idp>,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn location(&self) -> &str {
        self.headers.get("location").unwrap_or_else(|| panic!("{} {}", self.status, self.text)).to_str().unwrap()
    }

    /// The form's own word and the code in it.
    fn field(&self, name: &str) -> String {
        let field =
            self.text.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("{}", self.text));
        field.split('"').next().unwrap().to_owned()
    }
}

/// A browser that keeps cookies.
#[derive(Clone, Default)]
struct Browser {
    cookies: BTreeMap<String, String>,
    site: Option<&'static str>,
    address: Option<&'static str>,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let (idp, nothing) = (Arc::new(Idp::new(store.clone())), Arc::new(Nothing));
        let approvals = Approvals::new(store.clone());
        let (access, sessions, journal) = (nothing.clone(), nothing.clone(), nothing.clone());
        let state =
            ApiState::new(store.clone(), approvals, access, sessions, journal, nothing.clone(), nothing.clone())
                .with_sign_in(idp.clone())
                .with_passwords(nothing);
        World { _dir: dir, store, idp, router: lockgate_api::router(state) }
    }

    async fn send(&self, browser: &mut Browser, method: &str, path: &str, body: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        let jar: Vec<String> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !jar.is_empty() {
            request = request.header("cookie", jar.join("; "));
        }
        if let Some(site) = browser.site {
            request = request.header("sec-fetch-site", site);
        }
        if body.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let request = request.body(body.map_or_else(Body::empty, |text| Body::from(text.to_owned()))).unwrap();
        let peer = browser.address.unwrap_or("192.0.2.7:1").parse().unwrap();
        let response = self.router.clone().layer(Extension(PeerAddr(peer))).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for set in parts.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite="] {
                assert!(set.contains(part), "{set}");
            }
            assert!(set.starts_with("__Host-") && !set.contains("Domain"), "{set}");
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            match set.contains("Max-Age=0") {
                true => browser.cookies.remove(name),
                false => browser.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        let answer =
            Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() };
        assert!(
            !answer.status.is_server_error() || answer.status == StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            answer.text
        );
        answer
    }

    async fn get(&self, browser: &mut Browser, path: &str) -> Answer {
        self.send(browser, "GET", path, None).await
    }

    /// Goes to the provider and comes back with what it says of `user`.
    async fn sign_in(&self, browser: &mut Browser, user: &str, query: &str) -> Answer {
        let out = self.get(browser, &format!("/oidc/corp/login{query}")).await;
        let state = out.location().split("state=").nth(1).unwrap().to_owned();
        self.get(browser, &format!("/oidc/corp/callback?code={user}&state={state}")).await
    }

    async fn signed_in(&self, user: &str) -> Browser {
        let mut browser = Browser::default();
        assert_eq!(self.sign_in(&mut browser, user, "").await.status, StatusCode::SEE_OTHER);
        browser
    }

    async fn asked(&self, asker: Asker) -> LoginRequest {
        let now = clock::now();
        self.store.ask_login(asker, "198.51.100.4", now.plus_millis(60_000), now).await.unwrap().0
    }

    async fn state_of(&self, request: &LoginRequest) -> RequestState {
        self.store.login_request(&request.id, clock::now()).await.unwrap().unwrap().state
    }

    async fn api(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut nobody = Browser::default();
        let answer = self.send(&mut nobody, method, path, Some(&body.to_string())).await;
        (answer.status, serde_json::from_str(&answer.text).unwrap_or(Value::Null))
    }
}

fn link(user: &str) -> Asker {
    Asker::Link { user: user.to_owned(), target: "orders".parse().unwrap() }
}

const VERIFIER: &str = "a verifier that only the command line knows, of enough characters";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()))
}

#[tokio::test]
async fn a_command_line_is_logged_in_by_a_browser() {
    let world = World::new().await;
    let body = json!({ "challenge": challenge(), "redirect": "http://127.0.0.1:4000/callback", "state": "word" });
    let (status, asked) = world.api("POST", "/api/v1/login-requests", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{asked}");
    let (id, path) = (asked["id"].as_str().unwrap(), asked["path"].as_str().unwrap());
    let token = format!("/api/v1/login-requests/{id}/token");
    let (status, _) = world.api("POST", &token, &json!({ "code": "x", "verifier": VERIFIER })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "nobody has confirmed");

    let mut browser = Browser::default();
    let first = world.get(&mut browser, path).await;
    assert_eq!(first.location(), format!("/login?request={id}"));
    let login = world.get(&mut browser, first.location()).await;
    assert!(login.text.contains(&format!("href=\"/oidc/corp/login?request={id}\"")), "{}", login.text);
    let back = world.sign_in(&mut browser, "alice", &format!("?request={id}")).await;
    assert_eq!(back.location(), path, "it goes on where it wanted to");
    let page = world.get(&mut browser, path).await;
    for part in ["Signed in as <b>alice</b>", "lockgate login", "192.0.2.7"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:4000;"), "{policy}");
    let form = page.field("form");
    let done = world.send(&mut browser, "POST", path, Some(&format!("form={form}&action=approve"))).await;
    let location = done
        .location()
        .strip_prefix("http://127.0.0.1:4000/callback?code=")
        .unwrap_or_else(|| panic!("{}", done.location()));
    let (code, word) = location.split_once("&state=").unwrap();
    assert_eq!(word, "word");

    let (status, wrong) = world.api("POST", &token, &json!({ "code": code, "verifier": "another" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{wrong}");
    let (status, logged_in) = world.api("POST", &token, &json!({ "code": code, "verifier": VERIFIER })).await;
    assert_eq!((status, &logged_in["user"]), (StatusCode::OK, &json!("alice")));
    let verified = world.store.verify_token(logged_in["token"].as_str().unwrap(), clock::now()).await.unwrap();
    assert_eq!(verified.identity.user, "alice");
    // Twice is once too often, for the code as for the form.
    let (status, _) = world.api("POST", &token, &json!({ "code": code, "verifier": VERIFIER })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let again = world.send(&mut browser, "POST", path, Some(&format!("form={form}&action=approve"))).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_may_be_asked_for_is_narrow() {
    let world = World::new().await;
    for (body, why) in [
        (json!({ "challenge": challenge() }), "belong together"),
        (json!({ "challenge": "short", "redirect": "http://127.0.0.1:1/", "state": "x" }), "challenge"),
        (json!({ "challenge": challenge(), "redirect": "https://evil.example/", "state": "x" }), "redirect"),
        (json!({ "challenge": challenge(), "redirect": "http://127.0.0.1:1/", "state": "a b" }), "state"),
        (json!({ "challenge": challenge(), "redirect": "http://127.0.0.1:1/", "state": "x".repeat(129) }), "state"),
        (json!({ "user": "alice" }), "unknown field"),
    ] {
        let (status, answer) = world.api("POST", "/api/v1/login-requests", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(why), "{answer}");
    }
    for _ in 0..limits::LOGIN_REQUESTS_PER_SOURCE_MAX {
        assert_eq!(world.api("POST", "/api/v1/login-requests", &json!({})).await.0, StatusCode::CREATED);
    }
    assert_eq!(world.api("POST", "/api/v1/login-requests", &json!({})).await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_device_is_logged_in_by_its_code() {
    let world = World::new().await;
    let (_, asked) = world.api("POST", "/api/v1/login-requests", &json!({})).await;
    let (id, code, secret) =
        (asked["id"].as_str().unwrap(), asked["user_code"].as_str().unwrap(), asked["secret"].as_str().unwrap());
    let token = format!("/api/v1/login-requests/{id}/token");
    let claim = json!({ "secret": secret });
    assert_eq!(world.api("POST", &token, &claim).await.0, StatusCode::ACCEPTED);
    let mut browser = Browser::default();
    assert_eq!(
        world.get(&mut browser, &format!("/device?code={code}")).await.location(),
        format!("/login?code={code}")
    );
    let back = world.sign_in(&mut browser, "alice", &format!("?code={code}")).await;
    assert_eq!(back.location(), format!("/device?code={code}"));
    // The id alone opens nothing: whoever follows a link has not seen the device.
    assert_eq!(world.get(&mut browser, &format!("/confirm/{id}")).await.status, StatusCode::NOT_FOUND);
    let blank = world.get(&mut browser, "/device").await;
    assert!(blank.text.contains("name=\"code\""), "{}", blank.text);
    assert_eq!(world.get(&mut browser, "/device?code=BBBB-BBBB").await.status, StatusCode::NOT_FOUND);
    let page = world.get(&mut browser, &format!("/device?code={}", code.to_lowercase().replace('-', "%20"))).await;
    assert!(page.text.contains(code), "{}", page.text);
    let form = page.field("form");
    let path = format!("/confirm/{id}");
    let without = world.send(&mut browser, "POST", &path, Some(&format!("form={form}&action=approve"))).await;
    assert_eq!(without.status, StatusCode::CONFLICT, "without the code nothing is confirmed");
    assert_eq!(world.api("POST", &token, &claim).await.0, StatusCode::ACCEPTED);
    let fields = format!("form={form}&action=approve&code={code}");
    let done = world.send(&mut browser, "POST", &path, Some(&fields)).await;
    assert!(done.text.contains("Your command line is logged in"), "{}", done.text);
    let (status, logged_in) = world.api("POST", &token, &claim).await;
    assert_eq!((status, &logged_in["user"]), (StatusCode::OK, &json!("alice")));
    assert_eq!(world.api("POST", &token, &claim).await.0, StatusCode::NOT_FOUND, "once");

    let (_, asked) = world.api("POST", "/api/v1/login-requests", &json!({})).await;
    let (id, code) = (asked["id"].as_str().unwrap(), asked["user_code"].as_str().unwrap());
    let fields = format!("form={form}&action=deny&code={code}");
    let denied = world.send(&mut browser, "POST", &format!("/confirm/{id}"), Some(&fields)).await;
    assert!(denied.text.contains("Nobody was logged in"), "{}", denied.text);
    let claim = json!({ "secret": asked["secret"] });
    assert_eq!(world.api("POST", &format!("/api/v1/login-requests/{id}/token"), &claim).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn codes_cannot_be_tried_out() {
    let world = World::new().await;
    let mut browser = world.signed_in("alice").await;
    let mut refused = 0;
    for n in 0..limits::API_LOGIN_FAILURES_MAX + 5 {
        let letters = "BCDFGHJK".chars().cycle().skip(usize::try_from(n).unwrap() % 8).take(8).collect::<String>();
        let answer = world.get(&mut browser, &format!("/device?code={letters}")).await;
        refused += u32::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 5);
    browser.address = Some("192.0.2.99:1");
    let elsewhere = world.get(&mut browser, "/device?code=BBBB-BBBB").await;
    assert_eq!(elsewhere.status, StatusCode::TOO_MANY_REQUESTS, "another address does not help");
    let mut bob = world.signed_in("bob").await;
    assert_eq!(world.get(&mut bob, "/device?code=BBBB-BBBB").await.status, StatusCode::NOT_FOUND, "others go on");
}

#[tokio::test]
async fn a_link_is_confirmed_by_its_own_user_only() {
    let world = World::new().await;
    let request = world.asked(link("alice")).await;
    let path = format!("/link/{}", request.id);
    let confirm = format!("/confirm/{}", request.id);
    let mut bob = world.signed_in("bob").await;
    let page = world.get(&mut bob, &path).await;
    for part in [request.code.as_str(), "198.51.100.4", "orders", "<dd>alice</dd>"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    for action in ["approve", "deny"] {
        let fields = format!("form={}&action={action}", page.field("form"));
        let answer = world.send(&mut bob, "POST", &confirm, Some(&fields)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        assert!(answer.text.contains("asks for <b>alice</b>, and you are signed in as <b>bob</b>"), "{}", answer.text);
        assert_eq!(world.state_of(&request).await, RequestState::Pending);
    }
    assert!(world.idp.refusals().iter().any(|reason| reason.contains("`bob` wanted to confirm")), "it is on record");
    let mut alice = world.signed_in("alice").await;
    let fields = format!("form={}&action=approve", world.get(&mut alice, &path).await.field("form"));
    let done = world.send(&mut alice, "POST", &confirm, Some(&fields)).await;
    assert!(done.text.contains("Your connection goes on"), "{}", done.text);
    assert!(world.store.redeem_login_request(&request.id, LoginClaim::Link, clock::now()).await.is_ok());
    assert_eq!(world.get(&mut alice, &path).await.status, StatusCode::NOT_FOUND, "it is decided");
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let world = World::new().await;
    let request = world.asked(link("alice")).await;
    let path = format!("/confirm/{}", request.id);
    let mut alice = world.signed_in("alice").await;
    let mine = world.get(&mut alice, &path).await.field("form");
    let mut mallory = world.signed_in("mallory").await;
    let theirs = world.get(&mut mallory, &path).await.field("form");
    assert_ne!(mine, theirs);
    // The browser sends its cookie along; the other site knows neither it nor the word that belongs to it.
    for form in ["", "x", &theirs, &mine[1..], &mine.to_uppercase()] {
        let answer = world.send(&mut alice, "POST", &path, Some(&format!("form={form}&action=approve"))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
        let answer = world.send(&mut alice, "POST", "/logout", Some(&format!("form={form}"))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
    }
    for site in ["cross-site", "same-site", "none"] {
        let mut elsewhere = Browser { site: Some(site), ..alice.clone() };
        let answer = world.send(&mut elsewhere, "POST", &path, Some(&format!("form={mine}&action=approve"))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{site}");
    }
    // Opening an address confirms nothing, whatever it says.
    world.get(&mut alice, &format!("{path}?form={mine}&action=approve")).await;
    assert_eq!(world.state_of(&request).await, RequestState::Pending);
    alice.site = Some("same-origin");
    let answer = world.send(&mut alice, "POST", &path, Some(&format!("form={mine}&action=approve"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut nobody = Browser::default();
    let answer = world.send(&mut nobody, "POST", &path, Some(&format!("form={mine}&action=approve"))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_planted_sign_in_is_good_for_nothing() {
    let world = World::new().await;
    // Mallory's own cookie, put into the victim's browser before the victim signs in.
    let mallory = world.signed_in("mallory").await;
    let mut victim = mallory.clone();
    assert_eq!(world.sign_in(&mut victim, "alice", "").await.status, StatusCode::SEE_OTHER);
    assert_ne!(mallory.cookies, victim.cookies);
    let seen = world.get(&mut mallory.clone(), "/login").await;
    assert!(!seen.text.contains("alice") && seen.text.contains("Sign in with corp"), "{}", seen.text);
    // A cookie that was never given out stays nobody's.
    let mut made_up = Browser::default();
    made_up.cookies.insert("__Host-lockgate".to_owned(), "A".repeat(43));
    world.sign_in(&mut made_up, "alice", "").await;
    assert_ne!(made_up.cookies["__Host-lockgate"], "A".repeat(43));

    // Mallory begins a sign-in and has the victim's browser finish it: the victim's browser did not begin it.
    let mut attacker = Browser::default();
    let out = world.get(&mut attacker, "/oidc/corp/login").await;
    let state = out.location().split("state=").nth(1).unwrap().to_owned();
    let mut victim = Browser::default();
    let answer = world.get(&mut victim, &format!("/oidc/corp/callback?code=mallory&state={state}")).await;
    assert_eq!((answer.status, victim.cookies.len()), (StatusCode::FORBIDDEN, 0));
    // Nor when the victim's browser has begun one of its own.
    world.get(&mut victim, "/oidc/corp/login").await;
    let answer = world.get(&mut victim, &format!("/oidc/corp/callback?code=mallory&state={state}")).await;
    assert_eq!((answer.status, victim.cookies.len()), (StatusCode::FORBIDDEN, 0));
}

#[tokio::test]
async fn an_answer_of_a_provider_counts_once() {
    let world = World::new().await;
    let mut browser = Browser::default();
    let out = world.get(&mut browser, "/oidc/corp/login").await;
    let state = out.location().split("state=").nth(1).unwrap().to_owned();
    let before = browser.clone();
    let back = format!("/oidc/corp/callback?code=alice&state={state}");
    assert_eq!(world.get(&mut browser, &back).await.status, StatusCode::SEE_OTHER);
    // The same once more, with the cookie as it was: even where the provider would take its code twice.
    let mut replayed = before.clone();
    assert_eq!(world.get(&mut replayed, &back).await.status, StatusCode::FORBIDDEN);
    // Another provider's, and one that says no.
    let mut other = before.clone();
    assert_eq!(world.get(&mut other, &back.replace("corp", "other")).await.status, StatusCode::FORBIDDEN);
    let mut browser = Browser::default();
    world.get(&mut browser, "/oidc/corp/login").await;
    let answer = world.get(&mut browser, "/oidc/corp/callback?error=%3Cscript%3Eaccess_denied").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!answer.text.contains("script"), "{}", answer.text);
    assert!(browser.cookies.is_empty(), "the sign-in is over");
    for query in ["", "?code=x", "?state=x", "?code=a&code=b&state=c"] {
        let mut browser = Browser { address: Some("192.0.2.50:1"), ..Browser::default() };
        world.get(&mut browser, "/oidc/corp/login").await;
        let answer = world.get(&mut browser, &format!("/oidc/corp/callback{query}")).await;
        assert!(answer.status.is_client_error(), "{query}");
    }
    // A sealed memory that was tampered with, and one of another time.
    let mut tampered = before;
    let flow = tampered.cookies.get_mut("__Host-lockgate-flow").unwrap();
    flow.replace_range(20..21, if &flow[20..21] == "A" { "B" } else { "A" });
    assert_eq!(world.get(&mut tampered, &back).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let world = World::new().await;
    let hostile = [
        "request=https://evil.example",
        "request=//evil.example",
        "request=%2f%2fevil.example",
        "request=/\\evil.example",
        "request=..%2f..%2fevil",
        "request=a%0d%0aLocation:%20https://evil.example",
        "code=https://evil.example",
        "code=javascript:alert(1)",
        "next=https://evil.example",
        "redirect_uri=https://evil.example",
    ];
    let mut signed_in = world.signed_in("alice").await;
    for query in hostile {
        let mut browser = Browser::default();
        let page = world.get(&mut browser, &format!("/login?{query}")).await;
        assert!(!page.text.contains("evil") && !page.text.contains("javascript"), "{query}: {}", page.text);
        let back = world.sign_in(&mut browser, "alice", &format!("?{query}")).await;
        assert_eq!(back.location(), "/login", "{query}");
        let page = world.get(&mut signed_in, &format!("/login?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
    }
    for path in
        ["/confirm/https:%2f%2fevil.example", "/confirm/%2f%2fevil.example", "/link/..%2f..", "/confirm/a%0d%0ab"]
    {
        let answer = world.get(&mut Browser::default(), path).await;
        assert_eq!((answer.status, answer.headers.get("location")), (StatusCode::NOT_FOUND, None), "{path}");
    }
}

#[tokio::test]
async fn pages_say_what_they_are_and_run_no_script() {
    let world = World::new().await;
    let mut browser = world.signed_in("%3Cscript%3Ealert(1)%3C/script%3E").await;
    for path in ["/login", "/login?again=1", "/device", "/confirm/000000000000", "/oidc/missing/login", "/nothing/here"]
    {
        let page = world.get(&mut browser, path).await;
        assert!(!page.text.contains("<script"), "{path}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self';"), "{path}: {policy}");
        for (name, value) in
            [("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")]
        {
            assert_eq!(page.headers[name], value, "{path}");
        }
        if page.text.starts_with("<!doctype html>") {
            assert!(page.text.contains("<html lang=\"en\">") && page.text.contains("<h1>"), "{path}");
        }
    }
}

#[tokio::test]
async fn signing_out_ends_the_browser_or_all() {
    let world = World::new().await;
    let mut one = world.signed_in("alice").await;
    let kept = one.clone();
    let form = world.get(&mut one, "/login").await.field("form");
    let left = world.send(&mut one, "POST", "/logout", Some(&format!("form={form}"))).await;
    assert_eq!((left.location(), one.cookies.len()), ("/login", 0));
    assert!(
        world.get(&mut kept.clone(), "/login").await.text.contains("Sign in with"),
        "the old cookie is worth nothing"
    );

    let mut two = world.signed_in("alice").await;
    let request = world.asked(link("alice")).await;
    let form = world.get(&mut two, &format!("/link/{}", request.id)).await.field("form");
    world
        .send(&mut two, "POST", &format!("/confirm/{}", request.id), Some(&format!("form={form}&action=approve")))
        .await;
    let (token, _, _) = world.store.redeem_login_request(&request.id, LoginClaim::Link, clock::now()).await.unwrap();
    world.send(&mut two, "POST", "/logout", Some(&format!("form={form}&everywhere=yes"))).await;
    assert!(world.store.verify_token(token.expose(), clock::now()).await.is_err());
}

#[tokio::test]
async fn a_provider_that_is_away_is_said_to_be() {
    let world = World::new().await;
    world.idp.go_away();
    let mut browser = Browser::default();
    let answer = world.get(&mut browser, "/oidc/corp/login").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("Your identity provider does not answer"), "{}", answer.text);
    assert!(browser.cookies.is_empty());
}

#[tokio::test]
async fn saml_comes_back_by_a_form_of_another_site() {
    let world = World::new().await;
    let mut browser = Browser::default();
    let out = world.get(&mut browser, "/saml/corp-saml/login?request=k3v9x2ab12cd").await;
    let policy = out.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https://idp.example.com;"), "{policy}");
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("SameSite=None"), "another site posts");
    let asked = out.field("SAMLRequest");
    browser.site = Some("cross-site");
    let posted = format!("SAMLResponse=alice.{asked}");
    let back = world.send(&mut browser, "POST", "/saml/corp-saml/acs", Some(&posted)).await;
    assert_eq!(back.location(), "/confirm/k3v9x2ab12cd");
    assert!(back.headers.get_all("set-cookie").iter().any(|set| set.to_str().unwrap().contains("SameSite=Lax")));
    // A browser that did not ask, and a form that is larger than the API takes elsewhere.
    let other = world.send(&mut Browser::default(), "POST", "/saml/corp-saml/acs", Some(&posted)).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let large = format!("SAMLResponse={}", "A".repeat(300_000));
    assert_eq!(
        world.send(&mut browser, "POST", "/saml/corp-saml/acs", Some(&large)).await.status,
        StatusCode::FORBIDDEN
    );
    let larger = format!("SAMLResponse={}", "A".repeat(600_000));
    let answer = world.send(&mut browser, "POST", "/saml/corp-saml/acs", Some(&larger)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn local_users_sign_in_with_a_form_of_their_own_browser() {
    let world = World::new().await;
    let mut browser = Browser::default();
    assert!(!world.get(&mut browser, "/login").await.text.contains("password"), "there are no local users");
    let person = NewPerson {
        source: LOCAL.to_owned(),
        user: "lena".to_owned(),
        display: None,
        external_id: None,
        active: true,
        verifier: None,
        groups: Vec::new(),
    };
    world.store.create_person(person, "a test", clock::now()).await.unwrap();
    let page = world.get(&mut browser, "/login?request=k3v9x2ab12cd").await;
    let form = page.field("form");
    let send = |browser: &Browser, form: String, user: &str, password: &str| {
        let (mut browser, fields) =
            (browser.clone(), format!("form={form}&user={user}&password={password}&request=k3v9x2ab12cd"));
        let world = &world;
        async move {
            let answer = world.send(&mut browser, "POST", "/login", Some(&fields)).await;
            (answer, browser)
        }
    };
    let (wrong, after) = send(&browser, form.clone(), "lena", "wrong").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.text.contains("not right") && wrong.text.contains("k3v9x2ab12cd"), "{}", wrong.text);
    assert!(!after.cookies.contains_key("__Host-lockgate"));
    assert_eq!(send(&browser, form.clone(), "lena", "soon").await.0.status, StatusCode::TOO_MANY_REQUESTS);
    // Another site, which would sign the browser in as somebody else, does not know the word.
    for (browser, form) in [
        (browser.clone(), String::new()),
        (browser.clone(), "0".repeat(40)),
        (Browser::default(), form.clone()),
        (Browser { site: Some("cross-site"), ..browser.clone() }, form.clone()),
    ] {
        let (answer, after) = send(&browser, form, "lena", "right").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!after.cookies.contains_key("__Host-lockgate"));
    }
    let (done, after) = send(&browser, form, "lena", "right").await;
    assert_eq!(done.location(), "/confirm/k3v9x2ab12cd");
    assert!(world.get(&mut after.clone(), "/login").await.text.contains("Signed in as <b>lena</b> with local"));
}

#[tokio::test]
async fn nobody_signs_in_whom_a_directory_has_disabled() {
    let world = World::new().await;
    let mut browser = Browser::default();
    let refused = world.sign_in(&mut browser, "otto", "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert!(!browser.cookies.contains_key("__Host-lockgate"));
    assert_eq!(world.idp.refusals(), ["`otto` is disabled in `scim:corp`"]);
    // Nor does it help to have been signed in before: nothing is shown, and nothing confirmed.
    let new = NewLogin {
        provider: "corp".to_owned(),
        issuer: "https://idp.example.com".to_owned(),
        subject: "otto".to_owned(),
        user: "otto".to_owned(),
        groups: [].into(),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        source: String::new(),
        expires: clock::now().plus_millis(600_000),
        refresh_token: None,
    };
    let (secret, _) = world.store.sign_in(new, None, clock::now()).await.unwrap();
    browser.cookies.insert("__Host-lockgate".to_owned(), secret.expose().to_owned());
    assert!(!world.get(&mut browser, "/login").await.text.contains("otto"));
    let request = world.asked(Asker::Device).await;
    let asked = world.get(&mut browser, &format!("/device?code={}", request.code)).await;
    assert!(asked.location().starts_with("/login"), "{}", asked.location());
    let fields = format!("form=x&code={}&action=approve", request.code);
    let answer = world.send(&mut browser, "POST", &format!("/confirm/{}", request.id), Some(&fields)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.state_of(&request).await, RequestState::Pending);
}

#[tokio::test]
async fn who_waits_for_a_login_is_not_kept_waiting_by_strangers() {
    let world = World::new().await;
    let (_, asked) = world.api("POST", "/api/v1/login-requests", &json!({})).await;
    let path = format!("/api/v1/login-requests/{}/token", asked["id"].as_str().unwrap());
    let mut last = StatusCode::OK;
    for _ in 0..=limits::API_LOGIN_FAILURES_MAX {
        last = world.api("POST", &path, &json!({"secret": "A".repeat(43)})).await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "guessing waits");
    let right = world.api("POST", &path, &json!({"secret": asked["secret"]})).await;
    assert_eq!(right.0, StatusCode::ACCEPTED, "{}", right.1);
}

#[tokio::test]
async fn who_signs_in_is_not_kept_waiting_by_strangers_at_the_same_address() {
    let world = World::new().await;
    let mut last = None;
    for _ in 0..limits::API_LOGIN_FAILURES_MAX + 1 {
        last = Some(world.get(&mut Browser::default(), "/oidc/corp/callback?code=mallory&state=made-up").await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers.contains_key("retry-after"), "it says how long");
    world.signed_in("alice").await;

    // Who begins sign-ins and answers them wrongly has the provider asked, and that is not for everybody as often as they like.
    let mallorys = || Browser { address: Some("192.0.2.66:1"), ..Browser::default() };
    for _ in 0..limits::API_LOGIN_FAILURES_MAX {
        let mut browser = mallorys();
        world.get(&mut browser, "/oidc/corp/login").await;
        world.get(&mut browser, "/oidc/corp/callback?code=mallory&state=made-up").await;
    }
    let mut browser = mallorys();
    assert_eq!(world.sign_in(&mut browser, "mallory", "").await.status, StatusCode::TOO_MANY_REQUESTS);
    browser.address = Some("192.0.2.99:1");
    assert_eq!(world.sign_in(&mut browser, "alice", "").await.status, StatusCode::SEE_OTHER, "others go on");
}
