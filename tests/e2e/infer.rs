//! Permitted uses of what may not be seen: `equality` within a budget that is the identity's own, `join` for columns of one
//! kind. Everything else stays refused, and without a permit these are refused too.

use crate::masking::leaked;
use lockgate_tests::Scene;
use lockgate_tests::process::eventually;
use lockgate_tests::scene::{POLICIES, SSN};
use lockgate_tests::wire::{self, Client, Frame};
use std::time::Duration;

const PERMITS: &str = r#"
@id("support-works")
permit (principal in Group::"support", action in [Action::"connect", Action::"read", Action::"write"], resource in Target::"shop");

@id("support-looks-up")
@mode("equality")
permit (principal in Group::"support", action == Action::"infer", resource in Label::"pii");

@id("linkers-work")
permit (principal in Group::"linkers", action in [Action::"connect", Action::"read"], resource in Target::"shop");

@id("linkers-link")
@mode("join")
permit (principal in Group::"linkers", action == Action::"infer", resource in Label::"pii");

@id("analysts-work")
permit (principal in Group::"analysts", action in [Action::"connect", Action::"read"], resource in Target::"shop");

@id("analysts-add-up")
@mode("aggregate")
permit (principal in Group::"analysts", action == Action::"infer", resource in Label::"pii");

@id("clerks-work")
permit (principal in Group::"clerks", action in [Action::"connect", Action::"read", Action::"write"], resource in Target::"shop");

@id("clerks-add-up")
@mode("aggregate")
permit (principal in Group::"clerks", action == Action::"infer", resource in Label::"pii");
"#;

pub(crate) fn policies() -> String {
    format!("{POLICIES}{PERMITS}")
}

fn scene_with(infer: &str) -> Scene {
    Scene::with(15, |options| {
        options.policies = policies();
        options.extra.push_str(infer);
    })
}

/// A client of a new user of this group.
pub(crate) fn client(scene: &Scene, user: &str, group: &str) -> Client {
    Client::login(scene.gateway.port, user, &scene.gateway.token(user, &[group]))
}

pub(crate) fn refused(frames: &[Frame], words: &[&str]) {
    let error = wire::error(frames);
    let told = format!("{:?} {:?}", error.field(b'D'), error.field(b'H'));
    assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{told}");
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
}

fn lookup(ssn: &str) -> String {
    format!("SELECT name FROM people WHERE ssn = '{ssn}'")
}

/// The same by the extended protocol.
fn lookup_by_parameter(client: &mut Client, ssn: &str) -> Vec<Frame> {
    let parts = [
        wire::parse("", "SELECT name FROM people WHERE ssn = $1"),
        wire::bind("", "", &[ssn], 0),
        wire::execute("", 0),
        wire::sync(),
    ];
    client.send_raw(&parts.concat());
    client.until_ready()
}

#[test]
fn one_comparison_with_one_value_is_answered() {
    let scene = scene_with("");
    let mut client = client(&scene, "sue", "support");
    let found = [[Some("Person 7".to_owned())]];
    for sql in [
        lookup(SSN),
        format!("SELECT name FROM people WHERE '{SSN}'::text = ssn AND id > 3"),
        format!("SELECT who FROM contacts WHERE number = '{SSN}'"),
        format!("PREPARE p (text) AS SELECT name FROM people WHERE ssn = $1; EXECUTE p ('{SSN}')"),
        format!("UPDATE people SET points = 1 WHERE ssn = '{SSN}' RETURNING name"),
    ] {
        assert_eq!(wire::rows(&client.query(&sql)), found, "{sql}");
    }
    assert_eq!(wire::rows(&lookup_by_parameter(&mut client, SSN)), found);
    assert_eq!(wire::rows(&client.query(&lookup("nobody's"))), [[None::<String>; 0]; 0]);
    // What comes out is masked as ever.
    let row = wire::rows(&client.query(&format!("SELECT name, ssn, email FROM people WHERE ssn = '{SSN}'")));
    assert_eq!(row.len(), 1);
    assert_eq!(leaked(&client.seen), None);
}

