//! Providers that misbehave: what they answer is refused, in bounded time and space, and nobody else is asked on their account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test stops at what it did not expect"
)]

#[allow(dead_code, reason = "the hostile tokens use the rest of it")]
mod issuer;

use issuer::{Issuer, claims, encode, now, rules};
use lockgate_core::Secret;
use lockgate_identity::jwt::{Algorithm, Expected, Jwt};
use lockgate_identity::provider::{Settings, TokenCheck};
use lockgate_identity::{Provider, ProviderError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a server says on a path.
#[derive(Clone)]
enum Say {
    Json(String),
    /// The same, and the connection stays; whoever asks on it again has it broken.
    Once(String),
    /// Status line and headers, then nothing more than this.
    Raw(String),
    /// A body without end.
    Endless,
    /// A byte now and then.
    Trickle,
    /// Nothing.
    Silence,
}

/// A provider that says what a test wants.
struct Fake {
    port: u16,
    description: Arc<Mutex<Say>>,
    keys: Arc<Mutex<Say>>,
    /// What it says about who shows a token.
    told: Arc<Mutex<Say>>,
    asked: Arc<AtomicUsize>,
}

async fn answer(mut socket: TcpStream, say: Say) {
    let head = |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n");
    match say {
        Say::Json(text) => {
            let answer = head(&format!("Content-Length: {}\r\nConnection: close\r\n", text.len())) + &text;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
        Say::Once(text) => {
            let answer = head(&format!("Content-Length: {}\r\n", text.len())) + &text;
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.read(&mut [0; 4_096]).await;
        }
        Say::Raw(text) => {
            let _ = socket.write_all(text.as_bytes()).await;
        }
        Say::Endless => {
            let _ = socket.write_all(head("Connection: close\r\n").as_bytes()).await;
            let filler = [b' '; 65_536];
            while socket.write_all(&filler).await.is_ok() {}
        }
        Say::Trickle => {
            let _ = socket.write_all(head("Connection: close\r\n").as_bytes()).await;
            while socket.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Say::Silence => tokio::time::sleep(Duration::from_secs(60)).await,
    }
}

impl Fake {
    async fn start(issuer: &Issuer) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let good = format!(
            r#"{{"issuer":"http://127.0.0.1:{port}","jwks_uri":"http://127.0.0.1:{port}/jwks","userinfo_endpoint":"http://127.0.0.1:{port}/userinfo","introspection_endpoint":"http://127.0.0.1:{port}/introspect"}}"#
        );
        let description = Arc::new(Mutex::new(Say::Json(good)));
        let keys = Arc::new(Mutex::new(Say::Json(issuer.jwks())));
        let told = Arc::new(Mutex::new(Say::Json("{}".to_owned())));
        let asked = Arc::new(AtomicUsize::new(0));
        let fake = Fake {
            port,
            description: Arc::clone(&description),
            keys: Arc::clone(&keys),
            told: Arc::clone(&told),
            asked: Arc::clone(&asked),
        };
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (description, keys, asked) = (Arc::clone(&description), Arc::clone(&keys), Arc::clone(&asked));
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    let mut request = vec![0; 4_096];
                    let length = socket.read(&mut request).await.unwrap_or(0);
                    asked.fetch_add(1, Ordering::Relaxed);
                    let request = String::from_utf8_lossy(&request[..length]).into_owned();
                    let which = match request.split(' ').nth(1) {
                        Some("/jwks") => keys,
                        Some("/userinfo" | "/introspect") => told,
                        _ => description,
                    };
                    let say = which.lock().unwrap().clone();
                    answer(socket, say).await;
                });
            }
        });
        fake
    }

    fn provider(&self) -> Provider {
        self.checked_by(TokenCheck::Userinfo)
    }

    fn checked_by(&self, check: TokenCheck) -> Provider {
        let mut rules = rules();
        rules.issuer = format!("http://127.0.0.1:{}", self.port);
        let token_check = Some(check);
        Provider::new(Settings { rules, client_secret: None, scopes: Vec::new(), token_check, ca: None }).unwrap()
    }

    fn token(&self, issuer: &Issuer, kid: &str) -> String {
        let payload = claims(&format!(r#"{{"iss":"http://127.0.0.1:{}"}}"#, self.port));
        issuer.token(Algorithm::Rs256, &format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), &payload)
    }
}

async fn prove(provider: &Provider, token: &str) -> Result<String, ProviderError> {
    provider.prove(&Jwt::read(token)?, Expected::Bearer, now()).await.map(|proven| proven.user)
}

