//! The API in process, over a real store: who may call what, the shape of refusals, hostile input, and the description.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Extension;
use axum::http::{Method, Request, StatusCode, header};
use lockgate_api::endpoints::{DIRECTORY_ENDPOINTS, ENDPOINTS, Role};
use lockgate_api::{
    Access, ApiState, BoxFuture, DecisionMade, Detokenize, Detokenizer, EventStream, EventView, JournalReader,
    LiveSessions, NoVerifier, NotDetokenized, NotProven, PeerAddr, Readiness, StillMay, TargetInfo, TokenValues,
};
use lockgate_core::{Identity, IdentityKind, Principal, Secret, SessionId, TargetName, Timestamp};
use lockgate_identity::Proven;
use lockgate_store::approvals::{Approvals, Decision, Need, NewApproval, Ticket};
use lockgate_store::{
    LOCAL, LoginInfo, NewLogin, NewPerson, NewToken, PersonChange, SessionOpened, Store, StoreError, clock,
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

#[derive(Default)]
struct Fakes {
    killed: Mutex<Vec<(SessionId, String)>>,
    live: Mutex<HashSet<SessionId>>,
    views: Mutex<Vec<EventView>>,
    following: Mutex<Vec<StillMay>>,
    decided: Mutex<Vec<String>>,
}

impl Access for Fakes {
    fn is_admin(&self, identity: &Identity) -> bool {
        identity.groups.contains("platform")
    }
    fn is_auditor(&self, identity: &Identity) -> bool {
        identity.groups.contains("audit")
    }
    fn decided(&self, decision: &DecisionMade<'_>) {
        let DecisionMade { approval, approved, by, .. } = decision;
        self.decided.lock().unwrap().push(format!("{approval} {approved} {by}"));
    }
    fn may_connect(&self, identity: &Identity, target: &TargetName, _now: Timestamp) -> bool {
        target.as_str() == "orders" && identity.groups.contains("engineers")
    }
    fn targets(&self) -> Vec<TargetInfo> {
        ["orders", "crm"]
            .map(|name| TargetInfo {
                name: name.parse().unwrap(),
                protocol: "postgres".to_owned(),
                labels: vec![("env".to_owned(), "prod".to_owned())],
            })
            .into()
    }
}

impl Detokenizer for Fakes {
    fn detokenize(&self, asked: &Detokenize<'_>) -> Result<Vec<TokenValues>, NotDetokenized> {
        match asked.label {
            "pii/ssn" if asked.identity.groups.contains("engineers") => Ok(asked
                .tokens
                .iter()
                .map(|token| match token.as_str() {
                    "tok_a" => Ok(vec![("text", "ann".to_owned())]),
                    _ => Err("this is not a token".to_owned()),
                })
                .collect()),
            "pii/ssn" => Err(NotDetokenized::Denied("no policy permits it".to_owned(), "ask".to_owned())),
            "full" => Err(NotDetokenized::Unrecordable),
            _ => Err(NotDetokenized::NoLabel),
        }
    }
}

impl LiveSessions for Fakes {
    fn kill(&self, id: SessionId, by: &str) -> bool {
        self.killed.lock().unwrap().push((id, by.to_owned()));
        self.live.lock().unwrap().contains(&id)
    }
    fn live(&self) -> HashSet<SessionId> {
        self.live.lock().unwrap().clone()
    }
}

impl JournalReader for Fakes {
    fn events(
        &self,
        session: SessionId,
        view: EventView,
        follow: Option<StillMay>,
    ) -> BoxFuture<'_, Result<Option<EventStream>, String>> {
        self.views.lock().unwrap().push(view);
        self.following.lock().unwrap().extend(follow);
        Box::pin(async move {
            let (lines, stream) = mpsc::channel(4);
            lines.send(Ok(format!("{{\"session\":\"{session}\"}}\n").into_bytes())).await.unwrap();
            lines.send(Ok(b"{\"n\":2}\n".to_vec())).await.unwrap();
            Ok(Some(stream))
        })
    }
}

/// Ready as long as it holds nothing against it.
#[derive(Default)]
struct Ready(Mutex<Option<String>>);

impl Readiness for Ready {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { self.0.lock().unwrap().clone().map_or(Ok(()), Err) })
    }
}

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    approvals: Approvals,
    fakes: Arc<Fakes>,
    ready: Arc<Ready>,
    router: Router,
    alice: String,
    bob: String,
    dora: String,
    auditor: String,
    admin: String,
    limited_admin: String,
    session: SessionId,
    ticket: Ticket,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
    fn code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        for part in ["code", "message", "hint"] {
            assert!(error[part].as_str().is_some_and(|t| !t.is_empty()), "{part} in {}", self.text);
        }
        error["code"].as_str().unwrap().to_owned()
    }
}

fn identity(user: &str, groups: &[&str]) -> Identity {
    Identity {
        user: user.to_owned(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: IdentityKind::Human,
        directories: Vec::new(),
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    }
}

async fn token(store: &Store, user: &str, groups: &[&str], targets: Option<&[&str]>) -> String {
    let now = clock::now();
    let new = NewToken {
        user: user.to_owned(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        targets: targets.map(|t| t.iter().map(|n| n.parse().unwrap()).collect::<BTreeSet<TargetName>>()),
        actions: None,
        expires: now.plus_millis(3_600_000),
    };
    store.create_token(new, "test", now).await.unwrap().0.expose().to_owned()
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let approvals = Approvals::new(store.clone());
        let fakes = Arc::new(Fakes::default());
        let ready = Arc::new(Ready::default());
        let session = SessionId::new(clock::now(), 3);
        let log = store.session_log();
        log.opened(SessionOpened {
            id: session,
            identity: identity("alice", &["engineers"]),
            protocol: "postgres".into(),
            target: "orders".parse().unwrap(),
            database: None,
            client: "192.0.2.1:5".to_owned(),
            opened: clock::now(),
        });
        log.flush().await;
        fakes.live.lock().unwrap().insert(session);
        let ticket = open(&approvals, session, "DELETE FROM <b>t</b>").await;
        let f = &fakes;
        let (access, sessions, journal, detokenizer) = (f.clone(), f.clone(), f.clone(), f.clone());
        let state =
            ApiState::new(store.clone(), approvals.clone(), access, sessions, journal, detokenizer, ready.clone())
                .with_passwords(Arc::new(Passwords));
        World {
            alice: token(&store, "alice", &["engineers"], None).await,
            bob: token(&store, "bob", &[], None).await,
            dora: token(&store, "dora", &["dba"], None).await,
            auditor: token(&store, "audrey", &["audit"], None).await,
            admin: token(&store, "root", &["platform"], None).await,
            limited_admin: token(&store, "root", &["platform"], Some(&["crm"])).await,
            router: lockgate_api::router(state),
            _dir: dir,
            store,
            approvals,
            fakes,
            ready,
            session,
            ticket,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from(request, "192.0.2.7:1").await
    }

    async fn send_from(&self, request: Request<Body>, peer: &str) -> Answer {
        let router = self.router.clone().layer(Extension(PeerAddr(peer.parse().unwrap())));
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, Some(token), None).await
    }

    async fn form(&self, path: &str, fields: &str) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(fields.to_owned()));
        self.send(request.unwrap()).await
    }
}

