//! People log in with a browser at a real identity provider: for the command line, for a device, and for a connection that waits.

use lockgate_store::Store;
use lockgate_tests::issuer::Issuer;
use lockgate_tests::process::{self, Scratch, eventually};
use lockgate_tests::surfer::{Page, Surfer};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Idp, Scene, api, places};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A gateway and the provider that it sends people to.
pub struct Stage {
    pub scene: Scene,
    pub idp: Idp,
    home: Scratch,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(Idp::reserve())
    }

    /// With a provider that does not run yet.
    pub fn with(mut idp: Idp) -> Stage {
        let scene = Scene::with(15, |options| options.identity = idp.yaml(""));
        idp.resume("k1", &[("REDIRECT", &format!("{}/oidc/corp/callback", scene.gateway.url()))]);
        Stage { scene, idp, home: Scratch::make() }
    }

    /// `lockgate VERB…` of a person with a home, who is logged in or not.
    pub fn cli(&self, args: &[&str]) -> Command {
        let mut command = Command::new(places::lockgate());
        command.env("LOCKGATE_CA", self.scene.gateway.authority()).env("HOME", self.home.path()).env_remove("DISPLAY");
        command.env_remove("XDG_CONFIG_HOME").env_remove("LOCKGATE_TOKEN").env_remove("LOCKGATE_URL");
        command.current_dir("/").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        process::output(&mut self.cli(args))
    }

    fn url(&self) -> String {
        self.scene.gateway.url()
    }

    /// Opens an address as somebody, who signs in on the way.
    fn visit(&self, surfer: &mut Surfer, address: &str, user: &str) -> Page {
        let page = surfer.open(address);
        surfer.sign_in(&page, &self.idp.issuer(), user)
    }

    fn kept(&self) -> Value {
        let text = std::fs::read(self.home.path().join(".config/lockgate/credentials.json")).expect("a login is kept");
        serde_json::from_slice(&text).expect("JSON")
    }

    pub fn token(&self) -> String {
        self.kept()["gateways"][self.url()]["token"].as_str().expect("a token").to_owned()
    }

    /// Logs the command line in by browser.
    fn log_in(&self, user: &str) {
        let mut waiting = Waiting::start(self.cli(&["login", "--no-browser", "--url", &self.url()]));
        let address = waiting.word("https://");
        let mut surfer = Surfer::new(&self.scene.gateway);
        let page = self.visit(&mut surfer, &address, user);
        let done = surfer.submit(&page, &[("action", "approve")]);
        assert!(done.html.contains("Your command line is logged in"), "{}", done.html);
        assert_eq!(waiting.end(), Some(0));
    }
}

/// A command that waits for somebody, and what it says on standard error.
pub struct Waiting {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    pub said: String,
}

impl Waiting {
    pub fn start(mut command: Command) -> Waiting {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(command);
        let lines = BufReader::new(child.stderr.take().expect("a pipe"));
        Waiting { child, lines, said: String::new() }
    }

    /// The rest of the first word that begins so, as soon as it is said.
    pub fn word(&mut self, begins: &str) -> String {
        loop {
            if let Some(at) = self.said.find(begins) {
                return self.said[at..].split_whitespace().next().expect("a word").to_owned();
            }
            let before = self.said.len();
            self.lines.read_line(&mut self.said).expect("text");
            assert!(self.said.len() > before, "it ended: {}", self.said);
        }
    }

    /// What follows these words on their line.
    pub fn after(&mut self, words: &str) -> String {
        self.word(words);
        self.said.split(words).nth(1).expect("words").split_whitespace().next().expect("a word").to_owned()
    }

    pub fn end(&mut self) -> Option<i32> {
        assert!(process::ends_within(&mut self.child, Duration::from_secs(30)), "it waits on: {}", self.said);
        self.child.wait().expect("it ended").code()
    }

