//! Issuers over https, as all but those on this machine are: whose certificate counts, and what is said of one that does not.

use crate::signin::{Stage, Waiting};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_tests::authority::{Authority, HERE, Names};
use lockgate_tests::issuer::{Issuer, Request, say};
use lockgate_tests::surfer::Surfer;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, Idp, Postgres, Scene, api};
use serde_json::json;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn login(scene: &Scene, user: &str, token: &str) -> Result<Client, wire::Frame> {
    Client::login_with(scene.gateway.port, &[("user", user), ("database", "shop")], token)
}

/// The entry of an issuer under another name.
fn entry(issuer: &Issuer, name: &str, more: &str) -> String {
    let entry = issuer.yaml(more);
    entry.split_once('\n').expect("a line of its own").1.replace("name: corp", &format!("name: {name}"))
}

fn ca(authority: &Authority) -> String {
    format!(", ca: {}", authority.file().display())
}

#[test]
fn an_issuer_is_who_its_certificate_says() {
    let (ours, theirs) = (Authority::make(), Authority::make());
    let elsewhere = Names(&["idp.example.com", "127.0.0.2"], 2020, 2120);
    let cases = [
        ("good", HERE, ca(&ours), ""),
        ("stranger", HERE, ca(&theirs), "is not signed by an authority that is trusted for it"),
        ("system", HERE, String::new(), "is not signed by an authority that is trusted for it"),
        ("elsewhere", elsewhere, ca(&ours), "is for another name"),
        ("expired", Names(&["localhost"], 2020, 2021), ca(&ours), "has expired"),
        ("early", Names(&["localhost"], 2110, 2120), ca(&ours), "does not count yet"),
    ];
    let issuers = cases.clone().map(|(.., names, _, _)| Issuer::inside_tls(&ours, names));
    let entries = issuers.iter().zip(&cases).map(|(issuer, (name, _, more, _))| entry(issuer, name, more));
    let identity = format!("  oidc:\n{}", entries.collect::<String>());
    let scene = Scene::with(15, |options| options.identity = identity);
    for (issuer, (name, .., why)) in issuers.iter().zip(&cases) {
        let token = issuer.token("alice");
        if why.is_empty() {
            assert_eq!(login(&scene, "alice", &token).expect("it is proven").value("SELECT 1"), "1");
            assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&token), None).0, 200);
            continue;
        }
        let refused = login(&scene, "alice", &token).expect_err(name);
        assert_eq!(refused.field(b'C').as_deref(), Some("28P01"), "{name}: {refused:?}");
        assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&token), None).0, 401, "{name}");
        let page = Surfer::new(&scene.gateway).open(&format!("{}/oidc/{name}/login", scene.gateway.url()));
        assert_eq!(page.status, 503, "{name}: {}", page.html);
        let of_it = |line: &&str| line.contains(&format!("provider={name}")) && line.contains(why);
        let log = scene.gateway.log();
        assert!(log.lines().any(|line| of_it(&line)), "{name}: {why}: {log}");
    }
    scene.gateway.verify();
}

#[test]
fn the_systems_authorities_count_where_none_is_named_and_only_there() {
    let (system, own) = (Authority::make(), Authority::make());
    let issuers =
        [Issuer::inside_tls(&system, HERE), Issuer::inside_tls(&system, HERE), Issuer::inside_tls(&own, HERE)];
    let entries = [("named", ""), ("other", ca(&own).as_str()), ("own", ca(&own).as_str())]
        .iter()
        .zip(&issuers)
        .map(|((name, more), issuer)| entry(issuer, name, more))
        .collect::<String>();
    let scene = Scene::with(15, |options| {
        options.identity = format!("  oidc:\n{entries}");
        // What OpenSSL and others go by: the file of the system's authorities is another's.
        options.environment.push(("SSL_CERT_FILE".to_owned(), system.file().display().to_string()));
    });
    let [named, other, own] = issuers.map(|issuer| login(&scene, "alice", &issuer.token("alice")).is_ok());
    assert_eq!((named, other, own), (true, false, true), "{}", scene.gateway.log());
}

#[test]
fn a_file_of_authorities_that_holds_none_stops_the_start() {
    let authority = Authority::make();
    let (_, key) = authority.certify(HERE);
    let issuer = Issuer::inside_tls(&authority, HERE);
    let postgres = Postgres::shared(15);
    for (file, why) in
        [(key.as_path(), "its `ca` holds no certificate"), (Path::new("/nonexistent/ca.pem"), "/nonexistent/ca.pem")]
    {
        let mut options = Scene::options(postgres, "postgres");
        options.identity = issuer.yaml(&format!(", ca: {}", file.display()));
        let mut gateway = Gateway::prepare(options);
        gateway.launch();
        assert!(gateway.wait(Duration::from_secs(10)).is_some_and(|code| code != 0), "{why}");
        let log = gateway.log();
        assert!(log.contains(why) && log.contains("corp"), "{log}");
    }
}