#[test]
fn nothing_but_that_comparison_is() {
    let scene = scene_with("");
    let mut client = client(&scene, "sue", "support");
    let ways = [
        "SELECT name FROM people WHERE ssn LIKE 'SSN%'",
        "SELECT name FROM people WHERE ssn > 'SSN'",
        "SELECT name FROM people WHERE ssn BETWEEN 'A' AND 'Z'",
        "SELECT name FROM people WHERE ssn <> 'x'",
        "SELECT name FROM people WHERE NOT ssn = 'x'",
        "SELECT name FROM people WHERE ssn = 'x' OR ssn = 'y'",
        "SELECT name FROM people WHERE ssn = 'x' OR id = 1",
        "SELECT name FROM people WHERE ssn IN ('x', 'y')",
        "SELECT name FROM people WHERE ssn = ANY (ARRAY['x', 'y'])",
        "SELECT name FROM people WHERE ssn = 'x' AND email = 'y'",
        "SELECT name FROM people WHERE ssn = lower('X')",
        "SELECT name FROM people WHERE lower(ssn) = 'x'",
        "SELECT name FROM people WHERE left(ssn, 3) = 'SSN'",
        "SELECT name FROM people WHERE (ssn = 'x') IS NULL",
        "SELECT name FROM people WHERE ssn IS NULL",
        "SELECT name FROM people WHERE ssn = email",
        "SELECT a.name FROM people a JOIN people b ON a.ssn = b.ssn",
        "SELECT a.name FROM people a JOIN (VALUES ('x'), ('y')) g (s) ON a.ssn = g.s",
        "SELECT n.id FROM notes n LEFT JOIN people p ON p.id = n.id AND p.ssn = 'x'",
        "SELECT count(*) FROM (SELECT 1 FROM people WHERE ssn = 'x') q",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM people WHERE ssn = 'x')",
        "SELECT name FROM people WHERE ssn = 'x' UNION ALL SELECT name FROM people WHERE ssn = 'y'",
        "WITH p AS (SELECT name FROM people WHERE ssn = 'x') SELECT * FROM p",
        "SELECT name FROM people GROUP BY name, ssn HAVING ssn = 'x'",
        "SELECT name FROM people ORDER BY ssn = 'x'",
        "EXPLAIN SELECT name FROM people WHERE ssn = 'x'",
        "PREPARE e AS SELECT name FROM people WHERE ssn = 'x'; EXPLAIN EXECUTE e",
        "BEGIN; DECLARE c CURSOR FOR SELECT name FROM people WHERE ssn = 'x'",
        "INSERT INTO notes (body) SELECT name FROM people WHERE ssn = 'x'",
        "SELECT name FROM people WHERE people = (SELECT p FROM people p LIMIT 1)",
    ];
    for sql in ways {
        refused(&client.query(sql), &["column"]);
        client.query("ROLLBACK");
    }
    // Nothing of that used the budget.
    assert_eq!(wire::rows(&client.query(&lookup(SSN))).len(), 1);
}

#[test]
fn without_a_permit_it_is_refused_and_says_what_it_takes() {
    let scene = scene_with("");
    let alice = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &alice);
    refused(&client.query(&lookup(SSN)), &["public.people.ssn", "mode \\\"equality\\\""]);
    refused(&lookup_by_parameter(&mut client, SSN), &["public.people.ssn"]);
    refused(&client.query("SELECT a.id FROM people a JOIN people b USING (ssn)"), &["mode \\\"join\\\""]);
    refused(&client.query("SELECT id FROM people WHERE ssn LIKE '5%'"), &["mode \\\"any\\\""]);
    let told = scene.gateway.here(&[
        "explain",
        "--user",
        "sue",
        "--group",
        "support",
        "--target",
        "shop",
        "SELECT id FROM people ORDER BY ssn",
    ]);
    let told = lockgate_tests::process::text(&told);
    assert!(told.contains("mode \"any\"") && told.contains("mode \"equality\" permits"), "{told}");
}