    fn printed(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
        text
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_command_line_logs_in_and_out() {
    let stage = Stage::new();
    stage.log_in("alice");
    let folder = stage.home.path().join(".config/lockgate");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("credentials.json"))), (0o700, 0o600));
    // The address is known now, and so is the token.
    let me = stage.run(&["whoami", "-o", "json"]);
    let me: Value = serde_json::from_slice(&me.stdout).unwrap_or_else(|_| panic!("{}", process::text(&me)));
    assert_eq!(
        (&me["user"], &me["kind"], &me["groups"][0]),
        (&"alice".into(), &"human".into(), &"engineers".into()),
        "{me}"
    );
    assert!(stage.run(&["targets"]).status.success());

    let token = stage.token();
    let mut session = Client::login(stage.scene.gateway.port, "alice", &token);
    assert_eq!(session.value("SELECT 1"), "1");
    let begun = Instant::now();
    let out = stage.run(&["logout"]);
    assert!(out.status.success(), "{}", process::text(&out));
    assert!(session.is_closed_within(Duration::from_secs(2)), "it lives on");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(stage.run(&["whoami", "--url", &stage.url()]).status.code(), Some(5));
    assert_eq!(stage.kept()["gateways"], serde_json::json!({}));

    let id = stage_id(&token).to_owned();
    let made = |event: &Value| event["what"] == "login.created" && event["subject"] == "alice";
    let over = |event: &Value| event["event"] == "token_revoked" && event["token_id"] == id && event["by"] == "alice";
    eventually("the login is on record, and the logout", Duration::from_secs(5), || {
        let events = stage.scene.gateway.events();
        events.iter().any(made) && events.iter().any(over)
    });

    // A token that is over has a code of its own, too.
    stage.log_in("alice");
    let id = stage_id(&stage.token()).to_owned();
    stage.scene.gateway.here_ok(&["token", "revoke", &id]);
    let over = stage.run(&["whoami"]);
    assert_eq!(over.status.code(), Some(5), "{}", process::text(&over));
    assert!(process::text(&over).contains("hint: log in: `lockgate login`"), "{}", process::text(&over));
    assert!(stage.run(&["logout"]).status.success(), "nothing is left of it");
    stage.scene.gateway.verify();
    let log = stage.scene.gateway.log();
    assert!(!log.contains(&stage_secret(&log)), "no token in the log");
}

