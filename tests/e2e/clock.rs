//! A wall clock that jumps, at the start and while the gateway runs: nothing counts longer than it was given for, what is on
//! record stays in order, and nothing breaks. The clock is libfaketime's; the clock that nobody can set is left alone. What identity
//! providers say of time is in `clock_providers`.

use lockgate_tests::process::{self, Scratch};
use lockgate_tests::surfer::Surfer;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, api};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const JUMPS: [&str; 4] = ["-1h", "-10y", "+1h", "+10y"];

pub(crate) struct Clock {
    dir: Scratch,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Clock { dir: Scratch::make() };
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("now")
    }

    /// How far the gateway's wall clock is off.
    pub(crate) fn set(&self, offset: &str) {
        let fresh = self.dir.path().join("fresh");
        std::fs::write(&fresh, offset).unwrap();
        std::fs::rename(fresh, self.file()).unwrap();
    }

    /// A gateway with this clock. Its target is reached without TLS, whose certificates have a time of their own.
    fn scene(&self, extra: &str) -> Scene {
        self.scene_with(extra, "")
    }

    pub(crate) fn scene_with(&self, extra: &str, identity: &str) -> Scene {
        self.scene_of(extra, identity, "1")
    }

    /// A gateway for which the clock that nobody can set goes with the other, so that its own intervals pass.
    pub(crate) fn scene_in_haste(&self, identity: &str) -> Scene {
        self.scene_of("", identity, "0")
    }

    fn scene_of(&self, extra: &str, identity: &str, leave_alone: &str) -> Scene {
        Scene::with(15, |options| {
            options.identity = identity.to_owned();
            options.target_extra = "    tls: disable".to_owned();
            options.extra.push_str(extra);
            options.environment = vec![
                ("LD_PRELOAD".to_owned(), library().display().to_string()),
                ("FAKETIME_TIMESTAMP_FILE".to_owned(), self.file().display().to_string()),
                ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), leave_alone.to_owned()),
            ];
        })
    }
}

/// The library keeps memory named by its process, which a process that is killed leaves behind.
impl Drop for Clock {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = ["faketime_shm_", "sem.faketime_sem_"].iter().find_map(|kind| name.strip_prefix(kind));
            if of.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn library() -> PathBuf {
    let name = "faketime/libfaketimeMT.so.1";
    let candidates = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let found = candidates.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {name}: run `scripts/install test`"))
}

pub(crate) fn login(scene: &Scene, token: &str) -> Result<Client, wire::Frame> {
    Client::login_with(scene.gateway.port, &[("user", "alice"), ("database", "shop")], token)
}

/// Numbers without gaps, and times that do not go back in any recording.
pub(crate) fn order_holds(scene: &Scene) {
    let mut last = std::collections::BTreeMap::new();
    for event in scene.gateway.events() {
        let recording = event["recording"].as_str().unwrap().to_owned();
        let now = (event["seq"].as_u64().unwrap(), event["time"].as_str().unwrap().to_owned());
        if let Some((seq, time)) = last.insert(recording, now.clone()) {
            assert_eq!(now.0, seq + 1, "{event}");
            assert!(now.1 >= time, "went back from {time}: {event}");
        }
    }
}

#[test]
fn a_token_counts_no_longer_than_it_was_made_for_when_the_clock_is_set_back() {
    for jump in ["-1h", "-10y"] {
        let clock = Clock::new();
        let scene = clock.scene("");
        let made = Instant::now();
        let token = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "6s"]);
        let token = token["token"].as_str().unwrap();
        let mut client = login(&scene, token).unwrap();
        assert_eq!(client.value("SELECT 1"), "1");
        clock.set(jump);
        assert_eq!(client.value("SELECT 2"), "2", "{jump}");
        assert!(client.is_closed_within(Duration::from_secs(10)), "{jump}: the token counts on");
        let lived = made.elapsed();
        assert!(lived > Duration::from_secs(4) && lived < Duration::from_secs(10), "{jump}: {lived:?}");
        assert!(login(&scene, token).is_err(), "{jump}: an expired token opens a session");
        let who = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(token), None);
        assert_eq!(who.0, 401, "{jump}: {who:?}");
        scene.gateway.verify();
        order_holds(&scene);
    }
}