#[test]
fn the_budget_is_the_identitys_and_not_the_sessions() {
    let scene = scene_with("infer: {probes: 4, window: 1h}\n");
    let token = scene.gateway.token("sue", &["support"]);
    let login = || Client::login(scene.gateway.port, "sue", &token);
    let (mut one, mut other) = (login(), login());
    assert_eq!(wire::rows(&one.query(&lookup("guess 1"))).len(), 0);
    assert_eq!(wire::rows(&lookup_by_parameter(&mut other, "guess 2")).len(), 0);
    drop(one);
    let mut again = login();
    assert_eq!(wire::rows(&again.query(&lookup(SSN))).len(), 1);
    // The same values again are free, however they are written.
    for value in ["guess 1", "guess 2", SSN] {
        assert!(!wire::tags(&again.query(&lookup(value))).contains('E'), "{value}");
        assert!(!wire::tags(&lookup_by_parameter(&mut other, value)).contains('E'), "{value}");
    }
    // A message of several statements stops where the budget does: nothing of it runs.
    refused(
        &again.query(&format!("{}; {}", lookup("guess 3"), lookup("guess 4"))),
        &["public.people.ssn", "4 different"],
    );
    for client in [&mut again, &mut other] {
        refused(
            &client.query(&lookup("guess 5")),
            &["public.people.ssn", "4 different values within 1h", "more is possible at"],
        );
        refused(&lookup_by_parameter(client, "guess 6"), &["public.people.ssn", "more is possible at"]);
        refused(
            &client.query("PREPARE q (text) AS SELECT 1 FROM people WHERE ssn = $1; EXECUTE q ('guess 7')"),
            &["public.people.ssn"],
        );
        client.query("DEALLOCATE ALL");
        assert_eq!(wire::rows(&client.query(&lookup(SSN))).len(), 1, "what is known stays known");
    }
    // Another column has its own budget, and so has another identity.
    assert!(!wire::tags(&again.query("SELECT 1 FROM people WHERE email = 'x'")).contains('E'));
    let mut max = client(&scene, "max", "support");
    assert!(!wire::tags(&max.query(&lookup("guess 8"))).contains('E'));
    // New rules are no new budget.
    std::fs::write(scene.gateway.policy_file(), format!("{}\n// again\n", policies())).unwrap();
    scene.gateway.reload();
    std::thread::sleep(Duration::from_millis(500));
    refused(&login().query(&lookup("guess 9")), &["more is possible at"]);
}

#[test]
fn numbers_that_only_differ_are_different_probes() {
    let scene = scene_with("infer: {probes: 3}\n");
    let mut client = client(&scene, "sue", "support");
    let ask = |salary: u32| format!("SELECT name FROM people WHERE id > 0 AND salary = {salary}");
    for salary in [71_001, 71_002, 71_003, 71_001, 71_003] {
        assert!(!wire::tags(&client.query(&ask(salary))).contains('E'), "{salary}");
    }
    refused(&client.query(&ask(71_004)), &["public.people.salary"]);
    // A date may be read in several ways: each time counts.
    for round in 0..4 {
        let frames = client.query("SELECT name FROM people WHERE born = '1971-02-10'");
        assert_eq!(wire::tags(&frames).contains('E'), round == 3, "{frames:?}");
    }
}

#[test]
fn an_approval_comes_before_the_charge() {
    let scene = scene_with("infer: {probes: 1}\n");
    let mut client = client(&scene, "sue", "support");
    assert!(!wire::tags(&client.query(&lookup("guess 1"))).contains('E'));
    // What is held is charged when it is released, and then there is nothing left.
    client.send(b'Q', &wire::text("DELETE FROM people WHERE ssn = 'guess 2'"));
    let dana = scene.dana();
    let id = scene.pending(&dana);
    assert!(scene.approve(&dana, &id).status.success());
    refused(&client.until_ready(), &["more is possible at"]);
    assert_eq!(scene.directly("SELECT count(*) FROM people"), "50");
}

#[test]
fn guessing_raises_an_alarm() {
    let scene = scene_with("");
    let mut good = client(&scene, "sue", "support");
    for number in 1..=8 {
        assert_eq!(wire::rows(&good.query(&lookup(&format!("SSN-CANARY-{number:04}")))).len(), 1);
    }
    assert!(!scene.gateway.log().contains("found nothing"), "{}", scene.gateway.log());
    let mut bad = client(&scene, "mallory", "support");
    for number in 0..4 {
        lookup_by_parameter(&mut bad, &format!("guess {number}"));
        bad.query(&lookup(&format!("other guess {number}")));
    }
    eventually("the alarm is in the log", Duration::from_secs(10), || {
        let log = scene.gateway.log();
        log.contains("alert") && log.contains("mallory") && log.contains("comparisons of column public.people.ssn")
    });
    assert!(scene.gateway.log().contains("support-looks-up"));
    assert!(!scene.gateway.log().contains("guess 1"), "no value is in the log");
}

