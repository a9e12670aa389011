//! People sign in with a real SAML provider: from here, from there, and not twice with one answer.

use crate::signin::Waiting;
use lockgate_tests::process::{self, Scratch};
use lockgate_tests::simplesaml::{Party, SimpleSaml};
use lockgate_tests::surfer::{Page, Surfer};
use lockgate_tests::{Gateway, Postgres, Scene, places};
use std::path::PathBuf;
use std::process::Command;

/// What a provider is told of us: where we are, and more.
fn metadata_of(ours: &str, more: &str) -> String {
    format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{ours}/metadata\"><SPSSODescriptor \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{more}<AssertionConsumerService \
         Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"{ours}/acs\" index=\"0\"/></SPSSODescriptor>\
         </EntityDescriptor>"
    )
}

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
        let party = metadata_of(&ours, "");
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

/// A way in which a gateway and the provider have agreed, and who signs in so; nobody, where they have not.
struct Agreed {
    name: &'static str,
    /// What the gateway's entry says.
    ours: String,
    /// What our metadata says in addition.
    told: String,
    /// What the provider is told to do.
    theirs: &'static str,
    user: Option<&'static str>,
}

/// A key and its certificate, and the certificate as it stands in metadata.
fn certified(folder: &Scratch, name: &str) -> (String, String) {
    let file = |end: &str| folder.path().join(format!("{name}.{end}"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gateway"]);
    process::run(openssl.arg("-keyout").arg(file("key")).arg("-out").arg(file("crt")));
    let pem = std::fs::read_to_string(file("crt")).expect("a certificate");
    let der = pem.lines().filter(|line| !line.starts_with("---")).collect::<String>();
    (format!("{{certificate: {}, key: {}}}", file("crt").display(), file("key").display()), der)
}

#[test]
fn every_setting_of_a_saml_provider_is_in_force() {
    const SEALED: &str =
        r#"{"assertion.encryption": true, "sharedkey_algorithm": "http://www.w3.org/2009/xmlenc11#aes256-gcm"}"#;
    const CBC: &str =
        r#"{"assertion.encryption": true, "sharedkey_algorithm": "http://www.w3.org/2001/04/xmlenc#aes256-cbc"}"#;
    const ALICE: Option<&str> = Some("alice@example.com");
    let folder = Scratch::make();
    let (decryption, opens) = certified(&folder, "decryption");
    let (signing, signs) = certified(&folder, "signing");
    let key = |word: &str, der: &str| {
        format!(
            "<KeyDescriptor use=\"{word}\"><KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data><X509Certificate>{der}\
             </X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
        )
    };
    let agreed = |name, ours: String, told: String, theirs, user| Agreed { name, ours, told, theirs, user };
    let opened = format!(", decryption: [{decryption}]");
    let seals = key("encryption", &opens);
    let all = [
        agreed("sealed", opened.clone(), seals.clone(), SEALED, ALICE),
        agreed("sealed-no-key", String::new(), seals.clone(), SEALED, None),
        agreed("cbc", format!("{opened}, allow_cbc: true"), seals.clone(), CBC, ALICE),
        agreed("cbc-not-allowed", opened, seals, CBC, None),
        agreed(
            "signs",
            format!(", signing: {signing}"),
            key("signing", &signs),
            r#"{"validate.authnrequest": true}"#,
            ALICE,
        ),
        agreed(
            "usual",
            ", authn_contexts: ['urn:oasis:names:tc:SAML:2.0:ac:classes:Password']".to_owned(),
            String::new(),
            "{}",
            ALICE,
        ),
        agreed(
            "strong",
            ", authn_contexts: ['urn:oasis:names:tc:SAML:2.0:ac:classes:X509']".to_owned(),
            String::new(),
            "{}",
            None,
        ),
        agreed(
            "named",
            ", user_prefix: 'saml:', groups: [everybody]".to_owned(),
            String::new(),
            "{}",
            Some("saml:alice@example.com"),
        ),
    ];
    let postgres = Postgres::shared(15);
    let mut options = Scene::options(postgres, &postgres.database("SELECT 1"));
    let metadata = folder.path().join("idp.xml");
    let entries = all.iter().map(|Agreed { name, ours, .. }| {
        format!(
            "    - {{name: {name}, metadata: {}, user_attribute: email, groups_attribute: groups, want_signed: response{ours}}}\n",
            metadata.display()
        )
    });
    options.identity = format!("  login_ttl: 12h\n  saml:\n{}", entries.collect::<String>());
    options.extra = String::new();
    let mut gateway = Gateway::prepare(options);
    let parties: Vec<Party> = all
        .iter()
        .map(|Agreed { name, told, theirs, .. }| Party {
            name: (*name).to_owned(),
            metadata: metadata_of(&format!("{}/saml/{name}", gateway.url()), told),
            options: (*theirs).to_owned(),
        })
        .collect();
    let idp = SimpleSaml::start(&parties);
    std::fs::write(&metadata, idp.metadata()).expect("a new file");
    gateway.resume();

    for Agreed { name, user, .. } in &all {
        let ours = format!("{}/saml/{name}", gateway.url());
        let mut surfer = Surfer::new(&gateway);
        let address = surfer.redirect(&format!("{ours}/login"));
        let posted = idp.browser().log_in(&address, &[], "alice", "wonderland");
        let page = surfer.post(&format!("{ours}/acs"), &[("SAMLResponse", &posted.saml_response)]);
        match user {
            Some(user) => {
                assert!(
                    page.html.contains(&format!("Signed in as <b>{user}</b> with {name}")),
                    "{name}: {}",
                    page.html
                );
                assert_eq!(page.html.contains("everybody"), *name == "named", "{name}: {}", page.html);
            }
            None => {
                assert_eq!((page.status, page.html.contains("Signed in as")), (403, false), "{name}: {}", page.html)
            }
        }
    }
    // What the provider needs of it is in our metadata.
    let metadata = |name: &str| Surfer::new(&gateway).open(&format!("{}/saml/{name}/metadata", gateway.url())).html;
    assert!(metadata("sealed").contains(&opens[..64]) && !metadata("sealed").contains(&signs[..64]));
    assert!(metadata("signs").contains(&signs[..64]) && metadata("signs").contains("AuthnRequestsSigned=\"true\""));
    // A session lasts as long as the provider's, which is eight hours here, and not as long as it might.
    let listed = gateway.here_ok(&["logins", "list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let logins = listed.as_array().expect("a list");
    assert_eq!(logins.len(), all.iter().filter(|agreed| agreed.user.is_some()).count(), "{listed}");
    for login in logins {
        let seconds = |key: &str| seconds_of(login[key].as_str().expect("a time"));
        let lasts = seconds("expires") - seconds("created");
        assert!((8 * 3_600 - 120..=8 * 3_600).contains(&lasts), "it lasts {lasts} s: {login}");
    }
    gateway.verify();
}

/// The seconds of a time as it is written.
fn seconds_of(written: &str) -> i64 {
    let mut date = Command::new("date");
    process::run(date.args(["-u", "+%s", "-d", written])).trim().parse().expect("a number")
}