/// Where there is a desktop, the command line has it open the page; where that cannot be, it says the address all the same.
#[test]
fn the_command_line_opens_the_browser() {
    let stage = Stage::new();
    let programs = stage.home.path().join("programs");
    std::fs::create_dir(&programs).expect("a new directory");
    let opened = stage.home.path().join("opened");
    for (with_program, quiet, words) in [
        (false, false, "open this address in a browser on this machine: "),
        (true, true, "open this address in a browser on this machine: "),
        (true, false, "confirm the login in your browser: "),
    ] {
        if with_program {
            let program = programs.join("xdg-open");
            // Written whole or not at all, as a browser is told.
            let text = format!("#!/bin/sh\necho \"$#:$1\" >{0}.new\n/bin/mv {0}.new {0}\n", opened.display());
            std::fs::write(&program, text).expect("a file");
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let mut args = vec!["login", "--url"];
        let url = stage.url();
        args.push(&url);
        args.extend(quiet.then_some("--no-browser"));
        let mut command = stage.cli(&args);
        let mut waiting = Waiting::start({
            command.env("DISPLAY", ":99").env("PATH", &programs);
            command
        });
        let address = waiting.word("https://");
        assert!(waiting.said.contains(words), "{}", waiting.said);
        if !with_program || quiet {
            assert!(!opened.exists(), "nobody wanted a browser");
            continue;
        }
        eventually("the browser is told", Duration::from_secs(10), || opened.exists());
        let told = std::fs::read_to_string(&opened).expect("text");
        assert_eq!(told.trim(), format!("1:{address}"), "this address and nothing else");
        let mut surfer = Surfer::new(&stage.scene.gateway);
        let page = stage.visit(&mut surfer, &address, "alice");
        surfer.submit(&page, &[("action", "approve")]);
        assert_eq!(waiting.end(), Some(0), "{}", waiting.said);
    }
}

/// The id in a Lockgate token.
fn stage_id(token: &str) -> &str {
    token.split('_').nth(1).expect("an id")
}

/// A Lockgate token in a text, if there is one; else a text that is not in it.
fn stage_secret(log: &str) -> String {
    let found = log.split_whitespace().find(|word| word.starts_with("lg_") && word.len() > 40);
    found.unwrap_or("\u{1}").to_owned()
}

#[test]
fn a_login_can_be_denied_and_ends_everywhere() {
    let stage = Stage::new();
    let mut waiting = Waiting::start(stage.cli(&["login", "--no-browser", "--url", &stage.url()]));
    let address = waiting.word("https://");
    let mut surfer = Surfer::new(&stage.scene.gateway);
    let page = stage.visit(&mut surfer, &address, "alice");
    // Somebody on the same machine who guesses the port has no use of it.
    let page = { surfer.open(page.url.as_str()) };
    surfer.submit(&page, &[("action", "deny")]);
    assert_eq!(waiting.end(), Some(3), "{}", waiting.said);

    stage.log_in("alice");
    let token = stage.token();
    let mut surfer = Surfer::new(&stage.scene.gateway);
    let page = surfer.open(&format!("{}/login", stage.url()));
    surfer.sign_in(&page, &stage.idp.issuer(), "alice");
    let out = stage.run(&["logout", "--everywhere"]);
    assert!(out.status.success(), "{}", process::text(&out));
    let mut session = stage.cli(&["whoami", "--url", &stage.url()]);
    assert_eq!(process::output(session.env("LOCKGATE_TOKEN", token)).status.code(), Some(5));
    let home = surfer.open(&format!("{}/login", stage.url()));
    assert!(home.html.contains("Signed in as <b>alice</b>"), "another login is not concerned: {}", home.html);
    eventually("the end is on record", Duration::from_secs(5), || {
        let events = stage.scene.gateway.events();
        let of = |what: &str| events.iter().filter(|event| event["what"] == what && event["by"] == "alice").count();
        assert!(of("login.ended") <= 1, "{events:?}");
        (of("login.created"), of("login.ended")) == (3, 1)
    });
    stage.scene.gateway.verify();
}

#[test]
fn a_device_is_logged_in_with_its_code() {
    let stage = Stage::new();
    let mut waiting = Waiting::start(stage.cli(&["login", "--device", "-o", "json", "--url", &stage.url()]));
    let code = waiting.after("enter this code: ");
    let mut surfer = Surfer::new(&stage.scene.gateway);
    let page = stage.visit(&mut surfer, &format!("{}/device", stage.url()), "alice");
    let page = surfer.submit(&page, &[("code", &code.to_lowercase())]);
    assert!(page.html.contains(&code) && page.html.contains("127.0.0.1"), "{}", page.html);
    let done = surfer.submit(&page, &[("action", "approve")]);
    assert!(done.html.contains("Your command line is logged in"), "{}", done.html);
    assert_eq!(waiting.end(), Some(0), "{}", waiting.said);
    assert!(waiting.printed().contains("\"user\":\"alice\"") || stage.kept().to_string().contains("alice"));
    assert!(stage.run(&["whoami"]).status.success());
}

/// What Chromium makes of an address, and the pictures it took, which are kept where LOCKGATE_PICTURES says.
fn chromium(stage: &Stage, name: &str, address: &str, user: &str, code: Option<&str>) -> Value {
    let folder = std::env::var_os("LOCKGATE_PICTURES").map_or(stage.home.path().to_owned(), std::path::PathBuf::from);
    let mut node = Command::new("node");
    node.arg(places::tool("chromium.mjs")).arg(places::browser_modules()).arg(folder.join(name));
    let output = process::output(node.args([address, user]).args(code).env("HOME", stage.home.path()));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", process::text(&output)));
    assert_eq!(seen["faults"], serde_json::json!([]), "{seen}");
    seen
}

#[test]
fn a_real_browser_logs_in_the_command_line_a_device_and_a_connection() {
    let stage = Stage::new();
    let mut waiting = Waiting::start(stage.cli(&["login", "--no-browser", "--url", &stage.url()]));
    let seen = chromium(&stage, "browser", &waiting.word("https://"), "alice", None);
    assert_eq!(waiting.end(), Some(0), "{}", waiting.said);
    assert!(seen["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{seen}");
    let cookies = seen["cookies"].as_array().expect("a list");
    let kept = cookies.iter().find(|cookie| cookie["name"] == "__Host-lockgate").expect("who is signed in");
    assert_eq!(
        (&kept["httpOnly"], &kept["secure"], &kept["sameSite"], &kept["path"]),
        (&true.into(), &true.into(), &"Lax".into(), &"/".into())
    );
    assert!(!cookies.iter().any(|cookie| cookie["name"] == "__Host-lockgate-flow"), "it is over: {cookies:?}");

    let mut waiting = Waiting::start(stage.cli(&["login", "--device", "--url", &stage.url()]));
    let (address, code) = (waiting.word("https://"), waiting.after("enter this code: "));
    chromium(&stage, "device", &address, "frank", Some(&code));
    assert_eq!(waiting.end(), Some(0), "{}", waiting.said);

    let mut psql = Waiting::start(bare_psql(&stage, "alice", "-c lockgate.auth=link"));
    chromium(&stage, "link", &psql.word("https://"), "alice", None);
    assert_eq!(psql.end(), Some(0), "{}", psql.said);
    assert_eq!(psql.printed().trim(), "in as asked");
}

#[test]
fn a_real_browser_signs_a_local_user_in() {
    let stage = Stage::new();
    let made =
        stage.scene.gateway.here_ok(&["user", "add", "lola", "--group", "engineers", "--generate", "-o", "json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let mut waiting = Waiting::start(stage.cli(&["login", "--no-browser", "--url", &stage.url()]));
    let (address, password) = (waiting.word("https://"), made["password"].as_str().expect("a password"));
    let mut node = Command::new("node");
    node.arg(places::tool("chromium.mjs")).arg(places::browser_modules()).arg(stage.home.path().join("local"));
    node.args([address.as_str(), "lola"]).env("PASSWORD", password).env("HOME", stage.home.path());
    let output = process::output(&mut node);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", process::text(&output)));
    assert_eq!(seen["faults"], serde_json::json!([]), "{seen}");
    assert_eq!(waiting.end(), Some(0), "{}", waiting.said);
    assert_eq!(stage.scene.gateway.query("lola", &stage.token(), "SELECT 1"), "1");
}

/// Who is signed in decides on the page of an approval without a token; no other page can do it for them.
#[test]
fn an_approval_is_decided_by_who_is_signed_in() {
    let stage = Stage::new();
    let gateway = &stage.scene.gateway;
    stage.idp.set("user=dana&groups=dba");
    let mut client = Client::login(gateway.port, "alice", &stage.scene.alice());
    client.send(b'Q', &wire::text("DELETE FROM notes WHERE id <= 5"));
    let id = stage.scene.pending(&stage.scene.dana());
    let address = format!("{}/approvals/{id}", stage.url());
    let mut browsers = ["dana", "alice", "bob"].map(|user| {
        let mut browser = Surfer::new(gateway);
        let page = browser.open(&address);
        assert!(page.html.contains("name=\"token\"") && !page.html.contains("DELETE FROM"), "{}", page.html);
        // Who signs in from there comes back to the request.
        let link = page.html.split("href=\"/login").nth(1).expect("a link").split('"').next().expect("its end");
        let back = stage.visit(&mut browser, &format!("{}/login{link}", stage.url()), user);
        assert_eq!(back.url.path(), format!("/approvals/{id}"), "{}", back.html);
        browser
    });
    let [dana, alice, bob] = browsers.each_mut().map(|browser| browser.open(&address));
    for page in [&dana, &alice] {
        assert!(page.html.contains("DELETE FROM notes") && !page.html.contains("name=\"token\""), "{}", page.html);
    }
    assert!(alice.html.contains("You cannot decide"), "{}", alice.html);
    assert_eq!((bob.status, bob.html.contains("DELETE FROM")), (404, false), "{}", bob.html);
    let word = dana.html.split("name=\"form\" value=\"").nth(1).expect("a word").split('"').next().expect("its end");
    let others = browsers[2].open(&format!("{}/login", stage.url()));
    let others =
        others.html.split("name=\"form\" value=\"").nth(1).expect("a word").split('"').next().expect("its end");
    // Forms of another's making, with nothing, with a guess, with the word of another browser; and her word in his browser, and in none.
    for form in ["", "0123456789abcdef0123456789abcdef01234567", others] {
        let refused = browsers[0].post(&address, &[("action", "approve"), ("form", form)]);
        assert_eq!(refused.status, 403, "{}", refused.html);
    }
    for (browser, status) in [(&mut browsers[2].clone(), 403), (&mut Surfer::new(gateway), 401)] {
        let refused = browser.post(&address, &[("action", "approve"), ("form", word)]);
        assert_eq!(refused.status, status, "{}", refused.html);
    }
    assert_eq!(browsers[0].post(&address, &[("action", "approve")]).status, 400);
    // Nor does the requester count, with a form of her own.
    let own = browsers[1].open(&format!("{}/login", stage.url()));
    let own = own.html.split("name=\"form\" value=\"").nth(1).expect("a word").split('"').next().expect("its end");
    let refused = browsers[1].post(&address, &[("action", "approve"), ("form", own)]);
    assert_eq!(refused.status, 403, "{}", refused.html);
    assert_eq!(stage.scene.directly("SELECT count(*) FROM notes"), "20", "nothing of it counted");

    let done = browsers[0].submit(&dana, &[("action", "approve"), ("reason", "as agreed")]);
    assert!(done.html.contains("Your decision counts") && done.html.contains("as agreed"), "{}", done.html);
    let frames = client.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'C' && frame.body == b"DELETE 5\0"), "{frames:?}");
    let is_it =
        |event: &Value| event["event"] == "approval_decided" && event["by"] == "dana" && event["approval"] == *id;
    assert!(gateway.events().iter().any(is_it), "who decided is on record");
    // Who has signed out is asked for a token again.
    let home = browsers[0].open(&format!("{}/login", stage.url()));
    browsers[0].submit(&home, &[]);
    let page = browsers[0].open(&address);
    assert!(page.html.contains("name=\"token\"") && !page.html.contains("DELETE FROM"), "{}", page.html);
    gateway.verify();
}

/// The provider says for which beginning of a login its answer is, and that is compared.
#[test]
fn an_answer_for_another_beginning_signs_nobody_in() {
    let issuer = Issuer::start();
    let scene = Scene::with(15, |options| options.identity = issuer.yaml(""));
    let mut surfer = Surfer::new(&scene.gateway);
    let mut begin = || {
        let out = surfer.redirect(&format!("{}/oidc/corp/login", scene.gateway.url()));
        let word = |name: &str| {
            out.split(name).nth(1).and_then(|rest| rest.split('&').next()).expect("it is there").to_owned()
        };
        (word("state="), word("nonce="), surfer.clone())
    };
    let ((state, nonce, mut browser), (_, other, _)) = (begin(), begin());
    let back = |state: &str, nonce: &str| {
        format!("{}/oidc/corp/callback?code=alice.{nonce}&state={state}", scene.gateway.url())
    };
    let replayed = browser.clone().open(&back(&state, &other));
    assert_eq!(replayed.status, 403, "{}", replayed.html);
    let page = browser.open(&back(&state, &nonce));
    assert!(page.html.contains("Signed in as <b>alice</b>"), "{}", page.html);
}

#[test]
fn what_strangers_begin_and_answer_themselves_is_not_remembered() {
    let stage = Stage::new();
    let used = |state: &str| {
        api::wait(async {
            let store = Store::open(&stage.scene.gateway.data_dir()).await.expect("the gateway's store");
            let used = store.was_used("oidc state", state).await.expect("it can be read");
            store.close().await;
            used
        })
    };
    let mut surfer = Surfer::new(&stage.scene.gateway);
    let out = surfer.redirect(&format!("{}/oidc/corp/login", stage.url()));
    let state = out.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let junk = surfer.clone().open(&format!("{}/oidc/corp/callback?code=junk&state={state}", stage.url()));
    assert_eq!(junk.status, 403, "{}", junk.html);
    assert!(!used(state), "what no provider vouched for takes a place");
    // What it vouched for counts once, side by side and one after the other.
    let back = stage.idp.browse(&out, "alice");
    let browsers: Vec<Surfer> = (0..8).map(|_| surfer.clone()).collect();
    let signed_in = std::thread::scope(|scope| {
        let open = |mut browser: Surfer| browser.open(&back).html.contains("Signed in as <b>alice</b>");
        let tries: Vec<_> = browsers.into_iter().map(|browser| scope.spawn(move || open(browser))).collect();
        tries.into_iter().map(|one| one.join().expect("it ends")).filter(|signed_in| *signed_in).count()
    });
    assert_eq!(signed_in, 1);
    assert!(used(state));
    assert_eq!(surfer.open(&back).status, 403);
}

/// `psql` that has nothing to prove itself with.
fn bare_psql(stage: &Stage, user: &str, options: &str) -> Command {
    let mut psql = Command::new(places::psql());
    psql.arg(stage.scene.gateway.conninfo(user)).args(["-X", "-w", "-At", "-c", "SELECT 'in as ' || 'asked'"]);
    psql.env("PGOPTIONS", options).env("PGSSLMODE", "require").env_remove("PGPASSWORD");
    psql.env("PGCONNECT_TIMEOUT", "300");
    psql
}

#[test]
fn a_machine_with_only_psql_is_logged_in_by_link() {
    let stage = Stage::new();
    let mut psql = Waiting::start(bare_psql(&stage, "alice", "-c lockgate.auth=link"));
    let address = psql.word("https://");
    let code = psql.after("it shows the code ");
    // Somebody else cannot log it in, nor take the link away.
    let mut bob = Surfer::new(&stage.scene.gateway);
    let page = stage.visit(&mut bob, &address, "bob");
    let refused = bob.submit(&page, &[("action", "approve")]);
    assert_eq!(refused.status, 403, "{}", refused.html);

    let mut alice = Surfer::new(&stage.scene.gateway);
    let page = stage.visit(&mut alice, &address, "alice");
    for part in [code.as_str(), "<dd>shop</dd>", "<dd>alice</dd>", "<dd>127.0.0.1</dd>"] {
        assert!(page.html.contains(part), "{part}: {}", page.html);
    }
    let done = alice.submit(&page, &[("action", "approve")]);
    assert!(done.html.contains("Your connection goes on"), "{}", done.html);
    assert_eq!(psql.end(), Some(0), "{}", psql.said);
    assert_eq!(psql.printed().trim(), "in as asked");
    // It is over with the connection: the same link logs nobody in.
    assert_eq!(alice.open(&address).status, 404);

    // From loopback in clear too, and for clients that can only send a password.
    let mut psql = bare_psql(&stage, "alice", "");
    psql.env("PGPASSWORD", "link").env("PGSSLMODE", "disable");
    let mut psql = Waiting::start(psql);
    let page = alice.open(&psql.word("https://"));
    alice.submit(&page, &[("action", "deny")]);
    assert_eq!(psql.end(), Some(2));
    let mut said = String::new();
    psql.lines.read_to_string(&mut said).expect("text");
    assert!(said.contains("the login was denied in the browser"), "{said}");

    // Who goes away takes the link along.
    let mut psql = Waiting::start(bare_psql(&stage, "alice", "-c lockgate.auth=link"));
    let address = psql.word("https://");
    drop(psql);
    eventually("the link is gone", Duration::from_secs(10), || alice.open(&address).status == 404);
    stage.scene.gateway.verify();
}

#[test]
fn what_a_link_made_is_for_its_target_and_ends_with_the_login() {
    let stage = Stage::new();
    let mut client = std::thread::scope(|scope| {
        let port = stage.scene.gateway.port;
        let connecting = scope.spawn(move || {
            Client::login_with(port, &[("user", "alice"), ("database", "shop")], "link").expect("a person logs it in")
        });
        let mut address = None;
        eventually("the link is in the log", Duration::from_secs(10), || {
            let log = stage.scene.gateway.log();
            address =
                log.split("request=").nth(1).map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned());
            address.is_some()
        });
        let mut alice = Surfer::new(&stage.scene.gateway);
        let page = stage.visit(&mut alice, &format!("{}/link/{}", stage.url(), address.expect("found")), "alice");
        alice.submit(&page, &[("action", "approve")]);
        let client = connecting.join().expect("no panic");
        // The browser's login, and what came of it.
        let page = alice.open(&format!("{}/login", stage.url()));
        (client, alice, page)
    });
    assert_eq!(client.0.value("SELECT 1"), "1");
    let tokens = stage.scene.gateway.here_ok(&["token", "list", "-o", "json"]);
    let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
    assert_eq!(tokens[0]["targets"], serde_json::json!(["shop"]), "{tokens}");
    client.1.submit(&client.2, &[("everywhere", "yes")]);
    assert!(client.0.is_closed_within(Duration::from_secs(2)), "it lives on");
}

#[test]
fn a_link_needs_a_way_to_sign_in() {
    let scene = lockgate_tests::scene();
    let refused = Client::login_with(scene.gateway.port, &[("user", "alice"), ("database", "shop")], "link");
    let refused = refused.expect_err("nobody can log in there");
    assert!(format!("{refused:?}").contains("nobody can log in with a browser here"), "{refused:?}");
}

#[test]
fn a_provider_that_is_away_signs_nobody_in_and_is_found_when_it_comes_back() {
    let mut stage = Stage::new();
    stage.idp.stop();
    let mut surfer = Surfer::new(&stage.scene.gateway);
    let page = surfer.open(&format!("{}/oidc/corp/login", stage.url()));
    assert_eq!(page.status, 503, "{}", page.html);
    assert!(page.html.contains("Your identity provider does not answer"), "{}", page.html);
    stage.idp.resume("k1", &[("REDIRECT", &format!("{}/oidc/corp/callback", stage.url()))]);
    let mut page = surfer.open(&format!("{}/login", stage.url()));
    eventually("people sign in again", Duration::from_secs(30), || {
        page = surfer.open(&format!("{}/login", stage.url()));
        let home = surfer.sign_in(&page, &stage.idp.issuer(), "alice");
        home.html.contains("Signed in as <b>alice</b>")
    });
}