#[test]
fn columns_of_one_kind_may_be_joined_by_who_may_join() {
    let scene = Scene::with_database(
        15,
        &format!(
            "{}CREATE TABLE members (ssn text, club text); INSERT INTO members SELECT ssn, 'chess' FROM people WHERE id <= 7;",
            lockgate_tests::scene::SHOP
        ),
        |options| {
            options.policies = policies();
            options.extra =
                options.extra.replace("[shop/public.people.ssn]", "[shop/public.people.ssn, shop/public.members.ssn]");
        },
    );
    let joins = [
        "SELECT name, club FROM people p JOIN members m ON p.ssn = m.ssn",
        "SELECT name, club FROM people JOIN members USING (ssn)",
        "SELECT name, club FROM people NATURAL JOIN members",
        "SELECT name, club FROM people p, members m WHERE m.ssn = p.ssn AND p.id < 100",
    ];
    let mut linker = client(&scene, "lin", "linkers");
    for sql in joins {
        assert_eq!(wire::rows(&linker.query(sql)).len(), 7, "{sql}");
    }
    for sql in [
        "SELECT name FROM people p JOIN members m ON p.email = m.ssn",
        "SELECT name FROM people p JOIN members m ON p.ssn < m.ssn",
        "SELECT name FROM people p JOIN members m ON p.ssn = m.ssn || ''",
        "SELECT name FROM people p JOIN (VALUES ('x')) g (ssn) USING (ssn)",
        "SELECT name FROM people p NATURAL JOIN (VALUES ('x')) g (ssn)",
        "SELECT name FROM people p JOIN notes n ON p.ssn = n.body",
        "SELECT name FROM people p LEFT JOIN members m ON p.ssn = 'x'",
        "SELECT name FROM people WHERE ssn = 'x'",
        "SELECT name FROM people WHERE ssn IN (SELECT ssn FROM members)",
    ] {
        refused(&linker.query(sql), &["column"]);
    }
    assert_eq!(leaked(&linker.seen), None);
    let mut support = client(&scene, "sue", "support");
    for sql in joins {
        refused(&support.query(sql), &["mode \\\"join\\\""]);
    }
}

#[test]
fn a_right_that_ends_ends_for_what_is_prepared() {
    let scene = scene_with("");
    let mut client = client(&scene, "sue", "support");
    client.send_raw(&[wire::parse("s", "SELECT name FROM people WHERE ssn = $1"), wire::sync()].concat());
    client.until_ready();
    let ask = |client: &mut Client| {
        client.send_raw(&[wire::bind("", "s", &[SSN], 0), wire::execute("", 0), wire::sync()].concat());
        client.until_ready()
    };
    assert_eq!(wire::rows(&ask(&mut client)).len(), 1);
    let without = policies().replace("@id(\"support-looks-up\")", "@id(\"nobody-looks-up\")").replace(
        "permit (principal in Group::\"support\", action == Action::\"infer\"",
        "permit (principal in Group::\"nobody\", action == Action::\"infer\"",
    );
    std::fs::write(scene.gateway.policy_file(), without).unwrap();
    scene.gateway.reload();
    let mut last = Vec::new();
    eventually("the right is gone", Duration::from_secs(10), || {
        last = ask(&mut client);
        wire::tags(&last).contains('E')
    });
    // What is answered in the very moment of the change ends with its session.
    if wire::tags(&last).ends_with('Z') {
        refused(&last, &["public.people.ssn"]);
        refused(&ask(&mut client), &["public.people.ssn"]);
    }
}

#[test]
fn an_unknown_mode_is_a_mistake() {
    let scene = scene_with("");
    std::fs::write(scene.gateway.policy_file(), policies().replace("@mode(\"equality\")", "@mode(\"equal\")")).unwrap();
    let output = scene.gateway.here(&["policy", "check"]);
    let told = lockgate_tests::process::text(&output);
    assert!(!output.status.success() && told.contains("equal") && told.contains("equality"), "{told}");
}

fn extended(client: &mut Client, sql: &str) -> Vec<Frame> {
    client.send_raw(&[wire::parse("", sql), wire::bind("", "", &[], 0), wire::execute("", 0), wire::sync()].concat());
    client.until_ready()
}

pub(crate) fn one(frames: &[Frame]) -> String {
    let rows = wire::rows(frames);
    assert_eq!(rows.len(), 1, "{frames:?}");
    rows[0].iter().map(|cell| cell.clone().unwrap_or_default()).collect::<Vec<_>>().join("|")
}