/// The certified provider inside TLS: everything that a login takes goes there.
#[test]
fn people_log_in_by_a_provider_inside_tls() {
    let stage = Stage::with(Idp::reserve_inside_tls(Authority::make()));
    let mut waiting = Waiting::start(stage.cli(&["login", "--no-browser", "--url", &stage.scene.gateway.url()]));
    let mut surfer = Surfer::trusting(&stage.scene.gateway, &stage.idp.authority());
    let page = surfer.open(&waiting.word("https://"));
    let page = surfer.sign_in(&page, &stage.idp.issuer(), "alice");
    let done = surfer.submit(&page, &[("action", "approve")]);
    assert!(done.html.contains("Your command line is logged in"), "{}", done.html);
    assert_eq!(waiting.end(), Some(0));
    assert_eq!(stage.scene.gateway.query("alice", &stage.token(), "SELECT 1"), "1");
    let ci = stage.idp.client_token("ci", None);
    assert_eq!(stage.scene.gateway.query("ci", &ci, "SELECT 2"), "2");
}

/// What a cluster's API server says of itself, and the tokens of its service accounts: discovery under one name, keys under another, both
/// by a certificate of the cluster's own authority.
struct Cluster {
    issuer: String,
    key: Arc<KeyPair>,
    authority: Authority,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    fn start() -> Cluster {
        let key = Arc::new(KeyPair::generate(KeySize::Rsa2048).expect("a key"));
        let (authority, asked) = (Authority::make(), Arc::new(Mutex::new(Vec::new())));
        // RFC 8017, A.1.1: a sequence of two integers, of which the first is 256 bytes after a zero.
        let der = key.public_key().as_ref();
        let [n, e] = [&der[9..265], &der[267..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let jwk = json!({"use": "sig", "kty": "RSA", "kid": "hGgYu5b", "alg": "RS256", "n": n, "e": e});
        let keys = json!({"keys": [jwk]}).to_string();
        let heard = Arc::clone(&asked);
        let names = Names(&["kubernetes", "kubernetes.default.svc", "localhost", "127.0.0.1"], 2020, 2120);
        let server = authority.serve(names, move |stream| {
            let port = stream.sock.local_addr().expect("it is bound").port();
            let mut from = BufReader::new(stream);
            while let Ok(Some(request)) = Request::read(&mut from) {
                heard.lock().expect("nobody panicked").push(request.path().to_owned());
                let described = json!({
                    "issuer": format!("https://localhost:{port}"), "jwks_uri": format!("https://127.0.0.1:{port}/openid/v1/jwks"),
                    "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                });
                let _ = match request.path() {
                    "/.well-known/openid-configuration" => {
                        say(from.get_mut(), "200 OK", "application/json", &described.to_string())
                    }
                    "/openid/v1/jwks" => say(from.get_mut(), "200 OK", "application/jwk-set+json", &keys),
                    _ => say(from.get_mut(), "403 Forbidden", "application/json", r#"{"kind":"Status","code":403}"#),
                };
            }
        });
        Cluster { issuer: format!("https://localhost:{}", server.port), key, authority, asked }
    }

    /// A projected token of an account.
    fn token(&self, namespace: &str, account: &str, audiences: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let claims = json!({
            "aud": audiences, "exp": now + 3_607, "iat": now, "iss": self.issuer, "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
            "kubernetes.io": {
                "namespace": namespace,
                "node": {"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
                "pod": {"name": "report-7c9f", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
                "serviceaccount": {"name": account, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
                "warnafter": now + 3_000,
            },
            "nbf": now, "sub": format!("system:serviceaccount:{namespace}:{account}"),
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"hGgYu5b"}"#);
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("it signs");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[test]
fn a_clusters_service_accounts_log_in_with_their_tokens() {
    let cluster = Cluster::start();
    let identity = format!(
        "  oidc:\n    - {{name: cluster, issuer: '{}', client_id: lockgate, user_claim: sub, kind: service, groups: [engineers], \
         required_claims: {{/kubernetes.io/namespace: shop}}{}}}\n",
        cluster.issuer,
        ca(&cluster.authority)
    );
    let scene = Scene::with(15, |options| options.identity = identity);
    let user = "system:serviceaccount:shop:reporter";
    let token = cluster.token("shop", "reporter", &["lockgate", "https://kubernetes.default.svc"]);
    let several = login(&scene, user, &token).err();
    let token = cluster.token("shop", "reporter", &["lockgate"]);
    assert_eq!(scene.gateway.query(user, &token, "SELECT count(*) FROM notes"), "20");
    let (_, me) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&token), None);
    assert_eq!((me["user"].as_str(), me["kind"].as_str()), (Some(user), Some("service")), "{me}");
    assert_eq!(
        several.map(|refused| refused.field(b'C')),
        None,
        "one of several audiences is enough where no client is named"
    );
    for (what, user, token) in [
        ("another account", user, cluster.token("shop", "other", &["lockgate"])),
        ("another namespace", "system:serviceaccount:dev:reporter", cluster.token("dev", "reporter", &["lockgate"])),
        ("for the cluster only", user, cluster.token("shop", "reporter", &["https://kubernetes.default.svc"])),
    ] {
        assert!(login(&scene, user, &token).is_err(), "{what}");
    }
    let asked = cluster.asked.lock().unwrap().clone();
    let known = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
    assert!(asked.len() >= 2 && asked.iter().all(|path| known.contains(&path.as_str())), "{asked:?}");
    scene.gateway.verify();
}