#[test]
fn an_approval_waits_no_longer_than_it_may_when_the_clock_is_set_back() {
    for jump in ["-1h", "-10y"] {
        let clock = Clock::new();
        let scene = clock.scene("approvals:\n  timeout: 5s\n");
        let (alice, dana) = (scene.alice(), scene.dana());
        let mut client = login(&scene, &alice).unwrap();
        let begun = Instant::now();
        client.send(b'Q', &wire::text("DELETE FROM notes WHERE id <= 5"));
        let id = scene.pending(&dana);
        clock.set(jump);
        let told = format!("{:?}", wire::error(&client.until_ready()));
        assert!(begun.elapsed() < Duration::from_secs(12), "{jump}: it waited for {:?}", begun.elapsed());
        assert!(told.contains("expired") || told.contains("time"), "{jump}: {told}");
        assert!(!scene.approve(&dana, &id).status.success(), "{jump}: approved too late");
        assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20", "{jump}");
        scene.gateway.verify();
        order_holds(&scene);
    }
}

#[test]
fn a_clock_that_is_set_forward_ends_what_it_has_to_and_service_resumes_when_it_is_right() {
    let clock = Clock::new();
    let mut scene = clock.scene("approvals:\n  timeout: 50m\n");
    let (alice, dana) = (scene.gateway.token_with("alice", &["engineers"], &["--ttl", "50m"]), scene.dana());
    let alice = alice["token"].as_str().unwrap();
    for jump in ["+1h", "+10y"] {
        let mut idle = login(&scene, alice).unwrap();
        let mut client = login(&scene, alice).unwrap();
        client.send(b'Q', &wire::text("DELETE FROM notes WHERE id <= 5"));
        assert_eq!(client.frame().tag, b'N');
        let id = scene.pending(&dana);
        clock.set(jump);
        assert!(idle.is_closed_within(Duration::from_secs(4)), "{jump}: the token counts on");
        assert!(client.is_closed_within(Duration::from_secs(4)), "{jump}: the token counts on");
        assert!(login(&scene, alice).is_err(), "{jump}");
        clock.set("+0");
        process::eventually("service resumes", Duration::from_secs(10), || login(&scene, alice).is_ok());
        assert!(!scene.approve(&dana, &id).status.success(), "{jump}: approved though nobody waits");
        assert_eq!(scene.directly("SELECT count(*) FROM notes"), "20", "{jump}");
    }
    assert!(scene.gateway.is_alive());
    assert_eq!(scene.gateway.stop(), Some(0));
    scene.gateway.verify();
}

#[test]
fn a_gateway_that_starts_with_a_wrong_clock_lets_nobody_in_for_longer() {
    let clock = Clock::new();
    let mut scene = clock.scene("");
    let short = scene.gateway.token_with("alice", &["engineers"], &["--ttl", "30m"]);
    let short = short["token"].as_str().unwrap();
    assert!(login(&scene, short).is_ok());
    scene.gateway.stop();
    for jump in JUMPS {
        clock.set(jump);
        scene.gateway.resume();
        // Behind, it cannot tell how long the token counts; ahead, it has expired.
        assert!(login(&scene, short).is_err(), "{jump}");
        let (status, _) = api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(short), None);
        assert_eq!(status, 401, "{jump}");
        assert_eq!(scene.gateway.stop(), Some(0), "{jump}");
        scene.gateway.verify();
    }
    clock.set("+0");
    scene.gateway.resume();
    assert_eq!(login(&scene, short).unwrap().value("SELECT 1"), "1");
    scene.gateway.verify();
}

/// What somebody has who signed in with a browser and logged a device in there.
struct LoggedIn {
    browser: Surfer,
    token: String,
    /// A device that still waits.
    waiting: Value,
}

