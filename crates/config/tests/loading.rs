//! Configurations: the shipped example, every kind of mistake with its place, and what is not carried.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use lockgate_config::{Address, Admin, Config, Durability, Loaded, SamlSigned, TlsMode, load_cases, schema};
use lockgate_core::{IdentityKind, TargetName};
use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn env(name: &str) -> Option<String> {
    matches!(name, "ORDERS_PASSWORD" | "URL").then(|| "s3cret: {x}".to_owned())
}

/// A folder with this configuration and an empty folder of policies, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, yaml: &str) -> Self {
        let folder = Folder(std::env::temp_dir().join(format!("lockgate-config-{name}-{}", std::process::id())));
        std::fs::create_dir_all(folder.0.join("policies")).unwrap();
        std::fs::write(folder.0.join("lockgate.yaml"), yaml).unwrap();
        folder
    }

    fn load(&self) -> Result<Loaded, Vec<String>> {
        let path = self.0.join("lockgate.yaml");
        Config::load(Some(&path), &env).map_err(|report| {
            let show = |hint: &Option<String>| hint.as_ref().map(|h| format!(" [{h}]")).unwrap_or_default();
            let problems = report.problems.iter();
            problems.map(|p| format!("{}:{}: {}{}", p.line, p.column, p.message, show(&p.hint))).collect()
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn the_example_loads_and_its_cases_hold() {
    let loaded = Config::load(Some(&examples().join("lockgate.yaml")), &env).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = &loaded.config;
    assert_eq!(config.listen.postgres, "127.0.0.1:6432".parse().ok());
    assert_eq!(config.admins, [Admin::Group("platform".into())]);
    assert_eq!((config.limits.sessions_max, config.limits.dial_ms_max), (2000, 10_000));
    assert_eq!((config.recording.durability, config.recording.result_bytes_max), (Durability::None, 16 << 20));
    assert_eq!(config.approval_timeout_ms, 900_000);
    let orders = config.target("orders").unwrap();
    assert_eq!(orders.address, Address { host: "127.0.0.1".into(), port: 5432 });
    assert_eq!((orders.database.as_str(), orders.tls), ("shop", TlsMode::VerifyFull));
    assert!(orders.admits_database("shop") && orders.admits_database("shop_archive") && !orders.admits_database("hr"));
    assert_eq!(orders.password.as_ref().unwrap().expose(), "s3cret: {x}");
    assert_eq!(orders.facts().labels.get("env").map(String::as_str), Some("prod"));
    let name: TargetName = "orders".parse().unwrap();
    let rules: Vec<String> =
        loaded.column_rules(&name, "shop").into_iter().map(|(label, column)| format!("{label} {column}")).collect();
    assert_eq!(rules.len(), 5);
    assert_eq!(rules[1], "pii/ssn hr.employees.national_id");
    assert_eq!(loaded.sources.len(), 5, "{:?}", loaded.sources);

    let cases = load_cases(&examples().join("cases.yaml"), &config.targets).unwrap_or_else(|e| panic!("{e}"));
    assert!(cases.len() > 20);
    for case in &cases {
        if let Err(decision) = case.check(&loaded.policies) {
            panic!("{}: expected {}, got {decision:?}", case.name, case.expected);
        }
    }
}

#[test]
fn mistakes_in_the_file() {
    let target = "targets:\n  - {name: a, protocol: postgres, address: db, username: u}\n";
    let mut wrong = String::new();
    for (number, (yaml, expected)) in [
        ("lisetn: {}", vec!["1:1: unknown key `lisetn` [did you mean `listen`?]"]),
        ("listen:\n  postgers: 127.0.0.1:1", vec!["2:3: unknown key `postgers` [did you mean `postgres`?]"]),
        ("listen:\n  zzz: 1", vec!["2:3: unknown key `zzz` [the keys here are `postgres`, `mysql`, `ssh`, `https`, `metrics`]"]),
        ("targets:\n  - name: a\n    protocol: postgres\n    adress: x", vec!["4:5: unknown key `adress` [did you mean `address`?]"]),
        ("targets:\n  - name: a\n    protocol: postgres\n", vec!["3:5: `address` is missing"]),
        ("listen: 5", vec!["1:9: expected a mapping of keys to values"]),
        ("data_dir: [a]", vec!["1:11: expected a single value"]),
        ("data_dir: a\ndata_dir: b", vec!["2:1: duplicate mapping key: data_dir"]),
        (
            "listen: {postgres: nowhere}\napprovals: {timeout: 15}",
            vec![
                "1:20: `nowhere` is not an address to listen on [write `127.0.0.1:6432`, or `0.0.0.0:6432` for every interface]",
                "2:22: `15` is not a duration such as `15m`",
            ],
        ),
        ("listen: {postgres: 127.0.0.1:1, https: 127.0.0.1:1}", vec!["1:40: `127.0.0.1:1` is taken by another listener"]),
        ("approvals: {timeout: 30d}", vec!["1:22: `30d` is out of range: 1s to 7d"]),
        ("limits: {sessions: 0}", vec!["1:20: `0` is out of range: 1 to 1000000"]),
        ("recording: {durability: fsyncc}", vec!["1:25: `fsyncc` is not a durability [did you mean `fsync`?]"]),
        ("identity: {admins: [alice]}", vec!["1:21: `alice` is not an administrator: write `group:NAME` or `user:NAME`"]),
        ("identity: {auditors: ['group:']}", vec!["1:23: `group:` is not an auditor: write `group:NAME` or `user:NAME`"]),
        ("data_dir: ${env:NOPE}", vec!["1:11: the environment variable `NOPE` is not set"]),
        ("data_dir: ${evn:URL}", vec!["1:11: `evn` is no source of values [did you mean `${env:URL}`?]"]),
        (
            "targets:\n  - {name: a b, protocol: postgers, address: 'x:y', username: '{me}', tls: verify, labels: {'': x}}",
            vec![
                "2:27: `postgers` is not a protocol [did you mean `postgres`?]",
                "2:12: `a b` cannot be a target's name: use letters, digits, `_`, `-` and `.`, at most 63",
                "2:46: `x:y` is not an address: write `host:port`",
                "2:63: `{me}` is not a role [the only placeholder here is `{user}`]",
                "2:76: `verify` is not a TLS mode [did you mean `verify-full`?]",
                "2:97: `: x` is not a label of a target",
            ],
        ),
        ("targets:\n  - {name: a, protocol: postgres, address: db}", vec!["2:12: the target has no `username`"]),
        (
            "targets:\n  - {name: a, protocol: postgres, address: db, username: u}\n  - {name: a, protocol: postgres, address: db, username: u}",
            vec!["3:12: there is another target `a`"],
        ),
        (
            &format!("{target}classify:\n  - {{label: pii/SSN, columns: [a/ssn]}}"),
            vec!["4:13: `pii/SSN` is not a label", "4:32: `a/ssn` is not a column: write `target/schema.table.column`"],
        ),
        (
            &format!("{}classify:\n  - {{label: x, columns: [ordres/a.b.c]}}", target.replace("name: a", "name: orders")),
            vec!["4:26: no target is called `ordres` [did you mean `orders`?]"],
        ),
        (&format!("{target}classify:\n  - label: x"), vec!["4:12: this label is found nowhere: add `columns`"]),
    ]
    .into_iter()
    .enumerate()
    {
        let found = Folder::new(&format!("mistake{number}"), yaml).load().err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        let all = expected.iter().all(|e| found.iter().any(|f| f.starts_with(e)));
        if !all || found.len() > expected.len() {
            wrong += &format!("{yaml}\nexpected {expected:#?}\nfound {found:#?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_not_carried_says_so() {
    let yaml = r"
store: postgres://localhost/lockgate
recordings: s3://bucket/prefix
listen: {mysql: '127.0.0.1:6306', ssh: '127.0.0.1:6022'}
targets:
  - {name: a, protocol: mysql, address: db}
  - {name: b, protocol: postgres, address: db, username: u, via: agent-eu, password: '${vault:db#pw}'}
classify:
  - {label: pii/email, fields: ['crm:/v1/people/*.email'], detect: [email]}
approvals: {timeout: 15m, notify: [{slack: ${env:URL}}, {webhook: https://example.com/hook}]}
";
    let found = Folder::new("carried", yaml).load().err().unwrap();
    let missing: Vec<&str> = [
        "2:8: `store: postgres://…` is",
        "3:13: `recordings: s3://…` is",
        "`listen.mysql` is",
        "`listen.ssh` is",
        "`protocol: mysql` is",
        "`via` is",
        "`${vault:…}` is",
        "`classify.fields` is",
        "`approvals.notify` is",
    ]
    .into_iter()
    .filter(|part| !found.iter().any(|f| f.contains(&format!("{part} not carried by this build"))))
    .collect();
    assert!(missing.is_empty(), "{missing:?} not in {found:#?}");
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn saml_providers_and_their_defaults() {
    let yaml = r"
url: https://gateway.example.com:6443/
identity:
  login_ttl: 8h
  oidc: [{name: corp, issuer: 'https://idp.example.com', client_id: lockgate}]
  saml:
    - {name: plain, metadata: secret.txt}
    - name: full
      metadata: secret.txt
      entity_id: urn:lockgate
      user_attribute: email
      user_prefix: 'full:'
      groups_attribute: groups
      groups: [staff]
      want_signed: both
      allow_idp_initiated: true
      allow_cbc: yes
      authn_contexts: [urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken]
      signing: {certificate: secret.txt, key: secret.txt}
      decryption: [{certificate: secret.txt, key: secret.txt}]
targets: [{name: orders, protocol: postgres, address: db, username: app}]
";
    let folder = Folder::new("saml", yaml);
    std::fs::write(folder.0.join("secret.txt"), "x").unwrap();
    let loaded = folder.load().unwrap();
    let config = &loaded.config;
    assert_eq!((config.url.as_deref(), config.login_ttl_ms), (Some("https://gateway.example.com:6443"), 8 * 3_600_000));
    let [plain, full] = config.saml.as_slice() else { panic!("two providers") };
    assert_eq!((plain.entity_id.as_deref(), plain.user_attribute.as_deref()), (None, None));
    assert_eq!((plain.want_signed, plain.allow_idp_initiated, plain.allow_cbc), (SamlSigned::Either, false, false));
    assert_eq!((full.want_signed, full.allow_idp_initiated, full.allow_cbc), (SamlSigned::Both, true, true));
    assert_eq!((full.user_prefix.as_str(), full.decryption.len(), full.signing.is_some()), ("full:", 1, true));
    assert!(
        loaded.sources.iter().any(|path| path.ends_with("secret.txt")),
        "a new metadata file is a new configuration"
    );

    for (wrong, said) in [
        ("url: http://gateway", "is not where browsers can reach"),
        ("url: https://gateway/path", "is not where browsers can reach"),
        ("identity: {login_ttl: 1s}", "is out of range"),
        ("identity: {saml: [{name: a, metadata: missing.xml}]}", "cannot be read"),
        ("identity: {saml: [{name: a/b, metadata: secret.txt}]}", "cannot be a provider's name"),
        ("identity: {saml: [{name: local, metadata: secret.txt}]}", "the gateway's own users"),
        ("identity: {saml: [{name: a, metadata: secret.txt}, {name: a, metadata: secret.txt}]}", "another provider"),
        (
            "identity: {oidc: [{name: a, issuer: 'https://i', client_id: c}], saml: [{name: a, metadata: secret.txt}]}",
            "another provider",
        ),
        ("identity: {saml: [{name: a, metadata: secret.txt, want_signed: no}]}", "is not something to be signed"),
        ("identity: {saml: [{name: a, metadata: secret.txt, user_attribute: ''}]}", "is no name"),
    ] {
        let folder = Folder::new("saml-wrong", wrong);
        std::fs::write(folder.0.join("secret.txt"), "x").unwrap();
        let found = folder.load().err().unwrap_or_default();
        assert!(found.iter().any(|problem| problem.contains(said)), "{wrong}: {found:?}");
    }
}

#[test]
fn issuers_and_their_defaults() {
    let yaml = r"
identity:
  oidc:
    - {name: corp, issuer: 'https://idp.example.com/realms/corp', client_id: lockgate, client_secret: '${env:URL}'}
    - name: ci
      issuer: http://127.0.0.1:9400
      client_id: lockgate
      audiences: [https://lockgate.example.com]
      authorized_parties: [deployer]
      algorithms: [ES256, RS512]
      required_claims: {repository: org/app, protected: true, run: 7, 'realm.roles': [a, 'b*']}
      scopes: [groups]
      user_claim: sub
      user_prefix: 'github:'
      groups_claim: realm_access.roles
      groups: [ci]
      kind: service
      kind_claim: party.kind
      ca: lockgate.yaml
";
    let loaded = Folder::new("issuers", yaml).load().unwrap_or_else(|e| panic!("{e:#?}"));
    let [corp, ci] = loaded.config.oidc.as_slice() else { panic!("two issuers") };
    assert_eq!(
        (corp.issuer.as_str(), corp.audiences.as_slice()),
        ("https://idp.example.com/realms/corp", ["lockgate".to_owned()].as_slice())
    );
    assert_eq!(corp.client_secret.as_ref().unwrap().expose(), "s3cret: {x}");
    assert_eq!(corp.algorithms, ["RS256", "PS256", "ES256", "ES384", "EdDSA"]);
    assert_eq!(
        (corp.user_claim.as_str(), corp.groups_claim.as_str(), corp.kind),
        ("email", "groups", IdentityKind::Human)
    );
    assert_eq!(corp.scopes, ["profile", "email"]);
    assert_eq!((ci.algorithms.as_slice(), ci.kind), (["ES256", "RS512"].as_slice(), IdentityKind::Service));
    let required: Vec<(&str, usize)> = ci.required_claims.iter().map(|(c, v)| (c.as_str(), v.len())).collect();
    assert_eq!(required, [("protected", 1), ("realm.roles", 2), ("repository", 1), ("run", 1)]);
    assert_eq!((ci.required_claims["protected"][0].as_str(), ci.required_claims["run"][0].as_str()), ("true", "7"));
    assert!(ci.ca.is_some() && ci.groups.contains("ci"));
}

#[test]
fn mistakes_in_issuers() {
    let issuer = |more: &str| {
        format!(
            "identity:\n  oidc:\n    - {{name: corp, issuer: 'https://idp.example.com', client_id: lockgate{more}}}\n"
        )
    };
    for (number, (yaml, expected)) in [
        (issuer(", algoritms: [RS256]"), "unknown key `algoritms` [did you mean `algorithms`?]"),
        (issuer(", algorithms: [RS265]"), "`RS265` is not an algorithm for signatures [did you mean `RS256`?]"),
        (issuer(", algorithms: [HS256]"), "`HS256` proves nothing [whoever can check"),
        (issuer(", algorithms: [none]"), "`none` proves nothing"),
        (issuer(", kind: robot"), "`robot` is not a kind of identity"),
        (issuer(", user_claim: ''"), "`` is not a claim"),
        (issuer(", scopes: ['a b']"), "`a b` is not a scope"),
        (issuer(", required_claims: {repository: []}"), "`repository` needs one to 64 values"),
        (issuer(", required_claims: {repository: {a: b}}"), "a value or a list of values"),
        (issuer(", ca: nothing.pem"), "nothing.pem` cannot be read"),
        (issuer(", groups: [' a']"), "` a` cannot be the name of a group"),
        (issuer(", client_secret: '${env:NOPE}'"), "the environment variable `NOPE` is not set"),
        (
            issuer("").replace("https://idp", "http://idp"),
            "`http://idp.example.com` is not an issuer [an issuer is asked over https",
        ),
        (
            issuer("").replace("https://idp", "http://127.0.0.1.idp"),
            "`http://127.0.0.1.idp.example.com` is not an issuer",
        ),
        (
            issuer("").replace("https://idp", "http://localhost@idp"),
            "`http://localhost@idp.example.com` is not an issuer",
        ),
        (
            issuer("").replace("https://idp.example.com", "idp.example.com"),
            "`idp.example.com` is not an issuer [write it",
        ),
        (issuer("").replace("example.com", "example.com?x=1"), "`https://idp.example.com?x=1` is not an issuer"),
        (issuer("").replace("name: corp", "name: 'co rp'"), "`co rp` cannot be a provider's name"),
        (issuer("").replace(", client_id: lockgate", ""), "`client_id` is missing"),
        (
            issuer("") + "    - {name: corp, issuer: 'https://b.example.com', client_id: x}",
            "there is another provider `corp`",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let found =
            Folder::new(&format!("issuer{number}"), &yaml).load().err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        let placed = found[0].starts_with("3:") || found[0].starts_with("4:14:");
        assert!(
            found.len() == 1 && placed && found[0].contains(expected),
            "{yaml}expected {expected}\nfound {found:#?}"
        );
    }
}

#[test]
fn policies_are_part_of_it() {
    let folder =
        Folder::new("policies", "targets:\n  - {name: orders, protocol: postgres, address: db, username: u}\n");
    let loaded = folder.load().unwrap();
    assert!(loaded.warnings[0].contains("everything is denied"));
    assert_eq!(loaded.config.data_dir, folder.0.join("data"), "relative paths start at the file");
    std::fs::write(folder.0.join("policies/a.cedar"), "permit (principal, action, resource in Target::\"ordres\");")
        .unwrap();
    let loaded = folder.load().unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "policy \"a.cedar#1\" (policies/a.cedar:1) is about Target::\"ordres\", which is configured nowhere; did you mean `orders`?"
        ]
    );
    std::fs::write(folder.0.join("policies/b.cedar"), "permit (principal, action, resorce);").unwrap();
    std::fs::write(folder.0.join("lockgate.yaml"), "approvals: {timeout: soon}").unwrap();
    let found = folder.load().err().unwrap();
    assert_eq!(found.len(), 2, "both kinds of mistake together: {found:#?}");
    std::fs::write(folder.0.join("lockgate.yaml"), "policies: polices/").unwrap();
    assert!(folder.load().err().unwrap()[0].contains("the folder of policies cannot be read"));
}

#[test]
fn everything_has_a_default() {
    for (name, yaml) in [("empty", ""), ("comment", "# nothing yet\n"), ("braces", "{}")] {
        let loaded = Folder::new(name, yaml).load().unwrap_or_else(|e| panic!("{name}: {e:#?}"));
        assert!(loaded.config.targets.is_empty() && loaded.config.listen.postgres.is_none(), "{name}");
    }
    let found = Folder::new("list", "- a\n").load().err().unwrap();
    assert_eq!(found, ["1:1: expected a mapping of keys to values"]);
    let found = Folder::new("broken", "targets: [\n").load().err().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let report = Config::load(Some(Path::new("/nonexistent/lockgate.yaml")), &env).err().unwrap().to_string();
    assert!(report.starts_with("/nonexistent/lockgate.yaml: cannot be read: No such file"), "{report}");
}

#[test]
fn secrets_come_from_files_too() {
    let folder = Folder::new(
        "files",
        "targets:\n  - {name: orders, protocol: postgres, address: db, username: \"{user}\", password: ${file:pw}, tls: disable}\n",
    );
    std::fs::write(folder.0.join("pw"), "p w\n").unwrap();
    let loaded = folder.load().unwrap();
    let target = loaded.config.target("orders").unwrap();
    assert_eq!(target.password.as_ref().unwrap().expose(), "p w");
    assert!(loaded.sources.contains(&folder.0.join("pw")), "a changed secret is a reason to load again");
    assert!(target.username.is_personal());
    assert_eq!(target.username.for_user("alice"), "alice");
    assert_eq!(target.database, "orders");
}

#[test]
fn errors_show_the_place_and_no_secret() {
    let folder = Folder::new(
        "excerpt",
        "targets:\n  - {name: orders, protocol: postgres, address: db, username: u, password: hunter2, prot: 1}\n",
    );
    let report = Config::load(Some(&folder.0.join("lockgate.yaml")), &env).err().unwrap().to_string();
    assert!(report.contains("unknown key `prot`") && report.contains("^^^^"), "{report}");
    assert!(!report.contains("hunter2"), "{report}");
}

#[test]
fn the_schema_lists_every_key() {
    let schema = schema();
    for key in ["data_dir", "listen", "targets", "classify", "limits", "policies", "recording"] {
        assert!(schema.pointer(&format!("/properties/{key}")).is_some(), "{key}");
    }
    assert_eq!(schema.pointer("/additionalProperties"), Some(&serde_json::Value::Bool(false)));
    assert!(schema.pointer("/$defs/Target/properties/password").is_some());
    assert!(schema.pointer("/$defs/Limits/properties/write_stall/description").is_some());
}

#[test]
fn mistakes_in_cases() {
    let folder = Folder::new("cases", "");
    let path = folder.0.join("cases.yaml");
    let yaml = "identities: {alice: {kind: humna}}\ncases:\n  - request: {action: raed, target: orders}\n    expect: {alice: allow}\n  - request: {action: reveal, target: orders}\n    expect: {alice: allow}\n  - request: {action: read, target: orders, now: yesterday}\n    expect: {alice: allow}\n  - request: {action: read, target: orders}\n    expect: {alcie: allow, alice: dney}\n";
    std::fs::write(&path, yaml).unwrap();
    let report = load_cases(&path, &[]).unwrap_err().to_string();
    for part in [
        "unknown action `raed`",
        "`reveal` needs a `label`",
        "`yesterday` is not a time",
        "there is no identity `alcie`",
        "`dney` is not a verdict: did you mean `deny`?",
        "`humna` is not a kind of identity",
    ] {
        assert!(report.contains(part), "{part} not in\n{report}");
    }
}

#[test]
fn detectors_by_name_and_of_ones_own() {
    let yaml = "
detectors:
  - {name: employee-id, pattern: '\\bE[0-9]{6}\\b', checksum: luhn, context: [employee]}
  - {name: project, keywords: [Blue Whale]}
classify:
  - {label: pii/contact, detect: [email, phone, employee-id]}
  - {label: pii/id, detect: [national-id, ssn]}
  - {label: secret/project, detect: [project, secrets]}
";
    let loaded = Folder::new("detectors", yaml).load().unwrap_or_else(|e| panic!("{e:#?}"));
    let classes = &loaded.config.classify;
    assert_eq!(classes[0].detect.kinds.len(), 2);
    assert_eq!(classes[0].detect.custom[0].name(), "employee-id");
    assert!(classes[1].detect.kinds.len() > 30);
    assert_eq!(classes[2].detect.custom.len(), 1);

    let yaml = "
detectors:
  - {name: email, pattern: x}
  - {name: broken, pattern: '('}
  - {name: nothing}
  - {name: twice, pattern: x}
  - {name: twice, pattern: y}
  - {name: check, pattern: x, checksum: crc32}
  - {name: spelt, patern: x}
classify:
  - {label: pii/email, detect: [emial]}
";
    let found = Folder::new("no_detectors", yaml).load().err().unwrap();
    assert!(found.iter().any(|f| f.contains("`patern`")), "{found:#?}");
    let yaml = yaml.replace("  - {name: spelt, patern: x}\n", "");
    let found = Folder::new("bad_detectors", &yaml).load().err().unwrap();
    for part in [
        "`email` cannot be the name",
        "the pattern cannot be used",
        "a detector needs a `pattern` or `keywords`",
        "two detectors are called `twice`",
        "unknown checksum `crc32`",
        "no detector is called `emial`",
        "did you mean `email`?",
    ] {
        assert!(found.iter().any(|f| f.contains(part)), "{part} not in {found:#?}");
    }
}