#[test]
fn large_groups_are_added_up_and_small_ones_and_differences_are_not() {
    let scene = scene_with("");
    let mut ana = client(&scene, "ana", "analysts");
    let sql = "SELECT count(*), sum(salary), count(salary) FROM people";
    assert_eq!(one(&ana.query(sql)), scene.directly(sql));
    let sql = "SELECT avg(salary) FROM public.people p WHERE p.points > 25";
    assert_eq!(one(&extended(&mut ana, sql)), scene.directly(sql));
    // The same again, in other words.
    assert_eq!(one(&ana.query("SELECT avg(salary) FROM people WHERE 25 < points")), scene.directly(sql));
    for sql in [
        "SELECT avg(salary) FROM people WHERE id = 7",
        "SELECT sum(salary) FROM people WHERE id < 10",
        "SELECT sum(salary) FROM people WHERE id > 1000",
        "SELECT id, sum(salary) FROM people GROUP BY id LIMIT 99",
    ] {
        refused(&ana.query(sql), &["public.people.salary", "at least 10"]);
        refused(&extended(&mut ana, sql), &["public.people.salary", "at least 10"]);
    }
    for sql in [
        "SELECT sum(salary) FROM people WHERE id <> 7",
        "SELECT sum(salary) FROM people WHERE points > 26",
        "SELECT sum(salary) FROM people WHERE points BETWEEN 25 AND 49",
        "SELECT sum(salary) FROM people WHERE NOT id IN (7, 8)",
    ] {
        refused(&ana.query(sql), &["public.people.salary", "difference"]);
        refused(&extended(&mut ana, sql), &["public.people.salary", "difference"]);
    }
    // Another session of hers knows what this one was told, another identity was told nothing.
    let mut again = client(&scene, "ana", "analysts");
    refused(&again.query("SELECT sum(salary) FROM people WHERE id <> 7"), &["difference"]);
    let mut bob = client(&scene, "bob", "analysts");
    let sql = "SELECT sum(salary) FROM people WHERE id <> 7";
    assert_eq!(one(&bob.query(sql)), scene.directly(sql));
    refused(&bob.query("SELECT sum(salary) FROM people"), &["difference"]);
    // Somebody left meanwhile.
    scene.directly("DELETE FROM people WHERE id = 50");
    refused(&ana.query("SELECT sum(salary) FROM people"), &["added or taken away"]);
}

#[test]
fn groups_are_weighed_against_what_they_are_part_of() {
    let scene = scene_with("");
    scene.directly("ALTER TABLE people ADD COLUMN half text, ADD COLUMN odd text");
    scene.directly("UPDATE people SET half = CASE WHEN id <= 20 THEN 'a' ELSE 'b' END, odd = CASE WHEN id = 7 THEN 'c' ELSE 'd' END");
    let mut ana = client(&scene, "ana", "analysts");
    let rows = wire::rows(
        &ana.query("SELECT half, count(salary), avg(salary) FROM people GROUP BY half ORDER BY half LIMIT 9"),
    );
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][1].as_deref(), Some("20"));
    assert_eq!(one(&ana.query("SELECT sum(salary) FROM people")), scene.directly("SELECT sum(salary) FROM people"));
    refused(&ana.query("SELECT odd, sum(salary) FROM people GROUP BY odd LIMIT 9"), &["public.people.salary"]);
    refused(&ana.query("SELECT sum(salary) FROM people WHERE half = 'a' AND id <> 7"), &["difference"]);
    refused(&ana.query("SELECT half, sum(salary) FROM people WHERE id <> 7 GROUP BY half"), &["difference"]);
}

/// Those that an extension brings are for types of its own.
#[test]
fn comparisons_of_extensions_are_not_those_of_numbers() {
    let scene = scene_with("");
    scene.directly("CREATE EXTENSION citext");
    let mut ana = client(&scene, "ana", "analysts");
    let sql = "SELECT avg(salary) FROM people WHERE points > 25 AND name <> 'x'";
    assert_eq!(one(&ana.query(sql)), scene.directly(sql));
    refused(&ana.query("SELECT avg(salary) FROM people WHERE points > 26"), &["difference"]);
    scene.directly("CREATE FUNCTION public.more(text, int) RETURNS bool LANGUAGE sql AS 'SELECT true'");
    scene.directly("CREATE OPERATOR public.> (LEFTARG = text, RIGHTARG = int, FUNCTION = public.more)");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(one(&ana.query("SELECT avg(salary) FROM people WHERE points > 24")), "0");
}