impl LoggedIn {
    fn new(scene: &Scene) -> LoggedIn {
        let made = scene.gateway.here_ok(&["user", "add", "alice", "--group", "engineers", "--generate", "-o", "json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let mut browser = Surfer::new(&scene.gateway);
        let page = browser.open(&format!("{}/login", scene.gateway.url()));
        let credentials = [("user", "alice"), ("password", made["password"].as_str().unwrap())];
        let page = browser.submit(&page, &credentials);
        assert!(page.html.contains("Signed in as"), "{}", page.html);
        let ask = || api::call(&scene.gateway, "POST", "/api/v1/login-requests", None, Some(&json!({}))).1;
        let asked = ask();
        let code = asked["user_code"].as_str().unwrap();
        let page = browser.open(&format!("{}/device?code={code}", scene.gateway.url()));
        let page = browser.submit(&page, &[("action", "approve")]);
        assert!(page.html.contains("logged in"), "{}", page.html);
        let (status, given) = redeem(scene, &asked);
        assert_eq!(status, 200, "{given}");
        LoggedIn { browser, token: given["token"].as_str().unwrap().to_owned(), waiting: ask() }
    }

    fn is_signed_in(&mut self, scene: &Scene) -> bool {
        self.browser.open(&format!("{}/login", scene.gateway.url())).html.contains("Signed in as")
    }
}

fn redeem(scene: &Scene, asked: &Value) -> (u16, Value) {
    let path = format!("/api/v1/login-requests/{}/token", asked["id"].as_str().unwrap());
    api::call(&scene.gateway, "POST", &path, None, Some(&json!({"secret": asked["secret"]})))
}

#[test]
fn a_login_and_its_browser_count_no_longer_when_the_clock_is_set_back() {
    // The shortest that can be set is a minute, so both at once.
    let counts_no_longer = |jump: &str| {
        let clock = Clock::new();
        let scene = clock.scene_with("", "  login_ttl: 1m\n");
        let mut alice = LoggedIn::new(&scene);
        let made = Instant::now();
        let mut client = login(&scene, &alice.token).unwrap();
        clock.set(jump);
        assert_eq!(client.value("SELECT 2"), "2", "{jump}");
        assert!(alice.is_signed_in(&scene), "{jump}");
        assert!(client.is_closed_within(Duration::from_secs(65)), "{jump}: the login counts on");
        let lived = made.elapsed();
        assert!(lived > Duration::from_secs(40) && lived < Duration::from_secs(64), "{jump}: {lived:?}");
        assert!(!alice.is_signed_in(&scene), "{jump}: the browser is signed in");
        assert!(login(&scene, &alice.token).is_err(), "{jump}: its token opens a session");
        scene.gateway.verify();
        order_holds(&scene);
    };
    std::thread::scope(|scope| {
        for jump in ["-1h", "-10y"] {
            scope.spawn(move || counts_no_longer(jump));
        }
    });
}

#[test]
fn a_clock_that_is_set_forward_ends_logins_and_what_waits_for_one() {
    for jump in ["+1h", "+10y"] {
        let clock = Clock::new();
        let mut scene = clock.scene_with("", "  login_ttl: 50m\n");
        let mut alice = LoggedIn::new(&scene);
        let mut client = login(&scene, &alice.token).unwrap();
        assert_eq!(redeem(&scene, &alice.waiting).0, 202, "{jump}");
        clock.set(jump);
        assert!(client.is_closed_within(Duration::from_secs(4)), "{jump}: the login counts on");
        assert!(!alice.is_signed_in(&scene), "{jump}: the browser is signed in");
        assert_eq!(api::call(&scene.gateway, "GET", "/api/v1/whoami", Some(&alice.token), None).0, 401, "{jump}");
        assert_eq!(redeem(&scene, &alice.waiting).0, 404, "{jump}");
        assert!(scene.gateway.is_alive());
        assert_eq!(scene.gateway.stop(), Some(0), "{jump}");
        scene.gateway.verify();
        order_holds(&scene);
    }
}
