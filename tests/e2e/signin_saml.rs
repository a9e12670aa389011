//! People sign in with a real SAML provider: from here, from there, and not twice with one answer.

use crate::signin::Waiting;
use lockgate_tests::process::{self, Scratch};
use lockgate_tests::simplesaml::{Party, SimpleSaml};
use lockgate_tests::surfer::{Page, Surfer};
use lockgate_tests::{Gateway, Postgres, Scene, places};
use std::path::PathBuf;
use std::process::Command;

struct Stage {
    gateway: Gateway,
    idp: SimpleSaml,
    _metadata: Scratch,
}

impl Stage {
    /// A gateway and a provider that know each other's metadata.
    fn new(more: &str) -> Stage {
        let postgres = Postgres::shared(15);
        let database = postgres.database("SELECT 1");
        let folder = Scratch::make();
        let metadata: PathBuf = folder.path().join("idp.xml");
        let mut options = Scene::options(postgres, &database);
        options.identity = format!(
            "  saml:\n    - {{name: corp-saml, metadata: {}, user_attribute: email, groups_attribute: groups, want_signed: both{more}}}\n",
            metadata.display()
        );
        options.extra = String::new();
        let mut gateway = Gateway::prepare(options);
        let ours = format!("{}/saml/corp-saml", gateway.url());
        let party = format!(
            "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{ours}/metadata\"><SPSSODescriptor \
             protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"><AssertionConsumerService \
             Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"{ours}/acs\" index=\"0\"/></SPSSODescriptor>\
             </EntityDescriptor>"
        );
        let idp = SimpleSaml::start(&[Party { name: "gateway".into(), metadata: party, options: "{}".into() }]);
        std::fs::write(&metadata, idp.metadata()).expect("a new file");
        gateway.resume();
        Stage { gateway, idp, _metadata: folder }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.gateway.url())
    }

    fn acs(&self) -> String {
        self.at("/saml/corp-saml/acs")
    }

    /// Goes out to the provider, logs in there, and yields what it has the browser post.
    fn out_and_back(&self, surfer: &mut Surfer, query: &str) -> Vec<(&'static str, String)> {
        let address = surfer.redirect(&self.at(&format!("/saml/corp-saml/login{query}")));
        let posted = self.idp.browser().log_in(&address, &[], "alice", "wonderland");
        assert_eq!(posted.action, self.acs());
        vec![("SAMLResponse", posted.saml_response)]
    }

    fn post(&self, surfer: &mut Surfer, fields: &[(&'static str, String)]) -> Page {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        surfer.post(&self.acs(), &fields)
    }
}

fn is_alice(page: &Page) -> bool {
    page.html.contains("Signed in as <b>alice@example.com</b> with corp-saml")
}

#[test]
fn people_sign_in_with_saml_and_an_answer_counts_once() {
    let mut stage = Stage::new("");
    let mut surfer = Surfer::new(&stage.gateway);
    let metadata = surfer.open(&stage.at("/saml/corp-saml/metadata"));
    assert!(metadata.html.contains(&format!("Location=\"{}\"", stage.acs())), "{}", metadata.html);
    let page = surfer.open(&stage.at("/login"));
    assert!(page.html.contains("href=\"/saml/corp-saml/login\""), "{}", page.html);

    let fields = stage.out_and_back(&mut surfer, "");
    let out = surfer.clone();
    // Another browser did not ask for it, and this one does not take it altered.
    let stranger = stage.post(&mut Surfer::new(&stage.gateway), &fields);
    assert_eq!(stranger.status, 403, "{}", stranger.html);
    let mut later = surfer.clone();
    let home = stage.post(&mut surfer, &fields);
    assert!(is_alice(&home) && home.html.contains("Bürö &amp; Ämter, engineers"), "{}", home.html);
    // The same answer in the same browser, as it was before: by the request, which is answered, and by the assertion.
    let again = stage.post(&mut out.clone(), &fields);
    assert_eq!(again.status, 403, "{}", again.html);
    // And for another request of this browser.
    stage.out_and_back(&mut later, "");
    assert_eq!(stage.post(&mut later, &fields).status, 403);
    // After a restart too.
    assert_eq!(stage.gateway.stop(), Some(0));
    stage.gateway.resume();
    assert_eq!(stage.post(&mut out.clone(), &fields).status, 403);
    assert!(is_alice(&surfer.open(&stage.at("/login"))), "who is signed in stays so");
    // What begins at the provider is not wanted here.
    let posted = stage.idp.browser().log_in(
        &stage.idp.unsolicited(&stage.at("/saml/corp-saml/metadata")),
        &[],
        "alice",
        "wonderland",
    );
    assert_eq!(stage.post(&mut Surfer::new(&stage.gateway), &[("SAMLResponse", posted.saml_response)]).status, 403);
    stage.gateway.verify();
}

/// `lockgate VERB…` of a person with a home of their own.
fn cli(stage: &Stage, home: &Scratch, args: &[&str]) -> Command {
    let mut command = Command::new(places::lockgate());
    command.env("LOCKGATE_CA", stage.gateway.authority()).env("HOME", home.path()).env_remove("DISPLAY");
    command.env_remove("XDG_CONFIG_HOME").env_remove("LOCKGATE_TOKEN").env_remove("LOCKGATE_URL");
    command.current_dir("/").args(args);
    command
}

/// Real browsers keep cookies from what another site has them post: that is how an answer of SAML comes.
#[test]
fn a_real_browser_logs_a_command_line_and_a_device_in_with_saml() {
    let stage = Stage::new("");
    let url = stage.gateway.url();
    for device in [false, true] {
        let home = Scratch::make();
        let way = if device { "--device" } else { "--no-browser" };
        let mut waiting = Waiting::start(cli(&stage, &home, &["login", way, "--url", &url]));
        let address = waiting.word("https://");
        let code = device.then(|| waiting.after("enter this code: "));
        let mut node = Command::new("node");
        node.arg(places::tool("chromium.mjs")).arg(places::browser_modules()).arg(home.path().join("pictures"));
        node.args([&address, "alice"]).args(code).env("SAML_PASSWORD", "wonderland").env("HOME", home.path());
        let output = process::output(&mut node);
        let seen: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", process::text(&output)));
        assert_eq!(seen["faults"], serde_json::json!([]), "{seen}");
        assert_eq!(waiting.end(), Some(0), "{}", waiting.said);
        let me = process::output(&mut cli(&stage, &home, &["whoami", "-o", "json"]));
        let me: serde_json::Value =
            serde_json::from_slice(&me.stdout).unwrap_or_else(|_| panic!("{}", process::text(&me)));
        assert_eq!((&me["user"], &me["kind"]), (&"alice@example.com".into(), &"human".into()), "{me}");
        assert!(me["groups"].as_array().is_some_and(|groups| groups.contains(&"engineers".into())), "{me}");
    }
    stage.gateway.verify();
}

#[test]
fn a_hundred_pairs_of_the_same_answer_sign_in_a_hundred_times() {
    let mut stage = Stage::new(", allow_idp_initiated: true");
    let browser = stage.idp.browser();
    let address = stage.idp.unsolicited(&stage.at("/saml/corp-saml/metadata"));
    let answers: Vec<String> =
        (0..100).map(|_| browser.log_in(&address, &[], "alice", "wonderland").saml_response).collect();
    // Refused answers count as refused logins of their address, which has to wait after thirty: so they come from several.
    let served = |answer: &str, from: u8| {
        let mut surfer = Surfer::at(&stage.gateway, [127, 0, 0, from]);
        let page = stage.post(&mut surfer, &[("SAMLResponse", answer.to_owned())]);
        assert_eq!(is_alice(&page), page.status == 200, "{} {}", page.status, page.html);
        page.status
    };
    for (pair, from) in answers.iter().zip((2..).flat_map(|from| [from; 20])) {
        let mut both = std::thread::scope(|scope| {
            let other = scope.spawn(|| served(pair, from));
            [served(pair, from), other.join().expect("no panic")]
        });
        both.sort_unstable();
        assert_eq!(both, [200, 403], "each counts once");
    }
    assert_eq!(stage.gateway.stop(), Some(0));
    stage.gateway.resume();
    let after: Vec<u16> = answers
        .iter()
        .take(20)
        .map(|answer| stage.post(&mut Surfer::new(&stage.gateway), &[("SAMLResponse", answer.clone())]).status)
        .collect();
    assert!(after.iter().all(|status| *status == 403), "{after:?}");
}