async fn open(approvals: &Approvals, session: SessionId, statement: &str) -> Ticket {
    approvals.open(request_of(statement, session), clock::now()).await.unwrap()
}

fn request_of(statement: &str, session: SessionId) -> NewApproval {
    NewApproval {
        session,
        requester: identity("alice", &["engineers"]),
        target: "orders".parse().unwrap(),
        database: None,
        statement: statement.to_owned(),
        parameters: None,
        digest: [7; 32],
        policies: vec!["ddl".to_owned()],
        needs: vec![Need { groups: ["dba".to_owned()].into(), quorum: 1 }],
        expires: clock::now().plus_millis(60_000),
    }
}

/// What each kind of caller gets from each endpoint: nobody, bob (a stranger to the objects), alice (their owner), dora (asked
/// to approve), an auditor, an administrator, and an administrator's token that is limited to another target.
const MATRIX: &[(&str, &str, [u16; 7])] = &[
    ("GET", "/api/v1/health", [200, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/ready", [200, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/openapi.json", [200, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/whoami", [401, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/targets", [401, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/sessions", [401, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/sessions/{id}", [401, 404, 200, 404, 200, 200, 404]),
    ("GET", "/api/v1/sessions/{id}/events", [401, 404, 200, 404, 200, 200, 404]),
    ("POST", "/api/v1/sessions/{id}/kill", [401, 404, 200, 404, 403, 200, 404]),
    ("GET", "/api/v1/approvals", [401, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/approvals/{id}", [401, 404, 200, 200, 200, 200, 404]),
    ("POST", "/api/v1/approvals/{id}/approve", [401, 404, 403, 200, 403, 403, 404]),
    ("POST", "/api/v1/approvals/{id}/deny", [401, 404, 403, 200, 403, 403, 404]),
    ("GET", "/api/v1/tokens", [401, 200, 200, 200, 200, 200, 200]),
    ("POST", "/api/v1/tokens", [401, 403, 403, 403, 403, 201, 403]),
    ("DELETE", "/api/v1/tokens", [401, 403, 403, 403, 403, 200, 403]),
    ("DELETE", "/api/v1/tokens/{id}", [401, 403, 403, 403, 403, 200, 403]),
    ("GET", "/api/v1/logins", [401, 200, 200, 200, 200, 200, 200]),
    ("DELETE", "/api/v1/logins/{id}", [401, 404, 200, 404, 403, 200, 404]),
    ("GET", "/api/v1/users", [401, 200, 200, 200, 200, 200, 200]),
    ("POST", "/api/v1/users", [401, 403, 403, 403, 403, 201, 403]),
    ("GET", "/api/v1/users/{user}", [401, 404, 200, 404, 200, 200, 404]),
    ("POST", "/api/v1/users/{user}/disable", [401, 403, 403, 403, 403, 200, 403]),
    ("POST", "/api/v1/users/{user}/enable", [401, 403, 403, 403, 403, 200, 403]),
    ("PUT", "/api/v1/users/{user}/groups", [401, 403, 403, 403, 403, 200, 403]),
    ("PUT", "/api/v1/users/{user}/password", [401, 404, 200, 404, 404, 200, 404]),
    ("POST", "/api/v1/detokenize", [401, 403, 200, 403, 403, 403, 403]),
    ("GET", "/approvals/{id}", [200, 200, 200, 200, 200, 200, 200]),
    ("POST", "/approvals/{id}", [400, 404, 200, 200, 200, 200, 404]),
    ("GET", "/assets/page.css", [200, 200, 200, 200, 200, 200, 200]),
    ("POST", "/api/v1/login-requests", [201, 201, 201, 201, 201, 201, 201]),
    ("POST", "/api/v1/login-requests/{id}/token", [400, 400, 400, 400, 400, 400, 400]),
    // Who is signed in with a browser is told by its cookie, whatever token is shown beside it.
    ("GET", "/", [303, 303, 303, 303, 303, 303, 303]),
    ("GET", "/login", [200, 200, 200, 200, 200, 200, 200]),
    ("POST", "/login", [400, 400, 400, 400, 400, 400, 400]),
    ("POST", "/logout", [400, 400, 400, 400, 400, 400, 400]),
    ("GET", "/confirm/{id}", [303, 303, 303, 303, 303, 303, 303]),
    ("POST", "/confirm/{id}", [400, 400, 400, 400, 400, 400, 400]),
    ("GET", "/link/{id}", [303, 303, 303, 303, 303, 303, 303]),
    ("GET", "/device", [303, 303, 303, 303, 303, 303, 303]),
    ("GET", "/oidc/{name}/login", [404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/saml/{name}/login", [404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/oidc/{name}/callback", [403, 403, 403, 403, 403, 403, 403]),
    ("GET", "/saml/{name}/metadata", [404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/saml/{name}/acs", [400, 400, 400, 400, 400, 400, 400]),
    // The last one: nobody has a token after it.
    ("DELETE", "/api/v1/login", [401, 200, 200, 200, 200, 200, 200]),
];

#[test]
fn every_endpoint_has_a_row_in_the_matrix() {
    let table: BTreeSet<_> = ENDPOINTS.iter().map(|e| (e.method.to_string(), e.path)).collect();
    let tested: BTreeSet<_> = MATRIX.iter().map(|(m, p, _)| ((*m).to_owned(), *p)).collect();
    assert_eq!(table, tested);
    assert_eq!(ENDPOINTS.len(), MATRIX.len());
    for endpoint in ENDPOINTS {
        let row = MATRIX.iter().find(|(m, p, _)| *m == endpoint.method.as_str() && *p == endpoint.path).unwrap();
        match endpoint.role {
            Role::Anybody => assert_eq!(row.2[0], 200),
            Role::TokenInForm => assert_eq!(row.2[0], 400),
            Role::Proven | Role::Admin => assert_eq!(row.2[0], 401),
            Role::ProofInBody | Role::Page => assert!(row.2.iter().all(|status| *status == row.2[0]), "{row:?}"),
        }
        if endpoint.role == Role::Admin {
            assert!(row.2[1..5].iter().all(|s| *s == 403) && row.2[6] == 403);
        }
        // An auditor reads what an administrator reads, and changes nothing.
        match endpoint.method {
            Method::GET => assert_eq!(row.2[4], row.2[5], "{}", endpoint.path),
            // Everybody ends their own login.
            _ if endpoint.path == "/api/v1/login" => {}
            _ if matches!(endpoint.role, Role::Proven | Role::Admin) => {
                assert!(matches!(row.2[4], 403 | 404), "{}", endpoint.path);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_matrix_holds() {
    let world = World::new().await;
    let mut n = 0;
    for (method, path, expected) in MATRIX {
        let callers = [
            None,
            Some(&world.bob),
            Some(&world.alice),
            Some(&world.dora),
            Some(&world.auditor),
            Some(&world.admin),
            Some(&world.limited_admin),
        ];
        for (caller, expected) in callers.into_iter().zip(expected) {
            n += 1;
            // A fresh object for each, since approving and revoking change it.
            let ticket = open(&world.approvals, world.session, "DROP TABLE t").await;
            let victim = token(&world.store, &format!("v{n}"), &[], None).await;
            let id = if path.contains("sessions") {
                world.session.to_string()
            } else if path.contains("/logins/") {
                login(&world.store, "alice").await.id
            } else if path.contains("tokens") {
                victim.split('_').nth(1).unwrap().to_owned()
            } else if path.starts_with("/confirm") || path.starts_with("/link") {
                "000000000000".to_owned()
            } else {
                ticket.id().to_owned()
            };
            store_alice(&world.store).await;
            let mut path = path.replace("{id}", &id).replace("{name}", "corp").replace("{user}", "alice");
            if *method == "DELETE" && path == "/api/v1/tokens" {
                path.push_str(&format!("?user=v{n}"));
            }
            let answer = if *method == "POST" && path.starts_with("/approvals/") {
                let fields = caller.map_or_else(|| "x=y".to_owned(), |t| format!("token={t}&action=show"));
                world.form(&path, &fields).await
            } else {
                let body = match path.as_str() {
                    "/api/v1/tokens" if *method == "POST" => Some(json!({"user": "zoe", "ttl_seconds": 60})),
                    "/api/v1/users" if *method == "POST" => Some(json!({"user": format!("u{n}")})),
                    "/api/v1/users/alice/groups" => Some(json!({"groups": ["engineers"]})),
                    "/api/v1/users/alice/password" => {
                        Some(json!({"password": "open sesame!", "current": "alice's own"}))
                    }
                    "/api/v1/detokenize" => Some(json!({"label": "pii/ssn", "tokens": ["tok_a"]})),
                    _ => None,
                };
                world.call(method.parse().unwrap(), &path, caller.map(String::as_str), body).await
            };
            assert_eq!(answer.status.as_u16(), *expected, "{method} {path} as {n}: {}", answer.text);
            if answer.status.is_client_error() && path.starts_with("/api") {
                answer.code();
            }
            assert_eq!(answer.status == 401, answer.headers.contains_key(header::WWW_AUTHENTICATE));
            assert!(answer.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
}

#[tokio::test]
async fn a_token_for_some_actions_says_so_and_has_no_role() {
    let world = World::new().await;
    let create = async |body: Value| world.call(Method::POST, "/api/v1/tokens", Some(&world.admin), Some(body)).await;
    for bad in [json!([]), json!(["read", "drop"])] {
        let answer = create(json!({"user": "root", "ttl_seconds": 60, "actions": bad})).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    }
    let made =
        create(json!({"user": "root", "groups": ["platform", "dba"], "ttl_seconds": 60, "actions": ["write", "read"]}));
    let scoped = made.await.json()["token"].as_str().unwrap().to_owned();
    let me = world.get("/api/v1/whoami", &scoped).await.json();
    assert_eq!((&me["role"], &me["admin"]), (&json!("member"), &json!(false)), "{me}");
    assert_eq!(me["token"]["actions"], json!(["read", "write"]));
    assert!(world.get("/api/v1/whoami", &world.admin).await.json()["token"].get("actions").is_none());
    let listed = world.get("/api/v1/tokens?user=root", &world.admin).await.json();
    let shown: Vec<&Value> = listed["tokens"].as_array().unwrap().iter().map(|token| &token["actions"]).collect();
    assert!(shown.contains(&&json!(["read", "write"])) && shown.contains(&&Value::Null), "{listed}");
    // What somebody else may do is none of its actions, nor is its owner's password.
    let approval = format!("/api/v1/approvals/{}", world.ticket.id());
    assert_eq!(world.get(&approval, &scoped).await.json()["may_decide"], json!(false));
    let decided = world.call(Method::POST, &format!("{approval}/approve"), Some(&scoped), Some(json!({}))).await;
    assert_eq!(decided.status, StatusCode::FORBIDDEN, "{}", decided.text);
    assert!(decided.text.contains("limited to actions"), "{}", decided.text);
    // Nor are the logins and the other sessions of its owner.
    let roots = login(&world.store, "root").await;
    let end = format!("/api/v1/logins/{}", roots.id);
    let kept = world.call(Method::DELETE, &end, Some(&scoped), None).await;
    assert!(kept.status == StatusCode::FORBIDDEN && kept.text.contains("limited"), "{}", kept.text);
    assert_eq!(world.call(Method::DELETE, &end, Some(&world.limited_admin), None).await.status, StatusCode::FORBIDDEN);
    let made = create(json!({"user": "alice", "groups": ["engineers"], "ttl_seconds": 60, "actions": ["connect"]}));
    let scoped = made.await.json()["token"].as_str().unwrap().to_owned();
    let kill = format!("/api/v1/sessions/{}/kill", world.session);
    assert_eq!(world.call(Method::POST, &kill, Some(&scoped), None).await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.call(Method::POST, &kill, Some(&world.alice), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_gets_a_name_later_sees_nothing_of_who_had_it_before() {
    let world = World::new().await;
    let pushed =
        || NewPerson { source: "scim:corp".to_owned(), user: "Alice".to_owned(), active: true, ..NewPerson::default() };
    let a_moment = || tokio::time::sleep(std::time::Duration::from_millis(3));
    let person = world.store.create_person(pushed(), "test", clock::now()).await.unwrap();
    let login = login(&world.store, "alice").await;
    let session = format!("/api/v1/sessions/{}", world.session);
    let paths = [session.clone(), format!("{session}/events"), format!("/api/v1/approvals/{}", world.ticket.id())];
    for path in &paths {
        assert_eq!(world.get(path, &world.alice).await.status, StatusCode::OK, "{path}");
    }
    a_moment().await;
    assert!(world.store.remove_person("scim:corp", &person.id, "test", clock::now()).await.unwrap());
    world.store.create_person(pushed(), "test", clock::now()).await.unwrap();
    a_moment().await;
    let own = token(&world.store, "alice", &["engineers"], None).await;
    let agents = {
        let party = Principal {
            user: "alice".to_owned(),
            kind: IdentityKind::Human,
            groups: Some(["engineers".to_owned()].into()),
            directories: Vec::new(),
        };
        let new = NewToken {
            user: "bot".to_owned(),
            groups: ["engineers".to_owned()].into(),
            kind: IdentityKind::Agent,
            on_behalf_of: vec![party],
            targets: None,
            actions: None,
            expires: clock::now().plus_millis(60_000),
        };
        world.store.create_token(new, "test", clock::now()).await.unwrap().0.expose().to_owned()
    };
    for later in [&own, &agents] {
        for path in &paths {
            assert_eq!(world.get(path, later).await.status, StatusCode::NOT_FOUND, "{path}");
        }
        for list in ["sessions", "approvals", "logins", "tokens"] {
            let listed = world.get(&format!("/api/v1/{list}"), later).await.text;
            let old = [world.session.to_string(), login.id.clone(), world.alice.split('_').nth(1).unwrap().to_owned()];
            assert!(!old.iter().any(|id| listed.contains(id.as_str())), "{list}: {listed}");
        }
        let kill = world.call(Method::POST, &format!("{session}/kill"), Some(later), None).await;
        assert_eq!(kill.status, StatusCode::NOT_FOUND);
    }
    assert!(world.get("/api/v1/tokens", &own).await.text.contains(own.split('_').nth(1).unwrap()), "what is theirs");
    // An administrator who is called so gets no rows by it either.
    let chief = token(&world.store, "alice", &["engineers", "platform"], None).await;
    world.fakes.views.lock().unwrap().clear();
    assert_eq!(world.get(&paths[1], &chief).await.status, StatusCode::OK);
    assert_eq!(world.fakes.views.lock().unwrap().pop(), Some(EventView::WithoutResults));
}

#[tokio::test]
async fn an_agent_sees_and_ends_no_login_of_others_for_whom_it_does_not_act() {
    let world = World::new().await;
    let party = Principal { user: "bob".to_owned(), kind: IdentityKind::Human, groups: None, directories: Vec::new() };
    let new = NewToken {
        user: "alice".to_owned(),
        groups: ["engineers".to_owned()].into(),
        kind: IdentityKind::Agent,
        on_behalf_of: vec![party],
        targets: None,
        actions: None,
        expires: clock::now().plus_millis(60_000),
    };
    let agent = world.store.create_token(new, "test", clock::now()).await.unwrap().0.expose().to_owned();
    let alices = login(&world.store, "alice").await;
    assert!(!world.get("/api/v1/logins", &agent).await.text.contains(&alices.id));
    let end = format!("/api/v1/logins/{}", alices.id);
    assert_eq!(world.call(Method::DELETE, &end, Some(&agent), None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.call(Method::DELETE, &end, Some(&world.alice), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_word_of_who_may_do_nothing_any_more_completes_no_quorum() {
    let world = World::new().await;
    let mut new = request_of("DROP TABLE t", world.session);
    new.needs = vec![Need { groups: ["dba".to_owned()].into(), quorum: 2 }];
    let ticket = world.approvals.open(new, clock::now()).await.unwrap();
    let dan = token(&world.store, "dan", &["dba"], None).await;
    let say = async |word: &str, token: &str| {
        let path = format!("/api/v1/approvals/{}/{word}", ticket.id());
        world.call(Method::POST, &path, Some(token), Some(json!({}))).await
    };
    assert_eq!(say("approve", &world.dora).await.json()["state"], "pending");
    let off =
        NewPerson { source: "scim:corp".to_owned(), user: "DORA".to_owned(), active: false, ..NewPerson::default() };
    world.store.create_person(off, "test", clock::now()).await.unwrap();
    let refused = say("approve", &dan).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    assert!(refused.text.contains("`dora`"), "{}", refused.text);
    assert_eq!(say("deny", &dan).await.json()["state"], "denied");
}

#[tokio::test]
async fn another_site_has_nothing_asked_here_and_keeps_nobody_waiting() {
    let world = World::new().await;
    let request = |method: Method, path: &str, mode: &str, dest: &str, body: &'static str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-dest", dest)
            .body(Body::from(body))
            .unwrap()
    };
    for _ in 0..2 * lockgate_core::limits::API_LOGIN_FAILURES_MAX {
        for request in [
            request(Method::GET, "/oidc/corp/callback?code=a&state=b", "no-cors", "image", ""),
            request(Method::GET, "/oidc/corp/login", "navigate", "iframe", ""),
            request(Method::POST, "/api/v1/login-requests/000000000000/token", "no-cors", "empty", r#"{"secret":"x"}"#),
            request(
                Method::POST,
                "/approvals/01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "navigate",
                "document",
                "token=lg_x&action=show",
            ),
        ] {
            let answer = world.send(request).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
        }
    }
    let own = Request::get("/api/v1/whoami").header(header::AUTHORIZATION, "Bearer lg_wrong").body(Body::empty());
    assert_eq!(world.send(own.unwrap()).await.status, StatusCode::UNAUTHORIZED, "nothing of it counts");
    // People come here from there.
    let come = request(Method::GET, "/login", "navigate", "document", "");
    assert_eq!(world.send(come).await.status, StatusCode::OK);
}

/// A login of a user, as the pages make them.
async fn login(store: &Store, user: &str) -> LoginInfo {
    let Proven { provider, issuer, subject, user, groups, kind, on_behalf_of, .. } = proven(user);
    let now = clock::now();
    let new = NewLogin {
        provider,
        issuer,
        subject,
        user,
        groups,
        kind,
        on_behalf_of,
        source: "192.0.2.7".to_owned(),
        expires: now.plus_millis(60_000),
        refresh_token: None,
    };
    store.sign_in(new, None, now).await.unwrap().1
}

#[tokio::test]
async fn logins_are_seen_and_ended_by_whose_they_are_and_by_administrators() {
    let world = World::new().await;
    let (alices, bobs) = (login(&world.store, "alice").await, login(&world.store, "bob").await);
    let listed = async |token: &str, query: &str| {
        let answer = world.get(&format!("/api/v1/logins{query}"), token).await.json();
        let logins = answer["logins"].as_array().unwrap().clone();
        logins.iter().map(|login| login["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([alices.id.clone(), bobs.id.clone()]);
    for (token, query, expected) in [
        (&world.alice, "", BTreeSet::from([alices.id.clone()])),
        (&world.alice, "?user=bob", BTreeSet::new()),
        (&world.dora, "", BTreeSet::new()),
        (&world.auditor, "", both.clone()),
        (&world.admin, "?provider=local&live=true", both.clone()),
        (&world.admin, "?user=bob", BTreeSet::from([bobs.id.clone()])),
        (&world.admin, "?provider=corp", BTreeSet::new()),
    ] {
        assert_eq!(listed(token, query).await, expected, "{query}");
    }
    let end = async |token: &str, id: &str| {
        world.call(Method::DELETE, &format!("/api/v1/logins/{id}"), Some(token), None).await
    };
    assert_eq!(end(&world.auditor, &bobs.id).await.status, StatusCode::FORBIDDEN);
    let ended = end(&world.admin, &bobs.id).await.json();
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("ended"), &json!("ended by root")), "{ended}");
    assert_eq!(listed(&world.admin, "?live=true").await, BTreeSet::from([alices.id.clone()]));
    assert_eq!(listed(&world.admin, "").await, both);
    // Another spelling is the same person, and somebody else is not, nor is an agent of somebody else that has the name.
    let loud = login(&world.store, "A\u{200b}LICE").await;
    let hers = BTreeSet::from([alices.id.clone(), loud.id.clone()]);
    let token = async |body: Value| {
        let made = world.call(Method::POST, "/api/v1/tokens", Some(&world.admin), Some(body)).await;
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let spelt = token(json!({"user": "Alice", "ttl_seconds": 60})).await;
    let alicia = token(json!({"user": "alicia", "ttl_seconds": 60})).await;
    let agent =
        token(json!({"user": "alice", "kind": "agent", "on_behalf_of": [{"user": "bob"}], "ttl_seconds": 60})).await;
    for (token, query, expected) in [
        (&world.alice, "", &hers),
        (&world.alice, "?user=ALICE", &hers),
        (&spelt, "", &hers),
        (&world.admin, "?user=Alice", &hers),
        (&world.auditor, "?user=alice&limit=1000", &hers),
        (&alicia, "", &BTreeSet::new()),
        (&alicia, "?user=alice", &BTreeSet::new()),
        (&agent, "", &BTreeSet::new()),
    ] {
        assert_eq!(listed(token, query).await, *expected, "{query}");
    }
    for other in [&alicia, &agent, &world.dora] {
        assert_eq!(end(other, &loud.id).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(end(&world.alice, &loud.id).await.json()["state"], "ended");
    assert_eq!(end(&spelt, &alices.id).await.json()["state"], "ended");
    let done = world.store.acts_waiting().await.unwrap();
    assert!(done.iter().any(|act| act.what == "login.ended" && act.by == "root" && act.subject == "bob"), "{done:?}");
}

/// Makes the local user that the matrix asks about, as often as it asks.
async fn store_alice(store: &Store) {
    let new = NewPerson { source: LOCAL.to_owned(), user: "alice".to_owned(), active: true, ..NewPerson::default() };
    match store.create_person(new, "test", clock::now()).await {
        Ok(_) | Err(StoreError::Taken(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// One password, and a verifier that says so; the true ones are the gateway's.
struct Passwords;

impl lockgate_api::Passwords for Passwords {
    fn prove<'a>(&'a self, user: &'a str, password: &'a Secret, _: IpAddr) -> BoxFuture<'a, Result<Proven, NotProven>> {
        Box::pin(async move {
            match password.expose() {
                "alice's own" => Ok(proven(user)),
                "too soon" => Err(NotProven::TooSoon(7)),
                "busy" => Err(NotProven::Busy),
                _ => Err(NotProven::Wrong),
            }
        })
    }

    fn verifier<'a>(&'a self, _: &'a str, password: &'a Secret) -> BoxFuture<'a, Result<Secret, NoVerifier>> {
        Box::pin(async move {
            match password.expose() {
                "short" => Err(NoVerifier::Unfit("too short".to_owned())),
                long => Ok(Secret::new(format!("verifier of {}", long.len()))),
            }
        })
    }
}

fn proven(user: &str) -> Proven {
    Proven {
        provider: LOCAL.to_owned(),
        issuer: LOCAL.to_owned(),
        subject: "1".to_owned(),
        user: user.to_owned(),
        groups: BTreeSet::new(),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        issued: None,
        expires: clock::now().plus_millis(1_000),
        id: "local:1".to_owned(),
        refresh_token: None,
    }
}

#[tokio::test]
async fn local_users_are_made_listed_changed_and_seen_by_themselves() {
    let world = World::new().await;
    let call = async |method: Method, path: &str, who: &str, body: Value| {
        world.call(method, path, Some(who), Some(body)).await
    };
    let body = json!({"user": "Bob", "display_name": "Bob B.", "groups": ["b", "a"], "password": "open sesame!"});
    let made = call(Method::POST, "/api/v1/users", &world.admin, body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    assert_eq!((made["user"].as_str(), made["groups"].clone()), (Some("Bob"), json!(["a", "b"])));
    assert!(made["password_set"].is_string() && !made.to_string().contains("verifier"));
    let again = call(Method::POST, "/api/v1/users", &world.admin, body).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "conflict"));
    for bad in [
        json!({"user": ""}),
        json!({"user": "x", "password": "short"}),
        json!({"user": "x", "groups": ["a\n"]}),
        json!({"user": "x", "active": true}),
        json!({"user": "x", "verifier": "$argon2id$"}),
    ] {
        assert_eq!(call(Method::POST, "/api/v1/users", &world.admin, bad.clone()).await.status, 400, "{bad}");
    }
    let disabled = call(Method::POST, "/api/v1/users/bob/disable", &world.admin, json!({})).await;
    assert_eq!(disabled.json()["active"], false);
    assert!(world.store.account("bob").await.unwrap().refusal().is_some());
    assert_eq!(call(Method::POST, "/api/v1/users/bob/enable", &world.admin, json!({})).await.json()["active"], true);
    let put = |groups: Value| call(Method::PUT, "/api/v1/users/bob/groups", &world.admin, json!({"groups": groups}));
    assert_eq!(put(json!(["c"])).await.json()["groups"], json!(["c"]));
    assert_eq!(put(json!(["c", "\n"])).await.status, 400);
    assert_eq!(call(Method::PUT, "/api/v1/users/nobody/groups", &world.admin, json!({"groups": []})).await.status, 404);

    // Everybody sees themselves, whoever may see all sees all.
    store_alice(&world.store).await;
    let users = async |who: &str| {
        let list = world.get("/api/v1/users", who).await.json()["users"].clone();
        list.as_array().unwrap().iter().map(|u| u["user"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(users(&world.bob).await, BTreeSet::from(["Bob".to_owned()]));
    assert_eq!(users(&world.dora).await, BTreeSet::new());
    for who in [&world.admin, &world.auditor] {
        assert_eq!(users(who).await.len(), 2);
    }
    let first = world.get("/api/v1/users?limit=1", &world.admin).await.json();
    let next =
        world.get(&format!("/api/v1/users?limit=1&after={}", first["next"].as_str().unwrap()), &world.admin).await;
    assert_ne!(first["users"][0]["id"], next.json()["users"][0]["id"]);

    // Who did it waits to be recorded.
    let acts = world.store.acts_waiting().await.unwrap();
    assert!(acts.iter().any(|act| act.what == "user.disabled" && act.by == "root" && act.subject == "Bob"), "{acts:?}");
}

#[tokio::test]
async fn ones_own_password_needs_the_old_one_and_a_token_without_limits() {
    let world = World::new().await;
    store_alice(&world.store).await;
    let put = async |who: &str, user: &str, body: Value| {
        world.call(Method::PUT, &format!("/api/v1/users/{user}/password"), Some(who), Some(body)).await
    };
    let with = |current: &str| json!({"password": "open sesame!", "current": current});
    for (current, status) in [("wrong", 403), ("too soon", 429), ("busy", 503), ("alice's own", 200)] {
        assert_eq!(put(&world.alice, "alice", with(current)).await.status.as_u16(), status, "{current}");
    }
    assert_eq!(put(&world.alice, "alice", json!({"password": "open sesame!"})).await.status, 400);
    let unfit = json!({"password": "short", "current": "alice's own"});
    assert_eq!(put(&world.alice, "alice", unfit).await.status, 400);
    // An administrator sets other people's, and their own with the old one.
    assert_eq!(put(&world.admin, "ALICE", json!({"password": "open sesame!"})).await.status, 200);
    let new = NewPerson { source: LOCAL.to_owned(), user: "root".to_owned(), active: true, ..NewPerson::default() };
    world.store.create_person(new, "test", clock::now()).await.unwrap();
    for own in ["root", "ROOT"] {
        assert_eq!(put(&world.admin, own, json!({"password": "open sesame!"})).await.status, 400);
        assert_eq!(put(&world.limited_admin, own, with("alice's own")).await.status, 403);
    }
    let limited = token(&world.store, "alice", &[], Some(&["orders"])).await;
    assert_eq!(put(&limited, "alice", with("alice's own")).await.status, 403);
}

#[tokio::test]
async fn roles_are_shown_and_decisions_are_told() {
    let world = World::new().await;
    for (who, role) in [
        (&world.alice, "member"),
        (&world.auditor, "auditor"),
        (&world.admin, "admin"),
        (&world.limited_admin, "member"),
    ] {
        assert_eq!(world.get("/api/v1/whoami", who).await.json()["role"], role);
    }
    let path = format!("/api/v1/approvals/{}/approve", world.ticket.id());
    world.call(Method::POST, &path, Some(&world.auditor), None).await;
    assert!(world.fakes.decided.lock().unwrap().is_empty());
    world.call(Method::POST, &path, Some(&world.dora), None).await;
    assert_eq!(*world.fakes.decided.lock().unwrap(), [format!("{} true dora", world.ticket.id())]);
    // Without result rows, like an administrator.
    world.get(&format!("/api/v1/sessions/{}/events", world.session), &world.auditor).await;
    assert_eq!(*world.fakes.views.lock().unwrap(), [EventView::WithoutResults]);
}

#[tokio::test]
async fn lists_hold_only_what_is_the_callers() {
    let world = World::new().await;
    for (who, sessions, approvals) in [
        (&world.alice, 1, 1),
        (&world.bob, 0, 0),
        (&world.dora, 0, 1),
        (&world.admin, 1, 1),
        (&world.limited_admin, 0, 0),
    ] {
        assert_eq!(world.get("/api/v1/sessions", who).await.json()["sessions"].as_array().unwrap().len(), sessions);
        assert_eq!(world.get("/api/v1/approvals", who).await.json()["approvals"].as_array().unwrap().len(), approvals);
    }
    let foreign = world.get("/api/v1/sessions?user=alice", &world.bob).await;
    assert_eq!(foreign.json()["sessions"], json!([]));
    let targets =
        |a: Answer| a.json()["targets"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect::<Vec<_>>();
    assert_eq!(targets(world.get("/api/v1/targets", &world.alice).await), ["orders"]);
    assert_eq!(targets(world.get("/api/v1/targets", &world.admin).await), Vec::<Value>::new());
    let tokens = |a: Answer| a.json()["tokens"].as_array().unwrap().len();
    assert_eq!(tokens(world.get("/api/v1/tokens", &world.alice).await), 1);
    assert_eq!(tokens(world.get("/api/v1/tokens?user=root", &world.alice).await), 0);
    assert_eq!(tokens(world.get("/api/v1/tokens", &world.admin).await), 6);
    assert_eq!(world.get("/api/v1/approvals", &world.dora).await.json()["approvals"][0]["may_decide"], true);
    assert_eq!(world.get("/api/v1/approvals", &world.alice).await.json()["approvals"][0]["may_decide"], false);
}

#[tokio::test]
async fn tokens_are_read_back_in_order_and_not_without_end() {
    let world = World::new().await;
    let ask = |label: &str, tokens: Value| {
        let body = json!({"label": label, "tokens": tokens});
        world.call(Method::POST, "/api/v1/detokenize", Some(&world.alice), Some(body))
    };
    let answer = ask("pii/ssn", json!(["tok_a", "x"])).await.json();
    assert_eq!(answer["tokens"][0], json!({"token": "tok_a", "values": [{"kind": "text", "value": "ann"}]}));
    assert_eq!(answer["tokens"][1], json!({"token": "x", "values": [], "error": "this is not a token"}));
    assert_eq!(ask("pii/other", json!(["x"])).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask("full", json!(["x"])).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask("pii/ssn", json!([])).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask("pii/ssn", json!(vec!["x"; 101])).await.status, StatusCode::BAD_REQUEST);
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(ask("pii/ssn", json!(vec!["x"; 100])).await.status);
    }
    assert_eq!(answers[..9], [StatusCode::OK; 9]);
    let refused = ask("pii/ssn", json!(vec!["x"; 100])).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"));
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn an_approval_over_http_reaches_the_session_that_waits() {
    let mut world = World::new().await;
    let path = format!("/api/v1/approvals/{}/approve", world.ticket.id());
    let answer = world.call(Method::POST, &path, Some(&world.dora), Some(json!({"reason": "checked"}))).await;
    assert_eq!((answer.status, answer.json()["state"].as_str()), (StatusCode::OK, Some("approved")));
    assert!(matches!(world.ticket.wait().await, Decision::Approved(_)));
    let again = world.call(Method::POST, &path, Some(&world.dora), None).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "conflict"));
}

#[tokio::test]
async fn a_token_made_over_http_works_until_it_is_revoked() {
    let world = World::new().await;
    let body = json!({"user": "zoe", "groups": ["dba"], "kind": "service", "targets": ["orders"], "ttl_seconds": 60,
                      "on_behalf_of": [{"user": "bob", "groups": ["dba"]}]});
    let made = world.call(Method::POST, "/api/v1/tokens", Some(&world.admin), Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let (text, id) =
        (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    let who = world.get("/api/v1/whoami", &text).await.json();
    assert_eq!(
        (&who["user"], &who["kind"], &who["admin"], &who["on_behalf_of"][0]["user"]),
        (&json!("zoe"), &json!("service"), &json!(false), &json!("bob"))
    );
    world.call(Method::DELETE, &format!("/api/v1/tokens/{id}"), Some(&world.admin), None).await;
    let after = world.get("/api/v1/whoami", &text).await;
    assert_eq!((after.status, after.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    assert!(after.text.contains("revoked"));
    for secret in [&text, &world.admin] {
        assert!(!world.get("/api/v1/tokens", &world.admin).await.text.contains(&secret[16..]));
    }
}

#[tokio::test]
async fn recordings_show_rows_only_to_the_sessions_own_user() {
    let world = World::new().await;
    let path = format!("/api/v1/sessions/{}/events", world.session);
    let own = world.get(&path, &world.alice).await;
    assert_eq!(own.headers[header::CONTENT_TYPE], "application/x-ndjson");
    assert_eq!(own.text.lines().count(), 2);
    world.get(&path, &world.admin).await;
    assert_eq!(*world.fakes.views.lock().unwrap(), [EventView::Whole, EventView::WithoutResults]);
    // A token of the same user that stands for other groups may not see now what that session saw then.
    let lesser = token(&world.store, "alice", &[], None).await;
    let other = token(&world.store, "alice", &["engineers", "sales"], None).await;
    let spelt = token(&world.store, "Alice", &["engineers"], None).await;
    for same in [&lesser, &other, &spelt] {
        world.fakes.views.lock().unwrap().clear();
        assert_eq!(world.get(&path, same).await.status, StatusCode::OK);
        assert_eq!(*world.fakes.views.lock().unwrap(), [EventView::WithoutResults]);
    }
}

/// A token of agent `bot`, who acts for somebody.
async fn bot(store: &Store, principal: &str) -> (String, Identity) {
    let now = clock::now();
    let acts_for = |user: &str| Principal {
        user: user.to_owned(),
        kind: IdentityKind::Human,
        groups: Some(["engineers".to_owned()].into()),
        directories: Vec::new(),
    };
    let new = NewToken {
        user: "bot".to_owned(),
        groups: ["engineers".to_owned()].into(),
        kind: IdentityKind::Agent,
        on_behalf_of: vec![acts_for(principal)],
        targets: None,
        actions: None,
        expires: now.plus_millis(3_600_000),
    };
    let (secret, info) = store.create_token(new, "test", now).await.unwrap();
    (secret.expose().to_owned(), info.identity())
}

#[tokio::test]
async fn what_an_agent_did_for_one_person_is_not_told_to_another() {
    let world = World::new().await;
    let ((for_alice, identity), (for_bob, _)) = (bot(&world.store, "alice").await, bot(&world.store, "bob").await);
    let session = SessionId::new(clock::now(), 4);
    let log = world.store.session_log();
    log.opened(SessionOpened {
        id: session,
        identity: identity.clone(),
        protocol: "postgres".into(),
        target: "orders".parse().unwrap(),
        database: None,
        client: "192.0.2.1:5".to_owned(),
        opened: clock::now(),
    });
    log.flush().await;
    world.fakes.live.lock().unwrap().insert(session);
    let mut new = request_of("DELETE FROM t WHERE ssn = 'x'", session);
    new.requester = identity;
    let ticket = world.approvals.open(new, clock::now()).await.unwrap();
    let events = format!("/api/v1/sessions/{session}/events");
    for (caller, status, view) in [
        (&for_alice, StatusCode::OK, Some(EventView::Whole)),
        (&world.alice, StatusCode::OK, Some(EventView::WithoutResults)),
        (&for_bob, StatusCode::NOT_FOUND, None),
        (&world.bob, StatusCode::NOT_FOUND, None),
    ] {
        world.fakes.views.lock().unwrap().clear();
        assert_eq!(world.get(&events, caller).await.status, status);
        assert_eq!(world.fakes.views.lock().unwrap().pop(), view);
        assert_eq!(world.get(&format!("/api/v1/approvals/{}", ticket.id()), caller).await.status, status);
        let listed = world.get("/api/v1/approvals", caller).await.text;
        assert_eq!(listed.contains(ticket.id()), status == StatusCode::OK, "{listed}");
    }
    assert!(!world.get("/api/v1/sessions", &for_bob).await.text.contains(&session.to_string()));
    assert!(world.get("/api/v1/sessions", &for_alice).await.text.contains(&session.to_string()));
    let tokens = |text: String| text.matches("\"user\":\"alice\"").count();
    assert_eq!(tokens(world.get("/api/v1/tokens", &for_bob).await.text), 0, "nor for whom else it acts");
    assert_eq!(tokens(world.get("/api/v1/tokens", &for_alice).await.text), 1);
    let kill = format!("/api/v1/sessions/{session}/kill");
    assert_eq!(world.call(Method::POST, &kill, Some(&for_bob), None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.call(Method::POST, &kill, Some(&for_alice), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_proven_is_not_kept_waiting_by_strangers_behind_the_same_address() {
    let world = World::new().await;
    let call = |token: &str| {
        let request = Request::get("/api/v1/whoami").header(header::AUTHORIZATION, format!("Bearer {token}"));
        world.send_from(request.body(Body::empty()).unwrap(), "198.51.100.1:1")
    };
    let mut last = StatusCode::OK;
    for _ in 0..=lockgate_core::limits::API_LOGIN_FAILURES_MAX {
        last = call("lg_wrong").await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(call(&world.alice).await.status, StatusCode::OK);
    assert_eq!(call("lg_wrong").await.status, StatusCode::TOO_MANY_REQUESTS, "that forgives nothing");
}

#[tokio::test]
async fn who_follows_a_recording_loses_it_with_any_word_of_a_directory() {
    let world = World::new().await;
    let watched = world.store.clone();
    let watch = tokio::spawn(async move { watched.watch_tokens().await });
    let person =
        NewPerson { source: "scim:corp".to_owned(), user: "audrey".to_owned(), active: true, ..NewPerson::default() };
    let person = world.store.create_person(person, "test", clock::now()).await.unwrap();
    let path = format!("/api/v1/sessions/{}/events?follow=true", world.session);
    assert_eq!(world.get(&path, &world.auditor).await.status, StatusCode::OK);
    let still_may = world.fakes.following.lock().unwrap().pop().unwrap();
    assert!(still_may());
    let off = PersonChange { active: Some(false), ..PersonChange::default() };
    world.store.change_person("scim:corp", &person.id, off, "test", clock::now()).await.unwrap();
    assert!(!still_may());
    watch.abort();
}

#[tokio::test]
async fn killing_names_who_did_it() {
    let world = World::new().await;
    let path = format!("/api/v1/sessions/{}/kill", world.session);
    assert_eq!(world.call(Method::POST, &path, Some(&world.admin), None).await.status, StatusCode::OK);
    assert_eq!(*world.fakes.killed.lock().unwrap(), [(world.session, "root".to_owned())]);
    let shown = format!("/api/v1/sessions/{}", world.session);
    assert_eq!(world.get(&shown, &world.alice).await.json()["live"], true);
    world.fakes.live.lock().unwrap().clear();
    assert_eq!(world.get(&shown, &world.alice).await.json()["live"], false);
    assert_eq!(world.call(Method::POST, &path, Some(&world.alice), None).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn readiness_says_why_not() {
    let world = World::new().await;
    *world.ready.0.lock().unwrap() = Some("the disk is full".to_owned());
    let answer = world.call(Method::GET, "/api/v1/ready", None, None).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"));
    assert!(answer.text.contains("the disk is full"), "{}", answer.text);
    assert_eq!(world.call(Method::GET, "/api/v1/health", None, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn hostile_input_is_the_clients_fault() {
    let world = World::new().await;
    let long = "x".repeat(5_000);
    let ids =
        ["0", "%00", "..%2f..%2fetc", "'%20OR%201=1--", "%F0%9F%92%A9", "%ff%fe", &long, "01ARZ3NDEKTSV4RRFFQ69G5FAV"];
    for id in ids {
        for (method, path, _) in MATRIX.iter().filter(|(_, p, _)| p.contains("{id}")) {
            let answer = world.call(method.parse().unwrap(), &path.replace("{id}", id), Some(&world.admin), None).await;
            let fine = answer.status.is_client_error() || (path.starts_with("/approvals") && answer.status == 200);
            assert!(fine, "{method} {path} {id:.40}: {}", answer.status);
        }
    }
    let bodies: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"user\": 5}".to_vec(),
        br#"{"user":"a","ttl_seconds":-1}"#.to_vec(),
        br#"{"user":"a","ttl_seconds":1e30}"#.to_vec(),
        br#"{"user":"a","ttl_seconds":0}"#.to_vec(),
        br#"{"user":"","ttl_seconds":9}"#.to_vec(),
        br#"{"user":"a\u0000","ttl_seconds":9}"#.to_vec(),
        br#"{"user":"a","ttl_seconds":9,"sudo":true}"#.to_vec(),
        br#"{"user":"a","ttl_seconds":9,"kind":"god"}"#.to_vec(),
        br#"{"user":"a","ttl_seconds":9,"targets":["../x"]}"#.to_vec(),
        br#"{"user":"a","ttl_seconds":9,"targets":[]}"#.to_vec(),
        "[".repeat(60_000).into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        let request = Request::post("/api/v1/tokens").header(header::AUTHORIZATION, format!("Bearer {}", world.admin));
        let answer = world.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "bad_request"), "{shown}");
    }
    let request = Request::post("/api/v1/tokens").header(header::AUTHORIZATION, format!("Bearer {}", world.admin));
    let answer = world.send(request.body(Body::from(vec![b' '; 1 << 20])).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "too_large"));
    for query in
        ["limit=-1", "limit=x", "limit=99999999999999999999999", "live=maybe", "before=zz", "nonsense=1", "since=1e9"]
    {
        let answer = world.get(&format!("/api/v1/sessions?{query}"), &world.admin).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "bad_request"), "{query}");
    }
    assert_eq!(world.get("/api/v1/sessions?limit=0&user=%27%3B--", &world.admin).await.status, 200);
    assert_eq!(world.get("/api/v1/approvals?state=%3Cb%3E", &world.admin).await.code(), "bad_request");
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/api/v2", 404),
        ("PUT", "/api/v1/tokens", 405),
        ("TRACE", "/api/v1/health", 405),
    ] {
        let answer = world.call(method.parse().unwrap(), path, None, None).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        answer.code();
    }
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer lg_x_y", "Bearer \u{7f}"] {
        let request = Request::get("/api/v1/whoami").header(header::AUTHORIZATION, value.as_bytes());
        let Ok(request) = request.body(Body::empty()) else { continue };
        assert_eq!(world.send(request).await.status, 401, "{value}");
    }
    let twice = Request::get("/api/v1/whoami")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.bob))
        .header(header::AUTHORIZATION, format!("Bearer {}", world.admin));
    assert_eq!(world.send(twice.body(Body::empty()).unwrap()).await.status, 401);
}

#[tokio::test]
async fn guessing_has_to_wait_and_others_do_not() {
    let world = World::new().await;
    let guess = || {
        let token = format!("Bearer lg_000000000000_{}", "A".repeat(43));
        Request::get("/api/v1/whoami").header(header::AUTHORIZATION, token).body(Body::empty()).unwrap()
    };
    let mut last = StatusCode::OK;
    for _ in 0..=lockgate_core::limits::API_LOGIN_FAILURES_MAX {
        last = world.send_from(guess(), "198.51.100.1:1").await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let answer = world.send_from(guess(), "198.51.100.1:2").await;
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(world.send_from(guess(), "198.51.100.2:1").await.status, StatusCode::UNAUTHORIZED);
    // The form counts as well.
    let form = Request::post("/approvals/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("token=lg_x&action=show"));
    assert_eq!(world.send_from(form.unwrap(), "198.51.100.1:3").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_page_tells_strangers_nothing_and_lets_people_decide() {
    let mut world = World::new().await;
    let path = format!("/approvals/{}", world.ticket.id());
    let page = world.call(Method::GET, &path, None, None).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains(&format!("lockgate approvals approve {}", world.ticket.id())));
    assert!(!page.text.contains("DELETE"));
    // An id that does not exist looks the same.
    let other = world.call(Method::GET, "/approvals/01ARZ3NDEKTSV4RRFFQ69G5FAV", None, None).await;
    assert_eq!(other.text, page.text.replace(world.ticket.id(), "01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    let hostile = world.call(Method::GET, "/approvals/%22%3E%3Cscript%3E", None, None).await;
    assert!(hostile.status == 404 && !hostile.text.contains("<script"));

    let shown = world.form(&path, &format!("token={}&action=show", world.dora)).await;
    assert!(shown.text.contains("DELETE FROM &lt;b&gt;t&lt;/b&gt;"), "{}", shown.text);
    assert!(shown.text.contains("value=\"approve\""));
    assert!(!shown.text.contains(&world.dora[16..]), "the token is never sent back");
    let own = world.form(&path, &format!("token={}&action=approve", world.alice)).await;
    assert_eq!(own.status, 403);
    assert_eq!(world.form(&path, "token=lg_wrong&action=approve").await.status, 401);
    assert_eq!(world.form(&path, &format!("token={}&action=explode", world.dora)).await.status, 400);
    let denied = world.form(&path, &format!("token={}&action=deny&reason=no+%3Cb%3E", world.dora)).await;
    assert!(denied.status == 200 && denied.text.contains("<b>denied</b>"), "{}", denied.text);
    match world.ticket.wait().await {
        Decision::Denied { by, reason } => assert_eq!((by.as_str(), reason.as_deref()), ("dora", Some("no <b>"))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_directories_call_takes_nobodys_token() {
    let world = World::new().await;
    let callers = [None, Some(&world.alice), Some(&world.auditor), Some(&world.admin), Some(&world.limited_admin)];
    for (n, (method, path)) in DIRECTORY_ENDPOINTS.iter().enumerate() {
        for caller in callers {
            let mut request = Request::builder().method(method.clone()).uri(path.replace("{id}", "000000000000"));
            if let Some(token) = caller {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            // Somewhere else each time: refusals wait.
            let peer = format!("198.51.100.{}:1", n + 1);
            let answer = world.send_from(request.body(Body::from("{}")).unwrap(), &peer).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}: {}", answer.text);
            assert!(answer.text.contains("urn:ietf:params:scim:api:messages:2.0:Error"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn the_description_is_openapi_3_1_and_complete() {
    let world = World::new().await;
    let document = world.call(Method::GET, "/api/v1/openapi.json", None, None).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path.clone())).collect::<Vec<_>>()
        })
        .collect();
    let table: BTreeSet<(String, String)> = ENDPOINTS
        .iter()
        .filter(|e| e.path.starts_with("/api/"))
        .map(|e| (e.method.to_string(), e.path.to_owned()))
        .chain(DIRECTORY_ENDPOINTS.iter().map(|(method, path)| (method.to_string(), (*path).to_owned())))
        .collect();
    assert_eq!(described, table);
    // Every reference leads somewhere, and every operation has a name of its own and answers.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{method} {path}");
            assert!(names.insert(operation["operationId"].to_string()), "{method} {path} shares its operationId");
            assert_eq!(
                path.contains('{'),
                operation["parameters"].as_array().is_some_and(|p| p.iter().any(|p| p["in"] == "path"))
            );
            if path.starts_with("/scim/") {
                assert_eq!(operation["security"], json!([{"directory": []}]), "{method} {path}");
                continue;
            }
            let role =
                ENDPOINTS.iter().find(|e| e.path == path && e.method.as_str() == method.to_uppercase()).unwrap().role;
            let open = matches!(role, Role::Anybody | Role::ProofInBody);
            assert_eq!(open, operation["security"] == json!([{}]), "{method} {path}");
        }
    }
}
