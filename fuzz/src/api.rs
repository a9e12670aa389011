//! Requests to the API and texts that might be tokens, with a true store behind them.

use axum::body::Body;
use axum::extract::Extension;
use axum::http::{Method, Request};
use lockgate_api::{
    Access, ApiState, BoxFuture, Detokenize, Detokenizer, EventStream, EventView, JournalReader, LiveSessions,
    NotDetokenized, PeerAddr, Readiness, StillMay, TargetInfo, TokenValues,
};
use lockgate_core::{Identity, IdentityKind, SessionId, TargetName, Timestamp};
use lockgate_store::approvals::Approvals;
use lockgate_store::{NewToken, Store, clock};
use std::collections::{BTreeSet, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

struct Nothing;

impl Access for Nothing {
    fn is_admin(&self, identity: &Identity) -> bool {
        identity.groups.contains("platform")
    }
    fn may_connect(&self, _: &Identity, _: &TargetName, _: Timestamp) -> bool {
        false
    }
    fn targets(&self) -> Vec<TargetInfo> {
        Vec::new()
    }
}

impl LiveSessions for Nothing {
    fn kill(&self, _: SessionId, _: &str) -> bool {
        false
    }
    fn live(&self) -> HashSet<SessionId> {
        HashSet::new()
    }
}

impl JournalReader for Nothing {
    fn events(
        &self,
        _: SessionId,
        _: EventView,
        _: Option<StillMay>,
    ) -> BoxFuture<'_, Result<Option<EventStream>, String>> {
        Box::pin(async { Ok(None) })
    }
}

impl Detokenizer for Nothing {
    fn detokenize(&self, asked: &Detokenize<'_>) -> Result<Vec<TokenValues>, NotDetokenized> {
        Ok(asked.tokens.iter().map(|_| Err("none".to_owned())).collect())
    }
}

impl Readiness for Nothing {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

struct World {
    runtime: Runtime,
    store: Store,
    router: axum::Router,
    token: String,
    _home: TempDir,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let home = tempfile::tempdir().expect("a directory");
        let (store, token) = runtime.block_on(async {
            let store = Store::open(home.path()).await.expect("a store");
            let now = clock::now();
            let olga = NewToken {
                user: "olga".to_owned(),
                groups: BTreeSet::from(["platform".to_owned()]),
                kind: IdentityKind::Human,
                on_behalf_of: Vec::new(),
                targets: None,
                actions: None,
                expires: now.plus_millis(86_400_000),
            };
            let (token, _) = store.create_token(olga, "test", now).await.expect("a token");
            (store, token.expose().to_owned())
        });
        let (access, sessions, journal) = (Arc::new(Nothing), Arc::new(Nothing), Arc::new(Nothing));
        let detokenizer = Arc::new(Nothing);
        let ready = Arc::new(Nothing);
        let approvals = Approvals::new(store.clone());
        let state = ApiState::new(store.clone(), approvals, access, sessions, journal, detokenizer, ready);
        let router = lockgate_api::router(state);
        World { runtime, store, router, token, _home: home }
    }
}

/// `METHOD path`, lines of headers, an empty line, a body. `TOKEN` in a header is an administrator's token. The answer is never
/// the server's fault, and without a token it tells nothing.
pub fn request(data: &[u8]) {
    let at = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(at);
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let Some((method, path)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    WORLD.with(|world| {
        let mut request =
            Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap_or(Method::PUT)).uri(path);
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value.replace("TOKEN", &world.token));
        }
        let Ok(request) = request.body(Body::from(body.get(2..).unwrap_or_default().to_vec())) else { return };
        let proven = request
            .headers()
            .get("authorization")
            .is_some_and(|value| value.to_str().is_ok_and(|text| text.contains(&world.token)));
        // From another address each time, so that guesses are not only told to wait.
        static SOURCE: AtomicU32 = AtomicU32::new(0);
        let source = Ipv4Addr::from_bits(0x0a00_0000 | (SOURCE.fetch_add(1, Ordering::Relaxed) & 0xff_ffff));
        let router = world.router.clone().layer(Extension(PeerAddr(SocketAddr::from((source, 1)))));
        let api = request.uri().path().starts_with("/api/v1/");
        let open = ["/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json"].contains(&request.uri().path());
        let response = world.runtime.block_on(router.oneshot(request)).expect("a router answers");
        let status = response.status();
        assert!(!status.is_server_error(), "{status} to {:?}", data.escape_ascii().to_string());
        assert!(proven || open || !api || status.is_client_error(), "{status} without a token");
    });
}

/// A text in the place of a token: only the true one is.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    WORLD.with(|world| {
        let (head, secret) = world.token.rsplit_once('_').expect("a token");
        let offered = text.replace("HEAD", head).replace("SECRET", secret);
        let proven = world.runtime.block_on(world.store.verify_token(&offered, clock::now()));
        assert_eq!(proven.is_ok(), offered == world.token, "{offered:?}");
    });
}
