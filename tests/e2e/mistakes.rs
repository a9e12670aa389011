//! Mistakes in the configuration and the policies are found at the start, and said with their place and the nearest name.

use lockgate_tests::scene::{POLICIES, Scene};
use lockgate_tests::{Gateway, Postgres, process};
use std::time::Duration;

fn prepared() -> Gateway {
    let postgres = Postgres::shared(15);
    Gateway::prepare(Scene::options(postgres, "postgres"))
}

/// The start fails within five seconds and says all of `words`; `policy check` says so too.
fn refuses_to_start(mut gateway: Gateway, what: &str, words: &[&str]) {
    let checked = gateway.here(&["policy", "check"]);
    // Policies are also checked where the secrets are not.
    let secrets_only = what == "a missing variable";
    assert!(secrets_only || !checked.status.success(), "{what}: `policy check` finds nothing");
    gateway.launch();
    let code = gateway.wait(Duration::from_secs(5));
    assert!(matches!(code, Some(1..=5)), "{what}: ended with {code:?}");
    let by_check = if secrets_only { None } else { Some(process::text(&checked)) };
    for said in std::iter::once(gateway.log()).chain(by_check) {
        for word in words {
            assert!(said.contains(word), "{what}: `{word}` is missing in:\n{said}");
        }
    }
}

#[test]
fn configuration() {
    for (what, from, to, words) in [
        ("a misspelt key", "    database:", "    databse:", &["databse", "database"][..]),
        ("a misspelt section", "identity:", "idenity:", &["idenity", "identity"]),
        ("an unknown protocol", "protocol: postgres", "protocol: postgers", &["postgers", "postgres"]),
        ("a bad address", "address: 127.0.0.1:", "address: \"127.0.0.1 \"#:", &["address"]),
        ("a missing variable", "TEST_TARGET_PASSWORD", "NO_SUCH_VARIABLE", &["NO_SUCH_VARIABLE"]),
        ("a bad label", "label: pii/ssn", "label: PII SSN", &["PII SSN"]),
        ("a column of no target", "shop/public.people.ssn", "shpo/public.people.ssn", &["shpo", "shop"]),
        ("broken YAML", "targets:", "targets: [", &["lockgate.yaml"]),
    ] {
        let gateway = prepared();
        let yaml = std::fs::read_to_string(gateway.config()).unwrap();
        assert!(yaml.contains(from), "{what}");
        let line = yaml.lines().position(|line| line.contains(from)).unwrap() + 1;
        std::fs::write(gateway.config(), yaml.replacen(from, to, 1)).unwrap();
        let place = format!(":{line}");
        let mut words = words.to_vec();
        if what.starts_with("a misspelt") {
            words.push(&place);
        }
        refuses_to_start(gateway, what, &words);
    }
}

#[test]
fn policies() {
    for (what, from, to, words) in [
        (
            "a misspelt attribute",
            "context.sql.has_where",
            "context.sql.has_were",
            &["has_were", "has_where", "test.cedar"][..],
        ),
        ("an unknown action", "Action::\"export\"", "Action::\"exprot\"", &["exprot", "export", "test.cedar"]),
        ("an unknown annotation", "@approve", "@aprove", &["aprove", "approve", "test.cedar"]),
        ("an unknown mask", "@mask(\"redact\")", "@mask(\"redcat\")", &["redcat", "redact", "test.cedar"]),
        ("broken syntax", "unless {", "unles {", &["test.cedar"]),
        ("a repeated id", "@id(\"fraud-work\")", "@id(\"work\")", &["work", "test.cedar"]),
    ] {
        let gateway = prepared();
        assert!(POLICIES.contains(from), "{what}");
        std::fs::write(gateway.policy_file(), POLICIES.replacen(from, to, 1)).unwrap();
        refuses_to_start(gateway, what, words);
    }
}

/// No file shows that a table is misspelt, and nothing of it would be masked: the target knows.
#[test]
fn names_that_no_target_has_are_told_where_it_is_asked() {
    let scene = Scene::with(15, |options| {
        options.extra.push_str(
            "  - label: pii/typo\n    columns: [shop/public.peopel.name, shop/public.people.nmae, \"*/public.notes.b*\", \"shop/publik.*.id\"]\n",
        );
        options.policies.push_str(
            "\n@id(\"typo\")\nforbid (principal, action == Action::\"read\", resource == Table::\"shop/public.nots\");\n",
        );
    });
    let check = |args: &[&str]| {
        let output = scene.gateway.here(&[&["policy", "check"], args].concat());
        assert!(output.status.success(), "{}", process::text(&output));
        process::text(&output)
    };
    assert!(!check(&[]).contains("warning"), "{}", check(&[]));
    let told = check(&["--targets"]);
    for line in [
        "classify: no column of target \"shop\" is called public.peopel.name, so nothing is labelled by it; did you mean `public.people.name`?",
        "classify: no column of target \"shop\" is called public.people.nmae, so nothing is labelled by it; did you mean `public.people.name`?",
        "classify: no column of target \"shop\" is called publik.*.id, so nothing is labelled by it",
        "is about Table::\"shop/public.nots\", and target \"shop\" has no such table; did you mean `public.notes`?",
    ] {
        assert!(told.contains(line), "`{line}` is missing in:\n{told}");
    }
    assert_eq!(told.matches("warning").count(), 4, "{told}");
    // A target that cannot be asked is said to be so, and its names are no mistakes.
    let config = std::fs::read_to_string(scene.gateway.config()).unwrap();
    let address = format!("address: 127.0.0.1:{}", scene.postgres.port);
    std::fs::write(scene.gateway.config(), config.replace(&address, "address: 127.0.0.1:1")).unwrap();
    let told = check(&["--targets"]);
    assert!(told.contains("target \"shop\" cannot be asked what it has") && !told.contains("peopel"), "{told}");
}

#[test]
fn a_policy_that_denies_everything_is_no_mistake_and_lets_nobody_in() {
    let scene =
        Scene::with(15, |options| options.policies = "@id(\"x\")\nforbid (principal, action, resource);\n".to_owned());
    let refused = scene.gateway.refuses_login("alice", &scene.alice());
    assert!(["42501", "28000", "3D000"].contains(&refused.field(b'C').unwrap().as_str()), "{refused:?}");
}

#[test]
fn a_damaged_store_stops_the_start() {
    let mut gateway = prepared();
    gateway.resume();
    gateway.stop();
    let store = std::fs::read_dir(gateway.data_dir()).unwrap().flatten().map(|entry| entry.path());
    // SQLite's write-ahead log and index are made new from nothing; the store itself is not.
    let is_store = |path: &std::path::PathBuf| path.is_file() && !path.to_string_lossy().contains(".db-");
    let store = store.filter(is_store).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&store).unwrap();
    bytes.iter_mut().take(2_000).for_each(|byte| *byte = 0x5a);
    std::fs::write(&store, &bytes).unwrap();
    gateway.launch();
    let code = gateway.wait(Duration::from_secs(10));
    assert!(matches!(code, Some(1..=5)), "{code:?}\n{}", gateway.log());
    assert_eq!(std::fs::read(&store).unwrap(), bytes, "the damaged store was changed");
}

#[test]
fn two_gateways_do_not_share_a_store_by_accident() {
    let mut first = prepared();
    first.resume();
    let data = first.data_dir();
    let mut options = Scene::options(Postgres::shared(15), "postgres");
    options.data_dir = Some(data);
    let mut second = Gateway::prepare(options);
    second.launch();
    let code = second.wait(Duration::from_secs(10));
    assert!(matches!(code, Some(1..=5)), "{code:?}");
    assert!(first.is_alive());
}