#[tokio::test]
async fn a_provider_that_answers_rubbish_proves_nothing_and_is_believed_again_later() {
    let issuer = Issuer::new();
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = canary.local_addr().unwrap().port();
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    tokio::spawn(async move {
        while canary.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let moved = |path: &str| {
        Say::Raw(format!(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{elsewhere}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let described = |port: u16, text: &str| Say::Json(text.replace("HERE", &format!("http://127.0.0.1:{port}")));
    let usual = Fake::start(&issuer).await;
    assert_eq!(prove(&usual.provider(), &usual.token(&issuer, "rsa")).await.unwrap(), "alice@example.com");

    let there = format!("http://127.0.0.1:{elsewhere}");
    let descriptions = [
        ("redirect", None),
        ("another issuer", Some(r#"{"issuer":"HERE/","jwks_uri":"HERE/jwks"}"#.to_owned())),
        ("keys elsewhere", Some(format!(r#"{{"issuer":"HERE","jwks_uri":"{there}/jwks"}}"#))),
        ("keys in a file", Some(r#"{"issuer":"HERE","jwks_uri":"file:///etc/passwd"}"#.to_owned())),
        ("keys of gopher", Some(format!(r#"{{"issuer":"HERE","jwks_uri":"gopher://127.0.0.1:{elsewhere}/"}}"#))),
        (
            "logins elsewhere",
            Some(format!(r#"{{"issuer":"HERE","jwks_uri":"HERE/jwks","token_endpoint":"{there}/token"}}"#)),
        ),
        ("twice", Some(format!(r#"{{"issuer":"HERE","jwks_uri":"{there}/jwks","jwks_uri":"HERE/jwks"}}"#))),
        ("a list", Some("[]".to_owned())),
        ("a page", Some("<html>".to_owned())),
        ("nothing", Some(String::new())),
        ("deep", Some("[".repeat(300_000))),
    ];
    for (what, text) in descriptions {
        let fake = Fake::start(&issuer).await;
        let good = fake.description.lock().unwrap().clone();
        *fake.description.lock().unwrap() = match text {
            None => moved("/.well-known/openid-configuration"),
            Some(text) => described(fake.port, &text),
        };
        let provider = fake.provider();
        let token = fake.token(&issuer, "rsa");
        let error = prove(&provider, &token).await.expect_err(what);
        assert!(matches!(error, ProviderError::NoKeys(_)), "{what}: {error}");
        assert!(provider.ready().is_err());
        *fake.description.lock().unwrap() = good;
        assert!(prove(&provider, &token).await.is_ok(), "{what}: it is right again");
    }
    for (what, keys) in [
        ("redirect", moved("/jwks")),
        ("an error", Say::Raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned())),
        ("no HTTP", Say::Raw("SSH-2.0-OpenSSH\r\n".to_owned())),
        (
            "cut short",
            Say::Raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{\"keys\":".to_owned()),
        ),
        ("no keys", Say::Json(r#"{"keys":[]}"#.to_owned())),
        (
            "a shared secret",
            Say::Json(format!(r#"{{"keys":[{{"kty":"oct","kid":"rsa","alg":"HS256","k":"{}"}}]}}"#, encode("secret"))),
        ),
        ("private keys", Say::Json(format!(r#"{{"keys":[{}]}}"#, issuer.rsa_jwk(r#","d":"AQAB""#)))),
        ("a page", Say::Json("<html></html>".to_owned())),
        ("endless", Say::Endless),
    ] {
        let fake = Fake::start(&issuer).await;
        let good = std::mem::replace(&mut *fake.keys.lock().unwrap(), keys);
        let provider = fake.provider();
        let token = fake.token(&issuer, "rsa");
        let error = prove(&provider, &token).await.expect_err(what);
        assert!(matches!(error, ProviderError::NoKeys(_)), "{what}: {error}");
        *fake.keys.lock().unwrap() = good;
        assert!(prove(&provider, &token).await.is_ok(), "{what}: it is right again");
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0, "somebody else was asked");
}

#[tokio::test]
async fn waiting_for_a_provider_ends() {
    let issuer = Issuer::new();
    for say in [Say::Silence, Say::Trickle] {
        let fake = Fake::start(&issuer).await;
        *fake.keys.lock().unwrap() = say;
        let provider = fake.provider();
        let begun = Instant::now();
        // Those who wait for the same answer wait no longer than one.
        let token = fake.token(&issuer, "rsa");
        let (a, b) = tokio::join!(prove(&provider, &token), prove(&provider, &token));
        assert!(a.is_err() && b.is_err());
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn keys_are_asked_for_as_often_as_is_useful() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let fake = Fake::start(&issuer).await;
    let provider = fake.provider();
    let good = fake.token(&issuer, "rsa");
    for _ in 0..50 {
        assert!(prove(&provider, &good).await.is_ok());
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), 2, "description and keys, once");

    // What would prove nothing anyway is no reason to ask.
    let expired = claims(&format!(r#"{{"iss":"http://127.0.0.1:{}","exp":1}}"#, fake.port));
    for token in [
        other.token(Algorithm::Rs256, r#"{"alg":"RS256","kid":"new"}"#, &expired),
        other.token(Algorithm::Rs256, r#"{"alg":"RS256","kid":"new"}"#, &claims("{}")),
        fake.token(&other, "rsa"),
    ] {
        assert!(prove(&provider, &token).await.is_err());
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), 2);

    // A key that nobody has is one, but not every time.
    for _ in 0..50 {
        assert!(prove(&provider, &fake.token(&other, "new")).await.is_err());
    }
    let asked = fake.asked.load(Ordering::Relaxed);
    assert!((4..=10).contains(&asked), "asked {asked} times");
    assert!(prove(&provider, &good).await.is_ok(), "and those who have a good one do not suffer");
}

#[tokio::test]
async fn many_who_come_with_a_new_key_have_it_asked_for_once() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let fake = Fake::start(&old).await;
    let provider = Arc::new(fake.provider());
    assert!(prove(&provider, &fake.token(&old, "rsa")).await.is_ok());
    *fake.keys.lock().unwrap() =
        Say::Json(format!(r#"{{"keys":[{}]}}"#, new.rsa_jwk("").replace(r#""rsa""#, r#""new""#)));
    let before = fake.asked.load(Ordering::Relaxed);
    let token = Arc::new(fake.token(&new, "new"));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (provider, token) = (Arc::clone(&provider), Arc::clone(&token));
        tasks.spawn(async move { prove(&provider, &token).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|proven| proven));
    assert_eq!(fake.asked.load(Ordering::Relaxed) - before, 2);
    assert!(prove(&provider, &fake.token(&old, "rsa")).await.is_err(), "the old key is gone");
}

#[tokio::test]
async fn a_token_counts_as_long_as_its_holder_is_who_it_names() {
    let issuer = Issuer::new();
    let fake = Fake::start(&issuer).await;
    let proven = |more: &str| {
        let payload = claims(&format!(r#"{{"iss":"http://127.0.0.1:{}","groups":["a","b"]{more}}}"#, fake.port));
        issuer.token(Algorithm::Rs256, r#"{"alg":"RS256","kid":"rsa"}"#, &payload)
    };
    let (own, agents) = (proven(""), proven(r#","act":{"sub":"bot","groups":["a"]}"#));
    let sub = r#""sub":"248289761001""#;
    for check in [TokenCheck::Userinfo, TokenCheck::Introspection] {
        let provider = fake.checked_by(check);
        let by_introspection = check == TokenCheck::Introspection;
        for token in [&own, &agents] {
            let proven = provider.prove(&Jwt::read(token).unwrap(), Expected::Bearer, now()).await.unwrap();
            for (told, counts) in [
                (sub.to_owned(), true),
                (format!(r#"{sub},"email":"alice@example.com","groups":["b","a"]"#), true),
                (format!(r#"{sub},"email":"Alice@Example.com""#), true),
                (format!(r#"{sub},"email":"alice.b@example.com""#), false),
                (format!(r#"{sub},"email":"alice@example.com","email_verified":false"#), false),
                (format!(r#"{sub},"email":7"#), false),
                (format!(r#"{sub},"groups":["a"]"#), false),
                (format!(r#"{sub},"groups":["a","b","c"]"#), false),
                (format!(r#"{sub},"groups":[]"#), false),
                (r#""sub":"somebody else""#.to_owned(), false),
                (r#""sub":"somebody else","email":"alice@example.com","groups":["b","a"]"#.to_owned(), false),
                // Who it is userinfo always says; introspection may.
                (String::new(), by_introspection),
                (r#""email":"alice.b@example.com""#.to_owned(), false),
                (r#""groups":["a"]"#.to_owned(), false),
            ] {
                let also = if told.is_empty() { "" } else { "," };
                for (active, counts) in [("true", counts), ("false", counts && !by_introspection)] {
                    *fake.told.lock().unwrap() = Say::Json(format!(r#"{{"active":{active}{also}{told}}}"#));
                    let still = provider.still_counts(&Secret::new(token.clone()), &proven).await.unwrap();
                    assert_eq!(still, counts, "{check:?} {} active {active} {told}", proven.user);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_lay_idle_carries_no_question() {
    let issuer = Issuer::new();
    let fake = Fake::start(&issuer).await;
    let provider = fake.provider();
    let token = fake.token(&issuer, "rsa");
    let proven = provider.prove(&Jwt::read(&token).unwrap(), Expected::Bearer, now()).await.unwrap();
    *fake.told.lock().unwrap() = Say::Once(format!(r#"{{"sub":"{}"}}"#, proven.subject));
    // What would be asked next on the connection that is left here would not be answered.
    for _ in 0..2 {
        assert!(provider.still_counts(&Secret::new(token.clone()), &proven).await.unwrap());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
}