/// What was found out through one target is known about every other that leads to the same place.
#[test]
fn two_targets_of_one_database_are_one() {
    let scene = Scene::with(15, |options| {
        options.policies =
            policies().replace(r#"Target::"shop""#, r#"Target"#).replace("resource in Target)", "resource)");
        options.policies.push_str(
            r#"forbid (principal in Group::"writers", action == Action::"write", resource in Target::"shop");
               permit (principal in Group::"writers", action == Action::"write", resource in Target::"side");"#,
        );
        options.extra = options.extra.replace("shop/", "s*/");
        options.extra.push_str("infer: {probes: 2}\n");
        let side = format!(
            "\n  - name: side\n    protocol: postgres\n    address: 127.0.0.1:{}\n    database: {}\n    username: app\n    \
             password: ${{env:TEST_TARGET_PASSWORD}}\n{}",
            options.target_port, options.database, options.target_extra
        );
        options.target_extra.push_str(&side);
    });
    let port = scene.gateway.port;
    let at = |target: &str, user: &str, groups: &[&str]| {
        let token = scene.gateway.token(user, groups);
        Client::login_with(port, &[("user", user), ("database", target)], &token).unwrap_or_else(|e| panic!("{e:?}"))
    };
    let mut here = at("shop", "ana", &["analysts"]);
    let mut there = at("side", "ana", &["analysts"]);
    let sql = "SELECT sum(salary) FROM people";
    assert_eq!(one(&here.query(sql)), scene.directly(sql));
    assert_eq!(one(&there.query(sql)), scene.directly(sql));
    refused(&there.query("SELECT sum(salary) FROM people WHERE id <> 7"), &["difference"]);
    // Who may write the table through any of them is given no sum of it.
    let mut writer = at("shop", "wes", &["analysts", "writers"]);
    assert_eq!(one(&writer.query(sql)), "0");
    // One budget of comparisons.
    let mut here = at("shop", "sue", &["support"]);
    let mut there = at("side", "sue", &["support"]);
    assert!(!here.query(&lookup("a")).iter().any(|f| f.tag == b'E'));
    assert!(!there.query(&lookup("b")).iter().any(|f| f.tag == b'E'));
    refused(&there.query(&lookup("c")), &["public.people.ssn"]);
    refused(&here.query(&lookup("c")), &["public.people.ssn"]);
}

#[test]
fn what_is_not_such_an_aggregate_stays_masked() {
    let scene = scene_with("");
    let masked = [
        "SELECT max(salary) FROM people",
        "SELECT sum(salary + 1) FROM people",
        "SELECT sum(salary) + 1 FROM people",
        "SELECT sum(salary) FILTER (WHERE id = 7) FROM people",
        "SELECT sum(DISTINCT salary) FROM people",
        "SELECT sum(salary) FROM people WHERE random() < 0.5",
        "SELECT sum(salary) FROM people WHERE id IN (SELECT 7)",
        "SELECT sum(salary) FROM people, notes",
        "SELECT sum(salary) FROM people LIMIT 1 OFFSET 0",
        "SELECT sum(s) FROM (SELECT salary AS s FROM people WHERE id = 7) q",
        "WITH people AS (SELECT salary FROM people WHERE id = 7) SELECT sum(salary) FROM people",
        "SELECT 1; SELECT sum(salary) FROM people WHERE id = 7",
        "BEGIN; DECLARE c CURSOR FOR SELECT sum(salary) FROM people WHERE id = 7; FETCH c; COMMIT",
        "PREPARE s AS SELECT sum(salary) FROM people WHERE id = 7; EXECUTE s",
        "SELECT count(ssn) FROM people",
    ];
    let mut ana = client(&scene, "ana", "analysts");
    for sql in masked {
        let before = ana.seen.len();
        ana.query(sql);
        assert_eq!(leaked(&ana.seen[before..]), None, "{sql}");
        ana.query("ROLLBACK");
    }
    // Who may write the table can make a sum of one value.
    let mut cleo = client(&scene, "cleo", "clerks");
    let sum = scene.directly("SELECT sum(salary) FROM people");
    assert_ne!(one(&cleo.query("SELECT sum(salary) FROM people")), sum);
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    assert_ne!(one(&alice.query("SELECT sum(salary) FROM people")), sum);
}
